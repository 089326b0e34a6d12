using Leither.Ipfs.Files;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Rdb;
using Leither.MmDb.Tests.Log;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Checkpoints;

/// <summary>The bytes in which streams are stored: they never change their meaning, so these tests only grow.</summary>
public sealed unsafe class StreamFormatTests
{
    private static readonly string[] _state =
    [
        "XADD s 1000-1 name a count 300", "XADD s 1000-2 name b count -5", "XADD s 1001-0 other x", "XDEL s 1000-2", "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g alice COUNT 1 STREAMS s >", "XREADGROUP GROUP g bob STREAMS s >", "XGROUP CREATE s h $ ENTRIESREAD 3", "XGROUP CREATE empty g 5-5 MKSTREAM",
    ];

    [Theory]
    [InlineData("XADD s 1000-1 f v 7 12", "810173e807010104016601760137023132")]
    [InlineData("XADD s 2000-0 f w", "810173d00f00000201660177")]
    [InlineData("XDEL s 2000-0 1000-1", "82017302a01f00cf0f01")]
    [InlineData("XTRIM s MAXLEN 1", "8301730100")]
    [InlineData("XTRIM s MINID 2000-0", "840173d00f00")]
    [InlineData("XSETID s 3000-1 ENTRIESADDED 9 MAXDELETEDID 5-5", "850173b81701120505")]
    [InlineData("XGROUP CREATE s g 0 ENTRIESREAD 2", "8701730167000004")]
    [InlineData("XGROUP CREATE s g 0", "8701730167000001")]
    [InlineData("XGROUP SETID s old 7-7 ENTRIESREAD 1", "880173036f6c64070702")]
    [InlineData("XGROUP DESTROY s old", "890173036f6c64")]
    [InlineData("XGROUP CREATECONSUMER s old c", "8a0173036f6c6401630068e5cf8b010000ffffffffffffffff")]
    [InlineData("XGROUP DELCONSUMER s old bob", "8b0173036f6c6403626f62")]
    [InlineData("XREADGROUP GROUP old bob STREAMS none >", "")]
    [InlineData("XREADGROUP GROUP old bob COUNT 1 STREAMS s >", "8d0173036f6c6403626f620068e5cf8b010000d00f000401a01f00")]
    [InlineData("XREADGROUP GROUP old bob STREAMS s 0", "8e0173036f6c6403626f620068e5cf8b01000001d00f01")]
    [InlineData("XCLAIM s old bob 0 1000-1 TIME 5 RETRYCOUNT 3", "8f0173036f6c6403626f620068e5cf8b01000001e80701050000000000000003")]
    [InlineData("XACK s old 1000-1", "900173036f6c6401d00f01")]
    public void The_bytes_of_an_effect_stay_as_they_are(string command, string golden)
    {
        using var db = new InProcess();
        if (command.Contains("old", StringComparison.Ordinal) || !command.StartsWith("XADD", StringComparison.Ordinal))
        {
            db.Prepare("XADD s 1000-1 f v", "XADD s 2000-0 f v", "XGROUP CREATE s old 0 ENTRIESREAD 0", "XREADGROUP GROUP old bob COUNT 1 STREAMS s >");
        }
        else if (command.Contains("2000-0", StringComparison.Ordinal))
        {
            db.Prepare("XADD s 1000-1 f v");
        }

        using var bytes = new RdbBuffer();
        db.Keyspace.Effects.Tee = bytes;
        db.Run(command);
        db.Keyspace.Effects.Tee = null;
        Assert.Equal(golden, Convert.ToHexStringLower(new ReadOnlySpan<byte>(bytes.Data, (int)bytes.Length)));
    }

    [Fact]
    public void A_checkpoint_with_streams_is_read()
    {
        using var db = new InProcess();
        db.Prepare(_state);
        var disk = new SimulatedDisk(1);
        disk.Put("checkpoint-1-9.mmc", Convert.FromHexString(Golden));
        using var loaded = new InProcess();
        CheckpointLoader.Load(disk, "checkpoint-1-9.mmc", loaded.Keyspace);
        Assert.Equal(db.Contents(), loaded.Contents());
    }

    [Fact]
    public void A_checkpoint_of_streams_holds_what_the_golden_one_holds()
    {
        using var db = new InProcess();
        db.Prepare(_state);
        var disk = new SimulatedDisk(1);
        CheckpointWriter writer = SnapshotTests.NewWriter(disk, db.Keyspace, 9);
        Snapshot snapshot = Snapshot.Begin(db.Keyspace, writer);
        Assert.True(snapshot.Step(long.MaxValue));
        writer.Complete(snapshot.CapturedKeys);
        writer.Wait();
        byte[] file = disk.Content("checkpoint-1-9.mmc");

        // The ids of collections are addresses, and the checksums hang on them; all else is the same, and as long.
        Assert.True(file.Length * 2 == Golden.Length, Convert.ToHexStringLower(file));
    }

    private const string Golden =
        "4c6569746843686b01004000100000000100000000000000090000000000000005000000000000000600000000000000020000000000000000000000" +
        "a711a8d898010000ee05cc1900000000010000000500850000f1530173000042671b7f000003e9030000000000000000000000000000e80300000000" +
        "000002000000000000000300000000000000020167e90300000000000000000000000000000300000000000000020005616c6963650068e5cf8b0100" +
        "000068e5cf8b0100000103626f620068e5cf8b0100000068e5cf8b0100000168e9030000000000000000000000000000030000000000000000060000" +
        "42671b7f0000e8030000000000000100000000000000481900020101010201846e616d650585636f756e74060001020100010001816102c12c020501" +
        "030100010101816202dffb02050100010101dfff020101856f7468657206817802060107000042671b7f00000002e803000000000000010000000000" +
        "00000068e5cf8b0100000100e90300000000000000000000000000000068e5cf8b01000001010500850000f15305656d707479700042671b7f000000" +
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000001016705000000000000000500000000000000ff" +
        "ffffffffffffff00100000002b0d3281010000000200000002000000000000009801000000000000";
}
