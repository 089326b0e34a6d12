using Leither.MmDb.Values;

namespace Leither.MmDb.Configuration;

/// <summary>
/// Ties the configuration to what the server and its keyspace read on their way: CONFIG SET takes effect with the next command.
/// What belongs to the program (port, addresses, folder, log) is tied there.
/// </summary>
public static class SettingsBinding
{
    private static readonly EvictionPolicy[] _policies =
    [
        EvictionPolicy.VolatileLru, EvictionPolicy.VolatileLfu, EvictionPolicy.VolatileRandom, EvictionPolicy.VolatileTtl,
        EvictionPolicy.AllKeysLru, EvictionPolicy.AllKeysLfu, EvictionPolicy.AllKeysRandom, EvictionPolicy.NoEviction,
    ];

    /// <summary>The options of a keyspace under these settings.</summary>
    public static KeyspaceOptions KeyspaceOptions(ConfigSettings settings)
    {
        var options = new KeyspaceOptions { Databases = (int)settings.Get(ConfigKeys.Databases), Packed = PackedThresholds.Default };
        Apply(settings, options);
        return options;
    }

    /// <summary>The options of a server under these settings.</summary>
    public static ServerOptions ServerOptions(ConfigSettings settings)
    {
        var options = new ServerOptions { Port = (int)settings.Get(ConfigKeys.Port) };
        Apply(settings, options);
        return options;
    }

    /// <summary>Keeps a server's options as its settings are. Without settings they are made from the options.</summary>
    internal static ConfigSettings Bind(Server server, ConfigSettings? settings)
    {
        KeyspaceOptions keyspace = server.DefaultMimei.Keyspace.Options;
        if (settings is null)
        {
            settings = new ConfigSettings();
            Read(settings, keyspace, server.Options);
        }

        Apply(settings, keyspace);
        Apply(settings, server.Options);
        ConfigSettings bound = settings;
        bound.OnChange(
            () =>
            {
                Apply(bound, keyspace);
                return null;
            },
            ConfigKeys.MaxMemory, ConfigKeys.MaxMemoryPolicy, ConfigKeys.MaxMemorySamples, ConfigKeys.MaxMemoryEvictionTenacity, ConfigKeys.LfuLogFactor,
            ConfigKeys.LfuDecayTime, ConfigKeys.ActiveExpireEffort, ConfigKeys.NotifyKeyspaceEvents, ConfigKeys.ProtoMaxBulkLength,
            ConfigKeys.HashMaxListpackEntries, ConfigKeys.HashMaxListpackValue, ConfigKeys.SetMaxIntsetEntries, ConfigKeys.SetMaxListpackEntries,
            ConfigKeys.SetMaxListpackValue, ConfigKeys.ZsetMaxListpackEntries, ConfigKeys.ZsetMaxListpackValue, ConfigKeys.ListMaxListpackSize,
            ConfigKeys.HllSparseMaxBytes, ConfigKeys.StreamNodeMaxBytes, ConfigKeys.StreamNodeMaxEntries);
        bound.OnChange(
            () =>
            {
                Apply(bound, server.Options);
                server.SlowLog.Trim(server.Options.SlowLogMaxLength);
                server.WatchAsNeeded();
                server.RefreshSessions();
                return null;
            },
            ConfigKeys.ProtectedMode, ConfigKeys.MaxClients, ConfigKeys.Timeout, ConfigKeys.SlowlogLogSlowerThan,
            ConfigKeys.SlowlogMaxLength, ConfigKeys.LatencyMonitorThreshold, ConfigKeys.LatencyTracking, ConfigKeys.LatencyTrackingInfoPercentiles,
            ConfigKeys.Hz, ConfigKeys.ClientOutputBufferLimit);
        bound.OnChange(
            () =>
            {
                server.Users.SetDefaultPassword(bound.Get(ConfigKeys.RequirePass));
                server.RefreshSessions();
                return null;
            },
            ConfigKeys.RequirePass);
        bound.OnChange(
            () =>
            {
                server.ClientMemory.LimitAsNeeded();
                return null;
            },
            ConfigKeys.MaxMemoryClients);
        bound.OnChange(
            () =>
            {
                server.Users.Log.Trim(bound.Get(ConfigKeys.AclLogMaxLength));
                return null;
            },
            ConfigKeys.AclLogMaxLength);
        server.WatchAsNeeded();
        return settings;
    }

