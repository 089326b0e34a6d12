using Leither.MmDb.Memory;

namespace Leither.MmDb;

/// <summary>A snapshot of all there is.</summary>
/// <remarks>
/// A record that was captured, or was made after the snapshot began, carries its mark (<see cref="SnapshotEpochs"/>). A walk returns every record
/// that is in a table from its start to its end. One that leaves the table before was about to change, so it was captured then. One that
/// comes later carries the mark. So each record is captured exactly once.
/// </remarks>
internal sealed unsafe class WholeSnapshot : Snapshot
{
    private int _table;
    private ulong _cursor;

    /// <summary>Begins one of the keyspace as it is now: between two entries of the log.</summary>
    public WholeSnapshot(Keyspace keyspace, ISnapshotSink sink)
        : base(keyspace, sink) => Epoch = keyspace.SnapshotEpochs.Next();

    /// <inheritdoc/>
    public override int Epoch { get; }

    /// <inheritdoc/>
    public override void BeforeChange(Database database, byte* record)
    {
        if (Record.SnapshotEpoch(record) != Epoch)
        {
            int number = NumberOf(database);
            Capture(number >= 0 ? number : throw new InvalidOperationException("A record without the snapshot's mark is in a table that the snapshot does not know."), record);
        }
    }

    /// <inheritdoc/>
    public override void BeforeElement(void* structure, byte* element)
    {
        if (Takes(element))
        {
            nint pointer = (nint)element;
            WriteElements((ulong)structure, new ReadOnlySpan<nint>(ref pointer));
        }
    }

    /// <inheritdoc/>
    public override void Created(Database database, byte* record) => Record.SetSnapshotEpoch(record, Epoch);

    /// <inheritdoc/>
    public override void CreatedElement(void* structure, byte* element) => Record.SetSnapshotEpoch(element, Epoch);

    /// <inheritdoc/>
    public override bool Cancel()
    {
        IsCancelled = true;
        if (!Keyspace.SnapshotEpochs.MayCancel(Epoch))
        {
            return false;
        }

        Keyspace.SnapshotEpochs.Cancelled(Epoch);
        End();
        return true;
    }

    /// <inheritdoc/>
    protected override void Completed() => Keyspace.SnapshotEpochs.Completed(Epoch);

    /// <inheritdoc/>
    protected override bool Takes(byte* element)
    {
        bool isNew = Record.SnapshotEpoch(element) != Epoch;
        Record.SetSnapshotEpoch(element, Epoch);
        return isNew;
    }

    /// <inheritdoc/>
    protected override bool CaptureKeys()
    {
        if (_table == DatabaseCount)
        {
            return false;
        }

        ref NativeList<nint> records = ref Scan(Table(_table), ref _cursor);
        int database = _table;
        if (_cursor == 0)
        {
            _table++;
        }

        long count = records.Count;
        for (int i = 0; i < count; i++)
        {
            var record = (byte*)records[i];
            if (Record.SnapshotEpoch(record) != Epoch)
            {
                Capture(database, record);
            }
        }

        return true;
    }

    private void Capture(int database, byte* record)
    {
        Record.SetSnapshotEpoch(record, Epoch);
        if (CaptureHead(database, record) is { } collection)
        {
            Open(collection);
        }
    }
}
