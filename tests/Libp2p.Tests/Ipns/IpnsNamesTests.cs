using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Libp2p.Ipns;
using Leither.Libp2p.KadDht;
using Xunit;

namespace Leither.Libp2p.Tests.Ipns;

public sealed class IpnsNamesTests : IDisposable
{
    private const string One = "/ipfs/bafkqaaa", Other = "/ipfs/bafkqabtimvwgy3yk";

    private readonly Clock _clock = new();
    private readonly PrivateKey _key = PrivateKey.FromSeed(new byte[32]);
    private readonly Network _network;

    public IpnsNamesTests() => _network = new Network(_clock);

    private PeerId Name => _key.PublicKey.PeerId;

    public void Dispose() => _key.Dispose();

    [Fact]
    public async Task A_name_is_resolved_to_what_it_was_published_for_and_to_what_lies_below()
    {
        await using IpnsNames names = Names(), others = Names();
        (IpnsRecord record, int stored) = await names.PublishAsync(_key, One);
        Assert.Equal((1UL, 20), (record.Sequence, stored));
        NameResolution found = await others.ResolveAsync($"/ipns/{IpnsRecord.NameText(Name)}/a/b");
        Assert.Equal((One + "/a/b", IpnsRecord.DefaultTtl), (found.Path, found.Ttl));
        Assert.Equal(One, (await others.ResolveAsync(Name.ToString())).Path);
        NameException missing = await Assert.ThrowsAsync<NameException>(() => others.ResolveAsync(PrivateKey.Generate().PublicKey.PeerId.ToString()));
        Assert.Equal(NameProblem.NotFound, missing.Problem);
        Assert.Equal(NameProblem.NotAName, (await Assert.ThrowsAsync<NameException>(() => others.ResolveAsync("/ipns/hello"))).Problem);
        await Assert.ThrowsAsync<ArgumentException>(() => names.PublishAsync(_key, "hello"));
        await Assert.ThrowsAsync<ArgumentException>(() => names.PublishAsync(_key, "/ipfs/hello"));
        await Assert.ThrowsAsync<ArgumentException>(() => names.PublishAsync(_key, One, TimeSpan.Zero));
    }

    [Fact]
    public async Task Only_another_value_takes_the_next_number_and_no_number_is_given_twice()
    {
        var store = new MemoryKadStore();
        await using (IpnsNames names = Names(store))
        {
            Assert.Equal(1UL, (await names.PublishAsync(_key, One)).Record.Sequence);
            _clock.Advance(TimeSpan.FromHours(1));
            Assert.Equal(1UL, (await names.PublishAsync(_key, One)).Record.Sequence);
            Assert.Equal(2UL, (await names.PublishAsync(_key, Other)).Record.Sequence);
            // One that is to end earlier would count for less than the one before.
            Assert.Equal(3UL, (await names.PublishAsync(_key, Other, TimeSpan.FromHours(1))).Record.Sequence);
        }

        await using (IpnsNames names = Names(store))
        {
            Assert.Equal(4UL, (await names.PublishAsync(_key, One)).Record.Sequence);
        }

        // A node that lost what it had written down asks the network.
        await using IpnsNames fresh = Names();
        Assert.Equal(5UL, (await fresh.PublishAsync(_key, Other)).Record.Sequence);
    }

    [Fact]
    public async Task A_record_is_put_anew_and_renewed_before_its_end_with_the_same_number()
    {
        await using IpnsNames names = Names();
        (IpnsRecord first, _) = await names.PublishAsync(_key, One);
        _network.Puts.Clear();
        for (int i = 0; i < 10 * 24 * 4; i++)
        {
            _clock.Advance(TimeSpan.FromMinutes(15));
            await names.RepublishAsync(CancellationToken.None);
        }

        // Six times a day, and a little more often by chance.
        Assert.InRange(_network.Puts.Count, 60, 68);
        Assert.All(_network.Puts, put => Assert.Equal((1UL, One), (put.Sequence, put.Value)));
        Assert.All(_network.Puts.Where((_, i) => i > 0), (put, i) => Assert.True(put.Validity >= _network.Puts[i].Validity));
        Assert.InRange(_network.Puts.Select(put => put.Validity).Distinct().Count(), 8, 12);
        Assert.True(_network.Values.Values.Single().Validity > _clock.GetUtcNow() + TimeSpan.FromHours(20));
        Assert.NotEqual(first.Validity, names.Published.Single().Record.Validity);
        Assert.True(await names.UnpublishAsync(Name));
        Assert.False(await names.UnpublishAsync(Name));
        _network.Puts.Clear();
        _clock.Advance(TimeSpan.FromDays(1));
        await names.RepublishAsync(CancellationToken.None);
        Assert.Empty(_network.Puts);
    }

