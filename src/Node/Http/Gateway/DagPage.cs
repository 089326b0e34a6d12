// A block of DAG-CBOR or DAG-JSON as a page: its value, with links to follow.

using System.Text;
using System.Text.Json;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.DagJson;
using Leither.Ipfs.Multiformats;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http.Gateway;

/// <summary>Shows data to people.</summary>
internal static class DagPage
{
    private static readonly JsonDocumentOptions _options = new() { MaxDepth = DagCborReader.MaxDepth + 2 };

    /// <summary>Answers a request for a block that a person looks at.</summary>
    public static async Task SendAsync(GatewayCall call, ReadOnlyMemory<byte> block)
    {
        HttpResponse response = call.Context.Response;
        response.Headers.ContentSecurityPolicy = Page.Policy;
        if (call.SetHeaders($"\"DagIndex-{Page.Version}_CID-{call.Cid}\"", isPage: true)) return;
        byte[] json = DagJson.FromBlock(Multicodec.DagCbor, call.Cid.Codec == Multicodec.DagCbor ? block.Span : DagJson.ToCbor(block));
        var html = new StringBuilder();
        string format = call.Cid.Codec == Multicodec.DagCbor ? "dag-cbor" : "dag-json";
        Page.Begin(html, call.Target.ContentPath);
        html.Append("<h1>");
        Page.AppendPath(html, call.Target, call.Context.Request.Host.Value ?? "");
        html.Append($"</h1>\n<p>{call.Cid}</p>\n<p>{format}, {Page.Size((ulong)block.Length)}</p>\n");
        html.Append($"<nav><a href=\"?format={format}&amp;download=true\">Download as {format}</a><a href=\"?format=raw\">Download the block</a><a href=\"?format=car\">Download as CAR</a></nav>\n<pre>");
        using (JsonDocument document = JsonDocument.Parse(json, _options)) Append(html, document.RootElement, 0);
        html.Append("</pre>\n");
        Page.End(html);
        byte[] page = Encoding.UTF8.GetBytes(html.ToString());
        response.ContentType = "text/html; charset=utf-8";
        response.ContentLength = page.Length;
        if (!call.IsHead) await response.BodyWriter.WriteAsync(page, call.Context.RequestAborted);
    }

    private static void Append(StringBuilder html, JsonElement value, int depth)
    {
        if (value.ValueKind is not (JsonValueKind.Object or JsonValueKind.Array))
        {
            html.Append(Page.Encode(value.GetRawText()));
            return;
        }

        bool isObject = value.ValueKind == JsonValueKind.Object;
        if (isObject && value.TryGetProperty("/", out JsonElement link) && link.ValueKind == JsonValueKind.String && Cid.TryParse(link.GetString(), out Cid cid))
        {
            html.Append($"<a href=\"/ipfs/{cid}\">{cid}</a>");
            return;
        }

        html.Append(isObject ? '{' : '[');
        bool any = false;
        if (isObject)
        {
            foreach (JsonProperty property in value.EnumerateObject())
            {
                Break(property.Name);
                Append(html, property.Value, depth + 1);
            }
        }
        else
        {
            foreach (JsonElement element in value.EnumerateArray())
            {
                Break(null);
                Append(html, element, depth + 1);
            }
        }

        if (any) html.Append('\n').Append(' ', 2 * depth);
        html.Append(isObject ? '}' : ']');

        void Break(string? name)
        {
            html.Append(any ? ",\n" : "\n").Append(' ', Math.Min(2 * (depth + 1), 200));
            any = true;
            if (name is not null) html.Append(Page.Encode($"\"{JsonEncodedText.Encode(name)}\"")).Append(": ");
        }
    }
}
