using System.Globalization;
using System.Text;

namespace Leither.Resp;

/// <summary>One whole reply as an object: for clients, tools and tests, where a reply is looked at more than it is moved.</summary>
public sealed class RespReply
{
    private static readonly byte[] NoBytes = [];
    private static readonly RespReply[] NoElements = [];

    private RespReply(RespType type) => Type = type;

    /// <summary>Its type.</summary>
    public RespType Type { get; }

    /// <summary>Whether it is a null, of any of the three forms.</summary>
    public bool IsNull { get; private init; }

    /// <summary>Its text: a line or a bulk string, as bytes.</summary>
    public byte[] Bytes { get; private init; } = NoBytes;

    /// <summary>A verbatim string's three-letter format.</summary>
    public string? Format { get; private init; }

    /// <summary>An integer's value; a boolean's 1 or 0.</summary>
    public long Integer { get; private init; }

    /// <summary>A double's value.</summary>
    public double Double { get; private init; }

    /// <summary>What an aggregate holds; a map's keys and values by turns.</summary>
    public IReadOnlyList<RespReply> Elements { get; private init; } = NoElements;

    /// <summary>The pairs of the attribute before it, if there was one.</summary>
    public IReadOnlyList<RespReply> Attributes { get; private init; } = NoElements;

    /// <summary>Its text, as UTF-8.</summary>
    public string Text => Encoding.UTF8.GetString(Bytes);

    /// <summary>Whether it is an error, of either form.</summary>
    public bool IsError => Type is RespType.Error or RespType.BulkError;

    /// <summary>An aggregate's element.</summary>
    public RespReply this[int index] => Elements[index];

    /// <summary>Reads one whole reply and, when it is complete, moves <paramref name="reader"/> behind it.</summary>
    public static ReadStatus TryRead(ref RespReader reader, out RespReply? reply)
    {
        // Found whole first, so that a half-arrived reply costs no objects.
        reply = null;
        RespReader ahead = reader;
        ReadStatus status = ahead.TrySkip();
        if (status != ReadStatus.Complete)
            return status;
        ahead = reader;
        reply = Read(ref ahead, RespLimits.MaxReplyDepth);
        if (reply == null)
            return ReadStatus.Malformed;
        reader = ahead;
        return ReadStatus.Complete;
    }

    /// <summary>Reads a reply that is known to be whole; null if it nests deeper than <paramref name="depth"/>.</summary>
    private static RespReply? Read(ref RespReader reader, int depth)
    {
        IReadOnlyList<RespReply> attributes = NoElements;
        while (true)
        {
            if (depth == 0 || reader.TryRead() != ReadStatus.Complete)
                return null;
            RespType type = reader.Type;
            if (!reader.IsAggregate || reader.IsNull)
            {
                return new RespReply(type)
                {
                    IsNull = reader.IsNull,
                    Bytes = reader.Text.IsEmpty ? NoBytes : reader.Text.ToArray(),
                    Format = type == RespType.Verbatim ? Encoding.ASCII.GetString(reader.Format) : null,
                    Integer = reader.Integer,
                    Double = reader.Double,
                    Attributes = attributes,
                };
            }
            RespReply[] elements = reader.ElementCount == 0 ? NoElements : new RespReply[reader.ElementCount];
            for (int i = 0; i < elements.Length; i++)
            {
                RespReply? element = Read(ref reader, depth - 1);
                if (element == null)
                    return null;
                elements[i] = element;
            }
            if (type != RespType.Attribute)
                return new RespReply(type) { Elements = elements, Attributes = attributes };
            attributes = elements;
        }
    }

    /// <summary>The reply as redis-cli shows one that is not for a person: scalars as they are, aggregates in brackets.</summary>
    public override string ToString() => Type switch
    {
        _ when IsNull => "(nil)",
        RespType.Error or RespType.BulkError => "(error) " + Text,
        RespType.Integer => Integer.ToString(CultureInfo.InvariantCulture),
        RespType.Boolean => Integer != 0 ? "(true)" : "(false)",
        RespType.Map => "{" + string.Join(", ", Elements.Chunk(2).Select(pair => pair[0] + ": " + pair[1])) + "}",
        RespType.Array or RespType.Set or RespType.Push => "[" + string.Join(", ", Elements) + "]",
        _ => Text,
    };
}
