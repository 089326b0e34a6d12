using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Leither.Node.CommandLine;

// What verifies a MiMei's blocks and what writes them into files.
internal static partial class MimeiCommand
{
    private static MimeiVerb Check(MimeiOptions options)
    {
        Option<bool> purge = new("--purge") { Description = "Also leave no byte of deleted versions in any file of the node" };
        MimeiVerb verb = new("check", "[MID] [options]", "Verifies every block, hash and signature of all versions, and the log; repairs what it can.")
        {
            Json = """
                {"mid": text, "versions": number, "blocks": number, "bytes": number, "problems": [text], "freed": bytes, "held": [text], "seconds": number}
                freed and held are there with --purge. With a problem the exit code is 1.
                """,
            Examples = ["check", "check diary --purge"],
        };
        verb.Options.Add(purge);
        return verb.Runs(options, (result, session, output) =>
        {
            string? mid = verb.Words(result, 0, 1).FirstOrDefault();
            bool isPurged = result.GetValue(purge);
            session.Open(mid);
            string id = session.Bound().Mid;
            Stopwatch watch = Stopwatch.StartNew();
            Fields report = new(output.Wait("Checking", () => session.Call(isPurged ? ["MIMEI", "CHECK", "PURGE"] : ["MIMEI", "CHECK"])));
            double seconds = watch.Elapsed.TotalSeconds;
            string[] problems = report.Lines("problems"), held = isPurged ? report.Lines("held") : [];
            if (output.AsJson)
            {
                JsonObject json = new()
                {
                    ["mid"] = id,
                    ["versions"] = report.Number("versions"),
                    ["blocks"] = report.Number("blocks"),
                    ["bytes"] = report.Number("bytes"),
                    ["problems"] = new JsonArray([.. problems.Select(static p => JsonValue.Create(p))]),
                };
                if (isPurged)
                {
                    json["freed"] = report.Number("freed");
                    json["held"] = new JsonArray([.. held.Select(static h => JsonValue.Create(h))]);
                }

                json["seconds"] = Math.Round(seconds, 3);
                MimeiOutput.Json(json);
            }
            else
            {
                output.Line($"{report.Number("versions"):N0} versions, {report.Number("blocks"):N0} blocks, {MimeiOutput.Bytes(report.Number("bytes"))} in {seconds:0.0} s");
                foreach (string problem in problems)
                {
                    output.Colored("red", "problem  ", problem);
                }

                if (isPurged)
                {
                    output.Line($"Freed {MimeiOutput.Bytes(report.Number("freed"))}");
                }

                foreach (string holder in held)
                {
                    output.Colored("yellow", "held     ", holder);
                }

                if (problems.Length == 0)
                {
                    output.Colored("green", "No problem", "");
                }

                output.Next(session.Place.Leither($"mimei versions{(mid is null ? "" : " " + mid)}"));
            }

            if (problems.Length > 0)
            {
                throw new CommandLineException("");
            }
        });
    }

    private static MimeiVerb Export(MimeiOptions options)
    {
        MimeiVerb verb = new("export", "[MID] FILE [VERSION…]", "Writes versions into a CAR file, which any IPFS tool reads.")
        {
            Details = "The node writes the file. Without a VERSION, all versions are written. A FILE that begins with '-' is written as ./-FILE.",
            Json = """{"mid": text, "file": text, "versions": number, "blocks": number, "bytes": number, "seconds": number}""",
            Examples = ["export all.car", "export diary diary.car 1 2"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, int.MaxValue);
            bool hasMid = words.Length > 1 && !(words[1].Length > 0 && words[1].All(char.IsAsciiDigit));
            string? mid = hasMid ? words[0] : null;
            string[] rest = hasMid ? words[1..] : words;

            // The node's folder of now is another one than that of who calls.
            string file = Path.GetFullPath(rest[0]);
            session.Open(mid);
            string id = session.Bound().Mid;
            Stopwatch watch = Stopwatch.StartNew();
            Fields made = new(output.Wait("Writing", () => session.Call(["MIMEI", "EXPORT", file, .. rest[1..].SelectMany(static v => (string[])["VERSION", v])])));
            double seconds = watch.Elapsed.TotalSeconds;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["mid"] = id,
                    ["file"] = file,
                    ["versions"] = made.Number("versions"),
                    ["blocks"] = made.Number("blocks"),
                    ["bytes"] = made.Number("bytes"),
                    ["seconds"] = Math.Round(seconds, 3),
                });
                return;
            }

            output.Line($"{file}: {made.Number("versions"):N0} versions, {made.Number("blocks"):N0} blocks, {MimeiOutput.Bytes(made.Number("bytes"))} in {seconds:0.0} s");
            output.Next($"ipfs dag import {NodePlace.Quoted(file)}");
        });
    }
}
