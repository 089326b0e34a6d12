using System.Diagnostics;
using System.Runtime.CompilerServices;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;

namespace Leither.MmDb.Replication;

/// <summary>
/// A MiMei that follows a writer elsewhere (<see cref="Mimei.Copy"/>): what was verified comes in here, is written to the copy's log byte for byte, and is
/// applied by the same door as at the writer, in slices at the gate.
/// </summary>
/// <remarks>
/// <para>What must stay true:</para>
/// <list type="bullet">
/// <item>Only bytes that somebody vouches for come in: nothing here looks at signatures.</item>
/// <item>What is asked for happens in the order in which it was asked. Each callback comes once, on the loop thread, outside the gate.</item>
/// <item>A crash at any point leaves what was before or what is after: the log's bytes are written before they are applied, and another state is
/// durable before it takes the place of what there was.</item>
/// <item>Clients see whole entries only. The keyspace decides nothing: what expires and what is evicted are the writer's effects.</item>
/// </list>
/// <para>Members may be called by any thread, unless they say otherwise.</para>
/// </remarks>
public sealed unsafe partial class MimeiCopy
{
    /// <summary>Bytes that may wait here at a time. Who brings more waits: back-pressure ends at the source, which keeps no queue.</summary>
    public const long MaxQueuedBytes = 16 << 20;

    private static readonly long _sliceTicks = Stopwatch.Frequency * 3 / 4000;

    private readonly Mimei _mimei;
    private readonly MimeiFiles _files;
    private readonly Keyspace _keyspace;
    private readonly Checkpoints.Checkpointer? _checkpointer;

    // What is asked for, in order; by any thread.
    private readonly Lock _queueGate = new();
    private readonly Queue<Work> _queue = new();
    private long _queuedBytes;
    private bool _isScheduled;
    private volatile bool _isClosed;

    // The loop's: whether a slice runs, whether the next one waits for the periodic work, and what is to be called when the gate is open again.
    private bool _isRunning, _isPolling;
    private readonly List<Action> _calls = [];

    private volatile Place _applied;
    private volatile string? _problem;

    /// <summary>A position that any thread may read.</summary>
    private sealed record Place(Position Position);

    /// <summary>What makes a MiMei follow that was opened as one (<see cref="Persistence.RecoverCopy"/>), with its log, checkpoints and versions. Sets <see cref="Mimei.Copy"/>.</summary>
    /// <param name="mimei">The MiMei.</param>
    /// <param name="files">Where it lies.</param>
    /// <param name="applied">The last entry in its keyspace.</param>
    public MimeiCopy(Mimei mimei, MimeiFiles files, Position applied)
    {
        _mimei = mimei;
        _files = files;
        _keyspace = mimei.Keyspace;
        _checkpointer = mimei.Checkpointer as Checkpoints.Checkpointer;
        _applied = new Place(applied);
        _visited = applied.Sequence;
        _lastTime = _keyspace.Effects.LastTime;
        _visitor = Visit;
        _keyspace.IsWriter = false;
        mimei.Files = files;
        mimei.Copy = this;
    }

    /// <summary>The last entry that is in the keyspace.</summary>
    public Position Applied => _applied.Position;

    /// <summary>The last entry that is durable here.</summary>
    public ulong Synced => Log.SyncedSequence;

    /// <summary>The copy's log. Reading it (places, bytes, nodes) is for any thread; changing it for this class.</summary>
    public WriteLog Log => _mimei.Log!;

    /// <summary>Bytes that were brought and are not applied yet.</summary>
    public long QueuedBytes => Volatile.Read(ref _queuedBytes);

    /// <summary>Whether more may be brought: below <see cref="MaxQueuedBytes"/>.</summary>
    public bool HasRoom => QueuedBytes < MaxQueuedBytes;

    /// <summary>Entries that were applied since it was opened.</summary>
    public long AppliedEntries { get; private set; }

    /// <summary>
    /// Why it follows no further: the state that its entries lead to is not what the author signed, say, or they are of a newer format. What is there stays
    /// readable. Null: nothing is wrong.
    /// </summary>
    public string? Problem => _problem;

    /// <summary>
    /// Is called by the loop's thread after something was applied; must be cheap. Null: nobody wants to know.
    /// </summary>
    public Action? Advanced { get; set; }

