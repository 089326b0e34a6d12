// An index file ("run"): where the blocks lie that were put between two positions. Little-endian, keys as the bytes they are. It is never the
// only place where something stands: what is damaged or missing is made again from the packs. Frozen by golden bytes in the tests.
//
// <number, 8 hex digits>.index
//
//   header page (4096 bytes)                               page (4096 bytes), pages of them
//    0  u64  magic "LeiIndx\n"                              0  u32  CRC-32C of bytes 4-4095
//    8  u16  version, 1                                     4  u16  entries in the page
//   10  u16  0                                              6  u16  0
//   12  u32  number                                         8  u64  number << 32 | the page's index
//   16  u64  position from which                           16       entries, 48 bytes each, by key:
//   24  u64  position up to which                                   0  32 bytes  key
//   32  u32  pages                                                 32  u32  pack   36  u32  offset   40  u32  length of the data
//   36  u32  home pages (see below)                                44  u8   form of the CID: 0 look at the record, 1 v1 raw,
//   40  u64  entries                                                        2 v1 dag-cbor, 3 v1 dag-pb, 4 v0 dag-pb
//   48  u32  filter blocks; 0: no filter                           45  u8   length of the CID
//   52  u32  CRC-32C of the filter                                 46  u8   1: deleted   47  0
//   56  u32  packs
//   60  u32  CRC-32C of the packs                          filter: blocks of 64 bytes; packs: 8 bytes each, u32 pack, i32 by how
//   64       zeros                                         many blocks this file changes what that pack holds
// 4092  u32  CRC-32C of bytes 0-4091
//
// Keys are evenly spread, so an entry's home page is key * home pages / 2^256: a look-up reads one page, no tree above it, and nothing need
// stay in memory. What does not fit its home page stands in the next one that has room, in order. The filter (blocked Bloom, about 10 bits a
// key, no more than one cache line looked at) keeps look-ups of absent keys from reading pages at all.

using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Leither.Ipfs.Files;

namespace Leither.Ipfs.Blockstore;

/// <summary>A page or filter of an index file is not what was written: the file has to be made again.</summary>
internal sealed class IndexDamagedException(IndexRun run, string problem) : Exception(problem)
{
    public IndexRun Run { get; } = run;
}

/// <summary>One index file. Immutable; opened when first wanted.</summary>
internal sealed class IndexRun
{
    public const string Suffix = ".index";
    public const int PageBytes = 4096, PageHeaderBytes = 16, EntriesPerPage = (PageBytes - PageHeaderBytes) / IndexEntry.Bytes;
    public const ulong Magic = 0x0a_78_64_6e_49_69_65_4c; // "LeiIndx\n"
    public const ushort Version = 1;

    /// <summary>A larger filter is neither made nor kept in memory: such a run (12 million blocks) answers by reading a page.</summary>
    private const int MaxFilterBytes = 16 << 20;

    private readonly IFolder _files;
    private readonly Lock _gate = new();
    private IFile? _file;
    private ulong[]? _filter;

    public required uint Number { get; init; }
    public required ulong From { get; init; }
    public required ulong To { get; init; }
    public required uint Pages { get; init; }
    public required uint HomePages { get; init; }
    public required long Entries { get; init; }
    public required uint FilterBlocks { get; init; }
    public required uint FilterCrc { get; init; }
    public required (uint Pack, int Blocks)[] Packs { get; init; }

    /// <summary>Whether it has no file, because none could be written.</summary>
    public bool IsInMemory { get; init; }

    /// <summary>How many sets hold it. (Under the store's gate.)</summary>
    public int Sets { get; set; }

    /// <summary>To be deleted when no set holds it any more. (Under the store's gate.)</summary>
    public bool IsObsolete { get; set; }

    public string Name => Number.ToString("x8", System.Globalization.CultureInfo.InvariantCulture) + Suffix;

