using static Leither.MmDb.Configuration.ConfigFlags;

namespace Leither.MmDb.Configuration;

/// <summary>
/// Every key of Redis 7.2's configuration, declared once: name, older name, type, default, bounds, and whether it can change at
/// run time. Keys that something here depends on have a name of their own; the others are accepted, kept and shown.
/// Defaults are Redis's but for <c>port</c>, <c>appendonly</c> and <c>dir</c>, whose default is set by the program.
/// </summary>
public static class ConfigKeys
{
    private const long IntMin = int.MinValue;
    private const long IntMax = int.MaxValue;
    private const long LongMax = long.MaxValue;
    private const long Mb = 1 << 20;

    /// <summary>The port a node listens on unless told otherwise.</summary>
    public const int DefaultPort = 4800;

    private static readonly List<ConfigKey> _all = [];
    private static readonly Dictionary<string, ConfigKey> _byName = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>All keys, in the order of their declaration.</summary>
    public static IReadOnlyList<ConfigKey> All => _all;

    // ---- Network ----

    /// <summary>Addresses to listen on.</summary>
    public static readonly WordsKey Bind = Add(new WordsKey("bind", None, ["*", "-::*"], 16, "Too many bind addresses specified."));

    /// <summary>TCP port; 0 listens on none.</summary>
    public static readonly NumberKey Port = Number("port", DefaultPort, 0, 65535);

    /// <summary>Refuses clients from elsewhere while there is neither a password nor rights.</summary>
    public static readonly BooleanKey ProtectedMode = Boolean("protected-mode", true);

    /// <summary>Path of a Unix socket.</summary>
    public static readonly StringKey UnixSocket = Text("unixsocket", "", Immutable, emptyIsUnset: true);

    /// <summary>Its mode bits.</summary>
    public static readonly NumberKey UnixSocketPermissions =
        Number("unixsocketperm", 0, 0, 511, Immutable, notation: NumberNotation.Octal, unsigned: true);

    /// <summary>Length of the queue of connections not accepted yet.</summary>
    public static readonly NumberKey TcpBacklog = Number("tcp-backlog", 511, 0, IntMax, Immutable);

    /// <summary>Networks to which MIGRATE, REPLICAOF and FAILOVER may connect; none: to any. Whoever may run these must not be able to lift it, so it is fixed at start.</summary>
    public static readonly WordsKey OutboundNetworks = Add(new WordsKey("outbound-networks", Immutable, [], 1024, "Too many networks specified.", CheckNetwork));

    /// <summary>Seconds of silence before TCP probes a client.</summary>
    public static readonly NumberKey TcpKeepAlive = Number("tcp-keepalive", 300, 0, IntMax);

    /// <summary>Seconds after which an idle client is disconnected; 0 never.</summary>
    public static readonly NumberKey Timeout = Number("timeout", 0, 0, IntMax);

    /// <summary>Connections at a time.</summary>
    public static readonly NumberKey MaxClients = Number("maxclients", 10000, 1, uint.MaxValue, unsigned: true);

    /// <summary>Longest argument.</summary>
    public static readonly NumberKey ProtoMaxBulkLength = Memory("proto-max-bulk-len", 512 * Mb, Mb, LongMax, unsigned: false);

    /// <summary>Longest input that waits to be executed.</summary>
    public static readonly NumberKey ClientQueryBufferLimit = Memory("client-query-buffer-limit", 1024 * Mb, Mb, LongMax);

    /// <summary>Longest output that waits to be sent, by class of client.</summary>
    public static readonly OutputBufferLimitsKey ClientOutputBufferLimit = Add(new OutputBufferLimitsKey(
        "client-output-buffer-limit",
        new OutputBufferLimits(new(0, 0, 0), new(256 * Mb, 64 * Mb, 60), new(32 * Mb, 8 * Mb, 60))));

    /// <summary>Memory of all clients together, or a share of maxmemory.</summary>
    public static readonly NumberKey MaxMemoryClients =
        Number("maxmemory-clients", 0, -100, LongMax, notation: NumberNotation.MemoryOrPercent);

    // ---- TLS ----

    /// <summary>One more port, beside <c>port</c>; alone, with <c>port 0</c>, it takes TLS and no plain connections. On every port TLS is told by its first byte.</summary>
    public static readonly NumberKey TlsPort = Number("tls-port", 0, 0, 65535);

    /// <summary>The certificate, with those between it and its authority, in PEM. Empty: the node makes one of its own.</summary>
    public static readonly StringKey TlsCertFile = Text("tls-cert-file", "", emptyIsUnset: true);

    /// <summary>Its private key, in PEM.</summary>
    public static readonly StringKey TlsKeyFile = Text("tls-key-file", "", emptyIsUnset: true);

