using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.MmDb.Memory;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>How one client's cache is kept up to date (CLIENT TRACKING).</summary>
internal sealed class TrackingState
{
    /// <summary>The client that gets its invalidations; 0: itself.</summary>
    public long Redirect { get; set; }
    /// <summary>It is told of all keys with its prefixes rather than of those that it has read.</summary>
    public bool IsBroadcast { get; set; }
    /// <summary>Only what is read after CLIENT CACHING YES is remembered.</summary>
    public bool OptIn { get; set; }
    /// <summary>All is remembered but what is read after CLIENT CACHING NO.</summary>
    public bool OptOut { get; set; }
    /// <summary>It is not told of its own changes.</summary>
    public bool NoLoop { get; set; }
    /// <summary>CLIENT CACHING was given for the next command or transaction.</summary>
    public bool CachingGiven { get; set; }
    /// <summary>The client that should get its invalidations is gone.</summary>
    public bool IsRedirectBroken { get; set; }
    /// <summary>Its prefixes, while it is told of all keys with them.</summary>
    public SortedSet<byte[]> Prefixes { get; } = new(ByteStringOrder.Instance);
}

/// <summary>
/// Keeps the caches of clients up to date: it remembers who read which key, and tells them once when the key changes. Clients in
/// broadcast mode name prefixes instead and nothing is remembered for them; what changed is told at the end of a turn.
/// While nobody tracks, a changed key costs nothing here.
/// </summary>
/// <remarks>
/// What a client is told of its own command follows the command's reply, and in a transaction the transaction's. Keys of all
/// databases are one here, as in Redis.
/// </remarks>
public sealed unsafe class Tracking : IDisposable
{
    /// <summary>Keys that are forgotten at once when there are too many; more with each time that it was not enough.</summary>
    private const int ForgottenAtOnce = 100;

    private readonly Mimei _mimei;
    private readonly TrackedKeys _keys;
    private readonly SortedDictionary<byte[], Broadcast> _prefixes = new(ByteStringOrder.Instance);
    private readonly List<KeyPosition> _positions = [];
    private readonly List<long> _readers = [];
    private readonly RespWriter _names = new();
    private readonly RespWriter _message = new();
    private FastRandom _random;
    private int _timesNotEnough;
    private bool _hasBroadcast;

    internal Tracking(Mimei mimei)
    {
        _mimei = mimei;
        _keys = new TrackedKeys(mimei.Keyspace.HashSeed);
        _random = new FastRandom(mimei.Keyspace.HashSeed);
    }

    /// <summary>Clients that track.</summary>
    public int ClientCount { get; private set; }
    /// <summary>Keys that are remembered.</summary>
    public long KeyCount => _keys.Count;
    /// <summary>Readers of all those keys.</summary>
    public long ItemCount => _keys.ReaderCount;
    /// <summary>Prefixes that clients in broadcast mode named.</summary>
    public int PrefixCount => _prefixes.Count;

    /// <summary>Whose sessions track here; null before there is one.</summary>
    private Server? Server => _mimei.Server;

    /// <inheritdoc/>
    public void Dispose()
    {
        _keys.Dispose();
        _names.Dispose();
        _message.Dispose();
    }

    /// <summary>Starts tracking for a session, or changes how it is done.</summary>
    internal void Enable(Session session, TrackingState wanted)
    {
        TrackingState state = session.Tracking ??= Begin();
        state.Redirect = wanted.Redirect;
        state.IsBroadcast = wanted.IsBroadcast;
        state.OptIn = wanted.OptIn;
        state.OptOut = wanted.OptOut;
        state.NoLoop = wanted.NoLoop;
        state.IsRedirectBroken = false;
        if (!state.IsBroadcast)
        {
            return;
        }

        if (wanted.Prefixes.Count == 0)
        {
            wanted.Prefixes.Add([]);
        }

        foreach (byte[] prefix in wanted.Prefixes)
        {
            if (state.Prefixes.Add(prefix))
            {
                session.NamesBytes += prefix.Length + ClientMemory.NameBytes;
            }

            if (!_prefixes.TryGetValue(prefix, out Broadcast? broadcast))
            {
                _prefixes.Add(prefix, broadcast = new Broadcast());
            }

            broadcast.Sessions.Add(session);
        }
    }

