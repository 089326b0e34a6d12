using Leither.Node.CommandLine;
using Spectre.Console;
using Xunit;

namespace Leither.Node.Tests;

public sealed class StatusCommandTests
{
    [Theory]
    [InlineData("99.1.2", "99.1.2, up 0 s")]
    [InlineData(null, "not told, up 0 s")]
    public void The_version_is_the_running_nodes_and_not_that_of_the_program_that_asks(string? told, string shown)
    {
        Dictionary<string, string> info = told is null ? [] : new() { ["leither_version"] = told };
        StatusCommand.State state = new(info, [], 0, null);
        Assert.Equal(told ?? "", state.ToJson()["version"]!.GetValue<string>());
        StringWriter text = new();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors, Out = new AnsiConsoleOutput(text), Interactive = InteractionSupport.No });
        console.Write(StatusCommand.Draw(state, 120));
        Assert.Contains(shown, text.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(32)]
    [InlineData(40)]
    [InlineData(60)]
    [InlineData(80)]
    [InlineData(120)]
    [InlineData(200)]
    public void The_table_of_the_status_fits_into_the_terminal_a_line_for_each_MiMei(int width)
    {
        const string mid = "0C0c_CRp9AdtgSE7MnUl6Add9mQ";
        StatusCommand.MimeiState[] mimeis = [.. new[] { "default", "diary", "a-project-with-a-rather-long-name-of-more-than-forty-letters", "" }
            .Select(static (name, i) => new StatusCommand.MimeiState(mid, name, i != 2, 1_234_567, 12, 12, 3, 123_456_789))];
        StatusCommand.State state = new(
            new Dictionary<string, string>
            {
                ["node_id"] = mid,
                ["tcp_port"] = "4800",
                ["process_id"] = "32288",
                ["connected_clients"] = "12",
                ["blocked_clients"] = "3",
                ["uptime_in_seconds"] = "100000",
                ["network_on"] = "1",
                ["connected_peers"] = "12",
                ["known_peers"] = "120",
                ["dht_mode"] = "server",
                ["connected_slaves"] = "0",
                ["used_memory"] = "123456789",
                ["used_memory_rss"] = "1234567890",
                ["instantaneous_input_kbps"] = "123.45",
                ["instantaneous_output_kbps"] = "1234.56",
                ["instantaneous_ops_per_sec"] = "123456",
            },
            [.. mimeis],
            4,
            "/tmp");
        StringWriter text = new();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors, Out = new AnsiConsoleOutput(text), Interactive = InteractionSupport.No });
        console.Profile.Width = width;
        console.Write(StatusCommand.Draw(state, width));
        string[] lines = text.ToString().Split('\n');
        Assert.All(lines, line => Assert.True(line.TrimEnd().Length <= width, $"{line.TrimEnd().Length} of {width}: {line}"));
        int head = Array.FindIndex(lines, static line => line.StartsWith("MiMei ", StringComparison.Ordinal));
        string[] rows = [.. lines[(head + 1)..].Where(static line => line.Trim().Length > 0)];
        Assert.Equal(mimeis.Length, rows.Length);
        Assert.StartsWith("default ", rows[0], StringComparison.Ordinal);
        Assert.StartsWith("a-projec", rows[2], StringComparison.Ordinal);
        Assert.Contains("unloaded", rows[2], StringComparison.Ordinal);
        Assert.Contains("1,234,567", rows[0], StringComparison.Ordinal);
        Assert.Equal(width >= 120, rows[0].Contains(mid, StringComparison.Ordinal));
        if (width >= 60) Assert.Contains("0C0c_C", rows[0], StringComparison.Ordinal);
        if (width >= 40) Assert.Contains(mid, text.ToString(), StringComparison.Ordinal);
    }
}
