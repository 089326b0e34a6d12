// Messages behind their length, an unsigned varint: what multistream-select, identify, the DHT and Bitswap send on a stream. The length is the other
// side's claim, so it is compared with a limit before anything is allocated, and memory is taken as bytes arrive.

using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p;

/// <summary>Reads and writes length-prefixed messages.</summary>
public static class LengthPrefixed
{
    /// <summary>The most bytes of a length: messages are below 2 GiB.</summary>
    private const int MaxPrefixLength = 5;

    private const int FirstRoom = 16 * 1024;

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

    /// <summary>The same for the last message of a stream: its end goes with it.</summary>
    public static ValueTask WriteLastAsync(PeerStream stream, ReadOnlyMemory<byte> message, CancellationToken cancellationToken = default) =>
        stream.WriteLastAsync(Prefixed(message.Span), cancellationToken);

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
        // A claimed length alone takes no memory.
        byte[] message = new byte[Math.Min(length, FirstRoom)];
        int at = 0;
        while (true)
        {
            await ReadExactlyAsync(channel, message.AsMemory(at), cancellationToken).ConfigureAwait(false);
            at = message.Length;
            if (at == length)
            {
                return message;
            }

            Array.Resize(ref message, (int)Math.Min(length, 4L * at));
        }
    }
}
