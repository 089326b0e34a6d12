// A transcript holds commands and the replies that Redis gives to them, as text (README.md shows the format).
// The same file runs against Leither and against redis-server, so an expectation that is wrong fails on the judge.

using System.Text;
using System.Text.RegularExpressions;
using Leither.TestKit;

namespace Leither.RedisCompat;

/// <summary>What a step of a transcript does.</summary>
public enum StepKind
{
    /// <summary>Sends a command and reads its reply: <c>a> GET k</c>.</summary>
    Call,

    /// <summary>Sends a command and waits until the server reports one more blocked client: <c>a>> BLPOP k 0</c>.</summary>
    Block,

    /// <summary>Reads a reply or push that was not asked for just now: <c>a&lt;</c>.</summary>
    Read,

    /// <summary>Sends bytes as they are and reads one reply: <c>a! "PING\r\n"</c>.</summary>
    Raw,

    /// <summary>Lets time pass: <c>!sleep 20</c>, in milliseconds.</summary>
    Sleep,
}

/// <summary>One command of a case, with what each server must reply.</summary>
public sealed class Step
{
    public required StepKind Kind { get; init; }

    public required string Client { get; init; }

    /// <summary>The line as it stands in the file.</summary>
    public required string Line { get; init; }

    public required byte[][] Arguments { get; init; }

    /// <summary>Comment and blank lines that precede the step.</summary>
    public required List<string> Before { get; init; }

    /// <summary>What redis-server 7.0 replies.</summary>
    public List<string> Expected { get; set; } = [];

    /// <summary>What Redis 7.2 and Leither reply, where that differs.</summary>
    public List<string> Newer { get; set; } = [];

    /// <summary>What only Leither replies, where that differs.</summary>
    public List<string> Own { get; set; } = [];

    public List<string> ExpectedOf(Judge judge) => judge switch
    {
        Judge.Leither when Own.Count > 0 => Own,
        Judge.Leither or Judge.Redis72 when Newer.Count > 0 => Newer,
        _ => Expected,
    };
}

/// <summary>Whose replies are expected.</summary>
public enum Judge { Redis70, Redis72, Leither }

/// <summary>A named run of steps on an empty server.</summary>
public sealed class Case
{
    public required string Name { get; init; }

    public List<string> Before { get; init; } = [];

    public List<Step> Steps { get; } = [];

    /// <summary>2 or 3: what every client of the case speaks from its start.</summary>
    public int Protocol { get; set; } = 2;

    public bool HasDifference => Steps.Any(step => step.Newer.Count > 0 || step.Own.Count > 0);
}

/// <summary>A file of cases.</summary>
public sealed partial class Transcript
{
    private const string NewerMark = "7.2| ";
    private const string OwnMark = "leither| ";

    public required string Path { get; init; }

    public string Name => System.IO.Path.GetFileNameWithoutExtension(Path);

    public List<Case> Cases { get; } = [];

    private List<string> Tail { get; set; } = [];

    /// <summary>The folder that holds the transcripts, in the source tree.</summary>
    public static string Folder { get; } = FindFolder();

    public static IEnumerable<Transcript> All() =>
        Directory.GetFiles(System.IO.Path.Combine(Folder, "transcripts"), "*.txt").Order(StringComparer.Ordinal).Select(Load);

    public static Transcript Load(string path)
    {
        var transcript = new Transcript { Path = path };
        var before = new List<string>();
        Case? current = null;
        Step? step = null;
        int number = 0;
        foreach (string line in File.ReadLines(path, Encoding.UTF8))
        {
            number++;
            if (line.Length == 0 || line == "#" || line.StartsWith("# ", StringComparison.Ordinal))
            {
                before.Add(line);
                step = null;
            }
            else if (line.StartsWith("== ", StringComparison.Ordinal))
            {
                current = new Case { Name = line[3..], Before = before };
                transcript.Cases.Add(current);
                before = [];
                step = null;
            }
            else if (current is null)
            {
                throw new FormatException($"{path}:{number}: a step before the first case");
            }
            else if (line is "@2" or "@3")
            {
                current.Protocol = line[1] - '0';
            }
            else if (ParseStep(line, before) is { } parsed)
            {
                current.Steps.Add(step = parsed);
                before = [];
            }
            else if (step is null)
            {
                throw new FormatException($"{path}:{number}: a reply that follows no step: {line}");
            }
            else if (line.StartsWith(NewerMark, StringComparison.Ordinal))
            {
                step.Newer.Add(line[NewerMark.Length..]);
            }
            else if (line.StartsWith(OwnMark, StringComparison.Ordinal))
            {
                step.Own.Add(line[OwnMark.Length..]);
            }
            else
            {
                step.Expected.Add(line);
            }
        }

        transcript.Tail = before;
        return transcript;
    }

    /// <summary>Writes the file back, with the expectations as they are now.</summary>
    public void Save()
    {
        var text = new StringBuilder();
        foreach (Case one in Cases)
        {
            foreach (string line in one.Before) text.Append(line).Append('\n');
            text.Append("== ").Append(one.Name).Append('\n');
            if (one.Protocol != 2) text.Append('@').Append(one.Protocol).Append('\n');
            foreach (Step step in one.Steps)
            {
                foreach (string line in step.Before) text.Append(line).Append('\n');
                text.Append(step.Line).Append('\n');
                foreach (string line in step.Expected) text.Append(line).Append('\n');
                foreach (string line in step.Newer) text.Append(NewerMark).Append(line).Append('\n');
                foreach (string line in step.Own) text.Append(OwnMark).Append(line).Append('\n');
            }
        }

        foreach (string line in Tail) text.Append(line).Append('\n');
        File.WriteAllText(Path, text.ToString());
    }

    private static Step? ParseStep(string line, List<string> before)
    {
        Match match = StepLine().Match(line);
        if (!match.Success) return null;
        string mark = match.Groups["mark"].Value;
        string rest = match.Groups["rest"].Value;
        StepKind kind = mark switch
        {
            ">" => StepKind.Call,
            ">>" => StepKind.Block,
            "<" => StepKind.Read,
            "!" => StepKind.Raw,
            _ => StepKind.Sleep,
        };
        return new Step { Kind = kind, Client = match.Groups["client"].Value, Line = line, Arguments = Quoting.Split(rest), Before = before };
    }

    private static string FindFolder()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string path = System.IO.Path.Combine(folder.FullName, "tests/redis-compat");
            if (Directory.Exists(System.IO.Path.Combine(path, "transcripts"))) return path;
        }

        throw new DirectoryNotFoundException($"No tests/redis-compat/transcripts above {AppContext.BaseDirectory}");
    }

    [GeneratedRegex("^(?<client>[a-z]?)(?<mark>>|>>|<|!)(?: (?<rest>.*))?$|^(?<mark>!sleep) (?<rest>\\d+)$")]
    private static partial Regex StepLine();
}
