using System.Globalization;
using Leither.MmDb.RedisReplication;
using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>MIMEI CHECK.</summary>
public static unsafe class VersionCheckCommands
{
    private static readonly CommandSpec Check = new("check", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of blocks of all versions, and the length of the log. Other clients wait for none of it.",
        Summary = "Verifies every block, hash and signature of all versions, and the log; repairs what it can. PURGE leaves no byte of what was deleted.",
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
                void Run(VersionPurge? purging) => server.RunAside(() => new VersionCheck(versions, mimei.Log, work).Run(purging), (report, problem) =>
                {
                    mimei.Release();
                    done(report, problem);
                });

                if (!purge)
                {
                    Run(null);
                }
                else if (mimei.Checkpointer is { } checkpointer)
                {
                    checkpointer.Purge((made, problem) => Run(new VersionPurge(made, problem, Followers(server, mimei))));
                }
                else
                {
                    Run(new VersionPurge(null, null, Followers(server, mimei)));
                }
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

    /// <summary>Who else may hold what was in a MiMei: those who got it by Redis's replication.</summary>
    private static List<string> Followers(Server server, Mimei mimei)
    {
        var found = new List<string>();
        Replicator replication = server.Replication;
        if (mimei == server.DefaultMimei)
        {
            var now = new HashSet<string>();
            foreach (Session replica in replication.Replicas)
            {
                string name = Replicator.NameOf(replica);
                if (now.Add(name))
                {
                    found.Add($"the Redis replica {name}, which follows this MiMei");
                }
            }

            foreach ((string name, long lastMs) in replication.FormerReplicas)
            {
                if (!now.Contains(name))
                {
                    found.Add(string.Create(
                        CultureInfo.InvariantCulture, $"the Redis replica {name}, which followed this MiMei until {DateTimeOffset.FromUnixTimeMilliseconds(lastMs):yyyy-MM-ddTHH:mm:ssZ}"));
                }
            }

            if (replication.Master is { } master)
            {
                found.Add($"the Redis master {master.Host}:{master.Port}, which this MiMei follows");
            }
        }

        if (found.Count == 0)
        {
            found.Add("no follower that this node knows of: none follows this MiMei, nor did since the node started");
        }

        return found;
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
