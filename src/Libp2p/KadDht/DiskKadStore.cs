// A store in one file that is appended to, and now and then written anew:
//
//   head     16 bytes: "leither-kad-1\n" and zeros
//   record   [CRC-32C of the next 12 bytes: 4] [length of the name: 2] [kind: 1] [0: 1] [length of the value: 4] [CRC-32C of name and value: 4] [name] [value]
//
// Of a name the last record counts; one of kind 2 takes it away. What is kept here comes back by itself (providers tell anew, values are put anew), so losing the
// last seconds of it is no harm, and refusing to start because of it would be: a record that is damaged is passed over, and whatever cannot be read as a record is
// searched, byte by byte, for the next one. Behind the last good one the file ends. A file with damage is written anew at the next flush.
//
// Memory: a place in the file for each name, and what was not flushed yet. The file: at most twice what is live, and a megabyte.

using System.Buffers.Binary;
using Leither.Ipfs.Files;

namespace Leither.Libp2p.KadDht;

/// <summary>A store on a disk. Any thread.</summary>
public sealed class DiskKadStore : IKadStore
{
    /// <summary>The longest value.</summary>
    public const int MaxValueLength = 1 << 20;

    /// <summary>The longest name.</summary>
    public const int MaxNameLength = 1 << 10;

    private const int FileHeadLength = 16, HeadLength = 16;
    private const int MaxRecordLength = HeadLength + MaxNameLength + MaxValueLength;
    private const int SlackBytes = 1 << 20;
    private const byte PutKind = 1, DeleteKind = 2;

    private readonly IFolder _folder;
    private readonly string _fileName;
    private readonly long _maxBytes;

    // Taken first: who reads or writes the file.
    private readonly Lock _fileGate = new();

    // Taken second, and by those who must not wait: what there is.
    private readonly Lock _gate = new();
    private readonly Dictionary<KadKey, Place> _places = [];
    private Dictionary<KadKey, Pending> _pending = [];
    private Dictionary<KadKey, Pending> _writing = [];
    private long _liveBytes, _pendingBytes;

    private IFile? _file;
    private long _end;
    private bool _isUnsynced, _isNameUnsynced, _isToBeCut, _isToBeRewritten;

    /// <summary>Opens the store that is a file of this name in a folder; there may be none yet.</summary>
    /// <param name="folder">Where it lies.</param>
    /// <param name="fileName">Its name.</param>
    /// <param name="maxBytes">How much it may hold. What is put beyond that is not kept.</param>
    /// <exception cref="IOException">It cannot be read.</exception>
    public DiskKadStore(IFolder folder, string fileName, long maxBytes = 256 << 20)
    {
        _folder = folder;
        _fileName = fileName;
        _maxBytes = maxBytes;
        if (folder.List().Any(file => file.Name == fileName))
        {
            _file = folder.Open(fileName);
            try
            {
                Scan(_file);
            }
            catch
            {
                _file.Dispose();
                throw;
            }
        }
    }