    private static void Apply(ConfigSettings settings, KeyspaceOptions options)
    {
        options.MaxMemory = settings.Get(ConfigKeys.MaxMemory);
        options.Policy = _policies[settings.Get(ConfigKeys.MaxMemoryPolicy)];
        options.MaxMemorySamples = (int)settings.Get(ConfigKeys.MaxMemorySamples);
        options.EvictionTenacity = (int)settings.Get(ConfigKeys.MaxMemoryEvictionTenacity);
        options.LfuLogFactor = (int)settings.Get(ConfigKeys.LfuLogFactor);
        options.LfuDecayMinutes = (int)settings.Get(ConfigKeys.LfuDecayTime);
        options.ActiveExpireEffort = (int)settings.Get(ConfigKeys.ActiveExpireEffort);
        options.NotifyEvents = (MmDb.KeyspaceEvents)settings.Get(ConfigKeys.NotifyKeyspaceEvents);
        options.MaxStringBytes = settings.Get(ConfigKeys.ProtoMaxBulkLength);
        options.HllSparseMaxBytes = settings.Get(ConfigKeys.HllSparseMaxBytes);
        options.StreamNodeMaxBytes = settings.Get(ConfigKeys.StreamNodeMaxBytes);
        options.StreamNodeMaxEntries = settings.Get(ConfigKeys.StreamNodeMaxEntries);
        ref PackedThresholds packed = ref options.Packed;
        packed.HashMaxListpackEntries = Threshold(settings, ConfigKeys.HashMaxListpackEntries);
        packed.HashMaxListpackValue = Threshold(settings, ConfigKeys.HashMaxListpackValue);
        packed.SetMaxIntsetEntries = Threshold(settings, ConfigKeys.SetMaxIntsetEntries);
        packed.SetMaxListpackEntries = Threshold(settings, ConfigKeys.SetMaxListpackEntries);
        packed.SetMaxListpackValue = Threshold(settings, ConfigKeys.SetMaxListpackValue);
        packed.ZsetMaxListpackEntries = Threshold(settings, ConfigKeys.ZsetMaxListpackEntries);
        packed.ZsetMaxListpackValue = Threshold(settings, ConfigKeys.ZsetMaxListpackValue);
        packed.ListMaxListpackSize = (int)settings.Get(ConfigKeys.ListMaxListpackSize);
    }

    private static int Threshold(ConfigSettings settings, NumberKey key) => (int)Math.Min((ulong)settings.Get(key), int.MaxValue);

    private static void Apply(ConfigSettings settings, ServerOptions options)
    {
        options.RequirePass = settings.Get(ConfigKeys.RequirePass);
        options.ProtectedMode = settings.Get(ConfigKeys.ProtectedMode);
        options.MaxClients = (int)Math.Min(settings.Get(ConfigKeys.MaxClients), int.MaxValue);
        options.IdleTimeoutSeconds = (int)settings.Get(ConfigKeys.Timeout);
        options.SlowLogMicroseconds = settings.Get(ConfigKeys.SlowlogLogSlowerThan);
        options.SlowLogMaxLength = settings.Get(ConfigKeys.SlowlogMaxLength);
        options.LatencyThresholdMs = settings.Get(ConfigKeys.LatencyMonitorThreshold);
        options.TracksLatency = settings.Get(ConfigKeys.LatencyTracking);
        options.LatencyPercentiles = settings.Get(ConfigKeys.LatencyTrackingInfoPercentiles);
        options.Hz = (int)settings.Get(ConfigKeys.Hz);
        options.OutputLimits = settings.Get(ConfigKeys.ClientOutputBufferLimit);
    }

