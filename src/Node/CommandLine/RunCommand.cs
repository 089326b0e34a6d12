using System.CommandLine;
using Leither.Node.Configuration;

namespace Leither.Node.CommandLine;

/// <summary>The help of <c>leither run</c>, whose arguments are not parsed by the command line but as redis-server parses its own.</summary>
internal static class RunCommand
{
    /// <summary>What an option of run and init is called, which both take.</summary>
    private static readonly (string[] Names, string Value, string Text)[] _shared =
    [
        (["-p"], "PORT", $"The port, short for --port [default: {MmDb.Configuration.ConfigKeys.DefaultPort}]"),
        (["-b", "--bootstrap"], "HOST", "A peer that leads into a network: HOST, HOST:PORT or a multiaddr; may be given again. Short for --swarm-bootstrap"),
        (["--data"], "DIR", $"The data folder, the same as --dir; $LEITHER_DATA, $XDG_DATA_HOME/leither or ~/.leither [default: {DataFolder.DefaultName}]"),
    ];

    /// <summary>The command, for the command line.</summary>
    public static Command Create()
    {
        MimeiVerb run = new("run", "[FILE] [-d] [--KEY VALUE…]", "Runs a node until it is told to stop (leither stop, SIGINT, SIGTERM, SHUTDOWN).")
        {
            Of = "",
            Details = $"""
                Takes what redis-server takes: a configuration file, - for the standard input, and --KEY VALUE… for every key of
                the configuration, such as --appendfsync always, --maxmemory 2gb, --requirepass SECRET. Where no file is named,
                it is {NodeConfig.FileName} of the data folder, if leither init wrote one; nothing has to be set up before.
                What is set for a key last is used: the file, then the environment (LEITHER_APPENDFSYNC=always), then arguments.
                """,
            Json = "",
            ExitCodes = "0 stopped, 1 the node could not start or stop in good order",
            Examples = ["run", "run -d", "run -p 4801 --data /srv/leither -b nas.local", "run redis.conf --appendfsync always", "run --maxmemory 2gb --maxmemory-policy allkeys-lru"],
        };
        AddShared(run);
        run.Options.Add(new Option<bool>("-d", "--detach") { Description = "Run in the background; ends when the node answers" });
        run.Options.Add(new Option<bool>(NodeConfig.AllowDataLossOption) { Description = "Start once although the log is damaged, without what follows the damage" });
        return run;
    }

    /// <summary>Gives a command the options that run and init share.</summary>
    public static void AddShared(Command command)
    {
        foreach ((string[] names, string value, string text) in _shared)
        {
            command.Options.Add(new Option<string?>(names[0], names[1..]) { Description = text, HelpName = value });
        }
    }
}
