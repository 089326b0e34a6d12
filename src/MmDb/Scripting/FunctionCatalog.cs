using System.Diagnostics.CodeAnalysis;

namespace Leither.MmDb.Scripting;

/// <summary>
/// The source of a MiMei's function libraries: what the log and checkpoints carry. Compiled they are kept by <see cref="FunctionLibraries"/>, which
/// follows <see cref="Version"/>.
/// </summary>
public sealed class FunctionCatalog
{
    private readonly List<(string Name, byte[] Code)> _libraries = [];

    /// <summary>Changes whenever a library does.</summary>
    public long Version { get; private set; }

    /// <summary>The libraries, in the order in which they came.</summary>
    public IReadOnlyList<(string Name, byte[] Code)> Libraries => _libraries;

    /// <summary>A library's source.</summary>
    public bool TryGet(string name, [NotNullWhen(true)] out byte[]? code)
    {
        int at = _libraries.FindIndex(l => l.Name == name);
        code = at < 0 ? null : _libraries[at].Code;
        return code is not null;
    }

    internal void Set(string name, byte[] code)
    {
        Version++;
        _libraries.RemoveAll(l => l.Name == name);
        _libraries.Add((name, code));
    }

    internal void Remove(string name)
    {
        Version++;
        _libraries.RemoveAll(l => l.Name == name);
    }

    internal void Clear()
    {
        Version++;
        _libraries.Clear();
    }
}
