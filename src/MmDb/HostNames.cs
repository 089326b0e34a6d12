using System.Collections.Frozen;
using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;

namespace Leither.MmDb;

/// <summary>
/// The names of hosts under which the node shows MiMei of files to browsers (MIMEI DOMAIN). Kept in the data folder, in a file of lines:
/// <code>host mid</code>
/// </summary>
/// <remarks>Finding one is for any thread, changing them for the loop's.</remarks>
public sealed class HostNames
{
    /// <summary>The most that there may be.</summary>
    public const int MaxNames = 10_000;

    private const string FileName = "hosts";

    /// <summary>The DNS has no longer names, and no longer labels.</summary>
    private const int MaxLength = 253, MaxLabel = 63;

    private readonly DiskFolder? _folder;
    private readonly Lock _keeping = new();
    private volatile FrozenDictionary<string, LeitherId> _names = FrozenDictionary<string, LeitherId>.Empty;

    /// <summary>Reads the names of a data folder.</summary>
    /// <param name="folder">The folder; null: none are kept.</param>
    /// <exception cref="IOException">The file cannot be read, or is damaged.</exception>
    public HostNames(string? folder)
    {
        if (folder is null)
        {
            return;
        }

        _folder = DiskFolder.Make(folder);
        string path = _folder.FullName(FileName);
        if (!File.Exists(path))
        {
            return;
        }

        var names = new Dictionary<string, LeitherId>(StringComparer.OrdinalIgnoreCase);
        foreach (string line in File.ReadLines(path))
        {
            string[] words = line.Split(' ');
            if (words.Length != 2 || !IsName(words[0]) || !LeitherId.TryParse(words[1], out LeitherId mid))
            {
                throw new IOException($"{path}, which names the hosts that show MiMei, is damaged: '{line[..Math.Min(line.Length, 80)]}'. Mend the line, or delete it");
            }

            names[words[0]] = mid;
        }

        _names = names.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>All, in the order of their names.</summary>
    public IEnumerable<KeyValuePair<string, LeitherId>> All => _names.OrderBy(static n => n.Key, StringComparer.Ordinal);

    /// <summary>Finds what a host shows.</summary>
    public bool TryFind(string host, out LeitherId mid) => _names.TryGetValue(host, out mid);

    /// <summary>
    /// Whether a host may be called so: letters, digits and hyphens with dots between them, as the DNS has them; no address, and none of the names under which the node
    /// answers for itself or shows content by its CID.
    /// </summary>
    public static bool IsName(string host) =>
        host.Length is > 0 and <= MaxLength && !host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        && !host.EndsWith(".ipfs.localhost", StringComparison.OrdinalIgnoreCase) && !host.EndsWith(".ipns.localhost", StringComparison.OrdinalIgnoreCase)
        && host.Split('.') is var labels && !labels[^1].All(char.IsAsciiDigit)
        && labels.All(static label => label.Length is > 0 and <= MaxLabel && label[0] != '-' && label[^1] != '-' && label.All(static c => char.IsAsciiLetterOrDigit(c) || c == '-'));

    /// <summary>Makes a host show a MiMei from now on, or nothing any more; <see cref="Keep"/> makes it last.</summary>
    internal void Set(string host, LeitherId? mid)
    {
        var names = new Dictionary<string, LeitherId>(_names, StringComparer.OrdinalIgnoreCase);
        names.Remove(host);
        if (mid is { } shown)
        {
            names[host.ToLowerInvariant()] = shown;
        }

        _names = names.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>Writes the names as they are by now, durably. On any thread.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    internal void Keep()
    {
        if (_folder is not { } folder)
        {
            return;
        }

        lock (_keeping)
        {
            const string unfinished = FileName + ".new";
            folder.Delete(unfinished);
            using (IFile file = folder.Create(unfinished))
            {
                file.WriteAll(0, Encoding.ASCII.GetBytes(string.Concat(All.Select(static n => $"{n.Key} {n.Value}\n"))));
                file.Sync();
            }

            folder.Rename(unfinished, FileName);
            folder.SyncDirectory();
        }
    }
}
