using System.CommandLine;
using System.Text;
using System.Text.Json.Nodes;
using Leither.MmDb.Passports;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary><c>leither lpki runscript</c>: a Lua script, run on a node by whoever has a passport, over EVAL.</summary>
internal static class RunScriptVerb
{
    /// <summary>The command, for the command line.</summary>
    /// <param name="options">Which node, as whom, and for whom the result is.</param>
    public static MimeiVerb Create(MimeiOptions options)
    {
        Option<string?> mimei = new("--mid", "-m") { Description = "The MiMei to run it in; left out, the passport's, or the node's default one", HelpName = "MID" };
        MimeiVerb verb = new("runscript", "SCRIPT [KEY…] [, ARG…]", "Runs a Lua script on a node, with the rights of a passport.")
        {
            Of = "lpki",
            Rest = ",",
            Details = "SCRIPT is a file, or - for the standard input. The script finds the words before a comma that stands alone in KEYS, and those behind it in ARGV, as in redis-cli --eval: it runs as EVAL does, all of it or nothing. A passport lets run scripts that has the right scripts; without the right write one with keys runs as EVAL_RO. An argument that begins with '-' stands behind a -- besides.",
            Json = """{"result": what the script returned}""",
            Examples = ["runscript count.lua visits , 10", "runscript count.lua visits , 10 --ppt friend.ppt", "runscript - --ppt me.ppt --key me.key -m RXN74QNeiY08LRSaoeQhx3nOLTC < report.lua"],
        };
        foreach (Option option in (Option[])[.. options.Passport!.All, mimei, options.Data, options.Port, options.User]) verb.Options.Add(option);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, int.MaxValue);
            byte[] script = ContentWork.ReadInput(words[0]);
            session.Open(result.GetValue(mimei));
            int comma = Array.IndexOf(words, verb.Rest!, 1);
            string[] keys = comma < 0 ? words[1..] : words[1..comma], arguments = comma < 0 ? [] : words[(comma + 1)..];
            session.Send([Utf8(keys.Length == 0 || MayWrite(session.Passport) ? "EVAL" : "EVAL_RO"), script, Utf8(keys.Length.ToString(System.Globalization.CultureInfo.InvariantCulture)), .. keys.Concat(arguments).Select(Utf8)]);
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

    /// <summary>Whether somebody may write, as far as can be told here: EVAL is refused to who may only read the keys that it names.</summary>
    private static bool MayWrite(Passport? passport) => passport is null || (passport.Rights & (PassportRights.Write | PassportRights.Admin | PassportRights.Login)) != PassportRights.None;

    private static ReadOnlyMemory<byte> Utf8(string word) => Encoding.UTF8.GetBytes(word);

    private static JsonNode? JsonOf(RespReply reply) => reply.Type switch
    {
        _ when reply.IsNull => null,
        RespType.Integer => JsonValue.Create(reply.Integer),
        RespType.Array => new JsonArray([.. reply.Elements.Select(JsonOf)]),
        _ => JsonValue.Create(reply.Text),
    };
}
