using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Leither.Lua;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.Resp;

namespace Leither.MmDb.Scripting;

/// <summary>A script in the cache.</summary>
internal sealed record CachedScript(LuaClosure Function, ScriptFlags Flags, int BodyBytes);

/// <summary>A function of a library.</summary>
internal sealed record Function(string Name, string Library, LuaClosure Body, byte[]? Description, ScriptFlags Flags);

/// <summary>A library, compiled.</summary>
internal sealed class Library(string name, byte[] code)
{
    public string Name { get; } = name;
    public byte[] Code { get; } = code;
    public List<Function> Functions { get; } = [];
}

/// <summary>
/// What a server knows of scripts: the cache of EVAL, the functions, and the one that runs. While a script runs for longer than
/// busy-reply-threshold the server's loop is entered again from within it now and then: others are answered BUSY, and may kill it
/// as long as it has not written.
/// </summary>
internal sealed unsafe class Scripts(Server server) : IDisposable
{
    /// <summary>Milliseconds that loading a library may take.</summary>
    private const int LoadLimitMs = 500;

    private readonly Dictionary<string, CachedScript> _cache = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Library> _libraries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Function> _functions = new(StringComparer.OrdinalIgnoreCase);
    private ScriptEngine? _evalEngine;
    private ScriptEngine? _functionEngine;
    private Library? _loading;
    private long _loadStartedAt;
    private long _catalogVersion;

    /// <summary>The run that goes on, if any.</summary>
    public ScriptRun? Current { get; private set; }
    /// <summary>Whether a script runs for longer than it should.</summary>
    public bool IsBusy => Current is { IsBusy: true };
    /// <summary>Commands that are no script's business may run all the same (DEBUG SET-DISABLE-DENY-SCRIPTS).</summary>
    public bool AllowsNoScript { get; set; }

    public int CachedCount => _cache.Count;
    public long CachedBytes => _cache.Sum(static s => s.Value.BodyBytes + 200L);
    public int FunctionCount => Synchronized()._functions.Count;
    public int LibraryCount => Synchronized()._libraries.Count;
    /// <summary>Bytes that are alive in the world of EVAL; counted, so for people's eyes only.</summary>
    public long EvalEngineBytes => Current is null ? _evalEngine?.State.Recount() ?? 0 : _evalEngine?.State.UsedBytes ?? 0;
    public long FunctionEngineBytes => Current is null ? _functionEngine?.State.Recount() ?? 0 : _functionEngine?.State.UsedBytes ?? 0;
    public long LibraryBytes => _libraries.Values.Sum(static l => l.Code.Length + 200L);
    public IEnumerable<Library> Libraries => Synchronized()._libraries.Values;

    private ScriptEngine EvalEngine => _evalEngine ??= new ScriptEngine(server, forFunctions: false);
    private ScriptEngine FunctionEngine => _functionEngine ??= new ScriptEngine(server, forFunctions: true);
    private FunctionCatalog Catalog => server.Mimei.Keyspace.Functions;

    public void Dispose()
    {
        _evalEngine?.Dispose();
        _functionEngine?.Dispose();
    }

    // EVAL

    public bool IsCached(string digest) => _cache.ContainsKey(digest);

    public bool TryGet(string digest, [NotNullWhen(true)] out CachedScript? script) => _cache.TryGetValue(digest, out script);

    /// <summary>Compiles a script into the cache, if it is not there; otherwise the error.</summary>
    public string? Add(ReadOnlySpan<byte> body, string digest, out CachedScript script)
    {
        if (_cache.TryGetValue(digest, out script!))
        {
            return null;
        }

        if (Shebang.ReadEval(body, out ScriptFlags flags, out int skipped) is { } problem)
        {
            return problem;
        }

        try
        {
            // The first line's end stays, so that lines are counted as the user counts them.
            script = new CachedScript(EvalEngine.Load(body[skipped..], "@user_script"), flags, body.Length);
        }
        catch (LuaException e)
        {
            return "ERR Error compiling script (new function): " + e.Value.ToStringOrNull();
        }

        _cache.Add(digest, script);
        return null;
    }

