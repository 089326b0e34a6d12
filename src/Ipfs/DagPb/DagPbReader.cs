// DAG-PB, the codec of IPFS's files and folders: a protobuf of links and bytes. https://ipld.io/specs/codecs/dag-pb/spec/
//
//   PBNode { repeated PBLink Links = 2; optional bytes Data = 1 }            on the wire links come first, then data
//   PBLink { bytes Hash = 1; optional string Name = 2; optional uint64 Tsize = 3 }
//
// Stricter than protobuf: fields in this order, none twice, none unknown, numbers in their shortest form. One freedom the specification leaves to
// readers, since much of what exists uses it: data may stand before the links. IsCanonical tells.

using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.DagPb;

/// <summary>One link of a DAG-PB node, as it stands in the block.</summary>
public readonly ref struct DagPbLink
{
    /// <summary>What it points to.</summary>
    public Cid Hash { get; init; }

    /// <summary>Its name, UTF-8 by convention; empty where there is none.</summary>
    public ReadOnlySpan<byte> Name { get; init; }

    /// <summary>Whether there is a name, if only an empty one.</summary>
    public bool HasName { get; init; }

    /// <summary>The size of all that it leads to, as its maker claims.</summary>
    public ulong? Tsize { get; init; }
}

/// <summary>Reads a DAG-PB block link by link, allocating nothing. Every refusal is a <see cref="DagPbException"/>.</summary>
public ref struct DagPbReader
{
    // Field number << 3 | wire type: 2 is a length and bytes, 0 a varint.
    internal const byte DataTag = 0x0A, LinksTag = 0x12;
    internal const byte HashTag = 0x0A, NameTag = 0x12, TsizeTag = 0x18;

    private readonly ReadOnlySpan<byte> _block;
    private ReadOnlySpan<byte> _data;
    private ReadOnlySpan<byte> _lastName;
    private int _position;
    private bool _linksBegun;
    private bool _linksEnded;

    /// <summary>Begins at the first byte of a block.</summary>
    public DagPbReader(ReadOnlySpan<byte> block)
    {
        _block = block;
        IsCanonical = true;
    }

    /// <summary>The node's own bytes: complete once <see cref="TryReadLink"/> has returned false.</summary>
    public readonly ReadOnlySpan<byte> Data => _data;

    /// <summary>Whether there is data, if only empty: known once <see cref="TryReadLink"/> has returned false.</summary>
    public bool HasData { get; private set; }

    /// <summary>
    /// Whether writing the node again gives the same bytes: its links stand before its data, in the order of their names. Known once
    /// <see cref="TryReadLink"/> has returned false.
    /// </summary>
    public bool IsCanonical { get; private set; }

    /// <summary>Reads the next link; false once there is none, and then the block has been checked to its end.</summary>
    public bool TryReadLink(out DagPbLink link)
    {
        while (_position < _block.Length)
        {
            int start = _position;
            byte tag = _block[_position++];
            switch (tag)
            {
                case LinksTag:
                    if (_linksEnded)
                    {
                        throw new DagPbException("links on both sides of the data", start);
                    }

                    _linksBegun = true;
                    DagPbLink read = ReadLink(ReadBytes(_block, ref _position, 0), _position);
                    if (read.Name.SequenceCompareTo(_lastName) < 0)
                    {
                        IsCanonical = false;
                    }

                    _lastName = read.Name;
                    link = read;
                    return true;

                case DataTag:
                    if (HasData)
                    {
                        throw new DagPbException("data stands twice", start);
                    }

                    _data = ReadBytes(_block, ref _position, 0);
                    HasData = true;
                    _linksEnded = _linksBegun;
                    IsCanonical &= _position == _block.Length;
                    break;

                default:
                    throw new DagPbException($"0x{tag:x2} begins no field of a node", start);
            }
        }

        link = default;
        return false;
    }

    private static DagPbLink ReadLink(ReadOnlySpan<byte> message, int end)
    {
        int origin = end - message.Length;
        int at = 0;
        if (message.IsEmpty || message[at++] != HashTag)
        {
            throw new DagPbException("a link begins with its hash", origin);
        }

        if (!Cid.TryRead(ReadBytes(message, ref at, origin), out Cid hash))
        {
            throw new DagPbException("a link's hash is no CID", origin);
        }

        ReadOnlySpan<byte> name = default;
        bool hasName = at < message.Length && message[at] == NameTag;
        if (hasName)
        {
            at++;
            name = ReadBytes(message, ref at, origin);
        }

        ulong? tsize = null;
        if (at < message.Length && message[at] == TsizeTag)
        {
            at++;
            tsize = ReadVarint(message, ref at, origin);
        }

        if (at != message.Length)
        {
            throw new DagPbException($"0x{message[at]:x2} begins no field of a link, or not here", origin + at);
        }

        return new DagPbLink { Hash = hash, Name = name, HasName = hasName, Tsize = tsize };
    }

    private static ReadOnlySpan<byte> ReadBytes(ReadOnlySpan<byte> message, scoped ref int at, int origin)
    {
        int start = at;
        ulong length = ReadVarint(message, ref at, origin);
        if (length > (ulong)(message.Length - at))
        {
            throw new DagPbException("a length exceeds the bytes that are left", origin + start);
        }

        ReadOnlySpan<byte> bytes = message.Slice(at, (int)length);
        at += (int)length;
        return bytes;
    }

    private static ulong ReadVarint(ReadOnlySpan<byte> message, scoped ref int at, int origin)
    {
        if (!Varint.TryRead(message[at..], out ulong value, out int used))
        {
            throw new DagPbException("a number that is cut off, beyond 63 bits or longer than it needs to be", origin + at);
        }

        at += used;
        return value;
    }
}
