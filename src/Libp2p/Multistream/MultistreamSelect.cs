// Which protocol is spoken next. Both sides say the header, then the dialer proposes, and the listener repeats the proposal or says "na":
//
//   dialer                               listener
//   ──────                               ────────
//   \x13/multistream/1.0.0\n         ─►
//   \x07/noise\n                     ─►
//                                    ◄─  \x13/multistream/1.0.0\n
//                                    ◄─  \x07/noise\n                (or \x03na\n, and the dialer proposes something else)
//
// Each message stands behind its length and ends in a newline. "ls" is answered "na", as go-libp2p does.
// https://github.com/multiformats/multistream-select

using System.Buffers;
using System.Text;

namespace Leither.Libp2p.Multistream;

/// <summary>multistream-select 1.0.0, both sides.</summary>
public static class MultistreamSelect
{
    /// <summary>The protocol's own id, which each side says first.</summary>
    public const string Id = "/multistream/1.0.0";

    /// <summary>The longest message, its newline included. Protocol ids have less than a hundred characters.</summary>
    public const int MaxMessageLength = 1024;

    /// <summary>How many proposals a listener hears before it gives up.</summary>
    public const int MaxProposals = 64;

    private static readonly byte[] _header = Encode(Id);
    private static readonly byte[] _notAvailable = Encode("na");

    /// <summary>What a connection that speaks it begins with.</summary>
    public static ReadOnlySpan<byte> Header => _header;

    /// <summary>Proposes protocols in order until the listener takes one, and returns that.</summary>
    /// <exception cref="Libp2pException">It takes none.</exception>
    public static async ValueTask<string> DialAsync(IByteChannel channel, IReadOnlyList<string> protocols, CancellationToken cancellationToken = default)
    {
        bool begun = false;
        foreach (string protocol in protocols)
        {
            await channel.WriteAsync(begun ? Encode(protocol) : Proposal(protocol), cancellationToken).ConfigureAwait(false);
            if (await ReadAnswerAsync(channel, protocol, begun, cancellationToken).ConfigureAwait(false))
            {
                return protocol;
            }

            begun = true;
        }

        throw new Libp2pException(Libp2pError.UnsupportedProtocol, $"The other side speaks none of {string.Join(", ", protocols)}.");
    }

    /// <summary>Answers proposals until one is supported, and returns that. Null if the dialer ends before it comes to one.</summary>
    public static ValueTask<string?> ListenAsync(IByteChannel channel, Func<string, bool> isSupported, CancellationToken cancellationToken = default) =>
        ListenAsync(channel, isSupported, null, cancellationToken);

    /// <summary>The same; the answer that takes a protocol is given to <paramref name="accept"/>, to go with whatever is said next.</summary>
    internal static async ValueTask<string?> ListenAsync(IByteChannel channel, Func<string, bool> isSupported, Action<byte[]>? accept, CancellationToken cancellationToken)
    {
        string? header = await ReadMessageAsync(channel, cancellationToken).ConfigureAwait(false);
        if (header == null)
        {
            return null;
        }

        if (header != Id)
        {
            throw Libp2pException.Violation("It did not begin with multistream-select 1.0.0.");
        }

        // A dialer that proposes at once is answered at once, in one write; another may be waiting for the header first.
        bool headerSent = !channel.HasInput;
        if (headerSent)
        {
            await channel.WriteAsync(_header, cancellationToken).ConfigureAwait(false);
        }

        for (int i = 0; i < MaxProposals; i++)
        {
            string? protocol = await ReadMessageAsync(channel, cancellationToken).ConfigureAwait(false);
            if (protocol == null)
            {
                return null;
            }

            bool supported = isSupported(protocol);
            byte[] answer = supported ? Encode(protocol) : _notAvailable;
            answer = headerSent ? answer : [.. _header, .. answer];
            if (supported && accept != null)
            {
                accept(answer);
                return protocol;
            }

            await channel.WriteAsync(answer, cancellationToken).ConfigureAwait(false);
            headerSent = true;
            if (supported)
            {
                return protocol;
            }
        }

        throw new Libp2pException(Libp2pError.LimitExceeded, $"None of {MaxProposals} proposals is spoken here.");
    }

    /// <summary>What a dialer that knows of one protocol sends ahead, without waiting for the answer.</summary>
    internal static byte[] Proposal(string protocol) => [.. _header, .. Encode(protocol)];

    /// <summary>The listener's answer to a proposal: whether it was taken.</summary>
    internal static async ValueTask<bool> ReadAnswerAsync(IByteChannel channel, string protocol, bool headerRead, CancellationToken cancellationToken)
    {
        if (!headerRead && await ReadMessageAsync(channel, cancellationToken).ConfigureAwait(false) is var header && header != Id)
        {
            throw header == null ? Ended() : Libp2pException.Violation("It did not begin with multistream-select 1.0.0.");
        }

        string? answer = await ReadMessageAsync(channel, cancellationToken).ConfigureAwait(false);
        return answer == protocol || (answer == "na" ? false
            : throw (answer == null ? Ended() : Libp2pException.Violation("A proposal was answered with something else.")));
    }

    private static Libp2pException Ended() => new(Libp2pError.ConnectionClosed, "The other side ended while a protocol was being negotiated.");

    private static byte[] Encode(string protocol)
    {
        int length = Encoding.UTF8.GetByteCount(protocol) + 1;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, MaxMessageLength, nameof(protocol));
        byte[] prefix = new byte[2];
        int prefixLength = Ipfs.Multiformats.Varint.Write(prefix, (ulong)length);
        return [.. prefix.AsSpan(0, prefixLength), .. Encoding.UTF8.GetBytes(protocol), (byte)'\n'];
    }

    /// <summary>One message without its newline; null if the other side ended instead.</summary>
    private static async ValueTask<string?> ReadMessageAsync(IByteChannel channel, CancellationToken cancellationToken)
    {
        int length = await LengthPrefixed.ReadLengthAsync(channel, MaxMessageLength, cancellationToken).ConfigureAwait(false);
        if (length < 0)
        {
            return null;
        }

        if (length == 0)
        {
            throw Libp2pException.Violation("An empty message while a protocol was being negotiated.");
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            await LengthPrefixed.ReadExactlyAsync(channel, buffer.AsMemory(0, length), cancellationToken).ConfigureAwait(false);
            return buffer[length - 1] == '\n' ? Encoding.UTF8.GetString(buffer, 0, length - 1)
                : throw Libp2pException.Violation("A message without its newline while a protocol was being negotiated.");
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
