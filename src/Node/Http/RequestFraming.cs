using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http;

/// <summary>
/// Where a request ends. A proxy before the node and the node itself must agree on that, or one client's bytes become another one's request (RFC 9112, 11.2). Most of it is the
/// server's to refuse; this refuses what it lets pass because one reading of it is right, and makes a request with a body the last one of its connection: what follows
/// is then read by nobody.
/// </summary>
internal static class RequestFraming
{
    /// <summary>Where Kestrel puts a length that came beside a transfer coding.</summary>
    private const string LengthAside = "X-Content-Length";

    /// <summary>Whether the request can be read in one way only; if not, or if it has a body, its connection ends with it.</summary>
    public static bool IsCertain(HttpContext context)
    {
        HttpRequest request = context.Request;
        IHeaderDictionary headers = request.Headers;
        if (!request.Protocol.StartsWith("HTTP/1.", StringComparison.Ordinal)) return true;
        bool isChunked = headers.TransferEncoding.Count > 0;
        if (isChunked || headers.ContentLength is not null) context.Response.Headers.Connection = "close";
        return !isChunked || (headers.TransferEncoding is ["chunked"] && headers.ContentLength is null && !headers.ContainsKey(LengthAside) && HttpProtocol.IsHttp11(request.Protocol));
    }
}
