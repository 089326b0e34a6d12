using System.Text;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.Resp;

namespace Leither.MmDb.Acl;

/// <summary>What stands in the way of a command, in the order in which one reason outweighs another.</summary>
public enum AclDenial
{
    /// <summary>Nothing.</summary>
    None,
    /// <summary>The command.</summary>
    Command,
    /// <summary>One of its keys.</summary>
    Key,
    /// <summary>The login.</summary>
    Auth,
    /// <summary>One of its channels.</summary>
    Channel,
}

/// <summary>How keys that match a pattern may be used.</summary>
[Flags]
public enum KeyPermissions
{
    /// <summary>Not at all.</summary>
    None = 0,
    /// <summary>Their data may be read.</summary>
    Read = 1,
    /// <summary>Their data may be changed.</summary>
    Write = 2,
    /// <summary>Both.</summary>
    All = Read | Write,
}

/// <summary>
/// One set of rights: commands, keys and channels that go together. A user has a root selector and any number of others, and may
/// do what one of them allows whole.
/// </summary>
/// <remarks>Rules are byte strings, as everywhere in the configuration: each char is one byte.</remarks>
public sealed class AclSelector
{
    private readonly ulong[] _commands = new ulong[CommandTable.Shared.BitWords];
    private Dictionary<int, List<byte[]>>? _firstArguments;
    private readonly List<KeyPattern> _keys = [];
    private readonly List<byte[]> _channels = [];
    private readonly List<string> _rules = [];
    private bool _beginsWithAll;

    /// <summary>A selector without any right, but for channels where acl-pubsub-default says so.</summary>
    public AclSelector(bool allChannels) => AllChannels = allChannels;

    private AclSelector(AclSelector other)
    {
        other._commands.CopyTo(_commands, 0);
        _firstArguments = other._firstArguments?.ToDictionary(static e => e.Key, static e => new List<byte[]>(e.Value));
        _keys.AddRange(other._keys);
        _channels.AddRange(other._channels);
        _rules.AddRange(other._rules);
        _beginsWithAll = other._beginsWithAll;
        AllCommands = other.AllCommands;
        AllKeys = other.AllKeys;
        AllChannels = other.AllChannels;
    }

    /// <summary>Whether it allows every command: the others need not be looked up.</summary>
    public bool AllCommands { get; private set; }
    /// <summary>Whether it allows every key.</summary>
    public bool AllKeys { get; private set; }
    /// <summary>Whether it allows every channel.</summary>
    public bool AllChannels { get; private set; }
    /// <summary>Whether nothing need be checked.</summary>
    public bool AllowsEverything => AllCommands && AllKeys && AllChannels;
    /// <summary>The channel patterns.</summary>
    public IReadOnlyList<byte[]> Channels => _channels;

    /// <summary>The same rights again, to be changed by themselves.</summary>
    public AclSelector Copy() => new(this);

    // ------------------------------------------------------------------ rules

    /// <summary>Takes one rule.</summary>
    public AclError Set(string rule)
    {
        switch (rule.ToLowerInvariant())
        {
            case "allkeys" or "~*":
                AllKeys = true;
                _keys.Clear();
                return AclError.None;
            case "resetkeys":
                AllKeys = false;
                _keys.Clear();
                return AclError.None;
            case "allchannels" or "&*":
                AllChannels = true;
                _channels.Clear();
                return AclError.None;
            case "resetchannels":
                AllChannels = false;
                _channels.Clear();
                return AclError.None;
            case "allcommands" or "+@all":
                SetAll(true);
                return AclError.None;
            case "nocommands" or "-@all":
                SetAll(false);
                return AclError.None;
        }

        return rule[0] switch
        {
            '~' or '%' => AddKeys(rule),
            '&' => AddChannels(rule),
            '+' or '-' when rule.Length > 1 && rule[1] == '@' => SetCategory(rule),
            '+' or '-' => SetCommand(rule),
            _ => AclError.Syntax,
        };
    }

