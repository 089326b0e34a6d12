// Versions as clients meet them: made by MIMEI BACKUP, opened by MIMEI OPEN … VERSION, read-only, and the same for ever.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;
using Leither.MmDb.Tests.Checkpoints;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;
using Leither.MmDb.Writers;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.MmDb.Tests.Versions;

public sealed class VersionTests(ITestOutputHelper output)
{
    [Fact]
    public void Backup_makes_numbered_versions_that_stay_as_they_were()
    {
        using var fixture = new VersionFixture();
        fixture.Db.Prepare("SET a 1", "HSET h f v", "RPUSH l x y", "SELECT 3", "SET far away", "SELECT 0");
        Assert.Equal(":1", fixture.Run("MIMEI BACKUP"));
        fixture.Db.Prepare("SET a 2", "DEL h", "SET b new");
        Assert.Equal(":2", fixture.Run("MIMEI BACKUP MEMO 'second one'"));
        fixture.Db.Prepare("FLUSHALL");
        InProcess.Client client = fixture.Db.Connect();
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {fixture.Info.Id} VERSION 1"));
        Assert.Equal("\"1\"", client.Run("GET a"));
        Assert.Equal("[\"f\", \"v\"]", client.Run("HGETALL h"));
        Assert.Equal("[\"x\", \"y\"]", client.Run("LRANGE l 0 -1"));
        Assert.Equal("nil", client.Run("GET b"));
        Assert.Equal(":3", client.Run("DBSIZE"));
        Assert.Equal("[\"a\", \"h\", \"l\"]", client.Run("KEYS *"));
        Assert.Equal("[\"0\", [\"a\", \"h\", \"l\"]]", client.Run("SCAN 0"));
        Assert.Equal("[\"2\", [\"a\"]]", client.Run("SCAN 0 COUNT 2 TYPE string"));
        Assert.Equal("[\"0\", [\"l\"]]", client.Run("SCAN 2 COUNT 2"));
        Assert.Equal("+OK", client.Run("SELECT 3"));
        Assert.Equal("\"away\"", client.Run("GET far"));
        Assert.Equal("\"far\"", client.Run("RANDOMKEY"));
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {fixture.Info.Id} VERSION last"));
        Assert.Equal("\"2\"", client.Run("GET a"));
        Assert.Equal("\"new\"", client.Run("GET b"));
        Assert.Equal(":0", client.Run("EXISTS h"));
        Assert.Equal("nil", fixture.Run("GET a"));
    }

