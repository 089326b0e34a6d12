using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary><c>leither ipfs name …</c>: names of the network, over IPFS NAME.</summary>
internal static class IpfsNameVerb
{
    public static MimeiVerb Create(MimeiOptions options)
    {
        Option<string?> lifetime = new("--lifetime") { Description = "publish: how long the record is good without being renewed [default: 48h]", HelpName = "TIME" };
        Option<string?> ttl = new("--ttl") { Description = "publish: how long others should believe it without asking again [default: 5m]", HelpName = "TIME" };
        Option<bool> onlyOne = new("--no-recursive") { Description = "resolve: do not follow a name that leads to a name" };
        Option<bool> noCache = new("--nocache") { Description = "resolve: ask again, even if the last answer is fresh" };
        MimeiVerb verb = new("name", "publish PATH | resolve [NAME] | ls | rm [NAME]", "Makes the node's name stand for content, or tells what a name stands for.")
        {
            Of = "ipfs",
            Details = """
                A node has one name, which its key gives it (k51…); what it stands for can be changed and is signed. publish goes on renewing it, after restarts
                too, until rm. PATH is /ipfs/CID, a path below it, or /ipns/NAME. NAME is k51…, a peer id, or a path below /ipns/; left out, the node's own.
                TIME is a number and s, m, h or d.
                """,
            Json = """
                publish: {"name": text, "value": text, "sequence": number, "validity": time, "ttl": seconds, "stored": number, "next": time}
                resolve: {"path": text}   ls: {"names": [as publish]}   rm: {"removed": number}
                stored: how many peers took it when it was put last; where none did it is tried again
                """,
            Examples = ["name publish /ipfs/bafy…", "name publish bafy… --lifetime 7d --ttl 1m", "name resolve k51…", "name resolve /ipns/k51…/readme.md", "name rm"],
        };
        foreach (Option option in (Option[])[lifetime, ttl, onlyOne, noCache])
        {
            verb.Options.Add(option);
        }

        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            switch (words)
            {
                case ["publish", { } path]:
                    List<string> command = ["IPFS", "NAME", "PUBLISH", path];
                    AddTime("LIFETIME", result.GetValue(lifetime));
                    AddTime("TTL", result.GetValue(ttl));
                    JsonObject made = Read(session.Wait(output, "Publishing", () => session.Call(command)));
                    if (output.AsJson)
                    {
                        MimeiOutput.Json(made);
                        break;
                    }

                    long stored = (long)made["stored"]!;
                    MimeiOutput.Plain($"published /ipns/{made["name"]} -> {MimeiOutput.OneLine((string)made["value"]!)}");
                    MimeiOutput.Plain($"told {MimeiOutput.Count(stored, "peer")}, good until {made["validity"]}, then renewed");
                    if (stored == 0)
                    {
                        MimeiOutput.Plain("Nobody was there to be told. It is tried again every five minutes.");
                        output.Next(session.Place.Leither("swarm connect HOST:PORT"));
                    }
                    else
                    {
                        output.Next($"leither ipfs name resolve {made["name"]}      (from another node)");
                    }

                    break;

                    void AddTime(string word, string? text)
                    {
                        if (text is not null) command.AddRange([word, (ParseSeconds(text) ?? throw verb.Misused($"'{text}' is no time: 90s, 5m, 48h, 7d")).ToString(CultureInfo.InvariantCulture)]);
                    }

                case ["resolve", ..]:
                    string name = words.Length > 1 ? words[1] : OwnName(session);
                    string[] how = [.. result.GetValue(onlyOne) ? ["NORECURSIVE"] : (string[])[], .. result.GetValue(noCache) ? ["NOCACHE"] : (string[])[]];
                    string found = session.Wait(output, "Resolving", () => session.Call(["IPFS", "NAME", "RESOLVE", name, .. how])).Text;
                    if (output.AsJson) MimeiOutput.Json(new JsonObject { ["path"] = found });
                    else MimeiOutput.Plain(MimeiOutput.OneLine(found));
                    break;
                case ["ls"]:
                    JsonObject[] names = [.. session.Call("IPFS", "NAME", "LS").Elements.Select(Read)];
                    if (output.AsJson)
                    {
                        MimeiOutput.Json(new JsonObject { ["names"] = new JsonArray([.. names]) });
                        break;
                    }

                    if (names.Length == 0)
                    {
                        MimeiOutput.Plain("Nothing is published.");
                        output.Next(session.Place.Leither("ipfs name publish /ipfs/CID"));
                        break;
                    }

                    output.Table(["Name", "#Seq", "#Peers", "Good until", "Value"], names.Select(static n => (string[])[
                        (string)n["name"]!, n["sequence"]!.ToString(), n["stored"]!.ToString(), (string)n["validity"]!, MimeiOutput.OneLine((string)n["value"]!)]));
                    break;
                case ["rm", ..]:
                    long removed = session.Call(["IPFS", "NAME", "RM", .. words[1..]]).Integer;
                    if (output.AsJson) MimeiOutput.Json(new JsonObject { ["removed"] = removed });
                    else MimeiOutput.Plain(removed > 0 ? "It is no longer renewed; what was published ends by itself." : "It was not published here.");
                    break;
                default:
                    throw verb.Misused("publish and a path, resolve, ls or rm");
            }
        });
    }

    /// <summary>"90", "90s", "5m", "48h", "7d" in seconds; null if it is no time.</summary>
    internal static long? ParseSeconds(string text)
    {
        long unit = text.Length == 0 ? 0 : text[^1] switch
        {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => 1,
        };
        string number = text.TrimEnd('s', 'm', 'h', 'd');
        return text.Length - number.Length <= 1 && long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long count) && count <= 100_000_000 ? count * unit : null;
    }

    private static string OwnName(MimeiSession session)
    {
        RespReply id = session.Call("SWARM", "ID");
        return id.Elements.Chunk(2).First(static pair => pair[0].Text == "peer")[1].Text;
    }

    private static JsonObject Read(RespReply map)
    {
        JsonObject json = [];
        foreach (RespReply[] pair in map.Elements.Chunk(2))
        {
            json[pair[0].Text] = pair[1].Type == RespType.Integer ? pair[1].Integer : pair[1].Text;
        }

        return json;
    }
}
