// The figures of INFO for Prometheus (text format 0.0.4). One table says which of them are figures for machines, what they are called there and what they mean; their values
// are read from INFO's own text, so that there is one source. What is labelled is bounded: commands are those that exist, of errors and MiMei so many.
//
// https://prometheus.io/docs/instrumenting/exposition_formats/  https://prometheus.io/docs/practices/naming/

using System.Globalization;
using System.Text;

namespace Leither.Node.Http;

/// <summary>One MiMei as metrics show it.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Name">Its name on this node.</param>
/// <param name="Keys">Keys in all databases.</param>
/// <param name="UsedBytes">Memory used by data.</param>
/// <param name="LogBytes">Its log on the disk.</param>
public sealed record MimeiFigures(string Id, string Name, long Keys, long UsedBytes, long LogBytes);

/// <summary>What <c>/metrics</c> is made of.</summary>
/// <param name="Info">INFO everything.</param>
/// <param name="Version">The product's version.</param>
/// <param name="Mimeis">The MiMei that are loaded, largest first, at most <see cref="Metrics.MaxMimei"/>.</param>
/// <param name="TlsAccepted">TLS handshakes that went well.</param>
/// <param name="TlsRefused">TLS handshakes that did not.</param>
public sealed record NodeFigures(string Info, string Version, IReadOnlyList<MimeiFigures> Mimeis, long TlsAccepted, long TlsRefused);

/// <summary>Writes <c>/metrics</c>.</summary>
public static class Metrics
{
    /// <summary>The type of the answer.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>MiMei that have figures of their own; those beyond are in the sums.</summary>
    public const int MaxMimei = 100;

    /// <summary>Codes of errors that have figures of their own: scripts can make up any.</summary>
    private const int MaxErrors = 64;

    private const double Micro = 1e-6, Milli = 1e-3;

