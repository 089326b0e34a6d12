// What is stored is frozen: golden.txt has the CIDs of all blocks that some content has, and the bytes of the small ones. A difference means that
// versions which people have could not be found or shared any more: it takes a new number of the format, never new golden bytes.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class GoldenTests
{
    private const int MaxShownBytes = 256;

    private static readonly string _long = new('n', 600), _middle = new('m', 3000), _big = string.Concat(Enumerable.Range(0, 40_000).Select(static i => (i * 7919 % 10007).ToString("x4", System.Globalization.CultureInfo.InvariantCulture)));

    /// <summary>Content of every kind, by name.</summary>
    public static IEnumerable<(string Name, string[] Commands)> Contents =>
    [
        ("nothing", []),
        ("string", ["SET key value"]),
        ("integer", ["SET key 12345"]),
        ("expiry", ["SET key value PXAT 1800000000000"]),
        ("long key", [$"SET {_long} value"]),
        ("long key with expiry", [$"SET {_long} value PXAT 1800000000000"]),
        ("string of one chunk", [$"SET key {_middle}"]),
        ("blob", [$"SET key {_big}"]),
        ("list", ["RPUSH key a b 3"]),
        ("long list", [.. Enumerable.Range(0, 2000).Select(static i => $"RPUSH key element{i}")]),
        ("set", ["SADD key a b 3", $"SADD key {_long}"]),
        ("long set", [.. Enumerable.Range(0, 2000).Select(static i => $"SADD key member{i}")]),
        ("sorted set", ["ZADD key 1.5 a -2 b inf c -inf d 0 e", $"ZADD key 1 {_long}"]),
        ("long sorted set", [.. Enumerable.Range(0, 2000).Select(static i => $"ZADD key {i} member{i}")]),
        ("hash", ["HSET key f v g 7", $"HSET key {_long} {_middle}", "HPEXPIREAT key 1800000000000 FIELDS 1 f"]),
        ("long hash", [.. Enumerable.Range(0, 2000).Select(static i => $"HSET key field{i} value{i}")]),
        ("stream", ["XADD key 1-1 f v", "XADD key 2-0 f w g x", "XDEL key 2-0"]),
        ("stream with groups", ["XADD key 1-1 f v", "XADD key 1-2 f w", "XGROUP CREATE key group 0", $"XGROUP CREATE key {_long} $", "XREADGROUP GROUP group consumer COUNT 1 STREAMS key >"]),
        ("long stream", [.. Enumerable.Range(1, 2000).Select(static i => $"XADD key {i}-0 f value{i}")]),
        ("databases", ["SET a 1", "SELECT 15", "SET b 2", "SELECT 0"]),
        ("many keys", [.. Enumerable.Range(0, 2000).Select(static i => $"SET key{i} value{i}")]),
    ];

    [Fact]
    public void What_is_stored_is_what_was_stored_before()
    {
        var lines = new List<string>();
        foreach ((string name, string[] commands) in Contents)
        {
            using var db = new InProcess();
            using var blocks = new MemoryBlockstore();
            db.Prepare(commands);
            Cid state = StateTests.StateOf(db, blocks).Write(new NodeStore(blocks));
            lines.Add($"{name}: {state}");
            AddBlocks(lines, blocks);
        }

        AddVersion(lines);
        string path = Path.Combine(AppContext.BaseDirectory, "Versions", "golden.txt");
        string[] expected = File.Exists(path) ? File.ReadAllLines(path) : [];
        if (!expected.SequenceEqual(lines))
        {
            string found = Path.Combine(Path.GetTempPath(), "golden.found.txt");
            File.WriteAllLines(found, lines);
            Assert.Fail($"{lines.Except(expected).FirstOrDefault() ?? "a line"} is not in golden.txt; all that was found is in {found}");
        }
    }

    private static void AddBlocks(List<string> lines, MemoryBlockstore blocks)
    {
        foreach (Cid cid in blocks.Cids().OrderBy(static c => c.ToString(), StringComparer.Ordinal))
        {
            byte[] block = blocks.Get(cid)!;
            lines.Add($"  {cid} {(block.Length <= MaxShownBytes ? Convert.ToHexStringLower(block) : $"({block.Length} bytes)")}");
        }
    }

    private static void AddVersion(List<string> lines)
    {
        using PrivateKey author = PrivateKey.FromSeed(Convert.FromHexString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        var info = new MimeiInfo(author.PublicKey.Protobuf.ToArray(), "app", "ext", "mark", MimeiType.Database);
        Cid state = Cid.Of(Multicodec.DagCbor, [0xA0]), segment = Cid.Of(Multicodec.Raw, "segment"u8);
        lines.Add($"info: {info.Id} {Convert.ToHexStringLower(info.Encode())}");
        var version = new MimeiVersion
        {
            Mid = info.Id,
            Number = 1,
            State = state,
            Writer = author.PublicKey.Bytes.ToArray(),
            Position = new Position(1, 42),
            Time = 1_700_000_000_000 << 16,
            CreatedMs = 1_700_000_000_123,
        };
        byte[] first = version.Sign(author);
        byte[] second = (version with { Number = 2, Previous = Cid.Of(Multicodec.DagCbor, first), Segment = segment, Memo = "memo äöü" }).Sign(author);
        lines.Add($"first version: {Convert.ToHexStringLower(first)}");
        lines.Add($"second version: {Convert.ToHexStringLower(second)}");

        using var folder = new TempDir();
        var list = new VersionList(DiskFolder.Make(folder.Path));
        list.Add(1, Cid.Of(Multicodec.DagCbor, first));
        list.Add([new ListedVersion(2, Cid.Of(Multicodec.DagCbor, second), IsOwn: false)]);
        list.Release(1);
        list.Remove(new HashSet<ulong> { 2 });
        lines.Add($"list: {Convert.ToHexStringLower(File.ReadAllBytes(Path.Combine(folder.Path, "versions")))}");
    }
}
