namespace Leither.MmDb.Values;

/// <summary>
/// What a geospatial query looks for: a circle or a box around a place. It knows which cells can hold such members, at most nine: the
/// cell of the center, of a size to fit, and its neighbours.
/// </summary>
internal struct GeoShape
{
    /// <summary>Cells that a query looks into at most.</summary>
    public const int MaxCells = 9;

    private const double MercatorMax = 20037726.37;

    /// <summary>The middle.</summary>
    public GeoPosition Center;

    /// <summary>Whether it is a box; else it is a circle.</summary>
    public bool IsBox;

    /// <summary>The circle's radius, in units.</summary>
    public double Radius;

    /// <summary>The box's width, in units.</summary>
    public double Width;

    /// <summary>The box's height, in units.</summary>
    public double Height;

    /// <summary>Meters of one unit.</summary>
    public double Unit;

    /// <summary>Whether a place lies in it; if so, its distance from the center in meters.</summary>
    public readonly bool Contains(in GeoPosition position, out double distance)
    {
        if (!IsBox)
        {
            distance = GeoPosition.Distance(Center, position);
            return !(distance > Radius * Unit);
        }

        distance = 0;
        if (GeoPosition.LatitudeDistance(position.Latitude, Center.Latitude) > Height * Unit / 2
            || GeoPosition.Distance(position, Center with { Latitude = position.Latitude }) > Width * Unit / 2)
        {
            return false;
        }

        distance = GeoPosition.Distance(Center, position);
        return true;
    }

    /// <summary>The cells to look into, in the order in which Redis does; those that are none (step 0) are left out. Gives their number.</summary>
    public readonly int Cells(Span<GeoHash> cells)
    {
        GeoBounds bounds = Bounds();
        double meters = (IsBox ? Math.Sqrt((Width / 2 * (Width / 2)) + (Height / 2 * (Height / 2))) : Radius) * Unit;
        int step = StepFor(meters);
        GeoHash center = GeoHash.Encode(Center, step);
        if (step > 1 && !NeighborsReach(center, bounds))
        {
            center = GeoHash.Encode(Center, --step);
        }

        // Sides that the bounds do not reach need no look.
        GeoBounds cell = center.Bounds;
        bool all = step < 2;
        bool south = all || !(cell.MinLatitude < bounds.MinLatitude), north = all || !(cell.MaxLatitude > bounds.MaxLatitude);
        bool west = all || !(cell.MinLongitude < bounds.MinLongitude), east = all || !(cell.MaxLongitude > bounds.MaxLongitude);
        int count = 0;
        Add(cells, ref count, center, 0, 0, true);
        Add(cells, ref count, center, 0, 1, north);
        Add(cells, ref count, center, 0, -1, south);
        Add(cells, ref count, center, 1, 0, east);
        Add(cells, ref count, center, -1, 0, west);
        Add(cells, ref count, center, 1, 1, north && east);
        Add(cells, ref count, center, -1, 1, north && west);
        Add(cells, ref count, center, 1, -1, south && east);
        Add(cells, ref count, center, -1, -1, south && west);
        return count;
    }

    private static void Add(Span<GeoHash> cells, ref int count, in GeoHash center, int east, int north, bool wanted)
    {
        GeoHash cell = center.Neighbor(east, north);
        // With few steps opposite neighbours are one; the first of them is the center only by itself.
        if (wanted && (count < 2 || cells[count - 1] != cell))
        {
            cells[count++] = cell;
        }
    }

    private readonly GeoBounds Bounds()
    {
        double height = Unit * (IsBox ? Height / 2 : Radius), width = Unit * (IsBox ? Width / 2 : Radius);
        double latitudes = GeoPosition.LatitudesIn(height);
        // The wider side is the one nearer to the pole.
        double edge = Center.Latitude < 0 ? Center.Latitude - latitudes : Center.Latitude + latitudes;
        double longitudes = GeoPosition.LongitudesIn(width, edge);
        return new GeoBounds(Center.Longitude - longitudes, Center.Longitude + longitudes, Center.Latitude - latitudes, Center.Latitude + latitudes);
    }

    /// <summary>Steps of cells that are about as large as the area, larger towards the poles.</summary>
    private readonly int StepFor(double meters)
    {
        if (meters == 0)
        {
            return GeoHash.MaxStep;
        }

        int step = 1;
        for (; meters < MercatorMax; meters *= 2)
        {
            step++;
        }

        step -= 2;
        step -= Math.Abs(Center.Latitude) > 66 ? 1 : 0;
        step -= Math.Abs(Center.Latitude) > 80 ? 1 : 0;
        return Math.Clamp(step, 1, GeoHash.MaxStep);
    }

    private static bool NeighborsReach(in GeoHash center, in GeoBounds bounds) =>
        !(center.Neighbor(0, 1).Bounds.MaxLatitude < bounds.MaxLatitude)
        && !(center.Neighbor(0, -1).Bounds.MinLatitude > bounds.MinLatitude)
        && !(center.Neighbor(1, 0).Bounds.MaxLongitude < bounds.MaxLongitude)
        && !(center.Neighbor(-1, 0).Bounds.MinLongitude > bounds.MinLongitude);
}
