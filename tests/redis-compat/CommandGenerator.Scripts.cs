// Small scripts: commands through redis.call and redis.pcall, and the libraries on words that the other families use too.

namespace Leither.RedisCompat;

public sealed partial class CommandGenerator
{
    private static readonly string[] Computations =
    [
        "return {#ARGV, ARGV[1] .. ARGV[2], #ARGV[3], ARGV[1]:upper(), ARGV[2]:reverse(), ARGV[3]:sub(2, -2)}",
        "return {tostring(tonumber(ARGV[1])), tostring(ARGV[1] < ARGV[2]), tostring(ARGV[2] == ARGV[3])}",
        "table.sort(ARGV) return ARGV",
        "return cjson.encode(ARGV)",
        "return cjson.encode({[ARGV[1]] = ARGV[2]})",
        "return cjson.decode(ARGV[1])",
        "return cmsgpack.pack(ARGV, tonumber(ARGV[1]))",
        "return cmsgpack.unpack(cmsgpack.pack(ARGV))",
        "return {struct.unpack('>i4s', struct.pack('>i4s', #ARGV[1], ARGV[2]))}",
        "return redis.sha1hex(ARGV[1])",
        "return string.format('%q %5.3s %-6s|', ARGV[1], ARGV[2], ARGV[3])",
        "return string.format('%d %x %5.2f %g', tonumber(ARGV[1]) or 1, #ARGV[2], (tonumber(ARGV[2]) or 2) % 1000, tonumber(ARGV[3]) or 3)",
        "return {ARGV[1]:find(ARGV[2], 1, true)}",
        "return {pcall(string.find, ARGV[1], ARGV[2])}",
        "return (ARGV[1]:gsub('%w', {a = 'b', b = false}))",
        "local r = {} for w in (ARGV[1] .. ' ' .. ARGV[2]):gmatch('%S+') do r[#r + 1] = w end return r",
        "local t = {} for i, v in ipairs(ARGV) do t[v] = i end local r = {} for k, v in pairs(t) do r[#r + 1] = k r[#r + 1] = v end return r",
        "return ARGV[1] + ARGV[2]",
        "return ARGV[4].x",
        "return {err = ARGV[1]}",
        "return {ok = ARGV[1]}",
        "local t = {} for i = 1, 20 do t[i] = i * #ARGV[1] % 7 end return {unpack(t, 3, 12)}",
        "return {bit.band(#ARGV[1], 3), bit.bxor(#ARGV[2], 5), bit.lshift(#ARGV[3], 4)}",
    ];

    private string[] Script()
    {
        if (random.Next(2) == 0)
        {
            return [random.Next(5) == 0 ? "EVAL_RO" : "EVAL", Computations[random.Next(Computations.Length)], "0", Value(), Value(), Value()];
        }

        string[] command = random.Next(3) switch
        {
            0 => String(),
            1 => List(),
            _ => Bit(),
        };
        return
        [
            random.Next(8) == 0 ? "EVAL_RO" : "EVAL",
            Pick("return redis.call(unpack(ARGV))", "return redis.pcall(unpack(ARGV))", "local r = redis.pcall(unpack(ARGV)) return type(r) == 'table' and (r.err or #r) or r"),
            "0", .. command,
        ];
    }
}
