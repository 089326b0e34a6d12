using System.Security.Cryptography;
using Leither.MmDb;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Rdb;
using Leither.Node.Configuration;

namespace Leither.Node.CommandLine;

/// <summary>Imports into a data folder on which no node runs: the same log and checkpoint as if clients had written it all.</summary>
internal static class LocalImport
{
    /// <summary>Imports; gives what came in.</summary>
    public static IReadOnlyDictionary<string, object> Run(ImportSource source, string data, bool keepsExisting, Action<long, long> advance)
    {
        using DataFolder folder = DataFolder.Open(data);
        using Server server = Open(folder, out ICheckpointer checkpointer);
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

        if (checkpointer.Save() is { } problem)
        {
            throw new IOException($"The keys are in the log, but no checkpoint could be made: {problem}");
        }

        server.DefaultMimei.Log!.Close();
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

    private static Server Open(DataFolder folder, out ICheckpointer checkpointer)
    {
        NodeConfig config = NodeConfig.Load(["--data", folder.Path], Console.OpenStandardInput);
        ulong seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
        Mimei mimei = new(new Keyspace(SettingsBinding.KeyspaceOptions(config.Settings), seed));
        LogFiles checkpoints = new(folder.Path);
        RecoveredState state = Persistence.Recover(
            mimei.Keyspace, checkpoints, new LogFiles(Path.Combine(folder.Path, "log")), new LogOptions { Fsync = FsyncPolicy.No });
        mimei.Log = state.Log;
        mimei.Checkpointer = checkpointer = new Checkpointer(mimei, checkpoints, state, TimeProvider.System);
        return new Server(mimei, SettingsBinding.ServerOptions(config.Settings), TimeProvider.System, config.Settings);
    }
}
