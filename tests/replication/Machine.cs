// What the machine lets a test do, found out by trying it.

using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Leither.ReplicationNetwork;

/// <summary>Programs of the system.</summary>
internal static class Machine
{
    /// <summary>Runs a program to its end.</summary>
    /// <exception cref="InvalidOperationException">It is missing, or says no.</exception>
    public static string Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode == 0) return output;
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: {error.GetAwaiter().GetResult().Trim()}");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new InvalidOperationException($"{program}: {e.Message}", e);
        }
    }

    /// <summary>What stands before a command that is to see another boot id of the machine than there is: a mount that nobody else sees.</summary>
    public static IReadOnlyList<string> Booted(string? boot, string folder)
    {
        if (boot is null) return [];
        string file = Path.Combine(folder, "boot_id");
        File.WriteAllText(file, boot + "\n");
        return ["unshare", "--mount", "sh", "-c", $"mount --bind '{file}' /proc/sys/kernel/random/boot_id && exec \"$0\" \"$@\""];
    }

    /// <summary>Ends a process whose id is known.</summary>
    public static void Kill(int process) => _ = kill(process, 9);

    /// <summary>Whether a process of this id lives.</summary>
    public static bool IsAlive(int process) => Directory.Exists($"/proc/{process}");

    [DllImport("libc")]
    private static extern int kill(int pid, int signal);
}
