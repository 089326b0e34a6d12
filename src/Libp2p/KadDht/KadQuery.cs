using Leither.Ipfs.Keys;

namespace Leither.Libp2p.KadDht;

/// <summary>What a lookup is for.</summary>
internal enum KadQueryKind
{
    Closest,
    FindPeer,
    FindProviders,
    GetValue,
    Provide,
    PutValue,
}

/// <summary>A lookup with a purpose: what it asks, what it has found, what is to be stored at its end.</summary>
internal sealed class KadQuery(KadQueryKind kind, byte[] key, Lookup lookup, DateTimeOffset deadline)
{
    public KadQueryKind Kind { get; } = kind;

    /// <summary>What is looked for, as the messages have it.</summary>
    public byte[] Key { get; } = key;

    public Lookup Lookup { get; } = lookup;

    public DateTimeOffset Deadline { get; } = deadline;

    /// <summary>How many providers, or values, are enough.</summary>
    public int Wanted { get; init; } = int.MaxValue;

    /// <summary>The peer that is looked for.</summary>
    public PeerId Peer { get; init; }

    /// <summary>The value to be stored, or the best that was found.</summary>
    public byte[]? Value { get; set; }

    /// <summary>The peer that was looked for.</summary>
    public KadPeer? FoundPeer { get; set; }

    /// <summary>Providers, each once.</summary>
    public List<KadPeer> Providers { get; } = [];

    public HashSet<PeerId> ProviderIds { get; } = [];

    /// <summary>How many valid values came.</summary>
    public int Values { get; set; }

    /// <summary>Who answered with a value that is not the best, or none.</summary>
    public Dictionary<PeerId, byte[]?> Answers { get; } = [];

    /// <summary>How many peers took what was to be stored.</summary>
    public int Stored { get; set; }

    /// <summary>How many have been told to store and have not answered.</summary>
    public int Storing { get; set; }

    public bool IsStoring { get; set; }

    public bool IsEnded { get; set; }

    /// <summary>Is told of each provider as it comes.</summary>
    public Action<KadPeer>? Found { get; init; }

    /// <summary>Is told of the end, once.</summary>
    public Action<KadQuery>? Done { get; init; }

    public KadMessage Request => Kind switch
    {
        KadQueryKind.FindProviders => new KadMessage { Type = KadMessageType.GetProviders, Key = Key },
        KadQueryKind.GetValue => new KadMessage { Type = KadMessageType.GetValue, Key = Key },
        // Whatever a key is, the nodes near it are found with it.
        _ => new KadMessage { Type = KadMessageType.FindNode, Key = Key },
    };

    public bool HasEnough => Kind switch
    {
        KadQueryKind.FindPeer => FoundPeer != null,
        KadQueryKind.FindProviders => Providers.Count >= Wanted,
        KadQueryKind.GetValue => Values >= Wanted,
        _ => false,
    };
}
