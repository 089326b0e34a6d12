using Leither.Resp;

namespace Leither.MmDb;

/// <summary>Stands where a session needs a connection and there is none: what is replied is dropped, but errors can be looked at first.</summary>
internal sealed class SilentConnection : IClientConnection, IDisposable
{
    /// <inheritdoc/>
    public string RemoteAddress => "";
    /// <inheritdoc/>
    public string LocalAddress => "";
    /// <inheritdoc/>
    public long Descriptor => -1;
    /// <inheritdoc/>
    public bool IsLocal => true;
    /// <inheritdoc/>
    public bool IsUnixSocket => false;
    /// <inheritdoc/>
    public RespWriter Output { get; } = new();
    /// <inheritdoc/>
    public long InputBytes => 0;
    /// <inheritdoc/>
    public long InputCapacity => 0;

    /// <summary>Whether the session asked to end.</summary>
    public bool IsClosed { get; private set; }

    /// <inheritdoc/>
    public void SendOutput()
    {
    }

    /// <inheritdoc/>
    public void Close(bool afterOutput) => IsClosed = true;

    /// <inheritdoc/>
    public void Pause()
    {
    }

    /// <inheritdoc/>
    public void Resume()
    {
    }

    /// <inheritdoc/>
    public void Dispose() => Output.Dispose();
}
