// A closed loop over many connections: each sends a pipeline of commands, waits for all its replies, sends the next.
// One thread, epoll, native buffers; the latency of a request is from the send of its pipeline to its reply.

using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Leither.Compare;

/// <summary>Writes one request at a pointer and returns the end; it may use up to <see cref="Work.MaxRequest"/> bytes.</summary>
internal unsafe delegate byte* WriteRequest(byte* at, ref Chance chance);

/// <summary>A kind of request.</summary>
internal sealed record Work(string Name, int MaxRequest, WriteRequest Write)
{
    /// <summary>Connections that listen, none if no one does. A run ends when each of them has received what every request brings.</summary>
    public int Listeners { get; init; }

    /// <summary>What a listener sends first.</summary>
    public byte[] Listen { get; init; } = [];

    /// <summary>Bytes of the answer to that.</summary>
    public int ListenReplyLength { get; init; }

    /// <summary>Bytes that reach each listener for each request.</summary>
    public int MessageLength { get; init; }
}

/// <summary>A small fast random generator (xorshift), and a counter for loads that go through all keys.</summary>
internal struct Chance(ulong seed)
{
    private ulong state = seed | 1;

    public ulong Sequence;

    public ulong Next()
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
}

/// <summary>What a run measured.</summary>
internal sealed record LoadResult(long Requests, double Seconds, double P50, double P99, double P999, double Max, long Errors)
{
    public double PerSecond => Requests / Seconds;
}

internal sealed unsafe class LoadGenerator
{
    private const int InputSize = 1 << 18;
    private const int Buckets = 64 * 64;

    private sealed class Connection
    {
        public int Fd;
        public byte* In;
        public int InLength;
        public byte* Out;
        public int OutLength;
        public int OutSent;
        public int Outstanding;
        public long SentAt;
        public bool Listens;
    }

    private readonly long[] histogram = new long[Buckets];
    private int epoll;

