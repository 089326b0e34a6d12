using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;

namespace Leither.Node.Network;

/// <summary>A peer's address as people write it: a multiaddr, or a host with or without a port.</summary>
public static class BootstrapAddress
{
    /// <summary>Reads <c>/ip4/10.0.0.1/tcp/4800/p2p/12D3…</c>, <c>host</c>, <c>host:4800</c> or <c>[::1]:4800</c>.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out Multiaddr? address)
    {
        if (text.StartsWith('/'))
        {
            return Multiaddr.TryParse(text, out address);
        }

        address = null;
        if (IPAddress.TryParse(text.Trim('[', ']'), out IPAddress? bare) && (bare.AddressFamily == AddressFamily.InterNetworkV6 || !text.Contains(':', StringComparison.Ordinal)))
        {
            address = Multiaddr.Of(new IPEndPoint(bare, ConfigKeys.DefaultPort));
            return true;
        }

        if (IPEndPoint.TryParse(text, out IPEndPoint? endPoint) && endPoint.Port > 0)
        {
            address = Multiaddr.Of(endPoint);
            return true;
        }

        int colon = text.LastIndexOf(':');
        string host = colon < 0 ? text : text[..colon];
        int port = ConfigKeys.DefaultPort;
        return (colon < 0 || (int.TryParse(text.AsSpan(colon + 1), System.Globalization.NumberStyles.None, null, out port) && port is > 0 and < 65536))
            && Uri.CheckHostName(host) == UriHostNameType.Dns
            && Multiaddr.TryParse($"/dns/{host}/tcp/{port}", out address);
    }
}
