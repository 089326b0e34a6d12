// What peers say to each other in Bitswap: what they want, what they have, blocks. https://specs.ipfs.tech/bitswap-protocol/
//
//   Message  { wantlist = 1 { entries = 1 (repeated), full = 2 }, blocks = 2 (1.0.0), payload = 3, presences = 4, pendingBytes = 5 }
//   Entry    { cid = 1, priority = 2, cancel = 3, wantType = 4 (0 block, 1 have), sendDontHave = 5 }
//   Payload  { prefix = 1 (version, codec, hash function, hash length: varints), data = 2 }       Presence { cid = 1, type = 2 (0 have, 1 don't) }
//
// A block comes without its name: whoever receives it computes the hash, so a block is always what its CID says, or nobody wanted it.

using System.Runtime.InteropServices;
using Leither.Ipfs;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Bitswap;

/// <summary>Something that is wanted, or no longer.</summary>
internal readonly record struct WantEntry(Cid Cid, int Priority, bool IsCancel, bool IsHave, bool SendDontHave);

/// <summary>Whether a block is there.</summary>
internal readonly record struct Presence(Cid Cid, bool Has);

/// <summary>A block, named by the hash that was computed of it.</summary>
internal readonly record struct ReceivedBlock(Cid Cid, ReadOnlyMemory<byte> Data);

/// <summary>A message.</summary>
internal sealed class BitswapMessage
{
    /// <summary>The longest message that is read: what go-libp2p's hosts send at most.</summary>
    public const int MaxLength = 4 << 20;

    /// <summary>The longest block, as the specification has it.</summary>
    public const int MaxBlockLength = 2 << 20;

    /// <summary>How many entries or presences of a message are looked at.</summary>
    public const int MaxEntries = 8192;

    /// <summary>How many blocks.</summary>
    public const int MaxBlocks = 4096;

    /// <summary>A longer block is not copied on its way out.</summary>
    private const int CopiedBlockLength = 4096;

    private const byte WantlistTag = 0x0A, BlocksTag = 0x12, PayloadTag = 0x1A, PresenceTag = 0x22, PendingTag = 0x28;
    private const byte EntriesTag = 0x0A, FullTag = 0x10;
    private const byte CidTag = 0x0A, PriorityTag = 0x10, CancelTag = 0x18, WantTypeTag = 0x20, SendDontHaveTag = 0x28;
    private const byte PrefixTag = 0x0A, DataTag = 0x12;
    private const byte PresenceTypeTag = 0x10;

    /// <summary>Whether the wants are all there are, and not changes to those before.</summary>
    public bool IsFull { get; init; }

    public List<WantEntry> Wants { get; init; } = [];

    public List<Presence> Presences { get; init; } = [];

    public List<ReceivedBlock> Blocks { get; init; } = [];

    /// <summary>How many bytes wait to be sent to the other side.</summary>
    public long PendingBytes { get; init; }

    public bool IsEmpty => Wants.Count == 0 && Presences.Count == 0 && Blocks.Count == 0;

    /// <summary>Reads a message. Blocks lie in its bytes and are not copied.</summary>
    /// <exception cref="Libp2pException">It is none.</exception>
    public static BitswapMessage Read(ReadOnlyMemory<byte> message)
    {
        var reader = new ProtobufReader(message.Span, Refuse);
        bool full = false;
        long pending = 0;
        List<WantEntry> wants = [];
        List<Presence> presences = [];
        List<ReceivedBlock> blocks = [];
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case WantlistTag:
                    full |= ReadWantlist(reader.ReadBytes(), wants);
                    break;
                case BlocksTag:
                    (int start, int length) = reader.ReadRange();
                    CheckLength(length);
                    if (blocks.Count < MaxBlocks)
                    {
                        ReadOnlyMemory<byte> data = message.Slice(start, length);
                        blocks.Add(new ReceivedBlock(Cid.CreateV0(Multihash.Sha256(data.Span)), data));
                    }

                    break;
                case PayloadTag:
                    (start, length) = reader.ReadRange();
                    ReadPayload(message.Slice(start, length), blocks);
                    break;
                case PresenceTag:
                    ReadPresence(reader.ReadBytes(), presences);
                    break;
                case PendingTag:
                    pending = (long)Math.Min(reader.ReadVarint(), int.MaxValue);
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        return new BitswapMessage { IsFull = full, Wants = wants, Presences = presences, Blocks = blocks, PendingBytes = pending };
    }

