using System.Numerics;

namespace Leither.Lua;

/// <summary>bit.*: operations on 32-bit integers, as BitOp defines them.</summary>
internal static class BitLibrary
{
    public static void Open(LuaState state)
    {
        LuaTable library = state.NewTable();
        state.Globals.Set(LuaState.Name("bit"), library);
        state.Register(library, "tobit", t => Return(t, Bits(t, 1)));
        state.Register(library, "bnot", t => Return(t, ~Bits(t, 1)));
        Fold("band", (a, b) => a & b);
        Fold("bor", (a, b) => a | b);
        Fold("bxor", (a, b) => a ^ b);
        Shift("lshift", (b, n) => b << n);
        Shift("rshift", (b, n) => b >> n);
        Shift("arshift", (b, n) => (uint)((int)b >> n));
        Shift("rol", BitOperations.RotateLeft);
        Shift("ror", BitOperations.RotateRight);
        state.Register(library, "bswap", t => Return(t, System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(Bits(t, 1))));
        state.Register(library, "tohex", ToHex);

        void Fold(string name, Func<uint, uint, uint> operation) => state.Register(library, name, t =>
        {
            uint b = Bits(t, 1);
            for (int i = t.ArgCount; i > 1; i--)
            {
                b = operation(b, Bits(t, i));
            }

            return Return(t, b);
        });

        void Shift(string name, Func<uint, int, uint> operation) =>
            state.Register(library, name, t => Return(t, operation(Bits(t, 1), (int)(Bits(t, 2) & 31))));
    }

    private static int Return(LuaThread t, uint bits) => t.Return((double)(int)bits);

    /// <summary>A number's low 32 bits, rounded to an integer: adding 2^52 + 2^51 moves them to the end of the mantissa.</summary>
    private static uint Bits(LuaThread t, int index)
    {
        double value = t[index].TryToNumber(out double number) ? number : throw t.TypeError(index, "number");
        return (uint)BitConverter.DoubleToUInt64Bits(value + 6755399441055744.0);
    }

    private static int ToHex(LuaThread t)
    {
        uint bits = Bits(t, 1);
        int count = t.ArgCount < 2 ? 8 : (int)Bits(t, 2);
        bool upper = count < 0;
        count = count == int.MinValue ? 8 : Math.Min(Math.Abs(count), 8);
        Span<byte> digits = stackalloc byte[8];
        for (int i = count - 1; i >= 0; i--)
        {
            digits[i] = (upper ? "0123456789ABCDEF"u8 : "0123456789abcdef"u8)[(int)(bits & 15)];
            bits >>= 4;
        }

        return t.ReturnString(digits[..count]);
    }
}
