using System.CommandLine;
using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Leither.Node.Configuration;

namespace Leither.Node.CommandLine;

/// <summary><c>leither stop</c>: stops the node of a folder in good order, and waits until it is gone.</summary>
internal static class StopCommand
{
    private const int Terminate = 15, DefaultSeconds = 60;

    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer);
        Option<long?> timeout = MimeiOptions.Number(new("--timeout") { Description = $"Seconds to wait until it is gone [default: {DefaultSeconds}]", HelpName = "SECONDS" }, max: 86400);
        MimeiVerb stop = new("stop", "", "Stops the node in good order, and waits until it is gone.")
        {
            Of = "",
            Details = "Commands that arrived are answered, what was written is synced to the disk, peers are told. It is what SIGTERM does.",
            Json = """{"process": number, "seconds": number}""",
            ExitCodes = "0 it is gone, 1 no node runs there or it is not gone in time, 2 the command line is wrong",
            Examples = ["stop", "stop --data /srv/leither --timeout 300"],
        };
        stop.Options.Add(options.Data);
        stop.Options.Add(timeout);
        stop.Options.Add(options.Json);
        stop.SetAction(result =>
        {
            MimeiOutput output = new(result.GetValue(options.Json));
            try
            {
                _ = stop.Words(result, 0, 0);
                string folder = Path.GetFullPath(options.PlaceOf(result).Folder ?? DataFolder.Default);
                Stopwatch clock = Stopwatch.StartNew();
                RunningNode node = DataFolder.IsHeld(folder) && DataFolder.Find(folder) is { } running
                    ? running
                    : throw new CommandLineException($"No node runs on the data folder {folder}");
                Ask(node);
                Await(folder, node, TimeSpan.FromSeconds(result.GetValue(timeout) ?? DefaultSeconds));
                if (output.AsJson)
                {
                    MimeiOutput.Json(new JsonObject { ["process"] = node.Pid, ["seconds"] = Math.Round(clock.Elapsed.TotalSeconds, 3) });
                }
                else
                {
                    output.Line($"Stopped process {node.Pid}, {clock.Elapsed.TotalSeconds:0.0} s");
                }

                return 0;
            }
            catch (CommandLineException e)
            {
                output.Fail(e.Message);
                return e.ExitCode;
            }
        });
        return stop;
    }

    /// <summary>Asks by a signal, which takes no password: who may send it is who runs the node. Where there are no signals, by SHUTDOWN.</summary>
    private static void Ask(RunningNode node)
    {
        if (!OperatingSystem.IsWindows())
        {
            if (kill(node.Pid, Terminate) == 0)
            {
                return;
            }

            const int noSuchProcess = 3;
            if (Marshal.GetLastPInvokeError() != noSuchProcess)
            {
                throw new CommandLineException($"Process {node.Pid} is another user's: stop it as that user, or as root");
            }
        }

        // Its number means nothing here where the node runs in a container of its own.
        try
        {
            using NodeClient client = NodeClient.Connect(node);
            if (Environment.GetEnvironmentVariable(NodeClient.PasswordVariable) is { Length: > 0 } password)
            {
                client.Send(["AUTH", password]);
                _ = client.Read();
            }

            client.Send(["SHUTDOWN"]);
            if (client.Read() is { IsError: true } refused)
            {
                throw new CommandLineException($"The node does not stop: {refused.Text}");
            }
        }
        catch (Exception e) when (e is SocketException or InvalidDataException)
        {
            throw new CommandLineException($"The node does not answer: {e.Message}", inner: e);
        }
    }

    private static void Await(string folder, RunningNode node, TimeSpan time)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (DataFolder.IsHeld(folder))
        {
            if (waited.Elapsed > time)
            {
                throw new CommandLineException($"Process {node.Pid} is not gone after {time.TotalSeconds:0} s: it may write a lot. Its log says what it does; leither stop --timeout SECONDS waits longer");
            }

            Thread.Sleep(10);
        }
    }

    [DllImport("libc", SetLastError = true)]
    private static extern int kill(int process, int signal);
}
