// Messages of DNS (RFC 1035), for looking up TXT records and for multicast DNS (RFC 6762).
//
//   [id][flags][counts of questions, answers, authorities, additionals]   question: name, type, class   record: name, type, class, ttl, length, data
//
// Whatever arrives may come from anyone. A name may point to an earlier one: only ever further back, so that it ends; lengths are compared with what is left;
// names, records and strings have limits. Text that is not ours to judge (other services' names) is read, and escaped.

using System.Buffers.Binary;
using System.Text;

namespace Leither.Libp2p.Names;

/// <summary>The types of records that are read.</summary>
internal enum DnsType : ushort
{
    CName = 5,
    Ptr = 12,
    Txt = 16,
    Opt = 41,
    Any = 255,
}

/// <summary>What is asked.</summary>
/// <param name="Name">The name, in lower case.</param>
/// <param name="Type">The type.</param>
/// <param name="WantsUnicast">Multicast DNS: the answer may come to the asker alone.</param>
internal sealed record DnsQuestion(string Name, DnsType Type, bool WantsUnicast = false);

/// <summary>A record.</summary>
/// <param name="Name">The name, in lower case.</param>
/// <param name="Type">The type.</param>
internal sealed record DnsRecord(string Name, DnsType Type)
{
    /// <summary>For how many seconds it holds.</summary>
    public uint Ttl { get; init; }

    /// <summary>Multicast DNS: whether it is the only one of its name and type.</summary>
    public bool IsUnique { get; init; }

    /// <summary>The name that a PTR or CNAME record leads to.</summary>
    public string? Target { get; init; }

    /// <summary>The strings of a TXT record.</summary>
    public IReadOnlyList<string> Texts { get; init; } = [];
}

/// <summary>A message.</summary>
internal sealed record DnsMessage
{
    /// <summary>The longest message that is written for multicast: what fits a frame of Ethernet.</summary>
    public const int MaxMulticastLength = 1440;

    /// <summary>The most records, and the most questions, that a message may say it has.</summary>
    public const int MaxRecords = 256;

    /// <summary>The most bytes of one string.</summary>
    public const int MaxTextLength = 255;

    private const int HeaderLength = 12;
    private const int MaxLabelLength = 63;
    private const int MaxNameLength = 255;
    private const ushort ClassInternet = 1;
    private const ushort ClassAny = 255;
    private const ushort ClassFlag = 0x8000;
    private const ushort FlagResponse = 0x8000, FlagAuthoritative = 0x0400, FlagTruncated = 0x0200, FlagRecursionDesired = 0x0100;

    public ushort Id { get; init; }

    public bool IsResponse { get; init; }

    public bool IsAuthoritative { get; init; }

    public bool IsTruncated { get; init; }

    public bool RecursionDesired { get; init; }

    /// <summary>0: no error; 3: no such name.</summary>
    public int ResponseCode { get; init; }

    /// <summary>Says in an OPT record how long an answer may be; 0: without.</summary>
    public ushort MaxAnswerLength { get; init; }

    public IReadOnlyList<DnsQuestion> Questions { get; init; } = [];

    public IReadOnlyList<DnsRecord> Answers { get; init; } = [];

    public IReadOnlyList<DnsRecord> Additionals { get; init; } = [];

