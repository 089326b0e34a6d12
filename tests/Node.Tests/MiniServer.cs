using System.Runtime.CompilerServices;
using Leither.Node.Logging;
using Leither.Node.Transport;
using Leither.Resp;
using Leither.TestKit;

namespace Leither.Node.Tests;

/// <summary>
/// A transport with a small RESP server on it: PING, ECHO text, BIG size, LEN text, WAIT (blocks until somebody says WAKE), PUSH text
/// (to all others), COUNT (connections), TURNS, QUIT. It checks the transport's rules as it goes.
/// </summary>
internal sealed unsafe class MiniServer : IConnectionHandler, IDisposable
{
    private readonly List<Connection> _connections = [];
    private readonly List<Connection> _waiting = [];
    private readonly ArgBuffer _arguments = new();
    private readonly Thread _loop;
    private readonly List<string> _violations = [];
    private bool _inCall;
    private bool _inputInTurn;

    public MiniServer(string kind, ListenOptions? listen = null, Func<IConnectionHandler, IConnectionHandler>? wrap = null, NodeLog? log = null)
    {
        IConnectionHandler handler = wrap?.Invoke(this) ?? this;
        Transport = kind == "epoll" ? new EpollTransport(handler, log ?? NodeLog.None) : new SocketTransport(handler, log ?? NodeLog.None);
        Transport.Listen(listen ?? new ListenOptions(["127.0.0.1"], Listener.AnyPort));
        _loop = new Thread(Transport.Run) { Name = "loop" };
        _loop.Start();
    }

    public ITransport Transport { get; }

    public int Port => Transport.BoundPort;

    public int Opened { get; private set; }

    public int Closed { get; private set; }

    public long Turns { get; private set; }

    public RespClient Connect() => RespClient.Connect(Port);

    /// <summary>Asks something on the loop thread.</summary>
    public T Ask<T>(Func<MiniServer, T> question)
    {
        TaskCompletionSource<T> answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Transport.Post(() =>
        {
            try
            {
                answer.SetResult(question(this));
            }
            catch (Exception e)
            {
                // A failed assertion belongs to the test, not to the loop.
                answer.SetException(e);
            }
        });
        return answer.Task.WaitAsync(Wait.Limit).GetAwaiter().GetResult();
    }

    public IReadOnlyList<Connection> Connections => _connections;

    /// <summary>Waits until something is so on the loop thread.</summary>
    public void Until(Func<MiniServer, bool> condition, [CallerArgumentExpression(nameof(condition))] string text = "") => Wait.Until(() => Ask(condition), text: text);

    public void OnOpen(Connection connection)
    {
        Enter();
        Opened++;
        _connections.Add(connection);
        connection.Session = new RequestParser();
        _inCall = false;
    }

    public long OnReceive(Connection connection, byte* data, long length)
    {
        Enter();
        _inputInTurn = true;
        RequestParser parser = (RequestParser)connection.Session!;
        long position = 0;
        while (!connection.IsPaused && !connection.IsClosing)
        {
            _arguments.Clear();
            ParseStatus status = parser.ParseNext(data, length, ref position, _arguments, out int first, out int count);
            if (status == ParseStatus.Incomplete)
            {
                connection.BytesWanted = parser.BytesWanted;
                break;
            }

            if (status == ParseStatus.Error)
            {
                connection.Output.Error(parser.Error);
                connection.Close(afterOutput: true);
                break;
            }

            Execute(connection, first, count);
        }

        connection.SendOutput();
        _inCall = false;
        return position;
    }

    public void OnClose(Connection connection)
    {
        Enter();
        Closed++;
        _connections.Remove(connection);
        _waiting.Remove(connection);
        ((RequestParser)connection.Session!).Dispose();
        _inCall = false;
    }

    /// <summary>While false no reply may leave, as when the disk fails.</summary>
    public bool MaySend { get; set; } = true;

    public bool EndTurn()
    {
        Enter();
        Turns++;
        _inputInTurn = false;
        _inCall = false;
        return MaySend;
    }

    public int Tick(long nowMs)
    {
        Enter();
        _inCall = false;
        return 100;
    }

    public void Dispose()
    {
        Transport.Stop();
        if (!_loop.Join(Wait.Limit))
        {
            throw new TimeoutException("The loop does not end");
        }

        Transport.Dispose();
        _arguments.Dispose();
        Xunit.Assert.Empty(_violations);
        Xunit.Assert.False(_inputInTurn);
        Xunit.Assert.Equal(Opened, Closed);
    }

    private void Enter()
    {
        if (Thread.CurrentThread != _loop)
        {
            _violations.Add("called on another thread");
        }

        if (_inCall)
        {
            _violations.Add("called within a call");
        }

        _inCall = true;
    }

    private void Execute(Connection connection, int first, int count)
    {
        RespWriter output = connection.Output;
        Slice argument = count > 1 ? _arguments[first + 1] : default;
        switch (_arguments[first].ToString().ToUpperInvariant())
        {
            case "PING":
                output.Pong();
                break;
            case "ECHO":
                output.Bulk(argument);
                break;
            case "LEN":
                output.Integer(argument.Length);
                break;
            case "CAPACITY":
                output.Integer(connection.InputCapacity);
                break;
            case "BIG":
                argument.TryInt(out int size);
                output.BeginBulk(size);
                new Span<byte>(output.Reserve(size), size).Fill((byte)'x');
                output.Advance(size);
                output.EndBulk();
                break;
            case "WAIT":
                _waiting.Add(connection);
                connection.Pause();
                break;
            case "WAKE":
                output.Integer(_waiting.Count);
                foreach (Connection waiting in _waiting)
                {
                    waiting.Output.Simple("woken"u8);
                    waiting.SendOutput();
                    waiting.Resume();
                }

                _waiting.Clear();
                break;
            case "PUSH":
                foreach (Connection other in _connections.Where(c => c != connection))
                {
                    other.Output.Bulk(argument);
                    other.SendOutput();
                }

                output.Ok();
                break;
            case "COUNT":
                output.Integer(_connections.Count);
                break;
            case "QUIT":
                output.Ok();
                connection.Close(afterOutput: true);
                break;
            case "DIE":
                output.Ok();
                connection.Close(afterOutput: false);
                break;
            default:
                output.Error("ERR unknown command"u8);
                break;
        }
    }
}
