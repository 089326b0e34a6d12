using System.Buffers.Binary;
using Leither.MmDb.Values;

namespace Leither.MmDb.Rdb;

/// <summary>
/// Gathers a stream, which comes as a value at once or from a snapshot in parts, and writes it as Redis 7.0 does: nodes as they are, then
/// what is known of the whole, then groups with what is pending.
/// </summary>
internal sealed unsafe class RdbStreamWriter : IDisposable
{
    private readonly RdbBuffer _nodes = new();
    private readonly List<Group> _groups = [];
    private ulong _nodeCount;
    private long _live;
    private StreamId _firstId;

    private sealed record Group(byte[] Name, StreamId LastId, long EntriesRead)
    {
        public List<(uint Slot, byte[] Name, long SeenMs, long ActiveMs)> Consumers { get; } = [];
        public List<(StreamId Id, long DeliveredMs, ulong Deliveries, uint Slot)> Pending { get; } = [];
    }

    /// <summary>The last id that was given out.</summary>
    public StreamId LastId { get; set; }
    /// <summary>The largest id that was deleted.</summary>
    public StreamId MaxDeletedId { get; set; }
    /// <summary>Entries ever added.</summary>
    public ulong EntriesAdded { get; set; }
    /// <summary>Nodes and pending entries that are still to come from a snapshot.</summary>
    public long Missing { get; set; }

    /// <inheritdoc/>
    public void Dispose() => _nodes.Dispose();

    /// <summary>Adds a node, behind all others.</summary>
    public void AddNode(StreamId id, byte* data, int length)
    {
        StreamNode.Master master = StreamNode.ReadMaster(data);
        if (_live == 0 && master.Live > 0)
        {
            _firstId = FirstLive(id, data, master);
        }

        _live += master.Live;
        _nodeCount++;
        Span<byte> key = stackalloc byte[16];
        Write(id, key);
        _nodes.String(key);
        _nodes.Listpack(data, length);
    }

    private static StreamId FirstLive(StreamId nodeId, byte* data, in StreamNode.Master master)
    {
        int at = StreamNode.FirstEntry(data, master);
        while (true)
        {
            long flags = StreamNode.Number(data, ref at), ms = StreamNode.Number(data, ref at), seq = StreamNode.Number(data, ref at);
            if ((flags & StreamNode.Deleted) == 0)
            {
                return new StreamId(nodeId.Ms + (ulong)ms, nodeId.Seq + (ulong)seq);
            }

            long words = (flags & StreamNode.SameFields) != 0 ? master.Fields : 2 * StreamNode.Number(data, ref at);
            at = Pack.Skip(data, at, (int)words + 1);
        }
    }

    /// <summary>Adds a group.</summary>
    public void AddGroup(ReadOnlySpan<byte> name, StreamId lastId, long entriesRead) => _groups.Add(new Group(name.ToArray(), lastId, entriesRead));

    /// <summary>Adds a consumer of the last group.</summary>
    public void AddConsumer(uint slot, ReadOnlySpan<byte> name, long seenMs, long activeMs) =>
        _groups[^1].Consumers.Add((slot, name.ToArray(), seenMs, activeMs));

    /// <summary>Adds an entry that is pending.</summary>
    public void AddPending(int group, StreamId id, long deliveredMs, ulong deliveries, uint slot) =>
        _groups[group].Pending.Add((id, deliveredMs, deliveries, slot));

    /// <summary>Takes all of a stream.</summary>
    public void Take(StreamValue stream)
    {
        LastId = stream.LastId;
        MaxDeletedId = stream.MaxDeletedId;
        EntriesAdded = stream.EntriesAdded;
        StreamNodeCursor nodes = stream.Nodes;
        while (nodes.MoveNext())
        {
            AddNode(nodes.Id, nodes.Data, nodes.Length);
        }

        for (int i = 0; i < stream.GroupCount; i++)
        {
            StreamGroupValue group = stream.Group(i);
            AddGroup(group.Name, group.LastId, group.EntriesRead);
            for (int j = 0; j < group.ConsumerCount; j++)
            {
                StreamConsumerValue consumer = group.Consumer(j);
                AddConsumer((uint)j, consumer.Name, consumer.SeenMs, consumer.ActiveMs);
                for (StreamPendingCursor entry = consumer.Pending(StreamId.Min); entry.IsValid; entry.MoveNext())
                {
                    AddPending(i, entry.Id, entry.DeliveredMs, entry.Deliveries, (uint)j);
                }
            }
        }
    }

    /// <summary>Writes the value, without its type.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="withActive">Whether when consumers were active is written, as in the type of Redis 7.2, which 7.0 does not read.</param>
    public void Write(RdbBuffer to, bool withActive = false)
    {
        to.Count(_nodeCount);
        to.Raw(_nodes.Data, _nodes.Length);
        to.Count((ulong)_live);
        Count(to, LastId);
        Count(to, _firstId);
        Count(to, MaxDeletedId);
        to.Count(EntriesAdded);
        to.Count((ulong)_groups.Count);
        Span<byte> raw = stackalloc byte[16];
        foreach (Group group in _groups)
        {
            group.Pending.Sort(static (a, b) => a.Id.CompareTo(b.Id));
            to.String(group.Name);
            Count(to, group.LastId);
            to.Count((ulong)group.EntriesRead);
            to.Count((ulong)group.Pending.Count);
            foreach ((StreamId id, long deliveredMs, ulong deliveries, _) in group.Pending)
            {
                Write(id, raw);
                to.Raw(raw);
                to.UInt64((ulong)deliveredMs);
                to.Count(deliveries);
            }

            ILookup<uint, StreamId> bySlot = group.Pending.ToLookup(static p => p.Slot, static p => p.Id);
            to.Count((ulong)group.Consumers.Count);
            foreach ((uint slot, byte[] name, long seenMs, long activeMs) in group.Consumers)
            {
                to.String(name);
                to.UInt64((ulong)seenMs);
                if (withActive)
                {
                    to.UInt64((ulong)activeMs);
                }

                StreamId[] pending = [.. bySlot[slot]];
                to.Count((ulong)pending.Length);
                foreach (StreamId id in pending)
                {
                    Write(id, raw);
                    to.Raw(raw);
                }
            }
        }
    }

    private static void Count(RdbBuffer to, StreamId id)
    {
        to.Count(id.Ms);
        to.Count(id.Seq);
    }

    private static void Write(StreamId id, Span<byte> to)
    {
        BinaryPrimitives.WriteUInt64BigEndian(to, id.Ms);
        BinaryPrimitives.WriteUInt64BigEndian(to[8..], id.Seq);
    }
}
