using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Leither.Node.Logging;

/// <summary>How much is told; each level includes those below it. The names are those of <c>loglevel</c>.</summary>
public enum NodeLogLevel
{
    /// <summary>Everything.</summary>
    Debug,

    /// <summary>Much, but not everything.</summary>
    Verbose,

    /// <summary>What an operator wants to know.</summary>
    Notice,

    /// <summary>What an operator must know.</summary>
    Warning,

    /// <summary>Silence.</summary>
    Nothing,
}

/// <summary>How a line looks; the names are those of <c>log-format</c>.</summary>
public enum NodeLogFormat
{
    /// <summary>As Redis's.</summary>
    Text,

    /// <summary>An object of JSON.</summary>
    Json,
}

/// <summary>
/// The node's log, in the line format that operators of Redis and their tools know:
/// <c>pid:role day month year time level message</c>, or as objects of JSON: <c>{"time":…,"level":…,"pid":…,"msg":…}</c>. A message is one line whoever wrote what it quotes:
/// what would begin another is indented, so nobody can forge an entry. To the console, or appended to a file that is opened for each line, so that
/// log rotation needs no signal.
/// </summary>
public sealed class NodeLog
{
    private readonly object _gate = new();
    private readonly TimeProvider _clock;
    private readonly TextWriter? _console;

    /// <summary>Creates a log.</summary>
    /// <param name="clock">Where times come from.</param>
    /// <param name="console">Where lines go while no file is set; null drops them.</param>
    public NodeLog(TimeProvider clock, TextWriter? console)
    {
        _clock = clock;
        _console = console;
    }

    /// <summary>A log that tells nobody.</summary>
    public static NodeLog None { get; } = new(TimeProvider.System, null) { Level = NodeLogLevel.Nothing };

    /// <summary>The lowest level that is written.</summary>
    public NodeLogLevel Level { get; set; } = NodeLogLevel.Notice;

    /// <summary>How lines look.</summary>
    public NodeLogFormat Format { get; set; }

    /// <summary>The file lines are appended to; null or empty means the console.</summary>
    public string? File { get; set; }

    /// <summary>For finding errors.</summary>
    public void Debug(string message) => Write(NodeLogLevel.Debug, '.', message);

    /// <summary>What happens, in detail.</summary>
    public void Verbose(string message) => Write(NodeLogLevel.Verbose, '-', message);

    /// <summary>What an operator wants to know.</summary>
    public void Notice(string message) => Write(NodeLogLevel.Notice, '*', message);

    /// <summary>What an operator must know.</summary>
    public void Warning(string message) => Write(NodeLogLevel.Warning, '#', message);

    private void Write(NodeLogLevel level, char mark, string message)
    {
        if (level < Level)
        {
            return;
        }

        string line = Line(level, mark, message);
        lock (_gate)
        {
            if (string.IsNullOrEmpty(File))
            {
                _console?.WriteLine(line);
                return;
            }

            try
            {
                System.IO.File.AppendAllText(File, line + "\n");
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                _console?.WriteLine(line);
                _console?.WriteLine(Line(NodeLogLevel.Warning, '#', $"The log file {File} cannot be written: {e.Message}"));
            }
        }
    }

    private string Line(NodeLogLevel level, char mark, string message)
    {
        DateTimeOffset now = _clock.GetLocalNow();
        if (Format == NodeLogFormat.Text)
        {
            return $"{Environment.ProcessId}:M {now.ToString("dd MMM yyyy HH:mm:ss.fff", CultureInfo.InvariantCulture)} {mark} {OneEntry(message)}";
        }

        ArrayBufferWriter<byte> text = new();
        using (Utf8JsonWriter json = new(text))
        {
            json.WriteStartObject();
            json.WriteString("time", now.ToString("yyyy-MM-ddTHH:mm:ss.fffzzz", CultureInfo.InvariantCulture));
            json.WriteString("level", level switch
            {
                NodeLogLevel.Debug => "debug",
                NodeLogLevel.Verbose => "verbose",
                NodeLogLevel.Notice => "notice",
                _ => "warning",
            });
            json.WriteNumber("pid", Environment.ProcessId);
            json.WriteString("msg", message);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    private static string OneEntry(string message) =>
        !message.Any(char.IsControl) ? message
        : string.Concat(message.ReplaceLineEndings("\n").Select(static c => c == '\n' ? "\n    " : char.IsControl(c) && c != '\t' ? "?" : c.ToString()));
}
