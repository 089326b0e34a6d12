using System.Buffers;
using System.Diagnostics;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

// Collecting garbage from packs.
//
//  Start   Records go to a new pack from here on; all earlier ones are flushed and in index files. That set of index files stays what it is.
//  Mark    Walks from the roots. What was reached is two bits at the block's place in the index files: exact, and 100 million blocks take 33 MB.
//          Blocks newer than the start, which are kept anyway, are remembered by key, so that they are walked once.
//  Weigh   Adds up what is alive in each pack, and condemns those that hold too little.
//  Sweep   Goes through the condemned packs, appends anew what is alive, flushes, and only then deletes them.
//  Tidy    Drops what the index files say about packs that are gone, where that is much; after a purge always. Merges small ones.
//
// From the end of Mark a put of a block that is there marks it; in a condemned pack it counts as not there.
public sealed partial class FileBlockstore
{
    private sealed class FileCollection : BlockCollection
    {
        /// <summary>So much is copied before it is flushed and what it came from deleted.</summary>
        private const long FlushBytes = 32 << 20;

        /// <summary>So many small packs may lie about before they are made one.</summary>
        private const int MaxSmallPacks = 8;

        private enum Phase
        {
            Start,
            Mark,
            Weigh,
            Sweep,
            Tidy,
            Ended,
        }

        private readonly FileBlockstore _store;
        private readonly CollectionOptions _options;
        private Phase _phase; // changed under _writeGate and _gate
        private uint _firstNewPack;

        // Mark.
        private RunSet? _frozen;
        private ulong[][] _bits = [];
        private readonly HashSet<BlockKey> _newSeen = [], _newWalked = [];
        private readonly List<Cid> _grey = []; // under _gate
        private readonly Stack<Cid> _stack = new();
        private readonly List<Cid> _links = [];
        private ArrayBufferWriter<byte> _buffer = new();
        private IEnumerator<Cid>? _roots;
        private bool _rootIsNew;

        // Weigh.
        private readonly Dictionary<uint, (long Bytes, int Blocks)> _live = [];
        private readonly HashSet<uint> _deletions = []; // packs that say so of some block
        private readonly List<BlockKey> _late = [];
        private IndexCursor? _cursor;
        private int _weighed;

        // Sweep.
        private readonly Queue<Pack> _condemned = new();
        private readonly List<Pack> _done = [];
        private PackScanner? _scanner;
        private Pack? _sweeping;
        private long _unflushed;
        private int _seen;

        private RunMerge? _merge;
        private readonly List<BlockDamage> _damage = [];
        private long _liveBlocks, _liveBytes, _deadBytes, _freed, _copied, _missing;

        public FileCollection(FileBlockstore store, CollectionOptions options)
        {
            (_store, _options) = (store, options);
            lock (store._writeGate)
            {
                store.EnsureLoaded();
                lock (store._gate)
                {
                    ObjectDisposedException.ThrowIf(store._disposed, store);
                    if (store._collection is not null) throw new InvalidOperationException("A collection of this store runs already.");
                    store._collection = this;
                    foreach (Cid cid in store._protected.Cids) _grey.Add(cid);
                }
            }
        }

        public override CollectionReport Report => new()
        {
            LiveBlocks = _liveBlocks,
            LiveBytes = _liveBytes,
            DeadBytes = _deadBytes,
            FreedBytes = _freed,
            CopiedBytes = _copied,
            MissingBlocks = _missing,
            Damage = [.. _damage],
        };

