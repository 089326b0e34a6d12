using System.Net;
using System.Net.Sockets;
using Leither.Node.Logging;

namespace Leither.Node.Transport;

/// <summary>One listening socket, and the reading of Redis's <c>bind</c> syntax.</summary>
internal sealed class Listener
{
    private Listener(Socket socket, string key, string? unixPath)
    {
        Socket = socket;
        Key = key;
        UnixPath = unixPath;
        Descriptor = (int)socket.Handle;
    }

    public Socket Socket { get; }

    public int Descriptor { get; }

    /// <summary>The path of a Unix socket.</summary>
    public string? UnixPath { get; }

    /// <summary>What it listens on: a listener that is wanted again is kept open.</summary>
    private string Key { get; }

    /// <summary>Opens everything, keeping those of the old listeners that are wanted again. On failure what was opened is closed, and nothing else.</summary>
    public static List<Listener> Open(ListenOptions options, List<Listener> old, NodeLog log)
    {
        List<Listener> opened = [];
        try
        {
            if (options.Port != 0)
            {
                OpenTcp(options, old, opened, log);
            }

            if (options.MorePort != 0 && options.MorePort != options.Port)
            {
                OpenTcp(options with { Port = options.MorePort }, old, opened, log);
            }

            if (options.UnixSocket is not null)
            {
                opened.Add(Reuse(old, "unix:" + options.UnixSocket) ?? OpenUnix(options));
            }

            return opened.Count > 0 ? opened : throw new ListenException("Configured to not listen anywhere");
        }
        catch
        {
            CloseAllBut(old, opened);
            throw;
        }
    }

    public static void CloseAllBut(List<Listener> keep, List<Listener> listeners)
    {
        foreach (Listener listener in listeners.Where(l => !keep.Contains(l)))
        {
            listener.Socket.Dispose();
            if (listener.UnixPath is not null)
            {
                File.Delete(listener.UnixPath);
            }
        }
    }

    public static int PortOf(List<Listener> listeners) =>
        listeners.Select(l => l.Socket.LocalEndPoint).OfType<IPEndPoint>().Select(e => e.Port).FirstOrDefault();

    public static IReadOnlyList<IPEndPoint> EndPointsOf(List<Listener> listeners) => [.. listeners.Select(l => l.Socket.LocalEndPoint).OfType<IPEndPoint>()];

    /// <summary>As Redis shows addresses: brackets around those with colons.</summary>
    public static string Show(IPEndPoint end) =>
        end.Address.IsIPv4MappedToIPv6 ? $"{end.Address.MapToIPv4()}:{end.Port}"
        : end.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{end.Address}]:{end.Port}"
        : $"{end.Address}:{end.Port}";

    private static void OpenTcp(ListenOptions options, List<Listener> old, List<Listener> opened, NodeLog log)
    {
        int port = options.Port;
        foreach (string entry in options.Bind)
        {
            bool optional = entry.StartsWith('-');
            string address = optional ? entry[1..] : entry;
            try
            {
                foreach (IPAddress ip in Resolve(address))
                {
                    string key = $"tcp:{ip}:{port}:{options.Backlog}";
                    Listener listener = Reuse(old, key) ?? OpenTcp(ip, port, options.Backlog, key);
                    opened.Add(listener);
                    if (port == AnyPort)
                    {
                        port = ((IPEndPoint)listener.Socket.LocalEndPoint!).Port;
                    }
                }
            }
            catch (SocketException e) when (optional && e.SocketErrorCode is SocketError.AddressNotAvailable
                or SocketError.AddressFamilyNotSupported or SocketError.ProtocolNotSupported or SocketError.ProtocolFamilyNotSupported
                or SocketError.SocketNotSupported or SocketError.ProtocolOption or SocketError.HostNotFound)
            {
                log.Verbose($"Not listening on optional address {address}: {e.Message}");
            }
            catch (SocketException e)
            {
                throw new ListenException($"Could not create server TCP listening socket {address}:{options.Port}: {e.Message}", e);
            }
        }
    }

    /// <summary>A port below zero asks the system for a free one; tests do.</summary>
    public const int AnyPort = -1;

    private static Listener OpenTcp(IPAddress ip, int port, int backlog, string key)
    {
        Socket socket = new(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (ip.AddressFamily == AddressFamily.InterNetworkV6)
            {
                socket.DualMode = false;
            }

            socket.Blocking = false;
            socket.Bind(new IPEndPoint(ip, Math.Max(port, 0)));
            socket.Listen(backlog);
            return new Listener(socket, key, null);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static Listener OpenUnix(ListenOptions options)
    {
        string path = options.UnixSocket!;
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            // A socket file outlives the process that made it; the data folder's lock says that no other node uses it.
            File.Delete(path);
            socket.Blocking = false;
            socket.Bind(new UnixDomainSocketEndPoint(path));
            if (options.UnixSocketPermissions != 0 && !OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(path, (UnixFileMode)options.UnixSocketPermissions);
            }

            socket.Listen(options.Backlog);
            return new Listener(socket, "unix:" + path, path);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            socket.Dispose();
            throw new ListenException($"Failed opening Unix socket {path}: {e.Message}", e);
        }
    }

    private static Listener? Reuse(List<Listener> old, string key) => old.Find(l => l.Key == key);

    private static IEnumerable<IPAddress> Resolve(string address) => address switch
    {
        "*" => [IPAddress.Any],
        "::*" => [IPAddress.IPv6Any],
        _ when IPAddress.TryParse(address, out IPAddress? ip) => [ip],
        _ => [Dns.GetHostAddresses(address, AddressFamily.InterNetwork)[0]],
    };
}
