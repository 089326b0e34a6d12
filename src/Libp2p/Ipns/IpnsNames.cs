// Names of the network: published with a key and kept alive, resolved to what they stand for.
//
//  - What is published is written down before it is put, so that neither a crash nor a restart ends it, and no sequence number is ever given twice to two values.
//  - A renewed record says the same with the same sequence number and a later end. Only another value takes the next number: after the highest that we know, or,
//    where we never published the name, that the network knows.
//  - What is resolved was checked here, whoever it came from, and is never older than what was seen before.
//
// https://specs.ipfs.tech/ipns/ipns-record/

using System.Buffers.Binary;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;

namespace Leither.Libp2p.Ipns;

/// <summary>Why a name leads nowhere.</summary>
public enum NameProblem
{
    /// <summary>It is no name.</summary>
    NotAName,

    /// <summary>Nobody who could be asked has a record of it.</summary>
    NotFound,

    /// <summary>Too many names lead to one another, possibly in a circle.</summary>
    TooDeep,

    /// <summary>It leads to something that is no path.</summary>
    NotAPath,
}

/// <summary>A name leads nowhere.</summary>
public sealed class NameException(NameProblem problem, string message) : IOException(message)
{
    /// <summary>Why.</summary>
    public NameProblem Problem { get; } = problem;
}

/// <summary>Where a name leads.</summary>
/// <param name="Path">What it stands for: "/ipfs/…", or a name where only one step was asked for.</param>
/// <param name="Record">The record that said so, the last one where there were several.</param>
/// <param name="Ttl">For how long that may be believed without asking again.</param>
public sealed record NameResolution(string Path, IpnsRecord Record, TimeSpan Ttl);

/// <summary>What this node publishes under a name.</summary>
/// <param name="Name">The name.</param>
/// <param name="Record">Its newest record.</param>
/// <param name="Stored">How many peers took it when it was put last; 0 before, and where nobody did.</param>
/// <param name="Next">When it is put anew.</param>
public sealed record PublishedName(PeerId Name, IpnsRecord Record, int Stored, DateTimeOffset Next);

/// <summary>Publishes and resolves names. Any thread.</summary>
public sealed class IpnsNames : IAsyncDisposable
{
    private const byte NameTag = (byte)'n';
    private const int HeadLength = 16;

    private static readonly TimeSpan _tick = TimeSpan.FromSeconds(30);

    private readonly IValueRouting _routing;
    private readonly IKadStore _store;
    private readonly Func<PeerId, PrivateKey?> _keys;
    private readonly TimeProvider _time;
    private readonly IpnsOptions _options;
    private readonly Random _random;
    private readonly Lock _gate = new();
    private readonly Dictionary<PeerId, Own> _published = [];
    private readonly Dictionary<PeerId, Cached> _cache = [];
    private readonly Dictionary<PeerId, Task<IpnsRecord?>> _lookups = [];
    private readonly SemaphoreSlim _publishing = new(1);
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _ticking;

    /// <summary>Begins, and goes on with what was published before.</summary>
    /// <param name="routing">Where records are put and found.</param>
    /// <param name="store">Where it is written down what is published: a store that nothing else uses.</param>
    /// <param name="keys">The key of a name, where it is still here: without it a record cannot be renewed.</param>
    /// <param name="time">The clock.</param>
    /// <param name="options">Settings and limits.</param>
    /// <param name="random">Spreads what would come due together.</param>
    public IpnsNames(IValueRouting routing, IKadStore store, Func<PeerId, PrivateKey?> keys, TimeProvider time, IpnsOptions? options = null, Random? random = null)
    {
        _routing = routing;
        _store = store;
        _keys = keys;
        _time = time;
        _options = options ?? new IpnsOptions();
        _random = random ?? new Random();
        foreach ((byte[] name, byte[] value) in store.Load())
        {
            if (!TryLoad(name, value))
            {
                store.Delete(name);
            }
        }

        _ticking = TickAsync();
    }

    /// <summary>Is told of a record that could not be written down, or put anew.</summary>
    public event Action<string>? Failed;

