using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Leither.Resp;

namespace Leither.MmDb.Rdb;

/// <summary>What <see cref="RdbFile"/> met.</summary>
public enum RdbItem
{
    /// <summary>A key with its value.</summary>
    Key,
    /// <summary>A library of functions.</summary>
    Function,
    /// <summary>The end; the checksum was right.</summary>
    End,
}

/// <summary>
/// Reads an RDB file from its beginning to its end, key by key. A value is given as the bytes that it has in the file, all of them at once and
/// with bounds checked; whoever wants what is in it decodes them. Memory is that of the largest value, and no more than the
/// file really holds, whatever lengths it claims.
/// </summary>
public sealed unsafe class RdbFile : IDisposable
{
    private const int FirstCapacity = 1 << 20;
    private const int MagicBytes = 9;
    private const int ChecksummedFrom = 5;
    private const int MinPayloadVersion = 6;

    private readonly Stream _stream;
    private readonly byte[]? _begun;
    private byte* _data;
    private long _capacity, _at, _end, _hashed, _consumed;
    private ulong _crc;
    private int _begunAt;
    private RdbScratch _keyScratch;
    private long _keyStart, _valueStart, _valueLength;

    /// <summary>Reads the head.</summary>
    /// <param name="stream">The file, at its beginning; it stays the caller's.</param>
    /// <param name="begun">Bytes of it that were taken off the stream already.</param>
    /// <exception cref="RdbFormatException">It is no RDB file, or of a newer version.</exception>
    public RdbFile(Stream stream, byte[]? begun = null)
    {
        _stream = stream;
        _begun = begun;
        _capacity = FirstCapacity;
        _data = (byte*)NativeMemory.Alloc(FirstCapacity);
        Need(MagicBytes);
        string magic = Encoding.ASCII.GetString(_data, MagicBytes);
        if (!magic.StartsWith("REDIS", StringComparison.Ordinal) || !int.TryParse(magic[5..], NumberStyles.None, CultureInfo.InvariantCulture, out int version))
        {
            throw new RdbFormatException("the file does not begin as an RDB file does (REDIS and its version)");
        }

        if (version is < 1 or > RdbFormat.MaxVersion)
        {
            throw new RdbFormatException($"the file has RDB version {version}; versions up to {RdbFormat.MaxVersion} are known");
        }

        Version = version;
        _at = MagicBytes;
    }

    /// <summary>The version that the file says.</summary>
    public int Version { get; }

    /// <summary>Bytes read so far, up to the end of the last item.</summary>
    public long Position => _consumed + _at;

    /// <summary>The database of the key.</summary>
    public int Database { get; private set; }
    /// <summary>When the key expires, in Unix milliseconds; 0: never.</summary>
    public long ExpireAt { get; private set; }
    /// <summary>Seconds since the key was used; negative: not told.</summary>
    public long IdleSeconds { get; private set; }
    /// <summary>How frequently the key was used (0 … 255); negative: not told.</summary>
    public int Frequency { get; private set; }
    /// <summary>The key's name; good until the next item is read.</summary>
    public Slice Key { get; private set; }
    /// <summary>Type and value, as RESTORE's payload begins with; or a library's source. Good until the next item is read.</summary>
    public byte* Value => _data + _valueStart;
    /// <summary>Bytes of the value.</summary>
    public long ValueLength => _valueLength;
    /// <summary>The source of the library that <see cref="RdbItem.Function"/> told of: bytes, of which not all need be text. Good until the next item is read.</summary>
    public ReadOnlySpan<byte> FunctionSource
    {
        get
        {
            var reader = new RdbReader(Value, _valueLength);
            return reader.String(ref _keyScratch).Span;
        }
    }

