// The follower's side: the streams to its sources, and what these say. Several are held at once: blocks are asked of all, the tail of one. What is to be done with
// what they show is decided in Replica.Plan.cs.
//
//   Replica.Heads.cs      heads are held against each other, and against what is here: old ones are noticed, two histories proven
//   Replica.Plan.cs       which source is used, and what for
//   Replica.CatchUp.cs    where its history and what is here part; Replica.GoBack.cs: what the writer took back goes
//   Replica.Segments.cs   what is missing comes as segments; Replica.State.cs: or as the state of a version; from Replica.Blocks.cs, a tree of them by Replica.Walk.cs
//   Replica.Tail.cs       what is written now, as it is written; Replica.Versions.cs: the versions made meanwhile
//   Replica.Writers.cs    who may write, and how a follower comes to write, or a writer to follow

using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.Replication;

public sealed partial class Replica
{
    private const int TickMs = 100;

    private readonly Dictionary<long, SourceStream> _sources = [];

    /// <summary>A source.</summary>
    private sealed class SourceStream(long stream, PeerId peer, long now)
    {
        public long Stream => stream;

        public PeerId Peer => peer;

        public long HeardMs { get; set; } = now;

        public bool IsAsked { get; set; }

        public bool IsOpen { get; set; }

        public bool IsWriter { get; set; }

        public Head? Head { get; set; }

        public ListedVersion[] Versions { get; set; } = [];

        public ulong Floor { get; set; }

        public long LogBytes { get; set; }

        public long StateBytes { get; set; }

        /// <summary>With this head it could not give what was asked for.</summary>
        public Head? Useless { get; set; }

        /// <summary>None of its versions lies in this head's history.</summary>
        public Head? Versionless { get; set; }

        /// <summary>A plan was left whose question for nodes may still be answered, before the next one is.</summary>
        public bool HasOldQuestion { get; set; }

        /// <summary>The blocks that it was asked for, and what of them it was told is here.</summary>
        public Dictionary<Cid, ReadOnlyMemory<byte>> InFlight { get; } = [];

        /// <summary>When it gave anything of what the plan needs.</summary>
        public long ProgressMs { get; set; } = now;

        /// <summary>When it gave anything of the blocks that it was asked for.</summary>
        public long BlocksMs { get; set; } = now;

        /// <summary>When a part of a message came last that was not whole.</summary>
        public long ArrivingMs { get; set; } = long.MinValue / 2;

        /// <summary>In how short a time a segment came at best.</summary>
        public long LeastMs { get; set; } = long.MaxValue;

        // The block that is coming in pieces.
        public Cid Coming { get; set; }

        public byte[] Bytes { get; set; } = [];

        /// <summary>Where its first piece began: before it lies what is here.</summary>
        public int BeganAt { get; set; }

        public int Filled { get; set; }

        public ulong ToldTerm { get; set; }

        public bool IsOldCounted { get; set; }

        public long CheckedMs { get; set; } = long.MinValue / 2;

        public long AcknowledgedMs { get; set; }

        /// <summary>What it was told last is here.</summary>
        public Ack Acknowledged { get; set; } = new(0, 0, 0);
    }

    private static SourceProgress Picture(SourceStream source, bool isFollowed) =>
        new(source.Stream, source.Peer, source.Head?.Position ?? default, source.IsWriter, isFollowed, null, source.HeardMs);

    private SourceProgress Picture(SourceStream source) => Picture(source, source == _active);

    // ------------------------------------------------------------------ streams

    private void SourceConnected(long stream, PeerId peer)
    {
        if (_peers.IsRefused(peer, _now))
        {
            _port.Close(stream);
            return;
        }

        if (_sources.Count >= _options.MaxSources)
        {
            // A new one takes the place of one that is of no use: a circle of followers that only know each other would never hear of the writer.
            if (_sources.Values.Where(s => s != _active && !s.IsWriter && s.InFlight.Count == 0).MinBy(static s => (s.IsOpen, s.Head?.To ?? 0, s.Stream)) is not { } least)
            {
                _port.Close(stream);
                return;
            }

            Leave(least, ByeCode.Closing, "another source takes the place");
        }

        _sources.Add(stream, new SourceStream(stream, peer, _now));
        var chain = new List<Cid>();
        for (Cid cid = _log.Previous; !cid.IsNone && chain.Count < LogProtocol.MaxChain && _log.FindNode(_store, cid) is { } segment; cid = segment.Node.Previous)
        {
            chain.Add(cid);
        }

        _port.Send(stream, new Hello(
            LogProtocol.Format, _mid, new Position(_log.Segment.Epoch, _log.To), _log.Length == 0 ? null : _log.Place, chain, Follows, _writers.Term, _port.ProofFor(peer)));
    }