    /// <summary>What the private key is encrypted with.</summary>
    public static readonly StringKey TlsKeyFilePassword = Text("tls-key-file-pass", "", Sensitive | Masked, emptyIsUnset: true);

    /// <summary>The authorities whose clients' certificates count, in one file.</summary>
    public static readonly StringKey TlsCaCertFile = Text("tls-ca-cert-file", "", emptyIsUnset: true);

    /// <summary>The same, as a folder of files.</summary>
    public static readonly StringKey TlsCaCertDir = Text("tls-ca-cert-dir", "", emptyIsUnset: true);

    /// <summary>Whether clients have to show a certificate, or may. Redis asks for one unless told otherwise; there TLS is off until authorities are named, here it is on.</summary>
    public static readonly EnumKey TlsAuthClients = Choice("tls-auth-clients", "no", ["no", "yes", "optional"]);

    /// <summary>Versions with blanks between them: TLSv1.2, TLSv1.3. Empty: both.</summary>
    public static readonly StringKey TlsProtocols = Text("tls-protocols", "", emptyIsUnset: true);

    /// <summary>Ciphers of TLS 1.2, with colons between them.</summary>
    public static readonly StringKey TlsCiphers = Text("tls-ciphers", "", emptyIsUnset: true);

    /// <summary>Ciphers of TLS 1.3, likewise.</summary>
    public static readonly StringKey TlsCipherSuites = Text("tls-ciphersuites", "", emptyIsUnset: true);

    /// <summary>Whether a client that comes back may leave out most of the handshake.</summary>
    public static readonly BooleanKey TlsSessionCaching = Boolean("tls-session-caching", true);

    // ---- The process ----

    /// <summary>The data folder.</summary>
    public static readonly StringKey Directory = Text("dir", "", Protected);

    /// <summary>How much is logged.</summary>
    public static readonly EnumKey LogLevel = Choice("loglevel", "notice", ["debug", "verbose", "notice", "warning", "nothing"]);

    /// <summary>The file the log goes to; the console when empty.</summary>
    public static readonly StringKey LogFile = Text("logfile", "", Immutable);

    /// <summary>How a line of the log looks: Redis's text, or an object of JSON.</summary>
    public static readonly EnumKey LogFormat = Choice("log-format", "text", ["text", "json"]);

    /// <summary>A file that names the process.</summary>
    public static readonly StringKey PidFile = Text("pidfile", "", Immutable, emptyIsUnset: true);

    /// <summary>What SIGINT does.</summary>
    public static readonly EnumKey ShutdownOnSigint = ShutdownFlags("shutdown-on-sigint");

    /// <summary>What SIGTERM does.</summary>
    public static readonly EnumKey ShutdownOnSigterm = ShutdownFlags("shutdown-on-sigterm");

    /// <summary>Number of databases.</summary>
    public static readonly NumberKey Databases = Number("databases", 16, 1, IntMax, Immutable);

    /// <summary>How often a second the cron runs.</summary>
    public static readonly NumberKey Hz = Number("hz", 10, 0, IntMax, adjust: hz => Math.Clamp(hz, 1, 500));

    // ---- Security ----

    /// <summary>The default user's password.</summary>
    public static readonly StringKey RequirePass = Text("requirepass", "", Sensitive | Masked, emptyIsUnset: true);

    /// <summary>Who may change protected keys.</summary>
    public static readonly EnumKey EnableProtectedConfigs = Choice("enable-protected-configs", "no", ["no", "yes", "local"], Immutable);

    /// <summary>Who may use DEBUG.</summary>
    public static readonly EnumKey EnableDebugCommand = Choice("enable-debug-command", "no", ["no", "yes", "local"], Immutable);

    /// <summary>Channels of users that say nothing about channels.</summary>
    public static readonly EnumKey AclPubsubDefault = Choice("acl-pubsub-default", "resetchannels", ["allchannels", "resetchannels"]);

    /// <summary>The file of the users, for ACL LOAD and SAVE.</summary>
    public static readonly StringKey AclFile = Text("aclfile", "", Immutable);

    /// <summary>Entries of ACL LOG.</summary>
    public static readonly NumberKey AclLogMaxLength = Number("acllog-max-len", 128, 0, LongMax);

    // ---- Keeping the data ----

    /// <summary>Whether writes go to the log.</summary>
    public static readonly BooleanKey AppendOnly = Boolean("appendonly", true);

    /// <summary>When the log is synced to the disk.</summary>
    public static readonly EnumKey AppendFsync = Choice("appendfsync", "everysec", ["everysec", "always", "no"]);

