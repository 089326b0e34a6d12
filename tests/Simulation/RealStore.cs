// A MiMei as a node has it, in the simulated network: a server with its keyspace, WriteLog, checkpoints, versions and MimeiCopy on simulated disks, behind the store
// that nodes use. A process that ends leaves the disks as they are, torn wherever it was; the next one opens what it finds.
//
// It checks what a store can check: every entry that comes into its log is one that somebody who may write has written, and what it says of itself is so.

using System.Buffers;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Log;
using Leither.MmDb.Replication;
using Leither.MmDb.Tests;
using Leither.MmDb.Tests.Replication;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;
using Leither.Node.Replication;
using Leither.RedisCompat;
using Leither.Replication;
using Leither.TestKit;
using ListedVersion = Leither.Replication.ListedVersion;

namespace Leither.Simulation;

internal sealed unsafe class RealStore : ISimStore, IDisposable
{
    private const long BeganMs = 1_700_000_000_000; // when the simulation's clock began
    private const int SettleMs = 20_000;
    private const int SegmentBytes = 68 << 10; // about as small as commands allow

    private readonly SimWorld _world;
    private readonly Random _random;
    private readonly int _index;
    private readonly SimulatedDisk _disk, _logDisk;
    private readonly MemoryBlockstore _blocks = new();
    private readonly TempDir _folder = new();
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private readonly ManualResetEventSlim _gate = new(true);
    private readonly Dictionary<long, StoreResult> _ended = [];
    private readonly Queue<string[]> _commands = new();
    private readonly int _segmentBytes, _keepLogBytes;
    private readonly bool _isThrifty;
    private readonly FsyncPolicy _fsync;
    private InProcess? _db;
    private ReplicaStore? _store;
    private LogWorker _worker = LogWorker.Manual();
    private InProcess.Client? _client, _backup;
    private (ulong Number, Position At)? _begun;
    private readonly List<(ulong Kept, ulong Last)> _givenUp = [];
    private long _running, _takingBack;
    private ulong _inDoubt;
    private ulong _seen;
    private int _left = int.MaxValue;
    private double _weather;
    private bool _isFull, _wasWriter, _hasDiskFailed, _mayHaveLost;
    private uint _salt;
    private (LogEnd End, Position Applied, string Text)? _state;
    private (LogEnd End, ulong Base, Dictionary<ulong, (ulong Epoch, ulong Hash)> All)? _entries;

    public RealStore(SimWorld world, int index)
    {
        _world = world;
        _index = index;
        _random = new Random(world.Random.Next());
        _disk = new SimulatedDisk(_random.Next());
        _logDisk = new SimulatedDisk(_random.Next());
        _segmentBytes = SegmentBytes << _random.Next(2);
        _keepLogBytes = _random.Next(2) == 0 ? 0 : _random.Next(40_000);
        _isThrifty = _random.Next(2) == 0;
        _fsync = (FsyncPolicy)_random.Next(3);
        _disk.Fails = _ => IsOver();
        _logDisk.Fails = operation => IsOver() || (_weather > 0 && operation is "sync" or "write" && _random.NextDouble() < _weather && (_hasDiskFailed = true));
    }

    public Queue<(long Operation, Func<StoreResult?> Run)> Pending { get; } = [];

    public Action<long, StoreResult>? Ended { get; set; }

    public ReplicaFacts? Facts { get; private set; }

    public bool IsWriter => _db is not null && Mimei.Copy is null;

    public ulong Epoch => Log?.LastPosition.Epoch ?? 0;

    public ulong Last => Log?.LastPosition.Sequence ?? 0;

    public Position Position => Log?.LastPosition ?? default;

    public ulong Synced => Log?.SyncedSequence ?? 0;

    public ulong WriteEpoch => Log?.Epoch ?? 0;

    public ulong TakenBack { get; private set; }

    public IReadOnlyList<(ulong Kept, ulong Last)> GivenUp => _givenUp;

    // Who was to write and is a copy yet has that still to do, as a node finds at its start.
    public bool MayHaveLost => _mayHaveLost || CopyFile.IsIn(_disk);

