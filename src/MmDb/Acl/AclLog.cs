namespace Leither.MmDb.Acl;

/// <summary>Where a command stood that was refused.</summary>
public enum AclContext
{
    /// <summary>By itself.</summary>
    TopLevel,
    /// <summary>In a transaction.</summary>
    Multi,
    /// <summary>In a script.</summary>
    Lua,
}

/// <summary>What was refused, and how often of late.</summary>
/// <param name="id">A number that no other entry has.</param>
/// <param name="createdMs">When it was first refused, in Unix milliseconds.</param>
internal sealed class AclLogEntry(long id, long createdMs)
{
    public long Id { get; } = id;
    public long CreatedMs { get; } = createdMs;
    public required AclDenial Reason { get; init; }
    public required AclContext Context { get; init; }
    /// <summary>The command, key or channel, or the command that should have logged in: a byte string.</summary>
    public required string Object { get; init; }
    public required string User { get; init; }
    /// <summary>The last client that tried, as CLIENT INFO shows it.</summary>
    public required string Client { get; set; }
    public required long UpdatedMs { get; set; }
    public long Count { get; set; } = 1;
}

/// <summary>What was refused to whom (ACL LOG), newest first. The same thing again within a minute is counted rather than listed.</summary>
internal sealed class AclLog
{
    private const int Compared = 10;
    private const long TogetherMs = 60_000;

    private readonly LinkedList<AclLogEntry> _entries = new();
    private long _nextId;

    public IReadOnlyCollection<AclLogEntry> Entries => _entries;

    public void Clear() => _entries.Clear();

    public void Add(AclDenial reason, AclContext context, string what, string user, string client, long nowMs, long maxLength)
    {
        LinkedListNode<AclLogEntry>? node = _entries.First;
        for (int i = 0; i < Compared && node is not null; i++, node = node.Next)
        {
            AclLogEntry entry = node.Value;
            if (entry.Reason == reason && entry.Context == context && entry.Object == what && entry.User == user
                && Math.Abs(entry.UpdatedMs - nowMs) <= TogetherMs)
            {
                entry.Client = client;
                entry.UpdatedMs = nowMs;
                entry.Count++;
                _entries.Remove(node);
                _entries.AddFirst(node);
                return;
            }
        }

        _entries.AddFirst(new AclLogEntry(_nextId++, nowMs) { Reason = reason, Context = context, Object = what, User = user, Client = client, UpdatedMs = nowMs });
        Trim(maxLength);
    }

    public void Trim(long maxLength)
    {
        while (_entries.Count > maxLength)
        {
            _entries.RemoveLast();
        }
    }
}
