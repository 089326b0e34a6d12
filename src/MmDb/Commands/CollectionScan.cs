using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>
/// One call of HSCAN, SSCAN or ZSCAN: its cursor and options, and the elements that it replies. A compact collection is replied
/// as a whole; a table bucket by bucket, so that whatever stays in it from the first call to the last is replied at least once.
/// </summary>
internal unsafe ref struct CollectionScan
{
    private readonly RespWriter _reply;
    private readonly ReadOnlySpan<byte> _pattern;
    private readonly bool _all;
    private readonly long _wanted;
    private ulong _cursor;
    private long _mark;
    private long _replied;

    private CollectionScan(RespWriter reply, ulong cursor, ReadOnlySpan<byte> pattern, bool all, long wanted, bool namesOnly)
    {
        NamesOnly = namesOnly;
        _reply = reply;
        _cursor = cursor;
        _pattern = pattern;
        _all = all;
        _wanted = wanted;
    }

    /// <summary>
    /// Reads <c>key cursor [MATCH pattern] [COUNT count]</c> and looks the key up. False when all is replied already: an error, or
    /// that there is no such key.
    /// </summary>
    public static bool TryStart(CommandContext c, DataType type, out byte* record, out CollectionScan scan)
    {
        scan = default;
        record = null;
        if (!KeyCommands.TryCursor(c, 2, out ulong cursor) || !c.TryRead(c.Key(1), type, out record))
        {
            return false;
        }

        if (record == null)
        {
            // Redis does not look at the options either where there is nothing to scan.
            c.Reply.Array(2);
            c.Reply.BulkInteger(0);
            c.Reply.EmptyArray();
            return false;
        }

        long count = 10;
        ReadOnlySpan<byte> pattern = default;
        bool all = true, namesOnly = false;
        for (int i = 3; i < c.Count; i += 2)
        {
            bool hasValue = i + 1 < c.Count;
            if (hasValue && c.Is(i, "COUNT"u8))
            {
                if (!c.TryLong(i + 1, out count))
                {
                    return false;
                }

                if (count < 1)
                {
                    c.Error(Errors.Syntax);
                    return false;
                }
            }
            else if (hasValue && c.Is(i, "MATCH"u8))
            {
                pattern = c[i + 1].Span;
                all = GlobPattern.MatchesAll(pattern);
            }
            else if (c.Is(i, "NOVALUES"u8))
            {
                if (type != DataType.Hash)
                {
                    c.Error("ERR NOVALUES option can only be used in HSCAN"u8);
                    return false;
                }

                namesOnly = true;
                i--;
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        scan = new CollectionScan(c.Reply, cursor, pattern, all, count, namesOnly);
        return true;
    }

    /// <summary>Whether only the fields of a hash are wanted.</summary>
    public bool NamesOnly { get; }

    /// <summary>Whether the pattern lets an element through.</summary>
    public readonly bool Matches(in Element element)
    {
        if (_all)
        {
            return true;
        }

        byte* scratch = stackalloc byte[Element.ScratchSize];
        return GlobPattern.Matches(_pattern, element.Text(scratch).Span);
    }

    /// <summary>Takes the next buckets of a table, as many as the count asks for; the caller replies the records that match.</summary>
    public void Take(KeyTable* table, ref NativeList<nint> records)
    {
        // Ten times the count bounds the steps through empty buckets; the count bounds the elements looked at.
        long steps = _wanted > long.MaxValue / 10 ? long.MaxValue : _wanted * 10;
        do
        {
            _cursor = table->ScanBucket(_cursor, ref records);
        }
        while (_cursor != 0 && steps-- > 0 && records.Count < _wanted);
    }

    /// <summary>A compact collection is replied as a whole.</summary>
    public void TakeAll() => _cursor = 0;

    /// <summary>Begins the reply, when it is known where the scan will go on.</summary>
    public void BeginReply()
    {
        _reply.Array(2);
        _reply.BulkInteger((long)_cursor);
        _mark = _reply.BeginDeferred();
    }

    /// <summary>Replies a part of an element.</summary>
    public void Reply(in Element part)
    {
        part.Reply(_reply);
        _replied++;
    }

    /// <summary>Ends the reply.</summary>
    public readonly void EndReply() => _reply.EndDeferredArray(_mark, _replied);
}
