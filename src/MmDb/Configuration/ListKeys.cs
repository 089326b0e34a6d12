using System.Globalization;

namespace Leither.MmDb.Configuration;

/// <summary>A list of words: addresses to bind to.</summary>
public sealed class WordsKey : ConfigKey<IReadOnlyList<string>>
{
    private readonly int _most;
    private readonly string _tooMany;
    private readonly Func<string, string?>? _check;

    internal WordsKey(string name, ConfigFlags flags, IReadOnlyList<string> defaultValue, int most, string tooMany, Func<string, string?>? check = null)
        : base(name, null, flags | ConfigFlags.MultipleArguments, defaultValue)
    {
        _most = most;
        _tooMany = tooMany;
        _check = check;
    }

    internal override bool Same(object a, object b) => ((IReadOnlyList<string>)a).SequenceEqual((IReadOnlyList<string>)b);

    internal override IEnumerable<(string Line, bool Needed)> Write(string name, object value) =>
        Same(value, Default) ? [] : [($"{name} {ShowInFile((IReadOnlyList<string>)value)}", true)];

    private protected override bool TryRead(
        IReadOnlyList<string> arguments, IReadOnlyList<string> current, bool adds, out IReadOnlyList<string> value, out string? error)
    {
        value = arguments is [""] ? [] : [.. arguments];
        error = value.Count > _most ? _tooMany : _check is null ? null : value.Select(_check).FirstOrDefault(static e => e is not null);
        return error is null;
    }

    private protected override string ShowValue(IReadOnlyList<string> value) => string.Join(' ', value);

    private protected override string ShowInFile(IReadOnlyList<string> value) => value.Count == 0 ? "\"\"" : ShowValue(value);
}

/// <summary>A checkpoint is made when so many changes are so many seconds old.</summary>
/// <param name="Seconds">Age of the oldest change.</param>
/// <param name="Changes">Number of changes.</param>
public readonly record struct SavePoint(long Seconds, long Changes);

/// <summary><c>save</c> and its like: pairs of seconds and a number. Lines of a file add up, and the first one replaces the default.</summary>
public sealed class SavePointsKey : ConfigKey<IReadOnlyList<SavePoint>>
{
    private readonly string _invalid;

    internal SavePointsKey(string name, IReadOnlyList<SavePoint> defaultValue, string invalid) : base(name, null, ConfigFlags.MultipleArguments, defaultValue) =>
        _invalid = invalid;

    internal override bool Same(object a, object b) => ((IReadOnlyList<SavePoint>)a).SequenceEqual((IReadOnlyList<SavePoint>)b);

    internal override IEnumerable<(string Line, bool Needed)> Write(string name, object value)
    {
        IReadOnlyList<SavePoint> points = (IReadOnlyList<SavePoint>)value;
        return Default.Count == 0 && points.Count == 0 ? []
            : points.Count == 0 ? [($"{name} \"\"", true)] : points.Select(p => ($"{name} {p.Seconds} {p.Changes}", true));
    }

    private protected override bool TryRead(
        IReadOnlyList<string> arguments, IReadOnlyList<SavePoint> current, bool adds, out IReadOnlyList<SavePoint> value, out string? error)
    {
        bool none = arguments is [""];
        List<SavePoint> points = adds && !none ? [.. current] : [];
        value = points;
        error = _invalid;
        if (none)
        {
            error = null;
            return true;
        }

        if (arguments.Count % 2 != 0)
        {
            return false;
        }

        for (int i = 0; i < arguments.Count; i += 2)
        {
            if (!ConfigText.TryParseLoosely(arguments[i], out long seconds) || seconds < 1
                || !ConfigText.TryParseLoosely(arguments[i + 1], out long changes) || changes < 0)
            {
                return false;
            }

            points.Add(new SavePoint(seconds, changes));
        }

        error = null;
        return true;
    }

    private protected override string ShowValue(IReadOnlyList<SavePoint> value) => string.Join(' ', value.Select(p => $"{p.Seconds} {p.Changes}"));
}

/// <summary>How much output may wait for a client before it is disconnected; 0 means no limit.</summary>
/// <param name="HardBytes">Never more than this.</param>
/// <param name="SoftBytes">Not more than this for <paramref name="SoftSeconds"/>.</param>
/// <param name="SoftSeconds">How long the soft limit may be exceeded.</param>
public readonly record struct OutputBufferLimit(long HardBytes, long SoftBytes, long SoftSeconds);

/// <summary>The limits of the three classes of clients.</summary>
/// <param name="Normal">Ordinary clients.</param>
/// <param name="Replica">Followers.</param>
/// <param name="PubSub">Clients that subscribed to something.</param>
public sealed record OutputBufferLimits(OutputBufferLimit Normal, OutputBufferLimit Replica, OutputBufferLimit PubSub);

