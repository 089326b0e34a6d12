using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>Effects on strings.</content>
public sealed unsafe partial class Effects
{
    /// <summary>SET makes strings up to this length "embstr", as Redis names them.</summary>
    internal const int MaxEmbstr = 44;

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

    private void WriteString(in Key key, ulong* slot, byte* value, int length, long expireAt)
    {
        if (length <= 20 && RespInteger.TryParse(new ReadOnlySpan<byte>(value, length), out long number))
        {
            *(long*)StringPlace(key, slot, DataEncoding.Int, 8, expireAt) = number;
            return;
        }

        DataEncoding encoding = length <= MaxEmbstr ? DataEncoding.Embstr : DataEncoding.Raw;
        byte* place = StringPlace(key, slot, encoding, length, expireAt);
        Buffer.MemoryCopy(value, place, length, length);
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
            *(long*)Record.Value(created) = delta;
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

        *(long*)Record.Value(record) = old + delta;
        Changed(key);
    }

    private bool ApplyString(ref EffectReader reader, EffectTag tag)
    {
        if (tag is < EffectTag.StringSet or > EffectTag.StringBitOp)
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
            default:
                return false;
        }
    }
}
