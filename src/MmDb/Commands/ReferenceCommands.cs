using System.Globalization;
using Leither.Ipfs;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>MIMEI REF: what a MiMei refers to is kept.</summary>
public static unsafe class ReferenceCommands
{
    private static readonly CommandSpec Ref = new("ref", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of references of all MiMei; with a CID, of the blocks that it leads to.",
        Summary = "Makes a MiMei refer to others, their versions, or blocks of its own, so that they are kept.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Args =
        [
            Arg.OneOf(
                "action",
                Arg.Block("add", Arg.Word("add", "ADD"), Arg.String("reference").Shown("mid|name|mid/version|cid").Multiple()),
                Arg.Block("del", Arg.Word("del", "DEL"), Arg.String("reference").Shown("mid|name|mid/version|cid").Multiple()),
                Arg.Block("list", Arg.Word("list", "LIST"), Arg.String("mid").Shown("mid|name").Optional())),
        ],
        Handler = &Run,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Ref];

    private static void Run(CommandContext c)
    {
        if (c.Is(2, "list"u8) && c.Count <= 4)
        {
            List(c);
        }
        else if (c.Is(2, "add"u8) && c.Count > 3)
        {
            Change(c, isAdded: true);
        }
        else if (c.Is(2, "del"u8) && c.Count > 3)
        {
            Change(c, isAdded: false);
        }
        else
        {
            c.Error(Errors.Syntax);
        }
    }

    private static void List(CommandContext c)
    {
        MimeiEntry entry = c.Mimei.Entry!;
        if (c.Count == 4 && !MimeiCommands.TryFind(c, 3, out entry))
        {
            return;
        }

        c.Reply.Array(entry.Record.References.Count);
        foreach (MimeiReference reference in entry.Record.References)
        {
            c.Reply.Map(5);
            MimeiCommands.Field(c.Reply, "reference", reference.ToString());
            MimeiCommands.Field(c.Reply, "mid", reference.IsBlock ? "" : reference.Mid.ToString());
            MimeiCommands.Field(c.Reply, "version", (long)reference.Version);
            MimeiCommands.Field(c.Reply, "cid", reference.IsBlock ? reference.Block.ToString() : "");
            MimeiCommands.Field(c.Reply, "name", !reference.IsBlock && c.Server.Mimeis.TryFind(reference.Mid, out MimeiEntry? target) ? target.Record.Name : "");
        }
    }

    private static void Change(CommandContext c, bool isAdded)
    {
        MimeiRegistry mimeis = c.Server.Mimeis;
        if (mimeis.Store is not { } store)
        {
            c.Error(MimeiCommands.NoStore);
            return;
        }

        if (c.Mimei.IsReadOnly)
        {
            c.Error(VersionHistory.WriteRefusal(c.Mimei));
            return;
        }

        var named = new List<MimeiReference>();
        for (int i = 3; i < c.Count; i++)
        {
            if (!TryParse(c, i, mustBeHere: isAdded, out MimeiReference reference))
            {
                return;
            }

            named.Add(reference);
        }

        MimeiEntry entry = c.Mimei.Entry!;
        IReadOnlyList<MimeiReference> before = entry.Record.References;
        MimeiReference[] changed = [.. isAdded ? named.Distinct().Except(before) : before.Intersect(named)];
        if (isAdded && before.Count + changed.Length > MimeiReference.MaxCount)
        {
            c.Error($"ERR a MiMei refers to at most {MimeiReference.MaxCount} others");
            return;
        }

        // What is referred to is kept from now on, so that nothing of it goes while it is looked for.
        mimeis.Refer(entry, isAdded ? [.. before, .. changed] : [.. before.Except(changed)]);
        Server server = c.Server;
        Mimei mimei = c.Mimei;
        IDisposable? pin = mimei.Versions?.Pin();
        mimei.Hold();
        c.Await<int>(
            done =>
            {
                void End(int count, Exception? problem)
                {
                    done(count, problem);
                    pin?.Dispose();
                    mimei.Release();
                }

                Verify(server, mimei, isAdded ? changed : [], 0, problem =>
                {
                    if (problem is not null)
                    {
                        End(0, problem);
                        return;
                    }

                    server.RunAside(
                        () =>
                        {
                            lock (entry)
                            {
                                store.KeepReferences(entry.Id, entry.Record.References);
                            }

                            return changed.Length;
                        },
                        End);
                });
            },
            static (c, count) => c.Reply.Integer(count),
            () => mimeis.Refer(entry, isAdded ? [.. entry.Record.References.Except(changed)] : [.. entry.Record.References, .. changed]));
    }

