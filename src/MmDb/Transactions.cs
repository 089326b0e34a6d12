using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>What MULTI, EXEC and WATCH keep: queues in sessions, watchers by key.</summary>
internal static unsafe class Transactions
{
    /// <summary>Keeps a command for EXEC.</summary>
    public static void Queue(Server server, Session session, CommandSpec spec, Slice* args, int count)
    {
        // What can no longer run need not be kept.
        if (!session.TransactionAborted && !session.WatchBroken)
        {
            var command = new QueuedCommand(spec, args, count);
            session.Transaction!.Add(command);
            session.QueuedBytes += command.Bytes;
            CommandFlags flags = spec.Has(CommandFlags.NoMandatoryKeys) ? server.Scripts.FlagsOf(session.Mimei, spec, args, count) : spec.Flags;
            session.TransactionFlags |= flags;
            session.TransactionLacks |= ~flags;
        }
    }

    /// <summary>Ends a transaction, run or not: the queue and the watches go.</summary>
    public static void End(Session session)
    {
        session.Transaction = null;
        session.QueuedBytes = 0;
        session.TransactionFlags = CommandFlags.None;
        session.TransactionLacks = CommandFlags.None;
        session.TransactionAborted = false;
        Unwatch(session);
    }

    /// <summary>Whether a watched key has expired since it was watched: nobody may have met it yet, but it is gone.</summary>
    public static bool HasExpiredWatch(Session session)
    {
        foreach (WatchedKey watched in session.Watched)
        {
            if (watched.WasExpired)
            {
                continue;
            }

            Keyspace keyspace = session.Mimei.Keyspace;
            Database database = keyspace.Databases[watched.Database];
            fixed (byte* p = watched.Key)
            {
                Key key = keyspace.KeyOf(p, watched.Key.Length);
                if (database.FindSlot(key) != null && database.Peek(key) == null)
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>Watches a key of the MiMei's database.</summary>
    public static void Watch(Session session, Database database, in Key key)
    {
        ReadOnlySpan<byte> span = key.Span;
        if (!database.Watchers.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(span, out List<WatchedKey>? watchers))
        {
            database.Watchers.Add(key.ToArray(), watchers = []);
            session.Mimei.Keyspace.ChangeListeners++;
        }
        else if (watchers.Exists(watched => watched.Session == session))
        {
            return;
        }

        bool expired = database.FindSlot(key) != null && database.Peek(key) == null;
        var added = new WatchedKey(session, database.Index, watchers.Count > 0 ? watchers[0].Key : key.ToArray()) { WasExpired = expired };
        session.NamesBytes += added.Key.Length + ClientMemory.NameBytes;
        watchers.Add(added);
        session.Watched.Add(added);
    }

    /// <summary>A watched key changed: whoever watches it cannot run its transaction.</summary>
    public static void Touch(Database database, ReadOnlySpan<byte> name)
    {
        if (!database.Watchers.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out List<WatchedKey>? watchers))
        {
            return;
        }

        foreach (WatchedKey watched in watchers)
        {
            if (watched.WasExpired && !database.Holds(name))
            {
                // It was gone already; from now on its return is a change.
                watched.WasExpired = false;
            }
            else
            {
                watched.Session.WatchBroken = true;
            }
        }
    }

    /// <summary>Everything may be another: who watches anything cannot run its transaction.</summary>
    public static void BreakAll(Keyspace keyspace)
    {
        foreach (WatchedKey watched in keyspace.Databases.SelectMany(static d => d.Watchers.Values).SelectMany(static w => w))
        {
            watched.Session.WatchBroken = true;
        }
    }

    /// <summary>A database is about to be emptied, or to hold what another one holds: who watches a key for which that is a change cannot run its transaction.</summary>
    public static void TouchAll(Database emptied, Database? replacement)
    {
        foreach ((byte[] name, List<WatchedKey> watchers) in emptied.Watchers)
        {
            bool was = emptied.Holds(name), becomes = replacement is not null && replacement.Holds(name);
            if (!was && !becomes)
            {
                continue;
            }

            bool becomesExpired = becomes && replacement!.HoldsExpired(name);
            foreach (WatchedKey watched in watchers)
            {
                // Expired and gone are the same to who watches; only what lives, before or after, is a change.
                if (watched.WasExpired && (!becomes || becomesExpired))
                {
                    watched.WasExpired = becomes;
                }
                else if (!was && becomesExpired)
                {
                    watched.WasExpired = true;
                }
                else
                {
                    watched.Session.WatchBroken = true;
                }
            }
        }
    }

    /// <summary>Forgets all that a session watches.</summary>
    public static void Unwatch(Session session)
    {
        foreach (WatchedKey watched in session.Watched)
        {
            session.NamesBytes -= watched.Key.Length + ClientMemory.NameBytes;
            Database database = session.Mimei.Keyspace.Databases[watched.Database];
            if (database.Watchers.TryGetValue(watched.Key, out List<WatchedKey>? watchers) && watchers.Remove(watched) && watchers.Count == 0)
            {
                database.Watchers.Remove(watched.Key);
                session.Mimei.Keyspace.ChangeListeners--;
            }
        }

        session.Watched.Clear();
        session.WatchBroken = false;
    }
}
