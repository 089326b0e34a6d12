using System.Globalization;
using Leither.MmDb.Passports;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>PASSPORT and its subcommands: what has to do with passports beside logging in with one, which is <c>AUTH passport &lt;ppt&gt;</c>.</summary>
public static unsafe class PassportCommands
{
    private const CommandFlags Usual = CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale;

    private static readonly CommandSpec _challenge = new("challenge", 2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(1)",
        Summary = "Returns 32 random bytes, in hexadecimal, and the node's id: what the subject of a passport signs that asks for a proof. Good for one AUTH within a minute.",
        Flags = Usual | CommandFlags.Fast | CommandFlags.NoAuth,
        Handler = &RunChallenge,
    };

    private static readonly CommandSpec _check = new("check", 3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(1)",
        Summary = "Tells what a passport says, and whether it would be taken.",
        Flags = Usual | CommandFlags.Admin | CommandFlags.NoMulti,
        Args = [Arg.String("passport")],
        Handler = &RunCheck,
    };

    private static readonly CommandSpec _revoke = new("revoke", 3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of clients and of revoked passports.",
        Summary = "Revokes a passport for good, and ends the connections that came with it.",
        Flags = Usual | CommandFlags.Admin | CommandFlags.NoMulti,
        Args = [Arg.String("passport").Shown("passport|serial")],
        Handler = &RunRevoke,
    };

