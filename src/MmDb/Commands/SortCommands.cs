using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>SORT: lists, sets and sorted sets in another order, with what patterns lead to from their elements.</summary>
public static unsafe class SortCommands
{
    /// <summary>SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC | DESC] [ALPHA] [STORE destination]</summary>
    public static readonly CommandSpec SortAny = new("sort", -2)
    {
        Group = CommandGroup.Generic,
        Complexity = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).",
        Summary = "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.MovableKeys,
        Categories = ["set", "sortedset", "list", "dangerous"],
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access),
            KeySpec.Unknown(KeyAccess.ReadOnly | KeyAccess.Access, notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort"),
            KeySpec.Unknown(KeyAccess.Overwrite | KeyAccess.Update, notes: "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array"),
        ],
        Args =
        [
            Arg.Key("key"),
            Arg.Pattern("by-pattern", 1).Token("BY").Shown("pattern").Optional(),
            Arg.Block("limit", Arg.Integer("offset"), Arg.Integer("count")).Token("LIMIT").Optional(),
            Arg.Pattern("get-pattern", 1).Token("GET").Shown("pattern").Optional().MultipleWithToken(),
            Arg.OneOf("order", Arg.Word("asc", "ASC"), Arg.Word("desc", "DESC")).Optional(),
            Arg.Word("sorting", "ALPHA").Optional(),
            Arg.Key("destination", 2).Token("STORE").Optional(),
        ],
        Handler = &RunSort,
        FindKeys = FindSortKeys,
    };

    /// <summary>SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC | DESC] [ALPHA]</summary>
    public static readonly CommandSpec SortReadOnly = new("sort_ro", -2)
    {
        Since = "7.0.0",
        Group = CommandGroup.Generic,
        Complexity = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).",
        Summary = "Returns the sorted elements of a list, a set, or a sorted set.",
        Flags = CommandFlags.ReadOnly | CommandFlags.MovableKeys,
        Categories = ["set", "sortedset", "list", "dangerous"],
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access),
            KeySpec.Unknown(KeyAccess.ReadOnly | KeyAccess.Access, notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort"),
        ],
        Args =
        [
            Arg.Key("key"),
            Arg.Pattern("by-pattern", 1).Token("BY").Shown("pattern").Optional(),
            Arg.Block("limit", Arg.Integer("offset"), Arg.Integer("count")).Token("LIMIT").Optional(),
            Arg.Pattern("get-pattern", 1).Token("GET").Shown("pattern").Optional().MultipleWithToken(),
            Arg.OneOf("order", Arg.Word("asc", "ASC"), Arg.Word("desc", "DESC")).Optional(),
            Arg.Word("sorting", "ALPHA").Optional(),
        ],
        Handler = &RunSortRo,
        FindKeys = FindSortRoKeys,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [SortAny, SortReadOnly];

    /// <summary>What SORT was asked for.</summary>
    private struct Options
    {
        public bool Descending;
        public bool Alphabetic;
        public bool DontSort;
        public long Offset;
        public long Limit;
        public Slice By;
        public bool HasBy;
        public int Store;
        public int Gets;
    }

    /// <summary>One element with what it is sorted by. Everything points into the keyspace or into the command's scratch memory.</summary>
    private struct Item
    {
        public Slice Text;
        public double Weight;
        public Slice By;
        public bool HasBy;
        public int Index;
    }

    /// <summary>
    /// The order of SORT. Equal weights are told apart by the elements' bytes, so that the result depends on nothing else; texts that are
    /// equal, by a pattern, leave the elements in the order in which they were.
    /// </summary>
    private readonly struct Order(bool descending, bool alphabetic, bool byPattern, bool isStable) : IComparer<Item>
    {
        public int Compare(Item x, Item y)
        {
            int order = !alphabetic ? ByWeight(x, y) : byPattern ? ByText(x, y) : x.Text.Span.SequenceCompareTo(y.Text.Span);
            return order != 0 ? descending ? -order : order : isStable ? x.Index.CompareTo(y.Index) : 0;
        }

        private static int ByWeight(in Item x, in Item y)
        {
            int order = x.Weight.CompareTo(y.Weight);
            return order != 0 ? order : x.Text.Span.SequenceCompareTo(y.Text.Span);
        }

        private static int ByText(in Item x, in Item y) =>
            x.HasBy && y.HasBy ? x.By.Span.SequenceCompareTo(y.By.Span) : x.HasBy.CompareTo(y.HasBy);
    }

    private static void RunSort(CommandContext c) => Sort(c, readOnly: false);

    private static void RunSortRo(CommandContext c) => Sort(c, readOnly: true);

    private static void Sort(CommandContext c, bool readOnly)
    {
        if (!TryOptions(c, readOnly, out Options options))
        {
            return;
        }

        byte* record = c.Database.Lookup(c.Key(1));
        var type = record == null ? DataType.List : (DataType)Record.Type(record);
        if (type is not (DataType.List or DataType.Set or DataType.SortedSet))
        {
            c.Error(Errors.WrongType);
            return;
        }

        if (options.DontSort && type == DataType.Set && (options.Store > 0 || c.Session.IsScript))
        {
            // What is stored, and what a script sees, must not depend on the order in which a set happens to be held.
            options.DontSort = false;
            options.Alphabetic = true;
            options.HasBy = false;
        }

        using var scratch = new ArgBuffer();
        NativeList<Item> items = default;
        try
        {
            long count = CountOf(c, record, type);
            long start = Math.Min(Math.Max(options.Offset, 0), count);
            long limit = Math.Min(options.Limit, count);
            long end = limit < 0 ? count : Math.Min(start + limit, count);
            bool inOrder = options.DontSort && type != DataType.Set;
            if (record != null)
            {
                // Lists and sorted sets that stay in their own order are read from there, and only as far as asked for.
                Load(c, record, type, ref items, scratch, inOrder && options.Descending, inOrder ? start : 0, inOrder ? end : count);
            }

            if (inOrder)
            {
                (start, end) = (0, items.Count);
            }
            else if (!options.DontSort)
            {
                if (!TryWeigh(c, items.Span, options, scratch))
                {
                    c.Error(Errors.SortScore);
                    return;
                }

                bool isPart = end - start < count;
                var order = new Order(options.Descending, options.Alphabetic, options.HasBy, isStable: !isPart);
                if (isPart)
                {
                    PartialSort.Sort(items.Span, (int)start, (int)end, order);
                }
                else
                {
                    items.Span.Sort(order);
                }
            }

            Span<Item> chosen = items.Span[(int)start..(int)end];
            if (options.Store > 0)
            {
                Store(c, chosen, options, scratch);
            }
            else
            {
                Reply(c, chosen, options, scratch);
            }
        }
        finally
        {
            items.Dispose();
        }
    }

    private static bool TryOptions(CommandContext c, bool readOnly, out Options options)
    {
        options = new Options { Limit = -1 };
        for (int i = 2; i < c.Count; i++)
        {
            int following = c.Count - i - 1;
            if (c.Is(i, "ASC"u8))
            {
                options.Descending = false;
            }
            else if (c.Is(i, "DESC"u8))
            {
                options.Descending = true;
            }
            else if (c.Is(i, "ALPHA"u8))
            {
                options.Alphabetic = true;
            }
            else if (c.Is(i, "LIMIT"u8) && following >= 2)
            {
                if (!c.TryLong(i + 1, out options.Offset) || !c.TryLong(i + 2, out options.Limit))
                {
                    return false;
                }

                i += 2;
            }
            else if (!readOnly && c.Is(i, "STORE"u8) && following >= 1)
            {
                options.Store = ++i;
            }
            else if (c.Is(i, "BY"u8) && following >= 1)
            {
                options.By = c[++i];
                options.HasBy = true;
                // A pattern that names one key for all elements orders nothing; once given, it stands.
                bool isConstant = options.By.Span.IndexOf((byte)'*') < 0;
                options.DontSort |= isConstant;
                if (!isConstant && !MayReadAllKeys(c))
                {
                    c.Error("ERR BY option of SORT denied due to insufficient ACL permissions."u8);
                    return false;
                }
            }
            else if (c.Is(i, "GET"u8) && following >= 1)
            {
                options.Gets++;
                i++;
                if (!MayReadAllKeys(c))
                {
                    c.Error("ERR GET option of SORT denied due to insufficient ACL permissions."u8);
                    return false;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        return true;
    }

    /// <summary>Patterns name keys that no key spec tells of, so they take the right to all.</summary>
    private static bool MayReadAllKeys(CommandContext c) => c.Server.Users.AllowsReadingAllKeys(c.Session, c.Spec, c.Args, c.Count);

    private static long CountOf(CommandContext c, byte* record, DataType type) => type switch
    {
        _ when record == null => 0,
        DataType.List => new ListValue(record).Count,
        DataType.Set => new SetValue(c.Keyspace, record).Count,
        _ => new SortedSetValue(record).Count,
    };

    /// <summary>Reads the elements from one place up to another, counted from the end if backwards.</summary>
    private static void Load(CommandContext c, byte* record, DataType type, ref NativeList<Item> items, ArgBuffer scratch, bool backwards, long from, long to)
    {
        Span<byte> digits = stackalloc byte[StringValue.MaxIntegerText];
        switch (type)
        {
            case DataType.List:
                var list = new ListValue(record);
                ListCursor element = list.At(backwards ? list.Count - 1 - from : from);
                for (long i = from; i < to; i++, element.Move(backwards))
                {
                    Add(ref items, element.ToSpan(digits), digits, scratch);
                }

                break;
            case DataType.Set:
                using (SetValue.Enumerator members = new SetValue(c.Keyspace, record).Walk())
                {
                    while (members.MoveNext())
                    {
                        Add(ref items, Text(members.Current, scratch));
                    }
                }

                break;
            default:
                var set = new SortedSetValue(record);
                SortedSetCursor member = set.At(backwards ? set.Count - 1 - from : from);
                for (long i = from; i < to; i++)
                {
                    Add(ref items, member.Get(out byte* bytes, out int length, out long integer)
                        ? Text(new Element(integer), scratch)
                        : new Slice(bytes, length));
                    if (backwards)
                    {
                        member.MovePrevious();
                    }
                    else
                    {
                        member.MoveNext();
                    }
                }

                break;
        }
    }

    private static void Add(ref NativeList<Item> items, Slice text) => items.Add(new Item { Text = text, Index = items.Count });

    /// <summary>Adds an element whose bytes lie in the list, or in the space for digits, from where they are copied.</summary>
    private static void Add(ref NativeList<Item> items, ReadOnlySpan<byte> text, Span<byte> digits, ArgBuffer scratch)
    {
        bool isCopied = text.Overlaps(digits);
        Add(ref items, isCopied ? Copy(text, scratch) : new Slice((byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(text)), text.Length));
    }

    private static Slice Text(in Element element, ArgBuffer scratch) =>
        element.IsInteger ? element.Text(scratch.Allocate(Element.ScratchSize)) : new Slice(element.Bytes, (int)element.Length);

    private static Slice Copy(ReadOnlySpan<byte> bytes, ArgBuffer scratch)
    {
        byte* copy = scratch.Allocate(bytes.Length);
        bytes.CopyTo(new Span<byte>(copy, bytes.Length));
        return new Slice(copy, bytes.Length);
    }

    /// <summary>Finds what each element is sorted by. False when one has a weight that is no number.</summary>
    private static bool TryWeigh(CommandContext c, Span<Item> items, in Options options, ArgBuffer scratch)
    {
        if (options.Alphabetic && !options.HasBy)
        {
            return true;
        }

        bool ok = true;
        foreach (ref Item item in items)
        {
            Slice by = item.Text;
            if (options.HasBy && !TryFollow(c, options.By, item.Text, scratch, out by))
            {
                continue;
            }

            if (options.Alphabetic)
            {
                item.By = by;
                item.HasBy = true;
            }
            else
            {
                ok &= TryWeight(by, out item.Weight);
            }
        }

        return ok;
    }

    /// <summary>
    /// Reads a weight as C's strtod does: the text ends at a zero byte, spaces before it are skipped, no text at all is 0, and a
    /// decimal number too small for full precision is out of range.
    /// </summary>
    private static bool TryWeight(Slice text, out double weight)
    {
        ReadOnlySpan<byte> all = text.Span;
        int end = all.IndexOf((byte)0);
        all = end < 0 ? all : all[..end];
        ReadOnlySpan<byte> number = all.TrimStart(" \t\n\v\f\r"u8);
        weight = 0;
        return all.Length == 0
            || (RespDouble.TryParse(number, out weight) && (!double.IsSubnormal(weight) || number.IndexOfAny((byte)'x', (byte)'X') >= 0));
    }

    /// <summary>
    /// The value that a pattern leads to: the string at the key that the pattern names with the element in the place of its star, or, with
    /// <c>-&gt;field</c> behind it, that field of the hash there; <c>#</c> is the element itself.
    /// </summary>
    private static bool TryFollow(CommandContext c, Slice pattern, Slice element, ArgBuffer scratch, out Slice value)
    {
        value = element;
        ReadOnlySpan<byte> text = pattern.Span;
        if (text.SequenceEqual("#"u8))
        {
            return true;
        }

        int star = text.IndexOf((byte)'*');
        if (star < 0)
        {
            return false;
        }

        ReadOnlySpan<byte> behind = text[(star + 1)..];
        int arrow = behind.IndexOf("->"u8);
        bool hasField = arrow >= 0 && arrow + 2 < behind.Length;
        Slice field = hasField ? new Slice(pattern.Pointer + star + 1 + arrow + 2, behind.Length - arrow - 2) : default;
        behind = hasField ? behind[..arrow] : behind;

        int length = star + element.Length + behind.Length;
        byte* name = scratch.Allocate(length);
        text[..star].CopyTo(new Span<byte>(name, length));
        element.Span.CopyTo(new Span<byte>(name + star, element.Length));
        behind.CopyTo(new Span<byte>(name + star + element.Length, behind.Length));
        byte* record = c.Database.Lookup(c.Keyspace.KeyOf(name, length));
        if (record == null || Record.Type(record) != (int)(hasField ? DataType.Hash : DataType.String))
        {
            return false;
        }

        if (hasField)
        {
            bool found = new HashValue(c.Keyspace, record).TryGet(field.Pointer, field.Length, out Element held);
            value = found ? Text(held, scratch) : default;
            return found;
        }

        byte* bytes = StringValue.Bytes(record, scratch.Allocate(StringValue.MaxIntegerText), out long size);
        value = new Slice(bytes, (int)size);
        return true;
    }

    /// <summary>Where the next GET's pattern stands.</summary>
    private static int NextGet(CommandContext c, int word)
    {
        for (; ; word++)
        {
            if (c.Is(word, "GET"u8))
            {
                return word + 1;
            }

            word += c.Is(word, "LIMIT"u8) ? 2 : c.Is(word, "BY"u8) || c.Is(word, "STORE"u8) ? 1 : 0;
        }
    }

    private static void Reply(CommandContext c, Span<Item> items, in Options options, ArgBuffer scratch)
    {
        c.Reply.Array((long)items.Length * Math.Max(options.Gets, 1));
        foreach (ref Item item in items)
        {
            if (options.Gets == 0)
            {
                c.Reply.Bulk(item.Text);
            }

            for (int i = 0, word = 2; i < options.Gets; i++, word++)
            {
                word = NextGet(c, word);
                if (TryFollow(c, c[word], item.Text, scratch, out Slice value))
                {
                    c.Reply.Bulk(value);
                }
                else
                {
                    c.Reply.Null();
                }
            }
        }
    }

    private static void Store(CommandContext c, Span<Item> items, in Options options, ArgBuffer scratch)
    {
        // The destination may be what is sorted, or what a pattern leads to: nothing of it is read once it changes.
        using var elements = new ArgBuffer();
        foreach (ref Item item in items)
        {
            if (options.Gets == 0)
            {
                elements.Add(Copy(item.Text.Span, scratch));
            }

            for (int i = 0, word = 2; i < options.Gets; i++, word++)
            {
                word = NextGet(c, word);
                elements.Add(TryFollow(c, c[word], item.Text, scratch, out Slice value) ? Copy(value.Span, scratch) : default);
            }
        }

        Key destination = c.Key(options.Store);
        if (elements.Count > 0)
        {
            c.Effects.ListStore(destination, elements.Pointer, elements.Count);
            c.Notify(KeyspaceEvents.List, "sortstore"u8, destination);
        }
        else if (c.Database.Peek(destination) != null)
        {
            c.Effects.Delete(destination);
            c.Notify(KeyspaceEvents.Generic, "del"u8, destination);
        }

        c.Reply.Integer(elements.Count);
    }

    /// <summary>The key that is sorted, and the destination: the last STORE counts.</summary>
    private static bool FindSortKeys(ArgView args, List<KeyPosition> keys)
    {
        keys.Add(new KeyPosition(1, KeyAccess.ReadOnly | KeyAccess.Access));
        int store = 0;
        for (int i = 2; i < args.Count; i++)
        {
            if (args[i].EqualsIgnoreCase("LIMIT"u8))
            {
                i += 2;
            }
            else if (args[i].EqualsIgnoreCase("GET"u8) || args[i].EqualsIgnoreCase("BY"u8))
            {
                i++;
            }
            else if (args[i].EqualsIgnoreCase("STORE"u8) && i + 1 < args.Count)
            {
                store = i + 1;
            }
        }

        if (store > 0)
        {
            keys.Add(new KeyPosition(store, KeyAccess.Overwrite | KeyAccess.Update));
        }

        return true;
    }

    private static bool FindSortRoKeys(ArgView args, List<KeyPosition> keys)
    {
        keys.Add(new KeyPosition(1, KeyAccess.ReadOnly | KeyAccess.Access));
        return true;
    }
}
