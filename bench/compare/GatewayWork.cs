// The HTTP gateway: files over HTTP/1.1 from a running node, many small ones asked for over kept connections, a large one over one. One thread, epoll; a response is
// counted by its bytes, whose number is learned from the first, so that reading it costs next to nothing.

using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Leither.Compare;

/// <summary>Measures a node's gateway.</summary>
internal sealed unsafe class GatewayWork(Server server)
{
    /// <summary>What one run took.</summary>
    public readonly record struct Taken(double PerSecond, double CpuSecondsEach);

    /// <summary>Adds random bytes as a file, and returns its CID.</summary>
    public string Add(int bytes, string profile)
    {
        string file = Path.Combine(server.Folder, "added.bin");
        byte[] content = new byte[bytes];
        new Random(bytes).NextBytes(content);
        File.WriteAllBytes(file, content);
        using Process add = Process.Start(new ProcessStartInfo(Server.FindLeither(), ["--data", server.Folder, "ipfs", "add", "--profile", profile, file]) { RedirectStandardOutput = true })!;
        string printed = add.StandardOutput.ReadToEnd();
        add.WaitForExit();
        File.Delete(file);
        string[] words = printed.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        return words.LastOrDefault(static word => word.StartsWith("bafy", StringComparison.Ordinal) || word.StartsWith("bafk", StringComparison.Ordinal) || word.StartsWith("Qm", StringComparison.Ordinal))
            ?? throw new InvalidOperationException($"leither ipfs add printed no CID: {printed}");
    }

    /// <summary>Asks for a path again and again.</summary>
    public Taken Run(string path, int connections, TimeSpan time)
    {
        byte[] request = Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        long length = Measure(request);
        int epoll = Native.epoll_create1(0);
        int[] sockets = new int[connections];
        long[] received = new long[connections];
        const int BufferBytes = 1 << 20;
        byte* buffer = (byte*)System.Runtime.InteropServices.NativeMemory.Alloc(BufferBytes);
        Native.EpollEvent* events = stackalloc Native.EpollEvent[256];
        for (int i = 0; i < connections; i++)
        {
            sockets[i] = Native.Connect(server.Port);
            var wanted = new Native.EpollEvent(Native.EpollIn, i);
            _ = Native.epoll_ctl(epoll, Native.EpollAdd, sockets[i], &wanted);
            Send(sockets[i], request);
        }

        long done = 0;
        double cpu = server.CpuSeconds();
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < time)
        {
            int ready = Native.epoll_wait(epoll, events, 256, 10_000);
            if (ready <= 0) throw new TimeoutException("The gateway did not answer for 10 seconds");
            for (int i = 0; i < ready; i++)
            {
                int index = events[i].Index;
                nint got = Native.recv(sockets[index], buffer, BufferBytes, 0);
                if (got <= 0) throw new IOException("The gateway closed a connection");
                received[index] += got;
                if (received[index] < length) continue;
                if (received[index] > length) throw new InvalidDataException("A response is longer than the first");
                received[index] = 0;
                done++;
                Send(sockets[index], request);
            }
        }

        double seconds = clock.Elapsed.TotalSeconds, used = server.CpuSeconds() - cpu;
        foreach (int socket in sockets) _ = Native.close(socket);
        _ = Native.close(epoll);
        System.Runtime.InteropServices.NativeMemory.Free(buffer);
        return new Taken(done / seconds, used / Math.Max(done, 1));
    }

    private static void Send(int socket, byte[] request)
    {
        fixed (byte* bytes = request)
        {
            if (Native.send(socket, bytes, (nuint)request.Length, Native.NoSignal) != request.Length) throw new IOException("A request could not be sent");
        }
    }

    /// <summary>How many bytes the response has, head and body.</summary>
    private long Measure(byte[] request)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 60_000 };
        socket.Connect(IPAddress.Loopback, server.Port);
        socket.Send(request);
        byte[] head = new byte[16 * 1024];
        int got = 0, end;
        while ((end = head.AsSpan(0, got).IndexOf("\r\n\r\n"u8)) < 0)
        {
            int more = socket.Receive(head, got, head.Length - got, SocketFlags.None);
            if (more == 0) throw new IOException("The gateway closed a connection");
            got += more;
        }

        string text = Encoding.ASCII.GetString(head, 0, end);
        if (!text.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal)) throw new InvalidOperationException(text);
        string line = text.Split("\r\n").Single(static line => line.StartsWith("Content-Length: ", StringComparison.OrdinalIgnoreCase));
        return end + 4 + long.Parse(line["Content-Length: ".Length..], CultureInfo.InvariantCulture);
    }
}
