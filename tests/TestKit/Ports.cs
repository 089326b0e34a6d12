using System.Net;
using System.Net.Sockets;

namespace Leither.TestKit;

/// <summary>Free TCP ports on loopback.</summary>
public static class Ports
{
    private const int First = 20_000;
    private const int Last = 30_000;

    // A server that is killed leaves its port free until it starts again: nobody else in this process may get it.
    private static readonly HashSet<int> Given = [];

    /// <summary>A port that nobody listens on now, below the range that outgoing connections draw from, and a new one each time.</summary>
    public static int Free()
    {
        for (int attempt = 0; attempt < 1000; attempt++)
        {
            int port = Random.Shared.Next(First, Last);
            using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                probe.Bind(new IPEndPoint(IPAddress.Loopback, port));
                lock (Given)
                {
                    if (Given.Add(port)) return port;
                }
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
            {
            }
        }

        throw new InvalidOperationException($"No free port between {First} and {Last}");
    }
}
