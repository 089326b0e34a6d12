using System.Numerics;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Values;

/// <summary>
/// Reads a stream: its entries, and its consumer groups with what is pending. It borrows the record it was made from and is valid until
/// the stream changes.
/// </summary>
public readonly unsafe struct StreamValue
{
    /// <summary>That a group's count of read entries is not known.</summary>
    public const long UnknownEntriesRead = -1;

    private readonly StreamStructure* _stream;

    /// <summary>The stream at a key's record.</summary>
    public StreamValue(byte* record) => _stream = Record.NativePointer<StreamStructure>(record);

    /// <summary>Number of entries.</summary>
    public long Count => _stream->Count;

    /// <summary>The id that new ones must be above.</summary>
    public StreamId LastId => _stream->LastId;

    /// <summary>The id of the first entry; 0-0 if there is none.</summary>
    public StreamId FirstId => _stream->FirstId;

    /// <summary>The largest id that was deleted; 0-0 if none was.</summary>
    public StreamId MaxDeletedId => _stream->MaxDeletedId;

    /// <summary>Entries added in all its life.</summary>
    public ulong EntriesAdded => _stream->EntriesAdded;

    /// <summary>The entries between two ids, both included; before the first of them, or, backwards, the last.</summary>
    public StreamCursor Entries(StreamId from, StreamId to, bool backwards = false) => new(_stream->Nodes, from, to, backwards);

    /// <summary>The last entry's id; 0-0 if there is none.</summary>
    public StreamId LastEntryId() => _stream->LastEntryId();

    /// <summary>Whether an entry is there.</summary>
    public bool Contains(StreamId id) => _stream->Contains(id);

    /// <summary>Whether a trim up to an id has something to do: an entry is below it, or the first node holds deleted ones only.</summary>
    internal bool HasBefore(StreamId id) =>
        (Count > 0 && FirstId < id) || (_stream->Nodes.First() is { IsValid: true } first && StreamNode.ReadMaster(first.Block->Data).Live == 0);

    /// <summary>
    /// How many entries the first nodes hold that go whole when no more than <paramref name="maxLength"/> entries, or, without that, none of
    /// the ids below <paramref name="minId"/>, are to stay; at most so many entries (0: no limit).
    /// </summary>
    internal long CountOfWholeNodes(long? maxLength, StreamId minId, long limit, out bool dropsEmptied)
    {
        dropsEmptied = false;
        long removed = 0;
        for (IdCursor node = _stream->Nodes.First(); node.IsValid; node.MoveNext())
        {
            long left = Count - removed;
            StreamBlock* block = node.Block;
            long live = StreamNode.ReadMaster(block->Data).Live;
            if (left <= maxLength || (limit != 0 && removed + live > limit))
            {
                break;
            }

            bool whole = maxLength is { } length
                ? left - live >= length
                : !StreamNode.TryLastId(block->Data, block->Length, node.Id, out StreamId lastId) || lastId < minId;
            if (!whole)
            {
                break;
            }

            removed += live;
            dropsEmptied = live == 0;
        }

        return removed;
    }

    /// <summary>Number of nodes.</summary>
    public long NodeCount => _stream->Nodes.Count;

    /// <summary>The nodes, in the order of their ids.</summary>
    public StreamNodeCursor Nodes => new(_stream->Nodes.First());

    /// <summary>How many nodes Redis's radix tree would need to find the stream's nodes by their ids (XINFO STREAM).</summary>
    public long RadixTreeNodes()
    {
        // A compressed tree of keys of one length: a node for each key's end, one for each place where keys part, and one for each
        // way of more than one byte between those.
        const int KeyBytes = 16;
        long count = NodeCount;
        if (count <= 1)
        {
            return count + 1;
        }

        // Depths of the places where keys part that lie on the way to the last key seen, the deepest last.
        Span<int> open = stackalloc int[KeyBytes + 1];
        int depth = 0;
        long nodes = 0;
        StreamNodeCursor cursor = Nodes;
        cursor.MoveNext();
        StreamId last = cursor.Id;
        int bottom = KeyBytes;
        while (true)
        {
            bool more = cursor.MoveNext();
            int parts = more ? CommonBytes(last, cursor.Id) : -1;

            // The way up from the last key: its end, then each parting that is closed now.
            nodes++;
            while (depth > 0 && open[depth - 1] > parts)
            {
                int parting = open[--depth];
                nodes += 1 + (bottom - parting > 1 ? 1 : 0);
                bottom = parting;
            }

            if (!more)
            {
                return nodes + (bottom > 0 ? 1 : 0);
            }

            if (depth == 0 || open[depth - 1] < parts)
            {
                open[depth++] = parts;
            }

            nodes += bottom - parts > 1 ? 1 : 0;
            bottom = KeyBytes;
            last = cursor.Id;
        }
    }

    private static int CommonBytes(StreamId a, StreamId b) => a.Ms != b.Ms
        ? BitOperations.LeadingZeroCount(a.Ms ^ b.Ms) / 8
        : 8 + (BitOperations.LeadingZeroCount(a.Seq ^ b.Seq) / 8);

    // ------------------------------------------------------------------ groups

    /// <summary>Number of consumer groups.</summary>
    public int GroupCount => _stream->GroupCount;

    /// <summary>A group by its place in the order of names.</summary>
    public StreamGroupValue Group(int index) => new(_stream->Groups[index]);

    /// <summary>A group by name; not valid if there is none.</summary>
    public StreamGroupValue FindGroup(ReadOnlySpan<byte> name) => new(_stream->FindGroup(name));

    /// <summary>Whether entries may have been deleted behind an id, so that what lies there cannot be told from counts.</summary>
    public bool MayHaveHolesFrom(StreamId id) =>
        Count > 0 && !MaxDeletedId.IsZero && FirstId <= MaxDeletedId && id <= MaxDeletedId;

    /// <summary>How many entries were ever added up to an id, where that can be told; -1 where it cannot.</summary>
    public long EntriesUpTo(StreamId id)
    {
        if (EntriesAdded == 0)
        {
            return 0;
        }

        if ((Count == 0 && id <= LastId) || id == LastId)
        {
            return (long)EntriesAdded;
        }

        if (id > LastId || !(MaxDeletedId.IsZero || MaxDeletedId < FirstId))
        {
            return UnknownEntriesRead;
        }

        // Nothing was deleted among the entries there are.
        return id < FirstId ? (long)EntriesAdded - Count : id == FirstId ? (long)EntriesAdded - Count + 1 : UnknownEntriesRead;
    }

    /// <summary>How many entries a group has yet to read; null where that cannot be told.</summary>
    public long? LagOf(StreamGroupValue group)
    {
        if (EntriesAdded == 0)
        {
            return 0;
        }

        long read = group.EntriesRead != UnknownEntriesRead && !MayHaveHolesFrom(group.LastId) ? group.EntriesRead : EntriesUpTo(group.LastId);
        return read == UnknownEntriesRead ? null : (long)EntriesAdded - read;
    }
}

