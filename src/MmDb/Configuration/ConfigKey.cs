using System.Globalization;

namespace Leither.MmDb.Configuration;

/// <summary>What is special about a key.</summary>
[Flags]
public enum ConfigFlags
{
    /// <summary>Nothing: one value, changeable at run time.</summary>
    None = 0,

    /// <summary>Fixed when the node starts.</summary>
    Immutable = 1,

    /// <summary>Changeable only where <c>enable-protected-configs</c> says so.</summary>
    Protected = 2,

    /// <summary>Its value is a secret: no log shows it.</summary>
    Sensitive = 4,

    /// <summary>Shown when asked for by its full name only.</summary>
    Hidden = 8,

    /// <summary>Takes a list of arguments.</summary>
    MultipleArguments = 16,

    /// <summary>Accepted, kept and shown, so that files and tools made for Redis work, but nothing here depends on it.</summary>
    NoMeaning = 32,

    /// <summary>A secret that CONFIG GET shows as stars. Setting it to these stars leaves it as it is: what was read can be written back.</summary>
    Masked = 64,
}

/// <summary>A key of the configuration: its name, its type, its default, and how its values are read and written.</summary>
public abstract class ConfigKey
{
    private protected ConfigKey(string name, string? alias, ConfigFlags flags)
    {
        Name = name;
        Alias = alias;
        Flags = flags;
    }

    /// <summary>The name, in small letters.</summary>
    public string Name { get; }

    /// <summary>Its older name, if it has one.</summary>
    public string? Alias { get; }

    /// <summary>What is special about it.</summary>
    public ConfigFlags Flags { get; }

    /// <summary>Its place in <see cref="ConfigKeys.All"/>.</summary>
    internal int Index { get; set; }

    internal abstract object DefaultValue { get; }

    /// <summary>Reads a value. Where lines add up (<c>save</c>), <paramref name="adds"/> tells that this is not the first one.</summary>
    /// <returns>The value, or null with the reason.</returns>
    internal abstract object? Read(IReadOnlyList<string> arguments, object current, bool adds, out string? error);

    /// <summary>The value as CONFIG GET shows it.</summary>
    internal abstract string Show(object value);

    /// <summary>The lines that CONFIG REWRITE needs for it, and whether each is needed even if the file had none.</summary>
    internal abstract IEnumerable<(string Line, bool Needed)> Write(string name, object value);

    /// <summary>Whether two values are the same.</summary>
    internal virtual bool Same(object a, object b) => a.Equals(b);

    internal bool Is(ConfigFlags flag) => (Flags & flag) != 0;
}

/// <summary>A key with values of a type.</summary>
/// <typeparam name="T">The type of its values.</typeparam>
public abstract class ConfigKey<T> : ConfigKey
    where T : notnull
{
    private protected ConfigKey(string name, string? alias, ConfigFlags flags, T defaultValue) : base(name, alias, flags) => Default = defaultValue;

    /// <summary>The value while nobody gave one.</summary>
    public T Default { get; }

    internal override object DefaultValue => Default;

    internal override object? Read(IReadOnlyList<string> arguments, object current, bool adds, out string? error) =>
        TryRead(arguments, (T)current, adds, out T value, out error) ? value : null;

    internal override string Show(object value) => ShowValue((T)value);

    internal override IEnumerable<(string Line, bool Needed)> Write(string name, object value) =>
        [($"{name} {ShowInFile((T)value)}", !Same(value, Default))];

    private protected abstract bool TryRead(IReadOnlyList<string> arguments, T current, bool adds, out T value, out string? error);

    private protected abstract string ShowValue(T value);

    private protected virtual string ShowInFile(T value) => ShowValue(value);
}

/// <summary>yes or no.</summary>
public sealed class BooleanKey : ConfigKey<bool>
{
    private readonly Func<bool, string?>? _check;

    internal BooleanKey(string name, string? alias, ConfigFlags flags, bool defaultValue, Func<bool, string?>? check = null)
        : base(name, alias, flags, defaultValue) => _check = check;

    private protected override bool TryRead(IReadOnlyList<string> arguments, bool current, bool adds, out bool value, out string? error)
    {
        value = arguments[0].Equals("yes", StringComparison.OrdinalIgnoreCase);
        error = value || arguments[0].Equals("no", StringComparison.OrdinalIgnoreCase)
            ? _check?.Invoke(value)
            : "argument must be 'yes' or 'no'";
        return error is null;
    }

    private protected override string ShowValue(bool value) => value ? "yes" : "no";
}

/// <summary>A byte string. For many keys the empty one means: not set.</summary>
public sealed class StringKey : ConfigKey<string>
{
    private readonly bool _emptyIsUnset;
    private readonly Func<string, string?>? _check;

    internal StringKey(string name, string? alias, ConfigFlags flags, string defaultValue, bool emptyIsUnset, Func<string, string?>? check = null)
        : base(name, alias, flags, defaultValue)
    {
        _emptyIsUnset = emptyIsUnset;
        _check = check;
    }

    internal override IEnumerable<(string Line, bool Needed)> Write(string name, object value) =>
        _emptyIsUnset && ((string)value).Length == 0 ? [] : base.Write(name, value);

    private protected override bool TryRead(IReadOnlyList<string> arguments, string current, bool adds, out string value, out string? error)
    {
        value = arguments[0];
        error = _check?.Invoke(value);
        return error is null;
    }

