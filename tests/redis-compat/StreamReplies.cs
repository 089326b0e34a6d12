// What in replies about streams hangs on the clock: when entries were delivered, and when consumers were heard of.

using Leither.TestKit;

namespace Leither.RedisCompat;

/// <summary>Takes times out of replies about streams, so that two servers' can be compared.</summary>
public static class StreamReplies
{
    private const long FirstTime = 1_000_000_000_000;

    private static readonly RespValue Time = RespValue.Simple("time");

    /// <summary>Whether a command's reply may hold times.</summary>
    public static bool HasTimes(string[] command) => command[0].ToUpperInvariant() is "XPENDING" or "XINFO";

    /// <summary>The reply with a mark in the place of each time.</summary>
    public static RespValue WithoutTimes(RespValue reply)
    {
        if (reply.Kind == RespKind.Integer && reply.Integer >= FirstTime && reply.Integer < FirstTime * 10) return Time;
        if (!reply.IsAggregate) return reply;
        RespValue[] items = [.. reply.Items.Select(WithoutTimes)];
        for (int i = 0; i + 1 < items.Length; i++)
        {
            if (items[i].Kind == RespKind.BulkString && items[i].Text is "idle" or "inactive" && items[i + 1].Kind == RespKind.Integer && items[i + 1].Text != "-1") items[i + 1] = Time;
        }

        // XPENDING: id, consumer, idle, deliveries.
        if (items.Length == 4 && items[0].Kind == RespKind.BulkString && items[2].Kind == RespKind.Integer && items[3].Kind == RespKind.Integer) items[2] = Time;
        return new RespValue(reply.Kind, null, items);
    }

    /// <summary>XINFO as both 7.0 and 7.2 would say it: without active times, without consumers that have nothing pending, and without how many consumers there are.</summary>
    public static RespValue Older(RespValue reply)
    {
        if (!reply.IsAggregate) return reply;
        var items = new List<RespValue>();
        for (int i = 0; i < reply.Items.Length; i++)
        {
            RespValue item = reply[i];
            bool named = item.Kind == RespKind.BulkString && i + 1 < reply.Items.Length;
            if (named && (item.Text == "active-time" || (item.Text == "consumers" && reply[i + 1].Kind == RespKind.Integer)))
            {
                i++;
            }
            else if (named && item.Text == "consumers" && reply[i + 1].IsAggregate)
            {
                items.Add(item);
                RespValue list = reply[++i];
                items.Add(new RespValue(list.Kind, null, [.. list.Items.Where(HasPending).Select(Older)]));
            }
            else
            {
                items.Add(Older(item));
            }
        }

        return new RespValue(reply.Kind, null, [.. items]);

        static bool HasPending(RespValue consumer)
        {
            int at = Array.FindIndex(consumer.Items, i => i.Text == "pel-count");
            return at >= 0 && consumer[at + 1].Text != "0";
        }
    }
}
