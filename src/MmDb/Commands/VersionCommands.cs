using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>The subcommands of MIMEI that are about versions.</summary>
public static unsafe class VersionCommands
{
    private static readonly CommandSpec Backup = new("backup", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is what changed since the version before; of the first one, all keys. Clients wait for none of it.",
        Summary = "Makes a version of what there is now, and returns its number.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Args = [Arg.String("text").Token("MEMO").Optional()],
        Handler = &RunBackup,
    };

    private static readonly CommandSpec Versions = new("versions", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of versions.",
        Summary = "Lists the versions of a MiMei.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti,
        Args = [Arg.String("mid").Shown("mid|name").Optional()],
        Handler = &RunVersions,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Backup, Versions];

    private static ReadOnlySpan<byte> NoVersions => "ERR this server keeps no files, so there is no place for versions"u8;

    private static void RunBackup(CommandContext c)
    {
        string memo = "";
        if (c.Count != 2)
        {
            if (c.Count != 4 || !c.Is(2, "memo"u8))
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (c[3].Length > MimeiVersion.MaxMemoBytes || !System.Text.Unicode.Utf8.IsValid(c[3].Span))
            {
                c.Error($"ERR a memo is text in UTF-8 of at most {MimeiVersion.MaxMemoBytes} bytes");
                return;
            }

            memo = c.Text(3);
        }

        if (TryVersions(c, c.Mimei, out Versioner versions))
        {
            c.Await<MimeiVersion>(done => versions.Backup(memo, done), static (c, version) => c.Reply.Integer((long)version.Number));
        }
    }

    private static void RunVersions(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (c.Count == 2)
        {
            ListVersions(c, c.Mimei.Current ?? c.Mimei);
        }
        else if (MimeiCommands.TryFind(c, 2, out MimeiEntry entry))
        {
            c.UseMimei(entry, default, static (c, mimei) => ListVersions(c, mimei));
        }
    }

    private static void ListVersions(CommandContext c, Mimei mimei)
    {
        if (!TryVersions(c, mimei, out Versioner versions))
        {
            return;
        }

        mimei.Hold();
        c.Aside(
            () =>
            {
                var found = new List<(Cid Block, MimeiVersion Version)>();
                foreach ((ulong number, Cid block) in versions.List.All)
                {
                    found.Add((block, versions.Read(number)));
                }

                found.Reverse();
                return (Mimei: mimei, Found: found, versions.List.Released);
            },
            static (c, list) =>
            {
                list.Mimei.Release();
                c.Reply.Array(list.Found.Count);
                foreach ((Cid block, MimeiVersion version) in list.Found)
                {
                    c.Reply.Map(6);
                    c.Reply.Bulk("version"u8);
                    c.Reply.Integer((long)version.Number);
                    MimeiCommands.Field(c.Reply, "cid", block.ToString());
                    MimeiCommands.Field(c.Reply, "state", version.State.ToString());
                    c.Reply.Bulk("created"u8);
                    c.Reply.Integer(version.CreatedMs);
                    MimeiCommands.Field(c.Reply, "memo", version.Memo);
                    MimeiCommands.Field(c.Reply, "released", version.Number == list.Released ? "yes" : "no");
                }
            },
            mimei.Release);
    }

    private static bool TryVersions(CommandContext c, Mimei mimei, out Versioner versions)
    {
        versions = mimei.Versions!;
        if (mimei.Current is not null)
        {
            c.Error(VersionHistory.WriteRefusal(mimei));
            return false;
        }

        if (mimei.Versions is null)
        {
            c.Error(NoVersions);
            return false;
        }

        return true;
    }
}
