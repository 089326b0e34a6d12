using System.Buffers;
using System.Text;
using Leither.MmDb.Configuration;

namespace Leither.Node.Configuration;

/// <summary>A key of the configuration, for people.</summary>
/// <param name="Key">The key.</param>
/// <param name="Text">What it means.</param>
/// <param name="Example">What a value looks like, of a key that has none by default and takes no empty one.</param>
public sealed record ConfigEntry(ConfigKey Key, string Text, string? Example);

/// <summary>Keys that belong together.</summary>
/// <param name="Title">What they are about.</param>
/// <param name="Entries">The keys.</param>
public sealed record ConfigSection(string Title, IReadOnlyList<ConfigEntry> Entries);

/// <summary>
/// What every key of the configuration means, said once: the commented file that <c>leither init</c> writes and docs/configuration.md are both made of this. Keys that are
/// accepted without meaning are left out.
/// </summary>
public static class ConfigReference
{
    /// <summary>Title of the section of keys that nothing is said about: there are none of them in a release.</summary>
    public const string Unexplained = "Other keys";

    private static readonly (string Title, (string Name, string Text, string? Example)[] Keys)[] _texts =
    [
        ("Network",
        [
            ("port", "The TCP port. RESP, HTTP and peers share it. 0: none.", null),
            ("bind", "Addresses to listen on; one behind a '-' may be missing on this machine.", null),
            ("protected-mode", "Refuse clients from elsewhere while there is neither a password nor a user with rights.", null),
            ("unixsocket", "A Unix socket to listen on as well.", null),
            ("unixsocketperm", "Its mode, in octal. 0: as the system makes it.", null),
            ("tcp-backlog", "Connections that may wait to be accepted.", null),
            ("outbound-networks", "Networks to which MIGRATE, REPLICAOF and FAILOVER may connect (at start only). None: to any.", "192.0.2.0/24 10.1.0.0/16"),
            ("tcp-keepalive", "Seconds of silence after which TCP asks whether a client is still there. 0: never.", null),
            ("timeout", "Seconds after which a client that is silent is disconnected. 0: never.", null),
            ("maxclients", "Clients at a time. The limit of open files may lower it: leither doctor tells.", null),
            ("proto-max-bulk-len", "The longest argument, in bytes.", null),
            ("client-query-buffer-limit", "The longest input of a client that waits to be executed, in bytes.", null),
            ("client-output-buffer-limit", "Output that may wait for a client: class, hard limit, soft limit, seconds over the soft one.", null),
            ("maxmemory-clients", "Memory of all clients together, in bytes or as a percentage of maxmemory. 0: no limit.", null),
        ]),
        ("The process",
        [
            ("dir", "The data folder. It cannot change while the node runs.", "/var/lib/leither"),
            ("loglevel", "How much is logged: debug, verbose, notice, warning or nothing.", null),
            ("logfile", "The file that the log is appended to, relative to the data folder. Empty: the console, or leither.log for run -d.", null),
            ("log-format", "How its lines look: text (as Redis's), or json (an object a line: time, level, pid, msg).", null),
            ("pidfile", "A file that holds the number of the process while it runs.", null),
            ("shutdown-on-sigint", "What SIGINT does: default, or some of save, nosave, now, force.", null),
            ("shutdown-on-sigterm", "What SIGTERM does: default, or some of save, nosave, now, force.", null),
            ("databases", "Numbered databases of each MiMei.", null),
            ("hz", "How often a second background work is looked after.", null),
            ("oom-score-adj", "Whether Linux is told how readily to end this process when memory runs out: no, relative (yes) or absolute.", null),
            ("oom-score-adj-values", "What it is told: of a writer, of a replica, of a child process.", null),
        ]),
        ("Security",
        [
            ("requirepass", "The password of the default user. Empty: none is asked for.", null),
            ("aclfile", "The file of the users, for ACL LOAD and ACL SAVE.", null),
            ("acl-pubsub-default", "Channels of new users: resetchannels (none) or allchannels.", null),
            ("acllog-max-len", "Entries of ACL LOG.", null),
            ("enable-protected-configs", "Who may change protected keys: no, yes, or local (clients on this machine).", null),
            ("enable-debug-command", "Who may use DEBUG: no, yes, or local.", null),
        ]),
        ("TLS",
        [
            ("tls-port", "One more port, which takes TLS alone. On every port TLS is told by its first byte. 0: none.", null),
            ("tls-cert-file", "The certificate, with those between it and its authority, in PEM. Empty: the node makes one of its own.", null),
            ("tls-key-file", "Its private key, in PEM.", null),
            ("tls-key-file-pass", "What the private key is encrypted with.", null),
            ("tls-ca-cert-file", "The authorities whose clients' certificates count, in one file.", null),
            ("tls-ca-cert-dir", "The same, as a folder of files.", null),
            ("tls-auth-clients", "Whether clients show a certificate: no, optional, or yes (they have to).", null),
            ("tls-protocols", "Versions, with blanks between them: TLSv1.2, TLSv1.3. Empty: both.", null),
            ("tls-ciphers", "Ciphers of TLS 1.2, with colons between them. Empty: the system's.", null),
            ("tls-ciphersuites", "Ciphers of TLS 1.3, likewise.", null),
            ("tls-session-caching", "Whether a client that comes back may leave out most of the handshake.", null),
        ]),
        ("Keeping the data",
        [
            ("appendonly", "Whether each write goes to the log.", null),
            ("appendfsync", "When the log is synced to the disk: everysec, always (before each reply) or no (when the system likes).", null),
            ("save", "When checkpoints are made: after so many seconds, if there were so many changes. \"\": not by time.", null),
            ("stop-writes-on-bgsave-error", "Refuse writes after a failed checkpoint where no log is kept.", null),
            ("auto-aof-rewrite-percentage", "Growth of the log, in percent of what the last checkpoint left, at which the next one is made. 0: never.", null),
            ("auto-aof-rewrite-min-size", "Size of the log, in bytes, below which its growth makes no checkpoint.", null),
        ]),
        ("MiMei and versions",
        [
            ("auto-backup", "Versions by themselves: one after so many seconds, if there were so many changes. \"3600 1 60 10000\", for example.", null),
            ("backup-retention", "How long such versions are kept: up to an age in seconds, one for each period in seconds (0: all). Empty: all, for ever.", null),
            ("mimei-idle-timeout", "Seconds after which a MiMei that nobody uses is unloaded. 0: never.", null),
            ("transaction-timeout", "Milliseconds after which a transaction (BEGIN) is rolled back that was given no time of its own.", null),
            ("transaction-max-memory", "The most that a transaction may hold, in bytes.", null),
            ("transaction-max-elements", "The largest collection that a transaction copies, in elements.", null),
        ]),
        ("Peers",
        [
            ("swarm", "Whether the node is a peer of others at all.", null),
            ("swarm-bootstrap", "Peers that lead into a network: multiaddrs, HOST or HOST:PORT. None: the node connects to nobody by itself.", "nas.local 192.0.2.7:4800"),
            ("swarm-announce", "Addresses beside those listened on: a router's, for example.", "/ip4/203.0.113.5/tcp/4800"),
            ("swarm-filters", "Networks with which nothing is exchanged.", "203.0.113.0/24"),
            ("swarm-low-water", "Connections with peers down to which idle ones are closed.", null),
            ("swarm-high-water", "Connections with peers above which idle ones are closed.", null),
            ("swarm-max-connections", "Connections with peers beyond which nobody is let in.", null),
            ("swarm-mdns", "Whether nodes on the local network find each other by multicast DNS.", null),
            ("swarm-key", "The file of a swarm key: the node is part of that private network alone, on a port of its own.", null),
            ("swarm-port", "That port. 0: any.", null),
            ("dht-network", "The distributed hash table that the node takes part in: leither, or ipfs (the open one).", null),
            ("dht-mode", "auto, dhtclient (asks only), dhtserver (answers, too) or off.", null),
            ("replication-log-max", "How much of a MiMei's log stays on the disk for followers that are fetching it, where checkpoints have made it superfluous. Who is further behind begins anew, with a version.", null),
            ("replication-recover-timeout", "Seconds for which a writer whose machine lost its power looks among followers for what it signed and lost. 0: it does not look.", null),
            ("ipfs-fetch-timeout", "Seconds that a block from the network may take.", null),
        ]),
        ("Memory",
        [
            ("maxmemory", "Memory for data: bytes, or with a unit (2gb). 0: no limit.", null),
            ("maxmemory-policy", "What goes when it is used up: noeviction, or allkeys- or volatile- with lru, lfu or random, or volatile-ttl.", null),
            ("maxmemory-samples", "Keys looked at for each eviction.", null),
            ("maxmemory-eviction-tenacity", "How hard eviction tries before others may run: 0 to 100.", null),
            ("lfu-log-factor", "How slowly the counter of lfu grows.", null),
            ("lfu-decay-time", "Minutes after which it falls.", null),
            ("active-expire-effort", "How hard expired keys are looked for: 1 to 10.", null),
            ("lazyfree-lazy-eviction", "Whether evicted values are freed in slices.", null),
            ("lazyfree-lazy-expire", "Whether expired values are freed in slices.", null),
            ("lazyfree-lazy-server-del", "Whether values that a command replaces are freed in slices.", null),
        ]),
        ("Encodings",
        [
            ("hash-max-listpack-entries", "Fields up to which a hash stays packed.", null),
            ("hash-max-listpack-value", "Bytes of a field or value up to which it does.", null),
            ("list-max-listpack-size", "Size of a list's nodes: elements, or -1 … -5 for 4 … 64 KiB.", null),
            ("set-max-intset-entries", "Members up to which a set of integers stays an intset.", null),
            ("set-max-listpack-entries", "Members up to which a set stays packed.", null),
            ("set-max-listpack-value", "Bytes of a member up to which it does.", null),
            ("zset-max-listpack-entries", "Members up to which a sorted set stays packed.", null),
            ("zset-max-listpack-value", "Bytes of a member up to which it does.", null),
            ("hll-sparse-max-bytes", "Bytes up to which a HyperLogLog stays sparse.", null),
            ("stream-node-max-bytes", "Bytes of a stream's nodes.", null),
            ("stream-node-max-entries", "Entries of a stream's nodes.", null),
        ]),
        ("Watching",
        [
            ("notify-keyspace-events", "Which keyspace events are published: letters, as in Redis. Empty: none.", null),
            ("slowlog-log-slower-than", "Microseconds from which a command is slow. -1: none is.", null),
            ("slowlog-max-len", "Entries of the slow log.", null),
            ("latency-monitor-threshold", "Milliseconds from which LATENCY records an event. 0: none.", null),
            ("latency-tracking", "Whether latencies are tracked by command.", null),
            ("latency-tracking-info-percentiles", "Percentiles that INFO latencystats shows.", null),
            ("tracking-table-max-keys", "Keys remembered for client-side caching.", null),
            ("busy-reply-threshold", "Milliseconds after which others are told that a script runs.", null),
        ]),
        ("Replication with Redis",
        [
            ("replicaof", "The server to follow.", "redis.example 6379"),
            ("masteruser", "The user to log in as there.", null),
            ("masterauth", "The password to log in with there.", null),
            ("replica-serve-stale-data", "Whether a replica answers while it has no link to its master.", null),
            ("replica-read-only", "Whether a replica refuses writes.", null),
            ("replica-announce-ip", "The address that it tells its master.", null),
            ("replica-announce-port", "The port that it tells its master. 0: its own.", null),
            ("replica-priority", "What INFO says of it to those who choose a new master.", null),
            ("repl-timeout", "Seconds of silence after which a master or replica counts as gone.", null),
            ("repl-ping-replica-period", "Seconds between two pings of a master to its replicas.", null),
            ("repl-backlog-size", "Bytes of the stream that are kept for replicas that were cut off.", null),
            ("repl-backlog-ttl", "Seconds after the last replica went until the backlog goes. 0: never.", null),
            ("min-replicas-to-write", "Replicas and named providers (MIMEI PROVIDERS) that must be in touch for writes to the default MiMei to be taken. 0: none.", null),
            ("min-replicas-max-lag", "Seconds of silence after which a replica, or a named provider, is no longer in touch.", null),
        ]),
    ];

