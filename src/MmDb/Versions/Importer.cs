namespace Leither.MmDb.Versions;

/// <summary>What an import did.</summary>
/// <param name="Mimei">The MiMei.</param>
/// <param name="IsNew">Whether it was not on this node before.</param>
/// <param name="IsWritable">Whether it can be written to here.</param>
/// <param name="Newest">The newest version of the file.</param>
/// <param name="Added">Versions that were not here before.</param>
/// <param name="Present">Versions of the file that were.</param>
/// <param name="Blocks">Blocks that they need.</param>
/// <param name="Bytes">Bytes of these.</param>
/// <param name="LeftOut">Blocks of the file that they do not need.</param>
internal sealed record ImportReport(MimeiEntry Mimei, bool IsNew, bool IsWritable, ulong Newest, int Added, int Present, long Blocks, long Bytes, long LeftOut);

/// <summary>
/// MIMEI IMPORT, step by step: read and check the file on another thread; then, on the loop thread, see whether the MiMei is on this node; then make it, or load it and add to
/// its versions, on another thread again. It goes on to its end, or to the client's.
/// </summary>
internal sealed class Importer(Server server, IMimeiStore store, string path, IReadOnlyCollection<ulong> numbers, LongWork work, Action<ImportReport?, Exception?> done)
{
    private readonly MimeiRegistry _mimeis = server.Mimeis;
    private readonly KeyspaceOptions _options = server.DefaultMimei.Keyspace.Options;
    private readonly long _nowMs = server.NowMs;

    /// <summary>Begins. (The loop thread, as everything here that is no work aside.)</summary>
    public void Run() => server.RunAside(() => VersionImport.Read(store.Draft(), path, numbers, _options.Databases, work), (import, problem) =>
    {
        if (problem is not null)
        {
            done(null, problem);
        }
        else if (_mimeis.TryFind(import!.Info.Id, out MimeiEntry? entry))
        {
            _mimeis.Load(entry, default, (mimei, problem) =>
            {
                if (problem is null)
                {
                    Add(import, entry, mimei!);
                }
                else
                {
                    End(import, null, problem);
                }
            });
        }
        else
        {
            Make(import);
        }
    });

    private void Make(VersionImport import)
    {
        bool isWriter = import.IsWrittenByAuthor && import.Info.Author.Span.SequenceEqual(store.Author.Span);
        server.RunAside(
            () =>
            {
                MimeiRecord record = import.Complete(isWriter, _options, _nowMs);
                record = store.Recall(record.Id) is { } known ? known with { Author = record.Author, Rights = record.Rights, Keys = record.Keys } : record;
                store.Keep(record);
                return record;
            },
            (record, problem) => End(
                import,
                problem is not null ? null : Report(import, _mimeis.Add(record!), isNew: true, isWriter, import.Versions.Count),
                problem));
    }

    private void Add(VersionImport import, MimeiEntry entry, Mimei mimei)
    {
        if (mimei.Versions is not { } versions)
        {
            End(import, null, new MimeiException("ERR this server keeps no files, so there is no place for versions"));
            return;
        }

        IDisposable pin = versions.Pin();
        mimei.Hold();
        server.RunAside(
            () => (Added: import.AddTo(versions), Newest: mimei.Shown is null ? null : VersionHistory.Newest(mimei)),
            (made, problem) =>
            {
                if (made.Newest is { } newest)
                {
                    lock (mimei.Gate)
                    {
                        mimei.Show(newest);
                    }
                }

                pin.Dispose();
                mimei.Release();
                End(import, problem is not null ? null : Report(import, entry, isNew: false, !mimei.IsReadOnly, made.Added), problem);
            });
    }

    private ImportReport Report(VersionImport import, MimeiEntry entry, bool isNew, bool isWritable, int added) => new(
        entry, isNew, isWritable, import.Versions[^1].Version.Number, added, import.Versions.Count - added, import.Blocks, import.Bytes, import.LeftOut);

    /// <summary>Answers when what is left of the draft is gone, so that it is with the reply.</summary>
    private void End(VersionImport import, ImportReport? report, Exception? problem) => server.RunAside(
        () =>
        {
            import.Dispose();
            return true;
        },
        (_, left) => done(left is null ? report : null, problem ?? left));
}
