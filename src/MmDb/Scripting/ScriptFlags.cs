using System.Text;
using Leither.MmDb.Configuration;

namespace Leither.MmDb.Scripting;

/// <summary>What a script declares about itself, in its first line or when it registers.</summary>
[Flags]
internal enum ScriptFlags
{
    None = 0,
    NoWrites = 1 << 0,
    AllowOom = 1 << 1,
    AllowStale = 1 << 2,
    NoCluster = 1 << 3,
    AllowCrossSlotKeys = 1 << 4,
    /// <summary>It declares nothing: the rules of before Redis 7 hold.</summary>
    Undeclared = 1 << 5,
}

/// <summary>Reads first lines: #!lua flags=…, #!lua name=….</summary>
internal static class Shebang
{
    /// <summary>The names of flags, in the order in which they are listed.</summary>
    public static readonly (string Name, ScriptFlags Flag)[] Flags =
    [
        ("no-writes", ScriptFlags.NoWrites),
        ("allow-oom", ScriptFlags.AllowOom),
        ("allow-stale", ScriptFlags.AllowStale),
        ("no-cluster", ScriptFlags.NoCluster),
        ("allow-cross-slot-keys", ScriptFlags.AllowCrossSlotKeys),
    ];

    public static bool TryFlag(string name, StringComparison comparison, out ScriptFlags flag)
    {
        foreach ((string known, ScriptFlags value) in Flags)
        {
            if (known.Equals(name, comparison))
            {
                flag = value;
                return true;
            }
        }

        flag = ScriptFlags.None;
        return false;
    }

    /// <summary>Reads the first line of an EVAL script, if it has one; null: all is well.</summary>
    public static string? ReadEval(ReadOnlySpan<byte> body, out ScriptFlags flags, out int length)
    {
        flags = ScriptFlags.Undeclared;
        length = 0;
        if (!body.StartsWith("#!"u8))
        {
            return null;
        }

        length = body.IndexOf((byte)'\n');
        if (length < 0)
        {
            return "ERR Invalid script shebang";
        }

        string[] parts = Split(body[..length]);
        if (parts.Length == 0)
        {
            return "ERR Invalid engine in script shebang";
        }

        if (parts[0] != "#!lua")
        {
            return $"ERR Unexpected engine in script shebang: {parts[0]}";
        }

        flags = ScriptFlags.None;
        foreach (string part in parts.AsSpan(1))
        {
            if (!part.StartsWith("flags=", StringComparison.Ordinal))
            {
                return $"ERR Unknown lua shebang option: {part}";
            }

            foreach (string name in part.Length == 6 ? [] : part[6..].Split(','))
            {
                if (!TryFlag(name, StringComparison.Ordinal, out ScriptFlags flag))
                {
                    return $"ERR Unexpected flag in script shebang: {name}";
                }

                flags |= flag;
            }
        }

        return null;
    }

    /// <summary>Reads the first line of a library; null: all is well.</summary>
    public static string? ReadLibrary(ReadOnlySpan<byte> code, out string engine, out string name, out int length)
    {
        engine = name = "";
        length = 0;
        if (!code.StartsWith("#!"u8))
        {
            return "ERR Missing library metadata";
        }

        length = code.IndexOf((byte)'\n');
        string[] parts = length < 0 ? [] : Split(code[..length]);
        if (parts.Length == 0)
        {
            return "ERR Invalid library metadata";
        }

        engine = parts[0][2..];
        bool named = false;
        foreach (string part in parts.AsSpan(1))
        {
            if (!part.StartsWith("name=", StringComparison.OrdinalIgnoreCase))
            {
                return $"ERR Invalid metadata value given: {part}";
            }

            if (named)
            {
                return "ERR Invalid metadata value, name argument was given multiple times";
            }

            named = true;
            name = part[5..];
        }

        return named ? null : "ERR Library name was not given";
    }

    /// <summary>Words as on a command line, quotes and all; none if a quote does not end.</summary>
    private static string[] Split(ReadOnlySpan<byte> line) => ConfigText.Split(Encoding.Latin1.GetString(line))?.ToArray() ?? [];

    /// <summary>Whether a name of a library or function is letters, digits and underscores.</summary>
    public static bool IsName(string name) => name.Length > 0 && name.All(static c => char.IsAsciiLetterOrDigit(c) || c == '_');
}
