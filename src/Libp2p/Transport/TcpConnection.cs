using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Transport;

/// <summary>A connection over TCP. Takes the socket over.</summary>
public sealed class TcpConnection : RawConnection
{
    private readonly Socket _socket;

    /// <summary>Takes a connected socket.</summary>
    public TcpConnection(Socket socket)
    {
        _socket = socket;
        // Frames leave whole; waiting for more to send would only delay them.
        socket.NoDelay = true;
        LocalAddress = Multiaddr.Of((IPEndPoint)socket.LocalEndPoint!);
        RemoteAddress = Multiaddr.Of((IPEndPoint)socket.RemoteEndPoint!);
    }

    /// <inheritdoc/>
    public override Multiaddr LocalAddress { get; }

    /// <inheritdoc/>
    public override Multiaddr RemoteAddress { get; }

    /// <summary>Connects to a listener.</summary>
    public static async Task<TcpConnection> ConnectAsync(IPEndPoint endPoint, CancellationToken cancellationToken)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(endPoint, cancellationToken).ConfigureAwait(false);
            return new TcpConnection(socket);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override ValueTask<int> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken = default) =>
        _socket.ReceiveAsync(destination, SocketFlags.None, cancellationToken);

    /// <inheritdoc/>
    public override ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default)
    {
        ValueTask<int> sent = _socket.SendAsync(bytes, SocketFlags.None, cancellationToken);
        if (!sent.IsCompletedSuccessfully)
        {
            return SendRestAsync(sent, bytes, cancellationToken);
        }

        int count = sent.Result;
        return count == bytes.Length ? default : SendRestAsync(new ValueTask<int>(count), bytes, cancellationToken);
    }

    /// <inheritdoc/>
    public override void End()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It has ended already.
            _socket.Dispose();
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => _socket.Dispose();

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask SendRestAsync(ValueTask<int> sent, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        bytes = bytes[await sent.ConfigureAwait(false)..];
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await _socket.SendAsync(bytes, SocketFlags.None, cancellationToken).ConfigureAwait(false)..];
        }
    }
}
