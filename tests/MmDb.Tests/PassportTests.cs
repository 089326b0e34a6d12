// Passports: what they let in, what they keep out, and how they end. Time is the test's.

using System.Security.Cryptography;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Acl;
using Leither.MmDb.Commands;
using Leither.MmDb.Passports;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class PassportTests : IDisposable
{
    private readonly FolderMimeiStore _store;
    private readonly InProcess _db;
    private readonly TempDir _folder = new();
    private readonly PrivateKey _author = PrivateKey.Generate(), _subject = PrivateKey.Generate(), _stranger = PrivateKey.Generate(), _node = PrivateKey.Generate();
    private readonly string _mid;

    public PassportTests()
    {
        _db = FolderMimeiStore.Serve(out _store, _author);
        _db.Server.NodeId = _node.PublicKey.Id;
        _db.Server.WorkFolder = _folder.Path;
        _mid = _db.Run("MIMEI CREATE DB MARK one").Trim('"');
        _db.Prepare("SET default:key 1");
    }

    public void Dispose()
    {
        _db.Server.Mimeis.CloseLogs();
        _db.Dispose();
        _store.Dispose();
        _folder.Dispose();
        foreach (PrivateKey key in (PrivateKey[])[_author, _subject, _stranger, _node]) key.Dispose();
    }

    [Fact]
    public void A_passport_is_what_it_is_for_ever()
    {
        using PrivateKey issuer = PrivateKey.FromSeed(new byte[32]), subject = PrivateKey.FromSeed(Enumerable.Repeat((byte)7, 32).ToArray());
        Passport passport = new()
        {
            Issuer = issuer.PublicKey,
            Subject = subject.PublicKey,
            Mid = new LeitherId(new byte[20]),
            From = 1_700_000_000,
            End = 1_800_000_000,
            Rights = PassportRights.Read | PassportRights.Write,
            Keys = ["app:*"],
            NeedsProof = true,
            Serial = new byte[16],
        };
        byte[] block = passport.Sign(issuer);
        Assert.Equal(
            "ac63656e641a6b49d200636d696454000000000000000000000000000000000000000063736967",
            Convert.ToHexStringLower(block.AsSpan(0, 39)));
        Assert.Equal("3ecfe12e1151de43969905f49711ed07f88efcec032b8875e79188e4cde264a3", Convert.ToHexStringLower(SHA256.HashData(block)));
        Assert.True(Passport.TryParse(Passport.ToText(block), out byte[]? parsed, out byte[]? proof));
        Assert.Equal(block, parsed);
        Assert.Null(proof);
        Assert.True(Passport.TryRead(block, out Passport? read, out _));
        Assert.Equal(block, read.Sign(issuer));
    }

    [Fact]
    public void No_bit_of_it_can_be_changed()
    {
        byte[] block = Signed(Usual());
        for (int bit = 0; bit < block.Length * 8; bit++)
        {
            byte[] changed = [.. block];
            changed[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(Passport.TryRead(changed, out _, out PassportRefusal refusal), $"bit {bit}");
            Assert.True(refusal is PassportRefusal.Forged or PassportRefusal.Malformed);
        }

        for (int length = 0; length < block.Length; length++) Assert.False(Passport.TryRead(block.AsSpan(0, length), out _, out _));
        Assert.False(Passport.TryRead([.. block, 0], out _, out _));
    }

    [Fact]
    public void It_lets_into_its_MiMei_with_its_keys_and_commands_and_nowhere_else()
    {
        InProcess.Client client = _db.Connect();
        Assert.Equal("+OK", LogIn(client, Usual() with { Keys = ["app:*"], Rights = PassportRights.Read | PassportRights.Write }));
        Assert.Contains(_mid, client.Run("MIMEI ID"), StringComparison.Ordinal);
        Assert.Equal($"\"passport:{_subject.PublicKey.Id}\"", client.Run("ACL WHOAMI"), ignoreCase: true);
        Assert.Equal("+OK", client.Run("SET app:a 1"));
        Assert.Equal("\"1\"", client.Run("GET app:a"));
        Assert.Equal("nil", _db.Run("GET app:a"));
        Assert.Equal("+OK", client.Run("MULTI"));
        Assert.Equal("+QUEUED", client.Run("INCR app:a"));
        Assert.Equal("[:2]", client.Run("EXEC"));
        foreach ((string command, string may) in ((string, string)[])[("SET app:b 1", ":1"), ("SET other 1", ":0"), ("SET", ":1"), ("FLUSHALL", ":0"), ("MIMEI OPEN", ":0"), ("MIMEI BACKUP", ":0"), ("DEL app:a other", ":0")])
        {
            Assert.Equal(may, client.Run($"MIMEI MAY {command}"));
        }

        Assert.Equal("nil", client.Run("GET app:b"));
        string list = client.Run("MIMEI LIST");
        Assert.StartsWith($"[[\"mid\", \"{_mid}\"", list, StringComparison.Ordinal);
        Assert.Single(System.Text.RegularExpressions.Regex.Matches(list, "\"mid\""));
        foreach (string refused in (string[])[
            "GET other", "SET other 1", "KEYS *", "FLUSHALL", "CONFIG GET *", "MIMEI OPEN default", "MIMEI CREATE DB", "EVAL 'return 1' 0", "SUBSCRIBE c",
            "ACL LIST", "SHUTDOWN", "REPLICAOF h 1", "MIGRATE h 1 app:a 0 10", "MONITOR", "CLIENT LIST", "PASSPORT LIST", "PASSPORT REVOKE 00000000000000000000000000000000", "SAVE", "SLOWLOG GET"])
        {
            Assert.StartsWith("-NOPERM", client.Run(refused), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Reading_is_not_writing_and_writing_is_not_reading()
    {
        InProcess.Client reader = _db.Connect(), writer = _db.Connect(), talker = _db.Connect();
        Assert.Equal("+OK", LogIn(reader, Usual() with { Rights = PassportRights.Read }));
        Assert.Equal("+OK", LogIn(writer, Usual() with { Rights = PassportRights.Write }));
        Assert.Equal("+OK", LogIn(talker, Usual() with { Rights = PassportRights.Messages }));
        Assert.Equal("+OK", writer.Run("SET a 1"));
        Assert.Equal("\"1\"", reader.Run("GET a"));
        Assert.StartsWith("-NOPERM", reader.Run("SET a 2"), StringComparison.Ordinal);
        Assert.StartsWith("-NOPERM", writer.Run("GET a"), StringComparison.Ordinal);
        Assert.StartsWith("-NOPERM", writer.Run("GETSET a 2"), StringComparison.Ordinal);
        Assert.StartsWith("-NOPERM", talker.Run("GET a"), StringComparison.Ordinal);
        Assert.Equal(":0", talker.Run("PUBLISH c m"));
    }

    [Fact]
    public void Files_are_read_with_the_right_to_read_and_changed_with_that_to_write()
    {
        Passport files = Usual() with { Mid = LeitherId.Parse(_db.Run("MIMEI CREATE FILE MARK files").Trim('"')) };
        InProcess.Client reader = _db.Connect(), writer = _db.Connect(), some = _db.Connect(), maker = _db.Connect();
        Assert.Equal("+OK", LogIn(reader, files with { Rights = PassportRights.Read }));
        Assert.Equal("+OK", LogIn(writer, files with { Rights = PassportRights.Write }));
        Assert.Equal("+OK", LogIn(some, files with { Keys = ["app:*"] }));
        Assert.Equal("+OK", LogIn(maker, files with { Rights = PassportRights.Versions }));
        string cid = Cid.Of(Multicodec.Raw, "content"u8).ToString();
        string[] reading = ["MIMEI GET", "MIMEI GET / COUNT 3", "MIMEI STAT", $"MIMEI BLOCK GET {cid}", $"MIMEI BLOCK MGET {cid}"];
        string[] writing = [$"MIMEI BLOCK MPUT {cid} content", $"MIMEI SETCID {cid}", "MIMEI ADD content PROFILE unixfs-v1-2025"];
        foreach (string command in writing)
        {
            Assert.StartsWith("-NOPERM", reader.Run(command), StringComparison.Ordinal);
            Assert.False(writer.Run(command).StartsWith('-'), command);
            Assert.Equal((":0", ":1"), (reader.Run($"MIMEI MAY {command}"), writer.Run($"MIMEI MAY {command}")));
        }

        Assert.Equal($"\"{cid}\"", writer.Run("MIMEI ADD content PROFILE unixfs-v1-2025"));
        foreach (string command in reading)
        {
            Assert.False(reader.Run(command).StartsWith('-'), command);
            Assert.StartsWith("-NOPERM", writer.Run(command), StringComparison.Ordinal);
            Assert.Equal((":1", ":0"), (reader.Run($"MIMEI MAY {command}"), writer.Run($"MIMEI MAY {command}")));
        }

        // Who may do something with some keys alone has no say in files, and versions are another right.
        foreach (string command in reading.Concat(writing))
        {
            Assert.StartsWith("-NOPERM", some.Run(command), StringComparison.Ordinal);
            Assert.StartsWith("-NOPERM", maker.Run(command), StringComparison.Ordinal);
        }

        Assert.StartsWith("-NOPERM", writer.Run("MIMEI BACKUP"), StringComparison.Ordinal);
        Assert.Equal(":1", maker.Run("MIMEI MAY MIMEI BACKUP"));
    }

    [Fact]
    public void No_right_but_admin_reaches_what_is_the_nodes()
    {
        PassportRights all = PassportRights.Read | PassportRights.Write | PassportRights.Messages | PassportRights.Scripts | PassportRights.Versions;
        string passport = Passport.ToText(Signed(Usual() with { Rights = all }));
        string[] allowed = ["mimei|id", "mimei|may", "mimei|list", "mimei|backup", "mimei|diff", "passport|challenge"];
        List<string> reached = [];
        foreach (CommandSpec spec in CommandTable.Shared.All.SelectMany(static s => s.Subcommands.Length > 0 ? s.Subcommands : [s]).Where(static s => s.Group == CommandGroup.Mimei))
        {
            InProcess.Client client = _db.Connect();
            Assert.Equal("+OK", client.Run($"AUTH passport {passport}"));

            // Too few words are told of before rights are looked at, so there are enough.
            string words = string.Join(' ', Enumerable.Repeat("x", Math.Max(0, Math.Abs(spec.Arity) - spec.FullName.Split('|').Length)));
            string reply = client.Run($"{spec.FullName.Replace('|', ' ')} {words}");
            if (!reply.StartsWith("-NOPERM", StringComparison.Ordinal) && !allowed.Contains(spec.FullName)) reached.Add(spec.FullName);
        }

        Assert.True(!reached.Except(ReachesItsOwnDataOnly).Any(), string.Join(" ", reached.Except(ReachesItsOwnDataOnly)));
    }

    /// <summary>Leither's own data commands, which work on keys or files of the MiMei that the connection is bound to.</summary>
    private static readonly string[] ReachesItsOwnDataOnly =
    [
        "begin", "commit", "rollback", "getlastseq", "hclear", "hmclear", "hrangescan", "hrevscan", "lclear", "lmclear", "sclear", "smclear", "zaddwithseq", "zclear", "zmclear",
        "mimei|add", "mimei|block", "mimei|get", "mimei|ls", "mimei|setcid", "mimei|stat",
    ];

    [Fact]
    public void Who_did_not_sign_it_has_no_say()
    {
        InProcess.Client client = _db.Connect();
        Assert.Equal("-WRONGPASS the passport's issuer has no say in what it is about", LogIn(client, Usual() with { Issuer = _stranger.PublicKey }, _stranger));
        Assert.Equal("-WRONGPASS the passport's issuer has no say in what it is about", LogIn(client, Usual() with { Issuer = _stranger.PublicKey, Mid = null }, _stranger));
        Assert.Equal("-WRONGPASS the passport's issuer has no say in what it is about", LogIn(client, Usual() with { Issuer = _stranger.PublicKey, Mid = null, Rights = PassportRights.Admin }, _stranger));

        // Signed by one who names another as its issuer.
        byte[] block = Signed(Usual() with { Issuer = _stranger.PublicKey }, _stranger);
        int at = block.AsSpan().IndexOf(_stranger.PublicKey.Bytes);
        _author.PublicKey.Bytes.CopyTo(block.AsSpan(at));
        Assert.Equal("-WRONGPASS the passport was not signed by its issuer", client.Run($"AUTH passport {Passport.ToText(block)}"));
        foreach (string none in (string[])["x", "ppt1.", "ppt1.AAAA", "ppt1.****", "ppt1." + new string('A', Passport.MaxTextBytes), Passport.ToText(Signed(Usual())) + ".", Passport.ToText(Signed(Usual())) + "="])
        {
            Assert.Equal("-WRONGPASS that is no passport", client.Run($"AUTH passport {none}"));
        }

        // The author of a MiMei has a say in it on anybody's node, and in nothing else there.
        MimeiInfo foreign = new(_stranger.PublicKey.Protobuf.ToArray(), "", "", "theirs", MimeiType.Database);
        _db.Server.Mimeis.Store!.Create(foreign);
        Assert.True(_db.Server.Passports.HasSay(Usual() with { Issuer = _stranger.PublicKey, Mid = foreign.Id }));
        Assert.True(_db.Server.Passports.HasSay(Usual() with { Mid = foreign.Id }));
        Assert.False(_db.Server.Passports.HasSay(Usual() with { Issuer = _stranger.PublicKey, Mid = foreign.Id, Rights = PassportRights.Admin }));
    }

    [Fact]
    public void It_holds_in_its_time_and_on_its_node()
    {
        InProcess.Client client = _db.Connect();
        long now = Now;
        Assert.Equal("-WRONGPASS the passport does not hold yet", LogIn(client, Usual() with { From = now + 1 }));
        Assert.Equal("-WRONGPASS the passport has expired", LogIn(client, Usual() with { From = now - 10, End = now }));
        Assert.Equal("-WRONGPASS the passport is for another node", LogIn(client, Usual() with { Node = _stranger.PublicKey.Id }));
        Assert.Equal("+OK", LogIn(client, Usual() with { Node = _node.PublicKey.Id }));
        Assert.Equal("+OK", LogIn(client, Usual() with { Node = null }));
    }

    [Fact]
    public void When_it_ends_its_connections_have_no_rights_and_are_closed()
    {
        InProcess.Client client = _db.Connect(), queued = _db.Connect();
        Passport passport = Usual() with { End = Now + 100 };
        Assert.Equal("+OK", LogIn(client, passport));
        Assert.Equal("+OK", LogIn(queued, passport));
        queued.Run("MULTI");
        queued.Run("SET a 1");
        _db.Clock.Advance(99_000);
        Assert.Equal("nil", client.Run("GET a"));
        _db.Clock.Advance(1000);
        Assert.Equal("-NOPERM the passport that this connection came with does not hold any more", client.Run("GET a"));
        Assert.StartsWith("-", queued.Run("EXEC"), StringComparison.Ordinal);
        Assert.Equal("nil", _db.Run("GET a"));
        Assert.False(client.IsClosed);
        _db.Server.Cron(_db.Server.NowMs);
        Assert.True(client.IsClosed);
    }

    [Fact]
    public void What_is_revoked_lets_nobody_in_ever_again()
    {
        InProcess.Client client = _db.Connect(), other = _db.Connect();
        Passport passport = Usual();
        string text = Passport.ToText(Signed(passport));
        Assert.Equal("+OK", client.Run($"AUTH passport {text}"));
        Assert.Equal("+OK", other.Run($"AUTH passport {Passport.ToText(Signed(Usual()))}"));
        Assert.Equal("+OK", _db.Run($"PASSPORT REVOKE {text}"));
        Assert.True(client.IsClosed);
        Assert.False(other.IsClosed);
        Assert.Equal("-WRONGPASS the passport was revoked", _db.Connect().Run($"AUTH passport {text}"));
        Assert.Contains(passport.SerialText, _db.Run("PASSPORT LIST"), StringComparison.Ordinal);
        Assert.Contains("the passport was revoked", _db.Run($"PASSPORT CHECK {text}"), StringComparison.Ordinal);

        // By its number alone, and in letters of any case.
        Passport another = Usual();
        Assert.Equal("+OK", _db.Run($"PASSPORT REVOKE {another.SerialText.ToUpperInvariant()}"));
        Assert.Equal("-WRONGPASS the passport was revoked", LogIn(_db.Connect(), another));
        Assert.StartsWith("-ERR that is neither a passport nor a serial number", _db.Run("PASSPORT REVOKE x"), StringComparison.Ordinal);

        // A node that starts again remembers.
        using InProcess again = new();
        again.Server.WorkFolder = _folder.Path;
        again.Server.Passports.Load();
        Assert.Contains(passport.SerialText, again.Run("PASSPORT LIST"), StringComparison.Ordinal);
        Assert.Contains(another.SerialText, again.Run("PASSPORT LIST"), StringComparison.Ordinal);
        File.AppendAllText(Path.Combine(_folder.Path, "passports", "revoked"), "00 - 5\n");
        Assert.Contains("is no revoked passport", Assert.Throws<AclException>(again.Server.Passports.Load).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_proof_is_good_once_here_and_for_its_connection()
    {
        InProcess.Client client = _db.Connect(), thief = _db.Connect();
        byte[] block = Signed(Usual() with { NeedsProof = true });
        string bare = Passport.ToText(block);
        Assert.StartsWith("-WRONGPASS the passport asks for a proof", client.Run($"AUTH passport {bare}"), StringComparison.Ordinal);
        byte[] challenge = Challenge(client);
        string proved = Passport.ToText(block, _subject, challenge, _node.PublicKey.Id);
        Challenge(thief);
        Assert.Equal("-WRONGPASS the proof is not the subject's answer to the challenge", thief.Run($"AUTH passport {proved}"));
        Assert.Equal("+OK", client.Run($"AUTH passport {proved}"));
        Assert.StartsWith("-WRONGPASS the passport asks for a proof", client.Run($"AUTH passport {proved}"), StringComparison.Ordinal);

        challenge = Challenge(client);
        Assert.Equal("-WRONGPASS the proof is not the subject's answer to the challenge", client.Run($"AUTH passport {Passport.ToText(block, _stranger, challenge, _node.PublicKey.Id)}"));
        challenge = Challenge(client);
        Assert.Equal("-WRONGPASS the proof is not the subject's answer to the challenge", client.Run($"AUTH passport {Passport.ToText(block, _subject, challenge, _stranger.PublicKey.Id)}"));
        challenge = Challenge(client);
        _db.Clock.Advance(PassportOffice.ChallengeMs);
        Assert.StartsWith("-WRONGPASS the passport asks for a proof", client.Run($"AUTH passport {Passport.ToText(block, _subject, challenge, _node.PublicKey.Id)}"), StringComparison.Ordinal);
    }

    [Fact]
    public void It_is_shown_to_nobody()
    {
        InProcess.Client monitor = _db.Connect();
        _db.Prepare("CONFIG SET slowlog-log-slower-than 0");
        Assert.Equal("+OK", monitor.Run("MONITOR"));
        string text = Passport.ToText(Signed(Usual()));
        Assert.Equal("+OK", _db.Connect().Run($"AUTH passport {text}"));
        Assert.StartsWith("[", _db.Run($"PASSPORT CHECK {text}"), StringComparison.Ordinal);
        string seen = "";
        while (monitor.Take() is { } line) seen += line;
        foreach (string place in (string[])[seen, _db.Run("SLOWLOG GET 100"), _db.Run("ACL LOG"), _db.Run("INFO everything"), _db.Run("CLIENT LIST"), _db.Run("PASSPORT LIST")])
        {
            Assert.DoesNotContain(text[..40], place, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void From_elsewhere_it_is_the_one_thing_that_protected_mode_lets_in()
    {
        string text = Passport.ToText(Signed(Usual()));
        Assert.StartsWith("-DENIED", _db.ConnectFrom("10.0.0.1:1").Run("PING"), StringComparison.Ordinal);
        InProcess.Client client = _db.ConnectFrom("10.0.0.1:2");
        Assert.StartsWith("[", client.Run("PASSPORT CHALLENGE"), StringComparison.Ordinal);
        Assert.Equal("-WRONGPASS that is no passport", client.Run("AUTH passport x"));
        Assert.StartsWith("-DENIED", client.Run("GET a"), StringComparison.Ordinal);
        client = _db.ConnectFrom("10.0.0.1:3");
        Assert.StartsWith("[", client.Run($"HELLO 2 AUTH passport {text}"), StringComparison.Ordinal);
        Assert.Equal("nil", client.Run("GET a"));
        _db.Prepare("CONFIG SET protected-mode no", "CONFIG SET protected-mode yes");
        Assert.Equal("nil", client.Run("GET a"));
        Assert.Equal("+RESET", client.Run("RESET"));
        Assert.StartsWith("-DENIED", client.Run("GET a"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_user_of_the_name_passport_comes_first()
    {
        _db.Prepare("ACL SETUSER passport on >secret +@all ~*");
        Assert.Equal("+OK", _db.Connect().Run("AUTH passport secret"));
        Assert.StartsWith("-WRONGPASS", LogIn(_db.Connect(), Usual()), StringComparison.Ordinal);
    }

    [Fact]
    public void Who_guesses_has_to_wait_and_others_have_not()
    {
        _db.Prepare("ACL SETUSER ada on >secret +@all ~*");
        InProcess.Client guesser = _db.ConnectFrom("10.0.0.1:1"), other = _db.ConnectFrom("10.0.0.2:1");
        _db.Prepare("CONFIG SET protected-mode no");
        for (int i = 0; i <= LoginThrottle.FreeFailures; i++) Assert.StartsWith("-WRONGPASS", guesser.Run($"AUTH ada {i}"), StringComparison.Ordinal);

        // Not even the right one is tried meanwhile: the answer must not tell.
        foreach (string one in (string[])["AUTH ada secret", "AUTH ada wrong", "HELLO 2 AUTH ada secret", "AUTH passport x"])
        {
            Assert.StartsWith("-ERR too many failed logins from this address", guesser.Run(one), StringComparison.Ordinal);
        }

        Assert.StartsWith("-ERR too many", _db.ConnectFrom("10.0.0.1:7").Run("AUTH ada secret"), StringComparison.Ordinal);
        Assert.Equal("+OK", other.Run("AUTH ada secret"));
        _db.Clock.Advance(250);
        Assert.StartsWith("-WRONGPASS", guesser.Run("AUTH ada wrong"), StringComparison.Ordinal);
        _db.Clock.Advance(250);
        Assert.StartsWith("-ERR too many", guesser.Run("AUTH ada secret"), StringComparison.Ordinal);
        _db.Clock.Advance(250);
        Assert.Equal("+OK", guesser.Run("AUTH ada secret"));
        Assert.StartsWith("-WRONGPASS", guesser.Run("AUTH ada wrong"), StringComparison.Ordinal);
        Assert.Equal("+OK", guesser.Run("AUTH ada secret"));
    }

    [Fact]
    public void A_password_of_ones_own_is_no_licence_to_guess_anothers()
    {
        _db.Prepare("ACL SETUSER ada on >secret +@all ~*", "ACL SETUSER bob on >mine +@all ~*", "CONFIG SET protected-mode no");
        InProcess.Client guesser = _db.ConnectFrom("10.0.0.1:1");
        for (int i = 0; i < LoginThrottle.FreeFailures; i++)
        {
            Assert.StartsWith("-WRONGPASS", guesser.Run($"AUTH ada {i}"), StringComparison.Ordinal);
            Assert.Equal("+OK", guesser.Run("AUTH bob mine"));
        }

        Assert.StartsWith("-WRONGPASS", guesser.Run("AUTH ada wrong"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR too many failed logins", guesser.Run("AUTH ada secret"), StringComparison.Ordinal);

        // Nor is a failure of one's own among them.
        InProcess.Client careful = _db.ConnectFrom("10.0.0.2:1");
        for (int i = 0; i < LoginThrottle.FreeFailures / 2; i++)
        {
            Assert.StartsWith("-WRONGPASS", careful.Run($"AUTH ada {i}"), StringComparison.Ordinal);
            Assert.StartsWith("-WRONGPASS", careful.Run("AUTH bob wrong"), StringComparison.Ordinal);
            Assert.Equal("+OK", careful.Run("AUTH bob mine"));
        }

        Assert.StartsWith("-WRONGPASS", careful.Run("AUTH ada wrong"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR too many failed logins", careful.Run("AUTH ada secret"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_passport_makes_nobody_forget_how_often_its_owner_guessed_passwords()
    {
        _db.Prepare("ACL SETUSER ada on >secret +@all ~*", "CONFIG SET protected-mode no");
        InProcess.Client guesser = _db.ConnectFrom("10.0.0.1:1"), guest = _db.ConnectFrom("10.0.0.1:2");
        for (int i = 0; i < LoginThrottle.FreeFailures; i++) Assert.StartsWith("-WRONGPASS", guesser.Run($"AUTH ada {i}"), StringComparison.Ordinal);
        Assert.Equal("+OK", LogIn(guest, Usual()));
        Assert.StartsWith("-WRONGPASS", guesser.Run("AUTH ada wrong"), StringComparison.Ordinal);
        Assert.StartsWith("-ERR too many failed logins", guesser.Run("AUTH ada secret"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_passport_for_some_keys_tells_the_names_of_no_others()
    {
        _db.Prepare($"MIMEI OPEN {_mid}", "SET app:a 1", "SET token:secret 1");
        InProcess.Client some = _db.Connect(), all = _db.Connect();
        string[] names = ["RANDOMKEY", "CLIENT TRACKING on BCAST"];
        Assert.Equal("+OK", LogIn(some, Usual() with { Keys = ["app:*"], Rights = PassportRights.Read | PassportRights.Write | PassportRights.Scripts }));
        foreach (string command in names) Assert.StartsWith("-NOPERM", some.Run(command), StringComparison.Ordinal);
        Assert.Equal("[\"0\", [\"app:a\"]]", some.Run("SCAN 0"));
        Assert.Equal("[\"0\", []]", some.Run("SCAN 0 MATCH token:* TYPE string"));
        Assert.Equal("[\"0\", [\"app:a\"]]", some.Run("EVAL 'return redis.call(\"SCAN\", 0)' 0"));
        Assert.Equal("\"1\"", some.Run("GET app:a"));
        Assert.Equal("+OK", LogIn(all, Usual() with { Keys = ["app:*", "*"] }));
        foreach (string command in names) Assert.False(all.Run(command).StartsWith('-'), command);
        Assert.Contains("token:secret", all.Run("SCAN 0"), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_remembered_of_guessers_is_bounded()
    {
        LoginThrottle throttle = _db.Server.Users.Throttle;
        for (int i = 0; i < LoginThrottle.MaxAddresses + 100; i++)
        {
            throttle.Failed(_db.ConnectFrom($"10.{i >> 16}.{(i >> 8) & 255}.{i & 255}:1"), "ada", i);
        }

        Assert.Equal(LoginThrottle.MaxAddresses, throttle.Count);

        // One household is one guesser, whatever address of its network it takes.
        InProcess.Client one = _db.ConnectFrom("[2001:db8::1]:1"), neighbour = _db.ConnectFrom("[2001:db8::2:1]:9");
        for (int i = 0; i < 50; i++) throttle.Failed(one, "ada", 1_000_000);
        Assert.True(throttle.WaitMs(neighbour, 1_000_000) > 0);
        Assert.Equal(0, throttle.WaitMs(_db.ConnectFrom("[2001:db8:0:1::1]:1"), 1_000_000));
    }

    private long Now => _db.Server.NowMs / 1000;

    private Passport Usual() => new()
    {
        Issuer = _author.PublicKey,
        Subject = _subject.PublicKey,
        Mid = LeitherId.Parse(_mid),
        From = Now - 10,
        End = Now + 1000,
        Rights = PassportRights.Read | PassportRights.Write,
    };

    private byte[] Signed(Passport passport, PrivateKey? issuer = null) => passport.Sign(issuer ?? _author);

    private string LogIn(InProcess.Client client, Passport passport, PrivateKey? issuer = null) => client.Run($"AUTH passport {Passport.ToText(Signed(passport, issuer))}");

    private static byte[] Challenge(InProcess.Client client)
    {
        string[] reply = client.Run("PASSPORT CHALLENGE").Split('"');
        return Convert.FromHexString(reply[1]);
    }
}