    /// <summary>The way back, for a server that was made from options.</summary>
    private static void Read(ConfigSettings settings, KeyspaceOptions keyspace, ServerOptions server)
    {
        settings.Put(ConfigKeys.Databases, keyspace.Databases);
        settings.Put(ConfigKeys.MaxMemory, keyspace.MaxMemory);
        settings.Put(ConfigKeys.MaxMemoryPolicy, Array.IndexOf(_policies, keyspace.Policy));
        settings.Put(ConfigKeys.MaxMemorySamples, keyspace.MaxMemorySamples);
        settings.Put(ConfigKeys.MaxMemoryEvictionTenacity, keyspace.EvictionTenacity);
        settings.Put(ConfigKeys.LfuLogFactor, keyspace.LfuLogFactor);
        settings.Put(ConfigKeys.LfuDecayTime, keyspace.LfuDecayMinutes);
        settings.Put(ConfigKeys.ActiveExpireEffort, keyspace.ActiveExpireEffort);
        settings.Put(ConfigKeys.NotifyKeyspaceEvents, (KeyspaceEvents)keyspace.NotifyEvents);
        settings.Put(ConfigKeys.ProtoMaxBulkLength, keyspace.MaxStringBytes);
        settings.Put(ConfigKeys.HllSparseMaxBytes, keyspace.HllSparseMaxBytes);
        settings.Put(ConfigKeys.HashMaxListpackEntries, keyspace.Packed.HashMaxListpackEntries);
        settings.Put(ConfigKeys.HashMaxListpackValue, keyspace.Packed.HashMaxListpackValue);
        settings.Put(ConfigKeys.SetMaxIntsetEntries, keyspace.Packed.SetMaxIntsetEntries);
        settings.Put(ConfigKeys.SetMaxListpackEntries, keyspace.Packed.SetMaxListpackEntries);
        settings.Put(ConfigKeys.SetMaxListpackValue, keyspace.Packed.SetMaxListpackValue);
        settings.Put(ConfigKeys.ZsetMaxListpackEntries, keyspace.Packed.ZsetMaxListpackEntries);
        settings.Put(ConfigKeys.ZsetMaxListpackValue, keyspace.Packed.ZsetMaxListpackValue);
        settings.Put(ConfigKeys.ListMaxListpackSize, keyspace.Packed.ListMaxListpackSize);
        settings.Put(ConfigKeys.StreamNodeMaxBytes, keyspace.StreamNodeMaxBytes);
        settings.Put(ConfigKeys.StreamNodeMaxEntries, keyspace.StreamNodeMaxEntries);
        settings.Put(ConfigKeys.RequirePass, server.RequirePass);
        settings.Put(ConfigKeys.ProtectedMode, server.ProtectedMode);
        settings.Put(ConfigKeys.MaxClients, server.MaxClients);
        settings.Put(ConfigKeys.Timeout, server.IdleTimeoutSeconds);
        settings.Put(ConfigKeys.SlowlogLogSlowerThan, server.SlowLogMicroseconds);
        settings.Put(ConfigKeys.SlowlogMaxLength, server.SlowLogMaxLength);
        settings.Put(ConfigKeys.LatencyMonitorThreshold, server.LatencyThresholdMs);
        settings.Put(ConfigKeys.LatencyTracking, server.TracksLatency);
        settings.Put(ConfigKeys.LatencyTrackingInfoPercentiles, server.LatencyPercentiles);
        settings.Put(ConfigKeys.Hz, server.Hz);
        settings.Put(ConfigKeys.ClientOutputBufferLimit, server.OutputLimits);
        settings.Put(ConfigKeys.Port, server.Port);
    }
}
