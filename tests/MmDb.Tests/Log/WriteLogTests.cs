using System.Text;
using Leither.MmDb.Log;
using Xunit;

namespace Leither.MmDb.Tests.Log;

/// <summary>The log on a real disk.</summary>
public sealed unsafe class WriteLogTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("leither-log-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData(FsyncPolicy.Always)]
    [InlineData(FsyncPolicy.EverySecond)]
    [InlineData(FsyncPolicy.No)]
    public void Entries_come_back_in_order_after_a_clean_close_and_after_a_crash(FsyncPolicy policy)
    {
        var options = new LogOptions { Fsync = policy, SegmentBytes = 8192 };
        var files = new LogFiles(_directory);
        var expected = new List<string>();
        for (int round = 0; round < 4; round++)
        {
            var replayed = new List<string>();
            using WriteLog log = WriteLog.Open(files, options, 0ul, (sequence, entry, length) =>
            {
                replayed.Add(Encoding.ASCII.GetString(entry + 10, (int)length - 10));
                Assert.Equal((ulong)replayed.Count, sequence);
            });
            Assert.Equal(expected, replayed);
            Assert.Equal(round == 3 ? 2ul : 1ul, log.Epoch);
            for (int i = 0; i < 1000; i++)
            {
                string text = $"entry {round}/{i} {new string('x', i % 97 * (i % 50 == 0 ? 300 : 1))}";
                expected.Add(text);
                log.Begin((ulong)i);
                log.Write(Encoding.ASCII.GetBytes(text));
                log.End();
                if (i % 16 == 15) log.Flush();
            }
            log.Flush();
            if (round != 2) log.Close();
        }
    }
}
