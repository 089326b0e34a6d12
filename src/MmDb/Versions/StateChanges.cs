namespace Leither.MmDb.Versions;

/// <summary>
/// Which keys, and of big hashes, sets and sorted sets which elements, the entries of the log changed since a state. It is read off the log, so that
/// writing costs nothing more for the sake of versions.
/// </summary>
/// <remarks>
/// <para>It may name more than what changed: an effect that did nothing names its key too. It never names less: every effect that
/// changes data is here, and one whose elements are not in it (a range of ranks, a store command) names the whole key.</para>
/// <para>SWAPDB exchanges what databases hold and FLUSHDB begins anew, so keys are noted under logical databases: those of the state before
/// have their own numbers there, each flush makes a new, empty one.</para>
/// </remarks>
internal sealed unsafe class StateChanges : EffectVisitor, IDisposable
{
    private readonly int[] _logical;
    private readonly int _count;
    private readonly byte[] _treeKey = new byte[StateFormat.LongName];
    private FragmentKey _key = new();
    private int _next;

    /// <summary>No changes.</summary>
    /// <param name="databases">How many databases there are.</param>
    /// <param name="folder">Where temporary files go.</param>
    public StateChanges(int databases, string folder)
        : base(databases)
    {
        _count = _next = databases;
        _logical = new int[databases];
        for (int i = 0; i < databases; i++)
        {
            _logical[i] = i;
        }

        Touched = new RunSorter(folder, isSet: true);
    }

    /// <summary>What changed, by <see cref="FragmentKey"/>; sorted when <see cref="End"/> was called.</summary>
    public RunSorter Touched { get; }

    /// <summary>The databases as they are now: logical number and number, in the order of the former.</summary>
    public IEnumerable<(int Logical, int Number)> Databases => _logical.Select(static (logical, number) => (logical, number)).Order();

    /// <summary>The logical database that a number stands for now.</summary>
    public int LogicalDatabase(int number) => _logical[number];

    /// <summary>The number that a logical database has now; -1: none, it was flushed.</summary>
    public int NumberOf(int logical) => Array.IndexOf(_logical, logical);

    /// <summary>Whether a logical database was empty when it began.</summary>
    public bool IsCleared(int logical) => logical >= _count;

    /// <summary>Ends noting: <see cref="Touched"/> can be read.</summary>
    public void End() => Touched.Sort();

    /// <inheritdoc/>
    public void Dispose() => Touched.Dispose();

    /// <summary>Notes what an entry's effects change.</summary>
    /// <param name="body">What follows the entry's header.</param>
    /// <param name="length">Bytes of it.</param>
    /// <exception cref="UnknownEffectException">The bytes are damaged, or a newer version wrote them.</exception>
    public void Add(byte* body, long length) => Visit(body, length);

    /// <inheritdoc/>
    protected override void Key(EffectTag tag, int database, ReadOnlySpan<byte> name, bool isWhole)
    {
        // What captures the key needs its name, which a long one does not have in its tree key.
        _key.SetGroup(_logical[database], StateFormat.TreeKey(name, _treeKey));
        _key.SetKind(isWhole ? FragmentKind.TouchedWhole : FragmentKind.Touched);
        Touched.Add(_key.Bytes, name.Length >= StateFormat.LongName ? name : default);
    }

    /// <inheritdoc/>
    protected override void Element(ReadOnlySpan<byte> name)
    {
        _key.SetElement(StateFormat.TreeKey(name, _treeKey));
        Touched.Add(_key.Bytes, name.Length >= StateFormat.LongName ? name : default);
    }

    /// <inheritdoc/>
    protected override void Flushed(int database) => _logical[database] = _next++;

    /// <inheritdoc/>
    protected override void FlushedAll()
    {
        for (int i = 0; i < _logical.Length; i++)
        {
            Flushed(i);
        }
    }

    /// <inheritdoc/>
    protected override void Swapped(int a, int b) => (_logical[a], _logical[b]) = (_logical[b], _logical[a]);

    /// <inheritdoc/>
    protected override void Function(EffectTag tag, ReadOnlySpan<byte> library)
    {
        // Libraries are captured with every snapshot.
    }

    /// <inheritdoc/>
    protected override void Files(ReadOnlySpan<byte> root)
    {
        // So is the root of the files.
    }
}
