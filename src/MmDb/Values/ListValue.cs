using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb.Values;

/// <summary>Reads a list: one <see cref="Pack"/> while it is small, a <see cref="Quicklist"/> when it is not. Good until the list changes.</summary>
public readonly unsafe struct ListValue
{
    private readonly byte* _data;
    private readonly int _length;
    private readonly Quicklist* _list;

    /// <summary>The list that a record holds; no elements for no record.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ListValue(byte* record)
    {
        _data = null;
        _length = 0;
        _list = null;
        if (record == null)
        {
            return;
        }

        if (Record.Encoding(record) == (int)DataEncoding.Pack)
        {
            _data = Record.ValueBytes(record, out long length);
            _length = (int)length;
        }
        else
        {
            _list = Record.NativePointer<Quicklist>(record);
        }
    }

    /// <summary>Number of elements.</summary>
    public long Count => _list != null ? _list->Count : _data != null ? Pack.Count(_data, _length) : 0;

    /// <summary>The element of an index; negative ones count from the end. Not valid if there is none.</summary>
    public ListCursor At(long index) => _list != null
        ? new ListCursor(_list->At(index))
        : new ListCursor(_data, _length, _data == null ? Pack.None : Pack.At(_data, _length, index));

    /// <summary>The element at the head (0) or the tail (1).</summary>
    public ListCursor End(ListSide side) => At(side == ListSide.Head ? 0 : -1);
}

/// <summary>The two ends of a list. The numbers are stored in the log.</summary>
public enum ListSide
{
    /// <summary>Left.</summary>
    Head = 0,
    /// <summary>Right.</summary>
    Tail = 1,
}

/// <summary>A place in a list; good until the list changes.</summary>
public unsafe struct ListCursor
{
    private readonly byte* _data;
    private readonly int _length;
    private int _entry;
    private QuicklistCursor _inner;

    internal ListCursor(byte* data, int length, int entry)
    {
        _data = data;
        _length = length;
        _entry = entry;
        _inner = default;
    }

    internal ListCursor(QuicklistCursor inner)
    {
        _data = null;
        _length = 0;
        _entry = Pack.None;
        _inner = inner;
    }

    /// <summary>Whether there is an element here.</summary>
    public readonly bool IsValid => _data != null ? _entry != Pack.None : _inner.IsValid;

    /// <summary>The place in the pack, for edits.</summary>
    internal readonly int Entry => _entry;
    /// <summary>The place in the quicklist, for edits.</summary>
    internal readonly QuicklistCursor Inner => _inner;

    /// <summary>Goes on, towards the tail or (backwards) the head.</summary>
    public void Move(bool backwards)
    {
        if (_data != null)
        {
            _entry = backwards ? Pack.Previous(_data, _entry) : Pack.Next(_data, _length, _entry);
        }
        else if (backwards)
        {
            _inner.MovePrevious();
        }
        else
        {
            _inner.MoveNext();
        }
    }

    /// <summary>Whether the element has this value.</summary>
    public readonly bool ElementEquals(in PackValue value) =>
        _data != null ? Pack.EntryEquals(_data, _entry, value) : _inner.ElementEquals(value);

    /// <summary>The element's bytes; an integer's digits are written into <paramref name="scratch"/> (20 bytes).</summary>
    public readonly ReadOnlySpan<byte> ToSpan(Span<byte> scratch) =>
        _data != null ? Pack.ToSpan(_data, _entry, scratch) : _inner.ToSpan(scratch);

    /// <summary>Replies the element as a bulk string.</summary>
    public readonly void Reply(RespWriter reply)
    {
        byte* bytes;
        int length;
        long integer;
        if (_data != null ? Pack.Get(_data, _entry, out bytes, out length, out integer) : _inner.Get(out bytes, out length, out integer))
        {
            reply.BulkInteger(integer);
        }
        else
        {
            reply.Bulk(bytes, length);
        }
    }
}
