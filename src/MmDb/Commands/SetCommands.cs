using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for sets.</summary>
public static unsafe class SetCommands
{
    /// <summary>SADD key member …</summary>
    public static readonly CommandSpec SAdd = new("sadd", -3)
    {
        Group = CommandGroup.Set,
        Complexity = "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        Summary = "Adds one or more members to a set. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("member").Multiple()],
        History = [("2.4.0", "Accepts multiple `member` arguments.")],
        Handler = &RunSAdd,
    };

    /// <summary>SREM key member …</summary>
    public static readonly CommandSpec SRem = new("srem", -3)
    {
        Group = CommandGroup.Set,
        Complexity = "O(N) where N is the number of members to be removed.",
        Summary = "Removes one or more members from a set. Deletes the set if the last member was removed.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.String("member").Multiple()],
        History = [("2.4.0", "Accepts multiple `member` arguments.")],
        Handler = &RunSRem,
    };

    /// <summary>SMEMBERS key</summary>
    public static readonly CommandSpec SMembers = new("smembers", 2)
    {
        Group = CommandGroup.Set,
        Complexity = "O(N) where N is the set cardinality.",
        Summary = "Returns all members of a set.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key")],
        Tips = ["nondeterministic_output_order"],
        Handler = &RunSMembers,
    };

    /// <summary>SISMEMBER key member</summary>
    public static readonly CommandSpec SIsMember = new("sismember", 3)
    {
        Group = CommandGroup.Set,
        Complexity = "O(1)",
        Summary = "Determines whether a member belongs to a set.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key"), Arg.String("member")],
        Handler = &RunSIsMember,
    };

    /// <summary>SMISMEMBER key member …</summary>
    public static readonly CommandSpec SMIsMember = new("smismember", -3)
    {
        Since = "6.2.0",
        Group = CommandGroup.Set,
        Complexity = "O(N) where N is the number of elements being checked for membership",
        Summary = "Determines whether multiple members belong to a set.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("member").Multiple()],
        Handler = &RunSMIsMember,
    };

    /// <summary>SCARD key</summary>
    public static readonly CommandSpec SCard = new("scard", 2)
    {
        Group = CommandGroup.Set,
        Complexity = "O(1)",
        Summary = "Returns the number of members in a set.",
        Flags = CommandFlags.ReadOnly | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly)],
        Args = [Arg.Key("key")],
        Handler = &RunSCard,
    };

    /// <summary>SMOVE source destination member</summary>
    public static readonly CommandSpec SMove = new("smove", 4)
    {
        Group = CommandGroup.Set,
        Complexity = "O(1)",
        Summary = "Moves a member from one set to another.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete),
            KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Insert),
        ],
        Args = [Arg.Key("source"), Arg.Key("destination", 1), Arg.String("member")],
        Handler = &RunSMove,
    };

    /// <summary>SPOP key [count]</summary>
    public static readonly CommandSpec SPop = new("spop", -2)
    {
        Group = CommandGroup.Set,
        Complexity = "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
        Summary = "Returns one or more random members from a set after removing them. Deletes the set if the last member was popped.",
        Flags = CommandFlags.Write | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete)],
        Args = [Arg.Key("key"), Arg.Integer("count").Optional().Since("3.2.0")],
        History = [("3.2.0", "Added the `count` argument.")],
        Tips = ["nondeterministic_output"],
        Handler = &RunSPop,
    };

    /// <summary>SRANDMEMBER key [count]</summary>
    public static readonly CommandSpec SRandMember = new("srandmember", -2)
    {
        Group = CommandGroup.Set,
        Complexity = "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
        Summary = "Get one or multiple random members from a set",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.Integer("count").Optional().Since("2.6.0")],
        History = [("2.6.0", "Added the optional `count` argument.")],
        Tips = ["nondeterministic_output"],
        Handler = &RunSRandMember,
    };

    /// <summary>SINTER key …</summary>
    public static readonly CommandSpec SInter = new("sinter", -2)
    {
        Group = CommandGroup.Set,
        Complexity = "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        Summary = "Returns the intersect of multiple sets.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Tips = ["nondeterministic_output_order"],
        Handler = &RunSInter,
    };

    /// <summary>SINTERCARD numkeys key … [LIMIT limit]</summary>
    public static readonly CommandSpec SInterCard = new("sintercard", -3)
    {
        Since = "7.0.0",
        Group = CommandGroup.Set,
        Complexity = "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        Summary = "Returns the number of members of the intersect of multiple sets.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.Counted(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Integer("numkeys"), Arg.Key("key").Multiple(), Arg.Integer("limit").Token("LIMIT").Optional()],
        Handler = &RunSInterCard,
    };

    /// <summary>SINTERSTORE destination key …</summary>
    public static readonly CommandSpec SInterStore = new("sinterstore", -3)
    {
        Group = CommandGroup.Set,
        Complexity = "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        Summary = "Stores the intersect of multiple sets in a key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update),
            KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access, last: -1),
        ],
        Args = [Arg.Key("destination"), Arg.Key("key", 1).Multiple()],
        Handler = &RunSInterStore,
    };

    /// <summary>SUNION key …</summary>
    public static readonly CommandSpec SUnion = new("sunion", -2)
    {
        Group = CommandGroup.Set,
        Complexity = "O(N) where N is the total number of elements in all given sets.",
        Summary = "Returns the union of multiple sets.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Tips = ["nondeterministic_output_order"],
        Handler = &RunSUnion,
    };

    /// <summary>SUNIONSTORE destination key …</summary>
    public static readonly CommandSpec SUnionStore = new("sunionstore", -3)
    {
        Group = CommandGroup.Set,
        Complexity = "O(N) where N is the total number of elements in all given sets.",
        Summary = "Stores the union of multiple sets in a key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access, last: -1),
        ],
        Args = [Arg.Key("destination"), Arg.Key("key", 1).Multiple()],
        Handler = &RunSUnionStore,
    };

    /// <summary>SDIFF key …</summary>
    public static readonly CommandSpec SDiff = new("sdiff", -2)
    {
        Group = CommandGroup.Set,
        Complexity = "O(N) where N is the total number of elements in all given sets.",
        Summary = "Returns the difference of multiple sets.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access, last: -1)],
        Args = [Arg.Key("key").Multiple()],
        Tips = ["nondeterministic_output_order"],
        Handler = &RunSDiff,
    };

    /// <summary>SDIFFSTORE destination key …</summary>
    public static readonly CommandSpec SDiffStore = new("sdiffstore", -3)
    {
        Group = CommandGroup.Set,
        Complexity = "O(N) where N is the total number of elements in all given sets.",
        Summary = "Stores the difference of multiple sets in a key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access, last: -1),
        ],
        Args = [Arg.Key("destination"), Arg.Key("key", 1).Multiple()],
        Handler = &RunSDiffStore,
    };

    /// <summary>SSCAN key cursor [MATCH pattern] [COUNT count]</summary>
    public static readonly CommandSpec SScan = new("sscan", -3)
    {
        Since = "2.8.0",
        Group = CommandGroup.Set,
        Complexity = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
        Summary = "Iterates over members of a set.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Integer("cursor"),
            Arg.Pattern("pattern").Token("MATCH").Optional(),
            Arg.Integer("count").Token("COUNT").Optional(),
        ],
        Tips = ["nondeterministic_output"],
        Handler = &RunSScan,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
    [
        SAdd, SRem, SMembers, SIsMember, SMIsMember, SCard, SMove, SPop, SRandMember, SInter, SInterCard, SInterStore, SUnion, SUnionStore, SDiff,
        SDiffStore, SScan
    ];

    // ------------------------------------------------------------------ members

    private static void RunSAdd(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.Effects.TrySetAdd(key, c.Args + 2, c.Count - 2, out int added))
        {
            c.Error(Errors.WrongType);
            return;
        }

        if (added > 0)
        {
            c.Notify(KeyspaceEvents.Set, "sadd"u8, key);
        }

        c.Reply.Integer(added);
    }

    private static void RunSRem(CommandContext c)
    {
        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.Set, out byte* record))
        {
            return;
        }

        int removed = 0;
        if (record != null)
        {
            long count = new SetValue(c.Keyspace, record).Count;
            removed = c.Effects.SetRemove(key, c.Args + 2, c.Count - 2);
            if (removed > 0)
            {
                c.Notify(KeyspaceEvents.Set, "srem"u8, key);
                if (removed == count)
                {
                    c.Notify(KeyspaceEvents.Generic, "del"u8, key);
                }
            }
        }

        c.Reply.Integer(removed);
    }

    private static void RunSMove(CommandContext c)
    {
        Key from = c.Key(1), to = c.Key(2);
        Slice member = c[3];
        byte* source = c.Database.LookupForWrite(from), target = c.Database.LookupForWrite(to);
        if (source == null)
        {
            c.Reply.Integer(0);
            return;
        }

        if (Record.Type(source) != (int)DataType.Set || (target != null && Record.Type(target) != (int)DataType.Set))
        {
            c.Error(Errors.WrongType);
            return;
        }

        var set = new SetValue(c.Keyspace, source);
        if (!set.Contains(member.Pointer, member.Length))
        {
            c.Reply.Integer(0);
            return;
        }

        if (source != target)
        {
            bool last = set.Count == 1;
            c.Effects.SetRemove(from, &member, 1);
            c.Notify(KeyspaceEvents.Set, "srem"u8, from);
            if (last)
            {
                c.Notify(KeyspaceEvents.Generic, "del"u8, from);
            }

            if (c.Effects.SetAdd(to, &member, 1) > 0)
            {
                c.Notify(KeyspaceEvents.Set, "sadd"u8, to);
            }
        }

        c.Reply.Integer(1);
    }

    private static void RunSMembers(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.Set, out byte* record))
        {
            return;
        }

        if (record == null)
        {
            c.Reply.Set(0);
            return;
        }

        var set = new SetValue(c.Keyspace, record);
        c.Reply.Set(set.Count);
        ReplyAll(c, set);
    }

    private static void ReplyAll(CommandContext c, in SetValue set)
    {
        using SetValue.Enumerator members = set.Walk();
        while (members.MoveNext())
        {
            members.Current.Reply(c.Reply);
        }
    }

    private static void RunSIsMember(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.Set, out byte* record))
        {
            c.Reply.Integer(HasMember(c, record, c[2]));
        }
    }

    private static void RunSMIsMember(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.Set, out byte* record))
        {
            return;
        }

        c.Reply.Array(c.Count - 2);
        for (int i = 2; i < c.Count; i++)
        {
            c.Reply.Integer(HasMember(c, record, c[i]));
        }
    }

    private static int HasMember(CommandContext c, byte* record, Slice member) =>
        record != null && new SetValue(c.Keyspace, record).Contains(member.Pointer, member.Length) ? 1 : 0;

    private static void RunSCard(CommandContext c)
    {
        if (c.TryRead(c.Key(1), DataType.Set, out byte* record))
        {
            c.Reply.Integer(record == null ? 0 : new SetValue(c.Keyspace, record).Count);
        }
    }

    private static void RunSScan(CommandContext c)
    {
        if (!CollectionScan.TryStart(c, DataType.Set, out byte* record, out CollectionScan scan))
        {
            return;
        }

        var set = new SetValue(c.Keyspace, record);
        if (set.Table == null)
        {
            scan.TakeAll();
            scan.BeginReply();
            using SetValue.Enumerator members = set.Walk();
            while (members.MoveNext())
            {
                if (scan.Matches(members.Current))
                {
                    scan.Reply(members.Current);
                }
            }
        }
        else
        {
            NativeList<nint> records = default;
            scan.Take(set.Table, ref records);
            scan.BeginReply();
            foreach (nint pointer in records.Span)
            {
                Element member = Element.OfKey((byte*)pointer);
                if (scan.Matches(member))
                {
                    scan.Reply(member);
                }
            }

            records.Dispose();
        }

        scan.EndReply();
    }

    // ------------------------------------------------------------------ chance

    private static void RunSRandMember(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
            return;
        }

        long count = 0;
        if ((c.Count == 3 && !RandomCount.TryRead(c, 2, out count)) || !c.TryRead(c.Key(1), DataType.Set, out byte* record))
        {
            return;
        }

        if (c.Count == 2)
        {
            if (record == null)
            {
                c.Reply.Null();
            }
            else
            {
                new SetValue(c.Keyspace, record).Random(ref c.Keyspace.Random).Reply(c.Reply);
            }

            return;
        }

        if (record == null || count == 0)
        {
            c.Reply.EmptyArray();
            return;
        }

        var set = new SetValue(c.Keyspace, record);
        if (count > 0)
        {
            NativeList<Element> chosen = default;
            Choose(c, set, Math.Min(count, set.Count), ref chosen);
            c.Reply.Array(chosen.Count);
            foreach (Element member in chosen.Span)
            {
                member.Reply(c.Reply);
            }

            chosen.Dispose();
            return;
        }

        c.Reply.Array(-count);
        for (; RandomCount.MayDraw(c, -count); count++)
        {
            set.Random(ref c.Keyspace.Random).Reply(c.Reply);
        }
    }

    /// <summary>Draws so many different members, each subset with equal chances.</summary>
    private static void Choose(CommandContext c, in SetValue set, long wanted, ref NativeList<Element> chosen)
    {
        long size = set.Count;
        if (set.Table == null || wanted > size / RandomCount.WalkFactor)
        {
            var selection = new Selection(size, wanted);
            using SetValue.Enumerator members = set.Walk();
            while (selection.Wanted > 0 && members.MoveNext())
            {
                if (selection.Takes(ref c.Keyspace.Random))
                {
                    chosen.Add(members.Current);
                }
            }

            return;
        }

        var drawn = new HashSet<nint>((int)wanted);
        while (drawn.Count < wanted)
        {
            byte* element = set.Table->Random(ref c.Keyspace.Random);
            if (drawn.Add((nint)element))
            {
                chosen.Add(Element.OfKey(element));
            }
        }
    }

    private static void RunSPop(CommandContext c)
    {
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
            return;
        }

        long count = 1;
        if (c.Count == 3 && (!c[2].TryLong(out count) || count < 0))
        {
            c.Error(Errors.NotPositive);
            return;
        }

        Key key = c.Key(1);
        if (!c.TryReadForWrite(key, DataType.Set, out byte* record))
        {
            return;
        }

        if (c.Count == 3)
        {
            PopMany(c, key, record, count);
        }
        else if (record == null)
        {
            c.Reply.Null();
        }
        else
        {
            PopOne(c, key, record);
        }
    }

    private static void PopOne(CommandContext c, in Key key, byte* record)
    {
        var set = new SetValue(c.Keyspace, record);
        bool last = set.Count == 1;
        byte* scratch = stackalloc byte[Element.ScratchSize];
        Slice member = set.Random(ref c.Keyspace.Random).Text(scratch);
        c.Reply.Bulk(member);
        c.Effects.SetRemove(key, &member, 1);
        c.Notify(KeyspaceEvents.Set, "spop"u8, key);
        if (last)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
        }
    }

    private static void PopMany(CommandContext c, in Key key, byte* record, long count)
    {
        if (record == null || count == 0)
        {
            c.Reply.Set(0);
            return;
        }

        var set = new SetValue(c.Keyspace, record);
        long size = set.Count;
        if (count >= size)
        {
            c.Reply.Set(size);
            ReplyAll(c, set);
            c.Effects.Delete(key);
            c.Keyspace.Dirty += size - 1;
            c.Notify(KeyspaceEvents.Set, "spop"u8, key);
            c.Notify(KeyspaceEvents.Generic, "del"u8, key);
            return;
        }

        NativeList<Element> chosen = default;
        NativeList<Slice> members = default;
        Choose(c, set, count, ref chosen);

        // The records of a big set stay where they are until each is removed. A compact one shifts: its members are copied first.
        nuint room = set.Table != null ? 0 : (nuint)set.Length + ((nuint)count * Element.ScratchSize);
        byte* copies = room == 0 ? null : c.Keyspace.Heap.Alloc(room), copy = copies;
        c.Reply.Set(count);
        byte* scratch = stackalloc byte[Element.ScratchSize];
        foreach (Element element in chosen.Span)
        {
            Slice member = element.Text(scratch);
            c.Reply.Bulk(member);
            if (copies != null)
            {
                Buffer.MemoryCopy(member.Pointer, copy, member.Length, member.Length);
                member = new Slice(copy, member.Length);
                copy += member.Length;
            }

            members.Add(member);
        }

        c.Effects.SetRemove(key, members.Items, members.Count);
        c.Notify(KeyspaceEvents.Set, "spop"u8, key);
        if (copies != null)
        {
            c.Keyspace.Heap.Free(copies, room);
        }

        chosen.Dispose();
        members.Dispose();
    }

    // ------------------------------------------------------------------ algebra

    private static ReadOnlySpan<byte> NumKeysNotPositive => "ERR numkeys should be greater than 0"u8;

    private static ReadOnlySpan<byte> TooManyKeys => "ERR Number of keys can't be greater than number of args"u8;

    private static ReadOnlySpan<byte> LimitNegative => "ERR LIMIT can't be negative"u8;

    private static void RunSInter(CommandContext c) => ReplyFiltered(c, SetOperation.Intersection);

    private static void RunSDiff(CommandContext c) => ReplyFiltered(c, SetOperation.Difference);

    private static void ReplyFiltered(CommandContext c, SetOperation operation)
    {
        NativeList<SetValue> sets = default;
        if (TrySets(c, 1, c.Count - 1, ref sets))
        {
            long mark = c.Reply.BeginDeferred(), count = 0;
            using var members = new SetAlgebra(c.Keyspace, operation, sets.Span);
            for (; members.MoveNext(); count++)
            {
                members.Current.Reply(c.Reply);
            }

            c.Reply.EndDeferredSet(mark, count);
        }

        sets.Dispose();
    }

    private static void RunSUnion(CommandContext c)
    {
        NativeList<SetValue> sets = default;
        if (TrySets(c, 1, c.Count - 1, ref sets))
        {
            var union = new SetBuilder(c.Keyspace);
            SetAlgebra.Unite(sets.Span, ref union);
            SetValue set = union.Value;
            c.Reply.Set(set.Count);
            ReplyAll(c, set);
            union.Dispose();
        }

        sets.Dispose();
    }

    private static void RunSInterCard(CommandContext c)
    {
        if (!c[1].TryLong(out long keys) || keys < 1)
        {
            c.Error(NumKeysNotPositive);
            return;
        }

        if (keys > c.Count - 2)
        {
            c.Error(TooManyKeys);
            return;
        }

        long limit = 0;
        for (int i = 2 + (int)keys; i < c.Count; i += 2)
        {
            if (i + 1 == c.Count || !c.Is(i, "LIMIT"u8))
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (!c[i + 1].TryLong(out limit) || limit < 0)
            {
                c.Error(LimitNegative);
                return;
            }
        }

        NativeList<SetValue> sets = default;
        if (TrySets(c, 2, (int)keys, ref sets))
        {
            using var members = new SetAlgebra(c.Keyspace, SetOperation.Intersection, sets.Span);
            long count = 0;
            while ((limit == 0 || count < limit) && members.MoveNext())
            {
                count++;
            }

            c.Reply.Integer(count);
        }

        sets.Dispose();
    }

    private static void RunSUnionStore(CommandContext c) => Store(c, SetOperation.Union, "sunionstore"u8);

    private static void RunSInterStore(CommandContext c) => Store(c, SetOperation.Intersection, "sinterstore"u8);

    private static void RunSDiffStore(CommandContext c) => Store(c, SetOperation.Difference, "sdiffstore"u8);

    private static void Store(CommandContext c, SetOperation operation, ReadOnlySpan<byte> storedEvent)
    {
        for (int i = 2; i < c.Count; i++)
        {
            if (!c.TryRead(c.Key(i), DataType.Set, out _))
            {
                return;
            }
        }

        Key destination = c.Key(1);
        bool existed = c.Database.Peek(destination) != null;
        long members = c.Effects.SetStore(destination, operation, c.Args + 2, c.Count - 2);
        c.Reply.Integer(members);
        if (members > 0)
        {
            c.Notify(KeyspaceEvents.Set, storedEvent, destination);
        }
        else if (existed)
        {
            c.Notify(KeyspaceEvents.Generic, "del"u8, destination);
        }
    }

    /// <summary>Looks up the sets at a run of keys, missing ones as default values; or replies the type error.</summary>
    private static bool TrySets(CommandContext c, int first, int count, ref NativeList<SetValue> sets)
    {
        for (int i = first; i < first + count; i++)
        {
            if (!c.TryRead(c.Key(i), DataType.Set, out byte* record))
            {
                return false;
            }

            sets.Add(record == null ? default : new SetValue(c.Keyspace, record));
        }

        return true;
    }
}