    private TrackingState Begin()
    {
        if (ClientCount++ == 0)
        {
            _mimei.Keyspace.Tracking = this;
            _mimei.Keyspace.ChangeListeners++;
            Server!.TrackedMimei++;
            Server.CheckAsNeeded();
        }

        return new TrackingState();
    }

    /// <summary>Ends tracking for a session. What it has read stays remembered, in case that it tracks again, until the last one that tracks is gone.</summary>
    /// <param name="session">The session.</param>
    /// <param name="isGone">Whether the session ends, or goes to another MiMei.</param>
    internal void Disable(Session session, bool isGone = false)
    {
        if (session.Tracking is not { } state)
        {
            return;
        }

        foreach (byte[] prefix in state.Prefixes)
        {
            session.NamesBytes -= prefix.Length + ClientMemory.NameBytes;
            Broadcast broadcast = _prefixes[prefix];
            broadcast.Sessions.Remove(session);
            if (broadcast.Sessions.Count == 0)
            {
                _prefixes.Remove(prefix);
            }
        }

        session.Tracking = null;
        if (--ClientCount == 0)
        {
            _mimei.Keyspace.Tracking = null;
            _mimei.Keyspace.ChangeListeners--;
            Server!.TrackedMimei--;
            Server.CheckAsNeeded();
            if (isGone)
            {
                _keys.Clear();
            }
        }
    }

    /// <summary>Remembers the keys that a session's command has read, if it only read.</summary>
    internal void Remember(Session session, CommandSpec spec, Slice* args, int count)
    {
        TrackingState state = session.Tracking!;
        // Of a script that reads, its commands count, one by one.
        bool onlyReads = spec.Has(CommandFlags.ReadOnly) && spec.Group != CommandGroup.Scripting && !spec.Has(CommandFlags.PubSub);
        if (!onlyReads || state.IsBroadcast || (state.OptIn && !state.CachingGiven) || (state.OptOut && state.CachingGiven))
        {
            return;
        }

        _positions.Clear();
        if (!CommandKeys.TryFind(spec, new ArgView(args, count), _positions))
        {
            return;
        }

        foreach (KeyPosition position in _positions)
        {
            Slice name = args[position.Index];
            _keys.Add(_mimei.Keyspace.KeyOf(name.Pointer, name.Length), session.Id);
        }
    }

    /// <summary>A key changed: its readers are told now, those who named its prefix at the end of the turn.</summary>
    /// <param name="key">The key.</param>
    /// <param name="byItself">It expired: nobody changed it.</param>
    internal void Changed(in Key key, bool byItself)
    {
        Session? author = Server!.Running;
        foreach ((byte[] prefix, Broadcast broadcast) in _prefixes)
        {
            if (key.Span.StartsWith(prefix))
            {
                broadcast.Changed[key.ToArray()] = byItself ? null : author;
                _hasBroadcast = true;
            }
        }

        if (_keys.Count == 0)
        {
            return;
        }

        Forget(key, byItself ? null : author);
    }

    private void Forget(in Key key, Session? author)
    {
        _readers.Clear();
        if (!_keys.TryTake(key, _readers))
        {
            return;
        }

        _names.Array(1);
        _names.Bulk(key.Span);
        foreach (long reader in _readers)
        {
            if (Server!.Sessions.TryGetValue(reader, out Session? session) && session.Mimei == _mimei
                && session.Tracking is { IsBroadcast: false } state && !(state.NoLoop && session == author))
            {
                Send(session, _names);
            }
        }

        _names.Release();
    }

