// The forms of github.com/ipld/codec-fixtures and others at the edges, with bytes and CIDs as @ipld/dag-pb 4.2 makes them.

using Xunit;

namespace Leither.Ipfs.Tests.DagPb;

internal static class DagPbVectors
{
    /// <summary>What it shows; the block; its CID.</summary>
    public static TheoryData<string, string, string> All { get; } = new()
    {
        { "empty", "", "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku" },
        { "data zero", "0a00", "bafybeiaqfni3s5s2k2r6rgpxz4hohdsskh44ka5tk6ztbjerqpvxwfkwaq" },
        { "data some", "0a050001020304", "bafybeibazl2z4vqp2tmwcfag6wirmtpnomxknqcgrauj7m2yisrz3qjbom" },
        { "hash", "120b0a09015500050001020304", "bafybeia53f5n75ituvc3yupuf7tdnxf6fqetrmo2alc6g6iljkmk7ys5mm" },
        { "v0", "12240a22122022ad631c69ee983095b5b8acd029ff94aff1dc6c48837878589a92b90dfea317", "bafybeidnauq4nl7fikyt2yw7ugcesfxwx4rh77kexytyldn7ys2zgbkv4m" },
        { "name empty", "120d0a090155000500010203041200", "bafybeie7fstnkm4yshfwnmpp7d3mlh4f4okmk7a54d6c3ffr755q7qzk44" },
        { "name", "12160a090155000500010203041209736f6d65206e616d65", "bafybeifq4hcxma3kjljrpxtunnljtc6tvbkgsy3vldyfpfbx2lij76niyu" },
        { "tsize0", "120d0a090155000500010203041800", "bafybeichjs5otecmbvwh5azdr4jc45mp2qcofh2fr54wjdxhz4znahod2i" },
        { "tsize max", "12140a0901550005000102030418ffffffffffffff0f", "bafybeiezymjvhwfuharanxmzxwuomzjjuzqjewjolr4phaiyp6l7qfwo64" },
        { "prepared", "120b0a09015500050001020304120e0a09015500050001020304120162122c0a22122022ad631c69ee983095b5b8acd029ff94aff1dc6c48837878589a92b90dfea317120362617218ac0212120a090155000500010203041203666f6f180312290a22122022ad631c69ee983095b5b8acd029ff94aff1dc6c48837878589a92b90dfea3171203666f6f120f0a090155000500010203041202c3a90a020801", "bafybeibtyy2sf22rwqw44iwzizomlqexg4llp2pgns7fgbgoh4mvmokyhi" },
    };
}
