// Nodes, and streams between them, on one clock. Everything that happens is drawn from one seed, and happens in one order.

using System.Buffers;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.MmDb.Writers;
using Leither.Replication;

namespace Leither.Simulation;

/// <summary>The clock, and what is to happen when.</summary>
public sealed class SimClock
{
    private readonly PriorityQueue<Action, (long, long)> _events = new();
    private long _count;

    public long NowMs { get; private set; } = 1_000_000;

    /// <summary>How much has happened.</summary>
    public long Events { get; private set; }

    public long MaxEvents { get; set; } = 1_000_000;

    public void After(long ms, Action action) => _events.Enqueue(action, (NowMs + Math.Max(0, ms), ++_count));

    public void RunUntil(long ms)
    {
        while (_events.TryPeek(out _, out (long At, long) next) && next.At <= ms)
        {
            if (++Events > MaxEvents)
            {
                throw new ViolationException("more happens than can be useful");
            }

            Action action = _events.Dequeue();
            NowMs = Math.Max(NowMs, next.At);
            action();
        }

        NowMs = ms;
    }
}

/// <summary>One node: a store that outlives it, and a replica that does not.</summary>
public sealed class SimNode : IReplicaPort
{
    private readonly SimWorld _world;
    private readonly Dictionary<long, SimStream> _streams = [];
    private int _life;
    private bool _endedCleanly = true;

    public SimNode(SimWorld world, int index, ISimStore store)
    {
        (_world, Index, Store) = (world, index, store);
        byte[] seed = new byte[32];
        BitConverter.TryWriteBytes(seed, index + 1000);
        Key = PrivateKey.FromSeed(seed);
        Peer = Key.PublicKey.PeerId;
    }

    public int Index { get; }

    public PrivateKey Key { get; }

    public PeerId Peer { get; }

    public ISimStore Store { get; }

    public Replica? Replica { get; private set; }

    public bool IsUp => Replica is not null;

    public bool IsHostile { get; init; }

    /// <summary>Whether it lost power since, with entries that it had not synced.</summary>
    public List<(ulong Kept, ulong Last)> Losses { get; } = [];

    public List<EntriesUndone> Undone { get; } = [];

    /// <summary>What its replicas told of.</summary>
    public List<ReplicaEvent> Events { get; } = [];

    public ulong UndoneEntries { get; private set; }

    /// <summary>Whether it wrote when it ended.</summary>
    public bool WasWriter { get; set; }

    public PrivateKey? WriterKey { get; set; }

    public int StreamCount => _streams.Count;

    public void Start()
    {
        bool isClean = _endedCleanly;
        _life++;
        int life = _life;
        Store.Kill();
        ReplicaMode mode = ReplicaMode.Follower;
        if (WasWriter)
        {
            mode = isClean || !Store.MayHaveLost ? ReplicaMode.Writer : ReplicaMode.Recovering;
        }

        if (mode == ReplicaMode.Writer)
        {
            Store.OpenAsWriter(Math.Max(Store.WriteEpoch, 1));
        }
        else
        {
            Store.OpenAsCopy();
        }

        Store.Ended = (operation, result) => _world.Clock.After(0, () =>
        {
            if (life == _life)
            {
                With(r => r.Completed(operation, result));
            }
        });

        // The port is asked while the replica is made.
        Replica = new Replica(
            new ReplicaOptions { Info = _world.Info, Node = Peer, WriterKey = WriterKey, Facts = Store.Facts, RecoverMs = 3000, MaxFollowers = _world.MaxFollowers, StallMs = 3000, MaxTailBytes = _world.MaxTailBytes, MaxUnverifiedBytes = 2 * _world.MaxTailBytes },
            Store,
            this,
            mode,
            _world.Clock.NowMs);
        Beat(life);
        Dial(life);
        Sync(life);
        Work();
    }

    /// <summary>Ends: in good order, at once, or by loss of power.</summary>
    public void Stop(bool isClean, bool losesPower)
    {
        if (Replica is null)
        {
            return;
        }

        _endedCleanly = isClean && Replica.Mode != ReplicaMode.Recovering; // who had not got its tail back has not ended well
        if (isClean)
        {
            Replica.Tick(_world.Clock.NowMs);
            Replica.Stop();
        }

        WasWriter = Store.IsWriter || (Replica.Mode == ReplicaMode.Recovering && WasWriter);
        Replica = null;
        _life++;
        foreach (SimStream stream in _streams.Values.ToArray())
        {
            stream.Cut();
        }

        _streams.Clear();
        if (isClean)
        {
            // What was begun is done before a process ends well.
            while (Store.Pending.TryDequeue(out (long Operation, Func<StoreResult?> Run) next))
            {
                next.Run();
            }

            Store.Close();
        }

        if (losesPower)
        {
            ulong last = Store.Last, lost = Store.LosePower();
            if (lost > 0)
            {
                Losses.Add((last - lost, last));
            }
        }
        else
        {
            Store.Kill();
        }
    }

