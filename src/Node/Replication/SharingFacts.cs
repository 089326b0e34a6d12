// What a node has decided about a MiMei among nodes, and what it has seen of others, in two files of the MiMei's folder:
//
//   replica         whether it is followed, from whom, and whose word counts: what people decided (who may have it is a matter of rights: MimeiRights)
//   replica-state   the newest head that was seen, certificates, proofs, who was refused: what the core keeps
//
// Nothing of it may be taken for another thing: a file that is damaged is an error that names it.
// Each is a SHA-256 followed by a block of DAG-CBOR, written beside the old one, whose place it takes when it is durable.

using System.Security.Cryptography;
using Leither.Ipfs;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Rights;
using Leither.Replication;

namespace Leither.Node.Replication;

/// <summary>What was decided about a MiMei among nodes.</summary>
internal sealed record SharingFacts
{
    public const string FileName = "replica";

    /// <summary>What a list may hold.</summary>
    public const int MaxAddresses = 64, MaxNamed = 64;

    private const int Format = 2, FieldCount = 4;

    /// <summary>The format before there were rights: with whether everybody might have it, and who else.</summary>
    private const int OldFormat = 1, OldFieldCount = 6, OldMaxUsers = 4096;

    public static SharingFacts None { get; } = new();

    /// <summary>It is followed for as long as the node lives, and the network is told.</summary>
    public bool IsProvided { get; init; }

    /// <summary>Where it may be had.</summary>
    public IReadOnlyList<Multiaddr> From { get; init; } = [];

    /// <summary>Whose acknowledgements count: peer ids or node ids.</summary>
    public IReadOnlyList<string> Named { get; init; } = [];

    /// <summary>Reads a MiMei's facts; those of one that has none where there is no file.</summary>
    /// <exception cref="IOException">The file is damaged, or the disk failed.</exception>
    public static SharingFacts Load(string folder)
    {
        string path = Path.Combine(folder, FileName);
        try
        {
            return CheckedFile.Read(path) is { } block ? Decode(block, out _) : None;
        }
        catch (MalformedBlockException e)
        {
            throw new IOException($"{path}, which says whom the MiMei is followed from, is damaged: {e.Message} Restore it from a copy, or delete it and provide again", e);
        }
    }

    /// <summary>Who might read a MiMei by a file of the format before there were rights; null: nobody, or there is none.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    public static MimeiRights? ReadOldRights(string folder)
    {
        try
        {
            MimeiRights? old = null;
            if (CheckedFile.Read(Path.Combine(folder, FileName)) is { } block) Decode(block, out old);
            return old is { IsShared: true } ? old : null;
        }
        catch (MalformedBlockException)
        {
            // That it is damaged is told when it is followed. Nobody may read it by it.
            return null;
        }
    }

    /// <summary>Writes them, durably.</summary>
    /// <exception cref="IOException">The disk failed; what was there before still is.</exception>
    public void Save(string folder) => CheckedFile.Write(folder, FileName, Encode());

    private byte[] Encode()
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(FieldCount);
        writer.WriteKey("from"u8);
        writer.WriteArrayStart(From.Count);
        foreach (Multiaddr address in From) writer.WriteBytes(address.Bytes);
        writer.WriteKey("named"u8);
        WriteTexts(writer, Named);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("provided"u8);
        writer.WriteBoolean(IsProvided);
        return writer.ToArray();
    }

    private static SharingFacts Decode(ReadOnlySpan<byte> block, out MimeiRights? oldRights)
    {
        var reader = new DagCborReader(block);
        bool isOld = reader.ReadMapStart() is var count && count == OldFieldCount;
        if (!isOld && count != FieldCount) throw new MalformedBlockException($"It has {count} fields.");
        reader.ReadKey("from"u8);
        IReadOnlyList<Multiaddr> from = ReadAddresses(ref reader, MaxAddresses);
        reader.ReadKey("named"u8);
        IReadOnlyList<string> named = ReadTexts(ref reader, MaxNamed);
        IReadOnlyList<string> users = [];
        if (isOld)
        {
            reader.ReadKey("users"u8);
            users = ReadTexts(ref reader, OldMaxUsers);
        }

        reader.ReadKey("format"u8);
        if (reader.ReadInt64() is var format && format != (isOld ? OldFormat : Format)) throw new MalformedBlockException($"It is of format {format}, which this version does not know.");
        bool isPublic = false;
        if (isOld)
        {
            reader.ReadKey("public"u8);
            isPublic = reader.ReadBoolean();
        }

        reader.ReadKey("provided"u8);
        bool isProvided = reader.ReadBoolean();
        reader.End();
        MimeiRights shared = MimeiRights.Private.SharedWith(users.Select(MimeiCaller.Normalize).OfType<string>());
        oldRights = isOld ? isPublic ? shared.Published() : shared : null;
        return new SharingFacts { From = from, Named = named, IsProvided = isProvided };
    }

    internal static List<Multiaddr> ReadAddresses(ref DagCborReader reader, int max)
    {
        var addresses = new List<Multiaddr>();
        for (int left = Count(reader.ReadArrayStart(), max); left > 0; left--)
        {
            addresses.Add(Multiaddr.TryRead(reader.ReadBytes(), out Multiaddr? address) ? address : throw new MalformedBlockException("What should be an address is none."));
        }

        return addresses;
    }

    internal static int Count(int count, int max) => count <= max ? count : throw new MalformedBlockException($"A list has {count} elements; at most {max} are possible.");

    private static void WriteTexts(DagCborWriter writer, IReadOnlyList<string> texts)
    {
        writer.WriteArrayStart(texts.Count);
        foreach (string text in texts) writer.WriteText(text);
    }

    private static List<string> ReadTexts(ref DagCborReader reader, int max)
    {
        var texts = new List<string>();
        for (int left = Count(reader.ReadArrayStart(), max); left > 0; left--) texts.Add(reader.ReadText());
        return texts;
    }
}

