using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using Leither.Lua;
using Leither.MmDb.Commands;

namespace Leither.MmDb.Scripting;

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
/// The function libraries of one MiMei, compiled: their sources are part of its data (<see cref="FunctionCatalog"/>), and whatever put them there,
/// a command or the log, they are compiled when a function is next asked for.
/// </summary>
internal sealed class FunctionLibraries(Server server, FunctionCatalog catalog) : IDisposable
{
    /// <summary>Milliseconds that loading a library may take.</summary>
    private const int LoadLimitMs = 500;

    private readonly Dictionary<string, Library> _libraries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Function> _functions = new(StringComparer.OrdinalIgnoreCase);
    private ScriptEngine? _engine;
    private Library? _loading;
    private long _loadStartedAt;
    private long _catalogVersion;

    public int FunctionCount => Synchronized()._functions.Count;
    public int LibraryCount => Synchronized()._libraries.Count;
    /// <summary>Bytes that are alive in their world; counted, so for people's eyes only.</summary>
    public long EngineBytes => server.Scripts.Current is null ? _engine?.State.Recount() ?? 0 : _engine?.State.UsedBytes ?? 0;
    public long LibraryBytes => _libraries.Values.Sum(static l => l.Code.Length + 200L);
    public IEnumerable<Library> Libraries => Synchronized()._libraries.Values;

    /// <summary>Whether the library that is being loaded takes too long.</summary>
    public bool IsLate => Stopwatch.GetElapsedTime(_loadStartedAt).TotalMilliseconds > LoadLimitMs;

    private ScriptEngine Engine => _engine ??= new ScriptEngine(server, this);

    public void Dispose() => _engine?.Dispose();

    public bool TryGet(string name, [NotNullWhen(true)] out Function? function) => Synchronized()._functions.TryGetValue(name, out function);

    /// <summary>Runs a function on behalf of a command.</summary>
    public void Run(CommandContext c, Function function, int keyCount, bool readOnly) =>
        server.Scripts.Run(c, Engine, function.Body, function.Flags, function.Name, keyCount, readOnly, isEval: false);

    /// <summary>Compiles what replay or another way has put into the catalog.</summary>
    private FunctionLibraries Synchronized()
    {
        if (_catalogVersion == catalog.Version)
        {
            return this;
        }

        _libraries.Clear();
        _functions.Clear();
        _engine?.Dispose();
        _engine = null;
        foreach ((string name, byte[] code) in catalog.Libraries)
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

        _catalogVersion = catalog.Version;
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

        ScriptEngine lua = Engine;
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
        server.Scripts.Loading = this;
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
            server.Scripts.Loading = null;
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
        _catalogVersion = catalog.Version;
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
        _catalogVersion = catalog.Version;
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

        _catalogVersion = catalog.Version;
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

        LuaState state = Engine.State;
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