    private void Drop(SourceStream source)
    {
        _sources.Remove(source.Stream);
        AskElsewhere(source);
        if (_active == source)
        {
            LeavePlan();
        }
    }

    /// <summary>A source did what it must not, or failed.</summary>
    private void Fault(SourceStream source, FaultReason reason, string text)
    {
        if (!_sources.ContainsKey(source.Stream))
        {
            return;
        }

        long until = _peers.Add(source.Peer, reason, _now);
        Drop(source);
        _port.Send(source.Stream, new Bye(reason == FaultReason.Stalled ? ByeCode.Stalled : ByeCode.Fault, text));
        _port.Close(source.Stream);
        _port.Report(new PeerRefused(source.Peer, reason, text, until));
        Save(isUrgent: false);
    }

    private void Leave(SourceStream source, ByeCode code, string text)
    {
        Drop(source);
        _port.Send(source.Stream, new Bye(code, text));
        _port.Close(source.Stream);
    }

    private void FromSource(SourceStream source, Message message)
    {
        if (!source.IsOpen)
        {
            switch (message)
            {
                case Welcome welcome:
                    Welcomed(source, welcome);
                    break;
                case Refused refused:
                    State = refused.Text;
                    _peers.Add(source.Peer, FaultReason.Withheld, _now);
                    Drop(source);
                    _port.Close(source.Stream);
                    break;
                case Bye:
                    Drop(source);
                    _port.Close(source.Stream);
                    break;
                default:
                    Fault(source, FaultReason.Protocol, "the first message is no answer to a greeting");
                    break;
            }

            return;
        }

        switch (message)
        {
            case Tail tail:
                Tailed(source, tail);
                break;
            case HeadTold told:
                Told(source, told.Signed, isGreeting: false);
                break;
            case Block block:
                Came(source, block);
                break;
            case Missing missing:
                foreach (Cid cid in missing.Cids)
                {
                    NotThere(source, cid);
                }

                break;
            case Nodes nodes:
                Chained(source, nodes);
                break;
            case Mark mark:
                Marked(mark.Number, mark.Position);
                if (Follows && source == _active)
                {
                    _begun = mark; // who follows here is told, too: it cannot always be made later
                    ServeAll();
                }

                break;
            case VersionTold told:
                VersionTold(source, told);
                break;
            case CertificateTold told:
                TakeCertificate(told.Signed, source, out string? problem);
                if (problem is not null)
                {
                    Fault(source, FaultReason.Forged, problem);
                }

                break;
            case TailEnds ends:
                TailEnded(source, ends);
                break;
            case UndoneTold:
                source.Useless = source.Head;
                if (_active == source)
                {
                    LeavePlan();
                }

                break;
            case ProofTold proof when Proof is null:
                Ask(proof.Cid, Equivocation.MaxBytes, Purpose.Other, (from, bytes) =>
                {
                    if (from is not null && Proof is null)
                    {
                        try
                        {
                            Proved(Equivocation.Decode(bytes.Span, _mid, _writers.Author));
                        }
                        catch (MalformedBlockException e)
                        {
                            Fault(from, FaultReason.Forged, e.Message);
                        }
                    }
                });
                break;
            case ProofTold:
                break;
            case Beat beat:
                if (!beat.IsAnswer)
                {
                    _port.Send(source.Stream, new Beat(true));
                }

                break;
            case Bye:
                Drop(source);
                _port.Close(source.Stream);
                break;
            default:
                Fault(source, FaultReason.Protocol, $"{message.GetType().Name} is nothing that a source says at this point");
                break;
        }
    }

