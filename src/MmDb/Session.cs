using Leither.MmDb.Acl;
using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>What a session needs of the connection that carries it. All members are called on the loop thread.</summary>
public interface IClientConnection
{
    /// <summary>The other end, as CLIENT LIST shows it: ip:port, or path:0.</summary>
    string RemoteAddress { get; }
    /// <summary>This end.</summary>
    string LocalAddress { get; }
    /// <summary>The descriptor number, for CLIENT LIST.</summary>
    long Descriptor { get; }
    /// <summary>Whether it comes from this machine (loopback or a Unix socket).</summary>
    bool IsLocal { get; }
    /// <summary>Whether it is a Unix socket.</summary>
    bool IsUnixSocket { get; }
    /// <summary>Where replies are written.</summary>
    RespWriter Output { get; }
    /// <summary>Bytes received and not yet consumed.</summary>
    long InputBytes { get; }
    /// <summary>Bytes of memory that the input buffer holds.</summary>
    long InputCapacity { get; }
    /// <summary>The output has bytes to send when this turn ends.</summary>
    void SendOutput();
    /// <summary>Ends the connection, after what is in the output was sent if asked.</summary>
    void Close(bool afterOutput);
    /// <summary>Stops presenting input, while the client is blocked.</summary>
    void Pause();
    /// <summary>Presents input again.</summary>
    void Resume();
}

/// <summary>The classes of client that have output limits of their own.</summary>
public enum ClientClass
{
    /// <summary>A normal one.</summary>
    Normal,
    /// <summary>A follower.</summary>
    Replica,
    /// <summary>One that subscribed.</summary>
    PubSub,
}

/// <summary>
/// The state of one client between commands: what SELECT, HELLO, MULTI, WATCH, SUBSCRIBE and CLIENT set. It knows no socket;
/// <see cref="Connection"/> carries its bytes.
/// </summary>
public sealed class Session(long id, IClientConnection connection, Mimei mimei, long nowMs)
{
    private const long UsualRoom = 16 * 1024, LargeRoom = 32 * 1024, LeastReplyRoom = 1024, RoomResizeMs = 100, InputIdleMs = 2000;

    private List<QueuedCommand>? _transaction;
    private bool _needsLogin, _isRestricted, _isRefused;
    private long _inputRoom, _inputPeak, _inputSinceMs, _replyPeak, _replySinceMs = nowMs;

    /// <summary>Unique number, never used again.</summary>
    public long Id { get; } = id;
    /// <summary>What carries it.</summary>
    public IClientConnection Connection { get; } = connection;
    /// <summary>The MiMei that its commands go to. <see cref="Server.Bind"/> changes it.</summary>
    public Mimei Mimei
    {
        get;
        internal set
        {
            field = value;
            Keyspace = value.Keyspace;
            WritePosition = default;
        }
    } = mimei;

    /// <summary>What its commands see: the MiMei's data, or its transaction's view of them.</summary>
    public Keyspace Keyspace { get; internal set; } = mimei.Keyspace;
    /// <summary>The transaction between BEGIN and COMMIT; null outside.</summary>
    internal InteractiveTransaction? Interactive
    {
        get;
        set
        {
            field = value;
            Keyspace = value?.View ?? Mimei.Keyspace;
            CheckAsNeeded();
        }
    }

    /// <summary>Where its replies go.</summary>
    public RespWriter Output { get; } = connection.Output;
    /// <summary>The parser of its requests.</summary>
    public RequestParser Parser { get; } = new();

    /// <summary>Selected database.</summary>
    public int DatabaseIndex { get; set; }
    /// <summary>CLIENT SETNAME.</summary>
    public byte[] Name { get; set; } = [];
    /// <summary>CLIENT SETINFO lib-name.</summary>
    public byte[] LibraryName { get; set; } = [];
    /// <summary>CLIENT SETINFO lib-ver.</summary>
    public byte[] LibraryVersion { get; set; } = [];
    /// <summary>The user it is logged in as, or would be.</summary>
    public required AclUser User { get; set; }
    /// <summary>Whether it has logged in, or came while that took no password.</summary>
    public bool IsLoggedIn { get; internal set; }
    /// <summary>Whether it must log in before it may run commands beyond AUTH, HELLO, QUIT and RESET.</summary>
    public bool NeedsLogin
    {
        get => _needsLogin;
        internal set
        {
            _needsLogin = value;
            CheckAsNeeded();
        }
    }

    /// <summary>What a passport's subject is to sign, and until when, in Unix milliseconds.</summary>
    internal (byte[] Bytes, long EndMs)? Challenge { get; set; }
    /// <summary>The passport for which its subject's proof was seen already, by whoever opened the session.</summary>
    internal string? Vouched { get; set; }
    /// <summary>Whether its user may not do everything, so that its commands are checked.</summary>
    public bool IsRestricted
    {
        get => _isRestricted;
        internal set
        {
            _isRestricted = value;
            CheckAsNeeded();
        }
    }

