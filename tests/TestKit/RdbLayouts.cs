// Values in every layout that any version of Redis has written into RDB files and DUMP payloads, made by hand: the judge at hand writes
// only its own. And the checksum that makes bytes a payload again after they were changed.

using System.Buffers.Binary;
using System.Text;

namespace Leither.TestKit;

/// <summary>Payloads without their footer: the type's byte, then the value.</summary>
public static class RdbLayouts
{
    private static readonly ulong[] Table = MakeTable();

    /// <summary>A name and a value that every reader of RDB must take.</summary>
    public static IEnumerable<(string Name, byte[] Value)> All()
    {
        string[] words = ["one", "2", "-100", "12345", "-8388608", "2147483647", "-9223372036854775808", new('w', 70), "x"];
        string[] pairs = ["f", "1", "g", "two", "h", "300000"], scored = ["a", "1", "b", "2.5", "c", "300"];
        yield return ("string", [0, .. Text("plain")]);
        yield return ("string of 8 bits", [0, 0xC0, 0x85]);
        yield return ("string of 16 bits", [0, 0xC1, 0x39, 0x30]);
        yield return ("string of 32 bits", [0, 0xC2, 0x40, 0xE2, 0x01, 0x00]);
        yield return ("compressed string", [0, 0xC3, 9, 30, 1, (byte)'a', (byte)'b', 0xE0, 17, 1, 1, (byte)'a', (byte)'b']);
        yield return ("list", [1, .. Count(words.Length), .. words.SelectMany(Text)]);
        yield return ("set", [2, .. Count(words.Length), .. words.SelectMany(Text)]);
        yield return ("sorted set with scores as text", [3, .. Count(4), .. Text("a"), 1, (byte)'1', .. Text("b"), 3, (byte)'2', (byte)'.', (byte)'5', .. Text("c"), 254, .. Text("d"), 255]);
        yield return ("hash", [4, .. Count(3), .. pairs.SelectMany(Text)]);
        yield return ("sorted set", [5, .. Count(2), .. Text("a"), .. BitConverter.GetBytes(1.5), .. Text("b"), .. BitConverter.GetBytes(-2.0)]);
        yield return ("zipmap", [9, .. Blob([2, 1, (byte)'a', 3, 0, (byte)'1', (byte)'2', (byte)'3', 2, (byte)'b', (byte)'c', 1, 1, (byte)'x', 0, 0xFF])]);
        yield return ("list as ziplist", [10, .. Blob(Ziplist(words))]);
        foreach (int width in (int[])[2, 4, 8])
        {
            yield return ($"intset of {width} bytes", [11, .. Blob([.. Little(width, 4), .. Little(3, 4), .. Little(-5, width), .. Little(7, width), .. Little(1000, width)])]);
        }

        yield return ("sorted set as ziplist", [12, .. Blob(Ziplist(scored))]);
        yield return ("hash as ziplist", [13, .. Blob(Ziplist(pairs))]);
        yield return ("quicklist of ziplists", [14, .. Count(2), .. Blob(Ziplist(words)), .. Blob(Ziplist(["last"]))]);
        foreach (byte version in (byte[])[15, 19, 21])
        {
            yield return ($"stream of type {version}", Stream(version));
        }

        yield return ("hash as listpack", [16, .. Blob(Listpack(pairs))]);
        yield return ("sorted set as listpack", [17, .. Blob(Listpack(scored))]);
        yield return ("quicklist of listpacks", [18, .. Count(3), 2, .. Blob(Listpack(words)), 1, .. Text("by itself"), 2, .. Blob(Listpack(["end"]))]);
        yield return ("set as listpack", [20, .. Blob(Listpack(words))]);
        yield return ("hash whose fields expire", [24, .. Little(33177117420000, 8), .. Count(2), .. Count(0), .. Text("f"), .. Text("1"), .. Count(1), .. Text("g"), .. Text("2")]);
        yield return ("hash whose fields expire, as listpack", [25, .. Little(33177117420000, 8), .. Blob(Listpack(["g", "2", "33177117420000", "f", "1", "0"]))]);
    }

    /// <summary>A value as a payload for RESTORE: with a version and a checksum.</summary>
    public static byte[] Payload(byte[] value, int version = 11)
    {
        byte[] body = [.. value, (byte)version, (byte)(version >> 8)];
        return [.. body, .. Little((long)Checksum(body), 8)];
    }

    /// <summary>A whole file: its version, then keys that hold values.</summary>
    public static byte[] File(int version, IEnumerable<(string Name, byte[] Value)> keys)
    {
        byte[] body =
        [
            .. Encoding.ASCII.GetBytes($"REDIS{version:0000}"), 0xFA, .. Text("redis-ver"), .. Text("7.4.0"), 0xFE, 0, 0xFB, .. Count(30), .. Count(2),
            .. keys.SelectMany(static k => (byte[])[.. k.Name.Length % 3 == 0 ? (byte[])[0xFC, .. Little(33177117420000, 8)] : [], k.Value[0], .. Text(k.Name), .. k.Value[1..]]),
            0xFE, 3, 0xF9, 200, 0, .. Text("other"), .. Text("value"), 0xFF,
        ];
        // The checksum came with version 5.
        return version < 5 ? body : [.. body, .. Little((long)Checksum(body), 8)];
    }

