using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <content>What is known of a MiMei, here and on other nodes.</content>
internal static partial class MimeiCommand
{
    private static MimeiVerb Show(MimeiOptions options)
    {
        MimeiVerb verb = new("show", "[MID]", "Shows what is known of a MiMei, here and on other nodes.")
        {
            Details = """
                Other nodes are asked if it is published, followed, or not on this node: nobody is told of one that nobody knows of. A place in its log is
                epoch:sequence, or term.epoch:sequence once the writing was taken over.
                """,
            Json = """
                {"mid", "name", "type", "author", "app", "ext", "mark": texts, "here": bool, "created": text, "right": number, "open": bool, "clients": number,
                 "keys": number, "memory": bytes, "disk": bytes,
                 "local": {"versions", "last", "release": numbers, "cid", "state": texts, "term", "epoch", "sequence": numbers},
                 "net": {"last": number, "cid": text, "term", "epoch", "sequence": numbers} or null, "net_problem": text, "conflict": bool, "conflict_reason": text,
                 "compare": same, local, net, only-local, only-net, conflict or unknown, "writable": bool, "references": [text], "referrers": [mid],
                 "role": writer, follower, idle or nothing, "state": text, "public": bool, "users": [text], "provided": bool, "writer": peer, "source": peer,
                 "level": bool, "lag": entries, "undone": entries, "refused": bytes, "bytes_received", "bytes_sent": bytes, "proof": text,
                 "followers": as in mimei followers, "named": as in mimei providers}
                last, release: 0 where there is none. net is null where nobody was asked, or could be. Of one that is not here, what only this node
                knows ("created" to "disk", "writable", "references", "referrers") is left out.
                """,
            Examples = ["show", "show diary", "show -tUy0oE3vP5Y1yXq9C0SMHxXh7A --json"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            Fields shown = new(session.Wait(output, "Asking other nodes", () => session.Call(mid is null ? ["MIMEI", "SHOW"] : ["MIMEI", "SHOW", mid])));
            Fields? info = shown.Flag("here") ? new Fields(session.Call("MIMEI", "INFO", shown.Text("mid"))) : null;
            Fields local = new(shown.Reply("local"));
            Fields? net = shown.Reply("net").IsNull ? null : new Fields(shown.Reply("net"));
            if (output.AsJson)
            {
                MimeiOutput.Json(ShowJson(shown, info, local, net));
            }
            else
            {
                ShowText(session, output, mid, shown, info, local, net);
            }
        });
    }

