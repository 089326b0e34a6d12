using Xunit;

namespace Leither.Resp.Tests;

/// <summary>What a client may send, and what it means: the one source for all tests of the request parser.</summary>
public static class RequestSamples
{
    /// <summary>Bytes (as Latin-1) and their meaning, in the notation of <see cref="Feeding.Parse"/>.</summary>
    public static TheoryData<string, string> All { get; } = new()
    {
        // Arrays of bulk strings.
        { "*1\r\n$4\r\nPING\r\n", "⟨PING⟩\n0 left" },
        { "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "⟨GET⟩⟨k⟩\n0 left" },
        { "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$12\r\nhello\r\nworld\r\n", "⟨SET⟩⟨key⟩⟨hello\r\nworld⟩\n0 left" },
        { "*2\r\n$0\r\n\r\n$0\r\n\r\n", "⟨⟩⟨⟩\n0 left" },
        { "*1\r\n$2\r\n\0\u00FF\r\n", "⟨\0\u00FF⟩\n0 left" },
        { "*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n*1\r\n$1\r\nc\r\n", "⟨a⟩\n⟨b⟩\n⟨c⟩\n0 left" },
        { $"*2\r\n$100\r\n{new string('x', 100)}\r\n$1000\r\n{new string('y', 1000)}\r\n", $"⟨{new string('x', 100)}⟩⟨{new string('y', 1000)}⟩\n0 left" },
        { "*10\r\n" + string.Concat(Enumerable.Range(0, 10).Select(i => $"$1\r\n{i}\r\n")), string.Concat(Enumerable.Range(0, 10).Select(i => $"⟨{i}⟩")) + "\n0 left" },
        { "*101\r\n" + string.Concat(Enumerable.Repeat("$2\r\nab\r\n", 101)), string.Concat(Enumerable.Repeat("⟨ab⟩", 101)) + "\n0 left" },

        // Arrays of nothing are skipped, and so is a null one, whatever negative number names it.
        { "*0\r\n", "0 left" },
        { "*-1\r\n*-10\r\n*0\r\n*1\r\n$1\r\na\r\n", "⟨a⟩\n0 left" },

        // Incomplete: what is there waits.
        { "", "0 left" },
        { "*", "1 left" },
        { "*2\r\n$3\r\nGET\r\n$3\r\nke", "19 left" },
        { "*1\r\n$1\r\na\r\n*2\r\n$1\r\nb\r\n", "⟨a⟩\n11 left" },
        { "*1\r\n$4\r\nPING\r", "13 left" },

        // Redis does not look at the byte behind a carriage return, nor at the two behind a bulk string.
        { "*1\r?$4\r!PINGxy", "⟨PING⟩\n0 left" },

        // A NUL where a line end is looked for hides what follows.
        { "*1\0\r\n$4\r\nPING\r\n", "15 left" },
        { "*1\r\n$4\0\r\nPING\r\n", "15 left" },
        { "PI\0NG\r\n", "7 left" },

        // Counts and lengths that are not.
        { "*3000000000\r\n", "Protocol error: invalid multibulk length" },
        { "*99999999999999999999\r\n", "Protocol error: invalid multibulk length" },
        { "*\r\n", "Protocol error: invalid multibulk length" },
        { "*a\r\n", "Protocol error: invalid multibulk length" },
        { "*+1\r\n", "Protocol error: invalid multibulk length" },
        { "*01\r\n$1\r\na\r\n", "Protocol error: invalid multibulk length" },
        { "*-0\r\n", "Protocol error: invalid multibulk length" },
        { "* 1\r\n", "Protocol error: invalid multibulk length" },
        { "*1 \r\n", "Protocol error: invalid multibulk length" },
        { "*1\n$1\r\n", "Protocol error: invalid multibulk length" },
        { "*1a\r\n$1\r\na\r\n", "Protocol error: invalid multibulk length" },
        { "*2\r\n$1\r\na\r\n$-1\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$\r\n\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$+1\r\na\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$01\r\na\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$00\r\n\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$001\r\na\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$1x\r\na\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$1 \r\na\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$blabla\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$536870913\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$4294967297\r\na\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$9223372036854775807\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$18446744073709551617\r\na\r\n", "Protocol error: invalid bulk length" },
        { "*1\r\n$536870912\r\nabc", "19 left" },

        // Something else where a bulk string should begin.
        { "*1\r\nfoo\r\n", "Protocol error: expected '$', got 'f'" },
        { "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "Protocol error: expected '$', got 'f'" },
        { "*1\r\n:1\r\n", "Protocol error: expected '$', got ':'" },
        { "*1\r\n*1\r\n", "Protocol error: expected '$', got '*'" },
        { "*1\r\n*1\r\nabcdefgh\r\n", "Protocol error: expected '$', got '*'" },
        { "*2\r\n$1\r\na\r\n%100\r\nabcdefgh\r\n", "Protocol error: expected '$', got '%'" },
        { "*2\r\n$1\r\na\r\n#10\r\nabcdefgh\r\n", "Protocol error: expected '$', got '#'" },
        { "*1\r\n\r\n", "Protocol error: expected '$', got ' '" },
        { "*1\r\n\n\r\n", "Protocol error: expected '$', got ' '" },
        { "*1\r\n\u00E9\r\n", "Protocol error: expected '$', got '\u00E9'" },
        { "*2\r\n$1\r\nabc\r\n$1\r\nd\r\n", "Protocol error: expected '$', got '\n'".Replace('\n', ' ') },

        // Inline commands.
        { "PING\r\n", "⟨PING⟩\n0 left" },
        { "PING\n", "⟨PING⟩\n0 left" },
        { "set key value\r\nget key\r\n", "⟨set⟩⟨key⟩⟨value⟩\n⟨get⟩⟨key⟩\n0 left" },
        { " \t get \t key \v\f \r\n", "⟨get⟩⟨key⟩\n0 left" },
        { "a\vb\fc\r\n", "⟨a\vb\fc⟩\n0 left" },
        { "a\rb\r\n", "⟨a⟩⟨b⟩\n0 left" },
        { "\r\n", "0 left" },
        { "\n\n \r\n\t\n", "0 left" },
        { "\r\nPING\r\n", "⟨PING⟩\n0 left" },
        { "PING", "4 left" },
        { "$4\r\n", "⟨$4⟩\n0 left" },

        // Quotes.
        { "set \"a b\" 'c d'\r\n", "⟨set⟩⟨a b⟩⟨c d⟩\n0 left" },
        { "\"\" ''\r\n", "⟨⟩⟨⟩\n0 left" },
        { "\"\\n\\r\\t\\b\\a\\\\\\\"\\q\"\r\n", "⟨\n\r\t\b\a\\\"q⟩\n0 left" },
        { "\"\\x41\\xfF\\x00\"\r\n", "⟨A\u00FF\0⟩\n0 left" },
        { "\"\\x4\\xg1\\x\"\r\n", "⟨x4xg1x⟩\n0 left" },
        { "'a\\'b\\n\\\\c'\r\n", "⟨a'b\\n\\\\c⟩\n0 left" },
        { "'\"' \"'\"\r\n", "⟨\"⟩⟨'⟩\n0 left" },
        { "a\"b c\"\r\n", "⟨ab c⟩\n0 left" },
        { "a'b'\r\n", "⟨ab⟩\n0 left" },
        { "\"a\"\vb\r\n", "⟨a⟩⟨b⟩\n0 left" },
        { "a\\nb\r\n", "⟨a\\nb⟩\n0 left" },
        { "\"a\"b\r\n", "Protocol error: unbalanced quotes in request" },
        { "'a'b\r\n", "Protocol error: unbalanced quotes in request" },
        { "\"a\r\n", "Protocol error: unbalanced quotes in request" },
        { "'a\r\n", "Protocol error: unbalanced quotes in request" },
        { "\"a\\\"\r\n", "Protocol error: unbalanced quotes in request" },
        { "\"a\\\r\n", "Protocol error: unbalanced quotes in request" },
        { "'a\\\\'\r\n", "Protocol error: unbalanced quotes in request" },
        { "'a\\\r\n", "Protocol error: unbalanced quotes in request" },
        { "\"\"\"a\"\"\"\r\n", "Protocol error: unbalanced quotes in request" },
        { "PING\r\nset \"\"\"test-key\"\"\" test-value\r\nPING\r\n", "⟨PING⟩\nProtocol error: unbalanced quotes in request" },

        // Both kinds on one connection.
        { "PING\r\n*1\r\n$4\r\nPING\r\n\"p i\"\n*0\r\n*2\r\n$1\r\na\r\n$2\r\nbb\r\n", "⟨PING⟩\n⟨PING⟩\n⟨p i⟩\n⟨a⟩⟨bb⟩\n0 left" },
    };
}
