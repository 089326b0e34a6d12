using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Globalization;
using Leither.Ipfs.Keys;
using Leither.MmDb.Commands;
using Leither.Node.Configuration;

namespace Leither.Node.CommandLine;

/// <summary>
/// One command of <c>leither mimei</c>, <c>lapp</c>, <c>ipfs</c>, <c>swarm</c> or <c>dht</c>. Its words are told apart here and not by the parser: the MiMei comes first and may be left out, and ids may begin
/// with '-'.
/// </summary>
internal sealed class MimeiVerb : Command
{
    private readonly Argument<string[]> _words = new("WORDS") { Arity = ArgumentArity.ZeroOrMore, Hidden = true };

    /// <summary>Creates one.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="usage">The words that it takes, as its help shows them.</param>
    /// <param name="summary">What it does, in a line.</param>
    public MimeiVerb(string name, string usage, string summary) : base(name, summary)
    {
        Usage = usage;
        Arguments.Add(_words);
    }

    /// <summary>The command that it belongs to; empty: it stands alone.</summary>
    public string Of { get; init; } = "mimei";

    /// <summary>It as people write it behind the program's name.</summary>
    public string FullName => Of.Length == 0 ? Name : $"{Of} {Name}";

    /// <summary>The words that it takes.</summary>
    public string Usage { get; }

    /// <summary>What else there is to say about it.</summary>
    public string Details { get; init; } = "";

    /// <summary>The fields that <c>--json</c> prints. They stay as they are; others may join them. Empty: it prints none.</summary>
    public required string Json { get; init; }

    /// <summary>The word behind which any word may follow; null: there is none.</summary>
    public string? Rest { get; init; }

    /// <summary>What its exit codes mean.</summary>
    public string ExitCodes { get; init; } = "0 done, 1 it could not be done, 2 the command line is wrong";

    /// <summary>Command lines as examples.</summary>
    public required string[] Examples { get; init; }

    /// <summary>The words of a command line that are no options.</summary>
    /// <exception cref="CommandLineException">There are too few or too many, or what was meant as an option is none.</exception>
    public string[] Words(ParseResult result, int min, int max)
    {
        string[] words = result.GetValue(_words) ?? [];
        if (words.TakeWhile(w => w != Rest).FirstOrDefault(static w => w.Length > 1 && w.StartsWith('-') && !LeitherId.TryParse(w, out _)) is { } option)
        {
            throw Misused(Of is "mimei" or "lapp" ? $"There is no option {option}, and it is no id of a MiMei" : $"There is no option {option}");
        }

        return words.Length < min ? throw Misused("Something is missing") : words.Length > max ? throw Misused($"There is no meaning for '{words[max]}'") : words;
    }

    /// <summary>The error of a wrong command line.</summary>
    public CommandLineException Misused(string problem) =>
        new($"{problem}.\nUsage: leither {FullName}{(Usage.Length == 0 ? "" : " ")}{Usage}\nMore:  leither {FullName} --help", isUsage: true);

    /// <summary>Whether a word means a version: cur, last, release or a number.</summary>
    public static bool IsVersion(string word) =>
        (word.Length > 0 && word.All(char.IsAsciiDigit))
        || word.Equals("cur", StringComparison.OrdinalIgnoreCase) || word.Equals("last", StringComparison.OrdinalIgnoreCase)
        || word.Equals("release", StringComparison.OrdinalIgnoreCase);
}

/// <summary>The help of the command line; that of <see cref="MimeiVerb"/> has examples and the fields of JSON.</summary>
internal sealed class MimeiHelp(HelpAction usual) : SynchronousCommandLineAction
{
    private const int Column = 22;

    /// <inheritdoc/>
    public override bool ClearsParseErrors => true;

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        TextWriter output = parseResult.InvocationConfiguration.Output;
        Command command = parseResult.CommandResult.Command;
        if (command.Subcommands.Any(static c => c is MimeiVerb))
        {
            string name = command is RootCommand ? "leither" : $"leither {command.Name}";
            output.WriteLine($"{command.Description}\n\nUsage:\n  {name} COMMAND …\n\nCommands:");
            foreach (Command one in command.Subcommands)
            {
                // What follows an empty line is for its own help.
                output.WriteLine($"  {one.Name,-10} {one.Description?.ReplaceLineEndings("\n").Split('\n')[0]}");
            }

            output.WriteLine(command is RootCommand ? "\nOptions:" : "\nOptions of all commands:");
            WriteOptions(output, command.Options);
            output.WriteLine($"\nMore of each: {name} COMMAND --help");
            if (command is RootCommand)
            {
                output.WriteLine("Any other word is a Redis command for the running node: leither SET greeting hello");
                output.WriteLine("Options stand before it, what follows it is the command's: leither --user ann GET greeting");
            }

            return 0;
        }

