using System.Text;
using Leither.MmDb.Rdb;
using Leither.MmDb.Scripting;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>FCALL, FCALL_RO and FUNCTION.</summary>
public static unsafe class FunctionCommands
{
    /// <summary>FCALL function numkeys key … arg …</summary>
    public static readonly CommandSpec Call = new("fcall", -3)
    {
        Since = "7.0.0",
        Group = CommandGroup.Scripting,
        Complexity = "Depends on the function that is executed.",
        Summary = "Invokes a function.",
        Flags = ScriptCommands.CallFlags,
        Keys = ScriptCommands.WritingKeys(withNote: true),
        Args = ScriptCommands.CallArgs("function"),
        Handler = &RunCall,
    };

    /// <summary>FCALL_RO function numkeys key … arg …</summary>
    public static readonly CommandSpec CallReadOnly = new("fcall_ro", -3)
    {
        Since = "7.0.0",
        Group = CommandGroup.Scripting,
        Complexity = "Depends on the function that is executed.",
        Summary = "Invokes a read-only function.",
        Flags = ScriptCommands.CallReadOnlyFlags,
        Keys = ScriptCommands.ReadingKeys(withNote: true),
        Args = ScriptCommands.CallArgs("function"),
        Handler = &RunCallReadOnly,
    };

    /// <summary>FUNCTION</summary>
    public static readonly CommandSpec Function = new("function", -2)
    {
        Since = "7.0.0",
        Group = CommandGroup.Scripting,
        Complexity = "Depends on subcommand.",
        Summary = "A container for function commands.",
        Subcommands =
        [
            new("delete", 3)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(1)",
                Summary = "Deletes a library and its functions.",
                Flags = CommandFlags.NoScript | CommandFlags.Write,
                Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
                Args = [Arg.String("library-name")],
                Handler = &RunDelete,
            },
            new("dump", 2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(N) where N is the number of functions",
                Summary = "Dumps all libraries into a serialized binary payload.",
                Flags = CommandFlags.NoScript,
                Handler = &RunDump,
            },
            new("flush", -2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(N) where N is the number of functions deleted",
                Summary = "Deletes all libraries and functions.",
                Flags = CommandFlags.NoScript | CommandFlags.Write,
                Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
                Args = [Arg.OneOf("flush-type", Arg.Word("async", "ASYNC"), Arg.Word("sync", "SYNC")).Optional()],
                Handler = &RunFlush,
            },
            new("help", 2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("kill", 2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(1)",
                Summary = "Terminates a function during execution.",
                Flags = CommandFlags.NoScript | CommandFlags.AllowBusy,
                Tips = ["request_policy:all_shards", "response_policy:one_succeeded"],
                Handler = &RunKill,
            },
            new("list", -2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(N) where N is the number of functions",
                Summary = "Returns information about all libraries.",
                Flags = CommandFlags.NoScript,
                Tips = ["nondeterministic_output_order"],
                Args = [Arg.String("library-name-pattern").Token("LIBRARYNAME").Optional(), Arg.Word("withcode", "WITHCODE").Optional()],
                Handler = &RunList,
            },
            new("load", -3)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(1) (considering compilation time is redundant)",
                Summary = "Creates a library.",
                Flags = CommandFlags.NoScript | CommandFlags.Write | CommandFlags.DenyOom,
                Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
                Args = [Arg.Word("replace", "REPLACE").Optional(), Arg.String("function-code")],
                Handler = &RunLoad,
            },
            new("restore", -3)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(N) where N is the number of functions on the payload",
                Summary = "Restores all libraries from a payload.",
                Flags = CommandFlags.NoScript | CommandFlags.Write | CommandFlags.DenyOom,
                Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
                Args = [Arg.String("serialized-value"), Arg.OneOf("policy", Arg.Word("flush", "FLUSH"), Arg.Word("append", "APPEND"), Arg.Word("replace", "REPLACE")).Optional()],
                Handler = &RunRestore,
            },
            new("stats", 2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Scripting,
                Complexity = "O(1)",
                Summary = "Returns information about a function during execution.",
                Flags = CommandFlags.NoScript | CommandFlags.AllowBusy,
                Tips = ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                Handler = &RunStats,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Call, CallReadOnly, Function];

