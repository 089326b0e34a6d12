using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

/// <summary>What <c>leither doctor</c> makes of a folder, mostly of one whose node is stopped.</summary>
public sealed class DoctorTests : IDisposable
{
    private readonly TempDir _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("versions")]
    [InlineData("versions-killed")]
    public void A_stopped_node_is_looked_at_and_left_as_it_is(string fixture)
    {
        string data = _folder.File("data");
        UpgradeTests.Unpack(fixture, data);
        string before = Fingerprint(data);
        (int code, JsonObject said) = Doctor(data);
        JsonObject integrity = Finding(said, "Integrity");
        Assert.True(code == 0, said.ToJsonString());
        Assert.Equal("ok", integrity["verdict"]!.GetValue<string>());
        Assert.StartsWith("2 MiMei, ", integrity["text"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Equal(before, Fingerprint(data));
    }

    [Theory]
    [InlineData("blocks/00000001.pack", 0.5)]
    [InlineData("log/00000001-0000000000000001.seg", 0.3)]
    [InlineData("info", 0.5)]
    public void What_is_damaged_is_named_with_what_to_do_and_the_exit_code_says_so(string file, double place)
    {
        string data = _folder.File("data");
        UpgradeTests.Unpack("versions", data);
        string path = Directory.EnumerateFiles(data, Path.GetFileName(file), SearchOption.AllDirectories).Where(p => p.EndsWith(file, StringComparison.Ordinal)).OrderByDescending(static p => new FileInfo(p).Length).First();
        byte[] bytes = File.ReadAllBytes(path);
        int end = Array.FindLastIndex(bytes, static b => b != 0);
        for (int i = 0; i < 4; i++) bytes[(int)(end * place) + i] ^= 0x55;
        File.WriteAllBytes(path, bytes);
        string before = Fingerprint(data);
        (int code, JsonObject said) = Doctor(data);
        JsonObject integrity = Finding(said, "Integrity");
        Assert.True(code == 1, said.ToJsonString());
        Assert.Equal("problem", integrity["verdict"]!.GetValue<string>());
        Assert.NotEqual("", integrity["advice"]!.GetValue<string>());
        Assert.Equal(before, Fingerprint(data));
    }

    [Fact]
    public void Before_the_first_start_there_is_nothing_to_check()
    {
        (int code, JsonObject said) = Doctor(_folder.File("none"));
        Assert.True(code == 0, said.ToJsonString());
        Assert.DoesNotContain(said["findings"]!.AsArray(), static f => f!["what"]!.GetValue<string>() == "Integrity");
        Assert.False(Directory.Exists(_folder.File("none")));
    }

    [Theory]
    [InlineData("user ada on >secret +@all ~*", "problem")]
    [InlineData("user default on nopass +@all ~*\nuser ada on >secret +@all ~*", "problem")]
    [InlineData("user default on >secret +@all ~*", "ok")]
    [InlineData("user default off\nuser ada on >secret +@all ~*", "ok")]
    [InlineData("requirepass secret", "ok")]
    [InlineData("requirepass secret\nuser default on nopass +@all ~*", "problem")]
    public void A_node_that_lets_everybody_in_is_a_problem_whatever_other_users_there_are(string lines, string verdict)
    {
        string data = _folder.File("data");
        Directory.CreateDirectory(data);
        File.WriteAllText(Path.Combine(data, "leither.conf"), $"bind 0.0.0.0\nprotected-mode no\n{lines}\n");
        Assert.Equal(verdict, Finding(Doctor(data).Said, "Access")["verdict"]!.GetValue<string>());

        // The same in a file of users.
        if (lines.StartsWith("user ", StringComparison.Ordinal))
        {
            string users = _folder.File("users");
            File.WriteAllText(users, lines + "\n");
            File.WriteAllText(Path.Combine(data, "leither.conf"), $"bind 0.0.0.0\nprotected-mode no\naclfile {users}\n");
            Assert.Equal(verdict, Finding(Doctor(data).Said, "Access")["verdict"]!.GetValue<string>());
        }
    }

    [Fact]
    public void Somebody_elses_folder_is_said_to_be_that()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        string data = _folder.File("data");
        UpgradeTests.Unpack("versions", data);
        File.SetUnixFileMode(_folder.Path, (UnixFileMode)0b111_101_101);
        File.SetUnixFileMode(data, Environment.IsPrivilegedProcess ? UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute : UnixFileMode.None);
        try
        {
            // Root may look into any folder, so another user looks.
            string[] program = [.. Environment.IsPrivilegedProcess ? (string[])["setpriv", "--reuid=65534", "--clear-groups"] : [], "env", $"LEITHER_PORT={Ports.Free()}",
                Path.Combine(AppContext.BaseDirectory, "leither"), "doctor", "--data", data, "--json"];
            using Process process = Process.Start(new ProcessStartInfo(program[0], program[1..]) { RedirectStandardOutput = true })!;
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.Equal(1, process.ExitCode);
            JsonObject said = JsonNode.Parse(output)!.AsObject();
            Assert.Equal("problem", Finding(said, "Data folder")["verdict"]!.GetValue<string>());
            Assert.Contains("Run this as the user of the node", Finding(said, "Data folder")["advice"]!.GetValue<string>(), StringComparison.Ordinal);
        }
        finally
        {
            File.SetUnixFileMode(data, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    [Theory]
    [InlineData("wrong", "The name or the password of user 'ada' is wrong, or the user is disabled", "Put the password into the environment variable REDISCLI_AUTH")]
    [InlineData("", "The name or the password of user 'ada' is wrong, or the user is disabled", "Put the password into the environment variable REDISCLI_AUTH")]
    [InlineData("right", "NOPERM User ada has no permissions to run the 'mimei|list' command", "--user NAME")]
    public void Who_is_not_let_in_is_told_so_and_not_sent_to_the_log(string password, string text, string advice)
    {
        using LeitherServer node = LeitherServer.StartNew();
        using (RespClient client = node.Connect())
        {
            Assert.Equal("OK", client.Call("ACL", "SETUSER", "ada", "on", ">right", "~*", "+ping").Text);
        }

        Dictionary<string, string> environment = new() { ["REDISCLI_AUTH"] = password };
        LeitherProgram.Result result = LeitherProgram.Run(environment, "doctor", "--user", "ada", "--data", node.DataDir, "--json");
        Assert.Equal(1, result.Code);
        JsonObject finding = Finding(JsonNode.Parse(result.Output)!.AsObject(), "Integrity");
        Assert.Equal($"the node cannot be asked: {text}", finding["text"]!.GetValue<string>());
        Assert.Contains(advice, finding["advice"]!.GetValue<string>(), StringComparison.Ordinal);

        // So do all other commands that ask a node.
        result = LeitherProgram.Run(environment, "mimei", "list", "--user", "ada", "--data", node.DataDir);
        Assert.Equal(1, result.Code);
        Assert.StartsWith(text, result.Error, StringComparison.Ordinal);
    }

    /// <summary>Names and contents of all files; that of the lock, which is there to be taken, left out.</summary>
    private static string Fingerprint(string data) => string.Join('\n', Directory.EnumerateFiles(data, "*", SearchOption.AllDirectories).Where(static f => Path.GetFileName(f) != "lock").Order(StringComparer.Ordinal)
        .Select(static f => $"{f} {Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(f)))}"));

    private static (int Code, JsonObject Said) Doctor(string data)
    {
        // A port that is free on this machine, whoever else uses the usual one.
        LeitherProgram.Result result = LeitherProgram.Run(new Dictionary<string, string> { ["LEITHER_PORT"] = $"{Ports.Free()}" }, "doctor", "--data", data, "--json");
        return (result.Code, JsonNode.Parse(result.Output)!.AsObject());
    }

    private static JsonObject Finding(JsonObject said, string what) => said["findings"]!.AsArray().Select(static f => f!.AsObject()).First(f => f["what"]!.GetValue<string>() == what);
}
