using System.Text.Json.Nodes;
using Leither.Node.Http.Page;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http;

/// <summary>
/// The node's own pages: <c>/</c> with what belongs to it, for people, <c>/api/command</c> and <c>/api/login</c>, by which it asks, and <c>/health</c> and <c>/metrics</c>, for machines. Who may see
/// them was decided before.
/// </summary>
/// <param name="status">Tells of the node.</param>
/// <param name="clients">Runs commands; null: none are.</param>
internal sealed class StatusPages(INodeStatus status, LocalClients? clients)
{
    /// <summary>They load nothing, and stand in no frame.</summary>
    private const string Policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private readonly PageFiles _files = new();
    private readonly CommandApi? _commands = clients is null ? null : new CommandApi(clients, TimeProvider.System);

    public Task AnswerAsync(HttpContext context, string path)
    {
        HttpRequest request = context.Request;
        context.Response.Headers.ContentSecurityPolicy = Policy;
        context.Response.Headers["Cross-Origin-Resource-Policy"] = "same-origin";
        context.Response.Headers["Cross-Origin-Opener-Policy"] = "same-origin";
        if (path == "/api/command" && _commands is not null)
        {
            return _commands.AnswerAsync(context);
        }

        if (path == "/api/login" && _commands is not null)
        {
            return _commands.LoginAsync(context);
        }

        if (!HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method))
        {
            context.Response.Headers.Allow = "GET, HEAD";
            return PlainText.AnswerAsync(context, StatusCodes.Status405MethodNotAllowed, "Only GET and HEAD are answered here.");
        }

        return path switch
        {
            "/health" => Health(context),
            "/metrics" => Figures(context),
            _ => _files.AnswerAsync(context, path) ?? PlainText.AnswerAsync(context, StatusCodes.Status404NotFound, "There is nothing here."),
        };
    }

    /// <summary>How long the node may take to say how it is, before that is an answer.</summary>
    private static readonly TimeSpan _healthLimit = TimeSpan.FromSeconds(2);

    /// <summary>200: the node does all of its work. 503: it does not, and says what is wrong, or is too busy to say.</summary>
    private async Task Health(HttpContext context)
    {
        IReadOnlyList<string> problems;
        try
        {
            problems = await status.ReadProblemsAsync(context.RequestAborted).WaitAsync(_healthLimit, context.RequestAborted);
        }
        catch (TimeoutException)
        {
            problems = ["the node is busy: it did not answer within two seconds"];
        }

        JsonObject health = new() { ["status"] = problems.Count == 0 ? "ok" : "failing" };
        if (problems.Count > 0) health["problems"] = new JsonArray([.. problems.Select(static p => JsonValue.Create(p))]);
        await PlainText.AnswerAsync(context, problems.Count == 0 ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable, "application/json", health.ToJsonString() + "\n");
    }

    private async Task Figures(HttpContext context)
    {
        if (await status.ReadFiguresAsync(context.RequestAborted) is { } figures) await PlainText.AnswerAsync(context, StatusCodes.Status200OK, Metrics.ContentType, Metrics.Write(figures));
        else await PlainText.AnswerAsync(context, StatusCodes.Status404NotFound, "There is nothing here.");
    }
}
