using System.Globalization;
using Leither.RedisCompat;

namespace Leither.MmDb.Tests.Replication;

/// <summary>
/// Draws what a writer may be asked for: all that the differential fuzzer draws, and what it leaves out since its outcome is not the same everywhere: what expires by
/// the clock, functions, large values, and ends of everything.
/// </summary>
internal static class WriterCommands
{
    private const int Run = 20;

    /// <summary>Some commands, to be sent one after another. None of them waits.</summary>
    public static IEnumerable<string[]> Draw(Random random)
    {
        string number = Text(random.Next(1000)), soon = Text(random.Next(1, 5000)), one = number[..1];
        return random.Next(40) switch
        {
            0 => [["SET", "big", new string('b', random.Next(random.Next(3) == 0 ? 200_000 : 20_000)) + number]],
            1 => [["SET", $"soon:{number}", number, "PX", soon]],
            2 => [["HSET", "fields", number, number], ["HPEXPIRE", "fields", soon, "FIELDS", "1", number]],
            3 =>
            [
                ["FUNCTION", "LOAD", "REPLACE", $"#!lua name=lib{one}\nredis.register_function('f{one}', function(keys, args) return redis.call('SET', 'function', {number}) end)"],
                ["FCALL", $"f{one}", "0"],
            ],
            4 => [["FUNCTION", "DELETE", $"lib{one}"]],
            5 => [["EVAL", "for i = 1, 5 do redis.call('RPUSH', 'scripted', ARGV[1] .. i) end redis.call('LTRIM', 'scripted', -20, -1)", "0", number]],
            6 when random.Next(4) == 0 => [[random.Next(3) == 0 ? "FLUSHALL" : "FLUSHDB"]],
            7 => [["SELECT", Text(random.Next(3))]],
            8 => [["MULTI"], ["INCR", "counter"], ["XADD", "stream", "*", "n", number], ["EXPIRE", "stream", "1000"], ["EXEC"]],
            _ => [.. new CommandGenerator(random, withNewer: true).Draw(Run).Where(static c => c[0] is not ("BLPOP" or "BRPOP" or "BLMOVE" or "BZPOPMIN")), ["DISCARD"]],
        };
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
