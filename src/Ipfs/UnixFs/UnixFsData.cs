// The message in the data of a DAG-PB node that makes it a part of a file system. https://specs.ipfs.tech/unixfs/
//
//   Data { Type = 1; bytes Data = 2; uint64 filesize = 3; repeated uint64 blocksizes = 4; uint64 hashType = 5; uint64 fanout = 6;
//          uint32 mode = 7; UnixTime mtime = 8 }
//   UnixTime { int64 Seconds = 1; fixed32 FractionalNanoseconds = 2 }
//
// It is written with its fields in this order. Readers take any order and skip fields that they do not know, as protobuf asks of them; a known
// field of another kind, one that stands twice, and a number out of range are refused. Nothing is allocated but the list of block sizes, of
// which a block cannot hold more than it has bytes.

using System.Buffers.Binary;

namespace Leither.Ipfs.UnixFs;

/// <summary>What a node of a file system is, by the numbers on the wire.</summary>
public enum UnixFsType
{
    /// <summary>Bytes of a file, in nodes made long ago. Read like <see cref="File"/>, never written.</summary>
    Raw = 0,

    /// <summary>A directory in one block.</summary>
    Directory = 1,

    /// <summary>A file, or a part of one.</summary>
    File = 2,

    /// <summary>Reserved.</summary>
    Metadata = 3,

    /// <summary>A symbolic link.</summary>
    Symlink = 4,

    /// <summary>A directory, or a part of one, whose entries are spread over blocks by the hashes of their names.</summary>
    HamtShard = 5,
}

/// <summary>A time of UnixFS: seconds since 1970, or before, and nanoseconds.</summary>
/// <param name="Seconds">Whole seconds.</param>
/// <param name="Nanoseconds">0 to 999,999,999.</param>
public readonly record struct UnixTime(long Seconds, uint Nanoseconds = 0)
{
    private const long MaxSeconds = 253402300799, MinSeconds = -62135596800; // the years 9999 and 1

    /// <summary>The time of a file on disk.</summary>
    public static UnixTime From(DateTime time)
    {
        long ticks = time.ToUniversalTime().Ticks - DateTime.UnixEpoch.Ticks;
        long seconds = Math.DivRem(ticks, TimeSpan.TicksPerSecond, out long rest);
        return rest < 0 ? new UnixTime(seconds - 1, (uint)((rest + TimeSpan.TicksPerSecond) * 100)) : new UnixTime(seconds, (uint)(rest * 100));
    }

    /// <summary>The time as .NET has it; times that it does not know become the first or the last that it does.</summary>
    public DateTime ToDateTime() =>
        DateTime.UnixEpoch.AddTicks(Math.Clamp(Seconds, MinSeconds, MaxSeconds) * TimeSpan.TicksPerSecond + Nanoseconds / 100);
}

/// <summary>The UnixFS message of a node.</summary>
public sealed class UnixFsData
{
    /// <summary>The hash function of sharded directories: the first half of murmur3's 128 bits for 64-bit machines.</summary>
    public const ulong Murmur3X64 = 0x22;

    /// <summary>The bits of <see cref="Mode"/> that mean anything.</summary>
    public const uint ModeMask = 0xFFF;

    // Field number << 3 | kind: 0 is a varint, 2 a length and bytes, 5 four bytes.
    private const ulong TypeTag = 0x08, DataTag = 0x12, FileSizeTag = 0x18, BlockSizeTag = 0x20, PackedBlockSizesTag = 0x22, HashTypeTag = 0x28, FanoutTag = 0x30,
        ModeTag = 0x38, MtimeTag = 0x42, SecondsTag = 0x08, NanosecondsTag = 0x15;

    /// <summary>What the node is.</summary>
    public required UnixFsType Type { get; init; }

    /// <summary>A file's bytes, a link's target, a shard's bit field; empty where there are none.</summary>
    public ReadOnlyMemory<byte> Data { get; init; }

    /// <summary>How many bytes the file has here and below.</summary>
    public ulong? FileSize { get; init; }

    /// <summary>How many bytes of the file each link leads to.</summary>
    public IReadOnlyList<ulong> BlockSizes { get; init; } = [];

    /// <summary>A shard's hash function.</summary>
    public ulong? HashType { get; init; }

    /// <summary>Into how many a shard divides.</summary>
    public ulong? Fanout { get; init; }

    /// <summary>Permissions; all 32 bits, of which <see cref="ModeMask"/> mean something.</summary>
    public uint? Mode { get; init; }

    /// <summary>When it was last changed.</summary>
    public UnixTime? Mtime { get; init; }

    /// <summary>Whether it is a file or a part of one.</summary>
    public bool IsFile => Type is UnixFsType.File or UnixFsType.Raw;

    /// <summary>Whether it is a directory or a part of one.</summary>
    public bool IsDirectory => Type is UnixFsType.Directory or UnixFsType.HamtShard;

