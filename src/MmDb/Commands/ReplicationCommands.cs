using System.Globalization;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;
using Leither.MmDb.RedisReplication;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Replication as Redis does it: who follows whom, what replicas ask for, and waiting for them.</summary>
public static unsafe class ReplicationCommands
{
    /// <summary>ROLE</summary>
    public static readonly CommandSpec Role = new("role", 1)
    {
        Since = "2.8.12",
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Returns the replication role.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast,
        Categories = ["admin", "dangerous"],
        Handler = &RunRole,
    };

    /// <summary>REPLICAOF host port | NO ONE</summary>
    public static readonly CommandSpec ReplicaOf = new("replicaof", 3)
    {
        Since = "5.0.0",
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Configures a server as replica of another, or promotes it to a master.",
        Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Stale,
        Args =
        [
            Arg.OneOf(
                "args",
                Arg.Block("host-port", Arg.String("host"), Arg.Integer("port")),
                Arg.Block("no-one", Arg.Word("no", "NO"), Arg.Word("one", "ONE"))),
        ],
        Handler = &RunReplicaOf,
    };

    /// <summary>SLAVEOF host port | NO ONE</summary>
    public static readonly CommandSpec SlaveOf = new("slaveof", 3)
    {
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Sets a Redis server as a replica of another, or promotes it to being a master.",
        Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Stale,
        DeprecatedSince = "5.0.0",
        ReplacedBy = "`REPLICAOF`",
        Args =
        [
            Arg.OneOf(
                "args",
                Arg.Block("host-port", Arg.String("host"), Arg.Integer("port")),
                Arg.Block("no-one", Arg.Word("no", "NO"), Arg.Word("one", "ONE"))),
        ],
        Handler = &RunSlaveOf,
    };

    /// <summary>FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]</summary>
    public static readonly CommandSpec Failover = new("failover", -1)
    {
        Since = "6.2.0",
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Starts a coordinated failover from a server to one of its replicas.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Stale | CommandFlags.EndsBatch,
        Args =
        [
            Arg.Block("target", Arg.String("host"), Arg.Integer("port"), Arg.Word("force", "FORCE").Optional()).Token("TO").Optional(),
            Arg.Word("abort", "ABORT").Optional(),
            Arg.Integer("milliseconds").Token("TIMEOUT").Optional(),
        ],
        Handler = &RunFailover,
    };

    /// <summary>WAIT numreplicas timeout</summary>
    public static readonly CommandSpec Wait = new("wait", 3)
    {
        Since = "3.0.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.",
        Flags = CommandFlags.EndsBatch,
        Categories = ["connection"],
        Tips = ["request_policy:all_shards", "response_policy:agg_min"],
        Args = [Arg.Integer("numreplicas"), Arg.Integer("timeout")],
        Handler = &RunWait,
    };

    /// <summary>WAITAOF numlocal numreplicas timeout</summary>
    public static readonly CommandSpec WaitAof = new("waitaof", 4)
    {
        Since = "7.2.0",
        Group = CommandGroup.Generic,
        Complexity = "O(1)",
        Summary = "Blocks until all of the preceding write commands sent by the connection are written to the append-only file of the master and/or replicas.",
        Flags = CommandFlags.NoScript | CommandFlags.EndsBatch,
        Categories = ["connection"],
        Args = [Arg.Integer("numlocal"), Arg.Integer("numreplicas"), Arg.Integer("timeout")],
        Tips = ["request_policy:all_shards", "response_policy:agg_min"],
        Handler = &RunWaitAof,
    };

    /// <summary>SYNC</summary>
    public static readonly CommandSpec Sync = new("sync", 1)
    {
        Group = CommandGroup.Server,
        Summary = "An internal command used in replication.",
        Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoMulti | CommandFlags.NoScript | CommandFlags.EndsBatch,
        Handler = &RunSync,
    };

    /// <summary>PSYNC replicationid offset</summary>
    public static readonly CommandSpec Psync = new("psync", -3)
    {
        Since = "2.8.0",
        Group = CommandGroup.Server,
        Summary = "An internal command used in replication.",
        Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoMulti | CommandFlags.NoScript | CommandFlags.EndsBatch,
        Args = [Arg.String("replicationid"), Arg.Integer("offset")],
        Handler = &RunPsync,
    };

