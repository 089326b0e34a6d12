// Bitswap on a host: connects BitswapEngine, which does no I/O, with streams, the clock, the one source that is served from, and the DHT. Everything that touches
// the engine happens under one lock, in which nobody waits and no block is read.

using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Identify;
using Leither.Libp2p.KadDht;

namespace Leither.Libp2p.Bitswap;

/// <summary>Gets blocks from peers and serves them: from one source, and nothing else. Safe for any number of threads.</summary>
public sealed class BitswapExchange : IAsyncDisposable
{
    /// <summary>The protocols, the best first.</summary>
    public static readonly IReadOnlyList<string> Protocols = ["/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0"];

    /// <summary>How long a message may take to be sent; who reads more slowly is given up.</summary>
    public static readonly TimeSpan SendTimeout = TimeSpan.FromSeconds(30);

    /// <summary>A stream on which nothing comes for so long is given up.</summary>
    public static readonly TimeSpan IdleTimeout = TimeSpan.FromMinutes(5);

    /// <summary>
    /// A stream of ours that was silent for so long is not used again: the other side may have given it up. Helia does after ten seconds, and what is on its way
    /// to it then is lost.
    /// </summary>
    private static readonly TimeSpan _reuseTime = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan _tick = TimeSpan.FromMilliseconds(250);

    /// <summary>How many streams a peer has open here. Helia opens one for each message, up to fifty at a time.</summary>
    private const int MaxStreamsPerConnection = 64;

    /// <summary>Of messages longer than this only one of a connection is read at a time; the others wait on the connection. So a peer makes us hold little more than one.</summary>
    private const int LongMessage = 64 << 10;

    /// <summary>How many providers of a block are asked for, and how many searches run at a time.</summary>
    private const int MaxProviders = 10, MaxSearches = 8;

    private readonly Host _host;
    private readonly IBlockSource _source;
    private readonly KademliaDht? _dht;
    private readonly TimeProvider _time;
    private readonly BitswapEngine _engine;
    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<PeerId, (PeerStream Stream, DateTimeOffset Used)> _streams = new();
    private readonly ConditionalWeakTable<PeerConnection, SemaphoreSlim> _reading = [];
    private readonly SemaphoreSlim _searches = new(MaxSearches);
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _ticking;
    private long _bytesSent;
    private long _bytesReceived;

    /// <summary>Begins on a host. Whoever can connect can read everything in the source.</summary>
    public BitswapExchange(Host host, IBlockSource source, BitswapOptions? options = null, KademliaDht? dht = null)
    {
        _host = host;
        _source = source;
        _dht = dht;
        _time = host.Time;
        _engine = new BitswapEngine(options ?? new BitswapOptions(), cid => source.TryGetLength(cid, out int length) ? length : null);
        for (int i = 0; i < Protocols.Count; i++)
        {
            BitswapVersion version = BitswapVersion.V1_2 - i;
            host.Handle(Protocols[i], (stream, cancellation) => HandleAsync(stream, version, cancellation), new ProtocolLimits { MaxStreamsPerConnection = MaxStreamsPerConnection });
        }

        host.PeerIdentified += OnIdentified;
        host.Disconnected += OnDisconnected;
        foreach (PeerConnection connection in host.Connections)
        {
            Meet(connection.Peer, null);
        }

        _ticking = TickAsync();
    }

    /// <summary>What is wanted now.</summary>
    public IReadOnlyList<Cid> Wanted
    {
        get
        {
            lock (_gate)
            {
                return [.. _engine.Wanted];
            }
        }
    }

    /// <summary>Bytes of blocks that peers got.</summary>
    public long BytesSent => Volatile.Read(ref _bytesSent);

    /// <summary>Bytes of blocks that were asked for and came.</summary>
    public long BytesReceived => Volatile.Read(ref _bytesReceived);

    /// <summary>How many bytes of blocks are on their way to others.</summary>
    internal long ServingBytes
    {
        get
        {
            lock (_gate)
            {
                return _engine.ServingBytes;
            }
        }
    }

    /// <summary>What was given to and got from a peer that is connected.</summary>
    public BitswapLedger GetLedger(PeerId peer)
    {
        lock (_gate)
        {
            return _engine.TryGetPeer(peer, out BitswapPeer? known) ? known.Ledger with { Wants = known.Wants.Count } : default;
        }
    }

    /// <summary>Begins to get blocks that belong together: who had one is asked first for the next.</summary>
    public BitswapFetch NewFetch() => new(this);

    /// <summary>Gets one block, whoever has it: its bytes are those that the CID names. It is not stored.</summary>
    /// <exception cref="NotSupportedException">The CID's hash function is not computed here, so no block could be checked.</exception>
    public Task<ReadOnlyMemory<byte>> GetAsync(Cid cid, CancellationToken cancellationToken = default) => NewFetch().GetAsync(cid, cancellationToken);

    /// <summary>Blocks came into the source: peers that wait for them get them.</summary>
    public void NotifyAvailable(IEnumerable<Cid> cids)
    {
        lock (_gate)
        {
            _engine.Available(cids, _time.GetUtcNow());
            Flush();
        }
    }

