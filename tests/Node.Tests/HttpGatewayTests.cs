using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Leither.Node.Http;
using Leither.Node.Logging;
using Leither.Node.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class HttpGatewayTests : IAsyncLifetime, IDisposable
{
    private readonly HttpGateway _gateway;
    private readonly MiniServer _server;
    private readonly HttpClient _http = new();

    public HttpGatewayTests()
    {
        _gateway = new HttpGateway(new FixedStatus(), NodeLog.None);
        _server = new MiniServer(
            OperatingSystem.IsLinux() ? "epoll" : "socket",
            wrap: inner => new PortHandler(inner, _gateway.Take, () => null, NodeLog.None));
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    public void Dispose()
    {
        _http.Dispose();
        _server.Dispose();
    }

    [Fact]
    public async Task Health_is_ok_on_the_port_that_serves_RESP()
    {
        Assert.False(_gateway.IsStarted);
        using RespClient resp = _server.Connect();
        Assert.Equal("PONG", resp.Call("PING").Text);
        Assert.False(_gateway.IsStarted);

        using HttpResponseMessage health = await _http.GetAsync(Url("/health"));
        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
        Assert.Equal(new MediaTypeHeaderValue("application/json"), health.Content.Headers.ContentType);
        Assert.Equal("{\"status\":\"ok\"}\n", await health.Content.ReadAsStringAsync());
        Assert.True(_gateway.IsStarted);
        Assert.Equal("PONG", resp.Call("PING").Text);
    }

    [Fact]
    public async Task A_connection_serves_many_requests()
    {
        for (int i = 0; i < 20; i++)
        {
            using HttpResponseMessage missing = await _http.GetAsync(Url("/nothing"));
            Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
        }

        Assert.Equal(1, _server.Ask(s => s.Opened));
        using HttpResponseMessage refused = await _http.PostAsync(Url("/"), new StringContent(new string('x', 100_000)));
        Assert.Equal(HttpStatusCode.MethodNotAllowed, refused.StatusCode);
    }

    [Fact]
    public async Task HTTP_2_is_served_too()
    {
        using HttpRequestMessage request = new(HttpMethod.Get, Url("/health")) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        using HttpResponseMessage health = await _http.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
    }

    [Theory]
    [InlineData("localhost", HttpStatusCode.OK)]
    [InlineData("127.0.0.1", HttpStatusCode.OK)]
    [InlineData("[::1]", HttpStatusCode.OK)]
    [InlineData("evil.example", HttpStatusCode.Forbidden)]
    public async Task Only_names_of_this_machine_are_answered(string host, HttpStatusCode expected)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, Url("/"));
        request.Headers.Host = host;
        using HttpResponseMessage response = await _http.SendAsync(request);
        Assert.Equal(expected, response.StatusCode);
    }

    [Fact]
    public void A_request_in_single_bytes_is_served()
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 30_000 };
        socket.Connect(IPAddress.Loopback, _server.Port);
        foreach (byte b in "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8)
        {
            socket.Send([b]);
        }

        using NetworkStream stream = new(socket);
        using StreamReader reader = new(stream, Encoding.ASCII);
        string answer = reader.ReadToEnd();
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", answer, StringComparison.Ordinal);
        Assert.EndsWith("{\"status\":\"ok\"}\n", answer, StringComparison.Ordinal);
    }

    private Uri Url(string path) => new($"http://127.0.0.1:{_server.Port}{path}");

    private sealed class FixedStatus : INodeStatus;
}
