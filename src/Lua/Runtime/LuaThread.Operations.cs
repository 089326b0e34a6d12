using System.Runtime.CompilerServices;

namespace Leither.Lua;

/// <summary>This part holds what operators mean once metatables and conversions come in, and how their errors name the culprit.</summary>
public sealed partial class LuaThread
{
    private const int MaxMetaLoop = 100;
    private const int NoRegister = -1;

    /// <summary>The metatable of a value of any type.</summary>
    internal LuaTable? MetatableOf(in LuaValue value) => value.O switch
    {
        LuaTable table => table.Metatable,
        LuaString => _state.StringMetatable,
        LuaUserdata userdata => userdata.Metatable,
        _ => null,
    };

    internal LuaValue Metamethod(in LuaValue value, MetaEvent @event) => MetaEvents.Of(MetatableOf(value), @event);

    private LuaValue CallMetamethod(in LuaValue handler, in LuaValue a, in LuaValue b)
    {
        LuaValue h = handler, x = a, y = b;
        int function = Top;
        EnsureStack(4);
        Stack[Top++] = h;
        Stack[Top++] = x;
        Stack[Top++] = y;
        Call(function, 1);
        return Stack[--Top];
    }

    /// <summary>What object[key] gives. <paramref name="register"/>: where the object came from, for the error.</summary>
    internal LuaValue Index(LuaValue o, LuaValue key, int register = NoRegister)
    {
        for (int loop = 0; loop < MaxMetaLoop; loop++)
        {
            LuaValue handler;
            if (o.O is LuaTable table)
            {
                ref LuaValue found = ref table.Find(key);
                if (!Unsafe.IsNullRef(ref found) && !found.IsNil)
                {
                    return found;
                }

                handler = MetaEvents.Of(table.Metatable, MetaEvent.Index);
                if (handler.IsNil)
                {
                    return default;
                }
            }
            else
            {
                handler = Metamethod(o, MetaEvent.Index);
                if (handler.IsNil)
                {
                    throw OperandError(o, "index", register);
                }
            }

            if (handler.O is LuaFunction)
            {
                return CallMetamethod(handler, o, key);
            }

            o = handler;
            register = NoRegister;
        }

        throw RuntimeError("loop in gettable");
    }

    /// <summary>object[key] = value.</summary>
    internal void SetIndex(LuaValue o, LuaValue key, LuaValue value, int register = NoRegister)
    {
        for (int loop = 0; loop < MaxMetaLoop; loop++)
        {
            LuaValue handler;
            if (o.O is LuaTable table)
            {
                if (table.IsReadOnly)
                {
                    throw RuntimeError("Attempt to modify a readonly table");
                }

                ref LuaValue slot = ref SlotFor(table, key);
                if (!slot.IsNil || (handler = MetaEvents.Of(table.Metatable, MetaEvent.NewIndex)).IsNil)
                {
                    slot = value;
                    return;
                }
            }
            else
            {
                handler = Metamethod(o, MetaEvent.NewIndex);
                if (handler.IsNil)
                {
                    throw OperandError(o, "index", register);
                }
            }

            if (handler.O is LuaFunction)
            {
                int function = Top;
                EnsureStack(5);
                Stack[Top++] = handler;
                Stack[Top++] = o;
                Stack[Top++] = key;
                Stack[Top++] = value;
                Call(function, 0);
                return;
            }

            o = handler;
            register = NoRegister;
        }

        throw RuntimeError("loop in settable");
    }

    /// <summary>The place of a key, which may be any value that scripts come up with.</summary>
    internal ref LuaValue SlotFor(LuaTable table, scoped in LuaValue key)
    {
        if (key.IsNil)
        {
            throw RuntimeError("table index is nil");
        }

        if (key.IsNumber && double.IsNaN(key.Number))
        {
            throw RuntimeError("table index is NaN");
        }

        return ref table.Slot(key);
    }

