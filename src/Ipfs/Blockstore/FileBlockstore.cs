// Blocks in files: a log of records, cut into packs, with an index beside it.
//
//   00000001.pack  00000002.pack  00000005.pack ...   the records, in the order they were put; only the last pack grows   (PackFormat)
//   00000003.index 00000007.index ...                 where they lie, each for the positions from one to another           (IndexRun)
//
// What must stay true:
//  - The last record about a key, by position, is what counts. Packs are appended to and deleted whole, never changed.
//  - The index files cover the positions from 0 to some point without a gap; what lies beyond is in memory (RecentIndex) and, after a start,
//    found by reading that part of the packs. They cover only what is durable, so a loss of power never leaves an index ahead of its pack.
//  - After a failed write or sync the rest of that pack is in doubt: never synced again, but read back, checked and appended to a new one by
//    the next Flush. The same holds for what a start finds beyond the point up to which all is known to be durable: whoever wrote it may
//    have met a failed sync too, and the system then shows bytes that the disk does not have.
//  - A pack goes when everything in it that is alive has been appended anew and flushed. Crashes leave duplicates, which are harmless.
//    It has gone when its file has: one that cannot be deleted stays a pack like others, and so do its entries in the index files. A start
//    finds it again, and if these lacked only some of them, a block could count that is deleted.
//
// Nothing is read before the store is first used, there is no thread, and Trim returns to that state: an idle store is this object.
//
// Locks, outermost first: _syncGate makes flushing one step; _writeGate is held to append; _indexGate to change the set of index files;
// _gate guards what readers see, is held for moments only and never across a call to the disk.

using System.Buffers;
using System.Security.Cryptography;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>How a <see cref="FileBlockstore"/> is kept.</summary>
public sealed class FileBlockstoreOptions
{
    /// <summary>The size that a pack does not grow beyond (unless a single block is larger).</summary>
    public int MaxPackBytes { get; init; } = 64 << 20;

    /// <summary>So many bytes are gathered before they are written. A system call is not interrupted, so other threads may have to wait for the copying.</summary>
    public int BufferBytes { get; init; } = 128 << 10;

    /// <summary>So many blocks may be indexed in memory alone; after a crash, they are what a start has to read.</summary>
    public int MaxRecentBlocks { get; init; } = 2048;

    /// <summary>Draws the salt of a pack.</summary>
    public Func<uint> Salt { get; init; } = static () => (uint)RandomNumberGenerator.GetInt32(int.MinValue, int.MaxValue);
}

/// <summary>Blocks in a folder of its own, which no other process may use meanwhile.</summary>
public sealed partial class FileBlockstore : IBlockstore
{
    private const int MaxOpenPacks = 128;

    /// <summary>After so many bytes written they are sent on their way to the disk.</summary>
    private const int WritebackBytes = 1 << 20;

    private readonly IFolder _files;
    private readonly FileBlockstoreOptions _options;
    private readonly Lock _syncGate = new(), _writeGate = new(), _indexGate = new(), _gate = new();

    // Under _gate.
    private readonly ProtectedPuts _protected;
    private Dictionary<uint, Pack> _packs = [];
    private RunSet _runs = RunSet.Empty;
    private RecentIndex? _recent;
    private FileCollection? _collection;
    private uint _drops; // how often packs were dropped: a reader that misses one looks again
    private ulong _durable; // everything before this position survives a loss of power
    private bool _loaded, _disposed;

    // Under _writeGate.
    private Pack? _active;
    private bool _rollNext, _directoryDirty;
    private uint _nextPack = 1;

    /// <summary>Names the folder; it is read when the store is first used, and made when the first block is written.</summary>
    public FileBlockstore(string directory, FileBlockstoreOptions? options = null)
        : this(new DiskFolder(directory), options)
    {
    }

    /// <summary>A store on any kind of files.</summary>
    public FileBlockstore(IFolder files, FileBlockstoreOptions? options = null)
    {
        _files = files;
        _options = options ?? new FileBlockstoreOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.MaxPackBytes, PackFormat.HeaderBytes + 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(_options.MaxPackBytes, 1 << 30, nameof(options));
        _protected = new ProtectedPuts(_gate);
    }

