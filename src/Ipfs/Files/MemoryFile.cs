using System.Numerics;

namespace Leither.Ipfs.Files;

/// <summary>A file in memory, for when none can be written.</summary>
internal sealed class MemoryFile : IFile
{
    private byte[] _bytes = [];
    private int _length;

    public long Length => _length;

    public int Read(long offset, Span<byte> bytes)
    {
        int count = (int)Math.Clamp(_length - offset, 0, bytes.Length);
        _bytes.AsSpan((int)offset, count).CopyTo(bytes);
        return count;
    }

    public int Write(long offset, ReadOnlySpan<byte> bytes)
    {
        Allocate(offset + bytes.Length);
        bytes.CopyTo(_bytes.AsSpan((int)offset));
        return bytes.Length;
    }

    public void Allocate(long length)
    {
        int end = checked((int)length);
        if (end > _bytes.Length) Array.Resize(ref _bytes, (int)BitOperations.RoundUpToPowerOf2((uint)end));
        _length = Math.Max(_length, end);
    }

    public void Truncate(long length)
    {
        int end = checked((int)length);
        if (end > _length) Allocate(length);
        else
        {
            _bytes.AsSpan(end, _length - end).Clear();
            _length = end;
        }
    }

    public void BeginWriteback()
    {
    }

    public void Sync()
    {
    }

    public void Dispose()
    {
    }
}
