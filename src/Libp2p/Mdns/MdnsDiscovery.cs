// Finds peers on the local network and is found by them, over IPv4 and IPv6 multicast on every network card.
//
// What is received is believed as far as it costs little: messages that were sent to the group (which no router passes on), so many a second, within
// the limits of their reader. One answer leaves in a second at most, a random moment after the question, so that many nodes do not answer in one moment.

using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Names;
using Leither.Libp2p.Peers;

namespace Leither.Libp2p.Mdns;

/// <summary>Discovery of peers by multicast DNS. Runs from its making to its disposing.</summary>
public sealed class MdnsDiscovery : IAsyncDisposable
{
    private const int MaxMessageLength = 9000;
    private const int MaxAnswerDelayMilliseconds = 120;
    private const int MinAnswerDelayMilliseconds = 20;

    private static readonly IPAddress _group4 = IPAddress.Parse("224.0.0.251");
    private static readonly IPAddress _group6 = IPAddress.Parse("ff02::fb");

    private readonly Host _host;
    private readonly MdnsOptions _options;
    private readonly MdnsProtocol _protocol;
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Channel> _channels = [];
    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly Task _running;
    private long _lastAnswer;
    private int _isAnswering;
    private int _connecting;

    /// <summary>Begins.</summary>
    /// <exception cref="SocketException">The port cannot be opened for either kind of address.</exception>
    public MdnsDiscovery(Host host, MdnsOptions? options = null)
    {
        _host = host;
        _options = options ?? new MdnsOptions();
        _protocol = new MdnsProtocol(host.Id, host.Options.SwarmKey, _options.Loopback);
        _lastAnswer = host.Time.GetTimestamp() - (long)(_options.AnswerPause.TotalSeconds * host.Time.TimestampFrequency);
        SocketException? failure = null;
        foreach (IPAddress group in new[] { _group4, _group6 })
        {
            try
            {
                _channels.Add(new Channel(group, _options.Port));
            }
            catch (SocketException e)
            {
                // A machine may have one kind of address alone.
                failure = e;
            }
        }

        if (_channels.Count == 0)
        {
            throw failure!;
        }

        _running = Task.WhenAll([AskAsync(), .. _channels.Select(ReceiveAllAsync)]);
    }

    /// <summary>Tells of a peer on the local network, each time that it is heard of.</summary>
    public event Action<PeerId, IReadOnlyList<Multiaddr>>? PeerFound;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        foreach (Channel channel in _channels)
        {
            channel.Dispose();
        }

