// Versions that the writer makes while its log is followed: where one begins its state is captured here too, and once its block is here the two are held against
// each other. Versions come on their own: before the head that shows their place, from a source that is not the one of the tail, or not at all, where a stream ends.
// So what sources list is looked through whenever it, or the log here, has become another, and what is missing is asked for.

using Leither.Ipfs.Multiformats;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;

namespace Leither.Replication;

public sealed partial class Replica
{
    private const int MaxMarks = 16;

    // Versions that are asked for, or came and wait for the log.
    private const int MaxArrived = 16;

    private const int MaxVersionBytes = 16 << 10;

    private readonly SortedDictionary<ulong, (ulong Number, bool IsMade)> _marks = [];
    private readonly HashSet<Cid> _askedVersions = [];
    private readonly List<(MimeiVersion Version, Cid Block, ReadOnlyMemory<byte> Bytes)> _arrived = []; // by number

    // Of no use to the log as it is now: of a history that is not here, or that cannot be made from what is here, or nobody gives them.
    private readonly HashSet<Cid> _useless = [];
    private Cid _adopting;
    private Walk? _adoptingFiles;
    private ulong _passed;
    private bool _looksForVersions, _areVersionsAhead;
    private long _versionsAt, _versionsRetryMs;

    /// <summary>A version begins, or was made, at an entry: its state is to be captured there.</summary>
    private void Marked(ulong number, Position position)
    {
        if (!Follows || position.Sequence < _log.To || position.Sequence == 0 || IsListed(number, position))
        {
            return;
        }

        if (_marks.TryGetValue(position.Sequence, out (ulong Number, bool IsMade) known) && known.Number >= number)
        {
            return;
        }

        if (_marks.Count >= MaxMarks)
        {
            _marks.Remove(_marks.Keys.First());
        }

        _marks[position.Sequence] = (number, false);
        if (_log.Length == 0 && _log.To == position.Sequence && !_log.IsEmpty)
        {
            MakeMark(position.Sequence);
        }
    }

    /// <summary>
    /// Whether a version of a number is listed that was made there, or further on in the log. Who takes over writing and never heard of one may give its number again: then
    /// what who writes says holds, as it does of all else.
    /// </summary>
    private bool IsListed(ulong number, Position position)
    {
        IReadOnlyList<ListedVersion> versions = _store.Versions;
        for (int i = versions.Count - 1; i >= 0 && versions[i].Number >= number; i--)
        {
            if (versions[i].Number == number)
            {
                Position own = versions[i].Position;
                return own.Epoch > position.Epoch || (own.Epoch == position.Epoch && own.Sequence >= position.Sequence);
            }
        }

        return false;
    }

    /// <summary>A segment begins; what was to be captured at its beginning is, and versions that were made there can be told from those of other histories.</summary>
    private void Boundary(in SegmentStart start)
    {
        if (start.Offset == 0)
        {
            MakeMark(start.First - 1);
        }

        if (_areVersionsAhead)
        {
            LookForVersions();
        }
    }

    private void MakeMark(ulong sequence)
    {
        if (_marks.TryGetValue(sequence, out (ulong Number, bool IsMade) mark) && !mark.IsMade)
        {
            _marks[sequence] = mark with { IsMade = true };
            _store.MarkVersion(mark.Number, new Position(_log.Segment.Epoch, sequence));
        }
    }

    /// <summary>The log is to come once more to places where a state was to be captured: what was captured there is let go of.</summary>
    private void MarkAgain()
    {
        foreach ((ulong sequence, (ulong number, _)) in _marks.Where(static m => m.Value.IsMade).ToArray())
        {
            _marks[sequence] = (number, false);
        }
    }

    /// <summary>Versions are numbered once, whoever writes: also where one does not come to be listed here, since the log is beyond it.</summary>
    private void Passed(ulong number)
    {
        if (number > _passed)
        {
            _passed = number;
            _store.PassVersion(number);
        }
    }

