using System.Runtime.InteropServices;
using Leither.MmDb;
using Leither.MmDb.Acl;
using Leither.MmDb.Configuration;
using Leither.Node.Configuration;
using Leither.Node.Logging;
using Leither.Node.Storage;
using Leither.Node.Transport;

namespace Leither.Node;

/// <summary><c>leither run</c>: from arguments to a running node, and from a signal to its end.</summary>
internal static class NodeProgram
{
    /// <summary>Runs a node until it is told to stop; returns the exit code.</summary>
    public static int Run(string[] arguments)
    {
        if (BackgroundNode.IsAskedFor(ref arguments))
        {
            return BackgroundNode.Start(arguments);
        }

        bool isDetached = BackgroundNode.IsOne(ref arguments);
        NodeLog log = new(TimeProvider.System, Console.Out);
        try
        {
            if (arguments.Length > 0 && IsRdb(arguments[0]))
            {
                throw new IOException($"{arguments[0]} is an RDB file, not a configuration. To take its keys over: leither import {arguments[0]}, then leither run");
            }

            NodeConfig config = NodeConfig.Load(arguments, Console.OpenStandardInput);
            if (isDetached)
            {
                BackgroundNode.Settle(config);
            }

            using DataFolder folder = DataFolder.Open(config.DataFolder);
            // As in Redis, relative paths of the configuration mean the data folder.
            Environment.CurrentDirectory = folder.Path;
            config.Configure(log);
            return Run(config, folder, log, isDetached);
        }
        catch (Exception e) when (e is ConfigException or AclException or DataFolderException or ListenException or IOException)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }
    }

    private static int Run(NodeConfig config, DataFolder folder, NodeLog log, bool isDetached)
    {
        log.Notice($"Leither version={ProductVersion.Text}, pid={Environment.ProcessId}, just started");
        log.Notice(config.File is null ? "No configuration file: defaults and arguments are used" : $"Configuration loaded from {config.File}");
        if (config.WithoutMeaning.Count > 0)
        {
            log.Warning($"Accepted, but without meaning here: {string.Join(", ", config.WithoutMeaning)}");
        }

        foreach (string warning in config.Warnings)
        {
            log.Warning(warning);
        }

        if (RedisFilesIn(folder.Path) is { } files)
        {
            log.Warning($"{files} is Redis's, and is not read at start. To take its keys over, stop this node and run: leither import {files} --data {folder.Path}");
        }

        using NodeHost host = new(config, folder, log);
        using PosixSignalRegistration interrupt = OnSignal(PosixSignal.SIGINT, ConfigKeys.ShutdownOnSigint, config, host, log);
        using PosixSignalRegistration terminate = OnSignal(PosixSignal.SIGTERM, ConfigKeys.ShutdownOnSigterm, config, host, log);
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            host.Reload();
        });
        host.Listen();
        string pidFile = ConfigText.ToText(config.Settings.Get(ConfigKeys.PidFile));
        if (pidFile.Length > 0)
        {
            File.WriteAllText(pidFile, $"{Environment.ProcessId}\n");
        }

        if (log.File is null)
        {
            Console.WriteLine(Banner(config, host));
        }

        ServiceManager.Notify($"READY=1\nSTATUS=Listening on port {host.Port}", log);
        if (isDetached)
        {
            BackgroundNode.LetGoOfTheTerminal(log);
        }

        try
        {
            return host.Run();
        }
        finally
        {
            if (pidFile.Length > 0)
            {
                File.Delete(pidFile);
            }

            log.Notice("Leither is now ready to exit, bye bye...");
        }
    }

    private static bool IsRdb(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        Span<byte> head = stackalloc byte[5];
        using FileStream file = File.OpenRead(path);
        return file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false) == head.Length && head.SequenceEqual("REDIS"u8);
    }

    /// <summary>What Redis keeps its data in, where a folder has that and nothing of a node yet.</summary>
    private static string? RedisFilesIn(string folder)
    {
        if (MimeiFolders.HoldAnything(folder))
        {
            return null;
        }

        string appendOnly = Path.Combine(folder, "appendonlydir"), dump = Path.Combine(folder, "dump.rdb");
        return Directory.Exists(appendOnly) ? appendOnly : File.Exists(dump) ? dump : null;
    }

    /// <summary>A first signal stops the node in good order; one more that cannot wait ends it on the spot.</summary>
    private static PosixSignalRegistration OnSignal(PosixSignal signal, EnumKey key, NodeConfig config, NodeHost host, NodeLog log)
    {
        int count = 0;
        return PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            if (Interlocked.Increment(ref count) > 1)
            {
                log.Warning("You insist... exiting now.");
                Environment.Exit(1);
            }

            log.Warning($"Received {signal}, scheduling shutdown...");
            ServiceManager.Notify("STOPPING=1", log);
            string flags = config.Settings.Show(key);
            bool? save = flags.Contains("nosave", StringComparison.Ordinal) ? false : flags.Contains("save", StringComparison.Ordinal) ? true : null;
            host.RequestShutdown(new ShutdownRequest(
                save, flags.Contains("now", StringComparison.Ordinal), flags.Contains("force", StringComparison.Ordinal)));
        });
    }

    private static string Banner(NodeConfig config, NodeHost host)
    {
        string next = host.Port > 0 ? $"redis-cli -p {host.Port}" : $"redis-cli -s {config.Listen.UnixSocket}";
        string where = string.Join(' ', config.Listen.Bind);
        return $"""

              Leither {ProductVersion.Text}
              Listening on   {(host.Port > 0 ? $"port {host.Port} ({where})" : config.Listen.UnixSocket)}
              Data folder    {config.DataFolder}
              Next           {next}

            """;
    }
}
