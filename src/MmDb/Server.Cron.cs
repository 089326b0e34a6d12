using Leither.MmDb.Configuration;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>
/// What happens without a client's asking: the periodic work, in slices of at most about a millisecond, and pushes with the limits of
/// what may wait for a client.
/// </content>
public sealed unsafe partial class Server
{
    private static readonly TimeSpan _sliceBudget = TimeSpan.FromMilliseconds(1);

    /// <summary>Rates are sampled, and clients looked over, at most so often.</summary>
    private const long SampleEveryMs = 100;

    /// <summary>While clients wait for the disk (WAITAOF), it is looked so often whether it is through.</summary>
    private const long SyncPollMs = 5;

    /// <summary>Every client is looked at once in so many milliseconds.</summary>
    private const long ClientSweepMs = 1000;

    private readonly RespWriter _laterPushes = new();
    private Session? _laterPushesFor;
    private long _lastSampleMs, _lastSweepMs, _commandsAtLastCron;

    /// <summary>The session whose command runs; its own RESP3 pushes wait for the end of the reply.</summary>
    internal Session? Running { get; set; }

    /// <summary>
    /// The periodic work: blocked clients whose time is over, the end of a pause, idle clients, output limits, rates, slices of expiry, eviction,
    /// freeing, compaction and checkpoints.
    /// </summary>
    /// <param name="nowMs">Unix milliseconds.</param>
    /// <returns>In how many milliseconds it wants to be called again at the latest.</returns>
    public int Cron(long nowMs)
    {
        Stats.CronCalls++;
        int nextCare, nextOthers, nextReplicationStep;
        lock (DefaultMimei.Gate)
        {
            Keyspace keyspace = DefaultMimei.Keyspace;
            keyspace.NowMs = nowMs;
            Blocking.TimeOutDue(nowMs);
            EndPauseIfDue(nowMs);
            AbortLateTransactions(nowMs);
            nextReplicationStep = Math.Min(Replication.Step(nowMs), Migrator.Step(nowMs));
            Replication.ServeWaiting();
            if (IsCronPaused)
            {
                DefaultMimei.Log?.Tick(nowMs);
                return 1000 / Math.Max(1, Options.Hz);
            }

            if (nowMs - _lastSampleMs >= SampleEveryMs)
            {
                _lastSampleMs = nowMs;
                Stats.Commands.Sample(Stats.CommandsProcessed, nowMs);
                Stats.Input.Sample(Stats.BytesReceived, nowMs);
                Stats.Output.Sample(BytesWritten, nowMs);
                if (Transport?.Invoke() is { } loop)
                {
                    Stats.Turns.Sample(loop.Turns, nowMs);
                    Stats.Busy.Sample(loop.BusyMicroseconds, nowMs);
                }

                NoteExceededMemory(nowMs);
                Stats.PeakUsedBytes = Math.Max(Stats.PeakUsedBytes, Mimeis.UsedBytes);
            }

            if (nowMs - _lastSweepMs >= ClientSweepMs)
            {
                _lastSweepMs = nowMs;
                foreach (Session session in Sessions.Values)
                {
                    CloseIfIdle(session, nowMs);
                    CloseIfOverLimit(session, nowMs);
                }

                Users.DisconnectEnded(nowMs);
            }

            if (ClientMemory.IsLimited)
            {
                ClientMemory.CountAll();
                ClientMemory.Evict();
            }

            nextCare = Care(DefaultMimei, nowMs, _sliceBudget);
        }

        long next = 1000 / Math.Max(1, Options.Hz);
        nextOthers = Mimeis.Step(nowMs, (int)next, _sliceBudget);

        // Between two slices of a checkpoint clients get their turn; where nobody asks for one, slice follows slice.
        bool idle = Stats.CommandsProcessed == _commandsAtLastCron;
        _commandsAtLastCron = Stats.CommandsProcessed;
        next = Math.Min(next, nextCare == 0 && !idle ? 1 : nextCare);
        next = Math.Min(next, nextOthers == 0 && !idle ? 1 : nextOthers);
        next = Math.Min(next, nextReplicationStep == 0 && !idle ? 1 : nextReplicationStep);
        next = Blocking.NextDeadlineMs is var deadline && deadline != 0 ? Math.Min(next, deadline - nowMs) : next;
        next = Replication.AwaitsDisk ? Math.Min(next, SyncPollMs) : next;
        next = PausedUntilMs != 0 ? Math.Min(next, PausedUntilMs - nowMs) : next;
        return (int)Math.Max(0, next);
    }

