using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.MmDb.Writers;
using Leither.Node.Storage;
using Leither.Replication;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <content>MiMei on several nodes: giving them, following them, and who writes.</content>
internal static partial class MimeiCommand
{
    // ------------------------------------------------------------------ giving

    private static MimeiVerb Publish(MimeiOptions options)
    {
        Option<string[]> to = new("--to") { Description = "Give it to this user and not to everybody: a peer id, node id or user id; may be repeated", HelpName = "ID", Arity = ArgumentArity.OneOrMore };
        MimeiVerb verb = new("publish", "MID [options]", "Makes a MiMei known, so that other nodes can follow it.")
        {
            Details = """
                Without --to everybody may have it: its newest version is announced now and at least every 22 hours, and stays good for 168. With --to nothing is
                announced; those users give its address to mimei provide, and who was given it before keeps it. What is written later follows by itself,
                version or not. This is giving the right to read: mimei right shows and changes who has which.
                """,
            Json = """{"mid": text, "version": number, "cid": text, "term", "epoch", "sequence": numbers, "name": text, "told": number, "eol": time, "addresses": [text]}   told: how many peers took it""",
            Examples = ["publish diary", "publish diary --to 12D3KooW…"],
        };
        verb.Options.Add(to);
        return verb.Runs(options, (result, session, output) =>
        {
            string mid = verb.Words(result, 1, 1)[0];
            string[] users = result.GetValue(to) ?? [];
            string[] words = users.Length > 0 ? ["MIMEI", "PUBLISH", mid, "TO", .. users] : ["MIMEI", "PUBLISH", mid];
            Fields published = new(session.Wait(output, "Publishing", () => session.Call(words)));
            if (output.AsJson)
            {
                JsonObject json = [];
                Copy(published, json, "mid", "version", "cid", "term", "epoch", "sequence", "name", "told", "eol");
                json["addresses"] = Texts(published.Reply("addresses"));
                MimeiOutput.Json(json);
                return;
            }

            long version = published.Number("version");
            string what = version == 0 ? "no version yet" : $"version {version}  {output.Cid(published.Text("cid"))}";
            output.Line($"[green]published[/] {published.Text("mid")}  {what}  position {PlaceText(published)}");
            long told = published.Number("told");
            MimeiOutput.Plain(users.Length > 0 ? $"for {MimeiOutput.Count(users.Length, "user")} and not for everybody; nothing is announced"
                : $"{(published.Text("name") is { Length: > 0 } name ? $"name {name}" : "no name: its author's key, which signs for the name, is not on this node")}  {(told == 0 ? "told nobody yet" : $"told {MimeiOutput.Count(told, "peer")}")}, good until {published.Text("eol")}");

            string[] addresses = Dialled(published.Lines("addresses"));
            foreach (string address in addresses)
            {
                MimeiOutput.Plain($"at   {address}");
            }

            // Others reach it from elsewhere: this machine's own address is the last to tell them.
            string? best = addresses.OrderBy(static a => a.Contains("/127.0.0.1/", StringComparison.Ordinal) || a.Contains("/::1/", StringComparison.Ordinal)).FirstOrDefault();
            output.Next($"leither mimei provide {published.Text("mid")}{(best is null ? "" : $" --from {best}")}      (on another node)", session.Place.Leither($"mimei followers {mid}"));
        });
    }

    /// <summary>Addresses for people: the same by WebSocket is for browsers.</summary>
    private static string[] Dialled(string[] addresses) =>
        Array.Exists(addresses, static a => !a.Contains("/ws", StringComparison.Ordinal)) ? [.. addresses.Where(static a => !a.Contains("/ws", StringComparison.Ordinal))] : addresses;

    private static MimeiVerb Unpublish(MimeiOptions options)
    {
        MimeiVerb verb = new("unpublish", "MID", "Gives a MiMei to nobody any more who does not have it.")
        {
            Details = "Nobody but its owner may read it any more (mimei right). What others have they keep, but nothing new. What was announced ends by itself, after 48 hours at most.",
            Json = """{"unpublished": bool}""",
            Examples = ["unpublish diary"],
        };
        return verb.Runs(options, (result, session, output) => End(session, output, verb.Words(result, 1, 1)[0], "unpublish", "It was not published."));
    }

    // ------------------------------------------------------------------ following

    private static MimeiVerb Provide(MimeiOptions options)
    {
        Option<string[]> from = From();
        MimeiVerb verb = new("provide", "MID [options]", "Follows a MiMei from now on, live, and serves it to others.")
        {
            Details = """
                It comes here, verified, and every write a moment after it is made, for as long as this node lives, over restarts too; clients read it here, and
                other nodes follow it from here. Ctrl-C ends the waiting alone. One of this node's own is only announced.
                """,
            Json = SyncedJsonHelp,
            Examples = ["provide RXN74QNeiY08LRSaoeQhx3nOLTC --from /ip4/192.168.1.7/tcp/4800/p2p/12D3KooW…", "provide RXN74QNeiY08LRSaoeQhx3nOLTC"],
        };
        verb.Options.Add(from);
        return verb.Runs(options, (result, session, output) =>
        {
            string mid = verb.Words(result, 1, 1)[0];
            Bring(session, output, ["MIMEI", "PROVIDE", mid, .. Addresses(result, from)], "provides", mustBeLevel: false);
        });
    }

    private static MimeiVerb Unprovide(MimeiOptions options)
    {
        MimeiVerb verb = new("unprovide", "MID", "Follows and announces a MiMei no longer.")
        {
            Details = "What is here stays, and can be read.",
            Json = """{"unprovided": bool}""",
            Examples = ["unprovide RXN74QNeiY08LRSaoeQhx3nOLTC"],
        };
        return verb.Runs(options, (result, session, output) => End(session, output, verb.Words(result, 1, 1)[0], "unprovide", "It was not provided."));
    }

    private static MimeiVerb Sync(MimeiOptions options)
    {
        Option<string[]> from = From();
        Option<bool> follow = new("--follow") { Description = "Go on following it until the node ends" };
        MimeiVerb verb = new("sync", "MID [options]", "Brings a MiMei to this node, or what is new of it.")
        {
            Details = "Only what is missing comes, from all nodes that have it at once, and every byte is verified. What an interrupted one brought is not fetched again.",
            Json = SyncedJsonHelp,
            Examples = ["sync RXN74QNeiY08LRSaoeQhx3nOLTC", "sync RXN74QNeiY08LRSaoeQhx3nOLTC --from nas.local:4800 --follow"],
        };
        verb.Options.Add(from);
        verb.Options.Add(follow);
        return verb.Runs(options, (result, session, output) =>
        {
            string mid = verb.Words(result, 1, 1)[0];
            string[] more = result.GetValue(follow) ? ["FOLLOW"] : [];
            Bring(session, output, ["MIMEI", "SYNC", mid, .. Addresses(result, from), .. more], "synced", mustBeLevel: more.Length == 0);
        });
    }

    private const string SyncedJsonHelp = """
        {"mid": text, "version": number, "net_version": number, "term", "epoch", "sequence": numbers, "bytes": number, "blocks": number, "sources": number, "level": bool,
         "seconds": number}
        version: the newest that is here, 0 where there is none; net_version: the newest that is known of, also where it is still on its way. sources: from how many nodes it came. level: it has all that they have.
        """;

    private static Option<string[]> From() => new("--from")
    {
        Description = "Where it may be had, besides what the network says: a multiaddr, host or host:port; may be repeated",
        HelpName = "ADDRESS",
        Arity = ArgumentArity.OneOrMore,
    };

    private static string[] Addresses(ParseResult result, Option<string[]> from) => result.GetValue(from) is { Length: > 0 } addresses ? ["FROM", .. addresses] : [];

    /// <summary>
    /// The newest version that is here, and the newest anywhere. Versions come on their own, often a moment after what they are made of: so where none is here, others are asked what they have.
    /// </summary>
    private static (long Here, long Anywhere) Newest(MimeiSession session, string mid, long here)
    {
        if (here > 0)
        {
            return (here, here);
        }

        try
        {
            Fields shown = new(session.Call("MIMEI", "SHOW", mid));
            here = new Fields(shown.Reply("local")).Number("last");
            return (here, Math.Max(here, shown.Reply("net").IsNull ? 0 : new Fields(shown.Reply("net")).Number("last")));
        }
        catch (CommandLineException)
        {
            return (here, here); // not every user may ask
        }
    }

    private static void Bring(MimeiSession session, MimeiOutput output, string[] words, string done, bool mustBeLevel)
    {
        Stopwatch watch = Stopwatch.StartNew();
        Fields synced = new(session.Wait(output, "Bringing it here", () => session.Call(words)));
        double seconds = watch.Elapsed.TotalSeconds;
        string mid = synced.Text("mid");
        (long version, long net) = Newest(session, mid, synced.Number("version"));
        if (output.AsJson)
        {
            JsonObject json = [];
            Copy(synced, json, "mid", "version", "term", "epoch", "sequence", "bytes", "blocks", "sources");
            json["version"] = version;
            json["net_version"] = net;
            json["level"] = synced.Flag("level");
            json["seconds"] = Math.Round(seconds, 3);
            MimeiOutput.Json(json);
        }
        else
        {
            string versions = version > 0 ? $"version {version}" : net > 0 ? $"version {net} there, on its way here" : "no version yet";
            output.Line(
                $"[green]{done}[/] {mid}  {versions}  position {PlaceText(synced)}  {MimeiOutput.Bytes(synced.Number("bytes"))} from {MimeiOutput.Count(synced.Number("sources"), "node")}  {seconds:0.00} s");
        }

        if (!synced.Flag("level") && mustBeLevel)
        {
            throw new CommandLineException(output.AsJson ? "" : $"It is not level with the others yet, and goes on from here with: {session.Place.Leither($"mimei sync {mid}")}");
        }

        if (!output.AsJson && !synced.Flag("level"))
        {
            MimeiOutput.Plain("It is not level with the others yet, and goes on.");
        }

        output.Next(session.ClientOf(mid), session.Place.Leither($"mimei cid {mid}"), session.Place.Leither($"mimei show {mid}"));
    }

    private static void End(MimeiSession session, MimeiOutput output, string mid, string verb, string wasNot)
    {
        bool did = session.Call("MIMEI", verb.ToUpperInvariant(), mid).Integer != 0;
        if (output.AsJson)
        {
            MimeiOutput.Json(new JsonObject { [verb + (verb[^1] == 'e' ? "d" : "ed")] = did });
        }
        else
        {
            MimeiOutput.Plain(did ? $"{verb}{(verb[^1] == 'e' ? "d" : "ed")} {mid}" : wasNot);
        }
    }

    // ------------------------------------------------------------------ who has it

    private static MimeiVerb FindProvs(MimeiOptions options)
    {
        MimeiVerb verb = new("findprovs", "MID", "Tells which nodes have a MiMei, where they are, and how far each has it.")
        {
            Details = "The network is asked who they are, and they themselves how far they have it. That nobody has it is no error.",
            Json = """
                {"providers": [{"peer", "node": texts, "addresses": [text], "version": number, "cid": text, "term", "epoch", "sequence": numbers, "writer": bool,
                                "this": bool, "problem": text}]}
                node: its id as swarm id prints it. writer: it is the one that writes. problem: why it could not be asked.
                """,
            Examples = ["findprovs RXN74QNeiY08LRSaoeQhx3nOLTC"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string mid = verb.Words(result, 1, 1)[0];
            Fields[] found = [.. session.Wait(output, "Finding providers", () => session.Call("MIMEI", "FINDPROVS", mid)).Elements.Select(static p => new Fields(p))];
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["providers"] = new JsonArray([.. found.Select(static p =>
                {
                    JsonObject json = [];
                    Copy(p, json, "peer", "node");
                    json["addresses"] = Texts(p.Reply("addresses"));
                    Copy(p, json, "version", "cid", "term", "epoch", "sequence");
                    json["writer"] = p.Flag("writer");
                    json["this"] = p.Flag("this");
                    Copy(p, json, "problem");
                    return json;
                })])
                });
                return;
            }

            if (found.Length == 0)
            {
                MimeiOutput.Plain("Nobody who was asked knows a provider.");
                return;
            }

            output.Table(["Peer", "#Version", "Position", "Is", "Addresses"], found.SelectMany(static p =>
            {
                string problem = MimeiOutput.OneLine(p.Text("problem"));
                string[] addresses = Dialled(p.Lines("addresses"));
                string[] where = problem.Length > 0 ? [problem, .. addresses] : addresses.Length > 0 ? addresses : ["-"];
                string version = p.Number("version") == 0 ? "-" : MimeiOutput.Number(p.Number("version")), place = p.Number("sequence") == 0 ? "-" : PlaceText(p);
                string role = (p.Flag("writer"), p.Flag("this")) switch { (true, true) => "writer, this", (true, _) => "writer", (_, true) => "this", _ => "" };
                return where.Select((line, i) => (string[])(i == 0 ? [p.Text("peer"), version, place, role, line] : ["", "", "", "", line]));
            }));
            output.Next(session.Place.Leither($"mimei sync {mid}"), session.Place.Leither($"mimei provide {mid}"));
        });
    }

    private static MimeiVerb Followers(MimeiOptions options)
    {
        MimeiVerb verb = new("followers", "[MID]", "Lists the nodes that follow a MiMei here, and how far each is.")
        {
            Details = "A follower of a follower is that one's, not this node's. mimei providers names those that WAIT and WAITAOF count.",
            Json = """
                {"followers": [{"peer", "node", "address": texts, "state": catch-up or online, "term", "epoch", "written", "synced": numbers, "lag": entries,
                                "named": bool, "silent_ms": number}]}
                """,
            Examples = ["followers", "followers diary --json"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            RespReply followers = session.Call(mid is null ? ["MIMEI", "FOLLOWERS"] : ["MIMEI", "FOLLOWERS", mid]);
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["followers"] = FollowersJson(followers) });
                return;
            }

            if (followers.Elements.Count == 0)
            {
                MimeiOutput.Plain("Nobody follows it at present.");
                output.Next(session.Place.Leither($"mimei publish {mid ?? session.Bound().Mid}"));
                return;
            }

            output.Table(["Peer", "State", "#Written", "#Synced", "#Lag", "Named", "Address"], followers.Elements.Select(static e => new Fields(e)).Select(static f => (string[])[
                f.Text("peer"), f.Text("state"), MimeiOutput.Number(f.Number("written")), MimeiOutput.Number(f.Number("synced")), MimeiOutput.Number(f.Number("lag")),
                f.Flag("named") ? "yes" : "no", f.Text("address")]));
        });
    }

    private static MimeiVerb Providers(MimeiOptions options)
    {
        Option<string[]> add = new("--add") { Description = "Name this provider: a peer id or node id; may be repeated", HelpName = "ID", Arity = ArgumentArity.OneOrMore };
        Option<string[]> remove = new("--remove") { Description = "No longer name this provider; may be repeated", HelpName = "ID", Arity = ArgumentArity.OneOrMore };
        MimeiVerb verb = new("providers", "[MID] [options]", "Lists or changes the named providers, whose acknowledgements count.")
        {
            Details = """
                WAIT 1 1000 after a write returns once one named provider has it, WAITAOF 1 1 1000 once it is on that one's disk and on this one's. Who follows
                without being named counts for nothing: anybody may follow what is public.
                """,
            Json = """{"providers": [{"provider": text, "state": offline, catch-up or online, "written", "synced": numbers, "lag": entries, -1 if offline}]}""",
            Examples = ["providers", "providers diary --add 12D3KooW…"],
        };
        verb.Options.Add(add);
        verb.Options.Add(remove);
        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            string id = mid ?? session.Bound().Mid;
            foreach ((string word, string[] ids) in ((string, string[])[])[("ADD", result.GetValue(add) ?? []), ("DEL", result.GetValue(remove) ?? [])])
            {
                if (ids.Length > 0)
                {
                    session.Call(["MIMEI", "PROVIDERS", id, word, .. ids]);
                }
            }

            RespReply named = session.Call("MIMEI", "PROVIDERS", id);
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["providers"] = NamedJson(named) });
                return;
            }

            if (named.Elements.Count == 0)
            {
                MimeiOutput.Plain("No provider is named.");
                output.Next(session.Place.Leither($"mimei followers {id}"), session.Place.Leither($"mimei providers {id} --add PEERID"));
                return;
            }

            output.Table(["#Written", "#Synced", "#Lag", "State", "Provider"], named.Elements.Select(static e => new Fields(e)).Select(static f => (string[])[
                MimeiOutput.Number(f.Number("written")), MimeiOutput.Number(f.Number("synced")), f.Number("lag") < 0 ? "-" : MimeiOutput.Number(f.Number("lag")), f.Text("state"), f.Text("provider")]));
        });
    }

    private static JsonArray FollowersJson(RespReply followers) => new([.. followers.Elements.Select(static e =>
    {
        Fields follower = new(e);
        JsonObject json = [];
        Copy(follower, json, "peer", "node", "address", "state", "term", "epoch", "written", "synced", "lag");
        json["named"] = follower.Flag("named");
        json["silent_ms"] = follower.Number("silent-ms");
        return json;
    })]);

    private static JsonArray NamedJson(RespReply named) => new([.. named.Elements.Select(static e =>
    {
        JsonObject json = [];
        Copy(new Fields(e), json, "provider", "state", "written", "synced", "lag");
        return json;
    })]);

    // ------------------------------------------------------------------ comparing two nodes

    private static MimeiVerb Cid(MimeiOptions options)
    {
        MimeiVerb verb = new("cid", "[MID]", "Prints the CID of what a MiMei holds now.")
        {
            Details = """
                The same data have the same CID, whatever order they were written in and on whichever node: two nodes that print the same hold the same. No version
                is made. It costs what changed since the newest version; without one, all keys. No client waits for it.
                """,
            Json = """{"mid": text, "cid": text}""",
            Examples = ["cid", "cid RXN74QNeiY08LRSaoeQhx3nOLTC"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            session.Open(mid);
            string cid = session.Wait(output, "Computing the CID", () => session.Call("MIMEI", "CID")).Text;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = session.Bound().Mid, ["cid"] = cid });
            }
            else
            {
                MimeiOutput.Plain(cid);
            }
        });
    }

    // ------------------------------------------------------------------ who writes

    private static MimeiVerb Takeover(MimeiOptions options)
    {
        Option<string?> key = new("--key") { Description = "The author's key, where this node's is another one: a file as keys/author.key; it is used here, and never sent", HelpName = "FILE" };
        MimeiVerb verb = new("takeover", "MID [options]", "Makes this node the one that writes a MiMei.")
        {
            Details = """
                A new term begins after what is here of it. The node that wrote before is fenced as soon as it hears of that; what it wrote meanwhile, and nobody
                here had, is set aside there. Bring it level first (mimei sync) where that node can be reached. Versions are made here from then on (mimei backup), whether
                the author's key is on this node or only signed for it (--key): they are proven by what he signed. His name for the newest one in the network (mimei publish)
                is set by a node that has his key.
                """,
            Json = """{"mid": text, "term", "epoch": numbers, "after": {"term", "epoch", "sequence": numbers}, "before": peer}""",
            Examples = ["takeover RXN74QNeiY08LRSaoeQhx3nOLTC", "takeover RXN74QNeiY08LRSaoeQhx3nOLTC --key author.key"],
        };
        verb.Options.Add(key);
        return verb.Runs(options, (result, session, output) =>
        {
            string mid = verb.Words(result, 1, 1)[0];
            List<ReadOnlyMemory<byte>> words = [IpfsCommand.Bytes("MIMEI"), IpfsCommand.Bytes("TAKEOVER"), IpfsCommand.Bytes(mid)];
            if (result.GetValue(key) is { } file)
            {
                byte[] prepared = session.Wait(output, "Asking what is to be signed", () => session.Call("MIMEI", "TAKEOVER", mid, "PREPARE")).Bytes;
                LeitherId id = LeitherId.TryParse(mid, out LeitherId parsed) ? parsed : LeitherId.Parse(new Fields(session.Call("MIMEI", "INFO", mid)).Text("mid"));
                words.AddRange([IpfsCommand.Bytes("CERT"), Certify(prepared, id, file)]);
            }

            RespReply reply;
            try
            {
                reply = session.Wait(output, "Taking over", () =>
                {
                    session.Send(words);
                    return session.Receive();
                });
            }
            catch (CommandLineException e) when (words.Count == 3 && e.Message.Contains("PREPARE", StringComparison.Ordinal))
            {
                throw new CommandLineException($"The key of the author of {mid} is not on this node.\nWith a copy of it: {session.Place.Leither($"mimei takeover {mid} --key FILE")}", inner: e);
            }

            Fields taken = new(reply);
            Fields after = new(taken.Reply("after"));
            if (output.AsJson)
            {
                JsonObject json = [], place = [];
                Copy(taken, json, "mid", "term", "epoch");
                Copy(after, place, "term", "epoch", "sequence");
                json["after"] = place;
                Copy(taken, json, "before");
                MimeiOutput.Json(json);
                return;
            }

            output.Line($"[green]took over[/] {taken.Text("mid")}  term {taken.Number("term")}, after {PlaceText(after)}{(taken.Text("before") is { Length: > 0 } before ? $"  before: {before}" : "")}");
            output.Next(session.ClientOf(mid), session.Place.Leither($"mimei show {mid}"));
        });
    }

    /// <summary>Signs what a node asks to have signed, if it is what it should be: the author's word that the node writes this MiMei, and nothing else.</summary>
    /// <exception cref="CommandLineException">The key cannot be read or is another one, or something else was to be signed.</exception>
    internal static byte[] Certify(byte[] prepared, LeitherId mid, string file)
    {
        PrivateKey? read;
        try
        {
            read = NodeKeys.ReadFile(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandLineException($"The key cannot be read: {e.Message}", inner: e);
        }

        using PrivateKey key = read ?? throw new CommandLineException($"{file} is not a private key");
        WriterCertificate certificate;
        try
        {
            certificate = WriterCertificate.ReadUnsigned(prepared);
        }
        catch (MalformedBlockException e)
        {
            throw new CommandLineException($"What the node wants to have signed is no certificate, so it is not signed: {e.Message}", inner: e);
        }

        return certificate.Mid != mid ? throw new CommandLineException($"The node wants a certificate for {certificate.Mid} to be signed, so it is not signed")
            : certificate.Author.Span.SequenceEqual(key.PublicKey.Bytes) ? certificate.Sign(key).Block.ToArray()
            : throw new CommandLineException($"{file} is not the key of the author of {mid}");
    }
}
