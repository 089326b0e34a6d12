using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Leither.TestKit;

/// <summary>Accepts WebSockets on loopback, over TLS if it has a certificate, and hands them over with both ends' sockets.</summary>
public sealed class WebSocketServer : IDisposable
{
    private const int MaxHeadLength = 16 * 1024;

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Func<WebSocket, IPEndPoint, IPEndPoint, Task> _serve;
    private readonly X509Certificate2? _certificate;

    /// <summary>Listens.</summary>
    public WebSocketServer(Func<WebSocket, IPEndPoint, IPEndPoint, Task> serve, X509Certificate2? certificate = null)
    {
        _serve = serve;
        _certificate = certificate;
        _listener.Start();
        _ = AcceptAllAsync();
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint EndPoint => (IPEndPoint)_listener.LocalEndpoint;

    /// <summary>The head of the last request.</summary>
    public string LastRequest { get; private set; } = "";

    /// <inheritdoc/>
    public void Dispose() => _listener.Dispose();

    private async Task AcceptAllAsync()
    {
        while (true)
        {
            try
            {
                _ = ServeAsync(await _listener.AcceptSocketAsync());
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        try
        {
            using (socket)
            {
                Stream stream = new NetworkStream(socket);
                if (_certificate != null)
                {
                    var tls = new SslStream(stream);
                    await tls.AuthenticateAsServerAsync(_certificate);
                    stream = tls;
                }

                LastRequest = await ReadHeadAsync(stream);
                const string KeyHeader = "Sec-WebSocket-Key: ";
                string key = LastRequest.Split("\r\n").First(line => line.StartsWith(KeyHeader, StringComparison.OrdinalIgnoreCase))[KeyHeader.Length..];
                // RFC 6455 wants this hash, to show that the server speaks WebSocket.
#pragma warning disable CA5350
                string accept = Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
#pragma warning restore CA5350
                await stream.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"));
                using var webSocket = WebSocket.CreateFromStream(stream, new WebSocketCreationOptions { IsServer = true });
                await _serve(webSocket, (IPEndPoint)socket.LocalEndPoint!, (IPEndPoint)socket.RemoteEndPoint!);
            }
        }
        catch (Exception e) when (e is IOException or SocketException or System.Security.Authentication.AuthenticationException or WebSocketException or InvalidOperationException)
        {
            // The client went away, or did not trust the certificate.
        }
    }

    private static async Task<string> ReadHeadAsync(Stream stream)
    {
        var head = new StringBuilder();
        byte[] one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            await stream.ReadExactlyAsync(one);
            head.Append((char)one[0]);
            if (head.Length > MaxHeadLength)
            {
                throw new IOException("A head without end.");
            }
        }

        return head.ToString();
    }
}