    /// <summary>Writes the ten bytes that make the value a payload for RESTORE: a version and a checksum.</summary>
    public void WriteFooter(byte* footer)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(new Span<byte>(footer, 2), (ushort)Math.Max(Version, MinPayloadVersion));
        ulong crc = Crc64.Compute(Crc64.Compute(0, Value, _valueLength), footer, 2);
        BinaryPrimitives.WriteUInt64LittleEndian(new Span<byte>(footer + 2, 8), crc);
    }

    /// <summary>What the file's fields say (redis-ver, repl-offset, …).</summary>
    public Dictionary<string, string> Fields { get; } = [];
    /// <summary>Keys and expiring keys that the database is to have, as the file announces; 0 where it does not.</summary>
    public long AnnouncedKeys { get; private set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_data);
        _data = null;
        _keyScratch.Dispose();
    }

    /// <summary>Goes to the next item.</summary>
    /// <exception cref="RdbFormatException">The file is damaged; the message says where.</exception>
    public RdbItem Read()
    {
        try
        {
            return ReadItem();
        }
        catch (RdbFormatException e)
        {
            throw new RdbFormatException($"At byte {Position}: {e.Message}");
        }
    }

    private RdbItem ReadItem()
    {
        ExpireAt = 0;
        IdleSeconds = -1;
        Frequency = -1;
        while (true)
        {
            Forget();
            byte opcode = Byte();
            switch (opcode)
            {
                case RdbFormat.ExpireTime:
                    ExpireAt = Math.Max(1, BinaryPrimitives.ReadInt32LittleEndian(Bytes(4)) * 1000L);
                    break;
                case RdbFormat.ExpireTimeMs:
                    ExpireAt = Math.Max(1, BinaryPrimitives.ReadInt64LittleEndian(Bytes(8)));
                    break;
                case RdbFormat.Frequency:
                    Frequency = Byte();
                    break;
                case RdbFormat.Idle:
                    IdleSeconds = (long)Math.Min(Length(), uint.MaxValue);
                    break;
                case RdbFormat.SelectDb:
                    ulong database = Length();
                    Database = database <= int.MaxValue ? (int)database : throw new RdbFormatException($"there is no database {database}");
                    break;
                case RdbFormat.ResizeDb:
                    AnnouncedKeys += (long)Math.Min(Length(), 1UL << 48);
                    Length();
                    break;
                case RdbFormat.SlotInfo:
                    Length();
                    Length();
                    Length();
                    break;
                case RdbFormat.Aux:
                    string name = Text();
                    Fields[name] = Text();
                    break;
                case RdbFormat.ModuleAux:
                    Length();
                    SkipModule();
                    break;
                case RdbFormat.Function2:
                    _valueStart = _at;
                    SkipString();
                    _valueLength = _at - _valueStart;
                    return RdbItem.Function;
                case RdbFormat.FunctionPreGa:
                    throw new RdbFormatException("a function is in the format of a release candidate of Redis 7.0");
                case RdbFormat.Eof:
                    CheckSum();
                    return RdbItem.End;
                default:
                    ReadKey(opcode);
                    return RdbItem.Key;
            }
        }
    }

    private void ReadKey(byte type)
    {
        // The type byte stands before the name, and in a payload before the value: it is put there, over the name's last byte.
        long start = _at;
        SkipString();
        long after = _at;
        _keyStart = start;
        SkipValue((RdbType)type);
        Hash();
        var reader = new RdbReader(_data + _keyStart, after - _keyStart);
        Slice name = reader.String(ref _keyScratch);
        if (name.Pointer >= _data && name.Pointer < _data + _end)
        {
            byte* copy = _keyScratch.Take(Math.Max(1, name.Length));
            name.Span.CopyTo(new Span<byte>(copy, name.Length));
            name = new Slice(copy, name.Length);
        }

        Key = name;
        _valueStart = after - 1;
        _data[_valueStart] = type;
        _valueLength = _at - _valueStart;
    }

    private void CheckSum()
    {
        Hash();
        if (Version < ChecksummedFrom)
        {
            return;
        }

        ulong expected = BinaryPrimitives.ReadUInt64LittleEndian(Bytes(8));
        if (expected != 0 && expected != _crc)
        {
            throw new RdbFormatException("the checksum of the whole file is wrong");
        }
    }

    /// <summary>What follows the RDB file in the same stream and was read already (the commands after the preamble of an AOF).</summary>
    public ReadOnlySpan<byte> Rest => new(_data + _at, (int)Math.Min(_end - _at, int.MaxValue));

    // ------------------------------------------------------------------ values

    private void SkipValue(RdbType type)
    {
        switch (type)
        {
            case RdbType.String or RdbType.HashZipmap or RdbType.ListZiplist or RdbType.SetIntSet or RdbType.SortedSetZiplist or RdbType.HashZiplist
                or RdbType.HashListpack or RdbType.SortedSetListpack or RdbType.SetListpack or RdbType.HashListpackExPreGa:
                SkipString();
                break;
            case RdbType.List or RdbType.Set or RdbType.ListQuicklist:
                SkipStrings(Length(), 1);
                break;
            case RdbType.Hash:
                SkipStrings(Length(), 2);
                break;
            case RdbType.SortedSet:
                for (ulong left = Length(); left > 0; left--)
                {
                    SkipString();
                    byte size = Byte();
                    Skip(size < 253 ? size : 0);
                }

                break;
            case RdbType.SortedSet2:
                for (ulong left = Length(); left > 0; left--)
                {
                    SkipString();
                    Skip(8);
                }

                break;
            case RdbType.ListQuicklist2:
                for (ulong left = Length(); left > 0; left--)
                {
                    Length();
                    SkipString();
                }

                break;
            case RdbType.StreamListpacks or RdbType.StreamListpacks2 or RdbType.StreamListpacks3:
                SkipStream(type);
                break;
            case RdbType.HashMetadata or RdbType.HashMetadataPreGa:
                Skip(type == RdbType.HashMetadata ? 8 : 0);
                for (ulong left = Length(); left > 0; left--)
                {
                    Length();
                    SkipStrings(1, 2);
                }

                break;
            case RdbType.HashListpackEx:
                Skip(8);
                SkipString();
                break;
            case RdbType.Module2:
                SkipModule();
                break;
            case RdbType.Module:
                throw new RdbFormatException("a value is of a module's type in the old format, which only that module can read");
            default:
                throw new RdbFormatException($"0x{(byte)type:x2} is no type of value that is known");
        }
    }

    private void SkipStream(RdbType type)
    {
        SkipStrings(Length(), 2);
        SkipLengths(type == RdbType.StreamListpacks ? 3 : 8);
        for (ulong groups = Length(); groups > 0; groups--)
        {
            SkipString();
            SkipLengths(type == RdbType.StreamListpacks ? 2 : 3);
            for (ulong pending = Length(); pending > 0; pending--)
            {
                Skip(16 + 8);
                Length();
            }

            for (ulong consumers = Length(); consumers > 0; consumers--)
            {
                SkipString();
                Skip(type == RdbType.StreamListpacks3 ? 16 : 8);
                for (ulong pending = Length(); pending > 0; pending--)
                {
                    Skip(16);
                }
            }
        }
    }

    /// <summary>A module's value, whose parts say what they are.</summary>
    private void SkipModule()
    {
        const ulong end = 0, signed = 1, unsigned = 2, single = 3, wide = 4, text = 5;
        Length();
        while (true)
        {
            switch (Length())
            {
                case end:
                    return;
                case signed or unsigned:
                    Length();
                    break;
                case single:
                    Skip(4);
                    break;
                case wide:
                    Skip(8);
                    break;
                case text:
                    SkipString();
                    break;
                default:
                    throw new RdbFormatException("a module's value is damaged");
            }
        }
    }

    private void SkipStrings(ulong count, int each)
    {
        for (; count > 0; count--)
        {
            for (int i = 0; i < each; i++)
            {
                SkipString();
            }
        }
    }

    private void SkipLengths(int count)
    {
        for (; count > 0; count--)
        {
            Length();
        }
    }

    private void SkipString()
    {
        ulong length = Length(out bool isEncoding);
        if (isEncoding)
        {
            switch (length)
            {
                case 0 or 1 or 2:
                    Skip(1L << (int)length);
                    return;
                case 3:
                    length = Length();
                    Length();
                    break;
                default:
                    throw new RdbFormatException($"a string has encoding {length}, which is not known");
            }
        }

        if (length > (ulong)RdbFormat.MaxStringBytes)
        {
            throw new RdbFormatException($"a string of {length} bytes is too long");
        }

        Skip((long)length);
    }

    private string Text()
    {
        long start = _at;
        SkipString();
        var reader = new RdbReader(_data + start, _at - start);
        return Encoding.UTF8.GetString(reader.String(ref _keyScratch).Span);
    }

    // ------------------------------------------------------------------ bytes

    private byte Byte()
    {
        if (_at == _end)
        {
            Need(1);
        }

        return _data[_at++];
    }

    private ReadOnlySpan<byte> Bytes(int count)
    {
        Skip(count);
        return new ReadOnlySpan<byte>(_data + _at - count, count);
    }

    private void Skip(long count)
    {
        if (_end - _at < count)
        {
            Need(count);
        }

        _at += count;
    }

    private ulong Length() => Length(out bool isEncoding) is var value && !isEncoding ? value : throw new RdbFormatException("an encoding stands where a length must");

    private ulong Length(out bool isEncoding)
    {
        byte first = Byte();
        isEncoding = first >> 6 == 3;
        return (first >> 6) switch
        {
            0 => first,
            1 => (ulong)(first & 0x3F) << 8 | Byte(),
            3 => (ulong)first & 0x3F,
            _ => first switch
            {
                0x80 => BinaryPrimitives.ReadUInt32BigEndian(Bytes(4)),
                0x81 => BinaryPrimitives.ReadUInt64BigEndian(Bytes(8)),
                _ => throw new RdbFormatException($"a length begins with 0x{first:x2}"),
            },
        };
    }

    /// <summary>Takes what was read up to here into the checksum; it may be overwritten then.</summary>
    private void Hash()
    {
        _crc = Crc64.Compute(_crc, _data + _hashed, _at - _hashed);
        _hashed = _at;
    }

    /// <summary>Lets the bytes before go when the next ones are read.</summary>
    private void Forget()
    {
        Hash();
        _keyStart = _at;
        if (_at > _capacity / 2)
        {
            long left = _end - _at;
            Buffer.MemoryCopy(_data + _at, _data, left, left);
            _consumed += _at;
            _at = _hashed = _keyStart = 0;
            _end = left;
        }
    }

    private void Need(long count)
    {
        while (_end - _at < count)
        {
            if (_end == _capacity)
            {
                // Twice what came so far, not what is claimed to come.
                _capacity *= 2;
                _data = (byte*)NativeMemory.Realloc(_data, (nuint)_capacity);
            }

            int read = Fill((int)Math.Min(_capacity - _end, 1 << 20));
            if (read == 0)
            {
                throw new RdbFormatException("the file ends early");
            }

            _end += read;
        }
    }

    private int Fill(int count)
    {
        var place = new Span<byte>(_data + _end, count);
        if (_begun is null || _begunAt == _begun.Length)
        {
            return _stream.Read(place);
        }

        ReadOnlySpan<byte> begun = _begun.AsSpan(_begunAt);
        begun = begun[..Math.Min(begun.Length, count)];
        begun.CopyTo(place);
        _begunAt += begun.Length;
        return begun.Length;
    }
}
