namespace Leither.Ipfs.UnixFs;

/// <summary>How the size of a directory is measured that decides whether it is sharded.</summary>
public enum DirectoryMeasure
{
    /// <summary>The bytes of names and CIDs alone.</summary>
    Links,

    /// <summary>The bytes of the block that an unsharded directory would be.</summary>
    Block,
}

/// <summary>
/// All that decides which CID content gets: two who import the same with the same profile get the same CID.
/// https://specs.ipfs.tech/ipips/ipip-0499/
/// </summary>
public sealed record UnixFsProfile
{
    /// <summary>"unixfs-v0-2015": what <c>ipfs add</c> has always made, with CIDs "Qm…".</summary>
    public static readonly UnixFsProfile V0 = new()
    {
        Name = "unixfs-v0-2015",
        CidVersion = 0,
        ChunkBytes = 256 << 10,
        MaxLinks = 174,
        HasRawLeaves = false,
        ShardMeasure = DirectoryMeasure.Links,
    };

    /// <summary>"unixfs-v1-2025": larger chunks, wider nodes, leaves without wrapping, CIDs "baf…".</summary>
    public static readonly UnixFsProfile V1 = new()
    {
        Name = "unixfs-v1-2025",
        CidVersion = 1,
        ChunkBytes = 1 << 20,
        MaxLinks = 1024,
        HasRawLeaves = true,
        ShardMeasure = DirectoryMeasure.Block,
    };

    /// <summary>The profiles that have a name.</summary>
    public static IReadOnlyList<UnixFsProfile> All { get; } = [V0, V1];

    /// <summary>What it is called.</summary>
    public string Name { get; init; } = "custom";

    /// <summary>0 or 1.</summary>
    public required int CidVersion { get; init; }

    /// <summary>How many bytes of a file go into one leaf.</summary>
    public required int ChunkBytes { get; init; }

    /// <summary>How many links a node of a file has at most.</summary>
    public required int MaxLinks { get; init; }

    /// <summary>Whether leaves are bytes and nothing else.</summary>
    public required bool HasRawLeaves { get; init; }

    /// <summary>A directory larger than this is sharded.</summary>
    public int ShardBytes { get; init; } = 256 << 10;

    /// <summary>What is measured for it.</summary>
    public required DirectoryMeasure ShardMeasure { get; init; }

    /// <summary>Into how many a shard divides: a power of two from 8 to 1024.</summary>
    public int Fanout { get; init; } = 256;

    /// <summary>The profile of a name; null if there is none.</summary>
    public static UnixFsProfile? Find(string name) => All.FirstOrDefault(p => p.Name.Equals(name, StringComparison.OrdinalIgnoreCase));
}
