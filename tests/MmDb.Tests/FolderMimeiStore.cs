using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Log;
using Leither.MmDb.Rights;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;
using Leither.TestKit;

namespace Leither.MmDb.Tests;

/// <summary>A store of MiMei in a folder of its own, as simple as can be: a folder for each, and a list in memory.</summary>
internal sealed class FolderMimeiStore(TimeProvider time) : IMimeiStore, IDisposable
{
    private readonly TempDir _folder = new();
    private readonly Dictionary<LeitherId, MimeiRecord> _records = [];

    /// <summary>A server that keeps its MiMei in such a store.</summary>
    public static InProcess Serve(out FolderMimeiStore store, PrivateKey? key = null)
    {
        FolderMimeiStore? made = null;
        var db = new InProcess(store: clock => made = new FolderMimeiStore(clock) { Key = key });
        store = made!;
        store.Options = db.Keyspace.Options;
        return db;
    }

    public string Folder => _folder.Path;

    public ReadOnlyMemory<byte> Author => Key?.PublicKey.Protobuf.ToArray() ?? Convert.FromHexString("080112200102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20");

    /// <summary>The author's key; null: MiMei that are made here have no versions.</summary>
    public PrivateKey? Key { get; set; }

    /// <summary>The folders of drafts and MiMei.</summary>
    public IEnumerable<string> Folders => Directory.EnumerateDirectories(_folder.Path).Select(static path => Path.GetFileName(path));

    /// <summary>Settings of the keyspaces that it makes; those of the node share one object.</summary>
    public KeyspaceOptions Options { get; set; } = new();

    /// <summary>How often each was opened.</summary>
    public int Opened { get; private set; }

    /// <summary>Is called before one is opened.</summary>
    public Action<LeitherId> BeforeOpen { get; set; } = static _ => { };

    public IReadOnlyCollection<MimeiRecord> List() => _records.Values;

    public void Create(MimeiInfo info)
    {
        Directory.CreateDirectory(PathOf(info.Id));
        File.WriteAllBytes(Path.Combine(PathOf(info.Id), "info"), info.Encode());
    }

    public void CreateCopy(MimeiInfo info)
    {
        Create(info);
        File.WriteAllBytes(Path.Combine(PathOf(info.Id), "copy"), []);
    }

    public MimeiInfo ReadInfo(LeitherId id) => MimeiInfo.Decode(File.ReadAllBytes(Path.Combine(PathOf(id), "info")), id);

    public Mimei Open(LeitherId id)
    {
        BeforeOpen(id);
        Opened++;
        MimeiInfo info = ReadInfo(id);
        var keyspace = new Keyspace(Options, 7);
        var mimei = new Mimei(keyspace, id);
        DiskFolder files = DiskFolder.Make(PathOf(id));
        bool isAuthor = info.Author.Span.SequenceEqual(Author.Span);
        if (Key is not null || !isAuthor)
        {
            mimei.Versions = new Versioner(mimei, new VersionerOptions
            {
                Info = info,
                Key = Key,
                Writers = WriterSet.Open(files, id, info.ReadAuthorKey()),
                OpenBlocks = () => new FileBlockstore(Path.Combine(PathOf(id), "blocks")),
                Files = files,
                WorkFolder = PathOf(id),
                Time = time,
            });
            if (!isAuthor || mimei.Versions.Writers.Newest is not null)
            {
                keyspace.IsWriter = false;
                mimei.ShowNewest();
                return mimei;
            }
        }

        RecoveredState state = Persistence.Recover(keyspace, files, DiskFolder.Make(Path.Combine(PathOf(id), "log")), new LogOptions
        {
            Fsync = FsyncPolicy.No,
            IsThrifty = true,
        });
        mimei.Log = state.Log;
        mimei.Checkpointer = new Checkpointer(mimei, files, state, time);
        return mimei;
    }

    public IMimeiDraft Draft() => new FolderDraft(this);

    public long BytesOf(LeitherId id) => !Directory.Exists(PathOf(id)) ? 0 : Directory.EnumerateFiles(PathOf(id), "*", SearchOption.AllDirectories).Sum(static f => new FileInfo(f).Length);

    public void Keep(MimeiRecord record)
    {
        lock (_records)
        {
            _records[record.Id] = record;
        }
    }

    public MimeiRecord? Recall(LeitherId id)
    {
        lock (_records)
        {
            return _records.GetValueOrDefault(id);
        }
    }

    public void KeepReferences(LeitherId id, IReadOnlyList<MimeiReference> references) =>
        File.WriteAllBytes(Path.Combine(Directory.CreateDirectory(PathOf(id)).FullName, "refs"), MimeiReference.Encode(references));

    public void KeepRights(LeitherId id, MimeiRights rights) => File.WriteAllBytes(Path.Combine(Directory.CreateDirectory(PathOf(id)).FullName, "rights"), rights.Encode());

    public string PathOf(LeitherId id) => Path.Combine(_folder.Path, id.ToBase32());

    public void Dispose() => _folder.Dispose();

    private sealed class FolderDraft : IMimeiDraft
    {
        private readonly FolderMimeiStore _store;
        private readonly string _path;
        private readonly FileBlockstore _blocks;

        public FolderDraft(FolderMimeiStore store)
        {
            _store = store;
            _path = Path.Combine(store.Folder, "draft");
            Files = DiskFolder.Make(_path);
            _blocks = new FileBlockstore(Path.Combine(_path, "blocks"));
        }

        public IBlockstore Blocks => _blocks;

        public IFolder Files { get; }

        public void Complete(MimeiInfo info)
        {
            _blocks.Flush();
            _blocks.Dispose();
            Directory.Move(_path, _store.PathOf(info.Id));
            _store.Create(info);
        }

        public void Dispose()
        {
            _blocks.Dispose();
            if (Directory.Exists(_path))
            {
                Directory.Delete(_path, recursive: true);
            }
        }
    }
}
