// Client libraries and whole applications that lean on Redis, as their users install them, against Leither. What they do and check
// stands in clients/, a file each; ./test installs them. Where one is missing, its test says so and is left out.

using System.Diagnostics;
using System.Globalization;
using Leither.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Leither.RedisCompat;

public sealed class ClientTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    private static readonly string Folder = Path.Combine(Transcript.Folder, "clients");

    [Theory]
    [InlineData("redis-py.py", "python3-redis", "/usr/bin/python3 -c 'import redis'", "/usr/bin/python3 redis-py.py")]
    [InlineData("redis-rb.rb", "ruby-redis", "ruby -e 'require \"redis\"'", "ruby redis-rb.rb")]
    [InlineData("phpredis.php", "php-redis", "php -r 'exit(class_exists(\"Redis\") ? 0 : 1);'", "php phpredis.php")]
    [InlineData("hiredis.c", "libhiredis-dev", "echo '#include <hiredis/hiredis.h>' | gcc -fsyntax-only -x c -", "gcc -O1 hiredis.c -lhiredis -o $TMPDIR/hiredis && $TMPDIR/hiredis")]
    [InlineData("ioredis.js", "npm's ioredis", "node --eval 'require(\"ioredis\")'", "node ioredis.js")]
    [InlineData("node-redis.js", "npm's redis", "node --eval 'require(\"redis\")'", "node node-redis.js")]
    public void A_client_library_does_what_it_does_with_Redis(string file, string package, string isInstalled, string run) => Run(file, package, isInstalled, run);

    [Theory]
    [InlineData("version-car.js", "npm's @ipld/car", "test -d node_modules/@ipld/car", "node version-car.js")]
    public void An_exported_version_is_checked_and_read_without_our_code(string file, string package, string isInstalled, string run) => Run(file, package, isInstalled, run);

    [Theory]
    [InlineData("rq-app.py", "python3-rq", "/usr/bin/python3 -c 'import rq'", "/usr/bin/python3 rq-app.py")]
    [InlineData("sidekiq-app.rb", "ruby-sidekiq", "ruby -e 'require \"sidekiq\"'", "ruby -W0 sidekiq-app.rb")]
    [InlineData("bullmq-app.js", "npm's bullmq", "node --eval 'require(\"bullmq\")'", "node bullmq-app.js")]
    public void An_application_loses_no_job_and_runs_none_twice(string file, string package, string isInstalled, string run) => Run(file, package, isInstalled, run);

    [Theory]
    [InlineData("mimei-urls.py", "python3-redis", "/usr/bin/python3 -c 'import redis'", "/usr/bin/python3 mimei-urls.py")]
    [InlineData("mimei-urls.rb", "ruby-redis", "ruby -e 'require \"redis\"'", "ruby mimei-urls.rb")]
    public void A_client_library_reaches_any_MiMei_by_its_URL(string file, string package, string isInstalled, string run) => Run(file, package, isInstalled, run);

    private void Run(string file, string package, string isInstalled, string run)
    {
        using var folder = new TempDir("client");
        if (Shell(isInstalled, folder.Path).Code != 0)
        {
            output.WriteLine($"{file} is left out: {package} is not installed");
            return;
        }

        using LeitherServer server = LeitherServer.StartNew();
        (int code, string printed) = Shell($"{run} {server.Port.ToString(CultureInfo.InvariantCulture)}", folder.Path);
        Assert.True(code == 0 && printed.TrimEnd().EndsWith("ok", StringComparison.Ordinal), $"{file} ended with {code}\n{printed}\n{server.Log}");
    }

    private static (int Code, string Printed) Shell(string command, string folder)
    {
        var start = new ProcessStartInfo("/bin/bash", ["-c", $"{{ {command}; }} 2>&1"])
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            WorkingDirectory = Folder,
            Environment = { ["TMPDIR"] = folder, ["LC_ALL"] = "C.UTF-8", ["PYTHONDONTWRITEBYTECODE"] = "1" },
        };
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> printed = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
            return (-1, $"not done in {Patience}\n{printed.Result}");
        }

        return (process.ExitCode, printed.Result);
    }
}
