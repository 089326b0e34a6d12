// Content over HTTP, for browsers and for clients that check what they get. https://specs.ipfs.tech/http-gateways/
//
// What must stay true:
//  - Only the public store is read, never the blocks of a MiMei.
//  - What is served was made by anyone. Responses of the path gateway say that a browser shall run it in an origin of its own ("sandbox"), so that no script in it
//    can read the node's own pages, which are at the same address; at CID.ipfs.localhost it has that origin anyway.
//  - Memory is bounded whatever the content is; who reads slowly or leaves ends the work.
//
// GatewayTarget reads what is asked for, Resolve follows names and paths, and the kind of what is found decides who answers: BodyResponse (bytes), DirectoryPage,
// CarResponse, TarResponse, DagPage.

using System.Buffers;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Node.Logging;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http.Gateway;

/// <summary>Answers requests for content. Any thread.</summary>
public sealed class IpfsGateway
{
    /// <summary>
    /// Content may run scripts and ask for content, in an origin that is nobody's. Whoever follows a link out of it is free of that again.
    /// </summary>
    private const string Sandbox =
        "sandbox allow-downloads allow-forms allow-modals allow-orientation-lock allow-pointer-lock allow-popups allow-popups-to-escape-sandbox allow-presentation allow-scripts";

    private readonly IBlockSource _store;
    private readonly Func<CancellationToken, IContentRead>? _open;
    private readonly INameResolver? _names;
    private readonly GatewayOptions _options;
    private readonly NodeLog _log;

    /// <summary>Creates the gateway.</summary>
    /// <param name="store">The public store.</param>
    /// <param name="open">Begins to read what is not there; null: nobody can be asked.</param>
    /// <param name="names">Resolves IPNS names; null: nobody can.</param>
    /// <param name="options">The limits.</param>
    /// <param name="log">Where is told which responses were broken off.</param>
    public IpfsGateway(
        IBlockSource store, Func<CancellationToken, IContentRead>? open = null, INameResolver? names = null, GatewayOptions? options = null, NodeLog? log = null)
    {
        _log = log ?? NodeLog.None;
        _store = store;
        _open = open;
        _names = names;
        _options = options ?? new GatewayOptions();
    }

    /// <summary>Answers a request for what a host's name shows for now: files that may be others soon.</summary>
    internal Task ServeShownAsync(HttpContext context, Cid root, string path) => ServeAsync(context, false, root.ToString(), path, TimeSpan.Zero);

