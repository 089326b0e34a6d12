using System.Globalization;
using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb;
using Leither.MmDb.Log;
using Leither.Node.Logging;

namespace Leither.Node.Storage;

/// <summary>
/// What a node knows of its MiMei without opening them: names, when they were made, how many keys they had. A file of lines, one for each change,
/// of which the last about a MiMei counts:
/// <code>mid created=1795276800000 right=0 keys=12 name=shop</code>
/// </summary>
/// <remarks>
/// A line is durable when <see cref="Keep"/> returns. A crash may leave a part of the last one, which is dropped. At the start the file is written anew when
/// most of its lines are old, in one step. Which MiMei there are is not its business, nor what may be done with them: their folders say that. (<c>right</c> is for
/// people who look, and for older versions, in which it had no meaning.)
/// </remarks>
internal sealed class MimeiList : IDisposable
{
    private const string FileName = "mimei.list", Head = "leither mimei list 1";

    private readonly Lock _gate = new();
    private readonly Dictionary<LeitherId, MimeiRecord> _records = [];
    private readonly FileStream? _stream;

    private MimeiList()
    {
    }

    /// <summary>One of which nothing is known and that keeps nothing.</summary>
    public static MimeiList Empty { get; } = new();

    /// <summary>Reads the list of a folder, or begins one.</summary>
    /// <exception cref="IOException">It cannot be read or written.</exception>
    public MimeiList(string folder, NodeLog log)
    {
        DiskFolder files = DiskFolder.Make(folder);
        int lines = File.Exists(files.FullName(FileName)) ? Read(files, log) : int.MaxValue;
        if (lines > (_records.Count * 2) + 100)
        {
            Rewrite(files);
        }

        _stream = new FileStream(files.FullName(FileName), FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);
    }

    /// <summary>Everything that is known. Not to be looked at while others keep something.</summary>
    public IReadOnlyDictionary<LeitherId, MimeiRecord> Records => _records;

    /// <summary>What is known of one; null: nothing. On any thread.</summary>
    public MimeiRecord? Find(LeitherId id)
    {
        lock (_gate)
        {
            return _records.GetValueOrDefault(id);
        }
    }

    /// <summary>Keeps what is known of one, durably. On any thread.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    public void Keep(MimeiRecord record)
    {
        lock (_gate)
        {
            FileStream stream = _stream ?? throw new InvalidOperationException("This list keeps nothing");
            stream.Write(Encoding.UTF8.GetBytes(Line(record)));
            stream.Flush(flushToDisk: true);
            _records[record.Id] = record;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _stream?.Dispose();

    private int Read(DiskFolder files, NodeLog log)
    {
        string path = files.FullName(FileName), text = File.ReadAllText(path);
        int whole = text.LastIndexOf('\n') + 1, count = 0;
        if (whole < text.Length)
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Write);
            stream.SetLength(Encoding.UTF8.GetByteCount(text.AsSpan(0, whole)));
            stream.Flush(flushToDisk: true);
        }

        foreach (string line in text[..whole].Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (count++ == 0 && line != Head)
            {
                throw new IOException($"{path} begins with '{line[..Math.Min(line.Length, 40)]}': a newer version wrote it, or it is damaged");
            }

            if (count > 1 && Parse(line) is { } record)
            {
                _records[record.Id] = record;
            }
            else if (count > 1)
            {
                log.Warning($"{path}, line {count} is damaged and has no effect: {line[..Math.Min(line.Length, 80)]}");
            }
        }

        return whole == 0 ? int.MaxValue : count;
    }

    private void Rewrite(DiskFolder files)
    {
        using (FileStream stream = File.Create(files.FullName(FileName + ".new")))
        {
            stream.Write(Encoding.UTF8.GetBytes(Head + "\n" + string.Concat(_records.Values.Select(Line))));
            stream.Flush(flushToDisk: true);
        }

        files.Rename(FileName + ".new", FileName);
        files.SyncDirectory();
    }

    private static string Line(MimeiRecord record) =>
        string.Create(CultureInfo.InvariantCulture, $"{record.Id} created={record.CreatedMs} right={record.Rights.Mask} keys={record.Keys} name={record.Name}\n");

    private static MimeiRecord? Parse(string line)
    {
        string[] words = line.Split(' ');
        if (words.Length < 5 || !LeitherId.TryParse(words[0], out LeitherId id)
            || !TryNumber(words[1], "created=", out ulong created) || !TryNumber(words[2], "right=", out _) || !TryNumber(words[3], "keys=", out ulong keys)
            || !words[4].StartsWith("name=", StringComparison.Ordinal))
        {
            return null;
        }

        return new MimeiRecord(id) { CreatedMs = (long)created, Keys = (long)keys, Name = words[4]["name=".Length..] };
    }

    private static bool TryNumber(string word, string name, out ulong number)
    {
        number = 0;
        return word.StartsWith(name, StringComparison.Ordinal) && ulong.TryParse(word.AsSpan(name.Length), NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }
}
