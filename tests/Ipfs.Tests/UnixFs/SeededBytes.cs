using System.Security.Cryptography;
using System.Text;
using Org.BouncyCastle.Crypto.Engines;
using Org.BouncyCastle.Crypto.Parameters;

namespace Leither.Ipfs.Tests.UnixFs;

/// <summary>The bytes that Kubo's tests of profiles are made of: the key stream of ChaCha20 with the seed's SHA-256 as its key and a nonce of zeros.</summary>
internal sealed class SeededBytes : Stream
{
    private static readonly byte[] _zeros = new byte[1 << 16];

    private readonly ChaCha7539Engine _cipher = new();
    private long _left;

    public SeededBytes(string seed, long length)
    {
        _cipher.Init(forEncryption: true, new ParametersWithIV(new KeyParameter(SHA256.HashData(Encoding.UTF8.GetBytes(seed))), new byte[12]));
        _left = length;
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Names as Kubo's tests make them, of so many characters each.</summary>
    public static IEnumerable<string> Names(string seed, int count, int length, int lastLength)
    {
        const string Alphabet = "abcdefghijklmnopqrstuvwxyz01234567890-_";
        using var bytes = new SeededBytes(seed, 1 << 20);
        for (int i = 0; i < count; i++)
        {
            byte[] name = new byte[i == count - 1 ? lastLength : length];
            bytes.ReadExactly(name);
            yield return string.Concat(name.Select(b => Alphabet[b % Alphabet.Length]));
        }
    }

    public override int Read(byte[] buffer, int offset, int count)
    {
        int length = (int)Math.Min(Math.Min(count, _zeros.Length), _left);
        _cipher.ProcessBytes(_zeros, 0, length, buffer, offset);
        _left -= length;
        return length;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
