// The servers that are compared: started pinned to CPU 0 on a random port, measured from outside through /proc.

using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Leither.Compare;

internal sealed class Server : IDisposable
{
    private static readonly double TicksPerSecond = 100;

    private readonly string[] command;
    private Process? process;

    private Server(string name, int port, string folder, string[] command)
    {
        Name = name;
        Port = port;
        Folder = folder;
        this.command = command;
    }

    /// <summary>Whether servers have the first processor, and only that; otherwise all.</summary>
    public static bool IsPinned { get; set; } = true;

    public string Name { get; }

    public int Port { get; }

    public string Folder { get; }

    /// <summary>The processor that it has, if servers have one each.</summary>
    public int Cpu { get; set; }

    public int ProcessId => process!.Id;

    /// <summary>How a server of this name is run, or null with the reason why it cannot.</summary>
    public static Server? Prepare(string name, bool log, out string note, params string[] further)
    {
        note = "";
        string folder = Directory.CreateTempSubdirectory($"compare-{name}-").FullName;
        int port = FreePort();
        string p = port.ToString(CultureInfo.InvariantCulture);
        string[]? command = name switch
        {
            "redis" => ["redis-server", "--port", p, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", log ? "yes" : "no", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0", "--protected-mode", "no"],
            "leither" => [FindLeither(), "run", "-p", p, "--data", folder, "--appendonly", log ? "yes" : "no", "--appendfsync", "everysec", "--save", "", "--auto-aof-rewrite-percentage", "0"],
            "garnet" when Garnet.Value is { } garnet =>
                [garnet, "--port", p, "--bind", "127.0.0.1", "--memory", "8g", "--page", "16m", "--index", "1g", "--logger-level", "Error", "--device-type", "RandomAccess", "--checkpointdir", folder, .. log ? new[] { "--aof", "--aof-commit-freq", "1000", "--aof-page-size", "64m", "--aof-memory", "256m" } : []],
            _ => null,
        };
        if (command is null)
        {
            note = $"{name} left out: {GarnetNote}";
            Directory.Delete(folder, recursive: true);
            return null;
        }

        return new Server(name, port, folder, [.. command, .. further]);
    }

    private static string GarnetNote { get; set; } = "unknown server";

