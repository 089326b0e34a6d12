using System.Globalization;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>How replies tell of places in a log, of nodes that have a MiMei, and of those that follow it.</summary>
internal static class ReplicaReplies
{
    /// <summary>How often the writing of a MiMei was taken over: the upper half of an epoch.</summary>
    public static long Term(ulong epoch) => (long)(epoch >> 32);

    /// <summary>The epoch within its term: the lower half.</summary>
    public static long Epoch(ulong epoch) => (uint)epoch;

    /// <summary>By how many entries one place is behind another.</summary>
    public static long Lag(ulong written, ulong head) => head > written ? (long)Math.Min(head - written, long.MaxValue) : 0;

    /// <summary>Three fields: a place in a log.</summary>
    public static void Place(RespWriter reply, Position position)
    {
        MimeiCommands.Field(reply, "term", Term(position.Epoch));
        MimeiCommands.Field(reply, "epoch", Epoch(position.Epoch));
        MimeiCommands.Field(reply, "sequence", (long)position.Sequence);
    }

    /// <summary>A field of yes (1) or no (0).</summary>
    public static void Flag(RespWriter reply, string name, bool value) => MimeiCommands.Field(reply, name, value ? 1 : 0);

    /// <summary>A field of texts.</summary>
    public static void Texts(RespWriter reply, string name, IReadOnlyCollection<string> texts)
    {
        reply.Bulk(Encoding.ASCII.GetBytes(name));
        reply.Array(texts.Count);
        foreach (string text in texts)
        {
            reply.Bulk(Encoding.UTF8.GetBytes(text));
        }
    }

    /// <summary>A CID; empty where there is none.</summary>
    public static string Text(Cid cid) => cid.IsNone ? "" : cid.ToString();

    /// <summary>A moment, in ISO 8601.</summary>
    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    /// <summary>The node id of a peer; empty where the peer id does not tell it.</summary>
    public static string NodeOf(PeerId peer) => peer.TryGetPublicKey(out PublicKey? key) ? key.Id.ToString() : "";

    /// <summary>Replies nodes that have a MiMei.</summary>
    public static void Providers(CommandContext c, IReadOnlyList<MimeiProvider> found)
    {
        RespWriter reply = c.Reply;
        reply.Array(found.Count);
        foreach (MimeiProvider one in found)
        {
            reply.Map(11);
            MimeiCommands.Field(reply, "peer", one.Peer.ToString());
            MimeiCommands.Field(reply, "node", NodeOf(one.Peer));
            reply.Bulk("addresses"u8);
            SwarmCommands.Write(c, [.. one.Addresses.Select(static a => a.WithoutPeer() ?? a).Distinct()], one.Peer);
            MimeiCommands.Field(reply, "version", (long)one.Version);
            MimeiCommands.Field(reply, "cid", Text(one.Block));
            Place(reply, one.Position);
            Flag(reply, "writer", one.IsWriter);
            Flag(reply, "this", one.IsThis);
            MimeiCommands.Field(reply, "problem", one.Problem ?? "");
        }
    }

    /// <summary>Replies who follows.</summary>
    public static void Followers(CommandContext c, ReplicaStatus? status)
    {
        RespWriter reply = c.Reply;
        reply.Array(status?.Followers.Count ?? 0);
        foreach (FollowerStatus one in status?.Followers ?? [])
        {
            reply.Map(11);
            MimeiCommands.Field(reply, "peer", one.Peer.ToString());
            MimeiCommands.Field(reply, "node", NodeOf(one.Peer));
            MimeiCommands.Field(reply, "address", one.Address?.ToString() ?? "");
            MimeiCommands.Field(reply, "state", one.State);
            MimeiCommands.Field(reply, "term", Term(one.Epoch));
            MimeiCommands.Field(reply, "epoch", Epoch(one.Epoch));
            MimeiCommands.Field(reply, "written", (long)one.Written);
            MimeiCommands.Field(reply, "synced", (long)one.Synced);
            MimeiCommands.Field(reply, "lag", Lag(one.Written, status!.Position.Sequence));
            Flag(reply, "named", one.IsNamed);
            MimeiCommands.Field(reply, "silent-ms", one.SilentMs);
        }
    }

    /// <summary>Replies whose acknowledgements count, and how far they are; one that does not follow at present is offline.</summary>
    public static void Named(CommandContext c, ReplicaStatus? status)
    {
        RespWriter reply = c.Reply;
        reply.Array(status?.Named.Count ?? 0);
        foreach (string named in status?.Named ?? [])
        {
            // A node that was cut off and came again may be there twice for a while.
            FollowerStatus? follower = status!.Followers.Where(f => f.Peer.ToString() == named || NodeOf(f.Peer) == named).MaxBy(static f => f.Written);
            reply.Map(5);
            MimeiCommands.Field(reply, "provider", named);
            MimeiCommands.Field(reply, "state", follower?.State ?? "offline");
            MimeiCommands.Field(reply, "written", (long)(follower?.Written ?? 0));
            MimeiCommands.Field(reply, "synced", (long)(follower?.Synced ?? 0));
            MimeiCommands.Field(reply, "lag", follower is null ? -1 : Lag(follower.Written, status.Position.Sequence));
        }
    }
}
