using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Versions.Tree;

/// <summary>
/// Long strings as chunks: raw blocks, cut where the content says, so that a change makes a few chunks new wherever it is and whatever it
/// shifts. A string of one chunk is that block; a longer one a sequence tree over its chunks, whose weights are bytes.
/// </summary>
/// <remarks>
/// Cuts are those of a gear hash (FastCDC, Xia et al., USENIX ATC 2016): h = 2h + G[byte], and a chunk ends where the 14 highest bits of h
/// are zero; never below 4 KiB, always at 64 KiB. G is 256 numbers of SplitMix64 from the seed 0.
/// </remarks>
internal static class Blob
{
    private const int MinChunk = 4 * 1024, MaxChunk = 64 * 1024, MaskBits = 14;

    private static readonly ulong[] Gear = MakeGear();

    /// <summary>Stores a string.</summary>
    public static Cid Write(NodeStore store, ReadOnlySpan<byte> bytes)
    {
        int length = ChunkLength(bytes);
        if (length == bytes.Length)
        {
            return store.Write(Multicodec.Raw, bytes);
        }

        var builder = new TreeBuilder(store, TreeKind.Sequence, leafLevel: 1);
        for (; !bytes.IsEmpty; bytes = bytes[length..])
        {
            length = ChunkLength(bytes);
            builder.Add(new TreeChild([], store.Write(Multicodec.Raw, bytes[..length]), length));
        }

        return builder.Finish().Root;
    }

    /// <summary>Reads a string whole.</summary>
    /// <param name="store">Where the blocks are.</param>
    /// <param name="link">What <see cref="Write"/> gave.</param>
    /// <param name="length">Its length.</param>
    /// <param name="take">Is given the chunks in order.</param>
    /// <exception cref="TreeFormatException">It is not of that length.</exception>
    public static void Read(NodeStore store, in Cid link, long length, Action<ReadOnlySpan<byte>> take)
    {
        long read = 0;
        foreach (Cid chunk in Chunks(store, link))
        {
            byte[] block = store.ReadBlock(chunk);
            read += block.Length;
            if (read > length)
            {
                break;
            }

            take(block);
        }

        if (read != length)
        {
            throw new TreeFormatException($"the string {link} is not of the {length} bytes that it is said to be");
        }
    }

    /// <summary>The raw blocks of a string, in order.</summary>
    public static IEnumerable<Cid> Chunks(NodeStore store, Cid link)
    {
        if (link.Codec == Multicodec.Raw)
        {
            yield return link;
            yield break;
        }

        var cursor = new TreeCursor(store, TreeKind.Sequence, link, level: 1);
        cursor.First();
        do
        {
            yield return cursor.Node.Child(cursor.Index).Link;
        }
        while (cursor.Next());
    }

    /// <summary>Whether a string is cut so.</summary>
    /// <param name="bytes">A piece.</param>
    /// <param name="isLast">Whether nothing follows.</param>
    public static bool IsChunk(ReadOnlySpan<byte> bytes, bool isLast)
    {
        if (bytes.IsEmpty || bytes.Length > MaxChunk || ChunkLength(bytes) != bytes.Length)
        {
            return false;
        }

        // What is cut behind the last byte for its own sake is cut there whatever follows.
        return isLast || ChunkLength([.. bytes, 0]) == bytes.Length;
    }

    private static int ChunkLength(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length <= MinChunk)
        {
            return bytes.Length;
        }

        ulong hash = 0;
        int end = Math.Min(bytes.Length, MaxChunk);
        for (int i = MinChunk - (64 - MaskBits); i < end; i++)
        {
            hash = (hash << 1) + Gear[bytes[i]];
            if (i >= MinChunk && hash >> (64 - MaskBits) == 0)
            {
                return i + 1;
            }
        }

        return end;
    }

    private static ulong[] MakeGear()
    {
        var gear = new ulong[256];
        ulong state = 0;
        for (int i = 0; i < gear.Length; i++)
        {
            ulong z = state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            gear[i] = z ^ (z >> 31);
        }

        return gear;
    }
}
