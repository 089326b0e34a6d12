using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Keys;
using Leither.MmDb.Configuration;
using Leither.MmDb.Rights;

namespace Leither.MmDb;

/// <summary>A MiMei of this node, loaded or not. All members are used on the loop thread, but for what is asked of rights, on any.</summary>
public sealed class MimeiEntry
{
    private readonly LeitherId _nodeAuthor;

    internal MimeiEntry(MimeiRecord record, LeitherId nodeAuthor) => (Record, _nodeAuthor) = (record, nodeAuthor);

    /// <summary>What is kept of it.</summary>
    public MimeiRecord Record { get; internal set; }
    /// <summary>Its id.</summary>
    public LeitherId Id => Record.Id;
    /// <summary>Who may do what with it, besides its owner.</summary>
    public MimeiRights Rights => Record.Rights;
    /// <summary>It as it is now; null while it is not loaded.</summary>
    public Mimei? Loaded { get; internal set; }
    /// <summary>Who wants it as soon as it is loaded; null while it is not being loaded.</summary>
    internal List<Action<Mimei?, Exception?>>? Awaited { get; set; }
    /// <summary>Being loaded, or being closed: either begins when the other is over.</summary>
    internal Task Work { get; set; } = Task.CompletedTask;

    /// <summary>
    /// What somebody may do with it: the one place that says so. Its author owns it, and so does whoever this node belongs to, who has its files anyway.
    /// </summary>
    public MimeiRight RightsOf(in MimeiCaller caller)
    {
        MimeiRecord record = Record;
        return IsOwnedBy(caller, record) ? MimeiRight.All : record.Rights.Of(caller);
    }

    /// <summary>Whether it is somebody's own, or its lists have him, whatever he may.</summary>
    public bool Knows(in MimeiCaller caller)
    {
        MimeiRecord record = Record;
        return IsOwnedBy(caller, record) || record.Rights.Have(caller);
    }

    private bool IsOwnedBy(in MimeiCaller caller, MimeiRecord record) =>
        caller.User is { } user && (user == _nodeAuthor || user == record.Author) && user != default;
}

/// <summary>
/// The MiMei of a node: which there are, what they are called, and which are loaded. One is loaded when it is first used, and unloaded when nobody has
/// used it for a while; whoever uses it does not notice. The default one is always loaded.
/// </summary>
/// <remarks>
/// <para>What must stay true:</para>
/// <list type="bullet">
/// <item>A MiMei is loaded once at a time: it is opened only after it was closed, and closed only when nothing holds it.</item>
/// <item>One that is not used costs nothing: not in a turn, which knows those it has to do with, nor in the periodic work, which knows those that
/// have work left and looks at a few of the others in each round, so that each is seen every few seconds.</item>
/// <item>The disk is waited for on other threads; everything else happens on the loop thread.</item>
/// </list>
/// </remarks>
public sealed class MimeiRegistry
{
    /// <summary>Everyone who rests is looked at once in about so long: their expired keys and save points wait no longer.</summary>
    private const int SweepMs = 5000;

    /// <summary>For so long what other nodes had of a MiMei is what they have.</summary>
    private const int RemoteFreshMs = 5000;

    private readonly Server _server;
    private readonly IMimeiStore? _store;
    private readonly LeitherId _author;
    private readonly Dictionary<LeitherId, MimeiEntry> _all = [];
    private readonly Dictionary<string, MimeiEntry> _names = new(StringComparer.Ordinal);
    private readonly List<Mimei> _open = [];
    private readonly List<Mimei> _active = [];
    private int _nextActive, _nextSwept;
    private long _usedBytes;

    internal MimeiRegistry(Server server, IMimeiStore? store)
    {
        _server = server;
        _store = store;
        _author = store is null ? default : LeitherId.Of(store.Author.Span);
        foreach (MimeiRecord record in store?.List() ?? [])
        {
            Add(record);
        }

        Mimei first = server.DefaultMimei;
        Default = _all.GetValueOrDefault(first.Id) ?? Add(new MimeiRecord(first.Id) { CreatedMs = server.StartedMs, Author = _author });
        Default.Loaded = first;
        first.Entry = Default;
        Attach(first);
        Protect(Default);
    }

