// Streams for the fuzzer. Ids are given, or follow from the last: none hangs on the clock. Idle times are either none or days.

using System.Globalization;

namespace Leither.RedisCompat;

/// <content>Commands for streams.</content>
public sealed partial class CommandGenerator
{
    private static readonly string[] HostileIds =
        ["-", "+", "$", ">", "*", "0-0", "0", "0-1", "18446744073709551615-18446744073709551615", "18446744073709551616-0", "5-", "-5", "5-*", "5--1", " 5-1", "05-1", "abc", "", "1-2-3"];

    private int streamMs;

    private string[] Stream()
    {
        string k = Key('t');
        return random.Next(34) switch
        {
            0 or 1 or 2 or 3 or 4 or 5 or 6 => ["XADD", k, .. AddOptions(), NewId(), .. Fields()],
            7 => LateAdd(),
            8 => [Pick("XLEN", "TYPE"), k],
            9 or 10 => Range(k),
            11 or 12 => ["XDEL", k, .. Ids(1, 5)],
            13 or 14 => ["XTRIM", k, .. Threshold()],
            15 => SetId(k),
            16 or 17 => ReadStreams(),
            18 or 19 => XGroup(k),
            20 or 21 or 22 or 23 => ReadInGroup(),
            24 or 25 => ["XACK", k, GroupName(), .. Ids(1, 6)],
            26 => PendingEntries(k),
            27 or 28 => ClaimEntries(k),
            29 => ["XAUTOCLAIM", k, GroupName(), ConsumerName(), MinIdle(), Bound(), .. random.Next(2) == 0 ? ["COUNT", ClaimCount()] : Array.Empty<string>(), .. Optional("JUSTID")],
            30 => ["XINFO", "STREAM", k],
            31 => withNewer ? ["XINFO", "STREAM", k, "FULL", "COUNT", Count()] : ["XINFO", "STREAM", k, Pick("X", "FULL", "COUNT"), "X"],
            32 => withNewer ? random.Next(2) == 0 ? ["XINFO", "GROUPS", k] : ["XINFO", "CONSUMERS", k, GroupName()] : ["XINFO", Pick("GROUPS", "CONSUMERS", "X"), k, "X", "X"],
            _ => ["XADD", k, NewId(), .. Pairs(0, 3)],
        };
    }

    // Redis asks for memory for so many; whether it gets it for billions is the machine's affair.
    private string ClaimCount() => Count() is { Length: < 10 } count ? count : "9223372036854775807";

    private string StreamTime() => (1 + (streamMs / 10) + random.Next(3)).ToString(CultureInfo.InvariantCulture);

    private string NewId()
    {
        streamMs++;
        return random.Next(20) == 0 ? Pick(HostileIds[6..]) : random.Next(3) == 0 ? $"{StreamTime()}-{random.Next(12)}" : StreamTime() + "-*";
    }

    private string Id() => random.Next(25) == 0 ? Pick(HostileIds) : random.Next(3) == 0 ? OldTime() : $"{OldTime()}-{random.Next(6)}";

    private string OldTime() => Math.Max(1, (streamMs / 10) + 2 - (int)(random.NextDouble() * random.NextDouble() * 30)).ToString(CultureInfo.InvariantCulture);

    private string[] Ids(int from, int to) => [.. Enumerable.Range(0, random.Next(from, to)).Select(_ => Id())];

    private string Bound() => random.Next(4) == 0 ? Pick("-", "+") : (random.Next(4) == 0 ? "(" : "") + Id();

    private string[] Fields() => random.Next(4) > 0 ? ["name", ShortValue(), "n", random.Next(3000).ToString(CultureInfo.InvariantCulture)] : Pairs(1, 4);

    private string[] AddOptions()
    {
        string[] trim = random.Next(4) == 0 ? Threshold() : [];
        return random.Next(15) == 0 ? ["NOMKSTREAM", .. trim] : random.Next(20) == 0 ? [.. trim, .. Threshold()] : trim;
    }

    private string[] Threshold()
    {
        bool rough = random.Next(2) == 0;
        string[] how = rough ? ["~"] : random.Next(3) == 0 ? ["="] : [];
        string[] limit = random.Next(rough ? 3 : 20) == 0 ? ["LIMIT", Count()] : [];
        return random.Next(2) == 0 ? ["MAXLEN", .. how, random.Next(15) == 0 ? Hostile() : random.Next(40).ToString(CultureInfo.InvariantCulture), .. limit] : [Pick("MINID", "minid"), .. how, Id(), .. limit];
    }

    // Behind ids of the far future, * does not hang on the clock. No other command fills this key.
    private string[] LateAdd() => random.Next(3) == 0
        ? ["XADD", "f0", $"99999999999999-{random.Next(100)}", "field", "value"]
        : ["XADD", "f0", "NOMKSTREAM", .. random.Next(3) == 0 ? Threshold() : [], "*", .. Fields()];

