namespace Leither.MmDb.Commands;

/// <summary>MULTI, EXEC, DISCARD, WATCH and UNWATCH.</summary>
public static unsafe class TransactionCommands
{
    /// <summary>MULTI</summary>
    public static readonly CommandSpec Multi = new("multi", 1)
    {
        Since = "1.2.0",
        Group = CommandGroup.Transactions,
        Complexity = "O(1)",
        Summary = "Starts a transaction.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.AllowBusy | CommandFlags.NoMulti | CommandFlags.EndsBatch,
        Handler = &RunMulti,
    };

    /// <summary>EXEC</summary>
    public static readonly CommandSpec Exec = new("exec", 1)
    {
        Since = "1.2.0",
        Group = CommandGroup.Transactions,
        Complexity = "Depends on commands in the transaction",
        Summary = "Executes all commands in a transaction.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.SkipSlowLog | CommandFlags.NoMulti | CommandFlags.EndsBatch,
        Handler = &RunExec,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Multi, Exec];

    private static void RunMulti(CommandContext c)
    {
        if (c.Session.Transaction is not null)
        {
            c.Error(Errors.NestedMulti);
            return;
        }

        c.Session.Transaction = [];
        c.Reply.Ok();
    }

    private static void RunExec(CommandContext c)
    {
        Session session = c.Session;
        if (session.Transaction is not { } queue)
        {
            c.Error(Errors.ExecWithoutMulti);
            return;
        }

        bool aborted = session.TransactionAborted, broken = session.WatchBroken;
        Transactions.End(session);
        if (aborted)
        {
            c.Error(Errors.ExecAborted);
            return;
        }

        if (broken)
        {
            c.Reply.NullArray();
            return;
        }

        c.Reply.Array(queue.Count);
        bool before = c.EnterAtomic();
        foreach (QueuedCommand command in queue)
        {
            c.Server.Dispatcher.CallNested(session, command);
        }

        c.LeaveAtomic(before);
        c.Failed = false;
    }
}