    /// <summary>Begins to time parts of the work, for LATENCY; 0: nobody wants to know.</summary>
    internal long BeginPart() => Options.LatencyThresholdMs > 0 ? System.Diagnostics.Stopwatch.GetTimestamp() : 0;

    /// <summary>A part of the work is done: LATENCY has it if it took long. Returns when the next one began.</summary>
    internal long EndPart(string kind, long began)
    {
        if (began == 0)
        {
            return 0;
        }

        long now = System.Diagnostics.Stopwatch.GetTimestamp();
        long milliseconds = (long)System.Diagnostics.Stopwatch.GetElapsedTime(began, now).TotalMilliseconds;
        if (milliseconds >= Options.LatencyThresholdMs)
        {
            Latency.Add(kind, milliseconds, NowMs / 1000);
        }

        return now;
    }

    /// <summary>What others than the loop did took so long: LATENCY has it, if that is long. (Any thread.)</summary>
    public void NoteLatency(string kind, TimeSpan took)
    {
        long milliseconds = (long)took.TotalMilliseconds;
        if (Options.LatencyThresholdMs > 0 && milliseconds >= Options.LatencyThresholdMs)
        {
            Post?.Invoke(() => Latency.Add(kind, milliseconds, NowMs / 1000));
        }
    }

    /// <summary>
    /// The periodic work of one MiMei: slices of about so long each. Returns in how many milliseconds it wants to be called again at the latest;
    /// <see cref="int.MaxValue"/>: it has nothing left to do.
    /// </summary>
    internal int Care(Mimei mimei, long nowMs, TimeSpan slice)
    {
        lock (mimei.Gate)
        {
            Keyspace keyspace = mimei.Keyspace;
            keyspace.NowMs = nowMs;
            mimei.Log?.Tick(nowMs); // a log whose disk was full or failed tries it again
            if (mimei.Tracking.ClientCount > 0)
            {
                mimei.Tracking.Limit();
            }

            long clock = BeginPart();
            int next = keyspace.Expiry.Step(slice) ? Expiry.RestMs : int.MaxValue;
            clock = EndPart("expire-cycle", clock);
            bool moreToFree = keyspace.LazyFree.Step(slice);
            clock = EndPart("lazyfree-cycle", clock);
            moreToFree |= keyspace.Eviction.IsNeeded && keyspace.MakeRoom() && keyspace.Eviction.IsNeeded;
            clock = EndPart("eviction-cycle", clock);
            moreToFree |= keyspace.Compactor.Step(slice / 2);
            clock = EndPart("active-defrag-cycle", clock);
            next = moreToFree ? 1 : next;
            next = Math.Min(next, mimei.Checkpointer?.Step(nowMs) ?? int.MaxValue);
            clock = EndPart("checkpoint-slice", clock);
            next = Math.Min(next, mimei.Versions?.Step() ?? int.MaxValue);
            clock = EndPart("version-slice", clock);
            next = Math.Min(next, mimei.Copy?.Look() ?? int.MaxValue);
            _ = EndPart("replication-slice", clock);
            if (mimei.Log is { } log)
            {
                next = log.State != Log.LogState.Open ? Math.Min(next, 1000) : next;
                if (log.State != mimei.ToldLogState)
                {
                    mimei.ToldLogState = log.State;
                    LogStateChanged?.Invoke(mimei);
                }

                if (log.HasUnwritten)
                {
                    Touch(mimei);
                }
            }

            return next;
        }
    }

