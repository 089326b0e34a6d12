using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http;

/// <summary>The node's own pages: <c>/</c>, for people, and <c>/health</c>, for machines. Who may see them was decided before.</summary>
internal sealed class StatusPages(INodeStatus status)
{
    /// <summary>They load nothing, and stand in no frame.</summary>
    private const string Policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    public Task AnswerAsync(HttpContext context, string path)
    {
        HttpRequest request = context.Request;
        context.Response.Headers.ContentSecurityPolicy = Policy;
        context.Response.Headers["Cross-Origin-Resource-Policy"] = "same-origin";
        context.Response.Headers["Cross-Origin-Opener-Policy"] = "same-origin";
        if (!HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method))
        {
            context.Response.Headers.Allow = "GET, HEAD";
            return PlainText.AnswerAsync(context, StatusCodes.Status405MethodNotAllowed, "Only GET and HEAD are answered here.");
        }

        return path switch
        {
            "/" => StatusPage(context),
            "/health" => PlainText.AnswerAsync(context, StatusCodes.Status200OK, "application/json", "{\"status\":\"ok\"}\n"),
            _ => PlainText.AnswerAsync(context, StatusCodes.Status404NotFound, "There is nothing here."),
        };
    }

    private async Task StatusPage(HttpContext context)
    {
        NodeStatus now = await status.ReadAsync(context.RequestAborted);
        CultureInfo english = CultureInfo.InvariantCulture;
        string page = $$"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>Leither node</title>
            <style>
            :root { color-scheme: light dark }
            body { font: 16px/1.6 system-ui, sans-serif; max-width: 36rem; margin: 12vh auto; padding: 0 1.5rem }
            h1 { font-size: 1.6rem; margin: 0 }
            p { margin: .2rem 0 1.6rem; opacity: .7 }
            dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 2rem; margin: 0 }
            dt { opacity: .7 }
            dd { margin: 0; font-variant-numeric: tabular-nums }
            code { font-family: ui-monospace, monospace }
            footer { margin-top: 2rem; opacity: .7 }
            </style>
            </head>
            <body>
            <h1>Leither</h1>
            <p>This node is running.</p>
            <dl>
            <dt>Version</dt><dd>{{WebUtility.HtmlEncode(now.Version)}}</dd>
            <dt>Up for</dt><dd>{{Show(now.Uptime)}}</dd>
            <dt>Connected clients</dt><dd>{{now.ConnectedClients.ToString("N0", english)}}</dd>
            <dt>Keys</dt><dd>{{now.Keys.ToString("N0", english)}}</dd>
            <dt>Memory for data</dt><dd>{{ShowBytes(now.UsedMemoryBytes)}}</dd>
            </dl>
            <footer>Any Redis client can use it: <code>redis-cli -p {{context.Connection.LocalPort}}</code></footer>
            </body>
            </html>

            """;
        await PlainText.AnswerAsync(context, StatusCodes.Status200OK, "text/html; charset=utf-8", page);
    }

    private static string Show(TimeSpan time) => time switch
    {
        { TotalDays: >= 1 } => $"{time.Days} d {time.Hours} h",
        { TotalHours: >= 1 } => $"{time.Hours} h {time.Minutes} min",
        { TotalMinutes: >= 1 } => $"{time.Minutes} min {time.Seconds} s",
        _ => $"{time.Seconds} s",
    };

    private static string ShowBytes(long bytes) => bytes switch
    {
        >= 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.0} GiB"),
        >= 1L << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0.0} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.0} KiB"),
    };
}
