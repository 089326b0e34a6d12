namespace Leither.Lua;

/// <summary>
/// Reads Lua 5.1 and compiles while it reads, one pass, no tree. Nesting is bounded, so that hostile source ends in Lua's error and not
/// at the end of the stack.
/// </summary>
internal sealed class Parser
{
    private const int MaxLevels = 200;
    private const int FieldsPerFlush = 50;
    private const int UnaryPriority = 8;

    private readonly Lexer _lexer;
    private readonly string _source;
    private FunctionBuilder _function;
    private int _levels;

    private Parser(byte[] text, string source, int depth)
    {
        _lexer = new Lexer(text, source);
        _source = source;
        _levels = depth;
        _function = new FunctionBuilder(null, _lexer, source);
    }

    /// <summary>Compiles a chunk. <paramref name="depth"/>: how deep native calls are nested already.</summary>
    public static Prototype Parse(byte[] text, string source, int depth)
    {
        var parser = new Parser(text, source, depth);
        parser._function.Prototype.IsVararg = true;
        parser._lexer.Next();
        parser.Chunk();
        parser.Check(Token.EndOfText);
        return parser._function.Finish();
    }

    private int Current => _lexer.Token;

    private bool Accept(int token)
    {
        if (Current != token)
        {
            return false;
        }

        _lexer.Next();
        return true;
    }

    private void Check(int token)
    {
        if (Current != token)
        {
            throw _lexer.SyntaxError($"'{Token.Text(token)}' expected");
        }
    }

    private void Expect(int token)
    {
        Check(token);
        _lexer.Next();
    }

    private void ExpectClosing(int what, int who, int line)
    {
        if (Accept(what))
        {
            return;
        }

        throw line == _lexer.Line
            ? _lexer.SyntaxError($"'{Token.Text(what)}' expected")
            : _lexer.SyntaxError($"'{Token.Text(what)}' expected (to close '{Token.Text(who)}' at line {line})");
    }

    private LuaString ExpectName()
    {
        Check(Token.Name);
        LuaString name = _lexer.String;
        _lexer.Next();
        return name;
    }

    private Expression StringExpression(LuaString text) => new(ExpressionKind.Constant, _function.StringConstant(text));

    private void EnterLevel()
    {
        if (++_levels > MaxLevels)
        {
            throw _lexer.Error("chunk has too many syntax levels", 0);
        }
    }

    private Expression Variable()
    {
        LuaString name = ExpectName();
        if (FunctionBuilder.Resolve(_function, name.ToString(), out Expression variable, isInner: false) == ExpressionKind.Global)
        {
            variable.Info = _function.StringConstant(name);
        }

        return variable;
    }

    // Statements

    private static bool EndsBlock(int token) => token is Token.Else or Token.ElseIf or Token.End or Token.Until or Token.EndOfText;

    private void Chunk()
    {
        EnterLevel();
        bool isLast = false;
        while (!isLast && !EndsBlock(Current))
        {
            isLast = Statement();
            Accept(';');
            _function.FreeRegister = _function.ActiveLocals;
        }

        _levels--;
    }

    private void BlockStatement()
    {
        _function.EnterBlock(isLoop: false);
        Chunk();
        _function.LeaveBlock();
    }

    private bool Statement()
    {
        int line = _lexer.Line;
        switch (Current)
        {
            case Token.If:
                If(line);
                return false;
            case Token.While:
                While(line);
                return false;
            case Token.Do:
                _lexer.Next();
                BlockStatement();
                ExpectClosing(Token.End, Token.Do, line);
                return false;
            case Token.For:
                For(line);
                return false;
            case Token.Repeat:
                Repeat(line);
                return false;
            case Token.Function:
                Function(line);
                return false;
            case Token.Local:
                _lexer.Next();
                if (Accept(Token.Function))
                {
                    LocalFunction();
                }
                else
                {
                    Local();
                }

                return false;
            case Token.Return:
                Return();
                return true;
            case Token.Break:
                _lexer.Next();
                _function.Break();
                return true;
            default:
                ExpressionStatement();
                return false;
        }
    }

    private int Condition()
    {
        Expression e = Expr();
        if (e.Kind == ExpressionKind.Nil)
        {
            e.Kind = ExpressionKind.False;
        }

        _function.GoIfTrue(ref e);
        return e.FalseJumps;
    }

