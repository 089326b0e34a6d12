using System.Buffers.Binary;
using Leither.Ipfs.Keys;
using Leither.Libp2p.Noise;
using Leither.Libp2p.Transport;
using Leither.Libp2p.Yamux;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Yamux;

public sealed class YamuxTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Bytes_go_both_ways_and_each_direction_ends_by_itself()
    {
        await using var pair = await SessionPair.CreateAsync();
        await using YamuxStream dialed = pair.Dialer.OpenStream();
        await dialed.WriteAsync("ping"u8.ToArray());
        dialed.CompleteWrites();
        await using YamuxStream accepted = await pair.AcceptedAsync();
        Assert.Equal("ping", await ReadTextAsync(accepted));
        Assert.Equal(0, await accepted.ReadAsync(new byte[1]));
        await accepted.WriteAsync("pong"u8.ToArray());
        accepted.CompleteWrites();
        Assert.Equal("pong", await ReadTextAsync(dialed));
        await UntilAsync(() => pair.Dialer.StreamCount == 0 && pair.Listener.StreamCount == 0);
    }

    [Fact]
    public async Task Disposing_answers_an_end_with_an_end()
    {
        await using var pair = await SessionPair.CreateAsync();
        await using (YamuxStream dialed = pair.Dialer.OpenStream())
        {
            await dialed.WriteAsync(new byte[10]);
        }

        YamuxStream accepted = await pair.AcceptedAsync();
        byte[] buffer = new byte[20];
        await LengthPrefixed.ReadExactlyAsync(accepted, buffer.AsMemory(0, 10));
        Assert.Equal(0, await accepted.ReadAsync(buffer));
        await accepted.DisposeAsync();
        await UntilAsync(() => pair.Dialer.StreamCount == 0 && pair.Listener.StreamCount == 0);
    }

    [Fact]
    public async Task Whoever_only_listens_is_heard_of()
    {
        await using var pair = await SessionPair.CreateAsync();
        await using YamuxStream dialed = pair.Dialer.OpenStream();
        byte[] buffer = new byte[5];
        ValueTask<int> reading = dialed.ReadAsync(buffer);
        await using YamuxStream accepted = await pair.AcceptedAsync();
        await accepted.WriteAsync("hello"u8.ToArray());
        Assert.Equal(5, await reading);
    }

    [Fact]
    public async Task A_reset_fails_the_other_side_and_leaves_the_connection()
    {
        await using var pair = await SessionPair.CreateAsync();
        YamuxStream dialed = pair.Dialer.OpenStream();
        await dialed.WriteAsync(new byte[1]);
        YamuxStream accepted = await pair.AcceptedAsync();
        await accepted.ReadExactlyAsync(new byte[1]);
        dialed.Reset();
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(async () => Assert.Equal(0, await accepted.ReadAsync(new byte[1])));
        Assert.Equal(Libp2pError.StreamReset, e.Error);
        await Assert.ThrowsAsync<Libp2pException>(async () => await accepted.WriteAsync(new byte[1]));
        await Assert.ThrowsAsync<Libp2pException>(async () => await dialed.WriteAsync(new byte[1]));
        Assert.True(await pair.Dialer.PingAsync() > TimeSpan.Zero);
        Assert.Equal(0, pair.Listener.StreamCount);
    }

    [Fact]
    public async Task A_writer_waits_for_the_window_and_the_window_grows_for_a_fast_reader()
    {
        await using var pair = await SessionPair.CreateAsync();
        await using YamuxStream dialed = pair.Dialer.OpenStream();
        const int Total = 64 * 1024 * 1024;
        Task writing = Task.Run(async () =>
        {
            byte[] block = new byte[300_000];
            for (int sent = 0; sent < Total;)
            {
                int count = Math.Min(block.Length, Total - sent);
                for (int i = 0; i < count; i += 4096)
                {
                    block[i] = (byte)((sent + i) / 4096);
                }

                await dialed.WriteAsync(block.AsMemory(0, count));
                sent += count;
            }

            dialed.CompleteWrites();
        });
        await using YamuxStream accepted = await pair.AcceptedAsync();
        await UntilAsync(() => accepted.HasInput);
        // Nobody reads: what is held stays within the first window.
        Assert.False(writing.IsCompleted);
        Assert.True(pair.Listener.HeldBytes <= 2 * YamuxOptions.InitialWindow);
        byte[] buffer = new byte[100_000];
        int received = 0;
        while (await accepted.ReadAsync(buffer) is var read and > 0)
        {
            received += read;
        }

        await writing;
        Assert.Equal(Total, received);
        Assert.Equal(0, pair.Listener.HeldBytes);
        Assert.InRange(accepted.WindowSize, YamuxOptions.InitialWindow, YamuxOptions.Default.MaxWindow);
    }

    [Fact]
    public async Task Streams_share_a_connection()
    {
        await using var pair = await SessionPair.CreateAsync();
        Task echo = Task.Run(async () =>
        {
            var handlers = new List<Task>();
            for (int i = 0; i < 50; i++)
            {
                YamuxStream stream = await pair.AcceptedAsync();
                handlers.Add(Task.Run(async () =>
                {
                    await using (stream)
                    {
                        await stream.CopyToAsync(stream);
                    }
                }));
            }

            await Task.WhenAll(handlers);
        });
        await Task.WhenAll(Enumerable.Range(0, 50).Select(i => Task.Run(async () =>
        {
            byte[] sent = new byte[400_000 + i];
            new Random(i).NextBytes(sent);
            await using YamuxStream stream = pair.Dialer.OpenStream();
            Task writing = Task.Run(async () =>
            {
                await stream.WriteAsync(sent);
                stream.CompleteWrites();
            });
            byte[] received = new byte[sent.Length];
            await stream.ReadExactlyAsync(received);
            Assert.Equal(0, await stream.ReadAsync(new byte[1]));
            await writing;
            Assert.Equal(sent, received);
        })));
        await echo;
        await UntilAsync(() => pair.Dialer.StreamCount == 0 && pair.Listener.StreamCount == 0);
    }

    [Fact]
    public async Task A_cancelled_read_loses_nothing()
    {
        await using var pair = await SessionPair.CreateAsync();
        await using YamuxStream dialed = pair.Dialer.OpenStream();
        await dialed.WriteAsync(new byte[1]);
        await using YamuxStream accepted = await pair.AcceptedAsync();
        await accepted.ReadExactlyAsync(new byte[1]);
        using var cancellation = new CancellationTokenSource();
        ValueTask<int> reading = accepted.ReadAsync(new byte[10], cancellation.Token);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await reading);
        await dialed.WriteAsync("after"u8.ToArray());
        Assert.Equal("after", await ReadTextAsync(accepted));
    }

    [Fact]
    public async Task A_write_cancelled_half_way_resets_and_one_that_has_not_begun_does_not()
    {
        await using var pair = await SessionPair.CreateAsync();
        YamuxStream dialed = pair.Dialer.OpenStream();
        using var cancellation = new CancellationTokenSource();
        ValueTask writing = dialed.WriteAsync(new byte[YamuxOptions.InitialWindow + 1], cancellation.Token);
        YamuxStream accepted = await pair.AcceptedAsync();
        await UntilAsync(() => pair.Listener.HeldBytes >= YamuxOptions.InitialWindow);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await writing);
        await Assert.ThrowsAsync<Libp2pException>(async () =>
        {
            while (await accepted.ReadAsync(new byte[100_000]) > 0)
            {
            }
        });

        dialed = pair.Dialer.OpenStream();
        await dialed.WriteAsync(new byte[YamuxOptions.InitialWindow]);
        accepted = await pair.AcceptedAsync();
        using var again = new CancellationTokenSource();
        writing = dialed.WriteAsync(new byte[1], again.Token);
        await again.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await writing);
        await accepted.ReadExactlyAsync(new byte[YamuxOptions.InitialWindow]);
        await dialed.WriteAsync("after"u8.ToArray());
        Assert.Equal("after", await ReadTextAsync(accepted));
    }

    [Fact]
    public async Task Closing_sends_what_was_written_and_says_so()
    {
        await using var pair = await SessionPair.CreateAsync();
        YamuxStream dialed = pair.Dialer.OpenStream();
        await dialed.WriteAsync("last words"u8.ToArray());
        dialed.CompleteWrites();
        await pair.Dialer.CloseAsync().WaitAsync(_patience);
        YamuxStream accepted = await pair.AcceptedAsync();
        Assert.Equal(Libp2pError.ConnectionClosed, (await pair.Listener.Completion.WaitAsync(_patience)).Error);
        Assert.Equal("last words", await ReadTextAsync(accepted));
        Assert.Equal(0, await accepted.ReadAsync(new byte[1]));
        Assert.Throws<Libp2pException>(() => pair.Listener.OpenStream());
    }

    [Fact]
    public async Task More_streams_than_allowed_are_reset_until_others_are_done_with()
    {
        await using var pair = await SessionPair.CreateAsync(new YamuxOptions { MaxInboundStreams = 3 });
        var streams = new List<YamuxStream>();
        for (int i = 0; i < 4; i++)
        {
            streams.Add(pair.Dialer.OpenStream());
            await streams[i].WriteAsync(new byte[1]);
        }

        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(async () => Assert.Equal(0, await streams[3].ReadAsync(new byte[1])));
        Assert.Equal(Libp2pError.StreamReset, e.Error);
        YamuxStream accepted = await pair.AcceptedAsync();
        streams[0].Reset();
        await Assert.ThrowsAsync<Libp2pException>(async () =>
        {
            while (await accepted.ReadAsync(new byte[10]) > 0)
            {
            }
        });

        // Its handler is still at work: the place is not free.
        YamuxStream early = pair.Dialer.OpenStream();
        await early.WriteAsync(new byte[1]);
        await Assert.ThrowsAsync<Libp2pException>(async () => Assert.Equal(0, await early.ReadAsync(new byte[1])));
        await accepted.DisposeAsync();
        YamuxStream late = pair.Dialer.OpenStream();
        await late.WriteAsync(new byte[1]);
        await pair.AcceptedAsync();
        await pair.AcceptedAsync();
        await using YamuxStream last = await pair.AcceptedAsync();
        await last.WriteAsync(new byte[1]);
        Assert.Equal(1, await late.ReadAsync(new byte[1]));
    }

    [Fact]
    public async Task A_flood_of_streams_ends_the_connection()
    {
        await using var raw = await RawPair.CreateAsync(new YamuxOptions { MaxInboundStreams = 10, MaxRefusedStreams = 100 });
        byte[] flood = [.. Enumerable.Range(0, 1000).SelectMany(i => Frame(0, 1, (uint)(2 * i + 1), 0))];
        await raw.SendAsync(flood);
        Assert.Equal(Libp2pError.LimitExceeded, (await raw.Session.Completion.WaitAsync(_patience)).Error);
        Assert.Equal(0, raw.Session.StreamCount);
    }

    [Fact]
    public async Task Whoever_asks_and_does_not_read_the_answers_is_dropped()
    {
        var time = new ManualTime();
        await using var raw = await RawPair.CreateAsync(new YamuxOptions { MaxPendingAnswers = 50 }, time);
        byte[] pings = [.. Enumerable.Range(0, 5000).SelectMany(i => Frame(2, 1, 0, (uint)i))];
        Task asking = Task.Run(async () =>
        {
            while (true)
            {
                await raw.SendAsync(pings);
            }
        });
        await UntilAsync(() => raw.Session.IsEnding);
        // What it is told does not get through either: it has its time, then it is dropped.
        time.Advance(TimeSpan.FromSeconds(6));
        raw.Session.Tick();
        Assert.Equal(Libp2pError.LimitExceeded, (await raw.Session.Completion.WaitAsync(_patience)).Error);
        await Assert.ThrowsAnyAsync<IOException>(() => asking.WaitAsync(_patience));
    }

    [Fact]
    public async Task What_the_readers_of_a_connection_leave_is_bounded()
    {
        await using var pair = await SessionPair.CreateAsync(new YamuxOptions { MaxBufferedBytes = 1024 * 1024 });
        var streams = new List<YamuxStream>();
        for (int i = 0; i < 8; i++)
        {
            streams.Add(pair.Dialer.OpenStream());
            try
            {
                await streams[i].WriteAsync(new byte[YamuxOptions.InitialWindow]);
            }
            catch (Libp2pException)
            {
                // Reset while writing.
            }
        }

        await UntilAsync(() => pair.Listener.StreamCount is > 0 and < 8);
        Assert.True(pair.Listener.HeldBytes <= 1024 * 1024 + 64 * 1024);
        Assert.False(pair.Listener.Completion.IsCompleted);
    }

    public static TheoryData<string, string> Violations() => new()
    {
        { "another version", "01 00 0000 00000001 00000000" },
        { "an unknown type", "00 04 0000 00000001 00000000" },
        { "no stream", "00 00 0001 00000000 00000000" },
        { "a number of ours", "00 00 0001 00000002 00000000" },
        { "a number in use", "00 00 0001 00000001 00000000 00 00 0001 00000001 00000000" },
        { "more than the window", "00 00 0001 00000001 00040001" },
        { "a huge length", "00 00 0001 00000001 ffffffff" },
        { "more than the window, by and by", "00 00 0001 00000001 00000001 ff 00 00 0000 00000001 00040000" },
        { "a window overflow", "00 01 0001 00000001 ffffffff" },
        { "a window overflow, by and by", "00 01 0001 00000001 ff000000 00 01 0000 00000001 01000000" },
        { "data after the end", "00 00 0005 00000001 00000000 00 00 0000 00000001 00000001 ff" },
    };

    [Theory]
    [MemberData(nameof(Violations))]
    public async Task Whoever_breaks_the_protocol_is_told_and_dropped(string what, string hex)
    {
        await using var raw = await RawPair.CreateAsync();
        byte[] bytes = Hex.Bytes(hex);
        // In one piece and byte by byte.
        if (what.Length % 2 == 0)
        {
            await raw.SendAsync(bytes);
        }
        else
        {
            foreach (byte one in bytes)
            {
                await raw.SendAsync([one]);
            }
        }

        Assert.Equal(Libp2pError.ProtocolViolation, (await raw.Session.Completion.WaitAsync(_patience)).Error);
        byte[] last = await raw.ReadToEndAsync();
        Assert.Equal("000300000000000000000001", Hex.Text(last.AsSpan(last.Length - 12)));
    }

    [Theory]
    [InlineData("00 00 0000 00000001 00000004 01020304", "")] // a stream that is gone
    [InlineData("00 01 0008 00000005 00000000", "")]
    [InlineData("00 02 0001 00000000 12345678", "000200020000000012345678")]
    [InlineData("00 02 0002 00000000 12345678", "")] // an answer that nobody asked for
    [InlineData("00 03 0000 00000000 00000000", "")]
    public async Task What_is_answered(string hex, string answer)
    {
        await using var raw = await RawPair.CreateAsync();
        byte[] bytes = Hex.Bytes(hex);
        for (int at = 0; at < bytes.Length; at++)
        {
            await raw.SendAsync(bytes[at..(at + 1)]);
        }

        Task<TimeSpan> ping = raw.Session.PingAsync();
        byte[] received = new byte[Hex.Bytes(answer).Length + 12];
        await LengthPrefixed.ReadExactlyAsync(raw.Channel, received);
        string text = Hex.Text(received);
        // Our question and the answer may come in either order.
        Assert.Contains("000200010000000000000000", text, StringComparison.Ordinal);
        Assert.Contains(answer, text, StringComparison.Ordinal);
        await raw.SendAsync(Hex.Bytes("000200020000000000000000"));
        Assert.True(await ping.WaitAsync(_patience) > TimeSpan.Zero);
    }

    [Fact]
    public async Task Silence_is_asked_about_and_then_taken_for_the_end()
    {
        var time = new ManualTime();
        await using var raw = await RawPair.CreateAsync(time: time);
        raw.Session.Tick();
        time.Advance(TimeSpan.FromSeconds(31));
        raw.Session.Tick();
        byte[] ping = new byte[12];
        await LengthPrefixed.ReadExactlyAsync(raw.Channel, ping);
        Assert.Equal("000200010000000000000000", Hex.Text(ping));
        await raw.SendAsync(Hex.Bytes("000200020000000000000000"));
        await UntilAsync(() => raw.Session.RoundTrip > TimeSpan.Zero);
        raw.Session.Tick();
        time.Advance(TimeSpan.FromSeconds(44));
        raw.Session.Tick();
        Assert.False(raw.Session.Completion.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(2));
        raw.Session.Tick();
        Assert.Equal(Libp2pError.Timeout, (await raw.Session.Completion.WaitAsync(_patience)).Error);
    }

    [Fact]
    public async Task A_stream_that_the_other_side_does_not_end_is_reset_in_time()
    {
        var time = new ManualTime();
        await using var raw = await RawPair.CreateAsync(time: time);
        YamuxStream stream = raw.Session.OpenStream();
        await stream.WriteAsync(new byte[1]);
        await stream.DisposeAsync();
        Assert.Equal(1, raw.Session.StreamCount);
        time.Advance(TimeSpan.FromSeconds(29));
        raw.Session.Tick();
        Assert.Equal(1, raw.Session.StreamCount);
        time.Advance(TimeSpan.FromSeconds(2));
        raw.Session.Tick();
        Assert.Equal(0, raw.Session.StreamCount);
    }

    [Fact]
    public async Task Unanswered_streams_are_limited()
    {
        await using var raw = await RawPair.CreateAsync(new YamuxOptions { MaxUnacknowledgedStreams = 2 });
        raw.Session.OpenStream();
        raw.Session.OpenStream();
        Assert.Equal(Libp2pError.LimitExceeded, Assert.Throws<Libp2pException>(() => raw.Session.OpenStream()).Error);
        await raw.SendAsync(Frame(1, 2, 2, 0));
        await UntilAsync(() =>
        {
            try
            {
                raw.Session.OpenStream();
                return true;
            }
            catch (Libp2pException)
            {
                return false;
            }
        });
    }

    [Fact]
    public async Task Whatever_is_sent_the_session_ends_or_goes_on() => await Seed.RunAsync(async random =>
    {
        for (int round = 0; round < 60; round++)
        {
            await using var raw = await RawPair.CreateAsync(new YamuxOptions { MaxBufferedBytes = 512 * 1024 });
            try
            {
                for (int i = 0; i < 60 && !raw.Session.Completion.IsCompleted; i++)
                {
                    byte[] frame = Frame((byte)random.Next(0, 5), (ushort)random.Next(0, 16), (uint)random.Next(0, 6), (uint)random.Next(0, 400));
                    if (random.Next(10) == 0)
                    {
                        frame[random.Next(12)] = (byte)random.Next(256);
                    }

                    byte[] payload = new byte[frame[1] == 0 ? BinaryPrimitives.ReadUInt32BigEndian(frame.AsSpan(8)) % 100_000 : 0];
                    await raw.SendAsync([.. frame, .. payload]);
                }
            }
            catch (IOException)
            {
                // Dropped.
            }

            Assert.True(raw.Session.HeldBytes <= 600 * 1024);
            raw.Session.Abort(new Libp2pException(Libp2pError.ConnectionClosed, "The round is over."));
            await raw.Session.Completion.WaitAsync(_patience);
        }
    });

    private static byte[] Frame(byte type, ushort flags, uint stream, uint length)
    {
        byte[] frame = new byte[12];
        new YamuxHeader((YamuxType)type, (YamuxFlags)flags, stream, length).Write(frame);
        return frame;
    }

    private static async Task<string> ReadTextAsync(YamuxStream stream)
    {
        byte[] buffer = new byte[100];
        return System.Text.Encoding.UTF8.GetString(buffer, 0, await stream.ReadAsync(buffer).AsTask().WaitAsync(_patience));
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(_patience);
        while (!condition())
        {
            await Task.Delay(2, patience.Token);
        }
    }
}

