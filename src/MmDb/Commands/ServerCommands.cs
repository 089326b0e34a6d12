using System.Diagnostics.CodeAnalysis;
using System.Text;
using Leither.MmDb.Values;

namespace Leither.MmDb.Commands;

/// <summary>Commands for the server and its databases as a whole. INFO, CONFIG, COMMAND, DEBUG and MEMORY have files of their own.</summary>
public static unsafe class ServerCommands
{
    /// <summary>DBSIZE</summary>
    public static readonly CommandSpec DbSize = new("dbsize", 1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Returns the number of keys in the database.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Tips = ["request_policy:all_shards", "response_policy:agg_sum"],
        Handler = &RunDbSize,
    };

    /// <summary>FLUSHDB [ASYNC | SYNC]</summary>
    public static readonly CommandSpec FlushDb = new("flushdb", -1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(N) where N is the number of keys in the selected database",
        Summary = "Remove all keys from the current database.",
        Flags = CommandFlags.Write | CommandFlags.EndsBatch,
        Categories = ["keyspace", "dangerous"],
        History = [("4.0.0", "Added the `ASYNC` flushing mode modifier."), ("6.2.0", "Added the `SYNC` flushing mode modifier.")],
        Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
        Args = [Arg.OneOf("flush-type", Arg.Word("async", "ASYNC").Since("4.0.0"), Arg.Word("sync", "SYNC").Since("6.2.0")).Optional()],
        Handler = &RunFlushDb,
    };

    /// <summary>FLUSHALL [ASYNC | SYNC]</summary>
    public static readonly CommandSpec FlushAll = new("flushall", -1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(N) where N is the total number of keys in all databases",
        Summary = "Removes all keys from all databases.",
        Flags = CommandFlags.Write | CommandFlags.EndsBatch,
        Categories = ["keyspace", "dangerous"],
        History = [("4.0.0", "Added the `ASYNC` flushing mode modifier."), ("6.2.0", "Added the `SYNC` flushing mode modifier.")],
        Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
        Args = [Arg.OneOf("flush-type", Arg.Word("async", "ASYNC").Since("4.0.0"), Arg.Word("sync", "SYNC").Since("6.2.0")).Optional()],
        Handler = &RunFlushAll,
    };

    /// <summary>SWAPDB index1 index2</summary>
    public static readonly CommandSpec SwapDb = new("swapdb", 3)
    {
        Since = "4.0.0",
        Group = CommandGroup.Server,
        Complexity = "O(N) where N is the count of clients watching or blocking on keys from both databases.",
        Summary = "Swaps two Redis databases.",
        Flags = CommandFlags.Write | CommandFlags.Fast | CommandFlags.EndsBatch,
        Categories = ["keyspace", "dangerous"],
        Args = [Arg.Integer("index1"), Arg.Integer("index2")],
        Handler = &RunSwapDb,
    };

    /// <summary>TIME</summary>
    public static readonly CommandSpec Time = new("time", 1)
    {
        Since = "2.6.0",
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Returns the server time.",
        Flags = CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast,
        Tips = ["nondeterministic_output"],
        Handler = &RunTime,
    };

    /// <summary>LOLWUT [VERSION version]</summary>
    public static readonly CommandSpec Lolwut = new("lolwut", -1)
    {
        Since = "5.0.0",
        Group = CommandGroup.Server,
        Summary = "Displays computer art and the Redis version",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Args = [Arg.Integer("version").Token("VERSION").Optional()],
        Handler = &RunLolwut,
    };

    /// <summary>LASTSAVE</summary>
    public static readonly CommandSpec LastSave = new("lastsave", 1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Returns the Unix timestamp of the last successful save to disk.",
        Flags = CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast,
        Categories = ["admin", "dangerous"],
        Tips = ["nondeterministic_output"],
        Handler = &RunLastSave,
    };

    /// <summary>SAVE</summary>
    public static readonly CommandSpec Save = new("save", 1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(N) where N is the total number of keys in all databases",
        Summary = "Synchronously saves the database(s) to disk.",
        Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch,
        Handler = &RunSave,
    };

    /// <summary>BGSAVE [SCHEDULE]</summary>
    public static readonly CommandSpec BgSave = new("bgsave", -1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Asynchronously saves the database(s) to disk.",
        Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoScript,
        History = [("3.2.2", "Added the `SCHEDULE` option.")],
        Args = [Arg.Word("schedule", "SCHEDULE").Optional().Since("3.2.2")],
        Handler = &RunBgSave,
    };

