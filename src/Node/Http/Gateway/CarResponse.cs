// Blocks that prove themselves: a CAR with the blocks on the way, and of what is found one block, what makes it up, or all that it leads to.
// https://specs.ipfs.tech/http-gateways/trustless-gateway/#car-responses-application-vnd-ipld-car
//
// Blocks come depth first, each before those that it links to, in the order of its links. A block that nobody has to look into goes from the store to the server
// without being held.

using System.Buffers;
using System.IO.Pipelines;
using Leither.Ipfs;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Car;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;
using Microsoft.AspNetCore.Http;

namespace Leither.Node.Http.Gateway;

/// <summary>Sends CARs.</summary>
internal sealed class CarResponse : IDisposable
{
    private const int FlushBytes = 64 * 1024;

    private readonly GatewayCall _call;
    private readonly PipeWriter _writer;
    private readonly HashSet<Multihash>? _sent;
    private readonly PooledBlock _block = new();
    private int _unflushed;

    private CarResponse(GatewayCall call, bool hasDuplicates)
    {
        _call = call;
        _writer = call.Context.Response.BodyWriter;
        _sent = hasDuplicates ? null : [];
    }

    private enum Scope
    {
        Block,
        Entity,
        All,
    }

    /// <summary>Answers a request for a CAR whose path was followed.</summary>
    public static async Task SendAsync(GatewayCall call)
    {
        string? entityBytes = call.Query("entity-bytes");
        Scope scope = call.Query("dag-scope") switch
        {
            null => entityBytes is null ? Scope.All : Scope.Entity,
            "all" => entityBytes is null ? Scope.All : Scope.Entity,
            "entity" => Scope.Entity,
            "block" => Scope.Block,
            { } other => throw new GatewayException(400, $"There is no dag-scope '{other}': block, entity, all"),
        };
        if ((Parameter(call, "version") ?? "1") != "1") throw new GatewayException(406, "Only CARs of version 1 are made here");
        if (Parameter(call, "order") is { } order and not ("dfs" or "unk" or "")) throw new GatewayException(406, $"Blocks come in the order dfs, not '{order}'");
        bool hasDuplicates = (Parameter(call, "dups") ?? "n") switch
        {
            "y" => true,
            "n" or "" => false,
            { } other => throw new GatewayException(400, $"dups is y or n, not '{other}'"),
        };

        // What cannot be had, or makes no sense, shows before the answer begins.
        UnixFsNode? entity = null;
        ByteRange? range = null;
        using (var first = new PooledBlock())
        {
            await call.Blocks.GetAsync(call.Cid, first);
            if (scope == Scope.Entity) entity = TryDecode(call.Cid, first.Span.ToArray());
        }

        if (entityBytes is not null && scope == Scope.Entity)
        {
            long length = entity is { IsFile: true } ? (long)entity.FileSize : long.MaxValue;
            if (!ByteRange.TryParseEntityBytes(entityBytes, length, out range)) throw new GatewayException(400, $"entity-bytes is from:to, not '{entityBytes}'");
            if (range is null && length > 0) throw new GatewayException(400, $"The entity has {length} bytes, and none of {entityBytes}");
            if (range is null) scope = Scope.Block;
        }

        string name = scope switch { Scope.All => "all", Scope.Entity => "entity", _ => "block" };
        string tag = $"W/\"{call.Roots[0]}.{call.Cid}.car.{name}.{(hasDuplicates ? 'y' : 'n')}{(range is { } bytes && entity is { IsFile: true } ? $".{bytes.First}-{bytes.Last}" : "")}\"";
        HttpResponse response = call.Context.Response;
        response.Headers.AcceptRanges = "none";
        if (call.SetHeaders(tag)) return;
        call.SetContentLocation();
        call.SetDisposition($"{call.Cid}.car", isAttachment: true);
        response.ContentType = $"application/vnd.ipld.car; version=1; order=dfs; dups={(hasDuplicates ? 'y' : 'n')}";
        if (call.IsHead) return;

        using var car = new CarResponse(call, hasDuplicates);
        await response.StartAsync(call.Context.RequestAborted);
        car.WriteHeader();
        foreach (Cid way in call.Way) await car.WriteAsync(way, keep: false);
        if (scope == Scope.All) await car.WriteGraphAsync(call.Cid);
        else if (scope == Scope.Entity && entity is { IsFile: true }) await car.WriteFileAsync(range);
        else if (scope == Scope.Entity && entity is { IsDirectory: true }) await car.WriteDirectoryAsync();
        else await car.WriteAsync(call.Cid, keep: false);
        await car._writer.FlushAsync(call.Context.RequestAborted);
    }

    /// <inheritdoc/>
    public void Dispose() => _block.Dispose();

    /// <summary>A parameter of the request, or else of what Accept says.</summary>
    private static string? Parameter(GatewayCall call, string name) => call.Query("car-" + name) ?? AcceptedFormat.Parameter(call.Accept.Parameters, name);

    /// <summary>The block as a part of a file system; null: it is none, and stands for itself.</summary>
    private static UnixFsNode? TryDecode(Cid cid, ReadOnlyMemory<byte> block)
    {
        if (cid.Codec is not (Multicodec.DagPb or Multicodec.Raw)) return null;
        try
        {
            return UnixFsNode.Decode(cid, block);
        }
        catch (MalformedBlockException)
        {
            return null;
        }
    }

