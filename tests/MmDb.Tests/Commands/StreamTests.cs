using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.TestKit;
using Xunit;
using Record = Leither.MmDb.Memory.Record;

namespace Leither.MmDb.Tests.Commands;

/// <summary>Streams: what transcripts cannot say (clocks, waiting, replay, memory).</summary>
public sealed unsafe class StreamTests
{
    [Fact]
    public void XADD_without_an_id_takes_the_time_and_counts_within_a_millisecond()
    {
        using var db = new InProcess();
        long now = db.Clock.NowMs;
        Assert.Equal($"\"{now}-0\"", db.Run("XADD s * f v"));
        Assert.Equal($"\"{now}-1\"", db.Run("XADD s * f v"));
        db.Clock.Advance(-1000);
        Assert.Equal($"\"{now}-2\"", db.Run("XADD s * f v"));
        db.Clock.Advance(1001);
        Assert.Equal($"\"{now + 1}-0\"", db.Run("XADD s * f v"));
    }

    [Fact]
    public void XREAD_waits_for_what_comes_after_it_came_itself()
    {
        using var db = new InProcess();
        InProcess.Client waiting = db.Connect();
        db.Prepare("XADD s 1-1 f old");
        Assert.Equal("(none)", waiting.Run("XREAD BLOCK 0 STREAMS s other $ $"));
        db.Prepare("XADD s 2-1 f new");
        Assert.Equal("[[\"s\", [[\"2-1\", [\"f\", \"new\"]]]]]", waiting.Take());
    }

