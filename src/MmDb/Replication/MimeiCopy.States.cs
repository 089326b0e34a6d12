using System.Diagnostics;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Replication;

// Another state in the place of what there is: going back, loading a version, and nothing. It is put together in a keyspace of its own on another thread, while clients
// read what there was, and exchanged at once at the gate.
public sealed unsafe partial class MimeiCopy
{
    /// <summary>A state that is to take the place of what there is.</summary>
    private sealed class Replacement(Keyspace keyspace, ulong time, CheckpointInfo? checkpoint) : IDisposable
    {
        public Keyspace Keyspace { get; } = keyspace;

        /// <summary>The hybrid time of its last entry.</summary>
        public ulong Time { get; } = time;

        /// <summary>The checkpoint that it is of, or begins with.</summary>
        public CheckpointInfo? Checkpoint { get; } = checkpoint;

        public void Dispose() => Keyspace.Dispose();
    }

    /// <summary>Work that puts another state in the place of what there is.</summary>
    private abstract class ReplaceWork(MimeiCopy copy) : Work(copy)
    {
        private Replacement? _made;
        private Exception? _problem;
        private bool _isBegun, _isMade;

        public override Next Step(long deadline)
        {
            if (!_isBegun)
            {
                _isBegun = true;
                try
                {
                    if (!Begin())
                    {
                        return Next.Over;
                    }
                }
                catch (Exception e) when (e is IOException or MimeiException or CopyException)
                {
                    Fail(e);
                    return Next.Over;
                }

                // From here on no checkpoint is made: those that there are have to be what was decided on.
                Copy._checkpointer?.Halt();
                Copy._mimei.Versions?.Yield();
                Copy.LetGoOfCapture();
                Copy.Aside(
                    () =>
                    {
                        Replacement made = Make();
                        while (made.Keyspace.LazyFree.Step(TimeSpan.FromMilliseconds(10)))
                        {
                        }

                        return made;
                    },
                    (made, problem) => (_made, _problem, _isMade) = (made, problem, true));
            }

            if (!_isMade)
            {
                return Next.Aside;
            }

            if (_problem is null && Copy._keyspace.Snapshot is not null)
            {
                // A replica's, or a version's: it still reads what there is.
                Copy._mimei.Versions?.Yield();
                if (Copy._keyspace.Snapshot is not null)
                {
                    return Next.Look;
                }
            }

            try
            {
                if (_problem is { } problem)
                {
                    Fail(problem);
                }
                else
                {
                    Change(_made!);
                }
            }
            catch (Exception e) when (e is IOException or MimeiException)
            {
                // Files may be those of the other state already, or on the way to it: nothing is built on the old one before this was tried again, or the node begins anew.
                if (MayBeHalfDone)
                {
                    Copy.Stop($"MiMei {Copy._mimei.Id} could not change to another state: {e.Message}");
                }

                Fail(e);
            }
            finally
            {
                Copy._checkpointer?.GoOn();
                if (_made is { } old)
                {
                    // Either what there was, or what was not taken.
                    Copy._mimei.Server!.RunAside(
                        () =>
                        {
                            old.Dispose();
                            return true;
                        },
                        static (_, _) => { });
                }
            }

            return Next.Over;
        }

        /// <summary>Decides whether there is anything to do; false: it is over, and somebody was told.</summary>
        protected abstract bool Begin();

        /// <summary>Makes the state. (Another thread.)</summary>
        protected abstract Replacement Make();

        /// <summary>Makes the files say what the state is, exchanges the keyspace and tells.</summary>
        protected abstract void Change(Replacement made);

        /// <summary>Whether a change that failed may have been begun.</summary>
        protected virtual bool MayBeHalfDone => true;
    }

    /// <summary>Work after which the log is another from its beginning on.</summary>
    private abstract class BeginAnewWork(MimeiCopy copy) : ReplaceWork(copy)
    {
        protected override bool MayBeHalfDone => Copy.IsBetweenStates;

