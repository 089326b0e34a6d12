using System.Buffers;
using System.Globalization;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Car;
using Leither.Ipfs.Content;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Node.Http;
using Leither.Node.Http.Gateway;
using Leither.Node.Logging;
using Leither.Node.Transport;

namespace Leither.Node.Tests;

/// <summary>A port with the gateway behind it, over a store in memory, a network that is a dictionary and names that are another.</summary>
internal sealed class GatewayHost : IAsyncDisposable
{
    private readonly HttpGateway _gateway;
    private readonly MiniServer _server;
    private readonly HttpClient _http;
    private readonly StringWriter _printed = new(CultureInfo.InvariantCulture);

    public GatewayHost(bool hasNetwork = true, GatewayOptions? options = null, IBlockSource? served = null)
    {
        Network = new FakeNetwork(Store);
        var log = new NodeLog(TimeProvider.System, TextWriter.Synchronized(_printed)) { Level = NodeLogLevel.Verbose };
        _gateway = new HttpGateway(new FixedStatus(), log, new IpfsGateway(served ?? Store, hasNetwork ? _ => Network : null, Names, options, log));
        _server = new MiniServer(OperatingSystem.IsLinux() ? "epoll" : "socket", wrap: inner => new PortHandler(inner, _gateway.Take, () => null, NodeLog.None));
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { Timeout = TimeSpan.FromSeconds(60) };
    }

    public MemoryBlockstore Store { get; } = new();

    public FakeNetwork Network { get; }

    public FakeNames Names { get; } = new();

    public int Port => _server.Port;

    /// <summary>What stands in the log.</summary>
    public string Log => _printed.ToString();

    public Cid Find(Cid root, params string[] path) => UnixFsPath.Resolve(Store, root, path).Cid;

    public byte[] Block(Cid cid) => Store.Get(cid)!;

    /// <summary>Puts a block as it is, whatever is in it.</summary>
    public Cid AddBlock(ulong codec, byte[] block)
    {
        Cid cid = Cid.Of(codec, block);
        Store.Put(cid, block);
        return cid;
    }

    public Cid AddFile(byte[] bytes, UnixFsProfile? profile = null)
    {
        using var content = new MemoryStream(bytes);
        return new UnixFsImporter(Store, profile ?? UnixFsProfile.V1).AddFile(content).Cid;
    }

    public Cid AddDirectory(params (string Name, Cid Cid)[] entries) =>
        new UnixFsImporter(Store, UnixFsProfile.V1).AddDirectory([.. entries.Select(static e => new NewEntry(e.Name, e.Cid, 100))]).Cid;

    /// <summary>Asks; headers are "Name: value".</summary>
    public async Task<Answer> AskAsync(string method, string path, params string[] headers)
    {
        string host = $"127.0.0.1:{Port}";
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri($"http://{host}{path}"));
        foreach (string header in headers)
        {
            int colon = header.IndexOf(':', StringComparison.Ordinal);
            string name = header[..colon], value = header[(colon + 1)..].Trim();
            if (name == "Host") request.Headers.Host = value;
            else request.Headers.TryAddWithoutValidation(name, value);
        }

        using HttpResponseMessage response = await SendAsync(request);
        var all = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach ((string name, IEnumerable<string> values) in response.Headers.NonValidated.Concat(response.Content.Headers.NonValidated).Select(static h => (h.Key, h.Value.AsEnumerable())))
        {
            all[name] = string.Join(", ", values);
        }

        return new Answer((int)response.StatusCode, all, await response.Content.ReadAsByteArrayAsync());
    }

    public Task<Answer> GetAsync(string path, params string[] headers) => AskAsync("GET", path, headers);

    public Stream OpenStream(string path) => _http.GetStreamAsync(new Uri($"http://127.0.0.1:{Port}{path}")).GetAwaiter().GetResult();

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _gateway.DisposeAsync();
        _server.Dispose();
        Store.Dispose();

        // A request may be refused; it never fails by a mistake of ours.
        if (_printed.ToString() is { } printed && printed.Contains("failed", StringComparison.Ordinal)) throw new InvalidOperationException(printed);
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request)
    {
        try
        {
            return await _http.SendAsync(request, HttpCompletionOption.ResponseContentRead);
        }
        catch (HttpRequestException e)
        {
            throw new HttpRequestException($"{request.RequestUri}: {e.Message}\n{_printed}", e);
        }
    }

    private sealed class FixedStatus : INodeStatus;
}

