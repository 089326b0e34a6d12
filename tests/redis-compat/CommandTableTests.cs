// What COMMAND INFO and COMMAND DOCS say of every command of ours, compared with redis-server's. What newer versions of Redis
// changed stands in command-differences.txt.

using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class CommandTableTests : IDisposable
{
    private static readonly string[] InfoFields = ["name", "arity", "flags", "first key", "last key", "step", "acl categories", "tips", "key specs", "subcommands"];

    private readonly RedisServer redis = RedisServer.StartNew();
    private readonly LeitherServer leither = LeitherServer.StartNew();
    private readonly Version judge = Version.Parse(RedisServer.Version);

    public void Dispose()
    {
        redis.Dispose();
        leither.Dispose();
    }

    [Fact]
    public void Commands_are_described_as_Redis_describes_them_save_for_the_listed_differences()
    {
        Dictionary<string, Dictionary<string, string>> theirs = Describe(redis), ours = Describe(leither);
        var found = new SortedSet<string>(StringComparer.Ordinal);
        foreach ((string command, Dictionary<string, string> fields) in ours)
        {
            if (!theirs.TryGetValue(command, out Dictionary<string, string>? expected)) continue;
            foreach (string field in fields.Keys.Union(expected.Keys))
            {
                if (fields.GetValueOrDefault(field) != expected.GetValueOrDefault(field)) found.Add($"{field}: {command}");
            }
        }

        // Listed for another server of this version may be what this one lacks: what it does not know is not compared.
        string[] listed = [.. Listed().Where(l => l.Since > judge && theirs.ContainsKey(l.Command) && ours.ContainsKey(l.Command)).Select(l => $"{l.Field}: {l.Command}").Distinct(StringComparer.Ordinal)];
        var text = new StringBuilder();
        foreach (string one in found.Except(listed))
        {
            string[] parts = one.Split(": ");
            text.AppendLine(one).AppendLine("  redis:").AppendLine(theirs[parts[1]].GetValueOrDefault(parts[0], "(nothing)"));
            text.AppendLine("  leither:").AppendLine(ours[parts[1]].GetValueOrDefault(parts[0], "(nothing)"));
        }

        Assert.True(text.Length == 0, text.ToString());
        Assert.Equal([], listed.Except(found));
    }

    [Fact]
    public void Commands_that_the_judge_does_not_know_came_with_a_newer_version()
    {
        Dictionary<string, Dictionary<string, string>> theirs = Describe(redis);
        foreach ((string command, Dictionary<string, string> fields) in Describe(leither))
        {
            bool isOurs = fields["group"].Trim('"') == "mimei";
            Assert.True(isOurs || theirs.ContainsKey(command) || Version.Parse(fields["since"].Trim('"')) > judge, command);
        }
    }

    /// <summary>command-differences.txt: since; field; commands; reason; source.</summary>
    private static IEnumerable<(Version Since, string Field, string Command)> Listed()
    {
        foreach (string line in File.ReadLines(Path.Combine(Transcript.Folder, "command-differences.txt")))
        {
            if (line.Length == 0 || line.StartsWith('#')) continue;
            string[] parts = line.Split(';');
            Assert.Equal(5, parts.Length);
            foreach (string command in parts[2].Split(' ', StringSplitOptions.RemoveEmptyEntries)) yield return (Version.Parse(parts[0]), parts[1].Trim(), command);
        }
    }

    // By full name, each field of INFO and DOCS as text.
    private Dictionary<string, Dictionary<string, string>> Describe(ServerProcess server)
    {
        var all = new Dictionary<string, Dictionary<string, string>>(StringComparer.Ordinal);
        using RespClient client = server.Connect();
        client.Call("HELLO", "3");
        foreach (RespValue info in client.Call("COMMAND").Items) AddInfo(all, info);
        AddDocs(all, client.Call("COMMAND", "DOCS"));
        return all;
    }

    private void AddInfo(Dictionary<string, Dictionary<string, string>> all, RespValue info)
    {
        var fields = new Dictionary<string, string>(StringComparer.Ordinal);
        for (int i = 1; i < InfoFields.Length - 1; i++) fields.Add(InfoFields[i], Show(info[i]));
        all.Add(info[0].Text, fields);
        foreach (RespValue sub in info[InfoFields.Length - 1].Items) AddInfo(all, sub);
    }

    private void AddDocs(Dictionary<string, Dictionary<string, string>> all, RespValue docs)
    {
        foreach (RespValue[] one in docs.Items.Chunk(2))
        {
            foreach (RespValue[] pair in one[1].Items.Chunk(2))
            {
                // Every summary was written anew for 7.2.
                if (pair[0].Text == "subcommands") AddDocs(all, pair[1]);
                else if (pair[0].Text != "summary" || !IsOld) all[one[0].Text].Add(pair[0].Text, Show(pair[1]));
            }
        }
    }

    private bool IsOld => judge < new Version(7, 2);

    // Sets and flags have no order. 7.0 has no texts to display, and spells names and tokens as it likes.
    private string Show(RespValue value)
    {
        if (value.Kind == RespKind.Set) return "~" + string.Join(' ', value.Items.Select(Show).Order(StringComparer.Ordinal));
        if (value.Kind != RespKind.Map) return value.IsAggregate ? $"[{string.Join(' ', value.Items.Select(Show))}]" : value.ToString().Trim();
        var pairs = new List<string>();
        foreach (RespValue[] pair in value.Items.Chunk(2))
        {
            string shown = Show(pair[1]);
            if (IsOld && pair[0].Text is "name" or "token") shown = shown.ToLower(CultureInfo.InvariantCulture);
            if (!IsOld || pair[0].Text != "display_text") pairs.Add($"{pair[0].Text}={shown}");
        }

        return "{" + string.Join(", ", pairs.Order(StringComparer.Ordinal)) + "}";
    }
}
