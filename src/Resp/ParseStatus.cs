namespace Leither.Resp;

/// <summary>How far <see cref="RequestParser.ParseNext"/> came.</summary>
public enum ParseStatus
{
    /// <summary>More bytes are needed before there is a command.</summary>
    Incomplete,

    /// <summary>One command was read.</summary>
    Complete,

    /// <summary>The bytes break the protocol: reply <see cref="RequestParser.Error"/> and close the connection.</summary>
    Error,
}
