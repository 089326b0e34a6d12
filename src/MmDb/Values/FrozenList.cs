using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// A list as it was at one moment, for a snapshot: the sequence of its nodes, whose blocks it shares with the live
/// <see cref="Quicklist"/>. Another thread may read it; making and releasing it takes the gate of the MiMei.
/// </summary>
public unsafe struct FrozenList
{
    private long _nodeCount;
    private long _count;

    /// <summary>Number of elements.</summary>
    public readonly long Count => _count;

    /// <summary>Number of nodes.</summary>
    public readonly long NodeCount => _nodeCount;

    internal FrozenNode* Nodes
    {
        get
        {
            fixed (FrozenList* self = &this)
            {
                return (FrozenNode*)(self + 1);
            }
        }
    }

    /// <summary>
    /// One node: true if it is the bytes of a single element, false if it is a <see cref="Pack"/> of <paramref name="count"/>.
    /// </summary>
    public bool GetNode(long index, out byte* data, out int length, out int count)
    {
        FrozenNode* node = Nodes + index;
        data = node->Block->Data + node->Offset;
        length = node->Length;
        count = node->Count;
        return node->IsPlain;
    }

    /// <summary>Gives the shared blocks back.</summary>
    public static void Release(NativeHeap heap, FrozenList* frozen)
    {
        for (long i = 0; i < frozen->_nodeCount; i++)
        {
            PackBlock.Release(heap, frozen->Nodes[i].Block);
        }

        heap.Free((byte*)frozen, SizeFor(frozen->_nodeCount));
    }

    internal static FrozenList* Create(NativeHeap heap, long nodeCount, long count)
    {
        FrozenList* frozen = (FrozenList*)heap.Alloc(SizeFor(nodeCount));
        frozen->_nodeCount = nodeCount;
        frozen->_count = count;
        return frozen;
    }

    private static nuint SizeFor(long nodeCount) => (nuint)sizeof(FrozenList) + ((nuint)nodeCount * (nuint)sizeof(FrozenNode));
}

internal unsafe struct FrozenNode
{
    public PackBlock* Block;
    public int Offset;
    public int Length;
    public int Count;
    public bool IsPlain;
}
