// The type of a file: by the name that it has in the path or in "filename", else by its first bytes.

using System.Buffers;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.AspNetCore.StaticFiles;

namespace Leither.Node.Http.Gateway;

/// <summary>Says what type files have.</summary>
internal static class MediaTypes
{
    /// <summary>How many of a file's first bytes are looked at.</summary>
    public const int SniffBytes = 4096;

    public const string Unknown = "application/octet-stream", Json = "application/json";

    private static readonly SearchValues<byte> _controls = SearchValues.Create(
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31]);

    /// <summary>Types by extension; text comes twice, with and without its encoding.</summary>
    private static readonly Dictionary<string, (string Plain, string Utf8)>.AlternateLookup<ReadOnlySpan<char>> _byExtension = LoadExtensions();

    /// <summary>Whether the type of a file with this name is known whatever its bytes are.</summary>
    public static bool IsCertain(string? name, out string type)
    {
        if (TryFind(name, out (string Plain, string Utf8) found) && found.Plain == found.Utf8)
        {
            type = found.Plain;
            return true;
        }

        type = Unknown;
        return false;
    }

    /// <summary>The type of a file with this name, or without one, that begins so.</summary>
    public static string Of(string? name, ReadOnlySpan<byte> first)
    {
        first = first[..Math.Min(first.Length, SniffBytes)];
        if (TryFind(name, out (string Plain, string Utf8) found)) return found.Plain != found.Utf8 && IsUtf8(first) ? found.Utf8 : found.Plain;
        return Sniff(first);
    }

    /// <summary>Whether bytes are JSON, as far as the first of a file show.</summary>
    public static bool IsJson(ReadOnlySpan<byte> first)
    {
        first = first[..Math.Min(first.Length, SniffBytes)];
        var reader = new Utf8JsonReader(first, isFinalBlock: first.Length < SniffBytes, default);
        try
        {
            bool any = false;
            while (reader.Read()) any = true;
            return any;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static string Sniff(ReadOnlySpan<byte> first)
    {
        if (first.IsEmpty) return "text/plain; charset=utf-8";
        if (SniffMagic(first) is { } type) return type;
        if (first.IndexOfAny(_controls) >= 0 || !IsUtf8(first)) return Unknown;
        ReadOnlySpan<byte> text = first.StartsWith("\uFEFF"u8) ? first[3..] : first;
        text = text.TrimStart(" \t\r\n\f"u8);
        if (StartsAs(text, "<!doctype html"u8) || StartsAs(text, "<html"u8)) return "text/html; charset=utf-8";
        if (StartsAs(text, "<svg"u8)) return "image/svg+xml";
        if (StartsAs(text, "<?xml"u8)) return text.IndexOf("<svg"u8) >= 0 ? "image/svg+xml" : "text/xml; charset=utf-8";
        return text.Length > 0 && text[0] is (byte)'{' or (byte)'[' && IsJson(first) ? Json : "text/plain; charset=utf-8";
    }

    private static string? SniffMagic(ReadOnlySpan<byte> first)
    {
        if (first[0] == 0x89 && first[1..].StartsWith("PNG\r\n\x1a\n"u8)) return "image/png";
        if (first.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8, 0xFF])) return "image/jpeg";
        if (first.StartsWith("GIF87a"u8) || first.StartsWith("GIF89a"u8)) return "image/gif";
        if (first.StartsWith("RIFF"u8) && first.Length >= 12)
        {
            if (first[8..].StartsWith("WEBP"u8)) return "image/webp";
            if (first[8..].StartsWith("WAVE"u8)) return "audio/wav";
            if (first[8..].StartsWith("AVI "u8)) return "video/x-msvideo";
        }

        if (first.Length >= 12 && first[4..].StartsWith("ftyp"u8)) return first[8..].StartsWith("avif"u8) ? "image/avif" : first[8..].StartsWith("M4A"u8) ? "audio/mp4" : "video/mp4";
        if (first.StartsWith("%PDF-"u8)) return "application/pdf";
        if (first.StartsWith((ReadOnlySpan<byte>)[0x1A, 0x45, 0xDF, 0xA3])) return "video/webm";
        if (first.StartsWith("OggS"u8)) return "application/ogg";
        if (first.StartsWith("ID3"u8) || (first.Length > 1 && first[0] == 0xFF && (first[1] & 0xE6) == 0xE2)) return "audio/mpeg";
        if (first.StartsWith("fLaC"u8)) return "audio/flac";
        if (first.StartsWith("PK\x03\x04"u8)) return "application/zip";
        if (first.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B])) return "application/gzip";
        if (first.StartsWith((ReadOnlySpan<byte>)[0x00, (byte)'a', (byte)'s', (byte)'m'])) return "application/wasm";
        return first.StartsWith("wOF2"u8) ? "font/woff2" : null;
    }

    private static bool StartsAs(ReadOnlySpan<byte> text, ReadOnlySpan<byte> lower)
    {
        if (text.Length < lower.Length) return false;
        for (int i = 0; i < lower.Length; i++)
        {
            byte b = text[i] is >= (byte)'A' and <= (byte)'Z' ? (byte)(text[i] | 0x20) : text[i];
            if (b != lower[i]) return false;
        }

        return true;
    }

    /// <summary>Whether bytes are UTF-8; the last character may be cut.</summary>
    private static bool IsUtf8(ReadOnlySpan<byte> bytes)
    {
        for (int cut = 0; cut < 4 && cut <= bytes.Length; cut++)
        {
            if (cut > 0 && bytes[^cut] < 0x80) return false;
            if (Utf8.IsValid(bytes[..^cut])) return true;
        }

        return false;
    }

    private static bool TryFind(string? name, out (string Plain, string Utf8) found)
    {
        found = default;
        int dot = name?.LastIndexOf('.') ?? -1;
        return dot >= 0 && name!.Length - dot <= 16 && _byExtension.TryGetValue(name.AsSpan(dot), out found);
    }

    private static Dictionary<string, (string Plain, string Utf8)>.AlternateLookup<ReadOnlySpan<char>> LoadExtensions()
    {
        var types = new Dictionary<string, (string Plain, string Utf8)>(StringComparer.OrdinalIgnoreCase);
        foreach ((string extension, string type) in new FileExtensionContentTypeProvider().Mappings) Add(extension, type);
        foreach ((string extension, string type) in (ReadOnlySpan<(string, string)>)
        [
            (".md", "text/markdown"), (".mjs", "text/javascript"), (".js", "text/javascript"), (".yaml", "text/yaml"), (".yml", "text/yaml"), (".toml", "text/plain"),
            (".log", "text/plain"), (".json", Json), (".map", Json), (".jsonld", "application/ld+json"), (".car", "application/vnd.ipld.car"), (".avif", "image/avif"),
            (".flac", "audio/flac"), (".ts", "text/plain"), (".rs", "text/plain"), (".go", "text/plain"), (".cs", "text/plain"), (".py", "text/plain"),
        ])
        {
            Add(extension, type);
        }

        return types.GetAlternateLookup<ReadOnlySpan<char>>();

        void Add(string extension, string type) => types[extension] = (type, type.StartsWith("text/", StringComparison.Ordinal) ? type + "; charset=utf-8" : type);
    }
}
