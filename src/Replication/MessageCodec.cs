// Messages as bytes. Numbers are unsigned varints (64 bits take up to ten bytes), CIDs their binary form with its length before it, byte strings and texts
// their length and themselves, lists their count and their items. What comes from a stream may be anything: every length and count is held against the limit
// of its field and against the bytes that are there before anything is done with it.

using System.Buffers;
using System.Text;
using System.Text.Unicode;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.Replication;

/// <summary>Bytes of a stream are no message.</summary>
public sealed class MalformedMessageException : IOException
{
    /// <summary>Says what is wrong.</summary>
    public MalformedMessageException(string message)
        : base(message)
    {
    }
}

/// <summary>The bytes of messages.</summary>
public static class MessageCodec
{
    /// <summary>The bytes of the longest length before a frame.</summary>
    public const int MaxLengthBytes = 3;

    private enum Kind : byte
    {
        Hello = 1,
        Welcome = 2,
        Refused = 3,
        GetNodes = 4,
        Nodes = 5,
        Get = 6,
        Block = 7,
        Missing = 8,
        Follow = 9,
        Tail = 10,
        Head = 11,
        Mark = 12,
        Version = 13,
        Certificate = 14,
        Undone = 15,
        Ack = 16,
        Bye = 17,
        Proof = 18,
        Beat = 19,
        GetRest = 20,
        TailEnds = 21,
    }

    private const int IsWriterFlag = 1, IsPublicFlag = 2;

    private const int MaxVersionBytes = 16 << 10;

    /// <summary>Writes a message as a frame, its length before it.</summary>
    public static void Encode(Message message, IBufferWriter<byte> to)
    {
        // Bulk is copied once, from where it lies to the stream's buffer.
        ReadOnlyMemory<byte> bulk = message switch
        {
            Tail m => m.Bytes,
            Block m => m.Bytes,
            _ => default,
        };
        var body = new Writer(message is Welcome or Nodes or Missing or Get or VersionTold ? 4096 : 512);
        Write(message, ref body);
        int length = body.Written.Length + bulk.Length;
        if (length > LogProtocol.MaxFrameBytes)
        {
            throw new ArgumentOutOfRangeException(nameof(message), length, "The message is longer than a frame may be.");
        }

        Span<byte> prefix = to.GetSpan(MaxLengthBytes);
        to.Advance(Varint.Write(prefix, (ulong)length));
        to.Write(body.Written);
        to.Write(bulk.Span);
    }

    /// <summary>Reads the length before a frame; false: more bytes are needed.</summary>
    /// <exception cref="MalformedMessageException">It is longer than a frame may be, or no length.</exception>
    public static bool TryReadLength(ReadOnlySpan<byte> bytes, out int length, out int used)
    {
        (length, used) = (0, 0);
        int shift = 0;
        for (int i = 0; i < bytes.Length && i < MaxLengthBytes; i++)
        {
            length |= (bytes[i] & 0x7F) << shift;
            shift += 7;
            if (bytes[i] < 0x80)
            {
                used = i + 1;
                return length is > 0 and <= LogProtocol.MaxFrameBytes ? true : throw new MalformedMessageException($"a frame of {length} bytes; at most {LogProtocol.MaxFrameBytes} are taken");
            }
        }

        return bytes.Length < MaxLengthBytes ? false : throw new MalformedMessageException($"a frame of more than {LogProtocol.MaxFrameBytes} bytes");
    }

