using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.MmDb.Replication;

/// <summary>Where a MiMei lies, as far as it is needed to make a copy of one that is written here, and the other way round.</summary>
public sealed class MimeiFiles
{
    /// <summary>The folder of its checkpoints, and of the file that says that it is a copy (<see cref="CopyFile"/>).</summary>
    public required IFolder Folder { get; init; }

    /// <summary>The folder of its log.</summary>
    public required IFolder Log { get; init; }

    /// <summary>How its log is kept.</summary>
    public required LogOptions LogOptions { get; init; }

    /// <summary>Where MiMei are kept, for the fork of what a writer wrote that another one took over from; null: nowhere.</summary>
    public IMimeiStore? Store { get; init; }

    /// <summary>Is told what a person should know, for the node's own log.</summary>
    public Action<string> Report { get; init; } = static _ => { };
}