        public override bool Step(TimeSpan budget)
        {
            long start = Stopwatch.GetTimestamp();
            try
            {
                while (_phase != Phase.Ended)
                {
                    ObjectDisposedException.ThrowIf(_store._disposed, _store);
                    switch (_phase)
                    {
                        case Phase.Start:
                            Begin();
                            break;
                        case Phase.Mark:
                            Mark();
                            break;
                        case Phase.Weigh:
                            Weigh(start, budget);
                            break;
                        case Phase.Sweep:
                            Sweep();
                            break;
                        default:
                            Tidy(start, budget);
                            break;
                    }
                    if (_phase != Phase.Ended && Stopwatch.GetElapsedTime(start) >= budget) return false;
                }
                return true;
            }
            catch (IndexDamagedException e)
            {
                Dispose();
                _store.Repair(e);
                throw new DiskException("read", _store._files.FullName(e.Run.Name), e.Message + "; it was made again, begin the collection anew", isFull: false);
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        public override bool Keep(in Cid cid)
        {
            if (cid.IsNone || CidChecks.IsIdentity(cid)) return true;
            BlockKey key = BlockKey.Of(cid);
            lock (_store._writeGate)
            {
                lock (_store._gate)
                {
                    if (_phase <= Phase.Mark)
                    {
                        _grey.Add(cid);
                        return true;
                    }
                }
                if (_phase == Phase.Ended || _frozen is null) return false;
                bool isLeaf = cid.Codec == Multicodec.Raw;
                try
                {
                    if (TryFindFrozen(key, out int run, out long slot, out _)) return (Bits(run, slot) & (isLeaf ? 1u : 2u)) != 0;
                }
                catch (IndexDamagedException e)
                {
                    _store.Repair(e);
                    return false;
                }
                return (isLeaf ? _newSeen : _newWalked).Contains(key);
            }
        }

        protected override void Dispose(bool disposing)
        {
            lock (_store._writeGate)
            {
                lock (_store._gate)
                {
                    _phase = Phase.Ended;
                    if (_store._collection == this)
                    {
                        _store._collection = null;
                        // Nothing came since the start: the last pack goes on.
                        if (_store._active is not null) _store._rollNext = false;
                    }
                    foreach (Pack pack in _condemned) pack.IsCondemned = false;
                    foreach (Pack pack in _done) pack.IsCondemned = false;
                    if (_sweeping is not null)
                    {
                        _sweeping.IsCondemned = false;
                        if (--_sweeping.Readers == 0 && _sweeping.IsGone) _sweeping.Close();
                    }
                    _grey.Clear();
                }
                _condemned.Clear();
                _done.Clear();
                _sweeping = null;
                _scanner?.Dispose();
                _scanner = null;
            }
            lock (_store._indexGate)
            {
                if (_merge is not null && _merge == _store._merge) _store.CancelMerge();
                _merge = null;
            }
            _cursor?.Dispose();
            _cursor = null;
            _roots?.Dispose();
            _roots = null;
            Thaw(Phase.Ended);
        }

        /// <summary>Lets go of what is needed to mark and sweep.</summary>
        private void Thaw(Phase next)
        {
            RunSet? frozen;
            lock (_store._writeGate)
            {
                lock (_store._gate)
                {
                    if (_phase != Phase.Ended) _phase = next;
                }
                frozen = _frozen;
                _frozen = null;
                _bits = [];
            }
            if (frozen is not null) _store.Release(frozen);
        }

        // ---- What puts tell --------------------------------------------------------------------------------------------------------

        /// <summary>A block is put. (Under _gate.)</summary>
        public void Grey(in Cid cid)
        {
            if (_phase <= Phase.Mark) _grey.Add(cid);
        }

        /// <summary>A block is put that is there, in a pack that is not condemned; false if it has to be written anew all the same. (Under _writeGate.)</summary>
        public bool MarkPut(in BlockKey key)
        {
            if (_phase == Phase.Weigh) _late.Add(key); // its bits are being read
            if (_phase != Phase.Sweep) return true;
            try
            {
                MarkLate(key);
                return true;
            }
            catch (IndexDamagedException e)
            {
                _store.Repair(e);
                return false;
            }
        }

        // ---- Start -----------------------------------------------------------------------------------------------------------------

        private void Begin()
        {
            // A flush that has to append anew what was in doubt would carry garbage past the mark that is set here: then once more.
            long rescued;
            do
            {
                _store.Flush();
                lock (_store._writeGate)
                {
                    _store._rollNext = _store._active is not null;
                    _firstNewPack = _store._nextPack;
                    rescued = _store._rescued;
                }
                _store.Flush();
            }
            while (rescued != _store._rescued);
            lock (_store._indexGate)
            {
                _store.CancelMerge();
                if (!_store.Spill()) throw new DiskException("write", _store._files.FullName(IndexRun.Suffix), _store.BackgroundError ?? "the store is closed", isFull: false);
                lock (_store._gate) _frozen = _store.Acquire();
            }
            _bits = new ulong[_frozen.Runs.Length][];
            for (int i = 0; i < _bits.Length; i++) _bits[i] = new ulong[(_frozen.Runs[i].Slots + 31) / 32];
            lock (_store._gate)
            {
                if (_phase == Phase.Start) _phase = Phase.Mark;
            }
        }

        // ---- Mark ------------------------------------------------------------------------------------------------------------------

        private void Mark()
        {
            if (_stack.TryPop(out Cid cid))
            {
                Visit(cid);
                return;
            }
            lock (_store._gate)
            {
                foreach (Cid grey in _grey) _stack.Push(grey);
                _grey.Clear();
            }
            if (_stack.Count > 0) return;
            if (_roots is null)
            {
                _roots = _options.Roots().GetEnumerator();
                _rootIsNew = false;
            }
            if (_roots.MoveNext())
            {
                _rootIsNew |= Visit(_roots.Current);
                return;
            }
            _roots.Dispose();
            _roots = null;
            if (_rootIsNew) return; // listing took time: once more
            lock (_store._writeGate)
            {
                lock (_store._gate)
                {
                    if (_grey.Count == 0 && _phase == Phase.Mark) _phase = Phase.Weigh;
                }
            }
        }

        /// <summary>Marks a block and puts what it links to on the stack; false if that had been done.</summary>
        private bool Visit(in Cid cid)
        {
            if (cid.IsNone || CidChecks.IsIdentity(cid)) return false;
            BlockKey key = BlockKey.Of(cid);
            bool isLeaf = cid.Codec == Multicodec.Raw;
            bool isHere = TryFindFrozen(key, out int run, out long slot, out _);
            if (isHere)
            {
                uint bits = Bits(run, slot);
                uint wanted = isLeaf ? 1u : 3u;
                if ((bits & wanted) == wanted) return false;
                SetBits(run, slot, wanted);
            }
            else if (!(isLeaf ? _newSeen : _newWalked).Add(key)) return false;

            if (isLeaf)
            {
                if (!isHere && !_store.Has(cid) && _options.Elsewhere?.Has(cid) != true) _missing++;
                return true;
            }
            _newSeen.Add(key);
            _buffer.ResetWrittenCount();
            if (!_store.TryGet(cid, _buffer) && _options.Elsewhere?.TryGet(cid, _buffer) != true)
            {
                _missing++;
                return true;
            }
            _links.Clear();
            _options.Links(cid, _buffer.WrittenSpan, _links);
            foreach (Cid link in _links) _stack.Push(link);
            if (_buffer.Capacity > 1 << 20) _buffer = new ArrayBufferWriter<byte>();
            return true;
        }

        /// <summary>Finds the place that counts among the index files as they were at the start.</summary>
        private bool TryFindFrozen(in BlockKey key, out int run, out long slot, out IndexEntry entry)
        {
            for (run = _frozen!.Runs.Length - 1; run >= 0; run--)
            {
                if (!_frozen.Runs[run].TryFind(key, out entry, out slot)) continue;
                bool exists;
                lock (_store._gate) exists = _store._packs.ContainsKey(entry.Pack);
                if (exists) return !entry.IsDeleted;
            }
            slot = 0;
            entry = default;
            return false;
        }

        private uint Bits(int run, long slot) => (uint)(_bits[run][slot / 32] >> (int)(slot % 32 * 2)) & 3;

        private void SetBits(int run, long slot, uint bits) => _bits[run][slot / 32] |= (ulong)bits << (int)(slot % 32 * 2);

        /// <summary>Marks a block after the packs were weighed. (Under _writeGate.)</summary>
        private void MarkLate(in BlockKey key)
        {
            if (!TryFindFrozen(key, out int run, out long slot, out IndexEntry entry) || (Bits(run, slot) & 1) != 0) return;
            SetBits(run, slot, 1);
            AddLive(entry);
        }

        // ---- Weigh -----------------------------------------------------------------------------------------------------------------

        private void Weigh(long start, TimeSpan budget)
        {
            while (_weighed < _frozen!.Runs.Length)
            {
                _cursor ??= new IndexCursor(_frozen.Runs[_weighed]);
                for (int n = 1; _cursor.Next(); n++)
                {
                    if ((Bits(_weighed, _cursor.Slot) & 1) != 0) AddLive(_cursor.Current);
                    if (_cursor.Current.IsDeleted) _deletions.Add(_cursor.Current.Pack);
                    if (n % 256 == 0 && Stopwatch.GetElapsedTime(start) >= budget) return;
                }
                _cursor.Dispose();
                _cursor = null;
                _weighed++;
            }
            lock (_store._writeGate)
            {
                foreach (BlockKey key in _late) MarkLate(key);
                _late.Clear();
                lock (_store._gate)
                {
                    Condemn();
                    if (_phase == Phase.Weigh) _phase = Phase.Sweep;
                }
            }
        }

        private void AddLive(in IndexEntry entry)
        {
            (long bytes, int blocks) = _live.GetValueOrDefault(entry.Pack);
            _live[entry.Pack] = (bytes + entry.RecordBytes, blocks + 1);
            _liveBlocks++;
            _liveBytes += entry.RecordBytes;
        }

        /// <summary>
        /// Chooses what to write anew: fully dead packs first, then by what is alive, so that a full disk gets room; last those that say what was
        /// deleted, so that what they speak of may be gone by then. (Under both gates.)
        /// </summary>
        private void Condemn()
        {
            List<(Pack Pack, long Live)> chosen = [], small = [];
            foreach (Pack pack in _store._packs.Values)
            {
                if (pack.Number >= _firstNewPack) continue;
                long live = _live.GetValueOrDefault(pack.Number).Bytes;
                long dead = Math.Max(0, pack.Length - PackFormat.HeaderBytes - live);
                _deadBytes += dead;
                pack.DeadBytes = dead;
                bool isWanted = live == 0 || pack.IsLeaving || (_options.Purge ? dead > 0 || pack.HasGarbage : dead > pack.Length * _options.MaxDeadShare);
                if (isWanted) chosen.Add((pack, live));
                else if (pack.Length < _store._options.MaxPackBytes / 4) small.Add((pack, live));
            }
            if (small.Count >= MaxSmallPacks) chosen.AddRange(small);
            foreach ((Pack pack, _) in chosen.OrderBy(c => _deletions.Contains(c.Pack.Number)).ThenBy(static c => c.Live).ThenBy(static c => c.Pack.Number))
            {
                pack.IsCondemned = true;
                _condemned.Enqueue(pack);
            }
        }

        // ---- Sweep -----------------------------------------------------------------------------------------------------------------

        private void Sweep()
        {
            if (_sweeping is null)
            {
                bool isDead;
                lock (_store._writeGate)
                {
                    isDead = _condemned.TryDequeue(out _sweeping) && !_live.ContainsKey(_sweeping.Number); // which puts change
                }
                if (_sweeping is null)
                {
                    DropDone();
                    Thaw(Phase.Tidy);
                    return;
                }
                lock (_store._gate) _sweeping.Readers++;
                _seen = 0;
                // Before anything is copied, what is wholly dead gives room; if it cannot be deleted, nothing is copied.
                if (_deletions.Contains(_sweeping.Number) || _unflushed == 0 && !isDead) DropDone();
                if (isDead && !_deletions.Contains(_sweeping.Number))
                {
                    EndPack();
                    return;
                }
                if (_sweeping.Salt is null) _store.ReadHeader(_sweeping);
                _scanner = _store.Scan(_sweeping, PackFormat.HeaderBytes, _sweeping.Length, verify: false, isTail: false);
            }

            const int recordsAtOnce = 16;
            for (int i = 0; i < recordsAtOnce; i++)
            {
                if (!_scanner!.Next())
                {
                    EndPack();
                    return;
                }
                CopyIfAlive(_sweeping, _scanner.Kind, _scanner.Cid, _scanner.Offset, _scanner.Data);
            }
        }

        private void CopyIfAlive(Pack pack, RecordKind kind, in Cid cid, long offset, ReadOnlySpan<byte> data)
        {
            BlockKey key = BlockKey.Of(cid);
            ulong position = PackFormat.Position(pack.Number, offset);
            if (kind == RecordKind.Deleted)
            {
                CopyIfNeeded(pack, cid, key, position);
                return;
            }
            // What nobody marked is left without further ado; a put may still mark it, but will then write it anew: the pack is condemned.
            if (!TryFindFrozen(key, out int run, out long slot, out IndexEntry entry) || entry.Position != position || (Bits(run, slot) & 1) == 0) return;
            if (!cid.Verify(data)) return; // EndPack sees that it is missing
            _seen++;
            lock (_store._writeGate)
            {
                if (!_store.Find(key, out IndexEntry current, out Pack? holder)) return; // deleted since
                _store.Release(holder!);
                if (current.Position != position) return; // put anew since
                _store.Append(RecordKind.Block, cid, key, data, pack.Number, current);
            }
            _copied += entry.RecordBytes;
            _unflushed += entry.RecordBytes;
        }

        /// <summary>That a block was deleted must go on being said while an older pack may hold the block.</summary>
        private void CopyIfNeeded(Pack pack, in Cid cid, in BlockKey key, ulong position)
        {
            lock (_store._writeGate)
            {
                bool isOldest = true;
                foreach (Pack other in _store._packs.Values) isOldest &= other.Number >= pack.Number;
                if (isOldest || _store.Find(key, out IndexEntry current, out Pack? holder) && Released(holder!)) return;
                if (current.Position != position) return;
                _store.Append(RecordKind.Deleted, cid, key, [], 0, current);
            }
        }

        private bool Released(Pack pack)
        {
            _store.Release(pack);
            return true;
        }

        private void EndPack()
        {
            Pack pack = _sweeping!;
            bool isMissing = _scanner is { Damage.Count: > 0 } && _deletions.Contains(pack.Number);
            _scanner?.Dispose();
            _scanner = null;
            lock (_store._writeGate) isMissing |= _seen < _live.GetValueOrDefault(pack.Number).Blocks;
            bool isWhole = !isMissing || CopyByIndex(pack);
            lock (_store._writeGate)
            {
                _sweeping = null;
                // What cannot be read is lost already. A purge keeps its promise all the same; otherwise the file stays, for whoever may know a way.
                if (isWhole || _options.Purge) _done.Add(pack);
                else lock (_store._gate) pack.IsCondemned = false;
            }
            _store.Release(pack);
            if (_unflushed >= FlushBytes) DropDone();
        }

        /// <summary>
        /// Behind damage a scan misses records that the index knows: copies those whose data is intact, and what was deleted; false if some are not.
        /// </summary>
        private bool CopyByIndex(Pack pack)
        {
            bool isWhole = true;
            byte[] buffer = [];
            Span<byte> name = stackalloc byte[byte.MaxValue];
            for (int run = 0; run < _frozen!.Runs.Length; run++)
            {
                using var cursor = new IndexCursor(_frozen.Runs[run]);
                while (cursor.Next())
                {
                    IndexEntry entry = cursor.Current;
                    if (entry.Pack != pack.Number) continue;
                    if (entry.IsDeleted)
                    {
                        if (TryName(pack, entry, name, out Cid deleted)) CopyIfNeeded(pack, deleted, entry.Key, entry.Position);
                        else isWhole = false;
                        continue;
                    }
                    if ((Bits(run, cursor.Slot) & 1) == 0) continue;
                    lock (_store._writeGate)
                    {
                        if (!_store.Find(entry.Key, out IndexEntry current, out Pack? holder)) continue;
                        _store.Release(holder!);
                        if (current.Position != entry.Position) continue;
                        if (buffer.Length < entry.Length) buffer = new byte[Math.Max(entry.Length, 64 << 10)];
                        Span<byte> data = buffer.AsSpan(0, entry.Length);
                        bool isIntact = TryName(pack, entry, name, out Cid cid) && _store.Read(pack, entry.DataOffset, data) == data.Length && cid.Verify(data);
                        if (isIntact)
                        {
                            _store.Append(RecordKind.Block, cid, entry.Key, data, pack.Number, current);
                            _copied += entry.RecordBytes;
                            _unflushed += entry.RecordBytes;
                            continue;
                        }
                        isWhole = false;
                        _damage.Add(new BlockDamage(_store._files.FullName(pack.Name), entry.DataOffset, entry.Length, $"block {(cid.IsNone ? "of unknown name" : cid)} is reachable and damaged", false));
                    }
                }
            }
            return isWhole;
        }

        /// <summary>The CID of an entry, which its key or its record tells.</summary>
        private bool TryName(Pack pack, in IndexEntry entry, Span<byte> buffer, out Cid cid)
        {
            if (entry.TryGetCid(out cid)) return true;
            Span<byte> bytes = buffer[..entry.CidLength];
            if (_store.Read(pack, (long)entry.Offset + PackFormat.RecordHeaderBytes, bytes) == bytes.Length
                && Cid.TryRead(bytes, out cid) && !CidChecks.IsIdentity(cid) && BlockKey.Of(cid).Equals(entry.Key))
            {
                return true;
            }
            cid = default;
            return false;
        }

        /// <summary>Makes the copies durable, then deletes what they were copied from.</summary>
        private void DropDone()
        {
            if (_done.Count == 0) return;
            _store.Flush();
            _unflushed = 0;
            Pack[] done;
            lock (_store._writeGate)
            {
                lock (_store._gate)
                {
                    done = [.. _done];
                    _done.Clear();
                    foreach (Pack pack in done)
                    {
                        pack.IsLeaving = true;
                        if (_store._active != pack) continue;
                        _store._active = null;
                        _store._rollNext = false;
                        FreeTail(pack);
                    }
                }
            }
            foreach (Pack pack in done)
            {
                _store.Drop(pack);
                _freed += pack.Length;
            }
            _store._files.SyncDirectory();
        }

        // ---- Tidy ------------------------------------------------------------------------------------------------------------------

        private void Tidy(long start, TimeSpan budget)
        {
            if (TidyIndexes(start, budget)) Dispose();
        }

        private bool TidyIndexes(long start, TimeSpan budget)
        {
            lock (_store._indexGate)
            {
                if (_merge is null)
                {
                    long gone = 0, all = 0;
                    lock (_store._gate)
                    {
                        foreach (IndexRun run in _store._runs.Runs)
                        {
                            all += run.Entries;
                            foreach ((uint pack, int blocks) in run.Packs) gone += _store._packs.ContainsKey(pack) ? 0 : Math.Abs(blocks);
                        }
                    }
                    bool isWorth = gone > 0 && (_options.Purge || gone > all * 0.25);
                    if (isWorth) _store._merge = _store.NewMerge(0, _store._runs.Runs.Length);
                    else if (!_store.BeginMerge(MaxInlineMerge)) return true;
                    _merge = _store._merge;
                }
                if (_store._merge != _merge)
                {
                    _merge = null; // a repair came between
                    return false;
                }
                _store.StepMerge(start, budget);
                if (_store._merge is null) _merge = null;
                return false;
            }
        }
    }
}
