using Leither.MmDb.Memory;
using Leither.MmDb.Values;

namespace Leither.MmDb.Versions;

/// <summary>
/// A snapshot of the keys and elements that changed since a state, and of no others. What these are is known only after it began
/// (<see cref="Take"/>): until it is over, everything about to change is captured, changed before or not.
/// </summary>
/// <remarks>
/// Instead of marks, which would have to be taken off all records afterwards, it keeps the keys that it captured and those that were made since it began:
/// what they hold now is no part of it. Of elements it may capture more than one state: what comes first counts
/// (<see cref="SnapshotPiece.NewElement"/> is: there was none).
/// </remarks>
internal sealed unsafe class ChangeSnapshot : Snapshot
{
    /// <summary>Changes looked at before the clock is.</summary>
    private const int ChangesAtOnce = 32;

    private const int NumberBytes = sizeof(ushort);

    /// <summary>Keys that were captured or made since: their database and name, and where in <see cref="_collections"/> their collection is (-1: none).</summary>
    private readonly KeyTable* _known;

    private readonly List<Collection> _collections = [];
    private readonly HashSet<int> _opened = [];
    private readonly Dictionary<ulong, int> _ids = [];
    private byte[] _name = new byte[256];
    private byte[] _group = [];
    private int _groupBytes;
    private int _collection = -1;
    private StateChanges? _changes;
    private bool _more;

    /// <summary>Begins one of the keyspace as it is now: between two entries of the log.</summary>
    public ChangeSnapshot(Keyspace keyspace, ISnapshotSink sink)
        : base(keyspace, sink) => _known = KeyTable.Create(keyspace.Heap);

    /// <inheritdoc/>
    public override int Epoch => -1;

    /// <summary>Whether what changed is not known yet.</summary>
    public bool IsAwaiting => _changes is null;

    /// <summary>Takes what changed; from now on <see cref="Snapshot.Step"/> captures it. The changes are read by the snapshot alone until it is over.</summary>
    public void Take(StateChanges changes)
    {
        _changes = changes;
        changes.Touched.Rewind();
        _more = changes.Touched.MoveNext();
    }

    /// <inheritdoc/>
    public override void BeforeChange(Database database, byte* record)
    {
        int number = NumberOf(database);
        if (number >= 0 && TryNote(number, Record.Key(record), Record.KeyLength(record), out byte* note))
        {
            Capture(number, record, note);
        }
    }

    /// <inheritdoc/>
    public override void BeforeElement(void* structure, byte* element)
    {
        // A collection that was made since is no part of it.
        if (_ids.ContainsKey((ulong)structure))
        {
            nint pointer = (nint)element;
            WriteElements((ulong)structure, new ReadOnlySpan<nint>(ref pointer));
        }
    }

    /// <inheritdoc/>
    public override void Created(Database database, byte* record)
    {
        int number = NumberOf(database);
        if (number >= 0)
        {
            TryNote(number, Record.Key(record), Record.KeyLength(record), out _);
        }
    }

    /// <inheritdoc/>
    public override void CreatedElement(void* structure, byte* element)
    {
        if (structure != null && _ids.ContainsKey((ulong)structure))
        {
            WriteNewElement((ulong)structure, element);
        }
    }

    /// <inheritdoc/>
    public override bool Cancel()
    {
        IsCancelled = true;
        Completed();
        End();
        return true;
    }

    /// <inheritdoc/>
    protected override void Completed()
    {
        for (int i = 0; i < _collections.Count; i++)
        {
            if (!_opened.Contains(i))
            {
                _collections[i].Release(Keyspace.Heap);
            }
        }

        Keyspace.LazyFree.ReleaseTable(_known);
    }

    /// <inheritdoc/>
    protected override bool Takes(byte* element) => true;

    /// <inheritdoc/>
    protected override bool CaptureKeys()
    {
        StateChanges changes = _changes ?? throw new InvalidOperationException("What changed is not known yet.");
        if (!_more)
        {
            return false;
        }

        for (int i = 0; i < ChangesAtOnce && _more; i++, _more = changes.Touched.MoveNext())
        {
            ReadOnlySpan<byte> key = changes.Touched.Key;
            int groupLength = FragmentKey.GroupLength(key);
            if (!key[..groupLength].SequenceEqual(_group.AsSpan(0, _groupBytes)))
            {
                BeginKey(changes, key[..groupLength]);
            }

            if (_collection < 0)
            {
                continue;
            }

            switch (FragmentKey.Kind(key, groupLength))
            {
                case FragmentKind.TouchedWhole:
                    OpenOnce(_collection);
                    break;
                case FragmentKind.Element when !_opened.Contains(_collection):
                    CaptureElement(key, groupLength, changes.Touched.Payload);
                    break;
            }
        }

        return true;
    }

