// What is said on the local network. https://github.com/libp2p/specs/blob/master/discovery/mdns.md
//
//   question   _p2p._udp.local PTR
//   answer     _p2p._udp.local PTR NAME._p2p._udp.local, and with it NAME._p2p._udp.local TXT "dnsaddr=/ip4/…/p2p/PEER" …
//
// NAME is drawn at random and means nothing. A private network has a service of its own, named by its key's fingerprint.

using System.Net;
using System.Security.Cryptography;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.KadDht;
using Leither.Libp2p.Names;
using Leither.Libp2p.PrivateNetworks;
using Leither.Libp2p.Transport;

namespace Leither.Libp2p.Mdns;

/// <summary>Makes and reads the messages of one network's members. No I/O.</summary>
internal sealed class MdnsProtocol(PeerId self, SwarmKey? swarmKey, bool loopback)
{
    /// <summary>For how many seconds an answer holds.</summary>
    public const uint Ttl = 120;

    /// <summary>How many peers one message may tell of.</summary>
    public const int MaxPeers = 8;

    /// <summary>How many addresses one message may tell of.</summary>
    public const int MaxAddresses = 32;

    private const string Prefix = "dnsaddr=";
    private const string MetaService = "_services._dns-sd._udp.local";
    private const int NameLength = 32;

    // Of a message without strings: the header, the names several times over.
    private const int Overhead = 400;

    /// <summary>What is asked for.</summary>
    public string Service { get; } = swarmKey == null ? "_p2p._udp.local" : $"_p2p-{swarmKey.Fingerprint}._udp.local";

    /// <summary>What this node is called.</summary>
    public string Name { get; } = RandomNumberGenerator.GetString("abcdefghijklmnopqrstuvwxyz0123456789", NameLength);

    private string FullName => $"{Name}.{Service}";

    /// <summary>Asks who is there.</summary>
    public DnsMessage Question() => new() { Questions = [new DnsQuestion(Service, DnsType.Ptr)] };

    /// <summary>The answer to a question, if it is for this node to answer.</summary>
    public DnsMessage? Answer(DnsMessage question, IEnumerable<Multiaddr> addresses)
    {
        if (question.IsResponse)
        {
            return null;
        }

        bool isAsked = question.Questions.Any(asked => asked.Name == Service && asked.Type is DnsType.Ptr or DnsType.Any)
            // Who asks says whom it knows.
            && !question.Answers.Any(known => known.Type == DnsType.Ptr && known.Target == FullName && known.Ttl >= Ttl / 2);
        bool isAskedDirectly = question.Questions.Any(asked => asked.Name == FullName && asked.Type is DnsType.Txt or DnsType.Any);
        bool isAskedForServices = question.Questions.Any(asked => asked.Name == MetaService && asked.Type is DnsType.Ptr or DnsType.Any);
        if (!isAsked && !isAskedDirectly && !isAskedForServices)
        {
            return null;
        }

        var answers = new List<DnsRecord>();
        if (isAskedForServices)
        {
            answers.Add(new DnsRecord(MetaService, DnsType.Ptr) { Ttl = Ttl, Target = Service });
        }

        var details = new DnsRecord(FullName, DnsType.Txt) { Ttl = Ttl, IsUnique = true, Texts = Texts(addresses) };
        bool hasDetails = details.Texts.Count > 0;
        if (isAsked && hasDetails)
        {
            answers.Add(new DnsRecord(Service, DnsType.Ptr) { Ttl = Ttl, Target = FullName });
        }

        if (isAskedDirectly && hasDetails)
        {
            answers.Add(details);
        }

        return answers.Count == 0 ? null
            : new DnsMessage { IsResponse = true, IsAuthoritative = true, Answers = answers, Additionals = isAsked && hasDetails && !isAskedDirectly ? [details] : [] };
    }

    /// <summary>The peers that an answer tells of, with addresses on the local network.</summary>
    /// <param name="answer">The message.</param>
    /// <param name="sender">Who sent it.</param>
    public List<KadPeer> Read(DnsMessage answer, IPAddress sender)
    {
        var peers = new List<KadPeer>();
        if (!answer.IsResponse)
        {
            return peers;
        }

        var found = new Dictionary<PeerId, List<Multiaddr>>();
        IEnumerable<string> texts = answer.Answers.Concat(answer.Additionals)
            .Where(record => record.Type == DnsType.Txt && record.Name.EndsWith("." + Service, StringComparison.Ordinal)).SelectMany(record => record.Texts);
        foreach (string text in texts.Where(text => text.StartsWith(Prefix, StringComparison.Ordinal)).Take(MaxAddresses))
        {
            if (!Multiaddr.TryParse(text[Prefix.Length..], out Multiaddr? address) || !address.TryGetPeerId(out PeerId peer) || peer == self
                || !DialTarget.TryCreate(address, null, out DialTarget? target) || !IsLocal(target.EndPoint.Address, sender))
            {
                continue;
            }

            if (!found.TryGetValue(peer, out List<Multiaddr>? addresses))
            {
                if (found.Count == MaxPeers)
                {
                    continue;
                }

                found.Add(peer, addresses = []);
            }

            addresses.Add(target.Address);
        }

        peers.AddRange(found.Select(entry => new KadPeer(entry.Key, entry.Value)));
        return peers;
    }

    /// <summary>Whether somebody on the local network may say that a peer is there: whoever says so must not send this node out into the world.</summary>
    private bool IsLocal(IPAddress address, IPAddress sender) => IPAddress.IsLoopback(address) ? loopback : !IpGroup.IsPublic(address) || address.Equals(sender);

    private List<string> Texts(IEnumerable<Multiaddr> addresses)
    {
        var texts = new List<string>();
        int room = DnsMessage.MaxMulticastLength - Overhead;
        foreach (Multiaddr address in addresses)
        {
            if (!address.TryGetIp(out IPAddress? ip) || (IPAddress.IsLoopback(ip) && !loopback))
            {
                continue;
            }

            string text = Prefix + address.WithPeer(self);
            room -= 1 + text.Length;
            if (room < 0)
            {
                break;
            }

            if (text.Length <= DnsMessage.MaxTextLength)
            {
                texts.Add(text);
            }
        }

        return texts;
    }
}
