namespace Leither.MmDb.Commands;

/// <summary>Every family's commands, gathered. A new family is named here; a new command only in its family's file.</summary>
public static class CommandList
{
    /// <summary>Stands in for a command that does not exist, while its error is replied.</summary>
    internal static readonly CommandSpec Unknown = new("unknown", -1);

    /// <summary>All commands.</summary>
    public static IEnumerable<CommandSpec> All() =>
    [
        .. ConnectionCommands.All,
        .. ClientCommands.All,
        .. PubSubCommands.All,
        .. ConfigCommands.All,
        .. CommandCommands.All,
        .. InfoCommands.All,
        .. MemoryCommands.All,
        .. DebugCommands.All,
        .. SlowlogCommands.All,
        .. LatencyCommands.All,
        .. AclCommands.All,
        .. StringCommands.All,
        .. BitmapCommands.All,
        .. HyperLogLogCommands.All,
        .. SortedSetCommands.All,
        .. GeoCommands.All,
        .. KeyCommands.All,
        .. DumpCommands.All,
        .. MigrateCommand.All,
        .. ListCommands.All,
        .. ExpireCommands.All,
        .. ObjectCommands.All,
        .. SortCommands.All,
        .. ServerCommands.All,
        .. ClusterCommands.All,
        .. ModuleCommands.All,
        .. ReplicationCommands.All,
        .. TransactionCommands.All,
        .. InteractiveCommands.All,
        .. ClearCommands.All,
        .. RangeScanCommands.All,
        .. SequenceCommands.All,
        .. HashCommands.All,
        .. HashExpiryCommands.All,
        .. SetCommands.All,
        .. StreamCommands.All,
        .. ScriptCommands.All,
        .. FunctionCommands.All,
        .. MimeiCommands.All,
        .. IpfsCommands.All,
        .. SwarmCommands.All,
        .. DhtCommands.All,
        .. PassportCommands.All,
    ];
}
