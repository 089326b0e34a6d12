using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Leither.MmDb.Rdb;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// Imports into a running server: keys of RDB as RESTORE, commands of append-only files as they are; written by one thread while
/// another reads the replies.
/// </summary>
internal sealed unsafe class RemoteImport : IDisposable
{
    private const int BufferBytes = 1 << 16;

    /// <summary>So many commands may lack their replies.</summary>
    private const int MaxUnanswered = 100_000;

    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private readonly byte[] _output = new byte[BufferBytes];
    private readonly SemaphoreSlim _window = new(MaxUnanswered);
    private readonly bool _keepsExisting;
    private readonly Thread _replies;
    private int _buffered;
    private long _sent, _answered, _existing;
    private volatile string? _refusal;
    private volatile bool _allSent;

    private RemoteImport(string address, string? user, bool keepsExisting)
    {
        _ = MimeiOptions.TrySplit(address, out string host, out int port);
        _keepsExisting = keepsExisting;
        _socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _socket.Connect(host, port);
        _stream = new NetworkStream(_socket);
        _replies = new Thread(ReadReplies) { IsBackground = true, Name = "replies" };
        _replies.Start();
        if (Environment.GetEnvironmentVariable(NodeClient.PasswordVariable) is { Length: > 0 } password)
        {
            Command(user is null ? ["AUTH", password] : ["AUTH", user, password]);
        }
    }

    /// <summary>Imports; gives what was sent.</summary>
    public static IReadOnlyDictionary<string, object> Run(ImportSource source, string address, string? user, bool keepsExisting, Action<long, long> advance)
    {
        using RemoteImport import = new(address, user, keepsExisting);
        long keys = 0, commands = 0, functions = 0, expired = 0, cutOff = 0, before = 0;
        foreach (string file in source.Files)
        {
            using FileStream stream = ImportSource.Open(file);
            byte[] head = new byte[5];
            int read = stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
            byte[] begun = head[..read];
            if (begun.AsSpan().SequenceEqual("REDIS"u8))
            {
                using RdbFile rdb = new(stream, begun);
                import.SendKeys(rdb, ref keys, ref functions, ref expired, (bytes, count) => advance(before + bytes, count));
                before += rdb.Position;
                begun = rdb.Rest.ToArray();
            }

            using AofCommands tail = new(stream, begun);
            while (tail.Read(out byte* bytes, out long length, out long count))
            {
                import.Sent(count);
                import.Write(new ReadOnlySpan<byte>(bytes, checked((int)length)));
                commands += count;
                advance(before + tail.Position, keys + commands);
            }

            before += tail.Position;
            cutOff += tail.CutOff;
        }

        import.Finish();
        return new Dictionary<string, object>
        {
            ["keys"] = keys - import._existing,
            ["commands"] = commands,
            ["functions"] = functions,
            ["expired_keys_left_out"] = expired,
            ["existing_keys_left_out"] = import._existing,
            ["bytes_of_a_command_cut_off"] = cutOff,
            ["bytes"] = source.Length,
        };
    }

    private void SendKeys(RdbFile rdb, ref long keys, ref long functions, ref long expired, Action<long, long> advance)
    {
        int selected = -1;
        long now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        while (true)
        {
            switch (rdb.Read())
            {
                case RdbItem.End:
                    return;
                case RdbItem.Function:
                    functions++;
                    Command("FUNCTION"u8.ToArray(), "LOAD"u8.ToArray(), "REPLACE"u8.ToArray(), rdb.FunctionSource.ToArray());
                    break;
                default:
                    if (rdb.ExpireAt != 0 && rdb.ExpireAt <= now)
                    {
                        expired++;
                        break;
                    }

                    if (selected != rdb.Database)
                    {
                        selected = rdb.Database;
                        Command("SELECT", selected.ToString(CultureInfo.InvariantCulture));
                    }

                    Restore(rdb);
                    keys++;
                    break;
            }

            if (keys % 1024 == 0)
            {
                advance(rdb.Position, keys);
            }
        }
    }

