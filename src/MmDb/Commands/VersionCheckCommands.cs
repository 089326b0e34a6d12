using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>MIMEI CHECK.</summary>
public static unsafe class VersionCheckCommands
{
    private static readonly CommandSpec Check = new("check", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of blocks of all versions, and the length of the log. Other clients wait for none of it.",
        Summary = "Verifies every block, hash and signature of all versions, and the log; repairs what it can.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Args = [Arg.Word("purge", "PURGE").Optional()],
        Handler = &RunCheck,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Check];

    private static void RunCheck(CommandContext c)
    {
        bool purge = c.Count == 3 && c.Is(2, "purge"u8);
        if (c.Count > 2 && !purge)
        {
            c.Error(Errors.Syntax);
            return;
        }

        Mimei mimei = c.Mimei;
        if (!VersionCommands.TryVersions(c, mimei, out Versioner versions))
        {
            return;
        }

        // A purge collects by itself, so no collection may be held up: see Versioner.Pin.
        Server server = c.Server;
        LongWork work = VersionCommands.Begin(c, "check");
        c.Await<CheckReport>(
            done =>
            {
                mimei.Hold();
                mimei.Log?.Flush();
                server.RunAside(() => new VersionCheck(versions, mimei.Log, work).Run(purge), (report, problem) =>
                {
                    mimei.Release();
                    done(report, problem);
                });
            },
            (c, report) =>
            {
                c.Reply.Map(purge ? 8 : 6);
                MimeiCommands.Field(c.Reply, "versions", report.Versions);
                MimeiCommands.Field(c.Reply, "blocks", report.Blocks);
                MimeiCommands.Field(c.Reply, "bytes", report.Bytes);
                MimeiCommands.Field(c.Reply, "segments", report.Segments);
                MimeiCommands.Field(c.Reply, "trimmed", report.Trimmed);
                List(c, "problems"u8, report.Problems);
                if (purge)
                {
                    MimeiCommands.Field(c.Reply, "freed", report.Freed);
                    List(c, "held"u8, report.Held);
                }
            });
    }

    private static void List(CommandContext c, ReadOnlySpan<byte> name, IReadOnlyList<string> lines)
    {
        c.Reply.Bulk(name);
        c.Reply.Array(lines.Count);
        foreach (string line in lines)
        {
            c.Reply.Bulk(System.Text.Encoding.UTF8.GetBytes(line));
        }
    }
}
