namespace Leither.Ipfs.Files;

/// <summary>A folder in which a log or a store keeps its files. Everything that these do to the disk goes through here, so that tests can make any of it fail.</summary>
/// <remarks>All members may be called from several threads. What goes wrong is a <see cref="DiskException"/>.</remarks>
public interface IFolder
{
    /// <summary>The files in the folder and their lengths, in any order; none if there is no folder.</summary>
    IReadOnlyList<(string Name, long Length)> List();

    /// <summary>Opens an existing file for reading and writing.</summary>
    IFile Open(string name);

    /// <summary>Makes a new empty file (and the folder, where it is missing); fails when the name exists.</summary>
    IFile Create(string name);

    /// <summary>Renames a file, replacing what has the new name.</summary>
    void Rename(string from, string to);

    /// <summary>Deletes a file; one that is not there is no error. Those who have it open go on reading it.</summary>
    void Delete(string name);

    /// <summary>Makes creations, renames and deletions durable.</summary>
    void SyncDirectory();

    /// <summary>Free space on the disk, in bytes.</summary>
    long FreeBytes { get; }

    /// <summary>The name as people find it: with its folder.</summary>
    string FullName(string name);
}

/// <summary>One open file of a folder. Any number of threads may read while one writes.</summary>
public interface IFile : IDisposable
{
    /// <summary>The file's length, preallocated bytes included.</summary>
    long Length { get; }

    /// <summary>Reads at an offset; fewer bytes than asked for only at the end of the file.</summary>
    int Read(long offset, Span<byte> bytes);

    /// <summary>Writes at an offset and returns how many bytes were taken: at least one, but maybe not all. When it fails, some may have been written.</summary>
    int Write(long offset, ReadOnlySpan<byte> bytes);

    /// <summary>Reserves disk space up to a length, so that writes below it need none; the new bytes read as zeros.</summary>
    void Allocate(long length);

    /// <summary>Cuts the file to a length.</summary>
    void Truncate(long length);

    /// <summary>A hint that <see cref="Sync"/> follows soon: sends what was written on its way to the disk, without waiting for it.</summary>
    void BeginWriteback();

    /// <summary>Makes what was written durable (fdatasync).</summary>
    void Sync();
}

/// <summary>What every file can do by those few calls.</summary>
public static class FileExtensions
{
    /// <summary>Writes all bytes at an offset. When it fails, some of them may have been written.</summary>
    public static void WriteAll(this IFile file, long offset, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = file.Write(offset, bytes);
            offset += count;
            bytes = bytes[count..];
        }
    }
}

/// <summary>An operation on a file failed: which, on what file, and why.</summary>
public sealed class DiskException : IOException
{
    /// <summary>Names the operation and file, and keeps the system's reason.</summary>
    public DiskException(string operation, string file, string reason, bool isFull)
        : base($"{operation} of {file} failed: {reason}")
    {
        Operation = operation;
        File = file;
        Reason = reason;
        IsFull = isFull;
    }

    /// <summary>The operation: write, sync, allocate, …</summary>
    public string Operation { get; }

    /// <summary>The file it was done to.</summary>
    public string File { get; }

    /// <summary>The system's words: "No space left on device".</summary>
    public string Reason { get; }

    /// <summary>Whether it failed for want of space (disk or quota).</summary>
    public bool IsFull { get; }
}
