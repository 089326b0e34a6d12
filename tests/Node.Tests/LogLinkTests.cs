using Leither.Ipfs.Keys;
using Leither.Libp2p;
using Leither.MmDb.Log;
using Leither.Node.Replication;
using Leither.Replication;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class LogLinkTests
{
    [Fact]
    public Task Everything_that_is_made_for_a_peer_is_sent_in_order_however_it_takes_it() => Seed.RunAsync(async random =>
    {
        const ulong messages = 60_000;
        using var stream = new TakingStream(new Random(random.Next()));
        var owner = new Owner();
        var link = new LogLink(stream, PrivateKey.FromSeed(new byte[32]).PublicKey.PeerId, isInbound: true, new ReplicationOptions { MaxUnsentBytes = 500 }, owner, CancellationToken.None);
        ulong wanted = 0, sent = 0;
        var own = new Random(random.Next());
        // As a replica does: as much as there is room for, and once it is there, all of it is to go.
        var work = new SerialWork(() =>
        {
            ulong until = Volatile.Read(ref wanted);
            while (sent < until && link.Room > 0) link.Send(new Ack(1, ++sent, 0));
            if (link.IsUnflushed) link.Flush(isHere: own.Next(3) > 0);
        });
        owner.Drains = work.Wake;
        using var reader = new MessageReader(stream);
        Task running = link.RunAsync(reader);
        work.Begin();
        Thread[] bring = [.. Enumerable.Range(0, 3).Select(_ => random.Next()).Select(seed => new Thread(() =>
        {
            var chance = new Random(seed);
            for (ulong i = 0; i < messages / 3; i++)
            {
                Interlocked.Increment(ref wanted);
                if (chance.Next(2) == 0) work.Wake();
                else work.WakeHere();
                if (chance.Next(200) == 0) Thread.Sleep(chance.Next(2));
            }
        }))];
        foreach (Thread thread in bring) thread.Start();
        foreach (Thread thread in bring) thread.Join();
        // Nothing happens any more that would have it looked at again.
        Wait.Until(() => Read(stream.Taken) == messages, () => $"{Read(stream.Taken)} came of {sent} that were sent and {wanted} wanted");
        link.Complete();
        await link.Sent.WaitAsync(TimeSpan.FromSeconds(30));
        stream.End();
        await running.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(messages, Read(stream.Taken));
    });

    [Fact]
    public async Task Of_a_message_that_takes_long_it_is_told_that_it_comes_and_of_a_trickle_it_is_not()
    {
        var message = new System.Buffers.ArrayBufferWriter<byte>();
        MessageCodec.Encode(new Tail(1, new SegmentStart(1, 0, 1, 0), 0, new byte[5 * LogProtocol.ArrivingBytes]), message);
        foreach ((int step, int expected) in ((int, int)[])[(LogProtocol.ArrivingBytes / 4, 5), (LogProtocol.ArrivingBytes, 5), (2 * LogProtocol.ArrivingBytes, 2), (1 << 20, 0)])
        {
            int told = 0;
            using var reader = new MessageReader(new GivingStream(message.WrittenMemory, step)) { Arriving = () => told++ };
            Assert.Equal(5 * LogProtocol.ArrivingBytes, Assert.IsType<Tail>((await reader.ReadAsync(CancellationToken.None))!.Value.Message).Bytes.Length);
            Assert.Equal(expected, told);
        }

        int ofLittle = 0;
        using var trickle = new MessageReader(new GivingStream(message.WrittenMemory[..(LogProtocol.ArrivingBytes - 1)], 1)) { Arriving = () => ofLittle++ };
        await Assert.ThrowsAsync<Libp2pException>(() => trickle.ReadAsync(CancellationToken.None).AsTask());
        Assert.Equal(0, ofLittle);
    }

    [Fact]
    public async Task Who_takes_long_for_all_that_there_is_but_not_for_a_piece_of_it_is_not_given_up()
    {
        using var stream = new SlowStream(LogProtocol.MaxPieceBytes);
        var link = new LogLink(stream, PrivateKey.FromSeed(new byte[32]).PublicKey.PeerId, isInbound: true, new ReplicationOptions(), new Owner(), CancellationToken.None);
        using var reader = new MessageReader(stream);
        Task running = link.RunAsync(reader);
        var tail = new Tail(1, new SegmentStart(1, 0, 1, 0), 0, new byte[LogProtocol.MaxPieceBytes]);
        for (int i = 0; i < 8; i++) link.Send(tail);
        link.Flush(isHere: true);
        link.Complete();
        await link.Sent.WaitAsync(TimeSpan.FromSeconds(30));
        stream.End();
        await running.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.True(stream.Deadlines > 8, $"{stream.Deadlines} writes for all of it");
        Assert.Equal(link.BytesSent, stream.Bytes);
    }

    /// <summary>How many messages came; they are numbered.</summary>
    private static ulong Read(byte[] bytes)
    {
        ulong count = 0;
        ReadOnlyMemory<byte> rest = bytes;
        while (MessageCodec.TryReadLength(rest.Span, out int length, out int prefix) && rest.Length - prefix >= length)
        {
            Assert.Equal(++count, Assert.IsType<Ack>(MessageCodec.Decode(rest.Slice(prefix, length))).Written);
            rest = rest[(prefix + length)..];
        }

        return count;
    }

    private sealed class Owner : ILogLinkOwner
    {
        public Action Drains { get; set; } = () => { };

        public void Received(LogLink link, Message message) => link.Worked();

        public void Arriving(LogLink link)
        {
        }

        public void Drained(LogLink link) => Drains();

        public void Ended(LogLink link, Exception? problem) => Assert.Null(problem);
    }

    /// <summary>Gives bytes, a few at a time.</summary>
    private sealed class GivingStream(ReadOnlyMemory<byte> bytes, int step) : IByteChannel
    {
        private ReadOnlyMemory<byte> _left = bytes;

        public bool HasInput => !_left.IsEmpty;

        public ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int count = Math.Min(Math.Min(step, buffer.Length), _left.Length);
            _left[..count].CopyTo(buffer);
            _left = _left[count..];
            return new(count);
        }

        public ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => throw new NotSupportedException();
    }

    /// <summary>Takes no more at a time than is said.</summary>
    private sealed class SlowStream(int most) : PeerStream
    {
        private readonly TaskCompletionSource<int> _end = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Deadlines { get; private set; }

        public long Bytes { get; private set; }

        public override bool HasInput => false;

        public void End() => _end.TrySetResult(0);

        public override void CompleteWrites()
        {
        }

        public override void Reset() => End();

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(_end.Task.WaitAsync(cancellationToken));

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            Assert.InRange(buffer.Length, 1, most);
            (Deadlines, Bytes) = (Deadlines + 1, Bytes + buffer.Length);
            return default;
        }
    }

    /// <summary>Takes what is written at once, in a moment, or after a while; gives nothing to read until its end.</summary>
    private sealed class TakingStream(Random random) : PeerStream
    {
        private readonly MemoryStream _taken = new();
        private readonly TaskCompletionSource<int> _end = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public byte[] Taken
        {
            get
            {
                lock (_taken) return _taken.ToArray();
            }
        }

        public override bool HasInput => false;

        public void End() => _end.TrySetResult(0);

        public override void CompleteWrites()
        {
        }

        public override void Reset() => End();

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(_end.Task.WaitAsync(cancellationToken));

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int how = random.Next(20);
            if (how == 0) await Task.Delay(1, cancellationToken);
            else if (how < 8) await Task.Yield();
            lock (_taken) _taken.Write(buffer.Span);
        }
    }
}
