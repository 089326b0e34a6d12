using System.Buffers.Binary;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Car;

/// <summary>The index of a version 2, while its blocks are written: sorted at the end. <see cref="CarFormat"/> draws its bytes.</summary>
internal sealed class CarIndex
{
    private readonly List<Entry> _entries = [];

    /// <summary>Notes where a block stands. A CID that carries its content itself is left out: nobody has to look for it.</summary>
    public void Add(in Cid cid, long offset)
    {
        if (cid.HashFunction != Multicodec.Identity)
        {
            _entries.Add(new Entry(cid.Multihash, offset));
        }
    }

    public void WriteTo(Stream stream)
    {
        _entries.Sort();
        Span<byte> bytes = stackalloc byte[Varint.MaxLength + Multihash.MaxDigestLength];
        int codecLength = Varint.Write(bytes, Multicodec.CarMultihashIndexSorted);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[codecLength..], CountRuns(0, _entries.Count, wholeCode: true));
        stream.Write(bytes[..(codecLength + 4)]);
        for (int code = 0; code < _entries.Count;)
        {
            int codeEnd = EndOfRun(code, wholeCode: true);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, _entries[code].Hash.Code);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[8..], CountRuns(code, codeEnd, wholeCode: false));
            stream.Write(bytes[..12]);
            for (int width = code; width < codeEnd;)
            {
                int widthEnd = EndOfRun(width, wholeCode: false);
                int digestLength = _entries[width].Hash.DigestLength;
                BinaryPrimitives.WriteInt32LittleEndian(bytes, digestLength + 8);
                BinaryPrimitives.WriteUInt64LittleEndian(bytes[4..], (ulong)(widthEnd - width) * (ulong)(digestLength + 8));
                stream.Write(bytes[..12]);
                for (; width < widthEnd; width++)
                {
                    _entries[width].Hash.CopyDigest(bytes);
                    BinaryPrimitives.WriteInt64LittleEndian(bytes[digestLength..], _entries[width].Offset);
                    stream.Write(bytes[..(digestLength + 8)]);
                }
            }

            code = codeEnd;
        }
    }

    private int EndOfRun(int start, bool wholeCode)
    {
        Multihash first = _entries[start].Hash;
        int end = start + 1;
        while (end < _entries.Count && _entries[end].Hash.Code == first.Code && (wholeCode || _entries[end].Hash.DigestLength == first.DigestLength))
        {
            end++;
        }

        return end;
    }

    private int CountRuns(int start, int end, bool wholeCode)
    {
        int runs = 0;
        for (; start < end; start = EndOfRun(start, wholeCode))
        {
            runs++;
        }

        return runs;
    }

    private readonly record struct Entry(Multihash Hash, long Offset) : IComparable<Entry>
    {
        public int CompareTo(Entry other)
        {
            int order = Hash.Code.CompareTo(other.Hash.Code);
            order = order != 0 ? order : Hash.DigestLength.CompareTo(other.Hash.DigestLength);
            if (order != 0)
            {
                return order;
            }

            Span<byte> mine = stackalloc byte[Multihash.MaxDigestLength], its = stackalloc byte[Multihash.MaxDigestLength];
            order = mine[..Hash.CopyDigest(mine)].SequenceCompareTo(its[..other.Hash.CopyDigest(its)]);
            return order != 0 ? order : Offset.CompareTo(other.Offset);
        }
    }
}
