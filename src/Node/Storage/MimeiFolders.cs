using System.Security.Cryptography;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Replication;
using Leither.MmDb.Rights;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;
using Leither.Node.Configuration;
using Leither.Node.Logging;
using Leither.Node.Replication;

namespace Leither.Node.Storage;

/// <summary>
/// The MiMei in a data folder. Each has a folder of its own, named by its id in base32, which holds all of it and can be carried to another node:
/// <code>
/// DIR/keys/author.key, node.key      who owns what is made here, and who the node is
/// DIR/mimei.list                     names and what else the node knows of them
/// DIR/mimei/ID/info                  what the MiMei is; its hash is the id
/// DIR/mimei/ID/checkpoint-*          its state at places of its log
/// DIR/mimei/ID/log/                  its log
/// DIR/mimei/ID/versions              which versions there are
/// DIR/mimei/ID/refs                  what it refers to
/// DIR/mimei/ID/copy                  that it follows a writer elsewhere
/// DIR/mimei/ID/writers               whom its author let write, and when (WriterSet)
/// DIR/mimei/ID/rights                who may do what with it, besides its owner (MimeiRights)
/// DIR/mimei/ID/replica               whether it is followed, and from whom (SharingFacts)
/// DIR/mimei/ID/replica-state         what was seen of its other nodes: heads, certificates, proofs (ReplicaState)
/// DIR/mimei/ID/blocks/               the blocks of the versions
/// DIR/ipfs/blocks/, roots            public content, apart from all that, and what of it is kept (ContentRepo)
/// DIR/mimei/draft-*/                 one that is being imported; what is left of such goes at the next start
/// </code>
/// </summary>
public sealed class MimeiFolders : IMimeiStore, IDisposable
{
    private const string MimeiFolder = "mimei", InfoFile = "info", LogFolder = "log", BlocksFolder = "blocks", ReferencesFile = "refs", RightsFile = "rights", CheckpointFiles = "checkpoint-*", DraftFolders = "draft-*";

    /// <summary>Segments of a log that has not come to this size yet are smaller than others, since each is taken from the disk whole.</summary>
    private const int SmallLogBytes = 1 << 20, SmallSegmentBytes = 256 << 10;

    private readonly string _folder;
    private readonly NodeConfig _config;
    private readonly NodeLog _log;
    private readonly NodeKeys _keys;
    private readonly MimeiList _list;
    private readonly KeyspaceOptions _options;
    private readonly bool _isLook;
    private readonly List<OverlayFolder> _looked = [];

    /// <summary>Opens the MiMei of a data folder, and makes the default one where it is missing: with all that an older version kept there.</summary>
    /// <exception cref="DataFolderException">The folder cannot be used as it is.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public MimeiFolders(string folder, NodeConfig config, NodeLog log)
    {
        _folder = folder;
        _config = config;
        _log = log;
        _options = SettingsBinding.KeyspaceOptions(config.Settings);
        _keys = NodeKeys.Open(folder, log);
        Directory.CreateDirectory(Path.Combine(folder, MimeiFolder));
        foreach (string draft in Directory.EnumerateDirectories(Path.Combine(folder, MimeiFolder), DraftFolders))
        {
            log.Notice($"{draft} is what an import left that was not completed; it is deleted");
            Directory.Delete(draft, recursive: true);
        }

        _list = new MimeiList(folder, log);
        MimeiInfo first = new(Author, "", "", MimeiInfo.DefaultMark, MimeiType.Database);
        DefaultId = first.Id;
        if (!File.Exists(Path.Combine(PathOf(DefaultId), InfoFile)))
        {
            Create(first);
            bool isTaken = _list.Records.Values.Any(static r => r.Name == MimeiInfo.DefaultMark);
            Keep(new MimeiRecord(DefaultId) { Name = isTaken ? "" : MimeiInfo.DefaultMark, CreatedMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds(), Author = LeitherId.Of(Author.Span) });
        }

        MoveOldData();
    }

