using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Rights;
using Leither.Node.Replication;
using Leither.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class SharingFactsTests
{
    [Fact]
    public void What_was_decided_is_read_back_and_damage_names_the_file()
    {
        using var folder = new TempDir("facts");
        Assert.False(SharingFacts.Load(folder.Path).IsProvided);
        var facts = new SharingFacts { IsProvided = true, From = [Multiaddr.Parse("/ip4/127.0.0.1/tcp/1")], Named = ["c"] };
        facts.Save(folder.Path);
        SharingFacts read = SharingFacts.Load(folder.Path);
        Assert.True(read.IsProvided);
        Assert.Equal(facts.From, read.From);
        Assert.Equal(facts.Named, read.Named);
        string file = folder.File(SharingFacts.FileName);
        byte[] bytes = File.ReadAllBytes(file);
        for (int i = 0; i < bytes.Length; i++)
        {
            byte[] damaged = [.. bytes];
            damaged[i] ^= 1;
            File.WriteAllBytes(file, damaged);
            Assert.Contains(file, Assert.Throws<IOException>(() => SharingFacts.Load(folder.Path)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_file_from_before_there_were_rights_gives_the_right_to_read_to_those_it_names()
    {
        using var folder = new TempDir("facts");
        string user = LeitherId.Of("a user"u8).ToString(), peer = PrivateKey.FromSeed(new byte[32]).PublicKey.PeerId.ToString();
        foreach (bool isPublic in (bool[])[false, true])
        {
            CheckedFile.Write(folder.Path, SharingFacts.FileName, OldFacts(isPublic, user, peer));
            SharingFacts read = SharingFacts.Load(folder.Path);
            Assert.Equal((true, "c"), (read.IsProvided, Assert.Single(read.Named)));
            MimeiRights rights = SharingFacts.ReadOldRights(folder.Path)!;
            Assert.Equal((isPublic, true), (rights.IsPublic, rights.IsShared));
            Assert.Equal(new[] { user, peer }.Order(StringComparer.Ordinal), rights.Readers.Order(StringComparer.Ordinal));
            Assert.Equal(MimeiRight.Read, rights.Of(MimeiCaller.Of(LeitherId.Parse(user))));
        }

        SharingFacts.Load(folder.Path).Save(folder.Path);
        Assert.Null(SharingFacts.ReadOldRights(folder.Path));
        CheckedFile.Write(folder.Path, SharingFacts.FileName, OldFacts(isPublic: false));
        Assert.Null(SharingFacts.ReadOldRights(folder.Path));
    }

    internal static byte[] OldFacts(bool isPublic, params string[] users)
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(6);
        writer.WriteKey("from"u8);
        writer.WriteArrayStart(0);
        writer.WriteKey("named"u8);
        writer.WriteArrayStart(1);
        writer.WriteText("c"u8);
        writer.WriteKey("users"u8);
        writer.WriteArrayStart(users.Length);
        foreach (string user in users) writer.WriteText(user);
        writer.WriteKey("format"u8);
        writer.WriteInt64(1);
        writer.WriteKey("public"u8);
        writer.WriteBoolean(isPublic);
        writer.WriteKey("provided"u8);
        writer.WriteBoolean(true);
        return writer.ToArray();
    }

    [Fact]
    public void What_the_core_keeps_is_read_back_after_the_newest_of_many_changes()
    {
        using var folder = new TempDir("facts");
        var keeper = new StateKeeper(folder.Path, ReplicaState.Load(folder.Path), text => Assert.Fail(text));
        keeper.Opened("boot");
        Assert.Equal("boot", ReplicaState.Load(folder.Path).Boot);
        int kept = 0;
        for (ulong epoch = 1; epoch <= 100; epoch++) keeper.Keep(new ReplicaFacts { Epoch = epoch }, isUrgent: epoch == 50, () => Interlocked.Increment(ref kept));
        keeper.Keep([Multiaddr.Parse("/ip4/127.0.0.1/tcp/1")]);
        keeper.Close(isWhole: true);
        Assert.Equal(100, kept);
        ReplicaState read = ReplicaState.Load(folder.Path);
        Assert.Equal(("", 100ul), (read.Boot, read.Core!.Epoch));
        Assert.Single(read.Peers);
    }

    [Fact]
    public void A_users_proof_holds_between_two_nodes_for_one_MiMei_and_for_a_while()
    {
        using PrivateKey user = PrivateKey.Generate(), one = PrivateKey.Generate(), other = PrivateKey.Generate();
        PeerId from = one.PublicKey.PeerId, to = other.PublicKey.PeerId;
        LeitherId mid = LeitherId.Of("a"u8), another = LeitherId.Of("b"u8);
        long now = 1_800_000_000_000, day = (long)UserProof.Lifetime.TotalMilliseconds;
        byte[] proof = UserProof.Make(user, from, to, mid, now);
        Assert.Equal(LeitherId.Of(user.PublicKey.Protobuf), UserProof.Check(proof, from, to, mid, now + day)?.Id);
        Assert.Null(UserProof.Check(proof, to, from, mid, now));
        Assert.Null(UserProof.Check(proof, from, to, another, now));
        Assert.Null(UserProof.Check(proof, from, to, mid, now + day + 1));
        Assert.Null(UserProof.Check([], from, to, mid, now));
        for (int i = 0; i < proof.Length; i++)
        {
            byte[] forged = [.. proof];
            forged[i] ^= 1;
            Assert.Null(UserProof.Check(forged, from, to, mid, now));
        }
    }
}
