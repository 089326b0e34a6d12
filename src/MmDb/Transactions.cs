using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>What MULTI, EXEC and WATCH keep: queues in sessions, watchers by key.</summary>
internal static unsafe class Transactions
{
    /// <summary>Keeps a command for EXEC.</summary>
    public static void Queue(Session session, CommandSpec spec, Slice* args, int count) =>
        session.Transaction!.Add(new QueuedCommand(spec, args, count));

    /// <summary>Ends a transaction, run or not: the queue and the watches go.</summary>
    public static void End(Session session)
    {
        session.Transaction = null;
        session.TransactionAborted = false;
        Unwatch(session);
    }

    /// <summary>Watches a key of the session's database.</summary>
    public static void Watch(Session session, Database database, in Key key)
    {
        byte[] name = key.ToArray();
        foreach (WatchedKey watched in session.Watched)
        {
            if (watched.Database == database.Index && watched.Key.AsSpan().SequenceEqual(name))
            {
                return;
            }
        }

        if (!database.Watchers.TryGetValue(name, out List<Session>? sessions))
        {
            database.Watchers.Add(name, sessions = []);
        }

        sessions.Add(session);
        bool expired = database.FindSlot(key) != null && database.Peek(key) == null;
        session.Watched.Add(new WatchedKey(database.Index, name) { WasExpired = expired });
    }

    /// <summary>Forgets all that a session watches.</summary>
    public static void Unwatch(Session session)
    {
        foreach (WatchedKey watched in session.Watched)
        {
            Database database = session.Mimei.Keyspace.Databases[watched.Database];
            if (database.Watchers.TryGetValue(watched.Key, out List<Session>? sessions))
            {
                sessions.Remove(session);
                if (sessions.Count == 0)
                {
                    database.Watchers.Remove(watched.Key);
                }
            }
        }

        session.Watched.Clear();
        session.WatchBroken = false;
    }
}
