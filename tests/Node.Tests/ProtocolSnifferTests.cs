using System.Net.Sockets;
using System.Text;
using Leither.Node.Logging;
using Leither.Node.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

public sealed class ProtocolSnifferTests
{
    [Theory]
    [InlineData("*1\r\n$4\r\nPING\r\n", PortProtocol.Resp)]
    [InlineData("PING\r\n", PortProtocol.Resp)]
    [InlineData("ping\r\n", PortProtocol.Resp)]
    [InlineData("\r\n", PortProtocol.Resp)]
    [InlineData("GET key\r\n", PortProtocol.Resp)]
    [InlineData("GET /x\r\n", PortProtocol.Resp)]
    [InlineData("GET /x HTTP/1.\r\n", PortProtocol.Resp)]
    [InlineData("GET HTTP/1.1\r\n", PortProtocol.Resp)]
    [InlineData("get / HTTP/1.1\r\n", PortProtocol.Resp)]
    [InlineData("POST / \r\nHTTP/1.1\r\n", PortProtocol.Resp)]
    [InlineData("SET a HTTP/2.0\r\n", PortProtocol.Resp)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\n\r\n", PortProtocol.Http)]
    [InlineData("GET / HTTP/1.0\n", PortProtocol.Http)]
    [InlineData("OPTIONS * HTTP/1.1\r\n", PortProtocol.Http)]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PortProtocol.Http)]
    [InlineData("\u0016\u0003\u0001", PortProtocol.Tls)]
    [InlineData("\u0013/multistream/1.0.0\n", PortProtocol.Libp2p)]
    [InlineData("\u0013/multistream/2.0.0\n", PortProtocol.Resp)]
    public void First_bytes_tell_the_protocol_and_a_prefix_of_them_never_tells_another(string first, PortProtocol expected)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(first);
        Assert.Equal(expected, ProtocolSniffer.Sniff(bytes));
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.Contains(ProtocolSniffer.Sniff(bytes.AsSpan(0, length)), (PortProtocol[])[PortProtocol.Unknown, expected]);
        }
    }

    [Fact]
    public void A_line_without_end_is_left_to_RESP()
    {
        byte[] line = new byte[ProtocolSniffer.MaxLineBytes];
        line.AsSpan().Fill((byte)'A');
        Assert.Equal(PortProtocol.Unknown, ProtocolSniffer.Sniff(line.AsSpan(1)));
        Assert.Equal(PortProtocol.Resp, ProtocolSniffer.Sniff(line));
    }

    [Theory]
    [InlineData("epoll")]
    [InlineData("socket")]
    public void One_port_serves_RESP_hands_HTTP_on_and_closes_the_rest(string kind)
    {
        List<string> handed = [];
        using MiniServer server = new(kind, wrap: inner => new PortHandler(inner, Take, () => null, NodeLog.None));

        void Take(Socket socket, byte[] received)
        {
            handed.Add(Encoding.ASCII.GetString(received));
            socket.Blocking = true;
            socket.Send("HTTP/1.1 204 No Content\r\n\r\n"u8);
            socket.Dispose();
        }

        using RespClient resp = server.Connect();
        foreach (byte b in "GET key\r\nPING\r\n"u8)
        {
            resp.SendRaw([b]);
        }

        Assert.True(resp.Read().IsError);
        Assert.Equal("PONG", resp.Read().Text);

        using RespClient http = server.Connect();
        http.SendRaw("GET / HT");
        http.SendRaw("TP/1.1\r\nHost: here\r\n\r\n");
        byte[] answer = new byte[100];
        Assert.Equal("HTTP/1.1 204 No Content\r\n\r\n", Encoding.ASCII.GetString(answer, 0, http.Socket.Receive(answer)));
        Assert.StartsWith("GET / HTTP/1.1\r\n", Assert.Single(handed), StringComparison.Ordinal);

        foreach (string other in (string[])["\u0016\u0003\u0001\u0002\u0000", "\u0013/multistream/1.0.0\n"])
        {
            using RespClient client = server.Connect();
            client.SendRaw(other);
            Assert.True(client.IsClosedByServer());
        }

        Assert.Equal("PONG", resp.Call("PING").Text);
        server.Until(s => s.Closed == 3);
    }
}
