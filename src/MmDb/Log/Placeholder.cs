// Stands in until the write log is merged: delete this file then.
#pragma warning disable
namespace Leither.MmDb.Log;

public sealed unsafe partial class WriteLog : IDisposable { public void Dispose() { } public bool InEntry; public void Begin(ulong t) { } public ulong End() => 0; public byte* Reserve(int n) => null; public void Commit(int n) { } public void Write(byte* p, long n) { } public bool HasUnwritten => false; public void Flush() { } public bool CanAccept(long n, out LogError e) { e = default; return true; } }
public record struct LogError(string Text);
public struct HybridClock { public ulong Next(long ms) => (ulong)ms << 16; }
