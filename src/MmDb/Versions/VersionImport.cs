using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Car;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Checkpoints;
using Leither.MmDb.Versions.Tree;
using Leither.MmDb.Writers;

namespace Leither.MmDb.Versions;

/// <summary>
/// Versions that come in a CAR, as MIMEI EXPORT writes them or any IPFS tool has written them anew: its roots are the versions' blocks. Whoever made the file is not
/// trusted; what has been read was checked.
/// </summary>
/// <remarks>
/// <para>What is checked: each block against its hash; the block of what the MiMei is against its id; each version's signature, and where the author did not make it his
/// certificate for who did, which is in the file too; each state, block by block, against the format; that everything is there. What the versions do not need is left out, and so is the log that they link to, which exports do not carry.</para>
/// <para>The file is read once, into a draft of a MiMei (<see cref="IMimeiDraft"/>). Either the draft becomes the MiMei, or its blocks go into the one there is.
/// Memory is that of a check: some 250 bytes for each block, 4 KiB as a rule. For threads that may wait for the disk, one at a time.</para>
/// </remarks>
internal sealed class VersionImport : IDisposable
{
    /// <summary>Versions are told to clients as signed numbers, and another one follows each.</summary>
    private const ulong MaxNumber = long.MaxValue - 1;

    /// <summary>What might be a certificate and is behind so many others is not looked at.</summary>
    private const int MaxCertificates = 4096;

    /// <summary>How far a clock may be ahead of ours whose times we go on from.</summary>
    private const long MaxDriftMs = 60_000;

    private readonly IMimeiDraft _draft;
    private readonly string _path;
    private readonly LongWork _work;
    private readonly HashSet<Cid> _needed = [];
    private readonly HashSet<Cid> _possibleCertificates = [];
    private IReadOnlyList<Cid> _roots = [];
    private Cid _infoBlock;
    private WriterSet _writers = null!;
    private HashSet<Cid> _certificates = [];
    private List<(Cid Block, MimeiVersion Version)> _versions = [];

    private VersionImport(IMimeiDraft draft, string path, LongWork work)
    {
        _draft = draft;
        _path = path;
        _work = work;
    }

    /// <summary>What the MiMei is.</summary>
    public MimeiInfo Info { get; private set; } = null!;

    /// <summary>Whether whoever the file says to write last is the author.</summary>
    public bool IsWrittenByAuthor => _writers.Newest is not { } newest || newest.Writer.Span.SequenceEqual(_writers.Author.Bytes);

    /// <summary>Its versions that were asked for, oldest first.</summary>
    public IReadOnlyList<(Cid Block, MimeiVersion Version)> Versions => _versions;

    /// <summary>Blocks that they need.</summary>
    public long Blocks { get; private set; }

    /// <summary>Bytes of these.</summary>
    public long Bytes { get; private set; }

    /// <summary>Blocks of the file that they do not need.</summary>
    public long LeftOut { get; private set; }

    /// <summary>Reads and checks versions.</summary>
    /// <param name="draft">Where the blocks go; disposed of with the result, and where there is none.</param>
    /// <param name="path">The file.</param>
    /// <param name="numbers">Which versions; none: all that are roots.</param>
    /// <param name="databases">How many databases a MiMei has here.</param>
    /// <param name="work">Is told how far it is.</param>
    /// <exception cref="MimeiException">It is no such file, or something in it is not as it should be.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static VersionImport Read(IMimeiDraft draft, string path, IReadOnlyCollection<ulong> numbers, int databases, LongWork work)
    {
        var import = new VersionImport(draft, path, work);
        try
        {
            import.Stage();
            import.FindVersions(numbers);
            import.Check(databases);
            return import;
        }
        catch
        {
            import.Dispose();
            throw;
        }
    }

    /// <summary>Makes the draft the MiMei: one that is not on this node yet.</summary>
    /// <param name="isWriter">Whether it can be written to here, and goes on from its newest version: the author's key is here, and he let nobody else write.</param>
    /// <param name="options">Settings of keyspaces.</param>
    /// <param name="nowMs">Unix milliseconds.</param>
    /// <exception cref="MimeiException">It cannot be gone on from.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public MimeiRecord Complete(bool isWriter, KeyspaceOptions options, long nowMs)
    {
        LeaveOut();
        MimeiVersion newest = _versions[^1].Version;
        StateRoot state = StateRoot.Read(new NodeStore(_draft.Blocks), newest.State);
        if (isWriter)
        {
            WriteCheckpoint(newest, state, options, nowMs);
        }

        // With the checkpoint the newest one's position is one of the log that begins here.
        _ = new VersionList(_draft.Files, _versions.Select(v => new ListedVersion(v.Version.Number, v.Block, IsOwn: isWriter && v.Version == newest)));
        WriterSet.Open(_draft.Files, Info.Id, _writers.Author).Keep(_writers.Blocks);
        _draft.Complete(Info);
        return new MimeiRecord(Info.Id) { CreatedMs = nowMs, Author = Leither.Ipfs.Keys.LeitherId.Of(Info.Author.Span), Keys = state.KeyCount };
    }

