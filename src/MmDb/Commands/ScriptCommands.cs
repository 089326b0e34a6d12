using System.Text;
using Leither.MmDb.Scripting;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>EVAL, EVALSHA, their read-only forms, and SCRIPT.</summary>
public static unsafe class ScriptCommands
{
    internal const int DigestLength = 40;
    private const CommandFlags EvalFlags = CommandFlags.NoScript | CommandFlags.Stale | CommandFlags.SkipMonitor | CommandFlags.MayReplicate
        | CommandFlags.NoMandatoryKeys | CommandFlags.MovableKeys;
    private const CommandFlags EvalReadOnlyFlags = CommandFlags.NoScript | CommandFlags.Stale | CommandFlags.SkipMonitor | CommandFlags.ReadOnly
        | CommandFlags.NoMandatoryKeys | CommandFlags.MovableKeys;

    internal const CommandFlags CallFlags = EvalFlags, CallReadOnlyFlags = EvalReadOnlyFlags;

    /// <summary>EVAL script numkeys key … arg …</summary>
    public static readonly CommandSpec Eval = new("eval", -3)
    {
        Since = "2.6.0",
        Group = CommandGroup.Scripting,
        Complexity = "Depends on the script that is executed.",
        Summary = "Executes a server-side Lua script.",
        Flags = EvalFlags,
        Keys = WritingKeys(withNote: true),
        Args = CallArgs("script"),
        Handler = &RunEval,
    };

    /// <summary>EVALSHA digest numkeys key … arg …</summary>
    public static readonly CommandSpec EvalSha = new("evalsha", -3)
    {
        Since = "2.6.0",
        Group = CommandGroup.Scripting,
        Complexity = "Depends on the script that is executed.",
        Summary = "Executes a server-side Lua script by SHA1 digest.",
        Flags = EvalFlags,
        Keys = WritingKeys(withNote: false),
        Args = CallArgs("sha1"),
        Handler = &RunEvalSha,
    };

    /// <summary>EVAL_RO script numkeys key … arg …</summary>
    public static readonly CommandSpec EvalReadOnly = new("eval_ro", -3)
    {
        Since = "7.0.0",
        Group = CommandGroup.Scripting,
        Complexity = "Depends on the script that is executed.",
        Summary = "Executes a read-only server-side Lua script.",
        Flags = EvalReadOnlyFlags,
        Keys = ReadingKeys(withNote: true),
        Args = CallArgs("script"),
        Handler = &RunEvalReadOnly,
    };

    /// <summary>EVALSHA_RO digest numkeys key … arg …</summary>
    public static readonly CommandSpec EvalShaReadOnly = new("evalsha_ro", -3)
    {
        Since = "7.0.0",
        Group = CommandGroup.Scripting,
        Complexity = "Depends on the script that is executed.",
        Summary = "Executes a read-only server-side Lua script by SHA1 digest.",
        Flags = EvalReadOnlyFlags,
        Keys = ReadingKeys(withNote: false),
        Args = CallArgs("sha1"),
        Handler = &RunEvalShaReadOnly,
    };

