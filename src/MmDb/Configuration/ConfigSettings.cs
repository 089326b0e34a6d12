namespace Leither.MmDb.Configuration;

/// <summary>
/// The values of all keys, of one node. Read on any thread, changed on the loop thread only: by the files and arguments at start,
/// then by CONFIG SET. Who depends on a key at run time registers with <see cref="OnChange"/>.
/// </summary>
public sealed class ConfigSettings
{
    private readonly object[] _values = [.. ConfigKeys.All.Select(k => k.DefaultValue)];
    private readonly List<(ConfigKey Key, Func<string?> Apply)> _appliers = [];
    private readonly List<IReadOnlyList<string>> _userLines = [];

    /// <summary>The <c>user</c> lines, each from the user's name on: what ACL users there are when the node starts.</summary>
    public IReadOnlyList<IReadOnlyList<string>> UserLines => _userLines;

    /// <summary>The value of a key.</summary>
    public T Get<T>(ConfigKey<T> key)
        where T : notnull => (T)_values[key.Index];

    /// <summary>The value of a key as CONFIG GET shows it.</summary>
    public string Show(ConfigKey key) => key.Show(_values[key.Index]);

    /// <summary>Gives a key a value without reading it from text: what the program decides itself.</summary>
    public void Put<T>(ConfigKey<T> key, T value)
        where T : notnull => _values[key.Index] = value;

    /// <summary>
    /// Registers what is to happen when CONFIG SET changed the keys: it returns null, or why the new values cannot be had, and
    /// then all old ones come back and it is called again. One action for several keys runs once.
    /// </summary>
    public void OnChange(Func<string?> apply, params ReadOnlySpan<ConfigKey> keys)
    {
        foreach (ConfigKey key in keys)
        {
            _appliers.Add((key, apply));
        }
    }

    /// <summary>CONFIG GET: the names and values that match any of the patterns.</summary>
    /// <param name="patterns">Names in letters of any case, or patterns; hidden keys are found by name only.</param>
    /// <param name="matches">Whether a name matches a pattern, in letters of any case.</param>
    public IReadOnlyList<(string Name, string Value)> Match(IEnumerable<string> patterns, Func<string, string, bool> matches)
    {
        List<(string Name, string Value)> found = [];
        HashSet<string> seen = new(StringComparer.OrdinalIgnoreCase);
        foreach (string pattern in patterns)
        {
            if (pattern.AsSpan().IndexOfAny('[', '*', '?') < 0)
            {
                if (ConfigKeys.Find(pattern) is { } key && seen.Add(pattern))
                {
                    found.Add((pattern, Reveal(key)));
                }

                continue;
            }

            foreach (ConfigKey key in ConfigKeys.All)
            {
                foreach (string? name in (string?[])[key.Name, key.Alias])
                {
                    if (name is not null && !key.Is(ConfigFlags.Hidden) && matches(pattern, name) && seen.Add(name))
                    {
                        found.Add((name, Reveal(key)));
                    }
                }
            }
        }

        return found;
    }

    /// <summary>What stands for a secret.</summary>
    private const string Mask = "********";

    /// <summary>The value as clients see it.</summary>
    private string Reveal(ConfigKey key) => IsMasked(key) ? Mask : Show(key);

    private bool IsMasked(ConfigKey key) => key.Is(ConfigFlags.Masked) && Show(key).Length > 0;

    /// <summary>CONFIG SET: all of the pairs, or none.</summary>
    /// <param name="pairs">Names and values.</param>
    /// <param name="isLocal">Whether the client is on this machine.</param>
    /// <returns>Null, or the error without its code.</returns>
    public string? Set(IReadOnlyList<(string Name, string Value)> pairs, bool isLocal)
    {
        if (Check(pairs, isLocal, out ConfigKey[] keys) is { } refused)
        {
            return refused;
        }

        object[] old = [.. _values];
        List<ConfigKey> changed = [];
        for (int i = 0; i < keys.Length; i++)
        {
            ConfigKey key = keys[i];
            string value = pairs[i].Value;
            if (value == Mask && IsMasked(key))
            {
                continue;
            }

            string[] arguments = !key.Is(ConfigFlags.MultipleArguments) ? [value] : value.Length == 0 ? [] : value.Split(' ');
            object? read = key.Read(arguments, _values[key.Index], adds: false, out string? error);
            if (read is null)
            {
                old.CopyTo(_values, 0);
                return Failed(pairs[i].Name.ToLowerInvariant(), error!);
            }

            if (!key.Same(read, _values[key.Index]))
            {
                changed.Add(key);
                _values[key.Index] = read;
            }
        }

        return Apply(changed, old);
    }

    /// <summary>The value as it is, for who writes files.</summary>
    internal object Value(ConfigKey key) => _values[key.Index];

    /// <summary>Reads a value from a file or argument.</summary>
    /// <returns>Null, or the error.</returns>
    internal string? Load(ConfigKey key, IReadOnlyList<string> arguments, bool adds)
    {
        object? read = key.Read(arguments, _values[key.Index], adds, out string? error);
        _values[key.Index] = read ?? _values[key.Index];
        return error;
    }

    /// <summary>Takes a <c>user</c> line.</summary>
    internal void AddUser(IReadOnlyList<string> words) => _userLines.Add(words);

    private string? Check(IReadOnlyList<(string Name, string Value)> pairs, bool isLocal, out ConfigKey[] keys)
    {
        keys = new ConfigKey[pairs.Count];
        for (int i = 0; i < pairs.Count; i++)
        {
            string name = pairs[i].Name;
            if (ConfigKeys.Find(name) is not { } key)
            {
                return $"Unknown option or number of arguments for CONFIG SET - '{name}'";
            }

            if (key.Is(ConfigFlags.Immutable))
            {
                return Failed(name, "can't set immutable config");
            }

            if (key.Is(ConfigFlags.Protected) && !MayChangeProtected(isLocal))
            {
                return Failed(name, "can't set protected config");
            }

            if (keys.AsSpan(0, i).Contains(key))
            {
                return Failed(name, "duplicate parameter");
            }

            keys[i] = key;
        }

        return null;
    }

    private bool MayChangeProtected(bool isLocal) => Show(ConfigKeys.EnableProtectedConfigs) switch
    {
        "yes" => true,
        "local" => isLocal,
        _ => false,
    };

    private string? Apply(List<ConfigKey> changed, object[] old)
    {
        List<Func<string?>> applied = [];
        foreach (ConfigKey key in changed)
        {
            foreach (Func<string?> apply in _appliers.Where(a => a.Key == key).Select(a => a.Apply).Where(a => !applied.Contains(a)).ToArray())
            {
                applied.Add(apply);
                if (apply() is { } error)
                {
                    TakeBack(applied, old);
                    return Failed(key.Name, error);
                }
            }
        }

        return null;
    }

    private void TakeBack(List<Func<string?>> applied, object[] old)
    {
        old.CopyTo(_values, 0);
        foreach (Func<string?> undo in applied)
        {
            // The old values were in force a moment ago.
            _ = undo();
        }
    }

    private static string Failed(string name, string why) => $"CONFIG SET failed (possibly related to argument '{name}') - {why}";
}
