// A version's state in place of the log: where the log does not reach back to what is here, or is longer. The version has to lie in the history of the source's
// head; then its tree of blocks is walked, and what is not here is asked of all sources.

using Leither.Ipfs;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;

namespace Leither.Replication;

public sealed partial class Replica
{
    // A byte of a state takes some three times as long as one of the log: it comes in many small blocks, each of which leads to others, and is walked twice. Who
    // takes the log for that reason is sent at most twice as much.
    private const int StateCost = 2;

    // The state that is being fetched.
    private Walk? _state;
    private MimeiVersion? _version;
    private SegmentNode? _versionNode;
    private Cid _versionBlock;
    private IReadOnlyList<ListedVersion> _candidates = [];
    private int _candidate;
    private bool _isNodeAsked;

    /// <summary>
    /// Whether a version's state is so much less than the log from here on that it is here sooner, or the log does not reach. Where there are files the log is the least of
    /// it, however long: who has it can list all versions, and who loads a version that one alone.
    /// </summary>
    private bool IsStateLess(SourceStream source)
    {
        if (source.Versions is not [.., var newest] || newest.Position.Sequence <= _log.To)
        {
            return false;
        }

        return IsBehind(source) || (!_options.HasFiles && source.StateBytes > 0 && StateCost * source.StateBytes < source.LogBytes);
    }

    /// <summary>Whether the log is not there any more from what is here on.</summary>
    private bool IsBehind(SourceStream source) => source.Floor > _log.To + 1 || (source.Floor == _log.To + 1 && _log.Segment.Offset > 0);

    private bool ChooseVersion(SourceStream source)
    {
        // (That of the empty log is no more than its beginning.)
        _candidates = [.. source.Versions.Where(v => v.Position.Sequence > 0 && v.Position.Sequence <= source.Head!.To)];
        _candidate = _candidates.Count;
        if (_candidate == 0 || source.Versionless == _target)
        {
            return false;
        }

        _phase = Phase.State;
        State = "fetches a version";
        NextVersion();
        return true;
    }

    private void NextVersion()
    {
        LeaveState();
        _chain.Clear();
        if (--_candidate < 0)
        {
            State = "no version lies in the log's history";
            if (_mustLoad || !IsBehind(_active!))
            {
                _active!.Versionless = _target; // by the log, then
            }
            else
            {
                _active!.Useless = _target;
            }

            LeavePlan();
            return;
        }

        _phase = Phase.State;
        ListedVersion listed = _candidates[_candidate];
        SourceStream active = _active!;
        Ask(listed.Block, MaxVersionBytes, Purpose.Plan, (from, bytes) =>
        {
            if (_active != active)
            {
                return; // whoever else wanted it left the plan
            }

            if (from is null)
            {
                NextVersion();
                return;
            }

            if (Read(bytes) is not { } version || version.Number != listed.Number || version.Position != listed.Position)
            {
                ListedFalsely(listed, active, bytes.Length);
                return;
            }

            (_version, _versionBlock) = (version, listed.Block);
            _state = new Walk(this, Purpose.Plan, Withheld, IsUseless, Failed);
            _state.Put(listed.Block, bytes);
            if (version.Segment.IsNone || version.Segment == _target!.Previous)
            {
                BeginState();
                return;
            }

            _phase = Phase.Nodes;
            _active!.ProgressMs = _now;
            _port.Send(_active.Stream, new GetNodes(_target.Previous, version.Position.Sequence - 1, NodesAtOnce));
        });
    }

    /// <summary>The version lies in the head's history: its blocks are fetched, as far as they are not here.</summary>
    private void BeginState()
    {
        _phase = Phase.State;
        State = $"fetches version {_version!.Number}";
        _chain.Clear();
        _versionNode = null;
        _state!.Begin(_version.State);
        if (_version.Segment.IsNone)
        {
            return;
        }

        if (_log.FindNode(_store, _version.Segment) is { } own)
        {
            _versionNode = own.Node;
            return;
        }

        _isNodeAsked = true;
        Cid node = _version.Segment;
        Ask(node, SegmentNode.MaxBytes, Purpose.Plan, (from, bytes) =>
        {
            _isNodeAsked = false;
            if (from is null)
            {
                Withheld();
                return;
            }

            try
            {
                _versionNode = SegmentNode.Decode(bytes.Span);
            }
            catch (MalformedBlockException e)
            {
                IsUseless(e.Message);
            }
        });
    }

    private void LeaveState()
    {
        _state?.End();
        _state = null;
        _version = null;
        _versionNode = null;
        _isNodeAsked = false;
    }

    private void WalkState()
    {
        if (_state is not { } state)
        {
            return;
        }

        state.GoOn();
        if (_phase == Phase.State && _state == state && state.IsWhole && !_isNodeAsked && _appends == 0)
        {
            Load();
        }
    }

    /// <summary>What the target leads to is of no use, and signed so: no source can help.</summary>
    private void IsUseless(string why)
    {
        State = why;
        _active!.Useless = _target;
        LeavePlan();
    }

    private void Load()
    {
        MimeiVersion version = _version!;
        Cid block = _versionBlock;
        SealedSegment? segment = _versionNode is { } node ? new SealedSegment(version.Segment, node, 0, 0) : null;
        ulong last = _log.To, same = _isWhollyCommon ? last : SameAs(version.Position.Epoch);
        Action<StoreResult> changed = ChangesState(_log.Segment.Epoch, last, same);
        State = $"loads version {version.Number}";
        _store.Load(
            Begin(changed),
            block,
            version,
            segment);
    }
}
