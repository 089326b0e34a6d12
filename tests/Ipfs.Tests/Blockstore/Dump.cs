using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Multiformats;

namespace Leither.Ipfs.Tests.Blockstore;

internal static class Dump
{
    public static string Of(SimulatedBlockDisk disk, Cid wanted)
    {
        var text = new StringBuilder();
        BlockKey key = BlockKey.Of(wanted);
        foreach ((string name, long length) in disk.List().OrderBy(f => f.Name))
        {
            text.Append(name).Append(' ').Append(length);
            if (PackFormat.TryParseName(name, PackFormat.Suffix, out uint n))
            {
                using IBlockFile f = disk.Open(name);
                byte[] h = new byte[64];
                f.Read(0, h);
                bool ok = PackFormat.TryReadHeader(h, out _, out _, out ulong durable, out uint salt);
                text.Append($" header {ok} durable {durable:x}");
                using var s = new PackScanner(f, name, ok ? salt : null, 64, length, true, true);
                while (s.Next()) if (BlockKey.Of(s.Cid).Equals(key)) text.Append($" {s.Kind}@{s.Offset:x}");
                foreach (var d in s.Damage) text.Append(" !" + d);
            }
            else if (PackFormat.TryParseName(name, IndexRun.Suffix, out n) && IndexRun.TryOpen(disk, n, length) is { } run)
            {
                text.Append($" {run.From:x}..{run.To:x} {run.Entries}");
                try { if (run.TryFind(key, out IndexEntry e, out _)) text.Append($" FOUND {e.Position:x} deleted {e.IsDeleted}"); }
                catch (IndexDamagedException e) { text.Append(" DAMAGED " + e.Message); }
            }
            text.Append('\n');
        }
        return text.ToString();
    }
}
