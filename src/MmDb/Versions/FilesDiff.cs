using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;

namespace Leither.MmDb.Versions;

/// <summary>A file or folder that two states do not have alike.</summary>
/// <param name="Path">Its path, names with slashes between them; "/" is the root.</param>
/// <param name="Old">What it is in the first state ("file", "directory", "symlink"); null: it is not there.</param>
/// <param name="New">What it is in the second state; null: it is not there.</param>
internal readonly record struct FileDifference(string Path, string? Old, string? New);

/// <summary>Compares the files of two states, at the cost of what differs: folders with equal CIDs are not looked into.</summary>
internal static class FilesDiff
{
    /// <summary>The names of a folder on both sides, in order, and how far they were looked at.</summary>
    private sealed class Folder(string path, SortedDictionary<string, (Cid Old, Cid New)> entries)
    {
        public string Path => path;

        public Queue<KeyValuePair<string, (Cid Old, Cid New)>> Left { get; } = new(entries);
    }

    /// <summary>All that differs from a place on, folders before what is in them, by the bytes of names.</summary>
    /// <param name="blocks">Where the blocks are.</param>
    /// <param name="old">The root of the first; none: it has no files.</param>
    /// <param name="current">The root of the second.</param>
    /// <param name="from">The path to begin with; empty: all.</param>
    /// <exception cref="IOException">A block is missing or damaged.</exception>
    public static IEnumerable<FileDifference> Items(IBlockSource blocks, Cid old, Cid current, string from = "")
    {
        string[] place = from is "" or "/" ? [] : from.Split('/');
        var open = new Stack<Folder>();
        if (old != current && Look("/", old, current) is { } root && place.Length == 0)
        {
            yield return root;
        }

        while (open.TryPeek(out Folder? folder))
        {
            if (!folder.Left.TryDequeue(out KeyValuePair<string, (Cid Old, Cid New)> entry))
            {
                open.Pop();
                continue;
            }

            // On the way to where it goes on, folders are looked into and not told again.
            int depth = open.Count - 1, order = depth < place.Length ? string.CompareOrdinal(entry.Key, place[depth]) : 1;
            if (order < 0)
            {
                continue;
            }

            bool isOnTheWay = order == 0 && depth < place.Length - 1;
            place = isOnTheWay ? place : [];
            if (Look(folder.Path + entry.Key, entry.Value.Old, entry.Value.New) is { } found && !isOnTheWay)
            {
                yield return found;
            }
        }

        // Opens what are folders; of those on both sides only what is in them differs.
        FileDifference? Look(string path, Cid before, Cid after)
        {
            (string? was, UnixFsNode? first) = Read(before);
            (string? now, UnixFsNode? second) = Read(after);
            if (first is not null || second is not null)
            {
                var entries = new SortedDictionary<string, (Cid Old, Cid New)>(StringComparer.Ordinal);
                foreach (UnixFsLink link in first is null ? [] : UnixFsDirectory.List(blocks, first))
                {
                    entries.TryAdd(link.Name, (link.Cid, default));
                }

                foreach (UnixFsLink link in second is null ? [] : UnixFsDirectory.List(blocks, second))
                {
                    Cid other = entries.GetValueOrDefault(link.Name).Old;
                    if (other == link.Cid)
                    {
                        entries.Remove(link.Name);
                    }
                    else
                    {
                        entries[link.Name] = (other, link.Cid);
                    }
                }

                open.Push(new Folder(path == "/" ? "" : path + "/", entries));
            }

            return first is not null && second is not null ? null : new FileDifference(path, was, now);
        }

        (string? Type, UnixFsNode? Folder) Read(Cid cid)
        {
            if (cid.IsNone || cid.Codec == Multicodec.Raw)
            {
                return (cid.IsNone ? null : "file", null);
            }

            UnixFsNode node = UnixFsNode.Load(blocks, cid);
            return (node.IsDirectory ? "directory" : node.IsFile ? "file" : "symlink", node.IsDirectory ? node : null);
        }
    }
}
