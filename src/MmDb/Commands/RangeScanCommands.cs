using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>
/// HRANGESCAN, HREVSCAN and KEYSCAN: fields or keys in the order of their bytes, from a place on. Where the last call ended the next goes on, with the last
/// name that was replied and EXCLUSIVE; fewer than COUNT are the end. An empty begin is the beginning, from whichever end is walked.
/// </summary>
/// <remarks>
/// Tables have no order of names. One pass keeps the COUNT first ones that it meets: O(N) a call, whatever COUNT is, and no memory but for those. Other clients wait meanwhile, as
/// they do for KEYS. Whoever needs the order often, of many, keeps the names in a sorted set as well. The keys of a version are a tree in that order, of which KEYSCAN reads
/// no more than it passes.
/// </remarks>
public static unsafe class RangeScanCommands
{
    /// <summary>HRANGESCAN key begin [MATCH pattern] [COUNT count] [INCLUSIVE | EXCLUSIVE]</summary>
    public static readonly CommandSpec HRangeScan = OfFields(
        "hrangescan", "Returns fields and values of a hash in ascending order of their fields' bytes, from a field on.", &RunHRangeScan);

    /// <summary>HREVSCAN key begin [MATCH pattern] [COUNT count] [INCLUSIVE | EXCLUSIVE]</summary>
    public static readonly CommandSpec HRevScan = OfFields(
        "hrevscan", "Returns fields and values of a hash in descending order of their fields' bytes, from a field on.", &RunHRevScan);

    /// <summary>KEYSCAN begin [MATCH pattern] [COUNT count] [TYPE type] [INCLUSIVE | EXCLUSIVE]</summary>
    public static readonly CommandSpec KeyScan = new("keyscan", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N + M*log(C)) where N is the number of keys in the database, M of those that are looked at closer and C is COUNT: all keys are passed at each call. SCAN is cheaper where order does not matter. In a version O(log(N)+P) where P is the number of keys passed: those replied, and those that TYPE, or MATCH behind its literal beginning, leave out.",
        Summary = "Returns keys in ascending order of their bytes, from a key on.",
        Flags = CommandFlags.ReadOnly,
        Categories = ["keyspace", "dangerous"],
        Args =
        [
            Arg.String("begin"),
            Arg.Pattern("pattern").Token("MATCH").Optional(),
            Arg.Integer("count").Token("COUNT").Optional(),
            Arg.String("type").Token("TYPE").Optional(),
            Bounds(),
        ],
        Handler = &RunKeyScan,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [HRangeScan, HRevScan, KeyScan];

    private const long DefaultCount = 10;

