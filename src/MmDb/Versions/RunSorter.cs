using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Microsoft.Win32.SafeHandles;

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

    /// <summary>A record in memory, and when it is sorted what mostly decides: the 8 bytes behind what all keys begin with, as a big-endian number.</summary>
    private struct Entry(byte* record)
    {
        public ulong Prefix;
        public readonly byte* Record = record;

        public readonly ReadOnlySpan<byte> Key => new(Record + HeadBytes, Unsafe.ReadUnaligned<int>(Record));

        public readonly ReadOnlySpan<byte> Payload => new(Record + HeadBytes + Unsafe.ReadUnaligned<int>(Record), Unsafe.ReadUnaligned<int>(Record + sizeof(int)));
    }

    private readonly struct ByKey : IComparer<Entry>
    {
        public int Compare(Entry x, Entry y) => x.Key.SequenceCompareTo(y.Key);
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
            // The run that gave the last record often gives the next one too.
            if (_head is { } last && last.Read())
            {
                _head = _merge.EnqueueDequeue(last, last);
            }
            else if (!_merge.TryDequeue(out _head, out _))
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

    /// <summary>
    /// By what the keys have in common and the 8 bytes behind: a radix sort of these, byte by byte from the last. Then those alike in them are put in order.
    /// </summary>
    private void SortEntries()
    {
        int count = _entries.Count;
        if (count == 0)
        {
            return;
        }

        Entry* entries = _entries.Items;
        int shared = SharedBytes(entries, count);
        const int digits = sizeof(ulong), values = 256;
        int* counts = stackalloc int[digits * values];
        new Span<int>(counts, digits * values).Clear();
        for (int i = 0; i < count; i++)
        {
            ulong prefix = Prefix(entries[i].Record + HeadBytes + shared, Unsafe.ReadUnaligned<int>(entries[i].Record) - shared);
            entries[i].Prefix = prefix;
            for (int digit = 0; digit < digits; digit++)
            {
                counts[(digit * values) + (byte)(prefix >> (8 * digit))]++;
            }
        }

        var from = entries;
        var to = (Entry*)NativeMemory.Alloc((nuint)count, (nuint)sizeof(Entry));
        Entry* room = to;
        for (int digit = 0; digit < digits; digit++)
        {
            int* at = counts + (digit * values);
            if (at[(byte)(from->Prefix >> (8 * digit))] == count)
            {
                continue;
            }

            for (int value = 0, sum = 0; value < values; value++)
            {
                (at[value], sum) = (sum, sum + at[value]);
            }

            for (int i = 0; i < count; i++)
            {
                to[at[(byte)(from[i].Prefix >> (8 * digit))]++] = from[i];
            }

            Entry* sorted = to;
            to = from;
            from = sorted;
        }

        if (from != entries)
        {
            Buffer.MemoryCopy(from, entries, (long)count * sizeof(Entry), (long)count * sizeof(Entry));
        }

        NativeMemory.Free(room);
        for (int i = 0, end; i < count; i = end)
        {
            for (end = i + 1; end < count && entries[end].Prefix == entries[i].Prefix; end++)
            {
            }

            if (end - i > 1)
            {
                new Span<Entry>(entries + i, end - i).Sort(default(ByKey));
            }
        }
    }

    /// <summary>How many bytes all keys begin with alike.</summary>
    private static int SharedBytes(Entry* entries, int count)
    {
        byte* first = entries->Record + HeadBytes;
        int shared = Unsafe.ReadUnaligned<int>(entries->Record);
        for (int i = 1; i < count && shared > 0; i++)
        {
            byte* key = entries[i].Record + HeadBytes;
            int length = Math.Min(shared, Unsafe.ReadUnaligned<int>(entries[i].Record)), at = 0;
            while (length - at >= sizeof(ulong) && Unsafe.ReadUnaligned<ulong>(key + at) == Unsafe.ReadUnaligned<ulong>(first + at))
            {
                at += sizeof(ulong);
            }

            while (at < length && key[at] == first[at])
            {
                at++;
            }

            shared = at;
        }

        return shared;
    }

    private static ulong Prefix(byte* key, int length)
    {
        if (length >= sizeof(ulong))
        {
            return BinaryPrimitives.ReverseEndianness(Unsafe.ReadUnaligned<ulong>(key));
        }

        ulong prefix = 0;
        for (int i = 0; i < length; i++)
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

            run.EndWriting();
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

    /// <summary>Sorted records in a temporary file, written once and read through a window on it.</summary>
    private sealed class Run(string folder, int number) : IDisposable, IComparable<Run>
    {
        private const int WindowBytes = 256 * 1024;

        private readonly SafeFileHandle _file = File.OpenHandle(
            Path.Combine(folder, "sort-" + Guid.NewGuid().ToString("N")), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, FileOptions.DeleteOnClose);

        private byte[] _window = new byte[WindowBytes];
        private long _fileBytes, _windowEnd;
        private int _next, _filled, _key, _keyBytes, _payloadBytes;

        public ReadOnlySpan<byte> Key => _window.AsSpan(_key, _keyBytes);

        public ReadOnlySpan<byte> Payload => _window.AsSpan(_key + _keyBytes, _payloadBytes);

        public void Write(byte* record, long bytes)
        {
            while (bytes > 0)
            {
                if (_filled == _window.Length)
                {
                    WriteWindow();
                }

                int part = (int)Math.Min(bytes, _window.Length - _filled);
                new ReadOnlySpan<byte>(record, part).CopyTo(_window.AsSpan(_filled));
                _filled += part;
                record += part;
                bytes -= part;
            }
        }

        public void EndWriting()
        {
            WriteWindow();
            Rewind();
        }

        public void Rewind()
        {
            _windowEnd = 0;
            _next = _filled = 0;
        }

        public bool Read()
        {
            if (_next == _filled && _windowEnd == _fileBytes)
            {
                return false;
            }

            Fill(HeadBytes);
            _keyBytes = Unsafe.ReadUnaligned<int>(ref _window[_next]);
            _payloadBytes = Unsafe.ReadUnaligned<int>(ref _window[_next + sizeof(int)]);
            int bytes = checked(HeadBytes + _keyBytes + _payloadBytes);
            Fill(bytes);
            _key = _next + HeadBytes;
            _next += bytes;
            return true;
        }

        /// <summary>Sees to it that so many bytes from the next one on are in the window.</summary>
        private void Fill(int bytes)
        {
            if (_filled - _next >= bytes)
            {
                return;
            }

            int kept = _filled - _next;
            byte[] window = bytes > _window.Length ? new byte[(int)Math.Min(Math.Max(bytes, 2L * _window.Length), Array.MaxLength)] : _window;
            _window.AsSpan(_next, kept).CopyTo(window);
            _window = window;
            _next = 0;
            for (_filled = kept; _filled < bytes;)
            {
                int read = RandomAccess.Read(_file, _window.AsSpan(_filled), _windowEnd);
                _filled += read > 0 ? read : throw new IOException("A temporary file of the sorting ends early.");
                _windowEnd += read;
            }
        }

        private void WriteWindow()
        {
            RandomAccess.Write(_file, _window.AsSpan(0, _filled), _fileBytes);
            _fileBytes += _filled;
            _filled = 0;
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
