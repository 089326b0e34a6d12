namespace Leither.MmDb.Commands;

/// <summary>
/// What a client did wrong: every error text of Redis in one place, grouped by when it can be met. Texts are without the leading
/// '-' and the line end. They are protocol: clients compare them.
/// </summary>
public static class Errors
{
    // Any command.

    /// <summary>Another type lives at the key.</summary>
    public static ReadOnlySpan<byte> WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value"u8;
    /// <summary>Options do not fit.</summary>
    public static ReadOnlySpan<byte> Syntax => "ERR syntax error"u8;
    /// <summary>Not a signed 64-bit integer.</summary>
    public static ReadOnlySpan<byte> NotInteger => "ERR value is not an integer or out of range"u8;
    /// <summary>Not a float.</summary>
    public static ReadOnlySpan<byte> NotFloat => "ERR value is not a valid float"u8;
    /// <summary>Below zero or not an integer.</summary>
    public static ReadOnlySpan<byte> NotPositive => "ERR value is out of range, must be positive"u8;
    /// <summary>Outside of what is allowed.</summary>
    public static ReadOnlySpan<byte> OutOfRange => "ERR value is out of range"u8;
    /// <summary>The key is not there.</summary>
    public static ReadOnlySpan<byte> NoSuchKey => "ERR no such key"u8;
    /// <summary>The key that was to be restored is there.</summary>
    public static ReadOnlySpan<byte> BusyKey => "BUSYKEY Target key name already exists."u8;
    /// <summary>A payload of RESTORE is damaged, or holds what is not known here.</summary>
    public static ReadOnlySpan<byte> BadDataFormat => "ERR Bad data format"u8;
    /// <summary>The element index is outside.</summary>
    public static ReadOnlySpan<byte> IndexOutOfRange => "ERR index out of range"u8;
    /// <summary>Source and destination are one.</summary>
    public static ReadOnlySpan<byte> SameObject => "ERR source and destination objects are the same"u8;
    /// <summary>No such database number.</summary>
    public static ReadOnlySpan<byte> DbIndexOutOfRange => "ERR DB index is out of range"u8;

    // Strings.

