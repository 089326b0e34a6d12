using System.CommandLine;
using System.Text;
using System.Text.Json.Nodes;
using Leither.Ipfs.Keys;
using Leither.MmDb.Configuration;
using Leither.Node.Configuration;
using Leither.Node.Logging;
using Leither.Node.Storage;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither init</c>: makes the data folder of a node, its keys, and a commented configuration file in which what the arguments say is set. They are those of <c>leither run</c>.
/// </summary>
internal static class InitCommand
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Its help, for the command line.</summary>
    public static Command Create()
    {
        MimeiVerb init = new("init", "[--KEY VALUE…]", "Sets up a node: its data folder, its keys, and a configuration file to edit.")
        {
            Of = "",
            Details = $"""
                A node runs without it, too; then everything has its default. The file, {NodeConfig.FileName} in the data folder, has every
                key with what it means. Each --KEY VALUE of the configuration is set in it.
                """,
            Json = """{"data": path, "config": path, "node": text, "peer": text}""",
            ExitCodes = "0 done, 1 it could not be done: the folder is set up already, 2 the command line is wrong: a key or a value of it",
            Examples = ["init", "init -p 4800 -b nas.local", "init --data /srv/leither --appendfsync always --maxmemory 2gb"],
        };
        RunCommand.AddShared(init);
        init.Options.Add(new Option<bool>("--json") { Description = "Print the result as JSON" });
        return init;
    }

    /// <summary>Runs it; returns the exit code.</summary>
    public static int Run(string[] arguments)
    {
        MimeiOutput output = new(arguments.Contains("--json"));
        try
        {
            Run([.. arguments.Where(static a => a != "--json")], output);
            return 0;
        }
        catch (CommandLineException e)
        {
            output.Fail(e.Message);
            return e.ExitCode;
        }
        catch (Exception e) when (e is ConfigException or DataFolderException or IOException or UnauthorizedAccessException)
        {
            output.Fail(e.Message);
            return e is ConfigException { IsOfArguments: true } ? 2 : 1;
        }
    }

    private static void Run(string[] arguments, MimeiOutput output)
    {
        if (arguments is [var first, ..] && !first.StartsWith('-'))
        {
            throw new CommandLineException($"init takes no file. Run the node with it: leither run {NodePlace.Quoted(first)}", isUsage: true);
        }

        NodeConfig config = NodeConfig.Load(arguments, static () => throw new CommandLineException("init takes no configuration from the standard input", isUsage: true));
        string file = Path.Combine(config.DataFolder, NodeConfig.FileName);
        if (File.Exists(file))
        {
            throw new IOException($"{config.DataFolder} is set up already. Edit {file}, or run the node with other values once: leither run --KEY VALUE");
        }

        using DataFolder folder = DataFolder.Open(config.DataFolder);
        using NodeKeys keys = NodeKeys.Open(folder.Path, NodeLog.None);
        Write(file, ConfigReference.WriteFile(config.Settings));
        string node = LeitherId.Of(keys.Node.PublicKey.Protobuf).ToString(), peer = keys.Node.PublicKey.PeerId.ToString();
        if (output.AsJson)
        {
            MimeiOutput.Json(new JsonObject { ["data"] = folder.Path, ["config"] = file, ["node"] = node, ["peer"] = peer });
            return;
        }

        MimeiOutput.Plain($"Data folder    {folder.Path}");
        MimeiOutput.Plain($"Configuration  {file}");
        MimeiOutput.Plain($"Node id        {node}");
        MimeiOutput.Plain($"Peer id        {peer}");
        MimeiOutput.Plain($"Keys           {Path.Combine(folder.Path, "keys")}: keep a copy. Without them this node's MiMei cannot be written again");
        string place = folder.Path == Path.GetFullPath(DataFolder.Default) ? "" : $" --data {NodePlace.Quoted(folder.Path)}";
        output.Next($"leither run -d{place}", $"leither doctor{place}");
    }

    /// <summary>Writes a file for its owner alone, since it may get passwords; a crash leaves it whole or not at all.</summary>
    private static void Write(string path, string text)
    {
        FileStreamOptions options = new() { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = Private;
        }

        using (FileStream stream = new(path + ".new", options))
        {
            stream.Write(Encoding.UTF8.GetBytes(text));
            stream.Flush(flushToDisk: true);
        }

        File.Move(path + ".new", path);
    }
}
