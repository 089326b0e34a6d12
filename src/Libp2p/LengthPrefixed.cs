// Messages behind their length, an unsigned varint: what multistream-select, identify, the DHT and Bitswap send on a stream. The length is the other
// side's claim, so it is compared with a limit before anything is allocated, and memory is taken in proportion to what arrived.

using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p;

/// <summary>Reads and writes length-prefixed messages.</summary>
public static class LengthPrefixed
{
    /// <summary>The most bytes of a length: messages are below 2 GiB.</summary>
    private const int MaxPrefixLength = 5;

    private const int FirstRoom = 16 * 1024;

    /// <summary>How many times what has come is taken next: a block of 1 MiB is moved once.</summary>
    private const long Growth = 128;

    /// <summary>Reads a message of at most <paramref name="maxLength"/> bytes; null if the stream ends before it begins.</summary>
    /// <exception cref="Libp2pException">It is longer, or cut off.</exception>
    public static async ValueTask<byte[]?> ReadAsync(IByteChannel channel, int maxLength, CancellationToken cancellationToken = default)
    {
        int length = await ReadLengthAsync(channel, maxLength, cancellationToken).ConfigureAwait(false);
        return length < 0 ? null : await ReadBodyAsync(channel, length, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes a message behind its length, both in one write.</summary>
    public static ValueTask WriteAsync(IByteChannel channel, ReadOnlyMemory<byte> message, CancellationToken cancellationToken = default) =>
        channel.WriteAsync(Prefixed(message.Span), cancellationToken);

    /// <summary>Writes a message that lies in parts, of which the first is short, behind its length.</summary>
    internal static async ValueTask WriteAsync(IByteChannel channel, IReadOnlyList<ReadOnlyMemory<byte>> parts, CancellationToken cancellationToken)
    {
        ulong length = (ulong)parts.Sum(static part => (long)part.Length);
        byte[] first = new byte[Varint.Length(length) + parts[0].Length];
        parts[0].Span.CopyTo(first.AsSpan(Varint.Write(first, length)));
        await channel.WriteAsync(first, cancellationToken).ConfigureAwait(false);
        for (int i = 1; i < parts.Count; i++)
        {
            await channel.WriteAsync(parts[i], cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Reads exactly so many bytes.</summary>
    /// <exception cref="Libp2pException">The stream ends before.</exception>
    public static async ValueTask ReadExactlyAsync(IByteChannel channel, Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (!buffer.IsEmpty)
        {
            int read = await channel.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                throw new Libp2pException(Libp2pError.ConnectionClosed, "The stream ended within a message.");
            }

            buffer = buffer[read..];
        }
    }

    private static byte[] Prefixed(ReadOnlySpan<byte> message)
    {
        byte[] buffer = new byte[Varint.Length((ulong)message.Length) + message.Length];
        message.CopyTo(buffer.AsSpan(Varint.Write(buffer, (ulong)message.Length)));
        return buffer;
    }

    /// <summary>Reads a length; -1 if the stream ends before it begins.</summary>
    internal static async ValueTask<int> ReadLengthAsync(IByteChannel channel, int maxLength, CancellationToken cancellationToken)
    {
        byte[] prefix = new byte[MaxPrefixLength];
        for (int i = 0; i < MaxPrefixLength; i++)
        {
            int read = await channel.ReadAsync(prefix.AsMemory(i, 1), cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                return i == 0 ? -1 : throw new Libp2pException(Libp2pError.ConnectionClosed, "The stream ended within a length.");
            }

            switch (Varint.Read(prefix.AsSpan(0, i + 1), out ulong length, out _))
            {
                case VarintStatus.Complete when length <= (ulong)maxLength:
                    return (int)length;
                case VarintStatus.Complete:
                    throw Libp2pException.Violation($"A message of {length} bytes; at most {maxLength} are taken.");
                case VarintStatus.Invalid:
                    throw Libp2pException.Violation("A length that is longer than its value needs.");
                case VarintStatus.Incomplete:
                default:
                    break;
            }
        }

        throw Libp2pException.Violation("A length without end.");
    }

    /// <summary>Reads what follows a length.</summary>
    internal static async ValueTask<byte[]> ReadBodyAsync(IByteChannel channel, int length, CancellationToken cancellationToken)
    {
        // A claimed length alone takes little memory: all of it is taken once a part has come.
        byte[] message = GC.AllocateUninitializedArray<byte>(Math.Min(length, FirstRoom));
        await ReadExactlyAsync(channel, message, cancellationToken).ConfigureAwait(false);
        while (message.Length < length)
        {
            byte[] more = GC.AllocateUninitializedArray<byte>((int)Math.Min(length, Growth * message.Length));
            message.CopyTo(more, 0);
            await ReadExactlyAsync(channel, more.AsMemory(message.Length), cancellationToken).ConfigureAwait(false);
            message = more;
        }

        return message;
    }
}
