namespace Leither.MmDb.Commands;

/// <summary>
/// Commands of Redis Cluster. A node of Leither is no part of one: it knows the commands, so that clients and ACLs find them, and answers
/// as a Redis does whose cluster support is disabled.
/// </summary>
public static unsafe class ClusterCommands
{
    /// <summary>CLUSTER</summary>
    public static readonly CommandSpec Cluster = new("cluster", -2)
    {
        Since = "3.0.0",
        Group = CommandGroup.Cluster,
        Complexity = "Depends on subcommand.",
        Summary = "A container for Redis Cluster commands.",
        Subcommands =
        [
            new("addslots", -3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the total number of hash slot arguments",
                Summary = "Assigns new hash slots to a node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.Integer("slot").Multiple()],
                Handler = &RunDisabled,
            },
            new("addslotsrange", -4)
            {
                Since = "7.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the total number of the slots between the start slot and end slot arguments.",
                Summary = "Assigns new hash slot ranges to a node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.Block("range", Arg.Integer("start-slot"), Arg.Integer("end-slot")).Multiple()],
                Handler = &RunDisabled,
            },
            new("bumpepoch", 2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Advances the cluster config epoch.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("count-failure-reports", 3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the number of failure reports",
                Summary = "Returns the number of active failure reports active for a node.",
                Flags = CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.String("node-id")],
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("countkeysinslot", 3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Returns the number of keys in a hash slot.",
                Flags = CommandFlags.Stale,
                Args = [Arg.Integer("slot")],
                Handler = &RunDisabled,
            },
            new("delslots", -3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the total number of hash slot arguments",
                Summary = "Sets hash slots as unbound for a node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.Integer("slot").Multiple()],
                Handler = &RunDisabled,
            },
            new("delslotsrange", -4)
            {
                Since = "7.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the total number of the slots between the start slot and end slot arguments.",
                Summary = "Sets hash slot ranges as unbound for a node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.Block("range", Arg.Integer("start-slot"), Arg.Integer("end-slot")).Multiple()],
                Handler = &RunDisabled,
            },
            new("failover", -2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Forces a replica to perform a manual failover of its master.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.OneOf("options", Arg.Word("force", "FORCE"), Arg.Word("takeover", "TAKEOVER")).Optional()],
                Handler = &RunDisabled,
            },
            new("flushslots", 2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Deletes all slots information from a node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Handler = &RunDisabled,
            },
            new("forget", 3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Removes a node from the nodes table.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.String("node-id")],
                Handler = &RunDisabled,
            },
            new("getkeysinslot", 4)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the number of requested keys",
                Summary = "Returns the key names in a hash slot.",
                Flags = CommandFlags.Stale,
                Args = [Arg.Integer("slot"), Arg.Integer("count")],
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("help", 2)
            {
                Since = "5.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunDisabled,
            },
            new("info", 2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Returns information about the state of a node.",
                Flags = CommandFlags.Stale,
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("keyslot", 3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the number of bytes in the key",
                Summary = "Returns the hash slot for a key.",
                Flags = CommandFlags.Stale,
                Args = [Arg.String("key")],
                Handler = &RunDisabled,
            },
            new("links", 2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the total number of Cluster nodes",
                Summary = "Returns a list of all TCP links to and from peer nodes.",
                Flags = CommandFlags.Stale,
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("meet", -4)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Forces a node to handshake with another node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.String("ip"), Arg.Integer("port"), Arg.Integer("cluster-bus-port").Optional().Since("4.0.0")],
                History = [("4.0.0", "Added the optional `cluster_bus_port` argument.")],
                Handler = &RunDisabled,
            },
            new("myid", 2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Returns the ID of a node.",
                Flags = CommandFlags.Stale,
                Handler = &RunDisabled,
            },
            new("myshardid", 2)
            {
                Since = "7.2.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Returns the shard ID of a node.",
                Flags = CommandFlags.Stale,
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("nodes", 2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the total number of Cluster nodes",
                Summary = "Returns the cluster configuration for a node.",
                Flags = CommandFlags.Stale,
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("replicas", 3)
            {
                Since = "5.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the number of replicas.",
                Summary = "Lists the replica nodes of a master node.",
                Flags = CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.String("node-id")],
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("replicate", 3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Configure a node as replica of a master node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.String("node-id")],
                Handler = &RunDisabled,
            },
            new("reset", -2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the number of known nodes. The command may execute a FLUSHALL as a side effect.",
                Summary = "Resets a node.",
                Flags = CommandFlags.Admin | CommandFlags.Stale | CommandFlags.NoScript,
                Args = [Arg.OneOf("reset-type", Arg.Word("hard", "HARD"), Arg.Word("soft", "SOFT")).Optional()],
                Handler = &RunDisabled,
            },
            new("saveconfig", 2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Forces a node to save the cluster configuration to disk.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Handler = &RunDisabled,
            },
            new("set-config-epoch", 3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Sets the configuration epoch for a new node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.Integer("config-epoch")],
                Handler = &RunDisabled,
            },
            new("setslot", -4)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(1)",
                Summary = "Binds a hash slot to a node.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.Integer("slot"), Arg.OneOf("subcommand", Arg.String("importing").Shown("node-id").Token("IMPORTING"), Arg.String("migrating").Shown("node-id").Token("MIGRATING"), Arg.String("node").Shown("node-id").Token("NODE"), Arg.Word("stable", "STABLE"))],
                Handler = &RunDisabled,
            },
            new("shards", 2)
            {
                Since = "7.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the total number of cluster nodes",
                Summary = "Returns the mapping of cluster slots to shards.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["nondeterministic_output"],
                Handler = &RunDisabled,
            },
            new("slaves", 3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the number of replicas.",
                Summary = "Lists the replica nodes of a master node.",
                Flags = CommandFlags.Admin | CommandFlags.Stale,
                Args = [Arg.String("node-id")],
                Tips = ["nondeterministic_output"],
                DeprecatedSince = "5.0.0",
                ReplacedBy = "`CLUSTER REPLICAS`",
                Handler = &RunDisabled,
            },
            new("slots", 2)
            {
                Since = "3.0.0",
                Group = CommandGroup.Cluster,
                Complexity = "O(N) where N is the total number of Cluster nodes",
                Summary = "Returns the mapping of cluster slots to nodes.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                History = [("4.0.0", "Added node IDs."), ("7.0.0", "Added additional networking metadata field.")],
                Tips = ["nondeterministic_output"],
                DeprecatedSince = "7.0.0",
                ReplacedBy = "`CLUSTER SHARDS`",
                Handler = &RunDisabled,
            },
        ],
    };

    /// <summary>ASKING</summary>
    public static readonly CommandSpec Asking = new("asking", 1)
    {
        Since = "3.0.0",
        Group = CommandGroup.Cluster,
        Complexity = "O(1)",
        Summary = "Signals that a cluster client is following an -ASK redirect.",
        Flags = CommandFlags.Fast,
        Categories = ["connection"],
        Handler = &RunDisabled,
    };

    /// <summary>READONLY</summary>
    public static readonly CommandSpec ReadOnly = new("readonly", 1)
    {
        Since = "3.0.0",
        Group = CommandGroup.Cluster,
        Complexity = "O(1)",
        Summary = "Enables read-only queries for a connection to a Redis Cluster replica node.",
        Flags = CommandFlags.Fast | CommandFlags.Loading | CommandFlags.Stale,
        Categories = ["connection"],
        Handler = &RunDisabled,
    };

    /// <summary>READWRITE</summary>
    public static readonly CommandSpec ReadWrite = new("readwrite", 1)
    {
        Since = "3.0.0",
        Group = CommandGroup.Cluster,
        Complexity = "O(1)",
        Summary = "Enables read-write queries for a connection to a Reids Cluster replica node.",
        Flags = CommandFlags.Fast | CommandFlags.Loading | CommandFlags.Stale,
        Categories = ["connection"],
        Handler = &RunDisabled,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Cluster, Asking, ReadOnly, ReadWrite];

    private static void RunDisabled(CommandContext c) => c.Error("ERR This instance has cluster support disabled"u8);
}
