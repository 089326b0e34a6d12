using System.Net.Sockets;
using System.Text;
using Leither.Node.Logging;

namespace Leither.Node;

/// <summary>What the node tells the service manager that started it (systemd's Type=notify: sd_notify(3)); without one, nobody is told.</summary>
internal static class ServiceManager
{
    private const string SocketVariable = "NOTIFY_SOCKET";

    /// <summary>Tells it a state, such as <c>READY=1</c>.</summary>
    public static void Notify(string state, NodeLog log)
    {
        if (Environment.GetEnvironmentVariable(SocketVariable) is not { Length: > 1 } path || OperatingSystem.IsWindows())
        {
            return;
        }

        try
        {
            using Socket socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            // A name that begins with '@' is one of Linux's abstract namespace.
            socket.SendTo(Encoding.UTF8.GetBytes(state), new UnixDomainSocketEndPoint(path[0] == '@' ? "\0" + path[1..] : path));
        }
        catch (SocketException e)
        {
            log.Warning($"The service manager cannot be told {state.Split('\n')[0]}: {e.Message}");
        }
    }
}