    /// <summary>Reads a frame without its length. The message keeps parts of it.</summary>
    /// <exception cref="MalformedMessageException">It is none.</exception>
    public static Message Decode(ReadOnlyMemory<byte> frame)
    {
        if (frame.Length is 0 or > LogProtocol.MaxFrameBytes)
        {
            throw new MalformedMessageException($"a frame of {frame.Length} bytes");
        }

        var reader = new Reader(frame[1..]);
        int flags;
        Message message = (Kind)frame.Span[0] switch
        {
            Kind.Hello => new Hello(
                reader.Int32(ushort.MaxValue), reader.Id(), reader.Position(), reader.Flag() ? reader.Place() : null, reader.Cids(LogProtocol.MaxChain), reader.Flag(), reader.UInt32(),
                reader.Bytes(LogProtocol.MaxProofBytes)),
            Kind.Welcome => new Welcome(
                reader.Bytes(MimeiInfo.MaxBlockBytes), reader.ManyBytes(LogProtocol.MaxCertificates, WriterCertificate.MaxBytes), reader.Bytes(Head.MaxBytes), reader.Versions(), reader.UInt64(),
                reader.UInt64(), reader.Int64(), reader.Int64(), ((flags = reader.Int32(IsWriterFlag | IsPublicFlag)) & IsWriterFlag) != 0, (flags & IsPublicFlag) != 0),
            Kind.Refused => new Refused(reader.Code(), reader.Text()),
            Kind.GetNodes => new GetNodes(reader.Cid(), reader.UInt64(), reader.Int32(LogProtocol.MaxNodes)),
            Kind.Nodes => new Nodes(reader.ManyBytes(LogProtocol.MaxNodes, MaxNodeBytes)),
            Kind.Get => new Get(reader.Cids(LogProtocol.MaxWants)),
            Kind.GetRest => new GetRest(reader.Cid(), reader.Int32(LogProtocol.MaxBlockBytes)),
            Kind.Block => new Block(reader.Cid(), reader.Int32(LogProtocol.MaxBlockBytes), reader.Int32(LogProtocol.MaxBlockBytes), reader.Rest(LogProtocol.MaxPieceBytes)),
            Kind.Missing => new Missing(reader.Cids(LogProtocol.MaxWants)),
            Kind.Follow => new Follow(reader.Place(), reader.UInt32()),
            Kind.Tail => new Tail(reader.UInt32(), reader.Start(), reader.Int64(), reader.Rest(LogProtocol.MaxPieceBytes)),
            Kind.TailEnds => new TailEnds(reader.UInt32(), reader.Bytes(Head.MaxBytes)),
            Kind.Head => new HeadTold(reader.Bytes(Head.MaxBytes)),
            Kind.Mark => new Mark(reader.UInt64(), reader.Position()),
            Kind.Version => new VersionTold(reader.UInt64(), reader.Cid(), reader.Bytes(MaxVersionBytes)),
            Kind.Certificate => new CertificateTold(reader.Bytes(WriterCertificate.MaxBytes)),
            Kind.Undone => new UndoneTold(reader.Position(), reader.UInt64()),
            Kind.Ack => new Ack(reader.UInt64(), reader.UInt64(), reader.UInt64()),
            Kind.Bye => new Bye(reader.Code(), reader.Text()),
            Kind.Proof => new ProofTold(reader.Cid()),
            Kind.Beat => new Beat(reader.Flag()),
            _ => throw new MalformedMessageException($"a message of the unknown kind {frame.Span[0]}"),
        };
        reader.End();
        return message switch
        {
            Block { Total: 0 } => throw new MalformedMessageException("an empty block"),
            Block b when b.Bytes.IsEmpty || b.Offset > b.Total - b.Bytes.Length => throw new MalformedMessageException("a piece that lies outside of its block"),
            Tail { Bytes.IsEmpty: true } => throw new MalformedMessageException("no bytes of the log"),
            Tail t when t.Offset > LogOptions.MaxSegmentBytes - t.Bytes.Length => throw new MalformedMessageException("bytes behind the end of any segment"),
            _ => message,
        };
    }

    private const int MaxNodeBytes = 512;

