namespace Leither.Resp;

/// <summary>How far <see cref="RespReader"/> came.</summary>
public enum ReadStatus
{
    /// <summary>The bytes end before the element does; nothing was consumed.</summary>
    Incomplete,

    /// <summary>An element was read.</summary>
    Complete,

    /// <summary>The bytes are not the protocol, or beyond its limits: the connection cannot go on.</summary>
    Malformed,
}
