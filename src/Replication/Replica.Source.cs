// The source's side: who follows is answered, and given what it asks for as fast as its stream takes it. Nothing is queued for a follower but the names of
// blocks that it wants: bytes of the log are read from its files where the follower is, so a slow one costs no more than a fast one.

using System.Buffers;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;

namespace Leither.Replication;

public sealed partial class Replica
{
    private const string NotFoundText = "there is no such MiMei here";

    // How often a follower that rides another source's tail is told of a new head.
    private const int IdleHeadMs = 250;

    // It follows, reads blocks, and may have been cut off without our knowing.
    private const int MaxStreamsOfPeer = 4;

    private readonly Dictionary<long, FollowerStream> _followers = [];
    private readonly byte[] _piece = new byte[LogProtocol.MaxPieceBytes];
    private long _headDueMs = long.MaxValue, _signedMs = long.MinValue / 2;
    private LogPlace _signedEnd;
    private Mark? _begun;

    /// <summary>A follower.</summary>
    private sealed class FollowerStream(long stream, PeerId peer, long now)
    {
        public long Stream => stream;

        public PeerId Peer => peer;

        public long HeardMs { get; set; } = now;

        /// <summary>Whether it was asked if it lives, and has not answered.</summary>
        public bool IsAsked { get; set; }

        public bool IsWelcome { get; set; }

        /// <summary>Whether it means to stay; who only asks, or reads some blocks, is no follower.</summary>
        public bool Stays { get; set; }

        public ReadOnlyMemory<byte> Proof { get; set; }

        // Where it is: bytes of a segment; or, with no bytes, where the next segment begins.
        public bool Follows { get; set; }

        /// <summary>Which of its questions for the tail is answered.</summary>
        public uint Turn { get; set; }

        public SegmentStart Segment { get; set; }

        public long Length { get; set; }

        public Head? SentHead { get; set; }

        /// <summary>The head that it is being brought to, and which opening of the log has it.</summary>
        public (Head Head, int Opening)? Goal { get; set; }

        public long SentHeadMs { get; set; }

        /// <summary>The versions that it was told of.</summary>
        public IReadOnlyList<ListedVersion> SentVersions { get; set; } = [];

        /// <summary>The list whose versions it is being told of, as far as this number.</summary>
        public (IReadOnlyList<ListedVersion> Versions, ulong Number)? Telling { get; set; }

        public Mark? SentMark { get; set; }

        /// <summary>The terms whose writers it was told of.</summary>
        public HashSet<uint> SentTerms { get; } = [];

        /// <summary>The certificates among which it knows all.</summary>
        public IReadOnlyList<WriterCertificate>? SentCertificates { get; set; }

        public bool IsProofSent { get; set; }

        /// <summary>The blocks that it wants, and where in them to begin.</summary>
        public Queue<(Cid Cid, int From)> Wants { get; } = [];

        // The block that is being sent.
        public Cid Sending { get; set; }

        public byte[]? Bytes { get; set; }

        public int SentBytes { get; set; }

        public GetNodes? Nodes { get; set; }

        public Ack Ack { get; set; } = new(0, 0, 0);

        public bool IsOnline { get; set; }
    }

    private void FollowerConnected(long stream, PeerId peer)
    {
        // One peer does not take the room of all: of its streams the oldest goes.
        FollowerStream[] same = [.. _followers.Values.Where(f => f.Peer == peer)];
        if (same.Length >= MaxStreamsOfPeer)
        {
            SendAway(same.MinBy(static f => f.Stream)!, ByeCode.Busy, "another stream takes the place");
        }
        else if (_followers.Count >= _options.MaxFollowers)
        {
            _port.Send(stream, new Refused(ByeCode.Busy, "too many follow"));
            _port.Close(stream);
            return;
        }

        _followers.Add(stream, new FollowerStream(stream, peer, _now));
    }

