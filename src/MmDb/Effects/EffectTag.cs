namespace Leither.MmDb;

/// <summary>
/// Every way in which data can change. This page is what the log carries and what followers apply: an effect's tag and layout
/// are stored and never change; new ones take new numbers.
/// </summary>
/// <remarks>
/// Layout words: <c>key</c> and <c>bytes</c> are a varint length and the bytes; <c>n</c> a varint (LEB128, unsigned);
/// <c>z</c> a zigzag varint; <c>i64</c> and <c>f64</c> eight bytes, little-endian. An effect acts on the database that the last
/// <see cref="Select"/> of its entry named, 0 at first. Applying one is total: where it does not fit (another type, nothing
/// there) it is a recorded no-op on every node alike.
/// </remarks>
public enum EffectTag : byte
{
    /// <summary>Never written: a zero byte ends nothing and starts nothing.</summary>
    None = 0,

    /// <summary><c>n database</c>: the effects after it act there.</summary>
    Select = 1,
    /// <summary><c>key</c>: the key goes.</summary>
    Delete = 2,
    /// <summary><c>key, i64 T</c>: the key goes if it expires at or before T (Unix milliseconds).</summary>
    Expire = 3,
    /// <summary><c>key, i64 at</c>: the key expires at that instant (Unix milliseconds).</summary>
    ExpireAt = 4,
    /// <summary><c>key</c>: the key no longer expires.</summary>
    Persist = 5,
    /// <summary><c>key from, key to</c>: the value moves, with its expiry; what was at <c>to</c> goes.</summary>
    Rename = 6,
    /// <summary><c>key from, n database, key to</c>: the value is copied, with its expiry; what was at <c>to</c> goes.</summary>
    Copy = 7,
    /// <summary><c>key, n database</c>: the key moves there; nothing happens if it is taken.</summary>
    Move = 8,
    /// <summary>The database is emptied.</summary>
    FlushDatabase = 9,
    /// <summary>All databases are emptied.</summary>
    FlushAll = 10,
    /// <summary><c>n a, n b</c>: two databases change places.</summary>
    SwapDatabases = 11,
    /// <summary><c>key, i64 at, bytes</c>: the key becomes the value of an RDB type byte and what follows it; it expires at that instant, if that is not 0.</summary>
    Restore = 12,

    /// <summary><c>key, bytes</c>: a string without expiry.</summary>
    StringSet = 16,
    /// <summary><c>key, i64 at, bytes</c>: a string that expires at that instant.</summary>
    StringSetExpiring = 17,
    /// <summary><c>key, bytes</c>: a string; the expiry of the key stays.</summary>
    StringSetKeepExpiry = 18,
    /// <summary><c>key, z delta</c>: adds to an integer; a missing key counts as 0.</summary>
    StringAdd = 19,
    /// <summary><c>key, bytes</c>: appends.</summary>
    StringAppend = 20,
    /// <summary><c>key, n offset, bytes</c>: overwrites from there, after zeros where the string was shorter.</summary>
    StringSetRange = 21,
    /// <summary><c>key, n offset, n bit</c>: one bit.</summary>
    StringSetBit = 22,
    /// <summary><c>key destination, n operation, n count, key…</c>: BITOP's operation 0 AND, 1 OR, 2 XOR, 3 NOT.</summary>
    StringBitOp = 23,
    /// <summary><c>key, n offset, n width, i64 value</c>: BITFIELD; the width's low bits of the value stand at that bit offset, after zeros where the string was shorter.</summary>
    StringSetBits = 24,
    /// <summary><c>key, n limit, n count, bytes element…</c>: PFADD; the limit is that of the sparse form's length.</summary>
    HyperLogLogAdd = 25,
    /// <summary><c>key destination, n limit, n count, key…</c>: PFMERGE.</summary>
    HyperLogLogMerge = 26,
    /// <summary><c>key</c>: a HyperLogLog keeps its estimate.</summary>
    HyperLogLogCount = 27,
    /// <summary><c>key</c>: a sparse HyperLogLog becomes a dense one.</summary>
    HyperLogLogDensify = 28,

    /// <summary><c>key, bytes field, bytes value</c>: the field has that value, and no expiry.</summary>
    HashSet = 32,
    /// <summary><c>key, n count, bytes field…</c>.</summary>
    HashRemove = 33,
    /// <summary><c>key, bytes field, z delta</c>.</summary>
    HashAdd = 34,
    /// <summary><c>key, n count, bytes field or value…</c>: as <see cref="HashSet"/>, for fields and values in turn; the count is of both.</summary>
    HashSetMany = 35,
    /// <summary><c>key, i64 at, n count, bytes field…</c>: the fields that are there expire at that instant (Unix milliseconds).</summary>
    HashExpireAt = 36,
    /// <summary><c>key, n count, bytes field…</c>: the fields no longer expire.</summary>
    HashPersist = 37,
    /// <summary><c>key, i64 T, n count, bytes field…</c>: the fields go that expire at or before T.</summary>
    HashExpireFields = 38,
    /// <summary><c>key, n count, bytes field or value…</c>: as <see cref="HashSetMany"/>; the fields' expiry stays.</summary>
    HashSetKeepExpiry = 39,

