// One stream of the log protocol with a peer, for one MiMei: a pump each way.
//
//  - What is to be sent is put into a buffer, and goes out with one write while the next is filled. Nothing is sent that the stream does not take, and nothing
//    is made for a peer that has enough to read (Room): so a slow peer costs one buffer, and who writes the MiMei never waits for it.
//  - What comes is handed on message by message. So many may wait to be worked on; the peer is not read from meanwhile.

using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using Leither.Ipfs.Keys;
using Leither.Libp2p;
using Leither.Replication;

namespace Leither.Node.Replication;

/// <summary>Is told what happens on a stream. Called on the stream's own threads.</summary>
internal interface ILogLinkOwner
{
    /// <summary>A message came. When it has been worked on, <see cref="LogLink.Worked"/> is called.</summary>
    void Received(LogLink link, Message message);

    /// <summary>A part of a message came; at most once in <see cref="LogLink.ArrivingPauseMs"/>.</summary>
    void Arriving(LogLink link);

    /// <summary>There is room again for what is to be sent.</summary>
    void Drained(LogLink link);

    /// <summary>It is over.</summary>
    void Ended(LogLink link, Exception? problem);
}

/// <summary>A stream of the log protocol. Sending is one thread's at a time.</summary>
[SuppressMessage("Design", "CA1001", Justification = "The semaphore holds no handle: nobody asks it for one. What ends the stream is disposed of when it is over.")]
internal sealed class LogLink : IThreadPoolWorkItem
{
    /// <summary>How often it is told that parts of messages come.</summary>
    public const int ArrivingPauseMs = 1000;

    private readonly ReplicationOptions _options;
    private readonly ILogLinkOwner _owner;
    private readonly CancellationTokenSource _ending;
    private readonly SemaphoreSlim _waiting;
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource<Exception?> _sendingOver = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _sentAll = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ArrayBufferWriter<byte> _filling = new(), _sending = new();
    private CancellationTokenSource? _deadline; // of who sends
    private bool _isCompleted, _wasFull, _isSending;
    private long _received, _sent, _heardAt;

    public LogLink(PeerStream stream, PeerId peer, bool isInbound, ReplicationOptions options, ILogLinkOwner owner, CancellationToken stopping)
    {
        Stream = stream;
        Peer = peer;
        IsInbound = isInbound;
        _options = options;
        _owner = owner;
        _waiting = new SemaphoreSlim(options.MaxWaitingMessages);
        _ending = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        _heardAt = Environment.TickCount64;
    }

    /// <summary>Its number among the replica's streams.</summary>
    public long Number { get; set; }

    public PeerStream Stream { get; }

    public PeerId Peer { get; }

    /// <summary>Whether the peer opened it: it follows, or asks.</summary>
    public bool IsInbound { get; }

    /// <summary>When something came last (<see cref="Environment.TickCount64"/>).</summary>
    public long HeardAt => Interlocked.Read(ref _heardAt);

    public long BytesReceived => Interlocked.Read(ref _received);

    public long BytesSent => Interlocked.Read(ref _sent);

    /// <summary>Is over when what was sent has gone and no more follows.</summary>
    public Task Sent => _sentAll.Task;

    /// <summary>Is over when both directions are.</summary>
    public Task Over => _over.Task;

    /// <summary>How many bytes more may be made for the peer now; when there are none, <see cref="ILogLinkOwner.Drained"/> tells of more.</summary>
    public int Room
    {
        get
        {
            lock (_gate)
            {
                int room = _isCompleted ? 0 : _options.MaxUnsentBytes - _filling.WrittenCount;
                _wasFull |= room <= 0;
                return Math.Max(0, room);
            }
        }
    }

