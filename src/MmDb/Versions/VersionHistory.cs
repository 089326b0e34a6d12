using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb.Versions;

/// <summary>Opens MiMei as they once were: read-only, with a clock that stands. Members may be called by any thread.</summary>
internal static unsafe class VersionHistory
{
    /// <summary>The place with its number: last and release are names for versions.</summary>
    /// <exception cref="MimeiException">There is no such version.</exception>
    public static MimeiPlace Place(Mimei current, MimeiPlace place) => place.Kind is MimeiPlaceKind.Last or MimeiPlaceKind.Release or MimeiPlaceKind.Version
        ? new MimeiPlace(MimeiPlaceKind.Version, VersionsOf(current).NumberOf(place))
        : place;

    /// <summary>Opens one at a version, whose blocks are read as they are wanted, or at a moment, for which the log must be there.</summary>
    /// <exception cref="MimeiException">There is no such place.</exception>
    /// <exception cref="IOException">Blocks or log cannot be read.</exception>
    public static Mimei Open(Mimei current, MimeiPlace place)
    {
        Versioner versions = VersionsOf(current);
        if (place.Kind != MimeiPlaceKind.Version)
        {
            return OpenMoment(current, versions, place);
        }

        Versioner.Use use = versions.Hold(place.Number, out MimeiVersion version);
        try
        {
            return OpenVersion(current, versions, version, use);
        }
        catch
        {
            use.Dispose();
            throw;
        }
    }

    /// <summary>What a MiMei shows that has versions only.</summary>
    /// <param name="State">The state.</param>
    /// <param name="Store">Where its blocks are.</param>
    /// <param name="Use">Keeps them.</param>
    /// <param name="Problem">Why there is none that can be read; null: there is.</param>
    internal sealed record Found(StateAt State, NodeStore Store, Versioner.Use? Use, string? Problem = null)
    {
        /// <summary>Where a keyspace fetches its keys from.</summary>
        public KeySource Source(Keyspace keyspace) => Problem is null ? new StateSource(Store, State.State, keyspace, Use) : new UnreadableSource(Problem);
    }

    /// <summary>In the place of keys that cannot be read: whoever asks for one is told why.</summary>
    private sealed class UnreadableSource(string problem) : KeySource
    {
        public override int SortedBytes => 0;

        public override long Count(int database) => 0;

        public override byte* Fetch(Database database, in Key key) => throw new IOException(problem);

        public override IEnumerable<SourceKey> Walk(int database, long from) => throw new IOException(problem);

        public override IEnumerable<SourceKey> WalkFrom(int database, byte[] begin) => throw new IOException(problem);

        public override void Dispose()
        {
        }
    }

    /// <summary>The newest version that can be read; that of one without versions is empty.</summary>
    internal static Found Newest(Mimei mimei)
    {
        Versioner versions = VersionsOf(mimei);
        var store = new NodeStore(versions.Blocks);
        Exception? problem = null;
        foreach (ListedVersion listed in versions.List.All.Reverse())
        {
            Versioner.Use? use = null;
            try
            {
                use = versions.Hold(listed.Number, out MimeiVersion version);
                var state = new StateAt(StateRoot.Read(store, version.State), version.State, version.Position, 0, version);
                if (problem is not null)
                {
                    versions.Report($"Version {listed.Number} is shown, since those after it cannot be read: {problem.Message}. MIMEI IMPORT from an export brings blocks back");
                }

                return new Found(state, store, use);
            }
            catch (Exception e) when (e is IOException or MimeiException)
            {
                use?.Dispose();
                problem ??= e;
            }
        }

        string? why = problem is null ? null : $"no version of MiMei {mimei.Id} can be read: {problem.Message}. MIMEI IMPORT from an export brings blocks back";
        return new Found(new StateAt(StateRoot.Empty, default, default, 0, null), store, null, why);
    }

    /// <summary>The error for a command that would write to what once was, or to what only its author writes to.</summary>
    public static string WriteRefusal(Mimei mimei) => mimei.IsRemote
        ? $"READONLY MiMei {mimei.Id} is not on this node: version {mimei.Place} is read from other nodes. MIMEI SYNC {mimei.Id} brings it here"
        : mimei.Copy is not null || mimei.IsFenced
        ? "READONLY You can't write against a read only replica." + WriterOf(mimei)
        : mimei.Current is null && mimei.Versions is { Writers.Newest: { } newest }
        ? $"READONLY MiMei {mimei.Id} is written by node {newest.Node}, which its author let take over. MIMEI FORK makes a copy that can be written to here"
        : mimei.Current is null
        ? $"READONLY MiMei {mimei.Id} is written to by its author, whose key is not on this node. MIMEI FORK makes a copy that can be written to here"
        : $"READONLY MiMei {mimei.Id} is open at {(mimei.Place.Kind == MimeiPlaceKind.Version ? "version " : "")}{mimei.Place}, which never changes. "
        + (mimei.Place.Kind == MimeiPlaceKind.Version
            ? $"MIMEI OPEN {mimei.Id} is what can be written to; MIMEI FORK {mimei.Place} makes a copy that can, MIMEI RESTORE {mimei.Place} brings it back"
            : $"MIMEI OPEN {mimei.Id} is what can be written to");

