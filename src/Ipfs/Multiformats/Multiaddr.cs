// Where a peer is and how to speak with it, layer by layer: /ip4/203.0.113.7/tcp/4800/p2p/12D3Koo… What is equal has equal bytes.
// https://github.com/multiformats/multiaddr

using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Text;
using Leither.Ipfs.Keys;

namespace Leither.Ipfs.Multiformats;

/// <summary>A self-describing network address. Immutable; everything in it has been checked, so reading its parts cannot fail.</summary>
public sealed class Multiaddr : IEquatable<Multiaddr>
{
    /// <summary>The most bytes of an address. Real ones have under 200; the bound keeps what peers announce about each other small.</summary>
    public const int MaxLength = 1024;

    /// <summary>The most characters of an address's text.</summary>
    public const int MaxTextLength = 4 * MaxLength;

    private readonly byte[] _bytes;
    private string? _text;

    private Multiaddr(byte[] bytes)
    {
        _bytes = bytes;
    }

    /// <summary>The address on the wire.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>The address of a TCP socket.</summary>
    public static Multiaddr Of(IPEndPoint endPoint)
    {
        IPAddress ip = endPoint.Address.IsIPv4MappedToIPv6 ? endPoint.Address.MapToIPv4() : endPoint.Address;
        Span<byte> port = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(port, (ushort)endPoint.Port);
        var buffer = new Builder();
        byte[] address = ip.GetAddressBytes();
        // A link-local address without its interface could not be dialled again.
        if (ip.IsIPv6LinkLocal && ip.ScopeId != 0)
        {
            buffer.Add(MultiaddrProtocol.Ip6Zone, Encoding.UTF8.GetBytes(ip.ScopeId.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        }

        buffer.Add(address.Length == 4 ? MultiaddrProtocol.Ip4 : MultiaddrProtocol.Ip6, address);
        buffer.Add(MultiaddrProtocol.Tcp, port);
        return new Multiaddr(buffer.ToArray());
    }

    /// <summary>Reads an address's text.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static Multiaddr Parse(string text) =>
        TryParse(text, out Multiaddr? address) ? address : throw new FormatException($"'{(text.Length <= 200 ? text : text[..200] + "…")}' is no multiaddr.");

    /// <summary>Reads an address's text.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, [NotNullWhen(true)] out Multiaddr? address)
    {
        address = null;
        if (text == null || text.Length is < 2 or > MaxTextLength || text[0] != '/')
        {
            return false;
        }

        var buffer = new Builder();
        int at = 1;
        // A slash at the end adds nothing.
        while (at < text.Length)
        {
            string name = Next(text, ref at);
            if (!MultiaddrProtocol.TryGet(name, out MultiaddrProtocol? protocol))
            {
                return false;
            }

            byte[]? value = [];
            if (protocol.ValueLength != 0)
            {
                if (at >= text.Length)
                {
                    return false;
                }

                string valueText;
                if (protocol.IsPath)
                {
                    valueText = text[at..].TrimEnd('/');
                    at = text.Length;
                }
                else
                {
                    valueText = Next(text, ref at);
                }

                value = protocol.ToBytes(valueText);
            }

            if (value == null || !buffer.TryAdd(protocol, value))
            {
                return false;
            }
        }

        address = buffer.Length == 0 ? null : new Multiaddr(buffer.ToArray());
        return address != null;
    }

    /// <summary>Reads an address's bytes; false if they are not one address to their end, of known protocols, in the one encoding that it has.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out Multiaddr? address)
    {
        address = null;
        if (bytes.Length is 0 or > MaxLength)
        {
            return false;
        }

        for (ReadOnlySpan<byte> rest = bytes; !rest.IsEmpty;)
        {
            if (!TrySplit(rest, out MultiaddrProtocol? protocol, out ReadOnlySpan<byte> value, out int used)
                || protocol.ToText(value) is not { } text
                // Values that text would write otherwise (a peer id as CID, an escape) have a second encoding.
                || (protocol.ValueLength == MultiaddrProtocol.Variable && !value.SequenceEqual(protocol.ToBytes(protocol.IsPath ? text[1..] : text))))
            {
                return false;
            }

            rest = rest[used..];
        }

        address = new Multiaddr(bytes.ToArray());
        return true;
    }

    /// <summary>Its parts in order.</summary>
    public Components GetEnumerator() => new(_bytes);

    /// <summary>Whether some part is of this protocol.</summary>
    public bool Has(MultiaddrProtocol protocol) => TryGetValue(protocol, out _);

    /// <summary>The value of the first part of a protocol.</summary>
    public bool TryGetValue(MultiaddrProtocol protocol, out ReadOnlySpan<byte> value)
    {
        foreach (MultiaddrComponent component in this)
        {
            if (component.Protocol == protocol)
            {
                value = component.Value;
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <summary>The peer that the address ends with: behind a relay that is not the relay.</summary>
    public bool TryGetPeerId(out PeerId id)
    {
        id = default;
        ReadOnlySpan<byte> last = default;
        foreach (MultiaddrComponent component in this)
        {
            last = component.Protocol == MultiaddrProtocol.P2p ? component.Value : default;
        }

        return !last.IsEmpty && PeerId.TryRead(last, out id);
    }

    /// <summary>Its IP address, if it begins with one.</summary>
    public bool TryGetIp([NotNullWhen(true)] out IPAddress? ip)
    {
        ip = null;
        long zone = 0;
        foreach (MultiaddrComponent component in this)
        {
            if (component.Protocol == MultiaddrProtocol.Ip6Zone)
            {
                _ = long.TryParse(component.Value, System.Globalization.NumberStyles.None, null, out zone);
                continue;
            }

            ip = component.Protocol == MultiaddrProtocol.Ip4 ? new IPAddress(component.Value)
                : component.Protocol == MultiaddrProtocol.Ip6 ? new IPAddress(component.Value, Math.Min(zone, uint.MaxValue)) : null;
            break;
        }

        return ip != null;
    }

    /// <summary>
    /// The TCP socket that it names: an IP address, a port, and perhaps a peer, nothing else. What says more (WebSocket, a relay) is another transport's.
    /// </summary>
    public bool TryGetTcp([NotNullWhen(true)] out IPEndPoint? endPoint)
    {
        endPoint = null;
        if (!TryGetIp(out IPAddress? ip))
        {
            return false;
        }

        int port = -1;
        foreach (MultiaddrComponent component in this)
        {
            if (component.Protocol == MultiaddrProtocol.Tcp && port < 0)
            {
                port = BinaryPrimitives.ReadUInt16BigEndian(component.Value);
            }
            else if (port < 0 ? component.Protocol != MultiaddrProtocol.Ip4 && component.Protocol != MultiaddrProtocol.Ip6 && component.Protocol != MultiaddrProtocol.Ip6Zone
                : component.Protocol != MultiaddrProtocol.P2p)
            {
                return false;
            }
        }

        endPoint = port < 0 ? null : new IPEndPoint(ip, port);
        return endPoint != null;
    }

    /// <summary>This address and what follows inside it.</summary>
    /// <exception cref="ArgumentException">Both together are too long.</exception>
    public Multiaddr Encapsulate(Multiaddr inner) => _bytes.Length + inner._bytes.Length <= MaxLength ? new Multiaddr([.. _bytes, .. inner._bytes])
        : throw new ArgumentException($"An address has at most {MaxLength} bytes.", nameof(inner));

    /// <summary>The address with this peer at its end.</summary>
    public Multiaddr WithPeer(PeerId peer)
    {
        if (TryGetPeerId(out PeerId there) && there == peer)
        {
            return this;
        }

        var buffer = new Builder();
        buffer.Add(MultiaddrProtocol.P2p, peer.ToArray());
        return WithoutPeer() is { } rest ? rest.Encapsulate(new Multiaddr(buffer.ToArray())) : new Multiaddr(buffer.ToArray());
    }

    /// <summary>The address without the peer at its end; null if nothing else is in it.</summary>
    public Multiaddr? WithoutPeer()
    {
        int end = _bytes.Length;
        int at = 0;
        foreach (MultiaddrComponent component in this)
        {
            end = component.Protocol == MultiaddrProtocol.P2p ? at : _bytes.Length;
            at += component.Length;
        }

        return end == _bytes.Length ? this : end == 0 ? null : new Multiaddr(_bytes[..end]);
    }

    /// <summary>The address in text.</summary>
    public override string ToString()
    {
        if (_text == null)
        {
            var text = new StringBuilder();
            foreach (MultiaddrComponent component in this)
            {
                text.Append('/').Append(component.Protocol.Name);
                if (component.Protocol.ValueLength != 0)
                {
                    if (!component.Protocol.IsPath)
                    {
                        text.Append('/');
                    }

                    text.Append(component.Text);
                }
            }

            _text = text.ToString();
        }

        return _text;
    }

    /// <inheritdoc/>
    public bool Equals(Multiaddr? other) => other != null && _bytes.AsSpan().SequenceEqual(other._bytes);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Multiaddr);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = default(HashCode);
        hash.AddBytes(_bytes);
        return hash.ToHashCode();
    }

    private static string Next(string text, ref int at)
    {
        int slash = text.IndexOf('/', at);
        string part = slash < 0 ? text[at..] : text[at..slash];
        at = slash < 0 ? text.Length : slash + 1;
        return part;
    }

    private static bool TrySplit(ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out MultiaddrProtocol? protocol, out ReadOnlySpan<byte> value, out int used)
    {
        protocol = null;
        value = default;
        if (!Varint.TryRead(bytes, out ulong code, out used) || !MultiaddrProtocol.TryGet(code, out protocol))
        {
            return false;
        }

        ulong length = (ulong)protocol.ValueLength;
        if (protocol.ValueLength == MultiaddrProtocol.Variable)
        {
            if (!Varint.TryRead(bytes[used..], out length, out int lengthLength))
            {
                return false;
            }

            used += lengthLength;
        }

        if (length > (ulong)(bytes.Length - used))
        {
            return false;
        }

        value = bytes.Slice(used, (int)length);
        used += (int)length;
        return true;
    }

    /// <summary>Walks the parts of an address.</summary>
    public ref struct Components
    {
        private ReadOnlySpan<byte> _rest;

        internal Components(ReadOnlySpan<byte> bytes)
        {
            _rest = bytes;
            Current = default;
        }

        /// <summary>The part.</summary>
        public MultiaddrComponent Current { get; private set; }

        /// <summary>Goes to the next part.</summary>
        public bool MoveNext()
        {
            if (_rest.IsEmpty || !TrySplit(_rest, out MultiaddrProtocol? protocol, out ReadOnlySpan<byte> value, out int used))
            {
                return false;
            }

            _rest = _rest[used..];
            Current = new MultiaddrComponent(protocol, value, used);
            return true;
        }
    }

    private struct Builder
    {
        private byte[] _bytes = new byte[64];

        public Builder()
        {
        }

        public int Length { get; private set; }

        public void Add(MultiaddrProtocol protocol, ReadOnlySpan<byte> value)
        {
            if (!TryAdd(protocol, value))
            {
                throw new ArgumentException($"An address has at most {MaxLength} bytes.", nameof(value));
            }
        }

        public bool TryAdd(MultiaddrProtocol protocol, ReadOnlySpan<byte> value)
        {
            int needed = Length + 2 * Varint.MaxLength + value.Length;
            if (needed > MaxLength + 2 * Varint.MaxLength)
            {
                return false;
            }

            if (_bytes.Length < needed)
            {
                Array.Resize(ref _bytes, Math.Max(needed, 2 * _bytes.Length));
            }

            int at = Length + Varint.Write(_bytes.AsSpan(Length), protocol.Code);
            if (protocol.ValueLength == MultiaddrProtocol.Variable)
            {
                at += Varint.Write(_bytes.AsSpan(at), (ulong)value.Length);
            }

            value.CopyTo(_bytes.AsSpan(at));
            Length = at + value.Length;
            return Length <= MaxLength;
        }

        public readonly byte[] ToArray() => _bytes.AsSpan(0, Length).ToArray();
    }
}

/// <summary>One part of a <see cref="Multiaddr"/>.</summary>
public readonly ref struct MultiaddrComponent
{
    internal MultiaddrComponent(MultiaddrProtocol protocol, ReadOnlySpan<byte> value, int length)
    {
        Protocol = protocol;
        Value = value;
        Length = length;
    }

    /// <summary>The protocol.</summary>
    public MultiaddrProtocol Protocol { get; }

    /// <summary>The value on the wire, empty for protocols without.</summary>
    public ReadOnlySpan<byte> Value { get; }

    /// <summary>The value in text, empty for protocols without.</summary>
    public string Text => Protocol.ToText(Value) ?? "";

    /// <summary>How many bytes the part takes in the address.</summary>
    internal int Length { get; }
}
