using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.MmDb.Memory;

/// <summary>
/// One key with its value, as bytes in a <see cref="NativeHeap"/>; also a field of a big hash and a member of a big set or
/// sorted set. Everything is reached through a <c>byte*</c> to its first byte.
/// </summary>
/// <remarks>
/// <code>
/// byte 0    type (low 4 bits), encoding (high 4 bits)
/// byte 1    flags: 1 has expire, 2 big key, 4 outside, 8 free, 16|32 snapshot epoch, 64 free, 128 free
/// byte 2    key length (0 if big key)
/// byte 3-5  LRU clock or LFU counter, 24 bits
/// byte 6-7  length of the value bytes that lie in the record
/// [4 bytes  key length, if big key: longer than 255]
/// [8 bytes  expiry, Unix milliseconds, if has expire]
/// key bytes
/// value bytes
/// </code>
/// <para>Little-endian, and nothing after byte 7 is aligned. A value is one of</para>
/// <list type="bullet">
/// <item>inline: up to <see cref="MaxInlineValue"/> bytes (a string, or a small collection's pack);</item>
/// <item>outside (<see cref="Outside"/>): 8 bytes, the address of a <see cref="LargeValue"/> that holds the bytes;</item>
/// <item>native: 8 bytes, the address of a big collection's own structure; the encoding says so, no flag does, and only the
/// collection's code follows or frees it (<see cref="NativePointer{T}"/>).</item>
/// </list>
/// </remarks>
public static unsafe class Record
{
    /// <summary>Flag: the record holds an expiry.</summary>
    public const int HasExpireFlag = 1;

    /// <summary>Flag: the key is longer than 255 bytes and has its length in a field of its own.</summary>
    public const int BigKeyFlag = 2;

    /// <summary>Flag: the value is the address of a <see cref="LargeValue"/>.</summary>
    public const int OutsideFlag = 4;

    /// <summary>Longest value that lies in a record; longer ones lie outside.</summary>
    public const int MaxInlineValue = 4096;

    /// <summary>Longest key that the one-byte length field holds.</summary>
    public const int MaxShortKey = 255;

    /// <summary>Value length of a record that holds an address: outside or native.</summary>
    public const int PointerLength = 8;

    private const int HeaderSize = 8;
    private const int EpochShift = 4;
    private const uint EpochMask = 3u << EpochShift;

    /// <summary>Data type, 0 to 15.</summary>
    /// <param name="record">The record.</param>
    /// <returns>The type.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Type(byte* record) => record[0] & 15;

    /// <summary>Encoding of the value, 0 to 15.</summary>
    /// <param name="record">The record.</param>
    /// <returns>The encoding.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Encoding(byte* record) => record[0] >> 4;

    /// <summary>Sets type and encoding.</summary>
    /// <param name="record">The record.</param>
    /// <param name="type">0 to 15.</param>
    /// <param name="encoding">0 to 15.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetType(byte* record, int type, int encoding) => record[0] = (byte)(type | (encoding << 4));

    /// <summary>Sets the encoding.</summary>
    /// <param name="record">The record.</param>
    /// <param name="encoding">0 to 15.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetEncoding(byte* record, int encoding) => record[0] = (byte)((record[0] & 15) | (encoding << 4));

    /// <summary>The flag byte.</summary>
    /// <param name="record">The record.</param>
    /// <returns>The flags.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Flags(byte* record) => record[1];

    /// <summary>Whether the record holds an expiry.</summary>
    /// <param name="record">The record.</param>
    /// <returns>True if so.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool HasExpire(byte* record) => (record[1] & HasExpireFlag) != 0;

    /// <summary>Whether the value is the address of a <see cref="LargeValue"/>.</summary>
    /// <param name="record">The record.</param>
    /// <returns>True if so.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Outside(byte* record) => (record[1] & OutsideFlag) != 0;

    /// <summary>The expiry, in Unix milliseconds, of a record that <see cref="HasExpire"/>.</summary>
    /// <param name="record">The record.</param>
    /// <returns>The instant.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long ExpireAt(byte* record) => Unsafe.ReadUnaligned<long>(record + ExpireOffset(record));

