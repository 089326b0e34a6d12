using Leither.MmDb.Commands;
using Leither.MmDb.Rights;

namespace Leither.MmDb.Passports;

/// <summary>What a passport lets its subject do, in the MiMei that it names.</summary>
[Flags]
public enum PassportRights
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Read keys, or of a MiMei of files those.</summary>
    Read = 1,

    /// <summary>Change keys, or of a MiMei of files those.</summary>
    Write = 2,

    /// <summary>Publish and subscribe.</summary>
    Messages = 4,

    /// <summary>Run scripts and functions, and load them.</summary>
    Scripts = 8,

    /// <summary>Make versions, and compare them.</summary>
    Versions = 16,

    /// <summary>Everything, on the whole node: the node's own author alone can give that.</summary>
    Admin = 32,

    /// <summary>
    /// Nothing by itself: a user says who he is, and proves it. What he may do is what the lists of rights of MiMei (<see cref="Rights.MimeiRights"/>) give him.
    /// </summary>
    Login = 64,
}

/// <summary>The words of <see cref="PassportRights"/>, and the rules of ACL that they stand for.</summary>
public static class PassportRightWords
{
    private static readonly (string Word, PassportRights Right)[] _words =
    [
        ("read", PassportRights.Read), ("write", PassportRights.Write), ("messages", PassportRights.Messages),
        ("scripts", PassportRights.Scripts), ("versions", PassportRights.Versions), ("admin", PassportRights.Admin),
        ("login", PassportRights.Login),
    ];

    /// <summary>All words.</summary>
    public static IEnumerable<string> All => _words.Select(static w => w.Word);

    /// <summary>The words of some rights, in their order.</summary>
    public static string[] Of(PassportRights rights) => [.. _words.Where(w => rights.HasFlag(w.Right)).Select(static w => w.Word)];

    /// <summary>The right of a word.</summary>
    public static bool TryParse(string word, out PassportRights right)
    {
        right = Array.Find(_words, w => w.Word == word).Right;
        return right != PassportRights.None;
    }

    /// <summary>The rules of the ACL user that a passport makes of a connection: the rights first, then what no passport gives.</summary>
    internal static IEnumerable<string> RulesOf(Passport passport)
    {
        PassportRights rights = passport.Rights;
        if (rights.HasFlag(PassportRights.Admin)) return ["on", "+@all", "~*", "&*"];
        List<string> rules = RulesOf(rights, passport.Keys);
        if (rights.HasFlag(PassportRights.Read)) rules.Add("+mimei|list");
        if (rights.HasFlag(PassportRights.Versions)) rules.AddRange(["+mimei|backup", "+mimei|diff"]);

        // Files are no keys: who may do something with some keys alone has no say in them.
        if (!passport.Keys.Contains("*")) return rules;
        if (rights.HasFlag(PassportRights.Read)) rules.AddRange(["+mimei|get", "+mimei|ls", "+mimei|stat"]);
        if (rights.HasFlag(PassportRights.Write)) rules.AddRange(["+mimei|add", "+mimei|setcid"]);
        if ((rights & (PassportRights.Read | PassportRights.Write)) != PassportRights.None) rules.Add("+mimei|block");
        return rules;
    }

    /// <summary>What a passport lets do with the data of its MiMei, as the lists of MiMei say it.</summary>
    internal static MimeiRight DataOf(PassportRights rights) =>
        rights.HasFlag(PassportRights.Admin) ? MimeiRight.All
        : (rights.HasFlag(PassportRights.Read) ? MimeiRight.Read : MimeiRight.None) | (rights.HasFlag(PassportRights.Write) ? MimeiRight.Write : MimeiRight.None);

    /// <summary>The rules of the ACL user that a MiMei's list makes of a connection: those of data, and the commands on MiMei that ask the list themselves.</summary>
    internal static IEnumerable<string> RulesOf(MimeiRight rights)
    {
        PassportRights data = PassportRights.None;
        foreach ((MimeiRight right, PassportRights same) in ((MimeiRight, PassportRights)[])[
            (MimeiRight.Read, PassportRights.Read), (MimeiRight.Write, PassportRights.Write), (MimeiRight.Messages, PassportRights.Messages), (MimeiRight.Scripts, PassportRights.Scripts)])
        {
            if (rights.HasFlag(right)) data |= same;
        }

        return RulesOf(data, ["*"]).Append("+mimei|list").Concat(MimeiCommands.Mimei.Subcommands.Where(static s => s.Need is not null).Select(static s => "+" + s.FullName));
    }

    private static List<string> RulesOf(PassportRights rights, IReadOnlyList<string> keys)
    {
        List<string> rules = ["on", "resetchannels", "+@connection", "+@transaction"];
        bool reads = rights.HasFlag(PassportRights.Read), writes = rights.HasFlag(PassportRights.Write);
        if (reads) rules.Add("+@read");
        if (writes) rules.Add("+@write");
        string access = reads && writes ? "~" : reads ? "%R~" : "%W~";
        if (reads || writes) rules.AddRange(keys.Select(key => access + key));
        if (rights.HasFlag(PassportRights.Messages)) rules.AddRange(["+@pubsub", "&*"]);
        rules.Add(rights.HasFlag(PassportRights.Scripts) ? "+@scripting" : "-@scripting");
        rules.AddRange(["-@admin", "-@dangerous", "-mimei", "-ipfs", "-swarm", "-dht", "-passport", "+command", "+acl|whoami", "+mimei|id", "+mimei|may"]);
        // Who keeps a cache is told the names of keys that change; RANDOMKEY tells any. (SCAN leaves others out.)
        if (!reads || !keys.Contains("*")) rules.Add("-client|tracking");
        if (!keys.Contains("*")) rules.Add("-randomkey");
        return rules;
    }
}

/// <summary>Why a passport lets nobody in.</summary>
public enum PassportRefusal
{
    /// <summary>It does.</summary>
    None,

    /// <summary>It is no passport, or of a format that is not known.</summary>
    Malformed,

    /// <summary>Its issuer did not sign this.</summary>
    Forged,

    /// <summary>Its time has not come.</summary>
    NotYet,

    /// <summary>Its time is over.</summary>
    Expired,

    /// <summary>It was revoked.</summary>
    Revoked,

    /// <summary>It is for another node.</summary>
    OtherNode,

    /// <summary>Its issuer has no say in what it is about.</summary>
    NoSay,

    /// <summary>It says who somebody is, and no MiMei gives him a right.</summary>
    NoRight,

    /// <summary>It asks for a proof, and came without, or without a challenge before.</summary>
    Unproved,

    /// <summary>The proof is not the subject's answer to the challenge.</summary>
    WrongProof,
}
