using System.Globalization;
using Leither.Ipfs.Files;

namespace Leither.TestKit;

/// <summary>
/// A disk with a page cache, in memory. A killed process leaves the cache as it is; a loss of power leaves what was synced, and of the rest
/// whatever chance picks: pages in any order, sectors of a page, directory changes in the order they were made. A failed sync loses the
/// pages it was to write while the cache goes on showing them, and the next sync succeeds: as Linux does it.
/// </summary>
public sealed class SimulatedDisk : IFolder
{
    private const int PageBytes = 4096, SectorBytes = 512;

    private readonly Random _random;
    private Dictionary<string, Node> _names = [];
    private Dictionary<string, Node> _durableNames = [];
    private readonly List<Action<Dictionary<string, Node>>> _pendingNames = [];
    private readonly HashSet<Handle> _open = [];
    private readonly Lock _gate = new(); // a version's thread reads while the log's writes

    public SimulatedDisk(int seed) => _random = new Random(seed);

    /// <summary>The disk's size; allocations beyond it fail with "No space left on device".</summary>
    public long Capacity { get; set; } = long.MaxValue;

    /// <summary>The chance of a write that takes only a part of its bytes.</summary>
    public double ShortWrites { get; set; }

    /// <summary>Decides which operations fail with an I/O error (true), by name: write, sync, allocate, create, truncate, rename, delete,
    /// sync directory, read, open, list.</summary>
    public Func<string, bool> Fails { get; set; } = static _ => false;

    /// <summary>After so many more operations the process is gone, in the middle of whatever it does: each throws <see cref="ProcessEndedException"/>.</summary>
    public int OperationsLeft { get; set; } = int.MaxValue;

    /// <summary>How often each operation was called.</summary>
    public Dictionary<string, int> Calls { get; } = [];

    public IEnumerable<string> Names => _names.Keys.Order(StringComparer.Ordinal);

    public long FreeBytes => Capacity - Used;

    private long Used => _names.Values.Sum(static n => (long)n.Cached.Length);

    public int OpenHandles => _open.Count;

    public byte[] Content(string name) => _names[name].Cached;

    /// <summary>Flips one bit of a file, in cache and on disk.</summary>
    public void FlipBit(string name, long offset, int bit)
    {
        _names[name].Cached[offset] ^= (byte)(1 << bit);
        _names[name].SyncAll();
    }

    public void Put(string name, byte[] content)
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

    /// <summary>Any change of what fails: nothing, short writes, a disk that is full soon, or some operations with some chance. Says which.</summary>
    public string ChangeWeather(Random random)
    {
        switch (random.Next(4))
        {
            case 0:
                Heal();
                return "healed";
            case 1:
                ShortWrites = random.NextDouble();
                return "short writes";
            case 2:
                Capacity = Capacity - FreeBytes + random.Next(50_000);
                return string.Create(CultureInfo.InvariantCulture, $"free {FreeBytes}");
            default:
                string[] all = ["write", "sync", "allocate", "create", "truncate", "rename", "delete", "sync directory", "read", "open"];
                string[] some = [.. all.Where(_ => random.Next(4) == 0)];
                double chance = random.NextDouble();
                Fails = operation => some.Contains(operation) && random.NextDouble() < chance;
                return string.Create(CultureInfo.InvariantCulture, $"failing {chance:f2}: {string.Join(", ", some)}");
        }
    }

    /// <summary>Nothing fails any more, and there is room.</summary>
    public void Heal()
    {
        Fails = static _ => false;
        ShortWrites = 0;
        Capacity = long.MaxValue;
    }

    /// <summary>A copy of everything as the cache shows it, all durable.</summary>
    public SimulatedDisk Copy(int seed = 0)
    {
        var copy = new SimulatedDisk(seed);
        foreach ((string name, Node node) in _names) copy.Put(name, (byte[])node.Cached.Clone());
        return copy;
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
        lock (_gate)
        {
            Call("list", "");
            return [.. _names.Select(static n => (n.Key, (long)n.Value.Cached.Length))];
        }
    }

    public IFile Open(string name)
    {
        lock (_gate)
        {
            Call("open", name);
            return _names.TryGetValue(name, out Node? node)
                ? new Handle(this, node, name)
                : throw new DiskException("open", name, "No such file or directory", isFull: false);
        }
    }

    public IFile Create(string name)
    {
        lock (_gate)
        {
            Call("create", name);
            if (_names.ContainsKey(name)) throw new DiskException("create", name, "File exists", isFull: false);
            if (FreeBytes <= 0) throw new DiskException("create", name, "No space left on device", isFull: true);
            var node = new Node();
            Change(names => names[name] = node);
            return new Handle(this, node, name);
        }
    }

