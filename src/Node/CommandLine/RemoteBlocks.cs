// The blocks of a running node, over RESP: many in one command, and the next commands on their way while the last are answered, so that neither
// side waits for the other.

using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Unicode;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Node.CommandLine;

/// <summary>
/// The blocks of a running node: the public ones, or those of the MiMei that the connection is bound to. Blocks that are put are on their way while the
/// next are made: <see cref="Flush"/> waits until the node has taken all of them. What is read is checked here too.
/// </summary>
/// <param name="session">The connection.</param>
/// <param name="family">Whose blocks: <see cref="Public"/> or <see cref="OfMimei"/>.</param>
internal sealed class RemoteBlocks(MimeiSession session, string family) : IBlockSource, IBlockSink, IReadAhead, IDisposable
{
    /// <summary>The family of commands on public blocks.</summary>
    public const string Public = "IPFS";

    /// <summary>The family of commands on blocks of a MiMei.</summary>
    public const string OfMimei = "MIMEI";

    /// <summary>A command that puts is sent when it has so many bytes, or blocks.</summary>
    private const int BatchBytes = 1 << 20, MaxBatch = 512;

    /// <summary>So many bytes may be on their way to the node without an answer: enough for it to have work while the next command is made.</summary>
    private const int MaxUnansweredBytes = 8 << 20;

    /// <summary>What was read ahead and not asked for yet may have so many bytes; what comes beyond is dropped, and read when it is asked for.</summary>
    private const int MaxHeldBytes = 32 << 20;

    private const int Headroom = 64; // for the head of the command, written when its words are known

    private readonly Queue<int> _unanswered = new(); // the bytes of each command that puts
    private readonly Queue<Cid[]> _asked = new(); // what each command that reads is about
    private readonly HashSet<Cid> _coming = []; // all of those
    private readonly Dictionary<Cid, PooledBlock> _held = [];
    private byte[] _batch = [];
    private int _batchEnd = Headroom, _batched;
    private long _unansweredBytes, _heldBytes;

    /// <inheritdoc/>
    public bool Put(in Cid cid, ReadOnlySpan<byte> data)
    {
        if (_batched > 0 && (_batched == MaxBatch || _batchEnd + data.Length > Headroom + BatchBytes))
        {
            SendBatch();
        }

        string name = cid.ToString();
        Reserve(name.Length + data.Length + 64);
        Write(string.Create(CultureInfo.InvariantCulture, $"${name.Length}\r\n{name}\r\n${data.Length}\r\n"));
        data.CopyTo(_batch.AsSpan(_batchEnd));
        _batchEnd += data.Length;
        Write("\r\n");
        _batched++;
        return true;
    }

    /// <summary>Waits until the node has all blocks that were put.</summary>
    public void Flush()
    {
        SendBatch();
        while (_unanswered.Count > 0)
        {
            TakeAnswer();
        }
    }

    /// <inheritdoc/>
    public bool Has(in Cid cid) => TryGetLength(cid, out _);

    /// <inheritdoc/>
    public bool TryGetLength(in Cid cid, out int length)
    {
        // Only Get asks, before it reads: what was read ahead is known, and a wrong guess costs a copy, where asking would cost a journey.
        length = _held.TryGetValue(cid, out PooledBlock? block) ? block.Length : 0;
        return true;
    }

    /// <inheritdoc/>
    public bool TryGet(in Cid cid, IBufferWriter<byte> destination)
    {
        if (!_held.ContainsKey(cid) && !_coming.Contains(cid))
        {
            Ask([cid]);
        }

        while (_coming.Contains(cid))
        {
            Take();
        }

        if (!_held.Remove(cid, out PooledBlock? block))
        {
            // The node has more ways to a single block than to many, and says what is wrong. Answers come in the order of commands: first those that are on their way.
            while (_asked.Count > 0)
            {
                Take();
            }

            byte[] bytes = session.Call(family, "BLOCK", "GET", cid.ToString()).Bytes;
            Check(cid, bytes);
            destination.Write(bytes);
            return true;
        }

        _heldBytes -= block.Length;
        destination.Write(block.Span);
        block.Dispose();
        return true;
    }

