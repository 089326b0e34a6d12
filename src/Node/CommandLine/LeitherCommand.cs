using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using System.Net.Sockets;
using Leither.MmDb.Commands;
using Leither.Node.Configuration;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// The command line: <c>run</c> and <c>init</c>, whose arguments are redis-server's and so are not parsed here, <c>stop</c>, <c>status</c>, <c>doctor</c>, <c>bench</c>, <c>import</c>, <c>mimei</c>, <c>lapp</c>, <c>ipfs</c>, <c>swarm</c>, <c>dht</c>, <c>lpki</c>, and every other
/// word as a RESP command to the node that runs on a folder (so are <c>MIMEI</c>, <c>IPFS</c>, <c>SWARM</c> and <c>DHT</c> in capitals).
/// </summary>
internal static class LeitherCommand
{
    /// <summary>Commands after whose reply more arrives.</summary>
    private static readonly string[] _endless = ["subscribe", "psubscribe", "ssubscribe", "monitor"];

    /// <summary>Runs the command line; returns the exit code.</summary>
    public static int Run(string[] arguments)
    {
        if (arguments is ["--version" or "-v"])
        {
            Console.WriteLine($"Leither {ProductVersion.Text}");
            return 0;
        }

        (string[] own, string[] command, string? unknown) = Split(arguments);
        if (unknown is not null)
        {
            Console.Error.WriteLine(
                $"There is no option {unknown} before a command."
                + (unknown.StartsWith("--pass", StringComparison.Ordinal) || unknown == "-a" ? $" The password is taken from the environment variable {NodeClient.PasswordVariable}." : ""));
            Console.Error.WriteLine("More: leither --help");
            return 2;
        }

        OuterOptions outer = new();
        Argument<string[]> words = new("COMMAND")
        {
            Description = "A command for the running node and its arguments, as redis-cli takes them: SET greeting hello",
            Arity = ArgumentArity.ZeroOrMore,
        };
        RootCommand root = new("A MiMei node: Redis commands over versioned, content-addressed data.") { outer.Data, outer.Port, outer.User, words };
        root.Subcommands.Add(RunCommand.Create());
        root.Subcommands.Add(InitCommand.Create());
        root.Subcommands.Add(StopCommand.Create(outer));
        root.Subcommands.Add(StatusCommand.Create(outer));
        root.Subcommands.Add(DoctorCommand.Create(outer));
        root.Subcommands.Add(BenchCommand.Create(outer));
        root.Subcommands.Add(DocsCommand.Create(root));
        root.Subcommands.Add(ImportCommand.Create(outer));
        root.Subcommands.Add(MimeiCommand.Create(outer));
        root.Subcommands.Add(LappCommand.Create(outer));
        root.Subcommands.Add(IpfsCommand.Create(outer));
        root.Subcommands.Add(SwarmCommand.Create(outer));
        root.Subcommands.Add(DhtCommand.Create(outer));
        root.Subcommands.Add(LpkiCommand.Create(outer));
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new MimeiHelp((HelpAction)help.Action!);
        root.SetAction(result =>
        {
            if (command.Length > 0)
            {
                return Send(outer.PlaceOf(result), command);
            }

            return ((MimeiHelp)help.Action).Invoke(result);
        });

        // Ids may begin with a dash and a letter that an option has, and a text may begin with '@': neither is taken apart.
        ParseResult parsed = root.Parse(own, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });
        if (parsed.Action is MimeiHelp)
        {
            return parsed.Invoke();
        }

        if (parsed.Errors.Count == 0)
        {
            return Meaningless(parsed, outer) is { } option ? Misused($"{option} has no meaning for {parsed.CommandResult.Command.Name}.", parsed) : parsed.Invoke();
        }

        foreach (ParseError error in parsed.Errors)
        {
            Console.Error.WriteLine(error.Message);
        }

