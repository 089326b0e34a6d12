namespace Leither.Libp2p;

/// <summary>Why a connection, a stream or an attempt at one ended: for logs, figures and tests alike.</summary>
public enum Libp2pError
{
    /// <summary>The other side went away, or was told to.</summary>
    ConnectionClosed,

    /// <summary>The other side, or this one, gave the stream up.</summary>
    StreamReset,

    /// <summary>The other side sent what its protocol forbids. The connection is over.</summary>
    ProtocolViolation,

    /// <summary>A limit of this node was reached.</summary>
    LimitExceeded,

    /// <summary>The secure channel did not come about.</summary>
    HandshakeFailed,

    /// <summary>It answered, but is not the peer that was dialled.</summary>
    WrongPeer,

    /// <summary>The other side speaks none of the protocols that were asked for.</summary>
    UnsupportedProtocol,

    /// <summary>None of the peer's addresses led to it, or there was none.</summary>
    DialFailed,

    /// <summary>The dial was not tried, since the last ones failed a moment ago.</summary>
    BackingOff,

    /// <summary>The address is among those that are filtered.</summary>
    AddressFiltered,

    /// <summary>It took too long.</summary>
    Timeout,
}

/// <summary>Something between peers failed: what, and by which rule.</summary>
public class Libp2pException : IOException
{
    /// <summary>Says why, and what happened.</summary>
    public Libp2pException(Libp2pError error, string message)
        : base(message)
    {
        Error = error;
    }

    /// <summary>Says why, what happened, and what led to it.</summary>
    public Libp2pException(Libp2pError error, string message, Exception inner)
        : base(message, inner)
    {
        Error = error;
    }

    /// <summary>Why.</summary>
    public Libp2pError Error { get; }

    internal static Libp2pException Violation(string message) => new(Libp2pError.ProtocolViolation, message);
}