    /// <summary>All keys with a meaning, in the order in which people read of them.</summary>
    public static IReadOnlyList<ConfigSection> Sections { get; } = Build();

    /// <summary>Keys of Redis that are accepted and mean nothing here.</summary>
    public static IEnumerable<ConfigKey> WithoutMeaning => ConfigKeys.All.Where(static k => k.Flags.HasFlag(ConfigFlags.NoMeaning) && !k.Flags.HasFlag(ConfigFlags.Hidden));

    /// <summary>A key's default as a file has it, or null where it has none that could be written.</summary>
    public static string? DefaultOf(ConfigEntry entry) => entry.Example is null ? ValueOf(entry.Key, _defaults) : null;

    /// <summary>The name of the environment variable that sets a key.</summary>
    public static string VariableOf(ConfigKey key) => NodeConfig.VariablePrefix + key.Name.ToUpperInvariant().Replace('-', '_');

    /// <summary>A configuration file with every key, what it means, and its default as a comment; what differs from the default is set.</summary>
    public static string WriteFile(ConfigSettings settings)
    {
        StringBuilder file = new("""
            # The configuration of a Leither node.
            #
            # A line is a key and its value; all after '#' at the beginning of a line is left out. Below, each key stands with its default: take the '#' away to change it.
            # The syntax is that of redis.conf, so is `include FILE`. What wins over this file: environment variables (LEITHER_APPENDFSYNC=always), then arguments
            # (leither run --appendfsync always). Most keys can change while the node runs: CONFIG SET appendfsync always; CONFIG REWRITE puts that into this file.

            """);
        foreach (ConfigSection section in Sections)
        {
            file.Append("\n# ---- ").Append(section.Title).Append(" ----\n");
            foreach (ConfigEntry entry in section.Entries)
            {
                bool isSet = entry.Key != ConfigKeys.Directory && settings.Show(entry.Key) != _defaults.Show(entry.Key);
                file.Append("\n## ").Append(entry.Text).Append('\n');
                file.Append(isSet ? "" : "# ").Append(entry.Key.Name).Append(' ').Append(isSet ? ValueOf(entry.Key, settings) : entry.Example ?? ValueOf(entry.Key, _defaults)).Append('\n');
            }
        }

        return file.ToString();
    }