    private static void Write(Message message, ref Writer writer)
    {
        switch (message)
        {
            case Hello m:
                writer.Kind(Kind.Hello);
                writer.UInt64((ulong)m.Format);
                writer.Raw(m.Mid.ToArray());
                writer.Position(m.Have);
                writer.Flag(m.Place is not null);
                if (m.Place is { } place)
                {
                    writer.Place(place);
                }

                writer.Cids(m.Chain);
                writer.Flag(m.Follow);
                writer.UInt64(m.Term);
                writer.Bytes(m.Proof.Span);
                break;
            case Welcome m:
                writer.Kind(Kind.Welcome);
                writer.Bytes(m.Info.Span);
                writer.ManyBytes(m.Certificates);
                writer.Bytes(m.Head.Span);
                writer.UInt64((ulong)m.Versions.Count);
                foreach (ListedVersion version in m.Versions)
                {
                    writer.UInt64(version.Number);
                    writer.Cid(version.Block);
                    writer.Position(version.Position);
                }

                writer.UInt64(m.Released);
                writer.UInt64(m.Floor);
                writer.UInt64((ulong)m.LogBytes);
                writer.UInt64((ulong)m.StateBytes);
                writer.Raw([(byte)((m.IsWriter ? IsWriterFlag : 0) | (m.IsPublic ? IsPublicFlag : 0))]);
                break;
            case Refused m:
                writer.Kind(Kind.Refused);
                writer.Raw([(byte)m.Code]);
                writer.Text(m.Text);
                break;
            case GetNodes m:
                writer.Kind(Kind.GetNodes);
                writer.Cid(m.Newest);
                writer.UInt64(m.Until);
                writer.UInt64((ulong)m.Max);
                break;
            case Nodes m:
                writer.Kind(Kind.Nodes);
                writer.ManyBytes(m.Blocks);
                break;
            case Get m:
                writer.Kind(Kind.Get);
                writer.Cids(m.Cids);
                break;
            case GetRest m:
                writer.Kind(Kind.GetRest);
                writer.Cid(m.Cid);
                writer.UInt64((ulong)m.From);
                break;
            case Block m:
                writer.Kind(Kind.Block);
                writer.Cid(m.Cid);
                writer.UInt64((ulong)m.Total);
                writer.UInt64((ulong)m.Offset);
                break;
            case Missing m:
                writer.Kind(Kind.Missing);
                writer.Cids(m.Cids);
                break;
            case Follow m:
                writer.Kind(Kind.Follow);
                writer.Place(m.Place);
                writer.UInt64(m.Turn);
                break;
            case Tail m:
                writer.Kind(Kind.Tail);
                writer.UInt64(m.Turn);
                writer.Start(m.Segment);
                writer.UInt64((ulong)m.Offset);
                break;
            case TailEnds m:
                writer.Kind(Kind.TailEnds);
                writer.UInt64(m.Turn);
                writer.Bytes(m.Signed.Span);
                break;
            case HeadTold m:
                writer.Kind(Kind.Head);
                writer.Bytes(m.Signed.Span);
                break;
            case Mark m:
                writer.Kind(Kind.Mark);
                writer.UInt64(m.Number);
                writer.Position(m.Position);
                break;
            case VersionTold m:
                writer.Kind(Kind.Version);
                writer.UInt64(m.Number);
                writer.Cid(m.Cid);
                writer.Bytes(m.Block.Span);
                break;
            case CertificateTold m:
                writer.Kind(Kind.Certificate);
                writer.Bytes(m.Signed.Span);
                break;
            case UndoneTold m:
                writer.Kind(Kind.Undone);
                writer.Position(m.After);
                writer.UInt64(m.Entries);
                break;
            case Ack m:
                writer.Kind(Kind.Ack);
                writer.UInt64(m.Epoch);
                writer.UInt64(m.Written);
                writer.UInt64(m.Synced);
                break;
            case Bye m:
                writer.Kind(Kind.Bye);
                writer.Raw([(byte)m.Code]);
                writer.Text(m.Text);
                break;
            case ProofTold m:
                writer.Kind(Kind.Proof);
                writer.Cid(m.Cid);
                break;
            case Beat m:
                writer.Kind(Kind.Beat);
                writer.Flag(m.IsAnswer);
                break;
            default:
                throw new ArgumentException($"{message.GetType()} is no message of the protocol.", nameof(message));
        }
    }

    private ref struct Writer(int capacity)
    {
        private readonly ArrayBufferWriter<byte> _to = new(capacity);

        public readonly ReadOnlySpan<byte> Written => _to.WrittenSpan;

        public readonly void Kind(Kind kind) => Raw([(byte)kind]);

        public readonly void Raw(ReadOnlySpan<byte> bytes) => _to.Write(bytes);

        public readonly void Flag(bool value) => Raw([value ? (byte)1 : (byte)0]);

        public readonly void UInt64(ulong value)
        {
            Span<byte> to = _to.GetSpan(10);
            int length = 0;
            for (; value >= 0x80; value >>= 7)
            {
                to[length++] = (byte)(value | 0x80);
            }

            to[length++] = (byte)value;
            _to.Advance(length);
        }

        public readonly void Bytes(ReadOnlySpan<byte> bytes)
        {
            UInt64((ulong)bytes.Length);
            Raw(bytes);
        }

        public readonly void Text(string text)
        {
            // Cut where it is too long, at a character's end.
            Span<byte> bytes = stackalloc byte[LogProtocol.MaxTextBytes];
            Utf8.FromUtf16(text, bytes, out _, out int length);
            Bytes(bytes[..length]);
        }

        public readonly void ManyBytes(IReadOnlyList<ReadOnlyMemory<byte>> many)
        {
            UInt64((ulong)many.Count);
            foreach (ReadOnlyMemory<byte> bytes in many)
            {
                Bytes(bytes.Span);
            }
        }

        public readonly void Cid(in Cid cid)
        {
            Span<byte> bytes = stackalloc byte[Ipfs.Multiformats.Cid.MaxLength];
            Bytes(bytes[..cid.Write(bytes)]);
        }

        public readonly void Cids(IReadOnlyList<Cid> cids)
        {
            UInt64((ulong)cids.Count);
            foreach (Cid cid in cids)
            {
                Cid(cid);
            }
        }

        public readonly void Position(in Position position)
        {
            UInt64(position.Epoch);
            UInt64(position.Sequence);
        }

        public readonly void Start(in SegmentStart start)
        {
            UInt64(start.Epoch);
            UInt64(start.Generation);
            UInt64(start.First);
            UInt64(start.Offset);
        }

        public readonly void Place(in LogPlace place)
        {
            Start(place.Segment);
            UInt64((ulong)place.Length);
        }
    }

