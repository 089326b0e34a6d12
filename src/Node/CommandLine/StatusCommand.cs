using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Leither.Resp;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Leither.Node.CommandLine;

/// <summary><c>leither status</c>: what a node does at the moment: clients, commands, MiMei with their versions and followers, peers, disk.</summary>
internal static class StatusCommand
{
    /// <summary>MiMei beyond these are counted only: each takes a question of its own.</summary>
    private const int MostMimeis = 100;

    private static readonly TimeSpan _every = TimeSpan.FromSeconds(1);

    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer);
        Option<bool> once = new("--once") { Description = "Print it once; so is done where the output is no terminal" };
        MimeiVerb status = new("status", "", "Shows what the node does, again each second until Ctrl-C.")
        {
            Of = "",
            Details = "MiMei: those that the node has, with their keys, versions (and the newest one), those who follow them, and what they take on the disk.",
            Json = """
                {"version": text, "process": number, "port": number, "uptime_s": number, "node": text, "peer": text, "clients": number, "blocked_clients": number, "commands_per_s": number,
                 "in_kbps": number, "out_kbps": number, "keys": number, "memory": bytes, "resident": bytes, "peers": number, "replicas": number, "data": path, "disk": bytes, "free": bytes,
                 "mimeis": [{"mid": text, "name": text, "open": boolean, "keys": number, "versions": number, "last": number, "followers": number, "disk": bytes}]}
                followers, data and free: where the node tells
                """,
            Examples = ["status", "status --once", "status --json --data /srv/leither"],
        };
        foreach (Option option in (Option[])[options.Data, options.Port, options.User, options.Json, once])
        {
            status.Options.Add(option);
        }

        return status.Runs(options, (result, session, output) =>
        {
            _ = status.Words(result, 0, 0);
            if (output.AsJson)
            {
                MimeiOutput.Json(Read(session).ToJson());
            }
            else if (result.GetValue(once) || !output.IsTerminal)
            {
                output.Write(new View(Read(session)));
            }
            else
            {
                output.Watch(() => new View(Read(session)), _every);
            }
        });
    }

    private static State Read(MimeiSession session)
    {
        Dictionary<string, string> info = new(StringComparer.Ordinal);
        foreach (string line in session.Call("INFO", "everything").Text.Split("\r\n"))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon > 0)
            {
                info[line[..colon]] = line[(colon + 1)..];
            }
        }

        if (!info.ContainsKey("node_id"))
        {
            foreach (string line in session.Call("INFO", "network").Text.Split("\r\n"))
            {
                int colon = line.IndexOf(':', StringComparison.Ordinal);
                if (colon > 0)
                {
                    info[line[..colon]] = line[(colon + 1)..];
                }
            }
        }

        List<MimeiState> mimeis = [];
        IReadOnlyList<RespReply> all = session.Call("MIMEI", "LIST").Elements;
        foreach (RespReply one in all.Take(MostMimeis))
        {
            Dictionary<string, RespReply> fields = Map(one);
            string mid = fields["mid"].Text;
            IReadOnlyList<RespReply> versions = Ask(session, "MIMEI", "VERSIONS", mid)?.Elements ?? [];
            mimeis.Add(new MimeiState(
                mid,
                fields["name"].Text,
                fields["open"].Integer != 0,
                fields["keys"].Integer,
                versions.Count,
                versions.Count == 0 ? 0 : Map(versions[0])["version"].Integer,
                Ask(session, "MIMEI", "FOLLOWERS", mid)?.Elements.Count,
                fields["disk"].Integer));
        }

        RespReply? folder = Ask(session, "CONFIG", "GET", "dir");
        return new State(info, mimeis, all.Count, folder is { Elements.Count: 2 } ? folder[1].Text : null);
    }

    /// <summary>What a node tells, or null where it does not tell this user, or knows no such thing.</summary>
    private static RespReply? Ask(MimeiSession session, params string[] words)
    {
        try
        {
            return session.Call(words);
        }
        catch (CommandLineException)
        {
            return null;
        }
    }

    private static Dictionary<string, RespReply> Map(RespReply map) => map.Elements.Chunk(2).ToDictionary(static p => p[0].Text, static p => p[1], StringComparer.Ordinal);

    /// <summary>What is shown, as wide as the console is at this moment.</summary>
    private sealed class View(State state) : IRenderable
    {
        public Measurement Measure(RenderOptions options, int maxWidth) => new(Math.Min(maxWidth, 1), maxWidth);

        public IEnumerable<Segment> Render(RenderOptions options, int maxWidth) => ((IRenderable)Draw(state, maxWidth)).Render(options, maxWidth);
    }

    internal static Rows Draw(State state, int width)
    {
        (string, string)[] facts =
        [
            ("Node", state.Text("node_id")), ("Version", $"{(state.Version.Length > 0 ? state.Version : "not told")}, up {Time(state.Number("uptime_in_seconds"))}"),
            ("Port", state.Text("tcp_port")), ("Process", state.Text("process_id")),
            ("Clients", Blocked(state)), ("Commands/s", MimeiOutput.Number(state.Number("instantaneous_ops_per_sec"))),
            ("Keys", MimeiOutput.Number(state.Keys)), ("In, out", $"{state.Text("instantaneous_input_kbps")}, {state.Text("instantaneous_output_kbps")} kB/s"),
            ("Memory", $"{MimeiOutput.Bytes(state.Number("used_memory"))} of data"), ("Resident", MimeiOutput.Bytes(state.Number("used_memory_rss"))),
            ("Peers", Peers(state)), ("Replicas", state.Text("connected_slaves")),
            ("Disk", $"{MimeiOutput.Bytes(state.Disk)}{(state.Free is { } free ? $", {MimeiOutput.Bytes(free)} free" : "")}"), ("Data", state.Folder ?? ""),
        ];
        int[] widths = [.. Enumerable.Range(0, 2).Select(side => facts.Where((_, i) => i % 2 == side).Max(static f => f.Item1.Length + 2 + f.Item2.Length))];
        bool isPaired = widths[0] + 4 + widths[1] <= width;
        Grid node = new();
        for (int i = 0; i < (isPaired ? 4 : 2); i++)
        {
            node.AddColumn(new GridColumn { Padding = new Padding(0, 0, i == 1 && isPaired ? 4 : i % 2 == 0 ? 2 : 0, 0), NoWrap = i % 2 == 0 });
        }

        foreach ((string, string)[] row in facts.Chunk(isPaired ? 2 : 1))
        {
            node.AddRow([.. row.SelectMany(static f => (IRenderable[])[Title(f.Item1), Text(f.Item2)])]);
        }

        List<IRenderable> rows = [node, Text(""), Mimeis(state, width)];
        if (state.Count > state.Mimeis.Count)
        {
            rows.Add(Text($"and {MimeiOutput.Number(state.Count - state.Mimeis.Count)} more: leither mimei list"));
        }

        return new Rows(rows);
    }

    /// <summary>The MiMei, in as many columns as there is room for: long names and ids are cut first, then columns go that others tell of, then the id.</summary>
    private static Table Mimeis(State state, int width)
    {
        const int shortId = 6, padding = 2, usualName = 24, shortName = 12, leastName = 8;
        bool hasFollowers = state.Mimeis.Any(static m => m.Followers is not null);
        List<(string Title, bool IsNumber, string[] Cells)> columns =
        [
            ("MiMei", false, [.. state.Mimeis.Select(static m => m.Name)]),
            ("Id", false, [.. state.Mimeis.Select(static m => m.Mid)]),
            ("Keys", true, [.. state.Mimeis.Select(static m => m.Open ? MimeiOutput.Number(m.Keys) : "unloaded")]),
            ("Versions", true, [.. state.Mimeis.Select(static m => MimeiOutput.Number(m.Versions))]),
            ("Newest", true, [.. state.Mimeis.Select(static m => m.Last == 0 ? "" : MimeiOutput.Number(m.Last))]),
            ("Followers", true, [.. state.Mimeis.Select(static m => m.Followers is { } followers ? MimeiOutput.Number(followers) : "")]),
            ("Disk", true, [.. state.Mimeis.Select(static m => MimeiOutput.Bytes(m.Disk))]),
        ];
        if (!hasFollowers)
        {
            columns.RemoveAll(static c => c.Title == "Followers");
        }

        int Width((string Title, bool IsNumber, string[] Cells) column) => column.Cells.Select(static c => c.Length).Append(column.Title.Length).Max();
        int Missing() => columns.Sum(Width) + (padding * (columns.Count - 1)) - width;
        void CutNames(int least)
        {
            if (Missing() is > 0 and var missing)
            {
                int room = Math.Max(least, Width(columns[0]) - missing);
                columns[0] = columns[0] with { Cells = [.. columns[0].Cells.Select(c => c.Length <= room ? c : c[..(room - 1)] + "…")] };
            }
        }

        void Drop(params ReadOnlySpan<string> titles)
        {
            foreach (string title in titles)
            {
                if (Missing() > 0)
                {
                    columns.RemoveAll(c => c.Title == title);
                }
            }
        }

        CutNames(usualName);
        if (Missing() > 0)
        {
            columns[1] = ("Id", false, [.. state.Mimeis.Select(static m => m.Mid[..shortId] + "…")]);
        }

        Drop("Newest", "Followers");
        CutNames(shortName);
        Drop("Id", "Disk");
        CutNames(leastName);

        Table table = new() { Border = TableBorder.None };
        for (int i = 0; i < columns.Count; i++)
        {
            TableColumn column = new(Title(columns[i].Title)) { NoWrap = true, Padding = new Padding(0, 0, i == columns.Count - 1 ? 0 : padding, 0) };
            table.AddColumn(columns[i].IsNumber ? column.RightAligned() : column);
        }

        for (int row = 0; row < state.Mimeis.Count; row++)
        {
            table.AddRow(columns.Select(c => (IRenderable)Text(c.Cells[row])));
        }

        return table;
    }

    private static Text Text(string text) => new(text);

    private static Text Title(string text) => new(text, new Style(decoration: Decoration.Bold));

    private static string Blocked(State state) => state.Number("blocked_clients") is > 0 and var blocked
        ? $"{MimeiOutput.Number(state.Number("connected_clients"))}, {MimeiOutput.Number(blocked)} blocked"
        : MimeiOutput.Number(state.Number("connected_clients"));

    private static string Peers(State state) => state.Text("network_on") == "1"
        ? $"{MimeiOutput.Number(state.Number("connected_peers"))} connected, {MimeiOutput.Number(state.Number("known_peers"))} known, DHT {state.Text("dht_mode")}"
        : "off";

    private static string Time(long seconds)
    {
        TimeSpan time = TimeSpan.FromSeconds(seconds);
        return time.Days > 0 ? string.Create(CultureInfo.InvariantCulture, $"{time.Days} d {time.Hours} h")
            : time.Hours > 0 ? string.Create(CultureInfo.InvariantCulture, $"{time.Hours} h {time.Minutes} min")
            : time.Minutes > 0 ? string.Create(CultureInfo.InvariantCulture, $"{time.Minutes} min {time.Seconds} s")
            : string.Create(CultureInfo.InvariantCulture, $"{time.Seconds} s");
    }

    internal sealed record MimeiState(string Mid, string Name, bool Open, long Keys, int Versions, long Last, int? Followers, long Disk);

    /// <summary>What a node tells of itself at one moment.</summary>
    internal sealed class State(Dictionary<string, string> info, List<MimeiState> mimeis, int count, string? folder)
    {
        public List<MimeiState> Mimeis => mimeis;

        public int Count => count;

        public string? Folder => folder;

        /// <summary>That of the program that the node runs, which may be another than this one; empty where it does not tell.</summary>
        public string Version => Text("leither_version");

        public long Keys => mimeis.Sum(static m => m.Keys);

        public long Disk => mimeis.Sum(static m => m.Disk);

        public long? Free { get; } = folder is not null && Directory.Exists(folder) ? new DriveInfo(folder).AvailableFreeSpace : null;

        public string Text(string name) => info.GetValueOrDefault(name, "");

        public long Number(string name) => long.TryParse(Text(name), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) ? number : 0;

        public JsonObject ToJson()
        {
            JsonObject json = new()
            {
                ["version"] = Version,
                ["process"] = Number("process_id"),
                ["port"] = Number("tcp_port"),
                ["uptime_s"] = Number("uptime_in_seconds"),
                ["node"] = Text("node_id"),
                ["peer"] = Text("peer_id"),
                ["clients"] = Number("connected_clients"),
                ["blocked_clients"] = Number("blocked_clients"),
                ["commands_per_s"] = Number("instantaneous_ops_per_sec"),
                ["in_kbps"] = Fraction("instantaneous_input_kbps"),
                ["out_kbps"] = Fraction("instantaneous_output_kbps"),
                ["keys"] = Keys,
                ["memory"] = Number("used_memory"),
                ["resident"] = Number("used_memory_rss"),
                ["peers"] = Number("connected_peers"),
                ["replicas"] = Number("connected_slaves"),
                ["disk"] = Disk,
            };
            if (folder is not null)
            {
                json["data"] = folder;
            }

            if (Free is { } free)
            {
                json["free"] = free;
            }

            JsonArray list = [];
            foreach (MimeiState m in mimeis)
            {
                JsonObject one = new()
                {
                    ["mid"] = m.Mid,
                    ["name"] = m.Name,
                    ["open"] = m.Open,
                    ["keys"] = m.Keys,
                    ["versions"] = m.Versions,
                    ["last"] = m.Last,
                    ["disk"] = m.Disk,
                };
                if (m.Followers is { } followers)
                {
                    one["followers"] = followers;
                }

                list.Add((JsonNode)one);
            }

            json["mimeis"] = list;
            return json;
        }

        private double Fraction(string name) => double.TryParse(Text(name), NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : 0;
    }
}
