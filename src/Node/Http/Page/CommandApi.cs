// POST /api/command: commands in JSON, for the page and for whoever has HTTP and no Redis client.
//
//   { "mimei": "diary", "version": "3", "database": 0, "commands": [["GET", "greeting"], ["HGETALL", {"base64": "/w=="}]] }
//   { "replies": ["hello", ["field", "value", "raw", {"base64": "/w=="}], 42, null, {"error": "WRONGTYPE …"}] }
//
// Who asks is who an Authorization header says: Basic with a user's name and password, Passport with a passport, or Bearer with a token; without one, the
// default user, as over RESP. There are no cookies, and what a token stands for is all that is kept between requests, so there is nothing that another page
// could borrow; that such pages are refused altogether (Host, Origin, Sec-Fetch-Site) was decided before, and a request of type application/json is none that
// a form or a link can make.
//
// POST /api/login: a token for who proves that he is the subject of a passport that asks for it (PageLogins.cs).
//
//   { "passport": "ppt1.…" }                          { "challenge": "5f0c…", "node": "Ngac…" }, or {} where it asks for no proof
//   { "passport": "ppt1.….…", "challenge": "5f0c…" }  { "token": "…" }            the passport as leither lpki prove KEY PASSPORT CHALLENGE NODE printed it
//   { "logout": true } with a token                   { }

using System.Buffers;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using Leither.MmDb.Commands;
using Leither.MmDb.Passports;
using Leither.Resp;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http.Page;

/// <summary>Commands over HTTP.</summary>
/// <param name="clients">Runs them.</param>
/// <param name="time">Now.</param>
internal sealed class CommandApi(LocalClients clients, TimeProvider time)
{
    /// <summary>Bytes of a request's body.</summary>
    internal const int MaxRequestBytes = 1 << 20;

    /// <summary>Bytes of all replies of a request, as RESP has them. A large value is to be read in pieces (GETRANGE, HSCAN, …).</summary>
    internal const int MaxReplyBytes = 8 << 20;

    /// <summary>Commands of a request.</summary>
    internal const int MaxCommands = 1000;

    /// <summary>Requests under way; each may hold as much memory as its reply.</summary>
    private const int MaxRequests = 32;

    /// <summary>Replies that hold others do so this deep at most.</summary>
    private const int MaxDepth = 32;

    /// <summary>How long a request may take, from its first line on: making a version of much data takes a while.</summary>
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(5);

    private static readonly JsonWriterOptions _json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>What makes no sense where a request has one reply to each command and then is over: what waits, what goes on, what changes how is replied; and logging in, which has its header.</summary>
    private static readonly HashSet<string> _refused =
    [
        "auth", "hello", "quit", "reset", "monitor", "wait", "waitaof", "sync", "psync", "replconf", "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe",
        "client|reply", "client|tracking", "client|caching", "client|pause", "debug|sleep",
    ];

    private readonly PageLogins _logins = new(time);
    private int _underWay;

    /// <summary>Answers a request for commands.</summary>
    public Task AnswerAsync(HttpContext context) => AnswerAsync(context, RunAsync);

    /// <summary>Answers a request for a token.</summary>
    public Task LoginAsync(HttpContext context) => AnswerAsync(context, LogInAsync);

