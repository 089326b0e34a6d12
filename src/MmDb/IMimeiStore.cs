using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb.Rights;

namespace Leither.MmDb;

/// <summary>
/// Where a node keeps its MiMei. The registry knows which there are and which are loaded, the store how they lie on the disk. Members may be
/// called on any thread, those about one MiMei by one thread at a time.
/// </summary>
public interface IMimeiStore
{
    /// <summary>The data folder.</summary>
    string Folder { get; }

    /// <summary>The public key of whoever MiMei are made for here.</summary>
    ReadOnlyMemory<byte> Author { get; }

    /// <summary>What is kept, as it was at the start.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    IReadOnlyCollection<MimeiRecord> List();

    /// <summary>Makes the place of a new one, durably; what is there already stays.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    void Create(MimeiInfo info);

    /// <summary>Makes the place of one that is to follow a writer elsewhere (<see cref="Mimei.Copy"/>), empty, durably; what is there already stays.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    void CreateCopy(MimeiInfo info);

    /// <summary>Makes a place where one is put together that comes from elsewhere: see <see cref="IMimeiDraft"/>.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    IMimeiDraft Draft();

    /// <summary>What one is, after a check that its id is that of this info.</summary>
    /// <exception cref="MimeiException">The info is damaged or that of another.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    MimeiInfo ReadInfo(LeitherId id);

    /// <summary>Brings one back as it was left.</summary>
    /// <exception cref="MimeiException">It is damaged; the text says how.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    Mimei Open(LeitherId id);

    /// <summary>Bytes that it takes on the disk.</summary>
    long BytesOf(LeitherId id);

    /// <summary>What the node knew of one when it was here: what people called it. Null: nothing. (What it held or referred to, and who might use it, went with its folder.)</summary>
    MimeiRecord? Recall(LeitherId id);

    /// <summary>Keeps what one refers to, durably, in the place of what it referred to before.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    void KeepReferences(LeitherId id, IReadOnlyList<MimeiReference> references);

    /// <summary>Keeps who may do what with one, durably, in the place of what was said before.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    void KeepRights(LeitherId id, MimeiRights rights);

    /// <summary>Keeps what the node knows of one, durably; what it refers to and who may use it excepted.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    void Keep(MimeiRecord record);
}

/// <summary>
/// A MiMei that is being put together. It is none before <see cref="Complete"/>, and whole afterwards: what is left of a draft, by its disposal or by the end of
/// the node, goes.
/// </summary>
public interface IMimeiDraft : IDisposable
{
    /// <summary>Its blocks.</summary>
    IBlockstore Blocks { get; }

    /// <summary>Its folder, for the list of versions and for checkpoints.</summary>
    IFolder Files { get; }

    /// <summary>Makes a MiMei of it, durably. Nothing of the draft is used afterwards.</summary>
    /// <exception cref="MimeiException">There is one with this id.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    void Complete(MimeiInfo info);
}

/// <summary>What a node knows of a MiMei without opening it.</summary>
/// <param name="Id">Its id.</param>
public sealed record MimeiRecord(LeitherId Id)
{
    /// <summary>What people call it on this node; empty: it has no name.</summary>
    public string Name { get; init; } = "";
    /// <summary>When it was made here, in Unix milliseconds.</summary>
    public long CreatedMs { get; init; }
    /// <summary>Who made it: a user's id; none where that is not known.</summary>
    public LeitherId Author { get; init; }
    /// <summary>Who may do what with it, besides its owner.</summary>
    public MimeiRights Rights { get; init; } = MimeiRights.Private;
    /// <summary>What it refers to.</summary>
    public IReadOnlyList<MimeiReference> References { get; init; } = [];
    /// <summary>How many keys it had when it was last unloaded.</summary>
    public long Keys { get; init; }
}

/// <summary>A MiMei cannot be opened, or not as asked. The text is for the client: it begins with an error code.</summary>
/// <param name="message">What and why.</param>
/// <param name="inner">The cause.</param>
public sealed class MimeiException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A place in the history of a MiMei, as MIMEI OPEN names it.</summary>
/// <param name="Kind">How it is named.</param>
/// <param name="Number">The version's number, the instant in Unix milliseconds, or the sequence number.</param>
public readonly record struct MimeiPlace(MimeiPlaceKind Kind, ulong Number = 0)
{
    /// <summary>Reads the word of a version: cur, last, release, or a number.</summary>
    public static bool TryParseVersion(string word, out MimeiPlace place)
    {
        place = word.ToLowerInvariant() switch
        {
            "cur" => new MimeiPlace(MimeiPlaceKind.Current),
            "last" => new MimeiPlace(MimeiPlaceKind.Last),
            "release" => new MimeiPlace(MimeiPlaceKind.Release),
            _ when TryNumber(word, out ulong number) && number > 0 => new MimeiPlace(MimeiPlaceKind.Version, number),
            _ => new MimeiPlace((MimeiPlaceKind)(-1)),
        };
        return place.Kind >= 0;
    }

    /// <summary>Reads what follows AT: a time in ISO 8601, or a sequence number of the log.</summary>
    public static bool TryParseMoment(string word, out MimeiPlace place)
    {
        if (TryNumber(word, out ulong sequence))
        {
            place = new MimeiPlace(MimeiPlaceKind.Sequence, sequence);
            return true;
        }

        bool isTime = DateTimeOffset.TryParse(
            word, System.Globalization.CultureInfo.InvariantCulture, System.Globalization.DateTimeStyles.AssumeUniversal, out DateTimeOffset time);
        place = new MimeiPlace(MimeiPlaceKind.Time, isTime ? (ulong)Math.Max(0, time.ToUnixTimeMilliseconds()) : 0);
        return isTime;
    }

    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        MimeiPlaceKind.Current => "cur",
        MimeiPlaceKind.Last => "last",
        MimeiPlaceKind.Release => "release",
        MimeiPlaceKind.Time => DateTimeOffset.FromUnixTimeMilliseconds((long)Number).ToString("O", System.Globalization.CultureInfo.InvariantCulture),
        _ => Number.ToString(System.Globalization.CultureInfo.InvariantCulture),
    };

    private static bool TryNumber(string word, out ulong number) =>
        ulong.TryParse(word, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out number);
}

/// <summary>How a place in history is named.</summary>
public enum MimeiPlaceKind
{
    /// <summary>As it is now: the only one that can be written to.</summary>
    Current,
    /// <summary>The newest version.</summary>
    Last,
    /// <summary>The version that its author released.</summary>
    Release,
    /// <summary>A version by its number.</summary>
    Version,
    /// <summary>As it was at an instant.</summary>
    Time,
    /// <summary>As it was after an entry of its log.</summary>
    Sequence,
}