        await _running.ConfigureAwait(false);
        _stopping.Dispose();
    }

    /// <summary>Asks at once, then less and less often.</summary>
    private async Task AskAsync()
    {
        byte[] question = _protocol.Question().ToArray();
        TimeSpan pause = _options.FirstPause;
        try
        {
            while (true)
            {
                await SendAsync(question).ConfigureAwait(false);
                await Task.Delay(pause, _host.Time, _stopping.Token).ConfigureAwait(false);
                pause = pause * 2 < _options.LongestPause ? pause * 2 : _options.LongestPause;
            }
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
    }

    private async Task ReceiveAllAsync(Channel channel)
    {
        byte[] buffer = new byte[MaxMessageLength];
        var any = new IPEndPoint(channel.Socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
        long second = _host.Time.GetTimestamp();
        int count = 0;
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                SocketReceiveMessageFromResult received = await channel.Socket.ReceiveMessageFromAsync(buffer, SocketFlags.None, any, _stopping.Token).ConfigureAwait(false);
                if (_host.Time.GetElapsedTime(second) >= TimeSpan.FromSeconds(1))
                {
                    second = _host.Time.GetTimestamp();
                    count = 0;
                }

                // What was sent to this machine alone may come from anywhere.
                if (received.PacketInformation.Address.Equals(channel.Group) && ++count <= _options.MaxMessagesPerSecond)
                {
                    Handle(buffer.AsSpan(0, received.ReceivedBytes), ((IPEndPoint)received.RemoteEndPoint).Address);
                }
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                // A datagram that does not fit, a network card that went: others go on.
                await Task.Delay(TimeSpan.FromMilliseconds(50), CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    private void Handle(ReadOnlySpan<byte> bytes, IPAddress sender)
    {
        DnsMessage message;
        try
        {
            message = DnsMessage.Read(bytes);
        }
        catch (Libp2pException)
        {
            // Whatever else is said on that port.
            return;
        }

        if (!message.IsResponse)
        {
            if (_protocol.Answer(message, _host.LocalAddresses) is { } answer && Interlocked.Exchange(ref _isAnswering, 1) == 0)
            {
                _ = AnswerAsync(answer.ToArray());
            }

            return;
        }

        foreach (KadPeer peer in _protocol.Read(message, sender))
        {
            _host.Peers.AddAddresses(peer.Id, peer.Addresses, PeerStore.TemporaryTtl);
            PeerFound?.Invoke(peer.Id, peer.Addresses);
            if (_options.Connect)
            {
                _ = ConnectAsync(peer.Id);
            }
        }
    }

    private async Task AnswerAsync(byte[] answer)
    {
        try
        {
            TimeSpan early = _options.AnswerPause - _host.Time.GetElapsedTime(_lastAnswer);
            var delay = TimeSpan.FromMilliseconds(Random.Shared.Next(MinAnswerDelayMilliseconds, MaxAnswerDelayMilliseconds));
            await Task.Delay(early > delay ? early : delay, _host.Time, _stopping.Token).ConfigureAwait(false);
            await SendAsync(answer).ConfigureAwait(false);
            _lastAnswer = _host.Time.GetTimestamp();
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
        finally
        {
            Volatile.Write(ref _isAnswering, 0);
        }
    }

    private async Task ConnectAsync(PeerId peer)
    {
        if (_host.TryGetConnection(peer, out _) || _host.Connections.Count >= _host.Options.HighWater)
        {
            return;
        }

        try
        {
            if (Interlocked.Increment(ref _connecting) <= _options.MaxConnecting)
            {
                await _host.ConnectAsync(peer, null, _stopping.Token).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // It is tried again when it is heard of again.
        }
        finally
        {
            Interlocked.Decrement(ref _connecting);
        }
    }

    /// <summary>Sends to both groups on every network card.</summary>
    private async Task SendAsync(byte[] message)
    {
        await _sending.WaitAsync(_stopping.Token).ConfigureAwait(false);
        try
        {
            foreach (Channel channel in _channels)
            {
                await channel.SendAsync(message, _options.Loopback, _stopping.Token).ConfigureAwait(false);
            }
        }
        catch (ObjectDisposedException)
        {
            throw new OperationCanceledException();
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>The socket of one kind of addresses.</summary>
    private sealed class Channel : IDisposable
    {
        private readonly IPEndPoint _to;
        private readonly bool _isV6;
        private readonly HashSet<int> _joined = [];

        public Channel(IPAddress group, int port)
        {
            Group = group;
            _to = new IPEndPoint(group, port);
            _isV6 = group.AddressFamily == AddressFamily.InterNetworkV6;
            Socket = new Socket(group.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            try
            {
                if (_isV6)
                {
                    Socket.DualMode = false;
                }

                // The port is shared with the machine's own mDNS service, and with other nodes.
                Socket.ExclusiveAddressUse = false;
                Socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
                Socket.SetSocketOption(Level, SocketOptionName.PacketInformation, true);
                Socket.SetSocketOption(Level, SocketOptionName.MulticastTimeToLive, 255);
                Socket.SetSocketOption(Level, SocketOptionName.MulticastLoopback, true);
                Socket.Bind(new IPEndPoint(_isV6 ? IPAddress.IPv6Any : IPAddress.Any, port));
            }
            catch
            {
                Socket.Dispose();
                throw;
            }
        }

        public Socket Socket { get; }

        public IPAddress Group { get; }

        private SocketOptionLevel Level => _isV6 ? SocketOptionLevel.IPv6 : SocketOptionLevel.IP;

        public async Task SendAsync(byte[] message, bool loopback, CancellationToken cancellationToken)
        {
            // Cards come and go.
            foreach (int card in Cards(loopback))
            {
                try
                {
                    if (_joined.Add(card))
                    {
                        Join(card);
                    }

                    Socket.SetSocketOption(Level, SocketOptionName.MulticastInterface, _isV6 ? card : IPAddress.HostToNetworkOrder(card));
                    await Socket.SendToAsync(message, SocketFlags.None, _to, cancellationToken).ConfigureAwait(false);
                }
                catch (SocketException)
                {
                    // This card has no way there now.
                    _joined.Remove(card);
                }
            }
        }

        public void Dispose() => Socket.Dispose();

        private void Join(int card)
        {
            try
            {
                Socket.SetSocketOption(Level, SocketOptionName.AddMembership, _isV6 ? new IPv6MulticastOption(Group, card) : new MulticastOption(Group, card));
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
                // A member already.
            }
        }

        private List<int> Cards(bool loopback)
        {
            var cards = new List<int>();
            NetworkInterfaceComponent kind = _isV6 ? NetworkInterfaceComponent.IPv6 : NetworkInterfaceComponent.IPv4;
            foreach (NetworkInterface card in NetworkInterface.GetAllNetworkInterfaces())
            {
                bool isLoopback = card.NetworkInterfaceType == NetworkInterfaceType.Loopback;
                if (card.OperationalStatus is OperationalStatus.Up or OperationalStatus.Unknown && card.Supports(kind) && (isLoopback ? loopback : card.SupportsMulticast))
                {
                    IPInterfaceProperties properties = card.GetIPProperties();
                    cards.Add(_isV6 ? properties.GetIPv6Properties().Index : properties.GetIPv4Properties().Index);
                }
            }

            return cards;
        }
    }
}
