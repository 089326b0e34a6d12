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
/// Finds out how large the versions of a MiMei are. Each block is read once, however many versions have it, and what it leads to is remembered, some 100 bytes a block.
/// For one thread, while no collection begins.
/// </summary>
internal sealed class VersionSizes(Versioner versions)
{
    /// <summary>Where there are more blocks, keys alone are counted: a person waits for it.</summary>
    public const long MaxBlocks = 250_000;

    /// <summary>Blocks that are looked at, over all versions; those of versions beyond it are not counted.</summary>
    private const long MaxSteps = 50_000_000;

    private readonly NodeStore _store = new(versions.Blocks);
    private readonly Dictionary<Cid, int> _numbers = [];
    private readonly List<Node> _nodes = [];
    private readonly List<Cid> _links = [];
    private readonly Stack<int> _left = new();
    private int[] _seen = [];
    private int _walk;
    private long _steps;

    private readonly record struct Node(int Bytes, int[] Children);

    /// <summary>The sizes of these, which are in the order of the list, oldest first.</summary>
    /// <exception cref="IOException">A block is damaged, or the MiMei is being closed.</exception>
    public VersionSize[] Measure(IReadOnlyList<ListedVersion> list)
    {
        VersionSize[] sizes = new VersionSize[list.Count];
        bool isSmall = versions.Blocks.Figures.Blocks <= MaxBlocks;
        for (int i = 0; i < list.Count; i++)
        {
            sizes[i] = new VersionSize(StateRoot.Read(_store, versions.Read(list[i].Number).State).KeyCount, null, null);
            if (isSmall && _steps < MaxSteps && Weigh(list[i].Block) is var (bytes, added))
            {
                sizes[i] = sizes[i] with { Bytes = bytes, Added = added };
            }
        }

        return sizes;
    }

    /// <summary>What a version leads to, and what of that was not met before; null: some of it is not here.</summary>
    private (long Bytes, long Added)? Weigh(in Cid root)
    {
        int known = _nodes.Count;
        if (!TryLearn(root))
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
            added += number >= known ? node.Bytes : 0;
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

            _nodes[known + i] = new Node(length, children);
        }

        return true;
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
