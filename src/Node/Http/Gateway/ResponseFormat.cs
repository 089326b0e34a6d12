// What a client wants to get: from the parameter "format", or else from the header Accept.

using System.Globalization;
using Microsoft.Extensions.Primitives;

namespace Leither.Node.Http.Gateway;

/// <summary>The forms that content can have in a response.</summary>
internal enum ResponseFormat
{
    /// <summary>Whatever the content is: a file's bytes, a directory's page.</summary>
    Default,
    Raw,
    Car,
    Tar,
    DagJson,
    DagCbor,
    Json,
    Cbor,
    IpnsRecord,
}

/// <summary>What a request says about the form of its response.</summary>
/// <param name="Format">The form.</param>
/// <param name="WantsHtml">Whether a page for people is preferred.</param>
/// <param name="Parameters">What else Accept says of the form, such as "order=dfs;dups=y".</param>
internal readonly record struct AcceptedFormat(ResponseFormat Format, bool WantsHtml, string Parameters)
{
    private const int MaxAcceptLength = 4096;

    /// <summary>Reads the parameter "format".</summary>
    public static bool TryParse(string text, out ResponseFormat format)
    {
        format = text switch
        {
            "raw" => ResponseFormat.Raw,
            "car" => ResponseFormat.Car,
            "tar" => ResponseFormat.Tar,
            "dag-json" => ResponseFormat.DagJson,
            "dag-cbor" => ResponseFormat.DagCbor,
            "json" => ResponseFormat.Json,
            "cbor" => ResponseFormat.Cbor,
            "ipns-record" => ResponseFormat.IpnsRecord,
            _ => ResponseFormat.Default,
        };
        return format != ResponseFormat.Default;
    }

    /// <summary>The value of the parameter "format" for a form.</summary>
    public static string NameOf(ResponseFormat format) => format switch
    {
        ResponseFormat.Raw => "raw",
        ResponseFormat.Car => "car",
        ResponseFormat.Tar => "tar",
        ResponseFormat.DagJson => "dag-json",
        ResponseFormat.DagCbor => "dag-cbor",
        ResponseFormat.Json => "json",
        ResponseFormat.Cbor => "cbor",
        ResponseFormat.IpnsRecord => "ipns-record",
        _ => "",
    };

    /// <summary>
    /// What Accept prefers: of the types that are known the one with the highest weight, of equal ones the first. What is not known counts for nothing, so
    /// a client that asks for a picture gets the file. With <paramref name="only"/> the parameters of that form alone are looked for.
    /// </summary>
    public static AcceptedFormat FromAccept(StringValues accept, ResponseFormat only = ResponseFormat.Default)
    {
        var best = new AcceptedFormat(only, false, "");
        if (accept.Count == 0) return best;
        string text = accept.Count == 1 ? accept[0] ?? "" : string.Join(',', accept.ToArray());
        if (text is "*/*" || text.Length > MaxAcceptLength) return best;
        double weight = 0;
        foreach (Range part in text.AsSpan().Split(','))
        {
            ReadOnlySpan<char> range = text.AsSpan(part).Trim();
            int semicolon = range.IndexOf(';');
            ReadOnlySpan<char> type = (semicolon < 0 ? range : range[..semicolon]).TrimEnd();
            if (!TryRead(type, out ResponseFormat format, out bool isHtml) || (only != ResponseFormat.Default && format != only)) continue;
            double q = semicolon < 0 ? 1 : WeightOf(range[(semicolon + 1)..]);
            if (q <= weight) continue;
            weight = q;
            best = new AcceptedFormat(format, isHtml, semicolon < 0 ? "" : range[(semicolon + 1)..].ToString());
        }

        return best;
    }

    /// <summary>A parameter of those behind a type; null if it is not there.</summary>
    public static string? Parameter(string parameters, string name)
    {
        foreach (Range part in parameters.AsSpan().Split(';'))
        {
            ReadOnlySpan<char> parameter = parameters.AsSpan(part).Trim();
            int equals = parameter.IndexOf('=');
            if (equals > 0 && parameter[..equals].TrimEnd().Equals(name, StringComparison.OrdinalIgnoreCase)) return parameter[(equals + 1)..].Trim().Trim('"').ToString();
        }

        return null;
    }

    private static bool TryRead(ReadOnlySpan<char> type, out ResponseFormat format, out bool isHtml)
    {
        Span<char> lower = stackalloc char[64];
        format = ResponseFormat.Default;
        isHtml = false;
        if (type.Length > lower.Length) return false;
        lower = lower[..type.ToLowerInvariant(lower)];
        isHtml = lower is "text/html";
        format = lower switch
        {
            "application/vnd.ipld.raw" => ResponseFormat.Raw,
            "application/vnd.ipld.car" => ResponseFormat.Car,
            "application/x-tar" => ResponseFormat.Tar,
            "application/vnd.ipld.dag-json" => ResponseFormat.DagJson,
            "application/vnd.ipld.dag-cbor" => ResponseFormat.DagCbor,
            "application/json" => ResponseFormat.Json,
            "application/cbor" => ResponseFormat.Cbor,
            "application/vnd.ipfs.ipns-record" => ResponseFormat.IpnsRecord,
            _ => ResponseFormat.Default,
        };
        return isHtml || format != ResponseFormat.Default || lower is "*/*";
    }

    private static double WeightOf(ReadOnlySpan<char> parameters)
    {
        foreach (Range part in parameters.Split(';'))
        {
            ReadOnlySpan<char> parameter = parameters[part].Trim();
            if (parameter.Length > 2 && parameter[0] is 'q' or 'Q' && parameter[1] == '=')
            {
                return double.TryParse(parameter[2..], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double weight) ? Math.Clamp(weight, 0, 1) : 0;
            }
        }

        return 1;
    }
}