    /// <summary>Reads the message. Its <see cref="Data"/> is a part of <paramref name="message"/>.</summary>
    /// <exception cref="UnixFsException">It is none.</exception>
    public static UnixFsData Decode(ReadOnlyMemory<byte> message)
    {
        var reader = new ProtobufReader(message.Span, Refuse);
        UnixFsType? type = null;
        ReadOnlyMemory<byte>? data = null;
        ulong? fileSize = null, hashType = null, fanout = null;
        uint? mode = null;
        UnixTime? mtime = null;
        List<ulong>? blockSizes = null;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case TypeTag:
                    ulong number = Once(type.HasValue, reader.ReadVarint());
                    type = number <= (ulong)UnixFsType.HamtShard ? (UnixFsType)number : throw Refuse($"the type {number} does not exist");
                    break;
                case DataTag:
                    (int start, int length) = reader.ReadRange();
                    data = Once(data.HasValue, message.Slice(start, length));
                    break;
                case FileSizeTag:
                    fileSize = Once(fileSize.HasValue, reader.ReadVarint());
                    break;
                case BlockSizeTag:
                    (blockSizes ??= []).Add(reader.ReadVarint());
                    break;
                case PackedBlockSizesTag:
                    (start, length) = reader.ReadRange();
                    var packed = new ProtobufReader(message.Span.Slice(start, length), Refuse);
                    while (!packed.IsAtEnd) (blockSizes ??= []).Add(packed.ReadVarint());
                    break;
                case HashTypeTag:
                    hashType = Once(hashType.HasValue, reader.ReadVarint());
                    break;
                case FanoutTag:
                    fanout = Once(fanout.HasValue, reader.ReadVarint());
                    break;
                case ModeTag:
                    number = Once(mode.HasValue, reader.ReadVarint());
                    mode = number <= uint.MaxValue ? (uint)number : throw Refuse("the mode exceeds 32 bits");
                    break;
                case MtimeTag:
                    (start, length) = reader.ReadRange();
                    mtime = Once(mtime.HasValue, DecodeTime(message.Span.Slice(start, length)));
                    break;
                case var _ when tag >> 3 is 0 or (>= 1 and <= 8):
                    throw Refuse($"0x{tag:x2} begins no field");
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        return new UnixFsData
        {
            Type = type ?? throw Refuse("it has no type"),
            Data = data ?? default,
            FileSize = fileSize,
            BlockSizes = blockSizes ?? (IReadOnlyList<ulong>)[],
            HashType = hashType,
            Fanout = fanout,
            Mode = mode,
            Mtime = mtime,
        };
    }

    /// <summary>How many bytes <see cref="Encode(Span{byte})"/> writes.</summary>
    public int EncodedLength
    {
        get
        {
            int length = 2;
            if (!Data.IsEmpty) length += 1 + VarintLength((ulong)Data.Length) + Data.Length;
            if (FileSize is { } fileSize) length += 1 + VarintLength(fileSize);
            foreach (ulong size in BlockSizes) length += 1 + VarintLength(size);
            if (HashType is { } hashType) length += 1 + VarintLength(hashType);
            if (Fanout is { } fanout) length += 1 + VarintLength(fanout);
            if (Mode is { } mode) length += 1 + VarintLength(mode);
            if (Mtime is { } mtime) length += 2 + TimeLength(mtime);
            return length;
        }
    }

    /// <summary>Writes the message. The caller has seen to the room: <see cref="EncodedLength"/>.</summary>
    public int Encode(Span<byte> destination)
    {
        int at = WriteField(destination, 0, TypeTag, (ulong)Type);
        if (!Data.IsEmpty)
        {
            at = WriteField(destination, at, DataTag, (ulong)Data.Length);
            Data.Span.CopyTo(destination[at..]);
            at += Data.Length;
        }

        if (FileSize is { } fileSize) at = WriteField(destination, at, FileSizeTag, fileSize);
        foreach (ulong size in BlockSizes) at = WriteField(destination, at, BlockSizeTag, size);
        if (HashType is { } hashType) at = WriteField(destination, at, HashTypeTag, hashType);
        if (Fanout is { } fanout) at = WriteField(destination, at, FanoutTag, fanout);
        if (Mode is { } mode) at = WriteField(destination, at, ModeTag, mode);
        if (Mtime is { } mtime)
        {
            at = WriteField(destination, at, MtimeTag, (ulong)TimeLength(mtime));
            at = WriteField(destination, at, SecondsTag, (ulong)mtime.Seconds);
            if (mtime.Nanoseconds != 0)
            {
                destination[at++] = (byte)NanosecondsTag;
                BinaryPrimitives.WriteUInt32LittleEndian(destination[at..], mtime.Nanoseconds);
                at += 4;
            }
        }

        return at;
    }

    /// <summary>The message's bytes.</summary>
    public byte[] Encode()
    {
        byte[] bytes = new byte[EncodedLength];
        Encode(bytes);
        return bytes;
    }

    private static UnixTime DecodeTime(ReadOnlySpan<byte> message)
    {
        var reader = new ProtobufReader(message, Refuse);
        long? seconds = null;
        uint? nanoseconds = null;
        while (reader.TryReadTag(out ulong tag))
        {
            switch (tag)
            {
                case SecondsTag:
                    seconds = Once(seconds.HasValue, (long)reader.ReadVarint());
                    break;
                case NanosecondsTag:
                    nanoseconds = Once(nanoseconds.HasValue, reader.ReadFixed32());
                    break;
                case var _ when tag >> 3 is 0 or 1 or 2:
                    throw Refuse($"0x{tag:x2} begins no field of a time");
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        if (nanoseconds is 0 or > 999_999_999)
        {
            throw Refuse("a time's nanoseconds are 1 to 999,999,999, or left out");
        }

        return new UnixTime(seconds ?? throw Refuse("a time without seconds"), nanoseconds ?? 0);
    }

    private static int TimeLength(UnixTime time) => 1 + VarintLength((ulong)time.Seconds) + (time.Nanoseconds != 0 ? 5 : 0);

    private static int VarintLength(ulong value) => Protobuf.VarintLength(value);

    private static int WriteField(Span<byte> destination, int at, ulong tag, ulong value) => Protobuf.WriteVarint(destination, Protobuf.WriteVarint(destination, at, tag), value);

    private static T Once<T>(bool hasStood, T value) => hasStood ? throw Refuse("a field stands twice") : value;

    private static UnixFsException Refuse(string why) => new(default, why);
}
