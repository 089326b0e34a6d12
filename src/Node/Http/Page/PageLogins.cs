// Signing in over HTTP with a passport that asks for a proof.
//
// A connection over RESP is asked (PASSPORT CHALLENGE) and answers (AUTH passport). A request over HTTP has no connection before it: so a challenge says itself, by a code that only
// this process can make, when it was given and for whom; nothing is kept of it, and asking costs nobody else anything. Once it was answered it is remembered, until it would be over
// anyway. Who answered it gets a token, which stands for the passport and its proof in the Authorization header of later requests. All that can end a passport (its end, revoking it,
// the lists of rights) is asked anew with each request; a token is no more than the proof.
//
//   challenge: [ Unix milliseconds, 8 bytes | chance, 8 bytes | HMAC-SHA256 over these, the passport and where it was asked for, its first 16 bytes ]
//
// All of it lies in memory only, so that a node that was started anew asks again.

using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Leither.MmDb.Passports;

namespace Leither.Node.Http.Page;

/// <summary>Challenges, and who answered one.</summary>
/// <param name="time">Now.</param>
internal sealed class PageLogins(TimeProvider time)
{
    /// <summary>How long a challenge may be answered: by a person, who runs a program and copies what it prints.</summary>
    internal static readonly TimeSpan ChallengeLife = TimeSpan.FromMinutes(10);

    /// <summary>How long a proof is good.</summary>
    internal static readonly TimeSpan TokenLife = TimeSpan.FromHours(12);

    /// <summary>
    /// The most tokens. Who comes when there are as many ends the oldest of the holder who has most, which is his own if he has as many as any. All guests together are one holder,
    /// so that no number of keys that somebody makes himself ends a user's who is known here; among guests each address is one, and at an address each key.
    /// </summary>
    internal const int MostTokens = 256;

    /// <summary>The most answered challenges that are remembered. When there are more within their life, those as old as the oldest are over before their time.</summary>
    internal const int MostAnswered = 16_384;

    private const int TokenBytes = 32, TimeBytes = 8, SaidBytes = 16;

    private readonly Lock _gate = new();
    private readonly byte[] _key = RandomNumberGenerator.GetBytes(SHA256.HashSizeInBytes);

    /// <summary>Answered ones in hexadecimal, which is the order of their times.</summary>
    private readonly SortedSet<string> _answered = new(StringComparer.Ordinal);
    private string _floor = "";
    private readonly OrderedDictionary<string, (string Passport, TokenHolder Holder, DateTimeOffset End)> _tokens = new(StringComparer.Ordinal);

    /// <summary>A new challenge, in hexadecimal.</summary>
    /// <param name="passport">The passport whose subject is asked, without a proof.</param>
    /// <param name="origin">From where it was asked for: nobody else can answer.</param>
    public string Challenge(string passport, string origin)
    {
        Span<byte> challenge = stackalloc byte[Passport.ChallengeLength];
        BinaryPrimitives.WriteInt64BigEndian(challenge, time.GetUtcNow().ToUnixTimeMilliseconds());
        RandomNumberGenerator.Fill(challenge[TimeBytes..SaidBytes]);
        Sign(challenge[..SaidBytes], passport, origin, challenge[SaidBytes..]);
        return Convert.ToHexStringLower(challenge);
    }

    /// <summary>The bytes of a challenge, which is over with this; null: it is none for him, or over.</summary>
    public byte[]? Take(string challenge, string passport, string origin)
    {
        byte[] bytes = new byte[Passport.ChallengeLength];
        if (challenge.Length != 2 * bytes.Length || Convert.FromHexString(challenge, bytes, out _, out _) != OperationStatus.Done)
        {
            return null;
        }

        Span<byte> expected = stackalloc byte[bytes.Length - SaidBytes];
        Sign(bytes.AsSpan(0, SaidBytes), passport, origin, expected);
        long life = (long)ChallengeLife.TotalMilliseconds, age = time.GetUtcNow().ToUnixTimeMilliseconds() - BinaryPrimitives.ReadInt64BigEndian(bytes);
        if (!CryptographicOperations.FixedTimeEquals(expected, bytes.AsSpan(SaidBytes)) || age >= life || age <= -life)
        {
            return null;
        }

        string name = Convert.ToHexStringLower(bytes);
        lock (_gate)
        {
            ForgetAnswered();
            return string.CompareOrdinal(name, _floor) > 0 && _answered.Add(name) ? bytes : null;
        }
    }

