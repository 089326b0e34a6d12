using System.Net;
using System.Net.Sockets;

namespace Leither.TestKit;

/// <summary>Free TCP ports on loopback.</summary>
public static class Ports
{
    private const int First = 20_000;
    private const int Last = 30_000;

    /// <summary>A port that nobody listens on now, below the range that outgoing connections draw from.</summary>
    public static int Free()
    {
        for (int attempt = 0; attempt < 1000; attempt++)
        {
            int port = Random.Shared.Next(First, Last);
            using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                probe.Bind(new IPEndPoint(IPAddress.Loopback, port));
                return port;
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
            {
            }
        }

        throw new InvalidOperationException($"No free port between {First} and {Last}");
    }
}
