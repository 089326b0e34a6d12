// The protocols of which multiaddrs are made. A component on the wire is the protocol's code as a varint, then its value: of a fixed
// number of bytes, or of a varint's length. Whoever does not know a code does not know where its value ends, so an unknown one spoils the address.
// https://github.com/multiformats/multiaddr/blob/master/protocols.csv

using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Leither.Ipfs.Keys;

namespace Leither.Ipfs.Multiformats;

/// <summary>One protocol of the multiaddr table: its code, its name, and how its value reads as bytes and as text.</summary>
public sealed class MultiaddrProtocol
{
    /// <summary>The value's length is written before it.</summary>
    internal const int Variable = -1;

    private static readonly SearchValues<char> _ip6Characters = SearchValues.Create("0123456789abcdefABCDEF:.");
    private static readonly UTF8Encoding _strictUtf8 = new(false, throwOnInvalidBytes: true);

    private readonly Func<ReadOnlySpan<byte>, string?> _toText;
    private readonly Func<string, byte[]?> _toBytes;

    private MultiaddrProtocol(ulong code, string name, int valueLength, Func<ReadOnlySpan<byte>, string?> toText, Func<string, byte[]?> toBytes, bool isPath = false)
    {
        Code = code;
        Name = name;
        ValueLength = valueLength;
        IsPath = isPath;
        _toText = toText;
        _toBytes = toBytes;
    }

    /// <summary>An IPv4 address.</summary>
    public static MultiaddrProtocol Ip4 { get; } = new(4, "ip4", 4, IpToText, text => TryParseIp4(text));

    /// <summary>A port of TCP.</summary>
    public static MultiaddrProtocol Tcp { get; } = OfPort(6, "tcp");

    /// <summary>A port of UDP.</summary>
    public static MultiaddrProtocol Udp { get; } = OfPort(273, "udp");

    /// <summary>A port of DCCP.</summary>
    public static MultiaddrProtocol Dccp { get; } = OfPort(33, "dccp");

    /// <summary>A port of SCTP.</summary>
    public static MultiaddrProtocol Sctp { get; } = OfPort(132, "sctp");

    /// <summary>An IPv6 address.</summary>
    public static MultiaddrProtocol Ip6 { get; } = new(41, "ip6", 16, IpToText, TryParseIp6);

    /// <summary>The zone of the IPv6 address that follows.</summary>
    public static MultiaddrProtocol Ip6Zone { get; } = OfName(42, "ip6zone");

    /// <summary>How many leading bits of the address before it count.</summary>
    public static MultiaddrProtocol IpCidr { get; } = new(43, "ipcidr", 1,
        bytes => bytes[0].ToString(CultureInfo.InvariantCulture), text => TryParseNumber(text, byte.MaxValue, out int number) ? [(byte)number] : null);

    /// <summary>A name with addresses of either family.</summary>
    public static MultiaddrProtocol Dns { get; } = OfName(53, "dns");

    /// <summary>A name with IPv4 addresses.</summary>
    public static MultiaddrProtocol Dns4 { get; } = OfName(54, "dns4");

    /// <summary>A name with IPv6 addresses.</summary>
    public static MultiaddrProtocol Dns6 { get; } = OfName(55, "dns6");

    /// <summary>A name whose TXT records are multiaddrs.</summary>
    public static MultiaddrProtocol DnsAddr { get; } = OfName(56, "dnsaddr");

    /// <summary>A relay: what stands before it is the way to the relay, what follows the peer behind it.</summary>
    public static MultiaddrProtocol P2pCircuit { get; } = OfNothing(290, "p2p-circuit");

    /// <summary>A socket in the file system; the path is all that follows.</summary>
    public static MultiaddrProtocol Unix { get; } = new(400, "unix", Variable, bytes => TextOf(bytes, slashes: true) is { } text ? "/" + text.TrimStart('/') : null,
        text => text.Trim('/') is { Length: > 0 } path ? Utf8Of("/" + path) : null, isPath: true);

    /// <summary>A peer.</summary>
    public static MultiaddrProtocol P2p { get; } = new(421, "p2p", Variable,
        bytes => PeerId.TryRead(bytes, out PeerId id) ? id.ToString() : null, text => PeerId.TryParse(text, out PeerId id) ? id.ToArray() : null);

    /// <summary>An onion service of version 2.</summary>
    public static MultiaddrProtocol Onion { get; } = OfOnion(444, "onion", 10);

