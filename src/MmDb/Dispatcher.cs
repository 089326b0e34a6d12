using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Acl;
using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>
/// Runs what clients send. Received bytes are parsed into batches of up to 32 commands; while a batch is parsed each key is hashed
/// and its bucket prefetched, then its record, and only then do the commands run, one after another, with their memory on
/// the way. That is where most of the speed comes from: a lookup among millions of keys costs a cache miss or two, and the misses
/// of a batch overlap.
/// </summary>
public sealed unsafe class Dispatcher : IDisposable
{
    /// <summary>Commands in a batch at most.</summary>
    public const int MaxBatch = 32;

    /// <summary>Of a command that is quick by nature, so many first calls are timed, and then one in <see cref="TimedEvery"/>: reading the clock would cost as much as the command.</summary>
    private const int TimedFromStart = 64;
    private const int TimedEvery = 16;

    /// <summary>Commands with these are checked always: what may write, what is protected, and scripts, of which only they themselves tell whether they do.</summary>
    private const CommandFlags CheckedFlags = CommandFlags.DenyOom | CommandFlags.Write | CommandFlags.Protected | CommandFlags.NoMandatoryKeys;

    private readonly Server _server;
    private readonly CommandContext _context;
    private readonly ArgBuffer _args = new();
    private readonly CommandSpec?[] _specs = new CommandSpec?[MaxBatch];
    private readonly int[] _first = new int[MaxBatch], _count = new int[MaxBatch];
    private readonly ulong[] _hash = new ulong[MaxBatch];

    internal Dispatcher(Server server)
    {
        _server = server;
        _context = new CommandContext(server);
    }

    /// <inheritdoc/>
    public void Dispose() => _args.Dispose();

    /// <summary>The context that handlers get.</summary>
    internal CommandContext Context => _context;

    /// <summary>
    /// Runs every whole command among received bytes, until the client blocks or its connection ends. Returns how many bytes were
    /// consumed; the rest is presented again with what arrives after it.
    /// </summary>
    public long Execute(Session session, byte* data, long length)
    {
        long position = 0;
        session.PresentedBytes = length;
        Mimei mimei;
        bool again;
        do
        {
            // More than once only if a command binds the session to another MiMei.
            mimei = session.Mimei;
            again = ExecuteIn(mimei, session, data, length, ref position);
        }
        while (again && session.Mimei != mimei);

        if (_server.PausedUntilMs == 0 && _server.PostponedCount > 0 && !_server.Scripts.IsBusy)
        {
            _server.RunPostponed();
        }

        session.PresentedBytes = 0;
        session.NoteReply(session.Output.Length);
        if (session.Parser.BytesWanted > 0)
        {
            session.NoteInput(length - position + session.Parser.BytesWanted, mimei.Keyspace.NowMs);
        }

        _server.ClientMemory.Count(session);
        session.BytesReceived += position;
        _server.Stats.BytesReceived += position;

        session.Connection.SendOutput();
        return position;
    }

    /// <summary>Runs batches behind the gate of the session's MiMei. True: there may be more whole commands, for another one.</summary>
    private bool ExecuteIn(Mimei mimei, Session session, byte* data, long length, ref long position)
    {
        lock (mimei.Gate)
        {
            _server.Touch(mimei);
            Keyspace keyspace = mimei.Keyspace;
            session.LastInteractionMs = keyspace.NowMs = session.Keyspace.NowMs = _server.NowMs;
            session.NoteInput(length, keyspace.NowMs);
            if (_server.ClientMemory.IsLimited)
            {
                _server.ClientMemory.Count(session);
                _server.ClientMemory.Evict();
            }

            keyspace.FollowsSource = session.IsSource;
            bool again = true;
            while (again && session.Mimei == mimei && !session.IsClosing && session.Blocked is null && session.Postponed is null)
            {
                again = RunBatch(session, session.Keyspace, data, length, ref position);
            }

            keyspace.FollowsSource = false;
            return again && !session.IsClosing && session.Blocked is null && session.Postponed is null;
        }
    }

