// ChaCha20-Poly1305 (RFC 8439) as Noise uses it: the nonce is four zero bytes and a 64-bit counter, lowest byte first; text is encrypted and decrypted
// where it lies. The operating system's library does it where it can (Linux, macOS, newer Windows), Bouncy Castle elsewhere.

using System.Buffers.Binary;
using System.Security.Cryptography;
using Org.BouncyCastle.Crypto.Engines;
using Org.BouncyCastle.Crypto.Macs;
using Org.BouncyCastle.Crypto.Parameters;

namespace Leither.Libp2p.Noise;

/// <summary>The cipher with a key. One caller at a time.</summary>
internal abstract class ChaChaPoly : IDisposable
{
    public const int KeyLength = 32;
    public const int TagLength = 16;
    private const int NonceLength = 12;

    public static ChaChaPoly Create(ReadOnlySpan<byte> key) => ChaCha20Poly1305.IsSupported ? new SystemCipher(key) : new ManagedCipher(key);

    /// <summary>Encrypts in place and writes the tag.</summary>
    public abstract void Seal(ulong counter, ReadOnlySpan<byte> associated, Span<byte> text, Span<byte> tag);

    /// <summary>Decrypts in place; false if the text, its tag or what is associated are not what was sealed.</summary>
    public abstract bool TryOpen(ulong counter, ReadOnlySpan<byte> associated, Span<byte> text, ReadOnlySpan<byte> tag);

    public abstract void Dispose();

    internal sealed class SystemCipher(ReadOnlySpan<byte> key) : ChaChaPoly
    {
        private readonly ChaCha20Poly1305 _cipher = new(key);

        public override void Seal(ulong counter, ReadOnlySpan<byte> associated, Span<byte> text, Span<byte> tag)
        {
            Span<byte> nonce = stackalloc byte[NonceLength];
            nonce.Clear();
            BinaryPrimitives.WriteUInt64LittleEndian(nonce[4..], counter);
            _cipher.Encrypt(nonce, text, text, tag, associated);
        }

        public override bool TryOpen(ulong counter, ReadOnlySpan<byte> associated, Span<byte> text, ReadOnlySpan<byte> tag)
        {
            Span<byte> nonce = stackalloc byte[NonceLength];
            nonce.Clear();
            BinaryPrimitives.WriteUInt64LittleEndian(nonce[4..], counter);
            try
            {
                _cipher.Decrypt(nonce, text, tag, text, associated);
                return true;
            }
            catch (AuthenticationTagMismatchException)
            {
                return false;
            }
        }

        public override void Dispose() => _cipher.Dispose();
    }

    internal sealed class ManagedCipher(ReadOnlySpan<byte> key) : ChaChaPoly
    {
        private const int BlockLength = 64;

        private readonly KeyParameter _key = new(key.ToArray());
        private readonly ChaCha7539Engine _stream = new();
        private readonly Poly1305 _authenticator = new();
        private readonly byte[] _nonce = new byte[NonceLength];
        private readonly byte[] _block = new byte[BlockLength];
        private byte[] _text = [];

        public override void Seal(ulong counter, ReadOnlySpan<byte> associated, Span<byte> text, Span<byte> tag)
        {
            Begin(counter, associated, text);
            Apply(text);
            Authenticate(associated.Length, text.Length, tag);
        }

        public override bool TryOpen(ulong counter, ReadOnlySpan<byte> associated, Span<byte> text, ReadOnlySpan<byte> tag)
        {
            Begin(counter, associated, text);
            Span<byte> expected = stackalloc byte[TagLength];
            Authenticate(associated.Length, text.Length, expected);
            if (!CryptographicOperations.FixedTimeEquals(expected, tag))
            {
                return false;
            }

            Apply(text);
            return true;
        }

        public override void Dispose() => CryptographicOperations.ZeroMemory(_key.GetKey());

        /// <summary>The first block of the key stream is the key of the authenticator, which begins with what is associated.</summary>
        private void Begin(ulong counter, ReadOnlySpan<byte> associated, ReadOnlySpan<byte> text)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(_nonce.AsSpan(4), counter);
            _stream.Init(true, new ParametersWithIV(_key, _nonce));
            Array.Clear(_block);
            _stream.ProcessBytes(_block, 0, BlockLength, _block, 0);
            _authenticator.Init(new KeyParameter(_block, 0, KeyLength));
            byte[] bytes = associated.ToArray();
            _authenticator.BlockUpdate(bytes, 0, bytes.Length);
            Pad(bytes.Length);
            if (_text.Length < text.Length)
            {
                _text = new byte[text.Length];
            }

            text.CopyTo(_text);
        }

        private void Apply(Span<byte> text)
        {
            _stream.ProcessBytes(_text, 0, text.Length, _text, 0);
            _text.AsSpan(0, text.Length).CopyTo(text);
        }

        private void Authenticate(int associatedLength, int length, Span<byte> tag)
        {
            _authenticator.BlockUpdate(_text, 0, length);
            Pad(length);
            BinaryPrimitives.WriteInt64LittleEndian(_block, associatedLength);
            BinaryPrimitives.WriteInt64LittleEndian(_block.AsSpan(8), length);
            _authenticator.BlockUpdate(_block, 0, 16);
            _authenticator.DoFinal(_block, 0);
            _block.AsSpan(0, TagLength).CopyTo(tag);
        }

        private void Pad(int length)
        {
            Array.Clear(_block);
            _authenticator.BlockUpdate(_block, 0, -length & 15);
        }
    }
}
