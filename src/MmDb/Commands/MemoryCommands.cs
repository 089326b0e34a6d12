using System.Text;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>MEMORY: where the memory goes.</summary>
public static unsafe class MemoryCommands
{
    /// <summary>MEMORY</summary>
    public static readonly CommandSpec Memory = new("memory", -2)
    {
        Since = "4.0.0",
        Group = CommandGroup.Server,
        Complexity = "Depends on subcommand.",
        Summary = "A container for memory diagnostics commands.",
        Subcommands =
        [
            new("doctor", 2)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Outputs a memory problems report.",
                Tips = ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                Handler = &RunDoctor,
            },
            new("help", 2)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("malloc-stats", 2)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "Depends on how much memory is allocated, could be slow",
                Summary = "Returns the allocator statistics.",
                Tips = ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                Handler = &RunMallocStats,
            },
            new("purge", 2)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "Depends on how much memory is allocated, could be slow",
                Summary = "Asks the allocator to release memory.",
                Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
                Handler = &RunPurge,
            },
            new("stats", 2)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns details about memory usage.",
                Tips = ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                Handler = &RunStats,
            },
            new("usage", -3)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of samples.",
                Summary = "Estimates the memory usage of a key.",
                Flags = CommandFlags.ReadOnly,
                Keys = [KeySpec.At(2, KeyAccess.ReadOnly)],
                Args = [Arg.Key("key"), Arg.Integer("count").Token("SAMPLES").Optional()],
                Handler = &RunUsage,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Memory];

    private const long DefaultSamples = 5;

    private static void RunUsage(CommandContext c)
    {
        long samples = DefaultSamples;
        for (int i = 3; i < c.Count; i += 2)
        {
            if (!c.Is(i, "samples"u8) || i + 1 >= c.Count)
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (!c.TryLong(i + 1, out samples))
            {
                return;
            }

            if (samples < 0)
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        byte* record = c.Database.Peek(c.Key(2));
        if (record == null)
        {
            c.Reply.Null();
        }
        else
        {
            c.Reply.Integer(ValueSize.Of(record, samples == 0 ? long.MaxValue : samples));
        }
    }

    private static void RunStats(CommandContext c)
    {
        RespWriter reply = c.Reply;
        Server server = c.Server;
        Database[] databases = [.. c.Keyspace.Databases.Where(static d => d.Count > 0)];
        long used = c.Keyspace.UsedBytes, startup = server.StartUsedBytes, held = c.Keyspace.Heap.ResidentBytes, resident = Environment.WorkingSet;
        long keys = 0, tables = 0, buffers = 0;
        foreach (Database database in databases)
        {
            keys += database.Count;
            tables += database.Keys->MemoryBytes + database.Expires->MemoryBytes;
        }

        foreach (Session session in server.Sessions.Values)
        {
            buffers += session.Connection.InputCapacity + session.Output.Capacity;
        }

        long peak = Math.Max(server.Stats.PeakUsedBytes, used), overhead = Math.Min(used, startup + tables), data = used - overhead;
        void Number(string name, long value)
        {
            reply.Bulk(Encoding.ASCII.GetBytes(name));
            reply.Integer(value);
        }

        void Real(string name, double value)
        {
            reply.Bulk(Encoding.ASCII.GetBytes(name));
            reply.Double(value);
        }

        reply.Map(27 + databases.Length);
        Number("peak.allocated", peak);
        Number("total.allocated", used);
        Number("startup.allocated", startup);
        Number("replication.backlog", 0);
        Number("clients.slaves", 0);
        Number("clients.normal", buffers);
        Number("cluster.links", 0);
        Number("aof.buffer", 0);
        Number("lua.caches", 0);
        Number("functions.caches", 0);
        foreach (Database database in databases)
        {
            reply.Bulk(Encoding.ASCII.GetBytes($"db.{database.Index}"));
            reply.Map(3);
            Number("overhead.hashtable.main", database.Keys->MemoryBytes);
            Number("overhead.hashtable.expires", database.Expires->MemoryBytes);
            Number("overhead.hashtable.slot-to-keys", 0);
        }

        Number("overhead.total", overhead);
        Number("keys.count", keys);
        Number("keys.bytes-per-key", keys == 0 ? 0 : Math.Max(0, used - startup) / keys);
        Number("dataset.bytes", data);
        Real("dataset.percentage", Share(data, used - startup));
        Real("peak.percentage", Share(used, peak));
        Number("allocator.allocated", used);
        Number("allocator.active", held);
        Number("allocator.resident", held);
        Real("allocator-fragmentation.ratio", Ratio(held, used));
        Number("allocator-fragmentation.bytes", held - used);
        Real("allocator-rss.ratio", 1);
        Number("allocator-rss.bytes", 0);
        Real("rss-overhead.ratio", Ratio(resident, held));
        Number("rss-overhead.bytes", resident - held);
        Real("fragmentation", Ratio(resident, used));
        Number("fragmentation.bytes", resident - used);
    }

    private static double Share(long part, long whole) => whole <= 0 ? 0 : part * 100.0 / whole;

    private static double Ratio(long a, long b) => b == 0 ? 0 : (double)a / b;

    private static void RunDoctor(CommandContext c)
    {
        const long smallBytes = 5 << 20;
        const double highRatio = 1.4, highPeak = 1.5;
        long used = c.Keyspace.UsedBytes;
        string report;
        if (used < smallBytes)
        {
            report = "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be back to our programming as soon as I finished rebooting.\n";
        }
        else
        {
            var issues = new StringBuilder();
            if (c.Server.Stats.PeakUsedBytes > used * highPeak)
            {
                issues.Append(" * Peak memory: In the past this instance used more than 150% the memory that it uses now. What was freed is used again as data grows.\n\n");
            }

            if (Ratio(c.Keyspace.Heap.ResidentBytes, used) > highRatio)
            {
                issues.Append(" * High allocator fragmentation: the memory held for data is more than 1.4 times the data. It shrinks as sparse memory is compacted.\n\n");
            }

            report = issues.Length == 0
                ? "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n"
                : $"Sam, I detected a few issues in this Redis instance memory implants:\n\n{issues}I'm here to keep you safe, Sam. I want to help you.\n";
        }

        c.Reply.Verbatim("txt"u8, Encoding.ASCII.GetBytes(report));
    }

    private static void RunMallocStats(CommandContext c) => c.Reply.Verbatim("txt"u8, Encoding.ASCII.GetBytes(
        $"used:{c.Keyspace.Heap.UsedBytes}\nresident:{c.Keyspace.Heap.ResidentBytes}\n"));

    /// <summary>Empty slabs go back to the system by themselves; what waits to be freed is freed now, for a while.</summary>
    private static void RunPurge(CommandContext c)
    {
        c.Keyspace.LazyFree.Step(TimeSpan.FromMilliseconds(1));
        c.Reply.Ok();
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).");
}
