// Reads a CAR of version 1 or 2 from a stream, front to back, block by block. No block is given out before its bytes have been compared with its CID.
// A length is compared with a limit before anything is reserved for it, so memory stays below the largest block that is allowed, whatever the
// stream says. Of a version 2 only the data is read, by its offset and size; the index is a hint and not needed here.

using System.Buffers.Binary;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Car;

/// <summary>A reader of CAR streams. It does not own the stream, and reads ahead in it.</summary>
public sealed class CarReader
{
    // Room for many small blocks at once; larger ones enlarge it.
    private const int UsualBuffer = 64 * 1024;

    // What a step returns when it needs no more bytes: it is done, or the data has ended where it may. Otherwise how many bytes it has to see at once.
    private const int Done = 0, Ended = -1;

    private readonly Stream _stream;
    private byte[] _buffer = new byte[UsualBuffer];
    private int _start;
    private int _end;
    private bool _streamEnded;

    // Places in the stream: of the byte at _start, of the data's first byte, and behind its last (or nothing known).
    private long _position;
    private long _dataStart;
    private long _dataEnd = long.MaxValue;

    private List<Cid>? _roots;
    private Cid _cid;
    private ReadOnlyMemory<byte> _block;

    private CarReader(Stream stream) => _stream = stream;

    /// <summary>1 or 2.</summary>
    public int Version { get; private set; } = 1;

    /// <summary>The roots that the header names; they may be none, and need not be in the CAR.</summary>
    public IReadOnlyList<Cid> Roots => _roots!;

    /// <summary>The CID of the block that was read.</summary>
    public Cid Cid => _cid;

    /// <summary>The block that was read, verified: until the next is read.</summary>
    public ReadOnlyMemory<byte> Block => _block;

    /// <summary>Where the block's entry begins, from the beginning of the data: what an index would say.</summary>
    public long Offset { get; private set; }

    /// <summary>Reads the header.</summary>
    /// <exception cref="CarException">It is no CAR.</exception>
    public static CarReader Open(Stream stream)
    {
        var reader = new CarReader(stream);
        while (reader.StepHeader() is var need && need > 0)
        {
            reader.Fill(need);
        }

        return reader;
    }

    /// <summary>Reads the header.</summary>
    /// <exception cref="CarException">It is no CAR.</exception>
    public static async ValueTask<CarReader> OpenAsync(Stream stream, CancellationToken cancellationToken = default)
    {
        var reader = new CarReader(stream);
        while (reader.StepHeader() is var need && need > 0)
        {
            await reader.FillAsync(need, cancellationToken).ConfigureAwait(false);
        }

        return reader;
    }

    /// <summary>Reads the next block; false at the end.</summary>
    /// <exception cref="CarException">The CAR is malformed or cut off here, or the block is not what its CID names.</exception>
    public bool Read()
    {
        int need;
        while ((need = StepBlock()) > 0)
        {
            Fill(need);
        }

        return need == Done;
    }

    /// <summary>Reads the next block; false at the end.</summary>
    /// <exception cref="CarException">The CAR is malformed or cut off here, or the block is not what its CID names.</exception>
    public async ValueTask<bool> ReadAsync(CancellationToken cancellationToken = default)
    {
        int need;
        while ((need = StepBlock()) > 0)
        {
            await FillAsync(need, cancellationToken).ConfigureAwait(false);
        }

        return need == Done;
    }

    private ReadOnlySpan<byte> Buffered => _buffer.AsSpan(_start, _end - _start);

    private int StepHeader()
    {
        if (_position < _dataStart)
        {
            // A version 2 may leave room in front of its data.
            Take((int)Math.Min(_dataStart - _position, Buffered.Length));
            if (_position < _dataStart)
            {
                return 1;
            }
        }

        ReadOnlySpan<byte> bytes = Buffered;
        VarintStatus status = Varint.Read(bytes, out ulong length, out int used);
        if (status == VarintStatus.Incomplete)
        {
            return bytes.Length + 1;
        }

        if (status == VarintStatus.Invalid || length is 0 or > CarFormat.MaxHeaderLength)
        {
            throw Malformed(status == VarintStatus.Invalid ? "a header's length that is no varint" : $"a header of {length} bytes; the limit is {CarFormat.MaxHeaderLength}");
        }

        int whole = used + (int)length;
        if (whole > DataLeft)
        {
            throw Malformed("a header that reaches beyond the data");
        }

        if (bytes.Length < whole)
        {
            return whole;
        }

        if (Version == 1 && bytes[..whole].SequenceEqual(CarFormat.V2Pragma))
        {
            if (bytes.Length < CarFormat.V2PrefixLength)
            {
                return CarFormat.V2PrefixLength;
            }

            ReadV2Header(bytes);
            return StepHeader();
        }

        try
        {
            _roots = CarFormat.DecodeHeader(bytes[used..whole]);
        }
        catch (DagCborException e)
        {
            throw new CarException("a header that is not one of version 1", _position, e);
        }

        Take(whole);
        return Done;
    }

