// Stands in until Quicklist is merged: delete this file then.
namespace Leither.MmDb.Values;
#pragma warning disable
public unsafe struct Quicklist { public long NodeCount; public bool DropHeadNode(Leither.MmDb.Memory.NativeHeap h) => false; public static void Destroy(Leither.MmDb.Memory.NativeHeap h, Quicklist* q) { } }