    /// <summary>REPLCONF name value …</summary>
    public static readonly CommandSpec ReplConf = new("replconf", -1)
    {
        Since = "3.0.0",
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "An internal command for configuring the replication stream.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.AllowBusy,
        IsSystem = true,
        Handler = &RunReplConf,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Role, ReplicaOf, SlaveOf, Failover, Wait, WaitAof, Sync, Psync, ReplConf];

    // ------------------------------------------------------------------ roles

    private static void RunRole(CommandContext c)
    {
        Replicator replication = c.Server.Replication;
        bool isOfRedis = replication.Concerns(c.Session);
        if (isOfRedis && replication.Master is { } master)
        {
            c.Reply.Array(5);
            c.Reply.Bulk("slave"u8);
            c.Reply.Bulk(Encoding.UTF8.GetBytes(master.Host));
            c.Reply.Integer(master.Port);
            c.Reply.Bulk(Encoding.ASCII.GetBytes(master.StateName));
            c.Reply.Integer(master.IsUp ? replication.Offset : -1);
            return;
        }

        if (CopyStatus(c) is { } copy)
        {
            (string host, int writerPort) = WriterOf(copy);
            c.Reply.Array(5);
            c.Reply.Bulk("slave"u8);
            c.Reply.Bulk(Encoding.UTF8.GetBytes(host));
            c.Reply.Integer(writerPort);
            c.Reply.Bulk(copy.Source is null ? "connect"u8 : copy.IsLevel ? "connected"u8 : "sync"u8);
            c.Reply.Integer(copy.Source is null ? -1 : (long)copy.Position.Sequence);
            return;
        }

        Session[] online = isOfRedis ? [.. replication.Replicas.Where(static r => r.Replica!.State == ReplicaState.Online)] : [];
        FollowerStatus[] followers = [.. FollowersOf(c).Where(static f => f.State == OnlineState)];
        c.Reply.Array(3);
        c.Reply.Bulk("master"u8);
        c.Reply.Integer(OffsetOf(c));
        c.Reply.Array(online.Length + followers.Length);
        foreach (Session session in online)
        {
            (string address, int port) = Replicator.AddressOf(session);
            c.Reply.Array(3);
            c.Reply.Bulk(Encoding.ASCII.GetBytes(address));
            c.Reply.Bulk(Encoding.ASCII.GetBytes(port.ToString(CultureInfo.InvariantCulture)));
            c.Reply.Bulk(Encoding.ASCII.GetBytes(session.Replica!.AcknowledgedOffset.ToString(CultureInfo.InvariantCulture)));
        }

        foreach (FollowerStatus follower in followers)
        {
            (string address, int port) = HostOf(follower.Address);
            c.Reply.Array(3);
            c.Reply.Bulk(Encoding.UTF8.GetBytes(address));
            c.Reply.Bulk(Encoding.ASCII.GetBytes(port.ToString(CultureInfo.InvariantCulture)));
            c.Reply.Bulk(Encoding.ASCII.GetBytes(follower.Written.ToString(CultureInfo.InvariantCulture)));
        }
    }

    /// <summary>The state of a follower that has everything but what was written a moment ago.</summary>
    internal const string OnlineState = "online";

    /// <summary>The nodes that follow the connection's MiMei.</summary>
    internal static IReadOnlyList<FollowerStatus> FollowersOf(CommandContext c) => c.Mimei.Current is null ? c.Server.Replicas?.Status(c.Mimei.Id)?.Followers ?? [] : [];

    /// <summary>
    /// How far the connection's MiMei is, in the one number that Redis has for that: while Redis replicas follow, bytes of their stream; otherwise entries of the log.
    /// </summary>
    internal static long OffsetOf(CommandContext c) =>
        c.Server.Replication.Concerns(c.Session) && (c.Server.Replication.Offset > 0 || FollowersOf(c).Count == 0)
            ? c.Server.Replication.Offset
            : (long)(c.Mimei.Log?.LastSequence ?? 0);

    /// <summary>Where the node is that a copy comes from: that which writes it, if that is known, or whom it follows.</summary>
    internal static (string Host, int Port) WriterOf(ReplicaStatus copy)
    {
        foreach (Multiaddr address in copy.WriterAddresses)
        {
            if (HostOf(address) is { Port: > 0 } place)
            {
                return place;
            }
        }

        return ((copy.Writer ?? copy.Source)?.ToString() ?? "", 0);
    }

