namespace Leither.MmDb.Values;

/// <summary>Walks over the live entries of one node of a stream, in order.</summary>
internal unsafe struct StreamNodeWalk(StreamId nodeId, byte* data, int length)
{
    private readonly StreamNode.Master _master = StreamNode.ReadMaster(data);
    private int _next = -1, _valuesAt;
    private bool _same;

    /// <summary>The entry's id.</summary>
    public StreamId Id { get; private set; }

    /// <summary>How many fields it has.</summary>
    public int FieldCount { get; private set; }

    /// <summary>The entry's fields and values.</summary>
    public readonly StreamFields Fields => new(data, _same ? _master.FieldsAt : -1, _valuesAt, FieldCount);

    /// <summary>Goes on to the next entry; false if there is none.</summary>
    public bool MoveNext()
    {
        int at = _next < 0 ? StreamNode.FirstEntry(data, _master) : _next;
        while (at < length)
        {
            long flags = StreamNode.Number(data, ref at);
            ulong ms = (ulong)StreamNode.Number(data, ref at), seq = (ulong)StreamNode.Number(data, ref at);
            _same = (flags & StreamNode.SameFields) != 0;
            FieldCount = (int)(_same ? _master.Fields : StreamNode.Number(data, ref at));
            _valuesAt = at;
            _next = at = Pack.Skip(data, at, (_same ? FieldCount : 2 * FieldCount) + 1);
            if ((flags & StreamNode.Deleted) == 0)
            {
                Id = new StreamId(nodeId.Ms + ms, nodeId.Seq + seq);
                return true;
            }
        }

        return false;
    }
}
