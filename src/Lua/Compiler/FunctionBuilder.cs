namespace Leither.Lua;

/// <summary>What an expression is before it is put where it is needed.</summary>
internal enum ExpressionKind
{
    Void,
    Nil,
    True,
    False,
    Constant,   // Info: its number
    Number,     // Number: its value
    Local,      // Info: its register
    Upvalue,    // Info: its number
    Global,     // Info: the constant with its name
    Indexed,    // Info: the table's register, Aux: the key's register or constant
    Jump,       // a comparison; Info: its jump
    Relocatable, // Info: an instruction that can still choose its target
    Register,   // Info: where the value is
    Call,       // Info: its instruction
    Vararg,     // Info: its instruction
}

/// <summary>
/// An expression under compilation. Beside its value there are two lists of jumps that leave it early, from and/or: those taken when it is
/// true, and when it is false; they are patched once it is known where its value is to be.
/// </summary>
internal struct Expression
{
    public ExpressionKind Kind;
    public int Info;
    public int Aux;
    public double Number;
    public int TrueJumps;
    public int FalseJumps;

    public Expression(ExpressionKind kind, int info = 0)
    {
        Kind = kind;
        Info = info;
        TrueJumps = FalseJumps = FunctionBuilder.NoJump;
    }

    public readonly bool HasJumps => TrueJumps != FalseJumps;
    public readonly bool IsNumeral => Kind == ExpressionKind.Number && TrueJumps == FunctionBuilder.NoJump && FalseJumps == FunctionBuilder.NoJump;
    public readonly bool HasManyResults => Kind is ExpressionKind.Call or ExpressionKind.Vararg;
}

/// <summary>A block: what its end has to close and where its break leads.</summary>
internal sealed class Block
{
    public Block? Outer;
    public int BreakJumps = FunctionBuilder.NoJump;
    public int ActiveLocals;
    public bool HasUpvalue;
    public bool IsLoop;
}

/// <summary>
/// Emits the code of one function: registers as a stack above the active locals, jumps that wait for their target threaded
/// through their own offsets.
/// </summary>
internal sealed class FunctionBuilder(FunctionBuilder? outer, Lexer lexer, string source)
{
    public const int NoJump = -1;
    private const int NoRegister = 255;
    private const int MaxRegisters = 250;
    private const int MaxLocals = 200;
    private const int MaxUpvalues = 60;

    private readonly Dictionary<double, int> _numbers = [];
    private readonly Dictionary<LuaString, int> _strings = new(StringEquality.Instance);
    private readonly List<LuaValue> _constants = [];
    private readonly List<Prototype> _children = [];
    private readonly List<Prototype.LocalVariable> _locals = [];
    private readonly List<(ExpressionKind Kind, int Info, string Name)> _upvalues = [];
    private readonly int[] _active = new int[MaxLocals];
    private int _true = -1, _false = -1, _nil = -1;
    private ulong[] _code = new ulong[32];
    private int[] _lines = new int[32];
    private int _jumpsToHere = NoJump;
    private int _lastTarget = -1;

    public FunctionBuilder? Outer { get; } = outer;
    public Prototype Prototype { get; } = new() { Source = source };
    public Block? Block { get; private set; }
    public int Pc { get; private set; }
    public int FreeRegister { get; set; }
    public int ActiveLocals { get; private set; }

    public ref ulong Code(in Expression e) => ref _code[e.Info];

    public Prototype Finish()
    {
        RemoveLocals(0);
        EmitReturn(0, 0);
        Prototype.Code = _code[..Pc];
        Prototype.Lines = _lines[..Pc];
        Prototype.Constants = [.. _constants];
        Prototype.Children = [.. _children];
        Prototype.Locals = [.. _locals];
        Prototype.UpvalueCount = _upvalues.Count;
        Prototype.UpvalueNames = [.. _upvalues.Select(u => u.Name)];
        return Prototype;
    }

    // Variables

    public void CheckLimit(int count, int limit, string what)
    {
        if (count > limit)
        {
            string where = Prototype.LineDefined == 0 ? "main function" : $"function at line {Prototype.LineDefined}";
            throw lexer.Error($"{where} has more than {limit} {what}", 0);
        }
    }

