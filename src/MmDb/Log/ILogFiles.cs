namespace Leither.MmDb.Log;

/// <summary>The directory of a log. Everything the log does to the disk goes through here, so that tests can make any of it fail.</summary>
/// <remarks>All members may be called from several threads. What goes wrong is a <see cref="LogFileException"/>.</remarks>
public interface ILogFiles
{
    /// <summary>The names of the files in the directory, in any order.</summary>
    IReadOnlyList<string> List();

    /// <summary>Opens an existing file for reading and writing.</summary>
    ILogFile Open(string name);

    /// <summary>Makes a new empty file; fails when the name exists.</summary>
    ILogFile Create(string name);

    /// <summary>Renames a file, replacing what has the new name.</summary>
    void Rename(string from, string to);

    /// <summary>Deletes a file; one that is not there is no error.</summary>
    void Delete(string name);

    /// <summary>Makes creations, renames and deletions durable.</summary>
    void SyncDirectory();

    /// <summary>Free space on the disk, in bytes.</summary>
    long FreeBytes { get; }

    /// <summary>The name as people find it: with its directory.</summary>
    string FullName(string name);
}

/// <summary>One open file of a log.</summary>
public unsafe interface ILogFile : IDisposable
{
    /// <summary>The file's length, preallocated bytes included.</summary>
    long Length { get; }

    /// <summary>Reads at an offset; fewer bytes than asked for only at the end of the file.</summary>
    int Read(long offset, byte* bytes, int count);

    /// <summary>Writes at an offset and returns how many bytes were taken, which may be fewer than given but not none.</summary>
    int Write(long offset, byte* bytes, int count);

    /// <summary>Reserves disk space up to a length, so that writes below it need none; the new bytes read as zeros.</summary>
    void Allocate(long length);

    /// <summary>Cuts the file to a length.</summary>
    void Truncate(long length);

    /// <summary>A hint that <see cref="SyncData"/> follows soon: sends what was written on its way to the disk, without waiting for it.</summary>
    void BeginWriteback();

    /// <summary>Makes what was written durable (fdatasync).</summary>
    void SyncData();
}

/// <summary>An operation on a log's file failed: which, on what file, and why.</summary>
public sealed class LogFileException : IOException
{
    /// <summary>Names the operation and file, and keeps the system's reason.</summary>
    public LogFileException(string operation, string file, string reason, bool isFull)
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
