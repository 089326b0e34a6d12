using System.Security.Cryptography;
using Leither.MmDb;
using Leither.MmDb.Values;
using Leither.Node.Logging;
using Leither.Node.Transport;

namespace Leither.Node;

/// <summary>Puts a node together: its MiMei, the server around it, the port, and what stops it.</summary>
public static class NodeHost
{
    /// <summary>Serves until asked to stop; returns the exit code.</summary>
    public static int Run(ListenOptions listen, NodeLog log)
    {
        var options = new KeyspaceOptions { Packed = PackedThresholds.Default };
        ulong seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
        using var keyspace = new Keyspace(options, seed);
        using var mimei = new Mimei("default", keyspace);
        using var server = new Server(mimei, new ServerOptions { Port = listen.Port }, TimeProvider.System);
        ITransport? transport = null;
        var handler = new PortHandler(new SessionHandler(server, () => transport!.Stop()), static (socket, _) => socket.Dispose(), log);
        using (transport = OperatingSystem.IsLinux() ? new EpollTransport(handler, log) : new SocketTransport(handler, log))
        {
            transport.Listen(listen);
            transport.Run();
        }

        return 0;
    }
}
