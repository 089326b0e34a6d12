using Leither.MmDb.RedisReplication;
using Leither.MmDb.Values;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>MIGRATE: keys move to another server.</summary>
public static unsafe class MigrateCommand
{
    private const long UsualTimeoutMs = 1000;

    /// <summary>MIGRATE host port key|"" destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password] [KEYS key …]</summary>
    public static readonly CommandSpec Migrate = new("migrate", -6)
    {
        Since = "2.6.0",
        Group = CommandGroup.Generic,
        Complexity = "This command actually executes a DUMP+DEL in the source instance, and a RESTORE in the target instance. See the pages of these commands for time complexity. Also an O(N) data transfer between the two instances is performed.",
        Summary = "Atomically transfers a key from one Redis instance to another.",
        Flags = CommandFlags.Write | CommandFlags.MovableKeys | CommandFlags.EndsBatch,
        Categories = ["keyspace", "dangerous"],
        Keys =
        [
            KeySpec.At(3, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete),
            KeySpec.After("KEYS", -2, KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete | KeyAccess.Incomplete, last: -1),
        ],
        Args =
        [
            Arg.String("host"),
            Arg.Integer("port"),
            Arg.OneOf("key-selector", Arg.Key("key"), Arg.Word("empty-string", "\"\"")),
            Arg.Integer("destination-db"),
            Arg.Integer("timeout"),
            Arg.Word("copy", "COPY").Optional().Since("3.0.0"),
            Arg.Word("replace", "REPLACE").Optional().Since("3.0.0"),
            Arg.OneOf(
                "authentication",
                Arg.String("auth").Token("AUTH").Shown("password").Since("4.0.7"),
                Arg.Block("auth2", Arg.String("username"), Arg.String("password")).Token("AUTH2").Since("6.0.0")).Optional(),
            Arg.Key("keys", 1).Token("KEYS").Shown("key").Optional().Multiple().Since("3.0.6"),
        ],
        History =
        [
            ("3.0.0", "Added the `COPY` and `REPLACE` options."),
            ("3.0.6", "Added the `KEYS` option."),
            ("4.0.7", "Added the `AUTH` option."),
            ("6.0.0", "Added the `AUTH2` option."),
        ],
        Tips = ["nondeterministic_output"],
        FindKeys = FindKeys,
        Handler = &RunMigrate,
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Migrate];

    private static bool FindKeys(ArgView args, List<KeyPosition> keys)
    {
        const KeyAccess access = KeyAccess.ReadWrite | KeyAccess.Access | KeyAccess.Delete;
        for (int i = 6; i < args.Count; i++)
        {
            if (args[i].EqualsIgnoreCase("auth"u8))
            {
                i++;
            }
            else if (args[i].EqualsIgnoreCase("auth2"u8))
            {
                i += 2;
            }
            else if (args[i].EqualsIgnoreCase("keys"u8) && args[3].Length == 0)
            {
                for (int k = i + 1; k < args.Count; k++)
                {
                    keys.Add(new KeyPosition(k, access));
                }

                return true;
            }
        }

        keys.Add(new KeyPosition(3, access));
        return true;
    }

    /// <summary>Whether a word is a name or password to log in with.</summary>
    internal static bool IsCredential(Slice* args, int index)
    {
        for (int i = 6; i < index; i++)
        {
            int words = args[i].EqualsIgnoreCase("auth"u8) ? 1 : args[i].EqualsIgnoreCase("auth2"u8) ? 2 : 0;
            if (words > 0 && index <= i + words)
            {
                return true;
            }

            if (args[i].EqualsIgnoreCase("keys"u8))
            {
                return false;
            }

            i += words;
        }

        return false;
    }

    private static void RunMigrate(CommandContext c)
    {
        bool copies = false, replaces = false;
        byte[][] credentials = [];
        int firstKey = 3, keyCount = 1;
        for (int i = 6; i < c.Count; i++)
        {
            int more = c.Count - 1 - i;
            if (c.Is(i, "copy"u8))
            {
                copies = true;
            }
            else if (c.Is(i, "replace"u8))
            {
                replaces = true;
            }
            else if (c.Is(i, "auth"u8) && more >= 1)
            {
                credentials = [c[++i].Span.ToArray()];
            }
            else if (c.Is(i, "auth2"u8) && more >= 2)
            {
                credentials = [c[i + 1].Span.ToArray(), c[i + 2].Span.ToArray()];
                i += 2;
            }
            else if (c.Is(i, "keys"u8))
            {
                if (c[3].Length != 0)
                {
                    c.Error("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"u8);
                    return;
                }

                firstKey = i + 1;
                keyCount = more;
                break;
            }
            else
            {
                c.Error(Errors.Syntax);
                return;
            }
        }

        if (!c.TryLong(5, out long timeout) || !c.TryLong(4, out long database))
        {
            return;
        }

        byte[][] keys = Existing(c, firstKey, keyCount);
        if (keys.Length == 0)
        {
            c.Reply.Simple("NOKEY"u8);
            return;
        }

        if (c.CannotBlock || c.Server.Connector is null)
        {
            c.Error("ERR MIGRATE cannot wait here: not in a transaction or script, nor where no connections are made"u8);
            return;
        }

        if (!c[2].TryLong(out long port) || port is < 0 or > 65535)
        {
            c.Error("IOERR error or timeout connecting to the client"u8);
            return;
        }

        c.DidBlock = true;
        var wait = new BlockedState
        {
            Command = new QueuedCommand(c.Spec, c.Args, c.Count),
            Database = c.Database.Index,
            Keys = [],
            Type = DataType.String,
            DeadlineMs = 0,
            OnTimeout = static reply => reply.Error("IOERR error or timeout reading to target instance"u8),
        };
        c.Server.Blocking.Block(c.Session, wait);
        c.Server.Migrator.Begin(
            new Migration
            {
                Session = c.Session,
                Wait = wait,
                Mimei = c.Mimei,
                Database = c.Database.Index,
                TargetDatabase = database,
                Keys = keys,
                Copies = copies,
                Replaces = replaces,
                Credentials = credentials,
                TimeoutMs = timeout <= 0 ? UsualTimeoutMs : timeout,
            },
            c.Text(1),
            (int)port);
    }

    private static byte[][] Existing(CommandContext c, int first, int count)
    {
        var keys = new List<byte[]>(count);
        for (int i = first; i < first + count; i++)
        {
            if (c.Database.Lookup(c.Key(i)) != null)
            {
                keys.Add(c[i].Span.ToArray());
            }
        }

        return [.. keys];
    }
}