    private string[] Range(string k)
    {
        string[] count = random.Next(2) == 0 ? ["COUNT", Count()] : [];
        return random.Next(3) switch
        {
            0 => ["XRANGE", k, "-", "+"],
            1 => ["XRANGE", k, Bound(), Bound(), .. count],
            _ => ["XREVRANGE", k, Bound(), Bound(), .. count],
        };
    }

    private string[] SetId(string k)
    {
        // 7.0 does not yet refuse an id below the largest deleted one.
        if (!withNewer) return ["XLEN", k];
        return ["XSETID", k, Id(), .. random.Next(2) == 0 ? ["ENTRIESADDED", Number()] : Array.Empty<string>(), .. random.Next(4) == 0 ? ["MAXDELETEDID", Id()] : Array.Empty<string>()];
    }

    private string[] ReadStreams()
    {
        string[] keys = Keys('t', 1, 4);
        string[] ids = [.. keys.Select(_ => random.Next(5) == 0 ? Pick("$", "0", withNewer ? "$" : "0") : Id())];

        // 7.0 and 7.2 do not know + yet.
        ids = [.. ids.Select(id => id == "+" ? "0-0" : id)];
        return ["XREAD", .. random.Next(2) == 0 ? ["COUNT", Count()] : Array.Empty<string>(), "STREAMS", .. keys, .. ids];
    }

    private string[] ReadInGroup()
    {
        string[] keys = random.Next(4) == 0 ? Keys('t', 1, 3) : [Key('t')];
        string[] ids = [.. keys.Select(_ => random.Next(3) > 0 ? ">" : random.Next(3) == 0 ? "0" : Id())];
        ids = [.. ids.Select(id => id == "+" ? "0-0" : id)];
        return
        [
            "XREADGROUP", "GROUP", GroupName(), ConsumerName(), .. random.Next(3) > 0 ? ["COUNT", Count()] : Array.Empty<string>(),
            .. random.Next(8) == 0 ? ["NOACK"] : Array.Empty<string>(), "STREAMS", .. keys, .. ids,
        ];
    }

    private string[] XGroup(string k) => random.Next(12) switch
    {
        0 or 1 or 2 or 3 => ["XGROUP", "CREATE", k, GroupName(), Pick("0", "$", Id()), .. Optional("MKSTREAM"), .. random.Next(5) == 0 ? ["ENTRIESREAD", Number()] : Array.Empty<string>()],
        4 or 5 => ["XGROUP", "SETID", k, GroupName(), Pick("0", "$", Id()), .. random.Next(3) == 0 ? ["ENTRIESREAD", Number()] : Array.Empty<string>()],
        6 => random.Next(4) == 0 ? ["XGROUP", "DESTROY", k, GroupName()] : ["XLEN", k],
        7 or 8 => withNewer ? ["XGROUP", "CREATECONSUMER", k, GroupName(), ConsumerName()] : ["XLEN", k],
        9 => ["XGROUP", "DELCONSUMER", k, GroupName(), ConsumerName()],
        _ => ["XGROUP", Pick("CREATE", "SETID", "DESTROY", "X"), k, GroupName()],
    };

    private string[] PendingEntries(string k) => random.Next(3) switch
    {
        0 => ["XPENDING", k, GroupName()],
        _ => ["XPENDING", k, GroupName(), .. random.Next(3) == 0 ? ["IDLE", MinIdle()] : Array.Empty<string>(), Bound(), Bound(), Count(), .. Optional(ConsumerName())],
    };

    private string[] ClaimEntries(string k)
    {
        var c = new List<string> { "XCLAIM", k, GroupName(), ConsumerName(), MinIdle() };
        c.AddRange(Ids(1, 5));
        if (random.Next(3) == 0) c.AddRange(["TIME", random.Next(1, 1_000_000).ToString(CultureInfo.InvariantCulture)]);
        if (random.Next(6) == 0) c.AddRange(["IDLE", Pick("0", "500000000")]);
        if (random.Next(4) == 0) c.AddRange(["RETRYCOUNT", Count()]);
        if (random.Next(3) == 0) c.Add("FORCE");
        if (random.Next(3) == 0) c.Add("JUSTID");
        if (random.Next(8) == 0) c.AddRange(["LASTID", Id()]);
        if (random.Next(25) == 0) c.Add("X");
        return [.. c];
    }

    private string MinIdle() => random.Next(20) == 0 ? Pick("abc", "-1", "", "1.5") : Pick("0", "0", "0", "100000000", "1000000000");

    private string GroupName() => random.Next(12) == 0 ? Element() : Pick("g0", "g1");

    private string ConsumerName() => random.Next(12) == 0 ? Element() : Pick("alice", "bob", "carol");
}
