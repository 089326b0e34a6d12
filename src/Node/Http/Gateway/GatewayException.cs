namespace Leither.Node.Http.Gateway;

/// <summary>A request that is answered with an error: its status, and a text for whoever asked.</summary>
internal sealed class GatewayException(int status, string message, int? retryAfterSeconds = null) : Exception(message)
{
    public int Status { get; } = status;

    /// <summary>When asking again may help.</summary>
    public int? RetryAfterSeconds { get; } = retryAfterSeconds;
}
