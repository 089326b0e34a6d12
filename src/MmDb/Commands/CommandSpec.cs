namespace Leither.MmDb.Commands;

/// <summary>The families under which COMMAND DOCS lists a command.</summary>
public enum CommandGroup
{
    /// <summary>Commands for keys of any type.</summary>
    Generic,
    /// <summary>Strings.</summary>
    String,
    /// <summary>Bitmaps, which are strings.</summary>
    Bitmap,
    /// <summary>Lists.</summary>
    List,
    /// <summary>Sets.</summary>
    Set,
    /// <summary>Sorted sets.</summary>
    SortedSet,
    /// <summary>Hashes.</summary>
    Hash,
    /// <summary>Streams.</summary>
    Stream,
    /// <summary>HyperLogLog.</summary>
    HyperLogLog,
    /// <summary>Geospatial indices.</summary>
    Geo,
    /// <summary>Publish and subscribe.</summary>
    PubSub,
    /// <summary>MULTI, EXEC and their company.</summary>
    Transactions,
    /// <summary>The connection itself.</summary>
    Connection,
    /// <summary>The server.</summary>
    Server,
    /// <summary>Scripts and functions.</summary>
    Scripting,
    /// <summary>Redis Cluster.</summary>
    Cluster,
    /// <summary>Leither's own: versions and containers.</summary>
    Mimei,
}

/// <summary>What COMMAND INFO calls flags, plus the few that only the dispatcher reads.</summary>
[Flags]
public enum CommandFlags
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>May change data.</summary>
    Write = 1 << 0,
    /// <summary>Reads data only.</summary>
    ReadOnly = 1 << 1,
    /// <summary>May use more memory: refused when over maxmemory.</summary>
    DenyOom = 1 << 2,
    /// <summary>An operator's command.</summary>
    Admin = 1 << 3,
    /// <summary>Has to do with publish and subscribe.</summary>
    PubSub = 1 << 4,
    /// <summary>Not allowed in scripts.</summary>
    NoScript = 1 << 5,
    /// <summary>May block its client.</summary>
    Blocking = 1 << 6,
    /// <summary>Allowed while the data is being loaded.</summary>
    Loading = 1 << 7,
    /// <summary>Allowed on a stale replica.</summary>
    Stale = 1 << 8,
    /// <summary>Not shown to MONITOR.</summary>
    SkipMonitor = 1 << 9,
    /// <summary>Not put into the slow log.</summary>
    SkipSlowLog = 1 << 10,
    /// <summary>Constant or logarithmic time.</summary>
    Fast = 1 << 11,
    /// <summary>Allowed without authentication.</summary>
    NoAuth = 1 << 12,
    /// <summary>May replicate although it is no write.</summary>
    MayReplicate = 1 << 13,
    /// <summary>Not allowed in a transaction.</summary>
    NoMulti = 1 << 14,
    /// <summary>Its keys cannot be told from key specs alone.</summary>
    MovableKeys = 1 << 15,
    /// <summary>Touches the arbiter only (Sentinel): unused here.</summary>
    NoAsyncLoading = 1 << 16,
    /// <summary>Allowed while a script is busy.</summary>
    AllowBusy = 1 << 17,
    /// <summary>Its first argument after the command must exist as a key for it to do anything.</summary>
    NoMandatoryKeys = 1 << 18,
    /// <summary>Needs leave by configuration (enable-debug-command).</summary>
    Protected = 1 << 19,
    /// <summary>Follows an ASK redirection in a cluster.</summary>
    Asking = 1 << 20,
    /// <summary>Runs at once even between MULTI and EXEC.</summary>
    NotQueued = 1 << 23,
    /// <summary>Ends a batch: what it does changes how the commands after it are run (SELECT, EXEC, a blocking one).</summary>
    EndsBatch = 1 << 24,
}

/// <summary>How a command uses the keys that a key spec names (COMMAND INFO's key-spec flags).</summary>
[Flags]
public enum KeyAccess
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>Reads the value.</summary>
    ReadOnly = 1 << 0,
    /// <summary>Reads and changes the value.</summary>
    ReadWrite = 1 << 1,
    /// <summary>Overwrites the value without reading it.</summary>
    Overwrite = 1 << 2,
    /// <summary>Removes the key.</summary>
    Remove = 1 << 3,
    /// <summary>Returns, copies or compares the value's data.</summary>
    Access = 1 << 4,
    /// <summary>Changes existing data.</summary>
    Update = 1 << 5,
    /// <summary>Adds data.</summary>
    Insert = 1 << 6,
    /// <summary>Deletes data from the value or the key itself.</summary>
    Delete = 1 << 7,
    /// <summary>Not a key, but routed like one (shard channels).</summary>
    NotKey = 1 << 8,
    /// <summary>The spec may name too few keys.</summary>
    Incomplete = 1 << 9,
    /// <summary>The access depends on the arguments.</summary>
    VariableFlags = 1 << 10,
}

