using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

/// <summary>
/// The write log of one MiMei: entries are built in a native buffer and go to segment files, one write() per turn of the loop.
/// </summary>
/// <remarks>
/// What must stay true:
/// <list type="bullet">
/// <item>An entry that was reported synced is recovered by every later start. What is recovered is a prefix of what was written.</item>
/// <item>Every entry that was ended gets to disk or keeps waiting in memory: a failing disk delays it, and makes the log refuse new ones
/// (<see cref="CanAccept"/>), but never drops it.</item>
/// <item>Building entries allocates nothing and never waits for the disk, except that a large one is written out as it grows.</item>
/// <item>One thread, the log's own, calls everything here but what says otherwise; the worker's threads only sync, prepare, rename,
/// truncate, seal and delete files, and write the tail again after a failure.</item>
/// </list>
/// This file holds the public face and the building of entries; <c>WriteLog.Files.cs</c> segments, writing and syncing;
/// <c>WriteLog.Failure.cs</c> what happens when the disk fails; <c>WriteLog.Seal.cs</c> how segments become blocks; <c>WriteLog.Places.cs</c> the log as bytes for those who copy it;
/// <c>WriteLog.Copy.cs</c> a log that is such a copy; <c>LogRecovery.cs</c> opening; <c>LogFormat.cs</c> the bytes.
/// </remarks>
public sealed unsafe partial class WriteLog : IDisposable
{
    /// <summary>An entry that grows beyond this is written out in parts while it is being built.</summary>
    public const int StreamThresholdBytes = 256 << 10;

    /// <summary>Entries that wait for the end of the turn are written early beyond this many bytes.</summary>
    private const int MaxUnwrittenBytes = 1 << 20;

    private const int MaxChunkBytes = 1 << 20, MinChunkBytes = 16 << 10;

    private const int EntryOverheadBytes = LogFormat.LengthPrefixBytes + LogFormat.EntryHeaderBytes;

    // The open group lies at _group in the newest chunk: room for its header, complete entries, then the entry in progress at _entry
    // (null between entries). Nothing may be written at or beyond _limit, which is the end of the chunk or of the segment.
    // _promised is _limit as long as the current segment has the room for all that lies before it, else null.
    private byte* _cursor, _limit, _entry, _group, _promised;
    private uint _groupEntries;
    private ulong _last;

    // Sealed groups are bytes that no longer change, counted as one stream from the opening of the log. _room is what will be left of the
    // segment that the open group goes to.
    private Chunk _chunk;
    private long _sealed;
    private long _room;

    // Of an entry in progress: whether it is written in parts, and how many bytes of it were sealed.
    private bool _streaming;
    private ulong _streamedBytes;

    private readonly int _streamThreshold, _chunkBytes;

    /// <summary>The last entry that was ended.</summary>
    public ulong LastSequence => _last;

    /// <summary>Where the last ended entry stands.</summary>
    public Position LastPosition => new(Epoch, _last);

    /// <summary>The epoch of the entries written now; of a copy: of the newest segment.</summary>
    public ulong Epoch { get; private set; }

    /// <summary>Whether an entry was begun and not ended.</summary>
    public bool InEntry => _entry != null;

    /// <summary>Whether ended entries wait to be written: <see cref="Flush"/> has something to do.</summary>
    public bool HasUnwritten => _groupEntries > 0 || _sealed > Volatile.Read(ref _written);

    /// <summary>The most that <see cref="Reserve"/> gives at once: a quarter of a segment, and no more than
    /// <see cref="StreamThresholdBytes"/>.</summary>
    public int MaxReserveBytes => _streamThreshold;

