using System.Globalization;
using Leither.MmDb.Rights;
using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>The subcommands of MIMEI that change which versions there are and how they are called.</summary>
public static unsafe class VersionListCommands
{
    private static readonly CommandSpec Release = new("release", 3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of versions.",
        Summary = "Says which version its author, or who writes it for him, stands for: the one that VERSION release opens.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Need = new MimeiNeed(MimeiRight.Publish),
        Args = [Arg.String("version").Shown("version|''")],
        Handler = &RunRelease,
    };

    private static readonly CommandSpec DelVers = new("delvers", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of versions. Their blocks are collected in the background.",
        Summary = "Deletes versions, and returns how many.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Args = [Arg.Integer("version").Multiple()],
        Handler = &RunDelVers,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Release, DelVers];

    private static void RunRelease(CommandContext c)
    {
        ulong number = 0;
        if (c[2].Length > 0 && !TryNumber(c, 2, out number))
        {
            return;
        }

        if (!VersionCommands.TryVersions(c, c.Mimei, out Versioner versions))
        {
            return;
        }

        if (!versions.MayWrite)
        {
            c.Error("READONLY a version is released by the MiMei's author, whose key is not on this node, or where his certificate lets another node write: MIMEI TAKEOVER"u8);
            return;
        }

        VersionCommands.Aside(
            c,
            c.Mimei,
            () =>
            {
                if (number != 0 && versions.List.Find(number).IsNone)
                {
                    throw Versioner.NoSuchVersion(number);
                }

                versions.List.Release(number);
                return true;
            },
            static (c, _) => c.Reply.Ok());
    }

    private static void RunDelVers(CommandContext c)
    {
        var numbers = new HashSet<ulong>();
        for (int i = 2; i < c.Count; i++)
        {
            if (!TryNumber(c, i, out ulong number))
            {
                return;
            }

            numbers.Add(number);
        }

        if (!VersionCommands.TryVersions(c, c.Mimei, out Versioner versions))
        {
            return;
        }

        Mimei mimei = c.Mimei;
        VersionCommands.Aside(
            c,
            mimei,
            () =>
            {
                versions.Delete(numbers);
                return mimei.Shown is null ? null : VersionHistory.Newest(mimei);
            },
            (c, newest) =>
            {
                if (newest is not null)
                {
                    c.Mimei.Show(newest);
                }

                c.Mimei.Versions?.Step();
                c.Reply.Integer(numbers.Count);
            });
    }

    /// <summary>A version's number; or replies that the word is none.</summary>
    internal static bool TryNumber(CommandContext c, int index, out ulong number)
    {
        if (ulong.TryParse(c.Text(index), NumberStyles.None, CultureInfo.InvariantCulture, out number) && number > 0)
        {
            return true;
        }

        c.Error("ERR a version is a number from 1 on; MIMEI VERSIONS lists those that there are"u8);
        return false;
    }
}
