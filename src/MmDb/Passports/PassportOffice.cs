using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.MmDb.Acl;
using Leither.MmDb.Rights;

namespace Leither.MmDb.Passports;

/// <summary>
/// Who is let in by a passport: checks it, makes an ACL user of it for one connection, and takes that away when it ends or is revoked. The list of what is revoked is durable
/// before that is acknowledged, and one that cannot be read stops the start: a passport that was taken back must not come back.
/// </summary>
/// <remarks>The list is the file <c>passports/revoked</c> of the data folder: a line <c>serial end revoked</c> each, in hexadecimal and Unix seconds, <c>-</c> where the end is not known.</remarks>
public sealed class PassportOffice
{
    /// <summary>The name under which passports log in, unless there is a user of that name.</summary>
    public const string UserName = "passport";

    /// <summary>How long a challenge may be answered.</summary>
    public const long ChallengeMs = 60_000;

    /// <summary>The most passports that can be revoked and not over.</summary>
    public const int MaxRevoked = 100_000;

    private const string Folder = "passports", ListFile = "revoked";

    private readonly Server _server;
    private readonly ConcurrentDictionary<string, Revocation> _revoked = new(StringComparer.Ordinal);
    private readonly object _file = new();

    internal PassportOffice(Server server) => _server = server;

    /// <summary>What is revoked, in no order.</summary>
    internal IEnumerable<Revocation> Revoked => _revoked.Values;

    private string? ListFolder => _server.WorkFolder is { } folder ? Path.Combine(folder, Folder) : null;

    /// <summary>Reads what is revoked, when the node starts.</summary>
    /// <exception cref="AclException">The list cannot be understood.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public void Load()
    {
        if (ListFolder is not { } folder || Path.Combine(folder, ListFile) is not { } path || !File.Exists(path)) return;
        string[] lines = File.ReadAllLines(path);
        for (int i = 0; i < lines.Length; i++)
        {
            string[] words = lines[i].Split(' ');
            if (words.Length != 3 || !IsSerial(words[0]) || !TryReadSeconds(words[2], out long at) || (words[1] != "-" && !TryReadSeconds(words[1], out _)))
            {
                throw new AclException($"{path}:{i + 1} is no revoked passport. Restore the file from a copy: without it passports that were taken back would hold again");
            }

            _revoked[words[0]] = new Revocation(words[0], words[1] == "-" ? null : long.Parse(words[1], CultureInfo.InvariantCulture), at);
        }
    }

    /// <summary>Whether a text is a serial number.</summary>
    internal static bool IsSerial(string text) => text.Length == 2 * Passport.SerialLength && text.All(static c => char.IsAsciiHexDigitLower(c) || char.IsAsciiDigit(c));

    /// <summary>A challenge for the next try of a connection.</summary>
    internal byte[] Challenge(Session session)
    {
        byte[] challenge = RandomNumberGenerator.GetBytes(Passport.ChallengeLength);
        session.Challenge = (challenge, _server.NowMs + ChallengeMs);
        return challenge;
    }

    /// <summary>Gives a session a challenge that its client was given before it: one that comes over HTTP has a session for each request. It can be answered once.</summary>
    public void Ask(Session session, byte[] challenge) => session.Challenge = (challenge, _server.NowMs + ChallengeMs);

    /// <summary>Says of a session that its client has proved to be the subject of a passport, this text without a proof: <c>AUTH passport</c> with it asks for none. All else is asked.</summary>
    public static void Vouch(Session session, string passport) => session.Vouched = passport;

    /// <summary>What a connection was last asked, which it can answer no second time.</summary>
    internal byte[]? TakeChallenge(Session session)
    {
        (byte[] Bytes, long EndMs)? asked = session.Challenge;
        session.Challenge = null;
        return asked is { } one && one.EndMs > _server.NowMs ? one.Bytes : null;
    }

    /// <summary>Checks a passport, all but whether its issuer has a say. On any thread.</summary>
    /// <param name="text">As the client sent it.</param>
    /// <param name="challenge">What the client was asked.</param>
    /// <param name="nowMs">Unix milliseconds.</param>
    /// <param name="isProved">Whether the proof was seen already.</param>
    internal PassportCheck Check(string text, byte[]? challenge, long nowMs, bool isProved = false)
    {
        if (!Passport.TryParse(text, out byte[]? block, out byte[]? proof)) return new(PassportRefusal.Malformed, null);
        if (!Passport.TryRead(block, out Passport? passport, out PassportRefusal refusal)) return new(refusal, null);
        long now = nowMs / 1000;
        refusal =
            passport.Node is { } node && node != _server.NodeId ? PassportRefusal.OtherNode
            : now < passport.From ? PassportRefusal.NotYet
            : now >= passport.End ? PassportRefusal.Expired
            : _revoked.ContainsKey(passport.SerialText) ? PassportRefusal.Revoked
            : isProved || !passport.NeedsProof ? PassportRefusal.None
            : challenge is null || proof is null ? PassportRefusal.Unproved
            : !passport.IsProved(block, proof, challenge, _server.NodeId) ? PassportRefusal.WrongProof
            : PassportRefusal.None;
        return new(refusal, passport);
    }

    /// <summary>Whether the issuer has a say: the node's author in all that lies here, a MiMei's author in that. On any thread.</summary>
    internal bool HasSay(Passport passport)
    {
        if (_server.Mimeis.Store is not { } store) return false;
        if (passport.Issuer.Protobuf.SequenceEqual(store.Author.Span)) return true;
        if (passport.Mid is not { } mid || passport.Rights.HasFlag(PassportRights.Admin)) return false;
        try
        {
            return passport.Issuer.Protobuf.SequenceEqual(store.ReadInfo(mid).Author.Span);
        }
        catch (Exception e) when (e is IOException or MimeiException)
        {
            return false; // it is not here
        }
    }

