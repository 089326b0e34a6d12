using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Leither.Ipfs.Files;

/// <summary>A folder on a real disk.</summary>
/// <remarks>
/// On Linux by system calls, because only they preallocate, sync without the file's times, sync a directory and tell a full disk from a
/// broken one. Elsewhere by what .NET offers. No call here suppresses the GC transition: each may block.
/// </remarks>
public sealed unsafe class DiskFolder : IFolder
{
    /// <summary>Names a folder; it is made when the first file is.</summary>
    public DiskFolder(string path) => FullPath = Path.GetFullPath(path);

    /// <summary>Names a folder, and makes it (durably) where it is missing.</summary>
    public static DiskFolder Make(string path)
    {
        var folder = new DiskFolder(path);
        folder.Guarded("create", folder.FullPath, () =>
        {
            folder.EnsureDirectory();
            return 0;
        });
        return folder;
    }

    /// <summary>The folder's full path.</summary>
    public string FullPath { get; }

    /// <inheritdoc/>
    public long FreeBytes => Guarded("free space", FullPath, () => new DriveInfo(FullPath).AvailableFreeSpace);

    /// <inheritdoc/>
    public IReadOnlyList<(string Name, long Length)> List() => Guarded("list", FullPath, () =>
    {
        var list = new List<(string, long)>();
        var directory = new DirectoryInfo(FullPath);
        if (!directory.Exists) return list;
        foreach (FileInfo file in directory.EnumerateFiles())
        {
            try
            {
                list.Add((file.Name, file.Length));
            }
            catch (FileNotFoundException)
            {
                // Another thread has deleted it since the system named it.
            }
        }
        return list;
    });

    /// <inheritdoc/>
    public IFile Open(string name) => OpenFile("open", name, create: false);

    /// <inheritdoc/>
    public IFile Create(string name)
    {
        if (!Directory.Exists(FullPath)) Make(FullPath);
        return OpenFile("create", name, create: true);
    }

    /// <inheritdoc/>
    public void Rename(string from, string to) => Guarded("rename", FullName(from), () =>
    {
        File.Move(FullName(from), FullName(to), overwrite: true);
        return 0;
    });

    /// <inheritdoc/>
    public void Delete(string name) => Guarded("delete", FullName(name), () =>
    {
        if (Directory.Exists(FullPath)) File.Delete(FullName(name));
        return 0;
    });

    /// <inheritdoc/>
    public void SyncDirectory() => SyncDirectory(FullPath);

    /// <inheritdoc/>
    public string FullName(string name) => Path.Combine(FullPath, name);

    private void EnsureDirectory()
    {
        // Durable from the top: each folder that is made is synced in the one that holds it.
        var missing = new Stack<string>();
        for (string? at = FullPath; at is not null && !Directory.Exists(at); at = Path.GetDirectoryName(at)) missing.Push(at);
        foreach (string path in missing)
        {
            Directory.CreateDirectory(path);
            if (Path.GetDirectoryName(path) is { } parent) SyncDirectory(parent);
        }
    }

