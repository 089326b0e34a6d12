using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.Lua;

/// <summary>
/// A table: an array part for keys 1..n and a hash part, laid out as Lua 5.1 lays them out (chained scatter with Brent's variation,
/// sizes chosen at each rehash so that more than half of the array is used). The order of pairs() and the border that # finds follow
/// from that layout, and scripts lean on both; so sizes, main positions and the order of reinsertion are Lua's.
/// </summary>
public sealed class LuaTable : LuaObject
{
    private const int MaxBits = 26;
    private static readonly Node[] s_dummy = new Node[1] { new() { Next = -1 } };

    private readonly LuaState _state;
    internal LuaValue[] Array;
    private Node[] _nodes;
    private int _lastFree;
    private LuaTable? _metatable;

    internal LuaTable(LuaState state, int arraySize = 0, int hashSize = 0)
        : base(LuaType.Table)
    {
        _state = state;
        Array = [];
        _nodes = s_dummy;
        state.Charge(ObjectBytes);
        if (arraySize > 0)
        {
            ResizeArray(arraySize);
        }

        if (hashSize > 0)
        {
            SetNodes(hashSize);
        }
    }

    internal const int ObjectBytes = 80;

    private struct Node
    {
        public LuaValue Key;
        public LuaValue Value;
        public int Next;
    }

    /// <summary>Events that the metatable was found not to have; one bit each, cleared when the table (as a metatable) changes.</summary>
    internal byte AbsentEvents;

    /// <summary>Whether scripts may not change it.</summary>
    public bool IsReadOnly { get; set; }

    /// <summary>The metatable, if any.</summary>
    public LuaTable? Metatable
    {
        get => _metatable;
        set => _metatable = value;
    }

    internal LuaState State => _state;
    internal int HashSize => ReferenceEquals(_nodes, s_dummy) ? 0 : _nodes.Length;
    internal long Bytes => ObjectBytes + ((long)Array.Length * 16) + (HashSize * 40L);

    /// <summary>The value at a key, or nil. No metatable is asked.</summary>
    public LuaValue this[in LuaValue key]
    {
        get
        {
            ref LuaValue found = ref Find(key);
            return Unsafe.IsNullRef(ref found) ? default : found;
        }
    }

    /// <summary>The value at a string key, or nil.</summary>
    public LuaValue Get(LuaString key)
    {
        ref LuaValue found = ref Find(key);
        return Unsafe.IsNullRef(ref found) ? default : found;
    }

    /// <summary>The value at an integer key, or nil.</summary>
    public LuaValue Get(int key)
    {
        ref LuaValue found = ref Find(key);
        return Unsafe.IsNullRef(ref found) ? default : found;
    }

    /// <summary>Sets the value of a key that is neither nil nor NaN, whether the table is read-only or not.</summary>
    public void Set(in LuaValue key, in LuaValue value)
    {
        LuaValue kept = value;
        Slot(key) = kept;
    }

    /// <summary>Sets the value of an integer key.</summary>
    public void Set(int key, in LuaValue value)
    {
        LuaValue kept = value;
        if ((uint)(key - 1) < (uint)Array.Length)
        {
            Array[key - 1] = kept;
        }
        else
        {
            Slot(new LuaValue((double)key)) = kept;
        }
    }