        /// <summary>Puts a state, which is durable, in the place of all there is; null: nothing, and the log is empty.</summary>
        protected void BeginAnew(Replacement made, Position position, SealedSegment? segment)
        {
            IFolder folder = Copy._files.Folder;
            var change = new CopyChange(position, segment, Copy.VersionsBehind(position.Sequence));

            // From here on a start makes it what is there; nothing before it is looked at any more.
            try
            {
                CopyFile.Begin(folder, change);
                Copy.IsBetweenStates = true;
            }
            catch (DiskException)
            {
                Copy.IsBetweenStates = HasBegun(folder);
                throw;
            }

            Copy.Log.BeginCopyAt(segment, position.Sequence);
            CheckpointFiles.DeleteOthers(folder, segment is null ? null : position);
            Copy.ForgetVersions(change.UndoneVersions);
            CopyFile.End(folder);
            Copy.IsBetweenStates = false;
            Copy.Exchange(made, position);
            Copy.LetGoOfAdoptions(0); // whether they lie in this history is not known here
        }

        private static bool HasBegun(IFolder folder)
        {
            try
            {
                return CopyFile.Unfinished(folder) is not null;
            }
            catch (Exception e) when (e is IOException or MimeiException)
            {
                return true;
            }
        }
    }

    /// <summary>
    /// Another state was about to take the place of what there was, and a disk kept it from that halfway: nothing is there to be built on before it, or yet another, did. A start
    /// does the rest by itself.
    /// </summary>
    public bool IsBetweenStates { get; private set; }

    /// <summary>The keyspace is another from now on.</summary>
    private void Exchange(Replacement made, Position position)
    {
        _keyspace.Exchange(made.Keyspace);
        _keyspace.Effects.Follow(made.Time);
        _keyspace.Dirty = 0;
        _lastTime = made.Time;
        _visited = position.Sequence;
        _applied = new Place(position);
        _rest = [];
        _problem = null;
        _checkpointer?.Rebase(made.Checkpoint);
        lock (_queueGate)
        {
            _marks.Clear();
        }
    }

    /// <summary>An empty keyspace that can take the place of the copy's.</summary>
    private Keyspace NewKeyspace() => new(_keyspace.Options, _keyspace.HashSeed) { IsWriter = false };

    // ------------------------------------------------------------------ going back

    private sealed class GoBackWork(MimeiCopy copy, LogPlace place, Action<GoneBack?, Exception?> done) : ReplaceWork(copy)
    {
        private Position _from;
        private ulong _to;
        private LogReader? _reader;
        private string? _checkpoint;

        public override void Fail(Exception problem)
        {
            _reader?.Dispose();
            Copy.Call(() => done(null, problem));
        }

        protected override bool Begin()
        {
            WriteLog log = Copy.Log;
            _from = Copy.Applied;
            Copy._rest = [];
            if (Copy.IsBetweenStates)
            {
                Tell(needsVersion: true);
                return false;
            }

            _to = LastEntryAt(log, place);
            if (_to >= _from.Sequence)
            {
                // Marks and empty segments at most.
                End(log);
                Copy._applied = new Place(log.LastPosition);
                Copy._problem = null;
                Tell(needsVersion: false);
                return false;
            }

            List<(string Name, Position Position)> checkpoints = CheckpointFiles.List(Copy._files.Folder);
            foreach ((string name, Position position) in checkpoints.Where(c => c.Position.Sequence <= _to))
            {
                if (position.Sequence == _to || (_reader = log.Read(position.Sequence, _to)) is not null)
                {
                    _checkpoint = name;
                    return true;
                }
            }

            if (_to == 0 ? HoldsBeginning(log) : (_reader = log.Read(0, _to)) is not null)
            {
                return true;
            }

            Tell(needsVersion: true);
            return false;
        }