    public long FileBytes => (1L + Pages) * PageBytes + FilterBlocks * 64L + Packs.Length * 8L;

    public long MemoryBytes => 200 + Packs.Length * 8L + (_filter?.Length ?? 0) * 8L + (IsInMemory ? FileBytes : 0);

    public long Slots => (long)Pages * EntriesPerPage;

    private IndexRun(IFolder files) => _files = files;

    public static uint FilterBlocksFor(long entries)
    {
        long blocks = Math.Max(1, (entries * 10 + 511) / 512);
        return blocks * 64 <= MaxFilterBytes ? (uint)blocks : 0;
    }

    public static uint HomePagesFor(long entries) => (uint)Math.Max(1, (entries + 63) / 64); // three quarters full

    public static uint HomeOf(in BlockKey key, uint homePages) => (uint)Math.BigMul(key.W0, homePages, out _);

    /// <summary>The cache line of the filter that a key belongs to, and its bits there.</summary>
    public static int FilterBlock(in BlockKey key, uint blocks) => (int)Math.BigMul(key.W1, blocks, out _);

    public static void SetFilter(Span<ulong> filter, uint blocks, in BlockKey key)
    {
        Span<ulong> line = filter.Slice(FilterBlock(key, blocks) * 8, 8);
        ulong bits = key.W2;
        for (int i = 0; i < 6; i++, bits >>= 9) line[(int)(bits >> 6) & 7] |= 1ul << (int)(bits & 63);
    }

    /// <summary>Whether the key can be in the run at all.</summary>
    public bool MayHave(in BlockKey key)
    {
        if (FilterBlocks == 0) return Entries > 0;
        ulong[] filter = Filter();
        ReadOnlySpan<ulong> line = filter.AsSpan(FilterBlock(key, FilterBlocks) * 8, 8);
        ulong bits = key.W2;
        for (int i = 0; i < 6; i++, bits >>= 9)
        {
            if ((line[(int)(bits >> 6) & 7] & 1ul << (int)(bits & 63)) == 0) return false;
        }
        return true;
    }

    /// <summary>Finds a key. <paramref name="slot"/> is where it stands: below <see cref="Slots"/>, and its own.</summary>
    public bool TryFind(in BlockKey key, out IndexEntry entry, out long slot)
    {
        entry = default;
        slot = 0;
        if (!MayHave(key)) return false;
        Span<byte> page = stackalloc byte[PageBytes];
        for (uint at = HomeOf(key, HomePages); at < Pages; at++)
        {
            int count = ReadPage(at, page);
            int low = 0, high = count - 1;
            while (low <= high)
            {
                int middle = (low + high) / 2;
                int order = new BlockKey(EntryBytes(page, middle)).CompareTo(key);
                if (order == 0)
                {
                    entry = IndexEntry.Read(EntryBytes(page, middle));
                    slot = (long)at * EntriesPerPage + middle;
                    return true;
                }
                if (order < 0) low = middle + 1;
                else high = middle - 1;
            }
            // Further on only what found no room here, which is greater than all that did.
            if (count < EntriesPerPage || low < count) return false;
        }
        return false;
    }

    public static ReadOnlySpan<byte> EntryBytes(ReadOnlySpan<byte> page, int entry) => page.Slice(PageHeaderBytes + entry * IndexEntry.Bytes, IndexEntry.Bytes);

    /// <summary>Reads pages, checks them, and returns how many entries the first has.</summary>
    public int ReadPage(uint first, Span<byte> pages)
    {
        if (File().Read((1L + first) * PageBytes, pages) != pages.Length) throw new IndexDamagedException(this, "the file is too short");
        for (int i = 0; i * PageBytes < pages.Length; i++) CountOf(pages.Slice(i * PageBytes, PageBytes), first + (uint)i);
        return BinaryPrimitives.ReadUInt16LittleEndian(pages[4..]);
    }

