using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb.Values;

/// <summary>
/// The digest of data that DEBUG DIGEST shows: equal for equal data, whatever the layout and order in memory, and equal to Redis's
/// for the same data. What has no order is mixed by exclusive or; what has is mixed by hashing on.
/// </summary>
/// <remarks>It is for comparing in tests; nothing rests on SHA-1's strength.</remarks>
public static unsafe class ValueDigest
{
    /// <summary>Length of a digest.</summary>
    public const int Size = SHA1.HashSizeInBytes;

    /// <summary>The digest of all databases.</summary>
    public static void OfKeyspace(Keyspace keyspace, Span<byte> digest)
    {
        digest.Clear();
        Span<byte> one = stackalloc byte[Size], number = stackalloc byte[4];
        NativeList<nint> bucket = default;
        foreach (Database database in keyspace.Databases)
        {
            if (database.Count == 0)
            {
                continue;
            }

            BinaryPrimitives.WriteInt32BigEndian(number, database.Index);
            Mix(digest, number);
            ulong cursor = 0;
            do
            {
                bucket.Clear();
                cursor = database.Keys->ScanBucket(cursor, ref bucket);
                foreach (nint pointer in bucket.Span)
                {
                    one.Clear();
                    Mix(one, Record.KeySpan((byte*)pointer));
                    OfValue((byte*)pointer, one);
                    Xor(digest, one);
                }
            }
            while (cursor != 0);
        }

        bucket.Dispose();
    }

    /// <summary>Mixes a record's value and whether it expires into a digest.</summary>
    public static void OfValue(byte* record, Span<byte> digest)
    {
        Span<byte> number = stackalloc byte[4];
        // Redis's number of the type; it has modules before streams.
        int type = Record.Type(record);
        BinaryPrimitives.WriteInt32BigEndian(number, type == (int)DataType.Stream ? 6 : type);
        Mix(digest, number);
        switch ((DataType)Record.Type(record))
        {
            case DataType.String:
                byte* scratch = stackalloc byte[StringValue.MaxIntegerText];
                byte* bytes = StringValue.Bytes(record, scratch, out long length);
                Mix(digest, new ReadOnlySpan<byte>(bytes, (int)length));
                break;
            case DataType.List:
                MixList(record, digest);
                break;
            case DataType.Stream:
                MixStream(record, digest);
                break;
            case DataType.Set:
                MixElements(record, digest, stackalloc byte[PackValue.MaxIntegerDigits], static (d, member, _, _) => Xor(d, member));
                break;
            case DataType.Hash when (DataEncoding)Record.Encoding(record) is DataEncoding.ExpiringPack or DataEncoding.ExpiringTable:
                MixExpiringHash(record, digest);
                break;
            case DataType.Hash:
                MixElements(record, digest, stackalloc byte[PackValue.MaxIntegerDigits], static (d, field, value, _) => XorPair(d, field, value));
                break;
            case DataType.SortedSet:
                MixElements(record, digest, stackalloc byte[PackValue.MaxIntegerDigits], static (d, member, _, score) =>
                {
                    XorPair(d, member, Digits17(score));
                });
                break;
            default:
                throw new InvalidOperationException($"{(DataType)Record.Type(record)} has no digest.");
        }

        if (Record.HasExpire(record))
        {
            Xor(digest, "!!expire!!"u8);
        }
    }

    /// <summary>A score as Redis's digest takes it: C's %.17g.</summary>
    private static byte[] Digits17(double score)
    {
        if (double.IsInfinity(score))
        {
            return score > 0 ? "inf"u8.ToArray() : "-inf"u8.ToArray();
        }

        const int digits = 17;
        string[] parts = score.ToString("E16", CultureInfo.InvariantCulture).Split('E');
        int exponent = int.Parse(parts[1], CultureInfo.InvariantCulture);
        string text = exponent is < -4 or >= digits
            ? Trimmed(parts[0]) + (exponent < 0 ? "e-" : "e+") + Math.Abs(exponent).ToString("00", CultureInfo.InvariantCulture)
            : Trimmed(Fixed(parts[0], exponent));
        return Encoding.ASCII.GetBytes(text);
    }

