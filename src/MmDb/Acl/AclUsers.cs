using System.Text;
using Leither.Ipfs.Keys;
using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.MmDb.Rights;
using Leither.Resp;

namespace Leither.MmDb.Acl;

/// <summary>
/// The users of a server, and the one place that says whether one of them may run a command. A session remembers whether its user
/// has to be asked at all; one that may do everything costs nothing.
/// </summary>
public sealed unsafe class AclUsers
{
    private readonly Server _server;
    private readonly AclKeys _keys = new();
    private readonly Dictionary<MimeiRight, AclUser> _ofRights = [];
    private SortedDictionary<string, AclUser> _users = new(StringComparer.Ordinal);

    internal AclUsers(Server server)
    {
        _server = server;
        Default = AclUser.MakeDefault();
        _users.Add(Default.Name, Default);
        if (server.Options.RequirePass.Length > 0)
        {
            SetDefaultPassword(server.Options.RequirePass);
        }
    }

    /// <summary>The user that a connection has until it logs in as another; always the same object.</summary>
    public AclUser Default { get; }

    /// <summary>All users, by name.</summary>
    public IReadOnlyCollection<AclUser> All => _users.Values;

    /// <summary>What was refused.</summary>
    internal AclLog Log { get; } = new();

    /// <summary>Who has to wait after failed logins.</summary>
    internal LoginThrottle Throttle { get; } = new();

    /// <summary>Whether a connection must log in before anything else.</summary>
    public bool LoginIsNeeded => !Default.NeedsNoPassword || !Default.IsEnabled;

    private bool ChannelsByDefault => _server.Settings.Show(ConfigKeys.AclPubsubDefault) == "allchannels";

    /// <summary>A user by its name, or null.</summary>
    public AclUser? Find(string name) => _users.GetValueOrDefault(name);

    // ------------------------------------------------------------------ logging in

    /// <summary>Logs a session in as a user whose password this is. False: it is refused, and the log says so.</summary>
    internal bool LogIn(Session session, ReadOnlySpan<byte> name, ReadOnlySpan<byte> password, string command)
    {
        if (TryAccept(session, Encoding.Latin1.GetString(name), password, command) is not { } user)
        {
            return false;
        }

        LogIn(session, user);
        return true;
    }

    /// <summary>Logs a session in as a user who has been accepted.</summary>
    internal void LogIn(Session session, AclUser user)
    {
        // A passport does not tell a guest who guesses passwords from one who mistyped his own: anybody may be given one, and where something is public anybody writes himself one.
        if (user.Serial is null)
        {
            Throttle.Succeeded(session.Connection, user.Name);
        }

        session.IsLoggedIn = true;
        session.User = user;
        Refresh(session);
    }

    /// <summary>The user of this name whose password this is. Null: there is none, and the log says so.</summary>
    internal AclUser? TryAccept(Session session, string name, ReadOnlySpan<byte> password, string command)
    {
        if (Find(name) is { } user && user.Accepts(password))
        {
            return user;
        }

        Refused(session, name, command);
        return null;
    }

    /// <summary>A login failed: the log says so, and who goes on failing has to wait.</summary>
    internal void Refused(Session session, string name, string command)
    {
        _server.Stats.AuthenticationsDenied++;
        Throttle.Failed(session.Connection, Find(name)?.Name, _server.NowMs);
        AddToLog(session, AclDenial.Auth, session.Transaction is null ? AclContext.TopLevel : AclContext.Multi, command, name);
    }

    /// <summary>The state of a new connection, and after RESET: the default user's, logged in where that takes no password.</summary>
    internal void LogOut(Session session)
    {
        session.User = Default;
        session.IsLoggedIn = !LoginIsNeeded;
        Refresh(session);
    }

    /// <summary>Decides again what has to be checked of a session's commands.</summary>
    internal void Refresh(Session session)
    {
        session.NeedsLogin = LoginIsNeeded && !session.IsLoggedIn;
        session.IsRestricted = !session.User.AllowsEverything || session.User.Serial is not null;
        session.IsRefused = _server.IsRefused(session);
    }

    // ------------------------------------------------------------------ checking

    /// <summary>Whether a session's user may run a command; if not, the log has it and the refusal is what the client is told.</summary>
    internal bool Allows(Session session, CommandSpec spec, Slice* args, int count, AclContext context, out string refusal)
    {
        if (IsOver(session) && !spec.Has(CommandFlags.NoAuth))
        {
            refusal = PassportIsOver;
            return false;
        }

        AclDenial denial = session.User.Check(spec, args, count, _keys, out int at);
        refusal = "";
        if (denial == AclDenial.None)
        {
            if (spec.Need is not { } need || Meets(session, need, new ArgView(args, count)))
            {
                return true;
            }

            Deny(session, AclDenial.Command, context, spec, args[0]);
            refusal = $"NOPERM User {session.User.Name} has no right to run the '{spec.FullName}' command in that MiMei";
            return false;
        }

        Deny(session, denial, context, spec, args[at]);
        refusal = "NOPERM " + Explain(session.User, denial, spec, args[at], inFull: false);
        return false;
    }