    private int CountOf(ReadOnlySpan<byte> page, uint index)
    {
        int count = BinaryPrimitives.ReadUInt16LittleEndian(page[4..]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(page) != Crc32C.Compute(0, page[4..])
            || BinaryPrimitives.ReadUInt64LittleEndian(page[8..]) != ((ulong)Number << 32 | index) || count > EntriesPerPage)
        {
            throw new IndexDamagedException(this, $"page {index} is damaged");
        }
        return count;
    }

    /// <summary>Closes the file and lets the filter go; both come back when they are wanted. Nobody must be reading.</summary>
    public void Idle()
    {
        if (IsInMemory) return;
        lock (_gate)
        {
            _file?.Dispose();
            _file = null;
            _filter = null;
        }
    }

    private IFile File()
    {
        IFile? file = Volatile.Read(ref _file);
        if (file is not null) return file;
        lock (_gate) return _file ??= _files.Open(Name);
    }

    /// <summary>Reads the filter, if there is one, so that what is wrong with it shows now.</summary>
    public void LoadFilter()
    {
        if (FilterBlocks > 0) Filter();
    }

    private ulong[] Filter()
    {
        if (Volatile.Read(ref _filter) is { } known) return known;
        ulong[] filter = new ulong[FilterBlocks * 8];
        Span<byte> bytes = MemoryMarshal.AsBytes(filter.AsSpan());
        if (File().Read((1L + Pages) * PageBytes, bytes) != bytes.Length || Crc32C.Compute(0, bytes) != FilterCrc)
        {
            throw new IndexDamagedException(this, "the filter is damaged");
        }
        if (!BitConverter.IsLittleEndian) BinaryPrimitives.ReverseEndianness(filter, filter);
        Volatile.Write(ref _filter, filter);
        return filter;
    }

    /// <summary>Reads a file's header; null if it is none, or not whole.</summary>
    public static IndexRun? TryOpen(IFolder files, uint number, long length)
    {
        if (length < 2L * PageBytes) return null;
        string name = number.ToString("x8", System.Globalization.CultureInfo.InvariantCulture) + Suffix;
        using IFile file = files.Open(name);
        return TryRead(files, file, number, length, inMemory: false);
    }

    public static IndexRun? TryRead(IFolder files, IFile file, uint number, long length, bool inMemory)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(PageBytes);
        try
        {
            Span<byte> header = buffer.AsSpan(0, PageBytes);
            if (file.Read(0, header) != PageBytes || BinaryPrimitives.ReadUInt64LittleEndian(header) != Magic
                || BinaryPrimitives.ReadUInt32LittleEndian(header[4092..]) != Crc32C.Compute(0, header[..4092]))
            {
                return null;
            }
            // An index of another version is of no use, and can be made again.
            if (BinaryPrimitives.ReadUInt16LittleEndian(header[8..]) != Version || BinaryPrimitives.ReadUInt32LittleEndian(header[12..]) != number) return null;
            uint pages = BinaryPrimitives.ReadUInt32LittleEndian(header[32..]), filterBlocks = BinaryPrimitives.ReadUInt32LittleEndian(header[48..]);
            uint packs = BinaryPrimitives.ReadUInt32LittleEndian(header[56..]);
            long packsAt = (1L + pages) * PageBytes + filterBlocks * 64L;
            if (packsAt + packs * 8L != length) return null;
            byte[] bytes = new byte[packs * 8];
            if (file.Read(packsAt, bytes) != bytes.Length || Crc32C.Compute(0, bytes) != BinaryPrimitives.ReadUInt32LittleEndian(header[60..])) return null;
            var list = new (uint, int)[packs];
            for (int i = 0; i < list.Length; i++)
            {
                list[i] = (BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(i * 8)), BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(i * 8 + 4)));
            }
            return new IndexRun(files)
            {
                Number = number,
                From = BinaryPrimitives.ReadUInt64LittleEndian(header[16..]),
                To = BinaryPrimitives.ReadUInt64LittleEndian(header[24..]),
                Pages = pages,
                HomePages = BinaryPrimitives.ReadUInt32LittleEndian(header[36..]),
                Entries = BinaryPrimitives.ReadInt64LittleEndian(header[40..]),
                FilterBlocks = filterBlocks,
                FilterCrc = BinaryPrimitives.ReadUInt32LittleEndian(header[52..]),
                Packs = list,
                IsInMemory = inMemory,
                _file = inMemory ? file : null,
            };
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}

