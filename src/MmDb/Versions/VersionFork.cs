using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>Makes a MiMei of its own of what another one holds or held. Its history begins with that, and it is its owner's alone.</summary>
internal static class VersionFork
{
    /// <summary>Makes it: what it holds is one entry of its log, so that after a crash it is empty or whole. (Any thread.)</summary>
    /// <param name="files">Where MiMei are.</param>
    /// <param name="versions">The versions of the one that is forked.</param>
    /// <param name="place">The version.</param>
    /// <param name="now">Its state, if it is what there is now.</param>
    /// <param name="nowMs">Unix milliseconds.</param>
    /// <exception cref="MimeiException">There is no such version.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static MimeiRecord Make(IMimeiStore files, Versioner versions, MimeiPlace place, StateRoot? now, long nowMs)
    {
        var store = new NodeStore(versions.Blocks);
        StateRoot state = now ?? StateRoot.Read(store, versions.Read(versions.NumberOf(place)).State);
        var info = new MimeiInfo(files.Author, versions.Info.App, versions.Info.Ext, MimeiInfo.DrawMark(), versions.Info.Type);
        var record = new MimeiRecord(info.Id) { CreatedMs = nowMs, Author = Leither.Ipfs.Keys.LeitherId.Of(files.Author.Span), Keys = state.KeyCount };
        files.Create(info);
        using Mimei mimei = files.Open(info.Id);
        mimei.Keyspace.NowMs = nowMs;
        if (!state.Files.IsNone)
        {
            Versioner own = mimei.Versions ?? throw new IOException("there is no place for its files");
            FileBlocks.Bring(state.Files, own.Blocks, own.Loose, versions.Blocks, versions.ThrowIfClosing);
            own.Blocks.Flush();
        }

        StateLoader.Load(store, state, mimei.Keyspace);
        if (mimei.Log is { } log)
        {
            log.Close();
        }
        else if (mimei.Checkpointer?.Save() is { } problem)
        {
            throw new IOException(problem);
        }

        files.Keep(record);
        return record;
    }
}
