using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions;

/// <summary>What of a MiMei's versions is kept because something refers to it (<see cref="MimeiReference"/>). It never changes: a new one takes its place.</summary>
/// <param name="Versions">Versions, each with who refers to it.</param>
/// <param name="Whole">Who refers to the MiMei as a whole; null: nobody.</param>
/// <param name="Blocks">Blocks that the MiMei itself refers to.</param>
internal sealed record ReferredVersions(IReadOnlyDictionary<ulong, string> Versions, string? Whole, IReadOnlyList<Cid> Blocks)
{
    /// <summary>Nothing refers to anything.</summary>
    public static ReferredVersions None { get; } = new(new Dictionary<ulong, string>(), null, []);

    /// <summary>Why versions must not go; null: they may.</summary>
    /// <param name="numbers">The versions.</param>
    /// <param name="list">All there are.</param>
    public string? Refusal(IReadOnlySet<ulong> numbers, VersionList list)
    {
        foreach (ulong number in numbers)
        {
            if (Versions.TryGetValue(number, out string? who))
            {
                return $"ERR version {number} is referred to by MiMei {who}: MIMEI REF DEL there, and it can be deleted";
            }

            if (Blocks.Contains(list.Find(number)))
            {
                return $"ERR version {number} is referred to as {list.Find(number)} by the MiMei itself: MIMEI REF DEL, and it can be deleted";
            }
        }

        return Whole is not null && list.All.Count > 0 && list.All.All(v => numbers.Contains(v.Number))
            ? $"ERR MiMei {Whole} refers to this one: at least one version stays, until MIMEI REF DEL there"
            : null;
    }

    /// <summary>Whether a version is kept for itself.</summary>
    public bool Keeps(ListedVersion version) => Versions.ContainsKey(version.Number) || Blocks.Contains(version.Block);
}
