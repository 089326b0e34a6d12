using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.Ipfs.Files;

namespace Leither.MmDb.Log;

/// <summary>Reads a stretch of a log from its files, beside the writer: made by <see cref="WriteLog.Read"/>. For one thread at a time.</summary>
public sealed unsafe class LogReader : IDisposable
{
    private readonly IFolder _files;
    private readonly List<Part> _parts;
    private readonly Action<LogReader> _forget;
    private byte* _file, _large;
    private long _fileCapacity, _largeCapacity;
    private ulong _sequence, _offset;

    internal LogReader(IFolder files, List<Part> parts, ulong after, ulong last, Action<LogReader> forget)
    {
        _files = files;
        _parts = parts;
        After = after;
        Last = last;
        _forget = forget;
        _sequence = parts[0].Header.FirstSequence;
        _offset = parts[0].Header.EntryOffset;
    }

    /// <summary>A segment: its file's name at present, and how much of it was written.</summary>
    internal readonly record struct Part(Func<string> Name, SegmentHeader Header, long Length);

    /// <summary>The entry before the first that is read.</summary>
    public ulong After { get; }

    /// <summary>The last entry that is read.</summary>
    public ulong Last { get; }

    /// <summary>Gives all entries to a visitor, in order.</summary>
    /// <exception cref="DiskException">A file cannot be read.</exception>
    /// <exception cref="LogCorruptedException">A file is not what was written.</exception>
    public void Run(EntryVisitor visitor)
    {
        for (int i = 0; i < _parts.Count && _sequence <= Last; i++)
        {
            Part part = _parts[i];
            Load(part);
            for (long at = LogFormat.SegmentHeaderBytes; at < part.Length && _sequence <= Last && !IsAt(i + 1);)
            {
                if (!Group.TryRead(_file + at, part.Length - at, part.Header.Crc, out Group group) || group.FirstSequence != _sequence || group.PartOffset != _offset)
                {
                    throw new LogCorruptedException(_files.FullName(part.Name()), at, _sequence, "it is not what was written there");
                }

                if (group.Kind == GroupKind.Whole)
                {
                    Whole(group, visitor);
                }
                else if (group.Kind != GroupKind.End)
                {
                    Large(group, visitor);
                }

                at += group.TotalBytes;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _forget(this);
        NativeMemory.Free(_file);
        NativeMemory.Free(_large);
        _file = _large = null;
    }

    /// <summary>Whether a segment begins with what comes next: a new epoch leaves out the end of the one before.</summary>
    private bool IsAt(int part) => part < _parts.Count && _parts[part].Header.FirstSequence == _sequence && _parts[part].Header.EntryOffset == _offset;

    private void Load(Part part)
    {
        if (part.Length > _fileCapacity)
        {
            NativeMemory.Free(_file);
            _file = (byte*)NativeMemory.Alloc((nuint)part.Length);
            _fileCapacity = part.Length;
        }

        const int attempts = 3;
        for (int attempt = 1; ; attempt++)
        {
            string name = attempt == 2 ? part.Header.FileName() : part.Name();
            try
            {
                using IFile file = _files.Open(name);
                for (long read = 0; read < part.Length;)
                {
                    int count = file.Read(read, new Span<byte>(_file + read, (int)(part.Length - read)));
                    read += count > 0 ? count : throw new LogCorruptedException(_files.FullName(name), read, _sequence, "it ends early");
                }

                return;
            }
            catch (DiskException) when (attempt < attempts)
            {
                // It is getting its final name, of which it is not told before the file has it.
            }
        }
    }

    private void Whole(in Group group, EntryVisitor visitor)
    {
        byte* at = group.Payload;
        for (uint i = 0; i < group.EntryCount; i++)
        {
            uint length = Unsafe.ReadUnaligned<uint>(at);
            Visit(at + LogFormat.LengthPrefixBytes, length, visitor);
            at += LogFormat.LengthPrefixBytes + length;
        }
    }

    private void Large(in Group group, EntryVisitor visitor)
    {
        long bytes = group.PayloadBytes - LogFormat.PartOffsetBytes, total = (long)_offset + bytes;

        // Of an entry that began before the first segment, only the end is here; it is not asked for.
        if (_sequence > After)
        {
            if (total > _largeCapacity)
            {
                _largeCapacity = Math.Max(total + (total / 8), LogOptions.MinSegmentBytes);
                _large = (byte*)NativeMemory.Realloc(_large, (nuint)_largeCapacity);
            }

            Buffer.MemoryCopy(group.Payload + LogFormat.PartOffsetBytes, _large + _offset, bytes, bytes);
        }

        _offset = (ulong)total;
        if (group.Kind == GroupKind.Last)
        {
            _offset = 0;
            Visit(_large, total, visitor);
        }
    }

    private void Visit(byte* entry, long length, EntryVisitor visitor)
    {
        ulong sequence = _sequence++;
        if (sequence > After && sequence <= Last)
        {
            visitor(sequence, entry, length);
        }
    }
}
