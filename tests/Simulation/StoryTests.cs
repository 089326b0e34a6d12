// What befalls few networks, told one story at a time: writers that sign two histories, old heads, bytes that do not fit, peers that are refused, disks that fail a
// sync. Each is run with several seeds: where segments end, and how long messages take, is another every time.

using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.Replication;
using Xunit;
using static Leither.Simulation.StorySteps;

namespace Leither.Simulation;

public class StoryTests
{
    private const int Seeds = 20;

    public static TheoryData<int> AllSeeds => [.. Enumerable.Range(1, Seeds)];

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_writer_that_signs_two_histories_is_proven_and_followed_no_further_until_another_writes(int seed)
    {
        var world = new SimWorld(seed, 5, 0) { DialsAlone = false };
        world.History.MayFork = true;
        (SimNode writer, SimNode twin, SimNode a, SimNode b, SimNode newcomer) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3], world.Nodes[4]);
        writer.Start();
        Write(world, writer, 10);
        twin.Start();
        world.Connect(twin, writer);
        Run(world, 2000);
        Assert.Equal(writer.Store.State, twin.Store.State);

        // A copy of the writer, with its key, that writes too.
        twin.Stop(isClean: true, losesPower: false);
        (twin.WasWriter, twin.WriterKey) = (true, world.Author);
        twin.Start();
        a.Start();
        b.Start();
        world.Connect(a, writer);
        world.Connect(b, twin);
        for (int i = 0; i < 8; i++)
        {
            Write(world, writer, 3);
            Write(world, twin, 2);
            Run(world, 300);
        }

        Assert.Equal(writer.Store.State, a.Store.State);
        Assert.Equal(twin.Store.State, b.Store.State);
        Assert.NotEqual(a.Store.State, b.Store.State);

        // The two meet.
        world.Connect(a, b);
        world.Connect(b, a);
        Run(world, 10_000);
        Equivocation proof = Assert.IsType<Equivocation>(a.Replica!.Proof);
        Assert.Equal(1ul, proof.Epoch);
        Assert.True(proof.Common <= 10, $"they part after {proof.Common}");
        Assert.NotNull(b.Replica!.Proof);
        Assert.Single(a.Events.OfType<HistoryForked>());
        _ = Equivocation.Decode(a.Store.Facts!.Proof.Span, world.Info.Id, world.Author.PublicKey);

        // Neither goes any further, nor back, whoever writes what.
        (string stateOfA, string stateOfB) = (a.Store.State, b.Store.State);
        Write(world, writer, 20);
        Write(world, twin, 20);
        Run(world, 5000);
        Assert.Equal((stateOfA, stateOfB), (a.Store.State, b.Store.State));
        Assert.Equal((0ul, 0ul), (a.Store.TakenBack, b.Store.TakenBack));

        // That is remembered, and told to who asks.
        a.Stop(isClean: true, losesPower: false);
        a.Start();
        Assert.NotNull(a.Replica!.Proof);
        world.Connect(a, writer);
        newcomer.Start();
        world.Connect(newcomer, a);
        Run(world, 5000);
        Assert.NotNull(newcomer.Replica!.Proof);
        Assert.Equal(stateOfA, a.Store.State);

        // The author's word ends it: another writes, behind what it has.
        TakeOver(world, a, 1);
        world.Connect(b, a);
        world.Connect(newcomer, a);
        Run(world, 2000);
        Write(world, a, 5);
        Run(world, 5000);
        Assert.Equal(a.Store.State, b.Store.State);
        Assert.Equal(a.Store.State, newcomer.Store.State);
        Assert.Equal(b.Store.TakenBack, b.UndoneEntries);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Two_certificates_for_one_term_are_proof_and_nothing_of_that_term_is_followed_where_they_meet(int seed)
    {
        SimWorld world = Started(seed, 5);
        world.History.MayFork = true;
        (SimNode first, SimNode one, SimNode other, SimNode a, SimNode b) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3], world.Nodes[4]);
        Write(world, first, 10);
        foreach (SimNode node in world.Nodes.Skip(1))
        {
            world.Connect(node, first);
        }

        Run(world, 3000);
        Assert.All(world.Nodes, n => Assert.Equal(first.Store.State, n.Store.State));
        first.Stop(isClean: true, losesPower: false);
        TakeOver(world, one, 1);
        Run(world, 500);
        world.Connect(a, one);
        Write(world, one, 5);
        Run(world, 2000);
        Assert.Equal(one.Store.State, a.Store.State);

        TakeOver(world, other, 1);
        Run(world, 500);
        world.Connect(b, other);
        Write(world, other, 7);
        Run(world, 2000);

        world.Connect(a, b);
        world.Connect(b, a);
        Run(world, 5000);
        Assert.NotNull(a.Replica!.Proof);
        Assert.NotNull(b.Replica!.Proof);
        (string stateOfA, string stateOfB) = (a.Store.State, b.Store.State);
        one.Stop(isClean: false, losesPower: true); // so that it begins another epoch of that term
        one.Start();
        Run(world, 5000);
        Assert.Equal(ReplicaMode.Writer, one.Replica!.Mode);
        world.Connect(a, one);
        Write(world, one, 5);
        Write(world, other, 5);
        Run(world, 5000);
        Assert.Equal((stateOfA, stateOfB), (a.Store.State, b.Store.State));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_source_that_has_less_is_counted_not_followed_and_of_use_again_once_it_has_more(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode writer, SimNode follower, SimNode late) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        Write(world, writer, 10);
        long ofLate = world.Connect(late, writer);
        Run(world, 2000);
        world.Cut(ofLate);
        long ofFollower = world.Connect(follower, writer);
        Write(world, writer, 10);
        Run(world, 2000);
        world.Connect(follower, late);
        Run(world, 2000);
        Assert.Equal(1, follower.Replica!.OldHeads);
        Assert.False(follower.Replica.IsRefused(late.Peer));
        Assert.Equal(writer.Peer, follower.Replica.Source!.Peer);
        Assert.Equal(writer.Store.State, follower.Store.State);

        world.Cut(ofFollower);
        Run(world, 500);
        Assert.NotEqual(late.Peer, follower.Replica.Source?.Peer);
        world.Connect(late, writer);
        Write(world, writer, 10);
        Run(world, 5000);
        Assert.Equal(late.Peer, follower.Replica.Source?.Peer);
        Assert.Equal(writer.Store.State, follower.Store.State);
        Assert.Equal(0ul, follower.Store.TakenBack);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void An_old_head_of_the_writers_own_node_is_reported_and_one_after_a_newer_one_is_refused(int seed)
    {
        var world = new SimWorld(seed, 2, 0) { DialsAlone = false };
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        writer.Start();
        follower.Start();
        Write(world, writer, 10);
        ReadOnlyMemory<byte> old = writer.Replica!.Head?.Block ?? default;
        long stream = world.Connect(follower, writer);
        Run(world, 2000);
        old = old.IsEmpty ? writer.Replica.Head!.Block : old;
        Write(world, writer, 10);
        Run(world, 2000);
        Assert.Equal(writer.Store.State, follower.Store.State);
        world.Cut(stream);
        Run(world, 500);

        // At the greeting.
        world.OnTheWay = (_, _, message) => [message is Welcome welcome ? welcome with { Head = old } : message];
        stream = world.Connect(follower, writer);
        Run(world, 1000);
        OldHeadShown shown = Assert.Single(follower.Events.OfType<OldHeadShown>());
        Assert.Equal((writer.Peer, 20ul), (shown.Peer, shown.Seen.Sequence));
        Assert.True(shown.Shown.Sequence < 20);
        Assert.Equal(writer.Store.State, follower.Store.State);
        Assert.False(follower.Replica!.IsRefused(writer.Peer));

        // After a newer one: a log does not become shorter within an epoch.
        world.OnTheWay = (_, _, message) => [message is HeadTold ? new HeadTold(old) : message];
        world.Cut(stream);
        Run(world, 500);
        world.Connect(follower, writer);
        Run(world, 500);
        Write(world, writer, 1);
        Run(world, 1000);
        Assert.Equal(FaultReason.OldHead, Assert.Single(follower.Events.OfType<PeerRefused>()).Reason);
        Assert.True(follower.Replica.IsRefused(writer.Peer));

        // That is forgotten.
        world.OnTheWay = null;
        Run(world, 6000);
        Assert.False(follower.Replica.IsRefused(writer.Peer));
        world.Connect(follower, writer);
        Run(world, 2000);
        Assert.Equal(writer.Store.State, follower.Store.State);
        Assert.Equal(0ul, follower.Store.TakenBack);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_source_that_spoils_bytes_of_the_tail_is_refused_and_nothing_here_is_taken_back(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode writer, SimNode follower, SimNode liar) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        world.Connect(liar, writer);
        world.Connect(follower, liar);
        Write(world, writer, 5);
        Run(world, 3000);
        Assert.Equal(writer.Store.State, follower.Store.State);

        // Once: what it gives when it is asked again is right, and so is what was here before.
        bool isSpoilt = false;
        world.OnTheWay = (from, _, message) =>
        {
            if (from != liar || isSpoilt || message is not Tail { Bytes.Length: > 0 } tail)
            {
                return [message];
            }

            isSpoilt = true;
            byte[] spoilt = tail.Bytes.ToArray();
            spoilt[^1] ^= 1;
            return [tail with { Bytes = spoilt }];
        };
        string before = follower.Store.State;
        Write(world, writer, 1);
        Run(world, 3000);
        Assert.True(isSpoilt);
        Assert.Equal(FaultReason.WrongBytes, Assert.Single(follower.Events.OfType<PeerRefused>()).Reason);
        Assert.True(follower.Replica!.IsRefused(liar.Peer));
        Assert.Equal(before, follower.Store.State);
        Assert.Equal(0ul, follower.Store.TakenBack);
        Assert.True(follower.Replica.BytesRefused > 0);
        Assert.Null(follower.Replica.Proof);

        // Another source has it.
        world.Connect(follower, writer);
        Run(world, 3000);
        Assert.Equal(writer.Store.State, follower.Store.State);

        // Who does it again is refused for longer.
        Run(world, 60_000);
        Assert.False(follower.Replica.IsRefused(liar.Peer));
        long until = follower.Events.OfType<PeerRefused>().Single().UntilMs;
        SimStream stream = world.Stream(world.Connect(follower, liar));
        Run(world, 1000);
        follower.Deliver(stream.Id, [1, 0xFF]);
        PeerRefused again = follower.Events.OfType<PeerRefused>().Last();
        Assert.Equal(FaultReason.Protocol, again.Reason);
        Assert.InRange(again.UntilMs - world.Clock.NowMs, 110_000, 130_000);
        Assert.True(again.UntilMs > until);
        Run(world, 5000);

        // A restart does not make it forget.
        follower.Stop(isClean: true, losesPower: false);
        follower.Start();
        Assert.True(follower.Replica!.IsRefused(liar.Peer));
        Run(world, 130_000);
        Assert.False(follower.Replica.IsRefused(liar.Peer));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_source_that_forges_is_refused_for_good(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode writer, SimNode follower, SimNode liar) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        world.Connect(liar, writer);
        Write(world, writer, 5);
        Run(world, 3000);
        world.OnTheWay = (from, _, message) =>
        {
            if (from != liar || message is not Welcome welcome || welcome.Head.IsEmpty)
            {
                return [message];
            }

            Head head = Head.Decode(welcome.Head, world.Info.Id);
            return [welcome with { Head = (head with { Writer = liar.Key.PublicKey.Bytes.ToArray(), To = head.To + 1 }).Sign(liar.Key).Block }];
        };
        world.Connect(follower, liar);
        Run(world, 3000);
        PeerRefused refused = Assert.Single(follower.Events.OfType<PeerRefused>());
        Assert.Equal((FaultReason.Forged, long.MaxValue), (refused.Reason, refused.UntilMs));
        Assert.Equal(0ul, follower.Store.Last);
        follower.Stop(isClean: true, losesPower: false);
        follower.Start();
        Run(world, 500_000);
        Assert.True(follower.Replica!.IsRefused(liar.Peer));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Followers_take_what_a_writer_wrote_again_after_a_sync_failed_and_lose_nothing(int seed)
    {
        var world = new SimWorld(seed, 5, 0) { DialsAlone = false };
        (SimNode writer, SimNode near, SimNode far, SimNode behind, SimNode late) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3], world.Nodes[4]);
        writer.Start();
        near.Start();
        far.Start();
        behind.Start();
        Write(world, writer, 10);
        world.Connect(near, writer);
        world.Connect(far, near);
        long stream = world.Connect(behind, writer);
        Run(world, 3000); // and all of it is durable
        world.Cut(stream);
        Run(world, 10);
        for (uint generation = 1; generation <= 3; generation++)
        {
            bool isRewritten = false;
            for (int i = 0; i < 200 && !isRewritten; i++)
            {
                Write(world, writer, 4);
                Run(world, 100); // some of it may be on its way, or there
                isRewritten = writer.Store.RewriteTail();
            }

            Assert.True(isRewritten);
            writer.With(static r => r.LogGrew());
            Run(world, 3000);
            Assert.Equal(generation, writer.Replica!.Head!.Segment.Generation);
            Assert.Equal(writer.Store.State, near.Store.State);
            Assert.Equal(writer.Store.State, far.Store.State);
            Write(world, writer, 3);
            Run(world, 3000);
            Assert.Equal(writer.Store.State, near.Store.State);
            Assert.Equal(writer.Store.State, far.Store.State);
        }

        // Who had nothing of what was written again takes nothing back, and who comes late follows the newest.
        world.Connect(behind, writer);
        late.Start();
        world.Connect(late, far);
        Run(world, 5000);
        Assert.Equal(writer.Store.State, behind.Store.State);
        Assert.Equal(writer.Store.State, late.Store.State);
        Assert.Equal((0ul, 0ul), (behind.Store.TakenBack, late.Store.TakenBack));
        Assert.Equal(near.Store.TakenBack, near.UndoneEntries);
        Assert.Equal(far.Store.TakenBack, far.UndoneEntries);
        Assert.All(world.Nodes, n => Assert.Null(n.Replica!.Proof));

        // The same writer in its next life.
        writer.Stop(isClean: true, losesPower: false);
        writer.Start();
        Write(world, writer, 3);
        world.Connect(near, writer);
        Run(world, 5000);
        Assert.Equal(writer.Store.State, near.Store.State);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void What_a_writer_wrote_whose_term_the_next_one_never_saw_is_reported_by_who_loads_the_next_ones_version(int seed)
    {
        SimWorld world = Started(seed, 5);
        (SimNode first, SimNode second, SimNode third, SimNode follower, SimNode newcomer) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3], world.Nodes[4]);
        Write(world, first, 10);
        long[] streams = [world.Connect(second, first), world.Connect(follower, first)];
        world.Connect(third, first);
        Run(world, 3000);
        Assert.Equal(first.Store.State, follower.Store.State);

        // Two halves of a network: in one of them another takes over, in the other the first goes on.
        Array.ForEach(streams, world.Cut);
        TakeOver(world, second, 1);
        world.Connect(follower, second);
        Run(world, 1000);
        Write(world, second, 20);
        Write(world, first, 50);
        Run(world, 3000);
        Assert.Equal((30ul, second.Store.State), (follower.Store.Last, follower.Store.State));
        Assert.Equal((60ul, first.Store.State), (third.Store.Last, third.Store.State));

        // The next takeover is based on what the first wrote.
        second.Stop(isClean: true, losesPower: false);
        TakeOver(world, third, 2);
        Run(world, 1000);
        FromVersion(world, third, newcomer);
        world.Connect(follower, newcomer);
        Run(world, 5000);
        Assert.Equal(third.Store.State, follower.Store.State);
        EntriesUndone undone = Assert.Single(follower.Undone);
        Assert.Equal((10ul, 30ul, 20ul), (undone.After.Sequence, undone.Last.Sequence, undone.Entries));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void What_a_writer_lost_with_its_power_is_reported_by_who_loads_a_version_of_its_next_epoch(int seed)
    {
        var world = new SimWorld(seed, 3, 0) { DialsAlone = false };
        (SimNode writer, SimNode follower, SimNode newcomer) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        writer.Start();
        follower.Start();
        long stream = world.Connect(follower, writer);
        Write(world, writer, 10);
        Run(world, 3000);
        Write(world, writer, 30);
        for (int i = 0; i < 500 && follower.Store.Last < 40; i++)
        {
            Run(world, 1);
        }

        Assert.Equal(writer.Store.State, follower.Store.State);
        world.Cut(stream);
        writer.Stop(isClean: false, losesPower: true);
        ulong kept = writer.Store.Last;
        writer.Start();
        Run(world, 5000);
        Assert.Equal(ReplicaMode.Writer, writer.Replica!.Mode);
        newcomer.Start();
        FromVersion(world, writer, newcomer);
        world.Connect(follower, newcomer);
        Run(world, 5000);
        Assert.Equal(writer.Store.State, follower.Store.State);
        if (kept < 40)
        {
            EntriesUndone undone = Assert.Single(follower.Undone);
            Assert.InRange(undone.After.Sequence, 10ul, kept);
            Assert.Equal(40ul, undone.Last.Sequence);
        }
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_cannot_make_an_older_state_takes_the_version_at_whose_end_the_histories_part(int seed)
    {
        var world = new SimWorld(seed, 2, 0) { DialsAlone = false };
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        writer.Start();
        follower.Start();
        long stream = world.Connect(follower, writer);
        Write(world, writer, 10);
        Run(world, 3000);
        MakeVersion(world, writer);
        Run(world, 3000);
        Write(world, writer, 30);
        for (int i = 0; i < 500 && follower.Store.Last < 40; i++)
        {
            Run(world, 1);
        }

        Assert.Equal(writer.Store.State, follower.Store.State);
        world.Cut(stream);
        writer.Stop(isClean: false, losesPower: true);
        writer.Start();
        Run(world, 5000);
        Assert.Equal(ReplicaMode.Writer, writer.Replica!.Mode);
        Write(world, writer, 5);
        ((SimStore)follower.Store).KeepsStates = false;
        world.Connect(follower, writer);
        Run(world, 5000);
        Assert.Equal(writer.Store.State, follower.Store.State);
        Assert.Equal(writer.Store.Versions, follower.Store.Versions);
        Assert.All(follower.Undone, static undone => Assert.True(undone.After.Sequence >= 10));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Where_another_begins_anew_those_whose_log_is_trimmed_become_empty_and_follow_from_its_first_entry(int seed)
    {
        var world = new SimWorld(seed, 3, 0) { DialsAlone = false };
        (SimNode first, SimNode follower, SimNode second) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        foreach (SimNode node in world.Nodes)
        {
            node.Start();
        }

        world.Connect(follower, first);
        Write(world, first, 100);
        Run(world, 3000);
        MakeVersion(world, first);
        Write(world, first, 100);
        Run(world, 3000);
        foreach (SimNode node in (SimNode[])[first, follower])
        {
            node.Store.Sync();
            node.Store.Trim(1);
            Assert.True(node.Store.Places[0].Segment.First > 1);
        }

        // Its author lets somebody write who has nothing of all that.
        TakeOver(world, second, 1);
        Run(world, 1000);
        Write(world, second, 5);
        world.Connect(first, second);
        world.Connect(follower, second);
        Run(world, 10_000);
        foreach (SimNode node in (SimNode[])[first, follower])
        {
            Assert.Equal(second.Store.State, node.Store.State);
            Assert.Equal(5ul, node.Store.Last);
            Assert.Empty(node.Store.Versions);
            Assert.Equal((0ul, 200ul), (Assert.Single(node.Undone).After.Sequence, node.Undone[0].Last.Sequence));
            Assert.Equal(node.Store.TakenBack, node.UndoneEntries);
            Assert.True(node.Replica!.IsLevel);
        }
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_shares_nothing_with_a_writer_takes_the_version_of_it_that_there_is_and_is_never_empty(int seed)
    {
        var world = new SimWorld(seed, 2, 0) { DialsAlone = false };
        (SimNode first, SimNode second) = (world.Nodes[0], world.Nodes[1]);
        first.Start();
        second.Start();
        Write(world, first, 200);
        first.Store.Sync();
        first.Store.Trim(1);
        TakeOver(world, second, 1);
        Run(world, 1000);
        Write(world, second, 50);
        MakeVersion(world, second);
        Write(world, second, 5);
        world.Connect(first, second);
        for (int i = 0; i < 10_000; i++)
        {
            Run(world, 1);
            Assert.NotEqual(0ul, first.Store.Last);
        }

        Assert.Equal(second.Store.State, first.Store.State);
        Assert.Equal(second.Store.Versions, first.Store.Versions);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_writer_that_ends_the_moment_it_learns_that_another_writes_follows_that_one_when_it_is_back(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode first, SimNode second, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        Write(world, first, 10);
        long stream = world.Connect(second, first);
        Run(world, 3000);
        world.Cut(stream);
        TakeOver(world, second, 1);
        Run(world, 1000);
        Write(world, second, 5);

        // The certificate is durable, and the log is not a copy's yet.
        world.Connect(second, first);
        while (!first.Events.OfType<WriterFenced>().Any())
        {
            Run(world, 1);
        }

        while (first.Store.Facts is not { Certificates.Count: > 0 })
        {
            first.Store.Pending.Dequeue().Run();
        }

        bool wasWriter = first.Store.IsWriter;
        first.Stop(isClean: false, losesPower: false);
        first.WasWriter |= wasWriter;
        first.Start();
        Assert.Equal(ReplicaMode.Follower, first.Replica!.Mode);
        world.Connect(first, second);
        world.Connect(follower, first);
        Run(world, 5000);
        Write(world, second, 5);
        Run(world, 5000);
        Assert.False(first.Store.IsWriter);
        Assert.Equal(second.Store.State, first.Store.State);
        Assert.Equal(second.Store.State, follower.Store.State);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_was_about_to_write_and_hears_of_another_follows_that_one(int seed)
    {
        SimWorld world = Started(seed, 4);
        (SimNode first, SimNode second, SimNode third, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3]);
        Write(world, first, 10);
        long[] streams = [world.Connect(second, first), world.Connect(third, first)];
        world.Connect(follower, second);
        Run(world, 3000);
        Array.ForEach(streams, world.Cut);

        // A writer that returns, and one that takes over, whose disks have no room to begin.
        first.Stop(isClean: false, losesPower: true);
        first.Start();
        first.Store.IsFull = second.Store.IsFull = true;
        TakeOver(world, second, 1);
        Run(world, 10_000);
        Assert.False(first.Store.IsWriter || second.Store.IsWriter);
        TakeOver(world, third, 2);
        Run(world, 3000);
        Write(world, third, 5);
        world.Connect(first, third);
        world.Connect(second, third);
        Run(world, 3000);
        first.Store.IsFull = second.Store.IsFull = false;
        Run(world, 5000);
        Assert.Equal((ReplicaMode.Follower, ReplicaMode.Follower), (first.Replica!.Mode, second.Replica!.Mode));
        Assert.Equal((third.Store.State, third.Store.State), (first.Store.State, second.Store.State));
        Assert.Equal(third.Store.State, follower.Store.State);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_takeover_that_ends_before_it_is_done_is_done_behind_what_its_certificate_names(int seed)
    {
        SimWorld world = Started(seed, 4);
        (SimNode first, SimNode second, SimNode third, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3]);
        Write(world, first, 10);
        long[] streams = [world.Connect(second, first), world.Connect(follower, first)];
        world.Connect(third, first);
        Run(world, 3000);

        // Two halves of a network: in one of them another takes over, in the other the first goes on.
        Array.ForEach(streams, world.Cut);
        TakeOver(world, second, 1);
        world.Connect(follower, second);
        Run(world, 1000);
        Write(world, second, 80);
        Write(world, first, 50);
        Run(world, 3000);
        Assert.Equal((90ul, 60ul), (follower.Store.Last, third.Store.Last));
        second.Stop(isClean: true, losesPower: false);

        // The next takeover is based on what the first wrote; it gets no further than its certificate.
        TakeOver(world, third, 2);
        while (third.Store.Facts is not { Certificates.Count: > 0 })
        {
            third.Store.Pending.Dequeue().Run();
        }

        Assert.False(third.Store.IsWriter);
        third.Stop(isClean: false, losesPower: false);
        third.WasWriter = true;
        string state = third.Store.State;
        third.Start();
        world.Connect(third, follower);
        Run(world, 10_000);
        Assert.Equal(ReplicaMode.Writer, third.Replica!.Mode);
        Assert.Equal((60ul, state), (third.Store.Last, third.Store.State));
        Assert.Empty(third.Undone);
        world.Connect(follower, third);
        Run(world, 5000);
        Assert.Equal(third.Store.State, follower.Store.State);
        EntriesUndone undone = Assert.Single(follower.Undone);
        Assert.Equal((10ul, 90ul), (undone.After.Sequence, undone.Last.Sequence));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Nobody_takes_over_behind_an_entry_that_was_taken_back_where_he_is(int seed)
    {
        var world = new SimWorld(seed, 2, 0) { DialsAlone = false };
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        writer.Start();
        follower.Start();
        long stream = world.Connect(follower, writer);
        Write(world, writer, 10);
        Run(world, 3000);
        Write(world, writer, 30);
        for (int i = 0; i < 500 && follower.Store.Last < 40; i++)
        {
            Run(world, 1);
        }

        // It is signed for what is there now, and comes late: the writer lost it, and went on.
        WriterCertificate certificate = CertificateOf(world, follower, 1);
        Assert.Equal(40ul, certificate.After.Sequence);
        world.Cut(stream);
        writer.Stop(isClean: false, losesPower: true);
        bool isLost = writer.Store.Last < 40;
        writer.Start();
        Run(world, 5000);
        Write(world, writer, 50);
        world.Connect(follower, writer);
        Run(world, 5000);
        Assert.Equal(writer.Store.State, follower.Store.State);
        string? refusal = null;
        world.AddWriter(certificate);
        follower.With(r => refusal = r.TakeOver(certificate, follower.Key));
        Assert.Equal(isLost, refusal is not null);
        Run(world, 1000);
        Assert.Equal(isLost ? ReplicaMode.Follower : ReplicaMode.Writer, follower.Replica!.Mode);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void What_is_taken_back_is_reported_also_where_a_disk_failed_before_it_could_be(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode writer, SimNode other, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        var disk = (SimStore)follower.Store;
        Write(world, writer, 5);
        long stream = world.Connect(other, writer);
        world.Connect(follower, writer);
        Run(world, 3000);
        world.Cut(stream);
        Write(world, writer, 5);
        Run(world, 3000); // and that is durable
        Write(world, writer, 20);
        for (int i = 0; i < 500 && follower.Store.Last < 30; i++)
        {
            Run(world, 1);
        }

        Assert.Equal(30ul, follower.Store.Last);
        disk.FailSync();
        writer.Stop(isClean: true, losesPower: false);
        TakeOver(world, other, 1);
        Run(world, 500);
        Write(world, other, 5);
        world.Connect(follower, other);
        Run(world, 2500);
        Assert.NotEmpty(follower.Events.OfType<StoreFailed>());
        disk.Mend();
        follower.With(static r => r.LogGrew());
        Run(world, 20_000);
        if (follower.Store.State != other.Store.State)
        {
            world.Connect(follower, other);
            Run(world, 20_000);
        }

        Assert.Equal(other.Store.State, follower.Store.State);
        Assert.InRange(follower.Store.TakenBack, 5ul, 25ul);
        Assert.Equal(follower.Store.TakenBack, follower.UndoneEntries);
    }

    [Fact]
    public void One_peer_cannot_take_the_room_of_all_followers()
    {
        SimWorld world = Started(1, 3);
        Write(world, world.Nodes[0], 3);
        for (int i = 0; i < 300; i++)
        {
            world.Connect(world.Nodes[2], world.Nodes[0]);
        }

        Run(world, 100);
        Assert.InRange(world.Nodes[0].StreamCount, 1, 8);
        world.Connect(world.Nodes[1], world.Nodes[0]);
        Run(world, 3000);
        Assert.Equal(world.Nodes[0].Store.State, world.Nodes[1].Store.State);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_sync_asks_no_further_ahead_than_keeps_the_way_filled_for_that_comes_again_if_the_process_ends(int seed)
    {
        // A segment takes ten milliseconds, the question for the next one two at most, and the store is done with each before another comes.
        Assert.InRange(MostUnderWay(seed, delayMs: 1), 2, 3);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_sync_over_a_long_way_asks_so_far_ahead_that_it_is_filled(int seed) => Assert.InRange(MostUnderWay(seed, delayMs: 60), 7, 8);

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Of_a_segment_whose_beginning_is_here_only_the_rest_comes(int seed)
    {
        (SimWorld world, SimNode writer, SimNode follower, long missing) = WithABeginning(seed);
        world.Connect(follower, writer);
        Run(world, 3000);
        Assert.Equal(writer.Store.State, follower.Store.State);
        Assert.InRange(follower.Replica!.BytesReceived, missing, missing + 1000);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Where_the_rest_of_a_segment_does_not_go_on_from_what_is_here_all_of_it_is_asked_for_and_who_spoils_that_is_refused(int seed)
    {
        (SimWorld world, SimNode writer, SimNode follower, long missing) = WithABeginning(seed);
        string before = follower.Store.State;
        bool spoilsAll = true;
        world.OnTheWay = (_, _, message) =>
        {
            if (message is not Block block || !(spoilsAll || block.Offset > 0))
            {
                return [message];
            }

            byte[] spoilt = block.Bytes.ToArray();
            spoilt[^1] ^= 1;
            return [block with { Bytes = spoilt }];
        };
        world.Connect(follower, writer);
        Run(world, 3000);
        Assert.Equal(FaultReason.WrongBytes, Assert.Single(follower.Events.OfType<PeerRefused>()).Reason);
        Assert.Equal(before, follower.Store.State);

        // Once it is not refused any more: it may be that what is here belongs to another history, so that the rest alone is nobody's fault.
        spoilsAll = false;
        Run(world, 70_000);
        world.Connect(follower, writer);
        Run(world, 3000);
        Assert.Equal(writer.Store.State, follower.Store.State);
        Assert.Single(follower.Events.OfType<PeerRefused>());
        Assert.Equal(0ul, follower.Store.TakenBack);
        Assert.True(follower.Replica!.BytesReceived > 2 * missing);
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Who_gets_less_than_is_written_is_given_heads_all_the_while_and_segments_once_it_is_far_behind_and_blames_nobody(int seed)
    {
        SimWorld world = OfWays(seed, 3, segmentBytes: 2000, delayMs: 5, bytesPerMs: 60, maxTailBytes: 6000);
        (SimNode writer, SimNode slow, SimNode behind) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        writer.Start();
        slow.Start();
        behind.Start();
        world.Connect(slow, writer);
        world.Connect(behind, slow);
        Write(world, writer, 10);
        Run(world, 1000);
        Assert.Equal(writer.Store.State, behind.Store.State);

        // A little more than the way carries, so that it is never at the end; then much more.
        foreach (int entries in new[] { 20, 80 })
        {
            ulong before = slow.Store.Last;
            for (int i = 0; i < 200; i++)
            {
                Write(world, writer, entries);
                Run(world, 10);
            }

            Assert.True(writer.Store.Last - slow.Store.Last > 100, $"the way carried all of it: {slow.Store.Last} of {writer.Store.Last}");
            Assert.True(slow.Store.Last - before > 100, $"it came no further than from {before} to {slow.Store.Last}");
            Run(world, 60_000);
            Assert.Equal(writer.Store.State, slow.Store.State);
            Assert.Equal(writer.Store.State, behind.Store.State);
        }

        Assert.All(world.Nodes, static n => Assert.Empty(n.Events.OfType<PeerRefused>()));
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Over_a_slow_way_it_comes_nearer_though_others_show_more_all_the_while(int seed)
    {
        SimWorld world = OfWays(seed, 4, segmentBytes: 1_000_000, delayMs: 5, bytesPerMs: 18);
        (SimNode writer, SimNode one, SimNode other, SimNode late) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3]);
        writer.Start();
        one.Start();
        other.Start();
        world.Connect(one, writer);
        world.Connect(other, writer);
        Write(world, writer, 600);
        Run(world, 20_000);
        Assert.Equal(writer.Store.State, one.Store.State);
        Assert.Equal(writer.Store.State, other.Store.State);

        // All that it lacks is of one segment, and takes some seconds to come; and something is written all the while.
        Assert.True(writer.Store.End.Length > 20_000);
        late.Start();
        world.Connect(late, one);
        world.Connect(late, other);
        for (int i = 0; i < 60; i++)
        {
            Write(world, writer, 1);
            Run(world, 200);
        }

        Assert.True(late.Store.Last > 600, $"{late}");
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_way_on_which_one_message_takes_longer_than_a_source_may_be_silent_is_of_use(int seed)
    {
        // The one log is one segment, and comes as the tail; the other one's come by themselves.
        foreach (int segmentBytes in new[] { 4_000_000, 200_000 })
        {
            SimWorld world = OfWays(seed, 3, segmentBytes, delayMs: 100, bytesPerMs: 10);
            (SimNode writer, SimNode follower, SimNode trickler) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
            writer.Start();
            follower.Start();
            for (int i = 0; i < 80; i++)
            {
                Write(world, writer, 100);
            }

            Assert.True(writer.Store.End.Length > 0 && writer.Store.Last == 8000);
            world.Connect(follower, writer);
            Run(world, 120_000);
            Assert.Empty(follower.Events.OfType<PeerRefused>());
            Assert.Equal(writer.Store.State, follower.Store.State);
            Assert.Equal(8000ul, follower.Store.Last);

            // Who sends parts of messages and never a whole one is no source for longer than that.
            trickler.Start();
            long stream = world.Connect(trickler, writer);
            world.OnTheWay = (_, to, message) => to == trickler && message is Tail or Block ? [] : [message];
            for (int i = 0; i < 700 && trickler.Events.Count == 0; i++)
            {
                Run(world, 100);
                trickler.Arriving(stream);
            }

            Assert.Equal(FaultReason.Stalled, Assert.Single(trickler.Events.OfType<PeerRefused>()).Reason);
        }
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Each_source_hears_how_far_a_follower_is_whichever_it_follows(int seed)
    {
        SimWorld world = Started(seed, 3);
        (SimNode writer, SimNode relay, SimNode follower) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
        world.Connect(relay, writer);
        for (int i = 0; i < 3; i++)
        {
            Write(world, writer, 10);
            Run(world, 3000);
            if (i == 1)
            {
                world.Connect(follower, relay);
                world.Connect(follower, writer);
                Run(world, 3000);
            }

            foreach (SimNode source in i > 0 ? new[] { writer, relay } : [])
            {
                Assert.Equal(writer.Store.Last, source.Replica!.Followers.Single(f => f.Peer == follower.Peer).Written);
            }
        }
    }

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void A_writer_that_greets_a_follower_is_none_of_its_followers(int seed)
    {
        (SimWorld world, SimNode writer, SimNode follower) = Followed(seed, entries: 10);
        world.Connect(writer, follower);
        Run(world, 3000);
        Assert.Empty(follower.Replica!.Followers);
        Assert.Single(writer.Replica!.Followers);
        AssertLevel();

        // Once it is not the writer any more it follows.
        TakeOver(world, follower, 1);
        Run(world, 3000);
        Write(world, follower, 10);
        Run(world, 3000);
        AssertLevel();

        void AssertLevel() => Assert.Equal(writer.Store.State, follower.Store.State);
    }

    /// <summary>A follower that has the beginning of a segment that has ended meanwhile, and how many bytes of the log it lacks.</summary>
    private static (SimWorld World, SimNode Writer, SimNode Follower, long Missing) WithABeginning(int seed)
    {
        SimWorld world = OfWays(seed, 2, segmentBytes: 20_000, delayMs: 5, bytesPerMs: int.MaxValue);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        writer.Start();
        follower.Start();
        world.Connect(follower, writer);
        Write(world, writer, 100);
        Run(world, 3000);
        Assert.Equal(writer.Store.State, follower.Store.State);
        (SegmentStart begun, long here) = (follower.Store.End.Segment, follower.Store.End.Length);
        Assert.InRange(here, 1000, 19_000);
        follower.Stop(isClean: true, losesPower: false);
        while (writer.Store.End.Segment == begun)
        {
            Write(world, writer, 10);
        }

        Run(world, 1000);
        follower.Start();
        return (world, writer, follower, writer.Store.Places.Where(p => p.Segment.First >= begun.First).Sum(static p => p.Length) - here);
    }

    /// <summary>How many segments a newcomer has asked for and not got at the most, while it fetches some hundred from one source.</summary>
    private static int MostUnderWay(int seed, int delayMs)
    {
        SimWorld world = OfWays(seed, 2, segmentBytes: 2000, delayMs, bytesPerMs: 200);
        (SimNode writer, SimNode newcomer) = (world.Nodes[0], world.Nodes[1]);
        writer.Start();
        Write(world, writer, 4000);
        newcomer.Start();
        world.Connect(newcomer, writer);
        int most = 0;
        while (newcomer.Store.State != writer.Store.State)
        {
            Assert.True(world.Clock.NowMs < 1_100_000, newcomer.ToString());
            Run(world, 1);
            most = Math.Max(most, newcomer.Replica!.BlocksUnderWay);
        }

        Assert.True(newcomer.Replica!.BlocksReceived > 100, $"{newcomer.Replica.BlocksReceived} came");
        return most;
    }

    /// <summary>A writer makes a version, and a newcomer has that, and no more of the log than what comes behind it.</summary>
    private static void FromVersion(SimWorld world, SimNode writer, SimNode newcomer)
    {
        Write(world, writer, 200);
        Position at = MakeVersion(world, writer);
        Write(world, writer, 5);
        world.Connect(newcomer, writer);
        Run(world, 5000);
        Assert.Equal(writer.Store.State, newcomer.Store.State);
        Assert.Equal(at.Sequence + 1, newcomer.Store.Places[0].Segment.First);
    }
}
