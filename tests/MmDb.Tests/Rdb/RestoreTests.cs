using System.Text;
using Leither.MmDb.Rdb;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Rdb;

public sealed unsafe class RestoreTests
{
    [Fact]
    public void The_checksum_is_that_of_Jones()
    {
        byte[] digits = "123456789"u8.ToArray();
        fixed (byte* p = digits)
        {
            Assert.Equal(0xE9C6D914C4B8D9CA, Crc64.Compute(0, p, digits.Length));
        }
    }

    [Fact]
    public void What_is_compressed_decompresses_to_itself() => Seed.Run(random =>
    {
        for (int round = 0; round < 2_000; round++)
        {
            byte[] text = new byte[random.Next(1, 3_000)];
            int alphabet = 1 << random.Next(9);
            for (int i = 0; i < text.Length; i++)
            {
                text[i] = (byte)random.Next(alphabet);
            }

            byte[] compressed = new byte[text.Length + 1], back = new byte[text.Length];
            fixed (byte* from = text, to = compressed, again = back)
            {
                int length = Lzf.Compress(from, text.Length, to, text.Length);
                if (length > 0)
                {
                    Assert.True(Lzf.Decompress(to, length, again, text.Length));
                    Assert.Equal(text, back);
                }
            }
        }
    });

    [Fact]
    public void A_zipmap_becomes_a_hash()
    {
        using var db = new InProcess();
        // { "a": "123", "bc": "x" } with one free byte behind x
        byte[] zipmap = [2, 1, (byte)'a', 3, 0, (byte)'1', (byte)'2', (byte)'3', 2, (byte)'b', (byte)'c', 1, 1, (byte)'x', 0, 0xFF];
        Assert.Equal("+OK", Restore(db, "h", [(byte)RdbType.HashZipmap, (byte)zipmap.Length, .. zipmap]));
        Assert.Equal("[\"a\", \"123\", \"bc\", \"x\"]", db.Run("HGETALL h"));
        Assert.Equal("\"listpack\"", db.Run("OBJECT ENCODING h"));
    }

    [Fact]
    public void A_ziplist_becomes_a_list()
    {
        using var db = new InProcess();
        byte[] entries =
        [
            0, 3, (byte)'o', (byte)'n', (byte)'e', // a string
            5, 0xF3, // 2
            2, 0xFE, 0x9C, // -100
            3, 0xC0, 0x39, 0x30, // 12345
            4, 0xF0, 0x00, 0x00, 0x80, // -8388608
            5, 0xD0, 0xFF, 0xFF, 0xFF, 0x7F,
            6, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x80,
        ];
        int size = 10 + entries.Length + 1, tail = size - 1 - 10;
        byte[] ziplist = [(byte)size, 0, 0, 0, (byte)tail, 0, 0, 0, 7, 0, .. entries, 0xFF];
        Assert.Equal("+OK", Restore(db, "l", [(byte)RdbType.ListZiplist, (byte)ziplist.Length, .. ziplist]));
        Assert.Equal("[\"one\", \"2\", \"-100\", \"12345\", \"-8388608\", \"2147483647\", \"-9223372036854775808\"]", db.Run("LRANGE l 0 -1"));
    }

    [Theory]
    [InlineData("SET k v")]
    [InlineData("RPUSH k 1 2 c")]
    [InlineData("SADD k 1 2 c")]
    [InlineData("SADD k 1 2 3")]
    [InlineData("HSET k f v g 2")]
    [InlineData("ZADD k 1 a 2.5 b")]
    public void A_value_restored_equals_the_one_dumped_and_its_replay(string make)
    {
        using var db = new InProcess(recording: true);
        db.Server.Settings.Put(Configuration.ConfigKeys.EnableDebugCommand, 1);
        db.Prepare(make);
        byte[] payload = Dump(db, "k");
        Assert.StartsWith("-BUSYKEY", Restore(db, "k", payload, footer: false), StringComparison.Ordinal);
        Assert.Equal("+OK", Restore(db, "k", payload, footer: false, "REPLACE"));
        db.Prepare("COPY k other");
        Assert.Equal("+OK", Restore(db, "k2", payload, footer: false));
        Assert.Equal(db.Run("DEBUG DIGEST-VALUE k"), db.Run("DEBUG DIGEST-VALUE k2"));
        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    }

