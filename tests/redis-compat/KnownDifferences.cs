// Where a reply of Redis 7.0 may differ from Leither's, which follows 7.2. Each line says why; beside a judge of 7.2
// none of them applies.

using System.Globalization;
using Leither.TestKit;

namespace Leither.RedisCompat;

/// <summary>The differences between Redis 7.0 and 7.2 that the fuzzer meets.</summary>
public static class KnownDifferences
{
    private static readonly (string Reason, Func<string[], RespValue, RespValue, bool> Applies)[] All =
    [
        ("Small sets of strings are listpacks since 7.2",
            (command, redis, leither) => Is(command, "OBJECT") && redis.Text is "hashtable" && leither.Text is "listpack"),
        ("Sets that once were hashtables may be so by another road: 7.0 has no listpack between",
            (command, redis, leither) => Is(command, "OBJECT") && redis.Text is "intset" && leither.Text is "listpack"),
        ("One SADD of many members chooses the encoding by their number since 7.2",
            (command, redis, leither) => Is(command, "OBJECT") && redis.Text is "intset" && leither.Text is "hashtable"),
        ("One ZADD of many members chooses the encoding by their number since 7.2, doubles among them counted",
            (command, redis, leither) => Is(command, "OBJECT") && redis.Text is "listpack" && leither.Text is "skiplist"),
        ("Lists of one node are listpacks since 7.2",
            (command, redis, leither) => Is(command, "OBJECT") && redis.Text is "quicklist" && leither.Text is "listpack"),
        ("The error about unbalanced streams names the command otherwise since 7.2",
            (command, redis, leither) => Is(command, "XREAD") || Is(command, "XREADGROUP") ? IsUnbalanced(redis) && IsUnbalanced(leither) : false),
        ("Doubles are printed with the fewest digits that read back as the same since 7.2, with 17 before",
            (command, redis, leither) => command[0].StartsWith('Z') || command[0].StartsWith("BZ", StringComparison.Ordinal) ? SameDouble(redis, leither) : false),
        ("ZRANK and ZREVRANK take a fourth word since 7.2",
            (command, redis, _) => (Is(command, "ZRANK") || Is(command, "ZREVRANK")) && command.Length == 4 && redis.Text.Contains("wrong number", StringComparison.Ordinal)),
    ];

    /// <summary>Beside any judge: whether a score of zero keeps its sign hangs on Redis's encoding of the moment and on restarts.</summary>
    public static bool IsSignOfZero(string[] command, RespValue redis, RespValue leither) =>
        (command[0].StartsWith('Z') || command[0].StartsWith("BZ", StringComparison.Ordinal)) && redis.Text is "0" or "-0" && leither.Text is "0" or "-0";

    /// <summary>
    /// Beside any judge: SORT, though it only reads, turns a small sorted set of Redis into a skiplist, of which ZSCAN prints
    /// the scores with 17 digits. Rounds with SORT allow for it.
    /// </summary>
    public static bool IsEncodingAfterSort(string[] command, RespValue redis, RespValue leither) =>
        (Is(command, "OBJECT") && redis.Text is "skiplist" && leither.Text is "listpack") || (Is(command, "ZSCAN") && SameDouble(redis, leither));

    /// <summary>
    /// Beside any judge: whether what a later SORT does at Redis is open after this command. It asks errno, which it does not clear: a number out of range makes a later SORT fail.
    /// And to its ALPHA texts end at a zero byte: which of two equal ones comes first is open.
    /// </summary>
    public static bool SpoilsSort(string[] command) =>
        command.Any(static word => IsOutOfRange(word) || word.Contains('\0', StringComparison.Ordinal) || word is "SETRANGE" or "SETBIT" or "BITFIELD" or "BITOP");

    /// <summary>Whether a difference between two scalar replies (or parts of replies) to a command is a known one.</summary>
    public static bool Explain(string[] command, RespValue redis, RespValue leither) => All.Any(known => known.Applies(command, redis, leither));

    private static bool Is(string[] command, string name) => string.Equals(command[0], name, StringComparison.OrdinalIgnoreCase);

    private static bool IsOutOfRange(string word) =>
        (double.TryParse(word.TrimStart('('), NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
            && (double.IsSubnormal(number) || (double.IsInfinity(number) && word.Any(char.IsAsciiDigit))))
        || word.TrimStart('(').Split('-').Any(static part => part.Length >= 20 && part.All(char.IsAsciiDigit) && !ulong.TryParse(part, CultureInfo.InvariantCulture, out _)); // an id

    private static bool IsUnbalanced(RespValue reply) => reply.IsError && reply.Text.StartsWith("ERR Unbalanced ", StringComparison.Ordinal);

    private static bool SameDouble(RespValue a, RespValue b) =>
        a.Kind == b.Kind && double.TryParse(a.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out double x)
        && double.TryParse(b.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out double y) && x.Equals(y);
}
