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

        ReadOnlySpan<byte> rest = request.GetBuffer().AsSpan(0, (int)request.Length);
        while (!rest.IsEmpty)
        {
            rest = rest[_socket.Send(rest)..];
        }
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