    /// <summary>When checkpoints are made.</summary>
    public static readonly SavePointsKey Save = Add(new SavePointsKey("save", [new(3600, 1), new(300, 100), new(60, 10000)], "Invalid save parameters"));

    /// <summary>Whether writes are refused after a failed checkpoint, where no log is kept.</summary>
    public static readonly BooleanKey StopWritesOnBgsaveError = Boolean("stop-writes-on-bgsave-error", true);

    /// <summary>Growth of the log, in percent of what the last checkpoint left, at which the next is made.</summary>
    public static readonly NumberKey AutoAofRewritePercentage = Number("auto-aof-rewrite-percentage", 100, 0, IntMax);

    /// <summary>Size of the log below which its growth makes no checkpoint.</summary>
    public static readonly NumberKey AutoAofRewriteMinSize = Memory("auto-aof-rewrite-min-size", 64 * Mb, 0, LongMax, unsigned: false);

    // ---- Memory ----

    /// <summary>Memory for data; 0 means no limit.</summary>
    public static readonly NumberKey MaxMemory = Memory("maxmemory", 0, 0, -1);

    /// <summary>What goes when it is used up.</summary>
    public static readonly EnumKey MaxMemoryPolicy = Choice(
        "maxmemory-policy",
        "noeviction",
        ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"]);

    /// <summary>Keys looked at for each eviction.</summary>
    public static readonly NumberKey MaxMemorySamples = Number("maxmemory-samples", 5, 1, IntMax);

    /// <summary>How hard eviction tries before it lets others run.</summary>
    public static readonly NumberKey MaxMemoryEvictionTenacity = Number("maxmemory-eviction-tenacity", 10, 0, 100);

    /// <summary>How slowly the LFU counter grows.</summary>
    public static readonly NumberKey LfuLogFactor = Number("lfu-log-factor", 10, 0, IntMax);

    /// <summary>Minutes after which the LFU counter falls.</summary>
    public static readonly NumberKey LfuDecayTime = Number("lfu-decay-time", 1, 0, IntMax);

    /// <summary>How hard expired keys are looked for.</summary>
    public static readonly NumberKey ActiveExpireEffort = Number("active-expire-effort", 1, 1, 10);

    /// <summary>Whether evicted values are freed in slices.</summary>
    public static readonly BooleanKey LazyFreeLazyEviction = Boolean("lazyfree-lazy-eviction", false);

    /// <summary>Whether expired values are freed in slices.</summary>
    public static readonly BooleanKey LazyFreeLazyExpire = Boolean("lazyfree-lazy-expire", false);

    /// <summary>Whether values that a command replaces are freed in slices.</summary>
    public static readonly BooleanKey LazyFreeLazyServerDel = Boolean("lazyfree-lazy-server-del", false);

    // ---- Encodings ----

    /// <summary>Fields up to which a hash stays packed.</summary>
    public static readonly NumberKey HashMaxListpackEntries =
        Number("hash-max-listpack-entries", 512, 0, LongMax, alias: "hash-max-ziplist-entries", unsigned: true);

    /// <summary>Bytes of a field or value up to which a hash stays packed.</summary>
    public static readonly NumberKey HashMaxListpackValue = Memory("hash-max-listpack-value", 64, 0, LongMax, alias: "hash-max-ziplist-value");

    /// <summary>Size of a list's nodes: elements, or -1 … -5 for 4 … 64 KiB.</summary>
    public static readonly NumberKey ListMaxListpackSize = Number("list-max-listpack-size", -2, IntMin, IntMax, alias: "list-max-ziplist-size");

    /// <summary>Members up to which a set of integers stays an intset.</summary>
    public static readonly NumberKey SetMaxIntsetEntries = Number("set-max-intset-entries", 512, 0, LongMax, unsigned: true);

    /// <summary>Members up to which a set stays packed.</summary>
    public static readonly NumberKey SetMaxListpackEntries = Number("set-max-listpack-entries", 128, 0, LongMax, unsigned: true);

    /// <summary>Bytes of a member up to which a set stays packed.</summary>
    public static readonly NumberKey SetMaxListpackValue = Number("set-max-listpack-value", 64, 0, LongMax, unsigned: true);

    /// <summary>Members up to which a sorted set stays packed.</summary>
    public static readonly NumberKey ZsetMaxListpackEntries =
        Number("zset-max-listpack-entries", 128, 0, LongMax, alias: "zset-max-ziplist-entries", unsigned: true);

    /// <summary>Bytes of a member up to which a sorted set stays packed.</summary>
    public static readonly NumberKey ZsetMaxListpackValue = Memory("zset-max-listpack-value", 64, 0, LongMax, alias: "zset-max-ziplist-value");

    /// <summary>Bytes up to which a HyperLogLog stays sparse.</summary>
    public static readonly NumberKey HllSparseMaxBytes = Memory("hll-sparse-max-bytes", 3000, 0, LongMax);

    /// <summary>Bytes of a stream's nodes.</summary>
    public static readonly NumberKey StreamNodeMaxBytes = Memory("stream-node-max-bytes", 4096, 0, LongMax);

    /// <summary>Entries of a stream's nodes.</summary>
    public static readonly NumberKey StreamNodeMaxEntries = Number("stream-node-max-entries", 100, 0, LongMax);

    // ---- The system ----

    /// <summary>Whether Linux is told how readily to end this process when memory runs out.</summary>
    public static readonly EnumKey OomScoreAdj =
        Add(new EnumKey("oom-score-adj", null, None, 0, [("no", 0), ("yes", 1), ("relative", 1), ("absolute", 2)]));

    /// <summary>What it is told: of a writer, of a replica, of a child process. There are no child processes here.</summary>
    public static readonly NumbersKey OomScoreAdjValues = Add(new NumbersKey(
        "oom-score-adj-values", None, [0, 200, 800], -2000, 2000, "Invalid oom-score-adj-values, elements must be between -2000 and 2000."));

    // ---- Watching ----

    /// <summary>Which keyspace events are published.</summary>
    public static readonly KeyspaceEventsKey NotifyKeyspaceEvents = Add(new KeyspaceEventsKey("notify-keyspace-events"));

    /// <summary>Microseconds from which a command is slow; negative: none is.</summary>
    public static readonly NumberKey SlowlogLogSlowerThan = Number("slowlog-log-slower-than", 10000, -1, LongMax);

    /// <summary>Entries of the slow log.</summary>
    public static readonly NumberKey SlowlogMaxLength = Number("slowlog-max-len", 128, 0, LongMax);

    /// <summary>Milliseconds from which an event is recorded by the latency monitor; 0: none is.</summary>
    public static readonly NumberKey LatencyMonitorThreshold = Number("latency-monitor-threshold", 0, 0, LongMax);

    /// <summary>Whether latencies are tracked by command.</summary>
    public static readonly BooleanKey LatencyTracking = Boolean("latency-tracking", true);

    /// <summary>Percentiles that INFO latencystats shows.</summary>
    public static readonly PercentilesKey LatencyTrackingInfoPercentiles =
        Add(new PercentilesKey("latency-tracking-info-percentiles", None, [50, 99, 99.9]));

    /// <summary>Keys remembered for client-side caching.</summary>
    public static readonly NumberKey TrackingTableMaxKeys = Number("tracking-table-max-keys", 1000000, 0, LongMax, unsigned: true);

    /// <summary>Milliseconds after which others are told that a script runs.</summary>
    public static readonly NumberKey BusyReplyThreshold = Number("busy-reply-threshold", 5000, 0, LongMax, alias: "lua-time-limit");

    /// <summary>Whether a replica answers while it has no link to its master.</summary>
    public static readonly BooleanKey ReplicaServeStaleData = Boolean("replica-serve-stale-data", true, alias: "slave-serve-stale-data");

    /// <summary>Whether a replica refuses writes.</summary>
    public static readonly BooleanKey ReplicaReadOnly = Boolean("replica-read-only", true, alias: "slave-read-only");

    /// <summary>The user to log in as at the master.</summary>
    public static readonly StringKey MasterUser = Text("masteruser", "", Sensitive, emptyIsUnset: true);

    /// <summary>The password to log in with at the master.</summary>
    public static readonly StringKey MasterAuth = Text("masterauth", "", Sensitive | Masked, emptyIsUnset: true);

    /// <summary>The address that a replica tells its master.</summary>
    public static readonly StringKey ReplicaAnnounceIp = Text("replica-announce-ip", "", emptyIsUnset: true, alias: "slave-announce-ip");

    /// <summary>What INFO says of it to those who choose a new master.</summary>
    public static readonly NumberKey ReplicaPriority = Number("replica-priority", 100, 0, IntMax, alias: "slave-priority");

    /// <summary>The port that a replica tells its master.</summary>
    public static readonly NumberKey ReplicaAnnouncePort = Number("replica-announce-port", 0, 0, 65535, alias: "slave-announce-port");

    /// <summary>Seconds of silence after which a master or replica counts as gone.</summary>
    public static readonly NumberKey ReplTimeout = Number("repl-timeout", 60, 1, IntMax);

    /// <summary>Seconds between two pings of a master to its replicas.</summary>
    public static readonly NumberKey ReplPingReplicaPeriod = Number("repl-ping-replica-period", 10, 1, IntMax, alias: "repl-ping-slave-period");

    /// <summary>Seconds after the last replica went until the backlog goes.</summary>
    public static readonly NumberKey ReplBacklogTtl = Number("repl-backlog-ttl", 3600, 0, LongMax);

    /// <summary>Bytes of the stream that are kept for replicas that were cut off.</summary>
    public static readonly NumberKey ReplBacklogSize = Memory("repl-backlog-size", Mb, 1, LongMax, unsigned: false);

    /// <summary>Replicas that must be in touch for writes to be taken.</summary>
    public static readonly NumberKey MinReplicasToWrite = Number("min-replicas-to-write", 0, 0, IntMax, alias: "min-slaves-to-write");

    /// <summary>Seconds of silence after which a replica is no longer in touch.</summary>
    public static readonly NumberKey MinReplicasMaxLag = Number("min-replicas-max-lag", 10, 0, IntMax, alias: "min-slaves-max-lag");

    /// <summary>The server to follow.</summary>
    public static readonly ReplicaSourceKey ReplicaOf = Add(new ReplicaSourceKey("replicaof", "slaveof", Immutable));

    // ---- The swarm ----

    /// <summary>Whether the node takes part in a network of libp2p peers.</summary>
    public static readonly BooleanKey Swarm = Boolean("swarm", true);

    /// <summary>Peers that lead into the network: multiaddrs, or host[:port]. None: the node connects to nobody by itself.</summary>
    public static readonly WordsKey SwarmBootstrap = Add(new WordsKey("swarm-bootstrap", None, [], 256, "Too many bootstrap peers specified.", CheckAddress));

    /// <summary>Addresses under which the node can be reached beside those that it listens on: a router's, for example.</summary>
    public static readonly WordsKey SwarmAnnounce = Add(new WordsKey("swarm-announce", None, [], 32, "Too many announced addresses specified.", CheckAddress));

    /// <summary>Networks in CIDR notation with which nothing is exchanged, beside those that <c>SWARM FILTERS ADD</c> keeps.</summary>
    public static readonly WordsKey SwarmFilters = Add(new WordsKey("swarm-filters", None, [], 1024, "Too many filters specified.", CheckNetwork));

    /// <summary>Connections with peers down to which idle ones are closed.</summary>
    public static readonly NumberKey SwarmLowWater = Number("swarm-low-water", 128, 0, 1_000_000);

    /// <summary>Connections with peers above which idle ones are closed.</summary>
    public static readonly NumberKey SwarmHighWater = Number("swarm-high-water", 192, 0, 1_000_000);

    /// <summary>Connections with peers beyond which nobody is let in.</summary>
    public static readonly NumberKey SwarmMaxConnections = Number("swarm-max-connections", 1024, 1, 1_000_000, Immutable);

    /// <summary>The file of a swarm key: the node is part of that private network and of no other, on a port of its own.</summary>
    public static readonly StringKey SwarmKeyFile = Text("swarm-key", "", Immutable, emptyIsUnset: true);

    /// <summary>The port on which the members of a private network meet: what they say begins with random bytes, so it cannot share the node's. 0: any.</summary>
    public static readonly NumberKey SwarmPort = Number("swarm-port", DefaultPort + 1, 0, 65535, Immutable);

    /// <summary>Whether the node looks for others on the local network by multicast DNS, and tells them where it is.</summary>
    public static readonly BooleanKey SwarmMdns = Boolean("swarm-mdns", false, Immutable);

    /// <summary>Which DHT the node is part of: the open one of IPFS, or one of Leither nodes alone.</summary>
    public static readonly EnumKey DhtNetwork = Choice("dht-network", "leither", ["leither", "ipfs"], Immutable);

    /// <summary>Whether the node asks the DHT, and answers others' questions.</summary>
    public static readonly EnumKey DhtMode = Choice("dht-mode", "auto", ["auto", "dhtclient", "dhtserver", "off"], Immutable);

    /// <summary>Seconds that one block may take that comes from the network.</summary>
    public static readonly NumberKey FetchTimeout = Number("ipfs-fetch-timeout", 30, 1, 86400);

    /// <summary>Seconds for which a writer whose machine lost its power looks among followers for what it signed and lost; 0: it does not look.</summary>
    public static readonly NumberKey ReplicationRecoverTimeout = Number("replication-recover-timeout", 3, 0, 3600);

    /// <summary>How much of a log stays for followers that are behind, beyond what stays anyway: who is further behind begins with a version.</summary>
    public static readonly NumberKey ReplicationLogMax = Memory("replication-log-max", 1024 * Mb, 0, LongMax);

    // ---- MiMei ----

    /// <summary>Seconds after which a MiMei that nobody uses is unloaded; 0 never.</summary>
    public static readonly NumberKey MimeiIdleTimeout = Number("mimei-idle-timeout", 300, 0, IntMax);

    /// <summary>Milliseconds after which a transaction (BEGIN) is rolled back that was given no time of its own.</summary>
    public static readonly NumberKey TransactionTimeout = Number("transaction-timeout", 60_000, 1, InteractiveTransaction.MostMs);

    /// <summary>The most that one transaction may hold: copies of the values that it looks at or changes, and what it did.</summary>
    public static readonly NumberKey TransactionMaxMemory = Memory("transaction-max-memory", 16 * Mb, 64 * 1024, LongMax);
    /// <summary>When versions are made without being asked for: after so many seconds, if there were so many changes. None unless it is set.</summary>
    public static readonly SavePointsKey AutoBackup = Add(new SavePointsKey("auto-backup", [], "auto-backup takes pairs of seconds and changes"));
    /// <summary>How long versions are kept that were not asked for: up to an age in seconds, one for each period in seconds (0: all). All unless it is set.</summary>
    public static readonly SavePointsKey BackupRetention = Add(new SavePointsKey("backup-retention", [], "backup-retention takes pairs of an age and a period in seconds"));

    /// <summary>The largest collection that a transaction copies, in elements: nobody else is served meanwhile.</summary>
    public static readonly NumberKey TransactionMaxElements = Number("transaction-max-elements", 20_000, 1, LongMax);

    static ConfigKeys()
    {
        DeclareKeysWithoutMeaning();
    }

    /// <summary>Finds a key by its name or older name, in letters of any case.</summary>
    public static ConfigKey? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>The key that somebody may have meant who wrote a name that is none; null where none is near.</summary>
    public static ConfigKey? Nearest(string name)
    {
        string written = name.ToLowerInvariant().Replace('_', '-');
        // Up to so many letters wrong, left out or too many; the shorter a name, the fewer.
        int best = Math.Min(3, written.Length / 4) + 1;
        ConfigKey? nearest = null;
        foreach (ConfigKey key in All)
        {
            int distance = Math.Abs(key.Name.Length - written.Length) < best ? Distance(key.Name, written) : best;
            if (distance < best)
            {
                (best, nearest) = (distance, key);
            }
        }

        return nearest;
    }

    /// <summary>Letters to change, add, leave out or swap with their neighbour to get from one name to another (restricted Damerau-Levenshtein).</summary>
    private static int Distance(string a, string b)
    {
        int[] before = new int[b.Length + 1], last = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int[] row = new int[b.Length + 1];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                row[j] = Math.Min(Math.Min(last[j], row[j - 1]) + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    row[j] = Math.Min(row[j], before[j - 2] + 1);
                }
            }

            (before, last) = (last, row);
        }