/// <summary>Walks over the nodes of a stream; for writing the stream elsewhere as it is held.</summary>
public unsafe struct StreamNodeCursor
{
    private IdCursor _cursor;
    private bool _started;

    internal StreamNodeCursor(IdCursor first)
    {
        _cursor = first;
        _started = false;
    }

    /// <summary>Goes on to the next node; false if there is none.</summary>
    public bool MoveNext()
    {
        if (_started && _cursor.IsValid)
        {
            _cursor.MoveNext();
        }

        _started = true;
        return _cursor.IsValid;
    }

    /// <summary>The node's id: that of its first entry, deleted or not.</summary>
    public readonly StreamId Id => _cursor.Id;

    /// <summary>The node's <see cref="Pack"/>, whose words are those of Redis's listpack.</summary>
    public readonly byte* Data => _cursor.Block->Data;

    /// <summary>Its length.</summary>
    public readonly int Length => _cursor.Block->Length;

    /// <summary>Whether bytes from elsewhere are a sound node of that id.</summary>
    public static bool Validate(byte* data, int length, StreamId id) => Pack.Validate(data, length) && StreamNode.Validate(data, length, id);
}

/// <summary>Reads a consumer group.</summary>
public readonly unsafe struct StreamGroupValue
{
    private readonly StreamGroup* _group;

    internal StreamGroupValue(StreamGroup* group) => _group = group;

    /// <summary>Whether there is such a group.</summary>
    public bool IsValid => _group != null;

    /// <summary>Its name.</summary>
    public ReadOnlySpan<byte> Name => _group->Name;

    /// <summary>Up to where it has read.</summary>
    public StreamId LastId => _group->LastId;

    /// <summary>How many entries it has read; -1 where that is not known.</summary>
    public long EntriesRead => _group->EntriesRead;

    /// <summary>Number of entries that were delivered and not acknowledged.</summary>
    public long PendingCount => _group->Pending.Count;

    /// <summary>Number of consumers.</summary>
    public int ConsumerCount => _group->ConsumerCount;

    /// <summary>A consumer by its place in the order of names.</summary>
    public StreamConsumerValue Consumer(int index) => new(_group, _group->Consumers[index]);

    /// <summary>A consumer by name; not valid if there is none.</summary>
    public StreamConsumerValue FindConsumer(ReadOnlySpan<byte> name) => new(_group, _group->FindConsumer(name));

    /// <summary>The pending entries from an id on.</summary>
    public StreamPendingCursor Pending(StreamId from) => new(_group, _group->Pending.AtOrAfter(from), ofConsumer: false);

    /// <summary>The last pending entry's id; there must be one.</summary>
    public StreamId LastPendingId => _group->Pending.Last().Id;

    /// <summary>One pending entry; not valid if it is not pending.</summary>
    public StreamPendingCursor FindPending(StreamId id) => new(_group, _group->Pending.Find(id), ofConsumer: false);
}