    /// <summary>
    /// The keyspace is not where the log ends. It is ahead of a log whose newest bytes a loss of power took, until they came again; or behind one that is to go back, and
    /// whose disk fails. Nothing may say then that the state is that of the log's end.
    /// </summary>
    internal bool IsApartFromLog => Applied.Sequence != Log.LastSequence;

    /// <summary>Nothing waits to be done.</summary>
    internal bool IsIdle
    {
        get
        {
            lock (_queueGate)
            {
                return _queue.Count == 0 && _adoptions.Count == 0;
            }
        }
    }

    /// <summary>
    /// Brings bytes that continue the log: the rest of the current segment, or a new one with its header. They may end anywhere:
    /// what is left of a group waits for the rest of it. The memory stays as it is until <paramref name="done"/> was called.
    /// </summary>
    /// <param name="verified">The bytes, covered by a signed head.</param>
    /// <param name="done">All whole entries of them are written and applied (null), or why not: a <see cref="LogCorruptedException"/> where they do not continue the log, an
    /// <see cref="IOException"/> where the disk failed (they may be brought again later), a <see cref="CopyException"/> where it follows no further. What was brought after
    /// bytes that were not taken is not taken either, for the same reason.</param>
    public void Append(ReadOnlyMemory<byte> verified, Action<Exception?> done) => Ask(new AppendWork(this, verified, done));

    /// <summary>The writer ended its current segment without beginning another: the copy's ends too, and is sealed.</summary>
    public void Cut(Action<Exception?> done) => Ask(new CutWork(this, done));

    /// <summary>
    /// Goes back to a place in the log: what lies behind it is undone, its bytes set aside. Sessions stay; what they watched counts as changed, their caches as old.
    /// </summary>
    /// <param name="place">A place in a segment that is here, between two groups.</param>
    /// <param name="done">What was undone. <see cref="GoneBack.NeedsVersion"/>: nothing was, since the state of that place cannot be had from what is here;
    /// <see cref="Load"/> a version at or before it, or <see cref="Empty"/> it.</param>
    public void GoBack(LogPlace place, Action<GoneBack?, Exception?> done) => Ask(new GoBackWork(this, place, done));

    /// <summary>
    /// Makes a version's state the copy's: all of its blocks are in <see cref="Versioner.Blocks"/>, its own too, checked. It is listed. The log begins anew after it.
    /// </summary>
    /// <param name="version">The version's block.</param>
    /// <param name="segment">The sealed segment that the version ends.</param>
    /// <param name="done">It is there, durably (null), or why not. Then all is as it was, or it <see cref="IsBetweenStates"/>, and is to be asked for again.</param>
    public void Load(Cid version, SealedSegment? segment, Action<Exception?> done) => Ask(new LoadWork(this, version, segment, done));

    /// <summary>
    /// Undoes all there is, whatever of its beginning is not here any more: keyspace and log are empty then, what the log held is set aside, no version of it is listed.
    /// Sessions stay, as in <see cref="GoBack"/>.
    /// </summary>
    /// <param name="done">It is done, durably (null), or why not. Then all is as it was, or it <see cref="IsBetweenStates"/>, and is to be asked for again.</param>
    public void Empty(Action<Exception?> done) => Ask(new EmptyWork(this, done));

    /// <summary>
    /// The writer begins a version at a place: when the copy gets there it keeps its state of that place for <see cref="AdoptVersion"/>. To be said before the bytes that
    /// follow that place are brought.
    /// </summary>
    /// <param name="number">The version's number.</param>
    /// <param name="at">Its last entry.</param>
    public void MarkVersion(ulong number, Position at)
    {
        lock (_queueGate)
        {
            if (_marks.Count == MaxMarks)
            {
                _marks.RemoveAt(0);
            }

            _marks.Add((number, at.Sequence));
        }

        Schedule();
    }

    /// <summary>
    /// Lists a version that the author has signed, if the copy's own state at its place is the same: what it costs is by what changed. It may come before the copy is
    /// there; one that comes late is made from the version before and the log. It takes the place of one of its number that was made before it: who took over writing had
    /// not heard of that.
    /// </summary>
    /// <param name="block">The version's block.</param>
    /// <param name="bytes">Its bytes, which are those that the block names.</param>
    /// <param name="done">What came of it. After <see cref="StateCheck.Different"/> the copy follows no further (<see cref="Problem"/>).</param>
    public void AdoptVersion(Cid block, ReadOnlyMemory<byte> bytes, Action<StateCheck, Exception?> done) => Ask(new AdoptWork(this, block, bytes, done));

