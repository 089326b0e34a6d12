using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.MmDb.Checkpoints;

/// <summary>The checkpoints in a folder.</summary>
internal static class CheckpointFiles
{
    /// <summary>How many are kept: should the newest turn out damaged, the one before and the log after it give the same state.</summary>
    public const int Kept = 2;

    /// <summary>The checkpoints' names and positions, newest first.</summary>
    public static List<(string Name, Position Position)> List(IFolder files)
    {
        var found = new List<(string Name, Position Position)>();
        foreach ((string name, _) in files.List())
        {
            if (CheckpointFormat.TryParseName(name, out Position position))
            {
                found.Add((name, position));
            }
        }

        found.Sort(static (a, b) =>
        {
            int order = b.Position.Epoch.CompareTo(a.Position.Epoch);
            return order != 0 ? order : b.Position.Sequence.CompareTo(a.Position.Sequence);
        });
        return found;
    }

    /// <summary>Deletes those that are no longer needed, and what unfinished ones left. Returns the position from which on the log is still needed.</summary>
    public static Position DeleteOld(IFolder files)
    {
        List<(string Name, Position Position)> found = List(files);
        for (int i = Kept; i < found.Count; i++)
        {
            files.Delete(found[i].Name);
        }

        return found.Count == 0 ? default : found[Math.Min(found.Count, Kept) - 1].Position;
    }

    /// <summary>Deletes all that are older than one, durably. Returns their bytes.</summary>
    public static long DeleteBefore(IFolder files, string name)
    {
        long freed = 0;
        bool isNewer = true;
        Dictionary<string, long> lengths = files.List().ToDictionary(static f => f.Name, static f => f.Length);
        foreach ((string each, _) in List(files))
        {
            if (!isNewer)
            {
                freed += lengths.GetValueOrDefault(each);
                files.Delete(each);
            }

            isNewer &= each != name;
        }

        files.SyncDirectory();
        return freed;
    }

    /// <summary>Deletes all but that of a position, durably; null: all.</summary>
    public static void DeleteOthers(IFolder files, Position? kept) => DeleteAll(files, position => position != kept);

    /// <summary>Deletes all that hold an entry behind one, durably.</summary>
    public static void DeleteBehind(IFolder files, ulong sequence) => DeleteAll(files, position => position.Sequence > sequence);

    private static void DeleteAll(IFolder files, Predicate<Position> which)
    {
        foreach ((string name, Position position) in List(files))
        {
            if (which(position))
            {
                files.Delete(name);
            }
        }

        files.SyncDirectory();
    }

    /// <summary>Deletes what unfinished ones left.</summary>
    public static void DeleteTemporary(IFolder files)
    {
        foreach ((string name, _) in files.List())
        {
            if (CheckpointFormat.IsTemporary(name))
            {
                files.Delete(name);
            }
        }
    }
}
