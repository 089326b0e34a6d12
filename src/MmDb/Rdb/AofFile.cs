using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Leither.Resp;

namespace Leither.MmDb.Rdb;

/// <summary>
/// Finds the files of an append-only file of Redis: a single one (up to Redis 6), or those that the manifest of an
/// <c>appendonlydir</c> names, in their order.
/// </summary>
public static class AofFiles
{
    private const string ManifestSuffix = ".manifest";

    /// <summary>Whether a path is an append-only file, a manifest, or a folder with a manifest; false: something else.</summary>
    /// <exception cref="RdbFormatException">There is a manifest, and it is damaged.</exception>
    public static bool TryFind(string path, out IReadOnlyList<string> files)
    {
        files = [];
        if (Directory.Exists(path))
        {
            string[] manifests = Directory.GetFiles(path, "*" + ManifestSuffix);
            if (manifests.Length == 0)
            {
                return false;
            }

            path = manifests.Length == 1 ? manifests[0] : throw new RdbFormatException($"{path} has several manifests; name one of them");
        }

        if (path.EndsWith(ManifestSuffix, StringComparison.Ordinal))
        {
            files = ReadManifest(path);
            return true;
        }

        if (!File.Exists(path))
        {
            return false;
        }

        using FileStream file = File.OpenRead(path);
        int first = file.ReadByte();
        files = [path];
        return first is '*' or '#';
    }

    private static List<string> ReadManifest(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string? baseFile = null;
        var increments = new List<(long Sequence, string File)>();
        foreach (string line in File.ReadLines(path))
        {
            if (line.Length == 0 || line[0] == '#')
            {
                continue;
            }

            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            string? name = After(words, "file"), type = After(words, "type");
            if (name is null || name.Contains('/', StringComparison.Ordinal) || !long.TryParse(After(words, "seq"), NumberStyles.None, CultureInfo.InvariantCulture, out long sequence))
            {
                throw new RdbFormatException($"the manifest {path} has a line that names no file: {line}");
            }

            if (type == "b")
            {
                baseFile = Path.Combine(folder, name.Trim('"'));
            }
            else if (type == "i")
            {
                increments.Add((sequence, Path.Combine(folder, name.Trim('"'))));
            }
        }

        return [.. baseFile is null ? Array.Empty<string>() : [baseFile], .. increments.OrderBy(static i => i.Sequence).Select(static i => i.File)];
    }

    private static string? After(string[] words, string name)
    {
        int at = Array.IndexOf(words, name);
        return at >= 0 && at + 1 < words.Length ? words[at + 1] : null;
    }
}

/// <summary>
/// Reads the commands of one append-only file, whole ones in runs that can be presented to a session. Annotations are skipped; a command
/// that the end of the file cuts off is left out, as Redis does (aof-load-truncated).
/// </summary>
public sealed unsafe class AofCommands : IDisposable
{
    private const int FirstCapacity = 1 << 20;

    private readonly Stream _stream;
    private byte* _data;
    private long _capacity, _at, _end, _consumed;
    private bool _isOver;

    /// <summary>Commands from a stream.</summary>
    /// <param name="stream">The file.</param>
    /// <param name="begun">Bytes that were taken off the stream already.</param>
    public AofCommands(Stream stream, ReadOnlySpan<byte> begun = default)
    {
        _stream = stream;
        _capacity = Math.Max(FirstCapacity, begun.Length);
        _data = (byte*)NativeMemory.Alloc((nuint)_capacity);
        begun.CopyTo(new Span<byte>(_data, begun.Length));
        _end = begun.Length;
    }

    /// <summary>Bytes of whole commands given out.</summary>
    public long Position => _consumed + _at;

    /// <summary>Bytes at the end that are no whole command.</summary>
    public long CutOff => _isOver ? _end - _at : 0;

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_data);
        _data = null;
    }

    /// <summary>The next run of commands; false at the end. It is good until the next call.</summary>
    /// <param name="bytes">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="count">How many commands they are.</param>
    /// <exception cref="RdbFormatException">The file is damaged.</exception>
    public bool Read(out byte* bytes, out long length, out long count)
    {
        while (true)
        {
            count = 0;
            long start = _at, at = _at;
            while (at < _end)
            {
                if (_data[at] == '#')
                {
                    long lineEnd = LineEnd(at);
                    if (lineEnd < 0 || count > 0)
                    {
                        break;
                    }

                    at = start = _at = lineEnd;
                    continue;
                }

                long next = CommandEnd(at);
                if (next < 0)
                {
                    break;
                }

                at = next;
                count++;
            }

            _at = at;
            if (count > 0)
            {
                bytes = _data + start;
                length = at - start;
                return true;
            }

            if (!Fill())
            {
                bytes = null;
                length = 0;
                return false;
            }
        }
    }

    private bool Fill()
    {
        if (_isOver)
        {
            return false;
        }

        long left = _end - _at;
        Buffer.MemoryCopy(_data + _at, _data, left, left);
        _consumed += _at;
        _at = 0;
        _end = left;
        if (_end == _capacity)
        {
            _capacity *= 2;
            _data = (byte*)NativeMemory.Realloc(_data, (nuint)_capacity);
        }

        int read = _stream.Read(new Span<byte>(_data + _end, (int)Math.Min(_capacity - _end, 1 << 20)));
        _end += read;
        _isOver = read == 0;
        return !_isOver;
    }

    /// <summary>Where the command that begins here ends; negative: it is not whole.</summary>
    private long CommandEnd(long at)
    {
        long words = Number(ref at, '*');
        for (; words > 0; words--)
        {
            long length = Number(ref at, '$');
            if (length < 0 || _end - at < length + 2)
            {
                return -1;
            }

            at += length + 2;
        }

        return words < 0 ? -1 : at;
    }

    /// <summary>The number on a line; negative: the line is not whole.</summary>
    private long Number(ref long at, char sign)
    {
        if (at < _end && _data[at] != sign)
        {
            throw Damaged(at);
        }

        long lineEnd = LineEnd(at);
        if (lineEnd < 0)
        {
            return _end - at < 64 ? -1 : throw Damaged(at);
        }

        if (!RespInteger.TryParse(_data + at + 1, (int)Math.Min(64, lineEnd - at - 3), out long number) || number < 0 || number > RdbFormat.MaxStringBytes)
        {
            throw Damaged(at);
        }

        at = lineEnd;
        return number;
    }

    private long LineEnd(long at)
    {
        int line = new ReadOnlySpan<byte>(_data + at, (int)Math.Min(_end - at, 4096)).IndexOf((byte)'\n');
        return line < 0 ? -1 : at + line + 1;
    }

    private RdbFormatException Damaged(long at) =>
        new($"At byte {_consumed + at}: no command of an append-only file begins with {Encoding.Latin1.GetString(_data + at, (int)Math.Min(16, _end - at)).ReplaceLineEndings("\\n")}");
}
