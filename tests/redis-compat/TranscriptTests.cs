using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

/// <summary>The servers that all transcripts share.</summary>
public sealed class Servers : IDisposable
{
    private static readonly string[] Settings = ["--enable-debug-command", "yes", "--enable-protected-configs", "yes"];

    private readonly Lazy<RedisServer> redis = new(() => RedisServer.StartNew(Settings));
    private readonly Lazy<LeitherServer> leither = new(() => LeitherServer.StartNew(Settings));
    private TranscriptRunner? onRedis;
    private TranscriptRunner? onLeither;

    public TranscriptRunner Redis => onRedis ??= new TranscriptRunner(redis.Value);

    public TranscriptRunner Leither => onLeither ??= new TranscriptRunner(Running(leither.Value));

    public static Judge RedisJudge => RedisServer.Version.StartsWith("7.0.", StringComparison.Ordinal) ? Judge.Redis70 : Judge.Redis72;

    public void Dispose()
    {
        onRedis?.Dispose();
        onLeither?.Dispose();
        if (redis.IsValueCreated) redis.Value.Dispose();
        if (leither.IsValueCreated) leither.Value.Dispose();
    }

    // One case that brings the server down must not fail all that follow it.
    private LeitherServer Running(LeitherServer server)
    {
        if (!server.IsRunning) server.Start();
        return server;
    }

    /// <summary>After a failure: a new connection, on a server that is surely there.</summary>
    public void Renew(Judge judge)
    {
        if (judge == Judge.Leither)
        {
            onLeither?.Dispose();
            onLeither = null;
        }
        else
        {
            onRedis?.Dispose();
            onRedis = null;
        }
    }
}

public sealed class TranscriptTests(Servers servers) : IClassFixture<Servers>
{
    private static readonly Lazy<Dictionary<string, Case>> Known = new(() =>
        Transcript.All().SelectMany(t => t.Cases.Select(c => (Name: $"{t.Name}/{c.Name}", Case: c))).ToDictionary(p => p.Name, p => p.Case));

    private static readonly Lazy<(string Case, string Reason)[]> Listed = new(() =>
        [.. File.ReadLines(Path.Combine(Transcript.Folder, "known-differences.txt")).Where(line => line.Length > 0 && !line.StartsWith('#'))
            .Select(line => line.Split('|')).Select(parts => (parts[0].Trim(), parts[1].Trim()))]);

    public static TheoryData<string> Cases() => [.. Known.Value.Keys];

    public static TheoryData<string> CasesForLeither() => [.. Known.Value.Keys.Except(Listed.Value.Where(IsLacking).Select(l => l.Case))];

    private static bool IsLacking((string Case, string Reason) line) => line.Reason.StartsWith("lacks:", StringComparison.Ordinal);

    [Theory]
    [MemberData(nameof(CasesForLeither))]
    public void Leither_replies_as_the_transcript_says(string name) => Play(name, Judge.Leither);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Redis_replies_as_the_transcript_says(string name) => Play(name, Servers.RedisJudge);

    [Fact]
    public void Every_difference_has_a_reason_and_every_reason_a_difference()
    {
        string[] listed = [.. Listed.Value.Where(l => !IsLacking(l)).Select(l => l.Case)];
        string[] different = [.. Known.Value.Where(pair => pair.Value.HasDifference).Select(pair => pair.Key)];
        Assert.Equal(different.Order(StringComparer.Ordinal), listed.Order(StringComparer.Ordinal));
        Assert.All(Listed.Value, l => Assert.Contains(l.Case, Known.Value.Keys));
    }

    /// <summary>
    /// With REWRITE=1 the expectations are filled from redis-server: from 7.0 what all must reply, from a newer one
    /// (REDIS_SERVER) what 7.2 and Leither reply differently. The change is then read as a diff.
    /// </summary>
    [Fact]
    public void Expectations_are_rewritten_when_asked()
    {
        if (Environment.GetEnvironmentVariable("REWRITE") is not "1") return;
        var failed = new List<string>();
        foreach (Transcript transcript in Transcript.All())
        {
            foreach (Case one in transcript.Cases)
            {
                try
                {
                    servers.Redis.Play(one, (step, reply) =>
                    {
                        if (step.Kind == StepKind.Block || TranscriptRunner.Matches(step.ExpectedOf(Servers.RedisJudge), reply)) return;
                        if (Servers.RedisJudge == Judge.Redis70) step.Expected = reply;
                        else step.Newer = TranscriptRunner.Matches(step.Expected, reply) ? [] : reply;
                    });
                }
                catch (Exception e)
                {
                    servers.Renew(Servers.RedisJudge);
                    failed.Add($"{transcript.Name}/{one.Name}: {e.Message}");
                }
            }

            transcript.Save();
        }

        Assert.Empty(failed);
    }

    private void Play(string name, Judge judge)
    {
        TranscriptRunner runner = judge == Judge.Leither ? servers.Leither : servers.Redis;
        var wrong = new StringBuilder();
        var shown = new StringBuilder();
        try
        {
            runner.Play(Known.Value[name], (step, reply) =>
            {
                List<string> expected = step.ExpectedOf(judge);
                shown.AppendLine(step.Line);
                if (step.Kind == StepKind.Block || TranscriptRunner.Matches(expected, reply)) return;
                wrong.AppendLine(step.Line).AppendLine("  expected:");
                foreach (string line in expected) wrong.Append("    ").AppendLine(line);
                wrong.AppendLine("  replied:");
                foreach (string line in reply) wrong.Append("    ").AppendLine(line);
            });
        }
        catch (Exception e)
        {
            servers.Renew(judge);
            throw new InvalidOperationException($"{name}: {e.Message}\nafter\n{shown}{wrong}", e);
        }

        if (wrong.Length > 0) Assert.Fail($"{name}\n{wrong}");
    }
}
