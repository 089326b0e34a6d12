using Leither.Resp;

namespace Leither.MmDb.Rdb;

/// <summary>How far an import came.</summary>
public sealed class ImportProgress
{
    /// <summary>Keys put in from RDB.</summary>
    public long Keys { get; internal set; }
    /// <summary>Keys left out: they had expired.</summary>
    public long Expired { get; internal set; }
    /// <summary>Keys left out: they are there already.</summary>
    public long Existing { get; internal set; }
    /// <summary>Commands run from append-only files.</summary>
    public long Commands { get; internal set; }
    /// <summary>Libraries of functions.</summary>
    public long Functions { get; internal set; }
    /// <summary>Bytes read of all files.</summary>
    public long Bytes { get; internal set; }
    /// <summary>Bytes that cut-off commands at the end of a file had.</summary>
    public long CutOff { get; internal set; }
}

/// <summary>
/// Takes over what Redis kept in files: an RDB file, or append-only files (with or without RDB at their beginning), into a server
/// that nobody else uses meanwhile.
/// </summary>
public sealed unsafe class RedisData : IDisposable
{
    private const int StepEvery = 4096;

    private readonly Server _server;
    private readonly RdbImporter _importer;
    private readonly Action<ImportProgress>? _report;
    private long _bytesBefore;

    /// <summary>Reads files into a server.</summary>
    /// <param name="server">The server.</param>
    /// <param name="keepsExisting">Keys that are there stay as they are.</param>
    /// <param name="report">Is told now and then how far it is.</param>
    public RedisData(Server server, bool keepsExisting = false, Action<ImportProgress>? report = null)
    {
        _server = server;
        _report = report;
        _importer = new RdbImporter(server.DefaultMimei.Keyspace) { KeepsExisting = keepsExisting };
    }

    /// <summary>What came in so far.</summary>
    public ImportProgress Progress { get; } = new();

    /// <summary>Frees what reading needed.</summary>
    public void Dispose() => _importer.Dispose();

    /// <summary>Reads one file.</summary>
    /// <exception cref="RdbFormatException">It is damaged; what came before the damage is in.</exception>
    public void Read(Stream file)
    {
        byte[] head = new byte[5];
        int read = file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        if (head.AsSpan(0, read).SequenceEqual("REDIS"u8))
        {
            using var rdb = new RdbFile(file, head);
            ReadRdb(rdb);
            using var tail = new AofCommands(file, rdb.Rest);
            ReadCommands(tail);
        }
        else
        {
            using var commands = new AofCommands(file, head.AsSpan(0, read));
            ReadCommands(commands);
        }
    }

    private void ReadRdb(RdbFile rdb)
    {
        Keyspace keyspace = _server.DefaultMimei.Keyspace;
        for (long items = 1; ; items++)
        {
            switch (rdb.Read())
            {
                case RdbItem.End:
                    Advance(rdb.Position);
                    _bytesBefore = Progress.Bytes;
                    return;
                case RdbItem.Function:
                    Progress.Functions++;
                    if (_server.Scripts.FunctionsOf(_server.DefaultMimei).Load(keyspace.Effects, rdb.FunctionSource.ToArray(), replace: true, out _) is { } problem)
                    {
                        throw new RdbFormatException($"the file holds functions that do not load: {problem}");
                    }

                    keyspace.Effects.EndEntry();
                    break;
                default:
                    if (items % 64 == 1)
                    {
                        keyspace.NowMs = _server.NowMs;
                    }

                    _importer.Import(rdb);
                    break;
            }

            if (items % StepEvery == 0)
            {
                Advance(rdb.Position);
            }
        }
    }

    private void ReadCommands(AofCommands commands)
    {
        using var connection = new SilentConnection();
        Session session = _server.OpenSource(connection);
        while (commands.Read(out byte* bytes, out long length, out long count))
        {
            long taken = _server.Dispatcher.Execute(session, bytes, length);
            CheckReplies(connection, commands.Position);
            if (taken != length)
            {
                throw new RdbFormatException($"the commands before byte {commands.Position} cannot be run to their end");
            }

            Progress.Commands += count;
            Advance(commands.Position);
        }

        Progress.CutOff += commands.CutOff;
        _bytesBefore = Progress.Bytes;
    }

    private static void CheckReplies(SilentConnection connection, long position)
    {
        RespWriter output = connection.Output;
        var reader = new RespReader(output.Span);
        while (RespReply.TryRead(ref reader, out RespReply? reply) == ReadStatus.Complete)
        {
            if (reply!.IsError)
            {
                throw new RdbFormatException($"a command before byte {position} was refused: {reply.Text}");
            }
        }

        output.Consume(output.Length);
    }

    private void Advance(long position)
    {
        Progress.Keys = _importer.Imported;
        Progress.Expired = _importer.Expired;
        Progress.Existing = _importer.Existing;
        Progress.Bytes = _bytesBefore + position;
        _server.EndTurn();
        _server.DefaultMimei.Keyspace.LazyFree.Step(TimeSpan.FromMilliseconds(1));
        if (_server.DefaultMimei.Log is { } log && !log.CanAccept(1 << 20, out Log.LogError error))
        {
            throw new IOException($"The log takes no more: {error.Text}");
        }

        _report?.Invoke(Progress);
    }
}
