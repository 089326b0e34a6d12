using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Log;
using Leither.MmDb.Replication;
using Leither.MmDb.Tests.Versions;
using Leither.MmDb.Versions;
using Leither.TestKit;

namespace Leither.MmDb.Tests.Replication;

/// <summary>A copy of the MiMei of a <see cref="VersionFixture"/>, in a server of its own: its log's bytes are carried by hand. It can be closed, and opened again.</summary>
internal sealed class CopyFixture : IDisposable
{
    private readonly VersionFixture _writer;
    private readonly TempDir _folder = new();
    private readonly IFolder? _disk, _logDisk;

    public CopyFixture(VersionFixture writer, IFolder? disk = null, IFolder? logDisk = null)
    {
        _writer = writer;
        (_disk, _logDisk) = (disk, logDisk);
        Db = Open();
    }

    public InProcess Db { get; private set; }

    public MemoryBlockstore Blocks { get; } = new();

    public Mimei Mimei => Db.Server.DefaultMimei;

    public MimeiCopy Copy => Mimei.Copy!;

    public List<string> Reports { get; } = [];

    /// <summary>What the log has done in the background, where it has a disk of its own.</summary>
    public LogWorker? Worker { get; private set; }

    public FolderMimeiStore? Store { get; private set; }

    public IFolder Folder => _disk ?? DiskFolder.Make(_folder.Path);

    /// <summary>Closes it without a word, as the end of a process does, and opens it again.</summary>
    public void Reopen(bool isClean = false)
    {
        if (isClean)
        {
            Mimei.Log!.Close();
        }

        Db.Dispose();
        Db = Open();
    }

    /// <summary>Another end of the process: what it was is gone already.</summary>
    public void Abandon() => Db.Dispose();

    public void OpenAgain() => Db = Open();

    private InProcess Open()
    {
        var opened = new InProcess(seed: 43, id: _writer.Info.Id, store: clock => Store = new FolderMimeiStore(clock) { Key = _writer.Author }, open: db =>
        {
            db.Clock.Advance(_writer.Db.Clock.NowMs - db.Clock.NowMs);
            Mimei mimei = db.Server.DefaultMimei;
            var files = new MimeiFiles
            {
                Folder = Folder,
                Log = _logDisk ?? DiskFolder.Make(Path.Combine(_folder.Path, "log")),
                LogOptions = new LogOptions
                {
                    Fsync = FsyncPolicy.No,
                    Origin = new SegmentOrigin(mimei.Id, new byte[32]),
                    Worker = _logDisk is null ? LogWorker.Shared : Worker = LogWorker.Manual(),
                },
                Store = Store,
                Report = Reports.Add,
            };
            if (!CopyFile.IsIn(files.Folder))
            {
                CopyFile.Create(files.Folder);
            }

            RecoveredState state = Persistence.RecoverCopy(db.Keyspace, files);
            mimei.Log = state.Log;
            mimei.Checkpointer = new Checkpointer(mimei, files.Folder, state, db.Clock);
            mimei.Versions = new Versioner(mimei, new VersionerOptions
            {
                Info = _writer.Info,
                Key = _writer.Author,
                OpenBlocks = () => new SharedBlocks(Blocks),
                Files = files.Folder,
                WorkFolder = _folder.Path,
                Time = db.Clock,
                Report = Reports.Add,
            });
            _ = new MimeiCopy(mimei, files, state.Position);
        });
        return opened;
    }

    /// <summary>Brings what the writer has written since, so many bytes at a time; each piece must be taken.</summary>
    public void Follow(int chunk = int.MaxValue)
    {
        while (Next() is { } bytes)
        {
            for (int at = 0; at < bytes.Length; at += chunk)
            {
                chunk = Math.Min(chunk, bytes.Length);
                Exception? problem = Append(bytes[at..Math.Min(bytes.Length, at + chunk)]);
                if (problem is not null)
                {
                    throw new InvalidOperationException($"It was not taken: {problem.Message}", problem);
                }
            }
        }
    }