    private void WriteHeader()
    {
        byte[] header = CarFormat.EncodeHeader([_call.Cid]);
        Span<byte> room = _writer.GetSpan(Varint.MaxLength + header.Length);
        int length = Varint.Write(room, (ulong)header.Length);
        header.CopyTo(room[length..]);
        Advance(length + header.Length);
    }

    private async ValueTask WriteGraphAsync(Cid root)
    {
        var open = new Stack<Cid>();
        open.Push(root);
        var links = new List<Cid>();
        while (open.TryPop(out Cid cid))
        {
            bool isLeaf = cid.Codec is Multicodec.Raw or Multicodec.Json or Multicodec.Cbor or Multicodec.Libp2pKey || !Links.CanWalk(cid.Codec);
            if (!await WriteAsync(cid, keep: !isLeaf) || isLeaf) continue;
            links.Clear();
            Links.AddTo(links, cid.Codec, _block.Span);
            if (links.Count > _call.Options.MaxCarLinks - open.Count) throw new GatewayException(500, $"More than {_call.Options.MaxCarLinks} links are to be followed at once");
            for (int i = links.Count - 1; i >= 0; i--) open.Push(links[i]);
        }
    }

    /// <summary>Writes the blocks of a file that hold a part of it.</summary>
    private async ValueTask WriteFileAsync(ByteRange? range)
    {
        long from = range?.First ?? 0, to = range?.Last ?? long.MaxValue;
        var open = new Stack<(Cid Cid, long Start)>();
        open.Push((_call.Cid, 0));
        while (open.TryPop(out (Cid Cid, long Start) part))
        {
            bool isLeaf = part.Cid.Codec == Multicodec.Raw;
            if (!await WriteAsync(part.Cid, keep: !isLeaf) || isLeaf) continue;
            UnixFsNode node = UnixFsNode.Decode(part.Cid, _block.Memory);
            if (!node.IsFile) throw new UnixFsException(part.Cid, $"a part of a file is a {node.Type}");
            if (node.Links.Count > _call.Options.MaxCarLinks - open.Count) throw new GatewayException(500, $"More than {_call.Options.MaxCarLinks} links are to be followed at once");
            long end = part.Start + (long)node.FileSize;
            for (int i = node.Links.Count - 1; i >= 0; i--)
            {
                long start = end - (long)node.Data.BlockSizes[i];
                if (range is null || (start <= to && end > from)) open.Push((node.Links[i].Cid, start));
                end = start;
            }
        }
    }

    /// <summary>Writes the blocks that a directory's own entries lie in.</summary>
    private async ValueTask WriteDirectoryAsync()
    {
        var open = new Stack<Cid>();
        open.Push(_call.Cid);
        while (open.TryPop(out Cid cid))
        {
            if (!await WriteAsync(cid, keep: true)) continue;
            UnixFsNode node = UnixFsNode.Decode(cid, _block.Memory);
            foreach (Cid below in UnixFsDirectory.ShardsBelow(node).Reverse()) open.Push(below);
            if (open.Count > _call.Options.MaxCarLinks) throw new GatewayException(500, $"More than {_call.Options.MaxCarLinks} links are to be followed at once");
        }
    }

    /// <summary>Writes a block; false: it was written before, and with it all below it.</summary>
    /// <param name="cid">The block.</param>
    /// <param name="keep">Whether its bytes are looked at: they are in the buffer then.</param>
    private async ValueTask<bool> WriteAsync(Cid cid, bool keep)
    {
        bool isIdentity = cid.HashFunction == Multicodec.Identity; // holds its content: it is never in a CAR
        if (!isIdentity && _sent is not null)
        {
            if (!_sent.Add(cid.Multihash)) return false;
            if (_sent.Count > _call.Options.MaxCarBlocks) throw new GatewayException(500, $"More than {_call.Options.MaxCarBlocks} blocks in a CAR without duplicates");
        }

        if (isIdentity || keep)
        {
            _block.Clear();
            await _call.Blocks.GetAsync(cid, _block);
            if (!isIdentity)
            {
                WritePrefix(cid, _block.Length);
                _writer.Write(_block.Span);
                _unflushed += _block.Length;
            }
        }
        else
        {
            int length;
            while (!_call.Blocks.Local.TryGetLength(cid, out length))
            {
                await FlushAsync();
                await _call.Blocks.FetchAsync(cid);
            }

            WritePrefix(cid, length);
            if (!_call.Blocks.Local.TryGet(cid, _writer)) throw new GatewayException(500, $"The block {cid} has just gone from the store");
            _unflushed += length;
        }

        if (_unflushed >= FlushBytes) await FlushAsync();
        return true;
    }

    private void WritePrefix(in Cid cid, int blockLength)
    {
        Span<byte> room = _writer.GetSpan(Varint.MaxLength + Cid.MaxLength);
        int length = Varint.Write(room, (ulong)(cid.Length + blockLength));
        length += cid.Write(room[length..]);
        Advance(length);
    }

    private void Advance(int length)
    {
        _writer.Advance(length);
        _unflushed += length;
    }

    private async ValueTask FlushAsync()
    {
        _unflushed = 0;
        await _writer.FlushAsync(_call.Context.RequestAborted);
    }
}