    private void FromFollower(FollowerStream follower, Message message)
    {
        follower.IsAsked = false;
        if (!follower.IsWelcome)
        {
            if (message is Hello hello)
            {
                Welcome(follower, hello);
            }
            else
            {
                SendAway(follower, ByeCode.Fault, "the first message is no greeting");
            }

            return;
        }

        switch (message)
        {
            case Follow follow:
                follower.Turn = follow.Turn;
                Place(follower, follow.Place);
                break;
            case Get get when follower.Wants.Count + get.Cids.Count <= LogProtocol.MaxOpenWants:
                foreach (Cid cid in get.Cids)
                {
                    follower.Wants.Enqueue((cid, 0));
                }

                break;
            case GetRest rest when follower.Wants.Count < LogProtocol.MaxOpenWants:
                follower.Wants.Enqueue((rest.Cid, rest.From));
                break;
            case GetNodes nodes:
                follower.Nodes = nodes; // a second question takes the place of the first
                break;
            case Ack ack:
                // None has more than there is.
                ulong last = _store.End.WrittenSequence;
                follower.Ack = ack with { Written = Math.Min(ack.Written, last), Synced = Math.Min(ack.Synced, last) };
                TellProgress();
                return;
            case CertificateTold told:
                TakeCertificate(told.Signed, null, out string? problem);
                if (problem is not null)
                {
                    SendAway(follower, ByeCode.Fault, problem);
                    return;
                }

                Decide();
                return;
            case Beat { IsAnswer: false }:
                _port.Send(follower.Stream, new Beat(true));
                return;
            case Beat:
                return;
            case Bye:
                _followers.Remove(follower.Stream);
                _port.Close(follower.Stream);
                TellProgress();
                return;
            default:
                SendAway(follower, ByeCode.Fault, $"{message.GetType().Name} is nothing that a follower says at this point");
                return;
        }

        Serve(follower);
    }

    private void Welcome(FollowerStream follower, Hello hello)
    {
        if (hello.Format != LogProtocol.Format)
        {
            Refuse(follower, ByeCode.Format, $"only format {LogProtocol.Format} is known");
            return;
        }

        if (hello.Mid != _mid || !_port.MayRead(follower.Peer, hello.Proof.Span))
        {
            Refuse(follower, ByeCode.NotFound, NotFoundText);
            return;
        }

        follower.IsWelcome = true;
        follower.Stays = hello.Follow;
        follower.Proof = hello.Proof.ToArray();
        if (Mode == ReplicaMode.Writer)
        {
            SignHead();
        }

        IReadOnlyList<LogPlace> places = _store.Places;
        IReadOnlyList<ListedVersion> versions = _store.Versions;
        long bytes = 0;
        for (int i = places.Count - 1; i >= 0 && places[i].Segment.First > hello.Have.Sequence; i--)
        {
            bytes += places[i].Length;
        }

        ulong floor = places.Count == 0 ? _store.End.WrittenSequence + 1 : places[0].Segment.First + (places[0].Segment.Offset == 0 ? 0ul : 1);
        follower.SentHead = Head;
        follower.SentHeadMs = _now;
        follower.SentVersions = versions;
        follower.SentCertificates = _writers.Certificates;
        follower.SentTerms.UnionWith(follower.SentCertificates.Select(static c => c.Term));
        _port.Send(follower.Stream, new Welcome(
            _info, _writers.Blocks, Head?.Block ?? default, [.. versions.Skip(versions.Count - LogProtocol.MaxVersions)], _store.Released, floor, bytes, _store.StateBytes,
            Mode == ReplicaMode.Writer, _port.MayRead(default, default)));
        TellProgress();
        Serve(follower);
    }

    private void Refuse(FollowerStream follower, ByeCode code, string text)
    {
        _followers.Remove(follower.Stream);
        _port.Send(follower.Stream, new Refused(code, text));
        _port.Close(follower.Stream);
        TellProgress();
    }

    private void SendAway(FollowerStream follower, ByeCode code, string text)
    {
        _followers.Remove(follower.Stream);
        _port.Send(follower.Stream, new Bye(code, text));
        _port.Close(follower.Stream);
        TellProgress();
    }