    private void SetAll(bool allowed)
    {
        Array.Fill(_commands, allowed ? ulong.MaxValue : 0);
        AllCommands = _beginsWithAll = allowed;
        _rules.Clear();
        _firstArguments = null;
    }

    private AclError AddKeys(string rule)
    {
        if (AllKeys)
        {
            return AclError.AfterAllKeys;
        }

        int at = 1;
        KeyPermissions permissions = KeyPermissions.All;
        if (rule[0] == '%')
        {
            permissions = KeyPermissions.None;
            for (; at < rule.Length && rule[at] != '~'; at++)
            {
                KeyPermissions one = rule[at] switch
                {
                    'R' or 'r' => KeyPermissions.Read,
                    'W' or 'w' => KeyPermissions.Write,
                    _ => KeyPermissions.None,
                };
                if (one == KeyPermissions.None || (permissions & one) != 0)
                {
                    return AclError.Syntax;
                }

                permissions |= one;
            }

            at = Math.Min(at + 1, rule.Length);
        }

        if (permissions == KeyPermissions.None || AclUser.HasBlanks(rule.AsSpan(at)))
        {
            return AclError.Syntax;
        }

        byte[] pattern = Encoding.Latin1.GetBytes(rule[at..]);
        int same = _keys.FindIndex(k => k.Pattern.AsSpan().SequenceEqual(pattern));
        if (same < 0)
        {
            _keys.Add(new KeyPattern(pattern, permissions));
        }
        else
        {
            _keys[same] = _keys[same] with { Permissions = _keys[same].Permissions | permissions };
        }

        return AclError.None;
    }

    private AclError AddChannels(string rule)
    {
        if (AllChannels)
        {
            return AclError.AfterAllChannels;
        }

        if (AclUser.HasBlanks(rule.AsSpan(1)))
        {
            return AclError.Syntax;
        }

        byte[] pattern = Encoding.Latin1.GetBytes(rule[1..]);
        if (!_channels.Exists(c => c.AsSpan().SequenceEqual(pattern)))
        {
            _channels.Add(pattern);
        }

        return AclError.None;
    }

    private AclError SetCategory(string rule)
    {
        uint category = AclCategories.Bit(rule[2..]);
        if (category == 0)
        {
            return AclError.UnknownCommand;
        }

        bool allowed = rule[0] == '+';
        foreach (CommandSpec spec in CommandTable.Shared.All)
        {
            if ((spec.CategoryBits & category) != 0)
            {
                SetWithSubcommands(spec, allowed);
            }

            foreach (CommandSpec sub in spec.Subcommands)
            {
                if ((sub.CategoryBits & category) != 0)
                {
                    SetWithSubcommands(sub, allowed);
                }
            }
        }

        Remember(rule);
        return AclError.None;
    }

    private AclError SetCommand(string rule)
    {
        bool allowed = rule[0] == '+';
        string name = rule[1..];
        if (CommandTable.Shared.FindFull(name) is { } spec)
        {
            SetWithSubcommands(spec, allowed);
            Remember(rule[..1] + spec.FullName);
            return AclError.None;
        }

        int bar = name.LastIndexOf('|');
        if (!allowed || bar < 0 || CommandTable.Shared.FindFull(name[..bar]) is not { } container)
        {
            return AclError.UnknownCommand;
        }

        string first = name[(bar + 1)..];
        if (container.Parent is not null)
        {
            return AclError.FirstArgumentOfSubcommand;
        }

        // A blank would end the rule when it is read again.
        if (first.Length == 0 || AclUser.HasBlanks(first))
        {
            return AclError.Syntax;
        }

        if (container.Subcommands.Length > 0)
        {
            return AclError.UnknownCommand;
        }

        AddFirstArgument(container, Encoding.Latin1.GetBytes(first));
        Remember(rule);
        return AclError.None;
    }