    [Fact]
    public void XREAD_of_the_last_entry_gives_it_at_once_or_the_first_that_comes()
    {
        using var db = new InProcess();
        Assert.Equal("nil-array", db.Run("XREAD STREAMS s +"));
        InProcess.Client waiting = db.Connect();
        Assert.Equal("(none)", waiting.Run("XREAD BLOCK 0 STREAMS s +"));
        db.Prepare("XADD s 1-1 f a");
        Assert.Equal("[[\"s\", [[\"1-1\", [\"f\", \"a\"]]]]]", waiting.Take());
        db.Prepare("XADD s 2-1 f b", "XADD s 3-1 f c", "XDEL s 3-1");
        Assert.Equal("[[\"s\", [[\"2-1\", [\"f\", \"b\"]]]]]", db.Run("XREAD STREAMS s +"));
        db.Prepare("XGROUP CREATE s g 0");
        Assert.StartsWith("-ERR The + ID is meaningless", db.Run("XREADGROUP GROUP g c STREAMS s +"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_wait_in_a_group_ends_with_an_error_when_the_group_or_the_key_goes()
    {
        using var db = new InProcess();
        foreach ((string end, string error) in new[]
        {
            ("DEL s", "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"),
            ("XGROUP DESTROY s g", "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"),
            ("FLUSHALL", "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"),
            ("RENAME s elsewhere", "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"),
            ("SET s text", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        })
        {
            db.Run("FLUSHALL");
            db.Prepare("XGROUP CREATE s g $ MKSTREAM");
            InProcess.Client waiting = db.Connect();
            Assert.Equal("(none)", waiting.Run("XREADGROUP GROUP g c BLOCK 0 STREAMS s >"));
            db.Prepare(end);
            Assert.Equal(error, waiting.Take());
        }
    }

    [Fact]
    public void A_wait_without_a_group_goes_on_when_the_key_goes()
    {
        using var db = new InProcess();
        db.Prepare("XADD s 1-1 f v");
        InProcess.Client waiting = db.Connect();
        Assert.Equal("(none)", waiting.Run("XREAD BLOCK 0 STREAMS s $"));
        db.Prepare("DEL s", "SET s text", "DEL s", "XADD s 1-1 f v");
        Assert.Null(waiting.Take());
        db.Prepare("XADD s 1-2 f v");
        Assert.Equal("[[\"s\", [[\"1-2\", [\"f\", \"v\"]]]]]", waiting.Take());
    }

    [Fact]
    public void Those_who_wait_in_a_group_are_served_in_the_order_they_came()
    {
        using var db = new InProcess();
        db.Prepare("XGROUP CREATE s g $ MKSTREAM");
        InProcess.Client first = db.Connect(), second = db.Connect();
        Assert.Equal("(none)", first.Run("XREADGROUP GROUP g a BLOCK 0 COUNT 1 STREAMS s >"));
        Assert.Equal("(none)", second.Run("XREADGROUP GROUP g b BLOCK 0 COUNT 1 STREAMS s >"));
        db.Prepare("MULTI", "XADD s 1-1 f v", "XADD s 1-2 f v", "EXEC");
        Assert.Equal("[[\"s\", [[\"1-1\", [\"f\", \"v\"]]]]]", first.Take());
        Assert.Equal("[[\"s\", [[\"1-2\", [\"f\", \"v\"]]]]]", second.Take());
        Assert.Equal("[:2, \"1-1\", \"1-2\", [[\"a\", \"1\"], [\"b\", \"1\"]]]", db.Run("XPENDING s g"));
    }

    [Fact]
    public void A_consumer_is_seen_when_it_asks_and_active_when_it_gets_something()
    {
        using var db = new InProcess();
        db.Prepare("XGROUP CREATE s g $ MKSTREAM");
        Assert.Equal("nil-array", db.Run("XREADGROUP GROUP g c STREAMS s >"));
        db.Clock.Advance(100);
        Assert.Equal("[[\"name\", \"c\", \"pending\", :0, \"idle\", :100, \"inactive\", :-1]]", db.Run("XINFO CONSUMERS s g"));
        db.Run("XADD s 1-1 f v");
        db.Run("XREADGROUP GROUP g c STREAMS s >");
        db.Clock.Advance(50);
        Assert.Equal("nil-array", db.Run("XREADGROUP GROUP g c STREAMS s >"));
        db.Clock.Advance(30);
        Assert.Equal("[[\"name\", \"c\", \"pending\", :1, \"idle\", :30, \"inactive\", :80]]", db.Run("XINFO CONSUMERS s g"));
        Assert.Equal("[[\"1-1\", \"c\", :80, :1]]", db.Run("XPENDING s g - + 10"));
        db.Run("XREADGROUP GROUP g c STREAMS s 0");
        Assert.Equal("[[\"1-1\", \"c\", :0, :2]]", db.Run("XPENDING s g - + 10"));
    }

    [Fact]
    public void Claims_look_at_how_long_an_entry_was_idle()
    {
        using var db = new InProcess();
        db.Prepare("XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-1 f v", "XADD s 1-2 f v", "XREADGROUP GROUP g a COUNT 1 STREAMS s >");
        db.Clock.Advance(100);
        db.Prepare("XREADGROUP GROUP g a COUNT 1 STREAMS s >");
        db.Clock.Advance(10);
        Assert.Equal("[\"1-1\"]", db.Run("XCLAIM s g b 100 1-1 1-2 JUSTID"));
        Assert.Equal("[[\"1-1\", \"b\", :0, :1]]", db.Run("XPENDING s g - + 10 b"));
        Assert.Equal("[\"0-0\", [[\"1-2\", [\"f\", \"v\"]]], []]", db.Run("XAUTOCLAIM s g b 5 0"));
        Assert.Equal("[[\"1-1\", \"b\", :0, :1], [\"1-2\", \"b\", :0, :2]]", db.Run("XPENDING s g - + 10"));
        db.Prepare("XDEL s 1-1");
        Assert.Equal("[\"1-2\", [], [\"1-1\"]]", db.Run("XAUTOCLAIM s g a 0 - COUNT 1"));
    }

    [Fact]
    public void A_stream_to_which_more_was_added_than_a_number_with_a_sign_counts_is_restored_as_it_is()
    {
        using var db = new InProcess();
        db.Prepare("XADD s 1-1 f v", "XSETID s 1-5 ENTRIESADDED 9223372036854775807", "XGROUP CREATE s g 0", "XADD s 2-1 f v", "XADD s 2-2 f v", "XREADGROUP GROUP g c STREAMS s >");
        string groups = "[[\"name\", \"g\", \"consumers\", :1, \"pending\", :3, \"last-delivered-id\", \"2-2\", \"entries-read\", :-9223372036854775807, \"lag\", :0]]";
        Assert.Equal(groups, db.Run("XINFO GROUPS s"));
        byte[] payload = db.Default.RunRaw("DUMP s");
        Assert.Equal("+OK", db.Run(["RESTORE"u8.ToArray(), "t"u8.ToArray(), "0"u8.ToArray(), payload]));
        Assert.Equal(groups, db.Run("XINFO GROUPS t"));
        Assert.Contains("\"entries-added\", :-9223372036854775807", db.Run("XINFO STREAM t"), StringComparison.Ordinal);
    }

    [Fact]
    public void Stream_commands_tell_their_events()
    {
        using var db = new InProcess();
        db.ListenToEvents(KeyspaceEvents.All);
        db.Prepare(
            "XADD s 1-1 f v", "XADD s MAXLEN 1 1-2 f v", "XTRIM s MAXLEN 0", "XADD s 1-3 f v", "XDEL s 1-3", "XSETID s 2-0", "XGROUP CREATE s g $",
            "XREADGROUP GROUP g c STREAMS s >", "XGROUP CREATECONSUMER s g d", "XGROUP SETID s g 0", "XGROUP DELCONSUMER s g d", "XACK s g 1-1", "XGROUP DESTROY s g");
        Assert.Equal(
            "xadd s|xadd s|xtrim s|xtrim s|xadd s|xdel s|xsetid s|xgroup-create s|xgroup-createconsumer s|xgroup-createconsumer s|xgroup-setid s|xgroup-delconsumer s|xgroup-destroy s",
            string.Join('|', db.Events));
    }

    [Theory]
    [InlineData("XADD w 9-9 f v", true)]
    [InlineData("XDEL w 1-1", true)]
    [InlineData("XTRIM w MAXLEN 0", true)]
    [InlineData("XTRIM w MAXLEN 5", false)]
    [InlineData("XREADGROUP GROUP g c STREAMS w >", false)]
    [InlineData("XGROUP CREATE w h 0", false)]
    public void Watches_notice_changes_of_entries_and_not_of_groups(string change, bool noticed)
    {
        using var db = new InProcess();
        db.Prepare("XADD w 1-1 f v", "XGROUP CREATE w g 0", "WATCH w");
        db.Connect().Run(change);
        db.Prepare("MULTI", "XLEN w");
        Assert.Equal(noticed, db.Run("EXEC") == "nil-array");
    }

    [Fact]
    public void What_changes_nothing_leaves_no_entry_in_the_log()
    {
        using var db = new InProcess();
        db.Prepare("XADD s 1-1 f v", "XGROUP CREATE s g 0", "XGROUP CREATECONSUMER s g c");
        long applied = db.Keyspace.Effects.Applied;
        db.Prepare("XDEL s 5-5", "XTRIM s MAXLEN 10", "XTRIM s MINID 1-1", "XACK s g 1-1", "XGROUP DESTROY s none", "XGROUP DELCONSUMER s g none", "XADD none NOMKSTREAM * f v", "XRANGE s - +");
        db.Run("XADD s 1-1 f v");
        Assert.Equal(applied, db.Keyspace.Effects.Applied);
    }

    [Fact]
    public void Random_lives_keep_streams_sound_and_are_the_same_after_replay_and_after_copying() => Seed.Run(RandomLives);

    private static void RandomLives(Random random)
    {
        using var db = new InProcess(new KeyspaceOptions { StreamNodeMaxEntries = 7, StreamNodeMaxBytes = 600 }, recording: true);
        for (int step = 0; step < 12_000; step++)
        {
            db.Run(StreamLife.Next(random, $"s{random.Next(3)}"));
            if (step % 50 == 0)
            {
                db.Clock.Advance(random.Next(100));
            }

            if (step % 200 == 0)
            {
                CheckAll(db);
            }
        }

        CheckAll(db);
        db.Prepare("COPY s0 copy REPLACE", "XADD copy 1900000000000-1 f v", "XGROUP CREATE copy more 0", "XREADGROUP GROUP more c STREAMS copy >", "COPY copy twin");
        Assert.Equal(db.Run("XINFO STREAM copy FULL COUNT 0"), db.Run("XINFO STREAM twin FULL COUNT 0"));
        Assert.Equal(db.Run("DEBUG DIGEST-VALUE copy"), db.Run("DEBUG DIGEST-VALUE twin"));
        CheckAll(db);
        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
        CheckAll(replayed);
    }

    private static void CheckAll(InProcess db)
    {
        NativeList<nint> records = default;
        ulong cursor = 0;
        do
        {
            cursor = db.Keyspace.Databases[0].Keys->ScanBucket(cursor, ref records);
        }
        while (cursor != 0);
        foreach (nint record in records.Span)
        {
            if (Record.Type((byte*)record) == (int)DataType.Stream)
            {
                Record.NativePointer<StreamStructure>((byte*)record)->CheckInvariants();
            }
        }

        records.Dispose();
    }

    [Fact]
    public void Everything_that_streams_take_is_given_back()
    {
        using var db = new InProcess();
        db.Prepare("FLUSHALL");
        while (db.Keyspace.LazyFree.Step(TimeSpan.FromSeconds(1)))
        {
        }

        long before = db.Keyspace.UsedBytes;
        var random = new Random(5);
        for (int i = 0; i < 3000; i++)
        {
            db.Run(StreamLife.Next(random, $"s{random.Next(3)}"));
        }

        Assert.True(db.Keyspace.UsedBytes > before);
        db.Prepare("FLUSHALL");
        while (db.Keyspace.LazyFree.Step(TimeSpan.FromSeconds(1)))
        {
        }

        Assert.Equal(before, db.Keyspace.UsedBytes);
    }

    [Fact]
    public void MEMORY_USAGE_of_a_stream_is_what_it_takes()
    {
        using var db = new InProcess();
        db.Prepare("XGROUP CREATE s g 0 MKSTREAM");
        long before = db.Keyspace.UsedBytes - Usage();
        for (int i = 1; i <= 3000; i++)
        {
            db.Run($"XADD s {i}-1 name value{i} number {i}");
        }

        db.Run("XREADGROUP GROUP g c COUNT 2500 STREAMS s >");
        Assert.InRange(Usage(), db.Keyspace.UsedBytes - before - 64, db.Keyspace.UsedBytes - before + 64);

        long Usage() => long.Parse(db.Run("MEMORY USAGE s SAMPLES 0")[1..], System.Globalization.CultureInfo.InvariantCulture);
    }
}
