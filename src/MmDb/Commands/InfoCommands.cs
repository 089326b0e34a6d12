using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Rights;

namespace Leither.MmDb.Commands;

/// <summary>INFO: what the server says of itself, section by section, with every field that Redis 7.2 has.</summary>
public static unsafe class InfoCommands
{
    /// <summary>INFO [section …]</summary>
    public static readonly CommandSpec Info = new("info", -1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Returns information and statistics about the server.",
        Flags = CommandFlags.Loading | CommandFlags.Stale,
        Categories = ["dangerous"],
        History = [("7.0.0", "Added support for taking multiple section arguments.")],
        Tips = ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        Args = [Arg.String("section").Multiple().Optional()],
        Handler = &RunInfo,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Info];

    private static readonly string[] _sections =
    [
        "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules", "commandstats", "errorstats", "latencystats",
        "cluster", "mimei", "network", "keyspace",
    ];

    private static void RunInfo(CommandContext c)
    {
        HashSet<string> wanted = new(StringComparer.OrdinalIgnoreCase);
        for (int i = 1; i < c.Count; i++)
        {
            wanted.Add(c.Text(i));
        }

        c.Reply.Verbatim("txt"u8, Encoding.Latin1.GetBytes(Write(c, wanted, usual: c.Count == 1)));
    }

    /// <summary>All that INFO says of the default MiMei and of the node. Behind the gate.</summary>
    internal static string Everything(Server server)
    {
        using var connection = new SilentConnection();
        var context = new CommandContext(server);
        context.Start(server.OpenScriptSession(connection), Info, null, 0, -1, 0);
        return Write(context, new HashSet<string>(["everything"]), usual: false);
    }

    private static string Write(CommandContext c, HashSet<string> wanted, bool usual)
    {
        usual |= wanted.Contains("default");
        bool all = wanted.Contains("all") || wanted.Contains("everything");
        var text = new StringBuilder();
        foreach (string section in _sections)
        {
            bool isUsual = section is not ("commandstats" or "latencystats" or "mimei" or "network");
            if (all || wanted.Contains(section) || (usual && isUsual) || (section == "modules" && wanted.Contains("module_list")))
            {
                _ = text.Length == 0 ? text : text.Append("\r\n");
                Section(c, new Fields(text), section);
            }
        }

        return text.ToString();
    }

    /// <summary>Lines of name and value.</summary>
    private readonly struct Fields(StringBuilder text)
    {
        public void Title(string title) => text.Append("# ").Append(title).Append("\r\n");

        public void Add(string name, string value) => text.Append(name).Append(':').Append(value).Append("\r\n");

        public void Add(string name, long value) => text.Append(name).Append(':').Append(value).Append("\r\n");

        public void Add(string name, bool value) => Add(name, value ? 1 : 0);

        public void Add(string name, double value, int digits = 2) => Add(name, value.ToString("F" + digits, CultureInfo.InvariantCulture));

        /// <summary>A number of bytes, and again for people.</summary>
        public void Bytes(string name, long value)
        {
            Add(name, value);
            Add(name + "_human", Human(value));
        }

        public void Zeros(params ReadOnlySpan<string> names)
        {
            foreach (string name in names)
            {
                Add(name, 0);
            }
        }
    }

