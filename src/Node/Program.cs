using Leither.Node;
using Leither.Node.Logging;
using Leither.Node.Transport;

int port = args is [_, "-p", var text, ..] ? int.Parse(text) : 4800;
return NodeHost.Run(new ListenOptions(["127.0.0.1"], port), new NodeLog(TimeProvider.System, Console.Out));
