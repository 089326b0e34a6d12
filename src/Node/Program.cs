using Leither.Node;
using Leither.Node.CommandLine;

// The arguments of a run are redis-server's, and the way to it loads nothing that only other commands need.
return args is ["run", .. var arguments] && !arguments.Any(a => a is "-h" or "--help" or "-?")
    ? NodeProgram.Run(arguments)
    : LeitherCommand.Run(args);