    /// <summary>Begins an entry, made at the hybrid time <paramref name="time"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Begin(ulong time)
    {
        Debug.Assert(_entry == null, "the entry before was not ended");
        if (_limit - _cursor < EntryOverheadBytes) MakeRoom(EntryOverheadBytes);
        byte* entry = _cursor;
        Unsafe.WriteUnaligned(entry + LogFormat.LengthPrefixBytes, (ushort)LogFormat.EntryFormat);
        Unsafe.WriteUnaligned(entry + LogFormat.LengthPrefixBytes + 2, time);
        _entry = entry;
        _time = time;
        _cursor = entry + EntryOverheadBytes;
    }

    /// <summary>Room for up to <paramref name="bytes"/> more bytes of the entry; they count once <see cref="Commit"/> says how many were
    /// used. For small things, at most <see cref="MaxReserveBytes"/>; large ones go through <see cref="Write(byte*, long)"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Reserve(int bytes)
    {
        Debug.Assert(_entry != null, "no entry was begun");
        if (_limit - _cursor < bytes) MakeRoom(bytes);
        return _cursor;
    }

    /// <summary>Takes the first <paramref name="bytes"/> bytes of what was reserved into the entry.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Commit(int bytes)
    {
        Debug.Assert(_entry != null && bytes >= 0 && bytes <= _chunk.End - _cursor, "more than was reserved");
        _cursor += bytes;
    }

    /// <summary>Appends bytes to the entry.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write(ReadOnlySpan<byte> bytes)
    {
        Debug.Assert(_entry != null, "no entry was begun");
        if (_limit - _cursor >= bytes.Length)
        {
            bytes.CopyTo(new Span<byte>(_cursor, bytes.Length));
            _cursor += bytes.Length;
            return;
        }
        fixed (byte* from = bytes) WriteSlow(from, bytes.Length);
    }

    /// <summary>Appends bytes to the entry; however many, only a bounded part of them is held in memory at a time.</summary>
    public void Write(byte* bytes, long length)
    {
        Debug.Assert(_entry != null, "no entry was begun");
        if (_limit - _cursor >= length)
        {
            Buffer.MemoryCopy(bytes, _cursor, length, length);
            _cursor += length;
            return;
        }
        WriteSlow(bytes, length);
    }

    /// <summary>Ends the entry and returns its sequence. It reaches the file with the next <see cref="Flush"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong End()
    {
        Debug.Assert(_entry != null, "no entry was begun");
        if (_streaming) EndStreaming();
        else
        {
            Unsafe.WriteUnaligned(_entry, (uint)(_cursor - _entry - LogFormat.LengthPrefixBytes));
            _groupEntries++;
        }
        _entry = null;
        return ++_last;
    }

    /// <summary>Whether <see cref="Abandon"/> is still possible: no part of the entry in progress was written out.</summary>
    public bool CanAbandon => !_streaming;

    /// <summary>Drops the entry in progress as if it had never been begun.</summary>
    public void Abandon()
    {
        if (_entry == null) return;
        if (_streaming) throw new InvalidOperationException("A part of the entry was already written out; it must be ended.");
        _cursor = _entry;
        _entry = null;
    }

    /// <summary>
    /// Closes the log in good order: everything is written and synced, and a mark says so; the next start keeps the epoch.
    /// </summary>
    /// <exception cref="DiskException">The disk failed; what could not be written is lost, as in a crash.</exception>
    public void Close()
    {
        if (_phase == Phase.Closed) return;
        if (_entry != null) throw new InvalidOperationException("The entry in progress must be ended first.");
        Flush();
        try
        {
            CloseFiles();
        }
        finally
        {
            Dispose();
        }
    }

    /// <summary>Lets go of files and memory without closing in good order, as a crash would.</summary>
    public void Dispose()
    {
        if (_phase == Phase.Closed) return;
        _worker.Remove(this);
        lock (_fileWorkGate)
            lock (_sealGate)
            {
                lock (_syncGate)
                {
                    _phase = Phase.Closed;
                    foreach (Segment segment in _segments) segment.File?.Dispose();
                    foreach (PreparedFile prepared in _prepared) prepared.File.Dispose();
                    for (Chunk? chunk = _oldest; chunk is not null; chunk = chunk.Next) chunk.Free();
                    _spare?.Free();
                }
            }
        lock (_readGate)
        {
            foreach ((_, IFile file) in _open) file.Dispose();
            _open.Clear();
        }
        _cursor = _limit = _entry = _group = _promised = null;
    }

