using System.Buffers;
using System.Collections.Concurrent;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;
using Microsoft.Win32.SafeHandles;

namespace Leither.Ipfs.Blockstore;

/// <summary>
/// Blocks that are parts of files kept by someone else, such as sealed log segments: named here, read and verified there, never written. What is
/// named is not remembered beyond the process; a file is opened for each read.
/// </summary>
public sealed class FileBlockSource : IBlockSource
{
    private readonly ConcurrentDictionary<BlockKey, Place> _places = new();

    /// <summary>Names a block; what was said of it before is forgotten. The file's bytes there must not change while it is named.</summary>
    public void Add(in Cid cid, string path, long offset, int length)
    {
        CidChecks.ThrowIfNotStorable(cid, length);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (!CidChecks.IsIdentity(cid)) _places[BlockKey.Of(cid)] = new Place(cid, path, offset, length);
    }

    /// <summary>Forgets a block: to be called before its file goes.</summary>
    public bool Remove(in Cid cid) => !cid.IsNone && _places.TryRemove(BlockKey.Of(cid), out _);

    /// <inheritdoc/>
    public bool Has(in Cid cid) => !cid.IsNone && _places.ContainsKey(BlockKey.Of(cid));

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length)
    {
        length = 0;
        if (cid.IsNone || !_places.TryGetValue(BlockKey.Of(cid), out Place? place)) return false;
        length = place.Length;
        return true;
    }

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination)
    {
        if (cid.IsNone || !_places.TryGetValue(BlockKey.Of(cid), out Place? place)) return false;
        Span<byte> bytes = destination.GetSpan(Math.Max(place.Length, 1))[..place.Length];
        int done = 0;
        try
        {
            using SafeFileHandle file = File.OpenHandle(place.Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            while (done < bytes.Length && RandomAccess.Read(file, bytes[done..], place.Offset + done) is var n and > 0) done += n;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (!_places.ContainsKey(BlockKey.Of(cid))) return false; // removed meanwhile, and its file after it
            throw new DiskException("read", place.Path, e.Message, isFull: false);
        }
        if (done < bytes.Length) throw new BlockCorruptedException(cid, place.Path, place.Offset, "the file ends before the block does");
        if (!cid.Verify(bytes)) throw new BlockCorruptedException(cid, place.Path, place.Offset, "the hash of what lies there is another");
        destination.Advance(bytes.Length);
        return true;
    }

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids()
    {
        foreach ((_, Place place) in _places) yield return place.Cid;
    }

    private sealed record Place(Cid Cid, string Path, long Offset, int Length);
}