    /// <summary>Whether protected mode keeps it out.</summary>
    public bool IsRefused
    {
        get => _isRefused;
        internal set
        {
            _isRefused = value;
            CheckAsNeeded();
        }
    }

    /// <summary>When it connected, in Unix milliseconds.</summary>
    public long CreatedMs { get; } = nowMs;
    /// <summary>When it last sent a command, in Unix milliseconds.</summary>
    public long LastInteractionMs { get; set; } = nowMs;
    /// <summary>Commands run.</summary>
    public long CommandCount { get; set; }
    /// <summary>The last command's full name.</summary>
    public CommandSpec? LastCommand { get; set; }
    /// <summary>Bytes that are presented to it at present: the command that runs, and what follows it.</summary>
    internal long PresentedBytes { get; set; }
    /// <summary>Bytes received.</summary>
    public long BytesReceived { get; set; }

    /// <summary>What its cost was when it was last counted for maxmemory-clients.</summary>
    internal long CountedBytes { get; set; }
    /// <summary>Bytes of the queue between MULTI and EXEC, or of what a transaction holds between BEGIN and COMMIT.</summary>
    internal long QueuedBytes { get; set; }
    /// <summary>Bytes of watched keys, subscriptions and prefixes.</summary>
    internal long NamesBytes { get; set; }

    /// <summary>Takes note of how much arrived at once: the room that a client needs follows from it.</summary>
    internal void NoteInput(long bytes, long nowMs)
    {
        if (nowMs - _inputSinceMs >= RoomResizeMs)
        {
            if (_inputRoom > LargeRoom && _inputRoom / 2 > _inputPeak)
            {
                _inputRoom = Math.Max(_inputPeak, UsualRoom);
            }

            _inputPeak = 0;
            _inputSinceMs = nowMs;
        }

        _inputPeak = Math.Max(_inputPeak, bytes);
        _inputRoom = Math.Max(_inputRoom, Math.Max(bytes, UsualRoom));
    }

    /// <summary>Takes note of how much was written at once.</summary>
    internal void NoteReply(long bytes) => _replyPeak = Math.Max(_replyPeak, bytes);

    /// <summary>
    /// The receive buffer that is put to a client's account: what it lately needed, none once it is idle. In truth all share one, but
    /// what they send at once must fit in somewhere.
    /// </summary>
    internal long InputRoom(long nowMs) => nowMs - LastInteractionMs > InputIdleMs ? 0 : _inputRoom;

