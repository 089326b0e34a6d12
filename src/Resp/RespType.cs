namespace Leither.Resp;

/// <summary>The types of the protocol. Each value is the byte that introduces the type.</summary>
public enum RespType : byte
{
    /// <summary>Nothing was read yet.</summary>
    None = 0,

    /// <summary>One line of text.</summary>
    SimpleString = (byte)'+',

    /// <summary>One line: an error code and its text.</summary>
    Error = (byte)'-',

    /// <summary>A signed 64-bit integer.</summary>
    Integer = (byte)':',

    /// <summary>Any bytes, their length before them. In RESP2 also null.</summary>
    BulkString = (byte)'$',

    /// <summary>A list of replies. In RESP2 also null.</summary>
    Array = (byte)'*',

    /// <summary>No value (RESP3).</summary>
    Null = (byte)'_',

    /// <summary>Pairs of key and value (RESP3).</summary>
    Map = (byte)'%',

    /// <summary>Replies without order (RESP3).</summary>
    Set = (byte)'~',

    /// <summary>A message that answers no command (RESP3).</summary>
    Push = (byte)'>',

    /// <summary>A floating point number (RESP3).</summary>
    Double = (byte)',',

    /// <summary>True or false (RESP3).</summary>
    Boolean = (byte)'#',

    /// <summary>A whole number of any size (RESP3).</summary>
    BigNumber = (byte)'(',

    /// <summary>Text with a three-letter format (RESP3).</summary>
    Verbatim = (byte)'=',

    /// <summary>Pairs that say something about the reply behind them (RESP3).</summary>
    Attribute = (byte)'|',

    /// <summary>An error of any bytes, their length before them (RESP3).</summary>
    BulkError = (byte)'!',
}
