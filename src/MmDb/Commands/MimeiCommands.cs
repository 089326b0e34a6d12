using System.Globalization;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.MmDb.Rights;

namespace Leither.MmDb.Commands;

/// <summary>
/// MIMEI and its subcommands: the containers of a node, and which of them a connection works on. What a client can do in one with data stands in the
/// families of the data types.
/// </summary>
public static unsafe class MimeiCommands
{
    /// <summary>The longest name that a MiMei may be given.</summary>
    public const int MaxNameLength = 64;

    /// <summary>MIMEI OPEN: logging in as <c>user@mid</c> takes the right to it too.</summary>
    internal static readonly CommandSpec Open = new("open", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(1) when the MiMei is loaded; otherwise O(N) where N is the size of its state and of the log after it.",
        Summary = "Binds the connection to a MiMei.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.EndsBatch,
        Categories = ["connection"],
        Need = new MimeiNeed(MimeiRight.All, 2),
        Args =
        [
            Arg.String("mid").Shown("mid|name"),
            Arg.OneOf("place", Arg.String("version").Token("VERSION").Shown("cur|last|release|n"), Arg.String("moment").Token("AT").Shown("time|seq")).Optional(),
        ],
        Handler = &RunOpen,
    };

    /// <summary>MIMEI</summary>
    public static readonly CommandSpec Mimei = new("mimei", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "Depends on subcommand.",
        Summary = "A container for MiMei commands.",
        Flags = CommandFlags.EndsBatch,
        Subcommands =
        [
            new("create", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Makes a MiMei, unless it is there, and returns its id.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.Loading | CommandFlags.Stale,
                Args =
                [
                    Arg.OneOf("type", Arg.Word("db", "DB"), Arg.Word("file", "FILE")),
                    Arg.String("mark").Token("MARK").Optional(),
                    Arg.String("app").Token("APP").Optional(),
                    Arg.String("ext").Token("EXT").Optional(),
                    Arg.Integer("right").Token("RIGHT").Optional(),
                ],
                Handler = &RunCreate,
            },
            new("help", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("id", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Returns what the connection is bound to: the MiMei's id, its name, the version and the number of the database.",
                Flags = CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast,
                Handler = &RunId,
            },
            new("info", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of the MiMei's files.",
                Summary = "Returns what is known of a MiMei.",
                Flags = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.Loading | CommandFlags.Stale,
                Need = new MimeiNeed(MimeiRight.Read, 2),
                Args = [Arg.String("mid").Shown("mid|name")],
                Handler = &RunInfo,
            },
            new("list", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of all files of all MiMei.",
                Summary = "Lists the MiMei of the node that the user may read.",
                Flags = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.Loading | CommandFlags.Stale,
                Categories = ["connection"],
                Handler = &RunList,
            },
            new("may", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of the command's words, times the rules that the user has.",
                Summary = "Returns whether the user may run a command on the MiMei of the connection. It is not run.",
                Flags = CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast,
                Categories = ["connection"],
                Args = [Arg.String("command"), Arg.String("arg").Optional().Multiple()],
                Handler = &RunMay,
            },
            new("name", 4)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Gives a MiMei a name on this node, or takes it away.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.Loading | CommandFlags.Stale,
                Args = [Arg.String("name"), Arg.String("mid").Shown("mid|name")],
                Handler = &RunName,
            },
            new("work", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of clients.",
                Summary = "Returns the long work that clients wait for, and how far it is.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunWork,
            },
            Open,
            .. VersionCommands.All,
            .. ReplicaCommands.All,
            .. RightCommands.All,
            DomainCommands.Domain,
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Mimei];

    internal static ReadOnlySpan<byte> NoStore => "ERR this server keeps no files, so there is no place for another MiMei"u8;

    private static void RunHelp(CommandContext c) => c.Help(
        "ADD <content> [PROFILE <profile>]",
        "    Make a file of this content what the MiMei holds, and return its CID; of one that holds files, as GET, LS, SETCID and STAT.",
        "BACKUP [MEMO <text>]",
        "    Make a version of what there is now and return its number.",
        "BLOCK GET <cid> | MGET <cid> [<cid> ...] | MPUT <cid> <bytes> [<cid> <bytes> ...]",
        "    Read blocks of the MiMei, or put those of files that it is to hold: SETCID, within ten minutes, makes it hold them.",
        "CHECK [PURGE]",
        "    Verify every block, hash and signature of all versions, and the log; repair what can be repaired. PURGE makes",
        "    a checkpoint and leaves no byte of deleted versions and keys in any file, and says who else may have it.",
        "CID [<mid|name>]",
        "    Return the CID of the state that there is now: equal on two nodes exactly when they hold the same.",
        "CREATE <DB|FILE> [MARK <mark>] [APP <id>] [EXT <ext>] [RIGHT <mask>]",
        "    Make a MiMei and return its id. The same author, app, ext, mark and type always give the same one;",
        "    the mark {{auto}} gives a new one each time. It is its owner's alone, unless a mask of rights says otherwise.",
        "DELVERS <version> [<version> ...]",
        "    Delete versions and return how many. Whoever has one open keeps it; its blocks go in the background.",
        "DIFF <a> <b> [MATCH <pattern>] [CURSOR <cursor>] [COUNT <count>]",
        "    Return the keys that differ between two versions, and where to go on (0: no more).",
        "DOMAIN SET <host> <mid|name> | DEL <host> | LIST",
        "    Show the files of a MiMei to browsers under the name of a host: those of its released version, or else its newest. NAME.localhost is",
        "    a name on the same machine without more ado. Everyone has to be allowed to read it: PUBLISH.",
        "EXPORT <path> [VERSION <version> ...]",
        "    Write versions, or all, with all that they need into a CAR file. Relative paths begin in the data folder.",
        "FINDPROVS <mid|name>",
        "    Return which nodes have a MiMei, where they are, and how far each has it.",
        "FOLLOWERS [<mid|name>]",
        "    Return which nodes follow a MiMei here, how far each is, and by how many entries it lags.",
        "FORK [<cur|last|release|n>]",
        "    Make a MiMei of its own of a version and return its id.",
        "GET [<path> [OFFSET <offset>] [COUNT <count>]]",
        "    Return bytes of a file that the MiMei holds, 64 MiB at most.",
        "GROUP ADD <mid|name> <group> [<user> ...], GROUP DEL <mid|name> <group> [<user> ...], GROUP LIST <mid|name> [<group>]",
        "    Make a group of users (peer ids, node ids or user ids), change who is in it, or list groups. DEL without users deletes it.",
        "ID",
        "    Return the MiMei of this connection: id, name, version, database.",
        "IMPORT <path> [VERSION <version> ...]",
        "    Read versions, or all, out of a CAR file and check every byte. The MiMei is made, or they are added to those that it has.",
        "INFO <mid|name>",
        "    Return what is known of a MiMei.",
        "LIST",
        "    Return the MiMei of this node that the user may read, loaded or not.",
        "LOG [FROM <sequence>] [COUNT <count>]",
        "    Return entries of the log: sequence, time, bytes and effects. Without FROM, the last ones.",
        "LS [<path>]",
        "    List a folder that the MiMei holds: name, cid, type, size, total size.",
        "MAY <command> [<arg> ...]",
        "    Return 1 if the user of this connection may run a command here, 0 if not. With fewer arguments than it takes, only",
        "    the command is asked about and no key.",
        "NAME <name> <mid|name>",
        "    Give a MiMei a name on this node. NAME <name> '' takes the name away.",
        "OPEN <mid|name> [VERSION <cur|last|release|n> | AT <time|sequence>]",
        "    Bind this connection to a MiMei, in database 0.",
        "PROVIDE <mid|name> [FROM <multiaddr> [<multiaddr> ...]]",
        "    Follow a MiMei for as long as the node lives, over restarts too, and serve it to others. One of this node's own is",
        "    only announced.",
        "PROVIDERS [<mid|name> [ADD|DEL <peerid|nodeid> [<peerid|nodeid> ...]]]",
        "    Return or change the named providers: those whose acknowledgements WAIT and WAITAOF count.",
        "PUBLISH <mid|name> [TO <user> [<user> ...]]",
        "    Make a MiMei known to everybody, and announce its newest version: everyone may read it. Or, with TO, give these users",
        "    (peer ids, node ids or user ids) the right to read it, take it from everyone, and announce nothing.",
        "REF <ADD|DEL> <mid|name|mid/version|cid> [...], REF LIST [<mid|name>]",
        "    Make the MiMei refer to others, to versions, or to blocks of its own versions, so that they are kept; or list what it refers to.",
        "RELEASE <version|''>",
        "    Make it the version that VERSION release opens; '' makes it none.",
        "RESTORE <last|release|n>",
        "    Bring back what there was at a version, as one change.",
        "RIGHT GET <mid|name> [USER <user>]",
        "    Return who may do what with a MiMei, or what one user may.",
        "RIGHT SET <mid|name> <EVERYONE|GROUPS|MEMBERS|GROUP <group>|USER <user>> <right> [<right> ...], RIGHT SET <mid|name> <mask>",
        "    Say what they may do: read, write, backup, publish, grant, messages, scripts, all, none; or default, which is what is",
        "    said of all GROUPS or MEMBERS. The owner may do everything.",
        "RIGHT DEL <mid|name> <EVERYONE|GROUPS|MEMBERS|GROUP <group>|USER <user>>",
        "    Take their rights back.",
        "SETCID <cid|path>",
        "    Make content what the MiMei holds. What is not here is fetched.",
        "SHOW [<mid|name>]",
        "    Return what is here of a MiMei beside what other nodes have of it, whether they contradict each other, and which",
        "    is newer. One that nobody else knows of is not asked for.",
        "STAT [<path>]",
        "    Return what is known of a file or folder that the MiMei holds.",
        "SYNC <mid|name> [FROM <multiaddr> [<multiaddr> ...]] [FOLLOW]",
        "    Bring a MiMei here from other nodes, or what is new of it; with FOLLOW, go on following it until the node ends.",
        "TAKEOVER <mid|name> [CERT <certificate> | PREPARE]",
        "    Make this node the one that writes a MiMei. Where the author's key is elsewhere, PREPARE returns what is to be",
        "    signed with it, and CERT takes the certificate that was made of that.",
        "UNPROVIDE <mid|name>",
        "    Follow and announce it no longer. What is here stays.",
        "UNPUBLISH <mid|name>",
        "    Take the right to read it from all but its owner. What others have they keep.",
        "VERSIONS [<mid|name>]",
        "    Return the versions of a MiMei, newest first.",
        "WORK",
        "    Return the long work that clients wait for: whose, what, which step, and how much of that is done (of 0: nobody knows).");

    // ------------------------------------------------------------------ making

    private static void RunCreate(CommandContext c)
    {
        MimeiType type;
        if (c.Is(2, "db"u8))
        {
            type = MimeiType.Database;
        }
        else if (c.Is(2, "file"u8))
        {
            type = MimeiType.Files;
        }
        else
        {
            c.Error(Errors.Syntax);
            return;
        }

        string mark = "", app = "", ext = "";
        ulong right = 0;
        for (int i = 3; i < c.Count; i += 2)
        {
            if (i + 1 == c.Count)
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (c.Is(i, "right"u8))
            {
                if (!ulong.TryParse(c.Text(i + 1), NumberStyles.None, CultureInfo.InvariantCulture, out right))
                {
                    c.Error(Errors.NotInteger);
                    return;
                }

                continue;
            }

            if (!MimeiInfo.IsText(c[i + 1].Span))
            {
                c.Error($"ERR mark, app and ext are texts in UTF-8 of up to {MimeiInfo.MaxTextBytes} bytes");
                return;
            }

            string text = Encoding.UTF8.GetString(c[i + 1].Span);
            if (c.Is(i, "mark"u8))
            {
                mark = text == MimeiInfo.AutoMark ? MimeiInfo.DrawMark() : text;
            }
            else if (c.Is(i, "app"u8))
            {
                app = text;
            }
            else if (c.Is(i, "ext"u8))
            {
                ext = text;
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        MimeiRegistry mimeis = c.Server.Mimeis;
        if (mimeis.Store is not { } store)
        {
            c.Error(NoStore);
            return;
        }

        var info = new MimeiInfo(store.Author, app, ext, mark, type);
        LeitherId id = info.Id;
        if (mimeis.TryFind(id, out _))
        {
            c.Reply.Bulk(Ascii(id));
            return;
        }

        var record = new MimeiRecord(id) { CreatedMs = c.Server.NowMs, Author = LeitherId.Of(store.Author.Span), Rights = MimeiRights.Private.WithMask(right) };
        c.Aside(
            () =>
            {
                store.Create(info);
                store.Keep(record);
                if (!record.Rights.IsPlain)
                {
                    store.KeepRights(record.Id, record.Rights);
                }

                return record;
            },
            static (c, made) =>
            {
                c.Server.Mimeis.Add(made);
                if (made.Rights.IsShared && c.Server.Replicas is { } replicas)
                {
                    c.AsideAsync(_ => ReplicaWork.RightsChangedAsync(replicas, made.Id), (c, _) => c.Reply.Bulk(Ascii(made.Id)));
                    return;
                }

                c.Reply.Bulk(Ascii(made.Id));
            });
    }

    // ------------------------------------------------------------------ using

    private static void RunOpen(CommandContext c)
    {
        MimeiPlace place = default;
        if (c.Count != 3)
        {
            bool isPlace = c.Count == 5
                && ((c.Is(3, "version"u8) && MimeiPlace.TryParseVersion(c.Text(4), out place)) || (c.Is(3, "at"u8) && MimeiPlace.TryParseMoment(c.Text(4), out place)));
            if (!isPlace)
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        Use(c, c.Text(2), place, static (c, mimei) =>
        {
            c.Server.Bind(c.Session, mimei);
            c.Reply.Ok();
        });
    }

    /// <summary>Gives the answer a MiMei, as soon as it is loaded; one that is not here as other nodes have it. Or replies why it cannot be had.</summary>
    internal static void Use(CommandContext c, string idOrName, MimeiPlace place, Action<CommandContext, Mimei> answer)
    {
        if (c.Server.Mimeis.TryFind(idOrName, out MimeiEntry? entry))
        {
            c.UseMimei(entry, place, answer);
            return;
        }

        if (!LeitherId.TryParse(idOrName, out LeitherId mid) || c.Server.Replicas is not { } replicas)
        {
            int zero = idOrName.IndexOf('\0', StringComparison.Ordinal);
            c.Error(NoSuch((zero < 0 ? idOrName : idOrName[..zero])[..Math.Min(zero < 0 ? idOrName.Length : zero, 128)]));
            return;
        }

        if (place.Kind is MimeiPlaceKind.Time or MimeiPlaceKind.Sequence)
        {
            c.Error($"ERR MiMei {mid} is not on this node, and of one that is read from other nodes only versions can be opened, no other moments; MIMEI SYNC {mid} brings it here");
            return;
        }

        place = place.Kind == MimeiPlaceKind.Current ? new MimeiPlace(MimeiPlaceKind.Last) : place;

        c.Session.Work = new LongWork("open", c.Session.Id);
        Server server = c.Server;
        var gone = new CancellationTokenSource();
        c.Await<Mimei>(done => server.Mimeis.LoadRemote(mid, place, () => replicas.OpenRemoteAsync(mid, place, gone.Token), done), answer, ended: gone.Cancel);
    }

    private static void RunId(CommandContext c)
    {
        Mimei mimei = c.Mimei;
        c.Reply.Array(4);
        c.Reply.Bulk(Ascii(mimei.Id));
        c.Reply.Bulk(Ascii(mimei.Entry!.Record.Name));
        c.Reply.Bulk(Ascii(mimei.Place));
        c.Reply.Integer(c.Session.DatabaseIndex);
    }

    // ------------------------------------------------------------------ telling

    private static void RunInfo(CommandContext c)
    {
        if (!TryFind(c, 2, out MimeiEntry entry))
        {
            return;
        }

        if (c.Server.Mimeis.Store is not { } store)
        {
            c.Error(NoStore);
            return;
        }

        c.Aside(
            () => (Entry: entry, Info: store.ReadInfo(entry.Id), Bytes: store.BytesOf(entry.Id)),
            static (c, found) =>
            {
                MimeiEntry entry = found.Entry;
                MimeiInfo info = found.Info;
                Resp.RespWriter reply = c.Reply;
                reply.Map(17);
                Field(reply, "mid", entry.Id.ToString());
                Field(reply, "name", entry.Record.Name);
                Field(reply, "type", MimeiInfo.WordOf(info.Type));
                Field(reply, "author", LeitherId.Of(info.Author.Span).ToString());
                Field(reply, "app", info.App);
                Field(reply, "ext", info.Ext);
                Field(reply, "mark", info.Mark);
                Field(reply, "created", DateTimeOffset.FromUnixTimeMilliseconds(entry.Record.CreatedMs).ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture));
                Field(reply, "right", entry.Rights.Mask.ToString(CultureInfo.InvariantCulture));
                Field(reply, "open", entry.Loaded is null ? 0 : 1);
                Field(reply, "clients", c.Server.Sessions.Values.Count(s => s.Mimei.Entry == entry));
                Field(reply, "keys", KeysOf(entry));
                Field(reply, "memory", entry.Loaded?.Keyspace.UsedBytes ?? 0);
                Field(reply, "disk", found.Bytes);
                Field(reply, "writable", c.Server.Mimeis.Store!.Author.Span.SequenceEqual(info.Author.Span) ? 1 : 0);
                List(reply, "references", [.. entry.Record.References.Select(static r => r.ToString())]);
                List(reply, "referrers", [.. c.Server.Mimeis.ReferrersOf(entry.Id).Select(static e => e.Id.ToString())]);
            });
    }

    private static void List(Resp.RespWriter reply, string name, string[] texts)
    {
        reply.Bulk(Ascii(name));
        reply.Array(texts.Length);
        foreach (string text in texts)
        {
            reply.Bulk(Ascii(text));
        }
    }

    private static void RunList(CommandContext c)
    {
        MimeiEntry[] all = [.. c.Server.Users.ReadableBy(c.Session).OrderBy(static e => e.Record.Name.Length == 0).ThenBy(static e => e.Record.Name, StringComparer.Ordinal)
            .ThenBy(static e => e.Record.CreatedMs).ThenBy(static e => e.Id.ToString(), StringComparer.Ordinal)];
        IMimeiStore? store = c.Server.Mimeis.Store;
        c.Aside(
            () => all.Select(e => (Entry: e, Bytes: store?.BytesOf(e.Id) ?? 0)).ToArray(),
            static (c, found) =>
            {
                Resp.RespWriter reply = c.Reply;
                reply.Array(found.Length);
                foreach ((MimeiEntry entry, long bytes) in found)
                {
                    reply.Map(5);
                    Field(reply, "mid", entry.Id.ToString());
                    Field(reply, "name", entry.Record.Name);
                    Field(reply, "open", entry.Loaded is null ? 0 : 1);
                    Field(reply, "keys", KeysOf(entry));
                    Field(reply, "disk", bytes);
                }
            });
    }

    private static void RunMay(CommandContext c)
    {
        const int command = 2;
        int count = c.Count - command;
        CommandSpec? spec = c.Server.Commands.FindFull(c.Args + command, count);
        if (spec is null)
        {
            c.Error($"ERR Command '{c.TextToZero(command, 128)}' not found");
            return;
        }

        c.Reply.Integer(c.Server.Users.May(c.Session, spec, c.Args + command, count) ? 1 : 0);
    }

    private static void RunWork(CommandContext c)
    {
        LongWork[] all = [.. c.Server.Sessions.Values.Where(static s => s is { Blocked: not null, Work: not null }).Select(static s => s.Work!)];
        c.Reply.Array(all.Length);
        foreach (LongWork work in all)
        {
            (long done, long total) = work.Progress;
            c.Reply.Map(5);
            Field(c.Reply, "client", work.Client);
            Field(c.Reply, "what", work.What);
            Field(c.Reply, "step", work.Step);
            Field(c.Reply, "done", done);
            Field(c.Reply, "total", total);
        }
    }

    private static long KeysOf(MimeiEntry entry) => entry.Loaded?.KeyCount ?? entry.Record.Keys;

    internal static void Field(Resp.RespWriter reply, string name, string value)
    {
        reply.Bulk(Ascii(name));
        reply.Bulk(Encoding.UTF8.GetBytes(value));
    }

    internal static void Field(Resp.RespWriter reply, string name, long value)
    {
        reply.Bulk(Ascii(name));
        reply.Integer(value);
    }

    // ------------------------------------------------------------------ names

    private static void RunName(CommandContext c)
    {
        MimeiRegistry mimeis = c.Server.Mimeis;
        string name = c.Text(2);
        MimeiEntry entry;
        if (c[3].Length == 0)
        {
            if (!mimeis.TryFind(name, out MimeiEntry? named) || named.Record.Name != name)
            {
                c.Error($"ERR no MiMei is named '{c.TextToZero(2, MaxNameLength)}'");
                return;
            }

            entry = named;
            name = "";
        }
        else if (!TryFind(c, 3, out entry))
        {
            return;
        }
        else if (name.Length > 0 && !IsName(name))
        {
            c.Error($"ERR a name has up to {MaxNameLength} letters, digits, '.', '_' and '-', begins with a letter or digit, and is no id");
            return;
        }
        else if (name.Length > 0 && mimeis.TryFind(name, out MimeiEntry? other) && other != entry)
        {
            c.Error($"ERR the name '{name}' is that of MiMei {other.Id}");
            return;
        }

        string before = entry.Record.Name;
        mimeis.Change(entry, entry.Record with { Name = name });
        c.Aside(
            () =>
            {
                mimeis.Keep(entry);
                return true;
            },
            static (c, _) => c.Reply.Ok(),
            () => mimeis.Change(entry, entry.Record with { Name = mimeis.TryFind(before, out _) ? "" : before }));
    }

    /// <summary>Whether a MiMei may be called so: it stands in URLs, behind an '@' and before a '/', and is no id.</summary>
    public static bool IsName(string name) =>
        name.Length is > 0 and <= MaxNameLength && char.IsAsciiLetterOrDigit(name[0]) && !LeitherId.TryParse(name, out _)
        && name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');

    /// <summary>The MiMei that a word names; or replies that there is none.</summary>
    internal static bool TryFind(CommandContext c, int index, out MimeiEntry entry)
    {
        if (c.Server.Mimeis.TryFind(c.Text(index), out entry!))
        {
            return true;
        }

        c.Error(NoSuch(c.TextToZero(index, 128)));
        return false;
    }

    /// <summary>The error for a MiMei that is not here.</summary>
    internal static string NoSuch(string shown) => $"ERR no such MiMei '{shown}'";

    private static byte[] Ascii<T>(T value) where T : notnull => Encoding.ASCII.GetBytes(value.ToString()!);
}
