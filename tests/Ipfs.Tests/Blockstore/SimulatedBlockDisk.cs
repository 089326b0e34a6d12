using Leither.Ipfs.Blockstore;

namespace Leither.Ipfs.Tests.Blockstore;

/// <summary>
/// A disk with a page cache, in memory. A killed process leaves the cache as it is; a loss of power leaves what was synced, and of the rest
/// whatever chance picks: pages in any order, sectors of a page, directory changes in the order they were made. A failed sync loses the
/// pages it was to write while the cache goes on showing them, and the next sync succeeds: as Linux does it.
/// </summary>
internal sealed class SimulatedBlockDisk(int seed) : IBlockFiles
{
    private const int PageBytes = 4096, SectorBytes = 512;

    private readonly Random _random = new(seed);
    private Dictionary<string, Node> _names = [];
    private Dictionary<string, Node> _durableNames = [];
    private readonly List<Action<Dictionary<string, Node>>> _pendingNames = [];
    private readonly HashSet<Handle> _open = [];

    /// <summary>The disk's size; writes beyond it take what fits, then fail with "No space left on device".</summary>
    public long Capacity { get; set; } = long.MaxValue;

    /// <summary>Decides which operations fail with an I/O error (true), by name: write, sync, create, delete, sync directory, read, open, list.</summary>
    public Func<string, bool> Fails { get; set; } = static _ => false;

    /// <summary>After so many more operations the process is gone, in the middle of whatever it does: each throws <see cref="ProcessEnded"/>.</summary>
    public int OperationsLeft { get; set; } = int.MaxValue;

    /// <summary>How often each operation was called.</summary>
    public Dictionary<string, int> Calls { get; } = [];

    public IEnumerable<string> Names => _names.Keys.Order(StringComparer.Ordinal);

    public int OpenHandles => _open.Count;

    public long FreeBytes => Capacity - Used;

    private long Used => _names.Values.Sum(static n => (long)n.Cached.Length);

    public byte[] Content(string name) => _names[name].Cached;

    /// <summary>Flips one bit of a file, in cache and on disk.</summary>
    public void FlipBit(string name, long offset, int bit)
    {
        _names[name].Cached[offset] ^= (byte)(1 << bit);
        _names[name].SyncAll();
    }

    public void Replace(string name, byte[] content)
    {
        var node = new Node { Cached = content };
        node.SyncAll();
        _names[name] = node;
        _durableNames[name] = node;
    }

    public void Remove(string name)
    {
        _names.Remove(name);
        _durableNames.Remove(name);
    }

    /// <summary>The process ends; the system goes on.</summary>
    public void Kill()
    {
        OperationsLeft = int.MaxValue;
        foreach (Handle handle in _open) handle.Dead = true;
        _open.Clear();
    }

    /// <summary>The power goes; what was not synced is there in part.</summary>
    public void LosePower()
    {
        Kill();
        int kept = _random.Next(_pendingNames.Count + 1);
        for (int i = 0; i < kept; i++) _pendingNames[i](_durableNames);
        _pendingNames.Clear();
        double keepPages = _random.Next(4) switch { 0 => 0.0, 1 => 1.0, _ => _random.NextDouble() };
        foreach (Node node in _durableNames.Values.Distinct()) node.LosePower(_random, keepPages);
        _names = new Dictionary<string, Node>(_durableNames);
    }

    public IReadOnlyList<(string Name, long Length)> List()
    {
        Call("list", "");
        return [.. _names.Select(static n => (n.Key, (long)n.Value.Cached.Length))];
    }

    public IBlockFile Open(string name)
    {
        Call("open", name);
        return _names.TryGetValue(name, out Node? node)
            ? new Handle(this, node, name)
            : throw new BlockFileException("open", name, "No such file or directory", isFull: false);
    }

    public IBlockFile Create(string name)
    {
        Call("create", name);
        if (_names.ContainsKey(name)) throw new BlockFileException("create", name, "File exists", isFull: false);
        if (FreeBytes <= 0) throw new BlockFileException("create", name, "No space left on device", isFull: true);
        var node = new Node();
        Change(names => names[name] = node);
        return new Handle(this, node, name);
    }

    public void Delete(string name)
    {
        Call("delete", name);
        if (_names.ContainsKey(name)) Change(names => names.Remove(name));
    }

    public void SyncDirectory()
    {
        Call("sync directory", "");
        foreach (Action<Dictionary<string, Node>> change in _pendingNames) change(_durableNames);
        _pendingNames.Clear();
    }

    public string FullName(string name) => "/blocks/" + name;

    private void Change(Action<Dictionary<string, Node>> change)
    {
        change(_names);
        _pendingNames.Add(change);
    }

