// What of a store's content is kept, in a file of lines that is appended to, durably, and now and then written anew:
//
//   leither-roots-1
//   pin recursive bafy… 1f2e3d4c
//   pin direct Qm… 5a6b7c8d
//   unpin bafy… 9e8f7a6b
//   files bafy… 0c1d2e3f
//
// Each line ends in the CRC-32C of what stands before it. A last line that is not whole was never acknowledged and is cut off. Any other damage stops
// the start: with a root forgotten, the next collection would take away what it kept.

using System.Globalization;
using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Content;

/// <summary>What a pin keeps.</summary>
public enum PinKind
{
    /// <summary>The block alone.</summary>
    Direct,

    /// <summary>The block and all that it leads to.</summary>
    Recursive,
}

/// <summary>The roots of a store: pins, and the root of the files tree. Any thread.</summary>
public sealed class RootList : IDisposable
{
    private const string FileName = "roots", NewName = "roots.new", Head = "leither-roots-1";
    private const int MaxLineBytes = 64 + Cid.MaxTextLength;

    private readonly Lock _gate = new();
    private readonly IFolder _folder;
    private readonly Dictionary<Cid, PinKind> _pins = [];
    private Cid _files;
    private IFile? _file;
    private long _end;
    private int _lines;
    private bool _isInDoubt;

    /// <summary>Reads the list of a folder; there may be none yet.</summary>
    /// <exception cref="IOException">It cannot be read, or is damaged.</exception>
    public RootList(IFolder folder)
    {
        _folder = folder;
        if (!folder.List().Any(static f => f.Name == FileName)) return;
        _file = folder.Open(FileName);
        Load(_file);
    }

    /// <summary>The root of the files tree; none where there never was one.</summary>
    public Cid Files
    {
        get
        {
            lock (_gate) return _files;
        }
    }

    /// <summary>The pins as they are now.</summary>
    public KeyValuePair<Cid, PinKind>[] Pins
    {
        get
        {
            lock (_gate) return [.. _pins];
        }
    }

    /// <summary>What a pin on this very CID keeps; null if there is none.</summary>
    public PinKind? PinOf(in Cid cid)
    {
        lock (_gate) return _pins.TryGetValue(cid, out PinKind kind) ? kind : null;
    }

    /// <summary>Pins, durably; false if it was so.</summary>
    /// <exception cref="IOException">It could not be written. Nothing has changed.</exception>
    public bool Pin(in Cid cid, PinKind kind)
    {
        lock (_gate)
        {
            if (_pins.TryGetValue(cid, out PinKind old) && old == kind) return false;
            Append($"pin {(kind == PinKind.Recursive ? "recursive" : "direct")} {cid}");
            _pins[cid] = kind;
            return true;
        }
    }

    /// <summary>Takes a pin away, durably; false if there is none.</summary>
    /// <exception cref="IOException">It could not be written. Nothing has changed.</exception>
    public bool Unpin(in Cid cid)
    {
        lock (_gate)
        {
            if (!_pins.ContainsKey(cid)) return false;
            Append($"unpin {cid}");
            _pins.Remove(cid);
            return true;
        }
    }

    /// <summary>Keeps another root of the files tree, durably.</summary>
    /// <exception cref="IOException">It could not be written. Nothing has changed.</exception>
    public void SetFiles(in Cid cid)
    {
        lock (_gate)
        {
            if (_files == cid) return;
            Append($"files {cid}");
            _files = cid;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _file?.Dispose();
            _file = null;
        }
    }

    private void Load(IFile file)
    {
        string path = _folder.FullName(FileName);
        if (file.Length > int.MaxValue) throw new IOException($"{path} has {file.Length} bytes: that is no list of roots");
        byte[] bytes = new byte[file.Length];
        int read = file.Read(0, bytes);
        int whole = bytes.AsSpan(0, read).LastIndexOf((byte)'\n') + 1;
        string[] lines = Encoding.UTF8.GetString(bytes, 0, whole).Split('\n');
        for (int i = 0; i < lines.Length - 1; i++)
        {
            if (i == 0 ? lines[0] != Head : !TryApply(lines[i]))
            {
                throw new IOException($"{path}, line {i + 1} is damaged, or a newer version wrote it. Restore the file from a copy, or take the line out: what it pinned is kept no longer then");
            }
        }

        _lines = lines.Length - 1;
        _end = whole;
        if (whole < file.Length) file.Truncate(whole);
        if (_lines == 0) Rewrite();
    }

    private bool TryApply(string line)
    {
        int last = line.LastIndexOf(' ');
        if (last < 0 || line.Length > MaxLineBytes || !uint.TryParse(line.AsSpan(last + 1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint sum)
            || Crc32C.Compute(0, Encoding.UTF8.GetBytes(line[..last])) != sum)
        {
            return false;
        }

        string[] words = line[..last].Split(' ');
        if (!Cid.TryParse(words[^1], out Cid cid)) return false;
        switch (string.Join(' ', words[..^1]))
        {
            case "pin recursive":
                _pins[cid] = PinKind.Recursive;
                return true;
            case "pin direct":
                _pins[cid] = PinKind.Direct;
                return true;
            case "unpin":
                _pins.Remove(cid);
                return true;
            case "files":
                _files = cid;
                return true;
            default:
                return false;
        }
    }

    private void Append(string text)
    {
        // After a failed write or sync nobody knows what the disk has of it; a file that is written anew is known from its first byte on.
        if (_file is null || _isInDoubt || _lines > 2 * (_pins.Count + 2) + 1000) Rewrite();
        byte[] line = Line(text);
        try
        {
            _file!.WriteAll(_end, line);
            _file!.Sync();
        }
        catch
        {
            _isInDoubt = true;
            throw;
        }

        _end += line.Length;
        _lines++;
    }

    private void Rewrite()
    {
        using var all = new MemoryStream();
        all.Write(Encoding.UTF8.GetBytes(Head + "\n"));
        foreach ((Cid cid, PinKind kind) in _pins) all.Write(Line($"pin {(kind == PinKind.Recursive ? "recursive" : "direct")} {cid}"));
        if (!_files.IsNone) all.Write(Line($"files {_files}"));
        _folder.Delete(NewName);
        using (IFile made = _folder.Create(NewName))
        {
            made.WriteAll(0, all.GetBuffer().AsSpan(0, (int)all.Length));
            made.Sync();
        }

        _file?.Dispose();
        _file = null;
        _folder.Rename(NewName, FileName);
        _folder.SyncDirectory();
        _file = _folder.Open(FileName);
        _end = all.Length;
        _lines = _pins.Count + (_files.IsNone ? 1 : 2);
        _isInDoubt = false;
    }

    private static byte[] Line(string text) =>
        Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{text} {Crc32C.Compute(0, Encoding.UTF8.GetBytes(text)):x8}\n"));
}