    private static void ShowText(MimeiSession session, MimeiOutput output, string? mid, Fields shown, Fields? info, Fields local, Fields? net)
    {
        output.Line($"MiMeiShow mid= [bold]{shown.Text("mid")}[/]");
        output.Line($"Name    : {shown.Text("name")}");
        output.Line($"Type    : {shown.Text("type")}");
        output.Line($"Author  : {shown.Text("author")}");
        output.Line($"AppType : {shown.Text("app")}");
        output.Line($"Ext     : {shown.Text("ext")}");
        output.Line($"Mark    : {shown.Text("mark")}");
        if (info is not null)
        {
            output.Line($"Create  : {MimeiOutput.LocalTime(DateTimeOffset.Parse(info.Text("created"), CultureInfo.InvariantCulture))}");
            output.Line($"Right   : {info.Text("right")}");
            output.Line($"Keys    : {info.Number("keys"):N0}");
            output.Line($"Clients : {info.Number("clients"):N0}");
            output.Line($"Memory  : {(info.Flag("open") ? MimeiOutput.Bytes(info.Number("memory")) : "not loaded")}");
            output.Line($"Disk    : {MimeiOutput.Bytes(info.Number("disk"))}");
            output.Line($"Write   : {WriteText(shown, info)}");
            foreach ((string title, string[] mids) in ((string, string[])[])[("Refs    : ", info.Lines("references")), ("Kept for: ", info.Lines("referrers"))])
            {
                if (mids.Length > 0)
                {
                    output.Line($"{title}{string.Join(' ', mids)}");
                }
            }
        }

        ShowReplica(output, shown);
        long last = local.Number("last"), release = local.Number("release");
        output.Line(!shown.Flag("here") ? $"from local      not on this node"
            : last == 0 ? (FormattableString)$"from local      no version yet"
            : $"from local      {local.Number("versions")}  {output.Cid(local.Text("cid"))}   last {last}{(release == 0 ? "" : $"   release {release}")}");
        string problem = shown.Text("net-problem");
        string there = net is null ? problem.Length > 0 ? problem : "not asked: it is not published"
            : IsNowhere(net) ? "nobody else has it"
            : net.Number("last") == 0 ? "no version yet"
            : $"{net.Number("last")}  {output.Cid(net.Text("cid"))}   last {net.Number("last")}";
        output.Line($"from net        {there}");
        if (last != 0)
        {
            output.Line($"state           {output.Cid(local.Text("state"))}   of version {last}");
        }

        output.Line(net is null || IsNowhere(net) || PlaceText(net) == PlaceText(local)
            ? (FormattableString)$"position        {PlaceText(local)}"
            : $"position        {(shown.Flag("here") ? PlaceText(local) : "-")}   net {PlaceText(net)}");
        output.Line($"conflict        {(shown.Text("conflict") is { Length: > 0 } conflict ? conflict : "no conflict")}");
        output.Line($"compare version {CompareText(shown.Text("compare"))}");
        string named = mid is null ? "" : " " + mid;
        if (info is null)
        {
            output.Next(session.Place.Leither($"mimei sync{named}"), session.Place.Leither($"mimei findprovs{named}"));
            return;
        }

        output.Next(shown.Text("role") == "follower" ? session.Place.Leither($"mimei cid{named}")
            : last == 0 ? session.Place.Leither($"mimei backup{named}")
            : session.Place.Leither($"mimei versions{named}"));
    }

    /// <summary>What other nodes have to do with it; nothing where they have nothing to do with it.</summary>
    private static void ShowReplica(MimeiOutput output, Fields shown)
    {
        if (shown.Text("role").Length == 0)
        {
            return;
        }

        string[] users = shown.Lines("users");
        output.Line($"Shared  : {(shown.Flag("public") ? "with everybody" : users.Length > 0 ? "with " + string.Join(' ', users) : "no")}");
        output.Line($"Provided: {(shown.Flag("provided") ? "yes" : "no")}");
        if (shown.Text("role") != "writer")
        {
            string writer = shown.Text("writer");
            output.Line($"Writer  : {(writer.Length == 0 ? "not known" : writer)}{string.Concat(shown.Lines("writer-addresses").Take(1).Select(static a => "  " + a))}");
            output.Line($"Follows : {(shown.Text("source") is { Length: > 0 } source ? source : "nobody at present")}, {LagText(shown)}");
        }

        if (shown.Text("state").Length > 0)
        {
            output.Line($"Doing   : {MimeiOutput.OneLine(shown.Text("state"))}");
        }

        foreach (Fields follower in shown.Reply("followers").Elements.Select(static f => new Fields(f)))
        {
            output.Line(
                $"Follower: {follower.Text("peer")}  {follower.Text("state")}, {MimeiOutput.Count(follower.Number("lag"), "entry", "entries")} behind{(follower.Flag("named") ? ", named" : "")}");
        }

        if (shown.Number("undone") > 0)
        {
            output.Line($"Undone  : {MimeiOutput.Count(shown.Number("undone"), "entry", "entries")} that the writer took back; kept aside beside the log");
        }

        if (shown.Number("refused") > 0)
        {
            output.Line($"Refused : {MimeiOutput.Bytes(shown.Number("refused"))} that did not fit what is signed");
        }

        if (shown.Text("proof").Length > 0)
        {
            output.Line($"Proof   : {MimeiOutput.OneLine(shown.Text("proof"))}");
        }
    }

