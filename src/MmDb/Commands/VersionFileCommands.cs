using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>MIMEI EXPORT.</summary>
public static unsafe class VersionFileCommands
{
    private static readonly CommandSpec Export = new("export", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of blocks. Other clients wait for none of it.",
        Summary = "Writes versions into a CAR file, which any IPFS tool reads.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Args = [Arg.String("path"), Arg.Integer("version").Token("VERSION").MultipleWithToken().Optional()],
        Handler = &RunExport,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Export];

    private static void RunExport(CommandContext c)
    {
        var numbers = new List<ulong>();
        for (int i = 3; i < c.Count; i += 2)
        {
            if (i + 1 == c.Count || !c.Is(i, "version"u8))
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (!VersionListCommands.TryNumber(c, i + 1, out ulong number))
            {
                return;
            }

            numbers.Add(number);
        }

        if (!TryPath(c, 2, out string path) || !VersionCommands.TryVersions(c, c.Mimei, out Versioner versions))
        {
            return;
        }

        VersionCommands.Aside(c, c.Mimei, () => VersionExport.Write(versions, numbers, path), static (c, made) =>
        {
            c.Reply.Map(3);
            MimeiCommands.Field(c.Reply, "versions", made.Versions);
            MimeiCommands.Field(c.Reply, "blocks", made.Blocks);
            MimeiCommands.Field(c.Reply, "bytes", made.Bytes);
        });
    }

    /// <summary>A file on the node's disk; a relative path begins in the data folder. Or replies that it is none.</summary>
    private static bool TryPath(CommandContext c, int index, out string path)
    {
        ReadOnlySpan<byte> word = c[index].Span;
        path = "";
        if (word.IsEmpty || word.Contains((byte)0) || !System.Text.Unicode.Utf8.IsValid(word))
        {
            c.Error("ERR a path is a text in UTF-8"u8);
            return false;
        }

        path = Path.GetFullPath(System.Text.Encoding.UTF8.GetString(word), c.Server.Mimeis.Store?.Folder ?? Environment.CurrentDirectory);
        return true;
    }
}
