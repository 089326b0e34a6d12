// The files of versions, in a MiMei of files: the log says which root they have, and no more. A version is taken where its place in the log has come and all blocks that it
// leads to are here, so that who lists a version can give all of it. Files take their time: what is written meanwhile is followed, and before a version that is newer one is
// not begun that is older. What nobody gives is asked for again after a while, or when there is somebody else to ask.

using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions;

namespace Leither.Replication;

public sealed partial class Replica
{
    private const int MaxBranchesKnown = 1 << 18, MaxWithheld = 256;

    // About so many bytes of files one source is asked for at a time.
    private const int MaxFileBytesUnderWay = 4 << 20;

    private const int FirstPauseMs = 500, LongestPauseMs = 60_000;

    // So often a version is tried that nobody gives before who waits for all that there is waits for it no longer.
    private const int TriesToWaitFor = 3;

    // The way through the version whose files are being fetched, and what of it was left out since these versions, which are listed, have it.
    private readonly HashSet<Cid> _filesFrom = [];
    private Walk? _files;
    private Cid _filesOf;

    // About how long blocks of files are. The first may be the longest that are usual.
    private int _fileBlockBytes = 1 << 20;

    // Branches below which everything is here as long as a version is listed: each with the last one that was seen to lead to it.
    private readonly Dictionary<Cid, Cid> _known = [];

    // Versions of which nobody gave a block, until when they are not asked for, and how often they were. Others are malformed, which will never change.
    private readonly Dictionary<Cid, (long Until, int Tries)> _withheld = [];
    private readonly HashSet<Cid> _malformed = [];
    private long _withheldUntil = long.MaxValue;

    // What was put is kept by the store until a version leads to it.
    private bool _arePutsKept, _endsPuts;

    /// <summary>Whether a version of which a block was not given is tried again soon.</summary>
    private bool IsAnyWithheldTried => _withheld.Values.Any(static w => w.Tries < TriesToWaitFor);

    /// <summary>Whether the log comes as it is written: where it has to be caught up with it goes before files.</summary>
    private bool IsFollowing => _phase is Phase.Riding or Phase.Idle or Phase.Audit;

    /// <summary>How many blocks of files a source may owe: what is asked for of the log comes behind them.</summary>
    private int FilesWindow => IsFollowing ? Math.Clamp(MaxFileBytesUnderWay / Math.Max(1, _fileBlockBytes), 2, _options.BlockWindow) : 0;

    /// <summary>Whether a version is not to be asked for now.</summary>
    private bool IsHopeless(in Cid version) => _useless.Contains(version) || _malformed.Contains(version) || (_withheld.TryGetValue(version, out (long Until, int Tries) withheld) && _now < withheld.Until);

    /// <summary>Goes on with the files of the version that was begun, or of this one, which came.</summary>
    /// <returns>The version, of those that came, all of whose files are here; -1: none is.</returns>
    private int FetchFiles(int newest)
    {
        int at = _files is null ? -1 : _arrived.FindIndex(a => a.Block == _filesOf);
        if (at < 0 || IsAhead(_arrived[at].Version.Position))
        {
            LeaveFiles();
            if (!IsFollowing || (!_wasLevel && newest < _arrived.Count - 1))
            {
                return -1; // the log is about to come to a newer one
            }

            at = newest;
            BeginFiles(_arrived[at].Version, _arrived[at].Block, _arrived[at].Bytes);
        }

        Walk files = _files!;
        files.GoOn();
        if (_files != files || !files.IsWhole)
        {
            return -1;
        }

        if (!AreListed(_filesFrom))
        {
            // Of what was left out something may have been collected.
            LeaveFiles();
            _decideAgain = true;
            return -1;
        }

        return at;
    }

    private void BeginFiles(MimeiVersion version, Cid block, ReadOnlyMemory<byte> bytes)
    {
        HashSet<Cid> listed = [.. _store.Versions.Select(static v => v.Block)];
        _filesFrom.Clear();
        _filesOf = block;
        _files = new Walk(this, Purpose.Files, () => Withhold(block), why => IsMalformed(version.Number, block, why), FilesFailed)
        {
            IsKnown = cid =>
            {
                if (!_known.TryGetValue(cid, out Cid from) || !listed.Contains(from))
                {
                    return false;
                }

                _filesFrom.Add(from);
                return true;
            },
        };

        // It is a root of what the store keeps from now on, whatever of it is here.
        _files.Put(block, bytes);
        _files.Begin(version.State);
        if (_phase is Phase.Riding or Phase.Idle)
        {
            State = $"fetches the files of version {version.Number}";
        }
    }

