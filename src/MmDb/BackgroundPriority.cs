using System.Runtime.InteropServices;

namespace Leither.MmDb;

/// <summary>Lets the threads that clients wait for run first where there are fewer processors than work.</summary>
/// <remarks>
/// On Linux a thread that wakes up may have to wait until the slice of the one that runs is over, some 3 ms: then that is what a client waits. Since 6.12 a thread
/// may ask for slices of its own length, and one with shorter slices, that had no more than its share, goes first at once; so these threads ask for the longest.
/// Older kernels go by the shares alone. With SCHED_IDLE clients would wait even less, but on a processor that is always busy nothing would ever get done.
/// </remarks>
internal static unsafe class BackgroundPriority
{
    /// <summary>Above the usual 0, so less: the thread still gets about a tenth of a processor that another one wants for itself.</summary>
    private const int Nice = 10;

    /// <summary>The longest slice that can be asked for.</summary>
    private const ulong SliceNanoseconds = 100_000_000;

    private const int ThisThread = 0, OfProcess = 0;

    /// <summary>The kernel's <c>struct sched_attr</c> in its first form.</summary>
    private struct SchedulingAttributes
    {
        public uint Size, Policy;
        public ulong Flags;
        public int Nice;
        public uint Priority;
        public ulong Runtime, Deadline, Period;
    }

    /// <summary>Makes the calling thread one that yields to others. On Linux, whose threads have priorities of their own; elsewhere by what .NET offers.</summary>
    public static void Lower()
    {
        if (!OperatingSystem.IsLinux())
        {
            Thread.CurrentThread.Priority = ThreadPriority.BelowNormal;
            return;
        }

        // Never refused: a thread may always make itself less important.
        int setAttributes = RuntimeInformation.ProcessArchitecture switch
        {
            Architecture.X64 => 314,
            Architecture.Arm64 => 274,
            Architecture.Arm => 380,
            _ => -1,
        };
        var attributes = new SchedulingAttributes { Size = (uint)sizeof(SchedulingAttributes), Nice = Nice, Runtime = SliceNanoseconds };
        if (setAttributes < 0 || SetScheduling(setAttributes, ThisThread, &attributes, 0) != 0)
        {
            _ = SetPriority(OfProcess, ThisThread, Nice);
        }
    }

    [DllImport("libc", EntryPoint = "syscall")]
    private static extern nint SetScheduling(nint call, nint thread, SchedulingAttributes* attributes, nuint flags);

    [DllImport("libc", EntryPoint = "setpriority")]
    private static extern int SetPriority(int which, int who, int value);
}
