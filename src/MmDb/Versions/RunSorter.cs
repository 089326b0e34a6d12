using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Versions;

/// <summary>
/// Sorts records of any number by their keys with bounded memory: what exceeds it goes to temporary files as sorted runs, which are merged
/// while they are read. For one thread at a time.
/// </summary>
internal sealed unsafe class RunSorter : IDisposable
{
    private const int BlockBytes = 1 << 20;
    private const int HeadBytes = 2 * sizeof(int);

    private readonly string _folder;
    private readonly long _memoryBytes;
    private readonly List<nint> _blocks = [];
    private readonly List<Run> _runs = [];
    private readonly PriorityQueue<Run, Run> _merge = new();
    private NativeList<Entry> _entries;
    private byte* _next, _end;
    private long _used;
    private int _current = -1;
    private Run? _head;
    private readonly bool _isSet;
    private byte[] _last = [];
    private int _lastBytes;

    /// <summary>An empty sorter.</summary>
    /// <param name="folder">Where temporary files go; they vanish with the sorter.</param>
    /// <param name="isSet">Whether of records with the same key one is given.</param>
    /// <param name="memoryBytes">Bytes of records held in memory.</param>
    public RunSorter(string folder, bool isSet = false, long memoryBytes = 64 << 20)
    {
        _folder = folder;
        _isSet = isSet;
        _memoryBytes = memoryBytes;
    }

    /// <summary>A record in memory, and when it is sorted what mostly decides: the 8 bytes behind what all keys begin with, as a number.</summary>
    private struct Entry(byte* record)
    {
        public ulong Prefix;
        public readonly byte* Record = record;

        public readonly ReadOnlySpan<byte> Key => new(Record + HeadBytes, Unsafe.ReadUnaligned<int>(Record));

        public readonly ReadOnlySpan<byte> Payload => new(Record + HeadBytes + Unsafe.ReadUnaligned<int>(Record), Unsafe.ReadUnaligned<int>(Record + sizeof(int)));
    }

