namespace Leither.MmDb.Commands;

/// <summary>MODULE: there are no modules here, which these commands say as a Redis does that does not allow any.</summary>
public static unsafe class ModuleCommands
{
    /// <summary>MODULE</summary>
    public static readonly CommandSpec Module = new("module", -2)
    {
        Since = "4.0.0",
        Group = CommandGroup.Server,
        Complexity = "Depends on subcommand.",
        Summary = "A container for module commands.",
        Subcommands =
        [
            new("help", 2)
            {
                Since = "5.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Returns helpful text about the different subcommands.",
                Flags = CommandFlags.Loading | CommandFlags.Stale,
                Handler = &RunHelp,
            },
            new("list", 2)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(N) where N is the number of loaded modules.",
                Summary = "Returns all loaded modules.",
                Flags = CommandFlags.Admin | CommandFlags.NoScript,
                Tips = ["nondeterministic_output_order"],
                Handler = &RunList,
            },
            new("load", -3)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Loads a module.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoScript,
                Args = [Arg.String("path"), Arg.String("arg").Optional().Multiple()],
                Handler = &RunNotAllowed,
            },
            new("loadex", -3)
            {
                Since = "7.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Loads a module using extended parameters.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoScript,
                Args = [Arg.String("path"), Arg.Block("configs", Arg.String("name"), Arg.String("value")).Token("CONFIG").Optional().MultipleWithToken(), Arg.String("args").Token("ARGS").Optional().Multiple()],
                Handler = &RunNotAllowed,
            },
            new("unload", 3)
            {
                Since = "4.0.0",
                Group = CommandGroup.Server,
                Complexity = "O(1)",
                Summary = "Unloads a module.",
                Flags = CommandFlags.NoAsyncLoading | CommandFlags.Admin | CommandFlags.NoScript,
                Args = [Arg.String("name")],
                Handler = &RunNotAllowed,
            },
        ],
    };

    /// <summary>The family.</summary>
    public static IEnumerable<CommandSpec> All => [Module];

    private static void RunList(CommandContext c) => c.Reply.EmptyArray();

    private static void RunNotAllowed(CommandContext c) => c.Error("ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."u8);

    private static void RunHelp(CommandContext c) => c.Help(
        "LIST",
        "    Return a list of loaded modules.",
        "LOAD <path> [<arg> ...]",
        "    Load a module library from <path>, passing to it any optional arguments.",
        "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
        "    Load a module library from <path>, while passing it module configurations and optional arguments.",
        "UNLOAD <name>",
        "    Unload a module.");
}
