using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.Replication;
using Xunit;

namespace Leither.Simulation;

/// <summary>What happens in a story of a small network.</summary>
internal static class StorySteps
{
    /// <summary>A world all of whose nodes run, and none dials another by itself.</summary>
    public static SimWorld Started(int seed, int count, MimeiType type = MimeiType.Database)
    {
        var world = new SimWorld(seed, count, 0, type: type) { DialsAlone = false };
        foreach (SimNode node in world.Nodes)
        {
            node.Start();
        }

        return world;
    }

    /// <summary>A world whose ways take as long as is said and carry as much, and none of whose nodes runs yet, or dials another by itself.</summary>
    public static SimWorld OfWays(int seed, int count, int segmentBytes, int delayMs, int bytesPerMs, int maxTailBytes = LogProtocol.MaxTailBytes, MimeiType type = MimeiType.Database) =>
        new(seed, count, 0, (world, _) => new SimStore(world.Info.Id, world.WriterOf, world.History, world.Random) { SegmentBytes = segmentBytes }, type)
        {
            DialsAlone = false,
            DelayMs = delayMs,
            BytesPerMs = bytesPerMs,
            MaxTailBytes = maxTailBytes,
        };

    /// <summary>A writer, and a follower that has what was written there.</summary>
    public static (SimWorld World, SimNode Writer, SimNode Follower) Followed(int seed, int entries, MimeiType type = MimeiType.Database)
    {
        SimWorld world = Started(seed, 2, type);
        (SimNode writer, SimNode follower) = (world.Nodes[0], world.Nodes[1]);
        world.Connect(follower, writer);
        Write(world, writer, entries);
        Run(world, 3000);
        return (world, writer, follower);
    }

    public static void Run(SimWorld world, long ms) => world.Clock.RunUntil(world.Clock.NowMs + ms);

    public static void Write(SimWorld world, SimNode writer, int entries)
    {
        for (int i = 0; i < entries; i++)
        {
            _ = writer.Store.Write(world.Random).Count();
        }

        writer.With(static r => r.LogGrew());
    }

    public static void RunUntilComplete(SimWorld world, SimNode node)
    {
        for (int ms = 0; !node.Replica!.IsComplete; ms++)
        {
            Assert.True(ms < 60_000);
            Run(world, 1);
        }
    }

    /// <summary>A writer makes a version, with the next number where none is given; told is where it was made.</summary>
    public static Position MakeVersion(SimWorld world, SimNode writer, ulong number = 0)
    {
        number = number > 0 ? number : writer.Store.Versions is [.., var newest] ? newest.Number + 1 : 1;
        (_, Position at) = writer.Store.BeginVersion(number)!.Value;
        writer.With(r => r.VersionBegun(number, at));
        Assert.True(writer.Store.EndVersion(writer.WriterKey!, world.Clock.NowMs));
        writer.With(static r => r.VersionsChanged());
        Run(world, 100);
        return at;
    }

    public static void TakeOver(SimWorld world, SimNode node, uint term)
    {
        WriterCertificate certificate = CertificateOf(world, node, term);
        world.AddWriter(certificate);
        (node.WriterKey, node.WasWriter) = (node.Key, true);
        node.With(r => Assert.Null(r.TakeOver(certificate, node.Key)));
    }

    /// <summary>The author's word that a node writes behind what is there now.</summary>
    public static WriterCertificate CertificateOf(SimWorld world, SimNode node, uint term) => new WriterCertificate
    {
        Mid = world.Info.Id,
        Author = world.Author.PublicKey.Bytes.ToArray(),
        Writer = node.Key.PublicKey.Bytes.ToArray(),
        Node = node.Peer,
        Epoch = WriterCertificate.FirstEpochOf(term),
        After = node.Store.Position,
    }.Sign(world.Author);
}
