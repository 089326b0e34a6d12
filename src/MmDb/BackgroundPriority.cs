using System.Runtime.InteropServices;

namespace Leither.MmDb;

/// <summary>Lets the threads that clients wait for run first where there are fewer processors than work.</summary>
internal static class BackgroundPriority
{
    /// <summary>Above the usual 0, so less: the thread still gets about a tenth of a processor that another one wants for itself.</summary>
    private const int Nice = 10;

    private const int ThisThread = 0, OfProcess = 0;

    /// <summary>Makes the calling thread one that yields to others. On Linux, whose threads have priorities of their own; elsewhere by what .NET offers.</summary>
    public static void Lower()
    {
        if (OperatingSystem.IsLinux())
        {
            // Never refused: a thread may always make itself less important.
            _ = SetPriority(OfProcess, ThisThread, Nice);
        }
        else
        {
            Thread.CurrentThread.Priority = ThreadPriority.BelowNormal;
        }
    }

    [DllImport("libc", EntryPoint = "setpriority")]
    private static extern int SetPriority(int which, int who, int value);
}
