// Every input in every piece: the same bytes are fed to a parser whole, cut at each place, and byte by byte, and must mean the same.

using System.Text;

namespace Leither.Resp.Tests;

/// <summary>Feeds bytes to a <see cref="RequestParser"/> in pieces, as a transport does, and writes down what it understood.</summary>
internal static unsafe class Feeding
{
    public static byte[] Bytes(string latin1) => Encoding.Latin1.GetBytes(latin1);

    public static string Text(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);

    /// <summary>All ways to cut: whole, in two at each place, and into single bytes.</summary>
    public static IEnumerable<int[]> Cuts(int length)
    {
        yield return [length];
        for (int cut = 1; cut < length; cut++)
            yield return [cut, length - cut];
        yield return Enumerable.Repeat(1, length).ToArray();
    }

    public static int[] RandomCuts(Random random, int length)
    {
        var pieces = new List<int>();
        int longest = random.Next(1, length + 1);
        for (int rest = length; rest > 0; rest -= pieces[^1])
            pieces.Add(Math.Min(rest, random.Next(1, longest + 1)));
        return [.. pieces];
    }

    /// <summary>
    /// What a connection that sends these bytes asks for: a line for each command, its arguments in ⟨⟩; then the protocol error, or
    /// how many bytes wait for more. What was parsed is dropped from the buffer and the buffer moves before each piece.
    /// </summary>
    public static string Parse(byte[] bytes, int[] pieces, RequestParser? parser = null)
    {
        var log = new StringBuilder();
        using var memory = new GuardedMemory(bytes.Length);
        using var args = new ArgBuffer();
        using var ownParser = new RequestParser();
        parser ??= ownParser;
        int start = 0, arrived = 0;
        foreach (int piece in pieces)
        {
            arrived += piece;
            byte* buffer = memory.Place(bytes.AsSpan(start, arrived - start));
            long position = 0;
            args.Clear();
            ParseStatus status;
            while ((status = parser.ParseNext(buffer, arrived - start, ref position, args, out int first, out int count)) == ParseStatus.Complete)
            {
                for (int i = first; i < first + count; i++)
                    log.Append('⟨').Append(Text(args[i].Span)).Append('⟩');
                log.Append('\n');
            }
            start += (int)position;
            if (status == ParseStatus.Error)
                return log.Append(Text(parser.Error)).ToString();
        }
        return log.Append(arrived - start).Append(" left").ToString();
    }
}
