namespace Leither.MmDb.Values;

/// <summary>A place in a <see cref="Quicklist"/>; good until the list changes otherwise than by this cursor.</summary>
public unsafe struct QuicklistCursor
{
    internal QuicklistNode* Node;
    internal int Entry;

    internal QuicklistCursor(QuicklistNode* node, int entry)
    {
        Node = node;
        Entry = entry;
    }

    /// <summary>Whether there is an element here; false beyond either end.</summary>
    public readonly bool IsValid => Node != null;

    /// <summary>Goes to the next element.</summary>
    public void MoveNext()
    {
        int next = Node->IsPlain ? Pack.None : Pack.Next(Node->Data, Node->Length, Entry);
        this = next != Pack.None ? new QuicklistCursor(Node, next) : AtStart(Node->Next);
    }

    /// <summary>Goes to the element before.</summary>
    public void MovePrevious()
    {
        int previous = Node->IsPlain ? Pack.None : Pack.Previous(Node->Data, Entry);
        this = previous != Pack.None ? new QuicklistCursor(Node, previous) : AtEnd(Node->Previous);
    }

    /// <summary>Reads the element; true when it is stored as an integer, else it is the string at <paramref name="bytes"/>.</summary>
    public readonly bool Get(out byte* bytes, out int length, out long integer)
    {
        if (!Node->IsPlain)
        {
            return Pack.Get(Node->Data, Entry, out bytes, out length, out integer);
        }

        bytes = Node->Data;
        length = Node->Length;
        integer = 0;
        return false;
    }

    /// <summary>
    /// The element's bytes: in the list itself, or, for an integer, printed into <paramref name="scratch"/> (at least
    /// <see cref="PackValue.MaxIntegerDigits"/> bytes).
    /// </summary>
    public readonly ReadOnlySpan<byte> ToSpan(Span<byte> scratch) =>
        Node->IsPlain ? new ReadOnlySpan<byte>(Node->Data, Node->Length) : Pack.ToSpan(Node->Data, Entry, scratch);

    /// <summary>Whether the element has this value.</summary>
    public readonly bool ElementEquals(in PackValue value)
    {
        if (!Node->IsPlain)
        {
            return Pack.EntryEquals(Node->Data, Entry, value);
        }

        // A plain node keeps the digits of an integer as they came.
        ReadOnlySpan<byte> element = new(Node->Data, Node->Length);
        return value.IsInteger
            ? PackValue.TryParseInteger(element, out long integer) && integer == value.Integer
            : element.SequenceEqual(value.Bytes);
    }

    internal static QuicklistCursor AtStart(QuicklistNode* node) =>
        node == null ? default : new QuicklistCursor(node, Pack.HeaderSize);

    internal static QuicklistCursor AtEnd(QuicklistNode* node) =>
        node == null ? default : new QuicklistCursor(node, node->IsPlain ? Pack.HeaderSize : Pack.Last(node->Data, node->Length));
}
