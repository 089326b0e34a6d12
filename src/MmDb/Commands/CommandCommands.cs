using System.Text;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>COMMAND: what there is to know of commands, all of it read from their specs.</summary>
public static unsafe class CommandCommands
{
    /// <summary>COMMAND</summary>
    public static readonly CommandSpec Command = new("command", -1)
    {
        Since = "2.8.13",
        Group = CommandGroup.Server,
        Complexity = "O(N) where N is the total number of Redis commands",
        Summary = "Returns detailed information about all commands.",
        Flags = CommandFlags.Loading | CommandFlags.Stale,
        Categories = ["connection"],
        Tips = ["nondeterministic_output_order"],
        Subcommands =
        [
            new("count", 2)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns a count of commands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Categories = ["connection"],
                Handler = &RunCount,
            },
            new("docs", -2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of commands to look up",
                Summary = "Returns documentary information about one, multiple or all commands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Categories = ["connection"],
                Tips = ["nondeterministic_output_order"],
                Args = [Arg.String("command-name").Multiple().Optional()],
                Handler = &RunDocs,
            },
            new("getkeys", -3)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of arguments to the command",
                Summary = "Extracts the key names from an arbitrary command.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Categories = ["connection"],
                Args = [Arg.String("command"), Arg.String("arg").Multiple().Optional()],
                Handler = &RunGetKeys,
            },
            new("getkeysandflags", -3)
            {
                Since = "7.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of arguments to the command",
                Summary = "Extracts the key names and access flags for an arbitrary command.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Categories = ["connection"],
                Args = [Arg.String("command"), Arg.String("arg").Multiple().Optional()],
                Handler = &RunGetKeysAndFlags,
            },
            new("help", 2)
            {
                Since = "5.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Categories = ["connection"],
                Handler = &RunHelp,
            },
            new("info", -2)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of commands to look up",
                Summary = "Returns information about one, multiple or all commands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Categories = ["connection"],
                History = [("7.0.0", "Allowed to be called with no argument to get info on all commands.")],
                Tips = ["nondeterministic_output_order"],
                Args = [Arg.String("command-name").Multiple().Optional()],
                Handler = &RunInfo,
            },
            new("list", -2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the total number of Redis commands",
                Summary = "Returns a list of command names.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Categories = ["connection"],
                Tips = ["nondeterministic_output_order"],
                Args =
                [
                    Arg.OneOf(
                        "filterby",
                        Arg.String("module-name").Token("MODULE"),
                        Arg.String("category").Token("ACLCAT"),
                        Arg.Pattern("pattern").Token("PATTERN")).Token("FILTERBY").Optional(),
                ],
                Handler = &RunList,
            },
        ],
        Handler = &RunCommand,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Command];

    private static readonly (CommandFlags Flag, string Name)[] _flagNames =
    [
        (CommandFlags.Write, "write"), (CommandFlags.ReadOnly, "readonly"), (CommandFlags.DenyOom, "denyoom"), (CommandFlags.Admin, "admin"),
        (CommandFlags.PubSub, "pubsub"), (CommandFlags.NoScript, "noscript"), (CommandFlags.Blocking, "blocking"), (CommandFlags.Loading, "loading"),
        (CommandFlags.Stale, "stale"), (CommandFlags.SkipMonitor, "skip_monitor"), (CommandFlags.SkipSlowLog, "skip_slowlog"),
        (CommandFlags.Fast, "fast"), (CommandFlags.NoAuth, "no_auth"), (CommandFlags.NoMandatoryKeys, "no_mandatory_keys"),
        (CommandFlags.NoAsyncLoading, "no_async_loading"), (CommandFlags.NoMulti, "no_multi"), (CommandFlags.MovableKeys, "movablekeys"),
        (CommandFlags.AllowBusy, "allow_busy"), (CommandFlags.Asking, "asking"),
    ];

    private static readonly (KeyAccess Flag, string Name)[] _accessNames =
    [
        (KeyAccess.ReadOnly, "RO"), (KeyAccess.ReadWrite, "RW"), (KeyAccess.Overwrite, "OW"), (KeyAccess.Remove, "RM"), (KeyAccess.Access, "access"),
        (KeyAccess.Update, "update"), (KeyAccess.Insert, "insert"), (KeyAccess.Delete, "delete"), (KeyAccess.NotKey, "not_key"),
        (KeyAccess.Incomplete, "incomplete"), (KeyAccess.VariableFlags, "variable_flags"),
    ];

    private static void RunCommand(CommandContext c)
    {
        if (c.Count > 1)
        {
            c.Error($"ERR unknown subcommand '{c.TextToZero(1, 128)}'. Try COMMAND HELP.");
            return;
        }

        InfoOfAll(c);
    }

    private static void RunCount(CommandContext c) => c.Reply.Integer(c.Server.Commands.All.Count);

    private static void RunList(CommandContext c)
    {
        Func<CommandSpec, bool> wanted = static _ => true;
        if (c.Count == 5 && c.Is(2, "filterby"u8))
        {
            string argument = c.Text(4);
            byte[] pattern = c[4].Span.ToArray();
            if (c.Is(3, "module"u8))
            {
                wanted = static _ => false;
            }
            else if (c.Is(3, "aclcat"u8))
            {
                string category = argument.ToLowerInvariant();
                wanted = s => AclCategories.All.Contains(category) && AclCategories.Has(s, category);
            }
            else if (c.Is(3, "pattern"u8))
            {
                wanted = s => GlobPattern.Matches(pattern, Encoding.ASCII.GetBytes(s.FullName), ignoreCase: true);
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }
        else if (c.Count != 2)
        {
            c.Error(Errors.Syntax);
            return;
        }

        long mark = c.Reply.BeginDeferred(), count = 0;
        foreach (CommandSpec spec in c.Server.Commands.All)
        {
            foreach (CommandSpec one in (IEnumerable<CommandSpec>)[spec, .. spec.Subcommands])
            {
                if (wanted(one))
                {
                    Bulk(c.Reply, one.FullName);
                    count++;
                }
            }
        }

        c.Reply.EndDeferredArray(mark, count);
    }

    private static void RunInfo(CommandContext c)
    {
        if (c.Count == 2)
        {
            InfoOfAll(c);
            return;
        }

        c.Reply.Array(c.Count - 2);
        for (int i = 2; i < c.Count; i++)
        {
            if (c.Server.Commands.FindFull(c.Text(i)) is { } spec)
            {
                Info(c.Reply, spec);
            }
            else
            {
                c.Reply.Null();
            }
        }
    }

    private static void InfoOfAll(CommandContext c)
    {
        c.Reply.Array(c.Server.Commands.All.Count);
        foreach (CommandSpec spec in c.Server.Commands.All)
        {
            Info(c.Reply, spec);
        }
    }

    private static void Info(RespWriter reply, CommandSpec spec)
    {
        FixedKeys(spec, out int first, out int last, out int step, out bool movable);
        CommandFlags flags = movable ? spec.Flags | CommandFlags.MovableKeys : spec.Flags;
        reply.Array(10);
        Bulk(reply, spec.FullName);
        reply.Integer(spec.Arity);
        string[] names = [.. _flagNames.Where(n => (flags & n.Flag) != 0).Select(static n => n.Name)];
        Words(reply, names, "");
        reply.Integer(first);
        reply.Integer(last);
        reply.Integer(step);
        Words(reply, [.. AclCategories.Of(spec)], "@");
        reply.Set(spec.Tips.Length);
        foreach (string tip in spec.Tips)
        {
            Bulk(reply, tip);
        }

        reply.Set(spec.Keys.Length);
        foreach (KeySpec key in spec.Keys)
        {
            Describe(reply, key);
        }

        if (spec.Subcommands.Length == 0)
        {
            reply.Set(0);
            return;
        }

        reply.Array(spec.Subcommands.Length);
        foreach (CommandSpec sub in spec.Subcommands)
        {
            Info(reply, sub);
        }
    }

    /// <summary>The range of keys as COMMAND INFO told it before key specs: that of the plain specs that follow one another.</summary>
    private static void FixedKeys(CommandSpec spec, out int first, out int last, out int step, out bool movable)
    {
        first = last = step = 0;
        movable = spec.Has(CommandFlags.MovableKeys);
        if (spec.Keys is [{ Index: > 0, Keyword: null, KeyNumIndex: -1 } only])
        {
            first = only.Index;
            last = only.LastKey >= 0 ? first + only.LastKey : only.LastKey;
            step = only.Step;
            movable |= (only.Access & KeyAccess.Incomplete) != 0;
            return;
        }

        foreach (KeySpec key in spec.Keys)
        {
            bool plain = key is { Index: > 0, Keyword: null, KeyNumIndex: -1, Step: 1 } && (last == 0 || last == key.Index - 1);
            movable |= !plain || (key.Access & KeyAccess.Incomplete) != 0;
            if (plain)
            {
                first = first == 0 ? key.Index : Math.Min(first, key.Index);
                last = (int)Math.Max((uint)last, (uint)(key.LastKey >= 0 ? key.LastKey + key.Index : key.LastKey));
                step = 1;
            }
        }
    }

    private static void Describe(RespWriter reply, KeySpec key)
    {
        reply.Map(key.Notes is null ? 3 : 4);
        if (key.Notes is not null)
        {
            Bulk(reply, "notes");
            Bulk(reply, key.Notes);
        }

        Bulk(reply, "flags");
        AccessFlags(reply, key.Access);
        Bulk(reply, "begin_search");
        if (key.Keyword is not null)
        {
            Typed(reply, "keyword", 2);
            Bulk(reply, "keyword");
            Bulk(reply, key.Keyword);
            Field(reply, "startfrom", key.StartFrom);
        }
        else if (key.Index < 0)
        {
            Typed(reply, "unknown", 0);
        }
        else
        {
            Typed(reply, "index", 1);
            Field(reply, "index", key.Index);
        }

        Bulk(reply, "find_keys");
        if (key.KeyNumIndex == -2)
        {
            Typed(reply, "unknown", 0);
        }
        else if (key.KeyNumIndex >= 0)
        {
            Typed(reply, "keynum", 3);
            Field(reply, "keynumidx", key.KeyNumIndex);
            Field(reply, "firstkey", key.FirstKeyOffset);
            Field(reply, "keystep", key.Step);
        }
        else
        {
            Typed(reply, "range", 3);
            Field(reply, "lastkey", key.LastKey);
            Field(reply, "keystep", key.Step);
            Field(reply, "limit", key.Limit);
        }
    }

    /// <summary>A type and the header of its fields.</summary>
    private static void Typed(RespWriter reply, string type, int fields)
    {
        reply.Map(2);
        Bulk(reply, "type");
        Bulk(reply, type);
        Bulk(reply, "spec");
        reply.Map(fields);
    }

    private static void Field(RespWriter reply, string name, int value)
    {
        Bulk(reply, name);
        reply.Integer(value);
    }

    private static void AccessFlags(RespWriter reply, KeyAccess access) =>
        Words(reply, [.. _accessNames.Where(n => (access & n.Flag) != 0).Select(static n => n.Name)], "");

    private static void Words(RespWriter reply, string[] words, string prefix)
    {
        reply.Set(words.Length);
        foreach (string word in words)
        {
            reply.Simple(Encoding.ASCII.GetBytes(prefix + word));
        }
    }

    private static void Bulk(RespWriter reply, string text) => reply.Bulk(Encoding.UTF8.GetBytes(text));

    private static void RunDocs(CommandContext c)
    {
        if (c.Count == 2)
        {
            c.Reply.Map(c.Server.Commands.All.Count);
            foreach (CommandSpec spec in c.Server.Commands.All)
            {
                Bulk(c.Reply, spec.FullName);
                Docs(c.Reply, spec);
            }

            return;
        }

        long mark = c.Reply.BeginDeferred(), count = 0;
        for (int i = 2; i < c.Count; i++)
        {
            if (c.Server.Commands.FindFull(c.Text(i)) is { } spec)
            {
                Bulk(c.Reply, spec.FullName);
                Docs(c.Reply, spec);
                count++;
            }
        }

        c.Reply.EndDeferredMap(mark, count);
    }

    private static void Docs(RespWriter reply, CommandSpec spec)
    {
        long mark = reply.BeginDeferred();
        int count = 0;
        void Text(string name, string? value)
        {
            if (!string.IsNullOrEmpty(value))
            {
                Bulk(reply, name);
                Bulk(reply, value);
                count++;
            }
        }

        Text("summary", spec.Summary);
        Text("since", spec.Since);
        Text("group", GroupName(spec.Group));
        Text("complexity", spec.Complexity);
        if (spec.DeprecatedSince is not null || spec.IsSystem)
        {
            Bulk(reply, "doc_flags");
            Words(reply, [.. (string[])(spec.DeprecatedSince is null ? [] : ["deprecated"]), .. (string[])(spec.IsSystem ? ["syscmd"] : [])], "");
            count++;
        }

        Text("deprecated_since", spec.DeprecatedSince);
        Text("replaced_by", spec.ReplacedBy);
        if (spec.History.Length > 0)
        {
            Bulk(reply, "history");
            reply.Set(spec.History.Length);
            foreach ((string version, string change) in spec.History)
            {
                reply.Array(2);
                Bulk(reply, version);
                Bulk(reply, change);
            }

            count++;
        }

        if (spec.Args.Length > 0)
        {
            Bulk(reply, "arguments");
            Arguments(reply, spec.Args);
            count++;
        }

        if (spec.Subcommands.Length > 0)
        {
            Bulk(reply, "subcommands");
            reply.Map(spec.Subcommands.Length);
            foreach (CommandSpec sub in spec.Subcommands)
            {
                Bulk(reply, sub.FullName);
                Docs(reply, sub);
            }

            count++;
        }

        reply.EndDeferredMap(mark, count);
    }

    private static string GroupName(CommandGroup group) => group switch
    {
        CommandGroup.SortedSet => "sorted-set",
        CommandGroup.HyperLogLog => "hyperloglog",
        CommandGroup.PubSub => "pubsub",
        _ => group.ToString().ToLowerInvariant(),
    };

    private static void Arguments(RespWriter reply, IReadOnlyList<Arg> args)
    {
        reply.Array(args.Count);
        foreach (Arg arg in args)
        {
            long mark = reply.BeginDeferred();
            int count = 2;
            Bulk(reply, "name");
            Bulk(reply, arg.Name);
            Bulk(reply, "type");
            Bulk(reply, KindName(arg.Kind));
            void Text(string name, string? value)
            {
                if (value is not null)
                {
                    Bulk(reply, name);
                    Bulk(reply, value);
                    count++;
                }
            }

            Text("display_text", arg.DisplayText);
            if (arg.KeySpecIndex >= 0)
            {
                Field(reply, "key_spec_index", arg.KeySpecIndex);
                count++;
            }

            Text("token", arg.TokenText);
            Text("since", arg.SinceVersion);
            Text("deprecated_since", arg.DeprecatedSinceVersion);
            string[] flags =
            [
                .. (string[])(arg.IsOptional ? ["optional"] : []),
                .. (string[])(arg.IsMultiple ? ["multiple"] : []),
                .. (string[])(arg.IsMultipleToken ? ["multiple_token"] : []),
            ];
            if (flags.Length > 0)
            {
                Bulk(reply, "flags");
                Words(reply, flags, "");
                count++;
            }

            if (arg.Kind is ArgKind.OneOf or ArgKind.Block)
            {
                Bulk(reply, "arguments");
                Arguments(reply, arg.Children);
                count++;
            }

            reply.EndDeferredMap(mark, count);
        }
    }

    private static string KindName(ArgKind kind) => kind switch
    {
        ArgKind.UnixTime => "unix-time",
        ArgKind.PureToken => "pure-token",
        _ => kind.ToString().ToLowerInvariant(),
    };

    private static void RunGetKeys(CommandContext c) => Keys(c, withFlags: false);

    private static void RunGetKeysAndFlags(CommandContext c) => Keys(c, withFlags: true);

    private static void Keys(CommandContext c, bool withFlags)
    {
        CommandSpec? spec = c.Server.Commands.Find(c[2]);
        if (spec is not null && spec.Subcommands.Length > 0)
        {
            spec = (c.Count > 3 ? CommandTable.FindSub(spec, c[3]) : null) ?? (spec.Handler == null ? null : spec);
        }

        if (spec is null)
        {
            c.Error("ERR Invalid command specified"u8);
            return;
        }

        if (!CommandKeys.HasKeys(spec))
        {
            c.Error("ERR The command has no key arguments"u8);
            return;
        }

        if (!spec.Accepts(c.Count - 2))
        {
            c.Error("ERR Invalid number of arguments specified for command"u8);
            return;
        }

        List<KeyPosition> keys = [];
        if (!CommandKeys.TryFind(spec, new ArgView(c.Args + 2, c.Count - 2), keys) || keys.Count == 0)
        {
            if (spec.Has(CommandFlags.NoMandatoryKeys))
            {
                c.Reply.EmptyArray();
            }
            else
            {
                c.Error("ERR Invalid arguments specified for command"u8);
            }

            return;
        }

        c.Reply.Array(keys.Count);
        foreach (KeyPosition key in keys)
        {
            if (withFlags)
            {
                c.Reply.Array(2);
            }

            c.Reply.Bulk(c[key.Index + 2]);
            if (withFlags)
            {
                AccessFlags(c.Reply, key.Access);
            }
        }
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.");
}
