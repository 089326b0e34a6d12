-- The language itself: closures, varargs, loops, metatables, coroutines, environments.
print(1, 1.5, -0.0, 0, 1e15, 1e14, 123456789012345, 1e16, 2^53, 2^63, 1/3, -1/3, 100, 1e-5, 0.1, 1e300 * 1e10, -1e300 * 1e10)
print(5 % 3, -5 % 3, 5 % -3, -5 % -3, 5.5 % 2, 5 % math.huge, -5 % math.huge, 2 ^ 10, 2 ^ -1, 2 ^ 0.5, 7 / 2, 10 / 5)
print("10" + 5, "3" * "4", "0x10" + 0, " 10 " + 1, 10 .. 20, "a" .. 1.5 .. 2)
print(1 == 1, 1 == "1", "a" == "a", nil == false, 1 < 2, "a" < "b", "a" < "B", "" < "a", "a\0b" < "a\0c", "Z" < "a", 2 <= 2, "10" < "9")
print(not nil, not 0, nil and 1, false or 2, 1 and 2, nil or false, false and nil, 1 or error("no"))
print(#"", #"abc", #"a\0b", #{}, #{1, 2, 3}, #{1, 2, nil, 4}, #{nil, nil, 3}, #{n = 1}, #{nil})
local a, b, c = 1
print(a, b, c)
a, b, c = 1, 2
print(a, b, c)
a, b = b, a
print(a, b)
local function f(...) return select('#', ...), ... end
print(f())
print(f(nil))
print(f(1, nil, nil))
print((f(1, 2, 3)))
print(f(f(1, 2)), f(1))
local t = {f(1, 2), f(3, 4)}
print(#t, unpack(t))
local t = {[1] = "a", "b", x = 1, [2] = "c", "d"}
print(t[1], t[2], t.x)
do
  local i = 1
  local t = {}
  i, t[i] = i + 1, 20
  print(i, t[1], t[2])
end
do
  local a = {}
  local i = 3
  i, a[i], a = 5, 6, nil
  print(i, a)
end
for i = 1, 3 do io = i end print(io)
for i = 3, 1 do print("never") end
for i = 3, 1, -1 do print(i) end
for i = 1, 2, 0.25 do print(i) end
for i = 1, 0 do print("never") end
for i = 10, 1, -4 do local i = i * 2 print(i) end
local n = 0
while true do n = n + 1 if n > 5 then break end end
print(n)
repeat local x = n n = n - 1 until x < 3
print(n)
-- closures in loops get fresh variables
local fs = {}
for i = 1, 3 do fs[i] = function() i = i + 1 return i end end
print(fs[1](), fs[1](), fs[2](), fs[3]())
local k = 0
local gs = {}
while k < 3 do k = k + 1 local j = k gs[k] = function() j = j + 10 return j end end
print(gs[1](), gs[1](), gs[2](), gs[3]())
local hs = {}
repeat local z = k hs[#hs + 1] = function() return z end k = k - 1 until z == 1
print(hs[1](), hs[2](), hs[3]())
for k, v in ipairs({"a", "b", nil, "d"}) do print(k, v) end
for k, v in pairs({10, 20, 30, x = 1}) do print(k, v) end
local function counter() local c = 0 return function() c = c + 1 return c end, function() return c end end
local inc, get = counter()
inc() inc()
print(get())
-- recursion and tail calls
local function loop(n) if n == 0 then return "done" end return loop(n - 1) end
print(loop(100000))
local function fact(n) return n <= 1 and 1 or n * fact(n - 1) end
print(fact(20), fact(25))
local function ack(m, n) if m == 0 then return n + 1 elseif n == 0 then return ack(m - 1, 1) else return ack(m - 1, ack(m, n - 1)) end end
print(ack(2, 3))
-- varargs
local function va(...) local a, b = ... return a, b, select('#', ...) end
print(va()) print(va(1)) print(va(1, 2, 3))
local function old(...) return arg.n, arg[1], arg[2] end
print(old()) print(old(5)) print(old(nil, 6))
local function mixed(a, ...) return a, arg and "arg" or "none", ... end
print(mixed(1, 2, 3))
print((function(a, b, ...) return ... end)(1, 2, 3, 4))
print(pcall(function(...) return ... end, 1, 2, 3))
print(select(2, "a", "b", "c"), select(-1, "a", "b"), select('#'))
-- methods
local obj = {n = 5}
function obj:get(x) return self.n + (x or 0) end
function obj.static(x) return x end
obj.sub = {}
function obj.sub.deep() return "deep" end
function obj.sub:meth() return self == obj.sub end
print(obj:get(), obj:get(2), obj.static(3), obj.sub.deep(), obj.sub:meth(), ("x"):rep(3), #("abc"):upper())
-- metatables
local mt = {}
local function V(x) return setmetatable({x = x}, mt) end
mt.__add = function(a, b) return V((type(a) == "table" and a.x or a) + (type(b) == "table" and b.x or b)) end
mt.__sub = function(a, b) return "sub" end
mt.__mul = function(a, b) return "mul" end
mt.__div = function(a, b) return "div" end
mt.__mod = function(a, b) return "mod" end
mt.__pow = function(a, b) return "pow" end
mt.__unm = function(a) return "unm" end
mt.__len = function(a) return "len" end
mt.__concat = function(a, b) return (type(a) == "table" and "V" or tostring(a)) .. "|" .. (type(b) == "table" and "V" or tostring(b)) end
mt.__eq = function(a, b) return a.x == b.x end
mt.__lt = function(a, b) return a.x < b.x end
mt.__le = function(a, b) return a.x <= b.x end
mt.__call = function(self, ...) return self.x, ... end
mt.__tostring = function(self) return "V(" .. self.x .. ")" end
mt.__index = function(t, k) return k .. "?" end
print((V(1) + V(2)).x, (V(1) + 5).x, (5 + V(1)).x, V(1) - 1, V(1) * 1, V(1) / 1, V(1) % 1, V(1) ^ 1, -V(1), #V(1))
print(V(1) .. "a", "a" .. V(1), V(1) .. V(2), 1 .. V(1), "a" .. "b" .. V(1) .. "c")
print(V(1) == V(1), V(1) ~= V(1), V(1) == V(2), V(1) < V(2), V(1) > V(2), V(1) <= V(1), V(1) >= V(2), V(1) == 1)
print(V(9)(1, 2), tostring(V(3)), V(1).foo, V(1)[1], rawget(V(1), "foo"), rawequal(V(1), V(1)))
local le = setmetatable({}, {__lt = function(a, b) return true end})
print(pcall(function() return le <= le end))
local log = {}
local proxy = setmetatable({}, {__newindex = function(t, k, v) rawset(t, k, v) log[#log + 1] = k end})
proxy.a = 1 proxy.a = 2 proxy.b = nil proxy.b = 3
print(table.concat(log, ","), proxy.a, proxy.b)
local chain = setmetatable({}, {__index = setmetatable({x = 1}, {__index = {y = 2}})})
print(chain.x, chain.y, chain.z)
local redirect = {}
local r = setmetatable({}, {__newindex = redirect})
r.q = 5
print(rawget(r, "q"), redirect.q)
print(getmetatable("").__index.upper("x"), getmetatable({}), getmetatable(1))
-- coroutines
local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) local d, e = coroutine.yield(c * 2) return d + e end)
print(coroutine.resume(co, 1, 2)) print(coroutine.status(co)) print(coroutine.resume(co, 10)) print(coroutine.resume(co, 3, 4)) print(coroutine.status(co)) print(coroutine.resume(co))
local gen = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
print(gen(), gen(), gen(), gen())
local co2 co2 = coroutine.create(function() print(coroutine.status(co2), coroutine.resume(co2)) end)
coroutine.resume(co2)
print(coroutine.resume(coroutine.create(function() error("x") end)))
print(coroutine.resume(coroutine.create(function() error({}) end)) == false)
local outer outer = coroutine.create(function() local inner = coroutine.create(function() return coroutine.status(outer) end) print(coroutine.resume(inner)) end)
coroutine.resume(outer)
print(coroutine.running())
print(coroutine.resume(coroutine.create(function(...) return select('#', ...), ... end), nil, nil))
print(coroutine.wrap(function() return pcall(coroutine.yield, 1) end)())
local yielder = coroutine.wrap(function() local t = setmetatable({}, {__index = function() coroutine.yield(1) end}) return t.x end)
print(pcall(yielder))
local cw = coroutine.wrap(function() local x = 5 local f = function() return x end coroutine.yield(f) x = 6 return f end)
local f1 = cw() print(f1()) local f2 = cw() print(f1(), f2())
do -- producer and filter
  local function producer() return coroutine.create(function() for _, w in ipairs {"a", "b", "c"} do coroutine.yield(w) end return nil end) end
  local p = producer()
  local function filter() return coroutine.wrap(function() while true do local _, v = coroutine.resume(p) if not v then return end coroutine.yield(v .. v) end end) end
  for v in filter() do print(v) end
end
print(select("#", coroutine.resume(coroutine.create(function() coroutine.yield() end))))
-- environments
local env = {print = print}
local g = loadstring("x = 5 print(x) return y")
setfenv(g, env)
print(g(), env.x, x)
print(getfenv(1) == _G, getfenv(0) == _G, getfenv(print) == _G, getfenv(g) == env)
local function h() return zz end
setfenv(h, setmetatable({}, {__index = function(_, k) return "global " .. k end}))
print(h());
(function() setfenv(1, {print = print}) print(tostring) end)()
print(pcall(function() local e = {} setfenv(2, getfenv(2)) end))
local inherited = setfenv(loadstring("return function() return marker end"), {marker = "m"})
print(inherited()())
-- load
local parts = {"return ", "1 + ", "2", nil}
local pi = 0
print(load(function() pi = pi + 1 return parts[pi] end)())
print(loadstring("return ...")(1, 2))
print(loadstring("syntax error here"))
print(loadstring("local a <= 1", "=name"))
-- misc
print(type(print), type(nil), type({}), type("x"), type(2), type(true), type(coroutine.create(function() end)), type(newproxy()))
print(tonumber("10"), tonumber("10", 2), tonumber("ff", 16), tonumber("FF", 16), tonumber("zz", 36), tonumber("8", 8), tonumber("7", 8), tonumber("0x"), tonumber(""), tonumber(" "), tonumber("1 2"), tonumber("1e"), tonumber("1e5"), tonumber(".5"), tonumber("5."), tonumber("-0x10"), tonumber("- 1"), tonumber("1_000"), tonumber(nil))
print(tonumber("inf"), tonumber("nan") ~= tonumber("nan"), tonumber("0x1p4"), tonumber("0x.8"), tonumber("1e400"), tonumber("-1e400"), tonumber("1e-400"), tonumber({}), tonumber(true), tonumber("-ff", 16), tonumber("18446744073709551616", 10), tonumber("99999999999999999999", 16), tonumber("0x1F", 16), tonumber("1.5", 16))
print(tostring(1e15), tostring(-1e15), tostring(1e14), tostring(0.1 + 0.2), tostring(1e-10), tostring(123456.789e3), 3.14159265358979, 1e21, 12345678901234567890)
print(unpack({1, 2, 3}, 2)) print(unpack({1, 2, 3}, 2, 3)) print(unpack({}, 1, 3)) print(unpack({1, 2}, -1, 1)) print((unpack({1, 2})))
print(next({})) print(next({5})) print(next({5}, 1)) print(rawlen)
print(_VERSION, _G._G == _G, _G.print == print)
local s = 0 for i, v in next, {1, 2, 3} do s = s + v end print(s)
print(pcall(next, {}, {}))
local weak = setmetatable({}, {__mode = "k"}) weak[{}] = 1 print(getmetatable(weak).__mode)
local up1, up2 = 1, 2
local function set() up1, up2 = up2, up1 end set() print(up1, up2)
