// MIMEI IMPORT: what was exported comes back whole, read-only where the author's key is not, going on where it is; and a file that is not what it should be
// leaves nothing behind but an error that says what is wrong.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Car;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class ImportTests : IDisposable
{
    private readonly TempDir _folder = new();
    private readonly VersionFixture _source = new();
    private FolderMimeiStore _store = null!;
    private VersionFixture? _target;

    private string CarPath => Path.Combine(_folder.Path, "versions.car");

    /// <summary>Another node, of another author.</summary>
    private VersionFixture Target => _target ??= new VersionFixture(store: clock => _store = new FolderMimeiStore(clock), mark: "here");

    private string Mid => _source.Info.Id.ToString();

    [Fact]
    public void An_imported_MiMei_has_all_versions_with_all_types_and_shows_the_newest()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        InProcess.Client client = Target.Db.Connect();
        Assert.Matches(
            $"""^\["mid", "{Mid}", "new", :1, "writable", :0, "newest", :2, "added", :2, "present", :0, "blocks", :\d+, "bytes", :\d+, "leftout", :0\]$""",
            client.RunToEnd($"MIMEI IMPORT {CarPath}"));
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {Mid}"));
        Assert.Equal(Dump(_source, _source.Db.Default), Dump(Target, client));
        Assert.Equal(_source.Run("MIMEI VERSIONS"), client.RunToEnd("MIMEI VERSIONS"));
        foreach (int number in (int[])[1, 2])
        {
            InProcess.Client here = Target.Db.Connect(), there = _source.Db.Connect();
            Assert.Equal("+OK", here.RunToEnd($"MIMEI OPEN {Mid} VERSION {number}"));
            Assert.Equal("+OK", there.RunToEnd($"MIMEI OPEN {Mid} VERSION {number}"));
            Assert.Equal(Dump(_source, there), Dump(Target, here));
        }

        Assert.Equal(_source.Run("MIMEI DIFF 1 2"), client.RunToEnd("MIMEI DIFF 1 2"));
        Assert.Equal(_source.Run("MIMEI DIFF 1 2"), client.RunToEnd("MIMEI DIFF 1 cur"));
        string again = CarPath + "2";
        Assert.StartsWith("[\"versions\", :2", client.RunToEnd($"MIMEI EXPORT {again}"), StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(CarPath), File.ReadAllBytes(again));
        Assert.Contains("\"problems\", []", client.RunToEnd("MIMEI CHECK"), StringComparison.Ordinal);
    }

    [Fact]
    public void What_its_author_alone_writes_to_is_read_only_elsewhere_and_says_what_to_do()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        InProcess.Client client = Target.Db.Connect();
        client.RunToEnd($"MIMEI IMPORT {CarPath}");
        client.RunToEnd($"MIMEI OPEN {Mid}");
        foreach (string write in (string[])["SET n 3", "DEL n", "FLUSHALL", "EVAL \"return redis.call('set','n','3')\" 0", "MIMEI RESTORE 1", "BLPOP list 0"])
        {
            Assert.Contains($"READONLY MiMei {Mid} is written to by its author, whose key is not on this node. MIMEI FORK", client.RunToEnd(write), StringComparison.Ordinal);
        }

        Assert.StartsWith("-READONLY versions are made by the MiMei's author", client.RunToEnd("MIMEI BACKUP"), StringComparison.Ordinal);
        Assert.StartsWith("-READONLY a version is released by", client.RunToEnd("MIMEI RELEASE 1"), StringComparison.Ordinal);
        Assert.Equal("\"2\"", client.Run("GET n"));
    }

    [Fact]
    public void An_imported_MiMei_is_forked_to_one_that_can_be_written_to()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        InProcess.Client client = Target.Db.Connect();
        _ = Target;
        _store.Key = PrivateKey.FromSeed(new byte[32]);
        client.RunToEnd($"MIMEI IMPORT {CarPath}");
        client.RunToEnd($"MIMEI OPEN {Mid}");
        foreach ((string place, string n) in ((string, string)[])[("", "2"), (" cur", "2"), (" 1", "1")])
        {
            string fork = client.RunToEnd($"MIMEI FORK{place}").Trim('"');
            InProcess.Client forked = Target.Db.Connect();
            Assert.Equal("+OK", forked.RunToEnd($"MIMEI OPEN {fork}"));
            Assert.Equal($"\"{n}\"", forked.Run("GET n"));
            Assert.Equal("+OK", forked.Run("SET n mine"));
            Assert.Equal("\"2\"", client.Run("GET n"));
        }
    }

    [Fact]
    public void Versions_that_come_later_are_added_and_whoever_has_it_open_sees_the_newest()
    {
        _source.Db.Prepare("SET n 1", "SET gone 1");
        _source.Run("MIMEI BACKUP");
        _source.Db.Prepare("SET n 2", "DEL gone", "SET came 1");
        _source.Run("MIMEI BACKUP");
        _source.Run($"MIMEI EXPORT {CarPath}");
        InProcess.Client client = Target.Db.Connect(), watcher = Target.Db.Connect();
        Assert.Contains("\"newest\", :1, \"added\", :1", client.RunToEnd($"MIMEI IMPORT {CarPath} VERSION 1"), StringComparison.Ordinal);
        client.RunToEnd($"MIMEI OPEN {Mid}");
        watcher.RunToEnd($"MIMEI OPEN {Mid}");
        Assert.Equal(["\"1\"", "\"1\"", "nil", ":2"], [client.Run("GET n"), client.Run("GET gone"), client.Run("GET came"), client.Run("DBSIZE")]);
        watcher.Run("WATCH came");
        Assert.Contains("\"new\", :0, \"writable\", :0, \"newest\", :2, \"added\", :1, \"present\", :1", Target.Run($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
        Assert.Equal(["\"2\"", "nil", "\"1\"", ":2"], [client.Run("GET n"), client.Run("GET gone"), client.Run("GET came"), client.Run("DBSIZE")]);
        watcher.Run("MULTI");
        watcher.Run("PING");
        Assert.Equal("nil-array", watcher.Run("EXEC"));
        Assert.Contains("\"added\", :0, \"present\", :2", Target.Run($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
        Assert.Equal(":1", client.RunToEnd("MIMEI DELVERS 2"));
        Assert.Equal("\"1\"", client.Run("GET n"));
    }

    [Fact]
    public void Where_the_authors_key_is_an_import_goes_on_from_the_newest_version()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        using var home = new VersionFixture(store: clock => _store = new FolderMimeiStore(clock) { Key = _source.Author }, mark: "another");
        InProcess.Client client = home.Db.Connect();
        home.Db.Clock.Advance(_source.Db.Clock.NowMs - home.Db.Clock.NowMs);
        Assert.Contains("\"new\", :1, \"writable\", :1, \"newest\", :2", client.RunToEnd($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {Mid}"));
        Assert.Equal(Dump(_source, _source.Db.Default), Dump(home, client));
        ulong before = _source.Versions.Read(2).Position.Sequence, epoch = _source.Versions.Read(2).Position.Epoch;
        Assert.Contains("\"problems\", []", client.RunToEnd("MIMEI CHECK"), StringComparison.Ordinal);
        Assert.Equal("+OK", client.Run("SET n 3"));
        Assert.Equal(":3", client.RunToEnd("MIMEI BACKUP"));
        Assert.True(home.Db.Server.Mimeis.TryFind(Mid, out MimeiEntry? entry));
        MimeiVersion made = entry.Loaded!.Versions!.Read(3);
        Assert.Equal((epoch + 1, before + 1), (made.Position.Epoch, made.Position.Sequence));
        Assert.Equal(_source.Versions.List.Find(2), made.Previous);
        _source.Db.Prepare("SET n 3");
        _source.Run("MIMEI BACKUP");
        Assert.Equal(_source.Versions.Read(3).State, made.State);
        Assert.Equal(":4", client.RunToEnd("MIMEI BACKUP"));
        Assert.Equal(":1", client.RunToEnd("MIMEI DELVERS 3"));
        Assert.Contains("\"problems\", []", client.RunToEnd("MIMEI CHECK"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_version_made_right_after_an_import_is_as_the_one_before()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        using var home = new VersionFixture(store: clock => _store = new FolderMimeiStore(clock) { Key = _source.Author }, mark: "another");
        InProcess.Client client = home.Db.Connect();
        home.Db.Clock.Advance(_source.Db.Clock.NowMs - home.Db.Clock.NowMs);
        client.RunToEnd($"MIMEI IMPORT {CarPath}");
        client.RunToEnd($"MIMEI OPEN {Mid}");
        Assert.Equal(":3", client.RunToEnd("MIMEI BACKUP"));
        Assert.Equal("[\"0\", []]", client.RunToEnd("MIMEI DIFF 2 3"));
        Assert.Equal("+OK", client.RunToEnd("MIMEI RESTORE 1"));
        Assert.Equal("\"1\"", client.Run("GET n"));
        Assert.Contains("\"problems\", []", client.RunToEnd("MIMEI CHECK"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_number_that_two_versions_have_is_refused_and_both_are_named()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        Target.Run($"MIMEI IMPORT {CarPath} VERSION 1");
        Cid first = _source.Versions.List.Find(2);
        _source.Run("MIMEI DELVERS 2");
        string other = CarPath + "2";
        byte[] block = (_source.Versions.Read(1) with { Number = 1, Memo = "another" }).Sign(_source.Author);
        Cid cid = Write(other, [block, .. Blocks(CarPath).Where(b => b.Cid != first).Select(static b => b.Block)], 0);
        string refusal = Target.Run($"MIMEI IMPORT {other}");
        Assert.StartsWith("-ERR version 1 of this MiMei is ", refusal, StringComparison.Ordinal);
        Assert.Contains($"{_source.Versions.List.Find(1)} here, and {cid} in {other}", refusal, StringComparison.Ordinal);
        Assert.Equal([_source.Info.Id.ToBase32()], _store.Folders);
    }

    [Fact]
    public void A_CAR_of_version_2_is_imported_too()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        string second = CarPath + "2";
        using (FileStream from = File.OpenRead(CarPath), to = File.Create(second))
        {
            CarReader car = CarReader.Open(from);
            CarWriter writer = CarWriter.CreateV2(to, car.Roots);
            while (car.Read())
            {
                writer.Write(car.Cid, car.Block.Span);
            }

            writer.Complete();
        }

        Assert.Contains("\"added\", :2", Target.Run($"MIMEI IMPORT {second}"), StringComparison.Ordinal);
    }

    [Fact]
    public void Blocks_that_come_twice_or_in_another_order_or_that_nothing_needs_do_no_harm()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        byte[][] blocks = [.. Blocks(CarPath).Select(static b => b.Block).Reverse()];
        byte[] useless = [0x81, 0x01];
        string other = CarPath + "2";
        WriteAs(other, [_source.Versions.List.Find(1), _source.Versions.List.Find(2)], [.. blocks, useless, .. blocks, [0x82, 0x02, 0x03]]);
        Assert.Contains("\"added\", :2, \"present\", :0", Target.Run($"MIMEI IMPORT {other}"), StringComparison.Ordinal);
        Assert.Contains("\"leftout\", :2", Target.Run($"MIMEI IMPORT {other}"), StringComparison.Ordinal);
        InProcess.Client client = Target.Db.Connect();
        client.RunToEnd($"MIMEI OPEN {Mid}");
        Assert.Equal(Dump(_source, _source.Db.Default), Dump(Target, client));
        Assert.True(Target.Db.Server.Mimeis.TryFind(Mid, out MimeiEntry? entry));
        Assert.False(entry.Loaded!.Versions!.Blocks.Has(Cid.Of(Multicodec.DagCbor, useless)));
    }

    [Fact]
    public void A_file_that_is_not_what_it_should_be_is_refused_and_leaves_nothing()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        Cid[] roots = [_source.Versions.List.Find(1), _source.Versions.List.Find(2)];
        byte[][] blocks = [.. Blocks(CarPath).Select(static b => b.Block)];
        byte[] file = File.ReadAllBytes(CarPath);
        byte[] state = _source.Blocks.Get(_source.Versions.Read(2).State)!;

        Refused("Could not find file", Path.Combine(_folder.Path, "none"));
        Refused("is a folder", _folder.Path);
        RefusedBytes("is no sound CAR", "hello, this is no CAR"u8.ToArray());
        RefusedBytes("is no sound CAR", []);
        RefusedBytes("the stream ends here", file[..^1]);
        RefusedBytes("the stream ends here", file[..(file.Length / 2)]);
        byte[] changed = (byte[])file.Clone();
        changed[^1] ^= 1;
        RefusedBytes("the block is not", changed);
        RefusedBytes("the limit is 2097152", [.. file, 0x80, 0x80, 0x80, 0x02, .. new byte[64]]);
        RefusedBlocks("names no root", [], blocks);
        RefusedBlocks("and does not have it", [.. roots, Cid.Of(Multicodec.DagCbor, [0x80])], blocks);
        RefusedBlocks("is no version of a MiMei", [Cid.Of(Multicodec.DagCbor, state)], blocks);
        RefusedBlocks("is no version of a MiMei", [Cid.Of(Multicodec.Raw, blocks[1])], blocks);
        RefusedBlocks("not the block of what that is", roots, [.. blocks.Skip(1)]);
        RefusedBlocks("is missing", roots, [.. blocks.Where(b => !b.AsSpan().SequenceEqual(state))]);
        for (int i = 2; i < blocks.Length; i += Math.Max(1, blocks.Length / 7))
        {
            RefusedBlocks("", roots, [.. blocks.Where((_, j) => j != i)]);
        }

        using PrivateKey stranger = PrivateKey.FromSeed(new byte[32]);
        byte[] forged = (_source.Versions.Read(2) with { Number = 3 }).Sign(stranger);
        RefusedBlocks("was not signed by the author", [Cid.Of(Multicodec.DagCbor, forged)], [.. blocks, forged]);
        byte[] zero = (_source.Versions.Read(2) with { Number = 0 }).Sign(_source.Author);
        RefusedBlocks("a version of number 0", [Cid.Of(Multicodec.DagCbor, zero)], [.. blocks, zero]);
        byte[] twin = (_source.Versions.Read(2) with { Memo = "twin" }).Sign(_source.Author);
        RefusedBlocks("has two versions 2", [.. roots, Cid.Of(Multicodec.DagCbor, twin)], [.. blocks, twin]);
        byte[] stateless = (_source.Versions.Read(2) with { State = Cid.Of(Multicodec.DagCbor, blocks[0]) }).Sign(_source.Author);
        RefusedBlocks("is no state of a MiMei", [Cid.Of(Multicodec.DagCbor, stateless)], [.. blocks, stateless]);
        Assert.Equal("-ERR syntax error", Target.Run($"MIMEI IMPORT {CarPath} VERSION"));
        Assert.Contains("has no version 7; it has 1, 2", Target.Run($"MIMEI IMPORT {CarPath} VERSION 7"), StringComparison.Ordinal);
        Assert.Empty(_store.Folders);
    }

    [Fact]
    public void Versions_of_two_MiMei_in_one_file_are_refused()
    {
        MakeVersions();
        using var other = new VersionFixture(mark: "another");
        other.Db.Prepare("SET n 1");
        other.Run("MIMEI BACKUP");
        other.Run($"MIMEI EXPORT {CarPath}2");
        _source.Run($"MIMEI EXPORT {CarPath}");
        RefusedBlocks(
            "versions of more than one MiMei",
            [_source.Versions.List.Find(1), other.Versions.List.Find(1)],
            [.. Blocks(CarPath).Select(static b => b.Block), .. Blocks(CarPath + "2").Select(static b => b.Block)]);
    }

    [Fact]
    public void A_chain_of_nodes_as_deep_as_one_likes_is_refused_and_no_stack_overflows()
    {
        _source.Db.Prepare("SET n 1");
        _source.Run("MIMEI BACKUP");
        var blocks = new List<byte[]> { _source.Info.Encode() };
        var writer = new DagCborWriter();
        writer.WriteArrayStart(2);
        writer.WriteInt64(0);
        writer.WriteArrayStart(2);
        writer.WriteBytes("n"u8);
        writer.WriteBytes("1"u8);
        blocks.Add(writer.ToArray());
        for (int i = 0; i < 200_000; i++)
        {
            Cid below = Cid.Of(Multicodec.DagCbor, blocks[^1]);
            writer.Clear();
            writer.WriteArrayStart(2);
            writer.WriteInt64(5);
            writer.WriteArrayStart(3);
            writer.WriteBytes("n"u8);
            writer.WriteCid(below);
            writer.WriteInt64(1);
            blocks.Add(writer.ToArray());
        }

        writer.Clear();
        writer.WriteMapStart(3);
        writer.WriteKey("format"u8);
        writer.WriteInt64(StateFormat.Version);
        writer.WriteKey("databases"u8);
        writer.WriteArrayStart(1);
        writer.WriteArrayStart(3);
        writer.WriteInt64(0);
        writer.WriteCid(Cid.Of(Multicodec.DagCbor, blocks[^1]));
        writer.WriteInt64(1);
        writer.WriteKey("functions"u8);
        writer.WriteArrayStart(0);
        blocks.Add(writer.ToArray());
        byte[] version = (_source.Versions.Read(1) with { State = Cid.Of(Multicodec.DagCbor, blocks[^1]) }).Sign(_source.Author);
        RefusedBlocks("is of level 5, and the node above it of level 5", [Cid.Of(Multicodec.DagCbor, version)], [version, .. blocks]);
    }

    [Fact]
    public void A_client_that_goes_away_ends_its_import_and_leaves_nothing()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        var work = new LongWork("import", 1);
        work.Abandon();
        _ = Target;
        MimeiException e = Assert.Throws<MimeiException>(() => VersionImport.Read(_store.Draft(), CarPath, [], 16, work));
        Assert.StartsWith("ABORTED", e.Message, StringComparison.Ordinal);
        Assert.Empty(_store.Folders);
    }

    public void Dispose()
    {
        _source.Dispose();
        _target?.Dispose();
        _folder.Dispose();
    }

    /// <summary>Two versions with something of every type, in forms small and big.</summary>
    private void MakeVersions()
    {
        _source.Db.Prepare("SET n 1", $"SET blob {new string('b', 150_000)}", "SET expires 1 EX 1000", "SADD ints 1 2 3", "SADD words a b c", "ZADD scores 1 a -inf b 2.5 c",
            "RPUSH list 1 two 3", "HSET small a 1 b 2", "XADD stream 1-1 f v", "XADD stream 2-1 f w g x", "XGROUP CREATE stream readers 0", "XREADGROUP GROUP readers me STREAMS stream >",
            $"SET {new string('k', 3000)} long", "PFADD hll a b c", "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return 1 end)\"");
        for (int i = 0; i < 600; i++)
        {
            _source.Db.Prepare($"SET key{i} {i}", $"HSET hash field{i} {new string('v', 1 + (i % 60))}", $"SADD set member{i}", $"ZADD zset {i} member{i}", $"RPUSH longlist element{i}");
        }

        _source.Db.Prepare("SELECT 3", "SET there 1", "SELECT 0");
        Assert.Equal(":1", _source.Run("MIMEI BACKUP MEMO first"));
        _source.Db.Prepare("SET n 2", "DEL key7", "HSET hash field3 changed", "XADD stream 3-1 f z", "SET new 1");
        Assert.Equal(":2", _source.Run("MIMEI BACKUP"));
    }

    /// <summary>Every key of a client's databases, with what DUMP says of it.</summary>
    private static string[] Dump(VersionFixture fixture, InProcess.Client client)
    {
        var found = new List<string>();
        foreach (int database in (int[])[0, 3])
        {
            client.Run($"SELECT {database}");
            string keys = client.Run("KEYS *");
            foreach (string key in keys.Trim('[', ']').Split(", ", StringSplitOptions.RemoveEmptyEntries))
            {
                found.Add($"{database} {key} {client.Run($"PEXPIRETIME {key}")} {ContentOf(client, key)}");
            }

            found.Add($"{client.Run("DBSIZE")}");
        }

        client.Run("SELECT 0");
        found.Sort(StringComparer.Ordinal);
        found.Add(client.Run("FUNCTION LIST"));
        _ = fixture;
        return [.. found];
    }

    /// <summary>All of a value, in an order of its own.</summary>
    private static string ContentOf(InProcess.Client client, string key)
    {
        string type = client.Run($"TYPE {key}");
        string content = type switch
        {
            "+string" => client.Run($"GET {key}"),
            "+list" => client.Run($"LRANGE {key} 0 -1"),
            "+set" => client.Run($"SORT_RO {key} ALPHA"),
            "+zset" => client.Run($"ZRANGE {key} 0 -1 WITHSCORES"),
            "+hash" => client.Run($"HRANGESCAN {key} \"\" COUNT 100000"),
            "+stream" => client.Run($"XINFO STREAM {key} FULL COUNT 0"),
            _ => "",
        };
        Assert.False(content is "" or ['-', ..], $"{key} {type} {content}");
        return $"{type} {content}";
    }

    private static List<(Cid Cid, byte[] Block)> Blocks(string path)
    {
        using FileStream file = File.OpenRead(path);
        CarReader car = CarReader.Open(file);
        var blocks = new List<(Cid, byte[])>();
        while (car.Read())
        {
            blocks.Add((car.Cid, car.Block.ToArray()));
        }

        return blocks;
    }

    private static Cid Write(string path, byte[][] blocks, int root)
    {
        Cid cid = Cid.Of(Multicodec.DagCbor, blocks[root]);
        WriteAs(path, [cid], blocks);
        return cid;
    }

    /// <summary>Blocks that are no DAG-CBOR are raw.</summary>
    private static void WriteAs(string path, IReadOnlyList<Cid> roots, byte[][] blocks)
    {
        using FileStream file = File.Create(path);
        CarWriter car = CarWriter.Create(file, roots);
        foreach (byte[] block in blocks)
        {
            car.Write(Cid.Of(IsCbor(block) ? Multicodec.DagCbor : Multicodec.Raw, block), block);
        }

        car.Complete();
    }

    private static bool IsCbor(byte[] block)
    {
        try
        {
            var reader = new DagCborReader(block);
            reader.Skip();
            reader.End();
            return true;
        }
        catch (DagCborException)
        {
            return false;
        }
    }

    private void Refused(string why, string path)
    {
        string reply = Target.Run($"MIMEI IMPORT {path}");
        Assert.StartsWith("-ERR", reply, StringComparison.Ordinal);
        Assert.Contains(why, reply, StringComparison.Ordinal);
        Assert.Empty(_store.Folders);
    }

    private void RefusedBytes(string why, byte[] bytes)
    {
        string path = CarPath + ".bad";
        File.WriteAllBytes(path, bytes);
        Refused(why, path);
    }

    private void RefusedBlocks(string why, IReadOnlyList<Cid> roots, byte[][] blocks)
    {
        string path = CarPath + ".bad";
        WriteAs(path, roots, blocks);
        Refused(why, path);
    }
}
