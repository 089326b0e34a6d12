// Reading a file of any size in bounded memory: of the tree that it is, the nodes on the way to the position are held, and one leaf.
//
// Whoever made the blocks may have lied. Each child is loaded only where its parent promises bytes, and must keep that promise exactly: so every
// load leads to a byte that is read, sizes cannot disagree unseen, and what is said to be empty is never looked at. A block cannot contain its own
// hash, so there are no cycles; how deep a tree may be, and how much of it is held, is bounded.

using System.Buffers;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

/// <summary>The bytes of a file: read, sought, never written. Blocks before the position are not read.</summary>
public sealed class UnixFsStream : Stream
{
    /// <summary>How deep a file's tree may be. 2^63 bytes in leaves of 256 KiB need seven levels of 174 links.</summary>
    public const int MaxDepth = 32;

    /// <summary>How many bytes the blocks on the way to a position may have together.</summary>
    public const int MaxHeldBytes = 32 << 20;

    /// <summary>So many bytes of the file before the position are told to a source that reads ahead.</summary>
    private const int ReadAheadBytes = 4 << 20, MaxReadAhead = 64;

    private readonly IBlockSource _source;
    private readonly IReadAhead? _ahead;
    private readonly List<Frame> _frames = [];
    private readonly PooledBlock _leaf = new();
    private long _position;
    private bool _isDisposed;

    /// <summary>Opens a file.</summary>
    /// <exception cref="UnixFsException">The node is no file.</exception>
    public UnixFsStream(IBlockSource source, UnixFsNode node)
    {
        if (!node.IsFile) throw new UnixFsException(node.Cid, $"it is no file, but a {node.Type}");
        _source = source;
        _ahead = source as IReadAhead;
        Node = node;
        Length = (long)node.FileSize;
        _frames.Add(new Frame(node, 0));
    }

    /// <summary>Opens a file.</summary>
    public UnixFsStream(IBlockSource source, in Cid cid)
        : this(source, UnixFsNode.Load(source, cid))
    {
    }

    /// <summary>The file's root.</summary>
    public UnixFsNode Node { get; }

    /// <inheritdoc/>
    public override long Length { get; }

    /// <inheritdoc/>
    public override bool CanRead => !_isDisposed;

