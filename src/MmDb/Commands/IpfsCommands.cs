using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.DagJson;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>
/// IPFS and its subcommands: the public content of the node, which is apart from what its MiMei hold. What reads or writes blocks waits for the disk on
/// another thread, while other clients go on.
/// </summary>
public static unsafe class IpfsCommands
{
    /// <summary>The most bytes of a file that one CAT replies; who wants more asks for the next.</summary>
    public const int MaxReadBytes = 64 << 20;

    /// <summary>The most entries that one LS replies.</summary>
    public const int MaxListed = 1_000_000;

    /// <summary>The most blocks that one BLOCK MPUT or MGET is about.</summary>
    public const int MaxBatchBlocks = 1024;

    /// <summary>The most bytes of blocks that one BLOCK MPUT or MGET carries.</summary>
    public const int MaxBatchBytes = 32 << 20;

    private const CommandFlags Usual = CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch;

    /// <summary>IPFS</summary>
    public static readonly CommandSpec Ipfs = new("ipfs", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "Depends on subcommand.",
        Summary = "A container for commands on the node's public content.",
        Flags = CommandFlags.EndsBatch,
        Subcommands =
        [
            new("add", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of bytes. Other clients wait for none of it.",
                Summary = "Adds a file whose content is given, pins it, and returns its CID.",
                Flags = Usual,
                Args = [Arg.String("content"), Profile, Arg.Word("nopin", "NOPIN").Optional(), Arg.Word("onlyhash", "ONLYHASH").Optional()],
                Handler = &RunAdd,
            },
            new("block", -4)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of bytes.",
                Summary = "Reads, puts, measures or removes a block.",
                Flags = Usual,
                Args =
                [
                    Arg.OneOf("action",
                        Arg.String("cid").Token("GET"), Arg.String("bytes").Token("PUT"), Arg.String("cid").Token("STAT"), Arg.String("cid").Token("RM"),
                        Arg.String("cid").Token("MGET").Multiple(), Arg.Block("blocks", Arg.String("cid"), Arg.String("bytes")).Token("MPUT").Multiple()),
                    Arg.String("codec").Token("CODEC").Shown("raw|dag-pb|dag-cbor").Optional(),
                    Arg.String("cid").Token("CID").Optional(),
                ],
                Handler = &RunBlock,
            },
            new("cat", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of bytes returned.",
                Summary = "Returns bytes of a file.",
                Flags = Usual,
                Args = [Arg.String("path"), Arg.Integer("offset").Token("OFFSET").Optional(), Arg.Integer("count").Token("COUNT").Optional()],
                Handler = &RunCat,
            },
            new("dag", -4)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of bytes.",
                Summary = "Returns a block as DAG-JSON, or makes one of DAG-JSON.",
                Flags = Usual,
                Args = [Arg.OneOf("action", Arg.String("path").Token("GET"), Arg.String("json").Token("PUT"))],
                Handler = &RunDag,
            },
            new("files", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of bytes written or returned, and of entries in the folders on the way to them.",
                Summary = "Looks into the node's tree of files, or changes it.",
                Flags = Usual,
                Args = [Arg.String("action").Shown("cp|flush|ls|mkdir|mv|read|rm|stat|write"), Arg.String("argument").Multiple().Optional()],
                Handler = &RunFiles,
            },
            new("help", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("import", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of bytes. Other clients wait for none of it.",
                Summary = "Adds a file or folder of the node's machine, pins it, and returns its CID.",
                Flags = Usual | CommandFlags.Admin,
                Args =
                [
                    Arg.String("path"), Profile, Arg.Word("nopin", "NOPIN").Optional(), Arg.Word("onlyhash", "ONLYHASH").Optional(),
                    Arg.Word("hidden", "HIDDEN").Optional(), Arg.Word("mode", "MODE").Optional(), Arg.Word("mtime", "MTIME").Optional(),
                ],
                Handler = &RunImport,
            },
            new("ls", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of entries.",
                Summary = "Lists a directory: name, CID, type, size and size of all that it leads to, of each entry.",
                Flags = Usual,
                Args = [Arg.String("path")],
                Handler = &RunLs,
            },
            IpfsNameCommands.Name,
            new("pin", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "ADD: O(N) where N is the number of blocks.",
                Summary = "Keeps content, fetched where it is not here, lists what is kept, or keeps it no longer.",
                Flags = Usual,
                Args =
                [
                    Arg.OneOf("action", Arg.String("path").Token("ADD"), Arg.String("path").Token("RM"), Arg.String("path").Token("LS").Optional()),
                    Arg.Word("direct", "DIRECT").Optional(),
                ],
                Handler = &RunPin,
            },
            new("repo", -3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "STAT: O(1). GC: O(N) where N is the number of blocks. Other clients wait for none of it.",
                Summary = "Tells how much content there is, or takes away what nothing keeps.",
                Flags = Usual | CommandFlags.Admin,
                Args = [Arg.OneOf("action", Arg.Word("stat", "STAT"), Arg.Word("gc", "GC")), Arg.Word("purge", "PURGE").Optional()],
                Handler = &RunRepo,
            },
            new("resolve", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of names in the path.",
                Summary = "Returns the CID that a path leads to.",
                Flags = Usual,
                Args = [Arg.String("path")],
                Handler = &RunResolve,
            },
            new("stat", 3)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of names in the path.",
                Summary = "Returns what is known of a file or directory.",
                Flags = Usual,
                Args = [Arg.String("path")],
                Handler = &RunStat,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Ipfs];

