using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>MIMEI EXPORT and MIMEI IMPORT.</summary>
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

    private static readonly CommandSpec Import = new("import", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of blocks. Other clients wait for none of it.",
        Summary = "Reads versions out of a CAR file, and checks every byte of them.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Args = [Arg.String("path"), Arg.Integer("version").Token("VERSION").MultipleWithToken().Optional()],
        Handler = &RunImport,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Export, Import];

    private static void RunExport(CommandContext c)
    {
        if (TryNumbers(c, out List<ulong> numbers) && TryPath(c, 2, out string path) && VersionCommands.TryVersions(c, c.Mimei, out Versioner versions))
        {
            VersionCommands.Long(c, c.Mimei, "export", work => VersionExport.Write(versions, numbers, path, work), static (c, made) =>
            {
                c.Reply.Map(3);
                MimeiCommands.Field(c.Reply, "versions", made.Versions);
                MimeiCommands.Field(c.Reply, "blocks", made.Blocks);
                MimeiCommands.Field(c.Reply, "bytes", made.Bytes);
            });
        }
    }

    private static void RunImport(CommandContext c)
    {
        if (!TryNumbers(c, out List<ulong> numbers) || !TryPath(c, 2, out string path))
        {
            return;
        }

        if (c.Server.Mimeis.Store is not { } store)
        {
            c.Error(MimeiCommands.NoStore);
            return;
        }

        Server server = c.Server;
        LongWork work = VersionCommands.Begin(c, "import");
        c.Await<ImportReport>(done => new Importer(server, store, path, numbers, work, done).Run(), static (c, report) =>
        {
            c.Reply.Map(9);
            MimeiCommands.Field(c.Reply, "mid", report.Mimei.Id.ToString());
            MimeiCommands.Field(c.Reply, "new", report.IsNew ? 1 : 0);
            MimeiCommands.Field(c.Reply, "writable", report.IsWritable ? 1 : 0);
            MimeiCommands.Field(c.Reply, "newest", (long)report.Newest);
            MimeiCommands.Field(c.Reply, "added", report.Added);
            MimeiCommands.Field(c.Reply, "present", report.Present);
            MimeiCommands.Field(c.Reply, "blocks", report.Blocks);
            MimeiCommands.Field(c.Reply, "bytes", report.Bytes);
            MimeiCommands.Field(c.Reply, "leftout", report.LeftOut);
        });
    }

    private static bool TryNumbers(CommandContext c, out List<ulong> numbers)
    {
        numbers = [];
        for (int i = 3; i < c.Count; i += 2)
        {
            if (i + 1 == c.Count || !c.Is(i, "version"u8))
            {
                c.Error(Errors.Syntax);
                return false;
            }

            if (!VersionListCommands.TryNumber(c, i + 1, out ulong number))
            {
                return false;
            }

            numbers.Add(number);
        }

        return true;
    }

    /// <summary>A file on the node's disk; a relative path begins in the data folder. Or replies that it is none.</summary>
    internal static bool TryPath(CommandContext c, int index, out string path)
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