    /// <summary>The message's bytes for a peer that speaks this version; null where nothing is left that such a peer would understand.</summary>
    public byte[]? ToArray(BitswapVersion version)
    {
        List<ReadOnlyMemory<byte>> parts = ToParts(version);
        return parts.Count == 0 ? null : [.. parts.SelectMany(static part => part.ToArray())];
    }

    /// <summary>The message's bytes in parts, blocks as they lie, for a peer that speaks this version; none where nothing is left that such a peer would understand.</summary>
    public List<ReadOnlyMemory<byte>> ToParts(BitswapVersion version)
    {
        var parts = new List<ReadOnlyMemory<byte>>();
        var bytes = new List<byte>(64 + 48 * (Wants.Count + Presences.Count + Blocks.Count));
        var part = new List<byte>();
        var inner = new List<byte>();
        foreach (WantEntry want in Wants)
        {
            // Old peers know wants for blocks only.
            if (version < BitswapVersion.V1_2 && want.IsHave)
            {
                continue;
            }

            inner.Clear();
            Protobuf.WriteBytes(inner, CidTag, want.Cid.ToArray());
            Protobuf.WriteNumber(inner, PriorityTag, (ulong)Math.Max(want.Priority, 0));
            Flag(inner, CancelTag, want.IsCancel);
            Flag(inner, WantTypeTag, want.IsHave);
            Flag(inner, SendDontHaveTag, want.SendDontHave);
            Protobuf.WriteBytes(part, EntriesTag, CollectionsMarshal.AsSpan(inner));
        }

        if (part.Count > 0 || IsFull)
        {
            Flag(part, FullTag, IsFull);
            Protobuf.WriteBytes(bytes, WantlistTag, CollectionsMarshal.AsSpan(part));
        }

        foreach (ReceivedBlock block in Blocks)
        {
            if (version == BitswapVersion.V1_0)
            {
                Protobuf.WriteNumber(bytes, BlocksTag, (ulong)block.Data.Length);
                Append(block.Data);
                continue;
            }

            byte[] prefix = Prefix(block.Cid);
            int length = 2 + prefix.Length + 1 + Protobuf.VarintLength((ulong)block.Data.Length) + block.Data.Length;
            Protobuf.WriteNumber(bytes, PayloadTag, (ulong)length);
            Protobuf.WriteBytes(bytes, PrefixTag, prefix);
            Protobuf.WriteNumber(bytes, DataTag, (ulong)block.Data.Length);
            Append(block.Data);
        }

        if (version >= BitswapVersion.V1_2)
        {
            foreach (Presence presence in Presences)
            {
                inner.Clear();
                Protobuf.WriteBytes(inner, CidTag, presence.Cid.ToArray());
                Protobuf.WriteNumber(inner, PresenceTypeTag, presence.Has ? 0u : 1u);
                Protobuf.WriteBytes(bytes, PresenceTag, CollectionsMarshal.AsSpan(inner));
            }

            if (PendingBytes > 0)
            {
                Protobuf.WriteNumber(bytes, PendingTag, (ulong)Math.Min(PendingBytes, int.MaxValue));
            }
        }

        Cut();
        return parts;

        void Append(ReadOnlyMemory<byte> data)
        {
            if (data.Length <= CopiedBlockLength)
            {
                bytes.AddRange(data.Span);
                return;
            }

            Cut();
            parts.Add(data);
        }

        void Cut()
        {
            if (bytes.Count > 0)
            {
                parts.Add(bytes.ToArray());
                bytes.Clear();
            }
        }
    }

    private static void Flag(List<byte> bytes, byte tag, bool value)
    {
        if (value)
        {
            Protobuf.WriteNumber(bytes, tag, 1);
        }
    }