    private void Welcomed(SourceStream source, Welcome welcome)
    {
        if (!welcome.Info.Span.SequenceEqual(_info.Span))
        {
            Fault(source, FaultReason.Forged, "the MiMei's info has another hash");
            return;
        }

        foreach (ReadOnlyMemory<byte> certificate in welcome.Certificates)
        {
            TakeCertificate(certificate, source, out string? problem);
            if (problem is not null)
            {
                Fault(source, FaultReason.Forged, problem);
                return;
            }
        }

        source.IsOpen = true;
        (source.Versions, source.Floor, source.LogBytes, source.StateBytes, source.IsWriter) = ([.. welcome.Versions], welcome.Floor, welcome.LogBytes, welcome.StateBytes, welcome.IsWriter && (Certificate is null || Certificate.Node == source.Peer));
        if (welcome.Certificates.Count < LogProtocol.MaxCertificates && _writers.Newest is { } newest
            && !welcome.Certificates.Any(c => c.Span.SequenceEqual(newest.Block.Span)))
        {
            _port.Send(source.Stream, new CertificateTold(newest.Block));
        }

        if (!welcome.Head.IsEmpty)
        {
            Told(source, welcome.Head, isGreeting: true);
        }

        if (source.Versions is [.., var version])
        {
            Marked(version.Number, version.Position);
            ForgetUselessVersions();
        }

        Acknowledge(true);
    }

    private bool Follows => Mode != ReplicaMode.Writer && _options.Follows && _takeover is null;

    // ------------------------------------------------------------------ acknowledging

    private void Acknowledge(bool isDue)
    {
        if (Mode == ReplicaMode.Writer || _isStopped)
        {
            return;
        }

        LogEnd end = _store.End;
        var ack = new Ack(end.Segment.Epoch, end.WrittenSequence, Math.Min(end.SyncedSequence, end.WrittenSequence));
        foreach (SourceStream source in _sources.Values)
        {
            bool isTime = source == _active || source.IsWriter || _now - source.AcknowledgedMs >= IdleHeadMs;
            if (source.IsOpen && isTime && (isDue || ack != source.Acknowledged))
            {
                (source.AcknowledgedMs, source.Acknowledged) = (_now, ack);
                _port.Send(source.Stream, ack);
            }
        }
    }

    // ------------------------------------------------------------------ time

    /// <summary>Whether a source that owes something has given nothing of it for too long; while messages come, over a slow way, it may take longer.</summary>
    private bool IsStalled(SourceStream source, long progressMs) => _now - progressMs > (_now - source.ArrivingMs > _options.StallMs ? _options.StallMs : _options.MessageMs);

    private void TickSources()
    {
        foreach (SourceStream source in _sources.Values.ToArray())
        {
            long silent = _now - source.HeardMs;
            if (!source.IsOpen)
            {
                if (IsStalled(source, source.ProgressMs))
                {
                    Fault(source, FaultReason.Stalled, "no answer to a greeting");
                }

                continue;
            }

            if (silent > 2 * _options.SilenceMs)
            {
                Fault(source, FaultReason.Stalled, "nothing was heard");
                continue;
            }

            if (silent > _options.SilenceMs && !source.IsAsked)
            {
                source.IsAsked = true;
                _port.Send(source.Stream, new Beat(false));
            }

            if (source.InFlight.Count > 0 && IsStalled(source, source.BlocksMs))
            {
                Fault(source, FaultReason.Stalled, "blocks that were asked for did not come");
                continue;
            }

            bool owes = source == _active && (_phase is Phase.Nodes or Phase.Audit
                || (_phase == Phase.Riding && source.Head is { } head && !IsForked(head) && IsOfTerm(head) && head.Place != _log.Place && Head.Compare(head.Place, _log.Place) > 0));
            if (owes && IsStalled(source, source.ProgressMs) && _now >= _retryAt && !_isExclusive && _appends == 0)
            {
                Fault(source, FaultReason.Stalled, "it does not give what its head covers");
            }
        }

        // Another shows more, and the one that is followed does not come nearer.
        if (_phase == Phase.Riding && _appends == 0 && _active is { } active && Best() is { Head: { } best } better && better != active && best.CompareTo(active.Head) > 0
            && Head.Compare(best.Place, _log.Place) > 0)
        {
            long patience = Math.Max(_patienceMs, Math.Min(_options.StallMs, MinPatienceMs));
            if (_now - _progressMs > patience)
            {
                _patienceMs = Math.Min(2 * patience, MaxPatienceMs);
                LeavePlan();
            }
        }
        else if (_phase == Phase.Riding && (_active?.Head is null || Best()?.Head is not { } other || other.CompareTo(_active.Head) <= 0))
        {
            _progressMs = _now;
        }

        Acknowledge(false);
    }
}