    /// <summary>Answers a request.</summary>
    internal async Task ServeAsync(HttpContext context, bool? isIpnsHost, string hostRoot, string path, TimeSpan? ttl = null)
    {
        SetSharedHeaders(context.Response.Headers);
        try
        {
            HttpRequest request = context.Request;
            if (HttpMethods.IsOptions(request.Method))
            {
                context.Response.StatusCode = StatusCodes.Status204NoContent;
                return;
            }

            if (!HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method))
            {
                context.Response.Headers.Allow = "GET, HEAD, OPTIONS";
                throw new GatewayException(405, "Only GET, HEAD and OPTIONS are answered here");
            }

            if (isIpnsHost is null && path is "/ipfs/" or "/ipns/" && RedirectUri(context)) return;
            GatewayTarget target = isIpnsHost is { } isIpns ? GatewayTarget.FromSubdomain(isIpns, hostRoot, path) : GatewayTarget.FromPath(path);
            await AnswerAsync(context, target, ttl);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client has gone.
        }
        catch (Exception e) when (Describe(e) is { } error)
        {
            // Strangers are told no names of files.
            if (error.Status == StatusCodes.Status500InternalServerError) _log.Warning($"{context.Request.Path} cannot be read: {e.Message}");

            // What is under way can only be broken off, so that nobody takes a part for the whole.
            if (context.Response.HasStarted)
            {
                _log.Verbose($"The response to {context.Request.Path} was broken off: {error.Message}");
                context.Abort();
            }
            else
            {
                await AnswerErrorAsync(context, error);
            }
        }
    }

    /// <summary>A browser's handler for ipfs:// and ipns:// sends what it was given as a parameter.</summary>
    private static bool RedirectUri(HttpContext context)
    {
        if (!context.Request.Query.TryGetValue("uri", out var values) || values[0] is not { } uri) return false;
        string? path = uri.StartsWith("ipfs://", StringComparison.Ordinal) ? "/ipfs/" + uri["ipfs://".Length..]
            : uri.StartsWith("ipns://", StringComparison.Ordinal) ? "/ipns/" + uri["ipns://".Length..]
            : throw new GatewayException(400, "The parameter 'uri' begins with neither ipfs:// nor ipns://");
        Redirect(context, StatusCodes.Status301MovedPermanently, GatewayTarget.FromPath(GatewayTarget.PathOf(path)).ContentPath);
        return true;
    }

    private async Task AnswerAsync(HttpContext context, GatewayTarget target, TimeSpan? ttl)
    {
        HttpRequest request = context.Request;
        AcceptedFormat accept = AcceptedFormat.FromAccept(request.Headers.Accept);
        ResponseFormat format = accept.Format;
        if (request.QueryString.HasValue && request.Query.TryGetValue("format", out var named))
        {
            if (!AcceptedFormat.TryParse(named[0] ?? "", out format)) throw new GatewayException(400, $"There is no format '{named[0]}'");
            accept = AcceptedFormat.FromAccept(request.Headers.Accept, format) with { WantsHtml = false };
        }

        // Content of the path gateway is not in an origin of its own, so no service worker of it may be.
        if (request.Headers.TryGetValue("Service-Worker", out var worker) && worker == "script" && !target.IsSubdomain)
        {
            throw new GatewayException(400, "Service workers are for content at its own origin: CID.ipfs.localhost");
        }

        if (!target.IsSubdomain) context.Response.Headers.ContentSecurityPolicy = Sandbox;
        bool isCachedOnly = request.Headers.CacheControl.ToString().Contains("only-if-cached", StringComparison.OrdinalIgnoreCase);
        using var blocks = new GatewayBlocks(_store, _open, isCachedOnly, _options, context.RequestAborted);
        var call = new GatewayCall { Context = context, Target = target, Blocks = blocks, Options = _options, Format = format, Accept = accept, Ttl = ttl };

        if (format == ResponseFormat.IpnsRecord)
        {
            await SendRecordAsync(call);
            return;
        }

        if (!await ResolveAsync(call)) return;
        if (format == ResponseFormat.Car)
        {
            await CarResponse.SendAsync(call);
            return;
        }

        if (format == ResponseFormat.Raw)
        {
            await SendBlockAsync(call);
            return;
        }

        switch (call.Cid.Codec)
        {
            case Multicodec.DagPb or Multicodec.Raw:
                await SendUnixFsAsync(call);
                break;
            case Multicodec.DagCbor or Multicodec.DagJson or Multicodec.Cbor or Multicodec.Json:
                await SendDataAsync(call);
                break;
            default:
                throw new GatewayException(400, $"What {call.Cid} is written in (codec 0x{call.Cid.Codec:x}) is nothing that can be shown. The block as it is: ?format=raw");
        }
    }

    // ------------------------------------------------------------------ names and paths

    /// <summary>Finds what a request asks for; false: it was answered by sending the client elsewhere.</summary>
    private async ValueTask<bool> ResolveAsync(GatewayCall call)
    {
        GatewayTarget target = call.Target;
        Cid root;
        IReadOnlyList<string> segments = target.Segments;
        int inner = 0;
        if (target.IsIpns)
        {
            if (!TryReadName(call, target.Root, out PeerId name)) return false;
            (root, string[] before) = await ResolveNameAsync(call, name);
            inner = before.Length;
            if (inner > 0) segments = [.. before, .. segments];
        }
        else
        {
            if (!Cid.TryParse(target.Root, out root)) throw new GatewayException(400, $"invalid path \"{target.ContentPath}\": '{Shown(target.Root)}' is no CID");
            if (root.Codec == Multicodec.Libp2pKey && PeerId.TryParse(target.Root, out PeerId key) && !target.IsSubdomain)
            {
                Redirect(call.Context, StatusCodes.Status302Found, $"/ipns/{IpnsRecord.NameText(key)}{target.EscapedRest}{call.Context.Request.QueryString}");
                return false;
            }
        }

        if (!Multihash.CanVerify(root.HashFunction)) throw new GatewayException(400, $"The hash function 0x{root.HashFunction:x} of {root} is none that this node can check");
        if (segments.Count == 0)
        {
            call.Cid = root;
            call.Roots = [root];
            return true;
        }

        bool keepWay = call.Format == ResponseFormat.Car;
        (ResolvedPath found, IReadOnlyList<Cid> way) = await call.Blocks.ReadAsync((root, segments, keepWay), static (source, asked) =>
        {
            RecordingSource? recorder = asked.keepWay ? new RecordingSource(source) : null;
            return (UnixFsPath.Resolve(recorder ?? source, asked.root, asked.segments), (IReadOnlyList<Cid>)(recorder?.Read ?? []));
        });
        if (found.Rest.Count > 0)
        {
            throw new GatewayException(501, $"'{Shown(string.Join('/', found.Rest))}' is a value inside of the block {found.Cid}; only whole blocks are served");
        }

        call.Cid = found.Cid;
        call.Roots = inner == 0 ? found.Roots : [.. found.Roots.Skip(inner)];
        call.Way = way;
        return true;
    }

    /// <summary>Reads a name; false: the client was sent to its usual form.</summary>
    private static bool TryReadName(GatewayCall call, string text, out PeerId name)
    {
        if (!IpnsRecord.TryParseName(text, out name))
        {
            throw text.Contains('.', StringComparison.Ordinal) ? new GatewayException(501, $"'{Shown(text)}' is a name of the DNS; this gateway resolves IPNS keys only")
                : new GatewayException(400, $"invalid path \"{call.Target.ContentPath}\": '{Shown(text)}' is no IPNS name");
        }

        string usual = IpnsRecord.NameText(name);
        if (usual == text || call.Target.IsSubdomain) return true;
        Redirect(call.Context, StatusCodes.Status302Found, $"/ipns/{usual}{call.Target.EscapedRest}{call.Context.Request.QueryString}");
        return false;
    }

    private async Task<(Cid Root, string[] Segments)> ResolveNameAsync(GatewayCall call, PeerId name)
    {
        string[] segments = [];
        for (int step = 0; step < _options.MaxNameSteps; step++)
        {
            IpnsRecord record = await FindRecordAsync(call, name);
            string value = record.Value;
            if (!GatewayTarget.IsContent(value)) throw new GatewayException(502, $"The name {IpnsRecord.NameText(name)} points to '{Shown(value)}', which is no path of content");
            bool isName = value.StartsWith("/ipns/", StringComparison.Ordinal);
            string[] parts = UnixFsPath.Normalize(value[6..]);
            if (parts.Length > 0 && !isName && Cid.TryParse(parts[0], out Cid root)) return (root, [.. parts.AsSpan(1), .. segments]);
            if (parts.Length == 0 || !isName || !IpnsRecord.TryParseName(parts[0], out PeerId next))
            {
                throw new GatewayException(502, $"The name {IpnsRecord.NameText(name)} points to '{Shown(value)}', which cannot be followed");
            }

            segments = [.. parts.AsSpan(1), .. segments];
            name = next;
        }

        throw new GatewayException(502, $"More than {_options.MaxNameSteps} names lead to each other");
    }

    private async Task<IpnsRecord> FindRecordAsync(GatewayCall call, PeerId name)
    {
        string text = IpnsRecord.NameText(name);
        if (_names is null) throw new GatewayException(502, $"The name {text} cannot be resolved: this node is not part of a network");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(call.Context.RequestAborted);
        limit.CancelAfter(_options.NameLimit);
        try
        {
            IpnsRecord record = await _names.ResolveAsync(name, limit.Token) ?? throw new GatewayException(502, $"No record of the name {text} was found", 30);
            TimeSpan left = record.Validity - DateTimeOffset.UtcNow;
            TimeSpan ttl = record.Ttl < left ? record.Ttl : left;
            call.Ttl = call.Ttl is { } other && other < ttl ? other : ttl;
            return record;
        }
        catch (OperationCanceledException) when (!call.Context.RequestAborted.IsCancellationRequested)
        {
            throw new GatewayException(504, $"The name {text} was not resolved within {_options.NameLimit.TotalSeconds:0.#} seconds. Asking again later may help", 30);
        }
        catch (IpnsException e)
        {
            throw new GatewayException(502, $"The name {text} was not resolved: {e.Message}", 30);
        }
        catch (IOException e)
        {
            throw new GatewayException(502, $"The name {text} was not resolved: {e.Message}", 30);
        }
    }

    private async Task SendRecordAsync(GatewayCall call)
    {
        GatewayTarget target = call.Target;
        if (!target.IsIpns || target.Segments.Count > 0) throw new GatewayException(400, "Only a name under /ipns/ has a record, and nothing behind it");
        if (!TryReadName(call, target.Root, out PeerId name)) return;
        IpnsRecord record = await FindRecordAsync(call, name);
        byte[] bytes = record.Bytes.ToArray();
        string etag = $"\"{Cid.Of(Multicodec.Raw, bytes)}.ipns-record\"";
        bool isKnown = call.SetHeaders(etag);
        call.Context.Response.Headers.Remove("X-Ipfs-Roots");
        if (isKnown) return;
        call.SetContentLocation();
        call.SetDisposition($"{IpnsRecord.NameText(name)}.ipns-record", isAttachment: true);
        var buffer = new PooledBlock();
        buffer.Write(bytes);
        using var body = new BlockBody(buffer);
        await BodyResponse.SendAsync(call, body, "application/vnd.ipfs.ipns-record", etag);
    }

    // ------------------------------------------------------------------ blocks, files, directories

    private static async Task<BlockBody> LoadBlockAsync(GatewayCall call)
    {
        var buffer = new PooledBlock();
        try
        {
            await call.Blocks.GetAsync(call.Cid, buffer);
            return new BlockBody(buffer);
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }

    private static async Task SendBlockAsync(GatewayCall call)
    {
        string etag = $"\"{call.Cid}.raw\"";
        using BlockBody body = await LoadBlockAsync(call);
        if (call.SetHeaders(etag)) return;
        call.SetContentLocation();
        call.SetDisposition($"{call.Cid}.bin", isAttachment: true);
        await BodyResponse.SendAsync(call, body, "application/vnd.ipld.raw", etag);
    }

    private static async Task SendUnixFsAsync(GatewayCall call)
    {
        if (call.Format is ResponseFormat.DagJson or ResponseFormat.DagCbor or ResponseFormat.Cbor)
        {
            throw new GatewayException(406, $"{call.Cid} is part of a file system, and not written in {AcceptedFormat.NameOf(call.Format)}. Its block as it is: ?format=raw");
        }

        if (call.Cid.Codec == Multicodec.Raw && call.Format != ResponseFormat.Tar)
        {
            using BlockBody block = await LoadBlockAsync(call);
            await SendFileAsync(call, block);
            return;
        }

        UnixFsNode node = await call.LoadAsync();
        if (call.Format == ResponseFormat.Tar)
        {
            await TarResponse.SendAsync(call, node);
            return;
        }

        if (node.IsFile)
        {
            using var file = new FileBody(new UnixFsStream(call.Blocks.Local, node));
            await SendFileAsync(call, file);
        }
        else if (node.IsDirectory)
        {
            await SendDirectoryAsync(call, node);
        }
        else if (node.Type == UnixFsType.Symlink)
        {
            // Links are shown and never followed: nobody agrees on what following them means.
            var target = new PooledBlock();
            target.Write(node.Data.Data.Span);
            using var body = new BlockBody(target);
            string etag = $"\"{call.Cid}\"";
            if (call.SetHeaders(etag)) return;
            await BodyResponse.SendAsync(call, body, "inode/symlink", etag);
        }
        else
        {
            throw new GatewayException(400, $"{call.Cid} is neither a file nor a directory, but a {node.Type}");
        }
    }

    private static async Task SendFileAsync(GatewayCall call, GatewayBody body, Cid? etagOf = null, string? typeName = null)
    {
        string etag = call.Format == ResponseFormat.Json ? $"\"{call.Cid}.json\"" : $"\"{etagOf ?? call.Cid}\"";
        if (call.SetHeaders(etag)) return;
        string? name = typeName ?? call.TypeName;
        string type;
        if (call.Format == ResponseFormat.Json)
        {
            ReadOnlyMemory<byte> first = await body.PeekAsync(call);
            if (!MediaTypes.IsJson(first.Span)) throw new GatewayException(406, $"The file {call.Cid} is no JSON");
            type = MediaTypes.Json;
        }
        else if (!MediaTypes.IsCertain(name, out type))
        {
            ReadOnlyMemory<byte> first = body.Length == 0 ? default : await body.PeekAsync(call);
            type = MediaTypes.Of(name, first.Span);
        }

        // A browser's PDF viewer is no part of the page's origin, and does not work in a sandbox.
        if (type == "application/pdf") call.Context.Response.Headers.Remove("Content-Security-Policy");
        call.SetContentLocation();
        call.SetDisposition(null, isAttachment: false);
        await BodyResponse.SendAsync(call, body, type, etag);
    }

    private static async Task SendDirectoryAsync(GatewayCall call, UnixFsNode directory)
    {
        if (call.Format != ResponseFormat.Default)
        {
            throw new GatewayException(406, $"{call.Cid} is a directory, and not written in {AcceptedFormat.NameOf(call.Format)}. Its blocks: ?format=car; its files: ?format=tar");
        }

        GatewayTarget target = call.Target;
        if (!target.HasTrailingSlash)
        {
            // Names in its pages are relative to it.
            Redirect(call.Context, StatusCodes.Status301MovedPermanently, $"{target.HostPath}/{call.Context.Request.QueryString}");
            return;
        }

        Cid index = await call.Blocks.ReadAsync(directory, static (source, directory) =>
            UnixFsDirectory.TryFind(source, directory, "index.html", out UnixFsLink entry) ? entry.Cid : default);
        if (!index.IsNone)
        {
            UnixFsNode page = await call.Blocks.ReadAsync(index, static (source, cid) => UnixFsNode.Load(source, cid));
            if (page.IsFile)
            {
                using var file = new FileBody(new UnixFsStream(call.Blocks.Local, page));
                await SendFileAsync(call, file, call.Cid, call.FileName ?? "index.html");
                return;
            }
        }

        await DirectoryPage.SendAsync(call, directory);
    }

    /// <summary>Blocks of data: as they are where the client wants what they are written in; none is translated (IPIP-524).</summary>
    private static async Task SendDataAsync(GatewayCall call)
    {
        bool isJson = call.Cid.Codec is Multicodec.Json or Multicodec.DagJson;
        bool isDag = call.Cid.Codec is Multicodec.DagCbor or Multicodec.DagJson;
        if (isDag && call.Format == ResponseFormat.Default && call.Accept.WantsHtml && !call.IsDownload)
        {
            using BlockBody shown = await LoadBlockAsync(call);
            await DagPage.SendAsync(call, shown.Bytes);
            return;
        }

        ResponseFormat own = (isJson, isDag) switch
        {
            (true, true) => ResponseFormat.DagJson,
            (false, true) => ResponseFormat.DagCbor,
            (true, false) => ResponseFormat.Json,
            (false, false) => ResponseFormat.Cbor,
        };
        ResponseFormat plain = isJson ? ResponseFormat.Json : ResponseFormat.Cbor;
        ResponseFormat format = call.Format == ResponseFormat.Default ? own : call.Format;
        if (format != own && format != plain)
        {
            throw new GatewayException(406, $"{call.Cid} is written in {AcceptedFormat.NameOf(own)}, and not translated to {AcceptedFormat.NameOf(format)}");
        }

        string etag = $"\"{call.Cid}.{AcceptedFormat.NameOf(format)}\"";
        using BlockBody body = await LoadBlockAsync(call);
        if (call.SetHeaders(etag)) return;
        call.SetContentLocation();
        call.SetDisposition($"{call.Cid}.{AcceptedFormat.NameOf(plain)}", isAttachment: !isJson);
        await BodyResponse.SendAsync(call, body, (isDag && format == own ? "application/vnd.ipld." : "application/") + AcceptedFormat.NameOf(format), etag);
    }

    // ------------------------------------------------------------------ headers and errors

    /// <summary>Content is public and names itself, so any page may read it. Types are not to be guessed.</summary>
    private static void SetSharedHeaders(IHeaderDictionary headers)
    {
        headers.AccessControlAllowOrigin = "*";
        headers.AccessControlAllowMethods = "GET, HEAD, OPTIONS";
        headers.AccessControlAllowHeaders = "Content-Type, Range, User-Agent, X-Requested-With";
        headers.AccessControlExposeHeaders = "Content-Length, Content-Range, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output";
        headers.XContentTypeOptions = "nosniff";
        headers.Vary = "Accept";
    }

    private static void Redirect(HttpContext context, int status, string location)
    {
        context.Response.StatusCode = status;
        context.Response.Headers.Location = location;
        context.Response.Headers.CacheControl = "no-store";
    }

    private static GatewayException? Describe(Exception e) => e switch
    {
        GatewayException known => known,
        UnixFsPathException path => new GatewayException(path.Message.Contains("leads above", StringComparison.Ordinal) ? 400 : 404, path.Message),
        BlockMissingException missing => new GatewayException(404, missing.Message),
        BlockCorruptedException damaged => new GatewayException(500, $"The block {damaged.Cid} is damaged in this node's store"),
        MalformedBlockException malformed => new GatewayException(502, $"What was found is malformed. {malformed.Message}"),
        IOException => new GatewayException(500, "This node could not read its store; its log says why"),
        _ => null,
    };

    private static async Task AnswerErrorAsync(HttpContext context, GatewayException error)
    {
        HttpResponse response = context.Response;
        foreach (string header in (ReadOnlySpan<string>)["ETag", "X-Ipfs-Roots", "X-Ipfs-Path", "Content-Disposition", "Content-Location", "Accept-Ranges"]) response.Headers.Remove(header);
        if (error.RetryAfterSeconds is { } seconds) response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        await PlainText.AnswerAsync(context, error.Status, error.Message);
    }

    private static string Shown(string text) => text.Length <= 200 ? text : text[..200] + "…";

    /// <summary>Notes which blocks are read.</summary>
    private sealed class RecordingSource(IBlockSource source) : IBlockSource
    {
        public List<Cid> Read { get; } = [];

        public bool Has(in Cid cid) => source.Has(cid);

        public bool TryGetLength(in Cid cid, out int length) => source.TryGetLength(cid, out length);

        public bool TryGet(in Cid cid, IBufferWriter<byte> destination)
        {
            if (!source.TryGet(cid, destination)) return false;
            Read.Add(cid);
            return true;
        }

        public IEnumerable<Cid> Cids() => source.Cids();
    }
}