    /// <summary>How many names there are.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _places.Keys.Union(_writing.Keys).Union(_pending.Keys).Count(at => Latest(at) is { } pending ? !pending.IsDelete : _places.ContainsKey(at));
            }
        }
    }

    /// <summary>How many bytes of the file could not be read when it was opened.</summary>
    public long DamagedBytes { get; private set; }

    /// <summary>How long the file is.</summary>
    public long FileBytes
    {
        get
        {
            lock (_fileGate)
            {
                return _end;
            }
        }
    }

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<byte[], byte[]>> Load()
    {
        KadKey[] names;
        lock (_gate)
        {
            // In the order in which they lie in the file.
            names = [.. _places.OrderBy(static pair => pair.Value.Offset).Select(static pair => pair.Key).Union(_writing.Keys).Union(_pending.Keys)];
        }

        foreach (KadKey at in names)
        {
            if (Read(at) is { } found)
            {
                yield return found;
            }
        }
    }

    /// <inheritdoc/>
    public void Put(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (name.Length is 0 or > MaxNameLength || value.Length > MaxValueLength)
        {
            throw new ArgumentException($"A name of {name.Length} bytes, a value of {value.Length}; the limits are {MaxNameLength} and {MaxValueLength}.");
        }

        byte[] record = Record(PutKind, name, value);
        lock (_gate)
        {
            if (_liveBytes + _pendingBytes + record.Length > _maxBytes)
            {
                // Better none than an old one.
                Take(KadKey.Of(name), Record(DeleteKind, name, default));
                return;
            }

            Replace(KadKey.Of(name), new Pending(record));
        }
    }

    /// <inheritdoc/>
    public void Delete(ReadOnlySpan<byte> name)
    {
        byte[] record = Record(DeleteKind, name, default);
        lock (_gate)
        {
            Take(KadKey.Of(name), record);
        }
    }

    /// <inheritdoc/>
    public void Flush(bool durably)
    {
        lock (_fileGate)
        {
            Write();
            if (_isToBeRewritten || _end > (2 * LiveBytes()) + SlackBytes)
            {
                Rewrite();
            }

            if (durably && _file != null)
            {
                Sync();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_fileGate)
        {
            _file?.Dispose();
            _file = null;
        }
    }

    private static byte[] Record(byte kind, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        byte[] record = new byte[HeadLength + name.Length + value.Length];
        name.CopyTo(record.AsSpan(HeadLength));
        value.CopyTo(record.AsSpan(HeadLength + name.Length));
        BinaryPrimitives.WriteUInt16LittleEndian(record.AsSpan(4), (ushort)name.Length);
        record[6] = kind;
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(8), value.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(12), Crc32C.Compute(0, record.AsSpan(HeadLength)));
        BinaryPrimitives.WriteUInt32LittleEndian(record, Crc32C.Compute(0, record.AsSpan(4, 12)));
        return record;
    }

    /// <summary>The length of the record whose head this is; 0 if it is none.</summary>
    private static int LengthOf(ReadOnlySpan<byte> head)
    {
        int name = BinaryPrimitives.ReadUInt16LittleEndian(head[4..]), value = BinaryPrimitives.ReadInt32LittleEndian(head[8..]);
        return head[6] is PutKind or DeleteKind && name is > 0 and <= MaxNameLength && value is >= 0 and <= MaxValueLength
            && Crc32C.Compute(0, head.Slice(4, 12)) == BinaryPrimitives.ReadUInt32LittleEndian(head) ? HeadLength + name + value : 0;
    }

    private static bool IsWhole(ReadOnlySpan<byte> record) =>
        Crc32C.Compute(0, record[HeadLength..]) == BinaryPrimitives.ReadUInt32LittleEndian(record[12..]);

    private static ReadOnlySpan<byte> NameOf(ReadOnlySpan<byte> record) => record.Slice(HeadLength, BinaryPrimitives.ReadUInt16LittleEndian(record[4..]));

    // ------------------------------------------------------------------ what there is; under _gate

    private Pending? Latest(KadKey at) => _pending.TryGetValue(at, out Pending? pending) || _writing.TryGetValue(at, out pending) ? pending : null;

    private void Take(KadKey at, byte[] record)
    {
        // What never reached the file needs nothing there that takes it away.
        if (_places.ContainsKey(at) || _writing.ContainsKey(at))
        {
            Replace(at, new Pending(record));
        }
        else if (_pending.Remove(at, out Pending? old))
        {
            _pendingBytes -= old.Record.Length;
        }
    }

    private void Replace(KadKey at, Pending pending)
    {
        if (_pending.Remove(at, out Pending? old))
        {
            _pendingBytes -= old.Record.Length;
        }

        _pending.Add(at, pending);
        _pendingBytes += pending.Record.Length;
    }

    private long LiveBytes()
    {
        lock (_gate)
        {
            return _liveBytes;
        }
    }

    private void Apply(KadKey at, byte kind, long offset, int length)
    {
        if (_places.Remove(at, out Place old))
        {
            _liveBytes -= old.Length;
        }

        if (kind == PutKind)
        {
            _places.Add(at, new Place(offset, length));
            _liveBytes += length;
        }
    }

    // ------------------------------------------------------------------ the file; under _fileGate

    private KeyValuePair<byte[], byte[]>? Read(KadKey at)
    {
        lock (_fileGate)
        {
            byte[]? record;
            Place place;
            lock (_gate)
            {
                Pending? pending = Latest(at);
                record = pending?.Record;
                if (pending?.IsDelete == true || (!_places.TryGetValue(at, out place) && record == null))
                {
                    return null;
                }
            }

            if (record == null && !TryRead(place, out record))
            {
                // It was good once.
                lock (_gate)
                {
                    Apply(at, DeleteKind, 0, 0);
                }

                _isToBeRewritten = true;
                return null;
            }

            int name = NameOf(record).Length;
            return KeyValuePair.Create(record[HeadLength..(HeadLength + name)], record[(HeadLength + name)..]);
        }
    }

    private bool TryRead(Place place, out byte[] record)
    {
        record = new byte[place.Length];
        return _file!.Read(place.Offset, record) == record.Length && LengthOf(record) == record.Length && IsWhole(record);
    }

    private void Scan(IFile file)
    {
        var window = new Window(file);
        long at = FileHeadLength, good = FileHeadLength;
        while (window.TryGet(at, HeadLength, out ReadOnlySpan<byte> head))
        {
            int length = LengthOf(head);
            if (length == 0 || !window.TryGet(at, length, out ReadOnlySpan<byte> record))
            {
                at++;
                continue;
            }

            if (IsWhole(record))
            {
                Apply(KadKey.Of(NameOf(record)), record[6], at, length);
                DamagedBytes += at - good;
                good = at + length;
                at = good;
            }
            else
            {
                // The head says where the next one is, if the record is all there; if it was torn, the next one may be inside.
                at = window.TryGet(at + length, HeadLength, out ReadOnlySpan<byte> next) && LengthOf(next) > 0 ? at + length : at + 1;
            }
        }

        _end = good;
        _isToBeRewritten = DamagedBytes > 0;
        _isToBeCut = file.Length != good;
        DamagedBytes += Math.Max(0, file.Length - good);
        if (file.Length < FileHeadLength)
        {
            _isToBeRewritten = true;
        }
    }

    private void Write()
    {
        Dictionary<KadKey, Pending> batch;
        lock (_gate)
        {
            if (_pending.Count == 0)
            {
                return;
            }

            (batch, _writing, _pending) = (_pending, _pending, []);
            _pendingBytes = 0;
        }

        try
        {
            if (_file == null)
            {
                Rewrite();
            }

            if (_isToBeCut)
            {
                _file!.Truncate(_end);
                _isToBeCut = false;
            }

            long end = _end;
            var places = new List<(KadKey At, byte Kind, long Offset, int Length)>(batch.Count);
            byte[] buffer = new byte[(int)Math.Min(MaxRecordLength, batch.Values.Sum(static one => (long)one.Record.Length))];
            int filled = 0;
            // Nobody changes it any more: what comes meanwhile goes to the next one.
            foreach ((KadKey at, Pending pending) in batch)
            {
                if (filled + pending.Record.Length > buffer.Length)
                {
                    Append(ref end, buffer.AsSpan(0, filled));
                    filled = 0;
                }

                places.Add((at, pending.Record[6], end + filled, pending.Record.Length));
                pending.Record.CopyTo(buffer, filled);
                filled += pending.Record.Length;
            }

            Append(ref end, buffer.AsSpan(0, filled));
            _end = end;
            lock (_gate)
            {
                _writing = [];
                foreach ((KadKey at, byte kind, long offset, int length) in places)
                {
                    Apply(at, kind, offset, length);
                }
            }
        }
        catch
        {
            _isToBeCut = _file != null;
            lock (_gate)
            {
                _writing = [];
                foreach ((KadKey at, Pending pending) in batch)
                {
                    if (!_pending.ContainsKey(at))
                    {
                        Replace(at, pending);
                    }
                }
            }

            throw;
        }
    }

    private void Append(ref long end, ReadOnlySpan<byte> bytes)
    {
        _isUnsynced = true;
        _file!.WriteAll(end, bytes);
        end += bytes.Length;
    }

    private void Sync()
    {
        if (_isUnsynced)
        {
            try
            {
                _file!.Sync();
            }
            catch
            {
                // Nobody knows what the disk has of it now; of a file that is written anew one does.
                _isToBeRewritten = true;
                throw;
            }

            _isUnsynced = false;
        }

        if (_isNameUnsynced)
        {
            _folder.SyncDirectory();
            _isNameUnsynced = false;
        }
    }

    /// <summary>Writes what is live into a new file, which then takes the name.</summary>
    private void Rewrite()
    {
        KeyValuePair<KadKey, Place>[] live;
        lock (_gate)
        {
            live = [.. _places.OrderBy(static pair => pair.Value.Offset)];
        }

        string newName = _fileName + ".new";
        _folder.Delete(newName);
        var places = new Dictionary<KadKey, Place>(live.Length);
        long end = FileHeadLength;
        IFile made = _folder.Create(newName);
        try
        {
            byte[] head = new byte[FileHeadLength];
            "leither-kad-1\n"u8.CopyTo(head);
            made.WriteAll(0, head);
            using var buffer = new MemoryStream();
            foreach ((KadKey at, Place place) in live)
            {
                if (TryRead(place, out byte[] record))
                {
                    places.Add(at, place with { Offset = end + buffer.Length });
                    buffer.Write(record);
                }

                if (buffer.Length >= MaxRecordLength)
                {
                    Drain();
                }
            }

            Drain();
            made.Sync();
            _folder.Rename(newName, _fileName);

            void Drain()
            {
                made.WriteAll(end, buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
                end += buffer.Length;
                buffer.SetLength(0);
            }
        }
        catch
        {
            made.Dispose();
            throw;
        }

        _file?.Dispose();
        (_file, _end, _isNameUnsynced) = (made, end, true);
        (_isUnsynced, _isToBeCut, _isToBeRewritten) = (false, false, false);
        lock (_gate)
        {
            _places.Clear();
            _liveBytes = 0;
            foreach ((KadKey at, Place place) in places)
            {
                Apply(at, PutKind, place.Offset, place.Length);
            }
        }

        _folder.SyncDirectory();
        _isNameUnsynced = false;
    }

    private readonly record struct Place(long Offset, int Length);

    private sealed record Pending(byte[] Record)
    {
        public bool IsDelete => Record[6] == DeleteKind;
    }

    /// <summary>A file read from its beginning to its end, a megabyte or two at a time.</summary>
    private sealed class Window(IFile file)
    {
        private readonly byte[] _bytes = new byte[2 * MaxRecordLength];
        private readonly long _length = file.Length;
        private long _start;
        private int _filled;

        public bool TryGet(long at, int count, out ReadOnlySpan<byte> bytes)
        {
            bytes = default;
            if (at + count > _length)
            {
                return false;
            }

            if (at < _start || at + count > _start + _filled)
            {
                _start = at;
                _filled = file.Read(at, _bytes);
                if (_filled < count)
                {
                    return false;
                }
            }

            bytes = _bytes.AsSpan((int)(at - _start), count);
            return true;
        }
    }
}
