using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Leither.MmDb.Values;

/// <summary>
/// HyperLogLog: estimates how many different elements were seen, in at most 12 KiB. It lives in a string whose bytes are those of
/// Redis, so that GET, SET, DUMP and a copy between servers carry it: everything here works on such bytes in place.
/// </summary>
/// <remarks>
/// <code>
/// "HYLL"  encoding (0 dense, 1 sparse)  3 unused bytes  cached estimate (8 bytes, little-endian; top bit: not valid)  registers
///
/// dense   16384 registers of 6 bits, the first in the low bits of the first byte
/// sparse  runs:  00llllll           l+1 registers of 0
///                01llllll llllllll  l+1 registers of 0
///                1vvvvvll           l+1 registers of v+1
/// </code>
/// <para>The hash is MurmurHash64A; its low 14 bits choose the register, the others' trailing zeros, plus 1, are what it keeps the largest of.
/// The estimate is Ertl's ("New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284).</para>
/// <para>Users may SET anything, so no run is trusted: lengths are summed before they are used, and what does not come to 16384 registers is
/// corrupt. The order in which runs are split and merged is part of the format, since it decides the bytes.</para>
/// </remarks>
internal static unsafe class HyperLogLog
{
    /// <summary>Number of registers.</summary>
    public const int Registers = 1 << IndexBits;

    /// <summary>Bytes before the registers.</summary>
    public const int HeaderBytes = 16;

    /// <summary>Length of a dense one.</summary>
    public const int DenseBytes = HeaderBytes + (Registers * RegisterBits / 8);

    /// <summary>Length of an empty sparse one: a single run.</summary>
    public const int EmptyBytes = HeaderBytes + 2;

    private const int IndexBits = 14, RegisterBits = 6, RegisterMask = (1 << RegisterBits) - 1, HashBits = 64 - IndexBits;
    private const int EncodingAt = 4, EstimateAt = 8;
    private const byte Dense = 0, Sparse = 1;
    private const int LongestShortZeros = 64, LongestValues = 4, LargestSparseValue = 32;

    /// <summary>Registers in a group of six bytes.</summary>
    private const int Group = 8;

    // ------------------------------------------------------------------ header

    /// <summary>Whether a string looks like one: its header and, for a dense one, its length. The runs of a sparse one are not checked.</summary>
    public static bool IsValid(byte* bytes, long length) =>
        length >= HeaderBytes && Unsafe.ReadUnaligned<uint>(bytes) == 0x4C4C5948 && bytes[EncodingAt] <= Sparse
        && (bytes[EncodingAt] == Sparse || length == DenseBytes);

    /// <summary>Whether it is sparse.</summary>
    public static bool IsSparse(byte* bytes) => bytes[EncodingAt] == Sparse;

    /// <summary>Writes an empty one, <see cref="EmptyBytes"/> long.</summary>
    public static void WriteEmpty(byte* bytes)
    {
        WriteHeader(bytes, Sparse, 0);
        PutZeros(bytes + HeaderBytes, Registers);
    }

    /// <summary>The estimate that was kept, unless registers have changed since.</summary>
    public static bool TryCached(byte* bytes, out ulong estimate)
    {
        estimate = Unsafe.ReadUnaligned<ulong>(bytes + EstimateAt);
        return estimate >> 63 == 0;
    }

    /// <summary>Keeps an estimate.</summary>
    public static void SetCached(byte* bytes, ulong estimate) => Unsafe.WriteUnaligned(bytes + EstimateAt, estimate);

    /// <summary>The estimate that is kept is no longer valid.</summary>
    public static void Invalidate(byte* bytes) => bytes[EstimateAt + 7] |= 0x80;

    private static void WriteHeader(byte* bytes, byte encoding, ulong estimate)
    {
        "HYLL"u8.CopyTo(new Span<byte>(bytes, 4));
        Unsafe.WriteUnaligned(bytes + EncodingAt, (uint)encoding);
        SetCached(bytes, estimate);
    }

