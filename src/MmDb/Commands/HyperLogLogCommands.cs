using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>Commands for HyperLogLogs: estimates of how many different elements were seen.</summary>
public static unsafe class HyperLogLogCommands
{
    /// <summary>PFADD key [element …]</summary>
    public static readonly CommandSpec PfAdd = new("pfadd", -2)
    {
        Since = "2.8.9",
        Group = CommandGroup.HyperLogLog,
        Complexity = "O(1) to add every element.",
        Summary = "Adds elements to a HyperLogLog key. Creates the key if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Fast,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Insert)],
        Args = [Arg.Key("key"), Arg.String("element").Optional().Multiple()],
        Handler = &RunPfAdd,
    };

    /// <summary>PFCOUNT key …</summary>
    public static readonly CommandSpec PfCount = new("pfcount", -2)
    {
        Since = "2.8.9",
        Group = CommandGroup.HyperLogLog,
        Complexity = "O(1) with a very small average constant time when called with a single key. O(N) with N being the number of keys, and much bigger constant times, when called with multiple keys.",
        Summary = "Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).",
        Flags = CommandFlags.ReadOnly | CommandFlags.MayReplicate,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access, last: -1, notes: "RW because it may change the internal representation of the key, and propagate to replicas")],
        Args = [Arg.Key("key").Multiple()],
        Handler = &RunPfCount,
    };

    /// <summary>PFDEBUG subcommand key</summary>
    public static readonly CommandSpec PfDebug = new("pfdebug", 3)
    {
        Since = "2.8.9",
        Group = CommandGroup.HyperLogLog,
        Complexity = "N/A",
        Summary = "Internal commands for debugging HyperLogLog values.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Admin,
        Keys = [KeySpec.At(2, KeyAccess.ReadWrite | KeyAccess.Access)],
        Args = [Arg.String("subcommand"), Arg.Key("key")],
        IsSystem = true,
        Handler = &RunPfDebug,
    };

    /// <summary>PFMERGE destkey [sourcekey …]</summary>
    public static readonly CommandSpec PfMerge = new("pfmerge", -2)
    {
        Since = "2.8.9",
        Group = CommandGroup.HyperLogLog,
        Complexity = "O(N) to merge N HyperLogLogs, but with high constant times.",
        Summary = "Merges one or more HyperLogLog values into a single key.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Insert),
            KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access, last: -1),
        ],
        Args = [Arg.Key("destkey"), Arg.Key("sourcekey", 1).Optional().Multiple()],
        Handler = &RunPfMerge,
    };

    /// <summary>PFSELFTEST</summary>
    public static readonly CommandSpec PfSelfTest = new("pfselftest", 1)
    {
        Since = "2.8.9",
        Group = CommandGroup.HyperLogLog,
        Complexity = "N/A",
        Summary = "An internal command for testing HyperLogLog values.",
        Flags = CommandFlags.Admin,
        IsSystem = true,
        Handler = &RunPfSelfTest,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [PfAdd, PfCount, PfDebug, PfMerge, PfSelfTest];

    private static ReadOnlySpan<byte> NotHyperLogLog => "WRONGTYPE Key is not a valid HyperLogLog string value."u8;

    private static ReadOnlySpan<byte> Corrupt => "INVALIDOBJ Corrupted HLL object detected"u8;

    private static void RunPfAdd(CommandContext c)
    {
        Key key = c.Key(1);
        HyperLogLogOutcome outcome = c.Effects.HyperLogLogAdd(key, c.Args + 2, c.Count - 2, c.Keyspace.Options.HllSparseMaxBytes);
        if (!Succeeded(c, outcome))
        {
            return;
        }

        if (outcome == HyperLogLogOutcome.Changed)
        {
            c.Notify(KeyspaceEvents.String, "pfadd"u8, key);
        }

        c.Reply.Integer(outcome == HyperLogLogOutcome.Changed ? 1 : 0);
    }

    private static void RunPfCount(CommandContext c)
    {
        if (c.Count > 2)
        {
            CountUnion(c);
            return;
        }

        Key key = c.Key(1);
        byte* record = c.Database.Lookup(key);
        if (record == null)
        {
            c.Reply.Integer(0);
            return;
        }

        if (!Succeeded(c, Effects.HyperLogLogAt(record, out byte* bytes, out long length)))
        {
            return;
        }

        if (Record.Encoding(record) == (int)DataEncoding.Embstr)
        {
            c.Effects.StringToBytes(key);
            record = c.Database.Peek(key);
            bytes = Record.ValueBytes(record, out length);
        }

        if (!HyperLogLog.TryCached(bytes, out ulong estimate))
        {
            if (!HyperLogLog.TryCount(bytes, length, out estimate))
            {
                c.Error(Corrupt);
                return;
            }

            // Only a read: where nothing can be written, the answer is as good without being kept. A replica keeps what its master kept.
            if ((c.Keyspace.IsWriter || c.Keyspace.FollowsSource) && c.Server.LogAccepts(c.Session, c.Spec, c.Args, c.Count, out _))
            {
                c.Effects.HyperLogLogCount(key);
            }
        }

        c.Reply.Integer((long)estimate);
    }

    private static void CountUnion(CommandContext c)
    {
        byte* registers = stackalloc byte[HyperLogLog.Registers];
        new Span<byte>(registers, HyperLogLog.Registers).Clear();
        for (int i = 1; i < c.Count; i++)
        {
            byte* record = c.Database.Lookup(c.Key(i));
            if (record == null)
            {
                continue;
            }

            if (!Succeeded(c, Effects.HyperLogLogAt(record, out byte* bytes, out long length)))
            {
                return;
            }

            if (!HyperLogLog.TryMerge(bytes, length, registers))
            {
                c.Error(Corrupt);
                return;
            }
        }

        c.Reply.Integer((long)HyperLogLog.Count(registers));
    }

    private static void RunPfMerge(CommandContext c)
    {
        for (int i = 1; i < c.Count; i++)
        {
            c.Database.Lookup(c.Key(i));
        }

        Key key = c.Key(1);
        if (Succeeded(c, c.Effects.HyperLogLogMerge(key, c.Args + 2, c.Count - 2, c.Keyspace.Options.HllSparseMaxBytes)))
        {
            c.Notify(KeyspaceEvents.String, "pfadd"u8, key);
            c.Reply.Ok();
        }
    }

    private static bool Succeeded(CommandContext c, HyperLogLogOutcome outcome)
    {
        switch (outcome)
        {
            case HyperLogLogOutcome.WrongType:
                c.Error(Errors.WrongType);
                return false;
            case HyperLogLogOutcome.NotHyperLogLog:
                c.Error(NotHyperLogLog);
                return false;
            case HyperLogLogOutcome.Corrupt:
                c.Error(Corrupt);
                return false;
            default:
                return true;
        }
    }

    // ------------------------------------------------------------------ looking inside

    private static void RunPfDebug(CommandContext c)
    {
        Key key = c.Key(2);
        byte* record = c.Database.LookupForWrite(key);
        if (record == null)
        {
            c.Error("ERR The specified key does not exist"u8);
            return;
        }

        if (!Succeeded(c, Effects.HyperLogLogAt(record, out byte* bytes, out long length)))
        {
            return;
        }

        if (c.Is(1, "GETREG"u8))
        {
            if (!Succeeded(c, c.Effects.HyperLogLogDensify(key)))
            {
                return;
            }

            bytes = Record.ValueBytes(c.Database.Peek(key), out _);
            c.Reply.Array(HyperLogLog.Registers);
            for (int i = 0; i < HyperLogLog.Registers; i++)
            {
                c.Reply.Integer(HyperLogLog.DenseGet(bytes, i));
            }
        }
        else if (c.Is(1, "DECODE"u8))
        {
            if (!HyperLogLog.IsSparse(bytes))
            {
                c.Error("ERR HLL encoding is not sparse"u8);
                return;
            }

            ReplyRuns(c, bytes, length);
        }
        else if (c.Is(1, "ENCODING"u8))
        {
            c.Reply.Simple(HyperLogLog.IsSparse(bytes) ? "sparse"u8 : "dense"u8);
        }
        else if (c.Is(1, "TODENSE"u8))
        {
            HyperLogLogOutcome outcome = c.Effects.HyperLogLogDensify(key);
            if (Succeeded(c, outcome))
            {
                c.Reply.Integer(outcome == HyperLogLogOutcome.Changed ? 1 : 0);
            }
        }
        else
        {
            c.Error($"ERR Unknown PFDEBUG subcommand '{c.TextToZero(1)}'");
        }
    }

    private static void ReplyRuns(CommandContext c, byte* bytes, long length)
    {
        var text = new System.Text.StringBuilder();
        var runs = new HyperLogLog.Runs(bytes, length);
        while (runs.MoveNext())
        {
            text.Append(text.Length == 0 ? "" : " ");
            _ = runs.Value == 0
                ? text.Append(runs.IsLong ? "Z:" : "z:").Append(runs.Length)
                : text.Append("v:").Append(runs.Value).Append(',').Append(runs.Length);
        }

        c.Reply.Bulk(System.Text.Encoding.ASCII.GetBytes(text.ToString()));
    }

    // ------------------------------------------------------------------ self-test

    /// <summary>Rounds over all registers, and elements shown to a dense and a sparse one side by side, as many as in Redis.</summary>
    private const int TestRounds = 1000, TestElements = 10_000_000;

    private static void RunPfSelfTest(CommandContext c)
    {
        byte* dense = stackalloc byte[HyperLogLog.DenseBytes];
        string? failure = TestRegisters(ref c.Keyspace.Random, dense) ?? TestEstimates(c.Keyspace, dense);
        if (failure is null)
        {
            c.Reply.Ok();
        }
        else
        {
            c.Error("TESTFAILED " + failure);
        }
    }

    /// <summary>Every register holds what it was given, whatever its neighbours hold.</summary>
    private static string? TestRegisters(ref FastRandom random, byte* dense)
    {
        byte* expected = stackalloc byte[HyperLogLog.Registers];
        byte* empty = stackalloc byte[HyperLogLog.EmptyBytes];
        HyperLogLog.WriteEmpty(empty);
        for (int round = 0; round < TestRounds; round++)
        {
            HyperLogLog.TryDensify(empty, HyperLogLog.EmptyBytes, dense);
            for (int i = 0; i < HyperLogLog.Registers; i++)
            {
                expected[i] = (byte)random.Below(64);
                HyperLogLog.DenseRaise(dense, i, expected[i]);
            }

            for (int i = 0; i < HyperLogLog.Registers; i++)
            {
                if (HyperLogLog.DenseGet(dense, i) != expected[i])
                {
                    return $"Register {i} should be {expected[i]} but is {HyperLogLog.DenseGet(dense, i)}";
                }
            }
        }

        return null;
    }

    /// <summary>Dense and sparse ones agree, and estimates stay within six standard errors.</summary>
    private static string? TestEstimates(Keyspace keyspace, byte* dense)
    {
        long limit = Math.Min(keyspace.Options.HllSparseMaxBytes, HyperLogLog.DenseBytes);
        byte* sparse = stackalloc byte[HyperLogLog.DenseBytes];
        HyperLogLog.WriteEmpty(sparse);
        HyperLogLog.TryDensify(sparse, HyperLogLog.EmptyBytes, dense);
        int length = HyperLogLog.EmptyBytes;
        bool isSparse = true;
        ulong seed = ((ulong)(uint)keyspace.Random.Below(int.MaxValue) << 32) | (uint)keyspace.Random.Below(int.MaxValue);
        long checkpoint = 1;
        for (long n = 1; n <= TestElements; n++)
        {
            ulong element = (ulong)n ^ seed;
            int value = HyperLogLog.Observe((byte*)&element, sizeof(ulong), out int register);
            HyperLogLog.DenseRaise(dense, register, value);
            if (isSparse)
            {
                HyperLogLog.Plan plan = HyperLogLog.SparsePlan(sparse, length, register, value, out HyperLogLog.SparseChange change);
                if (plan == HyperLogLog.Plan.Change && length + change.Growth <= limit)
                {
                    length = HyperLogLog.SparseApply(sparse, length, change);
                }
                else
                {
                    isSparse = plan == HyperLogLog.Plan.Unchanged;
                }
            }

            if (n != checkpoint)
            {
                continue;
            }

            HyperLogLog.TryCount(dense, HyperLogLog.DenseBytes, out ulong estimate);
            if (n < limit / 2 && !isSparse)
            {
                return "sparse encoding not used";
            }

            if (isSparse && (!HyperLogLog.TryCount(sparse, length, out ulong other) || other != estimate))
            {
                return "dense/sparse disagree";
            }

            // With ten elements a collision is likely enough to be seen now and then.
            long error = Math.Abs(n - (long)estimate), most = n == 10 ? 1 : (long)Math.Ceiling(1.04 / Math.Sqrt(HyperLogLog.Registers) * 6 * n);
            if (error > most)
            {
                return $"Too big error. card:{n} abserr:{error}";
            }

            checkpoint *= 10;
        }

        return null;
    }
}
