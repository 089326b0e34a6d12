using System.Net;
using Leither.Ipfs.Keys;
using Leither.Libp2p.Transport;
using Leither.TestKit;

namespace Leither.Libp2p.Tests;

/// <summary>A host with an identity of its own.</summary>
internal sealed class TestHost : IAsyncDisposable
{
    private readonly PrivateKey _key = PrivateKey.Generate();

    public TestHost(HostOptions? options = null)
    {
        Host = new Host(_key, options);
    }

    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(30);

    public static IPEndPoint AnyPort { get; } = new(IPAddress.Loopback, 0);

    public Host Host { get; }

    /// <summary>Lets others in over WebSocket.</summary>
    public WebSocketServer ListenWebSocket(System.Security.Cryptography.X509Certificates.X509Certificate2? certificate = null) => new(async (socket, local, remote) =>
    {
        using var raw = new WebSocketConnection(socket, WebSocketConnection.AddressOf(local), WebSocketConnection.AddressOf(remote));
        if (await Host.AcceptAsync(raw) is { } connection)
        {
            await connection.Closed;
        }
    }, certificate);

    public static async Task UntilAsync(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!condition())
        {
            await Task.Delay(5, patience.Token);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        _key.Dispose();
    }
}