    internal static double Arithmetic(Opcode op, double a, double b) => op switch
    {
        Opcode.Add => a + b,
        Opcode.Sub => a - b,
        Opcode.Mul => a * b,
        Opcode.Div => a / b,
        Opcode.Mod => Modulo(a, b),
        Opcode.Pow => Math.Pow(a, b),
        _ => -a,
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double Modulo(double a, double b) => a - (Math.Floor(a / b) * b);

    /// <summary>Arithmetic beyond two numbers: strings that read as numbers, then metamethods.</summary>
    private LuaValue ArithmeticSlow(Opcode op, LuaValue a, LuaValue b, int left, int right)
    {
        if (a.TryToNumber(out double x) && b.TryToNumber(out double y))
        {
            return Arithmetic(op, x, y);
        }

        MetaEvent @event = MetaEvent.Add + (op - Opcode.Add);
        LuaValue handler = Metamethod(a, @event);
        if (handler.IsNil)
        {
            handler = Metamethod(b, @event);
        }

        if (!handler.IsNil)
        {
            return CallMetamethod(handler, a, b);
        }

        throw a.TryToNumber(out _)
            ? OperandError(b, "perform arithmetic on", right)
            : OperandError(a, "perform arithmetic on", left);
    }

    /// <summary>What # gives. Tables do not ask their metatable, as in 5.1.</summary>
    private LuaValue LengthOf(LuaValue value, int register)
    {
        switch (value.O)
        {
            case LuaTable table:
                return (double)table.Length;
            case LuaString text:
                return (double)text.Length;
            default:
                LuaValue handler = Metamethod(value, MetaEvent.Length);
                if (handler.IsNil)
                {
                    throw OperandError(value, "get length of", register);
                }

                return CallMetamethod(handler, value, default);
        }
    }

    /// <summary>Whether two values are equal, metatables asked.</summary>
    internal bool AreEqual(in LuaValue a, in LuaValue b)
    {
        if (LuaValue.RawEquals(a, b))
        {
            return true;
        }

        LuaTable? first, second;
        if (a.O is LuaTable x && b.O is LuaTable y)
        {
            first = x.Metatable;
            second = y.Metatable;
        }
        else if (a.O is LuaUserdata { Type: LuaType.Userdata } u && b.O is LuaUserdata { Type: LuaType.Userdata } v)
        {
            first = u.Metatable;
            second = v.Metatable;
        }
        else
        {
            return false;
        }

        // Both must have the same handler.
        LuaValue handler = MetaEvents.Of(first, MetaEvent.Equal);
        if (handler.IsNil)
        {
            return false;
        }

        if (first != second && !LuaValue.RawEquals(handler, MetaEvents.Of(second, MetaEvent.Equal)))
        {
            return false;
        }

        return !CallMetamethod(handler, a, b).IsFalsy;
    }

    internal bool IsLess(in LuaValue a, in LuaValue b)
    {
        if (a.IsNumber && b.IsNumber)
        {
            return a.N < b.N;
        }

        if (a.O is LuaString x && b.O is LuaString y)
        {
            return x.Span.SequenceCompareTo(y.Span) < 0;
        }

        if (a.Type == b.Type && TryOrder(a, b, MetaEvent.LessThan, out bool result))
        {
            return result;
        }

        throw OrderError(a, b);
    }

    internal bool IsLessOrEqual(in LuaValue a, in LuaValue b)
    {
        if (a.IsNumber && b.IsNumber)
        {
            return a.N <= b.N;
        }

        if (a.O is LuaString x && b.O is LuaString y)
        {
            return x.Span.SequenceCompareTo(y.Span) <= 0;
        }

        if (a.Type == b.Type)
        {
            if (TryOrder(a, b, MetaEvent.LessEqual, out bool result))
            {
                return result;
            }

            if (TryOrder(b, a, MetaEvent.LessThan, out result))
            {
                return !result;
            }
        }

        throw OrderError(a, b);
    }

    private bool TryOrder(in LuaValue a, in LuaValue b, MetaEvent @event, out bool result)
    {
        result = false;
        LuaValue handler = Metamethod(a, @event);
        if (handler.IsNil || !LuaValue.RawEquals(handler, Metamethod(b, @event)))
        {
            return false;
        }

        result = !CallMetamethod(handler, a, b).IsFalsy;
        return true;
    }

    private LuaException OrderError(in LuaValue a, in LuaValue b)
    {
        string x = a.TypeName, y = b.TypeName;

        // Lua 5.1 tells types apart by their third letter here.
        return RuntimeError(x[2] == y[2] ? $"attempt to compare two {x} values" : $"attempt to compare {x} with {y}");
    }

    /// <summary>Joins the registers from first to last of the running function; the result goes to the first.</summary>
    private void Concatenate(int first, int last)
    {
        int @base = Base;
        while (last > first)
        {
            LuaValue right = Stack[@base + last], left = Stack[@base + last - 1];
            if (!IsText(left) || !IsText(right))
            {
                LuaValue handler = Metamethod(left, MetaEvent.Concat);
                if (handler.IsNil)
                {
                    handler = Metamethod(right, MetaEvent.Concat);
                }

                if (handler.IsNil)
                {
                    throw IsText(left)
                        ? OperandError(right, "concatenate", last)
                        : OperandError(left, "concatenate", last - 1);
                }

                LuaValue joined = CallMetamethod(handler, left, right);
                Stack[@base + last - 1] = joined;
                last--;
                continue;
            }

            // As many as are strings or numbers, in one go.
            int from = last - 1;
            while (from > first && IsText(Stack[@base + from - 1]))
            {
                from--;
            }

            Stack[@base + from] = Join(@base + from, @base + last);
            last = from;
        }
    }

    private static bool IsText(in LuaValue value) => value.IsNumber || value.O is LuaString;

    [SkipLocalsInit]
    private LuaValue Join(int from, int to)
    {
        Span<byte> digits = stackalloc byte[64];
        long length = 0;
        int numbers = 0;
        for (int i = from; i <= to; i++)
        {
            ref LuaValue value = ref Stack[i];
            if (value.O is LuaString text)
            {
                length += text.Length;
            }
            else
            {
                numbers++;
                length += LuaNumber.Format(value.N, digits);
            }
        }

        if (numbers == 0)
        {
            // x .. "" is x.
            if (to == from + 1)
            {
                if (((LuaString)Stack[to].O!).Length == 0)
                {
                    return Stack[from];
                }

                if (((LuaString)Stack[from].O!).Length == 0)
                {
                    return Stack[to];
                }
            }
        }

        if (length > Array.MaxLength)
        {
            throw RuntimeError("string length overflow");
        }

        _state.Charge(length);
        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)length);
        int at = 0;
        for (int i = from; i <= to; i++)
        {
            ref LuaValue value = ref Stack[i];
            if (value.O is LuaString text)
            {
                text.Span.CopyTo(bytes.AsSpan(at));
                at += text.Length;
            }
            else
            {
                at += LuaNumber.Format(value.N, bytes.AsSpan(at));
            }
        }