    private readonly struct ByKey : IComparer<Entry>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining | MethodImplOptions.AggressiveOptimization)]
        public int Compare(Entry x, Entry y) => x.Prefix != y.Prefix ? x.Prefix.CompareTo(y.Prefix) : x.Key.SequenceCompareTo(y.Key);
    }

    /// <summary>Records added.</summary>
    public long Count { get; private set; }

    /// <summary>The key that <see cref="MoveNext"/> came to; until the next call.</summary>
    public ReadOnlySpan<byte> Key => _head is { } run ? run.Key : _entries[_current].Key;

    /// <summary>What belongs to <see cref="Key"/>.</summary>
    public ReadOnlySpan<byte> Payload => _head is { } run ? run.Payload : _entries[_current].Payload;

    /// <summary>Adds a record, and gives the place that its payload is to be written to at once.</summary>
    public Span<byte> Add(ReadOnlySpan<byte> key, int payloadBytes)
    {
        long size = (long)HeadBytes + key.Length + payloadBytes;
        if (_end - _next < size)
        {
            Grow(size);
        }

        byte* record = _next;
        _next += size;
        Count++;
        Unsafe.WriteUnaligned(record, key.Length);
        Unsafe.WriteUnaligned(record + sizeof(int), payloadBytes);
        var name = new Span<byte>(record + HeadBytes, key.Length);
        key.CopyTo(name);
        _entries.Add(new Entry(record));
        return new Span<byte>(record + HeadBytes + key.Length, payloadBytes);
    }

    /// <summary>Adds a record.</summary>
    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> payload) => payload.CopyTo(Add(key, payload.Length));

    /// <summary>Ends adding: the records can be read in order, with <see cref="MoveNext"/>.</summary>
    public void Sort()
    {
        if (_runs.Count > 0)
        {
            Spill();
            Free();
        }
        else
        {
            SortEntries();
        }

        Rewind();
    }

    /// <summary>Goes back to before the first record.</summary>
    public void Rewind()
    {
        _current = -1;
        _head = null;
        _merge.Clear();
        foreach (Run run in _runs)
        {
            run.Rewind();
            if (run.Read())
            {
                _merge.Enqueue(run, run);
            }
        }
    }

    /// <summary>Goes to the next record; false after the last.</summary>
    public bool MoveNext()
    {
        if (_runs.Count == 0)
        {
            do
            {
                _current++;
            }
            while (_isSet && _current > 0 && _current < _entries.Count && _entries[_current].Key.SequenceEqual(_entries[_current - 1].Key));
            return _current < _entries.Count;
        }

        if (_isSet && _head is { } head)
        {
            _lastBytes = head.Key.Length;
            Array.Resize(ref _last, Math.Max(_last.Length, _lastBytes));
            head.Key.CopyTo(_last);
        }

        bool isFirst = _head is null;
        do
        {
            if (_head is { } last && last.Read())
            {
                _merge.Enqueue(last, last);
            }

            if (!_merge.TryDequeue(out _head, out _))
            {
                return false;
            }
        }
        while (_isSet && !isFirst && _head.Key.SequenceEqual(_last.AsSpan(0, _lastBytes)));
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Free();
        foreach (Run run in _runs)
        {
            run.Dispose();
        }

        _runs.Clear();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void SortEntries()
    {
        Span<Entry> entries = _entries.Span;
        if (entries.IsEmpty)
        {
            return;
        }

        ReadOnlySpan<byte> first = entries[0].Key;
        int shared = first.Length;
        foreach (Entry entry in entries)
        {
            shared = entry.Key.StartsWith(first[..shared]) ? shared : entry.Key.CommonPrefixLength(first[..shared]);
        }

        foreach (ref Entry entry in entries)
        {
            entry.Prefix = Prefix(entry.Key[shared..]);
        }

        entries.Sort(default(ByKey));
    }

    private static ulong Prefix(ReadOnlySpan<byte> key)
    {
        if (key.Length >= sizeof(ulong))
        {
            return BinaryPrimitives.ReadUInt64BigEndian(key);
        }

        ulong prefix = 0;
        for (int i = 0; i < key.Length; i++)
        {
            prefix |= (ulong)key[i] << (56 - (8 * i));
        }

        return prefix;
    }

    private void Grow(long size)
    {
        if (_used + size > _memoryBytes && _entries.Count > 0)
        {
            Spill();
        }

        long capacity = Math.Max(size, BlockBytes);
        _next = (byte*)NativeMemory.Alloc((nuint)capacity);
        _end = _next + capacity;
        _used += capacity;
        _blocks.Add((nint)_next);
    }

    private void Spill()
    {
        if (_entries.Count > 0)
        {
            SortEntries();
            var run = new Run(_folder, _runs.Count);
            _runs.Add(run);
            foreach (Entry entry in _entries.Span)
            {
                run.Write(entry.Record, HeadBytes + (long)entry.Key.Length + entry.Payload.Length);
            }
        }

        Free();
    }

    private void Free()
    {
        foreach (nint block in _blocks)
        {
            NativeMemory.Free((void*)block);
        }

        _blocks.Clear();
        _entries.Dispose();
        _next = _end = null;
        _used = 0;
    }

    /// <summary>Sorted records in a temporary file.</summary>
    private sealed class Run(string folder, int number) : IDisposable, IComparable<Run>
    {
        private readonly FileStream _file = new(Path.Combine(folder, "sort-" + Guid.NewGuid().ToString("N")), new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            BufferSize = 256 * 1024,
            Options = FileOptions.DeleteOnClose,
        });

        private byte[] _record = [];
        private int _keyBytes, _bytes;

        public ReadOnlySpan<byte> Key => _record.AsSpan(0, _keyBytes);

        public ReadOnlySpan<byte> Payload => _record.AsSpan(_keyBytes, _bytes - _keyBytes);

        public void Write(byte* record, long bytes)
        {
            for (; bytes > 0; bytes -= Math.Min(bytes, int.MaxValue / 2), record += int.MaxValue / 2)
            {
                _file.Write(new ReadOnlySpan<byte>(record, (int)Math.Min(bytes, int.MaxValue / 2)));
            }
        }

        public void Rewind() => _file.Position = 0;

        public bool Read()
        {
            Span<byte> head = stackalloc byte[HeadBytes];
            if (_file.ReadAtLeast(head, HeadBytes, throwOnEndOfStream: false) < HeadBytes)
            {
                return false;
            }

            _keyBytes = BinaryPrimitives.ReadInt32LittleEndian(head);
            _bytes = checked(_keyBytes + BinaryPrimitives.ReadInt32LittleEndian(head[sizeof(int)..]));
            if (_record.Length < _bytes)
            {
                _record = new byte[Math.Max(_bytes, (int)Math.Min(2L * _record.Length, Array.MaxLength))];
            }

            _file.ReadExactly(_record, 0, _bytes);
            return true;
        }

        public int CompareTo(Run? other)
        {
            int order = Key.SequenceCompareTo(other!.Key);
            return order != 0 ? order : number.CompareTo(other.Number);
        }

        private int Number => number;

        public void Dispose() => _file.Dispose();
    }
}