    /// <summary>Sends requests until <paramref name="requests"/> were answered, or for <paramref name="limit"/>.</summary>
    public LoadResult Run(int port, Work work, int connections, int pipeline, long requests, TimeSpan? limit = null, ulong seed = 88172645463325252)
    {
        Array.Clear(histogram);
        var chance = new Chance(seed);
        epoll = Native.epoll_create1(0);
        var all = new Connection[connections + work.Listeners];
        for (int i = 0; i < all.Length; i++) all[i] = Open(port, i, (pipeline * work.MaxRequest) + 64);
        for (int i = connections; i < all.Length; i++) Listen(all[i], work);
        long sent = 0, done = 0, errors = 0, longest = 0, heard = 0;
        long start = Stopwatch.GetTimestamp();
        long stopAt = limit is { } time ? start + (long)(time.TotalSeconds * Stopwatch.Frequency) : long.MaxValue;
        foreach (Connection c in all[..connections]) Send(c);
        Native.EpollEvent* events = stackalloc Native.EpollEvent[256];
        while (done < sent || heard < sent * work.Listeners * work.MessageLength)
        {
            int ready = Native.epoll_wait(epoll, events, 256, 10_000);
            if (ready == 0) throw new TimeoutException("The server did not reply for 10 seconds");
            for (int i = 0; i < ready; i++)
            {
                Connection c = all[events[i].Index];
                if ((events[i].Events & Native.EpollOut) != 0) Flush(c, events[i].Index);
                if ((events[i].Events & ~(uint)Native.EpollOut) == 0) continue;
                nint got = Native.recv(c.Fd, c.In + c.InLength, (nuint)(InputSize - c.InLength), 0);
                if (got <= 0)
                {
                    if (got < 0 && Marshal.GetLastPInvokeError() == Native.Again) continue;
                    throw new IOException("The server closed a connection");
                }

                if (c.Listens)
                {
                    heard += got;
                    continue;
                }

                c.InLength += (int)got;
                long now = Stopwatch.GetTimestamp();
                byte* p = c.In;
                byte* end = c.In + c.InLength;
                int replies = 0;
                while (p < end && Skip(p, end, ref errors) is var next && next is not null)
                {
                    p = next;
                    replies++;
                }

                if (replies > 0)
                {
                    done += replies;
                    long took = now - c.SentAt;
                    if (took > longest) longest = took;
                    histogram[Bucket(took)] += replies;
                    c.Outstanding -= replies;
                    int rest = (int)(end - p);
                    if (rest > 0) Buffer.MemoryCopy(p, c.In, InputSize, rest);
                    c.InLength = rest;
                    if (c.Outstanding == 0 && now < stopAt) Send(c);
                }
                else if (c.InLength == InputSize)
                {
                    throw new IOException("A reply larger than the buffer");
                }
            }
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        foreach (Connection c in all)
        {
            _ = Native.close(c.Fd);
            NativeMemory.Free(c.In);
            NativeMemory.Free(c.Out);
        }

        _ = Native.close(epoll);
        return new LoadResult(done, seconds, Percentile(0.50, done), Percentile(0.99, done), Percentile(0.999, done), Micros(longest), errors);

        void Send(Connection c)
        {
            int count = (int)Math.Min(pipeline, requests - sent);
            if (count <= 0) return;
            byte* p = c.Out;
            for (int i = 0; i < count; i++) p = work.Write(p, ref chance);
            c.OutLength = (int)(p - c.Out);
            c.OutSent = 0;
            c.Outstanding = count;
            sent += count;
            c.SentAt = Stopwatch.GetTimestamp();
            Flush(c, Array.IndexOf(all, c));
        }
    }

    private Connection Open(int port, int index, int outSize)
    {
        int fd = Native.Connect(port);
        var e = new Native.EpollEvent(Native.EpollIn, index);
        _ = Native.epoll_ctl(epoll, Native.EpollAdd, fd, &e);
        return new Connection { Fd = fd, In = (byte*)NativeMemory.Alloc(InputSize), Out = (byte*)NativeMemory.Alloc((nuint)outSize) };
    }

    // Subscribed before the first request leaves.
    private static void Listen(Connection c, Work work)
    {
        c.Listens = true;
        fixed (byte* request = work.Listen)
        {
            if (Native.send(c.Fd, request, (nuint)work.Listen.Length, Native.NoSignal) != work.Listen.Length) throw new IOException("A listener cannot subscribe");
        }

        for (long got = 0; got < work.ListenReplyLength;)
        {
            nint more = Native.recv(c.Fd, c.In, (nuint)(work.ListenReplyLength - got), 0);
            if (more == 0) throw new IOException("The server closed a connection");
            if (more > 0) got += more;
            else Thread.Sleep(1);
        }
    }

    private void Flush(Connection c, int index)
    {
        while (c.OutSent < c.OutLength)
        {
            nint wrote = Native.send(c.Fd, c.Out + c.OutSent, (nuint)(c.OutLength - c.OutSent), Native.NoSignal);
            if (wrote < 0)
            {
                if (Marshal.GetLastPInvokeError() != Native.Again) throw new IOException("The server closed a connection");
                var wait = new Native.EpollEvent(Native.EpollIn | Native.EpollOut, index);
                _ = Native.epoll_ctl(epoll, Native.EpollModify, c.Fd, &wait);
                return;
            }

            bool waited = c.OutSent + wrote == c.OutLength && c.OutSent > 0;
            c.OutSent += (int)wrote;
            if (!waited) continue;
            var only = new Native.EpollEvent(Native.EpollIn, index);
            _ = Native.epoll_ctl(epoll, Native.EpollModify, c.Fd, &only);
        }
    }

    /// <summary>The end of the reply at p, or null when it is not whole.</summary>
    private static byte* Skip(byte* p, byte* end, ref long errors)
    {
        long values = 1;
        while (values > 0)
        {
            int left = (int)(end - p);
            int line = new ReadOnlySpan<byte>(p, left).IndexOf((byte)'\n');
            if (line < 0) return null;
            byte* next = p + line + 1;
            values--;
            switch (*p)
            {
                case (byte)'$' when p[1] != '-':
                    next += Number(p + 1) + 2;
                    if (next > end) return null;
                    break;
                case (byte)'*' when p[1] != '-':
                    values += Number(p + 1);
                    break;
                case (byte)'-':
                    errors++;
                    break;
            }

            p = next;
        }

        return p;
    }

    private static long Number(byte* digits)
    {
        long number = 0;
        for (; *digits is >= (byte)'0' and <= (byte)'9'; digits++) number = (number * 10) + *digits - '0';
        return number;
    }

    // Buckets of about 1.6 %: 64 to each doubling.
    private static int Bucket(long ticks)
    {
        if (ticks < 64) return (int)ticks;
        int log = 63 - System.Numerics.BitOperations.LeadingZeroCount((ulong)ticks);
        return ((log - 5) * 64) + (int)((ticks >> (log - 6)) & 63);
    }

    private double Percentile(double share, long total)
    {
        long wanted = (long)(total * share), seen = 0;
        for (int i = 0; i < Buckets; i++)
        {
            seen += histogram[i];
            if (seen > wanted) return Micros(i < 64 ? i : (64L + (i % 64)) << ((i / 64) - 1));
        }

        return 0;
    }

    private static double Micros(long ticks) => ticks * 1e6 / Stopwatch.Frequency;
}