    /// <summary>Whether a session's user may run a command, which nobody tries: nothing is logged. Of one with too few words only the command is asked, and no key.</summary>
    internal bool May(Session session, CommandSpec spec, Slice* args, int count)
    {
        if (IsOver(session) || !spec.Accepts(count))
        {
            return !IsOver(session) && session.User.Allows(spec);
        }

        return session.User.Check(spec, args, count, _keys, out _) == AclDenial.None
            && (spec.Need is not { } need || Meets(session, need, new ArgView(args, count)));
    }

    /// <summary>As <see cref="Allows"/>, for a command that EXEC runs and that was allowed when it was queued.</summary>
    internal bool StillAllows(Session session, QueuedCommand command, out string refusal)
    {
        if (IsOver(session))
        {
            refusal = PassportIsOver;
            return false;
        }

        AclDenial denial = session.User.Check(command.Spec, command.Args, command.Count, _keys, out int at);
        refusal = "";
        if (denial == AclDenial.None)
        {
            return true;
        }

        Deny(session, denial, AclContext.Multi, command.Spec, command.Args[at]);
        string reason = denial switch
        {
            AclDenial.Command => "no permission to execute the command or subcommand",
            AclDenial.Key => "no permission to touch the specified keys",
            _ => "no permission to access one of the channels used as arguments",
        };
        refusal = "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. "
            + $"This command is no longer allowed for the following reason: {reason}";
        return false;
    }

    // ------------------------------------------------------------------ people, and what MiMei let them do

    /// <summary>
    /// Whether the MiMei that a command is about gives somebody the right to that. One that is not here gives none: whether it is here is nobody's business. Others' rules say which
    /// commands they may run; where it is a word within one that tells reading from writing, what their passport says is asked.
    /// </summary>
    private bool Meets(Session session, MimeiNeed need, ArgView words)
    {
        if (session.User.Person is not { } person)
        {
            return session.User.Serial is null || need.Readers.Length == 0 || (session.User.Granted & need.Of(words)) != MimeiRight.None;
        }

        MimeiEntry? entry = session.Mimei.Entry;
        if (need.MidAt != 0 && words.Count > need.MidAt)
        {
            _server.Mimeis.TryFind(Encoding.Latin1.GetString(words[need.MidAt].Span), out entry);
        }

        return entry is not null && (entry.RightsOf(person) & need.Of(words)) != MimeiRight.None;
    }

    /// <summary>
    /// The MiMei that a session's user may read: those that let him read, where he is let in by lists; the one that he is bound to, where he may be bound to no other; otherwise all.
    /// </summary>
    internal IEnumerable<MimeiEntry> ReadableBy(Session session) =>
        session.User.Person is { } person ? _server.Mimeis.All.Where(e => e.RightsOf(person).HasFlag(MimeiRight.Read))
        : session.User.Allows(MimeiCommands.Open) ? _server.Mimeis.All
        : session.Mimei.Entry is { } bound ? [bound] : [];

    /// <summary>Gives a session whose user is let in by lists the rights that the MiMei which it is bound to gives him at present.</summary>
    internal void Adapt(Session session)
    {
        if (session.User.Person is not { } person)
        {
            return;
        }

        MimeiRight rights = session.Mimei.Entry!.RightsOf(person);
        if (!_ofRights.TryGetValue(rights, out AclUser? template))
        {
            template = Passports.PassportOffice.UserOf(rights);
            _ofRights.Add(rights, template);
        }

        session.User.TakeFrom(template);
        session.User.Granted = rights;
    }

    /// <summary>
    /// A MiMei's list of rights is another: who is connected by it has the new ones from the next command on. Who lost all is disconnected, and so is who lost some while it
    /// has something under way that no command would be checked for: subscriptions, a cache, a transaction.
    /// </summary>
    /// <param name="entry">The MiMei.</param>
    /// <param name="by">Who changed the list, and waits for the answer.</param>
    internal void RightsChanged(MimeiEntry entry, Session? by)
    {
        foreach (Session session in _server.Sessions.Values.Where(s => s.User.Person is not null && s.Mimei.Entry == entry).ToArray())
        {
            MimeiRight before = session.User.Granted;
            Adapt(session);
            MimeiRight lost = before & ~session.User.Granted;
            bool isEngaged = session.SubscriptionCount > 0 || session.Tracking is not null || session.Interactive is not null;
            if (session != by && lost != MimeiRight.None && (session.User.Granted == MimeiRight.None || isEngaged))
            {
                Disconnect(session.User, null);
            }
        }
    }

