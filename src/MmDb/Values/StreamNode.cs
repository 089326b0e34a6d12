using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// The entries of one node of a stream: a <see cref="Pack"/> that begins with a master entry, whose fields the others need not repeat.
/// </summary>
/// <remarks>
/// <code>
/// node    = live  deleted  field count  field …  0            the master: the fields of the node's first entry
///           entry …
/// entry   = flags  ms  seq  value …  size                     the master's fields (flag 2)
/// entry   = flags  ms  seq  field count  (field value) …  size
/// </code>
/// Every word is an entry of the pack. <c>ms</c> and <c>seq</c> are what an id has more than the node's own, which is that of its first
/// entry. <c>size</c> is how many words come before it in its entry, so that a node can be walked from its end; the master's 0 stops
/// that walk. A deleted entry keeps its place (flag 1) until all of the node goes, and nothing of what it said. Otherwise it is the content of the nodes
/// in Redis, word for word: where nodes end, and what they take, is the same.
/// </remarks>
internal static unsafe class StreamNode
{
    public const long Deleted = 1;
    public const long SameFields = 2;

    /// <summary>What changes of the counts may need in addition.</summary>
    public const int CountSlack = 16;

    /// <summary>What a word takes at most beyond its bytes.</summary>
    public const int WordOverhead = 10;

    /// <summary>Words of an entry beside its fields and values: flags, ms, seq, field count, size.</summary>
    public const int FixedWords = 5;

    /// <summary>The master entry.</summary>
    public struct Master
    {
        public long Live;
        public long Deleted;
        public long Fields;
        public int FieldsAt;
    }

    public static Master ReadMaster(byte* data)
    {
        Master master = default;
        int at = Pack.HeaderSize;
        master.Live = Number(data, ref at);
        master.Deleted = Number(data, ref at);
        master.Fields = Number(data, ref at);
        master.FieldsAt = at;
        return master;
    }

    /// <summary>The first entry's flags; the pack's length if there is no entry.</summary>
    public static int FirstEntry(byte* data, in Master master) => Pack.Skip(data, master.FieldsAt, (int)master.Fields + 1);

    /// <summary>Reads a number and goes on to the next word.</summary>
    public static long Number(byte* data, ref int at)
    {
        byte lead = data[at];
        if (lead < Pack.String6)
        {
            at += 2;
            return lead;
        }

        _ = Pack.TryGetInteger(data, at, out long value);
        at += Pack.SizeOf(data, at);
        return value;
    }

    /// <summary>Writes the master of a node's first entry; gives the length.</summary>
    public static int Begin(byte* data, Resp.Slice* pairs, int count)
    {
        int length = Pack.Initialize(data);
        length += Write(data + length, 0);
        length += Write(data + length, 0);
        length += Write(data + length, count / 2);
        for (int i = 0; i < count; i += 2)
        {
            length += Write(data + length, pairs[i]);
        }

        length += Write(data + length, 0);
        Pack.WriteCount(data, 4 + (count / 2));
        return length;
    }

    /// <summary>Adds an entry at the end; there is room for it. Gives the length.</summary>
    public static int Append(byte* data, int length, in Master master, StreamId nodeId, StreamId id, Resp.Slice* pairs, int count)
    {
        int fields = count / 2;
        bool same = HasFields(data, master, pairs, count);
        length = SetNumber(data, length, Pack.HeaderSize, master.Live + 1);
        int words = same ? fields + 4 : (fields * 2) + FixedWords;
        byte* to = data + length;
        to += Write(to, same ? SameFields : 0);
        to += Write(to, (long)(id.Ms - nodeId.Ms));
        to += Write(to, (long)(id.Seq - nodeId.Seq));
        if (same)
        {
            for (int i = 1; i < count; i += 2)
            {
                to += Write(to, pairs[i]);
            }
        }
        else
        {
            to += Write(to, fields);
            for (int i = 0; i < count; i++)
            {
                to += Write(to, pairs[i]);
            }
        }

        to += Write(to, words - 1);
        Pack.WriteCount(data, Math.Min(ushort.MaxValue, *(ushort*)data + words));
        return (int)(to - data);
    }

    private static bool HasFields(byte* data, in Master master, Resp.Slice* pairs, int count)
    {
        if (master.Fields != count / 2)
        {
            return false;
        }

        int at = master.FieldsAt;
        for (int i = 0; i < count; i += 2)
        {
            int length = pairs[i].Length;
            if (data[at] == (Pack.String6 | length) && length < 64)
            {
                if (!Bytes.Equal(data + at + 1, pairs[i].Pointer, length))
                {
                    return false;
                }

                at += length + 2;
                continue;
            }

            if (!Pack.EntryEquals(data, at, new PackValue(pairs[i].Span)))
            {
                return false;
            }

            at += Pack.SizeOf(data, at);
        }

        return true;
    }

    private static int Write(byte* to, long number)
    {
        if ((ulong)number < 128)
        {
            to[0] = (byte)number;
            to[1] = 1;
            return 2;
        }

        return new PackValue(number).Write(to);
    }

    private static int Write(byte* to, Resp.Slice text)
    {
        int length = text.Length;

        // Short and surely no number: as most values are.
        if (length is > 0 and < 64 && *text.Pointer > '9')
        {
            *to = (byte)(Pack.String6 | length);
            System.Runtime.CompilerServices.Unsafe.CopyBlockUnaligned(to + 1, text.Pointer, (uint)length);
            to[length + 1] = (byte)(length + 1);
            return length + 2;
        }

        return new PackValue(text.Span).Write(to);
    }

