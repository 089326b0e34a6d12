// The content that a node keeps and may give to anyone: blocks, what of them is kept, and a tree of files that can be changed.
//
// What must stay true: a root is written down only when all that it keeps is durable, so a crash leaves a root with its blocks, or neither. Building
// something (an import, a change of the tree) happens under Protect, so that no collection takes its blocks before their root is listed.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;

namespace Leither.Ipfs.Content;

/// <summary>How something is kept.</summary>
/// <param name="Kind">What the pin keeps that keeps it.</param>
/// <param name="By">The pinned root; the block itself where it is pinned itself.</param>
public readonly record struct PinnedBy(PinKind Kind, Cid By);

/// <summary>A store of blocks with its roots. Any thread.</summary>
public sealed class ContentRepo : IDisposable
{
    private readonly Lock _collecting = new(), _gate = new(); // the first is held before the second
    private readonly RootList _roots;

    // Under _gate.
    private long _collections; // odd while one runs
    private bool _isDisposed;

    /// <summary>Opens the content of a folder. The store is this object's from then on.</summary>
    /// <exception cref="IOException">The list of roots cannot be read.</exception>
    public ContentRepo(IBlockstore blocks, IFolder folder, TimeProvider? time = null)
    {
        Blocks = blocks;
        Loose = new LooseBlocks(blocks, time);
        _roots = new RootList(folder);
        Files = new FileTree(blocks, UnixFsProfile.V0, _roots.Files);
    }

    /// <summary>The blocks.</summary>
    public IBlockstore Blocks { get; }

    /// <summary>Puts blocks that nothing leads to yet. They are durable when something that leads to them is pinned.</summary>
    public LooseBlocks Loose { get; }

    /// <summary>The tree of files that can be changed. <see cref="FlushFiles"/> makes changes last.</summary>
    public FileTree Files { get; }

    /// <summary>The pins.</summary>
    public KeyValuePair<Cid, PinKind>[] Pins => _roots.Pins;

    /// <summary>Keeps all blocks that are put from now on until the result is disposed.</summary>
    public IDisposable Protect() => Blocks.ProtectPuts();

    /// <summary>Pins what is here, durably; false if it was so.</summary>
    /// <exception cref="BlockMissingException">Something that it would keep is not here.</exception>
    /// <exception cref="IOException">It could not be written, or a block is malformed.</exception>
    public bool Pin(in Cid cid, PinKind kind, CancellationToken cancellation = default)
    {
        if (_roots.PinOf(cid) == kind) return false;
        if (kind == PinKind.Recursive && Loose.IsWhole(cid)) return PinChecked(cid, kind);
        long before = Volatile.Read(ref _collections);
        Check(cid, kind, cancellation);
        if (before % 2 == 0)
        {
            // A collection that begins now finds the pin; one that began meanwhile may be past it.
            lock (_gate)
            {
                if (_collections == before) return PinChecked(cid, kind);
            }
        }

        lock (_collecting)
        {
            Check(cid, kind, cancellation);
            return PinChecked(cid, kind);
        }
    }

    /// <summary>Pins what was just put, all of it and under <see cref="Protect"/>: as <see cref="Pin"/>, without looking.</summary>
    public bool PinNew(in Cid cid) => PinChecked(cid, PinKind.Recursive);

    /// <summary>Takes a pin away, durably; false if there is none.</summary>
    public bool Unpin(in Cid cid) => _roots.Unpin(cid);

    /// <summary>What keeps a block: a pin on it, or else a recursive pin that leads to it. Reads all that is pinned until it is found.</summary>
    public PinnedBy? FindPin(in Cid cid, CancellationToken cancellation = default)
    {
        if (_roots.PinOf(cid) is { } own) return new PinnedBy(own, cid);
        foreach ((Cid root, PinKind kind) in _roots.Pins)
        {
            if (kind == PinKind.Recursive && Reachable(root, cancellation).Contains(cid)) return new PinnedBy(kind, root);
        }

        return null;
    }

