using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Car;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>
/// Writes versions into a file that any IPFS tool reads: a CAR of version 1. Its roots are the versions' blocks, in the order asked for; first comes the block
/// of what the MiMei is, whose hash is its id, then the author's certificates for others who wrote it, then each version with all it leads to, depth first, each block once.
/// The log that a version links to stays here.
/// </summary>
internal static class VersionExport
{
    /// <summary>Writes the file. It is there when it is whole, and not before. (Any thread that may wait for the disk.)</summary>
    /// <param name="versions">The versions of a MiMei, in which no collection begins meanwhile.</param>
    /// <param name="numbers">Which ones; none: all.</param>
    /// <param name="path">The file, which is not there yet.</param>
    /// <param name="work">Is told how far it is.</param>
    /// <returns>How many versions, blocks and bytes it has.</returns>
    /// <exception cref="MimeiException">There is no such version, or there is a file already.</exception>
    /// <exception cref="IOException">A block is missing, or the disk failed.</exception>
    public static (int Versions, long Blocks, long Bytes) Write(Versioner versions, IReadOnlyCollection<ulong> numbers, string path, LongWork work)
    {
        using IDisposable job = versions.BeginJob();
        if (numbers.Count == 0)
        {
            numbers = [.. versions.List.All.Select(static v => v.Number)];
        }

        if (numbers.Count == 0)
        {
            throw new MimeiException("ERR there is no version yet; MIMEI BACKUP makes one");
        }

        if (Path.Exists(path))
        {
            throw new MimeiException($"ERR {path} is there already; delete it, or name another file");
        }

        var uses = new List<IDisposable>();
        string unfinished = path + ".unfinished";
        bool isBegun = false;
        try
        {
            var roots = new List<Cid>();
            foreach (ulong number in numbers.Distinct())
            {
                uses.Add(versions.Hold(number, out _));
                roots.Add(versions.List.Find(number));
            }

            (long Blocks, long Bytes) written;
            using (var file = new FileStream(unfinished, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
            {
                isBegun = true;
                written = Write(versions, roots, file, work);
                file.Flush(flushToDisk: true);
            }

            File.Move(unfinished, path);
            isBegun = false;
            return (roots.Count, written.Blocks, written.Bytes);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException(e.Message, e);
        }
        finally
        {
            if (isBegun)
            {
                File.Delete(unfinished);
            }

            foreach (IDisposable use in uses)
            {
                use.Dispose();
            }
        }
    }

    private static (long Blocks, long Bytes) Write(Versioner versions, List<Cid> roots, Stream file, LongWork work)
    {
        // With garbage there are fewer.
        work.Begin("writing blocks", versions.Blocks.Figures.Blocks);
        byte[] info = versions.Info.Encode();
        CarWriter car = CarWriter.Create(file, roots);
        car.Write(Cid.Of(Multicodec.DagCbor, info), info);
        foreach (ReadOnlyMemory<byte> certificate in versions.Writers.Blocks)
        {
            car.Write(Cid.Of(Multicodec.DagCbor, certificate.Span), certificate.Span);
        }

        var written = new HashSet<Cid>();
        var left = new Stack<Cid>();
        var links = new List<Cid>();
        foreach (Cid root in roots)
        {
            left.Push(root);
            while (left.TryPop(out Cid cid))
            {
                if (!written.Add(cid))
                {
                    continue;
                }

                versions.ThrowIfClosing();
                work.Count();
                byte[] block = versions.Blocks.Get(cid) ?? throw new MissingBlockException(cid);
                if (block.Length > CarFormat.MaxBlockLength)
                {
                    throw new MimeiException($"ERR block {cid} has {block.Length} bytes; a CAR that others can read has blocks of at most {CarFormat.MaxBlockLength}");
                }

                car.Write(cid, block);
                if (cid.Codec == Multicodec.Raw)
                {
                    continue;
                }

                links.Clear();
                MimeiVersion.AddLinks(cid, block, links);
                for (int i = links.Count - 1; i >= 0; i--)
                {
                    left.Push(links[i]);
                }
            }
        }

        car.Complete();
        return (car.BlockCount, file.Length);
    }
}
