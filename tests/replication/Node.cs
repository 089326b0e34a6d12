// A node at a place. Tests speak with it over its Unix socket, which no cut of a network reaches.

using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

/// <summary>The program, running somewhere.</summary>
internal sealed class Node : ServerProcess
{
    private readonly Network network;
    private readonly string place;
    private readonly string? data;
    private string? boot;
    private string? mid;
    private string? peer;

    /// <param name="network">The network that it is in.</param>
    /// <param name="place">Where.</param>
    /// <param name="data">Its data folder; null: one of its own.</param>
    /// <param name="arguments">Further settings.</param>
    private Node(Network network, string place, string? data, string[] arguments) : base(place)
    {
        this.network = network;
        this.place = place;
        this.data = data;
        Arguments = ["--enable-debug-command", "yes", .. network.Arguments(place), .. arguments];
        network.Listens(place, () => Port);
    }

    /// <summary>How far its clock is ahead, from its next start on.</summary>
    public TimeSpan ClockOffset { get; set; }

    public string Place => place;

    /// <summary>Its next start is on another boot of the machine: the power was gone. Only where mounting is allowed.</summary>
    public void Reboot() => boot = Guid.NewGuid().ToString();

    /// <summary>Its data folder.</summary>
    public string Folder => data ?? Path.Combine(DataDir, "data");

    /// <summary>Its default MiMei.</summary>
    public string Mid => mid ??= Ask("MIMEI", "ID")[0].Text;

    /// <summary>Its peer id.</summary>
    public string Peer => peer ??= Field(Ask("SWARM", "ID"), "peer").Text;

    /// <summary>Starts one.</summary>
    public static Node Start(Network network, string place, params string[] arguments) => Start(network, place, default, null, arguments);

    /// <summary>Starts one with a clock, or a folder, of its own.</summary>
    public static Node Start(Network network, string place, TimeSpan clockOffset, string? data = null, string[]? arguments = null)
    {
        var node = new Node(network, place, data, arguments ?? []) { ClockOffset = clockOffset };
        try
        {
            node.Start();
            return node;
        }
        catch
        {
            node.Dispose();
            throw;
        }
    }

    public override RespClient Connect() => RespClient.ConnectUnix(Socket);

    /// <summary>A connection to a MiMei.</summary>
    public RespClient Open(string opened)
    {
        RespClient client = Connect();
        RespValue reply = client.Call("MIMEI", "OPEN", opened);
        if (reply.Text == "OK") return client;
        client.Dispose();
        throw new InvalidOperationException($"{place} does not open {opened}: {reply}\n{Log}");
    }

    /// <summary>One command on a connection of its own.</summary>
    public RespValue Ask(params string[] command)
    {
        using RespClient client = Connect();
        RespValue reply = client.Call(command);
        Assert.False(reply.IsError, $"{place}: {string.Join(' ', command)}: {reply}\n{Log}");
        return reply;
    }

    /// <summary>Where another node finds this one.</summary>
    public string AddressFor(Node other) => $"{network.AddressOf(place, other.place)}/p2p/{Peer}";

    /// <summary>Makes its default MiMei public.</summary>
    public void Publish() => Ask("MIMEI", "PUBLISH", Mid);

    /// <summary>Follows a MiMei for good, and waits until it has all that there is.</summary>
    public RespValue Provide(string followed, params Node[] sources)
    {
        RespValue synced = Ask(["MIMEI", "PROVIDE", followed, .. From(sources)]);
        Assert.Equal(1, Field(synced, "level").Integer);
        return synced;
    }

    /// <summary>Begins to follow a MiMei for good and waits for nothing: the connection on which that runs.</summary>
    public RespClient BeginProviding(string followed, params Node[] sources)
    {
        RespClient client = Connect();
        client.Queue(["MIMEI", "PROVIDE", followed, .. From(sources)]);
        client.Flush();
        return client;
    }

    private string[] From(Node[] sources) => sources.Length == 0 ? [] : ["FROM", .. sources.Select(source => source.AddressFor(this))];

    /// <summary>Runs a command of the command line on its folder.</summary>
    public string RunCommand(params string[] arguments)
    {
        string[] program = LeitherServer.Program();
        string[] command = [.. network.Enter(place), .. program, "--data", Folder, .. arguments];
        return Machine.Run(command[0], command[1..]);
    }

    /// <summary>Lets WAIT count other nodes.</summary>
    public void Name(params Node[] providers)
    {
        foreach (Node provider in providers) Ask("MIMEI", "PROVIDERS", Mid, "ADD", provider.Peer);
    }

    /// <summary>An element of a map that came as an array.</summary>
    public static RespValue Field(RespValue map, string name)
    {
        for (int i = 0; i + 1 < map.Items.Length; i += 2)
        {
            if (map[i].Text == name) return map[i + 1];
        }

        throw new KeyNotFoundException($"No {name} in\n{map}");
    }

    private string Socket => Path.Combine(DataDir, "socket");

    protected override IEnumerable<string> CommandLine() =>
    [
        .. network.Enter(place), .. Machine.Booted(boot, DataDir), .. Clock.Moved(ClockOffset), .. LeitherServer.Program(), "run", "-p", Port.ToString(CultureInfo.InvariantCulture), "--data", Folder, "--unixsocket", Socket,
    ];
}
