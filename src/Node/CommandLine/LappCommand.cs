using System.CommandLine;
using System.CommandLine.Help;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Passports;
using Leither.Node.Http.Gateway;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither lapp …</c>: apps, for who makes them and for who runs the node that shows them. An app is a MiMei of files, its versions are that MiMei's, and everything here is a RESP command of the
/// MIMEI family underneath.
/// </summary>
internal static class LappCommand
{
    /// <summary>What everyone may, within the mask of a MiMei's rights: read.</summary>
    private const ulong EveryoneReads = 1;

    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer, new PassportOptions("-p"));
        Command lapp = new("lapp", """
            Apps: folders of pages that open in any browser, from this node or any other.

            An app is a MiMei of files. uploadapp brings its folder to a node, backup makes a version, release shows that to the public, and setdomain gives it a host's name.
            """);
        foreach (Option option in (Option[])[.. options.Passport!.All, options.Data, options.Port, options.User, options.Json])
        {
            lapp.Options.Add(option);
        }

        foreach (MimeiVerb verb in (MimeiVerb[])[UploadApp(options), Backup(options), Release(options), Restore(options), DelVers(options), ShowApp(options), SetDomain(options)])
        {
            lapp.Subcommands.Add(verb);
        }

        lapp.SetAction(static result => new MimeiHelp(new HelpAction()).Invoke(result));
        return lapp;
    }

    // ------------------------------------------------------------------ changing

    private static MimeiVerb UploadApp(MimeiOptions options)
    {
        ImportOptions import = new();
        Option<string?> input = new("--input", "-i") { Description = "The app's folder", HelpName = "DIR" };
        Option<string?> mark = new("--mark", "-m") { Description = "What tells it from other apps of the author [default: the folder's name]", HelpName = "MARK" };
        Option<string?> app = new("--app", "-a") { Description = "The app that it is of", HelpName = "APPID" };
        Option<string?> ext = new("--ext", "-e") { Description = "Its extension", HelpName = "EXT" };
        Option<bool> noIndex = new("--no-index") { Description = "It need not hold an index.html" };
        MimeiVerb verb = new("uploadapp", "-i DIR [MID] [options]", "Brings an app's folder to a node.")
        {
            Of = "lapp",
            Details = """
                What the folder holds takes the place of what the app held. Browsers are shown it once a version of it is made and, where one was released
                before, released; other nodes have it with the version, too. With a passport it goes to the MiMei that the passport is for, and the right to write is enough. Otherwise it goes to MID, or to the MiMei of files that the author has with
                this mark, which is made where there is none. What is sent to a node elsewhere can be read on the way: use a passport that asks for a proof.
                """,
            Json = """{"mid": text, "cid": text, "files": number, "bytes": number, "seconds": number}""",
            Examples = ["uploadapp -i chess", "uploadapp -i build -m chess", "uploadapp -i build -p chess.ppt -k my.key -n nas.local:4800"],
        };
        foreach (Option option in (Option[])[input, mark, app, ext, noIndex, .. import.All])
        {
            verb.Options.Add(option);
        }

        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            string folder = result.GetValue(input) is { Length: > 0 } named ? named : throw verb.Misused("The app's folder is missing: -i DIR");
            (string Word, string? Value)[] made = [("MARK", result.GetValue(mark)), ("APP", result.GetValue(app)), ("EXT", result.GetValue(ext))];
            bool isThere = mid is not null || session.Passport is { } passport && !passport.Rights.HasFlag(PassportRights.Admin);
            if (isThere && Array.Exists(made, static m => m.Value is not null))
            {
                throw verb.Misused("--mark, --app and --ext are of a MiMei that is found or made by them, and this one is there already");
            }

            CheckFolder(folder, result.GetValue(noIndex));
            if (isThere)
            {
                Bind(verb, session, mid);
            }
            else
            {
                made[0].Value ??= new DirectoryInfo(folder).Name;
                string[] words = [.. made.Where(static m => m.Value is not null).SelectMany(static m => (string[])[m.Word, m.Value!])];
                session.Open(session.Call(["MIMEI", "CREATE", "FILE", .. words]).Text);
            }

            Stopwatch watch = Stopwatch.StartNew();
            MimeiCommand.Taken taken = MimeiCommand.TakeIn(session, output, folder, import.ProfileOf(verb, result), import, result);
            double seconds = watch.Elapsed.TotalSeconds;
            (string id, string name) = session.Bound();
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = id, ["cid"] = taken.Cid, ["files"] = taken.Files, ["bytes"] = taken.Bytes, ["seconds"] = Math.Round(seconds, 3) });
                return;
            }

            output.Line($"mid= {id}");
            output.Line($"cid= {taken.Cid}  {MimeiOutput.Count(taken.Files, "file")}  {MimeiOutput.Bytes(taken.Bytes)}  {seconds:0.00} s");
            string called = name.Length > 0 ? name : id;
            output.Next(session.Place.Leither($"lapp backup {called}"), session.Place.Leither($"lapp release {called} last"));
        });
    }

    private static MimeiVerb Backup(MimeiOptions options)
    {
        Option<string?> memo = new("--memo") { Description = "What to remember about it", HelpName = "TEXT" };
        MimeiVerb verb = new("backup", "[APP] [options]", "Makes a version of what an app holds now.")
        {
            Of = "lapp",
            Details = "A version is read-only for ever.",
            Json = """{"mid": text, "version": number, "memo": text, "seconds": number}""",
            Examples = ["backup chess --memo 'castling works'"],
        };
        verb.Options.Add(memo);
        return verb.Runs(options, (result, session, output) =>
        {
            App app = Bind(verb, session, verb.Words(result, 0, 1).FirstOrDefault());
            Stopwatch watch = Stopwatch.StartNew();
            long number = MimeiCommand.MakeVersion(session, output, result.GetValue(memo));
            double seconds = watch.Elapsed.TotalSeconds;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = app.Mid, ["version"] = number, ["memo"] = result.GetValue(memo) ?? "", ["seconds"] = Math.Round(seconds, 3) });
                return;
            }

            output.Line($"[green]Version {number}[/] of {app.Called}  {seconds:0.00} s");
            output.Next(session.Place.Leither($"lapp release {app.Called} {number}"));
        });
    }

    private static MimeiVerb Release(MimeiOptions options)
    {
        MimeiVerb verb = new("release", "[APP] VER", "Says which version of an app the public sees.")
        {
            Of = "lapp",
            Details = "VER is a number, last, or none to take it back: then it is the newest one. The public sees it once everyone may read it: mimei publish.",
            Json = """{"mid": text, "release": number, "public": bool}   (0: none; public: null where one may not ask)""",
            Examples = ["release chess 3", "release chess last", "release chess none"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            (string? named, string version) = Split(verb.Words(result, 1, 2));
            App app = Bind(verb, session, named);
            bool isNone = version.Equals("none", StringComparison.OrdinalIgnoreCase);
            long number = isNone ? 0 : MimeiCommand.NumberOf(session, version);
            session.Call("MIMEI", "RELEASE", isNone ? "" : number > 0 ? number.ToString(CultureInfo.InvariantCulture) : version);
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = app.Mid, ["release"] = number, ["public"] = app.IsPublic });
                return;
            }

            output.Line(isNone ? (FormattableString)$"{app.Called} has no released version: the newest is shown" : $"The release of {app.Called} is [green]version {number}[/]");
            TellPublic(output, app);
            output.Next([.. Publish(session, app), session.Place.Leither($"lapp showapp {app.Called}")]);
        });
    }

    private static MimeiVerb Restore(MimeiOptions options)
    {
        MimeiVerb verb = new("restore", "[APP] VER", "Brings back what an app held at a version.")
        {
            Of = "lapp",
            Details = "VER is a number, last or release. What it holds now is in no version unless a backup was made; versions after VER stay.",
            Json = """{"mid": text, "version": number, "seconds": number}""",
            Examples = ["restore chess 2"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            (string? named, string version) = Split(verb.Words(result, 1, 2));
            App app = Bind(verb, session, named);
            long number = MimeiCommand.NumberOf(session, version);
            Stopwatch watch = Stopwatch.StartNew();
            session.Wait(output, "Bringing it back", () => session.Call("MIMEI", "RESTORE", number > 0 ? number.ToString(CultureInfo.InvariantCulture) : version));
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = app.Mid, ["version"] = number, ["seconds"] = Math.Round(watch.Elapsed.TotalSeconds, 3) });
                return;
            }

            output.Line($"{app.Called} is [green]as at version {number}[/]");
            output.Next(session.Place.Leither($"lapp backup {app.Called}"), session.Place.Leither($"lapp showapp {app.Called}"));
        });
    }

    private static MimeiVerb DelVers(MimeiOptions options)
    {
        MimeiVerb verb = new("delvers", "[APP] VER…", "Deletes versions of an app.")
        {
            Of = "lapp",
            Details = "Blocks that no other version needs are collected in the background. A name that is a number must be given as an id.",
            Json = """{"mid": text, "deleted": number}""",
            Examples = ["delvers chess 1 2"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, int.MaxValue);
            (string? named, string[] versions) = MimeiVerb.IsVersion(words[0]) ? (null, words) : (words[0], words[1..]);
            if (versions.Length == 0)
            {
                throw verb.Misused("Which version is missing");
            }

            App app = Bind(verb, session, named);
            long deleted = session.Call(["MIMEI", "DELVERS", .. versions]).Integer;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = app.Mid, ["deleted"] = deleted });
                return;
            }

            output.Line($"Deleted {MimeiOutput.Count(deleted, "version")} of {app.Called}");
            output.Next(session.Place.Leither($"lapp showapp {app.Called}"));
        });
    }

    private static MimeiVerb SetDomain(MimeiOptions options)
    {
        Option<string?> remove = new("--remove") { Description = "The host's name no longer shows the app", HelpName = "HOST" };
        MimeiVerb verb = new("setdomain", "APP [HOST | --remove HOST]", "Shows an app under a host's name, or lists under which it is shown.")
        {
            Of = "lapp",
            Details = """
                The name has to lead to the node: an entry in the DNS, or in the hosts file. Names that end in .localhost do on the node's own machine. What is shown is
                the released version, or the newest where none is released, and only if everyone may read it: mimei publish. Under that name whoever reaches the
                node's port is answered, from anywhere, and is shown nothing else of the node.
                """,
            Json = """{"mid": text, "domains": [text], "public": bool, "urls": [text]}   domains: all that show the app now""",
            Examples = ["setdomain chess chess.example.org", "setdomain chess", "setdomain chess --remove chess.example.org"],
        };
        verb.Options.Add(remove);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            string? gone = result.GetValue(remove), come = words.Length > 1 ? words[1] : null;
            if (gone is not null && come is not null)
            {
                throw verb.Misused($"There is no meaning for '{come}' beside --remove");
            }

            if ((gone ?? come) is { } host && (host.Length == 0 || host.AsSpan().ContainsAny('/', ':')))
            {
                throw verb.Misused($"A domain is the name of a host alone, such as chess.example.org, not '{host}'");
            }

            App app = Bind(verb, session, words[0]);
            Dictionary<string, string> before = DomainsOf(session.Call("MIMEI", "DOMAIN", "LIST"));
            if (gone is not null)
            {
                if (!before.TryGetValue(gone, out string? shown) || shown != app.Mid)
                {
                    throw new CommandLineException($"{gone} is no domain of {app.Called}{(shown is null ? "" : $", but of {shown}")}");
                }

                session.Call("MIMEI", "DOMAIN", "DEL", gone);
            }
            else if (come is not null)
            {
                session.Call("MIMEI", "DOMAIN", "SET", come, app.Mid);
            }

            string[] domains = Of(DomainsOf(session.Call("MIMEI", "DOMAIN", "LIST")), app.Mid);
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = app.Mid, ["domains"] = Texts(domains), ["public"] = app.IsPublic, ["urls"] = Texts([.. domains.Select(d => UrlOf(session, d))]) });
                return;
            }

            if (gone is not null)
            {
                output.Line($"{gone} no longer shows {app.Called}");
            }
            else if (come is not null)
            {
                string other = before.TryGetValue(come, out string? was) && was != app.Mid ? $"  (and no longer {was})" : "";
                output.Line($"{come} shows {app.Called}{other}  {UrlOf(session, come)}");
            }
            else if (domains.Length == 0)
            {
                output.Line($"No domain shows {app.Called}");
            }
            else
            {
                output.Table(["Domain", "URL"], domains.Select(d => (string[])[d, UrlOf(session, d)]));
            }

            if (domains.Length > 0)
            {
                TellPublic(output, app);
            }

            output.Next(domains.Length == 0 ? [session.Place.Leither($"lapp setdomain {app.Called} HOST")] : [.. Publish(session, app), session.Place.Leither($"lapp showapp {app.Called}")]);
        });
    }

    // ------------------------------------------------------------------ looking

    private static MimeiVerb ShowApp(MimeiOptions options)
    {
        MimeiVerb verb = new("showapp", "[APP]", "Lists the apps of a node, or tells what is known of one, and where it opens.")
        {
            Of = "lapp",
            Json = """
                All: {"apps": [{"mid", "name", "mark": texts, "newest", "released": numbers, "cid": text, "size": bytes, "public": bool, "domains": [text]}]}
                One: {"mid", "name", "author", "app", "ext", "mark": texts, "public": bool, "cur", "newest", "release": {"version": number, "cid": text, "size": bytes} or null,
                 "versions": as in mimei versions, "domains": [text], "urls": [text]}
                A cid is empty where there is nothing. cid, size: of the files that the public sees: the released ones, or the newest; of what it holds now where there is no version. newest, released: 0 where
                there is none. The version of cur is 0. domains: null where one may not ask.
                """,
            Examples = ["showapp", "showapp chess", "showapp chess --json"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string? named = verb.Words(result, 0, 1).FirstOrDefault();
            if (named is null)
            {
                ShowAll(session, output);
            }
            else
            {
                ShowOne(session, output, Bind(verb, session, named));
            }
        });
    }

    private static void ShowAll(MimeiSession session, MimeiOutput output)
    {
        Dictionary<string, string>? domains = AllDomains(session);
        List<(Fields Info, VersionLine[] Versions, Held Shown)> apps = [];
        foreach (RespReply one in session.Call("MIMEI", "LIST").Elements)
        {
            Fields info = new(session.Call("MIMEI", "INFO", new Fields(one).Text("mid")));
            if (info.Text("type") == "file")
            {
                VersionLine[] versions = VersionLine.Of(session.Call("MIMEI", "VERSIONS", info.Text("mid")));
                apps.Add((info, versions, HeldAt(session, info.Text("mid"), ShownOf(versions))));
            }
        }

        if (output.AsJson)
        {
            MimeiOutput.Json(new JsonObject
            {
                ["apps"] = new JsonArray([.. apps.Select(a => new JsonObject
                {
                    ["mid"] = a.Info.Text("mid"),
                    ["name"] = a.Info.Text("name"),
                    ["mark"] = a.Info.Text("mark"),
                    ["newest"] = NewestOf(a.Versions),
                    ["released"] = ReleasedOf(a.Versions),
                    ["cid"] = a.Shown.Cid,
                    ["size"] = a.Shown.Size,
                    ["public"] = IsPublic(a.Info),
                    ["domains"] = domains is null ? null : Texts(Of(domains, a.Info.Text("mid"))),
                })]),
            });
            return;
        }

        if (apps.Count == 0)
        {
            output.Line($"No app yet");
            output.Next(session.Place.Leither("lapp uploadapp -i DIR"));
            return;
        }

        output.Table(
            ["Name", "MiMei", "Mark", "#Newest", "#Released", "#Size", "Public", "Domains"],
            apps.Select(a => (string[])[
                a.Info.Text("name"), a.Info.Text("mid"), MimeiOutput.OneLine(a.Info.Text("mark")), VersionText(NewestOf(a.Versions)), VersionText(ReleasedOf(a.Versions)),
                a.Shown.Problem is not null ? "?" : a.Shown.IsNothing ? "-" : MimeiOutput.Bytes(a.Shown.Size), IsPublic(a.Info) ? "yes" : "no", domains is null ? "" : string.Join(' ', Of(domains, a.Info.Text("mid")))]));
        output.Next(session.Place.Leither("lapp showapp APP"));

        static string VersionText(long number) => number == 0 ? "-" : MimeiOutput.Number(number);
    }

    private static void ShowOne(MimeiSession session, MimeiOutput output, App app)
    {
        Fields info = app.Info ?? new Fields(session.Call("MIMEI", "INFO", app.Mid));
        VersionLine[] versions = VersionLine.Of(session.Call("MIMEI", "VERSIONS", app.Mid));
        Held cur = HeldAt(session, app.Mid, 0);
        Held? newest = versions.Length == 0 ? null : HeldAt(session, app.Mid, NewestOf(versions));
        Held? release = ReleasedOf(versions) is > 0 and var number ? number == newest?.Version ? newest : HeldAt(session, app.Mid, number) : null;
        string[]? domains = AllDomains(session) is { } all ? Of(all, app.Mid) : null;
        bool isPublic = IsPublic(info);
        List<string> urls = [];
        if (isPublic && (release ?? newest) is { IsNothing: false, Problem: null } shown)
        {
            urls.AddRange((domains ?? []).Select(d => UrlOf(session, d)));
            if (session.Place.Host is null && session.Port != 0 && GatewayTarget.LabelOf(Cid.Parse(shown.Cid)) is { } label)
            {
                urls.Add(UrlOf(session, $"{label}.ipfs.localhost"));
            }
        }

        if (output.AsJson)
        {
            JsonObject json = [];
            foreach (string name in (string[])["mid", "name", "author", "app", "ext", "mark"])
            {
                json[name] = info.Text(name);
            }

            json["public"] = isPublic;
            json["cur"] = cur.IsNothing ? null : JsonOf(cur);
            json["newest"] = JsonOf(newest);
            json["release"] = JsonOf(release);
            json["versions"] = new JsonArray([.. versions.Select(static v =>
            {
                JsonObject line = [];
                v.AddTo(line);
                return line;
            })]);
            json["domains"] = domains is null ? null : Texts(domains);
            json["urls"] = Texts([.. urls]);
            MimeiOutput.Json(json);
            return;
        }

        output.Line($"App mid= [bold]{app.Mid}[/]");
        output.Line($"Name    : {info.Text("name")}");
        output.Line($"Author  : {info.Text("author")}");
        output.Line($"AppType : {info.Text("app")}");
        output.Line($"Ext     : {info.Text("ext")}");
        output.Line($"Mark    : {info.Text("mark")}");
        output.Line($"Holds   : {HeldText(cur)}");
        output.Line($"Release : {HeldText(release)}");
        output.Line($"Public  : {(isPublic ? "yes" : "no")}");
        output.Line($"Domains : {(domains is null ? "?" : domains.Length == 0 ? "none" : string.Join(' ', domains))}");
        foreach (string url in urls)
        {
            output.Line($"Opens   : {url}");
        }

        if (versions.Length > 0)
        {
            output.Table(["#Version", "Made", "Released", "CID", "Memo"], versions.Select(v => (string[])[
                $"{v.Number}", MimeiOutput.ShortTime(v.Created), v.Released ? "release" : "", output.Cid(v.Cid), MimeiOutput.OneLine(v.Memo)]));
        }

        output.Next(
            cur.IsNothing ? [session.Place.Leither($"lapp uploadapp -i DIR {app.Called}")]
            : versions.Length == 0 ? [session.Place.Leither($"lapp backup {app.Called}")]
            : release is null ? [session.Place.Leither($"lapp release {app.Called} last")]
            : [.. Publish(session, app), session.Place.Leither($"lapp setdomain {app.Called} HOST")]);

        static string HeldText(Held? held) =>
            held is null ? "none" : $"{(held.Version == 0 ? "" : $"version {held.Version}  ")}{held.Problem ?? (held.IsNothing ? "nothing" : $"{held.Cid}  {MimeiOutput.Bytes(held.Size)}")}";
    }

    // ------------------------------------------------------------------ what they share

    /// <summary>Binds the connection to an app; left out, it is the one that the passport is for.</summary>
    private static App Bind(MimeiVerb verb, MimeiSession session, string? named)
    {
        if (named is null && session.Passport is not { Mid: not null })
        {
            throw verb.Misused(session.Passport is null ? "Which app is missing" : "The passport is for no MiMei of its own. Which app is missing");
        }

        session.Open(named);
        (string mid, string name) = session.Bound();
        Fields? info = session.CallIfAllowed("MIMEI", "INFO", mid) is { } reply ? new Fields(reply) : null;
        string called = name.Length > 0 ? name : mid;
        return info is not null && info.Text("type") != "file"
            ? throw new CommandLineException($"{called} is a database and no app: those are MiMei of files\nThose that there are: {session.Place.Leither("lapp showapp")}")
            : new App(mid, called, info);
    }

    private static (string? App, string Version) Split(string[] words) => words.Length > 1 ? (words[0], words[1]) : (null, words[0]);

    private static void CheckFolder(string folder, bool mayLackIndex)
    {
        if (!Directory.Exists(folder))
        {
            throw new CommandLineException(File.Exists(folder) ? $"{folder} is a file; an app is a folder with an index.html in it" : Unreadable.Because(folder, new DirectoryNotFoundException()));
        }

        if (!mayLackIndex && !File.Exists(Path.Combine(folder, "index.html")))
        {
            throw new CommandLineException($"{folder} holds no index.html, which is what a browser opens first\nWhere it needs none: --no-index");
        }
    }

    /// <summary>What the MiMei holds at a version, or now (0).</summary>
    private static Held HeldAt(MimeiSession session, string mid, long version)
    {
        session.Open(mid, version == 0 ? "cur" : version.ToString(CultureInfo.InvariantCulture));
        try
        {
            Fields stat = new(session.Call("MIMEI", "STAT", "/"));
            return new Held(version, stat.Text("cid"), stat.Number("total"));
        }
        catch (CommandLineException e)
        {
            return new Held(version, "", 0, e.Message.StartsWith("The MiMei holds no files yet", StringComparison.Ordinal) ? null : e.Message);
        }
    }

    private static long NewestOf(VersionLine[] versions) => versions.Length == 0 ? 0 : versions.Max(static v => v.Number);

    private static long ReleasedOf(VersionLine[] versions) => versions.FirstOrDefault(static v => v.Released)?.Number ?? 0;

    /// <summary>The version that the public sees; 0: there is none.</summary>
    private static long ShownOf(VersionLine[] versions) => ReleasedOf(versions) is > 0 and var released ? released : NewestOf(versions);

    private static bool IsPublic(Fields info) => (ulong.Parse(info.Text("right"), CultureInfo.InvariantCulture) & EveryoneReads) != 0;

    private static void TellPublic(MimeiOutput output, App app)
    {
        if (app.IsPublic == false)
        {
            output.Line($"The public does not see it yet: everyone must be allowed to read it, which mimei publish does");
        }
    }

    private static string[] Publish(MimeiSession session, App app) => app.IsPublic == false ? [session.Place.OwnersLeither($"mimei publish {app.Called}")] : [];

    /// <summary>The domains of the node and what they show; null: one may not ask.</summary>
    private static Dictionary<string, string>? AllDomains(MimeiSession session) => session.CallIfAllowed("MIMEI", "DOMAIN", "LIST") is { } list ? DomainsOf(list) : null;

    private static Dictionary<string, string> DomainsOf(RespReply list) =>
        list.Elements.Select(static e => new Fields(e)).ToDictionary(static f => f.Text("host"), static f => f.Text("mid"), StringComparer.OrdinalIgnoreCase);

    private static string[] Of(Dictionary<string, string> domains, string mid) => [.. domains.Where(d => d.Value == mid).Select(static d => d.Key).Order(StringComparer.Ordinal)];

    private static string UrlOf(MimeiSession session, string host) => $"http://{host}{(session.Port is 0 or 80 ? "" : $":{session.Port}")}/";

    private static JsonObject? JsonOf(Held? held) => held is null ? null : new JsonObject { ["version"] = held.Version, ["cid"] = held.Problem is null ? held.Cid : null, ["size"] = held.Size };

    private static JsonArray Texts(string[] texts) => new([.. texts.Select(static t => JsonValue.Create(t))]);

    /// <summary>The app that a command is about.</summary>
    /// <param name="Mid">Its id.</param>
    /// <param name="Called">Its name on the node, or its id.</param>
    /// <param name="Info">What MIMEI INFO tells; null: one may not ask.</param>
    private sealed record App(string Mid, string Called, Fields? Info)
    {
        /// <summary>Whether everyone may read it; null: one may not ask.</summary>
        public bool? IsPublic => Info is null ? null : LappCommand.IsPublic(Info);
    }

    /// <summary>What an app holds.</summary>
    /// <param name="Version">At which version; 0: now.</param>
    /// <param name="Cid">The CID of its files; empty: nothing.</param>
    /// <param name="Size">The bytes of their blocks.</param>
    /// <param name="Problem">Why that cannot be told; null: it can.</param>
    private sealed record Held(long Version, string Cid, long Size, string? Problem = null)
    {
        /// <summary>Whether there is nothing.</summary>
        public bool IsNothing => Cid.Length == 0 && Problem is null;
    }
}