    private MimeiFolders(string folder, NodeConfig config, NodeLog log, NodeKeys keys)
    {
        _folder = folder;
        _config = config;
        _log = log;
        _options = SettingsBinding.KeyspaceOptions(config.Settings);
        _keys = keys;
        _list = MimeiList.Empty;
        _isLook = true;
        DefaultId = new MimeiInfo(Author, "", "", MimeiInfo.DefaultMark, MimeiType.Database).Id;
    }

    /// <summary>Opens what is there only to look at it: nothing on the disk changes, and what recovery would change is in memory alone. Null: there are no keys or no MiMei yet.</summary>
    /// <exception cref="DataFolderException">A key is damaged.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static MimeiFolders? Look(string folder, NodeConfig config, NodeLog log) =>
        Directory.Exists(Path.Combine(folder, MimeiFolder)) && NodeKeys.Find(folder) is { } keys ? new MimeiFolders(folder, config, log, keys) : null;

    /// <summary>The MiMei that connections start in.</summary>
    public LeitherId DefaultId { get; }

    /// <summary>The node's keys.</summary>
    public NodeKeys Keys => _keys;

    /// <inheritdoc/>
    public string Folder => Path.GetFullPath(_folder);

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> Author => _keys.Author.PublicKey.Protobuf.ToArray();

    /// <summary>
    /// Asks whether one that is written here is to be opened as a copy first, since others may have more of it than a loss of power left here; it is
    /// promoted when they were asked. Called by any thread. Null: none is.
    /// </summary>
    public Func<LeitherId, bool>? Recovers { get; set; }

    /// <summary>Whether a data folder holds anything of a node's, of this version or an older one.</summary>
    public static bool HoldAnything(string folder) =>
        Directory.Exists(Path.Combine(folder, MimeiFolder)) || Directory.Exists(Path.Combine(folder, LogFolder)) || Directory.EnumerateFiles(folder, CheckpointFiles).Any();

    /// <inheritdoc/>
    public IReadOnlyCollection<MimeiRecord> List()
    {
        List<MimeiRecord> found = [];
        foreach (string path in Directory.EnumerateDirectories(Path.Combine(_folder, MimeiFolder)))
        {
            string name = Path.GetFileName(path);
            if (LeitherId.TryParseBase32(name, out LeitherId id) && id.ToBase32() == name && File.Exists(Path.Combine(path, InfoFile)))
            {
                MimeiRecord record = _list.Records.GetValueOrDefault(id) ?? new MimeiRecord(id) { CreatedMs = new DateTimeOffset(Directory.GetCreationTimeUtc(path)).ToUnixTimeMilliseconds() };
                found.Add(record with { References = ReadReferences(Path.Combine(path, ReferencesFile)), Rights = ReadRights(path), Author = AuthorOf(id) });
            }
        }

        return found;
    }

    /// <inheritdoc/>
    public void Create(MimeiInfo info)
    {
        // The info comes last: a folder without one is no MiMei, and is made whole by the next try.
        WriteInfo(PathOf(info.Id), info);
    }

    /// <inheritdoc/>
    public void CreateCopy(MimeiInfo info)
    {
        // One that came as versions is here already, and has no log. It is loaded anew, or it goes on showing these.
        DiskFolder folder = DiskFolder.Make(PathOf(info.Id));
        bool isHere = File.Exists(folder.FullName(InfoFile));
        if (!isHere || !Directory.Exists(folder.FullName(LogFolder))) CopyFile.Create(folder);
        if (!isHere) WriteInfo(PathOf(info.Id), info);
    }

    /// <inheritdoc/>
    public IMimeiDraft Draft() => new MimeiDraft(this);

    private static void WriteInfo(string folder, MimeiInfo info) => Write(DiskFolder.Make(folder), InfoFile, info.Encode());

    /// <summary>Writes a file beside the old one, whose place it takes when it is durable.</summary>
    private static void Write(DiskFolder folder, string name, byte[] bytes)
    {
        string unfinished = name + ".new";
        folder.Delete(unfinished);
        using (IFile file = folder.Create(unfinished))
        {
            file.WriteAll(0, bytes);
            file.Sync();
        }

        folder.Rename(unfinished, name);
        folder.SyncDirectory();
    }

