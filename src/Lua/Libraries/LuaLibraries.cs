using System.Diagnostics;

namespace Leither.Lua;

/// <summary>Opens libraries in a world.</summary>
public static class LuaLibraries
{
    /// <summary>The basic functions, coroutine, string, table, math.</summary>
    public static void OpenStandard(LuaState state)
    {
        BaseLibrary.Open(state);
        TableLibrary.Open(state);
        StringLibrary.Open(state);
        MathLibrary.Open(state);
    }

    /// <summary>Those and what Redis bundles: bit, cjson, cmsgpack, struct, and os with nothing but clock.</summary>
    public static void OpenForRedis(LuaState state)
    {
        OpenStandard(state);
        BitLibrary.Open(state);
        JsonLibrary.Open(state);
        MessagePackLibrary.Open(state);
        StructLibrary.Open(state);
        LuaTable os = state.NewTable();
        state.Globals.Set(LuaState.Name("os"), os);
        state.Register(os, "clock", t => t.Return(Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency));
    }
}
