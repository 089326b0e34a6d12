using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Leither.MmDb.Log;

/// <summary>A log's directory on a real disk.</summary>
/// <remarks>
/// On Linux by system calls, because only they preallocate, sync without the file's times, sync a directory and tell a full disk from a
/// broken one. Elsewhere by what .NET offers. No call here suppresses the GC transition: each may block.
/// </remarks>
public sealed unsafe class LogFiles : ILogFiles
{
    private readonly string _directory;

    /// <summary>Opens a directory, making it (durably) where it is missing.</summary>
    public LogFiles(string directory)
    {
        _directory = Path.GetFullPath(directory);
        if (System.IO.Directory.Exists(_directory)) return;
        System.IO.Directory.CreateDirectory(_directory);
        SyncDirectory(Path.GetDirectoryName(_directory) ?? _directory);
    }

    /// <summary>The directory's full path.</summary>
    public string Directory => _directory;

    /// <inheritdoc/>
    public long FreeBytes => Guarded("free space", "", () => new DriveInfo(_directory).AvailableFreeSpace);

    /// <inheritdoc/>
    public IReadOnlyList<string> List() => Guarded("list", "", () =>
    {
        var names = new List<string>();
        foreach (string path in System.IO.Directory.EnumerateFiles(_directory)) names.Add(Path.GetFileName(path));
        return names;
    });

    /// <inheritdoc/>
    public ILogFile Open(string name) => OpenFile("open", name, create: false);

    /// <inheritdoc/>
    public ILogFile Create(string name) => OpenFile("create", name, create: true);

    /// <inheritdoc/>
    public void Rename(string from, string to) => Guarded("rename", from, () =>
    {
        File.Move(FullName(from), FullName(to), overwrite: true);
        return true;
    });

    /// <inheritdoc/>
    public void Delete(string name) => Guarded("delete", name, () =>
    {
        File.Delete(FullName(name));
        return true;
    });

    /// <inheritdoc/>
    public void SyncDirectory() => SyncDirectory(_directory);

    /// <inheritdoc/>
    public string FullName(string name) => Path.Combine(_directory, name);