    private static CommandSpec OfFields(string name, string summary, delegate*<CommandContext, void> handler) => new(name, -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N + M*log(C)) where N is the number of fields, M of those that are looked at closer and C is COUNT: all fields are passed at each call.",
        Summary = summary,
        Flags = CommandFlags.ReadOnly,
        Categories = ["hash"],
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("begin"),
            Arg.Pattern("pattern").Token("MATCH").Optional(),
            Arg.Integer("count").Token("COUNT").Optional(),
            Bounds(),
        ],
        Handler = handler,
    };

    private static Arg Bounds() => Arg.OneOf("bound", Arg.Word("inclusive", "INCLUSIVE"), Arg.Word("exclusive", "EXCLUSIVE")).Optional();

    private static void RunHRangeScan(CommandContext c) => ScanFields(c, descending: false);

    private static void RunHRevScan(CommandContext c) => ScanFields(c, descending: true);

    private static void ScanFields(CommandContext c, bool descending)
    {
        if (!TryOptions(c, 2, descending, takesType: false, out Options options) || !c.TryRead(c.Key(1), DataType.Hash, out byte* record))
        {
            return;
        }

        var selection = new Selection<Element>(options);
        if (record != null)
        {
            byte* scratch = stackalloc byte[Element.ScratchSize];
            using HashValue.Enumerator fields = new HashValue(c.Keyspace, record).Walk();
            while (fields.MoveNext())
            {
                selection.Offer(fields.Field.Text(scratch).Span, fields.Value);
            }
        }

        (byte[] Name, Element Value)[] found = selection.Take();
        c.Reply.Array(2L * found.Length);
        foreach ((byte[] name, Element value) in found)
        {
            c.Reply.Bulk(name);
            value.Reply(c.Reply);
        }
    }

    private static void RunKeyScan(CommandContext c)
    {
        if (!TryOptions(c, 1, descending: false, takesType: true, out Options options))
        {
            return;
        }

        var selection = new Selection<bool>(options);
        if (c.Keyspace.Source is { IsChangeable: false } source)
        {
            // The prefix says where such names begin and end.
            ReadOnlySpan<byte> prefix = GlobPattern.LiteralPrefix(options.Pattern);
            byte[] begin = (prefix.SequenceCompareTo(options.Begin) > 0 ? prefix : options.Begin).ToArray();
            foreach (SourceKey key in source.WalkFrom(c.Database.Index, begin))
            {
                ReadOnlySpan<byte> sorted = key.Name.AsSpan(0, Math.Min(key.Name.Length, source.SortedBytes));
                if (selection.IsBeyond(sorted) || (sorted.SequenceCompareTo(prefix) > 0 && !sorted.StartsWith(prefix[..Math.Min(prefix.Length, source.SortedBytes)])))
                {
                    break;
                }

                if ((options.AnyType || key.Type == options.Type) && key.IsLive(c.NowMs))
                {
                    selection.Offer(key.Name, true);
                }
            }
        }
        else
        {
            NativeList<nint> records = default;
            ulong cursor = 0;
            do
            {
                records.Clear();
                cursor = c.Database.ScanBucket(cursor, ref records);
                foreach (nint pointer in records.Span)
                {
                    byte* record = (byte*)pointer;
                    if ((options.AnyType || Record.Type(record) == (int?)options.Type) && !(Record.HasExpire(record) && c.Keyspace.IsExpired(record)))
                    {
                        selection.Offer(Record.KeySpan(record), true);
                    }
                }
            }
            while (cursor != 0);
            records.Dispose();
        }

        (byte[] Name, bool)[] found = selection.Take();
        c.Reply.Array(found.Length);
        foreach ((byte[] name, _) in found)
        {
            c.Reply.Bulk(name);
        }
    }

    private readonly ref struct Options(ReadOnlySpan<byte> begin, ReadOnlySpan<byte> pattern, long count, bool inclusive, bool descending, bool anyType, DataType? type)
    {
        public readonly ReadOnlySpan<byte> Begin = begin, Pattern = pattern;
        public readonly long Count = count;
        public readonly bool Inclusive = inclusive, Descending = descending, AnyType = anyType;
        public readonly DataType? Type = type;
    }

    private static bool TryOptions(CommandContext c, int at, bool descending, bool takesType, out Options options)
    {
        options = default;
        ReadOnlySpan<byte> pattern = "*"u8;
        long count = DefaultCount;
        bool inclusive = true, anyType = true;
        DataType? type = null;
        for (int i = at + 1; i < c.Count; i++)
        {
            bool hasValue = i + 1 < c.Count;
            if (c.Is(i, "INCLUSIVE"u8) || c.Is(i, "EXCLUSIVE"u8))
            {
                inclusive = c.Is(i, "INCLUSIVE"u8);
            }
            else if (hasValue && c.Is(i, "MATCH"u8))
            {
                pattern = c[++i].Span;
            }
            else if (hasValue && takesType && c.Is(i, "TYPE"u8))
            {
                anyType = false;
                type = KeyCommands.TypeNamed(c[++i]);
            }
            else if (hasValue && c.Is(i, "COUNT"u8))
            {
                if (!c.TryLong(++i, 1, long.MaxValue, Errors.CountNotPositive, out count))
                {
                    return false;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        options = new Options(c[at].Span, pattern, count, inclusive, descending, anyType, type);
        return true;
    }

    /// <summary>The first names in order, of those that were offered and are wanted.</summary>
    private readonly ref struct Selection<T>
    {
        private readonly Options _options;
        private readonly bool _all;
        private readonly PriorityQueue<T, byte[]> _kept;

        public Selection(in Options options)
        {
            _options = options;
            _all = GlobPattern.MatchesAll(options.Pattern);

            // The last of those that are kept is the first to go.
            _kept = new PriorityQueue<T, byte[]>(options.Descending ? _ascending : _descending);
        }

        /// <summary>Whether nothing is wanted any more that comes with or after names that begin so: enough are kept, and all come before.</summary>
        public bool IsBeyond(ReadOnlySpan<byte> beginning) =>
            _kept.Count == _options.Count && _kept.TryPeek(out _, out byte[]? last) && beginning.SequenceCompareTo(last.AsSpan(0, Math.Min(last.Length, beginning.Length))) > 0;

        public void Offer(ReadOnlySpan<byte> name, T value)
        {
            int direction = _options.Descending ? -1 : 1;
            if (_options.Begin.Length > 0 && name.SequenceCompareTo(_options.Begin) * direction is var place && (place < 0 || (place == 0 && !_options.Inclusive)))
            {
                return;
            }

            bool isFull = _kept.Count == _options.Count;
            if (isFull && _kept.TryPeek(out _, out byte[]? last) && name.SequenceCompareTo(last) * direction > 0)
            {
                return;
            }

            if (_all || GlobPattern.Matches(_options.Pattern, name))
            {
                if (isFull)
                {
                    _kept.Dequeue();
                }

                _kept.Enqueue(value, name.ToArray());
            }
        }

        public (byte[] Name, T Value)[] Take()
        {
            var found = new (byte[], T)[_kept.Count];
            for (int i = found.Length - 1; i >= 0; i--)
            {
                _kept.TryDequeue(out T? value, out byte[]? name);
                found[i] = (name!, value!);
            }

            return found;
        }
    }

    private static readonly Comparer<byte[]> _ascending = Comparer<byte[]>.Create(static (a, b) => a.AsSpan().SequenceCompareTo(b));

    private static readonly Comparer<byte[]> _descending = Comparer<byte[]>.Create(static (a, b) => b.AsSpan().SequenceCompareTo(a));
}
