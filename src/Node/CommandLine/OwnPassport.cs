using Leither.Ipfs.Keys;
using Leither.MmDb.Passports;
using Leither.Node.Identity;

namespace Leither.Node.CommandLine;

/// <summary>
/// How the command line logs in at its own node: whoever can read the author's key in the node's folder is its owner, and writes himself a passport. It is for this node, and
/// for a day, which is longer than any command runs. What listens where the node did may be another program by now, so the passport is of no use without the answer to a challenge.
/// </summary>
internal static class OwnPassport
{
    private const int Days = 1;

    /// <summary>Logs in where the node asks for that, and there is a key to do it with; what fails is told by the command that follows.</summary>
    public static void LogIn(NodeClient client, string folder)
    {
        client.Send(["PING"]);
        if (client.Read() is not { IsError: true } refused || !refused.Text.StartsWith("NOAUTH", StringComparison.Ordinal) || !HasKeys(folder))
        {
            return;
        }

        client.Send(["PASSPORT", "CHALLENGE"]);
        if (client.Read() is not { Elements: [var challenge, ..] } || Make(folder, challenge.Text) is not { } passport)
        {
            return;
        }

        client.Send(["AUTH", PassportOffice.UserName, passport]);
        if (client.Read() is { IsError: true } failed)
        {
            Console.Error.WriteLine($"The node did not take its own author's passport: {failed.Text}");
        }
    }

    private static bool HasKeys(string folder) => File.Exists(AuthorFile(folder)) && File.Exists(NodeFile(folder));

    private static string AuthorFile(string folder) => Path.Combine(folder, "keys", "author.key");

    private static string NodeFile(string folder) => Path.Combine(folder, "keys", "node.key");

    private static string? Make(string folder, string challenge)
    {
        try
        {
            using PrivateKey author = KeyFile.ReadPrivate(AuthorFile(folder), static () => ""), node = KeyFile.ReadPrivate(NodeFile(folder), static () => "");
            long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            byte[] block = new Passport
            {
                Issuer = author.PublicKey,
                Subject = author.PublicKey,
                Node = node.PublicKey.Id,
                From = now - 1,
                End = now + (Days * 86_400),
                Rights = PassportRights.Admin,
                NeedsProof = true,
            }.Sign(author);
            byte[] asked = Convert.FromHexString(challenge);
            return asked.Length == Passport.ChallengeLength ? Passport.ToText(block, author, asked, node.PublicKey.Id) : null;
        }
        catch (Exception e) when (e is IdentityException or FormatException)
        {
            // Another user's folder, or no node: the password is what is left, and the node says that it wants one.
            return null;
        }
    }
}
