// Following a Redis server, without sockets: the master's part is played by the test, word by word.

using System.Globalization;
using System.Text;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;
using Leither.MmDb.Tests.Log;
using Leither.Resp;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed unsafe class MasterLinkTests : IDisposable
{
    private const string Id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    private readonly InProcess _db = new();
    private readonly Network _network = new();
    private readonly List<string> _warnings = [];

    public MasterLinkTests()
    {
        _db.Server.Connector = _network;
        _db.Server.Warn = _warnings.Add;
    }

    public void Dispose() => _db.Dispose();

    [Fact]
    public void An_acknowledgement_that_is_asked_for_counts_all_that_came_before_it()
    {
        Master master = Follow();
        string said = Words("SELECT 0") + Words("INCR n") + Words("REPLCONF GETACK *");
        master.Heard();
        master.Say(said);
        Assert.Equal([$"REPLCONF ACK {said.Length}"], master.Heard());
        Assert.Equal("\"1\"", _db.Run("GET n"));
    }

    [Fact]
    public void While_it_loads_the_master_hears_that_it_lives_and_the_masters_silence_is_none()
    {
        Master master = Introduced(_ => $"+FULLRESYNC {Id} 0\r\n");
        master.Say(File(Encoding.Latin1.GetString([0, 1, (byte)'k', 1, (byte)'v'])));
        Assert.Contains("master_sync_in_progress:1", _db.Run("INFO replication"), StringComparison.Ordinal);
        master.HeardRaw();
        _db.Clock.Advance(1500);
        _db.Server.Cron(_db.Clock.NowMs);
        Assert.StartsWith("\n", master.HeardRaw(), StringComparison.Ordinal);

        Wait.Until(() => Cron().Contains("master_link_status:up", StringComparison.Ordinal));
        Assert.Equal("\"v\"", _db.Run("GET k"));
    }

    [Fact]
    public void A_load_that_took_longer_than_the_timeout_does_not_end_the_link()
    {
        Master master = Introduced(_ => $"+FULLRESYNC {Id} 0\r\n");
        master.Say(File(""));
        _db.Clock.Advance(100_000);
        Wait.Until(() => Cron().Contains("master_link_status:up", StringComparison.Ordinal));
        Cron();
        Assert.False(master.IsClosed);
        _db.Clock.Advance(61_000);
        Cron();
        Assert.True(master.IsClosed);
    }

    [Theory]
    [InlineData("SELECT 3", "SET a 1", "SET b 2")]
    [InlineData("SELECT 3|MULTI", "SET a 1", "SET b 2|EXEC")]
    public void Another_server_of_the_same_stream_goes_on_where_the_first_one_was(string begin, string before, string after)
    {
        Master first = Follow();
        string said = string.Concat($"{begin}|{before}".Split('|').Select(Words));
        first.Say(said);
        // The rest of a command that was cut off comes again.
        first.Say("*3\r\n$3\r\nSE");
        Master second = Introduced(asked =>
        {
            Assert.Equal($"PSYNC {Id} {said.Length + 1}", asked);
            return "+CONTINUE\r\n";
        }, "other");
        second.Say(string.Concat(after.Split('|').Select(Words)));
        _db.Run("SELECT 3");
        Assert.Equal("[\"1\", \"2\"]", _db.Run("MGET a b"));
        Assert.DoesNotContain(_warnings, static w => w.Contains("CRITICAL", StringComparison.Ordinal));
    }

    [Fact]
    public void Everything_that_is_got_takes_the_place_of_all_that_was_there()
    {
        _db.Prepare("SET own 1", "FUNCTION LOAD \"#!lua name=mine\\nredis.register_function('f', function() return 1 end)\"");
        InProcess.Client cache = _db.Connect();
        cache.Run("HELLO 3");
        cache.Run("CLIENT TRACKING on");
        cache.Run("GET own");
        // Not every byte of a script is text.
        string library = "#!lua name=theirs\nredis.register_function('g', function() return '\xff\xfe' end)";
        Follow(rdb: $"\xf5@{(char)library.Length}{library}");
        Assert.Equal(">[\"invalidate\", _]", cache.Take());
        Assert.Equal(":0", _db.Run("EXISTS own"));
        string functions = _db.Run("FUNCTION LIST WITHCODE");
        Assert.DoesNotContain("mine", functions, StringComparison.Ordinal);
        Assert.Contains("return '\\xff\\xfe' end", functions, StringComparison.Ordinal);
    }

    [Fact]
    public void A_copy_that_cannot_be_kept_ends_the_link_and_is_said()
    {
        using var folder = new TempDir();
        _db.Server.WorkFolder = folder.File("missing");
        Master master = Introduced(_ => $"+FULLRESYNC {Id} 0\r\n");
        Assert.True(master.IsClosed);
        Assert.Contains(_warnings, static w => w.Contains("cannot be kept", StringComparison.Ordinal));

        _db.Server.WorkFolder = folder.Path;
        _db.Clock.Advance(1001);
        Cron();
        master = Introduce(_ => $"+FULLRESYNC {Id} 0\r\n");
        master.Say(File(""));
        Wait.Until(() => Cron().Contains("master_link_status:up", StringComparison.Ordinal));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_write_that_cannot_be_logged_ends_the_link_instead_of_being_left_out()
    {
        Master master = Follow();
        var disk = new SimulatedDisk(1);
        using WriteLog log = WriteLog.Open(disk, new LogOptions { SegmentBytes = LogOptions.MinSegmentBytes }, 0UL, null);
        _db.Server.DefaultMimei.Log = log;
        _db.Keyspace.Effects.RecordTo(log, new HybridClock(0));
        disk.Capacity -= disk.FreeBytes;
        master.Say(Words("SELECT 0") + Words($"SET big {new string('x', 1 << 20)}") + Words("APPEND big y"));
        Assert.True(master.IsClosed);
        Assert.Contains(_warnings, static w => w.Contains("cannot be logged", StringComparison.Ordinal));

        disk.Capacity = long.MaxValue;
        _db.Clock.Advance(1001);
        Cron();
        master = Introduce(asked =>
        {
            Assert.Equal("PSYNC ? -1", asked);
            return $"+FULLRESYNC {Id} 0\r\n";
        });
        master.Say(File(Encoding.Latin1.GetString([0, 1, (byte)'k', 1, (byte)'v'])));
        Wait.Until(() => Cron().Contains("master_link_status:up", StringComparison.Ordinal));
        Assert.Equal("\"v\"", _db.Run("GET k"));
        _db.Server.DefaultMimei.Log = null;
        _db.Keyspace.Effects.RecordTo(null, default);
    }

    [Fact]
    public void A_masters_writes_are_taken_beyond_maxmemory()
    {
        Master master = Follow();
        _db.Prepare("CONFIG SET maxmemory 1mb");
        master.Say(Words("SELECT 0") + Words($"SET big {new string('x', 2 << 20)}") + Words("SET more y"));
        Assert.Equal("\"y\"", _db.Run("GET more"));
        Assert.False(master.IsClosed);
    }

    [Theory]
    [InlineData("+CONTINUE\r\n")]
    [InlineData("+CONTINUE bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n")]
    public void Who_asked_for_everything_follows_no_stream_without_it(string answer)
    {
        Master master = Introduced(asked =>
        {
            Assert.Equal("PSYNC ? -1", asked);
            return answer + Words("SET a b");
        });
        Assert.True(master.IsClosed);
        Assert.Equal("nil", _db.Run("GET a"));
    }

    [Fact]
    public void A_stream_keeps_its_name_when_the_new_one_is_none()
    {
        Follow();
        Introduced(_ => "+CONTINUE short\r\n", "other");
        Assert.Contains($"master_replid:{Id}", Cron(), StringComparison.Ordinal);
        Introduced(_ => $"+CONTINUE {new string('b', 40)}\r\n", "third");
        Assert.Contains($"master_replid:{new string('b', 40)}", Cron(), StringComparison.Ordinal);
    }

    private string Cron()
    {
        _db.Server.Cron(_db.Clock.NowMs);
        _db.Server.EndTurn();
        return _db.Run("INFO replication");
    }

    /// <summary>Follows a master whose stream begins at 0.</summary>
    private Master Follow(string rdb = "")
    {
        Master master = Introduced(_ => $"+FULLRESYNC {Id} 0\r\n");
        master.Say(File(rdb));
        Wait.Until(() => Cron().Contains("master_link_status:up", StringComparison.Ordinal));
        return master;
    }

    private Master Introduced(Func<string, string> answer, string host = "master")
    {
        Assert.Equal("+OK", _db.Run($"REPLICAOF {host} 1"));
        return Introduce(answer);
    }

    /// <summary>Agrees with all that comes before PSYNC, which gets the answer.</summary>
    private Master Introduce(Func<string, string> answer)
    {
        Master master = _network.Accept();
        while (!master.IsClosed)
        {
            string heard = Assert.Single(master.Heard());
            bool asks = heard.StartsWith("PSYNC", StringComparison.Ordinal);
            master.Say(asks ? answer(heard) : "+OK\r\n");
            if (asks)
            {
                break;
            }
        }

        return master;
    }

    private static string Words(string command)
    {
        string[] words = command.Split(' ');
        return $"*{words.Length}\r\n{string.Concat(words.Select(static w => $"${w.Length}\r\n{w}\r\n"))}";
    }

    private static string File(string items)
    {
        string file = $"REDIS0011{items}\xff\0\0\0\0\0\0\0\0";
        return string.Create(CultureInfo.InvariantCulture, $"${file.Length}\r\n{file}");
    }

    /// <summary>Whom the server wants to reach.</summary>
    private sealed class Network : IConnector
    {
        private IOutboundHandler? _waiting;

        public void Connect(string host, int port, int timeoutMs, IOutboundHandler handler) => _waiting = handler;

        public Master Accept()
        {
            IOutboundHandler handler = Assert.IsAssignableFrom<IOutboundHandler>(_waiting);
            _waiting = null;
            var master = new Master(handler);
            handler.OnConnected(master);
            return master;
        }
    }

    /// <summary>The other end of a connection that the server made.</summary>
    private sealed class Master(IOutboundHandler handler) : IOutboundConnection
    {
        private byte[] _unconsumed = [];
        private bool _isPaused;

        public RespWriter Output { get; } = new();

        public string LocalAddress => "127.0.0.1:2";

        public bool IsClosed { get; private set; }

        public void SendOutput()
        {
        }

        public void Pause() => _isPaused = true;

        public void Resume()
        {
            _isPaused = false;
            Present();
        }

        public void Close()
        {
            // The end is told later, as by a transport.
            IsClosed = true;
        }

        /// <summary>Sends (one char a byte).</summary>
        public void Say(string text)
        {
            _unconsumed = [.. _unconsumed, .. Encoding.Latin1.GetBytes(text)];
            Present();
            if (IsClosed)
            {
                handler.OnClosed(OutboundEnd.Ended, "closed");
            }
        }

        /// <summary>The commands that it was sent since it was last asked.</summary>
        public string[] Heard()
        {
            var commands = new List<string>();
            var reader = new RespReader(Output.Span);
            while (RespReply.TryRead(ref reader, out RespReply? command) == ReadStatus.Complete)
            {
                commands.Add(string.Join(' ', command!.Elements.Select(static word => word.Text)));
            }

            Output.Release();
            return [.. commands];
        }

        /// <summary>The bytes that it was sent since it was last asked.</summary>
        public string HeardRaw()
        {
            string heard = Encoding.Latin1.GetString(Output.Span);
            Output.Release();
            return heard;
        }

        private void Present()
        {
            if (_isPaused || IsClosed || _unconsumed.Length == 0)
            {
                return;
            }

            byte[] input = [.. _unconsumed];
            _unconsumed = [];
            long consumed;
            fixed (byte* p = input)
            {
                consumed = handler.OnReceive(p, input.Length);
            }

            _unconsumed = [.. input[(int)consumed..], .. _unconsumed];
        }
    }
}