    /// <summary>The one that connections start in.</summary>
    public MimeiEntry Default { get; }
    /// <summary>All, in no order.</summary>
    public IReadOnlyCollection<MimeiEntry> All => _all.Values;
    /// <summary>Those that are loaded, versions that somebody looks at included; the default one first.</summary>
    public IReadOnlyList<Mimei> Open => _open;
    /// <summary>Where they are kept; null: nowhere, there is the default one only.</summary>
    public IMimeiStore? Store => _store;
    /// <summary>Bytes of memory that all keyspaces together use, by the end of the last turn.</summary>
    public long UsedBytes => _usedBytes;

    /// <summary>Finds one by its id or its name.</summary>
    public bool TryFind(string idOrName, [NotNullWhen(true)] out MimeiEntry? entry) =>
        LeitherId.TryParse(idOrName, out LeitherId id) ? _all.TryGetValue(id, out entry) : _names.TryGetValue(idOrName, out entry);

    /// <summary>Finds one by its id.</summary>
    public bool TryFind(LeitherId id, [NotNullWhen(true)] out MimeiEntry? entry) => _all.TryGetValue(id, out entry);

    /// <summary>Takes up one whose place has been made.</summary>
    public MimeiEntry Add(MimeiRecord record)
    {
        if (!_all.TryGetValue(record.Id, out MimeiEntry? entry))
        {
            _all.Add(record.Id, entry = new MimeiEntry(record, _author));
            if (record.Name.Length > 0 && !_names.TryAdd(record.Name, entry))
            {
                entry.Record = record with { Name = "" };
            }
        }

        return entry;
    }

    /// <summary>Changes what is kept of one: at once here, and for the store when the caller has it kept.</summary>
    public void Change(MimeiEntry entry, MimeiRecord record)
    {
        if (record.Name != entry.Record.Name)
        {
            _names.Remove(entry.Record.Name);
            if (record.Name.Length > 0)
            {
                _names.Add(record.Name, entry);
            }
        }

        entry.Record = record;
    }

    /// <summary>Keeps what is known of one as it is by now, durably. On any thread; what is kept last is the newest.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    internal void Keep(MimeiEntry entry)
    {
        lock (entry)
        {
            _store?.Keep(entry.Record);
        }
    }

    // ------------------------------------------------------------------ rights

    /// <summary>Changes who may do what with one: at once here, for those who are connected too, and for the store when the caller has it kept (<see cref="KeepRights"/>).</summary>
    /// <param name="entry">Which.</param>
    /// <param name="rights">Who may do what from now on.</param>
    /// <param name="by">Who changes it and waits for an answer; null: nobody.</param>
    public void ChangeRights(MimeiEntry entry, MimeiRights rights, Session? by = null)
    {
        entry.Record = entry.Record with { Rights = rights };
        _server.Users.RightsChanged(entry, by);
    }

    /// <summary>Keeps who may do what with one as it is by now, durably. On any thread; what is kept last is the newest.</summary>
    /// <exception cref="IOException">The disk failed: what was changed holds until the node stops.</exception>
    public void KeepRights(MimeiEntry entry)
    {
        lock (entry)
        {
            _store?.KeepRights(entry.Id, entry.Record.Rights);
        }
    }

    // ------------------------------------------------------------------ references

    /// <summary>Those that refer to one, as a whole or to a version of it.</summary>
    internal IEnumerable<MimeiEntry> ReferrersOf(LeitherId id) => _all.Values.Where(e => e.Record.References.Any(r => !r.IsBlock && r.Mid == id));

    /// <summary>Changes what one refers to: at once here, and for the store when the caller has it kept.</summary>
    internal void Refer(MimeiEntry entry, IReadOnlyList<MimeiReference> references)
    {
        MimeiReference[] changed = [.. entry.Record.References.Except(references), .. references.Except(entry.Record.References)];
        entry.Record = entry.Record with { References = references };
        Protect(entry);
        foreach (LeitherId id in changed.Where(static r => !r.IsBlock).Select(static r => r.Mid).Distinct())
        {
            if (_all.TryGetValue(id, out MimeiEntry? target))
            {
                Protect(target);
            }
        }
    }

