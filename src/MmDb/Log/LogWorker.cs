using System.Diagnostics.CodeAnalysis;

namespace Leither.MmDb.Log;

/// <summary>
/// The background work of logs, shared by all of a process: one thread syncs, another prepares, renames and deletes files, so that a slow
/// sync never keeps the next segment from being ready; a third seals finished segments, which takes a processor's time.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "The shared worker lives as long as the process; the manual one holds no handles.")]
public sealed class LogWorker
{
    /// <summary>The worker of this process; its threads start with the first log and sleep when there is nothing to do.</summary>
    public static LogWorker Shared { get; } = new(threads: true);

    private readonly Lock _gate = new();
    private readonly List<WriteLog> _logs = [];
    private readonly AutoResetEvent? _syncWanted, _filesWanted, _sealWanted;
    private bool _started;

    private LogWorker(bool threads)
    {
        if (!threads) return;
        _syncWanted = new AutoResetEvent(false);
        _filesWanted = new AutoResetEvent(false);
        _sealWanted = new AutoResetEvent(false);
    }

    /// <summary>A worker without threads, which works only when <see cref="Run"/> is called: for tests and simulations.</summary>
    public static LogWorker Manual() => new(threads: false);

    /// <summary>Does everything that is due, now, on this thread.</summary>
    public void Run()
    {
        foreach (WriteLog log in Logs())
        {
            log.PerformSync(now: true);
            log.PerformFileWork();
            log.PerformSeal(now: true);
        }
    }

    internal void Add(WriteLog log)
    {
        lock (_gate)
        {
            _logs.Add(log);
            if (_started || _syncWanted is null) return;
            _started = true;
        }
        int untilNext = Timeout.Infinite;
        Start("log sync", () =>
        {
            _syncWanted.WaitOne(untilNext);
            untilNext = Timeout.Infinite;
            foreach (WriteLog each in Logs())
            {
                int until = each.PerformSync(now: false);
                if (until >= 0 && (uint)until < (uint)untilNext) untilNext = until;
            }
        });
        Start("log files", () =>
        {
            _filesWanted!.WaitOne();
            foreach (WriteLog each in Logs()) each.PerformFileWork();
        });
        Start("log seal", () =>
        {
            _sealWanted!.WaitOne();
            foreach (WriteLog each in Logs()) each.PerformSeal(now: false);
        });
    }

    internal void Remove(WriteLog log)
    {
        lock (_gate) _logs.Remove(log);
    }

    internal void WantFileWork() => _filesWanted?.Set();

    internal void WantSeal() => _sealWanted?.Set();

    internal void WantSync() => _syncWanted?.Set();

    private WriteLog[] Logs()
    {
        lock (_gate) return [.. _logs];
    }

    private static void Start(string name, Action round)
    {
        var thread = new Thread(() =>
        {
            while (true) round();
        })
        {
            Name = name,
            IsBackground = true,
        };
        thread.Start();
    }
}
