using System.Security.Cryptography;
using System.Text;
using Leither.Ipfs.Keys;
using Leither.MmDb.Commands;
using Leither.MmDb.Rights;
using Leither.Resp;

namespace Leither.MmDb.Acl;

/// <summary>One user: whether it may log in, by which passwords, and what it may do then.</summary>
public sealed class AclUser
{
    private const int HashLength = 64;

    private readonly List<string> _passwords = [];
    private readonly List<AclSelector> _selectors = [];

    /// <summary>A user that may neither log in nor do anything.</summary>
    /// <param name="name">Its name, a byte string.</param>
    /// <param name="allChannels">Whether acl-pubsub-default gives it all channels.</param>
    public AclUser(string name, bool allChannels)
    {
        Name = name;
        _selectors.Add(new AclSelector(allChannels));
    }

    private AclUser(string name) => Name = name;

    /// <summary>Its name, a byte string.</summary>
    public string Name { get; }
    /// <summary>Whether it may log in.</summary>
    public bool IsEnabled { get; private set; }
    /// <summary>Whether it may log in with any password, or none.</summary>
    public bool NeedsNoPassword { get; private set; }
    /// <summary>Whether what it sends to RESTORE is believed.</summary>
    public bool SkipsSanitizing { get; private set; }
    /// <summary>Its passwords' SHA-256 in hexadecimal.</summary>
    public IReadOnlyList<string> Passwords => _passwords;
    /// <summary>Its rights: the root first.</summary>
    public IReadOnlyList<AclSelector> Selectors => _selectors;
    /// <summary>From when on it has no rights any more, in Unix milliseconds: when the passport that it was made of ends.</summary>
    internal long EndsMs { get; init; } = long.MaxValue;
    /// <summary>The serial number of that passport; null: it was made of none.</summary>
    internal string? Serial { get; init; }
    /// <summary>Who it is, where a passport proved that and no more: what he may do each MiMei says. Null: what it may do is its own.</summary>
    internal MimeiCaller? Person { get; init; }
    /// <summary>Whether the names of keys that it may do nothing with are kept from it: those of the configuration see all, as in Redis.</summary>
    internal bool SeesOwnNamesOnly { get; init; }
    /// <summary>What the MiMei that its connection is bound to lets that person do; of who came with a passport for one MiMei, what that lets him do with data.</summary>
    internal MimeiRight Granted { get; set; }
    /// <summary>Whether none of its commands need be checked.</summary>
    public bool AllowsEverything { get; private set; }
    /// <summary>Its flags as words.</summary>
    public IEnumerable<string> Flags
    {
        get
        {
            yield return IsEnabled ? "on" : "off";
            if (NeedsNoPassword)
            {
                yield return "nopass";
            }

            yield return SkipsSanitizing ? "skip-sanitize-payload" : "sanitize-payload";
        }
    }

    /// <summary>The user that connections have without a login: it may do everything, and needs no password.</summary>
    internal static AclUser MakeDefault()
    {
        var user = new AclUser("default", allChannels: true);
        foreach (string rule in (ReadOnlySpan<string>)["+@all", "~*", "on", "nopass"])
        {
            _ = user.Set(rule, allChannels: true);
        }

        return user;
    }

    /// <summary>The same user under another name or the same, to be changed by itself.</summary>
    public AclUser Copy()
    {
        var copy = new AclUser(Name);
        copy.TakeFrom(this);
        return copy;
    }

    /// <summary>Gets the rights and passwords of another; its name stays.</summary>
    public void TakeFrom(AclUser other)
    {
        IsEnabled = other.IsEnabled;
        NeedsNoPassword = other.NeedsNoPassword;
        SkipsSanitizing = other.SkipsSanitizing;
        AllowsEverything = other.AllowsEverything;
        _passwords.Clear();
        _passwords.AddRange(other._passwords);
        _selectors.Clear();
        _selectors.AddRange(other._selectors.Select(static s => s.Copy()));
    }

    /// <summary>Takes one rule.</summary>
    /// <param name="rule">The rule, a byte string.</param>
    /// <param name="allChannels">acl-pubsub-default.</param>
    public AclError Set(string rule, bool allChannels)
    {
        if (rule.Length == 0)
        {
            return AclError.None;
        }

        AclError error = SetRule(rule, allChannels);
        AllowsEverything = _selectors.Exists(static s => s.AllowsEverything);
        return error;
    }

