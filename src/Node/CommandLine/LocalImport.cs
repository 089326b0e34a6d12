using Leither.Ipfs.Files;
using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.MmDb.Rdb;
using Leither.MmDb.Replication;
using Leither.Node.Configuration;
using Leither.Node.Logging;
using Leither.Node.Replication;
using Leither.Node.Storage;

namespace Leither.Node.CommandLine;

/// <summary>Imports into a data folder on which no node runs: the same log and checkpoint as if clients had written it all.</summary>
internal static class LocalImport
{
    /// <summary>Imports; gives what came in.</summary>
    public static IReadOnlyDictionary<string, object> Run(ImportSource source, string data, bool keepsExisting, Action<long, long> advance)
    {
        using DataFolder folder = DataFolder.Open(data);
        NodeConfig config = NodeConfig.Load(["--data", folder.Path, "--appendfsync", "no"], Console.OpenStandardInput);
        using MimeiFolders mimeis = new(folder.Path, config, NodeLog.None);
        RequireWritable(mimeis, config);
        using Server server = new(mimeis.OpenDefault(), SettingsBinding.ServerOptions(config.Settings), TimeProvider.System, config.Settings, mimeis);
        RedisData reader = new(server, keepsExisting, progress => advance(progress.Bytes, progress.Keys + progress.Commands));
        foreach (string file in source.Files)
        {
            using FileStream stream = ImportSource.Open(file);
            try
            {
                reader.Read(stream);
            }
            catch (RdbFormatException e)
            {
                server.EndTurn();
                throw new InvalidDataException($"{file}: {e.Message}. What came before it was imported", e);
            }
        }

        if (server.DefaultMimei.Checkpointer!.Save() is { } problem)
        {
            throw new IOException($"The keys are in the log, but no checkpoint could be made: {problem}");
        }

        server.Mimeis.CloseLogs();
        ImportProgress made = reader.Progress;
        return new Dictionary<string, object>
        {
            ["keys"] = made.Keys,
            ["commands"] = made.Commands,
            ["functions"] = made.Functions,
            ["expired_keys_left_out"] = made.Expired,
            ["existing_keys_left_out"] = made.Existing,
            ["bytes_of_a_command_cut_off"] = made.CutOff,
            ["bytes"] = source.Length,
        };
    }

    /// <summary>An entry that is written here must come after all that other nodes have of the MiMei. Only a node that runs asks them.</summary>
    private static void RequireWritable(MimeiFolders mimeis, NodeConfig config)
    {
        string path = mimeis.PathOf(mimeis.DefaultId);
        if (CopyFile.IsIn(new DiskFolder(path)))
        {
            throw new DataFolderException($"{path}: the MiMei is written by another node, which this one follows. Import there: leither import --to HOST:PORT");
        }

        if (ReplicationService.Recovers(mimeis, mimeis.DefaultId, config.Settings))
        {
            throw new DataFolderException(
                $"{path}: the machine lost its power while the MiMei was written, and those who follow it may have more of it than is left here. Start the node, which asks them (leither run), "
                + "and import then: with --to into the node that runs, or into the folder once it has been stopped");
        }
    }
}
