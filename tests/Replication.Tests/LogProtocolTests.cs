using Leither.Replication;
using Xunit;

namespace Leither.Replication.Tests;

public class LogProtocolTests
{
    [Fact]
    public void The_protocol_has_the_name_that_other_nodes_ask_for() => Assert.Equal("/leither/log/1.0.0", LogProtocol.Name);
}