    /// <summary>Puts a number in the place of another; there is room for it to be longer. Gives the pack's length.</summary>
    private static int SetNumber(byte* data, int length, int at, long number)
    {
        if (data[at] < Pack.String6 && (ulong)number < 128)
        {
            data[at] = (byte)number;
            return length;
        }

        return Pack.Replace(data, length, at, new PackValue(number));
    }

    /// <summary>Marks entries that were live as deleted in the counts of the master; gives the pack's length.</summary>
    public static int CountDeleted(byte* data, int length, in Master master, long deleted)
    {
        length = SetNumber(data, length, Pack.HeaderSize, master.Live - deleted);
        return SetNumber(data, length, Pack.HeaderSize + Pack.SizeOf(data, Pack.HeaderSize), master.Deleted + deleted);
    }

    /// <summary>Marks an entry as deleted and forgets its values (and fields, where it has its own): checkpoints are to hold nothing that was deleted.</summary>
    public static void Delete(byte* data, int flagsAt, in Master master)
    {
        int at = flagsAt;
        long flags = Number(data, ref at);
        at = Pack.Skip(data, at, 2);
        long words = (flags & SameFields) != 0 ? master.Fields : Number(data, ref at) * 2;
        for (; words > 0; words--)
        {
            Pack.Wipe(data, at);
            at += Pack.SizeOf(data, at);
        }

        data[flagsAt] |= (byte)Deleted;
    }

    /// <summary>The id of the last entry, deleted or not; false if there is none.</summary>
    public static bool TryLastId(byte* data, int length, StreamId nodeId, out StreamId id)
    {
        id = default;
        int at = Pack.Last(data, length);
        int size = at;
        long words = Number(data, ref size);
        if (words == 0)
        {
            return false;
        }

        for (; words > 0; words--)
        {
            at = Pack.Previous(data, at);
        }

        Number(data, ref at);
        ulong ms = (ulong)Number(data, ref at), seq = (ulong)Number(data, ref at);
        id = new StreamId(nodeId.Ms + ms, nodeId.Seq + seq);
        return true;
    }

    /// <summary>Whether a sound pack from elsewhere is a node: its words in order, its counts right, its ids ascending from its own on.</summary>
    public static bool Validate(byte* data, int length, StreamId nodeId)
    {
        int at = Pack.HeaderSize;
        if (!TryNumber(data, length, ref at, out long live) || !TryNumber(data, length, ref at, out long deleted)
            || !TryNumber(data, length, ref at, out long masterFields) || live < 0 || deleted < 0 || live + deleted <= 0
            || !TrySkip(data, length, ref at, masterFields) || !TryNumber(data, length, ref at, out long zero) || zero != 0)
        {
            return false;
        }

        long entries = 0, dead = 0;
        StreamId last = default;
        for (; at < length; entries++)
        {
            if (!TryNumber(data, length, ref at, out long flags) || (flags & ~(Deleted | SameFields)) != 0
                || !TryNumber(data, length, ref at, out long ms) || !TryNumber(data, length, ref at, out long seq))
            {
                return false;
            }

            var id = new StreamId(nodeId.Ms + (ulong)ms, nodeId.Seq + (ulong)seq);
            long fields = masterFields, words = masterFields + 3;
            if ((flags & SameFields) == 0)
            {
                if (!TryNumber(data, length, ref at, out fields) || fields < 0 || fields > length)
                {
                    return false;
                }

                words = (fields * 2) + 4;
                fields *= 2;
            }

            if (!TrySkip(data, length, ref at, fields) || !TryNumber(data, length, ref at, out long size) || size != words
                || (entries == 0 ? id < nodeId : id <= last))
            {
                return false;
            }

            dead += flags & Deleted;
            last = id;
        }

        return entries == live + deleted && dead == deleted;
    }

    private static bool TryNumber(byte* data, int length, ref int at, out long value)
    {
        value = 0;
        if (at >= length || !Pack.TryGetInteger(data, at, out value))
        {
            return false;
        }

        at += Pack.SizeOf(data, at);
        return true;
    }

    private static bool TrySkip(byte* data, int length, ref int at, long words)
    {
        if (words < 0 || words > length)
        {
            return false;
        }

        for (; words > 0; words--)
        {
            if (at >= length)
            {
                return false;
            }

            at += Pack.SizeOf(data, at);
        }

        return true;
    }
}

/// <summary>The memory of one node of a stream; counted, since frozen trees share it.</summary>
internal unsafe struct StreamBlock
{
    public uint References;
    public int Capacity;
    public int Length;

    /// <summary>The pack. Only on a block in its place, never on a copy.</summary>
    public byte* Data => (byte*)((StreamBlock*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref this) + 1);

    public static nuint SizeFor(int capacity) => (nuint)(uint)capacity + (nuint)sizeof(StreamBlock);

    /// <summary>A block with room for so many bytes at least.</summary>
    public static StreamBlock* Create(NativeHeap heap, int capacity)
    {
        nuint size = SizeFor(capacity);
        size = size <= NativeHeap.MaxSlabBlock ? NativeHeap.RoundUp(size) : size;
        var block = (StreamBlock*)heap.Alloc(size);
        *block = new StreamBlock { References = 1, Capacity = (int)(size - (nuint)sizeof(StreamBlock)) };
        return block;
    }

    /// <summary>A copy of another capacity; the reference to the old one is given back.</summary>
    public static StreamBlock* Resize(NativeHeap heap, StreamBlock* block, int capacity)
    {
        StreamBlock* copy = Create(heap, capacity);
        copy->Length = block->Length;
        Buffer.MemoryCopy(block->Data, copy->Data, copy->Capacity, block->Length);
        Release(heap, block);
        return copy;
    }

    public static void Release(NativeHeap heap, StreamBlock* block)
    {
        if (--block->References == 0)
        {
            heap.Free((byte*)block, SizeFor(block->Capacity));
        }
    }
}
