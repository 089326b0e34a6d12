namespace Leither.MmDb.Versions.Tree;

/// <summary>Changes of a map, to be applied to its tree: keys with their new items, and keys that go.</summary>
internal sealed class TreeEdits
{
    private const int FirstBytes = 4096, MaxBytes = 1 << 30;

    private byte[] _bytes = new byte[FirstBytes];
    private int _end;
    private Edit[] _edits = [];
    private int _count;

    private readonly record struct Edit(int Start, int KeyBytes, int ItemBytes, long Weight);

    /// <summary>Changes noted.</summary>
    public int Count => _count;

    /// <summary>Bytes that they take.</summary>
    public long Bytes => _end;

    /// <summary>The key has that item.</summary>
    public void Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> item, long weight = 1)
    {
        Append(key);
        Append(item);
        Add(new Edit(_end - key.Length - item.Length, key.Length, item.Length, weight));
    }

    /// <summary>The key goes.</summary>
    public void Delete(ReadOnlySpan<byte> key)
    {
        Append(key);
        Add(new Edit(_end - key.Length, key.Length, -1, 0));
    }

    /// <summary>Puts them into the order of keys. Each key may have been noted once.</summary>
    public void Sort()
    {
        if (_count > 1)
        {
            _edits.AsSpan(0, _count).Sort((a, b) => KeyOf(a).SequenceCompareTo(KeyOf(b)));
        }
    }

    /// <summary>Forgets all.</summary>
    public void Clear()
    {
        _end = 0;
        _count = 0;
    }

    /// <summary>The key of a change.</summary>
    public ReadOnlySpan<byte> Key(int index) => KeyOf(_edits[index]);

    /// <summary>Whether the key goes.</summary>
    public bool IsDelete(int index) => _edits[index].ItemBytes < 0;

    /// <summary>The new item of a key; empty: the key goes.</summary>
    public ReadOnlySpan<byte> Item(int index)
    {
        Edit edit = _edits[index];
        return _bytes.AsSpan(edit.Start + edit.KeyBytes, Math.Max(0, edit.ItemBytes));
    }

    /// <summary>What the new item weighs.</summary>
    public long Weight(int index) => _edits[index].Weight;

    private void Add(in Edit edit)
    {
        if (_count == _edits.Length)
        {
            Array.Resize(ref _edits, Math.Max(16, 2 * _count));
        }

        _edits[_count++] = edit;
    }

    private ReadOnlySpan<byte> KeyOf(Edit edit) => _bytes.AsSpan(edit.Start, edit.KeyBytes);

    private void Append(ReadOnlySpan<byte> bytes)
    {
        if (_bytes.Length - _end < bytes.Length)
        {
            long needed = _end + (long)bytes.Length;
            if (needed > MaxBytes)
            {
                throw new TooManyChangesException();
            }

            Array.Resize(ref _bytes, (int)Math.Min(MaxBytes, Math.Max(needed, _bytes.Length * 2L)));
        }

        bytes.CopyTo(_bytes.AsSpan(_end));
        _end += bytes.Length;
    }
}

/// <summary>So much of one collection changed that it is better built anew.</summary>
internal sealed class TooManyChangesException() : IOException("too much of one collection changed to be held in memory");