    private static string WriteText(Fields shown, Fields info) =>
        shown.Text("role") == "follower" ? "no, another node writes it"
        : shown.Flag("readonly") ? "no, its author's key is not on this node"
        : shown.Text("role") == "writer" || info.Flag("writable") ? "yes" : "no, its author's key is not on this node";

    private static string LagText(Fields shown) =>
        shown.Number("lag") == 0 ? shown.Flag("level") ? "level with it" : "not level yet" : $"{MimeiOutput.Count(shown.Number("lag"), "entry", "entries")} behind";

    private static bool IsNowhere(Fields net) => net.Number("last") == 0 && net.Number("sequence") == 0;

    private static string CompareText(string compare) => compare switch
    {
        "same" => "local version is same with net",
        "local" => "local version is newer than net",
        "net" => "net version is newer than local",
        "only-local" => "only this node has it",
        "only-net" => "only other nodes have it",
        "conflict" => "they contradict each other",
        _ => "unknown, for nobody could be asked",
    };

    /// <summary>A place in a log.</summary>
    private static string PlaceText(Fields place) =>
        $"{(place.Number("term") == 0 ? "" : $"{place.Number("term")}.")}{place.Number("epoch")}:{place.Number("sequence")}";

    private static JsonObject ShowJson(Fields shown, Fields? info, Fields local, Fields? net)
    {
        JsonObject json = [];
        Copy(shown, json, "mid", "name", "type", "author", "app", "ext", "mark");
        json["here"] = info is not null;
        if (info is not null)
        {
            json["created"] = MimeiOutput.UtcTime(DateTimeOffset.Parse(info.Text("created"), CultureInfo.InvariantCulture));
            json["right"] = ulong.Parse(info.Text("right"), CultureInfo.InvariantCulture);
            json["open"] = info.Flag("open");
            Copy(info, json, "clients", "keys", "memory", "disk");
        }

        JsonObject here = [];
        Copy(local, here, "versions", "last", "release", "cid", "state", "term", "epoch", "sequence");
        json["local"] = here;
        JsonObject? there = null;
        if (net is not null)
        {
            there = [];
            Copy(net, there, "last", "cid", "term", "epoch", "sequence");
        }

        json["net"] = there;
        json["net_problem"] = shown.Text("net-problem");
        json["conflict"] = shown.Text("conflict").Length > 0;
        json["conflict_reason"] = shown.Text("conflict");
        json["compare"] = shown.Text("compare");
        if (info is not null)
        {
            json["writable"] = WriteText(shown, info) == "yes";
            json["references"] = Texts(info.Reply("references"));
            json["referrers"] = Texts(info.Reply("referrers"));
        }

        Copy(shown, json, "role", "state");
        json["public"] = shown.Flag("public");
        json["users"] = Texts(shown.Reply("users"));
        json["provided"] = shown.Flag("provided");
        Copy(shown, json, "writer", "source");
        json["level"] = shown.Flag("level");
        Copy(shown, json, "lag", "undone", "refused");
        json["bytes_received"] = shown.Number("bytes-received");
        json["bytes_sent"] = shown.Number("bytes-sent");
        Copy(shown, json, "proof");
        json["followers"] = FollowersJson(shown.Reply("followers"));
        json["named"] = NamedJson(shown.Reply("named"));
        return json;
    }

    /// <summary>Fields that are called the same in JSON: texts and numbers.</summary>
    private static void Copy(Fields from, JsonObject to, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            RespReply value = from.Reply(name);
            to[name] = value.Type == RespType.Integer ? value.Integer : value.Text;
        }
    }

    private static JsonArray Texts(RespReply texts) => new([.. texts.Elements.Select(static t => JsonValue.Create(t.Text))]);
}
