using System.Runtime.CompilerServices;

namespace Leither.MmDb.Values;

/// <summary>A place on Earth, in degrees.</summary>
internal readonly record struct GeoPosition(double Longitude, double Latitude)
{
    private const double EarthRadius = 6372797.560856;
    private const double DegreesToRadians = Math.PI / 180.0;

    /// <summary>Whether it can be held: the poles cannot (EPSG:3857).</summary>
    public bool IsValid => Longitude is >= -GeoHash.MaxLongitude and <= GeoHash.MaxLongitude && Latitude is >= -GeoHash.MaxLatitude and <= GeoHash.MaxLatitude;

    /// <summary>Degrees of latitude that so many meters are.</summary>
    public static double LatitudesIn(double meters) => meters / EarthRadius / DegreesToRadians;

    /// <summary>Degrees of longitude that so many meters are at a latitude.</summary>
    public static double LongitudesIn(double meters, double latitude) => meters / EarthRadius / Math.Cos(latitude * DegreesToRadians) / DegreesToRadians;

    /// <summary>Meters between two latitudes.</summary>
    public static double LatitudeDistance(double a, double b) => EarthRadius * Math.Abs((b * DegreesToRadians) - (a * DegreesToRadians));

    /// <summary>Meters between two places on the great circle (haversine).</summary>
    public static double Distance(in GeoPosition a, in GeoPosition b)
    {
        double v = Math.Sin(((b.Longitude * DegreesToRadians) - (a.Longitude * DegreesToRadians)) / 2);
        if (v == 0)
        {
            return LatitudeDistance(a.Latitude, b.Latitude);
        }

        double from = a.Latitude * DegreesToRadians, to = b.Latitude * DegreesToRadians, u = Math.Sin((to - from) / 2);
        double h = (u * u) + (Math.Cos(from) * Math.Cos(to) * v * v);
        return 2.0 * EarthRadius * Math.Asin(Math.Sqrt(h));
    }
}

/// <summary>A rectangle of degrees.</summary>
internal readonly record struct GeoBounds(double MinLongitude, double MaxLongitude, double MinLatitude, double MaxLatitude);

/// <summary>
/// A cell of the Earth: so many steps of halving longitude and latitude, one bit of each a step, longitude's above latitude's. A
/// member of a geospatial index is a cell of <see cref="MaxStep"/> steps, and the 52 bits are its score in a sorted set: members
/// of a larger cell are a range of scores.
/// </summary>
/// <param name="Bits">The bits, the last step's lowest.</param>
/// <param name="Step">Number of steps; 0: no cell.</param>
internal readonly record struct GeoHash(ulong Bits, int Step)
{
    /// <summary>Steps of a member's cell.</summary>
    public const int MaxStep = 26;

    /// <summary>Limit of longitude.</summary>
    public const double MaxLongitude = 180;

    /// <summary>Limit of latitude.</summary>
    public const double MaxLatitude = 85.05112878;

    private const ulong LongitudeBits = 0xAAAAAAAAAAAAAAAA, LatitudeBits = 0x5555555555555555;

    /// <summary>The cell that a place lies in, of so many steps.</summary>
    public static GeoHash Encode(in GeoPosition position, int step, double maxLatitude = MaxLatitude)
    {
        double latitude = (position.Latitude + maxLatitude) / (maxLatitude - -maxLatitude);
        double longitude = (position.Longitude + MaxLongitude) / (MaxLongitude - -MaxLongitude);
        return new GeoHash(Spread((uint)(latitude * (1UL << step))) | (Spread((uint)(longitude * (1UL << step))) << 1), step);
    }

    /// <summary>The member's cell that a score stands for, whatever the score.</summary>
    public static GeoHash OfScore(double score)
    {
        // As the conversions of the processors do it that Redis runs on; C leaves it open.
        ulong bits = score < 0 ? (ulong)(score > -9.2233720368547758E18 ? (long)score : long.MinValue)
            : score < 1.8446744073709552E19 ? (ulong)score
            : 0;
        return new GeoHash(bits, MaxStep);
    }

    /// <summary>The score of a member in this cell.</summary>
    public double Score => Bits << (2 * (MaxStep - Step));

    /// <summary>The scores of the members in this cell.</summary>
    public ScoreRange Scores => new(Score, false, new GeoHash(Bits + 1, Step).Score, true);

    /// <summary>The cell's bounds.</summary>
    public GeoBounds Bounds
    {
        get
        {
            uint latitude = Gather(Bits), longitude = Gather(Bits >> 1);
            double cells = 1UL << Step;
            const double latitudes = MaxLatitude - -MaxLatitude, longitudes = MaxLongitude - -MaxLongitude;
            return new GeoBounds(
                -MaxLongitude + (longitude / cells * longitudes),
                -MaxLongitude + ((longitude + 1) / cells * longitudes),
                -MaxLatitude + (latitude / cells * latitudes),
                -MaxLatitude + ((latitude + 1) / cells * latitudes));
        }
    }

    /// <summary>The middle of the cell.</summary>
    public GeoPosition Center
    {
        get
        {
            GeoBounds bounds = Bounds;
            return new GeoPosition(
                Math.Clamp((bounds.MinLongitude + bounds.MaxLongitude) / 2, -MaxLongitude, MaxLongitude),
                Math.Clamp((bounds.MinLatitude + bounds.MaxLatitude) / 2, -MaxLatitude, MaxLatitude));
        }
    }

    /// <summary>The neighbouring cell so many (-1, 0, 1) to the east and to the north; the Earth is round both ways here.</summary>
    public GeoHash Neighbor(int east, int north)
    {
        ulong longitude = Move(Bits & LongitudeBits, LatitudeBits >> (64 - (2 * Step)), LongitudeBits >> (64 - (2 * Step)), east);
        ulong latitude = Move(Bits & LatitudeBits, LongitudeBits >> (64 - (2 * Step)), LatitudeBits >> (64 - (2 * Step)), north);
        return new GeoHash(longitude | latitude, Step);
    }

    /// <summary>Adds one or takes one from interleaved bits: the others, all ones, carry.</summary>
    private static ulong Move(ulong bits, ulong others, ulong mask, int by) => by switch
    {
        > 0 => (bits + others + 1) & mask,
        < 0 => ((bits | others) - (others + 1)) & mask,
        _ => bits,
    };

    /// <summary>Makes room for another bit between any two.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Spread(uint value)
    {
        ulong x = value;
        x = (x | (x << 16)) & 0x0000FFFF0000FFFF;
        x = (x | (x << 8)) & 0x00FF00FF00FF00FF;
        x = (x | (x << 4)) & 0x0F0F0F0F0F0F0F0F;
        x = (x | (x << 2)) & 0x3333333333333333;
        return (x | (x << 1)) & 0x5555555555555555;
    }

    /// <summary>Undoes <see cref="Spread"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Gather(ulong x)
    {
        x &= 0x5555555555555555;
        x = (x | (x >> 1)) & 0x3333333333333333;
        x = (x | (x >> 2)) & 0x0F0F0F0F0F0F0F0F;
        x = (x | (x >> 4)) & 0x00FF00FF00FF00FF;
        x = (x | (x >> 8)) & 0x0000FFFF0000FFFF;
        return (uint)(x | (x >> 16));
    }
}
