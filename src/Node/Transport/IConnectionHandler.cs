namespace Leither.Node.Transport;

/// <summary>
/// What runs on top of a transport. Every member is called on the transport's one loop thread, never two at a time, so an
/// implementation needs no locks. A loop <em>turn</em> is: all received bytes are presented, posted work and the cron run,
/// <see cref="EndTurn"/> makes what happened durable, and only then the replies of the turn leave.
/// </summary>
public unsafe interface IConnectionHandler
{
    /// <summary>A connection was accepted. The handler may answer and close it at once (too many clients).</summary>
    void OnOpen(Connection connection);

    /// <summary>
    /// Presents everything that is received and not yet consumed. The pointer is valid during the call only.
    /// </summary>
    /// <returns>
    /// The number of bytes consumed. The rest is kept and presented again, with more behind it, or on
    /// <see cref="Connection.Resume"/>. A handler that knows how much it needs says so in <see cref="Connection.BytesWanted"/>.
    /// </returns>
    long OnReceive(Connection connection, byte* data, long length);

    /// <summary>More was received that is kept rather than presented: of what the handler waits for there is not enough yet.</summary>
    void OnKept(Connection connection)
    {
    }

    /// <summary>The connection is gone, for whatever reason; its last call. It must not change data: its turn may have ended.</summary>
    void OnClose(Connection connection);

    /// <summary>Once in every turn, after all input and before any output: the place of the log's one write().</summary>
    /// <returns>
    /// Whether output may leave. If not (the disk failed), all of it waits, and this is asked again soon and in every turn.
    /// </returns>
    bool EndTurn();

    /// <summary>
    /// In the middle of a turn, before others have one of their own (<see cref="ITransport.RunNestedTurn"/>): makes durable what the turn has replied so far.
    /// </summary>
    /// <returns>Whether that output may leave now; if not, it does at the end of the turn.</returns>
    bool SettleReplies() => false;

    /// <summary>The cron.</summary>
    /// <param name="nowMs">Monotonic milliseconds, on the clock of <see cref="Connection.LastInteractionMs"/>.</param>
    /// <returns>Milliseconds until the next wanted call.</returns>
    int Tick(long nowMs);
}
