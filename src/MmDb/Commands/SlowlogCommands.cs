namespace Leither.MmDb.Commands;

/// <summary>SLOWLOG: commands that took long.</summary>
public static unsafe class SlowlogCommands
{
    /// <summary>SLOWLOG</summary>
    public static readonly CommandSpec Slowlog = new("slowlog", -2)
    {
        Since = "2.2.12",
        Group = CommandGroup.Server,
        Complexity = "Depends on subcommand.",
        Summary = "A container for slow log commands.",
        Subcommands =
        [
            new("get", -2)
            {
                Since = "2.2.12",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of entries returned",
                Summary = "Returns the slow log's entries.",
                Flags = CommandFlags.Admin | CommandFlags.Loading | CommandFlags.Stale,
                History = [("4.0.0", "Added client IP address, port and name to the reply.")],
                Tips = ["request_policy:all_nodes", "nondeterministic_output"],
                Args = [Arg.Integer("count").Optional()],
                Handler = &RunGet,
            },
            new("help", 2)
            {
                Since = "6.2.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Show helpful text about the different subcommands",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("len", 2)
            {
                Since = "2.2.12",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns the number of entries in the slow log.",
                Flags = CommandFlags.Admin | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
                Handler = &RunLen,
            },
            new("reset", 2)
            {
                Since = "2.2.12",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of entries in the slowlog",
                Summary = "Clears all entries from the slow log.",
                Flags = CommandFlags.Admin | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Handler = &RunReset,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Slowlog];

    private static void RunGet(CommandContext c)
    {
        long count = 10;
        if (c.Count > 3)
        {
            c.SubcommandSyntax();
            return;
        }

        if (c.Count == 3 && !c.TryLong(2, -1, long.MaxValue, "ERR count should be greater than or equal to -1"u8, out count))
        {
            return;
        }

        IReadOnlyCollection<SlowLog.Entry> entries = c.Server.SlowLog.Entries;
        count = count == -1 ? entries.Count : Math.Min(count, entries.Count);
        c.Reply.Array(count);
        foreach (SlowLog.Entry entry in entries.Take((int)count))
        {
            c.Reply.Array(6);
            c.Reply.Integer(entry.Id);
            c.Reply.Integer(entry.Seconds);
            c.Reply.Integer(entry.Microseconds);
            c.Reply.Array(entry.Words.Length);
            foreach (byte[] word in entry.Words)
            {
                c.Reply.Bulk(word);
            }

            c.Reply.Bulk(System.Text.Encoding.UTF8.GetBytes(entry.Address));
            c.Reply.Bulk(entry.ClientName);
        }
    }

    private static void RunLen(CommandContext c) => c.Reply.Integer(c.Server.SlowLog.Entries.Count);

    private static void RunReset(CommandContext c)
    {
        c.Server.SlowLog.Clear();
        c.Reply.Ok();
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.");
}
