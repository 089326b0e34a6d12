using System.Net.Sockets;
using System.Runtime.InteropServices;
using Leither.Node.Transport.Tls;
using Leither.Resp;

namespace Leither.Node.Transport;

/// <summary>
/// One accepted connection. Everything here belongs to the loop thread.
/// <para>
/// An idle connection holds no buffers: input is received into one buffer that all share, and only what the handler leaves
/// unconsumed is copied to a private one, which goes as soon as it is empty. The output is native memory that goes when sent.
/// </para>
/// </summary>
public abstract unsafe class Connection
{
    private protected Connection(LoopTransport transport, in PeerNames names)
    {
        Transport = transport;
        Id = transport.NextConnectionId();
        RemoteAddress = names.Remote;
        LocalAddress = names.Local;
        IsUnix = names.IsUnix;
        IsLoopback = names.IsLoopback;
        CreatedAtMs = LastInteractionMs = transport.NowMs;
        CreatedAt = DateTimeOffset.UtcNow;
    }

    /// <summary>Counts up from 1, never used twice.</summary>
    public long Id { get; }

    /// <summary>The file descriptor, or where there is none a number like it; for display.</summary>
    public abstract int Descriptor { get; }

    /// <summary>The peer: <c>ip:port</c>, <c>[ip6]:port</c>, or <c>path:0</c> of a Unix socket.</summary>
    public string RemoteAddress { get; }

    /// <summary>This end, in the same form.</summary>
    public string LocalAddress { get; }

    /// <summary>Whether it came over a Unix socket.</summary>
    public bool IsUnix { get; }

    /// <summary>Whether the peer's address is a loopback one (false for a Unix socket, which counts as local too).</summary>
    public bool IsLoopback { get; }

    /// <summary>Whether the peer is on this machine for certain.</summary>
    public bool IsLocal => IsUnix || IsLoopback;

    /// <summary>Whatever the handler ties to this connection.</summary>
    public object? Session { get; set; }

    /// <summary>Replies are written here; <see cref="SendOutput"/> sends them at the end of the turn.</summary>
    public RespWriter Output { get; } = new();

    /// <summary>When it was accepted, wall time.</summary>
    public DateTimeOffset CreatedAt { get; }

    /// <summary>When it was accepted, monotonic milliseconds.</summary>
    public long CreatedAtMs { get; }

    /// <summary>When bytes last came or went, monotonic milliseconds.</summary>
    public long LastInteractionMs { get; internal set; }

    /// <summary>Bytes received in total.</summary>
    public long BytesReceived { get; internal set; }

    /// <summary>Bytes sent in total.</summary>
    public long BytesSent { get; internal set; }

    /// <summary>
    /// Set in <see cref="IConnectionHandler.OnReceive"/>: do not call again before so many more bytes are there. Input beyond the
    /// shared buffer is then received straight into a private buffer of exactly that size. The handler has checked it
    /// against its limits; it holds for one call.
    /// </summary>
    public long BytesWanted { get; set; }

    /// <summary>Unconsumed input.</summary>
    public long InputLength { get; private set; }

    /// <summary>Memory held for unconsumed input.</summary>
    public long InputCapacity { get; private set; }

    /// <summary>Memory held for replies.</summary>
    public long OutputMemory => Output.Capacity + (Tls?.Sealed.Capacity ?? 0);

    /// <summary>Whether <see cref="Pause"/> is in force.</summary>
    public bool IsPaused { get; private set; }

    /// <summary>Its input is being handled: neither it nor its buffers may go.</summary>
    internal bool IsPresenting { get; set; }

    /// <summary>Whether it is closed, or will be once its output is sent. No more input is presented.</summary>
    public bool IsClosing { get; private set; }

    /// <summary>Where <see cref="BytesWanted"/> puts the end of the input that the handler waits for; 0 when it waits for none.</summary>
    internal long InputWanted { get; set; }

    internal LoopTransport Transport { get; }

    internal byte* Input { get; private set; }

    internal bool CloseAfterOutput { get; private set; }

    internal bool IsSendQueued { get; set; }

    internal bool IsResumeQueued { get; set; }

    internal bool IsCloseQueued { get; set; }

    /// <summary>The handle was handed to somebody else, or closed.</summary>
    internal bool IsGone { get; set; }

    /// <summary>The kernel took no more; it is going to say when it does.</summary>
    internal bool IsAwaitingWritable { get; set; }