    private void AddFirstArgument(CommandSpec spec, byte[] argument)
    {
        _firstArguments ??= [];
        if (!_firstArguments.TryGetValue(spec.Id, out List<byte[]>? arguments))
        {
            _firstArguments.Add(spec.Id, arguments = []);
        }

        if (!arguments.Exists(a => Ascii.EqualsIgnoreCase(a, argument)))
        {
            arguments.Add(argument);
        }
    }

    private void SetWithSubcommands(CommandSpec spec, bool allowed)
    {
        SetBit(spec, allowed);
        _firstArguments?.Remove(spec.Id);
        foreach (CommandSpec sub in spec.Subcommands)
        {
            SetBit(sub, allowed);
        }
    }

    private void SetBit(CommandSpec spec, bool allowed)
    {
        ulong bit = 1UL << (spec.Id & 63);
        if (allowed)
        {
            _commands[spec.Id >> 6] |= bit;
        }
        else
        {
            _commands[spec.Id >> 6] &= ~bit;
            AllCommands = false;
        }
    }

    /// <summary>Keeps a rule of commands for showing; what it repeats, contradicts or contains is forgotten.</summary>
    private void Remember(string rule)
    {
        string lower = rule.ToLowerInvariant();
        string what = lower[1..];
        _rules.RemoveAll(r => r.AsSpan(1).StartsWith(what, StringComparison.Ordinal) && (r.Length == what.Length + 1 || r[what.Length + 1] == '|'));
        _rules.Add(lower);
    }

    // ------------------------------------------------------------------ showing

    /// <summary>The rules of commands, such that they make the same rights again.</summary>
    public string CommandRules => string.Join(' ', [_beginsWithAll ? "+@all" : "-@all", .. _rules]);

    /// <summary>The rules of keys.</summary>
    public string KeyRules => AllKeys ? "~*" : string.Join(' ', _keys);

    /// <summary>The rules of channels; empty when there are none.</summary>
    public string ChannelRules => AllChannels ? "&*" : string.Join(' ', _channels.Select(static c => "&" + Encoding.Latin1.GetString(c)));