    private void If(int line)
    {
        int escape = FunctionBuilder.NoJump;
        int next = TestThen();
        while (Current == Token.ElseIf)
        {
            _function.Join(ref escape, _function.EmitJump());
            _function.PatchToHere(next);
            next = TestThen();
        }

        if (Current == Token.Else)
        {
            _function.Join(ref escape, _function.EmitJump());
            _function.PatchToHere(next);
            _lexer.Next();
            BlockStatement();
        }
        else
        {
            _function.Join(ref escape, next);
        }

        _function.PatchToHere(escape);
        ExpectClosing(Token.End, Token.If, line);
    }

    private int TestThen()
    {
        _lexer.Next();
        int exit = Condition();
        Expect(Token.Then);
        BlockStatement();
        return exit;
    }

    private void While(int line)
    {
        _lexer.Next();
        int start = _function.Label();
        int exit = Condition();
        _function.EnterBlock(isLoop: true);
        Expect(Token.Do);
        BlockStatement();
        _function.PatchList(_function.EmitJump(), start);
        ExpectClosing(Token.End, Token.While, line);
        _function.LeaveBlock();
        _function.PatchToHere(exit);
    }

    private void Repeat(int line)
    {
        int start = _function.Label();
        _function.EnterBlock(isLoop: true);
        Block scope = _function.EnterBlock(isLoop: false);
        _lexer.Next();
        Chunk();
        ExpectClosing(Token.Until, Token.Repeat, line);
        int exit = Condition();
        if (!scope.HasUpvalue)
        {
            _function.LeaveBlock();
            _function.PatchList(exit, start);
        }
        else
        {
            // Variables of this round must be closed before the next one.
            _function.Break();
            _function.PatchToHere(exit);
            _function.LeaveBlock();
            _function.PatchList(_function.EmitJump(), start);
        }

        _function.LeaveBlock();
    }

    private void For(int line)
    {
        _function.EnterBlock(isLoop: true);
        _lexer.Next();
        LuaString name = ExpectName();
        switch (Current)
        {
            case '=':
                NumericFor(name, line);
                break;
            case ',' or Token.In:
                GenericFor(name);
                break;
            default:
                throw _lexer.SyntaxError("'=' or 'in' expected");
        }

        ExpectClosing(Token.End, Token.For, line);
        _function.LeaveBlock();
    }

    private void NumericFor(LuaString name, int line)
    {
        int @base = _function.FreeRegister;
        _function.NewLocal("(for index)", 0);
        _function.NewLocal("(for limit)", 1);
        _function.NewLocal("(for step)", 2);
        _function.NewLocal(name.ToString(), 3);
        Expect('=');
        ExprToNextRegister();
        Expect(',');
        ExprToNextRegister();
        if (Accept(','))
        {
            ExprToNextRegister();
        }
        else
        {
            _function.EmitBx(Opcode.LoadK, _function.FreeRegister, _function.NumberConstant(1));
            _function.Reserve(1);
        }

        ForBody(@base, line, 1, isNumeric: true);
    }

    private void GenericFor(LuaString first)
    {
        int @base = _function.FreeRegister, count = 0;
        _function.NewLocal("(for generator)", count++);
        _function.NewLocal("(for state)", count++);
        _function.NewLocal("(for control)", count++);
        _function.NewLocal(first.ToString(), count++);
        while (Accept(','))
        {
            _function.NewLocal(ExpectName().ToString(), count++);
        }

        Expect(Token.In);
        int line = _lexer.Line;
        int expressions = ExprList(out Expression e);
        AdjustAssign(3, expressions, ref e);
        _function.CheckStack(3);
        ForBody(@base, line, count - 3, isNumeric: false);
    }

    private void ForBody(int @base, int line, int variables, bool isNumeric)
    {
        _function.ActivateLocals(3);
        Expect(Token.Do);
        int prepare = isNumeric ? _function.EmitBx(Opcode.ForPrep, @base, FunctionBuilder.NoJump) : _function.EmitJump();
        _function.EnterBlock(isLoop: false);
        _function.ActivateLocals(variables);
        _function.Reserve(variables);
        BlockStatement();
        _function.LeaveBlock();
        _function.PatchToHere(prepare);
        int end = isNumeric
            ? _function.EmitBx(Opcode.ForLoop, @base, FunctionBuilder.NoJump)
            : _function.Emit(Opcode.TForLoop, @base, 0, variables);
        _function.SetLine(line);
        _function.PatchList(isNumeric ? end : _function.EmitJump(), prepare + 1);
    }

    private void Function(int line)
    {
        _lexer.Next();
        Expression variable = Variable();
        while (Current == '.')
        {
            Field(ref variable);
        }

        bool isMethod = Current == ':';
        if (isMethod)
        {
            Field(ref variable);
        }

        Expression body = Body(isMethod, line);
        _function.Store(variable, ref body);
        _function.SetLine(line);
    }