    [Fact]
    public async Task What_was_published_goes_on_after_a_restart_even_when_its_time_was_over()
    {
        var store = new MemoryKadStore();
        await using (IpnsNames names = Names(store))
        {
            await names.PublishAsync(_key, One);
        }

        _network.Values.Clear();
        _clock.Advance(TimeSpan.FromDays(10));
        await using (IpnsNames names = Names(store))
        {
            await names.RepublishAsync(CancellationToken.None);
            Assert.Equal(1UL, names.Published.Single().Record.Sequence);
            Assert.Equal(One, (await names.ResolveAsync(Name.ToString())).Path);
            Assert.True(_network.Values.Values.Single().Validity > _clock.GetUtcNow());
        }

        // Without its key a record is put as it is while it is good, and then forgotten.
        await using IpnsNames keyless = new(_network, store, _ => null, _clock, random: new Random(1));
        _network.Puts.Clear();
        _clock.Advance(TimeSpan.FromHours(30));
        await keyless.RepublishAsync(CancellationToken.None);
        Assert.Single(_network.Puts);
        var told = new List<string>();
        keyless.Failed += told.Add;
        _clock.Advance(TimeSpan.FromHours(30));
        await keyless.RepublishAsync(CancellationToken.None);
        Assert.Empty(keyless.Published);
        Assert.Single(told);
        Assert.Empty(store.Load());
    }

    [Fact]
    public async Task Where_nobody_took_it_it_is_tried_again_soon()
    {
        await using IpnsNames names = Names();
        _network.IsAway = true;
        Assert.Equal(0, (await names.PublishAsync(_key, One)).Stored);
        _network.IsAway = false;
        await names.RepublishAsync(CancellationToken.None);
        Assert.Empty(_network.Values);
        _clock.Advance(TimeSpan.FromMinutes(5));
        await names.RepublishAsync(CancellationToken.None);
        Assert.Single(_network.Values);
    }

    [Fact]
    public async Task Whoever_published_later_with_the_same_key_elsewhere_keeps_the_name()
    {
        await using IpnsNames here = Names(), elsewhere = Names();
        await here.PublishAsync(_key, One);
        Assert.Equal(2UL, (await elsewhere.PublishAsync(_key, Other)).Record.Sequence);
        var told = new List<string>();
        here.Failed += told.Add;
        _clock.Advance(TimeSpan.FromHours(4));
        await here.RepublishAsync(CancellationToken.None);
        Assert.Single(told);
        Assert.Empty(here.Published);
        Assert.Equal(Other, (await here.ResolveAsync(Name.ToString())).Path);
        Assert.Equal(3UL, (await here.PublishAsync(_key, One)).Record.Sequence);
    }

    [Fact]
    public async Task A_record_is_believed_for_as_long_as_it_says_and_an_older_one_never_after_a_newer()
    {
        await using IpnsNames names = Names(), others = Names();
        (IpnsRecord first, _) = await names.PublishAsync(_key, One, ttl: TimeSpan.FromMinutes(10));
        Assert.Equal(One, (await others.ResolveAsync(Name.ToString())).Path);
        await names.PublishAsync(_key, Other, ttl: TimeSpan.FromMinutes(10));
        int gets = _network.Gets;
        _clock.Advance(TimeSpan.FromMinutes(9));
        Assert.Equal(One, (await others.ResolveAsync(Name.ToString())).Path);
        Assert.Equal(gets, _network.Gets);
        Assert.Equal(Other, (await others.ResolveAsync(Name.ToString(), useCache: false)).Path);
        Assert.Equal(gets + 1, _network.Gets);

        // Those who have the old one only, and those who have none, cannot take it back.
        _clock.Advance(TimeSpan.FromMinutes(11));
        _network.Values[Convert.ToHexString(IpnsRecord.RoutingKey(Name))] = first;
        Assert.Equal(Other, (await others.ResolveAsync(Name.ToString())).Path);
        _network.Values.Clear();
        _clock.Advance(TimeSpan.FromMinutes(11));
        Assert.Equal(Other, (await others.ResolveAsync(Name.ToString())).Path);
        // Until its time is over.
        _clock.Advance(TimeSpan.FromHours(48));
        Assert.Equal(NameProblem.NotFound, (await Assert.ThrowsAsync<NameException>(() => others.ResolveAsync(Name.ToString()))).Problem);
    }

    [Fact]
    public async Task Forged_ended_and_strangers_records_are_as_good_as_none()
    {
        await using IpnsNames names = Names();
        using var stranger = PrivateKey.Generate();
        string at = Convert.ToHexString(IpnsRecord.RoutingKey(Name));
        byte[] forged = [.. IpnsRecord.Create(_key, One, 1, _clock.GetUtcNow().AddHours(1)).Bytes];
        forged[^1] ^= 1;
        foreach (byte[] bytes in (byte[][])[forged, [.. IpnsRecord.Create(stranger, One, 1, _clock.GetUtcNow().AddHours(1)).Bytes], [.. IpnsRecord.Create(_key, One, 1, _clock.GetUtcNow().AddHours(-1)).Bytes], [1, 2, 3]])
        {
            _network.Raw[at] = bytes;
            Assert.Equal(NameProblem.NotFound, (await Assert.ThrowsAsync<NameException>(() => names.ResolveAsync(Name.ToString()))).Problem);
        }

        _network.Raw[at] = [.. IpnsRecord.Create(_key, "/ipns/", 1, _clock.GetUtcNow().AddHours(1)).Bytes];
        Assert.Equal(NameProblem.NotAPath, (await Assert.ThrowsAsync<NameException>(() => names.ResolveAsync(Name.ToString()))).Problem);
    }

