using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Leither.MmDb.Configuration;
using Leither.Node.Http;
using Leither.Node.Logging;
using Leither.Node.Transport;
using Leither.Node.Transport.Tls;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class TlsTests : IAsyncLifetime, IDisposable
{
    private readonly TempDir _folder = new();
    private readonly ConfigSettings _settings = new();
    private readonly HttpGateway _gateway = new(new FixedStatus(), NodeLog.None);
    private readonly TlsAcceptor _tls;
    private readonly MiniServer _server;

    public TlsTests()
    {
        _tls = new TlsAcceptor(_settings, _folder.Path, NodeLog.None, TimeProvider.System);
        _server = new MiniServer(
            OperatingSystem.IsLinux() ? "epoll" : "socket",
            wrap: inner => new PortHandler(inner, _gateway.Take, () => null, NodeLog.None) { Tls = _tls, Https = _gateway.Take });
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _gateway.DisposeAsync();

    public void Dispose()
    {
        _server.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task RESP_and_HTTPS_are_served_inside_TLS_and_plain_beside_it()
    {
        using RespClient plain = _server.Connect();
        await using SslStream stream = await OpenAsync();
        Assert.Equal("+PONG\r\n", await AskAsync(stream, "*1\r\n$4\r\nPING\r\n"));
        Assert.Equal("PONG", plain.Call("PING").Text);

        using HttpClientHandler handler = new() { ServerCertificateCustomValidationCallback = (_, _, _, _) => true };
        using HttpClient http = new(handler);
        foreach (Version version in (Version[])[HttpVersion.Version11, HttpVersion.Version20])
        {
            using HttpRequestMessage request = new(HttpMethod.Get, $"https://localhost:{_server.Port}/health") { Version = version, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
            using HttpResponseMessage health = await http.SendAsync(request);
            Assert.Equal((HttpStatusCode.OK, version), (health.StatusCode, health.Version));
        }
    }

    [Theory]
    [InlineData(SslProtocols.Tls12)]
    [InlineData(SslProtocols.Tls13)]
    public async Task Much_comes_back_as_it_was_sent(SslProtocols protocol)
    {
        await using SslStream stream = await OpenAsync(protocol);
        Assert.Equal(protocol, stream.SslProtocol);
        int seed = Seed.OfRun();
        Random random = new(seed);
        for (int round = 0; round < 20; round++)
        {
            byte[] value = new byte[random.Next(1, 1 << random.Next(1, 21))];
            random.NextBytes(value);
            byte[] head = Encoding.ASCII.GetBytes($"*2\r\n$4\r\nECHO\r\n${value.Length}\r\n");
            byte[] request = [.. head, .. value, .. "\r\n"u8];

            // In pieces of any size: records and commands end where they like.
            Task sending = Task.Run(async () =>
            {
                for (int at = 0; at < request.Length;)
                {
                    int length = Math.Min(random.Next(1, 70_000), request.Length - at);
                    await stream.WriteAsync(request.AsMemory(at, length));
                    at += length;
                }
            });
            byte[] reply = new byte[head.Length - "*2\r\n$4\r\nECHO\r\n".Length + value.Length + 2];
            await stream.ReadExactlyAsync(reply);
            await sending;
            Assert.True(reply.AsSpan()[^(value.Length + 2)..^2].SequenceEqual(value), $"seed {seed}");
        }
    }

    [Fact]
    public async Task A_pipeline_in_one_record_is_answered_whole()
    {
        await using SslStream stream = await OpenAsync();
        const int Count = 50_000;
        Task sending = stream.WriteAsync(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("*1\r\n$4\r\nPING\r\n", Count)))).AsTask();
        byte[] replies = new byte[Count * 7];
        await stream.ReadExactlyAsync(replies);
        await sending;
        Assert.Equal(string.Concat(Enumerable.Repeat("+PONG\r\n", Count)), Encoding.ASCII.GetString(replies));
    }

    [Fact]
    public async Task What_is_no_handshake_ends_the_connection_and_nothing_else()
    {
        await using SslStream good = await OpenAsync();
        Random random = new(Seed.OfRun());
        foreach (int length in (int[])[1, 5, 6, 100, 5000, 100_000])
        {
            byte[] garbage = new byte[length];
            random.NextBytes(garbage);
            garbage[0] = 0x16;
            using Socket socket = Connect();
            await SendAllAsync(socket, garbage);
            socket.Shutdown(SocketShutdown.Send);
            await EndsAsync(socket);
        }

        Assert.Equal("+PONG\r\n", await AskAsync(good, "PING\r\n"));
    }

    [Fact]
    public async Task A_handshake_that_never_ends_in_size_is_cut_off()
    {
        using Socket socket = Connect();

        // Records of a client hello that says it is larger than any.
        byte[] record = new byte[5 + 16384];
        (record[0], record[1], record[2], record[3], record[4]) = (0x16, 3, 1, 0x40, 0);
        (record[5], record[6], record[7], record[8]) = (1, 0xFF, 0xFF, 0xFF);
        int sent = 0;
        try
        {
            while (sent < 64 * TlsAcceptor.MaxHandshakeBytes)
            {
                sent += await socket.SendAsync(record);
            }
        }
        catch (SocketException)
        {
            // Cut off.
        }

        Assert.InRange(sent, 1, (64 * TlsAcceptor.MaxHandshakeBytes) - 1);
    }

    [Fact]
    public async Task Handshakes_beyond_the_limit_are_turned_away_and_room_comes_back()
    {
        List<Socket> slow = [];
        try
        {
            for (int i = 0; i < TlsAcceptor.MaxHandshakes; i++)
            {
                Socket socket = Connect();
                slow.Add(socket);
                await socket.SendAsync(new byte[] { 0x16 });
            }

            Wait.Until(() => _server.Ask(s => s.Opened) == TlsAcceptor.MaxHandshakes);
            using (Socket late = Connect())
            {
                await late.SendAsync(new byte[] { 0x16 });
                await EndsAsync(late);
            }

            // Plain clients do not notice.
            using RespClient plain = _server.Connect();
            Assert.Equal("PONG", plain.Call("PING").Text);
        }
        finally
        {
            slow.ForEach(static s => s.Dispose());
        }

        await UntilAsync(async () =>
        {
            try
            {
                await using SslStream again = await OpenAsync();
                return await AskAsync(again, "PING\r\n") == "+PONG\r\n";
            }
            catch (IOException)
            {
                return false;
            }
        });
    }

    [Fact]
    public async Task What_is_closed_is_closed_with_notice()
    {
        await using SslStream stream = await OpenAsync();
        Assert.Equal("+OK\r\n", await AskAsync(stream, "QUIT\r\n"));

        // Without it, reading would fail.
        Assert.Equal(0, await stream.ReadAsync(new byte[1]));
    }

    [Fact]
    public async Task The_certificate_of_its_own_is_kept_and_closed_to_others()
    {
        byte[] first = await CertificateAsync();
        TlsAcceptor next = new(_settings, _folder.Path, NodeLog.None, TimeProvider.System);
        Assert.Null(next.Reload());
        using X509Certificate2 kept = X509Certificate2.CreateFromPem(File.ReadAllText(Path.Combine(_folder.Path, "tls", "node.crt")));
        Assert.Equal(first, kept.RawData);
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(_folder.Path, "tls", "node.key")));
        }

        Assert.True(kept.MatchesHostname("localhost"));
        Assert.True(kept.MatchesHostname("127.0.0.1"));
    }

    [Fact]
    public async Task A_configured_certificate_is_used_and_one_that_cannot_be_leaves_the_last()
    {
        byte[] own = await CertificateAsync();
        using Authority authority = new("Authority");
        (string certificate, string key) = authority.Issue("localhost", isServer: true, "secret");
        Configure(ConfigKeys.TlsCertFile, Write("a.crt", certificate));
        Configure(ConfigKeys.TlsKeyFile, Write("a.key", key));
        Assert.NotNull(_tls.Reload()); // encrypted
        Assert.Equal(own, await CertificateAsync());

        Configure(ConfigKeys.TlsKeyFilePassword, "secret");
        Assert.Null(_tls.Reload());
        Assert.Equal(X509Certificate2.CreateFromPem(certificate).RawData, await CertificateAsync());

        Configure(ConfigKeys.TlsProtocols, "TLSv1.1");
        Assert.NotNull(_tls.Reload());
        Configure(ConfigKeys.TlsProtocols, "TLSv1.3");
        Configure(ConfigKeys.TlsCipherSuites, "TLS_CHACHA20_POLY1305_SHA256");
        Assert.Null(_tls.Reload());
        await using SslStream stream = await OpenAsync();
        Assert.Equal((SslProtocols.Tls13, TlsCipherSuite.TLS_CHACHA20_POLY1305_SHA256), (stream.SslProtocol, stream.NegotiatedCipherSuite));
        await Assert.ThrowsAnyAsync<Exception>(() => OpenAsync(SslProtocols.Tls12));
        Configure(ConfigKeys.TlsCipherSuites, "DEFAULT:!MEDIUM");
        Assert.NotNull(_tls.Reload());
    }

    [Fact]
    public async Task A_file_that_is_replaced_is_read_again()
    {
        using Authority authority = new("Authority");
        (string first, string firstKey) = authority.Issue("localhost", isServer: true);
        (string second, string secondKey) = authority.Issue("localhost", isServer: true);
        string file = Write("both.pem", first + "\n" + firstKey);
        Configure(ConfigKeys.TlsCertFile, file);
        Assert.Equal(X509Certificate2.CreateFromPem(first).RawData, await CertificateAsync());
        Write("both.pem", second + "\n" + secondKey);
        File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddSeconds(5));
        byte[] wanted = X509Certificate2.CreateFromPem(second).RawData;
        await UntilAsync(async () => (await CertificateAsync()).AsSpan().SequenceEqual(wanted));
    }

    [Fact]
    public async Task Client_certificates_count_when_they_come_from_the_named_authority()
    {
        Put(ConfigKeys.TlsAuthClients, "yes");
        Assert.Contains("tls-ca-cert-file", _tls.Reload(), StringComparison.Ordinal);

        using Authority authority = new("Authority"), other = new("Other");
        Configure(ConfigKeys.TlsCaCertFile, Write("ca.crt", authority.Certificate.ExportCertificatePem()));
        Assert.Null(_tls.Reload());
        using X509Certificate2 good = Load(authority.Issue("app", isServer: false)), forged = Load(other.Issue("app", isServer: false)), server = Load(authority.Issue("app", isServer: true));
        Assert.True(await ServesAsync(good));
        Assert.False(await ServesAsync(forged));
        Assert.False(await ServesAsync(server)); // made for another purpose
        Assert.False(await ServesAsync(null));

        Put(ConfigKeys.TlsAuthClients, "optional");
        Assert.Null(_tls.Reload());
        Assert.True(await ServesAsync(good));
        Assert.False(await ServesAsync(forged));
        Assert.True(await ServesAsync(null));
    }

    [Fact]
    public async Task With_a_TLS_port_alone_plain_connections_are_turned_away()
    {
        Put(ConfigKeys.Port, "0");
        Put(ConfigKeys.TlsPort, "6380");
        foreach (string said in (string[])["PING\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
        {
            using Socket socket = Connect();
            await socket.SendAsync(Encoding.ASCII.GetBytes(said));
            await EndsAsync(socket);
        }

        await using SslStream stream = await OpenAsync();
        Assert.Equal("+PONG\r\n", await AskAsync(stream, "PING\r\n"));
    }

    [Fact]
    public async Task Within_TLS_there_is_no_TLS_and_no_libp2p()
    {
        foreach (string said in (string[])["\u0016\u0003\u0001", "\u0013/multistream/1.0.0\n"])
        {
            await using SslStream stream = await OpenAsync();
            await stream.WriteAsync(Encoding.Latin1.GetBytes(said));
            Assert.Equal(0, await stream.ReadAsync(new byte[1]));
        }
    }

    [Fact]
    public async Task Redis_cli_and_curl_get_along_with_it()
    {
        _ = await CertificateAsync();
        string certificate = Path.Combine(_folder.Path, "tls", "node.crt");
        if (RedisServer.IsInstalled)
        {
            Assert.Equal("PONG\n", await RunAsync("redis-cli", "--tls", "--cacert", certificate, "-p", $"{_server.Port}", "PING"));
        }

        if (File.Exists("/usr/bin/curl"))
        {
            Assert.Equal("{\"status\":\"ok\"}\n", await RunAsync("curl", "-s", "--cacert", certificate, $"https://localhost:{_server.Port}/health"));
        }
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        long began = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Wait.Limit);
            await Task.Delay(50);
        }
    }

    private static async Task<string> RunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        using CancellationTokenSource limit = new(Wait.Limit);
        string output = await process.StandardOutput.ReadToEndAsync(limit.Token);
        await process.WaitForExitAsync(limit.Token);
        return output;
    }

    private static X509Certificate2 Load((string Certificate, string Key) pem) => X509Certificate2.CreateFromPem(pem.Certificate, pem.Key);

    private static async Task<string> AskAsync(SslStream stream, string request)
    {
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request));
        byte[] reply = new byte[64];
        return Encoding.ASCII.GetString(reply, 0, await stream.ReadAsync(reply));
    }

    private static async Task SendAllAsync(Socket socket, byte[] bytes)
    {
        try
        {
            for (int at = 0; at < bytes.Length;) at += await socket.SendAsync(bytes.AsMemory(at));
        }
        catch (SocketException)
        {
            // Cut off before all was sent.
        }
    }

    /// <summary>Reads to the end, which has to come.</summary>
    private static async Task EndsAsync(Socket socket)
    {
        using CancellationTokenSource limit = new(Wait.Limit);
        byte[] alert = new byte[256];
        try
        {
            while (await socket.ReceiveAsync(alert, limit.Token) > 0)
            {
            }
        }
        catch (SocketException)
        {
            // Reset: what it had sent was not all read.
        }
    }

    private async Task<bool> ServesAsync(X509Certificate2? certificate)
    {
        try
        {
            await using SslStream stream = await OpenAsync(SslProtocols.None, certificate);
            return await AskAsync(stream, "PING\r\n") == "+PONG\r\n";
        }
        catch (Exception e) when (e is IOException or AuthenticationException)
        {
            return false;
        }
    }

    private async Task<byte[]> CertificateAsync()
    {
        await using SslStream stream = await OpenAsync();
        return stream.RemoteCertificate!.GetRawCertData();
    }

    private async Task<SslStream> OpenAsync(SslProtocols protocol = SslProtocols.None, X509Certificate2? certificate = null)
    {
        SslStream stream = new(new NetworkStream(Connect(), ownsSocket: true));
        try
        {
            await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
            {
                TargetHost = "localhost",
                EnabledSslProtocols = protocol,
                RemoteCertificateValidationCallback = static (_, _, _, _) => true,
                ClientCertificateContext = certificate is null ? null : SslStreamCertificateContext.Create(certificate, null, offline: true),
            });
            return stream;
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    private Socket Connect()
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(IPAddress.Loopback, _server.Port);
        return socket;
    }

    private string Write(string name, string text)
    {
        string path = Path.Combine(_folder.Path, name);
        File.WriteAllText(path, text);
        return path;
    }

    private void Configure(ConfigKey<string> key, string text) => _settings.Put(key, ConfigText.FromText(text));

    private void Put(ConfigKey key, string text) => Assert.Null(_settings.Set([(key.Name, text)], isLocal: true));

    private sealed class FixedStatus : INodeStatus;

    /// <summary>An authority for one test.</summary>
    private sealed class Authority : IDisposable
    {
        private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);

        public Authority(string name)
        {
            CertificateRequest request = new($"CN={name}", _key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
            Certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        }

        public X509Certificate2 Certificate { get; }

        public (string Certificate, string Key) Issue(string name, bool isServer, string? password = null)
        {
            using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(isServer ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2")], false));
            using X509Certificate2 made = request.Create(Certificate, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddHours(1), RandomNumberGenerator.GetBytes(8));
            PbeParameters encryption = new(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000);
            return (made.ExportCertificatePem(), password is null ? key.ExportPkcs8PrivateKeyPem() : key.ExportEncryptedPkcs8PrivateKeyPem(password, encryption));
        }

        public void Dispose()
        {
            Certificate.Dispose();
            _key.Dispose();
        }
    }
}
