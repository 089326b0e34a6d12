using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace Leither.Lua;

/// <summary>
/// One Lua world: the globals, the main thread, and the bounds within which scripts run. Not safe for several threads at once.
/// What must stay true: no script can use memory beyond <see cref="MaxMemoryBytes"/> (counted, with "not enough memory" at the bound), run longer
/// than its host likes (<see cref="Hook"/> is called all the time), nest deeper than the stack allows, or reach the host except by its natives.
/// </summary>
public sealed class LuaState
{
    /// <summary>How many calls and backward jumps lie between two calls of the hook.</summary>
    private const int HookInterval = 10_000;
    private const long FirstCountBytes = 8 << 20;

    private static readonly ConcurrentDictionary<LuaString, LuaString> s_names = new(StringEquality.Instance);

    private long _charged;
    private long _countAt = FirstCountBytes;
    private int _mark;

    /// <summary>A world without libraries.</summary>
    public LuaState()
    {
        Globals = new LuaTable(this);
        Registry = new LuaTable(this);
        Main = new LuaThread(this);
    }

    /// <summary>The global environment that functions are made with.</summary>
    public LuaTable Globals { get; }
    /// <summary>A table of the host's that scripts cannot reach.</summary>
    public LuaTable Registry { get; }
    /// <summary>The thread that the host calls on.</summary>
    public LuaThread Main { get; }
    /// <summary>The metatable of all strings.</summary>
    public LuaTable? StringMetatable { get; set; }
    /// <summary>The bound of memory.</summary>
    public long MaxMemoryBytes { get; set; } = 1L << 30;
    /// <summary>Called now and then while a script runs; it may throw <see cref="LuaAbortException"/> to end it.</summary>
    public Action<LuaThread>? Hook { get; set; }
    /// <summary>The thread that runs.</summary>
    public LuaThread? Running { get; internal set; }

    internal int Depth;
    internal int Countdown = HookInterval;
    internal LuaNativeFunction? NextFunction;
    internal DrandGenerator Random = new();

    /// <summary>Bytes in use, by the last count and what was allocated since.</summary>
    public long UsedBytes => _charged;

    /// <summary>One object for a name that the host or a library knows, so that scripts' lookups of it compare references.</summary>
    public static LuaString Name(string name)
    {
        var text = new LuaString(name);
        return s_names.GetOrAdd(text, text);
    }

    internal static LuaString InternName(LuaString text) => s_names.GetValueOrDefault(text, text);

    /// <summary>A string of its own, counted.</summary>
    public LuaString NewString(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return LuaString.Empty;
        }

        Charge(StringBytes + bytes.Length);
        return new LuaString(bytes);
    }

    /// <summary>A string that takes over an array, counted.</summary>
    internal LuaString TakeString(byte[] bytes)
    {
        Charge(StringBytes + bytes.Length);
        return new LuaString(bytes);
    }

    internal const int StringBytes = 56;

    /// <summary>A table with room.</summary>
    public LuaTable NewTable(int arraySize = 0, int hashSize = 0) => new(this, arraySize, hashSize);

    /// <summary>A function of the host.</summary>
    public LuaNativeFunction NewFunction(LuaNative body) => new(Globals, body);

    /// <summary>Puts a function of the host into a table.</summary>
    public void Register(LuaTable table, string name, LuaNative body) => table.Set(Name(name), NewFunction(body));

    /// <summary>Compiles a chunk; throws <see cref="LuaException"/> with Lua's message if it is wrong.</summary>
    /// <param name="text">The source.</param>
    /// <param name="chunkName">"@file", "=name" or the text itself.</param>
    public LuaClosure Load(ReadOnlySpan<byte> text, string chunkName)
    {
        Charge(text.Length * 4L);
        return new LuaClosure(Globals, Parser.Parse(text.ToArray(), chunkName, Depth));
    }

    internal void RunHook(LuaThread thread)
    {
        Countdown = HookInterval;
        Hook?.Invoke(thread);
    }

    /// <summary>Counts an allocation before it is made.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Charge(long bytes)
    {
        if ((_charged += bytes) > _countAt)
        {
            CountMemory(bytes);
        }
    }

    /// <summary>What was allocated since the last count may be garbage by now: walks over what lives.</summary>
    private void CountMemory(long wanted)
    {
        long live = LiveBytes();
        if (live + wanted > MaxMemoryBytes)
        {
            _charged = live;
            _countAt = Math.Min(live + FirstCountBytes, MaxMemoryBytes);
            throw new LuaException(Name("not enough memory"));
        }

        _charged = live + wanted;
        _countAt = Math.Min(Math.Max(live + wanted + FirstCountBytes, 2 * (live + wanted)), MaxMemoryBytes);
    }

    /// <summary>Counts what lives now.</summary>
    public long Recount()
    {
        _charged = LiveBytes();
        _countAt = Math.Min(Math.Max(_charged + FirstCountBytes, 2 * _charged), MaxMemoryBytes);
        return _charged;
    }

    private long LiveBytes()
    {
        int mark = ++_mark;
        long bytes = 0;
        var pending = new Stack<LuaObject>();
        Visit(Globals);
        Visit(Registry);
        Visit(Main);
        Visit(Running);
        Visit(StringMetatable);
        while (pending.TryPop(out LuaObject? o))
        {
            switch (o)
            {
                case LuaTable table:
                    bytes += table.Bytes;
                    Visit(table.Metatable);
                    int position = 0;
                    while (table.NextAt(ref position, out LuaValue key, out LuaValue value))
                    {
                        Visit(key.O);
                        Visit(value.O);
                    }

                    break;
                case LuaClosure closure:
                    bytes += 64 + (closure.Upvalues.Length * 8);
                    Visit(closure.Environment);
                    VisitPrototype(closure.Prototype);
                    foreach (Upvalue? upvalue in closure.Upvalues)
                    {
                        if (upvalue is not null && upvalue.Mark != mark)
                        {
                            upvalue.Mark = mark;
                            bytes += 80;
                            Visit(upvalue.Slots[upvalue.Index].O);
                        }
                    }

                    break;
                case LuaNativeFunction native:
                    bytes += 48;
                    Visit(native.Environment);
                    break;
                case LuaThread thread:
                    bytes += thread.Bytes;
                    foreach (ref readonly LuaValue value in thread.LiveStack)
                    {
                        Visit(value.O);
                    }

                    Visit(thread.Environment);
                    Visit(thread.Resumer);
                    break;
                case LuaUserdata userdata:
                    bytes += 48;
                    Visit(userdata.Metatable);
                    break;
            }
        }

        return bytes;

        void Visit(LuaObject? o)
        {
            if (o is null || o.Mark == mark)
            {
                return;
            }

            o.Mark = mark;
            if (o is LuaString text)
            {
                bytes += StringBytes + text.Length;
            }
            else if (o is not LuaTag)
            {
                pending.Push(o);
            }
        }

        void VisitPrototype(Prototype prototype)
        {
            if (prototype.Mark == mark)
            {
                return;
            }

            prototype.Mark = mark;
            bytes += prototype.Bytes;
            foreach (ref readonly LuaValue constant in prototype.Constants.AsSpan())
            {
                Visit(constant.O);
            }

            // Nesting of functions is bounded by the parser.
            foreach (Prototype child in prototype.Children)
            {
                VisitPrototype(child);
            }
        }
    }
}
