namespace Leither.Node.Http;

/// <summary>Where pages for machines learn about the node. Asked on any thread.</summary>
public interface INodeStatus
{
    /// <summary>All figures, for machines; null: there are none.</summary>
    Task<NodeFigures?> ReadFiguresAsync(CancellationToken cancellation) => Task.FromResult<NodeFigures?>(null);

    /// <summary>A request for content took so long.</summary>
    void NoteRequest(TimeSpan took)
    {
    }

    /// <summary>What keeps the node from doing all of its work, a line each; empty: nothing.</summary>
    Task<IReadOnlyList<string>> ReadProblemsAsync(CancellationToken cancellation) => Task.FromResult<IReadOnlyList<string>>([]);
}
