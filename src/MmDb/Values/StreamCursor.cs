using Leither.Resp;

namespace Leither.MmDb.Values;

/// <summary>Walks over the entries of a stream between two ids (both included), in either direction. Good until the stream changes.</summary>
public unsafe struct StreamCursor
{
    private readonly StreamId _from, _to;
    private readonly bool _backwards;
    private IdCursor _node;
    private byte* _data;
    private int _length;
    private StreamNode.Master _master;

    // Where the current entry's flags are, where its fields or values begin, and (forwards) where the next entry is; -1: not known yet.
    private int _flagsAt, _valuesAt, _next;
    private long _flags;

    /// <summary>Before the first entry that it will give.</summary>
    internal StreamCursor(in IdTree nodes, StreamId from, StreamId to, bool backwards)
    {
        _from = from;
        _to = to;
        _backwards = backwards;
        if (backwards)
        {
            _node = to == StreamId.Max ? nodes.Last() : nodes.AtOrBefore(to);
        }
        else
        {
            _node = from.IsZero ? nodes.First() : nodes.AtOrBefore(from);
            _node = _node.IsValid ? _node : nodes.First();
        }
    }

    /// <summary>The entry's id.</summary>
    public StreamId Id { get; private set; }

    /// <summary>How many fields it has.</summary>
    public long FieldCount { get; private set; }

    internal readonly StreamId NodeId => _node.Id;
    internal readonly int FlagsAt => _flagsAt;
    internal readonly StreamNode.Master Master => _master;

    /// <summary>Goes on to the next entry; false if there is none.</summary>
    public bool MoveNext() => _backwards ? MoveBackwards() : MoveForwards();

    private bool MoveForwards()
    {
        while (true)
        {
            if (_data == null)
            {
                if (!_node.IsValid)
                {
                    return false;
                }

                OpenNode();
                _next = StreamNode.FirstEntry(_data, _master);
            }
            else if (_next < 0)
            {
                _next = Pack.Skip(_data, _valuesAt, (int)ValueWords + 1);
            }

            while (_next < _length)
            {
                ReadEntry(_next);
                _next = -1;
                if ((_flags & StreamNode.Deleted) == 0 && Id >= _from)
                {
                    return Id <= _to;
                }

                _next = Pack.Skip(_data, _valuesAt, (int)ValueWords + 1);
            }

            _data = null;
            _node.MoveNext();
        }
    }

    private bool MoveBackwards()
    {
        while (true)
        {
            int end;
            if (_data == null)
            {
                if (!_node.IsValid)
                {
                    return false;
                }

                OpenNode();
                end = _length;
            }
            else
            {
                end = _flagsAt;
            }

            while (true)
            {
                int sizeAt = Pack.Previous(_data, end), at = sizeAt;
                long words = StreamNode.Number(_data, ref at);
                if (words == 0)
                {
                    break;
                }

                int flagsAt = sizeAt;
                for (; words > 0; words--)
                {
                    flagsAt = Pack.Previous(_data, flagsAt);
                }

                ReadEntry(flagsAt);
                if ((_flags & StreamNode.Deleted) == 0 && Id <= _to)
                {
                    return Id >= _from;
                }

                end = flagsAt;
            }

            _data = null;
            _node.MovePrevious();
        }
    }

    private void OpenNode()
    {
        StreamBlock* block = _node.Block;
        _data = block->Data;
        _length = block->Length;
        _master = StreamNode.ReadMaster(_data);
    }

    private void ReadEntry(int at)
    {
        _flagsAt = at;
        _flags = StreamNode.Number(_data, ref at);
        ulong ms = (ulong)StreamNode.Number(_data, ref at), seq = (ulong)StreamNode.Number(_data, ref at);
        StreamId nodeId = _node.Id;
        Id = new StreamId(nodeId.Ms + ms, nodeId.Seq + seq);
        FieldCount = HasMasterFields ? _master.Fields : StreamNode.Number(_data, ref at);
        _valuesAt = at;
    }

    private readonly bool HasMasterFields => (_flags & StreamNode.SameFields) != 0;

    private readonly long ValueWords => HasMasterFields ? FieldCount : FieldCount * 2;

    /// <summary>The entry's fields and values.</summary>
    public readonly StreamFields Fields => HasMasterFields
        ? new StreamFields(_data, _master.FieldsAt, _valuesAt, FieldCount)
        : new StreamFields(_data, -1, _valuesAt, FieldCount);

    /// <summary>Replies the entry: its id, and its fields and values.</summary>
    public void Reply(RespWriter reply)
    {
        reply.Array(2);
        ReplyId(reply, Id);
        reply.Array(FieldCount * 2);
        int at = _valuesAt, field = _master.FieldsAt;
        bool same = HasMasterFields;
        for (long i = FieldCount; i > 0; i--)
        {
            if (same)
            {
                ReplyWord(reply, _data, ref field);
            }
            else
            {
                ReplyWord(reply, _data, ref at);
            }

            ReplyWord(reply, _data, ref at);
        }

        _next = Pack.Skip(_data, at, 1);
    }

    private static void ReplyWord(RespWriter reply, byte* data, ref int at)
    {
        if (Pack.Get(data, at, out byte* bytes, out int length, out long integer))
        {
            reply.BulkInteger(integer);
        }
        else
        {
            reply.Bulk(bytes, length);
        }

        at += Pack.SizeOf(data, at);
    }

    /// <summary>Replies an id.</summary>
    public static void ReplyId(RespWriter reply, StreamId id)
    {
        Span<byte> text = stackalloc byte[StreamId.MaxText];
        reply.Bulk(text[..id.Format(text)]);
    }
}

/// <summary>The fields and values of one entry of a stream, one after another.</summary>
public unsafe struct StreamFields
{
    private readonly byte* _data;
    private readonly bool _same;
    private int _fieldAt, _valueAt, _nextField, _nextValue;
    private long _left;

    internal StreamFields(byte* data, int masterAt, int valuesAt, long count)
    {
        _data = data;
        _same = masterAt >= 0;
        _nextField = masterAt;
        _nextValue = valuesAt;
        _left = count;
    }

    /// <summary>Goes on to the next field; false if there is none.</summary>
    public bool MoveNext()
    {
        if (_left-- <= 0)
        {
            return false;
        }

        if (_same)
        {
            _fieldAt = _nextField;
            _nextField += Pack.SizeOf(_data, _fieldAt);
        }
        else
        {
            _fieldAt = _nextValue;
            _nextValue += Pack.SizeOf(_data, _fieldAt);
        }

        _valueAt = _nextValue;
        _nextValue += Pack.SizeOf(_data, _valueAt);
        return true;
    }

    /// <summary>The field's bytes; an integer's digits are written into the scratch space (20 bytes).</summary>
    public readonly ReadOnlySpan<byte> Field(Span<byte> scratch) => Pack.ToSpan(_data, _fieldAt, scratch);

    /// <summary>The value's bytes; an integer's digits are written into the scratch space (20 bytes).</summary>
    public readonly ReadOnlySpan<byte> Value(Span<byte> scratch) => Pack.ToSpan(_data, _valueAt, scratch);
}
