using System.Buffers;
using System.Diagnostics;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

// Making durable, and keeping the index files few.
public sealed partial class FileBlockstore
{
    private const int MergeFanout = 4, MaxInlineMerge = 1 << 15, MaxRuns = 24;

    private RunMerge? _merge; // under _indexGate
    private long _rescued; // records that were appended anew because they were in doubt; under _writeGate

    /// <inheritdoc/>
    public void Flush()
    {
        lock (_syncGate)
        {
            EnsureLoaded();
            List<(Pack Pack, long Length)> dirty = [];
            List<Pack> rescued;
            bool directory;
            ulong end;
            int lost;
            lock (_writeGate)
            {
                lost = Rescue(out rescued);
                if (_active is not null) WriteTail(_active);
                lock (_gate)
                {
                    foreach (Pack pack in _packs.Values)
                    {
                        if (pack.Synced >= pack.Written || pack.DoubtFrom != long.MaxValue) continue;
                        pack.Readers++;
                        dirty.Add((pack, pack.Written));
                    }
                }
                directory = _directoryDirty;
                _directoryDirty = false;
                end = End;
            }
            try
            {
                if (directory) _files.SyncDirectory();
                foreach ((Pack pack, _) in dirty) FileOf(pack).Sync();
            }
            catch (DiskException)
            {
                lock (_writeGate)
                {
                    _directoryDirty |= directory;
                    foreach ((Pack pack, _) in dirty) Doubt(pack);
                }
                throw;
            }
            finally
            {
                foreach ((Pack pack, _) in dirty) Release(pack);
            }
            lock (_gate)
            {
                // Had a write failed meanwhile, what it concerns begins where this sync ended.
                foreach ((Pack pack, long length) in dirty)
                {
                    pack.Synced = length;
                    if (pack.DoubtFrom < length) pack.DoubtFrom = length;
                    if (pack != _active) FreeTail(pack);
                }
                foreach (Pack pack in rescued) Settle(pack);
                if (end > _durable) Volatile.Write(ref _durable, end);
            }
            TidyIndexes();
            lock (_writeGate)
            {
                lock (_gate)
                {
                    if (_active is not null) FreeTail(_active);
                }
            }
            if (lost > 0)
            {
                throw new DiskException("read back", _files.FullName(""), $"{lost} blocks put since the last flush, which a failed write or sync had left in doubt, "
                    + "are lost: put them again", isFull: false);
            }
        }
    }

    /// <summary>
    /// Appends what is in doubt to another pack, and forgets what cannot be read back: returns how many blocks. (Under _syncGate and _writeGate.)
    /// </summary>
    private int Rescue(out List<Pack> packs)
    {
        IndexEntry[] entries;
        lock (_gate)
        {
            packs = [.. _packs.Values.Where(static p => p.DoubtFrom != long.MaxValue)];
            if (packs.Count == 0) return 0;
            entries = _recent is null ? [] : [.. _recent.Entries.ToArray().Where(IsInDoubt)];
        }
        _rescued += entries.Length;
        Array.Sort(entries, static (a, b) => a.Position.CompareTo(b.Position));
        byte[] buffer = [];
        var lost = new HashSet<BlockKey>();
        foreach (IndexEntry entry in entries)
        {
            if (buffer.Length < entry.RecordBytes) buffer = new byte[Math.Max(entry.RecordBytes, 64 << 10)];
            Span<byte> record = buffer.AsSpan(0, entry.RecordBytes);
            ReadOnlySpan<byte> data = record[(PackFormat.RecordHeaderBytes + entry.CidLength)..];
            Pack pack = _packs[entry.Pack];
            Cid cid = default;
            bool intact = Read(pack, entry.Offset, record) == record.Length
                && Cid.TryRead(record.Slice(PackFormat.RecordHeaderBytes, entry.CidLength), out cid) && BlockKey.Of(cid).Equals(entry.Key)
                && (entry.IsDeleted || cid.Verify(data));
            if (intact)
            {
                Append(entry.IsDeleted ? RecordKind.Deleted : RecordKind.Block, cid, entry.Key, data, entry.IsDeleted ? 0 : entry.Pack, entry);
            }
            else lost.Add(entry.Key);
        }
        if (lost.Count == 0) return 0;
        lock (_gate)
        {
            // Where an index knows an older record, that one counts again.
            int blocks = 0;
            RecentIndex recent = _recent!;
            for (int i = 0; i < recent.Count; i++)
            {
                IndexEntry entry = recent.Entries[i];
                if (!lost.Contains(entry.Key)) continue;
                if (!entry.IsDeleted)
                {
                    _packs[entry.Pack].Blocks--;
                    blocks++;
                }
                if (recent.Superseded(i) is var before and not 0 && _packs.TryGetValue(before, out Pack? pack)) pack.Blocks++;
            }
            _recent = recent.Where(e => !lost.Contains(e.Key));
            return blocks;
        }
    }

    /// <summary>(Under _gate.)</summary>
    private bool IsInDoubt(IndexEntry entry) => _packs[entry.Pack].IsInDoubt(entry.Offset);

