using System.Security.Cryptography;
using System.Text;
using Leither.MmDb.Acl;
using Leither.MmDb.Configuration;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>ACL: users, what they may do, and what was refused to them.</summary>
public static unsafe class AclCommands
{
    private const CommandFlags Anybody = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale;
    private const CommandFlags Operator = CommandFlags.Admin | Anybody;

    /// <summary>Bits of a password that ACL GENPASS draws, at most.</summary>
    private const int MaxPasswordBits = 4096;

    /// <summary>ACL</summary>
    public static readonly CommandSpec Acl = new("acl", -2)
    {
        Since = "6.0.0",
        Group = CommandGroup.Server,
        Complexity = "Depends on subcommand.",
        Summary = "A container for Access List Control commands.",
        Flags = CommandFlags.EndsBatch,
        Subcommands =
        [
            new("cat", -2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1) since the categories and commands are a fixed set.",
                Summary = "Lists the ACL categories, or the commands inside a category.",
                Flags = Anybody,
                Args = [Arg.String("category").Optional()],
                Handler = &RunCat,
            },
            new("deluser", -3)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1) amortized time considering the typical user.",
                Summary = "Deletes ACL users, and terminates their connections.",
                Flags = Operator,
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Args = [Arg.String("username").Multiple()],
                Handler = &RunDelUser,
            },
            new("dryrun", -4)
            {
                Since = "7.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1).",
                Summary = "Simulates the execution of a command by a user, without executing the command.",
                Flags = Operator,
                Args = [Arg.String("username"), Arg.String("command"), Arg.String("arg").Optional().Multiple()],
                Handler = &RunDryRun,
            },
            new("genpass", -2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Generates a pseudorandom, secure password that can be used to identify ACL users.",
                Flags = Anybody,
                Args = [Arg.Integer("bits").Optional()],
                Handler = &RunGenPass,
            },
            new("getuser", 3)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N). Where N is the number of password, command and pattern rules that the user has.",
                Summary = "Lists the ACL rules of a user.",
                Flags = Operator,
                History =
                [
                    ("6.2.0", "Added Pub/Sub channel patterns."),
                    ("7.0.0", "Added selectors and changed the format of key and channel patterns from a list to their rule representation."),
                ],
                Args = [Arg.String("username")],
                Handler = &RunGetUser,
            },
            new("help", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("list", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N). Where N is the number of configured users.",
                Summary = "Dumps the effective rules in ACL file format.",
                Flags = Operator,
                Handler = &RunList,
            },
            new("load", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N). Where N is the number of configured users.",
                Summary = "Reloads the rules from the configured ACL file.",
                Flags = Operator,
                Handler = &RunLoad,
            },
            new("log", -2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) with N being the number of entries shown.",
                Summary = "Lists recent security events generated due to ACL rules.",
                Flags = Operator,
                History = [("7.2.0", "Added entry ID, timestamp created, and timestamp last updated.")],
                Args = [Arg.OneOf("operation", Arg.Integer("count"), Arg.Word("reset", "RESET")).Optional()],
                Handler = &RunLog,
            },
            new("save", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N). Where N is the number of configured users.",
                Summary = "Saves the effective ACL rules in the configured ACL file.",
                Flags = Operator,
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Handler = &RunSave,
            },
            new("setuser", -3)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N). Where N is the number of rules provided.",
                Summary = "Creates and modifies an ACL user and its rules.",
                Flags = Operator,
                History = [("6.2.0", "Added Pub/Sub channel patterns."), ("7.0.0", "Added selectors and key based permissions.")],
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Args = [Arg.String("username"), Arg.String("rule").Optional().Multiple()],
                Handler = &RunSetUser,
            },
            new("users", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N). Where N is the number of configured users.",
                Summary = "Lists all ACL users.",
                Flags = Operator,
                Handler = &RunUsers,
            },
            new("whoami", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns the authenticated username of the current connection.",
                Flags = Anybody,
                Handler = &RunWhoAmI,
            },
        ],
    };

    /// <summary>ACL SETUSER, whose rules are secrets.</summary>
    internal static readonly CommandSpec SetUser = CommandTable.FindSub(Acl, "setuser");

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Acl];

    private static void Text(RespWriter reply, string text) => reply.Bulk(Encoding.Latin1.GetBytes(text));

    private static void RunSetUser(CommandContext c)
    {
        string name = c.Text(2);
        if (AclUser.HasBlanks(name))
        {
            c.Error("ERR Usernames can't contain spaces or null characters"u8);
        }
        else if (c.Server.Users.Set(name, Words(c, 3), c.Session) is { } error)
        {
            c.Error("ERR " + error);
        }
        else
        {
            c.Reply.Ok();
        }
    }

    private static List<string> Words(CommandContext c, int first)
    {
        List<string> words = [];
        for (int i = first; i < c.Count; i++)
        {
            words.Add(c.Text(i));
        }

        return words;
    }

    private static void RunDelUser(CommandContext c)
    {
        List<string> names = Words(c, 2);
        if (names.Contains(c.Server.Users.Default.Name))
        {
            c.Error("ERR The 'default' user cannot be removed"u8);
            return;
        }

        c.Reply.Integer(names.Count(name => c.Server.Users.Remove(name, c.Session)));
    }

    private static void RunGetUser(CommandContext c)
    {
        if (c.Server.Users.Find(c.Text(2)) is not { } user)
        {
            c.Reply.Null();
            return;
        }

        RespWriter reply = c.Reply;
        reply.Map(6);
        reply.Bulk("flags"u8);
        string[] flags = [.. user.Flags];
        reply.Set(flags.Length);
        foreach (string flag in flags)
        {
            Text(reply, flag);
        }

        reply.Bulk("passwords"u8);
        reply.Array(user.Passwords.Count);
        foreach (string password in user.Passwords)
        {
            Text(reply, password);
        }

        Describe(reply, user.Selectors[0]);
        reply.Bulk("selectors"u8);
        reply.Array(user.Selectors.Count - 1);
        foreach (AclSelector selector in user.Selectors.Skip(1))
        {
            reply.Map(3);
            Describe(reply, selector);
        }
    }

    /// <summary>The three fields of a selector.</summary>
    private static void Describe(RespWriter reply, AclSelector selector)
    {
        reply.Bulk("commands"u8);
        Text(reply, selector.CommandRules);
        reply.Bulk("keys"u8);
        Text(reply, selector.KeyRules);
        reply.Bulk("channels"u8);
        Text(reply, selector.ChannelRules);
    }

    private static void RunWhoAmI(CommandContext c) => Text(c.Reply, c.Session.User.Name);

    private static void RunUsers(CommandContext c)
    {
        c.Reply.Array(c.Server.Users.All.Count);
        foreach (AclUser user in c.Server.Users.All)
        {
            Text(c.Reply, user.Name);
        }
    }

    private static void RunList(CommandContext c)
    {
        c.Reply.Array(c.Server.Users.All.Count);
        foreach (string line in c.Server.Users.Lines)
        {
            Text(c.Reply, line);
        }
    }

    private static void RunLoad(CommandContext c)
    {
        if (!TryFile(c, out string file))
        {
            return;
        }

        if (c.Server.Users.LoadFile(file, c.Session) is { } errors)
        {
            c.Error("ERR " + errors);
        }
        else
        {
            c.Reply.Ok();
        }
    }

    private static void RunSave(CommandContext c)
    {
        if (!TryFile(c, out string file))
        {
            return;
        }

        if (c.Server.Users.SaveFile(file))
        {
            c.Reply.Ok();
        }
        else
        {
            c.Error("ERR There was an error trying to save the ACLs. Please check the server logs for more information"u8);
        }
    }

    private static bool TryFile(CommandContext c, out string file)
    {
        file = ConfigText.ToText(c.Server.Settings.Get(ConfigKeys.AclFile));
        if (file.Length == 0)
        {
            c.Error("ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration."u8);
        }

        return file.Length > 0;
    }

    private static void RunCat(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.SubcommandSyntax();
            return;
        }

        if (c.Count == 2)
        {
            c.Reply.Array(AclCategories.All.Count);
            foreach (string category in AclCategories.All)
            {
                Text(c.Reply, category);
            }

            return;
        }

        uint wanted = AclCategories.Bit(c.Text(2));
        if (wanted == 0)
        {
            c.Error($"ERR Unknown category '{c.TextToZero(2, 128)}'");
            return;
        }

        long mark = c.Reply.BeginDeferred(), count = 0;
        foreach (CommandSpec spec in c.Server.Commands.All)
        {
            foreach (CommandSpec one in (IEnumerable<CommandSpec>)[spec, .. spec.Subcommands])
            {
                if ((one.CategoryBits & wanted) != 0)
                {
                    Text(c.Reply, one.FullName);
                    count++;
                }
            }
        }

        c.Reply.EndDeferredArray(mark, count);
    }

    private static void RunGenPass(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.SubcommandSyntax();
            return;
        }

        long bits = 256;
        if (c.Count == 3 && !c.TryLong(2, out bits))
        {
            return;
        }

        if (bits is <= 0 or > MaxPasswordBits)
        {
            c.Error($"ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {MaxPasswordBits}");
            return;
        }

        Text(c.Reply, RandomNumberGenerator.GetHexString((int)(bits + 3) / 4, lowercase: true));
    }

    private static void RunLog(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.SubcommandSyntax();
            return;
        }

        AclLog log = c.Server.Users.Log;
        long count = 10;
        if (c.Count == 3 && c.Is(2, "reset"u8))
        {
            log.Clear();
            c.Reply.Ok();
            return;
        }

        if (c.Count == 3 && !c.TryLong(2, out count))
        {
            return;
        }

        count = Math.Clamp(count, 0, log.Entries.Count);
        c.Reply.Array(count);
        foreach (AclLogEntry entry in log.Entries.Take((int)count))
        {
            Show(c.Reply, entry, c.NowMs);
        }
    }

    private static void Show(RespWriter reply, AclLogEntry entry, long nowMs)
    {
        reply.Map(10);
        reply.Bulk("count"u8);
        reply.Integer(entry.Count);
        reply.Bulk("reason"u8);
        reply.Bulk(entry.Reason switch
        {
            AclDenial.Command => "command"u8,
            AclDenial.Key => "key"u8,
            AclDenial.Channel => "channel"u8,
            _ => "auth"u8,
        });
        reply.Bulk("context"u8);
        reply.Bulk(entry.Context switch
        {
            AclContext.TopLevel => "toplevel"u8,
            AclContext.Multi => "multi"u8,
            _ => "lua"u8,
        });
        reply.Bulk("object"u8);
        Text(reply, entry.Object);
        reply.Bulk("username"u8);
        Text(reply, entry.User);
        reply.Bulk("age-seconds"u8);
        reply.Double((nowMs - entry.UpdatedMs) / 1000.0);
        reply.Bulk("client-info"u8);
        Text(reply, entry.Client);
        reply.Bulk("entry-id"u8);
        reply.Integer(entry.Id);
        reply.Bulk("timestamp-created"u8);
        reply.Integer(entry.CreatedMs);
        reply.Bulk("timestamp-last-updated"u8);
        reply.Integer(entry.UpdatedMs);
    }

    private static void RunDryRun(CommandContext c)
    {
        const int Command = 3;
        if (c.Server.Users.Find(c.Text(2)) is not { } user)
        {
            c.Error($"ERR User '{c.TextToZero(2)}' not found");
            return;
        }

        int count = c.Count - Command;
        CommandSpec? spec = c.Server.Commands.FindFull(c.Args + Command, count);
        if (spec is null)
        {
            c.Error($"ERR Command '{c.TextToZero(Command)}' not found");
        }
        else if (!spec.Accepts(count))
        {
            c.Error($"ERR wrong number of arguments for '{spec.FullName}' command");
        }
        else if (c.Server.Users.WouldRefuse(user, spec, c.Args + Command, count) is { } refusal)
        {
            Text(c.Reply, refusal);
        }
        else
        {
            c.Reply.Ok();
        }
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "DELUSER <username> [<username> ...]",
        "    Delete a list of users.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Returns whether the user can execute the given command without executing the command.",
        "GETUSER <username>",
        "    Get the user's details.",
        "GENPASS [<bits>]",
        "    Generate a secure 256-bit user password. The optional `bits` argument can",
        "    be used to specify a different size.",
        "LIST",
        "    Show users details in config file format.",
        "LOAD",
        "    Reload users from the ACL file.",
        "LOG [<count> | RESET]",
        "    Show the ACL log entries.",
        "SAVE",
        "    Save the current config to the ACL file.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Create or modify a user with the specified attributes.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.");
}
