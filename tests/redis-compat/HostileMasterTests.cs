// A master that sends anything but what it should: Leither says so in its log, keeps answering its clients in bounded memory, and follows
// a sound master as soon as it gets one.

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.RedisCompat;

public sealed class HostileMasterTests
{
    private const string FullResync = "+FULLRESYNC aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\r\n";

    /// <summary>A name, and what is said once PSYNC was asked; what the handshake asks before is answered as it should be.</summary>
    public static TheoryData<string, byte[]> Answers
    {
        get
        {
            var answers = new TheoryData<string, byte[]>();
            void Add(string name, params string[] parts) => answers.Add(name, Encoding.Latin1.GetBytes(string.Concat(parts)));
            string empty = Encoding.Latin1.GetString(EmptyRdb()), copied = FullResync + "$" + empty.Length.ToString(CultureInfo.InvariantCulture) + "\r\n" + empty;
            Add("nothing and hangs up");
            Add("an endless line", new string('x', 100_000));
            Add("an id that is too short", "+FULLRESYNC abc 1\r\n");
            Add("an offset that is none", "+FULLRESYNC aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa x\r\n");
            Add("a file without an end to its length", FullResync, "$", new string('9', 5_000));
            Add("a file of eight exabytes", FullResync, "$9223372036854775807\r\nREDIS0011");
            Add("a file of less than nothing", FullResync, "$-5\r\n");
            Add("a file that is none", FullResync, "$20\r\nTWENTY BYTES OF TEXT");
            Add("a file of another version", FullResync, "$9\r\nREDIS9999");
            Add("a value of a huge length", FullResync, "$20\r\nREDIS0011", "\0\x01k\x81\x7f\xff\xff\xff\xff\xff\xff\xff");
            Add("a list of too many", FullResync, "$20\r\nREDIS0011", "\x01\x01k\x81\x7f\xff\xff\xff\xff\xff\xff\xff");
            Add("a marked file that is damaged", FullResync, "$EOF:", new string('m', 40), "\r\nREDIS0011\x77", new string('m', 40));
            foreach ((string name, string stream) in (ReadOnlySpan<(string, string)>)
            [
                ("garbage", "\x01\x02\x03 garbage \xff\r\n\r\n"), ("a count too large", "*2147483648\r\n"), ("a huge word", "*1\r\n$99999999999999\r\n"),
                ("a word of no length", "*1\r\n$-1\r\n"), ("a word too long for itself", "*1\r\n$3\r\nPINGPONG\r\n"), ("a command that is unknown", "NOSUCH thing\r\n"),
                ("commands that are for clients", "BLPOP l 0\r\nBLMOVE a b LEFT LEFT 0\r\nXREAD BLOCK 0 STREAMS x $\r\nMONITOR\r\nSUBSCRIBE c\r\nPSUBSCRIBE *\r\nCLIENT REPLY OFF\r\nQUIT\r\n"),
                ("commands for administrators", "SHUTDOWN NOSAVE\r\nREPLICAOF 127.0.0.1 1\r\nCONFIG SET requirepass x\r\nDEBUG SLEEP 5\r\nACL SETUSER default off\r\nPSYNC ? -1\r\nSYNC\r\nFAILOVER\r\nCLIENT KILL TYPE normal\r\nCLIENT PAUSE 100000\r\n"),
                ("an EXEC without MULTI, a MULTI without end", "EXEC\r\nDISCARD\r\nMULTI\r\nMULTI\r\nSET a b\r\nWATCH x\r\nNOSUCH\r\n"),
                ("a database that is not there", "SELECT 99999\r\nSET a b\r\n"), ("an acknowledgement", "REPLCONF ACK 5\r\nREPLCONF GETACK *\r\nWAIT 1 0\r\n"),
            ])
            {
                Add("a good file, then " + name, copied, stream);
            }

            return answers;
        }
    }

    [Theory]
    [MemberData(nameof(Answers))]
    public void It_harms_nobody(string name, byte[] answer)
    {
        _ = name;
        using LeitherServer leither = LeitherServer.StartNew("--repl-timeout", "5");
        using RespClient client = leither.Connect();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        bool stops = false;
        int answered = 0;
        var master = new Thread(() =>
        {
            while (!Volatile.Read(ref stops))
            {
                try
                {
                    using Socket socket = listener.AcceptSocket();
                    Answer(socket, answer);
                    Interlocked.Increment(ref answered);
                    socket.ReceiveTimeout = 200;
                    while (socket.Receive(new byte[4096]) > 0)
                    {
                    }
                }
                catch (Exception e) when (e is SocketException or InvalidOperationException)
                {
                    // It hung up, was slow to, or the test ends, whose listener is gone.
                }
            }
        });
        master.Start();
        try
        {
            client.Call("REPLICAOF", "127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port.ToString(CultureInfo.InvariantCulture));
            // Once it came back, it went through all of the first answer.
            Wait.Until(() =>
            {
                Assert.Contains("role:slave", client.Call("INFO", "replication").Text, StringComparison.Ordinal);
                return Volatile.Read(ref answered) >= 2;
            });
        }
        finally
        {
            Volatile.Write(ref stops, true);
            listener.Stop();
            master.Join();
        }

        using RedisServer sound = RedisServer.StartNew("--repl-diskless-sync-delay", "0");
        using RespClient there = sound.Connect();
        there.Call("SET", "from", "sound");
        Assert.Equal("OK", client.Call("REPLICAOF", "127.0.0.1", sound.Port.ToString(CultureInfo.InvariantCulture)).Text);
        Wait.Until(() => client.Call("GET", "from").Text == "sound", () => leither.Log);

        Assert.Equal("OK", client.Call("REPLICAOF", "NO", "ONE").Text);
        Assert.Equal("OK", client.Call("SET", "mine", "x").Text);
        Assert.InRange(PeakKilobytes(leither), 1, 512 * 1024);
    }

    private static void Answer(Socket socket, byte[] answer)
    {
        var heard = new StringBuilder();
        byte[] buffer = new byte[4096];
        while (true)
        {
            int read = socket.Receive(buffer);
            if (read == 0)
            {
                return;
            }

            string text = Encoding.Latin1.GetString(buffer, 0, read);
            heard.Append(text);
            if (heard.ToString().Contains("PSYNC", StringComparison.Ordinal))
            {
                break;
            }

            socket.Send("+OK\r\n"u8);
        }

        socket.Send(answer);
    }

    private static byte[] EmptyRdb() => [.. "REDIS0011"u8, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0];

    private static long PeakKilobytes(ServerProcess server) =>
        long.Parse(File.ReadLines($"/proc/{server.ProcessId}/status").First(static l => l.StartsWith("VmHWM", StringComparison.Ordinal)).Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
