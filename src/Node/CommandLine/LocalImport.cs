using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.MmDb.Rdb;
using Leither.Node.Configuration;
using Leither.Node.Logging;
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
}