    private static readonly (string Field, string Name, bool IsCounter, string Help, double Scale)[] _figures =
    [
        ("uptime_in_seconds", "leither_uptime_seconds", false, "Time since the node started.", 1),
        ("connected_clients", "leither_connected_clients", false, "Clients over RESP.", 1),
        ("blocked_clients", "leither_blocked_clients", false, "Clients that wait in a blocking command.", 1),
        ("tracking_clients", "leither_tracking_clients", false, "Clients with client-side caching.", 1),
        ("maxclients", "leither_max_clients", false, "Clients that are let in at a time.", 1),
        ("used_memory", "leither_memory_used_bytes", false, "Memory for data.", 1),
        ("used_memory_peak", "leither_memory_used_peak_bytes", false, "The most that ever was.", 1),
        ("used_memory_rss", "leither_memory_resident_bytes", false, "Memory of the process, as the system counts it.", 1),
        ("used_memory_scripts", "leither_memory_scripts_bytes", false, "Memory of scripts and functions.", 1),
        ("maxmemory", "leither_memory_max_bytes", false, "The limit for data; 0: none.", 1),
        ("mem_clients_normal", "leither_memory_clients_bytes", false, "Memory of clients' buffers.", 1),
        ("total_system_memory", "leither_memory_system_bytes", false, "Memory of the machine.", 1),
        ("lazyfree_pending_objects", "leither_lazyfree_pending_objects", false, "Values that wait to be freed.", 1),
        ("lazyfreed_objects", "leither_lazyfreed_objects_total", true, "Values that were freed in slices.", 1),
        ("rdb_changes_since_last_save", "leither_changes_since_checkpoint", false, "Changes since the last checkpoint.", 1),
        ("rdb_bgsave_in_progress", "leither_checkpoint_in_progress", false, "Whether a checkpoint is being made.", 1),
        ("rdb_last_save_time", "leither_last_checkpoint_timestamp_seconds", false, "When the last checkpoint was made.", 1),
        ("rdb_saves", "leither_checkpoints_total", true, "Checkpoints made.", 1),
        ("aof_enabled", "leither_log_enabled", false, "Whether a log is kept.", 1),
        ("aof_current_size", "leither_log_bytes", false, "The default MiMei's log on the disk.", 1),
        ("total_connections_received", "leither_connections_received_total", true, "Connections over RESP.", 1),
        ("rejected_connections", "leither_connections_rejected_total", true, "Connections beyond maxclients.", 1),
        ("total_commands_processed", "leither_commands_processed_total", true, "Commands run.", 1),
        ("total_net_input_bytes", "leither_net_input_bytes_total", true, "Bytes received from clients.", 1),
        ("total_net_output_bytes", "leither_net_output_bytes_total", true, "Bytes sent to clients.", 1),
        ("total_error_replies", "leither_error_replies_total", true, "Errors replied.", 1),
        ("expired_keys", "leither_expired_keys_total", true, "Keys that expired.", 1),
        ("expired_subkeys", "leither_expired_fields_total", true, "Fields of hashes that expired.", 1),
        ("expire_cycle_cpu_milliseconds", "leither_expire_cycle_seconds_total", true, "Time spent looking for expired keys.", Milli),
        ("evicted_keys", "leither_evicted_keys_total", true, "Keys that went for maxmemory.", 1),
        ("evicted_clients", "leither_evicted_clients_total", true, "Clients that went for maxmemory-clients.", 1),
        ("keyspace_hits", "leither_keyspace_hits_total", true, "Lookups that found a key.", 1),
        ("keyspace_misses", "leither_keyspace_misses_total", true, "Lookups that found none.", 1),
        ("pubsub_channels", "leither_pubsub_channels", false, "Channels with subscribers.", 1),
        ("pubsub_patterns", "leither_pubsub_patterns", false, "Patterns with subscribers.", 1),
        ("total_reads_processed", "leither_reads_total", true, "Receives that brought something.", 1),
        ("total_writes_processed", "leither_writes_total", true, "Sends that took something.", 1),
        ("eventloop_cycles", "leither_eventloop_turns_total", true, "Turns of the loop.", 1),
        ("eventloop_duration_sum", "leither_eventloop_busy_seconds_total", true, "Time in turns of the loop.", Micro),
        ("eventloop_duration_cmd_sum", "leither_eventloop_commands_seconds_total", true, "Time in commands.", Micro),
        ("acl_access_denied_auth", "leither_denied_logins_total", true, "Logins refused.", 1),
        ("acl_access_denied_cmd", "leither_denied_commands_total", true, "Commands refused for want of a right.", 1),
        ("acl_access_denied_key", "leither_denied_keys_total", true, "Commands refused for a key.", 1),
        ("acl_access_denied_channel", "leither_denied_channels_total", true, "Commands refused for a channel.", 1),
        ("connected_slaves", "leither_connected_replicas", false, "Replicas over Redis's protocol.", 1),
        ("master_repl_offset", "leither_replication_offset_bytes", false, "The end of the stream to them.", 1),
        ("used_cpu_sys", "leither_cpu_system_seconds_total", true, "Processor time in the system.", 1),
        ("used_cpu_user", "leither_cpu_user_seconds_total", true, "Processor time in the program.", 1),
        ("mimei_total", "leither_mimei", false, "MiMei of this node.", 1),
        ("mimei_open", "leither_mimei_loaded", false, "MiMei that are loaded.", 1),
        ("network_started", "leither_network_started", false, "Whether the node takes part in a network of peers.", 1),
        ("connected_peers", "leither_network_peers", false, "Peers connected.", 1),
        ("peer_connections", "leither_network_connections", false, "Connections with peers.", 1),
        ("peer_streams", "leither_network_streams", false, "Streams over them.", 1),
        ("known_peers", "leither_network_known_peers", false, "Peers with known addresses.", 1),
        ("dht_peers", "leither_dht_peers", false, "Peers in the DHT's routing table.", 1),
        ("dht_records", "leither_dht_records", false, "Records held for others.", 1),
        ("bitswap_wanted_blocks", "leither_bitswap_wanted_blocks", false, "Blocks asked for.", 1),
        ("bitswap_bytes_sent", "leither_bitswap_sent_bytes_total", true, "Bytes of blocks sent.", 1),
        ("bitswap_bytes_received", "leither_bitswap_received_bytes_total", true, "Bytes of blocks received.", 1),
    ];