    /// <summary>Brings some bytes; gives what was said of them.</summary>
    public Exception? Append(byte[] bytes)
    {
        bool isDone = false;
        Exception? problem = null;
        Copy.Append(bytes, e => (problem, isDone) = (e, true));
        Xunit.Assert.True(isDone);
        return problem;
    }

    /// <summary>The bytes that come next, of one segment; null: there are none.</summary>
    public byte[]? Next()
    {
        _writer.Db.Server.EndTurn();
        WriteLog source = _writer.Db.Server.DefaultMimei.Log!;
        LogEnd end = Copy.Log.WrittenEnd;
        foreach (LogPlace place in source.Places)
        {
            long from = place.Segment == end.Segment ? end.Length : 0;
            if (place.Segment < end.Segment || place.Length <= from)
            {
                continue;
            }

            byte[] bytes = new byte[place.Length - from];
            Xunit.Assert.Equal(bytes.Length, source.ReadSegment(place.Segment, from, bytes));
            return bytes;
        }

        return null;
    }

    /// <summary>Waits until nothing goes on in the background.</summary>
    public void Settle() => TestKit.Wait.Until(() =>
    {
        Db.Server.Cron(Db.Clock.NowMs);
        return !Mimei.Versions!.IsRunning;
    });

    public GoneBack GoBack(LogPlace place)
    {
        GoneBack? gone = null;
        Exception? problem = null;
        Copy.GoBack(place, (g, e) => (gone, problem) = (g, e));
        return gone ?? throw new InvalidOperationException("It did not go back", problem);
    }

    /// <summary>Gives it all blocks of the writer, and makes a version of it the copy's state.</summary>
    public Exception? Load(ulong number)
    {
        TakeBlocks();
        ListedVersion version = _writer.Versions.List.All.Single(v => v.Number == number);
        MimeiVersion read = _writer.Versions.Read(number);
        SealedSegment? segment = _writer.Db.Server.DefaultMimei.Log!.Seal(read.Position.Sequence);
        Exception? problem = new InvalidOperationException("It has not ended");
        Copy.Load(version.Block, segment, e => problem = e);
        return problem;
    }

    public void TakeBlocks()
    {
        foreach (Leither.Ipfs.Multiformats.Cid cid in _writer.Blocks.Cids())
        {
            Blocks.Put(cid, _writer.Blocks.Get(cid)!);
        }
    }

    /// <summary>Offers it a version of the writer's; gives what became of it, once that is known.</summary>
    public Func<(StateCheck Check, Exception? Problem)?> Adopt(ulong number)
    {
        Leither.Ipfs.Multiformats.Cid block = _writer.Versions.List.Find(number);
        return Adopt(block, _writer.Blocks.Get(block)!);
    }

    /// <summary>Offers it a version by its block; gives what became of it, once that is known.</summary>
    public Func<(StateCheck Check, Exception? Problem)?> Adopt(Leither.Ipfs.Multiformats.Cid block, byte[] bytes)
    {
        (StateCheck, Exception?)? outcome = null;
        Copy.AdoptVersion(block, bytes, (check, problem) => outcome = (check, problem));
        return () => outcome;
    }

    /// <summary>The name of the state that a keyspace holds.</summary>
    public static string StateOf(Versioner versions, Keyspace keyspace) => versions.StoreState(keyspace, default, keyspace.Databases.Length).ToString();

    public void AssertSame()
    {
        Xunit.Assert.Equal(_writer.Db.Contents(), Db.Contents());
        Xunit.Assert.Equal(StateOf(_writer.Versions, _writer.Db.Keyspace), StateOf(Mimei.Versions!, Db.Keyspace));
    }

    public void Dispose()
    {
        Db.Dispose();
        _folder.Dispose();
    }
}