    /// <summary>A follower asks for all from a place on.</summary>
    private void Place(FollowerStream follower, LogPlace place)
    {
        follower.Segment = place.Segment;
        follower.Length = place.Length;
        follower.Follows = true;
        follower.IsOnline = false;
        follower.SentHead = null; // what covers the place is told, once the bytes are there
        follower.Goal = null;
        IReadOnlyList<LogPlace> places = _store.Places;
        if (place.Length == 0)
        {
            // The next segment: it is here, or will be, or the log does not reach back so far.
            bool isAhead = place.Segment.First == _log.To + 1 && place.Segment.Offset == 0;
            if (!isAhead && !places.Any(p => p.Segment.First == place.Segment.First && p.Segment.Offset == place.Segment.Offset))
            {
                NotHere(follower, places);
            }

            return;
        }

        int at = IndexOf(places, place.Segment);
        if (at < 0 || places[at].Length < place.Length)
        {
            NotHere(follower, places);
        }
    }

    private void NotHere(FollowerStream follower, IReadOnlyList<LogPlace> places)
    {
        follower.Follows = false;
        bool isBehind = places.Count == 0 || follower.Segment.First < places[0].Segment.First;
        if (isBehind)
        {
            SendAway(follower, ByeCode.Behind, "the log is not here any more from that place");
        }
        else
        {
            // Taken back, or not here yet: the head tells how the log goes on, and the follower asks anew.
            _port.Send(follower.Stream, new UndoneTold(new Position(_log.Segment.Epoch, _log.To), 0));
            follower.SentHead = null;
            follower.SentHeadMs = _now - IdleHeadMs;
        }
    }

    private void ServeAll()
    {
        foreach (FollowerStream follower in _followers.Values.ToArray())
        {
            Serve(follower);
        }
    }

    /// <summary>Sends what is due, as long as the stream takes it.</summary>
    private void Serve(FollowerStream follower)
    {
        if (!follower.IsWelcome)
        {
            return;
        }

        while (_followers.ContainsKey(follower.Stream) && _port.Room(follower.Stream) > 0 && ServeOne(follower))
        {
        }
    }

    /// <summary>Sends one message; false: nothing is due.</summary>
    private bool ServeOne(FollowerStream follower)
    {
        if (follower.SentCertificates != _writers.Certificates && SendCertificate(follower))
        {
            return true;
        }

        if (Proof is { } proof && !follower.IsProofSent)
        {
            follower.IsProofSent = true;
            _port.Send(follower.Stream, new ProofTold(proof.Cid));
            return true;
        }

        if (follower.Nodes is { } nodes)
        {
            follower.Nodes = null;
            SendNodes(follower, nodes);
            return true;
        }

        return ServeTail(follower) || ServeVersions(follower) || ServeBlock(follower);
    }

    /// <summary>Tells of a writer that the follower was not told of; false: it knows all. They come in any order, and each is needed: versions of its term may follow.</summary>
    private bool SendCertificate(FollowerStream follower)
    {
        IReadOnlyList<WriterCertificate> all = _writers.Certificates;
        foreach (WriterCertificate certificate in all)
        {
            if (follower.SentTerms.Add(certificate.Term))
            {
                _port.Send(follower.Stream, new CertificateTold(certificate.Block));
                return true;
            }
        }

        follower.SentCertificates = all;
        return false;
    }

