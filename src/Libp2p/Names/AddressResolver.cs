// From addresses with names in them to addresses that can be dialled: /dns, /dns4 and /dns6 by the system's resolver, /dnsaddr by TXT records, each of which is
// a multiaddr that may lead further. https://github.com/multiformats/multiaddr/blob/master/protocols/DNSADDR.md
//
// Names come from strangers. Depth, lookups, addresses and time are bounded for each peer.

using System.Net;
using System.Net.Sockets;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Libp2p.Transport;

namespace Leither.Libp2p.Names;

/// <summary>Looks names in addresses up. Safe for any number of threads.</summary>
internal sealed class AddressResolver(DnsOptions options)
{
    private const string TextPrefix = "dnsaddr=";

    private readonly DnsClient _client = new(options);

    /// <summary>Whether an address begins with a name.</summary>
    public static bool HasName(Multiaddr address) => FirstProtocol(address) is { } first
        && (first == MultiaddrProtocol.Dns || first == MultiaddrProtocol.Dns4 || first == MultiaddrProtocol.Dns6 || first == MultiaddrProtocol.DnsAddr);

    /// <summary>
    /// What addresses with names lead to, as far as it can be dialled and leads to the peer, if one is given. A name that does not resolve in time leads nowhere.
    /// </summary>
    public async Task<List<DialTarget>> ResolveAsync(IEnumerable<Multiaddr> addresses, PeerId? peer, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(options.Timeout);
        var resolution = new Resolution(options.MaxLookups, limit.Token);
        await Task.WhenAll(addresses.Where(HasName).Select(address => ResolveAsync(peer is { } id ? address.WithPeer(id) : address, 0, resolution))).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        return [.. resolution.Found().OrderBy(target => target.Transport)];
    }

    private static MultiaddrProtocol? FirstProtocol(Multiaddr address)
    {
        foreach (MultiaddrComponent part in address)
        {
            return part.Protocol;
        }

        return null;
    }

    private static (string Name, string Behind) Split(Multiaddr address)
    {
        // "/dns4/NAME/…": a name holds no slash.
        string text = address.ToString();
        int from = text.IndexOf('/', 1) + 1;
        int to = text.IndexOf('/', from);
        return to < 0 ? (text[from..], "") : (text[from..to], text[to..]);
    }

    private async Task ResolveAsync(Multiaddr address, int depth, Resolution resolution)
    {
        MultiaddrProtocol first = FirstProtocol(address)!;
        (string name, string rest) = Split(address);
        if (!resolution.TryLookUp())
        {
            return;
        }

        try
        {
            if (first == MultiaddrProtocol.DnsAddr)
            {
                if (depth < options.MaxDepth)
                {
                    await ResolveTextsAsync(name, rest, depth, resolution).ConfigureAwait(false);
                }

                return;
            }

            AddressFamily family = first == MultiaddrProtocol.Dns4 ? AddressFamily.InterNetwork : first == MultiaddrProtocol.Dns6 ? AddressFamily.InterNetworkV6 : AddressFamily.Unspecified;
            IPAddress[] found = await Dns.GetHostAddressesAsync(name, family, resolution.Cancellation).ConfigureAwait(false);
            foreach (IPAddress ip in found.Take(options.MaxAddressesPerName))
            {
                string kind = ip.AddressFamily == AddressFamily.InterNetworkV6 ? "ip6" : "ip4";
                var plain = new IPAddress(ip.GetAddressBytes());
                if (Multiaddr.TryParse($"/{kind}/{plain}{rest}", out Multiaddr? resolved) && DialTarget.TryCreate(resolved, name, out DialTarget? target))
                {
                    resolution.Add(target);
                }
            }
        }
        catch (Exception e) when (e is SocketException or IOException or ArgumentException or OperationCanceledException)
        {
            // No such name, or nobody who knows it in time.
        }
    }

    private async Task ResolveTextsAsync(string name, string rest, int depth, Resolution resolution)
    {
        IReadOnlyList<string> texts = await _client.QueryTextAsync("_dnsaddr." + name, resolution.Cancellation).ConfigureAwait(false);
        var further = new List<Task>();
        foreach (string text in texts.Where(text => text.StartsWith(TextPrefix, StringComparison.Ordinal)).Take(options.MaxAddressesPerName))
        {
            // What stands behind the name chooses among its addresses: usually the peer.
            if (!Multiaddr.TryParse(text[TextPrefix.Length..], out Multiaddr? address) || !address.ToString().EndsWith(rest, StringComparison.Ordinal))
            {
                continue;
            }

            if (HasName(address))
            {
                further.Add(ResolveAsync(address, depth + 1, resolution));
            }
            else if (DialTarget.TryCreate(address, null, out DialTarget? target))
            {
                resolution.Add(target);
            }
        }

        await Task.WhenAll(further).ConfigureAwait(false);
    }

    /// <summary>What one peer's addresses have led to so far.</summary>
    private sealed class Resolution(int maxLookups, CancellationToken cancellation)
    {
        private const int MaxFound = 64;

        private readonly Lock _gate = new();
        private readonly List<DialTarget> _found = [];
        private int _lookups;

        public CancellationToken Cancellation => cancellation;

        public DialTarget[] Found()
        {
            lock (_gate)
            {
                return [.. _found];
            }
        }

        public bool TryLookUp() => Interlocked.Increment(ref _lookups) <= maxLookups;

        public void Add(DialTarget target)
        {
            lock (_gate)
            {
                if (_found.Count < MaxFound && !_found.Contains(target))
                {
                    _found.Add(target);
                }
            }
        }
    }
}
