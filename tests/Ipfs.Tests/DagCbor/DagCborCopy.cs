using Leither.Ipfs.DagCbor;

namespace Leither.Ipfs.Tests.DagCbor;

/// <summary>Reads a block value by value and writes it again: strictness means that the bytes are the same.</summary>
internal static class DagCborCopy
{
    public static byte[] Of(ReadOnlySpan<byte> block)
    {
        var reader = new DagCborReader(block);
        var writer = new DagCborWriter();
        while (true)
        {
            if (reader.IsKeyNext)
            {
                writer.WriteKey(reader.ReadKey());
                continue;
            }

            switch (reader.Peek())
            {
                case DagCborKind.Integer: writer.WriteInteger(reader.ReadInteger()); break;
                case DagCborKind.Bytes: writer.WriteBytes(reader.ReadBytes()); break;
                case DagCborKind.Text: writer.WriteText(reader.ReadText()); break;
                case DagCborKind.Array: writer.WriteArrayStart(reader.ReadArrayStart()); break;
                case DagCborKind.Map: writer.WriteMapStart(reader.ReadMapStart()); break;
                case DagCborKind.Link: writer.WriteCid(reader.ReadCid()); break;
                case DagCborKind.Boolean: writer.WriteBoolean(reader.ReadBoolean()); break;
                case DagCborKind.Null: reader.ReadNull(); writer.WriteNull(); break;
                case DagCborKind.Float: writer.WriteDouble(reader.ReadDouble()); break;
                case DagCborKind.End: reader.End(); return writer.ToArray();
            }
        }
    }
}
