// A whole server in the test's own process, without sockets: commands go in as redis-cli would take them, replies come out as
// one line of text. Time stands still until the test moves it.
//
//   using var db = new InProcess();
//   db.Run("SET a b")      → +OK        db.Run("GET a")     → "b"       db.Run("GET none")  → nil ($-1; nil-array is *-1, _ is RESP3's null)
//   db.Run("INCR n")       → :1         db.Run("KEYS *")    → ["a", "n"] db.Run("HGETALL h") in RESP3 → %{"f": "v"}

using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb.Log;
using Leither.MmDb.Memory;
using Leither.Resp;
using Leither.TestKit;

namespace Leither.MmDb.Tests;

/// <summary>A server and its clients, in memory.</summary>
internal sealed unsafe class InProcess : IDisposable
{
    private readonly List<Client> _clients = [];
    private readonly TempDir? _logDirectory;

    /// <summary>A fresh server.</summary>
    /// <param name="options">Settings; Redis's defaults if null.</param>
    /// <param name="seed">Seeds hashes and the keyspace's chance.</param>
    /// <param name="recording">Whether it keeps a log, which <see cref="Replay"/> reads.</param>
    /// <param name="open">Brings its MiMei back from files, before the first client comes.</param>
    /// <param name="store">Keeps other MiMei; null: there is the default one only.</param>
    /// <param name="id">The id of the default one.</param>
    /// <param name="firstEpoch">The epoch that its log begins with, at least.</param>
    public InProcess(
        KeyspaceOptions? options = null, ulong seed = 42, bool recording = false, Action<InProcess>? open = null, Func<TestClock, IMimeiStore>? store = null, LeitherId id = default,
        ulong firstEpoch = 0)
    {
        Keyspace = new Keyspace(options ?? new KeyspaceOptions(), seed);
        var mimei = new Mimei(Keyspace, id);
        Server = new Server(mimei, new ServerOptions(), Clock, store: store?.Invoke(Clock));
        if (recording)
        {
            _logDirectory = new TempDir();
            mimei.Log = OpenLog(null, firstEpoch);
            Keyspace.Effects.RecordTo(mimei.Log, new HybridClock(0));
        }

        open?.Invoke(this);
        Default = Connect();
    }

    /// <summary>The time that commands see; it moves only when told to.</summary>
    public TestClock Clock { get; } = new();

    public Keyspace Keyspace { get; }

    public Server Server { get; }

    /// <summary>The client that <see cref="Run(string)"/> speaks through.</summary>
    public Client Default { get; }

    /// <summary>Events that notify-keyspace-events would send, as "set a" (and "set a@1" beyond database 0).</summary>
    public List<string> Events { get; } = [];

    /// <summary>Collects all keyspace events from now on.</summary>
    public void ListenToEvents(KeyspaceEvents kinds = KeyspaceEvents.All | KeyspaceEvents.New | KeyspaceEvents.KeyMiss)
    {
        Keyspace.Options.NotifyEvents = kinds;
        Keyspace.EventSink = (_, name, database, key) =>
            Events.Add($"{Encoding.Latin1.GetString(name)} {Encoding.Latin1.GetString(key)}{(database == 0 ? "" : "@" + database)}");
    }

    /// <summary>Another client.</summary>
    public Client Connect()
    {
        var client = new Client(this);
        _clients.Add(client);
        return client;
    }

    /// <summary>Another client, from elsewhere.</summary>
    public Client ConnectFrom(string address)
    {
        var client = new Client(this, address);
        _clients.Add(client);
        return client;
    }

    /// <summary>Runs one command of the default client and gives its reply as a line.</summary>
    public string Run(string command) => Default.Run(command);

    /// <summary>Runs one command of the default client, given as words.</summary>
    public string Run(IReadOnlyList<byte[]> words) => Default.Run(words);