    /// <summary>The reply buffer that is put to a client's account, likewise: the smallest once it is idle.</summary>
    internal long ReplyRoom(long nowMs)
    {
        if (ReplyPeakMs >= 0 && nowMs - _replySinceMs > ReplyPeakMs)
        {
            _replyPeak = Output.Length;
            _replySinceMs = nowMs;
        }

        return Math.Clamp((long)System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)_replyPeak), LeastReplyRoom, UsualRoom);
    }

    /// <summary>The most that was lately written for it at once.</summary>
    internal long ReplyPeak => _replyPeak;

    /// <summary>After how long without large replies the account shrinks (DEBUG REPLYBUFFER); negative: it does not.</summary>
    internal long ReplyPeakMs { get; set; } = ClientMemory.UsualReplyPeakMs;

    /// <summary>The queue between MULTI and EXEC; null outside.</summary>
    public List<QueuedCommand>? Transaction
    {
        get => _transaction;
        set
        {
            _transaction = value;
            CheckAsNeeded();
        }
    }

    /// <summary>The flags of all queued commands together.</summary>
    internal CommandFlags TransactionFlags { get; set; }
    /// <summary>The flags that some queued command lacks.</summary>
    internal CommandFlags TransactionLacks { get; set; }
    /// <summary>A command was refused while queueing: EXEC will say EXECABORT.</summary>
    public bool TransactionAborted { get; set; }
    /// <summary>A watched key was changed: EXEC replies null.</summary>
    public bool WatchBroken { get; set; }
    /// <summary>What WATCH named.</summary>
    internal List<WatchedKey> Watched { get; } = [];

    /// <summary>What it waits for; null when it is not blocked.</summary>
    public BlockedState? Blocked { get; set; }
    /// <summary>The long work that it waits for.</summary>
    internal LongWork? Work { get; set; }
    /// <summary>Subscribed channels; null while there are none.</summary>
    public HashSet<byte[]>? Channels { get; set; }
    /// <summary>Subscribed patterns; null while there are none.</summary>
    public HashSet<byte[]>? Patterns { get; set; }
    /// <summary>Subscribed shard channels; null while there are none.</summary>
    public HashSet<byte[]>? ShardChannels { get; set; }
    /// <summary>Number of subscriptions of all kinds.</summary>
    public int SubscriptionCount => (Channels?.Count ?? 0) + (Patterns?.Count ?? 0) + (ShardChannels?.Count ?? 0);

    /// <summary>It has more or fewer subscriptions than before.</summary>
    internal void SubscriptionsChanged() => CheckAsNeeded();

    /// <summary>Its subscriptions of a kind; null while there are none.</summary>
    internal HashSet<byte[]>? Subscriptions(SubscriptionKind kind) => kind switch
    {
        SubscriptionKind.Channel => Channels,
        SubscriptionKind.Pattern => Patterns,
        _ => ShardChannels,
    };

    /// <summary>Makes room for its first subscription of a kind.</summary>
    internal HashSet<byte[]> BeginSubscriptions(SubscriptionKind kind)
    {
        HashSet<byte[]> names = new(ByteStringComparer.Instance);
        _ = kind switch
        {
            SubscriptionKind.Channel => Channels = names,
            SubscriptionKind.Pattern => Patterns = names,
            _ => ShardChannels = names,
        };
        return names;
    }

    /// <summary>How its cache is kept up to date (CLIENT TRACKING); null: it has none.</summary>
    internal TrackingState? Tracking { get; set; }
    /// <summary>CLIENT REPLY's state.</summary>
    public ReplyMode ReplyMode { get; set; }
    /// <summary>The command that CLIENT PAUSE holds back, with all input after it.</summary>
    internal QueuedCommand? Postponed { get; set; }
    /// <summary>It carries the stream of a source (the master, an append-only file): it may do everything, and decides on expiry.</summary>
    internal bool IsSource
    {
        get;
        init
        {
            field = value;
            CheckAsNeeded();
        }
    }

    /// <summary>Whether it runs what scripts call.</summary>
    internal bool IsScript { get; init; }
    /// <summary>What is known of it as a Redis replica; null: it is none.</summary>
    internal RedisReplication.Replica? Replica { get; set; }
    /// <summary>The offset in the replicas' stream up to which its writes reach.</summary>
    internal long WriteOffset { get; set; }
    /// <summary>The place in the log of its MiMei up to which its writes reach; it has written nothing there yet: the beginning.</summary>
    internal Log.Position WritePosition { get; private set; }

    /// <summary>An entry of its MiMei's log ended, which its command made.</summary>
    internal void Wrote() => WritePosition = Mimei.Log?.LastPosition ?? default;

    /// <summary>CLIENT NO-EVICT.</summary>
    public bool NoEvict { get; set; }
    /// <summary>CLIENT NO-TOUCH.</summary>
    public bool NoTouch { get; set; }
    /// <summary>MONITOR.</summary>
    public bool IsMonitor { get; set; }
    /// <summary>The connection ends once its replies are out (QUIT, protocol errors, CLIENT KILL).</summary>
    public bool IsClosing { get; set; }
    /// <summary>Since when its output has been above the soft limit, in Unix milliseconds; 0: it is not.</summary>
    internal long SoftLimitSinceMs { get; set; }
    /// <summary>Whether its commands need more checks than usual: a source's stream, refused, not logged in, of limited rights, in a transaction, or subscribed.</summary>
    internal bool NeedsChecks { get; private set; }

    /// <summary>A write of the source that this session carries was refused, so that from there on it has what is not here.</summary>
    internal bool LacksWrites { get; set; }
    /// <summary>The class whose output limits apply.</summary>
    public ClientClass Class => Replica?.State is not null ? ClientClass.Replica : SubscriptionCount > 0 ? ClientClass.PubSub : ClientClass.Normal;

    private void CheckAsNeeded() => NeedsChecks = IsSource || _isRefused || _needsLogin || _isRestricted || _transaction is not null || Interactive is not null || SubscriptionCount > 0;

    /// <summary>Ends the connection at once; what waits to be sent is dropped.</summary>
    public void CloseNow()
    {
        IsClosing = true;
        Connection.Close(afterOutput: false);
    }

    /// <summary>Ends the connection after its replies were sent.</summary>
    public void CloseAfterReply()
    {
        IsClosing = true;
        Connection.Close(afterOutput: true);
    }
}

/// <summary>CLIENT REPLY's three modes, and the one that skips just the next reply.</summary>
public enum ReplyMode
{
    /// <summary>Every command is answered.</summary>
    On,
    /// <summary>None is.</summary>
    Off,
    /// <summary>The command after CLIENT REPLY SKIP is not answered.</summary>
    SkipNext,
    /// <summary>This command is the one to skip.</summary>
    Skipping,
}

/// <summary>A key under a session's WATCH, or touched by its transaction.</summary>
/// <param name="session">Who watches.</param>
/// <param name="database">Database number.</param>
/// <param name="key">Name.</param>
internal sealed class WatchedKey(Session session, int database, byte[] key)
{
    /// <summary>Who watches.</summary>
    public Session Session { get; } = session;
    /// <summary>Database number.</summary>
    public int Database { get; } = database;
    /// <summary>Name.</summary>
    public byte[] Key { get; } = key;
    /// <summary>The key was already expired when it was watched: its removal is then no change.</summary>
    public bool WasExpired { get; set; }
}