    private void LocalFunction()
    {
        _function.NewLocal(ExpectName().ToString(), 0);
        var variable = new Expression(ExpressionKind.Local, _function.FreeRegister);
        _function.Reserve(1);
        _function.ActivateLocals(1);
        Expression body = Body(isMethod: false, _lexer.Line);
        _function.Store(variable, ref body);
        _function.StartLocal(_function.ActiveLocals - 1);
    }

    private void Local()
    {
        int variables = 0, expressions = 0;
        var e = new Expression(ExpressionKind.Void);
        do
        {
            _function.NewLocal(ExpectName().ToString(), variables++);
        }
        while (Accept(','));
        if (Accept('='))
        {
            expressions = ExprList(out e);
        }

        AdjustAssign(variables, expressions, ref e);
        _function.ActivateLocals(variables);
    }

    private void Return()
    {
        _lexer.Next();
        int first = 0, count = 0;
        if (!EndsBlock(Current) && Current != ';')
        {
            count = ExprList(out Expression e);
            if (e.HasManyResults)
            {
                _function.SetResults(ref e, -1);
                if (e.Kind == ExpressionKind.Call && count == 1)
                {
                    ref ulong call = ref _function.Code(e);
                    call = (call & ~0xFFUL) | (ulong)Opcode.TailCall;
                }

                first = _function.ActiveLocals;
                count = -1;
            }
            else if (count == 1)
            {
                first = _function.ToAnyRegister(ref e);
            }
            else
            {
                _function.ToNextRegister(ref e);
                first = _function.ActiveLocals;
            }
        }

        _function.EmitReturn(first, count);
    }

    private void ExpressionStatement()
    {
        Expression e = Primary();
        if (e.Kind == ExpressionKind.Call)
        {
            _function.Code(e) = Instruction.WithC(_function.Code(e), 1);
        }
        else
        {
            Assignment(e);
        }
    }

    private void Assignment(in Expression first)
    {
        var targets = new List<Expression>(1) { first };
        CheckAssignable(first);
        while (Accept(','))
        {
            Expression target = Primary();
            if (target.Kind == ExpressionKind.Local)
            {
                KeepOldValue(targets, target);
            }

            _function.CheckLimit(targets.Count, MaxLevels - _levels, "variables in assignment");
            targets.Add(target);
            CheckAssignable(target);
        }

        Expect('=');
        int expressions = ExprList(out Expression e);
        int last = targets.Count - 1;
        if (expressions == targets.Count)
        {
            _function.SetOneResult(ref e);
            _function.Store(targets[last], ref e);
            last--;
        }
        else
        {
            AdjustAssign(targets.Count, expressions, ref e);
            if (expressions > targets.Count)
            {
                _function.FreeRegister -= expressions - targets.Count;
            }
        }

        for (; last >= 0; last--)
        {
            e = new Expression(ExpressionKind.Register, _function.FreeRegister - 1);
            _function.Store(targets[last], ref e);
        }
    }

    private void CheckAssignable(in Expression e)
    {
        if (e.Kind is < ExpressionKind.Local or > ExpressionKind.Indexed)
        {
            throw _lexer.SyntaxError("syntax error");
        }
    }

    /// <summary>A local is assigned that a target before it uses as table or key: that one gets a copy.</summary>
    private void KeepOldValue(List<Expression> targets, in Expression local)
    {
        int copy = _function.FreeRegister;
        bool conflict = false;
        foreach (ref Expression target in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(targets))
        {
            if (target.Kind != ExpressionKind.Indexed)
            {
                continue;
            }

            if (target.Info == local.Info)
            {
                conflict = true;
                target.Info = copy;
            }

            if (target.Aux == local.Info)
            {
                conflict = true;
                target.Aux = copy;
            }
        }

        if (conflict)
        {
            _function.Emit(Opcode.Move, copy, local.Info, 0);
            _function.Reserve(1);
        }
    }

    private void AdjustAssign(int variables, int expressions, ref Expression e)
    {
        int extra = variables - expressions;
        if (e.HasManyResults)
        {
            extra = Math.Max(extra + 1, 0);
            _function.SetResults(ref e, extra);
            if (extra > 1)
            {
                _function.Reserve(extra - 1);
            }
        }
        else
        {
            if (e.Kind != ExpressionKind.Void)
            {
                _function.ToNextRegister(ref e);
            }

            if (extra > 0)
            {
                int register = _function.FreeRegister;
                _function.Reserve(extra);
                _function.EmitNil(register, extra);
            }
        }
    }

    // Expressions

