using System.Globalization;
using System.Text;
using Leither.MmDb.Acl;

namespace Leither.MmDb.Commands;

/// <summary>CLIENT and its subcommands: what is known of connections, and what can be done to them.</summary>
public static unsafe class ClientCommands
{
    /// <summary>CLIENT</summary>
    public static readonly CommandSpec Client = new("client", -2)
    {
        Since = "2.4.0",
        Group = CommandGroup.Connection,
        Complexity = "Depends on subcommand.",
        Summary = "A container for client connection commands.",
        Flags = CommandFlags.EndsBatch,
        Subcommands =
        [
            new("caching", 3)
            {
                Since = "6.0.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Instructs the server whether to track the keys in the next request.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.OneOf("mode", Arg.Word("yes", "YES"), Arg.Word("no", "NO"))],
                Handler = &RunCaching,
            },
            new("getname", 2)
            {
                Since = "2.6.9",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Returns the name of the connection.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunGetName,
            },
            new("getredir", 2)
            {
                Since = "6.0.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Returns the client ID to which the connection's tracking notifications are redirected.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunGetRedirection,
            },
            new("help", 2)
            {
                Since = "5.0.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("id", 2)
            {
                Since = "5.0.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Returns the unique client ID of the connection.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunId,
            },
            new("info", 2)
            {
                Since = "6.2.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Returns information about the connection.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["nondeterministic_output"],
                Handler = &RunInfo,
            },
            new("kill", -3)
            {
                Since = "2.4.0",
                Group = CommandGroup.Connection,
                Complexity = "O(N) where N is the number of client connections",
                Summary = "Terminates open connections.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                History =
                [
                    ("2.8.12", "Added new filter format."),
                    ("2.8.12", "`ID` option."),
                    ("3.2.0", "Added `master` type in for `TYPE` option."),
                    ("5.0.0", "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward compatibility."),
                    ("6.2.0", "`LADDR` option."),
                ],
                Args =
                [
                    Arg.OneOf(
                        "filter",
                        Arg.String("old-format").Deprecated("2.8.12").Shown("ip:port"),
                        Arg.OneOf(
                            "new-format",
                            Arg.Integer("client-id").Token("ID").Optional().Since("2.8.12"),
                            Arg.OneOf(
                                "client-type",
                                Arg.Word("normal", "NORMAL"),
                                Arg.Word("master", "MASTER").Since("3.2.0"),
                                Arg.Word("slave", "SLAVE"),
                                Arg.Word("replica", "REPLICA").Since("5.0.0"),
                                Arg.Word("pubsub", "PUBSUB")).Token("TYPE").Optional().Since("2.8.12"),
                            Arg.String("username").Token("USER").Optional(),
                            Arg.String("addr").Token("ADDR").Optional().Shown("ip:port"),
                            Arg.String("laddr").Token("LADDR").Optional().Since("6.2.0").Shown("ip:port"),
                            Arg.OneOf("skipme", Arg.Word("yes", "YES"), Arg.Word("no", "NO")).Token("SKIPME").Optional()).Multiple()),
                ],
                Handler = &RunKill,
            },
            new("list", -2)
            {
                Since = "2.4.0",
                Group = CommandGroup.Connection,
                Complexity = "O(N) where N is the number of client connections",
                Summary = "Lists open connections.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                History =
                [
                    ("2.8.12", "Added unique client `id` field."),
                    ("5.0.0", "Added optional `TYPE` filter."),
                    ("6.0.0", "Added `user` field."),
                    ("6.2.0", "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` filter."),
                    ("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
                    ("7.0.3", "Added `ssub` field."),
                ],
                Tips = ["nondeterministic_output"],
                Args =
                [
                    Arg.OneOf(
                        "client-type",
                        Arg.Word("normal", "NORMAL"),
                        Arg.Word("master", "MASTER"),
                        Arg.Word("replica", "REPLICA"),
                        Arg.Word("pubsub", "PUBSUB")).Token("TYPE").Optional().Since("5.0.0"),
                    Arg.Integer("client-id").Token("ID").Multiple().Optional().Since("6.2.0"),
                ],
                Handler = &RunList,
            },
            new("no-evict", 3)
            {
                Since = "7.0.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Sets the client eviction mode of the connection.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.OneOf("enabled", Arg.Word("on", "ON"), Arg.Word("off", "OFF"))],
                Handler = &RunNoEvict,
            },
            new("no-touch", 3)
            {
                Since = "7.2.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.OneOf("enabled", Arg.Word("on", "ON"), Arg.Word("off", "OFF"))],
                Handler = &RunNoTouch,
            },
            new("pause", -3)
            {
                Since = "3.0.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Suspends commands processing.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                History = [("6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option.")],
                Args = [Arg.Integer("timeout"), Arg.OneOf("mode", Arg.Word("write", "WRITE"), Arg.Word("all", "ALL")).Optional().Since("6.2.0")],
                Handler = &RunPause,
            },
            new("reply", 3)
            {
                Since = "3.2.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Instructs the server whether to reply to commands.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.OneOf("action", Arg.Word("on", "ON"), Arg.Word("off", "OFF"), Arg.Word("skip", "SKIP"))],
                Handler = &RunReply,
            },
            new("setinfo", 4)
            {
                Since = "7.2.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Sets information specific to the client or connection.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Args = [Arg.OneOf("attr", Arg.String("libname").Token("LIB-NAME"), Arg.String("libver").Token("LIB-VER"))],
                Handler = &RunSetInfo,
            },
            new("setname", 3)
            {
                Since = "2.6.9",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Sets the connection name.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Args = [Arg.String("connection-name")],
                Handler = &RunSetName,
            },
            new("tracking", -3)
            {
                Since = "6.0.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1). Some options may introduce additional complexity.",
                Summary = "Controls server-assisted client-side caching for the connection.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Args =
                [
                    Arg.OneOf("status", Arg.Word("on", "ON"), Arg.Word("off", "OFF")),
                    Arg.Integer("client-id").Token("REDIRECT").Optional(),
                    Arg.String("prefix").Token("PREFIX").MultipleWithToken().Optional(),
                    Arg.Word("bcast", "BCAST").Optional(),
                    Arg.Word("optin", "OPTIN").Optional(),
                    Arg.Word("optout", "OPTOUT").Optional(),
                    Arg.Word("noloop", "NOLOOP").Optional(),
                ],
                Handler = &RunTracking,
            },
            new("trackinginfo", 2)
            {
                Since = "6.2.0",
                Group = CommandGroup.Connection,
                Complexity = "O(1)",
                Summary = "Returns information about server-assisted client-side caching for the connection.",
                Flags = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunTrackingInfo,
            },
            new("unblock", -3)
            {
                Since = "5.0.0",
                Group = CommandGroup.Connection,
                Complexity = "O(log N) where N is the number of client connections",
                Summary = "Unblocks a client blocked by a blocking command from a different connection.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.Integer("client-id"), Arg.OneOf("unblock-type", Arg.Word("timeout", "TIMEOUT"), Arg.Word("error", "ERROR")).Optional()],
                Handler = &RunUnblock,
            },
            new("unpause", 2)
            {
                Since = "6.2.0",
                Group = CommandGroup.Connection,
                Complexity = "O(N) Where N is the number of paused clients",
                Summary = "Resumes processing commands from paused clients.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunUnpause,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Client];

    /// <summary>A name that CLIENT SETNAME does not take.</summary>
    internal static ReadOnlySpan<byte> BadName => "ERR Client names cannot contain spaces, newlines or special characters."u8;

    /// <summary>Whether a text has nothing in it that would break CLIENT LIST's lines.</summary>
    internal static bool IsPrintable(ReadOnlySpan<byte> text) => text.IndexOfAnyExceptInRange((byte)'!', (byte)'~') < 0;

    private static void RunId(CommandContext c) => c.Reply.Integer(c.Session.Id);

    private static void RunInfo(CommandContext c)
    {
        var text = new StringBuilder();
        Describe(text, c.Session, c.NowMs);
        c.Reply.Verbatim("txt"u8, Encoding.Latin1.GetBytes(text.ToString()));
    }

    private static void RunList(CommandContext c)
    {
        ClientType? type = null;
        var text = new StringBuilder();
        if (c.Count == 4 && c.Is(2, "type"u8))
        {
            if (!TryType(c, 3, out type))
            {
                return;
            }
        }
        else if (c.Count > 3 && c.Is(2, "id"u8))
        {
            for (int i = 3; i < c.Count; i++)
            {
                if (!c.TryLong(i, long.MinValue, long.MaxValue, "ERR Invalid client ID"u8, out long id))
                {
                    return;
                }

                if (c.Server.Sessions.TryGetValue(id, out Session? session))
                {
                    Describe(text, session, c.NowMs);
                }
            }

            c.Reply.Verbatim("txt"u8, Encoding.Latin1.GetBytes(text.ToString()));
            return;
        }
        else if (c.Count != 2)
        {
            c.Error(Errors.Syntax);
            return;
        }

        foreach (Session session in c.Server.Sessions.Values)
        {
            if (type is null || type == TypeOf(session))
            {
                Describe(text, session, c.NowMs);
            }
        }

        if (type is null or ClientType.Replica)
        {
            DescribeFollowers(text, c.Server);
        }

        c.Reply.Verbatim("txt"u8, Encoding.Latin1.GetBytes(text.ToString()));
    }

    /// <summary>The classes that TYPE names. The link to a master is not among the clients.</summary>
    private enum ClientType
    {
        Normal,
        Replica,
        PubSub,
        Master,
    }

    private static ClientType TypeOf(Session session) => session.Class switch
    {
        ClientClass.PubSub => ClientType.PubSub,
        ClientClass.Replica => ClientType.Replica,
        _ => ClientType.Normal,
    };

    private static bool TryType(CommandContext c, int index, out ClientType? type)
    {
        type = c.Text(index).ToLowerInvariant() switch
        {
            "normal" => ClientType.Normal,
            "slave" or "replica" => ClientType.Replica,
            "pubsub" => ClientType.PubSub,
            "master" => ClientType.Master,
            _ => null,
        };
        if (type is null)
        {
            c.Error($"ERR Unknown client type '{c.TextToZero(index)}'");
        }

        return type is not null;
    }

    /// <summary>A client's line in CLIENT LIST.</summary>
    internal static void Describe(StringBuilder text, Session session, long nowMs)
    {
        IClientConnection connection = session.Connection;
        // The first chunk of output is Redis's static buffer; what is beyond it would be its list.
        long waiting = session.Output.Length;
        bool large = waiting > Resp.ChunkPool.ChunkSize;
        long understood = connection.InputBytes > 0 ? session.Parser.UnderstoodBytes : 0;
        long pending = Math.Max(connection.InputBytes - understood, session.PresentedBytes);
        long room = Math.Max(Math.Max(connection.InputCapacity, session.InputRoom(nowMs)), pending);
        long replyRoom = Math.Max(session.ReplyRoom(nowMs), large ? 0 : session.Output.Capacity);
        text.Append(CultureInfo.InvariantCulture, $"id={session.Id} addr={connection.RemoteAddress} laddr={connection.LocalAddress} fd={connection.Descriptor} ")
            .Append(CultureInfo.InvariantCulture, $"name={Encoding.Latin1.GetString(session.Name)} age={(nowMs - session.CreatedMs) / 1000} idle={(nowMs - session.LastInteractionMs) / 1000} ")
            .Append(CultureInfo.InvariantCulture, $"flags={Flags(session)} db={session.DatabaseIndex} sub={session.Channels?.Count ?? 0} psub={session.Patterns?.Count ?? 0} ssub={session.ShardChannels?.Count ?? 0} ")
            .Append(CultureInfo.InvariantCulture, $"multi={session.Transaction?.Count ?? -1} qbuf={pending} qbuf-free={room - pending} argv-mem={understood} multi-mem={session.QueuedBytes} ")
            .Append(CultureInfo.InvariantCulture, $"rbs={replyRoom} rbp={session.ReplyPeak} obl={(large ? 0 : waiting)} oll={(large ? 1 : 0)} omem={(large ? waiting : 0)} tot-mem={ClientMemory.Of(session, nowMs)} events=r ")
            .Append(CultureInfo.InvariantCulture, $"cmd={session.LastCommand?.FullName ?? "NULL"} user={session.User.Name} redir={session.Tracking?.Redirect ?? -1} resp={session.Output.Version} ")
            .Append(CultureInfo.InvariantCulture, $"lib-name={Encoding.Latin1.GetString(session.LibraryName)} lib-ver={Encoding.Latin1.GetString(session.LibraryVersion)} mimei={session.Mimei.Id}\n");
    }

    /// <summary>Nodes that follow a MiMei of this one stand where Redis shows replicas. They are no clients, so they have no id, and nothing of a client's.</summary>
    private static void DescribeFollowers(StringBuilder text, Server server)
    {
        if (server.Replicas is not { } nodes)
        {
            return;
        }

        foreach (Mimei mimei in server.Mimeis.Open)
        {
            if (mimei.Current is not null)
            {
                continue; // an old version of one
            }

            foreach (FollowerStatus follower in nodes.Status(mimei.Id)?.Followers ?? [])
            {
                (string host, int port) = ReplicationCommands.HostOf(follower.Address);
                text.Append(CultureInfo.InvariantCulture, $"id=0 addr={host}:{port} laddr= fd=-1 name={follower.Peer} age=0 idle={Math.Max(0, follower.SilentMs) / 1000} flags=S db=0 sub=0 psub=0 ssub=0 ")
                    .Append("multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=rw cmd=replconf user= redir=-1 resp=2 lib-name= lib-ver= ")
                    .Append(CultureInfo.InvariantCulture, $"mimei={mimei.Id}\n");
            }
        }
    }

    private static string Flags(Session session)
    {
        var flags = new StringBuilder();
        _ = session.Replica?.State is not null ? flags.Append('S') : flags;
        _ = session.IsMonitor ? flags.Append('O') : flags;
        _ = session.SubscriptionCount > 0 ? flags.Append('P') : flags;
        _ = session.Transaction is not null ? flags.Append('x') : flags;
        _ = session.Blocked is not null || session.Postponed is not null ? flags.Append('b') : flags;
        _ = session.Tracking is not null ? flags.Append('t') : flags;
        _ = session.Tracking is { IsRedirectBroken: true } ? flags.Append('R') : flags;
        _ = session.Tracking is { IsBroadcast: true } ? flags.Append('B') : flags;
        _ = session.WatchBroken ? flags.Append('d') : flags;
        _ = session.IsClosing ? flags.Append('c') : flags;
        _ = session.Connection.IsUnixSocket ? flags.Append('U') : flags;
        _ = session.NoEvict ? flags.Append('e') : flags;
        _ = session.NoTouch ? flags.Append('T') : flags;
        return flags.Length == 0 ? "N" : flags.ToString();
    }

    private static void RunKill(CommandContext c)
    {
        string? address = null, localAddress = null;
        ClientType? type = null;
        long id = 0;
        AclUser? user = null;
        bool skipsItself = c.Count != 3;
        if (c.Count == 3)
        {
            address = c.Text(2);
        }
        else if (c.Count % 2 != 0)
        {
            c.Error(Errors.Syntax);
            return;
        }

        for (int i = 2; c.Count > 3 && i < c.Count; i += 2)
        {
            if (c.Is(i, "id"u8))
            {
                if (!c.TryLong(i + 1, 1, long.MaxValue, "ERR client-id should be greater than 0"u8, out id))
                {
                    return;
                }
            }
            else if (c.Is(i, "type"u8))
            {
                if (!TryType(c, i + 1, out type))
                {
                    return;
                }
            }
            else if (c.Is(i, "addr"u8))
            {
                address = c.Text(i + 1);
            }
            else if (c.Is(i, "laddr"u8))
            {
                localAddress = c.Text(i + 1);
            }
            else if (c.Is(i, "user"u8))
            {
                user = c.Server.Users.Find(c.Text(i + 1));
                if (user is null)
                {
                    c.Error($"ERR No such user '{c.TextToZero(i + 1)}'");
                    return;
                }
            }
            else if (c.Is(i, "skipme"u8) && (c.Is(i + 1, "yes"u8) || c.Is(i + 1, "no"u8)))
            {
                skipsItself = c.Is(i + 1, "yes"u8);
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        List<Session> chosen = [];
        foreach (Session session in c.Server.Sessions.Values)
        {
            if ((address is null || session.Connection.RemoteAddress == address)
                && (localAddress is null || session.Connection.LocalAddress == localAddress)
                && (type is null || TypeOf(session) == type)
                && (id == 0 || session.Id == id)
                && (user is null || session.User == user)
                && !(session == c.Session && skipsItself))
            {
                chosen.Add(session);
            }
        }

        foreach (Session session in chosen)
        {
            if (session != c.Session)
            {
                session.CloseNow();
                c.Server.Close(session);
            }
        }

        if (c.Count > 3)
        {
            bool cutsMaster = type == ClientType.Master && c.Server.Replication.Master is { } master && master.Cut();
            c.Reply.Integer(chosen.Count + (cutsMaster ? 1 : 0));
        }
        else if (chosen.Count == 0)
        {
            c.Error("ERR No such client"u8);
        }
        else
        {
            c.Reply.Ok();
        }

        if (chosen.Contains(c.Session))
        {
            c.Session.CloseAfterReply();
        }
    }

    private static void RunSetName(CommandContext c)
    {
        if (!IsPrintable(c[2].Span))
        {
            c.Error(BadName);
            return;
        }

        c.Session.Name = c[2].Span.ToArray();
        c.Reply.Ok();
    }

    private static void RunGetName(CommandContext c)
    {
        if (c.Session.Name.Length == 0)
        {
            c.Reply.Null();
        }
        else
        {
            c.Reply.Bulk(c.Session.Name);
        }
    }

    private static void RunSetInfo(CommandContext c)
    {
        bool isName = c.Is(2, "lib-name"u8);
        if (!isName && !c.Is(2, "lib-ver"u8))
        {
            c.Error($"ERR Unrecognized option '{c.TextToZero(2)}'");
            return;
        }

        if (!IsPrintable(c[3].Span))
        {
            c.Error($"ERR {c.TextToZero(2)} cannot contain spaces, newlines or special characters.");
            return;
        }

        if (isName)
        {
            c.Session.LibraryName = c[3].Span.ToArray();
        }
        else
        {
            c.Session.LibraryVersion = c[3].Span.ToArray();
        }

        c.Reply.Ok();
    }

    private static void RunReply(CommandContext c)
    {
        Session session = c.Session;
        if (c.Is(2, "on"u8))
        {
            session.ReplyMode = ReplyMode.On;
            c.Reply.Ok();
        }
        else if (c.Is(2, "off"u8))
        {
            session.ReplyMode = ReplyMode.Off;
        }
        else if (!c.Is(2, "skip"u8))
        {
            c.Error(Errors.Syntax);
        }
        else if (session.ReplyMode == ReplyMode.On)
        {
            session.ReplyMode = ReplyMode.SkipNext;
        }
    }

    private static void RunNoEvict(CommandContext c)
    {
        if (TryOnOff(c, out bool on))
        {
            c.Session.NoEvict = on;
            c.Reply.Ok();
        }
    }

    private static void RunNoTouch(CommandContext c)
    {
        if (TryOnOff(c, out bool on))
        {
            c.Session.NoTouch = on;
            c.Keyspace.Options.SuppressTouch = on;
            c.Reply.Ok();
        }
    }

    private static bool TryOnOff(CommandContext c, out bool on)
    {
        on = c.Is(2, "on"u8);
        if (on || c.Is(2, "off"u8))
        {
            return true;
        }

        c.Error(Errors.Syntax);
        return false;
    }

    private static void RunPause(CommandContext c)
    {
        if (c.Count > 4)
        {
            c.SubcommandSyntax();
            return;
        }

        bool writesOnly = c.Count == 4 && c.Is(3, "write"u8);
        if (c.Count == 4 && !writesOnly && !c.Is(3, "all"u8))
        {
            c.Error("ERR CLIENT PAUSE mode must be WRITE or ALL"u8);
            return;
        }

        if (!c.TryLong(2, long.MinValue, long.MaxValue, "ERR timeout is not an integer or out of range"u8, out long timeout))
        {
            return;
        }

        if (timeout < 0)
        {
            c.Error(Errors.TimeoutNegative);
            return;
        }

        if (timeout > long.MaxValue - c.NowMs)
        {
            c.Error(Errors.TimeoutOutOfRange);
            return;
        }

        if (timeout > 0)
        {
            c.Server.Pause(c.NowMs + timeout, writesOnly);
        }

        c.Reply.Ok();
    }

    private static void RunUnpause(CommandContext c)
    {
        c.Reply.Ok();
        c.Server.EndPause();
    }

    private static void RunUnblock(CommandContext c)
    {
        bool withError = c.Count == 4 && c.Is(3, "error"u8);
        if (c.Count > 4)
        {
            c.SubcommandSyntax();
            return;
        }

        if (c.Count == 4 && !withError && !c.Is(3, "timeout"u8))
        {
            c.Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"u8);
            return;
        }

        if (!c.TryLong(2, out long id))
        {
            return;
        }

        if (!c.Server.Sessions.TryGetValue(id, out Session? session) || session.Blocked is null)
        {
            c.Reply.Integer(0);
            return;
        }

        if (withError)
        {
            c.Server.Blocking.Fail(session, "UNBLOCKED client unblocked via CLIENT UNBLOCK"u8);
        }
        else
        {
            c.Server.Blocking.TimeOut(session);
        }

        c.Reply.Integer(1);
    }

    private static void RunTracking(CommandContext c)
    {
        var wanted = new TrackingState();
        List<byte[]> prefixes = [];
        for (int i = 3; i < c.Count; i++)
        {
            bool hasValue = i + 1 < c.Count;
            if (c.Is(i, "redirect"u8) && hasValue)
            {
                if (!TryRedirect(c, ++i, wanted))
                {
                    return;
                }
            }
            else if (c.Is(i, "prefix"u8) && hasValue)
            {
                prefixes.Add(c[++i].Span.ToArray());
            }
            else if (c.Is(i, "bcast"u8))
            {
                wanted.IsBroadcast = true;
            }
            else if (c.Is(i, "optin"u8))
            {
                wanted.OptIn = true;
            }
            else if (c.Is(i, "optout"u8))
            {
                wanted.OptOut = true;
            }
            else if (c.Is(i, "noloop"u8))
            {
                wanted.NoLoop = true;
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        if (c.Is(2, "off"u8))
        {
            c.Mimei.Tracking.Disable(c.Session);
            c.Reply.Ok();
        }
        else if (!c.Is(2, "on"u8))
        {
            c.Error(Errors.Syntax);
        }
        else if (Conflict(c.Session.Tracking, wanted, prefixes) is { } error)
        {
            c.Error("ERR " + error);
        }
        else
        {
            wanted.Prefixes.UnionWith(prefixes);
            c.Mimei.Tracking.Enable(c.Session, wanted);
            c.Reply.Ok();
        }
    }

    private static bool TryRedirect(CommandContext c, int index, TrackingState wanted)
    {
        if (wanted.Redirect != 0)
        {
            c.Error("ERR A client can only redirect to a single other client"u8);
            return false;
        }

        if (!c.TryLong(index, out long id))
        {
            return false;
        }

        if (!c.Server.Sessions.ContainsKey(id))
        {
            c.Error("ERR The client ID you want redirect to does not exist"u8);
            return false;
        }

        wanted.Redirect = id;
        return true;
    }

    /// <summary>What does not go together among the options, or with those in force; null: all does.</summary>
    private static string? Conflict(TrackingState? current, TrackingState wanted, List<byte[]> prefixes)
    {
        if (!wanted.IsBroadcast && prefixes.Count > 0)
        {
            return "PREFIX option requires BCAST mode to be enabled";
        }

        if (current is not null && current.IsBroadcast != wanted.IsBroadcast)
        {
            return "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
        }

        if (wanted.IsBroadcast && (wanted.OptIn || wanted.OptOut))
        {
            return "OPTIN and OPTOUT are not compatible with BCAST";
        }

        if (wanted.OptIn && wanted.OptOut)
        {
            return "You can't specify both OPTIN mode and OPTOUT mode";
        }

        if (current is not null && ((wanted.OptIn && current.OptOut) || (wanted.OptOut && current.OptIn)))
        {
            return "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";
        }

        for (int i = 0; i < prefixes.Count; i++)
        {
            byte[] prefix = prefixes[i];
            if (current?.Prefixes.FirstOrDefault(p => Overlap(p, prefix)) is { } existing)
            {
                return $"Prefix '{Encoding.Latin1.GetString(prefix)}' overlaps with an existing prefix '{Encoding.Latin1.GetString(existing)}'. "
                    + "Prefixes for a single client must not overlap.";
            }

            if (prefixes.Skip(i + 1).FirstOrDefault(p => Overlap(p, prefix)) is { } other)
            {
                return $"Prefix '{Encoding.Latin1.GetString(prefix)}' overlaps with another provided prefix '{Encoding.Latin1.GetString(other)}'. "
                    + "Prefixes for a single client must not overlap.";
            }
        }

        return null;
    }

    private static bool Overlap(byte[] a, byte[] b) => a.AsSpan().StartsWith(b) || b.AsSpan().StartsWith(a);

    private static void RunCaching(CommandContext c)
    {
        bool yes = c.Is(2, "yes"u8);
        if (c.Session.Tracking is not { } tracking)
        {
            c.Error("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"u8);
        }
        else if (!yes && !c.Is(2, "no"u8))
        {
            c.Error(Errors.Syntax);
        }
        else if (yes && !tracking.OptIn)
        {
            c.Error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."u8);
        }
        else if (!yes && !tracking.OptOut)
        {
            c.Error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."u8);
        }
        else
        {
            tracking.CachingGiven = true;
            c.Reply.Ok();
        }
    }

    private static void RunGetRedirection(CommandContext c) => c.Reply.Integer(c.Session.Tracking?.Redirect ?? -1);

    private static void RunTrackingInfo(CommandContext c)
    {
        TrackingState? tracking = c.Session.Tracking;
        c.Reply.Map(3);
        c.Reply.Bulk("flags"u8);
        long mark = c.Reply.BeginDeferred(), count = 1;
        c.Reply.Bulk(tracking is null ? "off"u8 : "on"u8);
        foreach ((bool isSet, string name) in (ReadOnlySpan<(bool, string)>)
        [
            (tracking is { IsBroadcast: true }, "bcast"),
            (tracking is { OptIn: true }, "optin"),
            (tracking is { OptIn: true, CachingGiven: true }, "caching-yes"),
            (tracking is { OptOut: true }, "optout"),
            (tracking is { OptOut: true, CachingGiven: true }, "caching-no"),
            (tracking is { NoLoop: true }, "noloop"),
            (tracking is { IsRedirectBroken: true }, "broken_redirect"),
        ])
        {
            if (isSet)
            {
                c.Reply.Bulk(Encoding.ASCII.GetBytes(name));
                count++;
            }
        }

        c.Reply.EndDeferredSet(mark, count);
        c.Reply.Bulk("redirect"u8);
        c.Reply.Integer(tracking?.Redirect ?? -1);
        c.Reply.Bulk("prefixes"u8);
        c.Reply.Array(tracking?.Prefixes.Count ?? 0);
        foreach (byte[] prefix in tracking is null ? [] : tracking.Prefixes)
        {
            c.Reply.Bulk(prefix);
        }
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "CACHING (YES|NO)",
        "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are:",
        "    * LIB-NAME: the client lib name.",
        "    * LIB-VER: the client lib version.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
        "         [OPTIN] [OPTOUT] [NOLOOP]",
        "    Control server assisted client side caching.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.");
}