    /// <summary>Forgets all scripts, and the world in which they ran.</summary>
    public void FlushCache()
    {
        _cache.Clear();
        _evalEngine?.Dispose();
        _evalEngine = null;
    }

    /// <summary>Runs a cached script on behalf of a command.</summary>
    public void Run(CommandContext c, CachedScript script, string digest, int keyCount, bool readOnly) =>
        Run(c, EvalEngine, script.Function, script.Flags, digest, keyCount, readOnly, isEval: true);

    /// <summary>What calling a script counts as: what the script declares, or what the command says where it declares nothing or is not known.</summary>
    public CommandFlags FlagsOf(CommandSpec spec, Slice* args, int count)
    {
        ScriptFlags declared = ScriptFlags.Undeclared;
        if (count > 1)
        {
            Slice word = args[1];
            if (spec == FunctionCommands.Call || spec == FunctionCommands.CallReadOnly)
            {
                declared = TryGetFunction(word.ToString(), out Function? function) ? function.Flags : declared;
            }
            else if (spec == ScriptCommands.EvalSha || spec == ScriptCommands.EvalShaReadOnly)
            {
                // In a buffer, for this is on the way of every call.
                Span<char> digest = stackalloc char[ScriptCommands.DigestLength];
                if (word.Length == digest.Length)
                {
                    for (int i = 0; i < digest.Length; i++)
                    {
                        digest[i] = char.ToLowerInvariant((char)word.Span[i]);
                    }

                    declared = _cache.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(digest, out CachedScript? script) ? script.Flags : declared;
                }
            }
            else if (Shebang.ReadEval(word.Span, out ScriptFlags read, out _) is null)
            {
                declared = read;
            }
        }

        if ((declared & ScriptFlags.Undeclared) != 0)
        {
            return spec.Flags;
        }

        CommandFlags flags = spec.Flags & ~(CommandFlags.Stale | CommandFlags.DenyOom | CommandFlags.Write | CommandFlags.MayReplicate);
        bool writes = (declared & ScriptFlags.NoWrites) == 0;
        flags |= writes ? CommandFlags.Write : 0;
        flags |= writes && (declared & ScriptFlags.AllowOom) == 0 ? CommandFlags.DenyOom : 0;
        return (declared & ScriptFlags.AllowStale) != 0 ? flags | CommandFlags.Stale : flags;
    }

    // FCALL

    public bool TryGetFunction(string name, [NotNullWhen(true)] out Function? function) => Synchronized()._functions.TryGetValue(name, out function);

    public void Run(CommandContext c, Function function, int keyCount, bool readOnly) =>
        Run(c, FunctionEngine, function.Body, function.Flags, function.Name, keyCount, readOnly, isEval: false);

    private void Run(CommandContext c, ScriptEngine engine, LuaClosure body, ScriptFlags flags, string name, int keyCount, bool readOnly, bool isEval)
    {
        bool declares = (flags & ScriptFlags.Undeclared) == 0;
        bool isOutOfMemory = c.Keyspace.Options.MaxMemory != 0 && !c.Keyspace.MakeRoom();
        if (server.Replication.IsStale && (flags & ScriptFlags.AllowStale) == 0)
        {
            c.Error(declares
                ? "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not set on the script."u8
                : Errors.MasterDown);
            return;
        }

        if (declares)
        {
            if ((flags & ScriptFlags.NoWrites) == 0)
            {
                if (!server.LogAccepts(c.Session, c.Args, c.Count, out string? refusal))
                {
                    c.Error(refusal);
                    return;
                }

                if (readOnly)
                {
                    c.Error("ERR Can not execute a script with write flag using *_ro command."u8);
                    return;
                }
            }

            if (isOutOfMemory && (flags & (ScriptFlags.AllowOom | ScriptFlags.NoWrites)) == 0)
            {
                c.Error("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"u8);
                return;
            }
        }

        var run = new ScriptRun
        {
            Caller = c.Session,
            Name = name,
            Args = c.Args,
            ArgCount = c.Count,
            IsEval = isEval,
            IsReadOnly = readOnly || (declares && (flags & ScriptFlags.NoWrites) != 0),
            AllowsOom = declares && (flags & ScriptFlags.AllowOom) != 0,
            IsOutOfMemory = isOutOfMemory,
        };
        Current = run;
        try
        {
            engine.Run(c, run, body, keyCount);
        }
        finally
        {
            Current = null;
            if (run.IsBusy)
            {
                server.CheckAsNeeded();
            }
        }
    }