    /// <summary>As <see cref="Check"/>, and whether the issuer has a say. On any thread.</summary>
    internal PassportCheck Examine(string text, byte[]? challenge, long nowMs, bool isProved = false) =>
        Check(text, challenge, nowMs, isProved) is var check && check is { Refusal: PassportRefusal.None, Passport: { } passport } && !passport.IsLogin && !HasSay(passport)
            ? check with { Refusal = PassportRefusal.NoSay } : check;

    /// <summary>
    /// The MiMei that a connection is bound to when somebody has said who he is: the one that he names if it gives him a right; if he names none, the default one, as long as
    /// any MiMei gives him one. Null: nothing here is for him, or he names what is not here, which he need not know.
    /// </summary>
    internal MimeiEntry? PlaceOf(Passport login)
    {
        MimeiCaller caller = MimeiCaller.Of(login.Subject);
        if (login.Mid is { } mid)
        {
            return _server.Mimeis.TryFind(mid, out MimeiEntry? named) && named.RightsOf(caller) != MimeiRight.None ? named : null;
        }

        MimeiEntry first = _server.Mimeis.Default;
        return first.RightsOf(caller) != MimeiRight.None || _server.Mimeis.All.Any(e => e.RightsOf(caller) != MimeiRight.None) ? first : null;
    }

    /// <summary>
    /// Whether a session's client said who he is and is let in by what everyone may alone: no MiMei here is his, or has him in its lists. Whoever makes himself a key is that,
    /// and he can make as many as he likes.
    /// </summary>
    public bool IsGuest(Session session) => session.User.Person is { } person && !_server.Mimeis.All.Any(e => e.Knows(person));

    /// <summary>A user who may do in a MiMei what some rights let him.</summary>
    internal static AclUser UserOf(MimeiRight rights)
    {
        AclUser user = new(UserName, allChannels: false);
        Apply(user, PassportRightWords.RulesOf(rights));
        return user;
    }

    /// <summary>The user that a connection becomes. What he may do whose passport says only who he is, <see cref="AclUsers.Adapt"/> says.</summary>
    internal static AclUser UserOf(Passport passport)
    {
        AclUser user = new($"{UserName}:{passport.Subject.Id}", allChannels: false)
        {
            EndsMs = passport.End > long.MaxValue / 1000 ? long.MaxValue - 1 : passport.End * 1000,
            Serial = passport.SerialText,
            Person = passport.IsLogin ? MimeiCaller.Of(passport.Subject) : null,
            SeesOwnNamesOnly = !passport.IsLogin && !passport.Rights.HasFlag(PassportRights.Admin) && !passport.Keys.Contains("*"),
        };
        if (!passport.IsLogin)
        {
            Apply(user, PassportRightWords.RulesOf(passport));
            user.Granted = PassportRightWords.DataOf(passport.Rights);
        }

        return user;
    }

    private static void Apply(AclUser user, IEnumerable<string> rules)
    {
        foreach (string rule in rules)
        {
            if (user.Set(rule, allChannels: false) is var error && error != AclError.None)
            {
                throw new InvalidOperationException($"The rule {rule} of a passport is none: {error}");
            }
        }
    }

    /// <summary>Whether the passport that a user came with holds no longer.</summary>
    internal bool IsOver(AclUser user, long nowMs) => user.Serial is { } serial && (nowMs >= user.EndsMs || _revoked.ContainsKey(serial));

    /// <summary>Revokes a passport, at once; <see cref="Keep"/> makes it last. False: there are too many.</summary>
    internal bool Revoke(string serial, long? end, Session by)
    {
        long now = _server.NowMs / 1000;
        foreach (Revocation old in _revoked.Values)
        {
            // What is over needs no revoking. A day later, for clocks that go back.
            if (old.End is { } ended && ended + 86_400 < now) _revoked.TryRemove(old.Serial, out _);
        }

        if (_revoked.Count >= MaxRevoked && !_revoked.ContainsKey(serial)) return false;
        _revoked[serial] = new Revocation(serial, end, now);
        _server.Users.DisconnectPassport(serial, by);
        return true;
    }

    /// <summary>Writes the list, durably. On any thread.</summary>
    /// <exception cref="IOException">The disk failed; what is revoked stays so until the node stops.</exception>
    internal void Keep()
    {
        if (ListFolder is not { } folder) return;
        lock (_file)
        {
            DiskFolder files = DiskFolder.Make(folder);
            StringBuilder text = new();
            foreach (Revocation one in _revoked.Values.OrderBy(static r => r.At).ThenBy(static r => r.Serial, StringComparer.Ordinal))
            {
                text.Append(CultureInfo.InvariantCulture, $"{one.Serial} {(one.End is { } end ? end : "-")} {one.At}\n");
            }

            string temporary = ListFile + ".new";
            using (FileStream stream = File.Create(files.FullName(temporary)))
            {
                stream.Write(Encoding.ASCII.GetBytes(text.ToString()));
                stream.Flush(flushToDisk: true);
            }

            files.Rename(temporary, ListFile);
            files.SyncDirectory();
        }
    }

    private static bool TryReadSeconds(string text, out long seconds) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out seconds);

    /// <summary>A passport that was taken back.</summary>
    /// <param name="Serial">Which.</param>
    /// <param name="End">When it would have been over, in Unix seconds; null: that is not known.</param>
    /// <param name="At">When it was taken back.</param>
    internal sealed record Revocation(string Serial, long? End, long At);
}

/// <summary>What came of a check.</summary>
/// <param name="Refusal">Why it is refused.</param>
/// <param name="Passport">What it says, where it was signed so.</param>
internal sealed record PassportCheck(PassportRefusal Refusal, Passport? Passport);