    private ILogFile OpenFile(string operation, string name, bool create)
    {
        string path = FullName(name);
        if (OperatingSystem.IsLinux())
        {
            int flags = Libc.ReadWrite | Libc.CloseOnExec | (create ? Libc.CreateNew | Libc.Exclusive : 0);
            int descriptor;
            fixed (byte* bytes = NullTerminated(path))
            {
                do descriptor = Libc.Open(bytes, flags, Libc.OwnerOnly);
                while (descriptor < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            }
            if (descriptor < 0) throw Libc.Error(operation, path);
            return new LinuxFile(descriptor, path);
        }
        return Guarded(operation, name, () => new PortableFile(
            File.OpenHandle(path, create ? FileMode.CreateNew : FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete), path));
    }

    private static void SyncDirectory(string path)
    {
        if (!OperatingSystem.IsLinux()) return; // nothing portable does it; NTFS and APFS journal directory changes themselves
        int descriptor;
        fixed (byte* bytes = NullTerminated(path))
        {
            do descriptor = Libc.Open(bytes, Libc.Directory | Libc.CloseOnExec, 0);
            while (descriptor < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
        }
        if (descriptor < 0) throw Libc.Error("open", path);
        int result;
        do result = Libc.Fsync(descriptor);
        while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
        LogFileException? error = result < 0 ? Libc.Error("sync", path) : null;
        _ = Libc.Close(descriptor);
        if (error is not null) throw error;
    }

    private T Guarded<T>(string operation, string name, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception e) when (e is not LogFileException and (IOException or UnauthorizedAccessException))
        {
            throw PortableFile.Translate(operation, FullName(name), e);
        }
    }

    private static byte[] NullTerminated(string path)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(path) + 1];
        Encoding.UTF8.GetBytes(path, bytes);
        return bytes;
    }

    private sealed class LinuxFile(int descriptor, string path) : ILogFile
    {
        private int _descriptor = descriptor;

        public long Length
        {
            get
            {
                long length = Libc.Seek(_descriptor, 0, Libc.SeekEnd);
                return length >= 0 ? length : throw Libc.Error("seek", path);
            }
        }

        public int Read(long offset, byte* bytes, int count)
        {
            int done = 0;
            while (done < count)
            {
                nint n = Libc.ReadAt(_descriptor, bytes + done, (nuint)(count - done), offset + done);
                if (n == 0) break;
                if (n > 0) done += (int)n;
                else if (Marshal.GetLastPInvokeError() != Libc.Interrupted) throw Libc.Error("read", path);
            }
            return done;
        }

        public int Write(long offset, byte* bytes, int count)
        {
            nint n;
            do n = Libc.WriteAt(_descriptor, bytes, (nuint)count, offset);
            while (n < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            return n >= 0 ? (int)n : throw Libc.Error("write", path);
        }

        public void Allocate(long length)
        {
            int result;
            do result = Libc.Allocate(_descriptor, 0, 0, length);
            while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            if (result >= 0) return;
            if (Marshal.GetLastPInvokeError() != Libc.NotSupported) throw Libc.Error("allocate", path);
            // A file system without fallocate: the length at least, so that syncs need not write it each time.
            Truncate(length);
        }

        public void Truncate(long length)
        {
            int result;
            do result = Libc.Truncate(_descriptor, length);
            while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            if (result < 0) throw Libc.Error("truncate", path);
        }

        public void BeginWriteback() => _ = Libc.SyncFileRange(_descriptor, 0, 0, Libc.SyncFileRangeWrite); // SyncData tells of failures

        public void SyncData()
        {
            int result;
            do result = Libc.SyncData(_descriptor);
            while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            if (result < 0) throw Libc.Error("sync", path);
        }

        public void Dispose()
        {
            int closing = Interlocked.Exchange(ref _descriptor, -1);
            if (closing >= 0) _ = Libc.Close(closing); // everything that matters was synced before, or is not to be kept
        }
    }

    private sealed class PortableFile(SafeFileHandle handle, string path) : ILogFile
    {
        public long Length => Guarded("length", () => RandomAccess.GetLength(handle));

        public int Read(long offset, byte* bytes, int count)
        {
            int done = 0;
            while (done < count)
            {
                int at = done;
                int n = Guarded("read", () => RandomAccess.Read(handle, new Span<byte>(bytes + at, count - at), offset + at));
                if (n == 0) break;
                done += n;
            }
            return done;
        }

        public int Write(long offset, byte* bytes, int count) => Guarded("write", () =>
        {
            RandomAccess.Write(handle, new ReadOnlySpan<byte>(bytes, count), offset);
            return count;
        });

        public void Allocate(long length) => Truncate(length);

        public void Truncate(long length) => Guarded("truncate", () =>
        {
            RandomAccess.SetLength(handle, length);
            return 0;
        });

        public void BeginWriteback()
        {
        }

        public void SyncData() => Guarded("sync", () =>
        {
            RandomAccess.FlushToDisk(handle);
            return 0;
        });

        public void Dispose() => handle.Dispose();

        public static LogFileException Translate(string operation, string path, Exception e)
        {
            const int windowsDiskFull = unchecked((int)0x80070070), windowsHandleDiskFull = unchecked((int)0x80070027);
            bool full = e.HResult is windowsDiskFull or windowsHandleDiskFull or Libc.NoSpace or Libc.QuotaExceeded;
            return new LogFileException(operation, path, e.Message, full);
        }

        private T Guarded<T>(string operation, Func<T> action)
        {
            try
            {
                return action();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Translate(operation, path, e);
            }
        }
    }

    private static class Libc
    {
        public const int ReadWrite = 2, CreateNew = 0x40, Exclusive = 0x80, CloseOnExec = 0x80000, OwnerOnly = 0b110_000_000;
        public const int SeekEnd = 2;
        public const int Interrupted = 4, NoSpace = 28, NotSupported = 95, QuotaExceeded = 122;

        /// <summary>O_DIRECTORY, which ARM numbers differently.</summary>
        public static readonly int Directory =
            RuntimeInformation.ProcessArchitecture is Architecture.Arm or Architecture.Arm64 ? 0x4000 : 0x10000;

        public static LogFileException Error(string operation, string path)
        {
            int error = Marshal.GetLastPInvokeError();
            return new LogFileException(operation, path, Marshal.GetPInvokeErrorMessage(error), error is NoSpace or QuotaExceeded);
        }

        [DllImport("libc", EntryPoint = "open", SetLastError = true)]
        public static extern int Open(byte* path, int flags, int mode);

        [DllImport("libc", EntryPoint = "close", SetLastError = true)]
        public static extern int Close(int descriptor);

        [DllImport("libc", EntryPoint = "pread", SetLastError = true)]
        public static extern nint ReadAt(int descriptor, byte* bytes, nuint count, long offset);

        [DllImport("libc", EntryPoint = "pwrite", SetLastError = true)]
        public static extern nint WriteAt(int descriptor, byte* bytes, nuint count, long offset);

        [DllImport("libc", EntryPoint = "fallocate", SetLastError = true)]
        public static extern int Allocate(int descriptor, int mode, long offset, long length);

        [DllImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
        public static extern int Truncate(int descriptor, long length);

        public const uint SyncFileRangeWrite = 2;

        [DllImport("libc", EntryPoint = "sync_file_range", SetLastError = true)]
        public static extern int SyncFileRange(int descriptor, long offset, long count, uint flags);

        [DllImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
        public static extern int SyncData(int descriptor);

        [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
        public static extern int Fsync(int descriptor);

        [DllImport("libc", EntryPoint = "lseek", SetLastError = true)]
        public static extern long Seek(int descriptor, long offset, int origin);
    }
}
