using System.Text.Json.Nodes;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>A map in a reply.</summary>
internal sealed class Fields(RespReply map)
{
    private readonly Dictionary<string, RespReply> _values =
        map.Elements.Chunk(2).ToDictionary(static pair => pair[0].Text, static pair => pair[1], StringComparer.Ordinal);

    public string Text(string name) => _values[name].Text;

    public long Number(string name) => _values[name].Integer;

    public bool Has(string name) => _values.ContainsKey(name);

    public long? NumberOrNull(string name) => _values[name] is { IsNull: false } number ? number.Integer : null;

    public RespReply Reply(string name) => _values[name];

    public bool Flag(string name) => _values[name].Integer != 0;

    public string[] Lines(string name) => [.. _values[name].Elements.Select(static e => e.Text)];
}

/// <summary>A version as MIMEI VERSIONS tells of it.</summary>
internal sealed record VersionLine(long Number, string Cid, string State, DateTimeOffset Created, string Memo, bool Released)
{
    /// <summary>How large it is; null: that was not asked.</summary>
    public (long Keys, long? Bytes, long? Added)? Size { get; init; }

    public static VersionLine[] Of(RespReply reply) => [.. reply.Elements.Select(static e =>
    {
        Fields fields = new(e);
        return new VersionLine(
            fields.Number("version"), fields.Text("cid"), fields.Text("state"), DateTimeOffset.FromUnixTimeMilliseconds(fields.Number("created")), fields.Text("memo"),
            fields.Text("released") == "yes")
        {
            Size = fields.Has("keys") ? (fields.Number("keys"), fields.NumberOrNull("size"), fields.NumberOrNull("added")) : null,
        };
    })];

    public void AddTo(JsonObject json)
    {
        json["version"] = Number;
        json["cid"] = Cid;
        json["state"] = State;
        json["created"] = MimeiOutput.UtcTime(Created);
        json["memo"] = Memo;
        json["released"] = Released;
        if (Size is { } size)
        {
            json["keys"] = size.Keys;
            json["size"] = size.Bytes;
            json["added"] = size.Added;
        }
    }
}
