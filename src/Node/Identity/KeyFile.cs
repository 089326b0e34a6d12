using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;

namespace Leither.Node.Identity;

/// <summary>
/// Keys in files, a line of text each.
/// <code>
/// private key                base64 of the key as libp2p encodes keys (as the node's own are kept)
/// private key, encrypted     leither-encrypted-key-1:BASE64
///                              iterations   4 bytes, big-endian
///                              salt        16 bytes     key = PBKDF2-HMAC-SHA256(pass phrase, salt, iterations), 32 bytes
///                              nonce       12 bytes
///                              ciphertext  as long as the private key: AES-256-GCM, with the name before the colon, iterations and salt as associated data
///                              tag         16 bytes
/// public key                 leither-public-key-1:BASE64 of the key as libp2p encodes keys
/// </code>
/// </summary>
internal static class KeyFile
{
    /// <summary>What guessing a pass phrase costs: what OWASP names for PBKDF2 with SHA-256.</summary>
    private const int Iterations = 600_000;

    /// <summary>More would only be somebody's way to keep this program busy.</summary>
    private const int MaxIterations = 10_000_000;

    private const string EncryptedName = "leither-encrypted-key-1", PublicName = "leither-public-key-1";
    private const int SaltLength = 16, NonceLength = 12, TagLength = 16, HeadLength = 4 + SaltLength;
    private const int MaxFileBytes = 4096;
    private const UnixFileMode PrivateFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>A private key as text; with a pass phrase, encrypted.</summary>
    public static string ToText(PrivateKey key, string? passPhrase)
    {
        byte[] plain = new byte[PrivateKey.ProtobufLength];
        key.CopyProtobuf(plain);
        try
        {
            return string.IsNullOrEmpty(passPhrase) ? Convert.ToBase64String(plain) : $"{EncryptedName}:{Convert.ToBase64String(Encrypt(plain, passPhrase))}";
        }
        finally
        {
            CryptographicOperations.ZeroMemory(plain);
        }
    }

    /// <summary>A public key as text.</summary>
    public static string ToText(PublicKey key) => $"{PublicName}:{Convert.ToBase64String(key.Protobuf)}";

    /// <summary>Whether a text is that of an encrypted private key.</summary>
    public static bool IsEncrypted(string text) => text.StartsWith(EncryptedName + ":", StringComparison.Ordinal);

