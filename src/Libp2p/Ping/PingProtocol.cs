using System.Diagnostics;
using System.Security.Cryptography;

namespace Leither.Libp2p.Ping;

/// <summary>32 bytes there and back, as often as the dialer likes. https://github.com/libp2p/specs/blob/master/ping/ping.md</summary>
public static class PingProtocol
{
    /// <summary>The protocol's id.</summary>
    public const string Id = "/ipfs/ping/1.0.0";

    /// <summary>How many bytes go there and back.</summary>
    public const int Length = 32;

    /// <summary>The specification wants dialers to keep to one stream and listeners to take two.</summary>
    public const int MaxStreams = 2;

    /// <summary>A dialer that says nothing for so long is done.</summary>
    public static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Pings once and says how long it took.</summary>
    public static async Task<TimeSpan> PingAsync(PeerConnection connection, CancellationToken cancellationToken = default)
    {
        PeerStream stream = connection.OpenStream(Id);
        await using (stream.ConfigureAwait(false))
        {
            byte[] sent = RandomNumberGenerator.GetBytes(Length);
            byte[] received = new byte[Length];
            long start = Stopwatch.GetTimestamp();
            await stream.WriteAsync(sent, cancellationToken).ConfigureAwait(false);
            await LengthPrefixed.ReadExactlyAsync(stream, received, cancellationToken).ConfigureAwait(false);
            TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
            return sent.AsSpan().SequenceEqual(received) ? elapsed : throw Libp2pException.Violation("A ping came back changed.");
        }
    }

    /// <summary>Answers pings until the dialer ends.</summary>
    public static async Task HandleAsync(PeerStream stream, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[Length];
        using var idle = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        while (true)
        {
            idle.CancelAfter(IdleTimeout);
            int read = await stream.ReadAsync(buffer, idle.Token).ConfigureAwait(false);
            if (read == 0)
            {
                return;
            }

            await LengthPrefixed.ReadExactlyAsync(stream, buffer.AsMemory(read), idle.Token).ConfigureAwait(false);
            await stream.WriteAsync(buffer, idle.Token).ConfigureAwait(false);
        }
    }
}
