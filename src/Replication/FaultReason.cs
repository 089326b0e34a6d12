namespace Leither.Replication;

/// <summary>Why a peer is no source for a while.</summary>
public enum FaultReason
{
    /// <summary>It sent nothing for too long.</summary>
    Stalled = 0,

    /// <summary>It did not have a block that it must have.</summary>
    Withheld = 1,

    /// <summary>It showed a head below what was seen, again and again.</summary>
    OldHead = 2,

    /// <summary>Bytes did not fit their hash: a rotten disk does that, too.</summary>
    WrongBytes = 3,

    /// <summary>Its messages contradict the protocol.</summary>
    Protocol = 4,

    /// <summary>A head, a certificate or a version was not signed by who may: no honest node passes that on.</summary>
    Forged = 5,
}
