// MiMei on several nodes as clients meet them: MIMEI PUBLISH … TAKEOVER, and Redis's own words for it, WAIT, INFO replication and ROLE. What the other nodes do is
// told by a test.

using System.Globalization;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Rights;
using Leither.MmDb.Tests.Versions;
using Leither.MmDb.Versions;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class ReplicaTests : IDisposable
{
    private static readonly string _peer = FakeReplication.Peer.ToString();
    private static readonly string _node = PrivateKey.FromSeed(new byte[32]).PublicKey.Id.ToString();
    private static readonly LeitherId _elsewhere = LeitherId.Of("elsewhere"u8);

    private readonly VersionFixture _fixture = new();
    private readonly FakeReplication _others = new();

    public ReplicaTests() => _fixture.Db.Server.Replicas = _others;

    private LeitherId Mid => _fixture.Info.Id;

    private InProcess Db => _fixture.Db;

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void Without_a_network_commands_say_so()
    {
        Db.Server.Replicas = null;
        foreach (string command in (string[])["PUBLISH", "UNPUBLISH", "PROVIDE", "UNPROVIDE", "SYNC", "FINDPROVS", "FOLLOWERS", "PROVIDERS", "TAKEOVER"])
        {
            Assert.Equal("-ERR this server has no network", _fixture.Run($"MIMEI {command} {Mid}"));
        }

        Assert.Equal($"-ERR no such MiMei '{_elsewhere}'", _fixture.Run($"MIMEI SHOW {_elsewhere}"));
        Assert.Equal($"-ERR no such MiMei '{_elsewhere}'", _fixture.Run($"MIMEI OPEN {_elsewhere}"));
        Assert.Contains("\"compare\", \"only-local\"", _fixture.Run("MIMEI SHOW"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("PUBLISH nosuch", "-ERR no such MiMei 'nosuch'")]
    [InlineData("PUBLISH {mid} TO", "-ERR syntax error")]
    [InlineData("PUBLISH {mid} FOR x", "-ERR syntax error")]
    [InlineData("PUBLISH {mid} TO ann", "-ERR a user is named by a peer id (12D3KooW...), or by a node id or user id of 27 characters")]
    [InlineData("PUBLISH {elsewhere}", "-ERR no such MiMei '{elsewhere}'")]
    [InlineData("PROVIDE nosuch", "-ERR no such MiMei 'nosuch'")]
    [InlineData("PROVIDE {mid} FROM", "-ERR syntax error")]
    [InlineData("PROVIDE {mid} FOLLOW", "-ERR syntax error")]
    [InlineData("PROVIDE {mid} FROM /nonsense/1", "-ERR not an address of a peer: /ip4/10.0.0.1/tcp/4800/p2p/12D3KooW..., host or host:port")]
    [InlineData("SYNC {mid} FROM FOLLOW", "-ERR syntax error")]
    [InlineData("SYNC {mid} NOW", "-ERR syntax error")]
    [InlineData("PROVIDERS {mid} ADD", "-ERR syntax error")]
    [InlineData("PROVIDERS {mid} SET {peer}", "-ERR syntax error")]
    [InlineData("PROVIDERS {mid} ADD x", "-ERR a provider is named by its peer id (12D3KooW...), or by its node id of 27 characters")]
    [InlineData("FOLLOWERS {mid} x", "-ERR syntax error")]
    [InlineData("TAKEOVER {mid} NOW", "-ERR syntax error")]
    [InlineData("TAKEOVER {mid} CERT ''", "-ERR not a writer's certificate")]
    [InlineData("SHOW {mid} x", "-ERR syntax error")]
    [InlineData("SHOW nosuch", "-ERR no such MiMei 'nosuch'")]
    [InlineData("CID {mid} x", "-ERR syntax error")]
    [InlineData("CID nosuch", "-ERR no such MiMei 'nosuch'")]
    public void Errors_say_what_is_wrong(string command, string error)
    {
        string Filled(string text) => text.Replace("{mid}", Mid.ToString(), StringComparison.Ordinal)
            .Replace("{elsewhere}", _elsewhere.ToString(), StringComparison.Ordinal).Replace("{peer}", _peer, StringComparison.Ordinal);
        Assert.Equal(Filled(error), _fixture.Run("MIMEI " + Filled(command)));
        Assert.Empty(_others.Asked);
    }

    [Fact]
    public void Publish_tells_everybody_or_some_and_replies_what_was_told()
    {
        string reply = _fixture.Run($"MIMEI PUBLISH {Mid}");
        Assert.Equal(
            $"[\"mid\", \"{Mid}\", \"version\", :3, \"cid\", \"{FakeReplication.Block}\", \"term\", :0, \"epoch\", :2, \"sequence\", :7, \"name\", \"{Ipfs.Ipns.IpnsRecord.NameText(FakeReplication.Peer)}\", "
            + "\"told\", :5, \"eol\", \"2023-11-14T22:13:20Z\", \"addresses\", [\"/ip4/10.0.0.1/tcp/4800\"]]",
            reply);
        _fixture.Run($"MIMEI PUBLISH {Mid} TO {_peer} {_node}");
        Assert.Equal(":1", _fixture.Run($"MIMEI UNPUBLISH {Mid}"));
        Assert.Equal([$"publish {Mid} all", $"publish {Mid} {_peer} {_node}", $"unpublish {Mid}"], _others.Asked);
    }

    [Fact]
    public void What_goes_wrong_with_other_nodes_is_an_error_of_the_command()
    {
        _others.Problem = new IOException("nobody has it");
        Assert.Equal("-ERR nobody has it", _fixture.Run($"MIMEI SYNC {_elsewhere}"));
        Assert.Equal("-ERR nobody has it", _fixture.Run($"MIMEI OPEN {_elsewhere}"));
        Assert.Equal("-ERR nobody has it", _fixture.Run($"MIMEI SHOW {_elsewhere}"));
        _others.Problem = new MimeiException("READONLY the author's key is not on this node");
        Assert.Equal("-READONLY the author's key is not on this node", _fixture.Run($"MIMEI TAKEOVER {Mid}"));
        _others.Problem = new TimeoutException();
        Assert.Equal("-ERR the network did not answer in time", _fixture.Run($"MIMEI FINDPROVS {Mid}"));
    }

    [Fact]
    public void Sync_and_provide_take_addresses_and_reply_how_far_it_is_here()
    {
        const string synced = "\"version\", :2, \"term\", :0, \"epoch\", :1, \"sequence\", :12, \"bytes\", :4096, \"blocks\", :7, \"sources\", :3, \"level\", :1]";
        Assert.Equal($"[\"mid\", \"{_elsewhere}\", {synced}", _fixture.Run($"MIMEI SYNC {_elsewhere}"));
        Assert.Equal($"[\"mid\", \"{Mid}\", {synced}", _fixture.Run($"MIMEI PROVIDE {Mid}"));
        _fixture.Run($"MIMEI SYNC {_elsewhere} FOLLOW");
        _fixture.Run($"MIMEI SYNC {_elsewhere} FROM /ip4/1.2.3.4/tcp/4800/p2p/{_peer} nas:4801 FOLLOW");
        _fixture.Run($"MIMEI SYNC {_elsewhere} FOLLOW FROM nas:4801");
        _fixture.Run($"MIMEI PROVIDE {_elsewhere} FROM 10.0.0.1:4801");
        Assert.Equal(":0", _fixture.Run($"MIMEI UNPROVIDE {_elsewhere}"));
        Assert.Equal(
        [
            $"sync {_elsewhere} [] once", $"provide {Mid} [] provide", $"sync {_elsewhere} [] follow",
            $"sync {_elsewhere} [/ip4/1.2.3.4/tcp/4800/p2p/{_peer} /dns/nas/tcp/4801] follow", $"sync {_elsewhere} [/dns/nas/tcp/4801] follow",
            $"provide {_elsewhere} [/ip4/10.0.0.1/tcp/4801] provide", $"unprovide {_elsewhere}",
        ], _others.Asked);
    }

    [Fact]
    public void Findprovs_tells_who_has_it_and_how_far()
    {
        Assert.Equal("[]", _fixture.Run($"MIMEI FINDPROVS {_elsewhere}"));
        _others.Providers.Add(new MimeiProvider(FakeReplication.Peer, [Multiaddr.Parse("/ip4/10.0.0.1/tcp/4800"), Multiaddr.Parse($"/ip4/10.0.0.1/tcp/4800/p2p/{_peer}")], 2, FakeReplication.Block, new Position((3UL << 32) | 1, 40), true, false, null));
        _fixture.Run("HELLO 3");
        Assert.Equal(
            $"[%{{\"peer\": \"{_peer}\", \"node\": \"{_node}\", \"addresses\": [\"/ip4/10.0.0.1/tcp/4800/p2p/{_peer}\"], \"version\": :2, \"cid\": \"{FakeReplication.Block}\", \"term\": :3, \"epoch\": :1, "
            + "\"sequence\": :40, \"writer\": :1, \"this\": :0, \"problem\": \"\"}]",
            _fixture.Run($"MIMEI FINDPROVS {_elsewhere}"));
    }

    [Fact]
    public void Followers_and_named_providers_are_told_with_how_far_they_are()
    {
        Assert.Equal("[]", _fixture.Run("MIMEI FOLLOWERS"));
        _others.Statuses[Mid] = Followed(written: 8, synced: 5);
        _fixture.Run("HELLO 3");
        Assert.Equal(
            $"[%{{\"peer\": \"{_peer}\", \"node\": \"{_node}\", \"address\": \"/ip4/10.0.0.2/tcp/4801\", \"state\": \"online\", \"term\": :0, \"epoch\": :1, \"written\": :8, \"synced\": :5, "
            + "\"lag\": :2, \"named\": :1, \"silent-ms\": :1500}]",
            _fixture.Run($"MIMEI FOLLOWERS {Mid}"));
        Assert.Equal(
            $"[%{{\"provider\": \"{_node}\", \"state\": \"online\", \"written\": :8, \"synced\": :5, \"lag\": :2}}, "
            + "%{\"provider\": \"12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust\", \"state\": \"offline\", \"written\": :0, \"synced\": :0, \"lag\": :-1}]",
            _fixture.Run("MIMEI PROVIDERS"));
        Assert.Equal("+OK", _fixture.Run($"MIMEI PROVIDERS {Mid} ADD {_peer} {_node}"));
        Assert.Equal("+OK", _fixture.Run($"MIMEI PROVIDERS {Mid} DEL {_peer}"));
        Assert.Equal([$"name {Mid} +[{_peer} {_node}] -[]", $"name {Mid} +[] -[{_peer}]"], _others.Asked);
    }

    [Fact]
    public void Takeover_goes_with_the_key_here_or_with_a_certificate()
    {
        Assert.Equal("\"to be signed\"", _fixture.Run($"MIMEI TAKEOVER {_elsewhere} PREPARE"));
        Assert.Equal(
            $"[\"mid\", \"{_elsewhere}\", \"term\", :1, \"epoch\", :1, \"after\", [\"term\", :0, \"epoch\", :4, \"sequence\", :99], \"before\", \"{_peer}\"]",
            _fixture.Run($"MIMEI TAKEOVER {_elsewhere} CERT signed"));
        _fixture.Run($"MIMEI TAKEOVER {_elsewhere}");
        Assert.Equal([$"prepare {_elsewhere}", $"takeover {_elsewhere} signed", $"takeover {_elsewhere} own key"], _others.Asked);
    }

    [Fact]
    public void Users_without_the_right_to_administer_neither_publish_nor_take_over_but_may_look()
    {
        Db.Prepare("ACL SETUSER ann on nopass ~* +@all -@admin -@dangerous");
        InProcess.Client ann = Db.Connect();
        Assert.Equal("+OK", ann.Run("AUTH ann x"));
        foreach (string command in (string[])["PUBLISH", "UNPUBLISH", "PROVIDE", "UNPROVIDE", "SYNC", "PROVIDERS", "TAKEOVER"])
        {
            Assert.StartsWith("-NOPERM", ann.Run($"MIMEI {command} {Mid}"), StringComparison.Ordinal);
        }

        foreach (string command in (string[])["FINDPROVS", "FOLLOWERS", "SHOW", "CID"])
        {
            Assert.DoesNotContain("NOPERM", ann.RunToEnd($"MIMEI {command} {Mid}"), StringComparison.Ordinal);
        }
    }

    // ------------------------------------------------------------------ here and elsewhere

    [Fact]
    public void The_CID_of_what_there_is_now_is_that_of_a_version_made_of_it()
    {
        string empty = _fixture.Run("MIMEI CID");
        Db.Prepare("SET a 1", "SET b 2");
        string cid = _fixture.Run("MIMEI CID");
        Assert.NotEqual(empty, cid);
        Assert.Equal("[]", _fixture.Run("MIMEI VERSIONS"));
        _fixture.Run("MIMEI BACKUP");
        Assert.Contains($"\"state\", {cid}", _fixture.Run("MIMEI VERSIONS"), StringComparison.Ordinal);
        Db.Prepare("SET a 2");
        Assert.NotEqual(cid, _fixture.Run($"MIMEI CID {Mid}"));
        Db.Prepare("SET a 1");
        Assert.Equal(cid, _fixture.Run("MIMEI CID"));
        InProcess.Client past = Db.Connect();
        Db.Prepare("FLUSHALL");
        past.RunToEnd($"MIMEI OPEN {Mid} VERSION 1");
        Assert.Equal(cid, past.RunToEnd("MIMEI CID"));
        Assert.Equal(empty, _fixture.Run("MIMEI CID"));
        past.RunToEnd($"MIMEI OPEN {Mid} AT 1");
        Assert.Equal("-ERR a moment has no CID of its own; versions have, and what there is now has", past.RunToEnd("MIMEI CID"));
    }

    [Fact]
    public void Show_asks_nobody_for_what_nobody_knows_of()
    {
        Db.Prepare("SET a 1");
        _fixture.Run("MIMEI BACKUP");
        Dictionary<string, string> shown = Show();
        Assert.Empty(_others.Asked);
        Assert.Equal(("only-local", "_", "", "1"), (shown["compare"], shown["net"], shown["role"], shown["here"]));
        Assert.Contains("\"last\": :1", shown["local"], StringComparison.Ordinal);
        Assert.Contains("\"sequence\": :1", shown["local"], StringComparison.Ordinal);
    }

    [Fact]
    public void Show_tells_who_may_have_it_whether_or_not_a_node_has_to_do_with_it_yet()
    {
        Assert.Equal(("0", "[]"), (Show()["public"], Show()["users"]));
        Assert.True(Db.Server.Mimeis.TryFind(Mid, out MimeiEntry? entry));
        Db.Server.Mimeis.ChangeRights(entry, MimeiRights.Private.Published().WithMember(FakeReplication.Peer.ToString(), MimeiRight.Read));
        Assert.Equal(("1", $"[\"{FakeReplication.Peer}\"]"), (Show()["public"], Show()["users"]));
    }

    [Fact]
    public void Show_compares_what_is_here_with_what_others_have()
    {
        Db.Prepare("SET a 1");
        _fixture.Run("MIMEI BACKUP");
        _others.Statuses[Mid] = Followed(1, 1);
        Cid block = _fixture.Versions.List.Last.Block;
        (ulong Version, Cid Block, Position Position, string Conflict, string Newer)[] cases =
        [
            (1, block, Db.Server.DefaultMimei.Log!.LastPosition, "", "same"),
            (2, FakeReplication.Block, new Position(1, 9), "", "net"),
            (0, default, default, "", "only-local"),
            (1, FakeReplication.Block, new Position(1, 1), "version 1 is another one on the network", "conflict"),
        ];
        foreach ((ulong version, Cid remote, Position position, string conflict, string newer) in cases)
        {
            _others.Standing = new MimeiStanding(_fixture.Info, 1, block, default, version, remote, position, null, [], _others.Statuses[Mid]);
            Dictionary<string, string> shown = Show();
            Assert.Equal((newer, conflict, "writer"), (shown["compare"], shown["conflict"], shown["role"]));
            Assert.Contains($"\"last\": :{version}", shown["net"], StringComparison.Ordinal);
        }

        _others.Standing = new MimeiStanding(_fixture.Info, 1, block, default, 1, block, default, null, [], _others.Statuses[Mid] with { Proof = "two heads of epoch 1 after entry 7" });
        Assert.Equal(("conflict", "two heads of epoch 1 after entry 7"), (Show()["compare"], Show()["proof"]));

        // Who cannot be asked keeps nobody from what is here.
        _others.Problem = new IOException("nobody answers");
        Assert.Equal(("unknown", "nobody answers"), (Show()["compare"], Show()["net-problem"]));
    }

    [Fact]
    public void Show_tells_of_one_that_is_elsewhere_only()
    {
        _others.Standing = new MimeiStanding(_fixture.Info, 0, default, default, 2, FakeReplication.Block, new Position(1, 9), null, [], null);
        Dictionary<string, string> shown = Show(_elsewhere.ToString());
        Assert.Equal(("only-net", "0", "test"), (shown["compare"], shown["here"], shown["mark"]));
    }

    // ------------------------------------------------------------------ read from other nodes

    [Fact]
    public void One_that_is_elsewhere_is_read_block_by_block_and_never_written_to()
    {
        using var author = new VersionFixture(mark: "far");
        for (int i = 0; i < 3000; i++)
        {
            author.Db.Prepare($"SET key{i} {new string('v', 40)}{i}");
        }

        author.Db.Prepare("RPUSH l a b c");
        string cid = author.Run("MIMEI CID");
        author.Run("MIMEI BACKUP");
        MimeiVersion version = author.Versions.Read(1);
        LeitherId mid = author.Info.Id;
        using var here = new MemoryBlockstore();
        int fetched = 0;
        async Task Fetch(Cid block, CancellationToken cancellation)
        {
            await Task.Yield();
            var bytes = new System.Buffers.ArrayBufferWriter<byte>();
            if (!author.Blocks.TryGet(block, bytes))
            {
                throw new IOException("no node has the block");
            }

            here.Put(block, bytes.WrittenSpan);
            fetched++;
        }

        _others.OpenRemote = cancellation => RemoteMimei.OpenAsync(mid, version, here, Fetch, Db.Keyspace, cancellation: cancellation);
        InProcess.Client client = Db.Connect();
        Assert.Equal("+OK", client.RunToEnd($"AUTH default@{mid} ''"));
        Assert.Equal($"[\"{mid}\", \"\", \"1\", :0]", client.Run("MIMEI ID"));
        Assert.Equal($"\"{new string('v', 40)}77\"", client.RunToEnd("GET key77"));
        Assert.InRange(fetched, 1, 8);
        Assert.Equal("[\"a\", \"b\", \"c\"]", client.RunToEnd("LRANGE l 0 -1"));
        Assert.Equal(":3001", client.Run("DBSIZE"));
        Assert.Equal(cid, client.Run("MIMEI CID"));
        Assert.StartsWith($"-READONLY MiMei {mid} is not on this node", client.Run("SET a 1"), StringComparison.Ordinal);
        Assert.StartsWith($"-READONLY MiMei {mid} is not on this node", client.Run("MIMEI BACKUP"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR what it reads is on other nodes and not here yet", client.Run("EVAL \"return redis.call('KEYS', '*')\" 0"), StringComparison.Ordinal);
        Assert.Equal(3001, client.RunToEnd("KEYS *").Count(static c => c == ',') + 1);
        Assert.Equal("+OK", _fixture.Run($"MIMEI OPEN {mid} VERSION last"));
        Assert.Equal([$"open {mid} last"], _others.Asked);
        Assert.Equal("+OK", _fixture.Run($"MIMEI OPEN {mid} VERSION 1"));
        Assert.Equal("+OK", _fixture.Run($"MIMEI OPEN {mid} VERSION release"));
        Assert.Equal("+OK", Db.Connect().RunToEnd($"AUTH default@{mid}/1 ''"));
        Assert.Equal([$"open {mid} last", $"open {mid} 1", $"open {mid} release"], _others.Asked);
        Assert.Equal(
            $"-ERR MiMei {mid} is not on this node, and of one that is read from other nodes only versions can be opened, no other moments; MIMEI SYNC {mid} brings it here",
            _fixture.Run($"MIMEI OPEN {mid} AT 1"));
    }

    [Fact]
    public void A_block_that_no_node_gives_is_an_error_of_the_command_that_wants_it()
    {
        using var author = new VersionFixture(mark: "far");
        author.Db.Prepare("SET a 1");
        author.Run("MIMEI BACKUP");
        MimeiVersion version = author.Versions.Read(1);
        using var here = new MemoryBlockstore();
        var bytes = new System.Buffers.ArrayBufferWriter<byte>();
        author.Blocks.TryGet(version.State, bytes);
        here.Put(version.State, bytes.WrittenSpan);
        _others.OpenRemote = cancellation => RemoteMimei.OpenAsync(author.Info.Id, version, here, static (_, _) => throw new IOException("no node has the block"), Db.Keyspace, cancellation: cancellation);
        Assert.Equal("+OK", _fixture.Run($"MIMEI OPEN {author.Info.Id}"));
        Assert.Equal("-ERR no node has the block", _fixture.Run("GET a"));
        Assert.Equal("+PONG", _fixture.Run("PING"));
    }

    // ------------------------------------------------------------------ Redis's words

    [Fact]
    public void WAIT_counts_named_providers_that_wrote_what_the_client_wrote()
    {
        Assert.Equal(":0", Db.Run("WAIT 0 0"));
        _others.Named.Add((new Position(1, 1), default));
        _others.Named.Add((new Position(1, 2), default));
        Db.Prepare("SET a 1", "SET b 1");
        InProcess.Client reader = Db.Connect();
        Assert.Equal(":2", reader.Run("WAIT 2 0"));
        Assert.Equal(":1", Db.Run("WAIT 1 0"));
        Assert.Equal("(none)", Db.Run("WAIT 2 0"));
        Db.Server.Acknowledged();
        Assert.Null(Db.Default.Take());
        _others.Named[0] = (new Position(1, 2), default);
        Db.Server.Acknowledged();
        Assert.Equal(":2", Db.Default.Take());

        Assert.Equal("(none)", Db.Run("WAIT 3 100"));
        Db.Clock.Advance(100);
        Db.Server.Cron(Db.Clock.NowMs);
        Assert.Equal(":2", Db.Default.Take());
        // In a transaction nobody waits, and what it writes itself is not written yet.
        Assert.Equal("[+OK, :2]", InTransaction("SET c 1", "WAIT 3 0"));
    }

    [Fact]
    public void WAITAOF_counts_named_providers_whose_disks_have_it_and_the_disk_here()
    {
        Db.Prepare("SET a 1");
        _others.Named.Add((new Position(1, 1), default));
        Assert.Equal("(none)", Db.Run("WAITAOF 0 1 0"));
        _others.Named[0] = (new Position(1, 1), new Position(1, 1));
        Db.Server.Acknowledged();
        Assert.EndsWith(", :1]", Db.Default.Take(), StringComparison.Ordinal);
        Assert.Equal("(none)", Db.Run("WAITAOF 1 0 0"));
        Db.Server.DefaultMimei.Log!.Sync(1);
        Db.Server.Cron(Db.Clock.NowMs);
        Assert.Equal("[:1, :1]", Db.Default.Take());
    }

    [Fact]
    public void WAIT_forgets_what_was_written_in_another_MiMei()
    {
        Db.Prepare("SET a 1", "SET b 1");
        _others.Named.Add((new Position(1, 0), default));
        Assert.Equal(":0", Db.Run("WAIT 0 0"));
        _fixture.Run("MIMEI BACKUP");
        _fixture.Run($"MIMEI OPEN {Mid} VERSION 1");
        _fixture.Run($"MIMEI OPEN {Mid}");
        Assert.Equal(":1", Db.Run("WAIT 0 0"));
    }

    [Fact]
    public void INFO_and_ROLE_of_a_writer_show_nodes_that_follow_as_replicas()
    {
        for (int i = 0; i < 10; i++)
        {
            Db.Prepare($"SET a {i}");
        }

        Assert.DoesNotContain("leither_", Db.Run("INFO replication"), StringComparison.Ordinal);
        Assert.Equal("[\"master\", :0, []]", Db.Run("ROLE"));
        _others.Statuses[Mid] = Followed(written: 8, synced: 5);
        Dictionary<string, string> info = Info();
        Assert.Equal(("master", "1", "10"), (info["role"], info["connected_slaves"], info["master_repl_offset"]));
        Assert.Equal($"ip=10.0.0.2,port=4801,state=online,offset=8,lag=1,peer={_peer},synced=5,behind=2,named=1", info["slave0"]);
        Assert.Equal(("writer", "10", "10", "0", "0", "1", "2"), (
            info["leither_role"], info["leither_position"], info["leither_head"], info["leither_lag"], info["leither_term"], info["leither_followers"], info["leither_named_providers"]));
        Assert.Equal(Mid.ToString(), info["leither_mid"]);
        Assert.Equal("[\"master\", :10, [[\"10.0.0.2\", \"4801\", \"8\"]]]", Db.Run("ROLE"));
        Assert.Contains(_peer, Db.Run("CLIENT LIST TYPE replica"), StringComparison.Ordinal);
    }

    [Fact]
    public void INFO_and_ROLE_of_a_copy_name_the_node_that_writes_and_Redis_replication_is_refused()
    {
        using var author = new VersionFixture(mark: "far");
        FolderMimeiStore? store = null;
        using var copying = new InProcess(store: clock => store = new FolderMimeiStore(clock));
        using FolderMimeiStore kept = store!;
        store!.Create(author.Info);
        LeitherId mid = author.Info.Id;
        copying.Server.Mimeis.Add(new MimeiRecord(mid));
        copying.Server.Replicas = _others;
        copying.Run($"MIMEI OPEN {mid}");
        Assert.Equal("[\"slave\", \"\", :0, \"connect\", :-1]", copying.Run("ROLE"));
        _others.Statuses[mid] = new ReplicaStatus
        {
            Role = ReplicaRole.Follower,
            Writer = FakeReplication.Peer,
            WriterAddresses = [Multiaddr.Parse($"/ip4/192.0.2.1/tcp/4800/p2p/{_peer}")],
            Source = FakeReplication.Peer,
            IsLevel = true,
            Position = new Position((1UL << 32) | 1, 40),
            Head = new Position((1UL << 32) | 1, 42),
            SilentMs = 2500,
            State = "level",
            Undone = 3,
        };
        Dictionary<string, string> info = Parse(copying.Run("INFO replication"));
        Assert.Equal(("slave", "192.0.2.1", "4800", "up", "2", "0", "40", "1"), (
            info["role"], info["master_host"], info["master_port"], info["master_link_status"], info["master_last_io_seconds_ago"], info["master_sync_in_progress"], info["slave_repl_offset"],
            info["slave_read_only"]));
        Assert.Equal(("follower", "1", "1", "40", "42", "2", "3"), (
            info["leither_role"], info["leither_term"], info["leither_epoch"], info["leither_position"], info["leither_head"], info["leither_lag"], info["leither_undone_entries"]));
        Assert.Equal(40, info["master_replid"].Length);
        Assert.Equal("[\"slave\", \"192.0.2.1\", :4800, \"connected\", :40]", copying.Run("ROLE"));
        Assert.StartsWith("-ERR WAIT cannot be used with replica instances.", copying.Run("WAIT 0 0"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR WAITAOF cannot be used with replica instances.", copying.Run("WAITAOF 0 0 0"), StringComparison.Ordinal);
        foreach (string command in (string[])["REPLICAOF 127.0.0.1 1", "FAILOVER", "PSYNC ? -1", "SYNC"])
        {
            Assert.StartsWith($"-ERR this MiMei is written by node {_peer}", copying.Run(command), StringComparison.Ordinal);
        }

        _others.Statuses[mid] = _others.Statuses[mid] with { Source = null, SilentMs = 60_000 };
        info = Parse(copying.Run("INFO replication"));
        Assert.Equal(("down", "60"), (info["master_link_status"], info["master_link_down_since_seconds"]));
        Assert.Equal("[\"slave\", \"192.0.2.1\", :4800, \"connect\", :-1]", copying.Run("ROLE"));
        copying.Server.Mimeis.CloseLogs();
    }

    // ------------------------------------------------------------------ what they share

    private static ReplicaStatus Followed(ulong written, ulong synced) => new()
    {
        Role = ReplicaRole.Writer,
        Position = new Position(1, 10),
        Head = new Position(1, 10),
        Followers = [new FollowerStatus(FakeReplication.Peer, Multiaddr.Parse("/ip4/10.0.0.2/tcp/4801"), 1, written, synced, true, "online", 1500)],
        Named = [_node, "12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust"],
    };

    private string InTransaction(params string[] commands)
    {
        Db.Prepare("MULTI");
        Db.Prepare(commands);
        return Db.Run("EXEC");
    }

    private Dictionary<string, string> Info() => Parse(Db.Run("INFO replication"));

    private static Dictionary<string, string> Parse(string info) => info.Trim('"').Split("\\r\\n").Where(static line => line.Contains(':', StringComparison.Ordinal))
        .ToDictionary(static line => line[..line.IndexOf(':', StringComparison.Ordinal)], static line => line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..]);

    /// <summary>The fields of MIMEI SHOW, texts and numbers as they are, others as <see cref="InProcess.Show"/> shows them.</summary>
    private Dictionary<string, string> Show(string mid = "")
    {
        InProcess.Client client = Db.Connect();
        client.Run("HELLO 3");
        client.Send(TestKit.Quoting.Split($"MIMEI SHOW {mid}"));
        Resp.RespReply? reply = null;
        TestKit.Wait.Until(() =>
        {
            Db.Server.Cron(Db.Clock.NowMs);
            Db.Server.EndTurn();
            return (reply = client.TakeReply()) is not null;
        });
        return reply!.Elements.Chunk(2).ToDictionary(static pair => pair[0].Text, static pair => pair[1].Type switch
        {
            Resp.RespType.BulkString => pair[1].Text,
            Resp.RespType.Integer => pair[1].Integer.ToString(CultureInfo.InvariantCulture),
            _ => InProcess.Show(pair[1]),
        });
    }
}
