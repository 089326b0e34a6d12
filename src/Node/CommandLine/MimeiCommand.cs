using System.CommandLine;
using System.CommandLine.Help;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither mimei …</c>: the containers of a node and their versions, for people. Everything here is a RESP command of the MIMEI family underneath; what
/// is added are tables, the next step and JSON.
/// </summary>
internal static partial class MimeiCommand
{
    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer);
        Command mimei = new("mimei", """
            The MiMei of a node and their versions.

            A MiMei is what one Redis server holds, or files, with git's history: backup makes a version, versions lists them,
            diff compares, restore brings back. publish gives it to other nodes, and provide follows one of theirs, live.
            """) { options.Data, options.Port, options.User, options.Json };
        foreach (MimeiVerb verb in (MimeiVerb[])[
            Make(options), List(options), Show(options), Name(options), Add(options), SetCid(options), Get(options), Ls(options), Backup(options), Versions(options), Diff(options), Log(options), Restore(options),
            Fork(options), Release(options), DelVers(options), Check(options), Export(options), Import(options), Ref(options), Cid(options), Publish(options), Unpublish(options), Right(options), Group(options),
            Provide(options), Unprovide(options), Sync(options), FindProvs(options), Followers(options), Providers(options), Takeover(options)])
        {
            mimei.Subcommands.Add(verb);
        }

        mimei.SetAction(static result => new MimeiHelp(new HelpAction()).Invoke(result));
        return mimei;
    }

    // ------------------------------------------------------------------ MiMei

    private static MimeiVerb Make(MimeiOptions options)
    {
        Option<string> type = new("--type", "-t") { Description = "What it holds: db or file [default: db]", HelpName = "TYPE", DefaultValueFactory = static _ => "db" };
        Option<string?> mark = new("--mark", "-m") { Description = "What tells it from others of the author; {{auto}} gives a new one each time", HelpName = "MARK" };
        Option<string?> app = new("--app", "-a") { Description = "The app that it is of", HelpName = "APPID" };
        Option<string?> ext = new("--ext", "-e") { Description = "Its extension", HelpName = "EXT" };
        Option<string?> right = MimeiOptions.Valid(
            new("--right") { Description = "Its rights, a mask of 64 bits as a number", HelpName = "MASK" },
            static mask => ulong.TryParse(mask, NumberStyles.None, CultureInfo.InvariantCulture, out _), "a number of 64 bits");
        Option<string?> name = MimeiOptions.Name(new("--name", "-n") { Description = "A name for it on this node", HelpName = "NAME" });
        MimeiVerb verb = new("create", "[options]", "Makes a MiMei and prints its id.")
        {
            Details = "The same author, app, extension, mark and type always have the same id: one that is there already is only named.",
            Json = """{"mid": text, "name": text}""",
            Examples = ["create -m diary", "create -t file -m photos -n photos", "create -m '{{auto}}' -n scratch"],
        };
        verb.Options.Add(type);
        verb.Options.Add(mark);
        verb.Options.Add(app);
        verb.Options.Add(ext);
        verb.Options.Add(right);
        verb.Options.Add(name);
        return verb.Runs(options, (result, session, output) =>
        {
            verb.Words(result, 0, 0);
            List<string> words = ["MIMEI", "CREATE", result.GetValue(type)!];
            foreach ((string word, string? value) in (IEnumerable<(string, string?)>)[
                ("MARK", result.GetValue(mark)), ("APP", result.GetValue(app)), ("EXT", result.GetValue(ext)), ("RIGHT", result.GetValue(right))])
            {
                if (value is not null)
                {
                    words.AddRange([word, value]);
                }
            }

            string kind = words[2];
            if (!kind.Equals("db", StringComparison.OrdinalIgnoreCase) && !kind.Equals("file", StringComparison.OrdinalIgnoreCase))
            {
                throw verb.Misused($"A MiMei is of type db or file, not '{kind}'");
            }

            string mid = session.Call(words).Text;
            if (result.GetValue(name) is { } wanted)
            {
                try
                {
                    session.Call("MIMEI", "NAME", wanted, mid);
                }
                catch (CommandLineException e)
                {
                    throw new CommandLineException($"{mid} is made, but has no name: {e.Message}", inner: e);
                }
            }

            session.Open(mid);
            string has = session.Bound().Name;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = mid, ["name"] = has });
                return;
            }

            output.Line($"mid= {mid}");
            string called = has.Length > 0 ? has : mid;
            bool holdsFiles = kind.Equals("file", StringComparison.OrdinalIgnoreCase);
            output.Next(holdsFiles ? session.Place.Leither($"mimei add {called} FILE") : session.ClientOf(called), session.Place.Leither($"mimei show {called}"));
        });
    }

    private static MimeiVerb List(MimeiOptions options)
    {
        MimeiVerb verb = new("list", "", "Lists the MiMei of the node.")
        {
            Details = "Keys of one that is not loaded are those that it had when it was unloaded.",
            Json = """{"mimeis": [{"mid": text, "name": text, "open": bool, "keys": number, "disk": bytes}]}""",
            Examples = ["list", "list --json"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            verb.Words(result, 0, 0);
            Fields[] found = [.. session.Call("MIMEI", "LIST").Elements.Select(static e => new Fields(e))];
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["mimeis"] = new JsonArray([.. found.Select(static f => new JsonObject
                    {
                        ["mid"] = f.Text("mid"),
                        ["name"] = f.Text("name"),
                        ["open"] = f.Number("open") != 0,
                        ["keys"] = f.Number("keys"),
                        ["disk"] = f.Number("disk"),
                    })]),
                });
                return;
            }

            output.Table(
                ["Name", "MiMei", "Loaded", "#Keys", "#Disk"],
                found.Select(static f => (string[])[
                    f.Text("name"), f.Text("mid"), f.Number("open") != 0 ? "yes" : "no", MimeiOutput.Number(f.Number("keys")), MimeiOutput.Bytes(f.Number("disk"))]));
            output.Next(session.Place.Leither("mimei show NAME"), session.Place.Leither("mimei create -m MARK -n NAME"));
        });
    }

    private static MimeiVerb Name(MimeiOptions options)
    {
        Option<bool> remove = new("--remove") { Description = "Take the name away" };
        MimeiVerb verb = new("name", "MID NAME | --remove NAME", "Gives a MiMei a name on this node, or takes it away.")
        {
            Details = "A name has up to 64 letters, digits, '.', '_' and '-', and begins with a letter or digit. A MiMei has one; a new one takes the place of the old.",
            Json = """{"mid": text, "name": text}""",
            Examples = ["name RXN74QNeiY08LRSaoeQhx3nOLTC diary", "name --remove diary"],
        };
        verb.Options.Add(remove);
        return verb.Runs(options, (result, session, output) =>
        {
            bool isRemoved = result.GetValue(remove);
            string[] words = verb.Words(result, isRemoved ? 1 : 2, isRemoved ? 1 : 2);
            string mid = new Fields(session.Call("MIMEI", "INFO", words[0])).Text("mid");
            session.Call("MIMEI", "NAME", words[^1], isRemoved ? "" : mid);
            string name = isRemoved ? "" : words[1];
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = mid, ["name"] = name });
                return;
            }

            output.Line(isRemoved ? (FormattableString)$"{mid} has no name any more" : $"{mid} is called {name}");
            output.Next(session.Place.Leither("mimei list"));
        });
    }

    // ------------------------------------------------------------------ versions

    private static MimeiVerb Backup(MimeiOptions options)
    {
        Option<string?> memo = new("--memo") { Description = "What to remember about it", HelpName = "TEXT" };
        MimeiVerb verb = new("backup", "[MID] [options]", "Makes a version of what there is now.")
        {
            Details = "It costs what changed since the version before, and no client waits for it. A version is read-only for ever.",
            Json = """{"mid": text, "version": number, "cid": text, "state": text, "created": time, "memo": text, "released": bool, "seconds": number}""",
            Examples = ["backup", "backup diary --memo 'before the move'"],
        };
        verb.Options.Add(memo);
        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            session.Open(mid);
            Stopwatch watch = Stopwatch.StartNew();
            long number = MakeVersion(session, output, result.GetValue(memo));
            double seconds = watch.Elapsed.TotalSeconds;
            VersionLine made = VersionLine.Of(session.Call("MIMEI", "VERSIONS")).Single(v => v.Number == number);
            (string id, string name) = session.Bound();
            if (output.AsJson)
            {
                JsonObject json = new() { ["mid"] = id };
                made.AddTo(json);
                json["seconds"] = Math.Round(seconds, 3);
                MimeiOutput.Json(json);
                return;
            }

            output.Line($"[green]Version {number}[/] of {(name.Length > 0 ? name : id)}  {output.Cid(made.Cid)}  {seconds:0.00} s");
            string named = mid is null ? "" : " " + mid;
            output.Next(
                Opened(session, name.Length > 0 ? name : id, $"{number}"),
                session.Place.Leither($"mimei diff{named} {number} cur"),
                session.Place.Leither($"mimei restore{named} {number}"));
        });
    }

    private static MimeiVerb Versions(MimeiOptions options)
    {
        Option<bool> sizes = new("--sizes") { Description = "How large each is, too: its keys, what it leads to, and what of that no version before it has" };
        MimeiVerb verb = new("versions", "[MID] [options]", "Lists the versions of a MiMei, newest first.")
        {
            Json = """
                {"mid": text, "versions": [{"version": number, "cid": text, "state": text, "created": time, "memo": text, "released": bool}]}
                With --sizes each has "keys": number, "size": bytes, "added": bytes, too; the last two are null where there is so much that it would take too long
                """,
            Examples = ["versions", "versions diary --sizes", "versions diary --json"],
        };
        verb.Options.Add(sizes);
        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            session.Open(mid);
            string id = session.Bound().Mid;
            bool isSized = result.GetValue(sizes);
            VersionLine[] versions = VersionLine.Of(isSized ? session.Wait(output, "Measuring", () => session.Call("MIMEI", "VERSIONS", id, "SIZES")) : session.Call("MIMEI", "VERSIONS"));
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["mid"] = id,
                    ["versions"] = new JsonArray([.. versions.Select(static v =>
                    {
                        JsonObject json = [];
                        v.AddTo(json);
                        return json;
                    })]),
                });
                return;
            }

            string named = mid is null ? "" : " " + mid;
            if (versions.Length == 0)
            {
                output.Line($"No version yet");
                output.Next(session.Place.Leither($"mimei backup{named}"));
                return;
            }

            output.Table(
                ["#Version", "Made", "Released", .. isSized ? (string[])["#Keys", "#Size", "#New"] : [], "CID", "Memo"],
                versions.Select(v => (string[])[
                    $"{v.Number}", MimeiOutput.ShortTime(v.Created), v.Released ? "release" : "", .. v.Size is { } size ? (string[])[MimeiOutput.Number(size.Keys), BytesOr(size.Bytes), BytesOr(size.Added)] : [],
                    output.Cid(v.Cid), MimeiOutput.OneLine(v.Memo)]));
            output.Next(session.Place.Leither($"mimei diff{named} {versions[0].Number} cur"), BringBack(session, mid, $"{versions[0].Number}"));
        });
    }

    private static MimeiVerb Restore(MimeiOptions options)
    {
        MimeiVerb verb = new("restore", "[MID] VERSION", "Brings back what there was at a version, as one change.")
        {
            Details = "VERSION is a number, last or release. What is there now is in no version unless a backup was made; versions after it stay.",
            Json = """{"mid": text, "version": number, "seconds": number}""",
            Examples = ["restore 1", "restore diary last"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            (string? mid, string[] rest) = Split(verb.Words(result, 1, 2), 1);
            session.Open(mid);
            long number = NumberOf(session, rest[0]);
            Stopwatch watch = Stopwatch.StartNew();
            session.Wait(output, "Bringing it back", () => session.Call("MIMEI", "RESTORE", number > 0 ? number.ToString(CultureInfo.InvariantCulture) : rest[0]));
            (string id, string name) = session.Bound();
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = id, ["version"] = number, ["seconds"] = Math.Round(watch.Elapsed.TotalSeconds, 3) });
                return;
            }

            output.Line($"{(name.Length > 0 ? name : id)} is [green]as at version {number}[/]");
            output.Next(session.Place.Leither($"mimei diff{(mid is null ? "" : " " + mid)} {number} cur"));
        });
    }

    /// <summary>Makes a version of the MiMei of the connection; gives its number.</summary>
    internal static long MakeVersion(MimeiSession session, MimeiOutput output, string? memo) =>
        session.Wait(output, "Making a version", () => session.Call(memo is null ? ["MIMEI", "BACKUP"] : ["MIMEI", "BACKUP", "MEMO", memo])).Integer;

    /// <summary>The command by which one looks at a version.</summary>
    private static string Opened(MimeiSession session, string called, string version) =>
        session.CallIfAllowed("MIMEI", "INFO", called) is { } info && new Fields(info).Text("type") == "file"
            ? session.Place.Leither($"mimei get {called} --version {version} -o OUT")
            : session.ClientOf(called, version);

    /// <summary>The command by which one goes on from a version: a copy cannot be taken back to it, but a MiMei of one's own can begin there.</summary>
    private static string BringBack(MimeiSession session, string? mid, string version)
    {
        string named = mid is null ? "" : " " + mid;
        return session.Place.Leither(session.IsCopy() ? $"mimei fork{named} {version} -n NAME" : $"mimei restore{named} {version}");
    }

    private static MimeiVerb Release(MimeiOptions options)
    {
        MimeiVerb verb = new("release", "[MID] VERSION", "Says which version its author, or who writes it for him, stands for.")
        {
            Details = "It is the one that 'release' means wherever a version is named. VERSION is a number, last, or none to take it back.",
            Json = """{"mid": text, "release": number}   (0: none)""",
            Examples = ["release 3", "release diary last", "release diary none"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            (string? mid, string[] rest) = Split(words, 1);
            session.Open(mid);
            bool isNone = rest[0].Equals("none", StringComparison.OrdinalIgnoreCase);
            long number = isNone ? 0 : NumberOf(session, rest[0]);
            session.Call("MIMEI", "RELEASE", isNone ? "" : number > 0 ? number.ToString(CultureInfo.InvariantCulture) : rest[0]);
            (string id, string name) = session.Bound();
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = id, ["release"] = number });
                return;
            }

            string called = name.Length > 0 ? name : id;
            output.Line(isNone ? (FormattableString)$"{called} has no released version" : $"The release of {called} is [green]version {number}[/]");
            output.Next(isNone ? session.Place.Leither($"mimei versions{(mid is null ? "" : " " + mid)}") : Opened(session, called, "release"));
        });
    }

    private static MimeiVerb DelVers(MimeiOptions options)
    {
        MimeiVerb verb = new("delvers", "[MID] VERSION…", "Deletes versions.")
        {
            Details = "Blocks that no other version needs are collected in the background. A name that is a number must be given as an id.",
            Json = """{"mid": text, "deleted": number}""",
            Examples = ["delvers 1 2 3", "delvers diary 1"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, int.MaxValue);
            (string? mid, string[] rest) = MimeiVerb.IsVersion(words[0]) ? (null, words) : (words[0], words[1..]);
            if (rest.Length == 0)
            {
                throw verb.Misused("Which version is missing");
            }

            session.Open(mid);
            long deleted = session.Call(["MIMEI", "DELVERS", .. rest]).Integer;
            (string id, string name) = session.Bound();
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = id, ["deleted"] = deleted });
                return;
            }

            output.Line($"Deleted {MimeiOutput.Count(deleted, "version")} of {(name.Length > 0 ? name : id)}");
            output.Next(session.Place.Leither($"mimei versions{(mid is null ? "" : " " + mid)}"));
        });
    }

    private static MimeiVerb Fork(MimeiOptions options)
    {
        Option<string?> name = MimeiOptions.Name(new("--name", "-n") { Description = "A name for the new MiMei on this node", HelpName = "NAME" });
        MimeiVerb verb = new("fork", "[MID] [VERSION] [options]", "Makes a MiMei of its own of a version, and prints its id.")
        {
            Details = "VERSION is a number, cur, last or release; left out, it is what there is now.",
            Json = """{"mid": text, "name": text, "from": text, "version": text, "seconds": number}""",
            Examples = ["fork 1 -n experiment", "fork diary last"],
        };
        verb.Options.Add(name);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 0, 2);
            (string? mid, string version) = words switch
            {
                [var only] => MimeiVerb.IsVersion(only) ? (null, only) : (only, "cur"),
                [var first, var second] => (first, second),
                _ => (null, "cur"),
            };
            session.Open(mid);
            string from = session.Bound().Mid;
            Stopwatch watch = Stopwatch.StartNew();
            string made = session.Wait(output, "Making a MiMei of it", () => session.Call("MIMEI", "FORK", version)).Text;
            double seconds = watch.Elapsed.TotalSeconds;
            string called = result.GetValue(name) ?? "";
            if (called.Length > 0)
            {
                try
                {
                    session.Call("MIMEI", "NAME", called, made);
                }
                catch (CommandLineException e)
                {
                    throw new CommandLineException($"{made} is made, but has no name: {e.Message}", inner: e);
                }
            }

            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = made, ["name"] = called, ["from"] = from, ["version"] = version, ["seconds"] = Math.Round(seconds, 3) });
                return;
            }

            output.Line($"mid= {made}");
            string word = called.Length > 0 ? called : made;
            output.Next(session.ClientOf(word), session.Place.Leither($"mimei show {word}"));
        });
    }

    // ------------------------------------------------------------------ looking into them

    private static MimeiVerb Diff(MimeiOptions options)
    {
        Option<string?> match = new("--match") { Description = "Only keys that a pattern as KEYS takes it matches", HelpName = "PATTERN" };
        MimeiVerb verb = new("diff", "[MID] A B [options]", "Lists the keys, or files, that differ between two versions.")
        {
            Details = "A and B are numbers, cur, last or release. What both have in common is not read.",
            Json = """
                {"mid": text, "a": text, "b": text, "changes": [{"change": "added"|"removed"|"changed", "database": number, "key": text, "type": text}],
                 "added": number, "removed": number, "changed": number}
                The key of a file is its path. A key that is no text in UTF-8 is "key_base64". What fails after the first changes ends the output with "error": text in the same object.
                """,
            Examples = ["diff 1 2", "diff last cur --match 'user:*'", "diff diary 1 release --json"],
        };
        verb.Options.Add(match);
        return verb.Runs(options, (result, session, output) =>
        {
            (string? mid, string[] rest) = Split(verb.Words(result, 2, 3), 2);
            session.Open(mid);
            string id = session.Bound().Mid;
            string pattern = result.GetValue(match) ?? "*";
            IEnumerable<RespReply> found = Differences(session, output, rest[0], rest[1], pattern);
            Dictionary<string, long> counts = new() { ["added"] = 0, ["removed"] = 0, ["changed"] = 0 };
            if (output.AsJson)
            {
                WriteDifferences(found, id, rest[0], rest[1], counts);
                return;
            }

            bool hasTitle = false;
            foreach (RespReply one in found)
            {
                bool isFile = one[3].Text is "file" or "directory" or "symlink";
                if (!hasTitle)
                {
                    hasTitle = true;
                    output.Line(isFile ? (FormattableString)$"[bold]{"Change",-9}{"Type",-11}Path[/]" : $"[bold]{"Change",-9}{"Type",-8}{"Db",2}  Key[/]");
                }

                string change = one[2].Text, key = MimeiOutput.Key(one[1].Bytes);
                counts[change]++;
                output.Colored(change switch { "added" => "green", "removed" => "red", _ => "yellow" }, $"{change,-9}", isFile ? $"{one[3].Text,-11}{key}" : $"{one[3].Text,-8}{one[0].Integer,2}  {key}");
            }

            output.Line(!hasTitle
                ? (FormattableString)$"No difference"
                : $"{counts["added"]:N0} added, {counts["removed"]:N0} removed, {counts["changed"]:N0} changed");
            if (hasTitle && MimeiVerb.IsVersion(rest[0]) && !rest[0].Equals("cur", StringComparison.OrdinalIgnoreCase))
            {
                output.Next(BringBack(session, mid, rest[0]));
            }
        });
    }

    /// <summary>The differences of two versions, page by page.</summary>
    private static IEnumerable<RespReply> Differences(MimeiSession session, MimeiOutput output, string a, string b, string pattern)
    {
        string? cursor = null;
        do
        {
            string[] place = cursor is null ? [] : ["CURSOR", cursor];
            RespReply page = session.Wait(output, "Comparing", () => session.Call(["MIMEI", "DIFF", a, b, "MATCH", pattern, .. place]));
            cursor = page[0].Text;
            foreach (RespReply one in page[1].Elements)
            {
                yield return one;
            }
        }
        while (cursor != "0");
    }

    private static void WriteDifferences(IEnumerable<RespReply> found, string mid, string a, string b, Dictionary<string, long> counts)
    {
        using IEnumerator<RespReply> all = found.GetEnumerator();

        // What is wrong with the command shows with the first page, before anything is written.
        bool hasOne = all.MoveNext();
        using Utf8JsonWriter json = MimeiOutput.JsonWriter();
        json.WriteStartObject();
        json.WriteString("mid", mid);
        json.WriteString("a", a);
        json.WriteString("b", b);
        json.WriteStartArray("changes");
        CommandLineException? problem = null;
        while (hasOne)
        {
            RespReply one = all.Current;
            counts[one[2].Text]++;
            json.WriteStartObject();
            json.WriteString("change", one[2].Text);
            json.WriteNumber("database", one[0].Integer);
            MimeiOutput.WriteKey(json, one[1].Bytes);
            json.WriteString("type", one[3].Text);
            json.WriteEndObject();
            if (json.BytesPending > 1 << 16)
            {
                json.Flush();
            }

            try
            {
                hasOne = all.MoveNext();
            }
            catch (CommandLineException e)
            {
                problem = e;
                break;
            }
        }

        json.WriteEndArray();
        foreach ((string change, long count) in counts)
        {
            json.WriteNumber(change, count);
        }

        if (problem is not null)
        {
            json.WriteString("error", problem.Message);
        }

        json.WriteEndObject();
        json.Flush();
        Console.Out.WriteLine();
        if (problem is not null)
        {
            throw new CommandLineException("", inner: problem);
        }
    }

    private static MimeiVerb Log(MimeiOptions options)
    {
        Option<long?> from = MimeiOptions.Number(new("--from") { Description = "The first entry [default: so that the last ones are shown]", HelpName = "SEQUENCE" });
        Option<long?> count = MimeiOptions.Number(new("--count") { Description = "How many entries [default: 20]", HelpName = "COUNT" });
        MimeiVerb verb = new("log", "[MID] [options]", "Lists entries of a MiMei's log: one for each command, transaction or script.")
        {
            Details = "The MiMei as it was after an entry can be opened: MIMEI OPEN mid AT sequence.",
            Json = """
                {"mid": text, "entries": [{"sequence": number, "time": time, "bytes": number, "effects": [{"effect": text, "database": number, "key": text}]}]}
                A key that is no text in UTF-8 is "key_base64". Of an entry at most 100 effects are listed.
                """,
            Examples = ["log", "log diary --from 1 --count 100"],
        };
        verb.Options.Add(from);
        verb.Options.Add(count);
        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            session.Open(mid);
            List<string> words = ["MIMEI", "LOG"];
            if (result.GetValue(from) is { } first)
            {
                words.AddRange(["FROM", first.ToString(CultureInfo.InvariantCulture)]);
            }

            if (result.GetValue(count) is { } many)
            {
                words.AddRange(["COUNT", many.ToString(CultureInfo.InvariantCulture)]);
            }

            (string id, string name) = session.Bound();
            RespReply entries = session.Wait(output, "Reading the log", () => session.Call(words));
            if (output.AsJson)
            {
                WriteLog(entries, id);
                return;
            }

            if (entries.Elements.Count == 0)
            {
                output.Line($"No entry");
                return;
            }

            output.Table(["#Entry", "Time", "#Bytes", "Effects"], entries.Elements.Select(static e => (string[])[
                MimeiOutput.Number(e[0].Integer),
                MimeiOutput.ShortTime(DateTimeOffset.FromUnixTimeMilliseconds(e[1].Integer)),
                MimeiOutput.Number(e[2].Integer),
                EffectsOf(e[3])]));
            string called = name.Length > 0 ? name : id;
            string named = mid is null ? "" : " " + mid;
            long start = entries[0][0].Integer, before = Math.Max(1, start - entries.Elements.Count);
            string[] next = [$"{session.RedisCli}, then MIMEI OPEN {called} AT {start}: what there was after entry {start}"];
            output.Next(start > 1 ? [session.Place.Leither($"mimei log{named} --from {before} --count {start - before}"), .. next] : next);
        });
    }

    private static string EffectsOf(RespReply effects)
    {
        const int shown = 3;
        string text = string.Join(", ", effects.Elements.Take(shown).Select(static e =>
            $"{e[0].Text}{(e[1].Integer == 0 ? "" : $" db{e[1].Integer}")}{(e[2].Bytes.Length == 0 ? "" : " " + MimeiOutput.Key(e[2].Bytes))}"));
        return effects.Elements.Count > shown ? $"{text} and {effects.Elements.Count - shown} more" : text;
    }

    private static void WriteLog(RespReply entries, string mid)
    {
        using (Utf8JsonWriter json = MimeiOutput.JsonWriter())
        {
            json.WriteStartObject();
            json.WriteString("mid", mid);
            json.WriteStartArray("entries");
            foreach (RespReply entry in entries.Elements)
            {
                json.WriteStartObject();
                json.WriteNumber("sequence", entry[0].Integer);
                json.WriteString("time", MimeiOutput.UtcTime(DateTimeOffset.FromUnixTimeMilliseconds(entry[1].Integer)));
                json.WriteNumber("bytes", entry[2].Integer);
                json.WriteStartArray("effects");
                foreach (RespReply effect in entry[3].Elements)
                {
                    json.WriteStartObject();
                    json.WriteString("effect", effect[0].Text);
                    json.WriteNumber("database", effect[1].Integer);
                    MimeiOutput.WriteKey(json, effect[2].Bytes);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        Console.Out.WriteLine();
    }

    // ------------------------------------------------------------------ what they share

    /// <summary>Runs a command on a connection of its own; gives the exit code.</summary>
    internal static MimeiVerb Runs(this MimeiVerb verb, MimeiOptions options, Action<ParseResult, MimeiSession, MimeiOutput> act)
    {
        verb.SetAction(result =>
        {
            MimeiOutput output = new(result.GetValue(options.Json));
            try
            {
                // A wrong command line is told whether or not a node runs.
                verb.Words(result, 0, int.MaxValue);
                using MimeiSession session = MimeiSession.Connect(options.PlaceOf(verb, result));
                act(result, session, output);
                return 0;
            }
            catch (CommandLineException e)
            {
                if (e.Message.Length > 0)
                {
                    output.Fail(e.Message);
                }

                return e.ExitCode;
            }
        });
        return verb;
    }

    /// <summary>Parts the MiMei from the words after it, of which there are so many.</summary>
    private static (string? Mid, string[] Others) Split(string[] words, int rest) =>
        words.Length > rest ? (words[0], words[^rest..]) : (null, words);

    /// <summary>The number of a version that is named; 0 where there is none, or what was named is none: the node says what is wrong then.</summary>
    internal static long NumberOf(MimeiSession session, string version)
    {
        if (long.TryParse(version, NumberStyles.None, CultureInfo.InvariantCulture, out long number))
        {
            return number;
        }

        VersionLine[] versions = VersionLine.Of(session.Call("MIMEI", "VERSIONS"));
        VersionLine? found = version.ToLowerInvariant() switch
        {
            "last" => versions.FirstOrDefault(),
            "release" => versions.FirstOrDefault(static v => v.Released),
            _ => null,
        };
        return found?.Number ?? 0;
    }

    private static string BytesOr(long? bytes) => bytes is { } number ? MimeiOutput.Bytes(number) : "?";
}