    /// <inheritdoc/>
    public MimeiInfo ReadInfo(LeitherId id)
    {
        using FileStream stream = File.OpenRead(Path.Combine(PathOf(id), InfoFile));
        Span<byte> block = stackalloc byte[MimeiInfo.MaxBlockBytes];
        return MimeiInfo.Decode(block[..stream.ReadAtLeast(block, block.Length, throwOnEndOfStream: false)], id);
    }

    /// <inheritdoc/>
    public Mimei Open(LeitherId id)
    {
        Mimei mimei = Recover(id, out string found);
        _log.Verbose($"MiMei {id}: {found}");
        return mimei;
    }

    /// <summary>Brings the default MiMei back, and says what was found.</summary>
    /// <exception cref="DataFolderException">It is damaged.</exception>
    /// <exception cref="IOException">It cannot be: the message says why, and what to do.</exception>
    public Mimei OpenDefault()
    {
        try
        {
            Mimei mimei = Recover(DefaultId, out string found);
            _log.Notice(found);
            return mimei;
        }
        catch (MimeiException e)
        {
            throw new DataFolderException($"{PathOf(DefaultId)}: {e.Message["ERR ".Length..]}", e);
        }
    }

    /// <inheritdoc/>
    public long BytesOf(LeitherId id)
    {
        long bytes = 0;
        foreach (FileInfo file in new DirectoryInfo(PathOf(id)).EnumerateFiles("*", SearchOption.AllDirectories))
        {
            // One that goes meanwhile takes nothing any more.
            bytes += file.Exists ? file.Length : 0;
        }

        return bytes;
    }

    /// <inheritdoc/>
    public MimeiRecord? Recall(LeitherId id) => _list.Find(id);

    /// <inheritdoc/>
    public void KeepReferences(LeitherId id, IReadOnlyList<MimeiReference> references) => Write(new DiskFolder(PathOf(id)), ReferencesFile, MimeiReference.Encode(references));

    private IReadOnlyList<MimeiReference> ReadReferences(string path)
    {
        try
        {
            return File.Exists(path) ? MimeiReference.Decode(File.ReadAllBytes(path)) : [];
        }
        catch (Leither.Ipfs.MalformedBlockException e)
        {
            _log.Warning($"{path} is damaged, so what it referred to may be deleted: {e.Message}. MIMEI REF ADD makes it anew");
            return [];
        }
    }

    /// <inheritdoc/>
    public void KeepRights(LeitherId id, MimeiRights rights) => CheckedFile.Write(PathOf(id), RightsFile, rights.Encode());

    /// <summary>
    /// Who may do what with a MiMei. Where the file is damaged that is nobody but its owner: what was given is not guessed, and the node serves all others.
    /// </summary>
    /// <exception cref="IOException">The disk failed.</exception>
    private MimeiRights ReadRights(string folder)
    {
        string path = Path.Combine(folder, RightsFile);
        try
        {
            if (CheckedFile.Read(path) is { } block)
            {
                return MimeiRights.Decode(block);
            }
        }
        catch (Leither.Ipfs.MalformedBlockException e)
        {
            _log.Warning($"{path}, which says who may do what with the MiMei, is damaged, so nobody but its owner may: {e.Message} Restore it from a copy, or give rights again (MIMEI RIGHT)");
            return MimeiRights.Private;
        }

        // Versions before rights had one list, of who may have it. It is moved before anything else writes that file.
        if (SharingFacts.ReadOldRights(folder) is not { } old)
        {
            return MimeiRights.Private;
        }

        CheckedFile.Write(folder, RightsFile, old.Encode());
        _log.Notice($"Who may read the MiMei in {folder} stands in its file {RightsFile} from now on");
        return old;
    }

