using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

/// <summary>A block is none of UnixFS, or contradicts those that it stands with.</summary>
public sealed class UnixFsException : MalformedBlockException
{
    /// <summary>Says what is wrong with which block.</summary>
    public UnixFsException(Cid cid, string problem)
        : base(cid.IsNone ? $"UnixFS: {problem}" : $"UnixFS, block {cid}: {problem}") => Cid = cid;

    /// <summary>The block; none where its bytes alone were looked at.</summary>
    public Cid Cid { get; }
}

/// <summary>A block that is needed is not in the store.</summary>
public sealed class BlockMissingException : IOException
{
    /// <summary>Names the block.</summary>
    public BlockMissingException(Cid cid)
        : base($"The block {cid} is not here") => Cid = cid;

    /// <summary>The block.</summary>
    public Cid Cid { get; }
}

/// <summary>A path leads nowhere, or further than it can.</summary>
public sealed class UnixFsPathException : IOException
{
    /// <summary>Says why.</summary>
    public UnixFsPathException(string message, bool isMissing)
        : base(message) => IsMissing = isMissing;

    /// <summary>Whether all would be well if only the last name that was looked up were there.</summary>
    public bool IsMissing { get; }
}
