using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http.Gateway;

/// <summary>Sends bytes of a known length: all, a part, or several parts.</summary>
internal static class BodyResponse
{
    private const string Boundary = "leither-part-3f1c5a7e9b2d4860";

    /// <summary>Sends what the request wants of a body whose headers are set.</summary>
    /// <param name="call">The request.</param>
    /// <param name="body">The bytes.</param>
    /// <param name="type">Their type.</param>
    /// <param name="etag">
    /// Their tag. The specification of gateways would have the range in it too; but a client goes on with a broken download where the tag of the rest is that of
    /// the beginning (RFC 9110, section 13.1.5).
    /// </param>
    public static async ValueTask SendAsync(GatewayCall call, GatewayBody body, string type, string etag)
    {
        HttpRequest request = call.Context.Request;
        HttpResponse response = call.Context.Response;
        response.Headers.AcceptRanges = "bytes";
        List<ByteRange>? ranges = null;
        if (request.Headers.Range.Count == 1 && (request.Headers.IfRange.Count == 0 || IsSame(request.Headers.IfRange.ToString(), etag)))
        {
            ranges = ByteRange.Parse(request.Headers.Range.ToString(), body.Length, call.Options.MaxRanges);
        }

        if (ranges is null)
        {
            response.ContentType = type;
            response.ContentLength = body.Length;
            if (!call.IsHead && body.Length > 0) await WriteAsync(call, body, new ByteRange(0, body.Length - 1));
            return;
        }

        if (ranges.Count == 0)
        {
            response.Headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes */{body.Length}");
            response.Headers.CacheControl = "no-store";
            throw new GatewayException(416, $"There are {body.Length} bytes, and none of those that were asked for");
        }

        response.StatusCode = StatusCodes.Status206PartialContent;
        if (ranges.Count == 1)
        {
            response.ContentType = type;
            response.Headers.ContentRange = ContentRange(ranges[0], body.Length);
            response.ContentLength = ranges[0].Length;
            if (!call.IsHead) await WriteAsync(call, body, ranges[0]);
            return;
        }

        await SendPartsAsync(call, body, type, ranges);
    }

    private static async ValueTask SendPartsAsync(GatewayCall call, GatewayBody body, string type, List<ByteRange> ranges)
    {
        HttpResponse response = call.Context.Response;
        byte[][] heads = [.. ranges.Select(range => Encoding.ASCII.GetBytes(
            $"\r\n--{Boundary}\r\nContent-Type: {type}\r\nContent-Range: {ContentRange(range, body.Length)}\r\n\r\n"))];
        byte[] end = Encoding.ASCII.GetBytes($"\r\n--{Boundary}--\r\n");
        response.ContentType = $"multipart/byteranges; boundary={Boundary}";
        response.ContentLength = heads.Sum(static head => (long)head.Length) + ranges.Sum(static range => range.Length) + end.Length;
        if (call.IsHead) return;
        await body.PrepareAsync(call, ranges[0]);
        await response.StartAsync(call.Context.RequestAborted);
        for (int i = 0; i < ranges.Count; i++)
        {
            await response.BodyWriter.WriteAsync(heads[i], call.Context.RequestAborted);
            await body.WriteAsync(call, ranges[i]);
        }

        await response.BodyWriter.WriteAsync(end, call.Context.RequestAborted);
    }

    private static async ValueTask WriteAsync(GatewayCall call, GatewayBody body, ByteRange part)
    {
        await body.PrepareAsync(call, part);
        await call.Context.Response.StartAsync(call.Context.RequestAborted);
        await body.WriteAsync(call, part);
    }

    private static string ContentRange(ByteRange range, long length) =>
        string.Create(CultureInfo.InvariantCulture, $"bytes {range.First}-{range.Last}/{length}");

    /// <summary>Only a strong tag can say that the bytes are the same.</summary>
    private static bool IsSame(string ifRange, string etag) => ifRange == etag && !etag.StartsWith("W/", StringComparison.Ordinal);
}
