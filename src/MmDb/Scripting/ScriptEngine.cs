using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Leither.Lua;
using Leither.MmDb.Acl;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.Resp;

namespace Leither.MmDb.Scripting;

/// <summary>
/// One Lua world with Redis's library in it. There is one for EVAL, and one for the functions of each MiMei that has any. Its globals are locked before the first
/// script runs, so that no script can leave anything behind for the next one.
/// </summary>
internal sealed unsafe class ScriptEngine : IDisposable
{
    /// <summary>Room for arguments of commands that is kept between calls.</summary>
    private const int KeptScratchBytes = 64 * 1024;

    private readonly Server _server;
    private readonly Session _session;
    private readonly RespWriter _output = new();
    private byte* _scratch;
    private long _scratchBytes;

    /// <summary>A world.</summary>
    /// <param name="server">The server.</param>
    /// <param name="functions">Whose functions run in it; null: EVAL's scripts do.</param>
    public ScriptEngine(Server server, FunctionLibraries? functions)
    {
        _server = server;
        _session = server.OpenScriptSession(new ScriptConnection(_output));
        State = new LuaState { Hook = server.Scripts.Interrupt };
        LuaLibraries.OpenForRedis(State);
        LuaTable globals = State.Globals, redis = State.NewTable();
        State.Register(globals, "pcall", ProtectedCall);
        State.Register(redis, "call", t => Call(t, raises: true));
        State.Register(redis, "pcall", t => Call(t, raises: false));
        AddLogAndVersion(redis);
        State.Register(redis, "setresp", SetResp);
        State.Register(redis, "sha1hex", Sha1Hex);
        State.Register(redis, "error_reply", ErrorReply);
        State.Register(redis, "status_reply", StatusReply);
        State.Register(redis, "set_repl", SetReplication);
        redis.Set(LuaState.Name("REPL_NONE"), 0.0);
        redis.Set(LuaState.Name("REPL_AOF"), 1.0);
        redis.Set(LuaState.Name("REPL_SLAVE"), 2.0);
        redis.Set(LuaState.Name("REPL_REPLICA"), 2.0);
        redis.Set(LuaState.Name("REPL_ALL"), 3.0);
        State.Register(redis, "acl_check_cmd", CheckRights);
        if (functions is null)
        {
            State.Register(redis, "breakpoint", static t => t.Return(false));
            State.Register(redis, "debug", static _ => 0);
            State.Register(redis, "replicate_commands", static t => t.Return(true));
        }

        globals.Set(LuaState.Name("redis"), redis);
        Handler = State.NewFunction(HandleError);
        if (functions is null)
        {
            globals.Set(LuaState.Name("__redis__err__handler"), Handler);
        }

        RefuseUnknown(globals);
        Lock(globals);
        Lock(State.StringMetatable!);
        if (functions is not null)
        {
            // What functions take for the globals is a table of its own that looks things up in the real ones; while a library loads, in another that knows how to register.
            LuaTable loadRedis = State.NewTable();
            State.Register(loadRedis, "register_function", t => functions.RegisterFunction(t));
            AddLogAndVersion(loadRedis);
            RefuseUnknown(loadRedis);
            LoadGlobals = State.NewTable();
            LoadGlobals.Set(LuaState.Name("redis"), loadRedis);
            RefuseUnknown(LoadGlobals);
            Lock(LoadGlobals);
            _lookup = State.NewTable();
            _lookup.Set(s_index, globals);
            _lookup.IsReadOnly = true;
            LuaTable shown = State.NewTable();
            shown.Metatable = _lookup;
            shown.IsReadOnly = true;
            State.Registry.Set(LuaState.Name("globals"), shown);
            State.Registry.Set(LuaState.Name("load globals"), LoadGlobals);
            State.Main.Environment = shown;
        }
    }

    private static readonly LuaString s_index = LuaState.Name("__index"), s_keys = LuaState.Name("KEYS"), s_argv = LuaState.Name("ARGV");
    private readonly LuaTable? _lookup;

