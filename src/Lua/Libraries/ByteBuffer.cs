namespace Leither.Lua;

/// <summary>Bytes under construction; what it grows by is counted against the script's memory before it is allocated.</summary>
internal struct ByteBuffer(LuaState state)
{
    private byte[] _bytes = [];
    private int _length;

    public readonly int Length => _length;
    public readonly ReadOnlySpan<byte> Span => _bytes.AsSpan(0, _length);

    public void Add(byte value)
    {
        if (_length == _bytes.Length)
        {
            Grow(1);
        }

        _bytes[_length++] = value;
    }

    public void Add(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > _bytes.Length - _length)
        {
            Grow(bytes.Length);
        }

        bytes.CopyTo(_bytes.AsSpan(_length));
        _length += bytes.Length;
    }

    public void Add(string ascii)
    {
        foreach (char c in ascii)
        {
            Add((byte)c);
        }
    }

    public void AddNumber(double value)
    {
        Span<byte> digits = stackalloc byte[64];
        Add(digits[..LuaNumber.Format(value, digits)]);
    }

    public void Repeat(byte value, int count)
    {
        if (count > _bytes.Length - _length)
        {
            Grow(count);
        }

        _bytes.AsSpan(_length, count).Fill(value);
        _length += count;
    }

    /// <summary>Forgets what lies beyond a length.</summary>
    public void Truncate(int length) => _length = length;

    private void Grow(int needed)
    {
        long size = Math.Max(Math.Max(64, _bytes.Length * 2L), (long)_length + needed);
        if (size > Array.MaxLength)
        {
            size = (long)_length + needed;
        }

        if (size > Array.MaxLength)
        {
            throw new LuaException(LuaState.Name("not enough memory"));
        }

        state.Charge(size - _bytes.Length);
        Array.Resize(ref _bytes, (int)size);
    }

    public readonly LuaString ToLuaString() => state.NewString(Span);
}