    private void LeaveFiles()
    {
        if (_files is not null)
        {
            _files.End();
            CancelWants(Purpose.Files);
            EndFiles();
        }
    }

    private void EndFiles()
    {
        _files = null;
        _filesOf = default;
        _filesFrom.Clear();
        if (_phase is Phase.Riding or Phase.Idle)
        {
            State = _wasLevel ? "level" : "follows";
        }
    }

    /// <summary>The log goes on from another place: what of files is wanted is found out anew.</summary>
    private void ForgetFiles()
    {
        LeaveFiles();
        _withheld.Clear();
    }

    /// <summary>Nobody gives a block of a version.</summary>
    private void Withhold(Cid block)
    {
        LeaveFiles();
        _arrived.RemoveAll(a => a.Block == block);
        if (_withheld.Count >= MaxWithheld)
        {
            _withheld.Clear();
        }

        int tries = _withheld.GetValueOrDefault(block).Tries;
        long until = _now + Math.Min(LongestPauseMs, FirstPauseMs << Math.Min(tries, 10));
        _withheld[block] = (until, tries + 1);
        _withheldUntil = Math.Min(_withheldUntil, until);
        LookForVersions();
    }

    /// <summary>There is somebody else to ask.</summary>
    private void AskForWithheld()
    {
        foreach ((Cid block, (_, int tries)) in _withheld.ToArray())
        {
            _withheld[block] = (_now, tries);
        }
    }

    /// <summary>Versions that it is time to ask for again, and that no source lists any more, are forgotten.</summary>
    private void ForgetWithheld()
    {
        _withheldUntil = long.MaxValue;
        foreach ((Cid block, (long until, _)) in _withheld.ToArray())
        {
            if (until > _now)
            {
                _withheldUntil = Math.Min(_withheldUntil, until);
            }
            else if (!_sources.Values.Any(s => s.Versions.Any(v => v.Block == block)))
            {
                _withheld.Remove(block);
            }
        }
    }

    private void IsMalformed(ulong number, Cid block, string why)
    {
        LeaveFiles();
        _arrived.RemoveAll(a => a.Block == block);
        if (_malformed.Count >= MaxWithheld)
        {
            _malformed.Clear();
        }

        _malformed.Add(block);
        _port.Report(new VersionMalformed(number, block, why));
        LookForVersions();
    }

    /// <summary>The store did not keep a block: it may later.</summary>
    private void FilesFailed(Exception failure)
    {
        if (_files is not null)
        {
            LeaveFiles();
            RetryVersions(failure);
        }
    }

    private bool AreListed(HashSet<Cid> versions)
    {
        if (versions.Count == 0)
        {
            return true;
        }

        IReadOnlyList<ListedVersion> listed = _store.Versions;
        return versions.All(block => listed.Any(v => v.Block == block));
    }

    /// <summary>A version is listed: what it leads to is here as long as it is.</summary>
    private void Know(Cid version, Walk walk)
    {
        if (_known.Count + walk.Branches.Count > MaxBranchesKnown)
        {
            HashSet<Cid> listed = [.. _store.Versions.Select(static v => v.Block)];
            foreach ((Cid branch, Cid from) in _known.ToArray())
            {
                if (!listed.Contains(from))
                {
                    _known.Remove(branch);
                }
            }

            if (_known.Count + walk.Branches.Count > MaxBranchesKnown)
            {
                _known.Clear();
            }
        }

        if (walk.Branches.Count <= MaxBranchesKnown)
        {
            foreach (Cid branch in walk.Branches)
            {
                _known[branch] = version;
            }
        }
    }

    /// <summary>What was put and led nowhere goes with the next collection, once nothing is being fetched that it may belong to.</summary>
    private void EndPuts()
    {
        if (_arePutsKept && (_endsPuts || !Follows) && _puts == 0 && _state is null && _files is null && _adopting.IsNone)
        {
            _arePutsKept = _endsPuts = false;
            _store.EndPuts();
        }
    }
}
