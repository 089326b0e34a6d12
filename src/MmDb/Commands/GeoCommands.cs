using System.Globalization;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>
/// Commands for geospatial indices. An index is a sorted set: a member's score is the 52 bits of its <see cref="GeoHash"/>, so that
/// a search is a few ranges of scores.
/// </summary>
public static unsafe class GeoCommands
{
    /// <summary>GEOADD key [(NX | XX)] [CH] longitude latitude member …</summary>
    public static readonly CommandSpec Add = new("geoadd", -5)
    {
        Since = "3.2.0",
        Group = CommandGroup.Geo,
        Complexity = "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        Summary = "Adds one or more members to a geospatial index. The key is created if it doesn't exist.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys = [KeySpec.At(1, KeyAccess.ReadWrite | KeyAccess.Update)],
        Args =
        [
            Arg.Key("key"),
            Arg.OneOf("condition", Arg.Word("nx", "NX"), Arg.Word("xx", "XX")).Optional().Since("6.2.0"),
            Arg.Word("change", "CH").Optional().Since("6.2.0"),
            Arg.Block("data", Arg.Double("longitude"), Arg.Double("latitude"), Arg.String("member")).Multiple(),
        ],
        History = [("6.2.0", "Added the `CH`, `NX` and `XX` options.")],
        Handler = &RunAdd,
    };

