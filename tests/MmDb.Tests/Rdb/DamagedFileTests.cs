// Whole RDB files of every version and append-only files, damaged: what is wrong is said, nothing else happens, and what comes next works.

using System.Text;
using Leither.MmDb.Rdb;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Rdb;

public sealed class DamagedFileTests
{
    private static readonly byte[] Aof = Encoding.Latin1.GetBytes(
        "#TS:1700000000\r\n" + Command("SELECT", "0") + Command("SET", "a", "1") + "#TS:1700000001\r\n" + Command("RPUSH", "l", "x", "y") + Command("MULTI") + Command("INCR", "a")
        + Command("SADD", "s", "m") + Command("EXEC") + Command("XADD", "x", "5-1", "f", "v") + Command("PEXPIREAT", "a", "33177117420000") + Command("HSET", "h", "f", ""));

    public static TheoryData<int> Versions => [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    [Theory]
    [MemberData(nameof(Versions))]
    public void A_file_of_each_version_is_read_whole(int version)
    {
        using var db = new InProcess();
        Read(db, RdbLayouts.File(version, RdbLayouts.All()));
        Assert.Equal($":{RdbLayouts.All().Count()}", db.Run("DBSIZE"));
        Assert.Equal("+OK", db.Run("SELECT 3"));
        Assert.Equal("\"value\"", db.Run("GET other"));
    }

    [Fact]
    public void Mutated_files_are_read_or_refused() => Seed.Run(random =>
    {
        byte[] file = RdbLayouts.File(12, RdbLayouts.All());
        int read = 0;
        for (int round = 0; round < (Seed.IsLong ? 50_000 : 500); round++)
        {
            using var db = new InProcess();
            byte[] mutated = [.. file[..^8]];
            for (int i = random.Next(1, 4); i > 0; i--)
            {
                mutated[random.Next(9, mutated.Length)] = (byte)random.Next(256);
            }

            // A checksum of zero is none; an old version has none either.
            bool isRead = TryRead(db, [.. mutated, .. new byte[8]]);
            Assert.Equal(isRead, TryRead(db, [.. mutated, .. BitConverter.GetBytes(RdbLayouts.Checksum(mutated))]));
            Assert.False(TryRead(db, [.. mutated, .. BitConverter.GetBytes(RdbLayouts.Checksum(mutated) ^ 1)]) && isRead);
            Assert.Equal("+OK", db.Run("SET still works"));
            Assert.Equal("+OK", db.Run("FLUSHALL"));
            read += isRead ? 1 : 0;
        }

        Assert.NotEqual(0, read);
    });

    [Fact]
    public void A_file_that_ends_anywhere_is_refused()
    {
        byte[] file = RdbLayouts.File(12, RdbLayouts.All());
        using var db = new InProcess();
        for (int length = 5; length < file.Length; length++)
        {
            Assert.False(TryRead(db, file[..length]), $"{length} of {file.Length} bytes");
        }
    }

    [Fact]
    public void Lengths_beyond_the_file_cost_no_memory()
    {
        byte[] file = RdbLayouts.File(12, RdbLayouts.All());
        using var db = new InProcess();
        byte[][] lengths = [[0x81, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0x80, 0x1F, 0xFF, 0xFF, 0xFF], [0xC3, 5, 0x80, 0x1F, 0xFF, 0xFF, 0xFF]];
        long before = GC.GetAllocatedBytesForCurrentThread();
        int files = 0;
        for (int at = 9; at < file.Length - 9; at++)
        {
            foreach (byte[] length in lengths)
            {
                TryRead(db, [.. file[..at], .. length, .. file[(at + 1)..]]);
                files++;
            }
        }

        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / files, 0, 512 * 1024);
        Assert.InRange(db.Server.DefaultMimei.Keyspace.UsedBytes, 0, 64 << 20);
    }

    [Fact]
    public void An_append_only_file_that_is_torn_anywhere_gives_what_came_before()
    {
        int last = -1;
        for (int length = 0; length <= Aof.Length; length++)
        {
            using var db = new InProcess();
            using var data = new RedisData(db.Server);
            data.Read(new MemoryStream(Aof[..length]));
            int commands = (int)data.Progress.Commands;
            Assert.True(commands == last || commands == last + 1 || last < 0);
            last = commands;
            // A transaction without its end has not happened.
            bool isWhole = commands >= 7;
            Assert.Equal(isWhole ? ":1" : ":0", db.Run("EXISTS s"));
            Assert.Equal(commands >= 2 ? isWhole ? "\"2\"" : "\"1\"" : "nil", db.Run("GET a"));
        }

        Assert.Equal(10, last);
    }

    [Fact]
    public void Mutated_append_only_files_are_run_or_refused() => Seed.Run(random =>
    {
        int read = 0, refused = 0;
        for (int round = 0; round < (Seed.IsLong ? 50_000 : 1_000); round++)
        {
            using var db = new InProcess();
            byte[] mutated = [.. Aof];
            for (int i = random.Next(1, 4); i > 0; i--)
            {
                mutated[random.Next(mutated.Length)] = random.Next(2) == 0 ? (byte)random.Next(256) : (byte)"*$#0123456789-\r\n"[random.Next(16)];
            }

            bool isRead = TryRead(db, mutated);
            read += isRead ? 1 : 0;
            refused += isRead ? 0 : 1;
            Assert.Equal("+OK", db.Run("SET still works"));
        }

        Assert.True(read > 0 && refused > 0, $"{read} read, {refused} refused");
    });

    [Theory]
    [InlineData("*1\r\n$9999999999\r\nPING\r\n")]
    [InlineData("*9223372036854775807\r\n$4\r\nPING\r\n")]
    [InlineData("*-1\r\n")]
    [InlineData("*\n")]
    [InlineData("*1\n$\n")]
    [InlineData("$4\r\nPING\r\n")]
    [InlineData("*1\r\n$4\r\nNONE\r\n")]
    [InlineData("*3\r\n$5\r\nBLPOP\r\n$1\r\nl\r\n$1\r\n0\r\n*1\r\n$8\r\nSHUTDOWN\r\n")]
    [InlineData("*1\r\n$7\r\nMONITOR\r\n*1\r\n$4\r\nQUIT\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n")]
    [InlineData("*2\r\n$6\r\nSELECT\r\n$3\r\n999\r\n")]
    [InlineData("not a file of Redis at all")]
    public void An_append_only_file_of_nonsense_is_refused(string text)
    {
        using var db = new InProcess();
        Assert.False(TryRead(db, Encoding.Latin1.GetBytes(text)));
        Assert.Equal("+OK", db.Run("SET still works"));
    }

    private static bool TryRead(InProcess db, byte[] file)
    {
        try
        {
            Read(db, file);
            return true;
        }
        catch (RdbFormatException)
        {
            return false;
        }
    }

    private static void Read(InProcess db, byte[] file)
    {
        using var data = new RedisData(db.Server);
        data.Read(new MemoryStream(file));
    }

    private static string Command(params string[] words) => $"*{words.Length}\r\n" + string.Concat(words.Select(static w => $"${w.Length}\r\n{w}\r\n"));
}
