using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions;

/// <content>
/// Which blocks are needed, and the collection of those that are not. Needed is what leads from the versions of the list, from those that
/// somebody reads, from the one that is being made, and from the root of the files that there are now. A collection runs in a thread of its own, since it waits for the disk; nothing of it happens
/// at the gate.
/// </content>
public sealed partial class Versioner
{
    private static readonly TimeSpan _collectionSlice = TimeSpan.FromMilliseconds(5);

    private readonly Lock _usesGate = new();
    private readonly Dictionary<Cid, int> _uses = [];
    private readonly Lock _collecting = new();
    private readonly object _jobsGate = new();
    private int _jobs, _pins;
    private bool _isClosing, _awaitsPins;
    private volatile ReferredVersions _referred = ReferredVersions.None;
    private volatile bool _isCollecting, _collectionFailed;

    /// <summary>Keeps a version's blocks, whatever happens to the list, until it is disposed of.</summary>
    internal sealed class Use(Versioner versions, Cid block) : IDisposable
    {
        private Versioner? _versions = versions;

        /// <inheritdoc/>
        public void Dispose() => Interlocked.Exchange(ref _versions, null)?.Unhold(block);
    }

    /// <summary>What is kept because something refers to it. (Any thread.)</summary>
    internal ReferredVersions Referred
    {
        get => _referred;
        set
        {
            lock (_usesGate)
            {
                _referred = value;
            }
        }
    }

    private bool HasJobs => Volatile.Read(ref _jobs) > 0;

    /// <summary>Reads a version, and keeps its blocks until the result is disposed of. (Any thread.)</summary>
    /// <param name="number">Its number.</param>
    /// <param name="version">The version.</param>
    /// <param name="known">One that was read before.</param>
    /// <exception cref="MimeiException">There is no such version, or it is damaged.</exception>
    internal Use Hold(ulong number, out MimeiVersion version, MimeiVersion? known = null)
    {
        Use use;
        Cid block;
        lock (_usesGate)
        {
            block = List.Find(number);
            if (block.IsNone)
            {
                throw NoSuchVersion(number);
            }

            _uses[block] = _uses.GetValueOrDefault(block) + 1;
            use = new Use(this, block);
        }

        try
        {
            version = known?.Number == number ? known : ReadBlock(block);
            return use;
        }
        catch
        {
            use.Dispose();
            throw;
        }
    }

    /// <summary>Takes versions out of the list, durably. Whoever reads one goes on; a collection frees the rest. (Any thread.)</summary>
    /// <exception cref="MimeiException">There is no such version, or it is referred to; none was deleted.</exception>
    internal void Delete(IReadOnlySet<ulong> numbers)
    {
        lock (_usesGate)
        {
            foreach (ulong number in numbers)
            {
                if (List.Find(number).IsNone)
                {
                    throw NoSuchVersion(number);
                }
            }

            if (_referred.Refusal(numbers, List) is { } refusal)
            {
                throw new MimeiException(refusal);
            }

            List.Remove(numbers);
        }

        _collectionFailed = false;
    }

    /// <summary>What kept a collection from its end may be repaired: it is tried again. (Any thread.)</summary>
    internal void RetryCollection() => _collectionFailed = false;

    /// <summary>How many versions are read that the list does not have any more. (Any thread.)</summary>
    internal int HeldDeleted
    {
        get
        {
            lock (_usesGate)
            {
                HashSet<Cid> listed = [.. List.All.Select(static v => v.Block)];
                return _uses.Keys.Count(block => !listed.Contains(block));
            }
        }
    }

    /// <summary>Takes away what nothing needs. (Any thread but the loop's: it waits for the disk, and for a collection that runs.)</summary>
    /// <param name="purge">Leave no byte of it in any file.</param>
    /// <exception cref="IOException">A block is damaged, or the disk failed; nothing that is needed was taken.</exception>
    internal CollectionReport Collect(bool purge)
    {
        using IDisposable job = BeginJob();
        return CollectWithin(purge);
    }

