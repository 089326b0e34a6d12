using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>Goes through all records of a table in hash order. The table must not change meanwhile; dispose of it at the end.</summary>
internal unsafe ref struct TableWalk(KeyTable* table) : IDisposable
{
    private NativeList<nint> _bucket;
    private ulong _cursor;
    private int _next;
    private bool _ended = table == null;

    /// <summary>The record that <see cref="MoveNext"/> came to.</summary>
    public byte* Current { get; private set; }

    /// <summary>Goes to the next record; false at the end.</summary>
    public bool MoveNext()
    {
        while (_next == _bucket.Count)
        {
            if (_ended)
            {
                return false;
            }

            _bucket.Clear();
            _next = 0;
            _cursor = table->ScanBucket(_cursor, ref _bucket);
            _ended = _cursor == 0;
        }

        Current = (byte*)_bucket[_next++];
        return true;
    }

    /// <summary>Frees the scratch space.</summary>
    public void Dispose() => _bucket.Dispose();
}
