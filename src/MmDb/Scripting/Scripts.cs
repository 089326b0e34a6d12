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

/// <summary>
/// What a server knows of scripts: the cache of EVAL, which all its MiMei share (a script is known by the digest of its text), and the one that runs.
/// Functions belong to a MiMei: <see cref="FunctionLibraries"/>. While a script runs for longer than
/// busy-reply-threshold the server's loop is entered again from within it now and then: others are answered BUSY, and may kill it
/// as long as it has not written.
/// </summary>
internal sealed unsafe class Scripts(Server server) : IDisposable
{
    private readonly Dictionary<string, CachedScript> _cache = new(StringComparer.Ordinal);
    private ScriptEngine? _evalEngine;

    /// <summary>The run that goes on, if any.</summary>
    public ScriptRun? Current { get; private set; }
    /// <summary>Whether a script runs for longer than it should.</summary>
    public bool IsBusy => Current is { IsBusy: true };
    /// <summary>Commands that are no script's business may run all the same (DEBUG SET-DISABLE-DENY-SCRIPTS).</summary>
    public bool AllowsNoScript { get; set; }

    public int CachedCount => _cache.Count;
    public long CachedBytes => _cache.Sum(static s => s.Value.BodyBytes + 200L);
    /// <summary>Bytes that are alive in the world of EVAL; counted, so for people's eyes only.</summary>
    public long EvalEngineBytes => Current is null ? _evalEngine?.State.Recount() ?? 0 : _evalEngine?.State.UsedBytes ?? 0;

    /// <summary>A library that is being loaded, for which time is short.</summary>
    public FunctionLibraries? Loading { get; set; }

    private ScriptEngine EvalEngine => _evalEngine ??= new ScriptEngine(server, functions: null);

    public void Dispose() => _evalEngine?.Dispose();

    /// <summary>The functions of a MiMei.</summary>
    public FunctionLibraries FunctionsOf(Mimei mimei) => mimei.Functions ??= new FunctionLibraries(server, mimei.Keyspace.Functions);

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
    public CommandFlags FlagsOf(Mimei mimei, CommandSpec spec, Slice* args, int count)
    {
        ScriptFlags declared = ScriptFlags.Undeclared;
        if (count > 1)
        {
            Slice word = args[1];
            if (spec == FunctionCommands.Call || spec == FunctionCommands.CallReadOnly)
            {
                declared = FunctionsOf(mimei).TryGet(word.ToString(), out Function? function) ? function.Flags : declared;
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

    // EVAL and FCALL

    /// <summary>Runs a script or function in its world.</summary>
    public void Run(CommandContext c, ScriptEngine engine, LuaClosure body, ScriptFlags flags, string name, int keyCount, bool readOnly, bool isEval)
    {
        bool declares = (flags & ScriptFlags.Undeclared) == 0;
        bool isOutOfMemory = c.Keyspace.Options.MaxMemory != 0 && !c.Mimei.Keyspace.MakeRoom();
        if (server.Replication.Concerns(c.Session) && server.Replication.IsStale && (flags & ScriptFlags.AllowStale) == 0)
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
                if (!server.LogAccepts(c.Session, c.Spec, c.Args, c.Count, out string? refusal))
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
        if (Loading is { } loading)
        {
            if (loading.IsLate)
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

        server.EnterLoop(run.Caller.Mimei);
        if (run.IsKilled)
        {
            server.Warn?.Invoke("Lua script killed by user with SCRIPT KILL.");
            throw Ended(thread, "ERR Script killed by user with SCRIPT KILL..."u8);
        }

        if (server.Shutdown is not null)
        {
            // The server goes down without the script: of what it has done nothing is logged.
            if (run.Caller.Mimei.Log is { InEntry: true, CanAbandon: true } log)
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
}
