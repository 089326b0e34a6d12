using System.Runtime.InteropServices;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.Resp.Tests;

public sealed unsafe class RequestParserTests
{
    [Theory]
    [MemberData(nameof(RequestSamples.All), MemberType = typeof(RequestSamples))]
    public void A_request_means_the_same_however_it_is_cut(string bytes, string meaning)
    {
        byte[] input = Feeding.Bytes(bytes);
        foreach (int[] pieces in Feeding.Cuts(input.Length))
            Assert.Equal(meaning, Feeding.Parse(input, pieces));
    }

    [Theory]
    [MemberData(nameof(RequestSamples.All), MemberType = typeof(RequestSamples))]
    public void A_refused_request_is_refused_whatever_follows(string bytes, string meaning)
    {
        // With more behind it a request takes the fast way, which must not be the more tolerant one.
        if (!meaning.Contains("Protocol error", StringComparison.Ordinal))
            return;
        foreach (string more in new[] { "a", "\r\n", "0123456789\r\n", "*1\r\n$4\r\nPING\r\n", new string('x', 200) })
        {
            byte[] input = Feeding.Bytes(bytes + more);
            Assert.Equal(meaning, Feeding.Parse(input, [input.Length]));
        }
    }

    [Fact]
    public void All_requests_in_one_pipeline_mean_what_each_means_alone()
    {
        var stream = new StringBuilder();
        var meaning = new StringBuilder();
        foreach (object[] sample in (IEnumerable<object[]>)RequestSamples.All)
        {
            string expected = (string)sample[1];
            if (!expected.EndsWith("\n0 left", StringComparison.Ordinal))
                continue;
            stream.Append(sample[0]);
            meaning.Append(expected.AsSpan(0, expected.Length - "0 left".Length));
        }
        meaning.Append("0 left");
        byte[] input = Feeding.Bytes(stream.ToString());
        foreach (int[] pieces in Feeding.Cuts(input.Length))
            Assert.Equal(meaning.ToString(), Feeding.Parse(input, pieces));
    }

    [Fact]
    public void Random_requests_mean_the_same_however_they_are_cut() => Seed.Run(random =>
    {
        string[] words = ["*", "$", "*1\r\n", "*2\r\n", "*12\r\n", "$1\r\n", "$3\r\n", "$10\r\n", "$123\r\n", "\r\n", "\r", "\n", "a", "GET", "\"", "'", "\\", " ", "0", "1", "9", "-", "\0", "\u00FF", "*1\r\n$1\r\na\r\n", "0123456789"];
        for (int i = 0; i < (Seed.IsLong ? 200_000 : 5_000); i++)
        {
            byte[] input = Feeding.Bytes(string.Concat(Enumerable.Range(0, random.Next(1, 30)).Select(_ => words[random.Next(words.Length)])));
            string whole = Feeding.Parse(input, [input.Length]);
            Assert.Equal(whole, Feeding.Parse(input, Feeding.RandomCuts(random, input.Length)));
            Assert.Equal(whole, Feeding.Parse(input, Enumerable.Repeat(1, input.Length).ToArray()));
        }
    });

    [Fact]
    public void Random_bytes_are_never_read_beyond_their_end() => Seed.Run(random =>
    {
        for (int i = 0; i < (Seed.IsLong ? 200_000 : 5_000); i++)
        {
            byte[] input = new byte[random.Next(1, 200)];
            random.NextBytes(input);
            if (random.Next(2) == 0)
                input[0] = (byte)'*';
            Feeding.Parse(input, Feeding.RandomCuts(random, input.Length));
        }
    });

    [Fact]
    public void Valid_commands_come_out_as_they_went_in() => Seed.Run(random =>
    {
        for (int i = 0; i < (Seed.IsLong ? 20_000 : 1_000); i++)
        {
            var input = new MemoryStream();
            var meaning = new StringBuilder();
            for (int command = random.Next(1, 6); command > 0; command--)
            {
                int count = random.Next(4) == 0 ? random.Next(1, 300) : random.Next(1, 8);
                input.Write(Feeding.Bytes($"*{count}\r\n"));
                for (int j = 0; j < count; j++)
                {
                    byte[] argument = new byte[random.Next(random.Next(3) == 0 ? 2000 : 20)];
                    random.NextBytes(argument);
                    input.Write(Feeding.Bytes($"${argument.Length}\r\n"));
                    input.Write(argument);
                    input.Write("\r\n"u8);
                    meaning.Append('⟨').Append(Feeding.Text(argument)).Append('⟩');
                }
                meaning.Append('\n');
            }
            byte[] bytes = input.ToArray();
            meaning.Append("0 left");
            Assert.Equal(meaning.ToString(), Feeding.Parse(bytes, [bytes.Length]));
            Assert.Equal(meaning.ToString(), Feeding.Parse(bytes, Feeding.RandomCuts(random, bytes.Length)));
        }
    });

