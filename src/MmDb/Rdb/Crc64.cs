namespace Leither.MmDb.Rdb;

/// <summary>
/// CRC-64 as RDB files and DUMP payloads carry it: the polynomial of Jones (0xAD93D23594C935A9), reflected, begun with 0 and not
/// inverted. Eight bytes at a time.
/// </summary>
internal static unsafe class Crc64
{
    private const ulong ReflectedPolynomial = 0x95AC9329AC4BC9B5;

    private static readonly ulong[] _tables = MakeTables();

    /// <summary>The checksum of bytes that follow those of another checksum (0: of none).</summary>
    public static ulong Compute(ulong crc, byte* data, long length)
    {
        fixed (ulong* t = _tables)
        {
            for (; length >= 8; length -= 8, data += 8)
            {
                crc ^= *(ulong*)data;
                crc = t[(7 * 256) + (byte)crc]
                    ^ t[(6 * 256) + (byte)(crc >> 8)]
                    ^ t[(5 * 256) + (byte)(crc >> 16)]
                    ^ t[(4 * 256) + (byte)(crc >> 24)]
                    ^ t[(3 * 256) + (byte)(crc >> 32)]
                    ^ t[(2 * 256) + (byte)(crc >> 40)]
                    ^ t[256 + (byte)(crc >> 48)]
                    ^ t[crc >> 56];
            }

            for (; length > 0; length--)
            {
                crc = t[(byte)crc ^ *data++] ^ (crc >> 8);
            }
        }

        return crc;
    }

    private static ulong[] MakeTables()
    {
        ulong[] tables = new ulong[8 * 256];
        for (int i = 0; i < 256; i++)
        {
            ulong crc = (ulong)i;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ ReflectedPolynomial : crc >> 1;
            }

            tables[i] = crc;
        }

        for (int i = 256; i < tables.Length; i++)
        {
            ulong before = tables[i - 256];
            tables[i] = tables[(byte)before] ^ (before >> 8);
        }

        return tables;
    }
}
