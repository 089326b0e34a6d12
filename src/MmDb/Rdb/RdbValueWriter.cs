using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb.Rdb;

/// <summary>
/// Writes values in RDB types that Redis 7.0 and everything newer reads; hashes of which fields expire in that of 7.4. A value comes either whole, as a record, or as a snapshot has
/// it: compact ones as the bytes that the record holds, big ones element by element.
/// </summary>
internal static unsafe class RdbValueWriter
{
    private const byte PlainNode = 1, PackedNode = 2;

    /// <summary>The type byte of a value in a layout.</summary>
    public static RdbType TypeOf(DataType type, DataEncoding encoding) => (type, encoding) switch
    {
        (DataType.String, _) => RdbType.String,
        (DataType.List, _) => RdbType.ListQuicklist2,
        (DataType.Set, DataEncoding.IntSet) => RdbType.SetIntSet,
        (DataType.Set, _) => RdbType.Set,
        (DataType.SortedSet, _) => RdbType.SortedSet2,
        (DataType.Stream, _) => RdbType.StreamListpacks2,
        (DataType.Hash, DataEncoding.Pack) => RdbType.HashListpack,
        (DataType.Hash, DataEncoding.ExpiringPack or DataEncoding.ExpiringTable) => RdbType.HashMetadata,
        (DataType.Hash, _) => RdbType.Hash,
        _ => throw new InvalidOperationException($"{type} has no RDB type."),
    };

    /// <summary>The type and the value of a record.</summary>
    public static void Write(RdbBuffer to, Keyspace keyspace, byte* record)
    {
        var type = (DataType)Record.Type(record);
        var encoding = (DataEncoding)Record.Encoding(record);
        if (encoding is DataEncoding.ExpiringPack or DataEncoding.ExpiringTable)
        {
            WriteExpiring(to, new HashValue(keyspace, record));
            return;
        }

        to.Type(TypeOf(type, encoding));
        switch (encoding)
        {
            case DataEncoding.HashTable when type == DataType.Hash:
                WriteFields(to, new HashValue(keyspace, record));
                break;
            case DataEncoding.HashTable:
                WriteMembers(to, new SetValue(keyspace, record));
                break;
            case DataEncoding.SortedTree:
                WriteScored(to, new SortedSetValue(record));
                break;
            case DataEncoding.Quicklist:
                WriteNodes(to, Record.NativePointer<Quicklist>(record)->Freeze(keyspace.Heap), keyspace.Heap);
                break;
            case DataEncoding.Stream:
                using (var stream = new RdbStreamWriter())
                {
                    stream.Take(new StreamValue(record));
                    stream.Write(to);
                }

                break;
            default:
                byte* bytes = Record.ValueBytes(record, out long length);
                WriteCompact(to, type, encoding, bytes, length);
                break;
        }
    }

    private static void WriteFields(RdbBuffer to, HashValue hash)
    {
        to.Count((ulong)hash.Count);
        using HashValue.Enumerator fields = hash.Walk();
        while (fields.MoveNext())
        {
            to.String(fields.Field);
            to.String(fields.Value);
        }
    }

    /// <summary>
    /// A hash of which fields may expire. Without one that does, it is a plain one, which every version reads. Fields that have expired are in it until
    /// they are removed, as in Redis's: nobody loads a hash without any, and the same value makes the same bytes, whatever the time is.
    /// </summary>
    private static void WriteExpiring(RdbBuffer to, HashValue hash)
    {
        long first = hash.NextExpiry;
        to.Type(first == 0 ? RdbType.Hash : RdbType.HashMetadata);
        if (first != 0)
        {
            to.UInt64((ulong)first);
        }

        to.Count((ulong)hash.Count);
        using HashValue.Enumerator fields = hash.WalkAll();
        while (fields.MoveNext())
        {
            if (first != 0)
            {
                // From the first instant on, counted from 1: 0 is none.
                to.Count(fields.Expiry == 0 ? 0 : (ulong)(fields.Expiry - first + 1));
            }

            to.String(fields.Field);
            to.String(fields.Value);
        }
    }

    private static void WriteMembers(RdbBuffer to, SetValue set)
    {
        to.Count((ulong)set.Count);
        using SetValue.Enumerator members = set.Walk();
        while (members.MoveNext())
        {
            to.String(members.Current);
        }
    }

