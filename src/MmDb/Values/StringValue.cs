using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb.Values;

/// <summary>Reads strings: integers are held as 8 bytes, the others as their bytes, in the record or outside.</summary>
public static unsafe class StringValue
{
    /// <summary>The longest text of an integer.</summary>
    public const int MaxIntegerText = 20;

    /// <summary>The string's integer, if it is one (in canonical digits).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryInteger(byte* record, out long value)
    {
        if (Record.Type(record) == (int)DataType.String && Record.Encoding(record) == (int)DataEncoding.Int)
        {
            value = Unsafe.ReadUnaligned<long>(Record.Value(record));
            return true;
        }

        return TryIntegerSlow(record, out value);
    }

    private static bool TryIntegerSlow(byte* record, out long value)
    {
        value = 0;
        if (Record.Type(record) != (int)DataType.String)
        {
            return false;
        }

        byte* bytes = Record.ValueBytes(record, out long length);
        return length <= MaxIntegerText && RespInteger.TryParse(bytes, (int)length, out value);
    }

    /// <summary>Length in bytes.</summary>
    public static long Length(byte* record)
    {
        if (Record.Encoding(record) == (int)DataEncoding.Int)
        {
            byte* digits = stackalloc byte[MaxIntegerText];
            return RespInteger.Format(Unsafe.ReadUnaligned<long>(Record.Value(record)), digits);
        }

        Record.ValueBytes(record, out long length);
        return length;
    }

    /// <summary>
    /// The string's bytes. An integer's digits are written into <paramref name="scratch"/> (<see cref="MaxIntegerText"/> bytes),
    /// which must live as long as the result.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Bytes(byte* record, byte* scratch, out long length)
    {
        if (Record.Encoding(record) == (int)DataEncoding.Int)
        {
            length = RespInteger.Format(Unsafe.ReadUnaligned<long>(Record.Value(record)), scratch);
            return scratch;
        }

        return Record.ValueBytes(record, out length);
    }

    /// <summary>Replies the string as a bulk string.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Reply(byte* record, RespWriter reply)
    {
        if (Record.Encoding(record) == (int)DataEncoding.Int)
        {
            reply.BulkInteger(Unsafe.ReadUnaligned<long>(Record.Value(record)));
            return;
        }

        byte* bytes = Record.ValueBytes(record, out long length);
        reply.Bulk(bytes, length);
    }
}
