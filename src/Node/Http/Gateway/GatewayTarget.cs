// What a request asks for: a namespace, a root, the names behind it.
//
// It is read from the target as it was sent. The server's decoded path would not do: "%2F" stays in it as it is, and cannot be told from a name that
// has these three characters.

using System.Text;
using Leither.Ipfs.Multiformats;

namespace Leither.Node.Http.Gateway;

/// <summary>Where a request points to.</summary>
internal sealed class GatewayTarget
{
    /// <summary>The most names that a path may have.</summary>
    public const int MaxSegments = 1024;

    /// <summary>A label of the DNS has no more characters.</summary>
    public const int MaxLabel = 63;

    private static readonly UTF8Encoding _utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Whether the root is a name and no CID.</summary>
    public required bool IsIpns { get; init; }

    /// <summary>The CID or the name.</summary>
    public required string Root { get; init; }

    /// <summary>The names behind it, decoded, without "." and "..".</summary>
    public required IReadOnlyList<string> Segments { get; init; }

    /// <summary>Whether the path ends with '/'.</summary>
    public required bool HasTrailingSlash { get; init; }

    /// <summary>Whether the root stands in the host's name and the whole path is content's.</summary>
    public required bool IsSubdomain { get; init; }

    /// <summary>"/ipfs" or "/ipns".</summary>
    public string Namespace => IsIpns ? "/ipns" : "/ipfs";

    /// <summary>The content path, escaped as in an address: "/ipfs/CID/a%20b/".</summary>
    public string ContentPath => $"{Namespace}/{Root}{EscapedRest}";

    /// <summary>The path at this host: as <see cref="ContentPath"/>, without the root where the host's name has it.</summary>
    public string HostPath => IsSubdomain ? EscapedRest is "" ? "/" : EscapedRest : ContentPath;

    /// <summary>What stands behind the root, escaped.</summary>
    public string EscapedRest { get; private init; } = "";

    /// <summary>A CID as a label of a host's name, which has no capitals; null: no label is that long.</summary>
    public static string? LabelOf(in Cid cid)
    {
        Cid v1 = cid.ToV1();
        string label = v1.ToString();
        if (label.Length > MaxLabel) label = v1.ToString(MultibaseEncoding.Base36);
        return label.Length > MaxLabel ? null : label;
    }

    /// <summary>Whether a request's target is content of the path gateway.</summary>
    public static bool IsContent(ReadOnlySpan<char> path) => path.StartsWith("/ipfs/", StringComparison.Ordinal) || path.StartsWith("/ipns/", StringComparison.Ordinal);

    /// <summary>The path in a request's target: without a host in front and the query behind.</summary>
    public static string PathOf(string rawTarget)
    {
        ReadOnlySpan<char> path = rawTarget;
        if (!path.StartsWith('/') && path.IndexOf("://") is >= 0 and int scheme)
        {
            path = path[(scheme + 3)..];
            int slash = path.IndexOf('/');
            path = slash < 0 ? "/" : path[slash..];
        }

        int end = path.IndexOfAny('?', '#');
        return end < 0 ? path.Length == rawTarget.Length ? rawTarget : path.ToString() : path[..end].ToString();
    }

    /// <summary>Reads a path of the path gateway.</summary>
    /// <exception cref="GatewayException">It is none.</exception>
    public static GatewayTarget FromPath(string path)
    {
        bool isIpns = path.StartsWith("/ipns/", StringComparison.Ordinal);
        int slash = path.IndexOf('/', 6);
        string root = slash < 0 ? path[6..] : path[6..slash];
        return Create(isIpns, Unescape(root), slash < 0 ? "" : path[slash..], isSubdomain: false);
    }

    /// <summary>Reads a path where the host's name has the root.</summary>
    /// <exception cref="GatewayException">It is none.</exception>
    public static GatewayTarget FromSubdomain(bool isIpns, string root, string path) => Create(isIpns, root, path, isSubdomain: true);

    /// <summary>Writes a name as it stands in an address.</summary>
    public static void Escape(StringBuilder to, string name)
    {
        Span<byte> bytes = stackalloc byte[4];
        foreach (Rune rune in name.EnumerateRunes())
        {
            if (rune.IsAscii && (char.IsAsciiLetterOrDigit((char)rune.Value) || "-._~!$&'()*+,;=:@".Contains((char)rune.Value, StringComparison.Ordinal)))
            {
                to.Append((char)rune.Value);
                continue;
            }

            int length = rune.EncodeToUtf8(bytes);
            foreach (byte b in bytes[..length]) to.Append('%').Append(b.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
        }
    }

    private static GatewayTarget Create(bool isIpns, string root, string rest, bool isSubdomain)
    {
        if (rest is "" or "/")
        {
            return new GatewayTarget { IsIpns = isIpns, Root = root, Segments = [], HasTrailingSlash = rest.Length > 0, IsSubdomain = isSubdomain, EscapedRest = rest };
        }

        var segments = new List<string>();
        bool isPlain = true;
        foreach (Range part in rest.AsSpan().Split('/'))
        {
            if (rest.AsSpan(part).IsEmpty) continue;
            string name = Unescape(rest[part]);
            if (name == ".") continue;
            if (name == "..")
            {
                if (segments.Count == 0) throw new GatewayException(400, $"The path '{rest}' leads above its root");
                segments.RemoveAt(segments.Count - 1);
                continue;
            }

            if (segments.Count == MaxSegments) throw new GatewayException(400, $"The path has more than {MaxSegments} names");
            segments.Add(name);
            isPlain &= name.AsSpan().IndexOfAnyExcept(_plain) < 0;
        }

        // The path is written anew: two slashes at its beginning would be a host's name where it is a Location.
        bool hasTrailingSlash = rest.EndsWith('/') || rest.EndsWith("/.", StringComparison.Ordinal) || rest.EndsWith("/..", StringComparison.Ordinal);
        var escaped = new StringBuilder(rest.Length + 1);
        foreach (string name in segments)
        {
            escaped.Append('/');
            if (isPlain) escaped.Append(name);
            else Escape(escaped, name);
        }

        if (hasTrailingSlash) escaped.Append('/');
        return new GatewayTarget { IsIpns = isIpns, Root = root, Segments = segments, HasTrailingSlash = hasTrailingSlash, IsSubdomain = isSubdomain, EscapedRest = escaped.ToString() };
    }

    private static readonly System.Buffers.SearchValues<char> _plain =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~");

    private static string Unescape(string text)
    {
        if (!text.Contains('%', StringComparison.Ordinal)) return text;
        byte[] bytes = new byte[Encoding.UTF8.GetMaxByteCount(text.Length)];
        int length = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '%')
            {
                length += Encoding.UTF8.GetBytes(text.AsSpan(i, 1), bytes.AsSpan(length));
                continue;
            }

            if (i + 2 >= text.Length || !char.IsAsciiHexDigit(text[i + 1]) || !char.IsAsciiHexDigit(text[i + 2]))
            {
                throw new GatewayException(400, $"'{text}' has a '%' that no two hexadecimal digits follow");
            }

            bytes[length++] = Convert.FromHexString(text.AsSpan(i + 1, 2))[0];
            i += 2;
        }

        try
        {
            return _utf8.GetString(bytes, 0, length);
        }
        catch (DecoderFallbackException)
        {
            throw new GatewayException(400, $"'{text}' is not UTF-8");
        }
    }
}
