using System.Runtime.InteropServices;

namespace Leither.Compare;

/// <summary>The few calls of Linux that a fast load generator needs.</summary>
internal static unsafe class Native
{
    public const int EpollIn = 1;
    public const int EpollOut = 4;
    public const int EpollAdd = 1;
    public const int EpollModify = 3;
    public const int NoSignal = 0x4000;
    public const int Again = 11;

    [StructLayout(LayoutKind.Sequential, Pack = 1)]
    public struct EpollEvent
    {
        public uint Events;
        public int Index;
        private readonly int unused;

        public EpollEvent(uint events, int index)
        {
            Events = events;
            Index = index;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct SocketAddress
    {
        public ushort Family;
        public ushort PortBigEndian;
        public uint Address;
        public ulong Zero;
    }

    [DllImport("libc", SetLastError = true)] public static extern int socket(int domain, int type, int protocol);
    [DllImport("libc", SetLastError = true)] public static extern int connect(int fd, SocketAddress* address, int length);
    [DllImport("libc", SetLastError = true)] public static extern int setsockopt(int fd, int level, int option, int* value, int length);
    [DllImport("libc", SetLastError = true)] public static extern int fcntl(int fd, int command, int argument);
    [DllImport("libc", SetLastError = true)] public static extern nint recv(int fd, byte* buffer, nuint length, int flags);
    [DllImport("libc", SetLastError = true)] public static extern nint send(int fd, byte* buffer, nuint length, int flags);
    [DllImport("libc", SetLastError = true)] public static extern int close(int fd);
    [DllImport("libc", SetLastError = true)] public static extern int epoll_create1(int flags);
    [DllImport("libc", SetLastError = true)] public static extern int epoll_ctl(int epoll, int operation, int fd, EpollEvent* e);
    [DllImport("libc", SetLastError = true)] public static extern int epoll_wait(int epoll, EpollEvent* events, int count, int timeout);
    [DllImport("libc", SetLastError = true)] public static extern int sched_setaffinity(int pid, nuint length, ulong* mask);
    [DllImport("libc", SetLastError = true)] public static extern int kill(int pid, int signal);

    /// <summary>A connection to a port of this machine that waits for nothing.</summary>
    public static int Connect(int port)
    {
        int fd = socket(2, 1, 0);
        var address = new SocketAddress
        {
            Family = 2,
            PortBigEndian = (ushort)((port << 8) | (port >> 8)),
            Address = 0x0100007f,
        };
        if (connect(fd, &address, sizeof(SocketAddress)) != 0) throw new IOException($"Cannot connect to port {port}: errno {Marshal.GetLastPInvokeError()}");
        int one = 1;
        _ = setsockopt(fd, 6, 1, &one, 4);
        _ = fcntl(fd, 4, 0x800);
        return fd;
    }

    [DllImport("libc")] public static extern int usleep(uint microseconds);

    public static void PinThisThread(int cpu)
    {
        ulong mask = 1UL << cpu;
        _ = sched_setaffinity(0, 8, &mask);
    }
}
