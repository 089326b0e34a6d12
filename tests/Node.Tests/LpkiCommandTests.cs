// A process is waited for beside its output.
#pragma warning disable xUnit1031
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Leither.Ipfs.Keys;
using Leither.MmDb;
using Leither.MmDb.Passports;
using Leither.Node.Identity;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

/// <summary>The program as a process: keys, certificates and passports in files, and what a node makes of them.</summary>
public sealed class LpkiCommandTests : IDisposable
{
    private readonly TempDir _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Keys_certificates_and_passports_go_from_file_to_file()
    {
        Assert.Equal(0, Lpki("genkey", F("a.key")).Code);
        Assert.Equal(0, Lpki("genpk", F("a.key")).Code);
        Assert.Equal(0, Lpki("genkey", F("b.key")).Code);
        Assert.Equal(0, Lpki("genpk", F("b.key"), F("b.pub")).Code);
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(F("a.key")));
        }

        string a = Show("a.key")["id"]!.GetValue<string>(), b = Show("b.pub")["id"]!.GetValue<string>();
        Assert.Equal(a, Show("a.pub")["id"]!.GetValue<string>());
        Assert.Equal(0, Lpki("gencert", F("a.key"), F("a.cert"), "--name", "Ada").Code);
        Assert.Equal(0, Lpki("genpkcert", F("a.key"), F("b.pub"), F("b.cert"), "--name", "Grace", "--days", "1").Code);
        Assert.Equal(("Grace", b, a), (Show("b.cert")["name"]!.GetValue<string>(), Show("b.cert")["subject"]!.GetValue<string>(), Show("b.cert")["issuer"]!.GetValue<string>()));
        Assert.Equal(0, Lpki("signppt", F("b.cert"), F("b.ppt"), "-k", F("a.key"), "-r", "read,write", "--keys", "app:*", "--keys", "x", "--days", "3").Code);
        JsonObject passport = Show("b.ppt");
        Assert.Equal(("passport", a, b, "", "[\"read\",\"write\"]", "[\"app:*\",\"x\"]"), (
            passport["kind"]!.GetValue<string>(), passport["issuer"]!.GetValue<string>(), passport["subject"]!.GetValue<string>(), passport["node"]!.GetValue<string>(),
            passport["rights"]!.ToJsonString(), passport["keys"]!.ToJsonString()));
        Assert.Equal(0, Lpki("verifyppt", F("b.ppt"), "-i", F("a.pub")).Code);
        Assert.Equal(1, Lpki("verifyppt", F("b.ppt"), "-i", F("b.pub")).Code);

        string text = File.ReadAllText(F("b.ppt")).Trim();
        File.WriteAllText(F("forged.ppt"), text[..60] + (text[60] == 'A' ? 'B' : 'A') + text[61..]);
        Assert.Equal(1, Lpki("verifyppt", F("forged.ppt")).Code);
        Assert.Equal(1, Lpki("show", F("forged.ppt")).Code);
    }

    [Fact]
    public void What_is_wrong_is_said_and_nothing_is_overwritten()
    {
        Assert.Equal(0, Lpki("genkey", F("a.key")).Code);
        string before = File.ReadAllText(F("a.key"));
        Assert.Contains("is there already", Lpki("genkey", F("a.key")).Error, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllText(F("a.key")));
        Assert.Equal(2, Lpki("genkey").Code);
        Assert.Contains("none.key cannot be read: there is no such file", Lpki("genpk", F("none.key")).Error, StringComparison.Ordinal);
        Assert.Equal(0, Lpki("genpk", F("a.key")).Code);
        Assert.Equal(2, Lpki("signppt", F("a.pub"), F("a.ppt"), "-k", F("a.key"), "-r", "fly").Code);
        Assert.Equal(2, Lpki("signppt", F("a.pub"), F("a.ppt"), "-k", F("a.key"), "-m", "x").Code);
        (int code, _, string error) = Lpki("signppt", F("a.pub"), F("a.ppt"), "-k", F("a.key"), "-r", "login");
        Assert.Equal(2, code);
        Assert.Contains($"Such as: leither lpki signppt {F("a.pub")} {F("a.ppt")} --key FILE --right login --proof", error, StringComparison.Ordinal);
        Assert.Contains("neither a public key nor a certificate", Lpki("signppt", F("a.key"), F("a.ppt"), "-k", F("a.key")).Error, StringComparison.Ordinal);
        Assert.False(File.Exists(F("a.ppt")));
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(F("a.key"), UnixFileMode.UserRead | UnixFileMode.GroupRead);
            Assert.Contains("chmod 600", Lpki("genpk", F("a.key"), F("again.pub")).Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Where_a_file_cannot_be_written_or_read_that_file_is_named_and_what_to_do()
    {
        string folder = F("none/deep");
        LeitherProgram.Result result = Lpki("genkey", Path.Combine(folder, "a.key"));
        Assert.Equal((1, $"{folder}/a.key cannot be written: there is no folder {folder}. Make it with: mkdir -p {folder}\n"), (result.Code, result.Error));
        File.WriteAllText(F("file"), "");
        result = Lpki("genkey", F("file/a.key"));
        Assert.Equal((1, $"{F("file/a.key")} cannot be written: {F("file")} is a file and no folder\n"), (result.Code, result.Error));
        Directory.CreateDirectory(F("folder"));
        result = Lpki("genkey", F("folder"));
        Assert.Equal((1, $"{F("folder")} cannot be written: it is a folder. Name a file in it\n"), (result.Code, result.Error));
        Assert.Equal([F("file"), F("folder")], Directory.EnumerateFileSystemEntries(_folder.Path).Order(StringComparer.Ordinal));
        result = Lpki("show", F("folder"));
        Assert.Equal((1, $"{F("folder")} cannot be read: it is a folder\n"), (result.Code, result.Error));
    }

    [Fact]
    public void An_encrypted_key_opens_with_its_pass_phrase_alone()
    {
        Assert.Equal(0, With("correct horse", "genkey", F("a.key"), "--encrypt").Code);
        Assert.StartsWith("leither-encrypted-key-1:", File.ReadAllText(F("a.key")), StringComparison.Ordinal);
        Assert.Equal(0, With("correct horse", "genpk", F("a.key")).Code);
        Assert.Contains("the pass phrase is wrong", With("incorrect horse", "genpk", F("a.key"), F("b.pub")).Error, StringComparison.Ordinal);
        string text = File.ReadAllText(F("a.key"));
        File.WriteAllText(F("a.key"), text.Replace(text[^8], text[^8] == 'A' ? 'B' : 'A'));
        Assert.Equal(1, With("correct horse", "genpk", F("a.key"), F("c.pub")).Code);
        Assert.Equal(1, With("", "genkey", F("b.key"), "--encrypt").Code);
    }

    [Fact]
    public void A_certificate_is_good_from_its_beginning_to_its_end()
    {
        using PrivateKey issuer = PrivateKey.Generate(), subject = PrivateKey.Generate();
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        Assert.Equal(0, Lpki("genkey", F("a.key")).Code);
        foreach ((long from, long end, int code) in ((long, long, int)[])[(now - 100, now + 1000, 0), (now + 1000, now + 2000, 1), (now - 2000, now - 1000, 1)])
        {
            Certificate certificate = new() { Issuer = issuer.PublicKey, Subject = subject.PublicKey, Name = "Ada", From = from, End = end };
            File.WriteAllText(F("b.cert"), certificate.Sign(issuer));
            LeitherProgram.Result signed = Lpki("signppt", F("b.cert"), F($"{from}.ppt"), "-k", F("a.key"));
            Assert.True(signed.Code == code, signed.Error);
        }
    }

    [Fact]
    public void Who_listens_in_the_place_of_a_node_learns_nothing_that_lets_him_in()
    {
        string data = F("node"), keys = Path.Combine(data, "keys");
        Directory.CreateDirectory(keys);
        Assert.Equal(0, Lpki("genkey", Path.Combine(keys, "author.key")).Code);
        Assert.Equal(0, Lpki("genkey", Path.Combine(keys, "node.key")).Code);
        using TcpListener impostor = new(IPAddress.Loopback, 0);
        impostor.Start();
        int port = ((IPEndPoint)impostor.LocalEndpoint).Port;
        File.WriteAllText(Path.Combine(data, "node.json"), $$"""{"pid": 1, "host": "127.0.0.1", "port": {{port}}, "unixSocket": null, "version": "1"}""");
        StringBuilder heard = new();
        Task listening = Task.Run(async () =>
        {
            using Socket client = await impostor.AcceptSocketAsync();
            byte[] buffer = new byte[16 * 1024];
            while (await client.ReceiveAsync(buffer) is > 0 and var length)
            {
                string command = Encoding.ASCII.GetString(buffer, 0, length);
                heard.Append(command);
                string reply = command.Contains("CHALLENGE", StringComparison.Ordinal) ? $"*2\r\n$64\r\n{new string('a', 64)}\r\n$27\r\n{new string('A', 27)}\r\n"
                    : command.Contains("ppt1.", StringComparison.Ordinal) ? "+OK\r\n" : "-NOAUTH Authentication required.\r\n";
                await client.SendAsync(Encoding.ASCII.GetBytes(reply));
            }
        });
        LeitherProgram.Run("--data", data, "PING");
        impostor.Stop();
        listening.GetAwaiter().GetResult();
        string text = Regex.Match(heard.ToString(), "ppt1[^\r]+").Value;
        Assert.True(Passport.TryParse(text, out byte[]? block, out byte[]? proof), heard.ToString());
        Assert.True(Passport.TryRead(block, out Passport? passport, out _));
        Assert.True(passport.NeedsProof);

        // What he asked to have signed is an answer to his own challenge, for the folder's node and no other.
        Assert.False(passport.IsProved(block, proof!, new byte[32], passport.Node!.Value));
        Assert.False(passport.IsProved(block, proof!, Convert.FromHexString(new string('a', 64)), new LeitherId(new byte[20])));
        Assert.True(passport.IsProved(block, proof!, Convert.FromHexString(new string('a', 64)), passport.Node!.Value));
    }

    [Fact]
    public void A_node_takes_its_authors_passports_and_the_command_line_needs_none()
    {
        string data = F("node");
        int port = Ports.Free();
        using Process node = LeitherProgram.Start("run", "-p", $"{port}", "--data", data, "--requirepass", "a secret", "--loglevel", "debug", "--tls-key-file-pass", "another secret");
        Task<string> log = node.StandardOutput.ReadToEndAsync();
        try
        {
            Wait.Until(() => LeitherProgram.Run("--data", data, "PING").Output.Contains("PONG", StringComparison.Ordinal));

            // Whoever can read the node's keys is its owner.
            Assert.Equal(0, LeitherProgram.Run("--data", data, "SET", "greeting", "hello").Code);
            Assert.Equal(0, LeitherProgram.Run("mimei", "list", "--data", data).Code);

            using RespClient client = RespClient.Connect(port);
            Assert.StartsWith("NOAUTH", client.Call("GET", "greeting").Text, StringComparison.Ordinal);
            Assert.Equal(0, Lpki("genkey", F("friend.key")).Code);
            Assert.Equal(0, Lpki("genpk", F("friend.key")).Code);
            Assert.Equal(0, Lpki("signppt", F("friend.pub"), F("friend.ppt"), "--data", data).Code);
            string passport = File.ReadAllText(F("friend.ppt")).Trim();
            Assert.Equal("OK", client.Call("AUTH", "passport", passport).Text);
            Assert.Equal("hello", client.Call("GET", "greeting").Text);
            Assert.StartsWith("NOPERM", client.Call("SET", "greeting", "x").Text, StringComparison.Ordinal);

            // One that asks for a proof is nobody's but its subject's.
            Assert.Equal(0, Lpki("signppt", F("friend.pub"), F("proved.ppt"), "--data", data, "-r", "write", "--proof").Code);
            using RespClient proving = RespClient.Connect(port);
            Assert.StartsWith("WRONGPASS", proving.Call("AUTH", "passport", File.ReadAllText(F("proved.ppt")).Trim()).Text, StringComparison.Ordinal);
            RespValue[] challenge = proving.Call("PASSPORT", "CHALLENGE").Items;
            LeitherProgram.Result answer = Lpki("prove", F("friend.key"), F("proved.ppt"), challenge[0].Text, challenge[1].Text);
            Assert.Equal("OK", proving.Call("AUTH", "passport", answer.Output.Trim()).Text);
            Assert.Equal("OK", proving.Call("SET", "greeting", "x").Text);

            Assert.Equal(0, LeitherProgram.Run("--data", data, "PASSPORT", "REVOKE", passport).Code);
            Assert.ThrowsAny<IOException>(() => client.Call("GET", "greeting"));

            // No secret is told, whoever asks.
            using RespClient owner = RespClient.Connect(port);
            Assert.Equal("OK", owner.Call("AUTH", "a secret").Text);
            Assert.Equal("********", owner.Call("CONFIG", "GET", "tls-key-file-pass").Items[1].Text);
            Assert.DoesNotContain("another secret", Flat(owner.Call("CONFIG", "GET", "tls*")), StringComparison.Ordinal);
            string info = owner.Call("INFO", "everything").Text;
            Assert.DoesNotContain("secret", info, StringComparison.Ordinal);
            Assert.DoesNotContain(passport[..40], info, StringComparison.Ordinal);
            owner.Call("CONFIG", "SET", "slowlog-log-slower-than", "0");
            owner.Call("CONFIG", "SET", "tls-key-file-pass", "a third secret");
            owner.Call("CONFIG", "SET", "requirepass", "a third secret");
            Assert.DoesNotContain("third", Flat(owner.Call("SLOWLOG", "GET", "100")), StringComparison.Ordinal);
        }
        finally
        {
            node.Kill();
            node.WaitForExit();
        }

        string told = log.Result;
        foreach (string secret in (string[])["a secret", "another secret", "a third secret", File.ReadAllText(F("friend.ppt"))[..40]])
        {
            Assert.DoesNotContain(secret, told, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_script_runs_with_the_rights_of_a_passport()
    {
        string data = F("node"), script = F("count.lua");
        int port = Ports.Free();
        using Process node = LeitherProgram.Start("run", "-p", $"{port}", "--data", data, "--requirepass", "a secret");
        Task<string> log = node.StandardOutput.ReadToEndAsync();
        try
        {
            Wait.Until(() => LeitherProgram.Run("--data", data, "PING").Output.Contains("PONG", StringComparison.Ordinal));
            File.WriteAllText(script, "return {redis.call('INCRBY', KEYS[1], ARGV[1]), #KEYS, #ARGV, false, 'text'}");
            Lpki("genkey", F("friend.key"));
            Lpki("genpk", F("friend.key"));
            Assert.Equal(0, Lpki("signppt", F("friend.pub"), F("friend.ppt"), "--data", data, "-r", "read,write,scripts").Code);
            Assert.Equal(0, Lpki("signppt", F("friend.pub"), F("proved.ppt"), "--data", data, "-r", "read,write,scripts", "--keys", "visits", "--proof").Code);
            Assert.Equal(0, Lpki("signppt", F("friend.pub"), F("reader.ppt"), "--data", data).Code);
            Assert.Equal(0, Lpki("signppt", F("friend.pub"), F("looks.ppt"), "--data", data, "-r", "read,scripts").Code);

            // Whoever can read the node's keys needs none; words that are no options stand behind a --, as everywhere.
            Assert.Equal(new(0, "10\n1\n1\n\ntext\n", ""), Script(script, "visits", ",", "10", "--data", data));
            Assert.Equal(new(0, """{"result":[7,1,2,null,"text"]}""" + "\n", ""), Script(script, "--data", data, "--json", "visits", ",", "--", "-3", "x"));
            string[] there = ["-p", $"{port}", "--ppt"];
            Assert.Equal(0, Script([script, "visits", ",", "1", .. there, F("friend.ppt")]).Code);
            Assert.Equal(new(0, "9\n1\n1\n\ntext\n", ""), Script([script, "visits", ",", "1", .. there, F("proved.ppt"), "--key", F("friend.key")]));

            File.WriteAllText(F("look.lua"), "return redis.call('GET', KEYS[1])");
            Assert.Equal(new(0, "9\n", ""), Script([F("look.lua"), "visits", .. there, F("looks.ppt")]));
            File.WriteAllText(F("say.lua"), "return redis.call('PUBLISH', 'news', 'x')");
            Assert.Equal(0, Lpki("signppt", F("friend.pub"), F("says.ppt"), "--data", data, "-r", "scripts,messages").Code);
            Assert.Equal(new(0, "0\n", ""), Script([F("say.lua"), .. there, F("says.ppt")]));

            // What the owner's keys prove is proved to no node elsewhere, which could hand it on.
            Assert.StartsWith("NOAUTH", Script(script, "visits", ",", "1", "--data", data, "-n", $"127.0.0.1:{port}").Error, StringComparison.Ordinal);
            Assert.Contains("[::1]:1", Script(script, "-n", "[::1]:1", "--ppt", F("friend.ppt")).Error, StringComparison.Ordinal);
            Assert.Contains("[::1]:4", Script(script, "-n", "::1", "--ppt", F("friend.ppt")).Error, StringComparison.Ordinal);

            // What it may not, or what is wrong, is said.
            Assert.Contains("no permissions to run the 'incrby' command", Script([script, "visits", ",", "1", .. there, F("looks.ppt")]).Error, StringComparison.Ordinal);
            Assert.StartsWith("NOAUTH", Script(script, "visits", ",", "1", "-p", $"{port}").Error, StringComparison.Ordinal);
            Assert.Contains("no permissions to run the 'eval_ro' command", Script([script, "visits", ",", "1", .. there, F("reader.ppt")]).Error, StringComparison.Ordinal);
            Assert.StartsWith("NOPERM", Script([script, "other", ",", "1", .. there, F("proved.ppt"), "-k", F("friend.key")]).Error, StringComparison.Ordinal);
            LeitherProgram.Result unproved = Script([script, "visits", ",", "1", .. there, F("proved.ppt")]);
            Assert.Equal(2, unproved.Code);
            Assert.Contains("asks for a proof. Name the private key of", unproved.Error, StringComparison.Ordinal);
            Lpki("genkey", F("other.key"));
            Assert.Contains("the passport is for", Script([script, .. there, F("proved.ppt"), "-k", F("other.key")]).Error, StringComparison.Ordinal);
            Assert.Equal(new(1, "", $"{F("none.lua")} cannot be read: there is no such file\n"), Script(F("none.lua"), "--data", data));
            Assert.Equal(new(1, "", $"{F("friend.key")} is no passport\n"), Script([script, .. there, F("friend.key")]));
            Assert.Equal(2, Script("--data", data).Code);
            Assert.Equal(2, Script(script, "--data", data, "-k", F("friend.key")).Code);
            Assert.Equal(0, LeitherProgram.Run("--data", data, "PASSPORT", "REVOKE", File.ReadAllText(F("friend.ppt")).Trim()).Code);
            Assert.Equal(new(1, "", "The passport was revoked\n"), Script([script, "visits", ",", "1", .. there, F("friend.ppt")]));
            Assert.Equal("9", LeitherProgram.Run("--data", data, "GET", "visits").Output.Trim());
        }
        finally
        {
            node.Kill();
            node.WaitForExit();
        }

        Assert.DoesNotContain(File.ReadAllText(F("friend.ppt"))[..40], log.Result, StringComparison.Ordinal);

        static LeitherProgram.Result Script(params string[] words) => Lpki(["runscript", .. words]);
    }

    private static string Flat(RespValue value) => value.IsAggregate ? string.Join(' ', value.Items.Select(Flat)) : value.Text;

    private string F(string name) => Path.Combine(_folder.Path, name);

    private JsonObject Show(string file)
    {
        LeitherProgram.Result shown = Lpki("show", F(file), "--json");
        Assert.Equal((0, ""), (shown.Code, shown.Error));
        return JsonNode.Parse(shown.Output)!.AsObject();
    }

    private static LeitherProgram.Result With(string passPhrase, string verb, string file, params string[] rest) =>
        LeitherProgram.Run(new Dictionary<string, string> { ["LEITHER_PASSPHRASE"] = passPhrase }, ["lpki", verb, file, .. rest]);

    private static LeitherProgram.Result Lpki(params string[] words) => LeitherProgram.Run(["lpki", .. words]);
}