/// <summary>Writes an index file from entries that come in the order of their keys, each once.</summary>
internal sealed class IndexBuilder : IDisposable
{
    private const int BufferPages = 64;

    private readonly IFolder _files;
    private readonly IFile _file;
    private readonly uint _number, _homePages, _filterBlocks;
    private readonly ulong _from, _to;
    private readonly ulong[] _filter;
    private readonly bool _inMemory;
    private byte[] _buffer;
    private bool _kept;
    private uint _flushed, _pageInBuffer;
    private int _count;
    private long _entries;

    /// <summary>Begins a file.</summary>
    /// <param name="files">The folder.</param>
    /// <param name="file">The new file.</param>
    /// <param name="number">Its number.</param>
    /// <param name="from">The position from which it covers the packs.</param>
    /// <param name="to">The position up to which.</param>
    /// <param name="maxEntries">How many entries will come at most.</param>
    /// <param name="inMemory">Whether the file is none.</param>
    public IndexBuilder(IFolder files, IFile file, uint number, ulong from, ulong to, long maxEntries, bool inMemory)
    {
        (_files, _file, _number, _from, _to, _inMemory) = (files, file, number, from, to, inMemory);
        _homePages = IndexRun.HomePagesFor(maxEntries);
        _filterBlocks = IndexRun.FilterBlocksFor(maxEntries);
        _filter = new ulong[_filterBlocks * 8];
        _buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(BufferPages, _homePages + 1) * IndexRun.PageBytes);
        CurrentPage.Clear();
    }

    private uint At => _flushed + _pageInBuffer;

    private Span<byte> CurrentPage => _buffer.AsSpan((int)_pageInBuffer * IndexRun.PageBytes, IndexRun.PageBytes);

    public void Add(in IndexEntry entry)
    {
        uint home = IndexRun.HomeOf(entry.Key, _homePages);
        while (At < home || _count == IndexRun.EntriesPerPage) NextPage();
        entry.Write(CurrentPage[(IndexRun.PageHeaderBytes + _count * IndexEntry.Bytes)..]);
        _count++;
        _entries++;
        if (_filterBlocks > 0) IndexRun.SetFilter(_filter, _filterBlocks, entry.Key);
    }

    /// <summary>Writes what is left, the header last: without it the file is none.</summary>
    public IndexRun Finish(IReadOnlyDictionary<uint, int> packs, bool sync)
    {
        while (At + 1 < _homePages) NextPage();
        NextPage();
        FlushPages();
        long at = (1L + _flushed) * IndexRun.PageBytes;
        if (!BitConverter.IsLittleEndian) BinaryPrimitives.ReverseEndianness(_filter, _filter);
        ReadOnlySpan<byte> filter = MemoryMarshal.AsBytes(_filter.AsSpan());
        if (filter.Length > 0) _file.WriteAll(at, filter);
        at += filter.Length;
        byte[] list = new byte[packs.Count * 8];
        int next = 0;
        foreach ((uint pack, int blocks) in packs.OrderBy(static p => p.Key))
        {
            BinaryPrimitives.WriteUInt32LittleEndian(list.AsSpan(next), pack);
            BinaryPrimitives.WriteInt32LittleEndian(list.AsSpan(next + 4), blocks);
            next += 8;
        }
        if (list.Length > 0) _file.WriteAll(at, list);
        if (sync) _file.Sync();

        Span<byte> header = _buffer.AsSpan(0, IndexRun.PageBytes);
        header.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(header, IndexRun.Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(header[8..], IndexRun.Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], _number);
        BinaryPrimitives.WriteUInt64LittleEndian(header[16..], _from);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], _to);
        BinaryPrimitives.WriteUInt32LittleEndian(header[32..], _flushed);
        BinaryPrimitives.WriteUInt32LittleEndian(header[36..], _homePages);
        BinaryPrimitives.WriteInt64LittleEndian(header[40..], _entries);
        BinaryPrimitives.WriteUInt32LittleEndian(header[48..], _filterBlocks);
        BinaryPrimitives.WriteUInt32LittleEndian(header[52..], Crc32C.Compute(0, filter));
        BinaryPrimitives.WriteUInt32LittleEndian(header[56..], (uint)packs.Count);
        BinaryPrimitives.WriteUInt32LittleEndian(header[60..], Crc32C.Compute(0, list));
        BinaryPrimitives.WriteUInt32LittleEndian(header[4092..], Crc32C.Compute(0, header[..4092]));
        _file.WriteAll(0, header);
        if (sync) _file.Sync();
        IndexRun run = IndexRun.TryRead(_files, _file, _number, at + list.Length, _inMemory)
            ?? throw new DiskException("read back", _files.FullName(IndexRun.Suffix), "what was written is not there", isFull: false);
        _kept = _inMemory;
        return run;
    }

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
        if (!_kept) _file.Dispose();
    }

    private void NextPage()
    {
        Span<byte> page = CurrentPage;
        BinaryPrimitives.WriteUInt16LittleEndian(page[4..], (ushort)_count);
        BinaryPrimitives.WriteUInt64LittleEndian(page[8..], (ulong)_number << 32 | At);
        BinaryPrimitives.WriteUInt32LittleEndian(page, Crc32C.Compute(0, page[4..]));
        _count = 0;
        _pageInBuffer++;
        if ((_pageInBuffer + 1) * IndexRun.PageBytes > _buffer.Length) FlushPages();
        CurrentPage.Clear();
    }

    private void FlushPages()
    {
        if (_pageInBuffer == 0) return;
        _file.WriteAll((1L + _flushed) * IndexRun.PageBytes, _buffer.AsSpan(0, (int)_pageInBuffer * IndexRun.PageBytes));
        _flushed += _pageInBuffer;
        _pageInBuffer = 0;
    }
}

