// Client-side caching: what the transcripts cannot show.

using Leither.MmDb.Configuration;
using Leither.MmDb.Memory;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class TrackingTests
{
    [Fact]
    public void While_nobody_tracks_a_change_concerns_nobody()
    {
        using var db = new InProcess();
        Assert.Equal(0, db.Keyspace.ChangeListeners);
        InProcess.Client client = db.Connect();
        client.Run("WATCH a b");
        db.Prepare("CLIENT TRACKING ON BCAST PREFIX a PREFIX b", "CLIENT TRACKING ON BCAST PREFIX c");
        Assert.Equal(3, db.Keyspace.ChangeListeners);
        Assert.True(db.Server.NeedsChecks);
        client.Run("UNWATCH");
        db.Prepare("CLIENT TRACKING OFF");
        Assert.Equal(0, db.Keyspace.ChangeListeners);
        Assert.Equal(0, db.Server.DefaultMimei.Tracking.PrefixCount);
        Assert.False(db.Server.NeedsChecks);
    }

    [Fact]
    public void Replies_turned_off_do_not_keep_invalidations_back()
    {
        using var db = new InProcess();
        InProcess.Client cache = db.Connect();
        cache.Run("HELLO 3");
        cache.Run("CLIENT TRACKING ON");
        cache.Run("GET k");
        Assert.Equal("(none)", cache.Run("CLIENT REPLY OFF"));
        db.Prepare("SET k 1");
        Assert.Equal(">[\"invalidate\", [\"k\"]]", cache.Take());
        Assert.Equal("(none)", cache.Run("GET k"));
        Assert.Equal(">[\"invalidate\", [\"k\"]]", cache.Run("SET k 2"));
        Assert.Equal("+OK", cache.Run("CLIENT REPLY ON"));
        Assert.Null(cache.Take());
    }

    [Fact]
    public void Invalidations_go_to_the_client_named_and_a_broken_redirection_is_told()
    {
        using var db = new InProcess();
        InProcess.Client cache = db.Connect(), listener = db.Connect();
        listener.Run("SUBSCRIBE __redis__:invalidate");
        cache.Run("HELLO 3");
        Assert.Equal("+OK", cache.Run($"CLIENT TRACKING ON REDIRECT {listener.Session.Id}"));
        Assert.Equal($":{listener.Session.Id}", cache.Run("CLIENT GETREDIR"));
        Assert.Contains($" flags=t db=0", db.Run("CLIENT LIST"), StringComparison.Ordinal);
        cache.Run("MGET a b");
        db.Prepare("MSET a 1 b 1");
        Assert.Equal("[\"message\", \"__redis__:invalidate\", [\"a\"]]", listener.Take());
        Assert.Equal("[\"message\", \"__redis__:invalidate\", [\"b\"]]", listener.Take());
        db.Prepare("FLUSHALL");
        Assert.Equal("[\"message\", \"__redis__:invalidate\", nil]", listener.Take());
        cache.Run("GET a");
        long id = listener.Session.Id;
        listener.Run("QUIT");
        db.Prepare("SET a 2");
        Assert.Equal($">[\"tracking-redir-broken\", :{id}]", cache.Take());
        Assert.Contains("\"broken_redirect\"", cache.Run("CLIENT TRACKINGINFO"), StringComparison.Ordinal);
        Assert.Contains(" flags=tR db=0", cache.Run("CLIENT INFO"), StringComparison.Ordinal);
    }

    [Fact]
    public void What_was_read_is_forgotten_when_all_keys_go_even_if_nobody_tracks_then()
    {
        using var db = new InProcess();
        db.Prepare("HELLO 3", "CLIENT TRACKING ON", "GET a", "CLIENT TRACKING OFF", "FLUSHALL", "CLIENT TRACKING ON", "GET b");
        Assert.Contains("tracking_total_keys:1\\r\\ntracking_total_items:1\\r\\n", db.Run("INFO stats"), StringComparison.Ordinal);
    }

    [Fact]
    public void Keys_beyond_the_limit_are_forgotten_and_their_readers_told()
    {
        using var db = new InProcess();
        InProcess.Client cache = db.Connect();
        cache.Run("HELLO 3");
        cache.Run("CLIENT TRACKING ON");
        for (int i = 0; i < 1000; i++)
        {
            cache.Run($"GET key{i}");
        }

        Assert.Contains("tracking_total_keys:1000\\r\\ntracking_total_items:1000\\r\\ntracking_total_prefixes:0", db.Run("INFO stats"), StringComparison.Ordinal);
        db.Server.Settings.Put(ConfigKeys.TrackingTableMaxKeys, 10);
        for (int i = 0; i < 10 && db.Server.DefaultMimei.Tracking.KeyCount > 10; i++)
        {
            db.Server.Cron(db.Clock.NowMs);
        }

        Assert.Equal(10, db.Server.DefaultMimei.Tracking.KeyCount);
        int told = 0;
        while (cache.Take() is { } push)
        {
            Assert.StartsWith(">[\"invalidate\", [\"key", push, StringComparison.Ordinal);
            told++;
        }

        Assert.Equal(990, told);
    }

    [Fact]
    public void The_keys_that_expire_are_told_to_who_would_not_hear_of_its_own_changes()
    {
        using var db = new InProcess();
        InProcess.Client cache = db.Connect();
        cache.Run("HELLO 3");
        cache.Run("CLIENT TRACKING ON BCAST NOLOOP");
        Assert.Equal("+OK", cache.Run("SET k v PX 10"));
        Assert.Null(cache.Take());
        db.Clock.Advance(20);
        Assert.Equal("_", cache.Run("GET k"));
        Assert.Equal(">[\"invalidate\", [\"k\"]]", cache.Take());
    }

    [Fact]
    public void A_key_that_it_found_expired_is_told_to_who_would_not_hear_of_its_own_changes()
    {
        using var db = new InProcess();
        InProcess.Client cache = db.Connect();
        cache.Run("HELLO 3");
        cache.Run("CLIENT TRACKING ON NOLOOP");
        db.Prepare("SET k v PX 10");
        Assert.Equal("\"v\"", cache.Run("GET k"));
        db.Clock.Advance(20);
        Assert.Equal("_", cache.Run("GET k"));
        Assert.Equal(">[\"invalidate\", [\"k\"]]", cache.Take());
    }

    [Fact]
    public void What_was_read_is_forgotten_with_the_last_connection_that_tracks()
    {
        using var db = new InProcess();
        InProcess.Client first = db.Connect(), last = db.Connect();
        foreach (InProcess.Client cache in (InProcess.Client[])[first, last])
        {
            cache.Run("HELLO 3");
            cache.Run("CLIENT TRACKING ON");
            cache.Run("GET k");
        }

        // Who only stops for a while is told later of what it read before.
        first.Run("CLIENT TRACKING OFF");
        first.Run("CLIENT TRACKING ON");
        db.Server.Close(last.Session);
        Assert.Equal(1, db.Server.DefaultMimei.Tracking.KeyCount);
        db.Server.Close(first.Session);
        Assert.Equal(0, db.Server.DefaultMimei.Tracking.KeyCount);
    }

    [Fact]
    public unsafe void Readers_of_keys_are_held_exactly_however_many_they_are() => Seed.Run(random =>
    {
        using var keys = new TrackedKeys(7);
        var model = new Dictionary<byte, HashSet<long>>();
        for (int i = 0; i < 20_000; i++)
        {
            byte name = (byte)random.Next(random.Next(2) == 0 ? 3 : 200);
            var key = new Key(&name, 1, Hash64.Compute(&name, 1, 7));
            if (random.Next(400) == 0)
            {
                var readers = new List<long>();
                Assert.Equal(model.Remove(name, out HashSet<long>? expected), keys.TryTake(key, readers));
                Assert.Equal((expected ?? []).Order(), readers.Order());
                continue;
            }

            long reader = random.Next(2000);
            keys.Add(key, reader);
            if (!model.TryGetValue(name, out HashSet<long>? set))
            {
                model.Add(name, set = []);
            }

            set.Add(reader);
            Assert.Equal(model.Count, keys.Count);
        }

        Assert.Equal(model.Values.Sum(static s => s.Count), keys.ReaderCount);
    });
}
