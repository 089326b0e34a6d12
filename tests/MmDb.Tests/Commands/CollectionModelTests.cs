using System.Globalization;
using System.Text;
using Leither.MmDb.Values;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

/// <summary>Random lives of hashes and sets against plain dictionaries, with small thresholds so that every layout is met; and their replay.</summary>
public sealed class CollectionModelTests
{
    [Fact]
    public void Hashes_hold_what_a_dictionary_holds_in_every_layout_and_after_replay() => Seed.Run(HashesLife);

    private static void HashesLife(Random random)
    {
        using InProcess db = Start();
        var model = new Dictionary<string, Dictionary<string, string>>();
        for (int step = 0; step < 20_000; step++)
        {
            string key = "h" + random.Next(4);
            Dictionary<string, string> hash = model.GetValueOrDefault(key) ?? [];
            model[key] = hash;
            string field = Word(random), value = Word(random);
            switch (random.Next(8))
            {
                case 0 or 1 or 2:
                    Assert.Equal(hash.ContainsKey(field) ? ":0" : ":1", db.Run(Bytes("HSET", key, field, value)));
                    hash[field] = value;
                    break;
                case 3:
                    string other = Word(random);
                    int created = (hash.ContainsKey(field) ? 0 : 1) + (hash.ContainsKey(other) || other == field ? 0 : 1);
                    Assert.Equal($":{created}", db.Run(Bytes("HSET", key, field, value, other, value)));
                    hash[field] = hash[other] = value;
                    break;
                case 4:
                    Assert.Equal(hash.Remove(field) ? ":1" : ":0", db.Run(Bytes("HDEL", key, field, "never")));
                    break;
                case 5:
                    string held = hash.GetValueOrDefault(field) ?? "0";
                    if (long.TryParse(held, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
                        && number.ToString(CultureInfo.InvariantCulture) == held)
                    {
                        Assert.Equal($":{number - 7}", db.Run(Bytes("HINCRBY", key, field, "-7")));
                        hash[field] = (number - 7).ToString(CultureInfo.InvariantCulture);
                    }

                    break;
                case 6:
                    Assert.Equal(hash.TryGetValue(field, out string? found) ? RespValue.Quote(Encoding.Latin1.GetBytes(found)) : "nil", db.Run(Bytes("HGET", key, field)));
                    break;
                default:
                    if (random.Next(400) == 0)
                    {
                        db.Run(Bytes("DEL", key));
                        hash.Clear();
                    }

                    Assert.Equal($":{hash.Count}", db.Run(Bytes("HLEN", key)));
                    break;
            }
        }

        foreach ((string key, Dictionary<string, string> hash) in model)
        {
            string expected = string.Join(' ', hash.Select(static p => $"{Show(p.Key)}={Show(p.Value)}").Order(StringComparer.Ordinal));
            Assert.Equal(hash.Count > 0, db.Contents().Contains($"\"{key}\" +hash :-1 {expected}", StringComparison.Ordinal));
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    }

    [Fact]
    public void Sets_hold_what_a_set_holds_in_every_layout_and_after_replay() => Seed.Run(SetsLife);

    private static void SetsLife(Random random)
    {
        using InProcess db = Start();
        SortedSet<string>[] model = [.. Enumerable.Range(0, 5).Select(static _ => new SortedSet<string>(StringComparer.Ordinal))];
        for (int step = 0; step < 20_000; step++)
        {
            int at = random.Next(5), from = random.Next(5), other = random.Next(5);
            SortedSet<string> set = model[at];
            string member = random.Next(3) == 0 ? Word(random) : random.Next(-30, 30).ToString(CultureInfo.InvariantCulture);
            switch (random.Next(12))
            {
                case 0 or 1 or 2 or 3:
                    Assert.Equal(set.Add(member) ? ":1" : ":0", db.Run(Bytes("SADD", $"s{at}", member)));
                    break;
                case 4 or 5:
                    Assert.Equal(set.Remove(member) ? ":1" : ":0", db.Run(Bytes("SREM", $"s{at}", member, "never")));
                    break;
                case 6:
                    bool moved = model[from].Contains(member);
                    Assert.Equal(moved ? ":1" : ":0", db.Run(Bytes("SMOVE", $"s{from}", $"s{at}", member)));
                    if (moved)
                    {
                        model[from].Remove(member);
                        set.Add(member);
                    }

                    break;
                case 7:
                    string count = random.Next(6).ToString(CultureInfo.InvariantCulture);
                    db.Default.Send(Bytes("SPOP", $"s{at}", count));
                    foreach (Resp.RespReply popped in db.Default.TakeReply()!.Elements)
                    {
                        Assert.True(set.Remove(Encoding.Latin1.GetString(popped.Bytes)));
                    }

                    break;
                case 8:
                    (string name, IEnumerable<string> result) = random.Next(3) switch
                    {
                        0 => ("SUNIONSTORE", model[from].Union(model[other])),
                        1 => ("SINTERSTORE", model[from].Intersect(model[other])),
                        _ => ("SDIFFSTORE", model[from].Except(model[other])),
                    };
                    if (random.Next(8) == 0)
                    {
                        string[] members = [.. result];
                        Assert.Equal($":{members.Length}", db.Run(Bytes(name, $"s{at}", $"s{from}", $"s{other}")));
                        model[at] = new SortedSet<string>(members, StringComparer.Ordinal);
                    }
                    else
                    {
                        db.Default.Send(Bytes(name[..^5], $"s{from}", $"s{other}"));
                        Assert.Equal(result.Order(StringComparer.Ordinal), db.Default.TakeReply()!.Elements.Select(static e => Encoding.Latin1.GetString(e.Bytes)).Order(StringComparer.Ordinal));
                    }

                    break;
                case 9:
                    Assert.Equal($":{model[from].Intersect(set).Count()}", db.Run(Bytes("SINTERCARD", "2", $"s{at}", $"s{from}")));
                    break;
                case 10:
                    Assert.Equal($"[:{(set.Contains(member) ? 1 : 0)}, :0]", db.Run(Bytes("SMISMEMBER", $"s{at}", member, "never")));
                    break;
                default:
                    Assert.Equal($":{set.Count}", db.Run(Bytes("SCARD", $"s{at}")));
                    break;
            }
        }

        string contents = db.Contents();
        for (int i = 0; i < model.Length; i++)
        {
            string expected = string.Join(' ', model[i].Select(Show).Order(StringComparer.Ordinal));
            Assert.Equal(model[i].Count > 0, contents.Contains($"\"s{i}\" +set :-1 {expected}", StringComparison.Ordinal));
        }

        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    }

    [Fact]
    public void A_flushed_database_of_small_and_big_collections_is_freed_whole()
    {
        using InProcess db = Start();
        long empty = db.Keyspace.UsedBytes;
        for (int i = 0; i < 300; i++)
        {
            string members = string.Join(' ', Enumerable.Range(0, i).Select(static m => "m" + m));
            db.Run($"SADD s{i} x {members}");
            db.Run($"HSET h{i} x {new string('v', 5000)} {string.Join(' ', Enumerable.Range(0, i).Select(static m => $"f{m} {m}"))}");
        }

        db.Prepare("FLUSHALL");
        while (db.Keyspace.LazyFree.Step(TimeSpan.FromSeconds(1)))
        {
        }

        Assert.Equal(empty, db.Keyspace.UsedBytes);
    }

    private static InProcess Start()
    {
        var options = new KeyspaceOptions { Packed = PackedThresholds.Default };
        options.Packed.HashMaxListpackEntries = 12;
        options.Packed.SetMaxListpackEntries = 10;
        options.Packed.SetMaxIntsetEntries = 20;
        return new InProcess(options, recording: true);
    }

    /// <summary>A small number, a short word, or, seldom, a long or a huge one.</summary>
    private static string Word(Random random) => random.Next(40) switch
    {
        0 => new string((char)('a' + random.Next(3)), random.Next(60, 300)),
        1 => new string((char)('a' + random.Next(3)), random.Next(4000, 9000)),
        < 15 => random.Next(-5, 15).ToString(CultureInfo.InvariantCulture),
        15 => "",
        _ => "w" + random.Next(15),
    };

    private static byte[][] Bytes(params string[] words) => [.. words.Select(Encoding.Latin1.GetBytes)];

    private static string Show(string word) => RespValue.Quote(Encoding.Latin1.GetBytes(word));
}
