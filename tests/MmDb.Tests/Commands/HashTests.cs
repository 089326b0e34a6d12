using System.Globalization;
using System.Text;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Commands;

public sealed class HashTests : IDisposable
{
    private readonly InProcess _db = new();

    public void Dispose() => _db.Dispose();

    [Theory]
    [InlineData("HSET h c 3 a 2", ":1")]
    [InlineData("HSET h a", "-ERR wrong number of arguments for 'hset' command")]
    [InlineData("HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command")]
    [InlineData("HSET text a 1", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("HMSET h c 3 a 2", "+OK")]
    [InlineData("HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command")]
    [InlineData("HSETNX h a 9", ":0")]
    [InlineData("HSETNX h z 9", ":1")]
    [InlineData("HSETNX new z 9", ":1")]
    [InlineData("HGET h a", "\"1\"")]
    [InlineData("HGET h none", "nil")]
    [InlineData("HGET none a", "nil")]
    [InlineData("HGET text a", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("HMGET h a none b", "[\"1\", nil, \"x\"]")]
    [InlineData("HMGET none a b", "[nil, nil]")]
    [InlineData("HMGET text a", "-WRONGTYPE Operation against a key holding the wrong kind of value")]
    [InlineData("HGETALL h", "[\"a\", \"1\", \"b\", \"x\"]")]
    [InlineData("HGETALL none", "[]")]
    [InlineData("HKEYS h", "[\"a\", \"b\"]")]
    [InlineData("HVALS h", "[\"1\", \"x\"]")]
    [InlineData("HVALS none", "[]")]
    [InlineData("HLEN h", ":2")]
    [InlineData("HLEN none", ":0")]
    [InlineData("HSTRLEN h a", ":1")]
    [InlineData("HSTRLEN h none", ":0")]
    [InlineData("HSTRLEN none a", ":0")]
    [InlineData("HEXISTS h a", ":1")]
    [InlineData("HEXISTS h none", ":0")]
    [InlineData("HEXISTS none a", ":0")]
    [InlineData("HDEL h a none a", ":1")]
    [InlineData("HDEL h b a", ":2")]
    [InlineData("HDEL none a", ":0")]
    [InlineData("HINCRBY h a 4", ":5")]
    [InlineData("HINCRBY h a -4", ":-3")]
    [InlineData("HINCRBY h z 9", ":9")]
    [InlineData("HINCRBY new z 9", ":9")]
    [InlineData("HINCRBY h b 1", "-ERR hash value is not an integer")]
    [InlineData("HINCRBY h a x", "-ERR value is not an integer or out of range")]
    [InlineData("HINCRBY text a x", "-ERR value is not an integer or out of range")]
    [InlineData("HINCRBY h a 9223372036854775807", "-ERR increment or decrement would overflow")]
    [InlineData("HINCRBYFLOAT h a 0.5", "\"1.5\"")]
    [InlineData("HINCRBYFLOAT h z 0.1", "\"0.1\"")]
    [InlineData("HINCRBYFLOAT h b 1", "-ERR hash value is not a float")]
    [InlineData("HINCRBYFLOAT h a x", "-ERR value is not a valid float")]
    [InlineData("HINCRBYFLOAT h a inf", "-ERR value is NaN or Infinity")]
    [InlineData("HSCAN h 0", "[\"0\", [\"a\", \"1\", \"b\", \"x\"]]")]
    [InlineData("HSCAN h 0 MATCH b*", "[\"0\", [\"b\", \"x\"]]")]
    [InlineData("HSCAN h 0 COUNT 1", "[\"0\", [\"a\", \"1\", \"b\", \"x\"]]")]
    [InlineData("HSCAN h 0 COUNT 0", "-ERR syntax error")]
    [InlineData("HSCAN h 0 COUNT x", "-ERR value is not an integer or out of range")]
    [InlineData("HSCAN h 0 NOVALUES", "[\"0\", [\"a\", \"b\"]]")]
    [InlineData("HSCAN h x", "-ERR invalid cursor")]
    [InlineData("HSCAN none 0 COUNT 0", "[\"0\", []]")]
    [InlineData("HRANDFIELD none", "nil")]
    [InlineData("HRANDFIELD none 3", "[]")]
    [InlineData("HRANDFIELD h 0", "[]")]
    [InlineData("HRANDFIELD h 5", "[\"a\", \"b\"]")]
    [InlineData("HRANDFIELD h 5 WITHVALUES", "[\"a\", \"1\", \"b\", \"x\"]")]
    [InlineData("HRANDFIELD h 5 VALUES", "-ERR syntax error")]
    [InlineData("HRANDFIELD h x", "-ERR value is not an integer or out of range")]
    [InlineData("HRANDFIELD h -9223372036854775808", "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")]
    [InlineData("HRANDFIELD h 9223372036854775807 WITHVALUES", "-ERR value is out of range")]
    [InlineData("HRANDFIELD h -9223372036854775807 WITHVALUES", "-ERR value is out of range")]
    public void Commands_for_hashes_reply_as_in_Redis(string command, string reply)
    {
        _db.Prepare("HSET h a 1 b x", "SET text t");
        Assert.Equal(reply, _db.Run(command));
    }

    [Fact]
    public void RESP3_replies_maps_and_pairs()
    {
        _db.Prepare("HELLO 3", "HSET h a 1 b x");
        Assert.Equal("%{\"a\": \"1\", \"b\": \"x\"}", _db.Run("HGETALL h"));
        Assert.Equal("%{}", _db.Run("HGETALL none"));
        Assert.Equal("[\"a\", \"b\"]", _db.Run("HKEYS h"));
        Assert.Equal("[[\"a\", \"1\"], [\"b\", \"x\"]]", _db.Run("HRANDFIELD h 2 WITHVALUES"));
        Assert.Equal("_", _db.Run("HGET h none"));
    }

    [Theory]
    [InlineData(128, 64, 64, "listpack")]
    [InlineData(129, 1, 1, "hashtable")]
    [InlineData(1, 65, 1, "hashtable")]
    [InlineData(1, 1, 65, "hashtable")]
    public void A_hash_changes_its_encoding_where_Redis_does(int fields, int fieldLength, int valueLength, string encoding)
    {
        for (int i = 0; i < fields; i++)
        {
            _db.Run(["HSET"u8.ToArray(), "h"u8.ToArray(), Encoding.ASCII.GetBytes(i.ToString(CultureInfo.InvariantCulture).PadLeft(fieldLength, 'f')), new byte[valueLength]]);
        }

        Assert.Equal($":{fields}", _db.Run("HLEN h"));
        Assert.Equal($"\"{encoding}\"", _db.Run("OBJECT ENCODING h"));
    }
}
