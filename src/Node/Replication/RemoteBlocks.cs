// Blocks of a MiMei that is not here: asked for one at a time, of whoever has it, over the log protocol, and held in memory as long as there is room. Every block is checked
// against its name, so it does not matter who gives it.

using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p;
using Leither.Replication;

namespace Leither.Node.Replication;

/// <summary>Reads a MiMei's blocks from afar.</summary>
/// <param name="open">Opens a stream on which a node has said that it gives the MiMei; null: there is no node left that might.</param>
/// <param name="maxBytes">How many bytes are held.</param>
/// <param name="timeout">How long a block may take.</param>
internal sealed class RemoteBlocks(Func<IReadOnlySet<PeerId>, CancellationToken, Task<RemoteBlocks.Source?>> open, long maxBytes, TimeSpan timeout) : IDisposable
{
    private readonly SemaphoreSlim _asking = new(1);
    private readonly Queue<(Cid Cid, int Length)> _held = new();
    private Source? _source;
    private long _bytes;
    private bool _isDisposed;

    /// <summary>A node that gives the MiMei.</summary>
    internal sealed record Source(PeerId Peer, PeerStream Stream, MessageReader Reader) : IDisposable
    {
        public void Dispose()
        {
            Stream.Reset();
            Stream.Dispose();
            Reader.Dispose();
        }
    }

    /// <summary>What is held.</summary>
    public MemoryBlockstore Blocks { get; } = new();

    /// <summary>Brings a block here.</summary>
    /// <exception cref="IOException">Nobody gives it.</exception>
    public async Task FetchAsync(Cid cid, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(timeout);
        await _asking.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            if (Blocks.Has(cid)) return;
            var asked = new HashSet<PeerId>();
            string why = "nobody who has it can be reached";
            // A stream that stood idle may be over by now: then its node is asked once more, on another.
            for (bool isOld = _source is not null; ; isOld = false)
            {
                ObjectDisposedException.ThrowIf(_isDisposed, this);
                _source ??= await open(asked, limit.Token).ConfigureAwait(false);
                if (_source is not { } source) throw new IOException($"block {cid} of the MiMei cannot be had: {why}");
                try
                {
                    if (await GetAsync(source, cid, limit.Token).ConfigureAwait(false) is { } block)
                    {
                        Hold(cid, block);
                        return;
                    }

                    why = $"{source.Peer} does not have it";
                }
                catch (IOException e)
                {
                    why = e.Message;
                }

                _source = null;
                source.Dispose();
                if (!isOld) asked.Add(source.Peer);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            _source?.Dispose();
            _source = null;
            throw new IOException($"block {cid} of the MiMei did not come within {timeout.TotalSeconds:0} s");
        }
        finally
        {
            _asking.Release();
        }
    }

    public void Dispose()
    {
        _isDisposed = true;
        _source?.Dispose();
        Blocks.Dispose();
    }

    /// <summary>Asks for a block; null: it is not there.</summary>
    private static async Task<byte[]?> GetAsync(Source source, Cid cid, CancellationToken cancellation)
    {
        await ReplicationService.SendAsync(source.Stream, new Get([cid]), cancellation).ConfigureAwait(false);
        byte[]? bytes = null;
        int filled = 0;
        while (await source.Reader.ReadAsync(cancellation).ConfigureAwait(false) is var (message, _))
        {
            switch (message)
            {
                case Block piece when piece.Cid == cid:
                    bytes ??= piece.Total <= BlockLimits.MaxBlockBytes && piece.Offset == 0 ? new byte[piece.Total] : null;
                    if (bytes is null || piece.Total != bytes.Length || piece.Offset != filled || piece.Bytes.Length > bytes.Length - filled) throw new IOException("a block came in pieces that do not fit");
                    piece.Bytes.CopyTo(bytes.AsMemory(filled));
                    filled += piece.Bytes.Length;
                    if (filled < bytes.Length) break;
                    return cid.Verify(bytes) ? bytes : throw new IOException($"{source.Peer} gave another block");
                case Missing:
                    return null;
                case Bye bye:
                    throw new IOException(bye.Text);
                case Beat { IsAnswer: false }:
                    await ReplicationService.SendAsync(source.Stream, new Beat(true), cancellation).ConfigureAwait(false);
                    break;
                default:
                    // Heads and versions that are new: what is read stays at one version.
                    break;
            }
        }

        throw new IOException("the stream ended");
    }

    private void Hold(in Cid cid, byte[] block)
    {
        Blocks.Put(cid, block);
        _held.Enqueue((cid, block.Length));
        _bytes += block.Length;
        while (_bytes > maxBytes && _held.Count > 1)
        {
            (Cid oldest, int length) = _held.Dequeue();
            Blocks.Delete(oldest);
            _bytes -= length;
        }
    }
}
