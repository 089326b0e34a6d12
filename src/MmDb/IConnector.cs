using Leither.Resp;

namespace Leither.MmDb;

/// <summary>Makes connections to other servers, without anybody waiting. All members are called on the loop thread.</summary>
public interface IConnector
{
    /// <summary>Connects; the outcome is told to the handler later, never from within this call.</summary>
    /// <param name="host">A name or address.</param>
    /// <param name="port">The port.</param>
    /// <param name="timeoutMs">When it is given up.</param>
    /// <param name="handler">Who is told, and gets what arrives.</param>
    void Connect(string host, int port, int timeoutMs, IOutboundHandler handler);
}

/// <summary>A connection that this server made.</summary>
public interface IOutboundConnection
{
    /// <summary>What is to be sent; <see cref="SendOutput"/> sends it at the end of the turn.</summary>
    RespWriter Output { get; }
    /// <summary>This end: address and port.</summary>
    string LocalAddress { get; }
    /// <summary>The output has bytes to send.</summary>
    void SendOutput();
    /// <summary>Presents no input until <see cref="Resume"/>.</summary>
    void Pause();
    /// <summary>Presents input again.</summary>
    void Resume();
    /// <summary>Ends the connection; the handler's <see cref="IOutboundHandler.OnClosed"/> follows.</summary>
    void Close();
}

/// <summary>What happens on a connection that this server made.</summary>
public unsafe interface IOutboundHandler
{
    /// <summary>It is there.</summary>
    void OnConnected(IOutboundConnection connection);
    /// <summary>Bytes arrived. Gives how many were consumed; the others are presented again with what follows.</summary>
    long OnReceive(byte* data, long length);
    /// <summary>It could not be made, or has ended.</summary>
    void OnClosed(OutboundEnd end, string reason);
}

/// <summary>How a connection that this server made, or tried to, came to its end.</summary>
public enum OutboundEnd
{
    /// <summary>It was there, and ended.</summary>
    Ended,
    /// <summary>The host is there, and let nobody in.</summary>
    Refused,
    /// <summary>The host is not known, cannot be reached, or did not answer in time.</summary>
    Unreachable,
}
