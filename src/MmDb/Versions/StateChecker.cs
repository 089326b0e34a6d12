using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>
/// Checks that states are what this program would have written (StateFormat.cs), block by block: hashes, canonical DAG-CBOR, the order, cuts, levels and
/// weights of trees, and every item in them. What several states share is read once.
/// </summary>
/// <param name="blocks">Where the blocks are.</param>
/// <param name="found">Is told of each problem: the block that has it, and what is wrong.</param>
/// <param name="step">Is called for each block; may throw to end the check.</param>
/// <remarks>It keeps some 200 bytes for each block that it has seen, 4 KiB as a rule. For one thread.</remarks>
internal sealed class StateChecker(IBlockstore blocks, Action<Cid, Exception?, string> found, Action step)
{
    private readonly NodeStore _store = new(blocks);
    private readonly HashSet<Cid> _read = [];
    private readonly Dictionary<(Cid Node, ItemKind Items, bool IsLast), Facts> _nodes = [];
    private readonly Dictionary<(Cid Chunk, bool IsLast), int> _chunks = [];
    private readonly byte[] _treeKey = new byte[StateFormat.LongName];

    /// <summary>What a node's parent says of it.</summary>
    private sealed record Facts(int Level, int Count, long Weight, byte[] FirstKey, byte[] LastKey, int ItemBytes);

    private enum ItemKind
    {
        Keys,
        Elements,
        Members,
        Scored,
        Fields,
        Entries,
        Groups,
        Consumers,
        Pending,
        Chunks,
    }

    /// <summary>Blocks that were read, each once.</summary>
    public long Blocks { get; private set; }

    /// <summary>Their bytes.</summary>
    public long Bytes { get; private set; }

    /// <summary>These blocks.</summary>
    public IReadOnlyCollection<Cid> Seen => _read;

    /// <summary>A block, counted; null: there is none that can be used, which was told.</summary>
    public byte[]? Read(in Cid link)
    {
        step();
        try
        {
            if (blocks.Get(link) is { } block)
            {
                if (_read.Add(link))
                {
                    Blocks++;
                    Bytes += block.Length;
                }

                return block;
            }

            found(link, null, "is missing");
        }
        catch (BlockCorruptedException e)
        {
            found(link, e, $"is damaged ({e.Problem})");
        }

        return null;
    }

    /// <summary>Checks a state and all that it leads to.</summary>
    public void Check(in Cid state)
    {
        if (_read.Contains(state) || Read(state) is not { } block)
        {
            return;
        }

        try
        {
            var reader = new DagCborReader(block);
            Cid files = StateRoot.ReadFiles(ref reader);
            reader.ReadKey("format"u8);
            Require(reader.ReadInt64() == StateFormat.Version, "is of a format that this version does not know");
            reader.ReadKey("databases"u8);
            int before = -1;
            for (int count = reader.ReadArrayStart(); count > 0; count--)
            {
                reader.ReadArrayStart(3);
                int number = reader.ReadInt32();
                Require(number > before, "has databases out of order");
                before = number;
                Cid root = reader.ReadCid();
                long keys = reader.ReadInt64();
                if (Tree(TreeKind.Map, ItemKind.Keys, root, 0) is { } facts)
                {
                    Require(facts.Weight == keys, $"says that database {number} has {keys} keys, and it has {facts.Weight}");
                }
            }

            reader.ReadKey("functions"u8);
            byte[]? last = null;
            for (int count = reader.ReadArrayStart(); count > 0; count--)
            {
                reader.ReadArrayStart(2);
                byte[] name = reader.ReadBytes().ToArray();
                Require(last is null || last.AsSpan().SequenceCompareTo(name) < 0, "has libraries out of order");
                last = name;
                String(ref reader);
            }

            reader.End();
            if (!files.IsNone)
            {
                Files(files);
            }
        }
        catch (Exception e) when (e is DagCborException or TreeFormatException)
        {
            found(state, null, e is TreeFormatException ? e.Message : $"is no state of a MiMei: {e.Message}");
        }
    }