    private void ExprToNextRegister()
    {
        Expression e = Expr();
        _function.ToNextRegister(ref e);
    }

    private int ExprList(out Expression e)
    {
        int count = 1;
        e = Expr();
        while (Accept(','))
        {
            _function.ToNextRegister(ref e);
            e = Expr();
            count++;
        }

        return count;
    }

    private Expression Expr()
    {
        SubExpr(out Expression e, 0);
        return e;
    }

    private static (int Left, int Right) Priority(int token) => token switch
    {
        '+' or '-' => (6, 6),
        '*' or '/' or '%' => (7, 7),
        '^' => (10, 9),
        Token.Concat => (5, 4),
        Token.Equal or Token.NotEqual or '<' or '>' or Token.LessEqual or Token.GreaterEqual => (3, 3),
        Token.And => (2, 2),
        Token.Or => (1, 1),
        _ => (-1, -1),
    };

    /// <summary>Reads operators that bind stronger than <paramref name="limit"/>; returns the one that does not, or what else follows.</summary>
    private int SubExpr(out Expression e, int limit)
    {
        EnterLevel();
        int unary = Current;
        if (unary is Token.Not or '-' or '#')
        {
            _lexer.Next();
            SubExpr(out e, UnaryPriority);
            _function.Prefix(unary, ref e);
        }
        else
        {
            e = Simple();
        }

        int op = Current;
        while (Priority(op).Left > limit)
        {
            _lexer.Next();
            _function.Infix(op, ref e);
            int next = SubExpr(out Expression right, Priority(op).Right);
            _function.Postfix(op, ref e, ref right);
            op = next;
        }

        _levels--;
        return op;
    }

    private Expression Simple()
    {
        Expression e;
        switch (Current)
        {
            case Token.Number:
                e = new Expression(ExpressionKind.Number) { Number = _lexer.Number };
                break;
            case Token.String:
                e = StringExpression(_lexer.String);
                break;
            case Token.Nil:
                e = new Expression(ExpressionKind.Nil);
                break;
            case Token.True:
                e = new Expression(ExpressionKind.True);
                break;
            case Token.False:
                e = new Expression(ExpressionKind.False);
                break;
            case Token.Dots:
                if (!_function.Prototype.IsVararg)
                {
                    throw _lexer.SyntaxError("cannot use '...' outside a vararg function");
                }

                _function.Prototype.NeedsArg = false;
                e = new Expression(ExpressionKind.Vararg, _function.Emit(Opcode.Vararg, 0, 1, 0));
                break;
            case '{':
                return Constructor();
            case Token.Function:
                _lexer.Next();
                return Body(isMethod: false, _lexer.Line);
            default:
                return Primary();
        }

        _lexer.Next();
        return e;
    }

    private Expression Primary()
    {
        Expression e;
        switch (Current)
        {
            case '(':
                int line = _lexer.Line;
                _lexer.Next();
                e = Expr();
                ExpectClosing(')', '(', line);
                _function.Discharge(ref e);
                break;
            case Token.Name:
                e = Variable();
                break;
            default:
                throw _lexer.SyntaxError("unexpected symbol");
        }

        while (true)
        {
            switch (Current)
            {
                case '.':
                    Field(ref e);
                    break;
                case '[':
                    {
                        _function.ToAnyRegister(ref e);
                        Expression key = IndexKey();
                        _function.Index(ref e, ref key);
                        break;
                    }

                case ':':
                    {
                        _lexer.Next();
                        Expression key = StringExpression(ExpectName());
                        _function.Self(ref e, ref key);
                        Arguments(ref e);
                        break;
                    }

                case '(' or Token.String or '{':
                    _function.ToNextRegister(ref e);
                    Arguments(ref e);
                    break;
                default:
                    return e;
            }
        }
    }

    private void Field(ref Expression e)
    {
        _function.ToAnyRegister(ref e);
        _lexer.Next();
        Expression key = StringExpression(ExpectName());
        _function.Index(ref e, ref key);
    }

    private Expression IndexKey()
    {
        _lexer.Next();
        Expression key = Expr();
        _function.ToValue(ref key);
        Expect(']');
        return key;
    }

