namespace Leither.Lua;

/// <summary>
/// A function of the host: its arguments are <see cref="LuaThread.this[int]"/> from 1 to <see cref="LuaThread.ArgCount"/>; it pushes
/// its results and returns how many they are.
/// </summary>
public delegate int LuaNative(LuaThread thread);

/// <summary>A function: a closure over Lua code, or one of the host's.</summary>
public abstract class LuaFunction : LuaObject
{
    private protected LuaFunction(LuaTable environment)
        : base(LuaType.Function)
    {
        Environment = environment;
    }

    /// <summary>The table that its global names are looked up in.</summary>
    public LuaTable Environment { get; set; }
}

/// <summary>A function of the host.</summary>
public sealed class LuaNativeFunction(LuaTable environment, LuaNative body) : LuaFunction(environment)
{
    internal readonly LuaNative Body = body;
}

/// <summary>Lua code with the variables that it closes over.</summary>
public sealed class LuaClosure : LuaFunction
{
    internal LuaClosure(LuaTable environment, Prototype prototype)
        : base(environment)
    {
        Prototype = prototype;
        Upvalues = prototype.UpvalueCount == 0 ? [] : new Upvalue[prototype.UpvalueCount];
    }

    internal readonly Prototype Prototype;
    internal readonly Upvalue[] Upvalues;
}

/// <summary>
/// A variable that closures share. While its function runs it lives on the stack of its coroutine (<see cref="Slots"/> is that stack);
/// closing it gives it an array of its own.
/// </summary>
internal sealed class Upvalue(LuaValue[] slots, int index)
{
    public LuaValue[] Slots = slots;
    public int Index = index;
    public Upvalue? Next;
    public bool IsOpen = true;
    public int Mark;

    public void Close()
    {
        LuaValue value = Slots[Index];
        Slots = [value];
        Index = 0;
        IsOpen = false;
        Next = null;
    }
}

/// <summary>The compiled form of one function.</summary>
internal sealed class Prototype
{
    public ulong[] Code = [];
    public LuaValue[] Constants = [];
    public Prototype[] Children = [];
    public int[] Lines = [];
    public LocalVariable[] Locals = [];
    public string[] UpvalueNames = [];
    public string Source = "";
    public int LineDefined;
    public int LastLineDefined;
    public int ParameterCount;
    public int UpvalueCount;
    public int MaxStack = 2;
    public bool IsVararg;
    public bool NeedsArg;
    public bool HasArg;
    public int Mark;

    public struct LocalVariable
    {
        public string Name;
        public int From;
        public int To;
    }

    public long Bytes => 200 + (Code.Length * 12L) + (Constants.Length * 16L);
}

/// <summary>An error raised by Lua code or the library: it carries any value. pcall catches it.</summary>
public class LuaException(LuaValue value) : Exception
{
    /// <summary>What was raised.</summary>
    public LuaValue Value { get; } = value;

    /// <inheritdoc/>
    public override string Message => Value.ToStringOrNull()?.ToString() ?? $"({Value.TypeName} error)";
}

/// <summary>Ends a script from outside: no pcall catches it.</summary>
public sealed class LuaAbortException(LuaValue value) : LuaException(value);
