using System.Runtime.CompilerServices;

namespace Leither.Lua;

/// <summary>The types of Lua 5.1, in the order of their numbers in its C API.</summary>
public enum LuaType : byte
{
    /// <summary>nil.</summary>
    Nil,
    /// <summary>true or false.</summary>
    Boolean,
    /// <summary>An opaque constant from outside, such as cjson.null.</summary>
    LightUserdata,
    /// <summary>A double.</summary>
    Number,
    /// <summary>Bytes.</summary>
    String,
    /// <summary>A table.</summary>
    Table,
    /// <summary>A function, of Lua or native.</summary>
    Function,
    /// <summary>What newproxy makes.</summary>
    Userdata,
    /// <summary>A coroutine.</summary>
    Thread,
}

/// <summary>What a <see cref="LuaValue"/> can refer to.</summary>
public abstract class LuaObject
{
    private static long s_lastId;
    private long _id;

    private protected LuaObject(LuaType type)
    {
        Type = type;
    }

    internal readonly LuaType Type;

    /// <summary>The walk over living memory that met this object last.</summary>
    internal int Mark;

    /// <summary>A number that stands for the object's address: in tostring, and as its hash.</summary>
    internal long Id
    {
        get
        {
            if (_id == 0)
            {
                // Spaced as addresses are, so that hashes of objects spread over a table as they do in C.
                _id = 0x7f0000000000 + (Interlocked.Increment(ref s_lastId) * 48);
            }

            return _id;
        }
    }
}

/// <summary>Marks a value whose whole content is its tag, or its tag and a double.</summary>
internal sealed class LuaTag : LuaObject
{
    public static readonly LuaTag Number = new(LuaType.Number);
    public static readonly LuaTag True = new(LuaType.Boolean);
    public static readonly LuaTag False = new(LuaType.Boolean);

    private LuaTag(LuaType type)
        : base(type)
    {
    }
}

/// <summary>An opaque constant. Two are equal when they are the same.</summary>
public sealed class LuaUserdata : LuaObject
{
    /// <summary>A constant named by what tostring shows after "userdata: ".</summary>
    public LuaUserdata(string name)
        : base(LuaType.LightUserdata)
    {
        Name = name;
    }

    internal LuaUserdata(LuaTable? metatable)
        : base(LuaType.Userdata)
    {
        Metatable = metatable;
        Environment = null;
    }

    internal string? Name { get; }
    internal LuaTable? Metatable { get; set; }
    internal LuaTable? Environment { get; set; }
}

/// <summary>
/// A value of Lua: 16 bytes, never boxed. A number is a tag and a double, nil is no object (so cleared memory is nil), all else an
/// object. Everything here is about raw values; what metatables add is done by <see cref="LuaThread"/>.
/// </summary>
public readonly struct LuaValue
{
    internal readonly LuaObject? O;
    internal readonly double N;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal LuaValue(LuaObject? o)
    {
        O = o;
        N = 0;
    }

    /// <summary>A number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LuaValue(double number)
    {
        O = LuaTag.Number;
        N = number;
    }

    /// <summary>A boolean.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LuaValue(bool value)
    {
        O = value ? LuaTag.True : LuaTag.False;
        N = 0;
    }

    /// <summary>A string.</summary>
    public static implicit operator LuaValue(LuaString value) => new(value);
    /// <summary>A table.</summary>
    public static implicit operator LuaValue(LuaTable value) => new(value);
    /// <summary>A function.</summary>
    public static implicit operator LuaValue(LuaFunction value) => new(value);
    /// <summary>An opaque constant.</summary>
    public static implicit operator LuaValue(LuaUserdata value) => new(value);
    /// <summary>A number.</summary>
    public static implicit operator LuaValue(double value) => new(value);
    /// <summary>A boolean.</summary>
    public static implicit operator LuaValue(bool value) => new(value);

    /// <summary>Nil, which is also what a cleared value is.</summary>
    public static LuaValue Nil => default;

    /// <summary>The type.</summary>
    public LuaType Type => O is null ? LuaType.Nil : O.Type;
    /// <summary>Whether it is nil.</summary>
    public bool IsNil => O is null;
    /// <summary>Whether it is a number (strings that look like one are not).</summary>
    public bool IsNumber => O == LuaTag.Number;
    /// <summary>Whether it is a boolean.</summary>
    public bool IsBoolean => O == LuaTag.True || O == LuaTag.False;
    /// <summary>Whether a condition takes it for false: nil and false.</summary>
    public bool IsFalsy => O is null || O == LuaTag.False;
    /// <summary>The number; 0 for what is none.</summary>
    public double Number => N;

    /// <summary>Whether it is a string, and which.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryString([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out LuaString? value)
    {
        value = O as LuaString;
        return value is not null;
    }

    /// <summary>Whether it is a table, and which.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTable([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out LuaTable? value)
    {
        value = O as LuaTable;
        return value is not null;
    }

    /// <summary>Whether it is a function, and which.</summary>
    public bool TryFunction([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out LuaFunction? value)
    {
        value = O as LuaFunction;
        return value is not null;
    }

    /// <summary>A number, or a string that reads as one.</summary>
    public bool TryToNumber(out double number)
    {
        if (O == LuaTag.Number)
        {
            number = N;
            return true;
        }

        if (O is LuaString text)
        {
            return LuaNumber.TryParse(text.Span, out number);
        }

        number = 0;
        return false;
    }

    /// <summary>A string, or a number as it is printed; null for anything else.</summary>
    public LuaString? ToStringOrNull() =>
        O is LuaString text ? text : O == LuaTag.Number ? new LuaString(LuaNumber.Format(N)) : null;

    /// <summary>Whether two values are equal without regard to metatables.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool RawEquals(in LuaValue a, in LuaValue b)
    {
        if (a.O == b.O)
        {
            return a.O != LuaTag.Number || a.N == b.N;
        }

        return a.O is LuaString x && b.O is LuaString y && x.EqualsString(y);
    }

    /// <summary>The name that type() gives.</summary>
    internal string TypeName => NameOf(Type);

    internal static string NameOf(LuaType type) => type switch
    {
        LuaType.Nil => "nil",
        LuaType.Boolean => "boolean",
        LuaType.Number => "number",
        LuaType.String => "string",
        LuaType.Table => "table",
        LuaType.Function => "function",
        LuaType.Thread => "thread",
        _ => "userdata",
    };
}
