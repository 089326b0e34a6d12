using System.Net;
using Leither.MmDb.Configuration;
using Xunit;

namespace Leither.MmDb.Tests;

public sealed class NetworkTextTests
{
    [Theory]
    [InlineData("10.0.0.0/8", "10.0.0.0/8")]
    [InlineData("/ip4/10.0.0.0/ipcidr/8", "10.0.0.0/8")]
    [InlineData("203.0.113.9", "203.0.113.9/32")]
    [InlineData("2001:db8::/32", "2001:db8::/32")]
    [InlineData("::ffff:1.2.3.4", "::ffff:1.2.3.4/128")]
    [InlineData("1.2.3", null)]
    [InlineData("1.2/32", null)]
    [InlineData("16909060", null)]
    [InlineData("10/8", null)]
    [InlineData("nas.local", null)]
    [InlineData("", null)]
    public void A_network_is_an_address_in_full_with_or_without_its_bits(string text, string? expected)
    {
        Assert.Equal(expected is not null, PeerAddress.TryParseNetwork(text, out IPNetwork network));
        if (expected is not null) Assert.Equal(expected, network.ToString());
    }
}
