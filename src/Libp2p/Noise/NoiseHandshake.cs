// Noise_XX_25519_ChaChaPoly_SHA256, the handshake alone: messages in, messages out, no I/O and no libp2p.
//
//   -> e                    the initiator's ephemeral key
//   <- e, ee, s, es         the responder's, the first secret, and from here on all is encrypted: its static key
//   -> s, se                the initiator's static key
//
// Each message ends in a payload. ck (chaining key) takes up every shared secret, h (handshake hash) everything that was said; each encryption
// authenticates h, so that both sides see the same conversation or none.
// https://noiseprotocol.org/noise.html, revision 34

using System.Security.Cryptography;
using Leither.Ipfs.Keys;

namespace Leither.Libp2p.Noise;

/// <summary>One side of a handshake. Anything that does not fit throws a <see cref="Libp2pException"/>, and then the handshake is over.</summary>
public sealed class NoiseHandshake : IDisposable
{
    /// <summary>The most bytes of a message.</summary>
    public const int MaxMessageLength = 65535;

    /// <summary>The most bytes that a message has beyond its payload: two keys, two tags.</summary>
    public const int MaxOverhead = 2 * X25519Key.Length + 2 * ChaChaPoly.TagLength;

    private const int HashLength = 32;

    private readonly bool _isInitiator;
    private readonly X25519Key _static;
    private readonly X25519Key _ephemeral;
    private readonly byte[] _chainingKey = new byte[HashLength];
    private readonly byte[] _hash = new byte[HashLength];
    private readonly byte[] _remoteEphemeral = new byte[X25519Key.Length];
    private readonly byte[] _remoteStatic = new byte[X25519Key.Length];
    private ChaChaPoly? _cipher;
    private ulong _counter;
    private int _message;

    /// <summary>Begins. The static key stays the caller's; the prologue is what both sides must agree on beforehand (for libp2p nothing).</summary>
    public NoiseHandshake(bool isInitiator, X25519Key staticKey, ReadOnlySpan<byte> prologue = default)
        : this(isInitiator, staticKey, prologue, X25519Key.Generate())
    {
    }

    /// <summary>Begins with an ephemeral key that is known, as published vectors want it.</summary>
    internal NoiseHandshake(bool isInitiator, X25519Key staticKey, ReadOnlySpan<byte> prologue, X25519Key ephemeral)
    {
        _isInitiator = isInitiator;
        _static = staticKey;
        _ephemeral = ephemeral;
        // Exactly as long as a hash, so it is h as it is.
        "Noise_XX_25519_ChaChaPoly_SHA256"u8.CopyTo(_hash);
        _hash.CopyTo(_chainingKey, 0);
        MixHash(prologue);
    }

    /// <summary>Whether all three messages were said; then <see cref="Split"/> may be called.</summary>
    public bool IsComplete => _message == 3;

    /// <summary>The other side's static key, once it was read.</summary>
    public ReadOnlySpan<byte> RemoteStatic => _remoteStatic;

    /// <summary>What identifies this handshake, once it is complete.</summary>
    public ReadOnlySpan<byte> HandshakeHash => _hash;

    private bool IsOurTurn => !IsComplete && (_message % 2 == 0) == _isInitiator;

    /// <summary>Writes our next message with this payload, and returns its length.</summary>
    public int WriteMessage(ReadOnlySpan<byte> payload, Span<byte> destination)
    {
        Require(IsOurTurn);
        int at = 0;
        if (_message < 2)
        {
            _ephemeral.PublicKey.CopyTo(destination);
            MixHash(_ephemeral.PublicKey);
            at += X25519Key.Length;
        }

        if (_message == 1)
        {
            MixSecret(_ephemeral, _remoteEphemeral);
        }

        if (_message > 0)
        {
            at += EncryptAndHash(_static.PublicKey, destination[at..]);
            // es for the responder, se for the initiator: our static key with their ephemeral one.
            MixSecret(_static, _remoteEphemeral);
        }

        at += EncryptAndHash(payload, destination[at..]);
        _message++;
        return at;
    }

    /// <summary>Reads their next message, writes its payload to <paramref name="payload"/>, which is as long as the message, and returns its length.</summary>
    public int ReadMessage(ReadOnlySpan<byte> message, Span<byte> payload)
    {
        Require(!IsOurTurn && !IsComplete);
        if (_message < 2)
        {
            Take(ref message, X25519Key.Length).CopyTo(_remoteEphemeral);
            MixHash(_remoteEphemeral);
        }

        if (_message == 1)
        {
            MixSecret(_ephemeral, _remoteEphemeral);
        }

        if (_message > 0)
        {
            DecryptAndHash(Take(ref message, X25519Key.Length + ChaChaPoly.TagLength), _remoteStatic);
            MixSecret(_ephemeral, _remoteStatic);
        }

        int length = DecryptAndHash(message, payload);
        _message++;
        return length;
    }