    /// <summary>Reads a private key's text.</summary>
    /// <exception cref="IdentityException">It is none, or the pass phrase is wrong.</exception>
    public static PrivateKey ParsePrivate(string text, Func<string> passPhrase)
    {
        byte[] bytes = new byte[text.Length];
        try
        {
            bool isEncrypted = IsEncrypted(text);
            if (!Convert.TryFromBase64Chars(isEncrypted ? text.AsSpan(EncryptedName.Length + 1) : text, bytes, out int length))
            {
                throw new IdentityException("it is no private key");
            }

            byte[] plain = isEncrypted ? Decrypt(bytes.AsSpan(0, length), passPhrase()) : bytes[..length];
            try
            {
                return PrivateKey.TryFromProtobuf(plain, out PrivateKey? key) ? key : throw new IdentityException("it is no private key");
            }
            finally
            {
                CryptographicOperations.ZeroMemory(plain);
            }
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    /// <summary>Reads a public key's text; false: it is none.</summary>
    public static bool TryParsePublic(string text, [NotNullWhen(true)] out PublicKey? key)
    {
        key = null;
        byte[] bytes = new byte[text.Length];
        return text.StartsWith(PublicName + ":", StringComparison.Ordinal)
            && Convert.TryFromBase64Chars(text.AsSpan(PublicName.Length + 1), bytes, out int length)
            && PublicKey.TryFromProtobuf(bytes.AsSpan(0, length), out key);
    }

    /// <summary>The text of a file of one line.</summary>
    /// <exception cref="IdentityException">It cannot be read, or is longer than any of ours.</exception>
    public static string Read(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            byte[] bytes = new byte[MaxFileBytes * 2];
            int length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return length < bytes.Length ? Encoding.UTF8.GetString(bytes, 0, length).Trim() : throw new IdentityException($"{path} is too long to be a key, a certificate or a passport");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IdentityException(Unreadable.Because(path, e), e);
        }
    }

    /// <summary>Reads a private key's file, which nobody else may be able to read.</summary>
    /// <exception cref="IdentityException">It cannot be read, is open to others, or is no key; or the pass phrase is wrong.</exception>
    public static PrivateKey ReadPrivate(string path, Func<string> passPhrase)
    {
        if (!OperatingSystem.IsWindows() && File.Exists(path) && (File.GetUnixFileMode(path) & ~(PrivateFile | UnixFileMode.UserExecute) & (UnixFileMode)0x1FF) is not UnixFileMode.None and var open)
        {
            throw new IdentityException($"{path} is open to other users of this machine (mode {Convert.ToString((int)(open | PrivateFile), 8)}). Close it with: chmod 600 {path}");
        }

        try
        {
            return ParsePrivate(Read(path), passPhrase);
        }
        catch (IdentityException e) when (!e.Message.Contains(path, StringComparison.Ordinal))
        {
            throw new IdentityException($"{path}: {e.Message}", e);
        }
    }

    /// <summary>Writes a file that is not there yet, whole or not at all.</summary>
    /// <exception cref="IdentityException">It is there, or cannot be written.</exception>
    public static void Write(string path, string text, bool isSecret)
    {
        string full = Path.GetFullPath(path), folder = Path.GetDirectoryName(full) ?? full, temporary = $"{full}.{Environment.ProcessId}.new";
        string? obstacle =
            Directory.Exists(full) ? "it is a folder. Name a file in it"
            : File.Exists(folder) ? $"{folder} is a file and no folder"
            : !Directory.Exists(folder) ? $"there is no folder {folder}. Make it with: mkdir -p {folder}"
            : null;
        if (obstacle is not null)
        {
            throw new IdentityException($"{path} cannot be written: {obstacle}");
        }

        try
        {
            FileStreamOptions options = new() { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (isSecret && !OperatingSystem.IsWindows()) options.UnixCreateMode = PrivateFile;
            FileStream stream = new(temporary, options);
            try
            {
                using (stream)
                {
                    stream.Write(Encoding.ASCII.GetBytes(text + "\n"));
                    stream.Flush(flushToDisk: true);
                }

                File.Move(temporary, full, overwrite: false);
            }
            catch
            {
                File.Delete(temporary);
                throw;
            }

            new DiskFolder(folder).SyncDirectory();
        }
        catch (IOException) when (File.Exists(full))
        {
            throw new IdentityException($"{path} is there already, and nothing here overwrites it");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The file that is written first is nobody's but ours.
            throw new IdentityException($"{path} cannot be written: {e.Message.Replace(temporary, full, StringComparison.Ordinal)}", e);
        }
    }

    private static byte[] Encrypt(ReadOnlySpan<byte> plain, string passPhrase)
    {
        byte[] result = new byte[HeadLength + NonceLength + plain.Length + TagLength];
        BinaryPrimitives.WriteInt32BigEndian(result, Iterations);
        RandomNumberGenerator.Fill(result.AsSpan(4, SaltLength + NonceLength));
        byte[] key = Derive(passPhrase, result.AsSpan(4, SaltLength), Iterations);
        using AesGcm cipher = new(key, TagLength);
        cipher.Encrypt(result.AsSpan(HeadLength, NonceLength), plain, result.AsSpan(HeadLength + NonceLength, plain.Length), result.AsSpan(result.Length - TagLength), Associated(result));
        CryptographicOperations.ZeroMemory(key);
        return result;
    }

    private static byte[] Decrypt(ReadOnlySpan<byte> bytes, string passPhrase)
    {
        if (bytes.Length <= HeadLength + NonceLength + TagLength || BinaryPrimitives.ReadInt32BigEndian(bytes) is not (> 0 and <= MaxIterations and var iterations))
        {
            throw new IdentityException("it is no private key");
        }

        byte[] key = Derive(passPhrase, bytes.Slice(4, SaltLength), iterations);
        byte[] plain = new byte[bytes.Length - HeadLength - NonceLength - TagLength];
        try
        {
            using AesGcm cipher = new(key, TagLength);
            cipher.Decrypt(bytes.Slice(HeadLength, NonceLength), bytes.Slice(HeadLength + NonceLength, plain.Length), bytes[^TagLength..], plain, Associated(bytes));
            return plain;
        }
        catch (AuthenticationTagMismatchException e)
        {
            throw new IdentityException("the pass phrase is wrong, or the file is damaged", e);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(key);
        }
    }

    private static byte[] Associated(ReadOnlySpan<byte> bytes) => [.. Encoding.ASCII.GetBytes(EncryptedName), .. bytes[..HeadLength]];

    private static byte[] Derive(string passPhrase, ReadOnlySpan<byte> salt, int iterations) =>
        Rfc2898DeriveBytes.Pbkdf2(passPhrase, salt, iterations, HashAlgorithmName.SHA256, 32);
}

/// <summary>A key, certificate or passport cannot be used. The message says which and why.</summary>
internal sealed class IdentityException(string message, Exception? inner = null) : Exception(message, inner);
