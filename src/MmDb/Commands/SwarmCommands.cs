using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;

namespace Leither.MmDb.Commands;

/// <summary>
/// SWARM and its subcommands: the peers of the node. What waits for peers waits beside the loop, while other clients go on, and ends with the client.
/// </summary>
public static unsafe class SwarmCommands
{
    private const CommandFlags Usual = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch;

    /// <summary>SWARM</summary>
    public static readonly CommandSpec Swarm = new("swarm", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "Depends on subcommand.",
        Summary = "A container for commands on the node's peers.",
        Flags = CommandFlags.EndsBatch,
        Subcommands =
        [
            new("addrs", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of known peers.",
                Summary = "Lists the known peers: id, whether there is a connection, addresses.",
                Flags = Usual,
                Handler = &RunAddrs,
            },
            new("connect", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Connects with a peer, and returns its id.",
                Flags = Usual | CommandFlags.Admin,
                Args = [Arg.String("address").Shown("multiaddr|host[:port]|peerid")],
                Handler = &RunConnect,
            },
            new("disconnect", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Ends the connections with a peer, and returns how many peers that were: 0 or 1.",
                Flags = Usual | CommandFlags.Admin,
                Args = [Arg.String("peer").Shown("peerid|multiaddr")],
                Handler = &RunDisconnect,
            },
            new("filters", -2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of filters.",
                Summary = "Lists the networks that nothing is exchanged with, adds some or takes some away.",
                Flags = Usual | CommandFlags.Admin,
                Args =
                [
                    Arg.OneOf("action", Arg.String("cidr").Token("ADD").Multiple(), Arg.String("cidr").Token("RM").Multiple(), Arg.Word("ls", "LS")).Optional(),
                ],
                Handler = &RunFilters,
            },
            new("help", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("id", -2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Returns who this node is, or what is known of a peer.",
                Flags = Usual,
                Args = [Arg.String("peer").Shown("peerid").Optional()],
                Handler = &RunId,
            },
            new("listen", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Lists the addresses that the node listens on.",
                Flags = Usual,
                Handler = &RunListen,
            },
            new("local", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Lists the addresses at which peers are told that this node is, with its id.",
                Flags = Usual,
                Handler = &RunLocal,
            },
            new("peers", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of connections.",
                Summary = "Lists the connections with peers.",
                Flags = Usual,
                Handler = &RunPeers,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Swarm];

    private static void RunHelp(CommandContext c) => c.Help(
        "ADDRS",
        "    List the known peers: id, whether there is a connection, addresses.",
        "CONNECT <multiaddr>|<host>[:<port>]|<peerid>",
        "    Connect with a peer, and return its id.",
        "DISCONNECT <peerid>|<multiaddr>",
        "    End the connections with a peer.",
        "FILTERS [LS] | ADD <cidr> [<cidr> ...] | RM <cidr> [<cidr> ...]",
        "    List the networks that nothing is exchanged with, add some or take some away. They are kept.",
        "ID [<peerid>]",
        "    Return who this node is, or what is known of a peer.",
        "LISTEN",
        "    List the addresses that the node listens on.",
        "LOCAL",
        "    List the addresses at which peers are told that this node is, with its id.",
        "PEERS",
        "    List the connections with peers.");

    // ------------------------------------------------------------------ this node

    private static void RunId(CommandContext c)
    {
        if (!TryNetwork(c, out INodeNetwork? network)) return;
        if (c.Count > 3)
        {
            c.WrongArity();
            return;
        }

        PeerId peer = network.Id;
        if (c.Count == 3 && !PeerId.TryParse(c.Text(2, 200), out peer))
        {
            c.Error("ERR not the id of a peer"u8);
            return;
        }

        c.AsideAsync(
            _ => SwarmWork.DescribeAsync(network, peer),
            (c, found) =>
            {
                bool isSelf = found.Id == network.Id;
                c.Reply.Map(isSelf ? 7 : 6);
                if (isSelf) MimeiCommands.Field(c.Reply, "node", network.NodeId.ToString());
                MimeiCommands.Field(c.Reply, "peer", found.Id.ToString());
                MimeiCommands.Field(c.Reply, "key", Convert.ToBase64String(found.PublicKey));
                MimeiCommands.Field(c.Reply, "agent", found.Agent);
                MimeiCommands.Field(c.Reply, "network", found.ProtocolVersion);
                c.Reply.Bulk("addresses"u8);
                Write(c, found.Addresses, found.Id);
                c.Reply.Bulk("protocols"u8);
                c.Reply.Array(found.Protocols.Count);
                foreach (string protocol in found.Protocols) c.Reply.Bulk(Encoding.UTF8.GetBytes(protocol));
            });
    }

    private static void RunListen(CommandContext c)
    {
        if (TryNetwork(c, out INodeNetwork? network)) Write(c, network.Listening, null);
    }

    private static void RunLocal(CommandContext c)
    {
        if (TryNetwork(c, out INodeNetwork? network)) c.AsideAsync(_ => network.AddressesAsync(), (c, addresses) => Write(c, addresses, network.Id));
    }

    // ------------------------------------------------------------------ peers

    private static void RunAddrs(CommandContext c)
    {
        if (!TryNetwork(c, out INodeNetwork? network)) return;
        c.AsideAsync(
            _ => network.KnownPeersAsync(),
            static (c, peers) =>
            {
                c.Reply.Array(peers.Count);
                foreach (SwarmPeer peer in peers)
                {
                    c.Reply.Array(3);
                    c.Reply.Bulk(Ascii(peer.Id.ToString()));
                    c.Reply.Integer(peer.IsConnected ? 1 : 0);
                    Write(c, peer.Addresses, null);
                }
            });
    }

    private static void RunPeers(CommandContext c)
    {
        if (!TryNetwork(c, out INodeNetwork? network)) return;
        c.AsideAsync(
            _ => network.ConnectionsAsync(),
            static (c, connections) =>
            {
                c.Reply.Array(connections.Count);
                foreach (SwarmConnection one in connections)
                {
                    c.Reply.Map(6);
                    MimeiCommands.Field(c.Reply, "peer", one.Peer.ToString());
                    MimeiCommands.Field(c.Reply, "address", one.Address.ToString());
                    MimeiCommands.Field(c.Reply, "direction", one.IsInbound ? "in" : "out");
                    MimeiCommands.Field(c.Reply, "latency-us", (long)one.RoundTrip.TotalMicroseconds);
                    MimeiCommands.Field(c.Reply, "streams", one.Streams);
                    MimeiCommands.Field(c.Reply, "agent", one.Agent);
                }
            });
    }

    private static void RunConnect(CommandContext c)
    {
        if (!TryNetwork(c, out INodeNetwork? network)) return;
        string text = c.Text(2, Multiaddr.MaxTextLength + 1);
        Multiaddr? address;
        if (PeerId.TryParse(text, out PeerId peer)) address = Multiaddr.Parse($"/p2p/{peer}");
        else if (!PeerAddress.TryParse(text, out address))
        {
            c.Error("ERR not an address of a peer: /ip4/10.0.0.1/tcp/4800, host or host:port"u8);
            return;
        }

        c.AsideAsync(cancellation => network.ConnectAsync(address, cancellation), static (c, id) => c.Reply.Bulk(Ascii(id.ToString())));
    }

    private static void RunDisconnect(CommandContext c)
    {
        if (!TryNetwork(c, out INodeNetwork? network)) return;
        string text = c.Text(2, Multiaddr.MaxTextLength + 1);
        if (!PeerId.TryParse(text, out PeerId peer) && !(Multiaddr.TryParse(text, out Multiaddr? address) && address.TryGetPeerId(out peer)))
        {
            c.Error("ERR not the id of a peer, nor an address that ends with one"u8);
            return;
        }

        c.AsideAsync(_ => network.DisconnectAsync(peer), static (c, wasConnected) => c.Reply.Integer(wasConnected ? 1 : 0));
    }

    // ------------------------------------------------------------------ filters

    private static void RunFilters(CommandContext c)
    {
        if (!TryNetwork(c, out INodeNetwork? network)) return;
        if (c.Count == 2 || (c.Count == 3 && c.Is(2, "ls"u8)))
        {
            c.Aside(
                () => network.Filters,
                static (c, filters) =>
                {
                    c.Reply.Array(filters.Count);
                    foreach (IPNetwork filter in filters) c.Reply.Bulk(Ascii(filter.ToString()));
                });
            return;
        }

        bool adds = c.Is(2, "add"u8);
        if (c.Count < 4 || !(adds || c.Is(2, "rm"u8)))
        {
            c.SubcommandSyntax();
            return;
        }

        var networks = new List<IPNetwork>();
        for (int i = 3; i < c.Count; i++)
        {
            if (!PeerAddress.TryParseNetwork(c.Text(i, 200), out IPNetwork one))
            {
                c.Error($"ERR '{c.TextToZero(i, 64)}' is no network: 10.0.0.0/8");
                return;
            }

            networks.Add(one);
        }

        c.AsideAsync(
            _ => SwarmWork.ChangeFiltersAsync(network, networks, adds),
            static (c, changed) => c.Reply.Integer(changed));
    }

    // ------------------------------------------------------------------ what they share

    private static bool TryNetwork(CommandContext c, [NotNullWhen(true)] out INodeNetwork? network)
    {
        network = c.Server.Network;
        if (network is null) c.Error("ERR this server has no network"u8);
        return network is not null;
    }

    internal static void Write(CommandContext c, IReadOnlyList<Multiaddr> addresses, PeerId? peer)
    {
        c.Reply.Array(addresses.Count);
        foreach (Multiaddr address in addresses) c.Reply.Bulk(Encoding.UTF8.GetBytes((peer is { } id ? address.WithPeer(id) : address).ToString()));
    }

    private static byte[] Ascii(string text) => Encoding.ASCII.GetBytes(text);
}

/// <summary>What is done beside the loop.</summary>
internal static class SwarmWork
{
    public static async Task<SwarmIdentity> DescribeAsync(INodeNetwork network, PeerId peer) =>
        await network.DescribeAsync(peer).ConfigureAwait(false) ?? throw new IOException($"nothing is known of {peer}");

    /// <summary>Returns how many filters that added or took away.</summary>
    public static async Task<int> ChangeFiltersAsync(INodeNetwork network, IReadOnlyList<IPNetwork> filters, bool adds)
    {
        int changed = 0;
        foreach (IPNetwork one in filters) changed += await (adds ? network.AddFilterAsync(one) : network.RemoveFilterAsync(one)).ConfigureAwait(false) ? 1 : 0;
        return changed;
    }
}
