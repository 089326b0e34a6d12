using System.Globalization;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace Leither.Node.Http.Gateway;

/// <summary>One request for content: what it asks for, what that was found to be, and the headers that all responses to it share.</summary>
internal sealed class GatewayCall
{
    private const string Immutable = "public, max-age=29030400, immutable";

    /// <summary>Pages may look different with the next release of this program.</summary>
    private const string GeneratedPage = "public, max-age=604800, stale-while-revalidate=2678400";

    public required HttpContext Context { get; init; }

    public required GatewayTarget Target { get; init; }

    public required GatewayBlocks Blocks { get; init; }

    public required GatewayOptions Options { get; init; }

    public required ResponseFormat Format { get; init; }

    /// <summary>What Accept says besides.</summary>
    public required AcceptedFormat Accept { get; init; }

    /// <summary>Where the path leads.</summary>
    public Cid Cid { get; set; }

    /// <summary>The blocks of the names on the way, the root first and <see cref="Cid"/> last.</summary>
    public IReadOnlyList<Cid> Roots { get; set; } = [];

    /// <summary>All blocks that were read on the way, for who wants to check it.</summary>
    public IReadOnlyList<Cid> Way { get; set; } = [];

    /// <summary>For how long a name is believed; null for content that never changes.</summary>
    public TimeSpan? Ttl { get; set; }

    public bool IsHead => HttpMethods.IsHead(Context.Request.Method);

    /// <summary>What the client calls it; null where it does not say.</summary>
    public string? FileName => Query("filename") is { Length: > 0 } name ? name : null;

    /// <summary>The name that tells a file's type.</summary>
    public string? TypeName => FileName ?? (Target.Segments.Count > 0 ? Target.Segments[^1] : null);

    public bool IsDownload => Query("download") is "true" or "1";

    public string? Query(string name) =>
        Context.Request.QueryString.HasValue && Context.Request.Query.TryGetValue(name, out StringValues values) ? values[0] : null;

    /// <summary>
    /// Sets the headers that say what the response is. True: the client has it already, which is said, and nothing is to be sent.
    /// </summary>
    /// <param name="etag">What the response's bytes depend on, in quotes.</param>
    /// <param name="isPage">Whether it is a page that this program makes.</param>
    public bool SetHeaders(string etag, bool isPage = false)
    {
        IHeaderDictionary headers = Context.Response.Headers;
        headers.ETag = etag;
        headers.CacheControl = Ttl is { } ttl ? string.Create(CultureInfo.InvariantCulture, $"public, max-age={(long)Math.Max(0, ttl.TotalSeconds)}")
            : isPage ? GeneratedPage
            : Immutable;
        headers["X-Ipfs-Path"] = Target.ContentPath;
        headers["X-Ipfs-Roots"] = Roots.Count == 1 ? Roots[0].ToString() : string.Join(',', Roots);
        if (!Matches(Context.Request.Headers.IfNoneMatch, etag)) return false;
        Context.Response.StatusCode = StatusCodes.Status304NotModified;
        return true;
    }

    /// <summary>Says where the response is found that was chosen by Accept, for caches that go by addresses.</summary>
    public void SetContentLocation()
    {
        if (Format == ResponseFormat.Default || Query("format") is not null) return;
        string query = Context.Request.QueryString.HasValue ? Context.Request.QueryString.Value! + "&" : "?";
        Context.Response.Headers.ContentLocation = $"{Target.HostPath}{query}format={AcceptedFormat.NameOf(Format)}";
    }

    /// <summary>Says under which name to keep the response, and whether to show it.</summary>
    /// <param name="fallback">The name where the client has none.</param>
    /// <param name="isAttachment">Whether it is nothing to be shown.</param>
    public void SetDisposition(string? fallback, bool isAttachment)
    {
        string? name = FileName ?? fallback;
        string kind = isAttachment || IsDownload ? "attachment" : "inline";
        if (name is null)
        {
            if (IsDownload) Context.Response.Headers.ContentDisposition = kind;
            return;
        }

        Context.Response.Headers.ContentDisposition = DispositionOf(kind, name);
    }

    /// <summary>The header Content-Disposition: the name in ASCII, and where that is not all of it in UTF-8 too.</summary>
    public static string DispositionOf(string kind, string name)
    {
        char[] ascii = name.ToCharArray();
        bool isAscii = true;
        for (int i = 0; i < ascii.Length; i++)
        {
            isAscii &= ascii[i] is >= ' ' and < '\x7f';
            if (ascii[i] is < ' ' or >= '\x7f' or '"' or '\\') ascii[i] = '_';
        }

        // A character outside of 16 bits is two here, and one underscore to the reader is as good as two.
        string header = $"{kind}; filename=\"{new string(ascii)}\"";
        return isAscii && !name.AsSpan().ContainsAny('"', '\\') ? header : $"{header}; filename*=UTF-8''{Uri.EscapeDataString(name)}";
    }

    /// <summary>Whether a header with entity tags names this one. What a weak one names is as good here.</summary>
    public static bool Matches(StringValues header, string etag)
    {
        ReadOnlySpan<char> own = etag.StartsWith("W/", StringComparison.Ordinal) ? etag.AsSpan(2) : etag;
        foreach (string? line in header)
        {
            ReadOnlySpan<char> rest = line;
            while (!(rest = rest.TrimStart(" \t,")).IsEmpty)
            {
                if (rest[0] == '*') return true;
                if (rest.StartsWith("W/", StringComparison.Ordinal)) rest = rest[2..];
                int end = rest.IsEmpty || rest[0] != '"' ? -1 : rest[1..].IndexOf('"');
                if (end < 0) break;
                if (rest[..(end + 2)].SequenceEqual(own)) return true;
                rest = rest[(end + 2)..];
            }
        }

        return false;
    }

    /// <summary>The node that the path leads to.</summary>
    public ValueTask<UnixFsNode> LoadAsync() => Blocks.ReadAsync(Cid, static (source, cid) => UnixFsNode.Load(source, cid));
}