    /// <summary>Runs commands, one a line, for their effect; an error reply fails the test.</summary>
    public void Prepare(params string[] commands)
    {
        foreach (string command in commands)
        {
            string reply = Run(command);
            if (reply.StartsWith('-'))
            {
                throw new InvalidOperationException($"{command} replied {reply}");
            }
        }
    }

    /// <summary>A second server, of another seed, that got everything from this one's log; its clock shows the same time.</summary>
    public InProcess Replay()
    {
        Server.EndTurn();
        Server.DefaultMimei.Log!.Dispose();
        Server.DefaultMimei.Log = null;
        Keyspace.Effects.RecordTo(null, default);
        var replayed = new InProcess(seed: 43);
        replayed.Clock.Advance(Clock.NowMs - replayed.Clock.NowMs);
        using WriteLog log = OpenLog((_, entry, length) =>
            replayed.Keyspace.Effects.Replay(entry + LogFormat.EntryHeaderBytes, length - LogFormat.EntryHeaderBytes));
        return replayed;
    }

    /// <summary>Gives the bodies of the entries after one to a visitor, as they stand in the log's files.</summary>
    public void ReadLog(ulong after, EntryVisitor visitor)
    {
        Server.EndTurn();
        using LogReader reader = Server.DefaultMimei.Log!.Read(after)!;
        reader.Run((sequence, entry, length) => visitor(sequence, entry + LogFormat.EntryHeaderBytes, length - LogFormat.EntryHeaderBytes));
    }

    /// <summary>Everything in all databases, one key a line, in an order of its own: equal exactly when the contents are.</summary>
    public string Contents()
    {
        var lines = new List<string>();
        Client client = Connect();
        for (int database = 0; database < Keyspace.Databases.Length; database++)
        {
            client.Run($"SELECT {database}");
            foreach (byte[] key in Keys(Keyspace.Databases[database]))
            {
                string type = client.Run(["TYPE"u8.ToArray(), key]);
                if (type == "+none")
                {
                    continue; // It has expired.
                }

                string content = type switch
                {
                    "+string" => client.Run(["GET"u8.ToArray(), key]),
                    "+list" => client.Run(["LRANGE"u8.ToArray(), key, "0"u8.ToArray(), "-1"u8.ToArray()]),
                    "+set" => Sorted(client, "SMEMBERS"u8, key, 1),
                    "+stream" => client.Run(["XINFO"u8.ToArray(), "STREAM"u8.ToArray(), key, "FULL"u8.ToArray(), "COUNT"u8.ToArray(), "0"u8.ToArray()]),
                    "+hash" => Sorted(client, "HGETALL"u8, key, 2) + FieldTimes(client, key),
                    "+zset" => client.Run(["ZRANGE"u8.ToArray(), key, "0"u8.ToArray(), "-1"u8.ToArray(), "WITHSCORES"u8.ToArray()]),
                    _ => "",
                };
                lines.Add($"{database} {RespValue.Quote(key)} {type} {client.Run(["PEXPIRETIME"u8.ToArray(), key])} {content}");
            }
        }

        lines.Sort(StringComparer.Ordinal);
        return string.Join('\n', lines);
    }

    public void Dispose()
    {
        foreach (Client client in _clients)
        {
            client.Dispose();
        }

        Server.Dispose();
        _logDirectory?.Dispose();
    }

    private static List<byte[]> Keys(Database database)
    {
        var keys = new List<byte[]>();
        NativeList<nint> records = default;
        ulong cursor = 0;
        do
        {
            cursor = database.Keys->ScanBucket(cursor, ref records);
        }
        while (cursor != 0);
        foreach (nint record in records.Span)
        {
            keys.Add(Record.KeySpan((byte*)record).ToArray());
        }

        records.Dispose();
        return keys;
    }

