using Leither.MmDb.Configuration;
using Leither.Resp;

namespace Leither.MmDb.RedisReplication;

/// <summary>How far a replica has come.</summary>
internal enum ReplicaState
{
    /// <summary>It asked for everything, and waits for a snapshot that begins after it asked.</summary>
    Waiting,
    /// <summary>The snapshot it will get is being written.</summary>
    Writing,
    /// <summary>The snapshot is being sent to it.</summary>
    Sending,
    /// <summary>It follows the stream.</summary>
    Online,
    /// <summary>It got the file, which is all that it wanted, and its connection ends when that has left.</summary>
    Served,
}

/// <summary>FAILOVER under way: a replica is to take over from this master.</summary>
internal sealed class Failover
{
    /// <summary>Who takes over; null: whoever has everything first.</summary>
    public required ReplicaSource? Target { get; init; }
    /// <summary>When it is given up, or forced, in Unix milliseconds; 0: never.</summary>
    public required long DeadlineMs { get; init; }
    /// <summary>Whether the target takes over at the deadline whatever it has.</summary>
    public required bool Forces { get; init; }
    /// <summary>Whether the target is being asked; before, it is waited for.</summary>
    public bool IsHandedOver { get; set; }
}

/// <summary>What the server knows of a connection that a Redis replica came by.</summary>
internal sealed class Replica : IDisposable
{
    /// <summary>State, once it asked for data; null while it only introduced itself.</summary>
    public ReplicaState? State { get; set; }
    /// <summary>Whether it understands PSYNC's newer answer.</summary>
    public bool KnowsPsync2 { get; set; }
    /// <summary>It came by the old SYNC: it acknowledges nothing.</summary>
    public bool IsOld { get; set; }
    /// <summary>It wants an RDB file and no stream.</summary>
    public bool WantsFileOnly { get; set; }
    /// <summary>It wants no keys (redis-cli --functions-rdb).</summary>
    public bool WantsNoKeys { get; set; }
    /// <summary>The port it says it listens on.</summary>
    public int Port { get; set; }
    /// <summary>The address it says it has; empty: where it came from.</summary>
    public string Address { get; set; } = "";
    /// <summary>The stream's offset that it has.</summary>
    public long AcknowledgedOffset { get; set; }
    /// <summary>The stream's offset that its append-only file has on disk; negative: it says none.</summary>
    public long SyncedOffset { get; set; } = -1;
    /// <summary>When it last said so, in Unix milliseconds.</summary>
    public long AcknowledgedMs { get; set; }
    /// <summary>The stream after the snapshot, until that was sent.</summary>
    public RespWriter Held { get; } = new();
    /// <summary>The snapshot that is sent to it.</summary>
    public FileStream? File { get; set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Held.Dispose();
        File?.Dispose();
    }
}
