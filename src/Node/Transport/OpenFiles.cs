namespace Leither.Node.Transport;

/// <summary>The process's limit of open files, which every connection counts against.</summary>
public static unsafe class OpenFiles
{
    /// <summary>
    /// What the node opens besides connections: listeners, log and snapshot files, and the runtime's own, two for each library that is loaded (some 140 once HTTP and TLS are used, in a node that
    /// is not one file). A runtime that cannot load one ends the process.
    /// </summary>
    public const int Reserved = 256;

    /// <summary>What is asked for besides, and can be done without: the files of many MiMei that are open at a time, about two each.</summary>
    private const int Wished = 8192;

    private const int LimitOfOpenFiles = 7;

    /// <summary>Raises the limit, as far as allowed, to hold so many clients.</summary>
    /// <returns>The number of clients that fit: the wanted one, or fewer.</returns>
    public static long MakeRoomFor(long clients)
    {
        if (!OperatingSystem.IsLinux())
        {
            return clients;
        }

        LinuxSyscalls.ResourceLimit limit;
        if (LinuxSyscalls.getrlimit(LimitOfOpenFiles, &limit) != 0)
        {
            return clients;
        }

        ulong needed = (ulong)clients + Reserved;
        if (limit.Current < needed + Wished && limit.Current < limit.Maximum)
        {
            LinuxSyscalls.ResourceLimit raised = new() { Current = Math.Min(needed + Wished, limit.Maximum), Maximum = limit.Maximum };
            limit = LinuxSyscalls.setrlimit(LimitOfOpenFiles, &raised) == 0 ? raised : limit;
        }

        if (limit.Current < needed)
        {
            // Beyond the hard limit only a privileged process gets; up to it everyone.
            LinuxSyscalls.ResourceLimit raised = new() { Current = needed, Maximum = Math.Max(limit.Maximum, needed) };
            if (LinuxSyscalls.setrlimit(LimitOfOpenFiles, &raised) == 0)
            {
                return clients;
            }

            raised = new() { Current = limit.Maximum, Maximum = limit.Maximum };
            if (LinuxSyscalls.setrlimit(LimitOfOpenFiles, &raised) == 0)
            {
                limit = raised;
            }
        }

        return limit.Current >= needed ? clients : Math.Max((long)limit.Current / 4, (long)limit.Current - Reserved);
    }
}