    /// <inheritdoc/>
    public override bool CanSeek => !_isDisposed;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Position
    {
        get => _position;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _position = value;
        }
    }

    /// <summary>
    /// The bytes from the position to where the block ends that holds them, without copying; empty at the file's end. The position moves behind
    /// them. They are there until the next call.
    /// </summary>
    /// <exception cref="BlockMissingException">A block is not there.</exception>
    /// <exception cref="MalformedBlockException">A block is not what its parent promises.</exception>
    public ReadOnlyMemory<byte> ReadBlock(int maxBytes = int.MaxValue)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_position >= Length) return default;
        while (true)
        {
            Frame frame = FrameOfPosition();
            long offset = _position - frame.Start;
            ReadOnlyMemory<byte> own = frame.Node.Data.Data;
            if (offset < own.Length)
            {
                own = own.Slice((int)offset, Math.Min(maxBytes, own.Length - (int)offset));
                _position += own.Length;
                return own;
            }

            Descend(frame, offset);
        }
    }

    /// <summary>
    /// Writes what <see cref="ReadBlock(int)"/> would return, at most so many bytes, and moves the position behind it; 0 at the file's end. A leaf of plain bytes that is
    /// wanted whole goes from the store to the destination without a copy between.
    /// </summary>
    /// <exception cref="BlockMissingException">A block is not there; nothing was written, and the position is where it was.</exception>
    /// <exception cref="MalformedBlockException">A block is not what its parent promises; a part of it may have been written.</exception>
    public int ReadBlock(IBufferWriter<byte> destination, int maxBytes)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        while (_position < Length)
        {
            Frame frame = FrameOfPosition();
            long offset = _position - frame.Start;
            if (offset < frame.Node.Data.Data.Length) break;
            int child = frame.ChildAt(offset, out long start, out ulong promised);
            Cid cid = frame.Node.Links[child].Cid;
            if (cid.Codec == Multicodec.Raw)
            {
                if (start != offset || promised > (ulong)maxBytes) break;
                if (_ahead is not null) TellAhead(frame, child);
                var writer = new PromisedWriter(destination, cid, frame.Node.Cid, (int)promised);
                if (!_source.TryGet(cid, writer)) throw new BlockMissingException(cid);
                writer.Check();
                _position += (int)promised;
                return (int)promised;
            }

            Descend(frame, offset);
        }

        ReadOnlyMemory<byte> block = ReadBlock(maxBytes);
        if (block.IsEmpty) return 0;
        block.Span.CopyTo(destination.GetSpan(block.Length)); // in one piece, however small those are that it would give
        destination.Advance(block.Length);
        return block.Length;
    }

    /// <summary>The next blocks that reading on will need, as far as they can be told without reading.</summary>
    public IEnumerable<Cid> Upcoming(int count)
    {
        if (_position >= Length) yield break;
        Frame frame = FrameOfPosition();
        long offset = _position - frame.Start;
        if (frame.Node.Links.Count == 0) yield break;
        int child = offset < frame.Node.Data.Data.Length ? 0 : frame.ChildAt(offset, out _, out _);
        for (; child < frame.Node.Links.Count && count > 0; child++, count--) yield return frame.Node.Links[child].Cid;
    }

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer)
    {
        int done = 0;
        while (done < buffer.Length && ReadBlock(buffer.Length - done) is { IsEmpty: false } block)
        {
            block.Span.CopyTo(buffer[done..]);
            done += block.Length;
        }

        return done;
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    public override void CopyTo(Stream destination, int bufferSize)
    {
        while (ReadBlock() is { IsEmpty: false } block) destination.Write(block.Span);
    }

    /// <inheritdoc/>
    public override async Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken)
    {
        while (ReadBlock() is { IsEmpty: false } block) await destination.WriteAsync(block, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => Position = origin switch
    {
        SeekOrigin.Begin => offset,
        SeekOrigin.Current => checked(_position + offset),
        _ => checked(Length + offset),
    };

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException("A file of blocks cannot be changed.");

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("A file of blocks cannot be changed.");

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (!_isDisposed) _leaf.Dispose();
        _isDisposed = true;
        base.Dispose(disposing);
    }

    private Frame FrameOfPosition()
    {
        while (!_frames[^1].Covers(_position)) _frames.RemoveAt(_frames.Count - 1);
        return _frames[^1];
    }

    private void Descend(Frame frame, long offset)
    {
        int child = frame.ChildAt(offset, out long start, out ulong promised);
        Cid cid = frame.Node.Links[child].Cid;
        if (_frames.Count == MaxDepth) throw new UnixFsException(Node.Cid, $"the file's tree is more than {MaxDepth} deep");
        if (_ahead is not null) TellAhead(frame, child);
        _leaf.Clear();
        if (!_source.TryGet(cid, _leaf)) throw new BlockMissingException(cid);
        UnixFsNode node = UnixFsNode.Decode(cid, _leaf.Memory);
        if (!node.IsFile) throw new UnixFsException(cid, $"a part of a file is a {node.Type}");
        if (node.FileSize != promised) throw new UnixFsException(cid, $"{node.FileSize} bytes of a file where {frame.Node.Cid} promises {promised}");
        if (node.Links.Count > 0)
        {
            node = node.Detached(); // the buffer is for leaves: the next load overwrites it
            long held = node.BlockBytes;
            foreach (Frame above in _frames) held += above.Node.BlockBytes;
            if (held > MaxHeldBytes) throw new UnixFsException(Node.Cid, $"the way to byte {_position} takes more than {MaxHeldBytes} bytes of nodes");
        }

        _frames.Add(new Frame(node, frame.Start + start));
    }

    private void TellAhead(Frame frame, int child)
    {
        Span<Cid> cids = new Cid[Math.Min(frame.Node.Links.Count - child, MaxReadAhead)];
        ulong bytes = 0;
        int count = 0;
        for (; count < cids.Length; count++)
        {
            bytes += frame.Node.Data.BlockSizes[child + count]; // they add up: the node was checked
            if (count > 0 && bytes > ReadAheadBytes) break;
            cids[count] = frame.Node.Links[child + count].Cid;
        }

        _ahead!.WillRead(cids[..count]);
    }

    /// <summary>Lets no more bytes through than a leaf's parent promises, and counts them.</summary>
    private sealed class PromisedWriter(IBufferWriter<byte> destination, Cid leaf, Cid parent, int promised) : IBufferWriter<byte>
    {
        private int _written;

        public void Advance(int count)
        {
            if (count > promised - _written) throw Refuse("more");
            _written += count;
            destination.Advance(count);
        }

        public Memory<byte> GetMemory(int sizeHint = 0) => destination.GetMemory(Math.Max(sizeHint, promised - _written));

        public Span<byte> GetSpan(int sizeHint = 0) => destination.GetSpan(Math.Max(sizeHint, promised - _written));

        public void Check()
        {
            if (_written < promised) throw Refuse("fewer");
        }

        private UnixFsException Refuse(string how) => new(leaf, $"{how} bytes of a file than the {promised} that {parent} promises");
    }

    /// <summary>A node on the way to the position.</summary>
    private sealed class Frame
    {
        private readonly long[] _starts; // of each link, and the end

        public Frame(UnixFsNode node, long start)
        {
            Node = node;
            Start = start;
            _starts = new long[node.Links.Count + 1];
            _starts[0] = node.Data.Data.Length;
            for (int i = 0; i < node.Links.Count; i++) _starts[i + 1] = _starts[i] + (long)node.Data.BlockSizes[i];
        }

        public UnixFsNode Node { get; }

        public long Start { get; }

        public bool Covers(long position) => position >= Start && position - Start < _starts[^1];

        /// <summary>The link that leads to a byte; never one that is said to be empty.</summary>
        public int ChildAt(long offset, out long start, out ulong length)
        {
            int low = 0, high = Node.Links.Count - 1;
            while (low < high)
            {
                int middle = (low + high) / 2;
                if (_starts[middle + 1] > offset) high = middle;
                else low = middle + 1;
            }

            start = _starts[low];
            length = Node.Data.BlockSizes[low];
            return low;
        }
    }
}
