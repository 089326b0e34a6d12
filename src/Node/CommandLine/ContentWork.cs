using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// Files and folders between this side's disk and a node: the public content of <c>leither ipfs</c>, and what MiMei of files hold, of <c>leither mimei</c> and <c>leither lapp</c>. Files are
/// cut into blocks, and put together again, here: with the rights of whoever asks, and with a bar that shows how far it is.
/// </summary>
internal static class ContentWork
{
    /// <summary>Writes a file's bytes to the standard output.</summary>
    /// <param name="blocks">Where it is.</param>
    /// <param name="cid">The file.</param>
    /// <param name="offset">Where to begin.</param>
    /// <param name="length">How many bytes at most.</param>
    public static void Cat(RemoteBlocks blocks, Cid cid, long offset = 0, long length = long.MaxValue)
    {
        using Stream output = Console.OpenStandardOutput();
        using UnixFsStream content = new(blocks, cid) { Position = offset };
        while (length > 0 && Guard(() => content.ReadBlock((int)Math.Min(length, int.MaxValue))) is { IsEmpty: false } bytes)
        {
            try
            {
                output.Write(bytes.Span);
            }
            catch (IOException)
            {
                return; // whoever read has enough
            }

            length -= bytes.Length;
        }
    }

    /// <summary>Writes a file or folder to the disk, where nothing is yet; gives how many files and bytes.</summary>
    /// <param name="blocks">Where it is.</param>
    /// <param name="output">Where it is shown how far it is.</param>
    /// <param name="cid">The file or folder.</param>
    /// <param name="total">How much there is, for the bar.</param>
    /// <param name="destination">Where to.</param>
    public static (long Files, long Bytes) Get(RemoteBlocks blocks, MimeiOutput output, Cid cid, long total, string destination)
    {
        using Interruption interruption = new();
        long bytes = 0, files = 0;
        output.Progress("Getting", () => total, done => Guard(() =>
        {
            new UnixFsExporter(blocks, new UnixFsExportOptions
            {
                BytesWritten = written =>
                {
                    bytes += written;
                    done(written);
                },
                Written = (_, node) => files += node.IsDirectory ? 0 : 1,
                Cancellation = interruption.Token,
            }).Write(cid, destination);
            return true;
        }));
        return (files, bytes);
    }

    /// <summary>Prints what was written to the disk.</summary>
    public static void PrintWritten(MimeiOutput output, JsonObject json, string cid, string destination, long files, long bytes, double seconds)
    {
        if (output.AsJson)
        {
            json["cid"] = cid;
            json["path"] = Path.GetFullPath(destination);
            json["files"] = files;
            json["bytes"] = bytes;
            json["seconds"] = Math.Round(seconds, 3);
            MimeiOutput.Json(json);
            return;
        }

        output.Line($"{destination}  {MimeiOutput.Count(files, "file")}  {MimeiOutput.Bytes(bytes)}  {seconds:0.00} s");
    }

    /// <summary>Takes in a file or folder, or the standard input, which is called -.</summary>
    public static ImportedNode Import(UnixFsImporter importer, string path)
    {
        if (path != "-")
        {
            return importer.AddPath(path);
        }

        using Stream input = Console.OpenStandardInput();
        return importer.AddFile(input);
    }