    /// <summary>A version that the author signed, or who wrote in its epoch; null: it is none.</summary>
    private MimeiVersion? Read(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            return MimeiVersion.Decode(bytes.Span, _writers);
        }
        catch (MimeiException)
        {
            return null;
        }
    }

    // ------------------------------------------------------------------ what sources have

    private void VersionTold(SourceStream source, VersionTold told)
    {
        if (told.Cid.Codec != Multicodec.DagCbor || !told.Cid.Verify(told.Block.Span))
        {
            Fault(source, FaultReason.WrongBytes, "a version's block has another hash");
            return;
        }

        if (Read(told.Block) is not { } version || version.Number != told.Number)
        {
            BytesRefused += told.Block.Length;
            Fault(source, FaultReason.Forged, "a version that nobody signed who may make one");
            return;
        }

        ListedVersion[] all = [.. source.Versions.Where(v => v.Number != version.Number).Append(new ListedVersion(version.Number, told.Cid, version.Position)).OrderBy(static v => v.Number)];
        source.Versions = all.Length > LogProtocol.MaxVersions ? all[^LogProtocol.MaxVersions..] : all;
        _useless.Remove(told.Cid);
        AskForWithheld();
        VersionCame(version, told.Cid, told.Block.ToArray());
        LookForVersions();
    }

    private void VersionCame(MimeiVersion version, Cid block, ReadOnlyMemory<byte> bytes)
    {
        Passed(version.Number);
        if (!Follows || _malformed.Contains(block) || _adopting == block || _arrived.Exists(a => a.Block == block) || IsListed(version.Number, version.Position)
            || (_arrived.Count >= MaxArrived && !MakesRoom(version.Number)))
        {
            return; // where there is no room for it, it is asked for again
        }

        int at = _arrived.FindIndex(a => a.Version.Number > version.Number);
        _arrived.Insert(at < 0 ? _arrived.Count : at, (version, block, bytes));
        if (IsAhead(version.Position))
        {
            Marked(version.Number, version.Position);
            _areVersionsAhead = true;
        }
    }

    /// <summary>Of files the newest come first: an older version, which has to wait, makes room for it.</summary>
    private bool MakesRoom(ulong number)
    {
        int oldest = _options.HasFiles ? _arrived.FindIndex(a => a.Block != _filesOf) : -1;
        if (oldest < 0 || _arrived[oldest].Version.Number >= number)
        {
            return false;
        }

        _arrived.RemoveAt(oldest);
        return true;
    }

    /// <summary>What sources list, or the log here, is another: what is missing is looked for.</summary>
    private void LookForVersions() => _looksForVersions = _decideAgain = true;

    /// <summary>The log goes on from another place, perhaps in another history.</summary>
    private void ForgetUselessVersions()
    {
        _useless.Clear();
        AskForWithheld();
        LookForVersions();
    }

    /// <summary>Whether the log here does not show yet that a segment ends at a place, or does not.</summary>
    private bool IsAhead(Position position) => position.Sequence > _log.To || (position.Sequence == _log.To && _log.Length > 0);

    /// <summary>Whether a version is asked for, or about to be listed, whose place the log here has come to.</summary>
    private bool AreVersionsToCome => _looksForVersions || _askedVersions.Count > 0 || !_adopting.IsNone || _arrived.Exists(a => !IsAhead(a.Version.Position)) || IsAnyWithheldTried;

    /// <summary>Asks for versions that sources list and that are not listed here, where the log has come to their place.</summary>
    private void AskForVersions()
    {
        if (!_looksForVersions && _now < _withheldUntil)
        {
            return;
        }

        _looksForVersions = false;
        ForgetWithheld();
        _areVersionsAhead = _arrived.Exists(a => IsAhead(a.Version.Position));
        foreach (SourceStream source in _sources.Values)
        {
            for (int i = 0; i < source.Versions.Length; i++)
            {
                // A version may have to be made from the one before. That its files be here soon matters more for the newest.
                bool isNewest = i == (_options.HasFiles ? 0 : source.Versions.Length - 1);
                ListedVersion version = source.Versions[_options.HasFiles ? source.Versions.Length - 1 - i : i];
                if (IsHopeless(version.Block) || _adopting == version.Block || _askedVersions.Contains(version.Block) || IsListed(version.Number, version.Position)
                    || _arrived.Exists(a => a.Block == version.Block))
                {
                    continue;
                }

                bool isAhead = IsAhead(version.Position);
                _areVersionsAhead |= isAhead;

                // The newest is asked for at once: should this node write one day, its own versions come after it.
                if ((isAhead ? isNewest : EndsHere(version.Position.Sequence)) && _askedVersions.Count + _arrived.Count < MaxArrived)
                {
                    AskForVersion(version);
                }
            }
        }
    }

    private void AskForVersion(ListedVersion listed)
    {
        _askedVersions.Add(listed.Block);
        Ask(listed.Block, MaxVersionBytes, Purpose.Other, (from, bytes) =>
        {
            _askedVersions.Remove(listed.Block);
            LookForVersions();
            if (from is null)
            {
                _useless.Add(listed.Block);
            }
            else if (Read(bytes) is not { } version || version.Number != listed.Number || version.Position != listed.Position)
            {
                ListedFalsely(listed, null, bytes.Length);
            }
            else
            {
                VersionCame(version, listed.Block, bytes);
            }
        });
    }

    /// <summary>A block is what its name says, and not the version that it was listed as: who lists it is wrong, and not who gave it.</summary>
    private void ListedFalsely(ListedVersion listed, SourceStream? by, int bytes)
    {
        BytesRefused += bytes;
        foreach (SourceStream source in _sources.Values.Where(s => s == by || s.Versions.Contains(listed)).ToArray())
        {
            Fault(source, FaultReason.Forged, "a version that nobody signed who may make one");
        }
    }

    /// <summary>Whether a segment ends here with an entry, as one does where a version was made.</summary>
    private bool EndsHere(ulong sequence)
    {
        if ((_log.To == sequence && _log.Length == 0) || _store.Find(sequence)?.Node.To == sequence)
        {
            return true;
        }

        for (int i = _log.Recent.Count - 1; i >= 0 && _log.Recent[i].Node.To >= sequence; i--)
        {
            if (_log.Recent[i].Node.To == sequence)
            {
                return true;
            }
        }

        return false;
    }

    // ------------------------------------------------------------------ what came

    /// <summary>
    /// Hands over versions whose entries are here, and files, if there are any; one after the other: each may have to be made from the one before.
    /// </summary>
    private void Adopt()
    {
        if (!_adopting.IsNone || _now < _versionsAt)
        {
            return;
        }

        ulong written = _store.End.WrittenSequence;
        int next = -1;
        for (int i = 0; i < _arrived.Count && (next < 0 || _options.HasFiles);)
        {
            (MimeiVersion version, Cid block, _) = _arrived[i];
            if (IsAhead(version.Position) || version.Position.Sequence > written)
            {
                i++;
            }
            else if (IsListed(version.Number, version.Position))
            {
                TakeArrived(i);
            }
            else if (!version.Segment.IsNone && _log.FindNode(_store, version.Segment) is null)
            {
                _useless.Add(block); // of a history that is not here
                TakeArrived(i);
            }
            else
            {
                next = i++;
            }
        }

        if (_options.HasFiles)
        {
            if (next < 0)
            {
                LeaveFiles();
            }
            else
            {
                next = FetchFiles(next);
            }
        }

        if (next >= 0)
        {
            (MimeiVersion version, Cid block, ReadOnlyMemory<byte> bytes) = TakeArrived(next);
            foreach (ulong old in _marks.Keys.Where(k => k <= version.Position.Sequence).ToArray())
            {
                _marks.Remove(old);
            }

            _adopting = block;
            if (_files is not null)
            {
                _adoptingFiles = _files;
                EndFiles();
            }

            _store.Adopt(Begin(result => Adopted(version.Number, block, result)), block, bytes, version);
        }
    }

    private (MimeiVersion Version, Cid Block, ReadOnlyMemory<byte> Bytes) TakeArrived(int at)
    {
        (MimeiVersion Version, Cid Block, ReadOnlyMemory<byte> Bytes) arrived = _arrived[at];
        _arrived.RemoveAt(at);
        LookForVersions(); // there is room for another
        return arrived;
    }

    private void Adopted(ulong number, Cid block, StoreResult result)
    {
        (_adopting, Walk? files) = (default, _adoptingFiles);
        (_adoptingFiles, _endsPuts) = (null, true);
        if (result.IsMismatch)
        {
            _useless.Add(block);
            _port.Report(new StateDiffers(number, block));
        }
        else if (result.Failure is { } failure)
        {
            RetryVersions(failure);
            if (failure is not IOException)
            {
                _useless.Add(block);
            }
        }
        else
        {
            _versionsRetryMs = 0;
            if (result.IsMissing)
            {
                _useless.Add(block);
            }
            else if (files is not null)
            {
                _withheld.Remove(block);
                Know(block, files);
            }
        }

        LookForVersions();
        ServeAll();
    }

    private void RetryVersions(Exception failure)
    {
        if (_versionsRetryMs == 0)
        {
            _port.Report(new StoreFailed(failure));
        }

        // What a disk did not take it may take later.
        if (failure is IOException)
        {
            _versionsRetryMs = Math.Clamp(_versionsRetryMs * 2, 500, 30_000);
            _versionsAt = _now + _versionsRetryMs;
        }
    }
}
