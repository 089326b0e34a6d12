using Leither.Ipfs.Keys;
using Leither.MmDb.Passports;
using Leither.Node.Identity;

namespace Leither.Node.CommandLine;

/// <summary>
/// How the command line logs in at its own node: whoever can read the author's key in the node's folder is its owner, and writes himself a passport. It is for this node, and
/// for a day, which is longer than any command runs.
/// </summary>
internal static class OwnPassport
{
    private const int Days = 1;

    /// <summary>Logs in where the node asks for that, and there is a key to do it with; what fails is told by the command that follows.</summary>
    public static void LogIn(NodeClient client, string folder)
    {
        client.Send(["PING"]);
        if (client.Read() is not { IsError: true } refused || !refused.Text.StartsWith("NOAUTH", StringComparison.Ordinal) || Make(folder) is not { } passport)
        {
            return;
        }

        client.Send(["AUTH", PassportOffice.UserName, passport]);
        if (client.Read() is { IsError: true } failed)
        {
            Console.Error.WriteLine($"The node did not take its own author's passport: {failed.Text}");
        }
    }

    private static string? Make(string folder)
    {
        string keys = Path.Combine(folder, "keys"), authorFile = Path.Combine(keys, "author.key"), nodeFile = Path.Combine(keys, "node.key");
        if (!File.Exists(authorFile) || !File.Exists(nodeFile))
        {
            return null;
        }

        try
        {
            using PrivateKey author = KeyFile.ReadPrivate(authorFile, static () => ""), node = KeyFile.ReadPrivate(nodeFile, static () => "");
            long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            return Passport.ToText(new Passport
            {
                Issuer = author.PublicKey,
                Subject = author.PublicKey,
                Node = node.PublicKey.Id,
                From = now - 1,
                End = now + (Days * 86_400),
                Rights = PassportRights.Admin,
            }.Sign(author));
        }
        catch (IdentityException)
        {
            // Another user's folder: the password is what is left, and the node says that it wants one.
            return null;
        }
    }
}
