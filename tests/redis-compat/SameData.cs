// Whether two servers hold the same. Looks at two servers are never at one moment: what goes on meanwhile (a stream on its way, keys
// that expire) makes them differ for a while. So a difference counts only if it is still there when the limit is over.

using System.Globalization;
using System.Text.RegularExpressions;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

/// <summary>Compares what a master and a replica hold.</summary>
internal static class SameData
{
    private const int Databases = 16;
    private const int ShownAtMost = 20;

    /// <summary>Waits until both have the same keys, values, times to live, groups and functions; else says which keys differ.</summary>
    /// <param name="a">The master.</param>
    /// <param name="b">The replica.</param>
    /// <param name="log">What the replica wrote.</param>
    /// <param name="signsOfZero">Whether they must have the same signs of scores of zero, which hang on Redis's encoding of the moment and which Leither does not keep.</param>
    public static void Await(RespClient a, RespClient b, Func<string>? log = null, bool signsOfZero = true)
    {
        bool byRedis = !a.Call("INFO", "memory").Text.Contains("leither", StringComparison.Ordinal);
        bool alike = Wait.Comes(() => (Digest(a) == Digest(b) || (!signsOfZero && IsSameByKey())) && Functions(a).SequenceEqual(Functions(b)));

        // A digest knows no instants and nothing of groups.
        List<(int Database, string Key)> differing = [.. Keys(a, b).Where(k => !IsSame(k))];
        if (differing.Count > 0)
        {
            alike &= Wait.Comes(() => differing.RemoveAll(IsSame) >= 0 && differing.Count == 0);
        }

        IEnumerable<string> shown = differing.Take(ShownAtMost).Select(k => $"{k.Database} {k.Key}\n  {Show(a, k, byRedis, signsOfZero)} {Value(a, k.Key)}\n  {Show(b, k, byRedis, signsOfZero)} {Value(b, k.Key)}");
        string difference = alike ? "" : $"The data differs: {Digest(a)}, {Digest(b)}\n{string.Join('\n', shown)}\n{Critical(log)}";
        a.Call("SELECT", "0");
        b.Call("SELECT", "0");
        Assert.True(alike, difference);
        Assert.Equal(Functions(a), Functions(b));

        bool IsSame((int Database, string Key) key) => Show(a, key, byRedis, signsOfZero) == Show(b, key, byRedis, signsOfZero);

        // All that is left for the digests to tell is the signs.
        bool IsSameByKey()
        {
            bool same = Keys(a, b).All(IsSame);
            a.Call("SELECT", "0");
            b.Call("SELECT", "0");
            return same;
        }
    }

    /// <summary>Waits until nothing is left that could expire, but for keys that live long.</summary>
    public static void AwaitNothingExpires(RespClient client, int but = 0) => Wait.Until(
        () => Regex.Matches(client.Call("INFO", "keyspace").Text, "expires=([0-9]+)").Sum(static m => int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture)) <= but,
        () => client.Call("INFO", "keyspace").Text);

    private static string Digest(RespClient client) => client.Call("DEBUG", "DIGEST").Text;

    private static IEnumerable<(int Database, string Key)> Keys(RespClient a, RespClient b)
    {
        for (int database = 0; database < Databases; database++)
        {
            string[] keys = [.. KeysOf(a, database).Union(KeysOf(b, database))];
            foreach (string key in keys)
            {
                yield return (database, key);
            }
        }

        static IEnumerable<string> KeysOf(RespClient client, int database)
        {
            client.Call("SELECT", Number(database));
            return client.Call("KEYS", "*").Items.Select(static k => k.Text);
        }
    }

    private static string Critical(Func<string>? log) =>
        string.Join('\n', log?.Invoke().Split('\n').Where(static l => l.Contains("CRITICAL", StringComparison.Ordinal)) ?? []);

    private static string[] Functions(RespClient client) => [.. client.Call("FUNCTION", "LIST", "WITHCODE").Items.Select(static l => l.ToString()).Order(StringComparer.Ordinal)];

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    /// <summary>What must be equal of a key.</summary>
    private static string Show(RespClient client, (int Database, string Key) key, bool byRedis, bool signsOfZero)
    {
        client.Call("SELECT", Number(key.Database));
        string type = client.Call("TYPE", key.Key).Text;
        string value = type == "zset" && !signsOfZero ? Unsigned(client.Call("ZRANGE", key.Key, "0", "-1", "WITHSCORES")) : client.Call("DEBUG", "DIGEST-VALUE", key.Key)[0].Text;
        return $"{type} {value} until {client.Call("PEXPIRETIME", key.Key)} {(type == "stream" ? Stream(client, key.Key, byRedis) : "")}";
    }

    /// <summary>Members with their scores by value, which 7.0 prints otherwise; -0 is 0.</summary>
    private static string Unsigned(RespValue members) => string.Join(' ', members.Items.Chunk(2).Select(static m => $"{m[0]} {Unsigned(m[1].Text)}"));

    private static string Unsigned(string score) =>
        double.TryParse(score, CultureInfo.InvariantCulture, out double value) ? (value + 0.0).ToString("R", CultureInfo.InvariantCulture) : score; // "inf"

    /// <summary>The beginning of a value, for whoever reads the failure.</summary>
    private static string Value(RespClient client, string key)
    {
        RespValue value = client.Call("TYPE", key).Text switch
        {
            "string" => client.Call("GETRANGE", key, "0", "300"),
            "list" => client.Call("LRANGE", key, "0", "20"),
            "set" => client.Call("SMEMBERS", key),
            "hash" => client.Call("HGETALL", key),
            "zset" => client.Call("ZRANGE", key, "0", "20", "WITHSCORES"),
            _ => RespValue.Simple(""),
        };
        string shown = value.ToString();
        return shown.Length > 300 ? shown[..300] : shown;
    }

    private static string Stream(RespClient client, string key, bool byRedis)
    {
        // Who was seen when is not part of the stream of commands.
        string value = Regex.Replace(
            client.Call("XINFO", "STREAM", key, "FULL", "COUNT", "0").ToString(), "(\\s+|\\*[0-9]+|\"(seen-time|active-time|radix-tree-keys|radix-tree-nodes)\"\\s+:-?[0-9]+)+", " ");
        if (byRedis)
        {
            // Redis's stream says neither how much a group has read nor which consumers came and got nothing: its own replicas do not know it either.
            value = Regex.Replace(value, "\"(entries-read|lag)\" [^ ]+|\"name\" \"[^\"]*\" \"pel-count\" :0 \"pending\"", "");
            value = Regex.Replace(value, " +", " ");
        }

        return value;
    }
}
