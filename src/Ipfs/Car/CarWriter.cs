// Writes a CAR block by block into a stream. Version 1 needs nothing of the stream but that it takes bytes. Version 2 begins with numbers that are known
// only at the end, so its stream must be seekable; its index is kept in memory until then, some 60 bytes a block.

using System.Buffers.Binary;
using System.Diagnostics;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Car;

/// <summary>A writer of CAR streams. It does not own the stream. Nothing is whole before <see cref="Complete"/>.</summary>
public sealed class CarWriter
{
    private const int UsualBuffer = 64 * 1024;

    // What stands before a block: a length and a CID.
    private const int PrefixRoom = Varint.MaxLength + Cid.MaxLength;

    private readonly Stream _stream;
    private readonly byte[] _buffer;
    private readonly CarIndex? _index;
    private readonly long _origin;
    private int _buffered;
    private long _dataLength;
    private bool _completed;

    private CarWriter(Stream stream, int version, IReadOnlyList<Cid> roots)
    {
        _stream = stream;
        byte[] header = CarFormat.EncodeHeader(roots);
        if (version == 2)
        {
            if (!stream.CanSeek)
            {
                throw new ArgumentException("A CAR of version 2 is written to a stream that can seek.", nameof(stream));
            }

            _index = new CarIndex();
            _origin = stream.Position;
            stream.Write(stackalloc byte[CarFormat.V2PrefixLength]);
        }
        else
        {
            ArgumentOutOfRangeException.ThrowIfNotEqual(version, 1);
        }

        // The header waits in the buffer, whatever its size: a stream that is only written to asynchronously sees no other write.
        _buffer = new byte[Math.Max(UsualBuffer, header.Length + Varint.MaxLength)];
        _buffered = Varint.Write(_buffer, (ulong)header.Length);
        _dataLength = _buffered;
        Append(header);
    }

    /// <summary>How many blocks have been written.</summary>
    public long BlockCount { get; private set; }

    /// <summary>Begins a CAR of version 1.</summary>
    public static CarWriter Create(Stream stream, params IReadOnlyList<Cid> roots) => new(stream, 1, roots);

    /// <summary>Begins a CAR of version 2, with an index of multihashes; the stream can seek.</summary>
    public static CarWriter CreateV2(Stream stream, params IReadOnlyList<Cid> roots) => new(stream, 2, roots);

    /// <summary>Writes a block. Whether it is what its CID names is taken on trust: it comes from a blockstore, which has seen to it.</summary>
    public void Write(in Cid cid, ReadOnlySpan<byte> block)
    {
        AppendPrefix(cid, block);
        if (block.Length > _buffer.Length - _buffered)
        {
            Flush();
        }

        if (block.Length > _buffer.Length)
        {
            _stream.Write(block);
            _dataLength += block.Length;
        }
        else
        {
            Append(block);
        }
    }

    /// <summary>Writes a block, as <see cref="Write"/> does.</summary>
    public async ValueTask WriteAsync(Cid cid, ReadOnlyMemory<byte> block, CancellationToken cancellationToken = default)
    {
        if (_buffer.Length - _buffered < PrefixRoom)
        {
            await FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        AppendPrefix(cid, block.Span);
        if (block.Length > _buffer.Length - _buffered)
        {
            await FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        if (block.Length > _buffer.Length)
        {
            await _stream.WriteAsync(block, cancellationToken).ConfigureAwait(false);
            _dataLength += block.Length;
        }
        else
        {
            Append(block.Span);
        }
    }

    /// <summary>Writes what is left: the last blocks, and of a version 2 the index and the header. The stream is flushed and then stands at the end.</summary>
    public void Complete()
    {
        BeginComplete();
        Flush();
        if (_index != null)
        {
            _index.WriteTo(_stream);
            long end = _stream.Position;
            _stream.Position = _origin;
            _stream.Write(V2Prefix());
            _stream.Position = end;
        }

        _stream.Flush();
    }

    /// <summary>Writes what is left, as <see cref="Complete"/> does.</summary>
    public async ValueTask CompleteAsync(CancellationToken cancellationToken = default)
    {
        BeginComplete();
        await FlushAsync(cancellationToken).ConfigureAwait(false);
        if (_index != null)
        {
            using var index = new MemoryStream();
            _index.WriteTo(index);
            await _stream.WriteAsync(index.GetBuffer().AsMemory(0, (int)index.Length), cancellationToken).ConfigureAwait(false);
            long end = _stream.Position;
            _stream.Position = _origin;
            await _stream.WriteAsync(V2Prefix(), cancellationToken).ConfigureAwait(false);
            _stream.Position = end;
        }

        await _stream.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    private void AppendPrefix(in Cid cid, ReadOnlySpan<byte> block)
    {
        if (block.Length > CarFormat.MaxBlockLength)
        {
            throw new ArgumentException($"A block of {block.Length} bytes; the limit is {CarFormat.MaxBlockLength}.", nameof(block));
        }

        if (cid.IsNone)
        {
            throw new ArgumentException("A block without a CID.", nameof(cid));
        }

        ObjectDisposedException.ThrowIf(_completed, this);
        Debug.Assert(cid.Verify(block) || !Multihash.CanVerify(cid.HashFunction));
        if (_buffer.Length - _buffered < PrefixRoom)
        {
            Flush();
        }

        _index?.Add(cid, _dataLength);
        Span<byte> room = _buffer.AsSpan(_buffered);
        int written = Varint.Write(room, (ulong)(cid.Length + block.Length));
        written += cid.Write(room[written..]);
        _buffered += written;
        _dataLength += written;
        BlockCount++;
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        _dataLength += bytes.Length;
        bytes.CopyTo(_buffer.AsSpan(_buffered));
        _buffered += bytes.Length;
    }

    private void BeginComplete()
    {
        ObjectDisposedException.ThrowIf(_completed, this);
        _completed = true;
    }

    private void Flush()
    {
        _stream.Write(_buffer, 0, _buffered);
        _buffered = 0;
    }

    private async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        await _stream.WriteAsync(_buffer.AsMemory(0, _buffered), cancellationToken).ConfigureAwait(false);
        _buffered = 0;
    }

    private byte[] V2Prefix()
    {
        byte[] prefix = new byte[CarFormat.V2PrefixLength];
        CarFormat.V2Pragma.CopyTo(prefix);
        BinaryPrimitives.WriteUInt64LittleEndian(prefix.AsSpan(CarFormat.V2DataOffset), CarFormat.V2PrefixLength);
        BinaryPrimitives.WriteUInt64LittleEndian(prefix.AsSpan(CarFormat.V2DataSize), (ulong)_dataLength);
        BinaryPrimitives.WriteUInt64LittleEndian(prefix.AsSpan(CarFormat.V2IndexOffset), (ulong)(CarFormat.V2PrefixLength + _dataLength));
        return prefix;
    }
}