/// <summary>What a response was.</summary>
internal sealed record Answer(int Status, IReadOnlyDictionary<string, string> Headers, byte[] Body)
{
    public string Text => Encoding.UTF8.GetString(Body);

    public string this[string header] => Headers.TryGetValue(header, out string? value) ? value : "";

    /// <summary>The blocks of a CAR in their order.</summary>
    public string[] CarBlocks()
    {
        var cids = new List<string>();
        CarReader car = CarReader.Open(new MemoryStream(Body));
        while (car.Read()) cids.Add(car.Cid.ToString());
        return [.. cids];
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Status} {string.Join("; ", Headers)} {Text[..Math.Min(300, Text.Length)]}");
}

/// <summary>Peers that have some blocks, and others never answer.</summary>
internal sealed class FakeNetwork(MemoryBlockstore store) : IContentRead
{
    public Dictionary<Multihash, byte[]> Blocks { get; } = [];

    public List<Cid> Asked { get; } = [];

    private int _ended;

    public bool HasPeers { get; set; } = true;

    /// <summary>Moves all blocks of the store to the network but these.</summary>
    public void TakeAll(params Cid[] except)
    {
        foreach (Cid cid in store.Cids().ToArray())
        {
            if (except.Contains(cid)) continue;
            Blocks[cid.Multihash] = store.Get(cid)!;
            store.Delete(cid);
        }
    }

    public bool Has(in Cid cid) => store.Has(cid);

    public bool TryGetLength(in Cid cid, out int length) => store.TryGetLength(cid, out length);

    public bool TryGet(in Cid cid, IBufferWriter<byte> destination) => store.TryGet(cid, destination);

    public IEnumerable<Cid> Cids() => store.Cids();

    public void WillRead(ReadOnlySpan<Cid> cids)
    {
        foreach (Cid cid in cids) Give(cid);
    }

    public async Task<bool> HaveAsync(Cid cid, CancellationToken cancellation = default)
    {
        await Task.Yield();
        if (store.Has(cid)) return true;
        lock (Asked) Asked.Add(cid);
        if (!HasPeers) return false;
        return Give(cid) ? true : throw new BlockTimeoutException(cid, TimeSpan.FromSeconds(30));
    }

    /// <summary>How many requests are done with it.</summary>
    public int Ended => Volatile.Read(ref _ended);

    public void Dispose() => Interlocked.Increment(ref _ended);

    private bool Give(Cid cid)
    {
        if (!Blocks.TryGetValue(cid.Multihash, out byte[]? block)) return false;
        store.Put(cid, block);
        return true;
    }
}

/// <summary>Names that are known.</summary>
internal sealed class FakeNames : INameResolver
{
    private readonly Dictionary<PeerId, byte[]> _records = [];

    public void Add(string name, byte[] record)
    {
        if (!IpnsRecord.TryParseName(name, out PeerId id)) throw new ArgumentException(name);
        _records[id] = record;
    }

    /// <summary>Adds a record that says where a key's name leads.</summary>
    /// <returns>The name.</returns>
    public string Add(PrivateKey key, string value)
    {
        string name = IpnsRecord.NameText(key.PublicKey.PeerId);
        Add(name, IpnsRecord.Create(key, value, 0, new DateTimeOffset(2120, 1, 2, 3, 4, 5, TimeSpan.Zero), TimeSpan.FromMinutes(30)).Bytes.ToArray());
        return name;
    }

    public Task<IpnsRecord?> ResolveAsync(PeerId name, CancellationToken cancellation) =>
        Task.FromResult(_records.TryGetValue(name, out byte[]? record) ? IpnsRecord.ReadValid(name, record, DateTimeOffset.UtcNow) : null);
}
