// A copy of what is written elsewhere: what it shows of the writer's effects, how it goes back and takes versions, and how it becomes what is written here.

using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Replication;
using Leither.MmDb.Tests.Versions;
using Leither.MmDb.Versions;
using Leither.RedisCompat;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Replication;

public sealed class CopyTests : IDisposable
{
    private readonly VersionFixture _writer = new();
    private readonly CopyFixture _copy;

    public CopyTests() => _copy = new CopyFixture(_writer);

    public void Dispose()
    {
        _copy.Dispose();
        _writer.Dispose();
    }

    private InProcess Writer => _writer.Db;

    private InProcess Db => _copy.Db;

    [Fact]
    public void Random_commands_lead_to_the_same_data_and_the_same_state() => Seed.Run(random =>
    {
        int rounds = Seed.IsLong ? 40 : 4;
        for (int round = 0; round < rounds; round++)
        {
            foreach (string[] command in new CommandGenerator(random, withNewer: true).Draw(2500))
            {
                if (command[0] is not ("BLPOP" or "BRPOP" or "BLMOVE" or "BZPOPMIN"))
                {
                    Writer.Default.Send(CommandGenerator.Bytes(command));
                    while (Writer.Default.TakeReply() is not null)
                    {
                    }
                }

                if (random.Next(50) == 0)
                {
                    _copy.Follow(random.Next(3) == 0 ? random.Next(1, 300) : int.MaxValue);
                }

                if (random.Next(2000) == 0)
                {
                    _copy.Reopen(isClean: random.Next(2) == 0);
                }
            }

            Writer.Run("DISCARD");
            Writer.Run("SELECT 0");
            _copy.Follow();
            _copy.AssertSame();
            Assert.Equal(Writer.Server.DefaultMimei.Log!.LastSequence, _copy.Copy.Applied.Sequence);
        }
    });

    [Fact]
    public void A_write_is_refused_as_by_a_replica_and_reads_go_on()
    {
        Writer.Prepare("SET a 1", "RPUSH l x", "XADD s 1-1 f v", "XGROUP CREATE s g 0");
        _copy.Follow();
        const string refused = "-READONLY You can't write against a read only replica.";
        Assert.Equal(refused, Db.Run("SET a 2"));
        Assert.Equal(refused, Db.Run("BLPOP l 0"));
        Assert.Equal(refused, Db.Run("XREADGROUP GROUP g c STREAMS s >"));
        Assert.Equal(refused, Db.Run("FUNCTION FLUSH"));
        Assert.Equal("\"1\"", Db.Run("GET a"));
        Assert.Equal("+OK", Db.Run("MULTI"));
        Assert.Equal(refused, Db.Run("SET a 2"));
        Assert.Equal("-EXECABORT Transaction discarded because of previous errors.", Db.Run("EXEC"));
        Assert.Equal("+OK", Db.Run("MULTI"));
        Assert.Equal("+QUEUED", Db.Run("GET a"));
        Assert.Equal("[\"1\"]", Db.Run("EXEC"));
        Assert.Equal("\"1\"", Db.Run("EVAL 'return redis.call(\"get\", \"a\")' 0"));
        Assert.StartsWith(refused, Db.Run("EVAL 'return redis.call(\"set\", \"a\", 2)' 0"), StringComparison.Ordinal);
        Assert.Equal(":1", Db.Run("PFCOUNT l2").Replace(":0", ":1", StringComparison.Ordinal));
        Assert.StartsWith("-READONLY", _copy.Db.Run("MIMEI BACKUP"), StringComparison.Ordinal);
    }

