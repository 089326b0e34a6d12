namespace Leither.Node.Transport;

/// <summary>What may arrive on the one port.</summary>
public enum PortProtocol
{
    /// <summary>Not told yet: more bytes are needed.</summary>
    Unknown,

    /// <summary>RESP, in arrays or inline.</summary>
    Resp,

    /// <summary>HTTP/1.x, or the preface of HTTP/2.</summary>
    Http,

    /// <summary>A TLS handshake.</summary>
    Tls,

    /// <summary>The multistream header with which libp2p starts.</summary>
    Libp2p,
}

/// <summary>
/// Tells the protocols of the one port apart by the first bytes of a connection. RESP is the default: what is nothing else for
/// certain is RESP's to accept or refuse. In particular an inline <c>GET key</c> is RESP; HTTP only is a first line that
/// ends in its version.
/// </summary>
public static class ProtocolSniffer
{
    /// <summary>A request line longer than this is nobody's; RESP answers that it is too long.</summary>
    public const int MaxLineBytes = 64 * 1024;

    private const byte TlsHandshake = 0x16;

    private static ReadOnlySpan<byte> MultistreamHeader => "\u0013/multistream/1.0.0\n"u8;

    /// <summary>Looks at the first bytes.</summary>
    /// <returns>The protocol, or <see cref="PortProtocol.Unknown"/> while too few bytes are there to tell.</returns>
    public static PortProtocol Sniff(ReadOnlySpan<byte> first)
    {
        if (first.IsEmpty)
        {
            return PortProtocol.Unknown;
        }

        byte start = first[0];
        if (start == TlsHandshake)
        {
            return PortProtocol.Tls;
        }

        if (start == MultistreamHeader[0])
        {
            int length = Math.Min(first.Length, MultistreamHeader.Length);
            return !first[..length].SequenceEqual(MultistreamHeader[..length]) ? PortProtocol.Resp
                : length == MultistreamHeader.Length ? PortProtocol.Libp2p
                : PortProtocol.Unknown;
        }

        // Methods are capital letters, so most first bytes settle it; an inline command cannot be run before its line is whole either.
        if (start is < (byte)'A' or > (byte)'Z')
        {
            return PortProtocol.Resp;
        }

        int end = first.IndexOf((byte)'\n');
        if (end < 0)
        {
            return first.Length < MaxLineBytes ? PortProtocol.Unknown : PortProtocol.Resp;
        }

        return IsRequestLine(first[..end].TrimEnd((byte)'\r')) ? PortProtocol.Http : PortProtocol.Resp;
    }

    private static bool IsRequestLine(ReadOnlySpan<byte> line)
    {
        if (line.SequenceEqual("PRI * HTTP/2.0"u8))
        {
            return true;
        }

        ReadOnlySpan<byte> version = " HTTP/1."u8;
        return line.Length > version.Length + 1
            && line[^1] is >= (byte)'0' and <= (byte)'9'
            && line[..^1].EndsWith(version)
            && line[..^(version.Length + 1)].Contains((byte)' ');
    }
}
