using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;
using Leither.MmDb.Rights;

namespace Leither.MmDb.Commands;

/// <summary>
/// The subcommands of MIMEI that are about MiMei on several nodes. What waits for other nodes waits beside the loop, while other clients go on; how far it is,
/// MIMEI WORK tells. SHOW and CID, which also answer where there is no network, are in <see cref="ReplicaShowCommands"/>.
/// </summary>
public static unsafe class ReplicaCommands
{
    /// <summary>So many users, addresses or providers are taken in one command.</summary>
    private const int MaxWords = 256;

    /// <summary>A longer text is no id.</summary>
    private const int MaxIdLength = 200;

    private const CommandFlags Usual = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch;

    private static readonly CommandSpec Publish = new("publish", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(log(N)) messages where N is the size of the network.",
        Summary = "Makes a MiMei known: to everybody, or to some users only; and returns what was told to the network.",
        Flags = Usual | CommandFlags.Admin,
        Need = new MimeiNeed(MimeiRight.Publish, 2),
        Args = [Arg.String("mid").Shown("mid|name"), Arg.String("user").Token("TO").Shown("peerid|nodeid|userid").Optional().Multiple()],
        Handler = &RunPublish,
    };

    private static readonly CommandSpec Unpublish = new("unpublish", 3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(1)",
        Summary = "Gives a MiMei to nobody any more who does not have it. What others have they keep.",
        Flags = Usual | CommandFlags.Admin,
        Need = new MimeiNeed(MimeiRight.Publish, 2),
        Args = [Arg.String("mid").Shown("mid|name")],
        Handler = &RunUnpublish,
    };

    private static readonly CommandSpec Provide = new("provide", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the size of what is not here yet.",
        Summary = "Follows a MiMei for as long as the node lives, over restarts too, and serves it to others.",
        Flags = Usual | CommandFlags.Admin,
        Args = [Arg.String("mid").Shown("mid|name"), Arg.String("address").Token("FROM").Shown("multiaddr").Optional().Multiple()],
        Handler = &RunProvide,
    };

    private static readonly CommandSpec Unprovide = new("unprovide", 3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(1)",
        Summary = "Follows a MiMei no longer. What is here stays.",
        Flags = Usual | CommandFlags.Admin,
        Args = [Arg.String("mid").Shown("mid|name")],
        Handler = &RunUnprovide,
    };

    private static readonly CommandSpec Sync = new("sync", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the size of what is not here yet.",
        Summary = "Brings a MiMei here from other nodes, or what is new of it. What an interrupted one brought is not fetched again.",
        Flags = Usual | CommandFlags.Admin,
        Args =
        [
            Arg.String("mid").Shown("mid|name"), Arg.String("address").Token("FROM").Shown("multiaddr").Optional().Multiple(), Arg.Word("follow", "FOLLOW").Optional(),
        ],
        Handler = &RunSync,
    };

    private static readonly CommandSpec FindProvs = new("findprovs", 3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(log(N)) messages where N is the size of the network, and one to each provider.",
        Summary = "Returns which nodes have a MiMei, where they are, and how far each has it.",
        Flags = Usual,
        Args = [Arg.String("mid").Shown("mid|name")],
        Handler = &RunFindProvs,
    };

    private static readonly CommandSpec Followers = new("followers", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of followers.",
        Summary = "Returns which nodes follow a MiMei here, and how far each is.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti,
        Args = [Arg.String("mid").Shown("mid|name").Optional()],
        Handler = &RunFollowers,
    };

    private static readonly CommandSpec Providers = new("providers", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of named providers.",
        Summary = "Returns or changes the named providers: those whose acknowledgements WAIT and WAITAOF count.",
        Flags = Usual | CommandFlags.Admin,
        Args =
        [
            Arg.String("mid").Shown("mid|name").Optional(),
            Arg.OneOf("change", Arg.String("peer").Token("ADD").Shown("peerid|nodeid").Multiple(), Arg.String("peer").Token("DEL").Shown("peerid|nodeid").Multiple()).Optional(),
        ],
        Handler = &RunProviders,
    };

