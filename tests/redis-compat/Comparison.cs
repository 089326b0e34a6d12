// Compares the replies of two servers to one run of commands: exactly, save for what Redis leaves open
// (the order of unordered replies, random picks) and what passes meanwhile (milliseconds of a time to live).

using Leither.TestKit;

namespace Leither.RedisCompat;

/// <summary>Follows one run; remembers what a transaction queued and what was listed before a random pick.</summary>
public sealed class Comparison(bool judgeIsNewer, bool sorting)
{
    /// <summary>By how much a time to live may differ: what a slow machine lets pass between the two servers.</summary>
    private const long ToleratedMilliseconds = 120_000;

    private readonly List<string[]> queued = [];
    private bool queueing;
    private RespValue? listed;

    /// <summary>Null when both replies say the same.</summary>
    public string? Difference(string[] command, RespValue redis, RespValue leither)
    {
        string name = command[0].ToUpperInvariant();
        RespValue? before = listed;
        listed = null;
        if (redis.Kind == RespKind.SimpleString && redis.Text == "QUEUED")
        {
            if (queueing) queued.Add(command);
            return Same(command, redis, leither) ? null : Show(redis, leither);
        }

        if (name == "MULTI" && !redis.IsError) queueing = true;
        if (name == "EXEC" && redis.Kind == RespKind.Array && !redis.IsNull && queueing)
        {
            string[][] commands = [.. queued];
            End();
            if (leither.Kind != RespKind.Array || leither.Items.Length != redis.Items.Length) return Show(redis, leither);
            for (int i = 0; i < commands.Length && i < redis.Items.Length; i++)
            {
                if (!SameReply(commands[i], redis[i], leither[i])) return $"in EXEC, to {Show(commands[i])}:\n{Show(redis[i], leither[i])}";
            }

            return null;
        }

        if (name is "EXEC" or "DISCARD" or "RESET" && (!redis.IsError || redis.Text.StartsWith("EXECABORT", StringComparison.Ordinal))) End();
        if (name is "SMEMBERS" or "HGETALL" or "ZRANGE" or "KEYS" && !leither.IsError) listed = leither;
        if (FuzzTests.IsRandom(command))
        {
            return IsGoodPick(command, redis, leither, before) ? null : Show(redis, leither);
        }

        return SameReply(command, redis, leither) ? null : Show(redis, leither);
    }

    private void End()
    {
        queueing = false;
        queued.Clear();
    }

    private bool SameReply(string[] command, RespValue redis, RespValue leither)
    {
        if (IsTime(command) && redis.Kind == RespKind.Integer && leither.Kind == RespKind.Integer && redis.Integer >= 0 && leither.Integer >= 0)
        {
            bool seconds = command[0].ToUpperInvariant() is "TTL" or "EXPIRETIME";
            return Math.Abs(redis.Integer - leither.Integer) <= (seconds ? ToleratedMilliseconds / 1000 : ToleratedMilliseconds);
        }

        byte[][] bytes = CommandGenerator.Bytes(command);
        RespValue a = Normalizer.Normalize(bytes, redis);
        RespValue b = Normalizer.Normalize(bytes, leither);
        if (command[0].StartsWith("SORT", StringComparison.OrdinalIgnoreCase) && IsUnsorted(command) && a.IsAggregate && b.IsAggregate)
        {
            a = Normalizer.SortElements(a);
            b = Normalizer.SortElements(b);
        }

        if (!judgeIsNewer && command[0].Equals("XINFO", StringComparison.OrdinalIgnoreCase))
        {
            // A consumer is made when it first asks since 7.2, when it first gets something before.
            a = StreamReplies.Older(a);
            b = StreamReplies.Older(b);
        }

        return StreamReplies.HasTimes(command) ? Same(command, StreamReplies.WithoutTimes(a), StreamReplies.WithoutTimes(b)) : Same(command, a, b);
    }

    private bool Same(string[] command, RespValue redis, RespValue leither)
    {
        if (redis.Equals(leither)) return true;
        if (redis.IsAggregate && leither.IsAggregate && redis.Kind == leither.Kind && redis.Items.Length == leither.Items.Length)
        {
            for (int i = 0; i < redis.Items.Length; i++)
            {
                if (!Same(command, redis[i], leither[i])) return false;
            }

            return redis.Items.Length > 0;
        }

        return KnownDifferences.IsSignOfZero(command, redis, leither) || (sorting && KnownDifferences.IsEncodingAfterSort(command, redis, leither)) || (!judgeIsNewer && KnownDifferences.Explain(command, redis, leither));
    }

    // Both drew by themselves: the picks must be as many, of the same shape, and from what there is.
    private static bool IsGoodPick(string[] command, RespValue redis, RespValue leither, RespValue? listed)
    {
        if (redis.Equals(leither)) return true;
        if (redis.Kind != leither.Kind || redis.IsError || redis.IsNull || leither.IsNull || redis.Items.Length != leither.Items.Length) return false;
        RespValue[] picked = [.. Leaves(leither)];
        if (picked.Length != Leaves(redis).Count()) return false;
        if (listed is null) return true;
        var known = Leaves(listed).Select(v => v.Text).ToHashSet(StringComparer.Ordinal);
        if (!picked.All(v => known.Contains(v.Text))) return false;
        bool distinct = command.Length > 2 && !command[2].StartsWith('-') && command.Length == 3;
        return !distinct || picked.Select(v => v.Text).Distinct(StringComparer.Ordinal).Count() == picked.Length;
    }

    private static IEnumerable<RespValue> Leaves(RespValue value) => value.IsAggregate ? value.Items.SelectMany(Leaves) : [value];

    private static bool IsUnsorted(string[] command) => command.Contains("nosort") || (command.Contains("BY") && command.Contains("ALPHA"));

    private static bool IsTime(string[] command) => command[0].ToUpperInvariant() is "TTL" or "PTTL" or "EXPIRETIME" or "PEXPIRETIME";

    private static string Show(RespValue redis, RespValue leither) => $"  redis:\n{Indent(redis)}\n  leither:\n{Indent(leither)}";

    private static string Indent(RespValue value)
    {
        string[] lines = value.ToString().Split('\n');
        IEnumerable<string> shown = lines.Length > 60 ? [.. lines[..60], "..."] : lines;
        return string.Join('\n', shown.Select(line => "    " + (line.Length > 300 ? line[..300] + "..." : line)));
    }

    public static string Show(string[] command) => Quoting.Join(CommandGenerator.Bytes(command));
}