    /// <summary>
    /// Makes it a MiMei that is written here, from the last entry on that it has: a new epoch begins. Sessions stay as they are.
    /// </summary>
    /// <param name="epoch">The epoch, above all there were.</param>
    /// <param name="done">It is written here (null; <see cref="Mimei.Copy"/> is null from now on), or why not.</param>
    public void Promote(ulong epoch, Action<Exception?> done) => Ask(new PromoteWork(this, epoch, done));

    // ------------------------------------------------------------------ the queue

    /// <summary>One thing that was asked for.</summary>
    private abstract class Work(MimeiCopy copy)
    {
        protected MimeiCopy Copy { get; } = copy;

        /// <summary>Bytes that it holds.</summary>
        public virtual long Bytes => 0;

        /// <summary>Goes on, behind the gate, until about then.</summary>
        public abstract Next Step(long deadline);

        /// <summary>It will not be done.</summary>
        public abstract void Fail(Exception problem);
    }

    /// <summary>What a piece of work needs next.</summary>
    private enum Next
    {
        /// <summary>Nothing: it is over.</summary>
        Over,

        /// <summary>Another slice.</summary>
        More,

        /// <summary>Something that another thread does, which then asks for a slice.</summary>
        Aside,

        /// <summary>That something else ends: a look now and then.</summary>
        Look,
    }

    private void Ask(Work work)
    {
        lock (_queueGate)
        {
            if (!_isClosed)
            {
                _queue.Enqueue(work);
                _queuedBytes += work.Bytes;
                work = null!;
            }
        }

        if (work is not null)
        {
            work.Fail(new CopyException("the copy was closed"));
        }

        Schedule();
    }

    /// <summary>Has a slice run on the loop thread, soon.</summary>
    private void Schedule()
    {
        if (_mimei.Server is not { } server)
        {
            return;
        }

        lock (_queueGate)
        {
            if (_isScheduled)
            {
                return;
            }

            _isScheduled = true;
        }

        if (server.Post is { } post)
        {
            post(Run);
        }
        else
        {
            Run();
        }
    }

    /// <summary>A look at what waits for something to end. The periodic work calls it.</summary>
    /// <returns>In how many milliseconds it wants to be called again at the latest.</returns>
    internal int Look()
    {
        if (!_isPolling)
        {
            return int.MaxValue;
        }

        _isPolling = false;
        Schedule();
        return 1;
    }

    /// <summary>One slice, on the loop thread.</summary>
    private void Run()
    {
        lock (_queueGate)
        {
            _isScheduled = false;
        }

        if (_isRunning || _isClosed)
        {
            return;
        }

        Server server = _mimei.Server!;
        _isRunning = true;
        bool more;
        do
        {
            lock (_mimei.Gate)
            {
                if (server.Scripts.IsBusy)
                {
                    // A script has the keyspace, although others have their turn.
                    _isRunning = false;
                    Poll(server);
                    return;
                }

                server.Touch(_mimei);
                long began = server.BeginPart();
                more = Slice(server);
                _ = server.EndPart("replication-apply", began);
            }

            while (_calls.Count > 0)
            {
                Action[] calls = [.. _calls];
                _calls.Clear();
                foreach (Action call in calls)
                {
                    call();
                }
            }
        }
        while (more && server.Post is null);
        _isRunning = false;
        if (more)
        {
            Schedule();
        }
    }

    private void Poll(Server server)
    {
        _isPolling = true;
        server.Tend(_mimei);
        server.WakeWithin?.Invoke(1);
    }

    private bool Slice(Server server)
    {
        long deadline = Stopwatch.GetTimestamp() + _sliceTicks, applied = AppliedEntries;
        bool more = false;
        while (true)
        {
            Resolve();
            Work? work;
            lock (_queueGate)
            {
                if (!_queue.TryPeek(out work))
                {
                    break;
                }
            }

            Next next = work.Step(deadline);
            if (next == Next.Over)
            {
                lock (_queueGate)
                {
                    _queue.Dequeue();
                    _queuedBytes -= work.Bytes;
                }
            }
            else
            {
                more = next == Next.More;
                if (next == Next.Look)
                {
                    Poll(server);
                }

                break;
            }

            if (Stopwatch.GetTimestamp() >= deadline)
            {
                more = true;
                break;
            }
        }

        _keyspace.NowMs = server.NowMs;
        if (_keyspace.HasReady)
        {
            server.Blocking.ServeReady(_keyspace);
        }

        if (AppliedEntries != applied)
        {
            Advanced?.Invoke();
        }

        return more;
    }

