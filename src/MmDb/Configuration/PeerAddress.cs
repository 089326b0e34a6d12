using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Configuration;

/// <summary>Where peers are, as people write it.</summary>
public static class PeerAddress
{
    /// <summary>Reads <c>/ip4/10.0.0.1/tcp/4800/p2p/12D3…</c>, <c>host</c>, <c>host:4800</c> or <c>[::1]:4800</c>.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out Multiaddr? address)
    {
        address = null;
        if (text.StartsWith('/')) return Multiaddr.TryParse(text, out address);
        if (IPAddress.TryParse(text.Trim('[', ']'), out IPAddress? ip) && (ip.AddressFamily == AddressFamily.InterNetworkV6 || text.Count(static c => c == '.') == 3))
        {
            address = Multiaddr.Of(new IPEndPoint(ip, ConfigKeys.DefaultPort));
            return true;
        }

        int colon = text.LastIndexOf(':');
        string host = colon < 0 ? text : text[..colon];
        int port = ConfigKeys.DefaultPort;
        if (colon >= 0 && (!int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) || port is 0 or > 65535)) return false;
        if (IPAddress.TryParse(host, out ip))
        {
            address = Multiaddr.Of(new IPEndPoint(ip, port));
            return true;
        }

        return Uri.CheckHostName(host) == UriHostNameType.Dns && Multiaddr.TryParse($"/dns/{host}/tcp/{port}", out address);
    }

    /// <summary>Reads a network: <c>10.0.0.0/8</c>, <c>/ip4/10.0.0.0/ipcidr/8</c>, or one address.</summary>
    public static bool TryParseNetwork(string text, out IPNetwork network)
    {
        network = default;
        if (text.StartsWith('/'))
        {
            if (!Multiaddr.TryParse(text, out Multiaddr? address) || !address.TryGetIp(out IPAddress? ip) || !address.TryGetValue(MultiaddrProtocol.IpCidr, out ReadOnlySpan<byte> bits)) return false;
            text = string.Create(CultureInfo.InvariantCulture, $"{ip}/{bits[0]}");
        }
        else if (!text.Contains(':', StringComparison.Ordinal) && text.AsSpan().Count('.') != 3)
        {
            // Once upon a time 1.2.3 was an address, 1.2.0.3: who writes it today means something else.
            return false;
        }
        else if (!text.Contains('/', StringComparison.Ordinal))
        {
            if (!IPAddress.TryParse(text, out IPAddress? one)) return false;
            text = $"{one}/{(one.AddressFamily == AddressFamily.InterNetwork ? 32 : 128)}";
        }

        return IPNetwork.TryParse(text, out network);
    }
}
