using System.Text;
using Leither.MmDb.Configuration;

namespace Leither.MmDb.Commands;

/// <summary>CONFIG: the declared settings, shown, changed while the server runs, and written back to their file.</summary>
public static unsafe class ConfigCommands
{
    /// <summary>CONFIG</summary>
    public static readonly CommandSpec Config = new("config", -2)
    {
        Since = "2.0.0",
        Group = CommandGroup.Server,
        Complexity = "Depends on subcommand.",
        Summary = "A container for server configuration commands.",
        Flags = CommandFlags.EndsBatch,
        Subcommands =
        [
            new("get", -3)
            {
                Since = "2.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) when N is the number of configuration parameters provided",
                Summary = "Returns the effective values of configuration parameters.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                History = [("7.0.0", "Added the ability to pass multiple pattern parameters in one call")],
                Args = [Arg.String("parameter").Multiple()],
                Handler = &RunGet,
            },
            new("help", 2)
            {
                Since = "5.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("resetstat", 2)
            {
                Since = "2.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Resets the server's statistics.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Handler = &RunResetStat,
            },
            new("rewrite", 2)
            {
                Since = "2.8.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Persists the effective configuration to file.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Handler = &RunRewrite,
            },
            new("set", -4)
            {
                Since = "2.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) when N is the number of configuration parameters provided",
                Summary = "Sets configuration parameters in-flight.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale,
                History = [("7.0.0", "Added the ability to set multiple parameters in one call.")],
                Tips = ["request_policy:all_nodes", "response_policy:all_succeeded"],
                Args = [Arg.Block("data", Arg.String("parameter"), Arg.String("value")).Multiple()],
                Handler = &RunSet,
            },
        ],
    };

    /// <summary>CONFIG SET, whose values may be secrets.</summary>
    internal static readonly CommandSpec Set = CommandTable.FindSub(Config, "set");

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Config];

    private static void RunGet(CommandContext c)
    {
        string[] patterns = new string[c.Count - 2];
        for (int i = 0; i < patterns.Length; i++)
        {
            patterns[i] = c.Text(i + 2);
        }

        IReadOnlyList<(string Name, string Value)> found = c.Server.Settings.Match(
            patterns, static (pattern, name) => GlobPattern.Matches(Encoding.Latin1.GetBytes(pattern), Encoding.Latin1.GetBytes(name), ignoreCase: true));
        c.Reply.Map(found.Count);
        foreach ((string name, string value) in found)
        {
            c.Reply.Bulk(Encoding.Latin1.GetBytes(name));
            c.Reply.Bulk(Encoding.Latin1.GetBytes(value));
        }
    }

    private static void RunSet(CommandContext c)
    {
        if (c.Count % 2 != 0)
        {
            c.Error(Errors.Syntax);
            return;
        }

        var pairs = new (string Name, string Value)[(c.Count - 2) / 2];
        for (int i = 0; i < pairs.Length; i++)
        {
            pairs[i] = (c.Text((i * 2) + 2), c.Text((i * 2) + 3));
        }

        if (c.Server.Settings.Set(pairs, c.Session.Connection.IsLocal) is { } error)
        {
            c.Error("ERR " + error);
        }
        else
        {
            c.Reply.Ok();
        }
    }

    private static void RunResetStat(CommandContext c)
    {
        c.Server.ResetStatistics();
        c.Reply.Ok();
    }

    private static void RunRewrite(CommandContext c)
    {
        string file = c.Server.ConfigFile;
        if (file.Length == 0)
        {
            c.Error("ERR The server is running without a config file"u8);
            return;
        }

        try
        {
            // A new file takes the old one's place in one step: a crash leaves one or the other.
            string text = File.Exists(file) ? File.ReadAllText(file, Encoding.Latin1) : "";
            bool hasUserFile = c.Server.Settings.Get(ConfigKeys.AclFile).Length > 0;
            string temporary = file + ".new";
            File.Delete(temporary);
            using (FileStream made = new(temporary, Privately(file)))
            {
                // It has passwords: nobody may read it who could not read the old one, not even while it is written.
            }

            File.WriteAllText(temporary, ConfigRewriter.Rewrite(text, c.Server.Settings, hasUserFile ? [] : c.Server.Users.Lines), Encoding.Latin1);
            File.Move(temporary, file, overwrite: true);
            c.Reply.Ok();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            c.Error($"ERR Rewriting config file: {e.Message}");
        }
    }

    private static FileStreamOptions Privately(string like)
    {
        FileStreamOptions options = new() { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = File.Exists(like) ? File.GetUnixFileMode(like) : UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return options;
    }

    private static void RunHelp(CommandContext c) => c.Help(
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.");
}
