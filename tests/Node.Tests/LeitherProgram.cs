// A process is waited for beside its output.
#pragma warning disable xUnit1031
using System.Diagnostics;

namespace Leither.Node.Tests;

/// <summary>The program as a process, as people and scripts start it.</summary>
internal static class LeitherProgram
{
    /// <summary>Starts it.</summary>
    public static Process Start(params string[] arguments)
    {
        ProcessStartInfo start = new(Path.Combine(AppContext.BaseDirectory, "leither"), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        return Process.Start(start)!;
    }

    /// <summary>Runs it to its end.</summary>
    public static Result Run(params string[] arguments)
    {
        using Process process = Start(arguments);
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