/// <summary><c>client-output-buffer-limit</c>: class, hard limit, soft limit, seconds; once or several times.</summary>
public sealed class OutputBufferLimitsKey : ConfigKey<OutputBufferLimits>
{
    internal OutputBufferLimitsKey(string name, OutputBufferLimits defaultValue) : base(name, null, ConfigFlags.MultipleArguments, defaultValue)
    {
    }

    internal override IEnumerable<(string Line, bool Needed)> Write(string name, object value)
    {
        OutputBufferLimits limits = (OutputBufferLimits)value;
        return
        [
            ($"{name} normal {ShowInFile(limits.Normal)}", limits.Normal != Default.Normal),
            ($"{name} replica {ShowInFile(limits.Replica)}", limits.Replica != Default.Replica),
            ($"{name} pubsub {ShowInFile(limits.PubSub)}", limits.PubSub != Default.PubSub),
        ];
    }

    private protected override bool TryRead(
        IReadOnlyList<string> arguments, OutputBufferLimits current, bool adds, out OutputBufferLimits value, out string? error)
    {
        value = current;
        if (arguments.Count % 4 != 0)
        {
            error = "Wrong number of arguments in buffer limit configuration.";
            return false;
        }

        for (int i = 0; i < arguments.Count; i += 4)
        {
            string clientClass = arguments[i].ToLowerInvariant();
            if (clientClass is not ("normal" or "slave" or "replica" or "pubsub"))
            {
                error = "Invalid client class specified in buffer limit configuration.";
                return false;
            }

            if (!ConfigText.TryParseMemory(arguments[i + 1], out long hard)
                || !ConfigText.TryParseMemory(arguments[i + 2], out long soft)
                || !ConfigText.TryParseLoosely(arguments[i + 3], out long seconds)
                || seconds < 0)
            {
                error = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
                return false;
            }

            OutputBufferLimit limit = new(hard, soft, seconds);
            value = clientClass switch
            {
                "normal" => value with { Normal = limit },
                "pubsub" => value with { PubSub = limit },
                _ => value with { Replica = limit },
            };
        }

        error = null;
        return true;
    }

    private protected override string ShowValue(OutputBufferLimits value) =>
        $"normal {Plain(value.Normal)} slave {Plain(value.Replica)} pubsub {Plain(value.PubSub)}";

    private static string Plain(OutputBufferLimit limit) => $"{(ulong)limit.HardBytes} {(ulong)limit.SoftBytes} {limit.SoftSeconds}";

    private static string ShowInFile(OutputBufferLimit limit) =>
        $"{ConfigText.FormatMemory(limit.HardBytes)} {ConfigText.FormatMemory(limit.SoftBytes)} {limit.SoftSeconds}";
}

/// <summary><c>notify-keyspace-events</c>: a letter for each class.</summary>
public sealed class KeyspaceEventsKey : ConfigKey<KeyspaceEvents>
{
    /// <summary>In the order in which they are shown.</summary>
    private static readonly (char Letter, KeyspaceEvents Event)[] _letters =
    [
        ('A', KeyspaceEvents.All), ('g', KeyspaceEvents.Generic), ('$', KeyspaceEvents.String), ('l', KeyspaceEvents.List),
        ('s', KeyspaceEvents.Set), ('h', KeyspaceEvents.Hash), ('z', KeyspaceEvents.SortedSet), ('x', KeyspaceEvents.Expired),
        ('e', KeyspaceEvents.Evicted), ('t', KeyspaceEvents.Stream), ('d', KeyspaceEvents.Module), ('n', KeyspaceEvents.New),
        ('K', KeyspaceEvents.Keyspace), ('E', KeyspaceEvents.Keyevent), ('m', KeyspaceEvents.KeyMiss),
    ];

    internal KeyspaceEventsKey(string name) : base(name, null, ConfigFlags.None, KeyspaceEvents.None)
    {
    }

    private protected override bool TryRead(
        IReadOnlyList<string> arguments, KeyspaceEvents current, bool adds, out KeyspaceEvents value, out string? error)
    {
        value = KeyspaceEvents.None;
        error = null;
        foreach (char letter in arguments[0])
        {
            int at = Array.FindIndex(_letters, l => l.Letter == letter);
            if (at < 0)
            {
                error = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
                return false;
            }

            value |= _letters[at].Event;
        }

        return true;
    }

    private protected override string ShowValue(KeyspaceEvents value)
    {
        bool all = (value & KeyspaceEvents.All) == KeyspaceEvents.All;
        // Where A stands, it stands for the single letters too; n is not shown beside it, as in Redis.
        return string.Concat(_letters
            .Where(l => l.Letter == 'A' ? all : (value & l.Event) != 0 && !(all && (KeyspaceEvents.All | KeyspaceEvents.New).HasFlag(l.Event)))
            .Select(l => l.Letter));
    }