    public void Attach(long id, SimStream stream, bool isSource, SimNode other)
    {
        _streams[id] = stream;
        With(r => r.Connected(id, other.Peer, isSource));
    }

    public void Detach(long id)
    {
        if (_streams.Remove(id))
        {
            With(r => r.Disconnected(id));
        }
    }

    public void Deliver(long id, byte[] frame)
    {
        if (!_streams.ContainsKey(id))
        {
            return;
        }

        Message message;
        try
        {
            if (!MessageCodec.TryReadLength(frame, out int length, out int used) || frame.Length != used + length)
            {
                throw new MalformedMessageException("a frame of another length");
            }

            message = MessageCodec.Decode(frame.AsMemory(used));
        }
        catch (MalformedMessageException e)
        {
            With(r => r.Malformed(id, e.Message));
            return;
        }

        With(r => r.Received(id, message));
    }

    public void Arriving(long id)
    {
        if (_streams.ContainsKey(id))
        {
            With(r => r.Arriving(id));
        }
    }

    public void Drained(long id) => With(r => r.Writable(id));

    /// <summary>Calls the replica as a driver does: with the time first, and what the store was told to do afterwards.</summary>
    public void With(Action<Replica> action)
    {
        if (Replica is { } replica)
        {
            replica.Tick(_world.Clock.NowMs);
            action(replica);
            if (replica.BytesHeld > _world.MaxHeld)
            {
                throw new ViolationException($"node {Index} holds {replica.BytesHeld} bytes");
            }

            Work();
        }
    }

    // What the store is to do takes its time, and comes to its end in order.
    private bool _works;

    private void Work()
    {
        if (_works || Store.Pending.Count == 0)
        {
            return;
        }

        _works = true;
        int life = _life;
        _world.Clock.After(_world.Random.Next(0, 4), () =>
        {
            _works = false;
            if (life != _life || Replica is null)
            {
                Work();
                return;
            }

            (long operation, Func<StoreResult?> run) = Store.Pending.Dequeue();
            if (run() is { } result)
            {
                With(r => r.Completed(operation, result));
            }

            Work();
        });
    }

    private void Beat(int life)
    {
        if (life != _life || Replica is null)
        {
            return;
        }

        With(static _ => { });
        long next = Math.Clamp(Replica.NextTickMs - _world.Clock.NowMs, 1, 100);
        _world.Clock.After(next, () => Beat(life));
    }

    private void Sync(int life)
    {
        _world.Clock.After(_world.Random.Next(50, 1500), () =>
        {
            if (life == _life && Replica is not null)
            {
                Store.Sync();
                With(static r => r.LogGrew());
                Sync(life);
            }
        });
    }

    private void Dial(int life)
    {
        if (life != _life || Replica is null || !_world.DialsAlone)
        {
            return;
        }

        int sources = Replica.Sources.Count;
        if (Replica.Mode != ReplicaMode.Writer ? sources < 2 || Replica.NeedsSources : _world.Random.Next(20) == 0)
        {
            SimNode other = _world.Nodes[_world.Random.Next(_world.Nodes.Count)];
            if (_world.Random.Next(4) == 0)
            {
                other = _world.Writer;
            }

            if (other != this && other.IsUp && !Replica.IsRefused(other.Peer) && _world.CanReach(this, other) && !Replica.Sources.Any(s => s.Peer == other.Peer))
            {
                _world.Connect(this, other);
            }
        }

        _world.Clock.After(_world.Random.Next(50, 400), () => Dial(life));
    }

    // ------------------------------------------------------------------ the port

    void IReplicaPort.Send(long stream, Message message)
    {
        if (_streams.TryGetValue(stream, out SimStream? to))
        {
            var frame = new ArrayBufferWriter<byte>();
            MessageCodec.Encode(message, frame);
            to.Send(this, frame.WrittenSpan.ToArray());
        }
    }

    int IReplicaPort.Room(long stream) => _streams.TryGetValue(stream, out SimStream? to) ? to.Room(this) : 0;

    void IReplicaPort.Close(long stream)
    {
        if (_streams.Remove(stream, out SimStream? closed))
        {
            closed.Close(this);
        }
    }

    bool IReplicaPort.MayRead(PeerId peer, ReadOnlySpan<byte> proof) => true;

    ReadOnlyMemory<byte> IReplicaPort.ProofFor(PeerId peer) => default;