        return _state.TakeString(bytes);
    }

    private void PrepareLoop(int a)
    {
        if (!Stack[Base + a].TryToNumber(out double start))
        {
            throw RuntimeError("'for' initial value must be a number");
        }

        if (!Stack[Base + a + 1].TryToNumber(out double limit))
        {
            throw RuntimeError("'for' limit must be a number");
        }

        if (!Stack[Base + a + 2].TryToNumber(out double step))
        {
            throw RuntimeError("'for' step must be a number");
        }

        Stack[Base + a] = start - step;
        Stack[Base + a + 1] = limit;
        Stack[Base + a + 2] = step;
    }

    // Errors

    /// <summary>An error of running Lua code, with its place.</summary>
    internal LuaException RuntimeError(string message) => Raise(Text(Where(0) + message));

    private LuaException OperandError(in LuaValue value, string operation, int register)
    {
        string? kind = null, name = null;
        if (register >= 0 && !Instruction.IsConstant(register) && _ci.Closure is { } closure)
        {
            name = NameOf(closure.Prototype, _ci.Pc - 1, register, out kind);
        }

        return RuntimeError(name is null
            ? $"attempt to {operation} a {value.TypeName} value"
            : $"attempt to {operation} {kind} '{name}' (a {value.TypeName} value)");
    }

    private int RegisterOf(int index) => _ci.Closure is null ? NoRegister : index - _ci.Base;

    /// <summary>What the calling code calls the function of a call.</summary>
    private string? FunctionName(int callIndex, out string? kind)
    {
        kind = null;
        CallInfo ci = _calls[callIndex];
        if (callIndex == 0 || (ci.Closure is not null && ci.TailCalls > 0) || _calls[callIndex - 1].Closure is not { } caller)
        {
            return null;
        }

        int pc = _calls[callIndex - 1].Pc - 1;
        ulong i = caller.Prototype.Code[pc];
        return Instruction.Op(i) is Opcode.Call or Opcode.TailCall or Opcode.TForLoop
            ? NameOf(caller.Prototype, pc, Instruction.A(i), out kind)
            : null;
    }

    /// <summary>What code calls the value in a register at an instruction: a local, or where it was loaded from.</summary>
    private static string? NameOf(Prototype prototype, int pc, int register, out string? kind)
    {
        while (true)
        {
            kind = "local";
            if (LocalName(prototype, register, pc) is { } local)
            {
                return local;
            }

            int setter = FindSetter(prototype, pc, register);
            if (setter < 0)
            {
                return null;
            }

            ulong i = prototype.Code[setter];
            switch (Instruction.Op(i))
            {
                case Opcode.GetGlobal:
                    kind = "global";
                    return ((LuaString)prototype.Constants[Instruction.Bx(i)].O!).ToCString();
                case Opcode.Move when Instruction.B(i) < Instruction.A(i):
                    register = Instruction.B(i);
                    pc = setter;
                    continue;
                case Opcode.GetTable:
                    kind = "field";
                    return ConstantName(prototype, Instruction.C(i));
                case Opcode.GetUpvalue:
                    kind = "upvalue";
                    return Instruction.B(i) < prototype.UpvalueNames.Length ? prototype.UpvalueNames[Instruction.B(i)] : "?";
                case Opcode.Self:
                    kind = "method";
                    return ConstantName(prototype, Instruction.C(i));
                default:
                    return null;
            }
        }
    }

    private static string ConstantName(Prototype prototype, int operand) =>
        Instruction.IsConstant(operand) && prototype.Constants[operand & Instruction.MaxConstant].O is LuaString text ? text.ToCString() : "?";

    private static string? LocalName(Prototype prototype, int register, int pc)
    {
        foreach (Prototype.LocalVariable local in prototype.Locals)
        {
            if (local.From > pc)
            {
                break;
            }

            if (pc < local.To && register-- == 0)
            {
                return local.Name;
            }
        }

        return null;
    }

    /// <summary>The last instruction before <paramref name="end"/> that set a register, following jumps forward.</summary>
    private static int FindSetter(Prototype prototype, int end, int register)
    {
        int setter = -1;
        ulong[] code = prototype.Code;
        for (int pc = 0; pc < end; pc++)
        {
            ulong i = code[pc];
            int a = Instruction.A(i);
            switch (Instruction.Op(i))
            {
                case Opcode.LoadNil:
                    if (register >= a && register <= Instruction.B(i))
                    {
                        setter = pc;
                    }

                    break;
                case Opcode.TForLoop:
                    if (register >= a + 2)
                    {
                        setter = pc;
                    }

                    break;
                case Opcode.Call or Opcode.TailCall:
                    if (register >= a)
                    {
                        setter = pc;
                    }

                    break;
                case Opcode.Vararg:
                    if (register >= a && (Instruction.B(i) == 0 || register < a + Instruction.B(i) - 1))
                    {
                        setter = pc;
                    }

                    break;
                case Opcode.Self:
                    if (register == a || register == a + 1)
                    {
                        setter = pc;
                    }

                    break;
                case Opcode.ForLoop or Opcode.ForPrep or Opcode.Jump:
                    if (Instruction.Op(i) != Opcode.Jump && register >= a && register <= a + 3)
                    {
                        setter = pc;
                    }

                    int target = pc + 1 + Instruction.Bx(i);
                    if (pc < target && target <= end)
                    {
                        pc = target - 1;
                    }

                    break;
                case Opcode.Closure:
                    if (register == a)
                    {
                        setter = pc;
                    }

                    pc += prototype.Children[Instruction.Bx(i)].UpvalueCount;
                    break;
                case Opcode.SetGlobal or Opcode.SetUpvalue or Opcode.SetTable or Opcode.Eq or Opcode.Lt or Opcode.Le or Opcode.Test
                    or Opcode.Return or Opcode.SetList or Opcode.Close:
                    break;
                default:
                    if (register == a)
                    {
                        setter = pc;
                    }

                    break;
            }
        }

        return setter;
    }
}
