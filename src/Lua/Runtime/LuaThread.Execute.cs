using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Leither.Lua;

/// <summary>
/// This part is the machine. Registers and constants are reached without bounds checks: the compiler alone makes code, and it reserves every
/// register that it names. Whatever may call out (a metamethod, a native, the hook) may move the stack: registers are then looked up anew.
/// </summary>
public sealed partial class LuaThread
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetNumber(ref LuaValue slot, double number)
    {
        // Most targets hold a number already: no reference is then written.
        if (slot.O != LuaTag.Number)
        {
            Unsafe.AsRef(in slot.O) = LuaTag.Number;
        }

        Unsafe.AsRef(in slot.N) = number;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ref LuaValue Operand(ref LuaValue registers, ref LuaValue constants, int operand) =>
        ref Instruction.IsConstant(operand)
            ? ref Unsafe.Add(ref constants, operand & Instruction.MaxConstant)
            : ref Unsafe.Add(ref registers, operand);

    /// <summary>Runs the innermost call, and those that it makes, until <paramref name="levels"/> calls have returned, or the coroutine yields.</summary>
    private void Execute(int levels)
    {
        LuaState state = _state;
    Enter:
        CallInfo ci = _ci;
        LuaClosure closure = ci.Closure!;
        Prototype prototype = closure.Prototype;
        ref ulong code = ref MemoryMarshal.GetArrayDataReference(prototype.Code);
        ref LuaValue constants = ref MemoryMarshal.GetArrayDataReference(prototype.Constants);
        int @base = ci.Base;
        ref LuaValue registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
        int pc = ci.Pc;
        while (true)
        {
            ulong i = Unsafe.Add(ref code, pc++);
            ref LuaValue target = ref Unsafe.Add(ref registers, Instruction.A(i));
            switch (Instruction.Op(i))
            {
                case Opcode.Move:
                    target = Unsafe.Add(ref registers, Instruction.B(i));
                    continue;
                case Opcode.LoadK:
                    target = Unsafe.Add(ref constants, Instruction.Bx(i));
                    continue;
                case Opcode.LoadBool:
                    target = new LuaValue(Instruction.B(i) != 0);
                    if (Instruction.C(i) != 0)
                    {
                        pc++;
                    }

                    continue;
                case Opcode.LoadNil:
                    for (int n = Instruction.A(i), last = Instruction.B(i); n <= last; n++)
                    {
                        Unsafe.Add(ref registers, n) = default;
                    }

                    continue;
                case Opcode.GetUpvalue:
                    {
                        Upvalue upvalue = closure.Upvalues[Instruction.B(i)];
                        target = upvalue.Slots[upvalue.Index];
                        continue;
                    }

                case Opcode.SetUpvalue:
                    {
                        Upvalue upvalue = closure.Upvalues[Instruction.B(i)];
                        upvalue.Slots[upvalue.Index] = target;
                        continue;
                    }

                case Opcode.GetGlobal:
                    {
                        ref LuaValue key = ref Unsafe.Add(ref constants, Instruction.Bx(i));
                        ref LuaValue found = ref closure.Environment.Find(Unsafe.As<LuaString>(key.O!));
                        if (!Unsafe.IsNullRef(ref found) && found.O is not null)
                        {
                            target = found;
                            continue;
                        }

                        ci.Pc = pc;
                        LuaValue value = Index(closure.Environment, key);
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        Unsafe.Add(ref registers, Instruction.A(i)) = value;
                        continue;
                    }

                case Opcode.SetGlobal:
                    {
                        ref LuaValue key = ref Unsafe.Add(ref constants, Instruction.Bx(i));
                        LuaTable environment = closure.Environment;
                        if (!environment.IsReadOnly)
                        {
                            ref LuaValue found = ref environment.Find(Unsafe.As<LuaString>(key.O!));
                            if (!Unsafe.IsNullRef(ref found) && found.O is not null)
                            {
                                found = target;
                                continue;
                            }
                        }

                        ci.Pc = pc;
                        SetIndex(environment, key, target);
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        continue;
                    }

                case Opcode.GetTable:
                    {
                        ref LuaValue o = ref Unsafe.Add(ref registers, Instruction.B(i));
                        ref LuaValue key = ref Operand(ref registers, ref constants, Instruction.C(i));
                        if (o.O is LuaTable table)
                        {
                            ref LuaValue found = ref table.Find(key);
                            if (!Unsafe.IsNullRef(ref found) && found.O is not null)
                            {
                                target = found;
                                continue;
                            }

                            if (table.Metatable is null)
                            {
                                target = default;
                                continue;
                            }
                        }

                        ci.Pc = pc;
                        LuaValue value = Index(o, key, Instruction.B(i));
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        Unsafe.Add(ref registers, Instruction.A(i)) = value;
                        continue;
                    }

                case Opcode.SetTable:
                    {
                        ref LuaValue key = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue value = ref Operand(ref registers, ref constants, Instruction.C(i));
                        ci.Pc = pc;
                        if (target.O is LuaTable { IsReadOnly: false } table)
                        {
                            ref LuaValue found = ref table.Find(key);
                            if (!Unsafe.IsNullRef(ref found) && found.O is not null)
                            {
                                found = value;
                                continue;
                            }

                            if (table.Metatable is null)
                            {
                                SlotFor(table, key) = value;
                                continue;
                            }
                        }

                        SetIndex(target, key, value, Instruction.A(i));
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        continue;
                    }

                case Opcode.NewTable:
                    target = new LuaTable(state, Instruction.B(i), Instruction.C(i));
                    continue;
                case Opcode.Self:
                    {
                        LuaValue o = Unsafe.Add(ref registers, Instruction.B(i));
                        ref LuaValue key = ref Operand(ref registers, ref constants, Instruction.C(i));
                        ci.Pc = pc;
                        LuaValue value = Index(o, key, Instruction.B(i));
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        Unsafe.Add(ref registers, Instruction.A(i) + 1) = o;
                        Unsafe.Add(ref registers, Instruction.A(i)) = value;
                        continue;
                    }

                case Opcode.Add:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        if (a.O == LuaTag.Number && b.O == LuaTag.Number)
                        {
                            SetNumber(ref target, a.N + b.N);
                            continue;
                        }

                        goto Arithmetic;
                    }

                case Opcode.Sub:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        if (a.O == LuaTag.Number && b.O == LuaTag.Number)
                        {
                            SetNumber(ref target, a.N - b.N);
                            continue;
                        }

                        goto Arithmetic;
                    }

                case Opcode.Mul:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        if (a.O == LuaTag.Number && b.O == LuaTag.Number)
                        {
                            SetNumber(ref target, a.N * b.N);
                            continue;
                        }

                        goto Arithmetic;
                    }

                case Opcode.Div:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        if (a.O == LuaTag.Number && b.O == LuaTag.Number)
                        {
                            SetNumber(ref target, a.N / b.N);
                            continue;
                        }

                        goto Arithmetic;
                    }

                case Opcode.Mod:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        if (a.O == LuaTag.Number && b.O == LuaTag.Number)
                        {
                            SetNumber(ref target, Modulo(a.N, b.N));
                            continue;
                        }

                        goto Arithmetic;
                    }

                case Opcode.Pow:
                Arithmetic:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        ci.Pc = pc;
                        LuaValue value = ArithmeticSlow(Instruction.Op(i), a, b, Instruction.B(i), Instruction.C(i));
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        Unsafe.Add(ref registers, Instruction.A(i)) = value;
                        continue;
                    }

                case Opcode.Unm:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        if (a.O == LuaTag.Number)
                        {
                            SetNumber(ref target, -a.N);
                            continue;
                        }

                        ci.Pc = pc;
                        LuaValue value = ArithmeticSlow(Opcode.Unm, a, a, Instruction.B(i), Instruction.B(i));
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        Unsafe.Add(ref registers, Instruction.A(i)) = value;
                        continue;
                    }

                case Opcode.Not:
                    target = new LuaValue(Unsafe.Add(ref registers, Instruction.B(i)).IsFalsy);
                    continue;
                case Opcode.Len:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        if (a.O is LuaTable table)
                        {
                            SetNumber(ref target, table.Length);
                            continue;
                        }

                        ci.Pc = pc;
                        LuaValue value = LengthOf(a, Instruction.B(i));
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        Unsafe.Add(ref registers, Instruction.A(i)) = value;
                        continue;
                    }

                case Opcode.Concat:
                    ci.Pc = pc;
                    Concatenate(Instruction.B(i), Instruction.C(i));
                    registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                    Unsafe.Add(ref registers, Instruction.A(i)) = Unsafe.Add(ref registers, Instruction.B(i));
                    continue;
                case Opcode.Jump:
                    {
                        int offset = Instruction.Bx(i);
                        pc += offset;
                        if (offset < 0 && --state.Countdown <= 0)
                        {
                            goto Hook;
                        }

                        continue;
                    }

                case Opcode.Eq:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        bool equal;
                        if (a.O == LuaTag.Number && b.O == LuaTag.Number)
                        {
                            equal = a.N == b.N;
                        }
                        else
                        {
                            ci.Pc = pc;
                            equal = AreEqual(a, b);
                            registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        }

                        if (equal != (Instruction.A(i) != 0))
                        {
                            pc++;
                        }

                        continue;
                    }

                case Opcode.Lt:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        bool less;
                        if (a.O == LuaTag.Number && b.O == LuaTag.Number)
                        {
                            less = a.N < b.N;
                        }
                        else
                        {
                            ci.Pc = pc;
                            less = IsLess(a, b);
                            registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        }

                        if (less != (Instruction.A(i) != 0))
                        {
                            pc++;
                        }

                        continue;
                    }

                case Opcode.Le:
                    {
                        ref LuaValue a = ref Operand(ref registers, ref constants, Instruction.B(i));
                        ref LuaValue b = ref Operand(ref registers, ref constants, Instruction.C(i));
                        bool less;
                        if (a.O == LuaTag.Number && b.O == LuaTag.Number)
                        {
                            less = a.N <= b.N;
                        }
                        else
                        {
                            ci.Pc = pc;
                            less = IsLessOrEqual(a, b);
                            registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        }

                        if (less != (Instruction.A(i) != 0))
                        {
                            pc++;
                        }

                        continue;
                    }

                case Opcode.Test:
                    if (target.IsFalsy == (Instruction.C(i) != 0))
                    {
                        pc++;
                    }

                    continue;
                case Opcode.TestSet:
                    {
                        ref LuaValue b = ref Unsafe.Add(ref registers, Instruction.B(i));
                        if (b.IsFalsy == (Instruction.C(i) != 0))
                        {
                            pc++;
                        }
                        else
                        {
                            target = b;
                        }

                        continue;
                    }

                case Opcode.Call:
                    {
                        int function = @base + Instruction.A(i), b = Instruction.B(i), results = Instruction.C(i) - 1;
                        if (b != 0)
                        {
                            Top = function + b;
                        }

                        ci.Pc = pc;
                        if (--state.Countdown <= 0)
                        {
                            state.RunHook(this);
                        }

                        switch (PreCall(function, results))
                        {
                            case CallKind.Lua:
                                levels++;
                                goto Enter;
                            case CallKind.Native:
                                if (results >= 0)
                                {
                                    Top = ci.Top;
                                }

                                registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                                continue;
                            default:
                                return;
                        }
                    }

                case Opcode.TailCall:
                    {
                        int function = @base + Instruction.A(i), b = Instruction.B(i);
                        if (b != 0)
                        {
                            Top = function + b;
                        }

                        ci.Pc = pc;
                        if (--state.Countdown <= 0)
                        {
                            state.RunHook(this);
                        }

                        switch (PreCall(function, -1))
                        {
                            case CallKind.Lua:
                                ReplaceCaller(function);
                                goto Enter;
                            case CallKind.Native:
                                registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                                continue;
                            default:
                                return;
                        }
                    }

                case Opcode.Return:
                    {
                        int first = @base + Instruction.A(i), b = Instruction.B(i);
                        if (b != 0)
                        {
                            Top = first + b - 1;
                        }

                        if (_openUpvalues is not null)
                        {
                            CloseUpvalues(@base);
                        }

                        ci.Pc = pc;
                        bool isFixed = PostCall(first);
                        if (--levels == 0)
                        {
                            return;
                        }

                        if (isFixed)
                        {
                            Top = _ci.Top;
                        }

                        goto Enter;
                    }

                case Opcode.ForLoop:
                    {
                        double step = Unsafe.Add(ref target, 2).N, index = target.N + step, limit = Unsafe.Add(ref target, 1).N;
                        if (step > 0 ? index <= limit : limit <= index)
                        {
                            pc += Instruction.Bx(i);
                            SetNumber(ref target, index);
                            SetNumber(ref Unsafe.Add(ref target, 3), index);
                            if (--state.Countdown <= 0)
                            {
                                goto Hook;
                            }
                        }

                        continue;
                    }

                case Opcode.ForPrep:
                    ci.Pc = pc;
                    PrepareLoop(Instruction.A(i));
                    pc += Instruction.Bx(i);
                    continue;
                case Opcode.TForLoop:
                    {
                        ref LuaValue callee = ref Unsafe.Add(ref target, 3);
                        ci.Pc = pc;
                        if (--state.Countdown <= 0)
                        {
                            state.RunHook(this);
                            registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                            target = ref Unsafe.Add(ref registers, Instruction.A(i));
                            callee = ref Unsafe.Add(ref target, 3);
                        }

                        if (ReferenceEquals(target.O, state.NextFunction) && Unsafe.Add(ref target, 1).O is LuaTable walked && Instruction.C(i) <= 2)
                        {
                            // for k, v in pairs(t): no call is needed to go on.
                            walked.Next(Unsafe.Add(ref target, 2), out LuaValue key, out LuaValue value, out bool unknown);
                            if (!unknown)
                            {
                                callee = key;
                                if (Instruction.C(i) == 2)
                                {
                                    Unsafe.Add(ref target, 4) = value;
                                }

                                goto Iterated;
                            }
                        }

                        callee = target;
                        Unsafe.Add(ref target, 4) = Unsafe.Add(ref target, 1);
                        Unsafe.Add(ref target, 5) = Unsafe.Add(ref target, 2);
                        Top = @base + Instruction.A(i) + 6;
                        Call(@base + Instruction.A(i) + 3, Instruction.C(i));
                        Top = ci.Top;
                        registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                        target = ref Unsafe.Add(ref registers, Instruction.A(i));
                        callee = ref Unsafe.Add(ref target, 3);
                    Iterated:
                        if (callee.O is not null)
                        {
                            Unsafe.Add(ref target, 2) = callee;
                            pc += Instruction.Bx(Unsafe.Add(ref code, pc));
                        }

                        pc++;
                        continue;
                    }

                case Opcode.SetList:
                    {
                        int count = Instruction.B(i), offset = Instruction.C(i);
                        if (count == 0)
                        {
                            count = Top - (@base + Instruction.A(i)) - 1;
                            Top = ci.Top;
                        }

                        var table = (LuaTable)target.O!;
                        ci.Pc = pc;
                        table.EnsureArray(offset + count);
                        for (; count > 0; count--)
                        {
                            table.Set(offset + count, Unsafe.Add(ref target, count));
                        }

                        continue;
                    }

                case Opcode.Close:
                    CloseUpvalues(@base + Instruction.A(i));
                    continue;
                case Opcode.Closure:
                    {
                        Prototype child = prototype.Children[Instruction.Bx(i)];
                        var made = new LuaClosure(closure.Environment, child);
                        state.Charge(64 + (child.UpvalueCount * 8));
                        for (int n = 0; n < child.UpvalueCount; n++)
                        {
                            ulong source = Unsafe.Add(ref code, pc++);
                            made.Upvalues[n] = Instruction.Op(source) == Opcode.GetUpvalue
                                ? closure.Upvalues[Instruction.B(source)]
                                : FindUpvalue(@base + Instruction.B(source));
                        }

                        target = made;
                        continue;
                    }

                case Opcode.Vararg:
                    {
                        int wanted = Instruction.B(i) - 1, a = Instruction.A(i);
                        int count = @base - ci.Function - prototype.ParameterCount - 1;
                        if (wanted < 0)
                        {
                            wanted = count;
                            ci.Pc = pc;
                            Top = @base + a;
                            EnsureStack(count);
                            registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
                            Top = @base + a + count;
                        }

                        for (int n = 0; n < wanted; n++)
                        {
                            Unsafe.Add(ref registers, a + n) = n < count ? Unsafe.Add(ref registers, n - count) : default;
                        }

                        continue;
                    }
            }

        Hook:
            ci.Pc = pc;
            state.RunHook(this);
            registers = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Stack), @base);
        }
    }

    /// <summary>The call just entered takes the place of the one that made it as its last act.</summary>
    private void ReplaceCaller(int function)
    {
        CallInfo callee = _ci, caller = _calls[_callIndex - 1];
        if (_openUpvalues is not null)
        {
            CloseUpvalues(caller.Base);
        }

        int target = caller.Function, shift = function - target;
        NoteHighWater();

        // Varargs lie between the function and its base: all move down together.
        Array.Copy(Stack, function, Stack, target, callee.Base - function);
        int used = callee.Closure!.Prototype.ParameterCount + (callee.Closure.Prototype.HasArg ? 1 : 0);
        Array.Copy(Stack, callee.Base, Stack, callee.Base - shift, used);
        caller.Base = Base = callee.Base - shift;
        caller.Top = Top = callee.Top - shift;
        caller.Closure = callee.Closure;
        caller.Pc = 0;
        caller.TailCalls++;
        _ci = caller;
        _callIndex--;
    }
}