    /// <summary>Host and port of a node's address; port 0 where it has none.</summary>
    internal static (string Host, int Port) HostOf(Multiaddr? address)
    {
        string host = "";
        if (address is null)
        {
            return (host, 0);
        }

        foreach (MultiaddrComponent part in address)
        {
            if (part.Protocol.Name is "ip4" or "ip6" or "dns" or "dns4" or "dns6")
            {
                host = part.Text;
            }
            else if (part.Protocol.Name == "tcp" && int.TryParse(part.Text, NumberStyles.None, CultureInfo.InvariantCulture, out int port))
            {
                return (host, port);
            }
        }

        return (host, 0);
    }

    /// <summary>Redis's replication is about what one Redis server holds: a connection that is bound to another MiMei is told so.</summary>
    private static bool IsOfDefault(CommandContext c)
    {
        if (CopyStatus(c) is { } copy)
        {
            string writer = (copy.Writer ?? copy.Source) is { } node ? $"node {node}" : "another node";
            c.Error($"ERR this MiMei is written by {writer}, so it takes no part in Redis replication; MIMEI TAKEOVER makes this node the one that writes it");
            return false;
        }

        if (c.Server.Replication.Concerns(c.Session))
        {
            return true;
        }

        c.Error("ERR Redis replication is that of the node's default MiMei, and this connection is bound to another"u8);
        return false;
    }

    private static void RunReplicaOf(CommandContext c)
    {
        if (!IsOfDefault(c))
        {
            return;
        }

        if (c.Server.Replication.Failover is not null)
        {
            c.Error("ERR REPLICAOF not allowed while failing over."u8);
            return;
        }

        if (c.Is(1, "no"u8) && c.Is(2, "one"u8))
        {
            c.Server.Replication.Promote();
            c.Reply.Ok();
            return;
        }

        if (c.Session.Replica is not null)
        {
            c.Error("ERR Command is not valid when client is a replica."u8);
            return;
        }

        if (!c.TryLong(2, 0, 65535, "ERR Invalid master port"u8, out long port))
        {
            return;
        }

        if (c.Server.Connector is null)
        {
            c.Error("ERR this server makes no connections, so it cannot follow another one"u8);
            return;
        }

        string host = c.Text(1);
        if (c.Server.Replication.Master is { } master && master.Host == host && master.Port == port)
        {
            c.Reply.Simple("OK Already connected to specified master"u8);
            return;
        }

        c.Server.Replication.Follow(host, (int)port);
        c.Reply.Ok();
    }