    /// <summary>Adds the versions to those of the MiMei that is on this node already, all or none. (No collection begins meanwhile.)</summary>
    /// <returns>How many were not there.</returns>
    /// <exception cref="MimeiException">Another version has the number of one of them.</exception>
    /// <exception cref="IOException">A block is damaged, or the disk failed.</exception>
    public int AddTo(Versioner versions)
    {
        using IDisposable job = versions.BeginJob();
        using IDisposable protection = versions.Blocks.ProtectPuts();
        List<ListedVersion> missing = Missing(versions);
        _work.Begin("storing blocks", _needed.Count);
        foreach (Cid cid in _needed)
        {
            _work.Count();
            versions.ThrowIfClosing();
            byte[] block = _draft.Blocks.Get(cid) ?? throw new MissingBlockException(cid);
            if (!versions.Blocks.Put(cid, block) && !IsIntact(versions.Blocks, cid))
            {
                versions.Blocks.Delete(cid);
                versions.Blocks.Put(cid, block);
            }
        }

        versions.Blocks.Flush();
        versions.Writers.Keep(_writers.Blocks);
        if (missing.Count > 0)
        {
            versions.List.Add(missing);
        }

        return missing.Count;
    }

    /// <inheritdoc/>
    public void Dispose() => _draft.Dispose();

    // ------------------------------------------------------------------ reading