    /// <summary>Reads a message.</summary>
    /// <exception cref="Libp2pException">It is none.</exception>
    public static DnsMessage Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderLength)
        {
            throw Refuse("a message of less than a header");
        }

        ushort flags = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        Span<int> counts = stackalloc int[4];
        for (int i = 0; i < counts.Length; i++)
        {
            counts[i] = BinaryPrimitives.ReadUInt16BigEndian(bytes[(4 + 2 * i)..]);
        }

        if (counts[0] > MaxRecords || counts[1] + counts[2] + counts[3] > MaxRecords)
        {
            throw Refuse($"a message of more than {MaxRecords} records");
        }

        int at = HeaderLength;
        var questions = new List<DnsQuestion>(Math.Min(counts[0], 16));
        for (int i = 0; i < counts[0]; i++)
        {
            string name = ReadName(bytes, ref at);
            ushort type = ReadNumber(bytes, ref at);
            ushort kind = ReadNumber(bytes, ref at);
            if ((kind & ~ClassFlag) is ClassInternet or ClassAny)
            {
                questions.Add(new DnsQuestion(name, (DnsType)type, (kind & ClassFlag) != 0));
            }
        }

        List<DnsRecord> answers = ReadRecords(bytes, ref at, counts[1]);
        // Authorities say who would know; nobody is asked in their place.
        ReadRecords(bytes, ref at, counts[2]);
        List<DnsRecord> additionals = ReadRecords(bytes, ref at, counts[3]);
        return new DnsMessage
        {
            Id = BinaryPrimitives.ReadUInt16BigEndian(bytes),
            IsResponse = (flags & FlagResponse) != 0,
            IsAuthoritative = (flags & FlagAuthoritative) != 0,
            IsTruncated = (flags & FlagTruncated) != 0,
            RecursionDesired = (flags & FlagRecursionDesired) != 0,
            ResponseCode = flags & 0xF,
            Questions = questions,
            Answers = answers,
            Additionals = additionals,
        };
    }

    /// <summary>Whether a text can be a name: labels of 1 to 63 bytes, 255 together.</summary>
    public static bool IsName(string text)
    {
        string name = text.EndsWith('.') ? text[..^1] : text;
        return name.Length is > 0 and < MaxNameLength - 1 && name.Split('.').All(label => label.Length is > 0 and <= MaxLabelLength && label.All(c => c is > ' ' and < (char)0x7F and not '\\'));
    }

    /// <summary>The message's bytes. Names are ours, so they are well-formed.</summary>
    public byte[] ToArray()
    {
        var bytes = new List<byte>(512);
        WriteNumber(bytes, Id);
        WriteNumber(bytes, (ushort)((IsResponse ? FlagResponse : 0) | (IsAuthoritative ? FlagAuthoritative : 0) | (IsTruncated ? FlagTruncated : 0)
            | (RecursionDesired ? FlagRecursionDesired : 0) | ResponseCode));
        WriteNumber(bytes, (ushort)Questions.Count);
        WriteNumber(bytes, (ushort)Answers.Count);
        WriteNumber(bytes, 0);
        WriteNumber(bytes, (ushort)(Additionals.Count + (MaxAnswerLength > 0 ? 1 : 0)));
        foreach (DnsQuestion question in Questions)
        {
            WriteName(bytes, question.Name);
            WriteNumber(bytes, (ushort)question.Type);
            WriteNumber(bytes, (ushort)(ClassInternet | (question.WantsUnicast ? ClassFlag : 0)));
        }

        foreach (DnsRecord record in Answers.Concat(Additionals))
        {
            Write(bytes, record);
        }

        if (MaxAnswerLength > 0)
        {
            // EDNS (RFC 6891): the root's name, the length in place of a class, nothing else.
            bytes.AddRange([0, 0, (byte)DnsType.Opt, (byte)(MaxAnswerLength >> 8), (byte)MaxAnswerLength, 0, 0, 0, 0, 0, 0]);
        }

        return [.. bytes];
    }

    private static List<DnsRecord> ReadRecords(ReadOnlySpan<byte> bytes, ref int at, int count)
    {
        var records = new List<DnsRecord>(Math.Min(count, 16));
        for (int i = 0; i < count; i++)
        {
            string name = ReadName(bytes, ref at);
            var type = (DnsType)ReadNumber(bytes, ref at);
            ushort kind = ReadNumber(bytes, ref at);
            uint ttl = (uint)(ReadNumber(bytes, ref at) << 16) | ReadNumber(bytes, ref at);
            int length = ReadNumber(bytes, ref at);
            if (length > bytes.Length - at)
            {
                throw Refuse("a record that is cut off");
            }

            int end = at + length;
            // Names in the data may point before it, not beyond its end.
            if ((kind & ~ClassFlag) == ClassInternet && ReadData(new DnsRecord(name, type) { Ttl = ttl, IsUnique = (kind & ClassFlag) != 0 }, bytes[..end], at) is { } record)
            {
                records.Add(record);
            }

            at = end;
        }

        return records;
    }

    private static DnsRecord? ReadData(DnsRecord record, ReadOnlySpan<byte> bytes, int at)
    {
        ReadOnlySpan<byte> data = bytes[at..];
        switch (record.Type)
        {
            case DnsType.Ptr:
            case DnsType.CName:
                return record with { Target = ReadLastName(bytes, at) };
            case DnsType.Txt when data.Length > 0:
                return record with { Texts = ReadTexts(data) };
            case DnsType.Txt:
                throw Refuse("a TXT record without a string");
            default:
                return null;
        }
    }

    private static List<string> ReadTexts(ReadOnlySpan<byte> data)
    {
        var texts = new List<string>();
        while (!data.IsEmpty)
        {
            int length = data[0];
            if (length >= data.Length)
            {
                throw Refuse("a string that is cut off");
            }

            // Empty strings say nothing, and could be very many.
            if (length > 0)
            {
                texts.Add(Encoding.UTF8.GetString(data.Slice(1, length)));
            }

            data = data[(1 + length)..];
        }

        return texts;
    }

    private static string ReadLastName(ReadOnlySpan<byte> bytes, int at)
    {
        string name = ReadName(bytes, ref at);
        return at == bytes.Length ? name : throw Refuse("something behind a name");
    }

    private static string ReadName(ReadOnlySpan<byte> bytes, ref int at)
    {
        var name = new StringBuilder();
        int from = at;
        int start = at;
        int length = 1;
        bool jumped = false;
        while (true)
        {
            if (from >= bytes.Length)
            {
                throw Refuse("a name that is cut off");
            }

            int first = bytes[from++];
            if ((first & 0xC0) == 0xC0)
            {
                if (from >= bytes.Length)
                {
                    throw Refuse("a name that is cut off");
                }

                int to = ((first & 0x3F) << 8) | bytes[from++];
                if (!jumped)
                {
                    at = from;
                    jumped = true;
                }

                // Before whatever was begun last: so it ends.
                if (to >= start || to < HeaderLength)
                {
                    throw Refuse("a name that does not point back");
                }

                from = start = to;
                continue;
            }

            if (first > MaxLabelLength)
            {
                throw Refuse("a label of another kind");
            }

            if (first == 0)
            {
                if (!jumped)
                {
                    at = from;
                }

                return name.ToString();
            }

            length += 1 + first;
            if (length > MaxNameLength || first > bytes.Length - from)
            {
                throw Refuse("a name that is too long or cut off");
            }

            if (name.Length > 0)
            {
                name.Append('.');
            }

            foreach (byte b in bytes.Slice(from, first))
            {
                // In lower case, since names are equal without regard to it; what would look like the end of a label is told apart.
                if (b is (byte)'.' or (byte)'\\')
                {
                    name.Append('\\');
                }

                name.Append((char)(b is >= (byte)'A' and <= (byte)'Z' ? b | 0x20 : b));
            }

            from += first;
        }
    }

    private static ushort ReadNumber(ReadOnlySpan<byte> bytes, ref int at)
    {
        if (bytes.Length - at < 2)
        {
            throw Refuse("a message that is cut off");
        }

        at += 2;
        return BinaryPrimitives.ReadUInt16BigEndian(bytes[(at - 2)..]);
    }

    private static void Write(List<byte> bytes, DnsRecord record)
    {
        WriteName(bytes, record.Name);
        WriteNumber(bytes, (ushort)record.Type);
        WriteNumber(bytes, (ushort)(ClassInternet | (record.IsUnique ? ClassFlag : 0)));
        WriteNumber(bytes, (ushort)(record.Ttl >> 16));
        WriteNumber(bytes, (ushort)record.Ttl);
        var data = new List<byte>(64);
        switch (record.Type)
        {
            case DnsType.Txt:
                foreach (string text in record.Texts)
                {
                    byte[] utf8 = Encoding.UTF8.GetBytes(text);
                    data.Add(checked((byte)utf8.Length));
                    data.AddRange(utf8);
                }

                break;
            default:
                WriteName(data, record.Target!);
                break;
        }

        WriteNumber(bytes, checked((ushort)data.Count));
        bytes.AddRange(data);
    }

    /// <summary>Names are written in full: messages of ours are short, and some readers trip over pointers.</summary>
    private static void WriteName(List<byte> bytes, string name)
    {
        foreach (string label in (name.EndsWith('.') ? name[..^1] : name).Split('.', StringSplitOptions.RemoveEmptyEntries))
        {
            bytes.Add((byte)label.Length);
            bytes.AddRange(Encoding.Latin1.GetBytes(label));
        }

        bytes.Add(0);
    }

    private static void WriteNumber(List<byte> bytes, ushort number)
    {
        bytes.Add((byte)(number >> 8));
        bytes.Add((byte)number);
    }

    private static Libp2pException Refuse(string why) => Libp2pException.Violation($"DNS: {why}.");
}