    private async Task AnswerAsync(HttpContext context, Func<HttpContext, byte[], CancellationToken, Task> work)
    {
        HttpRequest request = context.Request;
        if (!HttpMethods.IsPost(request.Method))
        {
            context.Response.Headers.Allow = "POST";
            await FailAsync(context, StatusCodes.Status405MethodNotAllowed, "only POST is answered here");
            return;
        }

        if (!IsJson(request.ContentType))
        {
            await FailAsync(context, StatusCodes.Status415UnsupportedMediaType, "the body is to be of type application/json");
            return;
        }

        if (Interlocked.Increment(ref _underWay) > MaxRequests)
        {
            Interlocked.Decrement(ref _underWay);
            await FailAsync(context, StatusCodes.Status503ServiceUnavailable, "too many requests are under way");
            return;
        }

        using CancellationTokenSource limit = new(_limit, time), either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, context.RequestAborted);
        bool isRead = false;
        try
        {
            byte[]? body = await ReadAsync(context.Request, either.Token);
            isRead = true;
            await (body is null ? FailAsync(context, StatusCodes.Status413PayloadTooLarge, $"a request has up to {MaxRequestBytes} bytes") : work(context, body, either.Token));
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested)
        {
            await (isRead ? FailAsync(context, StatusCodes.Status504GatewayTimeout, "the commands took too long") : FailAsync(context, StatusCodes.Status408RequestTimeout, "the request took too long to come"));
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    private async Task RunAsync(HttpContext context, byte[] body, CancellationToken cancellation)
    {
        if (TryReadToken(context.Request, out string token) && _logins.Find(token) is null)
        {
            await FailAsync(context, StatusCodes.Status401Unauthorized, "WRONGPASS this sign-in is over", isWhole: true);
            return;
        }

        LocalRequest request;
        try
        {
            request = Read(context, body);
        }
        catch (Exception e) when (e is JsonException or FormatException)
        {
            await FailAsync(context, StatusCodes.Status400BadRequest, e is JsonException ? "the body is no JSON" : e.Message);
            return;
        }

        LocalReplies replies = await clients.RunAsync(request, cancellation);
        await (replies.Outcome == LocalOutcome.Done ? ReplyAsync(context, request, replies.Replies) : EndAsync(context, replies.Outcome));
    }

    private static Task EndAsync(HttpContext context, LocalOutcome outcome) =>
        outcome switch
        {
            LocalOutcome.TooLarge => FailAsync(context, StatusCodes.Status413PayloadTooLarge, $"the replies are more than {MaxReplyBytes} bytes: ask for less at once"),
            LocalOutcome.Refused => FailAsync(context, StatusCodes.Status503ServiceUnavailable, "the node takes no more clients"),
            _ => FailAsync(context, StatusCodes.Status503ServiceUnavailable, "the node ended the connection"),
        };

    // ------------------------------------------------------------------ a token

    private async Task LogInAsync(HttpContext context, byte[] body, CancellationToken cancellation)
    {
        string? passport, challenge;
        bool logsOut;
        try
        {
            using JsonDocument document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 2 });
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw new FormatException("the body is to be an object");
            }