    /// <summary>Writes the figures.</summary>
    public static string Write(NodeFigures figures)
    {
        Dictionary<string, string> fields = new(StringComparer.Ordinal);
        List<(string Name, Dictionary<string, string> Values)> commands = [], errors = [], databases = [];
        Dictionary<string, Dictionary<string, string>> latencies = new(StringComparer.Ordinal);
        foreach (string line in figures.Info.Split("\r\n"))
        {
            int colon = line.IndexOf(':');
            if (colon <= 0 || line[0] == '#') continue;
            string name = line[..colon], value = line[(colon + 1)..];
            if (name.StartsWith("cmdstat_", StringComparison.Ordinal)) commands.Add((name["cmdstat_".Length..], Parts(value)));
            else if (name.StartsWith("errorstat_", StringComparison.Ordinal)) errors.Add((name["errorstat_".Length..], Parts(value)));
            else if (name.StartsWith("latency_percentiles_usec_", StringComparison.Ordinal)) latencies[name["latency_percentiles_usec_".Length..]] = Parts(value);
            else if (name.StartsWith("db", StringComparison.Ordinal) && value.StartsWith("keys=", StringComparison.Ordinal)) databases.Add((name, Parts(value)));
            else fields[name] = value;
        }

        StringBuilder text = new();
        Family(text, "leither_info", "gauge", "The node: always 1.");
        Sample(text, "leither_info", 1, ("version", figures.Version), ("redis_version", fields.GetValueOrDefault("redis_version", "")), ("role", fields.GetValueOrDefault("role", "")));
        foreach ((string field, string name, bool isCounter, string help, double scale) in _figures)
        {
            // A figure that this node has not (a section that is off) is left out: a zero would be a claim.
            if (!fields.TryGetValue(field, out string? value) || !TryRead(value, out double number)) continue;
            Family(text, name, isCounter ? "counter" : "gauge", help);
            Sample(text, name, number * scale);
        }

        Good(text, fields, "rdb_last_bgsave_status", "leither_last_checkpoint_ok", "Whether the last checkpoint was made.");
        Good(text, fields, "aof_last_write_status", "leither_log_ok", "Whether the default MiMei's log takes writes.");
        Family(text, "leither_tls_handshakes_total", "counter", "TLS handshakes, by how they ended.");
        Sample(text, "leither_tls_handshakes_total", figures.TlsAccepted, ("outcome", "accepted"));
        Sample(text, "leither_tls_handshakes_total", figures.TlsRefused, ("outcome", "refused"));
        Labelled(text, "leither_database_keys", "gauge", "Keys of the default MiMei's databases.", "database", databases, "keys");
        Labelled(text, "leither_database_expiring_keys", "gauge", "Keys of theirs that expire.", "database", databases, "expires");
        Labelled(text, "leither_errors_total", "counter", "Errors replied, by their code.", "error", errors.Take(MaxErrors), "count");
        Labelled(text, "leither_command_rejected_total", "counter", "Commands refused before they ran.", "command", commands, "rejected_calls");
        Labelled(text, "leither_command_failed_total", "counter", "Commands that replied an error.", "command", commands, "failed_calls");
        Latencies(text, commands, latencies);
        Mimeis(text, "leither_mimei_keys", "Keys of a MiMei that is loaded.", figures.Mimeis, static m => m.Keys);
        Mimeis(text, "leither_mimei_used_bytes", "Memory for its data.", figures.Mimeis, static m => m.UsedBytes);
        Mimeis(text, "leither_mimei_log_bytes", "Its log on the disk.", figures.Mimeis, static m => m.LogBytes);
        return text.ToString();
    }

