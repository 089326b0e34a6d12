// A small client for tests: blocking, over TCP or a Unix socket, RESP2 and RESP3, pipelines. It parses by itself, so
// that a mistake in the product's reader cannot hide behind the same mistake here, and it can keep the raw bytes.

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Leither.TestKit;

/// <summary>Reading a reply failed: the other side closed, or sent what is no RESP.</summary>
public sealed class RespConnectionException : IOException
{
    public RespConnectionException() { }

    public RespConnectionException(string message) : base(message) { }

    public RespConnectionException(string message, Exception inner) : base(message, inner) { }
}

/// <summary>One connection to a RESP server.</summary>
public sealed class RespClient : IDisposable
{
    private readonly Socket socket;
    private byte[] output = new byte[4096];
    private int outputLength;
    private byte[] input = new byte[64 * 1024];
    private int inputStart;
    private int inputEnd;
    private List<byte>? raw;

    private RespClient(Socket socket) => this.socket = socket;

    public Socket Socket => socket;

    /// <summary>How long one reply may take before <see cref="Read"/> gives up.</summary>
    public TimeSpan ReadTimeout
    {
        get => TimeSpan.FromMilliseconds(socket.ReceiveTimeout);
        set => socket.ReceiveTimeout = (int)value.TotalMilliseconds;
    }

    public static RespClient Connect(int port) => Connect(new IPEndPoint(IPAddress.Loopback, port), ProtocolType.Tcp);

    public static RespClient ConnectUnix(string path) => Connect(new UnixDomainSocketEndPoint(path), ProtocolType.Unspecified);

    private static RespClient Connect(EndPoint end, ProtocolType protocol)
    {
        var socket = new Socket(end.AddressFamily, SocketType.Stream, protocol);
        try
        {
            if (protocol == ProtocolType.Tcp) socket.NoDelay = true;
            socket.Connect(end);
            socket.ReceiveTimeout = (int)Wait.Limit.TotalMilliseconds;
            return new RespClient(socket);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Sends one command of text arguments (Latin-1: one byte a char) and reads its reply.</summary>
    public RespValue Call(params string[] arguments)
    {
        Queue(arguments);
        Flush();
        return Read();
    }

    /// <summary>Sends one command of byte arguments and reads its reply.</summary>
    public RespValue Call(IReadOnlyList<byte[]> arguments)
    {
        Queue(arguments);
        Flush();
        return Read();
    }

    /// <summary>Sends commands at once and reads a reply for each.</summary>
    public RespValue[] Pipeline(IReadOnlyList<IReadOnlyList<byte[]>> commands)
    {
        foreach (IReadOnlyList<byte[]> command in commands) Queue(command);
        Flush();
        var replies = new RespValue[commands.Count];
        for (int i = 0; i < replies.Length; i++) replies[i] = Read();
        return replies;
    }

    /// <summary>Adds a command to what the next <see cref="Flush"/> sends.</summary>
    public void Queue(params string[] arguments)
    {
        Header('*', arguments.Length);
        foreach (string argument in arguments)
        {
            Header('$', argument.Length);
            Reserve(argument.Length + 2);
            outputLength += Encoding.Latin1.GetBytes(argument, output.AsSpan(outputLength));
            NewLine();
        }
    }

    /// <summary>Adds a command to what the next <see cref="Flush"/> sends.</summary>
    public void Queue(IReadOnlyList<byte[]> arguments)
    {
        Header('*', arguments.Count);
        foreach (byte[] argument in arguments)
        {
            Header('$', argument.Length);
            Reserve(argument.Length + 2);
            argument.CopyTo(output, outputLength);
            outputLength += argument.Length;
            NewLine();
        }
    }

    /// <summary>Sends what was queued.</summary>
    public void Flush()
    {
        int sent = 0;
        while (sent < outputLength) sent += socket.Send(output.AsSpan(sent, outputLength - sent));
        outputLength = 0;
    }

    /// <summary>Sends bytes as they are: broken protocol, inline commands, pieces of a command.</summary>
    public void SendRaw(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0) bytes = bytes[socket.Send(bytes)..];
    }

    public void SendRaw(string latin1) => SendRaw(Encoding.Latin1.GetBytes(latin1));

    /// <summary>Reads one reply or push.</summary>
    public RespValue Read() => Parse(0);

    /// <summary>Reads one reply and also hands back its very bytes.</summary>
    public RespValue Read(out byte[] bytes)
    {
        raw = [];
        try
        {
            RespValue value = Parse(0);
            bytes = [.. raw];
            return value;
        }
        finally { raw = null; }
    }

    /// <summary>Whether a byte arrives within the time (a reply, or the end of the connection).</summary>
    public bool WaitReadable(TimeSpan time) => inputStart < inputEnd || socket.Poll(time, SelectMode.SelectRead);

    /// <summary>Whether the server closed this connection: waits for it up to the read timeout.</summary>
    public bool IsClosedByServer()
    {
        try
        {
            return inputStart == inputEnd && !Fill();
        }
        catch (RespConnectionException e) when (e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionReset })
        {
            return true;
        }
    }