    /// <summary>Tells one that is loaded what of its versions is referred to. One that is not is told when it is.</summary>
    private void Protect(MimeiEntry entry)
    {
        if (entry.Loaded?.Versions is not { } versions)
        {
            return;
        }

        var numbers = new Dictionary<ulong, string>();
        string? whole = null;
        foreach (MimeiEntry referrer in ReferrersOf(entry.Id))
        {
            string who = referrer.Record.Name.Length > 0 ? $"{referrer.Id} ({referrer.Record.Name})" : referrer.Id.ToString();
            foreach (MimeiReference reference in referrer.Record.References.Where(r => !r.IsBlock && r.Mid == entry.Id))
            {
                if (reference.Version == 0)
                {
                    whole ??= who;
                }
                else
                {
                    numbers.TryAdd(reference.Version, who);
                }
            }
        }

        versions.Referred = new Versions.ReferredVersions(numbers, whole, [.. entry.Record.References.Where(static r => r.IsBlock).Select(static r => r.Block)]);
    }

    // ------------------------------------------------------------------ loading and unloading

    /// <summary>
    /// Gives one as it is at a place in its history, loaded: at once if it is, otherwise when it has been. What is wrong is a
    /// <see cref="MimeiException"/> or an <see cref="IOException"/>.
    /// </summary>
    internal void Load(MimeiEntry entry, MimeiPlace place, Action<Mimei?, Exception?> done)
    {
        if (place.Kind != MimeiPlaceKind.Current)
        {
            LoadPast(entry, place, done);
        }
        else if (entry.Loaded is { } loaded)
        {
            done(loaded, null);
        }
        else if (entry.Awaited is { } awaited)
        {
            awaited.Add(done);
        }
        else
        {
            entry.Awaited = [done];
            Task before = entry.Work;
            IMimeiStore store = _store!;
            entry.Work = _server.RunAside(
                () =>
                {
                    before.Wait();
                    return store.Open(entry.Id);
                },
                (mimei, problem) => Loaded(entry, mimei, problem));
        }
    }

    /// <summary>Gives one loaded, which stays so until it is given back (<see cref="LetGo"/>). What is wrong is a <see cref="MimeiException"/> or an <see cref="IOException"/>.</summary>
    public void Acquire(MimeiEntry entry, Action<Mimei?, Exception?> done) => Load(entry, default, (mimei, problem) =>
    {
        mimei?.Hold();
        done(mimei, problem);
    });

    /// <summary>Ends one <see cref="Acquire"/>.</summary>
    public static void LetGo(Mimei mimei) => mimei.Release();

    private void Loaded(MimeiEntry entry, Mimei? mimei, Exception? problem)
    {
        if (mimei is not null)
        {
            mimei.Entry = entry;
            entry.Loaded = mimei;
            Attach(mimei);
            Protect(entry);
        }
        else
        {
            _server.Warn?.Invoke($"MiMei {entry.Id} cannot be opened: {problem!.Message}");
        }

        List<Action<Mimei?, Exception?>> awaited = entry.Awaited!;
        entry.Awaited = null;
        foreach (Action<Mimei?, Exception?> done in awaited)
        {
            done(mimei, problem);
        }
    }

    /// <summary>Opens one as it was: by way of what it is now, which stays loaded as long. Several may use the same version.</summary>
    private void LoadPast(MimeiEntry entry, MimeiPlace place, Action<Mimei?, Exception?> done) => Load(entry, default, (current, problem) =>
    {
        if (current is null)
        {
            done(null, problem);
            return;
        }

        current.Hold();
        _server.RunAside(
            () => Versions.VersionHistory.Place(current, place),
            (found, problem) =>
            {
                if (problem is null && _open.Find(m => m.Current == current && m.Place == found && found.Kind == MimeiPlaceKind.Version) is { } opened)
                {
                    current.Release();
                    done(opened, null);
                    return;
                }

                if (problem is not null)
                {
                    current.Release();
                    done(null, problem);
                    return;
                }

                _server.RunAside(() => Versions.VersionHistory.Open(current, found), (mimei, problem) =>
                {
                    if (mimei is null)
                    {
                        current.Release();
                    }
                    else
                    {
                        mimei.Entry = entry;
                        mimei.Place = found;
                        mimei.Current = current;
                        Attach(mimei);
                    }

                    done(mimei, problem);
                });
            });
    });

