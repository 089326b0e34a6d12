using System.Globalization;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Leither.Node.Http;

/// <summary>
/// What HTTP shows: <c>/</c>, a page for people, and <c>/health</c>, for machines. Only to clients on this machine, and only
/// under a name of this machine: a page elsewhere on the web must not read it through a name that it points here.
/// </summary>
internal sealed class StatusApplication(INodeStatus status) : IHttpApplication<HttpContext>
{
    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    public Task ProcessRequestAsync(HttpContext context)
    {
        HttpRequest request = context.Request;
        if (!IsLocal(context))
        {
            return Answer(context, StatusCodes.Status403Forbidden, "text/plain; charset=utf-8", "This page is for clients on the node's own machine.\n");
        }

        if (!HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method))
        {
            context.Response.Headers.Allow = "GET, HEAD";
            return Answer(context, StatusCodes.Status405MethodNotAllowed, "text/plain; charset=utf-8", "Only GET and HEAD are answered here.\n");
        }

        return request.Path.Value switch
        {
            "/" => StatusPage(context),
            "/health" => Answer(context, StatusCodes.Status200OK, "application/json", "{\"status\":\"ok\"}\n"),
            _ => Answer(context, StatusCodes.Status404NotFound, "text/plain; charset=utf-8", "There is nothing here.\n"),
        };
    }

    private static bool IsLocal(HttpContext context)
    {
        // A Unix socket has no address, and is local.
        IPAddress? peer = context.Connection.RemoteIpAddress;
        string host = context.Request.Host.Host.Trim('[', ']');
        return (peer is null || IPAddress.IsLoopback(peer))
            && (host is "" or "localhost" || (IPAddress.TryParse(host, out IPAddress? named) && IPAddress.IsLoopback(named)));
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
        await Answer(context, StatusCodes.Status200OK, "text/html; charset=utf-8", page);
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

    private static Task Answer(HttpContext context, int code, string type, string text)
    {
        HttpResponse response = context.Response;
        byte[] body = Encoding.UTF8.GetBytes(text);
        response.StatusCode = code;
        response.ContentType = type;
        response.ContentLength = body.Length;
        response.Headers.CacheControl = "no-store";
        response.Headers.XContentTypeOptions = "nosniff";
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(body).AsTask();
    }
}
