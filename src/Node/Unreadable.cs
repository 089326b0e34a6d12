namespace Leither.Node;

/// <summary>Says of a file that was named why it cannot be read, as people want to read it.</summary>
internal static class Unreadable
{
    /// <summary>What is wrong with a file.</summary>
    /// <param name="path">It, as it was named.</param>
    /// <param name="met">What was met when it was read.</param>
    public static string Because(string path, Exception met) =>
        $"{path} cannot be read: {(Directory.Exists(path) ? "it is a folder" : met is FileNotFoundException or DirectoryNotFoundException ? "there is no such file" : met.Message)}";
}
