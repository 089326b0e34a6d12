using System.Runtime.InteropServices;

namespace Leither.MmDb.Tests.Values;

/// <summary>
/// Memory that ends right before a page that may not be touched: a read or write beyond the end kills the test run.
/// Where there is no mmap it is ordinary memory.
/// </summary>
internal sealed unsafe class GuardedMemory : IDisposable
{
    private const int ReadWrite = 3;
    private const int PrivateAnonymous = 0x22;

    private readonly byte* _base;
    private readonly nuint _mapped;
    private readonly byte* _end;

    public GuardedMemory(int capacity)
    {
        nuint page = (nuint)Environment.SystemPageSize;
        nuint usable = ((nuint)capacity + page - 1) / page * page;
        _mapped = usable + page;
        if (OperatingSystem.IsLinux())
        {
            _base = mmap(null, _mapped, ReadWrite, PrivateAnonymous, -1, 0);
            if ((nint)_base == -1 || mprotect(_base + usable, page, 0) != 0)
            {
                throw new InvalidOperationException("mmap failed");
            }
        }
        else
        {
            _base = (byte*)NativeMemory.AllocZeroed(_mapped);
        }

        _end = _base + usable;
    }

    /// <summary>The place from which exactly this many bytes may be touched.</summary>
    public byte* Last(int bytes) => _end - bytes;

    public void Dispose()
    {
        if (OperatingSystem.IsLinux())
        {
            _ = munmap(_base, _mapped);
        }
        else
        {
            NativeMemory.Free(_base);
        }
    }

    [DllImport("libc")]
    private static extern byte* mmap(void* address, nuint length, int protection, int flags, int file, nint offset);

    [DllImport("libc")]
    private static extern int mprotect(void* address, nuint length, int protection);

    [DllImport("libc")]
    private static extern int munmap(void* address, nuint length);
}
