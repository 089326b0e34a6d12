using System.Diagnostics;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Versions.Tree;
using Leither.MmDb.Writers;

namespace Leither.MmDb.Versions;

/// <summary>Where a MiMei's versions are, and who makes them.</summary>
public sealed class VersionerOptions
{
    /// <summary>What the MiMei is.</summary>
    public required MimeiInfo Info { get; init; }
    /// <summary>The key of whoever this node makes things for: where it is the author's, or that of whom he let write, versions are made here. Null: they are only read.</summary>
    public PrivateKey? Key { get; init; }
    /// <summary>Who may write the MiMei, which whoever made a version is held against; null: its author alone.</summary>
    public WriterSet? Writers { get; init; }
    /// <summary>Opens the blocks, when they are first wanted.</summary>
    public required Func<IBlockstore> OpenBlocks { get; init; }
    /// <summary>The MiMei's folder, for the list of versions.</summary>
    public required IFolder Files { get; init; }
    /// <summary>Where temporary files go.</summary>
    public required string WorkFolder { get; init; }
    /// <summary>The clock.</summary>
    public required TimeProvider Time { get; init; }
    /// <summary>When versions are made without being asked for (<c>auto-backup</c>), read each time.</summary>
    public Func<IReadOnlyList<SavePoint>> AutoBackup { get; init; } = static () => [];
    /// <summary>How long such are kept (<c>backup-retention</c>), read each time.</summary>
    public Func<IReadOnlyList<SavePoint>> Retention { get; init; } = static () => [];
    /// <summary>Is told what was made, for the node's own log.</summary>
    public Action<string> Report { get; init; } = static _ => { };
}

/// <summary>
/// The versions of one MiMei: makes them when asked to (BACKUP), one at a time, and knows which there are. What it costs clients are slices at the
/// gate for what changed since the version before; everything else is another thread's.
/// </summary>
/// <remarks>Members are called behind the MiMei's gate, except where they say otherwise.</remarks>
public sealed partial class Versioner : IDisposable
{
    /// <summary>How soon to look again whether the thread is through, where it cannot say so.</summary>
    private const int PollMs = 1;

    /// <summary>Beyond so many entries for each key there is, all keys are looked at rather than what changed.</summary>
    private const ulong MaxEntriesPerKey = 2;

    /// <summary>Changes are always looked at up to so many entries.</summary>
    private const ulong MinEntries = 100_000;

    private static readonly long _sliceTicks = Stopwatch.Frequency / 2000;

    private readonly Mimei _mimei;
    private readonly VersionerOptions _options;
    private readonly Queue<Request> _asked = new();
    private readonly Lock _openGate = new();
    private IBlockstore? _blocks;
    private LooseBlocks? _loose;
    private volatile object? _wholeFiles; // a boxed CID
    private volatile VersionList? _list;
    private NodeStore? _store;
    private MimeiVersion? _last;
    private readonly long _openedMs;
    private long _lookAtMs, _appliedAtLast;
    private VersionWriter? _writer;
    private Snapshot? _snapshot;
    private IDisposable? _protection;
    private Use? _base;
    private bool _isWhole;
    private long _begunTicks;

    /// <summary>What was asked for: the state, and a version of it if there is a memo.</summary>
    private sealed record Request(string? Memo, Action<StateAt?, Exception?> Done);

    /// <summary>A versioner of a MiMei that was just opened. Nothing is read before it is wanted.</summary>
    public Versioner(Mimei mimei, VersionerOptions options)
    {
        _mimei = mimei;
        _options = options;
        _openedMs = options.Time.GetUtcNow().ToUnixTimeMilliseconds();
        _appliedAtLast = mimei.Keyspace.Effects.Applied;
        Writers = options.Writers ?? new WriterSet(mimei.Id, options.Info.ReadAuthorKey());
        Sizes = new VersionSizes(this);
        mimei.HoldsFiles = options.Info.Type == MimeiType.Files;
        IsAuthor = options.Key is { } key && key.PublicKey.Equals(Writers.Author);
    }

    /// <summary>What the MiMei is.</summary>
    public MimeiInfo Info => _options.Info;

    /// <summary>How large the versions are.</summary>
    internal VersionSizes Sizes { get; }

    /// <summary>Where temporary files go.</summary>
    internal string WorkFolder => _options.WorkFolder;

    /// <summary>Who may write the MiMei, and so sign its versions.</summary>
    public WriterSet Writers { get; }

    /// <summary>Whether the author's key is here.</summary>
    public bool IsAuthor { get; }