    /// <summary>PASSPORT</summary>
    public static readonly CommandSpec Passport = new("passport", -2)
    {
        Group = CommandGroup.Mimei,
        Complexity = "Depends on subcommand.",
        Summary = "A container for commands on passports.",
        Flags = CommandFlags.EndsBatch,
        Subcommands =
        [
            _challenge,
            _check,
            new("help", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("list", 2)
            {
                Group = CommandGroup.Mimei,
                Complexity = "O(N) where N is the number of revoked passports.",
                Summary = "Lists the revoked passports: serial number, end, when each was revoked.",
                Flags = Usual | CommandFlags.Admin,
                Handler = &RunList,
            },
            _revoke,
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Passport];

    /// <summary>Whether a command is part of logging in with a passport, which protected mode leaves alone.</summary>
    internal static bool IsLogin(CommandSpec? spec, Slice* args, int count) =>
        spec == _challenge
        || (spec == Passport && count == 2 && args[1].EqualsIgnoreCase("challenge"u8))
        || (spec == ConnectionCommands.Auth && count == 3 && args[1].EqualsIgnoreCase("passport"u8))
        || (spec == ConnectionCommands.Hello && count >= 5 && args[2].EqualsIgnoreCase("auth"u8) && args[3].EqualsIgnoreCase("passport"u8));

    /// <summary>Whether a word is a passport, which whoever reads it may be able to use.</summary>
    internal static bool IsSecret(CommandSpec spec, int index) => index == 2 && (spec == _check || spec == _revoke);

    /// <summary>What a client is told whose passport is refused.</summary>
    internal static string Text(PassportRefusal refusal) => refusal switch
    {
        PassportRefusal.Malformed => "WRONGPASS that is no passport",
        PassportRefusal.Forged => "WRONGPASS the passport was not signed by its issuer",
        PassportRefusal.NotYet => "WRONGPASS the passport does not hold yet",
        PassportRefusal.Expired => "WRONGPASS the passport has expired",
        PassportRefusal.Revoked => "WRONGPASS the passport was revoked",
        PassportRefusal.OtherNode => "WRONGPASS the passport is for another node",
        PassportRefusal.NoSay => "WRONGPASS the passport's issuer has no say in what it is about",
        PassportRefusal.NoRight => "WRONGPASS no MiMei here gives this user a right",
        PassportRefusal.Unproved => "WRONGPASS the passport asks for a proof: sign what PASSPORT CHALLENGE returns with the subject's key",
        _ => "WRONGPASS the proof is not the subject's answer to the challenge",
    };

    private static void RunHelp(CommandContext c) => c.Help(
        "CHALLENGE",
        "    Return 32 random bytes, in hexadecimal, and the node's id: what the subject of a passport signs that asks for a proof.",
        "CHECK <passport>",
        "    Tell what a passport says, and whether it would be taken.",
        "LIST",
        "    List the revoked passports.",
        "REVOKE <passport>|<serial>",
        "    Revoke a passport for good, and end the connections that came with it.");

    private static void RunChallenge(CommandContext c)
    {
        byte[] challenge = c.Server.Passports.Challenge(c.Session);
        c.Reply.Array(2);
        c.Reply.Bulk(System.Text.Encoding.ASCII.GetBytes(Convert.ToHexStringLower(challenge)));
        c.Reply.Bulk(System.Text.Encoding.ASCII.GetBytes(c.Server.NodeId.ToString()));
    }

    private static void RunCheck(CommandContext c)
    {
        PassportOffice office = c.Server.Passports;
        string text = c.Text(2);
        long now = c.NowMs;
        c.Aside(
            () => office.Examine(text, null, now),
            static (c, check) =>
            {
                if (check.Passport is not { } passport)
                {
                    c.Error(Text(check.Refusal));
                    return;
                }

                if (passport.IsLogin && (check.Refusal is PassportRefusal.None or PassportRefusal.Unproved) && c.Server.Passports.PlaceOf(passport) is null)
                {
                    check = check with { Refusal = PassportRefusal.NoRight };
                }

                c.Reply.Map(11);
                Pair(c, "serial", passport.SerialText);
                Pair(c, "issuer", passport.Issuer.Id.ToString());
                Pair(c, "subject", passport.Subject.Id.ToString());
                Pair(c, "mimei", passport.Mid?.ToString() ?? "");
                Pair(c, "node", passport.Node?.ToString() ?? "");
                Pair(c, "from", passport.From.ToString(CultureInfo.InvariantCulture));
                Pair(c, "end", passport.End.ToString(CultureInfo.InvariantCulture));
                Pair(c, "rights", string.Join(' ', PassportRightWords.Of(passport.Rights)));
                Pair(c, "keys", string.Join(' ', passport.Keys));
                Pair(c, "proof", passport.NeedsProof ? "yes" : "no");
                Pair(c, "valid", check.Refusal is PassportRefusal.None or PassportRefusal.Unproved ? "yes" : Text(check.Refusal)["WRONGPASS ".Length..]);
            });
    }

    private static void RunList(CommandContext c)
    {
        PassportOffice.Revocation[] revoked = [.. c.Server.Passports.Revoked.OrderBy(static r => r.At).ThenBy(static r => r.Serial, StringComparer.Ordinal)];
        c.Reply.Array(revoked.Length);
        foreach (PassportOffice.Revocation one in revoked)
        {
            c.Reply.Map(3);
            Pair(c, "serial", one.Serial);
            Pair(c, "end", one.End?.ToString(CultureInfo.InvariantCulture) ?? "");
            Pair(c, "revoked", one.At.ToString(CultureInfo.InvariantCulture));
        }
    }

    private static void RunRevoke(CommandContext c)
    {
        string text = c.Text(2);
        string serial = text.ToLowerInvariant();
        long? end = null;
        if (Passports.Passport.TryParse(text, out byte[]? block, out _))
        {
            // Whether its signature is right does not matter: a serial number is all that is revoked.
            if (!Passports.Passport.TryRead(block, out Passports.Passport? passport, out PassportRefusal refusal))
            {
                c.Error(Text(refusal));
                return;
            }

            serial = passport.SerialText;
            end = passport.End;
        }
        else if (!PassportOffice.IsSerial(serial))
        {
            c.Error($"ERR that is neither a passport nor a serial number of {2 * Passports.Passport.SerialLength} hexadecimal digits");
            return;
        }

        PassportOffice office = c.Server.Passports;
        if (!office.Revoke(serial, end, c.Session))
        {
            c.Error($"ERR there are {PassportOffice.MaxRevoked} revoked passports that are not over. Change the issuer's key instead");
            return;
        }

        c.Aside(
            () =>
            {
                office.Keep();
                return true;
            },
            static (c, _) => c.Reply.Ok());
    }

    private static void Pair(CommandContext c, string name, string value)
    {
        c.Reply.Bulk(System.Text.Encoding.ASCII.GetBytes(name));
        c.Reply.Bulk(System.Text.Encoding.Latin1.GetBytes(value));
    }
}