    private bool ServeTail(FollowerStream follower)
    {
        if (!follower.Follows)
        {
            if (Head is { } head && (follower.SentHead is null || head.CompareTo(follower.SentHead) > 0) && _now - follower.SentHeadMs >= IdleHeadMs)
            {
                SendHead(follower, head);
                return true;
            }

            return false;
        }

        // A version begins where the follower is now: it is told before what follows.
        if (_begun is { } mark && follower.SentMark != mark && IsAt(follower, mark.Position.Sequence))
        {
            follower.SentMark = mark;
            _port.Send(follower.Stream, mark);
            return true;
        }

        // Who is in the running segment, as most are at most times, needs no list of all segments.
        LogEnd end = _store.End;
        bool isRunning = follower.Length > 0 && end.Segment == follower.Segment && end.Length >= follower.Length;
        IReadOnlyList<LogPlace> places = isRunning ? [] : _store.Places;
        int at = -1;
        if (follower.Length == 0)
        {
            SegmentStart start = follower.Segment;
            at = places.Count - 1;
            while (at >= 0 && (places[at].Segment.First != start.First || places[at].Segment.Offset != start.Offset))
            {
                at--;
            }

            if (at >= 0)
            {
                follower.Segment = places[at].Segment;
            }
        }
        else if (!isRunning)
        {
            at = IndexOf(places, follower.Segment);
            if (at < 0 || places[at].Length < follower.Length)
            {
                NotHere(follower, places);
                return false;
            }
        }

        if (!HasGoal(follower, out Head? goal))
        {
            (follower.Follows, follower.SentHead, follower.SentHeadMs) = (false, Head, _now);
            _port.Send(follower.Stream, new TailEnds(follower.Turn, Head!.Block));
            return true;
        }

        if (isRunning || at >= 0)
        {
            long length = isRunning ? end.Length : places[at].Length;
            long covered = goal is null ? 0 : Covered(goal, follower.Segment, length);
            int read = covered <= follower.Length ? 0 : _store.ReadSegment(follower.Segment, follower.Length, _piece.AsSpan(0, (int)Math.Min(_piece.Length, covered - follower.Length)));
            if (read < 0)
            {
                NotHere(follower, _store.Places);
                return false;
            }

            if (read > 0)
            {
                _port.Send(follower.Stream, new Tail(follower.Turn, follower.Segment, follower.Length, _piece.AsMemory(0, read)));
                BytesSent += read;
                follower.Length += read;
                return true;
            }

            if (!isRunning && follower.Length >= length && at + 1 < places.Count)
            {
                follower.Segment = places[at + 1].Segment;
                follower.Length = 0;
                return true;
            }
        }

        if (goal is not null)
        {
            follower.Goal = null;
            SendHead(follower, goal);
            if (!follower.IsOnline)
            {
                follower.IsOnline = true;
                TellProgress();
            }

            return true;
        }

        return false;
    }

    /// <summary>
    /// The head that a follower is brought to, with no bytes that it does not cover: the newest when it was told the one before, so that it gets one in time however fast the
    /// log grows. Null: it was told the newest. False: that lies too far on.
    /// </summary>
    private bool HasGoal(FollowerStream follower, out Head? goal)
    {
        if (follower.Goal is { } known && known.Opening == _log.Openings)
        {
            goal = known.Head;
            return true;
        }

        follower.Goal = null;
        goal = Head;
        if (goal is null || (follower.SentHead is { } sent && goal.CompareTo(sent) <= 0))
        {
            goal = null;
            return true;
        }

        if (BytesTo(follower, goal) > _options.MaxTailBytes)
        {
            return false;
        }

        follower.Goal = (goal, _log.Openings);
        return true;
    }

    /// <summary>How many bytes a head covers that a follower was not sent.</summary>
    private long BytesTo(FollowerStream follower, Head head)
    {
        long bytes = -follower.Length;
        if (head.Segment == follower.Segment)
        {
            return bytes + head.Length;
        }

        foreach (LogPlace place in _store.Places)
        {
            if ((place.Segment.First, place.Segment.Offset).CompareTo((follower.Segment.First, follower.Segment.Offset)) >= 0)
            {
                bytes += Covered(head, place.Segment, place.Length);
            }
        }

        return bytes;
    }

    /// <summary>How much a head covers of a segment that has so many bytes here.</summary>
    private static long Covered(Head head, in SegmentStart segment, long length)
    {
        int order = Head.Compare(new LogPlace(segment, 0), new LogPlace(head.Segment, 0));
        return order < 0 ? length : order > 0 ? 0 : Math.Min(length, head.Length);
    }

