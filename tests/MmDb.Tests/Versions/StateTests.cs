// The state of a database: whatever way led to some content, it has one CID; loaded into another server it is the same content; what changed
// since, applied to the state before, gives the state that is built anew.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Tests.Checkpoints;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.MmDb.Tests.Versions;

public sealed unsafe partial class StateTests(ITestOutputHelper output) : IDisposable
{
    private readonly MemoryBlockstore _blocks = new();

    public static TheoryData<int> Seeds => new(Enumerable.Range(1, Seed.IsLong ? 60 : 3));

    public void Dispose() => _blocks.Dispose();

    [Theory]
    [MemberData(nameof(Seeds))]
    public void A_state_loaded_elsewhere_is_the_same_content_and_the_same_state(int seed)
    {
        output.WriteLine($"seed {seed}");
        using var db = new InProcess(SnapshotTests.SmallThresholds());
        var life = new RandomLife(db, seed);
        for (int round = 0; round < 4; round++)
        {
            life.Run(1500);
            var store = new NodeStore(_blocks);
            StateRoot state = StateOf(db);
            Cid link = state.Write(store);
            using var other = new InProcess(seed: 77);
            other.Clock.Advance(db.Clock.NowMs - other.Clock.NowMs);
            StateLoader.Load(store, StateRoot.Read(store, link), other.Keyspace);

            // First the states: reading deletes what has expired.
            AssertSame(state, StateOf(other));
            Assert.Equal(Contents(db), Contents(other));
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Changes_applied_to_the_state_before_give_the_state_that_is_built_anew(int seed)
    {
        output.WriteLine($"seed {seed}");
        using var db = new InProcess(SnapshotTests.SmallThresholds(), recording: true);
        var life = new RandomLife(db, seed);
        life.Run(1000);
        StateRoot state = StateOf(db);
        for (int round = 0; round < 12; round++)
        {
            ulong from = db.Server.DefaultMimei.Log!.LastSequence;
            life.Run(1 << (round % 10));
            db.Server.EndTurn();
            using var folder = new TempDir();
            using var changes = new StateChanges(db.Keyspace.Databases.Length, folder.Path);
            db.ReadLog(from, changes.Add);
            changes.End();
            using var builder = new StateBuilder(new NodeStore(_blocks), folder.Path, changes);
            StateRoot expected = StateOf(db);
            Capture(db, builder);
            StateRoot found = builder.Finish(state);
            AssertSame(expected, found);
            state = found;
        }
    }

    /// <summary>Everything but how many nodes a stream has: that is layout, not content.</summary>
    private static string Contents(InProcess db) => StreamNodes().Replace(db.Contents(), "");

    [System.Text.RegularExpressions.GeneratedRegex("\"radix-tree-(keys|nodes)\", :\\d+, ")]
    private static partial System.Text.RegularExpressions.Regex StreamNodes();

    private void AssertSame(StateRoot expected, StateRoot found)
    {
        var store = new NodeStore(_blocks);
        if (expected.Write(store) == found.Write(store))
        {
            return;
        }

        foreach (int number in expected.Databases.Keys.Union(found.Databases.Keys))
        {
            foreach (TreeChange change in TreeDiff.Compare(store, expected.Database(number), found.Database(number)))
            {
                output.WriteLine($"{number} {System.Text.Encoding.Latin1.GetString(change.Key.Span)}\n  {Convert.ToHexString(change.Old.Span)}\n  {Convert.ToHexString(change.New.Span)}");
            }
        }

        Assert.Fail("the states differ");
    }

    private StateRoot StateOf(InProcess db)
    {
        using var folder = new TempDir();
        using var builder = new StateBuilder(new NodeStore(_blocks), folder.Path);
        Capture(db, builder);
        return builder.Finish();
    }

    private static void Capture(InProcess db, StateBuilder builder)
    {
        Snapshot snapshot = Snapshot.Begin(db.Keyspace, new Sink(builder));
        while (!snapshot.Step(0))
        {
        }
    }

    private sealed class Sink(StateBuilder builder) : ISnapshotSink
    {
        public SnapshotChunk Rent(long bytes) => new(bytes);

        public void Take(SnapshotChunk chunk)
        {
            builder.Take(chunk);
            chunk.Free();
        }
    }
}
