// After the handshake a connection is a row of frames, each [length, 2 bytes, highest first][cipher text][tag, 16 bytes]. A frame is decrypted in the
// buffer into which it was received, and encrypted in the buffer from which it is sent.

using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Leither.Ipfs.Keys;
using Leither.Libp2p.Transport;

namespace Leither.Libp2p.Noise;

/// <summary>A connection secured by Noise.</summary>
public sealed class NoiseChannel : SecureChannel
{
    private const int HeaderLength = 2;

    // Two of our frames fill a buffer to the byte; the protocol would allow one byte more.
    private const int FrameLength = 64 * 1024;
    private const int OutputLength = 2 * FrameLength;

    private readonly InputBuffer _input;
    private readonly NoiseCipher _send;
    private readonly NoiseCipher _receive;

    // The frame that was handed out last: still in the input buffer.
    private int _openLength;
    private ReadOnlyMemory<byte> _rest;

    private byte[]? _output;
    private int _frameStart;
    private int _at;

    internal NoiseChannel(RawConnection connection, InputBuffer input, PeerKey remoteKey, string? muxer, NoiseCipher send, NoiseCipher receive)
        : base(connection, remoteKey, muxer)
    {
        _input = input;
        _send = send;
        _receive = receive;
    }

    /// <inheritdoc/>
    public override bool HasInput => !_rest.IsEmpty || _input.Buffered.Length > _openLength;

    /// <inheritdoc/>
    public override long ReceivedBytes => _input.ReceivedBytes;

    /// <inheritdoc/>
    public override bool HasOutput => _at > HeaderLength;

    /// <inheritdoc/>
    public override ValueTask<ReadOnlyMemory<byte>> ReceiveAsync(CancellationToken cancellationToken = default)
    {
        if (!_rest.IsEmpty)
        {
            ReadOnlyMemory<byte> rest = _rest;
            _rest = default;
            return new ValueTask<ReadOnlyMemory<byte>>(rest);
        }

        _input.Consume(_openLength);
        _openLength = 0;
        return TryOpen(out ReadOnlyMemory<byte> text) ? new ValueTask<ReadOnlyMemory<byte>>(text) : ReceiveSlowlyAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        return _rest.IsEmpty ? ReceiveAndTakeAsync(buffer, cancellationToken) : new ValueTask<int>(Take(buffer));
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int minLength)
    {
        if (_output == null)
        {
            _output = ArrayPool<byte>.Shared.Rent(OutputLength);
            _frameStart = 0;
            _at = HeaderLength;
        }

        int end = _frameStart + FrameLength - NoiseCipher.TagLength;
        if (end - _at < minLength)
        {
            if (_frameStart + 2 * FrameLength > OutputLength)
            {
                return default;
            }

            SealFrame();
            end = _frameStart + FrameLength - NoiseCipher.TagLength;
        }

        return _output.AsSpan(_at, end - _at);
    }

    /// <inheritdoc/>
    public override void Advance(int count) => _at += count;

    /// <inheritdoc/>
    public override ValueTask FlushAsync(CancellationToken cancellationToken = default)
    {
        if (!HasOutput)
        {
            return default;
        }

        // A frame that was begun and has nothing in it is left out.
        if (_at > _frameStart + HeaderLength)
        {
            SealFrame();
        }

        int length = _frameStart;
        _frameStart = 0;
        _at = HeaderLength;
        return Connection.SendAsync(_output.AsMemory(0, length), cancellationToken);
    }

    /// <inheritdoc/>
    public override void ReleaseOutput()
    {
        if (_output != null)
        {
            ArrayPool<byte>.Shared.Return(_output);
            _output = null;
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _rest = default;
            _openLength = 0;
            _input.Dispose();
            _send.Dispose();
            _receive.Dispose();
            ReleaseOutput();
        }
    }

    private void SealFrame()
    {
        Span<byte> frame = _output.AsSpan(_frameStart + HeaderLength, _at - _frameStart - HeaderLength + NoiseCipher.TagLength);
        BinaryPrimitives.WriteUInt16BigEndian(_output.AsSpan(_frameStart), (ushort)frame.Length);
        _send.Seal(frame);
        _frameStart = _at + NoiseCipher.TagLength;
        _at = _frameStart + HeaderLength;
    }

    /// <summary>Decrypts the next frame with something in it, if it is here whole.</summary>
    private bool TryOpen(out ReadOnlyMemory<byte> text)
    {
        while (_input.Buffered is { Length: >= HeaderLength } buffered)
        {
            int length = HeaderLength + BinaryPrimitives.ReadUInt16BigEndian(buffered.Span);
            if (buffered.Length < length)
            {
                break;
            }

            if (!_receive.TryOpen(buffered.Span[HeaderLength..length]))
            {
                throw Libp2pException.Violation("Noise: a frame that the other side did not seal.");
            }

            text = buffered[HeaderLength..(length - NoiseCipher.TagLength)];
            if (!text.IsEmpty)
            {
                _openLength = length;
                return true;
            }

            _input.Consume(length);
        }

        text = default;
        return false;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ReadOnlyMemory<byte>> ReceiveSlowlyAsync(CancellationToken cancellationToken)
    {
        ReadOnlyMemory<byte> text;
        while (!TryOpen(out text))
        {
            int have = _input.Buffered.Length;
            if (!await _input.FillAsync(have + 1, cancellationToken).ConfigureAwait(false))
            {
                return have == 0 ? default(ReadOnlyMemory<byte>) : throw new Libp2pException(Libp2pError.ConnectionClosed, "Noise: the connection ended within a frame.");
            }
        }

        return text;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> ReceiveAndTakeAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        _rest = await ReceiveAsync(cancellationToken).ConfigureAwait(false);
        return Take(buffer);
    }

    private int Take(Memory<byte> buffer)
    {
        int count = Math.Min(buffer.Length, _rest.Length);
        _rest[..count].CopyTo(buffer);
        _rest = _rest[count..];
        return count;
    }
}
