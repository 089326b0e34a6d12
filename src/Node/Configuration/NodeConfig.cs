using System.Collections;
using System.Text;
using Leither.MmDb.Configuration;
using Leither.Node.Logging;
using Leither.Node.Transport;

namespace Leither.Node.Configuration;

/// <summary>
/// The configuration of one node: a file in the syntax of redis.conf and the arguments of <c>leither run</c>, which are those of
/// redis-server, with <c>-p PORT</c> for <c>--port PORT</c>, <c>--data DIR</c> for <c>--dir DIR</c>
/// and <c>-b PEER</c>, once or more often, for <c>--swarm-bootstrap PEER…</c>. Where no file is named, it is leither.conf of the data folder, if that is there.
/// Arguments win over environment variables (<c>LEITHER_APPENDFSYNC=always</c>), and these over the file.
/// </summary>
public sealed class NodeConfig
{
    /// <summary>The option of <see cref="AllowsDataLossAfterCorruption"/>.</summary>
    public const string AllowDataLossOption = "--allow-data-loss-after-corruption";

    /// <summary>The configuration file of a data folder.</summary>
    public const string FileName = "leither.conf";

    /// <summary>What the names of environment variables begin with that set keys: LEITHER_MAXMEMORY_POLICY sets maxmemory-policy.</summary>
    public const string VariablePrefix = "LEITHER_";

    private NodeConfig(ConfigSettings settings, string? file, string dataFolder, ConfigLoader loader)
    {
        Settings = settings;
        File = file;
        DataFolder = dataFolder;
        WithoutMeaning = loader.WithoutMeaning;
    }

    /// <summary>The values.</summary>
    public ConfigSettings Settings { get; }

    /// <summary>Full path of the configuration file, or null.</summary>
    public string? File { get; }

    /// <summary>Full path of the data folder.</summary>
    public string DataFolder { get; }

    /// <summary>What an operator should know of how the configuration was given.</summary>
    public IReadOnlyList<string> Warnings { get; private init; } = [];

    /// <summary>Keys that were given and have no meaning here.</summary>
    public IReadOnlyCollection<string> WithoutMeaning { get; }

    /// <summary>
    /// Whether a log that is damaged in its middle is used up to the damage. Given for one start by hand, it is no key of the
    /// configuration: a file would give it for ever.
    /// </summary>
    public bool AllowsDataLossAfterCorruption { get; private init; }

    /// <summary>Where to listen.</summary>
    public ListenOptions Listen
    {
        get
        {
            string socket = Settings.Get(ConfigKeys.UnixSocket);
            return new ListenOptions(
                [.. Settings.Get(ConfigKeys.Bind).Select(ConfigText.ToText)],
                (int)Settings.Get(ConfigKeys.Port),
                socket.Length == 0 ? null : ConfigText.ToText(socket),
                (int)Settings.Get(ConfigKeys.UnixSocketPermissions),
                (int)Settings.Get(ConfigKeys.TcpBacklog),
                (int)Settings.Get(ConfigKeys.TcpKeepAlive),
                (int)Settings.Get(ConfigKeys.TlsPort));
        }
    }

    /// <summary>An address of this machine at which the node listens.</summary>
    public string LocalHost
    {
        get
        {
            string first = Listen.Bind.Select(b => b.TrimStart('-')).FirstOrDefault("127.0.0.1");
            return first switch
            {
                "*" or "0.0.0.0" => "127.0.0.1",
                "::*" or "::" => "::1",
                _ => first,
            };
        }
    }

    /// <summary>Reads the file and the arguments.</summary>
    /// <param name="arguments">What follows <c>leither run</c>.</param>
    /// <param name="standardInput">Where the configuration named <c>-</c> comes from.</param>
    /// <exception cref="ConfigException">A line or argument cannot be used.</exception>
    /// <exception cref="IOException">A file cannot be read; the message says which.</exception>
    public static NodeConfig Load(IReadOnlyList<string> arguments, Func<Stream> standardInput)
    {
        bool allowsLoss = arguments.Contains(AllowDataLossOption);
        ConfigArguments parsed = ConfigArguments.Parse(
            [.. Rewritten([.. arguments.Where(a => a != AllowDataLossOption)]).Select(ConfigText.FromText)]);
        ConfigSettings settings = new();
        settings.Put(ConfigKeys.Directory, ConfigText.FromText(Configuration.DataFolder.Default));
        ConfigLoader loader = new(settings, ReadIncluded, $"Leither {ProductVersion.Text}");
        string? file = parsed.File is not null ? Path.GetFullPath(ConfigText.ToText(parsed.File))
            : parsed.FromStandardInput ? null
            : FileOf(FolderIn(parsed.Options) ?? Configuration.DataFolder.Default);

        StringBuilder text = new();
        if (file is not null)
        {
            text.Append(ReadFile(file));
        }

        if (parsed.FromStandardInput)
        {
            using StreamReader reader = new(standardInput(), Encoding.Latin1);
            text.Append(reader.ReadToEnd());
        }

        loader.Load(text.Append('\n').ToString());
        List<string> warnings = LoadVariables(loader);
        loader.Load(parsed.Options, areArguments: true);

        string folder = Path.GetFullPath(ConfigText.ToText(settings.Get(ConfigKeys.Directory)));
        settings.Put(ConfigKeys.Directory, ConfigText.FromText(folder));
        return new NodeConfig(settings, file, folder, loader) { AllowsDataLossAfterCorruption = allowsLoss, Warnings = warnings };
    }

