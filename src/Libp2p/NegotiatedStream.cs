using Leither.Libp2p.Multistream;
using Leither.Libp2p.Yamux;

namespace Leither.Libp2p;

/// <summary>
/// A stream whose one protocol was proposed ahead: the proposal leaves with the first bytes that are written, and the answer is read before the first
/// bytes that are read. So speaking it costs no round trip; that it is not spoken shows with the first read.
/// </summary>
internal sealed class NegotiatedStream : PeerStream
{
    private readonly YamuxStream _stream;
    private bool _answered;

    public NegotiatedStream(YamuxStream stream, string protocol, bool answered)
    {
        _stream = stream;
        _answered = answered;
        Protocol = protocol;
    }

    public override bool HasInput => _stream.HasInput;

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        _answered ? _stream.ReadAsync(buffer, cancellationToken) : ReadAnswerAsync(buffer, cancellationToken);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => _stream.WriteAsync(buffer, cancellationToken);

    public override void CompleteWrites() => _stream.CompleteWrites();

    public override void Reset() => _stream.Reset();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _stream.Dispose();
        }

        base.Dispose(disposing);
    }

    private async ValueTask<int> ReadAnswerAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        bool taken = false;
        try
        {
            taken = await MultistreamSelect.ReadAnswerAsync(_stream, Protocol, headerRead: false, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            if (!taken)
            {
                // Also where reading was cancelled: half an answer may have been read.
                _stream.Reset();
            }
        }

        if (!taken)
        {
            throw new Libp2pException(Libp2pError.UnsupportedProtocol, $"The other side does not speak {Protocol}.");
        }

        _answered = true;
        return await _stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
    }
}
