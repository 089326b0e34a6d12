// The walk towards a place: ask the nearest peers known for nearer ones, several at a time, until the nearest have all answered.
//
// It ends when the β nearest peers that are not dead have answered, and after them those of the k nearest that were not asked yet (so that what is then stored
// is stored at the right peers). It holds no clock and does no I/O: whoever drives it takes peers to ask from it, and tells it what came of that.
//
// What peers say is bounded: so many of a reply, so many asked in all. A peer that invents ever nearer ones leads nowhere, and not for long.

using System.Diagnostics.CodeAnalysis;

namespace Leither.Libp2p.KadDht;

/// <summary>A lookup.</summary>
internal sealed class Lookup
{
    /// <summary>How many peers one lookup asks at most: honest networks of millions need a tenth.</summary>
    public const int MaxAsked = 400;

    private readonly KadKey _self;
    private readonly int _k;
    private readonly int _alpha;
    private readonly int _beta;
    private readonly List<Candidate> _candidates = [];
    private readonly Dictionary<KadKey, Candidate> _known = [];
    private bool _isFollowingUp;

    public Lookup(KadKey self, KadKey target, IEnumerable<KadPeer> seeds, int k, int alpha, int beta)
    {
        _self = self;
        Target = target;
        _k = k;
        _alpha = alpha;
        _beta = beta;
        foreach (KadPeer seed in seeds)
        {
            Add(seed, depth: 1);
        }
    }

    private enum State
    {
        Heard,
        Waiting,
        Answered,
        Failed,
    }

    public KadKey Target { get; }

    /// <summary>How many were asked.</summary>
    public int Asked { get; private set; }

    /// <summary>How many have not answered yet.</summary>
    public int InFlight { get; private set; }

    /// <summary>How many peers in a row led to the nearest that answered.</summary>
    public int Hops => _candidates.Find(candidate => candidate.State == State.Answered)?.Depth ?? 0;

    /// <summary>Whether there is nobody left to ask or to wait for who would matter.</summary>
    public bool IsDone => Find(State.Heard) == null && Find(State.Waiting) == null;

    /// <summary>The k nearest that answered, nearest first.</summary>
    public IEnumerable<KadPeer> Closest => _candidates.Where(candidate => candidate.State == State.Answered).Take(_k).Select(candidate => candidate.Peer);

    /// <summary>The next peer to ask; false while enough are being asked, or for good.</summary>
    public bool TryNext([NotNullWhen(true)] out KadPeer? peer)
    {
        Candidate? next = InFlight < _alpha ? Find(State.Heard) : null;
        if (next == null)
        {
            peer = null;
            return false;
        }

        peer = next.Peer;
        next.State = State.Waiting;
        InFlight++;
        Asked++;
        return true;
    }

    /// <summary>A peer answered, and knows these.</summary>
    public void Answered(KadPeer peer, IReadOnlyList<KadPeer> closer)
    {
        if (!_known.TryGetValue(peer.Key, out Candidate? candidate) || candidate.State != State.Waiting)
        {
            return;
        }

        InFlight--;
        candidate.State = State.Answered;
        // The nearest of what it says, however much it says.
        foreach (KadPeer next in closer.Count <= _k ? closer : closer.OrderBy(one => Target.DistanceTo(one.Key)).Take(_k))
        {
            Add(next, candidate.Depth + 1);
        }

        BeginFollowUp();
    }

    /// <summary>A peer did not answer.</summary>
    public void Failed(KadPeer peer)
    {
        if (_known.TryGetValue(peer.Key, out Candidate? candidate) && candidate.State == State.Waiting)
        {
            InFlight--;
            candidate.State = State.Failed;
            BeginFollowUp();
        }
    }

    /// <summary>The nearest candidate in a state, among those that matter.</summary>
    private Candidate? Find(State state)
    {
        if (state == State.Heard && Asked >= MaxAsked)
        {
            return null;
        }

        int live = 0;
        foreach (Candidate candidate in _candidates)
        {
            if (candidate.State == State.Failed)
            {
                continue;
            }

            if (++live > _k)
            {
                return null;
            }

            if (candidate.State == state && (!_isFollowingUp || candidate.IsFollowUp || live <= _beta))
            {
                return candidate;
            }
        }

        return null;
    }

    private void BeginFollowUp()
    {
        if (_isFollowingUp)
        {
            return;
        }

        int live = 0;
        foreach (Candidate candidate in _candidates)
        {
            if (candidate.State != State.Failed && ++live <= _beta && candidate.State != State.Answered)
            {
                return;
            }
        }

        _isFollowingUp = true;
        live = 0;
        foreach (Candidate candidate in _candidates)
        {
            candidate.IsFollowUp = candidate.State != State.Failed && ++live <= _k;
        }
    }

    private void Add(KadPeer peer, int depth)
    {
        if (peer.Key.Equals(_self) || _known.ContainsKey(peer.Key))
        {
            return;
        }

        var candidate = new Candidate(peer, Target.DistanceTo(peer.Key), depth);
        int at = _candidates.BinarySearch(candidate);
        _candidates.Insert(at < 0 ? ~at : at, candidate);
        _known.Add(peer.Key, candidate);
    }

    private sealed class Candidate(KadPeer peer, KadKey distance, int depth) : IComparable<Candidate>
    {
        public KadPeer Peer { get; } = peer;

        public KadKey Distance { get; } = distance;

        public int Depth { get; } = depth;

        public State State { get; set; }

        public bool IsFollowUp { get; set; }

        public int CompareTo(Candidate? other) => Distance.CompareTo(other!.Distance);
    }
}
