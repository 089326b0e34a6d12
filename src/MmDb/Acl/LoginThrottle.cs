using System.Net;

namespace Leither.MmDb.Acl;

/// <summary>
/// Slows down guessing: an address whose logins fail again and again is not listened to for a while, which doubles with each failure. Who knows the password of the one user he
/// tried is forgotten, and so is who keeps quiet; a password of one's own is no licence to guess another's. A client of this machine never waits long: nobody else on it should be able to lock its owner out.
/// </summary>
internal sealed class LoginThrottle
{
    /// <summary>Failures that cost nothing: people mistype, and programs start in dozens with an old password.</summary>
    public const int FreeFailures = 20;

    /// <summary>Addresses that are remembered; the one that has been quiet longest makes room.</summary>
    public const int MaxAddresses = 4096;

    /// <summary>One failure is forgotten in so long.</summary>
    public const long ForgottenMs = 1000;

    private const long FirstPenaltyMs = 250, MaxPenaltyMs = 30_000, MaxLocalPenaltyMs = 1000;

    private readonly Dictionary<string, Failures> _failures = new(StringComparer.Ordinal);

    /// <summary>Addresses that are remembered.</summary>
    public int Count => _failures.Count;

    /// <summary>Milliseconds for which an address is not listened to; 0: it is.</summary>
    public long WaitMs(IClientConnection from, long nowMs) =>
        !from.IsUnixSocket && _failures.TryGetValue(Address(from), out Failures? failed) ? Math.Max(0, failed.ListensAtMs - nowMs) : 0;

    /// <summary>A login as a user of this name failed; null: as one that there is not.</summary>
    public void Failed(IClientConnection from, string? name, long nowMs)
    {
        if (from.IsUnixSocket)
        {
            return;
        }

        string address = Address(from);
        if (!_failures.TryGetValue(address, out Failures? failed))
        {
            if (_failures.Count >= MaxAddresses)
            {
                _failures.Remove(_failures.MinBy(static f => f.Value.LastMs).Key);
            }

            _failures.Add(address, failed = new Failures { Name = name });
        }
        else if (failed.Name != name)
        {
            failed.Name = null;
        }

        failed.Count = Math.Max(0, failed.Count - (Math.Max(0, nowMs - failed.LastMs) / ForgottenMs)) + 1;
        failed.LastMs = nowMs;
        if (failed.Count > FreeFailures)
        {
            long penalty = FirstPenaltyMs << (int)Math.Min(failed.Count - FreeFailures - 1, 16);
            failed.ListensAtMs = nowMs + Math.Min(penalty, from.IsLocal ? MaxLocalPenaltyMs : MaxPenaltyMs);
        }
    }

    /// <summary>The password of a user of this name was right.</summary>
    public void Succeeded(IClientConnection from, string name)
    {
        if (_failures.Count > 0 && !from.IsUnixSocket && Address(from) is var address && _failures.TryGetValue(address, out Failures? failed) && failed.Name == name)
        {
            _failures.Remove(address);
        }
    }

    /// <summary>An address without its port; of IPv6 the network that one household has, since that is one guesser's.</summary>
    private static string Address(IClientConnection from)
    {
        if (!IPEndPoint.TryParse(from.RemoteAddress, out IPEndPoint? end))
        {
            return from.RemoteAddress;
        }

        byte[] bytes = end.Address.GetAddressBytes();
        return Convert.ToHexString(bytes.Length == 16 && !end.Address.IsIPv4MappedToIPv6 ? bytes.AsSpan(0, 8) : bytes);
    }

    private sealed class Failures
    {
        public long Count, LastMs, ListensAtMs;

        /// <summary>Whose password was not right; null: several users', or nobody's.</summary>
        public string? Name;
    }
}
