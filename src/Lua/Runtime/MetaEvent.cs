namespace Leither.Lua;

/// <summary>The events that metatables answer. Absence of the first eight is remembered in the metatable.</summary>
internal enum MetaEvent
{
    Index,
    NewIndex,
    Equal,
    Length,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Unm,
    LessThan,
    LessEqual,
    Concat,
    Call,
    ToString,
    Metatable,
}

/// <summary>Their names.</summary>
internal static class MetaEvents
{
    private static readonly LuaString[] s_names =
    [
        LuaState.Name("__index"), LuaState.Name("__newindex"), LuaState.Name("__eq"), LuaState.Name("__len"), LuaState.Name("__add"), LuaState.Name("__sub"),
        LuaState.Name("__mul"), LuaState.Name("__div"), LuaState.Name("__mod"), LuaState.Name("__pow"), LuaState.Name("__unm"), LuaState.Name("__lt"),
        LuaState.Name("__le"), LuaState.Name("__concat"), LuaState.Name("__call"), LuaState.Name("__tostring"), LuaState.Name("__metatable"),
    ];

    public static LuaString Name(MetaEvent @event) => s_names[(int)@event];

    /// <summary>What a metatable has for an event.</summary>
    public static LuaValue Of(LuaTable? metatable, MetaEvent @event)
    {
        if (metatable is null)
        {
            return default;
        }

        int bit = 1 << (int)@event;
        if (bit < 256 && (metatable.AbsentEvents & bit) != 0)
        {
            return default;
        }

        LuaValue handler = metatable.Get(s_names[(int)@event]);
        if (handler.IsNil && bit < 256)
        {
            metatable.AbsentEvents |= (byte)bit;
        }

        return handler;
    }
}
