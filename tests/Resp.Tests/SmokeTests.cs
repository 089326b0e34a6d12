using System.Text;
using Xunit;

namespace Leither.Resp.Tests;

public sealed unsafe class SmokeTests
{
    [Fact]
    public void A_pipeline_is_parsed_command_by_command()
    {
        byte[] bytes = Encoding.ASCII.GetBytes("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello world!\r\nPING\r\nset \"a b\" 'c'\r\n*0\r\n*1\r\n$4\r\nPI");
        using var args = new ArgBuffer();
        using var parser = new RequestParser();
        long position = 0;
        var seen = new List<string>();
        fixed (byte* p = bytes)
        {
            while (parser.ParseNext(p, bytes.Length, ref position, args, out int first, out int count) == ParseStatus.Complete)
                seen.Add(string.Join("|", Enumerable.Range(first, count).Select(i => args[i].ToString())));
        }
        Assert.Equal(["SET|k|hello world!", "PING", "set|a b|c"], seen);
        Assert.Equal(4, parser.BytesWanted);
    }
}
