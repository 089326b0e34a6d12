using System.Buffers;
using Leither.Libp2p;
using Leither.Replication;

namespace Leither.Node.Replication;

/// <summary>
/// Messages as they come on a stream: many with one read where they are short, and no memory for one that has not come yet. Each has memory of its own, for what came is
/// kept until it is applied.
/// </summary>
internal sealed class MessageReader(IByteChannel stream) : IDisposable
{
    private const int FirstRoom = 32 << 10;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(FirstRoom);
    private int _start, _end, _toldOf;

    /// <summary>Is called with each <see cref="LogProtocol.ArrivingBytes"/> of a message that is not whole yet.</summary>
    public Action? Arriving { get; set; }

    /// <summary>The next message and how many bytes it took; null where the stream ends.</summary>
    /// <exception cref="IOException">The stream ends within a message, or what comes is none.</exception>
    public async ValueTask<(Message Message, int Bytes)?> ReadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            if (TryTake() is { } message) return message;
            if (_end - _start - _toldOf >= LogProtocol.ArrivingBytes)
            {
                _toldOf = _end - _start;
                Arriving?.Invoke();
            }

            MakeRoom();
            int read = await stream.ReadAsync(_buffer.AsMemory(_end), cancellation).ConfigureAwait(false);
            if (read == 0) return _start == _end ? null : throw new Libp2pException(Libp2pError.ConnectionClosed, "The stream ended within a message.");
            _end += read;
        }
    }

    public void Dispose()
    {
        byte[] buffer = _buffer;
        _buffer = [];
        _start = _end = 0;
        if (buffer.Length > 0) ArrayPool<byte>.Shared.Return(buffer);
    }

    private (Message Message, int Bytes)? TryTake()
    {
        ReadOnlySpan<byte> here = _buffer.AsSpan(_start, _end - _start);
        if (!MessageCodec.TryReadLength(here, out int length, out int prefix) || here.Length - prefix < length) return null;
        byte[] frame = GC.AllocateUninitializedArray<byte>(length);
        here.Slice(prefix, length).CopyTo(frame);
        _start += prefix + length;
        _toldOf = 0;
        return (MessageCodec.Decode(frame), length);
    }

    /// <summary>Room behind what is here: at the front where something was taken, else twice as much. So a claimed length alone takes nothing.</summary>
    private void MakeRoom()
    {
        if (_start == _end)
        {
            _start = _end = 0;
            return;
        }

        if (_end < _buffer.Length) return;
        byte[] next = _end - _start <= _buffer.Length / 2 ? _buffer : ArrayPool<byte>.Shared.Rent(2 * _buffer.Length);
        Buffer.BlockCopy(_buffer, _start, next, 0, _end - _start);
        _end -= _start;
        _start = 0;
        if (next == _buffer) return;
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = next;
    }
}
