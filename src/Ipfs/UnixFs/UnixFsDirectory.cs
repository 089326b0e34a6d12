// Directories: their entries stand in one block, or are spread over shards by the hashes of their names (a HAMT).
//
// A shard's links are named by two hexadecimal digits (for a fanout of 256) that say which of its places they take: digits alone lead to a shard
// below, digits and a name to the entry of that name. Each level takes the next bits of the name's hash, highest first. Whoever reads checks that
// an entry stands where its name belongs, so listing and looking up see the same; and since every shard below the root must have an entry, a
// shard that is linked twice is found out at its first entry, and no tree of empty ones keeps a reader busy.

using System.Globalization;
using System.Numerics;
using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.UnixFs;

/// <summary>Reading directories, a block at a time.</summary>
public static class UnixFsDirectory
{
    /// <summary>The most places that a shard may have; more would make a small block take much memory.</summary>
    public const int MaxFanout = 1024;

    private const int HashBits = 64;

    /// <summary>
    /// The entries, read as they are asked for: of a directory in one block in its order, of a sharded one in that of the names' hashes. Their
    /// names are those of the blocks; see <see cref="IsSafeName"/>.
    /// </summary>
    /// <exception cref="BlockMissingException">While enumerating: a block is not there.</exception>
    /// <exception cref="MalformedBlockException">While enumerating: a block is not what it should be; a name stands twice.</exception>
    public static IEnumerable<UnixFsLink> List(IBlockSource source, UnixFsNode directory) => directory.Type switch
    {
        UnixFsType.Directory => ListBlock(directory),
        UnixFsType.HamtShard => ListShards(source, directory),
        _ => throw NoDirectory(directory),
    };

    /// <summary>
    /// A part of the entries, in the order of <see cref="List"/>, reading no more than the blocks that hold them. A part may come out empty only at the end.
    /// </summary>
    /// <param name="source">Where blocks are.</param>
    /// <param name="directory">The directory.</param>
    /// <param name="from">Where the part begins: what <paramref name="next"/> was, or null.</param>
    /// <param name="count">The most entries.</param>
    /// <param name="next">Where what follows begins; null at the end.</param>
    /// <exception cref="FormatException"><paramref name="from"/> is nothing that this method said.</exception>
    /// <exception cref="BlockMissingException">A block is not there.</exception>
    /// <exception cref="MalformedBlockException">A block is not what it should be.</exception>
    public static IReadOnlyList<UnixFsLink> ListPart(IBlockSource source, UnixFsNode directory, string? from, int count, out string? next)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        next = null;
        var part = new List<UnixFsLink>();
        if (directory.Type == UnixFsType.Directory)
        {
            int start = 0;
            if (from is not null && !int.TryParse(from, NumberStyles.None, CultureInfo.InvariantCulture, out start)) throw NoPlace(from);
            for (int i = start; i < directory.Links.Count && part.Count < count; i++) part.Add(directory.Links[i]);
            if (start < directory.Links.Count - part.Count) next = (start + part.Count).ToString(CultureInfo.InvariantCulture);
            return part;
        }

        if (directory.Type != UnixFsType.HamtShard) throw NoDirectory(directory);
        ulong after = 0;
        if (from is not null && !ulong.TryParse(from, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out after)) throw NoPlace(from);
        var walk = new ShardWalk(source, directory, from is null ? null : after);
        while (walk.TryNext(out UnixFsLink entry))
        {
            if (part.Count == count)
            {
                next = HashOf(part[^1].Name).ToString("x16", CultureInfo.InvariantCulture);
                break;
            }

            part.Add(entry);
        }