/// <summary>Where a command's keys stand among its arguments: begin search and find keys, as in COMMAND INFO.</summary>
public sealed class KeySpec
{
    /// <summary>How the keys are accessed.</summary>
    public KeyAccess Access { get; private init; }

    /// <summary>Index of the first key; 0 when a keyword is searched for, -1 when unknown.</summary>
    public int Index { get; private init; }

    /// <summary>The keyword after which keys begin, or null.</summary>
    public string? Keyword { get; private init; }

    /// <summary>Where the search for the keyword starts (negative: from the end).</summary>
    public int StartFrom { get; private init; }

    /// <summary>Relative index of the last key (negative: from the end), when keys stand in a range.</summary>
    public int LastKey { get; private init; }

    /// <summary>Distance between keys.</summary>
    public int Step { get; private init; } = 1;

    /// <summary>For a negative <see cref="LastKey"/>: only the first 1/limit of the rest are keys (0 and 1: all).</summary>
    public int Limit { get; private init; }

    /// <summary>For numkeys commands: offset of the number from the start; -1 when the keys stand in a range; -2 when unknown.</summary>
    public int KeyNumIndex { get; private init; } = -1;

    /// <summary>For numkeys commands: offset of the first key from the start.</summary>
    public int FirstKeyOffset { get; private init; }

    /// <summary>A note for people, or null.</summary>
    public string? Notes { get; init; }

    /// <summary>Keys begin at <paramref name="index"/>; the last is <paramref name="last"/> further on (negative: from the end).</summary>
    public static KeySpec At(int index, KeyAccess access, int last = 0, int step = 1, int limit = 0, string? notes = null) =>
        new() { Index = index, Access = access, LastKey = last, Step = step, Limit = limit, Notes = notes };

    /// <summary>The argument at <paramref name="index"/> counts the keys that follow it.</summary>
    public static KeySpec Counted(int index, KeyAccess access, int keyNumIndex = 0, int firstKey = 1, int step = 1, string? notes = null) =>
        new() { Index = index, Access = access, KeyNumIndex = keyNumIndex, FirstKeyOffset = firstKey, Step = step, Notes = notes };

    /// <summary>Keys follow a keyword.</summary>
    public static KeySpec After(string keyword, int startFrom, KeyAccess access, int last = 0, int step = 1, int limit = 0, string? notes = null) =>
        new() { Keyword = keyword, StartFrom = startFrom, Access = access, LastKey = last, Step = step, Limit = limit, Notes = notes };

    /// <summary>Keys that cannot be told from the arguments (SORT BY).</summary>
    public static KeySpec Unknown(KeyAccess access, string? notes = null) =>
        new() { Index = -1, Access = access, KeyNumIndex = -2, Notes = notes };
}

/// <summary>The kinds of argument in COMMAND DOCS.</summary>
public enum ArgKind
{
    /// <summary>A string.</summary>
    String,
    /// <summary>An integer.</summary>
    Integer,
    /// <summary>A double.</summary>
    Double,
    /// <summary>A key.</summary>
    Key,
    /// <summary>A glob pattern.</summary>
    Pattern,
    /// <summary>A Unix time.</summary>
    UnixTime,
    /// <summary>A bare word.</summary>
    PureToken,
    /// <summary>One of several.</summary>
    OneOf,
    /// <summary>Several together.</summary>
    Block,
}

/// <summary>One argument of a command, as COMMAND DOCS describes it. Arguments nest.</summary>
public sealed class Arg
{
    private Arg(string name, ArgKind kind) { Name = name; Kind = kind; DisplayText = kind is ArgKind.OneOf or ArgKind.Block ? null : name; }