    /// <summary>Calls somebody back when the gate is open again.</summary>
    private void Call(Action call)
    {
        if (_isClosed)
        {
            call();
            return;
        }

        _calls.Add(call);
        if (!_isRunning)
        {
            Schedule();
        }
    }

    /// <summary>Does on another thread what waits for the disk; the rest is one of its slices'.</summary>
    private void Aside<T>(Func<T> work, Action<T?, Exception?> done) => _mimei.Server!.RunAside(work, (made, problem) =>
    {
        if (_isClosed)
        {
            (made as IDisposable)?.Dispose();
            return;
        }

        lock (_mimei.Gate)
        {
            done(made, problem);
        }

        Schedule();
    });

    /// <summary>Fails what is asked for and not done, since the MiMei is closed or is a copy no more. (The loop's thread.)</summary>
    internal void Close(string why)
    {
        Work[] left;
        lock (_queueGate)
        {
            _isClosed = true;
            left = [.. _queue];
            _queue.Clear();
            _queuedBytes = 0;
        }

        foreach (Work work in left)
        {
            work.Fail(new CopyException(why));
        }

        foreach (Adoption adoption in _adoptions)
        {
            adoption.Done(StateCheck.Unknown, new CopyException(why));
        }

        _adoptions.Clear();
        LetGoOfCapture();
    }

    /// <summary>It follows no further.</summary>
    private void Stop(string problem)
    {
        if (_problem is null)
        {
            _problem = problem;
            _files.Report(problem);
        }
    }

    // ------------------------------------------------------------------ bytes of the log

    /// <summary>So many bytes are looked at at once at first: no more than a slice can apply.</summary>
    private const int WindowBytes = 32 << 10;

    /// <summary>What is left of a group that did not come whole; more than one group never is.</summary>
    private const int MaxRestBytes = LogOptions.MaxSegmentBytes;

    private readonly EntryVisitor _visitor;
    private byte[] _rest = [];
    private Exception? _unknown;
    private ulong _lastTime;

    private sealed class AppendWork(MimeiCopy copy, ReadOnlyMemory<byte> bytes, Action<Exception?> done) : Work(copy)
    {
        private readonly int _length = bytes.Length;
        private ReadOnlyMemory<byte> _left = bytes;
        private bool _isBegun;
        private int _window = WindowBytes;

        public override long Bytes => _length;

        public override Next Step(long deadline)
        {
            if (Copy._problem is { } problem)
            {
                Fail(new CopyException(problem));
                return Next.Over;
            }

            if (!_isBegun)
            {
                _isBegun = true;
                if (Copy._rest.Length > 0)
                {
                    _left = (byte[])[.. Copy._rest, .. _left.Span];
                    Copy._rest = [];
                }
            }

            try
            {
                while (_left.Length > 0)
                {
                    int window = Math.Min(_window, _left.Length);
                    int took = Copy.Take(_left.Span[..window]);
                    _left = _left[took..];
                    if (Copy._problem is { } wrong)
                    {
                        Fail(new CopyException(wrong));
                        return Next.Over;
                    }

                    if (took == 0)
                    {
                        if (window == _left.Length)
                        {
                            break;
                        }

                        _window *= 4;
                        continue;
                    }

                    _window = WindowBytes;
                    if (_left.Length > 0 && Stopwatch.GetTimestamp() >= deadline)
                    {
                        return Next.More;
                    }
                }
            }
            catch (IOException e)
            {
                Copy.FailAppends(this, e);
                return Next.Over;
            }

            if (_left.Length > MaxRestBytes)
            {
                Copy.FailAppends(this, new LogCorruptedException("what was brought", 0, Copy.Applied.Sequence + 1, "a group is longer than a segment can be"));
                return Next.Over;
            }

            Copy._rest = _left.ToArray();
            Copy.Call(() => done(null));
            return Next.Over;
        }

