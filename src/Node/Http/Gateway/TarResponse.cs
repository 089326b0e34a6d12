// A file or a directory as TAR, written while it is read. https://specs.ipfs.tech/ipips/ipip-0288/

using System.Formats.Tar;
using Leither.Ipfs.UnixFs;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http.Gateway;

/// <summary>Sends TARs.</summary>
internal static class TarResponse
{
    /// <summary>How deep directories may lie in each other.</summary>
    private const int MaxDepth = 256;

    private const UnixFileMode FileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    private const UnixFileMode DirectoryMode = FileMode | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>Answers a request for a TAR.</summary>
    public static async Task SendAsync(GatewayCall call, UnixFsNode root)
    {
        string name = call.Target.Segments.Count > 0 ? call.Target.Segments[^1] : call.Target.Root;
        if (name.Contains('/', StringComparison.Ordinal)) throw new GatewayException(400, $"'{name}' can be no name in a TAR");
        if (root.IsDirectory)
        {
            // What shows at once shall be told by a status, not by an end in the middle.
            foreach (UnixFsLink entry in await ListAsync(call, root, null)) Join(name, name, entry.Name);
        }

        if (call.SetHeaders($"W/\"{call.Cid}.x-tar\"")) return;
        HttpResponse response = call.Context.Response;
        response.Headers.AcceptRanges = "none";
        call.SetContentLocation();
        call.SetDisposition($"{name}.tar", isAttachment: true);
        response.ContentType = "application/x-tar";
        if (call.IsHead) return;

        await response.StartAsync(call.Context.RequestAborted);
        await using var tar = new TarWriter(response.Body, TarEntryFormat.Pax, leaveOpen: true);
        var open = new Stack<(string Path, UnixFsNode Directory, IEnumerator<UnixFsLink> Entries, string? Next)>();
        await WriteAsync(call, tar, name, root);
        if (root.IsDirectory) await OpenAsync(name, root, null);
        while (open.TryPop(out var top))
        {
            if (!top.Entries.MoveNext())
            {
                if (top.Next is not null) await OpenAsync(top.Path, top.Directory, top.Next);
                continue;
            }

            open.Push(top);
            UnixFsLink entry = top.Entries.Current;
            string path = Join(name, top.Path, entry.Name);
            UnixFsNode node = await call.Blocks.ReadAsync(entry.Cid, static (source, cid) => UnixFsNode.Load(source, cid));
            await WriteAsync(call, tar, path, node);
            if (!node.IsDirectory) continue;
            if (open.Count >= MaxDepth) throw new GatewayException(400, $"Directories lie more than {MaxDepth} deep in each other");
            await OpenAsync(path, node, null);
        }

        async ValueTask OpenAsync(string path, UnixFsNode directory, string? from)
        {
            string? next = null;
            IReadOnlyList<UnixFsLink> part = await call.Blocks.ReadAsync(directory, (source, directory) => UnixFsDirectory.ListPart(source, directory, from, call.Options.EntriesPerPage, out next));
            open.Push((path, directory, part.GetEnumerator(), next));
        }
    }

    private static ValueTask<IReadOnlyList<UnixFsLink>> ListAsync(GatewayCall call, UnixFsNode directory, string? from) =>
        call.Blocks.ReadAsync(directory, (source, directory) => UnixFsDirectory.ListPart(source, directory, from, call.Options.EntriesPerPage, out _));

    /// <summary>An entry's path. Names may be paths themselves, as long as they stay inside of the root.</summary>
    private static string Join(string root, string directory, string name)
    {
        List<string> parts = [.. directory.Split('/')];
        foreach (string part in name.Split('/'))
        {
            if (part is "" or ".") continue;
            if (part == "..") parts.RemoveAt(parts.Count - 1);
            else parts.Add(part);
            if (parts.Count == 0 || parts[0] != root) throw new GatewayException(400, $"The entry '{name}' leads out of the directory; no TAR is made of it");
        }

        return parts.Count > 1 && !name.Contains('\0', StringComparison.Ordinal) ? string.Join('/', parts) : throw new GatewayException(400, $"'{name}' can be no name in a TAR");
    }

    private static async ValueTask WriteAsync(GatewayCall call, TarWriter tar, string path, UnixFsNode node)
    {
        TarEntryType kind = node.IsFile ? TarEntryType.RegularFile
            : node.IsDirectory ? TarEntryType.Directory
            : node.Type == UnixFsType.Symlink ? TarEntryType.SymbolicLink
            : throw new GatewayException(400, $"'{path}' is neither file nor directory, but a {node.Type}");
        var entry = new PaxTarEntry(kind, path)
        {
            ModificationTime = node.Data.Mtime is { } time ? new DateTimeOffset(time.ToDateTime(), TimeSpan.Zero) : DateTimeOffset.UnixEpoch,
            Mode = node.Data.Mode is { } mode ? (UnixFileMode)(mode & 0x1FF) : node.IsDirectory ? DirectoryMode : FileMode,
        };
        if (kind == TarEntryType.SymbolicLink) entry.LinkName = node.Target;
        await using FetchingStream? content = node.IsFile && node.FileSize > 0 ? new FetchingStream(call, new UnixFsStream(call.Blocks.Local, node)) : null;
        if (content is not null) entry.DataStream = content;
        await tar.WriteEntryAsync(entry, call.Context.RequestAborted);
    }

    /// <summary>A file whose blocks are fetched where they are not here.</summary>
    private sealed class FetchingStream(GatewayCall call, UnixFsStream file) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => true;

        public override bool CanWrite => false;

        public override long Length => file.Length;

        public override long Position { get => file.Position; set => file.Position = value; }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (buffer.IsEmpty) return 0;
            await call.Blocks.PrepareAsync(file);
            ReadOnlyMemory<byte> block = await call.Blocks.ReadAsync((file, buffer.Length), static (_, wanted) => wanted.file.ReadBlock(wanted.Length));
            block.CopyTo(buffer);
            return block.Length;
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("It is read asynchronously.");

        public override long Seek(long offset, SeekOrigin origin) => file.Seek(offset, origin);

        public override void Flush() => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing) file.Dispose();
            base.Dispose(disposing);
        }
    }
}