    /// <summary>What stands in the way of a user that would run a command; null: nothing.</summary>
    internal string? WouldRefuse(AclUser user, CommandSpec spec, Slice* args, int count) =>
        user.Check(spec, args, count, _keys, out int at) is var denial && denial == AclDenial.None
            ? null
            : Explain(user, denial, spec, args[at], inFull: true);

    /// <summary>Whether a session may run a command that besides may read any key (SORT BY and GET).</summary>
    internal bool AllowsReadingAllKeys(Session session, CommandSpec spec, Slice* args, int count) =>
        !session.IsRestricted || session.User.AllowsWithAllKeys(spec, args, count, KeyAccess.Access, _keys);

    private void Deny(Session session, AclDenial denial, AclContext context, CommandSpec spec, Slice word)
    {
        switch (denial)
        {
            case AclDenial.Command:
                _server.Stats.CommandsDenied++;
                break;
            case AclDenial.Key:
                _server.Stats.KeysDenied++;
                break;
            default:
                _server.Stats.ChannelsDenied++;
                break;
        }

        AddToLog(session, denial, context, denial == AclDenial.Command ? spec.FullName : Encoding.Latin1.GetString(word.Span), session.User.Name);
    }

    private void AddToLog(Session session, AclDenial denial, AclContext context, string what, string user)
    {
        var client = new StringBuilder();
        ClientCommands.Describe(client, session, _server.ClockMs);
        Log.Add(denial, context, what, user, client.ToString().TrimEnd('\n'), _server.ClockMs, _server.Settings.Get(ConfigKeys.AclLogMaxLength));
    }

    private static string Explain(AclUser user, AclDenial denial, CommandSpec spec, Slice word, bool inFull) => denial switch
    {
        AclDenial.Command => $"User {user.Name} has no permissions to run the '{spec.FullName}' command",
        AclDenial.Key when inFull => $"User {user.Name} has no permissions to access the '{Encoding.Latin1.GetString(word.Span)}' key",
        AclDenial.Key => "No permissions to access a key",
        _ when inFull => $"User {user.Name} has no permissions to access the '{Encoding.Latin1.GetString(word.Span)}' channel",
        _ => "No permissions to access a channel",
    };

    // ------------------------------------------------------------------ changing

    /// <summary>Makes or changes a user: by all of the rules, or none. Subscribers that lose a channel by it are disconnected.</summary>
    /// <returns>Null, or the error.</returns>
    internal string? Set(string name, IEnumerable<string> words, Session by)
    {
        if (AclRules.Join(words, out string open) is not { } rules)
        {
            return $"Unmatched parenthesis in acl selector starting at '{open}'.";
        }

        AclUser? user = Find(name);
        AclUser draft = user?.Copy() ?? new AclUser(name, ChannelsByDefault);
        foreach (string rule in rules)
        {
            if (draft.Set(rule, ChannelsByDefault) is var error && error != AclError.None)
            {
                return $"Error in ACL SETUSER modifier '{rule}': {AclErrors.Text(error)}";
            }
        }

        if (user is null)
        {
            _users.Add(name, draft);
            return null;
        }

        DisconnectSubscribers(user, draft, by);
        user.TakeFrom(draft);
        _server.RefreshSessions();
        return null;
    }

    /// <summary>Removes a user and disconnects who is logged in as it. False: there was none.</summary>
    internal bool Remove(string name, Session by)
    {
        if (!_users.Remove(name, out AclUser? user))
        {
            return false;
        }

        Disconnect(user, by);
        return true;
    }

    /// <summary>The default user has this password and no other; an empty one: it needs none (requirepass).</summary>
    internal void SetDefaultPassword(string password)
    {
        _ = Default.Set("resetpass", ChannelsByDefault);
        _ = Default.Set(password.Length == 0 ? "nopass" : ">" + password, ChannelsByDefault);
    }

    /// <summary>Disconnects who came with a passport that was revoked.</summary>
    internal void DisconnectPassport(string serial, Session by) => Disconnect(user => user.Serial == serial, by);

    /// <summary>Disconnects who came with a passport that is over.</summary>
    internal void DisconnectEnded(long nowMs) => Disconnect(user => user.EndsMs <= nowMs, null);

