using System.Text;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Xunit;

namespace Leither.MmDb.Tests.Values;

public sealed unsafe class QuicklistTests : IDisposable
{
    private readonly NativeHeap _heap = new(1);
    private readonly List<byte[]> _model = [];
    private NodeLimit _limit = new(-2);
    private Quicklist* _list;

    public QuicklistTests() => _list = Quicklist.Create(_heap);

    public void Dispose() => _heap.Dispose();

    [Fact]
    public void An_empty_list_answers_everything_with_nothing()
    {
        Assert.False(_list->First().IsValid);
        Assert.False(_list->Last().IsValid);
        Assert.False(_list->At(0).IsValid);
        Assert.False(_list->At(-1).IsValid);
        Assert.False(_list->PopHead(_heap));
        Assert.False(_list->PopTail(_heap));
        Assert.False(_list->DropHeadNode(_heap));
        Assert.False(_list->TryGetOnlyPack(out _, out _));
        _list->DeleteRange(_heap, 0, 10);
        Destroy();
    }

    [Theory]
    [InlineData(-1, 4096, long.MaxValue)]
    [InlineData(-2, 8192, long.MaxValue)]
    [InlineData(-5, 65536, long.MaxValue)]
    [InlineData(-6, 65536, long.MaxValue)]
    [InlineData(int.MinValue, 65536, long.MaxValue)]
    [InlineData(0, long.MaxValue, 1)]
    [InlineData(1, long.MaxValue, 1)]
    [InlineData(128, long.MaxValue, 128)]
    public void A_limit_has_Redis_s_meaning_of_list_max_listpack_size(int setting, long bytes, long entries)
    {
        NodeLimit limit = new(setting);
        Assert.Equal(bytes, limit.MaxBytes);
        Assert.Equal(entries, limit.MaxEntries);
    }

