using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Leither.MmDb.Acl;
using Leither.MmDb.Configuration;
using Leither.Node.CommandLine;
using Leither.Node.Configuration;
using Leither.Node.Logging;

namespace Leither.Node;

/// <summary>
/// <c>leither run -d</c>: a node in the background. The command starts the program again as a process of its own session, waits until that answers, tells, and ends; what it
/// says until then, an error at its start, is said here.
/// </summary>
internal static class BackgroundNode
{
    /// <summary>The log of a node in the background that was given none.</summary>
    public const string LogFile = "leither.log";

    /// <summary>Its pid file.</summary>
    public const string PidFile = "leither.pid";

    /// <summary>What the process in the background is started with: it is no option for people.</summary>
    private const string Marker = "--in-background";

    private static readonly TimeSpan _tellAfter = TimeSpan.FromSeconds(3);

    /// <summary>Takes -d out of the arguments of a run.</summary>
    public static bool IsAskedFor(ref string[] arguments) => TakeOut(ref arguments, "-d") | TakeOut(ref arguments, "--detach");

    /// <summary>Whether this is the process in the background.</summary>
    public static bool IsOne(ref string[] arguments) => TakeOut(ref arguments, Marker);

    /// <summary>Starts a node in the background; returns the exit code.</summary>
    public static int Start(string[] arguments)
    {
        try
        {
            // What is wrong with the configuration is told here, before anything starts.
            NodeConfig config = NodeConfig.Load(arguments, static () => throw new IOException("run -d takes no configuration from the standard input: the node outlives it"));
            if (DataFolder.IsHeld(config.DataFolder) && DataFolder.Find(config.DataFolder) is { } other)
            {
                throw new IOException($"A node runs on {config.DataFolder} already: process {other.Pid}{(other.Port > 0 ? $", port {other.Port}" : "")}.\nStop it with: leither stop --data {NodePlace.Quoted(config.DataFolder)}");
            }

            return Start(arguments, config);
        }
        catch (Exception e) when (e is ConfigException or AclException or IOException or Win32Exception)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }
    }

    /// <summary>In the process in the background: its own session, and files in place of the terminal.</summary>
    public static void Settle(NodeConfig config)
    {
        if (!OperatingSystem.IsWindows())
        {
            // It fails for the leader of a group, which this process is not: it has the shell's.
            _ = setsid();
        }

        if (config.Settings.Get(ConfigKeys.LogFile).Length == 0)
        {
            config.Settings.Put(ConfigKeys.LogFile, LogFile);
        }

        if (config.Settings.Get(ConfigKeys.PidFile).Length == 0)
        {
            config.Settings.Put(ConfigKeys.PidFile, PidFile);
        }
    }

    /// <summary>In the process in the background, once it serves: what a crash prints goes to the log, and whoever started it need not stay.</summary>
    public static void LetGoOfTheTerminal(NodeLog log)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        const int readOnly = 0, writeOnly = 1, appends = 0x400, appendsOnMac = 8;
        int nothing = open("/dev/null", readOnly, 0);
        int file = open(log.File ?? "/dev/null", writeOnly | (OperatingSystem.IsLinux() ? appends : appendsOnMac), 0);
        if (nothing < 0 || file < 0 || dup2(nothing, 0) < 0 || dup2(file, 1) < 0 || dup2(file, 2) < 0)
        {
            log.Warning("The node could not let go of the terminal: what it prints in a crash may be lost");
        }
    }

    private static int Start(string[] arguments, NodeConfig config)
    {
        string program = Environment.ProcessPath!;
        ProcessStartInfo start = new(program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            CreateNoWindow = true,
        };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
        {
            start.ArgumentList.Add(Environment.GetCommandLineArgs()[0]);
        }

        foreach (string argument in (IEnumerable<string>)["run", Marker, .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        using Process node = Process.Start(start)!;
        node.StandardInput.Close();
        Task<string> output = node.StandardOutput.ReadToEndAsync(), error = node.StandardError.ReadToEndAsync();
        Stopwatch waited = Stopwatch.StartNew();
        bool told = false;
        RunningNode? running;
        while ((running = DataFolder.Find(config.DataFolder)) is null || running.Pid != node.Id || !NodeClient.Answers(running))
        {
            if (node.WaitForExit(TimeSpan.FromMilliseconds(20)))
            {
                Console.Error.Write(error.GetAwaiter().GetResult());
                Console.Error.WriteLine($"The node ended at its start{Where(config)}");
                return node.ExitCode == 0 ? 1 : node.ExitCode;
            }

            if (!told && waited.Elapsed > _tellAfter)
            {
                told = true;
                Console.Error.WriteLine($"The node still reads its data: process {node.Id}. Ctrl-C ends this waiting, not the node");
            }
        }

        // What it has printed goes with it; the pipes close when it lets go of them, or when this process ends.
        _ = output;
        string place = config.DataFolder == Path.GetFullPath(DataFolder.Default) ? "" : $" --data {NodePlace.Quoted(config.DataFolder)}";
        Console.WriteLine($"""
            Leither runs in the background: process {node.Id}{(running.Port > 0 ? $", port {running.Port}" : "")}
            Data folder    {config.DataFolder}
            Log            {LogOf(config)}
            Next           leither status{place}
                           leither stop{place}
            """);
        return 0;
    }

    private static string Where(NodeConfig config) => File.Exists(LogOf(config)) ? $". Its log: {LogOf(config)}" : "";

    private static string LogOf(NodeConfig config) =>
        Path.Combine(config.DataFolder, ConfigText.ToText(config.Settings.Get(ConfigKeys.LogFile)) is { Length: > 0 } file ? file : LogFile);

    private static bool TakeOut(ref string[] arguments, string word)
    {
        // What stands behind an option's name is its value.
        for (int i = 0; i < arguments.Length; i++)
        {
            if (arguments[i] == word && (i == 0 || !arguments[i - 1].StartsWith("--", StringComparison.Ordinal) || arguments[i - 1] is Marker or NodeConfig.AllowDataLossOption or "--save"))
            {
                arguments = [.. arguments[..i], .. arguments[(i + 1)..]];
                return true;
            }
        }

        return false;
    }

    [DllImport("libc")]
    private static extern int setsid();

    [DllImport("libc")]
    private static extern int open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, int mode);

    [DllImport("libc")]
    private static extern int dup2(int from, int to);
}
