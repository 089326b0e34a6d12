using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Rdb;
using Leither.Node.Configuration;
using Spectre.Console;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither import</c>: takes over what Redis kept in files, into the data folder of a node that does not run, or over the network into
/// one that does.
/// </summary>
internal static class ImportCommand
{
    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        Argument<string> path = new("FILE")
        {
            Description = "dump.rdb, an append-only file, an appendonlydir (or its manifest), or a data folder of Redis",
        };
        Option<string?> data = new("--data") { Description = $"The data folder to fill; no node may run on it [default: {DataFolder.DefaultName}]", HelpName = "DIR" };
        Option<string?> to = MimeiOptions.Address(new("--to") { Description = "A running server to fill instead, Leither or Redis; a password is taken from $REDISCLI_AUTH", HelpName = "HOST:PORT" });
        Option<string?> user = new("--user") { Description = "The user to log in as at that server", HelpName = "NAME" };
        Option<bool> keep = new("--keep-existing") { Description = "Leave keys alone that are there already; otherwise they are replaced" };
        Option<bool> json = new("--json") { Description = "Print the result as JSON" };
        Command import = new("import", """
            Takes over keys from Redis's files.

            Which file a Redis server uses: its append-only file where appendonly is yes, otherwise dump.rdb.
            """) { path, data, to, user, keep, json };
        import.SetAction(result =>
        {
            using Report report = new(result.GetValue(json));
            try
            {
                ImportSource source = ImportSource.Find(result.GetValue(path)!);
                string? address = result.GetValue(to);
                report.Start(source);
                Stopwatch watch = Stopwatch.StartNew();
                IReadOnlyDictionary<string, object> figures = address is null
                    ? LocalImport.Run(source, result.GetValue(data) ?? result.GetValue(outer.Data) ?? DataFolder.Default, result.GetValue(keep), report.Advance)
                    : RemoteImport.Run(source, address, result.GetValue(user), result.GetValue(keep), report.Advance);
                report.Finish(figures, watch.Elapsed);
                return 0;
            }
            catch (Exception e) when (e is IOException or DataFolderException or ConfigException or UnauthorizedAccessException
                or System.Net.Sockets.SocketException or LogCorruptedException or InvalidDataException)
            {
                report.Fail(e.Message);
                return 1;
            }
        });
        return import;
    }

    /// <summary>Shows how far it is: a bar for people at a terminal, JSON for programs, a line otherwise.</summary>
    private sealed class Report(bool asJson) : IDisposable
    {
        private readonly Stopwatch _sinceShown = Stopwatch.StartNew();
        private readonly bool _hasBar = !asJson && AnsiConsole.Profile.Capabilities.Interactive && !Console.IsErrorRedirected && !Console.IsOutputRedirected;
        private readonly ManualResetEventSlim _over = new();
        private ImportSource? _source;
        private Thread? _bar;
        private long _bytes, _keys;

        public void Start(ImportSource source)
        {
            _source = source;
            if (_hasBar)
            {
                _bar = new Thread(Draw) { IsBackground = true, Name = "progress" };
                _bar.Start();
            }
        }

        public void Advance(long bytes, long keys)
        {
            Volatile.Write(ref _bytes, bytes);
            Volatile.Write(ref _keys, keys);
        }

        public void Finish(IReadOnlyDictionary<string, object> figures, TimeSpan time)
        {
            EndBar();
            if (asJson)
            {
                JsonObject all = [];
                foreach ((string name, object figure) in figures)
                {
                    all[name] = figure is long number ? number : figure.ToString();
                }

                all["seconds"] = Math.Round(time.TotalSeconds, 3);
                Console.WriteLine(all.ToJsonString());
                return;
            }

            string numbers = string.Join(", ", figures.Where(static f => f.Value is not 0L || f.Key == "keys").Select(static f =>
                string.Create(CultureInfo.InvariantCulture, $"{f.Value:N0} {f.Key.Replace('_', ' ')}")));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Imported {numbers} in {time.TotalSeconds:0.0} s"));
        }

        public void Fail(string message)
        {
            EndBar();
            if (asJson)
            {
                Console.WriteLine(new JsonObject { ["error"] = message, ["bytes"] = _bytes }.ToJsonString());
            }
            else
            {
                Console.Error.WriteLine(message);
            }
        }

        public void Dispose() => _over.Dispose();

        private void EndBar()
        {
            _over.Set();
            _bar?.Join();
        }

        private void Draw() => AnsiConsole.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("import", maxValue: Math.Max(1, _source!.Length));
                do
                {
                    task.Value = Volatile.Read(ref _bytes);
                    long keys = Volatile.Read(ref _keys);
                    task.Description = string.Create(CultureInfo.InvariantCulture, $"{keys:N0} keys, {keys / Math.Max(0.001, _sinceShown.Elapsed.TotalSeconds):N0}/s");
                }
                while (!_over.Wait(100));
                task.Value = Volatile.Read(ref _bytes);
            });
    }
}

/// <summary>The files to import, in their order.</summary>
/// <param name="Files">Their paths.</param>
/// <param name="Length">Their bytes together.</param>
internal sealed record ImportSource(IReadOnlyList<string> Files, long Length)
{
    /// <summary>Finds out what a path is.</summary>
    /// <exception cref="IOException">It is nothing that can be imported.</exception>
    public static ImportSource Find(string path)
    {
        if (AofFiles.TryFind(path, out IReadOnlyList<string> files))
        {
            return Of(files);
        }

        if (Directory.Exists(path))
        {
            string appendOnly = Path.Combine(path, "appendonlydir"), dump = Path.Combine(path, "dump.rdb");
            if (Directory.Exists(appendOnly) && AofFiles.TryFind(appendOnly, out files))
            {
                return Of(files);
            }

            return File.Exists(dump) ? Of([dump]) : throw new IOException($"{path} holds neither an appendonlydir nor a dump.rdb. Name the file itself");
        }

        return File.Exists(path) ? Of([path]) : throw new IOException($"There is no file {path}");
    }

    private static ImportSource Of(IReadOnlyList<string> files) => new(files, files.Sum(static f => new FileInfo(f).Length));

    /// <summary>Opens one of the files.</summary>
    public static FileStream Open(string file) => new(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 16, FileOptions.SequentialScan);
}
