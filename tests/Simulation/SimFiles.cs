using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;

namespace Leither.Simulation;

/// <summary>Files as they are imported, with small chunks.</summary>
/// <param name="Root">The root.</param>
/// <param name="Blocks">All blocks that it leads to, each once.</param>
public sealed record SimFiles(Cid Root, IReadOnlyList<(Cid Cid, byte[] Bytes)> Blocks)
{
    private const int ChunkBytes = 300;

    /// <summary>A folder, each of whose files is that of a number: what two folders have in common has the same blocks.</summary>
    /// <param name="files">The number of each file; its length is some chunks, by its number.</param>
    /// <param name="profile">How they are imported.</param>
    public static SimFiles Folder(IEnumerable<int> files, UnixFsProfile? profile = null)
    {
        using var store = new MemoryBlockstore();
        var importer = new UnixFsImporter(store, (profile ?? UnixFsProfile.V1) with { ChunkBytes = ChunkBytes, MaxLinks = 4, ShardBytes = 2000 });
        var entries = new List<NewEntry>();
        foreach (int number in files)
        {
            byte[] content = new byte[1 + (number * 7919 % (6 * ChunkBytes))];
            new Random(number).NextBytes(content);
            ImportedNode file = importer.AddFile(new MemoryStream(content));
            entries.Add(new NewEntry($"file {entries.Count}", file.Cid, file.Tsize));
        }

        return Of(importer.AddDirectory(entries).Cid, store);
    }

    /// <summary>One file.</summary>
    public static SimFiles File(byte[] content, UnixFsProfile profile)
    {
        using var store = new MemoryBlockstore();
        return Of(new UnixFsImporter(store, profile).AddFile(new MemoryStream(content)).Cid, store);
    }

    /// <summary>A few files of forty.</summary>
    public static SimFiles Some(Random random)
    {
        int count = random.Next(1, 12);
        return Folder(Enumerable.Range(0, count).Select(_ => random.Next(40)), random.Next(2) == 0 ? UnixFsProfile.V0 : UnixFsProfile.V1);
    }

    private static SimFiles Of(in Cid root, MemoryBlockstore store) => new(root, [.. ((IBlockSource)store).Cids().Select(cid =>
    {
        var block = new System.Buffers.ArrayBufferWriter<byte>();
        return store.TryGet(cid, block) ? (cid, block.WrittenSpan.ToArray()) : throw new InvalidOperationException("A block is gone.");
    })]);
}
