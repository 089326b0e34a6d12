// The same stories as in SimulationTests.cs, with what a node really has at each of them: commands of all kinds on the writer, logs and checkpoints that a crash tears,
// versions, trimmed logs, and states that are compared by DEBUG DIGEST and by CID.

using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.Replication;
using Xunit;

namespace Leither.Simulation;

public class RealSimulationTests
{
    private const int Shards = 4;

    public static TheoryData<int> AllShards => [.. Enumerable.Range(0, Shards)];

    [Theory]
    [MemberData(nameof(AllShards))]
    public void After_healing_every_keyspace_is_the_writers_and_nothing_acknowledged_is_lost(int shard) => Seeds.Run(12, 400, shard, Shards, Run);

    [Theory]
    [MemberData(nameof(AllShards))]
    public void After_healing_every_follower_has_the_files_of_each_version_that_it_lists(int shard) => Seeds.Run(12, 400, shard, Shards, static seed => Run(seed, MimeiType.Files));

    /// <summary>
    /// Networks in which an honest source was blamed for what lay before the segment that its writer began anew (252, 322), a disk had given up entries that who was to write had applied (14), and no way
    /// led from what was here, neither by the version at whose end the histories parted (157) nor by the log alone (353), nor back to nothing where the log was trimmed (1728); and one in which a version whose place was
    /// gone back from was not made when the log came there again (1059).
    /// </summary>
    [Theory]
    [InlineData(14)]
    [InlineData(157)]
    [InlineData(252)]
    [InlineData(322)]
    [InlineData(353)]
    [InlineData(1059)]
    [InlineData(1728)]
    public void Networks_in_which_it_once_went_wrong_end_well(int seed) => Run(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Who_takes_over_makes_versions_with_its_own_key_that_followers_adopt_and_newcomers_begin_with(int seed)
    {
        var stores = new List<RealStore>();
        try
        {
            var world = new SimWorld(seed, 4, 0, (world, index) =>
            {
                stores.Add(new RealStore(world, index));
                return stores[^1];
            })
            { DialsAlone = false };
            (SimNode home, SimNode cloud, SimNode phone, SimNode late) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3]);
            foreach (SimNode node in world.Nodes)
            {
                node.Start();
            }

            world.Connect(cloud, home);
            world.Connect(phone, home);
            Write(home, 60);
            MakeVersion(home, 1);
            WriterCertificate certificate = StorySteps.CertificateOf(world, cloud, 1);
            (cloud.WriterKey, cloud.WasWriter) = (cloud.Key, true);
            cloud.With(r => Assert.Null(r.TakeOver(certificate, cloud.Key)));
            RunFor(5000);
            world.Connect(phone, cloud);
            world.Connect(home, cloud);
            RunFor(5000);

            // At once, before anything is written in its term, and later.
            MakeVersion(cloud, 2);
            Write(cloud, 60);
            MakeVersion(cloud, 3);
            Write(cloud, 5);
            RunFor(5000);
            foreach (SimNode follower in (SimNode[])[home, phone])
            {
                Assert.Equal(cloud.Store.State, follower.Store.State);
                Assert.Equal(cloud.Store.Versions, follower.Store.Versions);
            }

            // Over a restart of all, and for one whose log begins behind them.
            cloud.Store.Trim(0);
            foreach (SimNode node in (SimNode[])[cloud, phone])
            {
                node.Stop(isClean: true, losesPower: false);
                node.Start();
            }

            Assert.Equal(3, cloud.Store.Versions.Count);
            Assert.Equal(3, phone.Store.Versions.Count);
            world.Connect(late, cloud);
            RunFor(10_000);
            Assert.Equal(cloud.Store.State, late.Store.State);
            Assert.Equal(3ul, late.Store.Versions[^1].Number);
            Assert.All(world.Nodes, static n => Assert.DoesNotContain(n.Events, static e => e is PeerRefused or StateDiffers or StoreFailed));

            void RunFor(long ms) => world.Clock.RunUntil(world.Clock.NowMs + ms);

            void Write(SimNode writer, int times)
            {
                for (int i = 0; i < times; i++)
                {
                    _ = writer.Store.Write(world.Random).Count();
                }

                writer.With(static r => r.LogGrew());
                RunFor(5000);
            }

            void MakeVersion(SimNode writer, ulong number)
            {
                (ulong begun, Position at) = writer.Store.BeginVersion(number)!.Value;
                writer.With(r => r.VersionBegun(begun, at));
                writer.With(static r => r.LogGrew());
                Assert.True(writer.Store.EndVersion(writer.WriterKey!, world.Clock.NowMs));
                writer.With(static r => r.VersionsChanged());
                RunFor(5000);
            }
        }
        finally
        {
            stores.ForEach(static store => store.Dispose());
        }
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(4, true)]
    public void Where_another_begins_anew_those_whose_log_is_trimmed_become_empty_and_follow_from_its_first_entry(int seed, bool restarts)
    {
        var stores = new List<RealStore>();
        try
        {
            var world = new SimWorld(seed, 3, 0, (world, index) =>
            {
                stores.Add(new RealStore(world, index));
                return stores[^1];
            })
            { DialsAlone = false };
            (SimNode first, SimNode follower, SimNode second) = (world.Nodes[0], world.Nodes[1], world.Nodes[2]);
            foreach (SimNode node in world.Nodes)
            {
                node.Start();
            }

            world.Connect(follower, first);
            do
            {
                for (int i = 0; i < 100; i++)
                {
                    _ = first.Store.Write(world.Random).Count();
                }

                first.With(static r => r.LogGrew());
                RunFor(5000);
                (ulong number, Position at) = first.Store.BeginVersion(1)!.Value;
                first.With(r => r.VersionBegun(number, at));
                Assert.True(first.Store.EndVersion(first.WriterKey!, world.Clock.NowMs));
                first.With(static r => r.VersionsChanged());
                RunFor(5000);
                Assert.Equal(first.Store.Versions, follower.Store.Versions);
                first.Store.Trim(1);
                follower.Store.Trim(1);
            }
            while (first.Store.Places is [{ Segment.First: 1 }, ..] || follower.Store.Places is [{ Segment.First: 1 }, ..]);

            ulong last = first.Store.Last;
            WriterCertificate certificate = StorySteps.CertificateOf(world, second, 1);
            (second.WriterKey, second.WasWriter) = (second.Key, true);
            second.With(r => Assert.Null(r.TakeOver(certificate, second.Key)));
            RunFor(5000);
            for (int i = 0; i < 20; i++)
            {
                _ = second.Store.Write(world.Random).Count();
            }

            second.With(static r => r.LogGrew());
            world.Connect(first, second);
            world.Connect(follower, second);
            RunFor(10_000);
            if (restarts)
            {
                foreach (SimNode node in (SimNode[])[first, follower])
                {
                    node.WasWriter = false;
                    node.Stop(isClean: false, losesPower: seed % 2 == 0);
                    node.Start();
                    world.Connect(node, second);
                }

                RunFor(10_000);
            }

            foreach (SimNode node in (SimNode[])[first, follower])
            {
                Assert.Equal(second.Store.State, node.Store.State);
                Assert.Equal(second.Store.Last, node.Store.Last);
                Assert.Equal(1ul, node.Store.Places[0].Segment.First);
                Assert.Empty(node.Store.Versions);
                Assert.Equal((0ul, last), (Assert.Single(node.Undone).After.Sequence, node.Undone[0].Last.Sequence));
                Assert.DoesNotContain(node.Events, static e => e is PeerRefused or StateDiffers or StoreFailed);
            }

            void RunFor(long ms) => world.Clock.RunUntil(world.Clock.NowMs + ms);
        }
        finally
        {
            stores.ForEach(static store => store.Dispose());
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Who_follows_files_lists_each_version_with_them_and_who_comes_when_the_log_is_trimmed_the_newest(int seed)
    {
        var stores = new List<RealStore>();
        try
        {
            SimWorld world = new(
                seed, 4, 0,
                (world, index) =>
                {
                    stores.Add(new RealStore(world, index));
                    return stores[^1];
                },
                MimeiType.Files)
            { DialsAlone = false };
            (SimNode writer, SimNode relay, SimNode follower, SimNode late) = (world.Nodes[0], world.Nodes[1], world.Nodes[2], world.Nodes[3]);
            foreach (SimNode node in world.Nodes)
            {
                node.Start();
            }

            world.Connect(relay, writer);
            for (int i = 0; i < 6; i++)
            {
                StorySteps.Write(world, writer, 3);
                StorySteps.MakeVersion(world, writer);
                if (i == 3)
                {
                    world.Connect(follower, relay); // which has the log, and makes the versions before from it
                }
            }

            StorySteps.Run(world, 5000);
            AssertSame(relay, follower);
            Assert.Equal(6, follower.Store.Versions.Count);
            foreach (SimNode node in (SimNode[])[writer, relay])
            {
                node.Stop(isClean: true, losesPower: false);
                node.Start();
            }

            // What was sealed goes, in so far as this store keeps no more of it.
            while (writer.Store.Places[0].Segment.First == 1)
            {
                StorySteps.Write(world, writer, 200);
                StorySteps.Run(world, 2000);
                writer.Store.Trim(0);
            }

            StorySteps.MakeVersion(world, writer);
            world.Connect(late, writer);
            StorySteps.Run(world, 10_000);
            AssertSame(late);
            Assert.Equal(writer.Store.Versions[^1], Assert.Single(late.Store.Versions));
            Assert.All(world.Nodes, static n => Assert.DoesNotContain(n.Events, static e => e is PeerRefused or StateDiffers or StoreFailed));

            void AssertSame(params SimNode[] others)
            {
                foreach (SimNode node in others)
                {
                    Assert.Equal(writer.Store.State, node.Store.State);
                    Assert.Equal(writer.Store.Versions[^1], node.Store.Versions[^1]);
                    Assert.Empty(node.Store.NotWhole);
                }
            }
        }
        finally
        {
            stores.ForEach(static store => store.Dispose());
        }
    }

    private static void Run(int seed) => Run(seed, MimeiType.Database);

    private static void Run(int seed, MimeiType type)
    {
        var random = new Random(seed);
        var stores = new List<RealStore>();
        try
        {
            new Scenario(
                seed, random.Next(2, 6), random.Next(4) == 0 ? 1 : 0, random.Next(8, 30), random.Next(50, 200),
                (world, index) =>
                {
                    stores.Add(new RealStore(world, index));
                    return stores[^1];
                },
                type).Run();
        }
        finally
        {
            stores.ForEach(static store => store.Dispose());
        }
    }
}
