namespace Leither.MmDb.Memory;

/// <summary>
/// The operating system refused more memory to a MiMei's heap. The heap and everything in it are unchanged and usable:
/// whatever asked can be refused to its client.
/// </summary>
public sealed class NativeMemoryExhaustedException : Exception
{
    /// <summary>Makes the exception for a block that could not be had.</summary>
    /// <param name="requestedBytes">Size of the block that was asked for.</param>
    public NativeMemoryExhaustedException(ulong requestedBytes)
        : base($"The operating system gave no memory for a block of {requestedBytes} bytes; set maxmemory below what this machine has.")
        => RequestedBytes = requestedBytes;

    /// <summary>Size of the block that was asked for.</summary>
    public ulong RequestedBytes { get; }
}