    /// <summary>Transactions whose time is over give their memory back at once, whether or not their clients come again.</summary>
    private void AbortLateTransactions(long nowMs)
    {
        if (Interactive.Count == 0)
        {
            return;
        }

        foreach (InteractiveTransaction transaction in Interactive)
        {
            transaction.AbortIfLate(nowMs);
        }
    }

    private void NoteExceededMemory(long nowMs)
    {
        if (DefaultMimei.Keyspace.Eviction.IsNeeded)
        {
            Stats.EvictionExceededSinceMs = Stats.EvictionExceededSinceMs == 0 ? nowMs : Stats.EvictionExceededSinceMs;
        }
        else if (Stats.EvictionExceededSinceMs != 0)
        {
            Stats.EvictionExceededMs += nowMs - Stats.EvictionExceededSinceMs;
            Stats.EvictionExceededSinceMs = 0;
        }
    }

    /// <summary>Copies a push into a session's output. While the session's own command runs, a RESP3 push waits until its reply is whole.</summary>
    internal void Push(Session session, byte* message, long length)
    {
        if (session == Running && (session.Output.Version > 2 || session.ReplyMode != ReplyMode.On))
        {
            _laterPushesFor = session;
            _laterPushes.Raw(message, length);
            return;
        }

        session.Output.Raw(message, length);
        Pushed(session);
    }

    /// <summary>Sends what waited for the end of a reply.</summary>
    internal void SendLaterPushes()
    {
        Running = null;
        if (_laterPushesFor is { ReplyMode: ReplyMode.On } session)
        {
            WriteLaterPushes(session);
        }
    }

    /// <summary>Sends what waited for the end of a command that is not answered.</summary>
    internal void SendPushesOfMuted()
    {
        if (_laterPushesFor is { } session)
        {
            WriteLaterPushes(session);
        }
    }

    private void WriteLaterPushes(Session session)
    {
        _laterPushesFor = null;
        session.Output.Raw(_laterPushes.Data, _laterPushes.Length);
        _laterPushes.Release();
        Pushed(session);
    }

    /// <summary>Something was written for a session that it did not ask for just now.</summary>
    internal void Pushed(Session session)
    {
        CloseIfOverLimit(session, ClockMs);
        ClientMemory.Count(session);
        session.Connection.SendOutput();
    }

    /// <summary>Ends a session that reads too slowly for what is written for it (client-output-buffer-limit).</summary>
    internal void CloseIfOverLimit(Session session, long nowMs)
    {
        OutputBufferLimits limits = Options.OutputLimits;
        OutputBufferLimit limit = session.Class switch
        {
            ClientClass.PubSub => limits.PubSub,
            ClientClass.Replica => limits.Replica,
            _ => limits.Normal,
        };
        long waiting = session.Output.Length + (session.Replica?.Held.Length ?? 0), hard = limit.HardBytes;
        if (session.Class == ClientClass.Replica && hard != 0)
        {
            // What the backlog holds costs nothing more.
            hard = Math.Max(hard, Replication.Backlog?.Capacity ?? 0);
        }

        bool over = hard != 0 && waiting >= hard;
        if (limit.SoftBytes == 0 || waiting < limit.SoftBytes)
        {
            session.SoftLimitSinceMs = 0;
        }
        else if (session.SoftLimitSinceMs == 0)
        {
            session.SoftLimitSinceMs = nowMs;
        }
        else
        {
            over |= nowMs - session.SoftLimitSinceMs > limit.SoftSeconds * 1000;
        }

        if (over && !session.IsClosing)
        {
            Stats.OutputLimitDisconnections++;
            Warn?.Invoke($"Client id={session.Id} addr={session.Connection.RemoteAddress} is closed for overcoming of output buffer limits");
            session.CloseNow();
        }
    }

    private void CloseIfIdle(Session session, long nowMs)
    {
        if (Options.IdleTimeoutSeconds > 0
            && nowMs - session.LastInteractionMs > Options.IdleTimeoutSeconds * 1000L
            && session.Blocked is null && session.Postponed is null && session.SubscriptionCount == 0 && !session.IsMonitor && session.Replica is null)
        {
            session.CloseNow();
        }
    }
}
