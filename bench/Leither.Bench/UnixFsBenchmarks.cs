using BenchmarkDotNet.Attributes;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;

namespace Leither.Bench;

/// <summary>
/// What <c>ipfs add</c> and <c>ipfs cat</c> cost beneath the command: 256 MiB from memory cut, hashed and put into a store in files (durable at the
/// end), CIDs alone, the file read back and checked, and 10,000 small files into a sharded directory. MB/s = 268 / seconds for the first three.
/// </summary>
[MemoryDiagnoser]
public class UnixFsBenchmarks
{
    private const int SmallFiles = 10_000;

    private readonly byte[] _content = new byte[256 << 20];
    private string _directory = "";
    private FileBlockstore? _full;
    private Cid _file;
    private int _next;

    /// <summary>How content is cut.</summary>
    [Params("unixfs-v0-2015", "unixfs-v1-2025")]
    public string Profile { get; set; } = "";

    /// <summary>Makes the content, and a store that has it.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _directory = Directory.CreateTempSubdirectory("leither-bench-").FullName;
        new Random(1).NextBytes(_content);
        _full = new FileBlockstore(Path.Combine(_directory, "full"));
        _file = new UnixFsImporter(_full, UnixFsProfile.Find(Profile)!).AddFile(new MemoryStream(_content)).Cid;
        _full.Flush();
    }

    /// <summary>Takes all away.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _full?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>A file into a store.</summary>
    [Benchmark]
    public Cid Add()
    {
        string folder = Path.Combine(_directory, $"add{_next++}");
        using var store = new FileBlockstore(folder);
        Cid cid = new UnixFsImporter(store, UnixFsProfile.Find(Profile)!).AddFile(new MemoryStream(_content)).Cid;
        store.Close();
        Directory.Delete(folder, recursive: true);
        return cid;
    }

    /// <summary>The CID of a file.</summary>
    [Benchmark]
    public Cid OnlyHash() => new UnixFsImporter(null, UnixFsProfile.Find(Profile)!).AddFile(new MemoryStream(_content)).Cid;

    /// <summary>A file out of a store, checked.</summary>
    [Benchmark]
    public long Read()
    {
        using var file = new UnixFsStream(_full!, _file);
        file.CopyTo(Stream.Null);
        return file.Position;
    }

    /// <summary>Small files, and the directory of them.</summary>
    [Benchmark]
    public Cid SmallFilesAndDirectory()
    {
        using var store = new MemoryBlockstore();
        var importer = new UnixFsImporter(store, UnixFsProfile.Find(Profile)!);
        var entries = new NewEntry[SmallFiles];
        for (int i = 0; i < SmallFiles; i++)
        {
            ImportedNode file = importer.AddFile(new MemoryStream(_content, i * 1024, 1024));
            entries[i] = new NewEntry($"file-{i}", file.Cid, file.Tsize);
        }

        return importer.AddDirectory(entries).Cid;
    }
}
