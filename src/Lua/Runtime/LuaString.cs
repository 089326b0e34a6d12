using System.Runtime.CompilerServices;
using System.Text;

namespace Leither.Lua;

/// <summary>
/// A string of Lua: bytes that never change. The hash is that of Redis's Lua 5.1, so that pairs() walks tables in the order that scripts
/// have always seen; it is computed when first needed.
/// </summary>
public sealed class LuaString : LuaObject
{
    /// <summary>The empty string.</summary>
    public static readonly LuaString Empty = new([]);

    private uint _hash;
    private bool _hashed;

    /// <summary>Takes the array over: it must not change any more.</summary>
    public LuaString(byte[] bytes)
        : base(LuaType.String)
    {
        Bytes = bytes;
    }

    /// <summary>A copy of some bytes.</summary>
    public LuaString(ReadOnlySpan<byte> bytes)
        : this(bytes.ToArray())
    {
    }

    /// <summary>Text as UTF-8.</summary>
    public LuaString(string text)
        : this(Encoding.UTF8.GetBytes(text))
    {
    }

    internal readonly byte[] Bytes;

    /// <summary>The bytes.</summary>
    public ReadOnlySpan<byte> Span => Bytes;
    /// <summary>How many.</summary>
    public int Length => Bytes.Length;

    internal uint Hash
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _hashed ? _hash : ComputeHash();
    }

    private uint ComputeHash()
    {
        byte[] bytes = Bytes;
        uint h = (uint)bytes.Length;
        // Every byte, as in Redis's copy of Lua; Lua's own skips some of strings from 32 bytes on.
        for (int i = bytes.Length - 1; i >= 0; i--)
        {
            h ^= (h << 5) + (h >> 2) + bytes[i];
        }

        _hash = h;
        _hashed = true;
        return h;
    }

    /// <summary>Whether the bytes are equal.</summary>
    public bool EqualsString(LuaString other)
    {
        if (ReferenceEquals(this, other))
        {
            return true;
        }

        if (Bytes.Length != other.Bytes.Length || (_hashed && other._hashed && _hash != other._hash))
        {
            return false;
        }

        return Span.SequenceEqual(other.Span);
    }

    /// <summary>The bytes as Latin-1 text, for messages.</summary>
    public override string ToString() => Encoding.Latin1.GetString(Bytes);

    /// <summary>Text for messages up to the first zero byte, as C prints strings.</summary>
    internal string ToCString()
    {
        int end = Span.IndexOf((byte)0);
        return Encoding.Latin1.GetString(end < 0 ? Span : Span[..end]);
    }
}