    private static void Section(CommandContext c, Fields f, string section)
    {
        switch (section)
        {
            case "server":
                Server(c, f);
                break;
            case "clients":
                Clients(c, f);
                break;
            case "memory":
                Memory(c, f);
                break;
            case "persistence":
                Persistence(c, f);
                break;
            case "stats":
                Stats(c, f);
                break;
            case "replication":
                Replication(c, f);
                break;
            case "cpu":
                Cpu(f);
                break;
            case "modules":
                f.Title("Modules");
                break;
            case "commandstats":
                f.Title("Commandstats");
                ForEach(c, spec => CommandStat(c, f, spec));
                break;
            case "errorstats":
                f.Title("Errorstats");
                foreach ((string error, long count) in c.Server.Stats.Errors.OrderBy(static e => e.Key, StringComparer.Ordinal))
                {
                    f.Add("errorstat_" + error, $"count={count}");
                }

                break;
            case "latencystats":
                f.Title("Latencystats");
                ForEach(c, spec => LatencyStat(c, f, spec));
                break;
            case "cluster":
                f.Title("Cluster");
                f.Add("cluster_enabled", 0);
                break;
            case "mimei":
                Mimei(c, f);
                break;
            case "network":
                Network(c, f);
                break;
            default:
                f.Title("Keyspace");
                foreach (Database database in c.Keyspace.Databases)
                {
                    if (database.Count > 0)
                    {
                        f.Add($"db{database.Index}", $"keys={database.Count},expires={database.Expires->Count},avg_ttl={database.AverageTtlMs}");
                    }
                }

                break;
        }
    }