    [Theory]
    [InlineData(1, 1, 1L << 30)]
    [InlineData(2, 2, 1L << 30)]
    [InlineData(3, 3, 6)]
    [InlineData(4, 5, 60)]
    [InlineData(5, 128, 1L << 30)]
    [InlineData(6, -1, 1L << 30)]
    [InlineData(7, -2, 300)]
    [InlineData(8, -5, 1L << 30)]
    public void Random_edits_give_the_same_as_a_list(int seed, int setting, long packedThreshold)
    {
        Random random = new(seed);
        _limit = new NodeLimit(setting, packedThreshold);
        FrozenList* frozen = null;
        List<byte[]> frozenModel = [];
        bool growing = true;
        for (int step = 0; step < 12_000; step++)
        {
            growing = growing ? _model.Count < 700 : _model.Count < 3;
            Edit(random, growing);
            if (step % 16 == 0 || _model.Count < 8)
            {
                _list->CheckInvariants();
            }

            Assert.Equal(_model.Count, _list->Count);
            int index = random.Next(-_model.Count - 1, _model.Count + 1);
            QuicklistCursor cursor = _list->At(index);
            int at = index < 0 ? index + _model.Count : index;
            Assert.Equal(at >= 0 && at < _model.Count, cursor.IsValid);
            if (cursor.IsValid)
            {
                Assert.True(_model[at].AsSpan().SequenceEqual(Read(cursor)), $"seed {seed}, step {step}");
                Assert.True(cursor.ElementEquals(_model[at].Span()));
            }

            if (step % 200 == 0)
            {
                AssertSame($"seed {seed}, step {step}");
                if (frozen != null)
                {
                    AssertSame(frozen, frozenModel);
                    FrozenList.Release(_heap, frozen);
                }

                frozen = _list->Freeze(_heap);
                frozenModel = [.. _model];
            }
        }

        AssertSame(frozen, frozenModel);
        FrozenList.Release(_heap, frozen);
        Destroy();
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public void A_queue_keeps_its_order_and_its_size_in_memory(bool pushHead, bool popHead)
    {
        for (int i = 0; i < 60_000; i++)
        {
            Push(Encoding.ASCII.GetBytes($"element {i}"), pushHead);
            if (_model.Count > 2000)
            {
                Pop(popHead);
            }
        }

        AssertSame("");
        Assert.InRange(_list->SizeBytes, 2000 * 13, 2000 * 30);
        Destroy();
    }

    [Fact]
    public void Frozen_lists_outlive_the_list_and_each_other()
    {
        for (int i = 0; i < 5000; i++)
        {
            Push(Encoding.ASCII.GetBytes($"element {i}"), false);
        }

        FrozenList* first = _list->Freeze(_heap);
        List<byte[]> model = [.. _model];
        FrozenList* second = _list->Freeze(_heap);
        Pop(true);
        Pop(false);
        _list->DeleteRange(_heap, 1000, 2000);
        Quicklist.Destroy(_heap, _list);
        AssertSame(first, model);
        FrozenList.Release(_heap, first);
        AssertSame(second, model);
        FrozenList.Release(_heap, second);
        Assert.Equal(0, _heap.UsedBytes);
    }

    [Fact]
    public void A_pack_becomes_the_only_node_and_is_found_again()
    {
        byte* pack = _heap.Alloc(1000);
        int length = Pack.Initialize(pack);
        for (int i = 0; i < 100; i++)
        {
            length = Pack.Append(pack, length, i);
            _model.Add(Encoding.ASCII.GetBytes($"{i}"));
        }

        _list->AppendPack(_heap, pack, length);
        Assert.True(_list->TryGetOnlyPack(out byte* data, out int found));
        Assert.True(new ReadOnlySpan<byte>(data, found).SequenceEqual(new ReadOnlySpan<byte>(pack, length)));
        AssertSame("");
        _heap.Free(pack, 1000);
        Destroy();
    }

    [Fact]
    public void Elements_beyond_the_packed_threshold_are_plain_and_equal_to_their_digits()
    {
        _limit = new NodeLimit(-2, 3);
        Push("12"u8.ToArray(), false);
        Push("1234"u8.ToArray(), false);
        Push("ab"u8.ToArray(), false);
        Assert.Equal(3, _list->NodeCount);
        Assert.False(_list->At(1).Get(out _, out int length, out _));
        Assert.Equal(4, length);
        QuicklistCursor cursor = _list->At(1);
        Assert.True(cursor.ElementEquals("1234"u8));
        Assert.False(cursor.ElementEquals("1235"u8));
        AssertSame("");
        Destroy();
    }

    [Fact]
    public void Elements_of_megabytes_come_and_go()
    {
        byte[] large = new byte[3 << 20];
        Push(large, false);
        Push("a"u8.ToArray(), true);
        Push("b"u8.ToArray(), false);
        AssertSame("");
        QuicklistCursor cursor = _list->At(1);
        _list->Replace(_heap, _limit, cursor, "small"u8);
        _model[1] = "small"u8.ToArray();
        AssertSame("");
        Assert.InRange(_list->SizeBytes, 0, 1000);
        Destroy();
    }

    [Fact]
    public void Relocation_moves_what_lies_in_sparse_memory()
    {
        List<nint> holes = [];
        for (int i = 0; i < 40_000; i++)
        {
            Push(Encoding.ASCII.GetBytes($"element {i}"), false);
            if (i % 200 == 0)
            {
                for (int hole = 0; hole < 8; hole++)
                {
                    holes.Add((nint)_heap.Alloc(8192));
                    holes.Add((nint)_heap.Alloc(40));
                }
            }
        }

        for (int i = 0; i < holes.Count; i++)
        {
            _heap.Free((byte*)holes[i], i % 2 == 0 ? 8192u : 40u);
        }

        FrozenList* frozen = _list->Freeze(_heap);
        List<byte[]> model = [.. _model];
        Pop(true);
        Assert.True(_heap.BeginCompaction());
        _list = Quicklist.Relocate(_heap, _list);
        _heap.EndCompaction();
        AssertSame("");
        AssertSame(frozen, model);
        FrozenList.Release(_heap, frozen);
        Destroy();
    }

    private static byte[] Read(in QuicklistCursor cursor)
    {
        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        return cursor.ToSpan(scratch).ToArray();
    }

    private void Edit(Random random, bool growing)
    {
        byte[] element = PackTests.RandomValue(random, random.Next(20) == 0 ? 9000 : 100);
        int at = _model.Count == 0 ? 0 : random.Next(_model.Count);
        QuicklistCursor cursor = _list->At(random.Next(2) == 0 ? at : at - _model.Count);
        switch (random.Next(100))
        {
            case 0 when cursor.IsValid:
                int count = random.Next(growing ? 20 : 300);
                _list->DeleteRange(_heap, at, count);
                _model.RemoveRange(at, Math.Min(count, _model.Count - at));
                break;
            case < 10:
                Pop(random.Next(2) == 0);
                break;
            case < 20 when cursor.IsValid:
                _list->Replace(_heap, _limit, cursor, element);
                _model[at] = element;
                break;
            case < 30 when cursor.IsValid:
                bool backward = random.Next(2) == 0;
                _list->Delete(_heap, ref cursor, backward);
                _model.RemoveAt(at);
                int next = backward ? at - 1 : at;
                Assert.Equal(next >= 0 && next < _model.Count, cursor.IsValid);
                if (cursor.IsValid)
                {
                    Assert.Equal(_model[next], Read(cursor));
                }

                break;
            case < 50 when cursor.IsValid && growing:
                _list->InsertBefore(_heap, _limit, cursor, element);
                _model.Insert(at, element);
                break;
            case < 70 when cursor.IsValid && growing:
                _list->InsertAfter(_heap, _limit, cursor, element);
                _model.Insert(at + 1, element);
                break;
            case < 85 when growing:
                Push(element, true);
                break;
            case < 85:
                Pop(true);
                break;
            default:
                if (growing)
                {
                    Push(element, false);
                }
                else
                {
                    Pop(false);
                }

                break;
        }
    }

    private void Push(byte[] element, bool head)
    {
        if (head)
        {
            _list->PushHead(_heap, _limit, element);
            _model.Insert(0, element);
        }
        else
        {
            _list->PushTail(_heap, _limit, element);
            _model.Add(element);
        }
    }

    private void Pop(bool head)
    {
        if (_model.Count == 0)
        {
            return;
        }

        Assert.True(head ? _list->PopHead(_heap) : _list->PopTail(_heap));
        _model.RemoveAt(head ? 0 : _model.Count - 1);
    }

    private void AssertSame(string context)
    {
        _list->CheckInvariants();
        Assert.Equal(_model.Count, _list->Count);
        QuicklistCursor cursor = _list->First();
        foreach (byte[] element in _model)
        {
            Assert.True(element.AsSpan().SequenceEqual(Read(cursor)), context);
            cursor.MoveNext();
        }

        Assert.False(cursor.IsValid);
        cursor = _list->Last();
        for (int i = _model.Count - 1; i >= 0; i--)
        {
            Assert.True(_model[i].AsSpan().SequenceEqual(Read(cursor)), context);
            cursor.MovePrevious();
        }

        Assert.False(cursor.IsValid);
    }

    private static void AssertSame(FrozenList* frozen, List<byte[]> model)
    {
        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        Assert.Equal(model.Count, frozen->Count);
        int at = 0;
        for (long i = 0; i < frozen->NodeCount; i++)
        {
            if (frozen->GetNode(i, out byte* data, out int length, out int count))
            {
                Assert.True(new ReadOnlySpan<byte>(data, length).SequenceEqual(model[at++]));
                continue;
            }

            Assert.Equal(count, Pack.Count(data, length));
            for (int entry = Pack.First(data, length); entry != Pack.None; entry = Pack.Next(data, length, entry))
            {
                Assert.True(Pack.ToSpan(data, entry, scratch).SequenceEqual(model[at++]));
            }
        }

        Assert.Equal(model.Count, at);
    }

    private void Destroy()
    {
        _list->CheckInvariants();
        Quicklist.Destroy(_heap, _list);
        Assert.Equal(0, _heap.UsedBytes);
    }
}
