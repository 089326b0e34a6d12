using System.Buffers;

namespace Leither.Ipfs.Blockstore;

/// <summary>One block's bytes, or one after the other, in memory that is used again. Who does not dispose it leaves the memory to the collector.</summary>
public sealed class PooledBlock : IBufferWriter<byte>, IDisposable
{
    private byte[] _bytes = [];

    /// <summary>How many bytes there are.</summary>
    public int Length { get; private set; }

    /// <summary>The bytes.</summary>
    public ReadOnlySpan<byte> Span => _bytes.AsSpan(0, Length);

    /// <summary>The bytes.</summary>
    public ReadOnlyMemory<byte> Memory => _bytes.AsMemory(0, Length);

    /// <summary>Forgets the bytes, and keeps the memory.</summary>
    public void Clear() => Length = 0;

    /// <inheritdoc/>
    public void Advance(int count) => Length += count;

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        int wanted = Length + Math.Max(sizeHint, 1);
        if (wanted > _bytes.Length)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(wanted, 2 * Length));
            Span.CopyTo(larger);
            Return();
            _bytes = larger;
        }

        return _bytes.AsMemory(Length);
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <inheritdoc/>
    public void Dispose()
    {
        Return();
        _bytes = [];
        Length = 0;
    }

    private void Return()
    {
        if (_bytes.Length > 0) ArrayPool<byte>.Shared.Return(_bytes);
    }
}
