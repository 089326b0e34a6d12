using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace Leither.Lua;

/// <summary>One call that runs: where its function, its registers and its next instruction are.</summary>
internal sealed class CallInfo
{
    public int Function;
    public int Base;
    public int Top;
    public int Pc;
    public int Results;
    public int TailCalls;
    /// <summary>The Lua function; null while one of the host runs.</summary>
    public LuaClosure? Closure;
}

/// <summary>What a coroutine does at present.</summary>
internal enum ThreadStatus
{
    Ready,
    Yielded,
    Dead,
}

/// <summary>
/// A thread of Lua: a stack of values and a stack of calls. Calls from Lua to Lua nest in those only; the host's own stack
/// grows with natives that call back (pcall, sort, metamethods, resume), which <see cref="MaxDepth"/> bounds.
/// This part holds what natives use: arguments, results, errors, calls.
/// </summary>
public sealed partial class LuaThread : LuaObject
{
    /// <summary>How deep natives and Lua code may alternate.</summary>
    internal const int MaxDepth = 200;
    /// <summary>How deep calls may nest; an error's handler gets some more.</summary>
    private const int MaxCalls = 16384;
    private const int ExtraCalls = 200;
    /// <summary>How many values a native may push.</summary>
    internal const int MaxNativeStack = 8000;
    private const int MinNativeStack = 20;

    private readonly LuaState _state;
    private CallInfo[] _calls = new CallInfo[8];
    private int _callIndex;
    private CallInfo _ci;
    private Upvalue? _openUpvalues;
    private LuaFunction? _handler;
    private int _highWater;
    private bool _handling;

    internal LuaValue[] Stack = new LuaValue[64];
    internal int Top;
    internal int Base;
    internal ThreadStatus Status;
    internal int BaseDepth;
    internal LuaThread? Resumer;

    internal LuaThread(LuaState state)
        : base(LuaType.Thread)
    {
        _state = state;
        Environment = state.Globals;
        _ci = _calls[0] = new CallInfo { Top = MinNativeStack, Base = 1 };
        Top = Base = 1;
        state.Charge(1500);
    }

    /// <summary>The world that it belongs to.</summary>
    public LuaState State => _state;

    /// <summary>The globals of code loaded by this thread.</summary>
    public LuaTable Environment { get; set; }
    internal long Bytes => 400 + (Stack.Length * 16L) + (_calls.Length * 64L);
    internal Span<LuaValue> LiveStack => Stack.AsSpan(0, Math.Min(Stack.Length, Math.Max(Top, _ci.Top)));

    // Arguments and results of natives

    /// <summary>How many arguments the running native was given.</summary>
    public int ArgCount => Top - Base;

