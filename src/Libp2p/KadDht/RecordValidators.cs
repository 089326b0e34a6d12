using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.KadDht;

/// <summary>The rules of one kind of values: the keys "/namespace/…". Values without such rules are refused, since anybody could overwrite them.</summary>
public interface IRecordValidator
{
    /// <summary>What their keys begin with, slashes included.</summary>
    string Prefix { get; }

    /// <summary>Whether a value may stand under a key, now.</summary>
    bool IsValid(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, DateTimeOffset now);

    /// <summary>Which of two valid values counts; positive: the first.</summary>
    int Compare(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second);
}

/// <summary>Public keys, under the peer ids that are their hashes.</summary>
public sealed class PublicKeyValidator : IRecordValidator
{
    /// <inheritdoc/>
    public string Prefix => "/pk/";

    /// <inheritdoc/>
    public bool IsValid(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, DateTimeOffset now) =>
        key.StartsWith("/pk/"u8) && PeerId.TryRead(key["/pk/"u8.Length..], out PeerId id) && PeerKey.TryFromProtobuf(value, out PeerKey? read)
        && (read.PeerId == id || Multihash.Sha256(value) == id.Multihash);

    /// <inheritdoc/>
    public int Compare(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second) => 0;
}

/// <summary>IPNS records, signed by the key of their name; the newest counts.</summary>
public sealed class IpnsValidator : IRecordValidator
{
    /// <inheritdoc/>
    public string Prefix => "/ipns/";

    /// <inheritdoc/>
    public bool IsValid(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, DateTimeOffset now)
    {
        if (!IpnsRecord.TryParseRoutingKey(key, out PeerId name))
        {
            return false;
        }

        try
        {
            _ = IpnsRecord.ReadValid(name, value, now);
            return true;
        }
        catch (IpnsException)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public int Compare(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second) => IpnsRecord.Read(first).CompareTo(IpnsRecord.Read(second));
}

/// <summary>All the rules.</summary>
internal sealed class RecordRules(IEnumerable<IRecordValidator> validators)
{
    private readonly (byte[] Prefix, IRecordValidator Validator)[] _rules = [.. validators.Select(v => (System.Text.Encoding.ASCII.GetBytes(v.Prefix), v))];

    public bool IsValid(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, DateTimeOffset now) =>
        value.Length <= ValueStore.MaxValueLength && Find(key)?.IsValid(key, value, now) == true;

    public int Compare(ReadOnlySpan<byte> key, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second) => Find(key)?.Compare(first, second) ?? 0;

    private IRecordValidator? Find(ReadOnlySpan<byte> key)
    {
        foreach ((byte[] prefix, IRecordValidator validator) in _rules)
        {
            if (key.StartsWith(prefix))
            {
                return validator;
            }
        }

        return null;
    }
}
