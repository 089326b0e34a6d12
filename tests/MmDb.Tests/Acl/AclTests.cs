// Users and their rights: what the transcripts cannot show, since it takes files, time or a look inside.

using System.Text;
using Leither.MmDb.Acl;
using Leither.MmDb.Configuration;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Acl;

public sealed class AclTests
{
    [Fact]
    public void A_user_who_may_do_everything_is_never_checked()
    {
        using var db = new InProcess();
        Assert.False(db.Default.Session.NeedsChecks);
        db.Prepare("ACL SETUSER all on nopass (+@all ~* &*)", "ACL SETUSER less on nopass +@all ~*");
        InProcess.Client client = db.Connect();
        client.Run("AUTH all x");
        Assert.False(client.Session.NeedsChecks);
        db.Prepare("ACL SETUSER all clearselectors");
        Assert.True(client.Session.IsRestricted);
        Assert.Equal("-NOPERM User all has no permissions to run the 'ping' command", client.Run("PING"));
        client.Run("AUTH less x");
        Assert.True(client.Session.NeedsChecks);
        db.Prepare("ACL SETUSER less allchannels");
        Assert.False(client.Session.NeedsChecks);
    }

    [Fact]
    public void A_failed_SETUSER_changes_nothing()
    {
        using var db = new InProcess();
        db.Prepare("ACL SETUSER u on >p ~a +get");
        string before = db.Run("ACL LIST");
        Assert.StartsWith("-ERR Error in ACL SETUSER modifier '+nosuch': Unknown command", db.Run("ACL SETUSER u off nopass allkeys +nosuch"), StringComparison.Ordinal);
        Assert.Equal(before, db.Run("ACL LIST"));
    }

    [Fact]
    public void What_a_user_shows_makes_the_same_user_again() => Seed.Run(random =>
    {
        string[] rules =
        [
            "on", "off", "nopass", ">a", ">b", "~a*", "%R~r*", "%W~w*", "%RW~b", "allkeys", "resetkeys", "&c*", "&d", "allchannels", "resetchannels", "+@all", "-@all",
            "+get", "-get", "+@string", "-@string", "+@write", "-@dangerous", "+config", "-config", "+config|get", "-config|set", "+select|0", "+select|1", "-select", "+acl|whoami",
            "skip-sanitize-payload", "sanitize-payload", "(+get ~x)", "(+@hash %R~h* &e)", "clearselectors", "+client", "-client|kill",
        ];
        for (int round = 0; round < 300; round++)
        {
            var user = new AclUser("u", allChannels: false);
            for (int i = random.Next(1, 15); i > 0; i--)
            {
                _ = user.Set(rules[random.Next(rules.Length)], allChannels: false);
            }

            string shown = user.ToString();
            var again = new AclUser("u", allChannels: false);
            foreach (string rule in AclRules.Join(shown.Split(' '), out _)!)
            {
                Assert.True(again.Set(rule, allChannels: false) == AclError.None, $"{rule} of {shown}");
            }

            Assert.Equal(shown, again.ToString());
            Assert.Equal(user.AllowsEverything, again.AllowsEverything);
            foreach (Commands.Probe probe in Commands.Probes)
            {
                Assert.True(probe.Allowed(user) == probe.Allowed(again), $"{probe} of {shown}");
            }
        }
    });

    [Fact]
    public void The_log_counts_the_same_within_a_minute_and_lists_it_anew_after()
    {
        using var db = new InProcess();
        db.Prepare("ACL SETUSER u on nopass +get ~a");
        InProcess.Client client = db.Connect();
        client.Run("AUTH u x");
        client.Run("GET b");
        db.Clock.Advance(60_000);
        client.Run("GET b");
        Assert.Contains("\"count\", :2", db.Run("ACL LOG"), StringComparison.Ordinal);
        db.Clock.Advance(60_001);
        client.Run("GET b");
        string log = db.Run("ACL LOG");
        Assert.StartsWith("[[\"count\", :1, \"reason\", \"key\", \"context\", \"toplevel\", \"object\", \"b\", \"username\", \"u\", \"age-seconds\", \"0\"", log, StringComparison.Ordinal);
        Assert.Contains("\"age-seconds\", \"60.001\"", log, StringComparison.Ordinal);
        Assert.Contains("cmd=auth user=u ", log, StringComparison.Ordinal);
        Assert.Contains("acl_access_denied_key:3\\r\\n", db.Run("INFO stats"), StringComparison.Ordinal);
    }

