namespace Leither.MmDb.Tests;

/// <summary>Random commands for streams and their groups: entries that are added, deleted, trimmed, read, claimed and acknowledged.</summary>
internal static class StreamLife
{
    /// <summary>The next command of a stream.</summary>
    public static string Next(Random random, string key)
    {
        string group = $"g{random.Next(3)}", consumer = $"c{random.Next(4)}", id = $"{random.Next(400)}-{random.Next(4)}";
        return random.Next(30) switch
        {
            < 10 => $"XADD {key} {random.Next(400)}-* {Fields(random)}",
            < 12 => $"XADD {key} {Trim(random)} * {Fields(random)}",
            12 => $"XDEL {key} {id} {random.Next(400)}-0 {random.Next(400)}-0",
            13 => $"XTRIM {key} {Trim(random)}",
            14 => $"XGROUP CREATE {key} {group} {(random.Next(2) == 0 ? "0" : "$")} MKSTREAM",
            15 => $"XGROUP SETID {key} {group} {id} ENTRIESREAD {random.Next(50)}",
            16 => random.Next(5) == 0 ? $"XGROUP DESTROY {key} {group}" : $"XGROUP CREATECONSUMER {key} {group} {consumer}",
            17 => random.Next(3) == 0 ? $"XGROUP DELCONSUMER {key} {group} {consumer}" : $"XLEN {key}",
            < 22 => $"XREADGROUP GROUP {group} {consumer} COUNT {random.Next(12)} {(random.Next(5) == 0 ? "NOACK " : "")}STREAMS {key} >",
            22 => $"XREADGROUP GROUP {group} {consumer} STREAMS {key} {id}",
            < 25 => $"XACK {key} {group} {id} {random.Next(400)}-0 {random.Next(400)}-1 {random.Next(400)}-0",
            25 => $"XCLAIM {key} {group} {consumer} 0 {id} {random.Next(400)}-0 FORCE{(random.Next(2) == 0 ? " JUSTID" : "")}",
            26 => $"XAUTOCLAIM {key} {group} {consumer} {random.Next(100)} 0 COUNT {random.Next(20) + 1}",
            27 => random.Next(10) == 0 ? $"XSETID {key} {1_800_000_000_000 + random.Next(10)}-1 ENTRIESADDED {random.Next(1000)}" : $"XRANGE {key} - + COUNT 5",
            28 => random.Next(12) == 0 ? $"DEL {key}" : $"XINFO STREAM {key}",
            _ => random.Next(6) == 0 ? $"COPY {key} {key}b REPLACE" : $"XPENDING {key} {group} - + 10",
        };
    }

    private static string Fields(Random random) => random.Next(4) switch
    {
        0 => $"{random.Next(1000)} {random.Next(1000)}",
        1 => $"f{random.Next(3)} {new string('v', random.Next(300))}.",
        _ => $"name value{random.Next(100)} count {random.Next(100_000)}",
    };

    private static string Trim(Random random) => random.Next(4) switch
    {
        0 => $"MAXLEN {random.Next(200)}",
        1 => $"MAXLEN ~ {random.Next(200)}",
        2 => $"MINID {random.Next(200)}",
        _ => $"MINID ~ {random.Next(300)} LIMIT {random.Next(40)}",
    };
}