    /// <summary><c>key, n side, n count, bytes element…</c>: pushes in the given order; side 0 is the head, 1 the tail.</summary>
    ListPush = 48,
    /// <summary><c>key, n side, n count</c>: removes so many elements from that side.</summary>
    ListPop = 49,
    /// <summary><c>key, z index, bytes</c>: replaces one element.</summary>
    ListSet = 50,
    /// <summary><c>key, n index, bytes</c>: the element then stands at that index.</summary>
    ListInsert = 51,
    /// <summary><c>key, z count, bytes</c>: LREM.</summary>
    ListRemove = 52,
    /// <summary><c>key, z start, z stop</c>: LTRIM.</summary>
    ListTrim = 53,
    /// <summary><c>key from, key to, n sideFrom, n sideTo</c>: one element moves.</summary>
    ListMove = 54,
    /// <summary><c>key, n count, bytes element…</c>: the key becomes this list (SORT STORE).</summary>
    ListStore = 55,

    /// <summary><c>key, n count, bytes member…</c>.</summary>
    SetAdd = 64,
    /// <summary><c>key, n count, bytes member…</c>.</summary>
    SetRemove = 65,
    /// <summary><c>key destination, n operation, n count, key…</c>: 0 union, 1 intersection, 2 difference.</summary>
    SetStore = 66,

    /// <summary><c>key, byte conditions, n count, (f64 score, bytes member)…</c>: the members get these scores where the conditions (<see cref="SortedSetConditions"/>) allow it.</summary>
    SortedSetAdd = 80,
    /// <summary><c>key, n count, bytes member…</c>.</summary>
    SortedSetRemove = 81,
    /// <summary><c>key, n first, n last</c>: removes the members of these ranks.</summary>
    SortedSetRemoveRange = 82,
    /// <summary><c>key destination, byte operation, byte aggregate, n count, (f64 weight, key)…</c>: operation as in <see cref="SetStore"/>, aggregate 0 sum, 1 min, 2 max.</summary>
    SortedSetStore = 83,
    /// <summary><c>key, byte 0, n count, (f64 score, bytes member)…</c>: the key becomes this sorted set (ZRANGESTORE).</summary>
    SortedSetReplace = 84,

    /// <summary><c>key</c>: an empty stream, where there is nothing.</summary>
    StreamCreate = 128,
    /// <summary><c>key, n ms, n seq, byte beginsNode, n count, bytes field or value…</c>: an entry above all others; the count is of both.</summary>
    StreamAdd = 129,
    /// <summary><c>key, ids</c>, which are <c>n count, (z ms more than the one before, n seq)…</c>: the entries go.</summary>
    StreamDelete = 130,
    /// <summary><c>key, n count, byte dropsEmptied</c>: the first entries go; if said so, nodes behind them of which nothing is left as well.</summary>
    StreamTrim = 131,
    /// <summary><c>key, n ms, n seq</c>: the entries below that id go.</summary>
    StreamTrimBefore = 132,
    /// <summary><c>key, n ms, n seq, z entriesAdded, n ms, n seq</c>: last id, entries ever added (-1: as it is), largest deleted id (0-0: as it is).</summary>
    StreamSetId = 133,
    /// <summary><c>key, n ms, n seq, bytes</c>: a node of entries as it is (StreamNode), behind all others; the stream is made where there is nothing.</summary>
    StreamAppendNode = 134,
    /// <summary><c>key, bytes group, n ms, n seq, z entriesRead</c>: a group that has read up to that id; the stream is made where there is nothing.</summary>
    StreamGroupCreate = 135,
    /// <summary><c>key, bytes group, n ms, n seq, z entriesRead</c>: what the group has read.</summary>
    StreamGroupSetId = 136,
    /// <summary><c>key, bytes group</c>: the group goes.</summary>
    StreamGroupDestroy = 137,
    /// <summary><c>key, bytes group, bytes consumer, i64 seen, i64 active</c>: a consumer (Unix milliseconds; active -1: never).</summary>
    StreamConsumerCreate = 138,
    /// <summary><c>key, bytes group, bytes consumer</c>: the consumer goes, with what is pending with it.</summary>
    StreamConsumerDelete = 139,
    /// <summary><c>key, bytes group, bytes consumer, i64 seen</c>: the consumer was heard of.</summary>
    StreamConsumerSeen = 140,
    /// <summary>
    /// <c>key, bytes group, bytes consumer, i64 time, n ms, n seq, z entriesRead, ids</c>: the group has read up to that id, and the entries are
    /// pending with the consumer, delivered once, at that time.
    /// </summary>
    StreamDeliver = 141,
    /// <summary><c>key, bytes group, bytes consumer, i64 time, ids</c>: pending entries were delivered once more.</summary>
    StreamRedeliver = 142,
    /// <summary>
    /// <c>key, bytes group, bytes consumer, i64 time, n count, (n ms, n seq, i64 delivered, n deliveries)…</c>: the entries are pending with
    /// the consumer, which was active at that time (0: its times stay).
    /// </summary>
    StreamClaim = 143,
    /// <summary><c>key, bytes group, ids</c>: the entries are no longer pending.</summary>
    StreamAcknowledge = 144,

    /// <summary><c>bytes name, bytes code</c>: the function library has that source.</summary>
    FunctionLoad = 176,
    /// <summary><c>bytes name</c>: the function library goes.</summary>
    FunctionDelete = 177,
    /// <summary>All function libraries go.</summary>
    FunctionFlush = 178,

    /// <summary><c>bytes cid</c>: the files are those of this root, a CID in binary; none where it is empty.</summary>
    FilesSet = 180,
}
