// Stands between nodes and counts what passes: bytes on the wire, whoever asks and whatever they think they sent.

using System.Net;
using System.Net.Sockets;

namespace Leither.Compare;

/// <summary>Forwards connections to a port.</summary>
internal sealed class CountingProxy : IDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly int target;
    private long toListener;
    private long fromListener;

    public CountingProxy(int target)
    {
        this.target = target;
        listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)listener.LocalEndpoint).Port;

    /// <summary>Bytes that the one behind it sent.</summary>
    public long Sent => Interlocked.Read(ref fromListener);

    /// <summary>Bytes in both directions.</summary>
    public long All => Sent + Interlocked.Read(ref toListener);

    public void Dispose() => listener.Dispose();

    private async Task AcceptAsync()
    {
        try
        {
            while (true) _ = ForwardAsync(await listener.AcceptSocketAsync());
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The end.
        }
    }

    private async Task ForwardAsync(Socket near)
    {
        using var far = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        near.NoDelay = true;
        try
        {
            await far.ConnectAsync(IPAddress.Loopback, target);
            await Task.WhenAny(PumpAsync(near, far, got => Interlocked.Add(ref toListener, got)), PumpAsync(far, near, got => Interlocked.Add(ref fromListener, got)));
        }
        catch (SocketException)
        {
            // Nobody is there.
        }
        finally
        {
            near.Dispose();
        }
    }

    private static async Task PumpAsync(Socket from, Socket to, Action<int> count)
    {
        byte[] buffer = new byte[128 * 1024];
        try
        {
            while (await from.ReceiveAsync(buffer) is var got and > 0)
            {
                count(got);
                for (int sent = 0; sent < got;) sent += await to.SendAsync(buffer.AsMemory(sent, got - sent));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // One side is gone, and so the other goes.
        }
    }
}