    /// <summary>
    /// Gives a version of one that is not here as other nodes have it, opened block by block. Sessions that come soon after one another share it.
    /// </summary>
    internal void LoadRemote(LeitherId id, MimeiPlace place, Func<Task<Mimei>> open, Action<Mimei?, Exception?> done)
    {
        if (_open.Find(m => m.IsRemote && m.Id == id && m.Asked == place && _server.ClockMs - m.OpenedMs < RemoteFreshMs) is { } opened)
        {
            done(opened, null);
            return;
        }

        _server.RunAsideAsync(open, (mimei, problem) =>
        {
            if (mimei is not null)
            {
                mimei.Entry = new MimeiEntry(new MimeiRecord(id), _author);
                mimei.Asked = place;
                Attach(mimei);
            }

            done(mimei, problem);
        });
    }

    private void Attach(Mimei mimei)
    {
        mimei.Server = _server;
        mimei.OpenedMs = mimei.UsedMs = _server.ClockMs;
        mimei.Keyspace.NowMs = _server.ClockMs;
        mimei.Keyspace.IsFrozen = _server.PausedUntilMs != 0;
        mimei.OpenIndex = _open.Count;
        _open.Add(mimei);
        Count(mimei);
    }

    private void Detach(Mimei mimei)
    {
        Mimei last = _open[^1];
        _open[mimei.OpenIndex] = last;
        last.OpenIndex = mimei.OpenIndex;
        _open.RemoveAt(_open.Count - 1);
        _usedBytes -= mimei.CountedBytes;
    }

    /// <summary>Brings the count of used memory up to date.</summary>
    private void Count(Mimei mimei)
    {
        long bytes = mimei.Keyspace.UsedBytes;
        _usedBytes += bytes - mimei.CountedBytes;
        mimei.CountedBytes = bytes;
    }

    /// <summary>A turn is about to use one: maxmemory is for all of them together.</summary>
    internal void TurnBegins(Mimei mimei) => mimei.Keyspace.OthersUsedBytes = _usedBytes - mimei.CountedBytes;

    /// <summary>The turn is over for one that it used.</summary>
    internal void TurnEnded(Mimei mimei)
    {
        Count(mimei);
        mimei.UsedMs = _server.ClockMs;
        Activate(mimei);
    }

    /// <summary>As the other, for the default one, which every turn may use.</summary>
    internal void TurnEnded()
    {
        Mimei mimei = _server.DefaultMimei;
        Count(mimei);
        TurnBegins(mimei);
    }

    private void Activate(Mimei mimei)
    {
        if (!mimei.IsActive)
        {
            mimei.IsActive = true;
            _active.Add(mimei);
        }
    }

    // ------------------------------------------------------------------ periodic work

    /// <summary>
    /// A round of periodic work for all but the default one: for those that have work left, in turn, for about so long, and a look at some of the others.
    /// Returns in how many milliseconds it wants to be called again at the latest.
    /// </summary>
    internal int Step(long nowMs, int roundMs, TimeSpan budget)
    {
        if (_open.Count == 1)
        {
            return int.MaxValue;
        }

        long started = Stopwatch.GetTimestamp();
        int next = int.MaxValue;
        for (int left = _active.Count; left > 0; left--)
        {
            if (Stopwatch.GetElapsedTime(started) > budget)
            {
                next = 1;
                break;
            }

            _nextActive = _nextActive >= _active.Count ? 0 : _nextActive;
            Mimei mimei = _active[_nextActive];
            int wanted = _server.Care(mimei, nowMs, budget / 2);
            if (wanted == int.MaxValue && !HasDueKeys(mimei))
            {
                mimei.IsActive = false;
                _active[_nextActive] = _active[^1];
                _active.RemoveAt(_active.Count - 1);
            }
            else
            {
                next = Math.Min(next, wanted);
                _nextActive++;
            }
        }

        for (int left = 1 + (_open.Count * roundMs / SweepMs); left > 0 && _open.Count > 1; left--)
        {
            _nextSwept = _nextSwept >= _open.Count ? 0 : _nextSwept;
            Mimei mimei = _open[_nextSwept++];
            if (mimei == _server.DefaultMimei || mimei.IsActive || mimei.IsTouched)
            {
                continue;
            }

            int wanted = _server.Care(mimei, nowMs, budget / 2);
            if (wanted != int.MaxValue)
            {
                next = Math.Min(next, wanted);
                Activate(mimei);
            }
            else
            {
                UnloadIfIdle(mimei, nowMs);
            }
        }

        return next;
    }

