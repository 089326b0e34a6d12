// The network that the other tests stand on: what they cut is cut.

using System.Diagnostics;
using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class NetworkTests
{
    [Fact]
    public void Nodes_meet_over_the_network_and_a_cut_link_carries_nothing_until_it_is_healed()
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        Connect(cloud, home);
        Assert.True(network[Places.Cloud].Bytes > 500);
        cloud.Kill();

        network[Places.Home].Cut();
        cloud.Start();
        long before = network[Places.Home].Bytes;
        using RespClient client = cloud.Connect();
        client.Queue("SWARM", "CONNECT", home.AddressFor(cloud));
        client.Flush();
        Assert.False(client.WaitReadable(TimeSpan.FromMilliseconds(300)) && !client.Read().IsError);
        Assert.Equal(before, network[Places.Home].Bytes);

        network[Places.Home].Heal();
        Wait.Until(() => !cloud.Connect().Call("SWARM", "CONNECT", home.AddressFor(cloud)).IsError);
    }

    [Fact]
    public void A_link_takes_its_time_and_loses_what_it_is_told_to()
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        Connect(cloud, home);
        network[Places.Home].Delay = TimeSpan.FromMilliseconds(40);
        network[Places.Cloud].Loss = 0.2;
        long start = Stopwatch.GetTimestamp();
        cloud.Restart();
        Connect(cloud, home);
        Assert.True(Stopwatch.GetElapsedTime(start) > TimeSpan.FromMilliseconds(160)); // at least two round trips
    }

    [Fact]
    public void A_link_cuts_itself_after_so_many_bytes()
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        network[Places.Cloud].CutAfter(300);
        using RespClient client = cloud.Connect();
        client.Queue("SWARM", "CONNECT", home.AddressFor(cloud));
        client.Flush();
        Wait.Until(() => network[Places.Cloud].IsCut);
        network[Places.Cloud].Heal();
        Assert.True(Wait.Comes(() => !cloud.Connect().Call("SWARM", "CONNECT", home.AddressFor(cloud)).IsError), home.Log);
    }

    [Fact]
    public void Clocks_of_nodes_are_hours_apart()
    {
        using Network network = Network.Create();
        using Node ahead = Node.Start(network, Places.Home, TimeSpan.FromHours(5)), behind = Node.Start(network, Places.Cloud, TimeSpan.FromHours(-7));
        Assert.InRange(ahead.Ask("TIME")[0].Integer - behind.Ask("TIME")[0].Integer, 12 * 3600 - 60, 12 * 3600 + 60);
    }

    private static void Connect(Node from, Node to)
    {
        string address = to.AddressFor(from);
        Assert.True(Wait.Comes(() => !from.Connect().Call("SWARM", "CONNECT", address).IsError), $"{from.Connect().Call("SWARM", "CONNECT", address)}\n{from.Log}\n{to.Log}");
    }
}
