// Places with a link each to one network, whose links are cut, delayed and lossy as a test wants. On Linux with the right to make them, places are network namespaces
// (NamespaceNetwork); elsewhere all are on loopback, with a proxy between any two (LoopbackNetwork). Tests are the same on both, and ./test says on which they ran.

using Leither.TestKit;

namespace Leither.ReplicationNetwork;

/// <summary>Where nodes are.</summary>
internal static class Places
{
    public const string Home = "home";
    public const string Cloud = "cloud";
    public const string Phone = "phone";
}

/// <summary>A network of a few places.</summary>
internal abstract class Network : IDisposable
{
    private static readonly Lazy<string?> WithoutNamespaces = new(() =>
    {
        try
        {
            using var network = new NamespaceNetwork([Places.Home]);
            Notes.Say("nodes in network namespaces of their own, links in between by TUN devices");
            return null;
        }
        catch (Exception e) when (e is InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            Notes.Say($"nodes on loopback with proxies in between, for there are no network namespaces: {e.Message.Split('\n')[0]}");
            return e.Message;
        }
    });

    private readonly Dictionary<string, Func<int>> ports = [];

    /// <summary>Why there are no namespaces here; null: there are.</summary>
    public static string? NoNamespaces => WithoutNamespaces.Value;

    /// <summary>home, cloud and phone.</summary>
    public static Network Create() => Create([Places.Home, Places.Cloud, Places.Phone]);

    /// <summary>The best that the machine allows (LEITHER_NETWORK=loopback: as if it did not).</summary>
    public static Network Create(IReadOnlyList<string> places) =>
        Environment.GetEnvironmentVariable("LEITHER_NETWORK") != "loopback" && NoNamespaces is null ? new NamespaceNetwork(places) : new LoopbackNetwork(places);

    /// <summary>What stands before a command that is to run at a place.</summary>
    public abstract IReadOnlyList<string> Enter(string place);

    /// <summary>Further arguments of a node that runs there.</summary>
    public abstract IReadOnlyList<string> Arguments(string place);

    /// <summary>The address of a place's node as another one sees it.</summary>
    public abstract string AddressOf(string place, string seenFrom);

    /// <summary>The link of a place.</summary>
    public abstract Link this[string place] { get; }

    /// <summary>Tells on which port a place's node listens, whenever that is asked.</summary>
    public void Listens(string place, Func<int> port) => ports[place] = port;

    /// <summary>That port.</summary>
    protected int PortOf(string place) => ports[place]();

    public abstract void Dispose();
}

/// <summary>What joins one place to the others. Any thread.</summary>
internal sealed class Link
{
    private readonly Lock gate = new();
    private long bytes;
    private long cutAt = long.MaxValue;
    private bool isCut;

    /// <summary>What passed in both directions. A namespace's network counts whole packets, a proxy what they carry.</summary>
    public long Bytes { get { lock (gate) return bytes; } }

    /// <summary>Whether nothing passes: bytes are lost or wait, connections hear nothing of it.</summary>
    public bool IsCut { get { lock (gate) return isCut; } }

    /// <summary>How long each way takes.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>The share of packets that are lost; nothing on loopback, where connections are forwarded and no packets.</summary>
    public double Loss { get; set; }

    public void Cut()
    {
        lock (gate) isCut = true;
    }

    /// <summary>Cuts it as soon as so many more bytes have passed.</summary>
    public void CutAfter(long more)
    {
        lock (gate) cutAt = bytes + more;
    }

    public void Heal()
    {
        lock (gate)
        {
            isCut = false;
            cutAt = long.MaxValue;
        }
    }

    /// <summary>Counts bytes that want to pass; false: they do not.</summary>
    public bool Passes(int count)
    {
        lock (gate)
        {
            if (isCut) return false;
            bytes += count;
            isCut = bytes >= cutAt;
            return true;
        }
    }
}