            (passport, challenge) = (Text(root, "passport")?.Trim(), Text(root, "challenge"));
            logsOut = root.TryGetProperty("logout", out JsonElement logout) && logout.ValueKind == JsonValueKind.True;
        }
        catch (Exception e) when (e is JsonException or FormatException)
        {
            await FailAsync(context, StatusCodes.Status400BadRequest, e is JsonException ? "the body is no JSON" : e.Message);
            return;
        }

        if (logsOut)
        {
            if (TryReadToken(context.Request, out string token))
            {
                _logins.Forget(token);
            }

            await SendAsync(context, StatusCodes.Status200OK, "{}"u8.ToArray());
        }
        else if (passport is null || !Passport.TryParse(passport, out byte[]? block, out byte[]? proof) || !Passport.TryRead(block, out Passport? read, out _))
        {
            await FailAsync(context, StatusCodes.Status401Unauthorized, "WRONGPASS that is no passport", isWhole: true);
        }
        else if (!read.NeedsProof)
        {
            await SendAsync(context, StatusCodes.Status200OK, "{}"u8.ToArray());
        }
        else if (proof is null)
        {
            await SendAsync(context, ("challenge", _logins.Challenge(Passport.ToText(block), OriginOf(context))), ("node", clients.NodeId));
        }
        else if (challenge is null || _logins.Take(challenge, Passport.ToText(block), OriginOf(context)) is not { } asked)
        {
            await FailAsync(context, StatusCodes.Status401Unauthorized, "WRONGPASS the challenge is over, was answered before, or was given to another: ask for another one", isWhole: true);
        }
        else
        {
            using RespWriter command = new();
            command.Array(3);
            command.Bulk("AUTH"u8);
            command.Bulk("passport"u8);
            command.Bulk(Encoding.ASCII.GetBytes(passport));
            LocalReplies replies = await clients.RunAsync(RequestOf(context, command.Span.ToArray(), [(int)command.Length], 0) with { Challenge = asked }, cancellation);
            if (replies.Outcome != LocalOutcome.Done)
            {
                _logins.GiveBack(asked);
                await EndAsync(context, replies.Outcome);
            }
            else if (replies.Replies.AsSpan().StartsWith("+OK"u8))
            {
                string user = read.Subject.Id.ToString();
                await SendAsync(context, ("token", _logins.Keep(Passport.ToText(block), replies.IsGuest ? TokenHolder.Guest(OriginOf(context), user) : TokenHolder.Known(user))));
            }
            else
            {
                RespReader reader = new(replies.Replies);
                string error = reader.TryRead() == ReadStatus.Complete ? Encoding.UTF8.GetString(reader.Text) : "ERR the node ended the connection";
                if (!error.StartsWith("WRONGPASS", StringComparison.Ordinal))
                {
                    // Who has to wait, since others failed, comes again with the same answer.
                    _logins.GiveBack(asked);
                }

                await FailAsync(context, StatusOf(error), error, isWhole: true);
            }
        }
    }

    /// <summary>Where a request comes from, as long as its sender may take to answer: his address, whatever of this machine's he reaches it by.</summary>
    private static string OriginOf(HttpContext context) =>
        context.Connection.RemoteIpAddress is { } address && !IPAddress.IsLoopback(address) ? (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString() : "";

    private static Task SendAsync(HttpContext context, params ReadOnlySpan<(string Name, string Value)> fields)
    {
        ArrayBufferWriter<byte> body = new();
        using (Utf8JsonWriter json = new(body, _json))
        {
            json.WriteStartObject();
            foreach ((string name, string value) in fields)
            {
                json.WriteString(name, value);
            }

            json.WriteEndObject();
        }

        return SendAsync(context, StatusCodes.Status200OK, body.WrittenMemory);
    }

    private static bool TryReadToken(HttpRequest request, out string token)
    {
        const string scheme = "Bearer ";
        string header = request.Headers.Authorization.ToString();
        bool isToken = header.StartsWith(scheme, StringComparison.OrdinalIgnoreCase);
        token = isToken ? header[scheme.Length..].Trim() : "";
        return isToken;
    }

    // ------------------------------------------------------------------ the request

    private static bool IsJson(string? type) => type is not null && type.Split(';')[0].Trim().Equals("application/json", StringComparison.OrdinalIgnoreCase);

    /// <summary>The body; null: it is too large.</summary>
    private static async Task<byte[]?> ReadAsync(HttpRequest request, CancellationToken cancellation)
    {
        if (request.ContentLength > MaxRequestBytes)
        {
            return null;
        }

        byte[] buffer = new byte[Math.Min(request.ContentLength ?? 4096, MaxRequestBytes) + 1];
        int length = 0;
        while (await request.Body.ReadAsync(buffer.AsMemory(length), cancellation) is > 0 and var read)
        {
            length += read;
            if (length > MaxRequestBytes)
            {
                return null;
            }

            if (length == buffer.Length)
            {
                Array.Resize(ref buffer, Math.Min(2 * length, MaxRequestBytes + 1));
            }
        }

        return buffer[..length];
    }

    /// <exception cref="FormatException">It asks for what there is not.</exception>
    private LocalRequest Read(HttpContext context, byte[] body)
    {
        using JsonDocument document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 8 });
        JsonElement root = document.RootElement;
        if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("commands", out JsonElement commands) || commands.ValueKind != JsonValueKind.Array)
        {
            throw new FormatException("the body is to be an object with an array of commands");
        }

        using RespWriter written = new();
        List<int> ends = [];
        void Add(params ReadOnlySpan<byte[]> words)
        {
            written.Array(words.Length);
            foreach (byte[] word in words)
            {
                written.Bulk(word);
            }

            ends.Add(checked((int)written.Length));
        }

        string? vouched = null;
        if (TryReadToken(context.Request, out string token))
        {
            // One that ended just now is refused as a passport is that is none.
            vouched = _logins.Find(token);
            Add("AUTH"u8.ToArray(), "passport"u8.ToArray(), Encoding.ASCII.GetBytes(vouched ?? ""));
        }
        else if (ReadLogin(context.Request) is { } login)
        {
            Add(login);
        }

        string? version = Text(root, "version");
        if (Text(root, "mimei") is { } mimei)
        {
            byte[] name = Encoding.UTF8.GetBytes(mimei);
            if (version is not null)
            {
                Add("MIMEI"u8.ToArray(), "OPEN"u8.ToArray(), name, "VERSION"u8.ToArray(), Encoding.UTF8.GetBytes(version));
            }
            else
            {
                Add("MIMEI"u8.ToArray(), "OPEN"u8.ToArray(), name);
            }
        }
        else if (version is not null)
        {
            throw new FormatException("a version is one of a mimei, which is to be named");
        }

        if (root.TryGetProperty("database", out JsonElement database))
        {
            if (database.ValueKind != JsonValueKind.Number || !database.TryGetInt32(out int number))
            {
                throw new FormatException("the database is to be a number");
            }

            if (number != 0)
            {
                Add("SELECT"u8.ToArray(), Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture)));
            }
        }

        int required = ends.Count;
        if (commands.GetArrayLength() is 0 or > MaxCommands)
        {
            throw new FormatException($"a request has 1 to {MaxCommands} commands");
        }

        foreach (JsonElement command in commands.EnumerateArray())
        {
            if (command.ValueKind != JsonValueKind.Array || command.GetArrayLength() == 0)
            {
                throw new FormatException("a command is to be an array of words");
            }

            byte[][] words = [.. command.EnumerateArray().Select(Word)];
            if (Refusal(words) is { } refused)
            {
                throw new FormatException($"'{refused}' cannot be had over HTTP");
            }

            Add(words);
        }

        return RequestOf(context, written.Span.ToArray(), ends, required) with { Vouched = vouched };
    }

    private static LocalRequest RequestOf(HttpContext context, byte[] commands, IReadOnlyList<int> ends, int required)
    {
        ConnectionInfo connection = context.Connection;
        return new LocalRequest(
            Address(connection.RemoteIpAddress, connection.RemotePort),
            Address(connection.LocalIpAddress, connection.LocalPort),
            connection.RemoteIpAddress is null || IPAddress.IsLoopback(connection.RemoteIpAddress),
            commands,
            ends,
            required,
            MaxReplyBytes);
    }

    private static string Address(IPAddress? address, int port) => address is null ? "" : new IPEndPoint(address, port).ToString();

    private static string? Text(JsonElement root, string name) =>
        !root.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null ? null
        : value.ValueKind == JsonValueKind.String ? Text(value) : throw new FormatException($"{name} is to be a text");

    /// <summary>A text, which JSON lets be no text at all: half of a surrogate pair, or bytes that are no UTF-8.</summary>
    private static string Text(JsonElement text)
    {
        try
        {
            return text.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new FormatException("a text is to be Unicode; other bytes are {\"base64\": text}", e);
        }
    }

    private static byte[] Word(JsonElement word) => word.ValueKind switch
    {
        JsonValueKind.String => Encoding.UTF8.GetBytes(Text(word)),
        JsonValueKind.Number => Encoding.ASCII.GetBytes(word.GetRawText()),
        JsonValueKind.Object when word.TryGetProperty("base64", out JsonElement bytes) && bytes.ValueKind == JsonValueKind.String && bytes.TryGetBytesFromBase64(out byte[]? value) => value,
        _ => throw new FormatException("a word is to be a text, a number or {\"base64\": text}"),
    };

    /// <summary>What logs in as the Authorization header says; null: there is none.</summary>
    private static byte[][]? ReadLogin(HttpRequest request)
    {
        string header = request.Headers.Authorization.ToString();
        if (header.Length == 0)
        {
            return null;
        }

        int space = header.IndexOf(' ', StringComparison.Ordinal);
        string scheme = space < 0 ? header : header[..space], given = space < 0 ? "" : header[(space + 1)..].Trim();
        if (scheme.Equals("Passport", StringComparison.OrdinalIgnoreCase))
        {
            return ["AUTH"u8.ToArray(), "passport"u8.ToArray(), Encoding.UTF8.GetBytes(given)];
        }

        byte[] decoded = new byte[given.Length];
        if (!scheme.Equals("Basic", StringComparison.OrdinalIgnoreCase) || !Convert.TryFromBase64String(given, decoded, out int length) || decoded.AsSpan(0, length).IndexOf((byte)':') is var colon && colon < 0)
        {
            throw new FormatException("the Authorization header is to be Basic, Passport or Bearer");
        }

        byte[] password = decoded[(colon + 1)..length];
        return colon == 0 ? ["AUTH"u8.ToArray(), password] : ["AUTH"u8.ToArray(), decoded[..colon], password];
    }

    /// <summary>The command, if it is none for HTTP; null: it is, or there is no such.</summary>
    private static unsafe string? Refusal(byte[][] words)
    {
        fixed (byte* name = words[0], second = words.Length > 1 ? words[1] : [])
        {
            CommandSpec? spec = CommandTable.Shared.Find(new Slice(name, words[0].Length));
            if (spec is { Subcommands.Length: > 0 } && words.Length > 1)
            {
                spec = CommandTable.FindSub(spec, new Slice(second, words[1].Length)) ?? spec;
            }

            return spec is not null && (spec.Has(CommandFlags.Blocking) || _refused.Contains(spec.FullName)) ? spec.FullName : null;
        }
    }

    // ------------------------------------------------------------------ the reply

    private static async Task ReplyAsync(HttpContext context, LocalRequest request, byte[] replies)
    {
        ArrayBufferWriter<byte> body = new(replies.Length + (replies.Length / 8) + 256);
        if (Write(body, request, replies) is { } error)
        {
            await FailAsync(context, StatusOf(error), error, isWhole: true);
            return;
        }

        await SendAsync(context, StatusCodes.Status200OK, body.WrittenMemory);
    }

    /// <summary>Writes the replies; or returns why there are none for what was asked.</summary>
    private static string? Write(IBufferWriter<byte> body, LocalRequest request, byte[] replies)
    {
        RespReader reader = new(replies);
        for (int i = 0; i < request.Required; i++)
        {
            if (reader.TryRead() != ReadStatus.Complete)
            {
                return "ERR the node ended the connection";
            }

            if (reader.IsError)
            {
                return Encoding.UTF8.GetString(reader.Text);
            }
        }

        if (replies.AsSpan(reader.Consumed).StartsWith("-NOAUTH "u8))
        {
            _ = reader.TryRead();
            return Encoding.UTF8.GetString(reader.Text);
        }

        using Utf8JsonWriter json = new(body, _json);
        json.WriteStartObject();
        json.WriteStartArray("replies");
        while (reader.Consumed < replies.Length)
        {
            if (reader.TryRead() != ReadStatus.Complete)
            {
                throw new InvalidOperationException("A reply is not whole.");
            }

            Write(json, ref reader, 0);
        }

        json.WriteEndArray();
        json.WriteEndObject();
        return null;
    }

    private static void Write(Utf8JsonWriter json, ref RespReader reader, int depth)
    {
        if (reader.IsNull)
        {
            json.WriteNullValue();
        }
        else if (reader.IsError)
        {
            json.WriteStartObject();
            json.WriteString("error", Encoding.UTF8.GetString(reader.Text));
            json.WriteEndObject();
        }
        else if (reader.IsAggregate)
        {
            int count = reader.ElementCount;
            json.WriteStartArray();
            for (int i = 0; i < count; i++)
            {
                if (depth == MaxDepth)
                {
                    _ = reader.TrySkip();
                }
                else if (reader.TryRead() == ReadStatus.Complete)
                {
                    Write(json, ref reader, depth + 1);
                }
            }

            json.WriteEndArray();
        }
        else if (reader.Type == RespType.Integer)
        {
            // Beyond this a number of JavaScript's is not exact.
            const long maxExact = (1L << 53) - 1;
            if (reader.Integer is >= -maxExact and <= maxExact)
            {
                json.WriteNumberValue(reader.Integer);
            }
            else
            {
                json.WriteStringValue(reader.Integer.ToString(CultureInfo.InvariantCulture));
            }
        }
        else if (Utf8.IsValid(reader.Text))
        {
            json.WriteStringValue(reader.Text);
        }
        else
        {
            json.WriteStartObject();
            json.WriteBase64String("base64", reader.Text);
            json.WriteEndObject();
        }
    }

    private static int StatusOf(string error) =>
        error.StartsWith("NOAUTH", StringComparison.Ordinal) || error.StartsWith("WRONGPASS", StringComparison.Ordinal) ? StatusCodes.Status401Unauthorized
        : error.StartsWith("NOPERM", StringComparison.Ordinal) ? StatusCodes.Status403Forbidden
        : StatusCodes.Status400BadRequest;

    private static Task FailAsync(HttpContext context, int status, string error, bool isWhole = false)
    {
        if (status == StatusCodes.Status401Unauthorized)
        {
            // Not Basic: the page asks for the password, and no window of the browser's is to.
            context.Response.Headers.WWWAuthenticate = "Passport";
        }

        ArrayBufferWriter<byte> body = new();
        using (Utf8JsonWriter json = new(body, _json))
        {
            json.WriteStartObject();
            json.WriteString("error", isWhole ? error : "ERR " + error);
            json.WriteEndObject();
        }

        return SendAsync(context, status, body.WrittenMemory);
    }

    private static Task SendAsync(HttpContext context, int status, ReadOnlyMemory<byte> body)
    {
        HttpResponse response = context.Response;
        response.StatusCode = status;
        response.ContentType = "application/json";
        response.ContentLength = body.Length;
        response.Headers.CacheControl = "no-store";
        response.Headers.XContentTypeOptions = "nosniff";
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : response.Body.WriteAsync(body, context.RequestAborted).AsTask();
    }
}
