using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Transport;

/// <summary>How bytes get to a peer; what is tried first stands first.</summary>
internal enum DialTransport
{
    /// <summary>A TCP socket.</summary>
    Tcp,

    /// <summary>WebSocket.</summary>
    WebSocket,

    /// <summary>WebSocket over TLS.</summary>
    SecureWebSocket,
}

/// <summary>An address that can be dialled as it is: no name in it has to be looked up.</summary>
internal sealed record DialTarget
{
    private DialTarget(Multiaddr address, IPEndPoint endPoint, DialTransport transport, string? serverName, PeerId? peer)
    {
        Address = address;
        EndPoint = endPoint;
        Transport = transport;
        ServerName = serverName;
        Peer = peer;
    }

    /// <summary>The address, without the peer.</summary>
    public Multiaddr Address { get; }

    /// <summary>The socket.</summary>
    public IPEndPoint EndPoint { get; }

    /// <summary>What is spoken on it.</summary>
    public DialTransport Transport { get; }

    /// <summary>The name that a WebSocket server is asked for, and whose certificate it must show.</summary>
    public string? ServerName { get; }

    /// <summary>The peer that the address names.</summary>
    public PeerId? Peer { get; }

    /// <summary>
    /// Reads <c>/ip…/tcp/PORT</c>, <c>…/ws</c>, <c>…/tls[/sni/NAME]/ws</c> or <c>…/wss</c>, perhaps with a peer behind it. Anything else is another transport's.
    /// </summary>
    /// <param name="address">The address.</param>
    /// <param name="name">The name from which the IP address came, if one was looked up.</param>
    /// <param name="target">What is dialled.</param>
    public static bool TryCreate(Multiaddr address, string? name, [NotNullWhen(true)] out DialTarget? target)
    {
        target = null;
        if (address.WithoutPeer() is not { } rest || !rest.TryGetIp(out IPAddress? ip))
        {
            return false;
        }

        int port = -1;
        bool tls = false;
        DialTransport? transport = null;
        foreach (MultiaddrComponent part in rest)
        {
            MultiaddrProtocol protocol = part.Protocol;
            if (port < 0 && (protocol == MultiaddrProtocol.Ip4 || protocol == MultiaddrProtocol.Ip6 || protocol == MultiaddrProtocol.Ip6Zone))
            {
                continue;
            }

            if (port < 0 && protocol == MultiaddrProtocol.Tcp)
            {
                port = BinaryPrimitives.ReadUInt16BigEndian(part.Value);
            }
            else if (port < 0 || transport != null)
            {
                return false;
            }
            else if (protocol == MultiaddrProtocol.Tls && !tls)
            {
                tls = true;
            }
            else if (protocol == MultiaddrProtocol.Sni && tls)
            {
                name = part.Text;
            }
            else if (protocol == MultiaddrProtocol.Ws)
            {
                transport = tls ? DialTransport.SecureWebSocket : DialTransport.WebSocket;
            }
            else if (protocol == MultiaddrProtocol.Wss && !tls)
            {
                transport = DialTransport.SecureWebSocket;
            }
            else
            {
                return false;
            }
        }

        // TLS under multistream-select, without WebSocket, is not spoken here.
        if (port < 0 || (tls && transport == null))
        {
            return false;
        }

        target = new DialTarget(rest, new IPEndPoint(ip, port), transport ?? DialTransport.Tcp, name, address.TryGetPeerId(out PeerId peer) ? peer : null);
        return true;
    }
}
