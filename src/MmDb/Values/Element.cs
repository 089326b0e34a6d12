using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb.Values;

/// <summary>
/// One element of a collection as a reader meets it: bytes where they lie, or an integer that a compact layout holds in binary.
/// It borrows the collection's memory and is valid until the collection changes.
/// </summary>
public readonly unsafe struct Element
{
    /// <summary>Room that <see cref="Text"/> needs.</summary>
    public const int ScratchSize = RespInteger.MaxLength;

    /// <summary>First byte; null for an integer.</summary>
    public readonly byte* Bytes;

    /// <summary>Number of bytes; 0 for an integer.</summary>
    public readonly long Length;

    /// <summary>The integer, when <see cref="IsInteger"/>.</summary>
    public readonly long Integer;

    /// <summary>An element that is bytes.</summary>
    public Element(byte* bytes, long length)
    {
        Bytes = bytes;
        Length = length;
    }

    /// <summary>An element that is an integer.</summary>
    public Element(long integer) => Integer = integer;

    /// <summary>Whether it is held as an integer. Bytes may read as one too.</summary>
    public bool IsInteger => Bytes == null;

    /// <summary>The entry of a pack.</summary>
    public static Element OfPack(byte* pack, int entry) =>
        Pack.Get(pack, entry, out byte* bytes, out int length, out long integer) ? new Element(integer) : new Element(bytes, length);

    /// <summary>The key of an element's record: a member, or a field.</summary>
    public static Element OfKey(byte* record) => new(Record.Key(record), Record.KeyLength(record));

    /// <summary>The value of an element's record.</summary>
    public static Element OfValue(byte* record)
    {
        byte* bytes = Record.ValueBytes(record, out long length);
        return new Element(bytes, length);
    }

    /// <summary>
    /// The bytes as the client knows them. An integer's digits are written into <paramref name="scratch"/>
    /// (<see cref="ScratchSize"/> bytes), which must live as long as the result.
    /// </summary>
    public Slice Text(byte* scratch) =>
        IsInteger ? new Slice(scratch, RespInteger.Format(Integer, scratch)) : new Slice(Bytes, (int)Length);

    /// <summary>Number of bytes as the client knows them.</summary>
    public long TextLength
    {
        get
        {
            if (!IsInteger)
            {
                return Length;
            }

            byte* scratch = stackalloc byte[ScratchSize];
            return RespInteger.Format(Integer, scratch);
        }
    }

    /// <summary>The integer that it is, however it is held.</summary>
    public bool TryInteger(out long value)
    {
        value = Integer;
        return IsInteger || (Length <= RespInteger.MaxLength && RespInteger.TryParse(Bytes, (int)Length, out value));
    }

    /// <summary>Replies it as a bulk string.</summary>
    public void Reply(RespWriter reply)
    {
        if (IsInteger)
        {
            reply.BulkInteger(Integer);
        }
        else
        {
            reply.Bulk(Bytes, Length);
        }
    }
}
