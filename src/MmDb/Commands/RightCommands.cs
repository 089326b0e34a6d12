using System.Globalization;
using Leither.Ipfs.Keys;
using Leither.MmDb.Acl;
using Leither.MmDb.Rights;

namespace Leither.MmDb.Commands;

/// <summary>MIMEI RIGHT and MIMEI GROUP: who may do what with a MiMei. That they may be run at all is decided where all is, by <see cref="AclUsers.Allows"/>.</summary>
public static unsafe class RightCommands
{
    /// <summary>A longer text is no id.</summary>
    private const int MaxIdLength = 200;

    private const CommandFlags Usual = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch;

    private const string NotAnId = "ERR a user is named by a peer id (12D3KooW...), or by a node id or user id of 27 characters";

    private const string Whomever = "everyone, groups, members, group NAME or user ID";

    private static readonly CommandSpec Right = new("right", -4)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of members, and of clients.",
        Summary = "Returns or changes who may do what with a MiMei.",
        Flags = Usual,
        Need = new MimeiNeed(MimeiRight.Grant, 3) { Readers = ["get"], ReadersNeed = MimeiRight.All },
        Args =
        [
            Arg.OneOf(
                "action",
                Arg.Block("get", Arg.Word("get", "GET"), Arg.String("mid").Shown("mid|name"), Arg.String("user").Token("USER").Shown("userid|nodeid|peerid").Optional()),
                Arg.Block("set", Arg.Word("set", "SET"), Arg.String("mid").Shown("mid|name"), Whom(), Arg.String("right").Shown("read|write|backup|publish|grant|messages|scripts|all|none|default").Multiple()),
                Arg.Block("mask", Arg.Word("mask", "SET"), Arg.String("mid").Shown("mid|name"), Arg.Integer("mask")),
                Arg.Block("del", Arg.Word("del", "DEL"), Arg.String("mid").Shown("mid|name"), Whom())),
        ],
        Handler = &RunRight,
    };

    private static readonly CommandSpec Group = new("group", -4)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of members, and of clients.",
        Summary = "Returns or changes the groups of those who have rights to a MiMei together.",
        Flags = Usual,
        Need = new MimeiNeed(MimeiRight.Grant, 3),
        Args =
        [
            Arg.OneOf(
                "action",
                Arg.Block("add", Arg.Word("add", "ADD"), Arg.String("mid").Shown("mid|name"), Arg.String("group"), Arg.String("user").Shown("userid|nodeid|peerid").Optional().Multiple()),
                Arg.Block("del", Arg.Word("del", "DEL"), Arg.String("mid").Shown("mid|name"), Arg.String("group"), Arg.String("user").Shown("userid|nodeid|peerid").Optional().Multiple()),
                Arg.Block("list", Arg.Word("list", "LIST"), Arg.String("mid").Shown("mid|name"), Arg.String("group").Optional())),
        ],
        Handler = &RunGroup,
    };

    /// <summary>The family.</summary>
    internal static IEnumerable<CommandSpec> All => [Right, Group];

    private static Arg Whom() => Arg.OneOf(
        "whom", Arg.Word("everyone", "EVERYONE"), Arg.Word("groups", "GROUPS"), Arg.Word("members", "MEMBERS"), Arg.String("group").Token("GROUP"),
        Arg.String("user").Token("USER").Shown("userid|nodeid|peerid"));

    // ------------------------------------------------------------------ rights

    private static void RunRight(CommandContext c)
    {
        if (c.Is(2, "get"u8) && (c.Count == 4 || (c.Count == 6 && c.Is(4, "user"u8))))
        {
            Get(c);
        }
        else if (c.Is(2, "set"u8) && c.Count > 4)
        {
            Set(c);
        }
        else if (c.Is(2, "del"u8) && c.Count > 4)
        {
            Delete(c);
        }
        else
        {
            c.Error(
                c.Is(2, "set"u8) ? $"ERR to whom, and which rights: {Whomever}, then {AllWords(isOverride: true)}; or all at once a mask of 64 bits as a number"
                : c.Is(2, "del"u8) ? $"ERR from whom: {Whomever}"
                : c.Is(2, "get"u8) ? "ERR of one user it is MIMEI RIGHT GET mid USER id"
                : "ERR it is MIMEI RIGHT GET, SET or DEL");
        }
    }

    private static void Get(CommandContext c)
    {
        if (!MimeiCommands.TryFind(c, 3, out MimeiEntry entry))
        {
            return;
        }

        // Who may give no rights is told of his own alone.
        MimeiCaller? person = c.Session.User.Person;
        bool seesAll = person is not { } asks || entry.RightsOf(asks).HasFlag(MimeiRight.Grant);
        if (c.Count == 6 || !seesAll)
        {
            string? id = person?.User.ToString();
            if (c.Count == 6 && !TryId(c, 5, out id))
            {
                return;
            }

            if (!seesAll && !person!.Value.Ids.Contains(id))
            {
                c.Error("NOPERM who may not give rights is told of his own alone");
                return;
            }

            MimeiRight rights = entry.RightsOf(
                person is { } self && self.Ids.Contains(id) ? self
                : LeitherId.TryParse(id, out LeitherId user) || !PeerId.TryParse(id, out PeerId peer) ? MimeiCaller.Of(user) : MimeiCaller.Of(peer));
            c.Reply.Map(4);
            MimeiCommands.Field(c.Reply, "mid", entry.Id.ToString());
            MimeiCommands.Field(c.Reply, "user", id!);
            Words(c, "rights", rights);
            MimeiCommands.Field(c.Reply, "mask", (long)rights);
            return;
        }

        MimeiRights all = entry.Rights;
        c.Reply.Map(9);
        MimeiCommands.Field(c.Reply, "mid", entry.Id.ToString());
        MimeiCommands.Field(c.Reply, "name", entry.Record.Name);
        MimeiCommands.Field(c.Reply, "mask", all.Mask.ToString(CultureInfo.InvariantCulture));
        MimeiCommands.Field(c.Reply, "owner", entry.Record.Author == default ? "" : entry.Record.Author.ToString());
        Words(c, "everyone", all.Everyone);
        Words(c, "group-default", all.Of(MimeiClass.Groups));
        Words(c, "member-default", all.Of(MimeiClass.Members));
        c.Reply.Bulk("groups"u8);
        c.Reply.Array(all.Groups.Count);
        foreach ((string name, MimeiGroup group) in all.Groups.OrderBy(static g => g.Key, StringComparer.Ordinal))
        {
            WriteGroup(c, all, name, group);
        }

        c.Reply.Bulk("members"u8);
        c.Reply.Array(all.Members.Count);
        foreach ((string id, MimeiRight? rights) in all.Members.OrderBy(static m => m.Key, StringComparer.Ordinal))
        {
            c.Reply.Map(3);
            MimeiCommands.Field(c.Reply, "user", id);
            Words(c, "rights", rights ?? all.Of(MimeiClass.Members));
            MimeiCommands.Field(c.Reply, "default", rights is null ? 1 : 0);
        }
    }

    private static void Set(CommandContext c)
    {
        if (!MimeiCommands.TryFind(c, 3, out MimeiEntry entry))
        {
            return;
        }

        MimeiRights rights = entry.Rights;
        if (c.Count == 5 && ulong.TryParse(c.Text(4), NumberStyles.None, CultureInfo.InvariantCulture, out ulong mask))
        {
            Change(c, entry, rights.WithMask(mask), null);
        }
        else if (TryWhom(c, out MimeiClass some, out string? group, out string? user, out int next) && TryRights(c, next, isOverride: group is not null || user is not null, out MimeiRight? given))
        {
            try
            {
                Change(
                    c, entry, user is not null ? rights.WithMember(user, given) : group is not null ? rights.WithGroup(group, given) : rights.With(some, given!.Value), null);
            }
            catch (MimeiException e)
            {
                c.Error(e.Message);
            }
        }
    }

    private static void Delete(CommandContext c)
    {
        if (!MimeiCommands.TryFind(c, 3, out MimeiEntry entry) || !TryWhom(c, out MimeiClass some, out string? group, out string? user, out int next))
        {
            return;
        }

        if (next != c.Count)
        {
            c.Error("ERR MIMEI RIGHT DEL takes all rights from one; MIMEI RIGHT SET says which remain"u8);
            return;
        }

        MimeiRights rights = entry.Rights;
        bool was = user is not null ? rights.Members.ContainsKey(user) : group is not null ? rights.Groups.ContainsKey(group) : rights.Of(some) != MimeiRight.None;
        Change(c, entry, user is not null ? rights.WithoutMember(user) : group is not null ? rights.WithoutGroup(group) : rights.With(some, MimeiRight.None), was ? 1 : 0);
    }

    /// <summary>Reads whom rights are given to or taken from: a class, a group or a user; or replies what is wrong.</summary>
    private static bool TryWhom(CommandContext c, out MimeiClass some, out string? group, out string? user, out int next)
    {
        (some, group, user, next) = (MimeiClass.Everyone, null, null, 5);
        if (c.Is(4, "everyone"u8))
        {
            return true;
        }

        if (c.Is(4, "groups"u8) || c.Is(4, "members"u8))
        {
            some = c.Is(4, "groups"u8) ? MimeiClass.Groups : MimeiClass.Members;
            return true;
        }

        if (c.Is(4, "owner"u8))
        {
            c.Error("ERR the owner has all rights, always"u8);
            return false;
        }

        bool isGroup = c.Is(4, "group"u8);
        if (!isGroup && !c.Is(4, "user"u8))
        {
            c.Error($"ERR '{c.TextToZero(4, 32)}' is nobody who has rights; those that there are: {Whomever}; or all at once a mask of 64 bits as a number");
            return false;
        }

        if (c.Count < 6)
        {
            c.Error(isGroup ? "ERR which group: group NAME"u8 : "ERR which user: user ID"u8);
            return false;
        }

        next = 6;
        group = isGroup ? c.TextToZero(5, MimeiRights.MaxGroupName + 1) : null;
        return isGroup || TryId(c, 5, out user);
    }

    /// <summary>Reads the rights that are to be given, to the end of the command; null: those of the class. Or replies what is wrong.</summary>
    private static bool TryRights(CommandContext c, int index, bool isOverride, out MimeiRight? rights)
    {
        rights = MimeiRight.None;
        if (isOverride && index + 1 == c.Count && c.Is(index, "default"u8))
        {
            rights = null;
            return true;
        }

        for (int i = index; i < c.Count; i++)
        {
            if (!MimeiRightWords.TryParse(c.TextToZero(i, 16), out MimeiRight some))
            {
                c.Error($"ERR '{c.TextToZero(i, 16)}' is no right; those that there are: {AllWords(isOverride)}");
                return false;
            }

            rights |= some;
        }

        if (index == c.Count)
        {
            c.Error($"ERR which rights: {AllWords(isOverride)}");
            return false;
        }

        return true;
    }

    private static string AllWords(bool isOverride) => $"{string.Join(' ', MimeiRightWords.All)}, all, none{(isOverride ? ", default" : "")}";

    private static bool TryId(CommandContext c, int index, out string? id)
    {
        id = MimeiCaller.Normalize(c.Text(index, MaxIdLength));
        if (id is null)
        {
            c.Error(NotAnId);
        }

        return id is not null;
    }

    /// <summary>Changes the rights, durably, here and for other nodes, and replies OK or a number.</summary>
    private static void Change(CommandContext c, MimeiEntry entry, MimeiRights rights, long? count)
    {
        MimeiRegistry mimeis = c.Server.Mimeis;
        if (mimeis.Store is null)
        {
            c.Error(MimeiCommands.NoStore);
            return;
        }

        MimeiRights before = entry.Rights;
        if (c.Session.User.Person is { } person)
        {
            MimeiRight own = entry.RightsOf(person), beyond = rights.ChangedSince(before) & ~own;
            if (beyond != MimeiRight.None)
            {
                c.Error($"NOPERM who has not the right himself neither gives nor takes it: {string.Join(' ', MimeiRightWords.Of(beyond))}");
                return;
            }

            if (own != MimeiRight.All && rights.ChangedBeyondWords(before))
            {
                c.Error("NOPERM bits of the mask that are no rights are for who has all rights"u8);
                return;
            }
        }

        mimeis.ChangeRights(entry, rights, c.Session);
        c.Aside(
            () =>
            {
                mimeis.KeepRights(entry);
                return true;
            },
            (c, _) =>
            {
                if (c.Server.Replicas is { } replicas)
                {
                    LeitherId mid = entry.Id;
                    c.AsideAsync(_ => ReplicaWork.RightsChangedAsync(replicas, mid), (c, _) => Done(c, count));
                }
                else
                {
                    Done(c, count);
                }
            },
            () =>
            {
                // The disk failed: it is as it was, unless somebody else changed it meanwhile.
                if (entry.Rights == rights)
                {
                    mimeis.ChangeRights(entry, before, null);
                }
            });
    }

    private static void Done(CommandContext c, long? count)
    {
        if (count is { } number)
        {
            c.Reply.Integer(number);
        }
        else
        {
            c.Reply.Ok();
        }
    }

    private static void Words(CommandContext c, string name, MimeiRight rights)
    {
        string[] words = MimeiRightWords.Of(rights);
        c.Reply.Bulk(System.Text.Encoding.ASCII.GetBytes(name));
        c.Reply.Array(words.Length);
        foreach (string word in words)
        {
            c.Reply.Bulk(System.Text.Encoding.ASCII.GetBytes(word));
        }
    }

    // ------------------------------------------------------------------ groups

    private static void RunGroup(CommandContext c)
    {
        bool adds = c.Is(2, "add"u8) && c.Count > 4, removes = c.Is(2, "del"u8) && c.Count > 4;
        if (!adds && !removes && !(c.Is(2, "list"u8) && c.Count <= 5))
        {
            c.Error("ERR it is MIMEI GROUP ADD mid name [id ...], MIMEI GROUP DEL mid name [id ...] or MIMEI GROUP LIST mid [name]"u8);
            return;
        }

        if (!MimeiCommands.TryFind(c, 3, out MimeiEntry entry))
        {
            return;
        }

        MimeiRights rights = entry.Rights;
        string? name = c.Count > 4 ? c.TextToZero(4, MimeiRights.MaxGroupName + 1) : null;
        MimeiGroup? group = name is null ? null : rights.Groups.GetValueOrDefault(name);
        if (!adds && !removes)
        {
            List(c, rights, name, group);
            return;
        }

        var ids = new List<string>();
        for (int i = 5; i < c.Count; i++)
        {
            if (!TryId(c, i, out string? id))
            {
                return;
            }

            ids.Add(id!);
        }

        try
        {
            if (adds)
            {
                Change(c, entry, rights.WithGroup(name!, ids), ids.Distinct(StringComparer.Ordinal).Count(id => group?.Members.Contains(id) != true));
            }
            else if (ids.Count == 0)
            {
                Change(c, entry, rights.WithoutGroup(name!), group is null ? 0 : 1);
            }
            else
            {
                Change(c, entry, rights.WithoutGroupMembers(name!, ids), ids.Distinct(StringComparer.Ordinal).Count(id => group?.Members.Contains(id) == true));
            }
        }
        catch (MimeiException e)
        {
            c.Error(e.Message);
        }
    }

    private static void List(CommandContext c, MimeiRights rights, string? name, MimeiGroup? group)
    {
        KeyValuePair<string, MimeiGroup>[] groups = name is null ? [.. rights.Groups.OrderBy(static g => g.Key, StringComparer.Ordinal)]
            : group is null ? [] : [KeyValuePair.Create(name, group)];
        c.Reply.Array(groups.Length);
        foreach ((string called, MimeiGroup one) in groups)
        {
            WriteGroup(c, rights, called, one);
        }
    }

    private static void WriteGroup(CommandContext c, MimeiRights rights, string name, MimeiGroup group)
    {
        c.Reply.Map(4);
        MimeiCommands.Field(c.Reply, "group", name);
        Words(c, "rights", group.Rights ?? rights.Of(MimeiClass.Groups));
        MimeiCommands.Field(c.Reply, "default", group.Rights is null ? 1 : 0);
        c.Reply.Bulk("users"u8);
        c.Reply.Array(group.Members.Count);
        foreach (string id in group.Members.Order(StringComparer.Ordinal))
        {
            c.Reply.Bulk(System.Text.Encoding.ASCII.GetBytes(id));
        }
    }
}