        protected override Replacement Make()
        {
            Keyspace keyspace = Copy.NewKeyspace();
            try
            {
                CheckpointInfo? checkpoint = _checkpoint is null ? null : CheckpointLoader.Load(Copy._files.Folder, _checkpoint, keyspace);
                ulong time = checkpoint?.Time ?? 0;
                using LogReader? reader = _reader;
                _reader = null;
                reader?.Run((sequence, entry, length) =>
                {
                    byte* body = Persistence.BodyOf(sequence, entry, length);
                    time = System.Runtime.CompilerServices.Unsafe.ReadUnaligned<ulong>(entry + 2);
                    keyspace.NowMs = HybridClock.ToMilliseconds(time);
                    keyspace.Effects.Replay(body, length - (body - entry));
                });
                return new Replacement(keyspace, time, checkpoint);
            }
            catch
            {
                keyspace.Dispose();
                throw;
            }
        }

        protected override void Change(Replacement made)
        {
            // Checkpoints first: while the log has all of it, what there was can still be had.
            CheckpointFiles.DeleteBehind(Copy._files.Folder, _to);
            WriteLog log = Copy.Log;
            IOException? problem = null;
            try
            {
                End(log);
            }
            catch (IOException e)
            {
                if (log.WrittenSequence > _to)
                {
                    // Nothing of it is done, and the state is still the log's.
                    Fail(e);
                    return;
                }

                // The log is on its way there, and comes to the end of it once its disk works again.
                problem = e;
                log.GiveAfter(_to);
            }

            Copy.Exchange(made, problem is null ? log.LastPosition : new Position(place.Segment.Epoch, _to));
            Copy.LetGoOfAdoptions(_to);
            Copy.ForgetVersionsBehind(_to);
            if (problem is not null)
            {
                Fail(problem);
                return;
            }

            Tell(needsVersion: false);
        }

        private void End(WriteLog log)
        {
            try
            {
                log.GoBack(place);
            }
            catch (ArgumentException e)
            {
                throw new IOException($"there is no place {place} in the log of MiMei {Copy._mimei.Id}", e);
            }
        }

        private void Tell(bool needsVersion)
        {
            var gone = new GoneBack(_from, needsVersion ? _from : Copy.Applied, needsVersion);
            if (gone.Undone > 0)
            {
                Copy._files.Report($"MiMei {Copy._mimei.Id}: the writer took back {gone.Undone} entries; it went back from {gone.From} to {gone.To}");
            }

            Copy.Call(() => done(gone, null));
        }

        /// <summary>Whether a log is there from its first entry on; so is one of which a failed disk left nothing.</summary>
        private static bool HoldsBeginning(WriteLog log) => log.Places is [var first, ..] ? first.Segment is { First: 1, Offset: 0 } : log.Chain?.Newest is null;

        /// <summary>The last entry that ends before a place.</summary>
        private static ulong LastEntryAt(WriteLog log, in LogPlace place)
        {
            if (place.Segment.First == 0)
            {
                return 0;
            }

            ulong last = place.Segment.First - 1;
            if (place.Length <= LogFormat.SegmentHeaderBytes)
            {
                return last;
            }

            byte[] header = new byte[LogFormat.GroupHeaderBytes];
            for (long at = LogFormat.SegmentHeaderBytes; at < place.Length;)
            {
                if (log.ReadSegment(place.Segment, at, header) != header.Length)
                {
                    // Trimmed: its node says where it ends.
                    SegmentStart start = place.Segment;
                    SealedSegment? node = log.Chain?.Find(start.First);
                    return node is not null && node.Start == start && node.Length == place.Length ? node.Node.To : throw new CopyException($"there is no place {place} in the log");
                }

                fixed (byte* p = header)
                {
                    Group group = Group.Trusted(p);
                    at += group.TotalBytes;
                    if (at > place.Length)
                    {
                        throw new CopyException($"the place {place} lies within a group of the log");
                    }

                    last = group.EntryCount > 0 ? group.NextSequence - 1 : last;
                }
            }

            return last;
        }
    }

