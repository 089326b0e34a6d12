using System.Runtime.CompilerServices;
using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>
/// A command kept for later, in a MULTI queue or for a blocked client: its words are copied out of the receive buffer into one
/// pinned block, so that it runs later exactly as it would have run at once.
/// </summary>
public sealed unsafe class QueuedCommand
{
    private readonly byte[] _block;

    /// <summary>Copies a command's words.</summary>
    public QueuedCommand(CommandSpec spec, Slice* args, int count)
    {
        Spec = spec;
        Count = count;
        long bytes = (long)count * sizeof(Slice);
        for (int i = 0; i < count; i++)
        {
            bytes += args[i].Length;
        }

        _block = GC.AllocateUninitializedArray<byte>(checked((int)bytes), pinned: true);
        byte* start = (byte*)Unsafe.AsPointer(ref _block[0]);
        Args = (Slice*)start;
        byte* place = start + ((long)count * sizeof(Slice));
        for (int i = 0; i < count; i++)
        {
            Buffer.MemoryCopy(args[i].Pointer, place, args[i].Length, args[i].Length);
            Args[i] = new Slice(place, args[i].Length);
            place += args[i].Length;
        }
    }

    /// <summary>The command.</summary>
    public CommandSpec Spec { get; }
    /// <summary>Its words, the name included; they live as long as this object.</summary>
    public Slice* Args { get; }
    /// <summary>How many there are.</summary>
    public int Count { get; }
    /// <summary>Bytes that it holds.</summary>
    public long Bytes => _block.Length;
}
