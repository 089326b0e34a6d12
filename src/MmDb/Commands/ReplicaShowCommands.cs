using System.Text;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Rights;
using Leither.MmDb.Versions;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>The subcommands of MIMEI that tell how a MiMei here stands beside the same one elsewhere. Both answer without a network, too.</summary>
public static unsafe class ReplicaShowCommands
{
    private static readonly CommandSpec Show = new("show", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of versions here, and one message to each node that has it.",
        Summary = "Returns what is here of a MiMei beside what other nodes have of it, and which is newer.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch,
        Need = new MimeiNeed(MimeiRight.Read, 2),
        Args = [Arg.String("mid").Shown("mid|name").Optional()],
        Handler = &RunShow,
    };

    private static readonly CommandSpec StateCid = new("cid", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is what changed since the newest version; without one, all keys. Clients wait for none of it.",
        Summary = "Returns the CID of the state that there is now, without making a version: the same data have the same CID on every node.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch,
        Need = new MimeiNeed(MimeiRight.Read, 2),
        Args = [Arg.String("mid").Shown("mid|name").Optional()],
        Handler = &RunCid,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [StateCid, Show];

    // ------------------------------------------------------------------ the state's CID

    private static void RunCid(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
        }
        else if (c.Count == 2)
        {
            TellCid(c, c.Mimei);
        }
        else if (MimeiCommands.TryFind(c, 2, out MimeiEntry entry))
        {
            c.UseMimei(entry, default, static (c, mimei) => TellCid(c, mimei));
        }
    }

    private static void TellCid(CommandContext c, Mimei mimei)
    {
        if (mimei.IsRemote)
        {
            c.Reply.Bulk(Encoding.ASCII.GetBytes(mimei.RemoteState.ToString()));
            return;
        }

        Mimei current = mimei.Current ?? mimei;
        if (!VersionCommands.TryVersions(c, current, out Versioner versions))
        {
            return;
        }

        if (mimei.Current is not null)
        {
            MimeiPlace place = mimei.Place;
            if (place.Kind != MimeiPlaceKind.Version)
            {
                c.Error("ERR a moment has no CID of its own; versions have, and what there is now has"u8);
                return;
            }

            VersionCommands.Aside(c, current, () => versions.Read(place.Number).State, static (c, state) => c.Reply.Bulk(Encoding.ASCII.GetBytes(state.ToString())));
            return;
        }

        c.Session.Work = new LongWork("cid", c.Session.Id) { Look = () => versions.Progress };
        VersionCommands.Working<StateAt>(c, current, versions.MakeState, static (c, now) => c.Reply.Bulk(Encoding.ASCII.GetBytes(now.Link.ToString())));
    }

    // ------------------------------------------------------------------ here and elsewhere

    /// <summary>What is here of a MiMei.</summary>
    private sealed record Here(MimeiInfo? Info, int Versions, ulong Last, ulong Released, Cid Block, Cid State, Position Position);

    private static void RunShow(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
            return;
        }

        MimeiEntry? entry = c.Mimei.Entry;
        if (c.Count == 2 && c.Mimei.IsRemote)
        {
            Compare(c, c.Mimei.Id, null, null);
            return;
        }

        if (c.Count == 3 && !c.Server.Mimeis.TryFind(c.Text(2), out entry))
        {
            // It is not here: others may have it.
            if (!ReplicaCommands.TryMid(c, 2, out LeitherId mid))
            {
                return;
            }

            if (c.Server.Replicas is null)
            {
                c.Error(MimeiCommands.NoSuch(mid.ToString()));
                return;
            }

            Compare(c, mid, null, null);
            return;
        }