    /// <summary>How many bytes there are in a file or folder; 0: that is not known.</summary>
    public static long SizeOf(string path)
    {
        try
        {
            return File.Exists(path) ? new FileInfo(path).Length
                : Directory.Exists(path) ? new DirectoryInfo(path).EnumerateFiles("*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint }).Sum(static f => f.Length)
                : 0;
        }
        catch (IOException)
        {
            return 0; // a bar without an end; what is wrong shows when it is read
        }
    }

    /// <summary>What is in a file, or comes from the standard input, which is called -.</summary>
    public static byte[] ReadInput(string path)
    {
        if (path != "-" && Directory.Exists(path))
        {
            throw new CommandLineException($"{path} is a folder; what is wanted is a file");
        }

        try
        {
            using Stream input = path == "-" ? Console.OpenStandardInput() : File.OpenRead(path);
            using MemoryStream all = new();
            input.CopyTo(all);
            return all.ToArray();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandLineException(Unreadable.Because(path, e), inner: e);
        }
    }

    /// <summary>Does what reads and writes files here, and says what is wrong as people want to read it.</summary>
    /// <param name="act">Does it.</param>
    /// <param name="left">What there is of it once it was interrupted.</param>
    public static T Guard<T>(Func<T> act, string left = "What was written by then stays")
    {
        try
        {
            return act();
        }
        catch (OperationCanceledException e)
        {
            throw new CommandLineException($"Interrupted. {left}", inner: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandLineException(e.Message, inner: e);
        }
    }

    /// <summary>Prints what is in a folder.</summary>
    public static void PrintList(RespReply entries, MimeiOutput output)
    {
        if (output.AsJson)
        {
            MimeiOutput.Json(new JsonObject
            {
                ["entries"] = new JsonArray([.. entries.Elements.Select(static e => new JsonObject
                {
                    ["name"] = e[0].Text,
                    ["cid"] = e[1].Text,
                    ["type"] = e[2].Text,
                    ["size"] = e[3].Integer,
                    ["total"] = e[4].Integer,
                })]),
            });
            return;
        }

        output.Table(["CID", "#Size", "Name"], entries.Elements.Select(e => (string[])[
            e[1].Text, e[2].Text == "directory" ? "-" : MimeiOutput.Bytes(e[3].Integer), MimeiOutput.OneLine(e[0].Text) + (e[2].Text == "directory" ? "/" : "")]));
    }
}

/// <summary>How files become blocks: the options of each command that takes files in.</summary>
internal sealed class ImportOptions
{
    private readonly Option<string> _profile = new("--profile") { Description = "unixfs-v0-2015 (CIDs Qm…) or unixfs-v1-2025 (CIDs baf…)", HelpName = "NAME", DefaultValueFactory = static _ => UnixFsProfile.V0.Name };
    private readonly Option<bool> _hidden = new("--hidden", "-H") { Description = "Take names that begin with a dot, too" };
    private readonly Option<bool> _mode = new("--preserve-mode") { Description = "Permissions become part of files and folders" };
    private readonly Option<bool> _mtime = new("--preserve-mtime") { Description = "Times become part of files and folders" };

    /// <summary>All of them.</summary>
    public IEnumerable<Option> All => [_profile, _hidden, _mode, _mtime];

    /// <summary>How large blocks are, and how they are named.</summary>
    /// <exception cref="CommandLineException">There is no such profile.</exception>
    public UnixFsProfile ProfileOf(MimeiVerb verb, ParseResult result) =>
        UnixFsProfile.Find(result.GetValue(_profile)!)
        ?? throw verb.Misused($"There is no profile '{result.GetValue(_profile)}', but {string.Join(" and ", UnixFsProfile.All.Select(static p => p.Name))}");

    /// <summary>What is taken, and who is told.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="read">Is told how many bytes were read now.</param>
    /// <param name="added">Is told each file and folder.</param>
    /// <param name="cancellation">Ends the work.</param>
    public UnixFsImportOptions Of(ParseResult result, Action<long> read, Action<string, ImportedNode> added, CancellationToken cancellation) => new()
    {
        IncludeHidden = result.GetValue(_hidden),
        PreserveMode = result.GetValue(_mode),
        PreserveMtime = result.GetValue(_mtime),
        BytesRead = bytes => read(bytes),
        Added = added,
        Cancellation = cancellation,
    };
}

/// <summary>Turns the first Ctrl-C into the end of the work, so that nothing is left half told; a second one ends the program.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource _source = new();

    /// <summary>From now on.</summary>
    public Interruption() => Console.CancelKeyPress += Cancel;

    /// <summary>Ends the work.</summary>
    public CancellationToken Token => _source.Token;

    /// <inheritdoc/>
    public void Dispose()
    {
        Console.CancelKeyPress -= Cancel;
        _source.Dispose();
    }

    private void Cancel(object? sender, ConsoleCancelEventArgs e)
    {
        e.Cancel = !_source.IsCancellationRequested;
        _source.Cancel();
    }
}