    [Fact]
    public void LATENCY_tells_of_applying_that_took_long()
    {
        // A disk that takes its time makes it long, whatever the machine does.
        var disk = new SimulatedDisk(1);
        using var copy = new CopyFixture(_writer, logDisk: disk);
        disk.Fails = operation =>
        {
            if (operation == "write")
            {
                Thread.Sleep(5);
            }

            return false;
        };
        Writer.Prepare("SET a 1");
        copy.Follow();
        Assert.DoesNotContain("replication-apply", copy.Db.Run("LATENCY LATEST"), StringComparison.Ordinal);
        copy.Db.Server.Options.LatencyThresholdMs = 4;
        Writer.Prepare("SET a 2");
        copy.Follow();
        Assert.Contains("[\"replication-apply\", :", copy.Db.Run("LATENCY LATEST"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_refused_write_is_told_where_to_write()
    {
        using PrivateKey key = PrivateKey.FromSeed(new byte[32]);
        PeerId peer = PeerId.Of(key.PublicKey.Protobuf);
        var nodes = new FakeReplication();
        string[] addresses = ["/ip4/192.0.2.1/tcp/4800/ws", "/ip4/192.0.2.1/tcp/4800", "/ip6/2001:db8::1/tcp/4800", "/ip4/198.51.100.7/tcp/4800"];
        nodes.Statuses[_writer.Info.Id] = new ReplicaStatus { Role = ReplicaRole.Follower, Writer = peer, WriterAddresses = [.. addresses.Select(Multiaddr.Parse)] };
        Db.Server.Replicas = nodes;
        Assert.Equal($"-READONLY You can't write against a read only replica. The author's node is {peer} (/ip4/192.0.2.1/tcp/4800, /ip6/2001:db8::1/tcp/4800)", Db.Run("SET a 1"));
        nodes.Statuses[_writer.Info.Id] = new ReplicaStatus { Role = ReplicaRole.Writer, Writer = peer };
        Assert.Equal("-READONLY You can't write against a read only replica. This node writes again once those who followed it were asked for what it may have lost", Db.Run("SET a 1"));
    }

    [Fact]
    public void Keyspace_events_are_those_of_the_effects()
    {
        Db.ListenToEvents(KeyspaceEvents.All);
        Writer.Prepare(
            "SET a 1", "SETEX b 100 v", "INCR a", "APPEND a x", "SADD s m n", "SREM s m n", "HSET h f v", "HDEL h f", "RPUSH l 1 2", "LPOP l", "LMOVE l k LEFT RIGHT",
            "ZADD z 1 m", "XADD x 1-1 f v", "RENAME a c", "COPY c d", "EXPIRE d 100", "PERSIST d", "MOVE d 1", "DEL c");
        _copy.Follow();
        Assert.Equal(
            [
                "set a", "set b", "expire b", "incrby a", "append a", "sadd s", "srem s", "del s", "hset h", "hdel h", "del h", "rpush l", "lpop l", "rpush k", "lpop l", "del l",
                "zadd z", "xadd x", "rename_from a", "rename_to c", "copy_to d", "expire d", "persist d", "move_from d", "move_to d@1", "del c",
            ],
            Db.Events);
    }

    [Fact]
    public void What_has_expired_is_hidden_and_goes_by_the_writers_word()
    {
        Writer.Prepare("SET a 1 PX 50", "HSET h f v", "HPEXPIRE h 50 FIELDS 1 f");
        _copy.Follow();
        Db.ListenToEvents(KeyspaceEvents.All);
        Db.Clock.Advance(100);
        Assert.Equal("nil", Db.Run("GET a"));
        Db.Server.Cron(Db.Clock.NowMs);
        Assert.Equal(":2", Db.Run("DBSIZE"));
        Assert.Empty(Db.Events);
        Writer.Clock.Advance(100);
        Writer.Server.Cron(Writer.Clock.NowMs);
        Assert.Equal("nil", Writer.Run("GET a"));
        _copy.Follow();
        Assert.Equal(":0", Db.Run("DBSIZE"));
        Assert.Equal(["del h", "expired a", "hexpired h"], Db.Events.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Who_waits_for_a_stream_is_woken_by_what_arrives()
    {
        InProcess.Client waiting = Db.Connect();
        waiting.Send(Words("XREAD BLOCK 0 STREAMS s $"));
        Assert.Null(waiting.Take());
        Writer.Prepare("XADD s 1-1 f v");
        _copy.Follow();
        Assert.Equal("[[\"s\", [[\"1-1\", [\"f\", \"v\"]]]]]", waiting.Take());
    }

    [Fact]
    public void WATCH_is_broken_and_caches_are_told_by_what_arrives()
    {
        Writer.Prepare("SET a 1", "SET b 1");
        _copy.Follow();
        InProcess.Client watching = Db.Connect(), caching = Db.Connect();
        watching.Run("WATCH a");
        watching.Run("MULTI");
        watching.Run("GET b");
        caching.Run("HELLO 3");
        caching.Run("CLIENT TRACKING ON");
        caching.Run("GET b");
        Writer.Prepare("SET a 2", "SET b 2");
        _copy.Follow();
        Assert.Equal("nil-array", watching.Run("EXEC"));
        Assert.Equal(">[\"invalidate\", [\"b\"]]", caching.Take());
        caching.Run("GET b");
        Writer.Prepare("FLUSHALL");
        _copy.Follow();
        Assert.Equal(">[\"invalidate\", _]", caching.Take());
    }

    [Fact]
    public void Functions_and_scripts_of_the_writer_are_there()
    {
        Writer.Prepare("FUNCTION LOAD '#!lua name=lib\nredis.register_function{function_name=\"f\", callback=function() return 7 end, flags={\"no-writes\"}}'");
        _copy.Follow();
        Assert.Equal(":7", Db.Run("FCALL f 0"));
        Writer.Prepare("FUNCTION DELETE lib");
        _copy.Follow();
        Assert.Equal("-ERR Function not found", Db.Run("FCALL f 0"));
    }

    [Fact]
    public void Bytes_that_do_not_continue_the_log_are_refused_and_change_nothing()
    {
        Writer.Prepare("SET a 1");
        _copy.Follow();
        Writer.Prepare("SET a 2");
        byte[] next = _copy.Next()!;
        byte[] wrong = [.. next];
        wrong[^3] ^= 1;
        Assert.IsType<LogCorruptedException>(_copy.Append(wrong));
        Assert.Equal("\"1\"", Db.Run("GET a"));
        Assert.Null(_copy.Append(next));
        Assert.Equal("\"2\"", Db.Run("GET a"));
    }

    // ------------------------------------------------------------------ versions

    [Fact]
    public void A_version_is_listed_when_the_own_state_is_what_was_signed()
    {
        Writer.Prepare("SET n 1", "HSET h f v");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        MimeiVersion version = _writer.Versions.Read(1);
        _copy.Copy.MarkVersion(1, version.Position);
        Writer.Prepare("SET n 2");
        _copy.Follow();
        _copy.Settle();
        Func<(StateCheck Check, Exception? Problem)?> outcome = _copy.Adopt(1);
        Assert.Equal((StateCheck.Equal, null), outcome());
        Assert.Equal(version.State, _copy.Mimei.Versions!.Read(1).State);

        // The next one costs what changed since.
        Writer.Prepare("SET m 1");
        Assert.Equal(":2", _writer.Run("MIMEI BACKUP"));
        outcome = _copy.Adopt(2);
        Assert.Null(outcome());
        _copy.Follow();
        _copy.Settle();
        Wait.Until(() => outcome() is not null);
        Assert.Equal((StateCheck.Equal, null), outcome());
        InProcess.Client client = Db.Connect();
        Assert.Equal("+OK", client.Run($"MIMEI OPEN {_writer.Info.Id} VERSION 1"));
        Assert.Equal("\"1\"", client.Run("GET n"));
    }

    [Fact]
    public void A_version_that_comes_late_is_made_from_the_log()
    {
        Writer.Prepare("SET n 1");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        Writer.Prepare("SET n 2");
        _copy.Follow();
        Func<(StateCheck Check, Exception? Problem)?> outcome = _copy.Adopt(1);
        Wait.Until(() => outcome() is not null);
        Assert.Equal((StateCheck.Equal, null), outcome());
    }

    [Fact]
    public void A_version_whose_number_was_given_again_further_on_takes_the_place_of_the_one_before()
    {
        Writer.Prepare("SET n 1");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        _copy.Follow();
        Func<(StateCheck Check, Exception? Problem)?> outcome = _copy.Adopt(1);
        _copy.Settle();
        Wait.Until(() => outcome() is not null);
        Assert.Equal((StateCheck.Equal, null), outcome());
        Cid first = _copy.Mimei.Versions!.List.Find(1);
        Writer.Prepare("SET n 2");
        Assert.Equal(":2", _writer.Run("MIMEI BACKUP"));
        _copy.Follow();
        MimeiVersion version = _writer.Versions.Read(2);
        byte[] bytes = new MimeiVersion
        {
            Mid = version.Mid,
            Number = 1,
            State = version.State,
            Writer = version.Writer,
            Position = version.Position,
            Segment = version.Segment,
            Time = version.Time,
            CreatedMs = version.CreatedMs,
        }.Sign(_writer.Author);
        Cid again = Cid.Of(Multicodec.DagCbor, bytes);
        outcome = _copy.Adopt(again, bytes);
        _copy.Settle();
        Wait.Until(() => outcome() is not null);
        Assert.Equal((StateCheck.Equal, null), outcome());
        Assert.Equal([again], _copy.Mimei.Versions!.List.All.Select(static v => v.Block));
        Assert.True(_copy.Mimei.Versions.List.HasGarbage);
        Assert.Equal(version.Position, _copy.Mimei.Versions.Read(1).Position);

        // Whoever still has the other one does not bring it back.
        outcome = _copy.Adopt(first, _writer.Blocks.Get(first)!);
        Assert.IsType<CopyException>(outcome()!.Value.Problem);
        Assert.Equal(again, _copy.Mimei.Versions.List.Find(1));
    }

    [Fact]
    public void A_version_that_waits_for_its_place_is_let_go_when_the_log_goes_on_otherwise()
    {
        Writer.Prepare("SET n 1");
        _copy.Follow();
        LogPlace place = _copy.Copy.Log.WrittenEnd.Place;
        Writer.Prepare("SET n 2");
        _copy.Follow();
        Writer.Prepare("SET n 3");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        Func<(StateCheck Check, Exception? Problem)?> outcome = _copy.Adopt(1);
        Assert.Null(outcome());
        _copy.GoBack(place);
        Assert.Equal((StateCheck.Unknown, null), outcome());
        _copy.Follow();
        Assert.Empty(_copy.Mimei.Versions!.List.All);
        outcome = _copy.Adopt(1);
        _copy.Settle();
        Wait.Until(() => outcome() is not null);
        Assert.Equal((StateCheck.Equal, null), outcome());
    }

    [Fact]
    public void A_version_of_another_state_ends_the_following_and_is_kept_as_evidence()
    {
        Writer.Prepare("SET n 1");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        MimeiVersion version = _writer.Versions.Read(1);
        _copy.Follow();
        MimeiVersion forged = new()
        {
            Mid = version.Mid,
            Number = 1,
            Previous = version.Previous,
            State = Cid.Of(Multicodec.DagCbor, "another"u8),
            Writer = version.Writer,
            Position = version.Position,
            Segment = version.Segment,
            Time = version.Time,
            CreatedMs = version.CreatedMs,
        };
        byte[] bytes = forged.Sign(_writer.Author);
        (StateCheck, Exception?)? outcome = null;
        _copy.Copy.AdoptVersion(Cid.Of(Multicodec.DagCbor, bytes), bytes, (check, problem) => outcome = (check, problem));
        _copy.Settle();
        Wait.Until(() => outcome is not null);
        Assert.Equal((StateCheck.Different, null), outcome);
        Assert.Contains("followed no further", _copy.Copy.Problem, StringComparison.Ordinal);
        Assert.Contains(_copy.Folder.List(), static f => f.Name.StartsWith("diverged-1-", StringComparison.Ordinal));
        Assert.Equal("\"1\"", Db.Run("GET n"));
        Writer.Prepare("SET n 2");
        Assert.IsType<CopyException>(_copy.Append(_copy.Next()!));
    }

    [Fact]
    public void A_version_becomes_the_state_and_the_log_goes_on_behind_it()
    {
        Writer.Prepare("SET n 1", "RPUSH l a b c", "FUNCTION LOAD '#!lua name=lib\nredis.register_function(\"f\", function() return 7 end)'");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        InProcess.Client client = Db.Connect();
        client.Run("WATCH n");
        client.Run("MULTI");
        client.Run("GET n");
        Assert.Null(_copy.Load(1));
        Assert.Equal("nil-array", client.Run("EXEC"));
        Assert.Equal("\"1\"", client.Run("GET n"));
        Assert.Equal(_writer.Versions.Read(1).Position, _copy.Copy.Applied);
        _copy.Reopen();
        _copy.AssertSame();
        Writer.Prepare("SET n 2", "LPUSH l z");
        _copy.Follow();
        _copy.AssertSame();
        _copy.Reopen();
        _copy.AssertSame();

        // What it makes of its own goes on from there.
        Assert.Equal(":2", _writer.Run("MIMEI BACKUP"));
        Func<(StateCheck Check, Exception? Problem)?> outcome = _copy.Adopt(2);
        _copy.Follow();
        _copy.Settle();
        Wait.Until(() => outcome() is not null);
        Assert.Equal((StateCheck.Equal, null), outcome());
    }

    [Fact]
    public void A_version_of_which_a_block_is_missing_leaves_what_there_was()
    {
        Writer.Prepare("SET a 1");
        _copy.Follow();
        Writer.Prepare("SET n 1");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        MimeiVersion version = _writer.Versions.Read(1);
        Cid block = _writer.Versions.List.Find(1);
        _copy.Blocks.Put(block, _writer.Blocks.Get(block)!);
        Exception? problem = null;
        _copy.Copy.Load(block, Writer.Server.DefaultMimei.Log!.Seal(version.Position.Sequence), e => problem = e);
        Assert.IsAssignableFrom<IOException>(problem);
        Assert.Equal("\"1\"", Db.Run("GET a"));
        _copy.Follow();
        _copy.AssertSame();
    }

    // ------------------------------------------------------------------ going back

    [Fact]
    public void It_goes_back_to_a_place_and_on_from_there()
    {
        Writer.Prepare("SET n 1", "SADD s a");
        _copy.Follow();
        LogPlace place = _copy.Copy.Log.WrittenEnd.Place;
        string before = Db.Contents();
        Writer.Prepare("SET n 2", "SADD s b", "FLUSHALL", "SET other 1");
        _copy.Follow();
        InProcess.Client watching = Db.Connect();
        watching.Run("WATCH other");
        watching.Run("MULTI");
        watching.Run("PING");
        GoneBack gone = _copy.GoBack(place);
        Assert.Equal(4UL, gone.Undone);
        Assert.False(gone.NeedsVersion);
        Assert.Equal(before, Db.Contents());
        Assert.Equal("nil-array", watching.Run("EXEC"));
        _copy.Reopen();
        Assert.Equal(before, Db.Contents());
        _copy.Follow();
        _copy.AssertSame();
    }

    [Fact]
    public void What_it_goes_back_from_has_no_versions_any_more_nor_those_whose_blocks_cannot_be_read()
    {
        for (int n = 1; n <= 4; n++)
        {
            Writer.Prepare($"SET n {n}");
            Assert.Equal($":{n}", _writer.Run("MIMEI BACKUP"));
            _copy.Follow();
            Func<(StateCheck Check, Exception? Problem)?> outcome = _copy.Adopt((ulong)n);
            _copy.Settle();
            Wait.Until(() => outcome() is not null);
            Assert.Equal((StateCheck.Equal, null), outcome());
        }

        VersionList list = _copy.Mimei.Versions!.List;
        Assert.Equal([1ul, 2, 3, 4], list.All.Select(static v => v.Number));
        var place = new LogPlace(_copy.Copy.Log.Places[1].Segment, 0);
        _copy.Blocks.Delete(list.Find(4));
        _copy.Blocks.Delete(list.Find(1));
        _copy.GoBack(place);
        Assert.Equal("\"1\"", Db.Run("GET n"));
        Assert.Equal([1ul], _copy.Mimei.Versions!.List.All.Select(static v => v.Number));
    }

    [Fact]
    public void A_change_that_undoes_very_many_versions_is_read_as_it_was_written()
    {
        using var folder = new TempDir();
        IFolder files = DiskFolder.Make(folder.Path);
        HashSet<ulong> undone = [.. Enumerable.Range(1, 400_000).Select(static n => (ulong)n)];
        CopyFile.Begin(files, new CopyChange(new Position(7, 8), null, undone));
        CopyChange? read = CopyFile.Unfinished(files);
        Assert.Equal((new Position(7, 8), (SealedSegment?)null), (read!.Position, read.Segment));
        Assert.True(undone.SetEquals(read.UndoneVersions));
        CopyFile.End(files);
        Assert.Null(CopyFile.Unfinished(files));
    }

    [Fact]
    public void It_goes_back_from_a_checkpoint_to_the_one_before()
    {
        Writer.Prepare("SET n 1");
        _copy.Follow();
        Assert.Equal("+OK", Db.Run("SAVE"));
        Writer.Prepare("SET n 2");
        _copy.Follow();
        LogPlace place = _copy.Copy.Log.WrittenEnd.Place;
        Writer.Prepare("SET n 3");
        _copy.Follow();
        Assert.Equal("+OK", Db.Run("SAVE"));
        Assert.Equal(1UL, _copy.GoBack(place).Undone);
        Assert.Equal("\"2\"", Db.Run("GET n"));
        _copy.Reopen();
        Assert.Equal("\"2\"", Db.Run("GET n"));
        _copy.Follow();
        _copy.AssertSame();
    }

    [Fact]
    public void Where_a_failed_disk_left_nothing_of_what_was_applied_it_goes_back_to_nothing_without_a_version()
    {
        var disk = new SimulatedDisk(1);
        using var copy = new CopyFixture(_writer, logDisk: disk);
        Writer.Prepare("SET n 1", "SET n 2");
        copy.Follow();
        disk.Fails = static operation => operation == "sync";
        Assert.False(copy.Copy.Log.WaitSynced(2));
        disk.Fails = static _ => false;
        copy.Copy.Log.Tick(1);
        copy.Copy.Log.Tick(1_000_000);
        Assert.Equal(default, copy.Copy.Log.WrittenEnd.Place);
        Assert.Equal("\"2\"", copy.Db.Run("GET n"));
        GoneBack gone = copy.GoBack(default);
        Assert.Equal((false, 2UL), (gone.NeedsVersion, gone.Undone));
        Assert.Equal("nil", copy.Db.Run("GET n"));
        copy.Follow();
        copy.AssertSame();
    }

    [Fact]
    public void Who_is_to_write_gives_up_first_what_the_log_gave_up()
    {
        var disk = new SimulatedDisk(1);
        using var copy = new CopyFixture(_writer, logDisk: disk);
        Writer.Prepare("SET n 1");
        copy.Follow();
        Assert.True(copy.Copy.Log.WaitSynced(1));
        Writer.Prepare("SET n 2");
        copy.Follow();
        disk.Fails = static operation => operation == "sync";
        Assert.False(copy.Copy.Log.WaitSynced(2));
        disk.Fails = static _ => false;
        copy.Copy.Log.Tick(1);
        copy.Copy.Log.Tick(1_000_000);
        Assert.Equal("\"2\"", copy.Db.Run("GET n"));
        Exception? problem = null;
        copy.Copy.Promote(2, e => problem = e);
        LogUndoneException refused = Assert.IsType<LogUndoneException>(problem);
        Assert.Equal((new Position(1, 2), 2UL), (refused.Next, refused.Have));
        GoneBack gone = copy.GoBack(copy.Copy.Log.WrittenEnd.Place);
        Assert.Equal((false, 1UL), (gone.NeedsVersion, gone.Undone));
        copy.Copy.Promote(2, e => problem = e);
        Assert.Null(problem);
        Assert.Equal("\"1\"", copy.Db.Run("GET n"));
        Assert.Equal("+OK", copy.Db.Run("SET n 3"));
    }

    [Fact]
    public void Behind_what_is_here_a_version_is_needed_to_go_back()
    {
        Writer.Prepare("SET n 1");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        LogPlace place = Writer.Server.DefaultMimei.Log!.Places[0];
        Writer.Prepare("SET n 2");
        Assert.Equal(":2", _writer.Run("MIMEI BACKUP"));
        Assert.Null(_copy.Load(2));
        GoneBack gone = _copy.GoBack(default);
        Assert.True(gone.NeedsVersion);
        Assert.Equal("\"2\"", Db.Run("GET n"));
        Assert.Null(_copy.Load(1));
        Assert.Equal("\"1\"", Db.Run("GET n"));
        Assert.Equal(place, _copy.Copy.Log.WrittenEnd.Place);
        Assert.Equal([1UL], _copy.Mimei.Versions!.List.All.Select(static v => v.Number));
        _copy.Reopen();
        _copy.Follow();
        _copy.AssertSame();
    }

    // ------------------------------------------------------------------ nothing

    [Fact]
    public void What_has_no_beginning_any_more_is_emptied_and_followed_from_the_first_entry()
    {
        SimulatedDisk logDisk = new(1);
        using CopyFixture copy = CopyBehindAVersion(new SimulatedDisk(2), logDisk);
        Assert.True(copy.GoBack(default).NeedsVersion);
        InProcess.Client watching = copy.Db.Connect(), blocked = copy.Db.Connect();
        watching.Run("WATCH n");
        watching.Run("MULTI");
        watching.Run("PING");
        blocked.Send(Words("XREAD BLOCK 0 STREAMS st $"));
        Assert.Null(Empty(copy));
        Assert.Equal(":0", copy.Db.Run("DBSIZE"));
        Assert.Equal(default, copy.Copy.Applied);
        Assert.Equal("nil-array", watching.Run("EXEC"));
        Assert.Null(blocked.TakeReply());
        Assert.Empty(copy.Mimei.Versions!.List.All);
        Assert.Equal((0UL, default), (copy.Copy.Log.LastSequence, copy.Copy.Log.WrittenEnd.Place));
        Assert.Contains(logDisk.Names, static n => n.StartsWith("undone-", StringComparison.Ordinal));
        Assert.Contains(copy.Reports, static r => r.Contains("is undone, and it follows from the first entry on", StringComparison.Ordinal));
        copy.Reopen();
        Assert.Equal(":0", copy.Db.Run("DBSIZE"));
        Assert.Empty(copy.Mimei.Versions!.List.All);
        copy.Follow();
        copy.AssertSame();
        Assert.Equal("+OK", copy.Db.Run("SAVE"));
        copy.Reopen();
        copy.AssertSame();
        Assert.Contains(logDisk.Names, static n => n.StartsWith("undone-", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Whenever_the_process_ends_what_was_to_be_empty_is_so_or_has_what_it_had(bool losesPower)
    {
        int empty = 0, kept = 0;
        for (int operations = 0; ; operations++)
        {
            SimulatedDisk disk = new(operations), logDisk = new(operations + 1000);
            int left = int.MaxValue;
            using CopyFixture copy = CopyBehindAVersion(disk, logDisk);
            (string before, Position applied) = (copy.Db.Contents(), copy.Copy.Applied);
            disk.Fails = logDisk.Fails = _ => Interlocked.Decrement(ref left) < 0;
            left = operations;
            Exception? problem = Empty(copy);
            bool isThrough = left >= 0;
            Assert.Equal(isThrough, problem is null);
            copy.Abandon();
            left = int.MaxValue;
            End(disk, logDisk, losesPower);

            // The next one may end halfway, too.
            left = operations / 2;
            try
            {
                copy.OpenAgain();
                copy.Abandon();
            }
            catch (DiskException)
            {
            }

            left = int.MaxValue;
            End(disk, logDisk, losesPower);
            copy.OpenAgain();
            bool isEmpty = copy.Copy.Applied == default;
            Assert.True(isEmpty || !isThrough);
            if (isEmpty)
            {
                empty++;
                Assert.Equal(":0", copy.Db.Run("DBSIZE"));
                Assert.Equal((0UL, default), (copy.Copy.Log.LastSequence, copy.Copy.Log.WrittenEnd.Place));
                Assert.Empty(copy.Mimei.Versions!.List.All);
                Assert.Contains(logDisk.Names, static n => n.StartsWith("undone-", StringComparison.Ordinal));
            }
            else
            {
                kept++;
                Assert.Equal((before, applied), (copy.Db.Contents(), copy.Copy.Applied));
                Assert.Equal([2UL], copy.Mimei.Versions!.List.All.Select(static v => v.Number));
            }

            copy.Follow();
            copy.AssertSame();
            if (isThrough)
            {
                break;
            }
        }

        Assert.True(empty > 3 && kept > 3, $"{empty} empty, {kept} kept");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_disk_that_keeps_it_from_becoming_empty_is_told_of_and_it_goes_on_with_what_it_had_or_tries_again(bool reads)
    {
        int between = 0, kept = 0;
        for (int operations = 0; ; operations++)
        {
            SimulatedDisk disk = new(operations), logDisk = new(operations + 1000);
            int left = int.MaxValue;
            using CopyFixture copy = CopyBehindAVersion(disk, logDisk);
            string before = copy.Db.Contents();
            LogPlace place = copy.Copy.Log.WrittenEnd.Place;
            disk.Fails = logDisk.Fails = operation => (!reads || operation is not ("open" or "read" or "list")) && Interlocked.Decrement(ref left) < 0;
            left = operations;
            Exception? problem = Empty(copy);
            if (left >= 0)
            {
                Assert.Null(problem);
                break;
            }

            Assert.IsType<DiskException>(problem);
            Assert.Equal(before, copy.Db.Contents());
            left = int.MaxValue;
            Writer.Prepare("SET later 1");
            if (copy.Copy.IsBetweenStates)
            {
                // Nothing is built on it.
                between++;
                Assert.Contains("could not change to another state", copy.Copy.Problem, StringComparison.Ordinal);
                Assert.NotNull(copy.Append([1]));
                Assert.True(copy.GoBack(place).NeedsVersion);
                copy.Copy.Promote(2, e => problem = e);
                Assert.IsType<CopyException>(problem);
                Assert.Null(operations % 2 == 0 ? Empty(copy) : copy.Load(1));
                Assert.False(copy.Copy.IsBetweenStates);
            }
            else
            {
                kept++;
                Assert.Null(copy.Copy.Problem);
            }

            copy.Follow();
            copy.AssertSame();
            copy.Reopen();
            copy.AssertSame();
        }

        // (Where what was begun cannot be read, it may have been.)
        Assert.True(between > 3 && kept > 0 == reads, $"{between} between, {kept} kept");
    }

    /// <summary>It has the second version of the writer, and what was written after that in some segments.</summary>
    private CopyFixture CopyBehindAVersion(SimulatedDisk disk, SimulatedDisk logDisk)
    {
        if (_writer.Versions.List.Last.Number == 0)
        {
            Writer.Prepare("SET n 1", "XADD st 1-1 f v");
            Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
            Writer.Prepare("SET n 2");
            Assert.Equal(":2", _writer.Run("MIMEI BACKUP"));
            for (int i = 0; i < 3; i++)
            {
                Writer.Prepare($"SADD s {i}");
                Writer.Server.EndTurn();
                Writer.Server.DefaultMimei.Log!.Cut();
            }
        }

        var copy = new CopyFixture(_writer, disk, logDisk);
        Assert.Null(copy.Load(2));
        copy.Follow();
        Assert.Equal("+OK", copy.Db.Run("SAVE"));
        Assert.True(copy.Copy.Log.WaitSynced(copy.Copy.Applied.Sequence));
        return copy;
    }

    private static Exception? Empty(CopyFixture copy)
    {
        Exception? problem = new InvalidOperationException("It has not ended");
        copy.Copy.Empty(e => problem = e);
        return problem;
    }

    // ------------------------------------------------------------------ from a copy to a writer, and back

    [Fact]
    public void Who_asks_for_the_state_does_not_put_off_who_is_to_write()
    {
        _writer.Db.Run("SET a 1");
        _copy.Follow();
        bool isMade = false;
        _copy.Mimei.Versions!.MakeState((state, problem) => isMade = state is not null && problem is null);
        Exception? outcome = new InvalidOperationException("It has not ended");
        _copy.Copy.Promote(1UL << 32, e => outcome = e);
        Assert.Null(outcome);
        Wait.Until(() =>
        {
            _copy.Mimei.Versions.Step();
            return isMade;
        });
    }

    [Fact]
    public void A_copy_is_written_to_after_it_took_over_and_follows_after_it_gave_up()
    {
        Writer.Prepare("SET n 1", "SADD s a");
        _copy.Follow();
        InProcess.Client client = Db.Connect();
        Assert.StartsWith("-READONLY", client.Run("INCR n"), StringComparison.Ordinal);
        Exception? problem = new InvalidOperationException("It has not ended");
        _copy.Copy.Promote(1UL << 32, e => problem = e);
        Assert.Null(problem);
        Assert.Null(_copy.Mimei.Copy);
        Assert.Equal(":2", client.Run("INCR n"));
        Assert.Equal("+OK", client.Run("SET e 1 PX 10"));
        Db.Clock.Advance(20);
        Assert.Equal("nil", client.Run("GET e"));
        Db.Server.EndTurn();
        Assert.Equal(1UL << 32, _copy.Mimei.Log!.Epoch);
        LogPlace place = _copy.Mimei.Log.WrittenEnd.Place;
        Assert.Equal(":3", client.Run("INCR n"));
        InProcess.Client blocked = Db.Connect();
        blocked.Send(Words("BLPOP l 0"));

        MimeiRecord? fork = null;
        problem = null;
        bool isDone = false;
        MimeiCopy.Demote(_copy.Mimei, keepsFork: true, (f, e) => (fork, problem, isDone) = (f, e, true));
        Assert.StartsWith("-READONLY", client.Run("INCR n"), StringComparison.Ordinal);
        Assert.Equal("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", blocked.Take());
        Wait.Until(() =>
        {
            Db.Server.Cron(Db.Clock.NowMs);
            return isDone;
        });
        Assert.Null(problem);
        Assert.Equal(1UL, _copy.GoBack(place).Undone);
        Assert.Equal("\"2\"", client.Run("GET n"));
        Assert.StartsWith("-READONLY", client.Run("INCR n"), StringComparison.Ordinal);
        Assert.Equal("+OK", client.Run($"MIMEI OPEN {fork!.Id}"));
        Assert.Equal("\"3\"", client.Run("GET n"));
        _copy.Reopen();
        Assert.Equal("\"2\"", Db.Run("GET n"));
    }

    // ------------------------------------------------------------------ crashes

    [Fact]
    public void A_crash_at_any_point_leaves_a_copy_that_goes_on() => Seed.Run(random =>
    {
        Writer.Prepare("SET n 0");
        Assert.Equal(":1", _writer.Run("MIMEI BACKUP"));
        int rounds = Seed.IsLong ? 400 : 40; // of a dozen steps each
        for (int round = 0; round < rounds; round++)
        {
            SimulatedDisk disk = new(random.Next()), logDisk = new(random.Next());
            int left = int.MaxValue; // a collection's thread counts too
            disk.Fails = logDisk.Fails = _ => Interlocked.Decrement(ref left) < 0;
            var copy = new CopyFixture(_writer, disk, logDisk);
            for (int step = 0; step < 16; step++)
            {
                // From some operation on the disk does nothing any more: what happens then never reaches it.
                left = random.Next(60);
                switch (random.Next(7))
                {
                    case 0:
                        copy.Load(1);
                        break;
                    case 6:
                        copy.Copy.Empty(static _ => { });
                        break;
                    case 1 when copy.Copy.Log.Places is { Count: > 0 } places:
                        copy.Copy.GoBack(places[random.Next(places.Count)], static (_, _) => { });
                        break;
                    case 2:
                        copy.Db.Run("SAVE");
                        break;
                    case 3:
                        copy.Worker!.Run();
                        break;
                    default:
                        Writer.Prepare("INCR n", $"RPUSH l {random.Next()}");
                        if (random.Next(5) == 0)
                        {
                            Writer.Server.DefaultMimei.Log!.Cut();
                        }

                        if (copy.Next() is { } bytes)
                        {
                            copy.Copy.Append(bytes, static _ => { });
                        }

                        break;
                }

                bool hasFailed = left < 0;
                if (copy.Copy.Problem is not null || (hasFailed && random.Next(3) > 0))
                {
                    copy.Abandon();
                    left = int.MaxValue;
                    End(disk, logDisk, losesPower: random.Next(2) == 0);
                    copy.OpenAgain();
                }
                else if (hasFailed)
                {
                    left = int.MaxValue;
                    copy.Db.Clock.Advance(5000);
                    copy.Db.Server.Cron(copy.Db.Clock.NowMs);
                }
            }

            left = int.MaxValue;
            if (copy.Copy.Log.State != Leither.MmDb.Log.LogState.Open)
            {
                copy.Reopen();
            }

            copy.Follow();
            copy.AssertSame();
            copy.Dispose();
        }
    });

    /// <summary>The process, or the power, is gone.</summary>
    private static void End(SimulatedDisk disk, SimulatedDisk logDisk, bool losesPower)
    {
        foreach (SimulatedDisk each in (SimulatedDisk[])[disk, logDisk])
        {
            if (losesPower)
            {
                each.LosePower();
            }
            else
            {
                each.Kill();
            }
        }
    }

    private static List<byte[]> Words(string command) => [.. command.Split(' ').Select(Encoding.ASCII.GetBytes)];
}