    /// <summary>Versions of a history that was undone are none any more: their numbers may come again.</summary>
    private void ForgetVersionsBehind(ulong sequence) => ForgetVersions(VersionsBehind(sequence));

    /// <summary>The versions whose place in the log is behind an entry: the newest ones.</summary>
    private HashSet<ulong> VersionsBehind(ulong sequence)
    {
        var behind = new HashSet<ulong>();
        if (_mimei.Versions is { } versions)
        {
            var unread = new List<ulong>();
            foreach (ListedVersion listed in versions.List.All.Where(static v => v.IsOwn).Reverse())
            {
                try
                {
                    if (versions.Read(listed.Number).Position.Sequence <= sequence)
                    {
                        break;
                    }

                    // Where one cannot be read, the one before it tells.
                    behind.Add(listed.Number);
                    behind.UnionWith(unread);
                }
                catch (Exception e) when (e is IOException or MimeiException)
                {
                    unread.Add(listed.Number);
                }
            }
        }

        return behind;
    }

    private void ForgetVersions(HashSet<ulong> numbers)
    {
        if (_mimei.Versions is not { } versions)
        {
            return;
        }

        if (numbers.Count > 0)
        {
            versions.List.Remove(numbers);
        }

        versions.Forget();
    }

    // ------------------------------------------------------------------ loading a version

    private sealed class LoadWork(MimeiCopy copy, Cid block, SealedSegment? segment, Action<Exception?> done) : BeginAnewWork(copy)
    {
        private MimeiVersion? _version;
        private IDisposable? _pin;

        public override void Fail(Exception problem)
        {
            _pin?.Dispose();
            Copy.Call(() => done(problem));
        }

        protected override bool Begin()
        {
            if (Copy._mimei.Versions is not { } versions)
            {
                throw new CopyException("there is no place for versions");
            }

            if (segment is null)
            {
                throw new CopyException("the version names no segment of a log, so that nothing can follow it");
            }

            _pin = versions.Pin();
            return true;
        }

        protected override Replacement Make()
        {
            Versioner versions = Copy._mimei.Versions!;
            byte[] bytes = versions.Blocks.Get(block) ?? throw new MissingBlockException(block);
            _version = MimeiVersion.Decode(bytes, versions.Writers);
            if (_version.Segment != segment!.Cid || segment.Node.To != _version.Position.Sequence)
            {
                throw new IOException($"the segment {segment.Cid} is not that of version {_version.Number}");
            }

            Keyspace keyspace = Copy.NewKeyspace();
            try
            {
                keyspace.NowMs = _version.TimeMs;
                var store = new NodeStore(versions.Blocks);
                StateRoot state = StateRoot.Read(store, _version.State);
                if (state.Databases.Keys.Any(n => n < 0 || n >= keyspace.Databases.Length))
                {
                    throw new IOException($"version {_version.Number} has more than the {keyspace.Databases.Length} databases of this configuration; start with more --databases");
                }

                StateLoader.Load(store, state, keyspace);
                versions.Blocks.Flush();
                Cid listed = versions.List.Find(_version.Number);
                if (listed.IsNone)
                {
                    versions.List.Add(_version.Number, block);
                }
                else if (listed != block)
                {
                    // That of a history which is no more.
                    versions.List.Remove(new HashSet<ulong> { _version.Number });
                    versions.List.Add(_version.Number, block);
                }

                return new Replacement(keyspace, _version.Time, WriteCheckpoint(Copy._files.Folder, keyspace, _version));
            }
            catch
            {
                keyspace.Dispose();
                throw;
            }
        }