    public void Dispose() => socket.Dispose();

    private void Header(char marker, int number)
    {
        Reserve(16);
        output[outputLength++] = (byte)marker;
        number.TryFormat(output.AsSpan(outputLength), out int written, default, CultureInfo.InvariantCulture);
        outputLength += written;
        NewLine();
    }

    private void NewLine()
    {
        output[outputLength++] = (byte)'\r';
        output[outputLength++] = (byte)'\n';
    }

    private void Reserve(int bytes)
    {
        if (output.Length - outputLength < bytes) System.Array.Resize(ref output, Math.Max(output.Length * 2, outputLength + bytes));
    }

    private bool Fill()
    {
        if (inputStart > 0 && inputStart == inputEnd) inputStart = inputEnd = 0;
        if (inputEnd == input.Length)
        {
            if (inputStart > 0)
            {
                input.AsSpan(inputStart, inputEnd - inputStart).CopyTo(input);
                inputEnd -= inputStart;
                inputStart = 0;
            }
            else
            {
                System.Array.Resize(ref input, input.Length * 2);
            }
        }

        try
        {
            int got = socket.Receive(input.AsSpan(inputEnd));
            inputEnd += got;
            return got > 0;
        }
        catch (SocketException e)
        {
            throw new RespConnectionException($"No reply: {e.SocketErrorCode}", e);
        }
    }

    private byte[] Line()
    {
        int searched = 0;
        while (true)
        {
            int end = input.AsSpan(inputStart + searched, inputEnd - inputStart - searched).IndexOf((byte)'\n');
            if (end >= 0)
            {
                end += searched;
                if (end == 0 || input[inputStart + end - 1] != '\r') throw new RespConnectionException("A line that ends without CR");
                byte[] line = input.AsSpan(inputStart, end - 1).ToArray();
                Take(end + 1);
                return line;
            }

            searched = inputEnd - inputStart;
            if (!Fill()) throw new RespConnectionException(searched == 0 ? "The server closed the connection" : "The server closed the connection within a reply");
        }
    }

    private byte[] Exactly(int count)
    {
        while (inputEnd - inputStart < count + 2)
        {
            if (!Fill()) throw new RespConnectionException("The server closed the connection within a reply");
        }

        byte[] bytes = input.AsSpan(inputStart, count).ToArray();
        if (input[inputStart + count] != '\r' || input[inputStart + count + 1] != '\n') throw new RespConnectionException("A bulk string that ends without CRLF");
        Take(count + 2);
        return bytes;
    }

    private void Take(int count)
    {
        raw?.AddRange(input.AsSpan(inputStart, count));
        inputStart += count;
    }

    private RespValue Parse(int depth)
    {
        if (depth > 64) throw new RespConnectionException("A reply nested deeper than 64");
        byte[] line = Line();
        if (line.Length == 0) throw new RespConnectionException("An empty line where a reply should start");
        var kind = (RespKind)line[0];
        byte[] rest = line[1..];
        switch (kind)
        {
            case RespKind.SimpleString or RespKind.SimpleError or RespKind.Integer or RespKind.Double or RespKind.Boolean or RespKind.BigNumber:
                return new RespValue(kind, rest);
            case RespKind.Null:
                return new RespValue(kind, null);
            case RespKind.BulkString or RespKind.BulkError or RespKind.VerbatimString:
                int length = Number(rest);
                return length < 0 ? new RespValue(kind, null) : new RespValue(kind, Exactly(length));
            case RespKind.Array or RespKind.Set or RespKind.Map or RespKind.Push or RespKind.Attribute:
                int count = Number(rest);
                if (count < 0) return new RespValue(kind, null);
                if (kind is RespKind.Map or RespKind.Attribute) count *= 2;
                var items = new RespValue[count];
                for (int i = 0; i < count; i++) items[i] = Parse(depth + 1);
                return new RespValue(kind, null, items);
            default:
                throw new RespConnectionException($"No reply begins with {RespValue.Quote(line)}");
        }
    }

    private static int Number(byte[] digits) =>
        int.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw new RespConnectionException($"No length: {RespValue.Quote(digits)}");
}
