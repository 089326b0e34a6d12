using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>One entry that a consumer takes over: when it counts as delivered, and how often.</summary>
/// <param name="Id">The entry.</param>
/// <param name="DeliveredMs">Unix milliseconds.</param>
/// <param name="Deliveries">How often.</param>
public readonly record struct ClaimedEntry(StreamId Id, long DeliveredMs, ulong Deliveries);

/// <content>
/// Effects on streams. What a trim or a read found is logged as its outcome (how many entries went, which were delivered), and so is
/// whether an entry begins a node: a stream has the same nodes wherever its log is replayed, whatever the settings are there.
/// </content>
public sealed unsafe partial class Effects
{
    private NativeList<StreamId> _replayIds;
    private NativeList<ClaimedEntry> _replayClaims;

    // ------------------------------------------------------------------ entries

    /// <summary>An empty stream, where there is nothing.</summary>
    public void StreamCreate(in Key key)
    {
        ulong* slot = Open(key);
        Append(EffectTag.StreamCreate, key);
        if (slot == null)
        {
            NewStream(key);
            ChangedAndReady(key);
        }
    }

    /// <summary>
    /// Adds an entry; nothing happens unless its id is above all there were. Whether it begins a node follows from the settings, unless
    /// it is given (in a log).
    /// </summary>
    public void StreamAdd(in Key key, StreamId id, Slice* pairs, int count, bool? beginsNode = null)
    {
        ulong* slot = Open(key);
        bool fits = TryStream(slot, out StreamStructure* stream);
        bool begins = beginsNode ?? (stream == null || BeginsNode(stream, pairs, count));
        EffectWriter writer = Append(EffectTag.StreamAdd, key);
        if (writer.IsOn)
        {
            Write(writer, id);
            writer.Byte(begins ? (byte)1 : (byte)0);
            writer.Varint((ulong)count);
            for (int i = 0; i < count; i++)
            {
                writer.Bytes(pairs[i].Pointer, pairs[i].Length);
            }
        }

        if (!fits || count < 2 || (count & 1) != 0 || id <= (stream == null ? StreamId.Min : stream->LastId))
        {
            return;
        }

        if (stream == null)
        {
            stream = NewStream(key);
        }

        stream->Append(_keyspace.Heap, id, pairs, count, begins);
        ChangedAndReady(key);
    }

    private bool BeginsNode(StreamStructure* stream, Slice* pairs, int count)
    {
        long bytes = 0;
        for (int i = 0; i < count; i++)
        {
            bytes += pairs[i].Length;
        }

        return stream->NeedsNode(bytes, _keyspace.Options.StreamNodeMaxBytes, _keyspace.Options.StreamNodeMaxEntries);
    }

    /// <summary>Deletes entries; gives how many were there.</summary>
    public int StreamDelete(in Key key, StreamId* ids, int count)
    {
        ulong* slot = Open(key);
        if (!TryStream(slot, out StreamStructure* stream) || stream == null)
        {
            WriteIds(Append(EffectTag.StreamDelete, key), ids, count);
            return 0;
        }

        int deleted = 0;
        bool first = false;
        for (int i = 0; i < count; i++)
        {
            if (!stream->Delete(_keyspace.Heap, ids[i]))
            {
                continue;
            }

            if (deleted++ == 0)
            {
                WriteIds(Append(EffectTag.StreamDelete, key), ids, count);
            }

            first |= ids[i] == stream->FirstId;
            if (ids[i] > stream->MaxDeletedId)
            {
                stream->MaxDeletedId = ids[i];
            }
        }

        if (first || stream->Count == 0)
        {
            stream->FindFirstId();
        }

        if (deleted > 0)
        {
            ChangedMany(key, deleted);
        }

        return deleted;
    }