    /// <summary>
    /// Places in the files that could not be read where a start (or the repair of an index) went through them: torn tails and damage. What
    /// lies there is missing or, if an index knows it, found damaged when it is read.
    /// </summary>
    public IReadOnlyList<BlockDamage> Damage
    {
        get
        {
            lock (_gate) return [.. _damage];
        }
    }

    /// <summary>The last error of work that endangers no block (writing, merging, deleting index files), done again later; null when there was none
    /// since it last went well.</summary>
    public string? BackgroundError { get; private set; }

    /// <inheritdoc/>
    public BlockstoreFigures Figures
    {
        get
        {
            EnsureLoaded();
            lock (_gate)
            {
                long blocks = 0, bytes = 0, dead = 0, memory = 300 + (_recent?.MemoryBytes ?? 0) + _protected.MemoryBytes;
                foreach (Pack pack in _packs.Values)
                {
                    blocks += pack.Blocks;
                    bytes += pack.Length;
                    dead += pack.DeadBytes;
                    memory += 150 + (pack.Tail?.Length ?? 0);
                }
                foreach (IndexRun run in _runs.Runs)
                {
                    bytes += run.IsInMemory ? 0 : run.FileBytes;
                    memory += run.MemoryBytes;
                }
                return new BlockstoreFigures
                {
                    Blocks = blocks,
                    TotalBytes = bytes,
                    DeadBytes = dead,
                    Packs = _packs.Count,
                    Indexes = _runs.Runs.Length,
                    MemoryBytes = memory,
                };
            }
        }
    }