    private static readonly CommandSpec Takeover = new("takeover", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is what the node that wrote before still has.",
        Summary = "Makes this node the one that writes a MiMei and makes its versions. The node that wrote before is fenced as soon as it hears of it.",
        Flags = Usual | CommandFlags.Admin,
        Args =
        [
            Arg.String("mid").Shown("mid|name"),
            Arg.OneOf("how", Arg.String("certificate").Token("CERT"), Arg.Word("prepare", "PREPARE")).Optional(),
        ],
        Handler = &RunTakeover,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All =>
        [FindProvs, Followers, Provide, Providers, Publish, Sync, Takeover, Unprovide, Unpublish, .. ReplicaShowCommands.All];

    // ------------------------------------------------------------------ giving

    private static void RunPublish(CommandContext c)
    {
        List<string>? users = null;
        if (c.Count > 3)
        {
            if (c.Count == 4 || !c.Is(3, "to"u8))
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (!TryIds(c, 4, "ERR a user is named by a peer id (12D3KooW...), or by a node id or user id of 27 characters", out users))
            {
                return;
            }
        }

        if (!MimeiCommands.TryFind(c, 2, out MimeiEntry entry) || !TryReplicas(c, out INodeReplication? replicas))
        {
            return;
        }

        LeitherId mid = entry.Id;
        Begin(c, "publish");
        c.AsideAsync(
            cancellation => replicas.PublishAsync(mid, users, cancellation),
            (c, published) =>
            {
                c.Reply.Map(10);
                MimeiCommands.Field(c.Reply, "mid", mid.ToString());
                MimeiCommands.Field(c.Reply, "version", (long)published.Version);
                MimeiCommands.Field(c.Reply, "cid", ReplicaReplies.Text(published.Block));
                ReplicaReplies.Place(c.Reply, published.Position);
                MimeiCommands.Field(c.Reply, "name", published.Name.IsNone ? "" : Leither.Ipfs.Ipns.IpnsRecord.NameText(published.Name));
                MimeiCommands.Field(c.Reply, "told", published.Stored);
                MimeiCommands.Field(c.Reply, "eol", ReplicaReplies.Time(published.ValidUntil));
                c.Reply.Bulk("addresses"u8);
                SwarmCommands.Write(c, published.Addresses, c.Server.Network?.Id);
            });
    }

    private static void RunUnpublish(CommandContext c)
    {
        if (MimeiCommands.TryFind(c, 2, out MimeiEntry entry) && TryReplicas(c, out INodeReplication? replicas))
        {
            LeitherId mid = entry.Id;
            c.AsideAsync(_ => replicas.UnpublishAsync(mid), static (c, did) => c.Reply.Integer(did ? 1 : 0));
        }
    }

    // ------------------------------------------------------------------ bringing here

    private static void RunProvide(CommandContext c)
    {
        if (TryFrom(c, takesFollow: false, out List<Multiaddr> from, out _) && TryMid(c, 2, out LeitherId mid) && TryReplicas(c, out INodeReplication? replicas))
        {
            LongWork work = Begin(c, "provide");
            c.AsideAsync(cancellation => replicas.ProvideAsync(mid, from, work, cancellation), (c, synced) => Write(c, mid, synced));
        }
    }

    private static void RunUnprovide(CommandContext c)
    {
        if (TryMid(c, 2, out LeitherId mid) && TryReplicas(c, out INodeReplication? replicas))
        {
            c.AsideAsync(_ => replicas.UnprovideAsync(mid), static (c, did) => c.Reply.Integer(did ? 1 : 0));
        }
    }

    private static void RunSync(CommandContext c)
    {
        if (TryFrom(c, takesFollow: true, out List<Multiaddr> from, out bool follow) && TryMid(c, 2, out LeitherId mid) && TryReplicas(c, out INodeReplication? replicas))
        {
            LongWork work = Begin(c, "sync");
            c.AsideAsync(cancellation => replicas.SyncAsync(mid, from, follow, work, cancellation), (c, synced) => Write(c, mid, synced));
        }
    }

    private static void Write(CommandContext c, LeitherId mid, SyncedMimei synced)
    {
        c.Reply.Map(9);
        MimeiCommands.Field(c.Reply, "mid", mid.ToString());
        MimeiCommands.Field(c.Reply, "version", (long)synced.Version);
        ReplicaReplies.Place(c.Reply, synced.Position);
        MimeiCommands.Field(c.Reply, "bytes", synced.Bytes);
        MimeiCommands.Field(c.Reply, "blocks", synced.Blocks);
        MimeiCommands.Field(c.Reply, "sources", synced.Sources);
        MimeiCommands.Field(c.Reply, "level", synced.IsLevel ? 1 : 0);
    }

    /// <summary>Reads <c>FROM address …</c> and, where it is taken, <c>FOLLOW</c>; or replies what is wrong.</summary>
    private static bool TryFrom(CommandContext c, bool takesFollow, out List<Multiaddr> from, out bool follow)
    {
        from = [];
        int end = c.Count;
        follow = takesFollow && c.Count > 3 && c.Is(c.Count - 1, "follow"u8);
        if (follow)
        {
            end--;
        }

        if (end == 3)
        {
            return true;
        }

        if (takesFollow && c.Is(3, "follow"u8) && !follow)
        {
            follow = true;
            return TryAddresses(c, 4, end, from);
        }

        return TryAddresses(c, 3, end, from);
    }

    private static bool TryAddresses(CommandContext c, int index, int end, List<Multiaddr> from)
    {
        if (end - index < 2 || !c.Is(index, "from"u8) || end - index > MaxWords)
        {
            c.Error(Errors.Syntax);
            return false;
        }

        for (int i = index + 1; i < end; i++)
        {
            if (!PeerAddress.TryParse(c.Text(i, Multiaddr.MaxTextLength + 1), out Multiaddr? address))
            {
                c.Error("ERR not an address of a peer: /ip4/10.0.0.1/tcp/4800/p2p/12D3KooW..., host or host:port"u8);
                return false;
            }

            from.Add(address);
        }

        return true;
    }

    // ------------------------------------------------------------------ who has it

    private static void RunFindProvs(CommandContext c)
    {
        if (TryMid(c, 2, out LeitherId mid) && TryReplicas(c, out INodeReplication? replicas))
        {
            Begin(c, "findprovs");
            c.AsideAsync(cancellation => replicas.FindProvidersAsync(mid, cancellation), static (c, found) => ReplicaReplies.Providers(c, found));
        }
    }

    private static void RunFollowers(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
        }
        else if (TryMidOrBound(c, out LeitherId mid) && TryReplicas(c, out INodeReplication? replicas))
        {
            ReplicaReplies.Followers(c, replicas.Status(mid));
        }
    }

