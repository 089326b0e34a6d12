using System.Diagnostics.CodeAnalysis;
using System.Text;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Commands;

/// <summary>
/// DHT and its subcommands: who has what in the network. What waits for peers waits beside the loop, while other clients go on, and ends with the client; how far it
/// is, <c>MIMEI WORK</c> tells.
/// </summary>
public static unsafe class DhtCommands
{
    /// <summary>How many providers are looked for, where nobody says.</summary>
    public const int DefaultProviders = 20;

    /// <summary>The most providers that can be looked for, and the most answers that can be waited for.</summary>
    public const int MaxProviders = 1000, MaxQuorum = 1000;

    private const CommandFlags Usual = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch;

    /// <summary>DHT</summary>
    public static readonly CommandSpec Dht = new("dht", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "Depends on subcommand.",
        Summary = "A container for commands on the network's distributed hash table.",
        Flags = CommandFlags.EndsBatch,
        Subcommands =
        [
            new("findpeer", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(log(N)) messages where N is the size of the network.",
                Summary = "Returns the addresses of a peer.",
                Flags = Usual,
                Args = [Arg.String("peer").Shown("peerid")],
                Handler = &RunFindPeer,
            },
            new("findprovs", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(log(N)) messages where N is the size of the network.",
                Summary = "Returns who provides content: ids and addresses.",
                Flags = Usual,
                Args = [Arg.String("cid"), Arg.Integer("count").Token("COUNT").Optional()],
                Handler = &RunFindProviders,
            },
            new("get", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(log(N)) messages where N is the size of the network.",
                Summary = "Returns the best value that peers have under a key.",
                Flags = Usual,
                Args = [Arg.String("key").Shown("/ipns/name|/pk/peerid"), Arg.Integer("count").Token("QUORUM").Optional()],
                Handler = &RunGet,
            },
            new("help", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("networksize", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Returns about how many servers the network has.",
                Flags = Usual,
                Handler = &RunNetworkSize,
            },
            new("provide", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(log(N)) messages where N is the size of the network.",
                Summary = "Tells the network that this node provides content, now and for as long as it is not taken back, and returns how many peers took it.",
                Flags = Usual | CommandFlags.Admin,
                Args = [Arg.String("cid")],
                Handler = &RunProvide,
            },
            new("provided", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of keys.",
                Summary = "Lists what this node provides.",
                Flags = Usual,
                Handler = &RunProvided,
            },
            new("put", 4)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(log(N)) messages where N is the size of the network.",
                Summary = "Stores a value with the peers nearest to its key, and returns how many took it.",
                Flags = Usual | CommandFlags.Admin,
                Args = [Arg.String("key").Shown("/ipns/name|/pk/peerid"), Arg.String("value")],
                Handler = &RunPut,
            },
            new("unprovide", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "No longer tells the network that this node provides content. What was told ends by itself.",
                Flags = Usual | CommandFlags.Admin,
                Args = [Arg.String("cid")],
                Handler = &RunUnprovide,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Dht];

    private static void RunHelp(CommandContext c) => c.Help(
        "FINDPEER <peerid>",
        "    Return the addresses of a peer, each ending with its id; nil if nobody knows it.",
        "FINDPROVS <cid> [COUNT <count>]",
        "    Return who provides content, 20 at most unless told: id and addresses of each.",
        "GET <key> [QUORUM <count>]",
        "    Return the best value that peers have under a key (/ipns/<name>, /pk/<peerid>); nil if nobody has one.",
        "NETWORKSIZE",
        "    Return about how many servers the network has.",
        "PROVIDE <cid>",
        "    Tell the network that this node provides content that it has, now and at least every 22 hours. Return how many peers took it.",
        "PROVIDED",
        "    List what this node provides, as CIDs of codec raw: providing is by hash.",
        "PUT <key> <value>",
        "    Store a signed value with the peers nearest to its key. Return how many took it.",
        "UNPROVIDE <cid>",
        "    Tell so no longer. What was told ends by itself, after 48 hours at most.");

    private static void RunFindPeer(CommandContext c)
    {
        if (!TryRouting(c, out INodeRouting? routing)) return;
        if (!PeerId.TryParse(c.Text(2, 200), out PeerId peer))
        {
            c.Error("ERR not the id of a peer"u8);
            return;
        }

        RoutingWatch watch = Watch(c, "findpeer", "found");
        c.AsideAsync(
            cancellation => routing.FindPeerAsync(peer, watch, cancellation),
            static (c, found) =>
            {
                if (found is null) c.Reply.NullArray();
                else SwarmCommands.Write(c, found.Addresses, found.Id);
            });
    }

    private static void RunFindProviders(CommandContext c)
    {
        if (!TryRouting(c, out INodeRouting? routing) || !TryCid(c, 2, out Cid cid) || !TryCount(c, "count"u8, MaxProviders, out int? count)) return;
        RoutingWatch watch = Watch(c, "findprovs", "found");
        c.AsideAsync(
            cancellation => routing.FindProvidersAsync(cid.Multihash, count ?? DefaultProviders, watch, cancellation),
            static (c, found) =>
            {
                c.Reply.Array(found.Count);
                foreach (RoutedPeer peer in found)
                {
                    c.Reply.Array(2);
                    c.Reply.Bulk(Encoding.ASCII.GetBytes(peer.Id.ToString()));
                    SwarmCommands.Write(c, peer.Addresses, null);
                }
            });
    }

    private static void RunProvide(CommandContext c)
    {
        if (!TryRouting(c, out INodeRouting? routing) || !TryCid(c, 2, out Cid cid)) return;
        RoutingWatch watch = Watch(c, "provide", "told");
        c.AsideAsync(cancellation => routing.ProvideAsync(cid, watch, cancellation), static (c, stored) => c.Reply.Integer(stored));
    }

    private static void RunUnprovide(CommandContext c)
    {
        if (TryRouting(c, out INodeRouting? routing) && TryCid(c, 2, out Cid cid))
        {
            c.AsideAsync(_ => routing.UnprovideAsync(cid.Multihash), static (c, did) => c.Reply.Integer(did ? 1 : 0));
        }
    }

    private static void RunProvided(CommandContext c)
    {
        if (!TryRouting(c, out INodeRouting? routing)) return;
        c.AsideAsync(
            _ => routing.ProvidedAsync(),
            static (c, all) =>
            {
                c.Reply.Array(all.Count);
                foreach (Multihash one in all) c.Reply.Bulk(Encoding.ASCII.GetBytes(Cid.Create(Multicodec.Raw, one).ToString()));
            });
    }

    private static void RunGet(CommandContext c)
    {
        if (!TryRouting(c, out INodeRouting? routing) || !TryKey(c, 2, out byte[]? key) || !TryCount(c, "quorum"u8, MaxQuorum, out int? quorum)) return;
        RoutingWatch watch = Watch(c, "get", "found");
        c.AsideAsync(
            cancellation => routing.GetValueAsync(key, quorum, watch, cancellation),
            static (c, value) =>
            {
                if (value is null) c.Reply.Null();
                else c.Reply.Bulk(value.AsSpan());
            });
    }

    private static void RunPut(CommandContext c)
    {
        if (!TryRouting(c, out INodeRouting? routing) || !TryKey(c, 2, out byte[]? key)) return;
        if (c[3].Length > IpnsRecord.MaxBytes)
        {
            c.Error($"ERR a value has {IpnsRecord.MaxBytes} bytes at most");
            return;
        }

        byte[] value = c[3].Span.ToArray();
        RoutingWatch watch = Watch(c, "put", "told");
        c.AsideAsync(cancellation => routing.PutValueAsync(key, value, watch, cancellation), static (c, stored) => c.Reply.Integer(stored));
    }

    private static void RunNetworkSize(CommandContext c)
    {
        if (TryRouting(c, out INodeRouting? routing)) c.AsideAsync(_ => routing.NetworkSizeAsync(), static (c, size) => c.Reply.Integer(size));
    }

    // ------------------------------------------------------------------ what they share

    internal static bool TryRouting(CommandContext c, [NotNullWhen(true)] out INodeRouting? routing)
    {
        routing = c.Server.Network?.Routing;
        if (routing is null) c.Error("ERR this server has no network"u8);
        return routing is not null;
    }

    /// <summary>Lets others see how far it is.</summary>
    internal static RoutingWatch Watch(CommandContext c, string what, string found)
    {
        var watch = new RoutingWatch();
        c.Session.Work = new LongWork(what, c.Session.Id) { Describe = () => watch.Describe(found) };
        return watch;
    }

    /// <summary>A key as people write it: /ipns/NAME and /pk/PEERID, whose last part is bytes in the DHT.</summary>
    private static bool TryKey(CommandContext c, int index, [NotNullWhen(true)] out byte[]? key)
    {
        string text = c.Text(index, 256);
        key = text.StartsWith("/ipns/", StringComparison.Ordinal) && IpnsRecord.TryParseName(text, out PeerId name) ? IpnsRecord.RoutingKey(name)
            : text.StartsWith("/pk/", StringComparison.Ordinal) && PeerId.TryParse(text["/pk/".Length..], out PeerId peer) ? [.. "/pk/"u8, .. peer.ToArray()]
            : null;
        if (key is null) c.Error("ERR not a key: /ipns/NAME or /pk/PEERID"u8);
        return key is not null;
    }

    private static bool TryCid(CommandContext c, int index, out Cid cid)
    {
        string text = c.Text(index, Cid.MaxTextLength + 10);
        if (Cid.TryParse(text.StartsWith("/ipfs/", StringComparison.Ordinal) ? text["/ipfs/".Length..] : text, out cid)) return true;
        c.Error("ERR not a CID"u8);
        return false;
    }

    private static bool TryCount(CommandContext c, ReadOnlySpan<byte> word, int max, out int? count)
    {
        count = null;
        if (c.Count == 3) return true;
        if (c.Count != 5 || !c.Is(3, word))
        {
            c.Error(Errors.Syntax);
            return false;
        }

        if (!int.TryParse(c.Text(4, 20), System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int number) || number < 1 || number > max)
        {
            c.Error($"ERR a number from 1 to {max} is wanted");
            return false;
        }

        count = number;
        return true;
    }
}
