using System.Security.Cryptography;
using System.Text;
using Leither.Ipfs;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb;

/// <summary>What a MiMei holds.</summary>
public enum MimeiType
{
    /// <summary>A database.</summary>
    Database,
    /// <summary>Files.</summary>
    Files,
}

/// <summary>
/// What a MiMei is from its first day on, and what its id is computed from: the same info, the same id. As a block it lies beside the data, so that
/// whoever holds both can check that they belong together.
/// </summary>
/// <remarks>
/// The block is DAG-CBOR, a map of five: <c>app</c>, <c>ext</c>, <c>mark</c>, <c>type</c> ("db" or "file") are texts, <c>author</c> the bytes of the
/// author's public key as libp2p encodes keys.
/// </remarks>
/// <param name="Author">The author's public key.</param>
/// <param name="App">The id of the app that shows it; empty: none.</param>
/// <param name="Ext">What the app may want to know of its kind; free.</param>
/// <param name="Mark">Tells the author's MiMei from one another.</param>
/// <param name="Type">What it holds.</param>
public sealed record MimeiInfo(ReadOnlyMemory<byte> Author, string App, string Ext, string Mark, MimeiType Type)
{
    /// <summary>The most bytes that a text of it may have.</summary>
    public const int MaxTextBytes = 255;

    /// <summary>A longer block is none.</summary>
    public const int MaxBlockBytes = 4096;

    /// <summary>The mark that stands for one by chance.</summary>
    public const string AutoMark = "{{auto}}";

    /// <summary>The mark of the MiMei that a node's connections start in.</summary>
    public const string DefaultMark = "default";

    private const int DrawnMarkBytes = 16;

    /// <summary>A mark that nobody has.</summary>
    public static string DrawMark() => Multibase.EncodeBare(MultibaseEncoding.Base64Url, RandomNumberGenerator.GetBytes(DrawnMarkBytes));

    /// <summary>The word for a type.</summary>
    public static string WordOf(MimeiType type) => type == MimeiType.Database ? "db" : "file";

    /// <summary>The block.</summary>
    public byte[] Encode()
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(5);
        writer.WriteKey("app"u8);
        writer.WriteText(App);
        writer.WriteKey("ext"u8);
        writer.WriteText(Ext);
        writer.WriteKey("mark"u8);
        writer.WriteText(Mark);
        writer.WriteKey("type"u8);
        writer.WriteText(WordOf(Type));
        writer.WriteKey("author"u8);
        writer.WriteBytes(Author.Span);
        return writer.ToArray();
    }

    /// <summary>The author's public key, as one that checks signatures.</summary>
    /// <exception cref="MimeiException">It is none that this node knows.</exception>
    public PublicKey ReadAuthorKey() => PublicKey.TryFromProtobuf(Author.Span, out PublicKey? key) ? key : throw new MimeiException("ERR the author's key of the MiMei is none that this node knows");

    /// <summary>The id that follows.</summary>
    public LeitherId Id => LeitherId.Of(Encode());

    /// <summary>Reads the block of the MiMei with this id.</summary>
    /// <exception cref="MimeiException">It is damaged, or that of another.</exception>
    public static MimeiInfo Decode(ReadOnlySpan<byte> block, LeitherId id)
    {
        if (LeitherId.Of(block) != id)
        {
            throw new MimeiException($"ERR the info block of MiMei {id} is damaged: its hash is another id. Restore it from a copy");
        }

        try
        {
            var reader = new DagCborReader(block);
            reader.ReadMapStart(5);
            reader.ReadKey("app"u8);
            string app = reader.ReadText();
            reader.ReadKey("ext"u8);
            string ext = reader.ReadText();
            reader.ReadKey("mark"u8);
            string mark = reader.ReadText();
            reader.ReadKey("type"u8);
            string word = reader.ReadText();
            reader.ReadKey("author"u8);
            byte[] author = reader.ReadBytes().ToArray();
            reader.End();
            MimeiType type = word switch
            {
                "db" => MimeiType.Database,
                "file" => MimeiType.Files,
                _ => throw new MimeiException($"ERR MiMei {id} is of type '{word}', which this version does not know"),
            };
            return new MimeiInfo(author, app, ext, mark, type);
        }
        catch (MalformedBlockException e)
        {
            throw new MimeiException($"ERR the info block of MiMei {id} is none that this version knows: {e.Message}", e);
        }
    }

    /// <summary>Whether a text may stand in an info.</summary>
    public static bool IsText(ReadOnlySpan<byte> text) => text.Length <= MaxTextBytes && System.Text.Unicode.Utf8.IsValid(text);
}