    private bool IsOver(Session session) => session.User.Serial is not null && _server.Passports.IsOver(session.User, _server.NowMs);

    private const string PassportIsOver = "NOPERM the passport that this connection came with does not hold any more";

    private void Disconnect(AclUser user, Session? by) => Disconnect(u => u == user, by);

    private void Disconnect(Predicate<AclUser> which, Session? by)
    {
        foreach (Session session in _server.Sessions.Values.Where(s => which(s.User)).ToArray())
        {
            session.User = Default;
            session.IsLoggedIn = false;
            Refresh(session);
            if (session == by)
            {
                session.CloseAfterReply();
            }
            else
            {
                session.CloseNow();
                _server.Close(session);
            }
        }
    }

    private void DisconnectSubscribers(AclUser user, AclUser changed, Session by)
    {
        if (changed.Selectors.Any(static s => s.AllChannels))
        {
            return;
        }

        List<byte[]> allowed = [.. changed.Selectors.SelectMany(static s => s.Channels)];
        foreach (Session session in _server.Sessions.Values.Where(s => s.User == user && s.SubscriptionCount > 0).ToArray())
        {
            if ((session.Patterns?.Any(p => !AclSelector.Covers(allowed, p, isPattern: true)) ?? false)
                || (session.Channels?.Any(c => !AclSelector.Covers(allowed, c, isPattern: false)) ?? false)
                || (session.ShardChannels?.Any(c => !AclSelector.Covers(allowed, c, isPattern: false)) ?? false))
            {
                if (session == by)
                {
                    session.CloseAfterReply();
                }
                else
                {
                    session.CloseNow();
                    _server.Close(session);
                }
            }
        }
    }

    // ------------------------------------------------------------------ configuration and file

    /// <summary>The lines of the configuration or of the ACL file that make these users again.</summary>
    internal IEnumerable<string> Lines => _users.Values.Select(static u => $"user {u.Name} {u}");

    /// <summary>Loads the users of the configuration and of the ACL file, when the node starts.</summary>
    /// <exception cref="AclException">They cannot be had.</exception>
    public void Load()
    {
        string file = ConfigText.ToText(_server.Settings.Get(ConfigKeys.AclFile));
        IReadOnlyList<IReadOnlyList<string>> lines = _server.Settings.UserLines;
        if (file.Length > 0 && lines.Count > 0)
        {
            throw new AclException("Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This setup is very likely to "
                + "lead to configuration errors and security holes, please define either an ACL file or declare users directly in your redis.conf, but not both.");
        }

        foreach (IReadOnlyList<string> line in lines)
        {
            LoadLine(line);
        }

        if (file.Length > 0 && LoadFile(file, null) is { } errors)
        {
            throw new AclException("Aborting Redis startup because of ACL errors: " + errors);
        }

        _server.RefreshSessions();
    }

    /// <summary>Whether a node with this configuration takes a client from anywhere for the default user without a password.</summary>
    /// <exception cref="AclException">The file of users cannot be read or understood.</exception>
    public static bool LetsAnybodyIn(ConfigSettings settings)
    {
        AclUser user = AclUser.MakeDefault();
        if (ConfigText.ToText(settings.Get(ConfigKeys.AclFile)) is { Length: > 0 } file)
        {
            var errors = new StringBuilder();
            user = ReadFile(file, channelsByDefault: false, errors).GetValueOrDefault(user.Name) ?? user;
            return errors.Length == 0 ? user is { IsEnabled: true, NeedsNoPassword: true } : throw new AclException(errors.ToString().Trim());
        }

        if (settings.Get(ConfigKeys.RequirePass).Length > 0)
        {
            _ = user.Set("resetpass", allChannels: false);
        }

        if (settings.UserLines.FirstOrDefault(line => line[0] == user.Name) is { } line)
        {
            SetRules(user, line, channelsByDefault: false);
        }

        return user is { IsEnabled: true, NeedsNoPassword: true };
    }

    private void LoadLine(IReadOnlyList<string> line)
    {
        string name = line[0];
        if (AclUser.HasBlanks(name))
        {
            throw new AclException("Spaces not allowed in ACL usernames");
        }

        AclUser user = Find(name) ?? new AclUser(name, ChannelsByDefault);
        SetRules(user, line, ChannelsByDefault);
        _users[name] = user;
        if (!user.IsEnabled)
        {
            _server.Warn?.Invoke($"The user '{name}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a configuration error.");
        }
    }

