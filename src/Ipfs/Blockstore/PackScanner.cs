using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>
/// Reads the records of a pack file one after the other. What is damaged is noted and passed over: the next whole record behind it is looked
/// for byte by byte.
/// </summary>
internal sealed class PackScanner : IDisposable
{
    private const int ChunkBytes = 256 << 10;

    private readonly IFile _file;
    private readonly string _name;
    private readonly uint? _salt;
    private readonly long _end;
    private readonly bool _verify, _isTail;
    private byte[] _window = ArrayPool<byte>.Shared.Rent(ChunkBytes);
    private long _windowStart, _at, _badFrom = -1;
    private int _windowLength;
    private string _problem = "";

    /// <summary>Scans from one offset to another.</summary>
    /// <param name="file">The file.</param>
    /// <param name="name">Its full name, for what is noted.</param>
    /// <param name="salt">The file's salt; null when its header is damaged: then only blocks count, and their hash alone proves them.</param>
    /// <param name="start">Where to begin: where a record does.</param>
    /// <param name="end">Where to stop.</param>
    /// <param name="verify">Whether a block's hash is checked.</param>
    /// <param name="isTail">Whether what was never flushed may be at the end: then damage there is a torn tail.</param>
    public PackScanner(IFile file, string name, uint? salt, long start, long end, bool verify, bool isTail)
    {
        (_file, _name, _salt, _at, _end) = (file, name, salt, start, end);
        (_verify, _isTail) = (verify || salt is null, isTail);
    }

    /// <summary>Where the record of the last <see cref="Next"/> begins.</summary>
    public long Offset { get; private set; }

    /// <summary>What was passed over, up to now.</summary>
    public List<BlockDamage> Damage { get; } = [];

    /// <summary>How far the scan has come.</summary>
    public long At => _at;

    public RecordKind Kind { get; private set; }

    public Cid Cid { get; private set; }

    public int DataLength { get; private set; }

    /// <summary>The record's data, until the next <see cref="Next"/>.</summary>
    public ReadOnlySpan<byte> Data => Window(Offset + PackFormat.RecordHeaderBytes + Cid.Length, DataLength);

    /// <summary>Goes to the next whole record; false at the end.</summary>
    public bool Next()
    {
        while (_at < _end)
        {
            if (TryParse(out int total, out string? problem))
            {
                Offset = _at;
                _at += total;
                if (problem is null)
                {
                    Note(Offset, isTail: false);
                    return true;
                }
                Bad(Offset, problem); // its header tells how long it is, so what follows is found without searching
                continue;
            }
            Bad(_at, problem!);
            Seek();
        }
        Note(_end, _isTail);
        return false;
    }

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_window);
        _window = [];
    }

    private bool TryParse(out int total, [NotNullWhen(false)] out string? problem)
    {
        total = 0;
        problem = "no record begins here";
        long left = _end - _at;
        if (left < PackFormat.RecordHeaderBytes || !Load(_at, PackFormat.RecordHeaderBytes)) return false;
        if (!PackFormat.TryReadSizes(Window(_at, PackFormat.RecordHeaderBytes), out RecordKind kind, out int cidLength, out int dataLength)) return false;
        int length = PackFormat.RecordHeaderBytes + cidLength + dataLength;
        problem = "a record is not whole";
        if (length > left || !Load(_at, PackFormat.RecordHeaderBytes + cidLength)) return false;
        problem = "the checksum of a record's header is another";
        if (!PackFormat.TryReadCid(Window(_at, PackFormat.RecordHeaderBytes + cidLength), cidLength, _salt, out Cid cid)) return false;
        problem = "a record is not whole";
        if (!Load(_at, length)) return false;
        bool intact = kind != RecordKind.Block || !_verify || cid.Verify(Window(_at + PackFormat.RecordHeaderBytes + cidLength, dataLength));
        if (_salt is null && !(intact && kind == RecordKind.Block))
        {
            problem = "the file's header is damaged, and a record cannot be told without it";
            return false;
        }
        (Kind, Cid, DataLength, total) = (kind, cid, dataLength, length);
        problem = intact ? null : $"the hash of block {cid} is another";
        return true;
    }

    /// <summary>Goes to the next place that could be a record's beginning.</summary>
    private void Seek()
    {
        Span<byte> magic = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(magic, PackFormat.RecordMagic);
        _at++;
        while (_at + PackFormat.RecordHeaderBytes <= _end)
        {
            if (!Load(_at, PackFormat.RecordHeaderBytes)) break;
            ReadOnlySpan<byte> rest = _window.AsSpan((int)(_at - _windowStart), (int)(_windowStart + _windowLength - _at));
            int found = rest.IndexOf(magic);
            if (found >= 0)
            {
                _at += found;
                return;
            }
            _at += rest.Length - 1; // the magic's first byte may be the last one here
        }
        _at = _end;
    }

    private void Bad(long from, string problem)
    {
        if (_badFrom >= 0) return;
        (_badFrom, _problem) = (from, problem);
    }

    private void Note(long to, bool isTail)
    {
        if (_badFrom < 0) return;
        Damage.Add(new BlockDamage(_name, _badFrom, to - _badFrom, _problem, isTail));
        _badFrom = -1;
    }

    private ReadOnlySpan<byte> Window(long offset, int count) => _window.AsSpan((int)(offset - _windowStart), count);

    /// <summary>Sees to it that a range lies in the window; false if the file ends before.</summary>
    private bool Load(long offset, int count)
    {
        if (offset >= _windowStart && offset + count <= _windowStart + _windowLength) return true;
        if (count > _window.Length)
        {
            ArrayPool<byte>.Shared.Return(_window);
            _window = ArrayPool<byte>.Shared.Rent(count);
        }
        _windowStart = offset;
        _windowLength = _file.Read(offset, _window.AsSpan(0, (int)Math.Min(_window.Length, _end - offset)));
        return count <= _windowLength;
    }
}