    // ------------------------------------------------------------------ hash

    /// <summary>What an element says: which register, and the number that it must hold at least.</summary>
    public static int Observe(byte* element, int length, out int register)
    {
        ulong hash = Hash(element, length);
        register = (int)(hash & (Registers - 1));
        return BitOperations.TrailingZeroCount((hash >> IndexBits) | (1UL << HashBits)) + 1;
    }

    /// <summary>MurmurHash64A with Redis's seed.</summary>
    private static ulong Hash(byte* data, int length)
    {
        const ulong m = 0xC6A4A7935BD1E995;
        ulong hash = 0xADC83B19UL ^ ((ulong)length * m);
        byte* end = data + (length & ~7);
        for (; data < end; data += 8)
        {
            ulong word = Unsafe.ReadUnaligned<ulong>(data) * m;
            hash = (hash ^ ((word ^ (word >> 47)) * m)) * m;
        }

        int rest = length & 7;
        if (rest != 0)
        {
            ulong tail = 0;
            for (int i = 0; i < rest; i++)
            {
                tail |= (ulong)data[i] << (8 * i);
            }

            hash = (hash ^ tail) * m;
        }

        hash = (hash ^ (hash >> 47)) * m;
        return hash ^ (hash >> 47);
    }

    // ------------------------------------------------------------------ dense

    /// <summary>A register of a dense one.</summary>
    public static int DenseGet(byte* bytes, int register)
    {
        int bit = register * RegisterBits, shift = bit & 7;
        byte* p = bytes + HeaderBytes + (bit >> 3);
        int value = *p >> shift;
        return (shift <= 2 ? value : value | (p[1] << (8 - shift))) & RegisterMask;
    }

    /// <summary>Raises a register of a dense one; false if it holds as much already.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool DenseRaise(byte* bytes, int register, int value)
    {
        if (DenseGet(bytes, register) >= value)
        {
            return false;
        }

        DenseSet(bytes, register, value);
        return true;
    }

    private static void DenseSet(byte* bytes, int register, int value)
    {
        int bit = register * RegisterBits, shift = bit & 7;
        byte* p = bytes + HeaderBytes + (bit >> 3);
        *p = (byte)((*p & ~(RegisterMask << shift)) | (value << shift));
        if (shift > 2)
        {
            p[1] = (byte)((p[1] & ~(RegisterMask >> (8 - shift))) | (value >> (8 - shift)));
        }
    }

    /// <summary>Writes a dense one, <see cref="DenseBytes"/> long, with what a sparse one holds. False, and nothing of use written, if that is corrupt.</summary>
    public static bool TryDensify(byte* sparse, long length, byte* dense)
    {
        Unsafe.InitBlockUnaligned(dense, 0, DenseBytes);
        WriteHeader(dense, Dense, Unsafe.ReadUnaligned<ulong>(sparse + EstimateAt));
        // The three bytes that mean nothing are the user's own.
        Unsafe.CopyBlockUnaligned(dense + EncodingAt + 1, sparse + EncodingAt + 1, 3);
        var runs = new Runs(sparse, length);
        while (runs.MoveNext())
        {
            if (runs.Value == 0)
            {
                continue;
            }

            if (runs.First + runs.Length > Registers)
            {
                return false;
            }

            for (int i = 0; i < runs.Length; i++)
            {
                DenseSet(dense, (int)runs.First + i, runs.Value);
            }
        }

        return runs.End == Registers;
    }

