using System.Runtime.InteropServices;

namespace Leither.MmDb.Memory;

/// <summary>
/// Aligned chunks of address space from the operating system. On Linux an untouched page costs nothing and a page can be
/// given back without giving up its address; elsewhere chunks come from the aligned allocator and pages stay until freed.
/// </summary>
internal static unsafe class VirtualMemory
{
    private const int ProtReadWrite = 1 | 2;
    private const int MapPrivateAnonymousNoReserve = 0x2 | 0x20 | 0x4000;
    private const int MadvDontNeed = 4;
    private const int MadvHugePage = 14;
    private const int MadvNoHugePage = 15;
    private static readonly byte* MapFailed = (byte*)-1;

    /// <summary>Page granularity of the resident estimate and of <see cref="Discard"/>.</summary>
    public const nuint PageSize = 4096;

    /// <summary>
    /// Maps <paramref name="size"/> zeroed bytes at a multiple of <paramref name="size"/> (a power of two), or returns null when the
    /// system has no more. <paramref name="hint"/> is an address to try first (neighbouring chunks share one kernel mapping).
    /// </summary>
    public static byte* MapAligned(nuint size, byte* hint)
    {
        if (!OperatingSystem.IsLinux())
        {
            try
            {
                var block = (byte*)NativeMemory.AlignedAlloc(size, size);
                NativeMemory.Clear(block, size);
                return block;
            }
            catch (OutOfMemoryException)
            {
                return null;
            }
        }
        byte* p = Map(hint, size);
        if (p == MapFailed)
        {
            return null;
        }
        if (((nuint)p & (size - 1)) == 0)
        {
            return p;
        }
        // The kernel chose an unaligned place: map twice as much and cut off both ends.
        _ = Unmap(p, size);
        p = Map(null, size * 2);
        if (p == MapFailed)
        {
            return null;
        }
        var aligned = (byte*)(((nuint)p + size - 1) & ~(size - 1));
        var before = (nuint)(aligned - p);
        if (before != 0)
        {
            _ = Unmap(p, before);
        }
        _ = Unmap(aligned + size, size - before);
        return aligned;
    }

    /// <summary>Gives a chunk of <see cref="MapAligned"/> back.</summary>
    public static void Release(byte* p, nuint size)
    {
        if (OperatingSystem.IsLinux())
        {
            _ = Unmap(p, size);
        }
        else
        {
            NativeMemory.AlignedFree(p);
        }
    }

    /// <summary>
    /// Gives the pages of a range back to the system; the next touch finds zeroes. False where the platform cannot,
    /// in which case the pages stay resident.
    /// </summary>
    public static bool Discard(byte* p, nuint size) => OperatingSystem.IsLinux() && Advise(p, size, MadvDontNeed) == 0;

    /// <summary>
    /// Asks for the range to be backed by huge pages: a lookup in a big table then pays no page walk beside each cache miss.
    /// False where there are none.
    /// </summary>
    public static bool PreferHugePages(byte* p, nuint size) => OperatingSystem.IsLinux() && Advise(p, size, MadvHugePage) == 0;

    /// <summary>
    /// Withdraws <see cref="PreferHugePages"/>, before parts of the range are discarded: else the kernel would in time fill them again.
    /// </summary>
    public static void AvoidHugePages(byte* p, nuint size)
    {
        if (OperatingSystem.IsLinux())
        {
            _ = Advise(p, size, MadvNoHugePage);
        }
    }

    private static byte* Map(byte* hint, nuint size) => mmap(hint, size, ProtReadWrite, MapPrivateAnonymousNoReserve, -1, 0);

    private static int Unmap(byte* p, nuint size) => munmap(p, size);

    private static int Advise(byte* p, nuint size, int advice) => madvise(p, size, advice);

#pragma warning disable IDE1006, SA1300 // The names are libc's.
    [DllImport("libc", SetLastError = false)]
    private static extern byte* mmap(byte* address, nuint length, int protection, int flags, int descriptor, nint offset);

    [DllImport("libc", SetLastError = false)]
    private static extern int munmap(byte* address, nuint length);

    [DllImport("libc", SetLastError = false)]
    private static extern int madvise(byte* address, nuint length, int advice);
#pragma warning restore IDE1006, SA1300
}