    /// <summary>Where the value of a key is, or a null reference.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref LuaValue Find(scoped in LuaValue key)
    {
        if (key.O is LuaString text)
        {
            return ref Find(text);
        }

        if (key.O == LuaTag.Number)
        {
            int index = (int)key.N;
            if (index == key.N && (uint)(index - 1) < (uint)Array.Length)
            {
                return ref Array[index - 1];
            }
        }

        return ref FindOther(key);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref LuaValue Find(LuaString key)
    {
        Node[] nodes = _nodes;
        int i = (int)(key.Hash & (uint)(nodes.Length - 1));
        do
        {
            ref Node node = ref nodes[i];
            if (ReferenceEquals(node.Key.O, key) || (node.Key.O is LuaString other && other.EqualsString(key)))
            {
                return ref node.Value;
            }

            i = node.Next;
        }
        while (i >= 0);
        return ref Unsafe.NullRef<LuaValue>();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref LuaValue Find(int key)
    {
        if ((uint)(key - 1) < (uint)Array.Length)
        {
            return ref Array[key - 1];
        }

        return ref FindOther(new LuaValue((double)key));
    }

    private ref LuaValue FindOther(scoped in LuaValue key)
    {
        if (key.O is null)
        {
            return ref Unsafe.NullRef<LuaValue>();
        }

        Node[] nodes = _nodes;
        int i = MainPosition(nodes, key);
        do
        {
            ref Node node = ref nodes[i];
            if (LuaValue.RawEquals(node.Key, key))
            {
                return ref node.Value;
            }

            i = node.Next;
        }
        while (i >= 0);
        return ref Unsafe.NullRef<LuaValue>();
    }

    /// <summary>Where the value of a key is or is to be put. The key must be neither nil nor NaN.</summary>
    internal ref LuaValue Slot(scoped in LuaValue key)
    {
        ref LuaValue found = ref Find(key);
        AbsentEvents = 0;
        if (!Unsafe.IsNullRef(ref found))
        {
            return ref found;
        }

        return ref Insert(key);
    }

    private static int MainPosition(Node[] nodes, in LuaValue key)
    {
        switch (key.O)
        {
            case LuaString text:
                return (int)(text.Hash & (uint)(nodes.Length - 1));
            case LuaTag tag when tag == LuaTag.Number:
                if (key.N == 0)
                {
                    return 0;
                }

                ulong bits = BitConverter.DoubleToUInt64Bits(key.N);
                return (int)(((uint)bits + (uint)(bits >> 32)) % (uint)((nodes.Length - 1) | 1));
            case LuaTag tag:
                return tag == LuaTag.True ? 1 & (nodes.Length - 1) : 0;
            default:
                return (int)((uint)key.O!.Id % (uint)((nodes.Length - 1) | 1));
        }
    }

    /// <summary>A key that is not there yet gets a node: its main position, or a free one chained to it.</summary>
    private ref LuaValue Insert(scoped in LuaValue key)
    {
        int main = MainPosition(_nodes, key);
        if (!_nodes[main].Value.IsNil || ReferenceEquals(_nodes, s_dummy))
        {
            int free = TakeFree();
            if (free < 0)
            {
                Rehash(key);
                return ref Slot(key);
            }

            Node[] nodes = _nodes;
            int other = MainPosition(nodes, nodes[main].Key);
            if (other != main)
            {
                // Whoever sits here is not at home: it moves to the free node.
                int previous = other;
                while (nodes[previous].Next != main)
                {
                    previous = nodes[previous].Next;
                }

                nodes[previous].Next = free;
                nodes[free] = nodes[main];
                nodes[main].Next = -1;
                nodes[main].Value = default;
            }
            else
            {
                nodes[free].Next = nodes[main].Next;
                nodes[main].Next = free;
                main = free;
            }
        }

        ref Node node = ref _nodes[main];
        node.Key = key;
        return ref node.Value;
    }

    private int TakeFree()
    {
        if (ReferenceEquals(_nodes, s_dummy))
        {
            return -1;
        }

        while (_lastFree > 0)
        {
            _lastFree--;
            if (_nodes[_lastFree].Key.IsNil)
            {
                return _lastFree;
            }
        }

        return -1;
    }

    private static int ArrayIndex(in LuaValue key)
    {
        if (key.O == LuaTag.Number && key.N >= 1 && key.N <= 1 << MaxBits)
        {
            int index = (int)key.N;
            return index == key.N ? index : -1;
        }

        return -1;
    }

    private void Rehash(in LuaValue extra)
    {
        // counts[i]: how many integer keys lie in (2^(i-1), 2^i].
        Span<int> counts = stackalloc int[MaxBits + 1];
        counts.Clear();
        int inArray = CountArray(counts);
        int total = inArray;
        foreach (ref Node node in _nodes.AsSpan())
        {
            if (!node.Value.IsNil)
            {
                inArray += CountKey(node.Key, counts);
                total++;
            }
        }

        inArray += CountKey(extra, counts);
        total++;

        // The largest power of two of which more than half would be used.
        int accumulated = 0, used = 0, size = 0;
        for (int i = 0, power = 1; i <= MaxBits && power / 2 < inArray; i++, power *= 2)
        {
            if (counts[i] > 0)
            {
                accumulated += counts[i];
                if (accumulated > power / 2)
                {
                    size = power;
                    used = accumulated;
                }
            }

            if (accumulated == inArray)
            {
                break;
            }
        }

        Resize(size, total - used);
    }

    private static int CountKey(in LuaValue key, Span<int> counts)
    {
        int index = ArrayIndex(key);
        if (index < 0)
        {
            return 0;
        }

        counts[CeilLog2(index)]++;
        return 1;
    }

    private int CountArray(Span<int> counts)
    {
        int total = 0;
        for (int bit = 0, from = 1, to = 1; bit <= MaxBits && from <= Array.Length; bit++, to *= 2)
        {
            int end = Math.Min(to, Array.Length);
            int count = 0;
            for (; from <= end; from++)
            {
                if (!Array[from - 1].IsNil)
                {
                    count++;
                }
            }

            counts[bit] += count;
            total += count;
        }

        return total;
    }

    internal static int CeilLog2(int x) => x <= 1 ? 0 : 32 - BitOperations.LeadingZeroCount((uint)(x - 1));

    /// <summary>Makes room for an array part of at least this size; the hash part stays as it is.</summary>
    internal void EnsureArray(int size)
    {
        if (size > Array.Length)
        {
            Resize(size, HashSize);
        }
    }

    internal void Resize(int arraySize, int hashSize)
    {
        int oldArraySize = Array.Length;
        Node[] oldNodes = _nodes;
        if (arraySize > oldArraySize)
        {
            ResizeArray(arraySize);
        }

        SetNodes(hashSize);
        if (arraySize < oldArraySize)
        {
            LuaValue[] old = Array;
            Array = old[..arraySize];
            for (int i = arraySize; i < oldArraySize; i++)
            {
                if (!old[i].IsNil)
                {
                    Set(i + 1, old[i]);
                }
            }
        }

        if (ReferenceEquals(oldNodes, s_dummy))
        {
            return;
        }

        for (int i = oldNodes.Length - 1; i >= 0; i--)
        {
            ref Node old = ref oldNodes[i];
            if (!old.Value.IsNil)
            {
                Slot(old.Key) = old.Value;
            }
        }
    }

    private void ResizeArray(int size)
    {
        _state.Charge((size - Array.Length) * 16L);
        System.Array.Resize(ref Array, size);
    }

    private void SetNodes(int size)
    {
        if (size == 0)
        {
            _nodes = s_dummy;
            _lastFree = 0;
            return;
        }

        int bits = CeilLog2(size);
        if (bits > MaxBits)
        {
            throw new LuaException(new LuaString("table overflow"));
        }

        size = 1 << bits;
        _state.Charge(size * 40L);
        var nodes = new Node[size];
        foreach (ref Node node in nodes.AsSpan())
        {
            node.Next = -1;
        }

        _nodes = nodes;
        _lastFree = size;
    }

    /// <summary>A border: an n with t[n] not nil and t[n+1] nil, or 0. What # gives.</summary>
    public int Length
    {
        get
        {
            int high = Array.Length;
            if (high > 0 && Array[high - 1].IsNil)
            {
                int low = 0;
                while (high - low > 1)
                {
                    int middle = (int)(((uint)low + (uint)high) / 2);
                    if (Array[middle - 1].IsNil)
                    {
                        high = middle;
                    }
                    else
                    {
                        low = middle;
                    }
                }

                return low;
            }

            return HashSize == 0 ? high : UnboundLength(high);
        }
    }

    private int UnboundLength(int high)
    {
        int low = high;
        high++;
        while (!Get(high).IsNil)
        {
            low = high;
            if (high > int.MaxValue / 2)
            {
                // Built to defeat the search: count.
                low = 1;
                while (!Get(low).IsNil)
                {
                    low++;
                }

                return low - 1;
            }

            high *= 2;
        }

        while (high - low > 1)
        {
            int middle = low + ((high - low) / 2);
            if (Get(middle).IsNil)
            {
                high = middle;
            }
            else
            {
                low = middle;
            }
        }

        return low;
    }

    /// <summary>
    /// The entry after <paramref name="key"/> in the table's order (nil: the first). False at the end. <paramref name="unknown"/>: the
    /// key is not in the table.
    /// </summary>
    public bool Next(in LuaValue key, out LuaValue nextKey, out LuaValue nextValue, out bool unknown)
    {
        int i = PositionAfter(key);
        unknown = i < 0;
        nextKey = nextValue = default;
        if (unknown)
        {
            return false;
        }

        return NextAt(ref i, out nextKey, out nextValue);
    }

    /// <summary>The first entry at or after a position, which is moved behind it. Starts at 0.</summary>
    public bool NextAt(ref int position, out LuaValue key, out LuaValue value)
    {
        for (; position < Array.Length; position++)
        {
            if (!Array[position].IsNil)
            {
                key = new LuaValue((double)(position + 1));
                value = Array[position];
                position++;
                return true;
            }
        }

        Node[] nodes = _nodes;
        for (int i = position - Array.Length; i < nodes.Length; i++)
        {
            if (!nodes[i].Value.IsNil)
            {
                key = nodes[i].Key;
                value = nodes[i].Value;
                position = i + Array.Length + 1;
                return true;
            }
        }

        key = value = default;
        return false;
    }

    private int PositionAfter(in LuaValue key)
    {
        if (key.IsNil)
        {
            return 0;
        }

        int index = ArrayIndex(key);
        if (index > 0 && index <= Array.Length)
        {
            return index;
        }

        Node[] nodes = _nodes;
        int i = MainPosition(nodes, key);
        do
        {
            if (LuaValue.RawEquals(nodes[i].Key, key))
            {
                return Array.Length + i + 1;
            }

            i = nodes[i].Next;
        }
        while (i >= 0);
        return -1;
    }
}
