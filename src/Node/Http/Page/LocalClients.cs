// Commands for those within the program who have no connection: the page, whose requests come in on Kestrel's threads.
//
// Each request is a client like any other for as long as it takes: it has a session, CLIENT LIST shows it, the dispatcher checks its rights, and what it
// replies leaves only after the turn's writes are as safe as the configuration says. What differs is that a connection's bytes never end up in a socket.
//
// What must stay true: all of it but RunAsync runs on the loop thread; a session that was opened is closed, however the request ends.

using Leither.MmDb;
using Leither.MmDb.Passports;
using Leither.Resp;

namespace Leither.Node.Http.Page;

/// <summary>How the commands of a request ended.</summary>
internal enum LocalOutcome
{
    /// <summary>All were run, or all up to one that had to succeed and did not.</summary>
    Done,

    /// <summary>What they reply is more than a reply may be.</summary>
    TooLarge,

    /// <summary>The node takes no more clients, or is stopping.</summary>
    Refused,

    /// <summary>The server ended the session (CLIENT KILL).</summary>
    Ended,
}

/// <summary>What came of the commands of a request.</summary>
/// <param name="Outcome">How they ended.</param>
/// <param name="Replies">The replies, one after another, as RESP 2 has them.</param>
/// <param name="IsGuest">Of a challenge that was answered: whether who did is let in by what everyone may alone.</param>
internal readonly record struct LocalReplies(LocalOutcome Outcome, byte[] Replies, bool IsGuest = false);

/// <summary>Commands one after another, for a session of their own.</summary>
/// <param name="From">Who asks: <c>ip:port</c>.</param>
/// <param name="To">At which address of ours.</param>
/// <param name="IsLocal">Whether who asks is on this machine for certain.</param>
/// <param name="Commands">The commands, as RESP has them.</param>
/// <param name="Ends">Where in that each one ends.</param>
/// <param name="Required">So many first ones have to succeed, or those after them are not run.</param>
/// <param name="MaxReplyBytes">Once there are more bytes of replies, no further command is run and none is replied.</param>
internal sealed record LocalRequest(string From, string To, bool IsLocal, byte[] Commands, IReadOnlyList<int> Ends, int Required, long MaxReplyBytes)
{
    /// <summary>What the client was asked to sign before; null: nothing.</summary>
    public byte[]? Challenge { get; init; }

    /// <summary>The passport for which the client's proof was seen before; null: none.</summary>
    public string? Vouched { get; init; }
}

/// <summary>Runs commands as sessions without connections.</summary>
/// <param name="server">Where they run.</param>
/// <param name="post">Runs something on the loop thread.</param>
internal sealed class LocalClients(Server server, Action<Action> post)
{
    private readonly Action<Action> _post = post;
    private readonly List<LocalClient> _open = [];

    /// <summary>The node's id, which a proof names.</summary>
    public string NodeId => server.NodeId.ToString();

    /// <summary>Runs commands and returns what they reply. From any thread. Called off, those that did not begin never do.</summary>
    public async Task<LocalReplies> RunAsync(LocalRequest request, CancellationToken cancellation)
    {
        LocalClient client = new(this, request);
        _post(() => Begin(client));
        await using CancellationTokenRegistration registration = cancellation.Register(() => _post(() => End(client, LocalOutcome.Ended)));
        return await client.Replies.WaitAsync(cancellation);
    }

    /// <summary>The end of a turn: those whose commands are through get their replies, if these may leave.</summary>
    public void EndTurn(bool mayLeave)
    {
        for (int i = _open.Count - 1; mayLeave && i >= 0; i--)
        {
            if (_open[i].Outcome is { } outcome)
            {
                End(_open[i], outcome);
            }
        }
    }

    /// <summary>The loop ends: nobody is going to be answered any more.</summary>
    public void Close()
    {
        while (_open.Count > 0)
        {
            End(_open[^1], LocalOutcome.Ended);
        }
    }

