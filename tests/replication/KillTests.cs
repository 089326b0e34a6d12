// Processes that are killed under load, at either end: nothing that WAIT acknowledged is lost, nothing is applied twice, and in the end all hold the same.

using System.Globalization;
using Leither.TestKit;
using Xunit;

namespace Leither.ReplicationNetwork;

public sealed class KillTests
{
    [Fact]
    public void Nothing_acknowledged_is_lost_and_nothing_is_applied_twice_when_writer_and_follower_are_killed() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        using Node home = Node.Start(network, Places.Home), cloud = Node.Start(network, Places.Cloud);
        home.Publish();
        cloud.Provide(home.Mid, home);
        home.Name(cloud);
        var load = new Counters(home.Mid, random.Next());
        for (int round = 0; round < (Seed.IsLong ? 300 : 5); round++)
        {
            long before = load.AcknowledgedRounds;
            load.Begin(home);
            Wait.Until(() => load.AcknowledgedRounds > before, () => Same.Describe(home, home.Mid) + Same.Describe(cloud, home.Mid));
            long until = load.Sent + random.Next(3000);
            Wait.Until(() => load.Sent >= until);
            int victims = round % 3;
            if (victims != 1) home.Kill();
            if (victims != 0) cloud.Kill();
            load.End();
            if (victims != 1) home.Start();
            if (victims != 0) cloud.Start();
            load.Check(home);
            if (round % 5 == 4) Same.Await(home.Mid, home, cloud);
        }

        Same.AwaitVersion(home.Mid, home, cloud);
        load.Check(cloud);
    });

    [Fact]
    public void A_writer_that_lost_its_unsynced_tail_gets_back_what_was_acknowledged() => Seed.Run(random =>
    {
        using Network network = Network.Create();
        if (network is LoopbackNetwork)
        {
            // Nor could the writer find its follower: there it announces no address.
            Notes.Say("no loss of power: another boot of the machine is a mount, which is not allowed");
            return;
        }

        using Node home = Node.Start(network, Places.Home, "--appendfsync", "no"), cloud = Node.Start(network, Places.Cloud);
        home.Publish();
        cloud.Provide(home.Mid, home);
        home.Name(cloud);
        var load = new Counters(home.Mid, random.Next());
        for (int round = 0; round < (Seed.IsLong ? 50 : 2); round++)
        {
            long before = load.AcknowledgedRounds;
            load.Begin(home);
            Wait.Until(() => load.AcknowledgedRounds > before + 20, () => Same.Describe(home, home.Mid) + Same.Describe(cloud, home.Mid));
            home.Kill();
            load.End();
            LosePower(home, random.Next(1, 20_000));
            home.Reboot();
            home.Start();
            Same.Await(home.Mid, home, cloud);
            load.Check(home, lostUnsynced: true);
        }

        Same.AwaitVersion(home.Mid, home, cloud);
    });

    /// <summary>Takes away the end of a log, as a power cut does with what was not synced.</summary>
    private static void LosePower(Node node, int bytes)
    {
        // The newest with entries; room that was prepared is zeros.
        foreach (string file in Directory.EnumerateFiles(Path.Combine(node.Folder, "mimei"), "*.seg", SearchOption.AllDirectories).OrderDescending(StringComparer.Ordinal))
        {
            const int header = 128;
            byte[] content = File.ReadAllBytes(file);
            int end = content.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
            if (end <= header) continue;
            using FileStream log = File.OpenWrite(file);
            log.SetLength(Math.Max(header, end - bytes));
            return;
        }

        throw new FileNotFoundException($"No log in {node.Folder}: {bytes.ToString(CultureInfo.InvariantCulture)} bytes to lose");
    }
}
