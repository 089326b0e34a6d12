using Leither.Node;
using Leither.Node.CommandLine;

// The folder may be named before any command; run and init take it behind.
string[] words = args is ["--data", var folder, "run" or "init", ..] ? [args[2], .. args[3..], "--data", folder] : args;

// The arguments of a run are redis-server's, and the way to it loads nothing that only other commands need.
return words is ["run" or "init", .. var arguments] && !arguments.Any(a => a is "-h" or "--help" or "-?")
    ? words[0] == "run" ? NodeProgram.Run(arguments) : InitCommand.Run(arguments)
    : LeitherCommand.Run(words);
