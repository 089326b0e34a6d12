// Who answers an HTTP request: content, or the node's own pages.
//
// Both are at the same address, and content is made by anyone. What keeps them apart:
//  - Only clients on this machine are answered, and only under names of this machine: a page elsewhere on the web must not read through a name that it points here.
//  - Documents of content are in an origin of their own (IpfsGateway), so a script in one asks as a stranger.
//  - The node's own pages answer no stranger's request: neither one with an Origin that is not theirs, nor one that a browser says was made by another site. Following a
//    link to them is allowed, and they stand in no frame.
//  - The files of a MiMei that everyone may read, for which the node's owner chose the name of a host, are shown under that name to whoever comes, and nothing else is.
//    They are in an origin of their own, as a name of this machine never is among those.
//  - A browser that asks for content at "localhost" is sent to CID.ipfs.localhost, which is an origin for that content alone.

using System.Diagnostics;
using System.Net;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb;
using Leither.Node.Http.Gateway;
using Leither.Node.Http.Page;
using Leither.Node.Logging;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Leither.Node.Http;

/// <summary>The application that Kestrel runs.</summary>
internal sealed class NodeApplication(INodeStatus status, LocalClients? clients, IpfsGateway? content, ShownFiles? shown, NodeLog log) : IHttpApplication<HttpContext>
{
    private readonly StatusPages _pages = new(status, clients);

    public HttpContext CreateContext(IFeatureCollection contextFeatures)
    {
        // A connection asks for one thing after the other: what it needs for that is made once.
        if (contextFeatures is not IHostContextContainer<HttpContext> container) return new DefaultHttpContext(contextFeatures);
        if (container.HostContext is not DefaultHttpContext context) container.HostContext = context = new DefaultHttpContext();
        context.Initialize(contextFeatures);
        return context;
    }

    public void DisposeContext(HttpContext context, Exception? exception)
    {
        // What clients do wrong was answered; this is a mistake of ours, of which they get a status alone.
        if (exception is not (null or OperationCanceledException)) log.Warning($"An HTTP request failed: {exception}");
        ((DefaultHttpContext)context).Uninitialize();
    }

    public Task ProcessRequestAsync(HttpContext context)
    {
        long began = Stopwatch.GetTimestamp();
        string host = context.Request.Host.Host;
        string path = GatewayTarget.PathOf(context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget);
        if (content is not null && shown?.Has(host) == true) return TimeAsync(began, ServeShownAsync(context, host, path));
        if (!IsLocalPeer(context)) return PlainText.AnswerAsync(context, StatusCodes.Status403Forbidden, "This page is for clients on the node's own machine.");
        if (content is not null && TryReadSubdomain(host, out bool isIpns, out string root)) return TimeAsync(began, ServeSubdomain(context, isIpns, root, path));
        if (!IsLocalName(host)) return PlainText.AnswerAsync(context, StatusCodes.Status403Forbidden, "This page is for clients on the node's own machine, under a name of it: localhost.");
        if (content is not null && GatewayTarget.IsContent(path))
        {
            return TryIsolate(context, host, path) ? Task.CompletedTask : TimeAsync(began, content.ServeAsync(context, null, "", path));
        }

        return IsStranger(context.Request) ? PlainText.AnswerAsync(context, StatusCodes.Status403Forbidden, "The node's own pages are not for other pages.") : _pages.AnswerAsync(context, path);
    }

    /// <summary>Tells how long a request took, with what was done of it before it first waited.</summary>
    private async Task TimeAsync(long began, Task serving)
    {
        try
        {
            await serving.ConfigureAwait(false);
        }
        finally
        {
            status.NoteRequest(Stopwatch.GetElapsedTime(began));
        }
    }

    /// <summary>Whether a request was made by a page that is not the node's own.</summary>
    internal static bool IsStranger(HttpRequest request)
    {
        StringValues origin = request.Headers.Origin;
        if (origin.Count > 0 && !(Uri.TryCreate(origin.ToString(), UriKind.Absolute, out Uri? uri) && uri.Authority.Equals(request.Host.Value, StringComparison.OrdinalIgnoreCase))) return true;
        if (!request.Headers.TryGetValue("Sec-Fetch-Site", out StringValues site) || site.ToString() is "same-origin" or "none") return false;

        // Following a link shows the page to a person, and nothing of it to who made the link.
        return !(HttpMethods.IsGet(request.Method) && request.Headers["Sec-Fetch-Mode"] == "navigate" && request.Headers["Sec-Fetch-Dest"] == "document");
    }