    public void NewLocal(string name, int offset)
    {
        CheckLimit(ActiveLocals + offset + 1, MaxLocals, "local variables");
        if (_locals.Count >= short.MaxValue)
        {
            throw lexer.SyntaxError("too many local variables");
        }

        _active[ActiveLocals + offset] = _locals.Count;
        _locals.Add(new Prototype.LocalVariable { Name = name });
    }

    public void ActivateLocals(int count)
    {
        ActiveLocals += count;
        for (; count > 0; count--)
        {
            StartLocal(ActiveLocals - count);
        }
    }

    /// <summary>The local at a register begins to be visible here.</summary>
    public void StartLocal(int register)
    {
        System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_locals)[_active[register]].From = Pc;
    }

    private void RemoveLocals(int level)
    {
        while (ActiveLocals > level)
        {
            System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_locals)[_active[--ActiveLocals]].To = Pc;
        }
    }

    public static ExpressionKind Resolve(FunctionBuilder? function, string name, out Expression variable, bool isInner)
    {
        if (function is null)
        {
            variable = new Expression(ExpressionKind.Global, NoRegister);
            return ExpressionKind.Global;
        }

        for (int i = function.ActiveLocals - 1; i >= 0; i--)
        {
            if (function._locals[function._active[i]].Name == name)
            {
                variable = new Expression(ExpressionKind.Local, i);
                if (isInner)
                {
                    Block? block = function.Block;
                    while (block is not null && block.ActiveLocals > i)
                    {
                        block = block.Outer;
                    }

                    if (block is not null)
                    {
                        block.HasUpvalue = true;
                    }
                }

                return ExpressionKind.Local;
            }
        }

        if (Resolve(function.Outer, name, out variable, isInner: true) == ExpressionKind.Global)
        {
            return ExpressionKind.Global;
        }

        variable.Info = function.UpvalueOf(name, variable);
        variable.Kind = ExpressionKind.Upvalue;
        return ExpressionKind.Upvalue;
    }

    private int UpvalueOf(string name, in Expression variable)
    {
        for (int i = 0; i < _upvalues.Count; i++)
        {
            if (_upvalues[i].Kind == variable.Kind && _upvalues[i].Info == variable.Info)
            {
                return i;
            }
        }

        CheckLimit(_upvalues.Count + 1, MaxUpvalues, "upvalues");
        _upvalues.Add((variable.Kind, variable.Info, name));
        return _upvalues.Count - 1;
    }

    // Blocks

    public Block EnterBlock(bool isLoop)
    {
        return Block = new Block { Outer = Block, ActiveLocals = ActiveLocals, IsLoop = isLoop };
    }

    public void LeaveBlock()
    {
        Block block = Block!;
        Block = block.Outer;
        RemoveLocals(block.ActiveLocals);
        if (block.HasUpvalue)
        {
            Emit(Opcode.Close, block.ActiveLocals, 0, 0);
        }

        FreeRegister = ActiveLocals;
        PatchToHere(block.BreakJumps);
    }

    public void Break()
    {
        Block? block = Block;
        bool hasUpvalue = false;
        while (block is not null && !block.IsLoop)
        {
            hasUpvalue |= block.HasUpvalue;
            block = block.Outer;
        }

        if (block is null)
        {
            throw lexer.SyntaxError("no loop to break");
        }

        if (hasUpvalue)
        {
            Emit(Opcode.Close, block.ActiveLocals, 0, 0);
        }

        Join(ref block.BreakJumps, EmitJump());
    }

    // Instructions

    public int Emit(Opcode op, int a, int b, int c) => Append(Instruction.Abc(op, a, b, c));

    public int EmitBx(Opcode op, int a, int bx) => Append(Instruction.Abx(op, a, bx));

    private int Append(ulong instruction)
    {
        // Jumps that waited for this place now have it.
        PatchList(_jumpsToHere, Pc, NoRegister, Pc);
        _jumpsToHere = NoJump;
        if (Pc == _code.Length)
        {
            Array.Resize(ref _code, Pc * 2);
            Array.Resize(ref _lines, Pc * 2);
        }

        _code[Pc] = instruction;
        _lines[Pc] = lexer.LastLine;
        return Pc++;
    }

    public void SetLine(int line) => _lines[Pc - 1] = line;

    public void SetSize(int pc, int arraySize, int hashSize) => _code[pc] = Instruction.WithC(Instruction.WithB(_code[pc], arraySize), hashSize);

    public void EmitNil(int from, int count)
    {
        if (Pc > _lastTarget && Pc > 0)
        {
            ref ulong previous = ref _code[Pc - 1];
            if (Instruction.Op(previous) == Opcode.LoadNil)
            {
                int first = Instruction.A(previous), last = Instruction.B(previous);
                if (first <= from && from <= last + 1)
                {
                    previous = Instruction.WithB(previous, Math.Max(last, from + count - 1));
                    return;
                }
            }
        }

        Emit(Opcode.LoadNil, from, from + count - 1, 0);
    }

    public void EmitReturn(int first, int count) => Emit(Opcode.Return, first, count + 1, 0);

    public void EmitSetList(int table, int count, int pending)
    {
        int stored = pending < 0 ? 0 : pending;
        Emit(Opcode.SetList, table, stored, (count - 1) / 50 * 50);
        FreeRegister = table + 1;
    }

    public void EmitClosure(FunctionBuilder child, ref Expression e)
    {
        _children.Add(child.Finish());
        e = new Expression(ExpressionKind.Relocatable, EmitBx(Opcode.Closure, 0, _children.Count - 1));
        foreach ((ExpressionKind kind, int info, _) in child._upvalues)
        {
            Emit(kind == ExpressionKind.Local ? Opcode.Move : Opcode.GetUpvalue, 0, info, 0);
        }
    }

    // Jumps

    public int EmitJump()
    {
        int waiting = _jumpsToHere;
        _jumpsToHere = NoJump;
        int jump = EmitBx(Opcode.Jump, 0, NoJump);
        Join(ref jump, waiting);
        return jump;
    }

    /// <summary>This place may be jumped to: what follows must not be merged with what came before.</summary>
    public int Label()
    {
        _lastTarget = Pc;
        return Pc;
    }

    private int ConditionalJump(Opcode op, int a, int b, int c)
    {
        Emit(op, a, b, c);
        return EmitJump();
    }

    private void SetTarget(int jump, int target)
    {
        _code[jump] = Instruction.WithBx(_code[jump], target - (jump + 1));
    }

    private int NextInList(int jump)
    {
        int offset = Instruction.Bx(_code[jump]);
        return offset == NoJump ? NoJump : jump + 1 + offset;
    }

    /// <summary>The test that decides about a jump, or the jump itself.</summary>
    private ref ulong Control(int jump)
    {
        if (jump >= 1 && Instruction.IsTest(Instruction.Op(_code[jump - 1])))
        {
            return ref _code[jump - 1];
        }

        return ref _code[jump];
    }

    /// <summary>Whether some jump of the list leaves without a value.</summary>
    private bool NeedsValue(int list)
    {
        for (; list != NoJump; list = NextInList(list))
        {
            if (Instruction.Op(Control(list)) != Opcode.TestSet)
            {
                return true;
            }
        }

        return false;
    }

    private bool PatchTest(int jump, int register)
    {
        ref ulong control = ref Control(jump);
        if (Instruction.Op(control) != Opcode.TestSet)
        {
            return false;
        }

        control = register != NoRegister && register != Instruction.B(control)
            ? Instruction.WithA(control, register)
            : Instruction.Abc(Opcode.Test, Instruction.B(control), 0, Instruction.C(control));
        return true;
    }

    private void RemoveValues(int list)
    {
        for (; list != NoJump; list = NextInList(list))
        {
            PatchTest(list, NoRegister);
        }
    }

    private void PatchList(int list, int valueTarget, int register, int defaultTarget)
    {
        while (list != NoJump)
        {
            int next = NextInList(list);
            SetTarget(list, PatchTest(list, register) ? valueTarget : defaultTarget);
            list = next;
        }
    }

    public void PatchList(int list, int target)
    {
        if (target == Pc)
        {
            PatchToHere(list);
        }
        else
        {
            PatchList(list, target, NoRegister, target);
        }
    }

    public void PatchToHere(int list)
    {
        Label();
        Join(ref _jumpsToHere, list);
    }

    public void Join(ref int list, int other)
    {
        if (other == NoJump)
        {
            return;
        }

        if (list == NoJump)
        {
            list = other;
            return;
        }

        int last = list, next;
        while ((next = NextInList(last)) != NoJump)
        {
            last = next;
        }

        SetTarget(last, other);
    }

    // Registers and constants

    public void CheckStack(int count)
    {
        int needed = FreeRegister + count;
        if (needed > Prototype.MaxStack)
        {
            if (needed >= MaxRegisters)
            {
                throw lexer.SyntaxError("function or expression too complex");
            }

            Prototype.MaxStack = needed;
        }
    }

    public void Reserve(int count)
    {
        CheckStack(count);
        FreeRegister += count;
    }

    private void Free(int register)
    {
        if (!Instruction.IsConstant(register) && register >= ActiveLocals)
        {
            FreeRegister--;
        }
    }

    private void Free(in Expression e)
    {
        if (e.Kind == ExpressionKind.Register)
        {
            Free(e.Info);
        }
    }

    private int AddConstant(in LuaValue value)
    {
        if (_constants.Count >= 262143)
        {
            throw lexer.SyntaxError("constant table overflow");
        }

        _constants.Add(value);
        return _constants.Count - 1;
    }

    public int StringConstant(LuaString text)
    {
        if (!_strings.TryGetValue(text, out int index))
        {
            index = AddConstant(text);
            _strings.Add(text, index);
        }

        return index;
    }

    public int NumberConstant(double number)
    {
        if (!_numbers.TryGetValue(number, out int index))
        {
            index = AddConstant(number);
            _numbers.Add(number, index);
        }

        return index;
    }

    // Expressions

    public void SetResults(ref Expression e, int count)
    {
        if (e.Kind == ExpressionKind.Call)
        {
            Code(e) = Instruction.WithC(Code(e), count + 1);
        }
        else if (e.Kind == ExpressionKind.Vararg)
        {
            Code(e) = Instruction.WithA(Instruction.WithB(Code(e), count + 1), FreeRegister);
            Reserve(1);
        }
    }

    public void SetOneResult(ref Expression e)
    {
        if (e.Kind == ExpressionKind.Call)
        {
            e.Kind = ExpressionKind.Register;
            e.Info = Instruction.A(Code(e));
        }
        else if (e.Kind == ExpressionKind.Vararg)
        {
            Code(e) = Instruction.WithB(Code(e), 2);
            e.Kind = ExpressionKind.Relocatable;
        }
    }

    /// <summary>A variable becomes the value read from it.</summary>
    public void Discharge(ref Expression e)
    {
        switch (e.Kind)
        {
            case ExpressionKind.Local:
                e.Kind = ExpressionKind.Register;
                break;
            case ExpressionKind.Upvalue:
                e.Info = Emit(Opcode.GetUpvalue, 0, e.Info, 0);
                e.Kind = ExpressionKind.Relocatable;
                break;
            case ExpressionKind.Global:
                e.Info = EmitBx(Opcode.GetGlobal, 0, e.Info);
                e.Kind = ExpressionKind.Relocatable;
                break;
            case ExpressionKind.Indexed:
                Free(e.Aux);
                Free(e.Info);
                e.Info = Emit(Opcode.GetTable, 0, e.Info, e.Aux);
                e.Kind = ExpressionKind.Relocatable;
                break;
            case ExpressionKind.Call or ExpressionKind.Vararg:
                SetOneResult(ref e);
                break;
        }
    }

    private void ToRegisterWithoutJumps(ref Expression e, int register)
    {
        Discharge(ref e);
        switch (e.Kind)
        {
            case ExpressionKind.Nil:
                EmitNil(register, 1);
                break;
            case ExpressionKind.False or ExpressionKind.True:
                Emit(Opcode.LoadBool, register, e.Kind == ExpressionKind.True ? 1 : 0, 0);
                break;
            case ExpressionKind.Constant:
                EmitBx(Opcode.LoadK, register, e.Info);
                break;
            case ExpressionKind.Number:
                EmitBx(Opcode.LoadK, register, NumberConstant(e.Number));
                break;
            case ExpressionKind.Relocatable:
                Code(e) = Instruction.WithA(Code(e), register);
                break;
            case ExpressionKind.Register:
                if (register != e.Info)
                {
                    Emit(Opcode.Move, register, e.Info, 0);
                }

                break;
            default:
                return;
        }

        e.Info = register;
        e.Kind = ExpressionKind.Register;
    }

    private void ToAnyRegisterWithoutJumps(ref Expression e)
    {
        if (e.Kind != ExpressionKind.Register)
        {
            Reserve(1);
            ToRegisterWithoutJumps(ref e, FreeRegister - 1);
        }
    }

    private void ToRegister(ref Expression e, int register)
    {
        ToRegisterWithoutJumps(ref e, register);
        if (e.Kind == ExpressionKind.Jump)
        {
            Join(ref e.TrueJumps, e.Info);
        }

        if (e.HasJumps)
        {
            int loadFalse = NoJump, loadTrue = NoJump;
            if (NeedsValue(e.TrueJumps) || NeedsValue(e.FalseJumps))
            {
                int skip = e.Kind == ExpressionKind.Jump ? NoJump : EmitJump();
                Label();
                loadFalse = Emit(Opcode.LoadBool, register, 0, 1);
                Label();
                loadTrue = Emit(Opcode.LoadBool, register, 1, 0);
                PatchToHere(skip);
            }

            int end = Label();
            PatchList(e.FalseJumps, end, register, loadFalse);
            PatchList(e.TrueJumps, end, register, loadTrue);
        }

        e = new Expression(ExpressionKind.Register, register);
    }

    public void ToNextRegister(ref Expression e)
    {
        Discharge(ref e);
        Free(e);
        Reserve(1);
        ToRegister(ref e, FreeRegister - 1);
    }

    public int ToAnyRegister(ref Expression e)
    {
        Discharge(ref e);
        if (e.Kind == ExpressionKind.Register)
        {
            if (!e.HasJumps)
            {
                return e.Info;
            }

            if (e.Info >= ActiveLocals)
            {
                ToRegister(ref e, e.Info);
                return e.Info;
            }
        }

        ToNextRegister(ref e);
        return e.Info;
    }

    public void ToValue(ref Expression e)
    {
        if (e.HasJumps)
        {
            ToAnyRegister(ref e);
        }
        else
        {
            Discharge(ref e);
        }
    }

    /// <summary>To a register or a constant, as instructions take them.</summary>
    public int ToOperand(ref Expression e)
    {
        ToValue(ref e);
        int constant;
        switch (e.Kind)
        {
            case ExpressionKind.Number:
                constant = NumberConstant(e.Number);
                break;
            case ExpressionKind.True:
                constant = _true >= 0 ? _true : _true = AddConstant(true);
                break;
            case ExpressionKind.False:
                constant = _false >= 0 ? _false : _false = AddConstant(false);
                break;
            case ExpressionKind.Nil:
                constant = _nil >= 0 ? _nil : _nil = AddConstant(LuaValue.Nil);
                break;
            case ExpressionKind.Constant:
                constant = e.Info;
                break;
            default:
                return ToAnyRegister(ref e);
        }

        e.Info = constant;
        e.Kind = ExpressionKind.Constant;
        return constant | Instruction.ConstantBit;
    }

    public void Store(in Expression variable, ref Expression e)
    {
        switch (variable.Kind)
        {
            case ExpressionKind.Local:
                Free(e);
                ToRegister(ref e, variable.Info);
                return;
            case ExpressionKind.Upvalue:
                Emit(Opcode.SetUpvalue, ToAnyRegister(ref e), variable.Info, 0);
                break;
            case ExpressionKind.Global:
                EmitBx(Opcode.SetGlobal, ToAnyRegister(ref e), variable.Info);
                break;
            default:
                Emit(Opcode.SetTable, variable.Info, variable.Aux, ToOperand(ref e));
                break;
        }

        Free(e);
    }

    public void Self(ref Expression e, ref Expression key)
    {
        ToAnyRegister(ref e);
        Free(e);
        int function = FreeRegister;
        Reserve(2);
        Emit(Opcode.Self, function, e.Info, ToOperand(ref key));
        Free(key);
        e.Info = function;
        e.Kind = ExpressionKind.Register;
    }

    public void Index(ref Expression table, ref Expression key)
    {
        table.Aux = ToOperand(ref key);
        table.Kind = ExpressionKind.Indexed;
    }

    private void Invert(in Expression e)
    {
        ref ulong control = ref Control(e.Info);
        control = Instruction.WithA(control, Instruction.A(control) == 0 ? 1 : 0);
    }

    private int JumpOn(ref Expression e, bool condition)
    {
        if (e.Kind == ExpressionKind.Relocatable && Instruction.Op(Code(e)) == Opcode.Not)
        {
            int operand = Instruction.B(Code(e));
            Pc--;
            return ConditionalJump(Opcode.Test, operand, 0, condition ? 0 : 1);
        }

        ToAnyRegisterWithoutJumps(ref e);
        Free(e);
        return ConditionalJump(Opcode.TestSet, NoRegister, e.Info, condition ? 1 : 0);
    }

    /// <summary>Goes on if true; its false jumps wait.</summary>
    public void GoIfTrue(ref Expression e)
    {
        Discharge(ref e);
        int jump;
        switch (e.Kind)
        {
            case ExpressionKind.Constant or ExpressionKind.Number or ExpressionKind.True:
                jump = NoJump;
                break;
            case ExpressionKind.Jump:
                Invert(e);
                jump = e.Info;
                break;
            default:
                jump = JumpOn(ref e, condition: false);
                break;
        }

        Join(ref e.FalseJumps, jump);
        PatchToHere(e.TrueJumps);
        e.TrueJumps = NoJump;
    }

    private void GoIfFalse(ref Expression e)
    {
        Discharge(ref e);
        int jump = e.Kind switch
        {
            ExpressionKind.Nil or ExpressionKind.False => NoJump,
            ExpressionKind.Jump => e.Info,
            _ => JumpOn(ref e, condition: true),
        };
        Join(ref e.TrueJumps, jump);
        PatchToHere(e.FalseJumps);
        e.FalseJumps = NoJump;
    }

    private void Not(ref Expression e)
    {
        Discharge(ref e);
        switch (e.Kind)
        {
            case ExpressionKind.Nil or ExpressionKind.False:
                e.Kind = ExpressionKind.True;
                break;
            case ExpressionKind.Constant or ExpressionKind.Number or ExpressionKind.True:
                e.Kind = ExpressionKind.False;
                break;
            case ExpressionKind.Jump:
                Invert(e);
                break;
            default:
                ToAnyRegisterWithoutJumps(ref e);
                Free(e);
                e.Info = Emit(Opcode.Not, 0, e.Info, 0);
                e.Kind = ExpressionKind.Relocatable;
                break;
        }

        (e.TrueJumps, e.FalseJumps) = (e.FalseJumps, e.TrueJumps);
        RemoveValues(e.FalseJumps);
        RemoveValues(e.TrueJumps);
    }

    private static bool Fold(Opcode op, ref Expression a, in Expression b)
    {
        if (!a.IsNumeral || !b.IsNumeral || op is Opcode.Len or Opcode.Concat || (op is Opcode.Div or Opcode.Mod && b.Number == 0))
        {
            return false;
        }

        double result = LuaThread.Arithmetic(op, a.Number, b.Number);
        if (double.IsNaN(result))
        {
            return false;
        }

        a.Number = result;
        return true;
    }

    private void Arithmetic(Opcode op, ref Expression a, ref Expression b)
    {
        if (Fold(op, ref a, b))
        {
            return;
        }

        int right = op is Opcode.Unm or Opcode.Len ? 0 : ToOperand(ref b);
        int left = ToOperand(ref a);
        if (left > right)
        {
            Free(a);
            Free(b);
        }
        else
        {
            Free(b);
            Free(a);
        }

        a.Info = Emit(op, 0, left, right);
        a.Kind = ExpressionKind.Relocatable;
    }

    private void Compare(Opcode op, bool condition, ref Expression a, ref Expression b)
    {
        int left = ToOperand(ref a);
        int right = ToOperand(ref b);
        Free(b);
        Free(a);
        if (!condition && op != Opcode.Eq)
        {
            (left, right) = (right, left);
            condition = true;
        }

        a.Info = ConditionalJump(op, condition ? 1 : 0, left, right);
        a.Kind = ExpressionKind.Jump;
    }

    public void Prefix(int token, ref Expression e)
    {
        var none = new Expression(ExpressionKind.Number);
        switch (token)
        {
            case '-':
                if (!e.IsNumeral)
                {
                    ToAnyRegister(ref e);
                }

                Arithmetic(Opcode.Unm, ref e, ref none);
                break;
            case Token.Not:
                Not(ref e);
                break;
            default:
                ToAnyRegister(ref e);
                Arithmetic(Opcode.Len, ref e, ref none);
                break;
        }
    }

    /// <summary>The operator was read; its right side was not yet.</summary>
    public void Infix(int token, ref Expression e)
    {
        switch (token)
        {
            case Token.And:
                GoIfTrue(ref e);
                break;
            case Token.Or:
                GoIfFalse(ref e);
                break;
            case Token.Concat:
                ToNextRegister(ref e);
                break;
            case '+' or '-' or '*' or '/' or '%' or '^' when e.IsNumeral:
                break;
            default:
                ToOperand(ref e);
                break;
        }
    }

    public void Postfix(int token, ref Expression a, ref Expression b)
    {
        switch (token)
        {
            case Token.And:
                Discharge(ref b);
                Join(ref b.FalseJumps, a.FalseJumps);
                a = b;
                break;
            case Token.Or:
                Discharge(ref b);
                Join(ref b.TrueJumps, a.TrueJumps);
                a = b;
                break;
            case Token.Concat:
                ToValue(ref b);
                if (b.Kind == ExpressionKind.Relocatable && Instruction.Op(Code(b)) == Opcode.Concat)
                {
                    // a .. (b .. c) is one instruction.
                    Free(a);
                    Code(b) = Instruction.WithB(Code(b), a.Info);
                    a.Kind = ExpressionKind.Relocatable;
                    a.Info = b.Info;
                }
                else
                {
                    ToNextRegister(ref b);
                    Arithmetic(Opcode.Concat, ref a, ref b);
                }

                break;
            case '+':
                Arithmetic(Opcode.Add, ref a, ref b);
                break;
            case '-':
                Arithmetic(Opcode.Sub, ref a, ref b);
                break;
            case '*':
                Arithmetic(Opcode.Mul, ref a, ref b);
                break;
            case '/':
                Arithmetic(Opcode.Div, ref a, ref b);
                break;
            case '%':
                Arithmetic(Opcode.Mod, ref a, ref b);
                break;
            case '^':
                Arithmetic(Opcode.Pow, ref a, ref b);
                break;
            case Token.Equal:
                Compare(Opcode.Eq, true, ref a, ref b);
                break;
            case Token.NotEqual:
                Compare(Opcode.Eq, false, ref a, ref b);
                break;
            case '<':
                Compare(Opcode.Lt, true, ref a, ref b);
                break;
            case Token.LessEqual:
                Compare(Opcode.Le, true, ref a, ref b);
                break;
            case '>':
                Compare(Opcode.Lt, false, ref a, ref b);
                break;
            default:
                Compare(Opcode.Le, false, ref a, ref b);
                break;
        }
    }
}
