namespace Leither.Lua;

/// <summary>math.*, with Redis's generator behind math.random: the same seed gives the same sequence on every machine.</summary>
internal static class MathLibrary
{
    public static void Open(LuaState state)
    {
        LuaTable library = state.NewTable();
        state.Globals.Set(LuaState.Name("math"), library);
        library.Set(LuaState.Name("pi"), Math.PI);
        library.Set(LuaState.Name("huge"), double.PositiveInfinity);
        One("abs", Math.Abs);
        One("sin", Math.Sin);
        One("sinh", Math.Sinh);
        One("cos", Math.Cos);
        One("cosh", Math.Cosh);
        One("tan", Math.Tan);
        One("tanh", Math.Tanh);
        One("asin", Math.Asin);
        One("acos", Math.Acos);
        One("atan", Math.Atan);
        One("ceil", Math.Ceiling);
        One("floor", Math.Floor);
        One("sqrt", Math.Sqrt);
        One("log", Math.Log);
        One("log10", Math.Log10);
        One("exp", Math.Exp);
        One("deg", x => x / (Math.PI / 180.0));
        One("rad", x => x * (Math.PI / 180.0));
        state.Register(library, "atan2", t => t.Return(Math.Atan2(t.CheckNumber(1), t.CheckNumber(2))));
        state.Register(library, "fmod", FMod);
        state.Register(library, "mod", FMod);
        state.Register(library, "pow", t => t.Return(Math.Pow(t.CheckNumber(1), t.CheckNumber(2))));
        state.Register(library, "ldexp", t => t.Return(Math.ScaleB(t.CheckNumber(1), t.CheckInt(2))));
        state.Register(library, "modf", t =>
        {
            double x = t.CheckNumber(1), whole = Math.Truncate(x);
            t.Push(whole);
            t.Push(double.IsInfinity(x) ? Math.CopySign(0, x) : Math.CopySign(x - whole, x));
            return 2;
        });
        state.Register(library, "frexp", Frexp);
        state.Register(library, "min", t => Extreme(t, least: true));
        state.Register(library, "max", t => Extreme(t, least: false));
        state.Register(library, "random", Random);
        state.Register(library, "randomseed", t =>
        {
            t.State.Random.Seed(t.CheckInt(1));
            return 0;
        });

        void One(string name, Func<double, double> function) => state.Register(library, name, t => t.Return(function(t.CheckNumber(1))));
    }

    private static int FMod(LuaThread t) => t.Return(t.CheckNumber(1) % t.CheckNumber(2));

    private static int Frexp(LuaThread t)
    {
        double x = t.CheckNumber(1);
        if (x == 0 || !double.IsFinite(x))
        {
            t.Push(x);
            t.Push(0.0);
            return 2;
        }

        int exponent = Math.ILogB(x) + 1;
        t.Push(Math.ScaleB(x, -exponent));
        t.Push((double)exponent);
        return 2;
    }

    private static int Extreme(LuaThread t, bool least)
    {
        double best = t.CheckNumber(1);
        for (int i = 2; i <= t.ArgCount; i++)
        {
            double next = t.CheckNumber(i);
            if (least ? next < best : next > best)
            {
                best = next;
            }
        }

        return t.Return(best);
    }

    private static int Random(LuaThread t)
    {
        double r = t.State.Random.Next() % (double)int.MaxValue / int.MaxValue;
        switch (t.ArgCount)
        {
            case 0:
                return t.Return(r);
            case 1:
                {
                    int upper = t.CheckInt(1);
                    return upper >= 1 ? t.Return(Math.Floor(r * upper) + 1) : throw t.ArgError(1, "interval is empty");
                }

            case 2:
                {
                    int lower = t.CheckInt(1), upper = t.CheckInt(2);
                    return lower <= upper
                        ? t.Return(Math.Floor(r * unchecked(upper - lower + 1)) + lower)
                        : throw t.ArgError(2, "interval is empty");
                }

            default:
                throw t.Error("wrong number of arguments");
        }
    }
}
