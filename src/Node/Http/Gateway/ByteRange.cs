// Which bytes a client wants: the header Range (RFC 9110, section 14), and "entity-bytes" of CAR requests.

using System.Globalization;

namespace Leither.Node.Http.Gateway;

/// <summary>Bytes of something, the last included.</summary>
internal readonly record struct ByteRange(long First, long Last)
{
    public long Length => Last - First + 1;

    /// <summary>
    /// Reads a Range header for content of a length. Null where it says nothing that counts (malformed, another unit, too many), so that all is sent; empty
    /// where no byte that it wants is there.
    /// </summary>
    public static List<ByteRange>? Parse(string header, long length, int maxRanges)
    {
        ReadOnlySpan<char> text = header.AsSpan().Trim();
        int equals = text.IndexOf('=');
        if (equals < 0 || !text[..equals].TrimEnd().Equals("bytes", StringComparison.OrdinalIgnoreCase)) return null;
        text = text[(equals + 1)..];
        var ranges = new List<ByteRange>(1);
        int seen = 0;
        long total = 0;
        foreach (Range part in text.Split(','))
        {
            ReadOnlySpan<char> spec = text[part].Trim();
            if (spec.IsEmpty) continue;
            if (++seen > maxRanges) return null;
            int dash = spec.IndexOf('-');
            if (dash < 0) return null;
            ReadOnlySpan<char> from = spec[..dash].TrimEnd(), to = spec[(dash + 1)..].TrimStart();
            long first, last;
            if (from.IsEmpty)
            {
                if (!TryRead(to, out long suffix)) return null;
                if (suffix == 0 || length == 0) continue;
                first = Math.Max(0, length - suffix);
                last = length - 1;
            }
            else
            {
                last = long.MaxValue;
                if (!TryRead(from, out first) || (!to.IsEmpty && !TryRead(to, out last)) || last < first) return null;
                if (first >= length) continue;
                last = Math.Min(last, length - 1);
            }

            ranges.Add(new ByteRange(first, last));
            total += last - first + 1;
        }

        // Ranges that overlap so much are a way to have more sent than there is.
        return seen == 0 || (ranges.Count > 1 && total > length) ? null : ranges;
    }

    /// <summary>Reads "from:to" of an entity of a length: either may count from the end, to may be '*'. False if it is malformed.</summary>
    /// <param name="text">The text.</param>
    /// <param name="length">How many bytes the entity has.</param>
    /// <param name="range">The part of it that is there; null: nothing of it is.</param>
    public static bool TryParseEntityBytes(string text, long length, out ByteRange? range)
    {
        range = null;
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0 || !TryReadSigned(text.AsSpan(0, colon), out long first)) return false;
        long last = long.MaxValue;
        ReadOnlySpan<char> to = text.AsSpan(colon + 1);
        if (to is not "*" && !TryReadSigned(to, out last)) return false;
        if (first >= 0 && last >= 0 && first > last) return false;
        if (first < 0) first = Math.Max(0, length + first);
        if (last < 0) last = length + last;
        last = Math.Min(last, length - 1);
        if (first <= last) range = new ByteRange(first, last);
        return true;
    }

    private static bool TryRead(ReadOnlySpan<char> text, out long number) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static bool TryReadSigned(ReadOnlySpan<char> text, out long number) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number) && text[0] != '+' && number != long.MinValue;
}
