using BenchmarkDotNet.Attributes;
using Leither.Ipfs.Files;
using Leither.MmDb.Log;

namespace Leither.Bench;

/// <summary>
/// What the log costs a write: building an entry of 64 bytes, and its share of the write() that carries a turn's entries to the file. Each
/// iteration has a log of its own in the temporary directory, whose old segments are dropped as it goes, as behind checkpoints.
/// </summary>
[MemoryDiagnoser]
public unsafe class WriteLogBenchmarks
{
    private const int Entries = 1 << 16;

    private string _directory = "";
    private WriteLog _log = null!;
    private readonly byte[] _body = new byte[54];

    /// <summary>When entries are synced.</summary>
    [Params(FsyncPolicy.No, FsyncPolicy.EverySecond)]
    public FsyncPolicy Fsync { get; set; }

    /// <summary>Opens a log.</summary>
    [GlobalSetup]
    public void Open()
    {
        _directory = Directory.CreateTempSubdirectory("leither-bench-").FullName;
        _log = WriteLog.Open(DiskFolder.Make(_directory), new LogOptions { Fsync = Fsync }, 0ul, null);
    }

    /// <summary>Closes it and takes it away.</summary>
    [GlobalCleanup]
    public void Close()
    {
        _log.Close();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Drops what is behind.</summary>
    [IterationCleanup]
    public void Drop() => _log.DropThrough(_log.SyncedSequence, 0);

    /// <summary>Building alone; the entry is taken back before it is ended, so that nothing is written.</summary>
    [Benchmark(OperationsPerInvoke = Entries)]
    public void Build()
    {
        for (int i = 0; i < Entries; i++)
        {
            Append(i);
            _log.Abandon();
        }
    }

    /// <summary>Entries with one write() for each so many.</summary>
    [Benchmark(OperationsPerInvoke = Entries)]
    [Arguments(1)]
    [Arguments(16)]
    [Arguments(64)]
    [Arguments(1024)]
    public void AppendAndFlushEach(int entriesPerFlush)
    {
        for (int i = 1; i <= Entries; i++)
        {
            if (_log.CanAccept(64, out _)) Append(i);
            _log.End();
            if (i % entriesPerFlush == 0) _log.Flush();
        }
        _log.Flush();
    }

    /// <summary>The entry as effects are appended: small pieces into reserved room.</summary>
    private void Append(int i)
    {
        _log.Begin((ulong)i);
        byte* p = _log.Reserve(18);
        *(ulong*)p = (ulong)i;
        *(ulong*)(p + 8) = (ulong)i;
        _log.Commit(18);
        p = _log.Reserve(36);
        _body.AsSpan(0, 36).CopyTo(new Span<byte>(p, 36));
        _log.Commit(36);
    }
}
