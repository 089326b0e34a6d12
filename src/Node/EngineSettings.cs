using Leither.MmDb;
using Leither.MmDb.Configuration;
using Leither.MmDb.Values;
using Leither.Node.Logging;
using Leither.Node.Transport;

namespace Leither.Node;

/// <summary>Carries the configuration to those who act on it, at start and after each CONFIG SET.</summary>
internal sealed class EngineSettings(ConfigSettings settings, KeyspaceOptions keyspace, ServerOptions server, ITransport transport, NodeLog log)
{
    /// <summary>Puts all values into force, and keeps them so.</summary>
    public void Bind()
    {
        Follow(
            () =>
            {
                keyspace.MaxMemory = Bytes(ConfigKeys.MaxMemory);
                keyspace.Policy = Policy(settings.Show(ConfigKeys.MaxMemoryPolicy));
                keyspace.MaxMemorySamples = Int(ConfigKeys.MaxMemorySamples);
                keyspace.EvictionTenacity = Int(ConfigKeys.MaxMemoryEvictionTenacity);
                keyspace.LfuLogFactor = Int(ConfigKeys.LfuLogFactor);
                keyspace.LfuDecayMinutes = Int(ConfigKeys.LfuDecayTime);
                keyspace.ActiveExpireEffort = Int(ConfigKeys.ActiveExpireEffort);
                keyspace.NotifyEvents = settings.Get(ConfigKeys.NotifyKeyspaceEvents);
            },
            ConfigKeys.MaxMemory,
            ConfigKeys.MaxMemoryPolicy,
            ConfigKeys.MaxMemorySamples,
            ConfigKeys.MaxMemoryEvictionTenacity,
            ConfigKeys.LfuLogFactor,
            ConfigKeys.LfuDecayTime,
            ConfigKeys.ActiveExpireEffort,
            ConfigKeys.NotifyKeyspaceEvents);
        Follow(
            SetPackedThresholds,
            ConfigKeys.HashMaxListpackEntries,
            ConfigKeys.HashMaxListpackValue,
            ConfigKeys.SetMaxIntsetEntries,
            ConfigKeys.SetMaxListpackEntries,
            ConfigKeys.SetMaxListpackValue,
            ConfigKeys.ZsetMaxListpackEntries,
            ConfigKeys.ZsetMaxListpackValue,
            ConfigKeys.ListMaxListpackSize);
        Follow(
            () =>
            {
                server.RequirePass = settings.Get(ConfigKeys.RequirePass);
                server.ProtectedMode = settings.Get(ConfigKeys.ProtectedMode);
                server.IdleTimeoutSeconds = Int(ConfigKeys.Timeout);
                server.SlowLogMicroseconds = settings.Get(ConfigKeys.SlowlogLogSlowerThan);
            },
            ConfigKeys.RequirePass,
            ConfigKeys.ProtectedMode,
            ConfigKeys.Timeout,
            ConfigKeys.SlowlogLogSlowerThan);
        Follow(() => keyspace.MaxStringBytes = Bytes(ConfigKeys.ProtoMaxBulkLength), ConfigKeys.ProtoMaxBulkLength);
        Follow(() => transport.MaxInputBytes = Bytes(ConfigKeys.ClientQueryBufferLimit), ConfigKeys.ClientQueryBufferLimit);
        Follow(() => log.Level = (NodeLogLevel)settings.Get(ConfigKeys.LogLevel), ConfigKeys.LogLevel);
        server.Port = (int)settings.Get(ConfigKeys.Port);
        LimitClients();
        settings.OnChange(ChangeMaxClients, ConfigKeys.MaxClients);
    }

    private void Follow(Action apply, params ReadOnlySpan<ConfigKey> keys)
    {
        apply();
        settings.OnChange(
            () =>
            {
                apply();
                return null;
            },
            keys);
    }

    private void SetPackedThresholds()
    {
        ref PackedThresholds packed = ref keyspace.Packed;
        packed.HashMaxListpackEntries = Int(ConfigKeys.HashMaxListpackEntries);
        packed.HashMaxListpackValue = Int(ConfigKeys.HashMaxListpackValue);
        packed.SetMaxIntsetEntries = Int(ConfigKeys.SetMaxIntsetEntries);
        packed.SetMaxListpackEntries = Int(ConfigKeys.SetMaxListpackEntries);
        packed.SetMaxListpackValue = Int(ConfigKeys.SetMaxListpackValue);
        packed.ZsetMaxListpackEntries = Int(ConfigKeys.ZsetMaxListpackEntries);
        packed.ZsetMaxListpackValue = Int(ConfigKeys.ZsetMaxListpackValue);
        packed.ListMaxListpackSize = Int(ConfigKeys.ListMaxListpackSize);
    }

    /// <summary>At start a node makes do with as many clients as the system allows, as Redis does.</summary>
    private void LimitClients()
    {
        long wanted = settings.Get(ConfigKeys.MaxClients);
        long possible = OpenFiles.MakeRoomFor(wanted);
        if (possible < wanted)
        {
            log.Warning($"You requested maxclients of {wanted}, but the limit of open files allows {possible}. Raise it with 'ulimit -n'");
            settings.Put(ConfigKeys.MaxClients, possible);
        }

        server.MaxClients = Int(ConfigKeys.MaxClients);
    }

    private string? ChangeMaxClients()
    {
        long wanted = settings.Get(ConfigKeys.MaxClients);
        long possible = OpenFiles.MakeRoomFor(wanted);
        if (possible < wanted)
        {
            return $"The operating system is not able to handle the specified number of clients, try with {possible}";
        }

        server.MaxClients = Int(ConfigKeys.MaxClients);
        return null;
    }

    private int Int(NumberKey key) => (int)Math.Clamp(settings.Get(key), int.MinValue, int.MaxValue);

    /// <summary>A number that may be unsigned, as far as memory can ever reach.</summary>
    private long Bytes(NumberKey key) => (long)Math.Min((ulong)settings.Get(key), long.MaxValue);

    private static EvictionPolicy Policy(string name) => name switch
    {
        "volatile-lru" => EvictionPolicy.VolatileLru,
        "volatile-lfu" => EvictionPolicy.VolatileLfu,
        "volatile-random" => EvictionPolicy.VolatileRandom,
        "volatile-ttl" => EvictionPolicy.VolatileTtl,
        "allkeys-lru" => EvictionPolicy.AllKeysLru,
        "allkeys-lfu" => EvictionPolicy.AllKeysLfu,
        "allkeys-random" => EvictionPolicy.AllKeysRandom,
        _ => EvictionPolicy.NoEviction,
    };
}