    /// <summary>Makes a user what its line of the configuration says.</summary>
    private static void SetRules(AclUser user, IReadOnlyList<string> line, bool channelsByDefault)
    {
        if (user.Name == "default")
        {
            _ = user.Set("reset", channelsByDefault);
        }

        // The lines were tried when they were read.
        foreach (string rule in AclRules.Join(line.Skip(1), out _) ?? [])
        {
            if (user.Set(rule, channelsByDefault) is var error && error != AclError.None)
            {
                throw new AclException($"Error loading ACL rule '{rule}' for the user named '{user.Name}': {AclErrors.Text(error)}");
            }
        }
    }

    /// <summary>
    /// Takes the users of a file in place of all there are: all, or in case of an error none. Who is logged in as another than the
    /// default user is disconnected.
    /// </summary>
    /// <returns>Null, or the errors.</returns>
    internal string? LoadFile(string file, Session? by)
    {
        var errors = new StringBuilder();
        SortedDictionary<string, AclUser> users;
        try
        {
            users = ReadFile(file, ChannelsByDefault, errors);
        }
        catch (AclException e)
        {
            return e.Message;
        }

        if (errors.Length > 0)
        {
            return errors + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
        }

        SortedDictionary<string, AclUser> old = _users;
        Default.TakeFrom(users.GetValueOrDefault(Default.Name) ?? AclUser.MakeDefault());
        users[Default.Name] = Default;
        _users = users;
        foreach (AclUser user in old.Values)
        {
            if (user != Default)
            {
                Disconnect(user, by);
            }
        }

        _server.RefreshSessions();
        return null;
    }

    /// <summary>Reads the users of a file, and what is wrong with it.</summary>
    /// <exception cref="AclException">It cannot be read.</exception>
    private static SortedDictionary<string, AclUser> ReadFile(string file, bool channelsByDefault, StringBuilder errors)
    {
        string text;
        try
        {
            text = File.ReadAllText(file, Encoding.Latin1);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new AclException($"Error loading ACLs, opening file '{file}': {Reason(e)}");
        }

        SortedDictionary<string, AclUser> users = new(StringComparer.Ordinal);
        string[] lines = text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].Trim(' ', '\t', '\r');
            if (line.Length > 0)
            {
                ReadLine(users, line, $"{file}:{i + 1}", i + 1, channelsByDefault, errors);
            }
        }

        return users;
    }

    private static void ReadLine(SortedDictionary<string, AclUser> users, string line, string place, int number, bool channelsByDefault, StringBuilder errors)
    {
        string[] words = line.Split(' ');
        if (words[0] != "user" || words.Length < 2)
        {
            errors.Append(place).Append(" should start with user keyword followed by the username. ");
            return;
        }

        string name = words[1];
        if (AclUser.HasBlanks(name))
        {
            errors.Append('\'').Append(place).Append(": username '").Append(name).Append("' contains invalid characters. ");
            return;
        }

        var user = new AclUser(name, channelsByDefault);
        if (!users.TryAdd(name, user))
        {
            errors.Append("WARNING: Duplicate user '").Append(name).Append("' found on line ").Append(number).Append(". ");
            return;
        }

        if (AclRules.Join(words.Skip(2), out _) is not { } rules)
        {
            errors.Append(place).Append(": Unmatched parenthesis in selector definition.");
            return;
        }

        bool isWrong = false;
        foreach (string rule in rules.Select(static r => r.Trim('\t', '\r', '\n')))
        {
            AclError error = user.Set(rule, channelsByDefault);
            if (error == AclError.UnknownCommand)
            {
                errors.Append(place).Append(": Error in applying operation '").Append(rule).Append("': ").Append(AclErrors.Text(error)).Append(". ");
            }
            else if (error != AclError.None && !isWrong)
            {
                // The first one only: it may have caused those after it, and they may hold secrets.
                errors.Append(place).Append(": ").Append(AclErrors.Text(error)).Append(". ");
                isWrong = true;
            }
        }
    }

    /// <summary>Writes all users to a file; a crash leaves the old one or the new one. False: it cannot be written, and the node's log says why.</summary>
    internal bool SaveFile(string file)
    {
        string temporary = $"{file}.tmp-{Environment.ProcessId}-{_server.ClockMs}";
        try
        {
            using (FileStream stream = File.Create(temporary))
            {
                stream.Write(Encoding.Latin1.GetBytes(string.Concat(Lines.Select(static line => line + "\n"))));
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, file, overwrite: true);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _server.Warn?.Invoke($"Writing ACL file for ACL SAVE: {Reason(e)}");
            File.Delete(temporary);
            return false;
        }
    }

    private static string Reason(Exception e) => e switch
    {
        FileNotFoundException or DirectoryNotFoundException => "No such file or directory",
        UnauthorizedAccessException => "Permission denied",
        _ => e.Message,
    };
}
