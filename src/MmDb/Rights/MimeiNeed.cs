using Leither.MmDb.Commands;

namespace Leither.MmDb.Rights;

/// <summary>
/// What a command asks for of a user who is let in by lists of rights: which right, and in which MiMei. A command on MiMei that says nothing of the kind is not for such users.
/// </summary>
/// <param name="Right">One of these is needed.</param>
/// <param name="MidAt">The word that names the MiMei; 0, or a word that is left out: the one that the connection is bound to.</param>
internal sealed record MimeiNeed(MimeiRight Right, int MidAt = 0)
{
    /// <summary>Words behind the subcommand that need another right than the rest.</summary>
    public string[] Readers { get; init; } = [];

    /// <summary>What is needed with one of them.</summary>
    public MimeiRight ReadersNeed { get; init; }

    /// <summary>One of these is needed for a command with these words.</summary>
    public MimeiRight Of(ArgView words)
    {
        foreach (string reader in Readers)
        {
            if (words.Count > 2 && words[2].EqualsIgnoreCase(System.Text.Encoding.ASCII.GetBytes(reader)))
            {
                return ReadersNeed;
            }
        }

        return Right;
    }
}
