using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
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
                {"mid": text, "versions": number, "blocks": number, "bytes": number, "segments": number, "trimmed": number,
                 "problems": [text], "freed": bytes, "held": [text], "seconds": number}
                segments are the sealed parts of the log, of which the data of trimmed ones is not here any more. freed and held are there with --purge. With a problem the exit code is 1.
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
            Fields report = new(session.Wait(output, "Checking", () => session.Call(isPurged ? ["MIMEI", "CHECK", "PURGE"] : ["MIMEI", "CHECK"])));
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
                    ["segments"] = report.Number("segments"),
                    ["trimmed"] = report.Number("trimmed"),
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
                string segments = $"{MimeiOutput.Count(report.Number("segments"), "log segment")} ({MimeiOutput.Number(report.Number("trimmed"))} trimmed)";
                output.Line($"{MimeiOutput.Count(report.Number("versions"), "version")}, {MimeiOutput.Count(report.Number("blocks"), "block")}, {MimeiOutput.Bytes(report.Number("bytes"))}; {segments} in {seconds:0.0} s");
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
            Fields made = new(session.Wait(output, "Writing", () => session.Call(["MIMEI", "EXPORT", file, .. rest[1..].SelectMany(static v => (string[])["VERSION", v])])));
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

            output.Line($"{file}: {MimeiOutput.Count(made.Number("versions"), "version")}, {MimeiOutput.Count(made.Number("blocks"), "block")}, {MimeiOutput.Bytes(made.Number("bytes"))} in {seconds:0.0} s");
            output.Next($"leither mimei import {NodePlace.Quoted(file)}   on another node", $"ipfs dag import {NodePlace.Quoted(file)}");
        });
    }

    private static MimeiVerb Import(MimeiOptions options)
    {
        Option<string?> name = MimeiOptions.Name(new("--name", "-n") { Description = "A name for the MiMei on this node", HelpName = "NAME" });
        MimeiVerb verb = new("import", "FILE [VERSION…] [options]", "Reads versions out of a CAR file, and checks every byte of them.")
        {
            Details = """
                The node reads the file: what export wrote, or any IPFS tool wrote anew. Without a VERSION, all versions are read. A FILE that begins with '-' is
                written as ./-FILE. A MiMei that is not on the node yet is made; otherwise versions that it lacks are added to it, and what it holds stays.
                Where its author's key is not on the node, it can be read there, and forked, but not written to. Ctrl-C ends it, and nothing is left of it.
                """,
            Json = """
                {"mid": text, "name": text, "file": text, "new": bool, "writable": bool, "newest": number, "added": number, "present": number, "blocks": number,
                 "bytes": number, "leftout": number, "seconds": number}
                added, present: versions that were not on the node, and that were. leftout: blocks that no version needs.
                """,
            Examples = ["import diary.car -n diary", "import all.car 3"],
        };
        verb.Options.Add(name);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, int.MaxValue);
            if (words.Skip(1).FirstOrDefault(static w => w.Length == 0 || !w.All(char.IsAsciiDigit)) is { } wrong)
            {
                throw verb.Misused($"A version of a file is a number, not '{wrong}'");
            }

            string file = Path.GetFullPath(words[0]);
            Stopwatch watch = Stopwatch.StartNew();
            Fields made = new(session.Wait(output, "Importing", () => session.Call(["MIMEI", "IMPORT", file, .. words[1..].SelectMany(static v => (string[])["VERSION", v])])));
            double seconds = watch.Elapsed.TotalSeconds;
            string mid = made.Text("mid");
            if (result.GetValue(name) is { } wanted)
            {
                try
                {
                    session.Call("MIMEI", "NAME", wanted, mid);
                }
                catch (CommandLineException e)
                {
                    throw new CommandLineException($"{mid} is imported, but has no name: {e.Message}", inner: e);
                }
            }

            session.Open(mid);
            string has = session.Bound().Name, called = has.Length > 0 ? has : mid;
            bool isNew = made.Number("new") != 0, isWritable = made.Number("writable") != 0;
            long added = made.Number("added"), present = made.Number("present"), leftOut = made.Number("leftout"), newest = made.Number("newest");
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["mid"] = mid,
                    ["name"] = has,
                    ["file"] = file,
                    ["new"] = isNew,
                    ["writable"] = isWritable,
                    ["newest"] = newest,
                    ["added"] = added,
                    ["present"] = present,
                    ["blocks"] = made.Number("blocks"),
                    ["bytes"] = made.Number("bytes"),
                    ["leftout"] = leftOut,
                    ["seconds"] = Math.Round(seconds, 3),
                });
                return;
            }

            output.Line($"mid= {mid}");
            string here = present == 0 ? "" : $" ({MimeiOutput.Number(present)} here already)";
            output.Line($"{MimeiOutput.Count(added, "version")} added{here}, {MimeiOutput.Count(made.Number("blocks"), "block")}, {MimeiOutput.Bytes(made.Number("bytes"))} in {seconds:0.0} s");
            if (leftOut > 0)
            {
                output.Line($"{MimeiOutput.Count(leftOut, "block")} of the file left out: no version needs them");
            }

            if (!isWritable)
            {
                output.Line($"Its author's key is not on this node: it can be read here, and shows its newest version");
                output.Next(session.ClientOf(called), session.Place.Leither($"mimei versions {called}"), session.Place.Leither($"mimei fork {called} -n NAME"));
            }
            else if (isNew)
            {
                output.Line($"It goes on here from version {newest}. Whatever else its author wrote to it elsewhere is not in it: write to it in one place only");
                output.Next(session.ClientOf(called), session.Place.Leither($"mimei versions {called}"));
            }
            else
            {
                output.Line($"What it holds now is as it was");
                output.Next(session.Place.Leither($"mimei versions {called}"), session.Place.Leither($"mimei diff {called} {newest} cur"), session.Place.Leither($"mimei restore {called} {newest}"));
            }
        });
    }

    private static MimeiVerb Ref(MimeiOptions options)
    {
        MimeiVerb verb = new("ref", "add MID REFERENCE… | del MID REFERENCE… | list [MID]", "Makes a MiMei refer to others, so that they are kept, or lists what it refers to.")
        {
            Details = """
                A REFERENCE is another MiMei (its id or name), of which at least one version is kept; a version of one (MID/3), which is kept; or the CID of a block among
                the MiMei's own versions, which is kept with all that it leads to. What is referred to cannot be deleted, by hand or by a retention rule. References are
                this node's: exports do not carry them.
                """,
            Json = """
                {"mid": text, "changed": number, "references": [{"reference": text, "mid": text, "version": number, "cid": text, "name": text}]}
                changed: how many were added or deleted. version: 0 for the MiMei as a whole.
                """,
            Examples = ["ref add diary photos photos/3", "ref list diary", "ref del diary photos"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, int.MaxValue);
            string action = words[0].ToLowerInvariant();
            if (action is not ("add" or "del" or "list"))
            {
                throw verb.Misused($"There is no meaning for '{words[0]}'");
            }

            if (action == "list" ? words.Length > 2 : words.Length < 3)
            {
                throw verb.Misused(action == "list" ? $"There is no meaning for '{words[2]}'" : "Something is missing");
            }

            session.Open(words.Length > 1 ? words[1] : null);
            string mid = session.Bound().Mid;
            long changed = action == "list" ? 0 : session.Wait(output, "Looking for it", () => session.Call(["MIMEI", "REF", action, .. words[2..]])).Integer;
            Fields[] references = [.. session.Call("MIMEI", "REF", "LIST").Elements.Select(static e => new Fields(e))];
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["mid"] = mid,
                    ["changed"] = changed,
                    ["references"] = new JsonArray([.. references.Select(static f => new JsonObject
                    {
                        ["reference"] = f.Text("reference"),
                        ["mid"] = f.Text("mid"),
                        ["version"] = f.Number("version"),
                        ["cid"] = f.Text("cid"),
                        ["name"] = f.Text("name"),
                    })]),
                });
                return;
            }

            if (action != "list")
            {
                output.Line($"{MimeiOutput.Count(changed, "reference")} {(action == "add" ? "added" : "deleted")}");
            }

            if (references.Length == 0)
            {
                output.Line($"It refers to nothing");
            }
            else
            {
                output.Table(["Reference", "Name"], references.Select(static f => (string[])[f.Text("reference"), f.Text("name")]));
            }

            string named = words.Length > 1 ? " " + words[1] : "";
            output.Next(action == "list" ? session.Place.Leither($"mimei ref add{(named.Length == 0 ? " " + mid : named)} REFERENCE") : session.Place.Leither($"mimei show{named}"));
        });
    }
}