    /// <summary>The argument's name.</summary>
    public string Name { get; }
    /// <summary>Its kind.</summary>
    public ArgKind Kind { get; }
    /// <summary>How help texts show it; null for groups.</summary>
    public string? DisplayText { get; private set; }
    /// <summary>The word before it, or null.</summary>
    public string? TokenText { get; private set; }
    /// <summary>Index of the key spec that it belongs to, or -1.</summary>
    public int KeySpecIndex { get; private set; } = -1;
    /// <summary>May be left out.</summary>
    public bool IsOptional { get; private set; }
    /// <summary>May be repeated.</summary>
    public bool IsMultiple { get; private set; }
    /// <summary>The token stands before each repetition.</summary>
    public bool IsMultipleToken { get; private set; }
    /// <summary>Version in which it came, or null.</summary>
    public string? SinceVersion { get; private set; }
    /// <summary>Version in which it was deprecated, or null.</summary>
    public string? DeprecatedSinceVersion { get; private set; }
    /// <summary>The arguments of a group.</summary>
    public IReadOnlyList<Arg> Children { get; private init; } = [];

    /// <summary>A key that belongs to key spec number <paramref name="spec"/>.</summary>
    public static Arg Key(string name, int spec = 0) => new(name, ArgKind.Key) { KeySpecIndex = spec };
    /// <summary>A string.</summary>
    public static Arg String(string name) => new(name, ArgKind.String);
    /// <summary>An integer.</summary>
    public static Arg Integer(string name) => new(name, ArgKind.Integer);
    /// <summary>A double.</summary>
    public static Arg Double(string name) => new(name, ArgKind.Double);
    /// <summary>A pattern; of keys when <paramref name="spec"/> is given.</summary>
    public static Arg Pattern(string name, int spec = -1) => new(name, ArgKind.Pattern) { KeySpecIndex = spec };
    /// <summary>A Unix time.</summary>
    public static Arg UnixTime(string name) => new(name, ArgKind.UnixTime);
    /// <summary>A bare word.</summary>
    public static Arg Word(string name, string token) => new(name, ArgKind.PureToken) { TokenText = token };
    /// <summary>One of several arguments.</summary>
    public static Arg OneOf(string name, params Arg[] children) => new(name, ArgKind.OneOf) { Children = children };
    /// <summary>Several arguments together.</summary>
    public static Arg Block(string name, params Arg[] children) => new(name, ArgKind.Block) { Children = children };

    /// <summary>Marks it as one that may be left out.</summary>
    public Arg Optional() { IsOptional = true; return this; }
    /// <summary>Marks it as one that may be repeated.</summary>
    public Arg Multiple() { IsMultiple = true; return this; }
    /// <summary>Marks it as one that may be repeated together with its token.</summary>
    public Arg MultipleWithToken() { IsMultiple = true; IsMultipleToken = true; return this; }
    /// <summary>Sets the word before it.</summary>
    public Arg Token(string token) { TokenText = token; return this; }
    /// <summary>Sets the version in which it came.</summary>
    public Arg Since(string version) { SinceVersion = version; return this; }
    /// <summary>Sets the version in which it was deprecated.</summary>
    public Arg Deprecated(string version) { DeprecatedSinceVersion = version; return this; }
    /// <summary>Sets another text to show than its name.</summary>
    public Arg Shown(string text) { DisplayText = text; return this; }
}

/// <summary>
/// Everything there is to know of one command, and the only place that says it: arity, flags, keys, rights, documentation
/// and handler. COMMAND INFO, DOCS, GETKEYS and LIST, the dispatcher's checks and the docs page all read it.
/// </summary>
/// <param name="name">Name in lower case; a subcommand's own word only.</param>
/// <param name="arity">Number of words, the command's own (and its container's) included; negative: at least that many.</param>
public sealed unsafe class CommandSpec(string name, int arity)
{
    private static int _count;

