// The same stories as in SimulationTests.cs, with what a node really has at each of them: commands of all kinds on the writer, logs and checkpoints that a crash tears,
// versions, trimmed logs, and states that are compared by DEBUG DIGEST and by CID.

using Xunit;

namespace Leither.Simulation;

public class RealSimulationTests
{
    private const int Shards = 4;

    public static TheoryData<int> AllShards => [.. Enumerable.Range(0, Shards)];

    [Theory]
    [MemberData(nameof(AllShards))]
    public void After_healing_every_keyspace_is_the_writers_and_nothing_acknowledged_is_lost(int shard) => Seeds.Run(12, 400, shard, Shards, Run);

    /// <summary>Networks in which an honest source was blamed for what lay before the segment that its writer began anew.</summary>
    [Theory]
    [InlineData(252)]
    [InlineData(322)]
    public void Networks_in_which_it_once_went_wrong_end_well(int seed) => Run(seed);

    private static void Run(int seed)
    {
        var random = new Random(seed);
        var stores = new List<RealStore>();
        try
        {
            new Scenario(seed, random.Next(2, 6), random.Next(4) == 0 ? 1 : 0, random.Next(8, 30), random.Next(50, 200), (world, index) =>
            {
                stores.Add(new RealStore(world, index));
                return stores[^1];
            }).Run();
        }
        finally
        {
            stores.ForEach(static store => store.Dispose());
        }
    }
}