    /// <summary>SCRIPT</summary>
    public static readonly CommandSpec Script = new("script", -2)
    {
        Since = "2.6.0",
        Group = CommandGroup.Scripting,
        Complexity = "Depends on subcommand.",
        Summary = "A container for Lua scripts management commands.",
        Subcommands =
        [
            new("debug", 3)
            {
                Since = "3.2.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(1)",
                Summary = "Sets the debug mode of server-side Lua scripts.",
                Flags = CommandFlags.NoScript,
                Args = [Arg.OneOf("mode", Arg.Word("yes", "YES"), Arg.Word("sync", "SYNC"), Arg.Word("no", "NO"))],
                Handler = &RunDebug,
            },
            new("exists", -3)
            {
                Since = "2.6.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
                Summary = "Determines whether server-side Lua scripts exist in the script cache.",
                Flags = CommandFlags.NoScript,
                Tips = ["request_policy:all_shards", "response_policy:agg_logical_and"],
                Args = [Arg.String("sha1").Multiple()],
                Handler = &RunExists,
            },
            new("flush", -2)
            {
                Since = "2.6.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(N) with N being the number of scripts in cache",
                Summary = "Removes all server-side Lua scripts from the script cache.",
                Flags = CommandFlags.NoScript,
                History = [("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")],
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Args = [Arg.OneOf("flush-type", Arg.Word("async", "ASYNC"), Arg.Word("sync", "SYNC")).Optional().Since("6.2.0")],
                Handler = &RunFlush,
            },
            new("help", 2)
            {
                Since = "5.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("kill", 2)
            {
                Since = "2.6.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(1)",
                Summary = "Terminates a server-side Lua script during execution.",
                Flags = CommandFlags.NoScript | CommandFlags.AllowBusy,
                Tips = ["request_policy:all_shards", "response_policy:one_succeeded"],
                Handler = &RunKill,
            },
            new("load", 3)
            {
                Since = "2.6.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(N) with N being the length in bytes of the script body.",
                Summary = "Loads a server-side Lua script to the script cache.",
                Flags = CommandFlags.NoScript | CommandFlags.Stale,
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Args = [Arg.String("script")],
                Handler = &RunLoad,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Eval, EvalSha, EvalReadOnly, EvalShaReadOnly, Script];

    internal static KeySpec[] WritingKeys(bool withNote) =>
    [
        KeySpec.Counted(2, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Update,
            notes: withNote ? "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE" : null),
    ];

    internal static KeySpec[] ReadingKeys(bool withNote) =>
    [
        KeySpec.Counted(2, KeyAccess.ReadOnly | KeyAccess.Access,
            notes: withNote ? "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS" : null),
    ];

    internal static Arg[] CallArgs(string what) =>
        [Arg.String(what), Arg.Integer("numkeys"), Arg.Key("key").Optional().Multiple(), Arg.String("arg").Optional().Multiple()];

    private static void RunEval(CommandContext c) => RunBody(c, readOnly: false);

    private static void RunEvalReadOnly(CommandContext c) => RunBody(c, readOnly: true);

    private static void RunEvalSha(CommandContext c) => RunDigest(c, readOnly: false);

    private static void RunEvalShaReadOnly(CommandContext c) => RunDigest(c, readOnly: true);

    /// <summary>Monitors see a script before what it calls.</summary>
    internal static void Feed(CommandContext c)
    {
        if (c.Server.Monitors.Count > 0)
        {
            c.Server.Monitors.Feed(c.Session, c.Session.DatabaseIndex, c.Spec, c.Args, c.Count);
        }
    }

    private static bool TryKeyCount(CommandContext c, out int count)
    {
        count = 0;
        if (!c.TryLong(2, out long keys))
        {
            return false;
        }

        if (keys > c.Count - 3)
        {
            c.Error("ERR Number of keys can't be greater than number of args"u8);
            return false;
        }

        if (keys < 0)
        {
            c.Error("ERR Number of keys can't be negative"u8);
            return false;
        }

        count = (int)keys;
        return true;
    }

    private static void RunBody(CommandContext c, bool readOnly)
    {
        Feed(c);
        if (!TryKeyCount(c, out int keys))
        {
            return;
        }

        string digest = ScriptEngine.Sha1(c[1].Span);
        if (c.Server.Scripts.Add(c[1].Span, digest, out CachedScript script) is { } problem)
        {
            c.Error(problem);
            return;
        }

        c.Server.Scripts.Run(c, script, digest, keys, readOnly);
    }

    private static void RunDigest(CommandContext c, bool readOnly)
    {
        Feed(c);
        if (c[1].Length != DigestLength)
        {
            c.Error(Errors.NoScript);
            return;
        }

        if (!TryKeyCount(c, out int keys))
        {
            return;
        }

        string digest = string.Create(DigestLength, (nint)c[1].Pointer, static (chars, bytes) =>
        {
            Encoding.Latin1.GetChars(new ReadOnlySpan<byte>((byte*)bytes, DigestLength), chars);
            System.Text.Ascii.ToLowerInPlace(chars, out _);
        });
        if (!c.Server.Scripts.TryGet(digest, out CachedScript? script))
        {
            c.Error(Errors.NoScript);
            return;
        }

        c.Server.Scripts.Run(c, script, digest, keys, readOnly);
    }

    private static void RunLoad(CommandContext c)
    {
        string digest = ScriptEngine.Sha1(c[2].Span);
        if (c.Server.Scripts.Add(c[2].Span, digest, out _) is { } problem)
        {
            c.Error(problem);
            return;
        }

        c.Reply.Bulk(Encoding.Latin1.GetBytes(digest));
    }

    private static void RunExists(CommandContext c)
    {
        c.Reply.Array(c.Count - 2);
        for (int i = 2; i < c.Count; i++)
        {
            c.Reply.Integer(c.Server.Scripts.IsCached(Encoding.Latin1.GetString(c[i].Span).ToLowerInvariant()) ? 1 : 0);
        }
    }

    private static void RunFlush(CommandContext c)
    {
        if (c.Count > 3 || (c.Count == 3 && !c.Is(2, "sync"u8) && !c.Is(2, "async"u8)))
        {
            c.Error("ERR SCRIPT FLUSH only support SYNC|ASYNC option"u8);
            return;
        }

        c.Server.Scripts.FlushCache();
        c.Reply.Ok();
    }

    private static void RunKill(CommandContext c) => c.Server.Scripts.Kill(c, isEval: true);

    /// <summary>There is no debugger: the mode can be left, not entered.</summary>
    private static void RunDebug(CommandContext c)
    {
        if (c.Is(2, "no"u8))
        {
            c.Reply.Ok();
        }
        else if (c.Is(2, "yes"u8) || c.Is(2, "sync"u8))
        {
            c.Error("ERR SCRIPT DEBUG is not supported"u8);
        }
        else
        {
            c.Error("ERR Use SCRIPT DEBUG YES/SYNC/NO"u8);
        }
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "DEBUG (YES|SYNC|NO)",
        "    Set the debug mode for subsequent scripts executed.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.");
}