    // Garnet is a dotnet tool: installed once into the user's cache folder.
    private static readonly Lazy<string?> Garnet = new(() =>
    {
        string tools = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "leither-compare");
        string path = Path.Combine(tools, "garnet-server");
        if (File.Exists(path)) return path;
        try
        {
            using Process install = Process.Start(new ProcessStartInfo("dotnet", ["tool", "install", "garnet-server", "--tool-path", tools]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            string printed = install.StandardOutput.ReadToEnd() + install.StandardError.ReadToEnd();
            install.WaitForExit();
            if (install.ExitCode == 0 && File.Exists(path)) return path;
            GarnetNote = "dotnet tool install garnet-server failed: " + printed.Trim().Split('\n')[0];
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            GarnetNote = e.Message;
        }

        return null;
    });

    public TimeSpan Start()
    {
        var clock = Stopwatch.StartNew();
        process = Process.Start(new ProcessStartInfo("taskset", ["-c", IsPinned ? Math.Min(Cpu, Environment.ProcessorCount - 1).ToString(CultureInfo.InvariantCulture) : $"0-{Environment.ProcessorCount - 1}", .. command])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Folder,
        })!;
        var printed = new StringBuilder();
        process.OutputDataReceived += (_, e) => Keep(e.Data);
        process.ErrorDataReceived += (_, e) => Keep(e.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        while (true)
        {
            if (process.HasExited) throw new InvalidOperationException($"{Name} ended at once: {string.Join(' ', command)}\n{printed}");
            if (clock.Elapsed.TotalSeconds > 120) throw new TimeoutException($"{Name} does not answer\n{printed}");
            try
            {
                if (Call("PING").StartsWith("+PONG", StringComparison.Ordinal)) return clock.Elapsed;
            }
            catch (Exception e) when (e is SocketException or IOException)
            {
                // Not yet.
            }

            Thread.Sleep(2);
        }

        void Keep(string? line)
        {
            if (line is null) return;
            lock (printed)
            {
                if (printed.Length < 4000) printed.AppendLine(line);
            }
        }
    }

    /// <summary>Ends it gently, keeping its folder.</summary>
    public void Stop()
    {
        if (process is null) return;
        if (!process.HasExited) _ = Native.kill(process.Id, 15);
        if (!process.WaitForExit(60_000)) _ = Native.kill(process.Id, 9);
        process.WaitForExit();
        process.Dispose();
        process = null;
    }

    public void Dispose()
    {
        if (process is not null)
        {
            if (!process.HasExited) _ = Native.kill(process.Id, 9);
            process.WaitForExit();
            process.Dispose();
        }

        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>CPU time used so far, user and system, of all threads and of child processes that ended.</summary>
    public double CpuSeconds()
    {
        string stat = File.ReadAllText($"/proc/{ProcessId}/stat");
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return fields[11..15].Sum(ticks => long.Parse(ticks, CultureInfo.InvariantCulture)) / TicksPerSecond;
    }

    /// <summary>CPU time used so far by the first thread, which executes commands in all servers here but Garnet.</summary>
    public double MainCpuSeconds()
    {
        string[] fields = File.ReadAllText($"/proc/{ProcessId}/task/{ProcessId}/schedstat").Split(' ');
        return long.Parse(fields[0], CultureInfo.InvariantCulture) / 1e9;
    }

    /// <summary>Resident bytes.</summary>
    public long Resident()
    {
        foreach (string line in File.ReadLines($"/proc/{ProcessId}/status"))
        {
            if (line.StartsWith("VmRSS:", StringComparison.Ordinal)) return long.Parse(line[6..].Trim().Split(' ')[0], CultureInfo.InvariantCulture) * 1024;
        }

        return 0;
    }

    /// <summary>One inline command; the reply's bytes as they come, up to a bulk string's end.</summary>
    public string Call(string inline)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 60_000 };
        socket.Connect(IPAddress.Loopback, Port);
        string[] words = inline.Split(' ');
        var request = new StringBuilder().Append('*').Append(words.Length).Append("\r\n");
        foreach (string word in words) request.Append('$').Append(word.Length).Append("\r\n").Append(word).Append("\r\n");
        socket.Send(Encoding.ASCII.GetBytes(request.ToString()));
        var reply = new StringBuilder();
        byte[] buffer = new byte[65536];
        while (true)
        {
            int got = socket.Receive(buffer);
            if (got == 0) throw new IOException("Closed");
            reply.Append(Encoding.ASCII.GetString(buffer, 0, got));
            string text = reply.ToString();
            int line = text.IndexOf("\r\n", StringComparison.Ordinal);
            if (line < 0) continue;
            if (text[0] != '$' || text[1] == '-') return text;
            if (text.Length >= line + 4 + int.Parse(text.AsSpan(1, line - 1), CultureInfo.InvariantCulture)) return text;
        }
    }

    public long Info(string section, string field)
    {
        string info = Call("INFO " + section);
        int at = info.IndexOf(field + ":", StringComparison.Ordinal);
        if (at < 0) return 0;
        at += field.Length + 1;
        string digits = new([.. info.Skip(at).TakeWhile(char.IsAsciiDigit)]);
        return digits.Length == 0 ? 0 : long.Parse(digits, CultureInfo.InvariantCulture);
    }

    /// <summary>The program that was built.</summary>
    public static string FindLeither()
    {
        if (Environment.GetEnvironmentVariable("LEITHER_SERVER") is { Length: > 0 } given) return given;
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string built = Path.Combine(folder.FullName, "src/Node/bin/Release/net10.0/leither");
            if (File.Exists(built)) return built;
        }

        throw new FileNotFoundException("Build first: dotnet build src/Node -c Release");
    }

    private static int FreePort()
    {
        while (true)
        {
            int port = Random.Shared.Next(20_000, 30_000);
            using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                probe.Bind(new IPEndPoint(IPAddress.Loopback, port));
                return port;
            }
            catch (SocketException)
            {
                // Taken: draw another.
            }
        }
    }
}