    /// <summary>Eight registers, a byte each.</summary>
    private static ulong Unpack(byte* group, bool isLast)
    {
        // The last group has no two bytes behind it.
        ulong packed = isLast ? Unsafe.ReadUnaligned<uint>(group) | ((ulong)Unsafe.ReadUnaligned<ushort>(group + 4) << 32) : Unsafe.ReadUnaligned<ulong>(group);
        const ulong mask = 0x3F3F3F3F3F3F3F3F;
        if (Bmi2.X64.IsSupported)
        {
            return Bmi2.X64.ParallelBitDeposit(packed, mask);
        }

        ulong registers = 0;
        for (int i = 0; i < Group; i++)
        {
            registers |= ((packed >> (i * RegisterBits)) & RegisterMask) << (8 * i);
        }

        return registers;
    }

    // ------------------------------------------------------------------ sparse

    /// <summary>How a sparse one is to be changed for one register: a few bytes in the place of a run.</summary>
    public struct SparseChange
    {
        internal int At, Previous, Replaced, Size;
        internal ulong Bytes;

        /// <summary>Bytes that it gets longer by.</summary>
        public readonly int Growth => Size - Replaced;
    }

    /// <summary>What <see cref="SparsePlan"/> found.</summary>
    public enum Plan
    {
        /// <summary>The runs make no sense.</summary>
        Corrupt,
        /// <summary>The register holds as much already.</summary>
        Unchanged,
        /// <summary>There is something to change.</summary>
        Change,
        /// <summary>Sparse runs cannot hold such a number.</summary>
        NeedsDense,
    }

    /// <summary>Finds out what raising a register of a sparse one takes. Nothing changes yet: it may have to move first, to have room.</summary>
    public static Plan SparsePlan(byte* bytes, int length, int register, int value, out SparseChange change)
    {
        change = default;
        if (value > LargestSparseValue)
        {
            return Plan.NeedsDense;
        }

        int at = FindRun(bytes, length, register, out int first, out int previous);
        if (at < 0)
        {
            return Plan.Corrupt;
        }

        int run = bytes[at], held = 0, size = 1, count;
        if (run >= 0x80)
        {
            held = ((run >> 2) & 31) + 1;
            count = (run & 3) + 1;
            if (held >= value)
            {
                return Plan.Unchanged;
            }
        }
        else if (run < 0x40)
        {
            count = run + 1;
        }
        else if (at + 1 < length)
        {
            count = (((run & 0x3F) << 8) | bytes[at + 1]) + 1;
            size = 2;
        }
        else
        {
            return Plan.Corrupt;
        }

        byte* runs = stackalloc byte[8];
        byte* p = PutRun(runs, held, register - first);
        p = PutRun(p, value, 1);
        p = PutRun(p, held, first + count - 1 - register);
        change = new SparseChange { At = at, Previous = previous, Replaced = size, Size = (int)(p - runs), Bytes = Unsafe.ReadUnaligned<ulong>(runs) };
        return Plan.Change;
    }

    /// <summary>Makes a planned change; the string has the room for its growth. Returns the new length, which may be less: neighbours may merge.</summary>
    public static int SparseApply(byte* bytes, int length, in SparseChange change)
    {
        byte* at = bytes + change.At;
        byte* rest = at + change.Replaced;
        Buffer.MemoryCopy(rest, at + change.Size, bytes + length - rest, bytes + length - rest);
        ulong runs = change.Bytes;
        Unsafe.CopyBlockUnaligned(at, &runs, (uint)change.Size);
        length += change.Growth;

        // Runs of one value that stand side by side become one, as far as the five runs from the one before reach.
        byte* p = bytes + (change.Previous >= 0 ? change.Previous : HeaderBytes), end = bytes + length;
        for (int looked = 0; p < end && looked < 5; looked++)
        {
            if (*p < 0x80)
            {
                p += *p < 0x40 ? 1 : 2;
                continue;
            }

            int values = (*p & 3) + 1;
            if (p + 1 < end && p[1] >= 0x80 && ((p[0] ^ p[1]) & 0x7C) == 0 && values + (p[1] & 3) + 1 <= LongestValues)
            {
                p[1] = (byte)(p[1] + values);
                end--;
                Buffer.MemoryCopy(p + 1, p, end - p, end - p);
                continue;
            }

            p++;
        }

        Invalidate(bytes);
        return (int)(end - bytes);
    }

