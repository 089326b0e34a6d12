using System.Globalization;
using System.Text;
using Leither.Ipfs.Ipns;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;

namespace Leither.MmDb.Commands;

/// <summary>IPFS NAME: names of IPNS. The node publishes under its own name, the one that its key gives it.</summary>
internal static unsafe class IpfsNameCommands
{
    private const int MaxPathLength = 4 << 10;

    public static readonly CommandSpec Name = new("name", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "PUBLISH, RESOLVE: O(log(N)) messages where N is the size of the network.",
        Summary = "Makes the node's name stand for a path, or tells what a name stands for.",
        // What it publishes is signed with the node's key.
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti | CommandFlags.EndsBatch,
        Args =
        [
            Arg.OneOf("action",
                Arg.String("path").Token("PUBLISH"), Arg.String("name").Token("RESOLVE"), Arg.Word("ls", "LS"), Arg.String("name").Token("RM").Optional()),
            Arg.Integer("seconds").Token("LIFETIME").Optional(),
            Arg.Integer("seconds").Token("TTL").Optional(),
            Arg.Word("norecursive", "NORECURSIVE").Optional(),
            Arg.Word("nocache", "NOCACHE").Optional(),
        ],
        Handler = &Run,
    };

    private static void Run(CommandContext c)
    {
        if (c.Is(2, "publish"u8) && c.Count >= 4) Publish(c);
        else if (c.Is(2, "resolve"u8) && c.Count >= 4) Resolve(c);
        else if (c.Is(2, "ls"u8) && c.Count == 3) List(c);
        else if (c.Is(2, "rm"u8) && c.Count is 3 or 4) Remove(c);
        else c.SubcommandSyntax();
    }

    private static void Publish(CommandContext c)
    {
        if (!DhtCommands.TryRouting(c, out INodeRouting? routing) || !TryText(c, 3, out string path)) return;
        if (Cid.TryParse(path, out _)) path = "/ipfs/" + path;
        TimeSpan? lifetime = null, ttl = null;
        for (int i = 4; i < c.Count; i += 2)
        {
            bool isLifetime = c.Is(i, "lifetime"u8);
            if (i + 1 == c.Count || !(isLifetime || c.Is(i, "ttl"u8)))
            {
                c.Error(Errors.Syntax);
                return;
            }

            if (!long.TryParse(c.Text(i + 1, 20), NumberStyles.None, CultureInfo.InvariantCulture, out long seconds) || seconds > 10_000_000_000)
            {
                c.Error("ERR a number of seconds is wanted"u8);
                return;
            }

            if (isLifetime) lifetime = TimeSpan.FromSeconds(seconds);
            else ttl = TimeSpan.FromSeconds(seconds);
        }

        c.AsideAsync(cancellation => routing.PublishNameAsync(path, lifetime, ttl, cancellation), static (c, published) => Write(c, published));
    }

    private static void Resolve(CommandContext c)
    {
        if (!DhtCommands.TryRouting(c, out INodeRouting? routing) || !TryText(c, 3, out string path)) return;
        bool recursive = true, useCache = true;
        for (int i = 4; i < c.Count; i++)
        {
            if (c.Is(i, "norecursive"u8)) recursive = false;
            else if (c.Is(i, "nocache"u8)) useCache = false;
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        c.AsideAsync(cancellation => routing.ResolveNameAsync(path, recursive, useCache, cancellation), static (c, found) => c.Reply.Bulk(Encoding.UTF8.GetBytes(found)));
    }

    private static void List(CommandContext c)
    {
        if (!DhtCommands.TryRouting(c, out INodeRouting? routing)) return;
        c.AsideAsync(
            _ => routing.PublishedNamesAsync(),
            static (c, names) =>
            {
                c.Reply.Array(names.Count);
                foreach (PublishedPath name in names) Write(c, name);
            });
    }

    private static void Remove(CommandContext c)
    {
        if (!DhtCommands.TryRouting(c, out INodeRouting? routing)) return;
        PeerId name = c.Server.Network!.Id;
        if (c.Count == 4 && !IpnsRecord.TryParseName(c.Text(3, 200), out name))
        {
            c.Error("ERR not a name"u8);
            return;
        }

        c.AsideAsync(_ => routing.UnpublishNameAsync(name), static (c, did) => c.Reply.Integer(did ? 1 : 0));
    }

    private static void Write(CommandContext c, PublishedPath published)
    {
        c.Reply.Map(7);
        MimeiCommands.Field(c.Reply, "name", IpnsRecord.NameText(published.Name));
        MimeiCommands.Field(c.Reply, "value", published.Record.Value);
        MimeiCommands.Field(c.Reply, "sequence", (long)Math.Min(published.Record.Sequence, long.MaxValue));
        MimeiCommands.Field(c.Reply, "validity", published.Record.Validity.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
        MimeiCommands.Field(c.Reply, "ttl", (long)published.Record.Ttl.TotalSeconds);
        MimeiCommands.Field(c.Reply, "stored", published.Stored);
        MimeiCommands.Field(c.Reply, "next", published.Next.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
    }

    private static bool TryText(CommandContext c, int index, out string text)
    {
        ReadOnlySpan<byte> word = c[index].Span;
        bool isText = word.Length <= MaxPathLength && !word.Contains((byte)0) && System.Text.Unicode.Utf8.IsValid(word);
        if (!isText) c.Error("ERR a path is a text in UTF-8, of 4 KiB at most"u8);
        text = isText ? Encoding.UTF8.GetString(word) : "";
        return isText;
    }
}
