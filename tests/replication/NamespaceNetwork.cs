// Each place is a network namespace (ip netns) with one interface, a TUN device, whose packets this process reads and hands to the device of the place that they are
// for: a switch, with a delay, a loss and a cut for each link. It needs no module of the kernel but tun (netem is missing in many), knows to the byte what
// passed, and can cut a link at a byte. Names carry the process id: what a run that was killed left behind is removed by the next.

using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using Leither.TestKit;

namespace Leither.ReplicationNetwork;

/// <summary>Places in network namespaces.</summary>
internal sealed unsafe class NamespaceNetwork : Network
{
    private const string Prefix = "leither";
    private const int Mtu = 9000;
    private const int MostWaiting = 20_000;

    private const int OpenReadWrite = 2;
    private const int OpenNonBlocking = 0x800;
    private const int OpenCloseOnExec = 0x80000;
    private const nuint SetInterface = 0x400454ca;
    private const short TunWithoutHeader = 0x1001;
    private const short PollIn = 1;

    private static int networks;

    private readonly List<Port> ports = [];
    private readonly Dictionary<string, Link> links = [];
    private readonly string run;
    private readonly Random random = new(Seed.OfRun());
    private readonly PriorityQueue<(Port To, byte[] Packet), (long Due, long Order)> late = new();
    private readonly Thread? thread;
    private long order;
    private volatile bool isEnding;

    private sealed record Port(string Place, string Namespace, int Device, Link Link);

    public NamespaceNetwork(IReadOnlyList<string> places)
    {
        Sweep();
        int number = Interlocked.Increment(ref networks);
        run = $"{Prefix}-{Environment.ProcessId}-{number}";
        try
        {
            for (int i = 0; i < places.Count; i++)
            {
                ports.Add(Add(places[i], $"lt{Environment.ProcessId}-{number}-{i}", i + 1));
                links.Add(places[i], ports[i].Link);
            }
        }
        catch
        {
            Remove();
            throw;
        }

        thread = new Thread(Switch) { IsBackground = true, Name = "switch" };
        thread.Start();
    }

    public override Link this[string place] => links[place];

    public override IReadOnlyList<string> Enter(string place) => ["ip", "netns", "exec", $"{run}-{place}"];

    public override IReadOnlyList<string> Arguments(string place) => [];

    public override string AddressOf(string place, string seenFrom) => $"/ip4/{AddressOf(ports.FindIndex(p => p.Place == place) + 1)}/tcp/{PortOf(place)}";

    public override void Dispose()
    {
        isEnding = true;
        thread?.Join();
        Remove();
    }

    private static IPAddress AddressOf(int number) => new([10, 77, 0, (byte)number]);

    private Port Add(string place, string device, int number)
    {
        string space = $"{run}-{place}";
        Machine.Run("ip", "netns", "add", space);
        // The device is made here, where it can be opened, and then moves: who has it open keeps it.
        int fd = OpenDevice(device);
        var port = new Port(place, space, fd, new Link());
        try
        {
            Machine.Run("ip", "link", "set", device, "netns", space);
            Machine.Run("ip", "-n", space, "address", "add", $"{AddressOf(number)}/24", "dev", device);
            Machine.Run("ip", "-n", space, "link", "set", device, "mtu", Mtu.ToString(CultureInfo.InvariantCulture), "up");
            Machine.Run("ip", "-n", space, "link", "set", "lo", "up");
            return port;
        }
        catch
        {
            _ = close(fd);
            Machine.Run("ip", "netns", "delete", space);
            throw;
        }
    }

