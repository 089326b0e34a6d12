using BenchmarkDotNet.Attributes;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.DagCbor;
using Leither.MmDb.Versions.Tree;

namespace Leither.Bench;

/// <summary>
/// What a version's tree costs, without server, log and snapshot: a million keys of 16 + 32 bytes built; 1,000 of them changed, and made durable; two trees
/// that far apart compared; one key read with nothing in memory. On real files. A commit's effect shows in minutes here; what clients feel of it, only in
/// <c>compare --only versions</c>.
/// </summary>
[MemoryDiagnoser]
public class VersionBenchmarks
{
    private const int Keys = 1_000_000, Changes = 1_000, ValueBytes = 32;

    private readonly Random _random = new(1);
    private readonly DagCborWriter _item = new();
    private readonly byte[] _key = new byte[16], _value = new byte[ValueBytes];
    private string _directory = "";
    private FileBlockstore? _blocks;
    private NodeStore? _store;
    private TreeRoot _old, _current;

    /// <summary>Builds the tree, and one that differs in 1,000 keys.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _directory = Directory.CreateTempSubdirectory("leither-bench-").FullName;
        _blocks = new FileBlockstore(_directory);
        _store = new NodeStore(_blocks);
        _old = Build(_store);
        _blocks.Flush();
        _current = Change(_old);
    }

    /// <summary>Takes all away.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _blocks?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>A tree of a million keys that come in order, into a store in memory.</summary>
    [Benchmark]
    public long First()
    {
        using var blocks = new MemoryBlockstore();
        return Build(new NodeStore(blocks)).Weight;
    }

    /// <summary>1,000 random keys get other values; their nodes are read, written, and made durable.</summary>
    [Benchmark]
    public void ChangeThousand() => _current = Change(_current);

    /// <summary>What differs between two trees, read off the files.</summary>
    [Benchmark]
    public int Compare()
    {
        int found = 0;
        foreach (TreeChange change in TreeDiff.Compare(new NodeStore(_blocks!), _old, _current))
        {
            found += change.New.IsEmpty ? 0 : 1;
        }

        return found;
    }

    /// <summary>One key, by the blocks that lead to it.</summary>
    [Benchmark]
    public bool ReadOne()
    {
        SetKey(_random.Next(Keys));
        return new TreeCursor(new NodeStore(_blocks!), TreeKind.Map, _old.Root).Seek(_key);
    }

    private TreeRoot Build(NodeStore store)
    {
        var builder = new TreeBuilder(store, TreeKind.Map);
        for (int i = 0; i < Keys; i++)
        {
            SetItem(i);
            builder.Add(_key, _item.Written);
        }

        return builder.Finish();
    }

    private TreeRoot Change(TreeRoot tree)
    {
        var changed = new SortedSet<int>();
        while (changed.Count < Changes)
        {
            changed.Add(_random.Next(Keys));
        }

        var edits = new TreeEdits();
        foreach (int i in changed)
        {
            SetItem(i);
            edits.Put(_key, _item.Written);
        }

        tree = new TreeEditor(_store!).Apply(tree, edits);
        _blocks!.Flush();
        return tree;
    }

    private void SetKey(int i) => System.Text.Encoding.ASCII.GetBytes($"key:{i:D12}", _key);

    private void SetItem(int i)
    {
        SetKey(i);
        _random.NextBytes(_value);
        _item.Clear();
        _item.WriteArrayStart(2);
        _item.WriteBytes(_key);
        _item.WriteBytes(_value);
    }
}