    public bool IsFull
    {
        get => _isFull;
        set
        {
            _isFull = value;
            _logDisk.Capacity = value ? _logDisk.Names.Sum(name => (long)_logDisk.Content(name).Length) + _random.Next(3000) : long.MaxValue;
        }
    }

    public string State
    {
        get
        {
            if (_db is null || Mimei.Keyspace.Snapshot is not null)
            {
                return "unknown";
            }

            Position applied = Mimei.Copy?.Applied ?? Position;
            if (_state is { } known && known.End == End && known.Applied == applied)
            {
                return known.Text;
            }

            Touch();
            string text = $"{Db.Run("DEBUG DIGEST")} {Mimei.Versions!.StoreState(Mimei.Keyspace, default, Mimei.Keyspace.Databases.Length)}";
            _state = (End, applied, text);
            return text;
        }
    }

    public bool HasFiles => _db is null || Mimei.Keyspace.Files is { IsNone: true } || IsWhole(Mimei.Keyspace.Files);

    public IEnumerable<ulong> NotWhole => Versions.Where(v => !IsWhole(v.Block)).Select(static v => v.Number);

    private bool IsWhole(in Cid root)
    {
        var reached = new HashSet<Cid>();
        var ahead = new Stack<Cid>([root]);
        while (ahead.TryPop(out Cid cid))
        {
            var block = new ArrayBufferWriter<byte>();
            if (!reached.Add(cid))
            {
                continue;
            }

            if (!_blocks.TryGet(cid, block))
            {
                return false;
            }

            var links = new List<Cid>();
            MimeiVersion.AddLinks(cid, block.WrittenSpan, links);
            links.ForEach(ahead.Push);
        }

        return true;
    }

    private InProcess Db => _db ?? throw new InvalidOperationException($"Nothing is open at node {_index}.");

    private Mimei Mimei => Db.Server.DefaultMimei;

    private WriteLog? Log => _db is null ? null : Mimei.Log;

    // ------------------------------------------------------------------ what is here

    public LogEnd End => _store!.End;

    public IReadOnlyList<LogPlace> Places => _store!.Places;

    public LogExtent Extent => _store!.Extent;

    public SealedSegment? Newest => _store!.Newest;

    public IReadOnlyList<ListedVersion> Versions => _store!.Versions;

    public ulong Released => _store!.Released;

    public long StateBytes => _store!.StateBytes;

    public int ReadSegment(in SegmentStart segment, long offset, Span<byte> to) => _store!.ReadSegment(segment, offset, to);

    public SealedSegment? Find(ulong sequence) => _store!.Find(sequence);

    public SealedSegment? FindNode(in Cid cid) => _store!.FindNode(cid);

    public bool HasBlock(in Cid cid) => _store!.HasBlock(cid);

    public void Hashed(in SegmentStart segment, long length, in Cid data) => _store!.Hashed(segment, length, data);

    public bool TryGetBlock(in Cid cid, IBufferWriter<byte> destination) => _store!.TryGetBlock(cid, destination);

    // ------------------------------------------------------------------ changes

    public void Append(long operation, in SegmentStart segment, long offset, ReadOnlyMemory<byte> bytes)
    {
        SegmentStart start = segment;
        Later(operation, () => _store!.Append(operation, start, offset, bytes));
    }

    public void Cut(long operation) => Later(operation, () => _store!.Cut(operation));

    public void GoBack(long operation, in LogPlace place)
    {
        LogPlace to = place;
        Later(operation, () => _store!.GoBack(operation, to), static _ => true);
    }

    public void Load(long operation, in Cid block, MimeiVersion version, SealedSegment? segment)
    {
        Cid cid = block;
        Later(operation, () => _store!.Load(operation, cid, version, segment), static result => result.Failure is null);
    }

    public void Empty(long operation) => Later(operation, () => _store!.Empty(operation), static result => result.Failure is null);

    public void Adopt(long operation, in Cid block, ReadOnlyMemory<byte> bytes, MimeiVersion version)
    {
        Cid cid = block;
        Later(operation, () => _store!.Adopt(operation, cid, bytes, version));
    }

    public void MarkVersion(ulong number, in Position at) => _store!.MarkVersion(number, at);

    public void PassVersion(ulong number) => _store!.PassVersion(number);

