using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.KadDht;

/// <summary>A peer as the DHT tells of it: who it is, and where it is said to be.</summary>
public sealed class KadPeer
{
    /// <summary>Names a peer and its addresses.</summary>
    public KadPeer(PeerId id, IReadOnlyList<Multiaddr> addresses)
    {
        Id = id;
        Addresses = addresses;
        Span<byte> bytes = stackalloc byte[PeerId.MaxLength];
        Key = KadKey.Of(bytes[..id.Multihash.Write(bytes)]);
    }

    private KadPeer(PeerId id, KadKey key, IReadOnlyList<Multiaddr> addresses)
    {
        Id = id;
        Key = key;
        Addresses = addresses;
    }

    /// <summary>Who it is.</summary>
    public PeerId Id { get; }

    /// <summary>Where it is said to be: hearsay, and possibly nothing.</summary>
    public IReadOnlyList<Multiaddr> Addresses { get; }

    internal KadKey Key { get; }

    /// <summary>The peer's id.</summary>
    public override string ToString() => Id.ToString();

    internal KadPeer With(IReadOnlyList<Multiaddr> addresses) => new(Id, Key, addresses);
}

/// <summary>Networks that one party is taken to own: who has many addresses in one of them counts once.</summary>
internal static class IpGroup
{
    /// <summary>For an address that says nothing about who owns it.</summary>
    public const ulong None = 0;

    /// <summary>The /16 of an IPv4 address, the /32 of an IPv6 one; none for those of a local network, where all are neighbours.</summary>
    public static ulong Of(IPAddress? address)
    {
        if (address == null || !IsPublic(address))
        {
            return None;
        }

        Span<byte> bytes = stackalloc byte[16];
        IPAddress plain = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        plain.TryWriteBytes(bytes, out int length);
        ulong head = ((ulong)bytes[0] << 24) | ((ulong)bytes[1] << 16) | ((ulong)bytes[2] << 8) | bytes[3];
        return length == 4 ? (1UL << 32) | (head >> 16) : (2UL << 32) | head;
    }

    /// <summary>Whether an address can be reached from everywhere.</summary>
    public static bool IsPublic(IPAddress address)
    {
        IPAddress plain = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        if (IPAddress.IsLoopback(plain) || plain.IsIPv6LinkLocal || plain.IsIPv6SiteLocal || plain.IsIPv6UniqueLocal || plain.IsIPv6Multicast || plain.Equals(IPAddress.IPv6Any))
        {
            return false;
        }

        Span<byte> b = stackalloc byte[16];
        plain.TryWriteBytes(b, out int length);
        return length != 4 || b[0] switch
        {
            0 or 10 or 127 or >= 224 => false,
            100 => b[1] is < 64 or > 127,
            169 => b[1] != 254,
            172 => b[1] is < 16 or > 31,
            192 => b[1] != 168,
            _ => true,
        };
    }

    /// <summary>Whether an address can be reached from everywhere, as far as it can be told: names are taken to be public.</summary>
    public static bool IsPublic(Multiaddr address) =>
        address.TryGetIp(out IPAddress? ip) ? IsPublic(ip)
        : address.Has(MultiaddrProtocol.Dns) || address.Has(MultiaddrProtocol.Dns4) || address.Has(MultiaddrProtocol.Dns6);
}