    /// <summary>Stops. The host goes on.</summary>
    public async ValueTask DisposeAsync()
    {
        _host.PeerIdentified -= OnIdentified;
        _host.Disconnected -= OnDisconnected;
        foreach (string protocol in Protocols)
        {
            _host.Unhandle(protocol);
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        await _ticking.ConfigureAwait(false);
        foreach (PeerId peer in _streams.Keys)
        {
            await CloseStreamAsync(peer, reset: false).ConfigureAwait(false);
        }
    }

    internal async Task<ReadOnlyMemory<byte>> GetAsync(BitswapSession session, Cid cid, CancellationToken cancellationToken)
    {
        if (cid.IsNone || !Multihash.CanVerify(cid.HashFunction))
        {
            throw new NotSupportedException($"Blocks of hash function 0x{cid.HashFunction:x} cannot be checked.");
        }

        if (cid.HashFunction == Multicodec.Identity)
        {
            byte[] content = new byte[cid.Multihash.DigestLength];
            cid.Multihash.CopyDigest(content);
            return content;
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
        var got = new TaskCompletionSource<ReadOnlyMemory<byte>>(TaskCreationOptions.RunContinuationsAsynchronously);
        BitswapWaiter waiter;
        lock (_gate)
        {
            waiter = _engine.Want(session, cid, data => got.TrySetResult(data), _time.GetUtcNow());
            Flush();
        }

        try
        {
            ReadOnlyMemory<byte> block = await got.Task.WaitAsync(either.Token).ConfigureAwait(false);
            Interlocked.Add(ref _bytesReceived, block.Length);
            return block;
        }
        finally
        {
            lock (_gate)
            {
                _engine.Cancel(waiter, _time.GetUtcNow());
                Flush();
            }
        }
    }

    /// <summary>Starts what the engine wants done. Under the lock.</summary>
    private void Flush()
    {
        if (_stopping.IsCancellationRequested)
        {
            return;
        }

        while (_engine.TryTake(out BitswapSend? send))
        {
            BitswapSend taken = send;
            _ = Task.Run(() => SendAsync(taken));
        }

        while (_engine.TryTakeSearch(out Cid cid))
        {
            Cid taken = cid;
            if (_dht != null)
            {
                _ = Task.Run(() => SearchAsync(_dht, taken));
            }
        }
    }

    private async Task SendAsync(BitswapSend send)
    {
        long blockBytes = 0;
        int blocks = 0;
        bool isSent = false;
        try
        {
            foreach (Cid cid in send.Blocks)
            {
                if (Load(cid) is { } data)
                {
                    send.Message.Blocks.Add(new ReceivedBlock(cid, data));
                    blockBytes += data.Length;
                    blocks++;
                }
                else
                {
                    // It has gone since, or is damaged here: somebody else may have it.
                    send.Message.Presences.Add(new Presence(cid, false));
                }
            }

            List<ReadOnlyMemory<byte>> parts = send.Message.ToParts(send.Version);
            if (parts.Count > 0)
            {
                await WriteAsync(send.To, send.Version, parts).ConfigureAwait(false);
            }

            isSent = true;
            Interlocked.Add(ref _bytesSent, blockBytes);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // It is gone, or reads nothing.
            await CloseStreamAsync(send.To, reset: true).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate)
            {
                DateTimeOffset now = _time.GetUtcNow();
                if (isSent)
                {
                    _engine.Sent(send.To, blockBytes, blocks, now);
                }
                else
                {
                    _engine.Disconnected(send.To, now);
                }

                Flush();
            }
        }
    }

    private byte[]? Load(Cid cid)
    {
        try
        {
            return _source.Get(cid);
        }
        catch (BlockCorruptedException)
        {
            // A check of the store tells; to a peer it is as good as not there.
            return null;
        }
    }

    private async Task WriteAsync(PeerId to, BitswapVersion version, List<ReadOnlyMemory<byte>> message)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
        deadline.CancelAfter(SendTimeout);
        if (_streams.TryGetValue(to, out (PeerStream Stream, DateTimeOffset Used) known))
        {
            if (_time.GetUtcNow() - known.Used < _reuseTime && known.Stream.Connection is { IsEnding: false })
            {
                try
                {
                    await LengthPrefixed.WriteAsync(known.Stream, message, deadline.Token).ConfigureAwait(false);
                    _streams[to] = (known.Stream, _time.GetUtcNow());
                    return;
                }
                catch (Libp2pException)
                {
                    // The other side gave the stream up; another one will do.
                    await CloseStreamAsync(to, reset: true).ConfigureAwait(false);
                }
            }
            else
            {
                await CloseStreamAsync(to, reset: false).ConfigureAwait(false);
            }
        }

        if (!_host.TryGetConnection(to, out PeerConnection? connection))
        {
            throw new Libp2pException(Libp2pError.ConnectionClosed, "The peer is gone.");
        }

        PeerStream stream = connection.OpenStream(Protocols[BitswapVersion.V1_2 - version]);
        _streams[to] = (stream, _time.GetUtcNow());
        await LengthPrefixed.WriteAsync(stream, message, deadline.Token).ConfigureAwait(false);
        _streams[to] = (stream, _time.GetUtcNow());
    }

