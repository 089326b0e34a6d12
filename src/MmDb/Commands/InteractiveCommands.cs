using Leither.MmDb.Configuration;

namespace Leither.MmDb.Commands;

/// <summary>BEGIN, COMMIT and ROLLBACK: transactions whose commands run at once and see each other. What they are stands in <see cref="InteractiveTransaction"/>.</summary>
public static unsafe class InteractiveCommands
{
    /// <summary>BEGIN [timeout]</summary>
    public static readonly CommandSpec Begin = new("begin", -1)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(1). Afterwards a key is copied when a command first looks at it or changes it: O(N) where N is the size of its value.",
        Summary = "Starts a transaction whose commands run at once, seen by this client alone until COMMIT.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.Fast | CommandFlags.EndsBatch,
        Categories = ["transaction"],
        Args = [Arg.Integer("timeout").Shown("timeout-ms").Optional()],
        Handler = &RunBegin,
    };

    /// <summary>COMMIT</summary>
    public static readonly CommandSpec Commit = new("commit", 1)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of keys that the transaction touched and of changes that it made.",
        Summary = "Does all that the transaction did, if no key that it touched was changed by others meanwhile; otherwise nothing.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch,
        Categories = ["transaction"],
        Handler = &RunCommit,
    };

    /// <summary>ROLLBACK</summary>
    public static readonly CommandSpec Rollback = new("rollback", 1)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of keys that the transaction touched.",
        Summary = "Forgets all that the transaction did.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.Fast | CommandFlags.AllowBusy | CommandFlags.EndsBatch,
        Categories = ["transaction"],
        Handler = &RunRollback,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Begin, Commit, Rollback];

    private static void RunBegin(CommandContext c)
    {
        if (c.Session.Interactive is not null)
        {
            c.Error("ERR BEGIN calls can not be nested"u8);
            return;
        }

        if (c.Mimei.Current is not null)
        {
            c.Error("ERR what is open here never changes, so there is nothing to commit: its commands agree with each other without BEGIN"u8);
            return;
        }

        if (c.Count > 2)
        {
            c.WrongArity();
            return;
        }

        long timeMs = c.Server.Settings.Get(ConfigKeys.TransactionTimeout);
        if (c.Count == 2 && !c.TryLong(1, 1, InteractiveTransaction.MostMs, Errors.TimeoutOutOfRange, out timeMs))
        {
            return;
        }

        InteractiveTransaction.Begin(c.Server, c.Session, timeMs);
        c.Rebind();
        c.Reply.Ok();
    }

    private static void RunCommit(CommandContext c)
    {
        if (c.Session.Interactive is { } transaction)
        {
            transaction.Commit(c);
        }
        else
        {
            c.Error("ERR COMMIT without BEGIN"u8);
        }
    }

    private static void RunRollback(CommandContext c)
    {
        if (c.Session.Interactive is null)
        {
            c.Error("ERR ROLLBACK without BEGIN"u8);
            return;
        }

        InteractiveTransaction.End(c.Session);
        c.Rebind();
        c.Reply.Ok();
    }
}