    /// <summary>The ciphers for what follows: ours, and the other side's.</summary>
    public (NoiseCipher Send, NoiseCipher Receive) Split()
    {
        Require(IsComplete);
        Span<byte> keys = stackalloc byte[2 * HashLength];
        // HKDF in its two steps: with no input key at all OpenSSL refuses to do both in one.
        Span<byte> extracted = stackalloc byte[HashLength];
        HMACSHA256.HashData(_chainingKey, [], extracted);
        HKDF.Expand(HashAlgorithmName.SHA256, extracted, keys, []);
        CryptographicOperations.ZeroMemory(extracted);
        var initiator = new NoiseCipher(keys[..HashLength]);
        var responder = new NoiseCipher(keys[HashLength..]);
        CryptographicOperations.ZeroMemory(keys);
        return _isInitiator ? (initiator, responder) : (responder, initiator);
    }

    /// <summary>Overwrites what is secret.</summary>
    public void Dispose()
    {
        _ephemeral.Dispose();
        _cipher?.Dispose();
        CryptographicOperations.ZeroMemory(_chainingKey);
    }

    private static void Require(bool inTurn)
    {
        if (!inTurn)
        {
            throw new InvalidOperationException("The handshake expects another step.");
        }
    }

    private static ReadOnlySpan<byte> Take(ref ReadOnlySpan<byte> message, int count)
    {
        if (message.Length < count)
        {
            throw Failed("a message is too short");
        }

        ReadOnlySpan<byte> taken = message[..count];
        message = message[count..];
        return taken;
    }

    private static Libp2pException Failed(string why) => new(Libp2pError.HandshakeFailed, $"Noise: {why}.");

    private void MixHash(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length <= 512)
        {
            // Nearly always: one call on a copy costs half of what a hash object does.
            Span<byte> both = stackalloc byte[HashLength + bytes.Length];
            _hash.CopyTo(both);
            bytes.CopyTo(both[HashLength..]);
            SHA256.HashData(both, _hash);
            return;
        }

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(_hash);
        hash.AppendData(bytes);
        hash.GetHashAndReset(_hash);
    }

    private void MixSecret(X25519Key ours, ReadOnlySpan<byte> theirs)
    {
        Span<byte> secret = stackalloc byte[X25519Key.Length];
        if (!ours.TryAgree(theirs, secret))
        {
            throw Failed("a key with which no secret is shared");
        }

        // Noise's HKDF is that of RFC 5869 with the chaining key as salt and no info.
        Span<byte> derived = stackalloc byte[2 * HashLength];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, derived, _chainingKey, []);
        derived[..HashLength].CopyTo(_chainingKey);
        _cipher?.Dispose();
        _cipher = ChaChaPoly.Create(derived[HashLength..]);
        _counter = 0;
        CryptographicOperations.ZeroMemory(secret);
        CryptographicOperations.ZeroMemory(derived);
    }

    private int EncryptAndHash(ReadOnlySpan<byte> text, Span<byte> destination)
    {
        int length = text.Length;
        text.CopyTo(destination);
        if (_cipher != null)
        {
            _cipher.Seal(_counter++, _hash, destination[..length], destination.Slice(length, ChaChaPoly.TagLength));
            length += ChaChaPoly.TagLength;
        }

        MixHash(destination[..length]);
        return length;
    }

    private int DecryptAndHash(ReadOnlySpan<byte> sealedText, Span<byte> destination)
    {
        int length = sealedText.Length - (_cipher == null ? 0 : ChaChaPoly.TagLength);
        if (length < 0)
        {
            throw Failed("a message is too short");
        }

        sealedText[..length].CopyTo(destination);
        if (_cipher != null && !_cipher.TryOpen(_counter++, _hash, destination[..length], sealedText[length..]))
        {
            throw Failed("a message that was not sealed by the other side, or not for this one");
        }

        MixHash(sealedText);
        return length;
    }
}

/// <summary>The cipher of one direction after the handshake: each frame's counter is one more than that of the frame before. One caller at a time.</summary>
public sealed class NoiseCipher : IDisposable
{
    /// <summary>What a frame has beyond its text.</summary>
    public const int TagLength = ChaChaPoly.TagLength;

    private readonly ChaChaPoly _cipher;
    private ulong _counter;

    internal NoiseCipher(ReadOnlySpan<byte> key)
    {
        _cipher = ChaChaPoly.Create(key);
    }

    /// <summary>Encrypts a frame in place; its last 16 bytes are room for the tag.</summary>
    public void Seal(Span<byte> frame)
    {
        int length = frame.Length - TagLength;
        _cipher.Seal(Next(), default, frame[..length], frame[length..]);
    }

    /// <summary>Decrypts a frame in place; false if it is not the next one that the other side sealed.</summary>
    public bool TryOpen(Span<byte> frame)
    {
        int length = frame.Length - TagLength;
        return length >= 0 && _cipher.TryOpen(Next(), default, frame[..length], frame[length..]);
    }

    /// <inheritdoc/>
    public void Dispose() => _cipher.Dispose();

    // The last counter is reserved by Noise; at a billion frames a second it is reached in 584 years.
    private ulong Next() => _counter != ulong.MaxValue ? _counter++ : throw new InvalidOperationException("The cipher is used up.");
}
