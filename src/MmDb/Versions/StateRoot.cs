using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>The state of a MiMei at one position, by its roots (StateFormat.cs).</summary>
/// <param name="Databases">The databases that hold anything, by number.</param>
/// <param name="Functions">The function libraries, by name.</param>
internal sealed record StateRoot(IReadOnlyDictionary<int, TreeRoot> Databases, IReadOnlyList<(byte[] Name, byte[] Code)> Functions)
{
    /// <summary>The root of the files; none: there are none.</summary>
    public Cid Files { get; init; }

    /// <summary>No keys, no libraries and no files.</summary>
    public static StateRoot Empty { get; } = new(new Dictionary<int, TreeRoot>(), []);

    /// <summary>Keys in all databases.</summary>
    public long KeyCount => Databases.Values.Sum(static d => d.Weight);

    /// <summary>The tree of a database.</summary>
    public TreeRoot Database(int number) => Databases.TryGetValue(number, out TreeRoot root) ? root : TreeRoot.Empty;

    /// <summary>Stores it; gives the state's CID.</summary>
    public Cid Write(NodeStore store)
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(Files.IsNone ? 3 : 4);
        if (!Files.IsNone)
        {
            writer.WriteKey("files"u8);
            writer.WriteCid(Files);
        }

        writer.WriteKey("format"u8);
        writer.WriteInt64(StateFormat.Version);
        writer.WriteKey("databases"u8);
        writer.WriteArrayStart(Databases.Count);
        foreach ((int number, TreeRoot root) in Databases.OrderBy(static d => d.Key))
        {
            writer.WriteArrayStart(3);
            writer.WriteInt64(number);
            writer.WriteCid(root.Root);
            writer.WriteInt64(root.Weight);
        }

        writer.WriteKey("functions"u8);
        writer.WriteArrayStart(Functions.Count);
        foreach ((byte[] name, byte[] code) in Functions.OrderBy(static f => f.Name, ByteStringComparer.Order))
        {
            writer.WriteArrayStart(2);
            writer.WriteBytes(name);
            ValueAssembler.WriteString(store, writer, code);
        }

        return store.Write(Multicodec.DagCbor, writer.Written);
    }

    /// <summary>Reads a state.</summary>
    /// <exception cref="MissingBlockException">A block of it is not here.</exception>
    /// <exception cref="TreeFormatException">It is no state, or of a newer format.</exception>
    public static StateRoot Read(NodeStore store, in Cid link)
    {
        try
        {
            var reader = new DagCborReader(store.ReadBlock(link));
            Cid files = ReadFiles(ref reader);
            reader.ReadKey("format"u8);
            if (reader.ReadInt64() is var version and not StateFormat.Version)
            {
                throw new TreeFormatException($"the state {link} is of format {version}, which this version does not know");
            }

            reader.ReadKey("databases"u8);
            var databases = new Dictionary<int, TreeRoot>();
            for (int count = reader.ReadArrayStart(); count > 0; count--)
            {
                reader.ReadArrayStart(3);
                int number = reader.ReadInt32();
                databases[number] = new TreeRoot(reader.ReadCid(), reader.ReadInt64());
            }

            reader.ReadKey("functions"u8);
            var functions = new List<(byte[] Name, byte[] Code)>();
            for (int count = reader.ReadArrayStart(); count > 0; count--)
            {
                reader.ReadArrayStart(2);
                functions.Add((reader.ReadBytes().ToArray(), StateReader.ReadString(store, ref reader)));
            }

            reader.End();
            return new StateRoot(databases, functions) { Files = files };
        }
        catch (DagCborException e)
        {
            throw new TreeFormatException($"{link} is no state of a MiMei: {e.Message}");
        }
    }

    /// <summary>Reads how a state begins; gives the root of its files, or none.</summary>
    /// <exception cref="DagCborException">It begins otherwise.</exception>
    public static Cid ReadFiles(ref DagCborReader reader)
    {
        if (reader.ReadMapStart() != 4)
        {
            return default;
        }

        reader.ReadKey("files"u8);
        return reader.ReadCid();
    }
}
