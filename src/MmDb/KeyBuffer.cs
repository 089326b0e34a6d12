using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Leither.MmDb.Memory;

namespace Leither.MmDb;

/// <summary>
/// Holds a copy of a key's name while its record goes: an effect still tells of the key when the record is freed already. One buffer
/// serves one key after another.
/// </summary>
internal sealed unsafe class KeyBuffer
{
    private byte[] _bytes = Allocate(64);

    /// <summary>The key of a record, with a name that lives until the next call.</summary>
    public Key Copy(Keyspace keyspace, byte* record)
    {
        ReadOnlySpan<byte> name = Record.KeySpan(record);
        if (_bytes.Length < name.Length)
        {
            _bytes = Allocate(name.Length);
        }

        name.CopyTo(_bytes);
        return keyspace.KeyOf((byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_bytes)), name.Length);
    }

    private static byte[] Allocate(int length) => GC.AllocateUninitializedArray<byte>(length, pinned: true);
}
