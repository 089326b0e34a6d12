namespace Leither.Lua;

/// <summary>coroutine.*</summary>
internal static class CoroutineLibrary
{
    public static void Open(LuaState state)
    {
        LuaTable library = state.NewTable();
        state.Globals.Set(LuaState.Name("coroutine"), library);
        state.Register(library, "create", t => t.Return(new LuaValue(Create(t))));
        state.Register(library, "resume", Resume);
        state.Register(library, "running", t => t.Return(t == t.State.Main ? default : new LuaValue(t)));
        state.Register(library, "status", t => t.Return(LuaState.Name(StatusOf(t, CheckThread(t)))));
        state.Register(library, "wrap", Wrap);
        state.Register(library, "yield", t => t.Yield());
    }

    private static LuaThread CheckThread(LuaThread t) => t[1].O as LuaThread ?? throw t.ArgError(1, "coroutine expected");

    private static LuaThread Create(LuaThread t)
    {
        if (t[1].O is not LuaClosure function)
        {
            throw t.ArgError(1, "Lua function expected");
        }

        var made = new LuaThread(t.State) { Environment = t.Environment };
        made.Push(function);
        return made;
    }

    private static string StatusOf(LuaThread t, LuaThread other)
    {
        if (other == t)
        {
            return "running";
        }

        return other.Status switch
        {
            ThreadStatus.Yielded => "suspended",
            ThreadStatus.Dead => "dead",
            _ => !other.IsIdle ? "normal" : other.Top > 1 ? "suspended" : "dead",
        };
    }

    /// <summary>Resumes with the arguments from <paramref name="first"/> on; the results are pushed. Negative: it failed, and the error is pushed.</summary>
    private static int Resume(LuaThread t, LuaThread other, int first, out LuaException? error)
    {
        string status = StatusOf(t, other);
        if (status != "suspended")
        {
            error = null;
            t.Push(LuaThread.Text($"cannot resume {status} coroutine"));
            return -1;
        }

        int count = t.ArgCount - first + 1;
        if (!other.TryReserve(count))
        {
            throw t.Error("too many arguments to resume");
        }

        for (int i = 0; i < count; i++)
        {
            other.Push(t[first + i]);
        }

        if (!other.TryResume(t, count, out int from, out error))
        {
            t.Push(error.Value);
            return -1;
        }

        int results = other.Top - from;
        t.Reserve(results + 1, "too many results to resume");
        for (int i = 0; i < results; i++)
        {
            t.Push(other.Stack[from + i]);
        }

        // What was yielded or returned is no longer on the coroutine's stack.
        other.Top = from;
        return results;
    }

    private static int Resume(LuaThread t)
    {
        LuaThread other = CheckThread(t);
        int first = t.Top;
        int results = Resume(t, other, 2, out _);
        t.EnsureStack(1);
        int count = t.Top - first;
        Array.Copy(t.Stack, first, t.Stack, first + 1, count);
        t.Stack[first] = results >= 0;
        t.Top++;
        return count + 1;
    }

    private static int Wrap(LuaThread t)
    {
        LuaThread other = Create(t);
        return t.Return(t.State.NewFunction(caller =>
        {
            int results = Resume(caller, other, 1, out _);
            if (results >= 0)
            {
                return results;
            }

            LuaValue error = caller.Stack[caller.Top - 1];
            if (error.O is LuaString text)
            {
                // The place of who called joins the message.
                error = LuaThread.Text(caller.Where(1) + text);
            }

            throw caller.Raise(error);
        }));
    }
}
