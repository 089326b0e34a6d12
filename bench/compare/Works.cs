// The requests of the table: which commands, which keys, how they are loaded.

using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Leither.Compare;

internal static unsafe class Works
{
    public const int Keys = 1_000_000;
    public const int BigValueKeys = 200_000;
    public const int Collections = 100_000;

    /// <summary>A work of the table: what loads its keys, what is measured.</summary>
    public sealed record Measured(string Name, (Work Work, long Requests)[] Load, Work Work);

    public static readonly Measured[] Table =
    [
        new("GET 16 B", [(Sequential("SET", "key:", Keys, 16), Keys)], Get("key:", Keys)),
        new("SET 16 B", [], SetWork("key:", Keys, 16)),
        new("INCR", [], Make("INCR", 48, (byte* p, ref Chance c) => Key(Head(p, "*2\r\n$4\r\nINCR\r\n"u8), "cnt:"u8, c.Next() % Keys))),
        new("GET 1 KiB", [(Sequential("SET", "big:", BigValueKeys, 1024), BigValueKeys)], Get("big:", BigValueKeys)),
        new("SET 1 KiB", [], SetWork("big:", BigValueKeys, 1024)),
        new("HSET", [(SequentialOf("hash:", 10, LoadHash), Collections)], Make("HSET", 128, (byte* p, ref Chance c) =>
            Value(Small(Key(Head(p, "*4\r\n$4\r\nHSET\r\n"u8), "hash:"u8, c.Next() % Collections), 'f', c.Next() % 10), 16))),
        new("SADD", [(SequentialOf("set:", 10, LoadSet), Collections)], Make("SADD", 128, (byte* p, ref Chance c) =>
            Small(Key(Head(p, "*3\r\n$4\r\nSADD\r\n"u8), "set:"u8, c.Next() % Collections), 'm', c.Next() % 20))),
        new("LPUSH", [(SequentialOf("list:", 10, LoadList), Collections)], Make("LPUSH", 128, (byte* p, ref Chance c) =>
            Value(Key(Head(p, "*3\r\n$5\r\nLPUSH\r\n"u8), "list:"u8, c.Next() % Collections), 16))),
        new("LPOP", [], Make("LPOP", 64, (byte* p, ref Chance c) => Key(Head(p, "*2\r\n$4\r\nLPOP\r\n"u8), "list:"u8, c.Next() % Collections))),
        new("ZRANGE 10", [(SequentialOf("zset:", 10, LoadSorted), Collections)], Make("ZRANGE", 96, (byte* p, ref Chance c) =>
            Head(Key(Head(p, "*4\r\n$6\r\nZRANGE\r\n"u8), "zset:"u8, c.Next() % Collections), "$1\r\n0\r\n$1\r\n9\r\n"u8))),
        new("ZADD to one", [(Make("ZADD", 128, (byte* p, ref Chance c) => OneSorted(p, c.Sequence++, c.Next())), Collections)],
            Make("ZADD", 128, (byte* p, ref Chance c) => OneSorted(p, c.Next() % Collections, c.Next()))),
        new("PFADD", [], Make("PFADD", 128, (byte* p, ref Chance c) =>
            Key(Key(Head(p, "*3\r\n$5\r\nPFADD\r\n"u8), "hlls:"u8, c.Next() % 100), "elem:"u8, c.Next() % Keys))),
        new("GEOADD", [], Make("GEOADD", 160, (byte* p, ref Chance c) => Key(
            Key(Key(Head(p, "*5\r\n$6\r\nGEOADD\r\n$6\r\nplaces\r\n"u8), "13."u8, c.Next() % 1_000_000_000_000), "38."u8, c.Next() % 1_000_000_000_000),
            "mem:"u8, c.Next() % Collections))),
        new("XADD", [], Make("XADD", 128, (byte* p, ref Chance c) =>
            Entry(Head(Key(Head(p, "*7\r\n$4\r\nXADD\r\n"u8), "str:"u8, c.Next() % Streams), "$1\r\n*\r\n"u8)))),
        new("XADD, XREADGROUP", [(Make("XGROUP", 128, (byte* p, ref Chance _) =>
            Head(p, "*6\r\n$6\r\nXGROUP\r\n$6\r\nCREATE\r\n$5\r\nqueue\r\n$1\r\ng\r\n$1\r\n$\r\n$8\r\nMKSTREAM\r\n"u8)), 1)], Make("XREADGROUP", 160, QueueStep)),
        new("EVALSHA", [(Make("SCRIPT LOAD", 256, (byte* p, ref Chance _) => Value(Head(p, "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n"u8), Script)), 1)],
            Make("EVALSHA", 160, (byte* p, ref Chance c) =>
                Head(Key(Head(Value(Head(p, "*5\r\n$7\r\nEVALSHA\r\n"u8), ScriptName), "$1\r\n1\r\n"u8), "lim:"u8, c.Next() % Keys), "$3\r\n600\r\n"u8))),
        new("PUBLISH to 100", [], Make("PUBLISH", 128, (byte* p, ref Chance _) => Value(Head(p, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n"u8), 32)) with
        {
            Listeners = 100,
            Listen = "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n"u8.ToArray(),
            ListenReplyLength = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"u8.Length,
            MessageLength = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$32\r\n"u8.Length + 32 + 2,
        }),
    ];

    // A limit of requests in a time, as it is in many applications.
    private static readonly byte[] Script =
        "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end return n"u8.ToArray();

#pragma warning disable CA5350 // Redis names scripts so.
    private static readonly byte[] ScriptName = Encoding.ASCII.GetBytes(Convert.ToHexStringLower(SHA1.HashData(Script)));
#pragma warning restore CA5350

    private const int Streams = 10_000;

    // A queue at work: something comes (the queue stays bounded), and a consumer takes it.
    private static byte* QueueStep(byte* p, ref Chance c) => (c.Sequence++ & 1) == 0
        ? Entry(Head(p, "*10\r\n$4\r\nXADD\r\n$5\r\nqueue\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$6\r\n100000\r\n$1\r\n*\r\n"u8))
        : Head(p, "*9\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$1\r\ng\r\n$1\r\nc\r\n$5\r\nCOUNT\r\n$1\r\n1\r\n$7\r\nSTREAMS\r\n$5\r\nqueue\r\n$1\r\n>\r\n"u8);

    private static byte* Entry(byte* p) => Value(Head(Value(Head(p, "$4\r\nname\r\n"u8), 16), "$5\r\ncount\r\n"u8), 16);

    /// <summary>What the memory of one item is measured with.</summary>
    public static readonly (string Name, Work Load, long Requests, long Items)[] Memory =
    [
        ("string 16 + 32", Sequential("SET", "key:", 0, 32), 1_000_000, 1_000_000),
        ("string 16 + 1 KiB", Sequential("SET", "key:", 0, 1024), 200_000, 200_000),
        ("hash of 10", SequentialOf("hash:", 10, LoadHash), 200_000, 200_000),
        ("set of 10", SequentialOf("set:", 10, LoadSet), 200_000, 200_000),
        ("list of 10", SequentialOf("list:", 10, LoadList), 200_000, 200_000),
        ("sorted set of 10", SequentialOf("zset:", 10, LoadSorted), 200_000, 200_000),
        ("one hash of 1 M", Make("HSET", 128, (byte* p, ref Chance c) =>
            Value(Key(Head(p, "*4\r\n$4\r\nHSET\r\n$7\r\nbighash\r\n"u8), "fld:"u8, c.Sequence++), 16)), 1_000_000, 1_000_000),
        ("one sorted set of 1 M", Make("ZADD", 128, (byte* p, ref Chance c) => OneSorted(p, c.Sequence++, c.Next())), 1_000_000, 1_000_000),
    ];

    public static Work Strings(int valueLength) => Sequential("SET", "key:", 0, valueLength);

    public static Work Get(string prefix, int keys)
    {
        byte[] name = Encoding.ASCII.GetBytes(prefix);
        return Make("GET", 64, (byte* p, ref Chance c) => Key(Head(p, "*2\r\n$3\r\nGET\r\n"u8), name, c.Next() % (ulong)keys));
    }

    public static Work SetWork(string prefix, int keys, int length)
    {
        byte[] name = Encoding.ASCII.GetBytes(prefix);
        return Make("SET", 96 + length, (byte* p, ref Chance c) => Value(Key(Head(p, "*3\r\n$3\r\nSET\r\n"u8), name, c.Next() % (ulong)keys), length));
    }

    /// <summary>Values by chance, 32 bytes: for random keys, or for keys that follow each other.</summary>
    public static Work Fresh(int keys, ulong? from = null) => Make("SET", 128, (byte* p, ref Chance c) =>
    {
        p = Key(Head(p, "*3\r\n$3\r\nSET\r\n"u8), "key:"u8, from is { } first ? first + c.Sequence++ : c.Next() % (ulong)keys);
        p = Head(p, "$32\r\n"u8);
        for (int half = 0; half < 2; half++)
        {
            ulong draw = c.Next();
            for (int i = 0; i < 16; i++, draw >>= 4) *p++ = (byte)('a' + (draw & 15));
        }

        return Head(p, "\r\n"u8);
    });

    /// <summary>One hash of so many fields.</summary>
    public static Work Field(int fields) => Make("HSET", 128, (byte* p, ref Chance c) =>
        Value(Key(Head(p, "*4\r\n$4\r\nHSET\r\n$3\r\none\r\n"u8), "field:"u8, c.Sequence++ % (ulong)fields), 32));

    /// <summary>Half reads, half writes.</summary>
    public static Work Mixed(int keys, int length) => Make("GET+SET", 96 + length, (byte* p, ref Chance c) =>
    {
        ulong draw = c.Next();
        ulong key = draw % (ulong)keys;
        return (draw >> 60 & 1) == 0
            ? Key(Head(p, "*2\r\n$3\r\nGET\r\n"u8), "key:"u8, key)
            : Value(Key(Head(p, "*3\r\n$3\r\nSET\r\n"u8), "key:"u8, key), length);
    });

    /// <summary>Values of random size over few keys: what fragments memory.</summary>
    public static Work Churn(int keys, int longest) => Make("SET", 96 + longest, (byte* p, ref Chance c) =>
        Value(Key(Head(p, "*3\r\n$3\r\nSET\r\n"u8), "key:"u8, c.Next() % (ulong)keys), 1 + (int)(c.Next() % (ulong)longest)));

    private static Work Sequential(string command, string prefix, int keys, int length)
    {
        _ = keys;
        byte[] name = Encoding.ASCII.GetBytes(prefix);
        return Make(command, 96 + length, (byte* p, ref Chance c) => Value(Key(Head(p, "*3\r\n$3\r\nSET\r\n"u8), name, c.Sequence++), length));
    }

    private delegate byte* WriteElements(byte* p, byte[] name, ulong key, int elements);

    private static Work SequentialOf(string prefix, int elements, WriteElements write)
    {
        byte[] name = Encoding.ASCII.GetBytes(prefix);
        return Make(prefix, 128 + (elements * 64), (byte* p, ref Chance c) => write(p, name, c.Sequence++, elements));
    }

    private static byte* LoadHash(byte* p, byte[] name, ulong key, int elements)
    {
        p = Key(Head(Count(p, 2 + (elements * 2)), "$4\r\nHSET\r\n"u8), name, key);
        for (int i = 0; i < elements; i++) p = Value(Small(p, 'f', (ulong)i), 16);
        return p;
    }

    private static byte* LoadSet(byte* p, byte[] name, ulong key, int elements)
    {
        p = Key(Head(Count(p, 2 + elements), "$4\r\nSADD\r\n"u8), name, key);
        for (int i = 0; i < elements; i++) p = Small(p, 'm', (ulong)i);
        return p;
    }

    private static byte* LoadList(byte* p, byte[] name, ulong key, int elements)
    {
        p = Key(Head(Count(p, 2 + elements), "$5\r\nRPUSH\r\n"u8), name, key);
        for (int i = 0; i < elements; i++) p = Value(p, 16);
        return p;
    }

    private static byte* LoadSorted(byte* p, byte[] name, ulong key, int elements)
    {
        p = Key(Head(Count(p, 2 + (elements * 2)), "$4\r\nZADD\r\n"u8), name, key);
        for (int i = 0; i < elements; i++) p = Small(Score(p, (ulong)(i * 7 % 10)), 'm', (ulong)i);
        return p;
    }

    private static byte* OneSorted(byte* p, ulong member, ulong draw) =>
        Key(Score(Head(p, "*4\r\n$4\r\nZADD\r\n$7\r\nbigzset\r\n"u8), draw % 1_000_000), "mem:"u8, member);

    private static Work Make(string name, int max, WriteRequest write) => new(name, max, write);

    private static byte* Head(byte* p, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(new Span<byte>(p, bytes.Length));
        return p + bytes.Length;
    }

    private static byte* Count(byte* p, int count)
    {
        *p++ = (byte)'*';
        return Digits(p, (ulong)count);
    }

    private static byte* Digits(byte* p, ulong number)
    {
        number.TryFormat(new Span<byte>(p, 24), out int written, default, CultureInfo.InvariantCulture);
        p += written;
        *p++ = (byte)'\r';
        *p++ = (byte)'\n';
        return p;
    }

    // A key of 16 bytes (with a prefix of four): prefix and twelve digits.
    private static byte* Key(byte* p, ReadOnlySpan<byte> prefix, ulong number)
    {
        int length = prefix.Length + 12;
        *p++ = (byte)'$';
        *p++ = (byte)('0' + (length / 10));
        *p++ = (byte)('0' + (length % 10));
        *p++ = (byte)'\r';
        *p++ = (byte)'\n';
        p = Head(p, prefix);
        for (int i = 11; i >= 0; i--)
        {
            p[i] = (byte)('0' + (number % 10));
            number /= 10;
        }

        p += 12;
        *p++ = (byte)'\r';
        *p++ = (byte)'\n';
        return p;
    }

    private static byte* Small(byte* p, char letter, ulong number)
    {
        p = Head(p, "$4\r\n"u8);
        *p++ = (byte)letter;
        *p++ = (byte)'_';
        *p++ = (byte)('0' + (number / 10 % 10));
        *p++ = (byte)('0' + (number % 10));
        return Head(p, "\r\n"u8);
    }

    private static byte* Score(byte* p, ulong score)
    {
        byte* digits = stackalloc byte[32];
        int length = (int)(Digits(digits, score) - digits) - 2;
        *p++ = (byte)'$';
        p = Digits(p, (ulong)length);
        return Head(p, new ReadOnlySpan<byte>(digits, length + 2));
    }

    private static byte* Value(byte* p, int length)
    {
        *p++ = (byte)'$';
        p = Digits(p, (ulong)length);
        new Span<byte>(p, length).Fill((byte)'x');
        p += length;
        return Head(p, "\r\n"u8);
    }

    private static byte* Value(byte* p, ReadOnlySpan<byte> value)
    {
        *p++ = (byte)'$';
        return Head(Head(Digits(p, (ulong)value.Length), value), "\r\n"u8);
    }
}