    /// <summary>GEODIST key member1 member2 [(m | km | ft | mi)]</summary>
    public static readonly CommandSpec Dist = new("geodist", -4)
    {
        Since = "3.2.0",
        Group = CommandGroup.Geo,
        Complexity = "O(1)",
        Summary = "Returns the distance between two members of a geospatial index.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("member1"),
            Arg.String("member2"),
            Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI")).Optional(),
        ],
        Handler = &RunDist,
    };

    /// <summary>GEOHASH key [member …]</summary>
    public static readonly CommandSpec Hash = new("geohash", -2)
    {
        Since = "3.2.0",
        Group = CommandGroup.Geo,
        Complexity = "O(1) for each member requested.",
        Summary = "Returns members from a geospatial index as geohash strings.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("member").Optional().Multiple()],
        Handler = &RunHash,
    };

    /// <summary>GEOPOS key [member …]</summary>
    public static readonly CommandSpec Pos = new("geopos", -2)
    {
        Since = "3.2.0",
        Group = CommandGroup.Geo,
        Complexity = "O(1) for each member requested.",
        Summary = "Returns the longitude and latitude of members from a geospatial index.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args = [Arg.Key("key"), Arg.String("member").Optional().Multiple()],
        Handler = &RunPos,
    };

    /// <summary>GEORADIUS key longitude latitude radius (m | km | ft | mi) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [(ASC | DESC)] [(STORE key | STOREDIST key)]</summary>
    public static readonly CommandSpec Radius = new("georadius", -6)
    {
        Since = "3.2.0",
        Group = CommandGroup.Geo,
        Complexity = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        Summary = "Queries a geospatial index for members within a distance from a coordinate, optionally stores the result.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access),
            KeySpec.After("STORE", 6, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.After("STOREDIST", 6, KeyAccess.Overwrite | KeyAccess.Update),
        ],
        Args =
        [
            Arg.Key("key"),
            Arg.Double("longitude"),
            Arg.Double("latitude"),
            Arg.Double("radius"),
            Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI")),
            Arg.Word("withcoord", "WITHCOORD").Optional(),
            Arg.Word("withdist", "WITHDIST").Optional(),
            Arg.Word("withhash", "WITHHASH").Optional(),
            Arg.Block("count-block", Arg.Integer("count").Token("COUNT"), Arg.Word("any", "ANY").Optional().Since("6.2.0")).Optional(),
            Arg.OneOf("order", Arg.Word("asc", "ASC"), Arg.Word("desc", "DESC")).Optional(),
            Arg.OneOf("store", Arg.Key("storekey", 1).Shown("key").Token("STORE"), Arg.Key("storedistkey", 2).Shown("key").Token("STOREDIST")).Optional(),
        ],
        History = [("6.2.0", "Added the `ANY` option for `COUNT`."), ("7.0.0", "Added support for uppercase unit names.")],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        FindKeys = FindRadiusKeys,
        Handler = &RunRadius,
    };

    /// <summary>GEORADIUS_RO key longitude latitude radius (m | km | ft | mi) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [(ASC | DESC)]</summary>
    public static readonly CommandSpec RadiusRo = new("georadius_ro", -6)
    {
        Since = "3.2.10",
        Group = CommandGroup.Geo,
        Complexity = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        Summary = "Returns members from a geospatial index that are within a distance from a coordinate.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.Double("longitude"),
            Arg.Double("latitude"),
            Arg.Double("radius"),
            Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI")),
            Arg.Word("withcoord", "WITHCOORD").Optional(),
            Arg.Word("withdist", "WITHDIST").Optional(),
            Arg.Word("withhash", "WITHHASH").Optional(),
            Arg.Block("count-block", Arg.Integer("count").Token("COUNT"), Arg.Word("any", "ANY").Optional().Since("6.2.0")).Optional(),
            Arg.OneOf("order", Arg.Word("asc", "ASC"), Arg.Word("desc", "DESC")).Optional(),
        ],
        History = [("6.2.0", "Added the `ANY` option for `COUNT`.")],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`GEOSEARCH` with the `BYRADIUS` argument",
        Handler = &RunRadiusRo,
    };

    /// <summary>GEORADIUSBYMEMBER key member radius (m | km | ft | mi) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [(ASC | DESC)] [(STORE key | STOREDIST key)]</summary>
    public static readonly CommandSpec RadiusByMember = new("georadiusbymember", -5)
    {
        Since = "3.2.0",
        Group = CommandGroup.Geo,
        Complexity = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        Summary = "Queries a geospatial index for members within a distance from a member, optionally stores the result.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access),
            KeySpec.After("STORE", 5, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.After("STOREDIST", 5, KeyAccess.Overwrite | KeyAccess.Update),
        ],
        Args =
        [
            Arg.Key("key"),
            Arg.String("member"),
            Arg.Double("radius"),
            Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI")),
            Arg.Word("withcoord", "WITHCOORD").Optional(),
            Arg.Word("withdist", "WITHDIST").Optional(),
            Arg.Word("withhash", "WITHHASH").Optional(),
            Arg.Block("count-block", Arg.Integer("count").Token("COUNT"), Arg.Word("any", "ANY").Optional()).Optional(),
            Arg.OneOf("order", Arg.Word("asc", "ASC"), Arg.Word("desc", "DESC")).Optional(),
            Arg.OneOf("store", Arg.Key("storekey", 1).Shown("key").Token("STORE"), Arg.Key("storedistkey", 2).Shown("key").Token("STOREDIST")).Optional(),
        ],
        History = [("7.0.0", "Added support for uppercase unit names.")],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        FindKeys = FindRadiusKeys,
        Handler = &RunRadiusByMember,
    };

    /// <summary>GEORADIUSBYMEMBER_RO key member radius (m | km | ft | mi) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [(ASC | DESC)]</summary>
    public static readonly CommandSpec RadiusByMemberRo = new("georadiusbymember_ro", -5)
    {
        Since = "3.2.10",
        Group = CommandGroup.Geo,
        Complexity = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        Summary = "Returns members from a geospatial index that are within a distance from a member.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.String("member"),
            Arg.Double("radius"),
            Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI")),
            Arg.Word("withcoord", "WITHCOORD").Optional(),
            Arg.Word("withdist", "WITHDIST").Optional(),
            Arg.Word("withhash", "WITHHASH").Optional(),
            Arg.Block("count-block", Arg.Integer("count").Token("COUNT"), Arg.Word("any", "ANY").Optional()).Optional(),
            Arg.OneOf("order", Arg.Word("asc", "ASC"), Arg.Word("desc", "DESC")).Optional(),
        ],
        DeprecatedSince = "6.2.0",
        ReplacedBy = "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
        Handler = &RunRadiusByMemberRo,
    };

    /// <summary>GEOSEARCH key (FROMMEMBER member | FROMLONLAT longitude latitude) (BYRADIUS radius (m | km | ft | mi) | BYBOX width height (m | km | ft | mi)) [(ASC | DESC)] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]</summary>
    public static readonly CommandSpec Search = new("geosearch", -7)
    {
        Since = "6.2.0",
        Group = CommandGroup.Geo,
        Complexity = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
        Summary = "Queries a geospatial index for members inside an area of a box or a circle.",
        Flags = CommandFlags.ReadOnly,
        Keys = [KeySpec.At(1, KeyAccess.ReadOnly | KeyAccess.Access)],
        Args =
        [
            Arg.Key("key"),
            Arg.OneOf("from", Arg.String("member").Token("FROMMEMBER"), Arg.Block("fromlonlat", Arg.Double("longitude"), Arg.Double("latitude")).Token("FROMLONLAT")),
            Arg.OneOf("by", Arg.Block("circle", Arg.Double("radius").Token("BYRADIUS"), Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI"))), Arg.Block("box", Arg.Double("width").Token("BYBOX"), Arg.Double("height"), Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI")))),
            Arg.OneOf("order", Arg.Word("asc", "ASC"), Arg.Word("desc", "DESC")).Optional(),
            Arg.Block("count-block", Arg.Integer("count").Token("COUNT"), Arg.Word("any", "ANY").Optional()).Optional(),
            Arg.Word("withcoord", "WITHCOORD").Optional(),
            Arg.Word("withdist", "WITHDIST").Optional(),
            Arg.Word("withhash", "WITHHASH").Optional(),
        ],
        History = [("7.0.0", "Added support for uppercase unit names.")],
        Handler = &RunSearch,
    };

    /// <summary>GEOSEARCHSTORE destination source (FROMMEMBER member | FROMLONLAT longitude latitude) (BYRADIUS radius (m | km | ft | mi) | BYBOX width height (m | km | ft | mi)) [(ASC | DESC)] [COUNT count [ANY]] [STOREDIST]</summary>
    public static readonly CommandSpec SearchStore = new("geosearchstore", -8)
    {
        Since = "6.2.0",
        Group = CommandGroup.Geo,
        Complexity = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
        Summary = "Queries a geospatial index for members inside an area of a box or a circle, optionally stores the result.",
        Flags = CommandFlags.Write | CommandFlags.DenyOom,
        Keys =
        [
            KeySpec.At(1, KeyAccess.Overwrite | KeyAccess.Update),
            KeySpec.At(2, KeyAccess.ReadOnly | KeyAccess.Access),
        ],
        Args =
        [
            Arg.Key("destination"),
            Arg.Key("source", 1),
            Arg.OneOf("from", Arg.String("member").Token("FROMMEMBER"), Arg.Block("fromlonlat", Arg.Double("longitude"), Arg.Double("latitude")).Token("FROMLONLAT")),
            Arg.OneOf("by", Arg.Block("circle", Arg.Double("radius").Token("BYRADIUS"), Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI"))), Arg.Block("box", Arg.Double("width").Token("BYBOX"), Arg.Double("height"), Arg.OneOf("unit", Arg.Word("m", "M"), Arg.Word("km", "KM"), Arg.Word("ft", "FT"), Arg.Word("mi", "MI")))),
            Arg.OneOf("order", Arg.Word("asc", "ASC"), Arg.Word("desc", "DESC")).Optional(),
            Arg.Block("count-block", Arg.Integer("count").Token("COUNT"), Arg.Word("any", "ANY").Optional()).Optional(),
            Arg.Word("storedist", "STOREDIST").Optional(),
        ],
        History = [("7.0.0", "Added support for uppercase unit names.")],
        Handler = &RunSearchStore,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All =>
        [Add, Dist, Hash, Pos, Radius, RadiusRo, RadiusByMember, RadiusByMemberRo, Search, SearchStore];

    private static ReadOnlySpan<byte> NotDecoded => "ERR could not decode requested zset member"u8;

    /// <summary>The index that is searched, and the destination: the last STORE or STOREDIST counts.</summary>
    private static bool FindRadiusKeys(ArgView args, List<KeyPosition> keys)
    {
        keys.Add(new KeyPosition(1, KeyAccess.None));
        int store = 0;
        for (int i = 5; i + 1 < args.Count; i++)
        {
            if (args[i].EqualsIgnoreCase("STORE"u8) || args[i].EqualsIgnoreCase("STOREDIST"u8))
            {
                store = ++i;
            }
        }

        if (store > 0)
        {
            keys.Add(new KeyPosition(store, KeyAccess.None));
        }

        return true;
    }

    // ------------------------------------------------------------------ arguments

    private static bool TryPosition(CommandContext c, int index, out GeoPosition position)
    {
        position = default;
        if (!c.TryDouble(index, out double longitude) || !c.TryDouble(index + 1, out double latitude))
        {
            return false;
        }

        position = new GeoPosition(longitude, latitude);
        if (position.IsValid)
        {
            return true;
        }

        c.Error($"ERR invalid longitude,latitude pair {Fixed(longitude)},{Fixed(latitude)}");
        return false;
    }

    /// <summary>As C's %f shows it.</summary>
    private static string Fixed(double value) =>
        double.IsInfinity(value) ? value > 0 ? "inf" : "-inf" : value.ToString("F6", CultureInfo.InvariantCulture);

    /// <summary>Meters of one unit.</summary>
    private static bool TryUnit(CommandContext c, int index, out double meters)
    {
        meters = c.Is(index, "m"u8) ? 1 : c.Is(index, "km"u8) ? 1000 : c.Is(index, "ft"u8) ? 0.3048 : c.Is(index, "mi"u8) ? 1609.34 : 0;
        if (meters != 0)
        {
            return true;
        }

        c.Error("ERR unsupported unit provided. please use M, KM, FT, MI"u8);
        return false;
    }

    private static bool TryNumber(CommandContext c, int index, ReadOnlySpan<byte> error, out double value)
    {
        if (c[index].TryDouble(out value))
        {
            return true;
        }

        c.Error(error);
        return false;
    }

    private static bool TryCircle(CommandContext c, int index, ref GeoShape shape)
    {
        if (!TryNumber(c, index, "ERR need numeric radius"u8, out shape.Radius))
        {
            return false;
        }

        if (shape.Radius < 0)
        {
            c.Error("ERR radius cannot be negative"u8);
            return false;
        }

        return TryUnit(c, index + 1, out shape.Unit);
    }

    private static bool TryBox(CommandContext c, int index, ref GeoShape shape)
    {
        shape.IsBox = true;
        if (!TryNumber(c, index, "ERR need numeric width"u8, out shape.Width) || !TryNumber(c, index + 1, "ERR need numeric height"u8, out shape.Height))
        {
            return false;
        }

        if (shape.Width < 0 || shape.Height < 0)
        {
            c.Error("ERR height or width cannot be negative"u8);
            return false;
        }

        return TryUnit(c, index + 2, out shape.Unit);
    }

    private static bool TryMember(CommandContext c, byte* record, Slice member, out GeoPosition position)
    {
        bool found = new SortedSetValue(record).TryScore(c.Keyspace.Heap, member.Pointer, member.Length, out double score);
        position = found ? GeoHash.OfScore(score).Center : default;
        return found;
    }

    // ------------------------------------------------------------------ members

    private static void RunAdd(CommandContext c)
    {
        const int maxOnStack = 32;
        int first = 2;
        var options = SortedSetCommands.AddOptions.None;
        for (; first < c.Count; first++)
        {
            SortedSetCommands.AddOptions option = c.Is(first, "NX"u8) ? SortedSetCommands.AddOptions.IfMissing
                : c.Is(first, "XX"u8) ? SortedSetCommands.AddOptions.IfExists
                : c.Is(first, "CH"u8) ? SortedSetCommands.AddOptions.CountChanged
                : SortedSetCommands.AddOptions.None;
            if (option == SortedSetCommands.AddOptions.None)
            {
                break;
            }

            options |= option;
        }

        const SortedSetCommands.AddOptions both = SortedSetCommands.AddOptions.IfMissing | SortedSetCommands.AddOptions.IfExists;
        int count = (c.Count - first) / 3;
        if ((c.Count - first) % 3 != 0 || count == 0 || (options & both) == both)
        {
            c.Error(Errors.Syntax);
            return;
        }

        ScoredMember* items = stackalloc ScoredMember[maxOnStack];
        if (count > maxOnStack)
        {
            items = (ScoredMember*)NativeMemory.Alloc((nuint)count, (nuint)sizeof(ScoredMember));
        }

        if (TryItems(c, first, items, count))
        {
            SortedSetCommands.AddItems(c, items, count, options);
        }

        if (count > maxOnStack)
        {
            NativeMemory.Free(items);
        }
    }

    private static bool TryItems(CommandContext c, int first, ScoredMember* items, int count)
    {
        for (int i = 0; i < count; i++)
        {
            int at = first + (3 * i);
            if (!TryPosition(c, at, out GeoPosition position))
            {
                return false;
            }

            items[i] = new ScoredMember { Score = GeoHash.Encode(position, GeoHash.MaxStep).Score, Member = c[at + 2].Pointer, Length = c[at + 2].Length };
        }

        return true;
    }

    private static void RunDist(CommandContext c)
    {
        double unit = 1;
        if (c.Count == 5 && !TryUnit(c, 4, out unit))
        {
            return;
        }

        if (c.Count > 5)
        {
            c.Error(Errors.Syntax);
            return;
        }

        if (!c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            return;
        }

        if (record == null || !TryMember(c, record, c[2], out GeoPosition from) || !TryMember(c, record, c[3], out GeoPosition to))
        {
            c.Reply.Null();
            return;
        }

        ReplyDistance(c, GeoPosition.Distance(from, to) / unit);
    }

    private static void RunPos(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            return;
        }

        c.Reply.Array(c.Count - 2);
        for (int i = 2; i < c.Count; i++)
        {
            if (record != null && TryMember(c, record, c[i], out GeoPosition position))
            {
                ReplyPosition(c, position);
            }
            else
            {
                c.Reply.NullArray();
            }
        }
    }

    private static void RunHash(CommandContext c)
    {
        if (!c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            return;
        }

        const int digits = 11, digitBits = 5, bits = 52;
        byte* text = stackalloc byte[digits];
        c.Reply.Array(c.Count - 2);
        for (int i = 2; i < c.Count; i++)
        {
            if (record == null || !TryMember(c, record, c[i], out GeoPosition position))
            {
                c.Reply.Null();
                continue;
            }

            // The hashes that people exchange count latitudes from pole to pole. 52 bits are not enough for the last digit.
            ulong hash = GeoHash.Encode(position, GeoHash.MaxStep, maxLatitude: 90).Bits;
            for (int digit = 0; digit < digits; digit++)
            {
                int index = digit < digits - 1 ? (int)(hash >> (bits - ((digit + 1) * digitBits))) & 31 : 0;
                text[digit] = "0123456789bcdefghjkmnpqrstuvwxyz"u8[index];
            }

            c.Reply.Bulk(text, digits);
        }
    }

    // ------------------------------------------------------------------ replies

    /// <summary>A distance, with four digits behind the point.</summary>
    private static void ReplyDistance(CommandContext c, double distance)
    {
        double scaled = Math.Round(distance * 10_000, MidpointRounding.ToEven);
        long value = Math.Abs(scaled) < 9.2233720368547758E18 ? (long)scaled : long.MinValue;
        ulong magnitude = value < 0 ? (ulong)-value : (ulong)value;
        Span<byte> text = stackalloc byte[24];
        int at = text.Length;
        for (int i = 0; i < 4; i++, magnitude /= 10)
        {
            text[--at] = (byte)('0' + (magnitude % 10));
        }

        text[--at] = (byte)'.';
        do
        {
            text[--at] = (byte)('0' + (magnitude % 10));
            magnitude /= 10;
        }
        while (magnitude != 0);
        if (value < 0)
        {
            text[--at] = (byte)'-';
        }

        c.Reply.Bulk(text[at..]);
    }

    private static void ReplyPosition(CommandContext c, in GeoPosition position)
    {
        c.Reply.Array(2);
        ReplyDegrees(c, position.Longitude);
        ReplyDegrees(c, position.Latitude);
    }

    /// <summary>Degrees with up to 17 digits behind the point, rounded from the exact number.</summary>
    private static void ReplyDegrees(CommandContext c, double degrees)
    {
        const int fraction = 17;
        long bits = BitConverter.DoubleToInt64Bits(degrees);
        int exponent = (int)((bits >> 52) & 0x7FF) - 1075;
        UInt128 scaled = (UInt128)(((ulong)bits & 0xFFFFFFFFFFFFF) | 0x10000000000000) * 100_000_000_000_000_000;
        // At most 180 × 10^17 is left when the fraction's bits are shifted out: it fits in 64 bits.
        int shift = Math.Min(-exponent, 127);
        UInt128 rest = scaled & ((UInt128.One << shift) - 1), half = UInt128.One << (shift - 1);
        ulong value = (ulong)(scaled >> shift);
        value += rest > half || (rest == half && (value & 1) != 0) ? 1UL : 0;

        Span<byte> text = stackalloc byte[32];
        int at = text.Length, end = at;
        bool isZero = value == 0, significant = false;
        for (int i = 0; i < fraction; i++, value /= 10)
        {
            byte digit = (byte)('0' + (value % 10));
            significant |= digit != '0';
            text[--at] = digit;
            end = significant ? end : at;
        }

        if (significant)
        {
            text[--at] = (byte)'.';
        }

        do
        {
            text[--at] = (byte)('0' + (value % 10));
            value /= 10;
        }
        while (value != 0);
        if (bits < 0 && !isZero)
        {
            text[--at] = (byte)'-';
        }

        c.Reply.DoubleText(text[at..end]);
    }

    // ------------------------------------------------------------------ searching

    /// <summary>A member that a search found.</summary>
    private struct Point
    {
        public GeoPosition Position;
        public double Distance;
        public double Score;
        public Element Member;
        public int Index;
    }

    /// <summary>By distance; equal ones stay in the order in which they were found, or are left to the way of sorting.</summary>
    private readonly struct ByDistance(bool descending, bool isStable) : IComparer<Point>
    {
        public int Compare(Point x, Point y)
        {
            int order = x.Distance.CompareTo(y.Distance);
            return order != 0 ? descending ? -order : order : isStable ? x.Index.CompareTo(y.Index) : 0;
        }
    }

    private enum Sorting
    {
        None,
        Ascending,
        Descending,
    }

    private ref struct Query
    {
        public GeoShape Shape;
        public bool WithDistance, WithHash, WithPosition, Any, StoresDistance;
        public Sorting Sorting;
        public long Count;
        public int Store;
        public bool HasCenter, HasArea;
    }

    private static void RunRadius(CommandContext c) => RadiusOfPosition(c, mayStore: true);

    private static void RunRadiusRo(CommandContext c) => RadiusOfPosition(c, mayStore: false);

    private static void RunRadiusByMember(CommandContext c) => RadiusOfMember(c, mayStore: true);

    private static void RunRadiusByMemberRo(CommandContext c) => RadiusOfMember(c, mayStore: false);

    private static void RadiusOfPosition(CommandContext c, bool mayStore)
    {
        var query = new Query { HasCenter = true, HasArea = true };
        if (c.TryRead(c.Key(1), DataType.SortedSet, out byte* record) && TryPosition(c, 2, out query.Shape.Center) && TryCircle(c, 4, ref query.Shape))
        {
            Find(c, 1, record, ref query, 6, isSearch: false, mayStore);
        }
    }

    private static void RadiusOfMember(CommandContext c, bool mayStore)
    {
        var query = new Query { HasCenter = true, HasArea = true };
        if (!c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            return;
        }

        // Where there is no index, the options still decide between an empty reply and a deleted destination.
        if (record != null)
        {
            if (!TryMember(c, record, c[2], out query.Shape.Center))
            {
                c.Error(NotDecoded);
                return;
            }

            if (!TryCircle(c, 3, ref query.Shape))
            {
                return;
            }
        }

        Find(c, 1, record, ref query, 5, isSearch: false, mayStore);
    }

    private static void RunSearch(CommandContext c)
    {
        var query = default(Query);
        if (c.TryRead(c.Key(1), DataType.SortedSet, out byte* record))
        {
            Find(c, 1, record, ref query, 2, isSearch: true, mayStore: false);
        }
    }

    private static void RunSearchStore(CommandContext c)
    {
        var query = new Query { Store = 1 };
        if (c.TryRead(c.Key(2), DataType.SortedSet, out byte* record))
        {
            Find(c, 2, record, ref query, 3, isSearch: true, mayStore: false);
        }
    }

    /// <summary>Reads the options, searches, and replies or stores what was found.</summary>
    private static void Find(CommandContext c, int source, byte* record, ref Query query, int firstOption, bool isSearch, bool mayStore)
    {
        if (!TryOptions(c, record, ref query, firstOption, isSearch, mayStore))
        {
            return;
        }

        if (record == null)
        {
            if (query.Store > 0)
            {
                Store(c, [], ref query, isSearch);
            }
            else
            {
                c.Reply.EmptyArray();
            }

            return;
        }

        if (query.Count != 0 && query.Sorting == Sorting.None && !query.Any)
        {
            query.Sorting = Sorting.Ascending;
        }

        NativeList<Point> points = default;
        try
        {
            Collect(new SortedSetValue(record), query.Shape, query.Any ? query.Count : long.MaxValue, ref points);
            Span<Point> found = points.Span;
            int wanted = query.Count == 0 ? found.Length : (int)Math.Min(query.Count, found.Length);
            if (query.Sorting != Sorting.None)
            {
                bool isDescending = query.Sorting == Sorting.Descending;
                if (wanted < found.Length)
                {
                    PartialSort.Sort(found, 0, wanted, new ByDistance(isDescending, isStable: false));
                }
                else
                {
                    found.Sort(new ByDistance(isDescending, isStable: true));
                }
            }

            if (query.Store > 0)
            {
                Store(c, found[..wanted], ref query, isSearch);
            }
            else
            {
                Reply(c, found[..wanted], query);
            }
        }
        finally
        {
            points.Dispose();
        }
    }

    private static bool TryOptions(CommandContext c, byte* record, ref Query query, int firstOption, bool isSearch, bool mayStore)
    {
        bool fromMember = false, fromPosition = false;
        for (int i = firstOption; i < c.Count; i++)
        {
            int following = c.Count - i - 1;
            if (c.Is(i, "WITHDIST"u8))
            {
                query.WithDistance = true;
            }
            else if (c.Is(i, "WITHHASH"u8))
            {
                query.WithHash = true;
            }
            else if (c.Is(i, "WITHCOORD"u8))
            {
                query.WithPosition = true;
            }
            else if (c.Is(i, "ANY"u8))
            {
                query.Any = true;
            }
            else if (c.Is(i, "ASC"u8))
            {
                query.Sorting = Sorting.Ascending;
            }
            else if (c.Is(i, "DESC"u8))
            {
                query.Sorting = Sorting.Descending;
            }
            else if (c.Is(i, "COUNT"u8) && following >= 1)
            {
                if (!c.TryLong(++i, out query.Count))
                {
                    return false;
                }

                if (query.Count <= 0)
                {
                    c.Error("ERR COUNT must be > 0"u8);
                    return false;
                }
            }
            else if (mayStore && following >= 1 && (c.Is(i, "STORE"u8) || c.Is(i, "STOREDIST"u8)))
            {
                query.StoresDistance = c.Is(i, "STOREDIST"u8);
                query.Store = ++i;
            }
            else if (isSearch && query.Store > 0 && c.Is(i, "STOREDIST"u8))
            {
                query.StoresDistance = true;
            }
            else if (isSearch && c.Is(i, "FROMMEMBER"u8) && following >= 1 && !fromPosition)
            {
                i++;
                fromMember = true;
                if (record != null && !TryMember(c, record, c[i], out query.Shape.Center))
                {
                    c.Error(NotDecoded);
                    return false;
                }
            }
            else if (isSearch && c.Is(i, "FROMLONLAT"u8) && following >= 2 && !fromMember)
            {
                if (!TryPosition(c, i + 1, out query.Shape.Center))
                {
                    return false;
                }

                fromPosition = true;
                i += 2;
            }
            else if (isSearch && c.Is(i, "BYRADIUS"u8) && following >= 2 && !query.Shape.IsBox)
            {
                if (!TryCircle(c, i + 1, ref query.Shape))
                {
                    return false;
                }

                query.HasArea = true;
                i += 2;
            }
            else if (isSearch && c.Is(i, "BYBOX"u8) && following >= 3 && !(query.HasArea && !query.Shape.IsBox))
            {
                if (!TryBox(c, i + 1, ref query.Shape))
                {
                    return false;
                }

                query.HasArea = true;
                i += 3;
            }
            else
            {
                c.Error(Errors.Syntax);
                return false;
            }
        }

        query.HasCenter |= fromMember || fromPosition;
        if (query.Store > 0 && (query.WithDistance || query.WithHash || query.WithPosition))
        {
            c.Error($"ERR {(isSearch ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS")} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
        }
        else if (!query.HasCenter)
        {
            c.Error($"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {c.TextToZero(0)}");
        }
        else if (!query.HasArea)
        {
            c.Error($"ERR exactly one of BYRADIUS and BYBOX can be specified for {c.TextToZero(0)}");
        }
        else if (query.Any && query.Count == 0)
        {
            c.Error("ERR the ANY argument requires COUNT argument"u8);
        }
        else
        {
            return true;
        }

        return false;
    }

    /// <summary>Finds the members in the area, cell by cell; no more than the limit.</summary>
    private static void Collect(in SortedSetValue set, in GeoShape shape, long limit, ref NativeList<Point> points)
    {
        Span<GeoHash> cells = stackalloc GeoHash[GeoShape.MaxCells];
        foreach (ref readonly GeoHash cell in cells[..shape.Cells(cells)])
        {
            (long from, long to) = set.Ranks(cell.Scores);
            SortedSetCursor cursor = from < to ? set.At(from) : default;
            for (; from < to; from++, cursor.MoveNext())
            {
                double score = cursor.Score;
                GeoPosition position = GeoHash.OfScore(score).Center;
                if (!shape.Contains(position, out double distance))
                {
                    continue;
                }

                Element member = cursor.Get(out byte* bytes, out int length, out long integer) ? new Element(integer) : new Element(bytes, length);
                points.Add(new Point { Position = position, Distance = distance, Score = score, Member = member, Index = points.Count });
                if (points.Count >= limit)
                {
                    return;
                }
            }
        }
    }

    private static void Reply(CommandContext c, Span<Point> found, in Query query)
    {
        int options = (query.WithDistance ? 1 : 0) + (query.WithHash ? 1 : 0) + (query.WithPosition ? 1 : 0);
        c.Reply.Array(found.Length);
        foreach (ref Point point in found)
        {
            if (options > 0)
            {
                c.Reply.Array(options + 1);
            }

            point.Member.Reply(c.Reply);
            if (query.WithDistance)
            {
                ReplyDistance(c, point.Distance / query.Shape.Unit);
            }

            if (query.WithHash)
            {
                c.Reply.Integer(point.Score < 9.2233720368547758E18 ? (long)point.Score : long.MinValue);
            }

            if (query.WithPosition)
            {
                ReplyPosition(c, point.Position);
            }
        }
    }

    /// <summary>Makes a sorted set of what was found, by distance or by hash; nothing found: the destination goes.</summary>
    private static void Store(CommandContext c, Span<Point> found, ref Query query, bool isSearch)
    {
        Key destination = c.Key(query.Store);
        if (found.IsEmpty)
        {
            if (c.Database.Peek(destination) != null && c.Effects.Delete(destination))
            {
                c.Notify(KeyspaceEvents.Generic, "del"u8, destination);
            }

            c.Reply.Integer(0);
            return;
        }

        using var scratch = new ArgBuffer();
        NativeList<ScoredMember> items = default;
        try
        {
            foreach (ref Point point in found)
            {
                Slice member = point.Member.IsInteger ? point.Member.Text(scratch.Allocate(Element.ScratchSize)) : new Slice(point.Member.Bytes, (int)point.Member.Length);
                items.Add(new ScoredMember { Score = query.StoresDistance ? point.Distance / query.Shape.Unit : point.Score, Member = member.Pointer, Length = member.Length });
            }

            items.Span.Sort(static (x, y) => x.Score != y.Score ? x.Score.CompareTo(y.Score) : x.Span.SequenceCompareTo(y.Span));
            c.Effects.SortedSetReplace(destination, items.Items, items.Count);
            c.Notify(KeyspaceEvents.SortedSet, isSearch ? "geosearchstore"u8 : "georadiusstore"u8, destination);
            c.Reply.Integer(found.Length);
        }
        finally
        {
            items.Dispose();
        }
    }
}
