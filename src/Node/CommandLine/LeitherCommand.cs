using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using System.Net.Sockets;
using Leither.Node.Configuration;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// The command line: <c>run</c> and <c>init</c>, whose arguments are redis-server's and so are not parsed here, <c>stop</c>, <c>status</c>, <c>doctor</c>, <c>bench</c>, <c>import</c>, <c>mimei</c>, <c>ipfs</c>, <c>swarm</c>, <c>dht</c>, <c>lpki</c>, and every other
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

        (string[] own, string[] command) = Split(arguments);
        Option<string?> data = new("--data")
        {
            Description = $"The data folder of the node to talk to [default: {DataFolder.DefaultName}]",
            HelpName = "DIR",
        };
        Argument<string[]> words = new("COMMAND")
        {
            Description = "A command for the running node and its arguments, as redis-cli takes them: SET greeting hello",
            Arity = ArgumentArity.ZeroOrMore,
        };
        RootCommand root = new("A MiMei node: Redis commands over versioned, content-addressed data.") { data, words };
        root.Subcommands.Add(RunCommand.Create());
        root.Subcommands.Add(InitCommand.Create());
        root.Subcommands.Add(StopCommand.Create(data));
        root.Subcommands.Add(StatusCommand.Create(data));
        root.Subcommands.Add(DoctorCommand.Create(data));
        root.Subcommands.Add(BenchCommand.Create(data));
        root.Subcommands.Add(DocsCommand.Create(root));
        root.Subcommands.Add(ImportCommand.Create(data));
        root.Subcommands.Add(MimeiCommand.Create(data));
        root.Subcommands.Add(IpfsCommand.Create(data));
        root.Subcommands.Add(SwarmCommand.Create(data));
        root.Subcommands.Add(DhtCommand.Create(data));
        root.Subcommands.Add(LpkiCommand.Create(data));
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new MimeiHelp((HelpAction)help.Action!);
        root.SetAction(result =>
        {
            if (command.Length > 0)
            {
                return Send(result.GetValue(data) ?? DataFolder.Default, command);
            }

            return ((MimeiHelp)help.Action).Invoke(result);
        });

        // Ids may begin with a dash and a letter that an option has, and a text may begin with '@': neither is taken apart.
        ParseResult parsed = root.Parse(own, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });
        if (parsed.Errors.Count == 0 || parsed.Action is MimeiHelp)
        {
            return parsed.Invoke();
        }

        foreach (ParseError error in parsed.Errors)
        {
            Console.Error.WriteLine(error.Message);
        }

        Console.Error.WriteLine($"More: leither {string.Join(' ', NamesOf(parsed.CommandResult).Append("--help"))}");
        return 2;
    }

    /// <summary>The names of a command, without the program's.</summary>
    private static IEnumerable<string> NamesOf(CommandResult command) =>
        command.Parent is CommandResult parent ? NamesOf(parent).Append(command.Command.Name) : [];

    /// <summary>What is ours ends at the first word that is neither an option nor its value: the rest belongs to a RESP command, options and all.</summary>
    private static (string[] Own, string[] Command) Split(string[] arguments)
    {
        for (int i = 0; i < arguments.Length; i++)
        {
            if (arguments[i] == "--data")
            {
                i++;
            }
            else if (!arguments[i].StartsWith('-'))
            {
                return arguments[i] is "run" or "init" or "stop" or "status" or "doctor" or "bench" or "docs" or "import" or "mimei" or "ipfs" or "swarm" or "dht" or "lpki" ? (arguments, []) : (arguments[..i], arguments[i..]);
            }
        }

        return (arguments, []);
    }

    private static int Send(string folder, string[] command)
    {
        if (DataFolder.Find(folder) is not { } node)
        {
            return NotRunning(folder, command);
        }

        try
        {
            using NodeClient client = NodeClient.Connect(node);
            if (Environment.GetEnvironmentVariable(NodeClient.PasswordVariable) is { Length: > 0 } password)
            {
                client.Send(["AUTH", password]);
                if (client.Read() is { IsError: true } refused)
                {
                    Console.Error.WriteLine($"AUTH failed: {refused.Text}");
                }
            }
            else
            {
                OwnPassport.LogIn(client, folder);
            }

            return Talk(client, command);
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable)
        {
            return NotRunning(folder, command);
        }
        catch (Exception e) when (e is SocketException or InvalidDataException)
        {
            Console.Error.WriteLine($"The node on {folder} does not answer: {e.Message}");
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
        }
        while (endless);
        return exitCode;
    }

    private static int NotRunning(string folder, string[] command)
    {
        Console.Error.WriteLine($"""
            No node runs on the data folder {folder}, so there is nobody to send {command[0]} to.
            Start one with: leither run --data {folder}
            """);
        return 1;
    }
}
