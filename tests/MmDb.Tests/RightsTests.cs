// Rights on MiMei: what masks and lists mean, and what they let a user do who has said who he is.

using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.MmDb.Commands;
using Leither.MmDb.Passports;
using Leither.MmDb.Rights;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class RightsTests : IDisposable
{
    private const string NoRight = "-WRONGPASS no MiMei here gives this user a right";

    private readonly FolderMimeiStore _store;
    private readonly InProcess _db;
    private readonly TempDir _folder = new();
    private readonly PrivateKey _author = PrivateKey.Generate(), _ann = PrivateKey.Generate(), _bob = PrivateKey.Generate(), _node = PrivateKey.Generate();
    private readonly string _a, _b;

    public RightsTests()
    {
        _db = FolderMimeiStore.Serve(out _store, _author);
        _db.Server.NodeId = _node.PublicKey.Id;
        _db.Server.WorkFolder = _folder.Path;
        _a = _db.Run("MIMEI CREATE DB MARK a").Trim('"');
        _b = _db.Run("MIMEI CREATE DB MARK b").Trim('"');
        _db.Prepare($"MIMEI OPEN {_a}", "SET key a", $"MIMEI OPEN {_b}", "SET key b", "MIMEI OPEN " + _db.Server.Mimeis.Default.Id, "SET key default");
    }

    public void Dispose()
    {
        _db.Server.Mimeis.CloseLogs();
        _db.Dispose();
        _store.Dispose();
        _folder.Dispose();
        foreach (PrivateKey key in (PrivateKey[])[_author, _ann, _bob, _node]) key.Dispose();
    }

    // ------------------------------------------------------------------ what is said, and what it means

    [Fact]
    public void A_mask_has_eight_bits_each_for_everyone_groups_members_and_the_owner()
    {
        string ann = Id(_ann), bob = Id(_bob);
        MimeiRights rights = MimeiRights.Private.WithMask(0x00_03_05_01UL).WithMember(ann, null).WithGroup("friends", [bob]);
        Assert.Equal(MimeiRight.Read, rights.Everyone);
        Assert.Equal(MimeiRight.Read | MimeiRight.Backup, rights.Of(MimeiClass.Groups));
        Assert.Equal(MimeiRight.Read | MimeiRight.Write, rights.Of(MimeiClass.Members));
        Assert.Equal(MimeiRight.Read, rights.Of(MimeiCaller.Nobody));
        Assert.Equal(MimeiRight.Read | MimeiRight.Write, rights.Of(Caller(_ann)));
        Assert.Equal(MimeiRight.Read | MimeiRight.Backup, rights.Of(Caller(_bob)));
        Assert.Equal(MimeiRight.None, MimeiRights.Private.Of(Caller(_ann)));

        // What has no meaning is kept.
        Assert.Equal(ulong.MaxValue, MimeiRights.Private.WithMask(ulong.MaxValue).Mask);
        Assert.Equal(MimeiRight.All, MimeiRights.Private.WithMask(ulong.MaxValue).Everyone);
        Assert.Equal(ulong.MaxValue & ~2UL, MimeiRights.Private.WithMask(ulong.MaxValue).With(MimeiClass.Everyone, MimeiRight.All & ~MimeiRight.Write).Mask);
    }

    [Fact]
    public void What_somebody_may_is_what_all_lists_that_he_is_in_give_together()
    {
        string ann = Id(_ann);
        MimeiRights rights = MimeiRights.Private.With(MimeiClass.Everyone, MimeiRight.Messages).WithMember(ann, MimeiRight.Write)
            .WithGroup("one", [ann]).WithGroup("one", MimeiRight.Read).WithGroup("two", [ann]).WithGroup("two", MimeiRight.Backup).WithGroup("three", [Id(_bob)]).WithGroup("three", MimeiRight.All);
        Assert.Equal(MimeiRight.Messages | MimeiRight.Write | MimeiRight.Read | MimeiRight.Backup, rights.Of(Caller(_ann)));

        // A user comes on a node; either may be in a list.
        PeerId peer = _ann.PublicKey.PeerId;
        Assert.Equal(MimeiRight.All, rights.Of(MimeiCaller.Of(peer, _bob.PublicKey.Id)) | MimeiRight.All);
        Assert.Equal(MimeiRight.Read, MimeiRights.Private.WithMember(peer.ToString(), MimeiRight.Read).Of(MimeiCaller.Of(peer)));
        Assert.Equal(MimeiRight.Read, MimeiRights.Private.WithMember(_ann.PublicKey.Id.ToString(), MimeiRight.Read).Of(MimeiCaller.Of(peer)));

        // He comes with all ids of his key and of his node, and with nobody else's.
        foreach (string id in (string[])[Id(_bob), _bob.PublicKey.PeerId.ToString(), peer.ToString(), Id(_ann)])
        {
            Assert.Equal(MimeiRight.Read, MimeiRights.Private.WithMember(id, MimeiRight.Read).Of(MimeiCaller.Of(peer, _bob.PublicKey)));
            Assert.Equal(id == peer.ToString() || id == Id(_ann), MimeiRights.Private.WithMember(id, MimeiRight.Read).Of(MimeiCaller.Of(peer)) == MimeiRight.Read);
            Assert.Equal(MimeiRight.None, MimeiRights.Private.WithMember(id, MimeiRight.Read).Of(MimeiCaller.Of(_author.PublicKey.PeerId, _author.PublicKey)));
        }
    }

    [Fact]
    public void Publishing_gives_the_right_to_read_and_unpublishing_takes_it_and_nothing_else()
    {
        string ann = Id(_ann), bob = Id(_bob);
        MimeiRights rights = MimeiRights.Private.WithMember(ann, MimeiRight.Write);
        Assert.False(rights.IsShared);
        rights = rights.Published();
        Assert.True(rights.IsPublic && rights.IsShared);
        rights = rights.SharedWith([ann, bob]);
        Assert.False(rights.IsPublic);
        Assert.True(rights.IsShared);
        Assert.Equal((MimeiRight.Read | MimeiRight.Write, MimeiRight.Read), (rights.Of(Caller(_ann)), rights.Of(Caller(_bob))));
        rights = rights.Unpublished();
        Assert.False(rights.IsShared);
        Assert.Equal((MimeiRight.Write, MimeiRight.None), (rights.Of(Caller(_ann)), rights.Of(Caller(_bob))));
        Assert.Equal([ann], rights.Members.Keys);
    }

    [Fact]
    public void A_block_of_rights_is_read_back_and_no_other_bytes_are_rights()
    {
        MimeiRights rights = MimeiRights.Private.WithMask(7276704).WithMember(Id(_ann), null).WithMember(_bob.PublicKey.PeerId.ToString(), MimeiRight.Read | MimeiRight.Grant)
            .WithGroup("friends", [Id(_bob), Id(_ann)]).WithGroup("none", []).WithGroup("friends", MimeiRight.Write);
        byte[] block = rights.Encode();
        MimeiRights read = MimeiRights.Decode(block);
        Assert.Equal(block, read.Encode());
        Assert.Equal(7276704UL, read.Mask);
        Assert.Equal(MimeiRight.None, read.ChangedSince(rights));
        Assert.True(MimeiRights.Decode(MimeiRights.Private.Encode()).IsPlain);
        for (int length = 0; length < block.Length; length++) Assert.ThrowsAny<MalformedBlockException>(() => MimeiRights.Decode(block.AsSpan(0, length)));
        Assert.ThrowsAny<MalformedBlockException>(() => MimeiRights.Decode([.. block, 0]));

        // A right of a later version is not overlooked.
        byte[] unknown = MimeiRights.Private.WithMember(Id(_ann), MimeiRight.Messages).Encode();
        unknown[^1] = 0x80;
        Assert.ThrowsAny<MalformedBlockException>(() => MimeiRights.Decode([.. unknown.AsSpan(0, unknown.Length - 2), 0x18, 0x80]));
    }

    [Fact]
    public void Lists_are_bounded()
    {
        string[] ids = [.. Enumerable.Range(0, MimeiRights.MaxMembers + 1).Select(static i => LeitherId.Of(BitConverter.GetBytes(i)).ToString())];
        Assert.Throws<MimeiException>(() => MimeiRights.Private.SharedWith(ids));
        Assert.Throws<MimeiException>(() => MimeiRights.Private.WithGroup("g", ids));
        MimeiRights full = MimeiRights.Private.SharedWith(ids.Take(MimeiRights.MaxMembers));
        Assert.Throws<MimeiException>(() => full.WithMember(ids[^1], MimeiRight.Read));
        Assert.Equal(MimeiRights.MaxMembers, MimeiRights.Decode(full.Encode()).Members.Count);
        MimeiRights many = Enumerable.Range(0, MimeiRights.MaxGroups).Aggregate(MimeiRights.Private, static (r, i) => r.WithGroup($"g{i}", []));
        Assert.Throws<MimeiException>(() => many.WithGroup("more", []));
        Assert.Throws<MimeiException>(() => MimeiRights.Private.WithGroup("a b", []));
        Assert.Throws<MimeiException>(() => MimeiRights.Private.WithGroup(new string('a', MimeiRights.MaxGroupName + 1), []));
    }

    // ------------------------------------------------------------------ commands

    [Fact]
    public void MIMEI_RIGHT_says_and_shows_who_may_do_what()
    {
        string ann = Id(_ann), peer = _bob.PublicKey.PeerId.ToString();
        Assert.Contains("\"mask\", \"0\"", _db.Run($"MIMEI RIGHT GET {_a}"), StringComparison.Ordinal);
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} EVERYONE read"));
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} MEMBERS read write"));
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} USER {ann} default"));
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} USER {peer} READ Backup"));
        Assert.Equal(":2", _db.Run($"MIMEI GROUP ADD {_a} friends {ann} {peer} {ann}"));
        Assert.Equal(":0", _db.Run($"MIMEI GROUP ADD {_a} friends {ann}"));
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} GROUP friends messages"));
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} GROUPS scripts"));
        string all = _db.Run($"MIMEI RIGHT GET {_a}");
        Assert.Contains($"\"mid\", \"{_a}\"", all, StringComparison.Ordinal);
        Assert.Contains($"\"mask\", \"{0x03_40_01}\"", all, StringComparison.Ordinal);
        Assert.Contains($"\"owner\", \"{_author.PublicKey.Id}\"", all, StringComparison.Ordinal);
        Assert.Contains($"[\"user\", \"{ann}\", \"rights\", [\"read\", \"write\"], \"default\", :1]", all, StringComparison.Ordinal);
        Assert.Contains($"[\"user\", \"{peer}\", \"rights\", [\"read\", \"backup\"], \"default\", :0]", all, StringComparison.Ordinal);
        Assert.Equal($"[\"mid\", \"{_a}\", \"user\", \"{ann}\", \"rights\", [\"read\", \"write\", \"messages\"], \"mask\", :35]", _db.Run($"MIMEI RIGHT GET {_a} USER {ann}"));
        Assert.Contains("\"mask\", :127]", _db.Run($"MIMEI RIGHT GET {_a} USER {_author.PublicKey.Id}"), StringComparison.Ordinal);
        Assert.Contains($"\"right\", \"{0x03_40_01}\"", _db.Run($"MIMEI INFO {_a}"), StringComparison.Ordinal);
        string[] members = [.. new[] { ann, peer }.Order(StringComparer.Ordinal)];
        Assert.Equal($"[[\"group\", \"friends\", \"rights\", [\"messages\"], \"default\", :0, \"users\", [\"{members[0]}\", \"{members[1]}\"]]]", _db.Run($"MIMEI GROUP LIST {_a}"));
        Assert.Equal("[]", _db.Run($"MIMEI GROUP LIST {_a} none"));

        // What is kept is what is shown.
        Assert.Equal(all, Shown(MimeiRights.Decode(File.ReadAllBytes(Path.Combine(_store.PathOf(LeitherId.Parse(_a)), "rights")))));

        Assert.Equal(":1", _db.Run($"MIMEI RIGHT DEL {_a} USER {ann}"));
        Assert.Equal(":0", _db.Run($"MIMEI RIGHT DEL {_a} USER {ann}"));
        Assert.Equal(":1", _db.Run($"MIMEI GROUP DEL {_a} friends {peer}"));
        Assert.Equal(":1", _db.Run($"MIMEI GROUP DEL {_a} friends"));
        Assert.Equal(":0", _db.Run($"MIMEI GROUP DEL {_a} friends"));
        Assert.Equal(":1", _db.Run($"MIMEI RIGHT DEL {_a} EVERYONE"));
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} 18446744073709551615"));
        Assert.Contains("\"mask\", \"18446744073709551615\"", _db.Run($"MIMEI RIGHT GET {_a}"), StringComparison.Ordinal);
    }

    private string Shown(MimeiRights kept)
    {
        _db.Server.Mimeis.TryFind(LeitherId.Parse(_a), out MimeiEntry? entry);
        _db.Server.Mimeis.ChangeRights(entry!, kept);
        return _db.Run($"MIMEI RIGHT GET {_a}");
    }

    [Theory]
    [InlineData("RIGHT SET {a} EVERYONE", "-ERR which rights: read write backup publish grant messages scripts, all, none")]
    [InlineData("RIGHT SET {a}", "-ERR to whom, and which rights: everyone, groups, members, group NAME or user ID, then read write backup publish grant messages scripts, all, none, default; or all at once a mask of 64 bits as a number")]
    [InlineData("RIGHT SET {a} USER", "-ERR which user: user ID")]
    [InlineData("RIGHT SET {a} GROUP", "-ERR which group: group NAME")]
    [InlineData("RIGHT SET {a} 18446744073709551616", "-ERR '18446744073709551616' is nobody who has rights; those that there are: everyone, groups, members, group NAME or user ID; or all at once a mask of 64 bits as a number")]
    [InlineData("RIGHT DEL {a}", "-ERR from whom: everyone, groups, members, group NAME or user ID")]
    [InlineData("RIGHT SET {a} EVERYONE fly", "-ERR 'fly' is no right; those that there are: read write backup publish grant messages scripts, all, none")]
    [InlineData("RIGHT SET {a} EVERYONE 128", "-ERR '128' is no right; those that there are: read write backup publish grant messages scripts, all, none")]
    [InlineData("RIGHT SET {a} OWNER read", "-ERR the owner has all rights, always")]
    [InlineData("RIGHT SET {a} USER x read", "-ERR a user is named by a peer id (12D3KooW...), or by a node id or user id of 27 characters")]
    [InlineData("RIGHT SET {a} GROUP none read", "-ERR no group is called 'none'; MIMEI GROUP ADD makes one")]
    [InlineData("RIGHT SET nobody EVERYONE read", "-ERR no such MiMei 'nobody'")]
    [InlineData("RIGHT SET {a} SOMEBODY x read", "-ERR 'SOMEBODY' is nobody who has rights; those that there are: everyone, groups, members, group NAME or user ID; or all at once a mask of 64 bits as a number")]
    [InlineData("RIGHT GET {a} x", "-ERR of one user it is MIMEI RIGHT GET mid USER id")]
    [InlineData("RIGHT DEL {a} EVERYONE read", "-ERR MIMEI RIGHT DEL takes all rights from one; MIMEI RIGHT SET says which remain")]
    [InlineData("RIGHT TAKE {a}", "-ERR it is MIMEI RIGHT GET, SET or DEL")]
    [InlineData("GROUP ADD {a}", "-ERR it is MIMEI GROUP ADD mid name [id ...], MIMEI GROUP DEL mid name [id ...] or MIMEI GROUP LIST mid [name]")]
    [InlineData("GROUP ADD {a} 'a b'", "-ERR a group's name has 1 to 64 letters, digits, '.', '_' and '-'")]
    [InlineData("GROUP ADD {a} g x", "-ERR a user is named by a peer id (12D3KooW...), or by a node id or user id of 27 characters")]
    public void What_is_not_understood_changes_nothing(string command, string error)
    {
        string before = _db.Run($"MIMEI RIGHT GET {_a}");
        Assert.Equal(error, _db.Run("MIMEI " + command.Replace("{a}", _a, StringComparison.Ordinal)));
        Assert.Equal(before, _db.Run($"MIMEI RIGHT GET {_a}"));
    }

    [Fact]
    public void A_MiMei_is_private_unless_it_is_made_otherwise_and_so_is_a_fork()
    {
        Assert.Contains("\"right\", \"0\"", _db.Run($"MIMEI INFO {_a}"), StringComparison.Ordinal);
        string open = _db.Run("MIMEI CREATE DB MARK open RIGHT 1").Trim('"');
        Assert.Equal("+OK", LogIn(_db.Connect(), _ann, open));
        _db.Prepare($"MIMEI OPEN {open}", "SET a 1");
        Assert.Equal(":1", _db.Default.RunToEnd("MIMEI BACKUP"));
        string fork = _db.Default.RunToEnd("MIMEI FORK").Trim('"');
        Assert.Contains("\"right\", \"0\"", _db.Run($"MIMEI INFO {fork}"), StringComparison.Ordinal);
        Assert.Equal(NoRight, LogIn(_db.Connect(), _ann, fork));
    }

    // ------------------------------------------------------------------ people

    [Fact]
    public void Who_says_who_he_is_may_what_the_MiMei_gives_him_and_nothing_in_another()
    {
        Assert.Equal(NoRight, LogIn(_db.Connect(), _ann, _a));
        Assert.Equal(NoRight, LogIn(_db.Connect(), _ann));
        Assert.Equal(NoRight, LogIn(_db.Connect(), _ann, LeitherId.Of("not here"u8).ToString()));
        Give(_a, _ann, "read");
        Assert.Equal(NoRight, LogIn(_db.Connect(), _bob, _a));
        Assert.Equal(NoRight, LogIn(_db.Connect(), _ann, _b));
        InProcess.Client ann = _db.Connect();
        Assert.Equal("+OK", LogIn(ann, _ann, _a));
        Assert.Contains(_a, ann.Run("MIMEI ID"), StringComparison.Ordinal);
        Assert.Equal("\"a\"", ann.Run("GET key"));
        Refuses(ann, "SET key 1", "DEL key", "PUBLISH c m", "EVAL 'return 1' 0", "MIMEI BACKUP", "MIMEI RESTORE 1", "MIMEI RELEASE 1", $"MIMEI PUBLISH {_a}", $"MIMEI UNPUBLISH {_a}",
            $"MIMEI RIGHT SET {_a} EVERYONE read", $"MIMEI RIGHT DEL {_a} EVERYONE", $"MIMEI GROUP ADD {_a} g", $"MIMEI GROUP LIST {_a}", "MIMEI FORK", "MIMEI EXPORT x", "MIMEI IMPORT x",
            "MIMEI CREATE DB", "MIMEI DELVERS 1", "MIMEI CHECK", $"MIMEI NAME x {_a}", $"MIMEI PROVIDE {_a}", $"MIMEI SYNC {_a}", $"MIMEI TAKEOVER {_a}", $"MIMEI REF ADD {_b}",
            "KEYS *", "FLUSHALL", "CONFIG GET *", "ACL LIST", "SHUTDOWN", "MONITOR", "CLIENT LIST", "IPFS STAT x", "SWARM PEERS");
        foreach (string other in (string[])[_b, _db.Server.Mimeis.Default.Id.ToString(), LeitherId.Of("not here"u8).ToString(), "default", "nobody's"])
        {
            foreach (string command in (string[])["OPEN", "INFO", "SHOW", "VERSIONS", "CID", "RIGHT GET", "PUBLISH"])
            {
                Assert.Equal($"-NOPERM User passport:{Id(_ann)} has no right to run the 'mimei|{command.Split(' ')[0].ToLowerInvariant()}' command in that MiMei", ann.Run($"MIMEI {command} {other}"));
            }
        }

        Assert.Equal("\"a\"", ann.Run("GET key"));
        Assert.StartsWith("[", ann.Run($"MIMEI INFO {_a}"), StringComparison.Ordinal);
        Assert.StartsWith("[", ann.Run($"MIMEI SHOW {_a}"), StringComparison.Ordinal);
        Assert.StartsWith("\"", ann.RunToEnd($"MIMEI CID {_a}"), StringComparison.Ordinal);
        Assert.Equal("[]", ann.Run("MIMEI VERSIONS"));
    }

    [Fact]
    public void MIMEI_LIST_shows_those_that_one_may_read_and_no_others()
    {
        string open = _db.Run("MIMEI CREATE DB MARK open RIGHT 1").Trim('"'), fallback = _db.Server.Mimeis.Default.Id.ToString();
        string[] all = [fallback, _a, _b, open];
        Assert.Equal(all.Order(StringComparer.Ordinal), Listed(_db.Default));

        // Who is let in by lists: what he may read, wherever he is bound, and as it is now.
        Give(_a, _ann, "read");
        Give(_b, _ann, "write");
        InProcess.Client ann = _db.Connect();
        Assert.Equal("+OK", LogIn(ann, _ann));
        Assert.Equal(Sorted(_a, open), Listed(ann));
        Assert.Equal("+OK", ann.Run($"MIMEI OPEN {_b}"));
        Assert.Equal(Sorted(_a, open), Listed(ann));
        Give(_b, _ann, "read");
        Give(_a, _ann, "none");
        Assert.Equal(Sorted(_b, open), Listed(ann));

        // The node's author reads all that lies on it.
        InProcess.Client owner = _db.Connect();
        Assert.Equal("+OK", LogIn(owner, _author, _a));
        Assert.Equal(all.Order(StringComparer.Ordinal), Listed(owner));

        // Users of the configuration: where they may be bound.
        _db.Prepare("ACL SETUSER reader on >r ~* +@read +mimei|open +mimei|list", "ACL SETUSER here on >h ~* +@all -mimei|open", "ACL SETUSER none on >n ~* +@all -mimei");
        InProcess.Client reader = _db.Connect(), here = _db.Connect(), none = _db.Connect();
        Assert.Equal("+OK", reader.Run("AUTH reader r"));
        Assert.Equal(all.Order(StringComparer.Ordinal), Listed(reader));
        Assert.Equal("+OK", here.Run("AUTH here h"));
        Assert.Equal([fallback], Listed(here));
        Assert.Equal("+OK", none.Run("AUTH none n"));
        Refuses(none, "MIMEI LIST");
    }

    private static string[] Sorted(params string[] ids) => [.. ids.Order(StringComparer.Ordinal)];

    private string[] Listed(InProcess.Client client) => Sorted([.. System.Text.RegularExpressions.Regex.Matches(client.RunToEnd("MIMEI LIST"), "\"mid\", \"([^\"]+)\"").Select(static m => m.Groups[1].Value)]);

    [Fact]
    public void A_right_that_was_given_to_the_peer_id_of_a_users_key_is_that_users()
    {
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} USER {_ann.PublicKey.PeerId} read"));
        InProcess.Client ann = _db.Connect();
        Assert.Equal("+OK", LogIn(ann, _ann, _a));
        Assert.Equal("\"a\"", ann.Run("GET key"));
        Assert.Contains("[\"read\"]", ann.Run($"MIMEI RIGHT GET {_a}"), StringComparison.Ordinal);
        Assert.Contains("[\"read\"]", ann.Run($"MIMEI RIGHT GET {_a} USER {_ann.PublicKey.PeerId}"), StringComparison.Ordinal);
        Assert.StartsWith("-NOPERM", ann.Run($"MIMEI RIGHT GET {_a} USER {_bob.PublicKey.PeerId}"), StringComparison.Ordinal);
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} USER {_ann.PublicKey.PeerId} write"));
        Refuses(ann, "GET key");
        Assert.Equal("+OK", ann.Run("SET key 2"));
    }

    /// <summary>What came without being asked for.</summary>
    private static string Pushed(InProcess.Client client)
    {
        string all = "";
        while (client.Take() is { } one) all += one;
        return all;
    }

    [Theory]
    [InlineData("messages", "")]
    [InlineData("messages write", "")]
    [InlineData("messages read", "__keyspace@0__:key set __keyevent@0__:set key ")]
    public void What_happens_to_keys_is_heard_by_who_may_read_them(string rights, string heard)
    {
        _db.Prepare("CONFIG SET notify-keyspace-events KEA", $"MIMEI OPEN {_a}");
        Give(_a, _ann, rights);
        InProcess.Client ann = _db.Connect(), node = _db.Connect();
        Assert.Equal("+OK", LogIn(ann, _ann, _a));
        _ = node.Run($"MIMEI OPEN {_a}");
        _ = ann.Run("PSUBSCRIBE *");
        _ = ann.Run("SUBSCRIBE __keyevent@0__:set __keyspace@0__:key talk");
        _ = Pushed(ann);
        _ = _db.Run("SET key 2");
        string got = Pushed(ann);
        foreach (string part in heard.Split(' ', StringSplitOptions.RemoveEmptyEntries)) Assert.Contains(part, got, StringComparison.Ordinal);
        Assert.Equal(heard.Length > 0, got.Length > 0);

        // What somebody says is heard as before.
        _ = _db.Run("PUBLISH talk hello");
        Assert.Contains("hello", Pushed(ann), StringComparison.Ordinal);
    }

    [Fact]
    public void Each_right_lets_do_its_own_and_no_other()
    {
        _db.Prepare($"MIMEI OPEN {_a}");
        Assert.Equal(":1", _db.Default.RunToEnd("MIMEI BACKUP"));
        (string Right, string[] Commands)[] all =
        [
            ("read", ["GET key", "SCAN 0", "MIMEI VERSIONS", "MIMEI DIFF 1 cur", "MIMEI LOG", "MIMEI CID", "CLIENT TRACKING on"]),
            ("write", ["SET other 1", "DEL other", "MIMEI RESTORE 1"]),
            ("backup", ["MIMEI BACKUP"]),
            ("publish", ["MIMEI RELEASE 1"]),
            ("grant", [$"MIMEI GROUP LIST {_a}"]),
            ("messages", ["PUBLISH c m"]),
            ("scripts", ["EVAL 'return 1' 0"]),
        ];
        Assert.Equal(MimeiRightWords.All, all.Select(static one => one.Right));
        foreach ((string right, _) in all)
        {
            Give(_a, _ann, right);
            foreach ((string of, string[] commands) in all)
            {
                foreach (string command in commands)
                {
                    InProcess.Client ann = _db.Connect();
                    Assert.Equal("+OK", LogIn(ann, _ann, _a));
                    string may = ann.Run($"MIMEI MAY {command}"), reply = ann.RunToEnd(command);
                    Assert.True(may == (of == right ? ":1" : ":0"), $"with {right}, of {command} it is said {may}");
                    Assert.True(reply.StartsWith("-NOPERM", StringComparison.Ordinal) == (of != right) && (of != right || !reply.StartsWith('-')), $"with {right}, {command} replied {reply}");
                    Assert.Contains($"[\"{right}\"]", ann.Run($"MIMEI RIGHT GET {_a}"), StringComparison.Ordinal);
                    ann.Dispose();
                }
            }
        }
    }

    [Fact]
    public void Every_command_on_MiMei_either_asks_for_a_right_or_is_not_for_people_in_lists()
    {
        Give(_a, _ann, "all");
        Assert.Equal("-ERR Command 'nothing' not found", _db.Run("MIMEI MAY nothing"));
        string[] free = ["id", "list", "may"]; // which tell him of what is his alone
        foreach (CommandSpec spec in MimeiCommands.Mimei.Subcommands)
        {
            InProcess.Client ann = _db.Connect();
            Assert.Equal("+OK", LogIn(ann, _ann, _a));

            // With all rights to one MiMei, and the other in each place where a word can stand.
            string words = string.Join(' ', Enumerable.Repeat(_b, Math.Max(0, Math.Abs(spec.Arity) - 2)));
            string reply = ann.Run($"MIMEI {spec.Name} {words}");
            bool isAsked = spec.Need is not null;
            if (!isAsked && !free.Contains(spec.Name)) Assert.StartsWith("-NOPERM", reply, StringComparison.Ordinal);
            if (isAsked && spec.Need!.MidAt > 0 && Math.Abs(spec.Arity) > spec.Need.MidAt) Assert.StartsWith("-NOPERM", reply, StringComparison.Ordinal);
            Assert.DoesNotContain("\"b\"", ann.Run("GET key"), StringComparison.Ordinal);
            ann.Dispose();
        }
    }

    [Fact]
    public void A_user_in_several_MiMei_has_in_each_what_that_one_gives()
    {
        Give(_a, _ann, "read write");
        Give(_b, _ann, "read");
        InProcess.Client ann = _db.Connect();
        Assert.Equal("+OK", LogIn(ann, _ann));
        Refuses(ann, "GET key", "SET key 1", "CLIENT TRACKING on BCAST", "MIMEI VERSIONS");
        Assert.Equal("+OK", ann.Run($"MIMEI OPEN {_a}"));
        Assert.Equal("+OK", ann.Run("SET key mine"));
        Assert.Equal("+OK", ann.Run($"MIMEI OPEN {_b}"));
        Assert.Equal("\"b\"", ann.Run("GET key"));
        Refuses(ann, "SET key mine");
        Assert.Equal("+OK", ann.Run("MULTI"));
        Refuses(ann, "SET key mine");
        Assert.StartsWith("-EXECABORT", ann.Run("EXEC"), StringComparison.Ordinal);
        Assert.Equal("+RESET", ann.Run("RESET"));
        Assert.Equal("\"default\"", ann.Run("GET key")); // the default user again, on this machine
    }

    [Fact]
    public void The_owner_of_a_MiMei_and_of_the_node_has_all_rights_to_it_and_none_to_the_node()
    {
        InProcess.Client owner = _db.Connect();
        Assert.Equal("+OK", LogIn(owner, _author, _a));
        Assert.Equal("+OK", owner.Run("SET key 1"));
        Assert.Equal(":1", owner.RunToEnd("MIMEI BACKUP"));
        Assert.Equal("+OK", owner.Run($"MIMEI RIGHT SET {_a} EVERYONE read"));
        Assert.Equal("+OK", owner.Run($"MIMEI OPEN {_b}"));
        Refuses(owner, "CONFIG GET *", "FLUSHALL", "MIMEI CREATE DB");

        // Who made a MiMei owns it on anybody's node.
        MimeiInfo foreign = new(_bob.PublicKey.Protobuf.ToArray(), "", "", "theirs", MimeiType.Database);
        MimeiEntry entry = _db.Server.Mimeis.Add(new MimeiRecord(foreign.Id) { Author = _bob.PublicKey.Id });
        Assert.Equal(MimeiRight.All, entry.RightsOf(Caller(_bob)));
        Assert.Equal(MimeiRight.All, entry.RightsOf(Caller(_author)));
        Assert.Equal(MimeiRight.None, entry.RightsOf(Caller(_ann)));
        Assert.Equal(MimeiRight.None, entry.RightsOf(MimeiCaller.Nobody));
    }

    [Fact]
    public void A_change_of_the_list_is_felt_by_who_is_connected_at_once()
    {
        Give(_a, _ann, "read write messages");
        InProcess.Client ann = _db.Connect(), queued = _db.Connect(), blocked = _db.Connect(), subscribed = _db.Connect(), open = _db.Connect(), caching = _db.Connect();
        foreach (InProcess.Client one in (InProcess.Client[])[ann, queued, blocked, subscribed, open, caching]) Assert.Equal("+OK", LogIn(one, _ann, _a));
        Assert.Equal("+OK", ann.Run("SET key 1"));
        queued.Run("MULTI");
        Assert.Equal("+QUEUED", queued.Run("SET key queued"));
        Assert.Equal("(none)", blocked.Run("BLPOP list 0"));
        subscribed.Run("SUBSCRIBE c");
        Assert.Equal("+OK", open.Run("BEGIN"));
        Assert.Equal("+OK", open.Run("SET key open"));
        Assert.StartsWith("%", caching.Run("HELLO 3"), StringComparison.Ordinal);
        Assert.Equal("+OK", caching.Run("CLIENT TRACKING on BCAST"));
        Give(_a, _ann, "read");
        Refuses(ann, "SET key 2", "PUBLISH c m");
        Assert.Equal("\"1\"", ann.Run("GET key"));
        Assert.StartsWith("[-NOPERM", queued.Run("EXEC"), StringComparison.Ordinal);
        Assert.False(ann.IsClosed);
        Assert.True(subscribed.IsClosed);
        Assert.True(open.IsClosed);
        Assert.True(caching.IsClosed);
        _db.Prepare($"MIMEI OPEN {_a}", "RPUSH list x");
        Assert.StartsWith("-NOPERM", blocked.Take(), StringComparison.Ordinal);
        Assert.Equal("\"1\"", _db.Run("GET key"));
        Give(_a, _ann, "read write");
        Assert.Equal("+OK", ann.Run("SET key 3"));
        Assert.Equal(":1", _db.Run($"MIMEI RIGHT DEL {_a} USER {Id(_ann)}"));
        Assert.True(ann.IsClosed);
        Assert.Equal(NoRight, LogIn(_db.Connect(), _ann, _a));
    }

    [Fact]
    public void A_group_gives_its_members_what_it_has_and_takes_it_from_those_who_leave()
    {
        _db.Prepare($"MIMEI GROUP ADD {_a} family {Id(_ann)} {Id(_bob)}", $"MIMEI RIGHT SET {_a} GROUP family read");
        InProcess.Client ann = _db.Connect(), bob = _db.Connect();
        Assert.Equal("+OK", LogIn(ann, _ann, _a));
        Assert.Equal("+OK", LogIn(bob, _bob, _a));
        _db.Prepare($"MIMEI GROUP DEL {_a} family {Id(_bob)}");
        Assert.Equal("\"a\"", ann.Run("GET key"));
        Assert.True(bob.IsClosed);
        Refuses(ann, "SET key 1");
        _db.Prepare($"MIMEI RIGHT SET {_a} GROUPS read write", $"MIMEI RIGHT SET {_a} GROUP family default");
        Assert.Equal("+OK", ann.Run("SET key 1"));
        _db.Prepare($"MIMEI GROUP DEL {_a} family");
        Assert.True(ann.IsClosed);
    }

    [Fact]
    public void Who_may_give_rights_gives_those_that_he_has_and_no_others()
    {
        Give(_a, _ann, "read grant");
        InProcess.Client ann = _db.Connect();
        Assert.Equal("+OK", LogIn(ann, _ann, _a));
        Assert.Equal("+OK", ann.Run($"MIMEI RIGHT SET {_a} USER {Id(_bob)} read"));
        Assert.Equal(":1", ann.Run($"MIMEI GROUP ADD {_a} readers {Id(_bob)}"));
        foreach (string more in (string[])[
            $"RIGHT SET {_a} USER {Id(_ann)} all", $"RIGHT SET {_a} USER {Id(_bob)} read write", $"RIGHT SET {_a} EVERYONE read write", $"RIGHT SET {_a} MEMBERS write", $"RIGHT SET {_a} 65535"])
        {
            Assert.StartsWith("-NOPERM who has not the right himself neither gives nor takes it: ", ann.Run("MIMEI " + more), StringComparison.Ordinal);
        }

        // Nor bits that have no meaning yet: a later version may give them one.
        foreach (ulong later in (ulong[])[0x80, 0x80_00, 0x80_00_00, 1UL << 32, 1UL << 63])
        {
            Assert.StartsWith("-NOPERM", ann.Run($"MIMEI RIGHT SET {_a} {later}"), StringComparison.Ordinal);
        }

        _db.Prepare($"MIMEI RIGHT SET {_a} {0x80}");
        Assert.StartsWith("-NOPERM", ann.Run($"MIMEI RIGHT SET {_a} 0"), StringComparison.Ordinal);
        Assert.Equal("+OK", ann.Run($"MIMEI RIGHT SET {_a} {0x81}"));

        // Nor by a group that has them already.
        _db.Prepare($"MIMEI GROUP ADD {_a} writers {Id(_author)}", $"MIMEI RIGHT SET {_a} GROUP writers write");
        Assert.StartsWith("-NOPERM", ann.Run($"MIMEI GROUP ADD {_a} writers {Id(_ann)}"), StringComparison.Ordinal);
        Assert.StartsWith("-NOPERM", ann.Run($"MIMEI GROUP DEL {_a} writers"), StringComparison.Ordinal);

        // Whoever may not give any is told of his own alone.
        InProcess.Client bob = _db.Connect();
        Assert.Equal("+OK", LogIn(bob, _bob, _a));
        Assert.Equal($"[\"mid\", \"{_a}\", \"user\", \"{Id(_bob)}\", \"rights\", [\"read\"], \"mask\", :1]", bob.Run($"MIMEI RIGHT GET {_a}"));
        Assert.StartsWith("-NOPERM", bob.Run($"MIMEI RIGHT GET {_a} USER {Id(_ann)}"), StringComparison.Ordinal);
    }

    [Fact]
    public void Who_one_is_has_to_be_proved_and_nobody_says_it_of_another()
    {
        Give(_a, _ann, "read");
        Passport login = Login(_ann, _a);
        byte[] block = login.Sign(_ann);
        InProcess.Client client = _db.Connect(), thief = _db.Connect();
        Assert.StartsWith("-WRONGPASS the passport asks for a proof", client.Run($"AUTH passport {Passport.ToText(block)}"), StringComparison.Ordinal);
        string proved = Passport.ToText(block, _ann, Challenge(client), _node.PublicKey.Id);
        Challenge(thief);
        Assert.StartsWith("-WRONGPASS the proof", thief.Run($"AUTH passport {proved}"), StringComparison.Ordinal);
        Assert.Equal("+OK", client.Run($"AUTH passport {proved}"));
        Assert.Throws<ArgumentException>(() => (login with { NeedsProof = false }).Sign(_ann));
        Assert.Throws<ArgumentException>(() => (login with { Issuer = _author.PublicKey }).Sign(_author));
        Assert.Throws<ArgumentException>(() => (login with { Rights = PassportRights.Login | PassportRights.Read }).Sign(_ann));
        Assert.Throws<ArgumentException>(() => (login with { Keys = ["a*"] }).Sign(_ann));
        Assert.Contains("\"valid\", \"yes\"", _db.Run($"PASSPORT CHECK {Passport.ToText(block)}"), StringComparison.Ordinal);
        Assert.Contains("no MiMei here gives this user a right", _db.Run($"PASSPORT CHECK {Passport.ToText(Login(_bob, _a).Sign(_bob))}"), StringComparison.Ordinal);

        // It ends, and can be revoked, as any.
        Assert.Equal("+OK", _db.Run($"PASSPORT REVOKE {login.SerialText}"));
        Assert.True(client.IsClosed);
    }

    [Fact]
    public void From_elsewhere_a_stranger_who_says_who_he_is_stays_outside()
    {
        InProcess.Client stranger = _db.ConnectFrom("10.0.0.1:1"), ann = _db.ConnectFrom("10.0.0.2:1");
        Assert.Equal(NoRight, LogIn(stranger, _bob, _a));
        Assert.StartsWith("-DENIED", stranger.Run("PING"), StringComparison.Ordinal);
        Give(_a, _ann, "read");
        Assert.Equal("+OK", LogIn(ann, _ann, _a));
        Assert.Equal("\"a\"", ann.Run("GET key"));
        _db.Prepare($"MIMEI RIGHT DEL {_a} USER {Id(_ann)}");
        Assert.True(ann.IsClosed);
    }

    [Fact]
    public void A_passport_of_the_author_grants_what_it_says_whatever_the_list_says()
    {
        InProcess.Client client = _db.Connect();
        Passport passport = new() { Issuer = _author.PublicKey, Subject = _ann.PublicKey, Mid = LeitherId.Parse(_a), From = 0, End = long.MaxValue, Rights = PassportRights.Read };
        Assert.Equal("+OK", client.Run($"AUTH passport {Passport.ToText(passport.Sign(_author))}"));
        Assert.Equal("\"a\"", client.Run("GET key"));
        Give(_a, _ann, "write");
        Refuses(client, "SET key 1", $"MIMEI OPEN {_b}", $"MIMEI RIGHT GET {_a}");
        Assert.Equal("\"a\"", client.Run("GET key"));
    }

    [Fact]
    public void What_the_disk_does_not_take_is_as_it_was()
    {
        string path = Path.Combine(_store.PathOf(LeitherId.Parse(_a)), "rights");
        Directory.CreateDirectory(path);
        Assert.StartsWith("-ERR", _db.Run($"MIMEI RIGHT SET {_a} EVERYONE read"), StringComparison.Ordinal);
        Assert.Contains("\"mask\", \"0\"", _db.Run($"MIMEI RIGHT GET {_a}"), StringComparison.Ordinal);
        Assert.Equal(NoRight, LogIn(_db.Connect(), _ann, _a));
        Directory.Delete(path);
    }

    [Fact]
    public void Other_nodes_are_given_what_a_changed_list_lets_them_have()
    {
        var replicas = new FakeReplication();
        _db.Server.Replicas = replicas;
        Assert.Equal("+OK", _db.Run($"MIMEI RIGHT SET {_a} EVERYONE read"));
        Assert.Equal([$"rights {_a}"], replicas.Asked);
        string open = _db.Run("MIMEI CREATE DB MARK open RIGHT 1").Trim('"');
        Assert.Equal($"rights {open}", replicas.Asked[^1]);
        Give(_a, _ann, "publish");
        InProcess.Client ann = _db.Connect();
        Assert.Equal("+OK", LogIn(ann, _ann, _a));
        Assert.StartsWith("[", ann.Run($"MIMEI PUBLISH {_a}"), StringComparison.Ordinal);
        Assert.Equal($"publish {_a} all", replicas.Asked[^1]);
        Refuses(ann, $"MIMEI PUBLISH {_b}", $"MIMEI PROVIDE {_a}", $"MIMEI FINDPROVS {_a}");
        Assert.Equal($"publish {_a} all", replicas.Asked[^1]);

        // One that is not here would be asked for with this node's own key.
        Refuses(ann, $"MIMEI OPEN {LeitherId.Of("elsewhere"u8)}", $"MIMEI SHOW {LeitherId.Of("elsewhere"u8)}");
        Assert.Equal($"publish {_a} all", replicas.Asked[^1]);
    }

    // ------------------------------------------------------------------ helpers

    private static string Id(PrivateKey key) => key.PublicKey.Id.ToString();

    private static MimeiCaller Caller(PrivateKey key) => MimeiCaller.Of(key.PublicKey.Id);

    private static void Refuses(InProcess.Client client, params ReadOnlySpan<string> commands)
    {
        foreach (string command in commands)
        {
            string reply = client.Run(command);
            Assert.True(reply.StartsWith("-NOPERM", StringComparison.Ordinal), $"{command} replied {reply}");
        }
    }

    private void Give(string mid, PrivateKey user, string rights) => _db.Prepare($"MIMEI RIGHT SET {mid} USER {Id(user)} {rights}");

    private Passport Login(PrivateKey user, string? mid) => new()
    {
        Issuer = user.PublicKey,
        Subject = user.PublicKey,
        Mid = mid is null ? null : LeitherId.Parse(mid),
        From = (_db.Server.NowMs / 1000) - 10,
        End = (_db.Server.NowMs / 1000) + 1000,
        Rights = PassportRights.Login,
        NeedsProof = true,
    };

    private string LogIn(InProcess.Client client, PrivateKey user, string? mid = null)
    {
        byte[] block = Login(user, mid).Sign(user);
        return client.Run($"AUTH passport {Passport.ToText(block, user, Challenge(client), _node.PublicKey.Id)}");
    }

    private static byte[] Challenge(InProcess.Client client) => Convert.FromHexString(client.Run("PASSPORT CHALLENGE").Split('"')[1]);
}