        if (command is not MimeiVerb verb)
        {
            return usual.Invoke(parseResult);
        }

        output.WriteLine(verb.Description);
        if (verb.Details.Length > 0)
        {
            output.WriteLine();
            output.WriteLine(verb.Details);
        }

        output.WriteLine($"\nUsage:\n  leither {verb.FullName}{(verb.Usage.Length == 0 ? "" : " ")}{verb.Usage}");
        if (verb.Of == "mimei" && verb.Usage.Contains("MID", StringComparison.Ordinal))
        {
            output.WriteLine("\n  MID is the id of a MiMei (27 characters, the first of which may be '-') or its name on this node.");
            if (verb.Usage.Contains("[MID]", StringComparison.Ordinal))
            {
                output.WriteLine("  Left out, it is the node's default MiMei.");
            }
        }

        if (verb.Of == "lapp" && verb.Usage.Contains("APP", StringComparison.Ordinal))
        {
            output.WriteLine("\n  APP is the id of an app's MiMei (27 characters, the first of which may be '-') or its name on the node.");
            if (verb.Usage.Contains("[APP] ", StringComparison.Ordinal))
            {
                output.WriteLine("  Left out, it is the one that the passport is for.");
            }
        }

        output.WriteLine("\nOptions:");
        WriteOptions(output, verb.Options.Concat(verb.Parents.OfType<Command>().SelectMany(static c => c.Options).Where(static o => o.Recursive && o is not HelpOption and not VersionOption)));

        if (verb.Json.Length > 0)
        {
            output.WriteLine($"\nJSON (--json):\n  {verb.Json.ReplaceLineEndings("\n  ")}");
            output.WriteLine("""  Where it fails: {"error": text}""");
        }

        output.WriteLine($"\nExit codes:\n  {verb.ExitCodes}");
        output.WriteLine("\nExamples:");
        foreach (string example in verb.Examples)
        {
            output.WriteLine($"  leither {(verb.Of.Length == 0 ? "" : verb.Of + " ")}{example}");
        }

        return 0;
    }

    private static void WriteOptions(TextWriter output, IEnumerable<Option> options)
    {
        foreach (Option option in options)
        {
            // The parser knows more ways to ask for help than anybody needs.
            string names = option is HelpOption ? "-h, --help" : string.Join(", ", option.Aliases.Prepend(option.Name).Distinct().OrderBy(static n => n.Length));
            string left = $"  {names}{(option.HelpName is { } value ? " " + value : "")}";
            output.WriteLine(left.Length < Column ? left.PadRight(Column) + option.Description : $"{left}\n{"",Column}{option.Description}");
        }
    }
}

/// <summary>The options before the name of a command, or before a Redis command: which node, and who.</summary>
internal sealed class OuterOptions
{
    /// <summary>Which node.</summary>
    public Option<string?> Data { get; } = MakeData();

    /// <summary>Which node, by its port.</summary>
    public Option<long?> Port { get; } = MakePort("-p");

    /// <summary>Who.</summary>
    public Option<string?> User { get; } = MakeUser();

    /// <summary>Which node a command line speaks to.</summary>
    public NodePlace PlaceOf(ParseResult result) => new(result.GetValue(Data), (int?)result.GetValue(Port), result.GetValue(User));

    /// <summary>Whether a word is one of these, whose value is the next word.</summary>
    public static bool IsName(string word) => word is "--data" or "--port" or "-p" or "--user";

    /// <summary>Makes an option for the data folder.</summary>
    public static Option<string?> MakeData() => new("--data") { Description = $"The data folder of the node [default: {DataFolder.DefaultName}]", HelpName = "DIR" };

