using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Identify;
using Leither.Libp2p.Multistream;
using Leither.Libp2p.Yamux;

namespace Leither.Libp2p;

/// <summary>A secured, multiplexed connection to a peer. Safe for any number of threads.</summary>
public sealed class PeerConnection
{
    private readonly Host _host;
    private readonly Dictionary<string, int> _inbound = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource<PeerIdentity?> _identified = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal PeerConnection(Host host, SecureChannel channel, bool isInbound)
    {
        _host = host;
        IsInbound = isInbound;
        Key = channel.RemoteKey;
        Peer = channel.RemoteKey.PeerId;
        LocalAddress = channel.Connection.LocalAddress;
        RemoteAddress = channel.Connection.RemoteAddress;
        RemoteIp = RemoteAddress.TryGetIp(out IPAddress? ip) ? ip : IPAddress.None;
        Opened = LastUsed = host.Time.GetTimestamp();
        Session = new YamuxSession(channel, !isInbound, OnStream, host.Options.Yamux, host.Time);
    }

    /// <summary>The other side's id.</summary>
    public PeerId Peer { get; }

    /// <summary>The other side's key.</summary>
    public PeerKey Key { get; }

    /// <summary>Whether the other side opened it.</summary>
    public bool IsInbound { get; }

    /// <summary>This end.</summary>
    public Multiaddr LocalAddress { get; }

    /// <summary>The other end.</summary>
    public Multiaddr RemoteAddress { get; }

    /// <summary>How many streams are open on it.</summary>
    public int StreamCount => Session.StreamCount;

    /// <summary>The last round trip that was measured; zero before.</summary>
    public TimeSpan RoundTrip => Session.RoundTrip;

    /// <summary>Whether it takes no new streams.</summary>
    public bool IsEnding => Session.IsEnding;

    /// <summary>Completes when the connection has ended, with the reason.</summary>
    public Task<Libp2pException> Closed => Session.Completion;

    /// <summary>Completes when the other side has said who it is; null if it does not say.</summary>
    public Task<PeerIdentity?> Identified => _identified.Task;

    internal YamuxSession Session { get; }

    internal IPAddress RemoteIp { get; }

    internal long Opened { get; }

    internal long LastUsed { get; private set; }

    /// <summary>
    /// Opens a stream for a protocol without waiting for the other side: what is written goes with the proposal. That the other side does not speak it
    /// shows with the first read.
    /// </summary>
    public PeerStream OpenStream(string protocol)
    {
        YamuxStream stream = Session.OpenStream();
        stream.Precede(MultistreamSelect.Proposal(protocol));
        LastUsed = _host.Time.GetTimestamp();
        return new NegotiatedStream(stream, protocol, answered: false) { Connection = this };
    }

    /// <summary>Opens a stream for the first of these protocols that the other side speaks.</summary>
    /// <exception cref="Libp2pException">It speaks none of them.</exception>
    public async Task<PeerStream> OpenStreamAsync(IReadOnlyList<string> protocols, CancellationToken cancellationToken = default)
    {
        YamuxStream stream = Session.OpenStream();
        LastUsed = _host.Time.GetTimestamp();
        try
        {
            string protocol = await MultistreamSelect.DialAsync(stream, protocols, cancellationToken).ConfigureAwait(false);
            return new NegotiatedStream(stream, protocol, answered: true) { Connection = this };
        }
        catch
        {
            stream.Reset();
            await stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Ends the connection; what was written is sent first.</summary>
    public Task CloseAsync() => Session.CloseAsync();

    internal void SetIdentity(PeerIdentity? identity) => _identified.TrySetResult(identity);

    internal bool TryEnter(string protocol, int max)
    {
        lock (_inbound)
        {
            int count = _inbound.GetValueOrDefault(protocol);
            if (count >= max)
            {
                return false;
            }

            _inbound[protocol] = count + 1;
            return true;
        }
    }

    internal void Leave(string protocol)
    {
        lock (_inbound)
        {
            if (--_inbound[protocol] == 0)
            {
                _inbound.Remove(protocol);
            }
        }
    }

    private void OnStream(YamuxStream stream)
    {
        LastUsed = _host.Time.GetTimestamp();
        _host.OnStream(this, stream);
    }
}
