namespace Leither.MmDb;

/// <summary>
/// Work that a client waits for and that may take long: how far it is, for whoever asks (<c>MIMEI WORK</c>), and whether the client is still there. The thread that
/// does it tells; others read.
/// </summary>
/// <param name="what">What is done: export, import, check, ….</param>
/// <param name="client">The client's number.</param>
public sealed class LongWork(string what, long client)
{
    private long _done, _total;
    private volatile string _step = "";
    private volatile bool _isUnwanted;

    /// <summary>What is done: export, import, check, ….</summary>
    public string What { get; } = what;

    /// <summary>The number of the client that waits.</summary>
    public long Client { get; } = client;

    /// <summary>Asks how far it is, where who does it cannot tell by himself.</summary>
    internal Func<(long Done, long Total)>? Look { get; init; }

    /// <summary>Asks what it is at, where that is more than a word.</summary>
    internal Func<string>? Describe { get; init; }

    /// <summary>What it is at: "reading bytes", "checking blocks".</summary>
    public string Step => Describe?.Invoke() ?? _step;

    /// <summary>How much of the step is done, and how much there is; 0: nobody knows.</summary>
    public (long Done, long Total) Progress => Look?.Invoke() ?? (Volatile.Read(ref _done), Volatile.Read(ref _total));

    /// <summary>A step begins.</summary>
    public void Begin(string step, long total)
    {
        Volatile.Write(ref _done, 0);
        Volatile.Write(ref _total, total);
        _step = step;
    }

    /// <summary>So much of the step is done.</summary>
    /// <exception cref="MimeiException">The client went away: it need not be done.</exception>
    public void Reached(long done)
    {
        Volatile.Write(ref _done, done);
        if (_isUnwanted)
        {
            throw new MimeiException("ABORTED the client that wanted it went away");
        }
    }

    /// <summary>One more is done.</summary>
    /// <exception cref="MimeiException">The client went away: it need not be done.</exception>
    public void Count() => Reached(_done + 1);

    /// <summary>The client went away.</summary>
    internal void Abandon() => _isUnwanted = true;
}
