using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>
/// A key's name and its hash, which is computed once: while the batch is parsed, so that its memory is on the way before the
/// command runs. The name points into a receive buffer, a log buffer or pinned memory and lives as long as the command.
/// </summary>
public readonly unsafe struct Key
{
    /// <summary>First byte of the name.</summary>
    public readonly byte* Name;
    /// <summary>Length of the name in bytes.</summary>
    public readonly int Length;
    /// <summary>The name's hash under the keyspace's seed.</summary>
    public readonly ulong Hash;

    /// <summary>A key whose hash is known.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Key(byte* name, int length, ulong hash)
    {
        Name = name;
        Length = length;
        Hash = hash;
    }

    /// <summary>The name.</summary>
    public ReadOnlySpan<byte> Span => new(Name, Length);
    /// <summary>A managed copy of the name.</summary>
    public byte[] ToArray() => Span.ToArray();
}

/// <summary>Compares byte strings by content; a span can be looked up without a copy.</summary>
public sealed class ByteStringComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
{
    /// <summary>The only one.</summary>
    public static ByteStringComparer Instance { get; } = new();

    /// <summary>The order of byte strings: byte by byte, and what ends first comes first.</summary>
    public static IComparer<byte[]> Order { get; } = Comparer<byte[]>.Create(static (x, y) => x.AsSpan().SequenceCompareTo(y));

    /// <inheritdoc/>
    public bool Equals(byte[]? x, byte[]? y) => x is null ? y is null : y is not null && x.AsSpan().SequenceEqual(y);
    /// <inheritdoc/>
    public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);
    /// <inheritdoc/>
    public int GetHashCode(byte[] obj) => GetHashCode(obj.AsSpan());
    /// <inheritdoc/>
    public int GetHashCode(ReadOnlySpan<byte> alternate)
    {
        HashCode hash = default;
        hash.AddBytes(alternate);
        return hash.ToHashCode();
    }
    /// <inheritdoc/>
    public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
}
