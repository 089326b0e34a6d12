using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Leither.MmDb.Passports;
using Leither.Node.Configuration;
using Leither.Node.Identity;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>A command of the command line cannot be carried out. The message says why and, where there is something, what to do.</summary>
/// <param name="message">What is wrong.</param>
/// <param name="isUsage">Whether the command line itself is wrong.</param>
/// <param name="inner">What was met.</param>
internal sealed class CommandLineException(string message, bool isUsage = false, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The exit code: 2 where the command line itself is wrong, otherwise 1.</summary>
    public int ExitCode => isUsage ? 2 : 1;
}

/// <summary>Which node a command of the command line speaks to.</summary>
/// <param name="Folder">The data folder that was named, if one was.</param>
/// <param name="Port">The port that was named, if one was.</param>
/// <param name="User">The user to log in as; the password comes from the environment.</param>
internal sealed record NodePlace(string? Folder, int? Port, string? User)
{
    /// <summary>The host on which it runs; null: this machine.</summary>
    public string? Host { get; init; }

    /// <summary>The file of the passport to log in with; null: none.</summary>
    public string? Passport { get; init; }

    /// <summary>The file of the key that proves whose the passport is; null: none.</summary>
    public string? Key { get; init; }

    /// <summary>Whether whoever asks is at the node's own machine and needs no passport: then all commands are for him.</summary>
    public bool IsOwn => Host is null && Passport is null;

    /// <summary>A command of the command line for the same node, to tell people what they can do next.</summary>
    public string Leither(string arguments)
    {
        // -p is the passport of an app's commands, and the port of all others.
        bool isApp = arguments.StartsWith("lapp ", StringComparison.Ordinal);
        StringBuilder line = new($"leither {arguments}");
        Append(isApp ? "-p" : "--ppt", Passport);
        Append("-k", Key);
        Append("-n", Host is null ? null : Address);
        Append(isApp ? "--port" : "-p", Host is null ? Port?.ToString(CultureInfo.InvariantCulture) : null);
        Append("--data", Folder);
        Append("--user", User);
        return line.ToString();

        void Append(string option, string? value)
        {
            if (value is not null)
            {
                line.Append(' ').Append(option).Append(' ').Append(Quoted(value));
            }
        }
    }

    /// <summary>A command that the node's owner can give, to tell people what they can do next: here, or at his own machine.</summary>
    public string OwnersLeither(string arguments) => IsOwn ? Leither(arguments) : $"leither {arguments}      (its owner, on the node)";

    /// <summary>Where the node is, as people write it.</summary>
    public string Address => $"{(Host?.Contains(':', StringComparison.Ordinal) == true ? $"[{Host}]" : Host ?? "127.0.0.1")}:{Port}";

    /// <summary>A word as a shell takes it.</summary>
    public static string Quoted(string word) =>
        word.Length > 0 && word.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '/' or '@' or ':' or ',' or '+')
            ? word
            : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}

/// <summary>A connection to a node for one command of the command line, bound to the MiMei that the command is about.</summary>
internal sealed class MimeiSession : IDisposable
{
    private readonly NodeClient _client;
    private readonly RunningNode _node;

    private MimeiSession(NodeClient client, RunningNode node, NodePlace place)
    {
        _client = client;
        _node = node;
        Place = place;
    }

    /// <summary>Which node it is.</summary>
    public NodePlace Place { get; }

    /// <summary>The passport that it was logged in with; null: none.</summary>
    public Passport? Passport { get; private set; }

    /// <summary>The node's port; 0: it has none.</summary>
    public int Port => _node.Port;

    /// <summary>How redis-cli reaches the node.</summary>
    public string RedisCli => Place.Host is { } host ? $"redis-cli -h {host} -p {_node.Port}" : _node.Port != 0 ? $"redis-cli -p {_node.Port}" : $"redis-cli -s {NodePlace.Quoted(_node.UnixSocket!)}";

