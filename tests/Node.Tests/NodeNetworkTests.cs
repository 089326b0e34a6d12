// Nodes' parts in a network, in one process: what peers can get of each other, and what they cannot.

using System.Net;
using System.Net.Sockets;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Libp2p.PrivateNetworks;
using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.Node.Http;
using Leither.Node.Logging;
using Leither.Node.Network;
using Leither.Node.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class NodeNetworkTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_node_reads_what_another_one_has_and_keeps_it()
    {
        await using TestNode one = new(), other = new();
        byte[] content = new byte[5_000_000];
        new Random(1).NextBytes(content);
        Cid root = one.Add(content);
        Cid block = Cid.Of(Multicodec.Raw, "a block"u8);
        one.Content.Loose.Put(block, "a block"u8);
        Assert.Null(one.Network.Figures);
        Assert.Equal(one.Network.Id, await other.Network.ConnectAsync(one.Address).WaitAsync(_patience));
        using (IContentRead read = other.Network.OpenRead(_patience))
        {
            Assert.Equal("a block"u8.ToArray(), await Task.Run(() => read.Get(block)).WaitAsync(_patience));
            using var file = new UnixFsStream(read, UnixFsNode.Load(read, root));
            var got = new MemoryStream();
            await Task.Run(() => file.CopyTo(got)).WaitAsync(_patience);
            Assert.Equal(content, got.ToArray());
        }

        Assert.True(other.Content.Blocks.Has(root));
        Assert.True(other.Content.Pin(root, PinKind.Recursive));
        Assert.Equal(1, one.Network.Figures!.Peers);
    }

    [Fact]
    public async Task Peers_come_in_over_WebSocket_on_the_nodes_port()
    {
        await using TestNode one = new(), other = new();
        var gateway = new HttpGateway(new NoStatus(), NodeLog.None) { Peers = () => one.Network.AcceptsOnThePort ? one.Network.AcceptAsync : null };
        using var port = new MiniServer("socket", wrap: inner => new PortHandler(inner, gateway.Take, () => null, NodeLog.None));
        Cid block = Cid.Of(Multicodec.Raw, "a block"u8);
        one.Content.Loose.Put(block, "a block"u8);
        var address = Multiaddr.Parse($"/ip4/127.0.0.1/tcp/{port.Port}/ws");
        Assert.Equal(one.Network.Id, await other.Network.ConnectAsync(address).WaitAsync(_patience));
        using (IContentRead read = other.Network.OpenRead(_patience))
        {
            Assert.Equal("a block"u8.ToArray(), await Task.Run(() => read.Get(block)).WaitAsync(_patience));
        }

        IReadOnlyList<SwarmConnection> connections = await one.Network.ConnectionsAsync();
        Assert.EndsWith("/ws", Assert.Single(connections).Address.ToString(), StringComparison.Ordinal);
        Assert.Contains((await one.Network.AddressesAsync()).Select(a => a.ToString()), text => text.EndsWith("/ws", StringComparison.Ordinal));

        // Pages go on being pages, and a request that is only half one for a WebSocket is told so.
        using var http = new HttpClient();
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri($"http://127.0.0.1:{port.Port}/health"))).StatusCode);
        using var half = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{port.Port}/");
        half.Headers.Connection.Add("Upgrade");
        half.Headers.Upgrade.ParseAdd("websocket");
        Assert.Equal(HttpStatusCode.BadRequest, (await http.SendAsync(half)).StatusCode);

        // The end of HTTP is the end of what came over it, at once.
        await gateway.DisposeAsync().AsTask().WaitAsync(_patience);
        using var patience = new CancellationTokenSource(_patience);
        while ((await other.Network.ConnectionsAsync()).Count > 0) await Task.Delay(5, patience.Token);
    }

    [Fact]
    public async Task The_members_of_a_private_network_meet_on_a_port_of_their_own_and_nobody_else_comes_in()
    {
        using var folder = new TempDir("swarm-key");
        string file = folder.File("swarm.key");
        await File.WriteAllTextAsync(file, SwarmKey.Generate().ToFile());
        await using TestNode one = new(Private), other = new(Private), stranger = new();
        Cid block = Cid.Of(Multicodec.Raw, "a block"u8);
        one.Content.Loose.Put(block, "a block"u8);
        Assert.False(one.Network.AcceptsOnThePort);
        one.Network.Begin();
        // It is there before anybody asks for it, and tells of that port alone.
        Multiaddr address = Assert.Single(one.Network.Listening);
        Assert.Equal([address], await one.Network.AddressesAsync().WaitAsync(_patience));
        Assert.NotEqual(one.Address.WithoutPeer(), address);
        Assert.Equal(one.Network.Id, await other.Network.ConnectAsync(address).WaitAsync(_patience));
        using (IContentRead read = other.Network.OpenRead(_patience))
        {
            Assert.Equal("a block"u8.ToArray(), await Task.Run(() => read.Get(block)).WaitAsync(_patience));
        }

        await Assert.ThrowsAnyAsync<IOException>(() => stranger.Network.ConnectAsync(address).WaitAsync(_patience));
        Assert.Equal(other.Network.Id, Assert.Single(await one.Network.ConnectionsAsync()).Peer);

        await File.WriteAllTextAsync(file, "nonsense");
        IOException e = Assert.Throws<IOException>(() => new TestNode(Private));
        Assert.Contains(file, e.Message, StringComparison.Ordinal);

        void Private(ConfigSettings settings)
        {
            settings.Put(ConfigKeys.SwarmKeyFile, ConfigText.FromText(file));
            settings.Put(ConfigKeys.SwarmPort, Ports.Free());
        }
    }

    [Fact]
    public async Task A_node_that_takes_no_part_in_a_network_turns_WebSockets_away()
    {
        await using TestNode one = new(("swarm", "no")), other = new();
        await using var gateway = new HttpGateway(new NoStatus(), NodeLog.None) { Peers = () => one.Network.AcceptsOnThePort ? one.Network.AcceptAsync : null };
        using var port = new MiniServer("socket", wrap: inner => new PortHandler(inner, gateway.Take, () => null, NodeLog.None));
        await Assert.ThrowsAsync<Leither.Libp2p.Libp2pException>(() => other.Network.ConnectAsync(Multiaddr.Parse($"/ip4/127.0.0.1/tcp/{port.Port}/ws")).WaitAsync(_patience));
    }

    [Fact]
    public async Task A_node_that_knows_nobody_says_at_once_that_something_is_not_here()
    {
        await using TestNode one = new();
        using IContentRead read = one.Network.OpenRead(TimeSpan.FromDays(1));
        Assert.Null(read.Get(Cid.Of(Multicodec.Raw, "nowhere"u8)));
        Assert.Null(one.Network.Services);
    }

    [Fact]
    public async Task What_nobody_has_is_given_up_in_time()
    {
        await using TestNode one = new(), other = new();
        await other.Network.ConnectAsync(one.Address).WaitAsync(_patience);
        using IContentRead read = other.Network.OpenRead(TimeSpan.FromMilliseconds(200));
        Cid none = Cid.Of(Multicodec.Raw, "nowhere"u8);
        BlockTimeoutException e = await Assert.ThrowsAsync<BlockTimeoutException>(() => Task.Run(() => read.Get(none)).WaitAsync(_patience));
        Assert.Equal(none, e.Cid);
        await Assert.ThrowsAsync<BlockTimeoutException>(() => read.HaveAsync(none).WaitAsync(_patience));
        using var stop = new CancellationTokenSource();
        using IContentRead stopped = other.Network.OpenRead(TimeSpan.FromDays(1), stop.Token);
        Task reading = Task.Run(() => stopped.Get(none));
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading.WaitAsync(_patience));
    }

    private sealed class NoStatus : INodeStatus;

    [Fact]
    public async Task Who_waits_for_a_block_gets_it_when_it_comes()
    {
        await using TestNode one = new(), other = new();
        await other.Network.ConnectAsync(one.Address).WaitAsync(_patience);
        Cid later = Cid.Of(Multicodec.Raw, "later"u8);
        using IContentRead read = other.Network.OpenRead(_patience);
        Task<byte[]?> waiting = Task.Run(() => read.Get(later));
        await Task.WhenAny(waiting, Task.Delay(300));
        Assert.False(waiting.IsCompleted);
        one.Content.Loose.Put(later, "later"u8);
        Assert.Equal("later"u8.ToArray(), await waiting.WaitAsync(_patience));
    }

    /// <summary>A part in a network, with a port whose sockets it is handed.</summary>
    private sealed class TestNode : IAsyncDisposable
    {
        private readonly PrivateKey _key = PrivateKey.Generate();
        private readonly TcpListener _port = new(IPAddress.Loopback, 0);
        private readonly TempDir _folder = new("swarm");
        private readonly Task _accepting;

        public TestNode(params (string Name, string Value)[] settings)
            : this(target => Assert.Null(target.Set(settings, isLocal: true)))
        {
        }

        public TestNode(Action<ConfigSettings> configure)
        {
            configure(Settings);
            Content = new ContentRepo(new WatchedBlockstore(new MemoryBlockstore(), cid => Network?.Added(cid)), new SimulatedDisk(0));
            Network = new NodeNetwork(_key, Content, _folder.File("swarm"), Settings, NodeLog.None);
            _port.Start();
            Network.ListensAt([(IPEndPoint)_port.LocalEndpoint]);
            _accepting = AcceptAsync();
        }

        public ConfigSettings Settings { get; } = new();

        public ContentRepo Content { get; }

        public NodeNetwork Network { get; }

        public Multiaddr Address => Multiaddr.Of((IPEndPoint)_port.LocalEndpoint).WithPeer(Network.Id);

        public Cid Add(byte[] content)
        {
            Cid cid = new UnixFsImporter(Content.Blocks, UnixFsProfile.V1).AddFile(new MemoryStream(content)).Cid;
            Content.PinNew(cid);
            return cid;
        }

        public async ValueTask DisposeAsync()
        {
            _port.Stop();
            await _accepting;
            await Network.DisposeAsync();
            Content.Dispose();
            _key.Dispose();
            _folder.Dispose();
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    Socket socket = await _port.AcceptSocketAsync();
                    byte[] first = new byte[20];
                    Network.Accept(socket, first[..await socket.ReceiveAsync(first)]);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The end.
            }
        }
    }
}