    internal static ReadOnlySpan<byte> NoSuchProfile => "ERR no such profile. Those that there are: unixfs-v0-2015, unixfs-v1-2025"u8;

    private static Arg Profile => Arg.String("profile").Token("PROFILE").Shown("unixfs-v0-2015|unixfs-v1-2025").Optional();

    private static void RunHelp(CommandContext c) => c.Help(
        "ADD <content> [PROFILE <profile>] [NOPIN] [ONLYHASH]",
        "    Add a file, pin it, and return its CID. Profiles: unixfs-v0-2015 (the usual), unixfs-v1-2025.",
        "BLOCK GET <cid> | STAT <cid> | RM <cid> | PUT <bytes> [CODEC raw|dag-pb|dag-cbor] [CID <cid>]",
        "    Read, measure, remove or put a block. PUT returns its CID; one that nothing pins is kept for ten minutes.",
        "BLOCK MGET <cid> [<cid> ...] | MPUT <cid> <bytes> [<cid> <bytes> ...]",
        "    Read blocks, with nil for those that nobody has or that come behind the 32 MiB that one reply may have; put blocks, all of them or, when one is not",
        "    what its CID says, none. MPUT returns how many are new.",
        "CAT <path> [OFFSET <offset>] [COUNT <count>]",
        "    Return bytes of a file, 64 MiB at most.",
        "DAG GET <path> | PUT <json>",
        "    Return a block, or a value in it, as DAG-JSON; or make a block of DAG-CBOR and return its CID.",
        "FILES CP <from> <to> | FLUSH | LS [path] | MKDIR <path> [PARENTS] | MV <from> <to> | RM <path> [RECURSIVE]",
        "FILES READ <path> [OFFSET <offset>] [COUNT <count>] | STAT <path>",
        "FILES WRITE <path> <content> [OFFSET <offset>] [CREATE] [TRUNCATE] [PARENTS]",
        "    Look into the node's tree of files, or change it. What begins with /ipfs/ is content that can be copied into it.",
        "IMPORT <path> [PROFILE <profile>] [NOPIN] [ONLYHASH] [HIDDEN] [MODE] [MTIME]",
        "    Add a file or folder of the node's machine. Relative paths begin in the data folder.",
        "LS <path>",
        "    List a directory: name, cid, type, size, total size.",
        "NAME PUBLISH <path> [LIFETIME <seconds>] [TTL <seconds>] | LS | RM [<name>]",
        "    Make the node's name stand for a path, renewed until it is removed; list what is published; end that.",
        "NAME RESOLVE <name> [NORECURSIVE] [NOCACHE]",
        "    Return the path that a name stands for.",
        "PIN ADD <path> [DIRECT] | RM <path> | LS [path]",
        "    Keep content with all that it leads to, or one block; keep it no longer; list what is kept, or say what keeps this.",
        "REPO STAT | GC [PURGE]",
        "    Tell how much content there is; take away what no pin and no file of the tree leads to. A file on disk is written anew when a quarter of it is dead;",
        "    until then, blocks in it that went can still be read by their CIDs. PURGE writes every one anew that holds any.",
        "RESOLVE <path>",
        "    Return the CID that a path leads to.",
        "STAT <path>",
        "    Return what is known of a file or directory.");

    // ------------------------------------------------------------------ adding