        return Misused(null, parsed);
    }

    private static int Misused(string? problem, ParseResult parsed)
    {
        if (problem is not null)
        {
            Console.Error.WriteLine(problem);
        }

        Console.Error.WriteLine($"More: leither {string.Join(' ', NamesOf(parsed.CommandResult).Append("--help"))}");
        return 2;
    }

    /// <summary>An option before a command's name that the command does not have: it would speak to another node than was meant, or as somebody else. Null: there is none.</summary>
    private static string? Meaningless(ParseResult parsed, OuterOptions outer)
    {
        if (parsed.CommandResult.Command is RootCommand)
        {
            return null;
        }

        for (CommandResult? one = parsed.CommandResult; one is { Command: not RootCommand }; one = one.Parent as CommandResult)
        {
            if (one.Command.Options.Any(static o => o.Name == "--port") && one.Command.Options.Any(static o => o.Name == "--user"))
            {
                return null;
            }
        }

        bool takesUser = parsed.CommandResult.Command.Options.Any(static o => o.Name == "--user");
        return parsed.GetResult(outer.Port) is not null ? outer.Port.Name : parsed.GetResult(outer.User) is not null && !takesUser ? outer.User.Name : null;
    }

    /// <summary>The names of a command, without the program's.</summary>
    private static IEnumerable<string> NamesOf(CommandResult command) =>
        command.Parent is CommandResult parent ? NamesOf(parent).Append(command.Command.Name) : [];

    /// <summary>
    /// What is ours ends at the first word that is neither an option nor its value: the rest belongs to a RESP command, options and all. Of a word before it that looks like an option
    /// and is none nobody knows whether the next one is its value.
    /// </summary>
    private static (string[] Own, string[] Command, string? Unknown) Split(string[] arguments)
    {
        for (int i = 0; i < arguments.Length; i++)
        {
            if (OuterOptions.IsName(arguments[i]))
            {
                i++;
            }
            else if (!arguments[i].StartsWith('-'))
            {
                return IsOurs(arguments[i]) ? (arguments, [], null) : (arguments[..i], arguments[i..], null);
            }
            else if (!OuterOptions.IsName(arguments[i].Split('=')[0]) && arguments[i] is not ("--help" or "-h" or "-?" or "--version"))
            {
                return (arguments, [], arguments[i]);
            }
        }

        return (arguments, [], null);
    }

    private static int Send(NodePlace place, string[] command)
    {
        string folder = place.Folder ?? DataFolder.Default;
        RunningNode? node = place.Port is { } port ? new RunningNode(0, "127.0.0.1", port, null, "") : DataFolder.Find(folder);
        if (node is null)
        {
            return NotRunning(place, command);
        }

        try
        {
            using NodeClient client = NodeClient.Connect(node);
            string password = Environment.GetEnvironmentVariable(NodeClient.PasswordVariable) ?? "";
            if (place.User is { } user)
            {
                // Whoever was named: as anybody else it would be another command.
                client.Send(["AUTH", user, password]);
                if (client.Read() is { IsError: true } refused)
                {
                    Console.Error.WriteLine($"AUTH failed: {refused.Text}{(password.Length == 0 && refused.Text.StartsWith("WRONGPASS", StringComparison.Ordinal) ? $"\nThe password is taken from the environment variable {NodeClient.PasswordVariable}" : "")}");
                    return 1;
                }
            }
            else if (password.Length > 0)
            {
                client.Send(["AUTH", password]);
                if (client.Read() is { IsError: true } refused)
                {
                    Console.Error.WriteLine($"AUTH failed: {refused.Text}");
                }
            }
            else if (place.Port is null || place.Folder is not null)
            {
                OwnPassport.LogIn(client, folder);
            }

            return Talk(client, command);
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable)
        {
            return NotRunning(place, command);
        }
        catch (Exception e) when (e is SocketException or InvalidDataException)
        {
            Console.Error.WriteLine($"The node on {(place.Port is { } there ? $"port {there}" : folder)} does not answer: {e.Message}");
            return 1;
        }
    }

    private static int Talk(NodeClient client, string[] command)
    {
        using Stream output = Console.OpenStandardOutput();
        bool endless = _endless.Contains(command[0].ToLowerInvariant());
        client.Send(command);
        int exitCode = 0;
        do
        {
            if (client.Read() is not { } reply)
            {
                // SHUTDOWN answers by going away.
                return 0;
            }

            ReplyPrinter.Print(reply, output, forPeople: !Console.IsOutputRedirected);
            exitCode = reply.IsError ? 1 : 0;
            if (reply.IsError)
            {
                Advise(command, isUnknown: reply.Text.StartsWith("ERR unknown command", StringComparison.Ordinal));
            }
        }
        while (endless);
        return exitCode;
    }

    /// <summary>What else somebody may have meant whose words were no good as a Redis command.</summary>
    private static void Advise(string[] command, bool isUnknown)
    {
        if (isUnknown)
        {
            string name = command[0].ToLowerInvariant();
            Console.Error.WriteLine(name != command[0] && IsOurs(name) ? $"Did you mean leither {name}?" : $"'{command[0]}' is no command of leither's own either; those that there are: leither --help");
        }

        if (command.Skip(1).FirstOrDefault(OuterOptions.IsName) is { } option)
        {
            Console.Error.WriteLine($"{option} behind a Redis command is a word of it. Options stand before it: leither {option} … {command[0]} …");
        }
    }

    private static bool IsOurs(string word) => word is "run" or "init" or "stop" or "status" or "doctor" or "bench" or "docs" or "import" or "mimei" or "lapp" or "ipfs" or "swarm" or "dht" or "lpki";

    private static int NotRunning(NodePlace place, string[] command)
    {
        Console.Error.WriteLine(
            place.Port is { } port ? $"No node runs on port {port} of this machine, so there is nobody to send {command[0]} to."
            : $"""
            No node runs on the data folder {place.Folder ?? DataFolder.Default}, so there is nobody to send {command[0]} to.
            Start one with: leither run --data {place.Folder ?? DataFolder.Default}
            """);
        Advise(command, isUnknown: CommandTable.Shared.FindFull(command[0]) is null);
        return 1;
    }
}
