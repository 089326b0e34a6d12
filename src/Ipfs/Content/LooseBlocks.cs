using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Content;

/// <summary>
/// Puts blocks into a store to which nothing leads yet: they are kept for <see cref="Age"/> after the last of them, for what leads to them to come. Any thread.
/// </summary>
/// <param name="store">The store.</param>
/// <param name="time">The clock.</param>
public sealed class LooseBlocks(IBlockstore store, TimeProvider? time = null) : IBlockSink, IDisposable
{
    /// <summary>How long blocks are kept that came without a root, after the last of them.</summary>
    public static readonly TimeSpan Age = TimeSpan.FromMinutes(10);

    /// <summary>So many blocks are remembered that were put with all that they lead to, until something that leads to them is put.</summary>
    private const int MaxWhole = 1 << 18;

    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly Lock _gate = new();
    private readonly HashSet<Cid> _whole = []; // put, as all was that they lead to: to keep one nothing need be read
    private IDisposable? _protection;
    private ITimer? _timer;
    private long _last, _removals;
    private bool _isDisposed;

    /// <summary>Puts a block. It is durable when the store was flushed.</summary>
    /// <returns>Whether it is new.</returns>
    public bool Put(in Cid cid, ReadOnlySpan<byte> data)
    {
        List<Cid>? links = LinksOf(cid, data);
        long removals;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            _protection ??= store.ProtectPuts();
            _timer ??= _time.CreateTimer(_ => End(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            if (_last == 0) _timer.Change(Age, Timeout.InfiniteTimeSpan);
            _last = Math.Max(1, _time.GetTimestamp());
            removals = _removals;
        }

        bool isNew = store.Put(cid, data);
        lock (_gate)
        {
            if (links is not null && removals == _removals && _protection is not null && links.TrueForAll(_whole.Contains))
            {
                foreach (Cid link in links) _whole.Remove(link);
                if (_whole.Count == MaxWhole) _whole.Clear();
                _whole.Add(cid);
            }
        }

        return isNew;
    }

    /// <summary>Takes a block away, whatever leads to it; false if it is not there.</summary>
    public bool Remove(in Cid cid)
    {
        // Before: what is put from now on is not whole through it. After: nor is what was put while it went.
        Forget();
        bool wasThere = store.Delete(cid);
        Forget();
        return wasThere;

        void Forget()
        {
            lock (_gate)
            {
                _removals++;
                _whole.Clear();
            }
        }
    }

    /// <summary>Whether a block was put lately with all that it leads to. Its protection then begins anew.</summary>
    public bool IsWhole(in Cid cid)
    {
        lock (_gate)
        {
            if (_protection is null || !_whole.Contains(cid)) return false;
            _last = Math.Max(1, _time.GetTimestamp());
            return true;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isDisposed) return;
            _isDisposed = true;
            _timer?.Dispose();
            _protection?.Dispose();
            _protection = null;
        }
    }

    /// <summary>What a block leads to; null where nobody can tell.</summary>
    private static List<Cid>? LinksOf(in Cid cid, ReadOnlySpan<byte> block)
    {
        if (cid.Codec == Multicodec.Raw) return [];
        if (!Links.CanWalk(cid.Codec)) return null;
        try
        {
            var links = new List<Cid>();
            Links.AddTo(links, cid.Codec, block);
            return links;
        }
        catch (MalformedBlockException)
        {
            return null; // whoever keeps it is told
        }
    }

    private void End()
    {
        lock (_gate)
        {
            if (_isDisposed) return;
            TimeSpan left = Age - _time.GetElapsedTime(_last);
            if (left > TimeSpan.Zero)
            {
                _timer!.Change(left + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
                return;
            }

            _last = 0;
            _whole.Clear();
            _protection?.Dispose();
            _protection = null;
        }
    }
}