    private protected override string ShowInFile(KeyspaceEvents value) => ConfigText.Quote(ShowValue(value));
}

/// <summary>A fixed number of whole numbers between two bounds.</summary>
public sealed class NumbersKey : ConfigKey<IReadOnlyList<long>>
{
    private readonly long _least;
    private readonly long _most;
    private readonly string _outOfBounds;

    internal NumbersKey(string name, ConfigFlags flags, IReadOnlyList<long> defaultValue, long least, long most, string outOfBounds)
        : base(name, null, flags | ConfigFlags.MultipleArguments, defaultValue)
    {
        _least = least;
        _most = most;
        _outOfBounds = outOfBounds;
    }

    internal override bool Same(object a, object b) => ((IReadOnlyList<long>)a).SequenceEqual((IReadOnlyList<long>)b);

    private protected override bool TryRead(
        IReadOnlyList<string> arguments, IReadOnlyList<long> current, bool adds, out IReadOnlyList<long> value, out string? error)
    {
        List<long> numbers = [];
        value = numbers;
        error = arguments.Count == Default.Count ? null : "wrong number of arguments";
        foreach (string argument in error is null ? arguments : [])
        {
            if (!ConfigText.TryParseLoosely(argument, out long number) || number < _least || number > _most)
            {
                error = _outOfBounds;
            }

            numbers.Add(number);
        }

        return error is null;
    }

    private protected override string ShowValue(IReadOnlyList<long> value) => string.Join(' ', value);
}

/// <summary><c>latency-tracking-info-percentiles</c>: any number of percentiles.</summary>
public sealed class PercentilesKey : ConfigKey<IReadOnlyList<double>>
{
    internal PercentilesKey(string name, ConfigFlags flags, IReadOnlyList<double> defaultValue)
        : base(name, null, flags | ConfigFlags.MultipleArguments, defaultValue)
    {
    }

    internal override bool Same(object a, object b) => ((IReadOnlyList<double>)a).SequenceEqual((IReadOnlyList<double>)b);

    private protected override bool TryRead(
        IReadOnlyList<string> arguments, IReadOnlyList<double> current, bool adds, out IReadOnlyList<double> value, out string? error)
    {
        List<double> percentiles = [];
        value = percentiles;
        error = null;
        foreach (string argument in arguments is [""] ? [] : arguments)
        {
            if (!double.TryParse(argument, NumberStyles.Float, CultureInfo.InvariantCulture, out double percentile))
            {
                error = "Invalid latency-tracking-info-percentiles parameters";
                return false;
            }

            if (percentile is not (>= 0 and <= 100))
            {
                error = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
                return false;
            }

            percentiles.Add(percentile);
        }

        return true;
    }

    private protected override string ShowValue(IReadOnlyList<double> value) =>
        string.Join(' ', value.Select(p => p.ToString("0.######", CultureInfo.InvariantCulture)));

    private protected override string ShowInFile(IReadOnlyList<double> value) => value.Count == 0 ? "\"\"" : ShowValue(value);
}

/// <summary>The node that another one follows in the old way of Redis.</summary>
/// <param name="Host">Its host; empty when there is none.</param>
/// <param name="Port">Its port.</param>
public sealed record ReplicaSource(string Host, int Port)
{
    /// <summary>No source.</summary>
    public static ReplicaSource None { get; } = new("", 0);
}

/// <summary><c>replicaof</c>: host and port, or <c>no one</c>.</summary>
public sealed class ReplicaSourceKey : ConfigKey<ReplicaSource>
{
    internal ReplicaSourceKey(string name, string alias, ConfigFlags flags)
        : base(name, alias, flags | ConfigFlags.MultipleArguments, ReplicaSource.None)
    {
    }

    internal override IEnumerable<(string Line, bool Needed)> Write(string name, object value) =>
        Same(value, Default) ? [] : [($"{name} {ShowValue((ReplicaSource)value)}", true)];

    private protected override bool TryRead(
        IReadOnlyList<string> arguments, ReplicaSource current, bool adds, out ReplicaSource value, out string? error)
    {
        value = ReplicaSource.None;
        error = null;
        if (arguments.Count != 2)
        {
            error = "wrong number of arguments";
            return false;
        }

        if (arguments[0].Equals("no", StringComparison.OrdinalIgnoreCase) && arguments[1].Equals("one", StringComparison.OrdinalIgnoreCase))
        {
            return true;
        }

        if (!ConfigText.TryParseLoosely(arguments[1], out long port) || port is < 0 or > 65535)
        {
            error = "Invalid master port";
            return false;
        }

        value = new ReplicaSource(arguments[0], (int)port);
        return true;
    }

    private protected override string ShowValue(ReplicaSource value) => value.Host.Length == 0 ? "" : $"{value.Host} {value.Port}";
}
