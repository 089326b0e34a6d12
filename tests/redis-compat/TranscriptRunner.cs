using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Leither.TestKit;

namespace Leither.RedisCompat;

/// <summary>Plays cases against one server and collects what it replied.</summary>
public sealed class TranscriptRunner(ServerProcess server) : IDisposable
{
    private readonly RespClient control = server.Connect();

    public void Dispose() => control.Dispose();

    /// <summary>Plays a case on an empty server; <paramref name="seen"/> gets each step's reply as lines.</summary>
    public void Play(Case one, Action<Step, List<string>> seen)
    {
        control.Call("FLUSHALL");
        var clients = new Dictionary<string, RespClient>();
        var lastCommand = new Dictionary<string, byte[][]>();
        try
        {
            foreach (Step step in one.Steps)
            {
                if (step.Kind == StepKind.Sleep)
                {
                    Thread.Sleep(int.Parse(Encoding.Latin1.GetString(step.Arguments[0]), CultureInfo.InvariantCulture));
                    continue;
                }

                if (!clients.TryGetValue(step.Client, out RespClient? client))
                {
                    client = server.Connect();
                    clients.Add(step.Client, client);
                    if (one.Protocol == 3) client.Call("HELLO", "3");
                }

                switch (step.Kind)
                {
                    case StepKind.Block:
                        long blocked = Info("blocked_clients");
                        client.Queue(step.Arguments);
                        client.Flush();
                        lastCommand[step.Client] = step.Arguments;
                        Wait.Until(() => Info("blocked_clients") > blocked || client.WaitReadable(TimeSpan.Zero));
                        seen(step, []);
                        break;
                    case StepKind.Read:
                        seen(step, Lines(client, lastCommand.GetValueOrDefault(step.Client, [])));
                        break;
                    case StepKind.Raw:
                        client.SendRaw(step.Arguments.SelectMany(b => b).ToArray());
                        seen(step, Lines(client, []));
                        break;
                    default:
                        client.Queue(step.Arguments);
                        client.Flush();
                        lastCommand[step.Client] = step.Arguments;
                        seen(step, Lines(client, step.Arguments));
                        break;
                }
            }
        }
        finally
        {
            foreach (RespClient client in clients.Values) client.Dispose();
            Wait.Until(() => Info("connected_clients") <= 1);
        }
    }

    /// <summary>Whether a reply is what the file expects; a line that starts with ? is a pattern.</summary>
    public static bool Matches(List<string> expected, List<string> actual)
    {
        if (expected.Count == 1 && expected[0].Trim() == "?any") return true;
        return expected.Count == actual.Count && expected.Zip(actual).All(pair => LineMatches(pair.First, pair.Second));
    }

    private static bool LineMatches(string expected, string actual)
    {
        string pattern = expected.TrimStart();
        if (!pattern.StartsWith('?')) return expected == actual;
        string line = actual.TrimStart();
        if (expected.Length - pattern.Length != actual.Length - line.Length) return false;
        return pattern switch
        {
            "?int" => line.StartsWith(':'),
            "?bulk" => line.StartsWith('"'),
            "?any" => true,
            _ => Regex.IsMatch(line, "^(?:" + pattern[1..] + ")$", RegexOptions.CultureInvariant),
        };
    }

    private static List<string> Lines(RespClient client, byte[][] command)
    {
        try
        {
            return [.. Normalizer.Normalize(command, client.Read()).ToString().Split('\n')];
        }
        catch (RespConnectionException e)
        {
            return [e.Message.StartsWith("The server closed the connection", StringComparison.Ordinal) || e.Message.Contains("ConnectionReset", StringComparison.Ordinal)
                ? "(closed)" : $"({e.Message})"];
        }
    }

    private long Info(string field)
    {
        string info = control.Call("INFO", "clients").Text;
        int at = info.IndexOf(field + ":", StringComparison.Ordinal);
        if (at < 0) throw new InvalidOperationException($"INFO clients has no {field}: {info}");
        at += field.Length + 1;
        int end = info.IndexOf('\r', at);
        return long.Parse(info.AsSpan(at, end - at), CultureInfo.InvariantCulture);
    }
}