    /// <summary>The result would leave 64 bits.</summary>
    public static ReadOnlySpan<byte> IncrementOverflow => "ERR increment or decrement would overflow"u8;
    /// <summary>Decrement of the smallest integer.</summary>
    public static ReadOnlySpan<byte> DecrementOverflow => "ERR decrement would overflow"u8;
    /// <summary>A float result that is no number.</summary>
    public static ReadOnlySpan<byte> IncrementNaN => "ERR increment would produce NaN or Infinity"u8;
    /// <summary>A string that would pass the limit.</summary>
    public static ReadOnlySpan<byte> StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)"u8;
    /// <summary>LCS asked both ways.</summary>
    public static ReadOnlySpan<byte> LcsLengthAndIndexes => "ERR If you want both the length and indexes, please just use IDX."u8;
    /// <summary>LCS of what is no string.</summary>
    public static ReadOnlySpan<byte> LcsNotStrings => "ERR The specified keys must contain string values"u8;
    /// <summary>LCS of strings whose table would be too large.</summary>
    public static ReadOnlySpan<byte> LcsTooLarge => "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"u8;
    /// <summary>A negative offset.</summary>
    public static ReadOnlySpan<byte> OffsetOutOfRange => "ERR offset is out of range"u8;

    // Bitmaps.

    /// <summary>A bit that is neither 0 nor 1.</summary>
    public static ReadOnlySpan<byte> NotBit => "ERR bit is not an integer or out of range"u8;
    /// <summary>A bit offset that is none, or too far.</summary>
    public static ReadOnlySpan<byte> BitOffset => "ERR bit offset is not an integer or out of range"u8;
    /// <summary>BITPOS of another bit.</summary>
    public static ReadOnlySpan<byte> BitArgument => "ERR The bit argument must be 1 or 0."u8;
    /// <summary>BITOP NOT of several.</summary>
    public static ReadOnlySpan<byte> BitOpNot => "ERR BITOP NOT must be called with a single source key."u8;
    /// <summary>A type that BITFIELD does not know.</summary>
    public static ReadOnlySpan<byte> BitFieldType => "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."u8;
    /// <summary>An overflow rule that BITFIELD does not know.</summary>
    public static ReadOnlySpan<byte> BitFieldOverflow => "ERR Invalid OVERFLOW type specified"u8;
    /// <summary>BITFIELD_RO that would write.</summary>
    public static ReadOnlySpan<byte> BitFieldReadOnly => "ERR BITFIELD_RO only supports the GET subcommand"u8;

    // Keys.

    /// <summary>A cursor of SCAN and its like that is no number.</summary>
    public static ReadOnlySpan<byte> InvalidCursor => "ERR invalid cursor"u8;
    /// <summary>Not a signed 32-bit integer.</summary>
    public static ReadOnlySpan<byte> NotInt32 => "ERR value is out of range, value must between -2147483648 and 2147483647"u8;
    /// <summary>SORT by what is no number.</summary>
    public static ReadOnlySpan<byte> SortScore => "ERR One or more scores can't be converted into double"u8;
    /// <summary>EXPIRE NX with another condition.</summary>
    public static ReadOnlySpan<byte> ExpireConditions => "ERR NX and XX, GT or LT options at the same time are not compatible"u8;
    /// <summary>EXPIRE GT with LT.</summary>
    public static ReadOnlySpan<byte> ExpireDirections => "ERR GT and LT options at the same time are not compatible"u8;
    /// <summary>OBJECT FREQ without an LFU policy.</summary>
    public static ReadOnlySpan<byte> FrequencyNotTracked => "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."u8;
    /// <summary>OBJECT IDLETIME under an LFU policy.</summary>
    public static ReadOnlySpan<byte> IdleTimeNotTracked => "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."u8;

    // Sorted sets.

    /// <summary>ZADD NX with XX.</summary>
    public static ReadOnlySpan<byte> AddConditions => "ERR XX and NX options at the same time are not compatible"u8;
    /// <summary>ZADD GT with LT, or either with NX.</summary>
    public static ReadOnlySpan<byte> AddDirections => "ERR GT, LT, and/or NX options at the same time are not compatible"u8;
    /// <summary>ZADD INCR of several members.</summary>
    public static ReadOnlySpan<byte> IncrementOfSeveral => "ERR INCR option supports a single increment-element pair"u8;
    /// <summary>A score that would be no number.</summary>
    public static ReadOnlySpan<byte> ScoreNaN => "ERR resulting score is not a number (NaN)"u8;
    /// <summary>A range of scores that is none.</summary>
    public static ReadOnlySpan<byte> NotScoreRange => "ERR min or max is not a float"u8;
    /// <summary>A range of members that is none.</summary>
    public static ReadOnlySpan<byte> NotLexRange => "ERR min or max not valid string range item"u8;
    /// <summary>ZRANGE LIMIT without BYSCORE or BYLEX.</summary>
    public static ReadOnlySpan<byte> LimitOfRanks => "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"u8;
    /// <summary>ZRANGE BYLEX WITHSCORES.</summary>
    public static ReadOnlySpan<byte> WithScoresByLex => "ERR syntax error, WITHSCORES not supported in combination with BYLEX"u8;
    /// <summary>A weight that is no number.</summary>
    public static ReadOnlySpan<byte> WeightNotFloat => "ERR weight value is not a float"u8;
    /// <summary>A count that cannot be made positive.</summary>
    public static ReadOnlySpan<byte> NotNegatable => "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"u8;
    /// <summary>A numkeys that is no positive number.</summary>
    public static ReadOnlySpan<byte> NumKeys => "ERR numkeys should be greater than 0"u8;
    /// <summary>A count that is no positive number.</summary>
    public static ReadOnlySpan<byte> CountNotPositive => "ERR count should be greater than 0"u8;
    /// <summary>A limit below zero, or no number.</summary>
    public static ReadOnlySpan<byte> LimitNegative => "ERR LIMIT can't be negative"u8;

    // Streams.

    /// <summary>An id of a stream's entry that is none.</summary>
    public static ReadOnlySpan<byte> StreamId => "ERR Invalid stream ID specified as stream command argument"u8;
    /// <summary>XADD of 0-0.</summary>
    public static ReadOnlySpan<byte> StreamIdZero => "ERR The ID specified in XADD must be greater than 0-0"u8;
    /// <summary>XADD of an id that is not above the last.</summary>
    public static ReadOnlySpan<byte> StreamIdTooSmall => "ERR The ID specified in XADD is equal or smaller than the target stream top item"u8;
    /// <summary>XADD behind the largest id.</summary>
    public static ReadOnlySpan<byte> StreamExhausted => "ERR The stream has exhausted the last possible ID, unable to add more items"u8;
    /// <summary>XADD of more than a node may hold.</summary>
    public static ReadOnlySpan<byte> StreamEntryTooLarge => "ERR Elements are too large to be stored"u8;
    /// <summary>MAXLEN and MINID, or one of them twice.</summary>
    public static ReadOnlySpan<byte> StreamTrimStrategies => "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"u8;
    /// <summary>MAXLEN below zero.</summary>
    public static ReadOnlySpan<byte> StreamMaxLengthNegative => "ERR The MAXLEN argument must be >= 0."u8;
    /// <summary>LIMIT of a trim below zero.</summary>
    public static ReadOnlySpan<byte> StreamLimitNegative => "ERR The LIMIT argument must be >= 0."u8;
    /// <summary>LIMIT with nothing to limit.</summary>
    public static ReadOnlySpan<byte> StreamLimitWithoutStrategy => "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"u8;
    /// <summary>LIMIT of a trim that is exact.</summary>
    public static ReadOnlySpan<byte> StreamLimitOfExact => "ERR syntax error, LIMIT cannot be used without the special ~ option"u8;
    /// <summary>XTRIM that does not say how.</summary>
    public static ReadOnlySpan<byte> StreamNoStrategy => "ERR syntax error, XTRIM must be called with a trimming strategy"u8;
    /// <summary>An interval that begins after the largest id.</summary>
    public static ReadOnlySpan<byte> StreamIntervalStart => "ERR invalid start ID for the interval"u8;
    /// <summary>An interval that ends before 0-0.</summary>
    public static ReadOnlySpan<byte> StreamIntervalEnd => "ERR invalid end ID for the interval"u8;
    /// <summary>XSETID ENTRIESADDED below zero.</summary>
    public static ReadOnlySpan<byte> StreamEntriesAddedNegative => "ERR entries_added must be positive"u8;
    /// <summary>XSETID ENTRIESADDED below what there is.</summary>
    public static ReadOnlySpan<byte> StreamEntriesAddedBelowLength => "ERR The entries_added specified in XSETID is smaller than the target stream length"u8;
    /// <summary>XSETID below its own MAXDELETEDID.</summary>
    public static ReadOnlySpan<byte> StreamSetIdBelowGivenDeleted => "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"u8;
    /// <summary>XSETID below what was deleted.</summary>
    public static ReadOnlySpan<byte> StreamSetIdBelowDeleted => "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"u8;
    /// <summary>XSETID below an entry.</summary>
    public static ReadOnlySpan<byte> StreamSetIdBelowEntry => "ERR The ID specified in XSETID is smaller than the target stream top item"u8;
    /// <summary>XREAD of streams that do not all have an id.</summary>
    public static ReadOnlySpan<byte> StreamsUnbalanced => "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified."u8;
    /// <summary>XREADGROUP of streams that do not all have an id.</summary>
    public static ReadOnlySpan<byte> StreamsUnbalancedInGroup => "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified."u8;
    /// <summary>XREAD GROUP.</summary>
    public static ReadOnlySpan<byte> StreamGroupOutsideGroup => "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead."u8;
    /// <summary>XREAD NOACK.</summary>
    public static ReadOnlySpan<byte> StreamNoAckOutsideGroup => "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead."u8;
    /// <summary>XREAD of "&gt;".</summary>
    public static ReadOnlySpan<byte> StreamNewOutsideGroup => "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."u8;
    /// <summary>XREADGROUP without GROUP.</summary>
    public static ReadOnlySpan<byte> StreamGroupMissing => "ERR Missing GROUP option for XREADGROUP"u8;
    /// <summary>XREADGROUP of $.</summary>
    public static ReadOnlySpan<byte> StreamLastInGroup => "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set."u8;
    /// <summary>XREADGROUP of +.</summary>
    public static ReadOnlySpan<byte> StreamLastEntryInGroup => "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set."u8;
    /// <summary>XGROUP of what is not there.</summary>
    public static ReadOnlySpan<byte> StreamGroupNeedsKey => "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."u8;
    /// <summary>XGROUP CREATE of a group that there is.</summary>
    public static ReadOnlySpan<byte> StreamGroupBusy => "BUSYGROUP Consumer Group name already exists"u8;
    /// <summary>ENTRIESREAD below zero.</summary>
    public static ReadOnlySpan<byte> StreamEntriesReadNegative => "ERR value for ENTRIESREAD must be positive or -1"u8;
    /// <summary>XCLAIM with an idle time that is none.</summary>
    public static ReadOnlySpan<byte> StreamClaimMinIdle => "ERR Invalid min-idle-time argument for XCLAIM"u8;
    /// <summary>XCLAIM IDLE of what is no number.</summary>
    public static ReadOnlySpan<byte> StreamClaimIdle => "ERR Invalid IDLE option argument for XCLAIM"u8;
    /// <summary>XCLAIM TIME of what is no number.</summary>
    public static ReadOnlySpan<byte> StreamClaimTime => "ERR Invalid TIME option argument for XCLAIM"u8;
    /// <summary>XCLAIM RETRYCOUNT of what is no number.</summary>
    public static ReadOnlySpan<byte> StreamClaimRetryCount => "ERR Invalid RETRYCOUNT option argument for XCLAIM"u8;
    /// <summary>XAUTOCLAIM with an idle time that is none.</summary>
    public static ReadOnlySpan<byte> StreamAutoClaimMinIdle => "ERR Invalid min-idle-time argument for XAUTOCLAIM"u8;
    /// <summary>XAUTOCLAIM of nothing.</summary>
    public static ReadOnlySpan<byte> StreamAutoClaimCount => "ERR COUNT must be > 0"u8;
    /// <summary>XAUTOCLAIM of more than any memory holds.</summary>
    public static ReadOnlySpan<byte> StreamAutoClaimMemory => "ERR Insufficient memory, failed allocating transient memory, COUNT too high."u8;

    // Time limits.

    /// <summary>A blocking timeout that is no number.</summary>
    public static ReadOnlySpan<byte> TimeoutNotFloat => "ERR timeout is not a float or out of range"u8;
    /// <summary>A blocking timeout in milliseconds that is no integer.</summary>
    public static ReadOnlySpan<byte> TimeoutNotInteger => "ERR timeout is not an integer or out of range"u8;
    /// <summary>A blocking timeout below zero.</summary>
    public static ReadOnlySpan<byte> TimeoutNegative => "ERR timeout is negative"u8;
    /// <summary>A blocking timeout that is too far.</summary>
    public static ReadOnlySpan<byte> TimeoutOutOfRange => "ERR timeout is out of range"u8;

    // Transactions.

    /// <summary>MULTI inside MULTI.</summary>
    public static ReadOnlySpan<byte> NestedMulti => "ERR MULTI calls can not be nested"u8;
    /// <summary>EXEC without MULTI.</summary>
    public static ReadOnlySpan<byte> ExecWithoutMulti => "ERR EXEC without MULTI"u8;
    /// <summary>DISCARD without MULTI.</summary>
    public static ReadOnlySpan<byte> DiscardWithoutMulti => "ERR DISCARD without MULTI"u8;
    /// <summary>WATCH inside MULTI.</summary>
    public static ReadOnlySpan<byte> WatchInMulti => "ERR WATCH inside MULTI is not allowed"u8;
    /// <summary>A command that cannot be queued.</summary>
    public static ReadOnlySpan<byte> NotInTransaction => "ERR Command not allowed inside a transaction"u8;
    /// <summary>A queued command was refused.</summary>
    public static ReadOnlySpan<byte> ExecAborted => "EXECABORT Transaction discarded because of previous errors."u8;

    /// <summary>Between BEGIN and COMMIT, a touched key was changed by somebody else.</summary>
    public static ReadOnlySpan<byte> Conflict => "ABORTED a key that the transaction touched was changed by another client; nothing was done, begin again"u8;

    // The server's state.

    /// <summary>No password was given yet.</summary>
    public static ReadOnlySpan<byte> NoAuth => "NOAUTH Authentication required."u8;
    /// <summary>DEBUG while enable-debug-command does not allow it.</summary>
    public static ReadOnlySpan<byte> DebugNotAllowed => "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."u8;
    /// <summary>The password is wrong.</summary>
    public static ReadOnlySpan<byte> WrongPass => "WRONGPASS invalid username-password pair or user is disabled."u8;
    /// <summary>A client from elsewhere, while no password or rights are set.</summary>
    public static ReadOnlySpan<byte> ProtectedMode => "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an authentication password for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the outside."u8;
    /// <summary>maxmemory is reached.</summary>
    public static ReadOnlySpan<byte> OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'."u8;
    /// <summary>The log cannot be written; the reason follows.</summary>
    public const string NotLogged = "MISCONF Errors writing to the AOF file: ";
    /// <summary>A write of keys where there are none.</summary>
    public const string HoldsFiles = "WRONGTYPE this MiMei holds files, and no keys; MIMEI ADD and MIMEI SETCID change what it holds";
    /// <summary>There is no log, and the last checkpoint failed.</summary>
    public const string NotSaved = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
    /// <summary>A write where only a master takes any.</summary>
    public static ReadOnlySpan<byte> ReadOnly => "READONLY You can't write against a read only replica."u8;
    /// <summary>A replica that shall not answer while it has no link to its master.</summary>
    public static ReadOnlySpan<byte> MasterDown => "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."u8;
    /// <summary>Fewer replicas are in touch than writes ask for.</summary>
    public static ReadOnlySpan<byte> NoReplicas => "NOREPLICAS Not enough good replicas to write."u8;
    /// <summary>The data is on its way into memory.</summary>
    public static ReadOnlySpan<byte> Loading => "LOADING Redis is loading the dataset in memory"u8;

    /// <summary>A script runs for too long.</summary>
    public static ReadOnlySpan<byte> BusyScript => "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."u8;
    /// <summary>A function runs for too long.</summary>
    public static ReadOnlySpan<byte> BusyFunction => "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."u8;
    /// <summary>EVALSHA of a script that is not known.</summary>
    public static ReadOnlySpan<byte> NoScript => "NOSCRIPT No matching script. Please use EVAL."u8;
}