    /// <summary>Who made a MiMei; none where its info is damaged, which is told when it is opened.</summary>
    private LeitherId AuthorOf(LeitherId id)
    {
        try
        {
            return LeitherId.Of(ReadInfo(id).Author.Span);
        }
        catch (Exception e) when (e is MimeiException or IOException)
        {
            return default;
        }
    }

    /// <inheritdoc/>
    public void Keep(MimeiRecord record) => _list.Keep(record);

    /// <summary>What appendfsync says.</summary>
    public FsyncPolicy Fsync => _config.Settings.Show(ConfigKeys.AppendFsync) switch
    {
        "always" => FsyncPolicy.Always,
        "no" => FsyncPolicy.No,
        _ => FsyncPolicy.EverySecond,
    };

    /// <inheritdoc/>
    public void Dispose()
    {
        _looked.ForEach(static f => f.Dispose());
        _list.Dispose();
        _keys.Dispose();
    }

    /// <summary>Where the folders of MiMei are.</summary>
    public string MimeiRoot => Path.Combine(_folder, MimeiFolder);

    /// <summary>The folder of a MiMei.</summary>
    public string PathOf(LeitherId id) => Path.Combine(_folder, MimeiFolder, id.ToBase32());

    private IFolder At(string path) => _isLook ? Over(path) : DiskFolder.Make(path);

    private OverlayFolder Over(string path)
    {
        OverlayFolder over = new(new DiskFolder(path));
        _looked.Add(over);
        return over;
    }

    /// <summary>Brings a MiMei back from its folder, and lets it make checkpoints there.</summary>
    private Mimei Recover(LeitherId id, out string found)
    {
        MimeiInfo info = ReadInfo(id);
        IFolder checkpoints = At(PathOf(id));
        string logFolder = Path.Combine(PathOf(id), LogFolder);
        bool isAuthor = info.Author.Span.SequenceEqual(Author.Span);
        WriterSet writers = WritersOf(info, checkpoints);
        WriterCertificate? certificate = CertificateHere(writers);
        bool mayHaveWritten = MayHaveWritten(writers), isMarked = CopyFile.IsIn(checkpoints), hasLog = Directory.Exists(logFolder);
        bool recovers = !isMarked && hasLog && mayHaveWritten && Recovers?.Invoke(id) == true;
        bool isCopy = isMarked || recovers || (!mayHaveWritten && hasLog);
        bool isWrittenElsewhere = !isAuthor || (writers.Newest is not null && certificate != writers.Newest);
        if (isWrittenElsewhere && !isCopy && !hasLog && !Directory.EnumerateFiles(PathOf(id), CheckpointFiles).Any())
        {
            return OpenVersions(info, writers, checkpoints, out found);
        }

        bool keepsLog = isCopy || certificate is not null || _config.Settings.Get(ConfigKeys.AppendOnly), isDefault = id == DefaultId;
        Mimei mimei = new(new Keyspace(_options, _keys.HashSeed(id)), id);

        // A log that was kept once is read even where none is kept any more: it may hold what no checkpoint does.
        IFolder? log = keepsLog || hasLog ? At(logFolder) : null;
        bool isSmall = log is not null && !isDefault && log.List().Sum(static f => f.Length) < SmallLogBytes;
        var options = new LogOptions
        {
            Fsync = Fsync,
            IsThrifty = !isDefault,
            Origin = OriginOf(info, writers),
            FirstEpoch = certificate?.Epoch ?? 0,
            SegmentBytes = isSmall ? SmallSegmentBytes : new LogOptions().SegmentBytes,
            AllowDataLossAfterCorruption = _config.AllowsDataLossAfterCorruption,
        };
        MimeiFiles? files = log is null ? null : new MimeiFiles
        {
            Folder = checkpoints,
            Log = log,
            LogOptions = options,
            Store = this,
            Report = text => _log.Notice(text),
        };
        RecoveredState state;
        try
        {
            state = isCopy ? Persistence.RecoverCopy(mimei.Keyspace, files!, wasWritten: recovers) : Persistence.Recover(mimei.Keyspace, checkpoints, log, options);
        }
        catch
        {
            mimei.Dispose();
            throw;
        }

        foreach (CheckpointCorruptedException damaged in state.Damaged)
        {
            _log.Warning($"{damaged.Message}. The one before it and the log gave the same state");
        }

        found = state.Checkpoint is { } loaded ? $"Checkpoint {loaded}" : "";
        if (state.Log is { } opened)
        {
            found += $"{(found.Length > 0 ? "; log" : "Log")}: {opened.Recovery}";
            if (keepsLog)
            {
                mimei.Log = opened;
            }
            else
            {
                mimei.Keyspace.Effects.RecordTo(null, new HybridClock(mimei.Keyspace.Effects.LastTime));
                opened.Close();
            }
        }

        mimei.Checkpointer = new Checkpointer(mimei, checkpoints, state, TimeProvider.System, new CheckpointerOptions
        {
            SavePoints = () => _config.Settings.Get(ConfigKeys.Save),
            LogBytes = () => _config.Settings.Get(ConfigKeys.AutoAofRewriteMinSize),
            LogPercent = () => _config.Settings.Get(ConfigKeys.AutoAofRewritePercentage),
            UnusedLog = keepsLog ? null : log,
            Report = text => _log.Notice(isDefault ? text : $"MiMei {id}: {text}"),
        });
        mimei.Versions = VersionsOf(mimei, info, writers, checkpoints);
        mimei.Files = keepsLog ? files : null;
        mimei.Keyspace.IsWriter = mayHaveWritten;
        if (isCopy)
        {
            _ = new MimeiCopy(mimei, files!, state.Position);
            found += recovers ? $"; at entry {state.Position}, and others are asked for what may be lost" : $"; a copy, at entry {state.Position}";
        }

        return mimei;
    }

