// Real server processes for tests: Debian's redis-server, the judge, and the leither that was built beside the tests.
// Each has a random port and a folder of its own, is ended by its process id, and keeps its folder over a restart.

using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Leither.TestKit;

/// <summary>A RESP server in a process of its own.</summary>
public abstract class ServerProcess : IDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(60);

    private readonly TempDir directory;
    private readonly StringBuilder log = new();
    private Process? process;

    protected ServerProcess(string name)
    {
        directory = new TempDir(name);
        Port = Ports.Free();
    }

    public int Port { get; private set; }

    /// <summary>The server's data folder.</summary>
    public string DataDir => directory.Path;

    public int ProcessId => process?.Id ?? throw new InvalidOperationException("The server is not running");

    public bool IsRunning => process is { HasExited: false };

    /// <summary>What the server printed, as far as it has arrived: after <see cref="Stop"/> all of it.</summary>
    public string Log { get { lock (log) return log.ToString(); } }

    /// <summary>Waits until the server has printed something.</summary>
    public void AwaitLog(string text) => Wait.Until(() => Log.Contains(text, StringComparison.Ordinal), () => $"printed: {text}\n{Log}");

    /// <summary>Arguments for every start: --key value.</summary>
    public IReadOnlyList<string> Arguments { get; protected set; } = [];

    protected abstract IEnumerable<string> CommandLine();

    public virtual RespClient Connect() => RespClient.Connect(Port);

    /// <summary>Starts the process and waits until it answers with its data loaded.</summary>
    public void Start()
    {
        if (IsRunning) throw new InvalidOperationException("The server already runs");
        for (int attempt = 0; ; attempt++)
        {
            Launch();
            if (WaitUntilReady()) return;
            // Only at its end all that it printed is here.
            End();
            string printed = Log;
            // Another process may have taken the port between choosing and binding it.
            if (attempt == 4 || !printed.Contains("in use", StringComparison.OrdinalIgnoreCase))
            {
                throw new InvalidOperationException($"{GetType().Name} did not start: {string.Join(' ', CommandLine())}\n{printed}");
            }

            Port = Ports.Free();
        }
    }

    /// <summary>Ends the process as a power cut of the process would: SIGKILL.</summary>
    public void Kill() => End();

    /// <summary>Ends the process with SIGTERM and waits until it has gone.</summary>
    public void Stop()
    {
        if (process is null) return;
        _ = kill(process.Id, 15);
        if (!process.WaitForExit(StopLimit))
        {
            End();
            throw new InvalidOperationException($"{GetType().Name} did not stop in {StopLimit}\n{Log}");
        }

        process.WaitForExit();
        process.Dispose();
        process = null;
    }

    /// <summary>Holds the process as it is, with its connections, until <see cref="Thaw"/>: SIGSTOP.</summary>
    public void Freeze()
    {
        int id = ProcessId;
        _ = kill(id, 19);
        // Each thread stops at a moment of its own.
        Wait.Until(() => Directory.GetDirectories($"/proc/{id}/task").All(static task => File.ReadAllText(Path.Combine(task, "stat")) is var stat && stat[stat.LastIndexOf(')') + 2] == 'T'));
    }

    /// <summary>Lets a frozen process go on.</summary>
    public void Thaw() => _ = kill(ProcessId, 18);

    /// <summary>Starts again on the same data, if need be after ending it gently.</summary>
    public void Restart()
    {
        Stop();
        Start();
    }

    public void Dispose()
    {
        End();
        directory.Dispose();
        GC.SuppressFinalize(this);
    }

    private void Launch()
    {
        string[] command = [.. CommandLine(), .. Arguments];
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            UseShellExecute = false,
            WorkingDirectory = DataDir,
            // SORT ALPHA compares as the locale says: both servers must live in the same one.
            Environment = { ["LC_ALL"] = "C" },
        };
        lock (log) log.Clear();
        process = Process.Start(start) ?? throw new InvalidOperationException($"Cannot start {command[0]}");
        process.OutputDataReceived += (_, e) => Print(e.Data);
        process.ErrorDataReceived += (_, e) => Print(e.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        process.StandardInput.Close();
    }

    private void Print(string? line)
    {
        if (line is null) return;
        lock (log)
        {
            if (log.Length < 1 << 20) log.AppendLine(line);
        }
    }

    private bool WaitUntilReady()
    {
        var waited = Stopwatch.StartNew();
        while (waited.Elapsed < StartLimit)
        {
            if (process!.HasExited) return false;
            try
            {
                using RespClient client = Connect();
                RespValue pong = client.Call("PING");
                // Who took the port meanwhile answers too, and this process ends.
                if (!pong.Text.StartsWith("LOADING", StringComparison.Ordinal)) return IsOurs(client.Call("INFO", "server").Text);
            }
            catch (Exception e) when (e is System.Net.Sockets.SocketException or IOException)
            {
                // Not listening yet.
            }

            Thread.Sleep(10);
        }

        return false;
    }

    /// <summary>Who wants a password first says nothing about itself.</summary>
    private bool IsOurs(string info) =>
        !info.Contains("process_id:", StringComparison.Ordinal) || info.Contains($"process_id:{ProcessId}\r", StringComparison.Ordinal);

    private void End()
    {
        if (process is null) return;
        if (!process.HasExited) _ = kill(process.Id, 9);
        process.WaitForExit();
        process.Dispose();
        process = null;
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int kill(int pid, int signal);
}

