namespace Leither.MmDb.Commands;

/// <summary>Commands for the connection itself: PING, ECHO, SELECT, QUIT, HELLO, AUTH, RESET, CLIENT.</summary>
public static unsafe class ConnectionCommands
{
    /// <summary>PING [message]</summary>
    public static readonly CommandSpec Ping = new("ping", -1)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Returns the server's liveliness response.",
        Flags = CommandFlags.Fast,
        Tips = ["request_policy:all_shards", "response_policy:all_succeeded"],
        AllowedWhileSubscribed = true,
        Args = [Arg.String("message").Optional()],
        Handler = &RunPing,
    };

    /// <summary>ECHO message</summary>
    public static readonly CommandSpec Echo = new("echo", 2)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Returns the given string.",
        Flags = CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast,
        Args = [Arg.String("message")],
        Handler = &RunEcho,
    };

    /// <summary>SELECT index</summary>
    public static readonly CommandSpec Select = new("select", 2)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Changes the selected database.",
        Flags = CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.EndsBatch,
        Args = [Arg.Integer("index")],
        Handler = &RunSelect,
    };

    /// <summary>QUIT</summary>
    public static readonly CommandSpec Quit = new("quit", -1)
    {
        Group = CommandGroup.Connection,
        Complexity = "O(1)",
        Summary = "Closes the connection.",
        Flags = CommandFlags.AllowBusy | CommandFlags.NoScript | CommandFlags.Loading | CommandFlags.Stale | CommandFlags.Fast | CommandFlags.NoAuth | CommandFlags.NoMulti | CommandFlags.EndsBatch,
        DeprecatedSince = "7.2.0",
        ReplacedBy = "just closing the connection",
        AllowedWhileSubscribed = true,
        Handler = &RunQuit,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Ping, Echo, Select, Quit];

    private static void RunPing(CommandContext c)
    {
        if (c.Count > 2)
        {
            c.WrongArity();
            return;
        }

        if (c.Session.SubscriptionCount > 0 && c.Reply.Version == 2)
        {
            c.Reply.Array(2);
            c.Reply.Bulk("pong"u8);
            c.Reply.Bulk(c.Count == 2 ? c[1].Span : default);
        }
        else if (c.Count == 2)
        {
            c.Reply.Bulk(c[1]);
        }
        else
        {
            c.Reply.Pong();
        }
    }

    private static void RunEcho(CommandContext c) => c.Reply.Bulk(c[1]);

    private static void RunSelect(CommandContext c)
    {
        if (!c[1].TryLong(out long index))
        {
            c.Error(Errors.InvalidDbIndex);
        }
        else if (index < 0 || index >= c.Keyspace.Databases.Length)
        {
            c.Error(Errors.DbIndexOutOfRange);
        }
        else
        {
            c.Session.DatabaseIndex = (int)index;
            c.Reply.Ok();
        }
    }

    private static void RunQuit(CommandContext c)
    {
        c.Reply.Ok();
        c.Session.CloseAfterReply();
    }
}