    private AclError SetRule(string rule, bool allChannels)
    {
        switch (rule.ToLowerInvariant())
        {
            case "on":
                IsEnabled = true;
                return AclError.None;
            case "off":
                IsEnabled = false;
                return AclError.None;
            case "skip-sanitize-payload":
                SkipsSanitizing = true;
                return AclError.None;
            case "sanitize-payload":
                SkipsSanitizing = false;
                return AclError.None;
            case "nopass":
                NeedsNoPassword = true;
                _passwords.Clear();
                return AclError.None;
            case "resetpass":
                NeedsNoPassword = false;
                _passwords.Clear();
                return AclError.None;
            case "clearselectors":
                _selectors.RemoveRange(1, _selectors.Count - 1);
                return AclError.None;
            case "reset":
                IsEnabled = NeedsNoPassword = SkipsSanitizing = false;
                _passwords.Clear();
                _selectors.Clear();
                _selectors.Add(new AclSelector(allChannels));
                return AclError.None;
        }

        switch (rule[0])
        {
            case '>':
                return AddPassword(Hash(rule[1..]));
            case '#':
                return AddPassword(rule[1..]);
            case '<':
                return RemovePassword(Hash(rule[1..]));
            case '!':
                return RemovePassword(rule[1..]);
            case '(' when rule[^1] == ')' && rule.Length > 1:
                if (AclSelector.Parse(rule, allChannels, out AclError error) is not { } selector)
                {
                    return error;
                }

                _selectors.Add(selector);
                return AclError.None;
            default:
                return _selectors[0].Set(rule);
        }
    }

    private AclError AddPassword(string hash)
    {
        if (!IsHash(hash))
        {
            return AclError.BadHash;
        }

        if (!_passwords.Contains(hash))
        {
            _passwords.Add(hash);
        }

        NeedsNoPassword = false;
        return AclError.None;
    }

    private AclError RemovePassword(string hash) => !IsHash(hash) ? AclError.BadHash : _passwords.Remove(hash) ? AclError.None : AclError.NoSuchPassword;

    private static string Hash(string password) => Convert.ToHexStringLower(SHA256.HashData(Encoding.Latin1.GetBytes(password)));

    private static bool IsHash(string hash) => hash.Length == HashLength && hash.All(static c => c is (>= '0' and <= '9') or (>= 'a' and <= 'f'));

    /// <summary>Whether the user may log in with this password. The time that it takes does not tell where two passwords differ.</summary>
    public bool Accepts(ReadOnlySpan<byte> password)
    {
        if (!IsEnabled || NeedsNoPassword)
        {
            return IsEnabled;
        }

        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        Span<byte> known = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(password, digest);
        foreach (string hash in _passwords)
        {
            _ = Convert.FromHexString(hash, known, out _, out _);
            if (CryptographicOperations.FixedTimeEquals(digest, known))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether it may be told that there is a key of this name.</summary>
    internal bool MaySee(ReadOnlySpan<byte> key)
    {
        if (!SeesOwnNamesOnly)
        {
            return true;
        }

        foreach (AclSelector selector in _selectors)
        {
            if (selector.AllowsKey(key, KeyPermissions.Read) || selector.AllowsKey(key, KeyPermissions.Write))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Whether it is told what happens to a key (keyspace events): who came with a passport is, of keys that he may read. Of users of the configuration the channel alone is asked, as in Redis.
    /// </summary>
    internal bool MayHearOf(ReadOnlySpan<byte> key)
    {
        if (Serial is null)
        {
            return true;
        }

        foreach (AclSelector selector in _selectors)
        {
            if (selector.AllowsKey(key, KeyPermissions.Read))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Whether one of the selectors allows a command with these words. If none does, the reason is the weightiest, and the word is
    /// the last that one of them refused.
    /// </summary>
    internal unsafe AclDenial Check(CommandSpec spec, Slice* args, int count, AclKeys keys, out int refused)
    {
        AclDenial reason = AclDenial.Command;
        int at = 0;
        refused = 0;
        keys.Clear();
        foreach (AclSelector selector in _selectors)
        {
            AclDenial denial = selector.Check(spec, args, count, keys, ref at);
            if (denial == AclDenial.None)
            {
                return AclDenial.None;
            }

            if (denial > reason || (denial == reason && at > refused))
            {
                reason = denial;
                refused = at;
            }
        }

        return reason;
    }

    /// <summary>Whether one of the selectors allows a command, with whatever words.</summary>
    internal bool Allows(CommandSpec spec) => _selectors.Exists(s => s.Allows(spec));

    /// <summary>Whether one selector allows a command and besides a use of every key there may be.</summary>
    internal unsafe bool AllowsWithAllKeys(CommandSpec spec, Slice* args, int count, KeyAccess access, AclKeys keys)
    {
        int refused = 0;
        keys.Clear();
        foreach (AclSelector selector in _selectors)
        {
            if (selector.AllowsAllKeys(access) && selector.Check(spec, args, count, keys, ref refused) == AclDenial.None)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>All its rules, as the configuration has them.</summary>
    public override string ToString()
    {
        var text = new StringBuilder().AppendJoin(' ', Flags).Append(' ');
        foreach (string password in _passwords)
        {
            text.Append('#').Append(password).Append(' ');
        }

        text.Append(_selectors[0]);
        foreach (AclSelector selector in _selectors.Skip(1))
        {
            text.Append(" (").Append(selector).Append(')');
        }

        return text.ToString();
    }

    /// <summary>Whether a name or pattern has blanks, which would end it in a file.</summary>
    internal static bool HasBlanks(ReadOnlySpan<char> text) => text.ContainsAny(_blanks);

    private static readonly System.Buffers.SearchValues<char> _blanks = System.Buffers.SearchValues.Create("\0 \t\n\v\f\r");
}