    /// <summary>What was in doubt in a pack is durable elsewhere: the rest of it is garbage. (Under _gate.)</summary>
    private static void Settle(Pack pack)
    {
        pack.DoubtFrom = long.MaxValue;
        pack.Synced = pack.Written;
        pack.Length = pack.Written;
        pack.TailLength = 0;
        FreeTail(pack);
    }

    /// <summary>
    /// Gives memory and file handles back: an idle store costs next to nothing afterwards, and its next use a few reads. Does nothing where something
    /// is not flushed, or while a collection runs.
    /// </summary>
    public void Trim()
    {
        lock (_syncGate)
        {
            if (!Volatile.Read(ref _loaded) || _disposed) return;
            lock (_indexGate)
            {
                if (_recent is not null || _runs.To < _durable) Spill();
            }
            lock (_writeGate)
            {
                lock (_indexGate)
                {
                    lock (_gate)
                    {
                        bool isClean = !_disposed && _collection is null && _recent is null && !_rollNext && _durable == End && _runs.To == _durable
                            && !_runs.Runs.Any(static r => r.IsInMemory) && _packs.Values.All(static p => p.DoubtFrom == long.MaxValue);
                        if (!isClean) return;
                        CancelMerge();
                        _active = null;
                        Unload();
                    }
                }
            }
        }
    }

    /// <summary>
    /// Works for about the given time on what makes look-ups faster: merges index files. True when nothing is left to do. To be called now and then
    /// where many blocks are put; without it, Flush does what must be done.
    /// </summary>
    public bool Maintain(TimeSpan budget)
    {
        EnsureLoaded();
        long start = Stopwatch.GetTimestamp();
        try
        {
            do
            {
                lock (_indexGate)
                {
                    if (_disposed || _collection is not null || _merge is null && !BeginMerge(long.MaxValue)) return true;
                    StepMerge(start, budget);
                }
            }
            while (Stopwatch.GetElapsedTime(start) < budget);
            return false;
        }
        catch (IndexDamagedException e)
        {
            Repair(e);
            return false;
        }
        catch (DiskException e)
        {
            lock (_indexGate) CancelMerge();
            BackgroundError = e.Message;
            return true;
        }
    }

    /// <summary>After a flush: writes the index of what was put if that has become much, and merges where that is quickly done or overdue.</summary>
    private void TidyIndexes()
    {
        if (_recent is null || _recent.Count < _options.MaxRecentBlocks) return;
        lock (_indexGate)
        {
            if (!Spill()) return;
            if (_collection is not null || _merge is not null && _runs.Runs.Length < MaxRuns) return;
            try
            {
                while (_merge is not null || BeginMerge(_runs.Runs.Length < MaxRuns ? MaxInlineMerge : long.MaxValue)) StepMerge(Stopwatch.GetTimestamp(), TimeSpan.MaxValue);
            }
            catch (DiskException e)
            {
                CancelMerge();
                BackgroundError = e.Message;
            }
            catch (IndexDamagedException e)
            {
                Repair(e);
            }
        }
    }

    /// <summary>Writes an index file for all that is durable and in memory alone; false if that failed. (Under _indexGate.)</summary>
    private bool Spill()
    {
        RecentIndex? taken;
        ulong to;
        lock (_gate)
        {
            to = _durable;
            taken = _recent?.Where(e => e.Position < to);
        }
        if (to <= _runs.To) return true;
        uint number = _nextIndex;
        IndexRun run = WriteRun(taken ?? new RecentIndex(), _runs.To, to);
        if (run.IsInMemory)
        {
            // Nothing is gained by another form of memory.
            try
            {
                _files.Delete(number.ToString("x8", System.Globalization.CultureInfo.InvariantCulture) + IndexRun.Suffix);
            }
            catch (DiskException e)
            {
                BackgroundError = e.Message;
            }
            return false;
        }
        BackgroundError = null;
        List<IndexRun>? obsolete = null;
        lock (_gate)
        {
            if (_disposed) return false;
            for (int i = 0; i < (taken?.Count ?? 0); i++)
            {
                IndexEntry entry = taken!.Entries[i];
                _recent!.SetSuperseded(entry.Key, entry.IsDeleted ? 0 : entry.Pack);
            }
            _recent = _recent?.Where(e => e.Position >= to);
            ReplaceRuns([.. _runs.Runs, run], ref obsolete);
        }
        DeleteIndexes(obsolete);
        return true;
    }

    // ---- Merging -----------------------------------------------------------------------------------------------------------------------

    /// <summary>Begins to merge the newest group of neighbours of like size, if there is one of no more than so many entries. (Under _indexGate.)</summary>
    private bool BeginMerge(long maxEntries)
    {
        IndexRun[] runs = _runs.Runs;
        for (int end = runs.Length; end >= MergeFanout; end--)
        {
            // Four that a next one of their sum could stand beside. A small one among large ones counts as large, or it would stay for ever.
            long total = 0, largest = 0;
            for (int i = end - MergeFanout; i < end; i++)
            {
                total += runs[i].Entries;
                largest = Math.Max(largest, runs[i].Entries);
            }
            bool alike = largest <= MaxInlineMerge / 8 || largest * 2 <= total || runs.Length >= MaxRuns;
            if (!alike || total > maxEntries) continue;
            _merge = NewMerge(end - MergeFanout, MergeFanout);
            return true;
        }
        return false;
    }

