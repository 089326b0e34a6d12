using Leither.Ipfs.Multiformats;

namespace Leither.MmDb;

/// <content>What a MiMei of files holds: of no database, and only by its name. The blocks of the files are stored before it is named.</content>
public sealed unsafe partial class Effects
{
    /// <summary>The files are those that this root leads to; none: there are no files.</summary>
    public void SetFiles(in Cid root)
    {
        EffectWriter w = Append(EffectTag.FilesSet);
        if (w.IsOn)
        {
            w.Bytes(root.IsNone ? [] : root.ToArray());
        }

        _keyspace.Files = root;
        _keyspace.Dirty++;
    }

    private bool ApplyFiles(ref EffectReader reader, EffectTag tag)
    {
        if (tag != EffectTag.FilesSet)
        {
            return false;
        }

        byte* bytes = reader.Bytes(out int length);
        Cid root = default;
        if (length > 0 && !Cid.TryRead(new ReadOnlySpan<byte>(bytes, length), out root))
        {
            throw new UnknownEffectException("the root of the files is no CID that this version knows");
        }

        SetFiles(root);
        return true;
    }
}
