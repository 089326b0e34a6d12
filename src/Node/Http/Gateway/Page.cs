// How the gateway's own pages look: one column, light or dark as the reader's system is, as good on a phone. No script, nothing from elsewhere.

using System.Globalization;
using System.Text;

namespace Leither.Node.Http.Gateway;

/// <summary>What the pages share.</summary>
internal static class Page
{
    /// <summary>Part of the pages' tags: counts up when they change.</summary>
    public const string Version = "1";

    /// <summary>They run nothing, load nothing and stand in no frame.</summary>
    public const string Policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private const string Style = """
        :root{color-scheme:light dark;--text:#1b1f24;--soft:#656d76;--line:#e4e7eb;--back:#fff;--hover:#f5f7f9;--link:#0a58ca}
        @media(prefers-color-scheme:dark){:root{--text:#e6e9ec;--soft:#8f98a3;--line:#2a3038;--back:#14171a;--hover:#1c2126;--link:#7ab4ff}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:60rem;padding:2rem 1rem 3rem;font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--text);background:var(--back)}
        a{color:var(--link);text-decoration:none}a:hover,a:focus-visible{text-decoration:underline}
        h1{font-size:1.05rem;font-weight:600;line-height:1.6;margin:0 0 .4rem;overflow-wrap:anywhere}
        p,footer{color:var(--soft);font-size:.875rem;margin:.2rem 0}
        nav{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;font-size:.875rem;margin:.8rem 0 1.4rem}
        ul{list-style:none;margin:0;padding:0;border:1px solid var(--line);border-radius:.6rem;overflow:hidden}
        li{display:grid;grid-template-columns:1.6rem minmax(0,1fr) 9rem 6.5rem;gap:0 .6rem;align-items:center;padding:.45rem .9rem}
        li+li{border-top:1px solid var(--line)}li:hover{background:var(--hover)}
        svg{width:1.2rem;height:1.2rem;fill:none;stroke:var(--soft);stroke-width:1.6;stroke-linejoin:round;display:block}
        .name{overflow-wrap:anywhere}.ipfs-hash{color:var(--soft);font:.8rem ui-monospace,Menlo,Consolas,monospace;white-space:nowrap}
        .size{text-align:right;color:var(--soft);font-size:.875rem;font-variant-numeric:tabular-nums;white-space:nowrap}
        pre{border:1px solid var(--line);border-radius:.6rem;padding:1rem;overflow:auto;font:.85rem/1.55 ui-monospace,Menlo,Consolas,monospace}
        footer{margin-top:1.4rem}
        @media(max-width:40rem){body{padding:1.2rem .7rem 2rem}li{grid-template-columns:1.6rem minmax(0,1fr) auto;padding:.55rem .7rem}.ipfs-hash{display:none}}
        """;

    /// <summary>Everything before a page's own content.</summary>
    public static void Begin(StringBuilder html, string title) => html.Append($"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>{Encode(title)}</title>
        <style>
        {Style}
        </style>
        </head>
        <body>

        """);

    /// <summary>Everything behind it.</summary>
    public static void End(StringBuilder html) => html.Append("<footer>Leither</footer>\n</body>\n</html>\n");

    /// <summary>The path, each name of it a link. Where the host's name has the root, links lead through the node's own address.</summary>
    public static void AppendPath(StringBuilder html, GatewayTarget target, string parentHost)
    {
        var link = new StringBuilder();
        if (target.IsSubdomain) link.Append("//").Append(parentHost);
        link.Append(target.Namespace).Append('/').Append(target.Root);
        html.Append($"{target.Namespace}/<a href=\"{Encode(link.ToString())}\">{Encode(target.Root)}</a>");
        foreach (string name in target.Segments)
        {
            link.Append('/');
            GatewayTarget.Escape(link, name);
            html.Append($"/<a href=\"{Encode(link.ToString())}\">{Encode(name)}</a>");
        }
    }

    /// <summary>A text between tags or quotes.</summary>
    public static string Encode(string text)
    {
        // Letters of all alphabets stand for themselves: pages are UTF-8.
        if (text.AsSpan().IndexOfAny("<>&\"'") < 0) return text;
        var encoded = new StringBuilder(text.Length + 16);
        foreach (char c in text)
        {
            _ = c switch
            {
                '<' => encoded.Append("&lt;"),
                '>' => encoded.Append("&gt;"),
                '&' => encoded.Append("&amp;"),
                '"' => encoded.Append("&quot;"),
                '\'' => encoded.Append("&#39;"),
                _ => encoded.Append(c),
            };
        }

        return encoded.ToString();
    }

    /// <summary>A size as people say it.</summary>
    public static string Size(ulong bytes) => bytes switch
    {
        < 1000 => bytes.ToString(CultureInfo.InvariantCulture) + " B",
        < 1_000_000 => Scaled(bytes, 1e3, "kB"),
        < 1_000_000_000 => Scaled(bytes, 1e6, "MB"),
        < 1_000_000_000_000 => Scaled(bytes, 1e9, "GB"),
        _ => Scaled(bytes, 1e12, "TB"),
    };

    private static string Scaled(ulong bytes, double unit, string name) => (bytes / unit).ToString(bytes / unit < 100 ? "0.0 " : "0 ", CultureInfo.InvariantCulture) + name;
}
