using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Blockstore;

/// <summary>What was put while someone was building: see <see cref="IBlockstore.ProtectPuts"/>. Guarded by its store's gate.</summary>
internal sealed class ProtectedPuts(Lock gate)
{
    private readonly List<Cid> _cids = [];
    private int _scopes;

    public IDisposable Begin()
    {
        lock (gate) _scopes++;
        return new Scope(this);
    }

    /// <summary>Notes a block that is put. (Under the gate.)</summary>
    public void Note(in Cid cid)
    {
        if (_scopes > 0) _cids.Add(cid);
    }

    /// <summary>What a collection that begins takes for roots. (Under the gate.)</summary>
    public IReadOnlyList<Cid> Cids => _cids;

    public long MemoryBytes => _cids.Capacity * 56L;

    private void End()
    {
        lock (gate)
        {
            if (--_scopes > 0) return;
            _cids.Clear();
            _cids.Capacity = 0;
        }
    }

    private sealed class Scope(ProtectedPuts puts) : IDisposable
    {
        private ProtectedPuts? _puts = puts;

        public void Dispose() => Interlocked.Exchange(ref _puts, null)?.End();
    }
}