    private static bool ReadWantlist(ReadOnlySpan<byte> bytes, List<WantEntry> wants)
    {
        var reader = new ProtobufReader(bytes, Refuse);
        bool full = false;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case EntriesTag:
                    ReadEntry(reader.ReadBytes(), wants);
                    break;
                case FullTag:
                    full = reader.ReadVarint() != 0;
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        return full;
    }

    private static void ReadEntry(ReadOnlySpan<byte> bytes, List<WantEntry> wants)
    {
        var reader = new ProtobufReader(bytes, Refuse);
        ReadOnlySpan<byte> cid = default;
        ulong priority = 1;
        bool isCancel = false, isHave = false, sendDontHave = false;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case CidTag:
                    cid = reader.ReadBytes();
                    break;
                case PriorityTag:
                    priority = reader.ReadVarint();
                    break;
                case CancelTag:
                    isCancel = reader.ReadVarint() != 0;
                    break;
                case WantTypeTag:
                    isHave = reader.ReadVarint() == 1;
                    break;
                case SendDontHaveTag:
                    sendDontHave = reader.ReadVarint() != 0;
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        // A CID of a kind that is not known here is nothing that could be here.
        if (wants.Count < MaxEntries && Cid.TryRead(cid, out Cid read))
        {
            wants.Add(new WantEntry(read, (int)Math.Min(priority, int.MaxValue), isCancel, isHave, sendDontHave));
        }
    }

    private static void ReadPayload(ReadOnlyMemory<byte> payload, List<ReceivedBlock> blocks)
    {
        var reader = new ProtobufReader(payload.Span, Refuse);
        ReadOnlySpan<byte> prefix = default;
        (int Start, int Length) data = default;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case PrefixTag:
                    prefix = reader.ReadBytes();
                    break;
                case DataTag:
                    data = reader.ReadRange();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        CheckLength(data.Length);
        ReadOnlyMemory<byte> block = payload.Slice(data.Start, data.Length);
        if (blocks.Count < MaxBlocks && TryName(prefix, block.Span, out Cid cid))
        {
            blocks.Add(new ReceivedBlock(cid, block));
        }
    }

    private static void ReadPresence(ReadOnlySpan<byte> bytes, List<Presence> presences)
    {
        var reader = new ProtobufReader(bytes, Refuse);
        ReadOnlySpan<byte> cid = default;
        ulong type = 0;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case CidTag:
                    cid = reader.ReadBytes();
                    break;
                case PresenceTypeTag:
                    type = reader.ReadVarint();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        if (presences.Count < MaxEntries && Cid.TryRead(cid, out Cid read))
        {
            presences.Add(new Presence(read, type == 0));
        }
    }

    /// <summary>The CID of a block by the hash function that its prefix names; false for functions that are not computed here.</summary>
    private static bool TryName(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> data, out Cid cid)
    {
        cid = default;
        if (!Varint.TryRead(prefix, out ulong version, out int at) || !Varint.TryRead(prefix[at..], out ulong codec, out int used))
        {
            return false;
        }

        if (!Varint.TryRead(prefix[(at + used)..], out ulong function, out _) || version > 1)
        {
            return false;
        }

        Multihash hash;
        switch (function)
        {
            case Multicodec.Sha256:
                hash = Multihash.Sha256(data);
                break;
            case Multicodec.Sha512:
                hash = Multihash.Sha512(data);
                break;
            default:
                return false;
        }

        cid = version == 0 && codec == Multicodec.DagPb && function == Multicodec.Sha256 ? Cid.CreateV0(hash) : Cid.Create(codec, hash);
        return true;
    }

    private static byte[] Prefix(Cid cid)
    {
        Span<byte> prefix = stackalloc byte[4 * Varint.MaxLength];
        int at = Varint.Write(prefix, (ulong)cid.Version);
        at += Varint.Write(prefix[at..], cid.Codec);
        at += Varint.Write(prefix[at..], cid.HashFunction);
        at += Varint.Write(prefix[at..], (ulong)cid.Multihash.DigestLength);
        return prefix[..at].ToArray();
    }

    private static void CheckLength(int length)
    {
        if (length > MaxBlockLength)
        {
            throw Refuse($"a block of {length} bytes");
        }
    }

    private static Libp2pException Refuse(string why) => Libp2pException.Violation($"Bitswap: {why}.");
}