    private void ReadV2Header(ReadOnlySpan<byte> bytes)
    {
        ulong offset = BinaryPrimitives.ReadUInt64LittleEndian(bytes[CarFormat.V2DataOffset..]);
        ulong size = BinaryPrimitives.ReadUInt64LittleEndian(bytes[CarFormat.V2DataSize..]);
        ulong index = BinaryPrimitives.ReadUInt64LittleEndian(bytes[CarFormat.V2IndexOffset..]);
        if (offset < CarFormat.V2PrefixLength || offset > long.MaxValue || size == 0 || size > long.MaxValue - offset || (index != 0 && index < offset + size))
        {
            throw Malformed($"data at {offset} of {size} bytes and an index at {index} do not fit together");
        }

        Version = 2;
        _dataStart = (long)offset;
        _dataEnd = (long)(offset + size);
        Take(CarFormat.V2PrefixLength);
    }

    private int StepBlock()
    {
        ReadOnlySpan<byte> bytes = Buffered;
        if (DataLeft == 0 || (bytes.IsEmpty && _streamEnded && _dataEnd == long.MaxValue))
        {
            _cid = default;
            _block = default;
            return Ended;
        }

        VarintStatus status = Varint.Read(bytes[..(int)Math.Min(bytes.Length, DataLeft)], out ulong length, out int used);
        if (status == VarintStatus.Incomplete)
        {
            return bytes.Length < DataLeft ? bytes.Length + 1 : throw Malformed("a block's length that reaches beyond the data");
        }

        if (status == VarintStatus.Invalid || length is 0 or > CarFormat.MaxSectionLength)
        {
            throw Malformed(status == VarintStatus.Invalid ? "a block's length that is no varint" : $"a block of {length} bytes; the limit is {CarFormat.MaxBlockLength}");
        }

        int whole = used + (int)length;
        if (whole > DataLeft)
        {
            throw Malformed("a block that reaches beyond the data");
        }

        if (bytes.Length < whole)
        {
            return whole;
        }

        if (!Cid.TryRead(bytes[used..whole], out Cid cid, out int cidLength))
        {
            throw Malformed("a block's CID is none");
        }

        if (whole - used - cidLength > CarFormat.MaxBlockLength)
        {
            throw Malformed($"a block of {whole - used - cidLength} bytes; the limit is {CarFormat.MaxBlockLength}");
        }

        if (!cid.Verify(bytes[(used + cidLength)..whole]))
        {
            throw Malformed(Multihash.CanVerify(cid.HashFunction) ? $"the block is not {cid}" : $"{cid} cannot be verified: its hash function is unknown");
        }

        _cid = cid;
        _block = _buffer.AsMemory(_start + used + cidLength, whole - used - cidLength);
        Offset = _position - _dataStart;
        Take(whole);
        return Done;
    }

    private long DataLeft => _dataEnd - _position;

    private void Take(int count)
    {
        _start += count;
        _position += count;
    }

    private void Fill(int need)
    {
        MakeRoom(need);
        while (_end - _start < need)
        {
            if (!Received(_stream.Read(_buffer, _end, _buffer.Length - _end)))
            {
                return;
            }
        }
    }

    private async ValueTask FillAsync(int need, CancellationToken cancellationToken)
    {
        MakeRoom(need);
        while (_end - _start < need)
        {
            if (!Received(await _stream.ReadAsync(_buffer.AsMemory(_end), cancellationToken).ConfigureAwait(false)))
            {
                return;
            }
        }
    }

    private bool Received(int count)
    {
        _end += count;
        if (count > 0)
        {
            return true;
        }

        // The end may come between two blocks of a version 1 and nowhere else.
        _streamEnded = true;
        return _roots != null && _start == _end && _dataEnd == long.MaxValue ? false
            : throw Malformed("the stream ends here");
    }

    private void MakeRoom(int need)
    {
        int kept = _end - _start;
        if (need > _buffer.Length - _start)
        {
            byte[] target = need > _buffer.Length ? new byte[Math.Max(need, Math.Min(_buffer.Length * 2, CarFormat.MaxSectionLength + Varint.MaxLength))] : _buffer;
            Buffer.BlockCopy(_buffer, _start, target, 0, kept);
            _buffer = target;
            _start = 0;
            _end = kept;
        }
    }

    private CarException Malformed(string why) => new(why, _position);
}
