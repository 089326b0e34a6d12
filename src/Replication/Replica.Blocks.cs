// Blocks: asked for from all sources, each within a window of its own, so that a slow one holds up nothing but what it was asked for.

using Leither.Ipfs.Multiformats;

namespace Leither.Replication;

public sealed partial class Replica
{
    private readonly Dictionary<Cid, Want> _wants = [];
    private readonly LinkedList<Want> _unasked = [];

    // Whether a source said that it lacks a block, or went away, since it was last looked for what nobody has.
    private bool _mayLack;

    /// <summary>What blocks are wanted for; what of them is of no use any more is forgotten together.</summary>
    private enum Purpose
    {
        /// <summary>Something by itself.</summary>
        Other,

        /// <summary>The plan, until it is left.</summary>
        Plan,

        /// <summary>The files of a version.</summary>
        Files,
    }

    private sealed class Want(Cid cid)
    {
        private readonly Action<SourceStream?, ReadOnlyMemory<byte>>?[] _done = new Action<SourceStream?, ReadOnlyMemory<byte>>?[3];

        public Cid Cid => cid;

        /// <summary>How many bytes it has at most.</summary>
        public int Most { get; private set; }

        /// <summary>How it probably begins: what is here of it.</summary>
        public ReadOnlyMemory<byte> Beginning { get; set; }

        public bool IsPlan => _done[(int)Purpose.Plan] is not null;

        /// <summary>Whether nothing but the files of a version needs it.</summary>
        public bool IsOfFilesOnly => _done[(int)Purpose.Plan] is null && _done[(int)Purpose.Other] is null;

        /// <summary>Whom it was asked of; 0: nobody.</summary>
        public long Stream { get; set; }

        /// <summary>Who does not have it.</summary>
        public HashSet<long> MissingAt { get; } = [];

        public bool IsQueued { get; set; }

        /// <summary>When it was asked for.</summary>
        public long AskedMs { get; set; }

        /// <summary>How many, with it, the source was asked for then and had not given.</summary>
        public int UnderWay { get; set; }

        /// <summary>Whether nothing waited for the store when it was asked for.</summary>
        public bool WasStoreIdle { get; set; }

        public void Add(Purpose purpose, int most, Action<SourceStream?, ReadOnlyMemory<byte>> done)
        {
            _done[(int)purpose] += done;
            Most = Math.Max(Most, most);
        }

        /// <summary>It is not wanted for something any more; false: it is for something else.</summary>
        public bool Remove(Purpose purpose)
        {
            _done[(int)purpose] = null;
            return Array.TrueForAll(_done, static d => d is null);
        }

        public void Done(SourceStream? from, ReadOnlyMemory<byte> bytes)
        {
            foreach (Action<SourceStream?, ReadOnlyMemory<byte>>? done in _done)
            {
                done?.Invoke(from, bytes);
            }
        }
    }

    // ------------------------------------------------------------------ wants

    /// <summary>Asks for a block, or for what follows its beginning. It comes verified and whole, with who gave it; with nobody and empty, where no source has it.</summary>
    private void Ask(in Cid cid, int most, Purpose purpose, Action<SourceStream?, ReadOnlyMemory<byte>> done, ReadOnlyMemory<byte> beginning = default)
    {
        if (_wants.TryGetValue(cid, out Want? want))
        {
            want.Add(purpose, most, done);
            return;
        }

        want = new Want(cid) { Beginning = beginning };
        want.Add(purpose, most, done);
        _wants.Add(cid, want);
        Queue(want);
        _decideAgain = true;
    }

    private void Queue(Want want)
    {
        want.Stream = 0;
        want.IsQueued = true;
        _unasked.AddLast(want);
    }

    /// <summary>What was asked of a source that is gone is asked of another.</summary>
    private void AskElsewhere(SourceStream gone)
    {
        _mayLack = true;
        foreach (Cid cid in gone.InFlight.Keys)
        {
            if (_wants.TryGetValue(cid, out Want? want) && want.Stream == gone.Stream)
            {
                Queue(want);
            }
        }
    }

    /// <summary>Forgets what was wanted for something. What was asked for still comes, and is let go.</summary>
    private void CancelWants(Purpose purpose)
    {
        foreach (Want want in _wants.Values.ToArray())
        {
            if (!want.Remove(purpose))
            {
                continue;
            }

            _wants.Remove(want.Cid);
            if (want.IsQueued)
            {
                _unasked.Remove(want);
            }
        }
    }

