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
            db.ReadLog(from, (_, body, length) => changes.Add(body, length));
            changes.End();
            using var builder = new StateBuilder(new NodeStore(_blocks), folder.Path, changes);
            StateRoot expected = StateOf(db);
            Capture(db, builder);
            StateRoot found = builder.Finish(state);
            AssertSame(expected, found);
            state = found;
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void What_changed_is_captured_as_it_was_whatever_clients_do_meanwhile(int seed)
    {
        output.WriteLine($"seed {seed}");
        using var db = new InProcess(SnapshotTests.SmallThresholds(), recording: true);
        var life = new RandomLife(db, seed);
        var random = new Random(seed);
        life.Run(1000);
        StateRoot state = StateOf(db);
        for (int round = 0; round < 16; round++)
        {
            ulong from = db.Server.DefaultMimei.Log!.LastSequence;
            db.Prepare("SELECT 0");
            if (round % 5 == 0)
            {
                db.Prepare("DEL k0 k1 k2 k3 k4");
                for (int i = 0; i < 300; i++)
                {
                    db.Prepare($"HSET k0 e{i} {i}", $"SADD k1 e{i}", $"ZADD k2 {i * 7 % 100} e{i}", $"RPUSH k3 e{i}", $"HSETEX k4 PX 100000 FIELDS 1 e{i} {i}");
                }
            }

            life.Run(1 << (round % 9));
            db.Server.EndTurn();
            StateRoot expected = StateOf(db);
            ulong to = db.Server.DefaultMimei.Log!.LastSequence;
            using var folder = new TempDir();
            using var changes = new StateChanges(db.Keyspace.Databases.Length, folder.Path);
            using var builder = new StateBuilder(new NodeStore(_blocks), folder.Path, changes);
            var sink = new Sink(builder) { Holds = true };
            var snapshot = new ChangeSnapshot(db.Keyspace, sink);
            Meanwhile(db, life, random);
            db.ReadLog(from, (sequence, body, length) =>
            {
                if (sequence <= to)
                {
                    changes.Add(body, length);
                }
            });
            changes.End();
            sink.Release();
            snapshot.Take(changes);
            while (!snapshot.Step(0))
            {
                Meanwhile(db, life, random);
            }

            StateRoot found = builder.Finish(state);
            AssertSame(expected, found);
            state = StateOf(db);
        }
    }

    private static void Meanwhile(InProcess db, RandomLife life, Random random)
    {
        life.Run(random.Next(40));
        for (int i = random.Next(10); i > 0; i--)
        {
            int element = random.Next(320);
            db.Run($"HSET k0 e{element} changed{i}");
            db.Run($"HDEL k0 e{random.Next(320)}");
            db.Run($"SREM k1 e{element}");
            db.Run($"SADD k1 e{random.Next(320)}");
            db.Run($"ZADD k2 {element} e{element}");
            db.Run($"ZREM k2 e{random.Next(320)}");
            db.Run("LPOP k3 2");
            db.Run($"HSET k4 e{element} changed{i}");
            db.Run($"HPEXPIRE k4 {random.Next(300)} FIELDS 1 e{random.Next(320)}");
        }
    }

    /// <summary>Everything but how many nodes a stream has: that is layout, not content.</summary>
    private static string Contents(InProcess db) => WithoutLayout(db.Contents());

    /// <summary>As <see cref="Contents"/>, of contents taken before.</summary>
    internal static string WithoutLayout(string contents) => StreamNodes().Replace(contents, "");

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
        private readonly List<SnapshotChunk> _held = [];

        public bool Holds { get; set; }

        public SnapshotChunk Rent(long bytes) => new(bytes);

        public void Take(SnapshotChunk chunk)
        {
            if (Holds)
            {
                _held.Add(chunk);
                return;
            }

            builder.Take(chunk);
            chunk.Free();
        }

        public void Release()
        {
            Holds = false;
            _held.ForEach(Take);
        }
    }
}