/// <summary>Two sessions over Noise over memory.</summary>
internal sealed class SessionPair : IAsyncDisposable
{
    private readonly System.Threading.Channels.Channel<YamuxStream> _accepted = System.Threading.Channels.Channel.CreateUnbounded<YamuxStream>();

    public YamuxSession Dialer { get; private set; } = null!;

    public YamuxSession Listener { get; private set; } = null!;

    public static async Task<SessionPair> CreateAsync(YamuxOptions? listenerOptions = null)
    {
        (NoiseChannel dialer, NoiseChannel listener) = await SecurePairAsync();
        var pair = new SessionPair();
        pair.Dialer = new YamuxSession(dialer, isDialer: true, stream => stream.Reset());
        pair.Listener = new YamuxSession(listener, isDialer: false, stream => Assert.True(pair._accepted.Writer.TryWrite(stream)), listenerOptions);
        pair.Dialer.Start();
        pair.Listener.Start();
        return pair;
    }

    public static async Task<(NoiseChannel Dialer, NoiseChannel Listener)> SecurePairAsync()
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var one = PrivateKey.Generate();
        using var other = PrivateKey.Generate();
        using var dialing = new NoiseSecurity(one, YamuxSession.Id);
        using var listening = new NoiseSecurity(other, YamuxSession.Id);
        Task<NoiseChannel> accepted = listening.ListenAsync(listener, new InputBuffer(listener), CancellationToken.None);
        return (await dialing.DialAsync(dialer, new InputBuffer(dialer), null, CancellationToken.None), await accepted);
    }

    public async Task<YamuxStream> AcceptedAsync() => await _accepted.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));

    public async ValueTask DisposeAsync()
    {
        var over = new Libp2pException(Libp2pError.ConnectionClosed, "The test is over.");
        Dialer.Abort(over);
        Listener.Abort(over);
        await Dialer.Completion;
        await Listener.Completion;
    }
}