    private async Task CloseStreamAsync(PeerId peer, bool reset)
    {
        if (_streams.TryRemove(peer, out (PeerStream Stream, DateTimeOffset Used) known))
        {
            if (reset)
            {
                known.Stream.Reset();
            }

            await known.Stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task SearchAsync(KademliaDht dht, Cid cid)
    {
        try
        {
            await _searches.WaitAsync(_stopping.Token).ConfigureAwait(false);
            try
            {
                await foreach (KadPeer provider in dht.FindProvidersAsync(cid.Multihash, MaxProviders, _stopping.Token).ConfigureAwait(false))
                {
                    if (provider.Id != _host.Id)
                    {
                        // One that is not there does not keep the next waiting.
                        _ = ConnectAsync(provider);
                    }
                }
            }
            finally
            {
                _searches.Release();
            }
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
    }

    private async Task ConnectAsync(KadPeer provider)
    {
        try
        {
            PeerConnection connection = await _host.ConnectAsync(provider.Id, provider.Addresses, _stopping.Token).ConfigureAwait(false);
            _ = await connection.Identified.WaitAsync(_stopping.Token).ConfigureAwait(false);
            Meet(provider.Id, null);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // There may be other providers.
        }
    }

    private async Task HandleAsync(PeerStream stream, BitswapVersion version, CancellationToken cancellationToken)
    {
        PeerId from = stream.Connection!.Peer;
        using var idle = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
        while (true)
        {
            idle.CancelAfter(IdleTimeout);
            int length = await LengthPrefixed.ReadLengthAsync(stream, BitswapMessage.MaxLength, idle.Token).ConfigureAwait(false);
            if (length < 0)
            {
                return;
            }

            BitswapMessage message = await ReadAsync(stream, length, idle.Token).ConfigureAwait(false);
            Meet(from, version);
            lock (_gate)
            {
                _engine.Receive(from, message, _time.GetUtcNow());
                Flush();
            }
        }
    }

    /// <summary>Reads a message. Its blocks are hashed here, outside the lock.</summary>
    private async ValueTask<BitswapMessage> ReadAsync(PeerStream stream, int length, CancellationToken cancellationToken)
    {
        if (length <= LongMessage)
        {
            return BitswapMessage.Read(await LengthPrefixed.ReadBodyAsync(stream, length, cancellationToken).ConfigureAwait(false));
        }

        SemaphoreSlim reading = _reading.GetValue(stream.Connection!, static _ => new SemaphoreSlim(1));
        await reading.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return BitswapMessage.Read(await LengthPrefixed.ReadBodyAsync(stream, length, cancellationToken).ConfigureAwait(false));
        }
        finally
        {
            reading.Release();
        }
    }

    private void OnIdentified(PeerConnection connection, PeerIdentity identity) => Meet(connection.Peer, null);

    private void OnDisconnected(PeerConnection connection)
    {
        if (_host.TryGetConnection(connection.Peer, out _))
        {
            return;
        }

        if (_streams.TryRemove(connection.Peer, out (PeerStream Stream, DateTimeOffset Used) known))
        {
            known.Stream.Reset();
        }

        lock (_gate)
        {
            _engine.Disconnected(connection.Peer, _time.GetUtcNow());
            Flush();
        }
    }

    /// <summary>Notes a peer that speaks Bitswap: the version that it said it speaks, or else the one that it spoke.</summary>
    private void Meet(PeerId peer, BitswapVersion? spoken)
    {
        IReadOnlyCollection<string> protocols = _host.Peers.GetProtocols(peer);
        BitswapVersion? version = spoken;
        for (int i = Protocols.Count - 1; i >= 0; i--)
        {
            if (protocols.Contains(Protocols[i]))
            {
                version = BitswapVersion.V1_2 - i;
            }
        }

        if (version is { } known && _host.TryGetConnection(peer, out _))
        {
            lock (_gate)
            {
                _engine.Connected(peer, known, _time.GetUtcNow());
                Flush();
            }
        }
    }

    private async Task TickAsync()
    {
        using var timer = new PeriodicTimer(_tick, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false))
            {
                lock (_gate)
                {
                    _engine.Tick(_time.GetUtcNow());
                    Flush();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
    }
}

/// <summary>Gets blocks that belong together. Any number at a time.</summary>
public sealed class BitswapFetch
{
    private readonly BitswapExchange _exchange;
    private readonly BitswapSession _session = new();

    internal BitswapFetch(BitswapExchange exchange) => _exchange = exchange;

    /// <summary>Gets a block; it takes as long as nobody has it, until it is cancelled.</summary>
    /// <exception cref="NotSupportedException">The CID's hash function is not computed here, so no block could be checked.</exception>
    public Task<ReadOnlyMemory<byte>> GetAsync(Cid cid, CancellationToken cancellationToken = default) => _exchange.GetAsync(_session, cid, cancellationToken);
}
