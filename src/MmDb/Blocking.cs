using Leither.MmDb.Commands;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>What a blocked client waits for.</summary>
public sealed class BlockedState
{
    /// <summary>The command, which is run again when one of its keys may serve it.</summary>
    public required QueuedCommand Command { get; init; }
    /// <summary>The database it was sent in.</summary>
    public required int Database { get; init; }
    /// <summary>The keys it waits on.</summary>
    public required byte[][] Keys { get; init; }
    /// <summary>The type that can serve it.</summary>
    public required DataType Type { get; init; }
    /// <summary>Whether the command is also run again when a key goes or becomes something else: it fails then.</summary>
    public bool WakesOnLoss { get; init; }
    /// <summary>Whether what it waits for, which is no key, has come; null where it waits for keys.</summary>
    public Func<bool>? IsSatisfied { get; init; }
    /// <summary>Whether what it waits for is the disk of this node, which does not say when it is through.</summary>
    public bool WaitsForDisk { get; init; }
    /// <summary>When it gives up, in Unix milliseconds; 0: never.</summary>
    public required long DeadlineMs { get; init; }
    /// <summary>What it is told then.</summary>
    public required Action<Resp.RespWriter> OnTimeout { get; init; }
    /// <summary>Is called when the client no longer waits; null: nobody wants to know.</summary>
    public Action? Ended { get; init; }
    /// <summary>Whether it ended already: its entry in the deadline queue is then void.</summary>
    internal bool IsOver { get; set; }
}

/// <summary>
/// Clients that wait on keys. First come, first served, per key; a command that may be served is run again as if it had just
/// arrived, so that it takes, logs and replies like any other.
/// </summary>
public sealed unsafe class Blocking(Server server)
{
    private readonly PriorityQueue<(Session Session, BlockedState State), long> _deadlines = new();

    /// <summary>Number of blocked clients.</summary>
    public int Count { get; private set; }

    /// <summary>Number of blocked clients that give up at some time.</summary>
    public int CountWithDeadline
    {
        get
        {
            int count = 0;
            foreach (((Session, BlockedState State) wait, _) in _deadlines.UnorderedItems)
            {
                count += wait.State.IsOver ? 0 : 1;
            }

            return count;
        }
    }

    /// <summary>The earliest deadline, in Unix milliseconds, or 0.</summary>
    public long NextDeadlineMs
    {
        get
        {
            while (_deadlines.TryPeek(out (Session Session, BlockedState State) first, out long deadline))
            {
                if (!first.State.IsOver)
                {
                    return deadline;
                }

                _deadlines.Dequeue();
            }

            return 0;
        }
    }

    /// <summary>Makes a session wait.</summary>
    internal void Block(Session session, BlockedState state)
    {
        session.Blocked = state;
        Count++;
        Database database = session.Mimei.Keyspace.Databases[state.Database];
        foreach (byte[] key in state.Keys)
        {
            if (!database.Waiting.TryGetValue(key, out LinkedList<Session>? queue))
            {
                database.Waiting.Add(key, queue = new LinkedList<Session>());
            }

            if (queue.Last?.Value != session)
            {
                queue.AddLast(session);
            }
        }

        if (state.DeadlineMs != 0)
        {
            _deadlines.Enqueue((session, state), state.DeadlineMs);
            server.WakeWithin?.Invoke(state.DeadlineMs - session.Mimei.Keyspace.NowMs);
        }

        session.Connection.Pause();
    }

    /// <summary>Takes a session off all queues, whatever it waited for; its input is presented again.</summary>
    internal void Remove(Session session)
    {
        if (session.Blocked is not { } state)
        {
            return;
        }

        session.Blocked = null;
        session.Work?.Abandon();
        session.Work = null;
        state.Ended?.Invoke();
        state.IsOver = true;
        Count--;
        Database database = session.Mimei.Keyspace.Databases[state.Database];
        foreach (byte[] key in state.Keys)
        {
            if (database.Waiting.TryGetValue(key, out LinkedList<Session>? queue))
            {
                queue.Remove(session);
                if (queue.Count == 0)
                {
                    database.Waiting.Remove(key);
                }
            }
        }

        session.Connection.Resume();
    }

    /// <summary>A wait for no key is over, and its session waits for something else already.</summary>
    internal void Replaced(BlockedState state)
    {
        state.IsOver = true;
        Count--;
    }

    /// <summary>Ends a wait with the reply for a timeout (also CLIENT UNBLOCK).</summary>
    internal void TimeOut(Session session)
    {
        if (session.Blocked is { } state)
        {
            server.StatsOf(state.Command.Spec).Calls++;
            state.OnTimeout(session.Output);
            Remove(session);
            session.Connection.SendOutput();
        }
    }

    /// <summary>Ends a wait with an error (CLIENT UNBLOCK … ERROR).</summary>
    internal void Fail(Session session, ReadOnlySpan<byte> error)
    {
        if (session.Blocked is { } state)
        {
            session.Output.Error(error);
            server.Stats.CountError(error);
            CommandStats stats = server.StatsOf(state.Command.Spec);
            stats.Calls++;
            stats.Failed++;
            Remove(session);
            session.Connection.SendOutput();
        }
    }

    /// <summary>Ends the waits that are over.</summary>
    internal void TimeOutDue(long nowMs)
    {
        while (NextDeadlineMs is var deadline && deadline != 0 && deadline <= nowMs)
        {
            TimeOut(_deadlines.Dequeue().Session);
        }
    }

    /// <summary>Serves the clients that wait on keys which have got something; one service may make others possible.</summary>
    internal void ServeReady(Keyspace keyspace)
    {
        // Not the time of what made the keys ready: that may have taken long, and they may be gone again.
        keyspace.NowMs = server.NowMs;
        while (keyspace.HasReady)
        {
            foreach ((Database database, byte[] name) in keyspace.TakeReady())
            {
                Serve(keyspace, database, name);
            }
        }

        keyspace.DeleteNotedExpired();
    }

    private void Serve(Keyspace keyspace, Database database, byte[] name)
    {
        if (!database.Waiting.TryGetValue(name, out LinkedList<Session>? queue))
        {
            return;
        }

        // A client that cannot be served keeps its place; those after it may want something else of the same key.
        foreach (Session session in queue.ToArray())
        {
            fixed (byte* p = name)
            {
                byte* record = database.Peek(keyspace.KeyOf(p, name.Length));
                if (session.Blocked is not { } state)
                {
                    continue;
                }

                bool mayServe = record != null && Record.Type(record) == (int)state.Type;
                if ((mayServe || state.WakesOnLoss) && server.Dispatcher.Retry(session, state.Command))
                {
                    Remove(session);
                    session.Connection.SendOutput();
                }
            }
        }
    }
}