    /// <summary>The configuration file of a data folder, or null where it has none.</summary>
    private static string? FileOf(string folder)
    {
        string file = Path.Combine(Path.GetFullPath(folder), FileName);
        return System.IO.File.Exists(file) ? file : null;
    }

    /// <summary>The data folder that the arguments name: it decides which file is read before them.</summary>
    private static string? FolderIn(string options)
    {
        string? folder = null;
        foreach (string line in options.Split('\n'))
        {
            if (ConfigText.Split(line) is [var name, var value] && name.Equals(ConfigKeys.Directory.Name, StringComparison.OrdinalIgnoreCase))
            {
                folder = ConfigText.ToText(value);
            }
        }

        return folder;
    }

    /// <summary>Takes the keys that environment variables set; returns what looks like one and is none.</summary>
    /// <exception cref="IOException">A value cannot be used.</exception>
    private static List<string> LoadVariables(ConfigLoader loader)
    {
        List<string> warnings = [];
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().OrderBy(static v => (string)v.Key, StringComparer.Ordinal))
        {
            string name = (string)variable.Key;
            // The data folder's is asked for before any file is read.
            if (!name.StartsWith(VariablePrefix, StringComparison.Ordinal) || name is "LEITHER_DATA" or "LEITHER_DIR")
            {
                continue;
            }

            string written = name[VariablePrefix.Length..].ToLowerInvariant();
            ConfigKey? key = ConfigKeys.Find(written.Replace('_', '-')) ?? ConfigKeys.Find(written);
            if (key is null)
            {
                // Others may have variables of such names, too: only what is nearly a key is told.
                if (ConfigKeys.Nearest(written) is { } nearest)
                {
                    warnings.Add($"The environment variable {name} sets nothing. Did you mean {ConfigReference.VariableOf(nearest)}?");
                }

                continue;
            }

            try
            {
                loader.Load($"{key.Name} {ConfigText.Quote(ConfigText.FromText((string?)variable.Value ?? ""))}");
            }
            catch (ConfigException e)
            {
                throw new IOException($"The environment variable {name} cannot be used: {e.Error}", e);
            }
        }

        return warnings;
    }

    /// <summary>Puts loglevel and logfile into force.</summary>
    /// <exception cref="IOException">The log file cannot be written.</exception>
    public void Configure(NodeLog log)
    {
        log.Level = (NodeLogLevel)Settings.Get(ConfigKeys.LogLevel);
        log.Format = (NodeLogFormat)Settings.Get(ConfigKeys.LogFormat);
        string file = ConfigText.ToText(Settings.Get(ConfigKeys.LogFile));
        log.File = file.Length == 0 ? null : Path.Combine(DataFolder, file);
        if (log.File is null)
        {
            return;
        }

        try
        {
            System.IO.File.AppendAllText(log.File, "");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"Can't open the log file: {e.Message}", e);
        }
    }

    /// <summary>The product's short options as those of redis-server, behind all others, since a file name may only be the first.</summary>
    private static List<string> Rewritten(IReadOnlyList<string> arguments)
    {
        List<string> first = [];
        List<string> last = [], bootstrap = [];
        for (int i = 0; i < arguments.Count; i++)
        {
            // The value of another option may look like one of ours.
            bool isValue = i > 0 && arguments[i - 1].StartsWith("--", StringComparison.Ordinal) && arguments[i - 1] is not "--save";
            string? name = isValue ? null : arguments[i] switch
            {
                "-p" => "--port",
                "--data" => "--dir",
                "-b" or "--bootstrap" => "--swarm-bootstrap",
                _ => null,
            };
            if (name == "--swarm-bootstrap" && i + 1 < arguments.Count)
            {
                bootstrap.Add(arguments[++i]);
            }
            else if (name is not null && i + 1 < arguments.Count)
            {
                last.AddRange([name, arguments[++i]]);
            }
            else
            {
                first.Add(arguments[i]);
            }
        }

        return bootstrap.Count == 0 ? [.. first, .. last] : [.. first, .. last, "--swarm-bootstrap", .. bootstrap];
    }

    private static string ReadIncluded(string name)
    {
        string path = ConfigText.ToText(name);
        string file = Path.GetFileName(path);
        if (file.AsSpan().IndexOfAny('*', '?') < 0)
        {
            return ReadFile(path);
        }

        // A pattern that matches nothing is no error: a folder of fragments may be empty.
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        return Directory.Exists(folder)
            ? string.Concat(Directory.GetFiles(folder, file).Order(StringComparer.Ordinal).Select(f => ReadFile(f) + "\n"))
            : "";
    }

    private static string ReadFile(string path)
    {
        try
        {
            return System.IO.File.ReadAllText(path, Encoding.Latin1);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"Fatal error, can't open config file '{path}': {e.Message}", e);
        }
    }
}
