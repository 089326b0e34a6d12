// The wire alone: what parsing a pipeline and writing its replies cost, per pipeline.

using System.Runtime.InteropServices;
using System.Text;
using BenchmarkDotNet.Attributes;
using Leither.Resp;

namespace Leither.Bench;

[MemoryDiagnoser]
public unsafe class RespBenchmarks
{
    private readonly ArgBuffer _args = new();
    private readonly RequestParser _parser = new();
    private readonly RespWriter _writer = new();
    private byte* _gets;
    private byte* _sets;
    private byte* _value;
    private long _getsLength;
    private long _setsLength;

    /// <summary>How many commands arrive together.</summary>
    [Params(16, 64)]
    public int Pipeline { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _gets = Native(string.Concat(Enumerable.Range(0, Pipeline).Select(i => $"*2\r\n$3\r\nGET\r\n$16\r\nkey:{i:D12}\r\n")), out _getsLength);
        _sets = Native(string.Concat(Enumerable.Range(0, Pipeline).Select(i => $"*3\r\n$3\r\nSET\r\n$16\r\nkey:{i:D12}\r\n$16\r\nvalue:{i:D10}\r\n")), out _setsLength);
        _value = Native("value:0123456789", out _);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        NativeMemory.Free(_gets);
        NativeMemory.Free(_sets);
        NativeMemory.Free(_value);
        _args.Dispose();
        _parser.Dispose();
        _writer.Dispose();
    }

    [Benchmark]
    public int ParseGets() => Parse(_gets, _getsLength);

    [Benchmark]
    public int ParseSets() => Parse(_sets, _setsLength);

    /// <summary>The same bytes in two pieces, cut within the last command: what the resumable way adds.</summary>
    [Benchmark]
    public int ParseSetsCutOnce()
    {
        long position = 0;
        _args.Clear();
        while (_parser.ParseNext(_sets, _setsLength - 10, ref position, _args, out _, out _) == ParseStatus.Complete)
        {
        }
        while (_parser.ParseNext(_sets, _setsLength, ref position, _args, out _, out _) == ParseStatus.Complete)
        {
        }
        return _args.Count;
    }

    [Benchmark]
    public long WriteOk()
    {
        for (int i = 0; i < Pipeline; i++)
            _writer.Ok();
        return Send();
    }

    [Benchmark]
    public long WriteIntegers()
    {
        for (int i = 0; i < Pipeline; i++)
            _writer.Integer(1_000_000 + i);
        return Send();
    }

    [Benchmark]
    public long WriteBulks()
    {
        for (int i = 0; i < Pipeline; i++)
            _writer.Bulk(_value, 16);
        return Send();
    }

    [Benchmark]
    public long WriteScores()
    {
        for (int i = 0; i < Pipeline; i++)
            _writer.Double(i + 0.25);
        return Send();
    }

    private int Parse(byte* bytes, long length)
    {
        long position = 0;
        _args.Clear();
        while (_parser.ParseNext(bytes, length, ref position, _args, out _, out _) == ParseStatus.Complete)
        {
        }
        return _args.Count;
    }

    private long Send()
    {
        long length = _writer.Length;
        _writer.Consume(length);
        return length;
    }

    private static byte* Native(string text, out long length)
    {
        length = text.Length;
        byte* bytes = (byte*)NativeMemory.Alloc((nuint)text.Length);
        Encoding.ASCII.GetBytes(text, new Span<byte>(bytes, text.Length));
        return bytes;
    }
}