    /// <summary>The blocks of the file, each verified, into the draft.</summary>
    private void Stage()
    {
        if (Directory.Exists(_path))
        {
            throw Refused("is a folder");
        }

        try
        {
            using var file = new FileStream(_path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            _work.Begin("reading bytes", file.Length);
            CarReader car = CarReader.Open(file);
            _roots = [.. car.Roots.Distinct()];
            while (car.Read())
            {
                _work.Reached(car.Offset);
                _draft.Blocks.Put(car.Cid, car.Block.Span);
                if (_possibleCertificates.Count < MaxCertificates && WriterCertificate.IsPossible(car.Cid, car.Block.Span))
                {
                    _possibleCertificates.Add(car.Cid);
                }
            }
        }
        catch (CarException e)
        {
            throw Refused($"is no sound CAR: {e.Message}", e);
        }

        if (_roots.Count == 0)
        {
            throw Refused("names no root: those of a CAR with versions are the versions' blocks, as MIMEI EXPORT writes them");
        }
    }

    /// <summary>The versions that the roots are, of one MiMei, whose block is in the file too.</summary>
    private void FindVersions(IReadOnlyCollection<ulong> numbers)
    {
        var blocks = new List<(Cid Cid, byte[] Block)>();
        LeitherId? mid = null;
        foreach (Cid root in _roots)
        {
            byte[] block = ReadRoot(root);
            LeitherId its = MimeiVersion.MidOf(block) ?? throw Refused($"has the root {root}, which is no version of a MiMei");
            if (mid is { } other && other != its)
            {
                throw Refused($"has versions of more than one MiMei: {other} and {its}");
            }

            mid = its;
            blocks.Add((root, block));
        }

        Info = ReadInfo(mid!.Value);
        if (!PublicKey.TryFromProtobuf(Info.Author.Span, out PublicKey? author))
        {
            throw Refused("names an author whose key is none that this node knows");
        }

        _writers = new WriterSet(mid.Value, author);
        _certificates = [.. _possibleCertificates.Where(cid => IsCertificate(_draft.Blocks.Get(cid)!))];

        var found = new SortedDictionary<ulong, (Cid Block, MimeiVersion Version)>();
        foreach ((Cid cid, byte[] block) in blocks)
        {
            MimeiVersion version = Decode(block);
            if (version.Number is 0 or > MaxNumber)
            {
                throw Refused($"has a version of number {version.Number}, which none can have");
            }

            if (!found.TryAdd(version.Number, (cid, version)))
            {
                throw Refused($"has two versions {version.Number}: {found[version.Number].Block} and {cid}");
            }
        }

        foreach (ulong number in numbers)
        {
            if (!found.ContainsKey(number))
            {
                throw Refused($"has no version {number}; it has {string.Join(", ", found.Keys)}");
            }
        }

        _versions = [.. found.Values.Where(v => numbers.Count == 0 || numbers.Contains(v.Version.Number))];
        for (int i = 1; i < _versions.Count; i++)
        {
            RequireOrder(_versions[i - 1].Version, _versions[i].Version);
        }
    }

    private byte[] ReadRoot(in Cid root)
    {
        if (!_draft.Blocks.TryGetLength(root, out int length))
        {
            throw Refused($"names the root {root}, and does not have it");
        }

        return length <= MimeiVersion.MaxBlockBytes && root.Codec == Multicodec.DagCbor ? _draft.Blocks.Get(root)!
            : throw Refused($"has the root {root}, which is no version of a MiMei");
    }

    private MimeiInfo ReadInfo(LeitherId mid)
    {
        byte[] start = mid.ToArray(), digest = new byte[Multihash.MaxDigestLength];
        foreach (Cid cid in _draft.Blocks.Cids())
        {
            if (cid.Codec == Multicodec.DagCbor && cid.HashFunction == Multicodec.Sha256
                && digest.AsSpan(0, cid.Multihash.CopyDigest(digest)).StartsWith(start)
                && _draft.Blocks.TryGetLength(cid, out int length) && length <= MimeiInfo.MaxBlockBytes)
            {
                _infoBlock = cid;
                return MimeiInfo.Decode(_draft.Blocks.Get(cid)!, mid);
            }
        }

        throw Refused($"has versions of the MiMei {mid}, and not the block of what that is, without which nobody can check them");
    }

    /// <summary>Takes a block if it is the author's word that somebody else writes. Other MiMei's, or what looks like one, is left out with what else is not needed.</summary>
    private bool IsCertificate(byte[] block)
    {
        try
        {
            _writers.Add(block, out WriterCertificate? other);
            return other is null;
        }
        catch (MalformedBlockException)
        {
            return false;
        }
    }

    private MimeiVersion Decode(byte[] block)
    {
        try
        {
            return MimeiVersion.Decode(block, _writers);
        }
        catch (MimeiException e)
        {
            throw Refused($"is not what it says: {e.Message["ERR ".Length..]}", e);
        }
    }

    // ------------------------------------------------------------------ checking

    private void Check(int databases)
    {
        string? problem = null;
        long problems = 0;
        _work.Begin("checking blocks", _draft.Blocks.Figures.Blocks);
        var checker = new StateChecker(
            _draft.Blocks,
            (block, _, what) =>
            {
                problem ??= $"block {block} {what}";
                problems++;
            },
            _work.Count);
        foreach ((Cid block, MimeiVersion version) in _versions)
        {
            _needed.Add(block);
            checker.Check(version.State);
            if (problem is not null)
            {
                throw Refused($"is not whole, or not sound: of version {version.Number} {problem}{(problems > 1 ? $", and {problems - 1} more problems" : "")}");
            }

            if (StateRoot.Read(new NodeStore(_draft.Blocks), version.State).Databases.Keys.Append(0).Max() is var last && last >= databases)
            {
                throw Refused($"has a version with a database {last}, and here there are {databases} (databases)");
            }
        }

        _needed.UnionWith(checker.Seen);
        foreach (Cid cid in _needed)
        {
            _draft.Blocks.TryGetLength(cid, out int length);
            Bytes += length;
        }

        Blocks = _needed.Count;
        LeftOut = _draft.Blocks.Figures.Blocks - _needed.Where(static c => c.HashFunction != Multicodec.Identity).Select(static c => c.Multihash).Distinct().Count();
        foreach (Cid cid in _certificates.Append(_infoBlock))
        {
            if (!IsNeeded(cid))
            {
                // It is kept beside the blocks.
                LeftOut--;
                _draft.Blocks.Delete(cid);
            }
        }
    }

    private bool IsNeeded(in Cid cid)
    {
        Multihash hash = cid.Multihash;
        return _needed.Any(c => c.Multihash == hash);
    }

    // ------------------------------------------------------------------ keeping

    /// <summary>Who was replaced by another writer can still sign in his term, but made none of the versions that come after one of the other.</summary>
    private void RequireOrder(MimeiVersion before, MimeiVersion after)
    {
        (uint first, uint second) = (WriterCertificate.TermOf(before.Position.Epoch), WriterCertificate.TermOf(after.Position.Epoch));
        if (first > second)
        {
            throw Refused($"does not fit: version {after.Number} is of term {second}, and version {before.Number} before it of term {first}, in which another node wrote already. Nothing was imported");
        }
    }

    /// <summary>Those that are not listed yet.</summary>
    private List<ListedVersion> Missing(Versioner versions)
    {
        VersionList list = versions.List;
        var missing = new List<ListedVersion>();
        foreach ((Cid block, MimeiVersion version) in _versions)
        {
            Cid there = list.Find(version.Number);
            if (there.IsNone)
            {
                RequireOrder(versions, version);
                missing.Add(new ListedVersion(version.Number, block, IsOwn: false));
            }
            else if (there != block)
            {
                throw new MimeiException(
                    $"ERR version {version.Number} of this MiMei is {there} here, and {block} in {_path}: it was written to in two places. Nothing was imported. "
                    + "Import the file on another node to look at it, or MIMEI IMPORT the other versions of it with VERSION");
            }
        }

        return missing;
    }

    /// <summary>Holds a version against those around it that are here.</summary>
    private void RequireOrder(Versioner versions, MimeiVersion version)
    {
        ListedVersion before = versions.List.All.LastOrDefault(v => v.Number < version.Number), after = versions.List.All.FirstOrDefault(v => v.Number > version.Number);
        if (before.Number > 0 && TryRead(versions, before) is { } older)
        {
            RequireOrder(older, version);
        }

        if (after.Number > 0 && TryRead(versions, after) is { } newer)
        {
            RequireOrder(version, newer);
        }
    }

    private static MimeiVersion? TryRead(Versioner versions, in ListedVersion listed)
    {
        try
        {
            return versions.Read(listed.Number);
        }
        catch (Exception e) when (e is IOException or MimeiException)
        {
            // It may be what is to be brought back.
            return null;
        }
    }

    private static bool IsIntact(IBlockstore blocks, in Cid cid)
    {
        try
        {
            return blocks.Get(cid) is not null;
        }
        catch (BlockCorruptedException)
        {
            // It is about to be written anew.
            return false;
        }
    }

    /// <summary>Takes out of the draft what no version needs.</summary>
    private void LeaveOut()
    {
        if (LeftOut == 0)
        {
            return;
        }

        _work.Begin("leaving out blocks", 0);
        using BlockCollection collection = _draft.Blocks.Collect(new CollectionOptions
        {
            Roots = () => _versions.Select(static v => v.Block),
            Links = MimeiVersion.AddLinks,
            Purge = true,
        });
        for (long steps = 0; !collection.Step(TimeSpan.FromMilliseconds(50)); steps++)
        {
            _work.Reached(steps);
        }
    }

    /// <summary>
    /// What the newest version holds, as a checkpoint at its position: the log that begins here goes on from it, in an epoch of its own.
    /// </summary>
    private void WriteCheckpoint(MimeiVersion newest, StateRoot state, KeyspaceOptions options, long nowMs)
    {
        if (newest.TimeMs > nowMs + MaxDriftMs)
        {
            throw Refused($"cannot be gone on from yet: its version {newest.Number} is of {DateTimeOffset.FromUnixTimeMilliseconds(newest.TimeMs):O}, which is ahead of this machine's clock");
        }

        _work.Begin("loading keys", 0);
        using var keyspace = new Keyspace(options, 1) { IsWriter = false, NowMs = nowMs };
        StateLoader.Load(new NodeStore(_draft.Blocks), state, keyspace);
        var writer = new CheckpointWriter(_draft.Files, new CheckpointHeader(newest.Position, newest.Time, nowMs, keyspace.Databases.Length, state.KeyCount));
        Snapshot snapshot = Snapshot.Begin(keyspace, writer);
        while (!snapshot.Step(System.Diagnostics.Stopwatch.GetTimestamp() + (System.Diagnostics.Stopwatch.Frequency / 100)))
        {
            writer.WaitUntilNotBehind();
        }

        writer.Complete(snapshot.CapturedKeys);
        writer.Wait();
        if (writer.Result is null)
        {
            throw new IOException($"the state cannot be written: {writer.Error?.Message}", writer.Error);
        }
    }

    private MimeiException Refused(string why, Exception? inner = null) => new($"ERR {_path} {why}", inner);
}
