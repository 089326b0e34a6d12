using System.CommandLine;
using System.CommandLine.Help;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.Ipfs;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither ipfs …</c>: the public content of a node, for people. Everything here is a RESP command of the IPFS family underneath. Files are cut into
/// blocks, and put together again, on this side: with the rights of whoever asks, and with a bar that shows how far it is.
/// </summary>
internal static class IpfsCommand
{
    private const int ReadBytes = 8 << 20;

    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer);
        Command ipfs = new("ipfs", """
            The public content of a node: files and folders by their CIDs, as any IPFS node has them.

            add makes a CID of a file, cat and get bring the file back, pin says what is kept, repo gc takes away the rest.
            """) { options.Data, options.Port, options.User, options.Json };
        foreach (MimeiVerb verb in (MimeiVerb[])[
            Add(options), Cat(options), Get(options), Ls(options), Stat(options), Pin(options), Files(options), Block(options), Dag(options), Repo(options), Resolve(options), IpfsNameVerb.Create(options)])
        {
            ipfs.Subcommands.Add(verb);
        }

        ipfs.SetAction(static result => new MimeiHelp(new HelpAction()).Invoke(result));
        return ipfs;
    }

    // ------------------------------------------------------------------ in and out

    private static MimeiVerb Add(MimeiOptions options)
    {
        ImportOptions import = new();
        Option<bool> onlyHash = new("--only-hash", "-n") { Description = "Tell the CID and keep nothing" };
        Option<bool> noPin = new("--no-pin") { Description = "Keep nothing from being collected" };
        Option<bool> wrap = new("--wrap", "-w") { Description = "Put all of them into a folder, which keeps their names" };
        Option<bool> quiet = new("--quiet", "-q", "-Q") { Description = "Print the CID of what was asked for alone" };
        Option<bool> recursive = new("--recursive", "-r") { Description = "Folders are always taken with all that is in them", Hidden = true };
        MimeiVerb verb = new("add", "PATH… [options]", "Adds files and folders and prints their CIDs.")
        {
            Of = "ipfs",
            Details = "The CID is the last word of each line, and the same that 'ipfs add' gives. What is added is pinned. PATH - is the standard input.",
            Json = """{"added": [{"path": text, "cid": text, "size": bytes, "total": bytes}], "seconds": number}""",
            Examples = ["add hello.txt", "add -w photos letter.pdf", "add --profile unixfs-v1-2025 big.iso"],
        };
        foreach (Option option in import.All.Concat([onlyHash, noPin, wrap, quiet, recursive]))
        {
            verb.Options.Add(option);
        }

        return verb.Runs(options, (result, session, output) =>
        {
            string[] paths = verb.Words(result, 1, int.MaxValue);
            UnixFsProfile found = import.ProfileOf(verb, result);
            bool isQuiet = result.GetValue(quiet), keeps = !result.GetValue(onlyHash);
            using Interruption interruption = new();
            Stopwatch watch = Stopwatch.StartNew();
            List<string> later = [];
            List<(string Path, ImportedNode Node)> added = output.Progress("Adding", () => paths.Sum(ContentWork.SizeOf), done => ContentWork.Guard(() =>
            {
                List<(string, ImportedNode)> roots = [];
                using RemoteBlocks? blocks = keeps ? new RemoteBlocks(session, RemoteBlocks.Public) : null;
                UnixFsImporter importer = new(blocks, found, import.Of(result, done, Tell, interruption.Token));
                foreach (string path in paths)
                {
                    ImportedNode made = ContentWork.Import(importer, path);
                    if (path == "-")
                    {
                        Tell("-", made);
                    }

                    roots.Add((path, made));
                }

                if (result.GetValue(wrap))
                {
                    ulong bytes = 0;
                    List<NewEntry> entries = [];
                    foreach ((string path, ImportedNode made) in roots)
                    {
                        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
                        entries.Add(entries.Any(e => e.Name == name)
                            ? throw new CommandLineException($"Two of them are called '{name}'")
                            : new NewEntry(path == "-" ? made.Cid.ToString() : name, made.Cid, made.Tsize));
                        bytes += made.FileSize;
                    }

                    ImportedNode folder = importer.AddDirectory(entries) with { FileSize = bytes };
                    Tell("", folder);
                    roots = [("", folder)];
                }

                blocks?.Flush();
                if (keeps && !result.GetValue(noPin))
                {
                    foreach ((_, ImportedNode made) in roots)
                    {
                        session.Call("IPFS", "PIN", "ADD", made.Cid.ToString());
                    }
                }

                return roots;
            }, "Nothing was pinned; what was put goes with the next 'repo gc' that is ten minutes later"));

            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject
                {
                    ["added"] = new JsonArray([.. added.Select(static a => new JsonObject
                    {
                        ["path"] = a.Path,
                        ["cid"] = a.Node.Cid.ToString(),
                        ["size"] = a.Node.FileSize,
                        ["total"] = a.Node.Tsize,
                    })]),
                    ["seconds"] = Math.Round(watch.Elapsed.TotalSeconds, 3),
                });
                return;
            }

            later.ForEach(MimeiOutput.Plain);
            if (isQuiet)
            {
                added.ForEach(static a => MimeiOutput.Plain(a.Node.Cid.ToString()));
                return;
            }

            Cid last = added[^1].Node.Cid;
            output.Next(session.Place.Leither($"ipfs {(last.Codec == Multicodec.DagPb && added[^1].Path.Length == 0 ? "ls" : "get")} {last}"));

            void Tell(string path, ImportedNode made)
            {
                if (isQuiet || output.AsJson)
                {
                    return;
                }

                string line = $"added {(path.Length == 0 ? "" : MimeiOutput.OneLine(path) + "  ")}{MimeiOutput.Bytes((long)made.FileSize)}  {made.Cid}";
                if (output.IsWatched)
                {
                    later.Add(line); // below the bar, when it is gone
                }
                else
                {
                    MimeiOutput.Plain(line);
                }
            }
        });
    }

    private static MimeiVerb Cat(MimeiOptions options)
    {
        Option<long?> offset = MimeiOptions.Number(new("--offset", "-o") { Description = "Begin behind so many bytes", HelpName = "BYTES" }, min: 0);
        Option<long?> length = MimeiOptions.Number(new("--length", "-l") { Description = "Print so many bytes at most", HelpName = "BYTES" }, min: 0);
        MimeiVerb verb = new("cat", "PATH [options]", "Prints a file.")
        {
            Of = "ipfs",
            Json = "None: what is printed is the file.",
            Examples = ["cat QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", "cat /ipfs/bafy…/docs/readme.md --length 100"],
        };
        verb.Options.Add(offset);
        verb.Options.Add(length);
        return verb.Runs(options, (result, session, _) =>
        {
            // The node says what is no file in its own words.
            string cid = session.Call("IPFS", "RESOLVE", verb.Words(result, 1, 1)[0]).Text;
            session.Call("IPFS", "CAT", cid, "COUNT", "0");
            using RemoteBlocks blocks = new(session, RemoteBlocks.Public);
            ContentWork.Cat(blocks, Cid.Parse(cid), result.GetValue(offset) ?? 0, result.GetValue(length) ?? long.MaxValue);
        });
    }

    private static MimeiVerb Get(MimeiOptions options)
    {
        Option<string?> to = new("--output", "-o") { Description = "Where to write it [default: the last name of PATH, here]", HelpName = "PATH" };
        MimeiVerb verb = new("get", "PATH [options]", "Writes a file or folder to disk.")
        {
            Of = "ipfs",
            Details = "Nothing that is there is overwritten, and nothing is written through a link. Every block is checked.",
            Json = """{"cid": text, "path": text, "files": number, "bytes": number, "seconds": number}""",
            Examples = ["get QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o -o hello.txt"],
        };
        verb.Options.Add(to);
        return verb.Runs(options, (result, session, output) =>
        {
            string path = verb.Words(result, 1, 1)[0];
            string[] stat = [.. session.Call("IPFS", "STAT", path).Elements.Chunk(2).Where(static p => p[0].Text is "cid" or "total").Select(static p => p[0].Text == "cid" ? p[1].Text : Number(p[1].Integer))];
            string destination = result.GetValue(to) ?? Path.GetFileName(path.TrimEnd('/'));
            if (destination is "" or "." or "..")
            {
                throw verb.Misused($"'{destination}' cannot be made; say where to with --output");
            }

            Stopwatch watch = Stopwatch.StartNew();
            using RemoteBlocks blocks = new(session, RemoteBlocks.Public);
            (long files, long bytes) = ContentWork.Get(blocks, output, Cid.Parse(stat[0]), long.Parse(stat[1], CultureInfo.InvariantCulture), destination);
            ContentWork.PrintWritten(output, [], stat[0], destination, files, bytes, watch.Elapsed.TotalSeconds);
        });
    }

    // ------------------------------------------------------------------ looking

    private static MimeiVerb Ls(MimeiOptions options)
    {
        MimeiVerb verb = new("ls", "PATH", "Lists a folder.")
        {
            Of = "ipfs",
            Json = """{"entries": [{"name": text, "cid": text, "type": text, "size": bytes, "total": bytes}]}""",
            Examples = ["ls bafy…", "ls /ipfs/bafy…/docs --json"],
        };
        return verb.Runs(options, (result, session, output) => ContentWork.PrintList(session.Call("IPFS", "LS", verb.Words(result, 1, 1)[0]), output));
    }

    private static MimeiVerb Stat(MimeiOptions options)
    {
        MimeiVerb verb = new("stat", "PATH", "Tells what is known of a file or folder.")
        {
            Of = "ipfs",
            Json = """{"cid": text, "type": text, "size": bytes, "total": bytes, "links": number, "mode": text, "mtime": text}""",
            Examples = ["stat bafy…"],
        };
        return verb.Runs(options, (result, session, output) => PrintMap(session.Call("IPFS", "STAT", verb.Words(result, 1, 1)[0]), output));
    }

    private static MimeiVerb Resolve(MimeiOptions options)
    {
        MimeiVerb verb = new("resolve", "PATH", "Prints the CID that a path leads to.")
        {
            Of = "ipfs",
            Json = """{"cid": text}""",
            Examples = ["resolve /ipfs/bafy…/docs/readme.md"],
        };
        return verb.Runs(options, (result, session, output) => PrintWord("cid", session.Call("IPFS", "RESOLVE", verb.Words(result, 1, 1)[0]).Text, output));
    }

    private static MimeiVerb Block(MimeiOptions options)
    {
        Option<string?> codec = MimeiOptions.Valid(
            new("--codec") { Description = "What a block that is put is written in: raw, dag-pb, dag-cbor [default: raw]", HelpName = "NAME" },
            static name => name.ToLowerInvariant() is "raw" or "dag-pb" or "dag-cbor", "raw, dag-pb or dag-cbor");
        MimeiVerb verb = new("block", "get CID | put [FILE] | stat CID | rm CID", "Reads, puts, measures or removes a block.")
        {
            Of = "ipfs",
            Details = "get prints the block's bytes. put reads a file, or the standard input; a block that nothing pins is kept for ten minutes.",
            Json = """put: {"cid": text}   stat: {"cid": text, "size": bytes}   rm: {"removed": number}""",
            Examples = ["block stat bafk…", "block put node.bin --codec dag-cbor", "block get bafk… > node.bin"],
        };
        verb.Options.Add(codec);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            switch (words)
            {
                case ["put", ..]:
                    byte[] bytes = ContentWork.ReadInput(words.Length > 1 ? words[1] : "-");
                    session.Send(Bytes("IPFS"), Bytes("BLOCK"), Bytes("PUT"), bytes, Bytes("CODEC"), Bytes(result.GetValue(codec) ?? "raw"));
                    PrintWord("cid", session.Receive().Text, output);
                    break;
                case ["get", { } cid]:
                    WriteOut(session.Call("IPFS", "BLOCK", "GET", cid).Bytes);
                    break;
                case ["stat", { } cid]:
                    long size = session.Call("IPFS", "BLOCK", "STAT", cid).Integer;
                    if (output.AsJson) MimeiOutput.Json(new JsonObject { ["cid"] = cid, ["size"] = size });
                    else MimeiOutput.Plain($"{cid}  {Number(size)} bytes");
                    break;
                case ["rm", { } cid]:
                    long removed = session.Call("IPFS", "BLOCK", "RM", cid).Integer;
                    if (output.AsJson) MimeiOutput.Json(new JsonObject { ["removed"] = removed });
                    else MimeiOutput.Plain(removed > 0 ? $"removed {cid}" : $"{cid} is not here");
                    break;
                default:
                    throw verb.Misused("get, put, stat or rm, and a CID");
            }
        });
    }

    private static MimeiVerb Dag(MimeiOptions options)
    {
        MimeiVerb verb = new("dag", "get PATH | put [FILE]", "Shows a block as DAG-JSON, or makes one of DAG-JSON.")
        {
            Of = "ipfs",
            Json = """get: the block itself   put: {"cid": text}""",
            Examples = ["dag get bafy…", "echo '{\"a\":{\"/\":\"bafkqaaa\"}}' | leither ipfs dag put"],
        };
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            switch (words)
            {
                case ["put", ..]:
                    session.Send(Bytes("IPFS"), Bytes("DAG"), Bytes("PUT"), ContentWork.ReadInput(words.Length > 1 ? words[1] : "-"));
                    PrintWord("cid", session.Receive().Text, output);
                    break;
                case ["get", { } path]:
                    WriteOut([.. session.Call("IPFS", "DAG", "GET", path).Bytes, (byte)'\n']);
                    break;
                default:
                    throw verb.Misused("get and a path, or put");
            }
        });
    }

    // ------------------------------------------------------------------ keeping

    private static MimeiVerb Pin(MimeiOptions options)
    {
        Option<bool> direct = new("--direct") { Description = "add: the block alone, not what it leads to" };
        MimeiVerb verb = new("pin", "add PATH | rm PATH | ls [PATH]", "Keeps content, lists what is kept, or keeps it no longer.")
        {
            Of = "ipfs",
            Json = """add, rm: {"cid": text}   ls: {"pins": [{"cid": text, "kind": text, "by": text}]}   kind: recursive, direct, indirect""",
            Examples = ["pin add bafy…", "pin ls", "pin rm bafy…"],
        };
        verb.Options.Add(direct);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            switch (words)
            {
                case ["add", { } path]:
                    string kept = session.Wait(output, "Pinning", () => session.Call(result.GetValue(direct) ? ["IPFS", "PIN", "ADD", path, "DIRECT"] : ["IPFS", "PIN", "ADD", path])).Text;
                    PrintWord("cid", kept, output, "pinned ");
                    break;
                case ["rm", { } path]:
                    PrintWord("cid", session.Call("IPFS", "PIN", "RM", path).Text, output, "unpinned ");
                    break;
                case ["ls", ..]:
                    RespReply pins = session.Call(["IPFS", "PIN", "LS", .. words[1..]]);
                    if (output.AsJson)
                    {
                        MimeiOutput.Json(new JsonObject
                        {
                            ["pins"] = new JsonArray([.. pins.Elements.Select(static p => new JsonObject { ["cid"] = p[0].Text, ["kind"] = p[1].Text, ["by"] = p[2].Text })]),
                        });
                        break;
                    }

                    foreach (RespReply pin in pins.Elements)
                    {
                        MimeiOutput.Plain(pin[1].Text == "indirect" ? $"{pin[0].Text} indirect through {pin[2].Text}" : $"{pin[0].Text} {pin[1].Text}");
                    }

                    if (pins.Elements.Count == 0 && words.Length > 1)
                    {
                        throw new CommandLineException($"Nothing pins {words[1]}");
                    }

                    break;
                default:
                    throw verb.Misused("add, rm or ls");
            }
        });
    }

    private static MimeiVerb Repo(MimeiOptions options)
    {
        Option<bool> purge = new("--purge") { Description = "gc: leave no byte of what goes in any file" };
        MimeiVerb verb = new("repo", "stat | gc", "Tells how much content there is, or takes away what nothing keeps.")
        {
            Of = "ipfs",
            Details = """
                gc takes away what no pin and no file of the tree leads to. Blocks lie in packs, and a pack is written anew when a quarter of it is dead:
                until then, what went can still be read by its CID and takes its place on the disk. --purge leaves nothing of it.

                gc tells: live, the blocks that are kept; dead, the bytes found of no use; freed, the bytes that the disk has back; left, the dead
                bytes that it has not; missing, links to blocks that are not here; damaged, kept blocks that could not be read.
                """,
            Json = """stat: {"blocks", "bytes", "dead", "packs", "memory", "pins": numbers}   gc: {"live", "dead", "freed", "left", "missing", "damaged": numbers}""",
            Examples = ["repo stat", "repo gc"],
        };
        verb.Options.Add(purge);
        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 1);
            PrintMap(words[0] switch
            {
                "stat" => session.Call("IPFS", "REPO", "STAT"),
                "gc" => session.Wait(output, "Collecting", () => session.Call(result.GetValue(purge) ? ["IPFS", "REPO", "GC", "PURGE"] : ["IPFS", "REPO", "GC"])),
                _ => throw verb.Misused("stat or gc"),
            }, output);
        });
    }

    private static MimeiVerb Files(MimeiOptions options)
    {
        Option<bool> parents = new("--parents") { Description = "mkdir, write: make the folders on the way" };
        Option<bool> recursive = new("--recursive", "-r") { Description = "rm: a folder with all that is in it" };
        Option<bool> create = new("--create", "-e") { Description = "write: make the file" };
        Option<bool> truncate = new("--truncate", "-t") { Description = "write: forget what was in it" };
        Option<long?> offset = MimeiOptions.Number(new("--offset", "-o") { Description = "read, write: begin behind so many bytes", HelpName = "BYTES" }, min: 0);
        MimeiVerb verb = new("files", "ls|stat|read|mkdir|write|cp|mv|rm|flush PATH… [options]", "Looks into the node's tree of files, or changes it.")
        {
            Of = "ipfs",
            Details = """
                ls [PATH]   stat PATH   read PATH   mkdir PATH   write PATH [FILE]   cp FROM TO   mv FROM TO   rm PATH   flush
                Each change prints the tree's new root. cp takes content from /ipfs/CID, which costs a link.
                """,
            Json = """ls: as ipfs ls   stat: as ipfs stat   changes, flush: {"cid": text}""",
            Examples = ["files mkdir --parents /a/b", "files write -e /a/b/hello.txt hello.txt", "files cp /ipfs/Qm… /a/copy", "files ls /a"],
        };
        foreach (Option option in (Option[])[parents, recursive, create, truncate, offset])
        {
            verb.Options.Add(option);
        }

        return verb.Runs(options, (result, session, output) =>
        {
            string[] words = verb.Words(result, 1, 3);
            switch (words)
            {
                case ["ls"] or ["ls", _]:
                    ContentWork.PrintList(session.Call(["IPFS", "FILES", "LS", .. words[1..]]), output);
                    break;
                case ["stat", { } path]:
                    PrintMap(session.Call("IPFS", "FILES", "STAT", path), output);
                    break;
                case ["read", { } path]:
                    for (long at = result.GetValue(offset) ?? 0; ;)
                    {
                        byte[] bytes = session.Call("IPFS", "FILES", "READ", path, "OFFSET", Number(at), "COUNT", Number(ReadBytes)).Bytes;
                        if (bytes.Length == 0) break;
                        WriteOut(bytes);
                        at += bytes.Length;
                    }

                    break;
                case ["mkdir", { } path]:
                    Changed(result.GetValue(parents) ? ["IPFS", "FILES", "MKDIR", path, "PARENTS"] : ["IPFS", "FILES", "MKDIR", path]);
                    break;
                case ["write", { } path, ..]:
                    List<ReadOnlyMemory<byte>> write = [Bytes("IPFS"), Bytes("FILES"), Bytes("WRITE"), Bytes(path), ContentWork.ReadInput(words.Length > 2 ? words[2] : "-")];
                    if (result.GetValue(offset) is { } place) write.AddRange([Bytes("OFFSET"), Bytes(Number(place))]);
                    if (result.GetValue(create)) write.Add(Bytes("CREATE"));
                    if (result.GetValue(truncate)) write.Add(Bytes("TRUNCATE"));
                    if (result.GetValue(parents)) write.Add(Bytes("PARENTS"));
                    session.Send(write);
                    PrintWord("cid", session.Receive().Text, output);
                    break;
                case ["cp" or "mv", { } from, { } to]:
                    Changed(["IPFS", "FILES", words[0], from, to]);
                    break;
                case ["rm", { } path]:
                    Changed(result.GetValue(recursive) ? ["IPFS", "FILES", "RM", path, "RECURSIVE"] : ["IPFS", "FILES", "RM", path]);
                    break;
                case ["flush"]:
                    Changed(["IPFS", "FILES", "FLUSH"]);
                    break;
                default:
                    throw verb.Misused($"'{string.Join(' ', words)}' means nothing here");
            }

            void Changed(string[] command) => PrintWord("cid", session.Call(command).Text, output);
        });
    }

    // ------------------------------------------------------------------ what they share

    private static void PrintMap(RespReply map, MimeiOutput output)
    {
        JsonObject json = [];
        foreach (RespReply[] pair in map.Elements.Chunk(2))
        {
            if (!output.AsJson)
            {
                string value = pair[1].Type == RespType.Integer ? MimeiOutput.Number(pair[1].Integer) : pair[1].Text;
                MimeiOutput.Plain($"{pair[0].Text,-8}: {value}");
            }
            else if (pair[1].Type == RespType.Integer)
            {
                json[pair[0].Text] = pair[1].Integer;
            }
            else
            {
                json[pair[0].Text] = pair[1].Text;
            }
        }

        if (output.AsJson)
        {
            MimeiOutput.Json(json);
        }
    }

    private static void PrintWord(string name, string word, MimeiOutput output, string before = "")
    {
        if (output.AsJson) MimeiOutput.Json(new JsonObject { [name] = word });
        else MimeiOutput.Plain(before + word);
    }

    private static void WriteOut(byte[] bytes)
    {
        using Stream output = Console.OpenStandardOutput();
        output.Write(bytes);
    }

    internal static ReadOnlyMemory<byte> Bytes(string word) => System.Text.Encoding.UTF8.GetBytes(word);

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);
}