    public void Put(long operation, in Cid cid, ReadOnlyMemory<byte> bytes)
    {
        Cid name = cid;
        Later(operation, () => _store!.Put(operation, name, bytes));
    }

    public void EndPuts() => _store!.EndPuts();

    public void Promote(long operation, ulong epoch) => Later(operation, () =>
    {
        _store!.Promote(operation, epoch);
        Settle();
        _mayHaveLost &= !IsWriter;
    });

    public void Demote(long operation) => Later(operation, () =>
    {
        EndVersion();
        _store!.Demote(operation);
    });

    public void Save(long operation, ReplicaFacts facts, bool isUrgent) => Later(operation, () => _store!.Save(operation, facts, isUrgent));

    private void Later(long operation, Action begin, Func<StoreResult, bool>? takesBack = null) => Pending.Enqueue((operation, () => Do(operation, begin, takesBack)));

    private StoreResult? Do(long operation, Action begin, Func<StoreResult, bool>? takesBack)
    {
        Touch();
        Verify(isOwn: IsWriter);
        bool wasCopy = Mimei.Copy is not null;
        _running = operation;
        begin();
        Settle();
        _running = 0;
        if (wasCopy && takesBack is not null)
        {
            if (!_ended.TryGetValue(operation, out StoreResult ended))
            {
                _takingBack = operation; // it waits for a state that is being made
            }
            else if (takesBack(ended))
            {
                TakeBack();
            }

            // A disk kept it from another state, and what it had is gone.
            _hasDiskFailed |= ended.IsHalfDone;
        }

        Verify(isOwn: !wasCopy || IsWriter);
        return _ended.Remove(operation, out StoreResult result) ? result : null;
    }

    private void Completed(long operation, StoreResult result)
    {
        if (operation == _running)
        {
            _ended[operation] = result;
        }
        else
        {
            if (operation == _takingBack)
            {
                TakeBack();
                _takingBack = 0;
            }

            Ended?.Invoke(operation, result);
        }
    }

    private void TakeBack()
    {
        ulong last = Log!.WrittenSequence;
        TakenBack += _seen > last ? _seen - last : 0;
        _seen = Math.Min(_seen, last);
    }

    // ------------------------------------------------------------------ a process

    public void OpenAsWriter(ulong epoch) => Open(isCopy: false);

    public void OpenAsCopy() => Open(isCopy: true);

    private void Open(bool isCopy)
    {
        Kill();
        (_begun, _backup, _state, _entries, _seen, _takingBack) = (null, null, null, null, 0, 0);
        _commands.Clear();
        _worker = LogWorker.Manual();
        bool isNew = _logDisk.Names.All(static name => !name.EndsWith(".seg", StringComparison.Ordinal)) && CheckpointFiles.List(_disk).Count == 0;
        if (isCopy && isNew && !CopyFile.IsIn(_disk))
        {
            CopyFile.Create(_disk);
        }

        _db = new InProcess(seed: (ulong)_index + 43, id: _world.Info.Id, open: db =>
        {
            db.Clock.Advance(BeganMs + _world.Clock.NowMs - db.Clock.NowMs);
            Mimei mimei = db.Server.DefaultMimei;
            WriterSet writers = WriterSet.Open(_disk, _world.Info.Id, _world.Author.PublicKey);
            MimeiFiles files = Files(_disk, _logDisk, writers);
            RecoveredState state = isCopy ? Persistence.RecoverCopy(db.Keyspace, files) : Persistence.Recover(db.Keyspace, files.Folder, files.Log, files.LogOptions);
            mimei.Log = state.Log;
            mimei.Files = files;
            mimei.Checkpointer = new Checkpointer(mimei, files.Folder, state, db.Clock, new CheckpointerOptions { KeepLogBytes = _keepLogBytes });
            mimei.Versions = new Versioner(mimei, new VersionerOptions
            {
                Info = _world.Info,
                Key = _index == 0 ? _world.Author : Node.Key,
                Writers = writers,
                OpenBlocks = () => new SharedBlocks(_blocks, Enter),
                Files = files.Folder,
                WorkFolder = _folder.Path,
                Time = db.Clock,
                Report = Told,
            });
            mimei.Versions.Begun = (number, at) => _begun = (number, at);
            if (isCopy)
            {
                _ = new MimeiCopy(mimei, files, state.Position);
            }
        });
        _store = new ReplicaStore(Mimei, Completed, Keep, static action => action());
        Db.Server.Settings.Put(MmDb.Configuration.ConfigKeys.EnableDebugCommand, 1);
        _client = Db.Connect();
        _mayHaveLost &= isCopy; // a writer that ends while it recovers has that still to do
        if (Last < _inDoubt)
        {
            _givenUp.Add((Last, _inDoubt));
        }

        _inDoubt = 0;
        Told($"opened {(isCopy ? "as a copy" : "to write")} at {Position}, state of {Mimei.Copy?.Applied ?? Position}");

        // Whoever wrote before may have written what nobody was told of any more.
        Verify(isOwn: _wasWriter);
        _wasWriter = false;
    }

