// A whole network from one seed: nodes that write, follow, crash, lose power and fill their disks; streams that are slow, cut and partitioned; providers that lie. After
// everything is healed all must be well. A failure names its seed; LEITHER_SEED=n runs that one again (or n-m: those), LEITHER_LONG=1 a thousand.

using System.Globalization;
using System.Text;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.Replication;
using Xunit;

namespace Leither.Simulation;

public class SimulationTests
{
    private const int Shards = 6;

    public static TheoryData<int> AllShards => [.. Enumerable.Range(0, Shards)];

    [Theory]
    [MemberData(nameof(AllShards))]
    public void After_healing_every_follower_has_the_same_state_and_nothing_acknowledged_is_lost(int shard) => Seeds.Run(48, 1000, shard, Shards, Run);

    [Theory]
    [MemberData(nameof(AllShards))]
    public void After_healing_every_follower_has_the_files_of_each_version_that_it_lists(int shard) => Seeds.Run(48, 1000, shard, Shards, static seed => Run(seed, MimeiType.Files));

    /// <summary>Networks in which a writer before was still believed to be the one (170), trimmed segments were asked for (217), an answer to a question of a plan that was left was taken for a lie (505), entries that a takeover never saw were lost without a word (848), a source that heard of writers out of their order was blamed for what one of them signed (851), and a writer
    /// that was cut off with its followers was never told that another writes (997).</summary>
    [Theory]
    [InlineData(170)]
    [InlineData(217)]
    [InlineData(505)]
    [InlineData(848)]
    [InlineData(851)]
    [InlineData(997)]
    public void Networks_in_which_it_once_went_wrong_end_well(int seed) => Run(seed);

    [Fact]
    public void Hundreds_of_nodes_in_a_tree_come_to_the_same_state() => new Scenario(424242, 200, 10, events: 4, writes: 60).Run();

    private static void Run(int seed) => Run(seed, MimeiType.Database);

    private static void Run(int seed, MimeiType type)
    {
        var random = new Random(seed);
        new Scenario(seed, random.Next(3, 14), random.Next(3) == 0 ? random.Next(1, 3) : 0, random.Next(10, 50), random.Next(100, 500), type: type).Run();
    }
}

/// <summary>One story.</summary>
internal sealed class Scenario(int seed, int nodes, int hostile, int events, int writes, Func<SimWorld, int, ISimStore>? open = null, MimeiType type = MimeiType.Database)
{
    // In a third of them the tail is short, so that followers fall back to segments.
    private readonly SimWorld _world = new(seed, nodes, hostile, open, type) { MaxTailBytes = seed % 3 > 0 ? LogProtocol.MaxTailBytes : open is null ? 9_000 : 300_000 };
    private readonly List<(ulong Epoch, ulong Sequence, ulong Hash)> _written = [];
    private readonly List<(ulong Epoch, ulong Sequence, ulong Hash, SimNode By)> _acknowledged = [];
    private ulong _version;
    private uint _term;

    private Random Random => _world.Random;

