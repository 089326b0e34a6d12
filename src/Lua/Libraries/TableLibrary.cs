namespace Leither.Lua;

/// <summary>table.*</summary>
internal static class TableLibrary
{
    public static void Open(LuaState state)
    {
        LuaTable library = state.NewTable();
        state.Globals.Set(LuaState.Name("table"), library);
        state.Register(library, "concat", Concat);
        state.Register(library, "foreach", ForEach);
        state.Register(library, "foreachi", ForEachIndex);
        state.Register(library, "getn", t => t.Return((double)t.CheckTable(1).Length));
        state.Register(library, "maxn", MaxN);
        state.Register(library, "insert", Insert);
        state.Register(library, "remove", Remove);
        state.Register(library, "setn", SetN);
        state.Register(library, "sort", Sort);
    }

    private static int SetN(LuaThread t)
    {
        t.CheckTable(1);
        throw t.Error("'setn' is obsolete");
    }

    private static int MaxN(LuaThread t)
    {
        double max = 0;
        int position = 0;
        LuaTable table = t.CheckTable(1);
        while (table.NextAt(ref position, out LuaValue key, out _))
        {
            if (key.IsNumber && key.N > max)
            {
                max = key.N;
            }
        }

        return t.Return(max);
    }

    private static void SetRaw(LuaThread t, LuaTable table, int index, in LuaValue value)
    {
        if (table.IsReadOnly)
        {
            throw t.RuntimeError("Attempt to modify a readonly table");
        }

        table.Set(index, value);
    }

    private static int Insert(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        int end = table.Length + 1, position;
        switch (t.ArgCount)
        {
            case 2:
                position = end;
                break;
            case 3:
                position = t.CheckInt(2);
                if (position > end)
                {
                    end = position;
                }

                // Very far below: as long as the host allows.
                for (int i = end; i > position; i--)
                {
                    SetRaw(t, table, i, table.Get(i - 1));
                    if (--t.State.Countdown <= 0)
                    {
                        t.State.RunHook(t);
                    }
                }

                break;
            default:
                throw t.Error("wrong number of arguments to 'insert'");
        }

        SetRaw(t, table, position, t[t.ArgCount]);
        return 0;
    }

    private static int Remove(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        int end = table.Length, position = t.OptInt(2, end);
        if (position < 1 || position > end)
        {
            return 0;
        }

        LuaValue removed = table.Get(position);
        for (; position < end; position++)
        {
            SetRaw(t, table, position, table.Get(position + 1));
        }

        SetRaw(t, table, end, default);
        return t.Return(removed);
    }

    private static int Concat(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        LuaString separator = t[2].IsNil ? LuaString.Empty : t.CheckString(2);
        int from = t.OptInt(3, 1), to = t[4].IsNil ? table.Length : t.CheckInt(4);
        var text = new ByteBuffer(t.State);
        for (long i = from; i <= to; i++)
        {
            LuaValue value = table.Get((int)i);
            if (value.O is LuaString piece)
            {
                text.Add(piece.Span);
            }
            else if (value.IsNumber)
            {
                text.AddNumber(value.N);
            }
            else
            {
                throw t.Error($"invalid value ({value.TypeName}) at index {i} in table for 'concat'");
            }

            if (i < to)
            {
                text.Add(separator.Span);
            }
        }

        return t.Return(text.ToLuaString());
    }

    private static int ForEach(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        CheckFunction(t, 2);
        LuaValue key = default;
        while (table.Next(key, out LuaValue next, out LuaValue value, out bool unknown))
        {
            if (CallPair(t, next, value) is { IsNil: false } result)
            {
                return t.Return(result);
            }

            key = next;
        }

        return 0;
    }

    private static int ForEachIndex(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        CheckFunction(t, 2);
        int count = table.Length;
        for (int i = 1; i <= count; i++)
        {
            if (CallPair(t, (double)i, table.Get(i)) is { IsNil: false } result)
            {
                return t.Return(result);
            }
        }

        return 0;
    }

    private static void CheckFunction(LuaThread t, int index)
    {
        if (t[index].O is not LuaFunction)
        {
            throw t.TypeError(index, "function");
        }
    }

    private static LuaValue CallPair(LuaThread t, in LuaValue key, in LuaValue value)
    {
        int function = t.Top;
        t.Push(t[2]);
        t.Push(key);
        t.Push(value);
        t.Call(function, 1);
        return t.Stack[--t.Top];
    }

    private static int Sort(LuaThread t)
    {
        LuaTable table = t.CheckTable(1);
        int count = table.Length;
        if (count >= 1 << 30)
        {
            throw t.Error("array too big");
        }

        if (!t[2].IsNil)
        {
            CheckFunction(t, 2);
        }

        t.SetArgCount(2);
        SortRange(t, table, 1, count);
        return 0;
    }

    /// <summary>
    /// Quicksort with the median of three, the larger part by iteration. The steps are those of Lua 5.1: with an order that
    /// contradicts itself scripts see the same errors and the same arrangement.
    /// </summary>
    private static void SortRange(LuaThread t, LuaTable a, int low, int high)
    {
        while (low < high)
        {
            LuaValue first = a.Get(low), last = a.Get(high);
            if (IsLess(t, last, first))
            {
                Put(t, a, low, last);
                Put(t, a, high, first);
            }

            if (high - low == 1)
            {
                break;
            }

            int middle = (int)(((uint)low + (uint)high) / 2);
            LuaValue pivot = a.Get(middle);
            first = a.Get(low);
            if (IsLess(t, pivot, first))
            {
                Put(t, a, middle, first);
                Put(t, a, low, pivot);
            }
            else
            {
                last = a.Get(high);
                if (IsLess(t, last, pivot))
                {
                    Put(t, a, middle, last);
                    Put(t, a, high, pivot);
                }
            }

            if (high - low == 2)
            {
                break;
            }

            pivot = a.Get(middle);
            LuaValue other = a.Get(high - 1);
            Put(t, a, middle, other);
            Put(t, a, high - 1, pivot);
            int i = low, j = high - 1;
            while (true)
            {
                LuaValue left, right;
                while (IsLess(t, left = a.Get(++i), pivot))
                {
                    if (i > high)
                    {
                        throw t.Error("invalid order function for sorting");
                    }
                }

                while (IsLess(t, pivot, right = a.Get(--j)))
                {
                    if (j < low)
                    {
                        throw t.Error("invalid order function for sorting");
                    }
                }

                if (j < i)
                {
                    break;
                }

                Put(t, a, i, right);
                Put(t, a, j, left);
            }

            LuaValue x = a.Get(high - 1), y = a.Get(i);
            Put(t, a, high - 1, y);
            Put(t, a, i, x);
            if (i - low < high - i)
            {
                SortRange(t, a, low, i - 1);
                low = i + 1;
            }
            else
            {
                SortRange(t, a, i + 1, high);
                high = i - 1;
            }
        }
    }

    private static void Put(LuaThread t, LuaTable table, int index, in LuaValue value) => SetRaw(t, table, index, value);

    private static bool IsLess(LuaThread t, in LuaValue a, in LuaValue b)
    {
        LuaValue order = t[2];
        if (order.IsNil)
        {
            if (--t.State.Countdown <= 0)
            {
                t.State.RunHook(t);
            }

            return t.IsLess(a, b);
        }

        int function = t.Top;
        t.Push(order);
        t.Push(a);
        t.Push(b);
        t.Call(function, 1);
        return !t.Stack[--t.Top].IsFalsy;
    }
}
