// MiMei that live on several nodes: real processes on one machine, and what they tell each other.

using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.MmDb;
using Leither.Node.Identity;
using Leither.Node.Replication;
using Leither.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class ReplicationTests
{
    [Fact]
    public void What_one_node_writes_another_one_serves_with_the_same_state()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        using RespClient writer = home.Connect();
        writer.Call("SET", "greeting", "hello");
        Publish(home, mid);
        Provide(cloud, mid, home);
        using RespClient reader = Open(cloud, mid);
        Assert.Equal("hello", reader.Call("GET", "greeting").Text);
        for (int i = 0; i < 50; i++)
        {
            writer.Call("SET", "live", $"{i}");
            writer.Call("RPUSH", "list", $"{i}");
            Wait.Until(() => reader.Call("LLEN", "list").Integer == i + 1 && reader.Call("GET", "live").Text == $"{i}");
        }

        Assert.StartsWith("READONLY", reader.Call("SET", "greeting", "mine").Text, StringComparison.Ordinal);
        AssertSame(home, cloud, mid);
    }

    [Fact]
    public void A_MiMei_that_is_not_published_looks_as_if_there_were_none()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        // Something else is published, so that the protocol is spoken.
        using RespClient client = home.Connect();
        string other = client.Call("MIMEI", "CREATE", "DB", "MARK", "other").Text;
        Publish(home, other);
        string nobody = LeitherId.Of("nobody's"u8).ToString();
        string refused = ProvideProblem(cloud, mid, home), none = ProvideProblem(cloud, nobody, home);
        Assert.Contains(ReplicationService.NotFoundText, refused, StringComparison.Ordinal);
        Assert.Equal(none.Replace(nobody, mid, StringComparison.Ordinal), refused);
        Publish(home, mid);
        Provide(cloud, mid, home);
        client.Call("MIMEI", "UNPUBLISH", mid);
        // What others have they have, and give on.
        cloud.Stop();
        using LeitherServer late = Start();
        string after = ProvideProblem(late, mid, home);
        // (It names whom it asked last, which may be the one who is gone.)
        Assert.Contains($"MiMei {mid} cannot be had", after, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("peer")]
    [InlineData("node")]
    [InlineData("user")]
    [InlineData("the peer id of a user's key")]
    public void A_MiMei_is_shared_with_a_peer_a_node_or_a_user_and_with_nobody_else(string kind)
    {
        using LeitherServer home = Start(), friend = Start(), stranger = Start();
        string mid = MidOf(home);
        using RespClient client = home.Connect(), other = friend.Connect();
        string who = kind switch
        {
            "peer" => PeerOf(friend),
            "node" => Field(other.Call("SWARM", "ID"), "node"),
            "the peer id of a user's key" => AuthorPeerOf(friend),
            _ => Field(other.Call("MIMEI", "SHOW", MidOf(friend)), "author"),
        };
        client.Call("SET", "secret", "s");
        Assert.False(client.Call("MIMEI", "PUBLISH", mid, "TO", who).IsError);
        Provide(friend, mid, home);
        using RespClient reader = Open(friend, mid);
        Wait.Until(() => reader.Call("GET", "secret").Text == "s");
        Assert.Contains(ReplicationService.NotFoundText, ProvideProblem(stranger, mid, home), StringComparison.Ordinal);
    }

    private static string AuthorPeerOf(LeitherServer server)
    {
        using PrivateKey author = KeyFile.ReadPrivate(Path.Combine(server.DataDir, "keys", "author.key"), static () => "");
        return author.PublicKey.PeerId.ToString();
    }

    [Fact]
    public void Followers_go_on_after_a_restart_of_either_node()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        Publish(home, mid);
        Provide(cloud, mid, home);
        Set(home, "a", "1");
        AwaitValue(cloud, mid, "a", "1");
        cloud.Restart();
        Set(home, "b", "2");
        AwaitValue(cloud, mid, "b", "2");
        cloud.Kill();
        Set(home, "c", "3");
        cloud.Start();
        AwaitValue(cloud, mid, "c", "3");
        home.Restart();
        Set(home, "d", "4");
        AwaitValue(cloud, mid, "d", "4");
        home.Kill();
        home.Start();
        Set(home, "e", "5");
        AwaitValue(cloud, mid, "e", "5");
        AssertSame(home, cloud, mid);
    }

    [Fact]
    public void A_follower_is_a_source_for_the_next_also_when_the_first_is_gone()
    {
        using LeitherServer home = Start(), middle = Start(), end = Start();
        string mid = MidOf(home);
        Set(home, "a", "1");
        Publish(home, mid);
        Provide(middle, mid, home);
        Provide(end, mid, middle);
        AwaitValue(end, mid, "a", "1");
        Set(home, "b", "2");
        AwaitValue(end, mid, "b", "2");
        home.Stop();
        using LeitherServer late = Start();
        Provide(late, mid, end);
        AwaitValue(late, mid, "b", "2");
        AssertSame(middle, late, mid);
    }

    [Fact]
    public void Much_that_was_there_before_comes_whole_and_goes_on_after_a_cut()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        using RespClient writer = home.Connect();
        string value = new('v', 1000);
        for (int i = 0; i < 30; i++)
        {
            writer.Pipeline([.. Enumerable.Range(0, 1000).Select(n => (IReadOnlyList<byte[]>)[.. new[] { "SET", $"k{(i * 1000) + n}", $"{n}{value}" }.Select(System.Text.Encoding.ASCII.GetBytes)])]);
        }

        writer.Call("MIMEI", "BACKUP");
        Publish(home, mid);
        using (RespClient client = cloud.Connect())
        {
            client.Queue("MIMEI", "PROVIDE", mid, "FROM", AddressOf(home));
            client.Flush();
            Wait.Until(() => Directory.Exists(Path.Combine(cloud.DataDir, "mimei", LeitherId.Parse(mid).ToBase32())));
        }

        cloud.Kill();
        cloud.Start();
        Provide(cloud, mid, home);
        using RespClient reader = Open(cloud, mid);
        Wait.Until(() => reader.Call("DBSIZE").Integer == 30_000);
        AssertSame(home, cloud, mid);
    }

    [Fact]
    public void An_authors_second_node_takes_over_and_the_first_one_follows_it()
    {
        using LeitherServer home = Start(), phone = Start();
        phone.Stop();
        File.Copy(Path.Combine(home.DataDir, "keys", "author.key"), Path.Combine(phone.DataDir, "keys", "author.key"), overwrite: true);
        Directory.Delete(Path.Combine(phone.DataDir, "mimei"), recursive: true);
        phone.Start();
        using RespClient client = home.Connect();
        string mid = client.Call("MIMEI", "CREATE", "DB", "MARK", "shared").Text;
        Publish(home, mid);
        using RespClient first = Open(home, mid);
        first.Call("SET", "a", "1");
        Provide(phone, mid, home);
        AwaitValue(phone, mid, "a", "1");
        using RespClient second = Open(phone, mid);
        Assert.StartsWith("READONLY", second.Call("SET", "b", "2").Text, StringComparison.Ordinal);
        RespValue taken = second.Call("MIMEI", "TAKEOVER", mid);
        Assert.False(taken.IsError, taken.Text);
        Wait.Until(() => second.Call("SET", "b", "2").Text == "OK");
        Wait.Until(() => first.Call("GET", "b").Text == "2");
        Assert.StartsWith("READONLY", first.Call("SET", "c", "3").Text, StringComparison.Ordinal);
        AssertSame(home, phone, mid);
    }

    [Fact]
    public void Who_was_let_write_publishes_without_the_name_that_the_author_alone_signs()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        using RespClient author = Open(home, mid);
        author.Call("SET", "a", "1");
        Publish(home, mid);
        Provide(cloud, mid, home);
        AwaitValue(cloud, mid, "a", "1");
        (int code, _, string error) = LeitherProgram.Run(["mimei", "takeover", mid, "--key", Path.Combine(home.DataDir, "keys", "author.key"), "-p", $"{cloud.Port}"]);
        Assert.True(code == 0, error);
        using RespClient writer = Open(cloud, mid);
        RespValue published = writer.Call("MIMEI", "PUBLISH", mid);
        Assert.Equal("", published.Items[Array.FindIndex(published.Items, static i => i.Text == "name") + 1].Text);
        (code, string output, error) = LeitherProgram.Run(["mimei", "publish", mid, "-p", $"{cloud.Port}"]);
        Assert.True(code == 0, error);
        Assert.Contains("no name: its author's key, which signs for the name, is not on this node", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Who_was_let_write_makes_versions_that_followers_have_and_an_export_proves()
    {
        using LeitherServer home = Start(), cloud = Start(), phone = Start(), stranger = Start();
        string mid = MidOf(home), car = Path.Combine(cloud.DataDir, "versions.car");
        using RespClient author = Open(home, mid);
        author.Call("SET", "a", "1");
        Assert.Equal(1, author.Call("MIMEI", "BACKUP", "MEMO", "of the author").Integer);
        Publish(home, mid);
        Provide(cloud, mid, home);
        Provide(phone, mid, cloud);
        AwaitValue(phone, mid, "a", "1");
        using RespClient writer = Open(cloud, mid);
        Assert.StartsWith("READONLY versions are made by the MiMei's author", writer.Call("MIMEI", "BACKUP").Text, StringComparison.Ordinal);
        (int code, _, string error) = LeitherProgram.Run(["mimei", "takeover", mid, "--key", Path.Combine(home.DataDir, "keys", "author.key"), "-p", $"{cloud.Port}"]);
        Assert.True(code == 0, error);

        // Nothing was written in its term yet, and a restart does not put it back into the one before.
        cloud.Stop();
        cloud.Start();
        using RespClient again = Open(cloud, mid);
        Wait.Until(() => again.Call("SET", "a", "2").Text == "OK");
        AwaitValue(phone, mid, "a", "2");
        AwaitValue(home, mid, "a", "2");
        Assert.Equal(2, again.Call("MIMEI", "BACKUP").Integer);
        Assert.Equal(3, again.Call("MIMEI", "BACKUP", "MEMO", "the same again").Integer);
        again.Call("SET", "a", "3");
        AwaitValue(phone, mid, "a", "3");
        AwaitValue(home, mid, "a", "3");
        foreach (LeitherServer follower in (LeitherServer[])[phone, home])
        {
            using RespClient reader = Open(follower, mid);
            Wait.Until(() => reader.Call("MIMEI", "VERSIONS").Items.Length == 3, () => $"{reader.Call("MIMEI", "VERSIONS").Items.Length} versions\n{follower.Log}");
            AssertWhole(reader);
        }

        // What was signed by the node's key is proven by what the author signed: where nobody heard of either.
        Assert.False(again.Call("MIMEI", "EXPORT", car).IsError);
        using RespClient elsewhere = stranger.Connect();
        RespValue imported = elsewhere.Call("MIMEI", "IMPORT", car);
        Assert.False(imported.IsError, imported.Text);
        stranger.Stop();
        stranger.Start();
        using RespClient shown = Open(stranger, mid);
        Assert.Equal("2", shown.Call("GET", "a").Text);
        Assert.Equal(3, shown.Call("MIMEI", "VERSIONS").Items.Length);
        AssertWhole(shown);
        Assert.StartsWith($"READONLY MiMei {mid} is written by node {PeerOf(cloud)}", shown.Call("SET", "a", "4").Text, StringComparison.Ordinal);

        // They stay what they are when the author writes again.
        author.Call("PING");
        RespValue back = author.Call("MIMEI", "TAKEOVER", mid);
        Assert.False(back.IsError, back.Text);
        Wait.Until(() => author.Call("SET", "a", "4").Text == "OK");
        Assert.Equal(4, author.Call("MIMEI", "BACKUP").Integer);
        author.Call("SET", "a", "5");
        AwaitValue(cloud, mid, "a", "5");
        AssertWhole(author);
        Wait.Until(() => again.Call("MIMEI", "VERSIONS").Items.Length == 4);
        AssertWhole(again);
        Assert.StartsWith("READONLY", again.Call("MIMEI", "BACKUP").Text, StringComparison.Ordinal);

        static void AssertWhole(RespClient client)
        {
            RespValue check = client.Call("MIMEI", "CHECK");
            int at = Array.FindIndex(check.Items, static item => !item.IsAggregate && item.Text == "problems");
            Assert.True(check.Items[at + 1].Items.Length == 0, $"{check}\n{client.Call("MIMEI", "LOG")}\n{client.Call("MIMEI", "VERSIONS")}");
        }
    }

    [Fact]
    public void What_a_named_provider_acknowledged_is_what_WAIT_counts()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        Publish(home, mid);
        Provide(cloud, mid, home);
        using RespClient client = home.Connect();
        client.Call("SET", "a", "1");
        Assert.Equal(0, client.Call("WAIT", "1", "50").Integer);
        Assert.False(client.Call("MIMEI", "PROVIDERS", mid, "ADD", PeerOf(cloud)).IsError);
        client.Call("SET", "a", "2");
        Assert.Equal(1, client.Call("WAIT", "1", "0").Integer);
        RespValue aof = client.Call("WAITAOF", "1", "1", "0");
        Assert.Equal(1, aof.Items[1].Integer);
        cloud.Stop();
        client.Call("SET", "a", "3");
        Assert.Equal(0, client.Call("WAIT", "1", "50").Integer);
    }

    [Fact]
    public void Writes_that_ask_for_replicas_are_taken_while_named_providers_are_in_touch()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        Set(home, "a", "1");
        Publish(home, mid);
        Provide(cloud, mid, home);
        AwaitValue(cloud, mid, "a", "1");
        using RespClient client = home.Connect();
        client.Call("CONFIG", "SET", "min-replicas-to-write", "1");

        // Who follows without being named does not count.
        Assert.StartsWith("NOREPLICAS", client.Call("SET", "a", "2").Text, StringComparison.Ordinal);
        Assert.Contains("min_slaves_good_slaves:0\r\n", client.Call("INFO", "replication").Text, StringComparison.Ordinal);
        Assert.Contains(",named=0\r\n", client.Call("INFO", "replication").Text, StringComparison.Ordinal);
        Assert.False(client.Call("MIMEI", "PROVIDERS", mid, "ADD", PeerOf(cloud)).IsError);
        Wait.Until(() => client.Call("SET", "a", "2").Text == "OK");
        Assert.Contains("min_slaves_good_slaves:1\r\n", client.Call("INFO", "replication").Text, StringComparison.Ordinal);
        Wait.Until(() => client.Call("INFO", "replication").Text.Contains(",named=1\r\n", StringComparison.Ordinal));
        client.Call("CONFIG", "SET", "min-replicas-to-write", "2");
        Assert.StartsWith("NOREPLICAS", client.Call("SET", "a", "3").Text, StringComparison.Ordinal);
        client.Call("CONFIG", "SET", "min-replicas-to-write", "1");
        cloud.Stop();
        Wait.Until(() => client.Call("SET", "a", "3").Text.StartsWith("NOREPLICAS", StringComparison.Ordinal));
        Assert.Contains("min_slaves_good_slaves:0\r\n", client.Call("INFO", "replication").Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_named_provider_that_says_nothing_is_asked_whether_it_is_there_and_goes_on_being_told()
    {
        using LeitherServer home = Start();
        string mid = MidOf(home);
        Publish(home, mid);
        using RespClient client = home.Connect();
        using var key = PrivateKey.Generate();
        await using var host = new Host(key);
        PeerConnection connection = await host.ConnectAsync(Multiaddr.Parse(AddressOf(home))).WaitAsync(Wait.Limit);
        await using PeerStream stream = connection.OpenStream(LogProtocol.Name);
        using var reader = new MessageReader(stream);
        using var limit = new CancellationTokenSource(Wait.Limit);
        await SayAsync(new Hello(LogProtocol.Format, LeitherId.Parse(mid), default, null, [], true, 0, default));
        Assert.False(client.Call("MIMEI", "PROVIDERS", mid, "ADD", host.Id.ToString()).IsError);
        Assert.Equal("OK", client.Call("CONFIG", "SET", "min-replicas-to-write", "1").Text);

        for (int asked = 0; asked < 2; asked++)
        {
            await AwaitAsync(static message => message is Beat { IsAnswer: false });
            await SayAsync(new Beat(true));
        }

        // What comes after it is not kept back.
        Assert.Equal("OK", client.Call("CONFIG", "SET", "min-replicas-to-write", "0").Text);
        Assert.Equal("OK", client.Call("SET", "a", "1").Text);
        await AwaitAsync(static message => message is HeadTold);

        async Task SayAsync(Message message)
        {
            var bytes = new System.Buffers.ArrayBufferWriter<byte>();
            MessageCodec.Encode(message, bytes);
            await stream.WriteAsync(bytes.WrittenMemory, limit.Token);
        }

        async Task AwaitAsync(Func<Message, bool> isIt)
        {
            while (await reader.ReadAsync(limit.Token) is var (message, _))
            {
                if (isIt(message)) return;
            }

            Assert.Fail("the stream ended");
        }
    }

    [Fact]
    public async Task The_log_that_a_follower_fetches_stays_up_to_the_limit()
    {
        using LeitherServer home = Start();
        string mid = MidOf(home), log = Path.Combine(home.DataDir, "mimei", LeitherId.Parse(mid).ToBase32(), "log");
        Publish(home, mid);
        using RespClient client = home.Connect();
        Assert.Equal("OK", client.Call("CONFIG", "SET", "replication-log-max", "40mb").Text);

        // A follower that is welcome, has nothing, and asks for nothing yet.
        using var key = PrivateKey.Generate();
        await using var host = new Host(key);
        PeerConnection connection = await host.ConnectAsync(Multiaddr.Parse(AddressOf(home))).WaitAsync(Wait.Limit);
        await using PeerStream stream = connection.OpenStream(LogProtocol.Name);
        bool isFollowed = true;
        Say(new Hello(LogProtocol.Format, LeitherId.Parse(mid), default, null, [], true, 0, default));
        Wait.Until(() => client.Call("INFO", "replication").Text.Contains("connected_slaves:1\r\n", StringComparison.Ordinal));

        // Of what checkpoints make superfluous some 16 MB stay for everybody. The state is small, so that checkpoints are.
        string value = new('v', 200_000);
        for (int i = 0; i < 300; i++) Assert.Equal("OK", client.Call("SET", "k", value).Text);
        AwaitLogOf(34, 42);
        Assert.Equal("OK", client.Call("CONFIG", "SET", "replication-log-max", "28mb").Text);
        AwaitLogOf(22, 30);
        stream.Reset();
        isFollowed = false;
        AwaitLogOf(10, 20);

        void Say(Message message)
        {
            var bytes = new System.Buffers.ArrayBufferWriter<byte>();
            MessageCodec.Encode(message, bytes);
            stream.WriteAsync(bytes.WrittenMemory).AsTask().GetAwaiter().GetResult();
        }

        // (A checkpoint deletes in the background. So one that deleted too much is seen by the step after it, or by the next call.)
        void AwaitLogOf(long atLeast, long atMost)
        {
            Wait.Until(() => Save() <= atMost << 20, () => $"{Save() >> 20} MiB");
            for (int i = 0; i < 3; i++) Assert.InRange(Save() >> 20, atLeast, atMost);
        }

        long Save()
        {
            if (isFollowed) Say(new Beat(false)); // it is there
            client.Call("SET", "saved", "again");
            Assert.Equal("OK", client.Call("SAVE").Text);
            return new DirectoryInfo(log).EnumerateFiles("0*.seg").Sum(static f => f.Exists ? f.Length : 0);
        }
    }

    [Fact]
    public void What_came_as_versions_follows_its_author_once_it_is_provided()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        Set(home, "a", "1");
        using RespClient client = home.Connect(), there = cloud.Connect();
        Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
        string file = Path.Combine(home.DataDir, "versions.car");
        Assert.False(client.Call("MIMEI", "EXPORT", file).IsError);
        Assert.False(there.Call("MIMEI", "IMPORT", file).IsError);
        using (RespClient reader = Open(cloud, mid)) Assert.Equal("1", reader.Call("GET", "a").Text);

        // Nobody has it yet, so that it stays what it is.
        Assert.Contains("cannot be had", ProvideProblem(cloud, mid, home), StringComparison.Ordinal);
        using (RespClient reader = Open(cloud, mid)) Assert.Equal("1", reader.Call("GET", "a").Text);
        Publish(home, mid);
        Provide(cloud, mid, home);
        Set(home, "a", "2");
        AwaitValue(cloud, mid, "a", "2");
        Assert.Equal("OK", there.Call("MIMEI", "OPEN", mid, "VERSION", "1").Text);
        Assert.Equal("1", there.Call("GET", "a").Text);
        AssertSame(home, cloud, mid);
    }

    [Fact]
    public void A_MiMei_that_is_not_here_is_read_block_by_block()
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        Set(home, "a", "1");
        using RespClient client = home.Connect();
        Assert.Equal(1, client.Call("MIMEI", "BACKUP").Integer);
        Publish(home, mid);
        using RespClient reader = cloud.Connect();
        Assert.False(reader.Call("SWARM", "CONNECT", AddressOf(home)).IsError);
        Wait.Until(() => !reader.Call("MIMEI", "OPEN", mid).IsError, () => reader.Call("MIMEI", "OPEN", mid).Text);
        Assert.Equal("1", reader.Call("GET", "a").Text);
        Assert.StartsWith("READONLY", reader.Call("SET", "a", "2").Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Garbage_of_a_hostile_peer_is_nothing_that_a_follower_notices() => Seed.Run(random =>
    {
        using LeitherServer home = Start(), cloud = Start();
        string mid = MidOf(home);
        Publish(home, mid);
        Provide(cloud, mid, home);
        Task hostile = Task.Run(() => AttackAsync(AddressOf(home), mid, random.Next()));
        for (int i = 0; !hostile.IsCompleted || i < 20; i++)
        {
            Set(home, "n", $"{i}");
            AwaitValue(cloud, mid, "n", $"{i}");
        }

        hostile.GetAwaiter().GetResult();
        AssertSame(home, cloud, mid);
    });

    /// <summary>Streams that begin well or badly and go on with nonsense.</summary>
    private static async Task AttackAsync(string address, string mid, int seed)
    {
        var random = new Random(seed);
        using var key = PrivateKey.Generate();
        await using var host = new Host(key);
        PeerConnection connection = await host.ConnectAsync(Multiaddr.Parse(address)).WaitAsync(Wait.Limit);
        for (int round = 0; round < 200; round++)
        {
            PeerStream stream = connection.OpenStream(LogProtocol.Name);
            try
            {
                var bytes = new System.Buffers.ArrayBufferWriter<byte>();
                if (round % 4 != 0) MessageCodec.Encode(new Hello(LogProtocol.Format, LeitherId.Parse(mid), default, null, [], round % 2 == 0, 0, default), bytes);
                Message[] messages =
                [
                    new Get([Cid.Of(Multicodec.Raw, "x"u8)]), new Ack(ulong.MaxValue, ulong.MaxValue, ulong.MaxValue), new Follow(new(new(1, 0, 1, 0), random.Next()), 1), new GetNodes(Cid.Of(Multicodec.DagCbor, "y"u8), 0, 512),
                    new HeadTold(new byte[100]), new Nodes([]), new Beat(false),
                ];
                for (int i = random.Next(4); i > 0; i--) MessageCodec.Encode(messages[random.Next(messages.Length)], bytes);
                byte[] sent = bytes.WrittenSpan.ToArray();
                for (int i = random.Next(4); i > 0 && sent.Length > 0; i--) sent[random.Next(sent.Length)] ^= (byte)(1 << random.Next(8));
                byte[] noise = new byte[random.Next(2000)];
                random.NextBytes(noise);
                await stream.WriteAsync((byte[])[.. sent, .. noise]);
                if (random.Next(2) == 0) stream.CompleteWrites();
                _ = await stream.ReadAsync(new byte[100]).AsTask().WaitAsync(TimeSpan.FromMilliseconds(20));
            }
            catch (Exception e) when (e is IOException or TimeoutException)
            {
                // It was turned away.
            }
            finally
            {
                stream.Reset();
                await stream.DisposeAsync();
            }
        }
    }

    private static LeitherServer Start() => LeitherServer.StartNew("--dht-network", "leither", "--swarm-mdns", "no");

    private static string MidOf(LeitherServer server)
    {
        using RespClient client = server.Connect();
        return client.Call("MIMEI", "ID").Items[0].Text;
    }

    private static string PeerOf(LeitherServer server)
    {
        using RespClient client = server.Connect();
        return Field(client.Call("SWARM", "ID"), "peer");
    }

    private static string AddressOf(LeitherServer server) => $"/ip4/127.0.0.1/tcp/{server.Port}/p2p/{PeerOf(server)}";

    private static void Publish(LeitherServer server, string mid)
    {
        using RespClient client = server.Connect();
        RespValue published = client.Call("MIMEI", "PUBLISH", mid);
        Assert.False(published.IsError, published.Text);
    }

    private static void Provide(LeitherServer server, string mid, LeitherServer from)
    {
        using RespClient client = server.Connect();
        RespValue provided = client.Call("MIMEI", "PROVIDE", mid, "FROM", AddressOf(from));
        Assert.False(provided.IsError, provided.IsError ? provided.Text : "");
    }

    private static string ProvideProblem(LeitherServer server, string mid, LeitherServer from)
    {
        using RespClient client = server.Connect();
        RespValue provided = client.Call("MIMEI", "PROVIDE", mid, "FROM", AddressOf(from));
        Assert.True(provided.IsError);
        return provided.Text;
    }

    private static RespClient Open(LeitherServer server, string mid)
    {
        RespClient client = server.Connect();
        RespValue opened = client.Call("MIMEI", "OPEN", mid);
        Assert.Equal("OK", opened.Text);
        return client;
    }

    private static void Set(LeitherServer server, string key, string value)
    {
        using RespClient client = server.Connect();
        Assert.Equal("OK", client.Call("SET", key, value).Text);
    }

    private static void AwaitValue(LeitherServer server, string mid, string key, string value)
    {
        using RespClient client = Open(server, mid);
        Wait.Until(() => client.Call("GET", key) is { IsNull: false } got && got.Text == value, () => server.Log);
    }

    /// <summary>The same entries lead to the same state: its CID says so.</summary>
    private static void AssertSame(LeitherServer one, LeitherServer other, string mid)
    {
        using RespClient first = Open(one, mid), second = Open(other, mid);
        string state = first.Call("MIMEI", "CID").Text;
        Wait.Until(() => second.Call("MIMEI", "CID").Text == state, () => $"{state} is not {second.Call("MIMEI", "CID").Text}\n{other.Log}");
    }

    private static string Field(RespValue map, string name)
    {
        int at = Array.FindIndex(map.Items, item => !item.IsAggregate && !item.IsNull && item.Text == name);
        Assert.True(at >= 0, $"no {name} in {map}");
        return map.Items[at + 1].Text;
    }
}
