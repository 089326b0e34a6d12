namespace Leither.MmDb.Values;

/// <summary>The types of value. The numbers are stored in records and in checkpoints and never change.</summary>
public enum DataType : byte
{
    /// <summary>A string.</summary>
    String = 0,
    /// <summary>A list.</summary>
    List = 1,
    /// <summary>A set.</summary>
    Set = 2,
    /// <summary>A sorted set.</summary>
    SortedSet = 3,
    /// <summary>A hash.</summary>
    Hash = 4,
    /// <summary>A stream.</summary>
    Stream = 5,
}

/// <summary>How a value is held; OBJECT ENCODING reports it by Redis's names.</summary>
public enum DataEncoding : byte
{
    /// <summary>A string's bytes, in the record or outside of it.</summary>
    Raw = 0,
    /// <summary>A short string as SET made it (reported as embstr); the bytes are held as in <see cref="Raw"/>.</summary>
    Embstr = 1,
    /// <summary>A string that is a 64-bit integer, held as 8 bytes.</summary>
    Int = 2,
    /// <summary>A small collection in one <c>Pack</c> (reported as listpack).</summary>
    Pack = 3,
    /// <summary>A big hash or set: a key table of its own; the record holds its address.</summary>
    HashTable = 4,
    /// <summary>A big list; the record holds the address of its quicklist.</summary>
    Quicklist = 5,
    /// <summary>A set of integers: a sorted pack of integers.</summary>
    IntSet = 6,
    /// <summary>A big sorted set; the record holds its address (reported as skiplist).</summary>
    SortedTree = 7,
    /// <summary>A stream; the record holds its address.</summary>
    Stream = 8,
    /// <summary>A small hash of which fields may expire: a pack of field, value and instant in turn, 0 for none (reported as listpackex).</summary>
    ExpiringPack = 9,
    /// <summary>A big hash of which fields may expire: a <c>SortedSetStructure</c> whose tree holds those that do (reported as hashtable).</summary>
    ExpiringTable = 10,
}
