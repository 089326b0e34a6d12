namespace Leither.MmDb.Commands;

/// <summary>Commands for the server: INFO, CONFIG, COMMAND, DBSIZE, FLUSHALL, SAVE, DEBUG and their like.</summary>
public static unsafe class ServerCommands
{
    /// <summary>DBSIZE</summary>
    public static readonly CommandSpec DbSize = new("dbsize", 1)
    {
        Group = CommandGroup.Server,
        Complexity = "O(1)",
        Summary = "Returns the number of keys in the database.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Categories = ["keyspace"],
        Tips = ["request_policy:all_shards", "response_policy:agg_sum"],
        Handler = &RunDbSize,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [DbSize];

    private static void RunDbSize(CommandContext c) => c.Reply.Integer(c.Database.Count);
}
