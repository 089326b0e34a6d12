using System.Diagnostics;
using Leither.Resp;

namespace Leither.MmDb.Scripting;

/// <summary>One run of a script or function.</summary>
internal sealed unsafe class ScriptRun
{
    /// <summary>Who called it.</summary>
    public required Session Caller { get; init; }
    /// <summary>The script's digest, or the function's name.</summary>
    public required string Name { get; init; }
    /// <summary>The words of the call; they stay where they are while it runs.</summary>
    public required Slice* Args { get; init; }
    public required int ArgCount { get; init; }
    /// <summary>EVAL and its like, not FCALL.</summary>
    public bool IsEval { get; init; }
    /// <summary>Writes are refused.</summary>
    public bool IsReadOnly { get; init; }
    /// <summary>What takes memory may run without memory.</summary>
    public bool AllowsOom { get; init; }
    /// <summary>There was no memory when it began.</summary>
    public bool IsOutOfMemory { get; init; }
    public long StartedAt { get; } = Stopwatch.GetTimestamp();

    /// <summary>It called a write: it can no longer be killed.</summary>
    public bool HasWritten { get; set; }
    /// <summary>It runs for longer than the limit: other clients are told so.</summary>
    public bool IsBusy { get; set; }
    public bool IsKilled { get; set; }

    public long ElapsedMs => (long)Stopwatch.GetElapsedTime(StartedAt).TotalMilliseconds;
}
