using Leither.Ipfs.Keys;

namespace Leither.MmDb.Rights;

/// <summary>Who asks for something: by the ids that he has proved to have. A user comes on a node of his, so there may be several.</summary>
public readonly record struct MimeiCaller
{
    private readonly string? _userPeer, _peer;

    private MimeiCaller(LeitherId? user, string? userPeer, LeitherId? node, string? peer) => (User, _userPeer, Node, _peer) = (user, userPeer, node, peer);

    /// <summary>Somebody of whom nothing is known.</summary>
    public static MimeiCaller Nobody => default;

    /// <summary>The user, if he proved who he is.</summary>
    public LeitherId? User { get; }

    /// <summary>The id of the node that asks.</summary>
    public LeitherId? Node { get; }

    /// <summary>All his ids, as lists of members have them.</summary>
    public IEnumerable<string> Ids
    {
        get
        {
            if (User is { } user)
            {
                yield return user.ToString();
            }

            if (_userPeer is not null)
            {
                yield return _userPeer;
            }

            if (Node is { } node)
            {
                yield return node.ToString();
            }

            if (_peer is not null)
            {
                yield return _peer;
            }
        }
    }

    /// <summary>A user who proved that he has a key.</summary>
    public static MimeiCaller Of(LeitherId user) => new(user, null, null, null);

    /// <summary>A user who proved that he has this key: by its id, and by its peer id, either of which a list may have.</summary>
    public static MimeiCaller Of(PublicKey user) => new(user.Id, user.PeerId.ToString(), null, null);

    /// <summary>A node at the other end of a connection, and its user, if that was proved.</summary>
    public static MimeiCaller Of(PeerId peer, LeitherId? user = null) =>
        new(user, null, NodeOf(peer), peer.ToString());

    /// <summary>A node at the other end of a connection, and its user, who proved that he has this key: all their ids.</summary>
    public static MimeiCaller Of(PeerId peer, PublicKey user) => new(user.Id, user.PeerId.ToString(), NodeOf(peer), peer.ToString());

    private static LeitherId? NodeOf(PeerId peer) => peer.TryGetPublicKey(out PublicKey? key) ? LeitherId.Of(key.Protobuf) : null;

    /// <summary>The one way to write an id of a user, a node or a peer; null: it is none.</summary>
    public static string? Normalize(string id) =>
        LeitherId.TryParse(id, out LeitherId known) ? known.ToString() : PeerId.TryParse(id, out PeerId peer) && !peer.IsNone ? peer.ToString() : null;
}
