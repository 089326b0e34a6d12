// Nodes hold the same: the digest of the data, the CID of the state that each works out for itself, and the newest version.

using Leither.TestKit;

namespace Leither.ReplicationNetwork;

/// <summary>Compares what nodes hold of one MiMei.</summary>
internal static class Same
{
    /// <summary>Waits until nodes have the same data and state.</summary>
    public static void Await(string mid, Node writer, params Node[] others)
    {
        foreach (Node other in others)
        {
            Wait.Until(
                () => Look(writer, mid) is { } wanted && Look(other, mid) == wanted,
                () => $"{other.Place}:\n{Describe(other, mid)}\n{writer.Place}:\n{Describe(writer, mid)}",
                $"{other.Place} holds what {writer.Place} holds");
        }
    }

    /// <summary>Makes a version on the writer, and waits until others have listed it: they do when its state is the one that they came to.</summary>
    public static void AwaitVersion(string mid, Node writer, params Node[] others)
    {
        using RespClient client = writer.Open(mid);
        RespValue backup = client.Call("MIMEI", "BACKUP");

        // One that started again has what its followers have, and may not have asked all of them yet.
        Wait.Until(() => !backup.Text.StartsWith("READONLY", StringComparison.Ordinal) || !(backup = client.Call("MIMEI", "BACKUP")).IsError, () => $"{backup}\n{Describe(writer, mid)}");
        if (backup.IsError) throw new InvalidOperationException($"{writer.Place}: BACKUP: {backup}");
        (string Cid, string State) version = Newest(client, mid);
        foreach (Node other in others)
        {
            Wait.Until(
                () => Try(other, there => Newest(there, mid)) == version,
                () => $"{version} of {writer.Place}; {other.Place}:\n{Describe(other, mid)}",
                $"{other.Place} lists version {backup}");
        }

        Await(mid, writer, others);
    }

    /// <summary>The value of a key there; null while that cannot be asked.</summary>
    public static string? Get(Node node, string mid, string key) => Try(node, client => client.Call("MIMEI", "OPEN", mid).Text == "OK" ? client.Call("GET", key).Text : null);

    /// <summary>Digest and state CID; null while they cannot be asked.</summary>
    public static string? Look(Node node, string mid) => Try(node, client =>
    {
        if (client.Call("MIMEI", "OPEN", mid).Text != "OK") return null;
        RespValue digest = client.Call("DEBUG", "DIGEST"), state = client.Call("MIMEI", "CID");
        return digest.IsError || state.IsError ? null : $"{digest.Text} {state}";
    });

    private static T? Try<T>(Node node, Func<RespClient, T?> ask)
    {
        try
        {
            using RespClient client = node.Connect();
            return ask(client);
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            return default;
        }
    }

    private static (string Cid, string State) Newest(RespClient client, string mid)
    {
        RespValue versions = client.Call("MIMEI", "VERSIONS", mid);
        return versions.Items.Length == 0 ? ("", "") : (Node.Field(versions[0], "cid").Text, Node.Field(versions[0], "state").Text);
    }

    /// <summary>All that a node has to say about a MiMei.</summary>
    public static string Describe(Node node, string mid) => Try(node, client =>
    {
        string shown = client.Call("MIMEI", "SHOW", mid).ToString();
        RespValue opened = client.Call("MIMEI", "OPEN", mid);
        return opened.IsError
            ? $"{shown}\n{opened}"
            : $"{shown}\ndigest {client.Call("DEBUG", "DIGEST").Text}, state {client.Call("MIMEI", "CID")}, {client.Call("DBSIZE")} keys, versions\n{client.Call("MIMEI", "VERSIONS", mid)}";
    }) + "\n" + Tail(node.Log);

    private static string Tail(string log) => log.Length > 3000 ? log[^3000..] : log;
}