    /// <summary>All blocks of the files: whether they are here, and files.</summary>
    private void Files(in Cid root)
    {
        var left = new Stack<Cid>();
        var links = new List<Cid>();
        left.Push(root);
        while (left.TryPop(out Cid cid))
        {
            if (_read.Contains(cid) || Read(cid) is not { } block)
            {
                continue;
            }

            try
            {
                if (cid == root)
                {
                    FileBlocks.RequireRoot(cid, block);
                }

                FileBlocks.AddLinks(cid, block, links);
                for (int i = links.Count - 1; i >= 0; i--)
                {
                    left.Push(links[i]);
                }
            }
            catch (MimeiException e)
            {
                found(cid, null, $"is not of files: {e.Message["ERR ".Length..]}");
            }
        }
    }

    private static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new TreeFormatException(what);
        }
    }

    // ------------------------------------------------------------------ trees

    private Facts? Tree(TreeKind kind, ItemKind items, in Cid root, int leafLevel)
    {
        if (Node(kind, items, root, isLast: true, leafLevel, TreeNode.MaxLevel) is not { } facts)
        {
            return null;
        }

        Require(facts.Level >= leafLevel, $"links to {root}, whose level is below that of leaves");
        Require(facts.Level == 0 || facts.Count > 1, $"links to {root}, a root with one child");
        return facts;
    }

    /// <summary>Checks a node and those below.</summary>
    /// <param name="kind">What the tree sorts by.</param>
    /// <param name="items">What its leaves hold.</param>
    /// <param name="link">The node.</param>
    /// <param name="isLast">Whether none of its level comes after it, so that it may end anywhere.</param>
    /// <param name="leafLevel">The level of leaves.</param>
    /// <param name="maxLevel">The level that it may have: one that lies higher is not gone into, so that no chain of nodes is longer than there are levels.</param>
    /// <returns>What it is; null: it cannot be read, which was told.</returns>
    private Facts? Node(TreeKind kind, ItemKind items, Cid link, bool isLast, int leafLevel, int maxLevel)
    {
        if (_nodes.TryGetValue((link, items, isLast), out Facts? known))
        {
            return known;
        }

        if (link.Codec != Multicodec.DagCbor)
        {
            found(link, null, "is no node of a tree");
            return null;
        }

        if (Read(link) is not { } block)
        {
            return null;
        }

        try
        {
            TreeNode node = TreeNode.Decode(kind, block);
            Require(node.Level <= maxLevel, $"is of level {node.Level}, and the node above it of level {maxLevel + 1}");
            var boundary = default(NodeBoundary);
            long weight = 0;
            byte[] first = [], last = [];
            for (int i = 0; i < node.Count; i++)
            {
                ReadOnlySpan<byte> item = node.Item(i);
                ulong hash;
                if (node.Level > 0)
                {
                    (Cid child, long below) = node.Child(i);
                    byte[] key = kind == TreeKind.Map ? node.Key(i).ToArray() : [];
                    hash = new TreeChild(key, child, below).Hash(kind, node.Level);
                    Require(below > 0, "has a child that weighs nothing");
                    weight = checked(weight + below);
                    bool isLastChild = isLast && i == node.Count - 1;
                    if (node.Level == leafLevel)
                    {
                        Chunk(child, below, isLastChild);
                    }
                    else if (Node(kind, items, child, isLastChild, leafLevel, node.Level - 1) is { } facts)
                    {
                        Require(facts.Level == node.Level - 1, $"is of level {node.Level}, and its child {child} of level {facts.Level}");
                        Require(facts.Weight == below, $"says that its child {child} weighs {below}, and it weighs {facts.Weight}");
                        Require(kind != TreeKind.Map || facts.LastKey.AsSpan().SequenceEqual(key), $"does not name the last key of its child {child}");
                        Require(kind != TreeKind.Map || i == 0 || facts.FirstKey.AsSpan().SequenceCompareTo(last) > 0, $"has a child {child} whose keys begin before those of the one before end");
                        first = i == 0 ? facts.FirstKey : first;
                    }

                    last = key;
                }
                else
                {
                    weight++;
                    hash = XxHash64.Compute(kind == TreeKind.Map ? node.Key(i) : item, 0);
                    Item(items, item);
                }

                bool ends = boundary.EndsBehind(hash, item.Length, node.Level);
                Require(ends == (i == node.Count - 1) || (isLast && i == node.Count - 1), "is not cut where its content says");
            }

            if (kind == TreeKind.Map && node.Level == 0)
            {
                (first, last) = (node.Key(0).ToArray(), node.LastKey.ToArray());
            }

            return _nodes[(link, items, isLast)] = new Facts(node.Level, node.Count, weight, first, last, node.Items.Length);
        }
        catch (Exception e) when (e is DagCborException or TreeFormatException or OverflowException)
        {
            found(link, null, e.Message);
            return null;
        }
        catch (Exception e) when (e is MissingBlockException or BlockCorruptedException)
        {
            // A part of a name: it was told when it was read.
            return null;
        }
    }

    private void Chunk(in Cid link, long length, bool isLast)
    {
        if (!_chunks.TryGetValue((link, isLast), out int known))
        {
            Require(link.Codec == Multicodec.Raw, $"has a piece of a string, {link}, that is no raw block");
            if (Read(link) is not { } bytes)
            {
                return;
            }

            Require(Blob.IsChunk(bytes, isLast), $"has a piece of a string, {link}, that is not cut where its content says");
            _chunks[(link, isLast)] = known = bytes.Length;
        }

        Require(known == length, $"says that {link} has {length} bytes, and it has {known}");
    }

    // ------------------------------------------------------------------ items

    private void Item(ItemKind kind, ReadOnlySpan<byte> item)
    {
        var reader = new DagCborReader(item);
        if (kind == ItemKind.Elements)
        {
            String(ref reader);
            reader.End();
            return;
        }

        int fields = reader.ReadArrayStart();
        ReadOnlySpan<byte> key = reader.ReadBytes();
        switch (kind)
        {
            case ItemKind.Keys:
                Value(ref reader);
                Expiry(ref reader, fields);
                Name(ref reader, key, fields, 4);
                break;
            case ItemKind.Members:
                Name(ref reader, key, fields, 2);
                break;
            case ItemKind.Scored:
                Require(!double.IsNaN(StateFormat.ReadScore(reader.ReadBytes(StateFormat.ScoreBytes))), "has a score that is no number");
                Name(ref reader, key, fields, 3);
                break;
            case ItemKind.Fields:
                String(ref reader);
                Expiry(ref reader, fields);
                Name(ref reader, key, fields, 4);
                break;
            case ItemKind.Entries:
                Require(key.Length == StateFormat.IdBytes && fields % 2 == 1, "has an entry of a stream that is none");
                for (int i = 1; i < fields; i++)
                {
                    String(ref reader);
                }

                break;
            case ItemKind.Groups:
                reader.ReadBytes(StateFormat.IdBytes);
                reader.ReadInt64();
                Collection(TreeKind.Map, ItemKind.Consumers, ref reader, mayBeEmpty: true);
                Collection(TreeKind.Map, ItemKind.Pending, ref reader, mayBeEmpty: true);
                Name(ref reader, key, fields, 6);
                break;
            case ItemKind.Consumers:
                reader.ReadInt64();
                reader.ReadInt64();
                Name(ref reader, key, fields, 4);
                break;
            default:
                Require(kind == ItemKind.Pending && fields == 4 && key.Length == StateFormat.IdBytes, "has an item that is none");
                String(ref reader);
                reader.ReadInt64();
                reader.ReadUInt64();
                break;
        }

        reader.End();
    }

    private static void Expiry(ref DagCborReader reader, int fields)
    {
        if (fields > 2 && !(fields > 3 && reader.TryReadNull()))
        {
            reader.ReadInt64();
        }
    }

    /// <summary>The name of an item whose key is a shortened one.</summary>
    private void Name(ref DagCborReader reader, ReadOnlySpan<byte> key, int fields, int withName)
    {
        bool isLong = key.Length >= StateFormat.LongName;
        Require(fields <= withName && fields >= withName - 2 && isLong == (fields == withName), "has an item with other fields than it should");
        if (!isLong)
        {
            return;
        }

        DagCborReader name = reader;
        if (String(ref reader))
        {
            Require(StateFormat.TreeKey(StateReader.ReadString(_store, ref name), _treeKey).SequenceEqual(key), "has an item under a key that is not that of its name");
        }
    }

    private void Value(ref DagCborReader reader)
    {
        DagCborReader value = reader;
        if (reader.Peek() != DagCborKind.Array)
        {
            String(ref reader);
            return;
        }

        int parts = value.ReadArrayStart();
        long kind = value.ReadInt64();
        if (parts == 2 && kind > StateFormat.MaxInlineString)
        {
            String(ref reader);
            return;
        }

        reader = value;
        Require(parts == (kind == (long)StateKind.Stream ? 6 : 2), "has a value of no kind that is known");
        switch ((StateKind)kind)
        {
            case StateKind.List:
                Collection(TreeKind.Sequence, ItemKind.Elements, ref reader);
                break;
            case StateKind.Set:
                Collection(TreeKind.Map, ItemKind.Members, ref reader);
                break;
            case StateKind.SortedSet:
                Collection(TreeKind.Map, ItemKind.Scored, ref reader);
                break;
            case StateKind.Hash:
                Collection(TreeKind.Map, ItemKind.Fields, ref reader);
                break;
            case StateKind.Stream:
                Collection(TreeKind.Map, ItemKind.Entries, ref reader, mayBeEmpty: true);
                reader.ReadBytes(StateFormat.IdBytes);
                reader.ReadBytes(StateFormat.IdBytes);
                reader.ReadUInt64();
                Collection(TreeKind.Map, ItemKind.Groups, ref reader, mayBeEmpty: true);
                break;
            default:
                throw new TreeFormatException("has a value of no kind that is known");
        }
    }

    private void Collection(TreeKind kind, ItemKind items, ref DagCborReader reader, bool mayBeEmpty = false)
    {
        if (reader.Peek() != DagCborKind.Array)
        {
            if (Tree(kind, items, reader.ReadCid(), 0) is { } facts)
            {
                Require(facts.Level > 0 || facts.ItemBytes > StateFormat.MaxInlineCollection, "links to a collection that is small enough to stand in it");
            }

            return;
        }

        int count = reader.ReadArrayStart(), bytes = 0;
        Require(count > 0 || mayBeEmpty, "has a collection of nothing");
        var boundary = default(NodeBoundary);
        ReadOnlySpan<byte> before = default;
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> item = reader.ReadEncoded(), key = item;
            Item(items, item);
            if (kind == TreeKind.Map)
            {
                var parts = new DagCborReader(item);
                parts.ReadArrayStart();
                key = parts.ReadBytes();
                Require(i == 0 || before.SequenceCompareTo(key) < 0, "has a collection whose keys do not rise");
                before = key;
            }

            bytes += item.Length;
            Require(!boundary.EndsBehind(XxHash64.Compute(key, 0), item.Length, 0) || i == count - 1, "has a collection in it that should have a tree");
        }

        Require(bytes <= StateFormat.MaxInlineCollection, "has a collection in it that should have a tree");
    }

    /// <summary>Checks a string; false: a block of it cannot be read, which was told.</summary>
    private bool String(ref DagCborReader reader)
    {
        if (reader.Peek() == DagCborKind.Bytes)
        {
            Require(reader.ReadBytes().Length <= StateFormat.MaxInlineString, "has a string in it that should have blocks of its own");
            return true;
        }

        reader.ReadArrayStart(2);
        long length = reader.ReadInt64();
        Cid link = reader.ReadCid();
        Require(length is > StateFormat.MaxInlineString and <= Rdb.RdbFormat.MaxStringBytes, $"has a string of {length} bytes in blocks of its own");
        if (link.Codec == Multicodec.Raw)
        {
            Chunk(link, length, isLast: true);
            return _chunks.ContainsKey((link, true));
        }

        if (Tree(TreeKind.Sequence, ItemKind.Chunks, link, 1) is not { } facts)
        {
            return false;
        }

        Require(facts.Weight == length, $"says that the string {link} has {length} bytes, and it has {facts.Weight}");
        foreach (Cid chunk in Blob.Chunks(_store, link))
        {
            if (!blocks.Has(chunk))
            {
                return false;
            }
        }

        return true;
    }
}
