namespace Leither.TestKit;

/// <summary>A folder that lives as long as this object.</summary>
public sealed class TempDir : IDisposable
{
    public TempDir(string name = "leither") => Path = Directory.CreateTempSubdirectory(name + "-").FullName;

    public string Path { get; }

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);

    public override string ToString() => Path;
}