        return part;
    }

    /// <summary>The blocks that a directory's own entries lie in, directly below one of its blocks; none where it is not sharded.</summary>
    /// <exception cref="UnixFsException">The shard is not what it should be.</exception>
    public static IEnumerable<Cid> ShardsBelow(UnixFsNode directory)
    {
        if (directory.Type != UnixFsType.HamtShard) yield break;
        if (directory.Data.Fanout is not ({ } fanout and >= 8 and <= MaxFanout)) throw new UnixFsException(directory.Cid, "a shard without a number of places");
        int digits = DigitsOf((int)fanout);
        foreach (UnixFsLink link in directory.Links)
        {
            if (link.Name.Length == digits) yield return link.Cid;
        }
    }

    /// <summary>Finds an entry, reading no more than the blocks on the way to it. Of a name that stands twice it is the first.</summary>
    /// <exception cref="BlockMissingException">A block is not there.</exception>
    /// <exception cref="MalformedBlockException">A block is not what it should be.</exception>
    public static bool TryFind(IBlockSource source, UnixFsNode directory, string name, out UnixFsLink entry)
    {
        entry = default;
        if (directory.Type == UnixFsType.Directory)
        {
            foreach (UnixFsLink link in directory.Links)
            {
                if (link.Name.Equals(name, StringComparison.Ordinal))
                {
                    entry = link;
                    return true;
                }
            }

            return false;
        }

        if (directory.Type != UnixFsType.HamtShard) throw NoDirectory(directory);
        var shard = new Shard(directory, 0, null);
        ulong hash = HashOf(name);
        while (true)
        {
            if (shard.Find(shard.PlaceOf(hash)) is not { } link) return false;
            if (link.Name.Length > shard.Digits)
            {
                entry = link with { Name = link.Name[shard.Digits..] };
                return entry.Name.Equals(name, StringComparison.Ordinal);
            }

            shard = shard.Below(source, link);
        }
    }

    /// <summary>Whether a name can be one in a file system: not empty, "." or "..", and without '/' and NUL.</summary>
    public static bool IsSafeName(string name) => name is not ("" or "." or "..") && !name.AsSpan().ContainsAny('/', '\0');

    internal static ulong HashOf(string name) => Murmur3.Hash64(Encoding.UTF8.GetBytes(name));

    /// <summary>How many digits name a place of a shard.</summary>
    internal static int DigitsOf(int fanout) => (BitOperations.Log2((uint)(fanout - 1)) + 4) / 4;

    internal static int BitsOf(int fanout) => BitOperations.Log2((uint)fanout);

    private static IEnumerable<UnixFsLink> ListBlock(UnixFsNode directory)
    {
        HashSet<string>? seen = null;
        for (int i = 0; i < directory.Links.Count; i++)
        {
            UnixFsLink link = directory.Links[i];
            // Names in order, as they nearly always are, need no set to show that none stands twice.
            if (seen is null && i > 0 && string.CompareOrdinal(directory.Links[i - 1].Name, link.Name) >= 0)
            {
                seen = [.. directory.Links.Take(i).Select(static l => l.Name)];
            }

            if (seen?.Add(link.Name) == false) throw new UnixFsException(directory.Cid, $"the name '{link.Name}' stands twice");
            yield return link;
        }
    }

    private static IEnumerable<UnixFsLink> ListShards(IBlockSource source, UnixFsNode root)
    {
        var walk = new ShardWalk(source, root, null);
        while (walk.TryNext(out UnixFsLink entry)) yield return entry;
    }

    private static FormatException NoPlace(string from) => new($"'{from}' is no place in a directory");

    private static UnixFsException NoDirectory(UnixFsNode node) => new(node.Cid, $"it is no directory, but a {node.Type}");

    /// <summary>Goes through the entries of a sharded directory in the order of their hashes, of which it may begin behind one.</summary>
    private sealed class ShardWalk
    {
        private readonly IBlockSource _source;
        private readonly ulong? _after;
        private readonly Stack<(Shard Shard, int Next)> _open = new();

        public ShardWalk(IBlockSource source, UnixFsNode root, ulong? after)
        {
            _source = source;
            _after = after;
            var shard = new Shard(root, 0, null);
            _open.Push((shard, after is { } hash ? shard.FirstFrom(hash) : 0));
        }

        public bool TryNext(out UnixFsLink entry)
        {
            while (_open.TryPop(out (Shard Shard, int Next) top))
            {
                if (top.Next == top.Shard.Node.Links.Count) continue;
                UnixFsLink link = top.Shard.Node.Links[top.Next];
                _open.Push((top.Shard, top.Next + 1));
                if (link.Name.Length == top.Shard.Digits)
                {
                    Shard below = top.Shard.Below(_source, link);
                    _open.Push((below, _after is { } after && IsOnWay(after) ? below.FirstFrom(after) : 0));
                    continue;
                }

                string name = link.Name[top.Shard.Digits..];
                ulong hash = HashOf(name);
                foreach ((Shard shard, int next) in _open)
                {
                    if (shard.PlaceOf(hash) != shard.PlaceAt(next - 1)) throw new UnixFsException(shard.Node.Cid, $"the name '{name}' does not belong where it stands");
                }

                if (hash <= _after) continue;
                entry = link with { Name = name };
                return true;
            }

            entry = default;
            return false;
        }

        /// <summary>Whether the shards that are open are those that lead to a hash.</summary>
        private bool IsOnWay(ulong hash)
        {
            foreach ((Shard shard, int next) in _open)
            {
                if (shard.PlaceOf(hash) != shard.PlaceAt(next - 1)) return false;
            }

            return true;
        }
    }

    /// <summary>A shard, checked, with its place on the way from the root.</summary>
    private sealed class Shard
    {
        private readonly int _bits, _level;
        private readonly int[] _places;

        public Shard(UnixFsNode node, int level, Shard? above)
        {
            Node = node;
            _level = level;
            ulong fanout = node.Data.Fanout ?? 0;
            if (node.Type != UnixFsType.HamtShard) throw Refuse($"a shard is expected, not a {node.Type}");
            if (node.Data.HashType != UnixFsData.Murmur3X64) throw Refuse($"names are hashed by 0x{node.Data.HashType:x}, which is none that is in use");
            if (fanout is < 8 or > MaxFanout || !BitOperations.IsPow2(fanout)) throw Refuse($"a shard has a power of two from 8 to {MaxFanout} places, not {fanout}");
            if (above is not null && above.Node.Data.Fanout != fanout) throw Refuse("a shard has another number of places than that above");
            if (above is not null && node.Links.Count == 0) throw Refuse("a shard below another is empty");
            _bits = BitsOf((int)fanout);
            Digits = DigitsOf((int)fanout);
            if ((level + 1) * _bits > HashBits) throw Refuse("shards lie deeper than a hash has bits");

            ReadOnlySpan<byte> field = node.Data.Data.Span;
            if (field.Length > (int)fanout / 8) throw Refuse("the bit field is longer than the shard has places");
            int count = 0;
            foreach (byte b in field) count += BitOperations.PopCount(b);
            if (count != node.Links.Count) throw Refuse($"{node.Links.Count} links, but {count} bits");
            _places = new int[count];
            for (int i = 0; i < count; i++)
            {
                string name = node.Links[i].Name;
                if (name.Length < Digits || !TryReadPlace(name.AsSpan(0, Digits), out int place) || place >= (int)fanout || (i > 0 && place <= _places[i - 1])
                    || (field[^(place / 8 + 1)] >> (place % 8) & 1) == 0)
                {
                    throw Refuse($"the link '{name}' names no place, or not the next");
                }

                _places[i] = place;
            }
        }

        public UnixFsNode Node { get; }

        /// <summary>How many digits stand before the names.</summary>
        public int Digits { get; }

        public int PlaceOf(ulong hash) => (int)(hash << (_level * _bits) >> (HashBits - _bits));

        public int PlaceAt(int link) => _places[link];

        /// <summary>The first link that a hash, or one above it, can be behind.</summary>
        public int FirstFrom(ulong hash)
        {
            int index = Array.BinarySearch(_places, PlaceOf(hash));
            return index < 0 ? ~index : index;
        }

        public UnixFsLink? Find(int place)
        {
            int index = Array.BinarySearch(_places, place);
            return index < 0 ? null : Node.Links[index];
        }

        public Shard Below(IBlockSource source, UnixFsLink link) => new(UnixFsNode.Load(source, link.Cid), _level + 1, this);

        private static bool TryReadPlace(ReadOnlySpan<char> digits, out int place) =>
            int.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out place) && !digits.ContainsAnyInRange('a', 'f');

        private UnixFsException Refuse(string why) => new(Node.Cid, why);
    }
}