    /// <summary>Its unconsumed input reached the bound for a paused connection, so it is not read from.</summary>
    internal bool IsReadStopped { get; set; }

    /// <summary>What stands between it and the socket; null: nothing.</summary>
    internal TlsChannel? Tls { get; set; }

    /// <summary>Whether it speaks TLS.</summary>
    public bool IsSecure => Tls is not null;

    /// <summary>Opened input waits, of which no event of the socket tells.</summary>
    internal bool IsUnreadQueued { get; set; }

    /// <summary>What goes to the socket next.</summary>
    internal RespWriter WireOutput => Tls?.Sealed ?? Output;

    /// <summary>What the connection speaks, once its first bytes have told.</summary>
    internal PortProtocol Protocol { get; set; }

    /// <summary>Queues the output to leave at the end of this turn. Doing it twice is as good as once.</summary>
    public void SendOutput()
    {
        if (IsSendQueued || IsGone)
        {
            return;
        }

        IsSendQueued = true;
        Transport.QueueSend(this);
    }

    /// <summary>
    /// Ends the connection: at once (what is not sent yet is dropped), or when its output is sent. No more input is presented.
    /// <see cref="IConnectionHandler.OnClose"/> follows later, never from within this call.
    /// </summary>
    public void Close(bool afterOutput)
    {
        if (IsGone || (IsClosing && (afterOutput || !CloseAfterOutput)))
        {
            return;
        }

        IsClosing = true;
        CloseAfterOutput = afterOutput;
        if (afterOutput)
        {
            SendOutput();
        }
        else
        {
            Transport.QueueClose(this);
        }
    }

    /// <summary>Presents no input until <see cref="Resume"/>: the client waits for something (BLPOP, CLIENT PAUSE).</summary>
    public void Pause() => IsPaused = true;

    /// <summary>Presents what was kept, later in this turn, and goes on reading.</summary>
    public void Resume()
    {
        if (!IsPaused)
        {
            return;
        }

        IsPaused = false;
        if (!IsResumeQueued && !IsGone)
        {
            IsResumeQueued = true;
            Transport.QueueResume(this);
        }
    }

    /// <summary>
    /// Takes the socket out of the transport, for a protocol that lives elsewhere. <see cref="IConnectionHandler.OnClose"/> follows;
    /// the caller owns the socket. Call it in <see cref="IConnectionHandler.OnReceive"/> and copy what was received.
    /// </summary>
    internal Socket Detach()
    {
        IsClosing = true;
        Socket socket = Transport.DetachHandle(this);
        Transport.QueueClose(this);
        return socket;
    }

    /// <summary>Begins TLS, with what was received of it. Call it in <see cref="IConnectionHandler.OnReceive"/>.</summary>
    internal void BeginTls(TlsAcceptor acceptor, byte* data, long length)
    {
        if (!acceptor.TryBegin())
        {
            Close(afterOutput: false);
            return;
        }

        Tls = new TlsChannel(acceptor, Transport, this);
        Protocol = PortProtocol.Unknown;
        Tls.Begin();
        if (!Tls.FeedHandshake(data, length))
        {
            Close(afterOutput: false);
        }
    }

    /// <summary>As <see cref="Detach"/>, with TLS between; null: the client has gone.</summary>
    internal SecureConnection? DetachSecure() => Tls!.Detach(Detach());

    internal void ReserveInput(long capacity)
    {
        if (capacity <= InputCapacity)
        {
            return;
        }

        // Large blocks are remapped, not copied, and pages that no byte has reached are not there yet.
        Input = (byte*)NativeMemory.Realloc(Input, (nuint)capacity);
        InputCapacity = capacity;
    }

    internal void SetInputLength(long length) => InputLength = length;

    internal void ShrinkInput(long capacity)
    {
        Input = (byte*)NativeMemory.Realloc(Input, (nuint)capacity);
        InputCapacity = capacity;
    }

    internal void ReleaseInput()
    {
        InputLength = 0;
        if (Input == null)
        {
            return;
        }

        NativeMemory.Free(Input);
        Input = null;
        InputCapacity = 0;
    }

    internal void ReleaseBuffers()
    {
        ReleaseInput();
        Output.Release();
        Tls?.Release();
    }
}

/// <summary>How the two ends of a connection are shown, and what follows from it.</summary>
internal readonly record struct PeerNames(string Remote, string Local, bool IsUnix, bool IsLoopback)
{
    public static PeerNames Unix(string path) => new(path + ":0", path + ":0", true, false);
}