    private RunMerge NewMerge(int first, int count) => new(this, _runs.Runs.AsSpan(first, count).ToArray());

    private void StepMerge(long start, TimeSpan budget)
    {
        RunMerge merge = _merge!;
        if (!merge.Step(start, budget)) return;
        List<IndexRun> runs = [.. _runs.Runs];
        int at = runs.IndexOf(merge.Inputs[0]);
        runs.RemoveRange(at, merge.Inputs.Length);
        runs.Insert(at, merge.Result!);
        _files.SyncDirectory(); // the new one is there for good before those that it replaces go
        lock (_gate)
        {
            foreach (IndexRun input in merge.Inputs) input.IsObsolete = true;
        }
        _merge = null;
        merge.Dispose();
        SetRuns(runs);
        BackgroundError = null;
    }

    private void CancelMerge()
    {
        RunMerge? merge = _merge;
        _merge = null;
        merge?.Cancel();
    }

    /// <summary>Makes one index file of several neighbours: of each key the newest entry, unless its pack is gone.</summary>
    private sealed class RunMerge : IDisposable
    {
        private readonly FileBlockstore _store;
        private readonly IndexCursor?[] _cursors;
        private readonly IndexBuilder _builder;
        private readonly uint _number;
        private readonly HashSet<uint> _packs;
        private bool _leavesOut;

        public RunMerge(FileBlockstore store, IndexRun[] inputs)
        {
            (_store, Inputs) = (store, inputs);
            lock (store._gate) _packs = [.. store._packs.Keys];
            _number = store._nextIndex++;
            IFile file = store.CreateIndex(_number);
            _builder = new IndexBuilder(store._files, file, _number, inputs[0].From, inputs[^1].To, inputs.Sum(static r => r.Entries), inMemory: false);
            _cursors = new IndexCursor[inputs.Length];
            try
            {
                for (int i = 0; i < inputs.Length; i++)
                {
                    var cursor = new IndexCursor(inputs[i]);
                    if (cursor.Next()) _cursors[i] = cursor;
                    else cursor.Dispose();
                }
            }
            catch
            {
                Cancel();
                throw;
            }
        }

        public IndexRun[] Inputs { get; }

        public IndexRun? Result { get; private set; }

        public bool Step(long start, TimeSpan budget)
        {
            for (int n = 1; ; n++)
            {
                int newest = -1;
                for (int i = 0; i < _cursors.Length; i++)
                {
                    if (_cursors[i] is { } cursor && (newest < 0 || cursor.Current.Key.CompareTo(_cursors[newest]!.Current.Key) <= 0)) newest = i;
                }
                if (newest < 0) break;
                IndexEntry entry = _cursors[newest]!.Current;
                if (_packs.Contains(entry.Pack)) _builder.Add(entry);
                else
                {
                    _leavesOut = true;
                    AddOlder(entry.Key, newest);
                }
                for (int i = 0; i < _cursors.Length; i++)
                {
                    if (_cursors[i] is not { } cursor || !cursor.Current.Key.Equals(entry.Key) || cursor.Next()) continue;
                    cursor.Dispose();
                    _cursors[i] = null;
                }
                if (n % 256 == 0 && Stopwatch.GetElapsedTime(start) >= budget) return false;
            }
            var packs = new Dictionary<uint, int>();
            foreach (IndexRun input in Inputs)
            {
                foreach ((uint pack, int blocks) in input.Packs)
                {
                    if (_packs.Contains(pack)) packs[pack] = packs.GetValueOrDefault(pack) + blocks;
                }
            }
            if (_leavesOut) _store._files.SyncDirectory(); // packs that it does not speak of must not come back
            Result = _builder.Finish(packs, sync: true);
            return true;
        }

        /// <summary>The newest entry is about a pack that is gone: the one before it counts.</summary>
        private void AddOlder(in BlockKey key, int newest)
        {
            for (int i = newest - 1; i >= 0; i--)
            {
                if (_cursors[i] is not { } cursor || !cursor.Current.Key.Equals(key) || !_packs.Contains(cursor.Current.Pack)) continue;
                _builder.Add(cursor.Current);
                return;
            }
        }

        public void Cancel()
        {
            Dispose();
            try
            {
                _store._files.Delete(_number.ToString("x8", System.Globalization.CultureInfo.InvariantCulture) + IndexRun.Suffix);
            }
            catch (DiskException e)
            {
                _store.BackgroundError = e.Message;
            }
        }

        public void Dispose()
        {
            _builder.Dispose();
            for (int i = 0; i < _cursors.Length; i++)
            {
                _cursors[i]?.Dispose();
                _cursors[i] = null;
            }
        }
    }
}