    /// <summary>Whether the key that is here may write the MiMei: it is the author's, or that of whom he let write last. Then versions can be made, unless another node writes.</summary>
    public bool MayWrite => IsAuthor || (Writers.Newest is { } newest && _options.Key is { } key && newest.Writer.Span.SequenceEqual(key.PublicKey.Bytes));

    /// <summary>Whether a version is being made, or is to be, or other work goes on in the background.</summary>
    public bool IsRunning => _writer is not null || _asked.Count > 0 || HasJobs;

    /// <summary>Is told that a version begins, which number it will have and the last entry that will be in it: the log was just cut there. Behind the gate.</summary>
    public Action<ulong, Position>? Begun { get; set; }

    /// <summary>Is told that a version is listed. On any thread.</summary>
    public Action<ulong, Cid>? Listed { get; set; }

    /// <summary>Keys that the version under way has, and how many it will have; 0: what changed is still being looked for, or written.</summary>
    internal (long Done, long Total) Progress => _snapshot is { } snapshot && _isWhole ? (snapshot.CapturedKeys, snapshot.KeyCount) : default;

    /// <summary>The blocks of all versions. (Any thread.)</summary>
    public IBlockstore Blocks
    {
        get
        {
            lock (_openGate)
            {
                return _blocks ??= _options.OpenBlocks();
            }
        }
    }

    /// <summary>Puts blocks to which no version leads yet. (Any thread.)</summary>
    internal LooseBlocks Loose
    {
        get
        {
            lock (_openGate)
            {
                return _loose ??= new LooseBlocks(_blocks ??= _options.OpenBlocks(), _options.Time);
            }
        }
    }

    /// <summary>The versions there are. (Any thread.)</summary>
    public VersionList List
    {
        get
        {
            lock (_openGate)
            {
                return _list ??= new VersionList(_options.Files);
            }
        }
    }

    /// <summary>Reads a version, and checks its signature. (Any thread.)</summary>
    /// <exception cref="MimeiException">There is no such version, or it is damaged.</exception>
    public MimeiVersion Read(ulong number)
    {
        Cid block = List.Find(number);
        return block.IsNone ? throw NoSuchVersion(number) : ReadBlock(block);
    }

    /// <summary>The number that a place in history means. (Any thread.)</summary>
    /// <exception cref="MimeiException">There is no such version.</exception>
    public ulong NumberOf(MimeiPlace place)
    {
        ulong number = place.Kind switch
        {
            MimeiPlaceKind.Last => List.Last.Number,
            MimeiPlaceKind.Release => List.Released,
            _ => place.Number,
        };
        if (number == 0)
        {
            throw new MimeiException(place.Kind == MimeiPlaceKind.Release
                ? "ERR no version is released; MIMEI RELEASE names one"
                : "ERR there is no version yet; MIMEI BACKUP makes one");
        }

        return List.Find(number).IsNone ? throw NoSuchVersion(number) : number;
    }

    /// <summary>The error for a version that is not there.</summary>
    public static MimeiException NoSuchVersion(ulong number) => new($"ERR there is no version {number}; MIMEI VERSIONS lists those that there are");

    /// <summary>Makes a version of what there is now. Done is called behind the gate: with the version, or with what went wrong.</summary>
    public void Backup(string memo, Action<MimeiVersion?, Exception?> done)
    {
        if (!MayWrite)
        {
            done(null, new MimeiException("READONLY versions are made by the MiMei's author, whose key is not on this node, or where his certificate lets another node write: MIMEI TAKEOVER"));
            return;
        }

        if (_mimei.IsReadOnly)
        {
            done(null, new MimeiException(VersionHistory.WriteRefusal(_mimei)));
            return;
        }

        Ask(memo, (made, problem) => done(made?.Version, problem));
    }

    /// <summary>Stores the state of now, without a version of it. Done is called behind the gate.</summary>
    internal void MakeState(Action<StateAt?, Exception?> done)
    {
        if (_mimei.Shown is { } shown)
        {
            // It holds what its newest version does.
            done(_mimei.ShownProblem is null ? shown : null, _mimei.ShownProblem is { } problem ? new IOException(problem) : null);
        }
        else
        {
            Ask(null, done);
        }
    }

    /// <summary>Whether a state is being made, or is to be.</summary>
    internal bool IsMaking => IsUnderWay || _asked.Count > 0;

    /// <summary>Whether a state is being made. One that was only asked for can wait.</summary>
    internal bool IsUnderWay => _writer is not null;