    private SimNode Node => _world.Nodes[_index];

    private MimeiFiles Files(SimulatedDisk disk, SimulatedDisk logDisk, WriterSet writers) => new()
    {
        Folder = disk,
        Log = logDisk,
        LogOptions = new LogOptions
        {
            Fsync = _fsync,
            SegmentBytes = _segmentBytes,
            IsThrifty = _isThrifty,
            RetainedTailBytes = 1 << 20,
            Origin = new SegmentOrigin(_world.Info.Id, _world.Author.PublicKey.Bytes.ToArray()) { Writers = writers.WriterOf },
            FirstEpoch = writers.NewestFor(Node.Key.PublicKey, Node.Peer)?.Epoch ?? 0,
            Worker = _worker,
            Salt = () => ++_salt * 65_537 + (uint)_index,
        },
        Report = Told,
    };

    public void Close()
    {
        EndVersion();
        Db.Server.EndTurn();
        _worker.Run();
        Verify(isOwn: IsWriter);
        try
        {
            Mimei.Log!.Close();
        }
        catch (DiskException e)
        {
            // As in a crash: a copy whose last sync failed has had no time to take again what was not durable.
            Told(e.Message);
            _inDoubt = Last;
        }

        Leave(losesPower: false);
    }

    public void Kill()
    {
        if (_db is not null)
        {
            Tear();
            Leave(losesPower: false);
        }

        Pending.Clear();
        IsFull = false;
    }

    public ulong LosePower()
    {
        if (_db is null)
        {
            return 0;
        }

        Tear();
        ulong before = Last, epoch = WriteEpoch;
        bool wasShown = !IsWriter || epoch <= (Facts?.Epoch ?? 0); // no head is signed in an epoch before it is durably known to be used
        Leave(losesPower: true);
        Pending.Clear();
        IsFull = false;
        _mayHaveLost = true;

        // What the next process will find.
        using var keyspace = new Keyspace(new KeyspaceOptions(), 1);
        SimulatedDisk disk = _disk.Copy();
        using WriteLog found = Persistence.RecoverCopy(keyspace, Files(disk, _logDisk.Copy(), WriterSet.Open(disk, _world.Info.Id, _world.Author.PublicKey))).Log!;
        if (!wasShown && found.Epoch < epoch)
        {
            _world.History.Forget(epoch);
        }

        return found.LastSequence < before ? before - found.LastSequence : 0;
    }

    /// <summary>What is under way when a process ends gets a part of the way.</summary>
    private void Tear()
    {
        _left = _random.Next(2) == 0 ? int.MaxValue : _random.Next(40);
        try
        {
            if (IsWriter)
            {
                for (int i = _random.Next(3); i > 0; i--)
                {
                    Send();
                }

                if (_random.Next(3) == 0)
                {
                    _worker.Run();
                }
            }
            else if (_random.Next(3) > 0)
            {
                Ended = null;
                for (int i = _random.Next(4); i > 0 && Pending.TryDequeue(out (long Operation, Func<StoreResult?> Run) next); i--)
                {
                    next.Run();
                }
            }
        }
        catch (IOException)
        {
            // It does not come to see what it did.
        }
        finally
        {
            _left = int.MaxValue;
        }
    }