    private static void RunProviders(CommandContext c)
    {
        const string notOne = "ERR a provider is named by its peer id (12D3KooW...), or by its node id of 27 characters";
        List<string>? ids = null;
        bool adds = c.Count > 3 && c.Is(3, "add"u8);
        if (c.Count == 4 || (c.Count > 4 && !adds && !c.Is(3, "del"u8)))
        {
            c.Error(Errors.Syntax);
            return;
        }

        if ((c.Count > 4 && !TryIds(c, 4, notOne, out ids)) || !TryMidOrBound(c, out LeitherId mid) || !TryReplicas(c, out INodeReplication? replicas))
        {
            return;
        }

        if (ids is null)
        {
            ReplicaReplies.Named(c, replicas.Status(mid));
            return;
        }

        c.AsideAsync(_ => ReplicaWork.NameAsync(replicas, mid, adds ? ids : [], adds ? [] : ids), static (c, _) => c.Reply.Ok());
    }

    // ------------------------------------------------------------------ who writes

    private static void RunTakeover(CommandContext c)
    {
        bool prepares = c.Count == 4 && c.Is(3, "prepare"u8), has = c.Count == 5 && c.Is(3, "cert"u8);
        if (c.Count != 3 && !prepares && !has)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (!TryMid(c, 2, out LeitherId mid) || !TryReplicas(c, out INodeReplication? replicas))
        {
            return;
        }

        if (prepares)
        {
            c.AsideAsync(cancellation => replicas.PrepareTakeoverAsync(mid, cancellation), static (c, unsigned) => c.Reply.Bulk(unsigned.AsSpan()));
            return;
        }

        byte[]? certificate = null;
        if (has)
        {
            if (c[4].Length is 0 or > MimeiInfo.MaxBlockBytes)
            {
                c.Error("ERR not a writer's certificate"u8);
                return;
            }

            certificate = c[4].Span.ToArray();
        }

        Begin(c, "takeover");
        c.AsideAsync(
            cancellation => replicas.TakeoverAsync(mid, certificate, cancellation),
            (c, taken) =>
            {
                c.Reply.Map(5);
                MimeiCommands.Field(c.Reply, "mid", mid.ToString());
                MimeiCommands.Field(c.Reply, "term", ReplicaReplies.Term(taken.Epoch));
                MimeiCommands.Field(c.Reply, "epoch", ReplicaReplies.Epoch(taken.Epoch));
                c.Reply.Bulk("after"u8);
                c.Reply.Map(3);
                ReplicaReplies.Place(c.Reply, taken.After);
                MimeiCommands.Field(c.Reply, "before", taken.Before?.ToString() ?? "");
            });
    }

