namespace Leither.TestKit;

/// <summary>A folder that lives as long as this object.</summary>
public sealed class TempDir : IDisposable
{
    public TempDir(string name = "leither") => Path = Directory.CreateTempSubdirectory(name + "-").FullName;

    public string Path { get; }

    public string File(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Deletes it, with all that is in it. A killed server's child may still write for a moment.</summary>
    public void Dispose() => Wait.Until(() =>
    {
        try
        {
            Directory.Delete(Path, recursive: true);
            return true;
        }
        catch (DirectoryNotFoundException)
        {
            return !Directory.Exists(Path);
        }
        catch (IOException)
        {
            return false;
        }
    });

    public override string ToString() => Path;
}