    /// <summary>Whether a version is to be made, and not only a state looked at.</summary>
    internal bool IsMakingVersion => _asked.Any(static r => r.Memo is not null);

    /// <summary>What the list said before is no more: a number may be that of another version now.</summary>
    internal void Forget() => _last = null;

    /// <summary>Stores the state of a keyspace that nobody else uses, and gives its name. (Any thread.)</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    internal Cid StoreState(Keyspace keyspace, Position position, int databases)
    {
        var store = new NodeStore(Blocks);
        using var writer = new VersionWriter(
            store, WorkFolder, null, null, databases, state => new StateAt(state, state.Write(store), position, 0, null), static () => { });
        Snapshot snapshot = Snapshot.Begin(keyspace, writer);
        while (!snapshot.Step(Stopwatch.GetTimestamp() + (10 * _sliceTicks)))
        {
            writer.WaitUntilNotBehind();
        }

        writer.Complete();
        writer.Wait();
        return writer.Result?.Link ?? throw new IOException($"the state of entry {position} could not be made: {writer.Error?.Message}", writer.Error);
    }

    /// <summary>Tells the node's own log something.</summary>
    internal void Report(string text) => _options.Report(text);

    /// <summary>Another thread has something for the loop's.</summary>
    internal void Wake()
    {
        if (_mimei.Server is { Post: { } post } server)
        {
            post(() => server.Tend(_mimei));
        }
    }

    private void Ask(string? memo, Action<StateAt?, Exception?> done)
    {
        _asked.Enqueue(new Request(memo, done));
        Step();
    }

    /// <summary>A slice of the version under way, if there is one. The periodic work calls it.</summary>
    /// <returns>In how many milliseconds it wants to be called again at the latest; 0: as soon as clients have had their turn.</returns>
    public int Step()
    {
        CollectIfWanted();
        if (_writer is not { } writer)
        {
            if (_asked.Count == 0 && !AskIfDue())
            {
                return int.MaxValue;
            }

            if (_mimei.Keyspace.Snapshot is not null || _mimei.Log is { InEntry: true } || _mimei.Copy is { IsApartFromLog: true })
            {
                return PollMs;
            }

            try
            {
                Begin();
            }
            catch (Exception e) when (e is IOException or MimeiException)
            {
                LetGo();
                _asked.Dequeue().Done(null, e);
            }

            return 0;
        }

        if (_snapshot is { } snapshot)
        {
            return Walk(snapshot, writer);
        }

        if (!writer.IsDone)
        {
            return PollMs;
        }

        End(writer);
        return _asked.Count > 0 ? 0 : int.MaxValue;
    }

    /// <summary>Asks for a version by itself when one is due.</summary>
    private bool AskIfDue()
    {
        const long lookEveryMs = 1000, retryMs = 60_000;
        if (_options.AutoBackup() is not { Count: > 0 } points || !MayWrite || _mimei.IsReadOnly)
        {
            return false;
        }

        long nowMs = _options.Time.GetUtcNow().ToUnixTimeMilliseconds();
        if (nowMs < _lookAtMs)
        {
            return false;
        }

        _lookAtMs = nowMs + lookEveryMs;
        try
        {
            MimeiVersion? last = Last();
            bool isOfLog = last is null || List.Last.IsOwn;
            long changes = isOfLog && _mimei.Log is { } log ? (long)(log.LastSequence - (last?.Position.Sequence ?? 0)) : _mimei.Keyspace.Effects.Applied - _appliedAtLast;
            if (!VersionSchedule.IsDue(points, nowMs - (last?.CreatedMs ?? _openedMs), changes))
            {
                return false;
            }

            _asked.Enqueue(new Request(VersionSchedule.Memo, (_, problem) => _lookAtMs += problem is null ? 0 : retryMs));
            return true;
        }
        catch (Exception e) when (e is IOException or MimeiException)
        {
            _lookAtMs = nowMs + retryMs;
            _options.Report($"No version was made by itself: {e.Message}");
            return false;
        }
    }

    /// <summary>The newest version; null: there is none.</summary>
    private MimeiVersion? Last()
    {
        ulong number = List.Last.Number;
        return number == 0 ? null : _last?.Number == number ? _last : _last = Read(number);
    }

