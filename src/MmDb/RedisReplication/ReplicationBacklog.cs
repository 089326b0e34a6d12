using System.Runtime.InteropServices;

namespace Leither.MmDb.RedisReplication;

/// <summary>The last bytes of the stream that replicas follow, in a ring: one that was cut off may go on from where it was.</summary>
internal sealed unsafe class ReplicationBacklog : IDisposable
{
    private byte* _ring;
    private long _capacity, _length;

    /// <summary>An empty backlog.</summary>
    /// <param name="capacity">repl-backlog-size.</param>
    /// <param name="offset">The stream's offset now: bytes in it before.</param>
    public ReplicationBacklog(long capacity, long offset)
    {
        _capacity = capacity;
        _ring = (byte*)NativeMemory.Alloc((nuint)capacity);
        End = offset;
    }

    /// <summary>The stream's offset: bytes in it so far.</summary>
    public long End { get; private set; }
    /// <summary>Bytes held.</summary>
    public long Length => _length;
    /// <summary>Room.</summary>
    public long Capacity => _capacity;
    /// <summary>The offset of the first byte held, as PSYNC counts: from 1.</summary>
    public long FirstOffset => End - _length + 1;

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_ring);
        _ring = null;
    }

    /// <summary>Appends to the stream.</summary>
    public void Append(byte* bytes, long length)
    {
        End += length;
        if (length > _capacity)
        {
            bytes += length - _capacity;
            length = _capacity;
        }

        long at = (End - length) % _capacity, first = Math.Min(length, _capacity - at);
        Buffer.MemoryCopy(bytes, _ring + at, first, first);
        Buffer.MemoryCopy(bytes + first, _ring, length - first, length - first);
        _length = Math.Min(_capacity, _length + length);
    }

    /// <summary>Whether the stream can be had from this offset on (as PSYNC counts).</summary>
    public bool Holds(long offset) => offset >= FirstOffset && offset <= End + 1;

    /// <summary>Copies the stream from an offset on to its end.</summary>
    public void CopyFrom(long offset, Resp.RespWriter to)
    {
        long length = End + 1 - offset, at = (offset - 1) % _capacity, first = Math.Min(length, _capacity - at);
        to.Raw(_ring + at, first);
        to.Raw(_ring, length - first);
    }

    /// <summary>Gives it another size; what it held goes, as in Redis.</summary>
    public void Resize(long capacity)
    {
        _capacity = capacity;
        _length = 0;
        _ring = (byte*)NativeMemory.Realloc(_ring, (nuint)capacity);
    }
}
