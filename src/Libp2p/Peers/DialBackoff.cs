using Leither.Ipfs.Multiformats;

namespace Leither.Libp2p.Peers;

/// <summary>
/// Addresses at which nobody answered are left alone for a while, each time for longer: somebody who is gone costs little, and a stranger's address cannot be hammered
/// through this node. Bounded. Safe for any number of threads.
/// </summary>
internal sealed class DialBackoff(TimeProvider time)
{
    /// <summary>After the first failure.</summary>
    public static readonly TimeSpan First = TimeSpan.FromSeconds(5);

    /// <summary>After many.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromMinutes(5);

    private const int MaxAddresses = 8 * 1024;

    private readonly Lock _gate = new();
    private readonly Dictionary<Multiaddr, (int Failures, DateTimeOffset Until)> _failed = [];

    /// <summary>Whether an address is to be left alone now.</summary>
    public bool IsBlocked(Multiaddr address)
    {
        lock (_gate)
        {
            return _failed.TryGetValue(address, out (int Failures, DateTimeOffset Until) entry) && entry.Until > time.GetUtcNow();
        }
    }

    /// <summary>Nobody answered.</summary>
    public void Failed(Multiaddr address)
    {
        DateTimeOffset now = time.GetUtcNow();
        lock (_gate)
        {
            if (_failed.Count >= MaxAddresses)
            {
                Expire(now);
            }

            int failures = _failed.TryGetValue(address, out (int Failures, DateTimeOffset Until) entry) ? entry.Failures + 1 : 1;
            TimeSpan pause = TimeSpan.FromSeconds(Math.Min(First.TotalSeconds * Math.Pow(2, Math.Min(failures - 1, 10)), Longest.TotalSeconds));
            if (_failed.Count < MaxAddresses || failures > 1)
            {
                _failed[address] = (failures, now + pause);
            }
        }
    }

    /// <summary>Somebody answered.</summary>
    public void Succeeded(Multiaddr address)
    {
        lock (_gate)
        {
            _failed.Remove(address);
        }
    }

    /// <summary>Forgets all failures.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            _failed.Clear();
        }
    }

    /// <summary>Forgets failures that are long ago. Called now and then.</summary>
    public void Expire()
    {
        lock (_gate)
        {
            Expire(time.GetUtcNow());
        }
    }

    private void Expire(DateTimeOffset now)
    {
        foreach ((Multiaddr address, (int _, DateTimeOffset until)) in _failed)
        {
            if (until + Longest < now)
            {
                _failed.Remove(address);
            }
        }
    }
}
