// One reply as a tree, whatever protocol version it came in, with a text form that people can read and that
// loses nothing: two replies have the same text exactly when their bytes say the same.
//
//   +OK   -ERR text   :42   "bulk"   $-1 (null bulk)   *-1 (null array)   _ (RESP3 null)   ,1.5   #t   (123   =txt:words
//   *2, ~2, %1, >3, |1: an aggregate; its elements follow, indented by two spaces each level (a map's as key, value, …)
//
// Quoted text escapes as redis-cli does: \" \\ \n \r \t \a \b and \xHH for whatever is not printable ASCII.

using System.Globalization;
using System.Text;

namespace Leither.TestKit;

/// <summary>The first byte of a reply: what kind of value follows.</summary>
public enum RespKind : byte
{
    SimpleString = (byte)'+',
    SimpleError = (byte)'-',
    Integer = (byte)':',
    BulkString = (byte)'$',
    Array = (byte)'*',
    Null = (byte)'_',
    Double = (byte)',',
    Boolean = (byte)'#',
    BigNumber = (byte)'(',
    BulkError = (byte)'!',
    VerbatimString = (byte)'=',
    Map = (byte)'%',
    Set = (byte)'~',
    Push = (byte)'>',
    Attribute = (byte)'|',
}

/// <summary>A parsed reply.</summary>
public sealed class RespValue : IEquatable<RespValue>
{
    private static readonly RespValue[] None = [];

    public RespValue(RespKind kind, byte[]? bytes, RespValue[]? items = null)
    {
        Kind = kind;
        Bytes = bytes;
        Items = items ?? None;
        IsNull = kind == RespKind.Null || (bytes is null && items is null);
    }

    public RespKind Kind { get; }

    /// <summary>The content of a scalar as it stood in the reply; null for aggregates and nulls.</summary>
    public byte[]? Bytes { get; }

    /// <summary>The elements of an aggregate; a map's alternate key, value.</summary>
    public RespValue[] Items { get; }

    public bool IsNull { get; }

    public bool IsError => Kind is RespKind.SimpleError or RespKind.BulkError;

    public bool IsAggregate => Kind is RespKind.Array or RespKind.Set or RespKind.Map or RespKind.Push or RespKind.Attribute && !IsNull;

    /// <summary>The scalar as text (Latin-1: one char a byte); empty for nulls and aggregates.</summary>
    public string Text => Bytes is null ? "" : Encoding.Latin1.GetString(Bytes);

    public long Integer => long.Parse(Text, CultureInfo.InvariantCulture);

    public RespValue this[int index] => Items[index];

    public static RespValue Simple(string text) => new(RespKind.SimpleString, Encoding.Latin1.GetBytes(text));

    public static RespValue Bulk(string text) => new(RespKind.BulkString, Encoding.Latin1.GetBytes(text));

    public static RespValue Of(long number) => new(RespKind.Integer, Encoding.Latin1.GetBytes(number.ToString(CultureInfo.InvariantCulture)));

    public static RespValue Array(params RespValue[] items) => new(RespKind.Array, null, items);

    /// <summary>The canonical text: see the head of this file.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        Append(text, 0);
        return text.ToString();
    }

    private void Append(StringBuilder text, int indent)
    {
        text.Append(' ', indent);
        switch (Kind)
        {
            case RespKind.Null: text.Append('_'); break;
            case RespKind.BulkString when Bytes is null: text.Append("$-1"); break;
            case RespKind.BulkString: Quote(Bytes, text); break;
            case RespKind.BulkError: text.Append('!'); Quote(Bytes, text); break;
            case RespKind.Array when IsNull: text.Append("*-1"); break;
            case RespKind.Array or RespKind.Set or RespKind.Push or RespKind.Map or RespKind.Attribute:
                int count = Kind is RespKind.Map or RespKind.Attribute ? Items.Length / 2 : Items.Length;
                text.Append((char)Kind).Append(count);
                foreach (RespValue item in Items) { text.Append('\n'); item.Append(text, indent + 2); }
                break;
            default: text.Append((char)Kind).Append(Text); break;
        }
    }

    /// <summary>Quotes bytes as redis-cli prints them.</summary>
    public static string Quote(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder();
        Quote(bytes, text);
        return text.ToString();
    }

    private static void Quote(ReadOnlySpan<byte> bytes, StringBuilder text)
    {
        text.Append('"');
        foreach (byte b in bytes)
        {
            switch (b)
            {
                case (byte)'"': text.Append("\\\""); break;
                case (byte)'\\': text.Append("\\\\"); break;
                case (byte)'\n': text.Append("\\n"); break;
                case (byte)'\r': text.Append("\\r"); break;
                case (byte)'\t': text.Append("\\t"); break;
                case (byte)'\a': text.Append("\\a"); break;
                case (byte)'\b': text.Append("\\b"); break;
                case < 0x20 or >= 0x7f: text.Append("\\x").Append(b.ToString("x2", CultureInfo.InvariantCulture)); break;
                default: text.Append((char)b); break;
            }
        }

        text.Append('"');
    }

    public bool Equals(RespValue? other)
    {
        if (other is null || Kind != other.Kind || IsNull != other.IsNull || Items.Length != other.Items.Length) return false;
        if (!Bytes.AsSpan().SequenceEqual(other.Bytes)) return false;
        for (int i = 0; i < Items.Length; i++)
        {
            if (!Items[i].Equals(other.Items[i])) return false;
        }

        return true;
    }

    public override bool Equals(object? obj) => Equals(obj as RespValue);

    public override int GetHashCode()
    {
        var hash = default(HashCode);
        hash.Add(Kind);
        hash.AddBytes(Bytes);
        hash.Add(Items.Length);
        return hash.ToHashCode();
    }
}
