using System.Globalization;

namespace Leither.MmDb.Rights;

/// <summary>What somebody may do with a MiMei. The numbers are those of the bits in a mask, and stand in files.</summary>
[Flags]
public enum MimeiRight
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Read keys and versions, and have it on a node of one's own.</summary>
    Read = 1,

    /// <summary>Change keys, and bring back what there was at a version.</summary>
    Write = 2,

    /// <summary>Make versions.</summary>
    Backup = 4,

    /// <summary>Make it known, and say which version is the released one.</summary>
    Publish = 8,

    /// <summary>Give and take rights, of those that one has.</summary>
    Grant = 16,

    /// <summary>Publish and subscribe.</summary>
    Messages = 32,

    /// <summary>Run scripts and functions.</summary>
    Scripts = 64,

    /// <summary>Everything.</summary>
    All = Read | Write | Backup | Publish | Grant | Messages | Scripts,
}

/// <summary>For whom a part of a mask is: eight bits each, in this order from the lowest.</summary>
public enum MimeiClass
{
    /// <summary>Anybody at all, known or not.</summary>
    Everyone,

    /// <summary>Members of a group for which nothing else is said.</summary>
    Groups,

    /// <summary>Members for whom nothing else is said.</summary>
    Members,

    /// <summary>The author. Whatever stands there, he may do everything.</summary>
    Owner,
}

/// <summary>The words for rights.</summary>
public static class MimeiRightWords
{
    private static readonly (string Word, MimeiRight Right)[] _words =
    [
        ("read", MimeiRight.Read), ("write", MimeiRight.Write), ("backup", MimeiRight.Backup), ("publish", MimeiRight.Publish), ("grant", MimeiRight.Grant),
        ("messages", MimeiRight.Messages), ("scripts", MimeiRight.Scripts),
    ];

    /// <summary>All words of single rights.</summary>
    public static IEnumerable<string> All => _words.Select(static w => w.Word);

    /// <summary>The words of some rights, in their order; none where there are none.</summary>
    public static string[] Of(MimeiRight rights) => [.. _words.Where(w => (rights & w.Right) != 0).Select(static w => w.Word)];

    /// <summary>Reads a word, whatever its case: a right, <c>all</c>, <c>none</c>, or the number of some rights together.</summary>
    public static bool TryParse(string word, out MimeiRight rights)
    {
        string lower = word.ToLowerInvariant();
        if (int.TryParse(lower, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
        {
            rights = (MimeiRight)number & MimeiRight.All;
            return number <= (int)MimeiRight.All;
        }

        rights = lower == "all" ? MimeiRight.All : Array.Find(_words, w => w.Word == lower).Right;
        return rights != MimeiRight.None || lower == "none";
    }
}