    /// <summary>An onion service of version 3.</summary>
    public static MultiaddrProtocol Onion3 { get; } = OfOnion(445, "onion3", 35);

    /// <summary>TLS.</summary>
    public static MultiaddrProtocol Tls { get; } = OfNothing(448, "tls");

    /// <summary>The server's name in TLS.</summary>
    public static MultiaddrProtocol Sni { get; } = OfName(449, "sni");

    /// <summary>Noise.</summary>
    public static MultiaddrProtocol Noise { get; } = OfNothing(454, "noise");

    /// <summary>QUIC as it was drafted.</summary>
    public static MultiaddrProtocol Quic { get; } = OfNothing(460, "quic");

    /// <summary>QUIC, RFC 9000.</summary>
    public static MultiaddrProtocol QuicV1 { get; } = OfNothing(461, "quic-v1");

    /// <summary>WebTransport.</summary>
    public static MultiaddrProtocol WebTransport { get; } = OfNothing(465, "webtransport");

    /// <summary>The hash of a certificate that will be shown.</summary>
    public static MultiaddrProtocol CertHash { get; } = new(466, "certhash", Variable,
        bytes => IsMultihash(bytes) ? Multibase.Encode(MultibaseEncoding.Base64Url, bytes) : null,
        text => Multibase.TryDecode(text, out byte[]? bytes, out _) && IsMultihash(bytes) ? bytes : null);

    /// <summary>WebSocket.</summary>
    public static MultiaddrProtocol Ws { get; } = OfNothing(477, "ws");

    /// <summary>WebSocket over TLS.</summary>
    public static MultiaddrProtocol Wss { get; } = OfNothing(478, "wss");

    /// <summary>HTTP.</summary>
    public static MultiaddrProtocol Http { get; } = OfNothing(480, "http");

    /// <summary>The path of an HTTP resource, percent-encoded in text.</summary>
    public static MultiaddrProtocol HttpPath { get; } = new(481, "http-path", Variable,
        bytes => TextOf(bytes, slashes: true) is { } text ? Uri.EscapeDataString(text) : null, text => Utf8Of(Uri.UnescapeDataString(text)));

    /// <summary>HTTP over TLS.</summary>
    public static MultiaddrProtocol Https { get; } = OfNothing(443, "https");

    /// <summary>WebRTC between browsers.</summary>
    public static MultiaddrProtocol WebRtc { get; } = OfNothing(281, "webrtc");

    /// <summary>WebRTC without a server between.</summary>
    public static MultiaddrProtocol WebRtcDirect { get; } = OfNothing(280, "webrtc-direct");

    private static readonly MultiaddrProtocol[] _all =
    [
        Ip4, Tcp, Udp, Dccp, Sctp, Ip6, Ip6Zone, IpCidr, Dns, Dns4, Dns6, DnsAddr, P2pCircuit, Unix, P2p, Onion, Onion3, Tls, Sni, Noise, Quic, QuicV1, WebTransport, CertHash,
        Ws, Wss, Http, HttpPath, Https, WebRtc, WebRtcDirect,
        // Names that are met in addresses of other nodes, and never dialled here.
        OfNothing(301, "udt"), OfNothing(302, "utp"), OfNothing(275, "p2p-webrtc-star"), OfNothing(276, "p2p-webrtc-direct"), OfNothing(277, "p2p-stardust"),
        OfNothing(479, "p2p-websocket-star"), OfNothing(7367777, "plaintextv2"),
    ];

    private static readonly Dictionary<ulong, MultiaddrProtocol> _byCode = _all.ToDictionary(p => p.Code);
    private static readonly Dictionary<string, MultiaddrProtocol> _byName = _all.ToDictionary(p => p.Name, StringComparer.Ordinal);

    /// <summary>The number on the wire.</summary>
    public ulong Code { get; }

    /// <summary>The name in text.</summary>
    public string Name { get; }

    /// <summary>Whether the text of the value is all that follows, slashes included.</summary>
    internal bool IsPath { get; }

    /// <summary>How many bytes a value has, or <see cref="Variable"/>.</summary>
    internal int ValueLength { get; }

    /// <summary>The protocol with this code.</summary>
    public static bool TryGet(ulong code, [NotNullWhen(true)] out MultiaddrProtocol? protocol) => _byCode.TryGetValue(code, out protocol);

