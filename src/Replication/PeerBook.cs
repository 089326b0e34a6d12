using Leither.Ipfs.Keys;

namespace Leither.Replication;

/// <summary>Peers that are no sources for a while. What an honest node may do by misfortune is forgotten with time; what none does is not.</summary>
internal sealed class PeerBook
{
    private const int MaxPeers = 1024, MaxTimes = 20;
    private readonly Dictionary<PeerId, RefusedPeer> _peers = [];

    public IReadOnlyList<RefusedPeer> All => [.. _peers.Values];

    public void Load(IReadOnlyList<RefusedPeer> peers)
    {
        foreach (RefusedPeer peer in peers.Take(MaxPeers))
        {
            _peers[peer.Peer] = peer;
        }
    }

    public bool IsRefused(PeerId peer, long now) => _peers.TryGetValue(peer, out RefusedPeer known) && known.UntilMs > now;

    /// <summary>Remembers a fault and says until when the peer is no source.</summary>
    public long Add(PeerId peer, FaultReason reason, long now)
    {
        (long first, long most) = reason switch
        {
            FaultReason.Stalled or FaultReason.Withheld => (1000L, 300_000L),
            FaultReason.OldHead => (5000L, 3_600_000L),
            FaultReason.WrongBytes or FaultReason.Protocol => (60_000L, 86_400_000L),
            _ => (long.MaxValue, long.MaxValue),
        };

        // The longer ago, the less it counts.
        _peers.TryGetValue(peer, out RefusedPeer known);
        int times = known.UntilMs == long.MaxValue ? MaxTimes : known.Times == 0 || now - known.UntilMs > most ? 1 : Math.Min(known.Times + 1, MaxTimes);
        long until = first == long.MaxValue || known.UntilMs == long.MaxValue ? long.MaxValue : now + Math.Min(first << (times - 1), most);
        if (_peers.Count >= MaxPeers && !_peers.ContainsKey(peer))
        {
            _peers.Remove(_peers.Values.MinBy(static p => p.UntilMs).Peer);
        }

        _peers[peer] = new RefusedPeer(peer, reason, times, until);
        return until;
    }
}
