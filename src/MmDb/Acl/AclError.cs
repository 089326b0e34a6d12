namespace Leither.MmDb.Acl;

/// <summary>Why a rule of a user cannot be taken.</summary>
public enum AclError
{
    /// <summary>It can.</summary>
    None,
    /// <summary>It is none of the rules, or names a pattern with blanks.</summary>
    Syntax,
    /// <summary>It names a command or category that is not there.</summary>
    UnknownCommand,
    /// <summary>A key pattern after all keys.</summary>
    AfterAllKeys,
    /// <summary>A channel pattern after all channels.</summary>
    AfterAllChannels,
    /// <summary>The password to take away is not there.</summary>
    NoSuchPassword,
    /// <summary>What should be a hash is none.</summary>
    BadHash,
    /// <summary>The configuration names the user a second time.</summary>
    DuplicateUser,
    /// <summary>A first argument of what is a subcommand already.</summary>
    FirstArgumentOfSubcommand,
}

/// <summary>The texts of <see cref="AclError"/>, as Redis has them.</summary>
public static class AclErrors
{
    /// <summary>What a client or the one who starts the node is told.</summary>
    public static string Text(AclError error) => error switch
    {
        AclError.Syntax => "Syntax error",
        AclError.UnknownCommand => "Unknown command or category name in ACL",
        AclError.AfterAllKeys => "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. "
            + "Try 'resetkeys' to start with an empty list of patterns",
        AclError.AfterAllChannels => "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. "
            + "Try 'resetchannels' to start with an empty list of channels",
        AclError.NoSuchPassword => "The password you are trying to remove from the user does not exist",
        AclError.BadHash => "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters",
        AclError.DuplicateUser => "Duplicate user found. A user can only be defined once in config files",
        AclError.FirstArgumentOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        _ => "Wrong format",
    };
}

/// <summary>The users of the configuration or of the ACL file cannot be had: the node does not start.</summary>
public sealed class AclException(string message) : Exception(message);