    /// <summary>Whether a follower has been sent everything up to an entry and nothing of the next.</summary>
    private bool IsAt(FollowerStream follower, ulong sequence) => follower.Length == 0
        ? follower.Segment.First == sequence + 1 && follower.Segment.Offset == 0
        : _log.Place == new LogPlace(follower.Segment, follower.Length) ? _log.To == sequence
        : _log.FindStart(_store, follower.Segment.First, follower.Segment.Offset) is { } segment && segment.Length == follower.Length && segment.Node.To == sequence;

    private void SendHead(FollowerStream follower, Head head)
    {
        follower.SentHead = head;
        follower.SentHeadMs = _now;
        _port.Send(follower.Stream, new HeadTold(head.Block));
    }

    /// <summary>Tells of a version that is listed since; it need not be the newest, where those between came late here.</summary>
    private bool ServeVersions(FollowerStream follower)
    {
        IReadOnlyList<ListedVersion> versions = _store.Versions;
        if (ReferenceEquals(versions, follower.SentVersions))
        {
            return false;
        }

        ulong above = follower.Telling is { } telling && ReferenceEquals(telling.Versions, versions) ? telling.Number : 0;
        for (int i = Math.Max(0, versions.Count - LogProtocol.MaxVersions); i < versions.Count; i++)
        {
            ListedVersion version = versions[i];
            if (version.Number <= above || Contains(follower.SentVersions, version))
            {
                continue;
            }

            follower.Telling = (versions, version.Number);
            var block = new ArrayBufferWriter<byte>();
            if (_store.TryGetBlock(version.Block, block))
            {
                _port.Send(follower.Stream, new VersionTold(version.Number, version.Block, block.WrittenMemory));
            }

            return true;
        }

        (follower.SentVersions, follower.Telling) = (versions, null);
        return false;
    }

    private static bool Contains(IReadOnlyList<ListedVersion> versions, ListedVersion version)
    {
        for (int i = versions.Count - 1; i >= 0 && versions[i].Number >= version.Number; i--)
        {
            if (versions[i] == version)
            {
                return true;
            }
        }

        return false;
    }

    private bool ServeBlock(FollowerStream follower)
    {
        if (follower.Bytes is null)
        {
            if (!follower.Wants.TryDequeue(out (Cid Cid, int From) want))
            {
                return false;
            }

            Cid cid = want.Cid;
            var block = new ArrayBufferWriter<byte>();
            bool isHere = Proof is { } proof && proof.Cid == cid;
            if (isHere)
            {
                block.Write(Proof!.Encode());
            }

            if ((!isHere && !TryGetBlock(cid, block)) || block.WrittenCount is 0 or > LogProtocol.MaxBlockBytes)
            {
                _port.Send(follower.Stream, new Missing([cid]));
                return true;
            }

            (follower.Sending, follower.Bytes, follower.SentBytes) = (cid, block.WrittenSpan.ToArray(), want.From < block.WrittenCount ? want.From : 0);
        }

        int length = Math.Min(LogProtocol.MaxPieceBytes, follower.Bytes.Length - follower.SentBytes);
        _port.Send(follower.Stream, new Block(follower.Sending, follower.Bytes.Length, follower.SentBytes, follower.Bytes.AsMemory(follower.SentBytes, length)));
        BytesSent += length;
        follower.SentBytes += length;
        if (follower.SentBytes == follower.Bytes.Length)
        {
            follower.Bytes = null;
        }

        return true;
    }

    /// <summary>Blocks of segments that the store has not sealed yet are here too.</summary>
    private bool TryGetBlock(in Cid cid, ArrayBufferWriter<byte> to)
    {
        if (_store.TryGetBlock(cid, to))
        {
            return true;
        }

        for (int i = _log.Recent.Count - 1; i >= 0; i--)
        {
            SealedSegment segment = _log.Recent[i];
            if (segment.Cid == cid)
            {
                to.Write(segment.Node.Encode());
                return true;
            }

            if (segment.Node.Data == cid)
            {
                byte[]? bytes = ReadWhole(StartOf(segment), segment.Length);
                to.Write(bytes);
                return bytes is not null && cid.Verify(bytes);
            }
        }

        return false;
    }