    private static void RunAdd(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo) || !TryAddOptions(c, isImport: false, out AddOptions options)) return;
        byte[] content = c[2].Span.ToArray();
        c.Aside(() => Add(repo, options, importer => importer.AddFile(new MemoryStream(content))), static (c, made) => c.Reply.Bulk(Text(made.Cid)), keptWords: 2);
    }

    private static void RunImport(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo) || !TryAddOptions(c, isImport: true, out AddOptions options) || !VersionFileCommands.TryPath(c, 2, out string path)) return;
        c.Aside(() => Add(repo, options, importer => importer.AddPath(path)), static (c, made) =>
        {
            c.Reply.Map(3);
            MimeiCommands.Field(c.Reply, "cid", made.Cid.ToString());
            MimeiCommands.Field(c.Reply, "size", (long)made.FileSize);
            MimeiCommands.Field(c.Reply, "total", (long)made.Tsize);
        });
    }

    private static ImportedNode Add(ContentRepo repo, AddOptions options, Func<UnixFsImporter, ImportedNode> add)
    {
        using IDisposable protection = repo.Protect();
        ImportedNode made = add(new UnixFsImporter(options.OnlyHash ? null : repo.Blocks, options.Profile, new UnixFsImportOptions
        {
            IncludeHidden = options.Hidden,
            PreserveMode = options.Mode,
            PreserveMtime = options.Mtime,
        }));
        if (!options.OnlyHash && !options.NoPin) repo.PinNew(made.Cid);
        return made;
    }

    private static bool TryAddOptions(CommandContext c, bool isImport, out AddOptions options)
    {
        options = new AddOptions();
        for (int i = 3; i < c.Count; i++)
        {
            if (c.Is(i, "nopin"u8)) options.NoPin = true;
            else if (c.Is(i, "onlyhash"u8)) options.OnlyHash = true;
            else if (isImport && c.Is(i, "hidden"u8)) options.Hidden = true;
            else if (isImport && c.Is(i, "mode"u8)) options.Mode = true;
            else if (isImport && c.Is(i, "mtime"u8)) options.Mtime = true;
            else if (c.Is(i, "profile"u8) && i + 1 < c.Count)
            {
                if (UnixFsProfile.Find(c.Text(++i, 64)) is not { } profile)
                {
                    c.Error(NoSuchProfile);
                    return false;
                }

                options.Profile = profile;
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        return true;
    }

    // ------------------------------------------------------------------ reading

    private static void RunCat(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo) || !TryText(c, 2, out string path) || !TryRange(c, 3, out long offset, out int count)) return;
        Reading(
            c,
            repo,
            path,
            (blocks, at) =>
            {
                using var file = new UnixFsStream(blocks, FileAt(blocks, at));
                return Read(file, offset, count);
            },
            static (c, bytes) => c.Reply.Bulk(bytes.AsSpan()));
    }

    internal static byte[] Read(UnixFsStream file, long offset, int count)
    {
        file.Position = offset;
        byte[] bytes = new byte[Math.Clamp(file.Length - offset, 0, count)];
        file.ReadExactly(bytes);
        return bytes;
    }

    private static void RunLs(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo) || !TryText(c, 2, out string path)) return;
        Reading(
            c,
            repo,
            path,
            (blocks, at) => List(blocks, NodeAt(blocks, at), repo.Blocks),
            WriteListed);
    }

    /// <summary>The entries of a directory. What they are is looked up in what is here: a listing fetches the directory, and nothing in it.</summary>
    internal static List<Listed> List(IBlockSource blocks, UnixFsNode directory, IBlockSource here)
    {
        var entries = new List<Listed>();
        foreach (UnixFsLink link in UnixFsDirectory.List(blocks, directory))
        {
            if (entries.Count == MaxListed) throw new IOException($"{directory.Cid} has more than {MaxListed} entries");
            entries.Add(Look(here, link));
        }

        return entries;
    }

    /// <summary>What an entry is, as far as its block is here.</summary>
    private static Listed Look(IBlockSource here, UnixFsLink link)
    {
        if (link.Cid.Codec == Multicodec.Raw) return new Listed(link.Name, link.Cid, "file", (long)(link.Tsize ?? 0), (long)(link.Tsize ?? 0));
        long total = (long)(link.Tsize ?? 0);
        try
        {
            UnixFsNode node = UnixFsNode.Load(here, link.Cid);
            return new Listed(link.Name, link.Cid, TypeOf(node.Type), node.IsDirectory ? 0 : (long)node.FileSize, total);
        }
        catch (Exception e) when (e is BlockMissingException or MalformedBlockException)
        {
            return new Listed(link.Name, link.Cid, "unknown", 0, total);
        }
    }

    internal static void WriteListed(CommandContext c, List<Listed> entries)
    {
        c.Reply.Array(entries.Count);
        foreach (Listed entry in entries)
        {
            c.Reply.Array(5);
            c.Reply.Bulk(Encoding.UTF8.GetBytes(entry.Name));
            c.Reply.Bulk(Text(entry.Cid));
            c.Reply.Bulk(Encoding.ASCII.GetBytes(entry.Type));
            c.Reply.Integer(entry.Size);
            c.Reply.Integer(entry.Total);
        }
    }

    private static void RunResolve(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo) || !TryText(c, 2, out string path)) return;
        Reading(c, repo, path, (blocks, at) => BlockAt(blocks, at), static (c, cid) => c.Reply.Bulk(Text(cid)));
    }

    private static void RunStat(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo) || !TryText(c, 2, out string path)) return;
        Reading(
            c,
            repo,
            path,
            (blocks, at) => Stat(NodeAt(blocks, at)),
            WriteStat);
    }

    internal static FileStat Stat(UnixFsNode node) => new FileStat(node.Cid, node.Type, node.IsDirectory ? 0 : node.FileSize, node.TotalSize, node.Links.Count, node.Data.Mode, node.Data.Mtime);

    internal static void WriteStat(CommandContext c, FileStat stat)
    {
        c.Reply.Map(7);
        MimeiCommands.Field(c.Reply, "cid", stat.Cid.ToString());
        MimeiCommands.Field(c.Reply, "type", TypeOf(stat.Type));
        MimeiCommands.Field(c.Reply, "size", (long)stat.Size);
        MimeiCommands.Field(c.Reply, "total", (long)stat.TotalSize);
        MimeiCommands.Field(c.Reply, "links", stat.Links);
        MimeiCommands.Field(c.Reply, "mode", stat.Mode is { } mode ? Convert.ToString(mode & UnixFsData.ModeMask, 8).PadLeft(4, '0') : "");
        MimeiCommands.Field(c.Reply, "mtime", stat.Mtime?.ToDateTime().ToString("yyyy-MM-ddTHH:mm:ss.fffffffZ", CultureInfo.InvariantCulture) ?? "");
    }

    // ------------------------------------------------------------------ blocks

    private static void RunBlock(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo)) return;
        if (c.Is(2, "put"u8))
        {
            PutBlock(c, repo);
            return;
        }

        if (c.Is(2, "mput"u8))
        {
            if (TryBlocks(c, out BlockWords? words)) c.Aside(() => words.Put(repo.Loose), static (c, added) => c.Reply.Integer(added), keptWords: 3);
            return;
        }

        if (c.Is(2, "mget"u8))
        {
            if (!TryCids(c, out Cid[] cids)) return;
            Reading(
                c,
                repo,
                read =>
                {
                    read.FetchAsync(cids).GetAwaiter().GetResult();
                    return GetBlocks(repo.Blocks, cids);
                },
                WriteBlocks,
                keptWords: 3);
            return;
        }

        bool isGet = c.Is(2, "get"u8), isStat = c.Is(2, "stat"u8);
        if (c.Count != 4 || !(isGet || isStat || c.Is(2, "rm"u8)))
        {
            c.SubcommandSyntax();
            return;
        }

        if (!TryCid(c, 3, out Cid cid)) return;
        if (isGet) Reading(c, repo, blocks => blocks.Get(cid) ?? throw new BlockMissingException(cid), static (c, bytes) => c.Reply.Bulk(bytes.AsSpan()));
        else if (isStat) c.Aside(() => repo.Blocks.TryGetLength(cid, out int length) ? length : throw new BlockMissingException(cid), static (c, length) => c.Reply.Integer(length));
        else
        {
            c.Aside(
                () => repo.FindPin(cid) is { } pin ? throw new IOException($"{cid} is kept by the pin on {pin.By}") : repo.Loose.Remove(cid) ? 1 : 0,
                static (c, count) => c.Reply.Integer(count));
        }
    }

    private static void PutBlock(CommandContext c, ContentRepo repo)
    {
        ulong codec = Multicodec.Raw;
        Cid named = default;
        for (int i = 4; i < c.Count; i += 2)
        {
            if (i + 1 < c.Count && c.Is(i, "cid"u8))
            {
                if (!TryCid(c, i + 1, out named)) return;
            }
            else if (i + 1 < c.Count && c.Is(i, "codec"u8))
            {
                codec = c.Text(i + 1, 20).ToUpperInvariant() switch
                {
                    "RAW" => Multicodec.Raw,
                    "DAG-PB" => Multicodec.DagPb,
                    "DAG-CBOR" => Multicodec.DagCbor,
                    _ => ulong.MaxValue,
                };
                if (codec == ulong.MaxValue)
                {
                    c.Error("ERR no such codec. Those that there are: raw, dag-pb, dag-cbor"u8);
                    return;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        if (c[3].Length > BlockLimits.MaxBlockBytes)
        {
            c.Error($"ERR a block has at most {BlockLimits.MaxBlockBytes} bytes");
            return;
        }

        byte[] block = c[3].Span.ToArray();
        c.Aside(
            () =>
            {
                if (!named.IsNone && !named.Verify(block)) throw new IOException($"{named} is not the name of these bytes");
                Cid cid = named.IsNone ? Cid.Of(codec, block) : named;
                repo.Loose.Put(cid, block);
                return cid;
            },
            static (c, cid) => c.Reply.Bulk(Text(cid)),
            keptWords: 3);
    }

    /// <summary>Blocks to be put, as the command has them: the loop's thread copies the words and does no more. CIDs are read, and blocks hashed, by another.</summary>
    internal sealed class BlockWords(byte[] words, int[] ends)
    {
        /// <summary>Puts all of them or, when one is not what its CID says, none; gives how many are new. (Once.)</summary>
        public int Put(LooseBlocks loose)
        {
            try
            {
                var cids = new Cid[ends.Length / 2];
                for (int i = 0; i < cids.Length; i++)
                {
                    int start = i == 0 ? 0 : ends[2 * i - 1];
                    string name = Encoding.ASCII.GetString(words, start, ends[2 * i] - start);
                    if (!Cid.TryParse(name, out cids[i])) throw new IOException("not a CID");
                    if (!cids[i].Verify(Block(i))) throw new IOException($"{cids[i]} is not the name of these bytes");
                }

                int added = 0;
                for (int i = 0; i < cids.Length; i++) added += loose.Put(cids[i], Block(i)) ? 1 : 0;
                return added;
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(words);
            }

            ReadOnlySpan<byte> Block(int i) => words.AsSpan(ends[2 * i], ends[2 * i + 1] - ends[2 * i]);
        }
    }

    /// <summary>Takes the blocks of BLOCK MPUT out of its words; or replies what is wrong with them.</summary>
    internal static bool TryBlocks(CommandContext c, [NotNullWhen(true)] out BlockWords? blocks)
    {
        blocks = null;
        int count = (c.Count - 3) / 2;
        if (count == 0 || c.Count % 2 == 0)
        {
            c.SubcommandSyntax();
            return false;
        }

        long bytes = 0;
        for (int i = 3; i < c.Count; i++)
        {
            bytes += c[i].Length;
            if (c[i].Length > (i % 2 == 0 ? BlockLimits.MaxBlockBytes : Cid.MaxTextLength))
            {
                c.Error(i % 2 == 0 ? $"ERR a block has at most {BlockLimits.MaxBlockBytes} bytes" : "ERR not a CID");
                return false;
            }
        }

        if (IsTooMuch(c, count, bytes)) return false;
        int[] ends = new int[2 * count];
        byte[] words = ArrayPool<byte>.Shared.Rent((int)bytes);
        for (int i = 0, end = 0; i < ends.Length; i++)
        {
            c[3 + i].Span.CopyTo(words.AsSpan(end));
            ends[i] = end += c[3 + i].Length;
        }

        blocks = new BlockWords(words, ends);
        return true;
    }

    /// <summary>Takes the CIDs of BLOCK MGET out of its words; or replies what is wrong with them.</summary>
    internal static bool TryCids(CommandContext c, out Cid[] cids)
    {
        cids = [];
        if (c.Count < 4 || IsTooMuch(c, c.Count - 3, 0))
        {
            if (c.Count < 4) c.SubcommandSyntax();
            return false;
        }

        cids = new Cid[c.Count - 3];
        for (int i = 0; i < cids.Length; i++)
        {
            if (!TryCid(c, 3 + i, out cids[i])) return false;
        }

        return true;
    }

    /// <summary>Reads blocks, as many as one reply may have.</summary>
    internal static PooledBlock?[] GetBlocks(IBlockSource source, Cid[] cids)
    {
        var blocks = new PooledBlock?[cids.Length];
        long bytes = 0;
        for (int i = 0; i < cids.Length; i++)
        {
            if (!source.TryGetLength(cids[i], out int length) || bytes + length > MaxBatchBytes) continue;
            var block = new PooledBlock();
            blocks[i] = source.TryGet(cids[i], block) ? block : null;
            bytes += block.Length;
        }

        return blocks;
    }

    internal static void WriteBlocks(CommandContext c, PooledBlock?[] blocks)
    {
        c.Reply.Array(blocks.Length);
        foreach (PooledBlock? block in blocks)
        {
            if (block is null) c.Reply.Null();
            else c.Reply.Bulk(block.Span);
            block?.Dispose();
        }
    }

    private static bool IsTooMuch(CommandContext c, int blocks, long bytes)
    {
        if (blocks <= MaxBatchBlocks && bytes <= MaxBatchBytes) return false;
        c.Error($"ERR one command is about {MaxBatchBlocks} blocks at most, of {MaxBatchBytes} bytes together");
        return true;
    }

    private static void RunDag(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo)) return;
        if (c.Count == 4 && c.Is(2, "put"u8))
        {
            byte[] json = c[3].Span.ToArray();
            c.Aside(
                () =>
                {
                    byte[] block = DagJson.ToCbor(json);
                    var cid = Cid.Of(Multicodec.DagCbor, block);
                    repo.Loose.Put(cid, block);
                    return cid;
                },
                static (c, cid) => c.Reply.Bulk(Text(cid)));
        }
        else if (c.Count == 4 && c.Is(2, "get"u8))
        {
            if (!TryText(c, 3, out string path)) return;
            Reading(
                c,
                repo,
                path,
                (blocks, at) =>
                {
                    ResolvedPath place = UnixFsPath.Resolve(blocks, at);
                    byte[] block = blocks.Get(place.Cid) ?? throw new BlockMissingException(place.Cid);
                    return place.Rest.Count > 0 ? DagJson.FromCbor(block, place.Rest)
                        : DagJson.CanShow(place.Cid.Codec) ? DagJson.FromBlock(place.Cid.Codec, block)
                        : throw new IOException($"{place.Cid} is of codec 0x{place.Cid.Codec:x}, which cannot be shown as JSON");
                },
                static (c, json) => c.Reply.Bulk(json.AsSpan()));
        }
        else
        {
            c.SubcommandSyntax();
        }
    }

    // ------------------------------------------------------------------ what is kept

    private static void RunPin(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo)) return;
        string path = "";
        if (c.Count > 3 && !TryText(c, 3, out path)) return;
        if (c.Is(2, "ls"u8) && c.Count <= 4)
        {
            c.Aside(
                () =>
                {
                    if (path.Length == 0) return [.. repo.Pins.Select(static p => (p.Key, Word(p.Value), p.Key))];
                    Cid cid = BlockAt(repo.Blocks, path);
                    return repo.FindPin(cid) is { } pin ? [(cid, pin.By == cid ? Word(pin.Kind) : "indirect", pin.By)] : ((Cid, string, Cid)[])[];
                },
                static (c, pins) =>
                {
                    c.Reply.Array(pins.Length);
                    foreach ((Cid cid, string kind, Cid by) in pins)
                    {
                        c.Reply.Array(3);
                        c.Reply.Bulk(Text(cid));
                        c.Reply.Bulk(Encoding.ASCII.GetBytes(kind));
                        c.Reply.Bulk(Text(by));
                    }
                });
        }
        else if (c.Is(2, "add"u8) && (c.Count == 4 || (c.Count == 5 && c.Is(4, "direct"u8))))
        {
            PinKind kind = c.Count == 5 ? PinKind.Direct : PinKind.Recursive;
            Reading(
                c,
                repo,
                path,
                (blocks, at) =>
                {
                    using IDisposable protection = repo.Protect();
                    Cid cid = BlockAt(blocks, at);
                    blocks.FetchAllAsync(cid, kind).GetAwaiter().GetResult();
                    repo.Pin(cid, kind);
                    return cid;
                },
                static (c, cid) => c.Reply.Bulk(Text(cid)));
        }
        else if (c.Is(2, "rm"u8) && c.Count == 4)
        {
            c.Aside(
                () =>
                {
                    Cid cid = BlockAt(repo.Blocks, path);
                    return repo.Unpin(cid) ? cid : throw new IOException($"{cid} is not pinned");
                },
                static (c, cid) => c.Reply.Bulk(Text(cid)));
        }
        else
        {
            c.SubcommandSyntax();
        }
    }

    private static void RunRepo(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo)) return;
        if (c.Is(2, "stat"u8) && c.Count == 3)
        {
            c.Aside(() => (repo.Blocks.Figures, repo.Pins.Length), static (c, found) =>
            {
                (BlockstoreFigures figures, int pins) = found;
                c.Reply.Map(6);
                MimeiCommands.Field(c.Reply, "blocks", figures.Blocks);
                MimeiCommands.Field(c.Reply, "bytes", figures.TotalBytes);
                MimeiCommands.Field(c.Reply, "dead", figures.DeadBytes);
                MimeiCommands.Field(c.Reply, "packs", figures.Packs);
                MimeiCommands.Field(c.Reply, "memory", figures.MemoryBytes);
                MimeiCommands.Field(c.Reply, "pins", pins);
            });
        }
        else if (c.Is(2, "gc"u8) && (c.Count == 3 || (c.Count == 4 && c.Is(3, "purge"u8))))
        {
            bool purge = c.Count == 4;
            c.Aside(() => (repo.Collect(purge), repo.Blocks.Figures), static (c, done) =>
            {
                (CollectionReport report, BlockstoreFigures figures) = done;
                c.Reply.Map(6);
                MimeiCommands.Field(c.Reply, "live", report.LiveBlocks);
                MimeiCommands.Field(c.Reply, "dead", report.DeadBytes);
                MimeiCommands.Field(c.Reply, "freed", Math.Max(0, report.FreedBytes - report.CopiedBytes));
                MimeiCommands.Field(c.Reply, "left", figures.DeadBytes);
                MimeiCommands.Field(c.Reply, "missing", report.MissingBlocks);
                MimeiCommands.Field(c.Reply, "damaged", report.Damage.Count);
            });
        }
        else
        {
            c.SubcommandSyntax();
        }
    }

    // ------------------------------------------------------------------ the tree of files

    private static void RunFiles(CommandContext c)
    {
        if (!TryRepo(c, out ContentRepo? repo)) return;
        FileTree files = repo.Files;
        string path = "", to = "";
        if (c.Count > 3 && !TryText(c, 3, out path)) return;
        if (c.Is(2, "ls"u8) && c.Count <= 4)
        {
            c.Aside(() => files.List(path.Length == 0 ? "/" : path).Select(l => Look(repo.Blocks, l)).ToList(), WriteListed);
        }
        else if (c.Is(2, "flush"u8) && c.Count == 3)
        {
            c.Aside(repo.FlushFiles, static (c, cid) => c.Reply.Bulk(Text(cid)));
        }
        else if (c.Is(2, "stat"u8) && c.Count == 4)
        {
            c.Aside(() => files.Stat(path), WriteStat);
        }
        else if (c.Is(2, "mkdir"u8) && (c.Count == 4 || (c.Count == 5 && c.Is(4, "parents"u8))))
        {
            bool parents = c.Count == 5;
            Change(c, repo, () => files.MakeDirectory(path, parents));
        }
        else if (c.Is(2, "rm"u8) && (c.Count == 4 || (c.Count == 5 && c.Is(4, "recursive"u8))))
        {
            bool recursive = c.Count == 5;
            Change(c, repo, () => files.Remove(path, recursive));
        }
        else if (c.Is(2, "mv"u8) && c.Count == 5)
        {
            if (TryText(c, 4, out to)) Change(c, repo, () => files.Move(path, to));
        }
        else if (c.Is(2, "cp"u8) && c.Count == 5)
        {
            if (!TryText(c, 4, out to)) return;
            Change(c, repo, () =>
            {
                if (path.StartsWith("/ipfs/", StringComparison.Ordinal)) files.Link(BlockAt(repo.Blocks, path), to);
                else files.Copy(path, to);
            });
        }
        else if (c.Is(2, "read"u8) && c.Count >= 4)
        {
            if (!TryRange(c, 4, out long offset, out int count)) return;
            c.Aside(
                () =>
                {
                    using UnixFsStream file = files.Read(path);
                    return Read(file, offset, count);
                },
                static (c, bytes) => c.Reply.Bulk(bytes.AsSpan()));
        }
        else if (c.Is(2, "write"u8) && c.Count >= 5)
        {
            WriteFile(c, repo, path);
        }
        else
        {
            c.SubcommandSyntax();
        }
    }

    private static void WriteFile(CommandContext c, ContentRepo repo, string path)
    {
        long offset = 0;
        bool create = false, truncate = false, parents = false;
        for (int i = 5; i < c.Count; i++)
        {
            if (c.Is(i, "create"u8)) create = true;
            else if (c.Is(i, "truncate"u8)) truncate = true;
            else if (c.Is(i, "parents"u8)) parents = true;
            else if (c.Is(i, "offset"u8) && i + 1 < c.Count)
            {
                if (!c.TryLong(++i, 0, FileTree.MaxFileBytes, out offset)) return;
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        byte[] content = c[4].Span.ToArray();
        var options = new FileWriteOptions { Offset = offset, Create = create, Truncate = truncate, Parents = parents };
        Change(c, repo, () => repo.Files.Write(path, new MemoryStream(content), options));
    }

    /// <summary>A change of the tree: it lasts before it is replied.</summary>
    private static void Change(CommandContext c, ContentRepo repo, Action change) => c.Aside(
        () =>
        {
            using IDisposable protection = repo.Protect();
            change();
            return repo.FlushFiles();
        },
        static (c, cid) => c.Reply.Bulk(Text(cid)));

    // ------------------------------------------------------------------ what they share

    private static bool TryRepo(CommandContext c, [NotNullWhen(true)] out ContentRepo? repo)
    {
        repo = c.Server.Content;
        if (repo is null) c.Error("ERR this server keeps no content"u8);
        return repo is not null;
    }

    /// <summary>Reads content on another thread: what is not here comes from the network, where the node is part of one.</summary>
    private static void Reading<T>(CommandContext c, ContentRepo repo, Func<IContentRead, T> read, Action<CommandContext, T> answer, int keptWords = int.MaxValue)
    {
        INodeNetwork? network = c.Server.Network;
        c.AsideAsync(
            cancellation =>
            {
                using IContentRead blocks = network?.OpenRead(null, cancellation) ?? new LocalRead(repo.Blocks);
                return Task.FromResult(read(blocks));
            },
            answer,
            keptWords: keptWords);
    }

    /// <summary>As above, at a path; one that begins with a name is resolved first.</summary>
    private static void Reading<T>(CommandContext c, ContentRepo repo, string path, Func<IContentRead, string, T> read, Action<CommandContext, T> answer)
    {
        if (!path.StartsWith("/ipns/", StringComparison.Ordinal))
        {
            Reading(c, repo, blocks => read(blocks, path), answer);
            return;
        }

        if (!DhtCommands.TryRouting(c, out INodeRouting? routing)) return;
        INodeNetwork network = c.Server.Network!;
        c.AsideAsync(
            cancellation =>
            {
                // The thread waits for blocks in the same way.
                string found = routing.ResolveNameAsync(path, recursive: true, useCache: true, cancellation).GetAwaiter().GetResult();
                using IContentRead blocks = network.OpenRead(null, cancellation);
                return Task.FromResult(read(blocks, found));
            },
            answer);
    }

    internal static bool TryText(CommandContext c, int index, out string text)
    {
        ReadOnlySpan<byte> word = c[index].Span;
        text = "";
        if (word.Length > 64 << 10 || word.Contains((byte)0) || !System.Text.Unicode.Utf8.IsValid(word))
        {
            c.Error("ERR a path is a text in UTF-8, of 64 KiB at most"u8);
            return false;
        }

        text = Encoding.UTF8.GetString(word);
        return true;
    }

    internal static bool TryCid(CommandContext c, int index, out Cid cid)
    {
        string text = c.Text(index, Cid.MaxTextLength + 10);
        if (!Cid.TryParse(text.StartsWith("/ipfs/", StringComparison.Ordinal) ? text["/ipfs/".Length..] : text, out cid))
        {
            c.Error("ERR not a CID"u8);
            return false;
        }

        if (!Multihash.CanVerify(cid.HashFunction))
        {
            c.Error("ERR the CID's hash function is none that can be checked here"u8);
            return false;
        }

        return true;
    }

    internal static bool TryRange(CommandContext c, int from, out long offset, out int count)
    {
        offset = 0;
        long asked = MaxReadBytes;
        count = 0;
        for (int i = from; i < c.Count; i += 2)
        {
            if (i + 1 < c.Count && c.Is(i, "offset"u8))
            {
                if (!c.TryLong(i + 1, 0, long.MaxValue, out offset)) return false;
            }
            else if (i + 1 < c.Count && c.Is(i, "count"u8))
            {
                if (!c.TryLong(i + 1, 0, long.MaxValue, out asked)) return false;
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        count = (int)Math.Min(asked, MaxReadBytes);
        return true;
    }

    internal static Cid BlockAt(IBlockSource blocks, string path)
    {
        ResolvedPath place = UnixFsPath.Resolve(blocks, path);
        return place.Rest.Count == 0 ? place.Cid : throw new UnixFsPathException($"'{path}' leads to a value in {place.Cid}, not to a block", isMissing: false);
    }

    private static UnixFsNode NodeAt(IBlockSource blocks, string path) => UnixFsNode.Load(blocks, BlockAt(blocks, path));

    private static UnixFsNode FileAt(IBlockSource blocks, string path)
    {
        UnixFsNode node = NodeAt(blocks, path);
        return node.IsFile ? node : throw new UnixFsPathException($"'{path}' is a {TypeOf(node.Type)}, not a file", isMissing: false);
    }

    internal static string TypeOf(UnixFsType type) => type switch
    {
        UnixFsType.File or UnixFsType.Raw => "file",
        UnixFsType.Directory or UnixFsType.HamtShard => "directory",
        UnixFsType.Symlink => "symlink",
        _ => "metadata",
    };

    private static string Word(PinKind kind) => kind == PinKind.Recursive ? "recursive" : "direct";

    internal static byte[] Text(Cid cid) => Encoding.ASCII.GetBytes(cid.ToString());

    private struct AddOptions
    {
        public UnixFsProfile Profile = UnixFsProfile.V0;
        public bool NoPin, OnlyHash, Hidden, Mode, Mtime;

        public AddOptions()
        {
        }
    }

    internal sealed record Listed(string Name, Cid Cid, string Type, long Size, long Total);
}
