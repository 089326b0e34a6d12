namespace Leither.Ipfs.Blockstore;

/// <summary>The folder of a store. Everything the store does to the disk goes through here, so that tests can make any of it fail.</summary>
/// <remarks>All members may be called from several threads. What goes wrong is a <see cref="BlockFileException"/>.</remarks>
public interface IBlockFiles
{
    /// <summary>The files in the folder and their lengths, in any order; none if there is no folder.</summary>
    IReadOnlyList<(string Name, long Length)> List();

    /// <summary>Opens an existing file for reading and writing.</summary>
    IBlockFile Open(string name);

    /// <summary>Makes a new empty file (and the folder, where it is missing); fails when the name exists.</summary>
    IBlockFile Create(string name);

    /// <summary>Deletes a file; one that is not there is no error. Those who have it open go on reading it.</summary>
    void Delete(string name);

    /// <summary>Makes creations and deletions durable.</summary>
    void SyncDirectory();

    /// <summary>The name as people find it: with its folder.</summary>
    string FullName(string name);
}

/// <summary>One open file of a store. Any number of threads may read while one writes.</summary>
public interface IBlockFile : IDisposable
{
    /// <summary>Reads at an offset; fewer bytes than asked for only at the end of the file.</summary>
    int Read(long offset, Span<byte> bytes);

    /// <summary>Writes all bytes at an offset. When it fails, some of them may have been written.</summary>
    void Write(long offset, ReadOnlySpan<byte> bytes);

    /// <summary>Makes what was written durable.</summary>
    void Sync();
}

/// <summary>An operation on a store's file failed: which, on what file, and why.</summary>
public sealed class BlockFileException : IOException
{
    /// <summary>Names the operation and file, and keeps the system's reason.</summary>
    public BlockFileException(string operation, string file, string reason, bool isFull)
        : base($"{operation} of {file} failed: {reason}")
    {
        Operation = operation;
        File = file;
        Reason = reason;
        IsFull = isFull;
    }

    /// <summary>The operation: write, sync, create, …</summary>
    public string Operation { get; }

    /// <summary>The file it was done to.</summary>
    public string File { get; }

    /// <summary>The system's words: "No space left on device".</summary>
    public string Reason { get; }

    /// <summary>Whether it failed for want of space (disk or quota).</summary>
    public bool IsFull { get; }
}
