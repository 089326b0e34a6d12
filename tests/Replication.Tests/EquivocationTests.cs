using System.Security.Cryptography;
using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Xunit;

namespace Leither.Replication.Tests;

public class EquivocationTests
{
    private static readonly PrivateKey _author = PrivateKey.FromSeed([.. Enumerable.Repeat((byte)7, 32)]);
    private static readonly LeitherId _mid = LeitherId.Of("a MiMei"u8);

    [Fact]
    public void Two_heads_that_say_different_things_of_the_same_bytes_are_proof_and_what_lies_before_is_common()
    {
        Equivocation proof = Prove(HeadOf([1, 2, 3]), HeadOf([1, 2, 4]));
        Assert.Equal((5ul, 9ul), (proof.Epoch, proof.Common));
        Equivocation read = Equivocation.Decode(proof.Encode(), _mid, _author.PublicKey);
        Assert.Equal((proof.Cid, proof.Epoch, proof.Common), (read.Cid, read.Epoch, read.Common));
        Assert.True(proof.Covers(5));
        Assert.False(proof.Covers(6));
    }

    [Fact]
    public void Where_the_segments_before_differ_nothing_is_known_to_be_common() =>
        Assert.Equal(0ul, Prove(HeadOf([1, 2, 3]), HeadOf([1, 2, 3], Cid.Of(Multicodec.DagCbor, [1]))).Common);

    [Fact]
    public void A_head_that_goes_on_from_another_proves_nothing() =>
        Assert.Throws<MalformedBlockException>(() => Prove(HeadOf([1, 2, 3]), HeadOf([1, 2, 3, 4]), [1, 2, 3, 4]));

    [Fact]
    public void A_head_that_goes_on_from_something_else_is_proof_with_its_bytes() => Assert.Equal(9ul, Prove(HeadOf([1, 2, 3]), HeadOf([1, 2, 4, 4]), [1, 2, 4, 4]).Common);

    [Fact]
    public void A_proof_that_is_longer_than_what_is_kept_is_none()
    {
        byte[] bytes = new byte[Equivocation.MaxBytes];
        Assert.Throws<MalformedBlockException>(() => Prove(HeadOf([1, 2, 3]), HeadOf(bytes), bytes));
        bytes = new byte[Equivocation.MaxBytes - 4096];
        Equivocation proof = Prove(HeadOf([1, 2, 3]), HeadOf(bytes), bytes);
        Assert.Equal(proof.Cid, Equivocation.Decode(proof.Encode(), _mid, _author.PublicKey).Cid);
    }

    private static Equivocation Prove(Head a, Head b, byte[]? data = null) => new Equivocation { A = a.Block, B = b.Block, Data = data }.Check(_mid, _author.PublicKey);

    private static Head HeadOf(byte[] bytes, Cid previous = default) => new Head
    {
        Mid = _mid,
        Writer = _author.PublicKey.Bytes.ToArray(),
        Segment = new SegmentStart(5, 0, 10, 0),
        Length = bytes.Length,
        Digest = SHA256.HashData(bytes),
        Previous = previous,
        To = 12,
        Time = 1,
        Synced = 0,
    }.Sign(_author);
}
