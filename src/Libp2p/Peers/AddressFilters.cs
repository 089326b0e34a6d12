using System.Diagnostics.CodeAnalysis;
using System.Net;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Peers;

/// <summary>Networks that are neither dialled nor let in, as CIDR blocks. Safe for any number of threads.</summary>
public sealed class AddressFilters
{
    private volatile IPNetwork[] _denied = [];

    /// <summary>The networks.</summary>
    public IReadOnlyList<IPNetwork> Denied => _denied;

    /// <summary>Reads a network: <c>10.0.0.0/8</c>, or as a multiaddr <c>/ip4/10.0.0.0/ipcidr/8</c>.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out IPNetwork network)
    {
        network = default;
        if (text == null)
        {
            return false;
        }

        if (text.StartsWith('/'))
        {
            if (!Multiaddr.TryParse(text, out Multiaddr? address) || !address.TryGetIp(out IPAddress? ip) || !address.TryGetValue(MultiaddrProtocol.IpCidr, out ReadOnlySpan<byte> bits))
            {
                return false;
            }

            text = $"{ip}/{bits[0]}";
        }

        return IPNetwork.TryParse(text, out network);
    }

    /// <summary>Adds a network.</summary>
    public void Add(IPNetwork network)
    {
        lock (this)
        {
            if (!_denied.Contains(network))
            {
                _denied = [.. _denied, network];
            }
        }
    }

    /// <summary>Removes a network; false if it is not there.</summary>
    public bool Remove(IPNetwork network)
    {
        lock (this)
        {
            IPNetwork[] left = [.. _denied.Where(denied => !denied.Equals(network))];
            bool removed = left.Length < _denied.Length;
            _denied = left;
            return removed;
        }
    }

    /// <summary>Whether an address lies in one of the networks.</summary>
    public bool IsDenied(IPAddress address)
    {
        IPAddress plain = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        foreach (IPNetwork network in _denied)
        {
            if (network.Contains(plain))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether an address begins with an IP address in one of the networks.</summary>
    public bool IsDenied(Multiaddr address) => address.TryGetIp(out IPAddress? ip) && IsDenied(ip);
}