    [Theory]
    [InlineData("*", "Protocol error: too big mbulk count string")]
    [InlineData("*1\r\n$", "Protocol error: too big bulk count string")]
    [InlineData("*2\r\n$1\r\na\r\n", "Protocol error: too big bulk count string")]
    [InlineData("", "Protocol error: too big inline request")]
    [InlineData("\0", "Protocol error: too big inline request")]
    [InlineData("*\0", "Protocol error: too big mbulk count string")]
    [InlineData("$\0", "Protocol error: too big inline request")]
    public void A_line_that_does_not_end_within_64_KiB_is_refused(string start, string error)
    {
        int lineStart = start.LastIndexOf('\n') + 1;
        byte[] input = Feeding.Bytes(start + new string('A', RespLimits.MaxInlineLength + 1 - (start.Length - lineStart)));
        Assert.Equal(error, Feeding.Parse(input, [input.Length]));
        Assert.Equal(error, Feeding.Parse(input, [1, input.Length - 2, 1]));
        Assert.Equal($"{input.Length - 1} left", Feeding.Parse(input[..^1], [input.Length - 1]).Split('\n')[^1]);
    }

    [Fact]
    public void An_inline_command_of_exactly_64_KiB_is_accepted_and_one_byte_more_is_not()
    {
        string longest = new('a', RespLimits.MaxInlineLength);
        Assert.Equal($"⟨{longest}⟩\n0 left", Feeding.Parse(Feeding.Bytes(longest + "\n"), [longest.Length + 1]));
        Assert.Equal("Protocol error: too big inline request", Feeding.Parse(Feeding.Bytes(longest + "a\n"), [longest.Length + 2]));
        Assert.Equal("Protocol error: too big inline request", Feeding.Parse(Feeding.Bytes(longest + "a\n"), [longest.Length, 2]));
    }

