using System.Buffers;
using System.IO.Pipelines;

namespace Leither.Node.Http;

/// <summary>A connection's pipe whose input starts with bytes that were read before.</summary>
internal sealed class ReplayedPipe(byte[] first, IDuplexPipe rest) : IDuplexPipe
{
    public PipeReader Input { get; } = new ReplayedReader(first, rest.Input);

    public PipeWriter Output => rest.Output;

    /// <summary>The bytes, and what follows them; once they were taken the connection's own reader does it alone.</summary>
    private sealed class ReplayedReader(byte[] first, PipeReader rest) : PipeReader
    {
        // Not to be closed with the reader: the connection's own goes on.
        private readonly PipeReader _replay = Create(new ReplayedStream(first, rest.AsStream(leaveOpen: true)), new StreamPipeReaderOptions(leaveOpen: true));
        private ReadOnlySequence<byte> _read;
        private long _left = first.Length;
        private bool _isOver;

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
            _isOver ? rest.ReadAsync(cancellationToken) : ReadReplayAsync(cancellationToken);

        public override bool TryRead(out ReadResult result)
        {
            if (_isOver) return rest.TryRead(out result);
            bool any = _replay.TryRead(out result);
            if (any) _read = result.Buffer;
            return any;
        }

        public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
        {
            if (_isOver)
            {
                rest.AdvanceTo(consumed, examined);
                return;
            }

            long unread = _read.Slice(consumed).Length;
            _left -= _read.Length - unread;
            _read = default;
            _replay.AdvanceTo(consumed, examined);
            if (_left > 0 || unread > 0) return;
            _isOver = true;
            _replay.Complete();
        }

        public override void CancelPendingRead()
        {
            if (_isOver) rest.CancelPendingRead();
            else _replay.CancelPendingRead();
        }

        public override void Complete(Exception? exception = null)
        {
            if (!_isOver) _replay.Complete(exception);
            rest.Complete(exception);
        }

        private async ValueTask<ReadResult> ReadReplayAsync(CancellationToken cancellationToken)
        {
            ReadResult result = await _replay.ReadAsync(cancellationToken);
            _read = result.Buffer;
            return result;
        }
    }

    /// <summary>The bytes, then the stream.</summary>
    private sealed class ReplayedStream(ReadOnlyMemory<byte> first, Stream rest) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (first.IsEmpty || buffer.IsEmpty)
            {
                return rest.ReadAsync(buffer, cancellationToken);
            }

            return ValueTask.FromResult(TakeFirst(buffer.Span));
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) =>
            first.IsEmpty ? rest.Read(buffer, offset, count) : TakeFirst(buffer.AsSpan(offset, count));

        public override void Flush() => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                rest.Dispose();
            }

            base.Dispose(disposing);
        }

        private int TakeFirst(Span<byte> buffer)
        {
            int length = Math.Min(buffer.Length, first.Length);
            first.Span[..length].CopyTo(buffer);
            first = first[length..];
            return length;
        }
    }
}
