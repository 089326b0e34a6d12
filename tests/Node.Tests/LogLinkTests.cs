using Leither.Ipfs.Keys;
using Leither.Libp2p;
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

        public void Drained(LogLink link) => Drains();

        public void Ended(LogLink link, Exception? problem) => Assert.Null(problem);
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
