namespace Leither.Resp;

/// <summary>Every bound on what the other side of a connection may make this one read or remember.</summary>
/// <remarks>Names and numbers are those of Redis 7.2 where it has them, so that a client meets the same limits here.</remarks>
public sealed class RespLimits
{
    /// <summary>The limits of a parser that was given none.</summary>
    public static RespLimits Default { get; } = new();

    /// <summary>The default of <see cref="ProtoMaxBulkLength"/>: 512 MiB.</summary>
    public const long DefaultProtoMaxBulkLength = 512L * 1024 * 1024;

    /// <summary>The least that <see cref="ProtoMaxBulkLength"/> can be set to: 1 MiB.</summary>
    public const long MinProtoMaxBulkLength = 1024 * 1024;

    /// <summary>The most that <see cref="ProtoMaxBulkLength"/> can be set to: a <see cref="Slice"/> counts bytes with an int.</summary>
    public const long MaxProtoMaxBulkLength = int.MaxValue - 64;

    /// <summary>The most arguments of one command. They are remembered as they arrive, never allocated for in advance.</summary>
    public const int MaxArguments = int.MaxValue;

    /// <summary>The longest inline command, and the longest line that may precede a missing line end: 64 KiB.</summary>
    public const int MaxInlineLength = 64 * 1024;

    /// <summary>The most arguments before authentication: enough for HELLO and AUTH.</summary>
    public const int MaxUnauthenticatedArguments = 10;

    /// <summary>The longest argument before authentication.</summary>
    public const int MaxUnauthenticatedBulkLength = 16384;

    /// <summary>The deepest nesting of a reply that is read.</summary>
    public const int MaxReplyDepth = 128;

    /// <summary>The most elements of one aggregate reply (a map has two for each pair).</summary>
    public const int MaxReplyElements = int.MaxValue / 4;

    private long _protoMaxBulkLength = DefaultProtoMaxBulkLength;

    /// <summary>The longest argument of a command: the setting <c>proto-max-bulk-len</c>.</summary>
    public long ProtoMaxBulkLength
    {
        get => _protoMaxBulkLength;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, MinProtoMaxBulkLength);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaxProtoMaxBulkLength);
            _protoMaxBulkLength = value;
        }
    }
}