    /// <summary>All blocks that a root leads to, itself first; leaves as often as they are linked. What is not here is left out.</summary>
    public IEnumerable<Cid> Reachable(Cid root, CancellationToken cancellation = default)
    {
        var seen = new HashSet<Cid>();
        var open = new Stack<Cid>();
        open.Push(root);
        while (open.TryPop(out Cid cid))
        {
            cancellation.ThrowIfCancellationRequested();
            if (cid.Codec != Multicodec.Raw && !seen.Add(cid)) continue;
            if (!Blocks.Has(cid)) continue;
            yield return cid;
            if (cid.Codec == Multicodec.Raw || !Links.CanWalk(cid.Codec) || Blocks.Get(cid) is not { } block) continue;
            var links = new List<Cid>();
            Links.AddTo(links, cid.Codec, block);
            for (int i = links.Count - 1; i >= 0; i--) open.Push(links[i]);
        }
    }

    /// <summary>Makes the tree of files last as it is now, and returns its root.</summary>
    /// <exception cref="IOException">It could not be written.</exception>
    public Cid FlushFiles()
    {
        lock (_gate)
        {
            using IDisposable protection = Blocks.ProtectPuts();
            Cid root = Files.Flush();
            if (root != _roots.Files)
            {
                Blocks.Flush();
                _roots.SetFiles(root);
            }

            return root;
        }
    }

    /// <summary>Takes away what no pin and no file of the tree leads to, nor is being built. Two run one after the other.</summary>
    /// <param name="purge">Leave no byte of it in any file.</param>
    /// <param name="cancellation">Ends it; what was freed by then is.</param>
    public CollectionReport Collect(bool purge = false, CancellationToken cancellation = default)
    {
        lock (_collecting)
        {
            lock (_gate) _collections++;
            try
            {
                using BlockCollection collection = Blocks.Collect(new CollectionOptions { Roots = Roots, Links = AddLinks, Purge = purge });
                while (!collection.Step(TimeSpan.FromMilliseconds(50))) cancellation.ThrowIfCancellationRequested();
                return collection.Report;
            }
            finally
            {
                lock (_gate) _collections++;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isDisposed) return;
            _isDisposed = true;
        }

        Loose.Dispose();
        _roots.Dispose();
        Blocks.Dispose();
    }

    private IEnumerable<Cid> Roots()
    {
        foreach ((Cid cid, PinKind kind) in _roots.Pins)
        {
            // Blocks are found by their hashes: as a raw one, a block is kept without what it links to.
            yield return kind == PinKind.Recursive ? cid : Cid.Create(Multicodec.Raw, cid.Multihash);
        }

        foreach (Cid root in Files.Roots) yield return root;
    }

    private static void AddLinks(in Cid cid, ReadOnlySpan<byte> block, List<Cid> links)
    {
        if (!Links.CanWalk(cid.Codec)) return;
        try
        {
            Links.AddTo(links, cid.Codec, block);
        }
        catch (MalformedBlockException)
        {
            // Anyone may put a block that is not what its codec says. It leads nowhere then, and stops no collection.
            links.Clear();
        }
    }

    private bool PinChecked(in Cid cid, PinKind kind)
    {
        Blocks.Flush();
        return _roots.Pin(cid, kind);
    }

    /// <summary>Looks whether all is here that a pin would keep.</summary>
    private void Check(Cid root, PinKind kind, CancellationToken cancellation)
    {
        var seen = new HashSet<Cid>();
        var open = new Stack<Cid>();
        open.Push(root);
        while (open.TryPop(out Cid cid))
        {
            cancellation.ThrowIfCancellationRequested();
            if (kind == PinKind.Direct || cid.Codec == Multicodec.Raw || !Links.CanWalk(cid.Codec))
            {
                if (!Blocks.Has(cid)) throw new BlockMissingException(cid);
            }
            else if (seen.Add(cid))
            {
                var links = new List<Cid>();
                Links.AddTo(links, cid.Codec, Blocks.Get(cid) ?? throw new BlockMissingException(cid));
                foreach (Cid link in links) open.Push(link);
            }
        }
    }
}