    /// <summary>What this node publishes.</summary>
    public IReadOnlyList<PublishedName> Published
    {
        get
        {
            lock (_gate)
            {
                return [.. _published.Select(static pair => new PublishedName(pair.Key, pair.Value.Record, pair.Value.Stored, pair.Value.Next))];
            }
        }
    }

    /// <summary>Whether a path is one that a name may stand for.</summary>
    public static bool IsPath(string path)
    {
        string[] parts = path.Split('/', 4);
        return parts.Length >= 3 && parts[0].Length == 0 && (parts[1] == "ipfs" ? Cid.TryParse(parts[2], out _) : parts[1] == "ipns" && parts[2].Length > 0);
    }

    /// <summary>Makes a name stand for a path, now and until it is taken back or the key is gone.</summary>
    /// <returns>The record, and how many peers took it: if none did, it is tried again.</returns>
    /// <exception cref="ArgumentException">It is no path, or the lifetime none.</exception>
    /// <exception cref="IOException">It could not be written down; nothing was published.</exception>
    public async Task<(IpnsRecord Record, int Stored)> PublishAsync(PrivateKey key, string path, TimeSpan? lifetime = null, TimeSpan? ttl = null, CancellationToken cancellationToken = default)
    {
        if (!IsPath(path))
        {
            throw new ArgumentException($"'{path}' is no path; one is /ipfs/CID or /ipns/NAME, and what lies below it.", nameof(path));
        }

        TimeSpan life = lifetime ?? _options.Lifetime;
        if (life <= TimeSpan.Zero || life > _options.MaxLifetime || ttl < TimeSpan.Zero || ttl > _options.MaxLifetime)
        {
            throw new ArgumentException($"A record is good for some time, but not for more than {_options.MaxLifetime.TotalDays:0} days.", nameof(lifetime));
        }

        PeerId name = key.PublicKey.PeerId;
        IpnsRecord record;
        await _publishing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            IpnsRecord? last = Newest(name) ?? await LookUpAsync(name, cancellationToken).ConfigureAwait(false);
            record = Keep(key, path, NextSequence(last, path, _time.GetUtcNow() + life), life, ttl ?? _options.Ttl);
            await Task.Run(() => _store.Flush(durably: true), cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _publishing.Release();
        }

        return await PutAsync(name, record, cancellationToken).ConfigureAwait(false) is { } stored ? (record, stored)
            : throw new IOException($"{IpnsRecord.NameText(name)} was published with the same key elsewhere, and later. Resolve it, then publish again");
    }

    /// <summary>No longer renews a name; what was published ends by itself.</summary>
    /// <returns>Whether it was published.</returns>
    /// <exception cref="IOException">It could not be written down: after a restart it would be renewed again.</exception>
    public async Task<bool> UnpublishAsync(PeerId name)
    {
        bool was = Forget(name);
        await Task.Run(() => _store.Flush(durably: true)).ConfigureAwait(false);
        return was;
    }

