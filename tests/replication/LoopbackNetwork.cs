// All places on loopback, for machines without network namespaces. Between any two stands a proxy for the connections of one to the other; nodes announce an address
// where nobody listens, so that none finds a way around it. Cut means that bytes stay where they are and new connections end at once.

using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Leither.ReplicationNetwork;

/// <summary>Places on loopback.</summary>
internal sealed class LoopbackNetwork(IReadOnlyList<string> places) : Network
{
    private readonly Dictionary<string, Link> links = places.ToDictionary(static p => p, static _ => new Link());
    private readonly ConcurrentDictionary<(string From, string To), TcpListener> proxies = [];
    private readonly CancellationTokenSource ending = new();

    public override Link this[string place] => links[place];

    public override IReadOnlyList<string> Enter(string place) => [];

    public override IReadOnlyList<string> Arguments(string place) => ["--bind", "127.0.0.1", "--swarm-announce", "/ip4/127.0.0.1/tcp/1"];

    public override string AddressOf(string place, string seenFrom)
    {
        TcpListener proxy = proxies.GetOrAdd((seenFrom, place), pair =>
        {
            var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            _ = AcceptAsync(listener, links[pair.From], links[pair.To], pair.To);
            return listener;
        });
        return $"/ip4/127.0.0.1/tcp/{((IPEndPoint)proxy.LocalEndpoint).Port}";
    }

    public override void Dispose()
    {
        ending.Cancel();
        foreach (TcpListener proxy in proxies.Values) proxy.Dispose();
        ending.Dispose();
    }

    private async Task AcceptAsync(TcpListener listener, Link from, Link to, string place)
    {
        CancellationToken cancellation = ending.Token;
        try
        {
            while (true)
            {
                Socket near = await listener.AcceptSocketAsync(cancellation);
                if (from.IsCut || to.IsCut) near.Dispose();
                else _ = ForwardAsync(near, from, to, PortOf(place), cancellation);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The network has ended.
        }
    }

    private static async Task ForwardAsync(Socket near, Link from, Link to, int port, CancellationToken cancellation)
    {
        using var far = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        near.NoDelay = true;
        try
        {
            await far.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port), cancellation);
            await Task.WhenAny(PumpAsync(near, far, from, to, cancellation), PumpAsync(far, near, from, to, cancellation));
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // Nobody listens there, or the network has ended.
        }
        finally
        {
            near.Dispose();
        }
    }

    private static async Task PumpAsync(Socket source, Socket target, Link from, Link to, CancellationToken cancellation)
    {
        byte[] buffer = new byte[16 * 1024];
        try
        {
            while (await source.ReceiveAsync(buffer, cancellation) is var got and > 0)
            {
                TimeSpan delay = from.Delay + to.Delay;
                if (delay > default(TimeSpan)) await Task.Delay(delay, cancellation);
                while (from.IsCut || to.IsCut) await Task.Delay(5, cancellation);
                _ = from.Passes(got);
                _ = to.Passes(got);
                for (int sent = 0; sent < got;) sent += await target.SendAsync(buffer.AsMemory(sent, got - sent), cancellation);
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // One side is gone, and so the other goes.
        }
    }
}
