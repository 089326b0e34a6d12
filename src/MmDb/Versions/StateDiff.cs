using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Values;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>A key that two states do not have alike.</summary>
/// <param name="Database">The number of its database.</param>
/// <param name="Name">Its name.</param>
/// <param name="Old">Its type in the first state; null: it is not there.</param>
/// <param name="New">Its type in the second state; null: it is not there.</param>
internal readonly record struct KeyDifference(int Database, byte[] Name, DataType? Old, DataType? New);

/// <summary>Compares two states, at the cost of what differs.</summary>
internal static class StateDiff
{
    /// <summary>Where a comparison begins, and what its next part is called when it is over.</summary>
    public const string Start = "0";

    /// <summary>The changed items of all databases from a place on.</summary>
    public static IEnumerable<(int Database, TreeChange Change)> Items(NodeStore store, StateRoot old, StateRoot current, int database = 0, ReadOnlyMemory<byte> from = default)
    {
        foreach (int number in old.Databases.Keys.Union(current.Databases.Keys).Where(n => n >= database).Order())
        {
            foreach (TreeChange change in TreeDiff.Compare(store, old.Database(number), current.Database(number), number == database ? from : default))
            {
                yield return (number, change);
            }
        }
    }

    /// <summary>A part of a comparison.</summary>
    /// <param name="store">Where the blocks are.</param>
    /// <param name="old">The first state.</param>
    /// <param name="current">The second.</param>
    /// <param name="cursor">Where to begin: <see cref="Start"/>, or what the part before gave.</param>
    /// <param name="count">How many differing keys to look at.</param>
    /// <param name="pattern">What a name must match.</param>
    /// <returns>The place of the next part (<see cref="Start"/>: there is none), and the keys.</returns>
    /// <exception cref="MimeiException">The cursor is none.</exception>
    public static (string Cursor, List<KeyDifference> Keys) Compare(NodeStore store, StateRoot old, StateRoot current, string cursor, long count, byte[] pattern)
    {
        (int database, byte[] from) = Parse(cursor);
        var found = new List<KeyDifference>();
        foreach ((int number, TreeChange change) in Items(store, old, current, database, from))
        {
            if (count-- == 0)
            {
                return (Format(number, change.Key.Span), found);
            }

            DataType? before = TypeOf(store, change.Old.Span, out byte[] name), after = TypeOf(store, change.New.Span, out byte[] newName);
            name = before is null ? newName : name;
            if (GlobPattern.Matches(pattern, name))
            {
                found.Add(new KeyDifference(number, name, before, after));
            }
        }

        return (Start, found);
    }

    /// <summary>As <see cref="Compare"/>, of the files of two states.</summary>
    /// <exception cref="MimeiException">The cursor is none.</exception>
    public static (string Cursor, List<FileDifference> Files) CompareFiles(IBlockSource blocks, in Cid old, in Cid current, string cursor, long count, byte[] pattern)
    {
        (_, byte[] from) = Parse(cursor);
        var found = new List<FileDifference>();
        foreach (FileDifference file in FilesDiff.Items(blocks, old, current, Encoding.UTF8.GetString(from)))
        {
            byte[] path = Encoding.UTF8.GetBytes(file.Path);
            if (count-- == 0)
            {
                return (Format(0, path), found);
            }

            if (GlobPattern.Matches(pattern, path))
            {
                found.Add(file);
            }
        }

        return (Start, found);
    }

    private static DataType? TypeOf(NodeStore store, ReadOnlySpan<byte> item, out byte[] name)
    {
        name = [];
        if (item.IsEmpty)
        {
            return null;
        }

        var entry = new StateItem(store, item);
        name = entry.Name.ToArray();
        return StateSource.TypeOf(entry.Kind);
    }

    private static string Format(int database, ReadOnlySpan<byte> key) =>
        string.Create(CultureInfo.InvariantCulture, $"{database}-{Base64Url.EncodeToString(key)}");

    private static (int Database, byte[] From) Parse(string cursor)
    {
        if (cursor == Start)
        {
            return (0, []);
        }

        int dash = cursor.IndexOf('-', StringComparison.Ordinal);
        if (dash <= 0 || !int.TryParse(cursor.AsSpan(0, dash), NumberStyles.None, CultureInfo.InvariantCulture, out int database) || !Base64Url.IsValid(cursor.AsSpan(dash + 1)))
        {
            throw new MimeiException("ERR invalid cursor");
        }

        return (database, Base64Url.DecodeFromChars(cursor.AsSpan(dash + 1)));
    }
}
