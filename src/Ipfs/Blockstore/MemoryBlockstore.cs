using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>Blocks in memory, for tests and for what need not outlive the process.</summary>
public sealed class MemoryBlockstore : IBlockstore
{
    private readonly ConcurrentDictionary<BlockKey, (Cid Cid, byte[] Data)> _blocks = new();
    private readonly Lock _gate = new(); // what a collection must see as one step; it is held for single blocks only
    private readonly ProtectedPuts _protected;
    private Collection? _collection;

    /// <summary>An empty store.</summary>
    public MemoryBlockstore() => _protected = new ProtectedPuts(_gate);

    /// <inheritdoc/>
    public BlockstoreFigures Figures
    {
        get
        {
            long bytes = 0;
            foreach ((_, byte[] data) in _blocks.Values) bytes += data.Length;
            return new BlockstoreFigures { Blocks = _blocks.Count, TotalBytes = bytes, MemoryBytes = bytes };
        }
    }

    /// <inheritdoc/>
    public bool Has(in Cid cid) => !cid.IsNone && (CidChecks.IsIdentity(cid) || _blocks.ContainsKey(BlockKey.Of(cid)));

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
        if (!_blocks.TryGetValue(BlockKey.Of(cid), out (Cid Cid, byte[] Data) block)) return false;
        length = block.Data.Length;
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
        if (!_blocks.TryGetValue(BlockKey.Of(cid), out (Cid Cid, byte[] Data) block)) return false;
        if (!cid.Verify(block.Data)) throw new BlockCorruptedException(cid, "memory", 0, "the hash is another");
        destination.Write(block.Data);
        return true;
    }

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids()
    {
        foreach ((_, (Cid cid, _)) in _blocks) yield return cid;
    }

    /// <inheritdoc/>
    public bool Put(in Cid cid, ReadOnlySpan<byte> data)
    {
        CidChecks.ThrowIfNotStorable(cid, data.Length);
        if (CidChecks.IsIdentity(cid)) return false;
        BlockKey key = BlockKey.Of(cid);
        lock (_gate)
        {
            _collection?.Grey(cid);
            _protected.Note(cid);
            return !_blocks.ContainsKey(key) && _blocks.TryAdd(key, (cid, data.ToArray()));
        }
    }

    /// <inheritdoc/>
    public bool Delete(in Cid cid)
    {
        if (cid.IsNone || CidChecks.IsIdentity(cid)) return false;
        lock (_gate) return _blocks.TryRemove(BlockKey.Of(cid), out _);
    }

    /// <inheritdoc/>
    public void Flush()
    {
    }

    /// <inheritdoc/>
    public BlockCollection Collect(CollectionOptions options)
    {
        lock (_gate)
        {
            if (_collection is not null) throw new InvalidOperationException("A collection of this store runs already.");
            _collection = new Collection(this, options);
            foreach (Cid cid in _protected.Cids) _collection.Grey(cid);
            return _collection;
        }
    }

    /// <inheritdoc/>
    public IDisposable ProtectPuts() => _protected.Begin();

    /// <inheritdoc/>
    public void Dispose() => _blocks.Clear();

    private sealed class Collection(MemoryBlockstore store, CollectionOptions options) : BlockCollection
    {
        private readonly HashSet<BlockKey> _marked = [], _walked = [];
        private readonly Stack<Cid> _grey = new();
        private readonly List<Cid> _links = [];
        private readonly ArrayBufferWriter<byte> _buffer = new();
        private IEnumerator<Cid>? _roots;
        private IEnumerator<BlockKey>? _sweep;
        private bool _rootIsNew, _ended;
        private long _live, _liveBytes, _freed, _missing;

        public override CollectionReport Report => new()
        {
            LiveBlocks = _live,
            LiveBytes = _liveBytes,
            DeadBytes = _freed,
            FreedBytes = _freed,
            MissingBlocks = _missing,
        };

        /// <summary>A block was put, and will be there when the gate is left. (Under the gate.)</summary>
        public void Grey(in Cid cid)
        {
            if (_sweep is null) _grey.Push(cid);
            else _marked.Add(BlockKey.Of(cid));
        }

        public override bool Keep(in Cid cid)
        {
            if (cid.IsNone || CidChecks.IsIdentity(cid)) return true;
            lock (store._gate)
            {
                if (_sweep is not null || _ended) return (cid.Codec == Multicodec.Raw ? _marked : _walked).Contains(BlockKey.Of(cid));
                _grey.Push(cid);
                return true;
            }
        }

        public override bool Step(TimeSpan budget)
        {
            long start = Stopwatch.GetTimestamp();
            try
            {
                while (!_ended)
                {
                    if (_sweep is null ? Mark() : Sweep())
                    {
                        Dispose();
                        return true;
                    }
                    if (Stopwatch.GetElapsedTime(start) >= budget) return false;
                }
                return true;
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        protected override void Dispose(bool disposing)
        {
            lock (store._gate)
            {
                _ended = true;
                if (store._collection == this) store._collection = null;
            }
            _roots?.Dispose();
        }

        private bool Mark()
        {
            Cid cid;
            bool found;
            lock (store._gate) found = _grey.TryPop(out cid);
            if (found)
            {
                Visit(cid);
                return false;
            }
            if (_roots is null)
            {
                _roots = options.Roots().GetEnumerator();
                _rootIsNew = false;
            }
            if (_roots.MoveNext())
            {
                _rootIsNew |= Visit(_roots.Current);
                return false;
            }
            _roots.Dispose();
            _roots = null;
            if (_rootIsNew) return false;
            lock (store._gate)
            {
                if (_grey.Count > 0) return false;
                _sweep = store._blocks.Keys.GetEnumerator(); // a copy
            }
            return false;
        }

        private bool Visit(in Cid cid)
        {
            if (cid.IsNone || CidChecks.IsIdentity(cid)) return false;
            BlockKey key = BlockKey.Of(cid);
            bool isLeaf = cid.Codec == Multicodec.Raw;
            lock (store._gate)
            {
                bool isHere = store._blocks.TryGetValue(key, out (Cid Cid, byte[] Data) block);
                bool isNew = isHere && _marked.Add(key);
                if (isNew)
                {
                    _live++;
                    _liveBytes += block.Data.Length;
                }
                if (isLeaf)
                {
                    if (!isHere && options.Elsewhere?.Has(cid) != true) _missing++;
                    return isNew;
                }
                if (!_walked.Add(key)) return false;
            }
            _buffer.ResetWrittenCount();
            if (!store.TryGet(cid, _buffer) && options.Elsewhere?.TryGet(cid, _buffer) != true)
            {
                _missing++;
                return false;
            }
            _links.Clear();
            options.Links(cid, _buffer.WrittenSpan, _links);
            lock (store._gate)
            {
                foreach (Cid link in _links) _grey.Push(link);
            }
            return true;
        }

        private bool Sweep()
        {
            if (!_sweep!.MoveNext()) return true;
            lock (store._gate)
            {
                if (!_marked.Contains(_sweep.Current) && store._blocks.TryRemove(_sweep.Current, out (Cid Cid, byte[] Data) block)) _freed += block.Data.Length;
            }
            return false;
        }
    }
}