    private static readonly ConfigSettings _defaults = new();

    /// <summary>What makes a value need quotes.</summary>
    private static readonly SearchValues<char> _quoted = SearchValues.Create(" \t\"'\\#");

    private static string ValueOf(ConfigKey key, ConfigSettings settings)
    {
        string value = settings.Show(key);
        // A list is written as words; one value that is empty or has blanks, in quotes.
        return value.Length == 0 || (!key.Flags.HasFlag(ConfigFlags.MultipleArguments) && value.AsSpan().ContainsAny(_quoted)) ? ConfigText.Quote(value) : value;
    }

    private static List<ConfigSection> Build()
    {
        List<ConfigSection> sections = [];
        HashSet<ConfigKey> explained = [];
        foreach ((string title, (string Name, string Text, string? Example)[] keys) in _texts)
        {
            ConfigEntry[] entries = [.. keys.Select(static k => new ConfigEntry(
                ConfigKeys.Find(k.Name) ?? throw new InvalidOperationException($"There is no key {k.Name}"), k.Text, k.Example))];
            explained.UnionWith(entries.Select(static e => e.Key));
            sections.Add(new ConfigSection(title, entries));
        }

        ConfigEntry[] others = [.. ConfigKeys.All
            .Where(k => !explained.Contains(k) && !k.Flags.HasFlag(ConfigFlags.NoMeaning) && !k.Flags.HasFlag(ConfigFlags.Hidden))
            .Select(static k => new ConfigEntry(k, "", null))];
        if (others.Length > 0)
        {
            sections.Add(new ConfigSection(Unexplained, others));
        }

        return sections;
    }
}
