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

    [Fact]
    public void Every_effect_is_read_for_what_it_changes()
    {
        using var db = new InProcess(recording: true);
        db.Prepare("SET s 1", "HSET h f 1 g 2", "RPUSH l a b c 3 1", "SADD t a b c", "ZADD z 1 a 2 b 3 c", "XADD x 1-1 f v", "PFADD p a", "SET bits x");
        StateRoot state = StateOf(db);
        string[] commands =
        [
            "SELECT 1", "SET a 1", "SELECT 0", "DEL s", "SET e v PX 100", "SET s 2 KEEPTTL", "INCRBY n 5", "APPEND s tail", "SETRANGE s 1 x", "SETBIT bits 9 1",
            "BITOP NOT bits2 bits", "BITFIELD bits SET u8 0 7", "PFADD p b c", "PFADD q d", "PFMERGE p q", "PFCOUNT p", "PFDEBUG TODENSE q",
            "EXPIRE n 1000", "PERSIST n", "SET from v", "RENAME from to", "COPY to copied", "MOVE copied 1", "SWAPDB 1 2",
            "HSET h k v", "HSET h k v m w", "HDEL h g", "HINCRBY h f 3", "HEXPIRE h 100 FIELDS 1 f", "HPERSIST h FIELDS 1 f", "HSETEX h KEEPTTL FIELDS 1 f 9", "HPEXPIRE h 100 FIELDS 1 m",
            "RPUSH l d", "LPOP l", "LSET l 0 z", "LINSERT l BEFORE c y", "LREM l 1 c", "LTRIM l 0 5", "LMOVE l l2 LEFT RIGHT", "SORT t ALPHA STORE sorted",
            "SADD t d", "SREM t a", "SUNIONSTORE t2 t t", "ZADD z 5 d", "ZREM z a", "ZREMRANGEBYRANK z 0 0", "ZUNIONSTORE z2 1 z", "ZRANGESTORE z3 z 0 -1",
            "XADD x 2-1 f v g w", "XADD x 3-1 f v", "XADD x 4-1 f v", "XADD x 5-1 f v", "XDEL x 3-1", "XTRIM x MAXLEN 3", "XTRIM x MINID 4", "XSETID x 9-1", "XGROUP CREATE made g $ MKSTREAM",
            "XGROUP CREATE x g 0", "XGROUP CREATE x g2 0", "XGROUP SETID x g2 4-1", "XGROUP DESTROY x g2", "XGROUP CREATECONSUMER x g c", "XREADGROUP GROUP g c COUNT 1 STREAMS x >",
            "XREADGROUP GROUP g c2 STREAMS x >", "XREADGROUP GROUP g c2 STREAMS x >", "XREADGROUP GROUP g c STREAMS x 0", "XCLAIM x g c2 0 4-1", "XACK x g 4-1", "XGROUP DELCONSUMER x g c",
            "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return 1 end)\"", "FUNCTION LOAD \"#!lua name=lib2\\nredis.register_function('f2', function() return 1 end)\"",
            "FUNCTION DELETE lib",
        ];
        db.Prepare("CONFIG RESETSTAT");
        ulong from = db.Server.DefaultMimei.Log!.LastSequence;
        db.Prepare(commands);
        db.Prepare("SET dumped 12345");
        byte[] payload = db.Default.RunRaw("DUMP dumped");
        db.Run(["RESTORE"u8.ToArray(), "restored"u8.ToArray(), "0"u8.ToArray(), payload]);
        db.Clock.Advance(200);
        db.Run("GET e");
        db.Run("HGET h m");
        db.Run("XREADGROUP GROUP g c2 STREAMS x >");
        Check(db, from, ref state);

        from = db.Server.DefaultMimei.Log!.LastSequence;
        db.Keyspace.Effects.SetFiles(Cid.Of(Multicodec.Raw, "a file"u8));
        db.Keyspace.Effects.EndEntry();
        db.Prepare("SET beside 1");
        Check(db, from, ref state);
        Assert.Equal(Cid.Of(Multicodec.Raw, "a file"u8), state.Files);

        // What empties everything, by itself.
        from = db.Server.DefaultMimei.Log!.LastSequence;
        db.Prepare("SET b 1", "FLUSHDB", "SET c 1", "FUNCTION FLUSH");
        Check(db, from, ref state);
        from = db.Server.DefaultMimei.Log!.LastSequence;
        db.Prepare("FLUSHALL", "SET d 1");
        Check(db, from, ref state);

        // Streams by their nodes come from a master's first copy only.
        EffectTag[] unseen = [.. Enum.GetValues<EffectTag>().Except(_seen).Except([EffectTag.None, EffectTag.Select, EffectTag.StreamCreate, EffectTag.StreamAppendNode])];
        Assert.Equal([], unseen);
    }

    private readonly HashSet<EffectTag> _seen = [];

    private void Check(InProcess db, ulong from, ref StateRoot state)
    {
        using var folder = new TempDir();
        using var changes = new StateChanges(db.Keyspace.Databases.Length, folder.Path);
        var tags = new Tags(db.Keyspace.Databases.Length, _seen);
        db.ReadLog(from, (_, body, length) =>
        {
            changes.Add(body, length);
            tags.Visit(body, length);
        });
        changes.End();
        using var builder = new StateBuilder(new NodeStore(_blocks), folder.Path, changes);
        StateRoot expected = StateOf(db);
        Capture(db, builder);
        state = builder.Finish(state);
        AssertSame(expected, state);
    }

    private sealed class Tags(int databases, HashSet<EffectTag> seen) : EffectVisitor(databases)
    {
        protected override void Key(EffectTag tag, int database, ReadOnlySpan<byte> name, bool isWhole) => seen.Add(tag);

        protected override void Element(ReadOnlySpan<byte> name)
        {
        }

        protected override void Flushed(int database) => seen.Add(EffectTag.FlushDatabase);

        protected override void FlushedAll() => seen.Add(EffectTag.FlushAll);

        protected override void Swapped(int a, int b) => seen.Add(EffectTag.SwapDatabases);

        protected override void Function(EffectTag tag, ReadOnlySpan<byte> library) => seen.Add(tag);

        protected override void Files(ReadOnlySpan<byte> root) => seen.Add(EffectTag.FilesSet);
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

    private StateRoot StateOf(InProcess db) => StateOf(db, _blocks);

    /// <summary>The state of what a server holds now.</summary>
    internal static StateRoot StateOf(InProcess db, IBlockstore blocks)
    {
        using var folder = new TempDir();
        using var builder = new StateBuilder(new NodeStore(blocks), folder.Path);
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