    /// <summary>The answer was not looked at after all: the challenge may be answered again.</summary>
    public void GiveBack(byte[] challenge)
    {
        lock (_gate)
        {
            _answered.Remove(Convert.ToHexStringLower(challenge));
        }
    }

    /// <summary>Somebody has proved to be the subject of a passport: gives the token by which he is known.</summary>
    /// <param name="passport">The passport, without a proof.</param>
    /// <param name="holder">Who has it.</param>
    public string Keep(string passport, TokenHolder holder)
    {
        string token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(TokenBytes));
        lock (_gate)
        {
            MakeRoom(holder);
            _tokens.Add(NameOf(token), (passport, holder, time.GetUtcNow() + TokenLife));
        }

        return token;
    }

    /// <summary>The passport that a token stands for; null: none.</summary>
    public string? Find(string token)
    {
        lock (_gate)
        {
            return _tokens.TryGetValue(NameOf(token), out (string Passport, TokenHolder Holder, DateTimeOffset End) kept) && kept.End > time.GetUtcNow() ? kept.Passport : null;
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
    private static string NameOf(string token) => Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(token)));

    private void Sign(ReadOnlySpan<byte> said, string passport, string origin, Span<byte> code)
    {
        Span<byte> whole = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(_key, [.. said, .. SHA256.HashData(Encoding.UTF8.GetBytes(passport)), .. Encoding.UTF8.GetBytes(origin)], whole);
        whole[..code.Length].CopyTo(code);
    }

    /// <summary>Lets go what is over, and makes room for one more.</summary>
    private void ForgetAnswered()
    {
        Span<byte> over = stackalloc byte[TimeBytes];
        BinaryPrimitives.WriteInt64BigEndian(over, Math.Max(0, time.GetUtcNow().ToUnixTimeMilliseconds() - (long)ChallengeLife.TotalMilliseconds));
        string first = Convert.ToHexStringLower(over);
        while (_answered.Min is { } oldest && (_answered.Count >= MostAnswered || string.CompareOrdinal(oldest, first) < 0))
        {
            // No clock that goes back makes it good again.
            _floor = oldest;
            _answered.Remove(oldest);
        }
    }

    /// <summary>Makes room for one more token: what is over goes, otherwise the oldest of the holder who has most, whoever comes counted with what he gets.</summary>
    private void MakeRoom(TokenHolder comer)
    {
        if (_tokens.Count < MostTokens)
        {
            return;
        }

        DateTimeOffset now = time.GetUtcNow();
        _tokens.Remove(_tokens.FirstOrDefault(t => t.Value.End <= now).Key ?? OldestOfMost(comer));
    }

    private string OldestOfMost(TokenHolder comer)
    {
        KeyValuePair<string, (string Passport, TokenHolder Holder, DateTimeOffset End)>[] among = [.. _tokens];
        bool isComers = true;
        foreach (Func<TokenHolder, string> part in (ReadOnlySpan<Func<TokenHolder, string>>)[static h => h.User, static h => h.Address, static h => h.Key])
        {
            // Of those who have as many, it is the one who comes; then the one with the oldest.
            string? own = isComers ? part(comer) : null;
            var most = among.GroupBy(t => part(t.Value.Holder), StringComparer.Ordinal).MaxBy(of => of.Key == own ? (of.Count() + 1, 1) : (of.Count(), 0))!;
            among = [.. most];
            isComers = most.Key == own;
        }

        return among[0].Key;
    }
}

/// <summary>Who has a token. Each part tells holders apart for whom those before it are the same.</summary>
/// <param name="User">The user, where something here names him; empty for all guests together.</param>
/// <param name="Address">From where a guest comes.</param>
/// <param name="Key">A guest's key.</param>
internal readonly record struct TokenHolder(string User, string Address, string Key)
{
    /// <summary>A user whom a list of rights names, to whom something belongs, or for whom somebody who has a say signed a passport.</summary>
    public static TokenHolder Known(string user) => new(user, "", "");

    /// <summary>Somebody who is let in by what everyone may: he can make as many keys as he likes.</summary>
    /// <param name="address">From where he comes. Of IPv6 the network counts, the first half: within it he chooses what he likes.</param>
    /// <param name="key">His key.</param>
    public static TokenHolder Guest(string address, string key) =>
        new("", IPAddress.TryParse(address, out IPAddress? ip) && ip.AddressFamily == AddressFamily.InterNetworkV6 ? Convert.ToHexStringLower(ip.GetAddressBytes().AsSpan(0, 8)) : address, key);
}
