using System.Buffers;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Leither.TestKit;
using Xunit;

namespace Leither.Replication.Tests;

public sealed class LocalLogTests : IDisposable
{
    private static readonly LeitherId _mid = LeitherId.Of("MiMei"u8);

    private readonly SimulatedDisk _disk = new(1);
    private readonly LogWorker _worker = LogWorker.Manual();
    private readonly WriteLog _written;

    public LocalLogTests() =>
        _written = WriteLog.Open(_disk, new LogOptions { SegmentBytes = 4096, Worker = _worker, Origin = new SegmentOrigin(_mid, new byte[32]) }, 0, null);

    public void Dispose() => _written.Dispose();

    /// <summary>The log is written by another thread than that which reads it: between two questions it may have gone on, or been cut.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_segment_that_begins_while_one_looks_is_not_taken_for_one_that_ended(bool isCutMeanwhile)
    {
        var store = new Store(_written);
        Append("first");
        if (!isCutMeanwhile) _written.Cut();
        var log = new LocalLog(_mid, static _ => new byte[32]);
        Assert.True(log.Open(store));
        store.Meanwhile = () =>
        {
            if (isCutMeanwhile) _written.Cut();
            Append("second");
        };
        Assert.True(log.Extend(store));
        Append("third");
        Assert.True(log.Extend(store));

        var anew = new LocalLog(_mid, static _ => new byte[32]);
        Assert.True(anew.Open(store));
        Assert.Equal((anew.Place, anew.Previous, anew.To), (log.Place, log.Previous, log.To));
        Assert.Equal(anew.Digest(), log.Digest());
        Assert.Equal((2ul, 3ul), (log.Segment.First, log.To));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_segment_that_ended_and_was_written_anew_since_its_sync_failed_is_taken_in_anew(bool goesOn)
    {
        var store = new Store(_written);
        Append("first");
        Assert.True(_written.WaitSynced(1));
        Append("second");
        _written.Cut();
        var log = new LocalLog(_mid, static _ => new byte[32]);
        Assert.True(log.Open(store));
        Assert.Equal((3ul, 2ul), (log.Segment.First, log.To));

        _disk.Fails = static operation => operation == "sync";
        Assert.False(_written.WaitSynced(2));
        _disk.Fails = static _ => false;
        _written.Tick(1);
        _written.Tick(1_000_000);
        _worker.Run();
        Assert.Equal(LogState.Open, _written.Error.State);
        if (goesOn) Append("third");
        Assert.False(log.Extend(store));
        Assert.True(log.Open(store));
        SealedSegment anew = store.Newest!;
        Assert.Equal((1u, 2ul, anew.Cid), (anew.Generation, anew.Node.From, log.Previous));
        Assert.Equal((3ul, goesOn ? 3ul : 2ul), (log.Segment.First, log.To));
    }

    private void Append(string text)
    {
        _written.Begin(_written.LastSequence + 1000);
        _written.Write(Encoding.UTF8.GetBytes(text));
        _written.End();
        _written.Flush();
    }

    /// <summary>A log as a store, to which something happens right after it was asked for its end.</summary>
    private sealed class Store(WriteLog log) : IReplicaStore
    {
        public Action? Meanwhile { get; set; }

        public LogEnd End
        {
            get
            {
                LogEnd end = log.WrittenEnd;
                Action? meanwhile = Meanwhile;
                Meanwhile = null;
                meanwhile?.Invoke();
                return end;
            }
        }

        public IReadOnlyList<LogPlace> Places => log.Places;

        public LogExtent Extent => log.Extent;

        public SealedSegment? Newest => log.Chain?.Newest;

        public IReadOnlyList<ListedVersion> Versions => [];

        public ulong Released => 0;

        public long StateBytes => 0;

        public int ReadSegment(in SegmentStart segment, long offset, Span<byte> to) => log.ReadSegment(segment, offset, to);

        public SealedSegment? Find(ulong sequence) => log.Chain?.Find(sequence);

        public SealedSegment? FindNode(in Cid cid) => log.Chain?.FindNode(cid);

        public void Hashed(in SegmentStart segment, long length, in Cid data) => log.OfferDigest(segment, length, data);

        public bool HasBlock(in Cid cid) => throw new NotSupportedException();

        public bool TryGetBlock(in Cid cid, IBufferWriter<byte> destination) => throw new NotSupportedException();

        public void Append(long operation, in SegmentStart segment, long offset, ReadOnlyMemory<byte> bytes) => throw new NotSupportedException();

        public void Cut(long operation) => throw new NotSupportedException();

        public void GoBack(long operation, in LogPlace place) => throw new NotSupportedException();

        public void Load(long operation, in Cid block, MimeiVersion version, SealedSegment? segment) => throw new NotSupportedException();

        public void Empty(long operation) => throw new NotSupportedException();

        public void Adopt(long operation, in Cid block, ReadOnlyMemory<byte> bytes, MimeiVersion version) => throw new NotSupportedException();

        public void MarkVersion(ulong number, in Position at) => throw new NotSupportedException();

        public void PassVersion(ulong number) => throw new NotSupportedException();

        public void Put(long operation, in Cid cid, ReadOnlyMemory<byte> bytes) => throw new NotSupportedException();

        public void EndPuts() => throw new NotSupportedException();

        public void Promote(long operation, ulong epoch) => throw new NotSupportedException();

        public void Demote(long operation) => throw new NotSupportedException();

        public void Save(long operation, ReplicaFacts facts, bool isUrgent) => throw new NotSupportedException();
    }
}