    private static int OpenDevice(string name)
    {
        int fd = open("/dev/net/tun", OpenReadWrite | OpenNonBlocking | OpenCloseOnExec);
        if (fd < 0) throw new IOException($"/dev/net/tun: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
        byte* request = stackalloc byte[40];
        new Span<byte>(request, 40).Clear();
        for (int i = 0; i < name.Length; i++) request[i] = (byte)name[i];
        *(short*)(request + 16) = TunWithoutHeader;
        if (ioctl(fd, SetInterface, request) >= 0) return fd;
        int error = Marshal.GetLastPInvokeError();
        _ = close(fd);
        throw new IOException($"/dev/net/tun: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    private void Switch()
    {
        byte[] packet = new byte[Mtu + 64];
        Span<PollEntry> polled = stackalloc PollEntry[ports.Count];
        while (!isEnding)
        {
            for (int i = 0; i < polled.Length; i++) polled[i] = new PollEntry { Descriptor = ports[i].Device, Wanted = PollIn };
            fixed (PollEntry* entries = polled) _ = poll(entries, (nuint)polled.Length, late.Count > 0 ? 1 : 20);
            for (int i = 0; i < polled.Length; i++)
            {
                if ((polled[i].Got & PollIn) == 0) continue;
                for (int taken = 0; taken < 64; taken++)
                {
                    nint got;
                    fixed (byte* p = packet) got = read(ports[i].Device, p, (nuint)packet.Length);
                    if (got <= 0) break;
                    Pass(ports[i], packet.AsSpan(0, (int)got));
                }
            }

            while (late.TryPeek(out _, out (long Due, long Order) next) && next.Due <= Environment.TickCount64)
            {
                (Port to, byte[] due) = late.Dequeue();
                Write(to, due);
            }
        }
    }

    private void Pass(Port from, ReadOnlySpan<byte> packet)
    {
        // IPv4 for a place of ours; routers and groups are nobody here.
        if (packet.Length < 20 || packet[0] >> 4 != 4 || packet[19] is 0 || packet[19] > ports.Count) return;
        Port to = ports[packet[19] - 1];
        if (!packet[16..19].SequenceEqual(AddressOf(packet[19]).GetAddressBytes().AsSpan(0, 3))) return;
        if (random.NextDouble() < from.Link.Loss || random.NextDouble() < to.Link.Loss) return;
        if (to.Link.IsCut || !from.Link.Passes(packet.Length) || !to.Link.Passes(packet.Length)) return;
        TimeSpan delay = from.Link.Delay + to.Link.Delay;
        if (delay == default && late.Count == 0)
        {
            Write(to, packet);
        }
        else if (late.Count < MostWaiting)
        {
            late.Enqueue((to, packet.ToArray()), (Environment.TickCount64 + (long)delay.TotalMilliseconds, order++));
        }
    }

    // A device whose queue is full loses the packet, as a link does.
    private static void Write(Port to, ReadOnlySpan<byte> packet)
    {
        fixed (byte* p = packet) _ = write(to.Device, p, (nuint)packet.Length);
    }

    private void Remove()
    {
        foreach (Port port in ports)
        {
            _ = close(port.Device);
            Machine.Run("ip", "netns", "delete", port.Namespace);
        }
    }

    private static void Sweep()
    {
        foreach (string line in Machine.Run("ip", "netns", "list").Split('\n'))
        {
            string name = line.Split(' ')[0];
            string[] parts = name.Split('-');
            if (parts.Length != 4 || parts[0] != Prefix || !int.TryParse(parts[1], CultureInfo.InvariantCulture, out int owner) || Machine.IsAlive(owner)) continue;
            try
            {
                foreach (string process in Machine.Run("ip", "netns", "pids", name).Split('\n', StringSplitOptions.RemoveEmptyEntries))
                {
                    Machine.Kill(int.Parse(process, CultureInfo.InvariantCulture));
                }

                Machine.Run("ip", "netns", "delete", name);
            }
            catch (InvalidOperationException) when (!Machine.Run("ip", "netns", "list").Contains(name, StringComparison.Ordinal))
            {
                // Another run swept it.
            }
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Wanted;
        public short Got;
    }

    [DllImport("libc", SetLastError = true)]
    private static extern int open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    [DllImport("libc", SetLastError = true)]
    private static extern int ioctl(int fd, nuint request, byte* argument);

    [DllImport("libc")]
    private static extern int poll(PollEntry* entries, nuint count, int timeout);

    [DllImport("libc")]
    private static extern nint read(int fd, byte* buffer, nuint length);

    [DllImport("libc")]
    private static extern nint write(int fd, byte* buffer, nuint length);

    [DllImport("libc")]
    private static extern int close(int fd);
}
