// A network of DHT nodes in one thread: messages take a while, the dead do not answer, and everything follows from one seed.

using System.Net;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;

namespace Leither.Libp2p.Tests.KadDht;

internal sealed class KadNetwork(Random random, KadOptions options)
{
    private readonly PriorityQueue<Action, (DateTimeOffset At, long Order)> _events = new();
    private long _order;

    public Random Random { get; } = random;

    public KadOptions Options { get; } = options;

    public DateTimeOffset Now { get; private set; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public List<SimulatedNode> Nodes { get; } = [];

    public Dictionary<PeerId, SimulatedNode> ById { get; } = [];

    public long Messages { get; private set; }

    /// <summary>Each so many messages, one goes through its encoding.</summary>
    public int EncodeEach { get; init; } = 50;

    public static PeerId NewId(Random random)
    {
        byte[] key = new byte[36];
        random.NextBytes(key);
        return PeerId.Of(key);
    }

    public SimulatedNode Add(IKadStore? store = null)
    {
        byte[] ip = [(byte)Random.Next(1, 9), (byte)Random.Next(256), (byte)Random.Next(256), (byte)Random.Next(1, 255)];
        var node = new SimulatedNode(this, NewId(Random), new IPAddress(ip), store);
        Nodes.Add(node);
        ById.Add(node.Id, node);
        After(TimeSpan.FromMilliseconds(Random.Next(1000)), node.Tick);
        return node;
    }

    /// <summary>A node that knows one other.</summary>
    public SimulatedNode Join()
    {
        SimulatedNode? other = Nodes.Count > 0 ? AnyNode() : null;
        SimulatedNode node = Add();
        if (other != null)
        {
            node.Meet(other);
            node.Flush();
            other.Flush();
        }

        return node;
    }

    public SimulatedNode AnyNode() => Nodes[Random.Next(Nodes.Count)];

    public void Kill(SimulatedNode node)
    {
        node.IsAlive = false;
        Nodes.Remove(node);
        ById.Remove(node.Id);
    }

    public void After(TimeSpan delay, Action action) => _events.Enqueue(action, (Now + delay, ++_order));

    public void RunUntil(Func<bool> done)
    {
        while (!done() && _events.TryDequeue(out Action? next, out (DateTimeOffset At, long Order) when))
        {
            Now = when.At;
            next();
        }
    }

    public void RunFor(TimeSpan time)
    {
        DateTimeOffset end = Now + time;
        RunUntil(() => !_events.TryPeek(out _, out (DateTimeOffset At, long Order) when) || when.At > end);
        Now = end;
    }

    public KadQuery Run(SimulatedNode node, Func<KadNode, DateTimeOffset, KadQuery> begin)
    {
        KadQuery query = begin(node.Node, Now);
        node.Flush();
        RunUntil(() => query.IsEnded);
        return query;
    }

    public void Deliver(SimulatedNode from, KadSend send)
    {
        Messages++;
        KadMessage message = Messages % EncodeEach == 0 ? KadMessage.Read(send.Message.ToArray()) : send.Message;
        After(Latency(), () =>
        {
            if (!ById.TryGetValue(send.To.Id, out SimulatedNode? to))
            {
                // Nobody there: what sends it finds that out by its own clock.
                return;
            }

            to.Meet(from);
            KadMessage? reply = to.Node.Answer(from.Id, from.Address, message, Now);
            to.Flush();
            if (reply == null && send.HasReply)
            {
                After(Latency(), () => from.Failed(send.Id));
                return;
            }

            KadMessage? read = reply != null && Messages % EncodeEach == 0 ? KadMessage.Read(reply.ToArray()) : reply;
            After(Latency(), () => from.Reply(send.Id, read, to.Address));
        });
    }

    private TimeSpan Latency() => TimeSpan.FromMilliseconds(Random.Next(5, 100));
}

internal sealed class SimulatedNode
{
    private readonly KadNetwork _network;
    private readonly Multiaddr[] _addresses;
    private int _idle;

    public SimulatedNode(KadNetwork network, PeerId id, IPAddress address, IKadStore? store)
    {
        _network = network;
        Id = id;
        Address = address;
        _addresses = [Multiaddr.Of(new IPEndPoint(address, 4001))];
        Self = new KadPeer(id, _addresses);
        Node = new KadNode(id, network.Options, new Random(network.Random.Next()), network.Now, () => _addresses, store);
    }

    public PeerId Id { get; }

    public IPAddress Address { get; }

    public KadPeer Self { get; }

    public KadNode Node { get; }

    public bool IsAlive { get; set; } = true;

    public void Meet(SimulatedNode other) => Node.Seen(other.Self, other.Address, _network.Now);

    public void Flush()
    {
        while (Node.TryTake(out KadSend send))
        {
            _network.Deliver(this, send);
        }
    }

    public void Reply(long id, KadMessage? reply, IPAddress address)
    {
        if (IsAlive)
        {
            Node.Reply(id, reply, address, _network.Now);
            Flush();
        }
    }

    public void Failed(long id)
    {
        if (IsAlive)
        {
            Node.Failed(id, _network.Now);
            Flush();
        }
    }

    public void Tick()
    {
        if (!IsAlive)
        {
            return;
        }

        // An idle node is looked at every minute, or ten thousand of them would do nothing else.
        if (Node.IsBusy || ++_idle % 12 == 1)
        {
            Node.Tick(_network.Now);
            Flush();
        }

        _network.After(TimeSpan.FromSeconds(5), Tick);
    }
}