    /// <summary>Where a name or a path below one leads, through other names too.</summary>
    /// <param name="path">"/ipns/NAME/…", or a name alone.</param>
    /// <param name="recursive">Whether a name that leads to a name is followed.</param>
    /// <param name="useCache">Whether what is still to be believed need not be looked for again.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <exception cref="NameException">It leads nowhere.</exception>
    public async Task<NameResolution> ResolveAsync(string path, bool recursive = true, bool useCache = true, CancellationToken cancellationToken = default)
    {
        IpnsRecord? record = null;
        TimeSpan ttl = TimeSpan.MaxValue;
        for (int depth = 0; depth < _options.MaxDepth; depth++)
        {
            string rest = path.StartsWith("/ipns/", StringComparison.Ordinal) ? path["/ipns/".Length..] : path;
            int slash = rest.IndexOf('/', StringComparison.Ordinal);
            string text = slash < 0 ? rest : rest[..slash];
            if (!IpnsRecord.TryParseName(text, out PeerId name))
            {
                throw new NameException(NameProblem.NotAName, $"'{text}' is no name; one begins with k51 or 12D3Koo");
            }

            record = await ResolveAsync(name, useCache, cancellationToken).ConfigureAwait(false)
                ?? throw new NameException(NameProblem.NotFound, $"nobody who was asked knows {IpnsRecord.NameText(name)}");
            TimeSpan left = record.Validity - _time.GetUtcNow();
            ttl = Min(ttl, Min(record.Ttl, left > TimeSpan.Zero ? left : TimeSpan.Zero));
            path = Join(record.Value, slash < 0 ? "" : rest[slash..]);
            if (!IsPath(path))
            {
                throw new NameException(NameProblem.NotAPath, $"{IpnsRecord.NameText(name)} leads to '{path[..Math.Min(path.Length, 200)]}', which is no path");
            }

            if (!recursive || path.StartsWith("/ipfs/", StringComparison.Ordinal))
            {
                return new NameResolution(path, record, ttl);
            }
        }

        throw new NameException(NameProblem.TooDeep, $"more than {_options.MaxDepth} names lead to one another, the last to {path[..Math.Min(path.Length, 200)]}");
    }

    /// <summary>The newest record of a name; null if nobody knows one.</summary>
    public async Task<IpnsRecord?> ResolveAsync(PeerId name, bool useCache = true, CancellationToken cancellationToken = default)
    {
        if (useCache)
        {
            lock (_gate)
            {
                if (_cache.TryGetValue(name, out Cached? cached) && cached.Until > _time.GetUtcNow())
                {
                    return cached.Record;
                }
            }
        }

        return await LookUpAsync(name, cancellationToken).ConfigureAwait(false) ?? Newest(name);
    }

    /// <summary>Takes a record that came from elsewhere: pushed by a gateway's client, say.</summary>
    /// <exception cref="IpnsException">It is none of this name, or its time is over.</exception>
    public void Learn(PeerId name, ReadOnlySpan<byte> bytes)
    {
        DateTimeOffset now = _time.GetUtcNow();
        Cache(name, IpnsRecord.ReadValid(name, bytes, now), now);
    }