    /// <summary>All its rules, as the configuration has them.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        _ = KeyRules is { Length: > 0 } keys ? text.Append(keys).Append(' ') : text;
        _ = AllChannels ? text : text.Append("resetchannels ");
        _ = ChannelRules is { Length: > 0 } channels ? text.Append(channels).Append(' ') : text;
        return text.Append(CommandRules).ToString();
    }

    /// <summary>A selector from its rules between parentheses; null with the reason.</summary>
    internal static AclSelector? Parse(string rules, bool allChannels, out AclError error)
    {
        error = AclError.Syntax;
        if (ConfigText.Split(rules[1..^1]) is not { } words)
        {
            return null;
        }

        var selector = new AclSelector(allChannels);
        foreach (string word in words)
        {
            error = word.Length == 0 ? AclError.Syntax : selector.Set(word);
            if (error != AclError.None)
            {
                return null;
            }
        }

        error = AclError.None;
        return selector;
    }

    // ------------------------------------------------------------------ checking

    /// <summary>Whether it allows a command, whatever its words are.</summary>
    internal bool Allows(CommandSpec spec) => AllCommands || spec.Has(CommandFlags.NoAuth) || Has(spec);

    /// <summary>Whether it allows a command with these words; otherwise the word that is refused.</summary>
    internal unsafe AclDenial Check(CommandSpec spec, Slice* args, int count, AclKeys keys, ref int refused)
    {
        if (!Allows(spec) && !HasFirstArgument(spec, args, count))
        {
            return AclDenial.Command;
        }

        if (!AllKeys && CommandKeys.HasKeys(spec))
        {
            foreach (KeyPosition key in keys.Of(spec, args, count))
            {
                if (!AllowsKey(args[key.Index].Span, Needed(key.Access)))
                {
                    refused = key.Index;
                    return AclDenial.Key;
                }
            }
        }

        if (!AllChannels && spec.Channels != ChannelUse.None)
        {
            int last = spec.Channels == ChannelUse.Publish ? 1 : count - 1;
            for (int i = 1; i <= last; i++)
            {
                if (!AllowsChannel(args[i].Span, spec.Channels == ChannelUse.SubscribeToPatterns))
                {
                    refused = i;
                    return AclDenial.Channel;
                }
            }
        }

        return AclDenial.None;
    }

    /// <summary>Whether it allows a use of every key there may be.</summary>
    internal bool AllowsAllKeys(KeyAccess access) =>
        AllKeys || _keys.Exists(k => (k.Permissions & Needed(access)) == Needed(access) && GlobPattern.MatchesAll(k.Pattern));

    /// <summary>Whether it allows a key to be used.</summary>
    internal bool AllowsKey(ReadOnlySpan<byte> key, KeyPermissions needed)
    {
        foreach (KeyPattern pattern in _keys)
        {
            if ((pattern.Permissions & needed) == needed && GlobPattern.Matches(pattern.Pattern, key))
            {
                return true;
            }
        }

        return AllKeys;
    }

    /// <summary>Whether it allows a channel. A pattern to subscribe to must stand in the rules as it is.</summary>
    internal bool AllowsChannel(ReadOnlySpan<byte> channel, bool isPattern) => AllChannels || Covers(_channels, channel, isPattern);

    /// <summary>Whether one of the patterns covers a channel or pattern.</summary>
    internal static bool Covers(IReadOnlyList<byte[]> patterns, ReadOnlySpan<byte> channel, bool isPattern)
    {
        foreach (byte[] pattern in patterns)
        {
            if (isPattern ? channel.SequenceEqual(pattern) : GlobPattern.Matches(pattern, channel))
            {
                return true;
            }
        }

        return false;
    }

    private bool Has(CommandSpec spec) => (_commands[spec.Id >> 6] & (1UL << (spec.Id & 63))) != 0;

    private unsafe bool HasFirstArgument(CommandSpec spec, Slice* args, int count)
    {
        if (_firstArguments is null || count < 2 || !_firstArguments.TryGetValue(spec.Id, out List<byte[]>? arguments))
        {
            return false;
        }

        foreach (byte[] argument in arguments)
        {
            if (args[1].EqualsIgnoreCase(argument))
            {
                return true;
            }
        }

        return false;
    }

    private static KeyPermissions Needed(KeyAccess access) =>
        ((access & KeyAccess.Access) != 0 ? KeyPermissions.Read : KeyPermissions.None)
        | ((access & (KeyAccess.Insert | KeyAccess.Delete | KeyAccess.Update)) != 0 ? KeyPermissions.Write : KeyPermissions.None);

    /// <summary>Keys by pattern, and how they may be used.</summary>
    private readonly record struct KeyPattern(byte[] Pattern, KeyPermissions Permissions)
    {
        public override string ToString() => Permissions switch
        {
            KeyPermissions.Read => "%R~",
            KeyPermissions.Write => "%W~",
            _ => "~",
        } + Encoding.Latin1.GetString(Pattern);
    }
}

/// <summary>The keys of one command, found once however many selectors ask for them.</summary>
internal sealed class AclKeys
{
    private readonly List<KeyPosition> _positions = [];
    private bool _isFound;

    /// <summary>Forgets the last command's.</summary>
    public void Clear() => _isFound = false;

    /// <summary>The keys; none where they cannot be told.</summary>
    public unsafe List<KeyPosition> Of(CommandSpec spec, Slice* args, int count)
    {
        if (!_isFound)
        {
            _isFound = true;
            _positions.Clear();
            if (!CommandKeys.TryFind(spec, new ArgView(args, count), _positions))
            {
                _positions.Clear();
            }
        }

        return _positions;
    }
}
