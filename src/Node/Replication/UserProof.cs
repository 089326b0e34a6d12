using Leither.Ipfs;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;

namespace Leither.Node.Replication;

/// <summary>
/// What a node shows to be given what its user may have: the user's signature over who shows it to whom, for which MiMei, and when. It is of use on a connection between
/// these two nodes only, so nobody gains by copying it.
/// </summary>
/// <remarks>
/// <code>
/// [ the user's public key (protobuf), Unix milliseconds, signature (Ed25519) ]
/// signed:  "leither-user-1:" [ who shows it, whom it is shown to, the MiMei's id, Unix milliseconds ]
/// </code>
/// </remarks>
internal static class UserProof
{
    /// <summary>A longer one is none.</summary>
    public const int MaxBytes = 256;

    /// <summary>How old it may be, or how young: clocks of two machines may be hours apart.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromHours(24);

    private static ReadOnlySpan<byte> Prefix => "leither-user-1:"u8;

    public static byte[] Make(PrivateKey user, PeerId from, PeerId to, LeitherId mid, long nowMs)
    {
        var writer = new DagCborWriter();
        writer.WriteArrayStart(3);
        writer.WriteBytes(user.PublicKey.Protobuf);
        writer.WriteInt64(nowMs);
        writer.WriteBytes(user.Sign(Signed(from, to, mid, nowMs)));
        return writer.ToArray();
    }

    /// <summary>Whose key it proves; null: it proves nothing.</summary>
    public static PublicKey? Check(ReadOnlySpan<byte> proof, PeerId from, PeerId to, LeitherId mid, long nowMs)
    {
        if (proof.IsEmpty || proof.Length > MaxBytes) return null;
        try
        {
            var reader = new DagCborReader(proof);
            reader.ReadArrayStart(3);
            if (!PublicKey.TryFromProtobuf(reader.ReadBytes(), out PublicKey? user)) return null;
            long time = reader.ReadInt64();
            ReadOnlySpan<byte> signature = reader.ReadBytes(Ed25519.SignatureLength);
            reader.End();
            bool isInTime = time >= 0 && Math.Abs(nowMs - time) <= (long)Lifetime.TotalMilliseconds;
            return isInTime && user.Verify(Signed(from, to, mid, time), signature) ? user : null;
        }
        catch (MalformedBlockException)
        {
            return null;
        }
    }

    private static byte[] Signed(PeerId from, PeerId to, LeitherId mid, long timeMs)
    {
        var writer = new DagCborWriter();
        writer.WriteArrayStart(4);
        writer.WriteBytes(from.ToArray());
        writer.WriteBytes(to.ToArray());
        writer.WriteBytes(mid.ToArray());
        writer.WriteInt64(timeMs);
        return [.. Prefix, .. writer.Written];
    }
}
