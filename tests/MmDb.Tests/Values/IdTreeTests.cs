using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Values;

public sealed unsafe class IdTreeTests : IDisposable
{
    private readonly NativeHeap _heap = new(1);

    // The tree is used in its place, in native memory.
    private readonly IdTree* _tree;

    public IdTreeTests()
    {
        _tree = (IdTree*)_heap.Alloc((nuint)sizeof(IdTree));
        *_tree = new IdTree(sizeof(PendingEntry));
    }

    public void Dispose() => _heap.Dispose();

    [Fact]
    public void An_empty_tree_answers_everything_with_nothing()
    {
        Assert.Equal(0, _tree->Count);
        Assert.False(_tree->First().IsValid);
        Assert.False(_tree->Last().IsValid);
        Assert.False(_tree->Find(new StreamId(1, 1)).IsValid);
        Assert.False(_tree->AtOrAfter(StreamId.Min).IsValid);
        Assert.False(_tree->AtOrBefore(StreamId.Max).IsValid);
        Assert.False(_tree->Remove(_heap, new StreamId(1, 1)));
        Assert.False(_tree->DropFirstLeaf(_heap));
    }

    [Fact]
    public void Ids_that_come_in_order_fill_leaves_whole()
    {
        const int Count = 64 * 100;
        for (int i = 0; i < Count; i++)
        {
            Put(new StreamId((ulong)i, 0), i);
        }

        _tree->CheckInvariants();
        long leaf = (long)NativeHeap.RoundUp(IdLeaf.SizeFor(IdTree.MaxCapacity, sizeof(PendingEntry)));
        Assert.InRange(_tree->SizeBytes, 100 * leaf, 110 * leaf);
    }

    [Fact]
    public void Ids_that_go_in_order_while_others_come_keep_the_tree_small()
    {
        for (int i = 0; i < 200_000; i++)
        {
            Put(new StreamId((ulong)i, 0), i);
            if (i >= 500)
            {
                Assert.True(_tree->Remove(_heap, new StreamId((ulong)(i - 500), 0)));
            }
        }

        _tree->CheckInvariants();
        Assert.InRange(_tree->SizeBytes, 1, 100_000);
    }

    [Fact]
    public void Random_edits_give_the_same_as_a_sorted_dictionary() => Seed.Run(RandomEdits);

    private void RandomEdits(Random random)
    {
        var model = new SortedDictionary<StreamId, long>();
        var frozen = new List<(FrozenTree Tree, (StreamId, long)[] Content)>();
        bool growing = true;
        for (int step = 0; step < 60_000; step++)
        {
            growing = growing ? model.Count < 9000 : model.Count < 10;
            StreamId id = random.Next(3) == 0 && model.Count > 0 ? new StreamId(_tree->Last().Id.Ms + 1, 0) : new StreamId((ulong)random.Next(8000), (ulong)random.Next(3));
            if (random.Next(10) < (growing ? 8 : 2))
            {
                Put(id, step);
                model[id] = step;
            }
            else
            {
                if (model.Count > 0 && random.Next(3) > 0)
                {
                    IdCursor at = _tree->AtOrAfter(id);
                    id = at.IsValid ? at.Id : _tree->First().Id;
                }

                Assert.Equal(model.Remove(id), _tree->Remove(_heap, id));
            }

            if (step % 997 == 0)
            {
                _tree->CheckInvariants();
                AssertSame(model, random);
            }

            if (step % 5000 == 0)
            {
                frozen.Add((_tree->Freeze(), [.. model.Select(static p => (p.Key, p.Value))]));
            }

            if (frozen.Count > 2)
            {
                AssertFrozen(frozen[0]);
                frozen.RemoveAt(0);
            }
        }

        frozen.ForEach(AssertFrozen);
        while (_tree->DropFirstLeaf(_heap))
        {
        }

        Assert.Equal(0, _tree->Count);
        Assert.Equal(0, _tree->SizeBytes);
        Assert.Equal(1, _heap.AllocatedCount);
    }

    private void Put(StreamId id, long value)
    {
        var entry = (PendingEntry*)_tree->Insert(_heap, id, out bool isNew);
        Assert.True(isNew || entry->DeliveredMs >= 0);
        *entry = new PendingEntry { DeliveredMs = value, Deliveries = 1, Consumer = 7 };
    }

    private void AssertSame(SortedDictionary<StreamId, long> model, Random random)
    {
        Assert.Equal(model.Count, _tree->Count);
        IdCursor cursor = _tree->First();
        foreach ((StreamId id, long value) in model)
        {
            Assert.True(cursor.IsValid);
            Assert.Equal(id, cursor.Id);
            Assert.Equal(value, cursor.Pending->DeliveredMs);
            cursor.MoveNext();
        }

        Assert.False(cursor.IsValid);
        StreamId[] ids = [.. model.Keys];
        for (int i = 0; i < 50; i++)
        {
            var id = new StreamId((ulong)random.Next(8100), (ulong)random.Next(4));
            int at = Array.BinarySearch(ids, id);
            int after = at >= 0 ? at : ~at, before = at >= 0 ? at : ~at - 1;
            Assert.Equal(after < ids.Length ? ids[after] : null, Id(_tree->AtOrAfter(id)));
            Assert.Equal(before >= 0 ? ids[before] : null, Id(_tree->AtOrBefore(id)));
            Assert.Equal(at >= 0 ? id : null, Id(_tree->Find(id)));
        }
    }

    private static StreamId? Id(IdCursor cursor) => cursor.IsValid ? cursor.Id : null;

    private void AssertFrozen((FrozenTree Tree, (StreamId, long)[] Content) frozen)
    {
        var content = new List<(StreamId, long)>();
        for (int i = 0; i < frozen.Tree.LeafCount; i++)
        {
            IdLeaf* leaf = frozen.Tree.Leaf(i);
            for (int j = 0; j < leaf->Count; j++)
            {
                content.Add((leaf->Ids[j], ((PendingEntry*)leaf->ValueAt(j, sizeof(PendingEntry)))->DeliveredMs));
            }
        }

        Assert.Equal(frozen.Content, content);
        frozen.Tree.Release(_heap);
    }
}
