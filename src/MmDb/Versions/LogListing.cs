using System.Runtime.CompilerServices;
using System.Text;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;

namespace Leither.MmDb.Versions;

/// <summary>What one entry of the log did.</summary>
/// <param name="Sequence">Its number.</param>
/// <param name="TimeMs">When, in Unix milliseconds.</param>
/// <param name="Bytes">Bytes of it.</param>
/// <param name="Effects">Its effects, in order, up to a limit.</param>
internal sealed record LogEntryListing(ulong Sequence, long TimeMs, long Bytes, IReadOnlyList<EffectListing> Effects);

/// <summary>One effect: its name (<see cref="EffectTag"/> in words), the number of the database, and the key or library; empty where it concerns none.</summary>
internal readonly record struct EffectListing(string Name, int Database, byte[] Key);

/// <summary>Lists entries of a log for people and programs.</summary>
internal static unsafe class LogListing
{
    /// <summary>Of an entry so many effects are listed.</summary>
    public const int MaxEffects = 100;

    /// <summary>Lists entries. (Any thread.)</summary>
    /// <param name="log">The log.</param>
    /// <param name="databases">How many databases there are.</param>
    /// <param name="from">The first entry.</param>
    /// <param name="count">How many entries.</param>
    /// <exception cref="MimeiException">They are not there any more.</exception>
    public static List<LogEntryListing> Read(WriteLog log, int databases, ulong from, long count)
    {
        ulong after = Math.Max(from, 1) - 1;
        if (after >= log.WrittenSequence)
        {
            return [];
        }

        using LogReader reader = log.Read(after, after + (ulong)count) ?? throw new MimeiException($"ERR the log from entry {from} on is not there any more");
        var found = new List<LogEntryListing>();
        var visitor = new Visitor(databases);
        reader.Run((sequence, entry, length) =>
        {
            visitor.Found = [];
            visitor.Visit(entry + LogFormat.EntryHeaderBytes, length - LogFormat.EntryHeaderBytes);
            found.Add(new LogEntryListing(sequence, HybridClock.ToMilliseconds(Unsafe.ReadUnaligned<ulong>(entry + 2)), length, visitor.Found));
        });
        return found;
    }

    private sealed class Visitor(int databases) : EffectVisitor(databases)
    {
        public List<EffectListing> Found { get; set; } = [];

        protected override void Key(EffectTag tag, int database, ReadOnlySpan<byte> name, bool isWhole) => Add(tag, database, name);

        protected override void Element(ReadOnlySpan<byte> name)
        {
        }

        protected override void Flushed(int database) => Add(EffectTag.FlushDatabase, database, default);

        protected override void FlushedAll() => Add(EffectTag.FlushAll, 0, default);

        protected override void Swapped(int a, int b) => Add(EffectTag.SwapDatabases, a, Encoding.ASCII.GetBytes($"{b}"));

        protected override void Function(EffectTag tag, ReadOnlySpan<byte> library) => Add(tag, 0, library);

        protected override void Files(ReadOnlySpan<byte> root) =>
            Add(EffectTag.FilesSet, 0, Cid.TryRead(root, out Cid cid) ? Encoding.ASCII.GetBytes(cid.ToString()) : default);

        private void Add(EffectTag tag, int database, ReadOnlySpan<byte> key)
        {
            if (Found.Count < MaxEffects)
            {
                Found.Add(new EffectListing(Words(tag), database, key.ToArray()));
            }
        }

        /// <summary>StringSet is string-set.</summary>
        private static string Words(EffectTag tag)
        {
            var words = new StringBuilder();
            foreach (char letter in tag.ToString())
            {
                if (char.IsUpper(letter) && words.Length > 0)
                {
                    words.Append('-');
                }

                words.Append(char.ToLowerInvariant(letter));
            }

            return words.ToString();
        }
    }
}