    /// <summary>Moves the point of "d.ddd" by so many places.</summary>
    private static string Fixed(string mantissa, int exponent)
    {
        string sign = mantissa[0] == '-' ? "-" : "", all = mantissa[sign.Length..].Replace(".", "", StringComparison.Ordinal);
        return exponent < 0
            ? $"{sign}0.{new string('0', -exponent - 1)}{all}"
            : $"{sign}{all[..(exponent + 1)]}.{all[(exponent + 1)..]}";
    }

    private static string Trimmed(string number) => number.Contains('.', StringComparison.Ordinal) ? number.TrimEnd('0').TrimEnd('.') : number;

    /// <summary>Mixes the fields of a hash, and of each whether it expires.</summary>
    private static void MixExpiringHash(byte* record, Span<byte> digest)
    {
        byte* scratch = stackalloc byte[2 * Element.ScratchSize];
        if (Record.Encoding(record) == (int)DataEncoding.ExpiringTable)
        {
            using var walk = new TableWalk(Record.NativePointer<SortedSetStructure>(record)->Members);
            while (walk.MoveNext())
            {
                byte* value = Record.ValueBytes(walk.Current, out long size);
                XorField(digest, Record.KeySpan(walk.Current), new ReadOnlySpan<byte>(value, (int)size), Record.HasExpire(walk.Current));
            }

            return;
        }

        byte* pack = Record.ValueBytes(record, out long length);
        for (int entry = Pack.HeaderSize; entry < length; entry = Pack.Skip(pack, entry, 3))
        {
            Slice field = Element.OfPack(pack, entry).Text(scratch), value = Element.OfPack(pack, Pack.Skip(pack, entry, 1)).Text(scratch + Element.ScratchSize);
            XorField(digest, field.Span, value.Span, HashValue.InstantAt(pack, entry) != 0);
        }
    }

    private static void XorField(Span<byte> digest, ReadOnlySpan<byte> field, ReadOnlySpan<byte> value, bool expires)
    {
        Span<byte> one = stackalloc byte[Size];
        one.Clear();
        Mix(one, field);
        Mix(one, value);
        if (expires)
        {
            Xor(one, "!!hexpire!!"u8);
        }

        Xor(digest, one);
    }

    private delegate void ElementMixer(Span<byte> digest, ReadOnlySpan<byte> element, ReadOnlySpan<byte> value, double score);

    private static void MixList(byte* record, Span<byte> digest)
    {
        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        if (Record.Encoding(record) == (int)DataEncoding.Quicklist)
        {
            for (QuicklistCursor cursor = Record.NativePointer<Quicklist>(record)->First(); cursor.IsValid; cursor.MoveNext())
            {
                Mix(digest, cursor.ToSpan(scratch));
            }

            return;
        }

        byte* pack = Record.ValueBytes(record, out long length);
        for (int entry = Pack.First(pack, (int)length); entry != Pack.None; entry = Pack.Next(pack, (int)length, entry))
        {
            Mix(digest, Pack.ToSpan(pack, entry, scratch));
        }
    }

    /// <summary>Mixes a stream's entries. As in Redis, its groups are not in it.</summary>
    private static void MixStream(byte* record, Span<byte> digest)
    {
        Span<byte> first = stackalloc byte[StreamId.MaxText], second = stackalloc byte[PackValue.MaxIntegerDigits];
        StreamCursor cursor = new StreamValue(record).Entries(StreamId.Min, StreamId.Max);
        while (cursor.MoveNext())
        {
            int length = cursor.Id.Format(first);
            first[first.IndexOf((byte)'-')] = (byte)'.';
            Mix(digest, first[..length]);
            StreamFields fields = cursor.Fields;
            while (fields.MoveNext())
            {
                Mix(digest, fields.Field(first));
                Mix(digest, fields.Value(second));
            }
        }
    }