    void IReplicaPort.Report(ReplicaEvent happened)
    {
        _world.Log($"node {Index}: {happened}");
        Events.Add(happened);
        switch (happened)
        {
            case EntriesUndone undone:
                Undone.Add(undone);
                UndoneEntries += undone.Entries;
                break;
            case HistoryForked when !_world.History.MayFork:
                throw new ViolationException($"node {Index} believes in two histories that nobody signed");
            case StateDiffers differs:
                throw new ViolationException($"node {Index} has another state at version {differs.Number}");
            case PeerRefused refused:
                SimNode of = _world.Nodes.First(n => n.Peer == refused.Peer);
                if (!IsHostile && !of.IsHostile && _world.OnTheWay is null && refused.Reason is FaultReason.Forged or FaultReason.WrongBytes or FaultReason.Protocol)
                {
                    throw new ViolationException($"node {Index} blames the honest node {of.Index}: {refused.Text}");
                }

                break;
        }
    }

    public override string ToString() =>
        $"node {Index}{(IsHostile ? " (hostile)" : "")}: {Replica?.Mode.ToString() ?? "down"}, {Store.Epoch:x}:{Store.Last} synced {Store.Synced}, state {Store.State}, at {_world.Clock.NowMs - 1000000}, {Replica?.State}, [{Replica?.Plan}], head {Replica?.Head?.Place}, seen {Replica?.Seen?.Place}, sources "
        + string.Join(' ', Replica?.Sources.Select(s => $"{_world.Nodes.First(n => n.Peer == s.Peer).Index}{(s.IsFollowed ? "*" : "")}@{s.Head}") ?? []);
}

/// <summary>A stream: ordered both ways, with a delay that varies, until it is cut.</summary>
public sealed class SimStream(SimWorld world, SimNode follower, SimNode source, long id)
{
    private const int Window = 64 << 10;
    private readonly int[] _queued = new int[2];
    private readonly long[] _lastAt = new long[2];
    private readonly List<byte[]> _sent = [];
    private readonly int _delay = world.DelayMs ?? (1 + world.Random.Next(world.MaxDelayMs));
    private bool _isCut;

    public long Id => id;

    public SimNode Follower => follower;

    public SimNode Source => source;

    public int Room(SimNode from) => _isCut ? 0 : Window - _queued[from == source ? 0 : 1];

    public void Send(SimNode from, byte[] frame)
    {
        if (_isCut)
        {
            return;
        }

        if (world.OnTheWay is { } change)
        {
            MessageCodec.TryReadLength(frame, out _, out int used);
            foreach (Message message in change(from, from == source ? follower : source, MessageCodec.Decode(frame.AsMemory(used))))
            {
                var changed = new ArrayBufferWriter<byte>();
                MessageCodec.Encode(message, changed);
                Put(from, changed.WrittenSpan.ToArray());
            }
        }
        else if (from.IsHostile)
        {
            foreach (byte[] told in Lie(frame))
            {
                Put(from, told);
            }
        }
        else
        {
            Put(from, frame);
        }
    }

    public void Close(SimNode by) => world.Clock.After(_delay * 2, Cut);

    public void Cut()
    {
        if (!_isCut)
        {
            _isCut = true;
            world.Forget(this);
            world.Clock.After(0, () => follower.Detach(id));
            world.Clock.After(0, () => source.Detach(id));
        }
    }

    private void Put(SimNode from, byte[] frame)
    {
        int way = from == source ? 0 : 1;
        _queued[way] += frame.Length;
        long at = Math.Max(_lastAt[way], world.Clock.NowMs + _delay + world.Random.Next(world.DelayMs is null ? _delay + 1 : 1)) + (frame.Length / world.BytesPerMs);
        _lastAt[way] = at;
        SimNode to = from == source ? follower : source;
        int partMs = LogProtocol.ArrivingBytes / world.BytesPerMs;
        for (int part = 1; partMs > 0 && part <= frame.Length / LogProtocol.ArrivingBytes; part++)
        {
            world.Clock.After(Math.Max(0, at - world.Clock.NowMs - (part * partMs)), () => to.Arriving(id));
        }

        world.Clock.After(at - world.Clock.NowMs, () =>
        {
            bool wasFull = _queued[way] >= Window;
            _queued[way] -= frame.Length;
            if (_isCut || !world.CanReach(follower, source))
            {
                Cut(); // what is lost on the way breaks a stream
                return;
            }

            to.Deliver(id, frame);
            if (wasFull && _queued[way] < Window)
            {
                from.Drained(id);
            }
        });
    }

