// Writes whose outcome can be checked: counters that are only ever incremented. What was sent, what was replied and what WAIT acknowledged bound each counter's value
// from both sides, so that neither a lost write nor one that was applied twice stays hidden.

using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

/// <summary>Counters under load.</summary>
internal sealed class Counters(string mid, int seed)
{
    private const int Count = 40;

    private readonly Random random = new(seed);
    private readonly long[] sent = new long[Count];
    private readonly long[] replied = new long[Count];
    private readonly long[] acknowledged = new long[Count];
    private volatile bool isEnding;
    private Thread? thread;
    private Exception? failure;
    private long rounds;
    private long increments;

    /// <summary>How many times WAIT said yes.</summary>
    public long AcknowledgedRounds => Volatile.Read(ref rounds);

    /// <summary>How many increments were sent.</summary>
    public long Sent => Volatile.Read(ref increments);

    /// <summary>Increments until <see cref="End"/>, or until the node is gone.</summary>
    public void Begin(Node writer)
    {
        isEnding = false;
        failure = null;
        thread = new Thread(() => Run(writer)) { IsBackground = true, Name = "load" };
        thread.Start();
    }

    /// <summary>Ends it.</summary>
    public void End()
    {
        isEnding = true;
        thread!.Join();
        if (failure is not null) throw new InvalidOperationException(failure.Message, failure);
    }

    /// <summary>What the node has is at least what was acknowledged (or, if it never lost what was written, replied) and at most what was sent.</summary>
    public void Check(Node node, bool lostUnsynced = false)
    {
        using RespClient client = node.Open(mid);
        for (int i = 0; i < Count; i++)
        {
            RespValue value = client.Call("GET", Name(i));
            long now = value.IsNull ? 0 : value.Integer;
            long least = lostUnsynced ? acknowledged[i] : replied[i];
            Assert.True(now >= least && now <= sent[i], $"{node.Place}: {Name(i)} is {now}; {sent[i]} were sent, {replied[i]} replied, {acknowledged[i]} acknowledged\n{node.Log}");
            // From here on this is what counts.
            sent[i] = replied[i] = acknowledged[i] = now;
        }
    }

    private static string Name(int number) => $"counter:{number.ToString(CultureInfo.InvariantCulture)}";

    private void Run(Node writer)
    {
        try
        {
            using RespClient client = writer.Open(mid);
            int[] drawn = new int[32];
            while (!isEnding)
            {
                int count = random.Next(1, drawn.Length);
                for (int i = 0; i < count; i++)
                {
                    drawn[i] = random.Next(Count);
                    sent[drawn[i]]++;
                    Interlocked.Increment(ref increments);
                    client.Queue("INCR", Name(drawn[i]));
                }

                client.Queue("WAIT", "1", "300");
                client.Flush();
                for (int i = 0; i < count; i++)
                {
                    RespValue reply = client.Read();
                    if (reply.IsError)
                    {
                        // Refused is not done.
                        sent[drawn[i]]--;
                        continue;
                    }

                    replied[drawn[i]]++;
                }

                if (client.Read() is not { IsError: false, Integer: > 0 }) continue;
                replied.CopyTo(acknowledged, 0);
                Interlocked.Increment(ref rounds);
            }
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            // The node was killed.
        }
        catch (Exception e)
        {
            failure = e;
        }
    }
}

/// <summary>Keys by the thousand.</summary>
internal static class Bulk
{
    /// <summary>Sets keys to values by chance, which nothing can make shorter.</summary>
    public static void Set(RespClient client, Random random, int from, int count, int length)
    {
        byte[] bytes = new byte[length];
        const int batch = 500;
        for (int done = 0; done < count; done += batch)
        {
            int now = Math.Min(batch, count - done);
            for (int i = 0; i < now; i++)
            {
                random.NextBytes(bytes);
                client.Queue([.. new[] { "SET", $"key:{(from + done + i).ToString(CultureInfo.InvariantCulture)}" }.Select(System.Text.Encoding.ASCII.GetBytes), [.. bytes]]);
            }

            client.Flush();
            for (int i = 0; i < now; i++)
            {
                RespValue reply = client.Read();
                Assert.True(reply.Text == "OK", reply.ToString());
            }
        }
    }
}
