using System.Globalization;
using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>Clients that see every command as it runs on their MiMei (MONITOR): a line each, made once and copied to all.</summary>
internal sealed unsafe class Monitors(Server server) : IDisposable
{
    private readonly List<Session> _sessions = [];
    private readonly RespWriter _line = new();

    /// <inheritdoc/>
    public void Dispose() => _line.Dispose();

    /// <summary>How many there are.</summary>
    public int Count => _sessions.Count;

    /// <summary>Adds one.</summary>
    public void Add(Session session) => _sessions.Add(session);

    /// <summary>Removes one.</summary>
    public void Remove(Session session) => _sessions.Remove(session);

    /// <summary>Shows a command: when, in which database, from where, and its words quoted.</summary>
    public void Feed(Session from, int database, CommandSpec spec, Slice* args, int count)
    {
        if (!_sessions.Exists(session => session.Mimei == from.Mimei))
        {
            return;
        }

        DateTimeOffset now = server.Time.GetUtcNow();
        long microseconds = (now - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        _line.Raw("+"u8);
        Text(string.Create(CultureInfo.InvariantCulture, $"{microseconds / 1_000_000}.{microseconds % 1_000_000:d6} [{database} {from.Connection.RemoteAddress}]"));
        for (int i = 0; i < count; i++)
        {
            _line.Raw(" "u8);
            Quote(CommandSecrets.Includes(spec, args, i) ? CommandSecrets.Shown : args[i].Span);
        }

        _line.Raw("\r\n"u8);
        foreach (Session session in _sessions)
        {
            if (session.Mimei == from.Mimei)
            {
                session.Output.Raw(_line.Data, _line.Length);
                server.Pushed(session);
            }
        }

        _line.Release();
    }

    private void Text(string text) => _line.Raw(System.Text.Encoding.UTF8.GetBytes(text));

    private void Quote(ReadOnlySpan<byte> word)
    {
        _line.Raw("\""u8);
        foreach (byte b in word)
        {
            switch (b)
            {
                case (byte)'\\':
                    _line.Raw("\\\\"u8);
                    break;
                case (byte)'"':
                    _line.Raw("\\\""u8);
                    break;
                case (byte)'\n':
                    _line.Raw("\\n"u8);
                    break;
                case (byte)'\r':
                    _line.Raw("\\r"u8);
                    break;
                case (byte)'\t':
                    _line.Raw("\\t"u8);
                    break;
                case (byte)'\a':
                    _line.Raw("\\a"u8);
                    break;
                case (byte)'\b':
                    _line.Raw("\\b"u8);
                    break;
                case >= 0x20 and < 0x7F:
                    _line.Raw([b]);
                    break;
                default:
                    Text(string.Create(CultureInfo.InvariantCulture, $"\\x{b:x2}"));
                    break;
            }
        }

        _line.Raw("\""u8);
    }
}