    /// <inheritdoc/>
    public bool Has(in Cid cid) => TryGetLength(cid, out _);

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length)
    {
        length = 0;
        if (cid.IsNone) return false;
        if (CidChecks.IsIdentity(cid))
        {
            length = CidChecks.IdentityLength(cid);
            return true;
        }
        if (!Find(BlockKey.Of(cid), out IndexEntry entry, out Pack? pack)) return false;
        Release(pack!);
        length = entry.Length;
        return true;
    }

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination)
    {
        if (cid.IsNone) return false;
        if (CidChecks.IsIdentity(cid))
        {
            int length = CidChecks.IdentityLength(cid);
            destination.Advance(cid.Multihash.CopyDigest(destination.GetSpan(Math.Max(length, 1))));
            return true;
        }
        if (!Find(BlockKey.Of(cid), out IndexEntry entry, out Pack? pack)) return false;
        try
        {
            Span<byte> bytes = destination.GetSpan(Math.Max(entry.Length, 1))[..entry.Length];
            string? problem = Read(pack!, entry.DataOffset, bytes) != bytes.Length ? "the file ends before the block does"
                : !cid.Verify(bytes) ? "the hash of what lies there is another"
                : null;
            if (problem is not null) throw new BlockCorruptedException(cid, _files.FullName(pack!.Name), entry.DataOffset, problem);
            destination.Advance(entry.Length);
            return true;
        }
        finally
        {
            Release(pack!);
        }
    }

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids()
    {
        RunSet runs = AcquireIntact(out RecentIndex? recent);
        try
        {
            for (int i = 0; i < (recent?.Count ?? 0); i++)
            {
                if (recent!.Entries[i] is { IsDeleted: false } entry && TryName(entry.Key, out Cid cid)) yield return cid;
            }
            for (int i = 0; i < runs.Runs.Length; i++)
            {
                using var cursor = new IndexCursor(runs.Runs[i]);
                while (NextNewest(cursor, runs, i, recent))
                {
                    if (TryName(cursor.Current.Key, out Cid cid)) yield return cid;
                }
            }
        }
        finally
        {
            Release(runs);
        }
    }

    /// <inheritdoc/>
    public bool Put(in Cid cid, ReadOnlySpan<byte> data)
    {
        CidChecks.ThrowIfNotStorable(cid, data.Length);
        if (CidChecks.IsIdentity(cid)) return false;
        BlockKey key = BlockKey.Of(cid);
        lock (_writeGate)
        {
            uint old = 0;
            IndexEntry entry = default;
            if (Find(key, out entry, out Pack? pack))
            {
                bool stays;
                lock (_gate)
                {
                    // What is in doubt, or about to go, is no block that is there.
                    stays = !pack!.IsCondemned && !pack.IsLeaving && !pack.IsInDoubt(entry.Offset);
                    if (stays) NotePut(cid);
                }
                Release(pack);
                if (stays && _collection?.MarkPut(key) != false) return false;
                old = entry.Pack;
            }
            Append(RecordKind.Block, cid, key, data, old, entry);
            lock (_gate) NotePut(cid); // no collection goes on to sweep in between: that takes the gate held here
            return true;
        }
    }

    /// <inheritdoc/>
    public bool Delete(in Cid cid)
    {
        if (cid.IsNone || CidChecks.IsIdentity(cid)) return false;
        BlockKey key = BlockKey.Of(cid);
        lock (_writeGate)
        {
            if (!Find(key, out IndexEntry entry, out Pack? pack)) return false;
            Release(pack!);
            Append(RecordKind.Deleted, cid, key, [], entry.Pack, entry);
            return true;
        }
    }

    /// <inheritdoc/>
    public IDisposable ProtectPuts() => _protected.Begin();

    /// <inheritdoc/>
    public BlockCollection Collect(CollectionOptions options) => new FileCollection(this, options);

    /// <summary>Flushes, writes the index of what memory alone knows, and disposes: the next start reads nothing but file names and headers.</summary>
    /// <exception cref="DiskException">The flush failed. The store is not disposed.</exception>
    public void Close()
    {
        Flush();
        Trim();
        Dispose();
    }

    /// <summary>Closes the files as they are. What was put since the last <see cref="Flush"/> may be lost.</summary>
    public void Dispose()
    {
        lock (_writeGate)
        {
            lock (_indexGate)
            {
                CancelMerge();
                lock (_gate)
                {
                    _disposed = true;
                    _active = null;
                    Unload();
                }
            }
        }
    }

    // ---- Finding and reading -----------------------------------------------------------------------------------------------------------

    /// <summary>Finds the record that counts. If it is a block, its pack is acquired: to be released.</summary>
    private bool Find(in BlockKey key, out IndexEntry entry, out Pack? pack)
    {
        while (true)
        {
            EnsureLoaded();
            RunSet runs;
            uint drops;
            lock (_gate)
            {
                if (!_loaded) continue; // trimmed meanwhile
                if (_recent is not null && _recent.TryGet(key, out entry))
                {
                    pack = null;
                    if (entry.IsDeleted) return false;
                    pack = _packs[entry.Pack];
                    pack.Readers++;
                    return true;
                }
                runs = Acquire();
                drops = _drops;
            }
            try
            {
                bool missed = false;
                for (int i = runs.Runs.Length - 1; i >= 0; i--)
                {
                    if (!runs.Runs[i].TryFind(key, out entry, out _)) continue;
                    lock (_gate)
                    {
                        if (_packs.TryGetValue(entry.Pack, out pack))
                        {
                            if (entry.IsDeleted)
                            {
                                pack = null;
                                return false;
                            }
                            pack.Readers++;
                            return true;
                        }
                    }
                    missed = true; // the pack is gone: dead with it, or appended anew
                }
                entry = default;
                pack = null;
                if (!missed || drops == Volatile.Read(ref _drops)) return false;
            }
            catch (IndexDamagedException e)
            {
                Repair(e);
            }
            finally
            {
                Release(runs);
            }
        }
    }

    /// <summary>Reads from a pack that is acquired: what is written from its file, the rest from memory.</summary>
    private int Read(Pack pack, long offset, Span<byte> bytes)
    {
        lock (_gate)
        {
            if (offset + bytes.Length > pack.Written && pack.Tail is { } tail)
            {
                // A record is written whole or not at all.
                tail.AsSpan((int)(offset - pack.Written), bytes.Length).CopyTo(bytes);
                return bytes.Length;
            }
        }
        return FileOf(pack).Read(offset, bytes);
    }

    private bool TryName(in BlockKey key, out Cid cid)
    {
        cid = default;
        if (!Find(key, out IndexEntry entry, out Pack? pack)) return false;
        try
        {
            if (entry.TryGetCid(out cid)) return true;
            Span<byte> header = stackalloc byte[PackFormat.RecordHeaderBytes + byte.MaxValue];
            header = header[..(PackFormat.RecordHeaderBytes + entry.CidLength)];
            if (Read(pack!, entry.Offset, header) == header.Length && Cid.TryRead(header[PackFormat.RecordHeaderBytes..], out cid)) return true;
            lock (_gate) NoteDamage(new BlockDamage(_files.FullName(pack!.Name), entry.Offset, header.Length, "the CID of a record cannot be read", false));
            return false;
        }
        finally
        {
            Release(pack!);
        }
    }

    /// <summary>The index, once all of it was found intact or made again.</summary>
    private RunSet AcquireIntact(out RecentIndex? recent)
    {
        while (true)
        {
            EnsureLoaded();
            RunSet runs;
            lock (_gate)
            {
                recent = _recent?.Where(static _ => true);
                runs = Acquire();
            }
            try
            {
                for (int i = 0; i < runs.Runs.Length; i++)
                {
                    using var cursor = new IndexCursor(runs.Runs[i]);
                    while (cursor.Next())
                    {
                    }
                    if (i > 0) runs.Runs[i].LoadFilter(); // of the oldest nobody asks whether it has a newer entry
                }
                return runs;
            }
            catch (IndexDamagedException e)
            {
                Release(runs);
                Repair(e);
            }
            catch
            {
                Release(runs);
                throw;
            }
        }
    }

    /// <summary>Goes on to an entry that no newer one replaces.</summary>
    private bool NextNewest(IndexCursor cursor, RunSet runs, int at, RecentIndex? recent)
    {
        try
        {
            while (cursor.Next())
            {
                BlockKey key = cursor.Current.Key;
                if (cursor.Current.IsDeleted || recent is not null && recent.TryGet(key, out _)) continue;
                bool isNewest = true;
                for (int newer = at + 1; isNewest && newer < runs.Runs.Length; newer++) isNewest = !runs.Runs[newer].TryFind(key, out _, out _);
                if (isNewest) return true;
            }
            return false;
        }
        catch (IndexDamagedException e)
        {
            Repair(e);
            throw new DiskException("read", _files.FullName(e.Run.Name), e.Message + "; it was made again, list the blocks anew", isFull: false);
        }
    }

    private IFile FileOf(Pack pack)
    {
        IFile? file = Volatile.Read(ref pack.File);
        if (file is not null) return file;
        lock (pack) file = pack.File ??= _files.Open(pack.Name);
        CloseSome(pack);
        return file;
    }

    /// <summary>Keeps large stores from holding hundreds of files open: closes those that nobody reads now and that are all durable.</summary>
    private void CloseSome(Pack opened)
    {
        lock (_gate)
        {
            if (_packs.Count <= MaxOpenPacks || _packs.Values.Count(static p => p.File is not null) <= MaxOpenPacks) return;
            foreach (Pack pack in _packs.Values)
            {
                if (pack != opened && pack != _active && pack is { Readers: 0, Tail: null } && pack.Synced == pack.Written) pack.Close();
            }
        }
    }

    private void Release(Pack pack)
    {
        lock (_gate)
        {
            if (--pack.Readers > 0 || !pack.IsGone) return;
        }
        pack.Close(); // a deleted file's space is freed here, which takes its time; nobody finds the pack any more
    }

    /// <summary>(Under _gate.)</summary>
    private RunSet Acquire()
    {
        _runs.Readers++;
        return _runs;
    }

    private void Release(RunSet runs)
    {
        List<IndexRun>? obsolete = null;
        lock (_gate)
        {
            if (--runs.Readers > 0 || !runs.IsReplaced) return;
            LeaveSet(runs, ref obsolete);
        }
        DeleteIndexes(obsolete);
    }

    /// <summary>No one reads a replaced set any more. (Under _gate.)</summary>
    private static void LeaveSet(RunSet runs, ref List<IndexRun>? obsolete)
    {
        foreach (IndexRun run in runs.Runs)
        {
            if (--run.Sets > 0) continue;
            run.Idle();
            if (run is { IsObsolete: true, IsInMemory: false }) (obsolete ??= []).Add(run);
        }
    }

    private void DeleteIndexes(List<IndexRun>? runs)
    {
        if (runs is null) return;
        try
        {
            foreach (IndexRun run in runs) _files.Delete(run.Name);
        }
        catch (DiskException e)
        {
            BackgroundError = e.Message; // the next start sees that another file covers what it does
        }
    }

    // ---- Appending ---------------------------------------------------------------------------------------------------------------------

    /// <summary>Appends a record, which replaces what <paramref name="old"/> says about the key. (Under _writeGate.)</summary>
    private void Append(RecordKind kind, in Cid cid, in BlockKey key, ReadOnlySpan<byte> data, uint oldPack, in IndexEntry old)
    {
        int length = PackFormat.RecordHeaderBytes + cid.Length + data.Length;
        if (_active is null || _rollNext || _active.Length > PackFormat.HeaderBytes && _active.Length + length > _options.MaxPackBytes) BeginPack();
        Pack pack = _active!;
        EnsureRoom(pack, length);
        PackFormat.WriteRecord(pack.Tail.AsSpan(pack.TailLength), kind, pack.Salt!.Value, cid, data);
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var entry = IndexEntry.Of(key, cid, pack.Number, pack.Length, data.Length, kind);
            pack.TailLength += length;
            pack.Length += length;
            if (kind == RecordKind.Block) pack.Blocks++;
            else pack.DeadBytes += length;
            if (oldPack != 0 && _packs.TryGetValue(oldPack, out Pack? before))
            {
                before.Blocks--;
                before.DeadBytes += old.RecordBytes;
            }
            // What is known of it in memory was noted when that was new there.
            (_recent ??= new RecentIndex()).Set(entry, oldPack);
        }
    }

    /// <summary>(Under _gate.)</summary>
    private void NotePut(in Cid cid)
    {
        _protected.Note(cid);
        _collection?.Grey(cid);
    }

    /// <summary>Makes room behind what is not written yet: writes it, where it would become too much. (Under _writeGate.)</summary>
    private void EnsureRoom(Pack pack, int length)
    {
        if (pack.TailLength + length > _options.BufferBytes) WriteTail(pack);
        if (pack.Tail is { } tail && pack.TailLength + length <= tail.Length) return;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(Math.Max(_options.BufferBytes, pack.TailLength + length));
        lock (_gate)
        {
            if (pack.Tail is { } before)
            {
                before.AsSpan(0, pack.TailLength).CopyTo(buffer);
                ArrayPool<byte>.Shared.Return(before);
            }
            pack.Tail = buffer;
        }
    }

    /// <summary>Goes on in a new pack. (Under _writeGate.)</summary>
    private void BeginPack()
    {
        if (_active is { } full) WriteTail(full);
        uint number = _nextPack++;
        string name = PackFormat.Name(number);
        IFile file = _files.Create(name);
        _directoryDirty = true;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(Math.Max(_options.BufferBytes, PackFormat.HeaderBytes));
        uint salt = _options.Salt();
        PackFormat.WriteHeader(buffer, number, Volatile.Read(ref _durable), salt);
        var pack = new Pack(number, name)
        {
            Salt = salt,
            File = file,
            Tail = buffer,
            TailLength = PackFormat.HeaderBytes,
            Length = PackFormat.HeaderBytes,
        };
        lock (_gate)
        {
            if (_active is { } before) FreeTail(before);
            _packs.Add(number, pack);
        }
        _active = pack;
        _rollNext = false;
    }

    /// <summary>Writes what was gathered. (Under _writeGate.)</summary>
    private void WriteTail(Pack pack)
    {
        if (pack.TailLength == 0) return;
        try
        {
            IFile file = FileOf(pack);
            file.WriteAll(pack.Written, pack.Tail.AsSpan(0, pack.TailLength));
            // What lies on the disk already when Flush comes, that need not wait for.
            if (pack.Written / WritebackBytes != (pack.Written + pack.TailLength) / WritebackBytes) file.BeginWriteback();
        }
        catch (DiskException e)
        {
            // A full disk may have room later, for the same bytes at the same place; what else is wrong with the file nobody knows.
            if (!e.IsFull) Doubt(pack);
            throw;
        }
        lock (_gate)
        {
            pack.Written += pack.TailLength;
            pack.TailLength = 0;
        }
    }

    /// <summary>Nothing is appended to a pack any more, and what is not known to be durable will be appended elsewhere. (Under _writeGate.)</summary>
    private void Doubt(Pack pack)
    {
        lock (_gate)
        {
            pack.DoubtFrom = Math.Min(pack.DoubtFrom, pack.Synced);
            pack.HasGarbage = true;
        }
        if (_active == pack) _active = null;
    }

    /// <summary>
    /// Deletes a pack's file, and then forgets the pack: if that fails, it stays, and is the next collection's. Large files take their time, so no
    /// gate is held. (The collection's thread; the pack is leaving.)
    /// </summary>
    private void Drop(Pack pack)
    {
        lock (_gate) pack.Readers++;
        try
        {
            try
            {
                FileOf(pack); // whoever found it before, or finds it meanwhile, reads on, by the open file
            }
            catch (DiskException)
            {
                // Nobody reads it anyway.
            }
            _files.Delete(pack.Name);
            lock (_writeGate)
            {
                _directoryDirty = true; // should the caller's sync fail, the next flush does it
                lock (_indexGate)
                {
                    lock (_gate)
                    {
                        _packs.Remove(pack.Number);
                        _drops++;
                        pack.IsGone = true;
                    }
                }
            }
        }
        finally
        {
            Release(pack);
        }
    }

    /// <summary>(Under _gate.)</summary>
    private static void FreeTail(Pack pack)
    {
        if (pack.Tail is null || pack.TailLength > 0) return;
        ArrayPool<byte>.Shared.Return(pack.Tail);
        pack.Tail = null;
    }

    /// <summary>The position that the next record would have, or one that none before it has. (Under _writeGate.)</summary>
    private ulong End => _active is { } active ? PackFormat.Position(active.Number, active.Length)
        : _packs.Count == 0 && _runs.Runs.Length == 0 ? 0
        : PackFormat.Position(_nextPack, 0);

    // ---- What there is -----------------------------------------------------------------------------------------------------------------

    /// <summary>A pack file. Its fields are guarded by _gate.</summary>
    private sealed class Pack(uint number, string name)
    {
        public readonly uint Number = number;
        public readonly string Name = name;
        public IFile? File;

        /// <summary>Null when the file's header is damaged; then nothing is appended to it.</summary>
        public uint? Salt;

        /// <summary>Bytes with those that are still in <see cref="Tail"/>; in the file; durable.</summary>
        public long Length, Written, Synced;

        /// <summary>What is not written yet, from <see cref="Written"/> on.</summary>
        public byte[]? Tail;
        public int TailLength;

        /// <summary>Records from here on are to be appended elsewhere.</summary>
        public long DoubtFrom = long.MaxValue;

        /// <summary>Whether the file may hold bytes that are no part of it: of writes that failed.</summary>
        public bool HasGarbage;

        /// <summary>Blocks whose newest record lies here.</summary>
        public int Blocks;

        /// <summary>Bytes that are known to be of no use.</summary>
        public long DeadBytes;

        public int Readers;
        public bool IsCondemned, IsGone;

        /// <summary>Whether its file is being deleted. Where that fails nobody knows what came of it: nothing counts on the pack any more.</summary>
        public bool IsLeaving;

        public bool IsInDoubt(long offset) => offset >= DoubtFrom;

        public void Close()
        {
            Interlocked.Exchange(ref File, null)?.Dispose();
            if (Tail is not null) ArrayPool<byte>.Shared.Return(Tail);
            Tail = null;
        }
    }

    /// <summary>The index files at one time, oldest first. Replaced as a whole; its files stay open while someone reads it. (Under _gate.)</summary>
    private sealed class RunSet(IndexRun[] runs)
    {
        public static RunSet Empty => new([]);

        public readonly IndexRun[] Runs = runs;
        public int Readers;
        public bool IsReplaced;

        public ulong To => Runs.Length > 0 ? Runs[^1].To : 0;
    }
}
