using System.Security.Cryptography;
using System.Text;

namespace Leither.MmDb.Commands;

/// <summary>The part of ACL that does not need rights of one's own: the one user there is, and the categories.</summary>
public static unsafe class AclCommands
{
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
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.String("category").Optional()],
                Handler = &RunCat,
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
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunList,
            },
            new("users", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N). Where N is the number of configured users.",
                Summary = "Lists all ACL users.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunUsers,
            },
            new("whoami", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns the authenticated username of the current connection.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunWhoAmI,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Acl];

    private static void RunWhoAmI(CommandContext c) => c.Reply.Bulk(Encoding.UTF8.GetBytes(c.Session.User));

    private static void RunUsers(CommandContext c)
    {
        c.Reply.Array(1);
        c.Reply.Bulk("default"u8);
    }

    private static void RunList(CommandContext c)
    {
        string password = c.Server.Options.RequirePass;
        string secret = password.Length == 0 ? "nopass" : "#" + Convert.ToHexStringLower(SHA256.HashData(Encoding.Latin1.GetBytes(password)));
        c.Reply.Array(1);
        c.Reply.Bulk(Encoding.ASCII.GetBytes($"user default on {secret} sanitize-payload ~* &* +@all"));
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
                c.Reply.Bulk(Encoding.ASCII.GetBytes(category));
            }

            return;
        }

        string wanted = c.Text(2).ToLowerInvariant();
        if (!AclCategories.All.Contains(wanted))
        {
            c.Error($"ERR Unknown category '{c.Text(2)}'");
            return;
        }

        long mark = c.Reply.BeginDeferred(), count = 0;
        foreach (CommandSpec spec in c.Server.Commands.All)
        {
            foreach (CommandSpec one in (IEnumerable<CommandSpec>)[spec, .. spec.Subcommands])
            {
                if (AclCategories.Has(one, wanted))
                {
                    c.Reply.Bulk(Encoding.ASCII.GetBytes(one.FullName));
                    count++;
                }
            }
        }

        c.Reply.EndDeferredArray(mark, count);
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "LIST",
        "    Show users details in config file format.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.");
}
