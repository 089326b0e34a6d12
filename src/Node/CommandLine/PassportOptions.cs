using System.CommandLine;

namespace Leither.Node.CommandLine;

/// <summary>The options of commands that one can give with a passport, at a node anywhere.</summary>
/// <param name="aliases">What the passport is called besides.</param>
internal sealed class PassportOptions(params string[] aliases)
{
    private const int DefaultPort = 4800;

    /// <summary>The passport.</summary>
    public Option<string?> Passport { get; } = MimeiOptions.Everywhere(new Option<string?>("--ppt", aliases) { Description = "The passport to log in with; left out, you are who you are to any command", HelpName = "FILE" });

    /// <summary>What proves whose it is.</summary>
    public Option<string?> Key { get; } = MimeiOptions.Everywhere(new Option<string?>("--key", "-k") { Description = "The private key of the passport's subject, where it asks for a proof", HelpName = "FILE" });

    /// <summary>Where the node is.</summary>
    public Option<string?> Node { get; } = MimeiOptions.Everywhere(MimeiOptions.Valid(
        new("--node", "-n") { Description = $"The node, anywhere [default: that of the data folder; PORT: {DefaultPort}]", HelpName = "HOST[:PORT]" }, static address => TrySplit(address, out _, out _), "HOST or HOST:PORT"));

    /// <summary>All of them.</summary>
    public Option[] All => [Passport, Key, Node];

    /// <summary>Which node a command line speaks to, and as whom.</summary>
    public NodePlace PlaceOf(MimeiVerb verb, ParseResult result, NodePlace place)
    {
        string? passport = result.GetValue(Passport), key = result.GetValue(Key);
        if (key is not null && passport is null)
        {
            throw verb.Misused("--key proves whose a passport is, and there is none");
        }

        if (passport is not null && aliases.Contains("-p") && passport.All(char.IsAsciiDigit) && !File.Exists(passport))
        {
            throw verb.Misused($"-p takes the file of a passport, and there is none called '{passport}'; a port is --port {passport}");
        }

        place = place with { Passport = passport, Key = key };
        if (result.GetValue(Node) is not { } address)
        {
            return place;
        }

        if (place.Port is not null)
        {
            throw verb.Misused("--node and --port name two nodes");
        }

        TrySplit(address, out string host, out int port);
        return place with { Host = host, Port = port };
    }

    private static bool TrySplit(string address, out string host, out int port)
    {
        port = DefaultPort;
        host = address.Trim('[', ']');
        if (Uri.CheckHostName(host) == UriHostNameType.IPv6)
        {
            return true; // its last colon is before no port
        }

        if (MimeiOptions.TrySplit(address, out host, out int named))
        {
            port = named;
            return true;
        }

        host = address.Trim('[', ']');
        return Uri.CheckHostName(host) != UriHostNameType.Unknown;
    }
}