        protected override void Change(Replacement made)
        {
            Position position = _version!.Position;
            BeginAnew(made, position, segment);
            _pin!.Dispose();
            Copy._files.Report($"MiMei {Copy._mimei.Id} is version {_version.Number} now, entry {position}");
            Copy.Call(() => done(null));
        }

        private static CheckpointInfo WriteCheckpoint(IFolder folder, Keyspace keyspace, MimeiVersion version)
        {
            Database[] databases = keyspace.Databases;
            int largest = 0;
            for (int i = 0; i < databases.Length; i++)
            {
                largest = databases[i].Count > databases[largest].Count ? i : largest;
            }

            var writer = new CheckpointWriter(folder, new CheckpointHeader(version.Position, version.Time, version.CreatedMs, databases.Length, databases.Sum(static d => d.Count), largest));
            Snapshot snapshot = Snapshot.Begin(keyspace, writer);
            while (!snapshot.Step(Stopwatch.GetTimestamp() + (10 * _sliceTicks)))
            {
                writer.WaitUntilNotBehind();
            }

            writer.Complete(snapshot.CapturedKeys);
            writer.Wait();
            return writer.Result ?? throw new IOException($"the checkpoint could not be written: {writer.Error?.Message}", writer.Error);
        }
    }

    // ------------------------------------------------------------------ nothing

    private sealed class EmptyWork(MimeiCopy copy, Action<Exception?> done) : BeginAnewWork(copy)
    {
        public override void Fail(Exception problem) => Copy.Call(() => done(problem));

        protected override bool Begin() => true;

        protected override Replacement Make() => new(Copy.NewKeyspace(), 0, null);

        protected override void Change(Replacement made)
        {
            Position from = Copy.Applied;
            BeginAnew(made, default, null);
            Copy._files.Report($"MiMei {Copy._mimei.Id}: of what was here the writer has nothing; what was there up to {from} is undone, and it follows from the first entry on");
            Copy.Call(() => done(null));
        }
    }

    // ------------------------------------------------------------------ versions of the writer

    /// <summary>Versions that the writer has begun and not told yet.</summary>
    private const int MaxMarks = 16;

    private readonly List<(ulong Number, ulong Sequence)> _marks = []; // behind _queueGate
    private readonly List<Adoption> _adoptions = [];
    private Capture? _capture;

    /// <summary>The state at a place of the log, kept until the version comes.</summary>
    private sealed class Capture(ulong sequence, IDisposable pin)
    {
        public ulong Sequence { get; } = sequence;

        public IDisposable Pin { get; } = pin;

        public StateAt? State { get; set; }

        public bool IsDone { get; set; }
    }

    /// <summary>A version that is to be listed.</summary>
    private sealed class Adoption(Cid block, ReadOnlyMemory<byte> bytes, MimeiVersion version, Action<StateCheck, Exception?> done)
    {
        public Cid Block { get; } = block;

        public ReadOnlyMemory<byte> Bytes { get; } = bytes;

        public MimeiVersion Version { get; } = version;

        public Action<StateCheck, Exception?> Done { get; } = done;

        public bool IsBusy { get; set; }

        /// <summary>Its place is not that of the log here any more, while another thread is still at it.</summary>
        public bool IsGone { get; set; }
    }

    private sealed class AdoptWork(MimeiCopy copy, Cid block, ReadOnlyMemory<byte> bytes, Action<StateCheck, Exception?> done) : Work(copy)
    {
        public override long Bytes => bytes.Length;

        public override Next Step(long deadline)
        {
            try
            {
                if (Copy._mimei.Versions is not { } versions)
                {
                    throw new CopyException("there is no place for versions");
                }

                MimeiVersion version = MimeiVersion.Decode(bytes.Span, versions.Writers);
                Cid listed = versions.List.Find(version.Number);
                if (listed == block)
                {
                    Copy.Call(() => done(StateCheck.Equal, null));
                }
                else if (!listed.IsNone && !IsBefore(versions.Read(version.Number).Position, version.Position))
                {
                    throw new CopyException($"there are two versions {version.Number}: {listed} is here already");
                }
                else
                {
                    Copy._adoptions.Add(new Adoption(block, bytes, version, done));
                    if (version.Position.Sequence > Copy.Applied.Sequence)
                    {
                        Copy.MarkVersion(version.Number, version.Position);
                    }

                    Copy.Resolve();
                }
            }
            catch (Exception e) when (e is IOException or MimeiException or CopyException)
            {
                Fail(e);
            }

            return Next.Over;
        }

