// A provider that lies, over the real protocol: it stands between a follower and the writer, and changes what comes by. Whatever it does, the follower shows nothing
// that the writer did not write, holds no more memory than it may, and goes on once somebody honest is there.

using System.Buffers;
using System.Globalization;
using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.MmDb.Log;
using Leither.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class HostileProviderTests
{
    /// <summary>What a follower may take for what a liar sends: less than a single one of the floods below.</summary>
    private const long MemoryAllowance = 160 << 20;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    /// <summary>How a provider lies.</summary>
    public enum Lie
    {
        FlipsBits,
        Withholds,
        ReplaysWhatItShowedBefore,
        Forges,
        SendsFramesThatNeverEnd,
        SendsMoreThanWasAskedFor,
    }

    [Theory]
    [InlineData(Lie.FlipsBits)]
    [InlineData(Lie.Withholds)]
    [InlineData(Lie.ReplaysWhatItShowedBefore)]
    [InlineData(Lie.Forges)]
    [InlineData(Lie.SendsFramesThatNeverEnd)]
    [InlineData(Lie.SendsMoreThanWasAskedFor)]
    public Task A_follower_shows_nothing_that_was_not_written_and_goes_on_with_an_honest_source(Lie lie) => Seed.RunAsync(async random =>
    {
        using LeitherServer home = Start(), cloud = Start();
        using RespClient writer = home.Connect(), asked = cloud.Connect();
        string mid = writer.Call("MIMEI", "ID").Items[0].Text;
        for (int i = 0; i < 2000; i++)
        {
            writer.Call("SET", $"key:{i}", $"value {i} {new string('v', 100)}");
        }

        Assert.Equal(1, writer.Call("MIMEI", "BACKUP").Integer);
        Assert.False(writer.Call("MIMEI", "PUBLISH", mid).IsError);
        long before = ResidentBytes(asked);
        await using var liar = new Liar(lie, random.Next(), AddressOf(home));
        await liar.ConnectAsync();

        // A follower that asks the liar again and again, whatever became of it before.
        using var ending = new CancellationTokenSource();
        Task following = Task.Run(() =>
        {
            while (!ending.IsCancellationRequested)
            {
                using RespClient client = cloud.Connect();
                client.Queue("MIMEI", "PROVIDE", mid, "FROM", liar.Address);
                client.Flush();
                try
                {
                    client.Read();
                }
                catch (IOException) when (ending.IsCancellationRequested)
                {
                    return;
                }
            }
        });
        int seen = -1;
        for (int i = 0; i < 60; i++)
        {
            writer.Call("SET", "n", $"{i}");
            await Task.Delay(20);
            if (Look(cloud, mid) is { } shown)
            {
                int n = shown.N is null ? -1 : int.Parse(shown.N, CultureInfo.InvariantCulture);
                Assert.InRange(n, seen, i); // never back, and nothing that was not written
                seen = n;
                Assert.True(shown.Value is null || shown.Value.StartsWith("value 77 ", StringComparison.Ordinal), shown.Value);
            }
        }

        Assert.True(liar.Lies > 0, "it lied");
        using (RespClient client = cloud.Connect())
        {
            client.Queue("MIMEI", "PROVIDE", mid, "FROM", AddressOf(home));
            client.Flush();
            Wait.Until(() => Look(cloud, mid)?.N == "59", () => cloud.Log);
            await ending.CancelAsync();
            await liar.DisposeAsync();
            RespValue provided = client.Read();
            Assert.False(provided.IsError, provided.IsError ? provided.Text : "");
        }

        await following.WaitAsync(_patience);
        using RespClient reader = cloud.Connect();
        Assert.Equal("OK", reader.Call("MIMEI", "OPEN", mid).Text);
        string state = writer.Call("MIMEI", "CID").Text;
        Wait.Until(() => reader.Call("MIMEI", "CID").Text == state, () => cloud.Log);
        Assert.InRange(ResidentBytes(asked) - before, long.MinValue, MemoryAllowance);
    });

    /// <summary>What a client of the follower sees; null: the MiMei is not there yet.</summary>
    private static (string? N, string? Value)? Look(LeitherServer server, string mid)
    {
        using RespClient client = server.Connect();
        if (client.Call("MIMEI", "OPEN", mid).Text != "OK") return null;
        RespValue n = client.Call("GET", "n"), value = client.Call("GET", "key:77");
        return n.IsError || value.IsError ? null : (n.IsNull ? null : n.Text, value.IsNull ? null : value.Text);
    }

    private static long ResidentBytes(RespClient client)
    {
        const string field = "used_memory_rss:";
        string info = client.Call("INFO", "memory").Text;
        int at = info.IndexOf(field, StringComparison.Ordinal) + field.Length;
        return long.Parse(info[at..info.IndexOf('\r', at)], CultureInfo.InvariantCulture);
    }

    private static LeitherServer Start() => LeitherServer.StartNew("--dht-network", "leither", "--swarm-mdns", "no");

    private static string AddressOf(LeitherServer server)
    {
        using RespClient client = server.Connect();
        RespValue id = client.Call("SWARM", "ID");
        int at = Array.FindIndex(id.Items, static item => !item.IsAggregate && !item.IsNull && item.Text == "peer");
        return $"/ip4/127.0.0.1/tcp/{server.Port}/p2p/{id.Items[at + 1].Text}";
    }

    /// <summary>Passes on what a follower asks and what the writer answers, with lies.</summary>
    private sealed class Liar(Lie lie, int seed, string home) : IAsyncDisposable
    {
        private const int MaxKept = 200;

        private readonly Random _random = new(seed);
        private readonly PrivateKey _key = PrivateKey.Generate();
        private readonly List<byte[]> _kept = [];
        private readonly CancellationTokenSource _stopping = new();
        private Host? _host;
        private PeerConnection? _home;
        private int _lies;

        public string Address { get; private set; } = "";

        public int Lies => Volatile.Read(ref _lies);

        public async Task ConnectAsync()
        {
            _host = new Host(_key);
            _home = await _host.ConnectAsync(Multiaddr.Parse(home)).WaitAsync(_patience);
            _host.Handle(LogProtocol.Name, ServeAsync);
            Address = _host.Listen(new IPEndPoint(IPAddress.Loopback, 0)).WithPeer(_host.Id).ToString();
        }

        public async ValueTask DisposeAsync()
        {
            if (_host is not { } host) return;
            _host = null;
            await _stopping.CancelAsync();
            await host.DisposeAsync();
            _stopping.Dispose();
            _key.Dispose();
        }

        private async Task ServeAsync(PeerStream follower, CancellationToken cancellation)
        {
            using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stopping.Token);
            await using PeerStream source = _home!.OpenStream(LogProtocol.Name);
            Task asks = PassAsync(follower, source, static bytes => [bytes], both.Token), answers = AnswerAsync(source, follower, both.Token);
            await Task.WhenAny(asks, answers);
            await both.CancelAsync();
            await Task.WhenAll(asks, answers).ContinueWith(static _ => { }, TaskScheduler.Default);
            source.Reset();
            follower.Reset();
        }

        private static async Task PassAsync(PeerStream from, PeerStream to, Func<byte[], IEnumerable<byte[]>> change, CancellationToken cancellation)
        {
            byte[] buffer = new byte[64 << 10];
            try
            {
                while (await from.ReadAsync(buffer, cancellation) is > 0 and int read)
                {
                    foreach (byte[] bytes in change(buffer[..read])) await to.WriteAsync(bytes, cancellation);
                }
            }
            catch (IOException)
            {
                // One of the two has had enough.
            }
        }

        private async Task AnswerAsync(PeerStream source, PeerStream follower, CancellationToken cancellation)
        {
            byte[] left = [];
            bool isFirst = true;
            await PassAsync(
                source, follower,
                bytes =>
                {
                    left = [.. left, .. bytes];
                    var told = new List<byte[]>();
                    while (MessageCodec.TryReadLength(left, out int length, out int used) && left.Length >= used + length)
                    {
                        byte[] frame = left[..(used + length)];
                        left = left[(used + length)..];
                        // What it is about is mostly told as it is, or nothing would be asked for.
                        if (isFirst && _random.Next(4) > 0) told.Add(frame);
                        else told.AddRange(Change(frame));
                        isFirst = false;
                    }

                    return told;
                },
                cancellation);
        }

        private IEnumerable<byte[]> Change(byte[] frame)
        {
            if (_kept.Count < MaxKept) _kept.Add(frame);
            if (_random.Next(3) > 0) return [frame];
            Interlocked.Increment(ref _lies);
            switch (lie)
            {
                case Lie.FlipsBits:
                    byte[] flipped = [.. frame];
                    for (int i = _random.Next(1, 4); i > 0; i--) flipped[_random.Next(flipped.Length)] ^= (byte)(1 << _random.Next(8));
                    return [flipped];
                case Lie.Withholds:
                    return [];
                case Lie.ReplaysWhatItShowedBefore:
                    return [_kept[_random.Next(_kept.Count)], frame];
                case Lie.Forges:
                    return [Forge(frame)];
                case Lie.SendsFramesThatNeverEnd:
                    // A length beyond all limits, or one within them of which most never comes.
                    return _random.Next(2) == 0 ? [[0xFF, 0xFF, 0xFF, 0x7F], new byte[1 << 20]] : [[0xFF, 0xFF, 0x1F, 3], new byte[100 << 10]];
                default:
                    return [frame, .. Flood()];
            }
        }

        /// <summary>What the writer might have said, by somebody who has not his key.</summary>
        private byte[] Forge(byte[] frame)
        {
            MessageCodec.TryReadLength(frame, out _, out int used);
            switch (MessageCodec.Decode(frame.AsMemory(used)))
            {
                case HeadTold told:
                    // The head as it is, but for what it says, and signed by another.
                    byte[] head = told.Signed.ToArray();
                    head[_random.Next(head.Length)] ^= 1;
                    return Encode(new HeadTold(head));
                case Tail tail:
                    byte[] bytes = tail.Bytes.ToArray();
                    if (bytes.Length > 0) bytes[_random.Next(bytes.Length)] ^= 0x20;
                    return Encode(tail with { Bytes = bytes });
                case Block block:
                    byte[] piece = block.Bytes.ToArray();
                    if (piece.Length > 0) piece[_random.Next(piece.Length)] ^= 0x20;
                    return Encode(block with { Bytes = piece });
                case Nodes nodes:
                    return Encode(new Nodes([.. nodes.Blocks.Reverse()]));
                case VersionTold version:
                    byte[] signed = version.Block.ToArray();
                    signed[_random.Next(signed.Length)] ^= 1;
                    return Encode(new VersionTold(version.Number, Cid.Of(Multicodec.DagCbor, signed), signed));
                default:
                    return Encode(new UndoneTold(new Position(1, 1), ulong.MaxValue));
            }
        }

        /// <summary>Some 50 MB of messages that are well made, and that nobody asked for.</summary>
        private IEnumerable<byte[]> Flood()
        {
            byte[] piece = new byte[LogProtocol.MaxPieceBytes];
            _random.NextBytes(piece);
            for (int i = 0; i < 400; i++)
            {
                yield return Encode(_random.Next(4) switch
                {
                    0 => new Block(Cid.Of(Multicodec.Raw, BitConverter.GetBytes(i)), LogProtocol.MaxBlockBytes, 0, piece),
                    1 => new Tail((uint)i, new SegmentStart(1, 0, 1, 0), 0, piece),
                    2 => new Nodes([.. Enumerable.Repeat((ReadOnlyMemory<byte>)piece.AsMemory(0, 1000), 100)]),
                    _ => new VersionTold((ulong)i + 10, Cid.Of(Multicodec.DagCbor, piece), piece),
                });
            }
        }

        private static byte[] Encode(Message message)
        {
            var to = new ArrayBufferWriter<byte>();
            MessageCodec.Encode(message, to);
            return to.WrittenSpan.ToArray();
        }
    }
}