    /// <summary>As <see cref="Collect"/>, within a job.</summary>
    private CollectionReport CollectWithin(bool purge)
    {
        lock (_collecting)
        {
            AwaitPins();
            long removals = List.Removals;
            using BlockCollection collection = Blocks.Collect(new CollectionOptions { Roots = Roots, Links = MimeiVersion.AddLinks, Purge = purge });
            while (!collection.Step(_collectionSlice))
            {
                ThrowIfClosing();
                if (!purge)
                {
                    // Nobody waits for it: half of the time is others'.
                    Thread.Sleep(_collectionSlice);
                }
            }

            _wholeFiles = null; // those of now are, those of before may not be
            List.Collected(removals);
            return collection.Report;
        }
    }

    /// <summary>
    /// Says that work on the blocks begins outside the gate: they are not closed before it has ended. It asks <see cref="ThrowIfClosing"/> often. (Any thread.)
    /// </summary>
    internal IDisposable BeginJob()
    {
        lock (_jobsGate)
        {
            ThrowIfClosing();
            _jobs++;
        }

        return new Job(this);
    }

    /// <summary>Ends work in the background where the MiMei is being closed.</summary>
    /// <exception cref="IOException">It is.</exception>
    internal void ThrowIfClosing()
    {
        if (Volatile.Read(ref _isClosing))
        {
            throw new IOException("the MiMei was closed before it was done");
        }
    }

    /// <summary>
    /// No collection begins until the result is disposed of: for work with versions and with states that no list has. (One that runs already keeps
    /// what is stored meanwhile, and what was listed when it began.) Any thread.
    /// </summary>
    internal IDisposable Pin()
    {
        lock (_jobsGate)
        {
            _pins++;
        }

        return new Pinned(this);
    }

    /// <summary>Whether something goes on in the background; a collection that waits for others' pins does not. (Any thread.)</summary>
    internal bool IsAtWork
    {
        get
        {
            lock (_jobsGate)
            {
                return IsMaking || _jobs > (_awaitsPins ? 1 : 0);
            }
        }
    }

    private void AwaitPins()
    {
        lock (_jobsGate)
        {
            while (_pins > 0)
            {
                ThrowIfClosing();
                _awaitsPins = true;
                Monitor.Wait(_jobsGate);
            }

            _awaitsPins = false;
        }
    }

    private IEnumerable<Cid> Roots()
    {
        lock (_usesGate)
        {
            Cid files = _mimei.Keyspace.Files;
            return [.. List.All.Select(static v => v.Block), .. _uses.Keys, .. _referred.Blocks, .. files.IsNone ? [] : (Cid[])[files]];
        }
    }

    private void Unhold(Cid block)
    {
        lock (_usesGate)
        {
            if (--_uses[block] == 0)
            {
                _uses.Remove(block);
            }
        }
    }

    /// <summary>Begins a collection where one is to come: after versions were deleted, also when the node ended before it was through.</summary>
    private void CollectIfWanted()
    {
        if (_isCollecting || _collectionFailed || _list is not { HasGarbage: true })
        {
            return;
        }

        _isCollecting = true;
        IDisposable job = BeginJob();
        new Thread(() => CollectInBackground(job)) { IsBackground = true, Name = "collection" }.Start();
    }

    private void CollectInBackground(IDisposable job)
    {
        BackgroundPriority.Lower();
        using (job)
        {
            try
            {
                CollectionReport report = CollectWithin(purge: false);
                _options.Report($"Collection: {report.LiveBlocks} blocks are needed, {report.FreedBytes} bytes were freed");
            }
            catch (Exception e) when (e is IOException or MimeiException or ObjectDisposedException)
            {
                _collectionFailed = true;
                _options.Report($"Deleted versions still take space: {e.Message}. MIMEI CHECK says what is wrong, and collects again");
            }

            _isCollecting = false;
        }
    }

    private void EndJobs()
    {
        lock (_jobsGate)
        {
            Volatile.Write(ref _isClosing, true);
            Monitor.PulseAll(_jobsGate);
            while (_jobs > 0)
            {
                Monitor.Wait(_jobsGate);
            }
        }
    }

    private sealed class Pinned(Versioner versions) : IDisposable
    {
        public void Dispose()
        {
            lock (versions._jobsGate)
            {
                versions._awaitsPins &= --versions._pins > 0;
                Monitor.PulseAll(versions._jobsGate);
            }
        }
    }

    private sealed class Job(Versioner versions) : IDisposable
    {
        public void Dispose()
        {
            lock (versions._jobsGate)
            {
                versions._jobs--;
                Monitor.PulseAll(versions._jobsGate);
            }
        }
    }
}
