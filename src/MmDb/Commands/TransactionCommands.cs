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
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.AllowBusy | CommandFlags.EndsBatch | CommandFlags.NotQueued,
        Handler = &RunMulti,
    };

    /// <summary>EXEC</summary>
    public static readonly CommandSpec Exec = new("exec", 1)
    {
        Since = "1.2.0",
        Group = CommandGroup.Transactions,
        Complexity = "Depends on commands in the transaction",
        Summary = "Executes all commands in a transaction.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.SkipSlowLog | CommandFlags.EndsBatch | CommandFlags.NotQueued,
        Handler = &RunExec,
    };

    /// <summary>DISCARD</summary>
    public static readonly CommandSpec Discard = new("discard", 1)
    {
        Since = "2.0.0",
        Group = CommandGroup.Transactions,
        Complexity = "O(N), when N is the number of queued commands",
        Summary = "Discards a transaction.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.AllowBusy | CommandFlags.EndsBatch | CommandFlags.NotQueued,
        Handler = &RunDiscard,
    };

    /// <summary>WATCH key …</summary>
    public static readonly CommandSpec Watch = new("watch", -2)
    {
        Since = "2.2.0",
        Group = CommandGroup.Transactions,
        Complexity = "O(1) for every key.",
        Summary = "Monitors changes to keys to determine the execution of a transaction.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.AllowBusy | CommandFlags.EndsBatch | CommandFlags.NotQueued,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Handler = &RunWatch,
    };

    /// <summary>UNWATCH</summary>
    public static readonly CommandSpec Unwatch = new("unwatch", 1)
    {
        Since = "2.2.0",
        Group = CommandGroup.Transactions,
        Complexity = "O(1)",
        Summary = "Forgets about watched keys of a transaction.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.AllowBusy,
        Handler = &RunUnwatch,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Multi, Exec, Discard, Watch, Unwatch];

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

        bool aborted = session.TransactionAborted, broken = session.WatchBroken || Transactions.HasExpiredWatch(session);
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
            if (session.IsRestricted && !c.Server.Users.StillAllows(session, command, out string refusal))
            {
                c.Error(refusal);
            }
            else
            {
                c.Server.Dispatcher.CallNested(session, command);
            }
        }

        c.LeaveAtomic(before);
        c.Failed = false;
    }

    private static void RunDiscard(CommandContext c)
    {
        if (c.Session.Transaction is null)
        {
            c.Error(Errors.DiscardWithoutMulti);
            return;
        }

        Transactions.End(c.Session);
        c.Reply.Ok();
    }

    private static void RunWatch(CommandContext c)
    {
        if (c.Session.Transaction is not null)
        {
            c.Error(Errors.WatchInMulti);
            return;
        }

        // Once one has changed, nothing that is watched besides matters.
        for (int i = 1; i < c.Count && !c.Session.WatchBroken; i++)
        {
            Transactions.Watch(c.Session, c.Database, c.Key(i));
        }

        c.Reply.Ok();
    }

    private static void RunUnwatch(CommandContext c)
    {
        Transactions.Unwatch(c.Session);
        c.Reply.Ok();
    }
}
