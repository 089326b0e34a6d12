using System.Text;
using Leither.MmDb.Commands;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>The last commands that took longer than slowlog-log-slower-than, newest first.</summary>
internal sealed unsafe class SlowLog
{
    /// <summary>So many words of a command are kept, and so many bytes of a word.</summary>
    private const int MaxWords = 32, MaxWordBytes = 128;

    private readonly LinkedList<Entry> _entries = [];
    private long _nextId;

    /// <summary>One slow command.</summary>
    public sealed record Entry(long Id, long Seconds, long Microseconds, byte[][] Words, string Address, byte[] ClientName);

    /// <summary>The entries, newest first.</summary>
    public IReadOnlyCollection<Entry> Entries => _entries;

    /// <summary>Adds a command, and drops the oldest beyond the limit.</summary>
    public void Add(Session session, CommandSpec spec, Slice* args, int count, long seconds, long microseconds, long maxLength)
    {
        byte[][] words = new byte[Math.Min(count, MaxWords)][];
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = i == MaxWords - 1 && count > MaxWords ? Encoding.ASCII.GetBytes($"... ({count - MaxWords + 1} more arguments)")
                : CommandSecrets.Includes(spec, args, i) ? CommandSecrets.Shown.ToArray()
                : args[i].Length > MaxWordBytes ? [.. args[i].Span[..MaxWordBytes], .. Encoding.ASCII.GetBytes($"... ({args[i].Length - MaxWordBytes} more bytes)")]
                : args[i].Span.ToArray();
        }

        _entries.AddFirst(new Entry(_nextId++, seconds, microseconds, words, session.Connection.RemoteAddress, session.Name));
        Trim(maxLength);
    }

    /// <summary>Drops the oldest entries beyond a limit.</summary>
    public void Trim(long maxLength)
    {
        while (_entries.Count > maxLength)
        {
            _entries.RemoveLast();
        }
    }

    /// <summary>Drops all entries.</summary>
    public void Clear() => _entries.Clear();
}
