// A process is waited for beside its output.
#pragma warning disable xUnit1031
using System.Diagnostics;

namespace Leither.Node.Tests;

/// <summary>The program as a process, as people and scripts start it.</summary>
internal static class LeitherProgram
{
    /// <summary>Starts it.</summary>
    public static Process Start(params string[] arguments) => Start(new Dictionary<string, string>(), arguments);

    /// <summary>Starts it with more variables in its environment.</summary>
    public static Process Start(IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        ProcessStartInfo start = new(Path.Combine(AppContext.BaseDirectory, "leither"), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    /// <summary>Runs it to its end.</summary>
    public static Result Run(params string[] arguments) => Run(new Dictionary<string, string>(), arguments);

    /// <summary>Runs it to its end, with more variables in its environment.</summary>
    public static Result Run(IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        using Process process = Start(environment, arguments);
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new Result(process.ExitCode, output, error.GetAwaiter().GetResult());
    }

    /// <summary>How it ended and what it printed.</summary>
    internal sealed record Result(int Code, string Output, string Error)
    {
        /// <summary>The exit code and the output, where the error output does not matter.</summary>
        public (int Code, string Output) Short => (Code, Output);
    }
}
