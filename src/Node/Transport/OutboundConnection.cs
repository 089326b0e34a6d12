using Leither.MmDb;
using Leither.Resp;

namespace Leither.Node.Transport;

/// <summary>A connection that this node made, as its handler sees it.</summary>
internal sealed class OutboundConnection(Connection connection, IOutboundHandler handler) : IOutboundConnection
{
    /// <summary>Who gets what arrives.</summary>
    public IOutboundHandler Handler { get; } = handler;

    /// <inheritdoc/>
    public RespWriter Output => connection.Output;

    /// <inheritdoc/>
    public string LocalAddress => connection.LocalAddress;

    /// <inheritdoc/>
    public void SendOutput() => connection.SendOutput();

    /// <inheritdoc/>
    public void Pause() => connection.Pause();

    /// <inheritdoc/>
    public void Resume() => connection.Resume();

    /// <inheritdoc/>
    public void Close() => connection.Close(afterOutput: false);
}
