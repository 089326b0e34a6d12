// Redis promises no order for some replies, so before two replies are compared those are sorted.

using System.Text;
using Leither.TestKit;

namespace Leither.RedisCompat;

/// <summary>Brings replies without a promised order into one.</summary>
public static class Normalizer
{
    private enum Order { Kept, Elements, Pairs, ScanElements, ScanPairs }

    /// <summary>The reply with its unordered parts sorted.</summary>
    public static RespValue Normalize(IReadOnlyList<byte[]> command, RespValue reply)
    {
        if (reply.IsError || reply.IsNull || !reply.IsAggregate) return reply;
        return OrderOf(command) switch
        {
            Order.Elements => SortElements(reply),
            Order.Pairs => SortPairs(reply),
            Order.ScanElements when reply.Items.Length == 2 => new RespValue(reply.Kind, null, [reply[0], SortElements(reply[1])]),
            Order.ScanPairs when reply.Items.Length == 2 => new RespValue(reply.Kind, null, [reply[0], SortPairs(reply[1])]),
            _ => reply.Kind == RespKind.Set ? SortElements(reply) : reply,
        };
    }

    private static Order OrderOf(IReadOnlyList<byte[]> command)
    {
        switch (Word(command, 0))
        {
            case "SMEMBERS" or "SUNION" or "SINTER" or "SDIFF" or "KEYS" or "HKEYS" or "HVALS" or "SPOP" or "SRANDMEMBER":
                return Order.Elements;
            case "HGETALL":
                return Order.Pairs;
            case "SCAN" or "SSCAN":
                return Order.ScanElements;
            case "HSCAN" or "ZSCAN":
                return Order.ScanPairs;
            case "PUBSUB" when Word(command, 1) is "CHANNELS" or "SHARDCHANNELS":
                return Order.Elements;
            case "CONFIG" when Word(command, 1) == "GET":
                return Order.Pairs;
            case "COMMAND" when Word(command, 1) == "LIST":
                return Order.Elements;
            default:
                return Order.Kept;
        }
    }

    private static string Word(IReadOnlyList<byte[]> command, int index) =>
        index < command.Count ? Encoding.Latin1.GetString(command[index]).ToUpperInvariant() : "";

    /// <summary>The reply with its elements in byte order.</summary>
    public static RespValue SortElements(RespValue reply)
    {
        if (!reply.IsAggregate) return reply;
        return new RespValue(reply.Kind, null, [.. reply.Items.OrderBy(item => item.ToString(), StringComparer.Ordinal)]);
    }

    private static RespValue SortPairs(RespValue reply)
    {
        // RESP3 gives ZSCAN no pairs of its own either; only arrays and maps that alternate come here.
        if (!reply.IsAggregate || reply.Items.Length % 2 != 0) return reply;
        IEnumerable<RespValue[]> pairs = reply.Items.Chunk(2).OrderBy(pair => pair[0].ToString(), StringComparer.Ordinal)
            .ThenBy(pair => pair[1].ToString(), StringComparer.Ordinal);
        return new RespValue(reply.Kind, null, [.. pairs.SelectMany(pair => pair)]);
    }
}