    /// <summary>Called from within running scripts, now and then.</summary>
    public void Interrupt(LuaThread thread)
    {
        if (_loading is not null)
        {
            if (Stopwatch.GetElapsedTime(_loadStartedAt).TotalMilliseconds > LoadLimitMs)
            {
                throw new LuaAbortException(ReplyReader.Error(thread.State, "ERR FUNCTION LOAD timeout"u8));
            }

            return;
        }

        if (Current is not { } run)
        {
            return;
        }

        if (!run.IsBusy)
        {
            long limit = server.Settings.Get(ConfigKeys.BusyReplyThreshold);
            if (limit <= 0 || run.ElapsedMs < limit)
            {
                return;
            }

            server.Warn?.Invoke(
                $"Slow script detected: still in execution after {run.ElapsedMs} milliseconds. You can try killing the script using the "
                + $"{(run.IsEval ? "SCRIPT KILL" : "FUNCTION KILL")} command. Script name is: {run.Name}.");
            run.IsBusy = true;
            server.CheckAsNeeded();
        }

        server.EnterLoop();
        if (run.IsKilled)
        {
            server.Warn?.Invoke("Lua script killed by user with SCRIPT KILL.");
            throw Ended(thread, "ERR Script killed by user with SCRIPT KILL..."u8);
        }

        if (server.Shutdown is not null)
        {
            // The server goes down without the script: of what it has done nothing is logged.
            if (server.Mimei.Log is { InEntry: true, CanAbandon: true } log)
            {
                log.Abandon();
            }

            throw Ended(thread, "ERR The server is shutting down"u8);
        }
    }

    private static LuaAbortException Ended(LuaThread thread, ReadOnlySpan<byte> text)
    {
        LuaTable error = ReplyReader.Error(thread.State, text);
        if (thread.TryFrame(0, out string source, out int line) && (source != "=[C]" || thread.TryFrame(1, out source, out line)))
        {
            error.Set(ReplyField.Source, new LuaString(source));
            error.Set(ReplyField.Line, (double)line);
        }

        return new LuaAbortException(error);
    }

    /// <summary>What others are told while a script is busy.</summary>
    public ReadOnlySpan<byte> BusyError => Current is { IsEval: false } ? Errors.BusyFunction : Errors.BusyScript;

