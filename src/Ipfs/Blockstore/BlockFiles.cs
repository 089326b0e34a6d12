using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Leither.Ipfs.Blockstore;

/// <summary>A store's folder on a real disk.</summary>
/// <remarks>By what .NET offers, but for syncing a folder, which only Linux needs and only its own calls do.</remarks>
public sealed class BlockFiles : IBlockFiles
{
    private readonly string _directory;

    /// <summary>Names a folder; it is made when the first file is.</summary>
    public BlockFiles(string directory) => _directory = Path.GetFullPath(directory);

    /// <inheritdoc/>
    public IReadOnlyList<(string Name, long Length)> List() => Guarded("list", _directory, this, static files =>
    {
        var list = new List<(string, long)>();
        var directory = new DirectoryInfo(files._directory);
        if (!directory.Exists) return list;
        foreach (FileInfo file in directory.EnumerateFiles()) list.Add((file.Name, file.Length));
        return list;
    });

    /// <inheritdoc/>
    public IBlockFile Open(string name) => Guarded("open", FullName(name), FullName(name), static path =>
        new OpenFile(File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete), path));

    /// <inheritdoc/>
    public IBlockFile Create(string name) => Guarded("create", FullName(name), (Files: this, Path: FullName(name)), static file =>
    {
        file.Files.EnsureDirectory();
        return new OpenFile(File.OpenHandle(file.Path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete), file.Path);
    });

    /// <inheritdoc/>
    public void Delete(string name) => Guarded("delete", FullName(name), FullName(name), static path =>
    {
        if (Directory.Exists(Path.GetDirectoryName(path))) File.Delete(path);
        return 0;
    });

    /// <inheritdoc/>
    public void SyncDirectory() => SyncDirectory(_directory);

    /// <inheritdoc/>
    public string FullName(string name) => Path.Combine(_directory, name);

    private void EnsureDirectory()
    {
        if (Directory.Exists(_directory)) return;
        // Durable from the top: each folder that is made is synced in the one that holds it.
        var missing = new Stack<string>();
        for (string? at = _directory; at is not null && !Directory.Exists(at); at = Path.GetDirectoryName(at)) missing.Push(at);
        foreach (string path in missing)
        {
            Directory.CreateDirectory(path);
            if (Path.GetDirectoryName(path) is { } parent) SyncDirectory(parent);
        }
    }

    private static unsafe void SyncDirectory(string path)
    {
        if (!OperatingSystem.IsLinux()) return; // nothing portable does it; NTFS and APFS journal directory changes themselves
        byte[] name = new byte[Encoding.UTF8.GetByteCount(path) + 1];
        Encoding.UTF8.GetBytes(path, name);
        int descriptor;
        fixed (byte* bytes = name)
        {
            do descriptor = Libc.Open(bytes, Libc.Directory | Libc.CloseOnExec, 0);
            while (descriptor < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
        }
        if (descriptor < 0) throw Libc.Error("open", path);
        int result;
        do result = Libc.Fsync(descriptor);
        while (result < 0 && Marshal.GetLastPInvokeError() == Libc.Interrupted);
        BlockFileException? error = result < 0 ? Libc.Error("sync", path) : null;
        _ = Libc.Close(descriptor);
        if (error is not null) throw error;
    }

    private static T Guarded<TState, T>(string operation, string path, TState state, Func<TState, T> action)
    {
        try
        {
            return action(state);
        }
        catch (Exception e) when (e is not BlockFileException and (IOException or UnauthorizedAccessException))
        {
            throw Translate(operation, path, e);
        }
    }

    private static BlockFileException Translate(string operation, string path, Exception e)
    {
        const int windowsDiskFull = unchecked((int)0x80070070), windowsHandleDiskFull = unchecked((int)0x80070027);
        bool full = e.HResult is windowsDiskFull or windowsHandleDiskFull or Libc.NoSpace or Libc.QuotaExceeded;
        return new BlockFileException(operation, path, e.Message, full);
    }

    private sealed class OpenFile(SafeFileHandle handle, string path) : IBlockFile
    {
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

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            try
            {
                RandomAccess.Write(handle, bytes, offset);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Translate("write", path, e);
            }
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
    }

    private static unsafe class Libc
    {
        public const int CloseOnExec = 0x80000, Interrupted = 4, NoSpace = 28, QuotaExceeded = 122;

        /// <summary>O_DIRECTORY, which ARM numbers differently.</summary>
        public static readonly int Directory =
            RuntimeInformation.ProcessArchitecture is Architecture.Arm or Architecture.Arm64 ? 0x4000 : 0x10000;

        public static BlockFileException Error(string operation, string path)
        {
            int error = Marshal.GetLastPInvokeError();
            return new BlockFileException(operation, path, Marshal.GetPInvokeErrorMessage(error), error is NoSpace or QuotaExceeded);
        }

        [DllImport("libc", EntryPoint = "open", SetLastError = true)]
        public static extern int Open(byte* path, int flags, int mode);

        [DllImport("libc", EntryPoint = "close", SetLastError = true)]
        public static extern int Close(int descriptor);

        [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
        public static extern int Fsync(int descriptor);
    }
}
