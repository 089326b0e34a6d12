// A node of ours as the tests need it: a host on loopback, a store in memory, Bitswap over it, a DHT where it is wanted.

using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Libp2p.Bitswap;
using Leither.Libp2p.KadDht;

namespace Leither.P2pInterop;

/// <summary>Ours.</summary>
internal sealed class P2pNode : IAsyncDisposable
{
    private readonly PrivateKey _key = PrivateKey.Generate();

    public P2pNode(KadMode? mode = null, BitswapOptions? bitswap = null)
    {
        Host = new Host(_key);
        Address = Host.Listen(new IPEndPoint(IPAddress.Loopback, 0)).WithPeer(Host.Id);
        Dht = mode is { } known ? new KademliaDht(Host, new KadOptions { Protocol = KadOptions.LeitherProtocol, Mode = known }) : null;
        Bitswap = new BitswapExchange(Host, Store, bitswap, Dht);
    }

    public Host Host { get; }

    public Multiaddr Address { get; }

    public MemoryBlockstore Store { get; } = new();

    public KademliaDht? Dht { get; }

    public BitswapExchange Bitswap { get; }

    /// <summary>Gets a block and all that it leads to; returns how many bytes came.</summary>
    public async Task<long> FetchAsync(Cid root)
    {
        BitswapFetch fetch = Bitswap.NewFetch();
        var seen = new ConcurrentDictionary<Multihash, bool>();
        long bytes = 0;
        await WalkAsync(root);
        return bytes;

        async Task WalkAsync(Cid cid)
        {
            if (!seen.TryAdd(cid.Multihash, true))
            {
                return;
            }

            ReadOnlyMemory<byte> data = await fetch.GetAsync(cid).ConfigureAwait(false);
            Interlocked.Add(ref bytes, data.Length);
            Store.Put(cid, data.Span);
            var links = new List<Cid>();
            Links.AddTo(links, cid.Codec, data.Span);
            await Task.WhenAll(links.Select(WalkAsync)).ConfigureAwait(false);
        }
    }

    /// <summary>Waits until the routing table knows a peer.</summary>
    public async Task KnowAsync(PeerId peer)
    {
        while (Dht!.Table.All(known => known.Id != peer))
        {
            await Task.Delay(20);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Bitswap.DisposeAsync();
        if (Dht != null)
        {
            await Dht.DisposeAsync();
        }

        await Host.DisposeAsync();
        Store.Dispose();
        _key.Dispose();
    }

    /// <summary>A stream's SHA-256, in lower case.</summary>
    public static string Sha256(Stream content) => Convert.ToHexStringLower(SHA256.HashData(content));
}
