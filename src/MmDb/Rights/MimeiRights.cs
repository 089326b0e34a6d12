using System.Collections.Frozen;
using Leither.Ipfs;
using Leither.Ipfs.DagCbor;

namespace Leither.MmDb.Rights;

/// <summary>A group of those who have rights to a MiMei together.</summary>
/// <param name="Rights">What its members may do; null: what the mask says of groups.</param>
/// <param name="Members">Their ids.</param>
public sealed record MimeiGroup(MimeiRight? Rights, FrozenSet<string> Members);

/// <summary>
/// Who may do what with a MiMei: a mask of 64 bits, and a list of members and groups. What somebody may do is what everyone may, what he may as a member, and what he may in each
/// group that he is in, together: nothing takes away what something else gives. The owner may do everything, and stands in no list (<see cref="MimeiEntry.RightsOf"/>).
/// </summary>
/// <remarks>
/// <para>The mask has eight bits for each <see cref="MimeiClass"/>: everyone in bits 0 to 7, then groups, members and the owner. Within eight, bits are those of
/// <see cref="MimeiRight"/>; what has no meaning is kept. 0 is private.</para>
/// <para>The block is DAG-CBOR:</para>
/// <code>
/// mask      the mask
/// format    1
/// groups    [[name, rights or null, [id, …]], …], by name
/// members   [[id, rights or null], …], by id
/// </code>
/// <para>Objects of it do not change, so that any thread may ask one.</para>
/// </remarks>
public sealed class MimeiRights
{
    /// <summary>The most members, groups, and members of a group.</summary>
    public const int MaxMembers = 4096, MaxGroups = 256, MaxGroupMembers = 4096;

    /// <summary>The longest name of a group.</summary>
    public const int MaxGroupName = 64;

    private const int Format = 1, ClassBits = 8;

    private readonly FrozenDictionary<string, MimeiRight?> _members;
    private readonly FrozenDictionary<string, MimeiGroup> _groups;

    private MimeiRights(ulong mask, IEnumerable<KeyValuePair<string, MimeiRight?>> members, IEnumerable<KeyValuePair<string, MimeiGroup>> groups)
    {
        Mask = mask;
        _members = members.ToFrozenDictionary(StringComparer.Ordinal);
        _groups = groups.ToFrozenDictionary(StringComparer.Ordinal);
        Everyone = ClassOf(mask, MimeiClass.Everyone);
        IsShared = IsPublic || Readers.Any();
    }

    /// <summary>Those of a MiMei for which nothing was said: it is its owner's alone.</summary>
    public static MimeiRights Private { get; } = new(0, [], []);

    /// <summary>The mask.</summary>
    public ulong Mask { get; }

    /// <summary>What anybody may.</summary>
    public MimeiRight Everyone { get; }

    /// <summary>Members, and what each may; null: what the mask says of members.</summary>
    public IReadOnlyDictionary<string, MimeiRight?> Members => _members;

    /// <summary>Groups by their names.</summary>
    public IReadOnlyDictionary<string, MimeiGroup> Groups => _groups;

    /// <summary>Whether nothing was ever said.</summary>
    public bool IsPlain => Mask == 0 && _members.Count == 0 && _groups.Count == 0;

    /// <summary>Whether anybody may read it: then it is public.</summary>
    public bool IsPublic => (Everyone & MimeiRight.Read) != 0;

    /// <summary>Whether somebody besides its owner may read it.</summary>
    public bool IsShared { get; }

    /// <summary>The ids of those who may read it, besides everyone and its owner.</summary>
    public IEnumerable<string> Readers =>
        _members.Where(m => (MemberRights(m.Value) & MimeiRight.Read) != 0).Select(static m => m.Key)
            .Concat(_groups.Values.Where(g => (GroupRights(g) & MimeiRight.Read) != 0).SelectMany(static g => g.Members)).Distinct(StringComparer.Ordinal);

    // ------------------------------------------------------------------ asking

    /// <summary>What somebody may, unless he is the owner.</summary>
    public MimeiRight Of(in MimeiCaller caller)
    {
        MimeiRight rights = Everyone;
        if (_members.Count == 0 && _groups.Count == 0)
        {
            return rights;
        }

        foreach (string id in caller.Ids)
        {
            if (_members.TryGetValue(id, out MimeiRight? own))
            {
                rights |= MemberRights(own);
            }

            foreach (MimeiGroup group in _groups.Values)
            {
                if (group.Members.Contains(id))
                {
                    rights |= GroupRights(group);
                }
            }
        }

        return rights;
    }