    private static void RunCall(CommandContext c) => Run(c, readOnly: false);

    private static void RunCallReadOnly(CommandContext c) => Run(c, readOnly: true);

    private static void Run(CommandContext c, bool readOnly)
    {
        ScriptCommands.Feed(c);
        if (!c.Functions.TryGet(Encoding.Latin1.GetString(c[1].Span), out Function? function))
        {
            c.Error("ERR Function not found"u8);
        }
        else if (!c[2].TryLong(out long keys))
        {
            c.Error("ERR Bad number of keys provided"u8);
        }
        else if (keys > c.Count - 3)
        {
            c.Error("ERR Number of keys can't be greater than number of args"u8);
        }
        else if (keys < 0)
        {
            c.Error("ERR Number of keys can't be negative"u8);
        }
        else
        {
            c.Functions.Run(c, function, (int)keys, readOnly);
        }
    }

    private static void RunLoad(CommandContext c)
    {
        bool replace = false;
        for (int i = 2; i < c.Count - 1; i++)
        {
            if (!c.Is(i, "replace"u8))
            {
                c.Error($"ERR Unknown option given: {c.TextToZero(i)}");
                return;
            }

            replace = true;
        }

        if (c.Functions.Load(c.Effects, c[c.Count - 1].Span.ToArray(), replace, out string name) is { } problem)
        {
            c.Error(problem);
            return;
        }

        c.Reply.Bulk(Encoding.Latin1.GetBytes(name));
    }

    private static void RunDelete(CommandContext c)
    {
        if (c.Functions.Delete(c.Effects, Encoding.Latin1.GetString(c[2].Span)))
        {
            c.Reply.Ok();
        }
        else
        {
            c.Error("ERR Library not found"u8);
        }
    }