    /// <summary>Sets the expiry of a record that <see cref="HasExpire"/>; for others see <see cref="WithExpire"/>.</summary>
    /// <param name="record">The record.</param>
    /// <param name="unixMilliseconds">The instant.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetExpireAt(byte* record, long unixMilliseconds) =>
        Unsafe.WriteUnaligned(record + ExpireOffset(record), unixMilliseconds);

    /// <summary>Length of the key.</summary>
    /// <param name="record">The record.</param>
    /// <returns>Bytes.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int KeyLength(byte* record) =>
        (record[1] & BigKeyFlag) == 0 ? record[2] : Unsafe.ReadUnaligned<int>(record + HeaderSize);

    /// <summary>First byte of the key.</summary>
    /// <param name="record">The record.</param>
    /// <returns>Its address.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Key(byte* record) => record + KeyOffset(record);

    /// <summary>The key.</summary>
    /// <param name="record">The record.</param>
    /// <returns>Its bytes, valid as long as the record.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ReadOnlySpan<byte> KeySpan(byte* record) => new(Key(record), KeyLength(record));

    /// <summary>Whether the record's key is this one.</summary>
    /// <param name="record">The record.</param>
    /// <param name="key">First byte of the other key.</param>
    /// <param name="length">Its length.</param>
    /// <returns>True if they are equal.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool KeyEquals(byte* record, byte* key, int length) =>
        KeyLength(record) == length && Bytes.Equal(Key(record), key, length);

    /// <summary>LRU clock or LFU counter, 24 bits.</summary>
    /// <param name="record">The record.</param>
    /// <returns>The number.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Lru(byte* record) => Unsafe.ReadUnaligned<uint>(record + 2) >> 8;

    /// <summary>Sets the LRU clock or LFU counter.</summary>
    /// <param name="record">The record.</param>
    /// <param name="lru">The number; bits above the 24th are dropped.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetLru(byte* record, uint lru) => Unsafe.WriteUnaligned(record + 2, (lru << 8) | record[2]);

    /// <summary>Snapshot epoch, 0 to 3: in which snapshot round this record was last captured or written.</summary>
    /// <param name="record">The record.</param>
    /// <returns>The epoch.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int SnapshotEpoch(byte* record) => (record[1] >> EpochShift) & 3;

    /// <summary>Sets the snapshot epoch.</summary>
    /// <param name="record">The record.</param>
    /// <param name="epoch">0 to 3.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetSnapshotEpoch(byte* record, int epoch) =>
        record[1] = (byte)((record[1] & ~EpochMask) | ((uint)epoch << EpochShift));

    /// <summary>Length of the value bytes in the record itself (8 for an address).</summary>
    /// <param name="record">The record.</param>
    /// <returns>Bytes.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int ValueLength(byte* record) => *(ushort*)(record + 6);

    /// <summary>
    /// Sets the inline value length in place. Only for a length that rounds to the same block (<see cref="FitsInPlace"/>);
    /// else <see cref="ResizeValue"/>.
    /// </summary>
    /// <param name="record">The record.</param>
    /// <param name="length">The length.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetValueLength(byte* record, int length) => *(ushort*)(record + 6) = (ushort)length;

    /// <summary>First byte of the value in the record.</summary>
    /// <param name="record">The record.</param>
    /// <returns>Its address.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Value(byte* record) => record + KeyOffset(record) + KeyLength(record);

    /// <summary>The value bytes in the record.</summary>
    /// <param name="record">The record.</param>
    /// <returns>The bytes, valid as long as the record.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Span<byte> ValueSpan(byte* record) => new(Value(record), ValueLength(record));

    /// <summary>The value's bytes wherever they lie: in the record or in its <see cref="LargeValue"/>.</summary>
    /// <param name="record">The record.</param>
    /// <param name="length">Receives their length.</param>
    /// <returns>The first byte.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* ValueBytes(byte* record, out long length)
    {
        byte* value = Value(record);
        if (!Outside(record))
        {
            length = ValueLength(record);
            return value;
        }
        var large = (LargeValue*)Unsafe.ReadUnaligned<nint>(value);
        length = (long)large->Length;
        return LargeValue.Bytes(large);
    }

    /// <summary>The outside value of a record that is <see cref="Outside"/>.</summary>
    /// <param name="record">The record.</param>
    /// <returns>The value.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LargeValue* OutsideValue(byte* record) => (LargeValue*)Unsafe.ReadUnaligned<nint>(Value(record));