    private byte[]? ReadWhole(in SegmentStart start, long length)
    {
        byte[] bytes = new byte[length];
        int filled = 0;
        while (filled < bytes.Length)
        {
            int read = _store.ReadSegment(start, filled, bytes.AsSpan(filled));
            if (read <= 0)
            {
                return null;
            }

            filled += read;
        }

        return bytes;
    }

    private static SegmentStart StartOf(SealedSegment segment) => new(segment.Node.Epoch, segment.Generation, segment.Node.From, segment.Node.Offset);

    private void SendNodes(FollowerStream follower, GetNodes asked)
    {
        var blocks = new List<ReadOnlyMemory<byte>>();
        Cid next = asked.Newest;
        while (blocks.Count < Math.Min(asked.Max, LogProtocol.MaxNodes) && !next.IsNone && _log.FindNode(_store, next) is { } segment)
        {
            if (blocks.Count > 0 && segment.Node.To <= asked.Until)
            {
                break;
            }

            blocks.Add(segment.Node.Encode());
            next = segment.Node.Previous;
        }

        _port.Send(follower.Stream, new Nodes(blocks));
    }

    /// <summary>Signs how far the log is, if it is further than when that was last done.</summary>
    private void SignHead()
    {
        _headDueMs = long.MaxValue;
        if (Mode != ReplicaMode.Writer || _key is null)
        {
            return;
        }

        if (!_log.Extend(_store) && !_log.Open(_store))
        {
            // What is not durable cannot be read after a failed sync until it is written again: of that nothing is signed.
            _headDueMs = _now + TickMs;
            return;
        }

        LogEnd end = _store.End;
        LocalLog log = _log;
        if (log.Segment.Epoch < _writeEpoch)
        {
            // Nothing was written in the new epoch yet: that it has begun, and behind which entry, is to be known all the same.
            log = log.Fork();
            log.Cut(log.To);
            log.Begin(new SegmentStart(_writeEpoch, 0, log.To + 1, 0));
        }

        if (log.Segment.Epoch == 0 || (Head is { } last && last.Place == log.Place && last.Previous == log.Previous && (last.Synced == end.SyncedSequence || _now - _signedMs < 1000)))
        {
            return;
        }

        if (log.Segment.Epoch > _durableEpoch)
        {
            if (_savingEpoch < log.Segment.Epoch)
            {
                _savingEpoch = log.Segment.Epoch;
                Save(isUrgent: true);
            }

            return;
        }

        _signedMs = _now;
        _signedEnd = log.Place;
        Seen = Head = new Head
        {
            Mid = _mid,
            Writer = _key.PublicKey.Bytes.ToArray(),
            Segment = log.Segment,
            Length = log.Length,
            Digest = log.Digest(),
            Previous = log.Previous,
            To = log.To,
            Time = end.LastTime,
            Synced = Math.Min(end.SyncedSequence, log.To),
        }.Sign(_key);
    }

    private void TickFollowers()
    {
        foreach (FollowerStream follower in _followers.Values.ToArray())
        {
            long silent = _now - follower.HeardMs;
            if (silent > 2 * _options.SilenceMs)
            {
                SendAway(follower, ByeCode.Stalled, "nothing was heard");
            }
            else if (silent > _options.SilenceMs && !follower.IsAsked && follower.IsWelcome)
            {
                follower.IsAsked = true;
                _port.Send(follower.Stream, new Beat(false));
            }
            else
            {
                Serve(follower);
            }
        }
    }

    private void TellProgress() =>
        Followers = [.. _followers.Values.Where(static f => f.IsWelcome && (f.Stays || f.Follows)).Select(static f => new FollowerProgress(f.Stream, f.Peer, f.Ack.Epoch, f.Ack.Written, f.Ack.Synced, f.IsOnline, f.HeardMs))];

    private static int IndexOf(IReadOnlyList<LogPlace> places, in SegmentStart start)
    {
        for (int i = places.Count - 1; i >= 0; i--)
        {
            if (places[i].Segment == start)
            {
                return i;
            }
        }

        return -1;
    }
}