    /// <summary>Whether somebody may be waiting for keys to expire: then they are looked for in every round.</summary>
    private static unsafe bool HasDueKeys(Mimei mimei)
    {
        if (mimei.Holders > 0)
        {
            foreach (Database database in mimei.Keyspace.Databases)
            {
                if (database.Expires->Count > 0 || database.FieldAgenda != null)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private void UnloadIfIdle(Mimei mimei, long nowMs)
    {
        long seconds = _server.Settings.Get(ConfigKeys.MimeiIdleTimeout), limit = mimei.Keyspace.Options.MaxMemory;
        bool isWanted = limit != 0 && _usedBytes > limit;
        if (mimei.Holders > 0 || mimei.IsTouched || mimei.Copy is { IsIdle: false } || (!isWanted && (seconds == 0 || nowMs - mimei.UsedMs < seconds * 1000)))
        {
            return;
        }

        bool isPast = mimei.Entry?.Loaded != mimei;
        if (!isPast && mimei.Log is null && mimei.Keyspace.Dirty > 0)
        {
            // What no log has a checkpoint must have; when it has, this is tried again.
            if (mimei.Checkpointer is { IsRunning: false } checkpointer && checkpointer.Start() is null)
            {
                Activate(mimei);
            }

            return;
        }

        if (mimei.Checkpointer is not { IsRunning: true } && mimei.Versions is not { IsRunning: true } && mimei.Log is not ({ InEntry: true } or { State: not Log.LogState.Open }))
        {
            Unload(mimei, isPast);
        }
    }

    /// <summary>Unloads one now, to be loaded as what its folder says then; false: somebody has it, or something is under way.</summary>
    public bool TryUnload(MimeiEntry entry)
    {
        if (entry.Loaded is not { } mimei)
        {
            return entry.Awaited is null;
        }

        if (mimei == _server.DefaultMimei || mimei.Holders > 0 || mimei.IsTouched || mimei.Checkpointer is { IsRunning: true } || mimei.Versions is { IsRunning: true })
        {
            return false;
        }

        Unload(mimei, isPast: false);
        return true;
    }

    private void Unload(Mimei mimei, bool isPast)
    {
        Detach(mimei);
        mimei.Functions?.Dispose();
        mimei.Functions = null;
        MimeiEntry entry = mimei.Entry!;
        if (isPast)
        {
            mimei.Current?.Release();
            _server.RunAside(() => { mimei.Dispose(); return true; }, static (_, _) => { });
            return;
        }

        entry.Loaded = null;
        Change(entry, entry.Record with { Keys = mimei.KeyCount });
        entry.Work = _server.RunAside(
            () =>
            {
                Close(mimei);
                Keep(entry);
                return true;
            },
            (_, problem) =>
            {
                if (problem is not null)
                {
                    _server.Warn?.Invoke($"MiMei {entry.Id} was unloaded, but: {problem.Message}");
                }
            });
    }

    private static void Close(Mimei mimei)
    {
        try
        {
            mimei.Log?.Close();
        }
        finally
        {
            mimei.Dispose();
        }
    }

    /// <summary>Closes the logs of all in good order; the server is of no use afterwards but to be disposed of.</summary>
    /// <exception cref="IOException">The disk failed for one of them; the others are closed.</exception>
    public void CloseLogs()
    {
        // What was being opened or closed when the loop ended.
        foreach (MimeiEntry entry in _all.Values)
        {
            entry.Work.Wait();
            if (entry.Awaited is not null && entry.Work is Task<Mimei?> { Result: { } mimei })
            {
                Close(mimei);
            }
        }

        // Each waits for the disk several times; the disk serves many at a time.
        ConcurrentQueue<IOException> problems = [];
        Parallel.ForEach(_open, new ParallelOptions { MaxDegreeOfParallelism = 16 }, mimei =>
        {
            try
            {
                mimei.Log?.Close();
                if (mimei.Entry is { } entry && entry.Loaded == mimei && entry.Record.Keys != mimei.KeyCount)
                {
                    entry.Record = entry.Record with { Keys = mimei.KeyCount };
                    Keep(entry);
                }
            }
            catch (IOException e)
            {
                problems.Enqueue(e);
            }
        });
        if (problems.TryDequeue(out IOException? problem))
        {
            throw problem;
        }
    }

    internal void Dispose()
    {
        foreach (Mimei mimei in _open)
        {
            mimei.Dispose();
        }
    }
}