    /// <summary>Deletes versions that were not asked for and are not kept any more. (The writer's thread.)</summary>
    private void DeleteExpired()
    {
        if (_options.Retention() is { Count: > 0 } rules)
        {
            List<MimeiVersion> versions = [.. List.All.Select(v => ReadBlock(v.Block))];
            HashSet<ulong> expired = VersionSchedule.Expired(rules, versions, List.Released, _options.Time.GetUtcNow().ToUnixTimeMilliseconds());
            expired.ExceptWith(List.All.Where(_referred.Keeps).Select(static v => v.Number));
            if (expired.Count > 0)
            {
                Delete(expired);
            }
        }
    }

    /// <summary>Lets go of the snapshot under way, since another one is wanted at once; the version is begun again afterwards.</summary>
    public void Yield()
    {
        if (_snapshot is { } snapshot)
        {
            if (!snapshot.Cancel())
            {
                snapshot.Step(long.MaxValue);
            }

            _snapshot = null;
            _writer!.Dispose();
            _writer = null;
            LetGo();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Yield();
        _writer?.Dispose();
        _writer = null;
        LetGo();
        while (_asked.TryDequeue(out Request? asked))
        {
            asked.Done(null, new MimeiException("ERR the MiMei was closed before the version was made"));
        }

        EndJobs();
        _loose?.Dispose();
        _blocks?.Dispose();
    }

    private MimeiVersion ReadBlock(in Cid block)
    {
        byte[] bytes = Blocks.Get(block) ?? throw new MissingBlockException(block);
        return MimeiVersion.Decode(bytes, Writers);
    }

    private int Walk(Snapshot snapshot, VersionWriter writer)
    {
        if (writer.IsDone && !snapshot.IsCancelled && snapshot.Cancel())
        {
            _snapshot = null;
            return 0;
        }

        if (snapshot is ChangeSnapshot { IsAwaiting: true } changes)
        {
            if (writer.Changes is not { } found)
            {
                return PollMs;
            }

            changes.Take(found);
        }

        if (writer.IsBehind)
        {
            return PollMs;
        }

        if (snapshot.Step(Stopwatch.GetTimestamp() + _sliceTicks))
        {
            _snapshot = null;
            writer.Complete();
        }

        return 0;
    }

    private void Begin()
    {
        _begunTicks = Stopwatch.GetTimestamp();
        Keyspace keyspace = _mimei.Keyspace;
        _store ??= new NodeStore(Blocks);
        _protection = Blocks.ProtectPuts();
        List.Store();
        ulong number = List.Next;
        Cid previous = List.Last.Block;
        (MimeiVersion Version, StateRoot State)? last = _isWhole ? null : TryBase();
        WriteLog? log = _mimei.Log;
        string? memo = _asked.Peek().Memo;
        if (memo is null)
        {
            log?.Flush();
        }
        else
        {
            // The version's last entry ends a segment, which is sealed and linked to.
            log?.Cut();
        }

        Position position = log?.LastPosition ?? default;
        if (memo is not null)
        {
            Begun?.Invoke(number, position);
        }

        LogReader? reader = last is not null && log is not null && IsNear(last.Value.Version, position) ? log.Read(last.Value.Version.Position.Sequence) : null;
        ulong time = keyspace.Effects.LastTime;
        long applied = keyspace.Effects.Applied;
        _isWhole = reader is null;
        _writer = new VersionWriter(
            _store, _options.WorkFolder, reader, reader is null ? null : last!.Value.State, keyspace.Databases.Length,
            state => Make(state, number, previous, position, applied, time, memo),
            Wake);
        _snapshot = reader is null ? Snapshot.Begin(keyspace, _writer) : new ChangeSnapshot(keyspace, _writer);
    }

    /// <summary>The newest version, where what was logged since leads to what there is now; null: all there is has to be looked at.</summary>
    private (MimeiVersion Version, StateRoot State)? TryBase()
    {
        ListedVersion newest = List.Last;
        if (!newest.IsOwn)
        {
            return null;
        }

        try
        {
            _base = Hold(newest.Number, out MimeiVersion version, _last);
            _last = version;
            return (version, StateRoot.Read(_store!, version.State));
        }
        catch (IOException e)
        {
            Distrust(e);
            return null;
        }
    }

    /// <summary>What was stored cannot be built on: a block that is damaged goes, so that it is written again.</summary>
    private void Distrust(Exception problem)
    {
        if (problem is BlockCorruptedException damaged)
        {
            Blocks.Delete(damaged.Cid);
        }

        _store = new NodeStore(Blocks);
        _options.Report($"The version before is damaged, so the next one is made of all there is: {problem.Message}");
    }

    /// <summary>What was made can be listed, or is not wanted any more.</summary>
    private void LetGo()
    {
        _protection?.Dispose();
        _protection = null;
        _base?.Dispose();
        _base = null;
    }

    /// <summary>Whether looking at what changed is less than looking at everything.</summary>
    private bool IsNear(MimeiVersion last, Position position) =>
        position.Sequence >= last.Position.Sequence
        && position.Sequence - last.Position.Sequence <= Math.Max(MinEntries, MaxEntriesPerKey * (ulong)_mimei.KeyCount);

    /// <summary>The writer's thread: the state is built.</summary>
    private StateAt Make(StateRoot state, ulong number, Cid previous, Position position, long applied, ulong time, string? memo)
    {
        NodeStore store = _store!;
        Cid root = state.Write(store);
        if (memo is null)
        {
            return new StateAt(state, root, position, applied, null);
        }

        RequireFiles(state.Files);

        // A version vouches for the log as far as it goes: what a loss of power could take back is not in it, and the node that it links to is not lost either.
        if (_mimei.Log is { } log && !log.Sync(position.Sequence))
        {
            throw new IOException("the log could not be made durable");
        }

        Cid segment = _mimei.Log?.Seal(position.Sequence)?.Cid ?? default;
        var version = new MimeiVersion
        {
            Mid = _mimei.Id,
            Number = number,
            Previous = previous,
            State = root,
            Writer = WriterOf(position),
            Position = position,
            Segment = segment,
            Time = time,
            CreatedMs = _options.Time.GetUtcNow().ToUnixTimeMilliseconds(),
            Memo = memo,
        };
        Cid block = store.Write(Multicodec.DagCbor, version.Sign(_options.Key!));
        Blocks.Flush();
        List.Add(number, block);
        Listed?.Invoke(number, block);
        if (memo == VersionSchedule.Memo)
        {
            DeleteExpired();
        }

        return new StateAt(state, root, position, applied, version);
    }

    /// <summary>All blocks of the files are here, to be kept as long as something leads to their root. (Any thread.)</summary>
    internal void FilesAreWhole(in Cid root) => _wholeFiles = root;

    /// <summary>Whoever took over writing may not have what his predecessor brought last: a version vouches for what can be read.</summary>
    private void RequireFiles(in Cid root)
    {
        if (root.IsNone || (_wholeFiles is Cid known && known == root))
        {
            return;
        }

        try
        {
            FileBlocks.Check(Blocks, root, ThrowIfClosing);
        }
        catch (Exception e) when (e is MissingBlockException or MimeiException)
        {
            throw new MimeiException($"ERR the files that the MiMei holds now are not all here ({e.Message}): bring them again with MIMEI ADD or MIMEI SETCID, or what was there before with MIMEI RESTORE last", e);
        }

        FilesAreWhole(root);
    }

    /// <summary>Who wrote the log's epoch; what this node signs as another than the author must be of a term that is its own.</summary>
    private ReadOnlyMemory<byte> WriterOf(Position position)
    {
        ReadOnlyMemory<byte> writer = Writers.WriterOf(position.Epoch);
        return IsAuthor ? writer.IsEmpty ? Writers.Author.Bytes.ToArray() : writer
            : writer.Span.SequenceEqual(_options.Key!.PublicKey.Bytes) ? writer
            : throw new MimeiException($"ERR no version can be made: this node writes by a certificate, and entry {position} is not of a term of its own");
    }

    private void End(VersionWriter writer)
    {
        writer.Dispose();
        _writer = null;
        LetGo();
        bool wasWhole = _isWhole;
        if (!wasWhole && writer.Error is (MissingBlockException or BlockCorruptedException or TreeFormatException) and var damage)
        {
            Distrust(damage);
            _isWhole = true;
            return;
        }

        if (!wasWhole && writer.Error is TooManyChangesException)
        {
            _isWhole = true;
            return;
        }

        _isWhole = false;
        Action<StateAt?, Exception?> done = _asked.Dequeue().Done;
        if (writer.Result is { } made)
        {
            if (made.Version is { } version)
            {
                _appliedAtLast = made.Applied;
                _options.Report($"Version {version.Number} of {_mimei.Id}, in {Stopwatch.GetElapsedTime(_begunTicks).TotalMilliseconds:0} ms");
            }

            done(made, null);
            return;
        }

        Exception problem = writer.Error ?? new IOException("it was given up");
        _options.Report($"The state could not be stored: {problem.Message}");
        done(null, problem);
    }
}