    /// <summary>BGREWRITEAOF</summary>
    public static readonly CommandSpec BgRewriteAof = new("bgrewriteaof", 1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Asynchronously rewrites the append-only file to disk.",
        Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoScript,
        Handler = &RunBgRewriteAof,
    };

    /// <summary>SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]</summary>
    public static readonly CommandSpec Shutdown = new("shutdown", -1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
        Summary = "Synchronously saves the database(s) to disk and shuts down the Redis server.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.NoMulti | CommandFlags.AllowBusy | CommandFlags.EndsBatch,
        History = [("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")],
        Args =
        [
            Arg.OneOf("save-selector", Arg.Word("nosave", "NOSAVE"), Arg.Word("save", "SAVE")).Optional(),
            Arg.Word("now", "NOW").Optional().Since("7.0.0"),
            Arg.Word("force", "FORCE").Optional().Since("7.0.0"),
            Arg.Word("abort", "ABORT").Optional().Since("7.0.0"),
        ],
        Handler = &RunShutdown,
    };

    /// <summary>MONITOR</summary>
    public static readonly CommandSpec Monitor = new("monitor", 1)
    {
        Group = CommandGroup.Server,
        Summary = "Listens for all requests received by the server in real-time.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.EndsBatch,
        Handler = &RunMonitor,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [DbSize, FlushDb, FlushAll, SwapDb, Time, Lolwut, LastSave, Save, BgSave, BgRewriteAof, Shutdown, Monitor];

    private static void RunDbSize(CommandContext c) => c.Reply.Integer(c.Database.Count);

    private static void RunFlushDb(CommandContext c)
    {
        if (TryFlushMode(c))
        {
            c.Effects.FlushDatabase(c.Database);
            c.Mimei.Tracking.Flushed();
            c.Reply.Ok();
        }
    }

    private static void RunFlushAll(CommandContext c)
    {
        if (TryFlushMode(c))
        {
            c.Effects.FlushAll();
            c.Mimei.Tracking.Flushed();
            // As in Redis: emptying what was empty is a change too.
            c.Keyspace.Dirty++;
            c.Reply.Ok();
        }
    }

    /// <summary>SYNC and ASYNC: the keys are gone at once either way, and their memory comes back in slices.</summary>
    private static bool TryFlushMode(CommandContext c)
    {
        if (c.Count == 1 || (c.Count == 2 && (c.Is(1, "sync"u8) || c.Is(1, "async"u8))))
        {
            return true;
        }

        c.Error(Errors.Syntax);
        return false;
    }

    private static void RunSwapDb(CommandContext c)
    {
        if (!c.TryLong(1, int.MinValue, int.MaxValue, "ERR invalid first DB index"u8, out long first)
            || !c.TryLong(2, int.MinValue, int.MaxValue, "ERR invalid second DB index"u8, out long second))
        {
            return;
        }

        Database[] databases = c.Keyspace.Databases;
        if ((ulong)first >= (ulong)databases.Length || (ulong)second >= (ulong)databases.Length)
        {
            c.Error(Errors.DbIndexOutOfRange);
            return;
        }

        c.Effects.SwapDatabases(databases[first], databases[second]);
        c.Reply.Ok();
    }

    private static void RunTime(CommandContext c)
    {
        long microseconds = c.Microseconds;
        c.Reply.Array(2);
        c.Reply.BulkInteger(microseconds / 1_000_000);
        c.Reply.BulkInteger(microseconds % 1_000_000);
    }

    /// <summary>A small drawing: Leither's own, a tree whose leaves are drawn by chance.</summary>
    private static void RunLolwut(CommandContext c)
    {
        int rows = 8, first = 1;
        if (c.Count >= 3 && c.Is(1, "version"u8))
        {
            if (!c.TryLong(2, out _))
            {
                return;
            }

            first = 3;
        }

        if (c.Count > first)
        {
            if (!c.TryLong(first, out long wanted))
            {
                return;
            }

            rows = (int)Math.Clamp(wanted, 1, 40);
        }

        var text = new StringBuilder();
        for (int row = 0; row < rows; row++)
        {
            text.Append(' ', rows - row);
            for (int i = 0; i <= row; i++)
            {
                text.Append("*o.+"[(int)c.Keyspace.Random.Below(4)]).Append(' ');
            }

            text.Append('\n');
        }

        text.Append(' ', rows).Append("|\n\nRedis ver. ").Append(ServerOptions.RedisVersion).Append('\n');
        c.Reply.Verbatim("txt"u8, Encoding.UTF8.GetBytes(text.ToString()));
    }

    private static void RunLastSave(CommandContext c) => c.Reply.Integer((c.Mimei.Checkpointer?.LastSavedMs ?? c.Server.StartedMs) / 1000);

    /// <summary>What is said where there is nowhere to save to.</summary>
    private static ReadOnlySpan<byte> NoFiles => "ERR This server keeps no files: it has nowhere to save to"u8;

    private static ReadOnlySpan<byte> NothingToSave => "READONLY what is open here cannot be changed: there is nothing to save"u8;

    private static void RunSave(CommandContext c)
    {
        if (c.Mimei.Checkpointer is not { } checkpointer)
        {
            c.Error(c.Mimei.IsReadOnly ? NothingToSave : NoFiles);
        }
        else if (checkpointer.IsRunning)
        {
            c.Error("ERR Background save already in progress"u8);
        }
        else if (checkpointer.Save() is { } error)
        {
            c.Error("ERR " + error);
        }
        else
        {
            c.Reply.Ok();
        }
    }

    private static void RunBgSave(CommandContext c)
    {
        bool scheduled = c.Count == 2 && c.Is(1, "schedule"u8);
        if (c.Count > 1 && !scheduled)
        {
            c.Error(Errors.Syntax);
        }
        else if (c.Mimei.Checkpointer is not { } checkpointer)
        {
            c.Error(c.Mimei.IsReadOnly ? NothingToSave : NoFiles);
        }
        else if (checkpointer.IsRunning)
        {
            c.Error("ERR Background save already in progress"u8);
        }
        else if (checkpointer.Start() is { } error)
        {
            c.Error("ERR " + error);
        }
        else
        {
            c.Reply.Simple("Background saving started"u8);
        }
    }

    /// <summary>The log is shortened by a checkpoint, so this begins one.</summary>
    private static void RunBgRewriteAof(CommandContext c)
    {
        if (c.Mimei.Checkpointer is not { } checkpointer)
        {
            c.Error(c.Mimei.IsReadOnly ? NothingToSave : NoFiles);
        }
        else if (checkpointer.IsRunning)
        {
            c.Error("ERR Background append only file rewriting already in progress"u8);
        }
        else if (checkpointer.Start() is { } error)
        {
            c.Error("ERR " + error);
        }
        else
        {
            c.Reply.Simple("Background append only file rewriting started"u8);
        }
    }

    private static void RunShutdown(CommandContext c)
    {
        bool save = false, noSave = false, now = false, force = false, abort = false;
        for (int i = 1; i < c.Count; i++)
        {
            save |= c.Is(i, "save"u8);
            noSave |= c.Is(i, "nosave"u8);
            now |= c.Is(i, "now"u8);
            force |= c.Is(i, "force"u8);
            abort |= c.Is(i, "abort"u8);
            if (!(c.Is(i, "save"u8) || c.Is(i, "nosave"u8) || c.Is(i, "now"u8) || c.Is(i, "force"u8) || c.Is(i, "abort"u8)))
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        if ((save && noSave) || (abort && c.Count > 2))
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (abort)
        {
            // The node stops at the end of the turn in which it was asked to: there is nothing that could still be called off.
            c.Error("ERR No shutdown in progress."u8);
            return;
        }

        if (c.CannotBlock && !now)
        {
            c.Error("ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client"u8);
            return;
        }

        if (c.Server.Scripts.IsBusy && !noSave)
        {
            c.Error(c.Server.Scripts.BusyError);
            return;
        }

        if (c.Server.Stop(new ShutdownRequest(save ? true : noSave ? false : null, now, force)) is not null)
        {
            c.Error("ERR Errors trying to SHUTDOWN. Check logs."u8);
            return;
        }

        c.Session.CloseAfterReply();
    }

    private static void RunMonitor(CommandContext c)
    {
        if (c.CannotBlock)
        {
            c.Error("ERR MONITOR isn't allowed for DENY BLOCKING client"u8);
            return;
        }

        if (!c.Session.IsMonitor)
        {
            c.Server.StartMonitoring(c.Session);
        }

        c.Reply.Ok();
    }
}
