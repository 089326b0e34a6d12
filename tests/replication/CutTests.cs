// A link that is cut in the middle of a sync, and nodes that are killed in it: what has come is not fetched again.

using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class CutTests
{
    private const int Keys = 40_000;
    private const int Length = 500;
    private const long DataBytes = (long)Keys * Length;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_sync_that_is_cut_goes_on_and_fetches_nothing_twice(bool hasVersion) => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), phone = Node.Start(network, Places.Phone);
        using (RespClient client = home.Connect())
        {
            Bulk.Set(client, random, 0, Keys, Length);
            if (hasVersion) Assert.False(client.Call("MIMEI", "BACKUP").IsError);
        }

        home.Publish();
        Link link = network[Places.Phone];
        link.CutAfter(DataBytes / 3);
        using RespClient providing = phone.BeginProviding(home.Mid, home);
        Wait.Until(() => link.IsCut, () => Same.Describe(phone, home.Mid));

        // Long enough that a connection may be given up, short enough that it may live on.
        Thread.Sleep(random.Next(100, 3000));
        link.Heal();
        link.CutAfter(DataBytes / 3);
        Wait.Until(() => link.IsCut, () => Same.Describe(phone, home.Mid));

        // And with a process that knows no more what it was about.
        phone.Kill();
        link.Heal();
        phone.Start();
        Same.Await(home.Mid, home, phone);

        Assert.InRange(link.Bytes, DataBytes, DataBytes + (DataBytes / 4));
    });

    [Fact]
    public void What_is_written_while_a_link_is_cut_arrives_when_it_is_healed() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        home.Publish();
        cloud.Provide(home.Mid, home);
        using RespClient client = home.Connect();
        for (int cut = 0; cut < (Seed.IsLong ? 30 : 3); cut++)
        {
            Link link = network[random.Next(2) == 0 ? Places.Home : Places.Cloud];
            link.Cut();
            Bulk.Set(client, random, random.Next(5000), random.Next(1, 3000), random.Next(200));
            AwaitSilence(cloud, home.Mid, random.Next(0, 1500));
            link.Heal();
            if (random.Next(2) == 0) Bulk.Set(client, random, random.Next(5000), random.Next(1, 3000), random.Next(200));
            Same.Await(home.Mid, home, cloud);
        }

        Same.AwaitVersion(home.Mid, home, cloud);
    });

    [Fact]
    public void A_slow_link_that_loses_packets_carries_everything_in_the_end() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), phone = Node.Start(network, Places.Phone);
        home.Publish();
        network[Places.Phone].Delay = TimeSpan.FromMilliseconds(20);
        network[Places.Phone].Loss = 0.01;
        phone.Provide(home.Mid, home);
        using RespClient client = home.Connect();
        Bulk.Set(client, random, 0, 3000, 300);
        Same.AwaitVersion(home.Mid, home, phone);
    });

    [Fact]
    public void A_node_that_comes_back_fetches_what_changed_and_not_what_it_has() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        using RespClient client = home.Connect();
        Bulk.Set(client, random, 0, Keys, Length);
        home.Publish();
        cloud.Provide(home.Mid, home);
        Same.Await(home.Mid, home, cloud);
        cloud.Stop();
        long before = network[Places.Cloud].Bytes;
        Bulk.Set(client, random, 0, Keys / 100, Length);
        cloud.Start();
        Same.Await(home.Mid, home, cloud);
        Assert.InRange(network[Places.Cloud].Bytes - before, 1, DataBytes * 3 / 100);
    });

    /// <summary>Waits until a follower has heard nothing of its source for so long, or has none any more.</summary>
    private static void AwaitSilence(Node follower, string mid, int milliseconds) => Wait.Until(
        () => Node.Field(follower.Ask("MIMEI", "SHOW", mid), "silent-ms").Integer is var silent && (silent < 0 || silent >= milliseconds),
        () => Same.Describe(follower, mid));
}
