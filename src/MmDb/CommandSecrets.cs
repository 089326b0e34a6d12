using Leither.MmDb.Commands;
using Leither.MmDb.Configuration;
using Leither.Resp;

namespace Leither.MmDb;

/// <summary>Which words of a command are secrets, so that neither MONITOR nor SLOWLOG shows them.</summary>
internal static unsafe class CommandSecrets
{
    /// <summary>What is shown in place of a secret.</summary>
    public static ReadOnlySpan<byte> Shown => "(redacted)"u8;

    /// <summary>Whether a word is a secret.</summary>
    public static bool Includes(CommandSpec spec, Slice* args, int index)
    {
        if (index == 0)
        {
            return false;
        }

        if (spec == ConnectionCommands.Auth)
        {
            return true;
        }

        if (spec == ConnectionCommands.Hello)
        {
            return (index >= 2 && args[index - 1].EqualsIgnoreCase("auth"u8)) || (index >= 3 && args[index - 2].EqualsIgnoreCase("auth"u8));
        }

        if (spec == AclCommands.SetUser)
        {
            return index >= 2;
        }

        if (PassportCommands.IsSecret(spec, index))
        {
            return true;
        }

        if (spec == MigrateCommand.Migrate)
        {
            return MigrateCommand.IsCredential(args, index);
        }

        return spec == ConfigCommands.Set && index >= 3 && index % 2 == 1
            && ConfigKeys.Find(args[index - 1].ToString()) is { } key && (key.Flags & ConfigFlags.Sensitive) != 0;
    }
}