    // ------------------------------------------------------------------ what they share

    /// <summary>What knows of other nodes; or replies that nothing does.</summary>
    internal static bool TryReplicas(CommandContext c, [NotNullWhen(true)] out INodeReplication? replicas)
    {
        replicas = c.Server.Replicas;
        if (replicas is null)
        {
            c.Error("ERR this server has no network"u8);
        }

        return replicas is not null;
    }

    /// <summary>The id of the MiMei that a word names: one that is here by id or name, any other by its id.</summary>
    internal static bool TryMid(CommandContext c, int index, out LeitherId mid)
    {
        if (c.Server.Mimeis.TryFind(c.Text(index), out MimeiEntry? entry))
        {
            mid = entry.Id;
            return true;
        }

        if (LeitherId.TryParse(c.Text(index), out mid))
        {
            return true;
        }

        c.Error(MimeiCommands.NoSuch(c.TextToZero(index, 128)));
        return false;
    }

    /// <summary>The id of the MiMei that the third word names, or of the one that the connection is bound to.</summary>
    internal static bool TryMidOrBound(CommandContext c, out LeitherId mid)
    {
        if (c.Count > 2)
        {
            return TryMid(c, 2, out mid);
        }

        mid = c.Mimei.Id;
        return true;
    }

    private static LongWork Begin(CommandContext c, string what) => c.Session.Work = new LongWork(what, c.Session.Id);

    private static bool TryIds(CommandContext c, int index, string error, [NotNullWhen(true)] out List<string>? ids)
    {
        ids = null;
        var found = new List<string>();
        for (int i = index; i < c.Count; i++)
        {
            string text = c.Text(i, MaxIdLength);
            if (found.Count == MaxWords || !(PeerId.TryParse(text, out _) || LeitherId.TryParse(text, out _)))
            {
                c.Error(found.Count == MaxWords ? $"ERR at most {MaxWords} at a time" : error);
                return false;
            }

            found.Add(text);
        }

        ids = found;
        return true;
    }
}
