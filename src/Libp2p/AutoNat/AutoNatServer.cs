// Dials other nodes at their wish, so that they learn whether they can be reached. https://github.com/libp2p/specs/blob/master/autonat/autonat-v1.md
//
// Nobody else's machine can be hammered through this: only addresses at the IP address that the asker is seen under are dialled, a few at a time, for so many
// askers a minute.

using System.Net;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Transport;

namespace Leither.Libp2p.AutoNat;

/// <summary>Answers other nodes' questions whether they can be reached, from its making to its disposing.</summary>
public sealed class AutoNatServer : IDisposable
{
    /// <summary>The protocol's id.</summary>
    public const string Id = "/libp2p/autonat/1.0.0";

    private readonly Host _host;
    private readonly AutoNatOptions _options;
    private readonly Lock _gate = new();
    private readonly Dictionary<IPAddress, int> _servedIps = [];
    private long _period;
    private int _served;
    private int _serving;

    /// <summary>Begins to answer.</summary>
    public AutoNatServer(Host host, AutoNatOptions? options = null)
    {
        _host = host;
        _options = options ?? new AutoNatOptions();
        _period = host.Time.GetTimestamp();
        host.Handle(Id, HandleAsync, new ProtocolLimits { MaxStreams = 64, MaxStreamsPerConnection = 2 });
    }

    /// <summary>Answers no more.</summary>
    public void Dispose() => _host.Unhandle(Id);

    private static AutoNatMessage Refuse(AutoNatStatus status, string why) => new() { Status = status, StatusText = why };

    private async Task HandleAsync(PeerStream stream, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(_options.AnswerTimeout);
        if (await LengthPrefixed.ReadAsync(stream, AutoNatMessage.MaxLength, limit.Token).ConfigureAwait(false) is not { } bytes)
        {
            return;
        }

        AutoNatMessage answer = await AnswerAsync(stream.Connection!, AutoNatMessage.Read(bytes), limit.Token).ConfigureAwait(false);
        await LengthPrefixed.WriteAsync(stream, answer.ToArray(), limit.Token).ConfigureAwait(false);
        stream.CompleteWrites();
    }

    private async Task<AutoNatMessage> AnswerAsync(PeerConnection connection, AutoNatMessage question, CancellationToken cancellationToken)
    {
        if (question.Status != null || question.Peer != connection.Peer)
        {
            return Refuse(AutoNatStatus.BadRequest, "who asks is not who is asked about");
        }

        // Behind a relay nobody can be seen.
        IPAddress ip = connection.RemoteIp;
        if (connection.RemoteAddress.Has(MultiaddrProtocol.P2pCircuit) || !(_options.PrivateAddresses || IpGroup.IsPublic(ip)))
        {
            return Refuse(AutoNatStatus.DialRefused, "the connection comes from no public address");
        }

        DialTarget[] targets = [.. question.Addresses.Select(address => DialTarget.TryCreate(address, null, out DialTarget? target) ? target : null).OfType<DialTarget>()
            .Where(target => target.EndPoint.Address.Equals(ip) && (target.Peer == null || target.Peer == connection.Peer)).Distinct().Take(_options.MaxDialled)];
        if (targets.Length == 0)
        {
            return Refuse(AutoNatStatus.DialRefused, "none of the addresses is the one that the connection comes from");
        }

        if (!TryEnter(Host.Group(ip)))
        {
            return Refuse(AutoNatStatus.DialRefused, "too many ask");
        }

        try
        {
            return await DialAsync(connection, targets, cancellationToken).ConfigureAwait(false) is { } dialled
                ? new AutoNatMessage { Status = AutoNatStatus.Ok, Dialled = dialled } : Refuse(AutoNatStatus.DialError, "no address answered");
        }
        finally
        {
            lock (_gate)
            {
                _serving--;
            }
        }
    }

    private async Task<Multiaddr?> DialAsync(PeerConnection connection, DialTarget[] targets, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(_options.DialTimeout);
        List<Task<Multiaddr?>> dials = [.. targets.Select(target => TryDialAsync(connection, target, limit.Token))];
        Multiaddr? dialled = null;
        while (dials.Count > 0 && dialled == null)
        {
            Task<Multiaddr?> done = await Task.WhenAny(dials).ConfigureAwait(false);
            dials.Remove(done);
            dialled = await done.ConfigureAwait(false);
        }

        await limit.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(dials).ConfigureAwait(false);
        return dialled;
    }

    private async Task<Multiaddr?> TryDialAsync(PeerConnection connection, DialTarget target, CancellationToken cancellationToken)
    {
        try
        {
            await _host.ProbeAsync(target, connection.Peer, cancellationToken).ConfigureAwait(false);
            return target.Address;
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // That is what was to be found out.
            return null;
        }
    }

    private bool TryEnter(IPAddress group)
    {
        lock (_gate)
        {
            if (_host.Time.GetElapsedTime(_period) >= _options.ServePeriod)
            {
                _period = _host.Time.GetTimestamp();
                _served = 0;
                _servedIps.Clear();
            }

            int ofIp = _servedIps.GetValueOrDefault(group);
            if (_serving >= _options.MaxServing || _served >= _options.MaxServed || ofIp >= _options.MaxServedPerIp)
            {
                return false;
            }

            _serving++;
            _served++;
            _servedIps[group] = ofIp + 1;
            return true;
        }
    }
}