/// <summary>Reads a consumer.</summary>
public readonly unsafe struct StreamConsumerValue
{
    private readonly StreamGroup* _group;
    private readonly StreamConsumer* _consumer;

    internal StreamConsumerValue(StreamGroup* group, StreamConsumer* consumer)
    {
        _group = group;
        _consumer = consumer;
    }

    /// <summary>Whether there is such a consumer.</summary>
    public bool IsValid => _consumer != null;

    /// <summary>Its name.</summary>
    public ReadOnlySpan<byte> Name => _consumer->Name;

    /// <summary>When it was last heard of, in Unix milliseconds.</summary>
    public long SeenMs => _consumer->SeenMs;

    /// <summary>When it last got something; -1: never.</summary>
    public long ActiveMs => _consumer->ActiveMs;

    /// <summary>Number of entries pending with it.</summary>
    public long PendingCount => _consumer->Pending.Count;

    /// <summary>The entries pending with it, from an id on.</summary>
    public StreamPendingCursor Pending(StreamId from) => new(_group, _consumer->Pending.AtOrAfter(from), ofConsumer: true);

    /// <summary>Whether both are the same consumer.</summary>
    public bool Is(StreamConsumerValue other) => _consumer == other._consumer;
}

/// <summary>Walks over pending entries; good until any of them changes.</summary>
public unsafe struct StreamPendingCursor
{
    private readonly StreamGroup* _group;
    private readonly bool _ofConsumer;
    private IdCursor _cursor;

    internal StreamPendingCursor(StreamGroup* group, IdCursor cursor, bool ofConsumer)
    {
        _group = group;
        _cursor = cursor;
        _ofConsumer = ofConsumer;
    }

    /// <summary>Whether there is an entry here.</summary>
    public readonly bool IsValid => _cursor.IsValid;

    /// <summary>Its id.</summary>
    public readonly StreamId Id => _cursor.Id;

    /// <summary>When it was delivered last, in Unix milliseconds.</summary>
    public readonly long DeliveredMs => Entry->DeliveredMs;

    /// <summary>How often it was delivered.</summary>
    public readonly ulong Deliveries => Entry->Deliveries;

    /// <summary>Who has it.</summary>
    public readonly StreamConsumerValue Consumer => new(_group, _group->ConsumerAt(Entry->Consumer));

    private readonly PendingEntry* Entry => _ofConsumer ? _group->Pending.Find(_cursor.Id).Pending : _cursor.Pending;

    /// <summary>Goes on to the next one, or nowhere.</summary>
    public void MoveNext() => _cursor.MoveNext();
}
