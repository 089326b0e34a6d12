using System.Buffers;
using System.Security.Cryptography;
using BenchmarkDotNet.Attributes;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Bench;

/// <summary>
/// What the blockstore costs a version: 20,000 blocks of 4 KiB put and made durable, beside the same bytes written to one plain file; read back in
/// any order, beside plain reads that are hashed too; a store of a million (small) blocks opened; half of the blocks collected.
/// </summary>
[MemoryDiagnoser]
public class BlockstoreBenchmarks
{
    private const int Blocks = 20_000, BlockBytes = 4096, Million = 1_000_000;

    private readonly byte[] _data = new byte[Blocks * BlockBytes];
    private readonly Cid[] _cids = new Cid[Blocks];
    private readonly int[] _order = new int[Blocks];
    private readonly ArrayBufferWriter<byte> _buffer = new(BlockBytes);
    private string _directory = "", _millionDirectory = "";
    private FileBlockstore? _full;
    private Cid _oneOfMillion;
    private int _next;

    /// <summary>Makes the blocks, and a store that has them.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _directory = Directory.CreateTempSubdirectory("leither-bench-").FullName;
        var random = new Random(1);
        random.NextBytes(_data);
        for (int i = 0; i < Blocks; i++)
        {
            _cids[i] = Cid.Of(Multicodec.Raw, Data(i));
            _order[i] = i;
        }
        random.Shuffle(_order);
        _full = new FileBlockstore(Path.Combine(_directory, "full"));
        PutAll(_full);
        _full.Flush();
        File.WriteAllBytes(Path.Combine(_directory, "plain"), _data);
    }

    /// <summary>Makes a store of a million blocks.</summary>
    [GlobalSetup(Target = nameof(OpenMillionAndGetOne))]
    public void SetupMillion()
    {
        _directory = Directory.CreateTempSubdirectory("leither-bench-").FullName;
        _millionDirectory = Path.Combine(_directory, "million");
        using var million = new FileBlockstore(_millionDirectory);
        byte[] small = new byte[64];
        for (int i = 0; i < Million; i++)
        {
            BitConverter.TryWriteBytes(small, i);
            Cid cid = Cid.Of(Multicodec.Raw, small);
            if (i == Million / 2) _oneOfMillion = cid;
            million.Put(cid, small);
            if (i % Blocks == 0) million.Flush();
        }
        million.Close();
    }

    /// <summary>Takes all away.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _full?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>The least that it could cost: the bytes in large writes, and a sync.</summary>
    [Benchmark(Baseline = true)]
    public void PlainWriteAndSync()
    {
        string path = Fresh();
        using (Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite))
        {
            for (int at = 0; at < _data.Length; at += 256 << 10) RandomAccess.Write(file, _data.AsSpan(at, Math.Min(256 << 10, _data.Length - at)), at);
            RandomAccess.FlushToDisk(file);
        }
        File.Delete(path);
    }

    /// <summary>All blocks put and flushed.</summary>
    [Benchmark]
    public void PutAndFlush()
    {
        string path = Fresh();
        using (var store = new FileBlockstore(path))
        {
            PutAll(store);
            store.Flush();
        }
        Directory.Delete(path, recursive: true);
    }

    /// <summary>All blocks put that are there.</summary>
    [Benchmark]
    public void PutKnown() => PutAll(_full!);

    /// <summary>Reading and hashing at known places of one file.</summary>
    [Benchmark]
    public void PlainReadAndHash()
    {
        Span<byte> block = stackalloc byte[BlockBytes], digest = stackalloc byte[32];
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(Path.Combine(_directory, "plain"));
        foreach (int i in _order)
        {
            RandomAccess.Read(file, block, (long)i * BlockBytes);
            SHA256.HashData(block, digest);
        }
    }

    /// <summary>All blocks in random order.</summary>
    [Benchmark]
    public void GetRandom()
    {
        foreach (int i in _order)
        {
            _buffer.ResetWrittenCount();
            if (!_full!.TryGet(_cids[i], _buffer)) throw new InvalidOperationException("A block is missing.");
        }
    }

    /// <summary>A store of a million blocks opened, one block read.</summary>
    [Benchmark]
    public void OpenMillionAndGetOne()
    {
        using var store = new FileBlockstore(_millionDirectory);
        _buffer.ResetWrittenCount();
        if (!store.TryGet(_oneOfMillion, _buffer)) throw new InvalidOperationException("A block is missing.");
    }

    /// <summary>All blocks put and flushed, then every second one collected: each pack is written anew.</summary>
    [Benchmark]
    public void PutAndCollectHalf()
    {
        string path = Fresh();
        using (var store = new FileBlockstore(path))
        {
            PutAll(store);
            store.Flush();
            using BlockCollection collection = store.Collect(new CollectionOptions
            {
                Roots = () => Enumerable.Range(0, Blocks / 2).Select(i => _cids[i * 2]),
                Links = static (in Cid cid, ReadOnlySpan<byte> data, List<Cid> links) => { },
            });
            collection.Run();
        }
        Directory.Delete(path, recursive: true);
    }

    private void PutAll(FileBlockstore store)
    {
        for (int i = 0; i < Blocks; i++) store.Put(_cids[i], Data(i));
    }

    private ReadOnlySpan<byte> Data(int i) => _data.AsSpan(i * BlockBytes, BlockBytes);

    private string Fresh() => Path.Combine(_directory, $"fresh-{_next++}");
}
