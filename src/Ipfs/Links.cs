// What a block points to, whatever its codec: the one thing that collecting garbage, exporting a CAR and fetching a graph need to know of it.

using Leither.Ipfs.DagCbor;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs;

/// <summary>The links of blocks.</summary>
public static class Links
{
    /// <summary>Whether links of this codec are known to be found: DAG-CBOR, DAG-PB and DAG-JSON, and those that have none (raw, JSON, CBOR, keys).</summary>
    public static bool CanWalk(ulong codec) => codec is Multicodec.DagCbor or Multicodec.DagPb or Multicodec.DagJson or Multicodec.Raw or Multicodec.Json
        or Multicodec.Cbor or Multicodec.Libp2pKey;

    /// <summary>
    /// The links of a block in the order in which they stand, repeated ones too; for <c>foreach</c>. Each is read from the block when it is asked
    /// for, so nothing is allocated (but for DAG-JSON, which is read whole), and the block has been checked to its end once they are through.
    /// </summary>
    /// <exception cref="NotSupportedException">The codec is none that <see cref="CanWalk"/> knows.</exception>
    /// <exception cref="MalformedBlockException">While enumerating: the block is not what its codec allows.</exception>
    public static LinkEnumerator Of(ulong codec, ReadOnlySpan<byte> block) => new(codec, block);

    /// <summary>Adds the links of a block to a collection, for callers that keep them.</summary>
    public static void AddTo(ICollection<Cid> links, ulong codec, ReadOnlySpan<byte> block)
    {
        foreach (Cid link in Of(codec, block))
        {
            links.Add(link);
        }
    }
}

/// <summary>Goes through the links of one block.</summary>
public ref struct LinkEnumerator
{
    private readonly ulong _codec;
    private DagCborReader _cbor;
    private DagPbReader _pb;

    internal LinkEnumerator(ulong codec, ReadOnlySpan<byte> block)
    {
        _codec = codec;
        switch (codec)
        {
            case Multicodec.DagCbor:
                _cbor = new DagCborReader(block);
                break;
            case Multicodec.DagPb:
                _pb = new DagPbReader(block);
                break;
            case Multicodec.DagJson:
                _cbor = new DagCborReader(DagJson.DagJson.ToCbor(block.ToArray()));
                break;
            case Multicodec.Raw or Multicodec.Json or Multicodec.Cbor or Multicodec.Libp2pKey:
                break;
            default:
                throw new NotSupportedException($"Links of codec 0x{codec:x} cannot be found.");
        }
    }

    /// <summary>The link.</summary>
    public Cid Current { get; private set; }

    /// <summary>Itself, so that <c>foreach</c> takes it.</summary>
    public readonly LinkEnumerator GetEnumerator() => this;

    /// <summary>Goes to the next link.</summary>
    public bool MoveNext() => _codec switch
    {
        Multicodec.DagCbor or Multicodec.DagJson => MoveNextCbor(),
        Multicodec.DagPb => MoveNextPb(),
        _ => false,
    };

    private bool MoveNextCbor()
    {
        while (true)
        {
            if (_cbor.IsKeyNext)
            {
                _cbor.ReadKey();
                continue;
            }

            switch (_cbor.Peek())
            {
                case DagCborKind.Link:
                    Current = _cbor.ReadCid();
                    return true;
                case DagCborKind.Array:
                    _cbor.ReadArrayStart();
                    break;
                case DagCborKind.Map:
                    _cbor.ReadMapStart();
                    break;
                case DagCborKind.End:
                    _cbor.End();
                    return false;
                default:
                    _cbor.Skip();
                    break;
            }
        }
    }

    private bool MoveNextPb()
    {
        if (!_pb.TryReadLink(out DagPbLink link))
        {
            return false;
        }

        Current = link.Hash;
        return true;
    }
}