    /// <summary>Whether somebody is a member, or in a group, whatever he may.</summary>
    public bool Have(in MimeiCaller caller)
    {
        if (_members.Count == 0 && _groups.Count == 0)
        {
            return false;
        }

        foreach (string id in caller.Ids)
        {
            if (_members.ContainsKey(id) || _groups.Values.Any(g => g.Members.Contains(id)))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>What the mask says of a class.</summary>
    public MimeiRight Of(MimeiClass some) => ClassOf(Mask, some);

    private static MimeiRight ClassOf(ulong mask, MimeiClass some) => (MimeiRight)(mask >> ((int)some * ClassBits)) & MimeiRight.All;

    private MimeiRight MemberRights(MimeiRight? own) => own ?? Of(MimeiClass.Members);

    private MimeiRight GroupRights(MimeiGroup group) => group.Rights ?? Of(MimeiClass.Groups);

    // ------------------------------------------------------------------ changing

    /// <summary>The same with another mask.</summary>
    public MimeiRights WithMask(ulong mask) => new(mask, _members, _groups);

    /// <summary>The same with other rights for a class.</summary>
    public MimeiRights With(MimeiClass some, MimeiRight rights)
    {
        int shift = (int)some * ClassBits;
        return WithMask((Mask & ~((ulong)MimeiRight.All << shift)) | ((ulong)(rights & MimeiRight.All) << shift));
    }

    /// <summary>The same with a member; null: he may what the mask says of members.</summary>
    /// <exception cref="MimeiException">There are too many.</exception>
    public MimeiRights WithMember(string id, MimeiRight? rights)
    {
        Dictionary<string, MimeiRight?> members = new(_members, StringComparer.Ordinal) { [id] = rights };
        return members.Count <= MaxMembers ? new MimeiRights(Mask, members, _groups) : throw new MimeiException($"ERR a MiMei has at most {MaxMembers} members; a group holds as many again");
    }

    /// <summary>The same without a member.</summary>
    public MimeiRights WithoutMember(string id) => new(Mask, _members.Where(m => m.Key != id), _groups);

    /// <summary>The same with members added to a group, which is made where there is none.</summary>
    /// <exception cref="MimeiException">There are too many, or the name is none.</exception>
    public MimeiRights WithGroup(string name, IEnumerable<string> added)
    {
        if (!IsGroupName(name))
        {
            throw new MimeiException($"ERR a group's name has 1 to {MaxGroupName} letters, digits, '.', '_' and '-'");
        }

        MimeiGroup? old = _groups.GetValueOrDefault(name);
        FrozenSet<string> members = (old?.Members ?? []).Concat(added).ToFrozenSet(StringComparer.Ordinal);
        if (members.Count > MaxGroupMembers)
        {
            throw new MimeiException($"ERR a group has at most {MaxGroupMembers} members");
        }

        Dictionary<string, MimeiGroup> groups = new(_groups, StringComparer.Ordinal) { [name] = new MimeiGroup(old?.Rights, members) };
        return groups.Count <= MaxGroups ? new MimeiRights(Mask, _members, groups) : throw new MimeiException($"ERR a MiMei has at most {MaxGroups} groups");
    }

    /// <summary>The same with other rights for a group that there is; null: what the mask says of groups.</summary>
    /// <exception cref="MimeiException">There is no such group.</exception>
    public MimeiRights WithGroup(string name, MimeiRight? rights) =>
        _groups.TryGetValue(name, out MimeiGroup? group)
            ? new MimeiRights(Mask, _members, new Dictionary<string, MimeiGroup>(_groups, StringComparer.Ordinal) { [name] = group with { Rights = rights } })
            : throw new MimeiException($"ERR no group is called '{name[..Math.Min(name.Length, MaxGroupName)]}'; MIMEI GROUP ADD makes one");

    /// <summary>The same without some members of a group.</summary>
    public MimeiRights WithoutGroupMembers(string name, IEnumerable<string> removed) =>
        _groups.TryGetValue(name, out MimeiGroup? group)
            ? new MimeiRights(Mask, _members, new Dictionary<string, MimeiGroup>(_groups, StringComparer.Ordinal) { [name] = group with { Members = group.Members.Except(removed).ToFrozenSet(StringComparer.Ordinal) } })
            : this;

    /// <summary>The same without a group.</summary>
    public MimeiRights WithoutGroup(string name) => new(Mask, _members, _groups.Where(g => g.Key != name));

    /// <summary>The same, and public.</summary>
    public MimeiRights Published() => With(MimeiClass.Everyone, Everyone | MimeiRight.Read);

    /// <summary>The same, not public, and these may read it.</summary>
    /// <exception cref="MimeiException">There are too many.</exception>
    public MimeiRights SharedWith(IEnumerable<string> ids)
    {
        Dictionary<string, MimeiRight?> members = new(_members, StringComparer.Ordinal);
        foreach (string id in ids)
        {
            MimeiRight old = members.TryGetValue(id, out MimeiRight? own) ? MemberRights(own) : MimeiRight.None;
            members[id] = (old & MimeiRight.Read) != 0 ? own : old | MimeiRight.Read;
        }

        return members.Count <= MaxMembers
            ? new MimeiRights(Mask, members, _groups).Hidden()
            : throw new MimeiException($"ERR a MiMei can be shared with {MaxMembers} users at most");
    }

    /// <summary>The same, not public.</summary>
    public MimeiRights Hidden() => With(MimeiClass.Everyone, Everyone & ~MimeiRight.Read);

    /// <summary>The same, and nobody besides the owner may read it. Who was a member for nothing else is none any more.</summary>
    public MimeiRights Unpublished()
    {
        MimeiRights hidden = Hidden();
        hidden = hidden.With(MimeiClass.Groups, hidden.Of(MimeiClass.Groups) & ~MimeiRight.Read);
        hidden = hidden.With(MimeiClass.Members, hidden.Of(MimeiClass.Members) & ~MimeiRight.Read);
        return new MimeiRights(
            hidden.Mask,
            _members.Where(static m => m.Value != MimeiRight.Read).Select(static m => KeyValuePair.Create(m.Key, m.Value & ~MimeiRight.Read)),
            _groups.Select(static g => KeyValuePair.Create(g.Key, g.Value with { Rights = g.Value.Rights & ~MimeiRight.Read })));
    }

    /// <summary>Which rights somebody has more or less of than before: at least those, since who is in two lists may have kept by the one what he lost by the other.</summary>
    public MimeiRight ChangedSince(MimeiRights before)
    {
        MimeiRight changed = (Everyone ^ before.Everyone) | (Of(MimeiClass.Members) ^ before.Of(MimeiClass.Members)) | (Of(MimeiClass.Groups) ^ before.Of(MimeiClass.Groups));
        foreach (string id in _members.Keys.Concat(before._members.Keys))
        {
            changed |= RightsAsMember(id) ^ before.RightsAsMember(id);
        }

        foreach (string name in _groups.Keys.Concat(before._groups.Keys))
        {
            (MimeiGroup? now, MimeiGroup? old) = (_groups.GetValueOrDefault(name), before._groups.GetValueOrDefault(name));
            MimeiRight has = now is null ? MimeiRight.None : GroupRights(now), had = old is null ? MimeiRight.None : before.GroupRights(old);
            changed |= now is not null && old is not null && now.Members.SetEquals(old.Members) ? has ^ had : has | had;
        }

        return changed;
    }

    /// <summary>Whether the mask has other bits than before where none has a meaning. A later version may give them one: they are the owner's to change.</summary>
    public bool ChangedBeyondWords(MimeiRights before)
    {
        ulong known = ((ulong)MimeiRight.All << ((int)MimeiClass.Everyone * ClassBits)) | ((ulong)MimeiRight.All << ((int)MimeiClass.Groups * ClassBits)) | ((ulong)MimeiRight.All << ((int)MimeiClass.Members * ClassBits));
        return ((Mask ^ before.Mask) & ~known) != 0;
    }

    private MimeiRight RightsAsMember(string id) => _members.TryGetValue(id, out MimeiRight? own) ? MemberRights(own) : MimeiRight.None;

    private static bool IsGroupName(string name) => name.Length is > 0 and <= MaxGroupName && name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');

    // ------------------------------------------------------------------ as a block

    /// <summary>The block.</summary>
    public byte[] Encode()
    {
        var writer = new DagCborWriter();
        writer.WriteMapStart(4);
        writer.WriteKey("mask"u8);
        writer.WriteUInt64(Mask);
        writer.WriteKey("format"u8);
        writer.WriteInt64(Format);
        writer.WriteKey("groups"u8);
        writer.WriteArrayStart(_groups.Count);
        foreach ((string name, MimeiGroup group) in _groups.OrderBy(static g => g.Key, StringComparer.Ordinal))
        {
            writer.WriteArrayStart(3);
            writer.WriteText(name);
            WriteRights(writer, group.Rights);
            writer.WriteArrayStart(group.Members.Count);
            foreach (string id in group.Members.Order(StringComparer.Ordinal))
            {
                writer.WriteText(id);
            }
        }

        writer.WriteKey("members"u8);
        writer.WriteArrayStart(_members.Count);
        foreach ((string id, MimeiRight? rights) in _members.OrderBy(static m => m.Key, StringComparer.Ordinal))
        {
            writer.WriteArrayStart(2);
            writer.WriteText(id);
            WriteRights(writer, rights);
        }

        return writer.ToArray();
    }

    /// <summary>Reads a block.</summary>
    /// <exception cref="MalformedBlockException">It is none.</exception>
    public static MimeiRights Decode(ReadOnlySpan<byte> block)
    {
        var reader = new DagCborReader(block);
        reader.ReadMapStart(4);
        reader.ReadKey("mask"u8);
        ulong mask = reader.ReadUInt64();
        reader.ReadKey("format"u8);
        if (reader.ReadInt64() is var format and not Format)
        {
            throw new MalformedBlockException($"It is of format {format}, which this version does not know.");
        }

        var groups = new Dictionary<string, MimeiGroup>(StringComparer.Ordinal);
        reader.ReadKey("groups"u8);
        for (int left = Count(reader.ReadArrayStart(), MaxGroups); left > 0; left--)
        {
            reader.ReadArrayStart(3);
            string name = reader.ReadText();
            MimeiRight? rights = ReadRights(ref reader);
            var members = new HashSet<string>(StringComparer.Ordinal);
            for (int more = Count(reader.ReadArrayStart(), MaxGroupMembers); more > 0; more--)
            {
                members.Add(ReadId(ref reader));
            }

            if (!IsGroupName(name) || !groups.TryAdd(name, new MimeiGroup(rights, members.ToFrozenSet(StringComparer.Ordinal))))
            {
                throw new MalformedBlockException("What should be the name of a group is none.");
            }
        }

        var all = new Dictionary<string, MimeiRight?>(StringComparer.Ordinal);
        reader.ReadKey("members"u8);
        for (int left = Count(reader.ReadArrayStart(), MaxMembers); left > 0; left--)
        {
            reader.ReadArrayStart(2);
            string id = ReadId(ref reader);
            all[id] = ReadRights(ref reader);
        }

        reader.End();
        return new MimeiRights(mask, all, groups);
    }

    private static void WriteRights(DagCborWriter writer, MimeiRight? rights)
    {
        if (rights is { } some)
        {
            writer.WriteInt64((long)some);
        }
        else
        {
            writer.WriteNull();
        }
    }

    private static MimeiRight? ReadRights(ref DagCborReader reader)
    {
        if (reader.TryReadNull())
        {
            return null;
        }

        // A right that is not known must not be overlooked: what it gives, this version cannot tell.
        long rights = reader.ReadInt64();
        return (rights & ~(long)MimeiRight.All) == 0 ? (MimeiRight)rights : throw new MalformedBlockException($"It names rights ({rights}) that this version does not know.");
    }

    private static string ReadId(ref DagCborReader reader)
    {
        string id = reader.ReadText();
        return MimeiCaller.Normalize(id) == id ? id : throw new MalformedBlockException("What should be an id is none.");
    }

    private static int Count(int count, int max) => count <= max ? count : throw new MalformedBlockException($"A list has {count} elements; at most {max} are possible.");
}
