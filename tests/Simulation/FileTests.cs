// MiMei of files: their blocks are in no log. A follower lists a version once it has all that it leads to, from whoever has it.

using Leither.Ipfs;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.Replication;
using Xunit;
using static Leither.Simulation.StorySteps;

namespace Leither.Simulation;

public class FileTests
{
    private const int Seeds = 20;

    public static TheoryData<int> AllSeeds => [.. Enumerable.Range(1, Seeds)];

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_follows_and_who_follows_that_one_have_the_files_of_each_version_that_is_made(int seed)
    {
        SimWorld world = Started(seed, 3, MimeiType.Files);
        (SimNode writer, SimNode relay, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        world.Connect(relay, writer);
        world.Connect(follower, relay);
        UnixFsProfile profile = seed % 2 == 0 ? UnixFsProfile.V0 : UnixFsProfile.V1;
        for (int i = 1; i <= 4; i++)
        {
            SetFiles(writer, SimFiles.Folder(Enumerable.Range(i, 30), profile));
            MakeVersion(world, writer);
            Run(world, 4000);
            AssertSame(writer, relay, follower);
            Assert.Equal(i, follower.Store.Versions.Count);
        }

        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_version_is_listed_only_once_its_files_are_here_and_the_log_is_followed_meanwhile(int seed)
    {
        SimWorld world = OfWays(seed, 2, 100_000, delayMs: 20, bytesPerMs: 20, type: MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        Start(writer, follower);
        world.Connect(follower, writer);
        Write(world, writer, 20);
        Run(world, 1000);
        SimFiles files = SimFiles.Folder(Enumerable.Range(0, 400)); // some ten seconds, over that way
        SetFiles(writer, files);
        MakeVersion(world, writer);
        for (int i = 0; i < 5; i++)
        {
            Write(world, writer, 2);
            Run(world, 1000);
            Assert.Equal(writer.Store.Last, follower.Store.Last);
            Assert.Empty(follower.Store.Versions);
            Assert.True(follower.Replica!.IsLevel);
            Assert.False(follower.Replica.IsComplete);
            Assert.InRange(follower.Replica.BlocksUnderWay, 1, 64);
        }

        RunUntilComplete(world, follower);
        AssertSame(writer, follower);
        Assert.InRange(follower.Replica!.BlocksReceived, files.Blocks.Count, files.Blocks.Count + 10);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Files_whose_fetching_was_cut_short_are_gone_on_with(int seed)
    {
        SimWorld world = OfWays(seed, 2, 100_000, delayMs: 20, bytesPerMs: 50, type: MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        Start(writer, follower);
        long stream = world.Connect(follower, writer);
        Write(world, writer, 20);
        Run(world, 1000);
        SimFiles files = SimFiles.Folder(Enumerable.Range(0, 400));
        SetFiles(writer, files);
        MakeVersion(world, writer);
        Run(world, 1000 + (seed * 50));
        world.Cut(stream);
        Run(world, 5000);
        Assert.Empty(follower.Store.Versions);
        Store(follower).Collect(); // what was put stays
        int had = Store(follower).BlockCount;
        Assert.True(had > 100);
        if (seed % 2 == 0)
        {
            follower.Stop(isClean: false, losesPower: false);
            follower.Start();
        }

        long received = follower.Replica!.BlocksReceived;
        world.Connect(follower, writer);
        RunUntilComplete(world, follower);
        AssertSame(writer, follower);
        Assert.InRange(follower.Replica.BlocksReceived - received, 1, files.Blocks.Count - had + 80);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_block_that_one_source_lacks_comes_from_another(int seed)
    {
        SimWorld world = Started(seed, 3, MimeiType.Files);
        (SimNode writer, SimNode poor, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        world.Connect(poor, writer);
        SimFiles files = SimFiles.Folder(Enumerable.Range(0, 60));
        SetFiles(writer, files);
        MakeVersion(world, writer);
        Run(world, 5000);
        AssertSame(writer, poor);
        foreach ((Cid lost, _) in files.Blocks.Where((_, i) => i % 3 == seed % 3))
        {
            Store(poor).Lose(lost);
        }

        world.Connect(follower, poor);
        Run(world, 2000);
        Assert.Empty(follower.Store.Versions);
        Assert.Equal(writer.Store.Last, follower.Store.Last);
        world.Connect(follower, writer);
        Run(world, 3000);
        AssertSame(writer, follower);
        Assert.DoesNotContain(follower.Events, static e => e is PeerRefused);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_block_that_nobody_gave_is_asked_for_again_and_holds_up_neither_the_log_nor_other_versions(int seed)
    {
        SimWorld world = Started(seed, 2, MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        world.Connect(follower, writer);
        SimFiles files = SimFiles.Folder(Enumerable.Range(0, 60)), others = SimFiles.Folder(Enumerable.Range(100, 20));
        Cid lost = files.Blocks[seed % files.Blocks.Count].Cid;
        world.OnTheWay = (_, _, message) => [message is Block block && block.Cid == lost ? new Missing([lost]) : message];
        SetFiles(writer, files);
        MakeVersion(world, writer);
        Run(world, 3000);
        SetFiles(writer, others);
        MakeVersion(world, writer);
        Write(world, writer, 3);
        Run(world, 3000);
        Assert.Equal(writer.Store.Last, follower.Store.Last);
        Assert.Equal(writer.Store.Versions[^1], Assert.Single(follower.Store.Versions));

        // Who waits for all there is waits for it a while.
        Run(world, 10_000);
        RunUntilComplete(world, follower);
        Assert.Single(follower.Store.Versions);
        world.OnTheWay = null;
        Run(world, 130_000);
        AssertSame(writer, follower);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_sends_other_bytes_than_those_of_a_block_is_blamed_and_another_gives_it(int seed)
    {
        SimWorld world = Started(seed, 3, MimeiType.Files);
        (SimNode writer, SimNode liar, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        world.Connect(liar, writer);
        world.Connect(follower, liar);
        world.Connect(follower, writer);
        Write(world, writer, 5);
        Run(world, 2000);
        SimFiles files = SimFiles.Folder(Enumerable.Range(0, 60));
        HashSet<Cid> all = [.. files.Blocks.Select(static b => b.Cid)];
        world.OnTheWay = (from, _, message) => [from == liar && message is Block block && all.Contains(block.Cid) ? block with { Bytes = new byte[block.Bytes.Length] } : message];
        SetFiles(writer, files);
        MakeVersion(world, writer);
        Run(world, 10_000);
        AssertSame(writer, follower);
        Assert.All(follower.Events.OfType<PeerRefused>(), e => Assert.Equal((liar.Peer, FaultReason.WrongBytes), (e.Peer, e.Reason)));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Of_a_version_that_changes_one_file_no_more_comes_than_what_changed(int seed)
    {
        SimWorld world = Started(seed, 2, MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        world.Connect(follower, writer);
        int[] numbers = [.. Enumerable.Range(0, 300)];
        SimFiles files = SimFiles.Folder(numbers);
        SetFiles(writer, files);
        MakeVersion(world, writer);
        Run(world, 30_000);
        AssertSame(writer, follower);
        for (int i = 0; i < 3; i++)
        {
            long before = follower.Replica!.BlocksReceived, looked = Store(follower).Lookups;
            numbers[100 + i] = 1000 + i;
            SimFiles changed = SimFiles.Folder(numbers);
            int fresh = changed.Blocks.Select(static b => b.Cid).Except(files.Blocks.Select(static b => b.Cid)).Count();
            SetFiles(writer, changed);
            MakeVersion(world, writer);
            Run(world, 3000);
            AssertSame(writer, follower);
            Assert.InRange(follower.Replica.BlocksReceived - before, fresh, fresh + 6); // and the version, and its state
            Assert.InRange(Store(follower).Lookups - looked, fresh, (2 * fresh) + 30); // nor is the rest looked for
            files = changed;
        }

        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void What_a_version_has_in_common_with_one_that_is_deleted_while_its_files_come_is_here_in_the_end(int seed)
    {
        SimWorld world = OfWays(seed, 2, 100_000, delayMs: 20, bytesPerMs: 50, type: MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        Start(writer, follower);
        world.Connect(follower, writer);
        SetFiles(writer, SimFiles.Folder(Enumerable.Range(0, 100)));
        MakeVersion(world, writer);
        Run(world, 10_000);
        AssertSame(writer, follower);
        SetFiles(writer, SimFiles.Folder(Enumerable.Range(50, 150)));
        MakeVersion(world, writer);
        Run(world, seed * 40);
        Store(writer).Delete(1);
        writer.With(static r => r.VersionsChanged());
        Store(follower).Delete(1);
        Store(follower).Collect();
        Run(world, 20_000);
        Assert.Contains(writer.Store.Versions[^1], follower.Store.Versions);
        Assert.Empty(Store(follower).NotWhole);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_comes_late_has_the_files_of_the_newest_version_first(int seed)
    {
        SimWorld world = OfWays(seed, 2, 100_000, delayMs: 20, bytesPerMs: 100, type: MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        Start(writer, follower);
        for (int i = 0; i < 30; i++)
        {
            SetFiles(writer, SimFiles.Folder(Enumerable.Range(10 * i, 20)));
            MakeVersion(world, writer);
        }

        world.Connect(follower, writer);
        for (int ms = 0; follower.Store.Versions.Count == 0; ms++)
        {
            Assert.True(ms < 20_000);
            Run(world, 1);
        }

        Assert.Equal(writer.Store.Versions[^1], Assert.Single(follower.Store.Versions));
        Assert.False(follower.Replica!.IsComplete);
        RunUntilComplete(world, follower);
        AssertSame(writer, follower);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Where_the_log_is_not_there_any_more_the_newest_version_comes_with_its_files(int seed)
    {
        SimWorld world = Started(seed, 3, MimeiType.Files);
        (SimNode writer, SimNode follower, SimNode next) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        Write(world, writer, 300);
        SetFiles(writer, SimFiles.Folder(Enumerable.Range(0, 100), seed % 2 == 0 ? UnixFsProfile.V0 : UnixFsProfile.V1));
        MakeVersion(world, writer);
        Write(world, writer, 5);
        writer.Store.Sync();
        writer.Store.Trim(1);
        Assert.True(writer.Store.Places[0].Segment.First > 1);
        world.Connect(follower, writer);
        RunUntilComplete(world, follower);
        world.Connect(next, follower);
        RunUntilComplete(world, next);
        Assert.Equal(writer.Store.Versions[^1], Assert.Single(follower.Store.Versions));
        AssertSame(writer, follower, next);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_log_from_which_versions_can_be_made_is_taken_however_long_it_is(int seed)
    {
        SimWorld world = Started(seed, 2, MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        for (int i = 0; i < 3; i++)
        {
            SetFiles(writer, SimFiles.Folder(Enumerable.Range(i, 5)));
            Write(world, writer, 400);
            MakeVersion(world, writer);
        }

        world.Connect(follower, writer);
        RunUntilComplete(world, follower);
        AssertSame(writer, follower);
        Assert.Equal(3, follower.Store.Versions.Count);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Files_that_cannot_be_read_are_told_of_once_and_the_next_are_fetched(int seed)
    {
        SimWorld world = Started(seed, 2, MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        long stream = world.Connect(follower, writer);
        byte[] block = [1, 2, 3, 4, 5, (byte)seed];
        Cid root = (seed % 4) switch
        {
            0 => Cid.Of(Multicodec.DagPb, block), // which is none
            1 => Cid.Of(Multicodec.DagCbor, block),
            2 => Cid.Create(0x78, Multihash.Sha256(block)), // of a codec that is not known (git-raw)
            _ => Cid.Create(Multicodec.Raw, new Multihash(Multicodec.Sha256, Multihash.Sha256(block).ToArray().AsSpan(2, 20))), // of a hash that is too short
        };
        SetFiles(writer, new SimFiles(root, [(root, block)]));
        ((SimStore)writer.Store).ListsAnything = true;
        MakeVersion(world, writer);
        Run(world, 3000);
        world.Cut(stream);
        Run(world, 100);
        world.Connect(follower, writer); // who looks for it again knows
        Run(world, 3000);
        VersionMalformed told = Assert.Single(follower.Events.OfType<VersionMalformed>());
        Assert.Equal((1ul, writer.Store.Versions[0].Block), (told.Number, told.Block));
        RunUntilComplete(world, follower);
        SetFiles(writer, SimFiles.Folder([1, 2, 3]));
        MakeVersion(world, writer);
        Run(world, 3000);
        Assert.Equal(2ul, Assert.Single(follower.Store.Versions).Number);
        Assert.Equal(writer.Store.Last, follower.Store.Last);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Files_of_a_version_that_was_taken_back_are_fetched_no_further(int seed)
    {
        SimWorld world = OfWays(seed, 3, 100_000, delayMs: 20, bytesPerMs: 20, type: MimeiType.Files);
        (SimNode first, SimNode second, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        Start(first, second, follower);
        long stream = world.Connect(second, first), other = world.Connect(follower, first);
        Write(world, first, 10);
        Run(world, 2000);
        world.Cut(stream);
        Run(world, 100);
        SetFiles(first, SimFiles.Folder(Enumerable.Range(0, 400)));
        MakeVersion(world, first, 1);
        Run(world, 2000);
        Assert.Empty(follower.Store.Versions);
        Assert.InRange(follower.Replica!.BlocksUnderWay, 1, 64);
        TakeOver(world, second, 1);
        Run(world, 500);
        world.Connect(follower, second);
        Run(world, 1000);
        world.Cut(other);
        SetFiles(second, SimFiles.Folder(Enumerable.Range(500, 10)));
        MakeVersion(world, second, 1);
        Run(world, 10_000);
        AssertSame(second, follower);
        Assert.Equal(0, follower.Replica.BlocksUnderWay);
        Assert.True(follower.Replica.IsComplete);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_takes_over_while_files_come_writes(int seed)
    {
        SimWorld world = OfWays(seed, 3, 100_000, delayMs: 20, bytesPerMs: 20, type: MimeiType.Files);
        (SimNode first, SimNode second, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        Start(first, second, follower);
        world.Connect(second, first);
        Write(world, first, 10);
        Run(world, 2000);
        SetFiles(first, SimFiles.Folder(Enumerable.Range(0, 400)));
        MakeVersion(world, first);
        Run(world, 1000 + (seed * 50));
        Assert.Empty(second.Store.Versions);
        TakeOver(world, second, 1);
        Run(world, 3000);
        Assert.Equal(ReplicaMode.Writer, second.Replica!.Mode);
        SetFiles(second, SimFiles.Folder(Enumerable.Range(500, 10)));
        MakeVersion(world, second);
        world.Connect(follower, second);
        RunUntilComplete(world, follower);
        AssertSame(second, follower);

        // And of what came for the other version nothing is kept for ever.
        Store(second).Collect();
        Store(follower).Collect();
        Assert.Equal(Store(second).BlockCount, Store(follower).BlockCount);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Files_that_a_disk_had_no_room_for_come_once_it_has(int seed)
    {
        (SimWorld world, SimNode writer, SimNode follower) = Followed(seed, 10, MimeiType.Files);
        SetFiles(writer, SimFiles.Folder(Enumerable.Range(0, 60)));
        follower.Store.IsFull = true;
        MakeVersion(world, writer);
        Run(world, 5000);
        Assert.Empty(follower.Store.Versions);
        Assert.NotEmpty(follower.Events.OfType<StoreFailed>());
        follower.Store.IsFull = false;
        Run(world, 60_000);
        AssertSame(writer, follower);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_gives_files_and_no_log_is_left_for_another(int seed)
    {
        SimWorld world = OfWays(seed, 2, 100_000, delayMs: 20, bytesPerMs: 10, type: MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        Start(writer, follower);
        world.Connect(follower, writer);
        Write(world, writer, 10);
        Run(world, 2000);
        SetFiles(writer, SimFiles.Folder(Enumerable.Range(0, 400)));
        MakeVersion(world, writer);
        Run(world, 2000);
        Assert.Empty(follower.Store.Versions);
        world.OnTheWay = static (_, _, message) => message is Tail ? [] : [message];
        for (int i = 0; i < 8; i++)
        {
            Write(world, writer, 2);
            Run(world, 1000);
        }

        Assert.Empty(follower.Store.Versions); // files come all the while
        Assert.Equal(FaultReason.Stalled, Assert.Single(follower.Events.OfType<PeerRefused>()).Reason);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void More_versions_than_are_held_at_a_time_come_however_fast_they_are_made(int seed)
    {
        SimWorld world = OfWays(seed, 2, 100_000, delayMs: 20, bytesPerMs: 200, type: MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        Start(writer, follower);
        world.Connect(follower, writer);
        for (int i = 0; i < 60; i++)
        {
            SetFiles(writer, SimFiles.Folder(Enumerable.Range(20 * i, 40)));
            MakeVersion(world, writer);
        }

        Run(world, 2000);
        RunUntilComplete(world, follower);
        AssertSame(writer, follower);
        Assert.Equal(60, follower.Store.Versions.Count);
        AssertBlameless(world);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_log_that_has_to_be_caught_up_with_does_not_wait_for_large_files(int seed)
    {
        SimWorld world = OfWays(seed, 2, 4000, delayMs: 20, bytesPerMs: 1000, maxTailBytes: 9000, type: MimeiType.Files);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        Start(writer, follower);
        world.Connect(follower, writer);
        Write(world, writer, 20);
        Run(world, 1000);
        byte[] content = new byte[40_000_000]; // forty seconds, over that way
        new Random(seed).NextBytes(content);
        SetFiles(writer, SimFiles.File(content, UnixFsProfile.V1));
        MakeVersion(world, writer);
        Run(world, 5000 + (seed * 20));
        for (int i = 0; i < 3; i++)
        {
            Write(world, writer, 1000); // more than comes as a tail
            Run(world, 7000);
            Assert.Equal(writer.Store.Last, follower.Store.Last);
            Assert.Empty(follower.Store.Versions);
        }

        RunUntilComplete(world, follower);
        AssertSame(writer, follower);
        Assert.InRange(world.Clock.NowMs, 1_000_000, 1_060_000); // and the way was in use
        AssertBlameless(world);
    }

    private static SimStore Store(SimNode node) => (SimStore)node.Store;

    private static void Start(params SimNode[] nodes)
    {
        foreach (SimNode node in nodes)
        {
            node.Start();
        }
    }

    private static void SetFiles(SimNode writer, SimFiles files)
    {
        Store(writer).SetFiles(files.Root, files.Blocks);
        writer.With(static r => r.LogGrew());
    }

    private static void AssertSame(SimNode writer, params SimNode[] others)
    {
        foreach (SimNode node in others)
        {
            Assert.Equal(writer.Store.State, node.Store.State);
            Assert.Equal(Store(writer).Files, Store(node).Files);
            Assert.Equal(writer.Store.Versions, node.Store.Versions);
            Assert.Empty(Store(node).NotWhole);
        }
    }

    private static void AssertBlameless(SimWorld world) => Assert.All(world.Nodes, static n => Assert.DoesNotContain(n.Events, static e => e is PeerRefused or StateDiffers));
}