    /// <summary>Removes the first entries; if said so, also the nodes behind them that hold deleted entries only. Gives how many went.</summary>
    public long StreamTrim(in Key key, long count, bool dropsEmptied)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StreamTrim, key);
        writer.Varint((ulong)count);
        writer.Byte(dropsEmptied ? (byte)1 : (byte)0);
        return TryStream(slot, out StreamStructure* stream) && stream != null
            ? Trimmed(key, stream->Trim(_keyspace.Heap, count, before: null, dropsEmptied))
            : 0;
    }

    /// <summary>Removes the entries below an id; gives how many went.</summary>
    public long StreamTrimBefore(in Key key, StreamId id)
    {
        ulong* slot = Open(key);
        Write(Append(EffectTag.StreamTrimBefore, key), id);
        return TryStream(slot, out StreamStructure* stream) && stream != null
            ? Trimmed(key, stream->Trim(_keyspace.Heap, 0, id, dropsEmptied: true))
            : 0;
    }

    private long Trimmed(in Key key, long removed)
    {
        if (removed > 0)
        {
            _keyspace.Dirty += removed - 1;
            Changed(key);
        }

        return removed;
    }

    /// <summary>
    /// Sets the id that new ones must be above, unless that is below an entry's; how many entries were ever added (as 64 bits; -1: as it is), and the
    /// largest deleted id (0-0: as it is).
    /// </summary>
    public void StreamSetId(in Key key, StreamId lastId, long entriesAdded, StreamId maxDeletedId)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StreamSetId, key);
        Write(writer, lastId);
        writer.Zigzag(entriesAdded);
        Write(writer, maxDeletedId);
        if (!TryStream(slot, out StreamStructure* stream) || stream == null || (stream->Count > 0 && lastId < stream->LastEntryId()))
        {
            return;
        }

        stream->LastId = lastId;
        stream->EntriesAdded = entriesAdded != -1 ? (ulong)entriesAdded : stream->EntriesAdded;
        stream->MaxDeletedId = maxDeletedId.IsZero ? stream->MaxDeletedId : maxDeletedId;
        _keyspace.Dirty++;
    }

    /// <summary>
    /// Puts a node behind all others as it is: how a stream is built from another's nodes (then <see cref="StreamSetId"/>, groups, consumers
    /// and <see cref="StreamClaim(in Key, ReadOnlySpan{byte}, ReadOnlySpan{byte}, long, ClaimedEntry*, int)"/>). Nothing happens if it is no sound node, or not behind them.
    /// </summary>
    public void StreamAppendNode(in Key key, StreamId id, byte* data, int length)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StreamAppendNode, key);
        Write(writer, id);
        writer.Bytes(data, length);
        bool fits = TryStream(slot, out StreamStructure* stream) && StreamNodeCursor.Validate(data, length, id);
        if (!fits || id <= (stream == null ? StreamId.Min : stream->LastId))
        {
            return;
        }

        if (stream == null)
        {
            stream = NewStream(key);
        }

        long before = stream->Count;
        stream->AppendNode(_keyspace.Heap, id, data, length);
        _ = StreamNode.TryLastId(data, length, id, out StreamId last);
        stream->LastId = last;
        stream->EntriesAdded += (ulong)(stream->Count - before);
        if (before == 0)
        {
            stream->FindFirstId();
        }

        ChangedAndReady(key);
    }

    // ------------------------------------------------------------------ groups

    /// <summary>A group that has read up to an id; the stream is made where there is nothing. False if the name is taken.</summary>
    public bool StreamGroupCreate(in Key key, ReadOnlySpan<byte> group, StreamId lastId, long entriesRead)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StreamGroupCreate, key);
        writer.Bytes(group);
        Write(writer, lastId);
        writer.Zigzag(entriesRead);
        if (!TryStream(slot, out StreamStructure* stream))
        {
            return false;
        }

        if (stream == null)
        {
            stream = NewStream(key);
            ChangedAndReady(key);
            _keyspace.Dirty--;
        }

        if (stream->AddGroup(_keyspace.Heap, group, lastId, entriesRead) == null)
        {
            return false;
        }

        _keyspace.Dirty++;
        return true;
    }

    /// <summary>Sets what a group has read.</summary>
    public void StreamGroupSetId(in Key key, ReadOnlySpan<byte> group, StreamId lastId, long entriesRead)
    {
        ulong* slot = Open(key);
        EffectWriter writer = Append(EffectTag.StreamGroupSetId, key);
        writer.Bytes(group);
        Write(writer, lastId);
        writer.Zigzag(entriesRead);
        StreamGroup* found = FindGroup(slot, group);
        if (found != null)
        {
            found->LastId = lastId;
            found->EntriesRead = entriesRead;
            _keyspace.Dirty++;
        }
    }

    /// <summary>A group goes, with its consumers; who waits in it learns of it.</summary>
    public void StreamGroupDestroy(in Key key, ReadOnlySpan<byte> group)
    {
        ulong* slot = Open(key);
        Append(EffectTag.StreamGroupDestroy, key).Bytes(group);
        if (!TryStream(slot, out StreamStructure* stream) || stream == null)
        {
            return;
        }

        StreamGroup* found = stream->DetachGroup(group);
        if (found == null)
        {
            return;
        }

        // It may hold millions of pending entries: it goes as the only group of a stream of its own, in slices.
        _keyspace.LazyFree.ReleaseStream(StreamStructure.CreateAround(_keyspace.Heap, found));
        _keyspace.Dirty++;
        SignalGone(key);
    }

    /// <summary>A consumer; nothing happens if there is one of that name.</summary>
    public void StreamConsumerCreate(in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer, long seenMs, long activeMs = -1)
    {
        ulong* slot = Open(key);
        EffectWriter writer = AppendConsumer(EffectTag.StreamConsumerCreate, key, group, consumer);
        writer.Int64(seenMs);
        writer.Int64(activeMs);
        StreamGroup* found = FindGroup(slot, group);
        StreamConsumer* added = found == null ? null : found->AddConsumer(_keyspace.Heap, consumer, seenMs);
        if (added != null)
        {
            added->ActiveMs = activeMs;
            _keyspace.Dirty++;
        }
    }

    /// <summary>A consumer goes, with what is pending with it.</summary>
    public void StreamConsumerDelete(in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer)
    {
        ulong* slot = Open(key);
        AppendConsumer(EffectTag.StreamConsumerDelete, key, group, consumer);
        StreamGroup* found = FindGroup(slot, group);
        if (found != null && found->RemoveConsumer(_keyspace.Heap, consumer) >= 0)
        {
            _keyspace.Dirty++;
        }
    }

    /// <summary>A consumer was heard of.</summary>
    public void StreamConsumerSeen(in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer, long seenMs)
    {
        ulong* slot = Open(key);
        AppendConsumer(EffectTag.StreamConsumerSeen, key, group, consumer).Int64(seenMs);
        StreamConsumer* found = FindConsumer(FindGroup(slot, group), consumer);
        if (found != null)
        {
            found->SeenMs = seenMs;
        }
    }

    /// <summary>A group has read up to an id, and these entries are pending with a consumer now, delivered once.</summary>
    public void StreamDeliver(
        in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer, long timeMs, StreamId lastId, long entriesRead, StreamId* ids, int count)
    {
        ulong* slot = Open(key);
        EffectWriter writer = AppendConsumer(EffectTag.StreamDeliver, key, group, consumer);
        writer.Int64(timeMs);
        Write(writer, lastId);
        writer.Zigzag(entriesRead);
        WriteIds(writer, ids, count);
        StreamGroup* found = FindGroup(slot, group);
        StreamConsumer* to = FindConsumer(found, consumer);
        if (to == null)
        {
            return;
        }

        found->LastId = lastId;
        found->EntriesRead = entriesRead;
        to->SeenMs = timeMs;
        if (count > 0)
        {
            to->ActiveMs = timeMs;
        }

        for (int i = 0; i < count; i++)
        {
            found->Assign(_keyspace.Heap, ids[i], to, timeMs, 1);
        }

        _keyspace.Dirty++;
    }

    /// <summary>Entries that were pending were delivered once more.</summary>
    public void StreamRedeliver(in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer, long timeMs, StreamId* ids, int count)
    {
        ulong* slot = Open(key);
        EffectWriter writer = AppendConsumer(EffectTag.StreamRedeliver, key, group, consumer);
        writer.Int64(timeMs);
        WriteIds(writer, ids, count);
        StreamGroup* found = FindGroup(slot, group);
        StreamConsumer* to = FindConsumer(found, consumer);
        if (to == null)
        {
            return;
        }

        to->SeenMs = timeMs;
        for (int i = 0; i < count; i++)
        {
            var entry = (PendingEntry*)found->Pending.FindForWrite(_keyspace.Heap, ids[i]);
            if (entry != null)
            {
                entry->DeliveredMs = timeMs;
                entry->Deliveries++;
            }
        }

        _keyspace.Dirty++;
    }

    /// <summary>Entries are pending with a consumer now, wherever they were before; it was active at a time (0: its times stay).</summary>
    public void StreamClaim(in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer, long timeMs, ClaimedEntry* claims, int count)
    {
        ulong* slot = Open(key);
        EffectWriter writer = AppendConsumer(EffectTag.StreamClaim, key, group, consumer);
        if (writer.IsOn)
        {
            writer.Int64(timeMs);
            writer.Varint((ulong)count);
            for (int i = 0; i < count; i++)
            {
                Write(writer, claims[i].Id);
                writer.Int64(claims[i].DeliveredMs);
                writer.Varint(claims[i].Deliveries);
            }
        }

        StreamGroup* found = FindGroup(slot, group);
        StreamConsumer* to = FindConsumer(found, consumer);
        if (to == null)
        {
            return;
        }

        if (timeMs != 0)
        {
            to->SeenMs = timeMs;
            to->ActiveMs = count > 0 ? timeMs : to->ActiveMs;
        }

        for (int i = 0; i < count; i++)
        {
            found->Assign(_keyspace.Heap, claims[i].Id, to, claims[i].DeliveredMs, claims[i].Deliveries);
        }

        _keyspace.Dirty += count;
    }

    /// <summary>Entries are no longer pending; gives how many were. Nothing is logged if none was.</summary>
    public int StreamAcknowledge(in Key key, ReadOnlySpan<byte> group, StreamId* ids, int count)
    {
        ulong* slot = Open(key);
        StreamGroup* found = FindGroup(slot, group);
        int acknowledged = 0;
        for (int i = 0; found != null && i < count; i++)
        {
            if (found->Acknowledge(_keyspace.Heap, ids[i]) && acknowledged++ == 0)
            {
                EffectWriter writer = Append(EffectTag.StreamAcknowledge, key);
                writer.Bytes(group);
                WriteIds(writer, ids, count);
            }
        }

        _keyspace.Dirty += acknowledged;
        return acknowledged;
    }

    // ------------------------------------------------------------------ what they share

    private StreamStructure* NewStream(in Key key)
    {
        StreamStructure* stream = StreamStructure.Create(_keyspace.Heap);
        CreateOwner(key, DataType.Stream, DataEncoding.Stream, stream);
        return stream;
    }

    /// <summary>The stream of a slot, null if there is nothing; false if something else is there.</summary>
    private static bool TryStream(ulong* slot, out StreamStructure* stream)
    {
        stream = null;
        if (slot == null)
        {
            return true;
        }

        byte* record = KeyTable.Get(slot);
        if (Record.Type(record) != (int)DataType.Stream)
        {
            return false;
        }

        stream = Record.NativePointer<StreamStructure>(record);
        return true;
    }

    private static StreamGroup* FindGroup(ulong* slot, ReadOnlySpan<byte> group) =>
        TryStream(slot, out StreamStructure* stream) && stream != null ? stream->FindGroup(group) : null;

    private static StreamConsumer* FindConsumer(StreamGroup* group, ReadOnlySpan<byte> consumer) => group == null ? null : group->FindConsumer(consumer);

    private EffectWriter AppendConsumer(EffectTag tag, in Key key, ReadOnlySpan<byte> group, ReadOnlySpan<byte> consumer)
    {
        EffectWriter writer = Append(tag, key);
        writer.Bytes(group);
        writer.Bytes(consumer);
        return writer;
    }

    private static void Write(EffectWriter writer, StreamId id)
    {
        writer.Varint(id.Ms);
        writer.Varint(id.Seq);
    }

    private static void WriteIds(EffectWriter writer, StreamId* ids, int count)
    {
        if (!writer.IsOn)
        {
            return;
        }

        writer.Varint((ulong)count);
        ulong last = 0;
        for (int i = 0; i < count; i++)
        {
            writer.Zigzag((long)(ids[i].Ms - last));
            writer.Varint(ids[i].Seq);
            last = ids[i].Ms;
        }
    }

    // ------------------------------------------------------------------ replay

    private static StreamId ReadId(ref EffectReader reader)
    {
        ulong ms = reader.Varint();
        return new StreamId(ms, reader.Varint());
    }

    private StreamId* ReadIds(ref EffectReader reader, out int count)
    {
        count = reader.Int32();
        _replayIds.Clear();
        ulong last = 0;
        for (int i = 0; i < count; i++)
        {
            last += (ulong)reader.Zigzag();
            _replayIds.Add(new StreamId(last, reader.Varint()));
        }

        return _replayIds.Items;
    }

    private static ReadOnlySpan<byte> ReadName(scoped ref EffectReader reader)
    {
        byte* name = reader.Bytes(out int length);
        return new ReadOnlySpan<byte>(name, length);
    }

    private bool ApplyStream(ref EffectReader reader, EffectTag tag)
    {
        if (tag is < EffectTag.StreamCreate or > EffectTag.StreamAcknowledge)
        {
            return false;
        }

        Key key = reader.Key(_keyspace);
        switch (tag)
        {
            case EffectTag.StreamCreate:
                StreamCreate(key);
                return true;
            case EffectTag.StreamAdd:
                StreamId id = ReadId(ref reader);
                bool begins = reader.Byte() != 0;
                Slice* pairs = ReadItems(ref reader, out int pairCount);
                StreamAdd(key, id, pairs, pairCount, begins);
                return true;
            case EffectTag.StreamDelete:
                StreamId* deleted = ReadIds(ref reader, out int deletedCount);
                StreamDelete(key, deleted, deletedCount);
                return true;
            case EffectTag.StreamTrim:
                ulong trimmed = reader.Varint();
                StreamTrim(key, (long)Math.Min(trimmed, long.MaxValue), reader.Byte() != 0);
                return true;
            case EffectTag.StreamTrimBefore:
                StreamTrimBefore(key, ReadId(ref reader));
                return true;
            case EffectTag.StreamSetId:
                StreamId last = ReadId(ref reader);
                long added = reader.Zigzag();
                StreamSetId(key, last, added, ReadId(ref reader));
                return true;
            case EffectTag.StreamAppendNode:
                StreamId nodeId = ReadId(ref reader);
                byte* node = reader.Bytes(out int nodeLength);
                StreamAppendNode(key, nodeId, node, nodeLength);
                return true;
            default:
                ApplyGroup(ref reader, tag, key);
                return true;
        }
    }

    private void ApplyGroup(ref EffectReader reader, EffectTag tag, in Key key)
    {
        ReadOnlySpan<byte> group = ReadName(ref reader);
        switch (tag)
        {
            case EffectTag.StreamGroupCreate:
                StreamId from = ReadId(ref reader);
                StreamGroupCreate(key, group, from, reader.Zigzag());
                return;
            case EffectTag.StreamGroupSetId:
                StreamId last = ReadId(ref reader);
                StreamGroupSetId(key, group, last, reader.Zigzag());
                return;
            case EffectTag.StreamGroupDestroy:
                StreamGroupDestroy(key, group);
                return;
            case EffectTag.StreamAcknowledge:
                StreamId* ids = ReadIds(ref reader, out int count);
                StreamAcknowledge(key, group, ids, count);
                return;
            default:
                ApplyConsumer(ref reader, tag, key, group);
                return;
        }
    }

    private void ApplyConsumer(ref EffectReader reader, EffectTag tag, in Key key, ReadOnlySpan<byte> group)
    {
        ReadOnlySpan<byte> consumer = ReadName(ref reader);
        if (tag == EffectTag.StreamConsumerDelete)
        {
            StreamConsumerDelete(key, group, consumer);
            return;
        }

        long time = reader.Int64();
        switch (tag)
        {
            case EffectTag.StreamConsumerCreate:
                StreamConsumerCreate(key, group, consumer, time, reader.Int64());
                return;
            case EffectTag.StreamConsumerSeen:
                StreamConsumerSeen(key, group, consumer, time);
                return;
            case EffectTag.StreamDeliver:
                StreamId last = ReadId(ref reader);
                long read = reader.Zigzag();
                StreamId* delivered = ReadIds(ref reader, out int deliveredCount);
                StreamDeliver(key, group, consumer, time, last, read, delivered, deliveredCount);
                return;
            case EffectTag.StreamRedeliver:
                StreamId* again = ReadIds(ref reader, out int againCount);
                StreamRedeliver(key, group, consumer, time, again, againCount);
                return;
            default:
                int count = reader.Int32();
                _replayClaims.Clear();
                for (int i = 0; i < count; i++)
                {
                    StreamId id = ReadId(ref reader);
                    long deliveredMs = reader.Int64();
                    _replayClaims.Add(new ClaimedEntry(id, deliveredMs, reader.Varint()));
                }

                StreamClaim(key, group, consumer, time, _replayClaims.Items, count);
                return;
        }
    }
}
