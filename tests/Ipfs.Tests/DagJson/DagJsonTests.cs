using System.Text;
using Leither.Ipfs.DagJson;
using Leither.Ipfs.Multiformats;
using Xunit;
using Json = Leither.Ipfs.DagJson.DagJson;

namespace Leither.Ipfs.Tests.DagJson;

public sealed class DagJsonTests
{
    [Theory]
    [InlineData("""{"a":1,"bb":[true,false,null,-5,18446744073709551615],"cc":{"/":"bafkqaaa"},"d":{"/":{"bytes":"AQID"}},"e":1.5,"f":2.0,"zü":"\"\n"}""")]
    [InlineData("""{}""")]
    [InlineData("""[]""")]
    [InlineData("""{"/":{"bytes":""}}""")]
    [InlineData("""{"aa":1,"b":2}""")]
    [InlineData("""-18446744073709551616""")]
    public void What_is_read_is_written_as_the_same(string json) =>
        Assert.Equal(json, Encoding.UTF8.GetString(Json.FromBlock(Multicodec.DagCbor, Json.ToCbor(Encoding.UTF8.GetBytes(json)))));

    [Theory]
    [InlineData("{")]
    [InlineData("")]
    [InlineData("""{"/":"none"}""")]
    [InlineData("""{"/":1}""")]
    [InlineData("""{"/":"bafkqaaa","a":1}""")]
    [InlineData("""{"/":{"bytes":"!"}}""")]
    [InlineData("""{"a":1,"a":2}""")]
    [InlineData("""18446744073709551616""")]
    [InlineData("""1e999""")]
    [InlineData("\"\\ud800\"")]
    public void What_means_nothing_is_refused(string json) => Assert.Throws<DagJsonException>(() => Json.ToCbor(Encoding.UTF8.GetBytes(json)));

    [Fact]
    public void Deep_nesting_is_refused() => Assert.Throws<DagJsonException>(() => Json.ToCbor(Encoding.UTF8.GetBytes(new string('[', 5000) + new string(']', 5000))));

    [Fact]
    public void A_node_of_DAG_PB_is_shown_with_its_links() => Assert.Equal(
        """{"Data":{"/":{"bytes":"CAE"}},"Links":[]}""", Encoding.UTF8.GetString(Json.FromBlock(Multicodec.DagPb, [0x0A, 2, 8, 1])));

    [Fact]
    public void A_path_leads_to_a_value_inside() => Assert.Equal(
        "[2]", Encoding.UTF8.GetString(Json.FromCbor(Json.ToCbor("""{"a":[1,{"b":[2]}]}"""u8.ToArray()), ["a", "1", "b"])));
}
