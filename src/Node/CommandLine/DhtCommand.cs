using System.CommandLine;
using System.CommandLine.Help;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither dht …</c>: who has what in the network, for people. Everything here is a RESP command of the DHT family underneath; this adds tables, JSON and what can
/// be done next. A search shows how far it is where a person watches, and ends with Ctrl-C.
/// </summary>
internal static class DhtCommand
{
    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer);
        Command dht = new("dht", """
            The network's distributed hash table: who is where, who has what, which values stand under which keys.

            It is asked through peers that this node is connected with: leither run -b HOST, or swarm connect.
            """) { options.Data, options.Port, options.User, options.Json };
        foreach (MimeiVerb verb in (MimeiVerb[])[
            FindPeer(options), FindProviders(options), Provide(options), Provided(options), Unprovide(options), Get(options), Put(options), NetworkSize(options)])
        {
            dht.Subcommands.Add(verb);
        }

        dht.SetAction(static result => new MimeiHelp(new HelpAction()).Invoke(result));
        return dht;
    }

    // ------------------------------------------------------------------ who

    private static MimeiVerb FindPeer(MimeiOptions options)
    {
        MimeiVerb verb = new("findpeer", "PEERID", "Tells where a peer is.")
        {
            Of = "dht",
            Details = "Each address ends with the peer's id, as swarm connect takes it. That nobody knows the peer is an error.",
            Json = """{"peer": text, "addresses": [text]}""",
            Examples = ["findpeer 12D3KooW…", "findpeer 12D3KooW… --json"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string peer = verb.Words(result, 1, 1)[0];
            RespReply found = session.Wait(output, "Finding the peer", () => session.Call("DHT", "FINDPEER", peer));
            if (found.IsNull) throw new CommandLineException($"No peer that was asked knows {peer}");
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["peer"] = peer, ["addresses"] = MimeiOutput.Texts(found) });
                return;
            }

            foreach (RespReply address in found.Elements) MimeiOutput.Plain(address.Text);
            if (found.Elements.Count == 0) MimeiOutput.Plain("It is known, but not where it is.");
            else output.Next(session.Place.Leither($"swarm connect {peer}"));
        });
    }

    private static MimeiVerb FindProviders(MimeiOptions options)
    {
        Option<long?> count = MimeiOptions.Number(
            new("--count", "-n") { Description = "End with so many", HelpName = "N", DefaultValueFactory = static _ => DhtCommands.DefaultProviders }, DhtCommands.MaxProviders);
        MimeiVerb verb = new("findprovs", "CID [options]", "Tells who provides content.")
        {
            Of = "dht",
            Details = "What is found is what peers said of themselves within the last 48 hours. That nobody provides it is no error.",
            Json = """{"providers": [{"peer": text, "addresses": [text]}]}""",
            Examples = ["findprovs QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", "findprovs bafy… -n 1"],
        };
        verb.Options.Add(count);
        return verb.Runs(options, (result, session, output) =>
        {
            string cid = verb.Words(result, 1, 1)[0], max = result.GetValue(count)!.Value.ToString(CultureInfo.InvariantCulture);
            RespReply found = session.Wait(output, "Finding providers", () => session.Call("DHT", "FINDPROVS", cid, "COUNT", max));
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["providers"] = new JsonArray([.. found.Elements.Select(static p => new JsonObject { ["peer"] = p[0].Text, ["addresses"] = MimeiOutput.Texts(p[1]) })]),
                });
                return;
            }

            if (found.Elements.Count == 0)
            {
                MimeiOutput.Plain("Nobody who was asked knows a provider.");
                return;
            }

            output.Table(["Peer", "Addresses"], found.Elements.SelectMany(static p => p[1].Elements.Count == 0
                ? [[p[0].Text, "-"]]
                : p[1].Elements.Select((address, i) => (string[])[i == 0 ? p[0].Text : "", address.Text])));
            output.Next(session.Place.Leither($"ipfs get {cid}"));
        });
    }

    // ------------------------------------------------------------------ what this node provides

    private static MimeiVerb Provide(MimeiOptions options)
    {
        MimeiVerb verb = new("provide", "CID…", "Tells the network that this node provides content.")
        {
            Of = "dht",
            Details = """
                The node must have the block, and goes on telling so at least every 22 hours, after restarts too, until it is taken back with unprovide.
                A CID stands for its block; who has the root of a file is asked for the rest of it.
                """,
            Json = """{"provided": [{"cid": text, "told": number}]}   told: how many peers took it; where none did it is tried again""",
            Examples = ["provide bafy…"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            JsonArray provided = [];
            bool isUntold = false;
            foreach (string cid in verb.Words(result, 1, int.MaxValue))
            {
                long told = session.Wait(output, $"Providing {cid}", () => session.Call("DHT", "PROVIDE", cid)).Integer;
                provided.Add((JsonNode)new JsonObject { ["cid"] = cid, ["told"] = told });
                isUntold |= told == 0;
                if (!output.AsJson) MimeiOutput.Plain($"provided {cid}  told {MimeiOutput.Count(told, "peer")}");
            }

            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["provided"] = provided });
                return;
            }

            if (isUntold)
            {
                MimeiOutput.Plain("Nobody was there to be told. It is tried again every ten minutes.");
                output.Next(session.Place.Leither("swarm connect HOST:PORT"));
            }
        });
    }

    private static MimeiVerb Provided(MimeiOptions options)
    {
        MimeiVerb verb = new("provided", "", "Lists what this node provides.")
        {
            Of = "dht",
            Details = "CIDs are shown in the form of raw blocks, whatever they are: the network knows content by its hash alone.",
            Json = """{"provided": [text]}""",
            Examples = ["provided"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            verb.Words(result, 0, 0);
            RespReply all = session.Call("DHT", "PROVIDED");
            if (output.AsJson) MimeiOutput.Json(new JsonObject { ["provided"] = MimeiOutput.Texts(all) });
            else foreach (RespReply one in all.Elements) MimeiOutput.Plain(one.Text);
        });
    }

    private static MimeiVerb Unprovide(MimeiOptions options)
    {
        MimeiVerb verb = new("unprovide", "CID…", "Tells the network no longer that this node provides content.")
        {
            Of = "dht",
            Details = "What was told ends by itself, after 48 hours at most.",
            Json = """{"unprovided": number}""",
            Examples = ["unprovide bafy…"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            long count = 0;
            foreach (string cid in verb.Words(result, 1, int.MaxValue))
            {
                long did = session.Call("DHT", "UNPROVIDE", cid).Integer;
                count += did;
                if (!output.AsJson) MimeiOutput.Plain(did > 0 ? $"unprovided {cid}" : $"{cid} was not provided");
            }

            if (output.AsJson) MimeiOutput.Json(new JsonObject { ["unprovided"] = count });
        });
    }

    // ------------------------------------------------------------------ values

    private static MimeiVerb Get(MimeiOptions options)
    {
        Option<long?> quorum = MimeiOptions.Number(new("--quorum") { Description = "So many answers with a value are enough [default: 16]", HelpName = "N" }, DhtCommands.MaxQuorum);
        MimeiVerb verb = new("get", "KEY [options]", "Prints the best value that peers have under a key.")
        {
            Of = "dht",
            Details = "KEY is /ipns/NAME or /pk/PEERID. What is printed is the value's bytes, which were checked. That nobody has one is an error.",
            Json = """{"key": text, "value": base64}""",
            Examples = ["get /ipns/k51… > record", "get /ipns/k51… --json"],
        };
        verb.Options.Add(quorum);
        return verb.Runs(options, (result, session, output) =>
        {
            string key = verb.Words(result, 1, 1)[0];
            string[] enough = result.GetValue(quorum) is { } number ? ["QUORUM", number.ToString(CultureInfo.InvariantCulture)] : [];
            RespReply found = session.Wait(output, "Finding the value", () => session.Call(["DHT", "GET", key, .. enough]));
            if (found.IsNull) throw new CommandLineException($"No peer that was asked has a value of {key}");
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["key"] = key, ["value"] = Convert.ToBase64String(found.Bytes) });
                return;
            }

            using Stream standard = Console.OpenStandardOutput();
            standard.Write(found.Bytes);
        });
    }

    private static MimeiVerb Put(MimeiOptions options)
    {
        MimeiVerb verb = new("put", "KEY [FILE]", "Stores a value with the peers nearest to its key.")
        {
            Of = "dht",
            Details = """
                KEY is /ipns/NAME or /pk/PEERID, and the value, a file or the standard input, must prove that it belongs there: a signed record, a public key.
                It is held for 48 hours; ipfs name publish makes such a record, and renews it.
                """,
            Json = """{"key": text, "told": number}   told: how many peers took it""",
            Examples = ["put /ipns/k51… record", "dht get /ipns/k51… | leither dht put /ipns/k51…"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            byte[] value = ContentWork.ReadInput(words.Length > 1 ? words[1] : "-");
            session.Send(IpfsCommand.Bytes("DHT"), IpfsCommand.Bytes("PUT"), IpfsCommand.Bytes(words[0]), value);
            long told = session.Receive().Integer;
            if (output.AsJson) MimeiOutput.Json(new JsonObject { ["key"] = words[0], ["told"] = told });
            else MimeiOutput.Plain($"stored {words[0]}  told {MimeiOutput.Count(told, "peer")}");
        });
    }

    private static MimeiVerb NetworkSize(MimeiOptions options)
    {
        MimeiVerb verb = new("networksize", "", "Tells about how many servers the network has.")
        {
            Of = "dht",
            Details = "It is judged by how densely peers lie around what was looked for, so it is rough, and better after some searches.",
            Json = """{"servers": number}""",
            Examples = ["networksize"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            verb.Words(result, 0, 0);
            long size = session.Call("DHT", "NETWORKSIZE").Integer;
            if (output.AsJson) MimeiOutput.Json(new JsonObject { ["servers"] = size });
            else MimeiOutput.Plain(MimeiOutput.Number(size));
        });
    }
}
