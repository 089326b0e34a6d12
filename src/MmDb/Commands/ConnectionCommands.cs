using Leither.MmDb.Acl;
using Leither.MmDb.Passports;

namespace Leither.MmDb.Commands;

/// <summary>Commands for the connection itself: PING, ECHO, SELECT, QUIT, HELLO, AUTH, RESET. CLIENT has a file of its own.</summary>
public static unsafe class ConnectionCommands
{
    /// <summary>PING [message]</summary>
    public static readonly CommandSpec Ping = new("ping", -1)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Returns the server's liveliness response.",
        Flags = CommandFlags.Fast,
        Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
        AllowedWhileSubscribed = true,
        Args = [Arg.String("message").Optional()],
        Handler = &RunPing,
    };

    /// <summary>ECHO message</summary>
    public static readonly CommandSpec Echo = new("echo", 2)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Returns the given string.",
        Flags = CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast,
        Args = [Arg.String("message")],
        Handler = &RunEcho,
    };

    /// <summary>SELECT index</summary>
    public static readonly CommandSpec Select = new("select", 2)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Changes the selected database.",
        Flags = CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.EndsBatch,
        Args = [Arg.Integer("index")],
        Handler = &RunSelect,
    };

    /// <summary>QUIT</summary>
    public static readonly CommandSpec Quit = new("quit", -1)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Closes the connection.",
        Flags = CommandFlags.AllowBusy | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.NoAuth | CommandFlags.EndsBatch | CommandFlags.NotQueued,
        DeprecatedSince = "7.2.0",
        ReplacedBy = "just closing the connection",
        AllowedWhileSubscribed = true,
        Handler = &RunQuit,
    };

    /// <summary>HELLO [protover [AUTH username password] [SETNAME clientname]]</summary>
    public static readonly CommandSpec Hello = new("hello", -1)
    {
        Since = "6.0.0",
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Handshakes with the Redis server.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.NoAuth | CommandFlags.AllowBusy | CommandFlags.EndsBatch,
        History = [("6.2.0", "`protover` made optional; when called without arguments the command reports the current connection's context.")],
        Args =
        [
            Arg.Block(
                "arguments",
                Arg.Integer("protover"),
                Arg.Block("auth", Arg.String("username"), Arg.String("password")).Token("AUTH").Optional(),
                Arg.String("clientname").Token("SETNAME").Optional()).Optional(),
        ],
        Handler = &RunHello,
    };

    /// <summary>AUTH [username] password</summary>
    public static readonly CommandSpec Auth = new("auth", -2)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(N) where N is the number of passwords defined for the user",
        Summary = "Authenticates the connection.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.NoAuth | CommandFlags.AllowBusy | CommandFlags.EndsBatch,
        History = [("6.0.0", "Added ACL style (username and password).")],
        Args = [Arg.String("username").Optional().Since("6.0.0"), Arg.String("password")],
        Handler = &RunAuth,
    };

    /// <summary>RESET</summary>
    public static readonly CommandSpec Reset = new("reset", 1)
    {
        Since = "6.2.0",
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Resets the connection.",
        Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.NoAuth | CommandFlags.AllowBusy | CommandFlags.EndsBatch | CommandFlags.NotQueued,
        AllowedWhileSubscribed = true,
        Handler = &RunReset,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Ping, Echo, Select, Quit, Hello, Auth, Reset];

    private static void RunPing(CommandContext c)
    {
        if (c.Count > 2)
        {
            c.WrongArity();
            return;
        }

        if (c.Session.SubscriptionCount > 0 && c.Reply.Version == 2)
        {
            c.Reply.Array(2);
            c.Reply.Bulk("pong"u8);
            c.Reply.Bulk(c.Count == 2 ? c[1].Span : default);
        }
        else if (c.Count == 2)
        {
            c.Reply.Bulk(c[1]);
        }
        else
        {
            c.Reply.Pong();
        }
    }

    private static void RunEcho(CommandContext c) => c.Reply.Bulk(c[1]);

    private static void RunSelect(CommandContext c)
    {
        if (!c[1].TryInt(out int index))
        {
            c.Error(c[1].TryLong(out _) ? Errors.DbIndexOutOfRange : Errors.NotInteger);
        }
        else if (index < 0 || index >= c.Keyspace.Databases.Length)
        {
            c.Error(Errors.DbIndexOutOfRange);
        }
        else
        {
            c.Session.DatabaseIndex = index;
            c.Reply.Ok();
        }
    }

    private static void RunQuit(CommandContext c)
    {
        c.Reply.Ok();
        c.Session.CloseAfterReply();
    }

    private static void RunHello(CommandContext c)
    {
        long version = 0;
        if (c.Count >= 2)
        {
            if (!c.TryLong(1, long.MinValue, long.MaxValue, "ERR Protocol version is not an integer or out of range"u8, out version))
            {
                return;
            }

            if (version is < 2 or > 3)
            {
                c.Error("NOPROTO unsupported protocol version"u8);
                return;
            }
        }

        int user = 0, name = 0;
        for (int i = 2; i < c.Count; i++)
        {
            int left = c.Count - 1 - i;
            if (c.Is(i, "auth"u8) && left >= 2)
            {
                user = i + 1;
                i += 2;
            }
            else if (c.Is(i, "setname"u8) && left >= 1)
            {
                name = ++i;
                if (!ClientCommands.IsPrintable(c[name].Span))
                {
                    c.Error(ClientCommands.BadName);
                    return;
                }
            }
            else
            {
                c.Error($"ERR Syntax error in HELLO option '{c.TextToZero(i)}'");
                return;
            }
        }

        if (user != 0)
        {
            LogIn(c, c[user].Span, c[user + 1].Span, c => Greet(c, version, name));
            return;
        }

        Greet(c, version, name);
    }

    private static void Greet(CommandContext c, long version, int name)
    {
        Session session = c.Session;
        if (session.NeedsLogin)
        {
            c.Error("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"u8);
            return;
        }

        if (name != 0)
        {
            session.Name = c[name].Span.ToArray();
        }

        if (version != 0)
        {
            c.Reply.Version = (int)version;
        }

        c.Reply.Map(7);
        c.Reply.Bulk("server"u8);
        c.Reply.Bulk("redis"u8);
        c.Reply.Bulk("version"u8);
        c.Reply.Bulk(System.Text.Encoding.ASCII.GetBytes(ServerOptions.RedisVersion));
        c.Reply.Bulk("proto"u8);
        c.Reply.Integer(c.Reply.Version);
        c.Reply.Bulk("id"u8);
        c.Reply.Integer(session.Id);
        c.Reply.Bulk("mode"u8);
        c.Reply.Bulk("standalone"u8);
        c.Reply.Bulk("role"u8);
        c.Reply.Bulk("master"u8);
        c.Reply.Bulk("modules"u8);
        c.Reply.EmptyArray();
    }

    private static void RunAuth(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (c.Count == 2 && c.Server.Users.Default.NeedsNoPassword)
        {
            c.Error("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"u8);
            return;
        }

        LogIn(c, c.Count == 2 ? "default"u8 : c[1].Span, c[c.Count - 1].Span, static c => c.Reply.Ok());
    }

    /// <summary>
    /// Logs the session in and goes on, or replies why not. <c>user@mid</c>, <c>user@name</c> and either with <c>/version</c> bind the session to that
    /// MiMei as well, as MIMEI OPEN does; a user of just that name comes first.
    /// </summary>
    private static void LogIn(CommandContext c, ReadOnlySpan<byte> user, ReadOnlySpan<byte> password, Action<CommandContext> then)
    {
        AclUsers users = c.Server.Users;
        string whole = System.Text.Encoding.Latin1.GetString(user);
        if (users.Throttle.WaitMs(c.Session.Connection, c.Server.NowMs) is > 0 and var wait)
        {
            c.Error($"ERR too many failed logins from this address, try again in {(wait + 999) / 1000} s");
            return;
        }

        if (whole.Equals(PassportOffice.UserName, StringComparison.OrdinalIgnoreCase) && users.Find(whole) is null)
        {
            LogInByPassport(c, System.Text.Encoding.Latin1.GetString(password), then);
            return;
        }

        int at = whole.LastIndexOf('@');
        if (at < 0 || users.Find(whole) is not null)
        {
            if (users.LogIn(c.Session, user, password, c.Text(0)))
            {
                then(c);
            }
            else
            {
                c.Error(Errors.WrongPass);
            }

            return;
        }

        // A URL with a password and no user names none before the '@'.
        string name = at == 0 ? users.Default.Name : whole[..at];
        if (users.TryAccept(c.Session, name, password, c.Text(0)) is not { } accepted)
        {
            c.Error(Errors.WrongPass);
            return;
        }

        string[] place = whole[(at + 1)..].Split('/', 2);
        MimeiPlace version = default;
        if (place.Length > 1 && !MimeiPlace.TryParseVersion(place[1], out version))
        {
            c.Error($"ERR no such MiMei '{Shown(whole[(at + 1)..])}'");
        }
        else if (users.WouldRefuse(accepted, MimeiCommands.Open, c.Args, c.Count) is { } refusal)
        {
            c.Error("NOPERM " + refusal);
        }
        else
        {
            MimeiCommands.Use(c, place[0], version, (c, mimei) =>
            {
                c.Server.Users.LogIn(c.Session, accepted);
                c.Server.Bind(c.Session, mimei);
                then(c);
            });
        }
    }

    /// <summary>
    /// Logs the session in as what a passport says, and binds it to the MiMei that it names. Checking takes a signature or two and may read the disk, so it happens aside.
    /// </summary>
    private static void LogInByPassport(CommandContext c, string text, Action<CommandContext> then)
    {
        PassportOffice office = c.Server.Passports;
        byte[]? challenge = office.TakeChallenge(c.Session);
        long now = c.Server.NowMs;
        bool isProved = c.Session.Vouched == text;
        c.Aside(
            () => office.Examine(text, challenge, now, isProved),
            (c, check) =>
            {
                MimeiEntry? entry = c.Server.Mimeis.Default;
                if (check is { Refusal: PassportRefusal.None, Passport: { IsLogin: true } login } && (entry = c.Server.Passports.PlaceOf(login)) is null)
                {
                    check = check with { Refusal = PassportRefusal.NoRight };
                }

                if (check.Refusal != PassportRefusal.None)
                {
                    c.Server.Users.Refused(c.Session, PassportOffice.UserName, c.Text(0));
                    c.Error(PassportCommands.Text(check.Refusal));
                    return;
                }

                Passport passport = check.Passport!;
                if (passport is { IsLogin: false, Mid: { } mid } && !c.Server.Mimeis.TryFind(mid, out entry))
                {
                    c.Error($"ERR no such MiMei '{mid}'");
                    return;
                }

                c.UseMimei(entry!, default, (c, mimei) =>
                {
                    c.Server.Users.LogIn(c.Session, PassportOffice.UserOf(passport));
                    c.Server.Bind(c.Session, mimei);
                    then(c);
                });
            });
    }

    private static string Shown(string text)
    {
        int zero = text.IndexOf('\0', StringComparison.Ordinal);
        return (zero < 0 ? text : text[..zero])[..Math.Min(zero < 0 ? text.Length : zero, 128)];
    }

    private static void RunReset(CommandContext c)
    {
        Session session = c.Session;
        c.Server.StopMonitoring(session);
        session.DatabaseIndex = 0;
        c.Reply.Version = 2;
        c.Server.Users.LogOut(session);
        InteractiveTransaction.End(session);
        Transactions.End(session);
        c.Mimei.PubSub.RemoveAll(session);
        c.Mimei.Tracking.Disable(session);
        c.Server.Bind(session, c.Server.DefaultMimei);
        session.Name = [];
        session.ReplyMode = ReplyMode.On;
        session.NoEvict = session.NoTouch = false;
        c.Reply.Simple("RESET"u8);
    }
}
