// Signing in over HTTP with a passport that asks for a proof.
//
// A connection over RESP is asked (PASSPORT CHALLENGE) and answers (AUTH passport). A request over HTTP has no connection before it: so the challenge is kept
// here until it is answered, once, and who answered it gets a token, which stands for the passport and its proof in the Authorization header of later requests.
// All that can end a passport (its end, revoking it, the lists of rights) is asked anew with each request; a token is no more than the proof.
//
// Both lie in memory only, so that a node that was started anew asks again, and are bounded: who comes when there are too many ends the oldest.

using System.Security.Cryptography;
using Leither.MmDb.Passports;

namespace Leither.Node.Http.Page;

/// <summary>Challenges that may still be answered, and who answered one.</summary>
/// <param name="time">Now.</param>
internal sealed class PageLogins(TimeProvider time)
{
    /// <summary>How long a challenge may be answered: by a person, who runs a program and copies what it prints.</summary>
    internal static readonly TimeSpan ChallengeLife = TimeSpan.FromMinutes(10);

    /// <summary>How long a proof is good.</summary>
    internal static readonly TimeSpan TokenLife = TimeSpan.FromHours(12);

    /// <summary>The most challenges, and the most tokens.</summary>
    internal const int Most = 256;

    private const int TokenBytes = 32;

    private readonly Lock _gate = new();
    private readonly OrderedDictionary<string, DateTimeOffset> _challenges = new(StringComparer.Ordinal);
    private readonly OrderedDictionary<string, (string Passport, DateTimeOffset End)> _tokens = new(StringComparer.Ordinal);

    /// <summary>A new challenge, in hexadecimal.</summary>
    public string Challenge()
    {
        string challenge = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(Passport.ChallengeLength));
        lock (_gate)
        {
            MakeRoom(_challenges);
            _challenges.Add(challenge, time.GetUtcNow() + ChallengeLife);
        }

        return challenge;
    }

    /// <summary>The bytes of a challenge, which is over with this; null: there is no such, or not any more.</summary>
    public byte[]? Take(string challenge)
    {
        lock (_gate)
        {
            return _challenges.Remove(challenge, out DateTimeOffset end) && end > time.GetUtcNow() ? Convert.FromHexString(challenge) : null;
        }
    }

    /// <summary>Somebody has proved to be the subject of a passport: gives the token by which he is known.</summary>
    public string Keep(string passport)
    {
        string token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(TokenBytes));
        lock (_gate)
        {
            MakeRoom(_tokens);
            _tokens.Add(NameOf(token), (passport, time.GetUtcNow() + TokenLife));
        }

        return token;
    }

    /// <summary>The passport that a token stands for; null: none.</summary>
    public string? Find(string token)
    {
        lock (_gate)
        {
            return _tokens.TryGetValue(NameOf(token), out (string Passport, DateTimeOffset End) kept) && kept.End > time.GetUtcNow() ? kept.Passport : null;
        }
    }

    /// <summary>Ends a token.</summary>
    public void Forget(string token)
    {
        lock (_gate)
        {
            _tokens.Remove(NameOf(token));
        }
    }

    /// <summary>Tokens are found by their hash: how long that takes tells nothing of them.</summary>
    private static string NameOf(string token) => Convert.ToHexString(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(token)));

    private static void MakeRoom<T>(OrderedDictionary<string, T> kept)
    {
        if (kept.Count >= Most)
        {
            kept.RemoveAt(0);
        }
    }
}
