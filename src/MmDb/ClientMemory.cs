using Leither.MmDb.Configuration;

namespace Leither.MmDb;

/// <summary>
/// What clients cost in memory, and whom to disconnect when all together cost more than <c>maxmemory-clients</c> allows: the one that
/// costs most. Costs are brought up to date where they change, so a turn adds up nothing.
/// </summary>
internal sealed class ClientMemory(Server server)
{
    /// <summary>What a session takes beside its buffers and lists, about.</summary>
    private const long SessionBytes = 1024;

    /// <summary>What a watched key, a subscription or a prefix takes beside its name, about.</summary>
    internal const long NameBytes = 96;

    /// <summary>After how long without large replies the reply buffer on a client's account shrinks.</summary>
    internal const long UsualReplyPeakMs = 5000;

    /// <summary>A smaller limit would disconnect everybody.</summary>
    private const long LeastLimit = 128 * 1024;

    private long _total;

    /// <summary>Clients that were disconnected for their memory.</summary>
    public long EvictedClients { get; set; }

    /// <summary>What new sessions get as <see cref="Session.ReplyPeakMs"/>.</summary>
    public long ReplyPeakMs { get; private set; } = UsualReplyPeakMs;

    /// <summary>Whether there is a limit.</summary>
    public bool IsLimited { get; private set; }

    /// <summary>What one client costs at present.</summary>
    public static long Of(Session session, long nowMs) =>
        SessionBytes + Math.Max(session.Connection.InputCapacity, session.InputRoom(nowMs)) + Math.Max(session.Output.Capacity, session.ReplyRoom(nowMs))
            + session.QueuedBytes + session.NamesBytes;

    /// <summary>Reads the limit, after the configuration changed.</summary>
    public void LimitAsNeeded()
    {
        IsLimited = server.Settings.Get(ConfigKeys.MaxMemoryClients) != 0;
        CountAll();
    }

    /// <summary>Changes <see cref="ReplyPeakMs"/> for all (DEBUG REPLYBUFFER).</summary>
    public void ShrinkRepliesAfter(long milliseconds)
    {
        ReplyPeakMs = milliseconds;
        foreach (Session session in server.Sessions.Values)
        {
            session.ReplyPeakMs = milliseconds;
        }
    }

    /// <summary>A client's cost may have changed.</summary>
    public void Count(Session session)
    {
        if (IsLimited && !session.IsClosing)
        {
            long bytes = Of(session, server.ClockMs);
            _total += bytes - session.CountedBytes;
            session.CountedBytes = bytes;
        }
    }

    /// <summary>A client is gone.</summary>
    public void Forget(Session session)
    {
        _total -= session.CountedBytes;
        session.CountedBytes = 0;
    }

    /// <summary>All costs anew: what came in meanwhile for commands that are not whole yet is counted too.</summary>
    public void CountAll()
    {
        _total = 0;
        foreach (Session session in server.Sessions.Values)
        {
            session.CountedBytes = 0;
            Count(session);
        }
    }

    /// <summary>Disconnects those who cost most until the others are within the limit. Who said CLIENT NO-EVICT stays.</summary>
    public void Evict()
    {
        long limit = Limit;
        while (limit > 0 && _total > limit)
        {
            Session? most = null;
            foreach (Session session in server.Sessions.Values)
            {
                if (!session.NoEvict && !session.IsClosing && (most is null || session.CountedBytes > most.CountedBytes))
                {
                    most = session;
                }
            }

            if (most is null)
            {
                return;
            }

            EvictedClients++;
            server.Warn?.Invoke($"Evicting client: id={most.Id} addr={most.Connection.RemoteAddress} name={System.Text.Encoding.Latin1.GetString(most.Name)} tot-mem={most.CountedBytes}");
            Forget(most);
            most.CloseNow();
            if (most != server.Running)
            {
                server.Close(most);
            }
        }
    }

    private long Limit
    {
        get
        {
            long set = server.Settings.Get(ConfigKeys.MaxMemoryClients);
            long limit = set >= 0 ? set : (long)(server.DefaultMimei.Keyspace.Options.MaxMemory * (-set / 100.0));
            return limit == 0 ? 0 : Math.Max(limit, LeastLimit);
        }
    }
}
