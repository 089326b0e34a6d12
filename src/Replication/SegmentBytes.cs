using Leither.MmDb.Log;

namespace Leither.Replication;

/// <summary>What replication reads of a segment's bytes: where it begins. The rest is the log's own business (<c>LogFormat.cs</c>).</summary>
internal static unsafe class SegmentBytes
{
    /// <summary>Reads a segment's header; false: it is none.</summary>
    public static bool TryReadStart(ReadOnlySpan<byte> bytes, out SegmentStart start)
    {
        start = default;
        if (bytes.Length < LogFormat.SegmentHeaderBytes)
        {
            return false;
        }

        fixed (byte* from = bytes)
        {
            if (!SegmentHeader.TryDecode(from, out SegmentHeader header, out _))
            {
                return false;
            }

            start = new SegmentStart(header.Epoch, header.Generation, header.FirstSequence, header.EntryOffset);
            return true;
        }
    }
}
