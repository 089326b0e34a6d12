-- Strings: patterns, format, and the rest of the library.
local function q(s) return type(s) == "string" and (s:gsub("[%c\128-\255]", function(c) return ("\\%d"):format(c:byte()) end)) or s end
print(("hello"):sub(2, 3), ("hello"):sub(-3), ("hello"):sub(2), ("hello"):sub(-100, 2), ("hello"):sub(3, 2), ("hello"):sub(0), ("hello"):sub(10), ("hello"):sub(-2, -1), ("hello"):sub(2.7, 3.2))
print(("abc"):byte(), ("abc"):byte(2), ("abc"):byte(1, -1), ("abc"):byte(10), (""):byte(), ("abc"):byte(0), ("abc"):byte(-1))
print(string.char(), string.char(72, 105), #string.char(0, 255), ("x"):rep(0), ("x"):rep(5), ("ab"):rep(3), (""):rep(1e8), ("x"):rep(-1), ("x"):rep(2.9))
print(("Hello World"):upper(), ("Hello World"):lower(), ("hello"):reverse(), (""):reverse(), ("abc"):len(), #"\0\0")
print(("hello world"):find("wor"), ("hello world"):find("l"), ("hello world"):find("l", 5), ("hello"):find("xyz"), ("hello"):find(""), ("hello"):find("", 10), ("hello"):find("", 6), ("a.b"):find(".", 1, true), ("a.b"):find("%."), ("a+b"):find("+", 1, true), ("hello"):find("l", -2), ("hello"):find("h", -100))
print(("hello"):find("(l)(l)"), ("hello"):find("()ll()"), ("key = value"):match("(%w+)%s*=%s*(%w+)"), ("2024-01-15"):match("(%d+)-(%d+)-(%d+)"), ("abc"):match(".-"), ("abc"):match("a*"), ("aaa"):match("a-b"), ("  trim  "):match("^%s*(.-)%s*$"), ("x"):match("()"), ("abc"):match("^b"), ("abc"):match("b", 2), ("abc"):match("^b", 2))
print(("f(a(b)c)d"):match("%b()"), ("THE (quick) fox"):find("%((%a+)%)"), ("THE (quick) fox"):gsub("%f[%a]%a+", "W"), ("hello world from lua"):gsub("(%w+) (%w+)", "%2 %1"), ("abc"):gsub("", "-"), ("abc"):gsub(".", {a = 1, b = false}), ("abc"):gsub("%w", "%0%0"), ("abc"):gsub("%w", "%%"), ("hello"):gsub("l", "L", 1), ("hello"):gsub("l", "L", 0), ("abc"):gsub("(a)(b)(c)", "%3%2%1"))
print(("one two  three"):gsub("%s+", "_"), ("x = 1"):gsub("%s", ""), ("$name is $age"):gsub("%$(%w+)", {name = "Bob", age = 42}), ("abc"):gsub("b", function(c) return nil end), ("abc"):gsub("b", function(c) return false end), ("abc"):gsub("(b)()", function(c, p) return c .. p end), ("abc abc"):gsub("^abc", "X"), ("abc"):gsub("$", "!"), ("a,b,,c"):gsub(",", ";"), ("abc"):gsub("x*", "-"))
for w in ("one two three"):gmatch("%a+") do io.write(w, ";") end print()
for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do io.write(k, "->", v, ";") end print()
for p in ("abc"):gmatch("()") do io.write(p, ";") end print()
for w in ("aXbXc"):gmatch("^a") do io.write(w, ";") end print()
for c in ("%a%"):gmatch(".") do io.write(c, ";") end print()
for _, cls in ipairs {"a", "c", "d", "l", "p", "s", "u", "w", "x", "z", "A", "C", "D", "L", "P", "S", "U", "W", "X", "Z"} do
  local n, sum = 0, 0 for i = 0, 255 do if string.char(i):find("%" .. cls) then n = n + 1 sum = sum + i end end io.write(cls, ":", n, ":", sum, " ")
end print()
for _, pat in ipairs {"[a-c]", "[^a-c]", "[%d%s]", "[^%d%s]", "[a%-z]", "[a-]", "[-a]", "[]]", "[^]]", "[]a]", "[%]]", "[a%]b]", "[%a_][%w_]*", "[+-]?%d+", "%d+%.?%d*", "[^,]*", "^$", "%%", "[[]", "[a-%d]", "[%a-z]", ".-%.", "a?b?c?", "(a*(.)%w(%s*))", "(()a)", "((a)(b))", "[\1-\31]", "%s-x", ".*x", ".+", "(.)%1", "(a)(b)%2%1", "x$", "x$y", "^^", "$$"} do
  io.write(pat, " => ") for _, s in ipairs {"", "abc", "a-z]", "12 3.5x", "aa bb", "[x]", "foo,bar", "abba", "x$y", "^$"} do
    local ok, a, b, c, d, e = pcall(string.find, s, pat) io.write(tostring(ok), ",", q(tostring(a)), ",", q(tostring(b)), ",", q(tostring(c)), ",", q(tostring(d)), ",", q(tostring(e)), " | ") end print()
end
for _, f in ipairs {"%d", "%5d", "%-5d|", "%05d", "%+d", "% d", "%.3d", "%5.3d", "%i", "%u", "%x", "%X", "%#x", "%o", "%#o", "%e", "%E", "%.2e", "%f", "%.0f", "%#.0f", "%10.3f", "%-10.3f|", "%+.1f", "%010.2f", "%g", "%G", "%.3g", "%#g", "%.14g", "%.17g", "%c", "%s", "%10s", "%-10s|", "%.2s", "%5.1s", "%q"} do
  io.write(f, ": ") for _, v in ipairs {0, 1, -1, 42, 65, 3.7, -3.7, 1e10, 255} do local ok, r = pcall(string.format, f, v) io.write(q(tostring(r)), " ") end print()
end
for _, f in ipairs {"%e", "%f", "%g", "%.14g", "%.3f", "%.0e", "%.17g", "%5.1f", "%.20f", "%.99g", "%G", "%E", "%+g", "%05g", "%#.3g", "%.1g"} do
  io.write(f, ": ") for _, v in ipairs {0.5, 1.5, 2.5, 0.1, 1/3, 1e100, 1e-100, 123456789, 0.00001234, 1/0, -1/0, 0/0 ~= 0/0 and 1e15, -0.0, 9.995, 1e22, 5e-324, 1.7976931348623157e308, 99999.95, 999999.5} do io.write(string.format(f, v), " ") end print()
end
print(string.format("%d %d %d", 2^31, -2^31, 2^53), string.format("%x %X %o", 2^32, 2^40 + 255, 8), string.format("%u", 2^63), string.format("%d", 1e30) , string.format("%s %s %s", 1, "a", 1.5))
print(string.format("%q", 'a "quoted" \\ string\nwith\r\0stuff\9'), string.format("%s", ("x"):rep(200)):len(), string.format("%10s", ("x"):rep(200)):len(), string.format("%.5s", "abcdefgh"), string.format("%-5s|%5s|", "ab", "cd"), q(string.format("%s", "a\0b")), q(string.format("%c%c", 0, 65)), #string.format("%5c|", 0))
