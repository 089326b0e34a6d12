using System.Globalization;

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

/// <summary>
/// The node's log, in the line format that operators of Redis and their tools know:
/// <c>pid:role day month year time level message</c>. To the console, or appended to a file that is opened for each line, so that
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

        string time = _clock.GetLocalNow().ToString("dd MMM yyyy HH:mm:ss.fff", CultureInfo.InvariantCulture);
        string line = $"{Environment.ProcessId}:M {time} {mark} {message}";
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
                _console?.WriteLine($"{Environment.ProcessId}:M {time} # The log file {File} cannot be written: {e.Message}");
            }
        }
    }
}
