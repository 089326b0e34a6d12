using System.Runtime.CompilerServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>The words of a command, for code that only looks at them (key finding, ACL checks).</summary>
public readonly unsafe struct ArgView(Slice* args, int count)
{
    /// <summary>How many words, the name included.</summary>
    public int Count { get; } = count;
    /// <summary>One word.</summary>
    public Slice this[int index] => args[index];
}

/// <summary>
/// What a handler works with: the words of its command, the session that sent it, the keyspace to look into, the effects to
/// change it by, and the reply. One object serves all commands, one after another; nothing of it may be kept.
/// </summary>
public sealed unsafe class CommandContext
{
    private Slice* _args;
    private int _hashedIndex;
    private ulong _hash;

    internal CommandContext(Server server)
    {
        Server = server;
    }

    /// <summary>The server.</summary>
    public Server Server { get; }
    /// <summary>The client.</summary>
    public Session Session { get; private set; } = null!;
    /// <summary>The container that the command goes to.</summary>
    public Mimei Mimei { get; private set; } = null!;
    /// <summary>Its functions.</summary>
    internal Scripting.FunctionLibraries Functions => Server.Scripts.FunctionsOf(Mimei);
    /// <summary>Its data.</summary>
    public Keyspace Keyspace { get; private set; } = null!;
    /// <summary>The client's database.</summary>
    public Database Database { get; set; } = null!;
    /// <summary>The only way to change data.</summary>
    public Effects Effects { get; private set; } = null!;
    /// <summary>The reply. Errors go through <see cref="Error(ReadOnlySpan{byte})"/>, which counts them.</summary>
    public RespWriter Reply { get; private set; } = null!;
    /// <summary>The command that runs.</summary>
    public CommandSpec Spec { get; private set; } = null!;
    /// <summary>How many words the command has, its name included.</summary>
    public int Count { get; private set; }
    /// <summary>The one clock reading of this command, script or EXEC, in Unix milliseconds.</summary>
    public long NowMs => Keyspace.NowMs;
    /// <summary>Whether the command may not block, since it runs in EXEC, a script or a transaction, or comes from a source, which waits for nobody.</summary>
    public bool CannotBlock => _isAtomic || Session.IsSource || Session.Interactive is not null;
    /// <summary>Whether a blocked client's command is tried again.</summary>
    public bool IsRetry { get; private set; }
    /// <summary>Whether this call replied an error.</summary>
    public bool Failed { get; internal set; }
    /// <summary>Whether this call left its client blocked.</summary>
    internal bool DidBlock { get; set; }

    /// <summary>Lists for stream commands.</summary>
    internal StreamScratch Streams { get; } = new();