    /// <summary>All keys of a database are gone: whatever was cached is void.</summary>
    internal void Flushed()
    {
        _keys.Clear();
        foreach (Session session in Server!.Sessions.Values)
        {
            if (session.Tracking is not null && session.Mimei == _mimei)
            {
                Send(session, null);
            }
        }
    }

    /// <summary>Tells clients in broadcast mode what changed in this turn.</summary>
    internal void EndTurn()
    {
        if (!_hasBroadcast)
        {
            return;
        }

        _hasBroadcast = false;
        foreach (Broadcast broadcast in _prefixes.Values)
        {
            if (broadcast.Changed.Count == 0)
            {
                continue;
            }

            foreach (Session session in broadcast.Sessions)
            {
                Session? except = session.Tracking!.NoLoop ? session : null;
                int count = except is null ? broadcast.Changed.Count : broadcast.Changed.Values.Count(author => author != except);
                if (count == 0)
                {
                    continue;
                }

                _names.Array(count);
                foreach ((byte[] name, Session? author) in broadcast.Changed)
                {
                    if (except is null || author != except)
                    {
                        _names.Bulk(name);
                    }
                }

                Send(session, _names);
                _names.Release();
            }

            broadcast.Changed.Clear();
        }
    }

    /// <summary>Forgets keys while more are remembered than tracking-table-max-keys allows: their readers are told as if they had changed.</summary>
    internal void Limit()
    {
        ulong most = (ulong)Server!.Settings.Get(ConfigKeys.TrackingTableMaxKeys);
        if (most == 0)
        {
            return;
        }

        for (int effort = ForgottenAtOnce * (_timesNotEnough + 1); (ulong)_keys.Count > most; effort--)
        {
            if (effort == 0)
            {
                _timesNotEnough++;
                return;
            }

            fixed (byte* name = _keys.Any(ref _random))
            {
                Forget(_mimei.Keyspace.KeyOf(name, _keys.AnyLength), null);
            }
        }

        _timesNotEnough = 0;
    }

    /// <summary>Sends a session, or the one that stands for it, the names of changed keys; null: all.</summary>
    private void Send(Session session, RespWriter? names)
    {
        TrackingState state = session.Tracking!;
        Session receiver = session;
        if (state.Redirect != 0 && (!Server!.Sessions.TryGetValue(state.Redirect, out receiver!) || receiver.IsClosing))
        {
            state.IsRedirectBroken = true;
            if (session.Output.Version > 2)
            {
                _message.Version = 3;
                _message.Push(2);
                _message.Bulk("tracking-redir-broken"u8);
                _message.Integer(state.Redirect);
                Server.Push(session, _message.Data, _message.Length);
                _message.Release();
            }

            return;
        }

        _message.Version = receiver.Output.Version;
        if (_message.Version > 2)
        {
            _message.Push(2);
            _message.Bulk("invalidate"u8);
        }
        else if (state.Redirect != 0 && receiver.SubscriptionCount > 0)
        {
            _message.Array(3);
            _message.Bulk("message"u8);
            _message.Bulk("__redis__:invalidate"u8);
        }
        else
        {
            // Without push messages it can be told nothing.
            return;
        }

        if (names is null)
        {
            _message.Null();
        }
        else
        {
            _message.Raw(names.Data, names.Length);
        }

        Server!.Push(receiver, _message.Data, _message.Length);
        _message.Release();
    }

    /// <summary>Who named a prefix, and what changed under it in this turn, by whom.</summary>
    private sealed class Broadcast
    {
        public HashSet<Session> Sessions { get; } = [];
        public SortedDictionary<byte[], Session?> Changed { get; } = new(ByteStringOrder.Instance);
    }
}

/// <summary>Which clients read which keys: a key table with the numbers of the clients as values, in memory of its own.</summary>
internal sealed unsafe class TrackedKeys(ulong hashSeed) : IDisposable
{
    private NativeHeap? _heap;
    private KeyTable* _table;
    private byte[] _any = new byte[64];

    public long Count => _heap is null ? 0 : _table->Count;