    /// <summary>Parses and runs one batch. False when no whole command is left.</summary>
    private bool RunBatch(Session session, Keyspace keyspace, byte* data, long length, ref long position)
    {
        Database database = keyspace.Databases[session.DatabaseIndex];
        RequestParser parser = session.Parser;
        bool authenticated = !session.NeedsLogin;
        parser.AuthenticationRequired = !authenticated;
        // One at a time, where a command may be the one that is held back.
        int limit = authenticated && _server.PausedUntilMs == 0 ? MaxBatch : 1, parsed = 0;
        ParseStatus status = ParseStatus.Complete;
        _args.Clear();
        while (parsed < limit)
        {
            status = parser.ParseNext(data, length, ref position, _args, out int first, out int count);
            if (status != ParseStatus.Complete)
            {
                break;
            }

            CommandSpec? spec = _server.Commands.Find(_args[first]);
            _specs[parsed] = spec;
            _first[parsed] = first;
            _count[parsed] = count;
            if (spec is null)
            {
                parsed++;
                break;
            }

            if (spec.FirstKey > 0 && count > spec.FirstKey)
            {
                Slice key = _args[first + spec.FirstKey];
                ulong hash = Memory.Hash64.Compute(key.Pointer, key.Length, keyspace.HashSeed);
                _hash[parsed] = hash;
                database.Keys->Prefetch(hash);
            }

            parsed++;
            if (spec.Has(CommandFlags.EndsBatch))
            {
                break;
            }
        }

        if (parsed > 1)
        {
            for (int i = 0; i < parsed; i++)
            {
                if (_specs[i] is { FirstKey: > 0 } spec && _count[i] > spec.FirstKey)
                {
                    database.Keys->PrefetchRecord(_hash[i]);
                }
            }
        }

        Run(session, keyspace, parsed);
        if (status == ParseStatus.Error && !session.IsClosing)
        {
            byte[] error = Encoding.UTF8.GetBytes("ERR " + Encoding.UTF8.GetString(parser.Error));
            session.Output.Error(error);
            _server.Stats.CountError(error);
            session.CloseAfterReply();
        }

        return status == ParseStatus.Complete;
    }

    private void Run(Session session, Keyspace keyspace, int parsed)
    {
        keyspace.Options.SuppressTouch = session.NoTouch;
        for (int i = 0; i < parsed && !session.IsClosing; i++)
        {
            RunOne(session, _specs[i], _args.Pointer + _first[i], _count[i], _hash[i]);
        }
    }

    /// <summary>Checks one command and runs or queues it.</summary>
    private void RunOne(Session session, CommandSpec? spec, Slice* args, int count, ulong hash)
    {
        if (session.ReplyMode != ReplyMode.On)
        {
            RunMuted(session, spec, args, count, hash);
        }
        else
        {
            Check(session, spec, args, count, hash);
        }

        // As with ASKING, CLIENT CACHING holds for one command, or one transaction.
        if (session is { Tracking: { } tracking, Transaction: null } && spec != ClientCommands.Client)
        {
            tracking.CachingGiven = false;
        }
    }

