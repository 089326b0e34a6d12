using Leither.Ipfs.Blockstore;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests.Blockstore;

/// <summary>The suite over <see cref="FileBlockstore"/> on a real disk, as it is used.</summary>
public class FileBlockstoreTests : BlockstoreTests, IDisposable
{
    private readonly TempDir _folder = new("blocks");
    private int _stores;

    protected virtual FileBlockstoreOptions StoreOptions => new();

    protected override IBlockstore Create() => new FileBlockstore(_folder.File($"{_stores++}"), StoreOptions);

    public void Dispose()
    {
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }
}

/// <summary>The suite with packs, buffers and indexes so small that there are many of each.</summary>
public sealed class SmallFileBlockstoreTests : FileBlockstoreTests
{
    protected override FileBlockstoreOptions StoreOptions => new() { MaxPackBytes = 8192, BufferBytes = 2000, MaxRecentBlocks = 10 };
}