    [Fact]
    public void Ordered_scans_and_the_last_sequence_number_are_those_of_the_version()
    {
        using var fixture = new VersionFixture();
        fixture.Db.Prepare("HSET h b 1 a 2 c 3", "SET x 1", "SET y 1");
        fixture.Run("MIMEI BACKUP");
        fixture.Db.Prepare("DEL h", "SET z 1");
        Assert.Equal("+OK", fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION 1"));
        Assert.Equal("""["c", "3", "b", "1"]""", fixture.Run("HREVSCAN h \"\" COUNT 2"));
        Assert.Equal("""["b", "1", "c", "3"]""", fixture.Run("HRANGESCAN h b"));
        Assert.Equal("""["x", "y"]""", fixture.Run("KEYSCAN i"));
        Assert.Equal(":3", fixture.Run("GETLASTSEQ"));
        Assert.StartsWith("-READONLY", fixture.Run("HCLEAR h"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR what is open here never changes", fixture.Run("BEGIN"), StringComparison.Ordinal);
        Assert.Equal("+OK", fixture.Run($"MIMEI OPEN {fixture.Info.Id} AT 1"));
        Assert.Equal(":1", fixture.Run("GETLASTSEQ"));
    }

    [Fact]
    public void KEYSCAN_of_a_version_finds_what_it_finds_in_the_live_keys() => Seed.Run(random =>
    {
        using var fixture = new VersionFixture();
        string prefix = new('p', 470);
        for (int i = 0; i < 600; i++)
        {
            // Names around the length from which on they are sorted by a part of them only.
            string name = random.Next(3) == 0 ? prefix + new string((char)('a' + random.Next(3)), random.Next(60)) + random.Next(50) : $"key{random.Next(1000)}";
            fixture.Db.Prepare($"SET {name} 1");
        }

        fixture.Run("MIMEI BACKUP");
        InProcess.Client past = fixture.Db.Connect();
        past.RunToEnd($"MIMEI OPEN {fixture.Info.Id} VERSION 1");
        foreach (string pattern in (string[])["", " MATCH key7*", " MATCH *7", " MATCH key77", $" MATCH {prefix}aaaaaaaaaaaaaaaa*", " MATCH none*", " TYPE string", " TYPE list"])
        {
            foreach (string begin in (string[])["\"\"", "key5", $"key{random.Next(1000)}", "zzz", prefix, prefix + "aaaaaaaaaaaaaa", $"{prefix}{new string('b', random.Next(60))}"])
            {
                string command = $"KEYSCAN {begin}{pattern} COUNT {random.Next(1, 40)}{(random.Next(2) == 0 ? " EXCLUSIVE" : "")}";
                Assert.Equal(fixture.Db.Default.Run(command), past.Run(command));
            }
        }
    });

    [Fact]
    public void KEYSCAN_of_a_version_reads_no_more_of_it_than_it_replies()
    {
        using var fixture = new VersionFixture();
        for (int i = 1000; i < 3000; i++)
        {
            fixture.Db.Prepare($"SET key{i} value");
        }

        fixture.Run("MIMEI BACKUP");
        fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION 1");
        var store = new NodeStore(fixture.Blocks);
        var cursor = new TreeCursor(store, TreeKind.Map, StateRoot.Read(store, fixture.Versions.Read(1).State).Database(0).Root);
        cursor.First();
        fixture.Blocks.Delete(cursor.NodeLink);
        cursor.Seek("key2990"u8);
        fixture.Blocks.Delete(cursor.NodeLink);
        Assert.Equal("""["key2000", "key2001"]""", fixture.Run("KEYSCAN key2000 COUNT 2"));
        Assert.Equal("""["key1990", "key1991"]""", fixture.Run("KEYSCAN \"\" MATCH key199? COUNT 2"));
        Assert.Equal("""["key1999"]""", fixture.Run("KEYSCAN key1999 MATCH key199*"));
    }

    [Fact]
    public void A_block_that_is_missing_is_an_error_of_the_command_that_asks_for_it()
    {
        using var fixture = new VersionFixture();
        for (int i = 1000; i < 3000; i++)
        {
            fixture.Db.Prepare($"SET key{i} value");
        }

        fixture.Run("MIMEI BACKUP");
        fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION 1");
        var store = new NodeStore(fixture.Blocks);
        var cursor = new TreeCursor(store, TreeKind.Map, StateRoot.Read(store, fixture.Versions.Read(1).State).Database(0).Root);
        cursor.Seek("key2990"u8);
        fixture.Blocks.Delete(cursor.NodeLink);
        string missing = $"-ERR block {cursor.NodeLink} is missing";
        foreach (string command in (string[])["GET key2990", "MGET key1000 key2990", "KEYS *", "KEYSCAN key2000 COUNT 2000", "SCAN 0 COUNT 3000", "STRLEN key2990"])
        {
            Assert.Equal(missing, fixture.Run(command));
        }

        Assert.Contains($"block {cursor.NodeLink} is missing", fixture.Run("EVAL \"return redis.call('get','key2990')\" 0"), StringComparison.Ordinal);
        Assert.Equal("\"value\"", fixture.Run("EVAL \"redis.pcall('get','key2990') return redis.call('get','key1000')\" 0"));
        fixture.Run("MULTI");
        fixture.Run("GET key1000");
        fixture.Run("GET key2990");
        Assert.Equal($"[\"value\", {missing}]", fixture.Run("EXEC"));
        Assert.Equal("\"value\"", fixture.Run("GET key1000"));
    }

    [Fact]
    public void Writing_to_a_version_is_refused_with_what_to_do_instead()
    {
        using var fixture = new VersionFixture();
        fixture.Db.Prepare("SET a 1", "PFADD hll x y");
        fixture.Run("MIMEI BACKUP");
        Assert.Equal("+OK", fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION 1"));
        foreach (string command in (string[])["SET a 2", "DEL a", "EXPIRE a 10", "FLUSHALL", "XADD s * f v"])
        {
            Assert.Equal(
                $"-READONLY MiMei {fixture.Info.Id} is open at version 1, which never changes. MIMEI OPEN {fixture.Info.Id} is what can be written to; "
                + "MIMEI FORK 1 makes a copy that can, MIMEI RESTORE 1 brings it back",
                fixture.Run(command));
        }

        Assert.Equal(":2", fixture.Run("PFCOUNT hll"));
        Assert.StartsWith("-READONLY", fixture.Run("EVAL \"return redis.call('SET', 'a', '2')\" 1 a"), StringComparison.Ordinal);
        Assert.StartsWith("-READONLY", fixture.Run("MIMEI BACKUP"), StringComparison.Ordinal);
        Assert.Equal("+OK", fixture.Run($"MIMEI OPEN {fixture.Info.Id}"));
        Assert.Equal("+OK", fixture.Run("SET a 2"));
    }

    [Fact]
    public void The_clock_of_a_version_stands()
    {
        using var fixture = new VersionFixture();
        fixture.Db.Prepare("SET a 1 PX 1000", "HSET h f v g w", "HPEXPIRE h 1000 FIELDS 1 f");
        fixture.Run("MIMEI BACKUP");
        fixture.Db.Clock.Advance(5000);
        Assert.Equal("nil", fixture.Run("GET a"));
        Assert.Equal("+OK", fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION 1"));
        fixture.Db.Clock.Advance(5000);
        Assert.Equal("\"1\"", fixture.Run("GET a"));
        Assert.Equal(":1000", fixture.Run("PTTL a"));
        Assert.Equal("\"v\"", fixture.Run("HGET h f"));
    }

    [Fact]
    public void Any_moment_that_the_log_has_can_be_opened()
    {
        using var fixture = new VersionFixture();
        InProcess.Client client = fixture.Db.Connect();
        long start = fixture.Db.Clock.NowMs;
        for (int i = 1; i <= 20; i++)
        {
            fixture.Db.Prepare($"SET n {i}");
            fixture.Db.Clock.Advance(1000);
            if (i == 10)
            {
                fixture.Run("MIMEI BACKUP");
            }
        }

        for (int i = 1; i <= 20; i++)
        {
            Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {fixture.Info.Id} AT {i}"));
            Assert.Equal($"\"{i}\"", client.Run("GET n"));
            string time = DateTimeOffset.FromUnixTimeMilliseconds(start + (1000 * (i - 1)) + 500).ToString("O", System.Globalization.CultureInfo.InvariantCulture);
            Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {fixture.Info.Id} AT {time}"));
            Assert.Equal($"\"{i}\"", client.Run("GET n"));
            Assert.StartsWith("-READONLY", client.Run("SET n 0"), StringComparison.Ordinal);
        }

        Assert.StartsWith("-ERR the log's last entry is 20", client.RunToEnd($"MIMEI OPEN {fixture.Info.Id} AT 21"), StringComparison.Ordinal);
    }

    [Fact]
    public void Versions_are_listed_with_what_is_known_of_them()
    {
        using var fixture = new VersionFixture();
        Assert.Equal("[]", fixture.Run("MIMEI VERSIONS"));
        Assert.StartsWith("-ERR there is no version yet", fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION last"), StringComparison.Ordinal);
        fixture.Db.Prepare("SET a 1");
        fixture.Run("MIMEI BACKUP MEMO first");
        fixture.Run("MIMEI BACKUP");
        string list = fixture.Run("MIMEI VERSIONS");
        Assert.Matches("""^\[\["version", :2, "cid", "bafyrei[a-z2-7]+", "state", "bafyrei[a-z2-7]+", "created", :\d+, "memo", "", "released", "no"\], \["version", :1, .*"memo", "first".*\]\]$""", list);
        Assert.StartsWith("-ERR there is no version 7", fixture.Run($"MIMEI OPEN {fixture.Info.Id} VERSION 7"), StringComparison.Ordinal);
        Assert.Equal("-ERR syntax error", fixture.Run("MIMEI BACKUP NOTE x"));
    }

    [Fact]
    public void A_versions_block_is_signed_and_nobody_elses()
    {
        using var fixture = new VersionFixture();
        fixture.Db.Prepare("SET a 1");
        fixture.Run("MIMEI BACKUP");
        byte[] block = fixture.Blocks.Get(fixture.Versions.List.Last.Block)!;
        MimeiVersion version = MimeiVersion.Decode(block, new WriterSet(fixture.Info.Id, fixture.Author.PublicKey));
        Assert.Equal(1UL, version.Number);
        for (int i = 0; i < block.Length; i++)
        {
            byte[] changed = [.. block];
            changed[i] ^= 1;
            Assert.ThrowsAny<Exception>(() => MimeiVersion.Decode(changed, new WriterSet(fixture.Info.Id, fixture.Author.PublicKey)));
        }

        Assert.Throws<MimeiException>(() => MimeiVersion.Decode(block, new WriterSet(default, fixture.Author.PublicKey)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Versions_of_a_random_life_are_what_was_backed_up_for_every_type(int seed)
    {
        output.WriteLine($"seed {seed}");
        using var fixture = new VersionFixture(SnapshotTests.SmallThresholds());
        var life = new RandomLife(fixture.Db, seed);
        var expected = new List<(string Contents, Cid State)>();
        for (int i = 0; i < (Seed.IsLong ? 60 : 8); i++)
        {
            life.Run(1 << (i % 11));

            // What has expired is deleted first: a version holds what is held, and its clock stands at the last entry.
            while (fixture.Db.Keyspace.Expiry.Step(TimeSpan.FromSeconds(1)))
            {
            }

            string contents = fixture.Db.Contents();
            Assert.Equal($":{i + 1}", fixture.Run("MIMEI BACKUP"));
            expected.Add((contents, fixture.Versions.Read((ulong)i + 1).State));
        }

        for (int i = 0; i < expected.Count; i++)
        {
            using Mimei opened = VersionHistory.Open(fixture.Db.Server.DefaultMimei, new MimeiPlace(MimeiPlaceKind.Version, (ulong)i + 1));
            using var copy = new InProcess(seed: 5);
            copy.Clock.Advance(opened.Keyspace.NowMs - copy.Clock.NowMs);
            var store = new Leither.MmDb.Versions.Tree.NodeStore(fixture.Blocks);
            StateLoader.Load(store, StateRoot.Read(store, expected[i].State), copy.Keyspace);
            Assert.Equal(StateTests.WithoutLayout(expected[i].Contents), StateTests.WithoutLayout(copy.Contents()));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_version_restored_is_what_was_backed_up_whatever_clients_do_meanwhile(int seed)
    {
        output.WriteLine($"seed {seed}");
        using var fixture = new VersionFixture(SnapshotTests.SmallThresholds());
        fixture.Db.Keyspace.ActiveExpireEnabled = false;
        var life = new RandomLife(fixture.Db, seed);
        for (int i = 0; i < 6; i++)
        {
            life.Run(150);
            Assert.Equal($":{i + 1}", fixture.Run("MIMEI BACKUP"));
        }

        var random = new Random(seed);
        InProcess.Client client = fixture.Db.Connect();
        for (int i = 0; i < 12; i++)
        {
            int version = random.Next(6) + 1;
            string reply = client.Run($"MIMEI RESTORE {version}");
            if (reply == "(none)")
            {
                // No flushes: with these the client is asked to try again.
                fixture.Db.Prepare("SET k1 meanwhile", "DEL k2", "HSET new f v", "SELECT 1", "SET other x", "SELECT 0");
                reply = client.Await();
            }

            Assert.Equal("+OK", reply);
            Assert.Equal("[\"0\", []]", fixture.Run($"MIMEI DIFF {version} cur"));
            life.Run(30);
        }

        Assert.StartsWith("-ERR there is no version 99", fixture.Run("MIMEI RESTORE 99"), StringComparison.Ordinal);
        Assert.Equal("-ERR a version is cur, last, release or a number", fixture.Run("MIMEI RESTORE none"));
    }

    [Fact]
    public void A_restore_is_one_entry_that_tells_watchers_and_serves_those_who_wait()
    {
        using var fixture = new VersionFixture();
        fixture.Db.Prepare("SET a 1", "RPUSH list x");
        fixture.Run("MIMEI BACKUP");
        fixture.Db.Prepare("DEL list", "SET a 2", "SET b 2");
        InProcess.Client waiting = fixture.Db.Connect(), watching = fixture.Db.Connect();
        Assert.Equal("(none)", waiting.Run("BLPOP list 0"));
        Assert.Equal("+OK", watching.Run("WATCH b"));
        ulong before = fixture.Db.Server.DefaultMimei.Log!.LastSequence;
        Assert.Equal("+OK", fixture.Run("MIMEI RESTORE 1"));
        Assert.Equal("[\"list\", \"x\"]", waiting.Take());
        Assert.Equal(before + 2, fixture.Db.Server.DefaultMimei.Log!.LastSequence);
        watching.Run("MULTI");
        watching.Run("SET b 3");
        Assert.Equal("nil-array", watching.Run("EXEC"));
        Assert.Equal("\"1\"", fixture.Run("GET a"));
        Assert.Equal("nil", fixture.Run("GET b"));
    }

    [Fact]
    public void DIFF_names_the_keys_that_differ_part_by_part()
    {
        using var fixture = new VersionFixture();
        fixture.Db.Prepare("SET a 1", "SET b 1", "RPUSH c x", "SELECT 2", "SET d 1", "SELECT 0");
        fixture.Run("MIMEI BACKUP");
        fixture.Db.Prepare("SET a 2", "DEL b", "SADD e m", "SELECT 2", "HSET f g h", "SELECT 0");
        Assert.Equal("[\"0\", []]", fixture.Run("MIMEI DIFF 1 1"));
        const string all = "[:0, \"a\", \"changed\", \"string\"], [:0, \"b\", \"removed\", \"string\"], [:0, \"e\", \"added\", \"set\"], [:2, \"f\", \"added\", \"hash\"]";
        Assert.Equal($"[\"0\", [{all}]]", fixture.Run("MIMEI DIFF 1 cur"));
        fixture.Run("MIMEI BACKUP");
        Assert.Equal($"[\"0\", [{all}]]", fixture.Run("MIMEI DIFF 1 last"));
        Assert.Equal("[\"0\", [[:0, \"e\", \"removed\", \"set\"]]]", fixture.Run("MIMEI DIFF 2 1 MATCH e"));
        var parts = new List<string>();
        string cursor = "0";
        do
        {
            string part = fixture.Run($"MIMEI DIFF 1 2 CURSOR {cursor} COUNT 1");
            cursor = part.Split('"')[1];
            parts.Add(part[(part.IndexOf('[', 1) + 1)..^2]);
        }
        while (cursor != "0");
        Assert.Equal(all, string.Join(", ", parts));
        Assert.Equal("-ERR invalid cursor", fixture.Run("MIMEI DIFF 1 2 CURSOR x"));
        Assert.Equal("-ERR syntax error", fixture.Run("MIMEI DIFF 1 2 COUNT 0"));
        Assert.StartsWith("-ERR there is no version 3", fixture.Run("MIMEI DIFF 1 3"), StringComparison.Ordinal);
    }

    [Fact]
    public void FORK_makes_a_MiMei_of_its_own()
    {
        using var fixture = new VersionFixture(store: static clock => new FolderMimeiStore(clock));
        fixture.Db.Prepare("SET a 1", "HSET h f v", "SELECT 4", "RPUSH l x", "SELECT 0");
        fixture.Run("MIMEI BACKUP");
        fixture.Db.Prepare("SET a 2");
        string old = fixture.Run("MIMEI FORK 1").Trim('"'), now = fixture.Run("MIMEI FORK").Trim('"');
        Assert.Equal("+OK", fixture.Run($"MIMEI OPEN {old}"));
        Assert.Equal("\"1\"", fixture.Run("GET a"));
        Assert.Equal("[\"f\", \"v\"]", fixture.Run("HGETALL h"));
        fixture.Db.Prepare("SET a 3", "SELECT 4");
        Assert.Equal("[\"x\"]", fixture.Run("LRANGE l 0 -1"));
        Assert.Equal("+OK", fixture.Run($"MIMEI OPEN {now}"));
        Assert.Equal("\"2\"", fixture.Run("GET a"));
        Assert.Equal("+OK", fixture.Run($"MIMEI OPEN {fixture.Info.Id}"));
        Assert.Equal("\"2\"", fixture.Run("GET a"));
    }

    [Fact]
    public void LOG_lists_what_was_changed_and_when()
    {
        using var fixture = new VersionFixture();
        fixture.Db.Prepare("SET a 1", "SELECT 3", "HSET h f v g w", "MULTI", "INCR n", "RENAME a b", "EXEC", "SWAPDB 1 2", "FLUSHALL");
        long now = fixture.Db.Clock.NowMs;
        Assert.Matches($"""^\[\[:1, :{now}, :\d+, \[\["string-set", :0, "a"\]\]\], """
            + $"""\[:2, :{now}, :\d+, \[\["hash-set-many", :3, "h"\]\]\], """
            + $"""\[:3, :{now}, :\d+, \[\["string-add", :3, "n"\]\]\], """
            + $"""\[:4, :{now}, :\d+, \[\["swap-databases", :1, "2"\]\]\], """
            + $"""\[:5, :{now}, :\d+, \[\["flush-all", :0, ""\]\]\]\]$""", fixture.Run("MIMEI LOG"));
        Assert.Matches("^\\[\\[:2, [^\\[]*\\[\\[\"hash[^\\[]*\\]\\]\\]\\]$", fixture.Run("MIMEI LOG FROM 2 COUNT 1"));
        Assert.StartsWith("[[:5, ", fixture.Run("MIMEI LOG COUNT 1"), StringComparison.Ordinal);
        Assert.Equal("[]", fixture.Run("MIMEI LOG FROM 100"));
        Assert.Equal("-ERR syntax error", fixture.Run("MIMEI LOG FROM"));
        Assert.Equal("-ERR value is out of range, must be positive", fixture.Run("MIMEI LOG COUNT 0"));
    }

    [Fact]
    public void SIZES_tells_what_each_version_leads_to_and_what_it_has_that_those_before_have_not()
    {
        using var fixture = new VersionFixture(store: static clock => new FolderMimeiStore(clock));
        string long1 = new('x', 300_000), mid = fixture.Info.Id.ToString();
        fixture.Db.Prepare([$"SET long {long1}", .. Enumerable.Range(0, 3000).Select(static i => $"SET key:{i} value:{i}")]);
        fixture.Run("MIMEI BACKUP");
        fixture.Db.Prepare("SET key:7 changed", "SELECT 3", "RPUSH l a b c", "SELECT 0");
        fixture.Run("MIMEI BACKUP");
        fixture.Db.Prepare("FLUSHALL");
        fixture.Run("MIMEI BACKUP");
        fixture.Run("MIMEI BACKUP");
        HashSet<Cid> known = [];
        List<string> expected = [];
        foreach ((ListedVersion version, int keys) in fixture.Versions.List.All.Zip([3001, 3002, 0, 0]))
        {
            HashSet<Cid> all = [];
            Stack<Cid> left = new([version.Block]);
            while (left.TryPop(out Cid cid))
            {
                if (!all.Add(cid)) continue;
                List<Cid> links = [];
                MimeiVersion.AddLinks(cid, fixture.Versions.Blocks.Get(cid)!, links);
                links.ForEach(left.Push);
            }

            long Sum(IEnumerable<Cid> blocks) => blocks.Sum(cid => (long)fixture.Versions.Blocks.Get(cid)!.Length);
            expected.Add($"\"keys\", :{keys}, \"size\", :{Sum(all)}, \"added\", :{Sum(all.Except(known))}]");
            known.UnionWith(all);
        }

        expected.Reverse();
        string[] told = [.. fixture.Run($"MIMEI VERSIONS {mid} SIZES").Split("\"keys\"").Skip(1).Select(static t => "\"keys\"" + t[..(t.IndexOf(']', StringComparison.Ordinal) + 1)])];
        Assert.Equal(expected, told);
        Assert.DoesNotContain("size", fixture.Run($"MIMEI VERSIONS {mid}"), StringComparison.Ordinal);
        Assert.Equal("-ERR syntax error", fixture.Run($"MIMEI VERSIONS {mid} SIZE"));
        fixture.Run("MIMEI DELVERS 1");
        Assert.Contains("\"size\", :", fixture.Run($"MIMEI VERSIONS {mid} SIZES"), StringComparison.Ordinal);
    }

    [Fact]
    public void Sizes_that_were_found_out_are_remembered_and_are_those_that_one_finds_who_knows_nothing() => Seed.Run(static random =>
    {
        using var fixture = new VersionFixture(store: static clock => new FolderMimeiStore(clock));
        VersionSizes sizes = fixture.Versions.Sizes;
        fixture.Db.Prepare([.. Enumerable.Range(0, 2000).Select(static i => $"SET key:{i} value:{i}")]);
        for (int round = 0; round < 30; round++)
        {
            // Something changes, or goes back to what was in a version before; a version is made, and now and then some are deleted.
            fixture.Db.Prepare($"SET key:{random.Next(2000)} {random.Next(3)}");
            if (random.Next(4) == 0) fixture.Run("MIMEI RESTORE last");
            fixture.Run("MIMEI BACKUP");
            if (random.Next(4) == 0) fixture.Run($"MIMEI DELVERS {fixture.Versions.List.All[random.Next(fixture.Versions.List.All.Count)].Number}");
            IReadOnlyList<ListedVersion> all = fixture.Versions.List.All;
            VersionSize[] told = sizes.Measure(all), fresh = new VersionSizes(fixture.Versions).Measure(all);
            Assert.True(fresh.SequenceEqual(told), $"round {round}");
            Assert.All(told, static size => Assert.NotNull(size.Bytes));

            long looked = sizes.Looked;
            Assert.Equal(told, sizes.Measure(all));
            fixture.Run($"MIMEI VERSIONS {fixture.Info.Id} SIZES");
            Assert.Equal(looked, sizes.Looked);
        }

        // One more version is looked at alone.
        long before = sizes.Looked;
        fixture.Run("MIMEI BACKUP");
        sizes.Measure(fixture.Versions.List.All);
        VersionSizes alone = new(fixture.Versions);
        alone.Measure([fixture.Versions.List.All[^1]]);
        Assert.Equal(alone.Looked, sizes.Looked - before);
    });

    [Fact]
    public void Versions_are_made_by_themselves_and_kept_as_long_as_the_rules_say()
    {
        using var fixture = new VersionFixture();
        fixture.AutoBackup = [new SavePoint(60, 1)];
        fixture.Retention = [new SavePoint(180, 0)];
        fixture.Db.Prepare("SET a 0");
        fixture.Run("MIMEI BACKUP MEMO mine");
        for (int minute = 1; minute <= 10; minute++)
        {
            if (minute != 5)
            {
                fixture.Db.Prepare($"SET a {minute}");
            }

            fixture.Db.Clock.Advance(61_000);
            ulong next = fixture.Versions.List.Next;
            Wait.Until(
                () =>
                {
                    fixture.Db.Server.Cron(fixture.Db.Clock.NowMs);
                    fixture.Db.Server.EndTurn();
                    return !fixture.Versions.IsRunning && (minute == 5 || fixture.Versions.List.Next > next);
                },
                () => string.Join('\n', fixture.Reports));
        }

        // Nothing changed in the fifth minute; the one that was asked for stays.
        Assert.Equal([1UL, 8UL, 9UL, 10UL], fixture.Versions.List.All.Select(static v => v.Number));
        Assert.Equal("auto", fixture.Versions.Read(10).Memo);
    }
}
