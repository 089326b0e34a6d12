using System.Numerics;
using System.Runtime.CompilerServices;

namespace Leither.MmDb.Values;

/// <summary>
/// A set of integers as a sorted array, each in as few bytes as the widest of them needs: Redis's encoding "intset".
/// </summary>
/// <remarks>
/// <code>intset = [width u8: 2, 4 or 8] integer*     little endian, ascending, without repetition</code>
/// As with <see cref="Pack"/>, the memory belongs to somebody else: an intset is named by (data, length), edits happen in
/// place and give the new length, and the caller makes sure that the memory has room (<see cref="SizeWith"/>). The width
/// never shrinks, as in Redis.
/// </remarks>
public static unsafe class IntSet
{
    /// <summary>Bytes before the first integer; the length of an empty set.</summary>
    public const int HeaderSize = 1;

    /// <summary>Makes the memory an empty set; gives its length.</summary>
    public static int Initialize(byte* data)
    {
        *data = sizeof(short);
        return HeaderSize;
    }

    /// <summary>Number of integers.</summary>
    public static int Count(byte* data, int length) => (length - HeaderSize) >> BitOperations.TrailingZeroCount((uint)*data);

    /// <summary>The integer at an index, in ascending order.</summary>
    public static long At(byte* data, int index) => *data switch
    {
        sizeof(short) => ((short*)(data + HeaderSize))[index],
        sizeof(int) => ((int*)(data + HeaderSize))[index],
        _ => ((long*)(data + HeaderSize))[index],
    };

    /// <summary>Whether the set has the integer.</summary>
    public static bool Contains(byte* data, int length, long value) => Find(data, length, value) >= 0;

    /// <summary>The index of an integer, or the complement (~) of the index where it would be.</summary>
    public static int Find(byte* data, int length, long value)
    {
        int count = Count(data, length);
        if (WidthOf(value) > *data)
        {
            return ~(value < 0 ? 0 : count);
        }

        int index = *data switch
        {
            sizeof(short) => LowerBound((short*)(data + HeaderSize), count, (short)value),
            sizeof(int) => LowerBound((int*)(data + HeaderSize), count, (int)value),
            _ => LowerBound((long*)(data + HeaderSize), count, value),
        };
        return index < count && At(data, index) == value ? index : ~index;
    }

    /// <summary>The length that the set has once it holds the integer too.</summary>
    public static int SizeWith(byte* data, int length, long value) =>
        HeaderSize + ((Count(data, length) + 1) * Math.Max(*data, WidthOf(value)));

    /// <summary>Adds an integer; gives the new length, which is the old one if the set had it.</summary>
    public static int Add(byte* data, int length, long value)
    {
        int index = Find(data, length, value);
        if (index >= 0)
        {
            return length;
        }

        index = ~index;
        int count = Count(data, length);
        int width = WidthOf(value);
        if (width > *data)
        {
            // What does not fit the width is smaller or larger than all the others.
            Widen(data, count, width, index == 0 ? 1 : 0);
        }
        else
        {
            width = *data;
            byte* moved = data + HeaderSize + (index * width);
            int size = (count - index) * width;
            Buffer.MemoryCopy(moved, moved + width, size, size);
        }

        Write(data + HeaderSize + (index * width), width, value);
        return HeaderSize + ((count + 1) * width);
    }

    /// <summary>Removes an integer; gives the new length, which is the old one if the set did not have it.</summary>
    public static int Remove(byte* data, int length, long value)
    {
        int index = Find(data, length, value);
        return index < 0 ? length : RemoveAt(data, length, index);
    }

    /// <summary>Removes the integer at an index; gives the new length.</summary>
    public static int RemoveAt(byte* data, int length, int index)
    {
        int width = *data;
        byte* at = data + HeaderSize + (index * width);
        int size = length - (int)(at - data) - width;
        Buffer.MemoryCopy(at + width, at, size, size);
        return length - width;
    }

    /// <summary>Whether bytes from an untrusted source are an intset. Never reads beyond <paramref name="length"/>.</summary>
    public static bool Validate(byte* data, int length)
    {
        if (length < HeaderSize || *data is not (sizeof(short) or sizeof(int) or sizeof(long)) || (length - HeaderSize) % *data != 0)
        {
            return false;
        }

        int count = Count(data, length);
        for (int i = 1; i < count; i++)
        {
            if (At(data, i - 1) >= At(data, i))
            {
                return false;
            }
        }

        return true;
    }

    private static int WidthOf(long value) =>
        value == (short)value ? sizeof(short) : value == (int)value ? sizeof(int) : sizeof(long);

    // Index of the first integer that is not smaller. Each step adds the half or nothing: no branch to mispredict.
    private static int LowerBound<T>(T* values, int count, T value)
        where T : unmanaged, IBinaryInteger<T>
    {
        T* start = values;
        while (count > 1)
        {
            int half = count >> 1;
            values += half & -Unsafe.BitCast<bool, byte>(values[half - 1] < value);
            count -= half;
        }

        return (int)(values - start) + (count == 1 && *values < value ? 1 : 0);
    }

    // Rewrites the integers in the new width, the last first so that none is overwritten unread; shift leaves room in front.
    private static void Widen(byte* data, int count, int width, int shift)
    {
        for (int i = count - 1; i >= 0; i--)
        {
            Write(data + HeaderSize + ((i + shift) * width), width, At(data, i));
        }

        *data = (byte)width;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(byte* at, int width, long value)
    {
        switch (width)
        {
            case sizeof(short):
                *(short*)at = (short)value;
                break;
            case sizeof(int):
                *(int*)at = (int)value;
                break;
            default:
                *(long*)at = value;
                break;
        }
    }
}
