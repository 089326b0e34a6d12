using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>What came of an effect on HyperLogLogs.</summary>
public enum HyperLogLogOutcome
{
    /// <summary>Nothing was to change.</summary>
    Unchanged,
    /// <summary>Something changed.</summary>
    Changed,
    /// <summary>A key holds another type.</summary>
    WrongType,
    /// <summary>A key holds a string that is no HyperLogLog.</summary>
    NotHyperLogLog,
    /// <summary>A key holds what looks like a HyperLogLog, but makes no sense.</summary>
    Corrupt,
}

/// <content>
/// Effects on HyperLogLogs, which are strings. Their bytes can be read, so everything that decides them is in the log: the limit of
/// the sparse form that was set when the command ran, too.
/// </content>
public sealed unsafe partial class Effects
{
    /// <summary>Shows elements to a HyperLogLog; a missing key becomes one. Recorded only when a register changes.</summary>
    public HyperLogLogOutcome HyperLogLogAdd(in Key key, Slice* elements, int count, long sparseLimit)
    {
        ulong* slot = Open(key);
        var outcome = HyperLogLogOutcome.Unchanged;
        byte* bytes;
        long length;
        if (slot == null)
        {
            AppendObserved(key, elements, count, sparseLimit);
            slot = CreateHyperLogLog(key);
            outcome = HyperLogLogOutcome.Changed;
        }
        else
        {
            HyperLogLogOutcome fits = HyperLogLogAt(KeyTable.Get(slot), out _, out _);
            if (fits != HyperLogLogOutcome.Unchanged)
            {
                return fits;
            }

            _keyspace.Touch(KeyTable.Get(slot));
        }

        bytes = Record.ValueBytes(KeyTable.Get(slot), out length);
        for (int i = 0; i < count; i++)
        {
            int value = HyperLogLog.Observe(elements[i].Pointer, elements[i].Length, out int register);
            HyperLogLog.Plan plan = PlanFor(bytes, length, register, value, out HyperLogLog.SparseChange change);
            if (plan == HyperLogLog.Plan.Unchanged)
            {
                continue;
            }

            if (outcome == HyperLogLogOutcome.Unchanged && plan != HyperLogLog.Plan.Corrupt)
            {
                AppendObserved(key, elements, count, sparseLimit);
                outcome = HyperLogLogOutcome.Changed;
            }

            if (!Raise(key, slot, ref bytes, ref length, register, value, sparseLimit, plan, change))
            {
                return HyperLogLogOutcome.Corrupt;
            }
        }

        if (outcome == HyperLogLogOutcome.Changed)
        {
            HyperLogLog.Invalidate(bytes);
            Record.SetEncoding(KeyTable.Get(slot), (int)DataEncoding.Raw);
            ChangedAndReady(key);
        }

        return outcome;
    }

    /// <summary>The destination takes in what the sources have seen. Recorded only when all of them are HyperLogLogs.</summary>
    public HyperLogLogOutcome HyperLogLogMerge(in Key destination, Slice* sources, int count, long sparseLimit)
    {
        byte* registers = stackalloc byte[HyperLogLog.Registers];
        Unsafe.InitBlockUnaligned(registers, 0, HyperLogLog.Registers);
        bool isDense = false;
        for (int i = -1; i < count; i++)
        {
            Key key = i < 0 ? destination : _keyspace.KeyOf(sources[i].Pointer, sources[i].Length);
            ulong* source = Open(key);
            if (source == null)
            {
                continue;
            }

            HyperLogLogOutcome fits = HyperLogLogAt(KeyTable.Get(source), out byte* held, out long heldLength);
            if (fits == HyperLogLogOutcome.Unchanged && !HyperLogLog.TryMerge(held, heldLength, registers))
            {
                fits = HyperLogLogOutcome.Corrupt;
            }

            if (fits != HyperLogLogOutcome.Unchanged)
            {
                return fits;
            }

            isDense |= !HyperLogLog.IsSparse(held);
        }

        EffectWriter writer = Append(EffectTag.HyperLogLogMerge, destination);
        writer.Varint((ulong)sparseLimit);
        writer.Varint((ulong)count);
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(sources[i].Pointer, sources[i].Length);
        }

        ulong* slot = _database.FindSlot(destination);
        if (slot == null)
        {
            slot = CreateHyperLogLog(destination);
        }

        byte* bytes = Record.ValueBytes(KeyTable.Get(slot), out long length);
        if (isDense && HyperLogLog.IsSparse(bytes))
        {
            Densify(destination, slot, ref bytes, ref length);
        }

        for (int i = 0; i < HyperLogLog.Registers; i++)
        {
            if (registers[i] != 0)
            {
                HyperLogLog.Plan plan = PlanFor(bytes, length, i, registers[i], out HyperLogLog.SparseChange change);
                Raise(destination, slot, ref bytes, ref length, i, registers[i], sparseLimit, plan, change);
            }
        }

