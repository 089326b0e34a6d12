using System.Globalization;
using System.Text.Json.Nodes;
using Leither.MmDb.Rights;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <content>Who may do what with a MiMei.</content>
internal static partial class MimeiCommand
{
    private const string Whom = "everyone | groups | members | group NAME | user ID";

    private static MimeiVerb Right(MimeiOptions options)
    {
        MimeiVerb verb = new("right", $"get MID [ID] | set MID WHOM RIGHT… | set MID MASK | del MID WHOM", "Shows or changes who may do what with a MiMei.")
        {
            Details = $"""
                A MiMei is its owner's alone until somebody else is given a right; the owner has all of them. WHOM is
                {Whom}. groups and members stand for all groups and users to whom nothing else
                is given. ID is a user id, node id or peer id. What somebody may is what all of these give him together.

                RIGHT is one of {string.Join(", ", MimeiRightWords.All)}, or all, none; for one group or user
                also default, which is what groups or members have. With messages, keyspace events are heard of keys that one may
                read. Who may read can have the MiMei on a node of his: with everyone it is public, as after mimei publish.
                MASK is all that is said of classes as one number of 64 bits, eight each: everyone, groups, members, owner, from the lowest;
                within eight read is 1, write 2, backup 4, publish 8, grant 16, messages 32, scripts 64.

                A change is felt at once, by who is connected too. A user logs in with a passport of his own that says who he is (leither lpki signppt
                --right login --proof).
                """,
            Json = """
                {"mid", "name": texts, "mask": number, "owner": text, "everyone", "group_default", "member_default": [right],
                 "groups": [{"group": text, "rights": [right], "default": bool, "users": [id]}], "members": [{"user": id, "rights": [right], "default": bool}]}
                default: it has what groups or members have. Of one user (get MID ID): {"mid", "user": texts, "rights": [right], "mask": number}.
                """,
            Examples = ["right get diary", "right set diary user 1KViHXUwrz3fBMI7IchvwG4G22c read write", "right set diary group family read", "right set diary everyone none", "right del diary user 1KViHXUwrz3fBMI7IchvwG4G22c"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 2, int.MaxValue);
            string action = words[0].ToLowerInvariant(), mid = words[1];
            switch (action)
            {
                case "get" when words.Length == 3:
                    ShowUser(output, new Fields(session.Call("MIMEI", "RIGHT", "GET", mid, "USER", words[2])));
                    return;
                case "get" when words.Length == 2:
                    break;
                case "set" or "del" when words.Length > 2:
                    session.Call(["MIMEI", "RIGHT", action, .. words[1..]]);
                    break;
                default:
                    throw verb.Misused(action is "get" or "set" or "del" ? words.Length > 2 ? $"There is no meaning for '{words[3]}'" : "Something is missing" : $"There is no meaning for '{words[0]}'");
            }

            ShowRights(session, output, mid);
        });
    }

    private static MimeiVerb Group(MimeiOptions options)
    {
        MimeiVerb verb = new("group", "add MID NAME [ID]… | del MID NAME [ID]… | list MID [NAME]", "Changes the groups of those who have rights to a MiMei together, or lists them.")
        {
            Details = """
                A group is the MiMei's own. mimei right gives it rights; what groups have by default it has at once. del without an ID deletes it.
                """,
            Json = """{"mid": text, "changed": number, "groups": [{"group": text, "rights": [right], "default": bool, "users": [id]}]}   changed: how many came, went or were deleted""",
            Examples = ["group add diary family 1KViHXUwrz3fBMI7IchvwG4G22c", "group list diary", "group del diary family"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 2, int.MaxValue);
            string action = words[0].ToLowerInvariant(), mid = words[1];
            if (action is not ("add" or "del" or "list"))
            {
                throw verb.Misused($"There is no meaning for '{words[0]}'");
            }

            if (action == "list" ? words.Length > 3 : words.Length < 3)
            {
                throw verb.Misused(action == "list" ? $"There is no meaning for '{words[3]}'" : "Something is missing");
            }

            long changed = action == "list" ? 0 : session.Call(["MIMEI", "GROUP", action, .. words[1..]]).Integer;
            RespReply groups = session.Call(["MIMEI", "GROUP", "LIST", mid, .. action == "list" ? words[2..] : []]);
            if (output.AsJson)
            {
                string id = new Fields(session.Call("MIMEI", "RIGHT", "GET", mid)).Text("mid");
                MimeiOutput.Json(new JsonObject { ["mid"] = id, ["changed"] = changed, ["groups"] = GroupsJson(groups) });
                return;
            }

            bool deletes = action == "del" && words.Length == 3;
            if (deletes)
            {
                MimeiOutput.Plain(changed > 0 ? $"Group {words[2]} is deleted" : $"{mid} has no group {words[2]}");
            }

            if (groups.Elements.Count == 0)
            {
                if (!deletes)
                {
                    MimeiOutput.Plain(words.Length > 2 ? $"{mid} has no group {words[2]}" : $"{mid} has no groups");
                }

                output.Next(session.Place.Leither($"mimei group add {mid} NAME ID"));
                return;
            }

            output.Table(["Group", "Rights", "Users"], groups.Elements.Select(static g => new Fields(g)).SelectMany(static g => Lines(g.Text("group"), g, g.Lines("users"))));
            output.Next(session.Place.Leither($"mimei right set {mid} group {new Fields(groups.Elements[0]).Text("group")} read"));
        });
    }

    private static void ShowUser(MimeiOutput output, Fields user)
    {
        if (output.AsJson)
        {
            JsonObject json = [];
            Copy(user, json, "mid", "user");
            json["rights"] = Texts(user.Reply("rights"));
            Copy(user, json, "mask");
            MimeiOutput.Json(json);
            return;
        }

        output.Line($"{user.Text("user")} may: {RightText(user, "rights")}");
    }

    private static void ShowRights(MimeiSession session, MimeiOutput output, string mid)
    {
        Fields rights = new(session.Call("MIMEI", "RIGHT", "GET", mid));
        if (output.AsJson)
        {
            JsonObject json = [];
            Copy(rights, json, "mid", "name");
            json["mask"] = ulong.Parse(rights.Text("mask"), CultureInfo.InvariantCulture);
            Copy(rights, json, "owner");
            json["everyone"] = Texts(rights.Reply("everyone"));
            json["group_default"] = Texts(rights.Reply("group-default"));
            json["member_default"] = Texts(rights.Reply("member-default"));
            json["groups"] = GroupsJson(rights.Reply("groups"));
            json["members"] = new JsonArray([.. rights.Reply("members").Elements.Select(static e => new Fields(e)).Select(static f => new JsonObject
            {
                ["user"] = f.Text("user"),
                ["rights"] = Texts(f.Reply("rights")),
                ["default"] = f.Flag("default"),
            })]);
            MimeiOutput.Json(json);
            return;
        }

        output.Line($"Rights to {(rights.Text("name") is { Length: > 0 } name ? name : rights.Text("mid"))}, mask {rights.Text("mask")}");
        output.Table(["Who", "Rights", "Users"], ((string[][])[
            ["owner", "all", rights.Text("owner")], ["everyone", RightText(rights, "everyone"), ""], ["groups", RightText(rights, "group-default"), ""],
            ["members", RightText(rights, "member-default"), ""]])
            .Concat(rights.Reply("groups").Elements.Select(static g => new Fields(g)).SelectMany(static g => Lines($"group {g.Text("group")}", g, g.Lines("users"))))
            .Concat(rights.Reply("members").Elements.Select(static m => new Fields(m)).Select(static m => (string[])["user", RightText(m, "rights"), m.Text("user")])));
        output.Next(session.Place.Leither($"mimei right set {mid} user ID read"), session.Place.Leither($"mimei group add {mid} NAME ID"));
    }

    /// <summary>A group in a table: a line for each of its members, the first of which says what they may.</summary>
    private static IEnumerable<string[]> Lines(string who, Fields group, string[] users) =>
        users.DefaultIfEmpty("-").Select((user, i) => (string[])(i == 0 ? [who, RightText(group, "rights"), user] : ["", "", user]));

    private static string RightText(Fields rights, string name) => rights.Lines(name) switch
    {
        { Length: 0 } => "none",
        var words => words.SequenceEqual(MimeiRightWords.All) ? "all" : string.Join(' ', words),
    };

    private static JsonArray GroupsJson(RespReply groups) => new([.. groups.Elements.Select(static e => new Fields(e)).Select(static f => new JsonObject
    {
        ["group"] = f.Text("group"),
        ["rights"] = Texts(f.Reply("rights")),
        ["default"] = f.Flag("default"),
        ["users"] = Texts(f.Reply("users")),
    })]);
}