/// <summary>What a MiMei's replica keeps for the time after a restart: the core's own facts, and on which boot of the machine the log was last open.</summary>
/// <param name="Core">The core's facts; null: there are none.</param>
/// <param name="Boot">The machine's boot id while the log is open for writing here; empty: it was closed well.</param>
/// <param name="Peers">Where followers are, who are asked for what was signed here after a loss of power.</param>
internal sealed record ReplicaState(ReplicaFacts? Core, string Boot, IReadOnlyList<Multiaddr> Peers)
{
    public const string FileName = "replica-state";

    /// <summary>How many followers are remembered, and how many addresses of each.</summary>
    public const int MaxPeers = 16, MaxAddressesEach = 4;

    private const int Format = 1;

    /// <summary>Reads it; nothing where there is no file.</summary>
    /// <exception cref="IOException">The file is damaged, or the disk failed.</exception>
    public static ReplicaState Load(string folder)
    {
        string path = Path.Combine(folder, FileName);
        try
        {
            if (CheckedFile.Read(path) is not { } block) return new ReplicaState(null, "", []);
            var reader = new DagCborReader(block);
            reader.ReadArrayStart(4);
            if (reader.ReadInt64() is var format and not Format) throw new MalformedBlockException($"It is of format {format}, which this version does not know.");
            string boot = reader.ReadText();
            ReplicaFacts? core = reader.TryReadNull() ? null : ReplicaFacts.Decode(reader.ReadBytes());
            IReadOnlyList<Multiaddr> peers = SharingFacts.ReadAddresses(ref reader, MaxPeers * MaxAddressesEach);
            reader.End();
            return new ReplicaState(core, boot, peers);
        }
        catch (MalformedBlockException e)
        {
            throw new IOException(
                $"{path}, which holds the newest signed head, certificates and proofs that this node has seen, is damaged: {e.Message} Restore it from a copy, or delete it: then an old head is taken for new", e);
        }
    }

    /// <summary>Writes it, durably.</summary>
    /// <exception cref="IOException">The disk failed; what was there before still is.</exception>
    public void Save(string folder)
    {
        var writer = new DagCborWriter();
        writer.WriteArrayStart(4);
        writer.WriteInt64(Format);
        writer.WriteText(Boot);
        if (Core is null) writer.WriteNull();
        else writer.WriteBytes(Core.Encode());
        writer.WriteArrayStart(Peers.Count);
        foreach (Multiaddr address in Peers) writer.WriteBytes(address.Bytes);
        CheckedFile.Write(folder, FileName, writer.ToArray());
    }
}

/// <summary>A small file that is whole or is not: its bytes behind their hash.</summary>
internal static class CheckedFile
{
    private const int MaxBytes = 16 << 20;

    /// <summary>What a file holds; null: there is none.</summary>
    /// <exception cref="MalformedBlockException">It is damaged.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static byte[]? Read(string path)
    {
        if (!File.Exists(path)) return null;
        if (new FileInfo(path).Length > MaxBytes) throw new MalformedBlockException("It is longer than it can be.");
        byte[] bytes = File.ReadAllBytes(path);
        return bytes.Length >= SHA256.HashSizeInBytes && SHA256.HashData(bytes.AsSpan(SHA256.HashSizeInBytes)).AsSpan().SequenceEqual(bytes.AsSpan(0, SHA256.HashSizeInBytes))
            ? bytes[SHA256.HashSizeInBytes..] : throw new MalformedBlockException("Its hash is another one.");
    }

    /// <summary>Puts bytes in the place of what a file held, durably.</summary>
    /// <exception cref="IOException">The disk failed; the file is as it was.</exception>
    public static void Write(string folder, string name, byte[] bytes)
    {
        DiskFolder files = DiskFolder.Make(folder);
        string unfinished = name + ".new";
        files.Delete(unfinished);
        using (IFile file = files.Create(unfinished))
        {
            file.WriteAll(0, [.. SHA256.HashData(bytes), .. bytes]);
            file.Sync();
        }

        files.Rename(unfinished, name);
        files.SyncDirectory();
    }
}
