namespace Leither.MmDb.Values;

/// <summary>What adding a member to a set means for its layout.</summary>
internal enum SetRoom
{
    /// <summary>The member is there already.</summary>
    Present,
    /// <summary>The layout stays.</summary>
    Fits,
    /// <summary>A set of integers gets a member that is none, and becomes a pack.</summary>
    NeedsPack,
    /// <summary>The set becomes a table.</summary>
    NeedsTable,
}

/// <summary>When sets change their layout: exactly where Redis 7.2 changes its own. They never change back by themselves.</summary>
internal static unsafe class SetLayout
{
    /// <summary>No intset gets longer, whatever the threshold says.</summary>
    private const int MaxIntSetEntries = 1 << 26;

    /// <summary>Integers that an intset may hold.</summary>
    public static int MaxIntegers(in PackedThresholds limits) => Math.Min(limits.SetMaxIntsetEntries, MaxIntSetEntries);

    /// <summary>The layout of a new set, by its first member and the number of members that are to come.</summary>
    public static DataEncoding ForNew(bool firstIsInteger, int members, in PackedThresholds limits)
    {
        if (firstIsInteger && members <= limits.SetMaxIntsetEntries)
        {
            return DataEncoding.IntSet;
        }

        return members <= limits.SetMaxListpackEntries ? DataEncoding.Pack : DataEncoding.HashTable;
    }

    /// <summary>What adding a member to a compact set means; <paramref name="length"/> is the length that it then has if it <see cref="SetRoom.Fits"/>.</summary>
    public static SetRoom RoomFor(in SetValue set, in PackValue member, long memberLength, in PackedThresholds limits, out int length)
    {
        length = 0;
        if (set.Encoding == DataEncoding.IntSet)
        {
            return RoomInIntSet(set, member, memberLength, limits, out length);
        }

        if (set.Find(member) >= 0)
        {
            return SetRoom.Present;
        }

        if (set.Count >= limits.SetMaxListpackEntries || memberLength > limits.SetMaxListpackValue || set.Length > Effects.MaxPackLength - member.Size)
        {
            return SetRoom.NeedsTable;
        }

        length = set.Length + member.Size;
        return SetRoom.Fits;
    }

    private static SetRoom RoomInIntSet(in SetValue set, in PackValue member, long memberLength, in PackedThresholds limits, out int length)
    {
        length = 0;
        int count = (int)set.Count;
        if (member.IsInteger)
        {
            if (set.Find(member) >= 0)
            {
                return SetRoom.Present;
            }

            length = IntSet.SizeWith(set.Data, set.Length, member.Integer);
            return count < MaxIntegers(limits) ? SetRoom.Fits : SetRoom.NeedsTable;
        }

        // The integers' own texts have to be short enough as well; the smallest and the largest have the longest.
        long longest = count == 0 ? 0 : Math.Max(new Element(IntSet.At(set.Data, 0)).TextLength, new Element(IntSet.At(set.Data, count - 1)).TextLength);
        return count < limits.SetMaxListpackEntries && memberLength <= limits.SetMaxListpackValue && longest <= limits.SetMaxListpackValue
            ? SetRoom.NeedsPack
            : SetRoom.NeedsTable;
    }

    /// <summary>Bytes that an intset's members take as a pack.</summary>
    public static int PackedSize(in SetValue set)
    {
        int size = Pack.HeaderSize, count = (int)set.Count;
        for (int i = 0; i < count; i++)
        {
            size += Pack.EntrySize(IntSet.At(set.Data, i));
        }

        return size;
    }

    /// <summary>Writes an intset's members as a pack; gives its length.</summary>
    public static int WritePack(in SetValue set, byte* destination)
    {
        int length = Pack.Initialize(destination), count = (int)set.Count;
        for (int i = 0; i < count; i++)
        {
            length = Pack.Append(destination, length, new PackValue(IntSet.At(set.Data, i)));
        }

        return length;
    }
}