    [Fact]
    public async Task Names_lead_to_names_and_circles_end()
    {
        await using IpnsNames names = Names();
        using PrivateKey second = PrivateKey.Generate(), third = PrivateKey.Generate();
        await names.PublishAsync(_key, $"/ipns/{second.PublicKey.PeerId}/x");
        await names.PublishAsync(second, One);
        NameResolution found = await names.ResolveAsync($"/ipns/{Name}/y");
        Assert.Equal((One + "/x/y", 1UL), (found.Path, found.Record.Sequence));
        Assert.Equal($"/ipns/{second.PublicKey.PeerId}/x", (await names.ResolveAsync(Name.ToString(), recursive: false)).Path);
        await names.PublishAsync(second, $"/ipns/{third.PublicKey.PeerId}");
        await names.PublishAsync(third, $"/ipns/{Name}");
        Assert.Equal(NameProblem.TooDeep, (await Assert.ThrowsAsync<NameException>(() => names.ResolveAsync(Name.ToString()))).Problem);
    }

    [Fact]
    public async Task Those_who_ask_for_the_same_name_at_once_ask_the_network_once_and_what_is_remembered_is_bounded()
    {
        await using IpnsNames names = Names(), others = Names(options: new IpnsOptions { MaxCached = 8 });
        await names.PublishAsync(_key, One);
        int before = _network.Gets;
        _network.Hold = new TaskCompletionSource();
        Task<NameResolution>[] asking = [.. Enumerable.Range(0, 20).Select(_ => others.ResolveAsync(Name.ToString()))];
        using var stop = new CancellationTokenSource();
        Task<NameResolution> cancelled = others.ResolveAsync(Name.ToString(), cancellationToken: stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        _network.Hold.SetResult();
        Assert.All(await Task.WhenAll(asking), found => Assert.Equal(One, found.Path));
        Assert.Equal(before + 1, _network.Gets);

        for (int i = 0; i < 20; i++)
        {
            using var key = PrivateKey.Generate();
            await names.PublishAsync(key, One);
            await others.ResolveAsync(key.PublicKey.PeerId.ToString());
        }

        before = _network.Gets;
        await others.ResolveAsync(Name.ToString());
        Assert.Equal(before + 1, _network.Gets);
    }

    private IpnsNames Names(IKadStore? store = null, IpnsOptions? options = null) =>
        new(_network, store ?? new MemoryKadStore(), name => name == Name ? _key : null, _clock, options, new Random(1));

    /// <summary>Time that nothing waits for: what is due is asked for by hand.</summary>
    private sealed class Clock : TimeProvider
    {
        private DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

        public void Advance(TimeSpan by) => _now += by;

        public override DateTimeOffset GetUtcNow() => _now;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => new Never();

        private sealed class Never : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }

    /// <summary>A DHT that everybody shares.</summary>
    private sealed class Network(TimeProvider time) : IValueRouting
    {
        public Dictionary<string, IpnsRecord> Values { get; } = [];

        public Dictionary<string, byte[]> Raw { get; } = [];

        public List<IpnsRecord> Puts { get; } = [];

        public int Gets { get; private set; }

        public bool IsAway { get; set; }

        public TaskCompletionSource? Hold { get; set; }

        public Task<int> PutValueAsync(byte[] key, byte[] value, CancellationToken cancellationToken = default)
        {
            if (!new IpnsValidator().IsValid(key, value, time.GetUtcNow()))
            {
                throw new ArgumentException("no valid record", nameof(value));
            }

            var record = IpnsRecord.Read(value);
            Puts.Add(record);
            if (IsAway)
            {
                return Task.FromResult(0);
            }

            if (Values.TryGetValue(Convert.ToHexString(key), out IpnsRecord? known) && known.CompareTo(record) > 0)
            {
                throw new ArgumentException("a newer one is here", nameof(value));
            }

            Values[Convert.ToHexString(key)] = record;
            return Task.FromResult(20);
        }

        public async Task<byte[]?> GetValueAsync(byte[] key, int? quorum = null, CancellationToken cancellationToken = default)
        {
            Gets++;
            if (Hold != null)
            {
                await Hold.Task.WaitAsync(cancellationToken);
            }

            return Raw.TryGetValue(Convert.ToHexString(key), out byte[]? raw) ? raw
                : Values.TryGetValue(Convert.ToHexString(key), out IpnsRecord? record) ? record.Bytes.ToArray() : null;
        }
    }
}