    private void Leave(bool losesPower)
    {
        _wasWriter = IsWriter;
        _left = -1;
        _gate.Set();
        _store!.Dispose();
        Db.Dispose();
        (_db, _store, _client) = (null, null, null);
        _left = int.MaxValue;
        foreach (SimulatedDisk disk in (SimulatedDisk[])[_disk, _logDisk])
        {
            if (losesPower)
            {
                disk.LosePower();
            }
            else
            {
                disk.Kill();
            }
        }
    }

    public void Dispose()
    {
        if (_db is not null)
        {
            Leave(losesPower: false);
        }

        _blocks.Dispose();
        _folder.Dispose();
        _gate.Dispose();
    }

    private void Keep(ReplicaFacts facts, bool isUrgent, Action kept)
    {
        // As it comes back from a disk.
        Facts = ReplicaFacts.Decode(facts.Encode());
        kept();
    }

    private void Told(string what) => _world.Log($"store {_index}: {what}");

    // ------------------------------------------------------------------ what it does by itself

    /// <summary>The clock of the server is that of the world.</summary>
    private void Touch()
    {
        Db.Clock.Advance(BeganMs + _world.Clock.NowMs - Db.Clock.NowMs);
        Db.Server.Care(Mimei, Db.Clock.NowMs, TimeSpan.FromSeconds(1));
        Db.Server.EndTurn();
    }

    public void Sync()
    {
        _weather = _random.Next(12) == 0 ? _random.NextDouble() : 0;
        Touch();
        _worker.Run();
        _weather = 0;
        Settle();
        Verify(isOwn: IsWriter);
    }

    /// <summary>What other threads do for the loop's is done before the world goes on.</summary>
    private void Settle()
    {
        long until = Environment.TickCount64 + SettleMs;
        while (true)
        {
            lock (Mimei.Gate)
            {
                Versioner versions = Mimei.Versions!;
                bool isBusy = false;
                if (_backup is null)
                {
                    versions.Step();
                    isBusy = versions.IsAtWork; // a collection may wait for a version whose files are on their way
                }

                isBusy |= Mimei.Copy is { } copy && copy.Look() != int.MaxValue;
                if (!isBusy)
                {
                    return;
                }
            }

            if (Environment.TickCount64 > until)
            {
                throw new ViolationException($"node {_index}: something does not come to its end: making {Mimei.Versions!.IsMaking}, other work {Mimei.Versions.IsAtWork}, copy {Mimei.Copy?.Look()}");
            }

            Thread.Yield();
        }
    }

    // ------------------------------------------------------------------ writing

    public IEnumerable<(ulong Epoch, ulong Sequence, ulong Hash)> Write(Random random)
    {
        Touch();
        ulong before = Last;
        for (int i = 0; i < 20 && Last == before; i++)
        {
            Send();
        }

        return Verify(isOwn: true);
    }

    private void Send()
    {
        if (Mimei.HoldsFiles)
        {
            SetFiles();
            return;
        }

        if (_commands.Count == 0)
        {
            foreach (string[] command in WriterCommands.Draw(_random))
            {
                _commands.Enqueue(command);
            }
        }

        _client!.Send(CommandGenerator.Bytes(_commands.Dequeue()));
        while (_client.TakeReply() is not null)
        {
        }
    }

    /// <summary>What MIMEI SETCID comes to once it has all blocks.</summary>
    private void SetFiles()
    {
        SimFiles files = SimFiles.Some(_random);
        foreach ((Cid cid, byte[] bytes) in files.Blocks)
        {
            _blocks.Put(cid, bytes);
        }

        lock (Mimei.Gate)
        {
            if (Log!.CanAccept(1000, out _) && Mimei.Keyspace.Files != files.Root)
            {
                Mimei.Keyspace.Effects.SetFiles(files.Root);
                Mimei.Keyspace.Effects.EndEntry();
            }
        }

        Db.Server.EndTurn();
    }

    /// <summary>The thread of a version waits for the world to go on.</summary>
    private void Enter()
    {
        if (Environment.CurrentManagedThreadId != _thread)
        {
            _gate.Wait();
        }
    }

