using System.Buffers;
using System.Security.Cryptography;
using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.TestKit;
using Xunit;

namespace Leither.Replication.Tests;

public class MessageCodecTests
{
    private static readonly Cid SomeCid = Cid.Of(Multicodec.DagCbor, "block"u8);
    private static readonly LeitherId Mid = LeitherId.Of("a MiMei"u8);
    private static readonly SegmentStart Start = new(ulong.MaxValue, uint.MaxValue, 300, 7);

    public static IEnumerable<Message> Samples() =>
    [
        new Hello(1, Mid, new Position(1, 20), new LogPlace(Start, 4711), [SomeCid, SomeCid], true, 3, new byte[] { 1, 2 }),
        new Hello(1, Mid, default, null, [], false, 0, default),
        new Welcome(new byte[] { 9 }, [new byte[] { 1 }, new byte[] { 2, 3 }], new byte[] { 4 }, [new ListedVersion(5, SomeCid, new Position(1, 2))], 5, 1, 1 << 30, 77, true),
        new Refused(ByeCode.NotFound, "there is none"),
        new GetNodes(SomeCid, 12, 100),
        new Nodes([new byte[] { 1, 2, 3 }]),
        new Get([SomeCid]),
        new Block(SomeCid, 10, 4, new byte[] { 1, 2, 3 }),
        new Missing([SomeCid]),
        new Follow(new LogPlace(Start, 0), 3),
        new Tail(3, Start, 128, new byte[] { 5, 6 }),
        new HeadTold(new byte[] { 1 }),
        new Mark(4, new Position(1, 9)),
        new VersionTold(4, SomeCid, new byte[] { 8 }),
        new CertificateTold(new byte[] { 7 }),
        new UndoneTold(new Position(2, 3), 4),
        new ProofTold(SomeCid),
        new Ack(1, 2, 3),
        new Beat(true),
        new Bye(ByeCode.Behind, "come anew"),
        new GetRest(SomeCid, 700_000),
        new TailEnds(3, new byte[] { 1 }),
    ];

    [Fact]
    public void Every_message_is_read_as_it_was_written()
    {
        foreach (Message message in Samples())
        {
            byte[] frame = Encode(message);
            Assert.Equal(frame, Encode(Decode(frame)));
            Assert.Equal(message.GetType(), Decode(frame).GetType());
        }
    }

    [Fact]
    public void The_bytes_of_messages_are_frozen()
    {
        var all = new ArrayBufferWriter<byte>();
        foreach (Message message in Samples())
        {
            MessageCodec.Encode(message, all);
        }

        HeadTests.Frozen("e0ad2894bb0de08b4294be35dc43942abca066a225410090ba3c9f7cac62596a", SHA256.HashData(all.WrittenSpan));
        Assert.Equal("0410010203", Convert.ToHexStringLower(Encode(new Ack(1, 2, 3))));
        Assert.Equal("180a03ffffffffffffffffff", Convert.ToHexStringLower(Encode(new Tail(3, Start, 128, new byte[] { 5, 6 })))[..24]);
    }

    [Fact]
    public void Bytes_that_are_no_message_are_refused_and_nothing_else_happens() => Seed.Run(random =>
    {
        byte[][] frames = [.. Samples().Select(static m => Encode(m))];
        for (int i = 0; i < (Seed.IsLong ? 2_000_000 : 50_000); i++)
        {
            byte[] frame = [.. frames[random.Next(frames.Length)]];
            switch (random.Next(4))
            {
                case 0:
                    frame[random.Next(frame.Length)] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    frame = frame[..random.Next(frame.Length)];
                    break;
                case 2:
                    frame = [.. frame, .. RandomBytes(random, random.Next(1, 20))];
                    break;
                default:
                    frame = RandomBytes(random, random.Next(200));
                    break;
            }

            try
            {
                Message message = Decode(frame);
                Assert.Equal(frame, Encode(message)); // one message, one encoding
            }
            catch (MalformedMessageException)
            {
            }
        }
    });

    [Fact]
    public void A_frame_that_claims_to_be_longer_than_the_limit_is_refused_by_its_length()
    {
        Assert.Throws<MalformedMessageException>(() => MessageCodec.TryReadLength([0xFF, 0xFF, 0x7F], out _, out _));
        Assert.Throws<MalformedMessageException>(() => MessageCodec.TryReadLength([0xFF, 0xFF, 0xFF, 0x01], out _, out _));
        Assert.Throws<MalformedMessageException>(() => MessageCodec.TryReadLength([0], out _, out _));
        Assert.False(MessageCodec.TryReadLength([0x80], out _, out _));
    }

