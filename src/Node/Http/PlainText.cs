using System.Text;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http;

/// <summary>Short answers for people and machines alike.</summary>
internal static class PlainText
{
    /// <summary>Answers with a line of text, which nobody keeps.</summary>
    public static Task AnswerAsync(HttpContext context, int status, string text) => AnswerAsync(context, status, "text/plain; charset=utf-8", text + "\n");

    /// <summary>Answers with a text of some type, which nobody keeps.</summary>
    public static Task AnswerAsync(HttpContext context, int status, string type, string text)
    {
        HttpResponse response = context.Response;
        byte[] body = Encoding.UTF8.GetBytes(text);
        response.StatusCode = status;
        response.ContentType = type;
        response.ContentLength = body.Length;
        response.Headers.CacheControl = "no-store";
        response.Headers.XContentTypeOptions = "nosniff";
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(body).AsTask();
    }
}
