using System.Runtime.InteropServices;

namespace Leither.Node.Transport;

/// <summary>A growing native buffer: bytes are appended at its end and consumed from its start. Empty, it holds no memory after <see cref="Release"/>.</summary>
public sealed unsafe class OutputBuffer
{
    private byte* _memory;
    private long _start;
    private long _end;

    /// <summary>The first byte that is not consumed.</summary>
    public byte* Data => _memory + _start;

    /// <summary>Bytes not consumed.</summary>
    public long Length => _end - _start;

    /// <summary>Memory held.</summary>
    public long Capacity { get; private set; }

    /// <summary>Appends bytes.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (Capacity - _end < bytes.Length)
        {
            Capacity = Math.Max(_end + bytes.Length, Math.Max(Capacity * 2, 1024));
            _memory = (byte*)NativeMemory.Realloc(_memory, (nuint)Capacity);
        }

        bytes.CopyTo(new Span<byte>(_memory + _end, bytes.Length));
        _end += bytes.Length;
    }

    /// <summary>Drops bytes from the start.</summary>
    public void Consume(long count) => _start += count;

    /// <summary>Drops everything and gives the memory back.</summary>
    public void Release()
    {
        NativeMemory.Free(_memory);
        _memory = null;
        _start = _end = Capacity = 0;
    }
}
