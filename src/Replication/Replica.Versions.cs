// Versions that the writer makes while its log is followed: where one begins its state is captured here too, and once its block is here the two are held against
// each other.

using Leither.Ipfs.Multiformats;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;

namespace Leither.Replication;

public sealed partial class Replica
{
    private const int MaxMarks = 16;

    private readonly SortedDictionary<ulong, (ulong Number, Cid Block, bool IsMade)> _marks = [];
    private readonly SortedDictionary<ulong, (MimeiVersion Version, Cid Block, ReadOnlyMemory<byte> Bytes)> _arrived = [];
    private ulong _adopted, _passed;

    /// <summary>A version begins, or was made, at an entry: its state is to be captured there.</summary>
    private void Marked(ulong number, Position position, Cid block)
    {
        if (!Follows || number <= NewestVersion || position.Sequence < _log.To || position.Sequence == 0)
        {
            return;
        }

        if (_marks.TryGetValue(position.Sequence, out (ulong Number, Cid Block, bool IsMade) known) && known.Number >= number)
        {
            return;
        }

        if (_marks.Count >= MaxMarks)
        {
            _marks.Remove(_marks.Keys.First());
        }

        _marks[position.Sequence] = (number, block, false);
        if (_log.Length == 0 && _log.To == position.Sequence && !_log.IsEmpty)
        {
            MakeMark(position.Sequence);
        }
    }

    private ulong NewestVersion => Math.Max(_adopted, _store.Versions is [.., var newest] ? newest.Number : 0);

    /// <summary>A segment begins; what was to be captured at its beginning is.</summary>
    private void Boundary(in SegmentStart start)
    {
        if (start.Offset == 0)
        {
            MakeMark(start.First - 1);
        }
    }

    private void MakeMark(ulong sequence)
    {
        if (!_marks.TryGetValue(sequence, out (ulong Number, Cid Block, bool IsMade) mark) || mark.IsMade)
        {
            return;
        }

        _marks[sequence] = mark with { IsMade = true };
        ulong number = mark.Number;
        _store.MarkVersion(number, new Position(_log.Segment.Epoch, sequence));
        if (!mark.Block.IsNone)
        {
            Cid block = mark.Block;
            Ask(block, 16 << 10, isPlan: false, (from, bytes) =>
            {
                if (from is not null)
                {
                    VersionCame(from, number, block, bytes);
                }
            });
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

    private void VersionCame(SourceStream source, ulong number, Cid block, ReadOnlyMemory<byte> bytes)
    {
        if (number <= NewestVersion || !Follows || _arrived.ContainsKey(number))
        {
            return;
        }

        if (Read(bytes) is not { } version || version.Number != number)
        {
            BytesRefused += bytes.Length;
            Fault(source, FaultReason.Forged, "a version that nobody signed who may make one");
            return;
        }

        Passed(number);
        if (_arrived.Count >= MaxMarks)
        {
            _arrived.Remove(_arrived.Keys.First());
        }

        _arrived[number] = (version, block, bytes);
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

    /// <summary>Hands over versions whose entries are here.</summary>
    private void Adopt()
    {
        while (_arrived.Count > 0 && _arrived.First() is var (number, (version, block, bytes)) && version.Position.Sequence <= _log.To)
        {
            _arrived.Remove(number);
            if (number <= NewestVersion || (!version.Segment.IsNone && _log.FindNode(_store, version.Segment) is null))
            {
                continue; // of a history that was taken back
            }

            foreach (ulong old in _marks.Keys.Where(k => k <= version.Position.Sequence).ToArray())
            {
                _marks.Remove(old);
            }

            _adopted = number;
            _store.Adopt(
                Begin(result =>
                {
                    if (result.IsMismatch)
                    {
                        _port.Report(new StateDiffers(number, block));
                    }
                    else if (result.Failure is { } failure)
                    {
                        _port.Report(new StoreFailed(failure));
                    }

                    ServeAll();
                }),
                block,
                bytes,
                version);
        }
    }
}
