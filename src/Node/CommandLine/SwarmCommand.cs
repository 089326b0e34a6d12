using System.CommandLine;
using System.CommandLine.Help;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither swarm …</c>: the peers of a node, for people. Everything here is a RESP command of the SWARM family underneath; this adds tables, JSON and what can be
/// done next.
/// </summary>
internal static class SwarmCommand
{
    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer);
        Command swarm = new("swarm", """
            The peers of a node: who it is to them, whom it knows, whom it is connected with.

            A node connects to nobody by itself: leither run -b HOST names peers that lead into a network, connect is for once.
            """) { options.Data, options.Port, options.User, options.Json };
        foreach (MimeiVerb verb in (MimeiVerb[])[
            Id(options), Local(options), Listen(options), Addrs(options), Peers(options), Connect(options), Disconnect(options), Filters(options)])
        {
            swarm.Subcommands.Add(verb);
        }

        swarm.SetAction(static result => new MimeiHelp(new HelpAction()).Invoke(result));
        return swarm;
    }

    private static MimeiVerb Id(MimeiOptions options)
    {
        MimeiVerb verb = new("id", "[PEERID]", "Tells who this node is, or what is known of a peer.")
        {
            Of = "swarm",
            Details = "The node id is who the node is to Leither's users, the peer id who it is to other peers; both come from its key.",
            Json = """{"node": text, "peer": text, "key": base64, "agent": text, "network": text, "addresses": [text], "protocols": [text]}   node: of this node only""",
            Examples = ["id", "id 12D3KooW…", "id --json"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 0, 1);
            Dictionary<string, RespReply> found = session.Call(["SWARM", "ID", .. words]).Elements.Chunk(2).ToDictionary(static p => p[0].Text, static p => p[1]);
            if (output.AsJson)
            {
                JsonObject json = [];
                foreach ((string name, RespReply value) in found)
                {
                    if (name is "addresses" or "protocols") json[name] = MimeiOutput.Texts(value);
                    else json[name] = value.Text;
                }

                MimeiOutput.Json(json);
                return;
            }

            if (found.TryGetValue("node", out RespReply? node)) MimeiOutput.Plain($"Node id    {node.Text}");
            MimeiOutput.Plain($"Peer id    {found["peer"].Text}");
            MimeiOutput.Plain($"Agent      {MimeiOutput.OneLine(found["agent"].Text)}");
            PrintList("Addresses", found["addresses"]);
            PrintList("Protocols", found["protocols"]);
            if (words.Length == 0 && found["addresses"].Elements.Count > 0)
            {
                // Others reach it from elsewhere: this machine's own address is the last to tell them.
                string address = found["addresses"].Elements.Select(static a => a.Text).OrderBy(static a => a.Contains("/127.0.0.1/", StringComparison.Ordinal) || a.Contains("/::1/", StringComparison.Ordinal)).First();
                output.Next($"leither swarm connect {address}      (from another node)");
            }
        });
    }

    private static MimeiVerb Local(MimeiOptions options)
    {
        MimeiVerb verb = new("local", "", "Lists the addresses at which peers are told that this node is.")
        {
            Of = "swarm",
            Details = "They are the node's addresses on this machine and those that the setting swarm-announce adds, each with the peer id: what others pass to swarm connect.",
            Json = """{"addresses": [text]}""",
            Examples = ["local"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            verb.Words(result, 0, 0);
            PrintAddresses(session.Call("SWARM", "LOCAL"), output);
        });
    }

    private static MimeiVerb Listen(MimeiOptions options)
    {
        MimeiVerb verb = new("listen", "", "Lists the addresses that the node listens on.")
        {
            Of = "swarm",
            Details = "0.0.0.0 and :: mean every address of this machine. RESP, HTTP and peers share them.",
            Json = """{"addresses": [text]}""",
            Examples = ["listen"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            verb.Words(result, 0, 0);
            PrintAddresses(session.Call("SWARM", "LISTEN"), output);
        });
    }

    private static MimeiVerb Addrs(MimeiOptions options)
    {
        MimeiVerb verb = new("addrs", "", "Lists the peers that are known, and where they are.")
        {
            Of = "swarm",
            Json = """{"peers": [{"peer": text, "connected": boolean, "addresses": [text]}]}""",
            Examples = ["addrs", "addrs --json"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            verb.Words(result, 0, 0);
            IReadOnlyList<RespReply> peers = session.Call("SWARM", "ADDRS").Elements;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["peers"] = new JsonArray([.. peers.Select(static p => new JsonObject { ["peer"] = p[0].Text, ["connected"] = p[1].Integer == 1, ["addresses"] = MimeiOutput.Texts(p[2]) })]),
                });
                return;
            }

            if (peers.Count == 0)
            {
                Nobody("No peer is known.", session, output);
                return;
            }

            foreach (RespReply peer in peers)
            {
                MimeiOutput.Plain($"{peer[0].Text}{(peer[1].Integer == 1 ? "  connected" : "")}");
                foreach (RespReply address in peer[2].Elements) MimeiOutput.Plain($"    {address.Text}");
            }
        });
    }

    private static MimeiVerb Peers(MimeiOptions options)
    {
        MimeiVerb verb = new("peers", "", "Lists the connections with peers.")
        {
            Of = "swarm",
            Json = """{"peers": [{"peer": text, "address": text, "direction": "in"|"out", "latency_ms": number, "streams": number, "agent": text}]}   latency_ms: 0 until it is measured""",
            Examples = ["peers", "peers --json"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            verb.Words(result, 0, 0);
            Dictionary<string, RespReply>[] peers = [.. session.Call("SWARM", "PEERS").Elements
                .Select(static one => one.Elements.Chunk(2).ToDictionary(static p => p[0].Text, static p => p[1]))];
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["peers"] = new JsonArray([.. peers.Select(static p => new JsonObject
                    {
                        ["peer"] = p["peer"].Text,
                        ["address"] = p["address"].Text,
                        ["direction"] = p["direction"].Text,
                        ["latency_ms"] = p["latency-us"].Integer / 1000.0,
                        ["streams"] = p["streams"].Integer,
                        ["agent"] = p["agent"].Text,
                    })]),
                });
                return;
            }

            if (peers.Length == 0)
            {
                Nobody("No peer is connected.", session, output);
                return;
            }

            output.Table(["Peer", "Dir", "#Latency", "#Streams", "Address", "Agent"], peers.Select(static p => (string[])[
                p["peer"].Text,
                p["direction"].Text,
                p["latency-us"].Integer == 0 ? "-" : string.Create(CultureInfo.InvariantCulture, $"{p["latency-us"].Integer / 1000.0:0.0} ms"),
                MimeiOutput.Number(p["streams"].Integer),
                p["address"].Text,
                MimeiOutput.OneLine(p["agent"].Text),
            ]));
        });
    }

    private static MimeiVerb Connect(MimeiOptions options)
    {
        MimeiVerb verb = new("connect", "ADDRESS…", "Connects with peers.")
        {
            Of = "swarm",
            Details = """
                ADDRESS is a multiaddr as swarm local prints it, HOST, HOST:PORT, or the id of a known peer. With a peer id in it nobody else is accepted there.
                The connection lasts until it is idle and others need its place; to be led into a network at each start: leither run -b ADDRESS.
                """,
            Json = """{"connected": [{"address": text, "peer": text}]}""",
            Examples = ["connect /ip4/192.168.1.7/tcp/4800/p2p/12D3KooW…", "connect nas.local:4800"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] addresses = verb.Words(result, 1, int.MaxValue);
            JsonArray connected = [];
            List<string> failed = [];
            foreach (string address in addresses)
            {
                try
                {
                    string peer = session.Wait(output, $"Connecting with {address}", () => session.Call("SWARM", "CONNECT", address)).Text;
                    connected.Add((JsonNode)new JsonObject { ["address"] = address, ["peer"] = peer });
                    if (!output.AsJson) MimeiOutput.Plain($"connected {peer}");
                }
                catch (CommandLineException e) when (addresses.Length > 1)
                {
                    // The others may be there.
                    failed.Add($"{address}: {e.Message}");
                }
            }

            if (failed.Count > 0) throw new CommandLineException(string.Join('\n', failed));
            if (output.AsJson) MimeiOutput.Json(new JsonObject { ["connected"] = connected });
            output.Next(session.Place.Leither("swarm peers"), session.Place.Leither("ipfs get CID"));
        });
    }

    private static MimeiVerb Disconnect(MimeiOptions options)
    {
        MimeiVerb verb = new("disconnect", "PEER…", "Ends the connections with peers.")
        {
            Of = "swarm",
            Details = "PEER is a peer id, or an address that ends with one. Either side may connect again; filters add keeps a network out.",
            Json = """{"disconnected": number}""",
            Examples = ["disconnect 12D3KooW…"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            long count = 0;
            foreach (string peer in verb.Words(result, 1, int.MaxValue))
            {
                long ended = session.Call("SWARM", "DISCONNECT", peer).Integer;
                count += ended;
                if (!output.AsJson) MimeiOutput.Plain(ended > 0 ? $"disconnected {peer}" : $"{peer} was not connected");
            }

            if (output.AsJson) MimeiOutput.Json(new JsonObject { ["disconnected"] = count });
        });
    }

    private static MimeiVerb Filters(MimeiOptions options)
    {
        MimeiVerb verb = new("filters", "[ls] | add CIDR… | rm CIDR…", "Lists the networks that nothing is exchanged with, adds some or takes some away.")
        {
            Of = "swarm",
            Details = "Nobody in such a network is dialled or let in; connections that stand end. Filters are kept over restarts. One address is a network, too.",
            Json = """ls: {"filters": [text]}   add, rm: {"changed": number}""",
            Examples = ["filters", "filters add 203.0.113.0/24 2001:db8::/32", "filters rm 203.0.113.0/24"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 0, int.MaxValue);
            if (words is [] or ["ls"])
            {
                RespReply filters = session.Call("SWARM", "FILTERS");
                if (output.AsJson) MimeiOutput.Json(new JsonObject { ["filters"] = MimeiOutput.Texts(filters) });
                else foreach (RespReply filter in filters.Elements) MimeiOutput.Plain(filter.Text);
                return;
            }

            if (words is not ["add" or "rm", _, ..]) throw verb.Misused("ls, or add or rm and networks");
            long changed = session.Call(["SWARM", "FILTERS", words[0], .. words[1..]]).Integer;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["changed"] = changed });
                return;
            }

            MimeiOutput.Plain($"{(words[0] == "add" ? "added" : "removed")} {MimeiOutput.Count(changed, "filter")}");
            if (changed < words.Length - 1) output.Next(session.Place.Leither("swarm filters"));
        });
    }

    // ------------------------------------------------------------------ what they share

    private static void Nobody(string what, MimeiSession session, MimeiOutput output)
    {
        MimeiOutput.Plain(what);
        output.Next(session.Place.Leither("swarm connect HOST:PORT"));
    }

    private static void PrintAddresses(RespReply addresses, MimeiOutput output)
    {
        if (output.AsJson) MimeiOutput.Json(new JsonObject { ["addresses"] = MimeiOutput.Texts(addresses) });
        else foreach (RespReply address in addresses.Elements) MimeiOutput.Plain(address.Text);
    }

    private static void PrintList(string title, RespReply texts)
    {
        for (int i = 0; i < texts.Elements.Count; i++) MimeiOutput.Plain($"{(i == 0 ? title : ""),-9}  {MimeiOutput.OneLine(texts[i].Text)}");
    }
}
