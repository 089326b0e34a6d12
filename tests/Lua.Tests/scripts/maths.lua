print(math.abs(-5), math.ceil(1.2), math.floor(-1.2), math.sqrt(16), math.pi, math.huge, -math.huge, math.exp(1), math.log(10), math.log10(1000), math.pow(2, 8))
print(math.fmod(7, 3), math.fmod(-7, 3), math.mod(7, 3), math.modf(3.7), math.modf(-3.7), math.modf(5), math.modf(1/0), math.frexp(8), math.frexp(0.1), math.frexp(0), math.frexp(-3), math.ldexp(0.5, 4), math.ldexp(1, -1074))
print(math.max(1, 5, 3), math.min(1, 5, 3), math.max(-1), math.min("3", 2), math.deg(math.pi), math.rad(180), math.sin(1), math.cos(1), math.tan(1), math.asin(1), math.acos(0), math.atan(1), math.atan2(1, -1), math.sinh(1), math.cosh(1), math.tanh(1))
print(math.ceil(-0.5), math.floor(0.5), math.floor(2^52 + 0.5), math.ceil(1e300), math.sqrt(2), math.exp(0.5), math.log(0), math.log(2))
for _, v in ipairs {0, 1, -1, 0.5, 1e10, -1e10, 123.456, 1e-7} do print(v, math.floor(v), math.ceil(v), math.sin(v), math.cos(v), math.exp(math.min(v, 50)), v % 3, v % -3, v ^ 2, v ^ 0.5 ~= v ^ 0.5 or v ^ 0.5) end
print(0.1 + 0.2, 1e308 * 10, 2 ^ 1023 * 2, 5 / 3, -5 / 3, 1e15 + 0.5, 123456789 * 987654321, 0.1 * 3, 1 - 0.9, 1e16 + 1)
for i = -20, 20, 5 do print(10 ^ i, 1.5 * 10 ^ i, 123456789.123 * 10 ^ i) end
