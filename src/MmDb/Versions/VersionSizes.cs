using System.Buffers.Binary;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>How large a version is.</summary>
/// <param name="Keys">Its keys, in all databases.</param>
/// <param name="Bytes">The blocks that it leads to, as an export of it alone would have them; null: that would take too long to find out.</param>
/// <param name="Added">Of these, what no version before it in the list has: the sum over all versions is what they take together. Null, likewise.</param>
internal readonly record struct VersionSize(long Keys, long? Bytes, long? Added);

/// <summary>
/// Knows how large the versions of a MiMei are. A version never changes, so what was found out is remembered as long as the MiMei is loaded and those before it are the same: being asked again costs
/// nothing, one more version the blocks of that one. When versions before are deleted, what others add is another, and is found out anew.
/// </summary>
/// <remarks>Any thread may ask, while no collection begins; who asks while it is being found out waits for that. What is remembered is some 20 bytes a block, of up to <see cref="MaxBlocks"/>.</remarks>
internal sealed class VersionSizes(Versioner versions)
{
    /// <summary>Where there are more blocks, keys alone are counted: a person waits for it.</summary>
    public const long MaxBlocks = 250_000;

    private readonly Lock _gate = new();

    /// <summary>The first versions of the list, and which blocks they lead to, by the ends of their hashes.</summary>
    private readonly List<(Cid Block, VersionSize Size)> _known = [];
    private readonly HashSet<ulong> _blocks = [];

    /// <summary>Blocks that were looked at so far.</summary>
    public long Looked { get; private set; }

    /// <summary>The sizes of these, which are in the order of the list, oldest first.</summary>
    /// <exception cref="IOException">A block is damaged, or the MiMei is being closed.</exception>
    public VersionSize[] Measure(IReadOnlyList<ListedVersion> list)
    {
        lock (_gate)
        {
            if (_known.Count > list.Count || _known.Where((one, i) => one.Block != list[i].Block).Any())
            {
                _known.Clear();
                _blocks.Clear();
            }

            VersionSize[] sizes = new VersionSize[list.Count];
            for (int i = 0; i < _known.Count; i++)
            {
                sizes[i] = _known[i].Size;
            }

            if (_known.Count < list.Count)
            {
                MeasureRest(list, sizes);
            }

            return sizes;
        }
    }

    private void MeasureRest(IReadOnlyList<ListedVersion> list, VersionSize[] sizes)
    {
        Walk walk = new(versions, _blocks);
        NodeStore store = new(versions.Blocks);
        bool isSmall = versions.Blocks.Figures.Blocks <= MaxBlocks, isKnown = true;
        int first = _known.Count, nodes = 0;
        try
        {
            for (int i = first; i < list.Count; i++)
            {
                sizes[i] = new VersionSize(StateRoot.Read(store, versions.Read(list[i].Number).State).KeyCount, null, null);
                if (isSmall && walk.Weigh(list[i].Block) is var (bytes, added))
                {
                    sizes[i] = sizes[i] with { Bytes = bytes, Added = added };
                }

                // What is missing may come, so nothing from there on is remembered.
                isKnown &= sizes[i].Bytes is not null;
                if (isKnown)
                {
                    _known.Add((list[i].Block, sizes[i]));
                    nodes = walk.Count;
                }
            }
        }
        finally
        {
            Looked += walk.Count;
            walk.AddTo(_blocks, nodes);
        }
    }

    /// <summary>Over several versions: each block is read once, however many have it, and what it leads to is remembered meanwhile, some 100 bytes a block.</summary>
    private sealed class Walk(Versioner versions, HashSet<ulong> before)
    {
        /// <summary>Blocks that are looked at, over all versions; those of versions beyond it are not counted.</summary>
        private const long MaxSteps = 50_000_000;

        private readonly Dictionary<Cid, int> _numbers = [];
        private readonly List<Node> _nodes = [];
        private readonly List<Cid> _links = [];
        private readonly Stack<int> _left = new();
        private int[] _seen = [];
        private int _walk;
        private long _steps;

        private readonly record struct Node(ulong Hash, int Bytes, int[] Children);

        /// <summary>Blocks so far.</summary>
        public int Count => _nodes.Count;

        /// <summary>Adds the first of the blocks to those of the versions before.</summary>
        public void AddTo(HashSet<ulong> blocks, int count)
        {
            foreach (Node node in _nodes.Take(count))
            {
                blocks.Add(node.Hash);
            }
        }

        /// <summary>What a version leads to, and what of that was not met before; null: some of it is not here, or it takes too long.</summary>
        public (long Bytes, long Added)? Weigh(in Cid root)
        {
            int known = _nodes.Count;
            if (_steps >= MaxSteps || !TryLearn(root))
            {
                return null;
            }

            long bytes = 0, added = 0;
            if (_seen.Length < _nodes.Count)
            {
                Array.Resize(ref _seen, Math.Max(_nodes.Count, 2 * _seen.Length));
            }

            _walk++;
            Visit(_numbers[root]);
            while (_left.TryPop(out int number))
            {
                _steps++;
                Node node = _nodes[number];
                bytes += node.Bytes;
                added += number >= known && !before.Contains(node.Hash) ? node.Bytes : 0;
                foreach (int child in node.Children)
                {
                    Visit(child);
                }
            }

            return (bytes, added);
        }

        private void Visit(int number)
        {
            if (_seen[number] != _walk)
            {
                _seen[number] = _walk;
                _left.Push(number);
            }
        }

        /// <summary>Reads what a block leads to, as far as that was not done before. False: some of it is not here, and of what was read nothing is kept.</summary>
        private bool TryLearn(in Cid root)
        {
            int known = _nodes.Count;
            List<Cid> found = [];
            Number(root, found);
            for (int i = 0; i < found.Count; i++)
            {
                versions.ThrowIfClosing();
                Cid cid = found[i];
                _links.Clear();
                int length;
                if (cid.Codec == Multicodec.Raw)
                {
                    if (!versions.Blocks.TryGetLength(cid, out length))
                    {
                        length = -1;
                    }
                }
                else if (versions.Blocks.Get(cid) is { } block)
                {
                    length = block.Length;
                    MimeiVersion.AddLinks(cid, block, _links);
                }
                else
                {
                    length = -1;
                }

                if (length < 0)
                {
                    foreach (Cid one in found)
                    {
                        _numbers.Remove(one);
                    }

                    _nodes.RemoveRange(known, _nodes.Count - known);
                    return false;
                }

                int[] children = new int[_links.Count];
                for (int j = 0; j < children.Length; j++)
                {
                    children[j] = Number(_links[j], found);
                }

                _nodes[known + i] = new Node(HashOf(cid), length, children);
            }

            return true;
        }

        /// <summary>The end of a block's hash: among so many, two with the same are not to be expected.</summary>
        private static ulong HashOf(in Cid cid)
        {
            Span<byte> hash = stackalloc byte[Multihash.MaxLength];
            int length = cid.Multihash.Write(hash);
            return BinaryPrimitives.ReadUInt64LittleEndian(hash[Math.Max(0, length - sizeof(ulong))..]);
        }

        private int Number(in Cid cid, List<Cid> found)
        {
            if (!_numbers.TryGetValue(cid, out int number))
            {
                number = _nodes.Count;
                _numbers.Add(cid, number);
                _nodes.Add(default);
                found.Add(cid);
            }

            return number;
        }
    }
}
