// Against IPFS's own JavaScript libraries, as npm has them (tests/redis-compat/clients/unixfs.js; ./test installs them). Where they are missing, the
// tests say so and are left out.

using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text.Json;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.Ipfs.Tests;

public sealed class JavaScriptTests(ITestOutputHelper output)
{
    private static readonly TimeSpan _patience = TimeSpan.FromMinutes(4);

    [Fact]
    public void Files_and_directories_have_the_CIDs_that_js_gives_them_and_each_reads_the_other()
    {
        using var folder = new TempDir("js");
        if (Run("make", folder.Path) is not { } answer) return;
        Dictionary<string, string> cids = JsonSerializer.Deserialize<Dictionary<string, string>>(answer)!;
        foreach ((string name, string cid) in cids)
        {
            string[] words = name.Split(' ');
            if (words.Length < 2) continue;
            var importer = new UnixFsImporter(null, UnixFsProfile.Find(words[0])!);
            int size = words.Length > 2 ? int.Parse(words[2], CultureInfo.InvariantCulture) : 0;
            ImportedNode made = words[1] switch
            {
                "file" => importer.AddFile(new MemoryStream(Bytes(size))),
                "directory" => importer.AddDirectory(Files(importer, size)),
                _ => importer.AddDirectory([], 0x1C0, new UnixTime(5, 7)),
            };
            Assert.True(cid == made.Cid.ToString(), $"{name}: {made.Cid}, not {cid}");
        }

        // What js made is read here, and made again.
        using var store = new MemoryBlockstore();
        foreach (string file in Directory.EnumerateFiles(folder.File("js"))) store.Put(Cid.Parse(Path.GetFileName(file)), File.ReadAllBytes(file));
        var root = Cid.Parse(cids["made"]);
        UnixFsNode directory = UnixFsNode.Load(store, root);
        Assert.Equal(UnixFsType.HamtShard, directory.Type);
        Assert.Equal(6001, UnixFsDirectory.List(store, directory).Count());
        using (var big = new UnixFsStream(store, UnixFsPath.Resolve(store, $"{root}/big").Cid))
        {
            byte[] read = new byte[big.Length];
            big.ReadExactly(read);
            Assert.Equal(Bytes(3 * 1048576 + 5), read);
        }

        // What is made here is read there.
        foreach (UnixFsProfile profile in UnixFsProfile.All)
        {
            using var own = new MemoryBlockstore();
            var importer = new UnixFsImporter(own, profile);
            byte[] content = Bytes(2_000_003);
            ImportedNode file = importer.AddFile(new MemoryStream(content));
            ImportedNode inner = importer.AddDirectory([.. Files(importer, 7000), new NewEntry("ünï", file.Cid, file.Tsize)]);
            ImportedNode outer = importer.AddDirectory([new NewEntry("inner", inner.Cid, inner.Tsize)], 0x1ED, new UnixTime(1, 2));
            string blocks = folder.File("leither");
            if (Directory.Exists(blocks)) Directory.Delete(blocks, recursive: true);
            Directory.CreateDirectory(blocks);
            foreach (Cid cid in own.Cids()) File.WriteAllBytes(Path.Combine(blocks, cid.ToString()), own.Get(cid)!);
            Dictionary<string, string> read = JsonSerializer.Deserialize<Dictionary<string, string>>(Run("read", folder.Path, outer.Cid.ToString())!)!;
            Assert.Equal(7003, read.Count);
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(content)), read["inner/ünï"]);
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(Bytes(42))), read["inner/file-42.txt"]);
        }
    }

    [Fact]
    public void Names_are_believed_in_both_directions()
    {
        using var folder = new TempDir("js");
        using var key = PrivateKey.Generate();
        IpnsRecord record = IpnsRecord.Create(key, "/ipfs/bafkqaddwgevxmmraojswg33smq", 9, DateTimeOffset.UtcNow.AddHours(1), TimeSpan.FromSeconds(30));
        File.WriteAllText(folder.File("name"), IpnsRecord.NameText(key.PublicKey.PeerId));
        File.WriteAllBytes(folder.File("leither.ipns-record"), record.Bytes);
        if (Run("ipns", folder.Path) is not { } answer) return;
        using JsonDocument said = JsonDocument.Parse(answer);
        Assert.Equal(record.Value, said.RootElement.GetProperty("value").GetString());
        Assert.Equal(record.ValidityText, said.RootElement.GetProperty("validity").GetString());
        Assert.Equal("9", said.RootElement.GetProperty("sequence").GetString());
        Assert.Equal("30000000000", said.RootElement.GetProperty("ttl").GetString());
        foreach (JsonProperty made in said.RootElement.GetProperty("made").EnumerateObject())
        {
            Assert.True(IpnsRecord.TryParseName(made.Value.GetString(), out PeerId name), made.Name);
            IpnsRecord read = IpnsRecord.ReadValid(name, File.ReadAllBytes(folder.File($"js-{made.Name}.ipns-record")), DateTimeOffset.UtcNow);
            Assert.Equal((42UL, "/ipfs/bafkqaddwgevxmmraojswg33smq", TimeSpan.FromMinutes(1)), (read.Sequence, read.Value, read.Ttl));
        }
    }

    private static NewEntry[] Files(UnixFsImporter importer, int count)
    {
        var entries = new NewEntry[count];
        for (int i = 0; i < count; i++)
        {
            ImportedNode file = importer.AddFile(new MemoryStream(Bytes(i % 100)));
            entries[i] = new NewEntry($"file-{i}.txt", file.Cid, file.Tsize);
        }

        return entries;
    }

    private static byte[] Bytes(int length)
    {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) bytes[i] = (byte)(i * 31 + (i >> 8) * 7 + (i >> 16) + (i >> 24));
        return bytes;
    }

    /// <summary>What the script prints; null where the libraries are not installed.</summary>
    private string? Run(params string[] arguments)
    {
        string clients = Path.GetFullPath(Path.Combine(Here(), "..", "redis-compat", "clients"));
        if (!Directory.Exists(Path.Combine(clients, "node_modules", "ipfs-unixfs-importer")))
        {
            output.WriteLine("Left out: npm's ipfs-unixfs-importer is not installed");
            return null;
        }

        using Process process = Process.Start(new ProcessStartInfo("node", ["unixfs.js", .. arguments])
        {
            WorkingDirectory = clients,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> printed = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(_patience)) process.Kill(entireProcessTree: true);
        Assert.True(process.ExitCode == 0, errors.Result);
        return printed.Result;
    }

    private static string Here([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