    /// <summary>Whether what this node's user signs there may have been written here: it is its author, or was let write by him, whether somebody else took over since or not.</summary>
    internal bool MayHaveWritten(WriterSet writers) => writers.Author.Equals(_keys.Author.PublicKey) || CertificateHere(writers) is not null;

    /// <summary>The author's newest word that this node writes; null: there was none.</summary>
    private WriterCertificate? CertificateHere(WriterSet writers) => writers.NewestFor(_keys.Author.PublicKey, _keys.Node.PublicKey.PeerId);

    /// <summary>Who wrote a MiMei, by what is kept in its folder.</summary>
    private WriterSet WritersOf(MimeiInfo info, IFolder files)
    {
        WriterSet writers = WriterSet.Open(files, info.Id, info.ReadAuthorKey());
        if (!WriterSet.IsIn(files) && ReplicaState.Load(PathOf(info.Id)).Core is { Certificates.Count: > 0 } told)
        {
            // Versions before kept them with what else other nodes told.
            writers.Keep(told.Certificates);
        }

        return writers;
    }

    /// <summary>Whose log it is: each epoch has a writer, the author as long as nobody else was certified.</summary>
    private static SegmentOrigin OriginOf(MimeiInfo info, WriterSet writers)
    {
        byte[] author = writers.Author.Bytes.ToArray();
        return new SegmentOrigin(info.Id, author) { Writers = epoch => writers.WriterOf(epoch) is { IsEmpty: false } writer ? writer : author };
    }

    /// <summary>Opens one that came as versions, of an author whose key is elsewhere: it has no log here, and what it holds is what its newest version does.</summary>
    private Mimei OpenVersions(MimeiInfo info, WriterSet writers, IFolder files, out string found)
    {
        Mimei mimei = new(new Keyspace(_options, _keys.HashSeed(info.Id)) { IsWriter = false }, info.Id);
        try
        {
            mimei.Versions = VersionsOf(mimei, info, writers, files);
            mimei.ShowNewest();
            found = $"Version {mimei.Versions.List.Last.Number} of what is written elsewhere";
            return mimei;
        }
        catch
        {
            mimei.Dispose();
            throw;
        }
    }

