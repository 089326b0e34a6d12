namespace Leither.TestKit;

/// <summary>What a run of the tests has to say beside their results: how they ran, what the machine did not allow. ./test shows it.</summary>
public static class Notes
{
    private static readonly HashSet<string> Said = [];

    /// <summary>Says something, once a run.</summary>
    public static void Say(string line)
    {
        lock (Said)
        {
            if (!Said.Add(line)) return;
            if (Environment.GetEnvironmentVariable("LEITHER_NOTES") is { Length: > 0 } file) File.AppendAllText(file, line + "\n");
            else Console.WriteLine(line);
        }
    }
}
