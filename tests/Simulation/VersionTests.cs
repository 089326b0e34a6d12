// Versions that a follower was not told of at the right time, or at all: it gets them in the end, whatever came between.

using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.Replication;
using Xunit;
using static Leither.Simulation.StorySteps;

namespace Leither.Simulation;

public class VersionTests
{
    private const int Seeds = 20;

    public static TheoryData<int> AllSeeds => [.. Enumerable.Range(1, Seeds)];

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_version_that_is_told_before_the_head_that_shows_its_place_is_listed(int seed)
    {
        (SimWorld world, SimNode writer, SimNode follower) = Followed(seed, entries: 10);
        HoldHeadsUntilAVersionIsTold(world);
        MakeVersion(world, writer);
        Run(world, 3000);
        Assert.Equal(10ul, follower.Store.Last);
        AssertSame(writer, follower);

        // And so are two that are told one after the other, of which the second is made behind the first's segment.
        HoldHeadsUntilAVersionIsTold(world);
        Write(world, writer, 1);
        MakeVersion(world, writer);
        MakeVersion(world, writer);
        Run(world, 3000);
        AssertSame(writer, follower);
        Assert.Equal(3, follower.Store.Versions.Count);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_version_whose_telling_was_lost_is_listed_once_its_source_is_reached_again(int seed)
    {
        SimWorld world = Started(seed, 2);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        long stream = world.Connect(follower, writer);
        Write(world, writer, 10);
        Run(world, 3000);
        world.OnTheWay = static (_, _, message) => message is VersionTold ? [] : [message];
        MakeVersion(world, writer);
        Write(world, writer, 5);
        MakeVersion(world, writer);
        Write(world, writer, 50); // and the log is beyond both
        Run(world, 3000);
        Assert.Equal(65ul, follower.Store.Last);
        Assert.Empty(follower.Store.Versions);
        world.OnTheWay = null;
        world.Cut(stream);
        Run(world, 500);
        world.Connect(follower, writer);
        Run(world, 3000);
        AssertSame(writer, follower);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_was_away_while_versions_were_made_lists_each_of_them(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode writer, SimNode relay, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        long stream = world.Connect(relay, writer);
        world.Connect(follower, relay);
        Write(world, writer, 40);
        MakeVersion(world, writer);
        Run(world, 3000);
        AssertSame(writer, relay, follower);
        world.Cut(stream);
        Run(world, 10);
        for (int i = 0; i < 4; i++)
        {
            Write(world, writer, 5);
            MakeVersion(world, writer);
        }

        Write(world, writer, 5);
        Run(world, 3000);
        Assert.Single(relay.Store.Versions);

        // It takes the log, which is less than the state, and the versions on its way; and so does who follows it.
        world.Connect(relay, writer);
        Run(world, 5000);
        Assert.Equal(65ul, follower.Store.Last);
        AssertSame(writer, relay, follower);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_is_complete_lists_each_version_that_it_can_have(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode writer, SimNode follower, SimNode other) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        Write(world, writer, 40);
        MakeVersion(world, writer);
        Write(world, writer, 5);
        MakeVersion(world, writer);
        Write(world, writer, 5);
        world.Connect(follower, writer);
        RunUntilComplete(world, follower);
        Assert.Equal(50ul, follower.Store.Last);
        Assert.Equal(writer.Store.Versions[^1], follower.Store.Versions[^1]);
        if (follower.Store.Find(1) is not null)
        {
            AssertSame(writer, follower); // it took the log, and both lie in it
        }

        // Where nobody gives their blocks it is not waited for them for ever.
        HashSet<Cid> versions = [.. writer.Store.Versions.Select(static v => v.Block)];
        world.OnTheWay = (_, _, message) => [message is Block block && versions.Contains(block.Cid) ? new Missing([block.Cid]) : message];
        world.Connect(other, writer);
        RunUntilComplete(world, other);
        Assert.Equal(50ul, other.Store.Last);
        Assert.Empty(other.Store.Versions);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_lost_its_source_while_a_version_was_on_its_way_is_complete_once_it_has_one_again(int seed)
    {
        SimWorld world = Started(seed, 2);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        Write(world, writer, 400);
        MakeVersion(world, writer);
        Cid version = Assert.Single(writer.Store.Versions).Block;
        world.OnTheWay = (_, _, message) => message is Block block && block.Cid == version ? [] : [message];
        long stream = world.Connect(follower, writer);
        Run(world, 500);
        world.Cut(stream);
        Run(world, 500);
        world.OnTheWay = null;
        world.Connect(follower, writer);
        RunUntilComplete(world, follower);
        AssertSame(writer, follower);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_version_that_a_disk_did_not_take_is_listed_once_it_does(int seed)
    {
        (SimWorld world, SimNode writer, SimNode follower) = Followed(seed, entries: 10);
        ((SimStore)follower.Store).TakesNoVersions = true;
        MakeVersion(world, writer);
        Run(world, 3000);
        Assert.Empty(follower.Store.Versions);
        Assert.NotEmpty(follower.Events.OfType<StoreFailed>());
        ((SimStore)follower.Store).TakesNoVersions = false;
        Run(world, 60_000);
        AssertSame(writer, follower);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_number_that_is_given_again_after_its_version_was_taken_back_is_that_of_the_new_version(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode first, SimNode second, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        long stream = world.Connect(second, first), other = world.Connect(follower, first);
        Write(world, first, 10);
        Run(world, 3000);
        world.Cut(stream);
        Run(world, 10);
        Write(world, first, 10);
        MakeVersion(world, first, 1);
        Write(world, first, 1);
        Run(world, 3000);
        AssertSame(first, follower);

        // Who takes over has never heard of it.
        world.Cut(other);
        TakeOver(world, second, 1);
        Run(world, 1000);
        Write(world, second, 3);
        world.Connect(follower, second);
        world.Connect(first, second);
        Run(world, 5000);
        Assert.Equal(second.Store.State, follower.Store.State);
        Assert.Empty(follower.Store.Versions);
        MakeVersion(world, second, 1);
        Write(world, second, 1);
        Run(world, 5000);
        AssertSame(second, follower, first);
        Assert.Single(second.Store.Versions);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_number_that_was_given_again_by_who_took_over_untold_is_that_of_its_version(int seed)
    {
        SimWorld world = Started(seed, 4);
        (SimNode first, SimNode second, SimNode follower, SimNode late) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3]);
        long stream = world.Connect(second, first);
        world.Connect(follower, first);
        Write(world, first, 10);
        Run(world, 3000);
        world.OnTheWay = (_, to, message) => to == second && message is VersionTold ? [] : [message];
        MakeVersion(world, first);
        Write(world, first, 5);
        Run(world, 3000);
        AssertSame(first, follower);
        Assert.Equal((15ul, 0), (second.Store.Last, second.Store.Versions.Count));
        world.OnTheWay = null;
        world.Cut(stream);
        TakeOver(world, second, 1);
        Run(world, 1000);
        MakeVersion(world, second);
        Write(world, second, 5);
        Assert.Equal(1ul, Assert.Single(second.Store.Versions).Number);
        Run(world, 1000);

        // Those who have the other one, whoever told them, and who follows those.
        world.Connect(late, follower);
        Run(world, 1000);
        world.Connect(follower, second);
        world.Connect(first, second);
        Run(world, 5000);
        AssertSame(second, first, follower, late);
        Assert.All(world.Nodes, static n => Assert.DoesNotContain(n.Events, static e => e is PeerRefused or StoreFailed));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Where_a_version_begins_is_told_to_who_follows_a_follower_before_what_comes_behind_it(int seed)
    {
        SimWorld world = Started(seed, 4);
        (SimNode writer, SimNode relay, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        world.Connect(relay, writer);
        world.Connect(follower, relay);
        Write(world, writer, 10);
        Run(world, 3000);
        var told = new List<Message>();
        world.OnTheWay = (_, to, message) =>
        {
            if (to == follower && message is Mark or Tail)
            {
                told.Add(message);
            }

            return [message];
        };
        (ulong number, Position at) = writer.Store.BeginVersion(1)!.Value;
        writer.With(r => r.VersionBegun(number, at));
        Write(world, writer, 5);
        Run(world, 3000);
        Assert.Equal(new Mark(1, at), told[0]);
        Assert.Equal(15ul, follower.Store.Last);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_lists_what_is_no_version_is_blamed_and_not_who_gives_the_block(int seed)
    {
        SimWorld world = Started(seed, 4);
        (SimNode writer, SimNode honest, SimNode liar, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3]);
        world.Connect(honest, writer);
        world.Connect(liar, writer);
        Write(world, writer, 200);
        Run(world, 3000);

        // It has no log from there on, it says, but a version, whose block it does not have.
        SealedSegment segment = honest.Store.Find(1)!;
        ListedVersion invented = new(1, segment.Cid, new Position(segment.Node.Epoch, 195));
        world.OnTheWay = (from, to, message) => message switch
        {
            Welcome welcome when from == honest => [welcome with { Head = default }],
            Welcome welcome when from == liar => [welcome with { Versions = [invented], Floor = 190, StateBytes = 100 }],
            Block block when from == liar && block.Cid == segment.Cid => [new Missing([block.Cid])],
            _ => [message],
        };
        world.Connect(follower, honest);
        Run(world, 500);
        world.Connect(follower, liar);
        Run(world, 3000);
        PeerRefused refused = Assert.Single(follower.Events.OfType<PeerRefused>());
        Assert.Equal((liar.Peer, FaultReason.Forged), (refused.Peer, refused.Reason));
        world.OnTheWay = null;
        world.Connect(follower, honest);
        Run(world, 3000);
        AssertSame(writer, honest, follower);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_version_that_another_lists_under_a_wrong_number_is_listed_under_its_own(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode writer, SimNode liar, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        Write(world, writer, 20);
        MakeVersion(world, writer);
        Write(world, writer, 5);
        world.Connect(liar, writer);
        Run(world, 3000);
        world.OnTheWay = (from, _, message) => [from == liar && message is Welcome { Versions: [var version] } welcome ? welcome with { Versions = [version with { Number = 7 }] } : message];
        world.Connect(follower, liar);
        world.Connect(follower, writer);
        Run(world, 3000);
        AssertSame(writer, follower);
        Assert.Equal(liar.Peer, Assert.Single(follower.Events.OfType<PeerRefused>()).Peer);
    }

    private static void AssertSame(SimNode writer, params SimNode[] others)
    {
        foreach (SimNode node in others)
        {
            Assert.Equal(writer.Store.State, node.Store.State);
            Assert.Equal(writer.Store.Versions, node.Store.Versions);
        }
    }

    /// <summary>Heads come behind what tells of the next version.</summary>
    private static void HoldHeadsUntilAVersionIsTold(SimWorld world)
    {
        var held = new List<Message>();
        world.OnTheWay = (_, _, message) =>
        {
            switch (message)
            {
                case HeadTold:
                    held.Add(message);
                    return [];
                case VersionTold:
                    world.OnTheWay = null;
                    return [message, .. held];
                default:
                    return [message];
            }
        };
    }
}