    /// <summary>The protocol with this name; "ipfs" is what "p2p" was called once.</summary>
    public static bool TryGet(string name, [NotNullWhen(true)] out MultiaddrProtocol? protocol) => _byName.TryGetValue(name == "ipfs" ? "p2p" : name, out protocol);

    /// <summary>The name.</summary>
    public override string ToString() => Name;

    /// <summary>A value's text; null if it is none of this protocol.</summary>
    internal string? ToText(ReadOnlySpan<byte> value) => _toText(value);

    /// <summary>A text's value; null if it is none of this protocol.</summary>
    internal byte[]? ToBytes(string text) => _toBytes(text);

    private static MultiaddrProtocol OfNothing(ulong code, string name) => new(code, name, 0, _ => "", _ => []);

    private static MultiaddrProtocol OfPort(ulong code, string name) => new(code, name, 2,
        bytes => BinaryPrimitives.ReadUInt16BigEndian(bytes).ToString(CultureInfo.InvariantCulture), PortOf);

    private static MultiaddrProtocol OfName(ulong code, string name) => new(code, name, Variable, bytes => TextOf(bytes, slashes: false),
        text => Utf8Of(text) is { } bytes && TextOf(bytes, slashes: false) != null ? bytes : null);

    private static MultiaddrProtocol OfOnion(ulong code, string name, int addressLength) => new(code, name, addressLength + 2,
        bytes => Multibase.EncodeBare(MultibaseEncoding.Base32, bytes[..addressLength]) + ":"
            + BinaryPrimitives.ReadUInt16BigEndian(bytes[addressLength..]).ToString(CultureInfo.InvariantCulture),
        text =>
        {
            int colon = text.IndexOf(':', StringComparison.Ordinal);
            return colon > 0 && PortOf(text[(colon + 1)..]) is { } port && (port[0] | port[1]) != 0
                && Multibase.TryDecodeBare(MultibaseEncoding.Base32, text.AsSpan(0, colon), out byte[]? address) && address.Length == addressLength
                ? [.. address, .. port] : null;
        });

    private static byte[]? PortOf(string text) => TryParseNumber(text, ushort.MaxValue, out int port) ? [(byte)(port >> 8), (byte)port] : null;

    /// <summary>Digits alone: a sign, blanks or a zero in front would be second texts of the same number.</summary>
    private static bool TryParseNumber(ReadOnlySpan<char> text, int max, out int number)
    {
        number = 0;
        return text.Length is > 0 and <= 5 && (text.Length == 1 || text[0] != '0')
            && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number <= max;
    }

    private static string IpToText(ReadOnlySpan<byte> bytes) => new IPAddress(bytes).ToString();

    /// <summary>Four decimal numbers: the shorter and the octal forms that some readers take are refused, since readers differ about them.</summary>
    private static byte[]? TryParseIp4(ReadOnlySpan<char> text)
    {
        byte[] bytes = new byte[4];
        int count = 0;
        foreach (Range part in text.Split('.'))
        {
            if (count == 4 || !TryParseNumber(text[part], byte.MaxValue, out int number))
            {
                return null;
            }

            bytes[count++] = (byte)number;
        }

        return count == 4 ? bytes : null;
    }

    private static byte[]? TryParseIp6(string text) =>
        text.Length <= 45 && !text.AsSpan().ContainsAnyExcept(_ip6Characters)
        && IPAddress.TryParse(text, out IPAddress? address) && address.AddressFamily == AddressFamily.InterNetworkV6 ? address.GetAddressBytes() : null;

    private static bool IsMultihash(ReadOnlySpan<byte> bytes) => Multihash.TryRead(bytes, out _, out int used) && used == bytes.Length;

    private static byte[]? Utf8Of(string text)
    {
        try
        {
            return _strictUtf8.GetBytes(text);
        }
        catch (EncoderFallbackException)
        {
            return null;
        }
    }

    /// <summary>Text that can stand in an address: some, valid UTF-8, nothing that moves a terminal's cursor, no slash where a slash would end it.</summary>
    private static string? TextOf(ReadOnlySpan<byte> bytes, bool slashes)
    {
        if (bytes.IsEmpty)
        {
            return null;
        }

        try
        {
            string text = _strictUtf8.GetString(bytes);
            foreach (char c in text)
            {
                if (char.IsControl(c) || (c == '/' && !slashes))
                {
                    return null;
                }
            }

            return text;
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }
}
