// Asks name servers for TXT records, which .NET has no way to do. An answer counts if it comes from the server that was asked, to the socket that asked,
// and carries the random id and the question.

using System.Buffers.Binary;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Leither.Libp2p.Names;

/// <summary>A small client of DNS. Safe for any number of threads.</summary>
internal sealed class DnsClient(DnsOptions options)
{
    private const int Port = 53;
    private const int MaxServers = 3;

    /// <summary>What fits a datagram on any path (DNS flag day 2020).</summary>
    private const ushort MaxDatagramLength = 1232;

    private const int MaxAliases = 8;
    private const int NoSuchName = 3;

    /// <summary>The strings of a name's TXT records, each record's joined, as they are meant; none if there is no such name.</summary>
    /// <exception cref="Libp2pException">No server answered.</exception>
    public async Task<IReadOnlyList<string>> QueryTextAsync(string name, CancellationToken cancellationToken)
    {
        if (!DnsMessage.IsName(name))
        {
            throw new Libp2pException(Libp2pError.DialFailed, $"'{name}' is no name.");
        }

        name = name.ToLowerInvariant().TrimEnd('.');
        IReadOnlyList<IPEndPoint> servers = options.Servers ?? SystemServers();
        Exception? last = null;
        for (int round = 0; round < options.Rounds; round++)
        {
            foreach (IPEndPoint server in servers.Take(MaxServers))
            {
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
                limit.CancelAfter(options.ServerTimeout);
                try
                {
                    DnsMessage answer = await AskAsync(server, name, limit.Token).ConfigureAwait(false);
                    if (answer.ResponseCode is 0 or NoSuchName)
                    {
                        return TextsOf(answer, name);
                    }

                    last = new Libp2pException(Libp2pError.DialFailed, $"The name server {server} answered with error {answer.ResponseCode}.");
                }
                catch (Exception e) when (e is SocketException or IOException or OperationCanceledException && !cancellationToken.IsCancellationRequested)
                {
                    last = e;
                }
            }
        }

        throw new Libp2pException(Libp2pError.Timeout, $"No name server told the TXT records of {name}.", last ?? new IOException("There is none."));
    }

    /// <summary>The name servers in a file like /etc/resolv.conf.</summary>
    internal static List<IPEndPoint> ReadServers(IEnumerable<string> lines)
    {
        var servers = new List<IPEndPoint>();
        foreach (string line in lines)
        {
            string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words is ["nameserver", var address, ..] && IPAddress.TryParse(address, out IPAddress? ip))
            {
                servers.Add(new IPEndPoint(ip, Port));
            }
        }

        return servers;
    }

    private static List<IPEndPoint> SystemServers()
    {
        List<IPEndPoint> servers;
        try
        {
            servers = ReadServers(File.ReadLines("/etc/resolv.conf").Take(1000));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Systems without that file tell each network card's servers.
            servers = [.. NetworkInterface.GetAllNetworkInterfaces().Where(card => card.OperationalStatus == OperationalStatus.Up)
                .SelectMany(card => card.GetIPProperties().DnsAddresses).Distinct().Select(ip => new IPEndPoint(ip, Port))];
        }

        // What resolvers do where nothing is said.
        return servers.Count > 0 ? servers : [new IPEndPoint(IPAddress.Loopback, Port)];
    }

    private static IReadOnlyList<string> TextsOf(DnsMessage answer, string name)
    {
        // The server follows aliases; its answer says from where to where.
        for (int i = 0; i < MaxAliases && answer.Answers.FirstOrDefault(record => record.Type == DnsType.CName && record.Name == name) is { } alias; i++)
        {
            name = alias.Target!;
        }

        return [.. answer.Answers.Where(record => record.Type == DnsType.Txt && record.Name == name).Select(record => string.Concat(record.Texts))];
    }

    private static async Task<DnsMessage> AskAsync(IPEndPoint server, string name, CancellationToken cancellationToken)
    {
        var query = new DnsMessage
        {
            Id = BinaryPrimitives.ReadUInt16BigEndian(RandomNumberGenerator.GetBytes(2)),
            RecursionDesired = true,
            MaxAnswerLength = MaxDatagramLength,
            Questions = [new DnsQuestion(name, DnsType.Txt)],
        };
        byte[] bytes = query.ToArray();
        DnsMessage answer = await AskByDatagramAsync(server, query, bytes, cancellationToken).ConfigureAwait(false);
        return answer.IsTruncated ? await AskByStreamAsync(server, query, bytes, cancellationToken).ConfigureAwait(false) : answer;
    }

    private static async Task<DnsMessage> AskByDatagramAsync(IPEndPoint server, DnsMessage query, byte[] bytes, CancellationToken cancellationToken)
    {
        // A socket for each question, on a port that the system draws: whoever forges an answer has to guess it as well.
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(server, cancellationToken).ConfigureAwait(false);
        await socket.SendAsync(bytes, cancellationToken).ConfigureAwait(false);
        byte[] buffer = new byte[4096];
        while (true)
        {
            int length = await socket.ReceiveAsync(buffer, cancellationToken).ConfigureAwait(false);
            // What is no answer to this is passed over: it may be forged, and the true one on its way.
            if (TryRead(buffer.AsSpan(0, length), query) is { } answer)
            {
                return answer;
            }
        }
    }

    private static async Task<DnsMessage> AskByStreamAsync(IPEndPoint server, DnsMessage query, byte[] bytes, CancellationToken cancellationToken)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(server, cancellationToken).ConfigureAwait(false);
        using var stream = new NetworkStream(socket);
        byte[] prefix = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(prefix, (ushort)bytes.Length);
        await stream.WriteAsync(new ReadOnlyMemory<byte>([.. prefix, .. bytes]), cancellationToken).ConfigureAwait(false);
        await stream.ReadExactlyAsync(prefix, cancellationToken).ConfigureAwait(false);
        byte[] answer = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
        await stream.ReadExactlyAsync(answer, cancellationToken).ConfigureAwait(false);
        return TryRead(answer, query) ?? throw Libp2pException.Violation("DNS: an answer to another question.");
    }

    private static DnsMessage? TryRead(ReadOnlySpan<byte> bytes, DnsMessage query)
    {
        try
        {
            DnsMessage answer = DnsMessage.Read(bytes);
            return answer.IsResponse && answer.Id == query.Id && answer.Questions.SequenceEqual(query.Questions) ? answer : null;
        }
        catch (Libp2pException)
        {
            return null;
        }
    }
}
