using System.Text;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Rights;
using Leither.MmDb.Versions;

namespace Leither.MmDb.Commands;

/// <summary>The subcommands of MIMEI that are about versions.</summary>
public static unsafe class VersionCommands
{
    private static readonly CommandSpec Backup = new("backup", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is what changed since the version before; of the first one, all keys. Clients wait for none of it.",
        Summary = "Makes a version of what there is now, and returns its number.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Need = new MimeiNeed(MimeiRight.Backup),
        Args = [Arg.String("text").Token("MEMO").Optional()],
        Handler = &RunBackup,
    };

    private static readonly CommandSpec Versions = new("versions", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of versions; with SIZES also what those lead to that came since it was asked last, each block once. Clients wait for none of it.",
        Summary = "Lists the versions of a MiMei, with SIZES also how large each is.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti,
        Need = new MimeiNeed(MimeiRight.Read, 2),
        Args = [Arg.Block("of", Arg.String("mid").Shown("mid|name"), Arg.Word("sizes", "SIZES").Optional()).Optional()],
        Handler = &RunVersions,
    };

    private static readonly CommandSpec Diff = new("diff", -4)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of keys that differ, up to the count.",
        Summary = "Compares two versions.",
        Flags = CommandFlags.NoScript | CommandFlags.NoMulti,
        Need = new MimeiNeed(MimeiRight.Read),
        Args =
        [
            Arg.String("a").Shown("cur|last|release|n"),
            Arg.String("b").Shown("cur|last|release|n"),
            Arg.String("pattern").Token("MATCH").Optional(),
            Arg.String("cursor").Token("CURSOR").Optional(),
            Arg.Integer("count").Token("COUNT").Optional(),
        ],
        Handler = &RunDiff,
    };

    private static readonly CommandSpec Log = new("log", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of entries, and the size of the segments that they lie in.",
        Summary = "Lists entries of the log: what was changed, and when.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Need = new MimeiNeed(MimeiRight.Read),
        Args = [Arg.Integer("sequence").Token("FROM").Optional(), Arg.Integer("count").Token("COUNT").Optional()],
        Handler = &RunLog,
    };

    private static readonly CommandSpec Restore = new("restore", 3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is what differs from the version.",
        Summary = "Brings back what there was at a version, as one change.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom | CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Need = new MimeiNeed(MimeiRight.Write),
        Args = [Arg.String("version").Shown("last|release|n")],
        Handler = &RunRestore,
    };

    private static readonly CommandSpec Fork = new("fork", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the size of the version. Clients wait for none of it.",
        Summary = "Makes a MiMei of its own of a version, and returns its id.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Args = [Arg.String("version").Shown("cur|last|release|n").Optional()],
        Handler = &RunFork,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Backup, Diff, Fork, Log, Restore, Versions, .. VersionListCommands.All, .. VersionCheckCommands.All, .. VersionFileCommands.All, .. MimeiFileCommands.All, .. ReferenceCommands.All];

    private static ReadOnlySpan<byte> NoVersions => "ERR this server keeps no files, so there is no place for versions"u8;

    private static void RunBackup(CommandContext c)
    {
        string memo = "";
        if (c.Count != 2)
        {
            if (c.Count != 4 || !c.Is(2, "memo"u8))
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (c[3].Length > MimeiVersion.MaxMemoBytes || !System.Text.Unicode.Utf8.IsValid(c[3].Span))
            {
                c.Error($"ERR a memo is text in UTF-8 of at most {MimeiVersion.MaxMemoBytes} bytes");
                return;
            }

            memo = Encoding.UTF8.GetString(c[3].Span);
        }

        if (TryVersions(c, c.Mimei, out Versioner versions))
        {
            Begin(c, "backup", () => versions.Progress);
            c.Await<MimeiVersion>(done => versions.Backup(memo, done), static (c, version) => c.Reply.Integer((long)version.Number));
        }
    }

    private static void RunVersions(CommandContext c)
    {
        bool hasSizes = c.Count == 4 && c.Is(3, "sizes"u8);
        if (c.Count > 3 && !hasSizes)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (c.Count == 2)
        {
            ListVersions(c, c.Mimei.Current ?? c.Mimei, hasSizes: false);
        }
        else if (MimeiCommands.TryFind(c, 2, out MimeiEntry entry))
        {
            c.UseMimei(entry, default, (c, mimei) => ListVersions(c, mimei, hasSizes));
        }
    }

    private static void ListVersions(CommandContext c, Mimei mimei, bool hasSizes)
    {
        if (!TryVersions(c, mimei, out Versioner versions))
        {
            return;
        }

        Aside(
            c,
            mimei,
            () =>
            {
                IReadOnlyList<ListedVersion> all = versions.List.All;
                VersionSize[] sizes = hasSizes ? versions.Sizes.Measure(all) : [];
                var found = new List<(Cid Block, MimeiVersion Version, VersionSize Size)>();
                for (int i = 0; i < all.Count; i++)
                {
                    found.Add((all[i].Block, versions.Read(all[i].Number), hasSizes ? sizes[i] : default));
                }

                found.Reverse();
                return (Found: found, versions.List.Released);
            },
            (c, list) =>
            {
                c.Reply.Array(list.Found.Count);
                foreach ((Cid block, MimeiVersion version, VersionSize size) in list.Found)
                {
                    c.Reply.Map(hasSizes ? 9 : 6);
                    c.Reply.Bulk("version"u8);
                    c.Reply.Integer((long)version.Number);
                    MimeiCommands.Field(c.Reply, "cid", block.ToString());
                    MimeiCommands.Field(c.Reply, "state", version.State.ToString());
                    c.Reply.Bulk("created"u8);
                    c.Reply.Integer(version.CreatedMs);
                    MimeiCommands.Field(c.Reply, "memo", version.Memo);
                    MimeiCommands.Field(c.Reply, "released", version.Number == list.Released ? "yes" : "no");
                    if (hasSizes)
                    {
                        MimeiCommands.Field(c.Reply, "keys", size.Keys);
                        Bytes(c, "size", size.Bytes);
                        Bytes(c, "added", size.Added);
                    }
                }
            });
    }

    private static void Bytes(CommandContext c, string name, long? bytes)
    {
        if (bytes is { } number)
        {
            MimeiCommands.Field(c.Reply, name, number);
        }
        else
        {
            c.Reply.Bulk(Encoding.ASCII.GetBytes(name));
            c.Reply.Null();
        }
    }

    private static void RunLog(CommandContext c)
    {
        const long usualCount = 20, maxCount = 100_000;
        long from = 0, count = usualCount;
        for (int i = 2; i < c.Count; i += 2)
        {
            bool isFrom = i + 1 < c.Count && c.Is(i, "from"u8);
            if (!isFrom && !(i + 1 < c.Count && c.Is(i, "count"u8)))
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (!c.TryLong(i + 1, out long number))
            {
                return;
            }

            if (number < 1 || (!isFrom && number > maxCount))
            {
                c.Error(Errors.NotPositive);
                return;
            }

            (from, count) = isFrom ? (number, count) : (from, number);
        }

        if ((c.Mimei.Current ?? c.Mimei) is not { Log: { } log } mimei)
        {
            c.Error("ERR there is no log (appendonly no)"u8);
            return;
        }

        log.Flush();

        // Without a place: the last ones.
        ulong first = from > 0 ? (ulong)from : log.WrittenSequence >= (ulong)count ? log.WrittenSequence - (ulong)count + 1 : 1;
        mimei.Hold();
        int databases = mimei.Keyspace.Databases.Length;
        Server server = c.Server;
        c.Await<List<LogEntryListing>>(
            done => server.RunAside(() => LogListing.Read(log, databases, first, count), (entries, problem) =>
            {
                // Whether or not the client is still there.
                mimei.Release();
                done(entries, problem);
            }),
            static (c, entries) =>
            {
                c.Reply.Array(entries.Count);
                foreach (LogEntryListing entry in entries)
                {
                    c.Reply.Array(4);
                    c.Reply.Integer((long)entry.Sequence);
                    c.Reply.Integer(entry.TimeMs);
                    c.Reply.Integer(entry.Bytes);
                    c.Reply.Array(entry.Effects.Count);
                    foreach (EffectListing effect in entry.Effects)
                    {
                        c.Reply.Array(3);
                        c.Reply.Bulk(Encoding.ASCII.GetBytes(effect.Name));
                        c.Reply.Integer(effect.Database);
                        c.Reply.Bulk(effect.Key);
                    }
                }
            });
    }

    // ------------------------------------------------------------------ comparing, bringing back

    private static void RunDiff(CommandContext c)
    {
        const long usualCount = 1000;
        string cursor = StateDiff.Start;
        byte[] pattern = "*"u8.ToArray();
        long count = usualCount;
        for (int i = 4; i < c.Count; i += 2)
        {
            if (i + 1 < c.Count && c.Is(i, "match"u8))
            {
                pattern = c[i + 1].Span.ToArray();
            }
            else if (i + 1 < c.Count && c.Is(i, "cursor"u8))
            {
                cursor = c.Text(i + 1);
            }
            else if (i + 1 < c.Count && c.Is(i, "count"u8))
            {
                if (!c.TryLong(i + 1, out count))
                {
                    return;
                }

                if (count < 1)
                {
                    c.Error(Errors.Syntax);
                    return;
                }
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        Mimei mimei = c.Mimei.Current ?? c.Mimei;
        if (!TryPlace(c, 2, out MimeiPlace a) || !TryPlace(c, 3, out MimeiPlace b) || !TryVersions(c, mimei, out Versioner versions))
        {
            return;
        }

        if (mimei.HoldsFiles)
        {
            Comparing(
                c,
                mimei,
                (a, b),
                (old, current) => StateDiff.CompareFiles(versions.Blocks, old.Files, current.Files, cursor, count, pattern),
                static (c, found) => WriteDifferences(c, found.Cursor, found.Files.Count, i => (0, Encoding.UTF8.GetBytes(found.Files[i].Path), found.Files[i].Old, found.Files[i].New)));
            return;
        }

        Comparing(
            c,
            mimei,
            (a, b),
            (old, current) => StateDiff.Compare(new Versions.Tree.NodeStore(versions.Blocks), old, current, cursor, count, pattern),
            static (c, found) => WriteDifferences(c, found.Cursor, found.Keys.Count, i => (found.Keys[i].Database, found.Keys[i].Name, TypeOf(found.Keys[i].Old), TypeOf(found.Keys[i].New))));

        static string? TypeOf(Values.DataType? type) => type is { } known ? Encoding.ASCII.GetString(KeyCommands.TypeName(known)) : null;
    }

    /// <summary>Compares the states of two places on another thread.</summary>
    private static void Comparing<T>(CommandContext c, Mimei mimei, (MimeiPlace A, MimeiPlace B) places, Func<StateRoot, StateRoot, T> compare, Action<CommandContext, T> answer)
    {
        Versioner versions = mimei.Versions!;
        Server server = c.Server;
        Working<T>(
            c,
            mimei,
            done => WithState(versions, places.A.Kind == MimeiPlaceKind.Current || places.B.Kind == MimeiPlaceKind.Current, (now, problem) =>
            {
                if (problem is not null)
                {
                    done(default, problem);
                    return;
                }

                server.RunAside(
                    () =>
                    {
                        StateRoot StateOf(MimeiPlace place) => place.Kind == MimeiPlaceKind.Current
                            ? now!.State
                            : StateRoot.Read(new Versions.Tree.NodeStore(versions.Blocks), versions.Read(versions.NumberOf(place)).State);
                        return compare(StateOf(places.A), StateOf(places.B));
                    },
                    done);
            }),
            answer);
    }

    private static void WriteDifferences(CommandContext c, string cursor, int count, Func<int, (int Database, byte[] Name, string? Old, string? New)> at)
    {
        c.Reply.Array(2);
        c.Reply.Bulk(Encoding.ASCII.GetBytes(cursor));
        c.Reply.Array(count);
        for (int i = 0; i < count; i++)
        {
            (int database, byte[] name, string? old, string? current) = at(i);
            c.Reply.Array(4);
            c.Reply.Integer(database);
            c.Reply.Bulk(name);
            c.Reply.Bulk(old is null ? "added"u8 : current is null ? "removed"u8 : "changed"u8);
            c.Reply.Bulk(Encoding.ASCII.GetBytes((current ?? old)!));
        }
    }

    private static void RunRestore(CommandContext c)
    {
        if (!TryPlace(c, 2, out MimeiPlace place) || !TryVersions(c, c.Mimei, out Versioner versions))
        {
            return;
        }

        if (place.Kind == MimeiPlaceKind.Current)
        {
            c.Reply.Ok();
            return;
        }

        if (c.Keyspace.Feed is not null)
        {
            c.Error("ERR Redis replicas follow this MiMei, and cannot follow a RESTORE; end their replication first"u8);
            return;
        }

        Server server = c.Server;
        long maxBytes = MaxRestoreBytes;
        LongWork work = Begin(c, "restore", () => versions.Progress);
        Working<(VersionRestore Restore, StateAt Now)>(
            c,
            c.Mimei,
            done => versions.MakeState((now, problem) =>
            {
                if (problem is not null)
                {
                    done(default, problem);
                    return;
                }

                server.RunAside(() => (VersionRestore.Prepare(versions, now!, versions.Read(versions.NumberOf(place)), maxBytes, work), now!), done);
            }),
            (c, prepared) =>
            {
                using VersionRestore restore = prepared.Restore;
                try
                {
                    restore.Apply(c.Mimei, prepared.Now, versions.WorkFolder);
                    c.Reply.Ok();
                }
                catch (Exception e) when (e is MimeiException or IOException)
                {
                    c.Error(e is MimeiException ? e.Message : $"ERR {e.Message}");
                }
            });
    }

    /// <summary>Bytes of values that RESTORE holds until it writes them.</summary>
    private const long MaxRestoreBytes = 1L << 30;

    /// <summary>The state of now where it is wanted.</summary>
    private static void WithState(Versioner versions, bool isWanted, Action<StateAt?, Exception?> done)
    {
        if (isWanted)
        {
            versions.MakeState(done);
        }
        else
        {
            done(null, null);
        }
    }

    private static bool TryPlace(CommandContext c, int index, out MimeiPlace place)
    {
        if (MimeiPlace.TryParseVersion(c.Text(index), out place))
        {
            return true;
        }

        c.Error("ERR a version is cur, last, release or a number"u8);
        return false;
    }

    private static void RunFork(CommandContext c)
    {
        MimeiPlace place = c.Mimei.Place;
        Mimei mimei = c.Mimei.Current ?? c.Mimei;
        if (c.Count > 3)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if ((c.Count == 3 && !TryPlace(c, 2, out place)) || !TryVersions(c, mimei, out Versioner versions))
        {
            return;
        }

        if (place.Kind is MimeiPlaceKind.Time or MimeiPlaceKind.Sequence)
        {
            c.Error("ERR a moment cannot be forked; open it and read from it, or fork a version"u8);
            return;
        }

        if (c.Server.Mimeis.Store is not { } files)
        {
            c.Error(NoVersions);
            return;
        }

        Server server = c.Server;
        Begin(c, "fork", () => versions.Progress);
        long nowMs = c.NowMs;
        Working<MimeiRecord>(
            c,
            mimei,
            done => WithState(versions, place.Kind == MimeiPlaceKind.Current, (now, problem) =>
            {
                if (problem is not null)
                {
                    done(null, problem);
                    return;
                }

                server.RunAside(() => VersionFork.Make(files, versions, place, now?.State, nowMs), done);
            }),
            static (c, record) =>
            {
                c.Server.Mimeis.Add(record);
                c.Reply.Bulk(Encoding.ASCII.GetBytes(record.Id.ToString()));
            });
    }

    /// <summary>As <see cref="CommandContext.Aside"/>, for work on the versions of a MiMei: see <see cref="Working"/>.</summary>
    internal static void Aside<T>(CommandContext c, Mimei mimei, Func<T> work, Action<CommandContext, T> answer)
    {
        Server server = c.Server;
        Working<T>(c, mimei, done => server.RunAside(work, done), answer);
    }

    /// <summary>
    /// As <see cref="CommandContext.Await"/>, for work on the versions of a MiMei: until it is answered the MiMei stays loaded and no collection begins,
    /// whether or not the client still waits.
    /// </summary>
    internal static void Working<T>(CommandContext c, Mimei mimei, Action<Action<T?, Exception?>> begin, Action<CommandContext, T> answer) => c.Await<T>(
        done =>
        {
            IDisposable pin = mimei.Versions!.Pin();
            mimei.Hold();
            begin((made, problem) =>
            {
                try
                {
                    done(made, problem);
                }
                finally
                {
                    pin.Dispose();
                    mimei.Release();
                }
            });
        },
        answer);

    /// <summary>As <see cref="Aside"/>, for work that may take long: others can ask how far it is, and it ends when the client goes.</summary>
    internal static void Long<T>(CommandContext c, Mimei mimei, string what, Func<LongWork, T> work, Action<CommandContext, T> answer)
    {
        Server server = c.Server;
        LongWork told = Begin(c, what);
        Working<T>(c, mimei, done => server.RunAside(() => work(told), done), answer);
    }

    /// <summary>Says that what a client waits for may take long.</summary>
    /// <param name="c">The command.</param>
    /// <param name="what">What is done.</param>
    /// <param name="look">Asks how far it is, where who does it cannot tell.</param>
    internal static LongWork Begin(CommandContext c, string what, Func<(long Done, long Total)>? look = null) => c.Session.Work = new LongWork(what, c.Session.Id) { Look = look };

    /// <summary>The versions of a MiMei that is as it is now; or replies why they cannot be had.</summary>
    internal static bool TryVersions(CommandContext c, Mimei mimei, out Versioner versions)
    {
        versions = mimei.Versions!;
        if (mimei.Current is not null || mimei.IsRemote)
        {
            c.Error(VersionHistory.WriteRefusal(mimei));
            return false;
        }

        if (mimei.Versions is null)
        {
            c.Error(NoVersions);
            return false;
        }

        return true;
    }
}
