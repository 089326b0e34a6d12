using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Unicode;
using Leither.Resp;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Leither.Node.CommandLine;

/// <summary>
/// What <c>leither mimei …</c> prints: tables and words for people, JSON for programs. Results go to the standard output; errors, what can be done
/// next, and the sign that something is being waited for go to the standard error, so that a pipe carries results only.
/// </summary>
internal sealed class MimeiOutput
{
    /// <summary>JSON as people like to read it, too: letters of all scripts as they are.</summary>
    private static readonly JsonSerializerOptions _jsonOptions = new() { Encoder = JavaScriptEncoder.Create(UnicodeRanges.All) };

    private static readonly JsonWriterOptions _writerOptions = new() { Encoder = _jsonOptions.Encoder };

    /// <summary>The standard output: a file or pipe gets UTF-8 whatever the locale is, since keys and memos are that.</summary>
    private static readonly TextWriter _out = Console.IsOutputRedirected
        ? new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true }
        : Console.Out;

    private readonly bool _isTerminal = !Console.IsOutputRedirected;
    private readonly IAnsiConsole _console;
    private readonly IAnsiConsole? _waiting;

    /// <summary>Creates the output of one command.</summary>
    /// <param name="asJson">Whether a program reads it.</param>
    public MimeiOutput(bool asJson)
    {
        AsJson = asJson;
        _console = ConsoleOn(_out, _isTerminal);
        if (!_isTerminal)
        {
            // No line of a file or pipe is too long.
            _console.Profile.Width = ushort.MaxValue;
        }

        _waiting = !asJson && _isTerminal && !Console.IsErrorRedirected ? ConsoleOn(Console.Error, isTerminal: true) : null;
    }

    /// <summary>Whether a program reads it.</summary>
    public bool AsJson { get; }

    /// <summary>Whether a person watches.</summary>
    public bool IsWatched => _waiting is not null;

    /// <summary>Writes a result for programs.</summary>
    public static void Json(JsonObject result) => _out.WriteLine(result.ToJsonString(_jsonOptions));

    /// <summary>An array reply's texts.</summary>
    public static JsonArray Texts(RespReply texts) => new([.. texts.Elements.Select(static t => JsonValue.Create(t.Text))]);

    /// <summary>A writer of JSON that is too long to be held; whoever gets it flushes and disposes it.</summary>
    public static Utf8JsonWriter JsonWriter() => new(Console.OpenStandardOutput(), _writerOptions);

    /// <summary>Writes an error: as JSON too where a program reads.</summary>
    public void Fail(string message)
    {
        if (AsJson)
        {
            Json(new JsonObject { ["error"] = message });
        }
        else
        {
            Console.Error.WriteLine(message);
        }
    }

    /// <summary>Writes a line for people; the arguments of an interpolated text are never markup.</summary>
    public void Line(FormattableString text) => _console.MarkupLineInterpolated(CultureInfo.InvariantCulture, text);

    /// <summary>Writes a line whose first part has a colour.</summary>
    public void Colored(string color, string first, string rest)
    {
        if (_isTerminal)
        {
            _console.MarkupLine($"[{color}]{Markup.Escape(first)}[/]{Markup.Escape(rest)}");
        }
        else
        {
            _out.WriteLine(first + rest);
        }
    }

    /// <summary>Writes what can be done next.</summary>
    public void Next(params string[] commands)
    {
        if (!AsJson)
        {
            for (int i = 0; i < commands.Length; i++)
            {
                Console.Error.WriteLine($"{(i == 0 ? "Next:" : "     ")} {commands[i]}");
            }
        }
    }

    /// <summary>Writes rows below their titles.</summary>
    /// <param name="titles">The titles; those that begin with '#' are of numbers.</param>
    /// <param name="rows">The rows.</param>
    public void Table(IReadOnlyList<string> titles, IEnumerable<IReadOnlyList<string>> rows)
    {
        Table table = new() { Border = _isTerminal ? TableBorder.Simple : TableBorder.None };
        foreach (string title in titles)
        {
            // Where a terminal is too narrow, the last column, that of texts, is folded.
            bool isNumber = title.StartsWith('#');
            TableColumn column = new(new Text(title.TrimStart('#'), new Style(decoration: Decoration.Bold))) { NoWrap = title != titles[^1], Padding = new Padding(0, 0, 2, 0) };
            table.AddColumn(isNumber ? column.RightAligned() : column);
        }

        foreach (IReadOnlyList<string> row in rows)
        {
            table.AddRow(row.Select(static cell => (IRenderable)new Text(cell)));
        }

        _console.Write(table);
    }

    /// <summary>Shows a table of what is now, again and again until Ctrl-C, where a person watches.</summary>
    /// <param name="now">What is to be shown.</param>
    /// <param name="every">How long it stands.</param>
    public void Watch(Func<IRenderable> now, TimeSpan every)
    {
        using ManualResetEventSlim isOver = new();
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context =>
        {
            context.Cancel = true;
            isOver.Set();
        });
        _console.Live(now()).Start(live =>
        {
            do
            {
                live.UpdateTarget(now());
            }
            while (!isOver.Wait(every));
        });
    }

    /// <summary>Writes what Spectre draws.</summary>
    public void Write(IRenderable drawn) => _console.Write(drawn);

    /// <summary>Whether the standard output is a terminal.</summary>
    public bool IsTerminal => _isTerminal;

    /// <summary>Waits for something; where a person watches, with a bar that shows how far it is.</summary>
    /// <param name="what">What is done.</param>
    /// <param name="act">Does it.</param>
    /// <param name="look">Asks how far it is: the step, what of it is done, and how much there is (0: nobody knows); null: that is not known now.</param>
    public T Wait<T>(string what, Func<T> act, Func<(string Step, long Done, long Total)?> look)
    {
        if (_waiting is null)
        {
            return act();
        }

        const int lookEveryMs = 150;

        // The terminal's cursor is hidden meanwhile; Ctrl-C ends the program as usual, and gives it back.
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, static _ => Console.Error.WriteLine("\x1b[?25h"));
        return _waiting.Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn { CompletedStyle = Style.Plain }, new ElapsedTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(what));
                task.IsIndeterminate = true;
                using ManualResetEventSlim isOver = new();
                Thread watcher = new(() =>
                {
                    while (!isOver.Wait(lookEveryMs))
                    {
                        if (look() is not { } found)
                        {
                            continue;
                        }

                        string count = found.Done == 0 ? "" : found.Step.EndsWith("bytes", StringComparison.Ordinal) ? $" {Bytes(found.Done)}" : $" {Number(found.Done)}";
                        task.Description = Markup.Escape(found.Step.Length == 0 ? $"{what}{count}" : $"{what}: {found.Step}{count}");
                        task.IsIndeterminate = found.Total == 0;
                        task.MaxValue = Math.Max(found.Total, 1);
                        task.Value = found.Total == 0 ? 0 : Math.Min(found.Done, found.Total);
                    }
                })
                { IsBackground = true, Name = "progress" };
                watcher.Start();
                try
                {
                    return act();
                }
                finally
                {
                    isOver.Set();
                    watcher.Join();
                }
            });
    }

    /// <summary>Does something of known size, with a bar, what is done and how fast, where a person watches.</summary>
    /// <param name="what">What it is.</param>
    /// <param name="total">Bytes in all; asked for only where somebody watches.</param>
    /// <param name="act">Does it, and tells how many bytes are done more.</param>
    public T Progress<T>(string what, Func<long> total, Func<Action<long>, T> act)
    {
        if (_waiting is null)
        {
            return act(static _ => { });
        }

        return _waiting.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn(), new TransferSpeedColumn(), new RemainingTimeColumn())
            .Start(progress =>
            {
                ProgressTask task = progress.AddTask(Markup.Escape(what), maxValue: Math.Max(1, total()));
                T made = act(bytes => task.Increment(bytes));
                task.Value = task.MaxValue;
                return made;
            });
    }

    /// <summary>Writes a line of a result as it is.</summary>
    public static void Plain(string line) => _out.WriteLine(line);

    /// <summary>A CID, shortened where the terminal is narrow; its end tells versions apart.</summary>
    public string Cid(string cid) => !_isTerminal || _console.Profile.Width >= 140 || cid.Length < 20 ? cid : $"{cid[..7]}…{cid[^8..]}";

    /// <summary>Bytes, in the unit that people read.</summary>
    public static string Bytes(long bytes) => bytes switch
    {
        < 1000 => string.Create(CultureInfo.InvariantCulture, $"{bytes} B"),
        < 1_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e3:0.0} kB"),
        < 1_000_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.0} MB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:0.00} GB"),
    };

    /// <summary>So many of something: "1 version", "2 versions".</summary>
    public static string Count(long count, string one) => Count(count, one, one + "s");

    /// <summary>So many of something whose plural has a form of its own: "1 entry", "2 entries".</summary>
    public static string Count(long count, string one, string more) => $"{Number(count)} {(count == 1 ? one : more)}";

    /// <summary>A number with its thousands apart.</summary>
    public static string Number(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>A moment for people: the time of here, and how far that is from UTC.</summary>
    public static string LocalTime(DateTimeOffset time) => time.ToLocalTime().ToString("yyyy-MM-ddTHH:mm:sszzz", CultureInfo.InvariantCulture);

    /// <summary>A moment in a table: the time of here.</summary>
    public static string ShortTime(DateTimeOffset time) => time.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);

    /// <summary>A moment for programs: in UTC, with milliseconds.</summary>
    public static string UtcTime(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);

    /// <summary>A key as people read it: as it is where it is text, otherwise quoted as redis-cli quotes.</summary>
    public static string Key(byte[] key) =>
        IsText(key) && Encoding.UTF8.GetString(key) is { Length: > 0 } text && !text.Any(static c => char.IsControl(c) || c is '"' or '\\') && text.Trim() == text
            ? text
            : ReplyPrinter.Quote(key);

    /// <summary>Adds a key for programs: <c>key</c> where it is text in UTF-8, otherwise <c>key_base64</c>.</summary>
    public static void WriteKey(Utf8JsonWriter json, byte[] key)
    {
        if (IsText(key))
        {
            json.WriteString("key", key);
        }
        else
        {
            json.WriteBase64String("key_base64", key);
        }
    }

    /// <summary>Text in one line.</summary>
    public static string OneLine(string text) => string.Concat(text.Select(static c => char.IsControl(c) ? ' ' : c));

    private static bool IsText(byte[] key) => Utf8.IsValid(key);

    private static IAnsiConsole ConsoleOn(TextWriter writer, bool isTerminal)
    {
        bool isPlain = !isTerminal || !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
        return AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = isTerminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = isPlain ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = isTerminal ? InteractionSupport.Detect : InteractionSupport.No,
        });
    }
}
