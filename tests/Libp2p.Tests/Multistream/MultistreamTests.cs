using System.Text;
using Leither.Libp2p.Multistream;
using Leither.Libp2p.Transport;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.Multistream;

public sealed class MultistreamTests
{
    private const string Header = "\x13/multistream/1.0.0\n";

    [Theory]
    [InlineData("/a", "/a", "/a")]
    [InlineData("/a,/b,/c", "/c,/b", "/b")]
    [InlineData("/x,/y,/noise", "/noise", "/noise")]
    public async Task The_first_proposal_that_the_listener_speaks_is_taken(string proposed, string spoken, string expected)
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var dialing = new InputBuffer(dialer);
        using var listening = new InputBuffer(listener);
        Task<string?> accepted = MultistreamSelect.ListenAsync(listening, spoken.Split(',').Contains).AsTask();
        Assert.Equal(expected, await MultistreamSelect.DialAsync(dialing, proposed.Split(',')));
        Assert.Equal(expected, await accepted);
        Assert.False(dialing.HasInput || listening.HasInput);
    }

    [Fact]
    public async Task Nothing_in_common_is_an_error_for_the_dialer_and_the_end_for_the_listener()
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var dialing = new InputBuffer(dialer);
        using var listening = new InputBuffer(listener);
        Task<string?> accepted = MultistreamSelect.ListenAsync(listening, _ => false).AsTask();
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(async () => await MultistreamSelect.DialAsync(dialing, ["/a", "/b"]));
        Assert.Equal(Libp2pError.UnsupportedProtocol, e.Error);
        dialer.Dispose();
        Assert.Null(await accepted);
    }

    [Theory]
    [InlineData(Header + "\x07/noise\n", Header + "\x07/noise\n")]
    [InlineData(Header + "\x03ls\n\x03/a\n\x07/noise\n", Header + "\x03na\n\x03na\n\x07/noise\n")]
    public async Task What_is_answered(string sent, string answered)
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var listening = new InputBuffer(listener);
        await dialer.SendAsync(Encoding.Latin1.GetBytes(sent));
        Assert.Equal("/noise", await MultistreamSelect.ListenAsync(listening, id => id == "/noise"));
        byte[] answer = new byte[answered.Length];
        using var back = new InputBuffer(dialer);
        await LengthPrefixed.ReadExactlyAsync(back, answer);
        Assert.Equal(answered, Encoding.Latin1.GetString(answer));
        Assert.False(back.HasInput);
    }

    [Fact]
    public async Task A_dialer_that_waits_for_the_header_gets_it()
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var listening = new InputBuffer(listener);
        using var back = new InputBuffer(dialer);
        Task<string?> accepted = MultistreamSelect.ListenAsync(listening, _ => true).AsTask();
        await dialer.SendAsync(Encoding.Latin1.GetBytes(Header));
        byte[] header = new byte[Header.Length];
        await LengthPrefixed.ReadExactlyAsync(back, header);
        Assert.Equal(Header, Encoding.Latin1.GetString(header));
        await dialer.SendAsync(Encoding.Latin1.GetBytes("\x03/a\n"));
        Assert.Equal("/a", await accepted);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n")]
    [InlineData("\x13/multistream/2.0.0\n\x07/noise\n")]
    [InlineData(Header + "\0")]
    [InlineData(Header + "\x06/noise")]
    [InlineData(Header + "\xff\xff\xff\xff\xff\xff\xff")]
    [InlineData(Header + "\x80\0")]
    [InlineData(Header + "\xff\x7f")]
    [InlineData("\xff\xff\xff\xff\xff")]
    [InlineData(Header + "\x07/noi")]
    public async Task What_is_malformed_is_refused(string sent)
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var listening = new InputBuffer(listener);
        await dialer.SendAsync(Encoding.Latin1.GetBytes(sent));
        dialer.Dispose();
        await Assert.ThrowsAsync<Libp2pException>(async () => await MultistreamSelect.ListenAsync(listening, id => id == "/never"));
    }

    [Fact]
    public async Task Proposals_are_counted()
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var listening = new InputBuffer(listener);
        await dialer.SendAsync(Encoding.Latin1.GetBytes(Header + string.Concat(Enumerable.Repeat("\x03/a\n", 1000))));
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(async () => await MultistreamSelect.ListenAsync(listening, _ => false));
        Assert.Equal(Libp2pError.LimitExceeded, e.Error);
    }

    [Fact]
    public async Task Whatever_is_sent_ends_in_an_answer_or_an_error() => await Seed.RunAsync(async random =>
    {
        for (int i = 0; i < 2000; i++)
        {
            byte[] bytes = Encoding.Latin1.GetBytes(Header + "\x07/noise\n\x03ls\n\x03/a\n");
            for (int changes = random.Next(4); changes > 0; changes--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
            using var listening = new InputBuffer(listener);
            await dialer.SendAsync(bytes.AsMemory(0, random.Next(1, bytes.Length + 1)));
            dialer.Dispose();
            try
            {
                string? protocol = await MultistreamSelect.ListenAsync(listening, id => id == "/a");
                Assert.True(protocol is null or "/a");
            }
            catch (IOException)
            {
                // Refused, or cut off.
            }

            listener.Dispose();
        }
    });

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(127)]
    [InlineData(128)]
    [InlineData(20_000)]
    [InlineData(100_000)]
    public async Task Length_prefixed_messages_come_back(int length)
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var sending = new InputBuffer(dialer);
        using var receiving = new InputBuffer(listener);
        byte[] message = new byte[length];
        new Random(length).NextBytes(message);
        await LengthPrefixed.WriteAsync(sending, message);
        Assert.Equal(message, await LengthPrefixed.ReadAsync(receiving, length));
        dialer.Dispose();
        Assert.Null(await LengthPrefixed.ReadAsync(receiving, length));
    }

    [Theory]
    [InlineData(new byte[] { 0x65 }, Libp2pError.ProtocolViolation)] // 101 bytes
    [InlineData(new byte[] { 0xff, 0xff, 0xff, 0xff, 0x0f }, Libp2pError.ProtocolViolation)]
    [InlineData(new byte[] { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, Libp2pError.ProtocolViolation)]
    [InlineData(new byte[] { 0x80, 0x00 }, Libp2pError.ProtocolViolation)]
    [InlineData(new byte[] { 0x80 }, Libp2pError.ConnectionClosed)]
    [InlineData(new byte[] { 0x05, 1, 2 }, Libp2pError.ConnectionClosed)]
    public async Task A_length_is_a_claim(byte[] sent, Libp2pError error)
    {
        (MemoryConnection dialer, MemoryConnection listener) = MemoryConnection.CreatePair();
        using var receiving = new InputBuffer(listener);
        await dialer.SendAsync(sent);
        dialer.Dispose();
        Libp2pException e = await Assert.ThrowsAsync<Libp2pException>(async () => await LengthPrefixed.ReadAsync(receiving, 100));
        Assert.Equal(error, e.Error);
    }
}
