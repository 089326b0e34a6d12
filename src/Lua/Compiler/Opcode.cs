using System.Runtime.CompilerServices;

namespace Leither.Lua;

/// <summary>
/// The register machine's instructions, in 64 bits: operation 8, A 8, B 24, C 24 (or B and C together as one signed number). R is a register
/// of the running function; RK is a register or, with <see cref="Instruction.ConstantBit"/>, a constant.
/// </summary>
internal enum Opcode : byte
{
    Move,       // R(A) = R(B)
    LoadK,      // R(A) = K(Bx)
    LoadBool,   // R(A) = B != 0; if C: skip the next
    LoadNil,    // R(A..B) = nil
    GetUpvalue, // R(A) = U(B)
    GetGlobal,  // R(A) = G[K(Bx)]
    GetTable,   // R(A) = R(B)[RK(C)]
    SetGlobal,  // G[K(Bx)] = R(A)
    SetUpvalue, // U(B) = R(A)
    SetTable,   // R(A)[RK(B)] = RK(C)
    NewTable,   // R(A) = {}, room for B and C
    Self,       // R(A+1) = R(B); R(A) = R(B)[RK(C)]
    Add,        // R(A) = RK(B) + RK(C), and so on
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Unm,        // R(A) = -R(B)
    Not,
    Len,
    Concat,     // R(A) = R(B) .. … .. R(C)
    Jump,       // pc += Bx
    Eq,         // if (RK(B) == RK(C)) != A: skip the next
    Lt,
    Le,
    Test,       // if R(A) is not C: skip the next
    TestSet,    // if R(B) is C: R(A) = R(B), else skip the next
    Call,       // R(A…A+C-2) = R(A)(R(A+1…A+B-1)); B or C 0: up to the top
    TailCall,
    Return,     // return R(A…A+B-2)
    ForLoop,    // R(A) += R(A+2); if in range: pc += Bx, R(A+3) = R(A)
    ForPrep,    // R(A) -= R(A+2); pc += Bx
    TForLoop,   // R(A+3…A+2+C) = R(A)(R(A+1), R(A+2)); if R(A+3) is nil: skip the next, else R(A+2) = R(A+3)
    SetList,    // R(A)[C + i] = R(A+i), 1 <= i <= B
    Close,      // close variables from R(A) up
    Closure,    // R(A) = closure of child Bx; pseudo instructions that name its upvalues follow
    Vararg,     // R(A…A+B-2) = …
}

/// <summary>Packs and unpacks instructions.</summary>
internal static class Instruction
{
    /// <summary>In B or C: a constant's number, no register's.</summary>
    public const int ConstantBit = 1 << 23;
    public const int MaxConstant = ConstantBit - 1;
    private const ulong Field = 0xFFFFFF;

    public static ulong Abc(Opcode op, int a, int b, int c) => (ulong)op | ((ulong)(uint)a << 8) | (((ulong)(uint)b & Field) << 16) | ((ulong)(uint)c << 40);

    public static ulong Abx(Opcode op, int a, int bx) => (ulong)op | ((ulong)(uint)a << 8) | ((ulong)(long)bx << 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Opcode Op(ulong i) => (Opcode)(byte)i;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int A(ulong i) => (byte)(i >> 8);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int B(ulong i) => (int)((uint)(i >> 16) & 0xFFFFFF);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int C(ulong i) => (int)(uint)(i >> 40);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Bx(ulong i) => (int)((long)i >> 16);

    public static ulong WithA(ulong i, int a) => (i & ~0xFF00UL) | ((ulong)(uint)a << 8);

    public static ulong WithB(ulong i, int b) => (i & ~(Field << 16)) | (((ulong)(uint)b & Field) << 16);

    public static ulong WithC(ulong i, int c) => (i & ~(Field << 40)) | ((ulong)(uint)c << 40);

    public static ulong WithBx(ulong i, int bx) => (i & 0xFFFF) | ((ulong)(long)bx << 16);

    public static bool IsConstant(int rk) => (rk & ConstantBit) != 0;

    /// <summary>Whether a jump follows that belongs to it.</summary>
    public static bool IsTest(Opcode op) => op is Opcode.Eq or Opcode.Lt or Opcode.Le or Opcode.Test or Opcode.TestSet or Opcode.TForLoop;
}