    /// <summary>Readers of all keys together.</summary>
    public long ReaderCount { get; private set; }

    /// <summary>Length of what <see cref="Any"/> gave last.</summary>
    public int AnyLength { get; private set; }

    public void Dispose() => Clear();

    public void Clear()
    {
        _heap?.Dispose();
        _heap = null;
        _table = null;
        ReaderCount = 0;
    }

    /// <summary>Adds a reader of a key.</summary>
    public void Add(in Key key, long reader)
    {
        if (_heap is null)
        {
            _heap = new NativeHeap(hashSeed);
            _table = KeyTable.Create(_heap);
        }

        ulong* slot = _table->Find(key.Hash, key.Name, key.Length);
        if (slot == null)
        {
            byte* made = Record.Create(_heap, key.Name, key.Length, 0, 0, hasExpire: false, sizeof(long));
            *(long*)Record.Value(made) = reader;
            _table->Insert(_heap, key.Hash, made);
            ReaderCount++;
            return;
        }

        byte* record = KeyTable.Get(slot);
        if (!Readers(record).Contains(reader))
        {
            Append(slot, record, reader);
            ReaderCount++;
        }
    }

    /// <summary>Removes a key and gives its readers. False: it is not there.</summary>
    public bool TryTake(in Key key, List<long> readers)
    {
        ulong* slot = _heap is null ? null : _table->Find(key.Hash, key.Name, key.Length);
        if (slot == null)
        {
            return false;
        }

        byte* record = KeyTable.Get(slot);
        readers.AddRange(Readers(record));
        ReaderCount -= readers.Count;
        _table->Remove(_heap!, key.Hash, slot);
        Record.Free(_heap!, record);
        return true;
    }

    /// <summary>The name of some key; there must be one.</summary>
    public byte[] Any(ref FastRandom random)
    {
        ReadOnlySpan<byte> name = Record.KeySpan(_table->Random(ref random));
        if (_any.Length <= name.Length)
        {
            _any = new byte[name.Length + 1];
        }

        name.CopyTo(_any);
        AnyLength = name.Length;
        return _any;
    }

    private static ReadOnlySpan<long> Readers(byte* record)
    {
        byte* bytes = Record.ValueBytes(record, out long length);
        return new ReadOnlySpan<long>(bytes, (int)(length / sizeof(long)));
    }

    private void Append(ulong* slot, byte* record, long reader)
    {
        ReadOnlySpan<long> old = Readers(record);
        int length = (old.Length + 1) * sizeof(long);
        if (Record.Outside(record))
        {
            LargeValue* large = Record.OutsideValue(record);
            if ((ulong)length > large->Capacity)
            {
                large = LargeValue.Resize(_heap!, large, large->Capacity * 2);
                Record.SetOutsideValue(record, large);
            }

            large->Length = (ulong)length;
            ((long*)LargeValue.Bytes(large))[old.Length] = reader;
            return;
        }

        byte* made = Record.Create(_heap!, Record.Key(record), Record.KeyLength(record), 0, 0, hasExpire: false, length > Record.MaxInlineValue ? Record.PointerLength : length);
        byte* place = Record.Value(made);
        if (length > Record.MaxInlineValue)
        {
            LargeValue* large = LargeValue.Create(_heap!, (ulong)length, (ulong)length * 2);
            Record.SetOutsideValue(made, large);
            place = LargeValue.Bytes(large);
        }

        old.CopyTo(new Span<long>(place, old.Length));
        ((long*)place)[old.Length] = reader;
        KeyTable.Set(slot, made);
        Record.FreeShell(_heap!, record);
    }
}

/// <summary>Byte strings in the order of their bytes.</summary>
internal sealed class ByteStringOrder : IComparer<byte[]>
{
    /// <summary>The one there is.</summary>
    public static readonly ByteStringOrder Instance = new();

    /// <inheritdoc/>
    public int Compare(byte[]? x, byte[]? y) => x.AsSpan().SequenceCompareTo(y);
}
