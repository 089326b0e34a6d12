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
    /// <summary>A database number that is none.</summary>
    public static ReadOnlySpan<byte> InvalidDbIndex => "ERR invalid DB index"u8;

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

    // Time limits.

    /// <summary>A blocking timeout that is no number.</summary>
    public static ReadOnlySpan<byte> TimeoutNotFloat => "ERR timeout is not a float or out of range"u8;
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
    /// <summary>The log cannot be written.</summary>
    public static ReadOnlySpan<byte> Misconf => "MISCONF Errors writing to the AOF file: "u8;
    /// <summary>Still loading.</summary>
    public static ReadOnlySpan<byte> Loading => "LOADING Redis is loading the dataset in memory"u8;
}
