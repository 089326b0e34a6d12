using System.Buffers.Binary;
using System.Security.Cryptography;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb.Log;
using Leither.Node.Configuration;
using Leither.Node.Logging;

namespace Leither.Node.Storage;

/// <summary>
/// The two private keys of a node, made at its first start and kept in <c>keys/</c>: the author key owns the MiMei that are made here, the node key is who
/// the node is to other nodes. A key is one line of base64: the key as libp2p encodes keys.
/// </summary>
/// <remarks>
/// Neither is ever replaced: one that cannot be read stops the start, for with a new one the node would be somebody else, without a right to what it has.
/// </remarks>
public sealed class NodeKeys : IDisposable
{
    private const string AuthorFile = "author.key", NodeFile = "node.key";
    private const UnixFileMode PrivateFile = UnixFileMode.UserRead | UnixFileMode.UserWrite, PrivateFolder = PrivateFile | UnixFileMode.UserExecute;
    private const UnixFileMode Others = ~PrivateFolder & (UnixFileMode)0x1FF;

    private NodeKeys(PrivateKey author, PrivateKey node)
    {
        Author = author;
        Node = node;
    }

    /// <summary>Owns the MiMei that are made here.</summary>
    public PrivateKey Author { get; }

    /// <summary>Who the node is.</summary>
    public PrivateKey Node { get; }

    /// <summary>Reads the keys of a data folder, and makes those that are missing.</summary>
    /// <exception cref="DataFolderException">One is damaged.</exception>
    /// <exception cref="IOException">One cannot be read or written.</exception>
    public static NodeKeys Open(string dataFolder, NodeLog log)
    {
        string folder = Path.Combine(dataFolder, "keys");
        if (!OperatingSystem.IsWindows())
        {
            if (!Directory.Exists(folder))
            {
                Directory.CreateDirectory(folder, PrivateFolder);
            }

            CloseToOthers(folder, File.GetUnixFileMode(folder), File.SetUnixFileMode, PrivateFolder, log);
        }

        DiskFolder files = DiskFolder.Make(folder);
        PrivateKey author = Read(files, AuthorFile, log) ?? Make(files, AuthorFile);
        PrivateKey node = Read(files, NodeFile, log) ?? Make(files, NodeFile);
        DiskFolder.Make(dataFolder).SyncDirectory();
        return new NodeKeys(author, node);
    }

    /// <summary>Reads the keys of a data folder, and changes nothing; null: one is missing.</summary>
    /// <exception cref="DataFolderException">One is damaged.</exception>
    /// <exception cref="IOException">One cannot be read.</exception>
    public static NodeKeys? Find(string dataFolder)
    {
        PrivateKey? Of(string name)
        {
            string path = Path.Combine(dataFolder, "keys", name);
            return File.Exists(path) ? ReadFile(path) ?? throw new DataFolderException($"{path} is not a private key, or it is damaged") : null;
        }

        return Of(AuthorFile) is { } author && Of(NodeFile) is { } node ? new NodeKeys(author, node) : null;
    }

    /// <summary>
    /// The seed of a MiMei's key hashes on this node (HKDF, RFC 5869, of the node key): the same at every start, so that a checkpoint, whose keys come in the order of their hashes,
    /// goes into the key table from one end to the other, and a SCAN goes on after a restart. Nobody knows it who does not know the key.
    /// </summary>
    public ulong HashSeed(LeitherId mimei)
    {
        Span<byte> secret = stackalloc byte[Ed25519.SeedLength], salt = stackalloc byte[LeitherId.Length], seed = stackalloc byte[sizeof(ulong)];
        Node.CopySeed(secret);
        mimei.CopyTo(salt);
        HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, seed, salt, info: "leither hash seed"u8);
        CryptographicOperations.ZeroMemory(secret);
        return BinaryPrimitives.ReadUInt64LittleEndian(seed);
    }

    /// <summary>
    /// The key of a MiMei's name in IPNS (HKDF, RFC 5869, of the author key): the same on each node that has that key, another for each MiMei, and no way leads from one to another.
    /// </summary>
    public PrivateKey NameKey(LeitherId mimei)
    {
        Span<byte> secret = stackalloc byte[Ed25519.SeedLength], salt = stackalloc byte[LeitherId.Length], seed = stackalloc byte[Ed25519.SeedLength];
        Author.CopySeed(secret);
        mimei.CopyTo(salt);
        HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, seed, salt, info: "leither ipns name"u8);
        try
        {
            return PrivateKey.FromSeed(seed);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(secret);
            CryptographicOperations.ZeroMemory(seed);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Author.Dispose();
        Node.Dispose();
    }

    private static PrivateKey? Read(DiskFolder files, string name, NodeLog log)
    {
        string path = files.FullName(name);
        if (!File.Exists(path))
        {
            return null;
        }

        if (!OperatingSystem.IsWindows())
        {
            CloseToOthers(path, File.GetUnixFileMode(path), File.SetUnixFileMode, PrivateFile, log);
        }

        return ReadFile(path) ?? throw new DataFolderException($"{path} is not a private key, or it is damaged. Restore it from a copy: without it this node is not who it was");
    }

    /// <summary>Reads a file with a private key; null if it holds none.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static PrivateKey? ReadFile(string path)
    {
        const int maxBytes = 4096;
        if (new FileInfo(path).Length > maxBytes)
        {
            return null;
        }

        byte[] text = File.ReadAllBytes(path);
        byte[] key = new byte[text.Length];
        try
        {
            return Convert.TryFromBase64Chars(System.Text.Encoding.ASCII.GetString(text).TrimEnd(), key, out int length)
                && PrivateKey.TryFromProtobuf(key.AsSpan(0, length), out PrivateKey? read)
                ? read
                : null;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(text);
            CryptographicOperations.ZeroMemory(key);
        }
    }

    /// <summary>Makes a key; a crash leaves it whole or not at all.</summary>
    private static PrivateKey Make(DiskFolder files, string name)
    {
        PrivateKey key = PrivateKey.Generate();
        byte[] protobuf = new byte[PrivateKey.ProtobufLength];
        key.CopyProtobuf(protobuf);
        string temporary = name + ".new";
        File.Delete(files.FullName(temporary));
        FileStreamOptions options = new() { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = PrivateFile;
        }

        using (FileStream stream = new(files.FullName(temporary), options))
        {
            stream.Write(System.Text.Encoding.ASCII.GetBytes(Convert.ToBase64String(protobuf) + "\n"));
            stream.Flush(flushToDisk: true);
        }

        CryptographicOperations.ZeroMemory(protobuf);
        files.Rename(temporary, name);
        files.SyncDirectory();
        return key;
    }

    /// <summary>A key that others on this machine could read is closed to them; that they may have read it is said.</summary>
    private static void CloseToOthers(string path, UnixFileMode mode, Action<string, UnixFileMode> set, UnixFileMode wanted, NodeLog log)
    {
        if ((mode & Others) != 0)
        {
            set(path, wanted);
            log.Warning($"{path} was open to other users of this machine (mode {Convert.ToString((int)mode, 8)}), and is not any more. Who read it can act as this node");
        }
    }
}
