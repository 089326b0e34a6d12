using System.IO.Pipelines;

namespace Leither.Node.Http;

/// <summary>A connection's pipe whose input starts with bytes that were read before.</summary>
internal sealed class ReplayedPipe(byte[] first, IDuplexPipe rest) : IDuplexPipe
{
    public PipeReader Input { get; } = PipeReader.Create(new ReplayedStream(first, rest.Input.AsStream()));

    public PipeWriter Output => rest.Output;

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