    /// <summary>Runs both pumps until the stream is over, whatever ends it. The reader may hold what came with the first message.</summary>
    public async Task RunAsync(MessageReader reader)
    {
        Exception? problem = null;
        long toldAt = Environment.TickCount64;
        reader.Arriving = () =>
        {
            long now = Environment.TickCount64;
            if (now - toldAt < ArrivingPauseMs) return;
            toldAt = now;
            Interlocked.Exchange(ref _heardAt, now);
            _owner.Arriving(this);
        };
        try
        {
            while (await reader.ReadAsync(_ending.Token).ConfigureAwait(false) is var (message, bytes))
            {
                Interlocked.Exchange(ref _heardAt, Environment.TickCount64);
                Interlocked.Add(ref _received, bytes);
                await _waiting.WaitAsync(_ending.Token).ConfigureAwait(false);
                _owner.Received(this, message);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            problem = e;
        }

        // The peer will say no more; what it is still to be told goes out first.
        Complete();
        if (problem is not null) await _ending.CancelAsync().ConfigureAwait(false);
        Exception? other = await _sendingOver.Task.ConfigureAwait(false);
        _sentAll.TrySetResult();
        problem = problem is null or OperationCanceledException ? other ?? problem : problem;
        if (problem is not null) Stream.Reset();
        _ending.Dispose(); // or what stops all would hold it for as long as the node lives
        _over.SetResult();
        _owner.Ended(this, problem);
    }

    /// <summary>Hands on a message that was read before the pumps ran.</summary>
    public void Took(Message message)
    {
        _waiting.Wait(0);
        _owner.Received(this, message);
    }

    /// <summary>A message that was handed on has been worked on: another may come.</summary>
    public void Worked() => _waiting.Release();

    /// <summary>Whether there is something to send that <see cref="Flush"/> has not been called for. The sender's.</summary>
    public bool IsUnflushed { get; private set; }

    /// <summary>Makes a message ready to be sent; it goes with <see cref="Flush"/>, and with what else is ready.</summary>
    public void Send(Message message)
    {
        lock (_gate)
        {
            if (_isCompleted) return;
            MessageCodec.Encode(message, _filling);
        }

        IsUnflushed = true;
    }

    /// <summary>Sends what is ready, unless somebody is sending and so will.</summary>
    /// <param name="isHere">On this thread, until it has to wait; otherwise on another.</param>
    public void Flush(bool isHere)
    {
        IsUnflushed = false;
        if (!BeginSending()) return;
        if (isHere) _ = SendAllAsync();
        else ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Sends what there is, and then says that no more comes.</summary>
    public void Complete()
    {
        lock (_gate)
        {
            if (_isCompleted) return;
            _isCompleted = true;
        }

        if (BeginSending()) ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    void IThreadPoolWorkItem.Execute() => _ = SendAllAsync();

    /// <summary>Ends it at once.</summary>
    public void Abort()
    {
        try
        {
            _ending.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It is over.
        }
    }

    /// <summary>Whether the caller has to send: nobody does.</summary>
    private bool BeginSending()
    {
        lock (_gate)
        {
            if (_isSending) return false;
            return _isSending = true;
        }
    }

    /// <summary>Sends until there is nothing left. One at a time; it stays begun once all was sent, or sending failed.</summary>
    private async Task SendAllAsync()
    {
        try
        {
            while (true)
            {
                bool isCompleted, wasFull, isAnything;
                lock (_gate)
                {
                    (isCompleted, wasFull, _wasFull) = (_isCompleted, _wasFull, false);
                    isAnything = _filling.WrittenCount > 0;
                    if (isAnything) (_filling, _sending) = (_sending, _filling);
                    else if (!isCompleted) _isSending = false;
                }

                // There is room as soon as what was made is on its way: the next is filled meanwhile.
                if (wasFull) _owner.Drained(this);
                if (isAnything) await SendAsync(_sending).ConfigureAwait(false);
                else if (!isCompleted) return;

                if (!isCompleted) continue;
                Stream.CompleteWrites();
                _sentAll.TrySetResult();
                End(null);
                return;
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            if (!_ending.IsCancellationRequested) await _ending.CancelAsync().ConfigureAwait(false);
            End(e);
        }
    }

    private async ValueTask SendAsync(ArrayBufferWriter<byte> bytes)
    {
        // Each piece has its time: over a slow way all of it may take a minute.
        for (ReadOnlyMemory<byte> left = bytes.WrittenMemory; !left.IsEmpty;)
        {
            _ending.Token.ThrowIfCancellationRequested();
            if (_deadline?.TryReset() != true)
            {
                _deadline?.Dispose();
                _deadline = CancellationTokenSource.CreateLinkedTokenSource(_ending.Token);
            }

            _deadline.CancelAfter(_options.SendTimeout);
            ReadOnlyMemory<byte> piece = left[..Math.Min(left.Length, LogProtocol.MaxPieceBytes)];
            await Stream.WriteAsync(piece, _deadline.Token).ConfigureAwait(false);
            Interlocked.Add(ref _sent, piece.Length);
            left = left[piece.Length..];
        }

        bytes.ResetWrittenCount();
    }

    private void End(Exception? problem)
    {
        _deadline?.Dispose();
        _sendingOver.TrySetResult(problem);
    }
}