    private IFile OpenFile(string operation, string name, bool create)
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
            return new LinuxFile(new SafeFileHandle(descriptor, ownsHandle: true), path);
        }
        return Guarded(operation, path, () => new PortableFile(
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
        do result = Libc.SyncAll(descriptor);
        while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
        DiskException? error = result < 0 ? Libc.Error("sync", path) : null;
        _ = Libc.Close(descriptor);
        if (error is not null) throw error;
    }

    private T Guarded<T>(string operation, string path, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception e) when (e is not DiskException and (IOException or UnauthorizedAccessException))
        {
            throw PortableFile.Translate(operation, path, e);
        }
    }

    private static byte[] NullTerminated(string path)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(path) + 1];
        Encoding.UTF8.GetBytes(path, bytes);
        return bytes;
    }

    /// <summary>The handle counts those who use it: a file that is closed while another thread reads it stays open until that is through.</summary>
    private sealed class LinuxFile(SafeFileHandle handle, string path) : IFile
    {
        public long Length
        {
            get
            {
                long length = Libc.Seek(handle, 0, Libc.SeekEnd);
                return length >= 0 ? length : throw Libc.Error("seek", path);
            }
        }

        public int Read(long offset, Span<byte> bytes)
        {
            int done = 0;
            fixed (byte* to = bytes)
            {
                while (done < bytes.Length)
                {
                    nint n = Libc.ReadAt(handle, to + done, (nuint)(bytes.Length - done), offset + done);
                    if (n == 0) break;
                    if (n > 0) done += (int)n;
                    else if (Marshal.GetLastPInvokeError() != Libc.Interrupted) throw Libc.Error("read", path);
                }
            }
            return done;
        }

        public int Write(long offset, ReadOnlySpan<byte> bytes)
        {
            nint n;
            fixed (byte* from = bytes)
            {
                do n = Libc.WriteAt(handle, from, (nuint)bytes.Length, offset);
                while (n < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            }
            if (n < 0) throw Libc.Error("write", path);
            return n > 0 || bytes.IsEmpty ? (int)n : throw new DiskException("write", path, "nothing was written", isFull: false);
        }

        public void Allocate(long length)
        {
            int result;
            do result = Libc.Allocate(handle, 0, 0, length);
            while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            if (result >= 0) return;
            if (Marshal.GetLastPInvokeError() != Libc.NotSupported) throw Libc.Error("allocate", path);
            // A file system without fallocate: the length at least, so that syncs need not write it each time.
            Truncate(length);
        }

        public void Truncate(long length)
        {
            int result;
            do result = Libc.Truncate(handle, length);
            while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            if (result < 0) throw Libc.Error("truncate", path);
        }

        public void BeginWriteback() => _ = Libc.SyncFileRange(handle, 0, 0, Libc.SyncFileRangeWrite); // Sync tells of failures

        public void Sync()
        {
            int result;
            do result = Libc.SyncData(handle);
            while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
            if (result < 0) throw Libc.Error("sync", path);
        }

        public void Dispose() => handle.Dispose(); // everything that matters was synced before, or is not to be kept
    }

    private sealed class PortableFile(SafeFileHandle handle, string path) : IFile
    {
        public long Length
        {
            get
            {
                try
                {
                    return RandomAccess.GetLength(handle);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    throw Translate("length", path, e);
                }
            }
        }

        public int Read(long offset, Span<byte> bytes)
        {
            try
            {
                int done = 0;
                while (done < bytes.Length)
                {
                    int n = RandomAccess.Read(handle, bytes[done..], offset + done);
                    if (n == 0) break;
                    done += n;
                }
                return done;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Translate("read", path, e);
            }
        }

        public int Write(long offset, ReadOnlySpan<byte> bytes)
        {
            try
            {
                RandomAccess.Write(handle, bytes, offset);
                return bytes.Length;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Translate("write", path, e);
            }
        }

        public void Allocate(long length) => Truncate(length);

        public void Truncate(long length)
        {
            try
            {
                RandomAccess.SetLength(handle, length);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Translate("truncate", path, e);
            }
        }

        public void BeginWriteback()
        {
        }

        public void Sync()
        {
            try
            {
                RandomAccess.FlushToDisk(handle);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Translate("sync", path, e);
            }
        }

        public void Dispose() => handle.Dispose();

        public static DiskException Translate(string operation, string path, Exception e)
        {
            const int windowsDiskFull = unchecked((int)0x80070070), windowsHandleDiskFull = unchecked((int)0x80070027);
            bool full = e.HResult is windowsDiskFull or windowsHandleDiskFull or Libc.NoSpace or Libc.QuotaExceeded;
            return new DiskException(operation, path, e.Message, full);
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

        public static DiskException Error(string operation, string path)
        {
            int error = Marshal.GetLastPInvokeError();
            return new DiskException(operation, path, Marshal.GetPInvokeErrorMessage(error), error is NoSpace or QuotaExceeded);
        }

        [DllImport("libc", EntryPoint = "open", SetLastError = true)]
        public static extern int Open(byte* path, int flags, int mode);

        [DllImport("libc", EntryPoint = "close", SetLastError = true)]
        public static extern int Close(int descriptor);

        [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
        public static extern int SyncAll(int descriptor);

        [DllImport("libc", EntryPoint = "pread", SetLastError = true)]
        public static extern nint ReadAt(SafeFileHandle file, byte* bytes, nuint count, long offset);

        [DllImport("libc", EntryPoint = "pwrite", SetLastError = true)]
        public static extern nint WriteAt(SafeFileHandle file, byte* bytes, nuint count, long offset);

        [DllImport("libc", EntryPoint = "fallocate", SetLastError = true)]
        public static extern int Allocate(SafeFileHandle file, int mode, long offset, long length);

        [DllImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
        public static extern int Truncate(SafeFileHandle file, long length);

        public const uint SyncFileRangeWrite = 2;

        [DllImport("libc", EntryPoint = "sync_file_range", SetLastError = true)]
        public static extern int SyncFileRange(SafeFileHandle file, long offset, long count, uint flags);

        [DllImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
        public static extern int SyncData(SafeFileHandle file);

        [DllImport("libc", EntryPoint = "lseek", SetLastError = true)]
        public static extern long Seek(SafeFileHandle file, long offset, int origin);
    }
}