    /// <summary>Where to write instead.</summary>
    private static string WriterOf(Mimei mimei)
    {
        if (mimei.Server?.Replicas?.Status(mimei.Id) is not { Writer: { } writer } status)
        {
            return "";
        }

        if (status.Role == ReplicaRole.Writer)
        {
            return " This node writes again once those who followed it were asked for what it may have lost";
        }

        // Enough to go there; MIMEI SHOW lists all.
        string addresses = string.Join(", ", status.WriterAddresses.Where(static a => !a.Has(MultiaddrProtocol.Ws) && !a.Has(MultiaddrProtocol.Wss)).Take(2));
        return $" The author's node is {writer}{(addresses.Length > 0 ? $" ({addresses})" : "")}";
    }

    private static Versioner VersionsOf(Mimei mimei) => mimei.Versions ?? throw new MimeiException("ERR this server keeps no files, so there are no versions");

    private static Mimei OpenVersion(Mimei current, Versioner versions, MimeiVersion version, Versioner.Use use)
    {
        var store = new NodeStore(versions.Blocks);
        var keyspace = NewKeyspace(current);
        StateRoot state = StateRoot.Read(store, version.State);
        keyspace.Source = new StateSource(store, state, keyspace, use);
        keyspace.Files = state.Files;
        keyspace.StandsAtMs = version.TimeMs;
        return new Mimei(keyspace, current.Id) { PlaceSequence = version.Position.Sequence };
    }

    /// <summary>The state of the last version before the moment, and what the log has from there up to the moment.</summary>
    private static Mimei OpenMoment(Mimei current, Versioner versions, MimeiPlace place)
    {
        bool isTime = place.Kind == MimeiPlaceKind.Time;
        MimeiVersion? version = null;
        foreach (ListedVersion listed in versions.List.All)
        {
            if (!listed.IsOwn)
            {
                // Its position is one of another log: what follows it is not here.
                continue;
            }

            MimeiVersion next = versions.Read(listed.Number);
            if (isTime ? next.TimeMs > (long)place.Number : next.Position.Sequence > place.Number)
            {
                break;
            }

            version = next;
        }

        using Versioner.Use? use = version is null ? null : versions.Hold(version.Number, out version);
        ulong after = version?.Position.Sequence ?? 0;
        using LogReader reader = current.Log?.Read(after) ?? throw new MimeiException(
            $"ERR the log from entry {after + 1} on is not there any more; MIMEI VERSIONS lists the versions that can be opened");
        if (!isTime && place.Number > reader.Last)
        {
            throw new MimeiException($"ERR the log's last entry is {reader.Last}");
        }

        Keyspace keyspace = NewKeyspace(current);
        var mimei = new Mimei(keyspace, current.Id);
        try
        {
            if (version is not null)
            {
                var store = new NodeStore(versions.Blocks);
                StateLoader.Load(store, StateRoot.Read(store, version.State), keyspace);
            }

            long last = version?.TimeMs ?? 0;
            mimei.PlaceSequence = after;
            reader.Run((sequence, entry, length) =>
            {
                long time = HybridClock.ToMilliseconds(System.Runtime.CompilerServices.Unsafe.ReadUnaligned<ulong>(entry + 2));
                if (isTime ? time <= (long)place.Number : sequence <= place.Number)
                {
                    keyspace.NowMs = last = time;
                    mimei.PlaceSequence = sequence;
                    keyspace.Effects.Replay(entry + LogFormat.EntryHeaderBytes, length - LogFormat.EntryHeaderBytes);
                }
            });
            keyspace.StandsAtMs = isTime ? (long)place.Number : last;
            return mimei;
        }
        catch
        {
            mimei.Dispose();
            throw;
        }
    }

    private static Keyspace NewKeyspace(Mimei current) => new(current.Keyspace.Options, current.Keyspace.HashSeed) { IsWriter = false };
}