        public override void Fail(Exception problem) => Copy.Call(() => done(StateCheck.Unknown, problem));

        private static bool IsBefore(Position a, Position b) => (a.Epoch, a.Sequence).CompareTo((b.Epoch, b.Sequence)) < 0;
    }

    /// <summary>An entry is about to be applied: if a version ends before it, the state of now is kept.</summary>
    private void CaptureBefore(ulong sequence)
    {
        lock (_queueGate)
        {
            if (!_marks.Exists(m => m.Sequence < sequence))
            {
                return;
            }
        }

        Reached();
        CaptureIfMarked();
    }

    private void CaptureIfMarked()
    {
        bool isMarked;
        lock (_queueGate)
        {
            isMarked = _marks.Exists(m => m.Sequence == _visited);
            _marks.RemoveAll(m => m.Sequence <= _visited);
        }

        if (isMarked)
        {
            TryCapture();
        }
    }

    /// <summary>Begins to keep the state of now; it may be that it cannot at present, and then the version is made from the log later.</summary>
    private void TryCapture()
    {
        if (_mimei.Versions is not { } versions || IsApartFromLog || (_capture is { } before && before.Sequence == _visited))
        {
            return;
        }

        _checkpointer?.Yield();
        if (_keyspace.Snapshot is not null || versions.IsMaking)
        {
            return;
        }

        LetGoOfCapture();
        var capture = new Capture(_visited, versions.Pin());
        _capture = capture;
        versions.MakeState((state, _) =>
        {
            // Begun again after something went wrong, it is that of another place.
            capture.State = state is not null && state.Position.Sequence == capture.Sequence ? state : null;
            capture.IsDone = true;
            Schedule();
        });
    }

    private void LetGoOfCapture()
    {
        _capture?.Pin.Dispose();
        _capture = null;
    }

    /// <summary>Goes on with the versions that are to be listed, as far as is possible now.</summary>
    private void Resolve()
    {
        if (_marks.Count > 0)
        {
            CaptureIfMarked();
        }

        for (int i = _adoptions.Count - 1; i >= 0; i--)
        {
            Adoption adoption = _adoptions[i];
            ulong at = adoption.Version.Position.Sequence;
            if (adoption.IsBusy || at > _visited)
            {
                continue;
            }

            if (_capture?.Sequence != at && at == _visited)
            {
                TryCapture();
            }

            if (_capture is { } capture && capture.Sequence == at)
            {
                if (capture.IsDone)
                {
                    if (capture.State is { } state)
                    {
                        Compare(adoption, state.Link);
                    }
                    else
                    {
                        LetGoOfCapture();
                        MakeFromLog(adoption);
                    }
                }
            }
            else
            {
                MakeFromLog(adoption);
            }
        }
    }

    /// <summary>Makes the state of a place that was passed, from the version before and the log, on another thread.</summary>
    private void MakeFromLog(Adoption adoption)
    {
        adoption.IsBusy = true;
        Versioner versions = _mimei.Versions!;
        IDisposable pin = versions.Pin();
        IDisposable job = versions.BeginJob();
        int databases = _keyspace.Databases.Length;
        Aside(
            () =>
            {
                using (job)
                using (Mimei moment = VersionHistory.Open(_mimei, new MimeiPlace(MimeiPlaceKind.Sequence, adoption.Version.Position.Sequence)))
                {
                    return new Made(versions.StoreState(moment.Keyspace, adoption.Version.Position, databases));
                }
            },
            (made, problem) =>
            {
                using (pin)
                {
                    if (made is not null)
                    {
                        Compare(adoption, made.State);
                    }
                    else
                    {
                        End(adoption, StateCheck.Unknown, problem is MimeiException ? null : problem);
                    }
                }
            });
    }

