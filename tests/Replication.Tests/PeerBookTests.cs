using Leither.Ipfs.Keys;
using Xunit;

namespace Leither.Replication.Tests;

public class PeerBookTests
{
    private const long Minute = 60_000, Hour = 60 * Minute, Day = 24 * Hour;

    [Fact]
    public void A_peer_is_refused_twice_as_long_each_time_and_never_longer_than_a_fault_of_its_kind_counts()
    {
        var book = new PeerBook();
        long now = 1000, wait = Minute;
        for (int i = 0; i < 30; i++)
        {
            long until = book.Add(Peer(1), FaultReason.WrongBytes, now);
            Assert.Equal(now + Math.Min(wait, Day), until);
            Assert.True(book.IsRefused(Peer(1), until - 1));
            Assert.False(book.IsRefused(Peer(1), until));
            (now, wait) = (until, wait * 2);
        }
    }

    [Fact]
    public void What_an_honest_peer_may_do_by_misfortune_is_forgotten_with_time()
    {
        var book = new PeerBook();
        long until = book.Add(Peer(1), FaultReason.Stalled, 0);
        Assert.Equal(1000, until);
        until = book.Add(Peer(1), FaultReason.Stalled, until);
        Assert.Equal(3000, until);
        Assert.Equal(until + Hour + 1000, book.Add(Peer(1), FaultReason.Stalled, until + Hour));
    }

    [Fact]
    public void Who_forged_is_refused_for_good_whatever_follows()
    {
        var book = new PeerBook();
        Assert.Equal(long.MaxValue, book.Add(Peer(1), FaultReason.Forged, 5));
        Assert.Equal(long.MaxValue, book.Add(Peer(1), FaultReason.Stalled, 6));
        Assert.True(book.IsRefused(Peer(1), long.MaxValue - 1));
    }

    [Fact]
    public void Of_many_peers_those_are_remembered_that_are_refused_longest()
    {
        var book = new PeerBook();
        book.Add(Peer(0), FaultReason.Forged, 0);
        for (int i = 1; i <= 3000; i++)
        {
            book.Add(Peer(i), FaultReason.Stalled, i);
        }

        Assert.Equal(1024, book.All.Count);
        Assert.True(book.IsRefused(Peer(0), Day));
        Assert.True(book.IsRefused(Peer(3000), 3001));
        Assert.False(book.IsRefused(Peer(1), 2));

        var other = new PeerBook();
        other.Load(book.All);
        Assert.Equal(book.All, other.All);
    }

    private static PeerId Peer(int number)
    {
        byte[] seed = new byte[32];
        BitConverter.TryWriteBytes(seed, number);
        return PrivateKey.FromSeed(seed).PublicKey.PeerId;
    }
}