    private void PumpWants()
    {
        if (_unasked.Count == 0)
        {
            return;
        }

        int filesWindow = FilesWindow;
        foreach (SourceStream source in _sources.Values)
        {
            // Of whom much is asked is asked for many at a time, and not for one whenever one came.
            if (!source.IsOpen || source.InFlight.Count > _options.BlockWindow - Math.Max(1, _options.BlockWindow / 4))
            {
                continue;
            }

            var cids = new List<Cid>();
            for (LinkedListNode<Want>? node = _unasked.First; node is not null && source.InFlight.Count < _options.BlockWindow && cids.Count < LogProtocol.MaxWants;)
            {
                LinkedListNode<Want>? next = node.Next;
                Want want = node.Value;
                if (!want.MissingAt.Contains(source.Stream) && !source.InFlight.ContainsKey(want.Cid) && (!want.IsOfFilesOnly || source.InFlight.Count < filesWindow))
                {
                    if (source.InFlight.Count == 0)
                    {
                        source.BlocksMs = _now;
                    }

                    _unasked.Remove(node);
                    want.IsQueued = false;
                    want.Stream = source.Stream;
                    source.InFlight.Add(want.Cid, want.Beginning);
                    (want.AskedMs, want.UnderWay, want.WasStoreIdle) = (_now, source.InFlight.Count, _appends == 0);
                    if (want.Beginning.IsEmpty)
                    {
                        cids.Add(want.Cid);
                    }
                    else
                    {
                        _port.Send(source.Stream, new GetRest(want.Cid, want.Beginning.Length));
                    }
                }

                node = next;
            }

            if (cids.Count > 0)
            {
                _port.Send(source.Stream, new Get(cids));
            }
        }

        GiveUpWants();
    }

    /// <summary>Where every source said that it has none.</summary>
    private void GiveUpWants()
    {
        if (!_mayLack)
        {
            return;
        }

        _mayLack = false;
        Want[] hopeless = [.. _unasked.Where(w => w.MissingAt.Count > 0 && _sources.Values.All(s => !s.IsOpen || w.MissingAt.Contains(s.Stream)))];
        foreach (Want want in hopeless)
        {
            if (_wants.Remove(want.Cid))
            {
                _unasked.Remove(want);
                want.Done(null, default);
                _decideAgain = true;
            }
        }
    }

    private void Came(SourceStream source, Block block)
    {
        if (!source.InFlight.TryGetValue(block.Cid, out ReadOnlyMemory<byte> beginning))
        {
            Fault(source, FaultReason.Protocol, "a block that nobody asked for");
            return;
        }

        BytesReceived += block.Bytes.Length;
        source.BlocksMs = _now;
        if (_wants.TryGetValue(block.Cid, out Want? want) && want.IsPlan)
        {
            source.ProgressMs = _now; // files say nothing of how the log comes
        }

        if (block.Offset == 0 || (source.Coming != block.Cid && block.Offset == beginning.Length))
        {
            if (want is not null && block.Total > want.Most)
            {
                Fault(source, FaultReason.Protocol, "a block that is longer than it can be");
                return;
            }

            // Memory grows with what comes, not with what is claimed.
            (source.Coming, source.BeganAt, source.Filled) = (block.Cid, block.Offset, block.Offset);
            source.Bytes = GC.AllocateUninitializedArray<byte>(Math.Min(block.Total, Math.Max(block.Offset + block.Bytes.Length, 1 << 20)));
            beginning[..block.Offset].CopyTo(source.Bytes);
        }
        else if (source.Coming != block.Cid || source.Filled != block.Offset)
        {
            Fault(source, FaultReason.Protocol, "a piece of a block that does not follow the one before");
            return;
        }

        if (source.Bytes.Length < block.Offset + block.Bytes.Length)
        {
            byte[] more = new byte[Math.Min(block.Total, Math.Max(source.Bytes.Length * 2, block.Offset + block.Bytes.Length))];
            source.Bytes.AsSpan(0, source.Filled).CopyTo(more);
            source.Bytes = more;
        }

        block.Bytes.CopyTo(source.Bytes.AsMemory(source.Filled));
        source.Filled += block.Bytes.Length;
        if (source.Filled < block.Total)
        {
            return;
        }

        ReadOnlyMemory<byte> bytes = source.Bytes.AsMemory(0, source.Filled);
        bool isRest = source.BeganAt > 0;
        (source.Coming, source.Bytes, source.Filled) = (default, [], 0);
        if (!block.Cid.Verify(bytes.Span))
        {
            if (isRest)
            {
                // What is here may be how another history begins: all of the block is asked for, and that tells.
                source.InFlight.Remove(block.Cid);
                if (want is not null && want.Stream == source.Stream)
                {
                    want.Beginning = default;
                    Queue(want);
                }

                return;
            }

            BytesRefused += bytes.Length;
            Fault(source, FaultReason.WrongBytes, "a block has another hash");
            return;
        }

        source.InFlight.Remove(block.Cid);
        BlocksReceived++;
        if (want is not null)
        {
            _wants.Remove(block.Cid);
            if (want.IsQueued)
            {
                _unasked.Remove(want);
            }

            if (want.IsOfFilesOnly)
            {
                _fileBlockBytes += (bytes.Length - _fileBlockBytes) / 8;
            }

            if (want.IsPlan)
            {
                _progressMs = _now;
                if (_phase == Phase.Segments)
                {
                    Pace(source, want);
                }
            }

            want.Done(source, bytes);
        }
    }

    private void NotThere(SourceStream source, Cid cid)
    {
        if (!source.InFlight.Remove(cid))
        {
            Fault(source, FaultReason.Protocol, "it lacks what nobody asked for");
            return;
        }

        source.BlocksMs = _now;
        if (_wants.TryGetValue(cid, out Want? want) && want.Stream == source.Stream)
        {
            source.ProgressMs = want.IsPlan ? _now : source.ProgressMs;
            want.MissingAt.Add(source.Stream);
            Queue(want);
            _mayLack = true;
        }
    }
}