    /// <summary>The world.</summary>
    public LuaState State { get; }
    /// <summary>Sees every error where it happens and notes the place.</summary>
    public LuaFunction Handler { get; }
    private LuaTable? LoadGlobals { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_scratch);
        _scratch = null;
        _output.Dispose();
        _session.Parser.Dispose();
    }

    /// <summary>Compiles a script.</summary>
    public LuaClosure Load(ReadOnlySpan<byte> text, string chunkName)
    {
        LuaClosure closure = State.Load(text, chunkName);
        closure.Environment = State.Main.Environment;
        return closure;
    }

    /// <summary>While a library loads, its globals are those that know how to register.</summary>
    public void ShowLoadGlobals(bool loading) => _lookup!.Set(s_index, loading ? LoadGlobals! : State.Globals);

    /// <summary>Runs a script and replies what it returns. The context is as before afterwards.</summary>
    public void Run(CommandContext c, ScriptRun run, LuaClosure function, int keyCount)
    {
        Session caller = c.Session;
        CommandSpec spec = c.Spec;
        Slice* args = c.Args;
        int count = c.Count;
        _session.Mimei = caller.Mimei;
        _session.Keyspace = caller.Keyspace;
        _session.DatabaseIndex = caller.DatabaseIndex;
        _session.User = caller.User;
        _session.NoTouch = caller.NoTouch;
        _output.Version = 2;
        bool before = c.EnterAtomic();
        LuaValue result = default;
        LuaException? failure = null;
        try
        {
            LuaTable keys = Words(args + 3, keyCount), rest = Words(args + 3 + keyCount, count - 3 - keyCount);
            if (run.IsEval)
            {
                State.Globals.Set(s_keys, keys);
                State.Globals.Set(s_argv, rest);
                result = State.Main.Call(function, Handler);
            }
            else
            {
                result = State.Main.Call(function, Handler, keys, rest);
            }
        }
        catch (LuaException e)
        {
            failure = e;
        }

        c.LeaveAtomic(before);
        c.Start(caller, spec, args, count, -1, 0);
        _session.Mimei = _server.DefaultMimei;
        var builder = new ReplyBuilder(c, _output.Version);
        if (failure is null)
        {
            builder.Write(result);
        }
        else
        {
            builder.WriteFailure(failure.Value, run.Name);
        }
    }

    private LuaTable Words(Slice* words, int count)
    {
        LuaTable table = State.NewTable(count);
        for (int i = 0; i < count; i++)
        {
            table.Set(i + 1, State.NewString(words[i].Span));
        }

        return table;
    }

    /// <summary>A table's missing fields are errors.</summary>
    private void RefuseUnknown(LuaTable table)
    {
        LuaTable metatable = State.NewTable();
        State.Register(metatable, "__index", static t =>
        {
            if (t.ArgCount != 2)
            {
                throw t.Error("Wrong number of arguments to luaProtectedTableError");
            }

            if (t[2].ToStringOrNull() is not { } name)
            {
                throw t.Error("Second argument to luaProtectedTableError must be a string or number");
            }

            throw t.Error($"Script attempted to access nonexistent global variable '{name}'");
        });
        table.Metatable = metatable;
    }

    /// <summary>A table and all that can be reached from it can no longer be changed.</summary>
    private static void Lock(LuaTable table)
    {
        if (table.IsReadOnly)
        {
            return;
        }

        table.IsReadOnly = true;
        int position = 0;
        while (table.NextAt(ref position, out _, out LuaValue value))
        {
            if (value.TryTable(out LuaTable? inner))
            {
                Lock(inner);
            }
        }

        if (table.Metatable is { } metatable)
        {
            Lock(metatable);
        }
    }

    private void AddLogAndVersion(LuaTable redis)
    {
        State.Register(redis, "log", Log);
        redis.Set(LuaState.Name("LOG_DEBUG"), 0.0);
        redis.Set(LuaState.Name("LOG_VERBOSE"), 1.0);
        redis.Set(LuaState.Name("LOG_NOTICE"), 2.0);
        redis.Set(LuaState.Name("LOG_WARNING"), 3.0);
        Version version = Version.Parse(ServerOptions.RedisVersion);
        redis.Set(LuaState.Name("REDIS_VERSION_NUM"), (double)((version.Major << 16) | (version.Minor << 8) | version.Build));
        redis.Set(LuaState.Name("REDIS_VERSION"), new LuaString(ServerOptions.RedisVersion));
    }

    // What scripts call

    /// <summary>An error as redis.* functions raise it.</summary>
    public static LuaException Failure(LuaThread t, string message) => t.Raise(ReplyReader.Error(t.State, Encoding.Latin1.GetBytes("ERR " + message)));

    private static int Fail(LuaThread t, bool raises, string message, bool isCounted = false)
    {
        LuaTable error = ReplyReader.Error(t.State, Encoding.Latin1.GetBytes(message));
        if (isCounted)
        {
            error.Set(ReplyField.IsCounted, true);
        }

        return raises ? throw t.Raise(error) : t.Return(error);
    }

    /// <summary>Notes where an error happened: in the Lua code that raised it, or that called the native which did.</summary>
    private int HandleError(LuaThread t)
    {
        LuaValue error = t[1];
        if (!error.TryTable(out LuaTable? table))
        {
            string text = error.ToStringOrNull()?.ToString() ?? (error.IsNil ? "nil" : error.IsBoolean ? (error.IsFalsy ? "false" : "true") : "(error object)");
            table = State.NewTable(0, 3);
            table.Set(ReplyField.Err, new LuaString(Encoding.Latin1.GetBytes("ERR " + text)));
        }

        if (t.TryFrame(1, out string source, out int line) && (source != "=[C]" || t.TryFrame(2, out source, out line)) && !table.IsReadOnly)
        {
            table.Set(ReplyField.Source, new LuaString(Encoding.Latin1.GetBytes(source)));
            table.Set(ReplyField.Line, (double)line);
        }

        return t.Return(table);
    }

    /// <summary>pcall that gives the message of an error table, as it was before errors were tables.</summary>
    private static int ProtectedCall(LuaThread t)
    {
        int count = t.ProtectedCall(out LuaException? error);
        if (error is null)
        {
            return count;
        }

        LuaValue value = error.Value;
        if (value.TryTable(out LuaTable? table) && table.Get(ReplyField.Err) is { } message && message.ToStringOrNull() is not null)
        {
            value = message;
        }

        t.Push(false);
        t.Push(value);
        return 2;
    }

    private int Call(LuaThread t, bool raises)
    {
        if (!TryWords(t, out Slice* args, out int count, out string? problem))
        {
            return Fail(t, raises, problem);
        }

        ScriptRun run = _server.Scripts.Current!;
        string? refusal = Refusal(run, args, count, out CommandSpec? spec);
        if (refusal is not null)
        {
            _server.Stats.CountError(Encoding.Latin1.GetBytes(refusal));
            if (spec is not null)
            {
                _server.StatsOf(spec).Rejected++;
            }

            return Fail(t, raises, refusal, isCounted: true);
        }

        _server.Dispatcher.CallFromScript(_session, run.Caller, spec!, args, count);
        LuaValue reply;
        bool isError;
        if (_output.Length == 0)
        {
            return 0;
        }

        isError = *_output.Data == '-';
        reply = new ReplyReader(t, _output.Data).Read();
        _output.Consume(_output.Length);
        if (_scratchBytes > KeptScratchBytes)
        {
            NativeMemory.Free(_scratch);
            _scratch = null;
            _scratchBytes = 0;
        }

        return isError && raises ? throw t.Raise(reply) : t.Return(reply);
    }

    /// <summary>Copies the arguments of the running native to where they do not move.</summary>
    private bool TryWords(LuaThread t, out Slice* args, out int count, [System.Diagnostics.CodeAnalysis.NotNullWhen(false)] out string? problem)
    {
        count = t.ArgCount;
        args = null;
        if (count == 0)
        {
            problem = "ERR Please specify at least one argument for this redis lib call";
            return false;
        }

        long bytes = (long)count * sizeof(Slice);
        for (int i = 1; i <= count; i++)
        {
            LuaValue value = t[i];
            if (value.TryString(out LuaString? text))
            {
                bytes += text.Length;
            }
            else if (value.IsNumber)
            {
                bytes += RespDouble.MaxLength;
            }
            else
            {
                problem = "ERR Lua redis lib command arguments must be strings or integers";
                return false;
            }
        }

        if (bytes > _scratchBytes)
        {
            _scratchBytes = Math.Max(bytes, 1024);
            _scratch = (byte*)NativeMemory.Realloc(_scratch, (nuint)_scratchBytes);
        }

        args = (Slice*)_scratch;
        byte* place = _scratch + ((long)count * sizeof(Slice));
        for (int i = 0; i < count; i++)
        {
            LuaValue value = t[i + 1];
            int length;
            if (value.TryString(out LuaString? text))
            {
                length = text.Length;
                text.Span.CopyTo(new Span<byte>(place, length));
            }
            else
            {
                double number = value.Number;
                long whole = LuaNumber.ToInt64(number);
                if (whole == number && Math.Abs(number) < 9007199254740992.0)
                {
                    System.Buffers.Text.Utf8Formatter.TryFormat(whole, new Span<byte>(place, RespDouble.MaxLength), out length);
                }
                else
                {
                    length = RespDouble.Format(number, place);
                }
            }

            args[i] = new Slice(place, length);
            place += length;
        }

        problem = null;
        return true;
    }

    /// <summary>Why a command may not run; null: it may.</summary>
    private string? Refusal(ScriptRun run, Slice* args, int count, out CommandSpec? spec)
    {
        spec = Find(args, count);
        if (spec is null)
        {
            return "ERR Unknown Redis command called from script";
        }

        if (!spec.Accepts(count) || spec.Handler == null)
        {
            return "ERR Wrong number of args calling Redis command from script";
        }

        CommandFlags flags = spec.Flags;
        if ((flags & CommandFlags.NoScript) != 0 && !_server.Scripts.AllowsNoScript)
        {
            return "ERR This Redis command is not allowed from script";
        }

        if (run.Caller.Interactive is not null && InteractiveTransaction.RefusalOf(spec) is { } notInTransaction)
        {
            return notInTransaction;
        }

        if ((flags & CommandFlags.Stale) == 0 && _server.Replication.Concerns(run.Caller) && _server.Replication.IsStale)
        {
            return "ERR Can not execute the command on a stale replica";
        }

        if (run.Caller.IsRestricted && !_server.Users.Allows(run.Caller, spec, args, count, AclContext.Lua, out string noPermission))
        {
            return "ERR ACL failure in script: " + noPermission["NOPERM ".Length..];
        }

        if (run.IsReadOnly && (flags & (CommandFlags.Write | CommandFlags.MayReplicate)) != 0)
        {
            return "ERR Write commands are not allowed from read-only scripts.";
        }

        if ((flags & (CommandFlags.Write | CommandFlags.DenyOom)) != 0 && !run.HasWritten)
        {
            // What has begun to write is not stopped half way.
            if ((flags & CommandFlags.Write) != 0 && !run.Caller.IsSource && _server.Replication.Concerns(run.Caller) && _server.Replication.WriteRefusal is { Length: > 0 } notNow)
            {
                return Encoding.UTF8.GetString(notNow);
            }

            if ((flags & CommandFlags.Write) != 0 && !_server.LogAccepts(run.Caller, spec, args, count, out string? refusal))
            {
                return refusal;
            }

            if ((flags & CommandFlags.DenyOom) != 0 && run.IsOutOfMemory && !run.AllowsOom)
            {
                return Encoding.UTF8.GetString(Errors.OutOfMemory);
            }
        }

        run.HasWritten |= (flags & CommandFlags.Write) != 0;
        return null;
    }

    private CommandSpec? Find(Slice* args, int count)
    {
        CommandSpec? spec = _server.Commands.Find(args[0]);
        if (spec is null || spec.Subcommands.Length == 0 || count == 1)
        {
            return spec;
        }

        return CommandTable.FindSub(spec, args[1]) ?? (spec.Handler != null ? spec : null);
    }

    private int CheckRights(LuaThread t)
    {
        if (!TryWords(t, out Slice* args, out int count, out string? problem))
        {
            return Fail(t, raises: true, problem);
        }

        if (Find(args, count) is not { } spec)
        {
            throw Failure(t, "Invalid command passed to redis.acl_check_cmd()");
        }

        return t.Return(_server.Users.WouldRefuse(_server.Scripts.Current!.Caller.User, spec, args, count) is null);
    }

    private static int Sha1Hex(LuaThread t)
    {
        if (t.ArgCount != 1)
        {
            throw Failure(t, "wrong number of arguments");
        }

        ReadOnlySpan<byte> text = t[1].ToStringOrNull() is { } given ? given.Span : [];
        return t.Return(new LuaString(Sha1(text)));
    }

    /// <summary>The digest by which scripts are known.</summary>
    public static string Sha1(ReadOnlySpan<byte> text)
    {
        Span<byte> digest = stackalloc byte[20];
#pragma warning disable CA5350 // The digest names scripts: it is part of the protocol.
        SHA1.HashData(text, digest);
#pragma warning restore CA5350
        return Convert.ToHexStringLower(digest);
    }

    private static int ErrorReply(LuaThread t)
    {
        if (t.ArgCount != 1 || !t[1].TryString(out LuaString? text))
        {
            return Fail(t, raises: false, "ERR wrong number or type of arguments");
        }

        ReadOnlySpan<byte> span = text.Span;
        int zero = span.IndexOf((byte)0);
        span = zero < 0 ? span : span[..zero];
        return t.Return(ReplyReader.Error(t.State, span.StartsWith("-"u8) ? span[1..] : span));
    }

    private static int StatusReply(LuaThread t)
    {
        if (t.ArgCount != 1 || !t[1].TryString(out LuaString? text))
        {
            return Fail(t, raises: false, "ERR wrong number or type of arguments");
        }

        LuaTable status = t.State.NewTable(0, 1);
        status.Set(ReplyField.Ok, text);
        return t.Return(status);
    }

    /// <summary>What a script changes is logged as it is, always: parts of it could not be left out and still be the same data.</summary>
    private static int SetReplication(LuaThread t)
    {
        if (t.ArgCount != 1)
        {
            throw Failure(t, "redis.set_repl() requires one argument.");
        }

        t[1].TryToNumber(out double flags);
        return ((int)LuaNumber.ToInt64(flags) & ~3) == 0
            ? 0
            : throw Failure(t, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    }

    private int SetResp(LuaThread t)
    {
        if (t.ArgCount != 1)
        {
            throw Failure(t, "redis.setresp() requires one argument.");
        }

        t[1].TryToNumber(out double number);
        int version = (int)LuaNumber.ToInt64(number);
        if (version is not (2 or 3))
        {
            throw Failure(t, "RESP version must be 2 or 3.");
        }

        _output.Version = version;
        return 0;
    }

    private int Log(LuaThread t)
    {
        if (t.ArgCount < 2)
        {
            throw Failure(t, "redis.log() requires two arguments or more.");
        }

        if (!t[1].TryToNumber(out double number))
        {
            throw Failure(t, "First argument must be a number (log level).");
        }

        int level = (int)LuaNumber.ToInt64(number);
        if (level is < 0 or > 3)
        {
            throw Failure(t, "Invalid debug level.");
        }

        int verbosity = _server.Settings.Show(ConfigKeys.LogLevel) switch { "debug" => 0, "verbose" => 1, "notice" => 2, _ => 3 };
        if (level < verbosity)
        {
            return 0;
        }

        var text = new StringBuilder();
        for (int i = 2; i <= t.ArgCount; i++)
        {
            if (t[i].ToStringOrNull() is { } word)
            {
                text.Append(i > 2 ? " " : "").Append(word);
            }
        }

        _server.Warn?.Invoke(text.ToString());
        return 0;
    }

    /// <summary>What carries a script's session: its output is read by the script.</summary>
    private sealed class ScriptConnection(RespWriter output) : IClientConnection
    {
        public string RemoteAddress => "lua";
        public string LocalAddress => "lua";
        public long Descriptor => -1;
        public bool IsLocal => true;
        public bool IsUnixSocket => false;
        public RespWriter Output => output;
        public long InputBytes => 0;
        public long InputCapacity => 0;

        public void SendOutput()
        {
        }

        public void Close(bool afterOutput)
        {
        }

        public void Pause()
        {
        }

        public void Resume()
        {
        }
    }
}