    /// <inheritdoc/>
    public void WillRead(ReadOnlySpan<Cid> cids)
    {
        if (_held.Count + _coming.Count > cids.Length / 2 || _heldBytes > MaxHeldBytes / 2)
        {
            return; // enough for now: better ask for many at once a little later
        }

        int half = Math.Max(1, (cids.Length + 1) / 2);
        List<Cid> next = [];
        foreach (Cid cid in cids)
        {
            if (_held.ContainsKey(cid) || !_coming.Add(cid))
            {
                continue;
            }

            next.Add(cid);
            if (next.Count == half)
            {
                Ask([.. next]);
                next.Clear();
            }
        }

        if (next.Count > 0)
        {
            Ask([.. next]);
        }
    }

    /// <inheritdoc/>
    public IEnumerable<Cid> Cids() => throw new NotSupportedException("A node does not list its blocks.");

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_batch.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_batch);
            _batch = [];
        }
    }

    private static void Check(in Cid cid, ReadOnlySpan<byte> block)
    {
        if (!cid.Verify(block))
        {
            throw new CommandLineException($"The node sent other bytes than those of {cid}");
        }
    }

    // ------------------------------------------------------------------ reading

    private void Ask(Cid[] cids)
    {
        Flush(); // answers come in the order of commands
        foreach (Cid cid in cids)
        {
            _coming.Add(cid);
        }

        StringBuilder command = new();
        command.Append(CultureInfo.InvariantCulture, $"*{3 + cids.Length}\r\n${family.Length}\r\n{family}\r\n$5\r\nBLOCK\r\n$4\r\nMGET\r\n");
        foreach (Cid cid in cids)
        {
            string name = cid.ToString();
            command.Append(CultureInfo.InvariantCulture, $"${name.Length}\r\n{name}\r\n");
        }

        session.Send(Encoding.ASCII.GetBytes(command.ToString()));
        _asked.Enqueue(cids);
    }

    /// <summary>Takes the answer to the first command that reads.</summary>
    private void Take()
    {
        Cid[] cids = _asked.Dequeue();
        PooledBlock?[] blocks = session.ReceiveBulks(static () => new PooledBlock(), cids.Length, BlockLimits.MaxBlockBytes);
        for (int i = 0; i < cids.Length; i++)
        {
            _coming.Remove(cids[i]);
            if (i >= blocks.Length || blocks[i] is not { } block)
            {
                continue;
            }

            Check(cids[i], block.Span);
            if (_heldBytes + block.Length > MaxHeldBytes && _held.Count > 0)
            {
                block.Dispose();
                continue;
            }

            _held[cids[i]] = block;
            _heldBytes += block.Length;
        }
    }

    // ------------------------------------------------------------------ putting

    private void SendBatch()
    {
        if (_batched == 0)
        {
            return;
        }

        while (_unanswered.Count > 0 && _unansweredBytes + _batchEnd > MaxUnansweredBytes)
        {
            TakeAnswer();
        }

        Span<byte> head = stackalloc byte[Headroom];
        Utf8.TryWrite(head, CultureInfo.InvariantCulture, $"*{3 + 2 * _batched}\r\n${family.Length}\r\n{family}\r\n$5\r\nBLOCK\r\n$4\r\nMPUT\r\n", out int length);
        int start = Headroom - length;
        head[..length].CopyTo(_batch.AsSpan(start));
        session.Send(_batch.AsSpan(start, _batchEnd - start));
        _unanswered.Enqueue(_batchEnd);
        _unansweredBytes += _batchEnd;
        _batchEnd = Headroom;
        _batched = 0;
    }

    private void TakeAnswer()
    {
        session.Receive();
        _unansweredBytes -= _unanswered.Dequeue();
    }

    private void Reserve(int bytes)
    {
        if (_batch.Length - _batchEnd >= bytes)
        {
            return;
        }

        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(_batchEnd + bytes, Headroom + BatchBytes + (64 << 10)));
        _batch.AsSpan(0, Math.Min(_batchEnd, _batch.Length)).CopyTo(larger);
        Dispose();
        _batch = larger;
    }

    private void Write(string text) => _batchEnd += Encoding.ASCII.GetBytes(text, _batch.AsSpan(_batchEnd));
}