    /// <summary>From the highest on, as Redis does: whoever loads it then adds at the head.</summary>
    private static void WriteScored(RdbBuffer to, SortedSetValue value)
    {
        byte* scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        to.Count((ulong)value.Count);
        for (SortedSetCursor cursor = value.At(value.Count - 1); cursor.IsValid; cursor.MovePrevious())
        {
            ScoredMember member = cursor.Current(scratch);
            to.String(member.Member, member.Length);
            to.Double(member.Score);
        }
    }

    private static void WriteNodes(RdbBuffer to, FrozenList* list, NativeHeap heap)
    {
        to.Count((ulong)list->NodeCount);
        for (long i = 0; i < list->NodeCount; i++)
        {
            bool plain = list->GetNode(i, out byte* data, out int length, out _);
            WriteNode(to, plain, data, length);
        }

        FrozenList.Release(heap, list);
    }

    /// <summary>A value that a record holds as bytes.</summary>
    public static void WriteCompact(RdbBuffer to, DataType type, DataEncoding encoding, byte* bytes, long length)
    {
        int size = (int)length;
        switch (type)
        {
            case DataType.String when encoding == DataEncoding.Int:
                to.StringOfInteger(Unsafe.ReadUnaligned<long>(bytes));
                break;
            case DataType.String:
                to.String(bytes, length);
                break;
            case DataType.List:
                to.Count(1);
                WriteNode(to, plain: false, bytes, size);
                break;
            case DataType.Set when encoding == DataEncoding.IntSet:
                WriteIntSet(to, bytes, size);
                break;
            case DataType.Set:
                WriteMembers(to, new SetValue(DataEncoding.Pack, bytes, size));
                break;
            case DataType.Hash when encoding == DataEncoding.ExpiringPack:
                WriteExpiringPack(to, bytes, size);
                break;
            case DataType.Hash:
                to.Listpack(bytes, size);
                break;
            default:
                WritePackedScores(to, bytes, size);
                break;
        }
    }

    /// <summary>Instants are counted from 0: all fields are written, whatever the time is.</summary>
    private static void WriteExpiringPack(RdbBuffer to, byte* pack, int length)
    {
        to.UInt64(0);
        to.Count((ulong)Pack.Count(pack, length) / 3);
        for (int entry = Pack.HeaderSize; entry < length; entry = Pack.Skip(pack, entry, 3))
        {
            long at = HashValue.InstantAt(pack, entry);
            to.Count(at == 0 ? 0 : (ulong)at + 1);
            to.String(Element.OfPack(pack, entry));
            to.String(Element.OfPack(pack, Pack.Skip(pack, entry, 1)));
        }
    }

    private static void WritePackedScores(RdbBuffer to, byte* pack, int length)
    {
        to.Count((ulong)Pack.Count(pack, length) / 2);
        byte* scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        int last = Pack.Last(pack, length);
        for (SortedSetCursor cursor = new(pack, length, Pack.Previous(pack, last)); cursor.IsValid; cursor.MovePrevious())
        {
            ScoredMember member = cursor.Current(scratch);
            to.String(member.Member, member.Length);
            to.Double(member.Score);
        }
    }

    private static void WriteIntSet(RdbBuffer to, byte* data, int length)
    {
        // Redis's intset: width and count as 32 bits each, then the integers as they are here.
        int count = IntSet.Count(data, length), size = 8 + length - IntSet.HeaderSize;
        byte[]? large = size > 1024 ? new byte[size] : null;
        Span<byte> intSet = large ?? stackalloc byte[1024];
        intSet = intSet[..size];
        Unsafe.WriteUnaligned(ref intSet[0], (uint)*data);
        Unsafe.WriteUnaligned(ref intSet[4], (uint)count);
        new ReadOnlySpan<byte>(data + IntSet.HeaderSize, size - 8).CopyTo(intSet[8..]);
        to.String(intSet);
    }

    /// <summary>One node of a list.</summary>
    public static void WriteNode(RdbBuffer to, bool plain, byte* data, int length)
    {
        to.Count(plain ? PlainNode : PackedNode);
        if (plain)
        {
            to.String(data, length);
        }
        else
        {
            to.Listpack(data, length);
        }
    }

    /// <summary>One element of a big hash, set or sorted set, as a snapshot gives it.</summary>
    public static void WriteElement(RdbBuffer to, DataType type, byte* name, int nameLength, byte* value, int length)
    {
        to.String(name, nameLength);
        if (type == DataType.Hash)
        {
            to.String(value, length);
        }
        else if (type == DataType.SortedSet)
        {
            to.Double(Unsafe.ReadUnaligned<double>(value));
        }
    }
}
