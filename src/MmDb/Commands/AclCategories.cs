namespace Leither.MmDb.Commands;

/// <summary>The categories of ACL rules, in Redis's order, and which a command belongs to: they follow from its flags and its group.</summary>
public static class AclCategories
{
    /// <summary>All categories.</summary>
    public static IReadOnlyList<string> All { get; } =
    [
        "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream", "pubsub",
        "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
    ];

    /// <summary>The bit of a category by its name in any case; 0: there is no such category.</summary>
    internal static uint Bit(string name)
    {
        for (int i = 0; i < All.Count; i++)
        {
            if (All[i].Equals(name, StringComparison.OrdinalIgnoreCase))
            {
                return 1u << i;
            }
        }

        return 0;
    }

    /// <summary>The bits of the categories that a command belongs to.</summary>
    internal static uint BitsOf(CommandSpec spec)
    {
        uint bits = 0;
        for (int i = 0; i < All.Count; i++)
        {
            bits |= Has(spec, All[i]) ? 1u << i : 0;
        }

        return bits;
    }

    /// <summary>The categories of a command, in the order of <see cref="All"/>.</summary>
    public static IEnumerable<string> Of(CommandSpec spec) => All.Where(c => Has(spec, c));

    /// <summary>Whether a command belongs to a category.</summary>
    public static bool Has(CommandSpec spec, string category) => category switch
    {
        "read" => spec.Has(CommandFlags.ReadOnly) && spec.Group != CommandGroup.Scripting,
        "write" => spec.Has(CommandFlags.Write),
        "fast" => spec.Has(CommandFlags.Fast),
        "slow" => !spec.Has(CommandFlags.Fast),
        "admin" => spec.Has(CommandFlags.Admin) || spec.Categories.Contains("admin"),
        "dangerous" => spec.Has(CommandFlags.Admin) || spec.Categories.Contains("dangerous"),
        "pubsub" => spec.Has(CommandFlags.PubSub),
        "blocking" => spec.Has(CommandFlags.Blocking),
        _ => category == OfGroup(spec) || spec.Categories.Contains(category),
    };

    /// <summary>What follows from the group; containers are in none.</summary>
    private static unsafe string? OfGroup(CommandSpec spec) => spec.Handler == null ? null : spec.Group switch
    {
        // Commands of this group that belong elsewhere say where.
        CommandGroup.Generic => Array.TrueForAll(spec.Categories, static c => c is "dangerous" or "keyspace") ? "keyspace" : null,
        CommandGroup.String => "string",
        CommandGroup.Bitmap => "bitmap",
        CommandGroup.List => "list",
        CommandGroup.Set => "set",
        CommandGroup.SortedSet => "sortedset",
        CommandGroup.Hash => "hash",
        CommandGroup.Stream => "stream",
        CommandGroup.HyperLogLog => "hyperloglog",
        CommandGroup.Geo => "geo",
        CommandGroup.Transactions => "transaction",
        CommandGroup.Connection => "connection",
        CommandGroup.Scripting => "scripting",
        _ => null,
    };
}