        return last[b.Length];
    }

    /// <summary>
    /// Keys that Redis knows and nothing here depends on: how it uses threads, forks, its files, its replication and cluster, TLS. Memory is freed in
    /// slices whoever asks (lazyfree-lazy-user-…), periodic work comes when there is some (dynamic-hz), a torn end of the log is always cut and told
    /// (aof-load-truncated).
    /// </summary>
    private static void DeclareKeysWithoutMeaning()
    {
        foreach (string on in (string[])
        [
            "activerehashing", "aof-load-truncated", "dynamic-hz", "rdbcompression", "repl-diskless-sync", "aof-rewrite-incremental-fsync", "cluster-require-full-coverage",
            "rdb-save-incremental-fsync", "aof-use-rdb-preamble", "jemalloc-bg-thread", "cluster-allow-pubsubshard-when-down",
            "crash-log-enabled", "crash-memcheck-enabled", "cluster-allow-replica-migration", "replica-announced",
        ])
        {
            Boolean(on, true, NoMeaning);
        }

        foreach (string off in (string[])
        [
            "rdb-del-sync-files", "repl-disable-tcp-nodelay", "no-appendfsync-on-rewrite", "aof-timestamp-enabled",
            "cluster-allow-reads-when-down", "replica-ignore-disk-write-errors", "tls-cluster", "tls-replication",
            "tls-prefer-server-ciphers", "lazyfree-lazy-user-del", "lazyfree-lazy-user-flush",
        ])
        {
            Boolean(off, false, NoMeaning);
        }

        Boolean("rdbchecksum", true, NoMeaning | Immutable);
        Boolean("set-proc-title", true, NoMeaning | Immutable);
        Boolean("disable-thp", true, NoMeaning | Immutable);
        Boolean("daemonize", false, NoMeaning | Immutable);
        Boolean("io-threads-do-reads", false, NoMeaning | Immutable);
        Boolean("always-show-logo", false, NoMeaning | Immutable);
        Boolean("syslog-enabled", false, NoMeaning | Immutable);
        Boolean("cluster-enabled", false, NoMeaning | Immutable);
        Boolean("use-exit-on-panic", false, NoMeaning | Hidden);
        Boolean("aof-disable-auto-gc", false, NoMeaning | Hidden);
        Boolean("replica-lazy-flush", false, NoMeaning, "slave-lazy-flush");
        Boolean("replica-ignore-maxmemory", true, NoMeaning, "slave-ignore-maxmemory");
        Boolean("cluster-replica-no-failover", false, NoMeaning, "cluster-slave-no-failover");
        Add(new BooleanKey("activedefrag", null, NoMeaning, false, on => on
            ? "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc "
                + "like the one shipped by default with the Redis source distribution"
            : null));

        foreach (string name in (string[])
        [
            "cluster-announce-ip", "bind-source-addr", "tls-client-cert-file", "tls-client-key-file", "tls-dh-params-file",
        ])
        {
            Text(name, "", NoMeaning, emptyIsUnset: true);
        }

        foreach (string name in (string[])["server_cpulist", "bio_cpulist", "aof_rewrite_cpulist", "bgsave_cpulist"])
        {
            Text(name, "", NoMeaning | Immutable, emptyIsUnset: true);
        }

        Text("tls-client-key-file-pass", "", NoMeaning | Sensitive | Masked, emptyIsUnset: true);
        Text("cluster-announce-hostname", "", NoMeaning, emptyIsUnset: true, check: CheckHostname);
        Text("cluster-announce-human-nodename", "", NoMeaning, emptyIsUnset: true, check: CheckNodename);
        Text("cluster-config-file", "nodes.conf", NoMeaning | Immutable);
        Text("syslog-ident", "redis", NoMeaning | Immutable);
        Text("ignore-warnings", "", NoMeaning);
        Text("locale-collate", "", NoMeaning);
        Text("proc-title-template", "{title} {listen-addr} {server-mode}", NoMeaning, check: CheckTemplate);
        Text("dbfilename", "dump.rdb", NoMeaning | Protected, check: v => CheckFileName("dbfilename", v, "filename", mayBeEmpty: true));
        Text("appendfilename", "appendonly.aof", NoMeaning | Immutable, check: v => CheckFileName("appendfilename", v, "filename", mayBeEmpty: false));
        Text("appenddirname", "appendonlydir", NoMeaning | Immutable, check: v => CheckFileName("appenddirname", v, "dirname", mayBeEmpty: false));

        Choice("supervised", "no", ["upstart", "systemd", "auto", "no"], NoMeaning | Immutable);
        Choice(
            "syslog-facility",
            "local0",
            ["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"],
            NoMeaning | Immutable);
        Choice("repl-diskless-load", "disabled", ["disabled", "on-empty-db", "swapdb"], NoMeaning);
        Choice("sanitize-dump-payload", "no", ["no", "yes", "clients"], NoMeaning);
        Choice("enable-module-command", "no", ["no", "yes", "local"], NoMeaning | Immutable);
        Choice("cluster-preferred-endpoint-type", "ip", ["ip", "hostname", "unknown-endpoint"], NoMeaning);
        Choice("propagation-error-behavior", "ignore", ["ignore", "panic", "panic-on-replicas"], NoMeaning);

        Number("io-threads", 1, 1, 128, NoMeaning | Immutable);
        Number("cluster-port", 0, 0, 65535, NoMeaning | Immutable);
        Number("socket-mark-id", 0, 0, uint.MaxValue, NoMeaning | Immutable, unsigned: true);
        Number("cluster-replica-validity-factor", 10, 0, IntMax, NoMeaning, "cluster-slave-validity-factor");
        Number("cluster-migration-barrier", 1, 0, IntMax, NoMeaning);
        Number("active-defrag-cycle-min", 1, 1, 99, NoMeaning);
        Number("active-defrag-cycle-max", 25, 1, 99, NoMeaning);
        Number("active-defrag-threshold-lower", 10, 0, 1000, NoMeaning);
        Number("active-defrag-threshold-upper", 100, 0, 1000, NoMeaning);
        Number("active-defrag-max-scan-fields", 1000, 1, LongMax, NoMeaning);
        Memory("active-defrag-ignore-bytes", 100 * Mb, 1, LongMax, NoMeaning);
        Number("repl-diskless-sync-delay", 5, 0, IntMax, NoMeaning);
        Number("repl-diskless-sync-max-replicas", 0, 0, IntMax, NoMeaning);
        Number("cluster-announce-bus-port", 0, 0, 65535, NoMeaning);
        Number("cluster-announce-port", 0, 0, 65535, NoMeaning);
        Number("cluster-announce-tls-port", 0, 0, 65535, NoMeaning);
        Number("list-compress-depth", 0, 0, IntMax, NoMeaning);
        Number("shutdown-timeout", 10, 0, IntMax, NoMeaning);
        Number("cluster-node-timeout", 15000, 0, LongMax, NoMeaning);
        Memory("cluster-link-sendbuf-limit", 0, 0, -1, NoMeaning);
        Number("rdb-key-save-delay", 0, IntMin, IntMax, NoMeaning | Hidden);
        Number("key-load-delay", 0, IntMin, IntMax, NoMeaning | Hidden);
        Number("watchdog-period", 0, 0, IntMax, NoMeaning | Hidden);
        Number("cluster-ping-interval", 0, 0, LongMax, NoMeaning | Hidden);
        Number("loading-process-events-interval-bytes", 2 * Mb, 1024, IntMax, NoMeaning | Hidden);
        Number("tls-session-cache-size", 20 * 1024, 0, IntMax, NoMeaning);
        Number("tls-session-cache-timeout", 300, 0, IntMax, NoMeaning);

    }

    private static T Add<T>(T key)
        where T : ConfigKey
    {
        key.Index = _all.Count;
        _all.Add(key);
        _byName.Add(key.Name, key);
        if (key.Alias is not null)
        {
            _byName.Add(key.Alias, key);
        }

        return key;
    }

    private static BooleanKey Boolean(string name, bool defaultValue, ConfigFlags flags = None, string? alias = null) =>
        Add(new BooleanKey(name, alias, flags, defaultValue));

    private static StringKey Text(
        string name, string defaultValue, ConfigFlags flags = None, bool emptyIsUnset = false, string? alias = null, Func<string, string?>? check = null) =>
        Add(new StringKey(name, alias, flags, defaultValue, emptyIsUnset, check));

    private static EnumKey Choice(string name, string defaultValue, string[] choices, ConfigFlags flags = None) =>
        Add(new EnumKey(name, null, flags, Array.IndexOf(choices, defaultValue), [.. choices.Select((choice, value) => (choice, value))]));

    private static EnumKey ShutdownFlags(string name) => Add(new EnumKey(
        name,
        null,
        MultipleArguments,
        0,
        [("default", 0), ("save", 1), ("nosave", 2), ("now", 4), ("force", 8)],
        flags => (flags & 3) == 3 ? "shutdown options SAVE and NOSAVE can't be used simultaneously" : null));

    private static NumberKey Number(
        string name,
        long defaultValue,
        long least,
        long most,
        ConfigFlags flags = None,
        string? alias = null,
        NumberNotation notation = NumberNotation.Plain,
        bool unsigned = false,
        Func<long, long>? adjust = null) =>
        Add(new NumberKey(name, alias, flags, defaultValue, least, most, notation, unsigned, adjust));

    private static NumberKey Memory(
        string name, long defaultValue, long least, long most, ConfigFlags flags = None, string? alias = null, bool unsigned = true) =>
        Number(name, defaultValue, least, most, flags, alias, NumberNotation.Memory, unsigned);

    private static string? CheckFileName(string key, string value, string what, bool mayBeEmpty) =>
        value.Length == 0 && !mayBeEmpty ? $"{key} can't be empty"
        : value.AsSpan().IndexOfAny('/', '\\') >= 0 ? $"{key} can't be a path, just a {what}"
        : null;

    private static string? CheckAddress(string value) =>
        PeerAddress.TryParse(value, out _) ? null : $"'{value}' is no address of a peer: /ip4/10.0.0.1/tcp/4800, host or host:port";

    private static string? CheckNetwork(string value) => PeerAddress.TryParseNetwork(value, out _) ? null : $"'{value}' is no network: 10.0.0.0/8";

    private static string? CheckHostname(string value) =>
        value.Length >= 256 ? "Hostnames must be less than 256 characters"
        : value.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.') ? null
        : "Hostnames may only contain alphanumeric characters, hyphens or dots";

    private static string? CheckNodename(string value) =>
        value.All(c => c is >= '!' and <= '~' && !"!#$%&()*+:;<>?@[]^{|}~".Contains(c, StringComparison.Ordinal))
            ? null
            : "Announced human node name contained invalid character";

    private static string? CheckTemplate(string value)
    {
        string rest = value;
        foreach (string variable in (string[])["{title}", "{listen-addr}", "{server-mode}", "{port}", "{tls-port}", "{unixsocket}", "{config-file}"])
        {
            rest = rest.Replace(variable, "", StringComparison.Ordinal);
        }

        return rest.AsSpan().IndexOfAny('{', '}') < 0 ? null : "template format is invalid or contains unknown variables";
    }
}