    private static bool IsLocalPeer(HttpContext context)
    {
        // A Unix socket has no address, and is local.
        IPAddress? peer = context.Connection.RemoteIpAddress;
        return peer is null || IPAddress.IsLoopback(peer);
    }

    private static bool IsLocalName(string host) =>
        host is "" or "localhost" or "127.0.0.1" || (IPAddress.TryParse(host.AsSpan().Trim("[]"), out IPAddress? named) && IPAddress.IsLoopback(named));

    /// <summary>Reads "CID.ipfs.localhost" and "NAME.ipns.localhost".</summary>
    private static bool TryReadSubdomain(string host, out bool isIpns, out string root)
    {
        isIpns = host.EndsWith(".ipns.localhost", StringComparison.OrdinalIgnoreCase);
        root = "";
        if (!isIpns && !host.EndsWith(".ipfs.localhost", StringComparison.OrdinalIgnoreCase)) return false;
        root = host[..^".ipfs.localhost".Length];
        return root.Length > 0;
    }

    private async Task ServeShownAsync(HttpContext http, string host, string path)
    {
        Cid root;
        try
        {
            root = await shown!.FindAsync(host).WaitAsync(http.RequestAborted).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return;
        }
        catch (MimeiException e)
        {
            bool isForbidden = e.Message.StartsWith("NOPERM ", StringComparison.Ordinal);
            await PlainText.AnswerAsync(http, isForbidden ? StatusCodes.Status403Forbidden : StatusCodes.Status404NotFound, e.Message[(e.Message.IndexOf(' ', StringComparison.Ordinal) + 1)..]).ConfigureAwait(false);
            return;
        }
        catch (IOException e)
        {
            // Strangers are told no names of files.
            log.Warning($"What {host} shows cannot be read: {e.Message}");
            await PlainText.AnswerAsync(http, StatusCodes.Status503ServiceUnavailable, "This node cannot read its store at the moment; its log says why.").ConfigureAwait(false);
            return;
        }

        await content!.ServeShownAsync(http, root, path).ConfigureAwait(false);
    }

    private Task ServeSubdomain(HttpContext http, bool isIpns, string root, string path)
    {
        // Names of hosts have no capitals; the bases of CIDs and keys that fit into them have none either.
        return root.Length > GatewayTarget.MaxLabel
            ? PlainText.AnswerAsync(http, StatusCodes.Status400BadRequest, "CID incompatible with DNS label length limit of 63")
            : content!.ServeAsync(http, isIpns, root.ToLowerInvariant(), path);
    }

    /// <summary>Sends a browser that shows content of the path gateway to where that has an origin of its own; false where that is not to be.</summary>
    private static bool TryIsolate(HttpContext http, string host, string path)
    {
        HttpRequest request = http.Request;
        if (!host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || request.Headers["Sec-Fetch-Mode"] != "navigate" || request.Headers["Sec-Fetch-Dest"] != "document") return false;
        GatewayTarget target;
        try
        {
            target = GatewayTarget.FromPath(path);
        }
        catch (GatewayException)
        {
            return false; // who answers says what is wrong with it
        }

        string? label;
        if (target.IsIpns)
        {
            if (!IpnsRecord.TryParseName(target.Root, out PeerId name)) return false;
            label = IpnsRecord.NameText(name);
        }
        else
        {
            if (!Cid.TryParse(target.Root, out Cid cid)) return false;
            label = GatewayTarget.LabelOf(cid);
        }

        if (label is null) return false;
        string port = request.Host.Port is { } number ? $":{number}" : "";
        http.Response.StatusCode = StatusCodes.Status307TemporaryRedirect;
        http.Response.Headers.Location = $"{request.Scheme}://{label}{target.Namespace.Replace('/', '.')}.localhost{port}{(target.EscapedRest is "" ? "/" : target.EscapedRest)}{request.QueryString}";
        http.Response.Headers.CacheControl = "no-store";
        http.Response.Headers.Vary = "Sec-Fetch-Mode, Sec-Fetch-Dest";
        return true;
    }
}
