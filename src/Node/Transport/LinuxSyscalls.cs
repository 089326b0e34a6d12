using System.Runtime.InteropServices;

namespace Leither.Node.Transport;

/// <summary>
/// The system calls of the epoll loop, with the kernel's values on x86-64 and arm64. Calls that never block leave the
/// runtime's cooperative mode alone (<see cref="SuppressGCTransitionAttribute"/>): a send costs little more than the kernel's part.
/// </summary>
internal static unsafe class LinuxSyscalls
{
    public const int EpollAdd = 1;
    public const int EpollRemove = 2;
    public const int EpollModify = 3;

    public const uint EpollIn = 0x1;
    public const uint EpollOut = 0x4;
    public const uint EpollErr = 0x8;
    public const uint EpollHup = 0x10;
    public const uint EpollRdHup = 0x2000;
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int NoSignal = 0x4000;

    public const int EINTR = 4;
    public const int EAGAIN = 11;
    public const int ENOMEM = 12;
    public const int ENFILE = 23;
    public const int EMFILE = 24;
    public const int ECONNABORTED = 103;
    public const int ENOBUFS = 105;

    public const int SolSocket = 1;
    public const int SoKeepAlive = 9;
    public const int IpProtoTcp = 6;
    public const int TcpNoDelay = 1;
    public const int TcpKeepIdle = 4;
    public const int TcpKeepInterval = 5;
    public const int TcpKeepCount = 6;

    public const ushort AfInet = 2;
    public const ushort AfInet6 = 10;

    /// <summary>struct sockaddr_storage.</summary>
    public const int AddressBytes = 128;

    /// <summary>struct epoll_event is packed on x86-64 only, so its size and the place of its data depend on the architecture.</summary>
    public static readonly int EventBytes = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;

    private static readonly int EventDataOffset = EventBytes - 8;

    /// <summary>The last error, to be asked right after a call.</summary>
    public static int LastError => Marshal.GetLastSystemError();

    public static uint EventMask(byte* e) => *(uint*)e;

    public static int EventDescriptor(byte* e) => *(int*)(e + EventDataOffset);

    public static int EpollCreate() => epoll_create1(CloseOnExec);

    public static int EventFd() => eventfd(0, CloseOnExec | NonBlocking);

    public static int EpollControl(int epoll, int operation, int descriptor, uint mask)
    {
        byte* e = stackalloc byte[16];
        *(uint*)e = mask;
        *(long*)(e + EventDataOffset) = descriptor;
        return epoll_ctl(epoll, operation, descriptor, e);
    }

    public static int Accept(int listener, byte* address, int* addressLength) =>
        accept4(listener, address, addressLength, CloseOnExec | NonBlocking);

    public static nint Receive(int descriptor, byte* buffer, nint length) => recv(descriptor, buffer, length, 0);

    public static nint Send(int descriptor, byte* data, nint length) => send(descriptor, data, length, NoSignal);

    public static void SetOption(int descriptor, int level, int option, int value) => _ = setsockopt(descriptor, level, option, &value, sizeof(int));

    [DllImport("libc")]
    public static extern int epoll_wait(int epoll, byte* events, int count, int timeoutMs);

    [DllImport("libc")]
    public static extern int close(int descriptor);

    [DllImport("libc")]
    public static extern nint read(int descriptor, void* buffer, nint length);

    [DllImport("libc")]
    public static extern nint write(int descriptor, void* buffer, nint length);

    [DllImport("libc")]
    public static extern int getsockname(int descriptor, byte* address, int* addressLength);

    [DllImport("libc")]
    public static extern int getrlimit(int resource, ResourceLimit* limit);

    [DllImport("libc")]
    public static extern int setrlimit(int resource, ResourceLimit* limit);

    [DllImport("libc")]
    private static extern int epoll_create1(int flags);

    [DllImport("libc"), SuppressGCTransition]
    private static extern int epoll_ctl(int epoll, int operation, int descriptor, byte* e);

    [DllImport("libc")]
    private static extern int eventfd(uint count, int flags);

    [DllImport("libc"), SuppressGCTransition]
    private static extern nint recv(int descriptor, byte* buffer, nint length, int flags);

    [DllImport("libc"), SuppressGCTransition]
    private static extern nint send(int descriptor, byte* data, nint length, int flags);

    [DllImport("libc"), SuppressGCTransition]
    private static extern int accept4(int listener, byte* address, int* addressLength, int flags);

    [DllImport("libc"), SuppressGCTransition]
    private static extern int setsockopt(int descriptor, int level, int option, void* value, int length);

    /// <summary>struct rlimit.</summary>
    public struct ResourceLimit
    {
        /// <summary>In force.</summary>
        public ulong Current;

        /// <summary>What it may be raised to.</summary>
        public ulong Maximum;
    }
}