    /// <summary>Mixes the elements of a set, hash or sorted set, packed or big.</summary>
    private static void MixElements(byte* record, Span<byte> digest, Span<byte> scratch, ElementMixer mix)
    {
        var encoding = (DataEncoding)Record.Encoding(record);
        bool hasPairs = Record.Type(record) != (int)DataType.Set;
        if (encoding is DataEncoding.HashTable or DataEncoding.SortedTree)
        {
            MixTable(encoding == DataEncoding.HashTable ? Record.NativePointer<KeyTable>(record) : Record.NativePointer<SortedSetStructure>(record)->Members, encoding, digest, mix);
            return;
        }

        byte* data = Record.ValueBytes(record, out long length);
        if (encoding == DataEncoding.IntSet)
        {
            for (int i = 0; i < IntSet.Count(data, (int)length); i++)
            {
                _ = IntSet.At(data, i).TryFormat(scratch, out int digits, default, System.Globalization.CultureInfo.InvariantCulture);
                mix(digest, scratch[..digits], default, 0);
            }

            return;
        }

        Span<byte> second = stackalloc byte[PackValue.MaxIntegerDigits];
        int entry = Pack.First(data, (int)length);
        while (entry != Pack.None)
        {
            scoped ReadOnlySpan<byte> element = Pack.ToSpan(data, entry, scratch), value = default;
            double score = 0;
            if (hasPairs)
            {
                entry = Pack.Next(data, (int)length, entry);
                value = Pack.ToSpan(data, entry, second);
                score = Record.Type(record) == (int)DataType.SortedSet ? SortedSetPack.ScoreAt(data, entry) : 0;
            }

            mix(digest, element, value, score);
            entry = Pack.Next(data, (int)length, entry);
        }
    }

    private static void MixTable(KeyTable* table, DataEncoding encoding, Span<byte> digest, ElementMixer mix)
    {
        NativeList<nint> bucket = default;
        ulong cursor = 0;
        do
        {
            bucket.Clear();
            cursor = table->ScanBucket(cursor, ref bucket);
            foreach (nint pointer in bucket.Span)
            {
                byte* element = (byte*)pointer;
                byte* value = Record.ValueBytes(element, out long length);
                mix(
                    digest, Record.KeySpan(element), new ReadOnlySpan<byte>(value, (int)length),
                    encoding == DataEncoding.SortedTree ? Unsafe.ReadUnaligned<double>(value) : 0);
            }
        }
        while (cursor != 0);
        bucket.Dispose();
    }

    /// <summary>Mixes two texts that belong together, in their order.</summary>
    private static void XorPair(Span<byte> digest, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        Span<byte> pair = stackalloc byte[Size];
        pair.Clear();
        Mix(pair, first);
        Mix(pair, second);
        Xor(digest, pair);
    }

    /// <summary>Mixes in something whose place matters.</summary>
    private static void Mix(Span<byte> digest, ReadOnlySpan<byte> bytes)
    {
        Xor(digest, bytes);
        Span<byte> before = stackalloc byte[Size];
        digest.CopyTo(before);
#pragma warning disable CA5350 // The digest is Redis's, to be compared with it.
        SHA1.HashData(before, digest);
#pragma warning restore CA5350
    }

    /// <summary>Mixes in something whose place does not matter.</summary>
    private static void Xor(Span<byte> digest, ReadOnlySpan<byte> bytes)
    {
        Span<byte> hash = stackalloc byte[Size];
#pragma warning disable CA5350 // As above.
        SHA1.HashData(bytes, hash);
#pragma warning restore CA5350
        for (int i = 0; i < Size; i++)
        {
            digest[i] ^= hash[i];
        }
    }
}