    /// <summary>The offset of the run that covers a register, or -1: the runs end before it.</summary>
    private static int FindRun(byte* bytes, int length, int register, out int first, out int previous)
    {
        byte* p = bytes + HeaderBytes, end = bytes + length;
        first = 0;
        byte* before = null;
        while (p < end)
        {
            // Eight runs of one byte at once: their lengths are added up side by side.
            if (end - p >= 8)
            {
                ulong word = Unsafe.ReadUnaligned<ulong>(p);
                ulong isValue = (word >> 7) & 0x0101010101010101, isLong = (word >> 6) & ~isValue & 0x0101010101010101;
                if (isLong == 0)
                {
                    ulong lengths = (word & (0x3F3F3F3F3F3F3F3F ^ (isValue * 0x3C))) + 0x0101010101010101;
                    ulong pairs = (lengths & 0x00FF00FF00FF00FF) + ((lengths >> 8) & 0x00FF00FF00FF00FF);
                    int sum = (int)((pairs * 0x0001000100010001) >> 48);
                    if (first + sum <= register)
                    {
                        first += sum;
                        p += 8;
                        before = p - 1;
                        continue;
                    }
                }
            }

            int run = *p, size = 1, count;
            if (run >= 0x80)
            {
                count = (run & 3) + 1;
            }
            else if (run < 0x40)
            {
                count = run + 1;
            }
            else
            {
                count = (((run & 0x3F) << 8) | (p + 1 < end ? p[1] : 0)) + 1;
                size = 2;
            }

            if (register < first + count)
            {
                previous = before == null ? -1 : (int)(before - bytes);
                return (int)(p - bytes);
            }

            first += count;
            before = p;
            p += size;
        }

        previous = -1;
        return -1;
    }

    private static byte* PutRun(byte* p, int value, int count)
    {
        if (count == 0)
        {
            return p;
        }

        if (value == 0)
        {
            return p + PutZeros(p, count);
        }

        *p = (byte)(0x80 | ((value - 1) << 2) | (count - 1));
        return p + 1;
    }

    private static int PutZeros(byte* p, int count)
    {
        if (count <= LongestShortZeros)
        {
            *p = (byte)(count - 1);
            return 1;
        }

        p[0] = (byte)(0x40 | ((count - 1) >> 8));
        p[1] = (byte)(count - 1);
        return 2;
    }

    /// <summary>Goes through the runs of a sparse one.</summary>
    public ref struct Runs(byte* bytes, long length)
    {
        private readonly byte* _end = bytes + length;
        private byte* _next = bytes + HeaderBytes;

        /// <summary>The register that the run begins with.</summary>
        public long First { get; private set; }
        /// <summary>Number of registers.</summary>
        public int Length { get; private set; }
        /// <summary>What they hold.</summary>
        public int Value { get; private set; }
        /// <summary>Whether the run is of the long form.</summary>
        public bool IsLong { get; private set; }
        /// <summary>The register behind the run.</summary>
        public readonly long End => First + Length;

        /// <summary>Goes to the next run; false at the end.</summary>
        public bool MoveNext()
        {
            if (_next >= _end)
            {
                return false;
            }

            First += Length;
            int run = *_next++;
            Value = run >= 0x80 ? ((run >> 2) & 31) + 1 : 0;
            IsLong = run is >= 0x40 and < 0x80;
            if (IsLong)
            {
                Length = (((run & 0x3F) << 8) | (_next < _end ? *_next : 0)) + 1;
                _next++;
            }
            else
            {
                Length = (run >= 0x80 ? run & 3 : run) + 1;
            }

            return true;
        }
    }

    // ------------------------------------------------------------------ merging and counting