    /// <summary>An index file for each few versions rather than for each: writing one is a good part of what a small version costs.</summary>
    private static readonly FileBlockstoreOptions _blockstoreOptions = new() { MaxRecentBlocks = 8192 };

    private Versioner VersionsOf(Mimei mimei, MimeiInfo info, WriterSet writers, IFolder files) => new(mimei, new VersionerOptions
    {
        Info = info,
        Key = _keys.Author,
        Writers = writers,
        OpenBlocks = () => _isLook
            ? new FileBlockstore(Over(Path.Combine(PathOf(info.Id), BlocksFolder)), _blockstoreOptions)
            : new FileBlockstore(Path.Combine(PathOf(info.Id), BlocksFolder), _blockstoreOptions),
        Files = files,
        WorkFolder = PathOf(info.Id),
        Time = TimeProvider.System,
        AutoBackup = () => _config.Settings.Get(ConfigKeys.AutoBackup),
        Retention = () => _config.Settings.Get(ConfigKeys.BackupRetention),
        Report = text => _log.Notice(info.Id == DefaultId ? text : $"MiMei {info.Id}: {text}"),
    });

    /// <summary>A folder beside those of MiMei, which becomes one of them by its name.</summary>
    private sealed class MimeiDraft : IMimeiDraft
    {
        private readonly MimeiFolders _folders;
        private readonly string _path;
        private FileBlockstore? _blocks;

        public MimeiDraft(MimeiFolders folders)
        {
            _folders = folders;
            _path = Path.Combine(folders._folder, MimeiFolder, DraftFolders.TrimEnd('*') + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8)));
            Files = DiskFolder.Make(_path);
            _blocks = new FileBlockstore(Path.Combine(_path, BlocksFolder));
        }

        public IBlockstore Blocks => _blocks!;

        public IFolder Files { get; }

        public void Complete(MimeiInfo info)
        {
            _blocks!.Flush();
            _blocks.Dispose();
            _blocks = null;
            WriteInfo(_path, info);
            string path = _folders.PathOf(info.Id);
            if (File.Exists(Path.Combine(path, InfoFile)))
            {
                throw new MimeiException($"ERR MiMei {info.Id} was made meanwhile; try again");
            }

            // The name is the last thing that it gets: until then it is a draft, whatever happens.
            Directory.Move(_path, path);
            new DiskFolder(Path.Combine(_folders._folder, MimeiFolder)).SyncDirectory();
        }

        public void Dispose()
        {
            _blocks?.Dispose();
            if (Directory.Exists(_path))
            {
                Directory.Delete(_path, recursive: true);
            }
        }
    }

    /// <summary>
    /// Versions that knew one MiMei only kept its log and checkpoints in the data folder itself. They become those of the default one. Each file is moved in
    /// one step and nothing is opened before all are: a crash in between leaves the rest to the next start.
    /// </summary>
    private void MoveOldData()
    {
        string oldLog = Path.Combine(_folder, LogFolder), path = PathOf(DefaultId);
        string[] checkpoints = [.. Directory.EnumerateFiles(_folder, CheckpointFiles)];
        if (checkpoints.Length == 0 && !Directory.Exists(oldLog))
        {
            return;
        }

        DiskFolder target = DiskFolder.Make(path);
        if (Directory.Exists(oldLog) && Directory.Exists(Path.Combine(path, LogFolder)))
        {
            throw new DataFolderException($"{oldLog} is the log of an older version, and {path} has one already. Move away the one that is not to be used");
        }

        foreach (string checkpoint in checkpoints)
        {
            File.Move(checkpoint, target.FullName(Path.GetFileName(checkpoint)), overwrite: false);
        }

        if (Directory.Exists(oldLog))
        {
            Directory.Move(oldLog, Path.Combine(path, LogFolder));
        }

        target.SyncDirectory();
        DiskFolder.Make(_folder).SyncDirectory();
        _log.Notice($"This folder was that of a version with one MiMei; its log and checkpoints are now in {path}");
    }
}