    private static void RunFlush(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.SubcommandSyntax();
        }
        else if (c.Count == 3 && !c.Is(2, "sync"u8) && !c.Is(2, "async"u8))
        {
            c.Error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"u8);
        }
        else
        {
            c.Functions.Flush(c.Effects);
            c.Reply.Ok();
        }
    }

    private static void RunKill(CommandContext c) => c.Server.Scripts.Kill(c, isEval: false);

    private static void RunList(CommandContext c)
    {
        bool withCode = false;
        byte[]? pattern = null;
        for (int i = 2; i < c.Count; i++)
        {
            if (!withCode && c.Is(i, "withcode"u8))
            {
                withCode = true;
            }
            else if (pattern is null && c.Is(i, "libraryname"u8))
            {
                if (i == c.Count - 1)
                {
                    c.Error("ERR library name argument was not given"u8);
                    return;
                }

                pattern = c[++i].Span.ToArray();
            }
            else
            {
                c.Error($"ERR Unknown argument {c.TextToZero(i)}");
                return;
            }
        }

        Library[] libraries = [.. c.Functions.Libraries.Where(l => pattern is null || GlobPattern.Matches(pattern, Encoding.Latin1.GetBytes(l.Name), ignoreCase: true))];
        RespWriter reply = c.Reply;
        reply.Array(libraries.Length);
        foreach (Library library in libraries)
        {
            reply.Map(withCode ? 4 : 3);
            reply.Bulk("library_name"u8);
            reply.Bulk(Encoding.Latin1.GetBytes(library.Name));
            reply.Bulk("engine"u8);
            reply.Bulk("LUA"u8);
            reply.Bulk("functions"u8);
            reply.Array(library.Functions.Count);
            foreach (Function function in library.Functions)
            {
                reply.Map(3);
                reply.Bulk("name"u8);
                reply.Bulk(Encoding.Latin1.GetBytes(function.Name));
                reply.Bulk("description"u8);
                if (function.Description is { } description)
                {
                    reply.Bulk(description);
                }
                else
                {
                    reply.Null();
                }

                reply.Bulk("flags"u8);
                (string Name, ScriptFlags Flag)[] flags = [.. Shebang.Flags.Where(f => (function.Flags & f.Flag) != 0)];
                reply.Set(flags.Length);
                foreach ((string name, _) in flags)
                {
                    reply.Simple(Encoding.Latin1.GetBytes(name));
                }
            }

            if (withCode)
            {
                reply.Bulk("library_code"u8);
                reply.Bulk(library.Code);
            }
        }
    }

    private static void RunStats(CommandContext c)
    {
        ScriptRun? run = c.Server.Scripts.Current;
        if (run is { IsEval: true })
        {
            c.Error(Errors.BusyScript);
            return;
        }

        RespWriter reply = c.Reply;
        reply.Map(2);
        reply.Bulk("running_script"u8);
        if (run is null)
        {
            reply.Null();
        }
        else
        {
            reply.Map(3);
            reply.Bulk("name"u8);
            reply.Bulk(Encoding.Latin1.GetBytes(run.Name));
            reply.Bulk("command"u8);
            reply.Array(run.ArgCount);
            for (int i = 0; i < run.ArgCount; i++)
            {
                reply.Bulk(run.Args[i]);
            }

            reply.Bulk("duration_ms"u8);
            reply.Integer(run.ElapsedMs);
        }

        reply.Bulk("engines"u8);
        reply.Map(1);
        reply.Bulk("LUA"u8);
        reply.Map(2);
        reply.Bulk("libraries_count"u8);
        reply.Integer(c.Functions.LibraryCount);
        reply.Bulk("functions_count"u8);
        reply.Integer(c.Functions.FunctionCount);
    }

    private static void RunDump(CommandContext c)
    {
        using var payload = new RdbBuffer();
        foreach (Library library in c.Functions.Libraries)
        {
            payload.Byte(RdbFormat.Function2);
            payload.String(library.Code);
        }

        payload.Footer();
        c.Reply.Bulk(payload.Data, payload.Length);
    }

    private static void RunRestore(CommandContext c)
    {
        if (c.Count > 4)
        {
            c.SubcommandSyntax();
            return;
        }

        if (c.Count == 4 && !c.Is(3, "append"u8) && !c.Is(3, "replace"u8) && !c.Is(3, "flush"u8))
        {
            c.Error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."u8);
            return;
        }

        if (!DumpCommands.IsIntact(c[2], c.Server.SkipsChecksums))
        {
            c.Error("ERR DUMP payload version or checksum are wrong"u8);
            return;
        }

        var codes = new List<byte[]>();
        var scratch = default(RdbScratch);
        try
        {
            var reader = new RdbReader(c[2].Pointer, c[2].Length - RdbFormat.FooterBytes);
            while (!reader.AtEnd)
            {
                switch (reader.Byte())
                {
                    case RdbFormat.Function2:
                        codes.Add(reader.String(ref scratch).Span.ToArray());
                        break;
                    case RdbFormat.FunctionPreGa:
                        c.Error("ERR Pre-GA function format not supported"u8);
                        return;
                    default:
                        c.Error("ERR given type is not a function"u8);
                        return;
                }
            }
        }
        catch (RdbFormatException)
        {
            c.Error("ERR Failed loading library data"u8);
            return;
        }
        finally
        {
            scratch.Dispose();
        }

        if (c.Functions.Restore(c.Effects, codes, c.Count == 4 && c.Is(3, "flush"u8), c.Count == 4 && c.Is(3, "replace"u8)) is { } problem)
        {
            c.Error(problem);
            return;
        }

        c.Reply.Ok();
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a new library with the given library name and code.",
        "DELETE <LIBRARY NAME>",
        "    Delete the given library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries:",
        "    * Library name",
        "    * The engine used to run the Library",
        "    * Library description",
        "    * Functions list",
        "    * Library code (if WITHCODE is given)",
        "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
        "STATS",
        "    Return information about the current function running:",
        "    * Function name",
        "    * Command used to run the function",
        "    * Duration in MS that the function is running",
        "    If no function is running, return nil",
        "    In addition, returns a list of available engines.",
        "KILL",
        "    Kill the current running function.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the libraries.",
        "    * SYNC: Synchronously flush the libraries.",
        "DUMP",
        "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
        "    control how to handle existing libraries (default APPEND):",
        "    * FLUSH: delete all existing libraries.",
        "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
        "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
        "      libraries with the new libraries (notice that even on this option there is a chance of failure",
        "      in case of functions name collision with another library).");
}