    /// <summary>An argument of the running native, from 1; nil beyond the last.</summary>
    public LuaValue this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            int at = Base + index - 1;
            return at < Top ? Stack[at] : default;
        }
    }

    /// <summary>Forgets arguments beyond some, or adds nils.</summary>
    internal void SetArgCount(int count)
    {
        while (ArgCount < count)
        {
            Push(default);
        }

        Top = Base + count;
    }

    /// <summary>Pushes a result.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push(in LuaValue value)
    {
        if (Top == Stack.Length)
        {
            LuaValue kept = value;
            GrowStack(1);
            Stack[Top++] = kept;
            return;
        }

        Stack[Top++] = value;
    }

    /// <summary>Pushes one result and says so: return thread.Return(x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Return(in LuaValue value)
    {
        Push(value);
        return 1;
    }

    /// <summary>Pushes a string result.</summary>
    public int ReturnString(ReadOnlySpan<byte> bytes) => Return(_state.NewString(bytes));

    /// <summary>Room for some more values, or false if a native may not push that many.</summary>
    internal bool TryReserve(int count)
    {
        if (count > MaxNativeStack || Top - Base + count > MaxNativeStack)
        {
            return false;
        }

        EnsureStack(count);
        return true;
    }

    internal void Reserve(int count, string what)
    {
        if (!TryReserve(count))
        {
            throw Error($"stack overflow ({what})");
        }
    }

    /// <summary>An argument that must be a number (or a string that reads as one).</summary>
    public double CheckNumber(int index)
    {
        LuaValue value = this[index];
        if (value.IsNumber)
        {
            return value.Number;
        }

        return value.TryToNumber(out double number) ? number : throw TypeError(index, "number");
    }

    /// <summary>An argument that must be a number, as C's int.</summary>
    public int CheckInt(int index) => LuaNumber.ToInt32(CheckNumber(index));

    /// <summary>As <see cref="CheckNumber"/>, with a default for none or nil.</summary>
    public double OptNumber(int index, double otherwise) => this[index].IsNil ? otherwise : CheckNumber(index);

    /// <summary>As <see cref="CheckInt"/>, with a default for none or nil.</summary>
    public int OptInt(int index, int otherwise) => this[index].IsNil ? otherwise : CheckInt(index);

    /// <summary>An argument that must be a string or a number.</summary>
    public LuaString CheckString(int index)
    {
        LuaValue value = this[index];
        return value.O as LuaString ?? value.ToStringOrNull() ?? throw TypeError(index, "string");
    }

    /// <summary>An argument that must be a table.</summary>
    public LuaTable CheckTable(int index) => this[index].O as LuaTable ?? throw TypeError(index, "table");

    /// <summary>An argument that must be there, even if nil.</summary>
    public void CheckAny(int index)
    {
        if (index > ArgCount)
        {
            throw ArgError(index, "value expected");
        }
    }

    // Errors

    /// <summary>An error of the running native: where it was called, and the text. To be thrown.</summary>
    public LuaException Error(string message) => Raise(Text(Where(1) + message));

    /// <summary>An error about an argument.</summary>
    public LuaException ArgError(int index, string message)
    {
        string? name = FunctionName(_callIndex, out string? kind);
        if (kind == "method")
        {
            index--;
            if (index == 0)
            {
                return Error($"calling '{name}' on bad self ({message})");
            }
        }

        return Error($"bad argument #{index.ToString(CultureInfo.InvariantCulture)} to '{name ?? "?"}' ({message})");
    }

    /// <summary>An error about an argument's type.</summary>
    public LuaException TypeError(int index, string expected) =>
        ArgError(index, $"{expected} expected, got {(index > ArgCount ? "no value" : this[index].TypeName)}");

    /// <summary>An error with any value, as error() raises it. The handler of xpcall, if one watches, sees it first, where it happened.</summary>
    public LuaException Raise(LuaValue value)
    {
        if (_handler is { } handler)
        {
            if (_handling)
            {
                return new LuaException(LuaState.Name("error in error handling"));
            }

            _handling = true;
            try
            {
                EnsureStack(2);
                int function = Math.Max(Top, _ci.Closure is null ? Top : _ci.Top);
                Top = function;
                EnsureStack(2);
                Stack[Top++] = handler;
                Stack[Top++] = value;
                Call(function, 1);
                value = Stack[--Top];
            }
            catch (LuaException e) when (e is not LuaAbortException)
            {
                value = LuaState.Name("error in error handling");
            }
            finally
            {
                _handling = false;
            }
        }

        return new LuaException(value);
    }

    internal static LuaString Text(string message) => new(Encoding.Latin1.GetBytes(message));

    /// <summary>"source:line: " of a level: 1 is who called the running native.</summary>
    internal string Where(int level) =>
        TryFrame(level, out string source, out int line) && line > 0
            ? $"{ChunkName.Short(source, 60)}:{line.ToString(CultureInfo.InvariantCulture)}: "
            : "";

    /// <summary>The source name and line of a level (0: the running native); false beyond the first. Natives and tail calls have line -1.</summary>
    public bool TryFrame(int level, out string source, out int line)
    {
        source = "=[C]";
        line = -1;
        if (!TryLevel(level, out int index))
        {
            return false;
        }

        if (index == 0)
        {
            source = "=(tail call)";
        }
        else if (_calls[index].Closure is { } closure)
        {
            source = closure.Prototype.Source;
            line = closure.Prototype.Lines[Math.Max(_calls[index].Pc - 1, 0)];
        }

        return true;
    }

    /// <summary>Which call a level is; 0 stands for one that a tail call replaced.</summary>
    private bool TryLevel(int level, out int index)
    {
        index = _callIndex;
        for (; level > 0 && index > 0; index--)
        {
            level--;
            if (_calls[index].Closure is not null)
            {
                level -= _calls[index].TailCalls;
            }
        }

        if (level == 0 && index > 0)
        {
            return true;
        }

        index = 0;
        return level < 0;
    }

    internal bool TryLevelFunction(int level, [NotNullWhen(true)] out LuaFunction? function)
    {
        function = TryLevel(level, out int index) && index > 0 ? Stack[_calls[index].Function].O as LuaFunction : null;
        return function is not null;
    }

    internal bool HasLevel(int level) => TryLevel(level, out _);

    // Calls

    /// <summary>
    /// Calls a function with arguments and gives its first result. Errors come out as <see cref="LuaException"/>; the thread is as before then.
    /// </summary>
    /// <param name="function">What to call.</param>
    /// <param name="handler">Sees an error where it happens, and what it returns is raised instead.</param>
    /// <param name="args">The arguments.</param>
    public LuaValue Call(LuaFunction function, LuaFunction? handler, params ReadOnlySpan<LuaValue> args)
    {
        LuaThread? running = _state.Running;
        _state.Running = this;
        int top = Top;
        try
        {
            EnsureStack(args.Length + 1);
            Stack[Top++] = function;
            foreach (ref readonly LuaValue arg in args)
            {
                Stack[Top++] = arg;
            }

            if (!TryCall(top, 1, handler, out LuaException? error))
            {
                throw error;
            }

            LuaValue result = Stack[Top - 1];
            Top = top;
            return result;
        }
        finally
        {
            Top = top;
            _state.Running = running;
            if (_callIndex == 0)
            {
                ForgetGarbage();
            }
        }
    }

    /// <summary>Nothing runs any more: what lies above the stack's top must not keep objects alive, nor a deep stack its memory.</summary>
    private void ForgetGarbage()
    {
        if (Stack.Length > 4096)
        {
            Array.Resize(ref Stack, 64 + Top);
            _calls = _calls.Length > 256 ? _calls[..8] : _calls;
        }
        else
        {
            int end = Math.Min(Math.Max(_highWater, Top), Stack.Length);
            Array.Clear(Stack, Top, end - Top);
        }

        _highWater = 0;
    }

    /// <summary>Calls what lies at <paramref name="function"/>, its arguments above it; results replace them. On an error everything is as before the call.</summary>
    internal bool TryCall(int function, int results, LuaFunction? handler, [NotNullWhen(false)] out LuaException? error)
    {
        int callIndex = _callIndex, depth = _state.Depth;
        LuaFunction? oldHandler = _handler;
        bool oldHandling = _handling;
        LuaThread? running = _state.Running;
        _handler = handler;
        _handling = false;
        try
        {
            Call(function, results);
            error = null;
            return true;
        }
        catch (LuaAbortException)
        {
            Unwind(function, callIndex);
            throw;
        }
        catch (LuaException e)
        {
            error = e;
            Unwind(function, callIndex);
            return false;
        }
        catch (InsufficientExecutionStackException)
        {
            error = new LuaException(LuaState.Name("stack overflow"));
            Unwind(function, callIndex);
            return false;
        }
        catch (OutOfMemoryException)
        {
            error = new LuaException(LuaState.Name("not enough memory"));
            Unwind(function, callIndex);
            return false;
        }
        finally
        {
            _handler = oldHandler;
            _handling = oldHandling;
            _state.Depth = depth;
            _state.Running = running;
        }
    }

    /// <summary>
    /// Calls the running native's first argument with the others, as pcall does. On success what pcall returns is pushed, and how many values that are
    /// is returned; on an error nothing is.
    /// </summary>
    public int ProtectedCall(out LuaException? error)
    {
        CheckAny(1);
        int first = Base;
        if (!TryCall(first, -1, null, out error))
        {
            return 0;
        }

        // The status goes below the results.
        int count = Top - first;
        EnsureStack(1);
        Array.Copy(Stack, first, Stack, first + 1, count);
        Stack[first] = true;
        Top++;
        return count + 1;
    }

    private void Unwind(int function, int callIndex)
    {
        CloseUpvalues(function);
        NoteHighWater();
        _callIndex = callIndex;
        _ci = _calls[callIndex];
        Base = _ci.Base;
        Top = function;
    }

    private void NoteHighWater() => _highWater = Math.Max(_highWater, Math.Max(Top, _ci.Top));

    /// <summary>Calls what lies at <paramref name="function"/> with what lies above it; errors pass through.</summary>
    internal void Call(int function, int results)
    {
        if (++_state.Depth >= MaxDepth)
        {
            if (_state.Depth == MaxDepth)
            {
                throw RuntimeError("C stack overflow");
            }

            if (_state.Depth >= MaxDepth + (MaxDepth >> 3))
            {
                throw new LuaException(LuaState.Name("error in error handling"));
            }
        }

        if (--_state.Countdown <= 0)
        {
            _state.RunHook(this);
        }

        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (PreCall(function, results) == CallKind.Lua)
        {
            Execute(1);
        }

        _state.Depth--;
    }

    private enum CallKind
    {
        Lua,
        Native,
        Yield,
    }

    /// <summary>Enters a Lua function (which <see cref="Execute"/> is then to run), or runs a native one.</summary>
    private CallKind PreCall(int function, int results)
    {
        LuaValue callee = Stack[function];
        if (callee.O is LuaClosure closure)
        {
            EnterLua(closure, function, results);
            return CallKind.Lua;
        }

        if (callee.O is LuaNativeFunction native)
        {
            return CallNative(native, function, results);
        }

        // An object with __call: it becomes the first argument.
        LuaValue handler = Metamethod(callee, MetaEvent.Call);
        if (handler.O is not LuaFunction)
        {
            throw OperandError(callee, "call", RegisterOf(function));
        }

        EnsureStack(1);
        for (int i = Top; i > function; i--)
        {
            Stack[i] = Stack[i - 1];
        }

        Top++;
        Stack[function] = handler;
        return PreCall(function, results);
    }

    private void EnterLua(LuaClosure closure, int function, int results)
    {
        Prototype prototype = closure.Prototype;
        EnsureStack(prototype.MaxStack + prototype.ParameterCount + 8);
        LuaValue[] stack = Stack;
        int given = Top - function - 1, @base = function + 1;
        if (prototype.IsVararg)
        {
            LuaTable? arg = null;
            int parameters = prototype.ParameterCount;
            for (; given < parameters; given++)
            {
                stack[Top++] = default;
            }

            if (prototype.NeedsArg)
            {
                int extra = given - parameters;
                arg = _state.NewTable(extra, 1);
                for (int i = 0; i < extra; i++)
                {
                    arg.Set(i + 1, stack[Top - extra + i]);
                }

                arg.Set(LuaState.Name("n"), (double)extra);
            }

            // The named parameters move above what was given; … stays below.
            int first = Top - given;
            @base = Top;
            for (int i = 0; i < parameters; i++)
            {
                stack[Top++] = stack[first + i];
                stack[first + i] = default;
            }

            if (prototype.HasArg)
            {
                stack[Top++] = new LuaValue(arg);
            }
        }
        else
        {
            for (; given < prototype.ParameterCount; given++)
            {
                stack[Top++] = default;
            }
        }

        CallInfo ci = PushCall();
        ci.Function = function;
        ci.Base = Base = @base;
        ci.Top = Top = @base + prototype.MaxStack;
        ci.Closure = closure;
        ci.Pc = 0;
        ci.TailCalls = 0;
        ci.Results = results;
    }

    private CallKind CallNative(LuaNativeFunction native, int function, int results)
    {
        EnsureStack(MinNativeStack);
        CallInfo ci = PushCall();
        ci.Function = function;
        ci.Base = Base = function + 1;
        ci.Top = Top + MinNativeStack;
        ci.Closure = null;
        ci.TailCalls = 0;
        ci.Results = results;
        int count = native.Body(this);
        if (count < 0)
        {
            return CallKind.Yield;
        }

        PostCall(Top - count);
        return CallKind.Native;
    }

    private CallInfo PushCall()
    {
        if (Top > _highWater)
        {
            _highWater = Top;
        }

        int index = _callIndex + 1;
        if (index == _calls.Length || index >= MaxCalls)
        {
            if (index >= MaxCalls && (!_handling || index >= MaxCalls + ExtraCalls))
            {
                throw _handling ? new LuaException(LuaState.Name("error in error handling")) : RuntimeError("stack overflow");
            }

            if (index == _calls.Length)
            {
                _state.Charge(_calls.Length * 64L);
                Array.Resize(ref _calls, Math.Min(_calls.Length * 2, MaxCalls + ExtraCalls));
            }
        }

        _callIndex = index;
        return _ci = _calls[index] ??= new CallInfo();
    }

    /// <summary>Leaves the running call: its results, from <paramref name="first"/> up, go where its function lay. False: as many as there are.</summary>
    private bool PostCall(int first)
    {
        CallInfo ci = _ci;
        int wanted = ci.Results, target = ci.Function, end = Top;
        _ci = _calls[--_callIndex];
        Base = _ci.Base;
        LuaValue[] stack = Stack;
        if (end > _highWater)
        {
            _highWater = end;
        }

        if (wanted == 1)
        {
            stack[target] = first < end ? stack[first] : default;
            Top = target + 1;
            return true;
        }

        int left = wanted;
        for (; left != 0 && first < end; left--)
        {
            stack[target++] = stack[first++];
        }

        while (left-- > 0)
        {
            stack[target++] = default;
        }

        Top = target;
        return wanted >= 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void EnsureStack(int count)
    {
        if (Top + count + 8 > Stack.Length)
        {
            GrowStack(count + 8);
        }
    }

    private void GrowStack(int count)
    {
        int size = Math.Max(Stack.Length * 2, Top + count + 16);
        _state.Charge((size - Stack.Length) * 16L);
        Array.Resize(ref Stack, size);
        for (Upvalue? upvalue = _openUpvalues; upvalue is not null; upvalue = upvalue.Next)
        {
            upvalue.Slots = Stack;
        }
    }

    // Upvalues

    private Upvalue FindUpvalue(int index)
    {
        Upvalue? previous = null, upvalue = _openUpvalues;
        while (upvalue is not null && upvalue.Index >= index)
        {
            if (upvalue.Index == index)
            {
                return upvalue;
            }

            previous = upvalue;
            upvalue = upvalue.Next;
        }

        var made = new Upvalue(Stack, index) { Next = upvalue };
        _state.Charge(80);
        if (previous is null)
        {
            _openUpvalues = made;
        }
        else
        {
            previous.Next = made;
        }

        return made;
    }

    private void CloseUpvalues(int from)
    {
        while (_openUpvalues is { } upvalue && upvalue.Index >= from)
        {
            _openUpvalues = upvalue.Next;
            upvalue.Close();
        }
    }

    // Coroutines

    /// <summary>
    /// Runs a coroutine until it yields, ends or fails. Its arguments are the top <paramref name="count"/> values of its stack; what it yields or
    /// returns are the values from the index returned up to its top.
    /// </summary>
    internal bool TryResume(LuaThread from, int count, out int firstResult, [NotNullWhen(false)] out LuaException? error)
    {
        firstResult = 0;
        if (_state.Depth >= MaxDepth)
        {
            error = new LuaException(LuaState.Name("C stack overflow"));
            Status = ThreadStatus.Dead;
            return false;
        }

        int depth = _state.Depth;
        LuaThread? running = _state.Running;
        _state.Running = this;
        Resumer = from;
        BaseDepth = ++_state.Depth;
        try
        {
            RuntimeHelpers.EnsureSufficientExecutionStack();
            if (Status == ThreadStatus.Yielded)
            {
                // The call that yielded ends with what was passed to resume.
                Status = ThreadStatus.Ready;
                if (PostCall(Top - count))
                {
                    Top = _ci.Top;
                }
            }
            else
            {
                PreCall(Top - count - 1, -1);
            }

            Execute(_callIndex);
            if (Status == ThreadStatus.Yielded)
            {
                firstResult = Base;
            }
            else
            {
                firstResult = 1;
                Status = ThreadStatus.Dead;
            }

            error = null;
            return true;
        }
        catch (LuaAbortException)
        {
            Status = ThreadStatus.Dead;
            throw;
        }
        catch (LuaException e)
        {
            Status = ThreadStatus.Dead;
            error = e;
            return false;
        }
        catch (InsufficientExecutionStackException)
        {
            Status = ThreadStatus.Dead;
            error = new LuaException(LuaState.Name("stack overflow"));
            return false;
        }
        catch (OutOfMemoryException)
        {
            Status = ThreadStatus.Dead;
            error = new LuaException(LuaState.Name("not enough memory"));
            return false;
        }
        finally
        {
            Resumer = null;
            _state.Running = running;
            _state.Depth = depth;
        }
    }

    /// <summary>What coroutine.yield does: its arguments are what resume returns.</summary>
    internal int Yield()
    {
        if (this == _state.Main || _state.Depth > BaseDepth)
        {
            throw RuntimeError("attempt to yield across metamethod/C-call boundary");
        }

        Status = ThreadStatus.Yielded;
        return -1;
    }

    /// <summary>What sees errors where they happen, if anything does.</summary>
    internal LuaFunction? Handler => _handler;

    /// <summary>Whether no call runs on it.</summary>
    internal bool IsIdle => _callIndex == 0;

    internal void Forget() => CloseUpvalues(0);
}