/// <summary>Debian's redis-server (the environment's REDIS_SERVER names another).</summary>
public sealed class RedisServer : ServerProcess
{
    private static readonly string Command = Environment.GetEnvironmentVariable("REDIS_SERVER") ?? "redis-server";
    private static readonly Lazy<bool> Installed = new(() => Run("--version") is not null);
    private static readonly Lazy<string> Printed = new(() => Run("--version") ?? "");

    private RedisServer(string[] arguments) : base("redis") => Arguments = arguments;

    /// <summary>Whether there is a redis-server to compare with.</summary>
    public static bool IsInstalled => Installed.Value;

    /// <summary>Its version, such as 7.0.15.</summary>
    public static string Version
    {
        get
        {
            int at = Printed.Value.IndexOf("v=", StringComparison.Ordinal);
            return at < 0 ? "" : Printed.Value[(at + 2)..].Split(' ')[0];
        }
    }

    /// <summary>Starts one that keeps nothing on disk unless the arguments say otherwise.</summary>
    public static RedisServer StartNew(params string[] arguments)
    {
        var server = new RedisServer(arguments);
        try { server.Start(); }
        catch { server.Dispose(); throw; }
        return server;
    }

    protected override IEnumerable<string> CommandLine() =>
        [Command, "--port", Port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--dir", DataDir, "--save", "", "--daemonize", "no"];

    private static string? Run(string argument)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(Command, argument) { RedirectStandardOutput = true })!;
            string printed = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? printed : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}

/// <summary>The leither built in this tree (the environment's LEITHER_SERVER names another command).</summary>
public sealed class LeitherServer : ServerProcess
{
    private LeitherServer(string[] arguments) : base("leither") => Arguments = arguments;

    /// <summary>Starts one on an empty folder.</summary>
    public static LeitherServer StartNew(params string[] arguments)
    {
        var server = new LeitherServer(arguments);
        try { server.Start(); }
        catch { server.Dispose(); throw; }
        return server;
    }

    protected override IEnumerable<string> CommandLine() =>
        [.. Program(), "run", "-p", Port.ToString(CultureInfo.InvariantCulture), "--data", DataDir];

    /// <summary>The command that starts the program.</summary>
    public static string[] Program()
    {
        if (Environment.GetEnvironmentVariable("LEITHER_SERVER") is { Length: > 0 } command) return command.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (!File.Exists(Path.Combine(folder.FullName, "Leither.sln"))) continue;
            string configuration = AppContext.BaseDirectory.Contains("/Debug/", StringComparison.Ordinal) ? "Debug" : "Release";
            string built = Path.Combine(folder.FullName, "src/Node/bin", configuration, "net10.0/leither");
            return File.Exists(built) ? [built] : throw new FileNotFoundException("Build src/Node first", built);
        }

        throw new DirectoryNotFoundException($"No Leither.sln above {AppContext.BaseDirectory}");
    }
}
