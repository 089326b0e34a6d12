// A connection that asks one thing after another, where the load generator would be too much.

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Leither.Compare;

/// <summary>A connection to a server.</summary>
internal sealed class Session : IDisposable
{
    private readonly NetworkStream stream;
    private readonly StreamReader reader;

    public Session(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 240_000 };
        socket.Connect(IPAddress.Loopback, port);
        stream = new NetworkStream(socket, ownsSocket: true);
        reader = new StreamReader(stream, Encoding.Latin1);
    }

    /// <summary>A reply: a text, or elements.</summary>
    public sealed record Reply(string Text, Reply[] Items)
    {
        /// <summary>An element of a map that came as an array.</summary>
        public Reply this[string name] => Items[Array.FindIndex(Items, i => i.Text == name) + 1];
    }

    /// <summary>One command; an error is thrown.</summary>
    public Reply Call(params string[] words) => TryCall(words) is { } reply && !reply.Text.StartsWith('-') ? reply : throw new InvalidOperationException($"{string.Join(' ', words)}: {TryCall(words).Text}");

    /// <summary>One command; an error is a text that begins with a minus.</summary>
    public Reply TryCall(params string[] words)
    {
        var request = new StringBuilder().Append('*').Append(words.Length).Append("\r\n");
        foreach (string word in words) request.Append('$').Append(word.Length).Append("\r\n").Append(word).Append("\r\n");
        stream.Write(Encoding.Latin1.GetBytes(request.ToString()));
        return Read();
    }

    private Reply Read()
    {
        string line = reader.ReadLine() ?? throw new IOException("Closed");
        switch (line[0])
        {
            case '$':
                int length = int.Parse(line.AsSpan(1), CultureInfo.InvariantCulture);
                if (length < 0) return new Reply("", []);
                char[] text = new char[length + 2];
                for (int got = 0; got < text.Length;) got += reader.Read(text, got, text.Length - got) is > 0 and var more ? more : throw new IOException("Closed");
                return new Reply(new string(text, 0, length), []);
            case '*' or '%' or '~':
                int count = int.Parse(line.AsSpan(1), CultureInfo.InvariantCulture) * (line[0] == '%' ? 2 : 1);
                var items = new Reply[Math.Max(count, 0)];
                for (int i = 0; i < items.Length; i++) items[i] = Read();
                return new Reply("", items);
            case '-':
                return new Reply(line, []);
            default:
                return new Reply(line[1..], []);
        }
    }

    public void Dispose()
    {
        reader.Dispose();
        stream.Dispose();
    }
}
