namespace Leither.Ipfs.Car;

/// <summary>Bytes are not a CAR, or a block in it is not the one that its CID names.</summary>
public sealed class CarException : MalformedBlockException
{
    /// <summary>Says what is wrong at which byte.</summary>
    public CarException(string message, long position)
        : base($"CAR, byte {position}: {message}") => Position = position;

    /// <summary>Says what is wrong at which byte, and what showed it.</summary>
    public CarException(string message, long position, Exception inner)
        : base($"CAR, byte {position}: {message}", inner) => Position = position;

    /// <summary>The byte, from the beginning of the stream, at which it was found.</summary>
    public long Position { get; }
}
