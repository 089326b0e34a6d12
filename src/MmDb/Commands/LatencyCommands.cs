using System.Globalization;
using System.Text;

namespace Leither.MmDb.Commands;

/// <summary>LATENCY: events that took long, and how long commands take.</summary>
public static unsafe class LatencyCommands
{
    /// <summary>LATENCY</summary>
    public static readonly CommandSpec Latency = new("latency", -2)
    {
        Since = "2.8.13",
        Group = CommandGroup.Server,
        Complexity = "Depends on subcommand.",
        Summary = "A container for latency diagnostics commands.",
        Subcommands =
        [
            new("doctor", 2)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns a human-readable latency analysis report.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
                Handler = &RunDoctor,
            },
            new("graph", 3)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns a latency graph for an event.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
                Args = [Arg.String("event")],
                Handler = &RunGraph,
            },
            new("help", 2)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("histogram", -2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of commands with latency information being retrieved.",
                Summary = "Returns the cumulative distribution of latencies of a subset or all commands.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
                Args = [Arg.String("command").Multiple().Optional()],
                Handler = &RunHistogram,
            },
            new("history", 3)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns timestamp-latency samples for an event.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
                Args = [Arg.String("event")],
                Handler = &RunHistory,
            },
            new("latest", 2)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns the latest latency samples for all events.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
                Handler = &RunLatest,
            },
            new("reset", -2)
            {
                Since = "2.8.13",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Resets the latency data for one or more events.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["request_policy:all_nodes", "response_policy:agg_sum"],
                Args = [Arg.String("event").Multiple().Optional()],
                Handler = &RunReset,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Latency];

    private static void RunLatest(CommandContext c)
    {
        c.Reply.Array(c.Server.Latency.Events.Count);
        foreach ((string kind, LatencyMonitor.Series series) in c.Server.Latency.Events)
        {
            c.Reply.Array(4);
            c.Reply.Bulk(Encoding.ASCII.GetBytes(kind));
            c.Reply.Integer(series.Samples[^1].Seconds);
            c.Reply.Integer(series.Samples[^1].Milliseconds);
            c.Reply.Integer(series.Max);
        }
    }

    private static void RunHistory(CommandContext c)
    {
        if (!c.Server.Latency.Events.TryGetValue(c.Text(2), out LatencyMonitor.Series? series))
        {
            c.Reply.EmptyArray();
            return;
        }

        c.Reply.Array(series.Samples.Count);
        foreach (LatencyMonitor.Sample sample in series.Samples)
        {
            c.Reply.Array(2);
            c.Reply.Integer(sample.Seconds);
            c.Reply.Integer(sample.Milliseconds);
        }
    }

    private static void RunReset(CommandContext c)
    {
        long count = 0;
        for (int i = 2; i < c.Count; i++)
        {
            count += c.Server.Latency.Reset(c.Text(i)) ? 1 : 0;
        }

        c.Reply.Integer(c.Count == 2 ? c.Server.Latency.Reset() : count);
    }

    private static void RunGraph(CommandContext c)
    {
        if (!c.Server.Latency.Events.TryGetValue(c.Text(2), out LatencyMonitor.Series? series))
        {
            c.Error($"ERR No samples available for event '{c.TextToZero(2)}'");
            return;
        }

        c.Reply.Verbatim("txt"u8, Encoding.ASCII.GetBytes(Draw(c.Text(2), series, c.NowMs / 1000)));
    }

    private const int GraphColumns = 80, GraphRows = 4;

    /// <summary>Columns of marks, three heights to a row, and under each how long ago it was.</summary>
    private static string Draw(string kind, LatencyMonitor.Series series, long nowSeconds)
    {
        const string marks = "_o#";
        List<LatencyMonitor.Sample> samples = series.Samples;
        long low = samples.Min(static s => s.Milliseconds), high = samples.Max(static s => s.Milliseconds), range = Math.Max(1, high - low);
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{kind} - high {high} ms, low {low} ms (all time high {series.Max} ms)\n").Append('-', GraphColumns).Append('\n');
        for (int first = 0; first < samples.Count; first += GraphColumns)
        {
            _ = first == 0 ? text : text.Append('\n');
            LatencyMonitor.Sample[] part = [.. samples.Skip(first).Take(GraphColumns)];
            string[] labels = [.. part.Select(s => Ago(nowSeconds - s.Seconds))];
            int steps = marks.Length * GraphRows;
            for (int row = 0; row < GraphRows; row++)
            {
                foreach (LatencyMonitor.Sample sample in part)
                {
                    int step = (int)Math.Min(steps - 1, (sample.Milliseconds - low) * steps / range) - ((GraphRows - row - 1) * marks.Length);
                    text.Append(step < 0 ? ' ' : step < marks.Length ? marks[step] : '|');
                }

                text.Append('\n');
            }

            text.Append(' ', part.Length).Append('\n');
            for (int row = 0; row < labels.Max(static l => l.Length); row++)
            {
                foreach (string label in labels)
                {
                    text.Append(row < label.Length ? label[row] : ' ');
                }

                text.Append('\n');
            }
        }

        return text.ToString();
    }

    private static string Ago(long seconds) => seconds switch
    {
        < 60 => $"{seconds}s",
        < 3600 => $"{seconds / 60}m",
        < 86400 => $"{seconds / 3600}h",
        _ => $"{seconds / 86400}d",
    };

    private static void RunDoctor(CommandContext c)
    {
        var text = new StringBuilder();
        if (c.Server.Latency.Events.Count == 0)
        {
            text.Append(c.Server.Options.LatencyThresholdMs == 0
                ? "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. If we weren't in a deep space mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n"
                : "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n");
        }
        else
        {
            text.Append("Dave, I have observed latency spikes in this Redis instance. You don't mind talking about it, do you Dave?\n\n");
            int number = 0;
            foreach ((string kind, LatencyMonitor.Series series) in c.Server.Latency.Events)
            {
                long mean = (long)series.Samples.Average(static s => s.Milliseconds);
                long deviation = (long)series.Samples.Average(s => Math.Abs(s.Milliseconds - mean));
                double period = (double)(c.NowMs / 1000 - series.Samples[0].Seconds) / series.Samples.Count;
                text.Append(CultureInfo.InvariantCulture, $"{++number}. {kind}: {series.Samples.Count} latency spikes (average {mean}ms, mean deviation {deviation}ms, period {period:f2} sec). Worst all time event {series.Max}ms.\n");
            }

            text.Append("\nI have a few advices for you:\n\n- Check your Slow Log to understand what are the commands you are running which are too slow to execute. Please check https://redis.io/commands/slowlog for more information.\n");
        }

        c.Reply.Verbatim("txt"u8, Encoding.ASCII.GetBytes(text.ToString()));
    }

    private static void RunHistogram(CommandContext c)
    {
        long mark = c.Reply.BeginDeferred(), count = 0;
        if (c.Count == 2)
        {
            foreach (CommandSpec spec in c.Server.Commands.All)
            {
                count += Histograms(c, spec);
            }
        }

        for (int i = 2; i < c.Count; i++)
        {
            if (c.Server.Commands.FindFull(c.Text(i)) is { } spec)
            {
                count += Histograms(c, spec);
            }
        }

        c.Reply.EndDeferredMap(mark, count);
    }

    /// <summary>A command's histogram and those of its subcommands, as far as there are any.</summary>
    private static int Histograms(CommandContext c, CommandSpec spec)
    {
        int count = 0;
        if (c.Server.StatsOf(spec).Latency is { } histogram)
        {
            count++;
            c.Reply.Bulk(Encoding.ASCII.GetBytes(spec.FullName));
            c.Reply.Map(2);
            c.Reply.Bulk("calls"u8);
            c.Reply.Integer(histogram.Count);
            c.Reply.Bulk("histogram_usec"u8);
            long mark = c.Reply.BeginDeferred(), steps = 0;
            foreach ((long microseconds, long events) in histogram.Doublings())
            {
                c.Reply.Integer(microseconds);
                c.Reply.Integer(events);
                steps++;
            }

            c.Reply.EndDeferredMap(mark, steps);
        }

        foreach (CommandSpec sub in spec.Subcommands)
        {
            count += Histograms(c, sub);
        }

        return count;
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
        "    If no commands are specified then all histograms are replied.");
}