    public (ulong Number, Position At)? BeginVersion(ulong number)
    {
        if (_backup is not null || !IsWriter)
        {
            return null;
        }

        Touch();
        _begun = null;
        _gate.Reset();
        _backup = Db.Connect();
        _backup.Send([.. new[] { "MIMEI", "BACKUP" }.Select(Encoding.ASCII.GetBytes)]);
        Verify(isOwn: true);
        if (_backup.Take() is { } refused)
        {
            Told($"no version: {refused}");
            _gate.Set();
            _backup = null;
            return null;
        }

        return _begun;
    }

    public bool EndVersion(PrivateKey writer, long nowMs) => EndVersion();

    private bool EndVersion()
    {
        if (_backup is not { } client)
        {
            return false;
        }

        Touch();
        _backup = null;
        _gate.Set();
        Settle();
        Db.Server.EndTurn();
        string reply = client.Take() ?? throw new ViolationException($"node {_index}: a version does not come to its end");
        Told($"version: {reply}");
        _worker.Run();
        Verify(isOwn: true);
        return reply.StartsWith(':');
    }

    public void Trim(int keep)
    {
        if (_db is null)
        {
            return;
        }

        Touch();
        EndVersion();
        for (int i = 0; i < 2; i++)
        {
            Db.Run("SAVE");
        }

        _worker.Run();
        Settle();
        Verify(isOwn: IsWriter);
    }

    /// <summary>Whether the disks do nothing any more. A version's thread, which runs when it likes, is not counted.</summary>
    private bool IsOver() => (_backup is null || Environment.CurrentManagedThreadId == _thread ? --_left : _left) < 0;

    // ------------------------------------------------------------------ its entries

    public bool HasEntry(ulong epoch, ulong sequence, ulong hash)
    {
        if (_entries is not { } known || known.End != End)
        {
            known = (End, Last, []);
            if (Log!.ReadAll() is { } reader)
            {
                known.Base = ulong.MaxValue;
                Read(reader, (e, s, h) =>
                {
                    known.Base = Math.Min(known.Base, s - 1);
                    known.All[s] = (e, h);
                });
                known.Base = known.Base == ulong.MaxValue ? Last : known.Base;
            }

            _entries = known;
        }

        return sequence <= known.Base || (known.All.TryGetValue(sequence, out (ulong Epoch, ulong Hash) entry) && entry == (epoch, hash));
    }

    /// <summary>Looks at the entries that came since: a writer's own are what may be had elsewhere, a copy's were written by somebody.</summary>
    private List<(ulong Epoch, ulong Sequence, ulong Hash)> Verify(bool isOwn = false)
    {
        var found = new List<(ulong, ulong, ulong)>();
        WriteLog log = Log!;
        if (_takingBack != 0)
        {
            TakeBack();
        }

        if (log.WrittenSequence < _seen)
        {
            if (Mimei.Copy is not null && !_hasDiskFailed)
            {
                throw new ViolationException($"node {_index}: entries {log.WrittenSequence + 1} to {_seen} are gone, and no disk failed");
            }

            Told($"gave up what was not durable, {log.WrittenSequence + 1} to {_seen}: {log.Error.Text}");
            if (Mimei.Copy is not null)
            {
                _givenUp.Add((log.WrittenSequence, _seen));
            }

            _hasDiskFailed = false;
            _seen = log.WrittenSequence;
        }

        if (_seen == log.WrittenSequence)
        {
            return found;
        }

        if ((log.Read(_seen) ?? log.ReadAll()) is { } reader)
        {
            Read(reader, (epoch, sequence, hash) =>
            {
                if (isOwn)
                {
                    _world.History.Wrote(epoch, sequence, hash);
                }
                else if (!_world.History.Has(epoch, sequence, hash))
                {
                    throw new ViolationException($"entry {epoch:x}:{sequence} is in the log of node {_index}, and nobody wrote it");
                }

                found.Add((epoch, sequence, hash));
            });
        }

        _seen = log.WrittenSequence;
        return found;
    }

    private void Read(LogReader reader, Action<ulong, ulong, ulong> visit)
    {
        IReadOnlyList<LogPlace> places = Places;
        using (reader)
        {
            reader.Run((sequence, entry, length) =>
            {
                ulong epoch = places.Last(p => p.Segment.First <= sequence).Segment.Epoch;
                visit(epoch, sequence, SimStore.Mix(epoch, new ReadOnlySpan<byte>(entry, (int)length)));
            });
        }
    }
}