    /// <summary>Makes an option for the port.</summary>
    /// <param name="aliases">What else it is called.</param>
    public static Option<long?> MakePort(params string[] aliases) => MimeiOptions.Number(new("--port", aliases) { Description = "The port of the node on this machine, instead of its data folder", HelpName = "PORT" }, ushort.MaxValue);

    /// <summary>Makes an option for the user.</summary>
    public static Option<string?> MakeUser() => new("--user") { Description = $"The user to log in as; the password is taken from ${NodeClient.PasswordVariable}", HelpName = "NAME" };
}

/// <summary>The options that all commands of <c>leither mimei</c> have.</summary>
/// <param name="outer">The options before the command's name.</param>
/// <param name="passport">How one comes with a passport, where one can.</param>
internal sealed class MimeiOptions(OuterOptions outer, PassportOptions? passport = null)
{
    /// <summary>Which node.</summary>
    public Option<string?> Data { get; } = Everywhere(OuterOptions.MakeData());

    /// <summary>Which node, by its port.</summary>
    public Option<long?> Port { get; } = Everywhere(passport?.Passport.Aliases.Contains("-p") == true ? OuterOptions.MakePort() : OuterOptions.MakePort("-p"));

    /// <summary>Who.</summary>
    public Option<string?> User { get; } = Everywhere(OuterOptions.MakeUser());

    /// <summary>For whom.</summary>
    public Option<bool> Json { get; } = new("--json") { Description = "Print the result as JSON", Recursive = true };

    /// <summary>How one comes with a passport; null: not with these commands.</summary>
    public PassportOptions? Passport { get; } = passport;

    /// <summary>Which node a command line speaks to, and as whom.</summary>
    /// <exception cref="CommandLineException">It names two nodes, or a key without the passport that it is for.</exception>
    public NodePlace PlaceOf(MimeiVerb verb, ParseResult result) => Passport is null ? PlaceOf(result) : Passport.PlaceOf(verb, result, PlaceOf(result));

    /// <summary>Which node of this machine a command line speaks to.</summary>
    public NodePlace PlaceOf(ParseResult result) =>
        new(result.GetValue(Data) ?? result.GetValue(outer.Data), (int?)(result.GetValue(Port) ?? result.GetValue(outer.Port)), result.GetValue(User) ?? result.GetValue(outer.User));

    /// <summary>Makes an option one of a command and of all beneath it.</summary>
    internal static T Everywhere<T>(T option) where T : Option
    {
        option.Recursive = true;
        return option;
    }

    /// <summary>Makes an option take a number from 1 on, or from another, and say so.</summary>
    public static Option<long?> Number(Option<long?> option, long max = long.MaxValue, long min = 1)
    {
        option.CustomParser = argument =>
        {
            if (long.TryParse(argument.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number >= min && number <= max)
            {
                return number;
            }

            argument.AddError($"{option.Name} takes a number from {min} on{(max < long.MaxValue ? $" to {max}" : "")}, not '{argument.Tokens[0].Value}'");
            return null;
        };
        return option;
    }

    /// <summary>Makes an option refuse a value before anything is done, and say why.</summary>
    /// <param name="option">The option.</param>
    /// <param name="isValid">Whether a value is one.</param>
    /// <param name="wanted">What is one: what follows "takes".</param>
    public static Option<string?> Valid(Option<string?> option, Predicate<string> isValid, string wanted)
    {
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var value }] && !isValid(value))
            {
                result.AddError($"{option.Name} takes {wanted}, not '{value}'");
            }
        });
        return option;
    }

    /// <summary>Makes an option take what a MiMei may be called.</summary>
    public static Option<string?> Name(Option<string?> option) => Valid(
        option, MimeiCommands.IsName, $"up to {MimeiCommands.MaxNameLength} letters, digits, '.', '_' and '-' that begin with a letter or digit and are no id");

    /// <summary>Makes an option take the address of a server.</summary>
    public static Option<string?> Address(Option<string?> option) => Valid(option, static address => TrySplit(address, out _, out _), "HOST:PORT");

    /// <summary>Parts an address of a server: HOST:PORT.</summary>
    public static bool TrySplit(string address, out string host, out int port)
    {
        int colon = address.LastIndexOf(':');
        host = address[..Math.Max(colon, 0)].Trim('[', ']');
        return int.TryParse(address.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) && port is > 0 and <= ushort.MaxValue && host.Length > 0;
    }
}