/// <summary>Goes through a run in the order of its keys.</summary>
internal sealed class IndexCursor(IndexRun run) : IDisposable
{
    private const int ChunkPages = 16;

    private byte[] _chunk = ArrayPool<byte>.Shared.Rent(ChunkPages * IndexRun.PageBytes);
    private uint _firstPage, _pages, _page; // the chunk's first page, how many it has, the current one within it
    private int _count, _at = -1;

    public IndexRun Run => run;

    public IndexEntry Current { get; private set; }

    /// <summary>Where the current entry stands.</summary>
    public long Slot => (long)(_firstPage + _page) * IndexRun.EntriesPerPage + _at;

    public bool Next()
    {
        while (++_at >= _count)
        {
            _at = -1;
            if (++_page >= _pages)
            {
                _firstPage += _pages;
                _page = 0;
                _pages = Math.Min(ChunkPages, run.Pages - _firstPage);
                if (_pages == 0)
                {
                    _count = 0;
                    return false;
                }
                run.ReadPage(_firstPage, _chunk.AsSpan(0, (int)_pages * IndexRun.PageBytes));
            }
            _count = BinaryPrimitives.ReadUInt16LittleEndian(Page[4..]);
        }
        Current = IndexEntry.Read(IndexRun.EntryBytes(Page, _at));
        return true;
    }

    private ReadOnlySpan<byte> Page => _chunk.AsSpan((int)_page * IndexRun.PageBytes, IndexRun.PageBytes);

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_chunk);
        _chunk = [];
    }
}
