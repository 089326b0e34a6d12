using System.Text.Json;

namespace Leither.Node.Configuration;

/// <summary>A data folder cannot be used. The message says why and what to do.</summary>
public sealed class DataFolderException : Exception
{
    /// <summary>Creates the exception.</summary>
    public DataFolderException(string message, Exception? inner = null) : base(message, inner)
    {
    }
}

/// <summary>How the node of a folder is reached, as it says itself in the folder.</summary>
/// <param name="Pid">Its process.</param>
/// <param name="Host">An address it listens on.</param>
/// <param name="Port">Its TCP port; 0 when it has none.</param>
/// <param name="UnixSocket">Its Unix socket, if it has one.</param>
/// <param name="Version">Its version.</param>
public sealed record RunningNode(int Pid, string Host, int Port, string? UnixSocket, string Version);

/// <summary>
/// The folder in which a node keeps everything, held by one node at a time: <c>lock</c> is locked while it runs (the system lets
/// go of it whatever ends the process), and <c>node.json</c> tells commands where it listens.
/// </summary>
public sealed class DataFolder : IDisposable
{
    private const string LockFile = "lock";
    private const string NodeFile = "node.json";

    private readonly FileStream _lock;

    private DataFolder(string path, FileStream held)
    {
        Path = path;
        _lock = held;
    }

    /// <summary>Where it is.</summary>
    public string Path { get; }

    /// <summary><see cref="Default"/> in help texts, which are the same on every machine.</summary>
    public const string DefaultName = "~/.leither";

    /// <summary><c>$LEITHER_DATA</c>, or <c>$XDG_DATA_HOME/leither</c>, where such a variable is set, otherwise <c>~/.leither</c>.</summary>
    public static string Default
    {
        get
        {
            if ((Environment.GetEnvironmentVariable("LEITHER_DATA") ?? Environment.GetEnvironmentVariable("LEITHER_DIR")) is { Length: > 0 } given)
            {
                return given;
            }

            string? shared = Environment.GetEnvironmentVariable("XDG_DATA_HOME");
            return string.IsNullOrEmpty(shared)
                ? System.IO.Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".leither")
                : System.IO.Path.Combine(shared, "leither");
        }
    }

    /// <summary>Makes the folder where it is missing, and holds it until disposed.</summary>
    /// <exception cref="DataFolderException">Another node holds it, or it cannot be written.</exception>
    public static DataFolder Open(string path)
    {
        string full = System.IO.Path.GetFullPath(path);
        try
        {
            if (!Directory.Exists(full))
            {
                CreatePrivate(full);
            }

            string file = System.IO.Path.Combine(full, LockFile);
            return new DataFolder(full, new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0));
        }
        catch (IOException e) when (Directory.Exists(full) && Find(full) is { } other)
        {
            throw new DataFolderException($"""
                The data folder {full} is in use by another node (process {other.Pid}{(other.Port > 0 ? $", port {other.Port}" : "")}).
                Stop that one:          leither stop --data {full}
                or use another folder:  leither run --data DIR -p PORT
                """, e);
        }
        catch (IOException e) when (IsHeld(full))
        {
            // Who holds it has not said yet where it listens.
            throw new DataFolderException($"The data folder {full} is in use by another process: a node that starts or stops just now, or leither import. Try again, or choose a folder with --data", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataFolderException($"The data folder {full} cannot be used: {e.Message}", e);
        }
    }

    /// <summary>Whether a node, or a command that has a folder for itself, holds it now.</summary>
    public static bool IsHeld(string path)
    {
        string file = System.IO.Path.Combine(path, LockFile);
        if (!File.Exists(file))
        {
            return false;
        }

        try
        {
            // Shared with others who only look; who holds the folder shares with nobody.
            using FileStream look = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            return false;
        }
        catch (FileNotFoundException)
        {
            return false;
        }
        catch (IOException)
        {
            return true;
        }
        catch (UnauthorizedAccessException)
        {
            // Somebody else's folder: its node says where it listens, if it does.
            return Find(path) is not null;
        }
    }

    /// <summary>The node that last said that it runs on a folder, or null.</summary>
    public static RunningNode? Find(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(System.IO.Path.Combine(path, NodeFile)));
            JsonElement node = document.RootElement;
            return new RunningNode(
                node.GetProperty("pid").GetInt32(),
                node.GetProperty("host").GetString()!,
                node.GetProperty("port").GetInt32(),
                node.GetProperty("unixSocket").GetString(),
                node.GetProperty("version").GetString()!);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>Tells commands where the node listens.</summary>
    public void Announce(RunningNode node)
    {
        string file = System.IO.Path.Combine(Path, NodeFile);
        using (FileStream stream = File.Create(file + ".new"))
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("pid", node.Pid);
            json.WriteString("host", node.Host);
            json.WriteNumber("port", node.Port);
            json.WriteString("unixSocket", node.UnixSocket);
            json.WriteString("version", node.Version);
            json.WriteEndObject();
        }

        File.Move(file + ".new", file, overwrite: true);
    }

    /// <summary>Takes back the announcement and lets go of the folder.</summary>
    public void Dispose()
    {
        File.Delete(System.IO.Path.Combine(Path, NodeFile));
        _lock.Dispose();
    }

    private static void CreatePrivate(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(path);
        }
        else
        {
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }
}