    /// <summary>Raises registers, one byte each, to those of a HyperLogLog. False if it is corrupt.</summary>
    public static bool TryMerge(byte* bytes, long length, byte* registers)
    {
        if (IsSparse(bytes))
        {
            var runs = new Runs(bytes, length);
            while (runs.MoveNext())
            {
                if (runs.Value == 0)
                {
                    continue;
                }

                if (runs.First + runs.Length > Registers)
                {
                    return false;
                }

                for (int i = 0; i < runs.Length; i++)
                {
                    byte* register = registers + runs.First + i;
                    *register = Math.Max(*register, (byte)runs.Value);
                }
            }

            return runs.End == Registers;
        }

        for (int i = 0; i < Registers; i += Group)
        {
            Vector64<byte> held = Vector64.Create(Unpack(bytes + HeaderBytes + (i / Group * RegisterBits), i == Registers - Group)).AsByte();
            Vector64.Max(held, Vector64.Load(registers + i)).Store(registers + i);
        }

        return true;
    }

    /// <summary>Estimates how many elements were seen. False if it is corrupt.</summary>
    public static bool TryCount(byte* bytes, long length, out ulong estimate)
    {
        long* histogram = stackalloc long[RegisterMask + 1];
        Unsafe.InitBlockUnaligned(histogram, 0, (RegisterMask + 1) * sizeof(long));
        if (IsSparse(bytes))
        {
            var runs = new Runs(bytes, length);
            while (runs.MoveNext())
            {
                histogram[runs.Value] += runs.Length;
            }

            if (runs.End != Registers)
            {
                estimate = 0;
                return false;
            }
        }
        else
        {
            for (int i = 0; i < Registers; i += Group)
            {
                AddToHistogram(histogram, Unpack(bytes + HeaderBytes + (i / Group * RegisterBits), i == Registers - Group));
            }
        }

        estimate = Estimate(histogram);
        return true;
    }

    /// <summary>As <see cref="TryCount"/>, of registers of one byte each.</summary>
    public static ulong Count(byte* registers)
    {
        long* histogram = stackalloc long[RegisterMask + 1];
        Unsafe.InitBlockUnaligned(histogram, 0, (RegisterMask + 1) * sizeof(long));
        for (int i = 0; i < Registers; i += Group)
        {
            AddToHistogram(histogram, Unsafe.ReadUnaligned<ulong>(registers + i));
        }

        return Estimate(histogram);
    }

    private static void AddToHistogram(long* histogram, ulong eight)
    {
        if (eight == 0)
        {
            histogram[0] += Group;
            return;
        }

        for (int i = 0; i < Group; i++)
        {
            histogram[(int)(eight >> (8 * i)) & RegisterMask]++;
        }
    }

    private static ulong Estimate(long* histogram)
    {
        const double m = Registers, alpha = 0.721347520444481703680;
        double z = m * Tau((m - histogram[HashBits + 1]) / m);
        for (int i = HashBits; i >= 1; i--)
        {
            z = (z + histogram[i]) * 0.5;
        }

        z += m * Sigma(histogram[0] / m);
        double estimate = Math.Round(alpha * m * m / z, MidpointRounding.AwayFromZero);
        // Registers that no element can have set: Redis's conversion ends at the same number.
        return estimate < 9.2233720368547758E18 ? (ulong)estimate : 1UL << 63;
    }

    private static double Sigma(double x)
    {
        if (x == 1)
        {
            return double.PositiveInfinity;
        }

        double y = 1, z = x, before;
        do
        {
            x *= x;
            before = z;
            z += x * y;
            y += y;
        }
        while (before != z);
        return z;
    }

    private static double Tau(double x)
    {
        if (x is 0 or 1)
        {
            return 0;
        }

        double y = 1, z = 1 - x, before;
        do
        {
            x = Math.Sqrt(x);
            before = z;
            y *= 0.5;
            z -= (1 - x) * (1 - x) * y;
        }
        while (before != z);
        return z / 3;
    }
}