    private void Arguments(ref Expression function)
    {
        int line = _lexer.Line;
        Expression args;
        switch (Current)
        {
            case '(':
                if (line != _lexer.LastLine)
                {
                    throw _lexer.SyntaxError("ambiguous syntax (function call x new statement)");
                }

                _lexer.Next();
                if (Current == ')')
                {
                    args = new Expression(ExpressionKind.Void);
                }
                else
                {
                    ExprList(out args);
                    if (args.HasManyResults)
                    {
                        _function.SetResults(ref args, -1);
                    }
                }

                ExpectClosing(')', '(', line);
                break;
            case '{':
                args = Constructor();
                break;
            case Token.String:
                args = StringExpression(_lexer.String);
                _lexer.Next();
                break;
            default:
                throw _lexer.SyntaxError("function arguments expected");
        }

        int @base = function.Info, count = -1;
        if (!args.HasManyResults)
        {
            if (args.Kind != ExpressionKind.Void)
            {
                _function.ToNextRegister(ref args);
            }

            count = _function.FreeRegister - (@base + 1);
        }

        function = new Expression(ExpressionKind.Call, _function.Emit(Opcode.Call, @base, count + 1, 2));
        _function.SetLine(line);
        _function.FreeRegister = @base + 1;
    }

    private Expression Constructor()
    {
        int line = _lexer.Line;
        int pc = _function.Emit(Opcode.NewTable, 0, 0, 0);
        var table = new Expression(ExpressionKind.Relocatable, pc);
        var item = new Expression(ExpressionKind.Void);
        int inArray = 0, inHash = 0, pending = 0;
        _function.ToNextRegister(ref table);
        Expect('{');
        do
        {
            if (Current == '}')
            {
                break;
            }

            if (item.Kind != ExpressionKind.Void)
            {
                _function.ToNextRegister(ref item);
                item = new Expression(ExpressionKind.Void);
                if (pending == FieldsPerFlush)
                {
                    _function.EmitSetList(table.Info, inArray, pending);
                    pending = 0;
                }
            }

            if (Current == '[' || (Current == Token.Name && _lexer.Peek() == '='))
            {
                RecordField(table);
                inHash++;
            }
            else
            {
                item = Expr();
                inArray++;
                pending++;
            }
        }
        while (Accept(',') || Accept(';'));
        ExpectClosing('}', '{', line);
        if (pending > 0)
        {
            if (item.HasManyResults)
            {
                _function.SetResults(ref item, -1);
                _function.EmitSetList(table.Info, inArray, -1);
                inArray--;
            }
            else
            {
                if (item.Kind != ExpressionKind.Void)
                {
                    _function.ToNextRegister(ref item);
                }

                _function.EmitSetList(table.Info, inArray, pending);
            }
        }

        _function.SetSize(pc, RoundSize(inArray), RoundSize(inHash));
        return table;
    }

    /// <summary>Sizes in instructions of Lua 5.1 are small floats, rounded up: tables made by constructors have those sizes.</summary>
    private static int RoundSize(int size)
    {
        int exponent = 0;
        while (size >= 16)
        {
            size = (size + 1) >> 1;
            exponent++;
        }

        return Math.Min(size << exponent, (1 << 24) - 1);
    }

    private void RecordField(in Expression table)
    {
        int free = _function.FreeRegister;
        Expression key = Current == Token.Name ? StringExpression(ExpectName()) : IndexKey();
        Expect('=');
        int keyOperand = _function.ToOperand(ref key);
        Expression value = Expr();
        _function.Emit(Opcode.SetTable, table.Info, keyOperand, _function.ToOperand(ref value));
        _function.FreeRegister = free;
    }

    private Expression Body(bool isMethod, int line)
    {
        var function = new FunctionBuilder(_function, _lexer, _source);
        _function = function;
        function.Prototype.LineDefined = line;
        Expect('(');
        if (isMethod)
        {
            function.NewLocal("self", 0);
            function.ActivateLocals(1);
        }

        Parameters();
        Expect(')');
        Chunk();
        function.Prototype.LastLineDefined = _lexer.Line;
        ExpectClosing(Token.End, Token.Function, line);
        _function = function.Outer!;
        var e = new Expression(ExpressionKind.Void);
        _function.EmitClosure(function, ref e);
        return e;
    }

    private void Parameters()
    {
        Prototype prototype = _function.Prototype;
        int count = 0;
        if (Current != ')')
        {
            do
            {
                if (Current == Token.Name)
                {
                    _function.NewLocal(ExpectName().ToString(), count++);
                }
                else if (Current == Token.Dots)
                {
                    _lexer.Next();
                    _function.NewLocal("arg", count++);
                    prototype.IsVararg = prototype.HasArg = prototype.NeedsArg = true;
                }
                else
                {
                    throw _lexer.SyntaxError("<name> or '...' expected");
                }
            }
            while (!prototype.IsVararg && Accept(','));
        }

        _function.ActivateLocals(count);
        prototype.ParameterCount = _function.ActiveLocals - (prototype.HasArg ? 1 : 0);
        _function.Reserve(_function.ActiveLocals);
    }
}