    /// <summary>When the fields of a hash expire, of those that do.</summary>
    private static string FieldTimes(Client client, byte[] key)
    {
        client.Send(["HKEYS"u8.ToArray(), key]);
        byte[][] fields = [.. client.TakeReply()!.Elements.Select(static field => field.Bytes.ToArray())];
        client.Send(["HPEXPIRETIME"u8.ToArray(), key, "FIELDS"u8.ToArray(), Encoding.ASCII.GetBytes(fields.Length.ToString(System.Globalization.CultureInfo.InvariantCulture)), .. fields]);
        RespReply times = client.TakeReply()!;
        return times.Type != RespType.Array ? "" : string.Concat(times.Elements.Select((time, i) => (Time: time.Integer, Field: RespValue.Quote(fields[i])))
            .Where(static one => one.Time >= 0).OrderBy(static one => one.Field, StringComparer.Ordinal).Select(static one => $" {one.Field}@{one.Time}"));
    }

    private static string Sorted(Client client, ReadOnlySpan<byte> command, byte[] key, int size)
    {
        client.Send([command.ToArray(), key]);
        RespReply reply = client.TakeReply()!;
        return string.Join(' ', reply.Elements.Chunk(size).Select(static part => string.Join('=', part.Select(Show))).Order(StringComparer.Ordinal));
    }

    private WriteLog OpenLog(EntryVisitor? onEntry, ulong firstEpoch = 0) =>
        WriteLog.Open(DiskFolder.Make(_logDirectory!.Path), new LogOptions { Fsync = FsyncPolicy.No, Origin = Origin, FirstEpoch = firstEpoch }, 0UL, onEntry);

    /// <summary>The log of a MiMei that has an id is sealed.</summary>
    private SegmentOrigin? Origin => Server.DefaultMimei.Id == default ? null : new SegmentOrigin(Server.DefaultMimei.Id, new byte[Ed25519.PublicKeyLength]);

    /// <summary>A reply as a line: see the head of this file.</summary>
    public static string Show(RespReply reply)
    {
        if (reply.IsNull)
        {
            return reply.Type == RespType.Array ? "nil-array" : reply.Type == RespType.Null ? "_" : "nil";
        }

        return reply.Type switch
        {
            RespType.SimpleString => "+" + reply.Text,
            RespType.Error or RespType.BulkError => "-" + reply.Text,
            RespType.Integer => ":" + reply.Integer,
            RespType.BulkString => RespValue.Quote(reply.Bytes),
            RespType.Array => $"[{string.Join(", ", reply.Elements.Select(Show))}]",
            RespType.Set => $"~[{string.Join(", ", reply.Elements.Select(Show))}]",
            RespType.Push => $">[{string.Join(", ", reply.Elements.Select(Show))}]",
            RespType.Map => $"%{{{string.Join(", ", reply.Elements.Chunk(2).Select(pair => Show(pair[0]) + ": " + Show(pair[1])))}}}",
            RespType.Verbatim => "=" + RespValue.Quote(reply.Bytes),
            _ => (char)reply.Type + reply.Text,
        };
    }

    /// <summary>One connection: what it sends is run at once, what it is sent is kept until it is taken.</summary>
    internal sealed class Client : IClientConnection, IDisposable
    {
        private readonly InProcess _owner;
        private byte[] _unconsumed = [];

        public Client(InProcess owner, string? elsewhere = null)
        {
            _owner = owner;
            RemoteAddress = elsewhere ?? "127.0.0.1:1";
            IsLocal = elsewhere is null;
            Session = owner.Server.Open(this);
        }

        public Session Session { get; }
        public string RemoteAddress { get; }
        public string LocalAddress => "127.0.0.1:4800";
        public long Descriptor => 8;
        public bool IsLocal { get; }
        public bool IsUnixSocket => false;
        public RespWriter Output { get; } = new();
        public long InputBytes => _unconsumed.Length;
        public long InputCapacity => _unconsumed.Length;
        public bool IsClosed { get; private set; }
        public bool IsPaused { get; private set; }

        /// <summary>Runs one command and gives its reply as a line, or "(none)" when nothing was replied (it blocks).</summary>
        public string Run(string command) => Run(Quoting.Split(command));