    private void WriteSlow(byte* bytes, long length)
    {
        while (true)
        {
            long room = _limit - _cursor;
            if (room >= length)
            {
                Buffer.MemoryCopy(bytes, _cursor, length, length);
                _cursor += length;
                return;
            }
            if (!_streaming && EntryBytes + length <= _streamThreshold)
            {
                MakeRoom((int)length);
                continue;
            }
            if (!_streaming)
            {
                BeginStreaming(1);
                continue;
            }
            if (room > 0)
            {
                Buffer.MemoryCopy(bytes, _cursor, room, room);
                _cursor += room;
                bytes += room;
                length -= room;
            }
            NextPart(1);
        }
    }

    /// <summary>The bytes of the entry in progress that lie in the open group, its header included.</summary>
    private long EntryBytes => _entry == null ? 0 : _cursor - _entry - LogFormat.LengthPrefixBytes;

    /// <summary>Makes <c>_limit - _cursor</c> at least <paramref name="bytes"/>: seals what is complete and goes on in a new group.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void MakeRoom(int bytes)
    {
        ObjectDisposedException.ThrowIf(_phase == Phase.Closed, this);
        if (IsCopy) throw new InvalidOperationException("A copy of a log takes bytes of the log it copies, not entries.");
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, _streamThreshold);
        if (_streaming) NextPart(bytes);
        else if (_entry != null && EntryBytes + bytes > _streamThreshold) BeginStreaming(bytes);
        else
        {
            SealWhole();
            WriteEarly();
            OpenGroup(_entry, _entry == null ? 0 : _cursor - _entry, bytes);
            if (_entry != null) _entry = _group + LogFormat.GroupHeaderBytes;
        }
    }

    /// <summary>Seals the complete entries of the open group, if there are any; what follows them is the caller's to carry on.</summary>
    private void SealWhole()
    {
        if (_groupEntries == 0) return;
        byte* end = _entry != null && !_streaming ? _entry : _cursor;
        uint payload = (uint)(end - _group - LogFormat.GroupHeaderBytes);
        Group.EncodeHeader(_group, GroupKind.Whole, payload, _groupEntries, _last + 1 - _groupEntries);
        Sealed(LogFormat.GroupHeaderBytes + payload);
        _groupEntries = 0;
    }

    /// <summary>Counts the open group as sealed: its bytes will not change any more, and will be written.</summary>
    private void Sealed(long bytes)
    {
        Debug.Assert(_group == _chunk.SealedEnd && bytes <= SegmentRoom);
        _chunk.Sealed += (int)bytes;
        _room -= bytes;
        Volatile.Write(ref _sealed, _sealed + bytes);
    }

    /// <summary>
    /// Opens the next group behind the sealed ones, in the same chunk or a new one, beginning with <paramref name="carried"/> bytes from
    /// <paramref name="from"/> and with room for <paramref name="more"/>.
    /// </summary>
    private void OpenGroup(byte* from, long carried, long more, int prefix = 0)
    {
        long need = LogFormat.GroupHeaderBytes + prefix + carried + more;
        if (need > SegmentRoom) throw new ArgumentOutOfRangeException(nameof(more), more, "More was reserved at once than a segment can hold.");

        // The group is to fit the segment it will go to: what is left of the current one, or a new one when that is too little.
        if (_phase == Phase.Open && _sealed == _written && _current is { } current) _room = current.Room;
        if (_room < need || _room < SegmentRoom / 16) _room = SegmentRoom;

        Chunk chunk = _chunk;
        // Nor in the last sliver of a chunk.
        if (chunk.End - chunk.SealedEnd < Math.Max(need, _chunkBytes / 16)) chunk = NextChunk(need);
        byte* start = chunk.SealedEnd + LogFormat.GroupHeaderBytes + prefix;
        if (carried > 0) Buffer.MemoryCopy(from, start, carried, carried);
        _group = chunk.SealedEnd;
        _cursor = start + carried;
        _limit = _group + Math.Min(chunk.End - _group, _room);
        bool promised = _phase == Phase.Open && _current is { } segment && _sealed - _written + (_limit - _group) <= segment.Room;
        _promised = promised ? _limit : null;
    }

    // ---- Entries larger than a group: First, Middle …, Last ----------------------------------------------------------------------------

    /// <summary>Turns the entry in progress into one that is written in parts, with room for <paramref name="more"/> bytes.</summary>
    private void BeginStreaming(int more)
    {
        byte* body = _entry + LogFormat.LengthPrefixBytes;
        long carried = _cursor - body;
        SealWhole();
        _streaming = true;
        _streamedBytes = 0;
        // It may have filled its group to the end, so parts of it are put together elsewhere.
        NextChunk(0);
        while (true)
        {
            long part = Math.Min(carried, _streamThreshold);
            OpenPart(body, part, 0);
            body += part;
            carried -= part;
            if (carried == 0) break;
            SealPart(last: false);
        }
        Emit();
        if (_limit - _cursor < more) NextPart(more);
    }

    /// <summary>Seals what the entry in progress has gathered as a part, and opens the next.</summary>
    private void NextPart(int more)
    {
        SealPart(last: false);
        Emit();
        ReleaseChunks(); // of the parts, too, no more is kept than of other entries
        OpenPart(null, 0, more);
    }

    private void OpenPart(byte* from, long carried, long more)
    {
        OpenGroup(from, carried, more, LogFormat.PartOffsetBytes);
        _entry = _group + LogFormat.GroupHeaderBytes + LogFormat.PartOffsetBytes;
    }

    private void EndStreaming()
    {
        SealPart(last: true);
        _streaming = false;
        Emit();
        OpenGroup(null, 0, EntryOverheadBytes);
    }

    /// <summary>Seals the bytes gathered since the last part as one group.</summary>
    private void SealPart(bool last)
    {
        uint bytes = (uint)(_cursor - _entry);
        if (bytes == 0 && !last) return;
        GroupKind kind = last ? GroupKind.Last : _streamedBytes == 0 ? GroupKind.First : GroupKind.Middle;
        Group.EncodeHeader(_group, kind, bytes + LogFormat.PartOffsetBytes, last ? 1u : 0u, _last + 1);
        Unsafe.WriteUnaligned(_group + LogFormat.GroupHeaderBytes, _streamedBytes);
        Sealed(LogFormat.GroupHeaderBytes + LogFormat.PartOffsetBytes + bytes);
        _streamedBytes += bytes;
    }

    // ---- Chunks: the native memory behind all this -------------------------------------------------------------------------------------

    /// <summary>
    /// A block of native memory that holds groups exactly as they go to the file. It is kept until they are synced: a failed sync then
    /// finds them here. Chunks form a list from the oldest kept one to the one being filled.
    /// </summary>
    private sealed class Chunk(long capacity)
    {
        /// <summary>The place in the log's stream of groups (counted from its opening) of the first byte.</summary>
        public long StreamStart;

        /// <summary>How many bytes from the start are sealed groups.</summary>
        public int Sealed;

        public Chunk? Next;

        public byte* Base { get; } = (byte*)NativeMemory.Alloc((nuint)capacity);

        public long Capacity => capacity;

        public byte* End => Base + capacity;

        public byte* SealedEnd => Base + Sealed;

        public long StreamEnd => StreamStart + Sealed;

        public void Free() => NativeMemory.Free(Base);
    }
}