    /// <summary>Makes a record whose value is 8 bytes long hold an outside value (a new one, or one that has moved).</summary>
    /// <param name="record">The record.</param>
    /// <param name="value">The value; the record owns it now.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetOutsideValue(byte* record, LargeValue* value)
    {
        record[1] |= OutsideFlag;
        Unsafe.WriteUnaligned(Value(record), (nint)value);
    }

    /// <summary>Clears the outside flag: the value's 8 bytes are bytes again, and the caller owns what they pointed to.</summary>
    /// <param name="record">The record.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ClearOutside(byte* record) => record[1] &= unchecked((byte)~OutsideFlag);

    /// <summary>The native structure of a big collection, whose address is the record's value.</summary>
    /// <typeparam name="T">The structure's type.</typeparam>
    /// <param name="record">The record.</param>
    /// <returns>The structure.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T* NativePointer<T>(byte* record)
        where T : unmanaged => (T*)Unsafe.ReadUnaligned<nint>(Value(record));

    /// <summary>Sets the address of a big collection's native structure as the record's 8-byte value.</summary>
    /// <param name="record">The record.</param>
    /// <param name="structure">The structure.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetNativePointer(byte* record, void* structure) => Unsafe.WriteUnaligned(Value(record), (nint)structure);

    /// <summary>Size of a record, without what lies outside.</summary>
    /// <param name="record">The record.</param>
    /// <returns>Bytes, as given to the heap.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static nuint SizeOf(byte* record) =>
        (nuint)(uint)KeyOffset(record) + (nuint)(uint)KeyLength(record) + (nuint)(uint)ValueLength(record);

    /// <summary>Size that a record will have.</summary>
    /// <param name="keyLength">Length of the key.</param>
    /// <param name="hasExpire">Whether it holds an expiry.</param>
    /// <param name="valueLength">Length of the value bytes in the record.</param>
    /// <returns>Bytes, as given to the heap.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static nuint SizeFor(int keyLength, bool hasExpire, int valueLength) =>
        (nuint)(uint)(HeaderSize + (hasExpire ? 8 : 0) + (keyLength > MaxShortKey ? 4 : 0)) + (nuint)(uint)keyLength + (nuint)(uint)valueLength;

    /// <summary>Makes a record. Its value bytes and expiry are not set, its LRU and epoch are zero.</summary>
    /// <param name="heap">Heap to take it from.</param>
    /// <param name="key">First byte of the key, which is copied.</param>
    /// <param name="keyLength">Its length.</param>
    /// <param name="type">0 to 15.</param>
    /// <param name="encoding">0 to 15.</param>
    /// <param name="hasExpire">Whether to make room for an expiry.</param>
    /// <param name="valueLength">Length of the value bytes in the record, at most 65535.</param>
    /// <returns>The record.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Create(NativeHeap heap, byte* key, int keyLength, int type, int encoding, bool hasExpire, int valueLength)
    {
        byte* record = heap.Alloc(SizeFor(keyLength, hasExpire, valueLength));
        uint flags = hasExpire ? (uint)HasExpireFlag : 0u;
        int at = HeaderSize;
        uint shortLength = (uint)keyLength;
        if (keyLength > MaxShortKey)
        {
            flags |= BigKeyFlag;
            shortLength = 0;
            Unsafe.WriteUnaligned(record + at, keyLength);
            at += 4;
        }
        if (hasExpire)
        {
            at += 8;
        }
        *(ulong*)record = (uint)(type | (encoding << 4)) | (flags << 8) | (shortLength << 16) | ((ulong)(uint)valueLength << 48);
        Unsafe.CopyBlockUnaligned(record + at, key, (uint)keyLength);
        return record;
    }

    /// <summary>Frees a record and its outside value. What a native pointer refers to is the collection's own to free first.</summary>
    /// <param name="heap">Heap it was taken from.</param>
    /// <param name="record">The record.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Free(NativeHeap heap, byte* record)
    {
        if (Outside(record))
        {
            LargeValue.Free(heap, OutsideValue(record));
        }
        heap.Free(record, SizeOf(record));
    }

    /// <summary>Frees a record alone, not what lies outside.</summary>
    /// <param name="heap">Heap it was taken from.</param>
    /// <param name="record">The record.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void FreeShell(NativeHeap heap, byte* record) => heap.Free(record, SizeOf(record));