    private static bool TryParse(CommandContext c, int index, bool mustBeHere, out MimeiReference reference)
    {
        string word = c.Text(index), name = word;
        ulong version = 0;
        reference = default;
        if (word.IndexOf('/', StringComparison.Ordinal) is var slash and >= 0)
        {
            name = word[..slash];
            if (!ulong.TryParse(word.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out version) || version == 0)
            {
                c.Error("ERR a reference to a version ends in its number: mid/3"u8);
                return false;
            }
        }

        if (c.Server.Mimeis.TryFind(name, out MimeiEntry? entry))
        {
            reference = new MimeiReference(entry.Id, version, default);
            return true;
        }

        if (version == 0 && Cid.TryParse(name, out Cid cid))
        {
            reference = new MimeiReference(default, 0, cid);
            return true;
        }

        if (!mustBeHere && LeitherId.TryParse(name, out LeitherId id))
        {
            reference = new MimeiReference(id, version, default);
            return true;
        }

        c.Error($"ERR no such MiMei '{name[..Math.Min(name.Length, 128)].ReplaceLineEndings(" ")}', and it is no CID");
        return false;
    }

    /// <summary>Looks whether what is referred to is there, one after another. (The loop thread.)</summary>
    private static void Verify(Server server, Mimei mimei, MimeiReference[] references, int at, Action<Exception?> done)
    {
        while (at < references.Length && references[at] is { IsBlock: false, Version: 0 })
        {
            // That it is on the node is known already.
            at++;
        }

        if (at == references.Length)
        {
            done(null);
            return;
        }

        MimeiReference reference = references[at];
        void Look(Mimei target, Action<Versioner> look)
        {
            if (target.Versions is not { } versions)
            {
                done(new MimeiException("ERR this server keeps no files, so there is no place for versions"));
                return;
            }

            IDisposable pin = versions.Pin();
            target.Hold();
            server.RunAside(
                () =>
                {
                    using IDisposable job = versions.BeginJob();
                    look(versions);
                    return true;
                },
                (_, problem) =>
                {
                    pin.Dispose();
                    target.Release();
                    if (problem is null)
                    {
                        Verify(server, mimei, references, at + 1, done);
                    }
                    else
                    {
                        done(problem);
                    }
                });
        }

        if (reference.IsBlock)
        {
            Look(mimei, versions => LookForBlocks(versions, reference.Block));
        }
        else if (server.Mimeis.TryFind(reference.Mid, out MimeiEntry? entry))
        {
            server.Mimeis.Load(entry, default, (target, problem) =>
            {
                if (target is null)
                {
                    done(problem);
                    return;
                }

                Look(target, versions =>
                {
                    if (versions.List.Find(reference.Version).IsNone)
                    {
                        throw new MimeiException($"ERR MiMei {reference.Mid} has no version {reference.Version}");
                    }
                });
            });
        }
        else
        {
            done(new MimeiException($"ERR no such MiMei '{reference.Mid}'"));
        }
    }

    /// <summary>A collection keeps what a block leads to, so all of it has to be there.</summary>
    private static void LookForBlocks(Versioner versions, Cid root)
    {
        var seen = new HashSet<Cid>();
        var left = new Stack<Cid>([root]);
        var links = new List<Cid>();
        while (left.TryPop(out Cid cid))
        {
            if (!seen.Add(cid))
            {
                continue;
            }

            versions.ThrowIfClosing();
            byte[] block = Leither.Ipfs.Blockstore.BlockSourceExtensions.Get(versions.Blocks, cid)
                ?? throw new MimeiException(cid == root ? $"ERR this MiMei has no block {cid}" : $"ERR block {cid}, which {root} leads to, is not in this MiMei");
            if (!Links.CanWalk(cid.Codec))
            {
                throw new MimeiException($"ERR what block {cid} leads to is not known: its codec is none that this node knows");
            }

            links.Clear();
            MimeiVersion.AddLinks(cid, block, links);
            links.ForEach(left.Push);
        }
    }
}