        /// <summary>Runs one command, and gives the bytes of the bulk string that it replies.</summary>
        public byte[] RunRaw(string command)
        {
            Send(Quoting.Split(command));
            return TakeReply()!.Bytes.ToArray();
        }

        /// <summary>Runs one command, given as words.</summary>
        public string Run(IReadOnlyList<byte[]> words)
        {
            Send(words);
            return Take() ?? "(none)";
        }

        /// <summary>Runs one command that may wait for other threads, and gives its reply as a line.</summary>
        public string RunToEnd(string command) => RunToEnd(Quoting.Split(command));

        /// <summary>Runs one command, given as words, that may wait for other threads.</summary>
        public string RunToEnd(IReadOnlyList<byte[]> words)
        {
            Send(words);
            return Await();
        }

        /// <summary>The next reply as a line, as soon as there is one.</summary>
        public string Await()
        {
            string? reply = null;
            Wait.Until(() =>
            {
                if ((reply = Take()) is null)
                {
                    _owner.Server.Cron(_owner.Clock.NowMs);
                    _owner.Server.EndTurn();
                }

                return reply is not null;
            });
            return reply!;
        }

        /// <summary>Sends a command; its replies are taken with <see cref="Take"/>.</summary>
        public void Send(IReadOnlyList<byte[]> words)
        {
            using var request = new MemoryStream();
            request.Write(Encoding.ASCII.GetBytes($"*{words.Count}\r\n"));
            foreach (byte[] word in words)
            {
                request.Write(Encoding.ASCII.GetBytes($"${word.Length}\r\n"));
                request.Write(word);
                request.Write("\r\n"u8);
            }

            SendRaw(request.ToArray());
        }

        /// <summary>Sends bytes as they are.</summary>
        public void SendRaw(byte[] bytes)
        {
            _unconsumed = [.. _unconsumed, .. bytes];
            RunWaiting();
        }

        /// <summary>The next reply as a line, or null when there is none.</summary>
        public string? Take() => TakeReply() is { } reply ? Show(reply) : null;

        /// <summary>The next reply, or null when there is none.</summary>
        public RespReply? TakeReply()
        {
            if (Output.Length == 0)
            {
                return null;
            }

            var reader = new RespReader(Output.Span);
            ReadStatus status = RespReply.TryRead(ref reader, out RespReply? reply);
            if (status != ReadStatus.Complete || reply is null)
            {
                throw new InvalidOperationException($"not a whole reply: {Encoding.Latin1.GetString(Output.Span)}");
            }

            Output.Consume(reader.Consumed);
            return reply;
        }

        public void SendOutput()
        {
        }

        public void Close(bool afterOutput) => IsClosed = true;

        public void Pause() => IsPaused = true;

        public void Resume()
        {
            IsPaused = false;
            RunWaiting();
        }

        public void Dispose()
        {
            _owner.Server.Close(Session);
            Output.Dispose();
        }

        private void RunWaiting()
        {
            if (_unconsumed.Length == 0 || IsPaused)
            {
                return;
            }

            byte[] input = GC.AllocateUninitializedArray<byte>(_unconsumed.Length, pinned: true);
            _unconsumed.CopyTo(input, 0);
            long consumed;
            fixed (byte* p = input)
            {
                consumed = _owner.Server.Dispatcher.Execute(Session, p, input.Length);
            }

            _unconsumed = input[(int)consumed..];
            _owner.Server.EndTurn();
        }
    }
}

/// <summary>A clock that stands still until it is moved.</summary>
internal sealed class TestClock : TimeProvider
{
    private DateTimeOffset _now = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_000);

    /// <summary>Milliseconds by which each reading moves it, as if whatever comes in between took so long.</summary>
    public long MsPerReading { get; set; }

    public override DateTimeOffset GetUtcNow() => _now = _now.AddMilliseconds(MsPerReading);

    public long NowMs => _now.ToUnixTimeMilliseconds();

    public void Advance(long milliseconds) => _now = _now.AddMilliseconds(milliseconds);
}
