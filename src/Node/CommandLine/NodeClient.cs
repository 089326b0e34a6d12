using System.Buffers;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Leither.Node.Configuration;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>A client of the node that runs on a data folder: sends one command and reads its replies.</summary>
internal sealed class NodeClient : IDisposable
{
    /// <summary>The variable that redis-cli takes a password from, too.</summary>
    public const string PasswordVariable = "REDISCLI_AUTH";

    private readonly Socket _socket;
    private byte[] _input = new byte[16 * 1024];
    private int _length;

    private NodeClient(Socket socket) => _socket = socket;

    /// <summary>The connection itself, for who reads it in another way.</summary>
    public Socket Socket => _socket;

    /// <summary>Whether a node answers, be it with a refusal.</summary>
    public static bool Answers(RunningNode node)
    {
        try
        {
            using NodeClient client = Connect(node);
            client.Send(["PING"]);
            return client.Read() is not null;
        }
        catch (Exception e) when (e is SocketException or InvalidDataException)
        {
            return false;
        }
    }

    /// <summary>Connects, and logs in where the environment holds a password.</summary>
    /// <exception cref="SocketException">Nobody listens there any more.</exception>
    public static NodeClient Connect(RunningNode node)
    {
        Socket socket;
        if (node.Port != 0)
        {
            socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            socket.Connect(node.Host, node.Port);
        }
        else
        {
            socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(new UnixDomainSocketEndPoint(node.UnixSocket!));
        }

        return new NodeClient(socket);
    }

    /// <summary>Sends a command.</summary>
    public void Send(IReadOnlyList<string> words) => Send([.. words.Select(static w => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(w))]);

    /// <summary>Sends a command whose words are any bytes.</summary>
    public void Send(IReadOnlyList<ReadOnlyMemory<byte>> words)
    {
        using MemoryStream request = new();
        request.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"*{words.Count}\r\n")));
        foreach (ReadOnlyMemory<byte> word in words)
        {
            request.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"${word.Length}\r\n")));
            request.Write(word.Span);
            request.Write("\r\n"u8);
        }

        Send(request.GetBuffer().AsSpan(0, (int)request.Length));
    }

    /// <summary>Sends bytes that are commands already.</summary>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[_socket.Send(bytes)..];
        }
    }

    /// <summary>
    /// Begins to read a reply that may be large: whether it is an array, and how many elements it has, to be read with <see cref="TryReadBulk"/>. Any
    /// other reply is left for <see cref="Read"/>.
    /// </summary>
    /// <exception cref="InvalidDataException">What arrived is no RESP.</exception>
    public bool TryBeginArray(out int count)
    {
        count = 0;
        if (_length == 0)
        {
            Receive();
        }

        if (_input[0] != (byte)'*')
        {
            return false;
        }

        count = (int)ReadHeader('*');
        return true;
    }

    /// <summary>Reads a bulk string straight to where it belongs; false where it is nil.</summary>
    /// <exception cref="InvalidDataException">What arrived is no bulk string, or longer than was allowed for.</exception>
    public bool TryReadBulk(IBufferWriter<byte> destination, int maxBytes)
    {
        long length = ReadHeader('$');
        if (length < 0)
        {
            return false;
        }

        if (length > maxBytes)
        {
            throw new InvalidDataException($"The answer is longer than {maxBytes} bytes");
        }

        Span<byte> bytes = destination.GetSpan(Math.Max((int)length, 1))[..(int)length];
        int there = Math.Min(_length, bytes.Length);
        _input.AsSpan(0, there).CopyTo(bytes);
        Consume(there);
        while (there < bytes.Length)
        {
            int received = _socket.Receive(bytes[there..]);
            there += received > 0 ? received : throw new InvalidDataException("it closed the connection");
        }

        destination.Advance(bytes.Length);
        while (_length < 2)
        {
            Receive();
        }

        Consume(2);
        return true;
    }

    /// <summary>The number in the line that begins a reply.</summary>
    private long ReadHeader(char type)
    {
        int end;
        while ((end = _input.AsSpan(0, _length).IndexOf("\r\n"u8)) < 0)
        {
            if (_length > 32)
            {
                throw new InvalidDataException("The answer is not RESP");
            }

            Receive();
        }

        if (_input[0] != (byte)type || !long.TryParse(_input.AsSpan(1, end - 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number))
        {
            throw new InvalidDataException("The answer is not what it should be");
        }

        Consume(end + 2);
        return number;
    }

    private void Consume(int count)
    {
        _length -= count;
        _input.AsSpan(count, _length).CopyTo(_input);
    }

    private void Receive()
    {
        int received = _socket.Receive(_input.AsSpan(_length));
        _length += received > 0 ? received : throw new InvalidDataException("it closed the connection");
    }

    /// <summary>The next reply; null when the node closed the connection.</summary>
    /// <exception cref="InvalidDataException">What arrived is no RESP.</exception>
    public RespReply? Read()
    {
        while (true)
        {
            RespReader reader = new(_input.AsSpan(0, _length));
            ReadStatus status = RespReply.TryRead(ref reader, out RespReply? reply);
            if (status == ReadStatus.Complete)
            {
                int consumed = reader.Consumed;
                _input.AsSpan(consumed, _length - consumed).CopyTo(_input);
                _length -= consumed;
                return reply;
            }

            if (status != ReadStatus.Incomplete)
            {
                throw new InvalidDataException("The answer is not RESP");
            }

            if (_length == _input.Length)
            {
                Array.Resize(ref _input, _input.Length * 2);
            }

            int received = _socket.Receive(_input.AsSpan(_length));
            if (received == 0)
            {
                return null;
            }

            _length += received;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();
}
