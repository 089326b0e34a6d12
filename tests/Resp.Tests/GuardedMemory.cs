// Memory that ends exactly where a page without access begins: whoever reads one byte too far dies at once, in the test that did it.

using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Leither.Resp.Tests;

/// <summary>Room for bytes whose end touches a page that nobody may read.</summary>
internal sealed unsafe class GuardedMemory : IDisposable
{
    private const int ProtNone = 0, ProtReadWrite = 3, MapPrivateAnonymous = 0x22;

    private readonly byte* _base;
    private readonly nint _size;
    private readonly nint _guard = Environment.SystemPageSize;

    public GuardedMemory(int capacity)
    {
        _size = (capacity + _guard - 1) / _guard * _guard;
        _base = (byte*)mmap(null, _size + _guard, ProtReadWrite, MapPrivateAnonymous, -1, 0);
        if (_base == (byte*)-1 || mprotect(_base + _size, _guard, ProtNone) != 0)
            throw new Win32Exception();
    }

    public int Capacity => (int)_size;

    /// <summary>Places bytes at the very end and returns where they begin. The address changes with the length.</summary>
    public byte* Place(ReadOnlySpan<byte> bytes)
    {
        byte* start = _base + _size - bytes.Length;
        bytes.CopyTo(new Span<byte>(start, bytes.Length));
        return start;
    }

    public void Dispose()
    {
        if (munmap(_base, _size + _guard) != 0)
            throw new Win32Exception();
    }

    [DllImport("libc", SetLastError = true)]
    private static extern void* mmap(void* address, nint length, int protection, int flags, int file, nint offset);

    [DllImport("libc", SetLastError = true)]
    private static extern int mprotect(void* address, nint length, int protection);

    [DllImport("libc", SetLastError = true)]
    private static extern int munmap(void* address, nint length);
}
