// Content onto a disk. Names come from whoever made the blocks, so nothing may lead out of the folder that was asked for: each name is checked, a
// folder is one that was made here (or was a real one before), a file is made anew and never opened through a link that stands there. Links are
// made last, when nothing is written any more, and never followed.

using System.Buffers;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

/// <summary>How content is written to disk, and who is told.</summary>
public sealed class UnixFsExportOptions
{
    /// <summary>The most folders that may lie in each other.</summary>
    public int MaxDepth { get; init; } = 256;

    /// <summary>Is told how many bytes were written now.</summary>
    public Action<int>? BytesWritten { get; init; }

    /// <summary>Is told each file, link and folder by its path.</summary>
    public Action<string, UnixFsNode>? Written { get; init; }

    /// <summary>Ends the work.</summary>
    public CancellationToken Cancellation { get; init; }
}

/// <summary>Writes files and folders to disk.</summary>
public sealed class UnixFsExporter(IBlockSource source, UnixFsExportOptions? options = null)
{
    private const int ReadAheadBytes = 4 << 20, MaxReadAhead = 256;

    private static readonly SearchValues<char> _unsafeOnWindows = SearchValues.Create("\\:*?\"<>|");

    private readonly UnixFsExportOptions _options = options ?? new UnixFsExportOptions();
    private readonly List<(string Path, string Target)> _links = [];

    /// <summary>Writes what a CID leads to as <paramref name="path"/>, which must not be there yet.</summary>
    /// <exception cref="BlockMissingException">A block is not there. What was written by then stays.</exception>
    /// <exception cref="MalformedBlockException">A block is not what it should be, or a name leads elsewhere.</exception>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(in Cid cid, string path)
    {
        path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        if (Path.Exists(path) || new FileInfo(path).LinkTarget is not null) throw new IOException($"'{path}' is there already");
        Write(UnixFsNode.Load(source, cid), path, 0);
        foreach ((string link, string target) in _links) File.CreateSymbolicLink(link, target);
        _links.Clear();
    }

    private void Write(UnixFsNode node, string path, int depth)
    {
        _options.Cancellation.ThrowIfCancellationRequested();
        if (node.IsFile)
        {
            WriteFile(node, path);
        }
        else if (node.Type == UnixFsType.Symlink)
        {
            string target = node.Target;
            if (target.Length == 0 || target.Contains('\0', StringComparison.Ordinal)) throw new UnixFsException(node.Cid, "a symbolic link leads to no path");
            _links.Add((path, target));
        }
        else if (node.IsDirectory)
        {
            if (depth == _options.MaxDepth) throw new UnixFsException(node.Cid, $"folders lie more than {_options.MaxDepth} deep in each other");
            Directory.CreateDirectory(path);
            var names = new HashSet<string>(OperatingSystem.IsLinux() ? StringComparer.Ordinal : StringComparer.OrdinalIgnoreCase);
            UnixFsLink[] entries = [.. UnixFsDirectory.List(source, node)];
            for (int i = 0; i < entries.Length; i++)
            {
                UnixFsLink entry = entries[i];
                TellAhead(entries, i);
                if (!UnixFsDirectory.IsSafeName(entry.Name) || (OperatingSystem.IsWindows() && entry.Name.AsSpan().IndexOfAny(_unsafeOnWindows) >= 0))
                {
                    throw new UnixFsException(node.Cid, $"'{entry.Name}' can be no file's name here");
                }

                if (!names.Add(entry.Name)) throw new UnixFsException(node.Cid, $"the file system here cannot tell '{entry.Name}' from another name in the folder");
                Write(UnixFsNode.Load(source, entry.Cid), Path.Join(path, entry.Name), depth + 1);
            }

            Dress(node, path, isFolder: true);
        }
        else
        {
            throw new UnixFsException(node.Cid, $"a {node.Type} is neither file nor folder");
        }

        _options.Written?.Invoke(path, node);
    }

    private void TellAhead(UnixFsLink[] entries, int from)
    {
        if (source is not IReadAhead ahead) return;
        Span<Cid> cids = new Cid[Math.Min(entries.Length - from, MaxReadAhead)];
        ulong bytes = 0;
        int count = 0;
        for (; count < cids.Length; count++)
        {
            bytes = unchecked(bytes + Math.Min(entries[from + count].Tsize ?? ReadAheadBytes, ReadAheadBytes));
            if (count > 0 && bytes > ReadAheadBytes) break;
            cids[count] = entries[from + count].Cid;
        }

        ahead.WillRead(cids[..count]);
    }

    private void WriteFile(UnixFsNode node, string path)
    {
        using (var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 0))
        using (var content = new UnixFsStream(source, node))
        {
            while (content.ReadBlock() is { IsEmpty: false } block)
            {
                _options.Cancellation.ThrowIfCancellationRequested();
                file.Write(block.Span);
                _options.BytesWritten?.Invoke(block.Length);
            }
        }

        Dress(node, path, isFolder: false);
    }

    /// <summary>Gives what was written its permissions (never those that let it run as someone else) and its time.</summary>
    private static void Dress(UnixFsNode node, string path, bool isFolder)
    {
        if (node.Data.Mtime is { } mtime)
        {
            if (isFolder) Directory.SetLastWriteTimeUtc(path, mtime.ToDateTime());
            else File.SetLastWriteTimeUtc(path, mtime.ToDateTime());
        }

        if (node.Data.Mode is { } mode && !OperatingSystem.IsWindows())
        {
            // Whoever wrote it can read it, and make files in its folders.
            UnixFileMode own = isFolder ? UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute : UnixFileMode.UserRead;
            File.SetUnixFileMode(path, (UnixFileMode)(mode & 0x1FF) | own);
        }
    }
}