    private static byte[] RandomBytes(Random random, int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    private static byte[] Encode(Message message)
    {
        var to = new ArrayBufferWriter<byte>();
        MessageCodec.Encode(message, to);
        return to.WrittenSpan.ToArray();
    }

    private static Message Decode(byte[] bytes)
    {
        if (!MessageCodec.TryReadLength(bytes, out int length, out int used) || bytes.Length != used + length)
        {
            throw new MalformedMessageException("another length");
        }

        return MessageCodec.Decode(bytes.AsMemory(used));
    }
}

public class HeadTests
{
    internal static void Frozen(string expected, ReadOnlySpan<byte> bytes)
    {
        string hex = Convert.ToHexStringLower(bytes);
        Assert.True(expected == hex, $"the bytes are others now: {hex}");
    }

    private static readonly LeitherId Mid = LeitherId.Of("a MiMei"u8);
    private static readonly PrivateKey Key = PrivateKey.FromSeed(new byte[32]);

    private static Head Some() => new()
    {
        Mid = Mid,
        Writer = Key.PublicKey.Bytes.ToArray(),
        Segment = new SegmentStart(1, 0, 5, 0),
        Length = 1000,
        Digest = SHA256.HashData("bytes"u8),
        Previous = Cid.Of(Multicodec.DagCbor, "node"u8),
        To = 9,
        Time = 12345,
        Synced = 8,
    };

    [Fact]
    public void A_head_has_the_bytes_that_every_node_reads()
    {
        Head head = Some().Sign(Key);
        Frozen("ae62746f09636d6964543d0d19db1cb5d2b35df70dab26203a19d8cb515f6373696758403aea2a62c0efb00b8866b825ab3e5ab68f747c86ba241141211b5ae8ae7b59fcd91c907230ff6a716b0c9c0bdc1b0fe96518709e31a502950fb1955d838b010a6466726f6d056470726576d82a58250001711220545ea538461003efdc8c81c244531b003f6f26cfccf6c0073b3239fdedf494466474696d651930396565706f636801666469676573745820277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a966666f726d617401666c656e6774681903e8666f6666736574006673796e636564086677726974657258203b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da296a67656e65726174696f6e00", head.Block.Span);
        Head read = Head.Decode(head.Block, Mid);
        Assert.Equal(head.Block, read.Block);
        Assert.Equal(head.Place, read.Place);
        Assert.True(read.Digest.Span.SequenceEqual(head.Digest.Span));
    }

    [Fact]
    public void A_head_that_was_changed_anywhere_is_refused() => Seed.Run(_ =>
    {
        byte[] block = Some().Sign(Key).Block.ToArray();
        for (int i = 0; i < block.Length; i++)
        {
            byte[] changed = [.. block];
            changed[i] ^= 1;
            Assert.ThrowsAny<MalformedBlockException>(() => Head.Decode(changed, Mid));
        }
    });

    [Fact]
    public void A_certificate_has_the_bytes_that_every_node_reads()
    {
        WriterCertificate certificate = new WriterCertificate
        {
            Mid = Mid,
            Author = Key.PublicKey.Bytes.ToArray(),
            Writer = PrivateKey.FromSeed([.. Enumerable.Repeat((byte)1, 32)]).PublicKey.Bytes.ToArray(),
            Node = Key.PublicKey.PeerId,
            Epoch = WriterCertificate.FirstEpochOf(1),
            After = new Position(3, 77),
        };
        WriterCertificate signed = certificate.Sign(Key);
        Frozen("a8636d6964543d0d19db1cb5d2b35df70dab26203a19d8cb515f637369675840bb9d4eb251085705141b94cbde7b41354b7cf61e4cef296197997383f0a67b76454d394010856621e85dde0e47adbf4506a5c2ac6f5fada12fa74f51005b8e02646e6f646558260024080112203b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da296561667465728203184d6565706f63681b000000010000000166617574686f7258203b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da2966666f726d6174016677726974657258208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c", signed.Block.Span);
        Assert.Equal(signed.Block, WriterCertificate.Decode(signed.Block, Mid, Key.PublicKey).Block);

        // The key may be elsewhere.
        byte[] toBeSigned = certificate.ToBeSigned();
        WriterCertificate seen = WriterCertificate.ReadUnsigned(toBeSigned);
        Assert.Equal(certificate.After, seen.After);
        Assert.True(signed.Block.Span.SequenceEqual(seen.WithSignature(Key.Sign(toBeSigned)).Block.Span));
        for (int i = 0; i < signed.Block.Length; i++)
        {
            byte[] changed = signed.Block.ToArray();
            changed[i] ^= 1;
            Assert.ThrowsAny<MalformedBlockException>(() => WriterCertificate.Decode(changed, Mid, Key.PublicKey));
        }
    }
}
