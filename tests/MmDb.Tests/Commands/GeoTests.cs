using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class GeoTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    private const string Sicily = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania";

    [Theory]
    [InlineData("GEODIST g Palermo Catania", "\"166274.1516\"")]
    [InlineData("GEODIST g Palermo Catania km", "\"166.2742\"")]
    [InlineData("GEODIST g Palermo Palermo", "\"0.0000\"")]
    [InlineData("GEODIST g Palermo nowhere", "nil")]
    [InlineData("GEODIST g Palermo Catania x", "-ERR unsupported unit provided. please use M, KM, FT, MI")]
    [InlineData("GEOHASH g Palermo Catania nowhere", "[\"sqc8b49rny0\", \"sqdtr74hyu0\", nil]")]
    [InlineData("GEOPOS g Palermo nowhere", "[[\"13.36138933897018433\", \"38.11555639549629859\"], nil-array]")]
    [InlineData("ZSCORE g Palermo", "\"3479099956230698\"")]
    [InlineData("GEORADIUS g 15 37 200 km", "[\"Palermo\", \"Catania\"]")]
    [InlineData("GEORADIUS g 15 37 200 km COUNT 1", "[\"Catania\"]")]
    [InlineData("GEORADIUS g 15 37 200 km WITHDIST DESC", "[[\"Palermo\", \"190.4424\"], [\"Catania\", \"56.4413\"]]")]
    [InlineData("GEORADIUSBYMEMBER g Catania 10 m WITHHASH WITHCOORD", "[[\"Catania\", :3479447370796909, [\"15.08726745843887329\", \"37.50266842333162032\"]]]")]
    [InlineData("GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC", "[\"Catania\", \"Palermo\"]")]
    [InlineData("GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 50 km", "[]")]
    [InlineData("GEOSEARCH g FROMMEMBER nowhere BYRADIUS 1 km", "-ERR could not decode requested zset member")]
    [InlineData("GEOSEARCH none FROMMEMBER nowhere BYRADIUS 1 km", "[]")]
    [InlineData("GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km BYBOX 1 1 km", "-ERR syntax error")]
    [InlineData("GEOSEARCH g FROMMEMBER Palermo COUNT 1 ASC WITHDIST", "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH")]
    [InlineData("GEOADD g 181 0 x", "-ERR invalid longitude,latitude pair 181.000000,0.000000")]
    [InlineData("GEOADD g NX XX 1 1 x", "-ERR syntax error")]
    [InlineData("GEOADD g CH 13 38 Palermo 0 0 x", ":2")]
    public void Distances_positions_and_searches_are_those_of_Redis(string command, string reply)
    {
        _db.Prepare(Sicily);
        Assert.Equal(reply, _db.Run(command));
    }

    [Fact]
    public void Coordinates_are_doubles_in_RESP3()
    {
        _db.Prepare(Sicily, "HELLO 3");
        Assert.Equal("[[,13.36138933897018433, ,38.11555639549629859]]", _db.Run("GEOPOS g Palermo"));
    }

    [Fact]
    public void Stored_results_are_sorted_sets_by_hash_or_by_distance_and_nothing_found_deletes()
    {
        _db.ListenToEvents(KeyspaceEvents.All);
        _db.Prepare(Sicily, "SET d x");
        Assert.Equal(":2", _db.Run("GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km"));
        Assert.Equal("[\"Palermo\", \"3479099956230698\", \"Catania\", \"3479447370796909\"]", _db.Run("ZRANGE d 0 -1 WITHSCORES"));
        Assert.Equal(":1", _db.Run("GEORADIUS g 15 37 200 km COUNT 1 STOREDIST g2"));
        Assert.StartsWith("[\"Catania\", \"56.441257870158", _db.Run("ZRANGE g2 0 -1 WITHSCORES"), StringComparison.Ordinal);
        Assert.Equal(":0", _db.Run("GEOSEARCHSTORE d g FROMLONLAT 0 0 BYRADIUS 1 m"));
        Assert.Equal(":0", _db.Run("EXISTS d"));
        Assert.Equal(["zadd g", "set d", "geosearchstore d", "georadiusstore g2", "del d"], _db.Events);
    }

    [Fact]
    public void A_search_finds_exactly_the_members_within_its_area() => Seed.Run(random =>
    {
        using var db = new InProcess();
        var places = new List<(double Longitude, double Latitude)>();
        for (int i = 0; i < 2000; i++)
        {
            places.Add((Number(random, -180, 180), Number(random, -80, 80)));
            db.Run(string.Create(CultureInfo.InvariantCulture, $"GEOADD g {places[i].Longitude} {places[i].Latitude} {i}"));
        }

        for (int round = 0; round < 50; round++)
        {
            // Redis's cells do not reach around the poles and the date line.
            double longitude = Number(random, -120, 120), latitude = Number(random, -60, 60), radius = Number(random, 100, 1_500);
            string[] expected = [.. Enumerable.Range(0, places.Count).Where(i => Kilometers(longitude, latitude, places[i].Longitude, places[i].Latitude) < radius - 1).Select(i => i.ToString(CultureInfo.InvariantCulture))];
            string[] most = [.. Enumerable.Range(0, places.Count).Where(i => Kilometers(longitude, latitude, places[i].Longitude, places[i].Latitude) < radius + 1).Select(i => i.ToString(CultureInfo.InvariantCulture))];
            db.Default.Send([.. FormattableString.Invariant($"GEOSEARCH g FROMLONLAT {longitude} {latitude} BYRADIUS {radius} km").Split(' ').Select(Encoding.ASCII.GetBytes)]);
            string[] found = [.. db.Default.TakeReply()!.Elements.Select(e => e.Text)];
            Assert.Empty(expected.Except(found));
            Assert.Empty(found.Except(most));
        }
    });

    [Fact]
    public void COUNT_gives_the_nearest_in_order_whatever_the_limit() => Seed.Run(random =>
    {
        using var db = new InProcess();
        for (int i = 0; i < 500; i++)
        {
            db.Run(string.Create(CultureInfo.InvariantCulture, $"GEOADD g {Number(random, 0, 10)} {Number(random, 0, 10)} {i}"));
        }

        db.Default.Send([.. "GEOSEARCH g FROMLONLAT 5 5 BYRADIUS 500 km ASC".Split(' ').Select(Encoding.ASCII.GetBytes)]);
        string[] all = [.. db.Default.TakeReply()!.Elements.Select(e => e.Text)];
        foreach (int count in new[] { 1, 2, 3, 10, all.Length - 1, all.Length, all.Length + 1 })
        {
            db.Default.Send([.. FormattableString.Invariant($"GEOSEARCH g FROMLONLAT 5 5 BYRADIUS 500 km COUNT {count}").Split(' ').Select(Encoding.ASCII.GetBytes)]);
            Assert.Equal(all.Take(count), db.Default.TakeReply()!.Elements.Select(e => e.Text));
        }
    });

    [Fact]
    public void Replaying_the_log_makes_the_same_contents() => Seed.Run(random =>
    {
        using var db = new InProcess(recording: true);
        for (int i = 0; i < 500; i++)
        {
            string place = FormattableString.Invariant($"{Number(random, 0, 20)} {Number(random, 0, 20)}");
            db.Run(random.Next(4) switch
            {
                0 => $"GEOSEARCHSTORE d{random.Next(2)} g FROMLONLAT {place} BYRADIUS {random.Next(2000)} km{(random.Next(2) == 0 ? " STOREDIST" : "")}",
                1 => $"GEORADIUS g {place} {random.Next(2000)} km STORE g",
                _ => $"GEOADD g {place} m{random.Next(100)}",
            });
        }

        string contents = db.Contents();
        using InProcess replayed = db.Replay();
        Assert.Equal(contents, replayed.Contents());
    });

    private static double Number(Random random, double from, double to) => from + (random.NextDouble() * (to - from));

    private static double Kilometers(double longitude1, double latitude1, double longitude2, double latitude2)
    {
        const double radians = Math.PI / 180;
        double u = Math.Sin((latitude2 - latitude1) * radians / 2), v = Math.Sin((longitude2 - longitude1) * radians / 2);
        return 2 * 6372.797560856 * Math.Asin(Math.Sqrt((u * u) + (Math.Cos(latitude1 * radians) * Math.Cos(latitude2 * radians) * v * v)));
    }
}