        HyperLogLog.Invalidate(bytes);
        Record.SetEncoding(KeyTable.Get(slot), (int)DataEncoding.Raw);
        ChangedAndReady(destination);
        return HyperLogLogOutcome.Changed;
    }

    /// <summary>A HyperLogLog keeps its estimate in its bytes.</summary>
    public void HyperLogLogCount(in Key key)
    {
        ulong* slot = Open(key);
        if (slot == null || HyperLogLogAt(KeyTable.Get(slot), out byte* bytes, out long length) != HyperLogLogOutcome.Unchanged
            || !HyperLogLog.TryCount(bytes, length, out ulong estimate))
        {
            return;
        }

        Append(EffectTag.HyperLogLogCount, key);
        HyperLogLog.SetCached(bytes, estimate);
        Changed(key);
    }

    /// <summary>A sparse HyperLogLog becomes a dense one. Not a change that watching clients hear of, as in Redis.</summary>
    public HyperLogLogOutcome HyperLogLogDensify(in Key key)
    {
        ulong* slot = Open(key);
        if (slot == null || HyperLogLogAt(KeyTable.Get(slot), out byte* bytes, out long length) != HyperLogLogOutcome.Unchanged || !HyperLogLog.IsSparse(bytes))
        {
            return HyperLogLogOutcome.Unchanged;
        }

        if (!Densify(key, slot, ref bytes, ref length))
        {
            return HyperLogLogOutcome.Corrupt;
        }

        Append(EffectTag.HyperLogLogDensify, key);
        _keyspace.Dirty++;
        return HyperLogLogOutcome.Changed;
    }

    /// <summary>The bytes of the HyperLogLog that a record holds; or why it holds none. <see cref="HyperLogLogOutcome.Unchanged"/>: it does.</summary>
    internal static HyperLogLogOutcome HyperLogLogAt(byte* record, out byte* bytes, out long length)
    {
        bytes = null;
        length = 0;
        if (Record.Type(record) != (int)DataType.String)
        {
            return HyperLogLogOutcome.WrongType;
        }

        if (Record.Encoding(record) == (int)DataEncoding.Int)
        {
            return HyperLogLogOutcome.NotHyperLogLog;
        }

        bytes = Record.ValueBytes(record, out length);
        return HyperLogLog.IsValid(bytes, length) ? HyperLogLogOutcome.Unchanged : HyperLogLogOutcome.NotHyperLogLog;
    }

    private void AppendObserved(in Key key, Slice* elements, int count, long sparseLimit)
    {
        EffectWriter writer = Append(EffectTag.HyperLogLogAdd, key);
        if (!writer.IsOn)
        {
            return;
        }

        writer.Varint((ulong)sparseLimit);
        writer.Varint((ulong)count);
        for (int i = 0; i < count; i++)
        {
            writer.Bytes(elements[i].Pointer, elements[i].Length);
        }
    }

    private ulong* CreateHyperLogLog(in Key key)
    {
        HyperLogLog.WriteEmpty(Record.ValueBytes(Create(key, DataType.String, DataEncoding.Raw, HyperLogLog.EmptyBytes), out _));
        return _database.FindSlot(key);
    }

    /// <summary>What it takes to raise one register.</summary>
    private static HyperLogLog.Plan PlanFor(byte* bytes, long length, int register, int value, out HyperLogLog.SparseChange change)
    {
        if (HyperLogLog.IsSparse(bytes))
        {
            return HyperLogLog.SparsePlan(bytes, (int)length, register, value, out change);
        }

        change = default;
        return HyperLogLog.DenseGet(bytes, register) >= value ? HyperLogLog.Plan.Unchanged : HyperLogLog.Plan.NeedsDense;
    }

    /// <summary>Raises one register where it is, as planned; a sparse one that gets too long becomes dense. False if it is corrupt.</summary>
    private bool Raise(
        in Key key, ulong* slot, ref byte* bytes, ref long length, int register, int value, long sparseLimit, HyperLogLog.Plan plan, in HyperLogLog.SparseChange change)
    {
        switch (plan)
        {
            case HyperLogLog.Plan.Corrupt:
                return false;
            case HyperLogLog.Plan.Unchanged:
                return true;
            case HyperLogLog.Plan.Change when change.Growth <= 0 || length + change.Growth <= sparseLimit:
                int size = (int)length;
                if (change.Growth > 0)
                {
                    bytes = Resize(key, slot, size + change.Growth);
                }

                length = HyperLogLog.SparseApply(bytes, size, change);
                if (length != size + Math.Max(change.Growth, 0))
                {
                    bytes = Resize(key, slot, length);
                }

                return true;
            default:
                if (HyperLogLog.IsSparse(bytes) && !Densify(key, slot, ref bytes, ref length))
                {
                    return false;
                }

                HyperLogLog.DenseRaise(bytes, register, value);
                return true;
        }
    }

    private bool Densify(in Key key, ulong* slot, ref byte* bytes, ref long length)
    {
        byte* dense = stackalloc byte[HyperLogLog.DenseBytes];
        if (!HyperLogLog.TryDensify(bytes, length, dense))
        {
            return false;
        }

        bytes = Resize(key, slot, HyperLogLog.DenseBytes);
        length = HyperLogLog.DenseBytes;
        Unsafe.CopyBlockUnaligned(bytes, dense, HyperLogLog.DenseBytes);
        Record.SetEncoding(KeyTable.Get(slot), (int)DataEncoding.Raw);
        return true;
    }

    private bool ApplyHyperLogLog(ref EffectReader reader, EffectTag tag)
    {
        if (tag is < EffectTag.HyperLogLogAdd or > EffectTag.HyperLogLogDensify)
        {
            return false;
        }

        Key key = reader.Key(_keyspace);
        switch (tag)
        {
            case EffectTag.HyperLogLogAdd:
            case EffectTag.HyperLogLogMerge:
                long sparseLimit = (long)(reader.Varint() & long.MaxValue);
                Slice* items = ReadItems(ref reader, out int count);
                if (tag == EffectTag.HyperLogLogAdd)
                {
                    HyperLogLogAdd(key, items, count, sparseLimit);
                }
                else
                {
                    HyperLogLogMerge(key, items, count, sparseLimit);
                }

                return true;
            case EffectTag.HyperLogLogCount:
                HyperLogLogCount(key);
                return true;
            default:
                HyperLogLogDensify(key);
                return true;
        }
    }
}
