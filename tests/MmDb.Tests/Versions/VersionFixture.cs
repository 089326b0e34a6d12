using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;
using Leither.TestKit;

namespace Leither.MmDb.Tests.Versions;

/// <summary>A server whose MiMei has versions, in a folder of its own.</summary>
internal sealed class VersionFixture : IDisposable
{
    private readonly TempDir _folder = new();

    /// <summary>Makes it.</summary>
    /// <param name="options">Settings; Redis's defaults if null.</param>
    /// <param name="recording">Whether it keeps a log.</param>
    /// <param name="store">Keeps other MiMei.</param>
    /// <param name="mark">Tells one MiMei from another.</param>
    /// <param name="writer">Whom the author let write, since term 1: it is his node then. Null: it is the author's.</param>
    /// <param name="type">What it holds.</param>
    public VersionFixture(KeyspaceOptions? options = null, bool recording = true, Func<TestClock, IMimeiStore>? store = null, string mark = "test", PrivateKey? writer = null, MimeiType type = MimeiType.Database)
    {
        Writer = writer;
        Author = PrivateKey.FromSeed(Convert.FromHexString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        Info = new MimeiInfo(Author.PublicKey.Protobuf.ToArray(), "", "", mark, type);
        Db = new InProcess(options, recording: recording, id: Info.Id, store: store, firstEpoch: writer is null ? 0 : WriterCertificate.FirstEpochOf(1));
        if (writer is not null)
        {
            Writers.Keep([Certificate(1, writer).Block]);
        }

        Versions = Open();
    }

    /// <summary>The MiMei's folder.</summary>
    public string Folder => _folder.Path;

    public PrivateKey Author { get; }

    public PrivateKey? Writer { get; }

    public MimeiInfo Info { get; }

    /// <summary>Who may write, as it is kept in the folder.</summary>
    public WriterSet Writers => WriterSet.Open(DiskFolder.Make(_folder.Path), Info.Id, Author.PublicKey);

    /// <summary>The author's word that somebody writes.</summary>
    public WriterCertificate Certificate(uint term, PrivateKey writer, PrivateKey? author = null) => new WriterCertificate
    {
        Mid = Info.Id,
        Author = (author ?? Author).PublicKey.Bytes.ToArray(),
        Writer = writer.PublicKey.Bytes.ToArray(),
        Node = writer.PublicKey.PeerId,
        Epoch = WriterCertificate.FirstEpochOf(term),
        After = default,
    }.Sign(author ?? Author);

    /// <summary>What the node's log would be told.</summary>
    public System.Collections.Concurrent.ConcurrentQueue<string> Reports { get; } = new();

    public IReadOnlyList<SavePoint> AutoBackup { get; set; } = [];

    public IReadOnlyList<SavePoint> Retention { get; set; } = [];

    public InProcess Db { get; }

    public MemoryBlockstore Blocks { get; } = new();

    public Versioner Versions { get; private set; }

    /// <summary>Opens the versions anew, as the node does when it starts; the blocks stay.</summary>
    public void Reopen() => Versions = Open();

    /// <summary>Waits until nothing goes on in the background.</summary>
    public void Settle() => TestKit.Wait.Until(() =>
    {
        Db.Server.Cron(Db.Clock.NowMs);
        return !Versions.IsRunning;
    });

    /// <summary>Opens a version, whose key n has this value.</summary>
    public void AssertVersion(int number, string n)
    {
        InProcess.Client client = Db.Connect();
        Xunit.Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {Info.Id} VERSION {number}"));
        Xunit.Assert.Equal($"\"{n}\"", client.Run("GET n"));
    }

    /// <summary>Runs a command of the default client that may have to wait for background work.</summary>
    public string Run(string command) => Db.Default.RunToEnd(command);

    private Versioner Open() => Db.Server.DefaultMimei.Versions = new Versioner(Db.Server.DefaultMimei, new VersionerOptions
    {
        Info = Info,
        Key = Writer ?? Author,
        Writers = Writers,
        OpenBlocks = () => Blocks,
        Files = DiskFolder.Make(_folder.Path),
        WorkFolder = _folder.Path,
        Time = Db.Clock,
        AutoBackup = () => AutoBackup,
        Retention = () => Retention,
        Report = Reports.Enqueue,
    });

    public void Dispose()
    {
        Db.Dispose();
        Blocks.Dispose();
        Author.Dispose();
        _folder.Dispose();
    }
}
