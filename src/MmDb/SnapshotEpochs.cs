namespace Leither.MmDb;

/// <summary>
/// Hands out the marks (1 to 3; 0 is no mark) by which a snapshot tells captured records from others, so that none of them has to
/// be cleared when the next one begins.
/// </summary>
/// <remarks>
/// What must stay true: <b>when a snapshot with mark <c>e</c> begins, no record carries <c>e</c></b>. It does, because
/// <list type="bullet">
/// <item>records made while no snapshot runs carry 0, those made during one carry its mark, and one that moves keeps its own;</item>
/// <item>a completed snapshot has met every record that there was, so that afterwards all carry its mark or 0;</item>
/// <item>a cancelled one adds its mark to those that there may be, and it may only be cancelled while that leaves one unused:
/// otherwise (the second in a row) it goes on marking to the end, without output.</item>
/// </list>
/// </remarks>
internal sealed class SnapshotEpochs
{
    private const int All = 0b1110;

    private int _last;

    /// <summary>The marks that records may carry, as bits.</summary>
    private int _inUse;

    /// <summary>The mark of the next snapshot: one that no record carries.</summary>
    public int Next()
    {
        do
        {
            _last = (_last % 3) + 1;
        }
        while ((_inUse & (1 << _last)) != 0);
        return _last;
    }

    /// <summary>Whether a snapshot may end before it has met all records.</summary>
    public bool MayCancel(int epoch) => (_inUse | (1 << epoch)) != All;

    /// <summary>A snapshot has met all records.</summary>
    public void Completed(int epoch) => _inUse = 1 << epoch;

    /// <summary>A snapshot ended before that.</summary>
    public void Cancelled(int epoch) => _inUse |= 1 << epoch;
}