/// <summary>A listening session, and the bare secured channel of somebody who speaks with it.</summary>
internal sealed class RawPair : IAsyncDisposable
{
    public YamuxSession Session { get; private set; } = null!;

    public NoiseChannel Channel { get; private set; } = null!;

    public static async Task<RawPair> CreateAsync(YamuxOptions? options = null, TimeProvider? time = null)
    {
        (NoiseChannel dialer, NoiseChannel listener) = await SessionPair.SecurePairAsync();
        var pair = new RawPair { Channel = dialer, Session = new YamuxSession(listener, isDialer: false, _ => { }, options, time) };
        pair.Session.Start();
        return pair;
    }

    public async Task SendAsync(byte[] bytes) => await Channel.WriteAsync(bytes);

    public async Task<byte[]> ReadToEndAsync()
    {
        var all = new MemoryStream();
        byte[] buffer = new byte[1000];
        try
        {
            while (await Channel.ReadAsync(buffer) is var read and > 0)
            {
                all.Write(buffer, 0, read);
            }
        }
        catch (IOException)
        {
            // The end, told otherwise.
        }

        return all.ToArray();
    }

    public async ValueTask DisposeAsync()
    {
        Session.Abort(new Libp2pException(Libp2pError.ConnectionClosed, "The test is over."));
        await Session.Completion;
        Channel.Connection.Dispose();
    }
}

/// <summary>A clock that stands still until it is told otherwise.</summary>
internal sealed class ManualTime : TimeProvider
{
    private long _ticks = 1;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Volatile.Read(ref _ticks);

    public override DateTimeOffset GetUtcNow() => new DateTimeOffset(2026, 11, 21, 0, 0, 0, TimeSpan.Zero) + TimeSpan.FromTicks(GetTimestamp());

    public void Advance(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);
}
