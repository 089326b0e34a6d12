using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.MmDb;
using Leither.MmDb.Acl;
using Leither.MmDb.Configuration;
using Leither.Node.Configuration;
using Leither.Node.Logging;
using Leither.Node.Replication;
using Leither.Node.Storage;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither doctor</c>: looks at what a node stands on (configuration, data folder, disk, clock, ports, limits of the system) and, where it runs, at what it holds and who can
/// reach it; says what to do about what is wrong. It changes nothing.
/// </summary>
internal static class DoctorCommand
{
    private const long LittleSpace = 1L << 30, NoSpace = 64L << 20;
    private const int SlowSyncMs = 25, Syncs = 9;

    /// <summary>How bad something is.</summary>
    private enum Verdict
    {
        /// <summary>It is as it should be.</summary>
        Ok,

        /// <summary>It works, and may trouble later.</summary>
        Warning,

        /// <summary>It keeps the node from working, or data in danger.</summary>
        Problem,
    }

    /// <summary>One thing that was looked at.</summary>
    private sealed record Finding(string What, Verdict Verdict, string Text, string Advice);

    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer);
        MimeiVerb doctor = new("doctor", "", "Checks a node and the machine below it, and says what to do about what is wrong.")
        {
            Of = "",
            Details = """
                It looks at the configuration, the data folder, the disk, the clock, the ports and the limits of the system, and checks
                every MiMei (all blocks, the whole log): it has the node do that, or where none runs does what the next start would
                do, in memory. Where the node runs, it also asks how peers reach it. It changes nothing.
                """,
            Json = """{"ok": boolean, "findings": [{"what": text, "verdict": "ok"|"warning"|"problem", "text": text, "advice": text}]}""",
            ExitCodes = "0 no problems (there may be warnings), 1 there are problems, 2 the command line is wrong",
            Examples = ["doctor", "doctor --data /srv/leither --json"],
        };
        doctor.Options.Add(options.Data);
        doctor.Options.Add(options.User);
        doctor.Options.Add(options.Json);
        doctor.SetAction(result =>
        {
            MimeiOutput output = new(result.GetValue(options.Json));
            try
            {
                _ = doctor.Words(result, 0, 0);
            }
            catch (CommandLineException e)
            {
                output.Fail(e.Message);
                return e.ExitCode;
            }

            NodePlace place = options.PlaceOf(result);
            List<Finding> findings = [];
            foreach (Finding finding in Examine(place))
            {
                findings.Add(finding);
                if (!output.AsJson)
                {
                    Print(output, finding);
                }
            }

            int problems = findings.Count(static f => f.Verdict == Verdict.Problem), warnings = findings.Count(static f => f.Verdict == Verdict.Warning);
            if (output.AsJson)
            {
                JsonArray list = [];
                foreach (Finding f in findings)
                {
                    list.Add((JsonNode)new JsonObject { ["what"] = f.What, ["verdict"] = f.Verdict.ToString().ToLowerInvariant(), ["text"] = f.Text, ["advice"] = f.Advice });
                }

                MimeiOutput.Json(new JsonObject { ["ok"] = problems == 0, ["findings"] = list });
            }
            else
            {
                output.Line($"{(problems > 0 ? MimeiOutput.Count(problems, "problem") : "No problems")}, {(warnings > 0 ? MimeiOutput.Count(warnings, "warning") : "no warnings")}");
            }

            return problems == 0 ? 0 : 1;
        });
        return doctor;
    }

    private static void Print(MimeiOutput output, Finding finding)
    {
        (string color, string word) = finding.Verdict switch
        {
            Verdict.Ok => ("green", "ok     "),
            Verdict.Warning => ("yellow", "warning"),
            _ => ("red", "PROBLEM"),
        };
        output.Colored(color, word, $"  {finding.What,-14} {finding.Text}");
        if (finding.Advice.Length > 0)
        {
            foreach (string line in finding.Advice.Split('\n'))
            {
                output.Colored(color, "       ", $"  {"",-14} -> {line}");
            }
        }
    }

    private static IEnumerable<Finding> Examine(NodePlace place)
    {
        (NodeConfig? config, Finding configuration) = Configuration(place.Folder);
        yield return configuration;
        string folder = config?.DataFolder ?? Path.GetFullPath(place.Folder ?? DataFolder.Default);
        bool runs = DataFolder.IsHeld(folder);
        RunningNode? node = runs ? DataFolder.Find(folder) : null;
        yield return Folder(folder, node, runs);
        if (Directory.Exists(folder) && !MayLookInto(folder))
        {
            yield break; // all the rest would be said of what cannot be seen
        }

        if (Directory.Exists(folder))
        {
            yield return Keys(folder);
            yield return Disk(folder);
            yield return Sync(folder);
        }

        yield return Clock(folder);
        foreach (Finding port in Ports(config, node))
        {
            yield return port;
        }

        if (OperatingSystem.IsLinux())
        {
            foreach (Finding limit in Limits(config, node))
            {
                yield return limit;
            }
        }

        foreach (Finding finding in node is not null ? Running(place) : config is null ? [] : Stopped(folder, config, runs))
        {
            yield return finding;
        }
    }

    private static (NodeConfig? Config, Finding Finding) Configuration(string? folder)
    {
        const string what = "Configuration";
        try
        {
            NodeConfig config = NodeConfig.Load(folder is null ? [] : ["--data", folder], static () => Stream.Null);
            string text = config.File is null ? "no file: defaults" : config.File;
            return (config, config.Warnings.Count > 0 ? new Finding(what, Verdict.Warning, text, string.Join('\n', config.Warnings))
                : config.WithoutMeaning.Count > 0 ? new Finding(what, Verdict.Ok, $"{text}; without meaning here: {string.Join(", ", config.WithoutMeaning)}", "")
                : new Finding(what, Verdict.Ok, text, ""));
        }
        catch (ConfigException e)
        {
            string file = Path.Combine(folder ?? DataFolder.Default, NodeConfig.FileName);
            return (null, new Finding(what, Verdict.Problem, $"{file}, line {e.Line}: {e.Error}", $"Change line {e.Line} of {file}"));
        }
        catch (Exception e) when (e is AclException or IOException)
        {
            return (null, new Finding(what, Verdict.Problem, e.Message.Trim(), "Change it, then run: leither doctor"));
        }
    }

    private static Finding Folder(string folder, RunningNode? node, bool runs)
    {
        const string what = "Data folder";
        if (!Directory.Exists(folder))
        {
            return File.Exists(folder)
                ? new Finding(what, Verdict.Problem, $"{folder} is a file", "Choose a folder with --data")
                : new Finding(what, Verdict.Ok, $"{folder} is not there yet: the first start makes it", "");
        }

        string state = node is not null ? $"{folder}, used by process {node.Pid}" : runs ? $"{folder}, used by another process" : $"{folder}, no node runs on it";
        if (OperatingSystem.IsWindows())
        {
            return new Finding(what, Verdict.Ok, state, "");
        }

        const UnixFileMode others = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite | UnixFileMode.OtherRead | UnixFileMode.OtherExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute;
        const int mayWrite = 2;
        return !MayLookInto(folder) ? new Finding(what, Verdict.Problem, $"{folder} is another user's: this one may not look into it", "Run this as the user of the node")
            : access(folder, mayWrite) != 0 ? new Finding(what, Verdict.Problem, $"{folder} cannot be written by this user", $"Run this as the user of the node, or: chown -R USER {folder}")
            : (File.GetUnixFileMode(folder) & others) != 0 ? new Finding(what, Verdict.Warning, $"{state}; others may look into it", $"chmod 700 {folder}")
            : new Finding(what, Verdict.Ok, state, "");
    }

    private static bool MayLookInto(string folder)
    {
        const int mayRead = 4, maySearch = 1;
        return OperatingSystem.IsWindows() || access(folder, mayRead | maySearch) == 0;
    }

    private static Finding Keys(string folder)
    {
        const string what = "Keys";
        string[] files = [Path.Combine(folder, "keys", "author.key"), Path.Combine(folder, "keys", "node.key")];
        string[] missing = [.. files.Where(static f => !File.Exists(f))];
        if (missing.Length == files.Length && !Directory.Exists(Path.Combine(folder, "mimei")))
        {
            return new Finding(what, Verdict.Ok, "none yet: the first start makes them", "");
        }

        if (missing.Length > 0)
        {
            return new Finding(what, Verdict.Problem, $"{string.Join(", ", missing)} is missing, but there are MiMei", "Restore it from a copy before the next start: a new one is somebody else, who owns nothing here");
        }

        try
        {
            foreach (string file in files)
            {
                const UnixFileMode others = (UnixFileMode)0b111_111;
                if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(file) & others) != 0)
                {
                    return new Finding(what, Verdict.Problem, $"{file} can be read by others", $"chmod 600 {file}; whoever read it can act as this node");
                }

                byte[] key = new byte[1024];
                string text = File.ReadAllText(file).Trim();
                if (Convert.TryFromBase64String(text, key, out int length) && PrivateKey.TryFromProtobuf(key.AsSpan(0, length), out PrivateKey? read))
                {
                    read.Dispose();
                }
                else if (!text.StartsWith("-----", StringComparison.Ordinal))
                {
                    return new Finding(what, Verdict.Problem, $"{file} is damaged", "Restore it from a copy");
                }
            }

            return new Finding(what, Verdict.Ok, "there, and for their owner alone", "");
        }
        catch (UnauthorizedAccessException e)
        {
            return new Finding(what, Verdict.Problem, e.Message, "Run this as the user of the node");
        }
        catch (IOException e)
        {
            return new Finding(what, Verdict.Problem, e.Message, "Restore the keys from a copy, and look at the disk");
        }
    }

    private static Finding Disk(string folder)
    {
        DriveInfo drive = new(folder);
        string text = $"{MimeiOutput.Bytes(drive.AvailableFreeSpace)} free of {MimeiOutput.Bytes(drive.TotalSize)} ({drive.DriveFormat})";
        return drive.AvailableFreeSpace < NoSpace ? new Finding("Disk", Verdict.Problem, text, "Make room: the node refuses writes when the log has none")
            : drive.AvailableFreeSpace < LittleSpace ? new Finding("Disk", Verdict.Warning, text, "Make room, or delete old versions: leither mimei delvers")
            : drive.DriveFormat is "tmpfs" or "ramfs" ? new Finding("Disk", Verdict.Warning, text, "That is memory: all is lost when the machine stops")
            : drive.DriveFormat is "nfs" or "nfs4" or "cifs" or "smb2" or "fuseblk" ? new Finding("Disk", Verdict.Warning, text, "A network's file system may lose what was synced: prefer a disk of this machine")
            : new Finding("Disk", Verdict.Ok, text, "");
    }

    /// <summary>How long the disk takes to keep a small write: that is what appendfsync always costs.</summary>
    private static Finding Sync(string folder)
    {
        string file = Path.Combine(folder, $"doctor-{Environment.ProcessId}.tmp");
        try
        {
            List<double> times = [];
            using (FileStream stream = new(file, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Options = FileOptions.DeleteOnClose, BufferSize = 0 }))
            {
                byte[] page = new byte[4096];
                for (int i = 0; i < Syncs; i++)
                {
                    Stopwatch clock = Stopwatch.StartNew();
                    stream.Write(page);
                    stream.Flush(flushToDisk: true);
                    times.Add(clock.Elapsed.TotalMilliseconds);
                }
            }

            times.Sort();
            string text = string.Create(CultureInfo.InvariantCulture, $"a write is safe after {times[Syncs / 2]:0.0} ms (the slowest of {Syncs}: {times[^1]:0.0} ms)");
            return times[Syncs / 2] > SlowSyncMs
                ? new Finding("Disk sync", Verdict.Warning, text, "Slow for appendfsync always: that answers each write after its sync. everysec does not wait")
                : new Finding("Disk sync", Verdict.Ok, text, "");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new Finding("Disk sync", Verdict.Problem, $"a file cannot be written: {e.Message}", "Look at the rights of the folder, the space and the health of the disk (dmesg)");
        }
    }

    private static Finding Clock(string folder)
    {
        DateTime now = DateTime.UtcNow;
        // Nothing here was written before this program was.
        DateTime newest = File.Exists(Environment.ProcessPath) ? File.GetLastWriteTimeUtc(Environment.ProcessPath) : now;
        if (Directory.Exists(folder))
        {
            newest = Directory.EnumerateFiles(folder).Select(File.GetLastWriteTimeUtc).Append(newest).Max();
        }

        string text = now.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) + " UTC";
        const string advice = "Set the clock: timedatectl set-ntp true. Expiry, versions and signatures go by it";
        if (newest > now + TimeSpan.FromMinutes(1))
        {
            return new Finding("Clock", Verdict.Problem, $"{text}, but there are files of {newest:yyyy-MM-dd HH:mm:ss}", advice);
        }

        return IsSynchronized() switch
        {
            false => new Finding("Clock", Verdict.Warning, $"{text}; the system does not know whether it is right", advice),
            true => new Finding("Clock", Verdict.Ok, $"{text}, kept right by the system", ""),
            null => new Finding("Clock", Verdict.Ok, text, ""),
        };
    }

    private static unsafe bool? IsSynchronized()
    {
        if (!OperatingSystem.IsLinux())
        {
            return null;
        }

        // adjtimex(2): asked for no change it tells the state of the clock; TIME_ERROR: nobody keeps it.
        const int timexBytes = 208, timeError = 5;
        byte* timex = stackalloc byte[timexBytes];
        new Span<byte>(timex, timexBytes).Clear();
        int state = adjtimex(timex);
        return state < 0 ? null : state != timeError;
    }

    private static IEnumerable<Finding> Ports(NodeConfig? config, RunningNode? node)
    {
        if (config is null)
        {
            yield break;
        }

        int port = node?.Port ?? config.Listen.Port;
        if (node is not null)
        {
            yield return NodeClient.Answers(node)
                ? new Finding("Port", Verdict.Ok, port > 0 ? $"{port}, the node answers" : "the node answers on its Unix socket", "")
                : new Finding("Port", Verdict.Problem, $"process {node.Pid} does not answer at {node.Host}:{port}", "Look at its log; a firewall may keep even this machine out");
        }
        else if (port > 0)
        {
            yield return Free("Port", port, config.Listen.Bind);
        }

        if (node is null && config.Settings.Get(ConfigKeys.SwarmKeyFile).Length > 0 && config.Settings.Get(ConfigKeys.SwarmPort) is > 0 and var swarm)
        {
            yield return Free("Swarm port", (int)swarm, config.Listen.Bind);
        }

        yield return Access(config);
    }

    private static Finding Access(NodeConfig config)
    {
        const string what = "Access";
        bool isOpen = config.Listen.Bind.Any(static b => b.TrimStart('-') is not "127.0.0.1" and not "::1" and not "localhost");
        bool letsAnybodyIn;
        try
        {
            letsAnybodyIn = AclUsers.LetsAnybodyIn(config.Settings);
        }
        catch (AclException e)
        {
            return new Finding(what, Verdict.Problem, e.Message, "Change the file of users (aclfile): the next start would refuse it");
        }

        return isOpen && letsAnybodyIn && !config.Settings.Get(ConfigKeys.ProtectedMode)
            ? new Finding(what, Verdict.Problem, "everybody who reaches the port is the default user, who has no password: protected-mode no", "Set requirepass, or protected-mode yes, or bind 127.0.0.1")
            : new Finding(what, Verdict.Ok, !letsAnybodyIn ? "with a password" : isOpen ? "from this machine alone, until a password is set" : "this machine alone", "");
    }

    private static Finding Free(string what, int port, IReadOnlyList<string> bind)
    {
        foreach (string address in bind)
        {
            bool mayMiss = address.StartsWith('-');
            IPAddress? ip = address.TrimStart('-') switch
            {
                "*" or "0.0.0.0" => IPAddress.Any,
                "::*" or "::" => IPAddress.IPv6Any,
                var other => IPAddress.TryParse(other, out IPAddress? parsed) ? parsed : null,
            };
            if (ip is null)
            {
                continue;
            }

            try
            {
                using Socket socket = new(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
                if (ip.AddressFamily == AddressFamily.InterNetworkV6)
                {
                    socket.DualMode = false;
                }

                socket.Bind(new IPEndPoint(ip, port));
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
                return new Finding(what, Verdict.Problem, $"{port} is in use by another program", $"See who: ss -ltnp 'sport = :{port}'. Or choose another: leither run -p PORT");
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AccessDenied)
            {
                return new Finding(what, Verdict.Problem, $"this user may not listen on {port}", "Ports below 1024 are root's: choose another, or give the program the right: setcap cap_net_bind_service=+ep");
            }
            catch (SocketException) when (mayMiss)
            {
                // As the node does at its start.
            }
            catch (SocketException e)
            {
                return new Finding(what, Verdict.Problem, $"{address}:{port}: {e.Message}", "Change bind in the configuration");
            }
        }

        return new Finding(what, Verdict.Ok, $"{port} is free", "");
    }

    private static IEnumerable<Finding> Limits(NodeConfig? config, RunningNode? node)
    {
        long wanted = (config?.Settings.Get(ConfigKeys.MaxClients) ?? ConfigKeys.MaxClients.Default) + Transport.OpenFiles.Reserved;
        if (FirstLine($"/proc/{node?.Pid.ToString(CultureInfo.InvariantCulture) ?? "self"}/limits", "Max open files") is { } files
            && files["Max open files".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries) is [_, var hard, ..])
        {
            bool isEnough = !long.TryParse(hard, CultureInfo.InvariantCulture, out long most) || most >= wanted;
            yield return isEnough
                ? new Finding("Open files", Verdict.Ok, $"{hard} allowed", "")
                : new Finding("Open files", Verdict.Warning, $"{hard} allowed, maxclients wants {wanted}", $"ulimit -n {wanted}, or LimitNOFILE={wanted} in the systemd unit");
        }

        if (FirstLine("/proc/sys/vm/overcommit_memory", "") is "2")
        {
            yield return new Finding("Overcommit", Verdict.Warning, "vm.overcommit_memory is 2: memory that is reserved and not used counts", "sysctl vm.overcommit_memory=0 (there is no fork here, so 1 is not needed)");
        }
        else
        {
            yield return new Finding("Overcommit", Verdict.Ok, "memory may be reserved before it is used", "");
        }

        if (FirstLine("/sys/kernel/mm/transparent_hugepage/enabled", "") is { } pages)
        {
            yield return pages.Contains("[always]", StringComparison.Ordinal)
                ? new Finding("Huge pages", Verdict.Warning, "transparent huge pages are always used: more memory, and pauses when it is given back", "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
                : new Finding("Huge pages", Verdict.Ok, "transparent huge pages only where they are asked for", "");
        }

        long backlog = config?.Settings.Get(ConfigKeys.TcpBacklog) ?? ConfigKeys.TcpBacklog.Default;
        if (long.TryParse(FirstLine("/proc/sys/net/core/somaxconn", ""), CultureInfo.InvariantCulture, out long most2))
        {
            yield return most2 >= backlog
                ? new Finding("Backlog", Verdict.Ok, $"{backlog} connections may wait", "")
                : new Finding("Backlog", Verdict.Warning, $"{most2} connections may wait, tcp-backlog wants {backlog}", $"sysctl net.core.somaxconn={backlog}");
        }

        long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        long limit = config is null ? 0 : config.Settings.Get(ConfigKeys.MaxMemory);
        yield return limit > memory * 9 / 10
            ? new Finding("Memory", Verdict.Warning, $"maxmemory is {MimeiOutput.Bytes(limit)} of the {MimeiOutput.Bytes(memory)} that there are", "Leave a tenth or more to the rest of the machine")
            : new Finding("Memory", Verdict.Ok, $"{MimeiOutput.Bytes(memory)} for this node", "");
    }

    /// <summary>What the next start would find: each MiMei is recovered and checked in memory, with its files as they are.</summary>
    private static IEnumerable<Finding> Stopped(string folder, NodeConfig config, bool isHeld)
    {
        if (isHeld)
        {
            yield return new Finding(Whole, Verdict.Warning, "not looked at: another process uses the folder, and does not say where it answers", "It may be starting, stopping or importing. Try again: leither doctor");
            yield break;
        }

        if (!Directory.Exists(folder))
        {
            yield break;
        }

        List<Finding> findings = [];
        try
        {
            // Nobody starts on it meanwhile.
            using DataFolder held = DataFolder.Open(folder);
            using MimeiFolders? mimeis = MimeiFolders.Look(folder, config, NodeLog.None);
            findings.AddRange(mimeis is null ? [new Finding(Whole, Verdict.Ok, "there are no data yet", "")] : Integrity(mimeis));
        }
        catch (Exception e) when (e is DataFolderException or IOException or UnauthorizedAccessException)
        {
            findings.Add(new Finding(Whole, Verdict.Problem, e.Message.Split('\n')[0], "The next start would refuse it as well. Bring it from a copy, or run this as the user of the node"));
        }

        foreach (Finding finding in findings)
        {
            yield return finding;
        }
    }

    private static List<Finding> Integrity(MimeiFolders mimeis)
    {
        long blocks = 0, bytes = 0;
        int count = 0;
        List<Finding> wrong = [];
        foreach (MimeiRecord record in mimeis.List())
        {
            count++;
            try
            {
                using Mimei mimei = mimeis.Open(record.Id);
                (long inIt, long bytesInIt, IReadOnlyList<string> problems) = mimei.CheckAll();
                blocks += inIt;
                bytes += bytesInIt;
                wrong.AddRange(problems.Select(p => new Finding(Whole, Verdict.Problem, $"{record.Id}: {p}", Mend)));
                mimei.Log?.Close();
            }
            catch (Exception e) when (e is IOException or MimeiException or DataFolderException or MalformedBlockException)
            {
                wrong.Add(new Finding(Whole, Verdict.Problem, $"{record.Id}: {e.Message.Split('\n')[0]}", Mend));
            }
        }

        return wrong.Count > 0 ? wrong : [new Finding(Whole, Verdict.Ok, $"{count} MiMei, {MimeiOutput.Count(blocks, "block")} ({MimeiOutput.Bytes(bytes)}) of versions, and the log: all whole, as the next start will find it", "")];
    }

    private const string Whole = "Integrity", Mend = "Bring the MiMei from a copy or another node: leither mimei import, or leither mimei sync";

    /// <summary>What a node that runs tells: whether all that it holds is whole, and who reaches it.</summary>
    private static IEnumerable<Finding> Running(NodePlace place)
    {
        List<Finding> findings = [];
        try
        {
            using MimeiSession session = MimeiSession.Connect(place);
            findings.AddRange(Integrity(session, Whole));
            findings.Add(Reachability(session));
            Dictionary<string, string> state = Info(session, "persistence");
            if (state.GetValueOrDefault("aof_last_write_status", "ok") != "ok" || state.GetValueOrDefault("rdb_last_bgsave_status", "ok") != "ok")
            {
                findings.Add(new Finding("Last write", Verdict.Problem, "the last write of the log or of a checkpoint failed", "Look at the node's log, the space and the health of the disk"));
            }
        }
        catch (CommandLineException e)
        {
            string[] said = e.Message.Split('\n', 2);
            string advice = said.Length > 1 ? said[1]
                : e.Message.StartsWith("NOPERM", StringComparison.Ordinal) ? $"Ask as a user who may: --user NAME, with the password in the environment variable {NodeClient.PasswordVariable}"
                : "Look at its log";
            findings.Add(new Finding(Whole, Verdict.Problem, $"the node cannot be asked: {said[0]}", advice));
        }

        foreach (Finding finding in findings)
        {
            yield return finding;
        }
    }

    private static IEnumerable<Finding> Integrity(MimeiSession session, string what)
    {
        long blocks = 0, bytes = 0;
        int mimeis = 0;
        List<string> wrong = [];
        foreach (RespReply one in session.Call("MIMEI", "LIST").Elements)
        {
            string mid = Map(one)["mid"].Text;
            using MimeiSession bound = MimeiSession.Connect(session.Place);
            bound.Open(mid);
            Dictionary<string, RespReply> report = Map(bound.Call("MIMEI", "CHECK"));
            mimeis++;
            blocks += Number(report, "blocks");
            bytes += Number(report, "bytes");
            if (report.TryGetValue("problems", out RespReply? problems))
            {
                wrong.AddRange(problems.Elements.Select(p => $"{mid}: {p.Text}"));
            }
        }

        if (wrong.Count == 0)
        {
            yield return new Finding(what, Verdict.Ok, $"{mimeis} MiMei, {MimeiOutput.Count(blocks, "block")} ({MimeiOutput.Bytes(bytes)}) of versions and the log: all whole", "");
        }

        foreach (string problem in wrong)
        {
            yield return new Finding(what, Verdict.Problem, problem, Mend);
        }
    }

    private static Finding Reachability(MimeiSession session)
    {
        const string what = "Reachability";
        Dictionary<string, string> info = Info(session, "network");
        if (info.GetValueOrDefault("network_on") != "1")
        {
            return new Finding(what, Verdict.Ok, "the node is no peer of others (swarm no)", "");
        }

        IReadOnlyList<RespReply> addresses = session.Call("SWARM", "LOCAL").Elements;
        bool isPublic = addresses.Any(static a => a.Text.Split('/') is [_, "ip4" or "ip6", var ip, ..] && IPAddress.TryParse(ip, out IPAddress? parsed) && IsPublic(parsed));
        string peers = $"peers: {info.GetValueOrDefault("connected_peers", "0")} connected, {info.GetValueOrDefault("known_peers", "0")} known";
        return info.GetValueOrDefault("reachability", "") == "public"
            ? new Finding(what, Verdict.Ok, $"from everywhere, as peers have tried; {peers}", "")
            : isPublic ? new Finding(what, Verdict.Ok, $"at a public address, unless a firewall is before it; {peers}", "")
            : new Finding(what, Verdict.Ok, $"from the local network; {peers}", "For peers elsewhere: forward the port in the router, and tell it: CONFIG SET swarm-announce /ip4/ADDRESS/tcp/PORT");
    }

    private static bool IsPublic(IPAddress address) => address.GetAddressBytes() switch
    {
        [10, ..] or [127, ..] or [192, 168, ..] or [169, 254, ..] or [0, _, _, _] => false,
        [172, >= 16 and <= 31, _, _] or [100, >= 64 and <= 127, _, _] => false,
        // Addresses of documentation, of measurements, and of groups.
        [192, 0, 0 or 2, _] or [198, 51, 100, _] or [203, 0, 113, _] or [198, 18 or 19, _, _] or [>= 224, _, _, _] => false,
        { Length: 4 } => true,
        [>= 0x20 and <= 0x3f, ..] => true,
        _ => false,
    };

    private static Dictionary<string, string> Info(MimeiSession session, string section) => session.Call("INFO", section).Text
        .Split("\r\n").Where(static l => l.Contains(':', StringComparison.Ordinal)).ToDictionary(static l => l[..l.IndexOf(':')], static l => l[(l.IndexOf(':') + 1)..], StringComparer.Ordinal);

    private static Dictionary<string, RespReply> Map(RespReply map) => map.Elements.Chunk(2).ToDictionary(static p => p[0].Text, static p => p[1], StringComparer.Ordinal);

    private static long Number(Dictionary<string, RespReply> map, string name) => map.TryGetValue(name, out RespReply? value) ? value.Integer : 0;

    private static string? FirstLine(string file, string beginning)
    {
        try
        {
            return File.ReadLines(file).FirstOrDefault(l => l.StartsWith(beginning, StringComparison.Ordinal));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A system that does not tell has no such limit to warn of.
            return null;
        }
    }

    [DllImport("libc")]
    private static extern int access([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int mode);

    [DllImport("libc")]
    private static extern unsafe int adjtimex(byte* timex);
}