    private void Restore(RdbFile rdb)
    {
        Sent(1);
        byte* footer = stackalloc byte[10];
        rdb.WriteFooter(footer);
        Text($"*{(_keepsExisting ? 5 : 6)}\r\n$7\r\nRESTORE\r\n${rdb.Key.Length}\r\n");
        Write(rdb.Key.Span);
        string expireAt = rdb.ExpireAt.ToString(CultureInfo.InvariantCulture);
        Text($"\r\n${expireAt.Length}\r\n{expireAt}\r\n${rdb.ValueLength + 10}\r\n");
        Write(new ReadOnlySpan<byte>(rdb.Value, checked((int)rdb.ValueLength)));
        Write(new ReadOnlySpan<byte>(footer, 10));
        Text(_keepsExisting ? "\r\n$6\r\nABSTTL\r\n" : "\r\n$6\r\nABSTTL\r\n$7\r\nREPLACE\r\n");
    }

    private void Command(params string[] words) => Command([.. words.Select(Encoding.UTF8.GetBytes)]);

    private void Command(params byte[][] words)
    {
        Sent(1);
        Text($"*{words.Length}\r\n");
        foreach (byte[] word in words)
        {
            Text($"${word.Length}\r\n");
            Write(word);
            Text("\r\n");
        }
    }

    private void Text(string text)
    {
        Span<byte> bytes = stackalloc byte[128];
        Write(bytes[..Encoding.ASCII.GetBytes(text, bytes)]);
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > BufferBytes - _buffered)
        {
            Flush();
            if (bytes.Length > BufferBytes)
            {
                _stream.Write(bytes);
                return;
            }
        }

        bytes.CopyTo(_output.AsSpan(_buffered));
        _buffered += bytes.Length;
    }

    private void Flush()
    {
        _stream.Write(_output, 0, _buffered);
        _buffered = 0;
    }

    /// <summary>Counts commands about to be sent, and waits while too many lack replies.</summary>
    private void Sent(long count)
    {
        if (_refusal is { } refusal)
        {
            throw new IOException(refusal);
        }

        _sent += count;
        for (; count > 0; count--)
        {
            if (!_window.Wait(0))
            {
                Flush();
                while (!_window.Wait(1000))
                {
                    if (_refusal is { } later)
                    {
                        throw new IOException(later);
                    }
                }
            }
        }
    }

    private void Finish()
    {
        Flush();
        _allSent = true;
        _socket.Shutdown(SocketShutdown.Send);
        _replies.Join();
        if (_refusal is { } refusal)
        {
            throw new IOException(refusal);
        }
    }

    private void ReadReplies()
    {
        byte[] input = new byte[BufferBytes];
        int length = 0;
        try
        {
            while (!_allSent || _answered < Volatile.Read(ref _sent))
            {
                int received = _socket.Receive(input.AsSpan(length));
                if (received == 0)
                {
                    _refusal ??= _answered < Volatile.Read(ref _sent) ? "The server closed the connection" : null;
                    return;
                }

                length += received;
                length = TakeReplies(input, length);
                if (length == input.Length)
                {
                    Array.Resize(ref input, input.Length * 2);
                }
            }
        }
        catch (SocketException e)
        {
            _refusal ??= $"The server does not answer: {e.Message}";
        }
    }

    private int TakeReplies(byte[] input, int length)
    {
        RespReader reader = new(input.AsSpan(0, length));
        int consumed = 0;
        while (RespReply.TryRead(ref reader, out RespReply? reply) == ReadStatus.Complete)
        {
            consumed = reader.Consumed;
            _answered++;
            _window.Release();
            if (!reply!.IsError)
            {
                continue;
            }

            if (_keepsExisting && reply.Text.StartsWith("BUSYKEY", StringComparison.Ordinal))
            {
                _existing++;
            }
            else
            {
                _refusal ??= $"The server refused a command: {reply.Text}";
            }
        }

        input.AsSpan(consumed, length - consumed).CopyTo(input);
        return length - consumed;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _socket.Dispose();
        _window.Dispose();
    }
}
