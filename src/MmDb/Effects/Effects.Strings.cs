using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>Effects on strings.</content>
public sealed unsafe partial class Effects
{
    /// <summary>SET makes strings up to this length "embstr", as Redis names them.</summary>
    internal const int MaxEmbstr = 44;

    /// <summary>No effect makes a longer string, whatever proto-max-bulk-len allows the clients of a node.</summary>
    internal const int MaxStringLength = int.MaxValue - 64;

    /// <summary>The key becomes a string without expiry, whatever it was.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StringSet(in Key key, byte* value, int length)
    {
        ulong* slot = Open(key);
        Append(EffectTag.StringSet, key).Bytes(value, length);
        WriteString(key, slot, value, length, 0);
        ChangedAndReady(key);
    }

    /// <summary>The key becomes a string that expires at an instant (Unix milliseconds).</summary>
    public void StringSetExpiring(in Key key, byte* value, int length, long expireAt)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StringSetExpiring, key);
        writer.Int64(expireAt);
        writer.Bytes(value, length);
        WriteString(key, slot, value, length, expireAt);
        ChangedAndReady(key);
    }

    /// <summary>The key becomes a string; its expiry stays.</summary>
    public void StringSetKeepExpiry(in Key key, byte* value, int length)
    {
        ulong* slot = Open(key);
        Append(EffectTag.StringSetKeepExpiry, key).Bytes(value, length);
        byte* record = slot == null ? null : KeyTable.Get(slot);
        WriteString(key, slot, value, length, record != null && Record.HasExpire(record) ? Record.ExpireAt(record) : 0);
        ChangedAndReady(key);
    }

    /// <summary>
    /// As <see cref="StringSetKeepExpiry"/>, for what a computation wrote (INCRBYFLOAT): it is held as text even where it spells
    /// an integer, as Redis holds it. The log does not tell the two apart: how a value is held is not part of it.
    /// </summary>
    public void StringSetText(in Key key, byte* value, int length)
    {
        ulong* slot = Open(key);
        Append(EffectTag.StringSetKeepExpiry, key).Bytes(value, length);
        byte* record = slot == null ? null : KeyTable.Get(slot);
        WriteText(key, slot, value, length, record != null && Record.HasExpire(record) ? Record.ExpireAt(record) : 0);
        ChangedAndReady(key);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void WriteString(in Key key, ulong* slot, byte* value, int length, long expireAt)
    {
        if (length <= StringValue.MaxIntegerText && RespInteger.TryParse(value, length, out long number))
        {
            Unsafe.WriteUnaligned(StringPlace(key, slot, DataEncoding.Int, 8, expireAt), number);
            return;
        }

        WriteText(key, slot, value, length, expireAt);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void WriteText(in Key key, ulong* slot, byte* value, int length, long expireAt)
    {
        byte* place = StringPlace(key, slot, length <= MaxEmbstr ? DataEncoding.Embstr : DataEncoding.Raw, length, expireAt);
        Unsafe.CopyBlockUnaligned(place, value, (uint)length);
    }

    /// <summary>The place for a string's bytes under a key, in the old record where it fits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* StringPlace(in Key key, ulong* slot, DataEncoding encoding, int length, long expireAt)
    {
        byte* record;
        if (slot == null)
        {
            record = Create(key, DataType.String, encoding, length, expireAt);
            return Record.ValueBytes(record, out _);
        }

        record = KeyTable.Get(slot);
        _keyspace.Touch(record);
        if (length <= Record.MaxInlineValue && Record.Type(record) == (int)DataType.String && !Record.Outside(record))
        {
            record = Reshape(key, slot, expireAt != 0, length, keepBytes: 0);
            Record.SetEncoding(record, (int)encoding);
        }
        else
        {
            record = Replace(key, slot, DataType.String, encoding, length, expireAt != 0);
        }

        if (expireAt != 0)
        {
            Record.SetExpireAt(record, expireAt);
        }

        return Record.ValueBytes(record, out _);
    }

    /// <summary>Adds to an integer; a missing key counts as 0. Does nothing to what is no integer, or where 64 bits would not hold the sum.</summary>
    public void StringAdd(in Key key, long delta)
    {
        ulong* slot = Open(key);
        Append(EffectTag.StringAdd, key).Zigzag(delta);
        if (slot == null)
        {
            byte* created = Create(key, DataType.String, DataEncoding.Int, 8);
            Unsafe.WriteUnaligned(Record.Value(created), delta);
            ChangedAndReady(key);
            return;
        }

        byte* record = KeyTable.Get(slot);
        if (!StringValue.TryInteger(record, out long old) || (delta > 0 ? old > long.MaxValue - delta : old < long.MinValue - delta))
        {
            return;
        }

        if (Record.Encoding(record) != (int)DataEncoding.Int)
        {
            record = Replace(key, slot, DataType.String, DataEncoding.Int, 8, Record.HasExpire(record));
        }

        Unsafe.WriteUnaligned(Record.Value(record), old + delta);
        Changed(key);
    }

    /// <summary>Appends to a string; a missing key becomes one. Does nothing to another type.</summary>
    public void StringAppend(in Key key, byte* bytes, int length)
    {
        ulong* slot = Open(key);
        Append(EffectTag.StringAppend, key).Bytes(bytes, length);
        if (slot == null)
        {
            WriteString(key, null, bytes, length, 0);
            ChangedAndReady(key);
            return;
        }

        byte* record = KeyTable.Get(slot);
        if (Record.Type(record) != (int)DataType.String)
        {
            return;
        }

        long old = StringValue.Length(record);
        if (old + length > MaxStringLength)
        {
            return;
        }

        byte* place = Stretch(key, slot, old, old + length);
        Unsafe.CopyBlockUnaligned(place + old, bytes, (uint)length);
        Changed(key);
    }

    /// <summary>
    /// Overwrites a string from an offset on; what lies between its end and there becomes zeros. A missing key counts as empty;
    /// no bytes change nothing. Does nothing to another type.
    /// </summary>
    public void StringSetRange(in Key key, long offset, byte* bytes, int length)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StringSetRange, key);
        writer.Varint((ulong)offset);
        writer.Bytes(bytes, length);
        byte* place = length == 0 ? null : Reach(key, slot, offset + length);
        if (place != null)
        {
            Unsafe.CopyBlockUnaligned(place + offset, bytes, (uint)length);
            ChangedAndReady(key);
        }
    }

    /// <summary>
    /// A string is held as bytes from now on, even where it is an integer: commands that write bits see to that before they look, and
    /// OBJECT ENCODING tells. How a value is held is not part of the log, so this is no effect of its own.
    /// </summary>
    public void StringToBytes(in Key key)
    {
        ulong* slot = Open(key);
        if (slot != null)
        {
            Stretch(key, slot, StringValue.Length(KeyTable.Get(slot)), StringValue.Length(KeyTable.Get(slot)));
        }
    }

    /// <summary>Sets one bit of a string, which grows by zeros to hold it. Does nothing to another type.</summary>
    public void StringSetBit(in Key key, long offset, bool on)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StringSetBit, key);
        writer.Varint((ulong)offset);
        writer.Varint(on ? 1UL : 0);
        byte* place = Reach(key, slot, (offset >> 3) + 1);
        if (place != null)
        {
            byte mask = (byte)(0x80 >> (int)(offset & 7));
            place += offset >> 3;
            *place = (byte)(on ? *place | mask : *place & ~mask);
            ChangedAndReady(key);
        }
    }

    /// <summary>Sets a field of up to 64 bits in a string, which grows by zeros to hold it. Does nothing to another type.</summary>
    public void StringSetBits(in Key key, long offset, int width, long value)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StringSetBits, key);
        writer.Varint((ulong)offset);
        writer.Varint((ulong)width);
        writer.Int64(value);
        byte* place = Reach(key, slot, ((offset + width - 1) >> 3) + 1);
        if (place != null)
        {
            Bits.Write(place, offset, width, (ulong)value);
            ChangedAndReady(key);
        }
    }

    /// <summary>
    /// BITOP: the destination becomes the bitwise combination of strings, the shorter ones with zeros behind them; it goes when that
    /// is empty. Does nothing when a source is another type. Returns the length of the result.
    /// </summary>
    public long StringBitOp(BitOperation operation, in Key destination, Slice* sources, int count)
    {
        for (int i = 0; i < count; i++)
        {
            // What has expired is gone before it is combined.
            Open(_keyspace.KeyOf(sources[i].Pointer, sources[i].Length));
        }

        ulong* slot = Open(destination);
        EffectWriter writer = Append(EffectTag.StringBitOp, destination);
        writer.Varint((ulong)operation);
        writer.Varint((ulong)count);
        long longest = 0;
        bool fits = true;
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(sources[i].Pointer, sources[i].Length);
            byte* source = SourceOf(sources[i]);
            fits &= source == null || Record.Type(source) == (int)DataType.String;
            longest = Math.Max(longest, source == null || !fits ? 0 : StringValue.Length(source));
        }

        if (!fits)
        {
            return 0;
        }

        if (longest == 0)
        {
            if (slot != null)
            {
                Drop(destination, slot);
                Changed(destination);
            }

            return 0;
        }

        // Combined beside the destination, which may be one of the sources.
        LargeValue* result = LargeValue.Create(_keyspace.Heap, (ulong)longest);
        byte* digits = stackalloc byte[StringValue.MaxIntegerText];
        for (int i = 0; i < count; i++)
        {
            byte* source = SourceOf(sources[i]);
            long length = 0;
            byte* bytes = source == null ? digits : StringValue.Bytes(source, digits, out length);
            Bits.Combine(operation, LargeValue.Bytes(result), longest, bytes, length, isFirst: i == 0);
        }

        byte* place = StringPlace(destination, slot, DataEncoding.Raw, (int)longest, 0);
        Buffer.MemoryCopy(LargeValue.Bytes(result), place, longest, longest);
        LargeValue.Free(_keyspace.Heap, result);
        ChangedAndReady(destination);
        return longest;
    }

    private byte* SourceOf(Slice name)
    {
        ulong* slot = _database.FindSlot(_keyspace.KeyOf(name.Pointer, name.Length));
        return slot == null ? null : KeyTable.Get(slot);
    }

    /// <summary>Makes a key a string of at least so many bytes, the new ones zeros. Returns its first byte, or null: another type, or too long.</summary>
    private byte* Reach(in Key key, ulong* slot, long length)
    {
        if ((ulong)length > MaxStringLength)
        {
            return null;
        }

        long old = 0;
        byte* place;
        if (slot == null)
        {
            place = Record.ValueBytes(Create(key, DataType.String, DataEncoding.Raw, length), out _);
        }
        else
        {
            byte* record = KeyTable.Get(slot);
            if (Record.Type(record) != (int)DataType.String)
            {
                return null;
            }

            old = StringValue.Length(record);
            length = Math.Max(old, length);
            place = Stretch(key, slot, old, length);
        }

        NativeMemory.Clear(place + old, (nuint)(length - old));
        return place;
    }

    /// <summary>Gives a string room for more bytes behind those it has; an integer becomes its digits. Returns its first byte.</summary>
    private byte* Stretch(in Key key, ulong* slot, long old, long length)
    {
        byte* record = KeyTable.Get(slot);
        byte* place;
        if (Record.Encoding(record) == (int)DataEncoding.Int)
        {
            byte* digits = stackalloc byte[StringValue.MaxIntegerText];
            StringValue.Bytes(record, digits, out _);
            place = Record.ValueBytes(Replace(key, slot, DataType.String, DataEncoding.Raw, length, Record.HasExpire(record)), out _);
            Unsafe.CopyBlockUnaligned(place, digits, (uint)old);
            return place;
        }

        place = Resize(key, slot, length);
        Record.SetEncoding(KeyTable.Get(slot), (int)DataEncoding.Raw);
        return place;
    }

    private bool ApplyString(ref EffectReader reader, EffectTag tag)
    {
        if (tag is < EffectTag.StringSet or > EffectTag.StringSetBits)
        {
            return false;
        }

        Key key = reader.Key(_keyspace);
        byte* bytes;
        int length;
        switch (tag)
        {
            case EffectTag.StringSet:
                bytes = reader.Bytes(out length);
                StringSet(key, bytes, length);
                return true;
            case EffectTag.StringSetExpiring:
                long expireAt = reader.Int64();
                bytes = reader.Bytes(out length);
                StringSetExpiring(key, bytes, length, expireAt);
                return true;
            case EffectTag.StringSetKeepExpiry:
                bytes = reader.Bytes(out length);
                StringSetKeepExpiry(key, bytes, length);
                return true;
            case EffectTag.StringAdd:
                StringAdd(key, reader.Zigzag());
                return true;
            case EffectTag.StringAppend:
                bytes = reader.Bytes(out length);
                StringAppend(key, bytes, length);
                return true;
            case EffectTag.StringSetRange:
                long offset = reader.Offset();
                bytes = reader.Bytes(out length);
                StringSetRange(key, offset, bytes, length);
                return true;
            case EffectTag.StringSetBit:
                offset = reader.Offset();
                StringSetBit(key, offset, reader.Varint() != 0);
                return true;
            case EffectTag.StringSetBits:
                offset = reader.Offset();
                int width = reader.Int32();
                if (width is < 1 or > 64)
                {
                    throw new UnknownEffectException($"a bit field of {width} bits is not known to this version");
                }

                StringSetBits(key, offset, width, reader.Int64());
                return true;
            case EffectTag.StringBitOp:
                var operation = (BitOperation)reader.Varint();
                if (operation > BitOperation.Not)
                {
                    throw new UnknownEffectException($"bit operation {(ulong)operation} is not known to this version");
                }

                Slice* sources = ReadItems(ref reader, out int count);
                StringBitOp(operation, key, sources, count);
                return true;
            default:
                return false;
        }
    }
}