    /// <summary>Name in lower case; a subcommand's own word only.</summary>
    public string Name { get; } = name;
    /// <summary>Number of words; negative: at least that many.</summary>
    public int Arity { get; } = arity;
    /// <summary>The version of Redis (or Leither) in which it came.</summary>
    public string Since { get; init; } = "1.0.0";
    /// <summary>Family.</summary>
    public CommandGroup Group { get; init; }
    /// <summary>One line for people.</summary>
    public string Summary { get; init; } = "";
    /// <summary>Cost.</summary>
    public string Complexity { get; init; } = "";
    /// <summary>Flags.</summary>
    public CommandFlags Flags { get; init; }
    /// <summary>ACL categories beyond those that follow from flags and group, without the @ ("dangerous", "keyspace", …).</summary>
    public string[] Categories { get; init; } = [];
    /// <summary>Where the keys are.</summary>
    public KeySpec[] Keys { get; init; } = [];
    /// <summary>Arguments for COMMAND DOCS.</summary>
    public Arg[] Args { get; init; } = [];
    /// <summary>Changes over the versions: version, what changed.</summary>
    public (string Version, string Change)[] History { get; init; } = [];
    /// <summary>Hints for proxies and clients (COMMAND INFO's tips).</summary>
    public string[] Tips { get; init; } = [];
    /// <summary>Version in which it was deprecated, or null.</summary>
    public string? DeprecatedSince { get; init; }
    /// <summary>What to use instead of a deprecated one.</summary>
    public string? ReplacedBy { get; init; }
    /// <summary>Documentation flag "syscmd": used by servers among themselves.</summary>
    public bool IsSystem { get; init; }
    /// <summary>Subcommands; empty for a plain command.</summary>
    public CommandSpec[] Subcommands { get; init; } = [];
    /// <summary>The code.</summary>
    public delegate*<CommandContext, void> Handler { get; init; }
    /// <summary>Adds the argument indices of the keys where key specs alone cannot tell; null otherwise. False: syntax error.</summary>
    public Func<ArgView, List<KeyPosition>, bool>? FindKeys { get; init; }

    /// <summary>The container, of a subcommand.</summary>
    public CommandSpec? Parent { get; internal set; }
    /// <summary>"config|get" for a subcommand, the name otherwise.</summary>
    public string FullName => Parent is null ? Name : Parent.Name + "|" + Name;
    /// <summary>Index of the first key when it is fixed, else 0: the dispatcher hashes and prefetches it.</summary>
    public int FirstKey { get; internal set; }
    /// <summary>Whether it is over at once whatever it is given: flagged fast, or of constant cost. Such commands are timed now and then only.</summary>
    public bool IsQuick { get; internal set; }
    /// <summary>How it uses channels, for the rights to them.</summary>
    public ChannelUse Channels { get; init; }
    /// <summary>The ACL categories that it belongs to, a bit each.</summary>
    internal uint CategoryBits { get; set; }
    /// <summary>A number of its own, from 0; what servers count by command is found by it.</summary>
    internal int Id { get; } = Interlocked.Increment(ref _count) - 1;
    /// <summary>How many there are so far.</summary>
    internal static int Count => Volatile.Read(ref _count);

    /// <summary>What a user whom a MiMei's list of rights let in needs for it; null: it is about no MiMei, or not for such users.</summary>
    internal Rights.MimeiNeed? Need { get; init; }

    /// <summary>May be run by a RESP2 client that has subscribed.</summary>
    public bool AllowedWhileSubscribed { get; init; }
    /// <summary>Whether a flag is set.</summary>
    public bool Has(CommandFlags flag) => (Flags & flag) != 0;
    /// <summary>Whether a number of words fits.</summary>
    public bool Accepts(int words) => Arity >= 0 ? words == Arity : words >= -Arity;
}

/// <summary>What a command does with the channels that it names.</summary>
public enum ChannelUse
{
    /// <summary>It names none, or none that takes a right.</summary>
    None,
    /// <summary>Its first argument is a channel to publish to.</summary>
    Publish,
    /// <summary>All its arguments are channels to subscribe to.</summary>
    Subscribe,
    /// <summary>All its arguments are patterns to subscribe to.</summary>
    SubscribeToPatterns,
}

/// <summary>One key among a command's arguments and how it is used.</summary>
/// <param name="Index">Argument index.</param>
/// <param name="Access">Use.</param>
public readonly record struct KeyPosition(int Index, KeyAccess Access);

/// <summary>Counters of one command, for INFO commandstats.</summary>
public sealed class CommandStats
{
    /// <summary>Calls that ran.</summary>
    public long Calls { get; set; }
    /// <summary>Time in them, in ticks of <see cref="System.Diagnostics.Stopwatch"/>.</summary>
    public long Ticks { get; set; }
    /// <summary>How long calls took; null until one was timed.</summary>
    public LatencyHistogram? Latency { get; set; }
    /// <summary>Refused before running.</summary>
    public long Rejected { get; set; }
    /// <summary>Ran and replied an error.</summary>
    public long Failed { get; set; }
    /// <summary>Back to zero (CONFIG RESETSTAT).</summary>
    public void Reset()
    {
        Calls = Ticks = Rejected = Failed = 0;
        Latency = null;
    }
}
