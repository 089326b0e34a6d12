using System.Text;
using Leither.MmDb.Acl;

namespace Leither.MmDb.Configuration;

/// <summary>A configuration that cannot be used. The message is the one that Redis prints before it exits.</summary>
public sealed class ConfigException : Exception
{
    internal ConfigException(string productVersion, int line, string text, string error, bool isOfArguments)
        : base($"\n*** FATAL CONFIG FILE ERROR ({productVersion}) ***\nReading the configuration file, at line {line}\n>>> '{text}'\n{error}")
    {
        Line = line;
        Error = error;
        IsOfArguments = isOfArguments;
    }

    /// <summary>The line that is wrong, from 1.</summary>
    public int Line { get; }

    /// <summary>What is wrong with it.</summary>
    public string Error { get; }

    /// <summary>Whether the line is of the arguments, and of no file.</summary>
    public bool IsOfArguments { get; }
}

/// <summary>
/// Reads configuration text, in the syntax of redis.conf, into settings. Later lines win over earlier ones, so arguments of
/// the command line are simply more text behind the file's.
/// </summary>
public sealed class ConfigLoader
{
    private static readonly string[] _forgotten = ["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

    private readonly ConfigSettings _settings;
    private readonly Func<string, string> _include;
    private readonly string _productVersion;
    private readonly SortedSet<string> _withoutMeaning = new(StringComparer.Ordinal);
    private bool _sawSave;
    private int _includeDepth;

    /// <summary>Creates a loader.</summary>
    /// <param name="settings">What the values go to.</param>
    /// <param name="include">Returns the text of a file (or of all that a pattern names) that a line includes.</param>
    /// <param name="productVersion">Named in error messages.</param>
    public ConfigLoader(ConfigSettings settings, Func<string, string> include, string productVersion)
    {
        _settings = settings;
        _include = include;
        _productVersion = productVersion;
    }

    /// <summary>Keys that were given and have no meaning here, for a warning.</summary>
    public IReadOnlyCollection<string> WithoutMeaning => _withoutMeaning;

    /// <summary>Reads text.</summary>
    /// <param name="text">Lines.</param>
    /// <param name="areArguments">Whether they are what arguments of the command line say (<see cref="ConfigArguments"/>).</param>
    /// <exception cref="ConfigException">A line cannot be used. What came before it is in the settings.</exception>
    public void Load(string text, bool areArguments = false)
    {
        string[] lines = text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].Trim(' ', '\t', '\r', '\n');
            if (line.Length == 0 || line[0] == '#')
            {
                continue;
            }

            if (LoadLine(line) is { } error)
            {
                throw new ConfigException(_productVersion, i + 1, line, error, areArguments);
            }
        }
    }

    private string? LoadLine(string line)
    {
        if (ConfigText.Split(line) is not { } words)
        {
            return "Unbalanced quotes in configuration line";
        }

        if (words.Count == 0)
        {
            return null;
        }

        string name = words[0].ToLowerInvariant();
        return ConfigKeys.Find(name) is { } key ? LoadValue(key, name, words[1..]) : LoadDirective(name, words);
    }

    private string? LoadValue(ConfigKey key, string name, List<string> arguments)
    {
        if (!key.Is(ConfigFlags.MultipleArguments))
        {
            if (arguments.Count != 1)
            {
                return "wrong number of arguments";
            }
        }
        else if (arguments is [{ Length: > 0 } all])
        {
            // One argument may hold them all: --save "900 1 300 10".
            arguments = ConfigText.Split(all) ?? [];
        }

        if (key.Is(ConfigFlags.NoMeaning))
        {
            _withoutMeaning.Add(name);
        }

        bool adds = key == ConfigKeys.Save && _sawSave;
        _sawSave |= key == ConfigKeys.Save;
        return _settings.Load(key, arguments, adds);
    }

    private string? LoadDirective(string name, List<string> words)
    {
        switch (name)
        {
            case "include" when words.Count == 2:
                return Include(words[1]);
            case "rename-command" when words.Count == 3:
                return "rename-command is not supported";
            case "loadmodule" when words.Count >= 2:
                _withoutMeaning.Add(name);
                return null;
            case "user" when words.Count >= 2:
                List<string> user = words[1..];
                string? wrong = AclRules.Try(user, _settings.UserLines);
                if (wrong is null)
                {
                    _settings.AddUser(user);
                }

                return wrong;
            case "sentinel" when words.Count > 1:
                return "sentinel directive while not in sentinel mode";
            case "sentinel":
                return null;
        }

        if (words.Count == 2 && _forgotten.Contains(name))
        {
            return null;
        }

        if (name.Contains('.', StringComparison.Ordinal))
        {
            _withoutMeaning.Add(name);
            return words.Count < 2 ? "Module config specified without value" : null;
        }

        return ConfigKeys.Nearest(name) is { } nearest
            ? $"Bad directive or wrong number of arguments. Did you mean '{nearest.Name}'?"
            : "Bad directive or wrong number of arguments";
    }

    private string? Include(string path)
    {
        // A file that includes itself ends here rather than in the stack.
        if (_includeDepth == MaxIncludeDepth)
        {
            return "Files include each other without end";
        }

        _includeDepth++;
        Load(_include(path));
        _includeDepth--;
        return null;
    }

    private const int MaxIncludeDepth = 16;
}

/// <summary>
/// The command line of redis-server as text: an optional file, <c>-</c> for the standard input, and <c>--key value …</c>, which
/// become lines of configuration behind the file's.
/// </summary>
/// <param name="File">The configuration file, or null.</param>
/// <param name="FromStandardInput">Whether more is to be read from the standard input.</param>
/// <param name="Options">The options as configuration text.</param>
public sealed record ConfigArguments(string? File, bool FromStandardInput, string Options)
{
    /// <summary>Reads the arguments, byte strings.</summary>
    public static ConfigArguments Parse(IReadOnlyList<string> arguments)
    {
        int at = 0;
        string? file = null;
        if (arguments.Count > 0 && !arguments[0].StartsWith('-'))
        {
            file = arguments[0];
            at = 1;
        }

        bool fromStandardInput = false;
        // A value may start with --, so what looks like a name is one only once the name before it has a value.
        bool nameMayFollow = true;
        StringBuilder options = new();
        for (; at < arguments.Count; at++)
        {
            string argument = arguments[at];
            bool isLast = at == arguments.Count - 1;
            if (argument == "-" && (at == 0 || isLast))
            {
                fromStandardInput = true;
            }
            else if (nameMayFollow && argument.StartsWith("--", StringComparison.Ordinal))
            {
                if (options.Length > 0)
                {
                    options.Append('\n');
                }

                options.Append(argument, 2, argument.Length - 2).Append(' ');
                nameMayFollow = ConfigText.Split(argument) is not { Count: 1 };
                if (!nameMayFollow)
                {
                    bool nameIsNext = !isLast && arguments[at + 1].StartsWith("--", StringComparison.Ordinal);
                    bool isSave = argument.Equals("--save", StringComparison.OrdinalIgnoreCase);
                    if (isSave && (isLast || nameIsNext))
                    {
                        options.Append("\"\"");
                    }

                    nameMayFollow = nameIsNext && (isSave || argument.Equals("--sentinel", StringComparison.OrdinalIgnoreCase));
                }
            }
            else
            {
                options.Append(ConfigText.Quote(argument)).Append(' ');
                nameMayFollow = true;
            }
        }

        return new ConfigArguments(file, fromStandardInput, options.ToString());
    }
}
