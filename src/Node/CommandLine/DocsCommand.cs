using System.CommandLine;
using System.Globalization;
using System.Text;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.Node.Configuration;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither docs DIR</c>: writes the reference pages, each from the source that the program itself uses: the help of the command line, the table behind COMMAND DOCS, and what the
/// commented configuration file says. A test fails when docs/ of the repository is not what this writes.
/// </summary>
internal static class DocsCommand
{
    private const string Origin = "<!-- Made by `leither docs docs` from the program's own help: change that. -->\n\n";

    /// <summary>The command, for the command line.</summary>
    /// <param name="root">The whole command line.</param>
    public static Command Create(RootCommand root)
    {
        MimeiVerb docs = new("docs", "DIR", "Writes the reference pages of commands, command line and configuration into a folder.")
        {
            Of = "",
            Details = "They are made of what --help, COMMAND DOCS and the configuration file of leither init say.",
            Json = "",
            Examples = ["docs docs"],
        };
        docs.SetAction(result =>
        {
            try
            {
                string folder = docs.Words(result, 1, 1)[0];
                Directory.CreateDirectory(folder);
                foreach ((string name, string text) in Pages(root))
                {
                    File.WriteAllText(Path.Combine(folder, name), text);
                }

                return 0;
            }
            catch (CommandLineException e)
            {
                Console.Error.WriteLine(e.Message);
                return e.ExitCode;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Console.Error.WriteLine(e.Message);
                return 1;
            }
        });
        return docs;
    }

    private static IEnumerable<(string Name, string Text)> Pages(RootCommand root) =>
        [("command-line.md", CommandLine(root)), ("commands.md", Commands()), ("configuration.md", Configuration())];

    private static string CommandLine(RootCommand root)
    {
        StringBuilder page = new(Origin);
        page.Append("# The command line\n\nWhat `--help` says of each command. Any other word is sent to the node as a Redis command: `leither SET greeting hello`.\nOptions (`--data DIR`, `-p PORT`, `--user NAME`) stand before it, and what follows it is the command's: `leither --user ann GET greeting`.\n");
        Append(page, root, root, []);
        return page.ToString();
    }

    private static void Append(StringBuilder page, RootCommand root, Command command, string[] path)
    {
        if (path.Length > 0)
        {
            StringWriter help = new(CultureInfo.InvariantCulture);
            root.Parse([.. path, "--help"]).Invoke(new InvocationConfiguration { Output = help });
            page.Append('\n').Append('#', path.Length + 1).Append(" leither ").AppendJoin(' ', path).Append("\n\n```\n").Append(help.ToString().ReplaceLineEndings("\n").Trim()).Append("\n```\n");
        }

        foreach (Command inner in command.Subcommands.Where(static c => !c.Hidden))
        {
            Append(page, root, inner, [.. path, inner.Name]);
        }
    }

    private static string Commands()
    {
        StringBuilder page = new(Origin);
        page.Append("# Commands\n\nWhat `COMMAND DOCS` says of each: what it takes, what it costs, and since which version of Redis it is (those of the groups mimei and some others are Leither's own).\n");
        foreach (IGrouping<CommandGroup, CommandSpec> group in CommandTable.Shared.All.Where(static c => !c.IsSystem).GroupBy(static c => c.Group).OrderBy(static g => g.Key))
        {
            page.Append(CultureInfo.InvariantCulture, $"\n## {group.Key}\n\n| command | | cost | since |\n| --- | --- | --- | --- |\n");
            foreach (CommandSpec command in group.OrderBy(static c => c.Name, StringComparer.Ordinal))
            {
                foreach (CommandSpec one in command.Subcommands.Length == 0 ? (IEnumerable<CommandSpec>)[command] : command.Subcommands.OrderBy(static c => c.Name, StringComparer.Ordinal))
                {
                    StringBuilder usage = new(one.FullName.Replace('|', ' ').ToUpperInvariant());
                    foreach (Arg argument in one.Args)
                    {
                        usage.Append(' ').Append(Usage(argument));
                    }

                    string old = one.DeprecatedSince is null ? "" : $" Deprecated{(one.ReplacedBy is { } by ? $": {by}" : "")}.";
                    page.Append(CultureInfo.InvariantCulture, $"| `{usage.Replace("|", "\\|")}` | {Cell(one.Summary + old)} | {Cell(one.Complexity)} | {one.Since} |\n");
                }
            }
        }

        return page.ToString();
    }

    /// <summary>An argument as redis.io writes it.</summary>
    private static string Usage(Arg argument)
    {
        string inner = argument.Kind switch
        {
            ArgKind.PureToken => "",
            ArgKind.OneOf => string.Join(" | ", argument.Children.Select(Usage)),
            ArgKind.Block => string.Join(' ', argument.Children.Select(Usage)),
            _ => argument.DisplayText ?? argument.Name,
        };
        string one = argument.TokenText is { } token ? (token.Length == 0 ? "\"\"" : token) + (inner.Length == 0 ? "" : argument.Kind == ArgKind.OneOf ? $" <{inner}>" : " " + inner)
            : argument is { Kind: ArgKind.OneOf, IsOptional: false } ? $"<{inner}>" : inner;
        string all = argument.IsMultiple ? argument.IsMultipleToken || argument.TokenText is null ? $"{one} [{one} …]" : $"{one} [{inner} …]" : one;
        return argument.IsOptional ? $"[{all}]" : all;
    }

    private static string Configuration()
    {
        StringBuilder page = new(Origin);
        page.Append(CultureInfo.InvariantCulture, $"""
            # Configuration

            Every key can be set in the configuration file (`{NodeConfig.FileName}` in the data folder, which `leither init` writes; or `leither run FILE`) as `key value`, by an environment
            variable, or as an argument, `leither run --key value`. What comes later in this list wins. Most can change while the node runs: `CONFIG SET key value`, and `CONFIG REWRITE` to keep it.

            """);
        foreach (ConfigSection section in ConfigReference.Sections)
        {
            page.Append(CultureInfo.InvariantCulture, $"\n## {section.Title}\n\n| key | default | | environment | at run time |\n| --- | --- | --- | --- | --- |\n");
            foreach (ConfigEntry entry in section.Entries)
            {
                string when = entry.Key.Flags.HasFlag(ConfigFlags.Immutable) ? "no" : entry.Key.Flags.HasFlag(ConfigFlags.Protected) ? "protected" : "yes";
                string value = ConfigReference.DefaultOf(entry) is { } given and not "\"\"" ? $"`{Cell(given)}`" : "";
                page.Append(CultureInfo.InvariantCulture, $"| `{entry.Key.Name}` | {value} | {Cell(entry.Text)} | `{ConfigReference.VariableOf(entry.Key)}` | {when} |\n");
            }
        }

        page.Append("\n## Accepted without meaning\n\nKeys of Redis that files may have, and nothing here depends on:\n");
        page.AppendJoin(", ", ConfigReference.WithoutMeaning.Select(static k => $"`{k.Name}`")).Append(".\n");
        return page.ToString();
    }

    private static string Cell(string text) => text.ReplaceLineEndings(" ").Replace("|", "\\|", StringComparison.Ordinal);
}
