// The messages of AutoNAT. https://github.com/libp2p/specs/blob/master/autonat/autonat-v1.md
//
//   Message      { type = 1, dial = 2 { peer = 1 { id = 1, addrs = 2 (repeated) } }, dialResponse = 3 { status = 1, statusText = 2, addr = 3 } }

using System.Runtime.InteropServices;
using System.Text;
using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.AutoNat;

/// <summary>What came of dialling.</summary>
internal enum AutoNatStatus
{
    /// <summary>An address answered.</summary>
    Ok = 0,

    /// <summary>None did.</summary>
    DialError = 100,

    /// <summary>It was not tried.</summary>
    DialRefused = 101,

    /// <summary>The question was none.</summary>
    BadRequest = 200,

    /// <summary>It could not be tried.</summary>
    InternalError = 300,
}

/// <summary>A question, or an answer.</summary>
internal sealed record AutoNatMessage
{
    /// <summary>The longest message.</summary>
    public const int MaxLength = 8 * 1024;

    private const int MaxAddresses = 64;
    private const int MaxTextLength = 256;

    private const ulong DialType = 0, ResponseType = 1;
    private const byte TypeTag = 0x08, DialTag = 0x12, ResponseTag = 0x1A;
    private const byte PeerTag = 0x0A, IdTag = 0x0A, AddressTag = 0x12;
    private const byte StatusTag = 0x08, TextTag = 0x12, DialledTag = 0x1A;

    /// <summary>Asks to be dialled: who.</summary>
    public PeerId? Peer { get; init; }

    /// <summary>Asks to be dialled: where.</summary>
    public IReadOnlyList<Multiaddr> Addresses { get; init; } = [];

    /// <summary>Answers: what came of it; null in a question.</summary>
    public AutoNatStatus? Status { get; init; }

    /// <summary>Answers: why.</summary>
    public string StatusText { get; init; } = "";

    /// <summary>Answers: the address that answered.</summary>
    public Multiaddr? Dialled { get; init; }

    /// <summary>Reads a message.</summary>
    /// <exception cref="Libp2pException">It is none.</exception>
    public static AutoNatMessage Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new ProtobufReader(bytes, Refuse);
        ulong type = ulong.MaxValue;
        ReadOnlySpan<byte> dial = default;
        ReadOnlySpan<byte> response = default;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case TypeTag:
                    type = reader.ReadVarint();
                    break;
                case DialTag:
                    dial = reader.ReadBytes();
                    break;
                case ResponseTag:
                    response = reader.ReadBytes();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        return type switch
        {
            DialType => ReadDial(dial),
            ResponseType => ReadResponse(response),
            _ => throw Refuse("a message of no known type"),
        };
    }

    /// <summary>The message's bytes.</summary>
    public byte[] ToArray()
    {
        var bytes = new List<byte>(512);
        var inner = new List<byte>(512);
        if (Status is { } status)
        {
            Protobuf.WriteNumber(inner, StatusTag, (ulong)status);
            if (StatusText.Length > 0)
            {
                Protobuf.WriteBytes(inner, TextTag, Encoding.UTF8.GetBytes(StatusText));
            }

            if (Dialled != null)
            {
                Protobuf.WriteBytes(inner, DialledTag, Dialled.Bytes);
            }

            Protobuf.WriteNumber(bytes, TypeTag, ResponseType);
            Protobuf.WriteBytes(bytes, ResponseTag, CollectionsMarshal.AsSpan(inner));
        }
        else
        {
            var peer = new List<byte>(512);
            Protobuf.WriteBytes(peer, IdTag, Peer!.Value.ToArray());
            foreach (Multiaddr address in Addresses)
            {
                Protobuf.WriteBytes(peer, AddressTag, address.Bytes);
            }

            Protobuf.WriteBytes(inner, PeerTag, CollectionsMarshal.AsSpan(peer));
            Protobuf.WriteNumber(bytes, TypeTag, DialType);
            Protobuf.WriteBytes(bytes, DialTag, CollectionsMarshal.AsSpan(inner));
        }

        return [.. bytes];
    }

    private static AutoNatMessage ReadDial(ReadOnlySpan<byte> bytes)
    {
        var reader = new ProtobufReader(bytes, Refuse);
        PeerId? peer = null;
        var addresses = new List<Multiaddr>();
        while (reader.TryReadTag(out ulong tag))
        {
            if (tag != PeerTag)
            {
                reader.Skip(tag);
                continue;
            }

            var inner = new ProtobufReader(reader.ReadBytes(), Refuse);
            while (inner.TryReadTag(out ulong innerTag))
            {
                switch (innerTag)
                {
                    case IdTag:
                        peer = PeerId.TryRead(inner.ReadBytes(), out PeerId id) ? id : throw Refuse("an id that is none");
                        break;
                    case AddressTag:
                        // Addresses of unknown transports are many, and of no use.
                        if (Multiaddr.TryRead(inner.ReadBytes(), out Multiaddr? address) && addresses.Count < MaxAddresses)
                        {
                            addresses.Add(address);
                        }

                        break;
                    default:
                        inner.Skip(innerTag);
                        break;
                }
            }
        }

        return new AutoNatMessage { Peer = peer, Addresses = addresses };
    }

    private static AutoNatMessage ReadResponse(ReadOnlySpan<byte> bytes)
    {
        var reader = new ProtobufReader(bytes, Refuse);
        ulong status = (ulong)AutoNatStatus.Ok;
        string text = "";
        Multiaddr? dialled = null;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case StatusTag:
                    status = reader.ReadVarint();
                    break;
                case TextTag:
                    ReadOnlySpan<byte> utf8 = reader.ReadBytes();
                    text = Encoding.UTF8.GetString(utf8[..Math.Min(utf8.Length, MaxTextLength)]);
                    break;
                case DialledTag:
                    dialled = Multiaddr.TryRead(reader.ReadBytes(), out Multiaddr? address) ? address : null;
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        return new AutoNatMessage
        {
            Status = status <= int.MaxValue && Enum.IsDefined((AutoNatStatus)status) ? (AutoNatStatus)status : AutoNatStatus.InternalError,
            StatusText = text,
            Dialled = dialled,
        };
    }

    private static Libp2pException Refuse(string why) => Libp2pException.Violation($"AutoNAT: {why}.");
}
