namespace Leither.Resp;

/// <summary>
/// Reads replies, element by element in the order in which they stand: an aggregate first as its header
/// (<see cref="ElementCount"/>), then what it holds. Allocates nothing.
/// </summary>
/// <remarks>
/// Unlike <see cref="RequestParser"/> it is strict: every line end is checked, and lengths are bounded before anything is
/// made of them. After anything but <see cref="ReadStatus.Complete"/> the position is where it was.
/// </remarks>
public ref struct RespReader
{
    private readonly ReadOnlySpan<byte> _data;
    private int _position;

    /// <summary>A reader at the start of <paramref name="data"/>.</summary>
    public RespReader(ReadOnlySpan<byte> data) => _data = data;

    /// <summary>How many bytes were read.</summary>
    public readonly int Consumed => _position;

    /// <summary>The type of the element read last.</summary>
    public RespType Type { get; private set; }

    /// <summary>Whether the element is a null, of any of the three forms.</summary>
    public bool IsNull { get; private set; }

    /// <summary>The element's text: a line or a bulk string. A verbatim string's is without its format.</summary>
    public ReadOnlySpan<byte> Text { get; private set; }

    /// <summary>A verbatim string's three-letter format.</summary>
    public ReadOnlySpan<byte> Format { get; private set; }

    /// <summary>An integer's value; a boolean's 1 or 0.</summary>
    public long Integer { get; private set; }

    /// <summary>A double's value.</summary>
    public double Double { get; private set; }

    /// <summary>How many elements follow as part of this one: for a map or an attribute twice its pairs.</summary>
    public int ElementCount { get; private set; }

    /// <summary>Whether the element is an array, a map, a set, a push message or an attribute.</summary>
    public readonly bool IsAggregate => Type is RespType.Array or RespType.Map or RespType.Set or RespType.Push or RespType.Attribute;

    /// <summary>Whether the element is an error, of either form.</summary>
    public readonly bool IsError => Type is RespType.Error or RespType.BulkError;

    /// <summary>Reads the next element: a scalar whole, an aggregate's header.</summary>
    public ReadStatus TryRead()
    {
        ReadOnlySpan<byte> rest = _data[_position..];
        Type = RespType.None;
        Text = Format = default;
        Integer = 0;
        Double = 0;
        ElementCount = 0;
        IsNull = false;
        if (rest.IsEmpty)
            return ReadStatus.Incomplete;
        var type = (RespType)rest[0];
        if (!IsKnown(type))
            return ReadStatus.Malformed;

        int lineEnd = rest[..Math.Min(rest.Length, RespLimits.MaxInlineLength + 1)].IndexOf((byte)'\r');
        if (lineEnd < 0)
            return rest.Length > RespLimits.MaxInlineLength ? ReadStatus.Malformed : ReadStatus.Incomplete;
        if (lineEnd + 1 == rest.Length)
            return ReadStatus.Incomplete;
        if (rest[lineEnd + 1] != '\n')
            return ReadStatus.Malformed;
        ReadOnlySpan<byte> line = rest[1..lineEnd];
        int size = lineEnd + 2;

        ReadStatus status = type switch
        {
            RespType.SimpleString or RespType.Error => ReadText(line),
            RespType.Integer => ReadInteger(line),
            RespType.Null => line.IsEmpty ? ReadNull() : ReadStatus.Malformed,
            RespType.Boolean => ReadBoolean(line),
            RespType.Double => ReadDouble(line),
            RespType.BigNumber => IsWholeNumber(line) ? ReadText(line) : ReadStatus.Malformed,
            RespType.BulkString or RespType.BulkError or RespType.Verbatim => ReadBulk(type, line, rest, ref size),
            _ => ReadHeader(type, line),
        };
        if (status == ReadStatus.Complete)
        {
            Type = type;
            _position += size;
        }
        return status;
    }

    /// <summary>Reads over the next reply, whole: with all it holds, and with the attributes before it.</summary>
    public ReadStatus TrySkip()
    {
        int start = _position;
        long pending = 1;
        while (pending > 0)
        {
            ReadStatus status = TryRead();
            if (status != ReadStatus.Complete)
            {
                _position = start;
                return status;
            }
            pending += ElementCount - (Type == RespType.Attribute ? 0 : 1);
        }
        return ReadStatus.Complete;
    }

    private static bool IsKnown(RespType type) => type is
        RespType.SimpleString or RespType.Error or RespType.Integer or RespType.BulkString or RespType.Array or
        RespType.Null or RespType.Map or RespType.Set or RespType.Push or RespType.Double or RespType.Boolean or
        RespType.BigNumber or RespType.Verbatim or RespType.Attribute or RespType.BulkError;

    private ReadStatus ReadText(ReadOnlySpan<byte> line)
    {
        Text = line;
        return line.Contains((byte)'\n') ? ReadStatus.Malformed : ReadStatus.Complete;
    }

    private ReadStatus ReadNull()
    {
        IsNull = true;
        return ReadStatus.Complete;
    }

    private ReadStatus ReadInteger(ReadOnlySpan<byte> line)
    {
        // The specification allows a plus, though no server sends one.
        if (line.Length > 1 && line[0] == '+' && line[1] != '-')
            line = line[1..];
        bool ok = RespInteger.TryParse(line, out long value);
        Integer = value;
        Text = line;
        return ok ? ReadStatus.Complete : ReadStatus.Malformed;
    }

    private ReadStatus ReadBoolean(ReadOnlySpan<byte> line)
    {
        if (line.Length != 1 || line[0] is not ((byte)'t' or (byte)'f'))
            return ReadStatus.Malformed;
        Integer = line[0] == 't' ? 1 : 0;
        Text = line;
        return ReadStatus.Complete;
    }

    private ReadStatus ReadDouble(ReadOnlySpan<byte> line)
    {
        bool nan = line.SequenceEqual("nan"u8) || line.SequenceEqual("-nan"u8);
        double value = double.NaN;
        if (!nan && !RespDouble.TryParse(line, out value))
            return ReadStatus.Malformed;
        Double = value;
        Text = line;
        return ReadStatus.Complete;
    }

    private static bool IsWholeNumber(ReadOnlySpan<byte> line)
    {
        if (line.Length > 1 && line[0] is (byte)'-' or (byte)'+')
            line = line[1..];
        return !line.IsEmpty && !line.ContainsAnyExceptInRange((byte)'0', (byte)'9');
    }

    private ReadStatus ReadBulk(RespType type, ReadOnlySpan<byte> line, ReadOnlySpan<byte> rest, ref int size)
    {
        if (!RespInteger.TryParse(line, out long length))
            return ReadStatus.Malformed;
        if (length == -1 && type == RespType.BulkString)
            return ReadNull();
        if (length < 0 || length > RespLimits.MaxProtoMaxBulkLength)
            return ReadStatus.Malformed;
        if (rest.Length - size < length + 2)
            return ReadStatus.Incomplete;
        ReadOnlySpan<byte> text = rest.Slice(size, (int)length);
        if (rest[size + (int)length] != '\r' || rest[size + (int)length + 1] != '\n')
            return ReadStatus.Malformed;
        if (type == RespType.Verbatim)
        {
            if (length < 4 || text[3] != ':')
                return ReadStatus.Malformed;
            Format = text[..3];
            text = text[4..];
        }
        Text = text;
        size += (int)length + 2;
        return ReadStatus.Complete;
    }

    private ReadStatus ReadHeader(RespType type, ReadOnlySpan<byte> line)
    {
        if (!RespInteger.TryParse(line, out long count))
            return ReadStatus.Malformed;
        if (count == -1 && type == RespType.Array)
            return ReadNull();
        int perEntry = type is RespType.Map or RespType.Attribute ? 2 : 1;
        if (count < 0 || count > RespLimits.MaxReplyElements / perEntry)
            return ReadStatus.Malformed;
        ElementCount = (int)count * perEntry;
        return ReadStatus.Complete;
    }
}
