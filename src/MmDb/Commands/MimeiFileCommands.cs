using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Content;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Leither.MmDb.Rights;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Commands;

/// <summary>
/// The subcommands of MIMEI for MiMei of files. Such a one holds a file or a folder of UnixFS: its log names the root, and the blocks lie among those of its versions,
/// which are nobody's but those who may read it. What it holds becomes a version by BACKUP, as that of a database does.
/// </summary>
public static unsafe class MimeiFileCommands
{
    private const CommandFlags Usual = CommandFlags.NoScript | CommandFlags.NoMulti;

    private static readonly CommandSpec Add = new("add", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of bytes. Other clients wait for none of it.",
        Summary = "Makes a file of the given content what the MiMei holds, and returns its CID.",
        Flags = Usual | CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Admin,
        Need = new MimeiNeed(MimeiRight.Write),
        Args = [Arg.String("content"), Arg.String("profile").Token("PROFILE").Shown("unixfs-v0-2015|unixfs-v1-2025").Optional()],
        Handler = &RunAdd,
    };

    private static readonly CommandSpec Block = new("block", -4)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of bytes.",
        Summary = "Reads blocks of the MiMei, or puts some of files that it is to hold.",
        Flags = Usual | CommandFlags.Admin,
        Need = new MimeiNeed(MimeiRight.Write) { Readers = ["get", "mget"], ReadersNeed = MimeiRight.Read },
        Args =
        [
            Arg.OneOf("action",
                Arg.String("cid").Token("GET"), Arg.String("cid").Token("MGET").Multiple(),
                Arg.Block("blocks", Arg.String("cid"), Arg.String("bytes")).Token("MPUT").Multiple()),
        ],
        Handler = &RunBlock,
    };

    private static readonly CommandSpec Get = new("get", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of bytes returned.",
        Summary = "Returns bytes of a file that the MiMei holds.",
        Flags = Usual,
        Need = new MimeiNeed(MimeiRight.Read),
        Args = [Arg.Block("at", Arg.String("path"), Arg.Integer("offset").Token("OFFSET").Optional(), Arg.Integer("count").Token("COUNT").Optional()).Optional()],
        Handler = &RunGet,
    };

    private static readonly CommandSpec Ls = new("ls", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of entries.",
        Summary = "Lists a folder that the MiMei holds: name, CID, type, size and size of all that it leads to, of each entry.",
        Flags = Usual,
        Need = new MimeiNeed(MimeiRight.Read),
        Args = [Arg.String("path").Optional()],
        Handler = &RunLs,
    };

    private static readonly CommandSpec SetCid = new("setcid", 3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of blocks. Other clients wait for none of it.",
        Summary = "Makes content what the MiMei holds, fetched where it is not here, and returns its CID.",
        Flags = Usual | CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Admin,
        Need = new MimeiNeed(MimeiRight.Write),
        Args = [Arg.String("path").Shown("cid|path")],
        Handler = &RunSetCid,
    };

    private static readonly CommandSpec Stat = new("stat", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of names in the path.",
        Summary = "Returns what is known of a file or folder that the MiMei holds.",
        Flags = Usual,
        Need = new MimeiNeed(MimeiRight.Read),
        Args = [Arg.String("path").Optional()],
        Handler = &RunStat,
    };

    internal static ReadOnlySpan<byte> HoldsNoFiles => "WRONGTYPE this MiMei holds a database, and no files; MIMEI CREATE FILE makes one for files"u8;

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Add, Block, Get, Ls, SetCid, Stat];

    // ------------------------------------------------------------------ changing

    private static void RunAdd(CommandContext c)
    {
        UnixFsProfile profile = UnixFsProfile.V0;
        if (c.Count != 3 && !(c.Count == 5 && c.Is(3, "profile"u8)))
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (c.Count == 5)
        {
            if (UnixFsProfile.Find(c.Text(4, 64)) is not { } named)
            {
                c.Error(IpfsCommands.NoSuchProfile);
                return;
            }

            profile = named;
        }

        if (!TryWritable(c, out Versioner versions))
        {
            return;
        }

        byte[] content = c[2].Span.ToArray();
        Change(c, versions, "add", (_, _) => new UnixFsImporter(versions.Loose, profile).AddFile(new MemoryStream(content)).Cid, keptWords: 2);
    }

    private static void RunSetCid(CommandContext c)
    {
        if (!TryWritable(c, out Versioner versions) || !IpfsCommands.TryText(c, 2, out string path))
        {
            return;
        }

        // What is here already needs nobody, and nobody is told of it.
        ContentRepo? content = c.Server.Content;
        INodeNetwork? network = c.Server.Network;
        Change(c, versions, "setcid", (work, cancellation) =>
        {
            void Step()
            {
                versions.ThrowIfClosing();
                cancellation.ThrowIfCancellationRequested();
                work.Count();
            }

            IBlockSource here = content is null ? versions.Blocks : new EitherSource(versions.Blocks, content.Blocks);
            try
            {
                Cid root = IpfsCommands.BlockAt(here, path);
                FileBlocks.Bring(root, versions.Blocks, versions.Loose, here, Step);
                return root;
            }
            catch (Exception e) when (e is MissingBlockException or BlockMissingException && network is not null)
            {
                using IContentRead read = network.OpenRead(null, cancellation);
                Cid root = IpfsCommands.BlockAt(read, path);
                if (!here.Has(root))
                {
                    read.FetchAllAsync(root, PinKind.Recursive, cancellation).GetAwaiter().GetResult();
                }

                FileBlocks.Bring(root, versions.Blocks, versions.Loose, new EitherSource(here, read), Step);
                return root;
            }
        });
    }

    /// <summary>Brings blocks here on another thread, and then makes them what the MiMei holds.</summary>
    /// <param name="c">The command.</param>
    /// <param name="versions">Where the blocks go.</param>
    /// <param name="what">What is done, for those who ask.</param>
    /// <param name="bring">Brings all blocks, and gives their root.</param>
    /// <param name="keptWords">So many words of the command are kept.</param>
    private static void Change(CommandContext c, Versioner versions, string what, Func<LongWork, CancellationToken, Cid> bring, int keptWords = int.MaxValue)
    {
        LongWork work = VersionCommands.Begin(c, what);
        c.AsideAsync(
            cancellation =>
            {
                using IDisposable job = versions.BeginJob();
                Cid root = bring(work, cancellation);
                versions.Blocks.Flush(); // the log names what is durable
                versions.FilesAreWhole(root);
                return Task.FromResult(root);
            },
            static (c, root) =>
            {
                // Another may write by now, or nobody can.
                if (!c.Server.LogAccepts(c.Session, c.Spec, c.Args, c.Count, out string? refusal))
                {
                    c.Error(refusal);
                    return;
                }

                if (c.Keyspace.Files != root)
                {
                    c.Effects.SetFiles(root);
                    c.Effects.EndEntry();
                }

                c.Reply.Bulk(IpfsCommands.Text(root));
            },
            keptWords: keptWords);
    }

    private static bool TryWritable(CommandContext c, out Versioner versions) => VersionCommands.TryVersions(c, c.Mimei, out versions) && RequireFiles(c, c.Mimei);

    private static bool RequireFiles(CommandContext c, Mimei mimei)
    {
        if (mimei.HoldsFiles)
        {
            return true;
        }

        c.Error(HoldsNoFiles);
        return false;
    }

    // ------------------------------------------------------------------ reading

    private static void RunGet(CommandContext c)
    {
        string path = "";
        if ((c.Count > 2 && !IpfsCommands.TryText(c, 2, out path)) || !IpfsCommands.TryRange(c, 3, out long offset, out int count))
        {
            return;
        }

        Reading(
            c,
            (blocks, root) =>
            {
                UnixFsNode node = At(blocks, root, path);
                if (!node.IsFile)
                {
                    throw new MimeiException($"ERR '{path}' is a {IpfsCommands.TypeOf(node.Type)}, not a file; MIMEI LS lists what is in it");
                }

                using var file = new UnixFsStream(blocks, node);
                return IpfsCommands.Read(file, offset, count);
            },
            static (c, bytes) => c.Reply.Bulk(bytes.AsSpan()));
    }

    private static void RunLs(CommandContext c)
    {
        if (TryPath(c, out string path))
        {
            Reading(
                c,
                (blocks, root) =>
                {
                    UnixFsNode node = At(blocks, root, path);
                    return node.IsDirectory ? IpfsCommands.List(blocks, node, blocks)
                        : throw new MimeiException($"ERR '{path}' is a {IpfsCommands.TypeOf(node.Type)}, not a directory; MIMEI GET returns its bytes");
                },
                IpfsCommands.WriteListed);
        }
    }

    private static void RunStat(CommandContext c)
    {
        if (TryPath(c, out string path))
        {
            Reading(c, (blocks, root) => IpfsCommands.Stat(At(blocks, root, path)), IpfsCommands.WriteStat);
        }
    }

    private static void RunBlock(CommandContext c)
    {
        if (c.Is(2, "mput"u8))
        {
            if (TryWritable(c, out Versioner versions) && IpfsCommands.TryBlocks(c, out IpfsCommands.BlockWords? words))
            {
                c.Aside(
                    () =>
                    {
                        using IDisposable job = versions.BeginJob();
                        return words.Put(versions.Loose);
                    },
                    static (c, added) => c.Reply.Integer(added),
                    keptWords: 3);
            }

            return;
        }

        bool isMany = c.Is(2, "mget"u8);
        if (!isMany && !(c.Count == 4 && c.Is(2, "get"u8)))
        {
            c.SubcommandSyntax();
            return;
        }

        if (!IpfsCommands.TryCids(c, out Cid[] cids))
        {
            return;
        }

        if (isMany)
        {
            ReadingBlocks(c, blocks => IpfsCommands.GetBlocks(blocks, cids), IpfsCommands.WriteBlocks);
        }
        else
        {
            ReadingBlocks(c, blocks => blocks.Get(cids[0]) ?? throw new MissingBlockException(cids[0]), static (c, bytes) => c.Reply.Bulk(bytes.AsSpan()));
        }
    }

    private static bool TryPath(CommandContext c, out string path)
    {
        path = "";
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
            return false;
        }

        return c.Count == 2 || IpfsCommands.TryText(c, 2, out path);
    }

    private static UnixFsNode At(IBlockSource blocks, in Cid root, string path)
    {
        ResolvedPath place = UnixFsPath.Resolve(blocks, root, path.Split('/', StringSplitOptions.RemoveEmptyEntries));
        return UnixFsNode.Load(blocks, place.Cid);
    }

    /// <summary>Reads what the MiMei holds at the connection's place, on another thread. Of one that follows a writer that is its newest version: of what came after it the blocks are on their way.</summary>
    private static void Reading<T>(CommandContext c, Func<IBlockSource, Cid, T> read, Action<CommandContext, T> answer)
    {
        Cid root = c.Keyspace.Files;
        Versioner? followed = c.Mimei.Copy is null ? null : c.Mimei.Versions;
        ReadingBlocks(
            c,
            blocks =>
            {
                Cid files = root;
                if (followed is not null)
                {
                    ulong newest = followed.List.Last.Number;
                    files = newest == 0 ? default : StateRoot.Read(new NodeStore(followed.Blocks), followed.Read(newest).State).Files;
                }

                return files.IsNone ? throw new MimeiException("ERR the MiMei holds no files yet; MIMEI ADD and MIMEI SETCID bring some") : read(blocks, files);
            },
            answer);
    }

    private static void ReadingBlocks<T>(CommandContext c, Func<IBlockSource, T> read, Action<CommandContext, T> answer)
    {
        if (!RequireFiles(c, c.Mimei.Current ?? c.Mimei))
        {
            return;
        }

        if (c.Mimei is { Fetch: { } fetch, Fetched: { } fetched })
        {
            c.AsideAsync(cancellation => Task.FromResult(read(new FetchingSource(fetched, fetch, cancellation))), answer);
            return;
        }

        Mimei mimei = c.Mimei.Current ?? c.Mimei;
        Versioner versions = mimei.Versions!;
        VersionCommands.Aside(
            c,
            mimei,
            () =>
            {
                using IDisposable job = versions.BeginJob();
                return read(versions.Blocks);
            },
            answer);
    }

    /// <summary>Blocks of a MiMei that is not here: each is fetched when it is asked for, and its thread waits.</summary>
    private sealed class FetchingSource(IBlockstore here, RemoteMimei.Fetch fetch, CancellationToken cancellation) : IBlockSource
    {
        public bool Has(in Cid cid) => TryGetLength(cid, out _);

        public bool TryGetLength(in Cid cid, out int length)
        {
            if (!here.TryGetLength(cid, out length))
            {
                fetch(cid, cancellation).GetAwaiter().GetResult();
            }

            return here.TryGetLength(cid, out length);
        }

        public bool TryGet(in Cid cid, System.Buffers.IBufferWriter<byte> destination) => TryGetLength(cid, out _) && here.TryGet(cid, destination);

        public IEnumerable<Cid> Cids() => here.Cids();
    }
}