    /// <summary>Stops renewing. What was published is there again after the next start.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _ticking.ConfigureAwait(false);
        try
        {
            await Task.Run(() => _store.Flush(durably: true)).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            Failed?.Invoke(e.Message);
        }
    }

    private static TimeSpan Min(TimeSpan one, TimeSpan other) => one < other ? one : other;

    /// <summary>Of two records with one number the one that lasts longer counts, so one that is to end earlier needs the next.</summary>
    private static ulong NextSequence(IpnsRecord? last, string path, DateTimeOffset validity) =>
        last == null ? 1 : last.Value == path && last.Validity < validity ? last.Sequence : last.Sequence + 1;

    private static string Join(string value, string rest) => rest.Length == 0 ? value : value.TrimEnd('/') + rest;

    private static byte[] NameOf(PeerId name) => [NameTag, .. name.ToArray()];

    // ------------------------------------------------------------------ what is published

    private bool TryLoad(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (name.Length < 2 || name[0] != NameTag || !PeerId.TryRead(name[1..], out PeerId id) || value.Length <= HeadLength)
        {
            return false;
        }

        DateTimeOffset now = _time.GetUtcNow();
        long next = BinaryPrimitives.ReadInt64LittleEndian(value), lifetime = BinaryPrimitives.ReadInt64LittleEndian(value[8..]);
        try
        {
            var record = IpnsRecord.Read(value[HeadLength..]);
            // One that has ended is renewed, as long as its key is here: that the node was off is no reason to forget a name.
            record.Verify(id, Earlier(now, record.Validity.AddTicks(-1)));
            next = Math.Clamp(next, 0, (now + _options.RepublishInterval).ToUnixTimeMilliseconds());
            lifetime = Math.Clamp(lifetime, 1, (long)_options.MaxLifetime.TotalMilliseconds);
            _published[id] = new Own(record, TimeSpan.FromMilliseconds(lifetime), DateTimeOffset.FromUnixTimeMilliseconds(next));
            return true;
        }
        catch (IpnsException)
        {
            return false;
        }
    }

    private static DateTimeOffset Earlier(DateTimeOffset one, DateTimeOffset other) => one < other ? one : other;

    private IpnsRecord Keep(PrivateKey key, string path, ulong sequence, TimeSpan lifetime, TimeSpan ttl)
    {
        DateTimeOffset now = _time.GetUtcNow();
        var record = IpnsRecord.Create(key, path, sequence, now + lifetime, ttl);
        PeerId name = key.PublicKey.PeerId;
        // A tenth early at most, by chance, so that names that were published together do not come due together for ever.
        Keep(name, new Own(record, lifetime, now + (_options.RepublishInterval * (1 - (0.1 * Chance())))));
        Cache(name, record, now);
        return record;
    }

    private void Keep(PeerId name, Own published)
    {
        byte[] value = new byte[HeadLength + published.Record.Bytes.Length];
        BinaryPrimitives.WriteInt64LittleEndian(value, published.Next.ToUnixTimeMilliseconds());
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(8), (long)published.Lifetime.TotalMilliseconds);
        published.Record.Bytes.CopyTo(value.AsSpan(HeadLength));
        lock (_gate)
        {
            _published[name] = published;
            _store.Put(NameOf(name), value);
        }
    }

    private bool Forget(PeerId name)
    {
        lock (_gate)
        {
            _store.Delete(NameOf(name));
            return _published.Remove(name);
        }
    }

    private double Chance()
    {
        lock (_gate)
        {
            return _random.NextDouble();
        }
    }

    /// <summary>Puts a record; null where there is a newer one, of whoever has the same key: it is his to renew then.</summary>
    private async Task<int?> PutAsync(PeerId name, IpnsRecord record, CancellationToken cancellationToken)
    {
        int stored = 0;
        try
        {
            stored = await _routing.PutValueAsync(IpnsRecord.RoutingKey(name), record.Bytes.ToArray(), cancellationToken).ConfigureAwait(false);
            return stored;
        }
        catch (ArgumentException)
        {
            IpnsRecord? newer = await LookUpAsync(name, cancellationToken).ConfigureAwait(false);
            if (newer != null && newer.CompareTo(record) > 0)
            {
                lock (_gate)
                {
                    if (_published.TryGetValue(name, out Own? ours) && ours.Record == record)
                    {
                        _published.Remove(name);
                        _store.Delete(NameOf(name));
                    }
                }

                return null;
            }

            return stored = 0;
        }
        finally
        {
            lock (_gate)
            {
                if (_published.TryGetValue(name, out Own? ours) && ours.Record == record)
                {
                    _published[name] = ours with { Stored = stored, Next = stored > 0 ? ours.Next : Earlier(ours.Next, _time.GetUtcNow() + _options.RetryInterval) };
                }
            }
        }
    }

    private async Task TickAsync()
    {
        using var timer = new PeriodicTimer(_tick, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false))
            {
                await RepublishAsync(_stopping.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // The end.
        }
    }

    /// <summary>Puts anew what is due, one name after the other.</summary>
    internal async Task RepublishAsync(CancellationToken cancellationToken)
    {
        DateTimeOffset now = _time.GetUtcNow();
        KeyValuePair<PeerId, Own>[] due;
        lock (_gate)
        {
            due = [.. _published.Where(pair => pair.Value.Next <= now).OrderBy(static pair => pair.Value.Next)];
        }

        foreach ((PeerId name, Own published) in due)
        {
            try
            {
                if (await RenewAsync(name, published, cancellationToken).ConfigureAwait(false) is { } record && await PutAsync(name, record, cancellationToken).ConfigureAwait(false) == null)
                {
                    Failed?.Invoke($"{IpnsRecord.NameText(name)} was published with the same key elsewhere, and is no longer renewed here");
                }
            }
            catch (IOException e)
            {
                Failed?.Invoke($"{IpnsRecord.NameText(name)} could not be renewed: {e.Message}");
            }
        }
    }

    /// <summary>The record that is to be put: signed anew where half of its time is over.</summary>
    private async Task<IpnsRecord?> RenewAsync(PeerId name, Own published, CancellationToken cancellationToken)
    {
        await _publishing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            DateTimeOffset now = _time.GetUtcNow();
            lock (_gate)
            {
                if (!_published.TryGetValue(name, out Own? current) || current.Record != published.Record)
                {
                    return null; // published anew meanwhile, or taken back
                }
            }

            IpnsRecord record = published.Record;
            if (record.Validity - now < published.Lifetime / 2 && _keys(name) is { } key)
            {
                record = Keep(key, record.Value, record.Sequence, published.Lifetime, record.Ttl);
            }
            else if (record.Validity <= now)
            {
                Forget(name);
                Failed?.Invoke($"{IpnsRecord.NameText(name)} has ended, and its key is not here any more");
                return null;
            }
            else
            {
                Keep(name, published with { Next = now + (_options.RepublishInterval * (1 - (0.1 * Chance()))) });
            }

            await Task.Run(() => _store.Flush(durably: true), cancellationToken).ConfigureAwait(false);
            return record;
        }
        finally
        {
            _publishing.Release();
        }
    }

    // ------------------------------------------------------------------ what is found

    /// <summary>The newest record that is known here and still good.</summary>
    private IpnsRecord? Newest(PeerId name)
    {
        lock (_gate)
        {
            IpnsRecord? ours = _published.GetValueOrDefault(name)?.Record, cached = _cache.GetValueOrDefault(name)?.Record;
            IpnsRecord? best = ours == null || (cached != null && cached.CompareTo(ours) > 0) ? cached : ours;
            return best?.Validity > _time.GetUtcNow() || best == ours ? best : null;
        }
    }

    /// <summary>Asks the network; those who ask for the same name at the same time ask together.</summary>
    private Task<IpnsRecord?> LookUpAsync(PeerId name, CancellationToken cancellationToken)
    {
        Task<IpnsRecord?>? running;
        lock (_gate)
        {
            if (!_lookups.TryGetValue(name, out running))
            {
                running = Task.Run(() => AskAsync(name), CancellationToken.None);
                _lookups.Add(name, running);
            }
        }

        return running.WaitAsync(cancellationToken);
    }

    private async Task<IpnsRecord?> AskAsync(PeerId name)
    {
        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            using ITimer timer = _time.CreateTimer(static state => ((CancellationTokenSource)state!).Cancel(), deadline, _options.LookupTimeout, Timeout.InfiniteTimeSpan);
            byte[]? bytes = await _routing.GetValueAsync(IpnsRecord.RoutingKey(name), _options.Quorum, deadline.Token).ConfigureAwait(false);
            DateTimeOffset now = _time.GetUtcNow();
            return bytes == null ? null : Cache(name, IpnsRecord.ReadValid(name, bytes, now), now);
        }
        catch (IpnsException)
        {
            return null;
        }
        catch (OperationCanceledException) when (!_stopping.IsCancellationRequested)
        {
            return null; // nobody answered in time
        }
        finally
        {
            lock (_gate)
            {
                _lookups.Remove(name);
            }
        }
    }

    /// <summary>Remembers a record for as long as it says; returns the newest that is known.</summary>
    private IpnsRecord Cache(PeerId name, IpnsRecord record, DateTimeOffset now)
    {
        lock (_gate)
        {
            if (_cache.TryGetValue(name, out Cached? known) && known.Record.Validity > now && known.Record.CompareTo(record) > 0)
            {
                record = known.Record;
            }

            if (known == null && _cache.Count >= _options.MaxCached)
            {
                _cache.Remove(_cache.MinBy(static pair => pair.Value.Until).Key);
            }

            TimeSpan left = record.Validity - now;
            _cache[name] = new Cached(record, now + Min(record.Ttl, left));
            return record;
        }
    }

    private sealed record Own(IpnsRecord Record, TimeSpan Lifetime, DateTimeOffset Next, int Stored = 0);

    private sealed record Cached(IpnsRecord Record, DateTimeOffset Until);
}