    /// <summary>Ends the running script, if it may be ended.</summary>
    public void Kill(CommandContext c, bool isEval)
    {
        if (Current is not { } run)
        {
            c.Error("NOTBUSY No scripts in execution right now."u8);
        }
        else if (run.HasWritten)
        {
            c.Error(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."u8);
        }
        else if (isEval != run.IsEval)
        {
            c.Error(BusyError);
        }
        else
        {
            run.IsKilled = true;
            c.Reply.Ok();
        }
    }

    // Functions

    /// <summary>Compiles what replay or another way has put into the catalog.</summary>
    private Scripts Synchronized()
    {
        if (_catalogVersion == Catalog.Version)
        {
            return this;
        }

        _libraries.Clear();
        _functions.Clear();
        _functionEngine?.Dispose();
        _functionEngine = null;
        foreach ((string name, byte[] code) in Catalog.Libraries)
        {
            if (Compile(code, _ => false, out Library library) is { } problem)
            {
                server.Warn?.Invoke($"The function library {name} does not compile: {problem}");
            }
            else
            {
                Link(library);
            }
        }

        _catalogVersion = Catalog.Version;
        return this;
    }

    private void Link(Library library)
    {
        Unlink(library.Name);
        _libraries.Add(library.Name, library);
        foreach (Function function in library.Functions)
        {
            _functions[function.Name] = function;
        }
    }

    private void Unlink(string name)
    {
        if (_libraries.Remove(name, out Library? library))
        {
            foreach (Function function in library.Functions)
            {
                _functions.Remove(function.Name);
            }
        }
    }

    /// <summary>Compiles a library and lets it register its functions; otherwise the error.</summary>
    public string? Compile(byte[] code, Func<string, bool> isTaken, out Library library)
    {
        library = null!;
        if (Shebang.ReadLibrary(code, out string engine, out string name, out int skipped) is { } problem)
        {
            return problem;
        }

        if (!Shebang.IsName(name))
        {
            return "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
        }

        if (!engine.Equals("lua", StringComparison.OrdinalIgnoreCase))
        {
            return $"ERR Engine '{engine}' not found";
        }

        if (isTaken(name))
        {
            return $"ERR Library '{name}' already exists";
        }

        ScriptEngine lua = FunctionEngine;
        LuaClosure chunk;
        try
        {
            chunk = lua.Load(code.AsSpan(skipped), "@user_function");
        }
        catch (LuaException e)
        {
            return "ERR Error compiling function: " + e.Value.ToStringOrNull();
        }

        library = _loading = new Library(name, code);
        _loadStartedAt = Stopwatch.GetTimestamp();
        lua.ShowLoadGlobals(true);
        try
        {
            lua.State.Main.Call(chunk, null);
        }
        catch (LuaException e)
        {
            string? text = e.Value.TryTable(out LuaTable? table) ? table.Get(ReplyField.Err).ToStringOrNull()?.ToString() : "ERR " + e.Value.ToStringOrNull();
            return "ERR Error registering functions: " + (text ?? "(null)");
        }
        finally
        {
            lua.ShowLoadGlobals(false);
            _loading = null;
        }

        return library.Functions.Count == 0 ? "ERR No functions registered" : null;
    }

    /// <summary>FUNCTION LOAD: compiles a library and makes it part of the data.</summary>
    public string? Load(Effects effects, byte[] code, bool replace, out string name)
    {
        Synchronized();
        name = "";
        if (Compile(code, n => !replace && _libraries.ContainsKey(n), out Library library) is { } problem)
        {
            return problem;
        }

        name = library.Name;
        foreach (Function function in library.Functions)
        {
            if (_functions.TryGetValue(function.Name, out Function? other) && other.Library != library.Name)
            {
                return $"ERR Function {function.Name} already exists";
            }
        }

        effects.FunctionLoad(library.Name, code);
        Link(library);
        _catalogVersion = Catalog.Version;
        return null;
    }

    public bool Delete(Effects effects, string name)
    {
        if (!Synchronized()._libraries.ContainsKey(name))
        {
            return false;
        }

        effects.FunctionDelete(name);
        Unlink(name);
        _catalogVersion = Catalog.Version;
        return true;
    }

    public void Flush(Effects effects)
    {
        effects.FunctionFlush();
        Synchronized();
    }

    /// <summary>FUNCTION RESTORE: all of the libraries or none.</summary>
    public string? Restore(Effects effects, List<byte[]> codes, bool flush, bool replace)
    {
        Synchronized();
        var restored = new List<Library>();
        foreach (byte[] code in codes)
        {
            if (Compile(code, n => restored.Exists(l => l.Name == n), out Library library) is { } problem)
            {
                return problem;
            }

            foreach (Function function in library.Functions)
            {
                if (restored.Exists(l => l.Functions.Exists(f => f.Name == function.Name)))
                {
                    return $"ERR Function {function.Name} already exists";
                }
            }

            restored.Add(library);
        }

        if (!flush)
        {
            foreach (Library library in restored)
            {
                if (!replace && _libraries.ContainsKey(library.Name))
                {
                    return $"ERR Library {library.Name} already exists";
                }
            }

            foreach (Library library in restored)
            {
                foreach (Function function in library.Functions)
                {
                    if (_functions.TryGetValue(function.Name, out Function? other) && !restored.Exists(l => l.Name == other.Library))
                    {
                        return $"ERR Function {function.Name} already exists";
                    }
                }
            }
        }
        else
        {
            effects.FunctionFlush();
            _libraries.Clear();
            _functions.Clear();
        }

        foreach (Library library in restored)
        {
            Unlink(library.Name);
        }

        foreach (Library library in restored)
        {
            effects.FunctionLoad(library.Name, library.Code);
            Link(library);
        }

        _catalogVersion = Catalog.Version;
        return null;
    }

    /// <summary>redis.register_function(name, callback) or (table of named arguments).</summary>
    public int RegisterFunction(LuaThread t)
    {
        if (_loading is not { } library)
        {
            throw ScriptEngine.Failure(t, "redis.register_function can only be called on FUNCTION LOAD command");
        }

        LuaString? name = null, description = null;
        LuaFunction? callback = null;
        ScriptFlags flags = ScriptFlags.None;
        switch (t.ArgCount)
        {
            case 1:
                if (!t[1].TryTable(out LuaTable? named))
                {
                    throw ScriptEngine.Failure(t, "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).");
                }

                ReadNamed(t, named, ref name, ref description, ref callback, ref flags);
                break;
            case 2:
                name = t[1].ToStringOrNull() ?? throw ScriptEngine.Failure(t, "first argument to redis.register_function must be a string");
                if (!t[2].TryFunction(out callback))
                {
                    throw ScriptEngine.Failure(t, "second argument to redis.register_function must be a function");
                }

                break;
            default:
                throw ScriptEngine.Failure(t, "wrong number of arguments to redis.register_function");
        }

        string text = name!.ToString();
        if (!Shebang.IsName(text))
        {
            throw ScriptEngine.Failure(t, "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long");
        }

        if (library.Functions.Exists(f => f.Name == text))
        {
            throw ScriptEngine.Failure(t, "Function already exists in the library");
        }

        library.Functions.Add(new Function(text, library.Name, AsClosure(callback!), description?.Span.ToArray(), flags));
        return 0;
    }

    /// <summary>What is called is Lua code; a native that was registered is called by some.</summary>
    private LuaClosure AsClosure(LuaFunction function)
    {
        if (function is LuaClosure closure)
        {
            return closure;
        }

        LuaState state = FunctionEngine.State;
        LuaClosure make = state.Load("local f = ... return function(...) return f(...) end"u8, "@user_function");
        state.Main.Call(make, null, function).TryFunction(out LuaFunction? made);
        return (LuaClosure)made!;
    }

    private static void ReadNamed(LuaThread t, LuaTable named, ref LuaString? name, ref LuaString? description, ref LuaFunction? callback, ref ScriptFlags flags)
    {
        int position = 0;
        while (named.NextAt(ref position, out LuaValue key, out LuaValue value))
        {
            switch (key.ToStringOrNull()?.ToString().ToLowerInvariant())
            {
                case null:
                    throw ScriptEngine.Failure(t, "named argument key given to redis.register_function is not a string");
                case "function_name":
                    name = value.ToStringOrNull() ?? throw ScriptEngine.Failure(t, "function_name argument given to redis.register_function must be a string");
                    break;
                case "description":
                    description = value.ToStringOrNull() ?? throw ScriptEngine.Failure(t, "description argument given to redis.register_function must be a string");
                    break;
                case "callback":
                    if (!value.TryFunction(out callback))
                    {
                        throw ScriptEngine.Failure(t, "callback argument given to redis.register_function must be a function");
                    }

                    break;
                case "flags":
                    if (!value.TryTable(out LuaTable? list))
                    {
                        throw ScriptEngine.Failure(t, "flags argument to redis.register_function must be a table representing function flags");
                    }

                    for (int i = 1; list.Get(i) is { IsNil: false } word; i++)
                    {
                        if (word.ToStringOrNull() is not { } text || !Shebang.TryFlag(text.ToString(), StringComparison.OrdinalIgnoreCase, out ScriptFlags flag))
                        {
                            throw ScriptEngine.Failure(t, "unknown flag given");
                        }

                        flags |= flag;
                    }

                    break;
                default:
                    throw ScriptEngine.Failure(t, "unknown argument given to redis.register_function");
            }
        }

        if (name is null)
        {
            throw ScriptEngine.Failure(t, "redis.register_function must get a function name argument");
        }

        if (callback is null)
        {
            throw ScriptEngine.Failure(t, "redis.register_function must get a callback argument");
        }
    }
}