        public override void Fail(Exception problem) => Copy.Call(() => done(problem));
    }

    private sealed class CutWork(MimeiCopy copy, Action<Exception?> done) : Work(copy)
    {
        public override Next Step(long deadline)
        {
            try
            {
                Copy._rest = [];
                Copy.Log.CutCopy();
                Copy.Call(() => done(null));
            }
            catch (IOException e)
            {
                Fail(e);
            }

            return Next.Over;
        }

        public override void Fail(Exception problem) => Copy.Call(() => done(problem));
    }

    /// <summary>Bytes could not be taken: those behind them would not continue the log.</summary>
    private void FailAppends(AppendWork failed, Exception problem)
    {
        failed.Fail(problem);
        lock (_queueGate)
        {
            // The first one is the failed one, which the slice takes out.
            foreach (Work work in _queue.Skip(1).TakeWhile(static w => w is AppendWork or CutWork))
            {
                _refused.Add(work);
            }

            if (_refused.Count > 0)
            {
                Work[] kept = [.. _queue.Where(w => !_refused.Contains(w))];
                _queue.Clear();
                foreach (Work work in kept)
                {
                    _queue.Enqueue(work);
                }
            }
        }

        foreach (Work work in _refused)
        {
            _queuedBytes -= work.Bytes;
            work.Fail(problem);
        }

        _refused.Clear();
    }

    private readonly List<Work> _refused = [];

    /// <summary>Writes and applies the whole groups at the beginning of some bytes; gives how many bytes those are.</summary>
    private int Take(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* begin = bytes)
        {
            _ahead.Begin(begin, bytes.Length);
            int took = (int)Log.Append(bytes, _visitor);
            _ahead.End();
            Reached();
            if (_unknown is { } unknown)
            {
                _unknown = null;
                Stop($"MiMei {_mimei.Id} is followed no further than entry {Applied}: {unknown.Message}");
            }

            return took;
        }
    }

    /// <summary>Takes note of how far the keyspace is, for others to see.</summary>
    private void Reached()
    {
        if (_visited != _applied.Position.Sequence)
        {
            _keyspace.Effects.Follow(_lastTime);
            _applied = new Place(new Position(Log.LastPosition.Epoch, _visited));
        }
    }

    /// <summary>The last entry that was applied, whether others know of it or not.</summary>
    private ulong _visited;

    private void Visit(ulong sequence, byte* entry, long length)
    {
        if (sequence <= _visited || _unknown is not null)
        {
            // What a checkpoint held already, and the log lost.
            return;
        }

        if (_marks.Count > 0)
        {
            CaptureBefore(sequence);
        }

        _ahead.Reach(_keyspace, entry);
        try
        {
            _lastTime = Unsafe.ReadUnaligned<ulong>(entry + 2);
            byte* body = Persistence.BodyOf(sequence, entry, length);
            _keyspace.NowMs = HybridClock.ToMilliseconds(_lastTime);
            _keyspace.Effects.ReplayTelling(body, length - (body - entry));
            _visited = sequence;
            AppliedEntries++;
        }
        catch (UnknownEffectException e)
        {
            // The log holds it; it must not be thrown through.
            _unknown = e;
        }
    }
}

/// <summary>What going back came to.</summary>
/// <param name="From">The last entry before.</param>
/// <param name="To">The last entry now.</param>
/// <param name="NeedsVersion">It was not done, since neither checkpoint nor log give the state of that place: a version has to be loaded.</param>
public sealed record GoneBack(Position From, Position To, bool NeedsVersion)
{
    /// <summary>How many entries were undone.</summary>
    public ulong Undone => From.Sequence > To.Sequence ? From.Sequence - To.Sequence : 0;
}

/// <summary>What a copy's own state is, beside that of a signed version.</summary>
public enum StateCheck
{
    /// <summary>The same: the version is listed here.</summary>
    Equal,

    /// <summary>Another: the copy follows no further.</summary>
    Different,

    /// <summary>It could not be made: neither state nor log of that place are here. The version is not listed; its blocks can be fetched.</summary>
    Unknown,
}

/// <summary>A copy cannot go on with what it was brought. The text says why, for people.</summary>
/// <param name="message">What and why.</param>
/// <param name="inner">The cause.</param>
public sealed class CopyException(string message, Exception? inner = null) : Exception(message, inner);
