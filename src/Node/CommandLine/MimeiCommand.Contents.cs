using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;

namespace Leither.Node.CommandLine;

// MiMei of files: what goes in and out of them. Every block lies in the MiMei's own store, never in the public one.
internal static partial class MimeiCommand
{
    // ------------------------------------------------------------------ in

    private static MimeiVerb SetCid(MimeiOptions options)
    {
        (Option<string?> memo, Option<bool> noBackup) = VersionOptions();
        MimeiVerb verb = new("setcid", "MID CID [options]", "Makes a MiMei of files hold what a CID names, and a version of that.")
        {
            Details = "CID may also be a path: /ipfs/CID/folder. What is not on the node comes from the network.",
            Json = """{"mid": text, "cid": text, "version": number}   version: 0 with --no-backup""",
            Examples = ["setcid photos QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", "setcid photos /ipfs/bafy…/2026 --memo 'the new year'"],
        };
        verb.Options.Add(memo);
        verb.Options.Add(noBackup);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 2, 2);
            session.Open(words[0]);
            string cid = session.Wait(output, "Fetching", () => session.Call("MIMEI", "SETCID", words[1])).Text;
            long version = result.GetValue(noBackup) ? 0 : VersionOf(session, output, result.GetValue(memo));
            string mid = session.Bound().Mid;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["mid"] = mid, ["cid"] = cid, ["version"] = version });
                return;
            }

            output.Line(version == 0 ? (FormattableString)$"cid= {cid}" : $"ver= {version}");
            NextOf(session, output, words[0], version);
        });
    }

    private static MimeiVerb Add(MimeiOptions options)
    {
        ImportOptions import = new();
        (Option<string?> memo, Option<bool> noBackup) = VersionOptions();
        MimeiVerb verb = new("add", "MID FILE|DIR|- [options]", "Makes a MiMei of files hold a file or folder, and a version of that.")
        {
            Details = "It takes the place of what the MiMei held, which stays in its versions. - is the standard input. The CID is the same that 'ipfs add' gives.",
            Json = """{"mid": text, "cid": text, "version": number, "files": number, "bytes": number, "seconds": number}   version: 0 with --no-backup""",
            Examples = ["add diary 2026.txt", "add photos ~/photos --memo 'the new year'", "date | leither mimei add clock -"],
        };
        foreach (Option option in import.All.Concat([memo, noBackup]))
        {
            verb.Options.Add(option);
        }

        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 2, 2);
            session.Open(words[0]);
            Stopwatch watch = Stopwatch.StartNew();
            Taken taken = TakeIn(session, output, words[1], import.ProfileOf(verb, result), import, result);
            long version = result.GetValue(noBackup) ? 0 : VersionOf(session, output, result.GetValue(memo));
            string mid = session.Bound().Mid;
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["mid"] = mid,
                    ["cid"] = taken.Cid,
                    ["version"] = version,
                    ["files"] = taken.Files,
                    ["bytes"] = taken.Bytes,
                    ["seconds"] = Math.Round(watch.Elapsed.TotalSeconds, 3),
                });
                return;
            }

            output.Line(version == 0 ? (FormattableString)$"cid= {taken.Cid}" : $"cid= {taken.Cid} ver= {version}");
            NextOf(session, output, words[0], version);
        });
    }

    /// <summary>Makes the MiMei of the connection hold a file or folder; - is the standard input. Its blocks go to the MiMei's own store.</summary>
    internal static Taken TakeIn(MimeiSession session, MimeiOutput output, string path, UnixFsProfile profile, ImportOptions import, ParseResult result)
    {
        if (path != "-" && !Path.Exists(path))
        {
            throw new CommandLineException(Unreadable.Because(path, new FileNotFoundException()));
        }

        // A link that was named is what it leads to; links below are taken as links.
        string content = path != "-" && ContentWork.Guard(() => new FileInfo(Path.TrimEndingDirectorySeparator(path)).ResolveLinkTarget(returnFinalTarget: true)) is { } target ? target.FullName : path;
        using Interruption interruption = new();
        long files = path == "-" ? 1 : 0;
        ImportedNode made = output.Progress("Adding", () => ContentWork.SizeOf(content), done => ContentWork.Guard(() =>
        {
            using RemoteBlocks blocks = new(session, RemoteBlocks.OfMimei);
            UnixFsImporter importer = new(blocks, profile, import.Of(result, done, (_, node) => files += node.IsDirectory ? 0 : 1, interruption.Token));
            ImportedNode root = ContentWork.Import(importer, content);
            blocks.Flush();
            session.Call("MIMEI", "SETCID", root.Cid.ToString());
            return root;
        }, "The MiMei holds what it held"));
        return new Taken(made.Cid.ToString(), files, (long)made.FileSize);
    }

    /// <summary>What a MiMei was made to hold.</summary>
    /// <param name="Cid">Its CID.</param>
    /// <param name="Files">How many files and links.</param>
    /// <param name="Bytes">Their bytes.</param>
    internal sealed record Taken(string Cid, long Files, long Bytes);

    private static (Option<string?> Memo, Option<bool> NoBackup) VersionOptions() =>
        (new("--memo") { Description = "What to remember about the version", HelpName = "TEXT" }, new("--no-backup") { Description = "Make no version of it yet" });

    /// <summary>Makes a version of what the MiMei of the connection was just made to hold.</summary>
    private static long VersionOf(MimeiSession session, MimeiOutput output, string? memo)
    {
        try
        {
            return MakeVersion(session, output, memo);
        }
        catch (CommandLineException e)
        {
            throw new CommandLineException($"It holds that now, but there is no version of it: {e.Message}", inner: e);
        }
    }

    private static void NextOf(MimeiSession session, MimeiOutput output, string mid, long version)
    {
        if (version == 0)
        {
            output.Next(session.Place.Leither($"mimei backup {mid}"));
        }
        else
        {
            output.Next(session.Place.Leither($"mimei get {mid} --version {version} -o OUT"), session.Place.Leither($"mimei release {mid} {version}"), session.Place.Leither($"mimei publish {mid}"));
        }
    }

    // ------------------------------------------------------------------ out

    private static MimeiVerb Get(MimeiOptions options)
    {
        Option<string?> version = AtVersion();
        Option<string?> to = new("--output", "-o") { Description = "Write it there, where nothing is yet", HelpName = "OUT" };
        MimeiVerb verb = new("get", "MID [PATH] [options]", "Prints a file that a MiMei holds, or writes a file or folder to disk.")
        {
            Details = "PATH is within the MiMei's files; left out, it is all of them. Without --output a file is printed and a folder is listed. With it, nothing that is there is overwritten, and nothing is written through a link. Every block is checked.",
            Json = """
                With --output: {"mid": text, "cid": text, "path": text, "files": number, "bytes": number, "seconds": number}
                Of a folder without it: as mimei ls. A file without it is printed as it is.
                """,
            Examples = ["get diary", "get photos -o photos", "get photos 2026/may.jpg --version 1 -o may.jpg"],
        };
        verb.Options.Add(version);
        verb.Options.Add(to);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            string path = PathOf(words);
            string? at = result.GetValue(version), destination = result.GetValue(to);
            if (destination is "" or "." or "..")
            {
                throw verb.Misused($"'{destination}' cannot be made; say where to with --output");
            }

            session.Open(words[0], at);
            Fields stat = new(session.Call("MIMEI", "STAT", path));
            Cid cid = Leither.Ipfs.Multiformats.Cid.Parse(stat.Text("cid"));
            using RemoteBlocks blocks = new(session, RemoteBlocks.OfMimei);
            if (destination is null && stat.Text("type") == "directory")
            {
                ContentWork.PrintList(session.Call("MIMEI", "LS", path), output);
                output.Next(session.Place.Leither($"mimei get {string.Join(' ', words.Select(NodePlace.Quoted))}{(at is null ? "" : $" --version {at}")} -o OUT"));
                return;
            }

            if (destination is null)
            {
                session.Call("MIMEI", "GET", path, "COUNT", "0"); // the node says what is no file in its own words
                ContentWork.Cat(blocks, cid);
                return;
            }

            Stopwatch watch = Stopwatch.StartNew();
            string mid = session.Bound().Mid; // blocks that were asked for ahead may come behind the last that is read
            (long files, long bytes) = ContentWork.Get(blocks, output, cid, stat.Number("total"), destination);
            ContentWork.PrintWritten(output, new JsonObject { ["mid"] = mid }, cid.ToString(), destination, files, bytes, watch.Elapsed.TotalSeconds);
        });
    }

    private static MimeiVerb Ls(MimeiOptions options)
    {
        Option<string?> version = AtVersion();
        MimeiVerb verb = new("ls", "MID [PATH] [options]", "Lists a folder that a MiMei holds.")
        {
            Details = "PATH is within the MiMei's files; left out, it is all of them.",
            Json = """{"entries": [{"name": text, "cid": text, "type": text, "size": bytes, "total": bytes}]}""",
            Examples = ["ls photos", "ls photos 2026 --version release --json"],
        };
        verb.Options.Add(version);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            session.Open(words[0], result.GetValue(version));
            ContentWork.PrintList(session.Call("MIMEI", "LS", PathOf(words)), output);
        });
    }

    private static Option<string?> AtVersion() => MimeiOptions.Valid(
        new("--version") { Description = "A version of it: a number, last or release [default: cur, what there is now]", HelpName = "VERSION" }, MimeiVerb.IsVersion, "a number, cur, last or release");

    private static string PathOf(string[] words) => words.Length > 1 ? "/" + words[1].TrimStart('/') : "/";
}