    private static void Latencies(StringBuilder text, List<(string Name, Dictionary<string, string> Values)> commands, Dictionary<string, Dictionary<string, string>> latencies)
    {
        const string Name = "leither_command_duration_seconds";
        bool any = false;
        foreach ((string command, Dictionary<string, string> values) in commands)
        {
            if (!TryRead(values.GetValueOrDefault("usec", ""), out double microseconds) || !TryRead(values.GetValueOrDefault("calls", ""), out double calls)) continue;
            if (!any) Family(text, Name, "summary", "Time that commands took.");
            any = true;
            foreach ((string percentile, string value) in latencies.GetValueOrDefault(command) ?? [])
            {
                if (percentile.StartsWith('p') && TryRead(percentile[1..], out double percent) && TryRead(value, out double at))
                {
                    Sample(text, Name, at * Micro, ("command", command), ("quantile", (percent / 100).ToString("R", CultureInfo.InvariantCulture)));
                }
            }

            Sample(text, Name + "_sum", microseconds * Micro, ("command", command));
            Sample(text, Name + "_count", calls, ("command", command));
        }
    }

    private static void Mimeis(StringBuilder text, string name, string help, IReadOnlyList<MimeiFigures> mimeis, Func<MimeiFigures, long> figure)
    {
        if (mimeis.Count == 0) return;
        Family(text, name, "gauge", help);
        foreach (MimeiFigures mimei in mimeis.Take(MaxMimei)) Sample(text, name, figure(mimei), ("mid", mimei.Id), ("name", mimei.Name));
    }

    private static void Labelled(
        StringBuilder text, string name, string type, string help, string label, IEnumerable<(string Name, Dictionary<string, string> Values)> rows, string part)
    {
        bool any = false;
        foreach ((string row, Dictionary<string, string> values) in rows)
        {
            if (!TryRead(values.GetValueOrDefault(part, ""), out double number)) continue;
            if (!any) Family(text, name, type, help);
            any = true;
            Sample(text, name, number, (label, row));
        }
    }

    private static void Good(StringBuilder text, Dictionary<string, string> fields, string field, string name, string help)
    {
        if (!fields.TryGetValue(field, out string? value)) return;
        Family(text, name, "gauge", help);
        Sample(text, name, value == "ok" ? 1 : 0);
    }

    private static Dictionary<string, string> Parts(string value)
    {
        Dictionary<string, string> parts = new(StringComparer.Ordinal);
        foreach (string part in value.Split(','))
        {
            int equals = part.IndexOf('=');
            if (equals > 0) parts[part[..equals]] = part[(equals + 1)..];
        }

        return parts;
    }

    private static bool TryRead(string text, out double number) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out number);

    private static void Family(StringBuilder text, string name, string type, string help) =>
        text.Append("# HELP ").Append(name).Append(' ').Append(help).Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n');

    private static void Sample(StringBuilder text, string name, double value, params ReadOnlySpan<(string Name, string Value)> labels)
    {
        text.Append(name);
        for (int i = 0; i < labels.Length; i++)
        {
            text.Append(i == 0 ? '{' : ',').Append(labels[i].Name).Append("=\"");
            foreach (char c in labels[i].Value)
            {
                // What anyone called something may not end the line that tells of it.
                _ = c switch
                {
                    '\\' => text.Append("\\\\"),
                    '"' => text.Append("\\\""),
                    '\n' => text.Append("\\n"),
                    _ => text.Append(char.IsControl(c) ? ' ' : c),
                };
            }

            text.Append('"');
        }

        text.Append(labels.Length > 0 ? "} " : " ").Append(value.ToString("R", CultureInfo.InvariantCulture)).Append('\n');
    }
}