    /// <summary>A hostile node flips bits, withholds, repeats, and shows what it showed before.</summary>
    private IEnumerable<byte[]> Lie(byte[] frame)
    {
        Random random = world.Random;
        if (_sent.Count < 50)
        {
            _sent.Add(frame);
        }

        switch (random.Next(12))
        {
            case 0:
                byte[] flipped = [.. frame];
                flipped[random.Next(flipped.Length)] ^= (byte)(1 << random.Next(8));
                yield return flipped;
                break;
            case 1:
                break;
            case 2:
                yield return frame;
                yield return frame;
                break;
            case 3:
                yield return _sent[random.Next(_sent.Count)];
                break;
            case 4:
                yield return frame;
                yield return _sent[random.Next(_sent.Count)];
                break;
            default:
                yield return frame;
                break;
        }
    }
}

/// <summary>All of it.</summary>
public sealed class SimWorld
{
    private readonly List<SimStream> _streams = [];
    private readonly List<string> _log = [];
    private readonly int[] _side;
    private readonly Dictionary<uint, byte[]> _writers = [];
    private long _streamIds;

    public SimWorld(int seed, int nodes, int hostile, Func<SimWorld, int, ISimStore>? open = null, MimeiType type = MimeiType.Database)
    {
        Random = new Random(seed);
        Author = PrivateKey.FromSeed([.. Enumerable.Repeat((byte)7, 32)]);
        Info = new MimeiInfo(Author.PublicKey.Protobuf.ToArray(), "", "", "simulated", type);
        _writers[0] = Author.PublicKey.Bytes.ToArray();
        _side = new int[nodes];
        MaxDelayMs = Random.Next(1, 40);
        MaxFollowers = Random.Next(3) == 0 ? 8 : 256;
        for (int i = 0; i < nodes; i++)
        {
            ISimStore store = open?.Invoke(this, i) ?? new SimStore(Info.Id, WriterOf, History, Random) { SegmentBytes = Random.Next(400, 4000), WritesFiles = type == MimeiType.Files };
            Nodes.Add(new SimNode(this, i, store) { IsHostile = i > 2 && i >= nodes - hostile });
        }

        Writer = Nodes[0];
        Writer.WasWriter = true;
        Writer.WriterKey = Author;
    }

    public Random Random { get; }

    public SimClock Clock { get; } = new();

    public List<SimNode> Nodes { get; } = [];

    public SimNode Writer { get; set; }

    public PrivateKey Author { get; }

    public MimeiInfo Info { get; }

    public History History { get; } = new();

    public int MaxDelayMs { get; }

    /// <summary>How long each way takes, always; null: what is drawn for each message.</summary>
    public int? DelayMs { get; init; }

    /// <summary>What a stream carries each way.</summary>
    public int BytesPerMs { get; init; } = int.MaxValue;

    /// <summary>How far behind a follower is given the tail (no less than two segments).</summary>
    public int MaxTailBytes { get; init; } = LogProtocol.MaxTailBytes;

    /// <summary>Whether nodes look for sources by themselves.</summary>
    public bool DialsAlone { get; init; } = true;

    /// <summary>What becomes of a message on its way from one node to another; null: it arrives.</summary>
    public Func<SimNode, SimNode, Message, IEnumerable<Message>>? OnTheWay { get; set; }

    public int MaxFollowers { get; }

    public long MaxHeld => 40 << 20;

    public byte[] WriterOf(ulong epoch) => _writers.TryGetValue(WriterCertificate.TermOf(epoch), out byte[]? key) ? key : [];

    public void AddWriter(WriterCertificate certificate) => _writers[certificate.Term] = certificate.Writer.ToArray();

    public bool CanReach(SimNode a, SimNode b) => _side[a.Index] == _side[b.Index];

    public void Partition()
    {
        for (int i = 0; i < _side.Length; i++)
        {
            _side[i] = Random.Next(2);
        }
    }

    public void Heal() => Array.Clear(_side);

    public long Connect(SimNode follower, SimNode source)
    {
        long id = ++_streamIds;
        var stream = new SimStream(this, follower, source, id);
        _streams.Add(stream);
        source.Attach(id, stream, isSource: false, follower);
        follower.Attach(id, stream, isSource: true, source);
        return id;
    }

    public SimStream Stream(long id) => _streams.First(s => s.Id == id);

    public void Cut(long id) => _streams.Find(s => s.Id == id)?.Cut();

    public void CutSome()
    {
        foreach (SimStream stream in _streams.ToArray())
        {
            if (Random.Next(4) == 0)
            {
                stream.Cut();
            }
        }
    }

    public void Forget(SimStream stream) => _streams.Remove(stream);

    public void Log(string line)
    {
        if (_log.Count >= 400)
        {
            _log.RemoveRange(0, 100);
        }

        _log.Add($"{Clock.NowMs - 1_000_000} {line}");
    }

    public string Story => string.Join('\n', _log.TakeLast(120)) + "\n" + string.Join('\n', Nodes);
}
