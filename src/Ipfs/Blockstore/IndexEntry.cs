using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>Where the newest record about a key lies, and what it says.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct IndexEntry
{
    public const int Bytes = 48;

    /// <summary>The usual forms of a CID, which the key completes; any other stands in the record only.</summary>
    private const byte OtherForm = 0, RawForm = 1, DagCborForm = 2, DagPbForm = 3, V0Form = 4;
    private const byte DeletedFlag = 1;

    public BlockKey Key;
    public uint Pack;
    public uint Offset;

    /// <summary>Of the data.</summary>
    public int Length;
    public byte Form;
    public byte CidLength;
    public byte Flags;

    public readonly ulong Position => PackFormat.Position(Pack, Offset);

    public readonly bool IsDeleted => (Flags & DeletedFlag) != 0;

    public readonly long DataOffset => (long)Offset + PackFormat.RecordHeaderBytes + CidLength;

    public readonly int RecordBytes => PackFormat.RecordHeaderBytes + CidLength + Length;

    public static IndexEntry Of(in BlockKey key, in Cid cid, uint pack, long offset, int length, RecordKind kind) => new()
    {
        Key = key,
        Pack = pack,
        Offset = (uint)offset,
        Length = length,
        Form = FormOf(cid),
        CidLength = (byte)cid.Length,
        Flags = kind == RecordKind.Deleted ? DeletedFlag : (byte)0,
    };

    /// <summary>The CID, if the key tells it.</summary>
    public readonly bool TryGetCid(out Cid cid)
    {
        Span<byte> digest = stackalloc byte[BlockKey.Length];
        Key.CopyTo(digest);
        cid = Form switch
        {
            RawForm => Cid.OfSha256(Multicodec.Raw, digest),
            DagCborForm => Cid.OfSha256(Multicodec.DagCbor, digest),
            DagPbForm => Cid.OfSha256(Multicodec.DagPb, digest),
            V0Form => Cid.CreateV0(new Multihash(Multicodec.Sha256, digest)),
            _ => default,
        };
        return Form != OtherForm;
    }

    public readonly void Write(Span<byte> to)
    {
        Key.CopyTo(to);
        BinaryPrimitives.WriteUInt32LittleEndian(to[32..], Pack);
        BinaryPrimitives.WriteUInt32LittleEndian(to[36..], Offset);
        BinaryPrimitives.WriteInt32LittleEndian(to[40..], Length);
        to[44] = Form;
        to[45] = CidLength;
        to[46] = Flags;
        to[47] = 0;
    }

    public static IndexEntry Read(ReadOnlySpan<byte> from) => new()
    {
        Key = new BlockKey(from),
        Pack = BinaryPrimitives.ReadUInt32LittleEndian(from[32..]),
        Offset = BinaryPrimitives.ReadUInt32LittleEndian(from[36..]),
        Length = BinaryPrimitives.ReadInt32LittleEndian(from[40..]),
        Form = from[44],
        CidLength = from[45],
        Flags = from[46],
    };

    private static byte FormOf(in Cid cid)
    {
        Multihash hash = cid.Multihash;
        if (hash.Code != Multicodec.Sha256 || hash.DigestLength != BlockKey.Length) return OtherForm;
        if (cid.Version == 0) return V0Form;
        return cid.Codec switch
        {
            Multicodec.Raw => RawForm,
            Multicodec.DagCbor => DagCborForm,
            Multicodec.DagPb => DagPbForm,
            _ => OtherForm,
        };
    }
}

/// <summary>The index of what was put lately: a hash table in plain arrays, which hold nothing for the collector to trace.</summary>
internal sealed class RecentIndex
{
    private IndexEntry[] _entries;
    private uint[] _superseded;
    private int[] _slots; // the entry's place + 1; 0 is empty
    private int _count;

    public RecentIndex(int capacity = 16)
    {
        _entries = new IndexEntry[capacity];
        _superseded = new uint[capacity];
        _slots = new int[BitOperations.RoundUpToPowerOf2((uint)capacity) * 2];
    }

    public int Count => _count;

    public long MemoryBytes => _entries.Length * (IndexEntry.Bytes + 4L) + _slots.Length * 4L;

    public ReadOnlySpan<IndexEntry> Entries => _entries.AsSpan(0, _count);

    /// <summary>The pack that held a key's entry in an index file, before the one here; 0 if none did.</summary>
    public uint Superseded(int entry) => _superseded[entry];

    public bool TryGet(in BlockKey key, out IndexEntry entry)
    {
        int at = Find(key);
        entry = at >= 0 ? _entries[at] : default;
        return at >= 0;
    }

    /// <summary>Adds or replaces. <paramref name="superseded"/> counts only for a key that is new here.</summary>
    public void Set(in IndexEntry entry, uint superseded)
    {
        int at = Find(entry.Key);
        if (at >= 0)
        {
            _entries[at] = entry;
            return;
        }
        if (_count == _entries.Length)
        {
            Array.Resize(ref _entries, _count * 2);
            Array.Resize(ref _superseded, _count * 2);
            _slots = new int[BitOperations.RoundUpToPowerOf2((uint)_count) * 4];
            for (int i = 0; i < _count; i++) Insert(i);
        }
        _entries[_count] = entry;
        _superseded[_count] = superseded;
        Insert(_count++);
    }

    /// <summary>Notes that an index file now has an entry of this key.</summary>
    public void SetSuperseded(in BlockKey key, uint pack)
    {
        int at = Find(key);
        if (at >= 0) _superseded[at] = pack;
    }

    /// <summary>A copy of those entries that a condition holds for; null if there are none.</summary>
    public RecentIndex? Where(Func<IndexEntry, bool> condition)
    {
        int count = 0;
        for (int i = 0; i < _count; i++) count += condition(_entries[i]) ? 1 : 0;
        if (count == 0) return null;
        var copy = new RecentIndex(count);
        for (int i = 0; i < _count; i++)
        {
            if (condition(_entries[i])) copy.Set(_entries[i], _superseded[i]);
        }
        return copy;
    }

    private int Find(in BlockKey key)
    {
        uint mask = (uint)_slots.Length - 1;
        for (uint slot = (uint)key.GetHashCode() & mask; ; slot = (slot + 1) & mask)
        {
            int at = _slots[slot] - 1;
            if (at < 0 || _entries[at].Key.Equals(key)) return at;
        }
    }

    private void Insert(int entry)
    {
        uint mask = (uint)_slots.Length - 1;
        uint slot = (uint)_entries[entry].Key.GetHashCode() & mask;
        while (_slots[slot] != 0) slot = (slot + 1) & mask;
        _slots[slot] = entry + 1;
    }
}
