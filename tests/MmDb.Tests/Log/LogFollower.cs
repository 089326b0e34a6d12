using Leither.MmDb.Log;

namespace Leither.MmDb.Tests.Log;

/// <summary>What a follower does with a source's log, without the network and without heads: it brings a copy up to it, and goes back where the source did.</summary>
internal sealed unsafe class LogFollower(WriteLog copy, Random random)
{
    /// <summary>What was applied: entry n at [n - 1].</summary>
    public List<byte[]> Applied { get; init; } = [];

    /// <summary>Called before entries are undone.</summary>
    public Action? GoingBack { get; init; }

    /// <summary>Called when entries were undone, with the last that is left.</summary>
    public Action<ulong>? Undone { get; init; }

    public int WentBack { get; private set; }

    /// <summary>Takes all that the source has; false if a disk did not let it, or what comes next is not there any more (<see cref="IsBehind"/>).</summary>
    public bool CatchUp(WriteLog source)
    {
        IsBehind = false;
        while (copy.State is LogState.Open or LogState.Full)
        {
            LogEnd end = copy.WrittenEnd;
            IReadOnlyList<LogPlace> there = source.Places;
            int at = IndexOf(there, end.Segment), next = at + 1;
            if (at < 0 && source.Chain!.Segments.ToList() is var nodes && nodes.FindIndex(s => s.Start == end.Segment && s.Length == end.Length) is >= 0 and int mine)
            {
                // That segment was trimmed there; what follows it may be there, or nothing yet.
                next = 0;
                if (there.Count > 0 && mine + 1 < nodes.Count && there[0].Segment != nodes[mine + 1].Start)
                {
                    IsBehind = true;
                    return false;
                }
            }
            else if (end.Segment.IsSegment && (at < 0 || there[at].Length < end.Length))
            {
                IsBehind = Common(there) is not { } place || !GoBack(place);
                if (IsBehind) return false;
                continue;
            }
            else if (!end.Segment.IsSegment && there.Count > 0 && there[0].Segment is not { First: 1, Offset: 0 })
            {
                IsBehind = true;
                return false;
            }

            LogPlace from;
            if (at >= 0 && there[at].Length > end.Length) from = end.Place;
            else if (next < there.Count) from = there[next] with { Length = 0 };
            else
            {
                if (source.WrittenEnd.IsCut && !end.IsCut) copy.CutCopy();
                return true;
            }

            try
            {
                if (!Take(source, from, there.First(p => p.Segment == from.Segment).Length)) return false;
            }
            catch (LogUndoneException)
            {
                IsBehind = !GoBack(copy.WrittenEnd.Place);
                if (IsBehind) return false;
            }
        }

        return false;
    }

    /// <summary>Whether what comes next is not at the source any more: a version has to be loaded.</summary>
    public bool IsBehind { get; private set; }

    private bool GoBack(LogPlace place)
    {
        try
        {
            GoingBack?.Invoke();
            copy.GoBack(place);
        }
        catch (ArgumentException)
        {
            return false; // in the middle of an entry whose beginning was trimmed
        }
        catch (IOException) when (copy.WrittenSequence < (ulong)Applied.Count)
        {
            // The log is on its way back whenever its disk works again, and the owner goes with it.
            copy.GiveAfter(copy.WrittenSequence);
            Applied.RemoveRange((int)copy.WrittenSequence, Applied.Count - (int)copy.WrittenSequence);
            Undone?.Invoke(copy.WrittenSequence);
            throw;
        }

        WentBack++;
        Applied.RemoveRange((int)copy.LastSequence, Applied.Count - (int)copy.LastSequence);
        Undone?.Invoke(copy.LastSequence);
        return true;
    }

    public void Apply(ulong sequence, byte* entry, long length)
    {
        if (sequence != (ulong)Applied.Count + 1) throw new InvalidOperationException($"entry {sequence} after {Applied.Count}");
        Applied.Add(new ReadOnlySpan<byte>(entry, (int)length).ToArray());
    }

    /// <summary>Takes a segment from an offset on, in pieces of any size.</summary>
    private bool Take(WriteLog source, LogPlace from, long length)
    {
        byte[] bytes = new byte[length - from.Length];
        int have = 0, taken = 0;
        while (have < bytes.Length)
        {
            int read = source.ReadSegment(from.Segment, from.Length + have, bytes.AsSpan(have, Math.Min(bytes.Length - have, random.Next(1, 20_000))));
            if (read == 0 && source.State == LogState.Failed) return false;
            if (read <= 0) throw new InvalidOperationException($"{read} of {from} + {have}");
            have += read;
            try
            {
                taken += (int)copy.Append(bytes.AsSpan(taken, have - taken), Apply);
            }
            catch (Leither.Ipfs.Files.DiskException)
            {
                return false;
            }
        }

        return taken == have || copy.State != LogState.Open;
    }

    private LogPlace? Common(IReadOnlyList<LogPlace> there)
    {
        foreach (LogPlace mine in copy.Places.Reverse())
        {
            if (IndexOf(there, mine.Segment) is >= 0 and int at) return mine with { Length = Math.Min(mine.Length, there[at].Length) };
        }

        // Behind the node that the copy's first segment follows, or at the very beginning.
        if (copy.Places is [var first, ..] && copy.Chain!.Segments.LastOrDefault(s => s.Node.To < first.Segment.First) is { } node)
        {
            return there.Any(p => p.Segment.First == first.Segment.First && p.Segment.Offset == first.Segment.Offset) ? new LogPlace(node.Start, node.Length) : null;
        }

        return there is [{ Segment: { First: 1, Offset: 0 } }, ..] && copy.Chain!.Segments is not [{ Node.Previous.IsNone: false }, ..] ? default(LogPlace) : null;
    }

    private static int IndexOf(IReadOnlyList<LogPlace> places, SegmentStart segment)
    {
        for (int i = 0; i < places.Count; i++)
        {
            if (places[i].Segment == segment) return i;
        }

        return -1;
    }
}