    private static void Server(CommandContext c, Fields f)
    {
        Server server = c.Server;
        DateTimeOffset now = server.Time.GetUtcNow();
        long uptime = (now.ToUnixTimeMilliseconds() - server.StartedMs) / 1000;
        Version version = Environment.Version;
        int hz = server.Options.Hz;
        f.Title("Server");
        f.Add("redis_version", ServerOptions.RedisVersion);
        if (server.ProgramVersion.Length > 0)
        {
            f.Add("leither_version", server.ProgramVersion);
        }

        f.Add("redis_git_sha1", "00000000");
        f.Add("redis_git_dirty", 0);
        f.Add("redis_build_id", "0");
        f.Add("redis_mode", "standalone");
        f.Add("os", RuntimeInformation.OSDescription);
        f.Add("arch_bits", IntPtr.Size * 8);
        f.Add("monotonic_clock", "POSIX clock_gettime");
        f.Add("multiplexing_api", OperatingSystem.IsLinux() ? "epoll" : "sockets");
        f.Add("atomicvar_api", "none");
        f.Add("gcc_version", "0.0.0");
        f.Add("dotnet_version", $"{version.Major}.{version.Minor}.{version.Build}");
        f.Add("process_id", Environment.ProcessId);
        f.Add("process_supervised", "no");
        f.Add("run_id", server.RunId);
        f.Add("tcp_port", server.Options.Port);
        f.Add("server_time_usec", (now - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond);
        f.Add("uptime_in_seconds", uptime);
        f.Add("uptime_in_days", uptime / 86400);
        f.Add("hz", hz);
        f.Add("configured_hz", hz);
        f.Add("lru_clock", (c.NowMs / 1000) & 0xFFFFFF);
        f.Add("executable", Environment.ProcessPath ?? "");
        f.Add("config_file", server.ConfigFile);
        f.Add("io_threads_active", 0);
        f.Add("listener0", $"name=tcp,bind={server.Settings.Show(ConfigKeys.Bind)},port={server.Options.Port}");
    }

    private static void Clients(CommandContext c, Fields f)
    {
        Server server = c.Server;
        long input = 0, output = 0;
        foreach (Session session in server.Sessions.Values)
        {
            input = Math.Max(input, Math.Max(session.Connection.InputBytes, session.InputRoom(c.NowMs)));
            output = Math.Max(output, Math.Max(session.Output.Length, session.ReplyPeak));
        }

        long keys = 0, keysWhoseLossWakes = 0;
        foreach (Database database in c.Keyspace.Databases)
        {
            keys += database.Waiting.Count;
            foreach (LinkedList<Session> queue in database.Waiting.Values)
            {
                keysWhoseLossWakes += queue.Any(static s => s.Blocked is { WakesOnLoss: true }) ? 1 : 0;
            }
        }

        f.Title("Clients");
        f.Add("connected_clients", server.Sessions.Count);
        f.Add("cluster_connections", 0);
        f.Add("maxclients", server.Options.MaxClients);
        f.Add("client_recent_max_input_buffer", input);
        f.Add("client_recent_max_output_buffer", output);
        f.Add("blocked_clients", server.Blocking.Count + server.PostponedCount);
        f.Add("tracking_clients", c.Mimei.Tracking.ClientCount);
        f.Add("clients_in_timeout_table", server.Blocking.CountWithDeadline);
        f.Add("total_blocking_keys", keys);
        f.Add("total_blocking_keys_on_nokey", keysWhoseLossWakes);
    }

    private static void Memory(CommandContext c, Fields f)
    {
        Server server = c.Server;
        long used = 0, resident = Environment.WorkingSet, held = 0;
        long total = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, buffers = 0;
        foreach (Session session in server.Sessions.Values)
        {
            buffers += ClientMemory.Of(session, c.NowMs);
        }

        foreach (Mimei mimei in server.Mimeis.Open)
        {
            used += mimei.Keyspace.UsedBytes;
            held += mimei.Keyspace.Heap.ResidentBytes;
        }

        long peak = server.Stats.PeakUsedBytes = Math.Max(server.Stats.PeakUsedBytes, used);
        long startup = server.StartUsedBytes, overhead = Math.Min(used, startup), data = used - overhead;
        f.Title("Memory");
        f.Bytes("used_memory", used);
        f.Bytes("used_memory_rss", resident);
        f.Bytes("used_memory_peak", peak);
        f.Add("used_memory_peak_perc", Percent(used, peak));
        f.Add("used_memory_overhead", overhead);
        f.Add("used_memory_startup", startup);
        f.Add("used_memory_dataset", data);
        f.Add("used_memory_dataset_perc", Percent(data, Math.Max(1, used - startup)));
        f.Add("allocator_allocated", used);
        f.Add("allocator_active", held);
        f.Add("allocator_resident", held);
        f.Bytes("total_system_memory", total);
        Scripting.Scripts scripts = server.Scripts;
        f.Add("used_memory_lua", scripts.EvalEngineBytes);
        f.Add("used_memory_vm_eval", scripts.EvalEngineBytes);
        f.Add("used_memory_lua_human", Human(scripts.EvalEngineBytes));
        f.Add("used_memory_scripts_eval", scripts.CachedBytes);
        f.Add("number_of_cached_scripts", scripts.CachedCount);
        f.Add("number_of_functions", c.Functions.FunctionCount);
        f.Add("number_of_libraries", c.Functions.LibraryCount);
        f.Add("used_memory_vm_functions", c.Functions.EngineBytes);
        f.Bytes("used_memory_vm_total", scripts.EvalEngineBytes + c.Functions.EngineBytes);
        f.Add("used_memory_functions", c.Functions.LibraryBytes);
        f.Bytes("used_memory_scripts", scripts.CachedBytes + c.Functions.LibraryBytes);
        f.Bytes("maxmemory", c.Keyspace.Options.MaxMemory);
        f.Add("maxmemory_policy", server.Settings.Show(ConfigKeys.MaxMemoryPolicy));
        f.Add("allocator_frag_ratio", Ratio(held, used));
        f.Add("allocator_frag_bytes", held - used);
        f.Add("allocator_rss_ratio", 1.0);
        f.Add("allocator_rss_bytes", 0);
        f.Add("rss_overhead_ratio", Ratio(resident, held));
        f.Add("rss_overhead_bytes", resident - held);
        f.Add("mem_fragmentation_ratio", Ratio(resident, used));
        f.Add("mem_fragmentation_bytes", resident - used);
        f.Add("mem_not_counted_for_evict", 0);
        f.Add("mem_replication_backlog", c.Server.Replication.Backlog?.Length ?? 0);
        f.Zeros("mem_total_replication_buffers", "mem_clients_slaves");
        f.Add("mem_clients_normal", buffers);
        f.Add("mem_cluster_links", 0);
        f.Add("mem_aof_buffer", c.Mimei.Log?.BufferBytes ?? 0);
        f.Add("mem_allocator", "leither-slabs");
        f.Add("active_defrag_running", c.Keyspace.Compactor.IsActive);
        f.Add("lazyfree_pending_objects", c.Keyspace.LazyFree.PendingValues);
        f.Add("lazyfreed_objects", c.Keyspace.LazyFree.FreedValues);
    }

    private static void Persistence(CommandContext c, Fields f)
    {
        ICheckpointer? checkpointer = c.Mimei.Checkpointer;
        bool running = checkpointer is { IsRunning: true };
        long elapsed = running ? (c.NowMs - checkpointer!.StartedMs) / 1000 : -1, last = checkpointer is { LastDurationMs: >= 0 } done ? done.LastDurationMs / 1000 : -1;
        bool logs = c.Mimei.Log is not null;
        f.Title("Persistence");
        f.Zeros("loading", "async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age");
        f.Add("current_fork_perc", 0.0);
        f.Zeros("current_save_keys_processed", "current_save_keys_total");
        f.Add("rdb_changes_since_last_save", c.Keyspace.Dirty);
        f.Add("rdb_bgsave_in_progress", running);
        f.Add("rdb_last_save_time", (checkpointer?.LastSavedMs ?? c.Server.StartedMs) / 1000);
        f.Add("rdb_last_bgsave_status", checkpointer is { LastSucceeded: false } ? "err" : "ok");
        f.Add("rdb_last_bgsave_time_sec", last);
        f.Add("rdb_current_bgsave_time_sec", elapsed);
        f.Add("rdb_saves", checkpointer?.Count ?? 0);
        f.Zeros("rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded");
        f.Add("aof_enabled", logs);
        f.Zeros("aof_rewrite_in_progress", "aof_rewrite_scheduled");
        f.Add("aof_last_rewrite_time_sec", last);
        f.Add("aof_current_rewrite_time_sec", -1);
        f.Add("aof_last_bgrewrite_status", checkpointer is { LastSucceeded: false } ? "err" : "ok");
        f.Zeros("aof_rewrites", "aof_rewrites_consecutive_failures");
        f.Add("aof_last_write_status", c.Mimei.Log is { State: not LogState.Open } ? "err" : "ok");
        f.Zeros("aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size");
        if (logs)
        {
            WriteLog current = c.Mimei.Log!;
            f.Add("aof_current_size", current.TotalBytes);
            f.Zeros("aof_base_size", "aof_pending_rewrite");
            f.Add("aof_buffer_length", current.BufferBytes);
            f.Add("aof_pending_bio_fsync", current.SyncedSequence < current.WrittenSequence);
            f.Zeros("aof_delayed_fsync");
        }
    }

    private static void Stats(CommandContext c, Fields f)
    {
        ServerStats stats = c.Server.Stats;
        KeyspaceStats keyspace = c.Keyspace.Stats;
        PubSub pubSub = c.Mimei.PubSub;
        f.Title("Stats");
        f.Add("total_connections_received", stats.ConnectionsReceived);
        f.Add("total_commands_processed", stats.CommandsProcessed);
        f.Add("instantaneous_ops_per_sec", (long)stats.Commands.PerSecond);
        f.Add("total_net_input_bytes", stats.BytesReceived);
        f.Add("total_net_output_bytes", c.Server.BytesWritten);
        f.Zeros("total_net_repl_input_bytes", "total_net_repl_output_bytes");
        f.Add("instantaneous_input_kbps", stats.Input.PerSecond / 1024);
        f.Add("instantaneous_output_kbps", stats.Output.PerSecond / 1024);
        f.Add("instantaneous_input_repl_kbps", 0.0);
        f.Add("instantaneous_output_repl_kbps", 0.0);
        f.Add("rejected_connections", stats.ConnectionsRejected);
        (long full, long partial, long refused) = c.Server.Replication.Syncs;
        f.Add("sync_full", full);
        f.Add("sync_partial_ok", partial);
        f.Add("sync_partial_err", refused);
        f.Add("expired_subkeys", keyspace.ExpiredFields);
        f.Add("expired_keys", keyspace.ExpiredKeys);
        f.Add("expired_stale_perc", keyspace.ExpiredStalePercent);
        f.Add("expired_time_cap_reached_count", keyspace.ExpiredTimeCapReached);
        f.Add("expire_cycle_cpu_milliseconds", (long)(keyspace.ExpireCycleTicks * (1e3 / Stopwatch.Frequency)));
        f.Add("evicted_keys", keyspace.EvictedKeys);
        f.Add("evicted_clients", c.Server.ClientMemory.EvictedClients);
        long exceeding = stats.EvictionExceededSinceMs == 0 ? 0 : c.NowMs - stats.EvictionExceededSinceMs;
        f.Add("total_eviction_exceeded_time", stats.EvictionExceededMs + exceeding);
        f.Add("current_eviction_exceeded_time", exceeding);
        f.Add("keyspace_hits", keyspace.KeyspaceHits);
        f.Add("keyspace_misses", keyspace.KeyspaceMisses);
        f.Add("pubsub_channels", pubSub.Channels.Count);
        f.Add("pubsub_patterns", pubSub.Patterns.Count);
        f.Add("pubsubshard_channels", pubSub.ShardChannels.Count);
        f.Zeros(
            "latest_fork_usec", "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys", "active_defrag_hits", "active_defrag_misses",
            "active_defrag_key_hits", "active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time");
        f.Add("tracking_total_keys", c.Mimei.Tracking.KeyCount);
        f.Add("tracking_total_items", c.Mimei.Tracking.ItemCount);
        f.Add("tracking_total_prefixes", c.Mimei.Tracking.PrefixCount);
        f.Zeros("unexpected_error_replies");
        f.Add("total_error_replies", stats.ErrorReplies);
        f.Zeros("dump_payload_sanitizations");
        LoopCounters loop = c.Server.Transport?.Invoke() ?? default;
        long commandTicks = 0;
        ForEach(c, spec => commandTicks += c.Server.StatsOf(spec).Ticks);
        f.Add("total_reads_processed", loop.Reads);
        f.Add("total_writes_processed", loop.Writes);
        f.Zeros("io_threaded_reads_processed", "io_threaded_writes_processed", "reply_buffer_shrinks", "reply_buffer_expands");
        f.Add("eventloop_cycles", loop.Turns);
        f.Add("eventloop_duration_sum", loop.BusyMicroseconds);
        f.Add("eventloop_duration_cmd_sum", (long)(commandTicks * (1e6 / Stopwatch.Frequency)));
        f.Add("instantaneous_eventloop_cycles_per_sec", (long)stats.Turns.PerSecond);
        f.Add("instantaneous_eventloop_duration_usec", stats.Turns.PerSecond == 0 ? 0 : (long)(stats.Busy.PerSecond / stats.Turns.PerSecond));
        f.Add("acl_access_denied_auth", stats.AuthenticationsDenied);
        f.Add("acl_access_denied_cmd", stats.CommandsDenied);
        f.Add("acl_access_denied_key", stats.KeysDenied);
        f.Add("acl_access_denied_channel", stats.ChannelsDenied);
    }

    /// <summary>
    /// What Redis's tools read, about the connection's MiMei: a copy is a slave of the node that it comes from, nodes that follow are slaves of a writer beside Redis
    /// replicas. What Redis has no word for follows under names of its own.
    /// </summary>
    private static void Replication(CommandContext c, Fields f)
    {
        f.Title("Replication");
        RedisReplication.Replicator replication = c.Server.Replication;
        bool isOfRedis = replication.Concerns(c.Session);
        RedisReplication.MasterLink? master = isOfRedis ? replication.Master : null;
        ReplicaStatus? copy = master is null ? ReplicationCommands.CopyStatus(c) : null;
        f.Add("role", master is null && copy is null ? "master" : "slave");
        if (master is not null)
        {
            f.Add("master_host", master.Host);
            f.Add("master_port", master.Port);
            f.Add("master_link_status", master.IsUp ? "up" : "down");
            f.Add("master_last_io_seconds_ago", master.SecondsSinceHeard);
            f.Add("master_sync_in_progress", master.IsSynchronizing ? 1 : 0);
            f.Add("slave_read_repl_offset", replication.Offset);
            f.Add("slave_repl_offset", replication.Offset);
            if (!master.IsUp)
            {
                f.Add("master_link_down_since_seconds", master.DownSeconds);
            }

            f.Add("slave_priority", c.Server.Settings.Get(Configuration.ConfigKeys.ReplicaPriority));
            f.Add("slave_read_only", c.Server.Settings.Get(Configuration.ConfigKeys.ReplicaReadOnly) ? 1 : 0);
            f.Add("replica_announced", 1);
        }
        else if (copy is not null)
        {
            (string host, int port) = ReplicationCommands.WriterOf(copy);
            long silent = copy.SilentMs < 0 ? -1 : copy.SilentMs / 1000;
            f.Add("master_host", host);
            f.Add("master_port", port);
            f.Add("master_link_status", copy.Source is null ? "down" : "up");
            f.Add("master_last_io_seconds_ago", silent);
            f.Add("master_sync_in_progress", copy.Source is not null && !copy.IsLevel ? 1 : 0);
            f.Add("slave_read_repl_offset", (long)copy.Position.Sequence);
            f.Add("slave_repl_offset", (long)copy.Position.Sequence);
            if (copy.Source is null)
            {
                f.Add("master_link_down_since_seconds", silent);
            }

            f.Add("slave_priority", c.Server.Settings.Get(Configuration.ConfigKeys.ReplicaPriority));
            f.Add("slave_read_only", 1);
            f.Add("replica_announced", 1);
        }

        Session[] replicas = isOfRedis ? [.. replication.Replicas.Where(static r => r.Replica!.State is not null)] : [];
        IReadOnlyList<FollowerStatus> followers = ReplicationCommands.FollowersOf(c);
        long offset = copy is null ? ReplicationCommands.OffsetOf(c) : (long)copy.Position.Sequence;
        f.Add("connected_slaves", replicas.Length + followers.Count);
        if (isOfRedis && c.Server.Settings.Get(Configuration.ConfigKeys.MinReplicasToWrite) > 0)
        {
            f.Add("min_slaves_good_slaves", replication.GoodReplicas);
        }

        for (int i = 0; i < replicas.Length; i++)
        {
            (string address, int port) = RedisReplication.Replicator.AddressOf(replicas[i]);
            RedisReplication.Replica replica = replicas[i].Replica!;
            string state = replica.State switch
            {
                RedisReplication.ReplicaState.Online => "online",
                RedisReplication.ReplicaState.Sending or RedisReplication.ReplicaState.Served => "send_bulk",
                _ => "wait_bgsave",
            };
            long lag = replica.State == RedisReplication.ReplicaState.Online ? (c.Server.NowMs - RedisReplication.Replicator.HeardMs(replicas[i])) / 1000 : 0;
            f.Add($"slave{i}", $"ip={address},port={port},state={state},offset={replica.AcknowledgedOffset},lag={lag}");
        }

        ulong written = copy?.Position.Sequence ?? c.Mimei.Log?.LastSequence ?? 0;
        for (int i = 0; i < followers.Count; i++)
        {
            FollowerStatus follower = followers[i];
            (string address, int port) = ReplicationCommands.HostOf(follower.Address);
            string state = follower.State == ReplicationCommands.OnlineState ? "online" : "send_bulk";
            f.Add(
                $"slave{replicas.Length + i}",
                $"ip={address},port={port},state={state},offset={follower.Written},lag={Math.Max(0, follower.SilentMs) / 1000},"
                + $"peer={follower.Peer},synced={follower.Synced},behind={ReplicaReplies.Lag(follower.Written, written)},named={(follower.IsNamed ? 1 : 0)}");
        }

        f.Add("master_failover_state", replication.Failover is not { } failover || !isOfRedis ? "no-failover" : failover.IsHandedOver ? "failover-in-progress" : "waiting-for-sync");
        if (isOfRedis && copy is null)
        {
            f.Add("master_replid", replication.Id);
            f.Add("master_replid2", replication.SecondId);
            f.Add("master_repl_offset", offset);
            f.Add("second_repl_offset", replication.SecondOffset);
            f.Add("repl_backlog_active", replication.Backlog is null ? 0 : 1);
            f.Add("repl_backlog_size", c.Server.Settings.Get(Configuration.ConfigKeys.ReplBacklogSize));
            f.Add("repl_backlog_first_byte_offset", replication.Backlog?.FirstOffset ?? 0);
            f.Add("repl_backlog_histlen", replication.Backlog?.Length ?? 0);
        }
        else
        {
            // The id of a MiMei has as many bytes as that of a stream, and the same is followed under it everywhere.
            byte[] id = new byte[Leither.Ipfs.Keys.LeitherId.Length];
            c.Mimei.Id.CopyTo(id);
            f.Add("master_replid", Convert.ToHexStringLower(id));
            f.Add("master_replid2", new string('0', 40));
            f.Add("master_repl_offset", offset);
            f.Add("second_repl_offset", -1);
            f.Zeros("repl_backlog_active", "repl_backlog_size", "repl_backlog_first_byte_offset", "repl_backlog_histlen");
        }

        if (c.Mimei.Current is null && c.Server.Replicas?.Status(c.Mimei.Id) is { } status)
        {
            Replicas(c, f, status, written);
        }
    }

    /// <summary>How the connection's MiMei stands with other nodes.</summary>
    private static void Replicas(CommandContext c, Fields f, ReplicaStatus status, ulong written)
    {
        ulong epoch = status.Role == ReplicaRole.Writer ? c.Mimei.Log?.Epoch ?? status.Position.Epoch : status.Position.Epoch;
        f.Add("leither_mid", c.Mimei.Id.ToString());
        f.Add("leither_role", status.Role switch { ReplicaRole.Writer => "writer", ReplicaRole.Follower => "follower", _ => "idle" });
        f.Add("leither_state", status.State.ReplaceLineEndings(" "));
        MimeiRights rights = c.Mimei.Entry!.Rights;
        f.Add("leither_public", rights.IsPublic);
        f.Add("leither_users", rights.Readers.Count());
        f.Add("leither_provided", status.IsProvided);
        f.Add("leither_term", ReplicaReplies.Term(epoch));
        f.Add("leither_epoch", ReplicaReplies.Epoch(epoch));
        f.Add("leither_position", (long)written);
        f.Add("leither_head", (long)Math.Max(status.Head.Sequence, status.Role == ReplicaRole.Writer ? written : 0));
        f.Add("leither_lag", status.Role == ReplicaRole.Writer ? 0 : ReplicaReplies.Lag(written, status.Head.Sequence));
        f.Add("leither_level", status.Role == ReplicaRole.Writer || status.IsLevel);
        f.Add("leither_writer", status.Writer?.ToString() ?? "");
        f.Add("leither_source", status.Source?.ToString() ?? "");
        f.Add("leither_followers", status.Followers.Count);
        f.Add("leither_named_providers", status.Named.Count);
        f.Add("leither_bytes_received", status.BytesReceived);
        f.Add("leither_bytes_sent", status.BytesSent);
        f.Add("leither_undone_entries", status.Undone);
        f.Add("leither_refused_bytes", status.Refused);
        f.Add("leither_proof", status.Proof?.ReplaceLineEndings(" ") ?? "");
    }

    private static void Mimei(CommandContext c, Fields f)
    {
        MimeiRegistry mimeis = c.Server.Mimeis;
        f.Title("Mimei");
        f.Add("mimei_id", c.Mimei.Id.ToString());
        f.Add("mimei_name", c.Mimei.Entry!.Record.Name);
        f.Add("mimei_version", c.Mimei.Place.ToString());
        f.Add("mimei_used_memory", c.Keyspace.UsedBytes);
        f.Add("mimei_total", mimeis.All.Count);
        f.Add("mimei_open", mimeis.Open.Count);
    }

    private static void Network(CommandContext c, Fields f)
    {
        INodeNetwork? network = c.Server.Network;
        NetworkFigures figures = network?.Figures ?? new NetworkFigures();
        f.Title("Network");
        f.Add("network_on", network is { IsOn: true });
        f.Add("network_started", network?.Figures is not null);
        f.Add("node_id", network?.NodeId.ToString() ?? "");
        f.Add("peer_id", network?.Id.ToString() ?? "");
        f.Add("connected_peers", figures.Peers);
        f.Add("peer_connections", figures.Connections);
        f.Add("peer_streams", figures.Streams);
        f.Add("known_peers", figures.KnownPeers);
        f.Add("dht_mode", figures.DhtMode);
        f.Add("dht_peers", figures.DhtPeers);
        f.Add("dht_records", figures.DhtRecords);
        f.Add("bitswap_wanted_blocks", figures.WantedBlocks);
        f.Add("bitswap_bytes_sent", figures.BlockBytesSent);
        f.Add("bitswap_bytes_received", figures.BlockBytesReceived);
    }

    private static void Cpu(Fields f)
    {
        Environment.ProcessCpuUsage usage = Environment.CpuUsage;
        f.Title("CPU");
        f.Add("used_cpu_sys", usage.PrivilegedTime.TotalSeconds, 6);
        f.Add("used_cpu_user", usage.UserTime.TotalSeconds, 6);
        f.Add("used_cpu_sys_children", 0.0, 6);
        f.Add("used_cpu_user_children", 0.0, 6);
        f.Add("used_cpu_sys_main_thread", usage.PrivilegedTime.TotalSeconds, 6);
        f.Add("used_cpu_user_main_thread", usage.UserTime.TotalSeconds, 6);
    }

    private static void ForEach(CommandContext c, Action<CommandSpec> visit)
    {
        foreach (CommandSpec spec in c.Server.Commands.All)
        {
            visit(spec);
            foreach (CommandSpec sub in spec.Subcommands)
            {
                visit(sub);
            }
        }
    }

    private static void CommandStat(CommandContext c, Fields f, CommandSpec spec)
    {
        CommandStats stats = c.Server.StatsOf(spec);
        if (stats.Calls != 0 || stats.Failed != 0 || stats.Rejected != 0)
        {
            long microseconds = (long)(stats.Ticks * (1e6 / Stopwatch.Frequency));
            double each = stats.Calls == 0 ? 0 : (double)microseconds / stats.Calls;
            f.Add("cmdstat_" + spec.FullName, string.Create(
                CultureInfo.InvariantCulture,
                $"calls={stats.Calls},usec={microseconds},usec_per_call={each:F2},rejected_calls={stats.Rejected},failed_calls={stats.Failed}"));
        }
    }

    private static void LatencyStat(CommandContext c, Fields f, CommandSpec spec)
    {
        if (c.Server.StatsOf(spec).Latency is { } histogram)
        {
            f.Add("latency_percentiles_usec_" + spec.FullName, string.Join(',', c.Server.Options.LatencyPercentiles.Select(p => string.Create(
                CultureInfo.InvariantCulture, $"p{p:0.######}={histogram.Percentile(p) / 1000.0:F3}"))));
        }
    }

    private static string Percent(long part, long whole) => string.Create(CultureInfo.InvariantCulture, $"{(whole == 0 ? 0 : part * 100.0 / whole):F2}%");

    private static double Ratio(long a, long b) => b == 0 ? 0 : (double)a / b;

    /// <summary>A number of bytes for people.</summary>
    internal static string Human(long bytes)
    {
        double value = bytes;
        string units = "BKMGTPE";
        int unit = 0;
        while (value >= 1024 && unit < units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return unit == 0 ? $"{bytes}B" : string.Create(CultureInfo.InvariantCulture, $"{value:F2}{units[unit]}");
    }
}
