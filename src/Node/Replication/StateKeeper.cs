using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Multiformats;
using Leither.Replication;

namespace Leither.Node.Replication;

/// <summary>
/// Keeps the core's facts on the disk: what is urgent at once, the rest a second later, so that a head is not written five hundred times a second. The newest is what is
/// kept; the core waits for none of it.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "Close, which says how it ends, disposes of the timer.")]
internal sealed class StateKeeper
{
    private static readonly TimeSpan _pause = TimeSpan.FromSeconds(1);

    private readonly string _folder;
    private readonly Action<string> _warn;
    private readonly Lock _gate = new(), _writing = new(); // the second is held while it is written
    private readonly Timer _timer;
    private ReplicaState _state;
    private readonly List<Action> _waiting = [];
    private bool _isChanged, _isClosed;

    public StateKeeper(string folder, ReplicaState state, Action<string> warn)
    {
        _folder = folder;
        _state = state;
        _warn = warn;
        _timer = new Timer(static keeper => ((StateKeeper)keeper!).Write(), this, Timeout.Infinite, Timeout.Infinite);
    }

    /// <summary>What is kept.</summary>
    public ReplicaState State
    {
        get
        {
            lock (_gate) return _state;
        }
    }

    /// <summary>Keeps the core's facts in the place of those before.</summary>
    /// <param name="facts">The facts.</param>
    /// <param name="isUrgent">Whether somebody waits for it.</param>
    /// <param name="kept">Is called when they are durable, on any thread.</param>
    public void Keep(ReplicaFacts facts, bool isUrgent, Action kept)
    {
        lock (_gate)
        {
            if (_isClosed) return;
            _waiting.Add(kept);
            bool wasChanged = _isChanged;
            _state = _state with { Core = facts };
            _isChanged = true;
            if (isUrgent) _timer.Change(0, Timeout.Infinite);
            else if (!wasChanged) _timer.Change(_pause, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Keeps where followers are.</summary>
    public void Keep(IReadOnlyList<Multiaddr> peers)
    {
        lock (_gate)
        {
            if (_isClosed || peers.SequenceEqual(_state.Peers)) return;
            bool wasChanged = _isChanged;
            _state = _state with { Peers = peers };
            _isChanged = true;
            if (!wasChanged) _timer.Change(_pause, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Keeps on which boot of the machine the log is open, durably.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    public void Opened(string boot)
    {
        lock (_gate)
        {
            if (_state.Boot == boot) return;
            _state = _state with { Boot = boot };
            _isChanged = true;
        }

        Write();
    }

    /// <summary>As <see cref="Opened"/>, soon. Until then the boot before is what is kept: of one that recovered, and may have to do so again.</summary>
    public void OpenedAgain(string boot)
    {
        lock (_gate)
        {
            if (_isClosed || _state.Boot == boot) return;
            _state = _state with { Boot = boot };
            _isChanged = true;
            _timer.Change(0, Timeout.Infinite);
        }
    }

    /// <summary>Keeps what is left to keep, and nothing afterwards.</summary>
    /// <param name="isWhole">Whether nothing can be missing that was signed here: not of one that has not recovered yet.</param>
    public void Close(bool isWhole)
    {
        lock (_gate)
        {
            if (_isClosed) return;
            _isClosed = true;
            if (isWhole && _state.Boot.Length > 0)
            {
                _state = _state with { Boot = "" };
                _isChanged = true;
            }
        }

        Write();
        _timer.Dispose();
    }

    private void Write()
    {
        lock (_writing)
        {
            ReplicaState state;
            Action[] waiting;
            lock (_gate)
            {
                if (!_isChanged) return;
                _isChanged = false;
                state = _state;
                waiting = [.. _waiting];
            }

            try
            {
                state.Save(_folder);
                lock (_gate) _waiting.RemoveRange(0, waiting.Length);
                foreach (Action kept in waiting) kept();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                _warn($"What was seen of a MiMei's other nodes cannot be written down: {e.Message}");
                lock (_gate)
                {
                    _isChanged = true;
                    if (!_isClosed) _timer.Change(_pause, Timeout.InfiniteTimeSpan);
                }
            }
        }
    }
}
