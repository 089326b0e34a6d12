using Leither.MmDb.Values;

namespace Leither.MmDb;

/// <summary>
/// Where the keys of a keyspace are kept that are not in its tables yet: a version's blocks, or what lies below a transaction. What is asked
/// for is fetched.
/// </summary>
internal abstract unsafe class KeySource : IDisposable
{
    /// <summary>Keys in a database, fetched or not.</summary>
    public abstract long Count(int database);

    /// <summary>Whether the keyspace may be changed: then effects fetch what they change, and are told here.</summary>
    public virtual bool IsChangeable => false;

    /// <summary>Puts a key that is not there into its database's table. Null: there is none.</summary>
    public abstract byte* Fetch(Database database, in Key key);

    /// <summary>The keys of a database in their order, from one place on; without their values.</summary>
    /// <param name="database">Its number.</param>
    /// <param name="from">How many keys to leave out.</param>
    public abstract IEnumerable<SourceKey> Walk(int database, long from);

    /// <summary>
    /// The keys of a database from the first one on that is not below a name, in the order of their first <see cref="SortedBytes"/> bytes; without their values.
    /// </summary>
    /// <param name="database">Its number.</param>
    /// <param name="begin">The name; empty: from the first key on.</param>
    public abstract IEnumerable<SourceKey> WalkFrom(int database, byte[] begin);

    /// <summary>How much of their names keys are sorted by.</summary>
    public abstract int SortedBytes { get; }

    /// <summary>A key was changed, or went.</summary>
    public virtual void Changed(Database database, in Key key)
    {
    }

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>A key that is not fetched.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its type.</param>
/// <param name="ExpireAt">When it expires, in Unix milliseconds; 0: never.</param>
internal readonly record struct SourceKey(byte[] Name, DataType Type, long ExpireAt)
{
    /// <summary>Whether it is there at an instant.</summary>
    public bool IsLive(long nowMs) => ExpireAt == 0 || ExpireAt > nowMs;
}