    /// <summary>Redis's CRC-64.</summary>
    public static ulong Checksum(ReadOnlySpan<byte> bytes)
    {
        ulong crc = 0;
        foreach (byte b in bytes)
        {
            crc = Table[(byte)(crc ^ b)] ^ (crc >> 8);
        }

        return crc;
    }

    /// <summary>A string, uncompressed.</summary>
    public static byte[] Text(string text) => [.. Count(text.Length), .. Encoding.Latin1.GetBytes(text)];

    /// <summary>A length.</summary>
    public static byte[] Count(long count) =>
        count < 64 ? [(byte)count] : count < 1 << 14 ? [(byte)(0x40 | (count >> 8)), (byte)count] : [0x80, (byte)(count >> 24), (byte)(count >> 16), (byte)(count >> 8), (byte)count];

    private static byte[] Blob(byte[] bytes) => [.. Count(bytes.Length), .. bytes];

    private static byte[] Little(long value, int bytes)
    {
        byte[] all = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(all, value);
        return all[..bytes];
    }

    private static byte[] Stream(byte type)
    {
        byte[] id = [.. Big(5), .. Big(1)], second = [.. Big(5), .. Big(2)];
        // The master entry, then two entries: flags, ms and sequence as differences, fields as the master's, and how many elements that is.
        byte[] entries = Listpack(["2", "0", "1", "f", "0", "2", "0", "0", "v", "4", "2", "0", "1", "w", "4"]);
        byte[] tail = type >= 19 ? [.. Count(5), .. Count(1), .. Count(0), .. Count(0), .. Count(2)] : [];
        byte[] read = type >= 19 ? Count(1) : [];
        byte[] active = type >= 21 ? Little(1_700_000_000_000, 8) : [];
        return
        [
            type, .. Count(1), .. Blob(id), .. Blob(entries), .. Count(2), .. Count(5), .. Count(2), .. tail,
            .. Count(1), .. Text("group"), .. Count(5), .. Count(1), .. read,
            .. Count(1), .. id, .. Little(1_700_000_000_000, 8), .. Count(3),
            .. Count(1), .. Text("consumer"), .. Little(1_700_000_000_000, 8), .. active, .. Count(1), .. id,
        ];
    }

    private static byte[] Big(long value)
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(bytes, value);
        return bytes;
    }

    private static byte[] Ziplist(string[] items)
    {
        var entries = new List<byte>();
        int before = 0, tail = 10;
        foreach (string item in items)
        {
            tail = 10 + entries.Count;
            byte[] entry = [(byte)before, .. ZiplistEntry(item)];
            entries.AddRange(entry);
            before = entry.Length;
        }

        return [.. Little(entries.Count + 11, 4), .. Little(tail, 4), .. Little(items.Length, 2), .. entries, 0xFF];
    }

    private static byte[] ZiplistEntry(string item) =>
        !long.TryParse(item, out long number) ? [.. item.Length < 64 ? (byte[])[(byte)item.Length] : [(byte)(0x40 | (item.Length >> 8)), (byte)item.Length], .. Encoding.Latin1.GetBytes(item)]
        : number is >= 0 and <= 12 ? [(byte)(0xF1 + number)]
        : number is >= sbyte.MinValue and <= sbyte.MaxValue ? [0xFE, (byte)number]
        : number is >= short.MinValue and <= short.MaxValue ? [0xC0, .. Little(number, 2)]
        : number is >= -(1 << 23) and < 1 << 23 ? [0xF0, .. Little(number, 3)]
        : number is >= int.MinValue and <= int.MaxValue ? [0xD0, .. Little(number, 4)]
        : [0xE0, .. Little(number, 8)];

    private static byte[] Listpack(string[] items)
    {
        byte[] entries = [.. items.SelectMany(static item => (byte[])[.. ListpackEntry(item), .. BackLength(ListpackEntry(item).Length)])];
        return [.. Little(entries.Length + 7, 4), .. Little(items.Length, 2), .. entries, 0xFF];
    }

    private static byte[] ListpackEntry(string item) =>
        !long.TryParse(item, out long number) ? [.. item.Length < 64 ? (byte[])[(byte)(0x80 | item.Length)] : [(byte)(0xE0 | (item.Length >> 8)), (byte)item.Length], .. Encoding.Latin1.GetBytes(item)]
        : number is >= 0 and < 128 ? [(byte)number]
        : number is >= -4096 and < 4096 ? [(byte)(0xC0 | ((number >> 8) & 0x1F)), (byte)number]
        : number is >= short.MinValue and <= short.MaxValue ? [0xF1, .. Little(number, 2)]
        : number is >= -(1 << 23) and < 1 << 23 ? [0xF2, .. Little(number, 3)]
        : number is >= int.MinValue and <= int.MaxValue ? [0xF3, .. Little(number, 4)]
        : [0xF4, .. Little(number, 8)];

    private static byte[] BackLength(int length) => length < 128 ? [(byte)length] : [(byte)(length >> 7), (byte)((length & 127) | 128)];

    private static ulong[] MakeTable()
    {
        const ulong reversedPolynomial = 0x95AC9329AC4BC9B5;
        ulong[] table = new ulong[256];
        for (uint i = 0; i < 256; i++)
        {
            ulong crc = i;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ reversedPolynomial : crc >> 1;
            }

            table[i] = crc;
        }

        return table;
    }
}