    [Fact]
    public void Rules_and_passwords_are_shown_neither_to_MONITOR_nor_in_the_slow_log()
    {
        using var db = new InProcess();
        InProcess.Client monitor = db.Connect();
        monitor.Run("MONITOR");
        db.Prepare("CONFIG SET slowlog-log-slower-than 0", "ACL SETUSER u on >secret +@all");
        db.Run("AUTH u secret");
        string slow = db.Run("SLOWLOG GET");
        Assert.DoesNotContain("secret", slow, StringComparison.Ordinal);
        Assert.Contains("[\"ACL\", \"SETUSER\", \"(redacted)\", \"(redacted)\", \"(redacted)\", \"(redacted)\"]", slow, StringComparison.Ordinal);
        while (monitor.Take() is { } line)
        {
            Assert.DoesNotContain("secret", line, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_users_of_the_file_replace_all_others_and_errors_replace_none()
    {
        using var folder = new TempDir();
        string file = Path.Combine(folder.Path, "users.acl");
        using var db = new InProcess();
        db.Server.Settings.Put(ConfigKeys.AclFile, ConfigText.FromText(file));
        Assert.Equal($"-ERR Error loading ACLs, opening file '{file}': No such file or directory", db.Run("ACL LOAD"));
        db.Prepare("ACL SETUSER old on nopass +@all ~*", "ACL SETUSER kept on >p +@all ~* (+get ~x)");
        Assert.Equal("+OK", db.Run("ACL SAVE"));
        Assert.Equal(
            $"user default on nopass sanitize-payload ~* &* +@all\nuser kept on sanitize-payload #{Hash("p")} ~* resetchannels +@all (~x resetchannels -@all +get)\n"
            + "user old on nopass sanitize-payload ~* resetchannels +@all\n",
            File.ReadAllText(file));
        string before = db.Run("ACL LIST");
        Assert.Equal("+OK", db.Run("ACL LOAD"));
        Assert.Equal(before, db.Run("ACL LIST"));

        File.WriteAllText(file, "\nuser a +nosuch off ~x\n # no comments\nuser a on\nuser b (+get\nuser c ~* ~x foo");
        Assert.Equal(
            $"-ERR {file}:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. {file}:3 should start with user keyword followed by the username. "
            + $"WARNING: Duplicate user 'a' found on line 4. {file}:5: Unmatched parenthesis in selector definition."
            + $"{file}:6: Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns. "
            + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
            db.Run("ACL LOAD"));
        Assert.Equal(before, db.Run("ACL LIST"));

        InProcess.Client client = db.Connect();
        client.Run("AUTH old x");
        File.WriteAllText(file, "user default on nopass ~* +@all -flushall\nuser old on nopass +@all ~*\n");
        Assert.Equal("+OK", db.Run("ACL LOAD"));
        Assert.True(client.IsClosed);
        Assert.Equal("-NOPERM User default has no permissions to run the 'flushall' command", db.Run("FLUSHALL"));
    }

    [Fact]
    public void User_lines_of_the_configuration_make_users_and_go_back_into_it()
    {
        var settings = new ConfigSettings();
        new ConfigLoader(settings, _ => "", "test").Load("user default on >pw ~* +@all -flushdb\nuser alice on nopass (+get ~a b)\n".Replace(" b)", " %R~b)", StringComparison.Ordinal));
        using var keyspace = new Keyspace(new KeyspaceOptions(), 1);
        var server = new Server(new Mimei(keyspace), new ServerOptions(), TimeProvider.System, settings);
        server.Users.Load();
        string rewritten = ConfigRewriter.Rewrite("user old on\nport 1\nuser older on\nuser oldest on\n", settings, server.Users.Lines);
        Assert.StartsWith(
            "user alice on nopass sanitize-payload resetchannels -@all (~a %R~b resetchannels -@all +get)\nport 4800\n"
            + $"user default on sanitize-payload #{Hash("pw")} ~* resetchannels +@all -flushdb\n\n",
            rewritten,
            StringComparison.Ordinal);
        server.Dispose();
    }

    [Theory]
    [InlineData("user a on\nuser a on", "Error in user declaration 'a': Duplicate user found. A user can only be defined once in config files")]
    [InlineData("user a onn", "Error in user declaration 'onn': Syntax error")]
    [InlineData("user a +nosuch", "Error in user declaration '+nosuch': Unknown command or category name in ACL")]
    [InlineData("user a (+get", "Unmatched parenthesis in acl selector starting at '(+get'.")]
    public void A_user_line_that_is_wrong_stops_the_start(string lines, string error)
    {
        ConfigException e = Assert.Throws<ConfigException>(() => new ConfigLoader(new ConfigSettings(), _ => "", "test").Load(lines));
        Assert.Equal(error, e.Error);
    }

    [Fact]
    public void Users_in_both_the_configuration_and_a_file_stop_the_start()
    {
        var settings = new ConfigSettings();
        new ConfigLoader(settings, _ => "", "test").Load("user a on\naclfile users.acl");
        using var keyspace = new Keyspace(new KeyspaceOptions(), 1);
        using var server = new Server(new Mimei(keyspace), new ServerOptions(), TimeProvider.System, settings);
        Assert.StartsWith("Configuring Redis with users defined in redis.conf", Assert.Throws<AclException>(server.Users.Load).Message, StringComparison.Ordinal);
    }

    private static string Hash(string password) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(password)));

    /// <summary>Questions to ask of a user's rights.</summary>
    private static class Commands
    {
        public static readonly Probe[] Probes =
        [
            new("GET", "a"), new("GET", "rx"), new("GET", "x"), new("SET", "a", "1"), new("SET", "wx", "1"), new("SET", "b", "1", "GET"), new("HGET", "h1", "f"),
            new("CONFIG", "GET", "x"), new("CONFIG", "SET", "x", "y"), new("SELECT", "0"), new("SELECT", "1"), new("SELECT", "2"), new("ACL", "WHOAMI"), new("ACL", "USERS"),
            new("PUBLISH", "c1", "m"), new("PSUBSCRIBE", "c*"), new("PSUBSCRIBE", "c1"), new("SUBSCRIBE", "d", "e"), new("CLIENT", "KILL", "x"), new("CLIENT", "ID"), new("FLUSHALL"),
        ];

        /// <summary>One command.</summary>
        internal sealed unsafe class Probe(params string[] words)
        {
            public bool Allowed(AclUser user)
            {
                using var args = new Resp.ArgBuffer();
                byte[][] bytes = [.. words.Select(static w => GC.AllocateUninitializedArray<byte>(w.Length, pinned: true))];
                Resp.Slice* slices = stackalloc Resp.Slice[words.Length];
                for (int i = 0; i < words.Length; i++)
                {
                    Encoding.ASCII.GetBytes(words[i], bytes[i]);
                    slices[i] = new Resp.Slice((byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref bytes[i][0]), bytes[i].Length);
                }

                MmDb.Commands.CommandSpec spec = MmDb.Commands.CommandTable.Shared.Find(slices[0])!;
                spec = spec.Subcommands.Length > 0 ? MmDb.Commands.CommandTable.FindSub(spec, slices[1])! : spec;
                bool allowed = user.Check(spec, slices, words.Length, new AclKeys(), out _) == AclDenial.None;
                GC.KeepAlive(bytes);
                return allowed;
            }

            public override string ToString() => string.Join(' ', words);
        }
    }
}