    /// <summary>Bytes a record takes with its outside value, as the heap counts them.</summary>
    /// <param name="record">The record.</param>
    /// <returns>Bytes.</returns>
    public static long MemoryBytes(byte* record) =>
        (long)(NativeHeap.RoundUp(SizeOf(record)) + (Outside(record) ? NativeHeap.RoundUp(LargeValue.BlockSize(OutsideValue(record))) : 0));

    /// <summary>Whether another inline value length needs no other block.</summary>
    /// <param name="record">The record.</param>
    /// <param name="valueLength">The length.</param>
    /// <returns>True if the record may stay where it is.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool FitsInPlace(byte* record, int valueLength)
    {
        nuint size = SizeOf(record);
        return NativeHeap.RoundUp(size) == NativeHeap.RoundUp(size - (nuint)(uint)ValueLength(record) + (nuint)(uint)valueLength);
    }

    /// <summary>
    /// Changes the inline value length; header, key and the common part of the value stay. When the record moves, the caller
    /// points its slots (<see cref="KeyTable.Set"/>) to the new place: the old one is freed already.
    /// </summary>
    /// <param name="heap">Heap it was taken from.</param>
    /// <param name="record">The record.</param>
    /// <param name="valueLength">The new length.</param>
    /// <returns>Where the record is now.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory; the record is unchanged.</exception>
    public static byte* ResizeValue(NativeHeap heap, byte* record, int valueLength)
    {
        nuint size = SizeOf(record);
        record = heap.Resize(record, size, size - (nuint)(uint)ValueLength(record) + (nuint)(uint)valueLength);
        SetValueLength(record, valueLength);
        return record;
    }

    /// <summary>
    /// Gives a record room for an expiry, or takes it away; all else stays. The record moves: the caller points its slots to
    /// the new place, and the old one is freed already. Returns the same record when nothing changes.
    /// </summary>
    /// <param name="heap">Heap it was taken from.</param>
    /// <param name="record">The record.</param>
    /// <param name="hasExpire">Whether it shall hold an expiry; if so and it had none, the caller sets it.</param>
    /// <returns>Where the record is now.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory; the record is unchanged.</exception>
    public static byte* WithExpire(NativeHeap heap, byte* record, bool hasExpire)
    {
        if (HasExpire(record) == hasExpire)
        {
            return record;
        }
        nuint size = SizeOf(record);
        int keyOffset = KeyOffset(record);
        int newKeyOffset = keyOffset + (hasExpire ? 8 : -8);
        byte* moved = heap.Alloc(size - (nuint)keyOffset + (nuint)newKeyOffset);
        *(ulong*)moved = *(ulong*)record;
        moved[1] ^= HasExpireFlag;
        if ((moved[1] & BigKeyFlag) != 0)
        {
            *(uint*)(moved + HeaderSize) = *(uint*)(record + HeaderSize);
        }
        NativeMemory.Copy(record + keyOffset, moved + newKeyOffset, size - (nuint)keyOffset);
        heap.Free(record, size);
        return moved;
    }

    /// <summary>Copies a record that lies in a slab being emptied, and its outside value, and frees the old ones.</summary>
    /// <param name="heap">Heap it was taken from.</param>
    /// <param name="record">The record.</param>
    /// <returns>Where the record is now: the caller points its slots there.</returns>
    /// <exception cref="NativeMemoryExhaustedException">The system has no more memory; nothing is lost.</exception>
    public static byte* Relocate(NativeHeap heap, byte* record)
    {
        if (Outside(record))
        {
            SetOutsideValue(record, LargeValue.Relocate(heap, OutsideValue(record)));
        }
        nuint size = SizeOf(record);
        if (!heap.IsEvacuating(record, size))
        {
            return record;
        }
        byte* moved = heap.Alloc(size);
        NativeMemory.Copy(record, moved, size);
        heap.Free(record, size);
        return moved;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int ExpireOffset(byte* record) => HeaderSize + ((record[1] & BigKeyFlag) << 1);

    // Without branches: 8, plus 8 for an expiry, plus 4 for a long key's length.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int KeyOffset(byte* record) => HeaderSize + ((record[1] & HasExpireFlag) << 3) + ((record[1] & BigKeyFlag) << 1);
}