    private void Begin(LocalClient client)
    {
        if (client.Replies.IsCompleted)
        {
            return;
        }

        if (server.Shutdown is not null || server.Sessions.Count >= server.Options.MaxClients)
        {
            client.Complete(LocalOutcome.Refused);
            return;
        }

        client.Session = server.Open(client);
        // Whoever looks at keys does not use them: what is evicted first stays as it is.
        client.Session.NoTouch = true;
        if (client.Request.Challenge is { } challenge)
        {
            server.Passports.Ask(client.Session, challenge);
        }

        if (client.Request.Vouched is { } passport)
        {
            PassportOffice.Vouch(client.Session, passport);
        }

        _open.Add(client);
        Continue(client);
    }

    /// <summary>Runs what is left of the commands, until one of them waits for something.</summary>
    private unsafe void Continue(LocalClient client)
    {
        Session? session = client.Session;
        while (session is { IsClosing: false, Blocked: null } && client.TryNext(out int start, out int end))
        {
            fixed (byte* commands = client.Request.Commands)
            {
                int consumed = (int)server.Dispatcher.Execute(session, commands + start, end - start);
                client.Consumed(consumed);
                if (consumed == 0)
                {
                    return; // held back: it is resumed
                }
            }
        }
    }

    private void End(LocalClient client, LocalOutcome outcome)
    {
        if (client.Session is { } session)
        {
            client.Session = null;
            client.IsGuest = client.Request.Challenge is not null && server.Passports.IsGuest(session);
            _open.Remove(client);
            server.Close(session);
        }

        client.Complete(outcome);
    }

    /// <summary>A connection whose input is there from the start and whose output is collected.</summary>
    private sealed class LocalClient(LocalClients clients, LocalRequest request) : IClientConnection
    {
        private readonly TaskCompletionSource<LocalReplies> _replies = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _position, _next;
        private long _mark;
        private bool _isClosed, _isPaused;

        public LocalRequest Request => request;
        public Task<LocalReplies> Replies => _replies.Task;
        public Session? Session { get; set; }
        public bool IsGuest { get; set; }
        public RespWriter Output { get; } = new();
        public string RemoteAddress => request.From;
        public string LocalAddress => request.To;
        public long Descriptor => -1;
        public bool IsLocal => request.IsLocal;
        public bool IsUnixSocket => false;
        public long InputBytes => request.Commands.Length - _position;
        public long InputCapacity => request.Commands.Length;

        private bool IsTooLarge => Output.Length > request.MaxReplyBytes;

        private unsafe bool HasFailed => _next > 0 && _next <= request.Required && _position == request.Ends[_next - 1] && Output.Length > _mark && Output.Data[_mark] == (byte)'-';

        /// <summary>How it ended; null: it has not.</summary>
        public LocalOutcome? Outcome =>
            _isClosed ? LocalOutcome.Ended
            : _isPaused || Session is null or { Blocked: not null } ? null
            : IsTooLarge ? LocalOutcome.TooLarge
            : _next == request.Ends.Count || HasFailed ? LocalOutcome.Done
            : null;

        /// <summary>Where the next command lies; false: none is to be run.</summary>
        public bool TryNext(out int start, out int end)
        {
            (start, end) = (_position, _next < request.Ends.Count ? request.Ends[_next] : 0);
            if (_isPaused || end == 0 || IsTooLarge || HasFailed)
            {
                return false;
            }

            _mark = Output.Length;
            return true;
        }

        public void Consumed(int bytes)
        {
            _position += bytes;
            if (_position == request.Ends[_next])
            {
                _next++;
            }
        }

        public void Complete(LocalOutcome outcome)
        {
            byte[] replies = outcome == LocalOutcome.Done ? Output.Span.ToArray() : [];
            Output.Dispose();
            _replies.TrySetResult(new LocalReplies(outcome, replies, IsGuest));
        }

        public void SendOutput()
        {
            // The end of the turn looks for it.
        }

        public void Close(bool afterOutput) => _isClosed = true;

        public void Pause() => _isPaused = true;

        public void Resume()
        {
            _isPaused = false;

            // What resumes it may be in the midst of a command; and the loop has to have another turn.
            clients._post(() => clients.Continue(this));
        }
    }
}
