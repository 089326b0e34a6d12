// A directory as a page. One page shows a bounded number of entries, and reads no more than the blocks that these lie in, however many there are.

using System.Buffers;
using System.Globalization;
using System.Text;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http.Gateway;

/// <summary>Sends directories as pages.</summary>
internal static class DirectoryPage
{
    private const string FolderIcon = "<svg viewBox=\"0 0 24 24\" aria-label=\"directory\"><path d=\"M3 6.5h6l2 2.5h10v10H3z\"/></svg>";
    private const string FileIcon = "<svg viewBox=\"0 0 24 24\" aria-label=\"file\"><path d=\"M6 3h8l4 4.5V21H6zM14 3v4.5h4\"/></svg>";
    private const string LinkIcon = "<svg viewBox=\"0 0 24 24\" aria-label=\"symbolic link\"><path d=\"M6 18v-4a5 5 0 0 1 5-5h7M14 5l4.5 4L14 13\"/></svg>";

    /// <summary>A block larger than this is not read only to show what an entry is.</summary>
    private const int MaxPeekBytes = 256 * 1024;

    /// <summary>How many bytes are read for that on one page.</summary>
    private const int MaxPeekedBytes = 8 << 20;

    /// <summary>Answers a request for a directory.</summary>
    public static async Task SendAsync(GatewayCall call, UnixFsNode directory)
    {
        string? from = call.Query("from");
        HttpResponse response = call.Context.Response;
        response.Headers.ContentSecurityPolicy = Page.Policy;
        if (call.SetHeaders($"\"DirIndex-{Page.Version}{(from is null ? "" : "-" + Cid.Of(Multicodec.Raw, Encoding.UTF8.GetBytes(from)))}_CID-{call.Cid}\"", isPage: true)) return;

        IReadOnlyList<UnixFsLink> entries;
        string? next = null;
        try
        {
            entries = await call.Blocks.ReadAsync(directory, (source, directory) => UnixFsDirectory.ListPart(source, directory, from, call.Options.EntriesPerPage, out next));
        }
        catch (FormatException e)
        {
            throw new GatewayException(400, e.Message);
        }

        response.ContentType = "text/html; charset=utf-8";
        if (call.IsHead) return;
        await response.StartAsync(call.Context.RequestAborted);
        var html = new StringBuilder();
        AppendHead(html, call, directory, from is not null);
        using var peeked = new PooledBlock();
        int peekedBytes = 0;
        foreach (UnixFsLink entry in entries)
        {
            AppendEntry(html, call, entry, Peek(call.Blocks.Local, entry, peeked, ref peekedBytes));
            if (html.Length > 32 * 1024) await FlushAsync(call, html);
        }

        html.Append("</ul>\n");
        if (from is not null || next is not null)
        {
            html.Append("<nav>");
            if (from is not null) html.Append("<a href=\"?\">First page</a>");
            if (next is not null) html.Append($"<a rel=\"next\" href=\"?from={next}\">More entries</a>");
            html.Append("</nav>\n");
        }

        Page.End(html);
        await FlushAsync(call, html);
    }

    private static void AppendHead(StringBuilder html, GatewayCall call, UnixFsNode directory, bool isLater)
    {
        GatewayTarget target = call.Target;
        Page.Begin(html, "Index of " + Uri.UnescapeDataString(target.ContentPath));
        html.Append("<h1>Index of ");
        Page.AppendPath(html, target, ParentHost(call));
        html.Append($"</h1>\n<p>{call.Cid}</p>\n<p>");
        if (directory.Type == UnixFsType.Directory)
        {
            int count = directory.Links.Count;
            html.Append(CultureInfo.InvariantCulture, $"{count:N0} {(count == 1 ? "entry" : "entries")} · ");
        }

        html.Append($"{Page.Size(directory.TotalSize)} in all</p>\n<nav><a href=\"?format=tar&amp;download=true\">Download as TAR</a><a href=\"?format=car\">Download as CAR</a></nav>\n<ul>\n");
        if (target.Segments.Count > 0 && !isLater)
        {
            html.Append($"<li>{FolderIcon}<span class=\"name\"><a href=\"{Page.Encode(target.HostPath)}..\">..</a></span></li>\n");
        }
    }

    private static void AppendEntry(StringBuilder html, GatewayCall call, UnixFsLink entry, (string Icon, ulong? Size) seen)
    {
        var link = new StringBuilder(call.Target.HostPath);
        GatewayTarget.Escape(link, entry.Name);
        string cid = entry.Cid.ToString();
        html.Append($"<li>{seen.Icon}<span class=\"name\"><a href=\"{Page.Encode(link.ToString())}\">{Page.Encode(entry.Name)}</a></span>");
        string host = call.Target.IsSubdomain ? "//" + Page.Encode(ParentHost(call)) : "";
        html.Append($"<a class=\"ipfs-hash\" translate=\"no\" href=\"{host}/ipfs/{cid}?filename={Page.Encode(Uri.EscapeDataString(entry.Name))}\" title=\"{cid}\">");
        html.Append(cid.Length <= 14 ? cid : $"{cid[..4]}…{cid[^8..]}").Append("</a>");
        html.Append($"<span class=\"size\">{((seen.Size ?? entry.Tsize) is { } size ? Page.Size(size) : "")}</span></li>\n");
    }

    /// <summary>What an entry is and how long, where that costs little: its block is here and small. Otherwise what its directory says must do.</summary>
    private static (string Icon, ulong? Size) Peek(IBlockSource local, UnixFsLink entry, PooledBlock buffer, ref int peekedBytes)
    {
        if (entry.Cid.Codec != Multicodec.DagPb || !local.TryGetLength(entry.Cid, out int length) || length > MaxPeekBytes || peekedBytes > MaxPeekedBytes)
        {
            return (FileIcon, null);
        }

        buffer.Clear();
        try
        {
            if (!local.TryGet(entry.Cid, buffer)) return (FileIcon, null);
            peekedBytes += length;
            UnixFsNode node = UnixFsNode.Decode(entry.Cid, buffer.Memory);
            return node.IsDirectory ? (FolderIcon, null) : node.Type == UnixFsType.Symlink ? (LinkIcon, null) : (FileIcon, node.FileSize);
        }
        catch (Exception e) when (e is MalformedBlockException or BlockCorruptedException)
        {
            // Whoever asks for it is told.
            return (FileIcon, null);
        }
    }

    /// <summary>The node's own address, where the host's name has the root in front of it.</summary>
    private static string ParentHost(GatewayCall call)
    {
        string host = call.Context.Request.Host.Value ?? "";
        int dot = host.IndexOf(".ip", StringComparison.OrdinalIgnoreCase);
        return dot < 0 ? host : host[(dot + ".ipfs.".Length)..];
    }

    private static async ValueTask FlushAsync(GatewayCall call, StringBuilder html)
    {
        foreach (ReadOnlyMemory<char> chunk in html.GetChunks()) Encoding.UTF8.GetBytes(chunk.Span, call.Context.Response.BodyWriter);
        html.Clear();
        await call.Context.Response.BodyWriter.FlushAsync(call.Context.RequestAborted);
    }
}
