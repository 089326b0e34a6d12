using System.CommandLine;
using System.Text;
using System.Text.Json.Nodes;
using Leither.MmDb.Passports;
using Leither.Node.Identity;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary><c>leither lpki runscript</c>: a Lua script, run on a node by whoever has a passport, over EVAL.</summary>
internal static class RunScriptVerb
{
    /// <summary>The command, for the command line.</summary>
    /// <param name="options">Which node, and for whom the result is.</param>
    public static MimeiVerb Create(MimeiOptions options)
    {
        Option<string?> passportFile = new("--ppt") { Description = "The passport to log in with; left out, you are who you are to any command", HelpName = "FILE" };
        Option<string?> keyFile = new("--key", "-k") { Description = "The private key of the passport's subject, where it asks for a proof", HelpName = "FILE" };
        Option<string?> mimei = new("--mid", "-m") { Description = "The MiMei to run it in; left out, the passport's, or the node's default one", HelpName = "MID" };
        MimeiVerb verb = new("runscript", "SCRIPT [KEY…] [, ARG…]", "Runs a Lua script on a node, with the rights of a passport.")
        {
            Of = "lpki",
            Rest = ",",
            Details = "SCRIPT is a file, or - for the standard input. The script finds the words before a comma that stands alone in KEYS, and those behind it in ARGV, as in redis-cli --eval: it runs as EVAL does, all of it or nothing. A passport lets run scripts that has the right scripts. An argument that begins with '-' stands behind a -- besides.",
            Json = """{"result": what the script returned}""",
            Examples = ["runscript count.lua visits , 10", "runscript count.lua visits , 10 --ppt friend.ppt", "runscript - --ppt me.ppt --key me.key -m RXN74QNeiY08LRSaoeQhx3nOLTC < report.lua"],
        };
        foreach (Option option in (Option[])[passportFile, keyFile, mimei, options.Data, options.Port, options.User]) verb.Options.Add(option);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, int.MaxValue);
            string? passport = result.GetValue(passportFile), key = result.GetValue(keyFile);
            if (key is not null && passport is null) throw verb.Misused("--key proves whose a passport is, and there is none");
            byte[] script = ReadScript(words[0]);
            try
            {
                if (passport is not null) LogIn(session, passport, key);
            }
            catch (IdentityException e)
            {
                throw new CommandLineException(e.Message, inner: e);
            }

            session.Open(result.GetValue(mimei));
            int comma = Array.IndexOf(words, verb.Rest!, 1);
            string[] keys = comma < 0 ? words[1..] : words[1..comma], arguments = comma < 0 ? [] : words[(comma + 1)..];
            session.Send(["EVAL"u8.ToArray(), script, Utf8(keys.Length.ToString(System.Globalization.CultureInfo.InvariantCulture)), .. keys.Concat(arguments).Select(Utf8)]);
            RespReply reply = session.Receive();
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["result"] = JsonOf(reply) });
                return;
            }

            using Stream stream = Console.OpenStandardOutput();
            ReplyPrinter.Print(reply, stream, forPeople: !Console.IsOutputRedirected);
        });
    }

    private static void LogIn(MimeiSession session, string passportFile, string? keyFile)
    {
        (byte[] block, Passport passport) = LpkiCommand.ReadPassport(passportFile);
        string text = Passport.ToText(block);
        if (passport.NeedsProof)
        {
            if (keyFile is null) throw new CommandLineException($"{passportFile} asks for a proof. Name the private key of {passport.Subject.Id} with --key FILE", isUsage: true);
            RespReply challenge = session.Call("PASSPORT", "CHALLENGE");
            text = LpkiCommand.Prove(keyFile, block, passport, challenge[0].Text, challenge[1].Text);
        }

        session.Call("AUTH", PassportOffice.UserName, text);
    }

    private static byte[] ReadScript(string file)
    {
        try
        {
            if (file != "-") return File.ReadAllBytes(file);
            using Stream input = Console.OpenStandardInput();
            using MemoryStream read = new();
            input.CopyTo(read);
            return read.ToArray();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandLineException($"{file} cannot be read: {(e is FileNotFoundException or DirectoryNotFoundException ? "there is no such file" : Directory.Exists(file) ? "it is a folder" : e.Message)}", inner: e);
        }
    }

    private static ReadOnlyMemory<byte> Utf8(string word) => Encoding.UTF8.GetBytes(word);

    private static JsonNode? JsonOf(RespReply reply) => reply.Type switch
    {
        _ when reply.IsNull => null,
        RespType.Integer => JsonValue.Create(reply.Integer),
        RespType.Array => new JsonArray([.. reply.Elements.Select(JsonOf)]),
        _ => JsonValue.Create(reply.Text),
    };
}