    private void RunMuted(Session session, CommandSpec? spec, Slice* args, int count, ulong hash)
    {
        ReplyMode mode = session.ReplyMode;
        long mark = session.Output.BytesWritten;
        Check(session, spec, args, count, hash);
        if (mode == ReplyMode.SkipNext && session.ReplyMode == ReplyMode.SkipNext)
        {
            session.ReplyMode = ReplyMode.On;
        }
        else if (session.ReplyMode != mode)
        {
            _server.SendPushesOfMuted();
            return;
        }

        // What SUBSCRIBE and its like answer are pushes, not replies.
        if (spec is not { AllowedWhileSubscribed: true, Group: CommandGroup.PubSub })
        {
            session.Output.Truncate(session.Output.Length - (session.Output.BytesWritten - mark));
        }

        _server.SendPushesOfMuted();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Check(Session session, CommandSpec? spec, Slice* args, int count, ulong hash)
    {
        _context.SetRetry(false);
        if (spec is null || spec.Subcommands.Length != 0)
        {
            spec = Resolve(session, spec, args, count);
            if (spec is null)
            {
                return;
            }
        }

        _context.Start(session, spec, args, count, spec.FirstKey == 0 ? -1 : spec.FirstKey, hash);
        if (spec.Parent is not null && spec.FirstKey > 0 && count > spec.FirstKey)
        {
            Slice key = args[spec.FirstKey];
            _context.Start(session, spec, args, count, spec.FirstKey, _context.Keyspace.KeyOf(key.Pointer, key.Length).Hash);
        }

        if (!spec.Accepts(count))
        {
            Refuse(session, spec, $"ERR wrong number of arguments for '{spec.FullName}' command");
            return;
        }

        if ((session.NeedsChecks || _server.NeedsChecks || (spec.Flags & CheckedFlags) != 0) && !Allowed(session, spec, args, count))
        {
            return;
        }

        if (session.Transaction is not null && !spec.Has(CommandFlags.NotQueued))
        {
            Transactions.Queue(_server, session, spec, args, count);
            session.Output.Queued();
            return;
        }

        if (session.Interactive is { } transaction)
        {
            CallInTransaction(session, transaction, spec);
            return;
        }

        Call(session, spec);
    }

    /// <summary>Runs a checked command between BEGIN and COMMIT. Where the transaction could not go on, its reply is why.</summary>
    private void CallInTransaction(Session session, InteractiveTransaction transaction, CommandSpec spec)
    {
        long mark = session.Output.BytesWritten;
        transaction.IsInUse = true;
        Call(session, spec);
        transaction.IsInUse = false;
        if (transaction.EndCommand() is { } problem && session.Interactive == transaction)
        {
            session.Output.Truncate(session.Output.Length - (session.Output.BytesWritten - mark));
            _context.Rebind();
            _context.Error(problem);
            _server.StatsOf(spec).Failed++;
        }
    }

    /// <summary>Runs a command that CLIENT PAUSE held back, through all checks, as if it had just arrived.</summary>
    internal void RunPostponed(Session session, QueuedCommand command)
    {
        Mimei mimei = session.Mimei;
        lock (mimei.Gate)
        {
            _server.Touch(mimei);
            mimei.Keyspace.NowMs = session.Keyspace.NowMs = _server.NowMs;
            CommandSpec spec = command.Spec.Parent ?? command.Spec;
            ulong hash = 0;
            if (spec.FirstKey > 0 && command.Count > spec.FirstKey)
            {
                Slice key = command.Args[spec.FirstKey];
                hash = mimei.Keyspace.KeyOf(key.Pointer, key.Length).Hash;
            }

            RunOne(session, spec, command.Args, command.Count, hash);
        }

        session.Connection.SendOutput();
    }

    /// <summary>Replies an error instead of running a command. It spoils the transaction that the command belongs to, and ends one that it was to run.</summary>
    private void Refuse(Session session, CommandSpec spec, string error)
    {
        Reject(session, spec);
        if (spec == TransactionCommands.Exec)
        {
            Transactions.End(session);
            error = "EXECABORT Transaction discarded because of: " + (error.StartsWith("ERR ", StringComparison.Ordinal) ? error[4..] : error);
        }

        _context.Error(error);
    }

    private void Refuse(Session session, CommandSpec spec, ReadOnlySpan<byte> error) => Refuse(session, spec, Encoding.UTF8.GetString(error));

    private void Reject(Session session, CommandSpec spec)
    {
        _server.StatsOf(spec).Rejected++;
        session.TransactionAborted |= session.Transaction is not null;
    }

    /// <summary>Finds the subcommand, or replies that there is no such command.</summary>
    private CommandSpec? Resolve(Session session, CommandSpec? spec, Slice* args, int count)
    {
        _context.Start(session, spec ?? CommandList.Unknown, args, count, -1, 0);
        if (session.IsRefused && !PassportCommands.IsLogin(spec, args, count))
        {
            _server.RefuseProtected(session);
            return null;
        }

        if (spec is null)
        {
            session.TransactionAborted |= session.Transaction is not null;
            if (args[0].EqualsIgnoreCase("host:"u8) || args[0].EqualsIgnoreCase("post"u8))
            {
                // A browser was tricked into talking to this port: Redis drops such connections without a word.
                session.IsClosing = true;
                session.Connection.Close(afterOutput: false);
                return null;
            }

            _context.Error(UnknownCommand(args, count));
            return null;
        }

        if (count == 1)
        {
            if (spec.Handler != null)
            {
                return spec;
            }

            Refuse(session, spec, $"ERR wrong number of arguments for '{spec.FullName}' command");
            return null;
        }

        CommandSpec? sub = CommandTable.FindSub(spec, args[1]);
        if (sub is null)
        {
            if (spec.Handler != null)
            {
                return spec;
            }

            Reject(session, spec);
            _context.Error($"ERR unknown subcommand '{Shorten(args[1], 128)}'. Try {spec.Name.ToUpperInvariant()} HELP.");
        }

        return sub;
    }

    private static string UnknownCommand(Slice* args, int count)
    {
        var rest = new StringBuilder();
        for (int i = 1; i < count && rest.Length < 128; i++)
        {
            string word = Shorten(args[i], 128 - rest.Length);
            rest.Append('\'').Append(word).Append("' ");
        }

        return $"ERR unknown command '{Shorten(args[0], 128)}', with args beginning with: {rest}";
    }

    // Up to a zero byte, as Redis prints it.
    private static string Shorten(Slice word, int length)
    {
        ReadOnlySpan<byte> text = word.Span[..Math.Min(word.Length, length)];
        int end = text.IndexOf((byte)0);
        return Encoding.Latin1.GetString(end < 0 ? text : text[..end]).Replace('\r', ' ').Replace('\n', ' ');
    }

    /// <summary>The checks that are seldom needed, or only by writes. False: an error was replied.</summary>
    private bool Allowed(Session session, CommandSpec spec, Slice* args, int count)
    {
        if (session.IsRefused && !PassportCommands.IsLogin(spec, args, count))
        {
            _server.RefuseProtected(session);
            return false;
        }

        if (session.IsSource && !IsOfStream(spec))
        {
            Refuse(session, spec, $"ERR '{spec.FullName}' has no place in the stream of a source");
            return false;
        }

        if (spec.Has(CommandFlags.Protected) && !_server.AllowsDebug(session))
        {
            Refuse(session, spec, Errors.DebugNotAllowed);
            return false;
        }

        if (session.NeedsLogin && !spec.Has(CommandFlags.NoAuth))
        {
            Refuse(session, spec, Errors.NoAuth);
            return false;
        }

        if (session.Transaction is not null && spec.Has(CommandFlags.NoMulti))
        {
            Refuse(session, spec, Errors.NotInTransaction);
            return false;
        }

        if (session.Interactive is { } transaction)
        {
            string? notInTransaction = transaction.Refusal(spec);
            if (_context.Keyspace != session.Keyspace)
            {
                // It cannot go on, and sees nothing more.
                _context.Rebind();
            }

            if (notInTransaction is not null)
            {
                Refuse(session, spec, notInTransaction);
                return false;
            }
        }

        if (session.IsRestricted
            && !_server.Users.Allows(session, spec, args, count, session.Transaction is null ? AclContext.TopLevel : AclContext.Multi, out string noPermission))
        {
            Refuse(session, spec, noPermission);
            return false;
        }

        if (_server.Scripts.IsBusy && !spec.Has(CommandFlags.AllowBusy))
        {
            Refuse(session, spec, _server.Scripts.BusyError);
            return false;
        }

        // EXEC is what it runs, and a script what it says of itself.
        CommandFlags flags = spec == TransactionCommands.Exec || spec == InteractiveCommands.Commit ? spec.Flags | session.TransactionFlags
            : spec.Has(CommandFlags.NoMandatoryKeys) ? _server.Scripts.FlagsOf(session.Mimei, spec, args, count) : spec.Flags;
        // What comes from a source is taken whatever it needs: its maxmemory is the source's business.
        if (_context.Keyspace.Options.MaxMemory != 0 && !session.Mimei.Keyspace.MakeRoom() && !session.IsSource
            && ((flags & CommandFlags.DenyOom) != 0 || (session.Transaction is not null && (flags & CommandFlags.NotQueued) == 0)))
        {
            Refuse(session, spec, Errors.OutOfMemory);
            return false;
        }

        if (session.Mimei.Tracking.ClientCount > 0)
        {
            session.Mimei.Tracking.Limit();
        }

        if ((flags & CommandFlags.Write) != 0 && !_server.LogAccepts(session, spec, args, count, out string? refusal))
        {
            session.LacksWrites |= session.IsSource;
            Refuse(session, spec, refusal);
            return false;
        }

        if (!session.IsSource && session.Mimei == _server.DefaultMimei && Refusal(spec == TransactionCommands.Exec ? flags & ~session.TransactionLacks | flags & CommandFlags.Write : flags) is { Length: > 0 } replicaRefusal)
        {
            Refuse(session, spec, replicaRefusal);
            return false;
        }

        if (session.SubscriptionCount > 0 && session.Output.Version == 2 && !spec.AllowedWhileSubscribed)
        {
            Refuse(session, spec, $"ERR Can't execute '{spec.FullName}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context");
            return false;
        }

        // The master's stream goes on, and so does what replicas say.
        if (_server.PausedUntilMs != 0 && !session.IsSource && session.Replica is null && (!_server.PausesWritesOnly || (flags & (CommandFlags.Write | CommandFlags.MayReplicate)) != 0))
        {
            _server.Postpone(session, new QueuedCommand(spec, args, count));
            return false;
        }

        return true;
    }

    /// <summary>Whether a master's stream or an append-only file may have such a command: it changes data, or says how to read what follows.</summary>
    private static bool IsOfStream(CommandSpec spec) =>
        (spec.Flags & (CommandFlags.Write | CommandFlags.MayReplicate)) != 0
        || (spec.Parent ?? spec).Name is "select" or "ping" or "multi" or "exec" or "discard" or "replconf" or "script";

    /// <summary>What replication does not allow at present: the error, or nothing.</summary>
    private ReadOnlySpan<byte> Refusal(CommandFlags flags)
    {
        RedisReplication.Replicator replication = _server.Replication;
        if ((flags & CommandFlags.Write) != 0 && replication.WriteRefusal is { Length: > 0 } refusal)
        {
            return refusal;
        }

        if ((flags & CommandFlags.Stale) == 0 && replication.IsStale)
        {
            return Errors.MasterDown;
        }

        return replication.Master is { IsLoading: true } && (flags & CommandFlags.Loading) == 0 ? Errors.Loading : default;
    }

    /// <summary>Runs a checked command: its effects are one entry, and clients that waited for them are served after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Call(Session session, CommandSpec spec)
    {
        _server.Running = session;
        session.LastCommand = spec;
        session.CommandCount++;
        _server.Stats.CommandsProcessed++;
        long calls = _server.StatsOf(spec).Calls++;
        if (!spec.IsQuick || _server.WatchesEveryCommand)
        {
            CallTimed(spec, 1);
        }
        else if (calls < TimedFromStart || calls % TimedEvery == 0)
        {
            CallTimed(spec, calls < TimedFromStart ? 1 : TimedEvery);
        }
        else
        {
            Invoke(spec);
        }

        if (session.Tracking is not null)
        {
            session.Mimei.Tracking.Remember(session, spec, _context.Args, _context.Count);
        }

        Finish(spec);
        if (session.Output.Length >= _server.Options.OutputAlertBytes)
        {
            _server.CloseIfOverLimit(session, _context.NowMs);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Invoke(CommandSpec spec)
    {
        if (_context.Keyspace.Source is null)
        {
            spec.Handler(_context);
        }
        else
        {
            InvokeReading(spec);
        }
    }

    /// <summary>Runs a handler whose keys are read from the disk as it asks for them: a block that is missing or damaged is an error of the command, and no more.</summary>
    private void InvokeReading(CommandSpec spec)
    {
        Session session = _context.Session;
        long mark = session.Output.BytesWritten;
        try
        {
            spec.Handler(_context);
        }
        catch (Versions.Tree.MissingBlockException e) when (session.Mimei.Fetch is { } fetch)
        {
            session.Output.Truncate(session.Output.Length - (session.Output.BytesWritten - mark));
            if (_context.CannotBlock)
            {
                _context.Error("ERR what it reads is on other nodes and not here yet, which a transaction or script cannot wait for; read it by itself first"u8);
                return;
            }

            // Others go on meanwhile; what it has read so far is here now, so that it gets further each time.
            Cid block = e.Link;
            _context.AsideAsync(cancellation => ReplicaWork.FetchAsync(fetch, block, cancellation), (c, _) => InvokeReading(spec));
        }
        catch (IOException e)
        {
            session.Output.Truncate(session.Output.Length - (session.Output.BytesWritten - mark));
            _context.Error($"ERR {e.Message.ReplaceLineEndings(" ")}");
        }
    }

    /// <summary>Runs a handler and takes note of how long it took, on behalf of <paramref name="weight"/> calls.</summary>
    private void CallTimed(CommandSpec spec, int weight)
    {
        Session session = _context.Session;
        Slice* args = _context.Args;
        int count = _context.Count, database = session.DatabaseIndex;
        bool isRetry = _context.IsRetry;
        RedisReplication.CommandFeed? feed = _context.Keyspace.Feed;
        long applied = feed?.Before(spec, args, count, _context.Keyspace.Effects) ?? 0;
        long start = Stopwatch.GetTimestamp();
        Invoke(spec);
        feed?.After(spec, args, count, database, applied, session.Mimei.Keyspace.Effects);
        if (!_context.DidBlock)
        {
            _server.Timed(session, spec, args, count, Stopwatch.GetTimestamp() - start, weight);
        }

        if (_server.Monitors.Count > 0 && !isRetry && (spec.Flags & (CommandFlags.SkipMonitor | CommandFlags.Admin)) == 0)
        {
            _server.Monitors.Feed(session, database, spec, args, count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Finish(CommandSpec spec)
    {
        Keyspace keyspace = _context.Keyspace;
        if (_server.Scripts.IsBusy)
        {
            // The entry that is open belongs to the script which waits for this turn to end.
            _server.SendLaterPushes();
            return;
        }

        if (keyspace.Effects.EndEntry())
        {
            _context.Session.Wrote();
        }

        if (keyspace.Feed is { } feed && feed.EndUnit())
        {
            _context.Session.WriteOffset = _server.Replication.Offset;
        }

        keyspace.DeleteNotedExpired();
        _server.SendLaterPushes();
        if (_context.Failed)
        {
            _server.StatsOf(spec).Failed++;
        }

        if (_context.DidBlock)
        {
            // It counts once, when it is served.
            _server.StatsOf(spec).Calls--;
        }

        if (keyspace.HasReady)
        {
            _server.Blocking.ServeReady(keyspace);
        }
    }

    /// <summary>Runs one command of an EXEC or script inside the running entry.</summary>
    internal void CallNested(Session session, QueuedCommand command)
    {
        CommandSpec spec = command.Spec;
        Slice* args = command.Args;
        ulong hash = 0;
        if (spec.FirstKey > 0 && command.Count > spec.FirstKey)
        {
            Slice key = args[spec.FirstKey];
            hash = session.Mimei.Keyspace.KeyOf(key.Pointer, key.Length).Hash;
        }

        _context.Start(session, spec, args, command.Count, spec.FirstKey == 0 ? -1 : spec.FirstKey, hash);
        session.CommandCount++;
        _server.Stats.CommandsProcessed++;
        _server.StatsOf(spec).Calls++;
        CallTimed(spec, 1);
        if (session.Tracking is not null)
        {
            session.Mimei.Tracking.Remember(session, spec, _context.Args, _context.Count);
        }

        if (_context.Failed)
        {
            _server.StatsOf(spec).Failed++;
        }

        if (_context.DidBlock)
        {
            _server.StatsOf(spec).Calls--;
        }
    }

    /// <summary>Runs a command that a script called, inside the running entry. What the script reads its caller has read.</summary>
    internal void CallFromScript(Session session, Session caller, CommandSpec spec, Slice* args, int count)
    {
        ulong hash = 0;
        if (spec.FirstKey > 0 && count > spec.FirstKey)
        {
            Slice key = args[spec.FirstKey];
            hash = session.Mimei.Keyspace.KeyOf(key.Pointer, key.Length).Hash;
        }

        if (_server.Monitors.Count > 0 && (spec.Flags & (CommandFlags.SkipMonitor | CommandFlags.Admin)) == 0)
        {
            _server.Monitors.Feed(session, session.DatabaseIndex, spec, args, count);
        }

        _context.Start(session, spec, args, count, spec.FirstKey == 0 ? -1 : spec.FirstKey, hash);
        _server.Stats.CommandsProcessed++;
        int database = session.DatabaseIndex;
        RedisReplication.CommandFeed? feed = _context.Keyspace.Feed;
        long applied = feed?.Before(spec, args, count, _context.Keyspace.Effects) ?? 0;
        long calls = _server.StatsOf(spec).Calls++;
        if (!spec.IsQuick || calls < TimedFromStart || calls % TimedEvery == 0)
        {
            long start = Stopwatch.GetTimestamp();
            Invoke(spec);
            _server.TimedInScript(spec, Stopwatch.GetTimestamp() - start, !spec.IsQuick || calls < TimedFromStart ? 1 : TimedEvery);
        }
        else
        {
            Invoke(spec);
        }

        feed?.After(spec, args, count, database, applied, _context.Keyspace.Effects);
        if (caller.Tracking is not null)
        {
            caller.Mimei.Tracking.Remember(caller, spec, args, count);
        }

        if (_context.Failed)
        {
            _server.StatsOf(spec).Failed++;
        }
    }

    /// <summary>Goes on with a command whose client waits for what is no key, and ends the wait.</summary>
    internal void Answer(Session session, BlockedState wait, Action<CommandContext> answer)
    {
        QueuedCommand command = wait.Command;
        Mimei mimei = session.Mimei;
        lock (mimei.Gate)
        {
            _server.Touch(mimei);
            mimei.Keyspace.NowMs = _server.NowMs;
            _context.SetRetry(false);
            _server.Running = session;
            _context.Start(session, command.Spec, command.Args, command.Count, -1, 0);
            CommandStats stats = _server.StatsOf(command.Spec);
            long mark = session.Output.BytesWritten;
            answer(_context);
            if (session.Blocked != wait)
            {
                // It waits for the next thing.
                _server.Blocking.Replaced(wait);
                return;
            }

            stats.Calls++;
            if (session.ReplyMode == ReplyMode.Off)
            {
                session.Output.Truncate(session.Output.Length - (session.Output.BytesWritten - mark));
            }

            stats.Failed += _context.Failed ? 1 : 0;
            if (mimei.Keyspace.Effects.EndEntry())
            {
                session.Wrote();
            }

            if (mimei.Keyspace.HasReady)
            {
                _server.Blocking.ServeReady(mimei.Keyspace);
            }

            _server.SendLaterPushes();
        }

        _server.Blocking.Remove(session);
        session.Connection.SendOutput();
    }

    /// <summary>Runs a blocked client's command again. True when it was served (or failed): it need not wait any longer.</summary>
    internal bool Retry(Session session, QueuedCommand command)
    {
        _context.SetRetry(true);
        _server.Running = session;
        int selected = session.DatabaseIndex;
        session.DatabaseIndex = session.Blocked!.Database;
        if (session.IsRestricted && !_server.Users.Allows(session, command.Spec, command.Args, command.Count, AclContext.TopLevel, out string noPermission))
        {
            // Its rights were taken away while it waited.
            _context.Start(session, command.Spec, command.Args, command.Count, -1, 0);
            _server.StatsOf(command.Spec).Rejected++;
            _context.Error(noPermission);
        }
        else
        {
            CallNested(session, command);
        }

        session.DatabaseIndex = selected;
        _context.SetRetry(false);
        bool served = !_context.DidBlock;
        if (session.Mimei.Keyspace.Effects.EndEntry())
        {
            session.Wrote();
        }

        session.Mimei.Keyspace.Feed?.EndUnit();
        session.Mimei.Keyspace.DeleteNotedExpired();
        _server.SendLaterPushes();
        return served;
    }
}