    [Theory]
    [InlineData("*11\r\n", "Protocol error: unauthenticated multibulk length")]
    [InlineData("*100\r\n", "Protocol error: unauthenticated multibulk length")]
    [InlineData("*11\r\n$1\r\na\r\n$1\r\na\r\n", "Protocol error: unauthenticated multibulk length")]
    [InlineData("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "Protocol error: unauthenticated bulk length")]
    [InlineData("*3000000000\r\n", "Protocol error: invalid multibulk length")]
    [InlineData("*1\r\n$3000000000\r\n", "Protocol error: invalid bulk length")]
    public void Before_authentication_commands_are_short(string bytes, string error)
    {
        byte[] input = Feeding.Bytes(bytes);
        foreach (int[] pieces in Feeding.Cuts(input.Length))
            Assert.Equal(error, Feeding.Parse(input, pieces, new RequestParser { AuthenticationRequired = true }));
    }

    [Fact]
    public void Before_authentication_ten_arguments_of_16384_bytes_pass()
    {
        string argument = new('x', RespLimits.MaxUnauthenticatedBulkLength);
        byte[] input = Feeding.Bytes("*10\r\n" + string.Concat(Enumerable.Repeat($"$16384\r\n{argument}\r\n", 10)));
        string meaning = string.Concat(Enumerable.Repeat($"⟨{argument}⟩", 10)) + "\n0 left";
        Assert.Equal(meaning, Feeding.Parse(input, [input.Length], new RequestParser { AuthenticationRequired = true }));
        Assert.Equal(meaning, Feeding.Parse(input, [7, input.Length - 7], new RequestParser { AuthenticationRequired = true }));
        byte[] longer = Feeding.Bytes($"*1\r\n$16385\r\n{argument}x\r\n");
        Assert.Equal("Protocol error: unauthenticated bulk length", Feeding.Parse(longer, [longer.Length], new RequestParser { AuthenticationRequired = true }));
    }

    [Fact]
    public void The_longest_argument_is_a_setting()
    {
        var limits = new RespLimits { ProtoMaxBulkLength = RespLimits.MinProtoMaxBulkLength };
        string argument = new('x', (int)RespLimits.MinProtoMaxBulkLength);
        byte[] fits = Feeding.Bytes($"*1\r\n$1048576\r\n{argument}\r\n");
        byte[] tooLong = Feeding.Bytes($"*1\r\n$1048577\r\n{argument}x\r\n");
        Assert.Equal($"⟨{argument}⟩\n0 left", Feeding.Parse(fits, [fits.Length], new RequestParser(limits)));
        Assert.Equal("Protocol error: invalid bulk length", Feeding.Parse(tooLong, [tooLong.Length], new RequestParser(limits)));
        Assert.Throws<ArgumentOutOfRangeException>(() => limits.ProtoMaxBulkLength = RespLimits.MinProtoMaxBulkLength - 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => limits.ProtoMaxBulkLength = RespLimits.MaxProtoMaxBulkLength + 1);
    }

    [Theory]
    [InlineData("*2\r\n$3\r\nGET\r\n$5\r\n", 7)]
    [InlineData("*2\r\n$3\r\nGET\r\n$5\r\nab", 5)]
    [InlineData("*2\r\n$3\r\nGET\r\n$5\r\nabcde\r", 1)]
    [InlineData("*1\r\n$536870912\r\n", 536870914)]
    [InlineData("*2\r\n$3\r\nGET\r\n$5", 0)]
    [InlineData("PIN", 0)]
    [InlineData("", 0)]
    public void An_argument_that_is_arriving_says_how_many_bytes_it_wants(string bytes, long wanted)
    {
        using var parser = new RequestParser();
        using var args = new ArgBuffer();
        long position = 0;
        fixed (byte* p = Feeding.Bytes(bytes + "?"))
            Assert.Equal(ParseStatus.Incomplete, parser.ParseNext(p, bytes.Length, ref position, args, out _, out int count));
        Assert.Equal(wanted, parser.BytesWanted);
        Assert.Equal(0, position);
        Assert.Equal(0, args.Count);
    }

    // If anything were looked at twice, the two tests below would take hours.

    [Fact]
    public void A_million_arguments_can_arrive_byte_by_byte()
    {
        const int Count = 1_000_000;
        byte[] bytes = Feeding.Bytes($"*{Count}\r\n" + string.Concat(Enumerable.Repeat("$1\r\nx\r\n", Count)));
        using var parser = new RequestParser();
        using var args = new ArgBuffer();
        long position = 0;
        fixed (byte* p = bytes)
        {
            for (int length = 1; length < bytes.Length; length++)
                Assert.Equal(ParseStatus.Incomplete, parser.ParseNext(p, length, ref position, args, out _, out _));
            Assert.Equal(ParseStatus.Complete, parser.ParseNext(p, bytes.Length, ref position, args, out int first, out int count));
            Assert.Equal((0, Count, bytes.Length), (first, count, (int)position));
            Assert.True(args[Count - 1].Pointer == p + bytes.Length - 3);
        }
    }

    [Fact]
    public void An_argument_of_512_MB_arrives_without_being_touched()
    {
        const long Size = RespLimits.DefaultProtoMaxBulkLength;
        byte[] head = Feeding.Bytes($"*2\r\n$4\r\nECHO\r\n${Size}\r\n");
        long total = head.Length + Size + 2;
        // Pages that nobody writes or reads take no memory, so only the address space is used.
        byte* buffer = (byte*)NativeMemory.AllocZeroed((nuint)total);
        try
        {
            head.CopyTo(new Span<byte>(buffer, head.Length));
            using var parser = new RequestParser();
            using var args = new ArgBuffer();
            long position = 0;
            for (long length = head.Length; length < total; length += 1024)
            {
                Assert.Equal(ParseStatus.Incomplete, parser.ParseNext(buffer, length, ref position, args, out _, out _));
                Assert.Equal(total - length, parser.BytesWanted);
            }
            Assert.Equal(ParseStatus.Complete, parser.ParseNext(buffer, total, ref position, args, out int first, out int count));
            Assert.Equal((2, total), (count, position));
            Assert.Equal(Size, args[first + 1].Length);
        }
        finally
        {
            NativeMemory.Free(buffer);
        }
    }

    [Fact]
    public void A_parser_that_was_reset_begins_a_new_command()
    {
        using var parser = new RequestParser();
        byte[] half = Feeding.Bytes("*2\r\n$1\r\na\r\n$5\r\nab");
        Assert.Equal("17 left", Feeding.Parse(half, [half.Length], parser));
        parser.Reset();
        byte[] ping = Feeding.Bytes("PING\r\n");
        Assert.Equal("⟨PING⟩\n0 left", Feeding.Parse(ping, [ping.Length], parser));
    }

    [Fact]
    public void Arguments_of_a_batch_stay_while_it_grows()
    {
        // Quoted arguments live in the arena, which must not move them when more come.
        using var args = new ArgBuffer();
        using var parser = new RequestParser();
        byte[] bytes = Feeding.Bytes(string.Concat(Enumerable.Range(0, 5000).Select(i => $"\"a {i}\" 'b' c\r\n")));
        long position = 0;
        fixed (byte* p = bytes)
        {
            while (parser.ParseNext(p, bytes.Length, ref position, args, out _, out _) == ParseStatus.Complete)
            {
            }
            Assert.Equal(15000, args.Count);
            for (int i = 0; i < 5000; i++)
            {
                Assert.Equal($"a {i}", args[3 * i].ToString());
                Assert.Equal("b", args[3 * i + 1].ToString());
                Assert.Equal("c", args[3 * i + 2].ToString());
            }
        }
        args.Clear();
        Assert.Equal(0, args.Count);
    }
}