    private sealed record Made(Cid State);

    private void Compare(Adoption adoption, Cid own)
    {
        if (adoption.IsGone)
        {
            End(adoption, StateCheck.Unknown, null);
            return;
        }

        adoption.IsBusy = true;
        MimeiVersion version = adoption.Version;
        if (own != version.State)
        {
            Stop($"MiMei {_mimei.Id}: version {version.Number}, entry {version.Position}, was signed with the state {version.State}, but the log leads to {own}; it is followed no further");
            KeepEvidence(adoption, own);
            End(adoption, StateCheck.Different, null);
            return;
        }

        Versioner versions = _mimei.Versions!;
        IDisposable pin = versions.Pin(), job = versions.BeginJob();
        Aside(
            () =>
            {
                using (job)
                {
                    versions.Blocks.Put(adoption.Block, adoption.Bytes.Span);
                    versions.Blocks.Flush();
                    return versions.List.Put(version.Number, adoption.Block);
                }
            },
            (replaced, problem) =>
            {
                pin.Dispose();
                if (adoption.IsGone)
                {
                    Unlist(adoption);
                    End(adoption, StateCheck.Unknown, null);
                    return;
                }

                if (!replaced.IsNone)
                {
                    versions.Forget();
                    _files.Report($"MiMei {_mimei.Id}: version {version.Number}, entry {version.Position}, takes the place of {replaced}, of which its writer had not heard");
                }

                End(adoption, problem is null ? StateCheck.Equal : StateCheck.Unknown, problem);
            });
    }

    /// <summary>The log is another behind an entry: what was to be held against the state of a place there is not, whatever is written there next.</summary>
    private void LetGoOfAdoptions(ulong behind)
    {
        foreach (Adoption adoption in _adoptions.Where(a => a.Version.Position.Sequence > behind).ToArray())
        {
            if (adoption.IsBusy)
            {
                adoption.IsGone = true;
            }
            else
            {
                End(adoption, StateCheck.Unknown, null);
            }
        }
    }

    /// <summary>It was listed on another thread while its place went.</summary>
    private void Unlist(Adoption adoption)
    {
        Versioner versions = _mimei.Versions!;
        try
        {
            if (versions.List.Find(adoption.Version.Number) == adoption.Block)
            {
                versions.List.Remove(new HashSet<ulong> { adoption.Version.Number });
            }
        }
        catch (IOException e)
        {
            _files.Report($"MiMei {_mimei.Id}: version {adoption.Version.Number} was taken back, and is listed still: {e.Message}");
        }

        versions.Forget();
    }

    private void End(Adoption adoption, StateCheck check, Exception? problem)
    {
        _adoptions.Remove(adoption);
        if (_capture?.Sequence <= adoption.Version.Position.Sequence)
        {
            LetGoOfCapture();
        }

        Call(() => adoption.Done(check, problem));
    }

    /// <summary>What was signed and what came of it, for people: the version's block, and beside it the CID of the own state.</summary>
    private void KeepEvidence(Adoption adoption, Cid own)
    {
        IFolder folder = _files.Folder;
        string name = $"diverged-{adoption.Version.Number}-{own}";
        try
        {
            folder.Delete(name);
            using (IFile file = folder.Create(name))
            {
                file.WriteAll(0, adoption.Bytes.Span);
                file.Sync();
            }

            folder.SyncDirectory();
        }
        catch (DiskException e)
        {
            _files.Report($"MiMei {_mimei.Id}: what proves that could not be kept: {e.Message}");
        }
    }
}
