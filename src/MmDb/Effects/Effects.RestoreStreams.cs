using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Leither.MmDb.Log;
using Leither.MmDb.Rdb;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <content>Streams as RDB holds them: built by the effects that make streams elsewhere, with recording off.</content>
public sealed unsafe partial class Effects
{
    private const int ListpackHeader = 6;

    private void BuildStream(in Key key, ref RdbReader reader, RdbType type)
    {
        WriteLog? log = _log;
        RdbBuffer? tee = Tee;
        _log = null;
        Tee = null;
        try
        {
            StreamCreate(key);
            BuildEntries(key, ref reader, type);
            for (long groups = reader.Count(5); groups > 0; groups--)
            {
                BuildGroup(key, ref reader, type);
            }
        }
        finally
        {
            _log = log;
            Tee = tee;
        }
    }

    private void BuildEntries(in Key key, ref RdbReader reader, RdbType type)
    {
        for (long nodes = reader.Count(2); nodes > 0; nodes--)
        {
            Slice name = reader.String(ref _name);
            if (name.Length != 16)
            {
                throw new RdbFormatException("a node of a stream has no id");
            }

            StreamId id = RawId(name.Pointer);
            AppendListpack(key, id, reader.String(ref _value));
        }

        var stream = new StreamValue(Memory.KeyTable.Get(_database.FindSlot(key)));
        ulong count = reader.Length();
        StreamId last = LengthId(ref reader), deleted = default;
        ulong added = count;
        if (type != RdbType.StreamListpacks)
        {
            LengthId(ref reader);
            deleted = LengthId(ref reader);
            added = reader.Length();
        }

        if ((ulong)stream.Count != count || last < stream.LastEntryId() || added < count || added == ulong.MaxValue)
        {
            throw new RdbFormatException("a stream is not as it says");
        }

        StreamSetId(key, last, (long)added, deleted);
    }

    private void AppendListpack(in Key key, StreamId id, Slice listpack)
    {
        RdbContainer entries = RdbContainer.Listpack(listpack);
        while (entries.MoveNext())
        {
        }

        int length = listpack.Length - ListpackHeader - 1 + Pack.HeaderSize;
        byte* pack = (byte*)NativeMemory.Alloc((nuint)length);
        try
        {
            pack[0] = listpack.Pointer[4];
            pack[1] = listpack.Pointer[5];
            Buffer.MemoryCopy(listpack.Pointer + ListpackHeader, pack + Pack.HeaderSize, length, length - Pack.HeaderSize);
            long before = new StreamValue(Memory.KeyTable.Get(_database.FindSlot(key))).NodeCount;
            if (!StreamNodeCursor.Validate(pack, length, id))
            {
                throw new RdbFormatException("a node of a stream is damaged");
            }

            StreamAppendNode(key, id, pack, length);
            if (new StreamValue(Memory.KeyTable.Get(_database.FindSlot(key))).NodeCount != before + 1)
            {
                throw new RdbFormatException("the nodes of a stream are not in order");
            }
        }
        finally
        {
            NativeMemory.Free(pack);
        }
    }

    private void BuildGroup(in Key key, ref RdbReader reader, RdbType type)
    {
        byte[] group = reader.String(ref _name).Span.ToArray();
        StreamId last = LengthId(ref reader);
        // Before 7.0 nobody counted: what can be told is what the group would be told now.
        long read = type == RdbType.StreamListpacks
            ? new StreamValue(Memory.KeyTable.Get(_database.FindSlot(key))).EntriesUpTo(last)
            : (long)reader.Length();
        if (!StreamGroupCreate(key, group, last, read))
        {
            throw new RdbFormatException("a stream's group is damaged, or there twice");
        }

        var pending = new Dictionary<StreamId, (long DeliveredMs, ulong Deliveries)>();
        for (long left = reader.Count(25); left > 0; left--)
        {
            StreamId id = RawId(reader.Raw(16));
            long delivered = (long)reader.UInt64();
            if (!pending.TryAdd(id, (delivered, reader.Length())))
            {
                throw new RdbFormatException("an entry is pending twice");
            }
        }

        var claims = new List<ClaimedEntry>();
        for (long consumers = reader.Count(10); consumers > 0; consumers--)
        {
            byte[] consumer = reader.String(ref _name).Span.ToArray();
            long seen = (long)reader.UInt64(), active = type == RdbType.StreamListpacks3 ? (long)reader.UInt64() : seen;
            StreamGroupValue made = new StreamValue(Memory.KeyTable.Get(_database.FindSlot(key))).FindGroup(group);
            if (made.FindConsumer(consumer).IsValid)
            {
                throw new RdbFormatException("a consumer is there twice");
            }

            StreamConsumerCreate(key, group, consumer, seen, active);
            claims.Clear();
            for (long left = reader.Count(16); left > 0; left--)
            {
                StreamId id = RawId(reader.Raw(16));
                if (!pending.Remove(id, out (long DeliveredMs, ulong Deliveries) entry))
                {
                    throw new RdbFormatException("an entry is pending with a consumer, but not with the group");
                }

                claims.Add(new ClaimedEntry(id, entry.DeliveredMs, entry.Deliveries));
            }

            fixed (ClaimedEntry* first = CollectionsMarshal.AsSpan(claims))
            {
                if (claims.Count > 0)
                {
                    StreamClaim(key, group, consumer, 0, first, claims.Count);
                }
            }
        }

        if (pending.Count > 0)
        {
            throw new RdbFormatException("entries are pending with nobody");
        }
    }

    private static StreamId RawId(byte* bytes) => new(
        BinaryPrimitives.ReadUInt64BigEndian(new ReadOnlySpan<byte>(bytes, 8)), BinaryPrimitives.ReadUInt64BigEndian(new ReadOnlySpan<byte>(bytes + 8, 8)));

    private static StreamId LengthId(ref RdbReader reader) => new(reader.Length(), reader.Length());
}