    public void Run()
    {
        try
        {
            Play();
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"Failed with LEITHER_SEED={seed}: {e.Message}\n{e.StackTrace}\n{_world.Story}", e);
        }
    }

    private void Play()
    {
        foreach (SimNode node in _world.Nodes)
        {
            if (node == _world.Writer || Random.Next(2) == 0)
            {
                node.Start();
            }
        }

        int perEvent = Math.Max(1, writes / events);
        for (int i = 0; i < events; i++)
        {
            for (int w = 0; w < perEvent; w++)
            {
                Write(Random.Next(1, 6));
                Advance(Random.Next(0, 30));
            }

            Acknowledge();
            Happen();
            Advance(Random.Next(0, 1500));
        }

        Heal();
        Check();
        _world.Log($"{_world.Clock.Events} events");
    }

    private void Advance(long ms) => _world.Clock.RunUntil(_world.Clock.NowMs + ms);

    private void Write(int count)
    {
        SimNode writer = _world.Writer;
        if (writer.Replica?.Mode != ReplicaMode.Writer || !writer.Store.IsWriter)
        {
            return;
        }

        for (int i = 0; i < count; i++)
        {
            _written.AddRange(writer.Store.Write(Random));
        }

        writer.With(static r => r.LogGrew());
    }

    /// <summary>What WAIT would have said: which nodes have acknowledged what was written last.</summary>
    private void Acknowledge()
    {
        if (_world.Writer.Replica is not { Mode: ReplicaMode.Writer } writer || _written.Count == 0)
        {
            return;
        }

        foreach ((ulong epoch, ulong sequence, ulong hash) in _written.TakeLast(30))
        {
            foreach (SimNode node in _world.Nodes)
            {
                if (!node.IsHostile && node != _world.Writer && writer.CountAcknowledged(new Position(epoch, sequence), synced: false, new HashSet<Leither.Ipfs.Keys.PeerId> { node.Peer }) == 1
                    && _world.Writer.Store.HasEntry(epoch, sequence, hash))
                {
                    _acknowledged.Add((epoch, sequence, hash, node));
                }
            }
        }
    }

    private void Happen()
    {
        SimNode node = _world.Nodes[Random.Next(_world.Nodes.Count)];
        int what = Random.Next(type == MimeiType.Files ? 16 : 15);
        _world.Log($"event {what} at node {node.Index}");
        switch (what)
        {
            case 0 or 1:
                node.Stop(isClean: false, losesPower: Random.Next(2) == 0);
                Restart(node);
                break;
            case 2:
                bool clean = Random.Next(2) == 0;
                _world.Writer.Stop(clean, losesPower: !clean && Random.Next(3) > 0);
                Restart(_world.Writer);
                break;
            case 3:
                node.Stop(isClean: true, losesPower: false);
                Restart(node);
                break;
            case 4:
                _world.Partition();
                break;
            case 5 or 6:
                _world.Heal();
                break;
            case 7:
                _world.CutSome();
                break;
            case 8:
                if (!node.Store.IsWriter)
                {
                    node.Store.IsFull = true;
                    _world.Clock.After(Random.Next(5000), () => node.Store.IsFull = false);
                }

                break;
            case 9 or 10:
                MakeVersion();
                break;
            case 11:
                if (_version > 0)
                {
                    node.Store.Trim(Random.Next(1, 4));
                    node.With(static r => r.LogGrew());
                }

                break;
            case 12:
                foreach (SimNode down in _world.Nodes)
                {
                    if (!down.IsUp)
                    {
                        down.Start();
                    }
                }

                break;
            case 13:
                if (Random.Next(2) == 0)
                {
                    TakeOver(node);
                }

                break;
            case 14:
                if (_world.Writer.Replica?.Mode == ReplicaMode.Writer && _world.Writer.Store.RewriteTail())
                {
                    _world.Writer.With(static r => r.LogGrew());
                }

                break;
            case 15:
                (node.Store as SimStore)?.Collect();
                break;
        }
    }

    private void Restart(SimNode node)
    {
        if (Random.Next(3) > 0)
        {
            Advance(Random.Next(2000));
            if (!node.IsUp)
            {
                node.Start();
            }
        }
        else
        {
            _world.Clock.After(Random.Next(10_000), () =>
            {
                if (!node.IsUp)
                {
                    node.Start();
                }
            });
        }
    }

    private void MakeVersion()
    {
        SimNode writer = _world.Writer;
        if (writer.Replica?.Mode != ReplicaMode.Writer || !writer.Store.IsWriter || writer.Store.Last == 0)
        {
            return;
        }

        if (!writer.Store.HasFiles)
        {
            Write(1);
        }

        if (writer.Store.BeginVersion(Math.Max(_version, writer.Store.Versions is [.., var newest] ? newest.Number : 0) + 1) is not var (number, at))
        {
            return;
        }

        _version = Math.Max(_version, number);
        writer.With(r => r.VersionBegun(number, at));
        writer.With(static r => r.LogGrew());
        Write(Random.Next(3));
        int starts = writer.Losses.Count;
        _world.Clock.After(Random.Next(300), () =>
        {
            if (_world.Writer == writer && writer.Replica?.Mode == ReplicaMode.Writer && writer.Losses.Count == starts && writer.Store.EndVersion(writer.WriterKey!, _world.Clock.NowMs))
            {
                writer.With(static r => r.VersionsChanged());
            }
        });
    }

    private void TakeOver(SimNode node)
    {
        if (node.IsHostile || node == _world.Writer || node.Replica is not { Mode: ReplicaMode.Follower } replica || node.Store.Pending.Count > 0)
        {
            return;
        }

        WriterCertificate certificate = new WriterCertificate
        {
            Mid = _world.Info.Id,
            Author = _world.Author.PublicKey.Bytes.ToArray(),
            Writer = node.Key.PublicKey.Bytes.ToArray(),
            Node = node.Peer,
            Epoch = WriterCertificate.FirstEpochOf(_term + 1),
            After = node.Store.Position,
        }.Sign(_world.Author);
        if (WriterCertificate.TermOf(node.Store.Position.Epoch) > _term)
        {
            return;
        }

        string? refusal = null;
        _world.AddWriter(certificate);
        node.WriterKey = node.Key;
        node.With(r => refusal = r.TakeOver(certificate, node.Key));
        _world.Log($"node {node.Index} takes over after {node.Store.Position}: {refusal ?? "yes"}");
        if (refusal is not null)
        {
            return;
        }

        _term++;
        _world.Writer = node;
        node.WasWriter = true;
    }

    private void Heal()
    {
        _world.Log("all is healed");
        _world.Heal();
        foreach (SimNode node in _world.Nodes)
        {
            node.Store.IsFull = false;
            if (!node.IsUp)
            {
                node.Start();
            }
        }

        long until = _world.Clock.NowMs + 150_000;
        bool isServable = false;
        while (_world.Clock.NowMs < until)
        {
            Advance(2000);
            if (_world.Writer.Replica?.Mode == ReplicaMode.Writer)
            {
                // Who writes sees to it that a newcomer can be served, as a node does.
                if (!isServable)
                {
                    isServable = true;
                    MakeVersion();
                }

                if (_world.Clock.NowMs < until - 145_000)
                {
                    Write(3);
                }
                else if (IsSame())
                {
                    return;
                }
            }
        }
    }

    private IEnumerable<SimNode> Honest => _world.Nodes.Where(static n => !n.IsHostile);

    private bool IsSame() => Honest.All(n => n.Store.State == _world.Writer.Store.State && n.Store.Last == _world.Writer.Store.Last && n.Store.Pending.Count == 0 && HasNewestVersion(n));

    private bool HasNewestVersion(SimNode node) => _world.Writer.Store.Versions is not [.., var newest] || node.Store.Versions.Contains(newest);

    private void Check()
    {
        ISimStore writer = _world.Writer.Store;
        if (_world.Writer.Replica?.Mode != ReplicaMode.Writer)
        {
            throw new ViolationException("nobody writes");
        }

        var wrong = new StringBuilder();
        foreach (SimNode node in Honest)
        {
            if (node.Store.State != writer.State || node.Store.Last != writer.Last)
            {
                wrong.AppendLine(CultureInfo.InvariantCulture, $"node {node.Index} has another state than the writer");
            }

            if (!HasNewestVersion(node))
            {
                wrong.AppendLine(CultureInfo.InvariantCulture, $"node {node.Index} lacks version {writer.Versions[^1]}: it has {string.Join(", ", node.Store.Versions)}");
            }

            if (node.Store.NotWhole.Any())
            {
                wrong.AppendLine(CultureInfo.InvariantCulture, $"node {node.Index} lists versions {string.Join(", ", node.Store.NotWhole)} and not all of their blocks are here");
            }

            // (More may be told: who loads a version of a later term does not know for certain what of its own is in it.)
            if (node.Store.TakenBack > node.UndoneEntries)
            {
                wrong.AppendLine(CultureInfo.InvariantCulture, $"node {node.Index} took back {node.Store.TakenBack} entries and reported {node.UndoneEntries}");
            }
        }

        // What a node acknowledged is there in the end; or that node reported that it was taken back, or lost it with its power, or to its disk.
        foreach ((ulong epoch, ulong sequence, ulong hash, SimNode by) in _acknowledged.Distinct())
        {
            if (!writer.HasEntry(epoch, sequence, hash) && !by.Undone.Any(u => u.After.Sequence < sequence && sequence <= u.Last.Sequence)
                && !by.Losses.Concat(by.Store.GivenUp).Any(l => l.Kept < sequence && sequence <= l.Last))
            {
                wrong.AppendLine(CultureInfo.InvariantCulture, $"entry {epoch:x}:{sequence}, which node {by.Index} acknowledged, is lost, and nobody reported that");
            }
        }

        if (wrong.Length > 0)
        {
            throw new ViolationException(wrong.ToString());
        }
    }
}
