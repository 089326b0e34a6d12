using System.Text;
using Leither.Ipfs.Keys;

namespace Leither.MmDb.Commands;

/// <summary>MIMEI DOMAIN: under which hosts' names the node shows MiMei of files to browsers.</summary>
public static unsafe class DomainCommands
{
    /// <summary>MIMEI DOMAIN</summary>
    internal static readonly CommandSpec Domain = new("domain", -3)
    {
        Group = CommandGroup.Mimei,
        Complexity = "O(N) where N is the number of names.",
        Summary = "Shows the files of a MiMei under the name of a host, no longer, or lists the names.",
        Flags = CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti,
        Args =
        [
            Arg.OneOf("action",
                Arg.Block("set", Arg.String("host"), Arg.String("mid").Shown("mid|name")).Token("SET"), Arg.String("host").Token("DEL"), Arg.Word("list", "LIST")),
        ],
        Handler = &Run,
    };

    private static void Run(CommandContext c)
    {
        HostNames hosts = c.Server.Hosts;
        if (c.Count == 3 && c.Is(2, "list"u8))
        {
            KeyValuePair<string, LeitherId>[] all = [.. hosts.All];
            c.Reply.Array(all.Length);
            foreach ((string host, LeitherId mid) in all)
            {
                c.Reply.Map(2);
                MimeiCommands.Field(c.Reply, "host", host);
                MimeiCommands.Field(c.Reply, "mid", mid.ToString());
            }
        }
        else if (c.Count == 4 && c.Is(2, "del"u8))
        {
            string host = c.Text(3, 300);
            if (hosts.TryFind(host, out LeitherId shown)) Change(c, host, null, shown, static c => c.Reply.Integer(1));
            else c.Reply.Integer(0);
        }
        else if (c.Count == 5 && c.Is(2, "set"u8))
        {
            Set(c, hosts);
        }
        else
        {
            c.SubcommandSyntax();
        }
    }

    private static void Set(CommandContext c, HostNames hosts)
    {
        string host = c.Text(3, 300);
        if (!HostNames.IsName(host))
        {
            c.Error("ERR a host's name has letters, digits and '-' with dots between, as the DNS has them (others as 'xn--…'); it is no address, not localhost, and not below ipfs.localhost"u8);
            return;
        }

        if (!MimeiCommands.TryFind(c, 4, out MimeiEntry entry))
        {
            return;
        }

        if (c.Server.Mimeis.Store is not { } store)
        {
            c.Error(MimeiCommands.NoStore);
            return;
        }

        LeitherId? before = hosts.TryFind(host, out LeitherId shown) ? shown : null;
        if (before is null && hosts.All.Count() >= HostNames.MaxNames)
        {
            c.Error($"ERR there are {HostNames.MaxNames} names already");
            return;
        }

        c.Aside(
            () => store.ReadInfo(entry.Id).Type == MimeiType.Files,
            (c, holdsFiles) =>
            {
                if (!holdsFiles)
                {
                    c.Error(MimeiFileCommands.HoldsNoFiles);
                    return;
                }

                Change(c, host, entry.Id, before, static c => c.Reply.Ok());
            });
    }

    /// <summary>Changes what a host shows: at once, and durably before it is replied.</summary>
    private static void Change(CommandContext c, string host, LeitherId? mid, LeitherId? before, Action<CommandContext> reply)
    {
        HostNames hosts = c.Server.Hosts;
        hosts.Set(host, mid);
        c.Aside(
            () =>
            {
                hosts.Keep();
                return true;
            },
            (c, _) => reply(c),
            () => hosts.Set(host, before));
    }
}
