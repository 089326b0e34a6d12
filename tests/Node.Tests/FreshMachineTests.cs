// A process is waited for beside its output.
#pragma warning disable xUnit1031
using System.Diagnostics;
using Leither.TestKit;
using Xunit;

namespace Leither.Node.Tests;

/// <summary>
/// The README's two commands on a machine that has the SDK and has never seen Leither: a copy of the sources, an empty home (no packages, no builds, no settings but where packages come
/// from), an environment of a path alone and, where the system lets this user, a mount namespace in which the home of whoever runs the tests is empty, too. It restores and builds everything,
/// which takes minutes: a long run.
/// </summary>
public sealed class FreshMachineTests
{
    private static readonly string[] _notSources = [".git", "bin", "obj", "build", "dist", "data", "node_modules", "TestResults"];

    [Fact]
    public void The_two_commands_of_the_README_work_with_nothing_but_the_SDK()
    {
        if (!Seed.IsLong || !OperatingSystem.IsLinux())
        {
            return;
        }

        using TempDir machine = new("leither-fresh");
        string sources = machine.File("leither"), home = machine.File("home");
        Copy(Root(), sources);
        Directory.CreateDirectory(home);
        KeepPackageSource(home);

        int port = Ports.Free();
        using Process node = Start(sources, home, "./leither", "run", "-p", $"{port}");
        Task<string> output = node.StandardOutput.ReadToEndAsync(), error = node.StandardError.ReadToEndAsync();
        Stopwatch waited = Stopwatch.StartNew();
        while (!Configured(home))
        {
            Assert.False(node.WaitForExit(TimeSpan.FromMilliseconds(200)), node.HasExited ? error.GetAwaiter().GetResult() : "");
            Assert.True(waited.Elapsed < TimeSpan.FromMinutes(15), "The node is not built after 15 minutes");
        }

        using (RespClient client = RespClient.Connect(port))
        {
            Assert.Equal("OK", client.Call("SET", "greeting", "hello").Text);
            Assert.Equal("hello", client.Call("GET", "greeting").Text);
        }

        // The launcher gives way to the program, so it is the node that is told to stop.
        using (Process stop = Start(sources, home, "./leither", "stop"))
        {
            string told = stop.StandardOutput.ReadToEnd();
            stop.WaitForExit();
            Assert.StartsWith("Stopped process ", told, StringComparison.Ordinal);
        }

        node.WaitForExit();
        Assert.True(node.ExitCode == 0, error.GetAwaiter().GetResult());
        Assert.Contains("bye bye", output.GetAwaiter().GetResult(), StringComparison.Ordinal);

        // All tests of one project: that the others run, too, is what this run is part of.
        using Process test = Start(sources, home, "./test", "Leither.Resp.Tests");
        string results = test.StandardOutput.ReadToEnd();
        test.WaitForExit();
        Assert.True(test.ExitCode == 0, results);
        Assert.Matches(@"\n[1-9][0-9]* passed, 0 failed\s*$", results);
    }

    private static bool Configured(string home) => Configuration.DataFolder.Find(Path.Combine(home, ".leither")) is not null;

    private static Process Start(string folder, string home, params string[] command)
    {
        string sdk = Path.GetDirectoryName(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host ? host : SdkOnPath())!;
        string own = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        bool hides = CanHide() && !sdk.StartsWith(own + "/", StringComparison.Ordinal) && !folder.StartsWith(own + "/", StringComparison.Ordinal);
        string[] clean = ["env", "-i", $"HOME={home}", $"PATH={sdk}:/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "DOTNET_CLI_TELEMETRY_OPTOUT=1", .. command];
        string[] all = hides ? ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", $"mount -t tmpfs none '{own}' && exec \"$@\"", "sh", .. clean] : clean;
        return Process.Start(new ProcessStartInfo(all[0], all[1..]) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true })!;
    }

    private static bool CanHide()
    {
        try
        {
            using Process probe = Process.Start(new ProcessStartInfo("unshare", ["--user", "--map-root-user", "--mount", "true"]) { RedirectStandardError = true })!;
            probe.WaitForExit();
            return probe.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }

    private static string SdkOnPath() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(static p => Path.Combine(p, "dotnet")).Where(File.Exists).Select(static f => File.ResolveLinkTarget(f, returnFinalTarget: true)?.FullName ?? f).First();

    /// <summary>Where packages come from is the machine's, not the user's: behind a mirror nothing restores without it.</summary>
    private static void KeepPackageSource(string home)
    {
        string settings = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "NuGet", "NuGet.Config");
        if (File.Exists(settings))
        {
            string folder = Path.Combine(home, ".nuget", "NuGet");
            Directory.CreateDirectory(folder);
            File.Copy(settings, Path.Combine(folder, "NuGet.Config"));
        }
    }

    private static string Root()
    {
        DirectoryInfo? root = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root!.FullName, "Leither.sln")))
        {
            root = root.Parent;
        }

        return root.FullName;
    }

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (FileInfo file in new DirectoryInfo(from).EnumerateFiles().Where(static f => f.Name != ".git"))
        {
            file.CopyTo(Path.Combine(to, file.Name));
        }

        foreach (DirectoryInfo folder in new DirectoryInfo(from).EnumerateDirectories().Where(static d => !_notSources.Contains(d.Name)))
        {
            Copy(folder.FullName, Path.Combine(to, folder.Name));
        }
    }
}
