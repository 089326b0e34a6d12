using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Log;
using Leither.TestKit;

namespace Leither.MmDb.Tests;

/// <summary>A store of MiMei in a folder of its own, as simple as can be: a folder for each, and a list in memory.</summary>
internal sealed class FolderMimeiStore(TimeProvider time) : IMimeiStore, IDisposable
{
    private readonly TempDir _folder = new();
    private readonly Dictionary<LeitherId, MimeiRecord> _records = [];

    public string Folder => _folder.Path;

    public ReadOnlyMemory<byte> Author { get; } = Convert.FromHexString("080112200102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20");

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

    public MimeiInfo ReadInfo(LeitherId id) => MimeiInfo.Decode(File.ReadAllBytes(Path.Combine(PathOf(id), "info")), id);

    public Mimei Open(LeitherId id)
    {
        BeforeOpen(id);
        Opened++;
        _ = ReadInfo(id);
        var keyspace = new Keyspace(Options, 7);
        var mimei = new Mimei(keyspace, id);
        DiskFolder checkpoints = DiskFolder.Make(PathOf(id));
        RecoveredState state = Persistence.Recover(keyspace, checkpoints, DiskFolder.Make(Path.Combine(PathOf(id), "log")), new LogOptions
        {
            Fsync = FsyncPolicy.No,
            IsThrifty = true,
        });
        mimei.Log = state.Log;
        mimei.Checkpointer = new Checkpointer(mimei, checkpoints, state, time);
        return mimei;
    }

    public long BytesOf(LeitherId id) => !Directory.Exists(PathOf(id)) ? 0 : Directory.EnumerateFiles(PathOf(id), "*", SearchOption.AllDirectories).Sum(static f => new FileInfo(f).Length);

    public void Keep(MimeiRecord record)
    {
        lock (_records)
        {
            _records[record.Id] = record;
        }
    }

    public string PathOf(LeitherId id) => Path.Combine(_folder.Path, id.ToBase32());

    public void Dispose() => _folder.Dispose();
}