    private static void RunFailover(CommandContext c)
    {
        if (!IsOfDefault(c))
        {
            return;
        }

        Replicator replication = c.Server.Replication;
        string? host = null;
        long port = 0, timeout = 0;
        bool forces = false;
        if (c.Count == 2 && c.Is(1, "abort"u8))
        {
            if (replication.Failover is null)
            {
                c.Error("ERR No failover in progress."u8);
                return;
            }

            replication.AbortFailover("Failover manually aborted");
            c.Reply.Ok();
            return;
        }

        for (int i = 1; i < c.Count; i++)
        {
            if (c.Is(i, "timeout"u8) && i + 1 < c.Count && timeout == 0)
            {
                if (!c.TryLong(++i, out timeout))
                {
                    return;
                }

                if (timeout <= 0)
                {
                    c.Error("ERR FAILOVER timeout must be greater than 0"u8);
                    return;
                }
            }
            else if (c.Is(i, "to"u8) && i + 2 < c.Count && host is null)
            {
                if (!c.TryLong(i + 2, out port))
                {
                    return;
                }

                host = c.Text(i + 1);
                i += 2;
            }
            else if (c.Is(i, "force"u8) && !forces)
            {
                forces = true;
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        if (replication.Failover is not null)
        {
            c.Error("ERR FAILOVER already in progress."u8);
        }
        else if (replication.Master is not null)
        {
            c.Error("ERR FAILOVER is not valid when server is a replica."u8);
        }
        else if (replication.Replicas.Count == 0)
        {
            c.Error("ERR FAILOVER requires connected replicas."u8);
        }
        else if (forces && (timeout == 0 || host is null))
        {
            c.Error("ERR FAILOVER with force option requires both a timeout and target HOST and IP."u8);
        }
        else if (host is not null && replication.FindReplica(host, port) is null)
        {
            c.Error("ERR FAILOVER target HOST and PORT is not a replica."u8);
        }
        else if (host is not null && replication.FindReplica(host, port)!.State != ReplicaState.Online)
        {
            c.Error("ERR FAILOVER target replica is not online."u8);
        }
        else
        {
            replication.BeginFailover(host is null ? null : new ReplicaSource(host, (int)port), timeout == 0 ? 0 : c.NowMs + timeout, forces);
            c.Reply.Ok();
        }
    }

    private static void RunSlaveOf(CommandContext c) => RunReplicaOf(c);

    // ------------------------------------------------------------------ what replicas ask for

    private static void RunSync(CommandContext c)
    {
        if (IsOfDefault(c))
        {
            Synchronize(c, null, 0);
        }
    }

    private static void RunPsync(CommandContext c)
    {
        if (!IsOfDefault(c))
        {
            return;
        }

        if (!c.TryLong(2, out long offset))
        {
            return;
        }

        if (c.Count > 3 && c.Is(3, "failover"u8))
        {
            // The master of this replica hands its part over to it.
            Replicator replication = c.Server.Replication;
            if (replication.Master is null)
            {
                c.Error("ERR PSYNC FAILOVER can't be sent to a master."u8);
                return;
            }

            if (c.Text(1) != replication.Id)
            {
                c.Error("ERR PSYNC FAILOVER replid must match my replid."u8);
                return;
            }

            c.Server.Warn?.Invoke($"MASTER MODE enabled (failover request from '{c.Session.Connection.RemoteAddress}')");
            replication.Promote();
        }

        Synchronize(c, c.Text(1), offset);
    }

    private static void Synchronize(CommandContext c, string? id, long offset)
    {
        if (c.Session.Replica?.State is not null)
        {
            return;
        }

        // A copy's changes are no commands, which is what a Redis replica would be fed with.
        if (c.Server.Replication.Master is { IsUp: false } || c.Server.DefaultMimei.Copy is not null)
        {
            c.Error("NOMASTERLINK Can't SYNC while not connected with my master"u8);
            return;
        }

        if (c.Reply.Length > 0)
        {
            c.Error("ERR SYNC and PSYNC are invalid with pending output"u8);
            return;
        }

        c.Server.Replication.Synchronize(c.Session, id, offset);
    }

    private static void RunReplConf(CommandContext c)
    {
        if (c.Count % 2 == 0)
        {
            c.Error(Errors.Syntax);
            return;
        }

        for (int i = 1; i < c.Count; i += 2)
        {
            if (c.Is(i, "ack"u8))
            {
                long synced = -1;
                if (c[i + 1].TryLong(out long offset) && (c.Count <= i + 3 || !c.Is(i + 2, "fack"u8) || c[i + 3].TryLong(out synced)))
                {
                    c.Server.Replication.Acknowledge(c.Session, offset, synced);
                }

                return;
            }

            if (c.Is(i, "getack"u8))
            {
                c.Server.Replication.Master?.AskForPlace();
                return;
            }

            Replica replica = c.Session.Replica ??= new Replica();
            Slice value = c[i + 1];
            if (c.Is(i, "listening-port"u8))
            {
                if (!c.TryLong(i + 1, 0, 65535, Errors.NotInteger, out long port))
                {
                    return;
                }

                replica.Port = (int)port;
            }
            else if (c.Is(i, "ip-address"u8))
            {
                if (value.Length > 255)
                {
                    c.Error("ERR REPLCONF ip-address provided by replica instance is too long: "u8);
                    return;
                }

                replica.Address = c.Text(i + 1);
            }
            else if (c.Is(i, "capa"u8))
            {
                replica.KnowsPsync2 |= value.EqualsIgnoreCase("psync2"u8);
            }
            else if (c.Is(i, "rdb-only"u8))
            {
                replica.WantsFileOnly = value.TryLong(out long only) && only == 1;
            }
            else if (c.Is(i, "rdb-filter-only"u8))
            {
                replica.WantsNoKeys = value.Length > 0;
            }
            else if (!c.Is(i, "version"u8))
            {
                c.Error($"ERR Unrecognized REPLCONF option: {c.TextToZero(i, 128)}");
                return;
            }
        }

        c.Reply.Ok();
    }

    // ------------------------------------------------------------------ waiting

    private static void RunWait(CommandContext c)
    {
        Replicator replication = c.Server.Replication;
        if (IsCopy(c))
        {
            c.Error("ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated."u8);
            return;
        }

        if (!c.TryLong(1, out long replicas)
            || !c.TryLong(2, long.MinValue, long.MaxValue, "ERR timeout is not an integer or out of range"u8, out long timeout))
        {
            return;
        }

        if (timeout < 0)
        {
            c.Error(Errors.TimeoutNegative);
            return;
        }

        // Only the default MiMei has Redis replicas; any may have named providers.
        long offset = replication.Concerns(c.Session) ? c.Session.WriteOffset : long.MaxValue;
        INodeReplication? providers = c.Server.Replicas;
        LeitherId mid = c.Mimei.Id;
        Log.Position position = c.Session.WritePosition;
        int Reached() => replication.CountAt(offset) + (providers?.CountWritten(mid, position) ?? 0);
        int reached = Reached();
        if (reached >= replicas || c.CannotBlock)
        {
            c.Reply.Integer(reached);
            return;
        }

        Await(c, timeout, () => Reached() >= replicas, reply => reply.Integer(Reached()), waitsForDisk: false);
    }

    private static void RunWaitAof(CommandContext c)
    {
        Replicator replication = c.Server.Replication;
        if (!c.TryLong(1, 0, 1, out long local) || !c.TryLong(2, 0, long.MaxValue, out long replicas)
            || !c.TryLong(3, long.MinValue, long.MaxValue, "ERR timeout is not an integer or out of range"u8, out long timeout))
        {
            return;
        }

        if (timeout < 0)
        {
            c.Error(Errors.TimeoutNegative);
            return;
        }

        if (IsCopy(c))
        {
            c.Error("ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated."u8);
            return;
        }

        if (local > 0 && c.Mimei.Log is null)
        {
            c.Error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."u8);
            return;
        }

        long offset = replication.Concerns(c.Session) ? c.Session.WriteOffset : long.MaxValue;
        INodeReplication? providers = c.Server.Replicas;
        LeitherId mid = c.Mimei.Id;
        Log.Position position = c.Session.WritePosition;
        Log.WriteLog? log = c.Mimei.Log;
        ulong sequence = log?.LastSequence ?? 0;
        long Locally() => log is not null && log.SyncedSequence >= sequence ? 1 : 0;
        int Remotely() => replication.CountSyncedAt(offset) + (providers?.CountSynced(mid, position) ?? 0);
        bool IsReached() => Locally() >= local && Remotely() >= replicas;
        void Tell(RespWriter reply)
        {
            reply.Array(2);
            reply.Integer(Locally());
            reply.Integer(Remotely());
        }

        if (IsReached() || c.CannotBlock)
        {
            Tell(c.Reply);
            return;
        }

        Await(c, timeout, IsReached, Tell, waitsForDisk: Locally() < local);
    }

    /// <summary>Whether the connection's MiMei is written elsewhere: by a Redis master, or by another node.</summary>
    private static bool IsCopy(CommandContext c) =>
        (c.Server.Replication.Master is not null && c.Server.Replication.Concerns(c.Session)) || CopyStatus(c) is not null;

    /// <summary>How the connection's MiMei stands where another node writes it, whether or not this one follows at present; null otherwise.</summary>
    internal static ReplicaStatus? CopyStatus(CommandContext c)
    {
        if (c.Mimei is not { IsReadOnly: true, Current: null })
        {
            return null;
        }

        ReplicaStatus status = c.Server.Replicas?.Status(c.Mimei.Id) ?? new ReplicaStatus { Role = ReplicaRole.Idle, Position = c.Mimei.Copy?.Applied ?? c.Mimei.Shown?.Position ?? default };
        return status.Role == ReplicaRole.Writer ? null : status;
    }

    private static void Await(CommandContext c, long timeout, Func<bool> isReached, Action<RespWriter> tell, bool waitsForDisk)
    {
        c.DidBlock = true;
        c.Server.Blocking.Block(c.Session, new BlockedState
        {
            Command = new QueuedCommand(c.Spec, c.Args, c.Count),
            Database = c.Database.Index,
            Keys = [],
            Type = DataType.String,
            DeadlineMs = timeout == 0 ? 0 : c.NowMs + timeout,
            OnTimeout = tell,
            IsSatisfied = isReached,
            WaitsForDisk = waitsForDisk,
        });
        c.Server.Replication.AwaitAcknowledgements(c.Session);
    }
}
