using System.Text;
using Xunit;

namespace Leither.Lua.Tests;

public sealed class BoundsTests
{
    private static LuaState NewState(long memory = 64 << 20)
    {
        var state = new LuaState { MaxMemoryBytes = memory };
        LuaLibraries.OpenForRedis(state);
        return state;
    }

    private static string Run(LuaState state, string script)
    {
        try
        {
            LuaValue result = state.Main.Call(state.Load(Encoding.UTF8.GetBytes(script), "@script"), null);
            return result.ToStringOrNull()?.ToString() ?? result.Type.ToString();
        }
        catch (LuaException e)
        {
            return "error: " + e.Message;
        }
    }

    [Theory]
    [InlineData("local t = {} for i = 1, 1e9 do t[i] = i end")]
    [InlineData("local t = {} while true do t[#t + 1] = {} end")]
    [InlineData("local s = 'x' while true do s = s .. s end")]
    [InlineData("return ('x'):rep(2^31 - 1)")]
    [InlineData("return ('xxxxxxxxxxxxxxxx'):rep(2^27)")]
    [InlineData("local t = {} for i = 1, 1e9 do t[i] = tostring(i) end")]
    [InlineData("local t = {} for i = 1, 1e9 do t[i] = function() return i end end")]
    [InlineData("local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end")]
    [InlineData("local s = ('x'):rep(1e6) local t = {} for i = 1, 1e6 do t[i] = s end return table.concat(t)")]
    [InlineData("local s = ('x'):rep(1e6) return (s:gsub('x', s))")]
    public void Memory_without_end_is_refused(string script)
    {
        LuaState state = NewState();
        Assert.Equal("error: not enough memory", Run(state, script));
        Assert.Equal("1", Run(state, "return 1"));
        Assert.True(state.Recount() < 1 << 20);
    }

    [Fact]
    public void Garbage_does_not_count_against_the_bound()
    {
        Assert.Equal("done", Run(NewState(8 << 20), "for i = 1, 2e6 do local t = {i, tostring(i)} end return 'done'"));
    }

    [Theory]
    [InlineData("local function f() return 1 + f() end return f()", "stack overflow")]
    [InlineData("local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k + 1] end return t[1]", "C stack overflow")]
    [InlineData("local function f() return coroutine.wrap(f)() end return f()", "C stack overflow")]
    [InlineData("local function f(x) return (x:gsub('.', f)) end return f('a')", "C stack overflow")]
    [InlineData("local function f() return pcall(f) end return select('#', f())", "")]
    [InlineData("return ('a'):rep(1e6):find(('a?'):rep(1e5) .. 'b')", "")]
    [InlineData("return ('('):rep(1e5):find(('('):rep(31) .. ('.-'):rep(1e4) .. 'x')", "")]
    [InlineData("local t = {} for i = 1, 1e5 do t = {t} end return cjson.encode(t)", "excessive nesting")]
    [InlineData("local t = {} t.t = t return cjson.encode(t)", "excessive nesting")]
    [InlineData("return cjson.decode(('['):rep(1e5))", "too many nested")]
    [InlineData("local t = {} t.t = t return #cmsgpack.pack(t)", "")]
    [InlineData("return type(cmsgpack.unpack(('\\145'):rep(1e6)))", "stack overflow")]
    [InlineData("return loadstring(('('):rep(1e6))() ", "attempt to call a nil value")]
    [InlineData("return select(2, loadstring('return ' .. ('{'):rep(1e5)))", "chunk has too many syntax levels")]
    [InlineData("return select('#', unpack({}, 1, 1e6))", "too many results to unpack")]
    [InlineData("return string.char(unpack({}, 1, 7990))", "number expected")]
    [InlineData("return struct.unpack('c' .. ('9'):rep(100), 'x')", "integral size overflow")]
    [InlineData("return struct.pack('i33', 1)", "larger than limit")]
    [InlineData("local t = {} table.sort(t, function() end) t[2^26] = 1 t[2^52] = 1 return #t", "")]
    [InlineData("local a = {} for i = 1, 30 do a[2^i] = 1 end return #a", "")]
    public void Hostile_depth_ends_in_an_error_or_a_result(string script, string expected)
    {
        LuaState state = NewState();
        int hooks = 0;
        state.Hook = _ =>
        {
            if (++hooks > 2000)
            {
                throw new LuaAbortException(LuaState.Name("hook"));
            }
        };
        Assert.Contains(expected, Run(state, script), StringComparison.Ordinal);
        Assert.Equal("1", Run(state, "return 1"));
    }

    [Theory]
    [InlineData("while true do end")]
    [InlineData("repeat until false")]
    [InlineData("for i = 1, math.huge do end")]
    [InlineData("local function f() return f() end f()")]
    [InlineData("while true do pcall(error) end")]
    [InlineData("for w in ('x'):rep(100):gmatch('') do while true do end end")]
    [InlineData("return (('a'):rep(40) .. 'b'):find('a-a-a-a-a-a-a-a-a-a-a-a-a-a-c')")]
    [InlineData("coroutine.wrap(function() while true do end end)()")]
    [InlineData("while true do coroutine.wrap(function() end)() end")]
    [InlineData("local t = setmetatable({}, {__index = function() while true do end end}) return t.x")]
    [InlineData("while true do pcall(function() while true do end end) end")]
    [InlineData("load(function() return ' ' end)")]
    public void A_script_without_end_is_ended_by_the_hook_and_pcall_cannot_stop_that(string script)
    {
        LuaState state = NewState();
        int hooks = 0;
        state.Hook = _ =>
        {
            if (++hooks > 50)
            {
                throw new LuaAbortException(LuaState.Name("killed"));
            }
        };
        Assert.Equal("error: killed", Run(state, script));
        state.Hook = null;
        Assert.Equal("1", Run(state, "return 1"));
    }

    [Fact]
    public void Read_only_tables_stay_as_they_are()
    {
        LuaState state = NewState();
        LuaTable locked = state.NewTable();
        locked.Set(LuaState.Name("x"), 1.0);
        locked.IsReadOnly = true;
        state.Globals.Set(LuaState.Name("locked"), locked);
        foreach (string script in (string[])["locked.x = 2", "locked.y = 2", "rawset(locked, 'x', 2)", "table.insert(locked, 1)", "setmetatable(locked, {})", "locked[1] = 1"])
        {
            Assert.EndsWith("Attempt to modify a readonly table", Run(state, script), StringComparison.Ordinal);
        }

        Assert.Equal("1", Run(state, "return locked.x"));
    }
}
