namespace Leither.Ipfs.UnixFs;

/// <summary>A file with other bytes at one place: what was before, zeros up to the place, the new bytes, what was behind them.</summary>
internal sealed class FileSplice(UnixFsStream? before, long offset, Stream content) : Stream
{
    /// <summary>Where the new bytes begin.</summary>
    public long Offset => offset;

    /// <summary>Where it stands.</summary>
    public long Place { get; private set; }

    /// <summary>Whether all new bytes were read.</summary>
    public bool IsBehind { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => Place; set => throw new NotSupportedException(); }

    /// <summary>Leaves out what is before a place, which is not behind the first new byte.</summary>
    public void SkipTo(long place)
    {
        Place = place;
        if (before is not null) before.Position = place;
    }

    public override int Read(Span<byte> buffer)
    {
        if (buffer.IsEmpty) return 0;
        int read;
        if (Place < offset)
        {
            buffer = buffer[..(int)Math.Min(buffer.Length, offset - Place)];
            read = before?.Read(buffer) ?? 0;
            if (read == 0)
            {
                buffer.Clear();
                read = buffer.Length;
            }
        }
        else if (!IsBehind)
        {
            read = content.Read(buffer);
            if (read == 0)
            {
                IsBehind = true;
                return Read(buffer);
            }

            if (Place + read > FileTree.MaxFileBytes) throw new IOException($"A file would have more than {FileTree.MaxFileBytes} bytes");
            if (content.CanSeek && content.Position >= content.Length) IsBehind = true;
        }
        else
        {
            if (before is null) return 0;
            before.Position = Place;
            read = before.Read(buffer);
        }

        Place += read;
        return read;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
