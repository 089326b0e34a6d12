-- What does not compile, and how it is told.
local function show(f, m) print(f and "compiles" or m) end
local function s(text) show(loadstring(text, "=s")) end
for _, text in ipairs {
  "x", "x =", "= 1", "1", "local", "local 1", "local x =", "local function", "local function 1()", "function", "function f", "function f(",
  "function f()", "function f(a,)", "function f(..., a) end", "function f(1) end", "function f.1() end", "function f:g.h() end", "function f:g() end return",
  "if", "if x", "if x then", "if x then else", "if x then elseif", "if x then else elseif y then end", "while", "while x do", "while x", "do", "do end end",
  "for", "for x", "for x =", "for x = 1", "for x = 1,", "for x = 1, 2", "for x = 1, 2 do", "for x in", "for x, in y do end", "for 1 = 1, 2 do end", "for x.y = 1, 2 do end",
  "repeat", "repeat until", "return return", "return 1 2", "break", "break x", "do break end", "while true do break end", "while true do break local x end",
  "x = }", "x = {", "x = {1, 2", "x = {1 2}", "x = {a = }", "x = {[1]}", "x = {[1] = 2", "x = (1", "x = 1 +", "x = + 1", "x = 1 ..", "x = not", "x = -", "x = #",
  "x = 'abc", 'x = "abc', "x = 'abc\ndef'", "x = [[abc", "x = [==[abc]]", "x = [=abc", "--[[ abc", "--[==[ abc ]]", "x = [[a [[b]] c]]", "x = '\\300'", "x = '\\65\\066\\z'",
  "x = 1e", "x = 1e+", "x = 0x", "x = 0xg", "x = 1..2", "x = 1.2.3", "x = 3x", "x = 0x1p4", "x = 08", "x = .5", "x = 5.", "x = .", "x = ..", "x = ...",
  "function f() return ... end", "x = function(...) return ... end", "f(", "f(1", "f(1,", "f(1,)", "f 'x' 'y'", "f{}{}", "f\n(1)", "x.y", "x:y", "x:y()", "x.1", "x[1", "x[]", "x[1] =", "x, y", "x, y =", "x, y = 1",
  "x() = 1", "(x) = 1", "(x)", "(x).y = 1", "x, f() = 1, 2", "a.b:c = 1", "local x.y = 1", "local x, 1", "goto x", "::x::", "x = a ? b", "x = a != b", "x = a == ", "x ~= 1", "x == 1", "x = ~1", "x = a & b", "x = 1 // 2",
  "@", "$", "x = @", "\1", "x = \127", "x = 'a\\\nb'", "x = 'a\\", "x = \"\\", "and", "x = and", "nil = 1", "true = 1", "end", "until x", "else", "return;", "return;;", ";", "x = 1;;", "do return end", "do return 1, end",
  "local x <const> = 1", "for i = 1, 2, 3, 4 do end", "x = {f = function() end, g = function( end}", "x = function() end end", "\239\187\191x = 1", "#!shebang\nx = 1", "x = 1 --", "x = 1 -- comment", "--[[]]x = 1", "--[=[ ]] ]=] x = 1",
} do s(text) end
s("local " .. ("a,"):rep(200) .. "a")
s("local a = " .. ("("):rep(250) .. "1" .. (")"):rep(250))
s("local a = " .. ("{"):rep(250) .. ("}"):rep(250))
s("local a = " .. ("-"):rep(50) .. "1")
s("local a = " .. ("not "):rep(250) .. "1")
s(("do "):rep(250) .. ("end "):rep(250))
s(("if x then "):rep(150) .. ("end "):rep(150))
s("return " .. ("a.."):rep(250) .. "a")
s("return " .. ("a+"):rep(1000) .. "a")
s(("a,"):rep(250) .. "a = 1")
s("local f = " .. ("function() return "):rep(100) .. "1" .. (" end"):rep(100))
s("return f(" .. ("a,"):rep(300) .. "a)")
s("return {" .. ("1,"):rep(1000) .. "1}")
local many = {}
for i = 1, 70 do many[i] = "local v" .. i end
s(table.concat(many, " ") .. " return function() return " .. (function() local r = {} for i = 1, 70 do r[i] = "v" .. i end return table.concat(r, "+") end)() .. " end")

show(loadstring("x x", "@" .. ("d/"):rep(50) .. "f.lua"))
show(loadstring("x x", "=" .. ("d"):rep(100)))
show(loadstring("x x"))
show(loadstring("x x\ny y"))
show(loadstring("\n\n\nx x\ny y"))
show(loadstring(("y"):rep(100) .. " x"))
