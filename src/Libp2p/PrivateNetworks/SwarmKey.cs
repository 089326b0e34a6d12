using System.Security.Cryptography;
using System.Text;
using Org.BouncyCastle.Crypto.Digests;

namespace Leither.Libp2p.PrivateNetworks;

/// <summary>
/// The secret that the members of a private network share, as a file: the format's name, the encoding's, the 32 bytes.
/// https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md
/// </summary>
public sealed class SwarmKey
{
    /// <summary>How many bytes the secret has.</summary>
    public const int Length = XSalsa20.KeyLength;

    /// <summary>The most bytes of a file.</summary>
    public const int MaxFileLength = 256;

    private const string Format = "/key/swarm/psk/1.0.0/";

    // What Kubo calls a network in public: the first block of the secret's key stream under this nonce, hashed.
    private const ulong FingerprintNonce = 0x66696E7072696E74; // "finprint"

    private readonly byte[] _secret;

    /// <summary>A key of these 32 bytes.</summary>
    public SwarmKey(ReadOnlySpan<byte> secret)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(secret.Length, Length);
        _secret = secret.ToArray();
        Fingerprint = FingerprintOf(_secret);
    }

    /// <summary>Names the network without telling the secret: 32 hexadecimal digits.</summary>
    public string Fingerprint { get; }

    internal ReadOnlySpan<byte> Secret => _secret;

    /// <summary>A new key.</summary>
    public static SwarmKey Generate() => new(RandomNumberGenerator.GetBytes(Length));

    /// <summary>Reads a file's content.</summary>
    /// <exception cref="FormatException">It is no swarm key; the message says why, and nothing of the content.</exception>
    public static SwarmKey Parse(ReadOnlySpan<byte> file)
    {
        if (file.Length > MaxFileLength)
        {
            throw new FormatException($"A swarm key has at most {MaxFileLength} bytes.");
        }

        if (TakeLine(ref file) != Format)
        {
            throw new FormatException($"A swarm key begins with the line {Format}");
        }

        string encoding = TakeLine(ref file);
        byte[] secret = encoding switch
        {
            "/bin/" => file.ToArray(),
            "/base16/" => Decode(file, Convert.FromHexString),
            "/base64/" => Decode(file, Convert.FromBase64String),
            _ => throw new FormatException("The second line of a swarm key is /base16/, /base64/ or /bin/."),
        };
        return secret.Length == Length ? new SwarmKey(secret) : throw new FormatException($"A swarm key holds {Length} bytes; here are {secret.Length}.");
    }

    /// <summary>The key as a file's content. It is a secret.</summary>
    public string ToFile() => $"{Format}\n/base16/\n{Convert.ToHexStringLower(_secret)}\n";

    private static string TakeLine(ref ReadOnlySpan<byte> file)
    {
        int end = file.IndexOf((byte)'\n');
        ReadOnlySpan<byte> line = end < 0 ? file : file[..end];
        file = end < 0 ? default : file[(end + 1)..];
        return Encoding.Latin1.GetString(line).TrimEnd();
    }

    private static byte[] Decode(ReadOnlySpan<byte> text, Func<string, byte[]> decode)
    {
        try
        {
            return decode(Encoding.Latin1.GetString(text).Trim());
        }
        catch (FormatException)
        {
            // Its message could quote the secret.
            throw new FormatException("The third line of a swarm key is not in the encoding that the second names.");
        }
    }

    private static string FingerprintOf(ReadOnlySpan<byte> secret)
    {
        byte[] stream = new byte[64];
        XSalsa20.Salsa20(secret, FingerprintNonce).Transform(stream, stream);
        var digest = new ShakeDigest(128);
        digest.BlockUpdate(stream, 0, stream.Length);
        byte[] fingerprint = new byte[16];
        digest.DoFinal(fingerprint, 0, fingerprint.Length);
        return Convert.ToHexStringLower(fingerprint);
    }
}