    /// <summary>A word; 0 is the command's name.</summary>
    public Slice this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _args[index];
    }

    /// <summary>All words.</summary>
    public Slice* Args => _args;

    /// <summary>The key at a word; the hash of the command's first key is known already.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Key Key(int index)
    {
        Slice word = _args[index];
        return index == _hashedIndex
            ? new Key(word.Pointer, word.Length, _hash)
            : Keyspace.KeyOf(word.Pointer, word.Length);
    }

    /// <summary>Whether a word is this one, whatever its case.</summary>
    public bool Is(int index, ReadOnlySpan<byte> word) => _args[index].EqualsIgnoreCase(word);

    /// <summary>Replies an error and counts it.</summary>
    public void Error(ReadOnlySpan<byte> text)
    {
        Failed = true;
        Server.Stats.CountError(text);
        Reply.Error(text);
    }

    /// <summary>Replies an error whose text is made for the case, and counts it.</summary>
    public void Error(string text)
    {
        byte[] bytes = System.Text.Encoding.Latin1.GetBytes(text);
        Error(bytes.AsSpan());
    }

    /// <summary>Replies a help text: how subcommands are given, and then these lines.</summary>
    public void Help(params ReadOnlySpan<string> lines)
    {
        Reply.Array(lines.Length + 3);
        Reply.Simple(System.Text.Encoding.UTF8.GetBytes($"{ContainerName} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        foreach (string line in lines)
        {
            Reply.Simple(System.Text.Encoding.UTF8.GetBytes(line));
        }

        Reply.Simple("HELP"u8);
        Reply.Simple("    Print this help."u8);
    }

    /// <summary>Replies that the subcommand does not take these arguments.</summary>
    public void SubcommandSyntax() => Error($"ERR unknown subcommand or wrong number of arguments for '{TextToZero(1, 128)}'. Try {ContainerName} HELP.");

    /// <summary>A word as text for a message, shortened.</summary>
    public string Text(int index, int maxBytes = int.MaxValue) =>
        System.Text.Encoding.Latin1.GetString(_args[index].Span[..Math.Min(maxBytes, _args[index].Length)]);

    /// <summary>A word as Redis prints it in some messages: it ends at a zero byte.</summary>
    public string TextToZero(int index, int maxBytes = int.MaxValue)
    {
        string text = Text(index, maxBytes);
        int zero = text.IndexOf('\0', StringComparison.Ordinal);
        return zero < 0 ? text : text[..zero];
    }

    private string ContainerName => (Spec.Parent ?? Spec).Name.ToUpperInvariant();

    /// <summary>Replies an integer argument's error with a text of its own, unless it is one within bounds.</summary>
    public bool TryLong(int index, long min, long max, ReadOnlySpan<byte> error, out long value)
    {
        if (_args[index].TryLong(out value) && value >= min && value <= max)
        {
            return true;
        }

        Error(error);
        return false;
    }

    /// <summary>Replies the arity error of the running command.</summary>
    public void WrongArity() => Error($"ERR wrong number of arguments for '{Spec.FullName}' command");

    /// <summary>Reads an integer argument, or replies the usual error.</summary>
    public bool TryLong(int index, out long value)
    {
        if (_args[index].TryLong(out value))
        {
            return true;
        }

        Error(Errors.NotInteger);
        return false;
    }

    /// <summary>Reads an integer argument within bounds, or replies the usual error.</summary>
    public bool TryLong(int index, long min, long max, out long value)
    {
        if (!TryLong(index, out value))
        {
            return false;
        }

        if (value >= min && value <= max)
        {
            return true;
        }

        Error(min == 0 ? Errors.NotPositive : Errors.OutOfRange);
        return false;
    }

    /// <summary>Reads a float argument, or replies the usual error.</summary>
    public bool TryDouble(int index, out double value)
    {
        if (_args[index].TryDouble(out value))
        {
            return true;
        }

        Error(Errors.NotFloat);
        return false;
    }

    /// <summary>
    /// Looks a key up for reading. True when it is missing (<paramref name="record"/> null) or of the type asked for; otherwise
    /// replies the type error.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryRead(in Key key, DataType type, out byte* record)
    {
        record = Database.Lookup(key);
        return record == null || Record.Type(record) == (int)type || WrongType();
    }

    /// <summary>As <see cref="TryRead"/>, for commands about to write.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryReadForWrite(in Key key, DataType type, out byte* record)
    {
        record = Database.LookupForWrite(key);
        return record == null || Record.Type(record) == (int)type || WrongType();
    }

    private bool WrongType()
    {
        Error(Errors.WrongType);
        return false;
    }

    /// <summary>Tells of a keyspace event on a key of the client's database.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Notify(KeyspaceEvents kind, ReadOnlySpan<byte> name, in Key key) => Keyspace.Notify(kind, name, Database, key);

    /// <summary>
    /// Leaves the client waiting on keys until one of them holds a value of <paramref name="type"/> (its command is then run
    /// again) or the time is over. Where blocking is not possible (EXEC, scripts) the timeout's reply is given at once.
    /// </summary>
    /// <param name="firstKey">First key's word.</param>
    /// <param name="keyCount">How many keys follow one another.</param>
    /// <param name="type">What can serve it.</param>
    /// <param name="timeoutMs">Milliseconds from now; 0: for ever.</param>
    /// <param name="onTimeout">Writes what the client is told when the time is over.</param>
    /// <param name="words">What is run again, if that is not the command as it was sent.</param>
    /// <param name="wakesOnLoss">Whether the command is also run again when a key goes or becomes something else.</param>
    public void Block(int firstKey, int keyCount, DataType type, long timeoutMs, Action<RespWriter> onTimeout, Slice* words = null, bool wakesOnLoss = false)
    {
        if (CannotBlock)
        {
            onTimeout(Reply);
            return;
        }

        DidBlock = true;
        if (IsRetry)
        {
            return;
        }

        byte[][] keys = new byte[keyCount][];
        for (int i = 0; i < keyCount; i++)
        {
            keys[i] = _args[firstKey + i].Span.ToArray();
        }

        Server.Blocking.Block(Session, new BlockedState
        {
            Command = new QueuedCommand(Spec, words == null ? _args : words, Count),
            Database = Database.Index,
            Keys = keys,
            Type = type,
            WakesOnLoss = wakesOnLoss,
            DeadlineMs = timeoutMs == 0 ? 0 : NowMs + timeoutMs,
            OnTimeout = onTimeout,
        });
    }

    /// <summary>
    /// Does on another thread what waits for the disk: the client waits, others go on. Where it may not wait the command fails. The answer gets
    /// the context back as it was; what goes wrong (<see cref="MimeiException"/>, <see cref="IOException"/>) is replied.
    /// </summary>
    /// <param name="work">What waits. It may use nothing of the server.</param>
    /// <param name="answer">Replies.</param>
    /// <param name="undo">Is called before what went wrong is replied.</param>
    /// <param name="keptWords">So many words are kept for the answer. Whoever takes large ones along copies them once, not twice.</param>
    internal void Aside<T>(Func<T> work, Action<CommandContext, T> answer, Action? undo = null, int keptWords = int.MaxValue) =>
        Await<T>(done => Server.RunAside(work, done), answer, undo, keptWords: keptWords);

    /// <summary>As <see cref="Aside"/>, for what waits for the network. It is called off when the client goes, or is unblocked.</summary>
    internal void AsideAsync<T>(Func<CancellationToken, Task<T>> work, Action<CommandContext, T> answer, Action? undo = null, int keptWords = int.MaxValue)
    {
        // Not disposed: it has no timer, and whoever ends the wait may be anyone.
        var gone = new CancellationTokenSource();
        Await<T>(done => Server.RunAsideAsync(() => work(gone.Token), done), answer, undo, gone.Cancel, keptWords);
    }

    /// <summary>Gives the answer a MiMei, as soon as it is loaded.</summary>
    internal void UseMimei(MimeiEntry entry, MimeiPlace place, Action<CommandContext, Mimei> answer) =>
        Await<Mimei>(done => Server.Mimeis.Load(entry, place, done), answer);

    /// <summary>Begins something that is done later: the client waits, others go on. As <see cref="Aside"/> in all else.</summary>
    /// <param name="begin">Begins it; calls what it is given behind the gate, once, now or later.</param>
    /// <param name="answer">Replies.</param>
    /// <param name="undo">Is called before what went wrong is replied.</param>
    /// <param name="ended">Is called when the client no longer waits, whyever.</param>
    /// <param name="keptWords">So many words are kept for the answer.</param>
    internal void Await<T>(Action<Action<T?, Exception?>> begin, Action<CommandContext, T> answer, Action? undo = null, Action? ended = null, int keptWords = int.MaxValue)
    {
        if (CannotBlock)
        {
            Error("ERR the command waits for the disk or the network, which is not possible in a transaction or script"u8);
            return;
        }

        void Answer(CommandContext c, T? made, Exception? problem)
        {
            if (problem is null)
            {
                answer(c, made!);
                return;
            }

            undo?.Invoke();
            string text = problem.Message.ReplaceLineEndings(" ");
            c.Error(problem is MimeiException ? text : $"ERR {text}");
        }

        bool isOver = false;
        BlockedState? wait = null;
        Session session = Session;
        begin((made, problem) =>
        {
            isOver = true;
            if (wait is null)
            {
                Answer(this, made, problem);
            }
            else if (session.Blocked == wait)
            {
                Server.Dispatcher.Answer(session, wait, c => Answer(c, made, problem));
            }
            else if (problem is not null)
            {
                undo?.Invoke();
            }
        });
        if (!isOver)
        {
            DidBlock = true;
            wait = new BlockedState
            {
                Command = new QueuedCommand(Spec, _args, Math.Min(Count, keptWords)),
                Database = Database.Index,
                Keys = [],
                Type = DataType.String,
                DeadlineMs = 0,
                OnTimeout = static reply => reply.Error("ERR the client was unblocked before the command was done; what must not be left half done goes on"u8),
                Ended = ended,
            };
            Server.Blocking.Block(Session, wait);
        }
    }

    /// <summary>Reads a blocking timeout: seconds with a fraction, 0 for ever; or replies the error.</summary>
    public bool TryTimeout(int index, out long milliseconds)
    {
        milliseconds = 0;
        if (!_args[index].TryDouble(out double seconds))
        {
            Error(Errors.TimeoutNotFloat);
            return false;
        }

        if (seconds < 0)
        {
            Error(Errors.TimeoutNegative);
            return false;
        }

        if (seconds * 1000 > long.MaxValue - NowMs)
        {
            Error(Errors.TimeoutOutOfRange);
            return false;
        }

        milliseconds = (long)Math.Ceiling(seconds * 1000);
        return true;
    }

    /// <summary>Prepares the context for one command.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Start(Session session, CommandSpec spec, Slice* args, int count, int hashedIndex, ulong hash)
    {
        Session = session;
        Spec = spec;
        _args = args;
        Count = count;
        _hashedIndex = hashedIndex;
        _hash = hash;
        Mimei = session.Mimei;
        Keyspace = session.Keyspace;
        Database = Keyspace.Databases[session.DatabaseIndex];
        Effects = Keyspace.Effects;
        Effects.Use(Database);
        Reply = session.Output;
        Failed = false;
        DidBlock = false;
    }

    /// <summary>Goes on in the keyspace that its session sees now.</summary>
    internal void Rebind() => Start(Session, Spec, _args, Count, _hashedIndex, _hash);

    /// <summary>Marks the commands that follow as part of an EXEC or script.</summary>
    internal bool EnterAtomic()
    {
        bool before = _isAtomic;
        _isAtomic = true;
        _atomicMicroseconds = before ? _atomicMicroseconds : 0;
        return before;
    }

    private bool _isAtomic;
    private long _atomicMicroseconds;

    /// <summary>The clock's reading, in Unix microseconds; for the commands of an EXEC or script time stands still.</summary>
    internal long Microseconds
    {
        get
        {
            if (!_isAtomic || _atomicMicroseconds == 0)
            {
                _atomicMicroseconds = (Server.Time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
            }

            return _atomicMicroseconds;
        }
    }

    /// <summary>Ends <see cref="EnterAtomic"/>.</summary>
    internal void LeaveAtomic(bool before) => _isAtomic = before;

    /// <summary>Marks the next call as the retry of a blocked client's command.</summary>
    internal void SetRetry(bool retry) => IsRetry = retry;
}
