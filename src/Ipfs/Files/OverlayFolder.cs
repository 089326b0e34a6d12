namespace Leither.Ipfs.Files;

/// <summary>
/// A folder over another one that is only read: what is written, renamed or deleted stays in memory. So whoever recovers or repairs what is there can be asked what he would do, without anything being done.
/// </summary>
/// <param name="below">The folder that stays as it is.</param>
public sealed class OverlayFolder(IFolder below) : IFolder, IDisposable
{
    private readonly Lock _gate = new();

    /// <summary>What is other than below; null: it was deleted.</summary>
    private readonly Dictionary<string, Changed?> _changed = [];

    /// <inheritdoc/>
    public long FreeBytes => below.FreeBytes;

    /// <inheritdoc/>
    public IReadOnlyList<(string Name, long Length)> List()
    {
        lock (_gate)
        {
            return [.. below.List().Where(f => !_changed.ContainsKey(f.Name)), .. _changed.Where(static c => c.Value is not null).Select(static c => (c.Key, c.Value!.Length))];
        }
    }

    /// <inheritdoc/>
    public IFile Open(string name)
    {
        lock (_gate)
        {
            if (!_changed.TryGetValue(name, out Changed? file))
            {
                // Those who write to it and those who read it see the same.
                _changed.Add(name, file = new Changed(below.Open(name)));
            }

            return file is null ? throw new DiskException("open", FullName(name), "No such file or directory", isFull: false) : new Handle(file);
        }
    }

    /// <inheritdoc/>
    public IFile Create(string name)
    {
        lock (_gate)
        {
            if (List().Any(f => f.Name == name)) throw new DiskException("creation", FullName(name), "File exists", isFull: false);
            var made = new Changed(null);
            _changed[name] = made;
            return new Handle(made);
        }
    }

    /// <inheritdoc/>
    public void Rename(string from, string to)
    {
        lock (_gate)
        {
            using (Open(from))
            {
                _changed[to] = _changed[from];
                _changed[from] = null;
            }
        }
    }

    /// <inheritdoc/>
    public void Delete(string name)
    {
        lock (_gate) _changed[name] = null;
    }

    /// <inheritdoc/>
    public void SyncDirectory()
    {
    }

    /// <inheritdoc/>
    public string FullName(string name) => below.FullName(name);

    /// <summary>Closes the files below.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            foreach (Changed? file in _changed.Values) file?.Dispose();
        }
    }

    /// <summary>A file below until it is written to, in memory from then on.</summary>
    private sealed class Changed(IFile? below) : IDisposable
    {
        private const int CopyBytes = 1 << 20;

        private readonly Lock _gate = new();
        private readonly MemoryFile _own = new();
        private IFile? _below = below;

        public long Length
        {
            get
            {
                lock (_gate) return _below?.Length ?? _own.Length;
            }
        }

        public int Read(long offset, Span<byte> bytes)
        {
            lock (_gate) return (_below ?? _own).Read(offset, bytes);
        }

        public T Change<T>(Func<IFile, T> change)
        {
            lock (_gate) return change(Own());
        }

        public int Write(long offset, ReadOnlySpan<byte> bytes)
        {
            lock (_gate) return Own().Write(offset, bytes);
        }

        public void Dispose()
        {
            lock (_gate)
            {
                _below?.Dispose();
                _own.Dispose();
            }
        }

        private MemoryFile Own()
        {
            if (_below is null) return _own;
            var buffer = new byte[CopyBytes];
            for (long at = 0; _below.Read(at, buffer) is > 0 and int count; at += count) _own.WriteAll(at, buffer.AsSpan(0, count));
            _below.Dispose();
            _below = null;
            return _own;
        }
    }

    /// <summary>Files below stay open as long as the folder is, so that one that is replaced can still be read.</summary>
    private sealed class Handle(Changed file) : IFile
    {
        public long Length => file.Length;

        public int Read(long offset, Span<byte> bytes) => file.Read(offset, bytes);

        public int Write(long offset, ReadOnlySpan<byte> bytes) => file.Write(offset, bytes);

        public void Allocate(long length) => file.Change(f =>
        {
            f.Allocate(length);
            return 0;
        });

        public void Truncate(long length) => file.Change(f =>
        {
            f.Truncate(length);
            return 0;
        });

        public void BeginWriteback()
        {
        }

        public void Sync()
        {
        }

        public void Dispose()
        {
        }
    }
}