        c.UseMimei(entry!, default, (c, mimei) =>
        {
            MimeiRecord record = entry!.Record;
            IMimeiStore? store = c.Server.Mimeis.Store;
            Position position = mimei.Log?.LastPosition ?? default;
            if (mimei.Versions is not { } versions)
            {
                Compare(c, record.Id, record, new Here(null, 0, 0, 0, default, default, position));
                return;
            }

            VersionCommands.Aside(
                c,
                mimei,
                () =>
                {
                    ListedVersion last = versions.List.Last;
                    MimeiVersion? newest = last.Number == 0 ? null : versions.Read(last.Number);

                    // A MiMei of which only versions are here is as far as the newest one.
                    Position reached = position == default && newest is not null ? newest.Position : position;
                    return new Here(
                        store?.ReadInfo(record.Id) ?? versions.Info, versions.List.All.Count, last.Number, versions.List.Released, last.Block, newest?.State ?? default, reached);
                },
                (c, here) => Compare(c, record.Id, record, here));
        });
    }

    /// <summary>Asks others, where they know of it, and replies.</summary>
    private static void Compare(CommandContext c, LeitherId mid, MimeiRecord? record, Here? here)
    {
        INodeReplication? replicas = c.Server.Replicas;
        if (here is not null && replicas?.Status(mid) is null)
        {
            // Nobody else knows its name, and asking for it would tell.
            Write(c, mid, record, here, null, "");
            return;
        }

        c.Session.Work ??= new LongWork("show", c.Session.Id);
        c.AsideAsync(cancellation => ReplicaWork.CompareAsync(replicas!, mid, isHere: here is not null, cancellation), (c, asked) => Write(c, mid, record, here, asked.Standing, asked.Problem));
    }

    private static void Write(CommandContext c, LeitherId mid, MimeiRecord? record, Here? here, MimeiStanding? standing, string problem)
    {
        RespWriter reply = c.Reply;
        ReplicaStatus? status = standing?.Status ?? c.Server.Replicas?.Status(mid);
        MimeiInfo? info = here?.Info ?? standing?.Info;
        (ulong version, Cid block, Position position) = here is null
            ? (standing!.Local, standing.LocalBlock, standing.LocalPosition)
            : (here.Last, here.Block, status is { Role: ReplicaRole.Follower } ? status.Position : here.Position);
        reply.Map(33);
        MimeiCommands.Field(reply, "mid", mid.ToString());
        MimeiCommands.Field(reply, "name", record?.Name ?? "");
        MimeiCommands.Field(reply, "type", info is null ? "" : MimeiInfo.WordOf(info.Type));
        MimeiCommands.Field(reply, "author", info is null ? "" : LeitherId.Of(info.Author.Span).ToString());
        MimeiCommands.Field(reply, "app", info?.App ?? "");
        MimeiCommands.Field(reply, "ext", info?.Ext ?? "");
        MimeiCommands.Field(reply, "mark", info?.Mark ?? "");
        ReplicaReplies.Flag(reply, "here", here is not null);
        reply.Bulk("local"u8);
        reply.Map(8);
        MimeiCommands.Field(reply, "versions", here?.Versions ?? 0);
        MimeiCommands.Field(reply, "last", (long)version);
        MimeiCommands.Field(reply, "release", (long)(here?.Released ?? 0));
        MimeiCommands.Field(reply, "cid", ReplicaReplies.Text(block));
        MimeiCommands.Field(reply, "state", ReplicaReplies.Text(here?.State ?? default));
        ReplicaReplies.Place(reply, position);
        reply.Bulk("net"u8);
        if (standing is null)
        {
            reply.Null();
        }
        else
        {
            reply.Map(5);
            MimeiCommands.Field(reply, "last", (long)standing.Remote);
            MimeiCommands.Field(reply, "cid", ReplicaReplies.Text(standing.RemoteBlock));
            ReplicaReplies.Place(reply, standing.RemotePosition);
        }

        MimeiCommands.Field(reply, "net-problem", problem);
        string conflict = Conflict(version, block, standing, status);
        MimeiCommands.Field(reply, "conflict", conflict);
        MimeiCommands.Field(reply, "compare", Newer(version, position, standing, status, conflict));
        MimeiCommands.Field(reply, "role", status?.Role switch { ReplicaRole.Writer => "writer", ReplicaRole.Follower => "follower", ReplicaRole.Idle => "idle", _ => "" });
        MimeiCommands.Field(reply, "state", status?.State ?? "");
        MimeiRights? rights = c.Server.Mimeis.TryFind(mid, out MimeiEntry? entry) ? entry.Rights : null;
        ReplicaReplies.Flag(reply, "public", rights is { IsPublic: true });
        ReplicaReplies.Texts(reply, "users", rights is null ? [] : [.. rights.Readers]);
        ReplicaReplies.Flag(reply, "provided", status is { IsProvided: true });
        MimeiCommands.Field(reply, "writer", status?.Writer?.ToString() ?? "");
        reply.Bulk("writer-addresses"u8);
        SwarmCommands.Write(c, status?.WriterAddresses ?? [], null);
        MimeiCommands.Field(reply, "source", status?.Source?.ToString() ?? "");
        ReplicaReplies.Flag(reply, "level", status is { IsLevel: true });
        MimeiCommands.Field(reply, "lag", status is null ? 0 : ReplicaReplies.Lag(status.Position.Sequence, status.Head.Sequence));
        MimeiCommands.Field(reply, "silent-ms", status?.SilentMs ?? -1);
        MimeiCommands.Field(reply, "bytes-received", status?.BytesReceived ?? 0);
        MimeiCommands.Field(reply, "bytes-sent", status?.BytesSent ?? 0);
        MimeiCommands.Field(reply, "undone", status?.Undone ?? 0);
        MimeiCommands.Field(reply, "refused", status?.Refused ?? 0);
        MimeiCommands.Field(reply, "proof", status?.Proof ?? "");
        reply.Bulk("followers"u8);
        ReplicaReplies.Followers(c, status);
        reply.Bulk("named"u8);
        ReplicaReplies.Named(c, status);
        reply.Bulk("providers"u8);
        ReplicaReplies.Providers(c, standing?.Providers ?? []);
        MimeiCommands.Field(reply, "readonly", here is not null && (status is { Role: not ReplicaRole.Writer } || entry?.Loaded is { IsReadOnly: true }) ? 1 : 0);
    }

    /// <summary>What contradicts what; empty: nothing.</summary>
    private static string Conflict(ulong version, Cid block, MimeiStanding? standing, ReplicaStatus? status) =>
        standing?.Conflict
        ?? status?.Proof
        ?? (standing is not null && version != 0 && version == standing.Remote && block != standing.RemoteBlock ? $"version {version} is another one on the network" : "");

    /// <summary>Which is newer: same, local, net; only-local, only-net; conflict; unknown, where nobody could be asked.</summary>
    private static string Newer(ulong version, Position position, MimeiStanding? standing, ReplicaStatus? status, string conflict)
    {
        if (conflict.Length > 0)
        {
            return "conflict";
        }

        if (standing is null)
        {
            return status is null ? "only-local" : "unknown";
        }

        bool isHere = version != 0 || position.Sequence != 0, isThere = standing.Remote != 0 || standing.RemotePosition.Sequence != 0;
        if (!isHere || !isThere)
        {
            return isHere ? "only-local" : isThere ? "only-net" : "same";
        }

        int order = (position.Epoch, position.Sequence).CompareTo((standing.RemotePosition.Epoch, standing.RemotePosition.Sequence));
        order = order == 0 ? version.CompareTo(standing.Remote) : order;
        return order == 0 ? "same" : order > 0 ? "local" : "net";
    }
}