    [Fact]
    public void A_time_to_live_is_counted_from_now_or_absolute()
    {
        using var db = new InProcess(recording: true);
        db.Prepare("SET k v");
        byte[] payload = Dump(db, "k");
        Assert.Equal("+OK", db.Run([.. Words("RESTORE a 1000"), payload]));
        Assert.Equal(":1000", db.Run("PTTL a"));
        Assert.Equal("+OK", db.Run([.. Words($"RESTORE b {db.Clock.NowMs + 500}"), payload, .. Words("ABSTTL")]));
        Assert.Equal(":500", db.Run("PTTL b"));
        Assert.Equal("+OK", db.Run([.. Words("RESTORE a 1"), payload, .. Words("REPLACE ABSTTL")]));
        Assert.Equal(":0", db.Run("EXISTS a"));
        Assert.Equal("-ERR Invalid TTL value, must be >= 0", db.Run([.. Words("RESTORE c -1"), payload]));
        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    }

    [Fact]
    public void A_payload_with_a_flipped_bit_is_refused()
    {
        using var db = new InProcess();
        db.Prepare("RPUSH k a b c 1 2 3");
        byte[] payload = Dump(db, "k");
        for (int bit = 0; bit < payload.Length * 8; bit++)
        {
            byte[] flipped = [.. payload];
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Equal("-ERR DUMP payload version or checksum are wrong", Restore(db, "x", flipped, footer: false));
        }
    }

    [Theory]
    [InlineData("SET k hellohellohellohellohellohellohellohellohello")]
    [InlineData("RPUSH k one 2 300 70000 12345678 1234567890123 four")]
    [InlineData("SADD k 1 2 300")]
    [InlineData("SADD k a b 3")]
    [InlineData("HSET k f v g 2 h 100000")]
    [InlineData("ZADD k 1 a 2.5 b -7 c")]
    public void Random_bytes_in_a_payload_are_an_error_or_a_sound_value(string make) => Seed.Run(random =>
    {
        using var db = new InProcess();
        db.Server.SkipsChecksums = true;
        db.Server.Settings.Put(Configuration.ConfigKeys.EnableDebugCommand, 1);
        db.Prepare(make);
        byte[] payload = Dump(db, "k");
        int rounds = Seed.IsLong ? 200_000 : 5_000;
        for (int round = 0; round < rounds; round++)
        {
            byte[] mutated = [.. payload];
            for (int i = random.Next(1, 6); i > 0; i--)
            {
                mutated[random.Next(mutated.Length - 10)] = (byte)random.Next(256);
            }

            if (random.Next(4) == 0)
            {
                int cut = random.Next(mutated.Length - 10);
                mutated = [.. mutated[..cut], .. mutated[^10..]];
            }

            string reply = Restore(db, "x", mutated, footer: false, "REPLACE");
            if (reply != "+OK")
            {
                Assert.Equal("-ERR Bad data format", reply);
                continue;
            }

            // Whatever it is now, it can be read, dumped and changed as any other.
            byte[] again = Dump(db, "x");
            Assert.Equal("+OK", Restore(db, "y", again, footer: false, "REPLACE"));
            Assert.Equal(db.Run("DEBUG DIGEST-VALUE x"), db.Run("DEBUG DIGEST-VALUE y"));
            db.Run("LPUSH x v");
            db.Run("LREM x 0 2");
            db.Run("SADD x 1234567");
            db.Run("SREM x a");
            db.Run("HSET x f w");
            db.Run("ZADD x 3 a");
        }
    });

    private static string Restore(InProcess db, string key, byte[] payload, bool footer = true, params string[] options)
    {
        if (footer)
        {
            using var buffer = new RdbBuffer();
            buffer.Raw(payload);
            buffer.Footer();
            payload = new ReadOnlySpan<byte>(buffer.Data, (int)buffer.Length).ToArray();
        }

        return db.Run([.. Words($"RESTORE {key} 0"), payload, .. options.Select(Encoding.ASCII.GetBytes)]);
    }

    private static byte[] Dump(InProcess db, string key)
    {
        db.Default.Send([.. Words($"DUMP {key}")]);
        return db.Default.TakeReply()!.Bytes.ToArray();
    }

    private static IEnumerable<byte[]> Words(string command) => command.Split(' ').Select(Encoding.ASCII.GetBytes);
}
