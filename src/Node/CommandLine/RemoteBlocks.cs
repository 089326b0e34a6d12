using System.Buffers;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Node.CommandLine;

/// <summary>
/// The public blocks of a running node, over RESP. Blocks that are put are on their way while the next are made: <see cref="Flush"/> waits until the
/// node has taken all of them. What is read is checked here too.
/// </summary>
internal sealed class RemoteBlocks(MimeiSession session) : IBlockSource, IBlockSink
{
    private const int MaxWaitingBytes = 16 << 20, MaxWaiting = 256;

    private static readonly ReadOnlyMemory<byte> _ipfs = "IPFS"u8.ToArray(), _block = "BLOCK"u8.ToArray(), _put = "PUT"u8.ToArray(), _cid = "CID"u8.ToArray();

    private readonly Queue<int> _waiting = new();
    private long _waitingBytes;

    /// <inheritdoc/>
    public bool Put(in Cid cid, ReadOnlySpan<byte> data)
    {
        while (_waiting.Count == MaxWaiting || (_waiting.Count > 0 && _waitingBytes + data.Length > MaxWaitingBytes))
        {
            Receive();
        }

        session.Send(_ipfs, _block, _put, data.ToArray(), _cid, Encoding.ASCII.GetBytes(cid.ToString()));
        _waiting.Enqueue(data.Length);
        _waitingBytes += data.Length;
        return true;
    }

    /// <summary>Waits until the node has all blocks that were put.</summary>
    public void Flush()
    {
        while (_waiting.Count > 0)
        {
            Receive();
        }
    }

    /// <inheritdoc/>
    public bool Has(in Cid cid) => TryGetLength(cid, out _);

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length)
    {
        length = (int)session.Call("IPFS", "BLOCK", "STAT", cid.ToString()).Integer;
        return true;
    }

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination)
    {
        byte[] block = session.Call("IPFS", "BLOCK", "GET", cid.ToString()).Bytes;
        if (!cid.Verify(block))
        {
            throw new CommandLineException($"The node sent other bytes than those of {cid}");
        }

        destination.Write(block);
        return true;
    }

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids() => throw new NotSupportedException("A node does not list its blocks.");

    private void Receive()
    {
        session.Receive();
        _waitingBytes -= _waiting.Dequeue();
    }
}