    private void BeginKey(StateChanges changes, ReadOnlySpan<byte> group)
    {
        if (_group.Length < group.Length)
        {
            _group = new byte[Math.Max(group.Length, 2 * _group.Length)];
            _name = new byte[Math.Max(_name.Length, _group.Length)];
        }

        group.CopyTo(_group);
        _groupBytes = group.Length;
        _collection = -1;
        int number = changes.NumberOf(FragmentKey.Database(group));
        if (number < 0)
        {
            return;
        }

        ReadOnlySpan<byte> longName = changes.Touched.Payload;
        ReadOnlySpan<byte> name = longName.IsEmpty ? _name.AsSpan(0, FragmentKey.TreeKey(group, _name)) : longName;
        fixed (byte* p = name)
        {
            KeyTable* table = Table(number);
            ulong* slot = table->Find(Keyspace.Heap.Hash(p, name.Length), p, name.Length);
            if (TryNote(number, p, name.Length, out byte* note))
            {
                if (slot == null)
                {
                    return;
                }

                Capture(number, KeyTable.Get(slot), note);
            }

            _collection = Noted(note);
        }

        if (_collection >= 0 && _collections[_collection].Table == null)
        {
            OpenOnce(_collection);
        }
    }

    private void OpenOnce(int collection)
    {
        if (_opened.Add(collection))
        {
            Open(_collections[collection]);
        }
    }

    private void CaptureElement(ReadOnlySpan<byte> key, int groupLength, ReadOnlySpan<byte> longName)
    {
        if (_name.Length < key.Length)
        {
            _name = new byte[2 * key.Length];
        }

        ReadOnlySpan<byte> name = longName.IsEmpty ? _name.AsSpan(0, FragmentKey.Element(key, groupLength, _name)) : longName;
        Collection collection = _collections[_collection];
        fixed (byte* p = name)
        {
            ulong* slot = collection.Table->Find(Keyspace.Heap.Hash(p, name.Length), p, name.Length);
            if (slot != null)
            {
                nint element = (nint)KeyTable.Get(slot);
                WriteElements(collection.Id, new ReadOnlySpan<nint>(ref element));
            }
        }
    }

    private void Capture(int number, byte* record, byte* note)
    {
        if (CaptureHead(number, record) is { } collection)
        {
            *(int*)Record.ValueBytes(note, out _) = _collections.Count;
            if (collection.Table != null)
            {
                _ids[collection.Id] = _collections.Count;
            }

            _collections.Add(collection);
        }
    }

    // ------------------------------------------------------------------ known keys

    private static int Noted(byte* note) => *(int*)Record.ValueBytes(note, out _);

    /// <summary>Notes a key, unless it is known already. Gives its note in either case.</summary>
    private bool TryNote(int number, byte* name, int length, out byte* note)
    {
        int size = NumberBytes + length;
        byte[]? large = size > 512 ? System.Buffers.ArrayPool<byte>.Shared.Rent(size) : null;
        Span<byte> key = large ?? stackalloc byte[512];
        key = key[..size];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16LittleEndian(key, (ushort)number);
        new ReadOnlySpan<byte>(name, length).CopyTo(key[NumberBytes..]);
        bool isNew;
        fixed (byte* p = key)
        {
            ulong hash = Keyspace.Heap.Hash(p, size);
            ulong* slot = _known->Find(hash, p, size);
            isNew = slot == null;
            if (isNew)
            {
                note = Record.Create(Keyspace.Heap, p, size, (int)DataType.String, (int)DataEncoding.Raw, hasExpire: false, sizeof(int));
                *(int*)Record.ValueBytes(note, out _) = -1;
                _known->Insert(Keyspace.Heap, hash, note);
            }
            else
            {
                note = KeyTable.Get(slot);
            }
        }

        if (large is not null)
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(large);
        }

        return isNew;
    }
}