    /// <summary>How redis-cli reaches a MiMei of the node.</summary>
    /// <param name="mimei">Its name or id.</param>
    /// <param name="version">A version of it.</param>
    public string ClientOf(string mimei, string? version = null)
    {
        // A password in the environment is taken by redis-cli as well.
        bool hasPassword = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable(NodeClient.PasswordVariable));
        string user = $"{Place.User ?? "default"}@{mimei}{(version is null ? "" : "/" + version)}";
        return $"{RedisCli} --user {NodePlace.Quoted(user)}{(hasPassword ? "" : " --pass ''")}";
    }

    /// <summary>Connects, and logs in where the environment holds a password.</summary>
    /// <exception cref="CommandLineException">No node runs there, or it lets nobody in.</exception>
    public static MimeiSession Connect(NodePlace place)
    {
        string folder = place.Folder ?? DataFolder.Default;
        RunningNode? node = place.Port is { } port ? new RunningNode(0, place.Host ?? "127.0.0.1", port, null, "") : DataFolder.Find(folder);
        string nobody = place.Host is not null ? $"No node answers at {place.Address}"
            : place.Port is null
            ? $"No node runs on the data folder {folder}.\nStart one with: leither run --data {NodePlace.Quoted(folder)}"
            : $"No node runs on port {place.Port} of this machine.\nStart one with: leither run -p {place.Port}{(place.Folder is null ? "" : $" --data {NodePlace.Quoted(folder)}")}";
        if (node is null)
        {
            throw new CommandLineException(nobody);
        }

        MimeiSession? session = null;
        try
        {
            session = new MimeiSession(NodeClient.Connect(node), node, place);
            session.LogIn();
            return session;
        }
        catch (SocketException e)
        {
            session?.Dispose();
            throw new CommandLineException(
                e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable ? nobody : $"The node does not answer: {e.Message}", inner: e);
        }
        catch
        {
            session?.Dispose();
            throw;
        }
    }

    /// <summary>Sends a command and reads its reply.</summary>
    /// <exception cref="CommandLineException">The node refuses, or goes away.</exception>
    public RespReply Call(params IReadOnlyList<string> words)
    {
        Send([.. words.Select(static w => (ReadOnlyMemory<byte>)System.Text.Encoding.UTF8.GetBytes(w))]);
        return Receive();
    }

    /// <summary>Sends a command and reads its reply; null: the user may not give it.</summary>
    /// <exception cref="CommandLineException">The node refuses for another reason, or goes away.</exception>
    public RespReply? CallIfAllowed(params IReadOnlyList<string> words)
    {
        try
        {
            return Call(words);
        }
        catch (CommandLineException e) when (e.Message.StartsWith("NOPERM", StringComparison.Ordinal))
        {
            return null;
        }
    }

    /// <summary>Sends a command whose words are any bytes, without waiting for its reply.</summary>
    /// <exception cref="CommandLineException">The node goes away.</exception>
    public void Send(params IReadOnlyList<ReadOnlyMemory<byte>> words)
    {
        try
        {
            _client.Send(words);
        }
        catch (SocketException e)
        {
            throw new CommandLineException($"The node does not answer: {e.Message}", inner: e);
        }
    }

    /// <summary>The reply to the first command that was sent and has none yet.</summary>
    /// <exception cref="CommandLineException">The node refuses, or goes away.</exception>
    public RespReply Receive()
    {
        try
        {
            RespReply reply = _client.Read() ?? throw new CommandLineException("The node closed the connection. Its log says why");
            return reply.IsError ? throw new CommandLineException(Explained(reply.Text)) : reply;
        }
        catch (Exception e) when (e is SocketException or InvalidDataException)
        {
            throw new CommandLineException($"The node does not answer: {e.Message}", inner: e);
        }
    }

    /// <summary>Sends bytes that are commands already.</summary>
    /// <exception cref="CommandLineException">The node goes away.</exception>
    public void Send(ReadOnlySpan<byte> commands)
    {
        try
        {
            _client.Send(commands);
        }
        catch (SocketException e)
        {
            throw new CommandLineException($"The node does not answer: {e.Message}", inner: e);
        }
    }

    /// <summary>
    /// The reply to the first command that was sent and has none yet, which is an array of bulk strings: each is written to what is made for it, which
    /// is null in the result where the string is nil.
    /// </summary>
    /// <exception cref="CommandLineException">The node refuses, or goes away.</exception>
    public T?[] ReceiveBulks<T>(Func<T> make, int maxCount, int maxBytes)
        where T : class, System.Buffers.IBufferWriter<byte>
    {
        try
        {
            if (!_client.TryBeginArray(out int count))
            {
                throw new CommandLineException($"The node answers '{Receive().Text}' where values were expected");
            }

            if (count < 0 || count > maxCount)
            {
                throw new InvalidDataException($"it sends {count} values");
            }

            T?[] values = new T?[count];
            for (int i = 0; i < count; i++)
            {
                T value = make();
                values[i] = _client.TryReadBulk(value, maxBytes) ? value : null;
            }

            return values;
        }
        catch (Exception e) when (e is SocketException or InvalidDataException)
        {
            throw new CommandLineException($"The node does not answer: {e.Message}", inner: e);
        }
    }

    /// <summary>Waits for a command that may take long, and shows how far it is where a person watches: a second connection asks (MIMEI WORK).</summary>
    public T Wait<T>(MimeiOutput output, string what, Func<T> act)
    {
        if (!output.IsWatched || Passport is not null)
        {
            return act(); // who comes with a passport may not ask how far others' work is
        }

        MimeiSession? second = null;
        long client = Call("CLIENT", "ID").Integer;
        bool isBlind = false;
        try
        {
            return output.Wait(what, act, () =>
            {
                if (isBlind)
                {
                    return null;
                }

                try
                {
                    second ??= Connect(Place);
                    foreach (RespReply one in second.Call("MIMEI", "WORK").Elements)
                    {
                        if (one[1].Integer == client)
                        {
                            return (one[5].Text, one[7].Integer, one[9].Integer);
                        }
                    }
                }
                catch (CommandLineException)
                {
                    // Who may not ask, or comes when the node goes, waits without knowing how far it is; what matters is told by the first connection.
                    isBlind = true;
                }

                return null;
            });
        }
        finally
        {
            second?.Dispose();
        }
    }

    /// <summary>Binds the connection to a MiMei; a new connection is bound to the default one, or to that of its passport.</summary>
    public void Open(string? mid)
    {
        // Who was let in for one MiMei is bound to it, and can open none.
        if (mid is not null && !(Passport is not null && Bound() is var bound && (bound.Mid == mid || bound.Name == mid)))
        {
            Call("MIMEI", "OPEN", mid);
        }
    }

    /// <summary>Binds the connection to a version of a MiMei, or to what there is now.</summary>
    public void Open(string mid, string? version)
    {
        if (version is null)
        {
            Open(mid);
        }
        else
        {
            Call("MIMEI", "OPEN", mid, "VERSION", version);
        }
    }

    /// <summary>The id and the name of the MiMei that the connection is bound to.</summary>
    public (string Mid, string Name) Bound()
    {
        RespReply reply = Call("MIMEI", "ID");
        return (reply[0].Text, reply[1].Text);
    }

    /// <summary>Whether the MiMei that the connection is bound to is written elsewhere, as far as the node tells.</summary>
    public bool IsCopy()
    {
        try
        {
            return Call("ROLE")[0].Text == "slave";
        }
        catch (CommandLineException)
        {
            return false; // not every user may ask
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    private void LogIn()
    {
        if (Place.Passport is { } file)
        {
            LogIn(file); // as nobody else: what opens another node is not shown to this one
            return;
        }

        string? password = Environment.GetEnvironmentVariable(NodeClient.PasswordVariable);
        if (Place.User is { } user)
        {
            Call("AUTH", user, password ?? "");
        }
        else if (!string.IsNullOrEmpty(password))
        {
            Call("AUTH", password);
        }
        else if (Place.Host is null && (Place.Port is null || Place.Folder is not null))
        {
            // Never at another machine: whoever listens there could hand its challenge on, and be the owner at the node itself.
            OwnPassport.LogIn(_client, Place.Folder ?? DataFolder.Default);
        }
    }

    private void LogIn(string file)
    {
        try
        {
            (byte[] block, Passport passport) = LpkiCommand.ReadPassport(file);
            string text = Leither.MmDb.Passports.Passport.ToText(block);
            if (passport.NeedsProof)
            {
                if (Place.Key is not { } key)
                {
                    throw new CommandLineException($"{file} asks for a proof. Name the private key of {passport.Subject.Id} with --key FILE", isUsage: true);
                }

                RespReply challenge = Call("PASSPORT", "CHALLENGE");
                text = LpkiCommand.Prove(key, block, passport, challenge[0].Text, challenge[1].Text);
            }

            Call("AUTH", PassportOffice.UserName, text);
            Passport = passport;
        }
        catch (IdentityException e)
        {
            throw new CommandLineException(e.Message, inner: e);
        }
    }

    /// <summary>What the node says, for people at a command line.</summary>
    private string Explained(string error)
    {
        string text = error.StartsWith("ERR ", StringComparison.Ordinal) ? error["ERR ".Length..] : error;
        text = text.Length == 0 ? error : char.ToUpperInvariant(text[0]) + text[1..];
        return error switch
        {
            _ when error.StartsWith("ERR no such MiMei", StringComparison.Ordinal) => $"{text}\nThose that there are: {Place.OwnersLeither("mimei list")}",
            _ when error.StartsWith("NOAUTH", StringComparison.Ordinal) => $"{error}\nPut the password into the environment variable {NodeClient.PasswordVariable}",
            _ when error.StartsWith("WRONGPASS invalid", StringComparison.Ordinal) => Place.User is { } user
                ? $"The name or the password of user '{user}' is wrong, or the user is disabled\nPut the password into the environment variable {NodeClient.PasswordVariable}"
                : $"The password in the environment variable {NodeClient.PasswordVariable} is wrong\nIt is taken for the user default; another one is named with --user NAME",
            _ when error.StartsWith("WRONGPASS ", StringComparison.Ordinal) => char.ToUpperInvariant(error["WRONGPASS ".Length]) + error["WRONGPASS x".Length..], // of a passport
            _ when error.StartsWith("ERR unknown command 'MIMEI'", StringComparison.OrdinalIgnoreCase) => "What answers there is no Leither: it does not know MIMEI",
            _ when error.StartsWith("ERR unknown command 'IPFS'", StringComparison.OrdinalIgnoreCase) => "What answers there is no Leither, or an older one: it does not know IPFS",
            _ when error.StartsWith("ERR unknown command 'SWARM'", StringComparison.OrdinalIgnoreCase) => "What answers there is no Leither, or an older one: it does not know SWARM",
            _ when error.StartsWith("ERR unknown command 'DHT'", StringComparison.OrdinalIgnoreCase) => "What answers there is no Leither, or an older one: it does not know DHT",
            _ => text,
        };
    }
}
