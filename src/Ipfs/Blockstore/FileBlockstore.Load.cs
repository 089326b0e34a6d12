using Leither.Ipfs.Files;

namespace Leither.Ipfs.Blockstore;

// Starting: the first use of a store, and of one that was trimmed, finds out what there is. File names and the headers of the index files tell
// almost all; what no index covers is read from the packs. Nothing is written, except that an index which is missing or damaged is made again.
public sealed partial class FileBlockstore
{
    private const int MaxDamage = 1000, MaxRebuiltEntries = 1 << 18;

    private readonly List<BlockDamage> _damage = []; // under _gate
    private uint _nextIndex = 1; // under _indexGate

    private void EnsureLoaded()
    {
        if (Volatile.Read(ref _loaded) && !Volatile.Read(ref _disposed)) return;
        lock (_writeGate)
        {
            lock (_indexGate)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                if (!_loaded) Load();
            }
        }
    }

    /// <summary>(Under _writeGate and _indexGate.)</summary>
    private void Load()
    {
        var packs = new SortedDictionary<uint, Pack>();
        var runs = new List<IndexRun>();
        var useless = new List<string>();
        uint lastIndex = 0;
        foreach ((string name, long length) in _files.List())
        {
            if (PackFormat.TryParseName(name, PackFormat.Suffix, out uint number))
            {
                packs[number] = new Pack(number, name) { Length = length, Written = length, Synced = length };
            }
            else if (PackFormat.TryParseName(name, IndexRun.Suffix, out number))
            {
                lastIndex = Math.Max(lastIndex, number);
                try
                {
                    if (IndexRun.TryOpen(_files, number, length) is { } run) runs.Add(run);
                    else useless.Add(name);
                }
                catch (DiskException) when (!_files.List().Any(f => f.Name == name))
                {
                    // Another took its place, and the last reader of before has let go of it just now.
                }
            }
        }

        try
        {
            lock (_gate)
            {
                _packs = new Dictionary<uint, Pack>(packs);
                _recent = null;
            }
            _nextIndex = lastIndex + 1;
            List<IndexRun> chain = Chain(runs, packs, useless);
            ulong covered = chain.Count > 0 ? chain[^1].To : 0;

            // Each pack's header says up to where all was durable when it was begun: only what lies beyond is in doubt.
            ulong durable = covered;
            foreach (Pack pack in packs.Values)
            {
                if (PackFormat.Position(pack.Number, pack.Length) > covered) durable = Math.Max(durable, ReadHeader(pack));
            }
            if (durable > covered)
            {
                chain.AddRange(Rebuild(packs.Values, covered, durable));
                covered = durable;
            }
            SetRuns(chain);
            foreach (IndexRun run in chain) CountBlocks(run, +1);
            ReadTail([.. packs.Values.Where(p => PackFormat.Position(p.Number, p.Length) > covered)], covered);

            uint lastPack = packs.Count > 0 ? packs.Keys.Max() : 0;
            _nextPack = Math.Max(lastPack, PackFormat.PackOf(covered)) + 1;
            _active = null;
            _rollNext = false;
            // After a clean end the last pack goes on. Whatever else it ends with stays as it is, behind whole records.
            if (packs.TryGetValue(lastPack, out Pack? last) && covered == PackFormat.Position(lastPack, last.Length) && last.Length < _options.MaxPackBytes)
            {
                ReadHeader(last);
                if (last.Salt is not null) _active = last;
            }
            lock (_gate)
            {
                _durable = covered;
                Volatile.Write(ref _loaded, true);
            }
        }
        catch
        {
            lock (_gate) Unload();
            throw;
        }
        try
        {
            foreach (string name in useless) _files.Delete(name);
        }
        catch (DiskException e)
        {
            BackgroundError = e.Message;
        }
    }

    /// <summary>The index files that cover the packs from the first position on, without a gap: what is missing between them is made again.</summary>
    private List<IndexRun> Chain(List<IndexRun> runs, SortedDictionary<uint, Pack> packs, List<string> useless)
    {
        var chain = new List<IndexRun>();
        ulong end = 0;
        foreach (IndexRun run in runs.OrderBy(static r => r.From).ThenByDescending(static r => r.To).ThenByDescending(static r => r.Number))
        {
            if (run.From < end || run.To <= end && chain.Count > 0)
            {
                useless.Add(run.Name); // a larger one took its place
                continue;
            }
            if (run.From > end) chain.AddRange(Rebuild(packs.Values, end, run.From));
            chain.Add(run);
            end = run.To;
        }
        return chain;
    }

    /// <summary>Reads a pack's salt; returns the position that its header calls durable.</summary>
    private ulong ReadHeader(Pack pack)
    {
        Span<byte> header = stackalloc byte[PackFormat.HeaderBytes];
        if (FileOf(pack).Read(0, header) != header.Length || !PackFormat.TryReadHeader(header, out ushort version, out uint number, out ulong durable, out uint salt)
            || number != pack.Number)
        {
            return 0;
        }
        if (version != PackFormat.Version)
        {
            throw new DiskException("open", _files.FullName(pack.Name), $"its format is version {version}, which a newer program wrote", isFull: false);
        }
        lock (_gate) pack.Salt = salt;
        return durable;
    }

    /// <summary>Reads what no index covers. All of it is in doubt.</summary>
    private void ReadTail(Pack[] tail, ulong covered)
    {
        foreach (Pack pack in tail)
        {
            long start = pack.Number == PackFormat.PackOf(covered) ? Math.Max(PackFormat.OffsetOf(covered), PackFormat.HeaderBytes) : PackFormat.HeaderBytes;
            lock (_gate)
            {
                pack.DoubtFrom = start;
                pack.HasGarbage = true;
            }
            if (pack.Length <= start) continue; // made, and never written to
            using Hold hold = Acquire(pack);
            using PackScanner scanner = Scan(pack, start, pack.Length, verify: true, isTail: true);
            while (scanner.Next())
            {
                BlockKey key = BlockKey.Of(scanner.Cid);
                var entry = IndexEntry.Of(key, scanner.Cid, pack.Number, scanner.Offset, scanner.DataLength, scanner.Kind);
                uint superseded = 0;
                lock (_gate)
                {
                    if (_recent is not null && _recent.TryGet(key, out IndexEntry old))
                    {
                        if (!old.IsDeleted) _packs[old.Pack].Blocks--;
                    }
                    else if (FindIndexed(key, out old) && !old.IsDeleted && _packs.TryGetValue(old.Pack, out Pack? before))
                    {
                        superseded = old.Pack;
                        before.Blocks--;
                    }
                    if (!entry.IsDeleted) pack.Blocks++;
                    (_recent ??= new RecentIndex()).Set(entry, superseded);
                }
            }
            NoteDamage(scanner);
        }
    }

    /// <summary>What the index files say, while nobody else uses the store.</summary>
    private bool FindIndexed(in BlockKey key, out IndexEntry entry)
    {
        entry = default;
        while (true)
        {
            try
            {
                for (int i = _runs.Runs.Length - 1; i >= 0; i--)
                {
                    if (_runs.Runs[i].TryFind(key, out entry, out _)) return true;
                }
                return false;
            }
            catch (IndexDamagedException e)
            {
                Repair(e);
            }
        }
    }

    // ---- Making an index again ---------------------------------------------------------------------------------------------------------

    /// <summary>Replaces an index file that turned out to be damaged.</summary>
    private void Repair(IndexDamagedException damaged)
    {
        lock (_indexGate)
        {
            int at = Array.IndexOf(_runs.Runs, damaged.Run);
            if (at < 0) return; // someone else did
            CancelMerge();
            Pack[] packs;
            lock (_gate)
            {
                NoteDamage(new BlockDamage(_files.FullName(damaged.Run.Name), 0, damaged.Run.FileBytes, damaged.Message + "; it is made again", false));
                packs = [.. _packs.Values.OrderBy(static p => p.Number)];
                foreach (Pack pack in packs) pack.Readers++;
            }
            try
            {
                foreach (Pack pack in packs)
                {
                    if (pack.Salt is null && pack.Number >= PackFormat.PackOf(damaged.Run.From) && pack.Number <= PackFormat.PackOf(damaged.Run.To)) ReadHeader(pack);
                }
                List<IndexRun> made = Rebuild(packs, damaged.Run.From, damaged.Run.To);
                List<IndexRun> runs = [.. _runs.Runs];
                runs.RemoveAt(at);
                runs.InsertRange(at, made);
                lock (_gate) damaged.Run.IsObsolete = true;
                SetRuns(runs);
            }
            finally
            {
                foreach (Pack pack in packs) Release(pack);
            }
        }
    }

    /// <summary>Makes the index of a part of the packs, all of it durable, by reading them. (Under _indexGate.)</summary>
    private List<IndexRun> Rebuild(IEnumerable<Pack> packs, ulong from, ulong to)
    {
        var made = new List<IndexRun>();
        var entries = new RecentIndex();
        foreach (Pack pack in packs)
        {
            long start = pack.Number == PackFormat.PackOf(from) ? PackFormat.OffsetOf(from) : 0;
            long end = pack.Number == PackFormat.PackOf(to) ? Math.Min(PackFormat.OffsetOf(to), pack.Written) : pack.Written;
            if (pack.Number < PackFormat.PackOf(from) || pack.Number > PackFormat.PackOf(to)) continue;
            start = Math.Max(start, PackFormat.HeaderBytes);
            if (start >= end) continue;
            using Hold hold = Acquire(pack);
            if (pack.Salt is null) ReadHeader(pack);
            // Verified: what a crash left behind unflushed must not stand before an older record that is whole.
            using PackScanner scanner = Scan(pack, start, end, verify: true, isTail: false);
            while (scanner.Next())
            {
                BlockKey key = BlockKey.Of(scanner.Cid);
                entries.Set(IndexEntry.Of(key, scanner.Cid, pack.Number, scanner.Offset, scanner.DataLength, scanner.Kind), 0);
                if (entries.Count < MaxRebuiltEntries) continue;
                ulong reached = PackFormat.Position(pack.Number, scanner.At);
                made.Add(WriteRun(entries, from, reached));
                entries = new RecentIndex();
                from = reached;
            }
            NoteDamage(scanner);
        }
        if (entries.Count > 0 || from < to) made.Add(WriteRun(entries, from, to));
        return made;
    }

    /// <summary>Writes the index of entries to a file or, if that cannot be, to memory. (Under _indexGate.)</summary>
    private IndexRun WriteRun(RecentIndex entries, ulong from, ulong to)
    {
        var packs = new Dictionary<uint, int>();
        var sorted = new IndexEntry[entries.Count];
        for (int i = 0; i < sorted.Length; i++)
        {
            IndexEntry entry = sorted[i] = entries.Entries[i];
            if (!entry.IsDeleted) packs[entry.Pack] = packs.GetValueOrDefault(entry.Pack) + 1;
            if (entries.Superseded(i) is var before and not 0) packs[before] = packs.GetValueOrDefault(before) - 1;
        }
        Array.Sort(sorted, static (a, b) => a.Key.CompareTo(b.Key));
        uint number = _nextIndex++;
        try
        {
            return Write(CreateIndex(number), inMemory: false);
        }
        catch (DiskException e)
        {
            BackgroundError = e.Message;
            return Write(new MemoryFile(), inMemory: true);
        }

        IndexRun Write(IFile file, bool inMemory)
        {
            using var builder = new IndexBuilder(_files, file, number, from, to, sorted.Length, inMemory);
            foreach (IndexEntry entry in sorted) builder.Add(entry);
            return builder.Finish(packs, sync: false);
        }
    }

    private IFile CreateIndex(uint number) =>
        _files.Create(number.ToString("x8", System.Globalization.CultureInfo.InvariantCulture) + IndexRun.Suffix);

    /// <summary>Puts another set of index files in place. (Under _indexGate.)</summary>
    private void SetRuns(IReadOnlyList<IndexRun> runs)
    {
        List<IndexRun>? obsolete = null;
        lock (_gate) ReplaceRuns(runs, ref obsolete);
        DeleteIndexes(obsolete);
    }

    /// <summary>(Under _indexGate and _gate.)</summary>
    private void ReplaceRuns(IReadOnlyList<IndexRun> runs, ref List<IndexRun>? obsolete)
    {
        RunSet before = _runs;
        _runs = new RunSet([.. runs]);
        foreach (IndexRun run in runs) run.Sets++;
        before.IsReplaced = true;
        if (before.Readers == 0) LeaveSet(before, ref obsolete);
    }

    private void CountBlocks(IndexRun run, int sign)
    {
        lock (_gate)
        {
            foreach ((uint number, int blocks) in run.Packs)
            {
                if (_packs.TryGetValue(number, out Pack? pack)) pack.Blocks += sign * blocks;
            }
        }
    }

    /// <summary>Keeps a pack's file open while it is scanned.</summary>
    private Hold Acquire(Pack pack)
    {
        lock (_gate) pack.Readers++;
        return new Hold(this, pack);
    }

    private readonly struct Hold(FileBlockstore store, Pack pack) : IDisposable
    {
        public void Dispose() => store.Release(pack);
    }

    // ---- Damage ------------------------------------------------------------------------------------------------------------------------

    private PackScanner Scan(Pack pack, long start, long end, bool verify, bool isTail)
    {
        if (pack.Salt is null && pack.Length > PackFormat.HeaderBytes)
        {
            lock (_gate)
            {
                NoteDamage(new BlockDamage(_files.FullName(pack.Name), 0, PackFormat.HeaderBytes, "the file's header is damaged; its blocks are told by their hashes", isTail));
            }
        }
        return new PackScanner(FileOf(pack), _files.FullName(pack.Name), pack.Salt, start, end, verify, isTail);
    }

    private void NoteDamage(PackScanner scanner)
    {
        lock (_gate)
        {
            foreach (BlockDamage damage in scanner.Damage) NoteDamage(damage);
        }
    }

    /// <summary>(Under _gate.)</summary>
    private void NoteDamage(BlockDamage damage)
    {
        if (_damage.Count < MaxDamage && !_damage.Contains(damage)) _damage.Add(damage);
    }

    /// <summary>Forgets all that is known, as before the first use. Files in use are closed when they are let go of. (Under _gate.)</summary>
    private void Unload()
    {
        _loaded = false;
        foreach (Pack pack in _packs.Values)
        {
            pack.IsGone = true;
            if (pack.Readers == 0) pack.Close();
        }
        _packs = [];
        _recent = null;
        List<IndexRun>? obsolete = null;
        ReplaceRuns([], ref obsolete);
        _drops++;
    }
}
