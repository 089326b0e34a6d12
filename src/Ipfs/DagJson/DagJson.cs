// The data model as JSON that people read and write. https://ipld.io/specs/codecs/dag-json/spec/
//
//   a link    {"/": "bafy…"}         bytes    {"/": {"bytes": "<base64 without padding>"}}         keys in the order of their bytes, no white space
//
// A number with a fraction or an exponent is a float, one without is an integer. Nothing else means anything but itself.

using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.DagJson;

/// <summary>JSON is not DAG-JSON.</summary>
public sealed class DagJsonException : MalformedBlockException
{
    /// <summary>Says what is wrong.</summary>
    public DagJsonException(string message)
        : base($"DAG-JSON: {message}")
    {
    }
}

/// <summary>Blocks as DAG-JSON, and DAG-JSON as blocks.</summary>
public static class DagJson
{
    private static readonly JsonWriterOptions _options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = 1000 };
    private static readonly JsonDocumentOptions _readOptions = new() { MaxDepth = DagCborReader.MaxDepth };

    /// <summary>Whether blocks of a codec can be shown: raw, DAG-PB and DAG-CBOR.</summary>
    public static bool CanShow(ulong codec) => codec is Multicodec.Raw or Multicodec.DagPb or Multicodec.DagCbor;

    /// <summary>A block as DAG-JSON.</summary>
    /// <exception cref="MalformedBlockException">The block is not what its codec allows.</exception>
    /// <exception cref="NotSupportedException">The codec is none that <see cref="CanShow"/> knows.</exception>
    public static byte[] FromBlock(ulong codec, ReadOnlySpan<byte> block)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes, _options))
        {
            switch (codec)
            {
                case Multicodec.Raw:
                    WriteBytes(json, block);
                    break;
                case Multicodec.DagPb:
                    WriteNode(json, block);
                    break;
                case Multicodec.DagCbor:
                    DagCborReader.Validate(block);
                    WriteValue(json, block);
                    break;
                default:
                    throw new NotSupportedException($"Codec 0x{codec:x} cannot be shown as JSON.");
            }
        }

        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>A value of DAG-CBOR as DAG-JSON, inside a block: what names on the way lead to.</summary>
    /// <exception cref="MalformedBlockException">The block is not DAG-CBOR, or nothing is there.</exception>
    public static byte[] FromCbor(ReadOnlySpan<byte> block, IReadOnlyList<string> path)
    {
        DagCborReader.Validate(block);
        foreach (string name in path)
        {
            block = Find(block, name);
        }

        var bytes = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes, _options)) WriteValue(json, block);
        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>DAG-JSON as a block of DAG-CBOR.</summary>
    /// <exception cref="DagJsonException">It is not DAG-JSON.</exception>
    public static byte[] ToCbor(ReadOnlyMemory<byte> json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, _readOptions);
            var writer = new DagCborWriter();
            Write(writer, document.RootElement);
            return writer.ToArray();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            throw new DagJsonException(e.Message);
        }
    }

    private static ReadOnlySpan<byte> Find(ReadOnlySpan<byte> value, string name)
    {
        var reader = new DagCborReader(value);
        if (reader.Peek() == DagCborKind.Map)
        {
            byte[] wanted = Encoding.UTF8.GetBytes(name);
            for (int pairs = reader.ReadMapStart(); pairs > 0; pairs--)
            {
                bool found = reader.ReadKey().SequenceEqual(wanted);
                ReadOnlySpan<byte> inner = reader.ReadEncoded();
                if (found) return inner;
            }
        }
        else if (reader.Peek() == DagCborKind.Array && int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int index))
        {
            for (int count = reader.ReadArrayStart(); count > 0; count--)
            {
                ReadOnlySpan<byte> inner = reader.ReadEncoded();
                if (index-- == 0) return inner;
            }
        }

        throw new DagJsonException($"there is no '{name}'");
    }

    private static void WriteValue(Utf8JsonWriter json, ReadOnlySpan<byte> value)
    {
        var reader = new DagCborReader(value);
        switch (reader.Peek())
        {
            case DagCborKind.Integer:
                json.WriteRawValue(reader.ReadInteger().ToString(CultureInfo.InvariantCulture));
                break;
            case DagCborKind.Bytes:
                WriteBytes(json, reader.ReadBytes());
                break;
            case DagCborKind.Text:
                json.WriteStringValue(reader.ReadTextBytes());
                break;
            case DagCborKind.Array:
                json.WriteStartArray();
                for (int count = reader.ReadArrayStart(); count > 0; count--) WriteValue(json, reader.ReadEncoded());
                json.WriteEndArray();
                break;
            case DagCborKind.Map:
                int pairs = reader.ReadMapStart();
                var entries = new (byte[] Key, byte[] Value)[pairs];
                for (int i = 0; i < pairs; i++) entries[i] = (reader.ReadKey().ToArray(), reader.ReadEncoded().ToArray());
                Array.Sort(entries, static (a, b) => a.Key.AsSpan().SequenceCompareTo(b.Key));
                json.WriteStartObject();
                foreach ((byte[] key, byte[] inner) in entries)
                {
                    json.WritePropertyName(key);
                    WriteValue(json, inner);
                }

                json.WriteEndObject();
                break;
            case DagCborKind.Link:
                WriteLink(json, reader.ReadCid());
                break;
            case DagCborKind.Boolean:
                json.WriteBooleanValue(reader.ReadBoolean());
                break;
            case DagCborKind.Float:
                string text = reader.ReadDouble().ToString("R", CultureInfo.InvariantCulture);
                json.WriteRawValue(text.AsSpan().ContainsAny('.', 'E') ? text : text + ".0");
                break;
            default:
                json.WriteNullValue();
                break;
        }
    }

    private static void WriteNode(Utf8JsonWriter json, ReadOnlySpan<byte> block)
    {
        PbNode node = PbNode.Decode(block);
        json.WriteStartObject();
        if (node.Data != null)
        {
            json.WritePropertyName("Data"u8);
            WriteBytes(json, node.Data);
        }

        json.WriteStartArray("Links"u8);
        foreach (PbLink link in node.Links)
        {
            json.WriteStartObject();
            json.WritePropertyName("Hash"u8);
            WriteLink(json, link.Hash);
            if (link.Name != null) json.WriteString("Name"u8, link.Name);
            if (link.Tsize is { } size) json.WriteNumber("Tsize"u8, size);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteLink(Utf8JsonWriter json, in Cid cid)
    {
        json.WriteStartObject();
        json.WriteString("/"u8, cid.ToString());
        json.WriteEndObject();
    }

    private static void WriteBytes(Utf8JsonWriter json, ReadOnlySpan<byte> bytes)
    {
        json.WriteStartObject();
        json.WriteStartObject("/"u8);
        json.WriteString("bytes"u8, Convert.ToBase64String(bytes).TrimEnd('='));
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Write(DagCborWriter writer, JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                WriteObject(writer, value);
                break;
            case JsonValueKind.Array:
                writer.WriteArrayStart(value.GetArrayLength());
                foreach (JsonElement element in value.EnumerateArray()) Write(writer, element);
                break;
            case JsonValueKind.String:
                writer.WriteText(value.GetString());
                break;
            case JsonValueKind.Number:
                string text = value.GetRawText();
                if (text.AsSpan().ContainsAny('.', 'e', 'E')) writer.WriteDouble(double.Parse(text, CultureInfo.InvariantCulture));
                else writer.WriteInteger(Int128.TryParse(text, CultureInfo.InvariantCulture, out Int128 number) ? number : throw new DagJsonException($"{text} exceeds 64 bits"));
                break;
            case JsonValueKind.True or JsonValueKind.False:
                writer.WriteBoolean(value.GetBoolean());
                break;
            default:
                writer.WriteNull();
                break;
        }
    }

    private static void WriteObject(DagCborWriter writer, JsonElement value)
    {
        JsonProperty[] properties = [.. value.EnumerateObject()];
        if (Array.Exists(properties, static p => p.Name == "/"))
        {
            if (properties.Length > 1) throw new DagJsonException("the key '/' stands beside others");
            JsonElement special = properties[0].Value;
            if (special.ValueKind == JsonValueKind.String && Cid.TryParse(special.GetString(), out Cid cid))
            {
                writer.WriteCid(cid);
                return;
            }

            if (special.ValueKind == JsonValueKind.Object && special.EnumerateObject().Count() == 1 && special.TryGetProperty("bytes", out JsonElement text)
                && text.ValueKind == JsonValueKind.String && Multibase.TryDecodeBare(MultibaseEncoding.Base64, text.GetString()!.TrimEnd('='), out byte[]? bytes))
            {
                writer.WriteBytes(bytes);
                return;
            }

            throw new DagJsonException("behind the key '/' stands neither a CID nor bytes");
        }

        (byte[] Key, JsonElement Value)[] entries = [.. properties.Select(static p => (Encoding.UTF8.GetBytes(p.Name), p.Value))];
        Array.Sort(entries, static (a, b) => a.Key.Length != b.Key.Length ? a.Key.Length.CompareTo(b.Key.Length) : a.Key.AsSpan().SequenceCompareTo(b.Key));
        writer.WriteMapStart(entries.Length);
        foreach ((byte[] key, JsonElement inner) in entries)
        {
            writer.WriteKey(key);
            Write(writer, inner);
        }
    }
}
