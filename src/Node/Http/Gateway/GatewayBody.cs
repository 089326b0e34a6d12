using System.Buffers;
using System.IO.Pipelines;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.UnixFs;

namespace Leither.Node.Http.Gateway;

/// <summary>The bytes of a response, of which a part may be sent.</summary>
internal abstract class GatewayBody(long length) : IDisposable
{
    /// <summary>How much is given to the server before it is sent.</summary>
    protected const int FlushBytes = 64 * 1024;

    public long Length { get; } = length;

    /// <summary>The first bytes, for a look at what they are.</summary>
    public abstract ValueTask<ReadOnlyMemory<byte>> PeekAsync(GatewayCall call);

    /// <summary>Has what a part begins with, so that its absence can still be told by a status.</summary>
    public abstract ValueTask PrepareAsync(GatewayCall call, ByteRange part);

    /// <summary>Sends a part. The response was started: before that the server gives no memory of its own to write into.</summary>
    public abstract ValueTask WriteAsync(GatewayCall call, ByteRange part);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>A block as it is.</summary>
internal sealed class BlockBody(PooledBlock block) : GatewayBody(block.Length)
{
    public ReadOnlyMemory<byte> Bytes => block.Memory;

    public override ValueTask<ReadOnlyMemory<byte>> PeekAsync(GatewayCall call) => ValueTask.FromResult(block.Memory);

    public override ValueTask PrepareAsync(GatewayCall call, ByteRange part) => ValueTask.CompletedTask;

    public override async ValueTask WriteAsync(GatewayCall call, ByteRange part) =>
        await call.Context.Response.BodyWriter.WriteAsync(block.Memory.Slice((int)part.First, (int)part.Length), call.Context.RequestAborted);

    public override void Dispose() => block.Dispose();
}

/// <summary>A file, block by block. What is held of it is a few nodes and one leaf, and what the server has not sent yet.</summary>
internal sealed class FileBody(UnixFsStream file) : GatewayBody(file.Length)
{
    public override async ValueTask<ReadOnlyMemory<byte>> PeekAsync(GatewayCall call)
    {
        // Reading the same place again finds the leaf in memory.
        ReadOnlyMemory<byte> first = await call.Blocks.ReadAsync(file, static (_, file) => file.ReadBlock(MediaTypes.SniffBytes));
        file.Position = 0;
        return first;
    }

    public override async ValueTask PrepareAsync(GatewayCall call, ByteRange part)
    {
        file.Position = part.First;
        foreach (Cid next in file.Upcoming(1))
        {
            if (!call.Blocks.Local.Has(next)) await call.Blocks.ReadAsync(file, static (_, file) => file.ReadBlock(1));
        }
    }

    public override async ValueTask WriteAsync(GatewayCall call, ByteRange part)
    {
        PipeWriter writer = call.Context.Response.BodyWriter;
        CancellationToken aborted = call.Context.RequestAborted;
        file.Position = part.First;
        int unflushed = 0;
        for (long left = part.Length; left > 0;)
        {
            if (call.Blocks.IsFetching)
            {
                if (unflushed > 0) await writer.FlushAsync(aborted);
                unflushed = 0;
                await call.Blocks.PrepareAsync(file);
            }

            int written;
            try
            {
                written = file.ReadBlock(writer, (int)Math.Min(left, int.MaxValue));
            }
            catch (BlockMissingException e)
            {
                if (unflushed > 0) await writer.FlushAsync(aborted);
                unflushed = 0;
                await call.Blocks.FetchAsync(e.Cid);
                continue;
            }

            left -= written;
            unflushed += written;
            if (unflushed < FlushBytes && left > 0) continue;
            unflushed = 0;
            FlushResult flushed = await writer.FlushAsync(aborted);
            if (flushed.IsCompleted || flushed.IsCanceled) return;
        }
    }

    public override void Dispose() => file.Dispose();
}