    private ref struct Reader(ReadOnlyMemory<byte> bytes)
    {
        private ReadOnlyMemory<byte> _rest = bytes;

        public readonly void End()
        {
            if (!_rest.IsEmpty)
            {
                throw new MalformedMessageException($"{_rest.Length} bytes behind a message");
            }
        }

        public ulong UInt64()
        {
            ReadOnlySpan<byte> from = _rest.Span;
            ulong value = 0;
            for (int i = 0; i < from.Length && i < 10; i++)
            {
                value |= (ulong)(from[i] & 0x7F) << (7 * i);
                if (from[i] < 0x80)
                {
                    // One number, one encoding.
                    if ((i > 0 && from[i] == 0) || (i == 9 && from[i] > 1))
                    {
                        break;
                    }

                    _rest = _rest[(i + 1)..];
                    return value;
                }
            }

            throw new MalformedMessageException("no number where one belongs");
        }

        public uint UInt32()
        {
            ulong value = UInt64();
            return value <= uint.MaxValue ? (uint)value : throw new MalformedMessageException($"the number {value} where 32 bits belong");
        }

        public long Int64()
        {
            ulong value = UInt64();
            return value <= long.MaxValue ? (long)value : throw new MalformedMessageException($"the number {value} where 63 bits belong");
        }

        public int Int32(int most) => UInt64() is var value && value <= (ulong)most ? (int)value : throw new MalformedMessageException($"the number {value}, which is more than {most}");

        public bool Flag() => Take(1).Span[0] switch
        {
            0 => false,
            1 => true,
            var other => throw new MalformedMessageException($"{other} where yes or no belongs"),
        };

        public ByeCode Code() => (ByeCode)Take(1).Span[0];

        public LeitherId Id() => new(Take(LeitherId.Length).Span);

        public ReadOnlyMemory<byte> Bytes(int most) => Take(Int32(most));

        public ReadOnlyMemory<byte> Rest(int most)
        {
            ReadOnlyMemory<byte> rest = _rest;
            _rest = default;
            return rest.Length <= most ? rest : throw new MalformedMessageException($"{rest.Length} bytes where at most {most} belong");
        }

        public string Text()
        {
            ReadOnlySpan<byte> text = Bytes(LogProtocol.MaxTextBytes).Span;
            return Utf8.IsValid(text) ? Encoding.UTF8.GetString(text) : throw new MalformedMessageException("text that is not UTF-8");
        }

        public ReadOnlyMemory<byte>[] ManyBytes(int most, int mostEach)
        {
            var many = new ReadOnlyMemory<byte>[Count(most)];
            for (int i = 0; i < many.Length; i++)
            {
                many[i] = Bytes(mostEach);
            }

            return many;
        }

        public Cid Cid()
        {
            ReadOnlySpan<byte> bytes = Bytes(Ipfs.Multiformats.Cid.MaxLength).Span;
            return Ipfs.Multiformats.Cid.TryRead(bytes, out Cid cid) ? cid : throw new MalformedMessageException("no CID where one belongs");
        }

        public Cid[] Cids(int most)
        {
            var cids = new Cid[Count(most)];
            for (int i = 0; i < cids.Length; i++)
            {
                cids[i] = Cid();
            }

            return cids;
        }

        public ListedVersion[] Versions()
        {
            var versions = new ListedVersion[Count(LogProtocol.MaxVersions)];
            for (int i = 0; i < versions.Length; i++)
            {
                versions[i] = new ListedVersion(UInt64(), Cid(), Position());
            }

            return versions;
        }

        public Position Position() => new(UInt64(), UInt64());

        public SegmentStart Start() => new(UInt64(), UInt32(), UInt64(), UInt64());

        public LogPlace Place() => new(Start(), Int64());

        /// <summary>Every item takes a byte at least.</summary>
        private int Count(int most) => Int32(most) is var count && count <= _rest.Length ? count : throw new MalformedMessageException("more items than bytes");

        private ReadOnlyMemory<byte> Take(int length)
        {
            if (length > _rest.Length)
            {
                throw new MalformedMessageException("the message ends too early");
            }

            ReadOnlyMemory<byte> taken = _rest[..length];
            _rest = _rest[length..];
            return taken;
        }
    }
}