    private void Count(string operation)
    {
        if (OperationsLeft <= 0) throw new ProcessEnded();
        OperationsLeft--;
        Calls[operation] = Calls.GetValueOrDefault(operation) + 1;
    }

    private void Call(string operation, string name)
    {
        Count(operation);
        if (Fails(operation)) throw new BlockFileException(operation, name, "Input/output error", isFull: false);
    }

    /// <summary>Not an error that the store could see: it ends here.</summary>
    public sealed class ProcessEnded : Exception;

    private sealed class Node
    {
        public byte[] Cached = [];
        private byte[] _durable = [];
        private readonly HashSet<int> _dirty = [];

        public void Touch(long offset, long count)
        {
            for (long page = offset / PageBytes; page * PageBytes < offset + count; page++) _dirty.Add((int)page);
        }

        public void Grow(long length)
        {
            if (length > Cached.Length) Array.Resize(ref Cached, (int)length);
        }

        public void SyncAll()
        {
            _durable = (byte[])Cached.Clone();
            _dirty.Clear();
        }

        /// <summary>A sync that succeeds: length and dirty pages. Pages that a failed sync called clean are not written again.</summary>
        public void Sync()
        {
            if (_durable.Length != Cached.Length) Array.Resize(ref _durable, Cached.Length);
            foreach (int page in _dirty) Persist(page, 0, PageBytes);
            _dirty.Clear();
        }

        /// <summary>Some of the dirty pages get to the disk; all are called clean.</summary>
        public void FailSync(Random random)
        {
            foreach (int page in _dirty)
            {
                if (random.Next(2) == 0) Persist(page, 0, PageBytes);
            }
            _dirty.Clear();
        }

        public void LosePower(Random random, double keepPages)
        {
            // The length is a change of its own, which the disk got or did not get.
            if (Cached.Length != _durable.Length && random.Next(2) == 0) Array.Resize(ref _durable, Cached.Length);
            foreach (int page in _dirty)
            {
                if (random.NextDouble() >= keepPages) continue;
                if (random.Next(4) != 0)
                {
                    Persist(page, 0, PageBytes);
                    continue;
                }
                for (int sector = 0; sector < PageBytes; sector += SectorBytes)
                {
                    if (random.Next(2) == 0) Persist(page, sector, SectorBytes);
                }
            }
            _dirty.Clear();
            Cached = (byte[])_durable.Clone();
        }

        private void Persist(int page, int from, int count)
        {
            int start = page * PageBytes + from, end = Math.Min(start + count, Math.Min(Cached.Length, _durable.Length));
            if (end > start) Cached.AsSpan(start, end - start).CopyTo(_durable.AsSpan(start));
        }
    }

    private sealed class Handle : IBlockFile
    {
        private readonly SimulatedBlockDisk _disk;
        private readonly Node _node;
        private readonly string _name;

        public Handle(SimulatedBlockDisk disk, Node node, string name)
        {
            (_disk, _node, _name) = (disk, node, name);
            disk._open.Add(this);
        }

        public bool Dead { get; set; }

        public int Read(long offset, Span<byte> bytes)
        {
            if (Failing("read")) throw Error("read");
            int n = (int)Math.Clamp(_node.Cached.Length - offset, 0, bytes.Length);
            if (n > 0) _node.Cached.AsSpan((int)offset, n).CopyTo(bytes);
            return n;
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            bool ends = _disk.OperationsLeft == 0;
            bool fails = !ends && Failing("write");
            long room = _disk.FreeBytes - Math.Max(0, offset - _node.Cached.Length);
            bool full = Math.Max(0, offset + bytes.Length - _node.Cached.Length) > _disk.FreeBytes;
            int count = fails || ends ? _disk._random.Next(bytes.Length + 1) : bytes.Length;
            if (full) count = (int)Math.Min(count, Math.Max(0, room));
            if (count > 0)
            {
                _node.Grow(offset + count);
                bytes[..count].CopyTo(_node.Cached.AsSpan((int)offset));
                _node.Touch(offset, count);
            }
            if (ends) throw new ProcessEnded();
            if (full) throw new BlockFileException("write", _name, "No space left on device", isFull: true);
            if (fails) throw Error("write");
        }

        public void Sync()
        {
            if (Failing("sync"))
            {
                _node.FailSync(_disk._random);
                throw Error("sync");
            }
            _node.Sync();
        }

        public void Dispose()
        {
            if (!Dead) _disk._open.Remove(this);
        }

        private bool Failing(string operation)
        {
            if (Dead) throw new InvalidOperationException($"{operation} of {_name} by a process that is gone");
            _disk.Count(operation);
            return _disk.Fails(operation);
        }

        private BlockFileException Error(string operation) => new(operation, _name, "Input/output error", isFull: false);
    }
}
