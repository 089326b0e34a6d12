namespace Leither.Ipfs;

/// <summary>
/// Bytes from outside are not what their format allows. Each format throws its own kind; reading hostile bytes ends in it or in success, and
/// in nothing else.
/// </summary>
public class MalformedBlockException : IOException
{
    /// <summary>Says what is wrong, and where.</summary>
    public MalformedBlockException(string message)
        : base(message)
    {
    }

    /// <summary>Says what is wrong, and where, and what showed it.</summary>
    public MalformedBlockException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