    public void Rename(string from, string to)
    {
        lock (_gate)
        {
            Call("rename", from);
            if (!_names.TryGetValue(from, out Node? node)) throw new DiskException("rename", from, "No such file or directory", isFull: false);
            Change(names =>
            {
                names.Remove(from);
                names[to] = node;
            });
        }
    }

    public void Delete(string name)
    {
        lock (_gate)
        {
            Call("delete", name);
            if (_names.ContainsKey(name)) Change(names => names.Remove(name));
        }
    }

    public void SyncDirectory()
    {
        lock (_gate)
        {
            Call("sync directory", "");
            foreach (Action<Dictionary<string, Node>> change in _pendingNames) change(_durableNames);
            _pendingNames.Clear();
        }
    }

    public string FullName(string name) => "/disk/" + name;

    private void Change(Action<Dictionary<string, Node>> change)
    {
        change(_names);
        _pendingNames.Add(change);
    }

    private void Count(string operation)
    {
        if (OperationsLeft <= 0) throw new ProcessEndedException();
        OperationsLeft--;
        Calls[operation] = Calls.GetValueOrDefault(operation) + 1;
    }

    private void Call(string operation, string name)
    {
        Count(operation);
        if (Fails(operation)) throw new DiskException(operation, name, "Input/output error", isFull: false);
    }

    /// <summary>Not an error that the log could see: it ends here.</summary>
    public sealed class ProcessEndedException : Exception;

    private sealed class Node
    {
        public byte[] Cached = [];
        private byte[] _durable = [];
        private readonly HashSet<int> _dirty = [];

        public void Touch(long offset, long count)
        {
            for (long page = offset / PageBytes; page * PageBytes < offset + count; page++) _dirty.Add((int)page);
        }

        public void Resize(long length) => Array.Resize(ref Cached, (int)length);

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

    private sealed class Handle : IFile
    {
        private readonly SimulatedDisk _disk;
        private readonly Node _node;
        private readonly string _name;

        public Handle(SimulatedDisk disk, Node node, string name)
        {
            (_disk, _node, _name) = (disk, node, name);
            disk._open.Add(this);
        }

        public bool Dead { get; set; }

        public long Length => _node.Cached.Length;

        public int Read(long offset, Span<byte> bytes)
        {
            lock (_disk._gate)
            {
                Call("read");
                int n = (int)Math.Clamp(_node.Cached.Length - offset, 0, bytes.Length);
                if (n > 0) _node.Cached.AsSpan((int)offset, n).CopyTo(bytes);
                return n;
            }
        }

        public int Write(long offset, ReadOnlySpan<byte> bytes)
        {
            lock (_disk._gate)
            {
                // A process that ends here, and a disk that fails, may have written a part; a full one takes what fits.
                bool ends = _disk.OperationsLeft == 0, fails = !ends && Failing("write");
                int count = bytes.Length;
                if (_disk._random.NextDouble() < _disk.ShortWrites || fails || ends) count = _disk._random.Next(fails || ends ? 0 : 1, count + 1);
                bool full = offset + count - _node.Cached.Length > _disk.FreeBytes;
                if (full) count = (int)Math.Clamp(_node.Cached.Length + _disk.FreeBytes - offset, 0, count);
                if (count > 0)
                {
                    if (offset + count > _node.Cached.Length) _node.Resize(offset + count);
                    bytes[..count].CopyTo(_node.Cached.AsSpan((int)offset));
                    _node.Touch(offset, count);
                }
                if (ends) throw new ProcessEndedException();
                if (full) throw new DiskException("write", _name, "No space left on device", isFull: true);
                return fails ? throw Error("write") : count;
            }
        }

        public void Allocate(long length)
        {
            lock (_disk._gate)
            {
                Call("allocate");
                if (length <= _node.Cached.Length) return;
                if (length - _node.Cached.Length > _disk.FreeBytes) throw new DiskException("allocate", _name, "No space left on device", isFull: true);
                _node.Resize(length);
            }
        }

        public void Truncate(long length)
        {
            lock (_disk._gate)
            {
                Call("truncate");
                _node.Resize(length);
            }
        }

        public void BeginWriteback()
        {
        }

        public void Sync()
        {
            lock (_disk._gate)
            {
                if (Failing("sync"))
                {
                    _node.FailSync(_disk._random);
                    throw Error("sync");
                }
                _node.Sync();
            }
        }

        public void Dispose()
        {
            lock (_disk._gate) _disk._open.Remove(this);
        }

        private bool Failing(string operation)
        {
            if (Dead) throw new InvalidOperationException($"{operation} of {_name} by a process that is gone");
            _disk.Count(operation);
            return _disk.Fails(operation);
        }

        private void Call(string operation)
        {
            if (Failing(operation)) throw Error(operation);
        }

        private DiskException Error(string operation) => new(operation, _name, "Input/output error", isFull: false);
    }
}