    private protected override string ShowValue(string value) => value;

    private protected override string ShowInFile(string value) => ConfigText.Quote(value);
}

/// <summary>One of a few words, or of those with <see cref="ConfigFlags.MultipleArguments"/> a set of them.</summary>
public sealed class EnumKey : ConfigKey<int>
{
    private readonly (string Name, int Value)[] _choices;
    private readonly Func<int, string?>? _check;

    internal EnumKey(string name, string? alias, ConfigFlags flags, int defaultValue, (string Name, int Value)[] choices, Func<int, string?>? check = null)
        : base(name, alias, flags, defaultValue)
    {
        _choices = choices;
        _check = check;
    }

    private protected override bool TryRead(IReadOnlyList<string> arguments, int current, bool adds, out int value, out string? error)
    {
        value = 0;
        error = $"argument(s) must be one of the following: {string.Join(", ", _choices.Select(c => c.Name))}";
        if (arguments.Count == 0 || (arguments.Count > 1 && !Is(ConfigFlags.MultipleArguments)))
        {
            return false;
        }

        foreach (string argument in arguments)
        {
            int at = Array.FindIndex(_choices, c => c.Name.Equals(argument, StringComparison.OrdinalIgnoreCase));
            if (at < 0)
            {
                return false;
            }

            value |= _choices[at].Value;
        }

        error = _check?.Invoke(value);
        return error is null;
    }

    private protected override string ShowValue(int value)
    {
        int whole = Array.FindIndex(_choices, c => c.Value == value);
        return whole >= 0
            ? _choices[whole].Name
            : string.Join(' ', _choices.Where(c => c.Value != 0 && (value & c.Value) == c.Value).Select(c => c.Name));
    }
}

/// <summary>How a number is written.</summary>
internal enum NumberNotation
{
    /// <summary>Decimal.</summary>
    Plain,

    /// <summary>Bytes, with units.</summary>
    Memory,

    /// <summary>Bytes, or a percentage (kept as a negative number).</summary>
    MemoryOrPercent,

    /// <summary>Mode bits.</summary>
    Octal,
}

/// <summary>A whole number between two bounds. Some are unsigned: their values beyond 2^63 are held in the sign bit.</summary>
public sealed class NumberKey : ConfigKey<long>
{
    private readonly NumberNotation _notation;
    private readonly bool _unsigned;
    private readonly long _least;
    private readonly long _most;
    private readonly Func<long, long>? _adjust;

    internal NumberKey(
        string name, string? alias, ConfigFlags flags, long defaultValue, long least, long most, NumberNotation notation, bool unsigned, Func<long, long>? adjust)
        : base(name, alias, flags, defaultValue)
    {
        _least = least;
        _most = most;
        _notation = notation;
        _unsigned = unsigned;
        _adjust = adjust;
    }

    private protected override bool TryRead(IReadOnlyList<string> arguments, long current, bool adds, out long value, out string? error)
    {
        if (!TryParse(arguments[0], out value))
        {
            error = _notation switch
            {
                NumberNotation.MemoryOrPercent => "argument must be a memory or percent value",
                NumberNotation.Memory => "argument must be a memory value",
                NumberNotation.Octal => "argument couldn't be parsed as an octal number",
                _ => "argument couldn't be parsed into an integer",
            };
            return false;
        }

        error = OutOfBounds(value);
        value = _adjust?.Invoke(value) ?? value;
        return error is null;
    }

    private protected override string ShowValue(long value) => _notation switch
    {
        NumberNotation.MemoryOrPercent when value < 0 => $"{-value}%",
        NumberNotation.Octal => Convert.ToString(value, 8),
        NumberNotation.Plain => value.ToString(CultureInfo.InvariantCulture),
        _ => ((ulong)value).ToString(CultureInfo.InvariantCulture),
    };

    private protected override string ShowInFile(long value) => _notation switch
    {
        NumberNotation.Memory => ConfigText.FormatMemory(value),
        NumberNotation.MemoryOrPercent when value >= 0 => ConfigText.FormatMemory(value),
        _ => ShowValue(value),
    };

    private bool TryParse(string text, out long value)
    {
        switch (_notation)
        {
            case NumberNotation.Plain:
                return ConfigText.TryParseInteger(text, out value);
            case NumberNotation.Octal:
                return ConfigText.TryParseOctal(text, out value);
            case NumberNotation.MemoryOrPercent when text.Length > 1 && text[^1] == '%':
                bool parsed = ConfigText.TryParseInteger(text[..^1], out value) && value >= 0;
                value = -value;
                return parsed;
            default:
                return ConfigText.TryParseMemory(text, out value);
        }
    }

    private string? OutOfBounds(long value)
    {
        if (_unsigned)
        {
            return (ulong)value >= (ulong)_least && (ulong)value <= (ulong)_most ? null
                : _notation == NumberNotation.Octal
                ? $"argument must be between {Convert.ToString(_least, 8)} and {Convert.ToString(_most, 8)} inclusive"
                : $"argument must be between {(ulong)_least} and {(ulong)_most} inclusive";
        }

        if (_notation == NumberNotation.MemoryOrPercent && value < 0)
        {
            return value >= _least ? null : $"percentage argument must be less or equal to {-_least}";
        }

        return value >= _least && value <= _most ? null : $"argument must be between {_least} and {_most} inclusive";
    }
}
